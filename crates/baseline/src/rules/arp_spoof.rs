//! A device that says it holds the address of a router or a server.

use super::claims::{Claims, Dispute, SPAN, is_important};
use super::places::{self, Places};
use super::window::{DAY, pack_as, unpack_as};
use super::{Rule, Wants, Watch};
use crate::judge::{SignSeen, View};
use crate::verdict::Out;
use model::{DeviceId, Severity};

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
        its like counts only if the other claims back within the ten minutes. A router that only carries the traffic of \
        others lives. Who takes the place of a router that is silent is told by infrastructure-change if it is a \
        newcomer or the network's own, and here when the former and then the other are heard again within a day. All \
        addresses that the device was told to claim within a day are named.",
    matters: "Whoever stands in for a gateway or an archive reads and changes what passes, and nobody sees a difference.",
    innocent: "A cluster whose address moves, a virtual machine moved to another host, a server copied and left switched on; \
        a proxy or a team of network cards that speaks for others.",
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

/// What is saved: all of the claims, the places of routers that were taken, and those that may have been.
type Saved = (Vec<u8>, places::Saved, places::SavedClaims);
type SavedBy2 = (Vec<u8>, places::Saved);

/// The layout of what is saved: before 2, places were not kept, and before 3, those that may have been taken.
const LAYOUT: u8 = 3;

#[derive(Debug)]
struct ArpSpoof {
    claims: Claims,
    places: Places,
}

impl Default for ArpSpoof {
    fn default() -> Self {
        Self { claims: Claims::new(LEAST, SLOW), places: Places::default() }
    }
}

impl Watch for ArpSpoof {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.claims.sign(seen);
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.places.watch(view, out);
        let mut disputes = self.claims.minute(view);
        disputes.retain(|dispute| is_told(dispute, view));
        self.claims.tell(&mut disputes, view);
        for dispute in disputes {
            if is_place(&dispute) && !dispute.is_host {
                self.places.take(&dispute, view, out);
                continue;
            }
            if dispute.holder.device.router && dispute.is_silent && !dispute.is_host {
                self.places.wait(&dispute);
            }
            raise(&dispute, view, out);
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
        let (taken, claimed) = self.places.rows();
        pack_as(LAYOUT, &(claims, taken, claimed))
    }

    fn restore(&mut self, saved: &[u8]) {
        let before = || unpack_as::<SavedBy2>(2, saved).map(|(claims, taken)| (claims, taken, Vec::new()));
        let Some((claims, taken, claimed)) = unpack_as::<Saved>(LAYOUT, saved).or_else(before) else {
            return;
        };
        self.claims.restore(&claims);
        self.places.fill(taken, claimed);
    }
}

/// Whether who claims a router's address has taken the place of one that is silent.
fn is_place(dispute: &Dispute) -> bool {
    let is_placed = dispute.is_silent && (dispute.is_gone || dispute.claimant.device.router);
    dispute.holder.device.router && is_placed && dispute.defended == 0
}

fn is_told(dispute: &Dispute, view: &View<'_>) -> bool {
    let Dispute { claimant, holder, .. } = dispute;
    let takes_over = is_important(claimant) && !view.is_newcomer(claimant);
    let routes = claimant.device.router || claimant.class().is_infrastructure();
    let is_spare = takes_over && (routes && !dispute.is_host || !holder.device.router);
    let is_quarrel = dispute.defended > 0 && dispute.span == SPAN;
    dispute.is_important && (!is_spare || is_quarrel) && (is_place(dispute) || !dispute.is_gone)
}

fn raise(dispute: &Dispute, view: &View<'_>, out: &mut Out<'_>) {
    let Dispute { ip, claimant, holder, .. } = dispute;
    let (name, class, of) = (&claimant.name, claimant.class(), &holder.name);
    let more = dispute.others();
    let title = format!("{name} ({class}) claims {ip}, the address of {of} ({}){more}", holder.class());
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

    fn brief(story: &mut Story) -> Vec<(Option<DeviceId>, Severity)> {
        story.found(RULE).iter().map(|f| (f.key.device, f.severity)).collect()
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

    #[test]
    fn who_claims_the_addresses_of_many_is_told_with_all_of_them() {
        let (mut story, router, laptop) = story();
        let servers: Vec<_> = (10..20).map(|n| story.device(n, DeviceClass::Server, 40)).collect();
        (0..3).for_each(|_| claim(&mut story, laptop, router, router));
        let found = story.found(RULE);
        let named = |found: &model::Finding| crate::rules::scans::words(found, "targets");
        assert_eq!(named(&found[0]), None, "the only one is told already");
        assert!(found[0].title.as_str().ends_with("(router)"), "{}", found[0].title);
        for few in servers.chunks(5) {
            story.restart().wait(3_600 * SECOND);
            let now = story.now;
            few.iter().for_each(|id| story.devices.get_mut(id).unwrap().last = now);
            few.iter().for_each(|id| (0..3).for_each(|_| claim(&mut story, laptop, *id, *id)));
        }
        let found = story.found(RULE);
        let of_servers = found.iter().find(|f| f.title.as_str().contains("(server)")).unwrap();
        let ips = [1, 10, 11, 12, 13, 14, 15, 16].map(|n| format!("10.20.40.{n}"));
        assert_eq!(named(of_servers), Some(ips.join(", ")));
        assert!(of_servers.evidence.contains(&crate::findings::number("more_targets", 3)), "{of_servers:#?}");
        assert!(of_servers.title.as_str().ends_with(", and 10 more addresses"), "{}", of_servers.title);
        assert_eq!(of_servers.count, 30);
        // The next day begins anew.
        story.wait(2 * DAY);
        story.devices.get_mut(&router).unwrap().last = story.now;
        (0..3).for_each(|_| claim(&mut story, laptop, router, router));
        assert_eq!(named(story.found(RULE).last().unwrap()), None);
    }

    #[test]
    fn what_was_saved_before_claims_of_places_were_kept_is_read() {
        use super::{ArpSpoof, Watch, pack_as};
        let place =
            ((40_u64, std::net::IpAddr::from([10, 0, 0, 1])), 5_i64, (1_u32, 2_u32, 5_i64, None::<i64>));
        let mut watch = ArpSpoof::default();
        watch.restore(&pack_as(2, &(Vec::<u8>::new(), vec![place])));
        assert!(!watch.places.is_empty());
        let mut next = ArpSpoof::default();
        next.restore(&watch.save());
        assert!(!next.places.is_empty());
    }
}
