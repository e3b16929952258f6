//! Two devices found to be one, and found not to be.

use crate::Inventory;
use crate::evidence::{Via, attr, fold, text};
use crate::graph::{Dirt, Gone, Said};
use crate::keys::{card_named, client_id_of};
use crate::twins::{MOST_OF_ONE, kind_name};
use model::{Attribute, Confidence, DeviceId, KeyKind, Mac, Merge, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A recorded merge.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) merge: Merge,
    pub(crate) dirt: Dirt,
}

impl Inventory {
    /// A node says which key it has: other devices with it are the same one.
    pub(crate) fn join_by_key(&mut self, id: DeviceId, key: &(KeyKind, String), ts: Timestamp) {
        let Some(what) = kind_name(key.0) else { return };
        let mut met = 0;
        let mut others = self.by_key.get(key).map(|few| few.to_vec()).unwrap_or_default();
        others.extend(self.named_by(id, key));
        for other in others {
            if self.root(other) == self.root(id) {
                continue;
            }
            // A message forwarded by a third party may carry the same identity: one of two devices that were both heard
            // is the forwarder, and which cannot be told from this.
            let is_hearsay = key.0 == KeyKind::Application && !key.1.starts_with("serial:");
            if is_hearsay && self.is_heard(self.root(other)) && self.is_heard(self.root(id)) {
                continue;
            }
            met += 1;
            // What many say identifies nobody.
            if met > MOST_OF_ONE {
                return;
            }
            if self.may_be_one(id, other, key.0, ts) {
                self.try_merge(id, other, ts, &format!("same {what} {}", key.1));
            }
        }
    }

    /// The node whose MAC the client identifier of another is made of: a machine keeps that of its first card at a dock and with a
    /// card that was replaced. Who says those of several speaks for several, a router's MAC and one that was made up are nobody's.
    fn named_by(&self, id: DeviceId, key: &(KeyKind, String)) -> Option<DeviceId> {
        if key.0 != KeyKind::ClientId {
            return None;
        }
        let mac = card_named(&key.1).filter(|mac| mac.is_device() && !mac.is_local())?;
        let [named] = **self.by_mac.get(&mac)? else { return None };
        let (own, other) = (&self.nodes.get(&id)?.known, &self.nodes.get(&named)?.known);
        let is_one = own.client_ids == 1 && other.heard && !own.router && !other.router;
        (is_one && named != id).then_some(named)
    }

    /// A node has MACs on the wire: who said the client identifier that is made of one of them before may be the same device.
    pub(crate) fn join_by_card(&mut self, id: DeviceId, macs: &[Mac], ts: Timestamp) {
        for mac in macs {
            let key = client_id_of(*mac);
            let said = self.by_key.get(&key).map(|few| few.to_vec()).unwrap_or_default();
            if said.len() > MOST_OF_ONE {
                continue;
            }
            for other in said {
                let is_it = self.root(other) != self.root(id) && self.named_by(other, &key) == Some(id);
                if is_it && self.may_be_one(id, other, key.0, ts) {
                    self.try_merge(id, other, ts, &format!("same DHCP client identifier {}", key.1));
                }
            }
        }
    }

    /// Whether anything of the device itself was ever on the wire.
    pub(crate) fn is_heard(&self, root: DeviceId) -> bool {
        self.tree(root).iter().filter_map(|id| self.nodes.get(id)).any(|node| node.is_heard())
    }

    /// Makes one device of two, unless they contradict each other or were taken apart before.
    pub(crate) fn try_merge(&mut self, a: DeviceId, b: DeviceId, ts: Timestamp, why: &str) -> bool {
        let (a, b) = (self.root(a), self.root(b));
        let (into, from) = (a.min(b), a.max(b));
        if into == from || self.taken_apart.contains(&(into, from)) {
            return false;
        }
        if self.contradict(&self.tree(into), &self.tree(from)) {
            for id in [into, from] {
                self.learn(
                    id,
                    Via::DIRECT,
                    attr::IDENTITY_CONFLICT,
                    text(why),
                    &Said::inferred(ts, "identity"),
                );
            }
            self.counters.conflicts += 1;
            return false;
        }
        if self.merges.len() >= self.config.max_merges {
            self.counters.merges_refused += 1;
            return false;
        }
        let merge = Merge { into, from, at: ts, why: text(why), undone: None };
        self.merges.insert((into, from, ts), Recorded { merge, dirt: Dirt::NEW });
        self.counters.merges += 1;
        self.tell_known(into, from, ts);
        self.link(into, from);
        self.fold_into(into, from);
        self.names.ties.rename(from, into);
        self.renamed.push((from, into));
        true
    }

    /// Hangs one node under another. Also when rows are read back.
    pub(crate) fn link(&mut self, into: DeviceId, from: DeviceId) {
        self.recent.forget_all();
        if let Some(node) = self.nodes.get_mut(&from) {
            node.parent = Some(into);
        }
        if let Some(node) = self.nodes.get_mut(&into) {
            node.children.insert(from);
        }
    }

    /// The rows of `from` become rows of `into`.
    fn fold_into(&mut self, into: DeviceId, from: DeviceId) {
        let tree = self.tree(from);
        self.mark_behind(&tree);
        for id in tree {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.rewrite();
            }
            self.mark(id);
        }
        let Some(node) = self.nodes.get_mut(&from) else { return };
        let (first, last) = (node.first, node.last);
        let leases = std::mem::take(&mut node.leases);
        let services = std::mem::take(&mut node.services);
        if std::mem::take(&mut node.written) {
            self.gone.insert(Gone::Device(from));
        }
        let Some(node) = self.nodes.get_mut(&into) else { return };
        node.first = node.first.min(first);
        node.last = node.last.max(last);
        for ((ts, mut n), (lease, _)) in leases {
            while node.leases.contains(&(ts, n)) {
                n = n.saturating_add(1);
            }
            node.leases.insert((ts, n), (lease, Dirt::NEW));
        }
        for (key, mut served) in services {
            served.dirt = Dirt::NEW;
            if !node.services.contains_key(&key) && node.services.len() >= self.config.max_services_per_device
            {
                self.counters.services_refused += 1;
                continue;
            }
            node.services
                .entry(key)
                .and_modify(|known| {
                    known.application = known.application.take().or_else(|| served.application.clone());
                    known.first = known.first.min(served.first);
                    known.last = known.last.max(served.last);
                    known.count = known.count.saturating_add(served.count);
                    known.dirt.touch();
                })
                .or_insert(served);
        }
        self.trim_leases(into, self.config.max_leases_per_device);
        self.weigh(from);
        self.mark(into);
        self.rerank(from);
        self.rerank(into);
    }

    /// Takes a merge back: `from` is a device again, with the evidence and addresses its identities taught. Served ports
    /// are not known by identity: both forget them and learn them again from the next conversations. The lease history
    /// stays with the device that stays. False when there is no such merge.
    pub fn undo_merge(&mut self, into: DeviceId, from: DeviceId, ts: Timestamp, why: &str) -> bool {
        let recorded = self
            .merges
            .range_mut((into, from, Timestamp(i64::MIN))..=(into, from, Timestamp(i64::MAX)))
            .map(|(_, recorded)| recorded)
            .find(|recorded| recorded.merge.undone.is_none());
        if self.nodes.get(&from).is_none_or(|node| node.parent != Some(into)) {
            return false;
        }
        let Some(recorded) = recorded else { return false };
        recorded.merge.undone = Some((ts, text(why)));
        recorded.dirt.touch();
        self.taken_apart.insert((into, from));
        self.counters.merges_undone += 1;

        let old = self.root(into);
        let tree = self.tree(from);
        self.mark_behind(&tree);
        for id in tree {
            self.withdraw_rows(old, id);
        }
        if let Some(node) = self.nodes.get_mut(&into) {
            node.children.remove(&from);
        }
        if let Some(node) = self.nodes.get_mut(&from) {
            node.parent = None;
            self.recent.forget_all();
            // Its times are worked out anew, which may leave out what was only heard.
            self.heard = None;
        }
        let times = self.times_of(from).unwrap_or((ts, ts));
        if let Some(node) = self.nodes.get_mut(&from) {
            (node.first, node.last) = times;
        }
        self.forget_services(old);
        for id in [old, from] {
            self.mark(id);
            self.rerank(id);
        }
        true
    }

    /// Marks a node's rows as no longer written under `root`.
    fn withdraw_rows(&mut self, root: DeviceId, id: DeviceId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        for (claim, weight) in node.ledger.iter() {
            if weight.dirt.written {
                self.gone.insert(Gone::Evidence(claim.row_key(root, id)));
            }
        }
        for ((vlan, ip, first), _) in node.spans.iter().filter(|(_, span)| span.dirt.written) {
            self.gone.insert(Gone::Address(root, *vlan, *ip, *first));
        }
        node.rewrite();
        self.mark(id);
    }

    /// From when to when the evidence and addresses of a device speak.
    fn times_of(&self, root: DeviceId) -> Option<(Timestamp, Timestamp)> {
        let tree = self.tree(root);
        let nodes = || tree.iter().filter_map(|id| self.nodes.get(id));
        let said = nodes().flat_map(|node| node.ledger.iter()).map(|(_, weight)| (weight.first, weight.last));
        let held = nodes().flat_map(|node| node.spans.iter()).map(|(_, span)| (span.first, span.last));
        said.chain(held).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    pub(crate) fn forget_services(&mut self, root: DeviceId) {
        let Some(node) = self.nodes.get_mut(&root) else { return };
        for ((transport, port), served) in std::mem::take(&mut node.services) {
            if served.dirt.written {
                self.gone.insert(Gone::Service(root, transport, port));
            }
        }
        self.mark(root);
    }

    pub(crate) fn forget_service(&mut self, root: DeviceId, key: (model::IpProto, u16)) {
        let Some(node) = self.nodes.get_mut(&root) else { return };
        if node.services.remove(&key).is_some_and(|served| served.dirt.written) {
            self.gone.insert(Gone::Service(root, key.0, key.1));
        }
        self.mark(root);
    }

    /// Takes back the merges that a new name or serial number of this node contradicts.
    pub(crate) fn check_merges(&mut self, id: DeviceId, ts: Timestamp) {
        let root = self.root(id);
        if self.nodes.get(&root).is_none_or(|node| node.children.is_empty()) {
            return;
        }
        for from in self.tree(root) {
            let Some(into) = self.nodes.get(&from).and_then(|node| node.parent) else { continue };
            let branch = self.tree(from);
            let rest: Vec<_> =
                self.tree(self.root(from)).into_iter().filter(|id| !branch.contains(id)).collect();
            if self.contradict(&rest, &branch) {
                self.undo_merge(
                    into,
                    from,
                    ts,
                    "contradicted by names in use at the same time or by serial numbers",
                );
                self.counters.conflicts += 1;
            }
        }
    }

    /// Whether two sets of nodes cannot be one device: different names for itself in use at the same time, or different
    /// serial numbers from the same source.
    fn contradict(&self, a: &[DeviceId], b: &[DeviceId]) -> bool {
        let (names_a, names_b) = (self.own_names(a), self.own_names(b));
        let apart =
            !names_a.is_empty() && !names_b.is_empty() && names_a.keys().all(|n| !names_b.contains_key(n));
        let meanwhile = || names_a.values().any(|a| names_b.values().any(|b| a.0 <= b.1 && b.0 <= a.1));
        if apart && meanwhile() {
            return true;
        }
        let (serials_a, serials_b) = (self.serials(a), self.serials(b));
        serials_a.iter().any(|(source, a)| serials_b.get(source).is_some_and(|b| a.is_disjoint(b)))
    }

    fn own_names(&self, nodes: &[DeviceId]) -> BTreeMap<String, (Timestamp, Timestamp)> {
        let mut names: BTreeMap<String, (Timestamp, Timestamp)> = BTreeMap::new();
        for attribute in [Attribute::HOSTNAME, Attribute::DHCP_HOSTNAME] {
            for (claim, weight) in self.claims(nodes, &attribute) {
                if weight.confidence >= Confidence::NAMED.get() {
                    let host = crate::evidence::split_domain(&claim.value).0;
                    let times = names.entry(fold(host.as_str())).or_insert((weight.first, weight.last));
                    *times = (times.0.min(weight.first), times.1.max(weight.last));
                }
            }
        }
        names
    }

    fn serials(&self, nodes: &[DeviceId]) -> BTreeMap<String, BTreeSet<String>> {
        let mut serials: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (claim, weight) in self.claims(nodes, &Attribute::SERIAL) {
            if weight.confidence >= Confidence::IDENTITY.get() && claim.via.equipment.is_none() {
                serials.entry(claim.source.to_string()).or_default().insert(fold(claim.value.as_str()));
            }
        }
        serials
    }
}
