//! Whose MAC is whose: a newcomer that has a learned device's is told of.

use super::copied::raise_card;
use super::window::{Recent, Rows};
use crate::judge::{SignSeen, View};
use crate::profile::Profile;
use crate::verdict::Out;
use model::{DeviceId, Timestamp};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Devices and MACs that are known, and devices that wait for the end of the minute, at most.
const MOST_KNOWN: usize = 32_768;
const MOST_WAITING: usize = 1_024;
/// Devices that are told apart under one MAC, at most.
const MOST_SHARED: usize = 4;

/// As it is saved: devices by MAC, and those whose MACs were noted.
pub(super) type Macs = Rows<[u8; 6], Vec<u32>>;
pub(super) type Noted = Rows<u32, ()>;

#[derive(Debug)]
pub(super) struct Cards {
    /// Learned devices by MAC: more than one where machines share a card.
    macs: Recent<[u8; 6], Vec<u32>>,
    /// Devices whose MACs were noted.
    noted: Recent<u32, ()>,
    /// Devices that were heard and not looked at yet, and since when.
    heard: BTreeMap<DeviceId, Timestamp>,
}

impl Default for Cards {
    fn default() -> Self {
        Self { macs: Recent::new(MOST_KNOWN), noted: Recent::new(MOST_KNOWN), heard: BTreeMap::new() }
    }
}

impl Cards {
    pub(super) fn is_empty(&self) -> bool {
        self.macs.is_empty() && self.noted.is_empty()
    }

    pub(super) fn hear(&mut self, seen: &SignSeen<'_>) {
        if self.heard.len() < MOST_WAITING && !self.noted.contains(&seen.device.0) {
            self.heard.entry(seen.device).or_insert(seen.ts);
        }
    }

    pub(super) fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for (id, since) in std::mem::take(&mut self.heard) {
            if let Some(profile) = view.profile(id) {
                self.card(&profile, since, view, out);
            }
        }
    }

    /// Notes whose MAC is whose; a newcomer that has a learned device's is told of.
    fn card(&mut self, profile: &Profile, since: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
        let is_newcomer = view.is_newcomer(profile);
        if profile.device.macs.is_empty() {
            return;
        }
        self.noted.entry(since, profile.id().0);
        for mac in &profile.device.macs {
            let own = profile.id().0;
            let known = self.macs.get(&mac.0).map(Vec::as_slice).unwrap_or_default();
            // Two that shared a card and turned out to be one share it no more, nor does one that it was taken from again.
            let devices: BTreeMap<u32, Rc<Profile>> = known
                .iter()
                .filter_map(|id| view.profile(DeviceId(*id)))
                .filter(|profile| profile.device.macs.contains(mac))
                .map(|profile| (profile.id().0, profile))
                .collect();
            match devices.first_key_value() {
                Some((id, owner)) if is_newcomer && devices.len() == 1 => {
                    if *id != own && view.is_armed(owner.id()) {
                        raise_card(profile, owner, mac, since, view, out);
                    }
                }
                _ if devices.contains_key(&own) || known.len() >= MOST_SHARED || is_newcomer => {}
                _ => self.macs.entry(since, mac.0).push(own),
            }
        }
    }

    pub(super) fn renamed(&mut self, from: u32, into: u32) {
        self.noted.rename(&from, into, |(), ()| {});
    }

    pub(super) fn macs(&self) -> Rows<&[u8; 6], &Vec<u32>> {
        self.macs.rows()
    }

    pub(super) fn noted(&self) -> Rows<&u32, &()> {
        self.noted.rows()
    }

    pub(super) fn fill(&mut self, macs: Macs, noted: Noted) {
        self.macs.fill(macs);
        self.noted.fill(noted);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story, no_lease};
    use inventory::Sign;
    use model::{DeviceClass, Lease, LeaseMessage};

    #[test]
    fn whose_card_was_told_of_is_told_once_wherever_it_is_interrupted() {
        for restarts in [false, true] {
            let mut story = Story::new(DAY);
            let owner = story.device(1, DeviceClass::Ct, 20);
            story.talk(owner, owner, 104, None);
            story.at(DAY + HOUR);
            let new = story.device(30, DeviceClass::Unknown, 20);
            story.devices.get_mut(&new).unwrap().macs = story.devices[&owner].macs.clone();
            let counts = |story: &mut Story| -> Vec<u64> {
                story.found("impersonation").iter().map(|finding| finding.count).collect()
            };
            assert_eq!(counts(&mut story), [1]);
            if restarts {
                story.restart();
            }
            story.wait(600 * SECOND);
            story.sign(new, Sign::Lease(Lease { message: LeaseMessage::Ack, ..no_lease() }));
            assert_eq!(counts(&mut story), [1], "{restarts}");
        }
    }
}
