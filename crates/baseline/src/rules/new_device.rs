//! A device that was never seen before.

use super::window::rename;
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::verdict::{Out, Verdict};
use crate::profile::Profile;
use inventory::Sign;
use model::{DeviceId, LeaseMessage, Severity, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

pub(super) static RULE: Rule = Rule {
    name: "new-device",
    severity: Severity::Low,
    rises: false,
    posture: false,
    attack: &["T1200", "T0864"],
    finds: "A device that was never seen before, once the site is learned: it was granted a DHCP lease, or its address or \
        what it says was heard for more than a moment. Medium in a clinical zone and for clinical classes, low elsewhere. \
        Newcomers with random MACs elsewhere are one note a zone and day. One that turns out to be a device known \
        before is a note about that one from then on.",
    matters: "What nobody knows nobody has checked: it may be an intruder's, or a device that went live without security.",
    innocent: "Purchases, loans, repairs with another network card, visitors' telephones.",
    references: "Medical Device Access Management: quarantine unknown endpoints; ATT&CK T1200 Hardware Additions.",
    advice: "Ask biomedical engineering or IT whose it is, and put it into the inventory.",
    contain: "Until then its switch port can be shut.",
    wants: Wants::SIGNS,
    watch: || Box::<NewDevice>::default(),
};

/// Newcomers that wait for a second word, at most.
const MOST: usize = 4_096;

/// How long they wait, in nanoseconds.
const PATIENCE: i64 = 600 * 1_000_000_000;

#[derive(Debug, Default)]
struct NewDevice {
    /// Since when, and whether it was granted a lease.
    waiting: BTreeMap<DeviceId, (Timestamp, bool)>,
    /// Who turned out in this minute to be another one, too.
    joined: BTreeSet<DeviceId>,
}

impl Watch for NewDevice {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        match seen.sign {
            Sign::Appeared if self.waiting.len() < MOST => {
                self.waiting.insert(seen.device, (seen.ts, false));
            }
            Sign::Lease(lease) if lease.message == LeaseMessage::Ack => {
                if let Some((_, leased)) = self.waiting.get_mut(&seen.device) {
                    *leased = true;
                }
            }
            _ => {}
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.joined.remove(&from);
        self.joined.insert(into);
        rename(&mut self.waiting, &from, into, |(since, leased), other| {
            *since = other.0.min(*since);
            *leased |= other.1;
        });
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        // A newcomer that turns out to be somebody known is nobody new.
        for id in std::mem::take(&mut self.joined) {
            if view.profile(id).is_some_and(|profile| !view.is_newcomer(&profile)) {
                out.lower_all(&RULE, id, "turned out to be a device that was known before");
            }
        }
        let mut later = BTreeMap::new();
        for (id, (since, leased)) in std::mem::take(&mut self.waiting) {
            if !view.is_site_armed(since) {
                continue;
            }
            let Some(profile) = view.profile(id).filter(|profile| view.is_newcomer(profile)) else { continue };
            let device = &profile.device;
            // Whoever only asks for an address, or was only spoken of, is nobody yet.
            let settled = leased || (!device.addresses.is_empty() && device.last > device.first);
            if settled {
                raise(&profile, since, view, out);
            } else if view.now.since(since) < PATIENCE {
                later.insert(id, (since, leased));
            }
        }
        self.waiting = later;
    }
}

fn raise(profile: &Profile, since: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
    let is_random = !profile.device.macs.is_empty() && profile.device.macs.iter().all(|mac| mac.is_local());
    let severity = if profile.is_clinical() { Severity::Medium } else { Severity::Low };
    let place = profile.zone.as_ref().map(|zone| format!(" in {zone}")).unwrap_or_default();
    let at = profile.device.first.max(since);
    let verdict = if is_random && !profile.is_clinical() {
        // Visitors' telephones take another MAC every day.
        let title = format!("Devices with random MACs are new{place}, lastly {}", profile.name);
        Verdict::new(&RULE, None, at, title).severity(Severity::Info).apart(&format!("random MACs{place}"))
    } else {
        let title = format!("{} ({}) is new{place}", profile.name, profile.class());
        Verdict::new(&RULE, Some(profile.id()), at, title).severity(severity)
    };
    let verdict = verdict
        .between(profile.device.first, profile.device.last)
        .found([number("macs", profile.device.macs.len() as u64)])
        .found(word("first_seen", &profile.device.first.to_string()))
        .normal(view.armed_from.and_then(|from| word("devices_known_until", &from.to_string())));
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use inventory::Sign;
    use model::{DeviceClass, Lease, LeaseMessage, Mac, Severity, Vlan};

    fn ack() -> Sign {
        let (message, vlan) = (LeaseMessage::Ack, Vlan::NONE);
        let none = Lease { message, vlan, ip: None, server: None, relay: None, seconds: None, renewal: None, rebinding: None };
        Sign::Lease(none)
    }

    #[test]
    fn a_newcomer_to_a_learned_site_is_told_of_once() {
        let mut story = Story::new(DAY);
        story.device(1, DeviceClass::Ct, 20);
        assert_eq!(story.found("new-device").len(), 0, "while learning, everything is new");
        story.at(DAY + HOUR);
        let pump = story.device(2, DeviceClass::InfusionPump, 26);
        let laptop = story.device(3, DeviceClass::Workstation, 40);
        let found = story.found("new-device");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(brief, [(Some(pump), Severity::Medium), (Some(laptop), Severity::Low)]);
        assert!(found[0].advice.as_str().starts_with("Do not isolate it"), "{}", found[0].advice);
        assert!(found[1].advice.as_str().contains("switch port"));
        assert_eq!(story.restart().found("new-device").len(), 2, "also after a restart");
    }

    #[test]
    fn a_newcomer_that_turns_out_to_be_somebody_known_is_a_note_about_that_one() {
        let mut story = Story::new(DAY);
        let known = story.device(1, DeviceClass::Ct, 20);
        story.at(DAY + HOUR);
        let [new, other] = [2, 3].map(|n| story.device(n, DeviceClass::Unknown, 40));
        assert_eq!(story.found("new-device").len(), 2);
        story.merge(new, known);
        let brief = |found: &[model::Finding]| -> Vec<_> {
            found.iter().map(|f| (f.key.device, f.severity)).collect()
        };
        let expected = [(Some(known), Severity::Info), (Some(other), Severity::Low)];
        assert_eq!(brief(&story.found("new-device")), expected);
        assert_eq!(brief(&story.restart().found("new-device")), expected);
    }

    #[test]
    fn who_only_asks_for_an_address_is_nobody_yet() {
        let mut story = Story::new(DAY);
        story.at(DAY + HOUR);
        let id = story.device(4, DeviceClass::Unknown, 40);
        story.devices.get_mut(&id).unwrap().addresses.clear();
        assert_eq!(story.found("new-device").len(), 0);
        story.devices.get_mut(&id).unwrap().macs = vec![Mac([2, 0, 0, 0, 0, 4])];
        story.sign(id, ack());
        let found = story.found("new-device");
        assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Info], "a random MAC");
    }

    #[test]
    fn random_macs_are_one_note_a_zone_and_no_excuse_where_care_is() {
        let mut story = Story::new(DAY);
        story.at(DAY + HOUR);
        for (n, zone) in [(4, 40), (5, 40), (6, 30), (7, 26)] {
            let id = story.device(n, DeviceClass::Unknown, zone);
            story.devices.get_mut(&id).unwrap().macs = vec![Mac([2, 0, 0, 0, 0, n])];
        }
        let found = story.found("new-device");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device.map(|id| id.0), f.severity, f.count)).collect();
        let (note, told) = (Severity::Info, Severity::Medium);
        assert_eq!(brief, [(None, note, 2), (None, note, 1), (Some(7), told, 1)], "{found:#?}");
    }
}
