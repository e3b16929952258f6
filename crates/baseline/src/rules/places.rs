//! Who took the place of a router that fell silent: its successor, or who silenced it. It is told as a change of the
//! network's, as long as the former is silent.

use super::claims::{Dispute, SPAN};
use super::infrastructure_change::RULE;
use super::window::{DAY, Recent, Rows};
use super::{Rule, arp_spoof};
use crate::findings::{number, word};
use crate::judge::View;
use crate::profile::Profile;
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, Severity, Timestamp, Vlan};
use std::net::IpAddr;
use std::rc::Rc;

/// Routers whose place was taken, at most, and for how long they are watched.
const MOST: usize = 1_024;
const WATCHED: i64 = DAY;

/// Which address in which scope.
type Address = (u64, IpAddr);

/// Who took the place of a router: the two, since when, and when the former was heard again.
type Place = (u32, u32, i64, Option<i64>);

/// The same of one that was not known to route yet, and was told as who stands in for a router.
type Claim = (u32, u32, i64);

/// As they are saved.
pub(super) type Saved = Rows<Address, Place>;
pub(super) type SavedClaims = Rows<Address, Claim>;

/// All of them.
#[derive(Debug)]
pub(super) struct Places {
    taken: Recent<Address, Place>,
    claimed: Recent<Address, Claim>,
}

impl Default for Places {
    fn default() -> Self {
        Self { taken: Recent::new(MOST), claimed: Recent::new(MOST) }
    }
}

impl Places {
    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.claimed.is_empty()
    }

    /// A place was taken.
    pub(super) fn take(&mut self, dispute: &Dispute, view: &View<'_>, out: &mut Out<'_>) {
        let Dispute { vlan, ip, claimant, holder, since, .. } = dispute;
        let verdict = dispute.verdict(&RULE, title(*ip, claimant, holder), 1, SPAN);
        self.is_taken((vlan.bits(), *ip), (claimant, holder, *since), view, out);
        out.raise(view, placed(verdict, claimant, holder));
    }

    fn is_taken(
        &mut self,
        address: Address,
        (claimant, holder, since): (&Profile, &Profile, Timestamp),
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        self.claimed.remove(&address);
        *self.taken.entry(since, address) = (claimant.id().0, holder.id().0, since.0, None);
        view.heirs.borrow_mut().entry(claimant.id()).or_default();
        // It may have been told before it was known to route.
        out.lower_since(&arp_spoof::RULE, claimant.id(), since, "the former router is silent");
    }

    /// Who does not route was told to claim the address of a router that is silent, and may turn out to route.
    pub(super) fn wait(&mut self, dispute: &Dispute) {
        let Dispute { vlan, ip, claimant, holder, since, .. } = dispute;
        *self.claimed.entry(*since, (vlan.bits(), *ip)) = (claimant.id().0, holder.id().0, since.0);
    }

    /// A router that lives beside the one that took its place was not replaced; and who was not known to route may do so by
    /// now.
    pub(super) fn watch(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let before = view.now.0.saturating_sub(WATCHED);
        self.taken.forget(before);
        self.claimed.forget(before);
        let mut over = Vec::new();
        for (key, (claimant, holder, since, returned)) in self.taken.iter_mut() {
            let Some((claimant, holder)) = both(*claimant, *holder, view) else {
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
            self.taken.remove(&key);
        }
        let mut settled = Vec::new();
        for (key, (claimant, holder, since)) in self.claimed.iter() {
            let both = both(*claimant, *holder, view).filter(|(_, holder)| holder.device.last.0 < *since);
            match both {
                Some((claimant, _)) if !claimant.device.router => {}
                both => settled.push((*key, Timestamp(*since), both)),
            }
        }
        for (key, since, both) in settled {
            self.claimed.remove(&key);
            let Some((claimant, holder)) = both else { continue };
            self.is_taken(key, (&claimant, &holder, since), view, out);
            let verdict = Verdict::new(
                &RULE,
                Some(claimant.id()),
                claimant.device.last,
                title(key.1, &claimant, &holder),
            );
            let verdict = about(verdict, key.1, &holder)
                .found(Vlan::from_bits(key.0).inner().map(|vlan| number("vlan", vlan.into())))
                .between(since, claimant.device.last);
            out.raise(view, placed(verdict, &claimant, &holder));
        }
    }

    pub(super) fn rows(&self) -> (Rows<&Address, &Place>, Rows<&Address, &Claim>) {
        (self.taken.rows(), self.claimed.rows())
    }

    pub(super) fn fill(&mut self, taken: Saved, claimed: SavedClaims) {
        self.taken.fill(taken);
        self.claimed.fill(claimed);
    }
}

/// The two, while they are two.
fn both(claimant: u32, holder: u32, view: &View<'_>) -> Option<(Rc<Profile>, Rc<Profile>)> {
    let both = view.profile(DeviceId(claimant)).zip(view.profile(DeviceId(holder)));
    both.filter(|(claimant, holder)| claimant.id() != holder.id())
}

fn title(ip: IpAddr, claimant: &Profile, holder: &Profile) -> String {
    let by = claimant.device.macs.first().map(|mac| format!(", {mac}")).unwrap_or_default();
    format!(
        "{ip}, the address of {} ({}), is now held by {} ({}{by}); the former has been silent since {}",
        holder.name,
        holder.class(),
        claimant.name,
        claimant.class(),
        holder.device.last
    )
}

/// A router's place was taken, by its successor or by who silenced it: that looks alike.
fn placed(verdict: Verdict, claimant: &Profile, holder: &Profile) -> Verdict {
    let routes = number("claimant_routes", claimant.device.router.into());
    let silent = word("silent_since", &holder.device.last.to_string());
    verdict.severity(Severity::Medium).found([routes]).found(silent)
}

fn about(verdict: Verdict, ip: IpAddr, holder: &Profile) -> Verdict {
    verdict
        .peer(Peer::Device(holder.id()))
        .found(word("address", &ip.to_string()))
        .normal(word("holder", holder.name.as_str()))
        .normal(holder.device.macs.first().and_then(|mac| word("holder_mac", &mac.to_string())))
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
    let spoof: &'static Rule = &arp_spoof::RULE;
    let verdict = Verdict::new(spoof, Some(claimant.id()), returned, title).between(since, returned);
    out.raise(view, about(verdict, ip, holder).found(word("heard_again", &returned.to_string())));
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, SECOND, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, Severity, Timestamp, Vlan};
    use std::collections::BTreeMap;

    const RULE: &str = "infrastructure-change";
    const SPOOF: &str = "arp-spoof";

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

    /// The gravest of what is told of each by either rule, without notes.
    fn brief(story: &mut Story) -> Vec<(Option<DeviceId>, Severity)> {
        story.wait(60 * SECOND);
        let mut gravest = BTreeMap::new();
        for found in story.baseline.findings() {
            if [RULE, SPOOF].contains(&&*found.key.rule) && found.severity > Severity::Info {
                let known = gravest.entry(found.key.device).or_insert(found.severity);
                *known = found.severity.max(*known);
            }
        }
        gravest.into_iter().collect()
    }

    /// Of each rule: the severities of what it told.
    fn severities(story: &mut Story) -> [Vec<Severity>; 2] {
        [SPOOF, RULE].map(|rule| story.found(rule).iter().map(|f| f.severity).collect())
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

    #[test]
    fn a_router_that_was_replaced_is_told_once_and_calmly() {
        let (mut story, _, next) = replaced(30, true);
        story.learn(next, model::Attribute::other("forwards"), "VRRP");
        let found = story.found(RULE);
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(Some(next), Severity::Medium)]
        );
        assert_eq!(story.found(SPOOF).len(), 0, "it is told once");
        let title = found[0].title.as_str();
        assert!(
            title.contains("is now held by host-9 (router, 00:00:00:00:00:09); the former has been silent"),
            "{title}"
        );
        story.restart().wait(3_600 * SECOND);
        story.learn(next, model::Attribute::other("lldp.capabilities_enabled"), "bridge, router");
        assert_eq!(story.found(RULE).len(), 1, "what it says of itself is nothing new");
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
        assert_eq!(brief(&mut story), [(Some(next), Severity::High)]);
        (0..3).for_each(|_| claim(&mut story, next, router, router));
        assert_eq!(brief(&mut story), [(Some(next), Severity::Medium)]);
        let found = story.found(RULE);
        let severities: Vec<_> = found.iter().map(|f| f.severity).collect();
        assert_eq!(severities, [Severity::Info, Severity::Medium], "{found:#?}");
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
    fn who_turns_out_to_route_when_it_was_told_as_a_stand_in_is_a_change() {
        use Severity::{High, Info, Medium};
        for returns in [false, true] {
            let (mut story, router, next) = replaced(30, false);
            story.wait(300 * SECOND);
            assert_eq!(severities(&mut story), [vec![High], vec![]]);
            story.restart().wait(1_800 * SECOND);
            if returns {
                story.devices.get_mut(&router).unwrap().last = story.now;
                story.wait(60 * SECOND);
            }
            story.devices.get_mut(&next).unwrap().router = true;
            let told = if returns { [vec![High], vec![]] } else { [vec![Info], vec![Medium]] };
            assert_eq!(severities(&mut story), told, "the former is heard again: {returns}");
        }
        // One that was known, and was none of the network's, replaces none.
        let (mut story, router, _) = story();
        let known = story.device(3, DeviceClass::Workstation, 40);
        story.at(DAY + 3_600 * SECOND);
        story.devices.get_mut(&router).unwrap().last = Timestamp(story.now.0 - 30 * SECOND);
        (0..3).for_each(|_| claim(&mut story, known, router, router));
        story.wait(300 * SECOND);
        story.devices.get_mut(&known).unwrap().router = true;
        assert_eq!(severities(&mut story), [vec![High], vec![]]);
    }
}
