//! What is known of a device's habits besides its edges: when it is active, how far learning has come, how much it does.

use crate::fetch;
use crate::learning::{Learning, Seen, Times};
use crate::places::Places;
use crate::rates::{Counts, Metric, Rates};
use inventory::Newcomers;
use model::{DeviceClass, DeviceId, LearningState, Timestamp};
use serde::{Deserialize, Serialize};

/// Anybody may be silent for half an hour.
const LEAST_SILENCE: i64 = 30 * 60 * 1_000_000_000;

/// One device's habits, in this order: what is used with every conversation stands in the first two cache lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[repr(C)]
pub(crate) struct Habit {
    first: i64,
    last: i64,
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
    locked: bool,
    /// What the device is for, as last looked up: the place in [`DeviceClass::ALL`].
    class: u8,
    #[serde(skip)]
    dirty: bool,
    /// The hour that is being counted, when it did something first in it, and its counts.
    pub(crate) hour: i32,
    began: i64,
    pub(crate) open: Counts,
    /// It has a row.
    #[serde(skip)]
    written: bool,
    pub(crate) rates: Rates,
    /// Hours in a row in which it did far more than usual.
    pub(crate) unusual: u8,
}

impl Habit {
    fn new(ts: Timestamp) -> Self {
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

    fn may_be_silent_until(&self) -> Timestamp {
        self.last().plus(self.patience())
    }

    /// When it did something first in the hour that is being counted.
    pub(crate) const fn began(&self) -> Timestamp {
        Timestamp(self.began)
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
    fn classify(&mut self, class: DeviceClass) -> bool {
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

    fn absorb(&mut self, other: Self) {
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
        self.rates.absorb(other.rates);
        self.dirty = true;
    }

    fn weight(&self) -> usize {
        HABIT + self.rates.heap()
    }
}

/// What a device's habits take, with the room the list has left over, and among the newcomers.
const HABIT: usize = size_of::<Entry>() + size_of::<Entry>() / MORE + 40;

/// A device's habits and its number, in whole cache lines, so that they can be fetched without being looked at.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Entry {
    habit: Habit,
    id: DeviceId,
    /// Whether there is a device at this place.
    is_there: bool,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(std::mem::offset_of!(Habit, open) / 64 == 1, "fetched with what every conversation asks for");
    assert!(std::mem::offset_of!(Habit, rates) / 64 == 2 && std::mem::offset_of!(Habit, unusual) / 64 == 3);
};

/// The list grows by one part in so many.
const MORE: usize = 8;

const fn week(ts: Timestamp) -> i32 {
    (ts.seconds().div_euclid(7 * 86_400)) as i32
}

/// Everybody's habits.
#[derive(Debug)]
pub(crate) struct Habits {
    /// Where each device's are. They stand in a list, so that going through all of them is going through memory in order.
    places: Places,
    all: Vec<Entry>,
    /// Until when each may be silent, at least, by place: who is silent is asked for often, and hardly anybody is.
    patience: Vec<Timestamp>,
    free: Vec<u32>,
    bytes: usize,
    max_bytes: usize,
    /// Devices with a single active hour: they give way first.
    newcomers: Newcomers<(Timestamp, DeviceId)>,
    /// Devices with something in the hour that is being counted.
    active: Vec<DeviceId>,
    gone: Vec<DeviceId>,
    pub(crate) evicted: u64,
    pub(crate) refused: u64,
}

/// Of the newcomers, one in so many is at stake.
const AT_STAKE: usize = 8;

impl Habits {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            places: Places::default(),
            all: Vec::new(),
            patience: Vec::new(),
            free: Vec::new(),
            bytes: 0,
            max_bytes,
            newcomers: Newcomers::one_in(AT_STAKE),
            active: Vec::new(),
            gone: Vec::new(),
            evicted: 0,
            refused: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&self, id: DeviceId) -> Option<&Habit> {
        let place = self.places.get(id)? as usize;
        self.all.get(place).map(|entry| &entry.habit)
    }

    pub(crate) fn get_mut(&mut self, id: DeviceId) -> Option<&mut Habit> {
        let place = self.places.get(id)? as usize;
        self.all.get_mut(place).map(|entry| &mut entry.habit)
    }

    /// Has brought from memory where a device's habits are, for [`Habits::fetch`].
    pub(crate) fn fetch_place(&self, id: DeviceId) {
        self.places.fetch(id);
    }

    /// Has that of a device's habits brought from memory which every conversation asks for.
    pub(crate) fn fetch(&self, id: DeviceId) {
        let Some(place) = self.places.get(id) else { return };
        if let Some(Entry { habit, .. }) = self.all.get(place as usize) {
            fetch(&habit.first);
            fetch(&habit.open);
        }
        self.patience.get(place as usize).into_iter().for_each(fetch);
    }

    /// Has all of a device's habits brought from memory.
    pub(crate) fn fetch_all(&self, id: DeviceId) {
        if let Some(habit) = self.get(id) {
            fetch(&habit.first);
            fetch(&habit.open);
            fetch(&habit.rates);
            fetch(&habit.unusual);
        }
    }

    /// Everybody, in no order to rely on.
    pub(crate) fn each(&self) -> impl Iterator<Item = (DeviceId, &Habit)> {
        self.all.iter().filter(|entry| entry.is_there).map(|entry| (entry.id, &entry.habit))
    }

    /// Whoever is silent at a time for longer than it may be, and maybe some who are not, in no order to rely on.
    pub(crate) fn overdue(&self, at: Timestamp) -> impl Iterator<Item = (DeviceId, &Habit)> {
        let places = self.patience.iter().zip(&self.all).filter(move |(until, _)| **until < at);
        places.filter(|(_, entry)| entry.is_there).map(|(_, entry)| (entry.id, &entry.habit))
    }

    /// Everybody, by number.
    pub(crate) fn ids(&self) -> Vec<DeviceId> {
        let mut ids: Vec<_> = self.each().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    fn insert(&mut self, id: DeviceId, habit: Habit) -> u32 {
        let entry = Entry { habit, id, is_there: true };
        let place = match self.free.pop() {
            Some(place) => place,
            // There are no more devices than numbers of devices.
            None => self.all.len() as u32,
        };
        let until = entry.habit.may_be_silent_until();
        if let (Some(free), Some(patience)) =
            (self.all.get_mut(place as usize), self.patience.get_mut(place as usize))
        {
            (*free, *patience) = (entry, until);
        } else {
            self.patience.push(until);
            if self.all.len() == self.all.capacity() {
                self.all.reserve_exact(self.all.len() / MORE + MORE);
            }
            self.all.push(entry);
        }
        self.places.insert(id, place);
        place
    }

    fn take(&mut self, id: DeviceId) -> Option<Habit> {
        let place = self.places.remove(id)?;
        self.free.push(place);
        let entry = self.all.get_mut(place as usize)?;
        entry.is_there = false;
        Some(std::mem::replace(&mut entry.habit, Habit::new(Timestamp(0))))
    }

    /// The device did something: its habits, new if need be and if there is room. `hour` is the one being counted.
    pub(crate) fn active(&mut self, id: DeviceId, ts: Timestamp, hour: i32) -> Option<&mut Habit> {
        self.active_until(id, ts, ts, hour)
    }

    /// The same of something that lasted.
    pub(crate) fn active_until(
        &mut self,
        id: DeviceId,
        ts: Timestamp,
        until: Timestamp,
        hour: i32,
    ) -> Option<&mut Habit> {
        let place = match self.places.get(id) {
            Some(place) => place,
            None if self.bytes + self.places.held() + HABIT > self.max_bytes && !self.evict() => {
                self.refused += 1;
                return None;
            }
            None => {
                self.bytes += HABIT;
                self.newcomers.insert((ts, id));
                self.insert(id, Habit::new(ts))
            }
        } as usize;
        let habit = &mut self.all.get_mut(place)?.habit;
        habit.dirty = true;
        if !habit.locked && !habit.converged {
            let pause = ts.since(habit.last()) / 1_000_000_000;
            habit.pause = habit.pause.max(u32::try_from(pause).unwrap_or_default());
        }
        habit.last = habit.last.max(ts.0).max(until.0);
        if let Some(patience) = self.patience.get_mut(place) {
            *patience = habit.may_be_silent_until();
        }
        if ts.0 < habit.first {
            if habit.hours <= 1 && self.newcomers.remove(&(habit.first(), id)) {
                self.newcomers.insert((ts, id));
            }
            habit.first = ts.0;
        }
        if habit.last_hour < hour {
            habit.last_hour = hour;
            habit.hours += 1;
            if habit.hours == 2 {
                self.newcomers.remove(&(habit.first(), id));
            }
        }
        if habit.hour != hour {
            habit.hour = hour;
            habit.began = ts.0;
            habit.open = Counts::default();
            self.active.push(id);
        }
        Some(habit)
    }

    /// An operator ended the learning of everybody who was known before a time.
    pub(crate) fn lock(&mut self, before: Timestamp) {
        let habits = self.all.iter_mut().filter(|entry| entry.is_there).map(|entry| &mut entry.habit);
        habits.filter(|habit| habit.first() < before).for_each(Habit::lock);
    }

    fn evict(&mut self) -> bool {
        let Some((_, id)) = self.newcomers.first().copied() else { return false };
        self.evicted += 1;
        self.remove(id).is_some()
    }

    pub(crate) fn remove(&mut self, id: DeviceId) -> Option<Habit> {
        let habit = self.take(id)?;
        self.bytes = self.bytes.saturating_sub(habit.weight());
        self.newcomers.remove(&(habit.first(), id));
        // Of a device that came and went in between, there is nothing to take back.
        if habit.written {
            self.gone.push(id);
        }
        Some(habit)
    }

    /// The hour is over: who did something in it, by number.
    pub(crate) fn close(&mut self) -> Vec<DeviceId> {
        let mut ids = std::mem::take(&mut self.active);
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// Ends an hour of a device: its counts count for what is normal, unless it was unusual. `class` is what the device is
    /// for, where that was looked up; whether that is something else than before.
    pub(crate) fn fold(
        &mut self,
        id: DeviceId,
        (slot, is_unusual): (u8, bool),
        class: Option<DeviceClass>,
        rules: &Learning,
        now: Timestamp,
    ) -> bool {
        let Some(habit) = self.get_mut(id) else { return false };
        let before = habit.rates.heap();
        if is_unusual {
            habit.unusual = habit.unusual.saturating_add(1);
        } else {
            habit.unusual = 0;
            let open = habit.open;
            habit.rates.fold(slot, &open);
        }
        habit.hour = i32::MIN;
        habit.open = Counts::default();
        habit.dirty = true;
        let is_other = class.is_some_and(|class| habit.classify(class));
        habit.converged |= habit.state(rules, now) == LearningState::Converged;
        let grown = habit.rates.heap();
        self.bytes = self.bytes + grown - before;
        is_other
    }

    /// What a device is for was looked up; whether that is something else than before.
    pub(crate) fn classify(&mut self, id: DeviceId, class: DeviceClass) -> bool {
        self.get_mut(id).is_some_and(|habit| habit.classify(class))
    }

    /// Two devices are one.
    pub(crate) fn rename(&mut self, from: DeviceId, into: DeviceId) {
        let Some(old) = self.remove(from) else { return };
        match self.get_mut(into) {
            Some(habit) => {
                let (before, was) = (habit.rates.heap(), habit.first());
                habit.absorb(old);
                let (grown, first, is_new) = (habit.rates.heap(), habit.first(), habit.hours <= 1);
                self.bytes = self.bytes + grown - before;
                if self.newcomers.remove(&(was, into)) && is_new {
                    self.newcomers.insert((first, into));
                }
            }
            None => {
                self.bytes += old.weight();
                if old.hours <= 1 {
                    self.newcomers.insert((old.first(), into));
                }
                let mut habit = old;
                (habit.dirty, habit.written) = (true, false);
                if habit.hour != i32::MIN {
                    self.active.push(into);
                }
                self.insert(into, habit);
            }
        }
    }

    /// Rows of those that changed, by number, and of those that went.
    pub(crate) fn changes(&mut self) -> (Vec<DeviceId>, Vec<(DeviceId, Vec<u8>)>) {
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|id| self.places.get(*id).is_none());
        gone.sort_unstable();
        gone.dedup();
        let mut rows = Vec::new();
        for id in self.ids() {
            let Some(habit) = self.get_mut(id).filter(|habit| habit.dirty) else { continue };
            (habit.dirty, habit.written) = (false, true);
            // Plain data: writing it to memory cannot fail.
            if let Ok(bytes) = postcard::to_allocvec(&(&*habit, &habit.rates.sent)) {
                rows.push((id, bytes));
            }
        }
        (gone, rows)
    }

    /// From a row; one that cannot be read is learned anew.
    pub(crate) fn restore(&mut self, id: DeviceId, bytes: &[u8]) {
        let Ok((mut habit, rest)) = postcard::take_from_bytes::<Habit>(bytes) else { return };
        habit.rates.sent = postcard::from_bytes(rest).unwrap_or_default();
        habit.written = true;
        self.bytes += habit.weight();
        if habit.hours <= 1 {
            self.newcomers.insert((habit.first(), id));
        }
        if habit.hour != i32::MIN {
            self.active.push(id);
        }
        self.insert(id, habit);
    }

    /// Counts something in the hour.
    pub(crate) fn count(habit: &mut Habit, metric: Metric, n: u64) {
        if let Some(count) = habit.open.get_mut(metric as usize) {
            *count = count.saturating_add(n);
        }
    }

    /// The state of a device.
    pub(crate) fn state(&self, id: DeviceId, rules: &Learning, now: Timestamp) -> LearningState {
        self.get(id).map_or(LearningState::Observing, |habit| habit.state(rules, now))
    }
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

    #[test]
    fn who_is_silent_for_longer_than_before_is_overdue() {
        let mut habits = Habits::new(1 << 20);
        let at = |minutes: i64| Timestamp::new(minutes * 60, 0);
        let overdue = |habits: &Habits, at: Timestamp| -> Vec<u32> {
            habits.overdue(at).map(|(DeviceId(id), _)| id).collect()
        };
        habits.active(DeviceId(1), at(0), 0);
        habits.active(DeviceId(2), at(20), 0);
        assert_eq!(overdue(&habits, at(30)), [0; 0]);
        assert_eq!(overdue(&habits, at(31)), [1]);
        habits.active(DeviceId(1), at(60), 1);
        assert_eq!(overdue(&habits, at(240)), [2], "after an hour's pause, three hours are none");
        assert_eq!(overdue(&habits, at(241)), [1, 2]);
        habits.remove(DeviceId(2));
        assert_eq!(overdue(&habits, at(241)), [1]);
        habits.active_until(DeviceId(1), at(241), at(300), 4);
        assert_eq!(habits.get(DeviceId(1)).map(Habit::last), Some(at(300)), "it lasted");
        habits.active(DeviceId(1), at(301), 5);
        assert_eq!(habits.get(DeviceId(1)).map(|habit| habit.pause / 60), Some(181), "which is no pause");
        // A century, as a frame with a wrong time makes it.
        habits.active(DeviceId(1), Timestamp::new(3_200_000_000, 0), 2);
        assert_eq!(overdue(&habits, Timestamp(i64::MAX)), [0; 0]);
    }
}
