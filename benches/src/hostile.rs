//! Traffic that means harm, or a broken device that might as well: deterministic, and of any size.

use crate::traffic::Dice;
use std::io::{self, Write};

/// What kind of flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Every packet a conversation of its own, between the hosts of a ward.
    Tuples,
    /// As [`Flood::Tuples`], and every one is answered.
    Answered,
    /// Connection attempts from addresses that do not exist, to one server.
    Syn,
    /// Hosts that speak to each other once, each with an address and a MAC of its own.
    Hosts,
    /// Stations that announce themselves by ARP, each with a MAC of its own.
    Macs,
    /// DHCP clients that ask for an address, each with a MAC, a client identifier and a name of its own.
    Clients,
    /// DHCP clients that call themselves something else each time.
    Names,
    /// DNS answers, each with a name of its own for an address outside of its own; every other one for one host inside.
    Domains,
    /// HL7 connections whose segments lie anywhere in the window, overlap, and are a few bytes each.
    Overlaps,
    /// First fragments of packets that never become whole.
    Fragments,
    /// HL7 messages that go on and on without an end.
    Mllp,
    /// DICOM associations that promise 4 GiB.
    Dicom,
    /// Frames of VLAN stacks and VXLAN networks that do not exist.
    Segments,
    /// All of these in turn.
    Everything,
}

/// Every kind but the last, which is made of them.
const EACH: [Flood; 13] = [
    Flood::Tuples,
    Flood::Answered,
    Flood::Syn,
    Flood::Hosts,
    Flood::Macs,
    Flood::Clients,
    Flood::Names,
    Flood::Domains,
    Flood::Overlaps,
    Flood::Fragments,
    Flood::Mllp,
    Flood::Dicom,
    Flood::Segments,
];

impl Flood {
    /// All kinds.
    pub fn all() -> impl Iterator<Item = Self> {
        EACH.into_iter().chain([Self::Everything])
    }

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tuples => "tuples",
            Self::Answered => "answered",
            Self::Syn => "syn",
            Self::Hosts => "hosts",
            Self::Macs => "macs",
            Self::Clients => "clients",
            Self::Names => "names",
            Self::Domains => "domains",
            Self::Overlaps => "overlaps",
            Self::Fragments => "fragments",
            Self::Mllp => "mllp",
            Self::Dicom => "dicom",
            Self::Segments => "segments",
            Self::Everything => "everything",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// Writes about `packets` of it as a pcap file.
    pub fn write(self, packets: u32, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])?;
        self.frames(packets, |n, frame| {
            let micros = 1_772_438_400_000_000 + u64::from(n) * APART;
            let length = frame.len() as u32;
            for word in [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32, length, length] {
                out.write_all(&word.to_le_bytes())?;
            }
            out.write_all(frame)
        })
    }

    /// Hands over about `packets` Ethernet frames, each with its number.
    pub fn frames<E>(self, packets: u32, mut each: impl FnMut(u32, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut maker = Maker { dice: Dice::new(11), frame: Vec::with_capacity(2_048) };
        for n in 0..packets {
            match self {
                Self::Everything => {
                    let kinds = EACH.len() as u32;
                    maker.make(EACH[(n % kinds) as usize], n / kinds);
                }
                kind => maker.make(kind, n),
            }
            each(n, &maker.frame)?;
        }
        Ok(())
    }
}

/// Connections that [`Flood::Overlaps`], [`Flood::Mllp`] and [`Flood::Dicom`] keep open, and the packets each gets before
/// another takes its place.
const CONNECTIONS: u32 = 5_000;

/// A connection of a flood: its place among those open at once, the packets it has had, and how often the place was used.
const fn connection(n: u32) -> (u32, u32, u32) {
    let round = n / CONNECTIONS;
    (n % CONNECTIONS, round % 64, round / 64)
}

/// Makes one frame after the other in one place.
struct Maker {
    dice: Dice,
    frame: Vec<u8>,
}

/// Addresses of floods are none of the ward's.
const SERVER: [u8; 4] = [10, 119, 0, 9];

const fn mac_of(ip: [u8; 4]) -> [u8; 6] {
    [0, 0x1b, ip[0], ip[1], ip[2], ip[3]]
}

impl Maker {
    fn make(&mut self, kind: Flood, n: u32) {
        match kind {
            Flood::Tuples => self.tuple(n, false),
            Flood::Answered => self.tuple(n / 2, n % 2 == 1),
            Flood::Syn => {
                let [a, b, c, d] = self.dice.below(u32::MAX).to_be_bytes();
                let from = [a % 223 + 1, b, c, d];
                let port = 1_024 + self.dice.below(60_000) as u16;
                self.ipv4([0, 0x1b, 10, 119, 0, 1], mac_of(SERVER), from, SERVER, 6, n as u16, 0);
                self.tcp(port, 104, n.wrapping_mul(2_654_435_761), 2, b"");
            }
            Flood::Hosts => {
                let [_, b, c, d] = n.to_be_bytes();
                let (from, to) = ([10, 128 | b, c, d], [10, 128 | b, c, d ^ 1]);
                self.ipv4(mac_of(from), mac_of(to), from, to, 17, n as u16, 0);
                self.udp(40_000, 9_999, b"hello");
            }
            Flood::Macs => self.arp(n),
            Flood::Clients => self.dhcp(n, n),
            Flood::Names => self.dhcp(n % 7, n),
            Flood::Domains => self.dns(n),
            Flood::Overlaps => self.overlap(n),
            Flood::Fragments => {
                let [_, b, c, d] = self.dice.below(1 << 24).to_be_bytes();
                self.ipv4(
                    [0, 0x1b, 10, 119, 0, 1],
                    mac_of(SERVER),
                    [10, b, c, d],
                    SERVER,
                    17,
                    n as u16,
                    0x2000,
                );
                let length = 8 * (1 + self.dice.below(150) as usize);
                let data = [0x5a; 1_200];
                self.payload(&data[..length]);
            }
            Flood::Mllp => self.mllp(n),
            Flood::Dicom => self.dicom(n),
            Flood::Segments => self.segment(n),
            Flood::Everything => {}
        }
    }

    /// A conversation of one packet, or of a packet and its answer, between two of some thousands of hosts.
    fn tuple(&mut self, n: u32, answer: bool) {
        let (host, turn) = (n % 2_000, n / 2_000);
        let (client, server) =
            ([10, 120, (host >> 8) as u8, host as u8], [10, 119, 0, (turn % 40) as u8 + 1]);
        let port = 10_000 + (turn / 40 % 50_000) as u16;
        let service = 20_000 + (turn / 2_000_000) as u16;
        let ports = (port, service);
        let (from, to, ports) =
            if answer { (server, client, (ports.1, ports.0)) } else { (client, server, ports) };
        self.ipv4(mac_of(from), mac_of(to), from, to, 17, n as u16, 0);
        self.udp(ports.0, ports.1, b"0123456789");
    }

    fn begin(&mut self, dst: [u8; 6], src: [u8; 6]) {
        self.frame.clear();
        self.frame.extend(dst);
        self.frame.extend(src);
    }

    fn arp(&mut self, n: u32) {
        let mac = self.random_mac(n);
        let [_, b, c, d] = n.to_be_bytes();
        self.begin([0xff; 6], mac);
        self.frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        self.frame.extend(mac);
        self.frame.extend([10, 64 | b & 63, c, d]);
        self.frame.extend([0; 6]);
        self.frame.extend(SERVER);
    }

    /// Half of them with the prefix of a maker, half made up.
    fn random_mac(&self, n: u32) -> [u8; 6] {
        let [a, b, c, d] = n.wrapping_mul(2_654_435_761).to_be_bytes();
        if n.is_multiple_of(2) { [0, 0x1b, a, b, c, d] } else { [2, 0x77, a, b, c, d] }
    }

    /// DISCOVER of client `n`, which says that it is called something with `name` in it.
    fn dhcp(&mut self, n: u32, name: u32) {
        let mac = self.random_mac(n);
        self.ipv4(mac, [0xff; 6], [0; 4], [255; 4], 17, name as u16, 0);
        let mut data = vec![1, 1, 6, 0];
        data.extend(name.to_be_bytes());
        data.resize(28, 0);
        data.extend(mac);
        data.resize(236, 0);
        data.extend([99, 130, 83, 99, 53, 1, 1, 61, 9, 0]);
        data.extend((0xfeed_0000_0000_u64 | u64::from(n)).to_be_bytes());
        let name = format!("client-{name:08x}");
        for (code, text) in [(12, name.as_bytes()), (60, b"MSFT 5.0"), (55, &[1, 3, 6, 15, 31])] {
            data.extend([code, text.len() as u8]);
            data.extend(text);
        }
        data.push(255);
        self.udp(68, 67, &data);
    }

    /// An answer that gives an address for a name.
    fn dns(&mut self, n: u32) {
        let [_, b, c, d] = n.to_be_bytes();
        let ip = if n.is_multiple_of(2) { [203, b, c, d] } else { SERVER };
        let client = [10, 120, 0, 1];
        self.ipv4(mac_of(SERVER), mac_of(client), SERVER, client, 17, n as u16, 0);
        let mut data = vec![0x47, 0x11, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        for label in [format!("host-{n:08x}"), format!("domain-{n:08x}"), "example".to_owned()] {
            data.push(label.len() as u8);
            data.extend(label.as_bytes());
        }
        data.extend([0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4]);
        data.extend(ip);
        self.udp(53, 40_000, &data);
    }

    /// Client and port of a connection.
    fn client(&mut self, place: u32, life: u32) -> ([u8; 4], u16) {
        let host = place % 2_000;
        ([10, 120, (host >> 8) as u8, host as u8], 20_000 + ((place / 2_000 + life * 25) % 40_000) as u16)
    }

    fn segment_of(&mut self, n: u32, place: u32, life: u32, port: u16, seq: u32, data: &[u8]) {
        let (client, from) = self.client(place, life);
        self.ipv4(mac_of(client), mac_of(SERVER), client, SERVER, 6, n as u16, 0);
        self.tcp(from, port, seq, 24, data);
    }

    fn overlap(&mut self, n: u32) {
        let (place, step, life) = connection(n);
        if step == 0 {
            return self.segment_of(n, place, life, 6_661, 1, b"\x0bMSH|^~\\&|A|B|C|D|");
        }
        // Beyond a hole that is never filled, anywhere up to half the sequence space.
        let far = 1_000 + self.dice.below(if step % 2 == 0 { 60_000 } else { u32::MAX / 2 });
        let length = 1 + self.dice.below(3) as usize;
        self.segment_of(n, place, life, 6_661, far, &b"xyz"[..length]);
    }

    fn mllp(&mut self, n: u32) {
        let (place, step, life) = connection(n);
        let mut data = [b'|'; 1_400];
        if step == 0 {
            data[..20].copy_from_slice(b"\x0bMSH|^~\\&|A|B|C|D|20");
        }
        self.segment_of(n, place, life, 6_661, 1 + step * 1_400, &data);
    }

    fn dicom(&mut self, n: u32) {
        let (place, step, life) = connection(n);
        let mut data = [0; 600];
        if step == 0 {
            // A P-DATA-TF that fills the segment, with the end of a data set: DICOM by its first bytes.
            data[..18].copy_from_slice(b"\x04\0\0\0\x02\x52\0\0\x02\x4e\x01\x02\x08\0\x16\0UI");
        } else if step == 1 {
            // The next one, with a fragment, is of 4 GiB.
            data[..12].copy_from_slice(b"\x04\0\xff\xff\xff\xff\xff\xff\xff\xf0\x01\x03");
        }
        self.segment_of(n, place, life, 104, 1 + step * 600, &data);
    }

    fn segment(&mut self, n: u32) {
        let (client, _) = self.client(n, 0);
        self.ipv4(mac_of(client), mac_of(SERVER), client, SERVER, 17, n as u16, 0);
        if n.is_multiple_of(2) {
            self.udp(40_000, 9_999, b"hello");
            let [_, b, c, d] = n.to_be_bytes();
            let tags = [0x88, 0xa8, b & 15, c, 0x81, 0, d & 15, d];
            self.frame.splice(12..12, tags);
            return;
        }
        let inside = self.frame.clone();
        let mut data = vec![8, 0, 0, 0];
        data.extend((n << 8).to_be_bytes());
        data.extend(&inside);
        data.extend([0; 8]);
        self.udp(40_000, 4_789, &data);
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of a header")]
    fn ipv4(
        &mut self,
        src_mac: [u8; 6],
        dst_mac: [u8; 6],
        src: [u8; 4],
        dst: [u8; 4],
        proto: u8,
        ident: u16,
        fragment: u16,
    ) {
        self.begin(dst_mac, src_mac);
        self.frame.extend([8, 0, 0x45, 0, 0, 20]);
        self.frame.extend(ident.to_be_bytes());
        self.frame.extend(fragment.to_be_bytes());
        self.frame.extend([64, proto, 0, 0]);
        self.frame.extend(src);
        self.frame.extend(dst);
    }

    fn payload(&mut self, bytes: &[u8]) {
        self.frame.extend(bytes);
        let length = (self.frame.len() - 14) as u16;
        self.frame[16..18].copy_from_slice(&length.to_be_bytes());
    }

    fn udp(&mut self, src: u16, dst: u16, data: &[u8]) {
        self.frame.extend(src.to_be_bytes());
        self.frame.extend(dst.to_be_bytes());
        self.frame.extend((8 + data.len() as u16).to_be_bytes());
        self.frame.extend([0, 0]);
        self.payload(data);
    }

    fn tcp(&mut self, src: u16, dst: u16, seq: u32, flags: u8, data: &[u8]) {
        self.frame.extend(src.to_be_bytes());
        self.frame.extend(dst.to_be_bytes());
        self.frame.extend(seq.to_be_bytes());
        self.frame.extend(1u32.to_be_bytes());
        self.frame.extend([0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        self.payload(data);
    }
}

/// Microseconds between two frames of a flood: a hundred thousand a second.
const APART: u64 = 10;
