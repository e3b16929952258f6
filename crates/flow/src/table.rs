//! The flow table of one part: dense slots, an index by key, and timers without scanning.

use crate::config::mix;
use crate::decode::Addr;
use crate::dispatch::Conversation;
use hashbrown::HashTable;
use model::{FlowKey, FlowRecord, FlowState, IpProto, Mac, OriginatorBy, Side, Timestamp, Vlan};
use std::collections::BTreeMap;

/// The canonical key in compact form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) low: Addr,
    pub(crate) high: Addr,
    pub(crate) low_port: u16,
    pub(crate) high_port: u16,
    pub(crate) proto: u8,
    pub(crate) vlan: Vlan,
}

impl Key {
    /// The key of a packet, and which side sent it.
    pub(crate) fn new(vlan: Vlan, proto: u8, src: (Addr, u16), dst: (Addr, u16)) -> (Self, Side) {
        let (side, low, high) = if src <= dst { (Side::Low, src, dst) } else { (Side::High, dst, src) };
        (Self { low: low.0, high: high.0, low_port: low.1, high_port: high.1, proto, vlan }, side)
    }

    fn hash(&self, seed: u64) -> u64 {
        let fold = |x: u128| mix(x as u64, (x >> 64) as u64 ^ seed);
        let ports = u64::from(self.low_port) << 32 | u64::from(self.high_port) << 16 | u64::from(self.proto);
        mix(
            mix(fold(self.low.bits), fold(self.high.bits).rotate_left(17)),
            mix(ports, self.vlan.bits() ^ seed),
        )
    }

    pub(crate) fn flow_key(&self) -> FlowKey {
        let (low, high) = ((self.low.ip(), self.low_port), (self.high.ip(), self.high_port));
        FlowKey { vlan: self.vlan, proto: IpProto(self.proto), low, high }
    }
}

/// One flow. Pairs are indexed by [`Side::index`].
pub(crate) struct Flow {
    pub(crate) key: Key,
    pub(crate) first_no: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) packets: [u64; 2],
    pub(crate) bytes: [u64; 2],
    pub(crate) macs: [Option<Mac>; 2],
    /// Sequence number of each side's first byte, from its SYN.
    pub(crate) start: [Option<u32>; 2],
    pub(crate) tcp: TcpState,
    /// Who sent the first packet seen.
    pub(crate) opener: Side,
    /// Segments with data that were probed, both sides together; `u8::MAX` when no more will be.
    pub(crate) probed: u8,
    /// Place in the registry of what was found by content.
    pub(crate) found: Option<u8>,
    pub(crate) gaps: u32,
    pub(crate) conversation: Option<Box<Conversation>>,
}

/// What the flags have told.
#[derive(Clone, Copy, Default)]
pub(crate) struct TcpState {
    /// The side that sent a SYN without ACK, or was answered by one with it.
    pub(crate) client: Option<Side>,
    pub(crate) syn_ack: bool,
    pub(crate) fin: [bool; 2],
    pub(crate) reset: bool,
    pub(crate) data: bool,
}

impl TcpState {
    pub(crate) const fn ended(&self) -> bool {
        self.reset || (self.fin[0] && self.fin[1])
    }
}

impl Flow {
    pub(crate) fn packets(&self, side: Side) -> u64 {
        pick(&self.packets, side)
    }

    fn state(&self) -> FlowState {
        let [a, b] = self.packets;
        let both = a > 0 && b > 0;
        if self.key.proto != IpProto::TCP.0 {
            return if both { FlowState::Established } else { FlowState::Attempt };
        }
        let TcpState { client, syn_ack, fin, reset, data } = self.tcp;
        match () {
            () if reset && !syn_ack && !data && client.is_some() => FlowState::Rejected,
            () if reset => FlowState::Reset,
            () if fin == [true, true] => FlowState::Closed,
            // A handshake that never got anywhere, or one side of it.
            () if client.is_some() && !syn_ack && !data && !both => FlowState::Attempt,
            () => FlowState::Established,
        }
    }

    /// The record, given which ports are services' own.
    pub(crate) fn record(
        &self,
        claimed: impl Fn(u16) -> Option<&'static str>,
        found: Option<&'static str>,
    ) -> FlowRecord {
        let has_ports = IpProto(self.key.proto).has_ports();
        let (low, high) = (self.key.low_port, self.key.high_port);
        let serves = |port: u16, other: u16| {
            has_ports && (claimed(port).is_some() || port < 1024 || (port < 32_768 && other >= 32_768))
        };
        let (originator, originator_by) = match (self.tcp.client, serves(low, high), serves(high, low)) {
            (Some(client), ..) => (client, OriginatorBy::Handshake),
            (None, true, false) => (Side::High, OriginatorBy::ServicePort),
            (None, false, true) => (Side::Low, OriginatorBy::ServicePort),
            (None, ..) => (self.opener, OriginatorBy::FirstPacket),
        };
        let by_port = || if has_ports { claimed(low).or_else(|| claimed(high)) } else { None };
        let ordered = |pair: [u64; 2]| [pick(&pair, originator), pick(&pair, originator.other())];
        FlowRecord {
            first_no: self.first_no,
            key: self.key.flow_key(),
            originator,
            originator_by,
            macs: [pick(&self.macs, originator), pick(&self.macs, originator.other())],
            first: self.first,
            last: self.last,
            packets: ordered(self.packets),
            bytes: ordered(self.bytes),
            app: found.or_else(by_port),
            app_by_content: found.is_some(),
            state: self.state(),
            gaps: self.gaps,
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
    index: HashTable<u32>,
    slots: Vec<Option<Flow>>,
    free: Vec<u32>,
    /// Second at which to look at a slot again → the slot, and the flow that was in it.
    timers: BTreeMap<i64, Vec<(u32, u64)>>,
    seed: u64,
}

impl Table {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { index: HashTable::new(), slots: Vec::new(), free: Vec::new(), timers: BTreeMap::new(), seed }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn find(&self, key: &Key) -> Option<u32> {
        let is_it = |slot: &u32| self.get(*slot).is_some_and(|flow| flow.key == *key);
        self.index.find(key.hash(self.seed), is_it).copied()
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Flow> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Flow> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Adds a flow that is not in the table, to be looked at again at `check`.
    pub(crate) fn insert(&mut self, flow: Flow, check: Timestamp) -> u32 {
        let (hash, seed, first_no) = (flow.key.hash(self.seed), self.seed, flow.first_no);
        let slot = match self.free.pop() {
            Some(slot) => {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = Some(flow);
                }
                slot
            }
            None => {
                self.slots.push(Some(flow));
                u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
            }
        };
        let slots = &self.slots;
        let rehash =
            |slot: &u32| slots.get(*slot as usize).and_then(Option::as_ref).map_or(0, |f| f.key.hash(seed));
        self.index.insert_unique(hash, slot, rehash);
        self.timer(slot, first_no, check);
        slot
    }

    pub(crate) fn timer(&mut self, slot: u32, first_no: u64, check: Timestamp) {
        self.timers.entry(check.seconds().saturating_add(1)).or_default().push((slot, first_no));
    }

    /// Takes a flow out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<Flow> {
        let flow = self.slots.get_mut(slot as usize)?.take()?;
        if let Ok(entry) = self.index.find_entry(flow.key.hash(self.seed), |other| *other == slot) {
            entry.remove();
        }
        self.free.push(slot);
        Some(flow)
    }

    /// Slots to look at by second `now`, those whose flow is still the one that was meant.
    pub(crate) fn due(&mut self, now: i64) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some(entry) = self.timers.first_entry().filter(|entry| *entry.key() <= now) {
            for (slot, first_no) in entry.remove() {
                if self.get(slot).is_some_and(|flow| flow.first_no == first_no) {
                    due.push(slot);
                }
            }
        }
        due
    }

    /// The slot that was to be looked at soonest.
    pub(crate) fn soonest(&mut self) -> Option<u32> {
        while let Some(mut entry) = self.timers.first_entry() {
            match entry.get_mut().pop() {
                Some((slot, first_no)) => {
                    if self.get(slot).is_some_and(|flow| flow.first_no == first_no) {
                        return Some(slot);
                    }
                }
                None => drop(entry.remove()),
            }
        }
        None
    }

    /// Every slot in use.
    pub(crate) fn all(&self) -> Vec<u32> {
        (0..).zip(&self.slots).filter(|(_, flow)| flow.is_some()).map(|(slot, _)| slot).collect()
    }
}
