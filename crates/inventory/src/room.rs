//! What the inventory takes of memory, and who makes room when that is too much.
//!
//! The rules, in one place:
//! - A device that was heard again a minute or more after it was first heard is settled. The others are newcomers, and
//!   the last eighth of them is at stake: see [`Newcomers`](crate::newcomers::Newcomers).
//! - A newcomer to a full table takes the place of the first of those at stake, if that one has had its minute; else it
//!   is refused. So a flood competes with itself, and costs little once the table is full.
//! - Only when there are none but settled devices does one of those go: the one with the least evidence.
//! - Devices of which much is known may take half of the memory. Beyond that, the largest gives up what it would miss
//!   least.

use crate::Inventory;
use crate::evidence::{Claim, Weight, attr};
use crate::graph::{Gone, Node, Rank, Served};
use crate::keys::Carried;
use model::{Attribute, DeviceId, KeyKind, Lease, Timestamp};

/// Nanoseconds in which what is new has to be heard again before it may have to give way, and after which it is settled.
pub(crate) const PROBATION: i64 = 60 * 1_000_000_000;

/// Of the newcomers, one in so many is at stake.
pub(crate) const AT_STAKE: usize = 8;

/// Values of one attribute that a device keeps.
const MAX_VALUES: usize = 128;

/// Bytes of a node beyond which it is among those that give something up when memory is short.
const LARGE: usize = 16 * 1024;

/// Bytes that have to be free for a newcomer, so that it can be learned about.
const FOR_A_NEWCOMER: usize = 16 * 1024;

/// What an entry of a hash table takes beside itself, with the room that the table has to spare.
const fn hashed(entry: usize) -> usize {
    (entry + 1) * 2
}

/// What an allocation takes besides what was asked for.
const ALLOCATION: usize = 24;

/// What the rows of a sorted list take, with the room that it has to spare.
const fn listed(row: usize) -> usize {
    row + row / 4
}

/// A node, its number and its MAC in the indexes, and its place in the order of eviction.
const NODE: usize = size_of::<Node>() + hashed(32) + 4 * ALLOCATION + 160;
/// A key other than a MAC: kept by the node and by the index.
const KEY: usize = 480 + hashed(56) + 4 * ALLOCATION;
const CLAIM: usize = listed(size_of::<(Claim, Weight)>()) + 4 * ALLOCATION;
/// An address: kept by the node, and in the indexes of holders and scopes.
const SPAN: usize = 112 + hashed(56) + hashed(48) + 2 * ALLOCATION;
const LEASE: usize = listed(size_of::<((Timestamp, u32), (Lease, u16))>());
const SERVICE: usize = 2 * size_of::<Served>();
/// An address it carries packets of, beside the claim that says so.
const CARRIED: usize = size_of::<Carried>() + ALLOCATION;
/// The first room that a map takes.
const FIRST_SERVICE: usize = 11 * size_of::<Served>();

/// What a claim's texts take.
pub(crate) fn text_of(claim: &Claim) -> usize {
    let equipment = claim.via.equipment.as_ref().map_or(0, |key| key.len() + ALLOCATION);
    claim.attribute.as_str().len()
        + claim.value.as_str().len()
        + claim.source.len()
        + claim.field.len()
        + equipment
}

/// What a node takes of memory.
fn weight(node: &Node) -> usize {
    let services = if node.services.is_empty() { 0 } else { FIRST_SERVICE };
    NODE + node.text
        + services
        + node.known.keys.len() * KEY
        + node.known.carried.len() * CARRIED
        + node.ledger.len() * CLAIM
        + node.spans.len() * SPAN
        + node.leases.len() * LEASE
        + node.services.len() * SERVICE
}

/// What stood in the way of new evidence when it was refused the last time: while that is recent it still does, for what
/// is confirmed meanwhile is only more recent. Not asking again is what makes refusing cheap.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    id: DeviceId,
    attribute: Attribute,
    last: Timestamp,
    /// Claims that the node had lost by then.
    forgotten: u32,
}

/// Refusals remembered; a place is shared by what falls to it.
pub(crate) const REFUSED: usize = 256;

fn place_of(id: DeviceId, attribute: &Attribute) -> usize {
    let name = attribute.as_str();
    let name = name.bytes().fold(name.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    name.wrapping_add(id.0 as usize).wrapping_mul(0x9e37_79b9) % REFUSED
}

/// Whether something that was said at a time does not have to give way yet at another.
const fn is_recent(last: Timestamp, ts: Timestamp) -> bool {
    ts.since(last).unsigned_abs() < PROBATION.unsigned_abs()
}

/// A node among the large ones, by the power of two of its weight.
type Size = (u32, DeviceId);

fn size(id: DeviceId, weight: usize) -> Option<Size> {
    (weight >= LARGE).then(|| (weight.ilog2(), id))
}

impl Inventory {
    /// Bytes that all devices take, as far as they are charged for it.
    pub const fn held(&self) -> usize {
        self.bytes + self.nodes.held()
    }

    /// Takes note of what a node takes now.
    pub(crate) fn weigh(&mut self, id: DeviceId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let (before, now) = (node.weight, weight(node));
        if before == now {
            return;
        }
        node.weight = now;
        self.bytes = self.bytes + now - before;
        let (was, is) = (size(id, before), size(id, now));
        let large = |size: Option<Size>, weight| if size.is_some() { weight } else { 0 };
        self.large_bytes = self.large_bytes + large(is, now) - large(was, before);
        if was != is {
            was.iter().for_each(|size| _ = self.large.remove(size));
            self.large.extend(is);
        }
    }

    /// A node is no more.
    pub(crate) fn unweigh(&mut self, id: DeviceId, node: &Node) {
        self.bytes -= node.weight;
        if let Some(size) = size(id, node.weight) {
            self.large.remove(&size);
            self.large_bytes -= node.weight;
        }
    }

    /// Whether there is room for one more device, or it could be made.
    pub(crate) fn has_room(&mut self, ts: Timestamp, keep: Option<DeviceId>) -> bool {
        if self.held() + FOR_A_NEWCOMER > self.config.max_bytes {
            self.slim_the_large();
        }
        let is_full = self.nodes.len() >= self.config.max_devices
            || self.held() + FOR_A_NEWCOMER > self.config.max_bytes;
        !is_full || self.evict_device(Some(ts), keep)
    }

    /// Makes those that are large take no more than their half.
    fn slim_the_large(&mut self) {
        while self.large_bytes > self.config.max_bytes / 2
            && let Some((_, id)) = self.large.last().copied()
        {
            self.slim(id);
        }
    }

    /// Lets a device go, if one may: at the time a newcomer comes, or because memory is short.
    fn evict_device(&mut self, newcomer: Option<Timestamp>, keep: Option<DeviceId>) -> bool {
        let keep = keep.map(|id| self.root(id));
        let victim = match self.newcomers.iter().find(|id| Some(**id) != keep).copied() {
            Some(id) => {
                let first = self.nodes.get(&id).map_or(Timestamp::default(), |node| node.first);
                let had_its_time = |ts: Timestamp| ts.since(first).unsigned_abs() >= PROBATION.unsigned_abs();
                newcomer.is_none_or(had_its_time).then_some(id)
            }
            None => self.ranks.iter().map(|(.., id)| id.0).find(|id| Some(*id) != keep),
        };
        let Some(victim) = victim else { return false };
        let tree = self.tree(victim);
        self.recent.forget_all();
        self.mark_behind(&tree);
        self.names.ties.forget(victim);
        let mut written = false;
        for id in tree {
            if let Some(node) = self.nodes.remove(&id) {
                written |= node.written;
                self.unweigh(id, &node);
                self.unindex(id, &node);
            }
        }
        // What came and went since rows were given last has left none.
        if written {
            self.gone.insert(Gone::Device(victim));
        }
        self.counters.devices_evicted += 1;
        true
    }

    /// Puts a device in its place in the order of eviction; takes merged nodes out of it.
    pub(crate) fn rerank(&mut self, id: DeviceId) {
        let Some(node) = self.nodes.get(&id) else { return };
        let rank = match node.parent {
            Some(_) => None,
            None if node.last.since(node.first) < PROBATION => Some(Rank::Newcomer),
            None => Some(self.settled(id)),
        };
        if node.rank == rank {
            return;
        }
        let old = node.rank;
        self.unrank(id, old);
        match rank {
            Some(Rank::Newcomer) => self.newcomers.insert(id),
            Some(Rank::Settled(identity, size)) => {
                self.ranks.insert((identity, size, std::cmp::Reverse(id)));
            }
            None => {}
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.rank = rank;
        }
    }

    pub(crate) fn unrank(&mut self, id: DeviceId, rank: Option<Rank>) {
        match rank {
            Some(Rank::Newcomer) => _ = self.newcomers.remove(&id),
            Some(Rank::Settled(identity, size)) => {
                self.ranks.remove(&(identity, size, std::cmp::Reverse(id)));
            }
            None => {}
        }
    }

    fn settled(&self, id: DeviceId) -> Rank {
        let tree = self.tree(id);
        let nodes = || tree.iter().filter_map(|id| self.nodes.get(id));
        let identity = |node: &Node| {
            node.known.keys.iter().any(|(kind, _)| !matches!(kind, KeyKind::Mac | KeyKind::Address))
        };
        let size = nodes().map(|node| node.ledger.len()).sum::<usize>().min(64) as u16;
        Rank::Settled(nodes().any(|node| identity(node)), size)
    }

    /// Makes room for one more piece of evidence of a device; false when it is refused.
    pub(crate) fn make_room(&mut self, id: DeviceId, attribute: &Attribute, ts: Timestamp) -> bool {
        let Some(node) = self.nodes.get(&id) else { return false };
        let (forgotten, place) = (node.forgotten, place_of(id, attribute));
        let known = self.refused.get(place).and_then(Option::as_ref);
        let still = known.is_some_and(|r| r.id == id && r.attribute == *attribute && is_recent(r.last, ts));
        // What nothing was taken out of since is as full as it was.
        let alone = node.is_alone();
        if still && alone && known.is_some_and(|r| r.forgotten == forgotten) {
            self.counters.evidence_evicted += 1;
            return false;
        }
        let most = self.config.max_evidence_per_device.max(1);
        if alone && node.ledger.len() < most.min(MAX_VALUES) {
            return true;
        }
        let tree = self.tree(self.root(id));
        let size = |of: &dyn Fn(&Node) -> usize| -> usize {
            tree.iter().filter_map(|id| self.nodes.get(id)).map(|node| of(node)).sum()
        };
        let is_full = size(&|node| node.ledger.len()) >= most;
        let is_varied = || size(&|node| node.values_of(attribute)) >= MAX_VALUES;
        let only = match is_full {
            true => None,
            false if self.may_be_varied(&tree) && is_varied() => Some(attribute),
            false => return true,
        };
        self.counters.evidence_evicted += 1;
        if still {
            return false;
        }
        let Some((home, claim, last)) = self.least(&tree, only) else { return true };
        if is_recent(last, ts) {
            if let Some(place) = self.refused.get_mut(place) {
                *place = Some(Refused { id, attribute: attribute.clone(), last, forgotten });
            }
            return false;
        }
        self.forget(home, &claim);
        true
    }

    /// Whether the nodes have enough evidence for an attribute to have too many values.
    fn may_be_varied(&self, tree: &[DeviceId]) -> bool {
        tree.iter().filter_map(|id| self.nodes.get(id)).map(|node| node.ledger.len()).sum::<usize>()
            >= MAX_VALUES
    }

    /// The piece of evidence that is missed least: not what makes a device recognisable, then what is trusted least, then
    /// what was said longest ago.
    fn least(&self, tree: &[DeviceId], only: Option<&Attribute>) -> Option<(DeviceId, Claim, Timestamp)> {
        let nodes = tree.iter().filter_map(|id| Some((*id, self.nodes.get(id)?)));
        let claims = nodes.flat_map(|(home, node)| {
            let all = node.ledger.starting(move |claim| only.is_some_and(|only| claim.attribute < *only));
            let all = all.take_while(move |(claim, _)| only.is_none_or(|only| claim.attribute == *only));
            all.map(move |(claim, weight)| (home, claim, weight))
        });
        let least = claims.min_by(|a, b| missed(*a).cmp(&missed(*b)).then_with(|| a.1.cmp(b.1)));
        least.map(|(home, claim, weight)| (home, claim.clone(), weight.last))
    }

    /// Makes devices that are there fit in the memory that is there.
    pub(crate) fn relieve(&mut self) {
        // The latest stays, so that its number is never given again by a run that goes on from the rows.
        let latest = Some(DeviceId(self.next.saturating_sub(1)));
        self.slim_the_large();
        while self.held() > self.config.max_bytes {
            match self.large.last().copied() {
                Some((_, id)) if self.newcomers.is_empty() => self.slim(id),
                _ if self.evict_device(None, latest) => {}
                Some((_, id)) => self.slim(id),
                None => return,
            }
        }
    }

    /// A large node gives up an eighth of what it has most of.
    fn slim(&mut self, id: DeviceId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let eighth = |length: usize| length / 8 + 1;
        let weights = [
            node.ledger.len() * CLAIM + node.text,
            node.spans.len() * SPAN,
            node.leases.len() * LEASE,
            node.services.len() * SERVICE,
        ];
        let heaviest = weights.iter().max().copied().unwrap_or_default();
        let [ledger, spans, leases, _] = weights.map(|weight| weight == heaviest);
        if ledger {
            let mut all: Vec<_> = node.ledger.iter().map(|(claim, weight)| (id, claim, weight)).collect();
            all.sort_by(|a, b| missed(*a).cmp(&missed(*b)).then_with(|| a.1.cmp(b.1)));
            all.truncate(eighth(all.len()));
            let least: Vec<Claim> = all.into_iter().map(|(_, claim, _)| claim.clone()).collect();
            for claim in least {
                self.forget(id, &claim);
                self.counters.evidence_evicted += 1;
            }
        } else if spans {
            let count = eighth(node.spans.len());
            self.forget_spans(&[id], count);
        } else if leases {
            let left = node.leases.len() - eighth(node.leases.len());
            self.trim_leases(id, left);
        } else {
            let mut all: Vec<_> = node.services.iter().map(|(key, s)| (s.count, s.last, *key)).collect();
            all.sort_unstable();
            all.truncate(eighth(all.len()));
            for (.., key) in all {
                self.forget_service(id, key);
                self.counters.services_refused += 1;
            }
        }
        self.weigh(id);
    }
}

/// How much a piece of evidence is missed.
fn missed((home, claim, weight): (DeviceId, &Claim, &Weight)) -> (bool, u8, Timestamp, u64, DeviceId) {
    (attr::is_kept(claim.attribute.as_str()), weight.confidence, weight.last, weight.count, home)
}
