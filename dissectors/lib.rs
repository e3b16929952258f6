//! Protocol dissectors: one folder per protocol, each a [`Dissector`] value in [`REGISTRY`].
//!
//! A dissector takes bytes and pushes facts. It knows no clock, file, socket or other dissector, and it is total: any
//! bytes at all give facts, a [`Malformed`], or nothing — never a panic, never a loop, never growth. It returns
//! allow-listed identity fields and steps over the rest by length, so that patient data has no way in.
//!
//! To add one: a folder with `mod.rs` (its [`Dissector`]; docs on what it learns, what it steps over, the standard and
//! clause), `wire.rs` (bytes to message), `observe.rs` (message to facts) and `fixtures/*.pcap` with golden `.txt`
//! files, then two lines here. Tests, fuzzing, `wardwatch protocols` and the documentation pick it up from there.
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::string_slice
    )
)]

mod about;
pub mod arp;
pub mod cdp;
pub mod dhcp;
pub mod dicom;
pub mod dns;
pub mod hl7;
#[cfg(any(test, feature = "hostile"))]
pub mod hostile;
pub mod lldp;
pub mod tls;
pub mod wire;

use model::{Confidence, Fact, IpProto, Mac, Observation, Side, Subject, Timestamp, Vlan};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// Every dissector, in the order in which they are probed.
pub static REGISTRY: &[&Dissector] = &[
    &arp::DISSECTOR,
    &dhcp::DISSECTOR,
    &lldp::DISSECTOR,
    &cdp::DISSECTOR,
    &hl7::DISSECTOR,
    &dicom::DISSECTOR,
    &dns::DISSECTOR,
    &tls::DISSECTOR,
];

/// A protocol: what it is, where it is found, and how it is read.
#[derive(Debug)]
pub struct Dissector {
    /// Short name, lower case, stable: the `by` of its observations and the `app` of its flows.
    pub name: &'static str,
    /// One line: the full name and the standard.
    pub about: &'static str,
    /// Where it is found without looking at content.
    pub claims: &'static [Claim],
    /// What it can learn: attribute keys and fact names, for the documentation.
    pub attributes: &'static [&'static str],
    /// Finds it on a port nobody claims, from the first bytes one side sends. `None` for protocols with a fixed place.
    pub probe: Option<fn(&[u8]) -> Probe>,
    /// How it is read.
    pub parse: Parse,
}

/// A fixed place in lower layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// An EtherType (DIX, SNAP with OUI 00-00-00, or the inner type of a VLAN tag).
    EtherType(u16),
    /// An 802.2 SNAP organisation and protocol id.
    Snap {
        /// Organisation.
        oui: [u8; 3],
        /// Protocol.
        pid: u16,
    },
    /// A UDP port, on either end.
    Udp(u16),
    /// A TCP port, on either end. With a probe too, the probe decides and the port only names a silent service.
    Tcp(u16),
}

/// What a probe makes of the first bytes of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is this protocol.
    Yes,
    /// It is not.
    No,
    /// Too few bytes to tell.
    More,
}

/// How a protocol is read.
pub enum Parse {
    /// Each PDU stands alone. What was pushed before a [`Malformed`] still counts.
    Datagram(Datagram),
    /// Both directions of one TCP connection, reassembled.
    Stream(Stream),
    /// Either, as the transport has it.
    Both(Datagram, Stream),
}

/// Reads one PDU.
pub type Datagram = fn(&Pdu<'_>, &mut Sink<'_>) -> Result<(), Malformed>;

/// Begins to read a connection.
pub type Stream = fn() -> Box<dyn Session>;

impl Parse {
    /// How it is read where each PDU stands alone.
    pub const fn datagram(&self) -> Option<Datagram> {
        match self {
            Self::Datagram(parse) | Self::Both(parse, _) => Some(*parse),
            Self::Stream(_) => None,
        }
    }

    /// How a connection of it is read.
    pub const fn stream(&self) -> Option<Stream> {
        match self {
            Self::Stream(open) | Self::Both(_, open) => Some(*open),
            Self::Datagram(_) => None,
        }
    }
}

impl fmt::Debug for Parse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Datagram(_) => "Datagram",
            Self::Stream(_) => "Stream",
            Self::Both(..) => "Both",
        })
    }
}

/// One connection's dissection. It must hold a bounded amount of state whatever it is fed.
pub trait Session: Send {
    /// Bytes of one side, in order, without holes: what [`Progress::Consumed`] left of the last call, and what came
    /// since. Called only when there are bytes that the session has not seen yet.
    fn data(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Progress;

    /// `lost` bytes of one side will never come (0 when unknown, as at mid-stream pickup). They follow what was
    /// consumed; unconsumed bytes before the hole have been dropped. Resynchronise, never guess.
    fn gap(&mut self, side: Side, lost: u64);

    /// A side ended the connection before the other did, by FIN or RST. Told once, before the connection is closed; not at all
    /// where it was only idle, or where what was seen of it ends.
    fn left(&mut self, side: Side) {
        let _ = side;
    }

    /// One side, or both one after the other, will send no more; `pdu.bytes` is what was left unconsumed, maybe nothing.
    fn closed(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let _ = (pdu, sink);
    }

    /// Bytes it holds besides its own fields, rather too many than too few: all that grows with what it is fed. Asked
    /// after every call, so it is worked out from lengths.
    fn held(&self) -> usize {
        0
    }
}

/// What a session did with the bytes it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// This many bytes are done with. Fewer than shown: the rest is shown again with what follows (up to
    /// [`MAX_UNCONSUMED`], beyond which it is dropped and reported as a gap). More than shown: the bytes that follow are
    /// stepped over without being buffered or shown, and a hole in them is not reported.
    Consumed(u64),
    /// Nothing more is wanted of this flow; it is only counted from here on.
    Done,
}

/// Most bytes of one direction that wait for a session to consume them.
pub const MAX_UNCONSUMED: usize = 64 * 1024;

/// A unit of data for a dissector, and where it came from.
#[derive(Clone, Copy, Debug)]
pub struct Pdu<'a> {
    /// The frame that completed it.
    pub no: u64,
    /// When that frame was captured.
    pub ts: Timestamp,
    /// VLAN scope.
    pub vlan: Vlan,
    /// Link-layer source; `None` where the link has none.
    pub src_mac: Option<Mac>,
    /// Link-layer destination, which may be that of a router or of who poses as the end.
    pub dst_mac: Option<Mac>,
    /// Network source, unspecified (`0.0.0.0`) for link-layer protocols.
    pub src: IpAddr,
    /// Network destination.
    pub dst: IpAddr,
    /// Source port, 0 where there is none.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Transport; protocol 0 for link-layer protocols.
    pub proto: IpProto,
    /// Which end of the flow key sent it ([`Side::Low`] for link-layer protocols).
    pub side: Side,
    /// The payload.
    pub bytes: &'a [u8],
    /// Whether the snap length cut the payload short.
    pub truncated: bool,
}

impl Pdu<'_> {
    /// The sending host.
    pub const fn sender(&self) -> Subject {
        Subject::Ip(self.vlan, self.src)
    }

    /// The receiving host.
    pub const fn receiver(&self) -> Subject {
        Subject::Ip(self.vlan, self.dst)
    }

    /// The sending port.
    pub const fn sender_port(&self) -> Subject {
        Subject::Endpoint(self.vlan, self.src, self.proto, self.src_port)
    }

    /// The receiving port.
    pub const fn receiver_port(&self) -> Subject {
        Subject::Endpoint(self.vlan, self.dst, self.proto, self.dst_port)
    }
}

/// Where a dissector puts what it learns.
#[derive(Debug)]
pub struct Sink<'a> {
    out: &'a mut Vec<Observation>,
    by: &'static str,
    no: u64,
    ts: Timestamp,
    /// The ends of the frame: who sent, and to whom.
    ends: [(IpAddr, Option<Mac>); 2],
    memory: Option<&'a mut Memory>,
}

/// What dissectors of datagrams have worked out of bytes that come again and again, so that it need not be worked out anew.
/// It is never more than a saving: with any memory, or none, the same bytes teach the same. Bounded: 64 kinds of DHCP
/// software, some kilobytes each at most; another takes the place of one.
#[derive(Debug, Default)]
pub struct Memory {
    dhcp: dhcp::Profiles,
}

impl<'a> Sink<'a> {
    /// A sink for what one frame teaches.
    pub const fn new(out: &'a mut Vec<Observation>, by: &'static str, no: u64, ts: Timestamp) -> Self {
        let nowhere = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), None);
        Self { out, by, no, ts, ends: [nowhere; 2], memory: None }
    }

    /// The same, of a frame of which it is known between which stations it went.
    pub const fn between(mut self, from: (IpAddr, Option<Mac>), to: (IpAddr, Option<Mac>)) -> Self {
        self.ends = [from, to];
        self
    }

    /// The same, for dissectors that remember what they have worked out.
    pub const fn remembering(mut self, memory: &'a mut Memory) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Pushes one fact. `field` is where it was read, in the standard's own words.
    pub fn learn(&mut self, subject: Subject, field: &'static str, confidence: Confidence, fact: Fact) {
        let [from, to] = self.ends;
        let macs = match (subject, subject.address()) {
            (_, Some((_, ip))) if ip == from.0 => [from.1, to.1],
            (_, Some((_, ip))) if ip == to.0 => [to.1, from.1],
            (Subject::Mac(mac), _)
                if from.1 != Some(mac) && matches!(fact, Fact::Binding { .. } | Fact::Lease(_)) =>
            {
                [from.1, None]
            }
            _ => [None, None],
        };
        self.out.push(Observation {
            no: self.no,
            ts: self.ts,
            by: self.by,
            field,
            subject,
            macs,
            confidence,
            fact,
        });
    }

    /// Pushes an oddity: something that should not be, and is not fatal.
    pub fn weird(&mut self, subject: Subject, what: &'static str, at: usize) {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.learn(subject, "", Confidence::STATED, Fact::Weird { what, at });
    }
}

/// Bytes that are not what the protocol says. Not an event of its own: the flow stage turns it into a
/// [`Fact::Weird`] about the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What, in a few words, without any byte of the content.
    pub what: &'static str,
    /// Offset in the PDU.
    pub at: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.what, self.at)
    }
}

impl std::error::Error for Malformed {}
