//! The nodes devices are made of, and the indexes they are found by.
//!
//! A node is what one identity taught: it keeps its own evidence and address spans for ever. A device is a node that is
//! merged into no other, with the nodes merged into it. So a merge moves nothing that could not be moved back, and what
//! is written is a projection: every row stands under the device, and says which node it belongs to where that is
//! another (see [`Claim::row_key`]).

use crate::addresses::Span;
use crate::evidence::{Claim, Ledger, Via, Weight, attr, claims_of, scoped};
use crate::few::{Index, insert_into, remove_from};
use crate::keys::{BY_SOURCE, Derived, bears_on_identity, derive};
use crate::room::{PROBATION, text_of};
use crate::sorted::{History, Sorted};
use crate::{Inventory, Sign};
use model::{
    Attribute, Confidence, DeviceId, EvidenceKey, IpProto, KeyKind, Lease, Mac, Text, Timestamp, Vlan,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::net::IpAddr;

/// Whether a row has to be written, and whether an earlier state of it has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dirt {
    pub(crate) dirty: bool,
    pub(crate) written: bool,
}

impl Dirt {
    pub(crate) const NEW: Self = Self { dirty: true, written: false };
    pub(crate) const CLEAN: Self = Self { dirty: false, written: true };

    pub(crate) const fn touch(&mut self) {
        self.dirty = true;
    }

    /// Takes note that the row is written now; whether it had to be.
    pub(crate) const fn flush(&mut self) -> bool {
        let was = self.dirty;
        *self = Self::CLEAN;
        was
    }
}

/// A served port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) application: Option<Cow<'static, str>>,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u64,
    pub(crate) dirt: Dirt,
}

/// Nodes to write for which throwing out those that are no more is not worth while.
const FEW: usize = 1_024;

/// What one identity taught.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The node this one is merged into.
    pub(crate) parent: Option<DeviceId>,
    /// The nodes merged into this one.
    pub(crate) children: BTreeSet<DeviceId>,
    pub(crate) ledger: Ledger,
    pub(crate) spans: Sorted<(Vlan, IpAddr, Timestamp), Span>,
    /// Kept by the device (a node without parent) only, as are the services: neither can be told apart by identity, so
    /// both stay where they are when a merge is taken back.
    pub(crate) leases: History<(Timestamp, u32), (Lease, Dirt)>,
    pub(crate) services: BTreeMap<(IpProto, u16), Served>,
    /// Worked out from the ledger, see [`derive`](crate::keys::derive).
    pub(crate) known: Derived,
    /// How many claims were taken out of its ledger, for those who remember what stood there.
    pub(crate) forgotten: u32,
    pub(crate) rank: Option<Rank>,
    /// Bytes that the texts of its claims take.
    pub(crate) text: usize,
    /// Bytes that all of it takes.
    pub(crate) weight: usize,
    /// Whether some row of this node may have to be written.
    pub(crate) dirty: bool,
    /// Whether the device itself has been written under this number.
    pub(crate) written: bool,
}

impl Node {
    /// The spans of one address, by when they began.
    pub(crate) fn spans_of(&self, vlan: Vlan, ip: IpAddr) -> impl Iterator<Item = &Span> {
        let all = self.spans.starting(move |key| (key.0, key.1) < (vlan, ip));
        all.take_while(move |(key, _)| (key.0, key.1) == (vlan, ip)).map(|(_, span)| span)
    }

    /// Whether it is a device by itself, and all of it.
    pub(crate) fn is_alone(&self) -> bool {
        self.parent.is_none() && self.children.is_empty()
    }

    pub(crate) fn new(ts: Timestamp) -> Self {
        Self {
            first: ts,
            last: ts,
            parent: None,
            children: BTreeSet::new(),
            ledger: Ledger::default(),
            spans: Sorted::default(),
            leases: History::default(),
            services: BTreeMap::new(),
            known: Derived::default(),
            forgotten: 0,
            rank: None,
            text: 0,
            weight: 0,
            dirty: false,
            written: false,
        }
    }

    /// How many claims there are about an attribute.
    pub(crate) fn values_of(&self, attribute: &Attribute) -> usize {
        claims_of(&self.ledger, attribute).count()
    }

    /// Whether a frame with one of its MACs, or a packet with one of its addresses, was ever seen.
    pub(crate) fn is_heard(&self) -> bool {
        self.known.heard || !self.spans.is_empty()
    }

    /// The device was heard of at two times. True when that settles a newcomer.
    pub(crate) fn heard(&mut self, first: Timestamp, last: Timestamp) -> bool {
        self.first = self.first.min(first);
        self.last = self.last.max(last);
        self.rank == Some(Rank::Newcomer) && self.last.since(self.first) >= PROBATION
    }

    /// Every row of the node has to be written anew, under another device.
    pub(crate) fn rewrite(&mut self) {
        for (_, weight) in self.ledger.iter_mut() {
            weight.dirt = Dirt::NEW;
        }
        for (_, span) in self.spans.iter_mut() {
            span.dirt = Dirt::NEW;
        }
    }
}

/// A device's place in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Heard for a moment only.
    Newcomer,
    /// Who has no identity beyond MAC and address goes before who has one, and then who has less evidence.
    Settled(bool, u16),
}

/// A row that was written and is no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gone {
    Device(DeviceId),
    Evidence(EvidenceKey),
    Address(DeviceId, Vlan, IpAddr, Timestamp),
    Lease(DeviceId, Timestamp, u32),
    Service(DeviceId, IpProto, u16),
}

/// Who says something, where, when, and how far that is to be trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) ts: Timestamp,
    pub(crate) by: &'static str,
    pub(crate) field: &'static str,
    pub(crate) confidence: u8,
}

impl Said {
    /// What the link layer shows by itself.
    pub(crate) const fn ethernet(ts: Timestamp, field: &'static str) -> Self {
        Self { ts, by: "ethernet", field, confidence: 90 }
    }

    /// A conclusion of the inventory's.
    pub(crate) const fn inferred(ts: Timestamp, field: &'static str) -> Self {
        Self { ts, by: "inventory", field, confidence: 80 }
    }
}

impl Inventory {
    /// The device a node belongs to.
    pub(crate) fn root(&self, mut id: DeviceId) -> DeviceId {
        while let Some(parent) = self.nodes.get(&id).and_then(|node| node.parent) {
            id = parent;
        }
        id
    }

    /// A node and everything merged into it, the node first.
    pub(crate) fn tree(&self, id: DeviceId) -> Vec<DeviceId> {
        let mut all = vec![id];
        let mut next = 0;
        while let Some(node) = all.get(next).and_then(|id| self.nodes.get(id)) {
            all.extend(&node.children);
            next += 1;
        }
        all
    }

    /// Every claim about a device, with the node it was made about.
    pub(crate) fn claims<'a>(
        &'a self,
        tree: &'a [DeviceId],
        attribute: &Attribute,
    ) -> impl Iterator<Item = (&'a Claim, &'a Weight)> + use<'a> {
        let attribute = attribute.clone();
        tree.iter()
            .filter_map(|id| self.nodes.get(id))
            .flat_map(move |node| claims_of(&node.ledger, &attribute))
    }

    /// A new node, unless the table is full of devices that must not give way. `keep` is being worked on.
    pub(crate) fn create(&mut self, ts: Timestamp, keep: Option<DeviceId>) -> Option<DeviceId> {
        if !self.has_room(ts, keep) {
            self.counters.devices_refused += 1;
            return None;
        }
        let id = DeviceId(self.next);
        self.next = self.next.checked_add(1)?;
        self.nodes.insert(id, Box::new(Node::new(ts)));
        self.tell(ts, id, Sign::Appeared);
        self.rerank(id);
        self.mark(id);
        // Of nodes that came and went in a flood there is nothing to write.
        if self.dirty.len() > self.nodes.len().saturating_mul(2).saturating_add(FEW) {
            let nodes = &self.nodes;
            self.dirty.retain(|id| nodes.contains_key(id));
        }
        Some(id)
    }

    pub(crate) fn unindex(&mut self, id: DeviceId, node: &Node) {
        self.unrank(id, node.rank);
        self.twins.forget(id);
        self.reindex(id, &node.known, &Derived::default());
        for ((vlan, ip, _), _) in node.spans.iter() {
            self.forget_holder(*vlan, *ip, id);
        }
    }

    /// The node has something to write.
    pub(crate) fn mark(&mut self, id: DeviceId) {
        self.weigh(id);
        if let Some(node) = self.nodes.get_mut(&id)
            && !std::mem::replace(&mut node.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// What was heard through these nodes is shown with the number of their device, which changes.
    pub(crate) fn mark_behind(&mut self, nodes: &[DeviceId]) {
        let behind: Vec<_> = nodes
            .iter()
            .filter_map(|id| self.heard_through.get(id))
            .flat_map(|few| few.iter().copied())
            .collect();
        for id in behind {
            self.mark(self.root(id));
        }
    }

    /// The device of a node was heard of.
    #[inline]
    pub(crate) fn heard(&mut self, id: DeviceId, ts: Timestamp) {
        if self.heard != Some((id, ts)) {
            self.heard_from_to(id, ts, ts);
            self.heard = Some((id, ts));
        }
    }

    /// Another spoke of the device of a node. Who speaks for itself is silent when it does not, whatever is said of it; of who
    /// never does, that is all there is to be heard.
    #[inline]
    pub(crate) fn spoken_of(&mut self, id: DeviceId, ts: Timestamp) {
        if self.heard == Some((id, ts)) {
            return;
        }
        let speaks = self.nodes.get(&id).is_some_and(|node| node.is_heard()) || self.is_heard(self.root(id));
        if !speaks {
            self.heard(id, ts);
        }
    }

    /// The device of a node was heard of at two times.
    pub(crate) fn heard_from_to(&mut self, id: DeviceId, first: Timestamp, last: Timestamp) {
        self.note_twin(id, last);
        self.device_heard(id, first, last);
    }

    fn device_heard(&mut self, id: DeviceId, first: Timestamp, last: Timestamp) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if let Some(parent) = node.parent {
            return self.device_heard(parent, first, last);
        }
        let settles = node.heard(first, last);
        if !std::mem::replace(&mut node.dirty, true) {
            self.dirty.push(id);
        }
        if settles {
            self.rerank(id);
        }
    }

    /// Adds a claim to a node's ledger, or confirms it.
    pub(crate) fn learn(&mut self, id: DeviceId, via: Via, attribute: Attribute, value: Text, said: &Said) {
        // What was said of it before, at the place where it stood: most of all that is ever said, so it is not made a claim.
        let near = usize::from(*self.places.near(id, &attribute, said.field, said.by));
        if let Some(node) = self.nodes.get_mut(&id)
            && let Some((known, weight)) = node.ledger.pair_at(near)
            && weight.confidence >= said.confidence
            && known.is(&attribute, &value, said.by, said.field, &via)
        {
            weight.confirm(said.ts);
            if !std::mem::replace(&mut node.dirty, true) {
                self.dirty.push(id);
            }
            return;
        }
        let claim = Claim { attribute, value, source: said.by.into(), field: said.field.into(), via };
        let weight =
            Weight { confidence: said.confidence, first: said.ts, last: said.ts, count: 1, dirt: Dirt::NEW };
        self.put(id, claim, weight);
    }

    /// Adds a claim with its weight, or adds to the weight it has.
    pub(crate) fn put(&mut self, id: DeviceId, claim: Claim, weight: Weight) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let near = self.places.near(id, &claim.attribute, &claim.field, &claim.source);
        if let Some(known) = node.ledger.find_near((*near).into(), &claim) {
            *near = u16::try_from(known).unwrap_or(u16::MAX);
            let Some(known) = node.ledger.value_at(known) else { return };
            let said_louder = weight.confidence > known.confidence;
            known.absorb(&weight);
            if !std::mem::replace(&mut node.dirty, true) {
                self.dirty.push(id);
            }
            if said_louder && bears_on_identity(&node.ledger, &claim.attribute) {
                self.refresh(id, weight.last);
            }
            return;
        }
        if !self.make_room(id, &claim.attribute, weight.last) {
            return;
        }
        let known = self.nodes.get(&id).map(|node| claims_of(&node.ledger, &claim.attribute));
        if !known.is_some_and(|mut known| known.any(|(known, _)| known.value == claim.value)) {
            self.tell_new(weight.last, id, &claim, weight.confidence);
        }
        let mut identifying = false;
        if let Some(node) = self.nodes.get_mut(&id) {
            identifying = bears_on_identity(&node.ledger, &claim.attribute);
            node.text += text_of(&claim);
            node.ledger.insert(claim, weight);
        }
        self.mark(id);
        if identifying {
            self.refresh(id, weight.last);
        }
        let root = self.root(id);
        self.rerank(root);
    }

    /// Takes a claim out of a node's ledger.
    pub(crate) fn forget(&mut self, id: DeviceId, claim: &Claim) -> Option<Weight> {
        let node = self.nodes.get_mut(&id)?;
        let weight = node.ledger.remove(claim)?;
        node.forgotten = node.forgotten.wrapping_add(1);
        node.text -= text_of(claim);
        let identifying = bears_on_identity(&node.ledger, &claim.attribute);
        let root = self.root(id);
        if weight.dirt.written {
            self.gone.insert(Gone::Evidence(claim.row_key(root, id)));
        }
        self.mark(id);
        if identifying {
            self.refresh(id, weight.last);
        }
        self.rerank(root);
        Some(weight)
    }

    /// Moves claims from one node to another, renamed on the way.
    pub(crate) fn move_claims(
        &mut self,
        from: DeviceId,
        to: DeviceId,
        which: impl Fn(&Claim, &Weight) -> bool,
        rename: impl Fn(&mut Claim),
    ) {
        let Some(node) = self.nodes.get(&from) else { return };
        let moved: Vec<Claim> = node
            .ledger
            .iter()
            .filter(|(claim, weight)| which(claim, weight))
            .map(|(claim, _)| claim.clone())
            .collect();
        for mut claim in moved {
            if let Some(mut weight) = self.forget(from, &claim) {
                rename(&mut claim);
                weight.dirt = Dirt::NEW;
                self.put(to, claim, weight);
            }
        }
    }

    /// Works out anew what a node's ledger says about identity; joins devices that turn out to be one.
    pub(crate) fn refresh(&mut self, id: DeviceId, ts: Timestamp) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let known = derive(&node.ledger);
        if known == node.known {
            return;
        }
        let old = std::mem::take(&mut node.known);
        self.reindex(id, &old, &known);
        let new: Vec<_> = known.keys.difference(&old.keys).cloned().collect();
        let is_new = |mac: &&Mac| known.heard && !(old.heard && old.macs.contains(*mac));
        let macs: Vec<Mac> = known.macs.iter().filter(is_new).copied().collect();
        if let Some(node) = self.nodes.get_mut(&id) {
            node.known = known;
        }
        self.weigh(id);
        let root = self.root(id);
        self.mark(root);
        for key in &new {
            self.join_by_key(id, key, ts);
        }
        self.join_by_card(id, &macs, ts);
    }

    /// Indexes again after rows were read back; nothing is joined, that is in the rows too.
    pub(crate) fn index(&mut self, id: DeviceId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            let known = derive(&node.ledger);
            self.reindex(id, &Derived::default(), &known);
            if let Some(node) = self.nodes.get_mut(&id) {
                node.known = known;
            }
        }
    }

    fn reindex(&mut self, id: DeviceId, old: &Derived, new: &Derived) {
        self.sender = None;
        if old.macs != new.macs {
            self.refused_mac = None;
        }
        if old.router && !new.router || !old.macs.is_subset(&new.macs) {
            self.recent.forget_all();
        }
        reindex_one(&mut self.by_mac, id, &old.macs, &new.macs);
        reindex_one(&mut self.by_key, id, &old.keys, &new.keys);
        reindex_one(&mut self.virtual_addresses, id, &old.virtual_addresses, &new.virtual_addresses);
        reindex_one(&mut self.heard_through, id, &old.behind, &new.behind);
        if new.router {
            self.routers.insert(id);
        } else {
            self.routers.remove(&id);
        }
    }

    /// The keys of one node as they are shown, MACs included.
    pub(crate) fn node_keys(node: &Node) -> impl Iterator<Item = (KeyKind, String)> {
        let macs = node.known.macs.iter().map(|mac| (KeyKind::Mac, mac.to_string()));
        macs.chain(node.known.keys.iter().cloned())
    }

    /// A node for an address that no MAC is known for.
    pub(crate) fn create_for_address(
        &mut self,
        vlan: Vlan,
        ip: IpAddr,
        ts: Timestamp,
        keep: Option<DeviceId>,
    ) -> Option<DeviceId> {
        let id = self.create(ts, keep)?;
        let said = Said { ts, by: "ip", field: BY_SOURCE, confidence: Confidence::STATED.get() };
        self.learn(id, Via::DIRECT, attr::ADDRESS, crate::evidence::text(&scoped(vlan, ip)), &said);
        Some(id)
    }
}

/// Moves a node between the entries of an index that its knowledge no longer and newly names.
fn reindex_one<K: Hash + Ord + Clone>(
    index: &mut Index<K>,
    id: DeviceId,
    old: &BTreeSet<K>,
    new: &BTreeSet<K>,
) {
    for key in old.difference(new) {
        remove_from(index, key, id);
    }
    for key in new.difference(old) {
        insert_into(index, key.clone(), id);
    }
}
