//! What follows from the DHCP software of a client alone. A ward has few kinds of it and many clients, who say the same in
//! every message, so it is worked out once for each kind and remembered.

use super::fingerprint::{self, DIGITS};
use super::observe::{About, software_facts};
use super::wire::Message;
use crate::Sink;
use crate::wire::Hash;
use model::{Mac, Observation, Subject, Timestamp};

/// Kinds of software remembered. Two whose names hash to the same place take turns there.
const PLACES: usize = 64;

/// Longest name remembered, in bytes; real ones have some fifty.
const MAX_NAME: usize = 512;

/// A kind of DHCP software, as its messages show it.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// What it is told by, and all that the rest follows from: see [`fingerprint::name`].
    name: Vec<u8>,
    /// The digits of its fingerprint.
    pub(super) digits: [u8; DIGITS],
    /// What its vendor class and its parameter list say. Of an observation no more than field, confidence and fact.
    pub(super) facts: Vec<Observation>,
}

impl Profile {
    fn new(name: Vec<u8>, m: &Message<'_>) -> Self {
        let mut facts = Vec::new();
        let mut sink = Sink::new(&mut facts, "", 0, Timestamp(0));
        software_facts(m, &mut About { subject: Subject::Mac(Mac::default()), sink: &mut sink });
        Self { digits: fingerprint::digits(&name), name, facts }
    }
}

/// Profiles made lately. What is forgotten is made anew, and is the same.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    /// By hash of their names; empty before the first.
    places: Vec<Option<Box<Profile>>>,
    /// Room for the name of the message at hand.
    name: Vec<u8>,
}

impl Profiles {
    /// The profile of who sent a message, to be given back by [`Profiles::keep`].
    pub(super) fn take(&mut self, m: &Message<'_>) -> Box<Profile> {
        self.name.clear();
        fingerprint::name(m, &mut self.name);
        let known = self.places.get_mut(place(&self.name)).and_then(|place| {
            let is_same = place.as_ref().is_some_and(|profile| profile.name == self.name);
            if is_same { place.take() } else { None }
        });
        known.unwrap_or_else(|| Box::new(Profile::new(self.name.clone(), m)))
    }

    /// Remembers it, in place of the one that was there.
    pub(super) fn keep(&mut self, profile: Box<Profile>) {
        if profile.name.len() > MAX_NAME {
            return;
        }
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        if let Some(place) = self.places.get_mut(place(&profile.name)) {
            *place = Some(profile);
        }
    }
}

fn place(name: &[u8]) -> usize {
    Hash::of(name) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::super::DISSECTOR;
    use super::*;
    use crate::dhcp::tests::message;
    use crate::{Memory, Pdu, hostile};
    use model::{IpProto, Side};

    fn of(bytes: &[u8]) -> Pdu<'_> {
        hostile::pdu(1, Side::High, IpProto::UDP, bytes)
    }

    fn read(bytes: &[u8], memory: Option<&mut Memory>) -> Vec<Observation> {
        let pdu = of(bytes);
        let mut out = Vec::new();
        let sink = Sink::new(&mut out, DISSECTOR.name, pdu.no, pdu.ts);
        let mut sink = match memory {
            Some(memory) => sink.remembering(memory),
            None => sink,
        };
        let _ = DISSECTOR.parse.datagram().unwrap()(&pdu, &mut sink);
        out
    }

    /// Messages of many kinds of software, some of which differ in one thing only.
    fn messages() -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for n in 0..100u8 {
            let class = format!("udhcp 1.{}", n / 4);
            let list = [1, 3, n % 3];
            for kind in [1, 3, 7, 8] {
                all.push(message(1, &[(53, &[kind]), (60, class.as_bytes()), (55, &list)]));
                all.push(message(1, &[(53, &[kind]), (55, &list), (60, class.as_bytes()), (57, &[5, n])]));
            }
            all.push(message(1, &[(60, class.as_bytes())]));
            // Cut, of the wrong length, in parts, without anything.
            all.push(message(1, &[(53, &[1]), (57, &[n]), (60, b"MSFT 5.0")]));
            all.push(message(1, &[(53, &[1]), (60, b"MSFT"), (60, b" 5.0")]));
            all.push(message(1, &[(53, &[1])]));
            all.push(message(1, &[(53, &[3]), (55, &[n; 255]), (60, &[b'x'; 250]), (60, &[b'y'; 250])]));
        }
        all
    }

    #[test]
    fn what_is_remembered_is_what_would_be_worked_out() {
        let mut memory = Memory::default();
        for bytes in messages().iter().chain(messages().iter().rev()) {
            let anew = read(bytes, None);
            assert_eq!(read(bytes, Some(&mut memory)), anew, "{bytes:?}");
            assert_eq!(read(bytes, Some(&mut memory)), anew, "again, {bytes:?}");
        }
    }

    #[test]
    fn it_is_remembered_and_no_more_than_there_are_places_for() {
        let mut memory = Memory::default();
        for bytes in messages() {
            read(&bytes, Some(&mut memory));
            assert!(memory.dhcp.places.len() <= PLACES);
            assert!(memory.dhcp.places.iter().flatten().all(|profile| profile.name.len() <= MAX_NAME));
        }
        assert!(memory.dhcp.places.iter().flatten().count() > PLACES / 2);
        // What stands in its place is what is said: a sabotage of what is remembered shows.
        let bytes = message(1, &[(53, &[1]), (60, b"MSFT 5.0")]);
        read(&bytes, Some(&mut memory));
        for profile in memory.dhcp.places.iter_mut().flatten() {
            profile.digits = [b'0'; DIGITS];
        }
        assert_ne!(read(&bytes, Some(&mut memory)), read(&bytes, None));
    }
}
