//! A device that is plugged in somewhere else.

use super::window::{Recent, Rows, pack, unpack};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::profile::Profile;
use crate::verdict::{Out, Verdict};
use inventory::Sign;
use model::{DeviceClass, DeviceId, Severity, Timestamp};
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    name: "device-moved",
    severity: Severity::Info,
    rises: false,
    posture: false,
    attack: &["T1200"],
    finds: "A learned device that is seen at another switch, access point or port than before (LLDP, CDP, DHCP option 82, \
        RADIUS). Medium for scanners that are built in (CT, MR, X-ray), info for all others.",
    matters: "What is carried about may end in a network that is not meant for it; what cannot be carried was unplugged, or \
        somebody else pretends to be it.",
    innocent: "Pumps, monitors and carts that follow the patient; a patch panel sorted anew; a switch replaced.",
    references: "Medical Device Network Isolation: capture essentials (location); ATT&CK T1200 Hardware Additions.",
    advice: "Ask biomedical engineering whether the move was planned, and correct the place in the inventory.",
    contain: "",
    wants: Wants::SIGNS,
    watch: || Box::<Moved>::default(),
};

/// Devices of which the place is known, and moves that wait to be judged, at most.
const MOST_PLACES: usize = 32_768;
const MOST_WAITING: usize = 4_096;

/// Where devices were seen last, and what they said since the last minute.
#[derive(Debug)]
struct Moved {
    places: Recent<u32, String>,
    waiting: BTreeMap<DeviceId, Vec<(Timestamp, String)>>,
}

impl Default for Moved {
    fn default() -> Self {
        Self { places: Recent::new(MOST_PLACES), waiting: BTreeMap::new() }
    }
}

/// Places of one device within a minute, at most.
const MOST_AT_ONCE: usize = 8;

impl Watch for Moved {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        let Sign::New { attribute, value } = seen.sign else { return };
        if attribute.as_str() != "attachment"
            || (self.waiting.len() >= MOST_WAITING && !self.waiting.contains_key(&seen.device))
        {
            return;
        }
        let places = self.waiting.entry(seen.device).or_default();
        if places.len() < MOST_AT_ONCE {
            places.push((seen.ts, value.as_str().to_owned()));
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for (id, places) in std::mem::take(&mut self.waiting) {
            let Some(profile) = view.profile(id) else { continue };
            let before = self.places.get(&profile.id().0).cloned();
            let (Some((first, _)), Some((last, place))) = (places.first(), places.last()) else { continue };
            place.clone_into(self.places.entry(*last, profile.id().0));
            // Who was nowhere did not move.
            let Some(before) = before.filter(|before| before != place) else { continue };
            if view.is_armed(profile.id()) && !view.is_newcomer(&profile) {
                let stays = std::iter::once(&before).chain(places.iter().map(|(_, place)| place));
                let moves = stays.clone().zip(stays.skip(1)).filter(|(from, to)| from != to).count();
                raise(&profile, &before, place, (*first, *last, moves as u64), view, out);
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.places.rename(&from.0, into.0, |_, _| {});
    }

    fn save(&self) -> Vec<u8> {
        if self.places.is_empty() { Vec::new() } else { pack(&self.places.rows()) }
    }

    fn restore(&mut self, saved: &[u8]) {
        self.places.fill(unpack::<Rows<u32, String>>(saved).unwrap_or_default());
    }
}

fn raise(
    profile: &Profile,
    before: &str,
    place: &str,
    (first, last, n): (Timestamp, Timestamp, u64),
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let is_built_in = matches!(profile.class(), DeviceClass::Ct | DeviceClass::Mr | DeviceClass::Xray);
    let title =
        format!("{} ({}) is now at {}", profile.name, profile.class(), place.replace(" | ", " port "));
    let verdict = Verdict::new(&RULE, Some(profile.id()), last, title)
        .severity(if is_built_in { Severity::Medium } else { Severity::Info })
        .between(first, last)
        .times(n)
        .found(word("place", place))
        .found([number("places", n), number("threshold", 1)])
        .normal(word("place_before", before));
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story, text};
    use inventory::Sign;
    use model::{Attribute, DeviceClass, DeviceId, Severity};

    const RULE: &str = "device-moved";

    fn at(story: &mut Story, id: DeviceId, place: &str) {
        story.sign(id, Sign::New { attribute: Attribute::other("attachment"), value: text(place) });
    }

    fn learned(classes: &[DeviceClass]) -> (Story, Vec<DeviceId>) {
        let mut story = Story::new(DAY);
        let pacs = story.device(100, DeviceClass::Pacs, 30);
        let devices: Vec<_> = (1..).zip(classes).map(|(n, class)| story.device(n, *class, 20)).collect();
        for id in &devices {
            story.talk(*id, pacs, 104, Some("dicom"));
            at(&mut story, *id, "sw-1 | Gi1/0/1");
        }
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR);
        (story, devices)
    }

    #[test]
    fn a_scanner_that_moves_is_more_than_a_pump() {
        let (mut story, devices) =
            learned(&[DeviceClass::Ct, DeviceClass::InfusionPump, DeviceClass::Workstation]);
        story.restart();
        devices.iter().for_each(|id| at(&mut story, *id, "sw-2 | Gi1/0/7"));
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device.unwrap(), f.severity, f.count)).collect();
        let expected = [Severity::Medium, Severity::Info, Severity::Info];
        assert_eq!(brief, devices.iter().zip(expected).map(|(id, s)| (*id, s, 1)).collect::<Vec<_>>());
        assert!(found[0].title.as_str().ends_with("is now at sw-2 port Gi1/0/7"), "{}", found[0].title);
    }

    #[test]
    fn who_was_nowhere_or_is_new_did_not_move() {
        let (mut story, devices) = learned(&[DeviceClass::Ct]);
        at(&mut story, devices[0], "sw-1 | Gi1/0/1");
        let new = story.device(9, DeviceClass::Ct, 20);
        at(&mut story, new, "sw-1 | Gi1/0/2");
        assert_eq!(story.found(RULE).len(), 0);
        at(&mut story, new, "sw-1 | Gi1/0/3");
        assert_eq!(story.found(RULE).len(), 0, "it is not learned yet");
        let pacs = DeviceId(100);
        at(&mut story, pacs, "sw-1 | Gi1/0/4");
        assert_eq!(story.found(RULE).len(), 0, "said for the first time");
    }
}
