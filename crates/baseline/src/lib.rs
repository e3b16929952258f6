//! What each device normally talks to, and what departs from that.
//!
//! A habit is an [`model::Edge`]: one device asks one peer for one purpose (transport, server port, application).
//! [`Baseline::resolved`] takes what the inventory made of each event. Once a minute of the frames' time
//! [`Baseline::judge`] asks the rules what they make of it, with the devices as the inventory knows them then; so what is
//! found does not depend on how events came in batches. [`Baseline::each_change`] gives the rows that changed.
//!
//! How it is made:
//! - `edge`, `table`, `domains`: what is counted of an edge, and where; `purpose`: of which edge a conversation is that did
//!   not say what it was for; `feed`: the pauses of a feed of messages;
//! - `habits`, `places`: a device's active hours; `learning`: when they suffice; `rates`: what it does in an hour, and
//!   `quantile`: what all but a few hours stay under;
//! - `posture`: what is wrong with an edge however well it is known;
//! - `calendar`, `site`: local time, zones, and what else an operator said about the site;
//! - `joined`: what becomes of the edges of two devices that are one;
//! - `ladder`: how much of an edge is new; `judge`, `profile`, `ways`: what rules see; `roles`: how far the learning of one has come;
//! - `rules`: one file each; `verdict`: how what they find becomes a finding, `advice`: what is to be done about it; `trail`: over
//!   which edges it was done; `lists`: how some of many are named; `findings`: the same thing again is the same finding;
//! - `tick`: what happens once a minute and once an hour.
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod advice;
mod calendar;
mod config;
mod domains;
mod edge;
mod feed;
mod findings;
mod habits;
mod joined;
mod judge;
mod ladder;
mod learning;
mod lists;
mod posture;
mod profile;
mod purpose;
mod quantile;
mod rates;
mod roles;
mod rows;
mod rules;
mod site;
mod table;
mod tick;
mod trail;
mod verdict;
mod ways;

#[cfg(test)]
mod tests;

pub use calendar::Calendar;
pub use config::{Config, Counters};
pub use findings::ONE_WITH;
pub use judge::Who;
pub use learning::{Coverage, Learning, Seen};
pub use roles::{RoleLearning, RoleUse, role};
pub use rows::{Known, known, known_locked};
pub use rules::{REGISTRY, Rule};
pub use site::{Net, Site, Window, Zone, ZoneKind};

use calendar::hour;
use edge::{LEAST, State};
use findings::Book;
use habits::Habits;
use inventory::{Newcomers, Resolved};
use judge::{ExchangeSeen, FlowSeen, HourSeen, SignSeen, Titles, View};
use model::{DeviceId, Edge, EdgeState, Flow, FlowState, Index, IpProto, Text, Timestamp};
use rates::Metric;
use rules::Watch;
use rules::former::Former;
use rules::outsiders::Outsiders;
use std::collections::BTreeSet;
use table::{Key, Table};
use tick::Clock;
use verdict::Out;

/// Of the edges used only once, one in so many is at stake when there are too many.
const AT_STAKE: usize = 8;

/// Nanoseconds in which an edge has to be used again before it may have to give way.
const PROBATION: i64 = 60 * 1_000_000_000;

/// Every edge, and what is known of those at their ends.
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
    habits: Habits,
    /// Edges that wait to be judged, in the order in which they came.
    waiting: Vec<Key>,
    /// Edges that are normal and were used, of which it is asked how they are when the hour is over.
    again: Vec<Key>,
    clock: Clock,
    /// The hour that was looked up last, and which hours it is like.
    slot: (i32, u8),
    watchers: Watchers,
    book: Book,
    /// At which addresses peers outside were met.
    outsiders: Outsiders,
    /// What was quarantined of devices that turned out to be others.
    former: Former,
    /// Under which titles the association was asked for of which is told next.
    calls: Option<(DeviceId, Titles)>,
}

/// The rules at work.
#[derive(Debug)]
struct Watchers {
    all: Vec<(&'static Rule, Box<dyn Watch>)>,
    /// What each of them saved last, in short.
    written: Vec<u64>,
    /// Places of those that want to see conversations, requests, signs, and hours.
    flows: Vec<usize>,
    exchanges: Vec<usize>,
    signs: Vec<usize>,
    hours: Vec<usize>,
}

impl Watchers {
    fn new() -> Self {
        let all: Vec<_> = REGISTRY.iter().map(|rule| (*rule, (rule.watch)())).collect();
        let those = |wants: fn(&Rule) -> bool| {
            (0..).zip(&all).filter(|(_, (rule, _))| wants(rule)).map(|(at, _)| at).collect()
        };
        let (flows, exchanges) = (those(|r| r.wants.flows), those(|r| r.wants.exchanges));
        let (signs, hours) = (those(|r| r.wants.signs), those(|r| r.wants.hours));
        let written = vec![rows::digest(&[]); all.len()];
        Self { all, written, flows, exchanges, signs, hours }
    }

    /// What a device did in an hour; whether that was so unusual that it must not be learned.
    fn hour(&mut self, hour: &HourSeen<'_>, view: &View<'_>, out: &mut Out<'_>) -> bool {
        let Self { all, hours, .. } = self;
        let mut is_unusual = false;
        for at in hours {
            is_unusual |= all.get_mut(*at).is_some_and(|(_, watch)| watch.hour(hour, view, out));
        }
        is_unusual
    }
}

/// Clients to write for which throwing out some is not worth while.
const FEW: usize = 1_024;

/// Events that are taken in at once, and how many of them each of two steps is ahead of the next.
const MOST_AT_ONCE: usize = 1_024;
const AHEAD: usize = 12;

/// Edges that wait to be judged in one minute, at most. Others are judged when they are used again.
const MOST_WAITING: usize = 4_096;

/// Asks the processor to have something at hand soon. A hint: nothing depends on it.
#[inline]
fn fetch<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(item);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}

/// The devices at both ends of a conversation or a request.
const fn ends(resolved: &Resolved) -> [Option<DeviceId>; 2] {
    match resolved {
        Resolved::Flow { flow, .. } => flow.devices,
        Resolved::Exchange { client, server, .. } => [Some(*client), *server],
        Resolved::Sign { .. } | Resolved::Renamed { .. } => [None; 2],
    }
}

impl Baseline {
    /// An empty baseline.
    pub fn new(config: Config) -> Self {
        Self {
            counters: Counters::default(),
            edges: Table::default(),
            bytes: 0,
            once: Newcomers::one_in(AT_STAKE),
            dirty: Vec::new(),
            dirty_room: FEW,
            written: BTreeSet::new(),
            habits: Habits::new(config.max_habit_bytes),
            waiting: Vec::new(),
            again: Vec::new(),
            clock: Clock::default(),
            slot: (i32::MIN, 0),
            watchers: Watchers::new(),
            book: Book::default(),
            outsiders: Outsiders::default(),
            former: Former::default(),
            calls: None,
            config,
        }
    }

    /// Bytes that all edges take, as far as they are charged for it.
    pub const fn held(&self) -> usize {
        self.bytes
    }

    /// What the limits cost.
    pub fn counters(&self) -> Counters {
        Counters {
            habits_evicted: self.habits.evicted,
            habits_refused: self.habits.refused,
            findings_closed: self.book.closed_early,
            ..self.counters
        }
    }

    /// What it was made with.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Findings that may be seen again, in the order in which they were raised.
    pub fn findings(&self) -> Vec<&model::Finding> {
        self.book.all()
    }

    /// All edges, by key.
    pub fn edges(&self) -> impl Iterator<Item = Edge> {
        let mut all: Vec<Edge> =
            self.edges.all().map(|(key, state)| state.row(self.edges.edge_key(key))).collect();
        all.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        all.into_iter()
    }

    /// Takes in what the inventory made of some events, in order. Edges and habits are many, and most of them are not
    /// at hand when their turn comes; so they are fetched from memory while those before them are counted: first where
    /// the habits are, then those and the place in the index, then the edge.
    pub fn resolved(&mut self, resolved: &[Resolved]) {
        for some in resolved.chunks(MOST_AT_ONCE) {
            // Numbers of domains stay what they are while keys are under way.
            self.edges.domains.sweep();
            let mut coming = [None; 2 * AHEAD];
            let devices = |place| some.get(place).into_iter().flat_map(ends).flatten();
            (0..AHEAD).flat_map(devices).for_each(|id| self.habits.fetch_place(id));
            for step in 0..some.len() + 2 * AHEAD {
                let here = step % coming.len();
                if let Some(resolved) = step.checked_sub(2 * AHEAD).and_then(|place| some.get(place)) {
                    self.one(resolved, coming[here].map(|(key, _, slot)| (key, slot)));
                }
                devices(step + AHEAD).for_each(|id| self.habits.fetch_place(id));
                devices(step).for_each(|id| self.habits.fetch(id));
                coming[here] = some.get(step).and_then(|resolved| {
                    let key = edge::key(resolved, &mut self.edges, &self.config.site)?;
                    Some((key, self.edges.hash(&key), Index::NONE))
                });
                if let Some((_, hash, slot)) = &mut coming[(step + AHEAD) % (2 * AHEAD)] {
                    *slot = self.edges.guess(*hash);
                }
            }
        }
    }

    /// One event, the key of its edge, and where that most likely is.
    fn one(&mut self, resolved: &Resolved, key: Option<(Key, u32)>) {
        match resolved {
            Resolved::Flow { flow, domain, lease_of } => {
                self.flow(flow, domain.as_ref(), lease_of.is_some(), key);
            }
            Resolved::Exchange {
                ts,
                client,
                server,
                peer,
                port,
                application,
                kind,
                outcome,
                latency,
                retrieved,
                ..
            } => {
                let metric = match (*application, kind.as_str()) {
                    ("hl7", _) => Some(Metric::Messages),
                    ("dicom", "C-STORE") => Some(Metric::Objects),
                    _ => None,
                };
                // A request is seen before the conversation it is part of has ended.
                let hour = self.clock.hour();
                if let (Some(habit), Some(metric)) = (self.habits.active(*client, *ts, hour), metric) {
                    Habits::count(habit, metric, 1);
                }
                if let Some(server) = server.filter(|server| server != client) {
                    self.habits.active(server, *ts, hour);
                }
                let is_known = |at: &(Key, u32)| {
                    let is_store = (*application, kind.as_str()) == ("dicom", "C-STORE");
                    !edge::may_be_brought(is_store, *port) || self.edges.get(&at.0).is_some()
                };
                if let Some(at) = key.filter(is_known) {
                    let (slot, is_armed) = (self.slot(*ts), self.is_armed(at.0.client, *ts));
                    let is_message = *application == "hl7";
                    self.update(at, *ts, true, |state, max_kinds| {
                        if is_message {
                            state.message(*ts, slot, is_armed, max_kinds > 0);
                        }
                        u64::from(!state.exchange(*ts, kind, outcome, *latency, max_kinds))
                    });
                }
                let titles =
                    self.calls.take().filter(|(id, _)| id == client && kind.as_str() == "A-ASSOCIATE");
                let seen = ExchangeSeen {
                    ts: *ts,
                    client: *client,
                    server: *server,
                    peer: *peer,
                    port: *port,
                    application,
                    kind: kind.as_str(),
                    outcome: outcome.as_ref().map(|outcome| outcome.as_str()),
                    retrieved: *retrieved,
                    titles: titles.as_ref().map(|(_, titles)| titles),
                };
                let Watchers { all, exchanges, .. } = &mut self.watchers;
                for at in exchanges.iter() {
                    if let Some((_, watch)) = all.get_mut(*at) {
                        watch.exchange(&seen);
                    }
                }
            }
            Resolved::Sign { ts, device, sign } => {
                if let Some(at) = key {
                    // So that its first edge is counted, whatever is heard of it first.
                    self.habits.active(at.0.client, *ts, self.clock.hour());
                    self.update(at, *ts, true, |state, _| {
                        state.seen(*ts, *ts);
                        0
                    });
                }
                if let inventory::Sign::Calls { calling, called } = sign {
                    self.calls = Some((*device, [calling, called].map(Clone::clone)));
                }
                let seen = SignSeen { ts: *ts, device: *device, sign };
                let Watchers { all, signs, .. } = &mut self.watchers;
                for at in signs.iter() {
                    if let Some((_, watch)) = all.get_mut(*at) {
                        watch.sign(&seen);
                    }
                }
            }
            Resolved::Renamed { from, into } => self.rename(*from, *into),
        }
    }

    fn flow(&mut self, flow: &Flow, domain: Option<&Text>, of_lease: bool, key: Option<(Key, u32)>) {
        let record = &flow.record;
        let hour = self.clock.hour();
        let is_lease = of_lease || record.app == Some("dhcp");
        for side in 0..2 {
            let Some(id) = flow.devices[side].filter(|_| record.packets[side] > 0) else { continue };
            let active = self.habits.active_until(id, record.first, record.last, hour);
            let Some(habit) = active else { continue };
            // A conversation that began before learning was ended may be the first that is heard of.
            if self.clock.locked_last().is_some_and(|at| habit.first() < at) {
                habit.lock();
            }
            Habits::count(habit, Metric::BytesOut, record.bytes[side]);
            Habits::count(habit, Metric::BytesIn, record.bytes[1 - side]);
            if side == 0 && !is_lease {
                Habits::count(habit, Metric::Flows, 1);
                if !record.continued {
                    habit.begin(calendar::hour(record.first));
                }
            }
            self.clock.note_loud(id, habit);
        }
        let at = key.map(|at| if at.0.application() == 0 { self.unread(at, record) } else { (at, false) });
        // Nothing is known of what nobody answered. Of other transports it is not known that an answer is due.
        let is_vain = matches!(record.state, FlowState::Attempt | FlowState::Rejected);
        let counts = !(is_vain && record.key.proto == IpProto::TCP);
        match at {
            Some((at, turned)) => {
                self.update(at, record.first, counts, |state, _| {
                    state.flow(flow, turned);
                    0
                });
                self.meet(&at, flow, turned);
            }
            None => self.counters.without_client += u64::from(flow.devices == [None, None]),
        }
        if !self.watchers.flows.is_empty() {
            let [(asker, _), (answerer, _)] = record.ends();
            let is_outside =
                |side: usize, ip| flow.devices[side].is_none() && self.config.site.is_outside(ip);
            let seen = FlowSeen { flow, domain, outside: [is_outside(0, asker), is_outside(1, answerer)] };
            let Watchers { all, flows, .. } = &mut self.watchers;
            for at in flows.iter() {
                if let Some((_, watch)) = all.get_mut(*at) {
                    watch.flow(&seen);
                }
            }
        }
    }

    /// Counts something on an edge, new if need be, that most likely is at a place. `counts`: it was more than an attempt, so
    /// that the edge is something that is done. `count` says how many kinds of request did not fit.
    fn update(
        &mut self,
        at: (Key, u32),
        ts: Timestamp,
        counts: bool,
        count: impl FnOnce(&mut State, usize) -> u64,
    ) {
        let max_kinds = if self.bytes > self.config.max_bytes { 0 } else { self.config.max_kinds_per_edge };
        let (key, slot) = at;
        let hour = hour(ts);
        let is_posture = self.edges.is_posture(&key);
        if let Some(state) = self.edges.find(&key, slot) {
            let is_first = counts && state.hours == 0;
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
            // What is quarantined is no part of what is learned.
            let news = if counts || state.hours > 0 { state.hour(hour) } else { None };
            let news = news.filter(|_| state.standing != EdgeState::Quarantined);
            let asks =
                !state.waits && state.is_answered() && (!state.was_judged || !state.standing.is_normal());
            let is_used = state.is_answered() && state.unjudged > 0;
            if is_posture && is_used && !asks && !state.waits_for_hour {
                state.waits_for_hour = true;
                self.again.push(key);
            }
            if asks && self.waiting.len() < MOST_WAITING {
                state.waits = true;
                self.waiting.push(key);
            }
            if state.is_answered() && !(asks || state.waits || is_posture) {
                // Nobody asks how often what is normal was used since: it is no news if it is somebody else's one day.
                state.settle();
            }
            if !was_dirty {
                self.mark(key.client);
            }
            if let Some(before) = news {
                self.edge_hour(&key, before);
            }
            if is_first {
                self.begins(&key, ts);
            }
            return;
        }
        if self.name(&key) {
            return self.update(at, ts, counts, count);
        }
        let is_full = self.edges.len() >= self.config.max_edges || self.bytes + LEAST > self.config.max_bytes;
        if is_full && !self.evict(ts) {
            self.counters.edges_refused += 1;
            return;
        }
        let mut state = State::new(ts);
        self.counters.kinds_refused += count(&mut state, max_kinds);
        if self.former.holds(key.client, key.server, || self.edges.edge_key(&key)) {
            state.standing = EdgeState::Quarantined;
        } else if self.is_armed(key.client, ts) {
            state.standing = EdgeState::Fresh;
        }
        if counts {
            state.hour(hour);
        }
        let is_learned = counts && state.standing != EdgeState::Quarantined;
        if state.is_answered() && self.waiting.len() < MOST_WAITING {
            state.waits = true;
            self.waiting.push(key);
        }
        self.insert(key, state);
        if is_learned {
            self.edge_hour(&key, 0);
        }
    }

    /// What was only attempted before is done for the first time: it is as old as that.
    fn begins(&mut self, key: &Key, ts: Timestamp) {
        let is_fresh = self.is_armed(key.client, ts);
        let Some(state) = self.edges.get_mut(key) else { return };
        state.first = ts;
        if is_fresh && state.standing == EdgeState::Learned {
            state.standing = EdgeState::Fresh;
        }
        if !state.waits && state.is_answered() && self.waiting.len() < MOST_WAITING {
            state.waits = true;
            self.waiting.push(*key);
        }
    }

    /// An edge was used in an hour for the first time: both ends learn from it.
    fn edge_hour(&mut self, key: &Key, before: u32) {
        for id in [Some(key.client), key.server.filter(|server| *server != key.client)].into_iter().flatten()
        {
            if let Some(habit) = self.habits.get_mut(id) {
                habit.edge_hour(before);
            }
        }
    }

    fn insert(&mut self, key: Key, state: State) {
        if !state.is_habit() {
            self.once.insert((state.last, key));
        }
        if state.dirty {
            self.mark(key.client);
        }
        self.bytes += state.weight() + self.edges.weight_of_name(&key);
        self.edges.insert(key, state);
    }

    fn remove(&mut self, key: &Key) -> Option<State> {
        let state = self.edges.remove(key)?;
        self.bytes -= state.weight() + self.edges.weight_of_name(key);
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
        let Some(state) = self.remove(&key) else { return false };
        if state.standing != EdgeState::Quarantined {
            self.edge_gone(&key, state.hours);
        }
        true
    }

    /// An edge that was used in so many hours counts no more for how much of its ends was seen.
    pub(crate) fn edge_gone(&mut self, key: &Key, hours: u32) {
        if hours == 0 {
            return;
        }
        for id in [Some(key.client), key.server.filter(|server| *server != key.client)].into_iter().flatten()
        {
            if let Some(habit) = self.habits.get_mut(id) {
                habit.edge_gone(hours);
            }
        }
    }
}
