//! What has to be remembered so that the same thing told again is the same finding, counted once.

use model::{Change, DeviceId, FindingKey, IpProto, Text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Peers that are remembered, and for how many days after they were told last. What is muted may come again much later.
const MOST: usize = 16_384;
const KEPT: i32 = 90;

/// The layout of what is saved.
const LAYOUT: u8 = 1;

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
        let before = self.peers.len() + self.ahead.len();
        while let Some((_, oldest)) = self.order.first().filter(|(last, _)| *last < today - KEPT).cloned() {
            self.remove(&oldest);
        }
        self.ahead.retain(|key, _| is_open(key));
        self.dirty |= self.peers.len() + self.ahead.len() != before;
    }

    /// What changed since this was asked last.
    pub(super) fn change(&mut self) -> Option<Change> {
        let is_dirty = std::mem::take(&mut self.dirty);
        let ahead: Vec<(SavedKey, u64)> = self.ahead.iter().map(|(key, n)| (saved(key), *n)).collect();
        let peers: Vec<(&Pair, &As)> = self.peers.iter().collect();
        // Plain data: writing it to memory cannot fail.
        let bytes = || postcard::to_allocvec(&(LAYOUT, &peers, &ahead)).unwrap_or_default();
        is_dirty.then(|| Change::Site(NAME.into(), bytes()))
    }

    /// What cannot be read is begun anew.
    pub(super) fn restore(&mut self, bytes: &[u8]) {
        type Saved = (u8, Vec<(Pair, As)>, Vec<(SavedKey, u64)>);
        let read = postcard::from_bytes::<Saved>(bytes).ok().filter(|(layout, ..)| *layout == LAYOUT);
        let Some((_, peers, ahead)) = read else { return };
        *self = Self::default();
        peers.into_iter().take(MOST).for_each(|(pair, told)| self.insert(pair, told));
        self.ahead = ahead.into_iter().filter_map(|(key, n)| Some((restored(key)?, n))).collect();
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
    fn of_too_many_the_one_told_longest_ago_gives_way() {
        let mut same = Same::default();
        (0..MOST as u32).for_each(|peer| drop(same.class(pair(1, peer), "a".to_owned(), 1)));
        same.class(pair(1, 0), "a".to_owned(), 2);
        same.class(pair(2, 0), "a".to_owned(), 2);
        assert_eq!((same.peers.len(), same.order.len()), (MOST, MOST));
        assert_eq!([pair(1, 0), pair(1, 1)].map(|pair| same.known(&pair).is_some()), [true, false]);
    }
}
