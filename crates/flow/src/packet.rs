//! An IP packet that is whole, down to its ports: what a flow is found by.

use crate::bytes::u16_at;
use crate::copies;
use crate::decode::{Addr, Ip, Tcp, tcp, udp};
use crate::table::Key;
use model::{IpProto, Mac, Side, Tunnel, Vlan};
use std::net::IpAddr;

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
    /// `None` when the transport's header is not all there.
    #[inline]
    pub(crate) fn new(ip: &Ip<'a>, scope: u16, seed: u64) -> Option<Self> {
        let (ports, segment, bytes) = match IpProto(ip.proto) {
            IpProto::TCP => {
                let segment = tcp(ip.payload)?;
                ((segment.src, segment.dst), Some(segment), segment.payload)
            }
            IpProto::UDP => {
                let (src, dst, bytes) = udp(ip.payload)?;
                ((src, dst), None, bytes)
            }
            IpProto::SCTP => ((u16_at(ip.payload, 0)?, u16_at(ip.payload, 2)?), None, ip.payload),
            _ => ((0, 0), None, ip.payload),
        };
        let (key, side) = Key::new(scope, ip.proto, (ip.src, ports.0), (ip.dst, ports.1));
        let hash = key.hash(seed);
        let signature = copies::of_packet(hash.wrapping_add(side.index() as u64), ip);
        Some(Self { key, side, hash, ports, segment, bytes, signature })
    }
}

/// A packet at hand.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'p, 'a> {
    pub(crate) vlan: Vlan,
    pub(crate) macs: [Option<Mac>; 2],
    pub(crate) tunnel: Option<Tunnel>,
    pub(crate) ip: &'p Ip<'a>,
    pub(crate) transport: &'p Transport<'a>,
    pub(crate) truncated: bool,
}

impl Packet<'_, '_> {
    /// Address and port of the sender and of who it is sent to.
    pub(crate) fn ends(&self) -> ((IpAddr, u16), (IpAddr, u16)) {
        let end = |addr: Addr, port| (addr.ip(), port);
        (end(self.ip.src, self.transport.ports.0), end(self.ip.dst, self.transport.ports.1))
    }
}
