//! What the headers alone teach: which MAC sends from and is sent to for which address, and who forwards.

use crate::bytes::mac_at;
use crate::config::mix;
use crate::decode::{Addr, Ip};
use crate::packet::Packet;
use model::{BindingSource, Confidence, Event, Fact, IpProto, Mac, Observation, Subject, Timestamp, Vlan};
use std::net::IpAddr;

/// The same is said again after this many nanoseconds at the earliest.
const AGAIN: i64 = 300_000_000_000;

/// Things remembered as said lately. A place is shared by what hashes to it: then something is said more often, never
/// less.
const REMEMBERED: usize = 2_048;

/// What was said lately in one part of the traffic: a name of who, which address and what kind of statement, and when.
/// The name is seeded, so that nobody can choose what is taken for said.
pub(crate) struct Notice {
    lately: Box<[(u64, Timestamp)]>,
    seed: u64,
}

/// Kinds of statement, as far as remembering goes.
const SENT: u8 = 0;
const SENT_TO: u8 = 1;
const FORWARDS: u8 = 2;
const HEARD: u8 = 3;

impl Notice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { lately: vec![(0, Timestamp(i64::MIN)); REMEMBERED].into(), seed }
    }

    /// A new flow is about to be: what is remembered of its addresses is fetched.
    pub(crate) fn fetch(&self, vlan: Vlan, macs: [Option<Mac>; 2], ip: &Ip<'_>) {
        for (mac, addr, kind) in [(macs[0], ip.src, SENT), (macs[1], ip.dst, SENT_TO)] {
            if let Some(mac) = mac
                && let Some(said) = self.lately.get(place(&statement(mac, Some((vlan, addr)), kind)))
            {
                crate::fetch(said);
            }
        }
    }

    /// Whether it is time to say something (again).
    fn fresh(&mut self, mac: Mac, address: Option<(Vlan, Addr)>, kind: u8, ts: Timestamp) -> bool {
        let statement = statement(mac, address, kind);
        let [who, bits] = statement;
        let name = mix(mix(who, bits) ^ self.seed, bits.rotate_left(32) ^ who);
        let Some(said) = self.lately.get_mut(place(&statement)) else { return true };
        let fresh = said.0 != name || ts.since(said.1).unsigned_abs() >= AGAIN.unsigned_abs();
        if fresh {
            *said = (name, ts);
        }
        fresh
    }

    /// A station that sent something, although no address of the network layer came with it.
    pub(crate) fn heard(
        &mut self,
        no: u64,
        ts: Timestamp,
        vlan: Vlan,
        mac: Option<Mac>,
        out: &mut Vec<Event>,
    ) {
        if let Some(mac) = mac.filter(|mac| mac.is_device())
            && self.fresh(mac, None, HEARD, ts)
        {
            out.push(say(no, ts, "ethernet", "source address", mac, Confidence::STATED, Fact::Member(vlan)));
        }
    }

    /// The addresses of a flow's first packet in a direction, or of one whose MAC differs from the last.
    pub(crate) fn addresses(
        &mut self,
        no: u64,
        ts: Timestamp,
        packet: &Packet<'_, '_>,
        answered: bool,
        out: &mut Vec<Event>,
    ) {
        let Packet { vlan, ip, .. } = *packet;
        let [src, dst] = packet.decoded.macs();
        let holder = |mac: Option<Mac>| mac.filter(|mac| !mac.is_group() && !mac.is_zero());
        if let Some(mac) = holder(src).filter(|_| ip.src.is_host())
            && self.fresh(mac, Some((vlan, ip.src)), SENT, ts)
        {
            let fact = Fact::Binding { vlan, ip: ip.src.ip(), how: BindingSource::Sent { ttl: ip.ttl } };
            out.push(say(no, ts, "ip", "source address", mac, Confidence::HINT, fact));
        }
        // An end that speaks itself needs no hearsay.
        if let Some(mac) = holder(dst).filter(|_| ip.dst.is_host() && !answered)
            && self.fresh(mac, Some((vlan, ip.dst)), SENT_TO, ts)
        {
            let fact = Fact::Binding { vlan, ip: ip.dst.ip(), how: BindingSource::SentTo };
            out.push(say(no, ts, "ip", "destination address", mac, Confidence::WEAK, fact));
        }
    }

    /// Protocols that only routers speak, and neighbour discovery.
    #[inline]
    pub(crate) fn packet(&mut self, no: u64, ts: Timestamp, packet: &Packet<'_, '_>, out: &mut Vec<Event>) {
        let is_routers = matches!(packet.transport.ports.1, 520 | 1985 | 2029 | 3222);
        if packet.ip.proto != IpProto::UDP.0 || is_routers {
            self.routing(no, ts, packet, out);
        }
    }

    fn routing(&mut self, no: u64, ts: Timestamp, packet: &Packet<'_, '_>, out: &mut Vec<Event>) {
        let Packet { vlan, ip, transport, .. } = *packet;
        let (ports, payload) = (transport.ports, transport.bytes);
        let why = match (IpProto(ip.proto), ports.1) {
            (IpProto(112), _) => "VRRP",
            (IpProto(89), _) => "OSPF",
            (IpProto(88), _) => "EIGRP",
            (IpProto(103), _) => "PIM",
            (IpProto::UDP, 1985 | 2029) => "HSRP",
            (IpProto::UDP, 3222) => "GLBP",
            // A RIP response (RFC 2453 §3.6): hosts ask, routers answer.
            (IpProto::UDP, 520) if payload.first() == Some(&2) => "RIP",
            (IpProto::ICMP, _) if payload.first() == Some(&5) => "ICMP redirect",
            (IpProto::ICMPV6, _) => match payload.first() {
                Some(134) => "router advertisement",
                Some(137) => "ICMPv6 redirect",
                Some(kind @ (135 | 136)) => return self.neighbour(no, ts, vlan, *kind, ip, payload, out),
                _ => return,
            },
            _ => return,
        };
        if let Some(mac) = packet.decoded.src_mac.filter(|mac| !mac.is_group() && !mac.is_zero())
            && ip.ttl_is_first_hop(why)
            && self.fresh(mac, None, FORWARDS, ts)
        {
            out.push(say(no, ts, "ip", "", mac, Confidence::STATED, Fact::Forwards { why }));
        }
    }

    /// Neighbour solicitation and advertisement (RFC 4861 §4.3, §4.4). With a hop limit below 255 they have crossed a
    /// router, which they must not.
    #[expect(clippy::too_many_arguments, reason = "a packet's place and the place for what it teaches")]
    fn neighbour(
        &mut self,
        no: u64,
        ts: Timestamp,
        vlan: Vlan,
        kind: u8,
        ip: &Ip<'_>,
        payload: &[u8],
        out: &mut Vec<Event>,
    ) {
        // Solicitations carry their sender's address (option 1), advertisements their target's (option 2).
        let (option, holder, field) = match kind {
            135 => (1, ip.src, "NS source link-layer address"),
            _ => match payload.get(8..).and_then(|rest| rest.first_chunk::<16>()) {
                Some(target) => (2, Addr::v6(*target), "NA target link-layer address"),
                None => return,
            },
        };
        if ip.ttl != 255 || !holder.is_host() {
            return;
        }
        let mut rest = payload.get(24..).unwrap_or_default();
        while let [found, length, ..] = *rest {
            let step = usize::from(length).saturating_mul(8);
            if found == option
                && let Some(mac) = mac_at(rest, 2).filter(|mac| !mac.is_group() && !mac.is_zero())
            {
                let fact = Fact::Binding { vlan, ip: holder.ip(), how: BindingSource::Claim };
                out.push(say(no, ts, "nd", field, mac, Confidence::STATED, fact));
                return;
            }
            rest = match step {
                0 => return,
                n => rest.get(n..).unwrap_or_default(),
            };
        }
    }
}

/// What is said of whom.
fn statement(mac: Mac, address: Option<(Vlan, Addr)>, kind: u8) -> [u64; 2] {
    let bits = address.map_or(0, |(vlan, addr)| (addr.bits as u64) ^ (addr.bits >> 64) as u64 ^ vlan.bits());
    [u64::from(kind) << 56 | mac.to_u64(), bits]
}

/// Where a statement is remembered. It does not depend on the seed: what is said how often is the same for all.
const fn place(statement: &[u64; 2]) -> usize {
    let [who, bits] = *statement;
    mix(who, bits) as usize & (REMEMBERED - 1)
}

impl Ip<'_> {
    /// Whether a packet of a router-only protocol can come from the station whose MAC it has. Those that must not be
    /// routed say so by their hop limit; PIM registers, OSPF virtual links and redirects may have been routed.
    fn ttl_is_first_hop(&self, why: &str) -> bool {
        match why {
            "VRRP" | "router advertisement" | "ICMPv6 redirect" => self.ttl == 255,
            _ => match self.dst.ip() {
                IpAddr::V4(ip) => ip.is_multicast() || self.ttl == 1 || usual(self.ttl),
                IpAddr::V6(ip) => ip.is_multicast() || self.ttl == 1 || usual(self.ttl),
            },
        }
    }
}

/// A TTL or hop limit as senders set it: nobody has taken one off.
const fn usual(ttl: u8) -> bool {
    matches!(ttl, 32 | 64 | 128 | 255)
}

fn say(
    no: u64,
    ts: Timestamp,
    by: &'static str,
    field: &'static str,
    mac: Mac,
    confidence: Confidence,
    fact: Fact,
) -> Event {
    let (subject, macs) = (Subject::Mac(mac), [None, None]);
    Event::Observation(Observation { no, ts, by, field, subject, macs, confidence, fact })
}
