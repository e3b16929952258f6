//! `cargo bench -p wardwatch-benches --bench stages` prints what each stage costs a packet and how that compares to a bare
//! reader measured in turn with it, how long a block takes to go all the way, what a tracked flow takes in memory, and
//! what of the budget holds. `-- --smoke` runs everything once on little traffic; `-- --packets N --rounds N` as one likes.
//!
//! A round is one pass of each, one after the other, so that all see the same weather; the figures that decide are the
//! medians over rounds of the ratio within a round. CPU time is the process's own, user and system.

use benches::measure::{Spent, Stopwatch, least, median};
use benches::passes::{self, Depth, Whole};
use benches::{Traffic, write};
use dissectors::{Parse, Pdu, Progress, Sink};
use hdrhistogram::Histogram;
use model::{IpProto, Side, Timestamp, Vlan};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, ExitCode};

/// What is shown, in this order; each by itself, the last all of them together.
const STAGES: [&str; 8] =
    ["bare reader", "read", "decode", "flow", "dissect", "inventory", "store", "end to end"];
const BARE: usize = 0;

/// What the budget allows of each kind: nanoseconds a packet end to end, and how many times the bare reader.
const fn budget(traffic: Traffic) -> (f64, f64) {
    match traffic {
        Traffic::Mix => (250.0, 3.0),
        Traffic::Small => (250.0, 10.0),
        Traffic::Flows => (350.0, 15.0),
    }
}

/// `flows` may cost so many times what `small` does, and a million tracked flows so many bytes each.
const FLOWS_TO_SMALL: f64 = 1.5;
const BYTES_A_FLOW: f64 = 150.0;

/// What one packet spends in each stage, of one round.
type Round = [Spent; STAGES.len()];

/// One pass of everything.
fn round(path: &Path, packets: u64, latency: &mut Histogram<u64>) -> Round {
    let bare = || {
        let mut watch = Stopwatch::new();
        let seen = passes::bare(path);
        assert_eq!(seen, packets, "every packet is seen");
        watch.lap()
    };
    let before = bare();
    let (decode, decoded) = passes::shallow(path, Depth::Decode);
    let (flow, tracked) = passes::shallow(path, Depth::Flow);
    let stages = passes::staged(path);
    let mut pipeline = Whole::open(path);
    let mut watch = Stopwatch::new();
    let through = pipeline.run(|took| latency.saturating_record(took.as_nanos() as u64));
    let whole = watch.lap();
    drop(pipeline);
    assert_eq!([decoded, tracked, stages.packets, through], [packets; 4], "every packet is seen");
    [
        // The yardstick is taken on both sides of what it measures.
        (before + bare()).each(2),
        stages.read,
        decode,
        flow - decode,
        stages.flow - flow,
        stages.inventory,
        stages.store,
        whole,
    ]
    .map(|spent| spent.each(packets))
}

/// Of all rounds of one kind of traffic: the medians and the best, by stage.
struct Figures {
    cpu: f64,
    wall: f64,
    best: f64,
    ratio: f64,
    best_ratio: f64,
}

fn figures(rounds: &[Round]) -> [Figures; STAGES.len()] {
    std::array::from_fn(|stage| {
        let all = |of: fn(&Round, usize) -> f64| rounds.iter().map(move |round| of(round, stage));
        let cpu = |round: &Round, stage: usize| round[stage].cpu;
        let ratio = |round: &Round, stage: usize| round[stage].cpu / round[BARE].cpu;
        Figures {
            cpu: median(all(cpu).collect()),
            wall: median(all(|round, stage| round[stage].wall).collect()),
            best: least(all(cpu)),
            ratio: median(all(ratio).collect()),
            best_ratio: least(all(ratio)),
        }
    })
}

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
        let mut watch = Stopwatch::new();
        let progress = session.data(&pdu, &mut Sink::new(&mut out, "hl7", 1, Timestamp(0)));
        let took = watch.lap().wall;
        assert_eq!(progress, Progress::Consumed(message.len() as u64), "all of it is read");
        took
    };
    least((0..1_000).map(|_| once()))
}

/// Bytes of memory a tracked flow takes, in a process of its own.
fn memory(flows: u64) -> f64 {
    let output = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["memory", &flows.to_string()])
        .output()
        .expect("the bench program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("it prints a number")
}

struct Options {
    packets: u32,
    rounds: usize,
    flows: u64,
    /// Whether there is enough traffic to say what of the budget holds.
    judged: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options { packets: 1_000_000, rounds: 5, flows: 1_000_000, judged: true };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || {
            let number = args.next().and_then(|word| word.parse::<u32>().ok()).filter(|n| *n > 0);
            number.ok_or_else(|| format!("{arg} needs a number"))
        };
        match arg.as_str() {
            // Given by cargo to every bench.
            "--bench" => {}
            "--smoke" => options = Options { packets: 20_000, rounds: 1, flows: 20_000, judged: false },
            "--packets" => options.packets = number()?,
            "--rounds" => options.rounds = number()? as usize,
            _ => return Err(format!("{arg}: not an option; there are --smoke, --packets N and --rounds N")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("stages: {error}");
            return ExitCode::from(2);
        }
    };
    let folder = tempfile::tempdir().expect("a folder");
    let packets = u64::from(options.packets);
    let mut measured = Vec::new();
    for traffic in Traffic::ALL {
        eprintln!("{} rounds of {packets} packets of {}", options.rounds, traffic.name());
        let path = folder.path().join(traffic.name());
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&path).expect("a file"));
        write(traffic, options.packets, &mut file).expect("it writes");
        file.flush().expect("it writes");
        drop(file);
        // From a microsecond to a minute.
        let mut latency = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).expect("bounds in order");
        let rounds: Vec<Round> = (0..options.rounds).map(|_| round(&path, packets, &mut latency)).collect();
        std::fs::remove_file(&path).expect("it was there");
        measured.push(Measured { traffic, stages: figures(&rounds), latency });
    }
    print(&measured);
    println!("\nan HL7 message of 28 kB: {:.1} µs", long_message() / 1_000.0);
    print_budget(&measured, memory(options.flows), options.judged);
    ExitCode::SUCCESS
}

/// What came out of one kind of traffic.
struct Measured {
    traffic: Traffic,
    stages: [Figures; STAGES.len()],
    latency: Histogram<u64>,
}

/// A column of figures for each kind of traffic.
fn print(measured: &[Measured]) {
    println!("nanoseconds a packet, and times the bare reader (x)\n");
    let kinds: String = measured.iter().map(|of| format!("{:>7}{:>28}", of.traffic.name(), "")).collect();
    println!("{:<12}{}", "", kinds.trim_end());
    let heads = ["cpu", "best", "wall", "x", "x best"].map(|head| format!("{head:>7}")).concat();
    println!("{:<12}{}", "stage", heads.repeat(measured.len()));
    for (stage, name) in STAGES.iter().enumerate() {
        print!("{name:<12}");
        for of in measured {
            let f = &of.stages[stage];
            print!("{:>7.0}{:>7.0}{:>7.0}{:>7.1}{:>7.1}", f.cpu, f.best, f.wall, f.ratio, f.best_ratio);
        }
        println!();
    }
    println!("\nend to end, a block of 256 KiB or 4,096 packets; milliseconds on the wall\n");
    println!("{:<10}{:>8}{:>8}{:>8}", "traffic", "p50", "p99", "max");
    for Measured { traffic, latency, .. } in measured {
        let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1e6;
        println!("{:<10}{:>8.2}{:>8.2}{:>8.2}", traffic.name(), at(0.5), at(0.99), at(1.0));
    }
}

fn print_budget(measured: &[Measured], bytes_a_flow: f64, judged: bool) {
    println!("\n{:<42}{:>8}{:>9}", "budget", "is", "at most");
    let line = |what: &str, is: f64, most: f64| {
        let verdict = match is <= most {
            _ if !judged => "",
            true => "   held",
            false => "   over",
        };
        println!("{what:<42}{is:>8.1}{most:>9.1}{verdict}");
    };
    for Measured { traffic, stages: [.., whole], .. } in measured {
        let (nanos, ratio) = budget(*traffic);
        line(&format!("{}: CPU a packet, end to end, ns", traffic.name()), whole.cpu, nanos);
        line(&format!("{}: times the bare reader", traffic.name()), whole.ratio, ratio);
    }
    let cost = |which| {
        let of = measured.iter().find(|of| of.traffic == which);
        of.map_or(f64::NAN, |Measured { stages: [.., whole], .. }| whole.cpu)
    };
    line("flows: times small", cost(Traffic::Flows) / cost(Traffic::Small), FLOWS_TO_SMALL);
    line("memory a tracked flow, bytes", bytes_a_flow, BYTES_A_FLOW);
}
