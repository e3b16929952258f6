//! When to look at which flow again, without scanning the table.
//!
//! A ring of one-second lists. Traffic does not move a timer: when its second comes, the flow is looked at, and set again
//! if it has been active since. A flow knows its own second, so a place left behind in an older list means nothing.

use crate::table::{NONE, Table};

/// Seconds the ring spans. What is due later is looked at when the ring has gone round, and set again.
const SPAN: i64 = 256;

/// Places in the ring for each flow of the table beyond which those left behind are thrown out.
const SLACK: usize = 4;

/// Places for which throwing out is not worth while.
const FEW: usize = 4_096;

/// The ring of one part.
pub(crate) struct Timers {
    ring: Vec<Vec<u32>>,
    /// The last second whose list has been taken.
    done: Option<i64>,
    places: usize,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { ring: vec![Vec::new(); SPAN as usize], done: None, places: 0 }
    }

    /// Looks at a flow again in second `at`, instead of when it would have been; never before the next second.
    pub(crate) fn set(&mut self, table: &mut Table, slot: u32, now: i64, at: i64) {
        let done = *self.done.get_or_insert(now);
        let second = at.clamp(done.saturating_add(1), done.saturating_add(SPAN - 1));
        let Some(flow) = table.get_mut(slot) else { return };
        flow.timer = stamp(second);
        self.push(slot, second);
        if self.places > table.len().saturating_mul(SLACK).saturating_add(FEW) {
            self.remake(table, done);
        }
    }

    fn push(&mut self, slot: u32, second: i64) {
        if let Some(list) = self.ring.get_mut(second.rem_euclid(SPAN) as usize) {
            list.push(slot);
            self.places = self.places.saturating_add(1);
        }
    }

    /// Throws out what was left behind.
    fn remake(&mut self, table: &Table, done: i64) {
        self.ring.iter_mut().for_each(Vec::clear);
        self.places = 0;
        let next = done.saturating_add(1);
        for (slot, flow) in table.all().filter(|(_, flow)| flow.timer != NONE) {
            let ahead = i64::from(ahead(stamp(next), flow.timer));
            self.push(slot, next.saturating_add(ahead.min(SPAN - 2)));
        }
    }

    /// Time was set: everything is looked at in the next second.
    pub(crate) fn restart(&mut self, table: &mut Table, now: i64) {
        *self = Self { done: Some(now), ..Self::new() };
        let all: Vec<u32> = table.all().map(|(slot, _)| slot).collect();
        for slot in all {
            self.set(table, slot, now, now);
        }
    }

    /// Takes the next list that is due at second `now`. Of its places those are meant for which [`is_due`] holds.
    pub(crate) fn due(&mut self, now: i64) -> Option<(i64, Vec<u32>)> {
        let done = self.done.as_mut()?;
        // However far time went on, a whole round is all there is.
        *done = (*done).max(now.saturating_sub(SPAN));
        while *done < now {
            *done = done.saturating_add(1);
            let list = self.ring.get_mut(done.rem_euclid(SPAN) as usize).map(std::mem::take);
            if let Some(list) = list.filter(|list| !list.is_empty()) {
                self.places = self.places.saturating_sub(list.len());
                return Some((*done, list));
            }
        }
        None
    }
}

/// Whether a flow's timer is set to this second, or to one before that a jump of time stepped over.
pub(crate) fn is_due(table: &Table, slot: u32, second: i64) -> bool {
    table.get(slot).is_some_and(|flow| flow.timer != NONE && ahead(stamp(second), flow.timer) == 0)
}

/// A second as a flow keeps it; never that of no timer.
const fn stamp(second: i64) -> u32 {
    (second as u32) & MASK
}

/// Seconds from one stamp to a later one; 0 when it is not later. Stamps wrap every 68 years, which event time
/// never goes on at once: see [`crate::clock`].
const fn ahead(from: u32, to: u32) -> u32 {
    let distance = to.wrapping_sub(from) & MASK;
    if distance > MASK / 2 { 0 } else { distance }
}

const MASK: u32 = NONE >> 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Addr;
    use crate::table::{Flow, Key};
    use model::{Side, Timestamp};
    use proptest::prelude::*;

    fn table(flows: u16) -> Table {
        let mut table = Table::new(1);
        for port in 0..flows {
            let host = Addr::v4([10, 0, 0, 1]);
            let (key, _) = Key::new(0, 17, (host, port), (host, 1));
            table.insert(Flow::new(key, Side::Low, port.into(), Timestamp(0)), key.hash(1));
        }
        table
    }

    /// What is due at `now`, each with its timer cleared.
    fn due(timers: &mut Timers, table: &mut Table, now: i64) -> Vec<u32> {
        let mut all = Vec::new();
        while let Some((second, places)) = timers.due(now) {
            for slot in places {
                if is_due(table, slot, second) {
                    table.get_mut(slot).unwrap().timer = NONE;
                    all.push(slot);
                }
            }
        }
        all
    }

    #[test]
    fn a_flow_is_looked_at_in_its_second_and_not_before() {
        let (mut table, mut timers) = (table(4), Timers::new());
        for (slot, at) in [(0, 1_005), (1, 1_005), (2, 1_009), (3, 101_000)] {
            timers.set(&mut table, slot, 1_000, at);
        }
        assert_eq!(due(&mut timers, &mut table, 1_004), []);
        timers.set(&mut table, 0, 1_004, 1_007);
        assert_eq!(due(&mut timers, &mut table, 1_005), [1], "set again, the last setting counts");
        assert_eq!(due(&mut timers, &mut table, 1_008), [0]);
        assert_eq!(due(&mut timers, &mut table, 1_254), [2]);
        assert_eq!(
            due(&mut timers, &mut table, 1_300),
            [3],
            "what is due later than a round is looked at early"
        );
        timers.set(&mut table, 3, 1_300, 1_301);
        assert_eq!(due(&mut timers, &mut table, 1_000_000_000), [3], "however far time goes on");
        timers.set(&mut table, 2, 1_000_000_000, i64::MAX);
        timers.restart(&mut table, 50);
        assert_eq!(due(&mut timers, &mut table, 51).len(), 4, "time was set: all are looked at");
    }

    #[test]
    fn what_is_left_behind_is_bounded() {
        let (mut table, mut timers) = (table(1_000), Timers::new());
        for n in 0..100_000u32 {
            timers.set(&mut table, n % 1_000, 0, 1 + i64::from(n % 250));
            assert!(timers.places <= 4_000 + FEW + 1);
            assert_eq!(timers.places, timers.ring.iter().map(Vec::len).sum::<usize>());
        }
        assert_eq!(due(&mut timers, &mut table, 255).len(), 1_000, "and no timer is lost");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_timer_comes_once_in_its_second(sets in prop::collection::vec((0u32..40, 1i64..250), 0..120)) {
            let (mut table, mut timers) = (table(40), Timers::new());
            let mut expected = [0; 40];
            for (slot, at) in sets {
                timers.set(&mut table, slot, 0, at);
                expected[slot as usize] = at;
            }
            for now in 1..=250 {
                for slot in due(&mut timers, &mut table, now) {
                    prop_assert_eq!(std::mem::take(&mut expected[slot as usize]), now);
                }
            }
            prop_assert!(expected.iter().all(|left| *left == 0));
        }
    }
}
