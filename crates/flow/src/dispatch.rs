//! The one place where dissectors are called: what they do wrong stays here.

use crate::counters::{Tally, add};
use crate::stream::{Outcome, Reader, Stream};
use crate::table::{pick, pick_mut};
use dissectors::{Claim, Dissector, Malformed, Memory, Pdu, Probe, Progress, Session, Sink};
use model::{Fact, IpProto, Mac, Observation, Side, Subject, Timestamp, Vlan};
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of one direction that wait for a probe to make up its mind.
const MAX_PROBE: usize = 128;

/// Oddities reported of one conversation; the rest is only counted where it happens.
const MAX_WEIRD: u8 = 16;

/// What an allocation takes besides what was asked for.
const ALLOCATION: usize = 24;

/// Finds a protocol by content.
type Probing = fn(&[u8]) -> Probe;

/// The dissectors, by where they are found.
pub(crate) struct Registry {
    all: &'static [&'static Dissector],
    /// Place in `all` plus one, by port; 0 for none.
    tcp: Box<[u8]>,
    udp: Box<[u8]>,
    /// Those that are found by content, in the order in which they are asked.
    probes: Vec<(u8, Probing)>,
}

impl Registry {
    pub(crate) fn new(all: &'static [&'static Dissector]) -> Self {
        let probes = (0..=u8::MAX).zip(all).filter_map(|(place, dissector)| Some((place, dissector.probe?)));
        let (tcp, udp) = (vec![0; 65_536].into(), vec![0; 65_536].into());
        let mut registry = Self { all, tcp, udp, probes: probes.collect() };
        for (place, dissector) in (1..=u8::MAX).zip(all) {
            for claim in dissector.claims {
                let (table, port) = match *claim {
                    Claim::Tcp(port) => (&mut registry.tcp, port),
                    Claim::Udp(port) => (&mut registry.udp, port),
                    Claim::EtherType(_) | Claim::Snap { .. } => continue,
                };
                // The first to claim a port has it.
                if let Some(entry) = table.get_mut(usize::from(port)).filter(|entry| **entry == 0) {
                    *entry = place;
                }
            }
        }
        registry
    }

    pub(crate) fn get(&self, place: u8) -> Option<&'static Dissector> {
        self.all.get(usize::from(place)).copied()
    }

    /// Who claims a port.
    pub(crate) fn port(&self, proto: u8, port: u16) -> Option<u8> {
        let table = match IpProto(proto) {
            IpProto::TCP => &self.tcp,
            IpProto::UDP => &self.udp,
            _ => return None,
        };
        table.get(usize::from(port))?.checked_sub(1)
    }

    /// Who claims a link-layer place.
    pub(crate) fn link(&self, claim: Claim) -> Option<u8> {
        let found = self.all.iter().position(|dissector| dissector.claims.contains(&claim))?;
        u8::try_from(found).ok()
    }

    /// Asks the probes. `Ok(place)`, or whether more bytes may help.
    fn probe(&self, bytes: &[u8]) -> Result<u8, bool> {
        let mut more = false;
        for (place, probe) in &self.probes {
            match catch_unwind(|| probe(bytes)) {
                Ok(Probe::Yes) => return Ok(*place),
                Ok(Probe::More) => more = true,
                Ok(Probe::No) | Err(_) => {}
            }
        }
        Err(more && bytes.len() < MAX_PROBE)
    }
}

/// Where a PDU comes from: everything but its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) no: u64,
    pub(crate) ts: Timestamp,
    pub(crate) vlan: Vlan,
    pub(crate) macs: [Option<Mac>; 2],
    /// By which MAC the end that it was sent to was heard itself. A station that has poisoned the sender's ARP table and passes
    /// on what it gets is sent to in its place, and so is a router.
    pub(crate) own: Option<Mac>,
    pub(crate) src: (IpAddr, u16),
    pub(crate) dst: (IpAddr, u16),
    pub(crate) proto: u8,
    pub(crate) side: Side,
    pub(crate) truncated: bool,
}

impl Origin {
    /// Of a link-layer frame.
    pub(crate) fn link(no: u64, ts: Timestamp, vlan: Vlan, macs: [Option<Mac>; 2], truncated: bool) -> Self {
        let nowhere = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        Self {
            no,
            ts,
            vlan,
            macs,
            own: None,
            src: nowhere,
            dst: nowhere,
            proto: 0,
            side: Side::Low,
            truncated,
        }
    }

    /// The same frame, to an end that was heard with this MAC, if it was heard.
    pub(crate) fn to(self, own: Option<Mac>) -> Self {
        Self { own, ..self }
    }

    fn pdu<'a>(&self, bytes: &'a [u8]) -> Pdu<'a> {
        let [src_mac, dst_mac] = self.macs;
        Pdu {
            no: self.no,
            ts: self.ts,
            vlan: self.vlan,
            src_mac,
            dst_mac,
            src: self.src.0,
            dst: self.dst.0,
            src_port: self.src.1,
            dst_port: self.dst.1,
            proto: IpProto(self.proto),
            side: self.side,
            bytes,
            truncated: self.truncated,
        }
    }

    /// Where what it teaches goes.
    fn sink<'a>(&self, out: &'a mut Vec<Observation>, by: &'static str) -> Sink<'a> {
        let [from, to] = self.macs;
        Sink::new(out, by, self.no, self.ts).between((self.src.0, from), (self.dst.0, self.own.or(to)))
    }

    fn sender(&self) -> Subject {
        match self.macs {
            [Some(mac), _] if self.proto == 0 => Subject::Mac(mac),
            _ => Subject::Ip(self.vlan, self.src.0),
        }
    }
}

fn weird(origin: &Origin, by: &'static str, what: &'static str, at: usize, out: &mut Vec<Observation>) {
    origin.sink(out, by).weird(origin.sender(), what, at);
}

/// A call that must not take the program down with it.
fn guard<T>(
    dissector: &Dissector,
    origin: &Origin,
    counters: &mut Tally,
    out: &mut Vec<Observation>,
    call: impl FnOnce(&mut Vec<Observation>) -> T,
) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(|| call(out)));
    if result.is_err() {
        add(&mut counters.sum.panics, 1);
        weird(origin, dissector.name, "dissector panicked", 0, out);
    }
    result.ok()
}

/// Hands over one datagram.
pub(crate) fn datagram(
    registry: &Registry,
    place: u8,
    origin: &Origin,
    bytes: &[u8],
    counters: &mut Tally,
    memory: &mut Memory,
    out: &mut Vec<Observation>,
) {
    let Some(dissector) = registry.get(place) else { return };
    let Some(parse) = dissector.parse.datagram() else { return };
    counters.pdu(place);
    let result = guard(dissector, origin, counters, out, |out| {
        let sink = origin.sink(out, dissector.name);
        parse(&origin.pdu(bytes), &mut sink.remembering(memory))
    });
    if let Some(Err(Malformed { what, at })) = result {
        weird(origin, dissector.name, what, at, out);
    }
}

/// One TCP connection that a dissector reads, or that probes are looking at.
#[derive(Default)]
pub(crate) struct Conversation {
    session: Option<(u8, Box<dyn Session>)>,
    streams: [Stream; 2],
    /// By which MAC each side last sent anything new.
    own: [Option<Mac>; 2],
    /// Who ended the connection first.
    left: Option<Side>,
    weird: u8,
    charged: usize,
}

/// What to do with a conversation after a segment.
pub(crate) enum Next {
    Keep,
    /// Nothing more is wanted of this flow.
    Drop,
}

/// A reader of one side during one call: the session, or the probes.
struct Feed<'a> {
    session: &'a mut Option<(u8, Box<dyn Session>)>,
    registry: &'a Registry,
    origin: &'a Origin,
    counters: &'a mut Tally,
    out: &'a mut Vec<Observation>,
    hopeless: bool,
    panicked: bool,
}

impl Reader for Feed<'_> {
    fn data(&mut self, bytes: &[u8]) -> Progress {
        if self.session.is_none() {
            match self.registry.probe(bytes) {
                Ok(place) => match self.registry.get(place).and_then(|dissector| dissector.parse.stream()) {
                    Some(open) => *self.session = Some((place, open())),
                    None => return Progress::Done,
                },
                Err(true) => return Progress::Consumed(0),
                Err(false) => {
                    self.hopeless = true;
                    return Progress::Consumed(bytes.len() as u64);
                }
            }
        }
        let Some((place, session)) = self.session.as_mut() else { return Progress::Done };
        let Some(dissector) = self.registry.get(*place) else { return Progress::Done };
        let (counters, out, origin) = (&mut *self.counters, &mut *self.out, self.origin);
        counters.pdu(*place);
        let progress = guard(dissector, origin, counters, out, |out| {
            session.data(&origin.pdu(bytes), &mut origin.sink(out, dissector.name))
        });
        progress.unwrap_or_else(|| {
            self.panicked = true;
            Progress::Done
        })
    }

    fn gap(&mut self, lost: u64) {
        let Some((place, session)) = self.session.as_mut() else { return };
        let Some(dissector) = self.registry.get(*place) else { return };
        let side = self.origin.side;
        let calm = guard(dissector, self.origin, self.counters, self.out, |_| session.gap(side, lost));
        self.panicked |= calm.is_none();
    }
}

impl Conversation {
    /// What was found by content.
    pub(crate) fn found(&self) -> Option<u8> {
        self.session.as_ref().map(|(place, _)| *place)
    }

    /// A side's first byte will have this sequence number.
    pub(crate) fn expect(&mut self, side: Side, seq: u32) {
        pick_mut(&mut self.streams, side).expect(seq);
    }

    /// By which MAC a side sends.
    pub(crate) const fn sends_by(&mut self, side: Side, mac: Mac) {
        *pick_mut(&mut self.own, side) = Some(mac);
    }

    /// The frame with the other end's own MAC, where that was heard. A side's own MAC is that by which what is read of it came
    /// first, so that it is neither a relay's, which repeats it, nor that of one who merely acknowledges what another sent
    /// in its name.
    fn between_own(&mut self, origin: &Origin, seq: u32, bytes: &[u8]) -> Origin {
        let [from, _] = origin.macs;
        if let Some(mac) = from.filter(|mac| !mac.is_group() && !mac.is_zero())
            && (pick(&self.own, origin.side).is_none()
                || pick_mut(&mut self.streams, origin.side).is_news(seq, bytes))
        {
            self.sends_by(origin.side, mac);
        }
        origin.to(pick(&self.own, origin.side.other()))
    }

    /// Where what is left of the conversation comes from, each end with its own MAC where that was heard.
    fn own_ends(&self, origin: &Origin) -> Origin {
        let [from, to] = origin.macs;
        let own = |side| pick(&self.own, side);
        Origin { macs: [own(origin.side).or(from), to], own: own(origin.side.other()), ..*origin }
    }

    /// A side ends the connection, by FIN or RST.
    pub(crate) fn leaves(&mut self, side: Side) {
        self.left.get_or_insert(side);
    }

    /// Bytes held in memory for it when that was looked at last.
    pub(crate) const fn charged(&self) -> usize {
        self.charged
    }

    /// Looks at how many bytes are held in memory for it, its own included.
    pub(crate) fn charge(&mut self) -> usize {
        let session = self.session.as_ref().map_or(0, |(_, session)| {
            size_of_val(&**session).saturating_add(session.held()).saturating_add(ALLOCATION)
        });
        let streams = self.streams.iter().map(Stream::held).fold(0, usize::saturating_add);
        self.charged =
            size_of::<Self>().saturating_add(ALLOCATION).saturating_add(session).saturating_add(streams);
        self.charged
    }

    /// A segment of one side; `ack` is what it acknowledges of the other.
    #[expect(clippy::too_many_arguments, reason = "the segment, and where its consequences go")]
    pub(crate) fn segment(
        &mut self,
        registry: &Registry,
        origin: &Origin,
        now: i64,
        seq: u32,
        ack: Option<u32>,
        bytes: &[u8],
        counters: &mut Tally,
        out: &mut Vec<Observation>,
    ) -> (Next, u32) {
        let from = out.len();
        let origin = &self.between_own(origin, seq, bytes);
        let Self { session, streams, .. } = self;
        let mut total = Outcome::default();
        let mut hopeless = false;
        let mut dead = false;
        // Nearly always nothing waits for it, and it is of what was heard.
        if let Some(ack) = ack
            && pick_mut(streams, origin.side.other()).heeds(ack)
        {
            let other = reversed(origin);
            let mut feed =
                Feed { session, registry, origin: &other, counters, out, hopeless: false, panicked: false };
            join(&mut total, pick_mut(streams, other.side).ack(now, ack, &mut feed));
            dead |= feed.panicked;
        }
        if !bytes.is_empty() && !total.done && !dead {
            let mut feed =
                Feed { session, registry, origin, counters, out, hopeless: false, panicked: false };
            join(&mut total, pick_mut(streams, origin.side).segment(now, seq, bytes, &mut feed));
            hopeless = feed.hopeless;
            dead |= feed.panicked;
        }
        self.limit_weird(out, from);
        add(&mut counters.sum.gaps, u64::from(total.gaps));
        add(&mut counters.sum.lost_bytes, total.lost);
        let next =
            if total.done || dead || (hopeless && self.session.is_none()) { Next::Drop } else { Next::Keep };
        (next, total.gaps)
    }

    /// Memory is short: gives up the holes, so that what waits behind them is read and let go.
    pub(crate) fn relieve(
        &mut self,
        registry: &Registry,
        origin: &Origin,
        counters: &mut Tally,
        out: &mut Vec<Observation>,
    ) -> u32 {
        let mut gaps = 0u32;
        let origin = &origin.to(pick(&self.own, origin.side.other()));
        for origin in [*origin, reversed(origin)] {
            let Self { session, streams, .. } = self;
            let mut feed =
                Feed { session, registry, origin: &origin, counters, out, hopeless: false, panicked: false };
            let outcome = pick_mut(streams, origin.side).finish(&mut feed);
            gaps = gaps.saturating_add(outcome.gaps);
            add(&mut counters.sum.gaps, u64::from(outcome.gaps));
            add(&mut counters.sum.lost_bytes, outcome.lost);
        }
        gaps
    }

    /// The connection is over: delivers what waits, and says so.
    pub(crate) fn close(
        &mut self,
        registry: &Registry,
        origin: &Origin,
        counters: &mut Tally,
        out: &mut Vec<Observation>,
    ) -> u32 {
        let from = out.len();
        let mut gaps = 0u32;
        let mut origin = self.own_ends(origin);
        for side in [Side::Low, Side::High] {
            if origin.side != side {
                origin = reversed(&origin);
            }
            let Self { session, streams, .. } = self;
            let mut feed =
                Feed { session, registry, origin: &origin, counters, out, hopeless: false, panicked: false };
            let outcome = pick_mut(streams, side).finish(&mut feed);
            if outcome.done || feed.panicked {
                break;
            }
            gaps = gaps.saturating_add(outcome.gaps);
            add(&mut counters.sum.gaps, u64::from(outcome.gaps));
            add(&mut counters.sum.lost_bytes, outcome.lost);
            if let Some((place, session)) = session.as_mut()
                && let Some(dissector) = registry.get(*place)
            {
                let rest = pick_mut(streams, side).rest();
                let left = self.left.take();
                let calm = guard(dissector, &origin, counters, out, |out| {
                    left.into_iter().for_each(|side| session.left(side));
                    session.closed(&origin.pdu(rest), &mut origin.sink(out, dissector.name));
                });
                if calm.is_none() {
                    break;
                }
            }
        }
        self.limit_weird(out, from);
        gaps
    }

    /// Keeps the first oddities of the conversation and drops the rest: a broken sender is one story, not a thousand.
    fn limit_weird(&mut self, out: &mut Vec<Observation>, from: usize) {
        if out.len() == from {
            return;
        }
        let mut place = 0usize;
        let seen = &mut self.weird;
        out.retain(|o| {
            place = place.saturating_add(1);
            if place <= from || !matches!(o.fact, Fact::Weird { .. }) {
                return true;
            }
            *seen = seen.saturating_add(1);
            *seen <= MAX_WEIRD
        });
    }
}

fn join(total: &mut Outcome, part: Outcome) {
    total.gaps = total.gaps.saturating_add(part.gaps);
    total.lost = total.lost.saturating_add(part.lost);
    total.done |= part.done;
}

/// The same frame seen from the other end: what an acknowledgement sets free came from there.
fn reversed(origin: &Origin) -> Origin {
    let [a, b] = origin.macs;
    let macs = [origin.own.or(b), a];
    Origin { macs, own: None, src: origin.dst, dst: origin.src, side: origin.side.other(), ..*origin }
}

/// Whether first bytes are worth a conversation: some probe says yes or may yet.
pub(crate) fn interesting(registry: &Registry, bytes: &[u8]) -> bool {
    !matches!(registry.probe(bytes), Err(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_heard_itself_is_told_from_where_the_frame_was_sent_to() {
        let mac = |host: u8| Some(Mac([2, 0, 0, 0, 0, host]));
        let end = |host: u8| (IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 67);
        let (src, dst) = (end(1), end(5));
        let link = Origin::link(1, Timestamp(0), Vlan::NONE, [mac(1), mac(66)], false);
        let frame = Origin { src, dst, ..link };
        let said = |origin: &Origin| {
            let mut out = Vec::new();
            origin.sink(&mut out, "test").weird(Subject::Ip(Vlan::NONE, dst.0), "odd", 0);
            out.first().map(|o| o.macs)
        };
        assert_eq!(said(&frame), Some([mac(66), mac(1)]), "never heard: all there is");
        let heard = frame.to(mac(5));
        assert_eq!(said(&heard), Some([mac(5), mac(1)]));
        assert_eq!(
            said(&reversed(&heard)),
            Some([mac(5), mac(1)]),
            "what waited for this frame came from there"
        );
        // Where a frame was sent to says in which network it was seen: dissectors are shown that.
        assert_eq!(heard.pdu(b"").dst_mac, mac(66));
    }
}
