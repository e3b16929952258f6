//! Two MACs under which the same identifier is said.
//!
//! A client identifier, an SMBIOS UUID or a serial number goes with a machine from one network card to the next: to a docking
//! station, to its wireless card, to one that was replaced. But anybody can say it, and who says that of a monitor is taken
//! for the monitor. What speaks against that is time: a machine that goes on through another card falls silent under the
//! first, and one that is copied does not. So two stations are one when the one that was there first is silent for half an
//! hour, at once if it is already; until then they stay apart. They are two for good when both go on for most of an hour,
//! each with an address of its own; then also a merge is taken back that was made while the owner was off, as far as that is
//! watched for, which is two weeks. A machine that really goes on through two cards at once is two devices, then: what is
//! shown of it is less handy, and nothing hides in it.
//!
//! A client identifier that is made of the MAC of another card (hardware type 1) says that its sender is who that card is: where
//! both go on it is the one that says it who has copied, and not the one whose MAC it is.
//!
//! A station that has no address, as the ports of a switch that say its serial number, is no host beside another.

use crate::evidence::{Via, attr, text};
use crate::graph::Said;
use crate::keys::card_named;
use crate::names::read_array;
use crate::{Inventory, Sign};
use model::{DeviceId, KeyKind, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

const MINUTE: i64 = 60 * 1_000_000_000;
/// Who is silent for so long has gone on elsewhere. Less would take a pause for it: of a conversation that goes on a part is
/// told every quarter of an hour only.
const QUIET: i64 = 30 * MINUTE;
/// Two that are both heard in so many of the last spans, each of so long, go on beside each other. Who goes from the desk to a
/// meeting and back is heard under both in the span in which it goes.
const SPAN: i64 = 10 * MINUTE;
const SPANS: u32 = 7;
const TOGETHER: u32 = 5;
/// For so long it is watched whether two that are one by an identifier go on beside each other.
const WATCHED: i64 = 14 * 24 * 60 * MINUTE;
/// Pairs that are watched, and others that one is held against, at most.
const MOST: usize = 4_096;
pub(crate) const MOST_OF_ONE: usize = 4;

/// Two nodes, the lower number first.
type Pair = (DeviceId, DeviceId);

/// What is known of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Twin {
    /// When the second of them said what the first had said.
    began: Timestamp,
    /// Which of them said it later.
    later: bool,
    /// Nothing is decided yet.
    is_open: bool,
    /// They are two.
    are_two: bool,
    /// The last span in which each was heard.
    heard: [i64; 2],
    /// Whether both were in the latest of these, and in those before, a bit each.
    both: u8,
}

impl Twin {
    /// One of them spoke.
    fn hear(&mut self, side: bool, ts: Timestamp) {
        let (span, latest) = (ts.0.div_euclid(SPAN), self.heard[0].max(self.heard[1]));
        // Of a conversation it is told when it is over.
        if span < latest {
            return;
        }
        let passed = u32::try_from(span.saturating_sub(latest)).unwrap_or(u32::MAX);
        self.both = self.both.checked_shl(passed).unwrap_or(0);
        self.heard[usize::from(side)] = span;
        self.both |= u8::from(self.heard == [span; 2]);
    }

    /// Whether both go on beside each other.
    const fn is_together(&self) -> bool {
        (self.both & ((1 << SPANS) - 1)).count_ones() >= TOGETHER
    }
}

/// All pairs that are watched.
#[derive(Debug, Default)]
pub(crate) struct Twins {
    all: BTreeMap<Pair, Twin>,
    /// The same by number.
    by_node: BTreeSet<(DeviceId, DeviceId)>,
    /// In the order in which they give way: what is decided first.
    order: BTreeSet<(bool, Timestamp, Pair)>,
    /// Who spoke in this event.
    spoken: Vec<(DeviceId, Timestamp)>,
    dirty: bool,
}

impl Twins {
    fn others(&self, id: DeviceId) -> impl Iterator<Item = DeviceId> {
        self.by_node.range((id, DeviceId(0))..=(id, DeviceId(u32::MAX))).map(|(_, other)| *other)
    }

    fn put(&mut self, pair: Pair, twin: Twin) {
        self.remove(pair);
        self.by_node.extend([pair, (pair.1, pair.0)]);
        self.order.insert((twin.is_open, twin.began, pair));
        self.all.insert(pair, twin);
    }

    fn remove(&mut self, pair: Pair) -> Option<Twin> {
        self.dirty = true;
        let twin = self.all.remove(&pair)?;
        self.by_node.remove(&pair);
        self.by_node.remove(&(pair.1, pair.0));
        self.order.remove(&(twin.is_open, twin.began, pair));
        Some(twin)
    }

    /// A node is gone.
    pub(crate) fn forget(&mut self, id: DeviceId) {
        for other in self.others(id).collect::<Vec<_>>() {
            self.remove((id.min(other), id.max(other)));
        }
    }

    /// Makes room for one more. False when all there is has to be decided yet.
    fn make_room(&mut self, ts: Timestamp) -> bool {
        while self.all.len() >= MOST {
            let first = self.order.first().copied();
            let over = |(is_open, began, _): &(bool, Timestamp, Pair)| !is_open || ts.since(*began) > WATCHED;
            let Some((.., pair)) = first.filter(over) else { return false };
            self.remove(pair);
        }
        true
    }

    /// A row of all, if that changed since it was asked for last.
    pub(crate) fn save(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.dirty) {
            return None;
        }
        let mut out = Vec::new();
        for ((one, other), twin) in &self.all {
            out.extend(one.0.to_le_bytes());
            out.extend(other.0.to_le_bytes());
            out.extend(twin.began.0.to_le_bytes());
            out.push(u8::from(twin.later) | u8::from(twin.is_open) << 1 | u8::from(twin.are_two) << 2);
            out.push(twin.both);
            twin.heard.iter().for_each(|span| out.extend(span.to_le_bytes()));
        }
        Some(out)
    }

    /// Goes on from a row, as far as it can be read.
    pub(crate) fn restore(&mut self, mut saved: &[u8]) {
        *self = Self::default();
        while let Some((pair, twin)) = read(&mut saved).filter(|_| self.all.len() < MOST) {
            self.put(pair, twin);
        }
        self.dirty = false;
    }
}

fn read(from: &mut &[u8]) -> Option<(Pair, Twin)> {
    let mut id = || Some(DeviceId(u32::from_le_bytes(read_array(from)?)));
    let pair = (id()?, id()?);
    let began = Timestamp(i64::from_le_bytes(read_array(from)?));
    let [flags, both] = read_array(from)?;
    let mut span = || Some(i64::from_le_bytes(read_array(from)?));
    let heard = [span()?, span()?];
    let is = |bit: u8| flags & 1 << bit != 0;
    let twin = Twin { began, later: is(0), is_open: is(1), are_two: is(2), heard, both };
    Some((pair, twin))
}

impl Inventory {
    /// A station was heard: that is looked at when all is known that the event says.
    #[inline]
    pub(crate) fn note_twin(&mut self, id: DeviceId, ts: Timestamp) {
        if !self.twins.by_node.is_empty() && self.twins.others(id).next().is_some() {
            self.twins.spoken.push((id, ts));
        }
    }

    /// Whether two nodes, of which the first says now what the other has said, are one machine as far as is known. Where both
    /// are stations it is watched what becomes of them.
    pub(crate) fn may_be_one(&mut self, id: DeviceId, other: DeviceId, kind: KeyKind, ts: Timestamp) -> bool {
        let is_station = |id: &DeviceId| self.nodes.get(id).is_some_and(|node| node.known.heard);
        if ![id, other].iter().all(is_station) {
            return true;
        }
        let pair = (id.min(other), id.max(other));
        let known = self.twins.all.get(&pair);
        if known.is_some_and(|twin| twin.are_two) {
            return false;
        }
        let is_known = known.is_some();
        let [own, its] = [id, other].map(|id| self.root(id));
        // Who says it to be given an address is about to have one.
        let is_host = kind != KeyKind::Application || self.has_address(own);
        let is_open = is_host && self.has_address(its) && !self.is_quiet(its, ts);
        if is_known {
            if !is_open {
                self.decide(pair, false);
            }
            return !is_open;
        }
        if !self.twins.make_room(ts) {
            self.counters.merges_refused += 1;
            return false;
        }
        let later = id == pair.1;
        let twin = Twin { began: ts, later, is_open, are_two: false, heard: [i64::MIN; 2], both: 0 };
        self.twins.put(pair, twin);
        !is_open
    }

    /// Whether a device holds an address.
    fn has_address(&self, root: DeviceId) -> bool {
        let tree = self.tree(root);
        let mut nodes = tree.iter().filter_map(|id| self.nodes.get(id));
        nodes.any(|node| node.spans.iter().any(|(_, span)| span.until.is_none()))
    }

    /// Whether a station ever had an address: of two in turn that share one, only one holds it.
    fn had_address(&self, id: DeviceId) -> bool {
        self.nodes.get(&id).is_some_and(|node| !node.spans.is_empty())
    }

    /// Whether a device was not heard for long.
    fn is_quiet(&self, root: DeviceId, ts: Timestamp) -> bool {
        self.nodes.get(&root).is_none_or(|node| ts.since(node.last) > QUIET)
    }

    /// Looks at the pairs of those who spoke in this event.
    pub(crate) fn meet_twins(&mut self) {
        for (id, ts) in std::mem::take(&mut self.twins.spoken) {
            for other in self.twins.others(id).collect::<Vec<_>>() {
                self.meet(id, (id.min(other), id.max(other)), ts);
            }
        }
    }

    fn meet(&mut self, id: DeviceId, pair: Pair, ts: Timestamp) {
        let side = id == pair.1;
        let Some(twin) = self.twins.all.get_mut(&pair) else { return };
        twin.hear(side, ts);
        self.twins.dirty = true;
        if twin.are_two {
            return;
        }
        let (is_together, is_later, is_open) = (twin.is_together(), twin.later == side, twin.is_open);
        let (own, other) = (self.root(id), self.root(if side { pair.0 } else { pair.1 }));
        if is_together && self.had_address(pair.0) && self.had_address(pair.1) {
            self.are_two(pair, ts);
        } else if is_open && own != other && is_later && self.is_quiet(other, ts) {
            let why = self.shared(pair).unwrap_or_default();
            let is_one =
                !self.says_several(pair) && self.try_merge(pair.0, pair.1, ts, &format!("same {why}"));
            self.decide(pair, !is_one);
        }
    }

    fn decide(&mut self, pair: Pair, are_two: bool) {
        if let Some(twin) = self.twins.remove(pair) {
            self.twins.put(pair, Twin { is_open: false, are_two, ..twin });
        }
    }

    /// Both go on beside each other: who said later what is the other's has copied it.
    fn are_two(&mut self, pair: Pair, ts: Timestamp) {
        self.decide(pair, true);
        if self.root(pair.0) == self.root(pair.1) {
            self.part(pair, ts);
        }
        let what = self.shared(pair).unwrap_or_default();
        for id in [pair.0, pair.1] {
            let why = text(&format!("same {what}, and both go on at the same time"));
            self.learn(id, Via::DIRECT, attr::IDENTITY_CONFLICT, why, &Said::inferred(ts, "identity"));
        }
        self.counters.conflicts += 1;
        // Whose MAC it is did not copy it, whoever came first.
        let later = match [self.names_card(pair.0, pair.1), self.names_card(pair.1, pair.0)] {
            [Some(_), None] => false,
            [None, Some(_)] => true,
            _ => self.twins.all.get(&pair).is_some_and(|twin| twin.later),
        };
        let (copy, owner) = if later { (pair.1, pair.0) } else { (pair.0, pair.1) };
        let (copy, owner) = (self.root(copy), self.root(owner));
        if copy != owner {
            self.tell(ts, copy, Sign::Copied { what: text(&what), owner });
        }
    }

    /// Takes back the merge that made one device of both.
    fn part(&mut self, (one, other): Pair, ts: Timestamp) {
        for (mut from, rest) in [(other, one), (one, other)] {
            while let Some(into) = self.nodes.get(&from).and_then(|node| node.parent) {
                if !self.tree(from).contains(&rest) && self.tree(into).contains(&rest) {
                    if self.undo_merge(into, from, ts, "both go on at the same time") {
                        // It is a device again, and maybe one that nobody knew.
                        self.tell(ts, from, Sign::Appeared);
                    }
                    return;
                }
                from = into;
            }
        }
    }

    /// The identifier that both have, or that is made of a MAC of one of them and said by the other.
    fn shared(&self, (one, other): Pair) -> Option<String> {
        let keys = |id| Some(&self.nodes.get(&id)?.known.keys);
        let mut both = keys(one)?.intersection(keys(other)?);
        let same = both.find_map(|(kind, key)| Some(format!("{} {key}", kind_name(*kind)?)));
        let named = || self.names_card(one, other).or_else(|| self.names_card(other, one));
        same.or_else(|| Some(format!("{} {}", kind_name(KeyKind::ClientId)?, named()?)))
    }

    /// Whether nothing joins two but a MAC that one of them says, and that one has said more than one client identifier by now.
    fn says_several(&self, (one, other): Pair) -> bool {
        let (Some(a), Some(b)) = (self.nodes.get(&one), self.nodes.get(&other)) else { return false };
        let says = |id, other, ids: u32| ids > 1 && self.names_card(id, other).is_some();
        a.known.keys.is_disjoint(&b.known.keys)
            && (says(one, other, a.known.client_ids) || says(other, one, b.known.client_ids))
    }

    /// The client identifier of a node that is made of a MAC of another.
    fn names_card(&self, id: DeviceId, other: DeviceId) -> Option<&str> {
        let (own, other) = (&self.nodes.get(&id)?.known.keys, &self.nodes.get(&other)?.known.macs);
        let mut ids = own.iter().filter(|(kind, _)| *kind == KeyKind::ClientId).map(|(_, id)| id.as_str());
        ids.find(|id| card_named(id).is_some_and(|mac| other.contains(&mac)))
    }
}

/// What people call an identifier that goes with a machine; `None` for one that does not.
pub(crate) const fn kind_name(kind: KeyKind) -> Option<&'static str> {
    match kind {
        KeyKind::ClientId => Some("DHCP client identifier"),
        KeyKind::Uuid => Some("SMBIOS UUID"),
        KeyKind::Application => Some("equipment identity"),
        // A MAC finds its node by itself; an address passes from one device to another.
        KeyKind::Mac | KeyKind::Address => None,
    }
}
