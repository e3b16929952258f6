//! Rows out, rows in.

use crate::addresses::{How, Span};
use crate::evidence::{Claim, Weight, attr, strip_home};
use crate::graph::{Dirt, Gone, Node, Served};
use crate::merge::Recorded;
use crate::{Config, Inventory, Vendors};
use model::{Address, Change, DeviceId, LeaseEntry, Service, Timestamp};
use std::convert::Infallible;
use std::sync::Arc;

/// The rows of the site that are the inventory's: the one of the names of addresses outside.
pub const NAMES: &str = "names";
/// The one of stations that say the same identifier.
pub const TWINS: &str = "twins";

impl Inventory {
    /// Every row that changed since the last call: what is gone first, then what is new or confirmed, each sorted by kind
    /// and key. Apply them in this order; a device that is gone takes all its rows with it.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut out = Vec::new();
        let Ok(()) = self.each_change(|change| {
            out.push(change);
            Ok::<_, Infallible>(())
        });
        out
    }

    /// As [`Inventory::changes`], one after the other: at no time do more than one device's rows take memory.
    pub fn each_change<E>(&mut self, mut each: impl FnMut(Change) -> Result<(), E>) -> Result<(), E> {
        for row in std::mem::take(&mut self.gone) {
            each(gone(row))?;
        }
        let mut nodes = std::mem::take(&mut self.dirty);
        nodes.retain(|id| self.nodes.contains_key(id));
        let mut homes: Vec<_> = nodes.into_iter().map(|id| (self.root(id), id)).collect();
        homes.sort_unstable();
        homes.dedup();
        let devices = || homes.chunk_by(|a, b| a.0 == b.0);
        type Rows = fn(&mut Inventory, &[(DeviceId, DeviceId)]) -> Vec<Change>;
        let kinds: [Rows; 4] =
            [Self::evidence_rows, Self::address_rows, Self::lease_rows, Self::service_rows];
        // Which kinds of rows each device may have: most of many devices have no lease and serve nothing, and to look at
        // each of them again for that would wait for memory each time.
        let mut may_have = Vec::new();
        for homes in devices() {
            let Some((device, _)) = homes.first() else { continue };
            each(Change::Device(Box::new(self.project(*device))))?;
            let mut has = [false; 4];
            for (_, home) in homes {
                let Some(node) = self.nodes.get_mut(home) else { continue };
                node.dirty = false;
                node.written |= home == device;
                let Node { ledger, spans, leases, services, .. } = &**node;
                let there = [!ledger.is_empty(), !spans.is_empty(), !leases.is_empty(), !services.is_empty()];
                has.iter_mut().zip(there).for_each(|(has, there)| *has |= there);
            }
            if homes.iter().all(|(_, home)| home != device)
                && let Some(node) = self.nodes.get_mut(device)
            {
                node.written = true;
            }
            may_have.push(has);
        }
        for (kind, rows) in kinds.into_iter().enumerate() {
            for (homes, _) in devices().zip(&may_have).filter(|(_, has)| has[kind]) {
                rows(self, homes).into_iter().try_for_each(&mut each)?;
            }
        }
        let merges = self.merges.values_mut().filter(|m| m.dirt.dirty);
        for recorded in merges {
            recorded.dirt.flush();
            each(Change::Merge(Box::new(recorded.merge.clone())))?;
        }
        let site = [(NAMES, self.names.save()), (TWINS, self.twins.save())];
        let rows = site.into_iter().filter_map(|(name, row)| Some(Change::Site(name.into(), row?)));
        rows.into_iter().try_for_each(each)
    }

    /// Rows of what is gone that wait to be given by [`Inventory::changes`].
    pub fn waiting(&self) -> usize {
        self.gone.len()
    }

    fn evidence_rows(&mut self, homes: &[(DeviceId, DeviceId)]) -> Vec<Change> {
        let mut rows = Vec::new();
        for (device, home) in homes {
            for (claim, weight) in
                self.nodes.get_mut(home).into_iter().flat_map(|node| node.ledger.iter_mut())
            {
                if weight.dirt.flush() {
                    rows.push(weight.row(claim.row_key(*device, *home)));
                }
            }
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.into_iter().map(|row| Change::Evidence(Box::new(row))).collect()
    }

    fn address_rows(&mut self, homes: &[(DeviceId, DeviceId)]) -> Vec<Change> {
        let mut rows = Vec::new();
        for (device, home) in homes {
            let spans = self.nodes.get_mut(home).into_iter().flat_map(|node| node.spans.iter_mut());
            for ((vlan, ip, _), span) in spans {
                if span.dirt.flush() {
                    rows.push(address(*device, *home, *vlan, *ip, span));
                }
            }
        }
        rows.sort_by_key(|a| (a.vlan, a.ip, a.first));
        rows.into_iter().map(|row| Change::Address(Box::new(row))).collect()
    }

    fn lease_rows(&mut self, homes: &[(DeviceId, DeviceId)]) -> Vec<Change> {
        let mut rows = Vec::new();
        for (device, home) in homes {
            let leases = self.nodes.get_mut(home).into_iter().flat_map(|node| node.leases.iter_mut());
            for ((ts, n), (lease, dirt)) in leases {
                if dirt.flush() {
                    rows.push(LeaseEntry { device: *device, ts: *ts, n: *n, lease: *lease });
                }
            }
        }
        rows.sort_by_key(|lease| (lease.ts, lease.n));
        rows.into_iter().map(|row| Change::Lease(Box::new(row))).collect()
    }

    fn service_rows(&mut self, homes: &[(DeviceId, DeviceId)]) -> Vec<Change> {
        let mut rows = Vec::new();
        for (device, home) in homes {
            let services = self.nodes.get_mut(home).into_iter().flat_map(|node| &mut node.services);
            for ((transport, port), served) in services {
                if served.dirt.flush() {
                    let Served { application, first, last, count, .. } = served.clone();
                    let (device, transport, port) = (*device, *transport, *port);
                    rows.push(Service { device, transport, port, application, first, last, count });
                }
            }
        }
        rows.sort_by_key(|service| (service.transport, service.port));
        rows.into_iter().map(|row| Change::Service(Box::new(row))).collect()
    }

    /// Continues from rows as they were written: the state is that of an inventory that was never interrupted.
    /// Rows may be the final ones or the whole history, in order.
    pub fn restore(config: Config, vendors: Arc<Vendors>, rows: impl IntoIterator<Item = Change>) -> Self {
        let mut inventory = Self::new(config, vendors);
        let rows = final_rows(rows);
        for row in rows.values() {
            inventory.read_device(row);
        }
        for row in rows.into_values() {
            inventory.read(row);
        }
        inventory.restored();
        inventory
    }

    /// Takes in one of the final rows, in any order; after the last, [`Inventory::restored`] has to follow. So the rows
    /// never have to be in memory together.
    pub fn restore_row(&mut self, row: Change) {
        self.read_device(&row);
        self.read(row);
    }

    /// Every row has been taken in.
    pub fn restored(&mut self) {
        self.drop_orphans();
        // Nothing of it is news.
        self.signs.clear();
        let all: Vec<DeviceId> = self.nodes.iter().map(|(id, _)| id).collect();
        for id in &all {
            self.index(*id);
        }
        for id in all {
            self.weigh(id);
            self.rerank(id);
        }
    }

    fn read_device(&mut self, row: &Change) {
        match row {
            Change::Device(device) => {
                let node = self.node_at(device.id, device.first);
                node.first = device.first;
                node.last = device.last;
                node.written = true;
                self.next = self.next.max(device.id.0.saturating_add(1));
            }
            Change::Merge(merge) => {
                self.next = self.next.max(merge.from.0.saturating_add(1));
                if merge.undone.is_some() {
                    self.taken_apart.insert((merge.into, merge.from));
                }
                let key = (merge.into, merge.from, merge.at);
                self.merges.insert(key, Recorded { merge: (**merge).clone(), dirt: Dirt::CLEAN });
            }
            _ => {}
        }
    }

    fn read(&mut self, row: Change) {
        match row {
            Change::Merge(merge) if merge.undone.is_none() => {
                for id in [merge.into, merge.from] {
                    self.nodes.get_or_insert_with(id, || Box::new(Node::new(merge.at)));
                }
                self.link(merge.into, merge.from);
            }
            Change::Evidence(row) => {
                let (home, claim) = Claim::from_row(row.key);
                let weight = Weight {
                    confidence: row.confidence,
                    first: row.first,
                    last: row.last,
                    count: row.count,
                    dirt: Dirt::CLEAN,
                };
                let node = self.node_at(home, row.first);
                node.text += crate::room::text_of(&claim);
                node.ledger.insert(claim, weight);
            }
            Change::Address(row) => {
                let (how, home) = strip_home(&row.how);
                let span = Span {
                    first: row.first,
                    last: row.last,
                    until: row.until,
                    how: How::parse(how),
                    dirt: Dirt::CLEAN,
                };
                let home = home.unwrap_or(row.device);
                self.node_at(home, row.first);
                self.insert_span(home, row.vlan, row.ip, span);
            }
            Change::Lease(row) => {
                self.node_at(row.device, row.ts).leases.insert((row.ts, row.n), (row.lease, Dirt::CLEAN));
            }
            Change::Service(row) => {
                let served = Served {
                    application: row.application,
                    first: row.first,
                    last: row.last,
                    count: row.count,
                    dirt: Dirt::CLEAN,
                };
                self.node_at(row.device, row.first).services.insert((row.transport, row.port), served);
            }
            Change::Site(name, bytes) if name == NAMES => self.names.restore(&bytes),
            Change::Site(name, bytes) if name == TWINS => self.twins.restore(&bytes),
            _ => {}
        }
    }

    fn node_at(&mut self, id: DeviceId, ts: Timestamp) -> &mut Node {
        self.nodes.get_or_insert_with(id, || Box::new(Node::new(ts)))
    }

    /// Merges outlive the devices they were about; nodes without a device do not.
    fn drop_orphans(&mut self) {
        let orphans: Vec<DeviceId> = self
            .nodes
            .iter()
            .map(|(id, _)| id)
            .filter(|id| self.nodes.get(&self.root(*id)).is_none_or(|root| !root.written))
            .collect();
        for id in orphans {
            for (vlan, ip) in self
                .nodes
                .remove(&id)
                .map(|node| node.spans)
                .into_iter()
                .flatten()
                .map(|((vlan, ip, _), _)| (vlan, ip))
            {
                self.forget_holder(vlan, ip, id);
            }
        }
    }

    /// The device a node is behind, if it still exists and the node itself was never heard.
    pub(crate) fn behind(&self, tree: &[DeviceId]) -> Option<DeviceId> {
        if tree.iter().filter_map(|id| self.nodes.get(id)).any(|node| node.is_heard()) {
            return None;
        }
        let own = tree.first().map(|id| self.root(*id));
        // Who passes a message on speaks after who sent it: of those that still speak for it, the first to do so is next
        // to it. One that fell silent has lost it to another.
        let claims = || self.claims(tree, &attr::BEHIND);
        let latest = claims().map(|(_, weight)| weight.last).max()?;
        let speaking = claims().filter(|(_, weight)| latest.since(weight.last) <= STILL_SPEAKING);
        let nearest = speaking.min_by_key(|(claim, weight)| (weight.first, claim.value.clone()));
        let id = DeviceId::parse(nearest?.0.value.as_str())?;
        let root = self.root(id);
        (self.nodes.contains_key(&root) && Some(root) != own).then_some(root)
    }
}

/// Gateways that spoke for a device within this time of each other do so at once: nanoseconds.
const STILL_SPEAKING: i64 = 600 * 1_000_000_000;

fn address(
    device: DeviceId,
    home: DeviceId,
    vlan: model::Vlan,
    ip: std::net::IpAddr,
    span: &Span,
) -> Address {
    let how = span.how.as_str();
    let how = if home == device { how.into() } else { format!("{how} [{home}]").into() };
    Address { device, vlan, ip, first: span.first, last: span.last, until: span.until, how }
}

fn gone(row: Gone) -> Change {
    match row {
        Gone::Device(id) => Change::DeviceGone(id),
        Gone::Evidence(key) => Change::EvidenceGone(Box::new(key)),
        Gone::Address(id, vlan, ip, first) => Change::AddressGone(id, vlan, ip, first),
        Gone::Lease(id, ts, n) => Change::LeaseGone(id, ts, n),
        Gone::Service(id, transport, port) => Change::ServiceGone(id, transport, port),
    }
}

/// The key of a row of the inventory's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowKey {
    Device(DeviceId),
    Merge(DeviceId, DeviceId, Timestamp),
    Evidence(model::EvidenceKey),
    Address(DeviceId, model::Vlan, std::net::IpAddr, Timestamp),
    Lease(DeviceId, Timestamp, u32),
    Service(DeviceId, model::IpProto, u16),
    Names,
    Twins,
}

impl RowKey {
    const fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Merge(..) | Self::Names | Self::Twins => None,
            Self::Evidence(key) => Some(key.device),
            Self::Device(id) | Self::Address(id, ..) | Self::Lease(id, ..) | Self::Service(id, ..) => {
                Some(*id)
            }
        }
    }
}

/// What is left when every change is applied: the last row of each key that was not withdrawn.
pub(crate) fn final_rows(
    rows: impl IntoIterator<Item = Change>,
) -> std::collections::BTreeMap<RowKey, Change> {
    let mut last = std::collections::BTreeMap::new();
    for row in rows {
        let key = match &row {
            Change::Device(d) => RowKey::Device(d.id),
            Change::Merge(m) => RowKey::Merge(m.into, m.from, m.at),
            Change::Evidence(e) => RowKey::Evidence(e.key.clone()),
            Change::Address(a) => RowKey::Address(a.device, a.vlan, a.ip, a.first),
            Change::Lease(l) => RowKey::Lease(l.device, l.ts, l.n),
            Change::Service(s) => RowKey::Service(s.device, s.transport, s.port),
            Change::Site(name, _) if name == NAMES => RowKey::Names,
            Change::Site(name, _) if name == TWINS => RowKey::Twins,
            Change::EvidenceGone(key) => {
                last.remove(&RowKey::Evidence((**key).clone()));
                continue;
            }
            Change::AddressGone(id, vlan, ip, first) => {
                last.remove(&RowKey::Address(*id, *vlan, *ip, *first));
                continue;
            }
            Change::LeaseGone(id, ts, n) => {
                last.remove(&RowKey::Lease(*id, *ts, *n));
                continue;
            }
            Change::ServiceGone(id, transport, port) => {
                last.remove(&RowKey::Service(*id, *transport, *port));
                continue;
            }
            Change::DeviceGone(id) => {
                last.retain(|key: &RowKey, _| key.device() != Some(*id));
                continue;
            }
            // The baseline's.
            _ => continue,
        };
        last.insert(key, row);
    }
    last
}
