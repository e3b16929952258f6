//! One part of the traffic: its flows, its fragments, and what becomes of its packets.

mod ending;

use crate::config::{Config, share};
use crate::copies::{self, Copies};
use crate::counters::{Counters, Networks, Tally, add};
use crate::decode::{ACK, Decoded, FIN, Fragment, Ip, Net, RST, SYN, Tcp};
use crate::dispatch::{Conversation, Next, Origin, Registry, datagram, interesting};
use crate::fragments::Fragments;
use crate::notice::Notice;
use crate::packet::{Packet, Transport};
use crate::sessions::Sessions;
use crate::shard::{FETCH_AHEAD, is_truncated};
use crate::table::{Flow, NONE, Table, pick_mut};
use crate::timers::{Timers, is_due};
use dissectors::{Claim, Memory};
use model::{Event, Fact, Frame, IpProto, Observation, Side, Timestamp, Vlan};

/// Segments with data looked at before a connection is taken for none of ours: on any port, and on a claimed one.
const PROBES: u8 = 4;
const PROBES_CLAIMED: u8 = 64;

/// Flows looked at for one to evict.
const EVICTION_TRIES: usize = 16;

/// Flows that one frame closes in one part because they have been idle too long. The others that are due follow with the
/// next frames: a flood ends flow by flow, as it came, not with all its records at once.
const CLOSED_AT_ONCE: usize = 64;

/// Conversations given up at one frame while memory is short.
const GIVEN_UP_AT_ONCE: usize = 8;

/// What a frame's handling needs of its shard.
pub(crate) struct Context<'a> {
    pub(crate) no: u64,
    pub(crate) ts: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) registry: &'a Registry,
    pub(crate) config: &'a Config,
    pub(crate) tally: &'a mut Tally,
    pub(crate) memory: &'a mut Memory,
    pub(crate) out: &'a mut Vec<Event>,
}

/// A flow that is to be closed: the number of its first frame, its part and its place there.
pub(crate) type Ending = (u64, u8, u32);

/// Tables of one part.
pub(crate) struct Part {
    table: Table,
    timers: Timers,
    sessions: Sessions,
    fragments: Fragments,
    notice: Notice,
    copies: Copies,
    networks: Networks,
    /// Bytes held by conversations.
    held: usize,
    /// A second, and those of its flows that are still to be looked at.
    due: (i64, std::vec::IntoIter<u32>),
    overdue: bool,
    /// What dissectors learned of the frame at hand; kept so that no frame allocates.
    learned: Vec<Observation>,
}

impl Part {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            table: Table::new(config.seed),
            timers: Timers::new(),
            sessions: Sessions::new(share(config.max_sessions)),
            fragments: Fragments::new(share(config.max_fragment_bytes)),
            notice: Notice::new(config.seed),
            copies: Copies::new(),
            networks: Networks::new(),
            held: 0,
            due: Default::default(),
            overdue: false,
            learned: Vec::new(),
        }
    }

    /// A packet is about to come: first its places in the tables are fetched, then the flow that stands there.
    #[inline]
    pub(crate) fn fetch_places(&self, transport: &Transport<'_>) {
        self.table.fetch_place(transport.hash);
        self.copies.fetch(transport.signature);
    }

    /// Where the flow of a packet most likely is, which is fetched; of a new one, what its addresses are asked for.
    #[inline]
    pub(crate) fn fetch_flow(&self, transport: &Transport<'_>, decoded: &Decoded<'_>) -> u32 {
        let slot = self.table.fetch_flow(transport.hash);
        if slot == NONE
            && let Net::Ip(ip) = &decoded.net
        {
            self.notice.fetch(decoded.vlan, decoded.macs(), ip);
        }
        slot
    }

    /// A flow is about to be closed.
    pub(crate) fn fetch_slot(&self, slot: u32) {
        self.table.fetch_slot(slot);
    }

    fn find(&self, transport: &Transport<'_>) -> u32 {
        self.table.find(&transport.key, transport.hash).unwrap_or(NONE)
    }

    /// A packet with its transport; `slot` is where its flow most likely is.
    #[inline]
    pub(crate) fn packet(&mut self, cx: &mut Context<'_>, packet: &Packet<'_, '_>, slot: u32) {
        if !packet.ip.src.is_host() {
            self.notice.heard(cx.no, cx.ts, packet.vlan, packet.decoded.src_mac, cx.out);
        }
        let signature = packet.transport.signature;
        match self.copies.original(signature, cx.ts.0) {
            Some(original) => self.copy(cx, packet, original),
            None => {
                let slot = self.transport(cx, packet, slot);
                self.copies.remember(signature, cx.ts.0, slot);
            }
        }
        self.pass_on(cx);
    }

    /// Everything else.
    pub(crate) fn frame(
        &mut self,
        cx: &mut Context<'_>,
        frame: &Frame<'_>,
        decoded: &Decoded<'_>,
        scope: u16,
    ) {
        let truncated = is_truncated(frame);
        // Frames that bridges keep to themselves (IEEE 802.1Q table 8-1) come from ports, not from stations.
        let between_bridges = decoded.dst_mac.is_some_and(|mac| mac.0.starts_with(&[0x01, 0x80, 0xc2, 0, 0]));
        let nameless = match decoded.net {
            Net::Ip(ip) => !ip.src.is_host(),
            Net::Ether(..) | Net::Snap(..) => !between_bridges,
            Net::Llc | Net::Skipped | Net::Malformed => false,
        };
        if nameless {
            self.notice.heard(cx.no, cx.ts, decoded.vlan, decoded.src_mac, cx.out);
        }
        match decoded.net {
            Net::Ip(ip) => match ip.fragment {
                Some(place) => self.fragment(cx, decoded, &ip, place, scope, truncated),
                None => add(&mut cx.tally.sum.malformed, 1),
            },
            Net::Ether(kind, bytes) => {
                self.link(cx, Claim::EtherType(kind), decoded, bytes, scope, truncated)
            }
            Net::Snap(oui, pid, bytes) => {
                self.link(cx, Claim::Snap { oui, pid }, decoded, bytes, scope, truncated);
            }
            Net::Llc if decoded.tunnel.is_some() && between_bridges => add(&mut cx.tally.sum.elsewhere, 1),
            Net::Llc | Net::Skipped | Net::Malformed => {}
        }
        self.pass_on(cx);
    }

    fn pass_on(&mut self, cx: &mut Context<'_>) {
        if !self.learned.is_empty() {
            cx.out.extend(self.learned.drain(..).map(Event::Observation));
        }
    }

    /// A copy of a packet is counted as such. When it was seen in another VLAN, both are the same flow from now on:
    /// an answer may be seen in that one first.
    #[cold]
    fn copy(&mut self, cx: &mut Context<'_>, packet: &Packet<'_, '_>, original: u32) {
        let key = &packet.transport.key;
        self.count_copy(cx, key.scope);
        let place = self.find(packet.transport);
        let Some(flow) = self.table.get_mut(original).filter(|flow| flow.has_ends_of(key)) else { return };
        // What is routed is seen in two VLANs by right, and who relays sends it on in the same one; from the same sender in the
        // same one it is the mirror that shows it twice.
        let side = packet.transport.side;
        if flow.scope(side) == key.scope && !flow.has_other_mac(side, packet.decoded.src_mac) {
            flow.was_copied();
        }
        // No key may ever be two flows'.
        if place == NONE && flow.also == flow.key.scope {
            flow.also = key.scope;
        }
    }

    fn count_copy(&self, cx: &mut Context<'_>, scope: u16) {
        add(&mut cx.tally.sum.duplicates, 1);
        cx.tally.quality(scope, |quality| add(&mut quality.duplicates, 1));
    }

    fn link(
        &mut self,
        cx: &mut Context<'_>,
        claim: Claim,
        decoded: &Decoded<'_>,
        bytes: &[u8],
        scope: u16,
        truncated: bool,
    ) {
        let sender = decoded.src_mac.map_or(0, model::Mac::to_u64);
        let signature = copies::of_frame(sender, bytes);
        if self.copies.original(signature, cx.ts.0).is_some() {
            return self.count_copy(cx, scope);
        }
        self.copies.remember(signature, cx.ts.0, NONE);
        let Some(place) = cx.registry.link(claim) else { return };
        let (vlan, macs) = (decoded.vlan, decoded.macs());
        let origin = Origin::link(cx.no, cx.ts, vlan, macs, truncated);
        let from = self.learned.len();
        datagram(cx.registry, place, &origin, bytes, cx.tally, cx.memory, &mut self.learned);
        if decoded.tunnel.is_some() && decoded.dst_mac.is_none_or(model::Mac::is_link_local) {
            // It speaks of the segment at the other end: who its sender is holds here too, what it is plugged in does not.
            add(&mut cx.tally.sum.elsewhere, 1);
            let mut place = 0usize;
            self.learned.retain(|o| {
                place = place.saturating_add(1);
                place <= from || !matches!(o.fact, Fact::Attachment { .. } | Fact::Member(_))
            });
        }
    }

    fn fragment(
        &mut self,
        cx: &mut Context<'_>,
        decoded: &Decoded<'_>,
        ip: &Ip<'_>,
        place: Fragment,
        scope: u16,
        truncated: bool,
    ) {
        let sender = (ip.src.bits as u64).rotate_left(32) ^ ip.dst.bits as u64;
        let signature = copies::of_packet(sender, ip);
        if self.copies.original(signature, cx.ts.0).is_some() {
            return self.count_copy(cx, scope);
        }
        self.copies.remember(signature, cx.ts.0, NONE);
        let Some(whole) = self.fragments.add(cx.now.0, ip, place, &mut cx.tally.sum) else {
            return;
        };
        add(&mut cx.tally.sum.reassembled, 1);
        let ip = Ip { fragment: None, payload: &whole.payload, length: whole.length, cut: false, ..*ip };
        let (vlan, scope) = if cx.config.vlan_scope { (decoded.vlan, scope) } else { (Vlan::NONE, 0) };
        match Transport::new(&ip, scope, cx.config.seed) {
            Some(transport) => {
                let packet = Packet { vlan, decoded, ip: &ip, transport: &transport, truncated };
                let slot = self.find(&transport);
                self.transport(cx, &packet, slot);
            }
            None => add(&mut cx.tally.sum.malformed, 1),
        }
    }

    /// Counts a packet to its flow and reads it; where the flow is.
    #[inline]
    fn transport(&mut self, cx: &mut Context<'_>, packet: &Packet<'_, '_>, found: u32) -> u32 {
        let Packet { ip, transport, .. } = *packet;
        let side = transport.side;
        if ip.proto != IpProto::TCP.0 {
            self.notice.packet(cx.no, cx.ts, packet, cx.out);
        }
        // Most likely is not surely: the batch may have opened or closed it since.
        let mut slot = found;
        let mut flow = self.table.of(slot, &transport.key);
        if flow.is_none() {
            slot = self.find(transport);
            flow = self.table.get(slot);
        }
        if flow.is_some_and(|flow| starts_anew(cx, flow, packet)) {
            self.end(cx, slot);
            slot = NONE;
        }
        if slot == NONE {
            slot = self.open(cx, packet);
        }
        let Some(flow) = self.table.get_mut(slot) else { return NONE };
        flow.last = flow.last.max(cx.ts);
        flow.begins(cx.no, cx.ts);
        let first_of_side = flow.packets(side) == 0;
        let moved = flow.has_other_mac(side, packet.decoded.src_mac);
        if packet.truncated {
            flow.was_cut_short();
        }
        let packets = pick_mut(&mut flow.packets, side);
        *packets = packets.saturating_add(1);
        add(pick_mut(&mut flow.bytes, side), u64::from(ip.length));
        if first_of_side {
            flow.heard_in(side, transport.key.scope);
        }
        if first_of_side || moved {
            flow.set_mac(side, packet.decoded.src_mac);
            let answered = flow.packets(side.other()) > 0;
            if !answered {
                flow.set_mac(side.other(), packet.decoded.macs()[1].filter(|mac| !mac.is_group()));
            }
            self.notice.addresses(cx.no, cx.ts, packet, answered, cx.out);
        }
        match &transport.segment {
            Some(segment) => self.tcp(cx, packet, slot, segment),
            None => self.datagram(cx, packet, slot),
        }
        slot
    }

    fn datagram(&mut self, cx: &mut Context<'_>, packet: &Packet<'_, '_>, slot: u32) {
        let (registry, proto) = (cx.registry, packet.ip.proto);
        let Some(place) = registry
            .port(proto, packet.transport.ports.1)
            .or_else(|| registry.port(proto, packet.transport.ports.0))
        else {
            return;
        };
        let from = self.learned.len();
        let own = self.table.get(slot).and_then(|flow| flow.own_mac(packet.transport.side.other()));
        let origin = packet.origin(cx.no, cx.ts).to(own);
        datagram(registry, place, &origin, packet.transport.bytes, cx.tally, cx.memory, &mut self.learned);
        if self.learned.len() > from
            && let Some(flow) = self.table.get_mut(slot)
        {
            flow.find(place);
        }
    }

    /// Makes room for a flow and adds it.
    fn open(&mut self, cx: &mut Context<'_>, packet: &Packet<'_, '_>) -> u32 {
        if self.table.len() >= share(cx.config.max_flows)
            && let Some(slot) = self.table.least_missed(EVICTION_TRIES)
        {
            add(&mut cx.tally.sum.flows_evicted, 1);
            self.end(cx, slot);
        }
        add(&mut cx.tally.sum.flows, 1);
        let mut flow = Flow::new(packet.transport.key, packet.transport.side, cx.no, cx.ts);
        if packet.decoded.tunnel.is_some() {
            flow.tunnel = cx.tally.tunnels.known(packet.decoded.tunnel);
        }
        let check = cx.now.plus(flow.idle(cx.config).min(cx.config.told_every)).seconds();
        let slot = self.table.insert(flow, packet.transport.hash);
        self.timers.set(&mut self.table, slot, cx.now.seconds(), check.saturating_add(1));
        slot
    }

    fn tcp(&mut self, cx: &mut Context<'_>, packet: &Packet<'_, '_>, slot: u32, segment: &Tcp<'_>) {
        let side = packet.transport.side;
        let Some(flow) = self.table.get_mut(slot) else { return };
        let flags = segment.flags;
        let was_over = flow.is_over();
        let mut seq = segment.seq;
        if flags & SYN != 0 {
            // The first byte of data follows the SYN (RFC 9293 §3.4).
            seq = seq.wrapping_add(1);
            flow.syn(side, seq, flags & ACK != 0);
        }
        // What comes with a RST is an explanation, not data (RFC 9293 §3.5.3).
        let bytes = if flags & RST != 0 { &[] } else { segment.payload };
        flow.saw(side, flags & FIN != 0, flags & RST != 0, !bytes.is_empty());
        let ends = flow.is_over() && !was_over;
        if !bytes.is_empty() && flow.conversation == NONE && flow.probed < PROBES_CLAIMED {
            self.probe(cx, packet, slot, bytes);
        }
        if let Some(flow) = self.table.get(slot)
            && flow.conversation != NONE
        {
            self.read(cx, packet, slot, seq, segment, bytes);
        }
        if ends {
            let now = cx.now.seconds();
            let check = cx.now.plus(cx.config.tcp_brief).seconds().saturating_add(1);
            self.timers.set(&mut self.table, slot, now, check);
        }
    }

    /// Whether the first bytes of a connection are worth reading it.
    fn probe(&mut self, cx: &mut Context<'_>, packet: &Packet<'_, '_>, slot: u32, bytes: &[u8]) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        flow.probed = flow.probed.saturating_add(1);
        let claims = |port| cx.registry.port(packet.ip.proto, port).is_some();
        if flow.probed > PROBES && !claims(packet.transport.ports.0) && !claims(packet.transport.ports.1) {
            flow.probed = u8::MAX;
            return;
        }
        if !interesting(cx.registry, bytes) {
            return;
        }
        let mut conversation = Box::<Conversation>::default();
        for side in [Side::Low, Side::High] {
            // Where nothing of a side has been passed over, its first byte is known.
            if let Some(start) = flow.start(side).filter(|_| flow.probed == 1) {
                conversation.expect(side, start);
            }
            if let Some(mac) = flow.own_mac(side) {
                conversation.sends_by(side, mac);
            }
        }
        if self.sessions.is_full() {
            self.give_up_a_session(cx);
        }
        self.held = self.held.saturating_add(conversation.charge());
        let number = self.sessions.add(slot, conversation);
        if let Some(flow) = self.table.get_mut(slot) {
            flow.conversation = number;
        }
    }

    /// Of a few connections that are read, the one idle longest is only counted from here on.
    fn give_up_a_session(&mut self, cx: &mut Context<'_>) {
        let table = &self.table;
        let idle_longest =
            self.sessions.next_few().filter_map(|slot| table.get(slot).map(|flow| (flow.last, slot))).min();
        if let Some((_, slot)) = idle_longest
            && let Some(flow) = self.table.get_mut(slot)
        {
            let number = std::mem::replace(&mut flow.conversation, NONE);
            flow.probed = u8::MAX;
            if let Some(conversation) = self.sessions.remove(number) {
                if let Some(place) = conversation.found() {
                    flow.find(place);
                }
                self.held = self.held.saturating_sub(conversation.charged());
                add(&mut cx.tally.sum.sessions_evicted, 1);
            }
        }
    }

    /// Hands a segment to its conversation.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        packet: &Packet<'_, '_>,
        slot: u32,
        seq: u32,
        segment: &Tcp<'_>,
        bytes: &[u8],
    ) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        let Some(conversation) = self.sessions.get_mut(flow.conversation) else { return };
        let before = conversation.charged();
        let ack = (segment.flags & ACK != 0).then_some(segment.ack);
        let origin = packet.origin(cx.no, cx.ts);
        let (registry, now, learned) = (cx.registry, cx.now.0, &mut self.learned);
        let (next, mut gaps) =
            conversation.segment(registry, &origin, now, seq, ack, bytes, cx.tally, learned);
        if segment.flags & (FIN | RST) != 0 {
            conversation.leaves(packet.transport.side);
        }
        self.held = self.held.saturating_sub(before).saturating_add(conversation.charge());
        if self.held > share(cx.config.max_reassembly_bytes) {
            self.held = self.held.saturating_sub(conversation.charged());
            gaps = gaps.saturating_add(conversation.relieve(registry, &origin, cx.tally, learned));
            self.held = self.held.saturating_add(conversation.charge());
        }
        let is_holed = gaps > 0 && flow.gaps == 0;
        flow.gaps = flow.gaps.saturating_add(u16::try_from(gaps).unwrap_or(u16::MAX));
        if let Some(place) = conversation.found() {
            flow.find(place);
        }
        if is_holed {
            let (now, check) = (cx.now.seconds(), flow.check(cx.config).seconds().saturating_add(1));
            self.timers.set(&mut self.table, slot, now, check);
        }
        let Some(flow) = self.table.get_mut(slot) else { return };
        if matches!(next, Next::Drop) {
            self.held = self.held.saturating_sub(conversation.charged());
            self.sessions.remove(std::mem::replace(&mut flow.conversation, NONE));
            if flow.found().is_some() {
                flow.probed = u8::MAX;
            }
        }
        for _ in 0..GIVEN_UP_AT_ONCE {
            if self.held <= share(cx.config.max_reassembly_bytes) {
                break;
            }
            self.give_up_a_session(cx);
        }
    }

    /// What has been idle too long, some of it at a time, as (number of its first frame, this part, place), to be closed.
    pub(crate) fn idle(
        &mut self,
        cx: &mut Context<'_>,
        number: u8,
        next_second: bool,
        out: &mut Vec<Ending>,
    ) {
        if next_second {
            self.fragments.expire(cx.now.0, &mut cx.tally.sum.fragments_lost);
        } else if !self.overdue {
            return;
        }
        let (now, mut closed) = (cx.now.seconds(), 0usize);
        self.overdue = false;
        while let Some((second, slot)) = self.next_due(now) {
            if !is_due(&self.table, slot, second) {
                continue;
            }
            let Some(flow) = self.table.get_mut(slot) else { continue };
            let check = flow.check(cx.config);
            if check > cx.now {
                self.timers.set(&mut self.table, slot, now, check.seconds().saturating_add(1));
                continue;
            }
            // A place left behind in the list may name it twice.
            flow.timer = NONE;
            out.push((flow.first_no, number, slot));
            closed = closed.saturating_add(1);
            if closed >= CLOSED_AT_ONCE {
                self.overdue = true;
                return;
            }
        }
    }

    fn next_due(&mut self, now: i64) -> Option<(i64, u32)> {
        loop {
            let (second, places) = &mut self.due;
            if let Some(slot) = places.next() {
                if let Some(coming) = places.as_slice().get(FETCH_AHEAD) {
                    self.table.fetch_slot(*coming);
                }
                return Some((*second, slot));
            }
            let (second, places) = self.timers.due(now)?;
            self.due = (second, places.into_iter());
        }
    }

    /// Whether more has been idle too long than was closed yet.
    pub(crate) const fn is_overdue(&self) -> bool {
        self.overdue
    }

    /// Every open flow; fragments are given up.
    pub(crate) fn open_flows(&mut self, cx: &mut Context<'_>, number: u8, out: &mut Vec<Ending>) {
        out.extend(self.table.all().map(|(slot, flow)| (flow.first_no, number, slot)));
        let left = self.fragments.finish();
        add(&mut cx.tally.sum.fragments_lost, left);
    }

    /// The clock of the capture was set.
    pub(crate) fn restart_clock(&mut self, now: Timestamp) {
        self.due = Default::default();
        self.overdue = false;
        self.timers.restart(&mut self.table, now.seconds());
    }

    /// Adds what is counted by part to counts that are given out.
    pub(crate) fn add_to(&self, out: &mut Counters) {
        self.networks.add_to(out);
    }
}

/// Whether a packet begins another flow between the same ports: the old one has been idle too long, has ended, was lost
/// from sight, or can be counted no further.
#[inline]
fn starts_anew(cx: &Context<'_>, flow: &Flow, packet: &Packet<'_, '_>) -> bool {
    let silence = cx.ts.since(flow.last);
    if silence > cx.config.tcp_brief && silence > flow.idle(cx.config) {
        return true;
    }
    let syn = packet.transport.segment.as_ref().filter(|tcp| tcp.flags & (SYN | ACK | RST) == SYN);
    syn.is_some_and(|tcp| {
        flow.ended()
            || flow.start(packet.transport.side).is_some_and(|start| start != tcp.seq.wrapping_add(1))
    }) || flow.packets(packet.transport.side) == u32::MAX
}
