//! One edge: what is counted of a habit, and its row.

use crate::feed::{FEED, Feed};
use crate::site::{Site, network};
use crate::table::{Entry, Far, Key, Table};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use inventory::{Resolved, Sign};
use model::{
    DeviceId, Edge, EdgeKey, EdgeState, Flow, FlowState, IpProto, LeaseMessage, OriginatorBy, Text, Timestamp,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Longest latency that is told apart, in microseconds: an hour. Longer ones count as this.
const MAX_LATENCY: u64 = 3_600_000_000;
/// Server ports from here on are negotiated per conversation unless the content says what they are for; of UDP they are so
/// from lower down, as speech and pictures are sent to any of them (RFC 3551 §8).
const DYNAMIC_PORTS: u16 = 32_768;
const DYNAMIC_UDP_PORTS: u16 = 16_384;

/// Whether a port is negotiated per conversation, unless the content says what it is for.
pub(crate) const fn is_negotiated(transport: IpProto, port: u16) -> bool {
    port >= if transport.0 == IpProto::UDP.0 { DYNAMIC_UDP_PORTS } else { DYNAMIC_PORTS }
}

/// The application whose conversations are one habit, whoever answers; and its server's port.
const LEASES: &str = "dhcp";
const LEASE_PORT: u16 = 67;

/// What is counted of one edge.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) flows: u64,
    packets: [u64; 2],
    bytes: [u64; 2],
    /// Of most edges no requests are read; what is used with every conversation stands together.
    requests: Option<Box<Requests>>,
    /// Hours in which it was used, and the last of them.
    pub(crate) hours: u32,
    pub(crate) last_hour: i32,
    /// Flows since it was judged last, and whether it ever was.
    pub(crate) unjudged: u32,
    pub(crate) was_judged: bool,
    /// Flows that were no conversation of their own: nobody answered, or they are parts of a longer one.
    parts: u16,
    /// Conversations since it was judged last, and, in a bit for each kind of rules, whether those about what happens and
    /// those about how things are told of the first of them while it was fresh.
    untold: u16,
    told: u8,
    /// What it is to the baseline.
    pub(crate) standing: EdgeState,
    /// It waits to be judged.
    pub(crate) waits: bool,
    /// It waits to be asked how it is when the hour is over.
    pub(crate) waits_for_hour: bool,
    /// It waits because an end of it turned out to be for something else.
    pub(crate) is_other: bool,
    pub(crate) dirty: bool,
    /// It stands in the table.
    pub(crate) is_there: bool,
}

/// What is counted of the requests of an edge.
#[derive(Clone, Debug, Default)]
struct Requests {
    kinds: BTreeMap<(Text, Option<Text>), u64>,
    /// Bytes of the texts of those.
    text: usize,
    latency: Option<Histogram<u32>>,
    /// Of a feed of messages, its pauses.
    feed: Option<Feed>,
}

impl Requests {
    fn weight(&self) -> usize {
        let kinds = match self.kinds.len() {
            0 => 0,
            n => KINDS + n * (2 * size_of::<((Text, Option<Text>), u64)>() + KIND) + self.text,
        };
        let feed = if self.feed.is_some() { FEED } else { 0 };
        let latency = if self.latency.is_some() { HISTOGRAM } else { 0 };
        size_of::<Self>() + ALLOCATION + kinds + feed + latency
    }

    /// Adds what was counted under another key of the same habit; how many kinds did not fit.
    fn absorb(&mut self, other: Self, max_kinds: usize) -> u64 {
        let mut lost = 0;
        for (key, count) in other.kinds {
            if self.kinds.len() < max_kinds || self.kinds.contains_key(&key) {
                let text = text_of(&key.0, &key.1);
                let sum = self.kinds.entry(key).or_insert_with(|| {
                    self.text += text;
                    0
                });
                *sum = sum.saturating_add(count);
            } else {
                lost += 1;
            }
        }
        match (&mut self.feed, other.feed) {
            (Some(own), Some(other)) => own.absorb(&other),
            (own, other) => *own = own.take().or(other),
        }
        match (&mut self.latency, other.latency) {
            (Some(own), Some(other)) => {
                // Same bounds, so it cannot fail; if it did, our own measurements stand.
                let _ = own.add(&other);
            }
            (own, other) => *own = own.take().or(other),
        }
        lost
    }
}

/// What an allocation takes besides what was asked for.
const ALLOCATION: usize = 24;
/// An edge: its entry, its place in the indexes, and among those used once, where maps are little more than half full.
const EDGE: usize = size_of::<Entry>() + 64 + size_of::<(Timestamp, Key)>() * 2;
/// Bytes that have to be free for an edge.
pub(crate) const LEAST: usize = EDGE;
/// The first room of a map of kinds, and a kind in it.
const KINDS: usize = 11 * size_of::<((Text, Option<Text>), u64)>();
const KIND: usize = 2 * ALLOCATION;
/// A histogram of latencies: counts of four bytes, 16 for each doubling up to the longest.
const HISTOGRAM: usize = 3 * 1024;

/// The edge that an event belongs to; `None` for a conversation between two who are no devices, and for what is no
/// conversation, request or lease.
pub(crate) fn key(resolved: &Resolved, table: &mut Table, site: &Site) -> Option<Key> {
    match resolved {
        Resolved::Flow { flow, domain, lease_of } => {
            key_of_flow(flow, domain.as_ref(), *lease_of, table, site)
        }
        Resolved::Exchange { client, server, peer, domain, port, application, .. } => {
            let peer = if server.is_none() { Some(far(*peer, domain.as_ref(), table, site)) } else { None };
            let number = table.application(Some((*application).into()));
            Some(Table::with(*client, (*server, peer, false), IpProto::TCP, *port, number))
        }
        // Who has no address yet asks everybody, and all who do so are one conversation: the answer says who it was.
        Resolved::Sign { device, sign: Sign::Lease(lease), .. } => {
            (lease.message == LeaseMessage::Ack).then(|| lease_key(*device, table))
        }
        Resolved::Renamed { .. } | Resolved::Sign { .. } => None,
    }
}

/// What a C-GET brings comes over the association of whoever asked (PS3.4 C.4.3): its port is nobody's service, unless it is
/// known to be.
pub(crate) const fn may_be_brought(is_store: bool, port: u16) -> bool {
    is_store && port >= DYNAMIC_PORTS
}

/// Peers outside are counted by domain, wherever that is hosted today; else by network.
fn far(ip: IpAddr, domain: Option<&Text>, table: &mut Table, site: &Site) -> Far {
    if !site.is_outside(ip) {
        return Far::Address(ip);
    }
    let number = domain.and_then(|domain| table.domains.number(domain));
    number.map_or_else(|| Far::Address(network(ip)), Far::Domain)
}

pub(crate) fn lease_key(device: DeviceId, table: &mut Table) -> Key {
    let application = table.application(Some(LEASES.into()));
    Table::with(device, (None, None, false), IpProto::UDP, LEASE_PORT, application)
}

fn key_of_flow(
    flow: &Flow,
    domain: Option<&Text>,
    lease_of: Option<DeviceId>,
    table: &mut Table,
    site: &Site,
) -> Option<Key> {
    let record = &flow.record;
    let [(asker, client_port), (ip, port)] = record.ends();
    // What the port only is guessed to be for is no application.
    let app = record.app.filter(|_| record.app_by_content);
    // Leases are asked of whoever answers, and addresses come and go: that a device takes part is all there is to learn.
    if app == Some(LEASES) && record.key.proto == IpProto::UDP {
        return Some(lease_key(flow.devices[0].or(flow.devices[1])?, table));
    }
    // An error, or a ping that nobody answered, joins nobody.
    if matches!(record.key.proto, IpProto::ICMP | IpProto::ICMPV6) && record.packets[1] == 0 {
        return None;
    }
    // A ping of the router by who has just been given an address is part of that.
    if let Some(client) = lease_of {
        return Some(lease_key(client, table));
    }
    // Of two ports of which neither is known, the lower one is the service's; what was heard first may be the answer.
    let reversed = record.originator_by == OriginatorBy::FirstPacket && port > client_port.max(1023);
    let negotiated = app.is_none() && (is_negotiated(record.key.proto, port) || reversed);
    let port = if negotiated || !record.key.proto.has_ports() { 0 } else { port };
    let application = table.application(app.map(Into::into));
    let (device, others) = match flow.devices {
        [Some(client), server] => (
            client,
            (server, if server.is_none() { Some(far(ip, domain, table, site)) } else { None }, false),
        ),
        [None, Some(server)] => (server, (None, Some(far(asker, domain, table, site)), true)),
        [None, None] => return None,
    };
    Some(Table::with(device, others, record.key.proto, port, application))
}

fn text_of(kind: &Text, outcome: &Option<Text>) -> usize {
    kind.as_str().len() + outcome.as_ref().map_or(0, |outcome| outcome.as_str().len())
}

fn histogram() -> Option<Histogram<u32>> {
    Histogram::new_with_bounds(1, MAX_LATENCY, 1).ok()
}

impl State {
    pub(crate) const fn new(ts: Timestamp) -> Self {
        Self {
            first: ts,
            last: ts,
            flows: 0,
            packets: [0; 2],
            bytes: [0; 2],
            requests: None,
            hours: 0,
            last_hour: i32::MIN,
            unjudged: 0,
            was_judged: false,
            parts: 0,
            untold: 0,
            told: 0,
            standing: EdgeState::Learned,
            waits: false,
            waits_for_hour: false,
            is_other: false,
            dirty: true,
            is_there: false,
        }
    }

    /// Bytes that the edge takes.
    pub(crate) fn weight(&self) -> usize {
        EDGE + self.requests.as_ref().map_or(0, |requests| requests.weight())
    }

    /// The pauses of its feed, where it is one.
    pub(crate) fn feed(&self) -> Option<&Feed> {
        self.requests.as_ref()?.feed.as_ref()
    }

    /// A message of a feed, the first one if it has not been one yet and there is room.
    pub(crate) fn message(&mut self, ts: Timestamp, slot: u8, is_armed: bool, has_room: bool) {
        if self.requests.is_none() && !has_room {
            return;
        }
        let requests = self.requests.get_or_insert_default();
        if requests.feed.is_none() && has_room {
            requests.feed = Feed::new();
        }
        if let Some(feed) = &mut requests.feed {
            feed.message(ts, slot, is_armed);
        }
    }

    pub(crate) fn seen(&mut self, first: Timestamp, last: Timestamp) {
        self.first = self.first.min(first);
        self.last = self.last.max(last);
        self.dirty = true;
    }

    /// Whether it was used more than once.
    pub(crate) fn is_habit(&self) -> bool {
        self.flows > 1 || self.is_read()
    }

    /// A conversation; `turned` if the one who is taken for who asked is who answers here.
    pub(crate) fn flow(&mut self, flow: &Flow, turned: bool) {
        let record = &flow.record;
        self.seen(record.first, record.last);
        if record.packets != [0; 2] {
            self.flows = self.flows.saturating_add(1);
            self.unjudged = self.unjudged.saturating_add(1);
            // What goes on was counted when its first part was, and whoever was not answered had no conversation.
            let is_answered = record.packets[1] > 0 && record.state != FlowState::Rejected;
            if record.continued || !is_answered {
                self.parts = self.parts.saturating_add(1);
            } else {
                self.untold = self.untold.saturating_add(1);
            }
        }
        // A refusal is no answer: whoever was refused has reached nobody.
        let sides = if record.state == FlowState::Rejected { 1 } else { 2 };
        for side in 0..sides {
            let own = if turned { 1 - side } else { side };
            self.packets[own] = self.packets[own].saturating_add(record.packets[side]);
            self.bytes[own] = self.bytes[own].saturating_add(record.bytes[side]);
        }
    }

    /// How often it was used in all: conversations, the parts of one counted once.
    pub(crate) const fn conversations(&self) -> u64 {
        self.flows.saturating_sub(self.parts as u64)
    }

    /// Conversations that were not told yet, by rules about what happens and by those about how things are.
    pub(crate) fn untold(&self) -> [u64; 2] {
        // What is told while it is fresh is so little that it is one.
        [0, 1].map(|kind| u64::from(self.untold.saturating_sub(u16::from(self.told >> kind & 1))))
    }

    /// It was judged, and stays as fresh as it is: what it was used for was told by rules of some of both kinds. Whether that
    /// is new.
    pub(crate) fn tell(&mut self, by: [bool; 2]) -> bool {
        let before = self.told;
        self.told |= u8::from(by[0]) | u8::from(by[1]) << 1;
        self.told != before
    }

    /// It was judged.
    pub(crate) const fn settle(&mut self) {
        (self.unjudged, self.was_judged, self.untold, self.told) = (0, true, 0, 0);
    }

    /// Whether it was used in an hour for the first time; how many hours it was used in before.
    pub(crate) fn hour(&mut self, hour: i32) -> Option<u32> {
        if hour <= self.last_hour {
            return None;
        }
        self.last_hour = hour;
        self.hours = self.hours.saturating_add(1);
        Some(self.hours - 1)
    }

    /// Whether a request of it was ever read, so that it is known to be what its application says.
    pub(crate) fn is_read(&self) -> bool {
        self.requests.as_ref().is_some_and(|requests| !requests.kinds.is_empty())
    }

    /// Whether the other side ever answered.
    pub(crate) const fn is_answered(&self) -> bool {
        self.packets[1] > 0
    }

    pub(crate) const fn bytes(&self) -> [u64; 2] {
        self.bytes
    }

    /// False when the kind is one too many.
    pub(crate) fn exchange(
        &mut self,
        ts: Timestamp,
        kind: &Text,
        outcome: &Option<Text>,
        latency: Option<u64>,
        max_kinds: usize,
    ) -> bool {
        self.seen(ts, ts);
        // Where nothing more may be told apart, nothing more is measured either.
        if self.requests.is_none() && max_kinds == 0 {
            return false;
        }
        let requests = self.requests.get_or_insert_default();
        if let Some(nanos) = latency {
            requests.latency = requests.latency.take().or_else(|| (max_kinds > 0).then(histogram).flatten());
            if let Some(latency) = &mut requests.latency {
                latency.saturating_record((nanos / 1_000).min(MAX_LATENCY));
            }
        }
        // There are few, and most of the time it is one of them.
        let known = requests.kinds.iter_mut().find(|((k, o), _)| k == kind && o == outcome);
        if let Some((_, count)) = known {
            *count = count.saturating_add(1);
            return true;
        }
        let fits = requests.kinds.len() < max_kinds;
        if fits {
            requests.text += text_of(kind, outcome);
            requests.kinds.insert((kind.clone(), outcome.clone()), 1);
        }
        fits
    }

    /// Adds what was counted under another key of the same habit; how many kinds did not fit.
    pub(crate) fn absorb(&mut self, other: Self, max_kinds: usize) -> u64 {
        self.seen(other.first, other.last);
        self.flows = self.flows.saturating_add(other.flows);
        self.parts = self.parts.saturating_add(other.parts);
        self.untold = self.untold.saturating_add(other.untold);
        self.told |= other.told;
        for side in 0..2 {
            self.packets[side] = self.packets[side].saturating_add(other.packets[side]);
            self.bytes[side] = self.bytes[side].saturating_add(other.bytes[side]);
        }
        self.hours = self.hours.max(other.hours);
        self.last_hour = self.last_hour.max(other.last_hour);
        self.unjudged = self.unjudged.saturating_add(other.unjudged);
        self.was_judged |= other.was_judged;
        // What was normal of either is normal of both, but where something grave was done: nobody has approved of that.
        let is_grave = |standing| standing == EdgeState::Quarantined;
        if is_grave(other.standing) || (other.standing.is_normal() && !is_grave(self.standing)) {
            self.standing = other.standing;
        }
        match (&mut self.requests, other.requests) {
            (Some(own), Some(other)) => own.absorb(*other, max_kinds),
            (own, other) => {
                *own = own.take().or(other);
                0
            }
        }
    }

    pub(crate) fn row(&self, key: EdgeKey) -> Edge {
        let mut latency = Vec::new();
        let mut exchanges = Vec::new();
        if let Some(requests) = &self.requests {
            let kinds = requests.kinds.iter();
            exchanges = kinds.map(|((kind, outcome), n)| (kind.clone(), outcome.clone(), *n)).collect();
            if let Some(histogram) = &requests.latency {
                // Writing to memory cannot fail; an empty histogram means "none measured".
                let _ = V2Serializer::new().serialize(histogram, &mut latency);
            }
        }
        Edge {
            key,
            first: self.first,
            last: self.last,
            flows: self.flows,
            parts: self.parts.into(),
            told: [1, 2].map(|bit| self.told & bit > 0 && self.standing == EdgeState::Fresh),
            packets: self.packets,
            bytes: self.bytes,
            exchanges,
            latency,
            hours: self.hours,
            last_hour: self.last_hour,
            state: self.standing,
            feed: self.feed().map(Feed::to_bytes).unwrap_or_default(),
        }
    }

    /// From a row. A histogram that cannot be read is begun anew.
    pub(crate) fn from_row(row: Edge) -> (EdgeKey, Self) {
        let latency = (!row.latency.is_empty())
            .then(|| Deserializer::new().deserialize::<u32, _>(&mut row.latency.as_slice()).ok())
            .flatten()
            .and_then(|stored| {
                let mut own = histogram()?;
                own.add(stored).ok().map(|()| own)
            });
        let feed = Feed::from_bytes(&row.feed);
        let is_any = !row.exchanges.is_empty() || latency.is_some() || feed.is_some();
        let requests = is_any.then(|| Requests {
            text: row.exchanges.iter().map(|(kind, outcome, _)| text_of(kind, outcome)).sum(),
            kinds: row.exchanges.into_iter().map(|(kind, outcome, n)| ((kind, outcome), n)).collect(),
            latency,
            feed,
        });
        // What was not answered, or is fresh, was not judged yet.
        let is_judged = row.packets[1] > 0 && row.state != EdgeState::Fresh;
        let (unjudged, untold) =
            if is_judged { (0, 0) } else { (row.flows, row.flows.saturating_sub(row.parts.into())) };
        let state = Self {
            first: row.first,
            last: row.last,
            flows: row.flows,
            packets: row.packets,
            bytes: row.bytes,
            requests: requests.map(Box::new),
            hours: row.hours,
            last_hour: row.last_hour,
            unjudged: u32::try_from(unjudged).unwrap_or(u32::MAX),
            was_judged: is_judged,
            parts: u16::try_from(row.parts).unwrap_or(u16::MAX),
            untold: u16::try_from(untold).unwrap_or(u16::MAX),
            told: u8::from(row.told[0]) | u8::from(row.told[1]) << 1,
            standing: row.state,
            waits: false,
            waits_for_hour: false,
            is_other: false,
            dirty: false,
            is_there: false,
        };
        (row.key, state)
    }
}
