//! What the inventory knows, as rows: the unit of storage and of export.
//!
//! Rows are upserts. A later row with the same key replaces the earlier one; a run that continues from stored rows
//! must end with the same rows as one that was never interrupted.

use crate::{
    Attribute, DeviceClass, EdgeState, Finding, FindingId, IpProto, Lease, Mac, Text, Timestamp, Vlan,
};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// A device's number in the order of discovery, from 1. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub u32);

/// `d17`.
impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("d{}", self.0))
    }
}

impl DeviceId {
    /// Reads `d17`.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix('d')?.parse().ok().filter(|n| *n > 0).map(Self)
    }
}

/// What kind of identity ties observations to a device, strongest first (design §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// A MAC that is not a router's shared one.
    Mac,
    /// A DHCP client identifier that is not just the MAC.
    ClientId,
    /// An SMBIOS UUID.
    Uuid,
    /// An identity an application carries: LLDP-MED serial, DICOM serial and model, HL7 equipment identifier.
    Application,
    /// An address in a VLAN scope, for devices only heard behind a router.
    Address,
}

/// One device: what the evidence adds up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub id: DeviceId,
    /// The identities it is found by, sorted. Kept so that a later capture finds the same device.
    pub keys: Vec<(KeyKind, String)>,
    /// MACs, sorted.
    pub macs: Vec<Mac>,
    /// Addresses held at the end of what was seen, with their scope, sorted; those that newer ones took the place of come
    /// last.
    pub addresses: Vec<(Vlan, IpAddr)>,
    /// Addresses it held when it was last heard, in the same order: those above, and those that passed on to others while it
    /// was silent. They say where it lives; its row does not hold them, as the spans of its addresses do.
    pub lived: Vec<(Vlan, IpAddr)>,
    /// The best-supported value of each single-valued attribute, and every value of the many-valued ones (host names,
    /// software), sorted by attribute, best first.
    pub attributes: Vec<(Attribute, Text)>,
    /// What it is, [`DeviceClass::Unknown`] when the vote is weak.
    pub class: DeviceClass,
    /// How the vote went, heaviest first.
    pub votes: Vec<Vote>,
    /// Everything it was seen to do, in plain words (`DICOM storage SCU`), sorted.
    pub roles: Vec<Text>,
    /// Whether it forwards packets of others.
    pub router: bool,
    /// Where it is plugged in.
    pub attachment: Option<Attachment>,
    /// VLANs it was seen in, sorted.
    pub vlans: Vec<Vlan>,
    /// SOP class UIDs it uses or provides, sorted.
    pub sop_classes: Vec<Text>,
    /// DICOM implementations: class UID and version name, sorted.
    pub implementations: Vec<(Text, Option<Text>)>,
    /// The device it was heard through, when it was never heard itself (a pump behind a gateway).
    pub behind: Option<DeviceId>,
    /// When it was first heard of.
    pub first: Timestamp,
    /// When it was last heard, or, of one that never was itself, spoken of.
    pub last: Timestamp,
}

impl Device {
    /// The best value of a single-valued attribute.
    pub fn attribute(&self, attribute: &Attribute) -> Option<&Text> {
        self.attributes_of(attribute).next()
    }

    /// Every value of an attribute, best first.
    pub fn attributes_of(&self, attribute: &Attribute) -> impl Iterator<Item = &Text> {
        self.attributes.iter().filter(move |(name, _)| name == attribute).map(|(_, value)| value)
    }
}

/// One side of the vote on a device's class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The class voted for.
    pub class: DeviceClass,
    /// Its weight, after saturation and discounts.
    pub weight: u16,
    /// The reasons, heaviest first: `DICOM storage SCU of CT (3 associations)`.
    pub reasons: Vec<Text>,
}

/// A place in the network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attachment {
    /// Switch, access point or relay agent.
    pub switch: Option<Text>,
    /// Its port.
    pub port: Option<Text>,
}

/// What makes two pieces of evidence the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EvidenceKey {
    /// Whose.
    pub device: DeviceId,
    /// Which attribute.
    pub attribute: Attribute,
    /// With what value.
    pub value: Text,
    /// Who said so.
    pub source: Cow<'static, str>,
    /// In which field.
    pub field: Cow<'static, str>,
}

/// One value of one attribute as one source gave it. Conflicting evidence stands side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What it says, and who says it.
    pub key: EvidenceKey,
    /// How far to trust it, in per cent.
    pub confidence: u8,
    /// When it was first said.
    pub first: Timestamp,
    /// When it was last said.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
}

/// A span of time during which a device held an address. Key: (device, vlan, ip, first).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The holder.
    pub device: DeviceId,
    /// The scope.
    pub vlan: Vlan,
    /// The address.
    pub ip: IpAddr,
    /// From when.
    pub first: Timestamp,
    /// Last confirmed.
    pub last: Timestamp,
    /// Taken by another device, given back or expired at; `None` while it holds.
    pub until: Option<Timestamp>,
    /// The strongest way it is known: `lease`, `claim`, `advertised`, `relayed` (leased through a relay), `sent`, `sent to`.
    pub how: Cow<'static, str>,
}

/// One entry of a device's lease history. Key: (device, ts, n).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseEntry {
    /// The client.
    pub device: DeviceId,
    /// When.
    pub ts: Timestamp,
    /// Which of several at the same instant.
    pub n: u32,
    /// The message.
    pub lease: Lease,
}

/// A port a device was seen to serve. Key: (device, transport, port).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The server.
    pub device: DeviceId,
    /// Transport.
    pub transport: IpProto,
    /// Port.
    pub port: u16,
    /// Application protocol, found by content.
    pub application: Option<Cow<'static, str>>,
    /// When it was first seen to answer.
    pub first: Timestamp,
    /// When it was last seen to answer.
    pub last: Timestamp,
    /// Flows that used it.
    pub count: u64,
}

/// Two devices found to be one. Key: (into, from, at). Taking it back gives `from` its keys again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The device that stays.
    pub into: DeviceId,
    /// The device that went up in it.
    pub from: DeviceId,
    /// When.
    pub at: Timestamp,
    /// The evidence, in plain words.
    pub why: Text,
    /// When it was taken back, and why.
    pub undone: Option<(Timestamp, Text)>,
}

/// A peer that is no device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stranger {
    /// Known by its address; outside the site by that of its network, /24 or /48.
    Address(IpAddr),
    /// Outside the site and known by the domain that somebody registered, wherever it is hosted.
    Domain(Text),
}

impl Stranger {
    /// The address, where it is known by one.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(ip) => Some(*ip),
            Self::Domain(_) => None,
        }
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => write!(f, "{ip}"),
            Self::Domain(domain) => write!(f, "{domain}"),
        }
    }
}

/// What makes two conversations the same habit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKey {
    /// The device that asks.
    pub client: DeviceId,
    /// The device that serves; `None` for a peer that is no device (outside the site, a group address).
    pub server: Option<DeviceId>,
    /// The peer where it is no device.
    pub peer: Option<Stranger>,
    /// Whether the peer asks and the device serves: so it is where the asker is no device.
    pub inbound: bool,
    /// Transport.
    pub transport: IpProto,
    /// The server's port; 0 where the transport has none or the port is negotiated.
    pub port: u16,
    /// Application protocol.
    pub application: Option<Cow<'static, str>>,
}

/// A habit: one device talks to one peer for one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who, with whom, for what.
    pub key: EdgeKey,
    /// First flow.
    pub first: Timestamp,
    /// Last flow.
    pub last: Timestamp,
    /// Flows.
    pub flows: u64,
    /// Flows that were no conversation of their own: nobody answered, or they are parts of a longer one.
    pub parts: u32,
    /// Of an edge that is still fresh, whether what it was used for was told all the same: by rules about what happens, and by
    /// those about how things are.
    pub told: [bool; 2],
    /// Packets, client then server.
    pub packets: [u64; 2],
    /// Bytes, client then server.
    pub bytes: [u64; 2],
    /// Requests by kind and outcome, sorted: (`ORU^R01`, `AA`, 12).
    pub exchanges: Vec<(Text, Option<Text>, u64)>,
    /// Histogram of answer latencies in microseconds (HdrHistogram V2 encoding), empty when none was measured.
    pub latency: Vec<u8>,
    /// Hours in which it was used.
    pub hours: u32,
    /// The last of them, counted from 1970-01-01T00:00Z.
    pub last_hour: i32,
    /// What it is to the baseline.
    pub state: EdgeState,
    /// Of a feed of messages, what is normal of its pauses; empty of others. Only the baseline reads it.
    pub feed: Vec<u8>,
}

/// One row to write, but for flow records, which are only ever added. Deletions do not exist but for what a cap evicts, which is counted.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A device is new or its summary changed.
    Device(Box<Device>),
    /// A device was merged away or evicted; its rows go with it.
    DeviceGone(DeviceId),
    /// Evidence is new or was confirmed.
    Evidence(Box<Evidence>),
    /// Evidence fell to a cap or moved to another device.
    EvidenceGone(Box<EvidenceKey>),
    /// An address span began, was confirmed or ended.
    Address(Box<Address>),
    /// An address span was withdrawn or moved to another device: (device, vlan, ip, first).
    AddressGone(DeviceId, Vlan, IpAddr, Timestamp),
    /// A lease entry was added.
    Lease(Box<LeaseEntry>),
    /// A lease entry was withdrawn: (device, ts, n).
    LeaseGone(DeviceId, Timestamp, u32),
    /// A service is new or was confirmed.
    Service(Box<Service>),
    /// A service was withdrawn: (device, transport, port).
    ServiceGone(DeviceId, IpProto, u16),
    /// A merge happened or was taken back.
    Merge(Box<Merge>),
    /// All edges of a client, by key, some of which are new, were used, or are no more.
    Edges(DeviceId, Vec<Edge>),
    /// What is learned of a device's habits besides its edges. Only the baseline reads it.
    Habit(DeviceId, Vec<u8>),
    /// A device's habits went with it.
    HabitGone(DeviceId),
    /// What the baseline and its rules, or the inventory, know of the site as a whole, under a name. Only they read it.
    Site(Cow<'static, str>, Vec<u8>),
    /// A finding is new or was seen again.
    Finding(Box<Finding>),
    /// A finding is one with another.
    FindingGone(FindingId),
}
