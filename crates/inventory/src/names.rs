//! By which domain an end outside is known: what a client asked for in the conversation itself, else what the address was to
//! the device before, or the device was told last (`ties`), else what an answer to anybody last called the address before the
//! conversation began.
//!
//! What was said of an address lies here and not with whoever asked: one client's question names it for all. All tables
//! are bounded by bytes; whoever was named longest ago gives way. What answers said is kept in a row, so that a run that goes
//! on knows the names that one never interrupted would know; what clients asked for ends with their conversations.

use crate::Inventory;
use crate::config::is_host;
use crate::evidence::{Via, claims_of, split_domain};
use crate::graph::Said;
use crate::ties::{MARK, Ties};
use hashbrown::HashMap;
use model::{Attribute, DeviceId, Flow, IpProto, Subject, Text, Timestamp};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// How long an answer names an address: nanoseconds.
const KEPT: i64 = 24 * 3_600 * 1_000_000_000;
/// Domains that an address is remembered to have had, one after the other; conversations that began before the first of
/// them have none.
const MOST_SPANS: usize = 8;

/// Host names that answers give a device at most: who forges answers can call anybody anything.
const MOST_HOST_NAMES: usize = 8;

/// What an entry of either table takes besides its texts: its place in the table and in the order, rather too much.
const ENTRY: usize = 384;
/// A span of an address's name, besides the text.
const SPAN: usize = size_of::<Span>() + 24;

/// A time in which an address was called by one domain again and again, never longer than [`KEPT`] apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Span {
    domain: Text,
    first: Timestamp,
    last: Timestamp,
}

/// What an address was called, the earliest first, and when in the order of all.
#[derive(Debug)]
struct Called {
    turn: u64,
    spans: Vec<Span>,
}

impl Called {
    fn weight(&self) -> usize {
        ENTRY + self.spans.iter().map(|span| SPAN + span.domain.as_str().len()).sum::<usize>()
    }
}

/// The ends of a TCP connection, the client first.
type Ends = [(IpAddr, u16); 2];

/// The names of addresses outside.
#[derive(Debug)]
pub(crate) struct Names {
    called: HashMap<IpAddr, Called>,
    /// Addresses by when they were called something last.
    order: BTreeSet<(u64, IpAddr)>,
    asked: HashMap<Ends, (u64, Timestamp, Text)>,
    asked_order: BTreeSet<(u64, Ends)>,
    turn: u64,
    called_bytes: usize,
    asked_bytes: usize,
    max_bytes: usize,
    dirty: bool,
    /// Names that fell to the limit.
    evicted: u64,
    pub(crate) ties: Ties,
}

impl Names {
    /// Tables that take so many bytes together: half of them what answers said, a quarter what clients ask for, and a quarter
    /// what addresses are to devices.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            called: HashMap::new(),
            order: BTreeSet::new(),
            asked: HashMap::new(),
            asked_order: BTreeSet::new(),
            turn: 0,
            called_bytes: 0,
            asked_bytes: 0,
            max_bytes,
            dirty: false,
            evicted: 0,
            ties: Ties::new(max_bytes / 4),
        }
    }

    /// Names that fell to the limit.
    pub(crate) const fn evicted(&self) -> u64 {
        self.evicted + self.ties.evicted
    }

    /// An answer gave an address for a name of this domain.
    fn call(&mut self, ip: IpAddr, domain: Text, ts: Timestamp) {
        self.turn += 1;
        self.dirty = true;
        let turn = self.turn;
        let called = self.called.entry(ip).or_insert_with(|| {
            self.called_bytes += ENTRY;
            Called { turn, spans: Vec::new() }
        });
        self.order.remove(&(called.turn, ip));
        self.order.insert((turn, ip));
        called.turn = turn;
        self.called_bytes -= called.weight();
        match called.spans.last_mut() {
            Some(span) if span.domain == domain && ts.since(span.last) <= KEPT => {
                span.last = span.last.max(ts)
            }
            _ => {
                if called.spans.len() >= MOST_SPANS {
                    called.spans.remove(0);
                }
                called.spans.push(Span { domain, first: ts, last: ts });
            }
        }
        self.called_bytes += called.weight();
        while self.called_bytes > self.max_bytes / 2
            && let Some((_, ip)) = self.order.pop_first()
        {
            self.called_bytes -= self.called.remove(&ip).map_or(0, |called| called.weight());
            self.evicted += 1;
        }
    }

    /// What an address was called last before a time, if that was not too long before it.
    fn at(&self, ip: IpAddr, ts: Timestamp) -> Option<&Text> {
        let span = self.called.get(&ip)?.spans.iter().rev().find(|span| span.first <= ts)?;
        (ts.since(span.last) <= KEPT).then_some(&span.domain)
    }

    /// A client asks for this domain in a connection.
    fn ask(&mut self, ends: Ends, domain: Text, ts: Timestamp) {
        self.end(&ends);
        self.turn += 1;
        self.asked_bytes += ENTRY + domain.as_str().len();
        self.asked.insert(ends, (self.turn, ts, domain));
        self.asked_order.insert((self.turn, ends));
        while self.asked_bytes > self.max_bytes / 4
            && let Some((_, ends)) = self.asked_order.first().copied()
        {
            self.end(&ends);
            self.evicted += 1;
        }
    }

    /// A connection is over: what was asked for in it, and when.
    fn end(&mut self, ends: &Ends) -> Option<(Timestamp, Text)> {
        let (turn, ts, domain) = self.asked.remove(ends)?;
        self.asked_order.remove(&(turn, *ends));
        self.asked_bytes -= ENTRY + domain.as_str().len();
        Some((ts, domain))
    }

    /// What answers said and what addresses are to devices, if that changed since it was asked last: addresses in the order of
    /// their turns, so that the order in which they give way is the same again.
    pub(crate) fn save(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.dirty) && !self.ties.dirty {
            return None;
        }
        let mut out = Vec::new();
        for (ip, called) in self.order.iter().filter_map(|(_, ip)| Some((ip, self.called.get(ip)?))) {
            put_ip(&mut out, *ip);
            out.push(called.spans.len() as u8);
            for Span { domain, first, last } in &called.spans {
                out.extend(first.0.to_le_bytes());
                out.extend(last.0.to_le_bytes());
                put_text(&mut out, domain);
            }
        }
        self.ties.save(&mut out);
        Some(out)
    }

    /// Goes on from what was saved, as far as it can be read.
    pub(crate) fn restore(&mut self, mut saved: &[u8]) {
        *self = Self::new(self.max_bytes);
        while saved.first() != Some(&MARK)
            && let Some((ip, spans)) = read(&mut saved)
        {
            for Span { domain, first, last } in spans {
                self.call(ip, domain, first);
                if let Some(span) = self.called.get_mut(&ip).and_then(|called| called.spans.last_mut()) {
                    span.last = last;
                }
            }
        }
        self.ties.restore(saved);
        (self.dirty, self.evicted) = (false, 0);
    }
}

pub(crate) fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => {
            out.push(4);
            out.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            out.push(6);
            out.extend(v6.octets());
        }
    }
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &Text) {
    // A text has at most 255 bytes.
    out.push(text.as_str().len() as u8);
    out.extend(text.as_str().as_bytes());
}

pub(crate) fn read_array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*head)
}

pub(crate) fn read_ip(from: &mut &[u8]) -> Option<IpAddr> {
    match read_array(from)? {
        [4] => Some(IpAddr::from(read_array::<4>(from)?)),
        [6] => Some(IpAddr::from(read_array::<16>(from)?)),
        _ => None,
    }
}

pub(crate) fn read_text(from: &mut &[u8]) -> Option<Text> {
    let [length] = read_array(from)?;
    let (text, rest) = from.split_at_checked(length.into())?;
    *from = rest;
    Text::new(text)
}

/// The next address of a saved row and what it was called.
fn read(from: &mut &[u8]) -> Option<(IpAddr, Vec<Span>)> {
    let ip = read_ip(from)?;
    let [count] = read_array(from)?;
    let mut spans = Vec::new();
    for _ in 0..count {
        let (first, last) = (i64::from_le_bytes(read_array(from)?), i64::from_le_bytes(read_array(from)?));
        let domain = read_text(from)?;
        spans.push(Span { domain, first: Timestamp(first), last: Timestamp(last) });
    }
    Some((ip, spans))
}

impl Inventory {
    /// A name was asked for, and the answer is an address: of one outside it is kept for the conversations with it; of one
    /// inside it is what its holder, if there is one, is called. To be spoken of is no sign of life.
    pub(crate) fn resolves(&mut self, subject: &Subject, asker: IpAddr, name: Text, said: &Said) {
        let Some((vlan, ip)) = subject.address().filter(|(_, ip)| is_host(*ip)) else { return };
        if !self.config.is_internal(ip) {
            if is_host(asker)
                && let Some((device, _)) = self.holder(vlan, asker, said.ts, None)
            {
                let device = self.root(device);
                self.names.ties.told(device, ip, &name, said.ts);
            }
            self.names.call(ip, name, said.ts);
            return;
        }
        // Of a public address that the site uses inside, only the domain is told.
        if !model::is_private(ip) {
            return;
        }
        let held = self.subject(subject, None, said.ts, false);
        // Who asks and who is asked for live in different networks.
        let held = held.or_else(|| Some((self.holder_elsewhere(vlan, ip, said.ts)?, Via::DIRECT)));
        if let Some((holder, via)) = held {
            let (host, domain) = split_domain(&name);
            let Some(node) = self.nodes.get(&holder) else { return };
            let heard =
                claims_of(&node.ledger, &Attribute::HOSTNAME).filter(|(claim, _)| claim.source == said.by);
            let (heard, is_known) =
                heard.fold((0, false), |(n, known), (claim, _)| (n + 1, known || claim.value == host));
            if heard >= MOST_HOST_NAMES && !is_known {
                return;
            }
            self.learn(holder, via.clone(), Attribute::HOSTNAME, host, said);
            if let Some(domain) = domain {
                self.learn(holder, via, Attribute::DOMAIN, domain, said);
            }
        }
    }

    /// A client asks its peer for a domain: kept until the conversation is over.
    pub(crate) fn asks_for(&mut self, subject: &Subject, peer: (IpAddr, u16), domain: Text, ts: Timestamp) {
        if let Subject::Endpoint(_, ip, IpProto::TCP, port) = *subject
            && self.is_outside(peer.0)
        {
            self.names.ask([(ip, port), peer], domain, ts);
        }
    }

    /// The domain of the end outside of a conversation that is over.
    pub(crate) fn domain_of(&mut self, flow: &Flow) -> Option<Text> {
        let record = &flow.record;
        let [asker, answerer] = record.ends();
        let [first, second] = flow.devices;
        let (device, inside, outside) = match [asker.0, answerer.0].map(|ip| self.is_outside(ip)) {
            [false, true] => (first, asker, answerer),
            [true, false] => (second, answerer, asker),
            _ => return None,
        };
        // Who is asked for a domain may have been taken for who asks.
        let asked = match record.key.proto {
            IpProto::TCP if !self.names.asked.is_empty() => self.names.end(&[inside, outside]),
            _ => None,
        };
        let domain = match asked.filter(|(ts, _)| *ts >= record.first) {
            Some((_, domain)) => domain,
            None => self.known_domain(device, outside.0, record.first)?,
        };
        if let Some(device) = device {
            let when = (record.first, record.last);
            self.names.ties.used((device, outside.0), &domain, when);
        }
        Some(domain)
    }

    /// What an address outside was to a device at a time.
    fn known_domain(&self, device: Option<DeviceId>, ip: IpAddr, ts: Timestamp) -> Option<Text> {
        // Many domains share an address: what others are told of it renames nothing that a device has talked to.
        let tied = device.and_then(|device| self.names.ties.at(device, ip, ts));
        tied.or_else(|| self.names.at(ip, ts)).cloned()
    }

    /// The domain of an address to a device at a time, if it is outside.
    pub(crate) fn domain_at(&self, device: DeviceId, ip: IpAddr, ts: Timestamp) -> Option<Text> {
        if !self.is_outside(ip) {
            return None;
        }
        self.known_domain(Some(device), ip, ts)
    }

    fn is_outside(&self, ip: IpAddr) -> bool {
        is_host(ip) && !self.config.is_internal(ip)
    }
}
