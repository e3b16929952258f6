//! An IP packet that is whole, down to its ports: what a flow is found by.

use crate::bytes::u16_at;
use crate::copies;
use crate::decode::{Decoded, Ip, Tcp, tcp, udp};
use crate::dispatch::Origin;
use crate::table::Key;
use model::{IpProto, Side, Timestamp, Vlan};

/// What a flow is found by, and what follows.
#[derive(Clone, Copy)]
pub(crate) struct Transport<'a> {
    pub(crate) key: Key,
    pub(crate) side: Side,
    pub(crate) hash: u64,
    /// Source and destination port; 0 where the transport has none.
    pub(crate) ports: (u16, u16),
    pub(crate) segment: Option<Tcp<'a>>,
    /// What the transport carries.
    pub(crate) bytes: &'a [u8],
    /// What a packet and its copies have in common.
    pub(crate) signature: u64,
}

impl<'a> Transport<'a> {
    /// Of no packet.
    pub(crate) const NOTHING: Self = Self {
        key: Key::NOTHING,
        side: Side::Low,
        hash: 0,
        ports: (0, 0),
        segment: None,
        bytes: &[],
        signature: 0,
    };

    /// `None` when the transport's header is not all there.
    pub(crate) fn new(ip: &Ip<'a>, scope: u16, seed: u64) -> Option<Self> {
        let mut transport = Self::NOTHING;
        transport.read(ip, scope, seed).then_some(transport)
    }

    /// Reads a packet's, in place of what was there; false when the transport's header is not all there.
    #[inline]
    pub(crate) fn read(&mut self, ip: &Ip<'a>, scope: u16, seed: u64) -> bool {
        self.segment = None;
        match IpProto(ip.proto) {
            IpProto::TCP => {
                let Some(segment) = tcp(ip.payload) else { return false };
                (self.ports, self.bytes) = ((segment.src, segment.dst), segment.payload);
                self.segment = Some(segment);
            }
            IpProto::UDP => {
                let Some((src, dst, bytes)) = udp(ip.payload) else { return false };
                (self.ports, self.bytes) = ((src, dst), bytes);
            }
            IpProto::SCTP => {
                let (Some(src), Some(dst)) = (u16_at(ip.payload, 0), u16_at(ip.payload, 2)) else {
                    return false;
                };
                (self.ports, self.bytes) = ((src, dst), ip.payload);
            }
            _ => (self.ports, self.bytes) = ((0, 0), ip.payload),
        }
        (self.key, self.side) = Key::new(scope, ip.proto, (ip.src, self.ports.0), (ip.dst, self.ports.1));
        self.hash = self.key.hash(seed);
        self.signature = copies::of_packet(self.hash.wrapping_add(self.side.index() as u64), ip);
        true
    }
}

/// A packet at hand.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'p, 'a> {
    /// Its scope; none where scopes are not told apart.
    pub(crate) vlan: Vlan,
    /// The frame it came in, or the last of its fragments.
    pub(crate) decoded: &'p Decoded<'p>,
    pub(crate) ip: &'p Ip<'a>,
    pub(crate) transport: &'p Transport<'a>,
    pub(crate) truncated: bool,
}

impl Packet<'_, '_> {
    /// Where what it carries comes from, given the number and time of its frame.
    pub(crate) fn origin(&self, no: u64, ts: Timestamp) -> Origin {
        let Self { vlan, decoded, ip, transport, truncated } = *self;
        let (src, dst) = ((ip.src.ip(), transport.ports.0), (ip.dst.ip(), transport.ports.1));
        let (macs, proto, side) = (decoded.macs(), ip.proto, transport.side);
        Origin { no, ts, vlan, macs, own: None, src, dst, proto, side, truncated }
    }
}
