//! What rules remember of late: bounded, in order, and fit to be saved.

use crate::verdict::Peer;
use model::{DeviceId, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

pub(super) const SECOND: i64 = 1_000_000_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// The layout of what is saved. What was saved in another is begun anew.
const LAYOUT: u8 = 1;

/// What a rule saves.
pub(super) fn pack(what: &impl Serialize) -> Vec<u8> {
    pack_as(LAYOUT, what)
}

/// The same, of a rule that has changed the layout of what it saves.
pub(super) fn pack_as(layout: u8, what: &impl Serialize) -> Vec<u8> {
    // Plain data: writing it to memory cannot fail.
    postcard::to_allocvec(&(layout, what)).unwrap_or_default()
}

/// What a rule saved, if it can be read.
pub(super) fn unpack<T: DeserializeOwned>(saved: &[u8]) -> Option<T> {
    unpack_as(LAYOUT, saved)
}

/// The same, of a rule that has changed the layout of what it saves.
pub(super) fn unpack_as<T: DeserializeOwned>(expected: u8, saved: &[u8]) -> Option<T> {
    let (layout, _) = postcard::take_from_bytes::<u8>(saved).ok()?;
    let read = || postcard::from_bytes::<(u8, T)>(saved).ok();
    (layout == expected).then(read)?.map(|(_, what)| what)
}

/// Something by key, so many at most: of too many, what was heard of longest ago gives way, by the minute.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    all: BTreeMap<K, (i64, V)>,
    /// By the minute in which each was heard of last: whoever is heard often need not be put in order each time.
    order: BTreeSet<(i64, K)>,
}

/// As it is saved.
pub(super) type Rows<K, V> = Vec<(K, i64, V)>;

impl<K: Ord + Clone, V> Recent<K, V> {
    pub(super) const fn new(most: usize) -> Self {
        Self { most, all: BTreeMap::new(), order: BTreeSet::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.all.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.all.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn contains(&self, key: &K) -> bool {
        self.all.contains_key(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.all.iter().map(|(key, (_, value))| (key, value))
    }

    /// The keys, in order, from one on.
    pub(super) fn from(&self, key: &K) -> impl Iterator<Item = &K> {
        self.all.range(key..).map(|(key, _)| key)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.all.iter_mut().map(|(key, (_, value))| (key, value))
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (ts, value) = self.all.remove(key)?;
        self.order.remove(&(ts.div_euclid(MINUTE), key.clone()));
        Some(value)
    }

    /// What is kept under a key, which was heard of now.
    pub(super) fn entry(&mut self, ts: Timestamp, key: K) -> &mut V
    where
        V: Default,
    {
        while self.all.len() >= self.most
            && !self.all.contains_key(&key)
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.all.remove(&oldest);
        }
        match self.all.entry(key) {
            Entry::Vacant(room) => {
                self.order.insert((ts.0.div_euclid(MINUTE), room.key().clone()));
                &mut room.insert((ts.0, V::default())).1
            }
            Entry::Occupied(known) => {
                let key = known.key().clone();
                let (last, value) = known.into_mut();
                let before = last.div_euclid(MINUTE);
                *last = ts.0.max(*last);
                let now = last.div_euclid(MINUTE);
                if now != before {
                    self.order.remove(&(before, key.clone()));
                    self.order.insert((now, key));
                }
                value
            }
        }
    }

    /// What is kept under a key is another key's from now on; `join` says what becomes of what that one has.
    pub(super) fn rename(&mut self, from: &K, into: K, join: impl FnOnce(&mut V, V))
    where
        V: Default,
    {
        let Some(last) = self.all.get(from).map(|(last, _)| *last).filter(|_| *from != into) else { return };
        let Some(old) = self.remove(from) else { return };
        if let Some(known) = self.get_mut(&into) {
            join(known, old);
            self.entry(Timestamp(last), into);
        } else {
            *self.entry(Timestamp(last), into) = old;
        }
    }

    /// The same for every key from one on that belongs to a device, as `is_its` tells.
    pub(super) fn rename_all(
        &mut self,
        from: K,
        is_its: impl Fn(&K) -> bool,
        renamed: impl Fn(K) -> K,
        mut join: impl FnMut(&mut V, V),
    ) where
        V: Default,
    {
        let keys: Vec<K> =
            self.all.range(from..).map(|(key, _)| key).take_while(|key| is_its(key)).cloned().collect();
        for key in keys {
            self.rename(&key, renamed(key.clone()), &mut join);
        }
    }

    /// Forgets what was not heard of since a time.
    pub(super) fn forget(&mut self, before: i64) {
        let Self { all, order, .. } = self;
        let minutes = order.iter().take_while(|(minute, _)| *minute <= before.div_euclid(MINUTE));
        let is_old = |(_, key): &&(i64, K)| all.get(key).is_none_or(|(last, _)| *last < before);
        let old: Vec<(i64, K)> = minutes.filter(is_old).cloned().collect();
        for place in old {
            order.remove(&place);
            all.remove(&place.1);
        }
    }

    /// As it is saved.
    pub(super) fn rows(&self) -> Rows<&K, &V> {
        self.all.iter().map(|(key, (last, value))| (key, *last, value)).collect()
    }

    /// From what was saved.
    pub(super) fn fill(&mut self, rows: Rows<K, V>) {
        for (key, last, value) in rows.into_iter().take(self.most) {
            self.order.insert((last.div_euclid(MINUTE), key.clone()));
            self.all.insert(key, (last, value));
        }
    }
}

/// Moments that a [`Burst`] remembers, at most.
const MOST_MOMENTS: usize = 64;

/// Something that matters when it happens often within a span of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Burst {
    /// When, and whether that counts already: what was part of a burst once is not counted by the next.
    times: VecDeque<(i64, bool)>,
    /// How often it happened that was not told yet.
    untold: u64,
    /// When that began.
    since: i64,
}

impl Burst {
    /// It happened; `least` times within `span` are told.
    pub(super) fn note(&mut self, ts: Timestamp, span: i64, least: usize) {
        self.forget(ts.0.saturating_sub(span));
        if self.times.len() >= MOST_MOMENTS {
            self.times.pop_front();
        }
        self.times.push_back((ts.0, false));
        if self.times.len() < least {
            return;
        }
        for (at, counts) in self.times.iter_mut().filter(|(_, counts)| !counts) {
            *counts = true;
            if self.untold == 0 {
                self.since = *at;
            }
            self.untold = self.untold.saturating_add(1);
        }
    }

    fn forget(&mut self, before: i64) {
        while self.times.front().is_some_and(|(at, _)| *at < before) {
            self.times.pop_front();
        }
    }

    /// How often it happened that was not told yet, from when, and until when.
    pub(super) fn take(&mut self) -> Option<(u64, Timestamp, Timestamp)> {
        let n = std::mem::take(&mut self.untold);
        let (last, _) = self.times.back().copied()?;
        (n > 0).then_some((n, Timestamp(self.since), Timestamp(last)))
    }

    /// What happened under another name happened here.
    pub(super) fn absorb(&mut self, other: Self) {
        self.since = match (self.untold, other.untold) {
            (0, _) => other.since,
            (_, 0) => self.since,
            _ => self.since.min(other.since),
        };
        self.untold = self.untold.saturating_add(other.untold);
        self.times.extend(other.times);
        self.times.make_contiguous().sort_unstable();
        while self.times.len() > MOST_MOMENTS {
            self.times.pop_front();
        }
    }

    /// How often within the span that ended with it.
    pub(super) fn len(&self) -> u64 {
        self.times.len() as u64
    }
}

/// Two counts a minute, of the last hour, minute by minute.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Minutes(VecDeque<(i64, [u64; 2])>);

impl Minutes {
    pub(super) fn add(&mut self, ts: Timestamp, counts: [u64; 2]) {
        let minute = ts.0.div_euclid(MINUTE);
        // Nearly always it is the last.
        let place = match self.0.back() {
            Some((last, _)) if *last == minute => self.0.len() - 1,
            _ => self.0.partition_point(|(known, _)| *known < minute),
        };
        if self.0.get(place).is_none_or(|(known, _)| *known != minute) {
            self.0.insert(place, (minute, [0; 2]));
        }
        for (count, more) in
            self.0.get_mut(place).into_iter().flat_map(|(_, sums)| sums.iter_mut().zip(counts))
        {
            *count = count.saturating_add(more);
        }
        while self.0.len() > 62 {
            self.0.pop_front();
        }
    }

    /// What was counted under another name counts here.
    pub(super) fn absorb(&mut self, other: Self) {
        for (minute, counts) in other.0 {
            self.add(Timestamp(minute.saturating_mul(MINUTE)), counts);
        }
    }

    /// The sums over the hour that ends now.
    pub(super) fn hour(&mut self, now: Timestamp) -> [u64; 2] {
        let from = now.0.saturating_sub(HOUR).div_euclid(MINUTE);
        self.0.retain(|(minute, _)| *minute >= from);
        self.0.iter().fold([0; 2], |[a, b], (_, [c, d])| [a.saturating_add(*c), b.saturating_add(*d)])
    }

    /// The first minute from a time on in which something counted, by the first count or the second.
    pub(super) fn began(&self, from: Timestamp, count: usize) -> Option<Timestamp> {
        let from = from.0.div_euclid(MINUTE);
        let has =
            |(minute, sums): &&(i64, [u64; 2])| *minute >= from && sums.get(count).is_some_and(|n| *n > 0);
        self.0.iter().find(has).map(|(minute, _)| Timestamp(minute.saturating_mul(MINUTE)))
    }

    /// The sums over the last whole minutes that hold at least so many of the first count, and when they begin.
    pub(super) fn last(&mut self, now: Timestamp, least: u64) -> Option<([u64; 2], Timestamp)> {
        self.hour(now);
        let mut sums = [0_u64; 2];
        for (minute, [first, second]) in self.0.iter().rev() {
            sums = [sums[0].saturating_add(*first), sums[1].saturating_add(*second)];
            if sums[0] >= least {
                return Some((sums, Timestamp(minute.saturating_mul(MINUTE))));
            }
        }
        None
    }
}

/// What is kept by device in a map is another device's from now on; `join` says what becomes of what that one has.
pub(super) fn rename<K: Ord, V>(all: &mut BTreeMap<K, V>, from: &K, into: K, join: impl FnOnce(&mut V, V)) {
    let Some(old) = all.remove(from) else { return };
    match all.entry(into) {
        Entry::Occupied(mut known) => join(known.get_mut(), old),
        Entry::Vacant(room) => {
            room.insert(old);
        }
    }
}

/// A peer, which may be a device.
pub(super) fn peer(server: Option<u32>, ip: IpAddr) -> Peer {
    server.map_or(Peer::Address(ip), |id| Peer::Device(DeviceId(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_the_oldest_gives_way() {
        let mut recent: Recent<u32, u8> = Recent::new(2);
        let last = 3 * MINUTE;
        *recent.entry(Timestamp(1), 1) += 1;
        *recent.entry(Timestamp(MINUTE), 2) += 1;
        *recent.entry(Timestamp(last), 1) += 1;
        *recent.entry(Timestamp(last + 1), 3) += 1;
        assert_eq!(recent.rows(), [(&1, last, &2), (&3, last + 1, &1)]);
        let saved = pack(&recent.rows());
        let mut next: Recent<u32, u8> = Recent::new(2);
        next.fill(unpack(&saved).unwrap());
        assert_eq!(next.rows(), recent.rows());
        next.forget(last + 1);
        assert_eq!((next.contains(&1), next.remove(&3)), (false, Some(1)));
        assert!(next.is_empty() && next.order.is_empty());
        assert_eq!(unpack::<Rows<u32, u8>>(&[9, 1, 1, 1, 1]), None, "another layout");
        assert_eq!(unpack::<Rows<u32, u8>>(&[]), None);
    }

    #[test]
    fn what_is_kept_under_one_key_joins_what_is_kept_under_another() {
        let mut recent: Recent<(u32, u8), u8> = Recent::new(9);
        for (ts, key) in [(1, (1, 7)), (2, (1, 8)), (3, (2, 7)), (4, (3, 9))] {
            *recent.entry(Timestamp(ts), key) = ts as u8;
        }
        recent.rename_all((1, 0), |(id, _)| *id == 1, |(_, at)| (2, at), |own, other| *own += other);
        assert_eq!(recent.rows(), [(&(2, 7), 3, &4), (&(2, 8), 2, &2), (&(3, 9), 4, &4)]);
        recent.rename(&(2, 7), (2, 7), |_, _| panic!("it is the same"));
        recent.rename(&(9, 9), (2, 7), |_, _| panic!("there is none"));
        recent.forget(3);
        assert_eq!((recent.rows().len(), recent.order.len()), (2, 2));
        let mut one = Burst::default();
        let mut other = Burst::default();
        [10, 30].iter().for_each(|at| one.note(Timestamp(*at), 100, 2));
        [5, 20, 25].iter().for_each(|at| other.note(Timestamp(*at), 100, 9));
        one.absorb(other);
        assert_eq!((one.len(), one.take()), (5, Some((2, Timestamp(10), Timestamp(30)))));
        let (mut a, mut b) = (Minutes::default(), Minutes::default());
        a.add(Timestamp(MINUTE), [1, 0]);
        b.add(Timestamp(MINUTE), [2, 1]);
        a.absorb(b);
        assert_eq!(a.hour(Timestamp(MINUTE)), [3, 1]);
    }

    #[test]
    fn a_burst_is_told_when_it_is_one_and_what_follows_once() {
        let mut burst = Burst::default();
        for at in [0, 50, 101, 150] {
            burst.note(Timestamp(at), 100, 3);
        }
        assert_eq!(burst.take(), Some((3, Timestamp(50), Timestamp(150))));
        assert_eq!(burst.take(), None, "what came too long before is no part of it");
        burst.note(Timestamp(150), 100, 3);
        assert_eq!((burst.take(), burst.len()), (Some((1, Timestamp(150), Timestamp(150))), 4));
        burst.note(Timestamp(900), 100, 3);
        assert_eq!(burst.take(), None);
        (0..1_000).for_each(|at| burst.note(Timestamp(1_000 + at), HOUR, 3));
        assert_eq!(burst.len(), 64);
    }

    #[test]
    fn nothing_counts_twice_however_far_apart_it_comes() {
        for pause in 1..150 {
            for n in 1..40_i64 {
                let (mut burst, mut told) = (Burst::default(), 0);
                for at in 0..n {
                    burst.note(Timestamp(at * pause), 100, 3);
                    told += burst.take().map_or(0, |(n, ..)| n);
                    burst = unpack(&pack(&burst)).unwrap();
                }
                let expected = if n >= 3 && 2 * pause <= 100 { n } else { 0 };
                assert_eq!(told, expected.unsigned_abs(), "{n}, {pause} apart");
            }
        }
        // Now and then one falls out before there are enough again.
        let (mut burst, mut told) = (Burst::default(), 0);
        for at in [0, 40, 80, 130, 181, 230, 231] {
            burst.note(Timestamp(at), 100, 3);
            told += burst.take().map_or(0, |(n, ..)| n);
        }
        assert_eq!(told, 7);
    }

    #[test]
    fn an_hour_is_sixty_minutes_and_the_last_of_them_come_first() {
        let mut minutes = Minutes::default();
        (0..60).for_each(|n| minutes.add(Timestamp(n * MINUTE), [1, u64::from(n >= 58)]));
        assert_eq!(minutes.hour(Timestamp(HOUR)), [60, 2]);
        let began = |from, count| minutes.began(Timestamp(from), count);
        assert_eq!([began(0, 0), began(MINUTE + 1, 0)], [0, MINUTE].map(|at| Some(Timestamp(at))));
        assert_eq!([began(0, 1), began(HOUR, 0)], [Some(Timestamp(58 * MINUTE)), None]);
        assert_eq!(minutes.last(Timestamp(HOUR), 3), Some(([3, 2], Timestamp(57 * MINUTE))));
        assert_eq!(minutes.last(Timestamp(HOUR), 61), None);
        assert_eq!(minutes.hour(Timestamp(HOUR + MINUTE)), [59, 2]);
    }
}
