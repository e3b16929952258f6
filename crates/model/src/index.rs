//! Where in a list the thing of a key is: an open-addressed table of places.
//!
//! Our own, because no table of a library lets a bucket be fetched from memory before it is asked for, and with many flows
//! and edges those fetches are what a packet costs. Keys are hashed with a seed by the caller; nothing of a key is kept
//! here but half of its hash.

/// Half of a hash, and a place.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tag: u32,
    slot: u32,
}

const EMPTY: Bucket = Bucket { tag: 0, slot: Index::NONE };

/// Buckets of an index that has had nothing in it yet.
const FEWEST: usize = 64;

/// Places by hash. A bucket is the first free one from where the hash's upper bits point.
#[derive(Clone, Debug)]
pub struct Index {
    buckets: Vec<Bucket>,
    len: usize,
}

/// The half of a hash that is kept: its upper bits say where, so a larger table needs no key to be made.
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Default for Index {
    fn default() -> Self {
        Self { buckets: vec![EMPTY; FEWEST], len: 0 }
    }
}

impl Index {
    /// No place: what no list has an item at.
    pub const NONE: u32 = u32::MAX;

    /// How many places there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where a tag's bucket would be, were all others empty.
    #[inline]
    const fn home(&self, tag: u32) -> usize {
        (tag as u64).wrapping_mul(self.buckets.len() as u64) as usize >> 32
    }

    const fn next(&self, at: usize) -> usize {
        let next = at.wrapping_add(1);
        if next < self.buckets.len() { next } else { 0 }
    }

    /// Buckets from one to another, round the end.
    const fn distance(&self, from: usize, to: usize) -> usize {
        let round = if to < from { self.buckets.len() } else { 0 };
        to.wrapping_add(round).wrapping_sub(from)
    }

    /// What [`Index::find`] will look at first, and what it will most likely look at last, to be fetched from memory and
    /// not to be read.
    #[inline]
    pub fn first(&self, hash: u64) -> impl Iterator<Item = &Bucket> {
        let home = self.home(tag(hash));
        [home, home + 3].into_iter().filter_map(|at| self.buckets.get(at))
    }

    /// The first place whose hash is the same as far as it is kept, and for which `is` holds.
    #[inline]
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut at = self.home(tag);
        loop {
            let bucket = self.buckets.get(at).filter(|bucket| bucket.slot != Self::NONE)?;
            if bucket.tag == tag && is(bucket.slot) {
                return Some(bucket.slot);
            }
            at = self.next(at);
        }
    }

    /// Adds a place under a hash.
    pub fn insert(&mut self, hash: u64, slot: u32) {
        // At most three quarters full, so that there is always an empty bucket to stop at, and not far.
        if self.len >= (self.buckets.len() / 4).saturating_mul(3) {
            // By a half: what is empty takes memory too.
            let larger = vec![EMPTY; self.buckets.len().saturating_add(self.buckets.len() / 2)];
            for bucket in std::mem::replace(&mut self.buckets, larger) {
                if bucket.slot != Self::NONE {
                    self.put(bucket);
                }
            }
        }
        self.put(Bucket { tag: tag(hash), slot });
        self.len = self.len.saturating_add(1);
    }

    fn put(&mut self, bucket: Bucket) {
        let mut at = self.home(bucket.tag);
        while self.buckets.get(at).is_some_and(|taken| taken.slot != Self::NONE) {
            at = self.next(at);
        }
        if let Some(place) = self.buckets.get_mut(at) {
            *place = bucket;
        }
    }

    /// Takes a place out.
    pub fn remove(&mut self, hash: u64, slot: u32) {
        let mut hole = self.home(tag(hash));
        loop {
            match self.buckets.get(hole) {
                Some(bucket) if bucket.slot == slot => break,
                Some(bucket) if bucket.slot != Self::NONE => hole = self.next(hole),
                _ => return,
            }
        }
        self.len = self.len.saturating_sub(1);
        // What follows moves up, unless it would come before its home.
        let mut at = self.next(hole);
        while let Some(bucket) = self.buckets.get(at).copied().filter(|bucket| bucket.slot != Self::NONE) {
            if self.distance(self.home(bucket.tag), at) >= self.distance(hole, at) {
                if let Some(place) = self.buckets.get_mut(hole) {
                    *place = bucket;
                }
                hole = at;
            }
            at = self.next(at);
        }
        if let Some(place) = self.buckets.get_mut(hole) {
            *place = EMPTY;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against a map, with hashes that collide in part or in whole and gather at the end of the table.
        #[test]
        fn finds_what_is_there_and_nothing_else(steps in prop::collection::vec((0u32..300, 0u64..40, any::<bool>()), 0..600)) {
            let mut index = Index::default();
            let mut known = BTreeMap::new();
            let hash = |h: u64| (h % 20).wrapping_mul(u64::MAX / 19) ^ (h % 3);
            for (slot, h, add) in steps {
                if add {
                    if let std::collections::btree_map::Entry::Vacant(entry) = known.entry(slot) {
                        entry.insert(hash(h));
                        index.insert(hash(h), slot);
                    }
                } else if let Some(h) = known.remove(&slot) {
                    index.remove(h, slot);
                }
                prop_assert_eq!(index.len(), known.len());
            }
            for slot in 0..300 {
                for h in 0..40 {
                    let there = known.get(&slot).is_some_and(|of| of >> 32 == hash(h) >> 32);
                    prop_assert_eq!(index.find(hash(h), |s| s == slot).is_some(), there);
                }
            }
        }
    }
}
