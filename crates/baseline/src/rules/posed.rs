//! Services for which a device answers at the address of another, which it took by its word while that other serves the same.
//!
//! It opened nothing: it stands in for the other. Where that was told, it is not told again as something that it serves.

use super::window::rename;
use crate::judge::{SignSeen, View};
use inventory::Sign;
use model::{DeviceId, Timestamp, Vlan};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Of those that wait to be judged, at most.
const MOST: usize = 1_024;

/// Who answers, at whose address, and for what.
type Place = (DeviceId, (u64, IpAddr), (u8, u16));
/// When, and for which application.
type Answer = (Timestamp, Option<&'static str>);

/// What was seen since the last minute.
#[derive(Debug, Default)]
pub(super) struct Posed(BTreeMap<Place, Answer>);

impl Posed {
    pub(super) fn sign(&mut self, seen: &SignSeen<'_>) {
        let Sign::Poses { vlan, ip, transport, port, application, .. } = *seen.sign else { return };
        let place = (seen.device, (vlan.bits(), ip), (transport.0, port));
        if self.0.len() < MOST || self.0.contains_key(&place) {
            let answer = self.0.entry(place).or_insert((seen.ts, application));
            answer.1 = answer.1.or(application);
        }
    }

    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let its: Vec<Place> = self.0.keys().filter(|(id, ..)| *id == from).copied().collect();
        for place in its {
            rename(&mut self.0, &place, (into, place.1, place.2), |own, other| own.0 = other.0.min(own.0));
        }
    }

    /// Who serves what, as long as it was not told that it claims the address.
    pub(super) fn untold(&mut self, view: &View<'_>) -> BTreeMap<(DeviceId, u8, u16), Answer> {
        let disputed = view.disputed.borrow();
        let is_told = |(id, (vlan, ip), _): &Place| disputed.contains(&(*id, Vlan::from_bits(*vlan), *ip));
        let all = std::mem::take(&mut self.0).into_iter().filter(|(place, _)| !is_told(place));
        all.map(|((id, _, (transport, port)), answer)| ((id, transport, port), answer)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, IpProto, Vlan};

    /// A workstation, and a name server whose address it takes.
    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let (pc, names) =
            (story.device(1, DeviceClass::Workstation, 40), story.device(2, DeviceClass::Server, 40));
        story.talk(pc, names, 53, Some("dns"));
        story.at(DAY + HOUR);
        story.devices.get_mut(&names).unwrap().last = story.now;
        (story, pc, names)
    }

    fn claims(story: &mut Story, pc: DeviceId, names: DeviceId, times: usize) {
        let (vlan, ip) = (Vlan::single(40), story.ip(names));
        (0..times).for_each(|_| story.sign(pc, Sign::Claims { vlan, ip, holder: names, macs: None }));
    }

    fn answers(story: &mut Story, pc: DeviceId, names: DeviceId, port: u16) {
        let (vlan, ip, transport) = (Vlan::single(40), story.ip(names), IpProto::UDP);
        story.sign(pc, Sign::Poses { owner: names, vlan, ip, transport, port, application: Some("dns") });
    }

    fn served(story: &mut Story) -> Vec<(Option<DeviceId>, Option<u16>)> {
        let found = story.found("new-service");
        found.iter().map(|f| (f.key.device, f.key.service.map(|(_, port)| port))).collect()
    }

    #[test]
    fn who_stands_in_for_another_serves_nothing_new_once_that_is_told() {
        let (mut story, pc, names) = story();
        claims(&mut story, pc, names, 3);
        answers(&mut story, pc, names, 53);
        assert_eq!(served(&mut story), []);
        assert_eq!(story.found("arp-spoof").len(), 1);
        story.restart().wait(HOUR);
        answers(&mut story, pc, names, 53);
        assert_eq!(served(&mut story), [], "it goes on");
        // What it serves by itself is told.
        story.sign(pc, Sign::Serves { transport: IpProto::UDP, port: 69, application: None });
        assert_eq!(served(&mut story), [(Some(pc), Some(69))]);
    }

    #[test]
    fn who_stands_in_for_another_and_was_not_told_to_is_told_with_what_it_serves() {
        let (mut story, pc, names) = story();
        claims(&mut story, pc, names, 1);
        answers(&mut story, pc, names, 53);
        assert_eq!(served(&mut story), [(Some(pc), Some(53))]);
        assert_eq!(story.found("arp-spoof").len(), 0);
        // It was told of another address, or more than a day ago.
        let (mut story, pc, names) = self::story();
        let other = story.device(3, DeviceClass::Server, 40);
        claims(&mut story, pc, other, 3);
        answers(&mut story, pc, names, 53);
        assert_eq!(served(&mut story), [(Some(pc), Some(53))]);
        let (mut story, pc, names) = self::story();
        claims(&mut story, pc, names, 3);
        assert_eq!(story.found("arp-spoof").len(), 1);
        story.wait(DAY + HOUR);
        answers(&mut story, pc, names, 53);
        assert_eq!(served(&mut story), [(Some(pc), Some(53))]);
    }

    #[test]
    fn what_waits_to_be_judged_goes_with_the_device() {
        let (mut story, pc, names) = story();
        let old = story.device(7, DeviceClass::Workstation, 40);
        answers(&mut story, old, names, 53);
        story.merge(old, pc);
        assert_eq!(served(&mut story), [(Some(pc), Some(53))]);
    }
}
