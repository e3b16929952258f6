//! By which domain an end outside is known: what a client asked for in the conversation itself, else what an answer last
//! called the address before the conversation began.
//!
//! What was said of an address lies here and not with whoever asked: one client's question names it for all. Both tables
//! are bounded by bytes; whoever was named longest ago gives way. What answers said is kept in a row, so that a run that goes
//! on knows the names that one never interrupted would know; what clients asked for ends with their conversations.

use crate::Inventory;
use crate::config::is_host;
use crate::evidence::{Via, claims_of, split_domain};
use crate::graph::Said;
use hashbrown::HashMap;
use model::{Attribute, FlowRecord, IpProto, Subject, Text, Timestamp};
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
    pub(crate) evicted: u64,
}

impl Names {
    /// Tables that take so many bytes together: three quarters what answers said, one what clients ask for.
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
        }
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
        while self.called_bytes > self.max_bytes / 4 * 3
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

    /// What answers said, if that changed since it was asked last: addresses in the order of their turns, so that the order
    /// in which they give way is the same again.
    pub(crate) fn save(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        let mut out = Vec::new();
        for (ip, called) in self.order.iter().filter_map(|(_, ip)| Some((ip, self.called.get(ip)?))) {
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
            out.push(called.spans.len() as u8);
            for Span { domain, first, last } in &called.spans {
                out.extend(first.0.to_le_bytes());
                out.extend(last.0.to_le_bytes());
                // A text has at most 255 bytes.
                out.push(domain.as_str().len() as u8);
                out.extend(domain.as_str().as_bytes());
            }
        }
        Some(out)
    }

    /// Goes on from what was saved, as far as it can be read.
    pub(crate) fn restore(&mut self, mut saved: &[u8]) {
        *self = Self::new(self.max_bytes);
        while let Some((ip, spans)) = read(&mut saved) {
            for Span { domain, first, last } in spans {
                self.call(ip, domain, first);
                if let Some(span) = self.called.get_mut(&ip).and_then(|called| called.spans.last_mut()) {
                    span.last = last;
                }
            }
        }
        (self.dirty, self.evicted) = (false, 0);
    }
}

/// The next address of a saved row and what it was called.
fn read(from: &mut &[u8]) -> Option<(IpAddr, Vec<Span>)> {
    fn array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
        let (head, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(*head)
    }
    let ip = match array(from)? {
        [4] => IpAddr::from(array::<4>(from)?),
        [6] => IpAddr::from(array::<16>(from)?),
        _ => return None,
    };
    let [count] = array(from)?;
    let mut spans = Vec::new();
    for _ in 0..count {
        let (first, last) = (i64::from_le_bytes(array(from)?), i64::from_le_bytes(array(from)?));
        let [length] = array(from)?;
        let (domain, rest) = from.split_at_checked(length.into())?;
        *from = rest;
        spans.push(Span { domain: Text::new(domain)?, first: Timestamp(first), last: Timestamp(last) });
    }
    Some((ip, spans))
}

impl Inventory {
    /// A name was asked for, and the answer is an address: of one outside it is kept for the conversations with it; of one
    /// inside it is what its holder, if there is one, is called. To be spoken of is no sign of life.
    pub(crate) fn resolves(&mut self, subject: &Subject, name: Text, said: &Said) {
        let Some((vlan, ip)) = subject.address().filter(|(_, ip)| is_host(*ip)) else { return };
        if !self.config.is_internal(ip) {
            self.names.call(ip, name, said.ts);
            return;
        }
        // Of a public address that the site uses inside, only the domain is told.
        if !model::is_private(ip) {
            return;
        }
        let held = self.subject(subject, said.ts, false);
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
    pub(crate) fn domain_of(&mut self, record: &FlowRecord) -> Option<Text> {
        let [asker, answerer] = record.ends();
        let (inside, outside) = match [asker.0, answerer.0].map(|ip| self.is_outside(ip)) {
            [false, true] => (asker, answerer),
            [true, false] => (answerer, asker),
            _ => return None,
        };
        // Who is asked for a domain may have been taken for who asks.
        let asked = match record.key.proto {
            IpProto::TCP if !self.names.asked.is_empty() => self.names.end(&[inside, outside]),
            _ => None,
        };
        match asked.filter(|(ts, _)| *ts >= record.first) {
            Some((_, domain)) => Some(domain),
            None => self.names.at(outside.0, record.first).cloned(),
        }
    }

    /// The domain of an address at a time, if it is outside.
    pub(crate) fn domain_at(&self, ip: IpAddr, ts: Timestamp) -> Option<Text> {
        if self.is_outside(ip) { self.names.at(ip, ts).cloned() } else { None }
    }

    fn is_outside(&self, ip: IpAddr) -> bool {
        is_host(ip) && !self.config.is_internal(ip)
    }
}
