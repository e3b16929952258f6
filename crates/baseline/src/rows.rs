//! Rows out and in, and what a row of habits says.

use crate::edge::State;
use crate::habits::{Habit, Habits};
use crate::{Baseline, Config, Learning, Seen, Watchers, findings};
use model::{Change, DeviceClass, DeviceId, Edge, LearningState, Timestamp};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};

impl Baseline {
    /// The edges of each client of which some changed since the last call, by client.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut out = Vec::new();
        let Ok(()) = self.each_change(|change| {
            out.push(change);
            Ok::<_, Infallible>(())
        });
        out
    }

    /// As [`Baseline::changes`], one after the other: at no time do all of them take memory.
    pub fn each_change<E>(&mut self, mut each: impl FnMut(Change) -> Result<(), E>) -> Result<(), E> {
        let mut clients = std::mem::take(&mut self.dirty);
        clients.sort_unstable();
        clients.dedup();
        for client in clients {
            let keys = self.edges.of_device(client);
            let own = keys.into_iter().filter(|key| key.client == client);
            let mut edges: Vec<Edge> = own
                .filter_map(|key| {
                    let state = self.edges.get_mut(&key)?;
                    state.dirty = false;
                    let state = state.clone();
                    Some(state.row(self.edges.edge_key(&key)))
                })
                .collect();
            edges.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            let had_a_row =
                if edges.is_empty() { self.written.remove(&client) } else { !self.written.insert(client) };
            // Of a client that came and went in between, there is nothing to take away.
            if had_a_row || !edges.is_empty() {
                each(Change::Edges(client, edges))?;
            }
        }
        self.each_other_change(each)
    }

    /// Continues from rows as they were written; other rows than those of the baseline are passed over. Rows may be the
    /// final ones or the whole history, in order.
    pub fn restore(config: Config, rows: impl IntoIterator<Item = Change>) -> Self {
        let (mut edges, mut habits) = (BTreeMap::new(), BTreeMap::new());
        let (mut site, mut findings) = (BTreeMap::new(), BTreeMap::new());
        for row in rows {
            match row {
                Change::Edges(client, of_client) => drop(edges.insert(client, of_client)),
                Change::Habit(id, bytes) => drop(habits.insert(id, bytes)),
                Change::HabitGone(id) => drop(habits.remove(&id)),
                Change::Site(name, bytes) => drop(site.insert(name, bytes)),
                Change::Finding(finding) => drop(findings.insert(finding.id, finding)),
                _ => {}
            }
        }
        let mut baseline = Self::new(config);
        edges.into_values().for_each(|edges| baseline.restore_edges(edges));
        habits.into_iter().for_each(|(id, bytes)| baseline.habits.restore(id, &bytes));
        site.into_iter().for_each(|(name, bytes)| baseline.restore_site(&name, &bytes));
        findings.into_values().for_each(|finding| baseline.book.restore(*finding));
        baseline
    }

    /// Takes in a final row, before anything else; other rows than those of the baseline are passed over.
    pub fn restore_row(&mut self, row: Change) {
        match row {
            Change::Edges(_, edges) => self.restore_edges(edges),
            Change::Habit(id, bytes) => self.habits.restore(id, &bytes),
            Change::Finding(finding) => self.book.restore(*finding),
            Change::Site(name, bytes) => self.restore_site(&name, &bytes),
            _ => {}
        }
    }

    fn restore_edges(&mut self, edges: Vec<Edge>) {
        for (key, state) in edges.into_iter().map(State::from_row) {
            self.written.insert(key.client);
            let key = self.edges.key(key);
            self.insert(key, state);
        }
    }

    fn restore_site(&mut self, name: &str, bytes: &[u8]) {
        if name == CLOCK {
            return self.clock.restore(bytes);
        }
        if name == findings::NAME {
            return self.book.restore_same(bytes);
        }
        if name == FIXED {
            return self.edges.fixed.restore(bytes);
        }
        if name == OUTSIDERS {
            return self.outsiders.restore(bytes);
        }
        if name == FORMER {
            return self.former.restore(bytes);
        }
        let rule = name.strip_prefix(RULE);
        let Watchers { all, written, .. } = &mut self.watchers;
        for ((known, watch), written) in all.iter_mut().zip(written) {
            if Some(known.name) == rule {
                watch.restore(bytes);
                *written = digest(bytes);
            }
        }
    }

    /// What changed besides edges: habits, what is known of the site, and findings.
    pub(crate) fn each_other_change<E>(
        &mut self,
        mut each: impl FnMut(Change) -> Result<(), E>,
    ) -> Result<(), E> {
        let (gone, rows) = self.habits.changes();
        gone.into_iter().try_for_each(|id| each(Change::HabitGone(id)))?;
        rows.into_iter().try_for_each(|(id, bytes)| each(Change::Habit(id, bytes)))?;
        if std::mem::take(&mut self.clock.dirty) {
            each(Change::Site(CLOCK.into(), self.clock.save()))?;
            let fixed = self.edges.fixed.save().into_iter();
            fixed.map(|saved| Change::Site(FIXED.into(), saved)).try_for_each(&mut each)?;
            let outsiders = self.outsiders.changed().into_iter();
            outsiders.map(|saved| Change::Site(OUTSIDERS.into(), saved)).try_for_each(&mut each)?;
            let former = self.former.changed().into_iter();
            former.map(|saved| Change::Site(FORMER.into(), saved)).try_for_each(&mut each)?;
            let Watchers { all, written, .. } = &mut self.watchers;
            for ((rule, watch), written) in all.iter().zip(written) {
                let saved = watch.save();
                // Most rules learn nothing new in most runs, and what some know is much.
                if std::mem::replace(written, digest(&saved)) != *written {
                    each(Change::Site(format!("{RULE}{}", rule.name).into(), saved))?;
                }
            }
        }
        self.book.changes().into_iter().try_for_each(each)
    }
}

/// Tells saved bytes from others; the same for the same bytes, within a run.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Under which names the site's rows stand.
const CLOCK: &str = "clock";
const FIXED: &str = "fixed ports";
const OUTSIDERS: &str = "peers outside";
const FORMER: &str = "quarantined before";
const RULE: &str = "rule ";

/// What is known of a device's habits, for those who show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Whose.
    pub device: DeviceId,
    /// How far learning has come.
    pub state: LearningState,
    /// What was seen.
    pub seen: Seen,
    /// What it is for, as last looked up.
    pub class: DeviceClass,
    /// First sight.
    pub first: Timestamp,
    /// Last sight.
    pub last: Timestamp,
    /// The longest it was not heard of while it was learned, in seconds.
    pub pause: u32,
    /// An operator ended its learning.
    pub locked: bool,
    /// Its learning ended by itself.
    pub converged: bool,
}

/// Reads rows of habits, as [`Change::Habit`] holds them; `now` is the time of the last frame.
pub fn known(
    rows: impl IntoIterator<Item = (DeviceId, Vec<u8>)>,
    rules: &Learning,
    now: Timestamp,
) -> Vec<Known> {
    known_locked(rows, &[], rules, now)
}

/// As [`known`], where operators ended the learning of one device, or of all that were first seen before a time
/// ([`Baseline::lock`]).
pub fn known_locked(
    rows: impl IntoIterator<Item = (DeviceId, Vec<u8>)>,
    locks: &[(Option<DeviceId>, Timestamp)],
    rules: &Learning,
    now: Timestamp,
) -> Vec<Known> {
    let mut habits = Habits::new(usize::MAX);
    rows.into_iter().for_each(|(id, bytes)| habits.restore(id, &bytes));
    for id in habits.ids() {
        if let Some(habit) = habits.get_mut(id) {
            let first = habit.first();
            if locks.iter().any(|(of, at)| of.map_or(first < *at, |of| of == id)) {
                habit.lock();
            }
        }
    }
    let of = |id: DeviceId| {
        let habit: &Habit = habits.get(id)?;
        let (seen, times) = (habit.seen(), habit.times(now));
        let (class, first, last) = (habit.class(), habit.first(), habit.last());
        let (state, pause) = (rules.state(&seen, &times), habit.pause);
        let (locked, converged) = (times.locked, times.converged || state == LearningState::Converged);
        Some(Known { device: id, state, seen, class, first, last, pause, locked, converged })
    };
    habits.ids().into_iter().filter_map(of).collect()
}
