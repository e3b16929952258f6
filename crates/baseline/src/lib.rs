//! What each device normally talks to.
//!
//! A habit is an [`model::Edge`]: one device asks one peer for one purpose (transport, server port, application).
//! [`Baseline::resolved`] takes what the inventory made of each event; [`Baseline::changes`] gives the edges that
//! changed. Conversations that nobody known began are not an edge; they are counted.
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod edge;

#[cfg(test)]
mod tests;

use edge::State;
use inventory::Resolved;
use model::{Change, DeviceId, Edge, EdgeKey, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Limits of the baseline. What falls to one is counted in [`Counters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most edges. A newcomer beyond it replaces the one that was used only once, longest ago; habits are never
    /// replaced, so that a scan cannot wipe out what was learned.
    pub max_edges: usize,
    /// Most kinds of request (with outcome) that are told apart on one edge; later kinds are not taken up.
    pub max_kinds_per_edge: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_edges: 1_000_000, max_kinds_per_edge: 64 }
    }
}

/// What the baseline could not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Edges used only once that gave way to new ones.
    pub edges_evicted: u64,
    /// Edges that were not taken up because only habits were left.
    pub edges_refused: u64,
    /// Kinds of request that were one too many on their edge.
    pub kinds_refused: u64,
    /// Conversations that no known device began.
    pub without_client: u64,
}

/// Every edge.
#[derive(Debug)]
pub struct Baseline {
    config: Config,
    counters: Counters,
    /// By client: most look-ups then compare few keys.
    edges: BTreeMap<DeviceId, BTreeMap<EdgeKey, State>>,
    count: usize,
    /// Who is asked by whom: finds the edges of a server.
    clients_of: BTreeSet<(DeviceId, DeviceId)>,
    /// Edges used only once, by when that was.
    once: BTreeSet<(Timestamp, EdgeKey)>,
    dirty: Vec<EdgeKey>,
    gone: BTreeSet<EdgeKey>,
}

impl Baseline {
    /// An empty baseline.
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            counters: Counters { edges_evicted: 0, edges_refused: 0, kinds_refused: 0, without_client: 0 },
            edges: BTreeMap::new(),
            count: 0,
            clients_of: BTreeSet::new(),
            once: BTreeSet::new(),
            dirty: Vec::new(),
            gone: BTreeSet::new(),
        }
    }

    /// Continues from rows as they were written, final or as a history in order: the state is that of a baseline that
    /// was never interrupted.
    pub fn restore(config: Config, rows: impl IntoIterator<Item = Change>) -> Self {
        let mut last = BTreeMap::new();
        for row in rows {
            match row {
                Change::Edge(edge) => {
                    last.insert(edge.key.clone(), *edge);
                }
                Change::EdgeGone(key) => {
                    last.remove(&*key);
                }
                _ => {}
            }
        }
        let mut baseline = Self::new(config);
        for (key, state) in last.into_values().map(State::from_row) {
            baseline.insert(key, state);
        }
        baseline
    }

    /// What could not be kept.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Every edge as it stands, by key.
    pub fn edges(&self) -> impl Iterator<Item = Edge> {
        self.edges.values().flatten().map(|(key, state)| state.row(key))
    }

    /// Takes in what an event meant.
    pub fn resolved(&mut self, resolved: &Resolved) {
        match resolved {
            Resolved::Flow(flow) => {
                let Some(key) = edge::key_of_flow(flow) else {
                    self.counters.without_client += 1;
                    return;
                };
                self.update(key, flow.record.first, |state, _| {
                    state.flow(flow);
                    0
                });
            }
            Resolved::Exchange { ts, kind, outcome, latency, .. } => {
                let Some(key) = edge::key_of_exchange(resolved) else { return };
                self.update(key, *ts, |state, max_kinds| {
                    u64::from(!state.exchange(*ts, kind, outcome, *latency, max_kinds))
                });
            }
            Resolved::Renamed { from, into } => self.rename(*from, *into),
        }
    }

    /// Edges that changed since the last call: what is gone, then what is new or was used, each sorted by key.
    pub fn changes(&mut self) -> Vec<Change> {
        let gone = std::mem::take(&mut self.gone);
        let mut out: Vec<Change> = gone.into_iter().map(|key| Change::EdgeGone(Box::new(key))).collect();
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for key in dirty {
            if let Some(state) = self.edge(&key)
                && std::mem::take(&mut state.dirty)
            {
                state.written = true;
                out.push(Change::Edge(Box::new(state.row(&key))));
            }
        }
        out
    }

    /// Counts something on an edge, new if need be. `count` says how many kinds of request did not fit.
    fn update(&mut self, key: EdgeKey, ts: Timestamp, count: impl FnOnce(&mut State, usize) -> u64) {
        let max_kinds = self.config.max_kinds_per_edge;
        if let Some(state) = self.edges.get_mut(&key.client).and_then(|edges| edges.get_mut(&key)) {
            let (was_dirty, was_habit, last) = (state.dirty, state.is_habit(), state.last);
            self.counters.kinds_refused += count(state, max_kinds);
            let place = (!state.is_habit()).then_some(state.last);
            if !was_habit && place != Some(last) {
                self.once.remove(&(last, key.clone()));
                self.once.extend(place.map(|last| (last, key.clone())));
            }
            if !was_dirty {
                self.dirty.push(key);
            }
            return;
        }
        if self.count >= self.config.max_edges && !self.evict() {
            self.counters.edges_refused += 1;
            return;
        }
        let mut state = State::new(ts);
        self.counters.kinds_refused += count(&mut state, max_kinds);
        self.dirty.push(key.clone());
        self.insert(key, state);
    }

    fn insert(&mut self, key: EdgeKey, state: State) {
        if let Some(server) = key.server {
            self.clients_of.insert((server, key.client));
        }
        if !state.is_habit() {
            self.once.insert((state.last, key.clone()));
        }
        if self.edges.entry(key.client).or_default().insert(key, state).is_none() {
            self.count += 1;
        }
    }

    fn edge(&mut self, key: &EdgeKey) -> Option<&mut State> {
        self.edges.get_mut(&key.client)?.get_mut(key)
    }

    fn remove(&mut self, key: &EdgeKey) -> Option<State> {
        let edges = self.edges.get_mut(&key.client)?;
        let state = edges.remove(key)?;
        if edges.is_empty() {
            self.edges.remove(&key.client);
        }
        self.count -= 1;
        self.once.remove(&(state.last, key.clone()));
        if state.written {
            self.gone.insert(key.clone());
        }
        if let Some(server) = key.server
            && !self.edges_of(key.client).any(|(other, _)| other.server == Some(server))
        {
            self.clients_of.remove(&(server, key.client));
        }
        Some(state)
    }

    fn evict(&mut self) -> bool {
        let Some((_, key)) = self.once.first().cloned() else { return false };
        self.counters.edges_evicted += 1;
        self.remove(&key).is_some()
    }

    fn edges_of(&self, client: DeviceId) -> impl Iterator<Item = (&EdgeKey, &State)> {
        self.edges.get(&client).into_iter().flatten()
    }

    /// What was `from`'s is `into`'s: edges that become the same are added up.
    fn rename(&mut self, from: DeviceId, into: DeviceId) {
        let askers = self
            .clients_of
            .range((from, DeviceId(0))..=(from, DeviceId(u32::MAX)))
            .map(|(_, client)| *client);
        let clients: BTreeSet<DeviceId> = askers.chain([from]).collect();
        let changed: Vec<(EdgeKey, EdgeKey)> = clients
            .into_iter()
            .flat_map(|client| self.edges_of(client))
            .filter_map(|(key, _)| Some((key.clone(), edge::renamed(key, from, into)?)))
            .collect();
        for (old, new) in changed {
            let Some(mut moved) = self.remove(&old) else { continue };
            if let Some(mut known) = self.remove(&new) {
                self.counters.kinds_refused += known.absorb(moved, self.config.max_kinds_per_edge);
                if known.written {
                    // The row is replaced in place.
                    self.gone.remove(&new);
                }
                moved = known;
            } else {
                moved.written = false;
            }
            moved.dirty = true;
            self.dirty.push(new.clone());
            self.insert(new, moved);
        }
    }
}
