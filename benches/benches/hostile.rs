//! `cargo bench -p wardwatch-benches --bench hostile` prints what each kind of flood costs: nanoseconds of processor time a
//! packet from file to database, the ratio to normal traffic of the same run, both for each packet more once the tables
//! are full, the memory the process took at its peak, and what was given up. Each case is a process of its own. `-- --smoke` runs everything once on little traffic.

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

/// What a case costs.
struct Cost {
    /// Nanoseconds a packet.
    each: f64,
    /// Nanoseconds that each packet more costs, when there were half as many before: what fills the tables and is written
    /// for it is in neither.
    more: f64,
    /// Memory at the peak in MB.
    peak: u64,
    /// What was given up.
    lost: String,
}

/// Writes so many packets to a file.
type Make<'a> = &'a dyn Fn(u32, &mut BufWriter<File>) -> std::io::Result<()>;

/// What so many packets cost, and half of them.
fn measure(path: &Path, packets: u32, rounds: u32, make: Make<'_>) -> Cost {
    let cost = |packets: u32| {
        let mut out = BufWriter::new(File::create(path).expect("a file"));
        make(packets, &mut out).and_then(|()| out.flush()).expect("it writes");
        run(path, rounds)
    };
    let ((half, half_nanos, ..), (all, nanos, peak, lost)) = (cost(packets / 2), cost(packets));
    let more = nanos.saturating_sub(half_nanos) as f64 / all.saturating_sub(half).max(1) as f64;
    Cost { each: nanos as f64 / all.max(1) as f64, more, peak: peak / 1_000, lost }
}

/// Packets, nanoseconds, peak in kB, what was given up: the best of some rounds.
fn run(path: &Path, rounds: u32) -> (u64, u64, u64, String) {
    let once = || {
        let own = std::env::current_exe().expect("a name");
        let output = Command::new(own).arg("--child").arg(path).output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let mut words = text.splitn(4, ' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        let (packets, nanos, peak) = (number(), number(), number());
        (packets, nanos, peak, words.next().unwrap_or_default().to_owned())
    };
    (0..rounds).map(|_| once()).min_by_key(|(_, nanos, ..)| *nanos).unwrap_or_default()
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
        "{:<12}{:>10}{:>11}{:>9}{:>9}{:>9}{:>10}",
        "traffic", "packets", "ns/packet", "/ flows", "more", "/ flows", "peak MB"
    );
    let show = |name: &str, packets: u32, cost: &Cost, normal: &Cost| {
        let Cost { each, more, peak, lost } = cost;
        let [times, later] = [each / normal.each, more / normal.more];
        println!("{name:<12}{packets:>10}{each:>11.0}{times:>9.1}{more:>9.0}{later:>9.1}{peak:>10}  {lost}");
    };
    let packets = size(PACKETS);
    let normal = measure(&path, packets, rounds, &|packets, out| write(Traffic::Flows, packets, out));
    show(Traffic::Flows.name(), packets, &normal, &normal);
    for kind in Flood::all() {
        let packets = size(if kind == Flood::Tuples { TUPLES } else { PACKETS });
        let cost = measure(&path, packets, rounds, &|packets, out| kind.write(packets, out));
        show(kind.name(), packets, &cost, &normal);
    }
}
