//! One part of the traffic: its flows, its fragments, and what becomes of its packets.

use crate::config::{Config, PARTS, mix};
use crate::counters::{Counters, add};
use crate::decode::{ACK, Decoded, FIN, Ip, Net, RST, SYN, Tcp, tcp, udp};
use crate::dispatch::{Conversation, Next, Origin, Registry, datagram, ends, interesting};
use crate::fragments::Fragments;
use crate::notice::Notice;
use crate::table::{Flow, Key, Table, TcpState, pick, pick_mut};
use dissectors::Claim;
use model::{Event, Frame, IpProto, Observation, Side, Timestamp, Vlan};

/// Segments with data looked at before a connection is taken for none of ours: on any port, and on a claimed one.
const PROBES: u8 = 4;
const PROBES_CLAIMED: u8 = 64;

/// Flows looked at for one to evict; the ones that were active since their timer was set get another turn.
const EVICTION_TRIES: usize = 16;

/// Nanoseconds within which an identical packet is a copy rather than a repetition.
const COPY_WINDOW: i64 = 50_000_000;

/// Signatures of recent packets kept for finding copies.
const COPIES: usize = 1_024;

/// What a frame's handling needs of its shard.
pub(crate) struct Context<'a> {
    pub(crate) no: u64,
    pub(crate) ts: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) registry: &'a Registry,
    pub(crate) config: &'a Config,
    pub(crate) counters: &'a mut Counters,
    pub(crate) out: &'a mut Vec<Event>,
}

/// Tables of one part.
pub(crate) struct Part {
    table: Table,
    fragments: Fragments,
    notice: Notice,
    copies: Box<[(u64, i64)]>,
    /// Bytes held by conversations.
    held: usize,
    /// What the frame at hand taught; kept so that no frame allocates.
    learned: Vec<Observation>,
}

/// A packet's transport, and where it stands.
struct Packet<'a> {
    vlan: Vlan,
    macs: [Option<model::Mac>; 2],
    ip: &'a Ip<'a>,
    /// Bytes to count.
    length: u32,
    payload: &'a [u8],
    truncated: bool,
}

impl Part {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            table: Table::new(config.seed),
            fragments: Fragments::new(share(config.max_fragment_bytes)),
            notice: Notice::new(),
            copies: vec![(0, i64::MIN); COPIES].into(),
            held: 0,
            learned: Vec::new(),
        }
    }

    pub(crate) fn frame(&mut self, cx: &mut Context<'_>, frame: &Frame<'_>, decoded: &Decoded<'_>) {
        let macs = [decoded.src_mac, decoded.dst_mac];
        let truncated = (frame.bytes.len() as u64) < u64::from(frame.orig_len);
        // Frames that bridges keep to themselves (IEEE 802.1Q table 8-1) come from ports, not from stations.
        let between_bridges = decoded.dst_mac.is_some_and(|mac| mac.0.starts_with(&[0x01, 0x80, 0xc2, 0, 0]));
        let nameless = match decoded.net {
            Net::Ip(ip) => !ip.src.is_host(),
            Net::Ether(..) | Net::Snap(..) => !between_bridges,
            Net::Llc | Net::Skipped | Net::Malformed => false,
        };
        if nameless {
            self.notice.heard(cx.no, cx.ts, decoded.vlan, decoded.src_mac, &mut self.learned);
        }
        match decoded.net {
            Net::Ip(ip) => self.ip(cx, decoded, &ip, truncated),
            Net::Ether(kind, bytes) => {
                self.link(cx, Claim::EtherType(kind), decoded.vlan, macs, bytes, truncated)
            }
            Net::Snap(oui, pid, bytes) => {
                self.link(cx, Claim::Snap { oui, pid }, decoded.vlan, macs, bytes, truncated);
            }
            Net::Llc | Net::Skipped | Net::Malformed => {}
        }
        cx.out.extend(self.learned.drain(..).map(Event::Observation));
    }

    fn link(
        &mut self,
        cx: &mut Context<'_>,
        claim: Claim,
        vlan: Vlan,
        macs: [Option<model::Mac>; 2],
        bytes: &[u8],
        truncated: bool,
    ) {
        if let Some(dissector) = cx.registry.link(claim) {
            let origin = Origin::link(cx.no, cx.ts, vlan, macs, truncated);
            datagram(dissector, &origin, bytes, cx.counters, &mut self.learned);
        }
    }

    fn ip(&mut self, cx: &mut Context<'_>, decoded: &Decoded<'_>, ip: &Ip<'_>, truncated: bool) {
        self.count_copy(cx, ip);
        let vlan = if cx.config.vlan_scope { decoded.vlan } else { Vlan::NONE };
        let macs = [decoded.src_mac, decoded.dst_mac];
        let mut packet = Packet { vlan, macs, ip, length: ip.length, payload: ip.payload, truncated };
        match ip.fragment {
            None => self.transport(cx, &packet),
            Some(place) => {
                let now = cx.now.0;
                if let Some(whole) = self.fragments.add(now, ip, place, &mut cx.counters.fragments_lost) {
                    add(&mut cx.counters.reassembled, 1);
                    packet.length = whole.length;
                    packet.payload = &whole.payload;
                    packet.truncated = false;
                    self.transport(cx, &packet);
                }
            }
        }
    }

    /// A copy of a packet, mirrored twice or seen on both sides of a router, differs in TTL and checksum only.
    fn count_copy(&mut self, cx: &mut Context<'_>, ip: &Ip<'_>) {
        let fold = |x: u128| (x as u64) ^ (x >> 64) as u64;
        let start = ip.payload.first_chunk::<16>().map_or(0, |head| fold(u128::from_be_bytes(*head)));
        let fragment = ip.fragment.map_or(0, |f| u64::from(f.offset).saturating_add(1));
        let name = u64::from(ip.ident) << 32 | u64::from(ip.length);
        let hash = mix(mix(fold(ip.src.bits), fold(ip.dst.bits).rotate_left(9)), mix(name, start ^ fragment));
        if let Some(seen) = self.copies.get_mut((hash as usize) & (COPIES.saturating_sub(1))) {
            if seen.0 == hash && cx.ts.0.abs_diff(seen.1) <= COPY_WINDOW.unsigned_abs() && ip.dst.is_host() {
                add(&mut cx.counters.duplicates, 1);
            }
            *seen = (hash, cx.ts.0);
        }
    }

    fn transport(&mut self, cx: &mut Context<'_>, packet: &Packet<'_>) {
        let ip = packet.ip;
        let (ports, segment, bytes) = match IpProto(ip.proto) {
            IpProto::TCP => match tcp(packet.payload) {
                Some(segment) => ((segment.src, segment.dst), Some(segment), segment.payload),
                None => return add(&mut cx.counters.malformed, 1),
            },
            IpProto::UDP => match udp(packet.payload) {
                Some((src, dst, bytes)) => ((src, dst), None, bytes),
                None => return add(&mut cx.counters.malformed, 1),
            },
            IpProto::SCTP => {
                match (crate::bytes::u16_at(packet.payload, 0), crate::bytes::u16_at(packet.payload, 2)) {
                    (Some(src), Some(dst)) => ((src, dst), None, packet.payload),
                    _ => return add(&mut cx.counters.malformed, 1),
                }
            }
            _ => ((0, 0), None, packet.payload),
        };
        let (src, dst) = ((ip.src, ports.0), (ip.dst, ports.1));
        let (key, side) = Key::new(packet.vlan, ip.proto, src, dst);
        self.notice.packet(cx.no, cx.ts, packet.vlan, packet.macs[0], ip, ports, bytes, &mut self.learned);

        let mut slot = self.table.find(&key);
        // A new connection between the same ports as one that has ended, or that was lost from sight.
        if let (Some(old), Some(tcp)) = (slot, &segment)
            && tcp.flags & (SYN | ACK | RST) == SYN
            && self.table.get(old).is_some_and(|flow| {
                let begun_elsewhere =
                    pick(&flow.start, side).is_some_and(|start| start != tcp.seq.wrapping_add(1));
                flow.tcp.ended() || begun_elsewhere
            })
        {
            self.end(cx, old);
            slot = None;
        }
        let slot = slot.unwrap_or_else(|| self.open(cx, key, side));
        let Some(flow) = self.table.get_mut(slot) else { return };
        flow.last = flow.last.max(cx.ts);
        let first_of_side = flow.packets(side) == 0;
        let moved = pick(&flow.macs, side) != packet.macs[0];
        add(pick_mut(&mut flow.packets, side), 1);
        add(pick_mut(&mut flow.bytes, side), u64::from(packet.length));
        if first_of_side || moved {
            *pick_mut(&mut flow.macs, side) = packet.macs[0];
            let answered = flow.packets(side.other()) > 0;
            self.notice.addresses(cx.no, cx.ts, packet.vlan, packet.macs, ip, answered, &mut self.learned);
        }
        match segment {
            Some(segment) => self.tcp(cx, packet, slot, side, &segment),
            None => {
                let claimed =
                    cx.registry.port(ip.proto, ports.1).or_else(|| cx.registry.port(ip.proto, ports.0));
                if let Some((place, dissector)) =
                    claimed.and_then(|place| Some((place, cx.registry.get(place)?)))
                {
                    let from = self.learned.len();
                    let (src, dst) = ends(src, dst);
                    let (no, ts, vlan, macs) = (cx.no, cx.ts, packet.vlan, packet.macs);
                    let truncated = packet.truncated;
                    let origin = Origin { no, ts, vlan, macs, src, dst, proto: ip.proto, side, truncated };
                    datagram(dissector, &origin, bytes, cx.counters, &mut self.learned);
                    if self.learned.len() > from {
                        flow.found = Some(place);
                    }
                }
            }
        }
    }

    /// Makes room for a flow and adds it.
    fn open(&mut self, cx: &mut Context<'_>, key: Key, side: Side) -> u32 {
        if self.table.len() >= share(cx.config.max_flows) {
            self.evict(cx);
        }
        add(&mut cx.counters.flows, 1);
        let flow = Flow {
            key,
            first_no: cx.no,
            first: cx.ts,
            last: cx.ts,
            packets: [0; 2],
            bytes: [0; 2],
            macs: [None; 2],
            start: [None; 2],
            tcp: TcpState::default(),
            opener: side,
            probed: 0,
            found: None,
            gaps: 0,
            conversation: None,
        };
        let check = cx.now.plus(idle(cx.config, &flow));
        self.table.insert(flow, check)
    }

    fn evict(&mut self, cx: &mut Context<'_>) {
        for last_try in (0..EVICTION_TRIES).rev() {
            let Some(slot) = self.table.soonest() else { return };
            let Some(flow) = self.table.get(slot) else { continue };
            let (first_no, check) = (flow.first_no, flow.last.plus(idle(cx.config, flow)));
            if last_try > 0
                && check > cx.now.plus(idle(cx.config, flow) / 2)
                && check.seconds() > cx.now.seconds()
            {
                self.table.timer(slot, first_no, check);
                continue;
            }
            add(&mut cx.counters.flows_evicted, 1);
            return self.end(cx, slot);
        }
    }

    fn tcp(&mut self, cx: &mut Context<'_>, packet: &Packet<'_>, slot: u32, side: Side, segment: &Tcp<'_>) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        let flags = segment.flags;
        let was_brief = is_brief(flow);
        let mut seq = segment.seq;
        if flags & SYN != 0 {
            // The first byte of data follows the SYN (RFC 9293 §3.4).
            seq = seq.wrapping_add(1);
            pick_mut(&mut flow.start, side).get_or_insert(seq);
            let client = if flags & ACK != 0 { side.other() } else { side };
            flow.tcp.client.get_or_insert(client);
            flow.tcp.syn_ack |= flags & ACK != 0;
        }
        flow.tcp.reset |= flags & RST != 0;
        *pick_mut(&mut flow.tcp.fin, side) |= flags & FIN != 0;
        // What comes with a RST is an explanation, not data (RFC 9293 §3.5.3).
        let bytes = if flags & RST != 0 { &[] } else { segment.payload };
        flow.tcp.data |= !bytes.is_empty();

        if !bytes.is_empty() && flow.conversation.is_none() && flow.probed < PROBES_CLAIMED {
            let ports = [segment.dst, segment.src];
            let claimed = ports.iter().any(|port| cx.registry.port(packet.ip.proto, *port).is_some());
            flow.probed = flow.probed.saturating_add(1);
            if flow.probed <= PROBES || claimed {
                if interesting(cx.registry, bytes) {
                    let mut conversation = Box::<Conversation>::default();
                    for side in [Side::Low, Side::High] {
                        // Where nothing of a side has been passed over, its first byte is known.
                        if let Some(start) = pick(&flow.start, side).filter(|_| flow.probed == 1) {
                            conversation.expect(side, start);
                        }
                    }
                    flow.conversation = Some(conversation);
                }
            } else {
                flow.probed = u8::MAX;
            }
        }
        if let Some(mut conversation) = flow.conversation.take() {
            let (src, dst) = ends((packet.ip.src, segment.src), (packet.ip.dst, segment.dst));
            let (no, ts, vlan, macs, proto) = (cx.no, cx.ts, packet.vlan, packet.macs, packet.ip.proto);
            let origin = Origin { no, ts, vlan, macs, src, dst, proto, side, truncated: packet.truncated };
            let before = conversation.held();
            let ack = (flags & ACK != 0).then_some(segment.ack);
            let (next, gaps) = conversation.segment(
                cx.registry,
                &origin,
                cx.now.0,
                seq,
                ack,
                bytes,
                cx.counters,
                &mut self.learned,
            );
            flow.gaps = flow.gaps.saturating_add(gaps);
            flow.found = conversation.found().or(flow.found);
            self.held = self.held.saturating_sub(before);
            let over = self.held.saturating_add(conversation.held()) > share(cx.config.max_reassembly_bytes);
            if over {
                let gaps = conversation.relieve(cx.registry, &origin, cx.counters, &mut self.learned);
                flow.gaps = flow.gaps.saturating_add(gaps);
            }
            match next {
                Next::Keep => {
                    self.held = self.held.saturating_add(conversation.held());
                    flow.conversation = Some(conversation);
                }
                Next::Drop if flow.found.is_some() => flow.probed = u8::MAX,
                Next::Drop => {}
            }
        }
        if is_brief(flow) && !was_brief && flow.tcp.ended() {
            let (first_no, check) = (flow.first_no, cx.now.plus(cx.config.tcp_brief));
            self.table.timer(slot, first_no, check);
        }
    }

    /// Closes a flow: what its last bytes teach, and its record.
    fn end(&mut self, cx: &mut Context<'_>, slot: u32) {
        let Some(mut flow) = self.table.remove(slot) else { return };
        let mut learned = Vec::new();
        if let Some(mut conversation) = flow.conversation.take() {
            self.held = self.held.saturating_sub(conversation.held());
            let key = flow.key.flow_key();
            let (vlan, macs, proto) = (key.vlan, flow.macs, flow.key.proto);
            let (no, ts) = (cx.no, flow.last);
            let origin = Origin {
                no,
                ts,
                vlan,
                macs,
                src: key.low,
                dst: key.high,
                proto,
                side: Side::Low,
                truncated: false,
            };
            let gaps = conversation.close(cx.registry, &origin, cx.counters, &mut learned);
            flow.gaps = flow.gaps.saturating_add(gaps);
            flow.found = conversation.found().or(flow.found);
        }
        let proto = flow.key.proto;
        let name = |place: u8| cx.registry.get(place).map(|dissector| dissector.name);
        let claimed = |port: u16| cx.registry.port(proto, port).and_then(name);
        let record = flow.record(claimed, flow.found.and_then(name));
        let single = flow.key.low.is_host() && flow.key.high.is_host();
        if record.is_one_sided() && single && matches!(IpProto(proto), IpProto::TCP | IpProto::UDP) {
            add(&mut cx.counters.one_sided, 1);
        }
        cx.out.push(Event::Flow { no: cx.no, record: Box::new(record), learned });
    }

    /// Closes what has been idle too long.
    pub(crate) fn expire(&mut self, cx: &mut Context<'_>) {
        for slot in self.table.due(cx.now.seconds()) {
            let Some(flow) = self.table.get(slot) else { continue };
            let check = flow.last.plus(idle(cx.config, flow));
            if check > cx.now {
                let first_no = flow.first_no;
                self.table.timer(slot, first_no, check);
            } else {
                self.end(cx, slot);
            }
        }
        self.fragments.expire(cx.now.0, &mut cx.counters.fragments_lost);
    }

    /// Closes everything.
    pub(crate) fn finish(&mut self, cx: &mut Context<'_>) {
        for slot in self.table.all() {
            self.end(cx, slot);
        }
        let left = self.fragments.finish();
        add(&mut cx.counters.fragments_lost, left);
    }
}

/// A part's share of a total.
fn share(total: usize) -> usize {
    total.div_ceil(PARTS).max(1)
}

/// Whether a TCP flow is in a state that does not last: not established, or over.
fn is_brief(flow: &Flow) -> bool {
    flow.tcp.ended() || (flow.tcp.client.is_some() && !flow.tcp.syn_ack && !flow.tcp.data)
}

/// How long a flow may be idle, in nanoseconds.
fn idle(config: &Config, flow: &Flow) -> i64 {
    match IpProto(flow.key.proto) {
        IpProto::TCP if is_brief(flow) => config.tcp_brief,
        IpProto::TCP => config.tcp_idle,
        _ => config.other_idle,
    }
}
