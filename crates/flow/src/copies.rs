//! Packets that a mirror shows twice: once for each of two VLANs, or before and after a router.
//!
//! A copy differs in link layer, TTL and header checksum only. It is known by the rest within a moment and a bounded
//! number of packets, and counted once. Two real packets that are equal in all of that, identification and checksum of
//! the transport included, cannot be told from a copy: repeated bare acknowledgements of a host that sends no
//! identification, at most.

use crate::config::mix;
use crate::decode::Ip;
use model::IpProto;

/// Nanoseconds within which an identical packet is a copy rather than a repetition. Mirrors and routers need microseconds;
/// a busy switch some milliseconds. Senders repeat after 200 ms at the earliest (RFC 6298 §2.4 says a second).
const WINDOW: u64 = 50_000_000;

/// Places in one part, in pairs of which the older gives way.
const PAIRS: usize = 256;

/// One packet of the last moment.
#[derive(Clone, Copy)]
struct Seen {
    signature: u32,
    slot: u32,
    ts: i64,
}

/// The packets of the last moment in one part of the traffic.
pub(crate) struct Copies {
    pairs: Box<[[Seen; 2]]>,
}

impl Copies {
    pub(crate) fn new() -> Self {
        Self { pairs: vec![[Seen { signature: 0, slot: 0, ts: i64::MIN }; 2]; PAIRS].into() }
    }

    /// Fetches what [`Copies::original`] will look at.
    #[inline]
    pub(crate) fn fetch(&self, signature: u64) {
        if let Some(pair) = self.pairs.get(place(signature)) {
            crate::fetch(pair);
        }
    }

    /// The flow that a packet's original belongs to, when it is a copy.
    #[inline]
    pub(crate) fn original(&self, signature: u64, ts: i64) -> Option<u32> {
        let pair = self.pairs.get(place(signature))?;
        let is_it = |seen: &&Seen| seen.signature == signature as u32 && seen.ts.abs_diff(ts) <= WINDOW;
        pair.iter().find(is_it).map(|seen| seen.slot)
    }

    /// Remembers a packet and its flow.
    #[inline]
    pub(crate) fn remember(&mut self, signature: u64, ts: i64, slot: u32) {
        if let Some([a, b]) = self.pairs.get_mut(place(signature)) {
            let older = if a.ts <= b.ts { a } else { b };
            *older = Seen { signature: signature as u32, slot, ts };
        }
    }
}

const fn place(signature: u64) -> usize {
    (signature >> 32) as usize & (PAIRS - 1)
}

/// What routers and mirrors leave alone of an IP packet: its ends, identification and length, and the first bytes of its
/// transport: of TCP the sequence numbers, checksum and options, of UDP the checksum and the first data.
#[inline]
pub(crate) fn of_packet(ends: u64, ip: &Ip<'_>) -> u64 {
    let place = ip.fragment.map_or(0, |f| u64::from(f.offset) << 1 | u64::from(f.more));
    let name = u64::from(ip.ident) << 32 | u64::from(ip.length) << 8 | u64::from(ip.proto);
    let (first, second, third) = match ip.payload.first_chunk::<24>() {
        Some(head) => (word(head, 0), word(head, 8), word(head, 16)),
        None => (word(ip.payload, 0), word(ip.payload, 8), word(ip.payload, 16)),
    };
    let hash = mix(mix(ends ^ name, first ^ place.rotate_left(40)), mix(second, third ^ ends));
    // UDP without a checksum says nothing of its data by its header (RFC 768): all of it is looked at.
    if ip.proto == IpProto::UDP.0 && first >> 48 == 0 { of_frame(hash, ip.payload) } else { hash }
}

/// A whole frame above its addresses.
pub(crate) fn of_frame(sender: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let begin = mix(sender, bytes.len() as u64);
    let hash = words.iter().fold(begin, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    if rest.is_empty() { hash } else { mix(hash, word(rest, 0)) }
}

/// Eight bytes, with zeroes for those that are not there.
#[inline]
fn word(bytes: &[u8], at: usize) -> u64 {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.first_chunk::<8>() {
        Some(whole) => u64::from_le_bytes(*whole),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Addr;

    fn packet(ident: u32, ttl: u8, payload: &[u8]) -> Ip<'_> {
        let (src, dst) = (Addr::v4([10, 0, 0, 1]), Addr::v4([10, 0, 0, 2]));
        let length = 20 + payload.len() as u32;
        Ip { src, dst, ttl, proto: 6, ident, length, fragment: None, payload, cut: false }
    }

    #[test]
    fn a_copy_is_known_by_what_routers_leave_alone_and_for_a_moment() {
        let mut copies = Copies::new();
        let bytes: Vec<u8> = (0..40).collect();
        let name = |ident, ttl, bytes: &[u8]| of_packet(7, &packet(ident, ttl, bytes));
        let original = name(5, 64, &bytes);
        copies.remember(original, 1_000, 3);
        assert_eq!(copies.original(name(5, 63, &bytes), 1_000 + WINDOW as i64), Some(3), "a hop later");
        assert_eq!(copies.original(original, 1_001 + WINDOW as i64), None, "too late");
        for at in 0..24 {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_eq!(copies.original(name(5, 64, &other), 1_000), None, "byte {at} differs");
        }
        for (checksum, same) in [(7, true), (0, false)] {
            let (mut one, mut other) = ([9; 40], [9; 40]);
            one[6..8].fill(checksum);
            other[6..8].fill(checksum);
            other[30] = 1;
            let name = |bytes| of_packet(7, &Ip { proto: 17, ..packet(0, 64, bytes) });
            copies.remember(name(&one), 1_000, 4);
            let found = copies.original(name(&other), 1_000);
            assert_eq!(found.is_some(), same, "where the checksum is {checksum}, the data is looked at");
        }
        assert_eq!(copies.original(name(6, 64, &bytes), 1_000), None, "another identification");
        assert_eq!(copies.original(name(5, 64, &bytes[..39]), 1_000), None, "another length");
        assert_eq!(copies.original(of_packet(8, &packet(5, 64, &bytes)), 1_000), None, "other ends");
    }

    #[test]
    fn every_byte_of_a_frame_counts_and_so_does_its_end() {
        let bytes: Vec<u8> = (1..=40).collect();
        let mut seen = std::collections::BTreeSet::new();
        for to in 0..=bytes.len() {
            let part = &bytes[..to];
            // The definition: word by word, with zeroes for what is not there.
            let words = (0..to).step_by(8).map(|at| word(part, at));
            assert_eq!(of_frame(3, part), words.fold(mix(3, to as u64), mix));
            assert!(seen.insert(of_frame(3, part)));
        }
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(seen.insert(of_frame(3, &other)));
        }
    }

    #[test]
    fn the_older_of_a_pair_gives_way() {
        let mut copies = Copies::new();
        let same_place = |n: u64| 9 << 32 | n;
        (1..=3).for_each(|n| copies.remember(same_place(n), n as i64, n as u32));
        let found: Vec<_> = (1..=3).map(|n| copies.original(same_place(n), 3)).collect();
        assert_eq!(found, [None, Some(2), Some(3)]);
    }
}
