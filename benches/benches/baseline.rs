//! `cargo bench -p wardwatch-benches --bench baseline` prints what it costs to know the habits of a large site: 20,000
//! devices with 1,000,000 edges, beside a tenth of that. Conversations are made up, without files and packets: in 18 days
//! every edge is used in two hours of each day on which its device works, and once a minute the rules judge. Measured are
//! the memory of the process at its peak, the processor time of a conversation once everything is learned, and how long
//! it takes to write all rows and to go on from them. Judging goes by the clock, so that a conversation's share of it is
//! the smaller the more there are. Instructions are counted by valgrind, where that is installed: they say whether there is
//! more to do, where the time also says how much of it waits for memory. The same conversations as packets go through the
//! whole program. Each site, and each restart, is a process of its own. `-- --smoke` runs everything once on little.

use baseline::{Baseline, Config, Learning, known};
use benches::callgrind;
use benches::measure::{Spent, Stopwatch, least};
use benches::memory::peak;
use benches::site::{BEGIN, Batch, HOUR, SECOND, Site, Wire, mix};
use capture::Timeline;
use inventory::Vendors;
use model::{Change, LearningState, Timestamp};
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use store::Store;

/// Devices and edges: the small site and the large one.
const SIZES: [(u32, u32); 2] = [(2_000, 100_000), (20_000, 1_000_000)];
const SMOKE: [(u32, u32); 2] = [(200, 2_000), (2_000, 20_000)];

/// What is to be held by the large site.
#[derive(Clone, Copy)]
enum Target {
    None,
    /// At most so much.
    Most(f64),
    /// At most so many times what it is on the small site.
    Times(f64),
}

/// Memory in MB at any time.
const MEMORY: Target = Target::Most(400.0);
/// Seconds from opening the database until everything is known again.
const RESTART: Target = Target::Most(5.0);
/// A conversation costs no more where there is ten times as much to know.
const SAME: Target = Target::Times(1.0);

/// Days until devices are learned and all is as it will stay, and days that are measured after those, of which the
/// cheapest counts. All of the latter are weekdays, so that each is a pass over all edges.
const LEARN: u32 = 15;
const MEASURED: u32 = 3;

/// Conversations of a day, and what they cost.
#[derive(Clone, Copy, Default)]
struct Day {
    flows: u64,
    /// Of taking in conversations, and of judging once a minute and once an hour.
    taken: Spent,
    judged: Spent,
}

/// Lives through a day, and asks a watch what was spent.
fn live(
    site: &Site,
    day: u32,
    baseline: &mut Baseline,
    batch: &mut Batch,
    mut lap: impl FnMut() -> Spent,
) -> Day {
    let mut spent = Day::default();
    let pass_on =
        |baseline: &mut Baseline, batch: &mut Batch, spent: &mut Day, lap: &mut dyn FnMut() -> Spent| {
            lap();
            baseline.resolved(batch.all());
            spent.taken += lap();
            spent.flows += batch.all().len() as u64;
            batch.clear();
        };
    for (edge, ts) in site.calls(day) {
        if baseline.is_due(ts) {
            pass_on(baseline, batch, &mut spent, &mut lap);
            baseline.judge(ts, &|id| Some(site.device(id, ts)));
            spent.judged += lap();
        }
        if batch.push(site, edge, ts) {
            pass_on(baseline, batch, &mut spent, &mut lap);
        }
    }
    pass_on(baseline, batch, &mut spent, &mut lap);
    spent
}

/// The days of the whole program: until all is there, and one that is measured.
const WHOLE: u32 = 3;

/// The process that reads a site's packets.
fn whole(site: &Site) {
    let (wire, marks) = Wire::new(*site, WHOLE);
    let mut timeline = Timeline::from_readers(vec![("site".to_owned(), Box::new(wire))]).expect("it opens");
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(&folder.path().join("whole.db")).expect("a database");
    let config = sensor::Config::parse("[memory]\nlimit = \"8GB\"\n", "bench").expect("it is one");
    sensor::run_pipeline(&mut timeline, &mut store, &config, Arc::new(Vendors::builtin()), 0, |_| {})
        .expect("it replays");
    let marks = marks.lock().expect("nobody panicked");
    let [.., before, after] = marks.as_slice() else { panic!("two days at least") };
    let flows = after.flows - before.flows;
    let spent = (after.spent - before.spent).each(flows).cpu;
    let packets = (after.packets - before.packets) as f64 / flows as f64;
    print(&[spent, packets, peak() as f64]);
}

/// Hands what was measured to the process that asked.
fn print(numbers: &[f64]) {
    numbers.iter().for_each(|number| print!("{number} "));
}

/// The process that learns a site, and writes it down.
fn learn(site: &Site, path: &Path) {
    let mut batch = Batch::default();
    (0..).take_while(|edge| !batch.push(site, edge % site.edges, Timestamp(0))).for_each(drop);
    batch.clear();
    let before = peak();
    let mut baseline = Baseline::new(Config::default());
    let (mut days, mut watch) = (Vec::new(), Stopwatch::new());
    for day in 0..LEARN + MEASURED {
        let spent = live(site, day, &mut baseline, &mut batch, || watch.lap());
        if day >= LEARN {
            days.push(spent);
        }
    }
    let (learned, held) = (peak(), baseline.held());
    let counters = baseline.counters();
    let lost =
        [counters.edges_evicted, counters.edges_refused, counters.habits_evicted, counters.habits_refused];
    assert_eq!(lost, [0; 4], "there is room for all of them");
    watch.lap();
    let mut store = Store::open(path).expect("a database");
    store.write_each(|batch| baseline.each_change(|change| batch.put(&change))).expect("it writes");
    drop(store);
    let written = watch.lap();
    let each = |part: fn(&Day) -> Spent| least(days.iter().map(|day| part(day).each(day.flows).cpu));
    let judged = least(days.iter().map(|day| day.judged.cpu));
    print(&[baseline.findings().len() as f64, learned as f64, (learned - before) as f64, held as f64]);
    print(&[each(|day| day.taken + day.judged), each(|day| day.taken), each(|day| day.judged), judged]);
    print(&[written.wall, written.cpu, peak() as f64]);
}

/// Days of which the last is counted in instructions. All edges are there after the first, and an operator ends learning
/// then, so that a day is as it will stay.
const COUNTED: [u32; 2] = [2, 3];

/// The process whose instructions are counted: conversations of some days, handed over or only made.
fn count(site: &Site, days: u32, hand_over: bool) {
    let until = Timestamp((BEGIN + 86_400) * SECOND);
    let learning = Learning { until: Some(until), ..Learning::default() };
    let mut baseline = Baseline::new(Config { learning, ..Config::default() });
    let mut batch = Batch::default();
    for day in 0..days {
        if hand_over {
            // Valgrind does not bear the clock.
            live(site, day, &mut baseline, &mut batch, Spent::default);
        } else {
            for (edge, ts) in site.calls(day) {
                if batch.push(site, edge, ts) {
                    batch.clear();
                }
            }
        }
    }
}

/// Instructions a conversation takes in the baseline; NaN without valgrind.
fn instructions(site: &Site, folder: &Path) -> f64 {
    let own = std::env::current_exe().expect("a name");
    let (devices, edges) = (site.devices.to_string(), site.edges.to_string());
    let day = |what: &str| {
        let runs = COUNTED.map(|days| {
            let (days, counted) =
                (days.to_string(), folder.join(format!("{what}-{devices}-{days}.callgrind")));
            let args = [what, &devices, &edges, &days].map(OsStr::new);
            callgrind::start(&own, &args, &counted).map(|child| (child, counted))
        });
        let [before, after] =
            runs.map(|run| run.and_then(|(child, counted)| callgrind::end(child, &counted)));
        Ok::<_, io::Error>((after? - before?) as f64)
    };
    let both = day("--count").and_then(|all| Ok(all - day("--make")?));
    both.map_or(f64::NAN, |spent| spent / site.calls(COUNTED[1] - 1).count() as f64)
}

/// The process that goes on from what is written.
fn restart(site: &Site, path: &Path) {
    let mut watch = Stopwatch::new();
    let store = Store::open(path).expect("the database");
    let mut baseline = Baseline::new(Config::default());
    store.each_row(|row| baseline.restore_row(row)).expect("it reads");
    let spent = watch.lap();
    let peak = peak();
    assert_eq!(baseline.edges().count(), site.edges as usize, "all of them are there again");
    let mut habits = Vec::new();
    let keep = |row| {
        if let Change::Habit(id, bytes) = row {
            habits.push((id, bytes));
        }
    };
    store.each_row(keep).expect("it reads");
    assert_eq!(habits.len(), site.devices as usize, "so are their habits");
    let now = Timestamp(BEGIN * SECOND + i64::from(LEARN + MEASURED) * 24 * HOUR);
    let all = known(habits, &Learning::default(), now);
    let learned = all.iter().filter(|known| known.state == LearningState::Converged).count();
    print(&[spent.wall, spent.cpu, peak as f64, learned as f64]);
}

/// A line of the processor's caches.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct CacheLine([u64; 8]);

/// Rounds of which the cheapest counts.
const ROUNDS: usize = 5;

/// The process that does nothing with a learned site's memory but to count: for each conversation, in the same order as
/// above, in both lines of its edge, found by a place in an index, and in two of its client's four. No look-up waits for
/// another one, so the processor has many of them under way at once.
fn touch(site: &Site) {
    const NONE: CacheLine = CacheLine([0; 8]);
    let mut edges = vec![[NONE; 2]; site.edges as usize];
    let mut habits = vec![[NONE; 4]; site.devices as usize];
    let index: Vec<u64> = (0..u64::from(site.edges) * 3 / 2).collect();
    let places: Vec<[usize; 3]> = (0..site.edges)
        .map(|place| {
            let edge = site.edge(place);
            let client = edge % (site.devices - site.servers) + site.servers;
            [edge as usize, client as usize, mix(edge.into()) as usize % index.len()]
        })
        .collect();
    let mut sum = 0;
    let rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut watch = Stopwatch::new();
            for [edge, client, place] in &places {
                sum += index[*place];
                let ([first, open, ..], [key, state]) = (&mut habits[*client], &mut edges[*edge]);
                [key, state, first, open].into_iter().for_each(|line| line.0[0] += 1);
            }
            watch.lap().each(places.len() as u64).cpu
        })
        .collect();
    assert!(sum > 0, "it was read");
    print(&[least(rounds)]);
}

/// What a process of this program measures.
fn child<const N: usize>(what: &str, site: &Site, path: &Path) -> [f64; N] {
    let own = std::env::current_exe().expect("a name");
    let mut command = Command::new(own);
    command.arg(what).arg(site.devices.to_string()).arg(site.edges.to_string()).arg(path);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(|word| f64::from_str(word).expect("a number"));
    std::array::from_fn(|_| numbers.next().expect("as many as were asked for"))
}

/// What is printed of a site, what it is to be, and what it is.
type Line = (&'static str, Target, f64);

fn measure(site: &Site, path: &Path) -> Vec<Line> {
    let [findings, memory, own, held, each, taken, judged, judged_a_day, written, written_cpu, at_writing] =
        child("--learn", site, path);
    let file = std::fs::metadata(path).map_or(0.0, |file| file.len() as f64);
    let [restart, restart_cpu, restarted, learned] = child("--restart", site, path);
    let [touched] = child("--touch", site, path);
    let counted = instructions(site, path.parent().expect("a folder"));
    let [whole, packets, whole_peak] = child("--whole", site, path);
    let (devices, edges) = (f64::from(site.devices), f64::from(site.edges));
    vec![
        ("devices", Target::None, devices),
        ("  learned in the end, %", Target::None, 100.0 * learned / devices),
        ("edges", Target::None, edges),
        ("findings open in the end", Target::None, findings),
        ("memory at the peak, MB", MEMORY, memory / 1e6),
        ("  of the baseline, MB", Target::None, own / 1e6),
        ("  of the baseline, bytes an edge", Target::None, own / edges),
        ("  charged for edges, MB", Target::None, held / 1e6),
        ("a conversation, ns", SAME, each),
        ("  to take it in, ns", SAME, taken),
        ("  its share of judging, ns", SAME, judged),
        ("  its instructions", SAME, counted),
        ("  its lines of memory alone, ns", Target::None, touched),
        ("the whole program, ns a conversation", Target::None, whole),
        ("  packets a conversation", Target::None, packets),
        ("  memory at the peak, MB", Target::None, whole_peak / 1e6),
        ("judging a day, s", Target::None, judged_a_day / 1e9),
        ("writing all rows, s", Target::None, written / 1e9),
        ("  processor time, s", Target::None, written_cpu / 1e9),
        ("  memory at the peak, MB", MEMORY, at_writing / 1e6),
        ("  size of the file, MB", Target::None, file / 1e6),
        ("restart, s", RESTART, restart / 1e9),
        ("  processor time, s", Target::None, restart_cpu / 1e9),
        ("  memory at the peak, MB", MEMORY, restarted / 1e6),
    ]
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, what, devices, edges, path] = args.as_slice() {
        let number = |text: &String| text.parse().expect("a number");
        let (site, path) = (Site::new(number(devices), number(edges)), Path::new(path));
        return match what.as_str() {
            "--learn" => learn(&site, path),
            "--touch" => touch(&site),
            "--whole" => whole(&site),
            "--count" | "--make" => {
                count(
                    &site,
                    path.to_str().and_then(|days| days.parse().ok()).expect("days"),
                    what == "--count",
                );
            }
            _ => restart(&site, path),
        };
    }
    let sizes = if args.iter().any(|arg| arg == "--smoke") { SMOKE } else { SIZES };
    let folder = tempfile::tempdir().expect("a folder");
    let [small, large] = sizes.map(|(devices, edges)| {
        measure(&Site::new(devices, edges), &folder.path().join(format!("{devices}.db")))
    });
    println!("{:<34}{:>12}{:>12}{:>8}{:>9}  held", "", "small", "large", "times", "target");
    for ((what, target, small), (.., large)) in small.into_iter().zip(large) {
        let places = if small.fract() == 0.0 && large.fract() == 0.0 { 0 } else { 2 };
        if small.is_nan() || large.is_nan() {
            println!("{what:<34}  valgrind cannot be run");
            continue;
        }
        print!("{what:<34}{small:>12.places$}{large:>12.places$}{:>8.2}", large / small);
        let (most, is, unit) = match target {
            Target::None => {
                println!();
                continue;
            }
            Target::Most(most) => (most, large, ""),
            Target::Times(most) => (most, large / small, "x"),
        };
        // As it is printed.
        let held = if (is * 100.0).round() <= most * 100.0 { "yes" } else { "no" };
        println!("{:>9}  {held}", format!("{most:.0}{unit}"));
    }
}
