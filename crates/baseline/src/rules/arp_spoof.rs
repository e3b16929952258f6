//! A device that says it holds the address of a router or a server.

use super::claims::{Claims, Dispute, SPAN, is_important};
use super::window::{DAY, Recent, Rows, pack_as, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::profile::Profile;
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, Severity, Timestamp};
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "arp-spoof",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T1557.002", "T0830"],
    finds: "A device that claims the address of a router or a server three or more times within ten minutes (ARP or \
        neighbour discovery) while the other still lives, or within a day if that was heard within ten minutes of the \
        last. Virtual router addresses (VRRP, HSRP, GLBP, NLB) and addresses just leased to the claimant do not count; \
        a message that names another MAC than its own is its sender's claim; a router or a server that takes over from \
        its like counts only if the other claims back within the ten minutes. Who claims the address of a router that \
        was not heard since, and routes, or whose last word is ten minutes old, has taken its place: that is medium if \
        it is a newcomer or the network's own, and high when the former and then the other are heard again within a \
        day.",
    matters: "Whoever stands in for a gateway or an archive reads and changes what passes, and nobody sees a difference.",
    innocent: "A cluster whose address moves, a virtual machine moved to another host, a server copied and left switched on; a \
        router that was replaced; a proxy or a team of network cards that speaks for others.",
    references: "RFC 826, RFC 5227; Medical Device Network Isolation: unexpected east-west traffic; ATT&CK T1557.002 ARP Cache \
        Poisoning, T0830 Adversary-in-the-Middle.",
    advice: "Find the switch port of the claimant by its MAC and look what runs there; compare with the server's own MAC.",
    contain: "Dynamic ARP inspection on the switches stops it.",
    wants: Wants::SIGNS,
    watch: || Box::<ArpSpoof>::default(),
};

/// Claims within the span, or within a day while the holder lives: whoever poisons slowly need not claim often.
const LEAST: usize = 3;
const SLOW: i64 = DAY;

/// Routers whose place was taken, at most, and for how long they are watched.
const MOST_PLACES: usize = 1_024;
const WATCHED: i64 = DAY;

/// Who took the place of a router: the two, since when, and when the former was heard again.
type Place = (u32, u32, i64, Option<i64>);

/// What is saved: all of the claims, and the places.
type Saved = (Vec<u8>, Rows<(u64, IpAddr), Place>);

/// The layout of what is saved: before 2, places were not kept.
const LAYOUT: u8 = 2;

#[derive(Debug)]
struct ArpSpoof {
    claims: Claims,
    places: Recent<(u64, IpAddr), Place>,
}

impl Default for ArpSpoof {
    fn default() -> Self {
        Self { claims: Claims::new(LEAST, SLOW), places: Recent::new(MOST_PLACES) }
    }
}

impl Watch for ArpSpoof {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.claims.sign(seen);
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.watch_places(view, out);
        for dispute in self.claims.minute(view) {
            let Dispute { vlan, ip, claimant, holder, since, .. } = &dispute;
            let is_router = holder.device.router;
            let takes_over = is_important(claimant) && !view.is_newcomer(claimant);
            let routes = claimant.device.router || claimant.class().is_infrastructure();
            let is_spare = takes_over && (routes && !dispute.is_host || !is_router);
            let is_quarrel = dispute.defended > 0 && dispute.span == SPAN;
            if !dispute.is_important || (is_spare && !is_quarrel) {
                continue;
            }
            let is_placed = dispute.is_silent && (dispute.is_gone || claimant.device.router);
            let is_place = is_router && is_placed && dispute.defended == 0;
            if is_place && !dispute.is_host {
                *self.places.entry(*since, (vlan.bits(), *ip)) =
                    (claimant.id().0, holder.id().0, since.0, None);
                view.heirs.borrow_mut().entry(claimant.id()).or_default();
                // It may have been told before it was known to route.
                out.lower_since(&RULE, claimant.id(), *since, "the former router is silent");
                raise_place(&dispute, view, out);
            } else if is_place || !dispute.is_gone {
                raise(&dispute, view, out);
            } else {
                continue;
            }
            self.claims.told(&dispute);
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.claims.renamed(from, into);
    }

    fn save(&self) -> Vec<u8> {
        let claims = self.claims.save();
        if claims.is_empty() && self.places.is_empty() {
            return Vec::new();
        }
        pack_as(LAYOUT, &(claims, self.places.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        let Some((claims, places)) = unpack_as::<Saved>(LAYOUT, saved) else { return };
        self.claims.restore(&claims);
        self.places.fill(places);
    }
}

impl ArpSpoof {
    /// A router that lives beside the one that took its place was not replaced.
    fn watch_places(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.places.forget(view.now.0.saturating_sub(WATCHED));
        let mut over = Vec::new();
        for (key, (claimant, holder, since, returned)) in self.places.iter_mut() {
            let both = view.profile(DeviceId(*claimant)).zip(view.profile(DeviceId(*holder)));
            let Some((claimant, holder)) = both.filter(|(claimant, holder)| claimant.id() != holder.id())
            else {
                over.push(*key);
                continue;
            };
            if holder.device.last.0 <= *since {
                continue;
            }
            let returned = Timestamp(*returned.get_or_insert(holder.device.last.0));
            if claimant.device.last > returned {
                raise_both(key.1, &claimant, &holder, (Timestamp(*since), returned), view, out);
                over.push(*key);
            }
        }
        for key in over {
            self.places.remove(&key);
        }
    }
}

/// A router's place was taken, by its successor or by who silenced it: that looks alike.
fn raise_place(dispute: &Dispute, view: &View<'_>, out: &mut Out<'_>) {
    let Dispute { ip, claimant, holder, .. } = dispute;
    let (name, class, of, silent) = (&claimant.name, claimant.class(), &holder.name, holder.device.last);
    let by = claimant.device.macs.first().map(|mac| format!(", {mac}")).unwrap_or_default();
    let title = format!(
        "{ip}, the address of {of} ({}), is now held by {name} ({class}{by}); the former has been silent since {silent}",
        holder.class()
    );
    let verdict = dispute.verdict(&RULE, title, 1, SPAN).severity(Severity::Medium);
    let routes = number("claimant_routes", claimant.device.router.into());
    out.raise(view, verdict.found([routes]).found(word("silent_since", &silent.to_string())));
}

fn raise_both(
    ip: IpAddr,
    claimant: &Profile,
    holder: &Profile,
    (since, returned): (Timestamp, Timestamp),
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let (name, class, of) = (&claimant.name, claimant.class(), &holder.name);
    let title = format!("{name} ({class}) holds {ip}, the address of {of} ({}), which lives", holder.class());
    let verdict = Verdict::new(&RULE, Some(claimant.id()), returned, title)
        .peer(Peer::Device(holder.id()))
        .between(since, returned)
        .found(word("address", &ip.to_string()))
        .found(word("heard_again", &returned.to_string()))
        .normal(word("holder", holder.name.as_str()))
        .normal(holder.device.macs.first().and_then(|mac| word("holder_mac", &mac.to_string())));
    out.raise(view, verdict);
}

fn raise(dispute: &Dispute, view: &View<'_>, out: &mut Out<'_>) {
    let Dispute { ip, claimant, holder, .. } = dispute;
    let (name, class, of) = (&claimant.name, claimant.class(), &holder.name);
    let title = format!("{name} ({class}) claims {ip}, the address of {of} ({})", holder.class());
    out.raise(view, dispute.verdict(&RULE, title, LEAST as u64, dispute.span));
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, SECOND, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, Lease, LeaseMessage, Severity, Timestamp, Vlan};

    const RULE: &str = "arp-spoof";

    fn claim(story: &mut Story, by: DeviceId, of: DeviceId, holder: DeviceId) {
        let (vlan, ip) = (Vlan::single(40), story.ip(of));
        story.sign(by, Sign::Claims { vlan, ip, holder, macs: None });
    }

    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let router = story.device(1, DeviceClass::Router, 40);
        let laptop = story.device(2, DeviceClass::Workstation, 40);
        (story, router, laptop)
    }

    #[test]
    fn three_claims_to_a_routers_address_are_told() {
        let (mut story, router, laptop) = story();
        claim(&mut story, laptop, router, router);
        claim(&mut story, router, router, laptop);
        claim(&mut story, laptop, router, router);
        assert_eq!(story.found(RULE).len(), 0, "two are not enough");
        story.restart();
        claim(&mut story, router, router, laptop);
        assert_eq!(story.found(RULE).len(), 0, "the router may claim its own");
        claim(&mut story, laptop, router, router);
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(laptop), Severity::High, 3)]);
        assert_eq!(found[0].peer.as_ref().unwrap().device, Some(router));
        assert_eq!(story.found("address-conflict").len(), 0, "it is told once");
    }

    #[test]
    fn what_is_judged_late_is_told() {
        let (mut story, router, laptop) = story();
        for second in 0..3 {
            story.at(DAY + second * SECOND);
            claim(&mut story, laptop, router, router);
            claim(&mut story, router, router, laptop);
        }
        story.devices.get_mut(&router).unwrap().last = story.now;
        // Nothing else is heard for hours.
        story.at(DAY + 5 * 3_600 * SECOND).talk(router, router, 80, None);
        let found = story.found(RULE);
        assert_eq!(found.iter().map(|f| (f.key.device, f.count)).collect::<Vec<_>>(), [(Some(laptop), 3)]);
    }

    #[test]
    fn a_lease_explains_it_and_so_does_a_holder_that_is_gone() {
        let (mut story, router, laptop) = story();
        let ip = story.ip(router);
        let (message, vlan) = (LeaseMessage::Ack, Vlan::NONE);
        let ack = Lease {
            message,
            vlan,
            ip: Some(ip),
            server: None,
            relay: None,
            seconds: None,
            renewal: None,
            rebinding: None,
        };
        story.sign(laptop, Sign::Lease(ack));
        (0..5).for_each(|_| claim(&mut story, laptop, router, router));
        assert_eq!(story.found(RULE).len(), 0, "leased");
        let server = story.device(3, DeviceClass::Server, 40);
        story.wait(3_600 * SECOND);
        story.devices.get_mut(&server).unwrap().last = Timestamp(story.now.0 - 601 * SECOND);
        (0..5).for_each(|_| claim(&mut story, laptop, server, server));
        assert_eq!(story.found(RULE).len(), 0, "silent for more than ten minutes");
    }

    /// A router fell silent so many seconds ago, and a newcomer that routes, or not, claims its address.
    fn replaced(silent: i64, routes: bool) -> (Story, DeviceId, DeviceId) {
        let (mut story, router, _) = story();
        story.at(DAY + 3_600 * SECOND);
        let next = story.device(9, DeviceClass::Router, 40);
        story.devices.get_mut(&next).unwrap().router = routes;
        story.devices.get_mut(&router).unwrap().last = Timestamp(story.now.0 - silent * SECOND);
        (0..3).for_each(|_| claim(&mut story, next, router, router));
        (story, router, next)
    }

    fn brief(story: &mut Story) -> Vec<(Option<DeviceId>, Severity)> {
        story.found(RULE).iter().map(|f| (f.key.device, f.severity)).collect()
    }

    #[test]
    fn a_router_that_was_replaced_is_told_once_and_calmly() {
        let (mut story, _, next) = replaced(30, true);
        story.learn(next, model::Attribute::other("forwards"), "VRRP");
        let found = story.found(RULE);
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(Some(next), Severity::Medium)]
        );
        let title = found[0].title.as_str();
        assert!(
            title.contains("is now held by host-9 (router, 00:00:00:00:00:09); the former has been silent"),
            "{title}"
        );
        story.restart().wait(3_600 * SECOND);
        story.learn(next, model::Attribute::other("lldp.capabilities_enabled"), "bridge, router");
        assert_eq!(story.found("infrastructure-change").len(), 0, "it is told by itself");
        let others = story.baseline.findings();
        let mut others = others.iter().filter(|f| f.key.device == Some(next) && f.key.rule != RULE);
        assert!(others.all(|f| f.severity == Severity::Info), "the newcomer is a note");
    }

    #[test]
    fn what_was_told_of_a_router_before_it_was_known_to_replace_one_is_a_note() {
        let (mut story, router, _) = story();
        story.at(DAY + 3_600 * SECOND);
        let next = story.device(9, DeviceClass::Router, 40);
        story.learn(next, model::Attribute::other("lldp.capabilities_enabled"), "bridge, router");
        assert_eq!(
            story.found("infrastructure-change").iter().map(|f| f.severity).max(),
            Some(Severity::High)
        );
        (0..3).for_each(|_| claim(&mut story, next, router, router));
        assert_eq!(brief(&mut story), [(Some(next), Severity::Medium)]);
        assert_eq!(
            story.found("infrastructure-change").iter().map(|f| f.severity).max(),
            Some(Severity::Info)
        );
    }

    #[test]
    fn who_claims_what_a_silent_router_had_and_does_not_route_has_a_little_time_to() {
        let (mut story, _, next) = replaced(30, false);
        assert_eq!(brief(&mut story), [], "it may be its successor");
        story.restart().wait(120 * SECOND);
        story.devices.get_mut(&next).unwrap().router = true;
        assert_eq!(brief(&mut story), [(Some(next), Severity::Medium)]);
        let (mut story, _, next) = replaced(30, false);
        story.wait(120 * SECOND);
        assert_eq!(brief(&mut story), []);
        story.restart().wait(120 * SECOND);
        assert_eq!(brief(&mut story), [(Some(next), Severity::High)], "it is none");
        // The router lives: nothing is waited for.
        let (mut story, router, next) = replaced(30, false);
        story.devices.get_mut(&router).unwrap().last = story.now.plus(SECOND);
        assert_eq!(brief(&mut story), [(Some(next), Severity::High)]);
    }

    #[test]
    fn whoever_holds_what_a_router_gone_for_long_had_is_told() {
        let (mut story, _, next) = replaced(3 * 3_600, false);
        assert_eq!(brief(&mut story), [(Some(next), Severity::Medium)]);
        let (mut story, router, _) = self::story();
        let next = story.at(DAY + 3_600 * SECOND).device(9, DeviceClass::Unknown, 40);
        for n in 1..=4 {
            claim(&mut story, next, router, router);
            let found = story.restart().found(RULE);
            let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
            // The second is told with the third.
            let count = if n == 2 { 1 } else { n };
            assert_eq!(
                brief,
                [(Some(next), Severity::Medium, count)],
                "one claim is enough, each counts once"
            );
        }
    }

    #[test]
    fn a_known_device_that_is_no_router_replaces_none() {
        for (class, is_gone, routes) in [
            (DeviceClass::Workstation, true, false),
            (DeviceClass::Workstation, true, true),
            (DeviceClass::Workstation, false, true),
            (DeviceClass::InfusionPump, true, false),
            (DeviceClass::Server, true, false),
        ] {
            let (mut story, router, _) = story();
            let known = story.device(3, class, 40);
            story.at(DAY + 3_600 * SECOND);
            story.devices.get_mut(&known).unwrap().router = routes;
            let silent = if is_gone { 3_600 } else { 30 };
            story.devices.get_mut(&router).unwrap().last = Timestamp(story.now.0 - silent * SECOND);
            let claims = if is_gone { 1 } else { 3 };
            (0..claims).for_each(|_| claim(&mut story, known, router, router));
            brief(&mut story);
            story.restart().devices.get_mut(&known).unwrap().router = true;
            story.wait(300 * SECOND);
            assert_eq!(brief(&mut story), [(Some(known), Severity::High)], "{class} {is_gone} {routes}");
            claim(&mut story, known, router, router);
            assert_eq!(brief(&mut story), [(Some(known), Severity::High)], "{class}: it is not lowered");
        }
        // While the site is learned, nobody is known.
        let (mut story, router, next) = story();
        story.at(DAY / 2);
        claim(&mut story, next, router, router);
        assert_eq!(brief(&mut story), [(Some(next), Severity::Medium)]);
    }

    #[test]
    fn a_router_that_lives_after_all_was_not_replaced() {
        let (mut story, router, next) = replaced(30, true);
        assert_eq!(brief(&mut story), [(Some(next), Severity::Medium)]);
        story.restart().wait(3_600 * SECOND);
        for id in [router, next] {
            story.devices.get_mut(&id).unwrap().last = story.now;
        }
        assert_eq!(brief(&mut story), [(Some(next), Severity::Medium)], "which of them was last?");
        story.restart().devices.get_mut(&next).unwrap().last = story.now;
        assert_eq!(brief(&mut story), [(Some(next), Severity::High)], "both live");
        // The control: the former is back, and the other is silent.
        let (mut story, router, next) = replaced(30, true);
        brief(&mut story);
        story.wait(3_600 * SECOND);
        story.devices.get_mut(&router).unwrap().last = story.now;
        brief(&mut story);
        story.wait(700 * SECOND);
        assert_eq!(brief(&mut story), [(Some(next), Severity::Medium)]);
        // Until it is heard again.
        story.restart().wait(3 * 3_600 * SECOND);
        story.devices.get_mut(&next).unwrap().last = story.now;
        assert_eq!(brief(&mut story), [(Some(next), Severity::High)], "both live within a day");
    }

    #[test]
    fn a_cluster_may_move_its_address_but_not_quarrel() {
        let mut story = Story::new(DAY);
        let first = story.device(1, DeviceClass::Server, 30);
        let second = story.device(2, DeviceClass::Server, 30);
        (0..4).for_each(|_| claim(&mut story, second, first, first));
        assert_eq!(story.found(RULE).len(), 0);
        claim(&mut story, first, first, second);
        claim(&mut story, second, first, first);
        assert_eq!(story.found(RULE).len(), 1);
    }

    #[test]
    fn a_router_may_take_over_from_a_router_and_a_server_may_not() {
        for (class, told) in [(DeviceClass::Router, 0), (DeviceClass::Switch, 0), (DeviceClass::Server, 1)] {
            let (mut story, router, _) = story();
            let other = story.device(3, class, 40);
            (0..4).for_each(|_| claim(&mut story, other, router, router));
            assert_eq!(story.found(RULE).len(), told, "{class}");
        }
    }

    /// Claims each so many seconds, while the router is heard every now and then, or not.
    fn slowly(
        story: &mut Story,
        claimant: DeviceId,
        router: DeviceId,
        (times, pause): (u64, i64),
        lives: bool,
    ) {
        for n in 0..times {
            claim(story, claimant, router, router);
            for _ in 0..pause / 50 {
                story.wait(50 * SECOND);
                let known = story.devices.get_mut(&router).unwrap();
                known.last = if lives { story.now } else { known.last };
            }
            if n % 7 == 3 {
                story.restart();
            }
        }
    }

    #[test]
    fn who_claims_slowly_what_a_living_router_has_is_told() {
        for pause in [300, 600, 650, 3_600] {
            let (mut story, router, laptop) = story();
            story.at(DAY + 3_600 * SECOND);
            story.devices.get_mut(&router).unwrap().last = story.now;
            slowly(&mut story, laptop, router, (2, pause), true);
            assert_eq!(brief(&mut story), [], "two are not enough");
            slowly(&mut story, laptop, router, (10, pause), true);
            let found = story.found(RULE);
            let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
            assert_eq!(
                brief,
                [(Some(laptop), Severity::High, 12)],
                "each {pause} s; every claim counts once"
            );
        }
    }

    #[test]
    fn claims_that_are_rare_or_to_a_router_that_is_silent_are_none() {
        for (pause, lives) in [(400, false), (13 * 3_600, true)] {
            let (mut story, router, laptop) = story();
            story.devices.get_mut(&laptop).unwrap().last = story.now;
            slowly(&mut story, laptop, router, (5, pause), lives);
            assert_eq!(brief(&mut story), [], "{pause}");
        }
        // A known router that takes over now and then, and gives way each time.
        let (mut story, router, _) = story();
        let spare = story.device(3, DeviceClass::Router, 40);
        story.at(DAY + 3_600 * SECOND);
        for _ in 0..6 {
            claim(&mut story, spare, router, router);
            story.wait(300 * SECOND);
            story.devices.get_mut(&router).unwrap().last = story.now;
            claim(&mut story, router, router, spare);
            story.wait(3_600 * SECOND);
        }
        assert_eq!(brief(&mut story), []);
    }

    #[test]
    fn what_was_told_before_the_holder_answered_is_not_counted_again() {
        let (mut story, router, laptop) = story();
        story.at(DAY + 3_600 * SECOND);
        story.devices.get_mut(&router).unwrap().last = story.now.plus(SECOND);
        (0..4).for_each(|_| claim(&mut story, laptop, router, router));
        assert_eq!(story.found(RULE)[0].count, 4);
        claim(&mut story, router, router, laptop);
        assert_eq!(story.found(RULE)[0].count, 4);
    }

    #[test]
    fn the_mac_that_was_claimed_is_told_and_the_one_it_came_from_if_that_is_another() {
        let (own, other) = (model::Mac([0, 0, 0, 0, 0, 2]), model::Mac([2, 0, 0, 0, 0, 9]));
        for (named, expected) in [(own, [Some(own), None]), (other, [Some(other), Some(own)])] {
            let (mut story, router, laptop) = story();
            let (vlan, ip) = (Vlan::single(40), story.ip(router));
            for _ in 0..3 {
                let macs = Some([named, own]);
                story.sign(laptop, Sign::Claims { vlan, ip, holder: router, macs });
            }
            let found = story.restart().found(RULE);
            let word = |name: &str| found[0].evidence.iter().find(|(known, _)| known == name);
            let told = ["claimed_mac", "frame_mac"].map(|name| word(name).map(|(_, value)| value.clone()));
            let words = |mac: model::Mac| model::Figure::Words(crate::rules::story::text(&mac.to_string()));
            assert_eq!(told, expected.map(|mac| mac.map(words)));
        }
    }
}
