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

use edge::{LEAST, State};
use inventory::{Newcomers, Resolved};
use model::{Change, DeviceId, Edge, EdgeKey, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use table::{Key, Table};

/// Of the edges used only once, one in so many is at stake when there are too many.
const AT_STAKE: usize = 8;

/// Nanoseconds in which an edge has to be used again before it may have to give way.
const PROBATION: i64 = 60 * 1_000_000_000;

/// Limits of the baseline. What falls to one is counted in [`Counters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most edges. A newcomer beyond it replaces one that was used only once: the first of the last eighth of those to
    /// come, if it has had its minute. Else the newcomer is refused. So habits are never replaced, and a scan can wipe
    /// out neither them nor what was there before it.
    pub max_edges: usize,
    /// Most bytes that all edges take.
    pub max_bytes: usize,
    /// Most kinds of request (with outcome) that are told apart on one edge; later kinds are not taken up.
    pub max_kinds_per_edge: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_edges: 1_000_000, max_bytes: 512 * 1024 * 1024, max_kinds_per_edge: 64 }
    }
}

/// What the baseline could not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Edges used only once that gave way to new ones.
    pub edges_evicted: u64,
    /// Edges that were not taken up because none could make room.
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
    /// Bytes that all edges take.
    bytes: usize,
    /// Edges used only once, by when that was.
    once: Newcomers<(Timestamp, Key)>,
    /// Clients of edges that have something to write; some more than once.
    dirty: Vec<DeviceId>,
    /// How many of them there may be before those that need not be there are thrown out.
    dirty_room: usize,
    /// Clients that have a row.
    written: BTreeSet<DeviceId>,
}

/// Clients to write for which throwing out some is not worth while.
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
            bytes: 0,
            once: Newcomers::one_in(AT_STAKE),
            dirty: Vec::new(),
            dirty_room: FEW,
            written: BTreeSet::new(),
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
        last.into_values().for_each(|edges| baseline.restore_rows(edges));
        baseline
    }

    /// Takes in the final row of a client, before anything else.
    pub fn restore_rows(&mut self, edges: Vec<Edge>) {
        for (key, state) in edges.into_iter().map(State::from_row) {
            self.written.insert(key.client);
            let key = self.edges.key(key);
            self.insert(key, state);
        }
    }

    /// Bytes that all edges take, as far as they are charged for it.
    pub const fn held(&self) -> usize {
        self.bytes
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
            (Resolved::Exchange { .. } | Resolved::Sign { .. }, _) => {}
            (Resolved::Renamed { from, into }, _) => self.rename(*from, *into),
        }
    }

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
        Ok(())
    }

    /// Counts something on an edge, new if need be, that most likely is at a place. `count` says how many kinds of
    /// request did not fit.
    fn update(&mut self, at: (Key, u32), ts: Timestamp, count: impl FnOnce(&mut State, usize) -> u64) {
        let max_kinds = if self.bytes > self.config.max_bytes { 0 } else { self.config.max_kinds_per_edge };
        let (key, slot) = at;
        if let Some(state) = self.edges.find(&key, slot) {
            let (was_dirty, was_habit, last, weight) =
                (state.dirty, state.is_habit(), state.last, state.weight());
            self.counters.kinds_refused += count(state, max_kinds);
            self.bytes = self.bytes + state.weight() - weight;
            // To be used again makes it a habit, but where no kind of request may be told apart any more.
            let place = (!state.is_habit()).then_some(state.last);
            if !was_habit && place != Some(last) {
                self.once.remove(&(last, key));
                if let Some(last) = place {
                    self.once.insert((last, key));
                }
            }
            if !was_dirty {
                self.mark(key.client);
            }
            return;
        }
        let is_full = self.edges.len() >= self.config.max_edges || self.bytes + LEAST > self.config.max_bytes;
        if is_full && !self.evict(ts) {
            self.counters.edges_refused += 1;
            return;
        }
        let mut state = State::new(ts);
        self.counters.kinds_refused += count(&mut state, max_kinds);
        self.insert(key, state);
    }

    fn insert(&mut self, key: Key, state: State) {
        if !state.is_habit() {
            self.once.insert((state.last, key));
        }
        if state.dirty {
            self.mark(key.client);
        }
        self.bytes += state.weight();
        self.edges.insert(key, state);
    }

    fn remove(&mut self, key: &Key) -> Option<State> {
        let state = self.edges.remove(key)?;
        self.bytes -= state.weight();
        self.once.remove(&(state.last, *key));
        self.mark(key.client);
        Some(state)
    }

    /// The client has something to write.
    fn mark(&mut self, client: DeviceId) {
        self.dirty.push(client);
        if self.dirty.len() <= self.dirty_room {
            return;
        }
        // A flood names few clients often, or many that have no edge any more and no row either.
        let Self { dirty, edges, written, .. } = self;
        dirty.sort_unstable();
        dirty.dedup();
        dirty.retain(|client| written.contains(client) || edges.has_client(*client));
        self.dirty_room = self.dirty.len().saturating_mul(2).saturating_add(FEW);
    }

    /// Makes room for one edge. False when there is none that had its time.
    fn evict(&mut self, now: Timestamp) -> bool {
        let had_its_time = |last: Timestamp| now.since(last).unsigned_abs() >= PROBATION.unsigned_abs();
        let Some((_, key)) = self.once.first().copied().filter(|(last, _)| had_its_time(*last)) else {
            return false;
        };
        self.counters.edges_evicted += 1;
        self.remove(&key).is_some()
    }

    /// What was known of `from` is `into`'s.
    fn rename(&mut self, from: DeviceId, into: DeviceId) {
        if from == into {
            return;
        }
        let mut changed: Vec<(EdgeKey, Key)> =
            self.edges.of_device(from).into_iter().map(|key| (self.edges.edge_key(&key), key)).collect();
        changed.sort_unstable();
        for (_, old) in changed {
            let new = old.renamed(from, into);
            let Some(mut moved) = self.remove(&old) else { continue };
            if let Some(mut known) = self.remove(&new) {
                self.counters.kinds_refused += known.absorb(moved, self.config.max_kinds_per_edge);
                moved = known;
            }
            moved.dirty = true;
            self.insert(new, moved);
        }
    }
}
