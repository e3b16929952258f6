//! Whose network card is whose.

use super::{Impersonation, MOST_SHARED};
use crate::judge::View;
use crate::profile::Profile;
use crate::rules::copied::raise_card;
use crate::verdict::Out;
use model::{DeviceId, Timestamp};
use std::collections::BTreeMap;
use std::rc::Rc;

impl Impersonation {
    /// Notes whose MAC is whose; a newcomer that has a learned device's is told of.
    pub(super) fn card(&mut self, profile: &Profile, since: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
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
}
