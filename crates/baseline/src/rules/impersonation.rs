//! A known device that suddenly is another machine.

mod cards;

use super::copied::Copies;
use super::said::{ATTRIBUTES, FINGERPRINT, FIRMWARE, Known, SPAN, Said};
use super::updates::{self, Changed, ChangedBefore, Group, LONGEST, Update, group, note};
use super::window::{Recent, Rows, pack_as, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::lists::listed;
use crate::profile::Profile;
use crate::verdict::{Out, Peer, Verdict};
use inventory::Sign;
use model::{DeviceId, LeaseMessage, Severity, Timestamp};
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    name: "impersonation",
    severity: Severity::High,
    rises: true,
    posture: false,
    attack: &["T1036", "T0849", "T1200"],
    finds: "A learned device whose DHCP fingerprint changes and, within ten minutes, its host name, vendor class, \
        manufacturer, model or serial number as well; one of which two of the last three change within ten minutes; or \
        a newcomer with the MAC of one learned device. Or one that says the SMBIOS UUID, DHCP client identifier or \
        serial number of a learned device, when both go on beside each other for most of an hour: medium, and high \
        where they differ in zone, VLAN or what they tell of themselves. Critical where a life hangs on one of them. \
        Where only versions change (of the DHCP vendor class, of the firmware, of a program) that is an update: one \
        note of severity info for each class of device and day, and for those that are updated alike within 14 days of \
        each other, under the day of the first. So are three or more devices of a class that change alike within 14 \
        days; what was told of the first of them becomes a note, too. Network boot does not count.",
    matters: "A MAC is easily copied: with that of a monitor or a printer an intruder passes the network's admission control.",
    innocent: "An operating system set up anew, an update that changes more than versions, a network card moved to another \
        machine, docks; a machine that goes on through two cards at once.",
    references: "RFC 2131 options 12, 55, 60; Medical Device Access Management: quarantine unknown endpoints; ATT&CK T1036 \
        Masquerading, T0849 Masquerading (ICS).",
    advice: "Compare the switch port with where the device stands, and ask biomedical engineering whether it was serviced.",
    contain: "",
    wants: Wants::SIGNS,
    watch: || Box::<Impersonation>::default(),
};

/// The layout of what is saved: before 2, what a device had said was not kept, but that it had a fingerprint; before 3, not
/// to which version it was updated, nor when a wave began.
const LAYOUT: u8 = 3;
const BEFORE: u8 = 2;
/// So many devices of a class that change alike are a wave.
const WAVE: usize = 3;
/// Devices and MACs that are known, changes that are remembered, and what waits to be judged, at most.
const MOST_KNOWN: usize = 32_768;
const MOST_CHANGES: usize = 4_096;
const MOST_WAITING: usize = 1_024;
/// Devices that are told apart under one MAC, at most.
const MOST_SHARED: usize = 4;
#[derive(Debug)]
struct Impersonation {
    /// What devices had said of themselves.
    known: Recent<u32, Known>,
    said: Recent<u32, Said>,
    changes: Recent<u32, Changed>,
    /// Learned devices by MAC: more than one where machines share a card.
    macs: Recent<[u8; 6], Vec<u32>>,
    /// Devices whose MACs were noted.
    noted: Recent<u32, ()>,
    /// Devices that were heard and not looked at yet, and since when.
    heard: BTreeMap<DeviceId, Timestamp>,
    copies: Copies,
}

impl Default for Impersonation {
    fn default() -> Self {
        Self {
            known: Recent::new(MOST_KNOWN),
            said: Recent::new(MOST_WAITING),
            changes: Recent::new(MOST_CHANGES),
            macs: Recent::new(MOST_KNOWN),
            noted: Recent::new(MOST_KNOWN),
            heard: BTreeMap::new(),
            copies: Copies::default(),
        }
    }
}

type Saved<C> = (Rows<u32, Known>, Rows<u32, Said>, Rows<u32, C>, Rows<[u8; 6], Vec<u32>>);

impl Watch for Impersonation {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        match seen.sign {
            Sign::New { attribute, value } => {
                let place = ATTRIBUTES.iter().position(|(known, _)| known == attribute);
                if let Some(place) =
                    place.and_then(|at| self.said.entry(seen.ts, seen.device.0).all.get_mut(at))
                {
                    *place = Some((seen.ts.0, value.as_str().to_owned()));
                }
            }
            // By a number that it has no more it said again what it is.
            Sign::Known { attribute, value } => {
                let place = ATTRIBUTES.iter().position(|(known, _)| known == attribute);
                let said = self.said.get_mut(&seen.device.0);
                if let Some(said) = place.zip(said).and_then(|(at, said)| said.all.get_mut(at))
                    && said.as_ref().is_some_and(|(_, said)| said == value.as_str())
                {
                    *said = None;
                }
            }
            Sign::Copied { what, owner } => self.copies.note(seen, what, *owner),
            Sign::Appeared => self.hear(seen),
            Sign::Lease(lease) if lease.message == LeaseMessage::Ack => self.hear(seen),
            _ => {}
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        // As long as a note of them may go on.
        self.changes.forget(view.now.0.saturating_sub(LONGEST));
        for (id, since) in std::mem::take(&mut self.heard) {
            if let Some(profile) = view.profile(id) {
                self.card(&profile, since, view, out);
            }
        }
        self.copies.minute(view, out);
        let (mut later, mut changed) = (Vec::new(), Vec::new());
        let mut updated = BTreeMap::<Group, Vec<Update>>::new();
        let waiting: Vec<_> =
            self.said.rows().into_iter().map(|(id, last, said)| (*id, last, said.clone())).collect();
        for (id, last, mut said) in waiting {
            let Some(profile) = view.profile(DeviceId(id)) else { continue };
            let own = profile.id().0;
            let is_old = view.is_armed(profile.id()) && !view.is_newcomer(&profile) && !said.is_boot();
            if is_old {
                let known = self.known.get(&own).cloned().unwrap_or_default();
                let change = said.change(&known);
                if let (Some(times), None) = (change, said.update(&known)) {
                    changed.push((Changed::of(&profile, &said), profile, said, times));
                    continue;
                }
                let update =
                    change.zip(said.update(&known)).map(|((_, at), (before, now))| (at, Some(before), now));
                let update = update.or_else(|| said.release(&known, &profile));
                if let Some(update) = update.filter(|_| !said.is_noted) {
                    let group = group(&mut self.changes, own, Changed::of(&profile, &said), &update, view);
                    updated.entry(group).or_default().push(update);
                    said.is_noted = true;
                } else if said.is_noted
                    && let Some(change) = self.changes.get_mut(&own)
                {
                    change.fill(&said);
                }
                // The other half may follow, and make an update more than that.
                if view.now.0.saturating_sub(last) <= SPAN {
                    later.push((id, last, said));
                    continue;
                }
            }
            self.known.entry(Timestamp(last), own).learn(&said);
        }
        self.said.forget(i64::MAX);
        self.said.fill(later);
        // Those that changed in the same minute are seen together.
        for (change, profile, _, times) in &changed {
            *self.changes.entry(Timestamp(times.1), profile.id().0) = change.clone();
        }
        for (change, profile, said, times) in changed {
            self.judge(&profile, &said, times, change, view, out);
        }
        for (group, updates) in updated {
            note(&RULE, &self.changes.rows(), &group, &updates, view, out);
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let (from, into) = (from.0, into.0);
        self.known.rename(&from, into, |own, other| {
            own.has.iter_mut().zip(other.has).for_each(|(has, other)| *has |= other);
            own.vendor_class = own.vendor_class.take().or(other.vendor_class);
        });
        self.said.rename(&from, into, Said::absorb);
        self.changes.rename(&from, into, |_, _| {});
        self.noted.rename(&from, into, |(), ()| {});
    }

    fn save(&self) -> Vec<u8> {
        if self.known.is_empty() && self.said.is_empty() && self.macs.is_empty() {
            return Vec::new();
        }
        // Whose MACs were noted is noted again.
        let Self { known, said, changes, macs, .. } = self;
        pack_as(LAYOUT, &(known.rows(), said.rows(), changes.rows(), macs.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        let before = || {
            let (known, said, changes, macs) = unpack_as::<Saved<ChangedBefore>>(BEFORE, saved)?;
            let changes = changes.into_iter().map(|(id, at, change)| (id, at, change.now(at)));
            Some((known, said, changes.collect(), macs))
        };
        if let Some((known, said, changes, macs)) = unpack_as::<Saved<Changed>>(LAYOUT, saved).or_else(before)
        {
            self.known.fill(known);
            self.said.fill(said);
            self.changes.fill(changes);
            self.macs.fill(macs);
        } else if let Some(printed) = unpack::<Rows<u32, ()>>(saved) {
            // What has said all it says is not heard to say it again.
            let mut known = Known::default();
            known.has[FINGERPRINT] = true;
            self.known.fill(printed.into_iter().map(|(id, last, ())| (id, last, known.clone())).collect());
        }
    }
}

impl Impersonation {
    fn hear(&mut self, seen: &SignSeen<'_>) {
        if self.heard.len() < MOST_WAITING && !self.noted.contains(&seen.device.0) {
            self.heard.entry(seen.device).or_insert(seen.ts);
        }
    }

    /// A learned device says it is something else.
    fn judge(
        &mut self,
        profile: &Profile,
        said: &Said,
        (first, last): (i64, i64),
        own: Changed,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let rows = self.changes.rows();
        let is_late = |at: i64| last.saturating_sub(at) <= updates::SPAN;
        let like = || rows.iter().filter(|(_, _, other)| own.is_like(other));
        // A wave is told under the time at which it began, and all that it ever told of are part of it.
        let is_open = |begun: &i64| last.saturating_sub(*begun) <= LONGEST;
        let late = || like().filter(|(_, at, _)| is_late(*at));
        let begun = late().filter_map(|(.., other)| other.wave).filter(is_open).min();
        let is_part = |at: i64, wave: Option<i64>| is_late(at) || (wave.is_some() && wave == begun);
        let of_it = like().filter(|(_, at, other)| is_part(*at, other.wave));
        let alike: Vec<(u32, i64)> = of_it.clone().map(|(id, at, _)| (**id, *at)).collect();
        let new = of_it.filter(|(.., other)| other.wave.is_none()).count() as u64;
        let is_wave = late().count() >= WAVE;
        let begun = begun.or_else(|| alike.iter().map(|(_, at)| *at).min()).unwrap_or(last);
        let class = profile.class();
        let to = own.to();
        let verdict = if let Some(to) = to.filter(|_| is_wave) {
            // The first of them were told one by one.
            for (id, at) in &alike {
                out.lower(view, &RULE, DeviceId(*id), Timestamp(*at), "part of an update wave");
                if let Some(change) = self.changes.get_mut(id) {
                    change.wave = Some(begun);
                }
            }
            let names: Vec<String> = alike.iter().map(|(id, _)| updates::name(*id, view)).collect();
            let title = format!("Update wave: {} devices changed alike, to {to}", alike.len());
            Verdict::new(&RULE, None, Timestamp(last), title)
                .severity(Severity::Info)
                .apart(&format!("update wave to {to}"))
                .begun(Timestamp(begun))
                .peer(Peer::Many(alike.len() as u64))
                .times(new)
                .found(listed(["devices", "more_devices"], &names, names.len()))
        } else {
            let does = if said.at(FINGERPRINT).is_some() { "asks for its address" } else { "speaks" };
            let title = format!("{} ({class}) {does} like another machine", profile.name);
            Verdict::new(&RULE, Some(profile.id()), Timestamp(last), title)
        };
        let told = || ATTRIBUTES.iter().enumerate().filter(|(what, _)| *what < FIRMWARE);
        let changes = told().filter(|(what, _)| said.at(*what).is_some()).count();
        let verdict = verdict
            .between(Timestamp(first), Timestamp(last))
            .found([
                number("changed", changes as u64),
                number("threshold", 2),
                number("within_seconds", (SPAN / 1_000_000_000).unsigned_abs()),
                number("changed_alike", alike.len() as u64),
                number("wave_threshold", WAVE as u64),
            ])
            .found(told().filter_map(|(what, (_, name))| word(name, said.value(what)?)))
            .normal([number("changes_while_learned", 0)])
            .normal(word("known_since", &profile.device.first.to_string()));
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story, text};
    use inventory::Sign;
    use model::{Attribute, DeviceClass, DeviceId, Severity};

    const RULE: &str = "impersonation";

    fn says(story: &mut Story, id: DeviceId, attribute: Attribute, value: &str) {
        story.sign(id, Sign::New { attribute, value: text(value) });
    }

    /// So many learned monitors with a fingerprint.
    fn learned(monitors: u8) -> (Story, Vec<DeviceId>) {
        let mut story = Story::new(DAY);
        let server = story.device(100, DeviceClass::Server, 30);
        let ids: Vec<_> = (1..=monitors).map(|n| story.device(n, DeviceClass::PatientMonitor, 26)).collect();
        for id in &ids {
            story.talk(*id, server, 443, None);
            says(&mut story, *id, Attribute::DHCP_FINGERPRINT, "1,3,6");
            says(&mut story, *id, Attribute::DHCP_HOSTNAME, "monitor");
        }
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR);
        (story, ids)
    }

    #[test]
    fn another_fingerprint_and_name_within_ten_minutes_are_told() {
        for (pause, told) in [(600 * SECOND, 1), (601 * SECOND, 0)] {
            let (mut story, ids) = learned(2);
            says(&mut story, ids[0], Attribute::DHCP_FINGERPRINT, "1,3,6,15,119,252");
            story.wait(SECOND).restart().wait(pause - SECOND);
            says(&mut story, ids[0], Attribute::DHCP_HOSTNAME, "kali");
            let found = story.found(RULE);
            assert_eq!(found.len(), told, "{pause}");
            assert!(found.iter().all(|f| (f.key.device, f.severity) == (Some(ids[0]), Severity::Critical)));
        }
    }

    #[test]
    fn what_a_card_says_that_the_machine_said_before_is_no_change() {
        for (again, told) in [(true, 0), (false, 1)] {
            let (mut story, ids) = learned(2);
            let card = story.device(9, DeviceClass::Unknown, 26);
            let all = [(Attribute::DHCP_FINGERPRINT, "1,3,6"), (Attribute::DHCP_HOSTNAME, "monitor")];
            all.iter().for_each(|(attribute, value)| says(&mut story, card, attribute.clone(), value));
            story.merge(card, ids[0]);
            for (attribute, value) in all.into_iter().filter(|_| again) {
                story.sign(ids[0], Sign::Known { attribute, value: text(value) });
            }
            let found = story.wait(SECOND).found(RULE);
            assert_eq!(found.len(), told, "{found:#?}");
        }
    }

    #[test]
    fn one_of_both_or_a_boot_from_the_network_is_nothing() {
        let (mut story, ids) = learned(2);
        says(&mut story, ids[0], Attribute::DHCP_FINGERPRINT, "1,3,6,15");
        says(&mut story, ids[1], Attribute::DHCP_FINGERPRINT, "1,3,6,43,60");
        says(&mut story, ids[1], Attribute::DHCP_VENDOR_CLASS, "PXEClient:Arch:00007");
        assert_eq!(story.found(RULE).len(), 0);
        let new = story.device(9, DeviceClass::Workstation, 40);
        says(&mut story, new, Attribute::DHCP_FINGERPRINT, "1,3");
        says(&mut story, new, Attribute::DHCP_HOSTNAME, "new");
        assert_eq!(story.found(RULE).len(), 0, "a newcomer is nobody else");
    }

    #[test]
    fn three_that_change_alike_are_a_wave() {
        let (mut story, ids) = learned(4);
        let (mut findings, mut highest) = (Vec::new(), Vec::new());
        for id in &ids {
            says(&mut story, *id, Attribute::DHCP_FINGERPRINT, "1,3,6,42");
            says(&mut story, *id, Attribute::DHCP_VENDOR_CLASS, "new-os 1");
            let found = story.found(RULE);
            findings.push(found.len());
            highest.extend(found.iter().map(|f| f.severity).max());
            if *id == ids[1] {
                story.restart();
            }
            story.wait(3 * DAY);
        }
        assert_eq!(
            findings,
            [1, 2, 3, 3],
            "two by themselves, then one for all of them, under the day of the first"
        );
        assert_eq!(highest, [Severity::Critical, Severity::Critical, Severity::Info, Severity::Info]);
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(brief[1..3], [(Some(ids[1]), Severity::Info), (None, Severity::Info)]);
        let named = crate::findings::word("devices", "host-1, host-2, host-3, host-4").unwrap();
        assert!(found[2].count == 4 && found[2].evidence.contains(&named), "all of them: {:#?}", found[2]);
        let why = crate::findings::word("held", "part of an update wave").unwrap();
        assert!(found[..2].iter().all(|f| f.evidence.contains(&why)), "{found:#?}");
    }

    #[test]
    fn three_that_call_themselves_alike_are_a_wave() {
        let (mut story, ids) = pumps(4);
        for (n, id) in (1..).zip(&ids) {
            // The last is not like the others.
            let model = if n < 4 { "One (2026)" } else { "Other" };
            says(&mut story, *id, Attribute::MANUFACTURER, "Infus Inc.");
            says(&mut story, *id, Attribute::MODEL, model);
            story.wait(HOUR);
        }
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        let note = |id: DeviceId| (Some(id), Severity::Info);
        let wave = (None, Severity::Info);
        assert_eq!(brief, [note(ids[0]), note(ids[1]), wave, (Some(ids[3]), Severity::Critical)]);
    }

    /// So many learned pumps that say what they are, by DHCP and otherwise.
    fn pumps(n: u8) -> (Story, Vec<DeviceId>) {
        let mut story = Story::new(DAY);
        let server = story.device(100, DeviceClass::Server, 30);
        let ids: Vec<_> = (1..=n).map(|n| story.device(n, DeviceClass::InfusionPump, 26)).collect();
        for id in &ids {
            story.talk(*id, server, 443, None);
            for (attribute, value) in [
                (Attribute::DHCP_FINGERPRINT, "1,3,6"),
                (Attribute::DHCP_HOSTNAME, "pump"),
                (Attribute::DHCP_VENDOR_CLASS, "InfusOS 4.1"),
                (Attribute::FIRMWARE, "4.1"),
                (Attribute::SOFTWARE, "drug library 7"),
            ] {
                story.learn(*id, attribute, value);
            }
        }
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + 8 * HOUR);
        (story, ids)
    }

    #[test]
    fn a_roll_out_over_hours_is_one_note() {
        let (mut story, ids) = pumps(8);
        for (n, id) in (1..).zip(&ids) {
            story.learn(*id, Attribute::DHCP_FINGERPRINT, "1,3,6,42");
            story.learn(*id, Attribute::DHCP_VENDOR_CLASS, "InfusOS 4.2");
            story.wait(60 * SECOND);
            story.learn(*id, Attribute::FIRMWARE, "4.2");
            let found = story.found(RULE);
            let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
            assert_eq!(brief, [(None, Severity::Info, n)], "{found:#?}");
            story.restart().wait(45 * 60 * SECOND);
        }
        let found = story.found(RULE);
        assert_eq!(
            found[0].title.as_str(),
            "8 devices of class infusion pump say another version: InfusOS 4.2"
        );
        assert_eq!(found[0].last.since(found[0].first), 7 * (47 * 60 * SECOND), "{found:#?}");
        // Another update on the next day is that day's note.
        story.wait(DAY);
        story.learn(ids[0], Attribute::SOFTWARE, "drug library 8");
        let found = story.found(RULE);
        assert_eq!(
            found.iter().map(|f| (f.severity, f.count)).collect::<Vec<_>>(),
            [(Severity::Info, 8), (Severity::Info, 1)]
        );
    }

    #[test]
    fn a_roll_out_over_days_is_one_note() {
        let (mut story, ids) = pumps(7);
        for (n, id) in (1_u8..).zip(&ids) {
            // Of some the firmware is all that is heard.
            if n.is_multiple_of(2) {
                story.learn(*id, Attribute::DHCP_FINGERPRINT, "1,3,6,42");
                story.learn(*id, Attribute::DHCP_VENDOR_CLASS, "InfusOS 4.2");
                story.wait(60 * SECOND);
            }
            story.learn(*id, Attribute::FIRMWARE, "4.2");
            story.wait(120 * SECOND);
            let found = story.found(RULE);
            let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
            assert_eq!(brief, [(None, Severity::Info, n.into())], "{found:#?}");
            if n.is_multiple_of(3) {
                story.restart();
            }
            story.wait(10 * HOUR);
        }
        let found = story.found(RULE);
        assert!(
            found[0].title.as_str().starts_with("7 devices of class infusion pump say another version: ")
        );
        assert!(found[0].last.since(found[0].first) > 2 * DAY, "{found:#?}");
        // Half a month later nobody knows that it is the same.
        story.wait(15 * DAY);
        story.learn(ids[0], Attribute::FIRMWARE, "4.3");
        assert_eq!(story.found(RULE).len(), 2, "another version is another note");
    }

    #[test]
    fn a_roll_out_that_takes_weeks_counts_all() {
        let (mut story, ids) = pumps(6);
        for id in &ids {
            story.learn(*id, Attribute::FIRMWARE, "4.2");
            story.found(RULE);
            story.restart().wait(5 * DAY);
        }
        let found = story.found(RULE);
        let [note] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(
            (note.count, note.title.as_str()),
            (6, "6 devices of class infusion pump say another version: 4.2")
        );
        let figure = |name: &'static str, n| {
            assert!(note.evidence.contains(&crate::findings::number(name, n)), "{note:#?}")
        };
        figure("devices_updated", 6);
        figure("devices_within_14_days", 3);
    }

    #[test]
    fn what_no_update_changes_is_told_however_alike_the_rest_is() {
        let update =
            [(Attribute::DHCP_FINGERPRINT, "1,3,6,42"), (Attribute::DHCP_VENDOR_CLASS, "InfusOS 4.2")];
        let other_class =
            [(Attribute::DHCP_FINGERPRINT, "1,3,6,42"), (Attribute::DHCP_VENDOR_CLASS, "MSFT 5.0")];
        let identity = [(Attribute::MANUFACTURER, "Other"), (Attribute::MODEL, "Two")];
        let one_of_it = [(Attribute::DHCP_FINGERPRINT, "1,3,6,42"), (Attribute::SERIAL, "77")];
        let print = [(Attribute::DHCP_FINGERPRINT, "1,3,6,42")];
        let more = |last: (Attribute, &'static str)| [&update[..], &[last]].concat();
        for (says, told) in [
            (update.to_vec(), false),
            (other_class.to_vec(), true),
            (identity.to_vec(), true),
            (identity[..1].to_vec(), false),
            (one_of_it.to_vec(), true),
            (print.to_vec(), false),
            (more((Attribute::DHCP_HOSTNAME, "kali")), true),
            (more((Attribute::MODEL, "Two")), true),
        ] {
            let (mut story, ids) = pumps(1);
            // What makes it more than an update comes some minutes later.
            for (attribute, value) in &says {
                story.learn(ids[0], attribute.clone(), value);
                story.wait(120 * SECOND);
            }
            let found = story.found(RULE);
            let highs = found.iter().filter(|f| f.severity >= Severity::Medium);
            let brief: Vec<_> = highs.map(|f| (f.key.device, f.severity)).collect();
            let expected = told.then_some((Some(ids[0]), Severity::Critical));
            assert_eq!(brief, Vec::from_iter(expected), "{says:?}");
        }
    }

    #[test]
    fn a_device_that_got_another_number_is_the_same() {
        let (mut story, ids) = pumps(2);
        story.merge(ids[1], ids[0]);
        story.learn(ids[0], Attribute::DHCP_FINGERPRINT, "1,3,6,42");
        story.learn(ids[0], Attribute::DHCP_VENDOR_CLASS, "InfusOS 4.2");
        let found = story.found(RULE);
        assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Info]);
        // A card that two shared is not shared by one.
        let mut story = Story::new(DAY);
        let two: Vec<_> = (1..3).map(|n| story.device(n, DeviceClass::Workstation, 40)).collect();
        let card = vec![model::Mac([0, 0, 0, 0, 0, 77])];
        two.iter().for_each(|id| story.devices.get_mut(id).unwrap().macs = card.clone());
        story.talk(two[0], two[1], 443, None);
        story.wait(60 * SECOND);
        story.merge(two[1], two[0]);
        story.at(DAY + HOUR);
        let new = story.device(9, DeviceClass::Unknown, 26);
        story.devices.get_mut(&new).unwrap().macs = card;
        assert_eq!(story.found(RULE).iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(new)]);
    }

    #[test]
    fn a_newcomer_with_the_mac_of_a_learned_device_is_told() {
        for keeps in [true, false] {
            let (mut story, ids) = learned(1);
            let mac = story.restart().devices[&ids[0]].macs.clone();
            if !keeps {
                // What was taken for its second card is another machine's.
                story.devices.get_mut(&ids[0]).unwrap().macs = vec![model::Mac([0, 0, 0, 0, 0, 77])];
            }
            let new = story.device(9, DeviceClass::Unknown, 26);
            story.devices.get_mut(&new).unwrap().macs = mac;
            let found = story.found(RULE);
            let brief: Vec<_> =
                found.iter().map(|f| (f.key.device, f.peer.as_ref().unwrap().device)).collect();
            let told = [(Some(new), Some(ids[0]))];
            assert_eq!(brief, &told[..usize::from(keeps)]);
        }
    }

    #[test]
    fn a_card_that_machines_share_is_nobodys() {
        let mut story = Story::new(DAY);
        for n in 1..4 {
            let id = story.device(n, DeviceClass::Workstation, 40);
            story.devices.get_mut(&id).unwrap().macs = vec![model::Mac([0, 0, 0, 0, 0, 77])];
        }
        story.at(DAY + HOUR);
        let new = story.device(9, DeviceClass::Workstation, 40);
        story.devices.get_mut(&new).unwrap().macs = vec![model::Mac([0, 0, 0, 0, 0, 77])];
        assert_eq!(story.found(RULE).len(), 0);
    }
}
