//! A device that says it holds the address of a router or a server.

use super::claims::{Claims, Dispute, SPAN, is_important};
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
    finds: "A device that claims the address of a router or a server three or more times within ten minutes (ARP or neighbour \
        discovery) while the other still lives. Virtual router addresses (VRRP, HSRP, GLBP, NLB) and addresses just leased \
        to the claimant do not count; a server that takes over from a server counts only if the other claims back.",
    matters: "Whoever stands in for a gateway or an archive reads and changes what passes, and nobody sees a difference.",
    innocent: "A cluster whose address moves, a virtual machine moved to another host, a server copied and left switched on.",
    references: "RFC 826, RFC 5227; Medical Device Network Isolation: unexpected east-west traffic; ATT&CK T1557.002 ARP Cache \
        Poisoning, T0830 Adversary-in-the-Middle.",
    advice: "Find the switch port of the claimant by its MAC and look what runs there; compare with the server's own MAC.",
    contain: "Dynamic ARP inspection on the switches stops it.",
    wants: Wants::SIGNS,
    watch: || Box::new(ArpSpoof(Claims::new(LEAST))),
};

/// Claims within the span.
const LEAST: usize = 3;

#[derive(Debug)]
struct ArpSpoof(Claims);

impl Watch for ArpSpoof {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.0.sign(seen);
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for dispute in self.0.minute(view) {
            let takes_over = is_important(&dispute.claimant) && !view.is_newcomer(&dispute.claimant);
            if dispute.is_important && (!takes_over || dispute.defended > 0) {
                raise(&dispute, view, out);
            }
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
    let title = format!("{name} ({class}) claims {ip}, the address of {of} ({})", holder.class());
    out.raise(view, dispute.verdict(&RULE, title, LEAST as u64, SPAN));
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, SECOND, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, Lease, LeaseMessage, Severity, Timestamp, Vlan};

    const RULE: &str = "arp-spoof";

    fn claim(story: &mut Story, by: DeviceId, of: DeviceId, holder: DeviceId) {
        let (vlan, ip) = (Vlan::single(40), story.ip(of));
        story.sign(by, Sign::Claims { vlan, ip, holder });
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
        story.wait(3_600 * SECOND);
        story.devices.get_mut(&router).unwrap().last = Timestamp(story.now.0 - 601 * SECOND);
        (0..5).for_each(|_| claim(&mut story, laptop, router, router));
        assert_eq!(story.found(RULE).len(), 0, "silent for more than ten minutes");
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
    fn claims_an_hour_apart_are_none() {
        let (mut story, router, laptop) = story();
        for _ in 0..5 {
            claim(&mut story, laptop, router, router);
            story.wait(400 * SECOND);
        }
        assert_eq!(story.found(RULE).len(), 0);
    }
}
