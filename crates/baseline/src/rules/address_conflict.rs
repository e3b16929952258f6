//! Two devices with one address.

use super::claims::{Claims, Dispute, SPAN, is_important};
use super::window::MINUTE;
use super::{Rule, Wants, Watch};
use crate::findings::number;
use crate::judge::{SignSeen, View};
use crate::verdict::Out;
use model::{DeviceId, Severity};

pub(super) static RULE: Rule = Rule {
    name: "address-conflict",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T0849"],
    finds: "Two devices that both claim one address (ARP or neighbour discovery) within ten minutes, or one that claims the \
        address of another twice within 60 seconds while that one still lives. Addresses of routers and servers are left \
        to arp-spoof; an address just leased to the claimant does not count. Who goes on with what it had before the other \
        claimed it is the holder, and has the address alone when the other was not heard with it for ten minutes. All \
        addresses that the device was told to claim within a day are named.",
    matters: "Each of the two loses what is sent to the other: a monitor or a pump may vanish from its central station.",
    innocent: "A fixed address typed twice, a device copied with its settings, a range that DHCP and hand share; a proxy or \
        a team of network cards that speaks for others.",
    references: "RFC 5227 IPv4 Address Conflict Detection; ATT&CK T0849 Masquerading.",
    advice: "Find both devices by their MACs and give one of them another address, at a time that suits care.",
    contain: "",
    wants: Wants::SIGNS,
    watch: || Box::new(Conflict(Claims::new(1, SPAN))),
};

#[derive(Debug)]
struct Conflict(Claims);

impl Watch for Conflict {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.0.sign(seen);
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let mut disputes = self.0.minute(view);
        disputes.retain(|dispute| {
            // One that others depend on may claim back what is its own.
            let is_its_own = is_important(&dispute.claimant);
            let is_mutual = dispute.defended > 0 || dispute.is_quick;
            !dispute.is_gone && !dispute.is_important && !is_its_own && is_mutual
        });
        self.0.tell(&mut disputes, view);
        for dispute in &disputes {
            raise(dispute, view, out);
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.0.renamed(from, into);
    }

    fn save(&self) -> Vec<u8> {
        self.0.save()
    }

    fn restore(&mut self, saved: &[u8]) {
        self.0.restore(saved);
    }
}

fn raise(dispute: &Dispute, view: &View<'_>, out: &mut Out<'_>) {
    let Dispute { ip, claimant, holder, .. } = dispute;
    let (name, class, of) = (&claimant.name, claimant.class(), &holder.name);
    let more = dispute.others();
    let title = format!("{name} ({class}) and {of} ({}) both use {ip}{more}", holder.class());
    out.raise(view, dispute.verdict(&RULE, title, 2, MINUTE).found([number("threshold_claimed_back", 1)]));
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, SECOND, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, Severity, Vlan};

    const RULE: &str = "address-conflict";

    fn claim(story: &mut Story, by: DeviceId, of: DeviceId, holder: DeviceId) {
        let (vlan, ip) = (Vlan::single(20), story.ip(of));
        story.sign(by, Sign::Claims { vlan, ip, holder, macs: None });
    }

    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let ct = story.device(1, DeviceClass::Ct, 20);
        let other = story.device(2, DeviceClass::Ultrasound, 20);
        (story, ct, other)
    }

    #[test]
    fn two_claims_within_a_minute_are_told() {
        let (mut story, ct, other) = story();
        claim(&mut story, other, ct, ct);
        assert_eq!(story.found(RULE).len(), 0, "one is not enough");
        story.restart().wait(SECOND);
        claim(&mut story, other, ct, ct);
        assert_eq!(story.found(RULE).len(), 0, "61 seconds later");
        claim(&mut story, other, ct, ct);
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(brief, [(Some(other), Severity::Medium)]);
        assert_eq!(found[0].peer.as_ref().unwrap().device, Some(ct));
        assert_eq!(story.found("arp-spoof").len(), 0);
    }

    #[test]
    fn a_claim_from_either_side_is_a_conflict() {
        let (mut story, ct, other) = story();
        claim(&mut story, other, ct, ct);
        claim(&mut story, ct, ct, other);
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].key.device), (1, Some(other)));
        let third = story.device(3, DeviceClass::Mr, 20);
        claim(&mut story, third, other, other);
        assert_eq!(story.found(RULE).len(), 1);
        story.restart();
        claim(&mut story, other, other, third);
        assert_eq!(story.found(RULE).len(), 2, "the answer comes in another minute");
        claim(&mut story, other, other, third);
        assert_eq!(story.found(RULE)[1].count, 1, "and is told once");
    }

    #[test]
    fn a_server_is_left_to_the_other_rule() {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 20);
        let other = story.device(2, DeviceClass::Ultrasound, 20);
        (0..2).for_each(|_| claim(&mut story, other, pacs, pacs));
        assert_eq!(story.found(RULE).len() + story.found("arp-spoof").len(), 0);
    }

    #[test]
    fn who_claims_the_addresses_of_a_ward_is_told_with_all_of_them() {
        let mut story = Story::new(DAY);
        let monitors: Vec<_> = (1..=8).map(|n| story.device(n, DeviceClass::PatientMonitor, 20)).collect();
        let laptop = story.device(99, DeviceClass::Workstation, 20);
        for id in monitors.iter().chain(&monitors) {
            claim(&mut story, laptop, *id, *id);
        }
        let found = story.found(RULE);
        assert_eq!(found.iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(laptop)]);
        let all = (1..=8).map(|n| format!("10.20.20.{n}")).collect::<Vec<_>>().join(", ");
        assert_eq!(crate::rules::scans::words(&found[0], "targets"), Some(all));
        assert!(found[0].title.as_str().ends_with(", and 7 more addresses"), "{}", found[0].title);
    }

    #[test]
    fn who_says_again_what_was_its_own_is_not_told() {
        let (mut story, ct, other) = story();
        // What it had before is its own: it claims nothing, and the other claims what it has.
        (0..3).for_each(|_| claim(&mut story, ct, ct, ct));
        assert_eq!(story.found(RULE).len(), 0);
        claim(&mut story, other, ct, ct);
        let found = story.restart().found(RULE);
        assert_eq!(found.iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(other)]);
    }
}
