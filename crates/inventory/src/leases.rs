//! What a DHCP message says of who holds an address.

use crate::Inventory;
use crate::addresses::{How, Span};
use crate::config::is_host;
use crate::graph::{Dirt, Gone};
use model::{DeviceId, Lease, LeaseMessage, Timestamp, Vlan};
use std::net::IpAddr;

/// An acknowledgement within this time of a discovery or an offer is a new lease, not a renewal.
const FRESH: i64 = 120 * 1_000_000_000;

impl Inventory {
    /// A DHCP message with the node as its client.
    pub(crate) fn lease(&mut self, id: DeviceId, lease: Lease, ts: Timestamp) {
        let root = self.root(id);
        let limit = self.config.max_leases_per_device;
        if let Some(ip) = lease.ip {
            self.forget_recent(ip);
        }
        let Some(node) = self.nodes.get_mut(&root) else { return };
        let n = node
            .leases
            .starting(|(at, _)| *at < ts)
            .take_while(|((at, _), _)| *at == ts)
            .last()
            .map_or(0, |((_, n), _)| n.saturating_add(1));
        node.leases.insert((ts, n), (lease, Dirt::NEW));
        self.trim_leases(root, limit);
        self.mark(root);
        let Some(ip) = lease.ip.filter(|ip| is_host(*ip)) else { return };
        match lease.message {
            // A renewal goes to the server and back through routers: it is heard in VLANs where the client does not live.
            LeaseMessage::Ack if self.renews_elsewhere(root, lease.vlan, ip, ts) => {}
            // Between relay and server the VLAN is not the client's. If its own is seen, the copy that goes to it says where
            // it lives; if not, all that comes from it is routed, and seen where the server is or beyond.
            LeaseMessage::Ack
                if lease.seconds.is_some()
                    && (lease.relay.is_some() || self.renews_relayed(root, lease.vlan, ip, ts)) =>
            {
                self.hold(id, lease.vlan, ip, How::Relayed, ts);
                self.end_elsewhere(root, lease.vlan, ip, ts);
            }
            LeaseMessage::Ack if lease.seconds.is_some() => {
                self.hold(id, lease.vlan, ip, How::Lease, ts);
                self.join_elsewhere(id, lease.vlan, ip, ts);
            }
            LeaseMessage::Release | LeaseMessage::Decline => {
                for (holder, span) in self.open_spans(lease.vlan, ip).collect::<Vec<_>>() {
                    if self.root(holder) == root {
                        self.end_span(holder, lease.vlan, ip, span.first, ts);
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn trim_leases(&mut self, root: DeviceId, limit: usize) {
        while let Some(node) = self.nodes.get_mut(&root).filter(|node| node.leases.len() > limit.max(1)) {
            let Some(((ts, n), (lease, dirt))) = node.leases.pop_first() else { break };
            if let Some(ip) = lease.ip {
                self.forget_recent(ip);
            }
            if dirt.written {
                self.gone.insert(Gone::Lease(root, ts, n));
            }
            self.counters.leases_evicted += 1;
        }
        self.weigh(root);
    }

    /// Whether an acknowledgement is a renewal of what the device holds in another scope, and not in this one.
    fn renews_elsewhere(&self, root: DeviceId, vlan: Vlan, ip: IpAddr, ts: Timestamp) -> bool {
        let holds = |scope: Vlan, is_it: &dyn Fn(How) -> bool| {
            self.open_spans(scope, ip).any(|(other, span)| is_it(span.how) && self.root(other) == root)
        };
        let lives = |how: How| matches!(how, How::Lease | How::Claim);
        let scopes = self.scopes.get(&ip).map(|few| &**few).unwrap_or_default();
        let mut elsewhere = scopes.iter().filter(|scope| **scope != vlan);
        elsewhere.any(|scope| holds(*scope, &|how| lives(how) || how == How::Relayed))
            && !holds(vlan, &lives)
            && !self.is_fresh_lease(root, ts)
    }

    /// Whether an acknowledgement is a renewal, on its way, of what a relay was given for the device here.
    fn renews_relayed(&self, root: DeviceId, vlan: Vlan, ip: IpAddr, ts: Timestamp) -> bool {
        let is_it = |(id, span): (DeviceId, Span)| span.how == How::Relayed && self.root(id) == root;
        self.open_spans(vlan, ip).any(is_it) && !self.is_fresh_lease(root, ts)
    }

    pub(crate) fn is_fresh_lease(&self, root: DeviceId, ts: Timestamp) -> bool {
        let Some(node) = self.nodes.get(&root) else { return false };
        node.leases
            .starting(|(at, _)| *at < ts.plus(-FRESH))
            .any(|(_, (lease, _))| matches!(lease.message, LeaseMessage::Discover | LeaseMessage::Offer))
    }
}
