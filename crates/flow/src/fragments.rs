//! IP fragments put together (RFC 791 §3.2, RFC 8200 §4.5), in a bounded table. Of bytes that come twice the first win.

use crate::decode::{Addr, Fragment, Ip};
use crate::pieces::Pieces;
use std::collections::{BTreeMap, VecDeque};

/// Nanoseconds a packet waits for its missing fragments (RFC 8200 §4.5 says 60 s; mirrors lose, so half is enough).
const TIMEOUT: i64 = 30_000_000_000;

/// Longest packet: 64 KiB and what an IPv6 header adds.
const MAX_PACKET: usize = 65_575;

/// What one fragment costs beside its bytes.
const OVERHEAD: usize = 64;

type Key = (Addr, Addr, u32, u8);

#[derive(Default)]
struct Packet {
    born: u64,
    pieces: Pieces,
    have: usize,
    total: Option<usize>,
    /// Sum of the fragments' lengths on the wire.
    length: u32,
    cost: usize,
}

/// Fragments of one part of the traffic.
pub(crate) struct Fragments {
    packets: BTreeMap<Key, Packet>,
    /// Oldest first, with the number that tells a key's later life from its earlier one.
    ages: VecDeque<(i64, u64, Key)>,
    held: usize,
    cap: usize,
    births: u64,
}

/// A packet made whole: its transport payload, and its length on the wire over all fragments.
pub(crate) struct Whole {
    pub(crate) payload: Vec<u8>,
    pub(crate) length: u32,
}

impl Fragments {
    pub(crate) const fn new(cap: usize) -> Self {
        Self { packets: BTreeMap::new(), ages: VecDeque::new(), held: 0, cap, births: 0 }
    }

    /// Takes one fragment; gives the packet when it completes it. `lost` counts packets given up.
    pub(crate) fn add(&mut self, now: i64, ip: &Ip<'_>, place: Fragment, lost: &mut u64) -> Option<Whole> {
        let key = (ip.src, ip.dst, ip.ident, ip.proto);
        let start = place.offset as usize;
        let end = start.checked_add(ip.payload.len()).filter(|end| *end <= MAX_PACKET && !ip.cut)?;
        if !self.packets.contains_key(&key) {
            self.births = self.births.saturating_add(1);
            self.ages.push_back((now, self.births, key));
            self.packets.insert(key, Packet { born: self.births, ..Packet::default() });
            self.held = self.held.saturating_add(OVERHEAD);
        }
        let packet = self.packets.get_mut(&key)?;
        if !place.more && packet.total.is_none() {
            packet.total = Some(end);
        }
        packet.length = packet.length.saturating_add(ip.length);
        let added = packet.pieces.insert(start as u64, ip.payload);
        packet.have = packet.have.saturating_add(added);
        packet.cost = packet.cost.saturating_add(added).saturating_add(OVERHEAD);
        self.held = self.held.saturating_add(added).saturating_add(OVERHEAD);
        if let Some(total) = packet.total.filter(|total| packet.have >= *total) {
            let (length, mut payload) = (packet.length, Vec::with_capacity(total));
            while let Some(bytes) = packet.pieces.take(payload.len() as u64) {
                payload.extend_from_slice(&bytes);
            }
            // Pieces beyond the end that the last fragment gave are not the packet's.
            payload.truncate(total);
            self.remove(&key);
            return (payload.len() == total).then_some(Whole { payload, length });
        }
        while self.held > self.cap && self.drop_oldest() {
            *lost = lost.saturating_add(1);
        }
        None
    }

    /// Gives up packets that have waited too long.
    pub(crate) fn expire(&mut self, now: i64, lost: &mut u64) {
        while self.ages.front().is_some_and(|(born, ..)| now.saturating_sub(*born) > TIMEOUT) {
            let before = self.packets.len();
            self.drop_front();
            if self.packets.len() < before {
                *lost = lost.saturating_add(1);
            }
        }
    }

    /// Gives up everything; how many packets that is.
    pub(crate) fn finish(&mut self) -> u64 {
        let left = self.packets.len() as u64;
        *self = Self::new(self.cap);
        left
    }

    fn drop_oldest(&mut self) -> bool {
        let before = self.packets.len();
        while before > 0 && self.packets.len() == before && !self.ages.is_empty() {
            self.drop_front();
        }
        self.packets.len() < before
    }

    fn drop_front(&mut self) {
        if let Some((_, born, key)) = self.ages.pop_front()
            && self.packets.get(&key).is_some_and(|packet| packet.born == born)
        {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(packet) = self.packets.remove(key) {
            self.held = self.held.saturating_sub(packet.cost.saturating_add(OVERHEAD));
        }
    }
}
