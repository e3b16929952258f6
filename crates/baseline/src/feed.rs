//! A feed of messages: how long its pauses are, and in which hours it speaks at all.

use crate::calendar::{SLOTS, hour};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use model::Timestamp;

/// Longest pause that is told apart, in milliseconds: two weeks.
const LONGEST: u64 = 14 * 86_400_000;

/// Bytes that a feed takes: counts of four bytes, 16 for each doubling, and what stands beside them.
pub(crate) const FEED: usize = 2_560;

/// Nanoseconds that are no silence of anybody.
const SHORT: i64 = 10_000_000_000;

/// Pauses that have to be known before one can be too long.
const LEAST_PAUSES: u64 = 200;

/// What is normal of a feed.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pub(crate) last: Timestamp,
    pauses: Histogram<u32>,
    /// Hours in which it spoke, by slot.
    spoke: [u16; SLOTS as usize],
    last_hour: i32,
}

impl Feed {
    pub(crate) fn new() -> Option<Self> {
        let pauses = Histogram::new_with_bounds(1, LONGEST, 1).ok()?;
        Some(Self { last: Timestamp(i64::MIN), pauses, spoke: [0; SLOTS as usize], last_hour: i32::MIN })
    }

    /// A message was seen, in an hour that is like those of a slot. While silence is reported, the pause is not normal.
    /// Pauses that leave out whole hours are told by the hours in which it speaks, and would hide what is too long by day.
    pub(crate) fn message(&mut self, ts: Timestamp, slot: u8, is_armed: bool) {
        if ts <= self.last {
            return;
        }
        let hour = hour(ts);
        let pause = ts.since(self.last);
        let is_close = i64::from(hour) - i64::from(self.last_hour) <= 1;
        // To look up what is too long costs more than a message; what is short need not be held against it.
        let is_silence = is_armed && pause > SHORT && self.too_long().is_some_and(|limit| pause > limit);
        if self.last.0 != i64::MIN && is_close && !is_silence {
            self.pauses.saturating_record((pause.unsigned_abs() / 1_000_000).clamp(1, LONGEST));
        }
        self.last = ts;
        if hour > self.last_hour {
            self.last_hour = hour;
            if let Some(count) = self.spoke.get_mut(usize::from(slot)) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// How many hours like this one it spoke in.
    pub(crate) fn spoke_in(&self, slot: u8) -> u16 {
        self.spoke.get(usize::from(slot)).copied().unwrap_or_default()
    }

    /// The pause, in nanoseconds, from which on silence is out of the ordinary; `None` while too few are known.
    pub(crate) fn too_long(&self) -> Option<i64> {
        if self.pauses.len() < LEAST_PAUSES {
            return None;
        }
        let (most, middle) = (self.pauses.value_at_quantile(0.999), self.pauses.value_at_quantile(0.5));
        let millis = (most.saturating_mul(3) / 2).max(middle.saturating_mul(3));
        i64::try_from(millis.saturating_mul(1_000_000)).ok()
    }

    /// How many pauses are known, and half of them and 999 of 1000 are at most how long, in milliseconds.
    pub(crate) fn normal(&self) -> (u64, u64, u64) {
        (self.pauses.len(), self.pauses.value_at_quantile(0.5), self.pauses.value_at_quantile(0.999))
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        // Same bounds, so it cannot fail; if it did, our own measurements stand.
        let _ = self.pauses.add(&other.pauses);
        for (own, other) in self.spoke.iter_mut().zip(other.spoke) {
            *own = (*own).max(other);
        }
        self.last = self.last.max(other.last);
        self.last_hour = self.last_hour.max(other.last_hour);
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.last.0.to_be_bytes());
        out.extend_from_slice(&self.last_hour.to_be_bytes());
        self.spoke.iter().for_each(|count| out.extend_from_slice(&count.to_be_bytes()));
        // Writing to memory cannot fail.
        let _ = V2Serializer::new().serialize(&self.pauses, &mut out);
        out
    }

    /// `None` for what [`Feed::to_bytes`] did not write: the feed is learned anew.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut feed = Self::new()?;
        let (last, rest) = bytes.split_first_chunk()?;
        let (last_hour, mut rest) = rest.split_first_chunk()?;
        feed.last = Timestamp(i64::from_be_bytes(*last));
        feed.last_hour = i32::from_be_bytes(*last_hour);
        for count in &mut feed.spoke {
            let (bytes, after) = rest.split_first_chunk()?;
            *count = u16::from_be_bytes(*bytes);
            rest = after;
        }
        let stored: Histogram<u32> = Deserializer::new().deserialize(&mut &rest[..]).ok()?;
        feed.pauses.add(stored).ok()?;
        Some(feed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_learned_and_read_back() {
        let mut feed = Feed::new().unwrap();
        assert_eq!(feed.too_long(), None);
        let second = 1_000_000_000;
        for n in 0..=200 {
            assert_eq!(feed.too_long().is_some(), n > 200);
            feed.message(Timestamp(n * 10 * second), 0, true);
        }
        let limit = feed.too_long().unwrap();
        // One significant digit: 10 s is told from 9 and 11, and three medians are more than one and a half of the most.
        assert!((29 * second..33 * second).contains(&limit), "{limit}");
        assert_eq!((feed.spoke_in(0), feed.spoke_in(1)), (1, 0), "1970 began on a Thursday");
        feed.message(Timestamp(3_000 * second), 0, true);
        assert_eq!(feed.too_long(), Some(limit), "a pause that is reported is not learned");
        let back = Feed::from_bytes(&feed.to_bytes()).unwrap();
        assert_eq!((back.normal(), back.last, back.spoke), (feed.normal(), feed.last, feed.spoke));
        for cut in 0..feed.to_bytes().len() {
            assert!(Feed::from_bytes(&feed.to_bytes()[..cut]).is_none(), "{cut}");
        }
    }
}
