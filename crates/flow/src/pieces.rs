//! Bytes that came out of order. Of bytes that come twice the first win.

use std::collections::BTreeMap;

/// Pieces of a sequence of bytes, by offset, not overlapping.
#[derive(Default)]
pub(crate) struct Pieces(BTreeMap<u64, Vec<u8>>);

/// Bytes that a piece takes besides its own: its place in the map, and what an allocation is rounded up by. And the first
/// room that any map takes.
const EACH: usize = 112;
const FIRST: usize = 288;

impl Pieces {
    /// Bytes of memory taken by pieces that have so many bytes.
    pub(crate) fn cost(&self, bytes: usize) -> usize {
        let count = self.0.len();
        let first = if count == 0 { 0 } else { FIRST };
        bytes.saturating_add(count.saturating_mul(EACH)).saturating_add(first)
    }

    /// Keeps the bytes from `start` on, but for those that are there already; how many were new.
    pub(crate) fn insert(&mut self, start: u64, bytes: &[u8]) -> usize {
        let end = start.saturating_add(bytes.len() as u64);
        let before = self.0.range(..=start).next_back();
        let mut at = before.map_or(start, |(s, piece)| s.saturating_add(piece.len() as u64).max(start));
        let mut added = 0usize;
        while at < end {
            let next = self.0.range(at..end).next().map(|(s, piece)| (*s, piece.len() as u64));
            let stop = next.map_or(end, |(s, _)| s);
            let (from, to) = (at.saturating_sub(start) as usize, stop.saturating_sub(start) as usize);
            if let Some(fresh) = bytes.get(from..to).filter(|fresh| !fresh.is_empty()) {
                self.0.insert(at, fresh.to_vec());
                added = added.saturating_add(fresh.len());
            }
            at = next.map_or(end, |(s, length)| s.saturating_add(length));
        }
        added
    }

    /// Takes the piece that begins at `at`.
    pub(crate) fn take(&mut self, at: u64) -> Option<Vec<u8>> {
        self.0.remove(&at)
    }

    /// Where the first piece begins.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.first_key_value().map(|(at, _)| *at)
    }

    /// Drops the bytes before `at`; how many those were.
    pub(crate) fn drop_before(&mut self, at: u64) -> usize {
        let mut dropped = 0usize;
        while let Some(first) = self.first().filter(|first| *first < at) {
            let piece = self.0.remove(&first).unwrap_or_default();
            let old = usize::try_from(at.saturating_sub(first)).unwrap_or(usize::MAX).min(piece.len());
            dropped = dropped.saturating_add(old);
            if let Some(rest) = piece.get(old..).filter(|rest| !rest.is_empty()) {
                self.0.insert(at, rest.to_vec());
            }
        }
        dropped
    }

    /// Whether nothing is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against an array in which each byte may be written once.
        #[test]
        fn first_wins_whatever_the_order(inserts in prop::collection::vec((0u64..60, prop::collection::vec(any::<u8>(), 0..20)), 0..20), cut in 0u64..90) {
            let mut slow: Vec<Option<u8>> = vec![None; 100];
            let mut pieces = Pieces::default();
            for (start, bytes) in &inserts {
                let mut fresh = 0;
                for (i, byte) in bytes.iter().enumerate() {
                    let cell = &mut slow[*start as usize + i];
                    fresh += usize::from(cell.is_none());
                    cell.get_or_insert(*byte);
                }
                prop_assert_eq!(pieces.insert(*start, bytes), fresh);
            }
            let dropped = pieces.drop_before(cut);
            prop_assert_eq!(dropped, slow[..cut as usize].iter().flatten().count());
            slow[..cut as usize].fill(None);
            let mut got: Vec<Option<u8>> = vec![None; 100];
            while let Some(first) = pieces.first() {
                for (i, byte) in pieces.take(first).unwrap().into_iter().enumerate() {
                    prop_assert!(got[first as usize + i].replace(byte).is_none(), "pieces overlap");
                }
            }
            prop_assert_eq!(got, slow);
            prop_assert!(pieces.is_empty());
        }
    }
}
