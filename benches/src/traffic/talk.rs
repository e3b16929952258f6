//! Conversations: who talks to whom about what, and the packets it takes.

use super::Traffic;
use super::dice::Dice;
use super::frame::{self, ACK, FIN, PSH, Path, RST, SYN, Segment};
use super::hospital::{Duty, Hospital, Role};
use super::says::{self, Message};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// Largest payload of a TCP segment, over IPv6 too.
const SEGMENT: usize = 1_440;

/// Bytes of noise there are, and the most that one packet takes of them.
const NOISE: usize = 1 << 20;

/// What a conversation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Images,
    Results,
    Sealed,
    Pages,
    Files,
    /// Waveforms of monitors, and telephone calls.
    Streams,
    /// One question and its answer over UDP.
    Questions,
    /// A port that is tried out.
    Scan,
}

/// How it is carried, and for TCP where the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Open,
    Accept,
    Accepted,
    Data,
    Closing,
    Closed,
    Datagrams,
}

/// Everything that conversations share.
pub(crate) struct World {
    pub(crate) traffic: Traffic,
    pub(crate) hospital: Hospital,
    pub(crate) dice: Dice,
    /// Bytes that mean nothing.
    noise: Vec<u8>,
    /// The payload being put together.
    payload: Vec<u8>,
}

impl World {
    pub(crate) fn new(traffic: Traffic) -> Self {
        let mut dice = Dice::new(0x5741_5244);
        let hospital = Hospital::new(&mut dice);
        let noise = (0..NOISE / 8).flat_map(|_| dice.roll().to_be_bytes()).collect();
        Self { traffic, hospital, dice, noise, payload: Vec::new() }
    }

    /// Adds `length` meaningless bytes to the payload.
    fn noise(&mut self, length: usize) {
        let at = self.dice.below((NOISE - SEGMENT) as u32) as usize;
        self.payload.extend_from_slice(&self.noise[at..at + length]);
    }
}

/// A conversation under way.
#[derive(Debug)]
pub(crate) struct Talk {
    about: About,
    carrier: Carrier,
    path: Path,
    /// Who began, by number.
    client: usize,
    script: VecDeque<Message>,
    /// Bytes of the first message that are said.
    said: usize,
    /// Exchanges to come.
    left: u32,
    /// Exchanges begun.
    count: u32,
    id: u32,
    ident: u16,
    seq: [u32; 2],
    /// Segments of one side that the other has not acknowledged.
    unacked: (usize, u32),
}

impl Talk {
    pub(crate) fn new(about: About, world: &mut World) -> Self {
        let (hospital, dice) = (&mut world.hospital, &mut world.dice);
        let short = world.traffic == Traffic::Flows;
        let (client, server, port, left) = match about {
            About::Images => (
                hospital.of_role(Role::Modality, dice),
                hospital.server(Duty::Archive, dice),
                if dice.one_in(2) { 104 } else { 11_112 },
                dice.between(4, 40),
            ),
            About::Results => {
                let roles = [Role::Monitor, Role::Workstation, Role::Pump];
                let role = roles[dice.below(3) as usize];
                let port = if dice.one_in(4) { 6_661 } else { 2_575 };
                let engine = hospital.server(Duty::Interface, dice);
                (hospital.of_role(role, dice), engine, port, dice.between(50, 400))
            }
            About::Sealed => {
                let left = if short { 1 } else { dice.between(3, 40) };
                (hospital.device(dice), hospital.server(Duty::Web, dice), 443, left)
            }
            About::Pages => {
                let port = if dice.one_in(4) { 8_080 } else { 80 };
                let left = if short { 1 } else { dice.between(1, 8) };
                (hospital.device(dice), hospital.server(Duty::Web, dice), port, left)
            }
            About::Files => {
                let client = hospital.of_role(Role::Workstation, dice);
                (client, hospital.server(Duty::Files, dice), 445, dice.between(20, 200))
            }
            About::Scan => {
                const PORTS: [u16; 8] = [22, 23, 135, 139, 3389, 5900, 9100, 515];
                let port = PORTS[dice.below(8) as usize];
                (hospital.device(dice), hospital.device(dice), port, 0)
            }
            About::Streams => return Self::stream(world),
            About::Questions => return Self::question(world),
        };
        let v6 = about == About::Sealed && !short && dice.one_in(12);
        let from = hospital.new_port(client);
        let path = hospital.path((client, from), (server, port), client, v6);
        let mut talk = Self::over(about, Carrier::Open, path, client, dice);
        talk.left = left;
        match about {
            About::Images => {
                talk.script.extend(says::associate(&hospital.host(client).name, "PACS_ARCHIVE"));
            }
            About::Files => talk.script.extend(says::negotiate()),
            About::Sealed => {
                let certificates = match world.traffic {
                    Traffic::Mix => 3_200,
                    Traffic::Small => 200,
                    Traffic::Flows => 120,
                };
                let name = format!("app{server}.hospital.example");
                talk.script.extend(says::hello(&name, certificates, dice));
            }
            _ => {}
        }
        talk
    }

    fn over(about: About, carrier: Carrier, path: Path, client: usize, dice: &mut Dice) -> Self {
        let (random, more) = (dice.roll(), dice.roll());
        Self {
            about,
            carrier,
            path,
            client,
            script: VecDeque::new(),
            said: 0,
            left: 0,
            count: 0,
            id: more as u32,
            ident: (more >> 32) as u16,
            seq: [random as u32, (random >> 32) as u32],
            unacked: (0, 0),
        }
    }

    /// A short encrypted session with a server of this name.
    pub(crate) fn sealed(path: Path, server: &str, world: &mut World) -> Self {
        let mut talk = Self::over(About::Sealed, Carrier::Open, path, 0, &mut world.dice);
        talk.left = 1;
        talk.script.extend(says::hello(server, 120, &mut world.dice));
        talk
    }

    /// A monitor's waveforms to a multicast group of its own, or a telephone call.
    fn stream(world: &mut World) -> Self {
        let (hospital, dice) = (&world.hospital, &mut world.dice);
        let (client, mut path, left);
        if dice.below(100) < 60 {
            client = hospital.of_role(Role::Monitor, dice);
            let central = hospital.server(Duty::Central, dice);
            path = hospital.path((client, 24_105), (central, 24_105), client, false);
            let [upper, lower] = (client as u16).to_be_bytes();
            path.ends[1].ip = IpAddr::V4(Ipv4Addr::new(239, 192, upper, lower));
            path.ends[1].mac = [1, 0, 0x5e, 0x40, upper, lower];
            left = dice.between(2_000, 20_000);
        } else {
            client = hospital.of_role(Role::Phone, dice);
            let other = hospital.of_role(Role::Phone, dice);
            let mut port = || 16_384 + 2 * dice.below(4_000) as u16;
            path = hospital.path((client, port()), (other, port()), client, false);
            left = dice.between(1_000, 9_000);
        }
        let mut talk = Self::over(About::Streams, Carrier::Datagrams, path, client, dice);
        talk.left = left;
        talk
    }

    fn question(world: &mut World) -> Self {
        let (hospital, dice) = (&mut world.hospital, &mut world.dice);
        let client = hospital.device(dice);
        let from = hospital.new_port(client);
        let kind = dice.below(100);
        let (duty, port) = match kind {
            0..62 => (Duty::Names, 53),
            62..82 => (Duty::Management, 161),
            82..94 => (Duty::Time, 123),
            _ => (Duty::Log, 514),
        };
        let server = hospital.server(duty, dice);
        let v6 = port == 53 && dice.one_in(20);
        // The management station asks the device, and is seen in the device's VLAN.
        let (path, asker) = if port == 161 {
            (hospital.path((server, from), (client, port), client, false), server)
        } else {
            (hospital.path((client, from), (server, port), client, v6), client)
        };
        let mut talk = Self::over(About::Questions, Carrier::Datagrams, path, asker, dice);
        match port {
            53 => talk.script.extend(says::lookup(dice)),
            161 => talk.script.extend(says::uptime(talk.id)),
            123 => talk.script.extend(says::time(dice)),
            _ => talk.script.push_back(says::log(&hospital.host(client).name, talk.id)),
        }
        talk
    }

    /// The next packet, into `out`; whether it was the last.
    pub(crate) fn step(&mut self, world: &mut World, out: &mut Vec<u8>) -> bool {
        self.ident = self.ident.wrapping_add(1);
        world.payload.clear();
        match self.carrier {
            Carrier::Datagrams => return self.datagram(world, out),
            Carrier::Open => {
                self.segment(out, 0, SYN, &[]);
                self.carrier = Carrier::Accept;
            }
            // Three of four ports are shut.
            Carrier::Accept if self.about == About::Scan && !self.id.is_multiple_of(4) => {
                self.segment(out, 1, RST | ACK, &[]);
                return true;
            }
            Carrier::Accept => {
                self.segment(out, 1, SYN | ACK, &[]);
                self.carrier = Carrier::Accepted;
            }
            Carrier::Accepted => {
                self.segment(out, 0, ACK, &[]);
                self.carrier = Carrier::Data;
            }
            Carrier::Data => self.data(world, out),
            Carrier::Closing => {
                self.segment(out, 1, FIN | ACK, &[]);
                self.carrier = Carrier::Closed;
            }
            Carrier::Closed => {
                self.segment(out, 0, ACK, &[]);
                return true;
            }
        }
        false
    }

    fn data(&mut self, world: &mut World, out: &mut Vec<u8>) {
        let (sender, unacked) = self.unacked;
        if unacked >= 2 {
            self.segment(out, 1 - sender, ACK, &[]);
            self.unacked = (sender, 0);
            return;
        }
        if self.script.is_empty() {
            self.go_on(world);
        }
        let Some(from) = self.script.front().map(|message| message.from) else {
            self.segment(out, 0, FIN | ACK, &[]);
            self.carrier = Carrier::Closing;
            return;
        };
        let pushed = self.say(world, from, SEGMENT);
        self.unacked = (from, if from == sender { unacked + 1 } else { 1 });
        let payload = std::mem::take(&mut world.payload);
        self.segment(out, from, if pushed { PSH | ACK } else { ACK }, &payload);
        world.payload = payload;
    }

    /// Puts the next bytes of one side together; whether they end what it has to say for now.
    fn say(&mut self, world: &mut World, from: usize, room: usize) -> bool {
        while let Some(message) = self.script.front().filter(|message| message.from == from) {
            let free = room - world.payload.len();
            let head = message.bytes.get(self.said..).unwrap_or_default();
            let head = &head[..head.len().min(free)];
            world.payload.extend_from_slice(head);
            let rest = message.bytes.len() + message.fill - self.said - head.len();
            let fill = rest.min(free - head.len());
            self.said += head.len();
            // What is left of the head comes before any noise.
            if self.said >= message.bytes.len() && fill > 0 {
                world.noise(fill);
                self.said += fill;
            }
            if self.said < message.bytes.len() + message.fill {
                return false;
            }
            let last = message.last;
            self.script.pop_front();
            self.said = 0;
            if last {
                return true;
            }
            if world.payload.len() == room {
                return false;
            }
        }
        true
    }

    fn segment(&mut self, out: &mut Vec<u8>, from: usize, flags: u8, payload: &[u8]) {
        let ack = if flags & ACK != 0 { self.seq[1 - from] } else { 0 };
        frame::tcp(out, &self.path, from, self.ident, Segment { seq: self.seq[from], ack, flags }, payload);
        let counted = payload.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        self.seq[from] = self.seq[from].wrapping_add(counted);
    }

    fn datagram(&mut self, world: &mut World, out: &mut Vec<u8>) -> bool {
        if self.script.is_empty() {
            self.go_on(world);
        }
        if let Some(message) = self.script.pop_front() {
            world.payload.extend_from_slice(&message.bytes);
            world.noise(message.fill);
            frame::udp(out, &self.path, message.from, self.ident, &world.payload);
        }
        self.script.is_empty() && self.left == 0
    }

    /// The next exchange, if there is one.
    fn go_on(&mut self, world: &mut World) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        self.count += 1;
        let (dice, long) = (&mut world.dice, world.traffic == Traffic::Mix);
        match self.about {
            About::Images if self.left == 0 => self.script.extend(says::release()),
            About::Images => {
                let size = dice.between(60_000, 550_000) * 2;
                let name = &world.hospital.host(self.client).name;
                self.script.extend(says::store(name, self.client as u32, self.count, size));
            }
            About::Results => {
                let values = if long { dice.between(3, 14) } else { 0 };
                self.script.extend(says::results(self.id, self.count, values, dice));
            }
            About::Sealed => {
                let (ask, answer) = if long {
                    (dice.between(200, 900), dice.between(400, 60_000))
                } else {
                    (dice.between(40, 160), dice.between(60, 300))
                };
                self.script.extend(says::sealed(0, ask));
                self.script.extend(says::sealed(1, answer));
            }
            About::Pages => {
                let length = if long { dice.between(300, 30_000) } else { dice.between(60, 400) };
                self.script.extend(says::page(self.id, length));
            }
            About::Files => {
                self.script.extend(says::read_file(self.count, dice.between(1_000, 64_000)));
            }
            About::Streams if self.path.ends[1].port == 24_105 => {
                let fill = if long { 300 + self.left * 37 % 600 } else { 24 + self.left % 64 };
                self.script.push_back(says::waveform(self.id, self.count, fill));
            }
            About::Streams => {
                let from = usize::from(self.count.is_multiple_of(2));
                self.script.push_back(says::voice(from, self.id, self.count, if long { 160 } else { 20 }));
            }
            About::Questions | About::Scan => {}
        }
    }
}
