//! IP fragments put together (RFC 791 §3.2, RFC 8200 §4.5), in a bounded table. Of bytes that come twice the first win.

use crate::counters::Counters;
use crate::decode::{Addr, Fragment, Ip};
use crate::pieces::Pieces;
use std::collections::{BTreeMap, VecDeque};

/// Nanoseconds a packet waits for its missing fragments (RFC 8200 §4.5 says 60 s; mirrors lose, so half is enough).
const TIMEOUT: i64 = 30_000_000_000;

/// Longest packet: 64 KiB and what an IPv6 header adds.
const MAX_PACKET: usize = 65_575;

/// Bytes that a packet takes besides its pieces: its places in the map and in the order of age, with the room that both
/// have to spare.
const EACH: usize = 512;

/// Entries of packets that are no more, for which throwing them out is not worth while.
const FEW: usize = 64;

type Key = (Addr, Addr, u32, u8);

#[derive(Default)]
struct Packet {
    born: u64,
    pieces: Pieces,
    have: usize,
    total: Option<usize>,
    /// Sum of the fragments' lengths on the wire.
    length: u32,
}

impl Packet {
    /// Bytes of memory it takes.
    fn cost(&self) -> usize {
        EACH.saturating_add(self.pieces.cost(self.have))
    }
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

    /// Takes one fragment; gives the packet when it completes it. `sum` counts packets given up.
    pub(crate) fn add(
        &mut self,
        now: i64,
        ip: &Ip<'_>,
        place: Fragment,
        sum: &mut Counters,
    ) -> Option<Whole> {
        let key = (ip.src, ip.dst, ip.ident, ip.proto);
        let start = place.offset as usize;
        let end = start.checked_add(ip.payload.len()).filter(|end| *end <= MAX_PACKET && !ip.cut)?;
        if !self.packets.contains_key(&key) {
            self.births = self.births.saturating_add(1);
            self.ages.push_back((now, self.births, key));
            self.packets.insert(key, Packet { born: self.births, ..Packet::default() });
            self.held = self.held.saturating_add(EACH);
            self.forget_ages();
        }
        let packet = self.packets.get_mut(&key)?;
        let before = packet.cost();
        if !place.more && packet.total.is_none() {
            packet.total = Some(end);
        }
        packet.length = packet.length.saturating_add(ip.length);
        let added = packet.pieces.insert(start as u64, ip.payload);
        packet.have = packet.have.saturating_add(added);
        self.held = self.held.saturating_add(packet.cost()).saturating_sub(before);
        if let Some(total) = packet.total.filter(|total| packet.have >= *total) {
            let mut packet = self.remove(&key)?;
            let (length, mut payload) = (packet.length, Vec::with_capacity(total));
            while let Some(bytes) = packet.pieces.take(payload.len() as u64) {
                payload.extend_from_slice(&bytes);
            }
            // Pieces beyond the end that the last fragment gave are not the packet's.
            payload.truncate(total);
            return (payload.len() == total).then_some(Whole { payload, length });
        }
        while self.held > self.cap && self.drop_oldest() {
            sum.fragments_lost = sum.fragments_lost.saturating_add(1);
            sum.fragments_evicted = sum.fragments_evicted.saturating_add(1);
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

    /// Packets made whole leave their ages behind; there are never many more of those than of the others.
    fn forget_ages(&mut self) {
        if self.ages.len() > self.packets.len().saturating_mul(2).saturating_add(FEW) {
            let packets = &self.packets;
            self.ages.retain(|(_, born, key)| packets.get(key).is_some_and(|packet| packet.born == *born));
        }
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

    fn remove(&mut self, key: &Key) -> Option<Packet> {
        let packet = self.packets.remove(key)?;
        self.held = self.held.saturating_sub(packet.cost());
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(fragments: &mut Fragments, ident: u32, offset: u32, more: bool, length: usize) -> Option<Whole> {
        let payload = vec![7; length];
        let (src, dst) = (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2]));
        let place = Fragment { offset, more };
        let length = 20 + length as u32;
        let fragment = Some(place);
        let ip = Ip { src, dst, ttl: 64, proto: 17, ident, length, fragment, payload: &payload, cut: false };
        fragments.add(0, &ip, place, &mut Counters::default())
    }

    #[test]
    fn packets_made_whole_leave_nothing_behind() {
        let mut fragments = Fragments::new(1 << 20);
        for ident in 0..10_000 {
            assert!(add(&mut fragments, ident, 0, true, 8).is_none());
            assert!(add(&mut fragments, ident, 8, false, 8).is_some());
            assert_eq!((fragments.packets.len(), fragments.held), (0, 0));
            assert!(fragments.ages.len() <= FEW + 3, "{} ages", fragments.ages.len());
        }
    }

    #[test]
    fn tiny_fragments_are_charged_what_they_take() {
        let mut fragments = Fragments::new(1 << 20);
        for ident in 0..100_000 {
            add(&mut fragments, ident % 50_000, ident / 50_000 * 16, true, 8);
        }
        assert!(fragments.held <= 1 << 20, "{} bytes", fragments.held);
        let bytes: usize = fragments.packets.values().map(|packet| packet.have).sum();
        assert!(bytes < fragments.held / 10, "eight bytes in a map take more than eight bytes");
    }
}
