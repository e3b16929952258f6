//! An address that one had for long, and another took by its word: whose it is while both are there, and when the other has
//! stopped.
//!
//! A claim takes an address from whoever held it, as it must where an address has moved. Who poisons the ARP tables of others
//! claims what is not its own for as long as that pays, and then is silent about it; the owner goes on all the while. So who
//! has gone on with what it had for long before has it alone when the other has stopped; and until then, who asks for what that one
//! serves at the address means that one, not who is delivered the question. Where two machines were given one
//! address both go on, and where an address has moved its former holder is silent: neither changes by this.

use crate::Inventory;
use crate::addresses::{How, Span};
use crate::config::network;
use crate::ends::End;
use model::{DeviceId, IpProto, Timestamp, Vlan};
use std::net::IpAddr;

/// Who was not heard with an address for so long does not claim it any more; one that is known by no other address is given
/// longer.
const STOPPED: i64 = 600 * 1_000_000_000;
const STOPPED_ALTOGETHER: i64 = 3_600 * 1_000_000_000;
/// So long one must have held an address to be its owner when another claims it.
const SETTLED: i64 = 3_600 * 1_000_000_000;
/// Who comes back to an address later than this finds it to be another's.
const RETURN: i64 = 24 * 3_600 * 1_000_000_000;
/// Who was heard within this time is there.
const PRESENT: i64 = 600 * 1_000_000_000;
/// Ports of those who lease addresses.
const LEASES: [u16; 2] = [67, 547];

impl Inventory {
    /// Whether a device had an address before another took it from it by the claim that began a span: for an hour at least,
    /// and for longer than the other then had it alone, which was a day at most.
    pub(crate) fn had_before(
        &self,
        root: DeviceId,
        (vlan, ip): (Vlan, IpAddr),
        (other, span): (DeviceId, &Span),
        ts: Timestamp,
    ) -> bool {
        let other = self.root(other);
        let all: Vec<_> = self.spans(vlan, ip).map(|(id, span)| (self.root(id), id, span)).collect();
        let of = |whose: DeviceId| {
            let is_its = move |(holder, id, span): &&(DeviceId, DeviceId, Span)| {
                *holder == whose && self.is_own(*id, (vlan, ip), span)
            };
            all.iter().filter(is_its).map(|(.., span)| span)
        };
        let held_at = |whose: DeviceId, at: Timestamp| {
            let held = of(whose).filter(|span| span.first < at && span.until.is_none_or(|until| until >= at));
            held.map(|span| span.first).min()
        };
        let later = of(root).filter(|own| own.until.is_none_or(|until| until > span.first));
        let back = later.map(|own| own.first.max(span.first)).min().unwrap_or(ts);
        // Each may have taken it from the other more than once: back to where one of them was alone.
        let (mut taken, mut without) = (span.first, back.since(span.first));
        while without <= RETURN
            && let Some(held) = held_at(root, taken)
        {
            let Some(before) = held_at(other, held) else {
                return taken.since(held) >= SETTLED.max(without);
            };
            without = without.max(held.since(before));
            taken = before;
        }
        false
    }

    /// A device is heard with an address: who took it by its word after this one had had it for long, and has stopped, does
    /// not have it any more.
    pub(crate) fn settle(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, ts: Timestamp) {
        let root = self.root(id);
        let is_over = |(other, span): &(DeviceId, Span)| {
            self.root(*other) != root
                && self.has_stopped(*other, (vlan, ip), span, ts)
                && self.had_before(root, (vlan, ip), (*other, span), ts)
        };
        let over: Vec<_> = self.open_spans(vlan, ip).filter(is_over).collect();
        for (other, span) in over {
            self.end_span(other, vlan, ip, span.first, span.last);
        }
    }

    fn has_stopped(&self, id: DeviceId, (vlan, ip): (Vlan, IpAddr), span: &Span, ts: Timestamp) -> bool {
        let silent = ts.since(span.last);
        span.how == How::Claim
            && silent > STOPPED
            && (silent > STOPPED_ALTOGETHER || self.lives_beside(id, vlan, ip))
    }

    /// A router carries the packets of others in a scope, and seldom says anything else there: that it is there is noted with
    /// the address that another took from it by its word, and when that one claims it no more, the router has it again.
    pub(crate) fn goes_on_carrying(&mut self, id: DeviceId, vlan: Vlan, ts: Timestamp) {
        let root = self.root(id);
        let Some(node) = self.nodes.get(&id).filter(|node| node.known.router) else { return };
        let is_lost = |span: &Span| span.until.is_some() && matches!(span.how, How::Lease | How::Claim);
        let lost = node.spans.iter().filter(|((scope, ..), span)| *scope == vlan && is_lost(span));
        let lost: Vec<_> = lost.map(|((_, ip, first), _)| (*ip, *first)).collect();
        for (ip, first) in lost {
            let has_it = |(holder, _): (DeviceId, Span)| self.root(holder) == root;
            let is_claimed = |(_, span): (DeviceId, Span)| span.how == How::Claim;
            if self.open_spans(vlan, ip).any(has_it) || !self.open_spans(vlan, ip).any(is_claimed) {
                continue;
            }
            let is_back = |(other, span): (DeviceId, Span)| {
                // Who has no other address may be a router that took this one's place.
                self.has_stopped(other, (vlan, ip), &span, ts)
                    && self.lives_beside(other, vlan, ip)
                    && self.had_before(root, (vlan, ip), (other, &span), ts)
            };
            if self.open_spans(vlan, ip).any(is_back) {
                self.hold(id, vlan, ip, How::Claim, ts);
            } else {
                self.edit_span(id, vlan, ip, first, |span| span.last = span.last.max(ts));
            }
        }
    }

    /// Whether a router that lost an address was heard in its scope since, a short while ago, and has no other address in that
    /// network: who only carries what others send never says that it goes on.
    pub(crate) fn lives_without(
        &self,
        id: DeviceId,
        (vlan, ip): (Vlan, IpAddr),
        lost: &Span,
        ts: Timestamp,
    ) -> bool {
        let is_heard = lost.until.is_some_and(|until| lost.last > until) && ts.since(lost.last) <= PRESENT;
        is_heard && {
            let tree = self.tree(self.root(id));
            let spans = tree.iter().filter_map(|id| self.nodes.get(id)).flat_map(|node| node.spans.iter());
            let mut own = spans.filter(|(_, span)| span.until.is_none() && span.how <= How::Claim);
            !own.any(|((scope, own, _), _)| *scope == vlan && *own != ip && network(*own) == network(ip))
        }
    }

    /// Whose service is asked for at an address that this end of a conversation took from another by its word: the other's,
    /// while that lives and serves the port, whoever answers. Who leases addresses is told by its answers.
    pub(crate) fn asked_of(
        &self,
        end: &End,
        (vlan, ip): (Vlan, IpAddr),
        ts: Timestamp,
        (transports, port): (&[IpProto], u16),
    ) -> Option<DeviceId> {
        let held = end.held.filter(|held| held.how == How::Claim && held.until.is_none())?;
        // Almost all have one address, which they took from nobody.
        let node = self.nodes.get(&end.id)?;
        if (node.is_alone() && node.spans.len() < 2) || LEASES.contains(&port) {
            return None;
        }
        let (owner, _) = self.robbed(self.root(end.id), vlan, ip, &held)?;
        let owner = self.root(owner);
        let known = self.nodes.get(&owner)?;
        let serves = transports.iter().any(|transport| known.services.contains_key(&(*transport, port)));
        (serves && known.last > held.first && ts.since(known.last) <= PRESENT).then_some(owner)
    }

    /// Whether a device says again what it had for long before others took it, all of whom have addresses of their own: it
    /// takes nothing from them.
    pub(crate) fn is_owner_among(
        &self,
        root: DeviceId,
        (vlan, ip): (Vlan, IpAddr),
        others: &[(DeviceId, Span)],
        ts: Timestamp,
    ) -> bool {
        others.iter().all(|(other, span)| {
            span.how == How::Claim
                && self.lives_beside(*other, vlan, ip)
                && self.had_before(root, (vlan, ip), (*other, span), ts)
        })
    }
}
