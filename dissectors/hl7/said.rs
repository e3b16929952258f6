//! What has been said on a connection: everything is said again after an hour, and not before.

use super::message::Field;
use crate::Pdu;
use crate::wire::Hash;
use model::{DeviceClass, EquipmentAttribute, Fact, Subject, Text, Timestamp};
use std::net::IpAddr;

/// Different facts remembered as said.
const MAX_SAID: usize = 256;

/// Different pieces of messages remembered as read.
const MAX_READ: usize = 64;

const HOUR: i64 = 3_600_000_000_000;

/// Names of what has been said and of the bytes that said it, in order: a look-up halves, whatever a sender sends.
#[derive(Default)]
pub(super) struct Said {
    facts: Vec<u64>,
    /// Everything that follows from these bytes is among the facts.
    read: Vec<u64>,
    since: Option<Timestamp>,
}

impl Said {
    /// After an hour, or when too much is remembered, everything may be said again. Whether that is now.
    pub(super) fn forget(&mut self, ts: Timestamp) -> bool {
        let is_over = self.since.is_none_or(|since| ts.since(since) >= HOUR) || self.facts.len() >= MAX_SAID;
        if is_over {
            self.facts.clear();
            self.read.clear();
            self.since = Some(ts);
        }
        is_over
    }

    /// Remembers a fact; whether it is new.
    pub(super) fn is_new(&mut self, subject: &Subject, field: &str, fact: &Fact) -> bool {
        let name = name(subject, field, fact);
        let place = self.facts.binary_search(&name);
        if let Err(place) = place {
            self.facts.insert(place, name);
        }
        place.is_err()
    }

    /// Bytes that all names take.
    pub(super) fn held(&self) -> usize {
        self.facts.capacity().saturating_add(self.read.capacity()).saturating_mul(size_of::<u64>())
    }

    /// How many facts are remembered. Never fewer than before, unless something was forgotten.
    pub(super) const fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether what has this name was read, and everything that follows from it said.
    pub(super) fn has_read(&self, name: u64) -> bool {
        self.read.binary_search(&name).is_ok()
    }

    /// Remembers that everything that follows from what has this name has been said.
    pub(super) fn read(&mut self, name: u64) {
        if self.read.len() < MAX_READ
            && let Err(place) = self.read.binary_search(&name)
        {
            self.read.insert(place, name);
        }
    }
}

/// A name for bytes of a message as its sender means them.
pub(super) fn name_of(what: &str, value: &Field<'_>, pdu: &Pdu<'_>) -> u64 {
    let mut hash = about(&pdu.sender());
    hash.add(what.as_bytes());
    hash.number(value.separators.number());
    hash.add(value.raw());
    hash.get()
}

/// Begins a name with whom it is about.
pub(super) fn about(subject: &Subject) -> Hash {
    let mut hash = Hash::default();
    if let Some((vlan, ip)) = subject.address() {
        hash.number(vlan.bits());
        match ip {
            IpAddr::V4(v4) => hash.number(u64::from(v4.to_bits())),
            IpAddr::V6(v6) => hash.add(&v6.octets()),
        }
    }
    hash
}

/// What a fact is remembered by.
fn name(subject: &Subject, field: &str, fact: &Fact) -> u64 {
    let mut hash = about(subject);
    hash.add(field.as_bytes());
    match fact {
        Fact::Is { attribute, value } => {
            hash.add(attribute.as_str().as_bytes());
            hash.add(value.as_str().as_bytes());
        }
        Fact::Role { class, weight } => {
            hash.add(class.as_str().as_bytes());
            hash.number(u64::from(*weight));
        }
        Fact::Equipment(equipment) => {
            hash.number(equipment.relation as u64);
            hash.add(equipment.class.map_or("", DeviceClass::as_str).as_bytes());
            let texts =
                [&equipment.id, &equipment.ae_title].map(|text| text.as_ref().map_or("", Text::as_str));
            for text in [equipment.scheme, texts[0], texts[1]] {
                hash.add(text.as_bytes());
            }
            for EquipmentAttribute { attribute, field, value } in &equipment.attributes {
                for text in [attribute.as_str(), field, value.as_str()] {
                    hash.add(text.as_bytes());
                }
            }
        }
        other => hash.add(other.to_string().as_bytes()),
    }
    hash.get()
}
