//! `cargo bench -p wardwatch-benches --bench baseline` prints what it costs to know the habits of a large site: 20,000
//! devices with 1,000,000 edges, beside a tenth of that. Conversations are made up, without files and packets: in 18 days
//! every edge is used in two hours of each day on which its device works, and once a minute the rules judge. Measured are
//! the memory of the process at its peak, the processor time of a conversation once everything is learned, and how long
//! it takes to write all rows and to go on from them. Judging goes by the clock, so that a conversation's share of it is
//! the smaller the more there are. Each site, and each restart, is a process of its own. `-- --smoke` runs everything once
//! on little.

use baseline::{Baseline, Config, Learning, known};
use benches::measure::{Spent, Stopwatch, least};
use benches::memory::peak;
use inventory::Resolved;
use model::{
    Change, Device, DeviceClass, DeviceId, Flow, FlowKey, FlowRecord, FlowState, IpProto, LearningState, Mac,
    OriginatorBy, Timestamp, Vlan,
};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
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

/// A Monday, at midnight.
const BEGIN: i64 = 1_772_409_600;
/// Days until devices are learned and all is as it will stay, and days that are measured after those, of which the
/// cheapest counts. All of the latter are weekdays, so that each is a pass over all edges.
const LEARN: u32 = 15;
const MEASURED: u32 = 3;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// A twelfth of the devices' edges end at each of these ports; all of it is encrypted, as what is read would be findings.
const PORTS: [u16; 12] = [443, 465, 636, 853, 989, 990, 993, 995, 2_762, 5_061, 8_443, 8_883];

/// Mixes a number well.
const fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// A made-up site. Devices are numbered from 1, the servers first.
#[derive(Clone, Copy)]
struct Site {
    devices: u32,
    edges: u32,
    servers: u32,
    /// How far the next edge in line is from the one before, so that neighbours are strangers.
    stride: u64,
}

impl Site {
    fn new(devices: u32, edges: u32) -> Self {
        let servers = (devices / 33).max(4);
        let coprime = |n: &u64| {
            let (mut a, mut b) = (*n, u64::from(edges));
            while b > 0 {
                (a, b) = (b, a % b);
            }
            a == 1
        };
        let stride = (u64::from(edges) * 618 / 1_000..).find(coprime).unwrap_or(1);
        let doors = servers * PORTS.len() as u32;
        assert!(edges.div_ceil(devices - servers) <= doors, "each edge is one of its own");
        Self { devices, edges, servers, stride }
    }

    /// The edge that comes in a place.
    const fn edge(&self, place: u32) -> u32 {
        (place as u64 * self.stride % self.edges as u64) as u32
    }

    /// The client, the server and the port of an edge.
    const fn ends(&self, edge: u32) -> (DeviceId, DeviceId, u16) {
        let clients = self.devices - self.servers;
        let (client, turn) = (edge % clients, edge / clients);
        let doors = self.servers * PORTS.len() as u32;
        let door = (mix(client as u64) as u32 % doors + turn) % doors;
        let port = PORTS[(door / self.servers) as usize];
        (DeviceId(self.servers + client + 1), DeviceId(door % self.servers + 1), port)
    }

    /// Whether an edge is used in an hour of a day: a third of the devices work from eight to six on weekdays, the others
    /// always; one hour is the same on each day, the other is not.
    const fn is_used(&self, edge: u32, day: u32, hour: u32) -> bool {
        let client = edge % (self.devices - self.servers);
        let by_day = client.is_multiple_of(3);
        if by_day && (day % 7 >= 5 || hour < 8 || hour >= 18) {
            return false;
        }
        let (from, hours) = if by_day { (8, 10) } else { (0, 24) };
        let habit = mix(edge as u64) % hours;
        let other = (habit + 1 + mix((day as u64 + 1) << 32 | edge as u64) % (hours - 1)) % hours;
        let hour = (hour - from) as u64;
        hour == habit || hour == other
    }

    fn flow(&self, edge: u32, ts: Timestamp) -> Resolved {
        let (client, server, port) = self.ends(edge);
        let dice = mix(ts.0 as u64 ^ u64::from(edge));
        let from = (address(client), 32_768 + (dice % 28_000) as u16);
        let (key, originator) = FlowKey::new(vlan(client), IpProto::TCP, from, (address(server), port));
        let packets = [4 + dice % 12, 4 + (dice >> 8) % 20];
        let record = FlowRecord {
            first_no: dice >> 20,
            key,
            originator,
            originator_by: OriginatorBy::Handshake,
            vlans: [vlan(client), vlan(server)],
            macs: [Some(mac(client)), Some(mac(server))],
            first: ts,
            last: ts.plus((dice >> 16) as i64 % (20 * SECOND)),
            packets,
            bytes: [packets[0] * 90, packets[1] * 310],
            app: Some("tls"),
            app_by_content: true,
            state: FlowState::Closed,
            gaps: 0,
            continued: false,
            cut_short: false,
            copied: false,
            tunnel: None,
        };
        Resolved::Flow {
            flow: Flow { record: Box::new(record), devices: [Some(client), Some(server)] },
            domain: None,
            lease_of: None,
        }
    }

    /// A device as the inventory would know it.
    fn device(&self, id: DeviceId, now: Timestamp) -> Device {
        let class = match id.0 {
            n if n <= self.servers => DeviceClass::Server,
            n if n.is_multiple_of(4) => DeviceClass::PatientMonitor,
            n if n.is_multiple_of(2) => DeviceClass::InfusionPump,
            _ => DeviceClass::Workstation,
        };
        Device {
            id,
            keys: Vec::new(),
            macs: vec![mac(id)],
            addresses: vec![(vlan(id), address(id))],
            attributes: Vec::new(),
            class,
            votes: Vec::new(),
            roles: Vec::new(),
            router: false,
            attachment: None,
            vlans: vec![vlan(id)],
            sop_classes: Vec::new(),
            implementations: Vec::new(),
            behind: None,
            first: Timestamp::new(BEGIN, 0),
            last: now,
        }
    }
}

const fn address(id: DeviceId) -> IpAddr {
    let [_, b, c, d] = id.0.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 64 | b, c, d))
}

const fn mac(id: DeviceId) -> Mac {
    let [a, b, c, d] = id.0.to_be_bytes();
    Mac([0, 0x1b, a, b, c, d])
}

const fn vlan(id: DeviceId) -> Vlan {
    Vlan::single(10 + (id.0 >> 8) as u16)
}

/// Conversations of a day, and what they cost.
#[derive(Clone, Copy, Default)]
struct Day {
    flows: u64,
    /// Of taking in conversations, and of judging once a minute and once an hour.
    taken: Spent,
    judged: Spent,
}

impl Day {
    fn pass_on(&mut self, baseline: &mut Baseline, batch: &mut Vec<Resolved>) {
        let mut watch = Stopwatch::new();
        baseline.resolved(batch);
        self.taken += watch.lap();
        self.flows += batch.len() as u64;
        batch.clear();
    }
}

/// Conversations that are handed over at once, at most.
const BATCH: usize = 1_024;

/// Lives through a day.
fn live(site: &Site, day: u32, baseline: &mut Baseline, batch: &mut Vec<Resolved>) -> Day {
    let mut spent = Day::default();
    for hour in 0..24 {
        let from = BEGIN * SECOND + i64::from(day * 24 + hour) * HOUR;
        for place in 0..site.edges {
            let edge = site.edge(place);
            if !site.is_used(edge, day, hour) {
                continue;
            }
            let ts = Timestamp(from + i64::from(place) * HOUR / i64::from(site.edges));
            if baseline.is_due(ts) {
                spent.pass_on(baseline, batch);
                let mut watch = Stopwatch::new();
                baseline.judge(ts, &|id| Some(site.device(id, ts)));
                spent.judged += watch.lap();
            }
            batch.push(site.flow(edge, ts));
            if batch.len() == BATCH {
                spent.pass_on(baseline, batch);
            }
        }
    }
    spent.pass_on(baseline, batch);
    spent
}

/// Hands what was measured to the process that asked.
fn print(numbers: &[f64]) {
    numbers.iter().for_each(|number| print!("{number} "));
}

/// The process that learns a site, and writes it down.
fn learn(site: &Site, path: &Path) {
    let mut batch = Vec::with_capacity(BATCH);
    (0..BATCH as u32).for_each(|edge| batch.push(site.flow(edge % site.edges, Timestamp(0))));
    batch.clear();
    let before = peak();
    let mut baseline = Baseline::new(Config::default());
    let mut days = Vec::new();
    for day in 0..LEARN + MEASURED {
        let spent = live(site, day, &mut baseline, &mut batch);
        if day >= LEARN {
            days.push(spent);
        }
    }
    let (learned, held) = (peak(), baseline.held());
    let counters = baseline.counters();
    let lost =
        [counters.edges_evicted, counters.edges_refused, counters.habits_evicted, counters.habits_refused];
    assert_eq!(lost, [0; 4], "there is room for all of them");
    let mut watch = Stopwatch::new();
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
        ("  its lines of memory alone, ns", Target::None, touched),
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
