//! Whose packets are when their MAC is not that of the address's holder.
//!
//! An address is what anybody may claim, and a claim takes it from whoever held it. But a switch learns and delivers by
//! MAC: a frame came from the station whose MAC it has, unless that passes on what others sent. So the MAC decides where
//! it is that of a station which has a word of its own on the address, or which lives in the same segment as the holder.
//! The holder decides behind routers, behind virtual MACs and behind a MAC that sends for several addresses.
//!
//! A station that took an address from another and passes on what that goes on sending (ARP spoofing to listen in) gives
//! itself away when the packets were counted down on the way, as a forwarding system does: these are the other's. One that
//! does not count down cannot be told from a sender, and what has its MAC is then its own.

use crate::Inventory;
use crate::addresses::{How, Span};
use crate::keys::{BY_DESTINATION, BY_TTL};
use model::{DeviceId, Mac, Timestamp, Vlan};
use std::net::IpAddr;

/// Who an end of a conversation was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// The node.
    pub(crate) id: DeviceId,
    /// How it holds the address; `None` for one that only sent from it.
    pub(crate) held: Option<Span>,
    /// Where that span most likely stands among the node's.
    pub(crate) at: usize,
}

/// Whether a MAC leaves an address with its holder.
enum Whose {
    /// It does, and will while nobody says anything new of the address, of routers or of whose the MAC is.
    Holders,
    /// It does as things stand.
    HoldersNow,
    /// It is another's.
    Others(DeviceId, Option<Span>),
}

/// Whether a node says itself that it holds an address, or was given it, in the span.
const fn is_own_word(span: &Span) -> bool {
    matches!(span.how, How::Lease | How::Claim | How::Advertised)
}

/// Whether an address is at home in the scope of the span, as told by its holder's own frames or lease.
const fn is_home(span: &Span) -> bool {
    matches!(span.how, How::Lease | How::Claim)
}

impl Inventory {
    /// Who was behind an address at a time, given the MAC it sent with, or was sent to with if it did not speak.
    #[inline]
    pub(crate) fn end(
        &self,
        vlan: Vlan,
        ip: IpAddr,
        ts: Timestamp,
        mac: Option<Mac>,
        spoke: bool,
    ) -> Option<End> {
        match self.recent.get_by(vlan, ip, ts, mac) {
            Some(((id, held, at), true)) => Some(End { id, held: Some(held), at }),
            Some((held, false)) => Some(self.end_by_mac(vlan, ip, ts, mac, spoke, held)),
            None => {
                let (id, held) = self.look_up_holder(vlan, ip, ts, mac)?;
                Some(self.end_by_mac(vlan, ip, ts, mac, spoke, (id, held, usize::MAX)))
            }
        }
    }

    fn end_by_mac(
        &self,
        vlan: Vlan,
        ip: IpAddr,
        ts: Timestamp,
        mac: Option<Mac>,
        spoke: bool,
        (id, held, at): (DeviceId, Span, usize),
    ) -> End {
        let end = End { id, held: Some(held), at };
        let Some(mac) = mac else { return end };
        match self.whose(mac, (vlan, ip), ts, spoke, (id, &held)) {
            Whose::Holders => self.recent.vouch(vlan, ip, mac),
            Whose::HoldersNow => {}
            Whose::Others(id, held) => return End { id, held, at: usize::MAX },
        }
        end
    }

    fn whose(
        &self,
        mac: Mac,
        (vlan, ip): (Vlan, IpAddr),
        ts: Timestamp,
        spoke: bool,
        (id, held): (DeviceId, &Span),
    ) -> Whose {
        if !mac.is_device() {
            return Whose::Holders;
        }
        let Some(owners) = self.by_mac.get(&mac) else { return Whose::HoldersNow };
        if owners.iter().any(|owner| self.is_router(*owner)) {
            return Whose::Holders;
        }
        let holder = self.root(id);
        if let Some(owner) = owners.iter().find(|owner| self.root(**owner) == holder) {
            if !self.counts_down(*owner, vlan, ip) {
                return Whose::Holders;
            }
            let robbed = self.robbed(holder, vlan, ip, held);
            return robbed.map_or(Whose::HoldersNow, |(id, span)| Whose::Others(id, Some(span)));
        }
        let is_station = |owner: &&DeviceId| {
            !self.counts_down(**owner, vlan, ip)
                && !self.tree(self.root(**owner)).iter().any(|id| self.is_router(*id))
        };
        let stations = || owners.iter().filter(is_station);
        let own = stations().flat_map(|owner| {
            let spans = self.nodes.get(owner).into_iter().flat_map(|node| node.spans_of(vlan, ip));
            spans.map(|span| (*owner, *span))
        });
        let own = own.filter(|(id, span)| span.first <= ts && self.is_own(*id, (vlan, ip), span));
        if let Some((id, span)) = own.max_by_key(|(id, span)| (span.first, std::cmp::Reverse(*id))) {
            return Whose::Others(id, Some(span));
        }
        // To be sent what is another's makes nobody its receiver: it may pass it on.
        let lives_here = |owner: &&DeviceId| {
            self.lives_beside(**owner, vlan, ip) && self.sends_for_none_but(**owner, vlan, ip)
        };
        let is_here = spoke && is_home(held);
        let neighbour = stations().find(lives_here).filter(|_| is_here);
        neighbour.map_or(Whose::HoldersNow, |id| Whose::Others(*id, None))
    }

    /// Whether an address was a node's own in a span: by its word, or as it sent from that and from no other's.
    pub(crate) fn is_own(&self, id: DeviceId, (vlan, ip): (Vlan, IpAddr), span: &Span) -> bool {
        let has_mac = || self.nodes.get(&id).is_some_and(|node| !node.known.macs.is_empty());
        is_own_word(span) || span.how == How::Sent && has_mac() && self.sends_for_none_but(id, vlan, ip)
    }

    /// Whether packets of the address that had this node's MAC were counted down on their way.
    fn counts_down(&self, id: DeviceId, vlan: Vlan, ip: IpAddr) -> bool {
        let node = self.nodes.get(&id);
        node.is_some_and(|node| node.known.carried.contains(&(BY_TTL, vlan, ip)))
    }

    /// Whether a node has an address of its own in the scope, of the same family as this one but another.
    pub(crate) fn lives_beside(&self, id: DeviceId, vlan: Vlan, ip: IpAddr) -> bool {
        let tree = self.tree(self.root(id));
        tree.iter().filter_map(|id| self.nodes.get(id)).any(|node| {
            node.spans.iter().any(|((scope, own, _), span)| {
                let is_other = *own != ip && own.is_ipv4() == ip.is_ipv4();
                *scope == vlan && is_other && span.until.is_none() && is_home(span)
            })
        })
    }

    /// Whether a node was seen to send packets of no address besides this one that others hold.
    fn sends_for_none_but(&self, id: DeviceId, vlan: Vlan, ip: IpAddr) -> bool {
        let carried = self.nodes.get(&id).map(|node| &*node.known.carried).unwrap_or_default();
        carried.iter().all(|(by, scope, own)| *by == BY_DESTINATION || (*scope, *own) == (vlan, ip))
    }

    /// Whether a node passes on packets of whom it took an address from.
    pub(crate) fn is_relayed(&self, id: DeviceId, vlan: Vlan, ip: IpAddr) -> bool {
        let root = self.root(id);
        self.counts_down(id, vlan, ip)
            && self.spans(vlan, ip).any(|(other, span)| {
                let is_own = span.until.is_none() && self.root(other) == root;
                is_own && self.robbed(root, vlan, ip, &span).is_some()
            })
    }

    /// A conversation from an address had the MAC of a device that it had been taken from before: to go on with it is as
    /// good a word as a claim.
    pub(crate) fn goes_on(
        &mut self,
        end: &End,
        (vlan, ip): (Vlan, IpAddr),
        first: Timestamp,
        last: Timestamp,
    ) {
        let is_lost = end.held.and_then(|held| held.until).is_some_and(|until| until <= first);
        if is_lost && self.was_taken_from(end.id, vlan, ip) {
            self.hold(end.id, vlan, ip, How::Claim, last);
        }
    }

    /// Whether another took an address from a node by its word, and holds it still.
    pub(crate) fn was_taken_from(&self, id: DeviceId, vlan: Vlan, ip: IpAddr) -> bool {
        let root = self.root(id);
        let Some(node) = self.nodes.get(&id) else { return false };
        let own = node.spans_of(vlan, ip).filter(|span| self.is_own(id, (vlan, ip), span));
        let lost: Vec<Timestamp> = own.filter_map(|span| span.until).collect();
        let took = |(other, span): (DeviceId, Span)| {
            let is_open = span.until.is_none() && span.how == How::Claim;
            is_open && self.root(other) != root && lost.contains(&span.first)
        };
        !lost.is_empty() && self.spans(vlan, ip).any(took)
    }

    /// Whether who has an address, in the scope or where it lives, has no better reason to be who carries the packets of
    /// others from there than to have claimed it: it was not seen to carry any, or another has or had the address, too. `mac`
    /// is that of the end of the frame which has the address: of its own station nothing more is asked where nobody contests
    /// the address, nor of a frame without MACs that comes from it (`spoke`).
    pub(crate) fn is_only_claimed(
        &self,
        (vlan, ip): (Vlan, IpAddr),
        mac: Option<Mac>,
        ts: Timestamp,
        spoke: bool,
    ) -> bool {
        let end = self.end(vlan, ip, ts, mac, false).map(|end| end.id);
        let Some(id) = end.or_else(|| self.holder_elsewhere(vlan, ip, ts)) else { return false };
        let root = self.root(id);
        let is_its = |mac: Mac| {
            let owners = self.by_mac.get(&mac).map(|few| &**few).unwrap_or_default();
            !owners.is_empty() && owners.iter().all(|owner| self.root(*owner) == root)
        };
        let carries = || self.tree(root).iter().any(|id| self.is_router(*id));
        self.is_disputed(root, ip) || !(mac.map_or(spoke, is_its) || carries())
    }

    /// Whether another device has an address, too, in whatever scope, or had it until this one said that it had.
    fn is_disputed(&self, root: DeviceId, ip: IpAddr) -> bool {
        let scopes = self.scopes.get(&ip).map(|few| &**few).unwrap_or_default();
        scopes.iter().any(|scope| {
            let all = || self.spans(*scope, ip).map(|(id, span)| (self.root(id) == root, span));
            let claims = || all().filter(|(is_its, span)| *is_its && span.how == How::Claim);
            let is_taken = |until: Timestamp| claims().any(|(_, claim)| claim.first == until);
            all().any(|(is_its, span)| !is_its && span.until.is_none_or(is_taken))
        })
    }

    /// From whom a device with an address of its own took this one by its word, if that device goes on without another.
    pub(crate) fn robbed(
        &self,
        holder: DeviceId,
        vlan: Vlan,
        ip: IpAddr,
        held: &Span,
    ) -> Option<(DeviceId, Span)> {
        if held.how != How::Claim || !self.lives_beside(holder, vlan, ip) {
            return None;
        }
        let goes_on = |id: DeviceId| {
            let last = self.nodes.get(&self.root(id)).map(|node| node.last);
            last.is_some_and(|last| last > held.first) && !self.lives_beside(id, vlan, ip)
        };
        let others = self.spans(vlan, ip).filter(|(id, span)| {
            let is_taken = span.until.is_none_or(|until| until == held.first);
            is_taken && is_home(span) && self.root(*id) != holder && goes_on(*id)
        });
        others.max_by_key(|(id, span)| (span.until.is_none(), span.first, std::cmp::Reverse(*id)))
    }
}
