//! Who held which address when.

use crate::Inventory;
use crate::config::{is_host, is_link_local};
use crate::evidence::{Via, attr, scoped, text};
use crate::few::{insert_into, remove_from};
use crate::graph::{Dirt, Gone, Said};
use model::{DeviceId, LeaseMessage, Mac, Timestamp, Vlan};
use std::cmp::Reverse;
use std::net::IpAddr;

/// How an address is known to be a node's, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    Lease,
    Claim,
    Advertised,
    /// A lease that was heard on its way to a relay: the address is the device's, but lives somewhere else.
    Relayed,
    Sent,
}

impl How {
    const ALL: [Self; 5] = [Self::Lease, Self::Claim, Self::Advertised, Self::Relayed, Self::Sent];

    /// Whether a server gave the address to the node, which ends what others had of it.
    const fn is_lease(self) -> bool {
        matches!(self, Self::Lease | Self::Relayed)
    }

    /// Whether the address lives somewhere else than where it is seen, as far as is known.
    pub(crate) const fn is_passing(self) -> bool {
        matches!(self, Self::Relayed | Self::Sent)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Claim => "claim",
            Self::Advertised => "advertised",
            Self::Relayed => "relayed",
            Self::Sent => "sent",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        Self::ALL.into_iter().find(|how| how.as_str() == text).unwrap_or(Self::Sent)
    }
}

/// A span of time during which a node held an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) until: Option<Timestamp>,
    pub(crate) how: How,
    pub(crate) dirt: Dirt,
}

/// Two holders that claim an address in turns within this time contend for it; later it has simply moved.
const CONTENTION: i64 = 600 * 1_000_000_000;
/// A conversation may begin this long before the first word on who holds its address.
const EARLY: i64 = 300 * 1_000_000_000;

/// Packets of a holder may still be on their way through routers this long after it gave its address back.
const LAST_WORDS: i64 = 2 * 1_000_000_000;

impl Inventory {
    pub(crate) fn open_spans(&self, vlan: Vlan, ip: IpAddr) -> impl Iterator<Item = (DeviceId, Span)> {
        self.spans(vlan, ip).filter(|(_, span)| span.until.is_none())
    }

    pub(crate) fn spans(&self, vlan: Vlan, ip: IpAddr) -> impl Iterator<Item = (DeviceId, Span)> {
        let holders = self.by_address.get(&(vlan, ip)).map(|few| &**few).unwrap_or_default();
        holders.iter().flat_map(move |id| {
            let node = self.nodes.get(id);
            node.into_iter().flat_map(move |node| node.spans_of(vlan, ip)).map(move |span| (*id, *span))
        })
    }

    /// Until when a span holds without being confirmed: what the latest acknowledgement in the device's history grants,
    /// in whatever scope that was heard. Nothing is known of spans that began after it, or that rest on claims.
    fn expiry(&self, id: DeviceId, ip: IpAddr, span: &Span) -> Option<Timestamp> {
        if !(span.how.is_lease() || span.how.is_passing()) {
            return None;
        }
        let mut root = self.nodes.get(&id)?;
        while let Some(parent) = root.parent.and_then(|parent| self.nodes.get(&parent)) {
            root = parent;
        }
        if root.leases.is_empty() {
            return None;
        }
        let mut history = root.leases.iter().rev();
        let granted = history
            .find(|(_, (l, _))| l.message == LeaseMessage::Ack && l.ip == Some(ip) && l.seconds.is_some());
        let ((ts, _), (lease, _)) = granted?;
        let seconds = lease.seconds.filter(|seconds| *seconds != u32::MAX)?;
        let at = ts.plus(i64::from(seconds).saturating_mul(1_000_000_000));
        (at >= span.first).then(|| at.max(span.last))
    }

    fn covers(&self, id: DeviceId, ip: IpAddr, span: &Span, ts: Timestamp) -> bool {
        span.first <= ts
            && span.until.is_none_or(|until| ts < until)
            && self.expiry(id, ip, span).is_none_or(|expiry| ts <= expiry)
    }

    /// Something changed about an address: answers about it in any scope it was held in are void.
    pub(crate) fn forget_recent(&self, ip: IpAddr) {
        for vlan in self.scopes.get(&ip).map(|few| &**few).unwrap_or_default() {
            self.recent.forget(*vlan, ip);
        }
    }

    /// Whether an address is a virtual router's, whoever answers for it now.
    pub(crate) fn is_virtual(&self, vlan: Vlan, ip: IpAddr) -> bool {
        // On most networks there is none.
        !self.virtual_addresses.is_empty() && self.virtual_addresses.contains_key(&(vlan, ip))
    }

    /// Who held an address at a time. Of several, the one whose MAC sent, then the one it is best known of, then the
    /// latest.
    pub(crate) fn holder(
        &self,
        vlan: Vlan,
        ip: IpAddr,
        ts: Timestamp,
        mac: Option<Mac>,
    ) -> Option<(DeviceId, Span)> {
        match self.recent.get(vlan, ip, ts) {
            Some((id, span, _)) => Some((id, span)),
            None => self.look_up_holder(vlan, ip, ts, mac),
        }
    }

    /// As [`Inventory::holder`], where there is no recent answer.
    pub(crate) fn look_up_holder(
        &self,
        vlan: Vlan,
        ip: IpAddr,
        ts: Timestamp,
        mac: Option<Mac>,
    ) -> Option<(DeviceId, Span)> {
        let has_mac = |id: DeviceId| {
            mac.is_some_and(|mac| self.nodes.get(&id).is_some_and(|node| node.known.macs.contains(&mac)))
        };
        let best = |candidates: &mut dyn Iterator<Item = (DeviceId, Span)>| {
            candidates.max_by_key(|(id, span)| (has_mac(*id), Reverse(span.how), span.first, Reverse(*id)))
        };
        // The common case, without ranking: one holder ever.
        if let [id] = &**self.by_address.get(&(vlan, ip))?
            && let Some(node) = self.nodes.get(id)
            && let mut spans = node.spans_of(vlan, ip)
            && let (Some(span), None) = (spans.next(), spans.next())
            && span.first <= ts
            && span.until.is_none_or(|until| ts < until)
            && let expiry = self.expiry(*id, ip, span).unwrap_or(Timestamp(i64::MAX))
            && ts <= expiry
        {
            if span.until.is_none() {
                let at = node.spans.find(&(vlan, ip, span.first)).unwrap_or(usize::MAX);
                self.recent.put(vlan, ip, *id, span, expiry, at);
            }
            return Some((*id, *span));
        }
        let covering = best(&mut self.spans(vlan, ip).filter(|(id, span)| self.covers(*id, ip, span, ts)));
        covering
            .or_else(|| {
                best(&mut self.spans(vlan, ip).filter(|(id, _)| has_mac(*id) && !self.is_router(*id)))
            })
            .or_else(|| {
                let early = self.spans(vlan, ip).filter(|(_, span)| {
                    span.first > ts && (span.first.since(ts) <= EARLY || span.until.is_none())
                });
                // Nobody may be credited with what came before while somebody else still held the address.
                let taken = self.spans(vlan, ip).any(|(_, span)| span.first <= ts);
                early.min_by_key(|(id, span)| (span.first, *id)).filter(|_| !taken)
            })
    }

    /// Notes that a node holds an address. False when another holds it with better reason.
    pub(crate) fn hold(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, how: How, ts: Timestamp) -> bool {
        if !self.by_address.contains_key(&(vlan, ip)) {
            // Nobody ever held it: there is nobody to contend with, or to be told of.
            self.add_span(id, vlan, ip, Span { first: ts, last: ts, until: None, how, dirt: Dirt::NEW });
            return true;
        }
        let root = self.root(id);
        self.settle(id, vlan, ip, ts);
        self.tell_claim(id, vlan, ip, how, ts);
        let own = |span: &(DeviceId, Span)| span.0 == id;
        let held = self.open_spans(vlan, ip).find(own);
        if let Some((_, span)) = held {
            let expired = self.expiry(id, ip, &span).filter(|at| *at < ts);
            if let Some(at) = expired {
                self.end_span(id, vlan, ip, span.first, at);
            } else {
                self.confirm(id, vlan, ip, span.first, how, ts);
                if self.open_spans(vlan, ip).nth(1).is_some() {
                    self.end_others(root, id, vlan, ip, ts, how);
                }
                return true;
            }
        }
        for (other, span) in self.open_spans(vlan, ip).collect::<Vec<_>>() {
            if let Some(at) = self.expiry(other, ip, &span).filter(|at| *at < ts) {
                self.end_span(other, vlan, ip, span.first, at);
            } else if self.root(other) != root && how == How::Sent && span.how != How::Sent {
                return false;
            }
        }
        let contended = self.contenders(id, vlan, ip, ts);
        let is_new_lease = how.is_lease() && self.is_fresh_lease(root, ts);
        for (other, span) in self.open_spans(vlan, ip).collect::<Vec<_>>() {
            if other == id {
                continue;
            }
            let by_address = self.nodes.get(&other).is_some_and(|node| node.known.macs.is_empty());
            if self.root(other) != root && by_address && !is_new_lease {
                let verb = if how == How::Sent { "sends as" } else { "claims" };
                self.try_merge(id, other, ts, &format!("{} {verb} {ip}", self.name_of(id)));
            }
            if self.root(other) == self.root(id) || !contended.contains(&other) || how.is_lease() {
                self.end_span(other, vlan, ip, span.first, ts);
            } else {
                self.note_conflict(id, other, vlan, ip, ts);
                self.end_crossing(other, vlan, ip, ts);
            }
        }
        let mut first = ts;
        while self.spans(vlan, ip).any(|(_, span)| span.first == first) {
            first = first.plus(1);
        }
        let span = Span { first, last: first, until: None, how, dirt: Dirt::NEW };
        self.add_span(id, vlan, ip, span);
        true
    }

    /// A lease ends whatever else was thought of the address; so does a confirmed address of the same device.
    fn end_others(&mut self, root: DeviceId, id: DeviceId, vlan: Vlan, ip: IpAddr, ts: Timestamp, how: How) {
        for (other, span) in self.open_spans(vlan, ip).collect::<Vec<_>>() {
            if other != id && (how.is_lease() || self.root(other) == root) {
                self.end_span(other, vlan, ip, span.first, ts);
            }
        }
    }

    /// What was leased to a device behind a relay is nobody else's by lease, or by packets, in any scope.
    pub(crate) fn end_elsewhere(&mut self, root: DeviceId, vlan: Vlan, ip: IpAddr, ts: Timestamp) {
        let scopes = self.scopes.get(&ip).map(|few| few.to_vec()).unwrap_or_default();
        for scope in scopes.into_iter().filter(|scope| *scope != vlan) {
            for (other, span) in self.open_spans(scope, ip).collect::<Vec<_>>() {
                if self.root(other) != root && (span.how.is_lease() || span.how.is_passing()) {
                    self.end_span(other, scope, ip, span.first, ts);
                }
            }
        }
    }

    /// Open holders that took the address from this node a short while ago: both want it.
    fn contenders(&self, id: DeviceId, vlan: Vlan, ip: IpAddr, ts: Timestamp) -> Vec<DeviceId> {
        let lost: Vec<Timestamp> = self
            .spans(vlan, ip)
            .filter(|(holder, _)| *holder == id)
            .filter_map(|(_, span)| span.until)
            .filter(|until| ts.since(*until) <= CONTENTION)
            .collect();
        let open = self.open_spans(vlan, ip);
        open.filter(|(_, span)| lost.contains(&span.first)).map(|(other, _)| other).collect()
    }

    fn note_conflict(&mut self, a: DeviceId, b: DeviceId, vlan: Vlan, ip: IpAddr, ts: Timestamp) {
        let value = text(&scoped(vlan, ip));
        for id in [a, b] {
            self.learn(
                id,
                Via::DIRECT,
                attr::ADDRESS_CONFLICT,
                value.clone(),
                &Said::inferred(ts, "address"),
            );
        }
        self.counters.conflicts += 1;
    }

    /// Changes a span in place.
    pub(crate) fn edit_span(
        &mut self,
        id: DeviceId,
        vlan: Vlan,
        ip: IpAddr,
        first: Timestamp,
        edit: impl FnOnce(&mut Span),
    ) {
        let node = self.nodes.get_mut(&id);
        if let Some(span) = node.and_then(|node| node.spans.get_mut(&(vlan, ip, first))) {
            let before = (span.until, span.how);
            edit(span);
            span.dirt.touch();
            if (span.until, span.how) != before {
                self.forget_recent(ip);
            }
            self.mark(id);
        }
    }

    /// An open span is confirmed, maybe by better reason.
    pub(crate) fn confirm(
        &mut self,
        id: DeviceId,
        vlan: Vlan,
        ip: IpAddr,
        first: Timestamp,
        how: How,
        ts: Timestamp,
    ) {
        let mut settled = false;
        self.edit_span(id, vlan, ip, first, |span| {
            span.last = span.last.max(ts);
            settled = span.how == How::Sent && how < How::Sent;
            span.how = span.how.min(how);
        });
        if settled {
            // What was learned by the address is the holder's for good.
            let address = Some((vlan, ip));
            self.move_claims(
                id,
                id,
                |claim, _| claim.via.address == address,
                |claim| claim.via.address = None,
            );
        }
    }

    /// Ends a span. Spans of the same address in scopes it was only seen crossing end with it.
    pub(crate) fn end_span(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, first: Timestamp, at: Timestamp) {
        self.edit_span(id, vlan, ip, first, |span| span.until = Some(at.max(span.first)));
        self.end_crossing(id, vlan, ip, at);
        self.heard_nothing_new(id);
    }

    fn end_crossing(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, at: Timestamp) {
        let root = self.root(id);
        let scopes = self.scopes.get(&ip).map(|few| &**few).unwrap_or_default();
        let crossing: Vec<_> = scopes
            .iter()
            .filter(|scope| **scope != vlan && scopes.len() > 1)
            .flat_map(|scope| self.open_spans(*scope, ip).map(move |(other, span)| (*scope, other, span)))
            .filter(|(_, other, span)| span.how.is_passing() && self.root(*other) == root)
            .collect();
        for (scope, other, span) in crossing {
            self.edit_span(other, scope, ip, span.first, |span| span.until = Some(at.max(span.first)));
        }
    }

    /// The device's summary changed although nothing was heard of it.
    pub(crate) fn heard_nothing_new(&mut self, id: DeviceId) {
        self.mark(self.root(id));
    }

    pub(crate) fn add_span(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, span: Span) {
        self.make_room_for_span(id);
        self.insert_span(id, vlan, ip, span);
        self.mark(id);
        self.heard_nothing_new(id);
    }

    /// Puts a span in its place. Also when rows are read back, which make no room for each other.
    pub(crate) fn insert_span(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, span: Span) {
        self.forget_recent(ip);
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.spans.insert((vlan, ip, span.first), span);
        insert_into(&mut self.by_address, (vlan, ip), id);
        insert_into(&mut self.scopes, ip, vlan);
    }

    fn make_room_for_span(&mut self, id: DeviceId) {
        let most = self.config.max_addresses_per_device.max(1);
        if self.nodes.get(&id).is_some_and(|node| node.is_alone() && node.spans.len() < most) {
            return;
        }
        let tree = self.tree(self.root(id));
        let all = || {
            let nodes = tree.iter().filter_map(|id| Some((*id, self.nodes.get(id)?)));
            nodes.flat_map(|(home, node)| {
                node.spans.iter().map(move |((vlan, ip, _), span)| (home, (*vlan, *ip), *span))
            })
        };
        let excess = (all().count() + 1).saturating_sub(most);
        if excess > 0 {
            self.forget_spans(&tree, excess);
        }
    }

    /// Takes the spans out that are missed least.
    pub(crate) fn forget_spans(&mut self, tree: &[DeviceId], count: usize) {
        let nodes = tree.iter().filter_map(|id| Some((*id, self.nodes.get(id)?)));
        let all = nodes.flat_map(|(home, node)| {
            node.spans.iter().map(move |((vlan, ip, _), span)| (home, (*vlan, *ip), *span))
        });
        let mut victims: Vec<_> = all.collect();
        victims.sort_by_key(|(home, key, span)| {
            (span.until.is_none(), span.how == How::Lease, span.last, span.first, *key, *home)
        });
        for (home, (vlan, ip), span) in victims.into_iter().take(count) {
            self.remove_span(home, vlan, ip, span.first);
            self.counters.addresses_evicted += 1;
        }
    }

    pub(crate) fn remove_span(
        &mut self,
        id: DeviceId,
        vlan: Vlan,
        ip: IpAddr,
        first: Timestamp,
    ) -> Option<Span> {
        self.forget_recent(ip);
        let node = self.nodes.get_mut(&id)?;
        let span = node.spans.remove(&(vlan, ip, first))?;
        if node.spans_of(vlan, ip).next().is_none() {
            self.forget_holder(vlan, ip, id);
        }
        let root = self.root(id);
        if span.dirt.written {
            self.gone.insert(Gone::Address(root, vlan, ip, first));
        }
        self.weigh(id);
        self.mark(root);
        Some(span)
    }

    pub(crate) fn forget_holder(&mut self, vlan: Vlan, ip: IpAddr, id: DeviceId) {
        remove_from(&mut self.by_address, &(vlan, ip), id);
        if !self.by_address.contains_key(&(vlan, ip)) {
            remove_from(&mut self.scopes, &ip, vlan);
        }
    }

    /// The one node that holds an address in some other scope, if there is exactly one device that does. A packet on
    /// its way through routers shows the same address in every VLAN it crosses.
    pub(crate) fn holder_elsewhere(&self, vlan: Vlan, ip: IpAddr, ts: Timestamp) -> Option<DeviceId> {
        let scopes = self.scopes.get(&ip)?.iter().filter(|scope| **scope != vlan);
        // Where two quarrel over it, whoever has it now.
        let mut open = scopes.filter_map(|scope| {
            let lasts = |(id, span): &(DeviceId, Span)| self.expiry(*id, ip, span).is_none_or(|at| ts <= at);
            let open = self.open_spans(*scope, ip).filter(lasts);
            open.max_by_key(|(id, span)| (Reverse(span.how), span.first, Reverse(*id)))
        });
        let (id, _) = open.next()?;
        let root = self.root(id);
        open.all(|(other, _)| self.root(other) == root).then_some(id)
    }

    /// Who gave an address up in some other scope a moment ago.
    fn left_elsewhere(&self, vlan: Vlan, ip: IpAddr, ts: Timestamp) -> Option<DeviceId> {
        let scopes = self.scopes.get(&ip)?.iter().filter(|scope| **scope != vlan);
        let ended =
            scopes.flat_map(|scope| self.spans(*scope, ip)).filter_map(|(id, span)| Some((span.until?, id)));
        let (_, id) = ended.filter(|(until, _)| (0..=LAST_WORDS).contains(&ts.since(*until))).max()?;
        Some(id)
    }

    /// Somebody behind a router, or somebody without a MAC, sent from an address: the node to credit, new if need be.
    /// `None` for what is outside the site.
    pub(crate) fn sender_behind(
        &mut self,
        vlan: Vlan,
        ip: IpAddr,
        ts: Timestamp,
        keep: Option<DeviceId>,
    ) -> Option<DeviceId> {
        self.sender_held_by(self.holder(vlan, ip, ts, None), vlan, ip, ts, keep)
    }

    /// As [`Inventory::sender_behind`], where it is known who holds the address.
    pub(crate) fn sender_held_by(
        &mut self,
        holder: Option<(DeviceId, Span)>,
        vlan: Vlan,
        ip: IpAddr,
        ts: Timestamp,
        keep: Option<DeviceId>,
    ) -> Option<DeviceId> {
        if !is_host(ip) || self.is_virtual(vlan, ip) {
            return None;
        }
        if let Some((id, span)) = holder {
            if span.until.is_none() {
                self.confirm(id, vlan, ip, span.first, How::Sent, ts);
            }
            return Some(id);
        }
        if !self.config.is_internal(ip) {
            return None;
        }
        let elsewhere = if is_link_local(ip) { None } else { self.holder_elsewhere(vlan, ip, ts) };
        let id = match elsewhere {
            Some(id) => id,
            None => match self.left_elsewhere(vlan, ip, ts) {
                // Its last words, still on their way when it gave the address back. It holds nothing here.
                Some(id) => return Some(id),
                None => self.create_for_address(vlan, ip, ts, keep)?,
            },
        };
        self.hold(id, vlan, ip, How::Sent, ts);
        Some(id)
    }

    /// A MAC claims an address for itself: nodes made for it where it was seen behind a router are the same device.
    pub(crate) fn join_elsewhere(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, ts: Timestamp) {
        if is_link_local(ip) || self.scopes.get(&ip).is_none_or(|scopes| scopes.len() < 2) {
            return;
        }
        let Some(other) = self.holder_elsewhere(vlan, ip, ts) else { return };
        let is_bare = self.nodes.get(&other).is_some_and(|node| node.known.macs.is_empty());
        if is_bare && self.root(other) != self.root(id) {
            self.try_merge(
                id,
                other,
                ts,
                &format!("{} claims {ip}, seen routed elsewhere", self.name_of(id)),
            );
        }
    }
}
