//! `cargo bench -p wardwatch-benches --bench hostile` prints what each kind of flood costs: nanoseconds of processor time a
//! packet from file to database, the ratio to normal traffic of the same run, the memory the process took at its peak,
//! and what was given up. Each case is a process of its own. `-- --smoke` runs everything once on little traffic.

use benches::hostile::Flood;
use benches::{Traffic, write};
use capture::{Input, Timeline};
use inventory::Vendors;
use sensor::Outcome;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use store::Store;

/// Packets of one case, and of the flood of conversations.
const PACKETS: u32 = 2_000_000;
const TUPLES: u32 = 10_000_000;

/// A number after a word in a file of `/proc`.
fn proc(file: &str, word: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let rest = text.split_once(word).map(|(_, rest)| rest)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What was given up, in words.
fn given_up(outcome: &Outcome) -> String {
    let Outcome { flow, inventory, baseline, .. } = outcome;
    let all = [
        ("flows", flow.flows_evicted),
        ("connections", flow.sessions_evicted),
        ("fragmented packets", flow.fragments_lost),
        ("VLANs, tunnels, networks", flow.scopes_refused + flow.tunnels_refused + flow.networks_refused),
        ("devices", inventory.devices_evicted + inventory.devices_refused),
        ("evidence", inventory.evidence_evicted),
        ("addresses", inventory.addresses_evicted),
        ("leases", inventory.leases_evicted),
        ("edges", baseline.edges_evicted + baseline.edges_refused),
    ];
    let said: Vec<_> = all.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{n} {what}")).collect();
    said.join(", ")
}

/// The process that is measured.
fn child(path: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(&folder.path().join("bench.db")).expect("a database");
    let mut timeline = Timeline::open(&[Input::Path(path.into())]).expect("the bench wrote it");
    let (config, vendors) = (sensor::Config::default(), Arc::new(Vendors::builtin()));
    let outcome = sensor::run_pipeline(&mut timeline, &mut store, &config, vendors, 0, |_| {});
    let outcome = outcome.expect("it replays");
    // Everything is done on this thread.
    let nanos = proc("/proc/self/schedstat", "").unwrap_or_default();
    let peak = proc("/proc/self/status", "VmHWM:").unwrap_or_default();
    println!("{} {nanos} {peak} {}", outcome.flow.frames, given_up(&outcome));
}

/// Nanoseconds a packet, peak in kB, what was given up: the best of some rounds.
fn measure(path: &Path, rounds: u32) -> (f64, u64, String) {
    let mut best = (f64::INFINITY, 0, String::new());
    for _ in 0..rounds {
        let own = std::env::current_exe().expect("a name");
        let output = Command::new(own).arg("--child").arg(path).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let mut words = text.splitn(4, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        let (packets, nanos, peak) = (number(), number(), number());
        let each = nanos as f64 / packets.max(1) as f64;
        if each < best.0 {
            best = (each, peak, words.next().unwrap_or_default().to_owned());
        }
    }
    best
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        return child(Path::new(&args[at + 1]));
    }
    let smoke = args.iter().any(|arg| arg == "--smoke");
    let rounds = if smoke { 1 } else { 2 };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("traffic");
    let size = |packets: u32| if smoke { 10_000 } else { packets };
    println!(
        "{:<12}{:>10}{:>11}{:>9}{:>9}{:>10}",
        "traffic", "packets", "ns/packet", "/ small", "/ flows", "peak MB"
    );
    let mut normal = [f64::NAN; 2];
    for (traffic, place) in [(Traffic::Small, 0), (Traffic::Flows, 1)] {
        let mut out = BufWriter::new(File::create(&path).expect("a file"));
        write(traffic, size(PACKETS), &mut out).and_then(|()| out.flush()).expect("it writes");
        let (each, peak, _) = measure(&path, rounds);
        normal[place] = each;
        println!(
            "{:<12}{:>10}{each:>11.0}{:>9}{:>9}{:>10}",
            traffic.name(),
            size(PACKETS),
            "",
            "",
            peak / 1_000
        );
    }
    for kind in Flood::all() {
        let packets = size(if kind == Flood::Tuples { TUPLES } else { PACKETS });
        let mut out = BufWriter::new(File::create(&path).expect("a file"));
        kind.write(packets, &mut out).and_then(|()| out.flush()).expect("it writes");
        let (each, peak, lost) = measure(&path, rounds);
        let [small, flows] = normal.map(|normal| each / normal);
        println!(
            "{:<12}{packets:>10}{each:>11.0}{small:>9.1}{flows:>9.1}{:>10}  {lost}",
            kind.name(),
            peak / 1_000
        );
    }
}
