//! Senders of HL7 messages, names and types of message that were not there when the site was learned.

use super::window::{MINUTE, Recent, Rows, pack, peer, unpack};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{ExchangeSeen, SignSeen, View};
use crate::lists::listed;
use crate::profile::Profile;
use crate::trail::Trail;
use crate::verdict::{Out, Verdict};
use inventory::Sign;
use model::{Attribute, DeviceId, IpProto, Severity, Text, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "hl7-unknown-sender",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T0856", "T0855", "T1565.002"],
    finds: "Once the site is learned: a device that never sent HL7 messages sends one, or one that did sends a new type of \
        message, or names an application or facility that it did not name before. High when a device that never sent \
        before sends results or orders (ORU, ORM, OMP, RDE, RGV, RAS).",
    matters: "HL7 is believed without proof: a false result or order is shown to those who treat the patient.",
    innocent: "A new interface that goes live, an engine that passes on for one more system, a test system on the wrong port.",
    references: "HL7 v2 chapter 2 (MSH-3, MSH-4, MSH-9); ATT&CK T0856 Spoof Reporting Message, T1565.002 Transmitted Data \
        Manipulation.",
    advice: "Ask those who run the interface engine whether this sender was ordered; if not, have the receiver refuse it.",
    contain: "",
    wants: Wants { exchanges: true, ..Wants::SIGNS },
    watch: || Box::<UnknownSender>::default(),
};

/// Types whose content changes what is done to a patient.
const GRAVE: [&str; 6] = ["ORU", "ORM", "OMP", "RDE", "RGV", "RAS"];
/// A new name counts for a message sent within this span.
const SPAN: i64 = 10 * MINUTE;
/// Senders that are known and types of each, names that wait, senders that wait to be judged, at most.
const MOST_SENDERS: usize = 16_384;
const MOST_KINDS: usize = 64;
const MOST_NAMES: usize = 1_024;
const MOST_OF_ONE: usize = 8;
const MOST_WAITING: usize = 1_024;

/// What was new in the messages of a device since the last minute.
#[derive(Debug)]
struct New {
    first: Timestamp,
    last: Timestamp,
    messages: u64,
    kinds: BTreeSet<String>,
    names: Vec<(Attribute, Text)>,
    server: (Option<u32>, IpAddr, u16),
    never_sent: bool,
}

#[derive(Debug)]
struct UnknownSender {
    /// Types of message by sender.
    senders: Recent<u32, BTreeSet<String>>,
    names: Recent<u32, Vec<(i64, String, String)>>,
    waiting: BTreeMap<DeviceId, New>,
}

impl Default for UnknownSender {
    fn default() -> Self {
        let (senders, names) = (Recent::new(MOST_SENDERS), Recent::new(MOST_NAMES));
        Self { senders, names, waiting: BTreeMap::new() }
    }
}

impl UnknownSender {
    /// New names of a device that sends now.
    fn names_of(&mut self, seen: &ExchangeSeen<'_>) -> Vec<(Attribute, Text)> {
        if self.names.is_empty() {
            return Vec::new();
        }
        self.names.forget(seen.ts.0.saturating_sub(SPAN));
        let names = self.names.remove(&seen.client.0).unwrap_or_default();
        let name = |name: String, value: &str| Some((Attribute::stored(name), Text::from_str_lossy(value)?));
        names.into_iter().filter_map(|(_, attribute, value)| name(attribute, &value)).collect()
    }
}

impl Watch for UnknownSender {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        let (Sign::New { attribute, value } | Sign::Known { attribute, value }) = seen.sign else { return };
        if *attribute != Attribute::HL7_APPLICATION && *attribute != Attribute::HL7_FACILITY {
            return;
        }
        if matches!(seen.sign, Sign::Known { .. }) {
            if let Some(names) = self.names.get_mut(&seen.device.0) {
                names.retain(|(_, known, name)| known != attribute.as_str() || name != value.as_str());
            }
            return;
        }
        let names = self.names.entry(seen.ts, seen.device.0);
        if names.len() < MOST_OF_ONE {
            names.push((seen.ts.0, attribute.as_str().to_owned(), value.as_str().to_owned()));
        }
    }

    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if seen.application != "hl7" {
            return;
        }
        let names = self.names_of(seen);
        let known = self.senders.get(&seen.client.0);
        let is_known = known.is_some_and(|kinds| kinds.contains(seen.kind) || kinds.len() >= MOST_KINDS);
        if is_known && names.is_empty() {
            return;
        }
        if self.waiting.len() >= MOST_WAITING && !self.waiting.contains_key(&seen.client) {
            return;
        }
        let never_sent = known.is_none();
        let new = self.waiting.entry(seen.client).or_insert(New {
            first: seen.ts,
            last: seen.ts,
            messages: 0,
            kinds: BTreeSet::new(),
            names: Vec::new(),
            server: (seen.server.map(|id| id.0), seen.peer, seen.port),
            never_sent,
        });
        new.last = new.last.max(seen.ts);
        new.messages = new.messages.saturating_add(1);
        if !is_known && new.kinds.len() < MOST_KINDS {
            new.kinds.insert(seen.kind.to_owned());
        }
        new.names.extend(names.into_iter().take(MOST_OF_ONE.saturating_sub(new.names.len())));
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for (id, mut new) in std::mem::take(&mut self.waiting) {
            let Some(profile) = view.profile(id) else { continue };
            // A device that was found to be another one may be known by its other number.
            let known = self.senders.get(&profile.id().0).filter(|_| profile.id() != id);
            if let Some(known) = known {
                new.never_sent = false;
                new.kinds.retain(|kind| !known.contains(kind));
            }
            let kinds = self.senders.entry(new.last, profile.id().0);
            kinds.extend(new.kinds.iter().take(MOST_KINDS.saturating_sub(kinds.len())).cloned());
            let is_new = !new.kinds.is_empty() || !new.names.is_empty();
            if view.is_site_armed(new.first) && is_new {
                raise(&profile, &new, view, out);
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.senders.rename(&from.0, into.0, |own, other| {
            own.extend(other.into_iter().take(MOST_KINDS.saturating_sub(own.len())));
        });
        self.names.rename(&from.0, into.0, |own, other| {
            own.extend(other);
            own.truncate(MOST_OF_ONE);
        });
    }

    fn save(&self) -> Vec<u8> {
        if self.senders.is_empty() && self.names.is_empty() {
            return Vec::new();
        }
        pack(&(self.senders.rows(), self.names.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        type Saved = (Rows<u32, BTreeSet<String>>, Rows<u32, Vec<(i64, String, String)>>);
        let Some((senders, names)) = unpack::<Saved>(saved) else { return };
        self.senders.fill(senders);
        self.names.fill(names);
    }
}

fn raise(profile: &Profile, new: &New, view: &View<'_>, out: &mut Out<'_>) {
    let grave = new.kinds.iter().find(|kind| GRAVE.iter().any(|grave| kind.starts_with(grave)));
    let is_grave = new.never_sent && grave.is_some();
    let (name, class) = (&profile.name, profile.class());
    let kind = grave.or(new.kinds.first()).map(String::as_str);
    let title = match (kind, new.names.first()) {
        (Some(kind), _) if new.never_sent => format!("{name} ({class}) never sent HL7 and sends {kind}"),
        (Some(kind), _) => format!("{name} ({class}) sends HL7 {kind} for the first time"),
        (None, Some((_, value))) => format!("{name} ({class}) sends HL7 in the name of {value}"),
        (None, None) => return,
    };
    let (server, ip, port) = new.server;
    let named = new.names.iter().find(|(attribute, _)| *attribute == Attribute::HL7_APPLICATION);
    let placed = new.names.iter().find(|(attribute, _)| *attribute == Attribute::HL7_FACILITY);
    // Under a name that it had before it sends something new.
    let of = |new: Option<&(Attribute, Text)>, attribute: &Attribute| {
        new.map(|(_, value)| value.clone()).or_else(|| profile.device.attribute(attribute).cloned())
    };
    let verdict = Verdict::new(&RULE, Some(profile.id()), new.last, title)
        .severity(if is_grave { Severity::High } else { Severity::Medium })
        .peer(peer(server, ip))
        .over(Trail::one(profile.id(), server, ip, (IpProto::TCP, port)))
        .service(IpProto::TCP, port, Some("hl7".into()))
        .between(new.first, new.last)
        .times(new.messages)
        .found([
            number("messages", new.messages),
            number("new_types", new.kinds.len() as u64),
            number("new_names", new.names.len() as u64),
            number("threshold", 1),
            number("new_device", view.is_newcomer(profile).into()),
        ])
        .found(kind.and_then(|kind| word("type", kind)))
        .found(listed(["new_types_named", "more_new_types_named"], &new.kinds, new.kinds.len()))
        .found(of(named, &Attribute::HL7_APPLICATION).and_then(|value| word("application", value.as_str())))
        .found(of(placed, &Attribute::HL7_FACILITY).and_then(|value| word("facility", value.as_str())))
        .normal(view.armed_from.and_then(|from| word("senders_known_until", &from.to_string())));
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story, text};
    use inventory::Sign;
    use model::{Attribute, DeviceClass, DeviceId, Severity};

    const RULE: &str = "hl7-unknown-sender";

    fn learned() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let engine = story.device(1, DeviceClass::InterfaceEngine, 30);
        let lis = story.device(2, DeviceClass::Lis, 30);
        story.learn(lis, Attribute::HL7_APPLICATION, "LIS");
        story.ask(lis, engine, 2575, "hl7", "ORU^R01", Some("AA"));
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR);
        (story, engine, lis)
    }

    #[test]
    fn results_of_who_never_sent_are_grave() {
        let (mut story, engine, lis) = learned();
        story.restart().ask(lis, engine, 2575, "hl7", "ORU^R01", Some("AA"));
        assert_eq!(story.found(RULE).len(), 0, "as learned");
        let laptop = story.device(3, DeviceClass::Workstation, 40);
        story.ask(laptop, engine, 2575, "hl7", "ORU^R01", Some("AA"));
        story.ask(laptop, engine, 2575, "hl7", "ORU^R01", Some("AA"));
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(laptop), Severity::High, 2)]);
        story.restart().ask(laptop, engine, 2575, "hl7", "ORU^R01", Some("AA"));
        assert_eq!(story.found(RULE)[0].count, 2, "then it is known");
    }

    #[test]
    fn a_new_type_or_name_of_a_known_sender_is_less() {
        let (mut story, engine, lis) = learned();
        story.ask(lis, engine, 2575, "hl7", "ORM^O01", Some("AA"));
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].key.device, found[0].severity), (1, Some(lis), Severity::Medium));
        let other = story.device(4, DeviceClass::Workstation, 40);
        story.ask(other, engine, 2575, "hl7", "ADT^A01", None);
        assert_eq!(story.found(RULE)[1].severity, Severity::Medium, "no results, no orders");
        story.at(2 * DAY + HOUR);
        story.learn(lis, Attribute::HL7_FACILITY, "ELSEWHERE");
        assert_eq!(story.found(RULE).len(), 2, "until it sends");
        story.ask(lis, engine, 2575, "hl7", "ORU^R01", Some("AA"));
        assert_eq!(story.found(RULE).len(), 3);
    }

    #[test]
    fn a_sender_that_acknowledges_in_its_own_name_is_told_when_it_speaks_in_anothers() {
        let (mut story, engine, lis) = learned();
        // What it says in its acknowledgements is all that is shown of it.
        let (attribute, value) = (Attribute::HL7_APPLICATION, text("LIS2"));
        story.sign(lis, Sign::New { attribute, value });
        story.ask(lis, engine, 2575, "hl7", "ORU^R01", Some("AA"));
        let found = story.found(RULE);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].key.device, found[0].severity), (Some(lis), Severity::Medium));
        assert_eq!(found[0].title.as_str(), "host-2 (LIS) sends HL7 in the name of LIS2");
        story.ask(lis, engine, 2575, "hl7", "ORU^R01", Some("AA"));
        assert_eq!(story.found(RULE)[0].count, 1, "then it is known");
    }

    #[test]
    fn in_whose_name_a_known_sender_sends_something_new_is_told() {
        let (mut story, engine, lis) = learned();
        for (attribute, value) in [(Attribute::HL7_APPLICATION, "LIS"), (Attribute::HL7_FACILITY, "LAB")] {
            story.devices.get_mut(&lis).unwrap().attributes.push((attribute, text(value)));
        }
        for kind in ["ADT^A01", "ADT^A08"] {
            story.ask(lis, engine, 2_575, "hl7", kind, Some("AA"));
        }
        let found = story.found(RULE);
        let word = |name, text: &str| crate::findings::word(name, text).unwrap();
        for told in
            [word("new_types_named", "ADT^A01, ADT^A08"), word("application", "LIS"), word("facility", "LAB")]
        {
            assert!(found[0].evidence.contains(&told), "{told:?} in {found:#?}");
        }
    }
}
