//! What is measured: passes over a capture file. A file is read anew in each, so that every stage finds its bytes where
//! it would in the program: just read, in the nearer caches.

use crate::measure::{Spent, Stopwatch};
use baseline::Baseline;
use capture::{Block, Input, Timeline};
use dissectors::{Dissector, REGISTRY};
use flow::Shard;
use inventory::{Inventory, Resolved, Vendors};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::Store;
use tempfile::TempDir;

/// Bytes of flow records written at once, as the sensor does.
const FLOWS_A_BATCH: usize = 1 << 20;

/// The yardstick: reads the file as nothing could do it quicker, in blocks, and walks from record to record. Gives the
/// number of packets.
pub fn bare(path: &Path) -> u64 {
    let mut file = File::open(path).expect("the capture opens");
    let mut buffer = vec![0u8; 256 * 1024];
    let (mut have, mut packets, mut at) = (0, 0, 24);
    loop {
        let n = file.read(&mut buffer[have..]).expect("it reads");
        if n == 0 {
            return packets;
        }
        have += n;
        while let Some(head) = buffer[at..have].first_chunk::<16>() {
            let length = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
            if at + 16 + length > have {
                break;
            }
            packets += 1;
            at += 16 + length;
        }
        buffer.copy_within(at..have, 0);
        (have, at) = (have - at, 0);
    }
}

fn timeline(path: &Path) -> Timeline {
    Timeline::open(&[Input::Path(path.into())]).expect("the capture opens")
}

/// What a pass over the flow stage does with the frames.
#[derive(Clone, Copy, Debug)]
pub enum Depth {
    /// Only decodes them.
    ///
    /// Every shard decodes every frame, and goes on with those whose addresses are in its parts of the traffic. To one
    /// whose number is past the last, no part belongs, so this is what it costs to see whose a frame is. It is measured
    /// this way because it is the decoder as the program calls it, and no door has to be opened for a bench.
    Decode,
    /// Decodes them and tracks flows; nobody wants to read any, so nothing is reassembled.
    Flow,
}

/// Time in the flow stage, of a pass that goes so far.
pub fn shallow(path: &Path, depth: Depth) -> (Spent, u64) {
    let (index, registry): (_, &'static [&'static Dissector]) = match depth {
        Depth::Decode => (1, REGISTRY),
        Depth::Flow => (0, &[]),
    };
    let mut timeline = timeline(path);
    let mut shard = Shard::new(&flow::Config::default(), registry, index, 1);
    let (mut block, mut events) = (Block::new(), Vec::new());
    let (mut spent, mut packets) = (Spent::default(), 0);
    let mut watch = Stopwatch::new();
    while timeline.next_block(&mut block).expect("it reads") {
        packets += block.len() as u64;
        watch.lap();
        shard.frames(block.frames(), &mut events);
        events.clear();
        spent += watch.lap();
    }
    while shard.finish(&mut events) {
        events.clear();
    }
    (spent + watch.lap(), packets)
}

/// Time in each stage of one pass through all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stages {
    /// From the file to frames.
    pub read: Spent,
    /// Decode, flows, reassembly and dissectors.
    pub flow: Spent,
    /// From events to devices and edges.
    pub inventory: Spent,
    /// From those and flows to rows, committed.
    pub store: Spent,
    /// Packets that went through.
    pub packets: u64,
}

/// The program's stages in turn, block by block, with a watch between them. Looking at it costs less than a microsecond,
/// four times in a block of some thousand packets.
pub fn staged(path: &Path) -> Stages {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(&folder.path().join("bench.db")).expect("a database");
    store.begin_run().expect("it writes");
    let mut inventory = Inventory::new(inventory::Config::default(), Arc::new(Vendors::builtin()));
    let mut baseline = Baseline::new(baseline::Config::default());
    let mut timeline = timeline(path);
    let mut shard = Shard::new(&flow::Config::default(), REGISTRY, 0, 1);
    let (mut block, mut events, mut resolved) = (Block::new(), Vec::new(), Vec::new());
    let mut out = Stages::default();
    let mut watch = Stopwatch::new();
    while timeline.next_block(&mut block).expect("it reads") {
        out.packets += block.len() as u64;
        out.read += watch.lap();
        shard.frames(block.frames(), &mut events);
        out.flow += watch.lap();
        events.drain(..).for_each(|event| inventory.event(event, &mut resolved));
        baseline.resolved(&resolved);
        out.inventory += watch.lap();
        keep(&mut store, &mut resolved);
        if store.waiting() >= FLOWS_A_BATCH {
            store.write_full_blocks(|_| Ok(())).expect("it writes");
        }
        out.store += watch.lap();
    }
    out.read += watch.lap();
    let mut more = true;
    while more {
        more = shard.finish(&mut events);
        out.flow += watch.lap();
        events.drain(..).for_each(|event| inventory.event(event, &mut resolved));
        baseline.resolved(&resolved);
        out.inventory += watch.lap();
        keep(&mut store, &mut resolved);
        out.store += watch.lap();
    }
    let mut rows = inventory.changes();
    rows.extend(baseline.changes());
    out.inventory += watch.lap();
    store.write(&rows).expect("it writes");
    out.store += watch.lap();
    out
}

fn keep(store: &mut Store, resolved: &mut Vec<Resolved>) {
    for resolved in resolved.drain(..) {
        if let Resolved::Flow { flow, .. } = resolved {
            store.add_flow(&flow);
        }
    }
}

/// The program's own pipeline, on one thread, into a database that is thrown away.
pub struct Whole {
    store: Store,
    timeline: Timeline,
    vendors: Arc<Vendors>,
    _folder: TempDir,
}

impl Whole {
    /// Everything up to the first packet.
    pub fn open(path: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("bench.db")).expect("a database");
        Self { store, timeline: timeline(path), vendors: Arc::new(Vendors::builtin()), _folder: folder }
    }

    /// From the first packet to the last row. `each` is told how long each block took to go all the way. Gives the number
    /// of packets.
    pub fn run(&mut self, mut each: impl FnMut(Duration)) -> u64 {
        let (config, vendors) = (sensor::Config::default(), self.vendors.clone());
        let mut began = Instant::now();
        let outcome = sensor::run_pipeline(&mut self.timeline, &mut self.store, &config, vendors, 0, |_| {
            let now = Instant::now();
            each(now - began);
            began = now;
        });
        outcome.expect("it replays").flow.frames
    }
}
