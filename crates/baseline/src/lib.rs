//! What each device normally talks to.
//!
//! A habit is an [`model::Edge`]: one device asks one peer for one purpose (transport, server port, application).
//! [`Baseline::resolved`] takes what the inventory made of each event; [`Baseline::changes`] gives the edges that
//! changed. Conversations that nobody known began are not an edge; they are counted.
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod edge;
mod table;

#[cfg(test)]
mod tests;

use edge::State;
use inventory::Resolved;
use model::{Change, DeviceId, Edge, EdgeKey, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use table::{Key, Table};

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
    edges: Table,
    /// Edges used only once, by when that was; some that are so no more.
    once: BinaryHeap<Reverse<(Timestamp, Key)>>,
    /// Clients of edges that have something to write; some more than once.
    dirty: Vec<DeviceId>,
}

/// Entries of [`Baseline::once`] for which looking through it is not worth while.
const FEW: usize = 1_024;

/// Events of which the edges are looked up together.
const BATCH: usize = 32;

impl Baseline {
    /// An empty baseline.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            counters: Counters::default(),
            edges: Table::default(),
            once: BinaryHeap::new(),
            dirty: Vec::new(),
        }
    }

    /// Continues from rows as they were written; other rows than those of the baseline are passed over. Rows may be the
    /// final ones or the whole history, in order.
    pub fn restore(config: Config, rows: impl IntoIterator<Item = Change>) -> Self {
        let mut last = BTreeMap::new();
        for row in rows {
            if let Change::Edges(client, edges) = row {
                last.insert(client, edges);
            }
        }
        let mut baseline = Self::new(config);
        for (key, state) in last.into_values().flatten().map(State::from_row) {
            let key = baseline.edges.key(key);
            baseline.insert(key, state);
        }
        baseline
    }

    /// What the limits cost.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All edges, by key.
    pub fn edges(&self) -> impl Iterator<Item = Edge> {
        let mut all: Vec<Edge> =
            self.edges.all().map(|(key, state)| state.row(self.edges.edge_key(key))).collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all.into_iter()
    }

    /// Takes in what the inventory made of some events, in order. Edges are many, and most of them are not at hand when
    /// their turn comes; so those of a few events are looked up first.
    pub fn resolved(&mut self, resolved: &[Resolved]) {
        for batch in resolved.chunks(BATCH) {
            let mut keys = [None; BATCH];
            for (place, resolved) in keys.iter_mut().zip(batch) {
                *place = edge::key(resolved, &mut self.edges).map(|key| (key, self.edges.fetch(&key)));
            }
            for (key, resolved) in keys.into_iter().zip(batch) {
                self.one(resolved, key);
            }
        }
    }

    /// One event, the key of its edge, and where that most likely is.
    fn one(&mut self, resolved: &Resolved, key: Option<(Key, u32)>) {
        match (resolved, key) {
            (Resolved::Flow(flow), Some(key)) => self.update(key, flow.record.first, |state, _| {
                state.flow(flow);
                0
            }),
            (Resolved::Flow(_), None) => self.counters.without_client += 1,
            (Resolved::Exchange { ts, kind, outcome, latency, .. }, Some(key)) => {
                self.update(key, *ts, |state, max_kinds| {
                    u64::from(!state.exchange(*ts, kind, outcome, *latency, max_kinds))
                });
            }
            (Resolved::Exchange { .. }, None) => {}
            (Resolved::Renamed { from, into }, _) => self.rename(*from, *into),
        }
    }

    /// The edges of each client of which some changed since the last call, by client.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut clients = std::mem::take(&mut self.dirty);
        clients.sort_unstable();
        clients.dedup();
        let rows = clients.into_iter().map(|client| {
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
            Change::Edges(client, edges)
        });
        rows.collect()
    }

    fn update(&mut self, at: (Key, u32), ts: Timestamp, count: impl FnOnce(&mut State, usize) -> u64) {
        let max_kinds = self.config.max_kinds_per_edge;
        let (key, slot) = at;
        if let Some(state) = self.edges.find(&key, slot) {
            let was_dirty = state.dirty;
            self.counters.kinds_refused += count(state, max_kinds);
            if !was_dirty {
                self.dirty.push(key.client);
            }
            return;
        }
        if self.edges.len() >= self.config.max_edges && !self.evict() {
            self.counters.edges_refused += 1;
            return;
        }
        let mut state = State::new(ts);
        self.counters.kinds_refused += count(&mut state, max_kinds);
        self.insert(key, state);
    }

    fn insert(&mut self, key: Key, state: State) {
        if !state.is_habit() {
            self.once.push(Reverse((state.last, key)));
            if self.once.len() > self.edges.len().saturating_mul(2).saturating_add(FEW) {
                let edges = &self.edges;
                self.once.retain(|Reverse((last, key))| is_once(edges, *last, key));
            }
        }
        if state.dirty {
            self.dirty.push(key.client);
        }
        self.edges.insert(key, state);
    }

    fn remove(&mut self, key: &Key) -> Option<State> {
        let state = self.edges.remove(key)?;
        self.dirty.push(key.client);
        Some(state)
    }

    /// Makes room for one edge. False when only habits are left.
    fn evict(&mut self) -> bool {
        while let Some(Reverse((last, key))) = self.once.pop() {
            if is_once(&self.edges, last, &key) {
                self.counters.edges_evicted += 1;
                return self.remove(&key).is_some();
            }
        }
        false
    }

    /// What was known of `from` is `into`'s.
    fn rename(&mut self, from: DeviceId, into: DeviceId) {
        let mut changed: Vec<(EdgeKey, Key)> =
            self.edges.of_device(from).into_iter().map(|key| (self.edges.edge_key(&key), key)).collect();
        changed.sort_unstable();
        for (_, old) in changed {
            let new = old.renamed(from, into);
            let Some(mut moved) = self.remove(&old).filter(|_| new != old) else { continue };
            if let Some(mut known) = self.remove(&new) {
                self.counters.kinds_refused += known.absorb(moved, self.config.max_kinds_per_edge);
                moved = known;
            }
            moved.dirty = true;
            self.insert(new, moved);
        }
    }
}

/// Whether an edge still stands as it was when it was used for the first time.
fn is_once(edges: &Table, last: Timestamp, key: &Key) -> bool {
    edges.get(key).is_some_and(|state| !state.is_habit() && state.last == last)
}
