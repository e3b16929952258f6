//! What is known of a device's habits besides its edges: when it is active, how far learning has come, how much it does.

mod habit;

pub(crate) use habit::Habit;

use crate::fetch;
use crate::learning::Learning;
use crate::rates::Metric;
use inventory::Newcomers;
use model::{DeviceClass, DeviceId, LearningState, Numbered, Timestamp};

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

/// Everybody's habits.
#[derive(Debug)]
pub(crate) struct Habits {
    /// Where each device's are. They stand in a list, so that going through all of them is going through memory in order.
    places: Numbered<u32>,
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
            places: Numbered::default(),
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
        let place = *self.places.get(&id)? as usize;
        self.all.get(place).map(|entry| &entry.habit)
    }

    pub(crate) fn get_mut(&mut self, id: DeviceId) -> Option<&mut Habit> {
        let place = *self.places.get(&id)? as usize;
        self.all.get_mut(place).map(|entry| &mut entry.habit)
    }

    /// Has brought from memory where a device's habits are, for [`Habits::fetch`].
    pub(crate) fn fetch_place(&self, id: DeviceId) {
        self.places.get(&id).into_iter().for_each(fetch);
    }

    /// Has that of a device's habits brought from memory which every conversation asks for.
    pub(crate) fn fetch(&self, id: DeviceId) {
        let Some(place) = self.places.get(&id).copied() else { return };
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
        let place = self.places.remove(&id)?;
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
        let place = match self.places.get(&id).copied() {
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
            habit.count_anew(hour);
            habit.began = ts.0;
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
        by_number(std::mem::take(&mut self.active))
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
        habit.count_anew(i32::MIN);
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
        gone.retain(|id| !self.places.contains_key(id));
        gone.sort_unstable();
        gone.dedup();
        let mut rows = Vec::new();
        for id in self.ids() {
            let Some(habit) = self.get_mut(id).filter(|habit| habit.dirty) else { continue };
            (habit.dirty, habit.written) = (false, true);
            // Plain data: writing it to memory cannot fail.
            if let Ok(bytes) =
                postcard::to_allocvec(&(&*habit, &habit.rates.sent, habit.begun, habit.begun_before))
            {
                rows.push((id, bytes));
            }
        }
        (gone, rows)
    }

    /// From a row; one that cannot be read is learned anew.
    pub(crate) fn restore(&mut self, id: DeviceId, bytes: &[u8]) {
        let Ok((mut habit, rest)) = postcard::take_from_bytes::<Habit>(bytes) else { return };
        // What was written without what stands behind the rest is read.
        let (sent, rest) = postcard::take_from_bytes(rest).unwrap_or_default();
        let begun: (u16, i32) = postcard::from_bytes(rest).unwrap_or((0, i32::MIN));
        (habit.rates.sent, (habit.begun, habit.begun_before)) = (sent, begun);
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

/// Devices in the order of their numbers, each once. They are numbered one after another, so that a bit for each number is
/// mostly less than the list; to sort it would cost more for each the more there are.
fn by_number(mut ids: Vec<DeviceId>) -> Vec<DeviceId> {
    let words = ids.iter().map(|id| id.0 as usize / 64 + 1).max().unwrap_or_default();
    if words > ids.len() {
        ids.sort_unstable();
        ids.dedup();
        return ids;
    }
    let mut bits = vec![0_u64; words];
    for DeviceId(id) in ids.drain(..) {
        if let Some(word) = bits.get_mut(id as usize / 64) {
            *word |= 1 << (id % 64);
        }
    }
    for (first, mut word) in (0..).step_by(64).zip(bits) {
        while word != 0 {
            ids.push(DeviceId(first + word.trailing_zeros()));
            word &= word - 1;
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_active_is_told_by_number_and_once_however_far_apart_the_numbers_are() {
        for far in [130, u32::MAX] {
            let ids: Vec<_> = [far, 64, 7, 63, 7, far, 0].map(DeviceId).to_vec();
            assert_eq!(by_number(ids), [0, 7, 63, 64, far].map(DeviceId));
        }
        assert_eq!(by_number(Vec::new()), []);
    }

    #[test]
    fn what_was_written_with_less_behind_it_is_read() {
        let mut habits = Habits::new(1 << 20);
        if let Some(habit) = habits.active(DeviceId(1), Timestamp(5), 0) {
            habit.begin(-1);
            habit.rates.sent.add(9);
        }
        let (_, rows) = habits.changes();
        let known = habits.get(DeviceId(1)).unwrap();
        let without = [
            postcard::to_allocvec(&(known, &known.rates.sent)).unwrap(),
            postcard::to_allocvec(known).unwrap(),
        ];
        let of = |row: &[u8]| {
            let mut habits = Habits::new(1 << 20);
            habits.restore(DeviceId(1), row);
            let habit = habits.get(DeviceId(1)).unwrap();
            (habit.begun(), habit.rates.sent == known.rates.sent)
        };
        assert_eq!(of(&rows[0].1), ((0, Some(-1)), true));
        assert_eq!(without.map(|row| of(&row)), [((0, None), true), ((0, None), false)]);
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
