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
use model::{Event, Timestamp};
use std::sync::Arc;
use std::thread;
use store::Store;

/// Blocks on their way to a worker. Memory is this many times 256 KiB a worker at most; more gains nothing.
const AHEAD: usize = 4;

/// Bytes of flow records that wait to be written, about sixteen thousand records. More a transaction cost no less.
const FLOWS_A_BATCH: usize = 1 << 20;

/// Events resolved to devices before the next stage takes them: few enough to stay in the first-level cache.
const EVENTS_AT_ONCE: usize = 32;

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
    let (mut first, mut last, mut broken) = (None, None, None);
    let mut note = |block: &Block| {
        for frame in block.frames() {
            first = Some(first.map_or(frame.ts, |t: Timestamp| t.min(frame.ts)));
            last = Some(last.map_or(frame.ts, |t: Timestamp| t.max(frame.ts)));
        }
    };
    let flow = if shards == 0 {
        let mut shard = Shard::new(&config.flow(), REGISTRY, 0, 1);
        let (mut block, mut events) = (Block::new(), Vec::new());
        while next_block(timeline, &mut block, &mut broken) {
            note(&block);
            shard.frames(block.frames(), &mut events);
            sink.take(events.drain(..))?;
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
            let mut under_way = 0;
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
                    under_way += 1;
                }
                // Collected a little behind, so that workers and writer work at once.
                while under_way > if more { AHEAD - 1 } else { 0 } {
                    let lists = workers.iter().map(|(_, from, _)| from.recv().unwrap_or_default());
                    sink.take(merge(lists))?;
                    under_way -= 1;
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
            loop {
                let lists: Vec<_> =
                    ends.iter().map(Receiver::recv).collect::<Result<_, _>>().unwrap_or_default();
                if lists.is_empty() {
                    break;
                }
                sink.take(merge(lists))?;
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
    Ok(Outcome {
        flow,
        inventory: *sink.inventory.counters(),
        baseline: *sink.baseline.counters(),
        first,
        last,
    })
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

/// A worker: blocks in, events out, one list a block and as many at the end as any other worker.
fn work(mut shard: Shard, blocks: &Receiver<Arc<Block>>, events: &Sender<Vec<Event>>) -> Counters {
    for block in blocks {
        let mut out = Vec::new();
        shard.frames(block.frames(), &mut out);
        if events.send(out).is_err() {
            return shard.counters();
        }
    }
    let mut more = true;
    while more {
        let mut out = Vec::new();
        more = shard.finish(&mut out);
        if events.send(out).is_err() {
            break;
        }
    }
    shard.counters()
}

/// A list of every worker as one, in order.
fn merge(lists: impl IntoIterator<Item = Vec<Event>>) -> impl Iterator<Item = Event> {
    let mut all: Vec<Event> = lists.into_iter().flatten().collect();
    // What one frame taught stays in the order in which it was learned: one worker saw it, and the sort is stable.
    all.sort_by_key(Event::order);
    all.into_iter()
}

/// Everything after the flow stage, on one thread.
struct Sink<'a> {
    inventory: Inventory,
    baseline: Baseline,
    store: &'a mut Store,
    resolved: Vec<Resolved>,
}

impl<'a> Sink<'a> {
    /// Continues from what the store holds.
    fn new(store: &'a mut Store, config: &Config, vendors: Arc<Vendors>) -> Result<Self, Error> {
        let rows = store.load()?;
        store.keep_flows(config.store.max_flows);
        store.begin_run()?;
        Ok(Self {
            inventory: Inventory::restore(config.inventory(), vendors, rows.iter().cloned()),
            baseline: Baseline::restore(baseline::Config::default(), rows),
            store,
            resolved: Vec::new(),
        })
    }

    fn take(&mut self, events: impl Iterator<Item = Event>) -> Result<(), Error> {
        for event in events {
            self.inventory.event(event, &mut self.resolved);
            if self.resolved.len() >= EVENTS_AT_ONCE {
                self.pass_on();
            }
        }
        self.pass_on();
        if self.store.waiting() >= FLOWS_A_BATCH {
            self.store.write(&[])?;
        }
        Ok(())
    }

    fn pass_on(&mut self) {
        self.baseline.resolved(&self.resolved);
        for resolved in self.resolved.drain(..) {
            if let Resolved::Flow(flow) = resolved {
                self.store.add_flow(&flow);
            }
        }
    }

    /// Writes what is left, the inventory last: a database that holds it holds the flows it came from.
    fn flush(&mut self) -> Result<(), Error> {
        let mut rows = self.inventory.changes();
        rows.extend(self.baseline.changes());
        Ok(self.store.write(&rows)?)
    }
}
