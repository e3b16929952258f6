//! One device's habits.

use super::HABIT;
use crate::learning::{Learning, Seen, Times};
use crate::rates::{Counts, Rates};
use model::{DeviceClass, LearningState, Timestamp};
use serde::{Deserialize, Serialize};

/// Anybody may be silent for half an hour.
const LEAST_SILENCE: i64 = 30 * 60 * 1_000_000_000;

/// One device's habits, in this order: what is used with every conversation stands in the first two cache lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[repr(C)]
pub(crate) struct Habit {
    pub(super) first: i64,
    pub(super) last: i64,
    /// What was seen of its edges, on either end.
    pub(crate) hours: u32,
    pub(crate) last_hour: i32,
    pub(crate) edges: u32,
    pub(crate) once: u32,
    pub(crate) twice: u32,
    pub(crate) pairs: u64,
    /// Active hours when the last new edge came.
    new_at: u32,
    /// The week (by days of 7) in which new edges were accepted last, how many, and above 16 bits, how many in the week
    /// before.
    accepted: (i32, u32),
    /// The longest it was not heard of while it was learned, in seconds.
    pub(crate) pause: u32,
    /// Learning ended by itself.
    pub(crate) converged: bool,
    /// An operator ended learning.
    pub(super) locked: bool,
    /// What the device is for, as last looked up: the place in [`DeviceClass::ALL`].
    class: u8,
    #[serde(skip)]
    pub(super) dirty: bool,
    /// The hour that is being counted, when it did something first in it, and its counts.
    pub(crate) hour: i32,
    pub(super) began: i64,
    pub(crate) open: Counts,
    /// It has a row.
    #[serde(skip)]
    pub(super) written: bool,
    /// Conversations that it began in that hour. This and the next are written behind the rest.
    #[serde(skip)]
    pub(super) begun: u16,
    /// The last hour before that in which it began one that was told in that hour only.
    #[serde(skip)]
    pub(super) begun_before: i32,
    pub(crate) rates: Rates,
    /// Hours in a row in which it did far more than usual.
    pub(crate) unusual: u8,
}

impl Habit {
    pub(super) fn new(ts: Timestamp) -> Self {
        Self {
            first: ts.0,
            last: ts.0,
            hours: 0,
            last_hour: i32::MIN,
            edges: 0,
            once: 0,
            twice: 0,
            pairs: 0,
            new_at: 0,
            accepted: (0, 0),
            pause: 0,
            converged: false,
            locked: false,
            class: u8::MAX,
            hour: i32::MIN,
            began: 0,
            open: Counts::default(),
            rates: Rates::default(),
            unusual: 0,
            dirty: true,
            written: false,
            begun: 0,
            begun_before: i32::MIN,
        }
    }

    pub(crate) const fn first(&self) -> Timestamp {
        Timestamp(self.first)
    }

    pub(crate) const fn last(&self) -> Timestamp {
        Timestamp(self.last)
    }

    /// For how long it may be silent, in nanoseconds.
    pub(crate) fn patience(&self) -> i64 {
        LEAST_SILENCE.max(i64::from(self.pause).saturating_mul(3 * 1_000_000_000))
    }

    pub(super) fn may_be_silent_until(&self) -> Timestamp {
        self.last().plus(self.patience())
    }

    /// When it did something first in the hour that is being counted.
    pub(crate) const fn began(&self) -> Timestamp {
        Timestamp(self.began)
    }

    /// It began a conversation in an hour, which is told in the one that is being counted.
    pub(crate) fn begin(&mut self, hour: i32) {
        if hour >= self.hour {
            self.begun = self.begun.saturating_add(1);
        } else {
            self.begun_before = self.begun_before.max(hour);
        }
    }

    /// How many conversations it began in the hour that is being counted, and in which hour before one that was told in it.
    pub(crate) fn begun(&self) -> (u16, Option<i32>) {
        (self.begun, Some(self.begun_before).filter(|hour| *hour != i32::MIN))
    }

    /// An hour begins in which nothing was counted yet.
    pub(super) fn count_anew(&mut self, hour: i32) {
        self.hour = hour;
        self.open = Counts::default();
        (self.begun, self.begun_before) = (0, i32::MIN);
    }

    pub(crate) fn class(&self) -> DeviceClass {
        DeviceClass::ALL.get(usize::from(self.class)).copied().unwrap_or_default()
    }

    pub(crate) const fn is_locked(&self) -> bool {
        self.locked
    }

    pub(crate) const fn seen(&self) -> Seen {
        Seen {
            hours: self.hours,
            edges: self.edges,
            once: self.once,
            twice: self.twice,
            pairs: self.pairs,
            quiet: self.hours.saturating_sub(self.new_at),
        }
    }

    pub(crate) fn times(&self, now: Timestamp) -> Times {
        Times {
            first: self.first(),
            last: self.last(),
            now,
            locked: self.locked,
            converged: self.converged,
            accepted: self.accepted_until(week(now)).iter().sum(),
        }
    }

    /// How far learning has come.
    pub(crate) fn state(&self, rules: &Learning, now: Timestamp) -> LearningState {
        rules.state(&self.seen(), &self.times(now))
    }

    /// Whether that is something else than before.
    pub(super) fn classify(&mut self, class: DeviceClass) -> bool {
        let is_other = self.class() != class;
        let place = DeviceClass::ALL.iter().position(|known| *known == class);
        let place = place.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX);
        self.dirty |= self.class != place;
        self.class = place;
        is_other
    }

    /// An operator ended its learning.
    pub(crate) const fn lock(&mut self) {
        self.dirty |= !self.locked;
        self.locked = true;
    }

    /// A new edge was found to be normal.
    pub(crate) fn accept(&mut self, now: Timestamp) {
        let this = week(now);
        let [before, now] = self.accepted_until(this);
        self.accepted = (this, before << 16 | now.saturating_add(1).min(0xffff));
        self.dirty = true;
    }

    /// New edges that were accepted in the week before one, and in that.
    const fn accepted_until(&self, week: i32) -> [u32; 2] {
        let (last, counts) = self.accepted;
        match week.saturating_sub(last) {
            ..=0 => [counts >> 16, counts & 0xffff],
            1 => [counts & 0xffff, 0],
            _ => [0, 0],
        }
    }

    /// One of its edges was seen in another hour; it was seen in so many before.
    pub(crate) fn edge_hour(&mut self, before: u32) {
        self.pairs = self.pairs.saturating_add(1);
        match before {
            0 => {
                self.edges += 1;
                self.once += 1;
                self.new_at = self.hours;
            }
            1 => {
                self.once = self.once.saturating_sub(1);
                self.twice += 1;
            }
            2 => self.twice = self.twice.saturating_sub(1),
            _ => {}
        }
        self.dirty = true;
    }

    /// One of its edges is no more.
    pub(crate) fn edge_gone(&mut self, hours: u32) {
        self.edges = self.edges.saturating_sub(1);
        self.pairs = self.pairs.saturating_sub(hours.into());
        match hours {
            1 => self.once = self.once.saturating_sub(1),
            2 => self.twice = self.twice.saturating_sub(1),
            _ => {}
        }
        self.dirty = true;
    }

    /// Its edges were seen in so many hours each.
    pub(crate) fn recount(&mut self, hours: &[u32]) {
        let of = |n: u32| hours.iter().filter(|hours| **hours == n).count() as u32;
        let before = (self.edges, self.once, self.twice, self.pairs);
        (self.edges, self.once, self.twice) = (hours.len() as u32, of(1), of(2));
        self.pairs = hours.iter().map(|hours| u64::from(*hours)).sum();
        self.dirty |= before != (self.edges, self.once, self.twice, self.pairs);
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.hours = self.hours.max(other.hours);
        self.last_hour = self.last_hour.max(other.last_hour);
        self.pause = self.pause.max(other.pause);
        self.converged |= other.converged;
        self.locked |= other.locked;
        for (own, other) in self.open.iter_mut().zip(other.open) {
            *own = own.saturating_add(other);
        }
        self.begun = self.begun.saturating_add(other.begun);
        self.begun_before = self.begun_before.max(other.begun_before);
        self.rates.absorb(other.rates);
        self.dirty = true;
    }

    pub(super) fn weight(&self) -> usize {
        HABIT + self.rates.heap()
    }
}

const fn week(ts: Timestamp) -> i32 {
    (ts.seconds().div_euclid(7 * 86_400)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_drifts_took_up_much_within_a_week_or_two_of_the_calendar() {
        let mut habit = Habit::new(Timestamp(0));
        let in_week = |week: i64| Timestamp::new(week * 7 * 86_400 + 5, 0);
        let accepted = |habit: &Habit, week: i64| habit.times(in_week(week)).accepted;
        // One a week.
        (0..6).for_each(|week| habit.accept(in_week(week)));
        assert_eq!([5, 6, 7].map(|week| accepted(&habit, week)), [2, 1, 0]);
        (0..4).for_each(|_| habit.accept(in_week(9)));
        assert_eq!([9, 10, 11].map(|week| accepted(&habit, week)), [4, 4, 0]);
        assert!(habit.times(in_week(10)).accepted > Learning::default().drift_edges);
    }
}
