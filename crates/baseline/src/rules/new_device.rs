//! A device that was never seen before.

use super::window::{pack, rename, unpack};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::profile::Profile;
use crate::verdict::{Out, Peer, Stake, Verdict};
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
        what it says was heard for more than a moment within 10 minutes, or at 3 times within a day. Medium in a clinical \
        zone and for clinical classes, low elsewhere. Three or more in a zone of which each came within an hour of the one \
        before are one finding, as severe as the highest, and what was told of each is a note. \
        Newcomers with random MACs elsewhere are one note a zone and day. One that turns out to be a device known \
        before, or is told to take the place of one that is silent (arp-spoof, dicom-ae-reused), is a note from then on.",
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

/// So long one that is heard seldom may take to be heard so many times, and how often it is looked at, in minutes.
const QUIET: i64 = 24 * 3_600 * 1_000_000_000;
const TIMES: u8 = 3;
const EVERY: i64 = 5;

/// So many newcomers to a zone are a batch, if each comes within the span of the one before.
const BATCH: usize = 3;
const SPAN: i64 = 3_600 * 1_000_000_000;
/// Zones of which newcomers are remembered, newcomers of each, and those that are named, at most.
const MOST_ZONES: usize = 256;
const MOST_OF_A_ZONE: usize = 1_024;
const MOST_NAMES: usize = 8;

/// A newcomer that was told: when it came, whether as part of a batch, and whether care depends on it.
type Told = (i64, bool, bool);

/// What is saved.
type Saved = (Vec<(u32, i64, bool)>, Vec<(u32, i64, i64, u8)>, BTreeMap<String, BTreeMap<u32, Told>>);

#[derive(Debug, Default)]
struct NewDevice {
    /// Since when, and whether it was granted a lease.
    waiting: BTreeMap<DeviceId, (Timestamp, bool)>,
    /// Those that are heard seldom: since when, when last, and how many times.
    quiet: BTreeMap<DeviceId, (Timestamp, Timestamp, u8)>,
    /// Who came to a zone of late.
    batches: BTreeMap<String, BTreeMap<u32, Told>>,
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
        rename(&mut self.quiet, &from, into, |(since, last, times), other| {
            (*since, *last) = (other.0.min(*since), other.1.max(*last));
            *times = times.saturating_add(other.2);
        });
        for batch in self.batches.values_mut() {
            rename(batch, &from.0, into.0, |own, other| {
                *own = (own.0.min(other.0), own.1 | other.1, own.2 | other.2)
            });
        }
    }

    fn save(&self) -> Vec<u8> {
        if self.waiting.is_empty() && self.quiet.is_empty() && self.batches.is_empty() {
            return Vec::new();
        }
        let waiting: Vec<_> =
            self.waiting.iter().map(|(id, (since, leased))| (id.0, since.0, *leased)).collect();
        let quiet: Vec<_> =
            self.quiet.iter().map(|(id, (since, last, times))| (id.0, since.0, last.0, *times)).collect();
        pack(&(waiting, quiet, &self.batches))
    }

    fn restore(&mut self, saved: &[u8]) {
        let Some((waiting, quiet, batches)) = unpack::<Saved>(saved) else { return };
        let waiting = waiting.into_iter().take(MOST);
        self.waiting =
            waiting.map(|(id, since, leased)| (DeviceId(id), (Timestamp(since), leased))).collect();
        let quiet = quiet.into_iter().take(MOST);
        self.quiet = quiet
            .map(|(id, since, last, times)| (DeviceId(id), (Timestamp(since), Timestamp(last), times)))
            .collect();
        self.batches = batches;
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        // A newcomer that turns out to be somebody known is nobody new.
        for id in std::mem::take(&mut self.joined) {
            if view.profile(id).is_some_and(|profile| !view.is_newcomer(&profile)) {
                out.lower_all(&RULE, id, "turned out to be a device that was known before");
                for batch in self.batches.values_mut() {
                    batch.remove(&id.0);
                }
            }
        }
        let mut later = BTreeMap::new();
        for (id, (since, leased)) in std::mem::take(&mut self.waiting) {
            if !view.is_site_armed(since) {
                continue;
            }
            let Some(profile) = view.profile(id).filter(|profile| view.is_newcomer(profile)) else {
                continue;
            };
            let device = &profile.device;
            // Whoever only asks for an address, or was only spoken of, is nobody yet.
            let settled = leased || (!device.addresses.is_empty() && device.last > device.first);
            if settled {
                self.newcomer(&profile, since, view, out);
            } else if view.now.since(since) < PATIENCE {
                later.insert(id, (since, leased));
            } else if self.quiet.len() < MOST {
                self.quiet.insert(id, (since, device.last, 1));
            }
        }
        self.waiting = later;
        self.listen(view, out);
        for id in view.heirs.borrow().keys() {
            out.lower_all(&RULE, *id, "takes the place of a known device, which is told by itself");
        }
    }
}

impl NewDevice {
    /// Those that are heard seldom are nobody until they were heard some times.
    fn listen(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let round = view.now.seconds() / 60 % EVERY;
        let due =
            self.quiet.keys().copied().filter(|id| i64::from(id.0) % EVERY == round).collect::<Vec<_>>();
        for id in due {
            let Some((since, last, times)) = self.quiet.get_mut(&id) else { continue };
            let profile = view.profile(id).filter(|profile| view.is_newcomer(profile));
            let is_over = view.now.since(*since) > QUIET;
            let Some(profile) = profile.filter(|_| !is_over) else {
                self.quiet.remove(&id);
                continue;
            };
            if profile.device.last > *last {
                (*last, *times) = (profile.device.last, times.saturating_add(1));
            }
            let since = *since;
            if *times >= TIMES && !profile.device.addresses.is_empty() {
                self.quiet.remove(&id);
                self.newcomer(&profile, since, view, out);
            }
        }
    }

    /// A newcomer is told, by itself or as one of a batch.
    fn newcomer(&mut self, profile: &Profile, since: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
        let is_visitor = is_random(profile) && !profile.is_clinical();
        let place = place(profile);
        self.batches.retain(|_, batch| {
            batch
                .values()
                .map(|(at, ..)| *at)
                .max()
                .is_some_and(|last| view.now.0.saturating_sub(last) <= 2 * SPAN)
        });
        let has_room = self.batches.len() < MOST_ZONES || self.batches.contains_key(&place);
        if is_visitor || !has_room {
            return raise(profile, since, view, out);
        }
        let at = profile.device.first.max(since);
        let batch = self.batches.entry(place.clone()).or_default();
        // Who came too long before the next is no part of it.
        let mut times: Vec<i64> = batch.values().map(|(at, ..)| *at).chain([at.0]).collect();
        times.sort_unstable();
        let gap =
            times.windows(2).rev().find(|pair| pair[1].saturating_sub(pair[0]) > SPAN).map(|pair| pair[1]);
        batch.retain(|_, (at, ..)| gap.is_none_or(|from| *at >= from));
        if batch.len() < MOST_OF_A_ZONE {
            batch.insert(profile.id().0, (at.0, false, profile.is_clinical()));
        }
        if batch.len() < BATCH {
            return raise(profile, since, view, out);
        }
        let is_told = |(_, is_part, _): &Told| *is_part;
        let new: Vec<u32> = batch.iter().filter(|(_, told)| !is_told(told)).map(|(id, _)| *id).collect();
        for id in &new {
            out.lower_all(&RULE, DeviceId(*id), "part of a batch of newcomers");
            if let Some((_, is_part, _)) = batch.get_mut(id) {
                *is_part = true;
            }
        }
        raise_batch(&place, batch, new.len(), view, out);
    }
}

/// Whether a device is known by random MACs only.
fn is_random(profile: &Profile) -> bool {
    !profile.device.macs.is_empty() && profile.device.macs.iter().all(|mac| mac.is_local())
}

const fn severity(is_clinical: bool) -> Severity {
    if is_clinical { Severity::Medium } else { Severity::Low }
}

/// Where a device is: its zone, else its VLAN.
fn place(profile: &Profile) -> String {
    let vlan = || profile.device.vlans.first().map(|vlan| format!(" in VLAN {vlan}"));
    profile.zone.as_ref().map(|zone| format!(" in {zone}")).or_else(vlan).unwrap_or_default()
}

fn raise_batch(place: &str, batch: &BTreeMap<u32, Told>, new: usize, view: &View<'_>, out: &mut Out<'_>) {
    let profiles: Vec<_> = batch.keys().filter_map(|id| view.profile(DeviceId(*id))).collect();
    let times = || batch.values().map(|(at, ..)| *at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return };
    let highest = severity(batch.values().any(|(.., is_clinical)| *is_clinical));
    let names: Vec<&str> = profiles.iter().take(MOST_NAMES).map(|profile| profile.name.as_str()).collect();
    let more = profiles.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let stake = profiles.iter().map(|profile| Stake::of(profile)).max().unwrap_or_default();
    let zone = profiles.first().and_then(|profile| profile.zone.clone());
    let title =
        format!("{} devices are new{place} within a short time: {}{more}", batch.len(), names.join(", "));
    // It is told of the one that came first.
    let came_first = batch.iter().min_by_key(|(id, (at, ..))| (*at, **id)).map(|(id, _)| DeviceId(*id));
    let verdict = Verdict::new(&RULE, came_first, Timestamp(last), title)
        .peer(Peer::Many(batch.len() as u64))
        .severity(highest)
        .many(zone, stake)
        .apart(&format!("batch{place} since {}", Timestamp(first)))
        .begun(Timestamp(first))
        .between(Timestamp(first), Timestamp(last))
        .times(new as u64)
        .found([number("new_devices", batch.len() as u64), number("least", BATCH as u64)])
        .found(word("devices", &format!("{}{more}", names.join(", "))))
        .normal(view.armed_from.and_then(|from| word("devices_known_until", &from.to_string())));
    out.raise(view, verdict);
}

fn raise(profile: &Profile, since: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
    let place = profile.zone.as_ref().map(|zone| format!(" in {zone}")).unwrap_or_default();
    let at = profile.device.first.max(since);
    let verdict = if is_random(profile) && !profile.is_clinical() {
        // Visitors' telephones take another MAC every day.
        let title = format!("Devices with random MACs are new{place}, lastly {}", profile.name);
        Verdict::new(&RULE, None, at, title).severity(Severity::Info).apart(&format!("random MACs{place}"))
    } else {
        let title = format!("{} ({}) is new{place}", profile.name, profile.class());
        Verdict::new(&RULE, Some(profile.id()), at, title).severity(severity(profile.is_clinical()))
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
    use crate::rules::story::{DAY, HOUR, SECOND, Story, no_lease};
    use inventory::Sign;
    use model::{DeviceClass, Lease, LeaseMessage, Mac, Severity};

    const MINUTE: i64 = 60 * SECOND;

    fn ack() -> Sign {
        Sign::Lease(Lease { message: LeaseMessage::Ack, ..no_lease() })
    }

    #[test]
    fn nobody_is_new_before_learning_was_ended_and_without_that_for_a_week() {
        for (until, told) in [(Some(9), [0, 1]), (None, [1, 2])] {
            let mut story = Story::with(0, |config| {
                config.learning.until = until.map(|days| config.learning.until.unwrap().plus(days * DAY));
            });
            let desk = story.device(1, DeviceClass::Workstation, 40);
            story.sign(desk, Sign::Appeared);
            for (id, day, told) in [(2, 8, told[0]), (3, 10, told[1])] {
                story.at(day * DAY);
                let new = story.device(id, DeviceClass::Workstation, 40);
                story.sign(new, Sign::Appeared);
                story.sign(new, ack());
                story.restart().wait(3 * HOUR);
                assert_eq!(story.found("new-device").len(), told, "{until:?}, day {day}");
            }
        }
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
    fn a_batch_is_one_finding() {
        let mut story = Story::new(DAY);
        story.at(DAY + HOUR);
        let brief = |story: &mut Story| -> Vec<_> {
            story
                .found("new-device")
                .iter()
                .map(|f| (f.key.device.map(|id| id.0), f.severity, f.count))
                .collect()
        };
        let (low, note, high) = (Severity::Low, Severity::Info, Severity::Medium);
        let mut told = vec![];
        for n in 1..=10 {
            // The fourth is a pump among the computers; the others are at a desk in another zone.
            story.device(n, if n == 4 { DeviceClass::InfusionPump } else { DeviceClass::Workstation }, 40);
            story.wait(40 * MINUTE).restart();
            told.push(brief(&mut story));
        }
        assert_eq!(told[1], [(Some(1), low, 1), (Some(2), low, 1)]);
        assert_eq!(told[2], [(Some(1), note, 1), (Some(2), note, 1), (Some(1), low, 3)]);
        assert_eq!(told[9], [(Some(1), note, 1), (Some(2), note, 1), (Some(1), high, 10)]);
        let found = story.found("new-device");
        assert!(
            found[2].title.as_str().starts_with("10 devices are new in office")
                && found[2].title.as_str().ends_with("and 2 more")
        );
        assert!(found[2].advice.as_str().starts_with("Isolate none of them"), "{}", found[2].advice);
        assert!(!found[2].advice.as_str().contains("shut"), "{}", found[2].advice);
        // Elsewhere, and later, it is another one.
        story.device(11, DeviceClass::Workstation, 30);
        story.wait(2 * HOUR);
        story.device(12, DeviceClass::Workstation, 40);
        assert_eq!(brief(&mut story)[3..], [(Some(11), low, 1), (Some(12), low, 1)]);
    }

    #[test]
    fn who_is_heard_seldom_is_told_when_it_was_heard_at_three_times() {
        for (times, pause, told) in [(3, 25, 1), (2, 25, 0), (3, 13 * 60, 0)] {
            let mut story = Story::new(DAY);
            story.at(DAY + HOUR);
            let id = story.device(4, DeviceClass::Unknown, 26);
            let first = story.now;
            story.devices.get_mut(&id).unwrap().last = first;
            for _ in 1..times {
                story.wait(11 * MINUTE).restart().wait((pause - 11) * MINUTE);
                let now = story.now;
                story.devices.get_mut(&id).unwrap().last = now;
                for _ in 0..5 {
                    story.wait(MINUTE);
                }
            }
            assert_eq!(story.found("new-device").len(), told, "{times} {pause}");
        }
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
        let brief: Vec<_> =
            found.iter().map(|f| (f.key.device.map(|id| id.0), f.severity, f.count)).collect();
        let (note, told) = (Severity::Info, Severity::Medium);
        assert_eq!(brief, [(None, note, 2), (None, note, 1), (Some(7), told, 1)], "{found:#?}");
    }
}
