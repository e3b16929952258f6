//! The one pipeline: blocks of frames → shards → events in order → inventory → baseline → store.
//!
//! With shards, every worker is handed every block and handles its own parts of the traffic; a block is handed over as
//! one reference, never frame by frame. The events of a block come back as one list a worker, and are merged here by
//! [`Event::order`], so that what follows sees the same sequence for any number of workers.

use crate::{Config, Error};
use baseline::Baseline;
use capture::{Block, CaptureError, Timeline};
use crossbeam_channel::{Receiver, Sender, bounded};
use dissectors::REGISTRY;
use flow::{Counters, Shard};
use inventory::{Inventory, Resolved, Vendors};
use model::{Change, Decision, Event, Observation, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;
use store::Store;

/// Blocks on their way to a worker. Memory is this many times 256 KiB a worker at most; more gains nothing.
const AHEAD: usize = 4;

/// Bytes of flow records that wait to be written, about sixteen thousand records. More a transaction cost no less.
const FLOWS_A_BATCH: usize = 1 << 20;

/// Events resolved to devices before the next stage takes them: few enough to stay in the first-level cache.
const EVENTS_AT_ONCE: usize = 32;

/// Frames whose events are handed on together: memory is what these can teach, not what a block of small frames can.
const FRAMES_AT_ONCE: usize = 512;

/// Rows that are no more and wait to be taken out of the store: more only a flood over a large inventory leaves.
const MOST_GONE: usize = 16_384;

/// What a run counted.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// By the flow stage, over all shards.
    pub flow: Counters,
    /// By the inventory.
    pub inventory: inventory::Counters,
    /// By the baseline.
    pub baseline: baseline::Counters,
    /// Time of the earliest frame.
    pub first: Option<Timestamp>,
    /// Time of the latest.
    pub last: Option<Timestamp>,
}

/// Runs a timeline through to the store. `progress` is called after each block. `shards` 0 does everything here.
pub fn run(
    timeline: &mut Timeline,
    store: &mut Store,
    config: &Config,
    vendors: Arc<Vendors>,
    shards: usize,
    mut progress: impl FnMut(&Timeline),
) -> Result<Outcome, Error> {
    let mut sink = Sink::new(store, config, vendors)?;
    let mut broken = None;
    let (mut first, mut last) = (Timestamp(i64::MAX), Timestamp(i64::MIN));
    let mut note = |block: &Block| {
        for frame in block.frames() {
            (first, last) = (first.min(frame.ts), last.max(frame.ts));
        }
    };
    let flow = if shards == 0 {
        let mut shard = Shard::new(&config.flow(), REGISTRY, 0, 1);
        let (mut block, mut events) = (Block::new(), Vec::new());
        while next_block(timeline, &mut block, &mut broken) {
            note(&block);
            let mut frames = block.frames();
            for _ in 0..parts(&block) {
                shard.frames(frames.by_ref().take(FRAMES_AT_ONCE), &mut events);
                sink.take(events.drain(..))?;
            }
            progress(timeline);
        }
        let mut more = true;
        while more {
            more = shard.finish(&mut events);
            sink.take(events.drain(..))?;
        }
        shard.counters()
    } else {
        thread::scope(|scope| -> Result<Counters, Error> {
            let workers: Vec<_> = (0..shards)
                .map(|index| {
                    let (to, blocks) = bounded(AHEAD);
                    let (events, from) = bounded(AHEAD);
                    let flow = config.flow();
                    let handle = scope
                        .spawn(move || work(Shard::new(&flow, REGISTRY, index, shards), &blocks, &events));
                    (to, from, handle)
                })
                .collect();
            // How many lists each block that is under way gives.
            let mut under_way = VecDeque::new();
            loop {
                let mut block = Block::new();
                let more = next_block(timeline, &mut block, &mut broken);
                if more {
                    note(&block);
                    let block = Arc::new(block);
                    for (to, ..) in &workers {
                        // A worker ends only when its channel does.
                        let _ = to.send(block.clone());
                    }
                    under_way.push_back(parts(&block));
                }
                // Collected a little behind, so that workers and writer work at once.
                while under_way.len() > if more { AHEAD - 1 } else { 0 } {
                    for _ in 0..under_way.pop_front().unwrap_or_default() {
                        let events = merge(workers.iter().map(|(_, from, _)| from));
                        sink.take(events.into_iter().flatten())?;
                    }
                }
                progress(timeline);
                if !more {
                    break;
                }
            }
            let mut total = Counters::default();
            let (mut ends, mut handles) = (Vec::new(), Vec::new());
            for (to, from, handle) in workers {
                drop(to);
                ends.push(from);
                handles.push(handle);
            }
            // Every worker ends with as many lists.
            while let Some(events) = merge(ends.iter()) {
                sink.take(events)?;
            }
            for handle in handles {
                match handle.join() {
                    Ok(counters) => total.merge(&counters),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(total)
        })?
    };
    sink.flush()?;
    if let Some(error) = broken {
        return Err(error.into());
    }
    let some = (first <= last).then_some((first, last));
    Ok(Outcome {
        flow,
        inventory: sink.inventory.counters(),
        baseline: sink.baseline.counters(),
        first: some.map(|(first, _)| first),
        last: some.map(|(_, last)| last),
    })
}

/// How many parts of a block are handed on one after the other.
fn parts(block: &Block) -> usize {
    block.len().div_ceil(FRAMES_AT_ONCE)
}

/// The next block. A file that cannot be read any more ends, and the others go on; the first such error is kept for the
/// end, when everything that could be read is safe.
fn next_block(timeline: &mut Timeline, block: &mut Block, broken: &mut Option<CaptureError>) -> bool {
    loop {
        match timeline.next_block(block) {
            Ok(more) => return more,
            Err(error) => drop(broken.get_or_insert(error)),
        }
    }
}

/// A worker: blocks in, events out, a list for every few frames and more at the end.
fn work(mut shard: Shard, blocks: &Receiver<Arc<Block>>, events: &Sender<Vec<Event>>) -> Counters {
    let mut usual = 0;
    for block in blocks {
        let mut frames = block.frames();
        for _ in 0..parts(&block) {
            // As many as last time, most likely: to grow a list is to copy it.
            let mut out = Vec::with_capacity(usual);
            shard.frames(frames.by_ref().take(FRAMES_AT_ONCE), &mut out);
            usual = out.len();
            if events.send(out).is_err() {
                return shard.counters();
            }
        }
    }
    loop {
        let mut out = Vec::new();
        let more = shard.finish(&mut out);
        if events.send(out).is_err() || !more {
            return shard.counters();
        }
    }
}

/// The next list of every worker as one, in order; `None` when they have ended.
fn merge<'a>(workers: impl Iterator<Item = &'a Receiver<Vec<Event>>>) -> Option<std::vec::IntoIter<Event>> {
    let mut lists = workers.filter_map(|from| from.recv().ok());
    let mut all = lists.next()?;
    let alone = all.len();
    lists.for_each(|mut list| all.append(&mut list));
    if all.len() == alone {
        // Of one worker, they are in order.
        return Some(all.into_iter());
    }
    // What one frame taught stays in the order in which it was learned: one worker saw it, and the sort is stable.
    all.sort_by_key(Event::order);
    Some(all.into_iter())
}

/// Everything after the flow stage, on one thread.
struct Sink<'a> {
    inventory: Inventory,
    baseline: Baseline,
    store: &'a mut Store,
    resolved: Vec<Resolved>,
    /// The time of the latest observation: until it moves, no rule has to be asked again whether it is due.
    now: Option<Timestamp>,
}

impl<'a> Sink<'a> {
    /// Continues from what the store holds.
    fn new(store: &'a mut Store, config: &Config, vendors: Arc<Vendors>) -> Result<Self, Error> {
        let mut inventory = Inventory::new(config.inventory(), vendors);
        let mut baseline = Baseline::new(config.baseline());
        store.each_row(|row| match row {
            Change::Site(ref name, _) if [inventory::NAMES, inventory::TWINS].contains(&name.as_ref()) => {
                inventory.restore_row(row);
            }
            Change::Edges(..) | Change::Habit(..) | Change::Site(..) | Change::Finding(_) => {
                baseline.restore_row(row);
            }
            row => inventory.restore_row(row),
        })?;
        inventory.restored();
        // What operators decided is not in the rows: it stands in the journal, and only there.
        for entry in store.reader().journal()? {
            if let Decision::Lock(device, at) = entry.decision {
                baseline.lock(device, at);
            }
        }
        store.keep_flows(config.store.max_flows);
        store.keep_findings(config.store.max_findings);
        store.begin_run()?;
        Ok(Self { inventory, baseline, store, resolved: Vec::new(), now: None })
    }

    fn take(&mut self, events: impl Iterator<Item = Event>) -> Result<(), Error> {
        for event in events {
            // Conversations are told when they have ended; only what is observed moves the time on.
            if let Event::Observation(Observation { ts, .. }) = event
                && self.now != Some(ts)
            {
                self.now = Some(ts);
                if self.baseline.is_due(ts) {
                    self.judge(ts);
                }
            }
            self.inventory.event(event, &mut self.resolved);
            if self.resolved.len() >= EVENTS_AT_ONCE {
                self.pass_on();
            }
        }
        self.pass_on();
        if self.inventory.waiting() >= MOST_GONE {
            let Self { store, inventory, .. } = self;
            store.write_full_blocks(|batch| inventory.each_change(|change| batch.put(&change)))?;
        } else if self.store.waiting() >= FLOWS_A_BATCH {
            self.store.write_full_blocks(|_| Ok(()))?;
        }
        Ok(())
    }

    /// The rules judge what came before a time, with the devices as they are known then.
    fn judge(&mut self, now: Timestamp) {
        self.pass_on();
        let inventory = &self.inventory;
        self.baseline.judge(now, &|id| inventory.device(id));
    }

    fn pass_on(&mut self) {
        self.baseline.resolved(&self.resolved);
        for resolved in self.resolved.drain(..) {
            if let Resolved::Flow { flow, .. } = resolved {
                self.store.add_flow(&flow);
            }
        }
    }

    /// Writes what is left, the inventory last: a database that holds it holds the flows it came from.
    fn flush(&mut self) -> Result<(), Error> {
        self.pass_on();
        let inventory = &self.inventory;
        self.baseline.end(&|id| inventory.device(id));
        let Self { store, inventory, baseline, .. } = self;
        store.write_each(|batch| {
            inventory.each_change(|change| batch.put(&change))?;
            baseline.each_change(|change| batch.put(&change))
        })?;
        Ok(())
    }
}
