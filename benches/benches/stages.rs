//! `cargo bench -p wardwatch-benches --bench stages` prints nanoseconds a packet of each stage, and its ratio to a bare reader (read(2) in
//! 256 KiB blocks and walk the records) measured in turn with it in the same run: the ratio survives a noisy machine.
//! `-- --smoke` runs everything once on little traffic.

use benches::{Traffic, write};
use capture::{Block, Input, Timeline};
use dissectors::{Parse, Pdu, Progress, Sink};
use flow::Shard;
use inventory::{Inventory, Vendors};
use model::{IpProto, Side, Timestamp, Vlan};
use std::fs::File;
use std::io::{BufWriter, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use store::Store;

/// Reads the file as nothing else would: blocks, and from record to record.
fn bare(path: &Path) -> u64 {
    let mut file = File::open(path).expect("the bench wrote it");
    let mut buffer = vec![0u8; 256 * 1024];
    let (mut have, mut packets, mut skip) = (0, 0, 24);
    loop {
        let n = file.read(&mut buffer[have..]).expect("it reads");
        if n == 0 {
            return packets;
        }
        have += n;
        let mut at = skip;
        while at + 16 <= have {
            let length =
                u32::from_le_bytes([buffer[at + 8], buffer[at + 9], buffer[at + 10], buffer[at + 11]])
                    as usize;
            if at + 16 + length > have {
                break;
            }
            packets += 1;
            at += 16 + length;
        }
        buffer.copy_within(at..have, 0);
        have -= at;
        skip = 0;
    }
}

fn timeline(path: &Path) -> Timeline {
    Timeline::open(&[Input::Path(path.into())]).expect("the bench wrote it")
}

fn read(path: &Path) -> u64 {
    let (mut timeline, mut block, mut packets) = (timeline(path), Block::new(), 0);
    while timeline.next_block(&mut block).expect("it reads") {
        packets += block.len() as u64;
    }
    packets
}

fn through_flow(path: &Path, mut each: impl FnMut(model::Event)) -> u64 {
    let mut timeline = timeline(path);
    let mut shard = Shard::new(&flow::Config::default(), dissectors::REGISTRY, 0, 1);
    let (mut block, mut events) = (Block::new(), Vec::new());
    while timeline.next_block(&mut block).expect("it reads") {
        shard.frames(block.frames(), &mut events);
        events.drain(..).for_each(&mut each);
    }
    while shard.finish(&mut events) {
        events.drain(..).for_each(&mut each);
    }
    events.drain(..).for_each(&mut each);
    shard.counters().frames
}

fn flows(path: &Path) -> u64 {
    through_flow(path, drop)
}

fn devices(path: &Path) -> u64 {
    let mut inventory = Inventory::new(inventory::Config::default(), Arc::new(Vendors::builtin()));
    let mut resolved = Vec::new();
    through_flow(path, |event| {
        inventory.event(event, &mut resolved);
        resolved.clear();
    })
}

fn whole(path: &Path) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(&folder.path().join("bench.db")).expect("a database");
    let (config, vendors) = (sensor::Config::default(), Arc::new(Vendors::builtin()));
    let outcome = sensor::run_pipeline(&mut timeline(path), &mut store, &config, vendors, 0, |_| {});
    outcome.expect("it replays").flow.frames
}

type Stage = (&'static str, fn(&Path) -> u64);

/// Each ends with what it adds to the one before.
const STAGES: [Stage; 5] = [
    ("bare reader", bare),
    ("read", read),
    ("… + decode, flows, dissect", flows),
    ("… + inventory", devices),
    ("… + store: end to end", whole),
];

/// One message of 28 kB with 400 results, as a session sees it: nanoseconds, the best of many.
fn long_message() -> f64 {
    let mut message =
        b"\x0bMSH|^~\\&|LAB|L|EHR|H|20260302||ORU^R01|1|P|2.5\rPID|1||CANARY^^^H||CANARY^A||19010203\r"
            .to_vec();
    for n in 0..400 {
        message
            .extend(format!("OBX|{n}|NM|2345-7^Glucose^LN||{n}|mg/dL|70-110|N|||F|||2026030208\r").bytes());
    }
    message.extend(b"\x1c\r");
    let Parse::Stream(open) = dissectors::hl7::DISSECTOR.parse else { return f64::NAN };
    let host = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    let pdu = Pdu {
        no: 1,
        ts: Timestamp(0),
        vlan: Vlan::NONE,
        src_mac: None,
        dst_mac: None,
        src: host(1),
        dst: host(2),
        src_port: 40_000,
        dst_port: 6_661,
        proto: IpProto::TCP,
        side: Side::Low,
        bytes: &message,
        truncated: false,
    };
    let once = || {
        let (mut session, mut out) = (open(), Vec::new());
        let began = Instant::now();
        let progress = session.data(&pdu, &mut Sink::new(&mut out, "hl7", 1, Timestamp(0)));
        let took = began.elapsed().as_nanos() as f64;
        assert_eq!(progress, Progress::Consumed(message.len() as u64), "all of it is read");
        took
    };
    (0..1_000).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let smoke = std::env::args().any(|arg| arg == "--smoke");
    let (packets, rounds) = if smoke { (20_000, 1) } else { (500_000, 5) };
    let folder = tempfile::tempdir().expect("a folder");
    println!("an HL7 message of 28 kB: {:.1} µs", long_message() / 1_000.0);
    println!("{:<28}{:>10}{:>12}{:>8}", "stage", "traffic", "ns/packet", "ratio");
    for traffic in Traffic::ALL {
        let path = folder.path().join(traffic.name());
        let mut file = BufWriter::new(File::create(&path).expect("a file"));
        write(traffic, packets, &mut file).expect("it writes");
        drop(file);
        // In turn, so that all see the same weather; the best of each.
        let mut best = [f64::INFINITY; STAGES.len()];
        for _ in 0..rounds {
            for ((_, stage), best) in STAGES.iter().zip(&mut best) {
                let began = Instant::now();
                let seen = stage(&path);
                assert_eq!(seen, u64::from(packets), "every packet is seen");
                *best = best.min(began.elapsed().as_nanos() as f64 / f64::from(packets));
            }
        }
        for ((name, _), ns) in STAGES.iter().zip(best) {
            println!("{name:<28}{:>10}{ns:>12.1}{:>8.1}", traffic.name(), ns / best[0]);
        }
    }
}
