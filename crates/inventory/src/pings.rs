//! Pings that belong to a lease.
//!
//! A server pings an address before it offers it (RFC 2131 §3.1 step 2, §4.3.1), and a client looks whether its router
//! answers when it has taken an address or is about to give it back. Neither is what a device talks to otherwise. A ping of
//! the router at any other time may be how a device watches its network, and is a habit like others.

use crate::Inventory;
use model::{DeviceId, Flow, IpProto, LeaseMessage, Timestamp};

/// So long before and after a message about taking or giving back an address, in nanoseconds.
const NEAR: i64 = 10 * 1_000_000_000;
/// The port of DHCP servers.
const DHCP: (IpProto, u16) = (IpProto::UDP, 67);

impl Inventory {
    /// The device of whose taking of an address, or giving it back, a conversation is part: a ping between it and a router
    /// or a DHCP server about that time.
    pub(crate) fn lease_of(&self, flow: &Flow) -> Option<DeviceId> {
        let record = &flow.record;
        if record.key.proto != IpProto::ICMP {
            return None;
        }
        let [Some(a), Some(b)] = flow.devices else { return None };
        let (from, to) = (record.first.plus(-NEAR), record.last.plus(NEAR));
        let is_part = |(client, other): &(DeviceId, DeviceId)| {
            self.moves(*client, from, to) && self.routes_or_leases(*other)
        };
        [(a, b), (b, a)].into_iter().find(is_part).map(|(client, _)| client)
    }

    /// Whether a device asked for another address or gave one back in some time. That it keeps what it has does not count.
    fn moves(&self, device: DeviceId, from: Timestamp, to: Timestamp) -> bool {
        let Some(node) = self.nodes.get(&device) else { return false };
        let mut meanwhile = node.leases.starting(|(at, _)| *at < from).take_while(|((at, _), _)| *at <= to);
        meanwhile.any(|(_, (lease, _))| {
            use LeaseMessage::{Decline, Discover, Offer, Release};
            matches!(lease.message, Discover | Offer | Decline | Release)
        })
    }

    fn routes_or_leases(&self, device: DeviceId) -> bool {
        let leases = self.nodes.get(&device).is_some_and(|node| node.services.contains_key(&DHCP));
        leases || self.tree(device).iter().any(|id| self.is_router(*id))
    }
}
