//! A made-up site of any size, for what it costs to know one: who talks to whom, when, as conversations or as packets.

use crate::measure::{Spent, Stopwatch};
use crate::traffic::frame::{End, Path};
use crate::traffic::{self, Talk, Traffic, World};
use inventory::Resolved;
use model::{
    Device, DeviceClass, DeviceId, Flow, FlowKey, FlowRecord, FlowState, IpProto, Mac, OriginatorBy,
    Timestamp, Vlan,
};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

/// A Monday, at midnight.
pub const BEGIN: i64 = 1_772_409_600;
/// In nanoseconds.
pub const SECOND: i64 = 1_000_000_000;
/// In nanoseconds.
pub const HOUR: i64 = 3_600 * SECOND;

/// A twelfth of the devices' edges end at each of these ports; all of it is encrypted, as what is read would be findings.
const PORTS: [u16; 12] = [443, 465, 636, 853, 989, 990, 993, 995, 2_762, 5_061, 8_443, 8_883];

/// Mixes a number well.
pub const fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// A made-up site. Devices are numbered from 1, the servers first.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    /// How many there are.
    pub devices: u32,
    /// Who asks whom on which port.
    pub edges: u32,
    /// How many of the devices only answer.
    pub servers: u32,
    /// How far the next edge in line is from the one before, so that neighbours are strangers.
    stride: u64,
}

impl Site {
    /// One of so many devices and edges.
    pub fn new(devices: u32, edges: u32) -> Self {
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
    pub const fn edge(&self, place: u32) -> u32 {
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

    /// The conversations of a day counted from [`BEGIN`]: their edges and when they begin.
    pub fn calls(self, day: u32) -> impl Iterator<Item = (u32, Timestamp)> {
        let hours = (0..24).flat_map(move |hour| (0..self.edges).map(move |place| (hour, place)));
        hours.filter_map(move |(hour, place)| {
            let edge = self.edge(place);
            let from = BEGIN * SECOND + i64::from(day * 24 + hour) * HOUR;
            let ts = Timestamp(from + i64::from(place) * HOUR / i64::from(self.edges));
            self.is_used(edge, day, hour).then_some((edge, ts))
        })
    }

    fn flow(&self, edge: u32, ts: Timestamp) -> (FlowRecord, [Option<DeviceId>; 2]) {
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
        (record, [Some(client), Some(server)])
    }

    /// A device as the inventory would know it.
    pub fn device(&self, id: DeviceId, now: Timestamp) -> Device {
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
            lived: Vec::new(),
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

/// Conversations as the inventory hands them on, in memory that is used again: what it costs to make them is not the
/// baseline's.
#[derive(Debug, Default)]
pub struct Batch {
    all: Vec<Resolved>,
    used: usize,
}

impl Batch {
    /// Conversations that are handed over at once, at most.
    const MOST: usize = 1_024;

    /// Adds one; whether it is full now.
    pub fn push(&mut self, site: &Site, edge: u32, ts: Timestamp) -> bool {
        let (record, devices) = site.flow(edge, ts);
        match self.all.get_mut(self.used) {
            Some(Resolved::Flow { flow, .. }) => {
                *flow.record = record;
                flow.devices = devices;
            }
            _ => {
                let flow = Flow { record: Box::new(record), devices };
                self.all.push(Resolved::Flow { flow, domain: None, lease_of: None });
            }
        }
        self.used += 1;
        self.used >= Self::MOST
    }

    /// Those that were added.
    pub fn all(&self) -> &[Resolved] {
        &self.all[..self.used]
    }

    /// Has none again.
    pub fn clear(&mut self) {
        self.used = 0;
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

/// Where a capture of a site stood when a day was over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// Conversations until then.
    pub flows: u64,
    /// Packets until then.
    pub packets: u64,
    /// What the process had spent, but for making these.
    pub spent: Spent,
}

/// The conversations of a site, each a short encrypted session, as a capture. It is made while it is read: as a file it
/// would be many gigabytes. All devices are in one network, so that each is known by its own frames.
pub struct Wire {
    site: Site,
    calls: Box<dyn Iterator<Item = (u32, u32, Timestamp)> + Send>,
    world: World,
    made: Vec<u8>,
    read: usize,
    frame: Vec<u8>,
    day: u32,
    so_far: Mark,
    watch: Stopwatch,
    marks: Arc<Mutex<Vec<Mark>>>,
}

/// Bytes that are made at once.
const MADE: usize = 1 << 20;
/// Between two packets of a conversation.
const PACE: i64 = SECOND / 1_000;

impl Wire {
    /// The first days of a site; and what will be noted at the end of each.
    pub fn new(site: Site, days: u32) -> (Self, Arc<Mutex<Vec<Mark>>>) {
        let marks = Arc::new(Mutex::new(Vec::new()));
        let mut made = Vec::with_capacity(MADE + MADE / 4);
        traffic::header(&mut made).expect("there is memory");
        let wire = Self {
            site,
            calls: Box::new(
                (0..days).flat_map(move |day| site.calls(day).map(move |(edge, ts)| (day, edge, ts))),
            ),
            world: World::new(Traffic::Flows),
            made,
            read: 0,
            frame: Vec::new(),
            day: 0,
            so_far: Mark::default(),
            watch: Stopwatch::new(),
            marks: marks.clone(),
        };
        (wire, marks)
    }

    fn mark(&self) {
        self.marks.lock().expect("nobody panicked").push(self.so_far);
    }

    /// Makes the packets of some conversations.
    fn make(&mut self) -> io::Result<()> {
        self.so_far.spent += self.watch.lap();
        self.made.clear();
        self.read = 0;
        while self.made.len() < MADE {
            let Some((day, edge, ts)) = self.calls.next() else {
                if self.made.is_empty() {
                    self.mark();
                }
                break;
            };
            if day != self.day {
                self.mark();
                self.day = day;
            }
            let (client, server, port) = self.site.ends(edge);
            let from = 32_768 + (mix(ts.0 as u64 ^ u64::from(edge)) % 28_000) as u16;
            let end = |id: DeviceId, port| End { mac: mac(id).0, ip: address(id), port };
            let path = Path { vlan: None, ends: [end(client, from), end(server, port)] };
            let mut talk = Talk::sealed(path, &format!("app{}.hospital.example", server.0), &mut self.world);
            let mut at = ts;
            loop {
                let is_last = talk.step(&mut self.world, &mut self.frame);
                traffic::record(&mut self.made, at.0 as u64, &self.frame)?;
                self.so_far.packets += 1;
                if is_last {
                    break;
                }
                at = at.plus(PACE);
            }
            self.so_far.flows += 1;
        }
        self.watch.lap();
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.made.len() {
            self.make()?;
        }
        let rest = self.made.get(self.read..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        self.read += n;
        Ok(n)
    }
}
