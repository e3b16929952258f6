//! What has to be remembered so that the same thing told again is the same finding, counted once.

use super::several::{Met, Peers};
use model::{Change, DeviceId, FindingId, FindingKey, IpProto, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Peers that are remembered, and for how many days after they were told last. What is muted may come again much later.
const MOST: usize = 16_384;
const KEPT: i32 = 90;

/// Findings of which it is remembered whom they are about, at most: of more, those of the oldest day give way.
const MOST_MET: usize = 1_024;

/// The layout of what is saved: before 2, it was not kept whom findings about several are about, nor
/// which numbers are no more.
const LAYOUT: u8 = 2;
const WITHOUT_MET: u8 = 1;

/// Under which name it is saved.
pub(crate) const NAME: &str = "findings";

/// A rule, the device that it told of, the device at the other end, and the service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Pair {
    rule: Cow<'static, str>,
    device: Option<u32>,
    peer: u32,
    service: Option<(u8, u16)>,
}

impl Pair {
    pub(crate) fn new(
        rule: &'static str,
        device: Option<DeviceId>,
        peer: DeviceId,
        service: Option<(IpProto, u16)>,
    ) -> Self {
        let service = service.map(|(transport, port)| (transport.0, port));
        Self { rule: rule.into(), device: device.map(|id| id.0), peer: peer.0, service }
    }
}

/// The class that a peer is told under, and the days on which it was first and last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct As {
    since: i32,
    class: String,
    last: i32,
}

/// A finding's key as it is saved.
type SavedKey = (String, Option<u32>, String, Option<(u8, u16)>, i32);

/// What is remembered besides the findings.
#[derive(Debug, Default)]
pub(super) struct Same {
    peers: BTreeMap<Pair, As>,
    /// By the day on which they were told last.
    order: BTreeSet<(i32, Pair)>,
    /// Findings that count something that has not ended, which is counted when it has.
    ahead: BTreeMap<FindingKey, u64>,
    /// Whom findings are about that may be about several.
    met: BTreeMap<FindingKey, Met>,
    /// The highest number of a finding that is no more: it must not be another's.
    gone: u32,
    dirty: bool,
}

impl Same {
    /// The class that a peer was told under first: what it turns out to be later makes no other finding of it.
    pub(super) fn known(&self, pair: &Pair) -> Option<&str> {
        self.peers.get(pair).map(|known| known.class.as_str())
    }

    /// The same of one that is told now, on a day, and is of a class by now.
    pub(super) fn class(&mut self, pair: Pair, class: String, day: i32) -> String {
        if let Some(known) = self.peers.get_mut(&pair) {
            let (class, last) = (known.class.clone(), known.last);
            if last < day {
                known.last = day;
                self.order.remove(&(last, pair.clone()));
                self.order.insert((day, pair));
                self.dirty = true;
            }
            return class;
        }
        self.insert(pair, As { since: day, class: class.clone(), last: day });
        class
    }

    fn insert(&mut self, pair: Pair, told: As) {
        while self.peers.len() >= MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.peers.remove(&oldest);
        }
        self.order.insert((told.last, pair.clone()));
        self.peers.insert(pair, told);
        self.dirty = true;
    }

    /// A finding is told of something that is counted when it has ended.
    pub(super) fn is_ahead(&mut self, key: &FindingKey) {
        *self.ahead.entry(key.clone()).or_default() += 1;
        self.dirty = true;
    }

    /// How much is to be added to a finding of which so much happened: what was counted ahead is not counted again.
    pub(super) fn not_counted(&mut self, key: &FindingKey, count: u64) -> u64 {
        let Some(ahead) = self.ahead.get_mut(key).filter(|_| count > 0) else { return count };
        let known = count.min(*ahead);
        *ahead -= known;
        if *ahead == 0 {
            self.ahead.remove(key);
        }
        self.dirty = true;
        count - known
    }

    /// A finding goes under another key, or goes up in the one that is there.
    pub(super) fn moved(&mut self, from: &FindingKey, to: &FindingKey) {
        if let Some(n) = self.ahead.remove(from) {
            *self.ahead.entry(to.clone()).or_default() += n;
            self.dirty = true;
        }
        if let Some(met) = self.met.remove(from) {
            self.met.entry(to.clone()).or_default().absorb(met);
            self.dirty = true;
        }
    }

    /// Whether a finding is about such classes already.
    pub(super) fn has_met(&self, key: &FindingKey, classes: &BTreeSet<String>) -> bool {
        self.met.get(key).is_some_and(|met| classes.is_subset(&met.classes))
    }

    /// Some are part of what a finding is about; all that it is about by now.
    pub(super) fn meet(&mut self, key: &FindingKey, some: Met) -> Peers {
        while self.met.len() >= MOST_MET
            && !self.met.contains_key(key)
            && let Some(oldest) = self.met.keys().min_by_key(|key| (key.day, *key)).cloned()
        {
            self.met.remove(&oldest);
        }
        let known = self.met.entry(key.clone()).or_default();
        let before = (known.classes.len(), known.peers.len());
        known.absorb(some);
        self.dirty |= before != (known.classes.len(), known.peers.len());
        known.peers.clone()
    }

    /// Devices turned out to be others; of two that are one now, the class that was told first stands.
    pub(super) fn renamed(&mut self, into: impl Fn(DeviceId) -> Option<DeviceId>) {
        let now = |id: u32| into(DeviceId(id)).map_or(id, |id| id.0);
        let renamed =
            |pair: &Pair| Pair { device: pair.device.map(now), peer: now(pair.peer), ..pair.clone() };
        let changed: Vec<(Pair, Pair)> = (self.peers.keys().map(|old| (old.clone(), renamed(old))))
            .filter(|(old, new)| old != new)
            .collect();
        for (old, new) in changed {
            let Some(mut told) = self.remove(&old) else { continue };
            if let Some(other) = self.remove(&new) {
                let last = told.last.max(other.last);
                told = As { last, ..told.min(other) };
            }
            self.insert(new, told);
        }
    }

    fn remove(&mut self, pair: &Pair) -> Option<As> {
        let told = self.peers.remove(pair)?;
        self.order.remove(&(told.last, pair.clone()));
        Some(told)
    }

    /// A day begins: what was not told for long is forgotten, and what cannot be added to any more.
    pub(super) fn day(&mut self, today: i32, is_open: impl Fn(&FindingKey) -> bool) {
        let before = self.peers.len() + self.ahead.len() + self.met.len();
        while let Some((_, oldest)) = self.order.first().filter(|(last, _)| *last < today - KEPT).cloned() {
            self.remove(&oldest);
        }
        self.ahead.retain(|key, _| is_open(key));
        self.met.retain(|key, _| is_open(key));
        self.dirty |= self.peers.len() + self.ahead.len() + self.met.len() != before;
    }

    /// What changed since this was asked last.
    /// A finding is no more.
    pub(super) fn is_gone(&mut self, id: FindingId) {
        self.dirty |= id.0 > self.gone;
        self.gone = self.gone.max(id.0);
    }

    /// The highest number of one that is no more.
    pub(super) const fn gone(&self) -> u32 {
        self.gone
    }

    pub(super) fn change(&mut self) -> Option<Change> {
        let is_dirty = std::mem::take(&mut self.dirty);
        let ahead: Vec<(SavedKey, u64)> = self.ahead.iter().map(|(key, n)| (saved(key), *n)).collect();
        let peers: Vec<(&Pair, &As)> = self.peers.iter().collect();
        let met: Vec<(SavedKey, &Met)> = self.met.iter().map(|(key, met)| (saved(key), met)).collect();
        // Plain data: writing it to memory cannot fail.
        let bytes = || postcard::to_allocvec(&(LAYOUT, &peers, &ahead, &met, self.gone)).unwrap_or_default();
        is_dirty.then(|| Change::Site(NAME.into(), bytes()))
    }

    /// What cannot be read is begun anew.
    pub(super) fn restore(&mut self, bytes: &[u8]) {
        type Before = (u8, Vec<(Pair, As)>, Vec<(SavedKey, u64)>);
        type Saved = (u8, Vec<(Pair, As)>, Vec<(SavedKey, u64)>, Vec<(SavedKey, Met)>, u32);
        let of_1 = || {
            let read =
                postcard::from_bytes::<Before>(bytes).ok().filter(|(layout, ..)| *layout == WITHOUT_MET);
            read.map(|(layout, peers, ahead)| (layout, peers, ahead, Vec::new(), 0))
        };
        let read = postcard::from_bytes::<Saved>(bytes).ok().filter(|(layout, ..)| *layout == LAYOUT);
        let Some((_, peers, ahead, met, gone)) = read.or_else(of_1) else { return };
        *self = Self { gone, ..Self::default() };
        peers.into_iter().take(MOST).for_each(|(pair, told)| self.insert(pair, told));
        self.ahead = ahead.into_iter().filter_map(|(key, n)| Some((restored(key)?, n))).collect();
        let met = met.into_iter().take(MOST_MET).filter_map(|(key, met)| Some((restored(key)?, met)));
        self.met = met.collect();
        self.dirty = false;
    }
}

fn saved(key: &FindingKey) -> SavedKey {
    let FindingKey { rule, device, peer_class, service, day } = key;
    let service = service.map(|(transport, port)| (transport.0, port));
    (rule.clone().into_owned(), device.map(|id| id.0), peer_class.as_str().to_owned(), service, *day)
}

fn restored((rule, device, peer_class, service, day): SavedKey) -> Option<FindingKey> {
    let service = service.map(|(transport, port)| (IpProto(transport), port));
    let peer_class = Text::from_str_lossy(&peer_class)?;
    Some(FindingKey { rule: rule.into(), device: device.map(DeviceId), peer_class, service, day })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(device: u32, peer: u32) -> Pair {
        Pair::new("scan", Some(DeviceId(device)), DeviceId(peer), Some((IpProto::TCP, 104)))
    }

    #[test]
    fn a_peer_is_told_under_the_class_that_it_was_told_under_first() {
        let mut same = Same::default();
        let class = |same: &mut Same, pair: Pair, class: &str, day| same.class(pair, class.to_owned(), day);
        assert_eq!(class(&mut same, pair(1, 9), "unknown", 10), "unknown");
        assert_eq!(class(&mut same, pair(1, 9), "PACS", 12), "unknown");
        assert_eq!(class(&mut same, pair(2, 9), "PACS", 12), "PACS", "of another device");
        same.renamed(|id| (id == DeviceId(2)).then_some(DeviceId(1)));
        assert_eq!((same.known(&pair(2, 9)), same.known(&pair(1, 9))), (None, Some("unknown")));
        let Some(Change::Site(name, bytes)) = same.change() else { panic!("something changed") };
        assert!(name == NAME && same.change().is_none());
        let mut back = Same::default();
        back.restore(&[9, 9]);
        back.restore(&bytes);
        assert_eq!((back.peers == same.peers, back.order == same.order), (true, true));
        back.day(12 + KEPT, |_| true);
        assert_eq!(back.known(&pair(1, 9)), Some("unknown"));
        back.day(13 + KEPT, |_| true);
        assert_eq!(back.known(&pair(1, 9)), None);
    }

    #[test]
    fn what_was_saved_before_it_was_kept_whom_findings_are_about_is_read() {
        let told = As { since: 10, class: "PACS".to_owned(), last: 10 };
        let key = ("scan".to_owned(), Some(1_u32), "many".to_owned(), None::<(u8, u16)>, 10);
        let before =
            postcard::to_allocvec(&(WITHOUT_MET, vec![(pair(1, 9), told)], vec![(key, 3_u64)])).unwrap();
        let mut back = Same::default();
        back.restore(&before);
        assert_eq!((back.known(&pair(1, 9)), back.ahead.len(), back.met.len()), (Some("PACS"), 1, 0));
    }

    #[test]
    fn of_too_many_the_one_told_longest_ago_gives_way() {
        let mut same = Same::default();
        (0..MOST as u32).for_each(|peer| drop(same.class(pair(1, peer), "a".to_owned(), 1)));
        same.class(pair(1, 0), "a".to_owned(), 2);
        same.class(pair(2, 0), "a".to_owned(), 2);
        assert_eq!((same.peers.len(), same.order.len()), (MOST, MOST));
        assert_eq!([pair(1, 0), pair(1, 1)].map(|pair| same.known(&pair).is_some()), [true, false]);
    }
}
