//! The flow table of one part: entries of two cache lines in a dense list, found by an index of their places. Keys are
//! hashed with a seed, because whoever sends packets chooses them.

use crate::config::{Config, mix};
use crate::decode::Addr;
use model::{
    FlowKey, FlowRecord, FlowState, Index, IpProto, Mac, OriginatorBy, Side, Timestamp, Tunnel, Vlan,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// No place.
pub(crate) const NONE: u32 = Index::NONE;

/// The canonical key in compact form. Both ends are of one IP version, and 16 bytes each whichever it is: exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Key {
    low: [u64; 2],
    high: [u64; 2],
    low_port: u16,
    high_port: u16,
    pub(crate) proto: u8,
    v6: bool,
    /// Number of the VLAN scope.
    pub(crate) scope: u16,
}

impl Key {
    /// No packet's.
    pub(crate) const NOTHING: Self =
        Self { low: [0; 2], high: [0; 2], low_port: 0, high_port: 0, proto: 0, v6: false, scope: 0 };

    /// The key of a packet, and which side sent it.
    #[inline]
    pub(crate) fn new(scope: u16, proto: u8, src: (Addr, u16), dst: (Addr, u16)) -> (Self, Side) {
        // Both ends are of one version.
        let in_order = match src.0.bits == dst.0.bits {
            true => src.1 <= dst.1,
            false => src.0.bits < dst.0.bits,
        };
        let (side, low, high) = if in_order { (Side::Low, src, dst) } else { (Side::High, dst, src) };
        let halves = |bits: u128| [(bits >> 64) as u64, bits as u64];
        let key = Self {
            low: halves(low.0.bits),
            high: halves(high.0.bits),
            low_port: low.1,
            high_port: high.1,
            proto,
            v6: low.0.v6,
            scope,
        };
        (key, side)
    }

    /// The scope is left out: one connection seen in two VLANs can be one flow.
    pub(crate) fn hash(&self, seed: u64) -> u64 {
        let ports = u64::from(self.low_port) << 32 | u64::from(self.high_port) << 16 | u64::from(self.proto);
        let [low_upper, low] = self.low;
        let [high_upper, high] = self.high;
        let mut hash = mix(low ^ seed, high ^ ports.rotate_left(24));
        if self.v6 {
            hash ^= mix(low_upper ^ seed.rotate_left(32), high_upper);
        }
        mix(hash, ports ^ seed)
    }

    fn same_ends(&self, other: &Self) -> bool {
        Self { scope: 0, ..*self } == Self { scope: 0, ..*other }
    }

    fn addr(&self, half: [u64; 2]) -> IpAddr {
        let [upper, lower] = half;
        if self.v6 {
            IpAddr::V6(Ipv6Addr::from(u128::from(upper) << 64 | u128::from(lower)))
        } else {
            IpAddr::V4(Ipv4Addr::from(lower as u32))
        }
    }

    /// Address and port of both ends, the lower first.
    pub(crate) fn ends(&self) -> [(IpAddr, u16); 2] {
        [(self.addr(self.low), self.low_port), (self.addr(self.high), self.high_port)]
    }

    fn flow_key(&self, vlan: Vlan) -> FlowKey {
        let [low, high] = self.ends();
        FlowKey { vlan, proto: IpProto(self.proto), low, high }
    }
}

/// One flow. Pairs are indexed by [`Side::index`].
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Flow {
    pub(crate) key: Key,
    /// A second scope in which copies of its packets were seen; the key's own when there is none.
    pub(crate) also: u16,
    bits: u32,
    /// Place in the registry of what was found by content, plus one.
    found: u8,
    /// Segments with data that were probed, both sides together; `u8::MAX` when no more will be.
    pub(crate) probed: u8,
    pub(crate) gaps: u16,
    pub(crate) first_no: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) bytes: [u64; 2],
    pub(crate) packets: [u32; 2],
    macs: [Mac; 2],
    /// Sequence number of each side's first byte, from its SYN.
    start: [u32; 2],
    /// The second in which it is looked at again.
    pub(crate) timer: u32,
    /// Place of its conversation.
    pub(crate) conversation: u32,
    /// Number of the tunnel it was first seen in.
    pub(crate) tunnel: u16,
}

/// Nanoseconds after which what there was of a flow is told when it has holes, where the part before had none.
const HOLES_TOLD: i64 = 60_000_000_000;

/// Flows never answered among which one is chosen to give way.
const ENOUGH: u32 = 4;

const _: () = assert!(size_of::<Flow>() == 128, "an entry is two cache lines");

/// What is known of a flow, one bit each.
mod bit {
    pub(super) const USED: u32 = 1;
    pub(super) const OPENED_BY_HIGH: u32 = 1 << 1;
    pub(super) const CLIENT_LOW: u32 = 1 << 2;
    pub(super) const CLIENT_HIGH: u32 = 1 << 3;
    pub(super) const SYN_ACK: u32 = 1 << 4;
    pub(super) const FIN_LOW: u32 = 1 << 5;
    pub(super) const FIN_HIGH: u32 = 1 << 6;
    pub(super) const RESET: u32 = 1 << 7;
    pub(super) const DATA: u32 = 1 << 8;
    pub(super) const START_LOW: u32 = 1 << 9;
    pub(super) const START_HIGH: u32 = 1 << 10;
    pub(super) const LOW_IN_ALSO: u32 = 1 << 11;
    pub(super) const HIGH_IN_ALSO: u32 = 1 << 12;
    pub(super) const CUT_SHORT: u32 = 1 << 13;
    pub(super) const COPIED: u32 = 1 << 14;
    /// Something was told of it already, and that both sides were heard then.
    pub(super) const TOLD: u32 = 1 << 15;
    pub(super) const TOLD_BOTH: u32 = 1 << 16;
    /// What was told last had holes.
    pub(super) const TOLD_HOLES: u32 = 1 << 17;
}

const fn of(side: Side, low: u32, high: u32) -> u32 {
    match side {
        Side::Low => low,
        Side::High => high,
    }
}

impl Flow {
    pub(crate) fn new(key: Key, opener: Side, no: u64, ts: Timestamp) -> Self {
        Self {
            key,
            also: key.scope,
            bits: bit::USED | of(opener, 0, bit::OPENED_BY_HIGH),
            first_no: no,
            first: ts,
            last: ts,
            timer: NONE,
            conversation: NONE,
            ..Self::default()
        }
    }

    const fn has(&self, bits: u32) -> bool {
        self.bits & bits != 0
    }

    /// Whether the key is this flow's, in one of its scopes.
    fn is(&self, key: &Key) -> bool {
        self.has(bit::USED) && (self.key == *key || (self.also == key.scope && self.key.same_ends(key)))
    }

    /// Whether it is the same conversation, whatever the scope.
    pub(crate) fn has_ends_of(&self, key: &Key) -> bool {
        self.has(bit::USED) && self.key.same_ends(key)
    }

    pub(crate) fn packets(&self, side: Side) -> u32 {
        pick(&self.packets, side)
    }

    /// Whether both sides were ever heard.
    pub(crate) fn is_two_sided(&self) -> bool {
        self.has(bit::TOLD_BOTH) || (self.packets[0] > 0 && self.packets[1] > 0)
    }

    /// Whether there is anything of it that was not told yet.
    pub(crate) fn has_packets(&self) -> bool {
        self.packets != [0; 2]
    }

    /// A packet came: if it is the first since anything was told, what is told next begins with it.
    #[inline]
    pub(crate) fn begins(&mut self, no: u64, ts: Timestamp) {
        if !self.has_packets() {
            (self.first_no, self.first) = (no, ts);
        }
    }

    /// What there was of it was told: from now on is counted anew.
    pub(crate) fn told(&mut self) {
        self.bits |= bit::TOLD | if self.is_two_sided() { bit::TOLD_BOTH } else { 0 };
        self.bits &= !(bit::CUT_SHORT | bit::COPIED | bit::TOLD_HOLES);
        self.bits |= if self.gaps > 0 { bit::TOLD_HOLES } else { 0 };
        (self.packets, self.bytes, self.gaps) = ([0; 2], [0; 2], 0);
    }

    /// When it is to be looked at: whether it is over, or to tell what there was of it.
    pub(crate) fn check(&self, config: &Config) -> Timestamp {
        let over = self.last.plus(self.idle(config));
        // That frames are lost is told soon, once.
        let is_news = self.gaps > 0 && !self.has(bit::TOLD_HOLES);
        let every = if is_news { config.told_every.min(HOLES_TOLD) } else { config.told_every };
        if self.has_packets() { over.min(self.first.plus(every)) } else { over }
    }

    pub(crate) fn mac(&self, side: Side) -> Option<Mac> {
        Some(pick(&self.macs, side)).filter(|mac| !mac.is_zero())
    }

    /// Whether a side's MAC was not this one. One of zeroes is none, and always another.
    pub(crate) fn has_other_mac(&self, side: Side, mac: Option<Mac>) -> bool {
        let known = pick(&self.macs, side);
        match mac {
            Some(mac) => known != mac || mac.is_zero(),
            None => !known.is_zero(),
        }
    }

    pub(crate) fn macs(&self) -> [Option<Mac>; 2] {
        [self.mac(Side::Low), self.mac(Side::High)]
    }

    /// The MAC that a side itself sends with, as far as it was heard since anything was told.
    pub(crate) fn own_mac(&self, side: Side) -> Option<Mac> {
        self.mac(side).filter(|_| self.packets(side) > 0)
    }

    pub(crate) fn set_mac(&mut self, side: Side, mac: Option<Mac>) {
        *pick_mut(&mut self.macs, side) = mac.unwrap_or_default();
    }

    /// The first packet of a side, and the scope it was heard in.
    pub(crate) const fn heard_in(&mut self, side: Side, scope: u16) {
        if scope != self.key.scope {
            self.bits |= of(side, bit::LOW_IN_ALSO, bit::HIGH_IN_ALSO);
        }
    }

    /// A packet of it was cut short by the capture.
    pub(crate) const fn was_cut_short(&mut self) {
        self.bits |= bit::CUT_SHORT;
    }

    /// A packet of it was seen a second time where it was seen before.
    pub(crate) const fn was_copied(&mut self) {
        self.bits |= bit::COPIED;
    }

    /// The scope a side was heard in.
    pub(crate) const fn scope(&self, side: Side) -> u16 {
        if self.has(of(side, bit::LOW_IN_ALSO, bit::HIGH_IN_ALSO)) { self.also } else { self.key.scope }
    }

    pub(crate) fn start(&self, side: Side) -> Option<u32> {
        self.has(of(side, bit::START_LOW, bit::START_HIGH)).then(|| pick(&self.start, side))
    }

    /// A SYN: where the data of its side begins, and who is the client.
    pub(crate) fn syn(&mut self, side: Side, start: u32, ack: bool) {
        if self.start(side).is_none() {
            *pick_mut(&mut self.start, side) = start;
            self.bits |= of(side, bit::START_LOW, bit::START_HIGH);
        }
        if self.client().is_none() {
            let client = if ack { side.other() } else { side };
            self.bits |= of(client, bit::CLIENT_LOW, bit::CLIENT_HIGH);
        }
        if ack {
            self.bits |= bit::SYN_ACK;
        }
    }

    /// Flags and data of a segment.
    pub(crate) const fn saw(&mut self, side: Side, fin: bool, reset: bool, data: bool) {
        if fin {
            self.bits |= of(side, bit::FIN_LOW, bit::FIN_HIGH);
        }
        if reset {
            self.bits |= bit::RESET;
        }
        if data {
            self.bits |= bit::DATA;
        }
    }

    /// The side that sent a SYN without ACK, or was answered by one with it.
    const fn client(&self) -> Option<Side> {
        match (self.has(bit::CLIENT_LOW), self.has(bit::CLIENT_HIGH)) {
            (true, _) => Some(Side::Low),
            (_, true) => Some(Side::High),
            _ => None,
        }
    }

    /// Whether TCP is over.
    pub(crate) const fn ended(&self) -> bool {
        self.has(bit::RESET) || (self.has(bit::FIN_LOW) && self.has(bit::FIN_HIGH))
    }

    /// The same as far as it can be heard: of who is never heard, no FIN is either.
    pub(crate) fn is_over(&self) -> bool {
        self.ended() || (self.has(bit::FIN_LOW | bit::FIN_HIGH) && !self.is_two_sided())
    }

    /// Whether TCP is in a state that does not last: not established, or over.
    pub(crate) fn is_brief(&self) -> bool {
        self.is_over() || (self.client().is_some() && !self.has(bit::SYN_ACK) && !self.has(bit::DATA))
    }

    /// How long it may be idle, in nanoseconds.
    pub(crate) fn idle(&self, config: &Config) -> i64 {
        match IpProto(self.key.proto) {
            IpProto::TCP if self.is_brief() => config.tcp_brief,
            IpProto::TCP => config.tcp_idle,
            _ => config.other_idle,
        }
    }

    pub(crate) fn found(&self) -> Option<u8> {
        self.found.checked_sub(1)
    }

    pub(crate) fn find(&mut self, place: u8) {
        self.found = place.saturating_add(1);
    }

    fn state(&self) -> FlowState {
        let both = self.is_two_sided();
        if self.key.proto != IpProto::TCP.0 {
            return if both { FlowState::Established } else { FlowState::Attempt };
        }
        let got_nowhere = self.client().is_some() && !self.has(bit::SYN_ACK) && !self.has(bit::DATA);
        match () {
            () if self.has(bit::RESET) && got_nowhere => FlowState::Rejected,
            () if self.has(bit::RESET) => FlowState::Reset,
            () if self.ended() => FlowState::Closed,
            // A handshake that never got anywhere, or one side of it.
            () if got_nowhere && !both => FlowState::Attempt,
            () => FlowState::Established,
        }
    }

    /// The record, given the numbers' scopes and which ports are services' own.
    pub(crate) fn record(
        &self,
        vlan: impl Fn(u16) -> Vlan,
        tunnel: Option<Tunnel>,
        claimed: impl Fn(u16) -> Option<&'static str>,
        found: Option<&'static str>,
    ) -> FlowRecord {
        let has_ports = IpProto(self.key.proto).has_ports();
        let (low, high) = (self.key.low_port, self.key.high_port);
        let [low_claimed, high_claimed] = if has_ports { [claimed(low), claimed(high)] } else { [None; 2] };
        let serves = |claim: Option<&str>, port: u16, other: u16| {
            has_ports && (claim.is_some() || port < 1024 || (port < 32_768 && other >= 32_768))
        };
        let opener = if self.has(bit::OPENED_BY_HIGH) { Side::High } else { Side::Low };
        let by_port = (serves(low_claimed, low, high), serves(high_claimed, high, low));
        let (originator, originator_by) = match (self.client(), by_port) {
            (Some(client), _) => (client, OriginatorBy::Handshake),
            (None, (true, false)) => (Side::High, OriginatorBy::ServicePort),
            (None, (false, true)) => (Side::Low, OriginatorBy::ServicePort),
            (None, _) => (opener, OriginatorBy::FirstPacket),
        };
        let macs = self.macs();
        let responder = originator.other();
        FlowRecord {
            first_no: self.first_no,
            key: self.key.flow_key(vlan(self.key.scope)),
            originator,
            originator_by,
            vlans: [vlan(self.scope(originator)), vlan(self.scope(responder))],
            macs: [pick(&macs, originator), pick(&macs, responder)],
            first: self.first,
            last: self.last,
            packets: [self.packets(originator).into(), self.packets(responder).into()],
            bytes: [pick(&self.bytes, originator), pick(&self.bytes, responder)],
            app: found.or(low_claimed).or(high_claimed),
            app_by_content: found.is_some(),
            state: self.state(),
            gaps: self.gaps.into(),
            continued: self.has(bit::TOLD),
            cut_short: self.has(bit::CUT_SHORT),
            copied: self.has(bit::COPIED),
            tunnel,
        }
    }
}

/// The entry of a side.
pub(crate) const fn pick<T: Copy>(pair: &[T; 2], side: Side) -> T {
    let [low, high] = *pair;
    match side {
        Side::Low => low,
        Side::High => high,
    }
}

/// The entry of a side, to change.
pub(crate) const fn pick_mut<T>(pair: &mut [T; 2], side: Side) -> &mut T {
    let [low, high] = pair;
    match side {
        Side::Low => low,
        Side::High => high,
    }
}

/// Flows of one part.
pub(crate) struct Table {
    index: Index,
    flows: Vec<Flow>,
    free: Vec<u32>,
    /// Where the search for a flow to evict goes on.
    hand: usize,
    seed: u64,
}

impl Table {
    pub(crate) fn new(seed: u64) -> Self {
        Self { index: Index::default(), flows: Vec::new(), free: Vec::new(), hand: 0, seed }
    }

    pub(crate) const fn len(&self) -> usize {
        self.index.len()
    }

    /// Where a key's flow is, given the key's hash.
    #[inline]
    pub(crate) fn find(&self, key: &Key, hash: u64) -> Option<u32> {
        self.index.find(hash, |slot| self.of(slot, key).is_some())
    }

    /// Fetches what the index holds for a hash.
    #[inline]
    pub(crate) fn fetch_place(&self, hash: u64) {
        self.index.first(hash).for_each(crate::fetch);
    }

    /// Where a hash's flow most likely is; fetches it.
    #[inline]
    pub(crate) fn fetch_flow(&self, hash: u64) -> u32 {
        let slot = self.index.find(hash, |_| true).unwrap_or(NONE);
        self.fetch_slot(slot);
        slot
    }

    /// Fetches what stands at a place.
    #[inline]
    pub(crate) fn fetch_slot(&self, slot: u32) {
        if let Some(flow) = self.flows.get(slot as usize) {
            crate::fetch(&flow.key);
            crate::fetch(&flow.timer);
        }
    }

    /// The flow at a place, if it is the key's.
    #[inline]
    pub(crate) fn of(&self, slot: u32, key: &Key) -> Option<&Flow> {
        self.flows.get(slot as usize).filter(|flow| flow.is(key))
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Flow> {
        self.flows.get(slot as usize).filter(|flow| flow.has(bit::USED))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Flow> {
        self.flows.get_mut(slot as usize).filter(|flow| flow.has(bit::USED))
    }

    /// Adds a flow that is not in the table.
    pub(crate) fn insert(&mut self, flow: Flow, hash: u64) -> u32 {
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.flows.get_mut(slot as usize) {
                    *place = flow;
                }
                slot
            }
            None => {
                self.flows.push(flow);
                u32::try_from(self.flows.len().saturating_sub(1)).unwrap_or(NONE)
            }
        };
        self.index.insert(hash, slot);
        slot
    }

    /// Takes a flow out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Flow> {
        let place = self.flows.get_mut(slot as usize).filter(|flow| flow.has(bit::USED))?;
        let flow = std::mem::take(place);
        self.index.remove(flow.key.hash(self.seed), slot);
        self.free.push(slot);
        Some(flow)
    }

    /// Every place in use.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &Flow)> {
        (0..).zip(&self.flows).filter(|(_, flow)| flow.has(bit::USED))
    }

    /// The flow that is missed least of the next few: one that was never answered before one that was, then the one
    /// idle longest. The search goes round, so that what is worth keeping is not looked at again and again. It ends when
    /// enough were found that were never answered: in a flood nearly all are, and each look is a wait for memory.
    pub(crate) fn least_missed(&mut self, look_at: usize) -> Option<u32> {
        let mut worst: Option<(bool, Timestamp, u32)> = None;
        let mut unanswered = 0u32;
        for _ in 0..look_at.min(self.flows.len()) {
            self.hand = self.hand.checked_add(1).filter(|next| *next < self.flows.len()).unwrap_or(0);
            if let Some(flow) = self.flows.get(self.hand).filter(|flow| flow.has(bit::USED)) {
                let candidate = (flow.is_two_sided(), flow.last, self.hand as u32);
                worst = Some(worst.map_or(candidate, |other| other.min(candidate)));
                unanswered = unanswered.saturating_add(u32::from(!flow.is_two_sided()));
                if unanswered == ENOUGH {
                    break;
                }
            }
        }
        worst.map(|(.., slot)| slot)
    }
}
