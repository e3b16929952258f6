//! The table of edges: entries in a dense list, found by key and by the devices at their ends.

use crate::domains::Domains;
use crate::edge::State;
use crate::fetch;
use crate::posture::{IN_CLEAR, legacy};
use crate::purpose::fixed::Fixed;
use hashbrown::{DefaultHashBuilder, HashMap};
use model::{DeviceId, EdgeKey, Index, IpProto, Stranger, Timestamp};
use std::borrow::Cow;
use std::cell::Cell;
use std::hash::BuildHasher;
use std::net::IpAddr;

/// A [`Stranger`] in compact form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Far {
    Address(IpAddr),
    /// The number of the domain.
    Domain(u32),
}

/// A key in compact form: one look-up for each flow compares and hashes it. It sorts like [`EdgeKey`] but for the
/// application and the peer's domain, which are numbers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) client: DeviceId,
    pub(crate) server: Option<DeviceId>,
    pub(crate) peer: Option<Far>,
    /// Whether the peer asks.
    pub(crate) inbound: bool,
    pub(crate) transport: IpProto,
    pub(crate) port: u16,
    /// Place of the application plus one; 0 for none.
    application: u16,
}

impl Key {
    /// The key with one device for another.
    pub(crate) fn renamed(self, from: DeviceId, into: DeviceId) -> Self {
        let rename = |id: DeviceId| if id == from { into } else { id };
        Self { client: rename(self.client), server: self.server.map(rename), ..self }
    }

    fn hash(&self, hasher: &DefaultHashBuilder) -> u64 {
        let peer = match self.peer {
            None => 0,
            Some(Far::Address(IpAddr::V4(ip))) => 1 << 64 | u128::from(ip.to_bits()),
            Some(Far::Address(IpAddr::V6(ip))) => ip.to_bits(),
            Some(Far::Domain(number)) => 2 << 64 | u128::from(number),
        };
        let server = self.server.map_or(0, |id| id.0);
        let ends = u64::from(self.client.0) << 32 | u64::from(server);
        // Without the application, so that all that two do on a port are found together.
        let what = u64::from(self.inbound) << 48 | u64::from(self.port) << 32 | u64::from(self.transport.0);
        hasher.hash_one([ends, what, peer as u64, (peer >> 64) as u64])
    }

    /// The number of the application.
    pub(crate) const fn application(&self) -> u16 {
        self.application
    }

    /// The key without application.
    pub(crate) const fn unspoken(self) -> Self {
        Self { application: 0, ..self }
    }

    /// The key with another port.
    pub(crate) const fn on(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The device that answers, where it is one.
    pub(crate) const fn answerer(&self) -> Option<DeviceId> {
        if self.inbound { Some(self.client) } else { self.server }
    }

    /// The key of who answers asking who asks, on a port; `None` where nobody is known to answer.
    pub(crate) const fn turned(self, port: u16) -> Option<Self> {
        match (self.server, self.peer) {
            (Some(server), _) => Some(Self { client: server, server: Some(self.client), port, ..self }),
            (None, Some(_)) => Some(Self { inbound: !self.inbound, port, ..self }),
            (None, None) => None,
        }
    }

    fn has(&self, device: DeviceId) -> bool {
        self.client == device || self.server == Some(device)
    }
}

/// An edge: two cache lines, so that they can be fetched without being looked at. Most edges are not at hand when they are
/// used.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(crate) struct Entry {
    key: Key,
    state: State,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Entry>() == 128);

/// What is known between two on a port.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Purposes {
    /// The edge with an application, and its place; of several the one known longest, then the first by name.
    pub(crate) spoken: Option<(Key, u32)>,
    /// There is an edge without application.
    pub(crate) is_unspoken_there: bool,
}

/// Edges by key.
#[derive(Debug, Default)]
pub(crate) struct Table {
    index: Index,
    entries: Vec<Entry>,
    free: Vec<u32>,
    hasher: DefaultHashBuilder,
    /// Places of the edges of a device, on either end; some that are another's by now.
    of_device: HashMap<DeviceId, Vec<u32>>,
    /// How many places stand in there.
    noted: usize,
    /// There are as many as dissectors have names.
    applications: Vec<Cow<'static, str>>,
    /// The numbers of those that name patients and are not encrypted, one bit each.
    in_clear: u64,
    pub(crate) domains: Domains,
    /// High ports that are services.
    pub(crate) fixed: Fixed,
}

/// Places noted for which throwing out old ones is not worth while.
const FEW: usize = 1_024;

impl Table {
    /// The number of an application.
    pub(crate) fn application(&mut self, name: Option<Cow<'static, str>>) -> u16 {
        let Some(name) = name else { return 0 };
        let place = self.applications.iter().position(|known| *known == name).unwrap_or_else(|| {
            let place = self.applications.len();
            if IN_CLEAR.contains(&name.as_ref()) {
                self.in_clear |= 1_u64.checked_shl(place as u32).unwrap_or_default();
            }
            self.applications.push(name);
            place
        });
        u16::try_from(place + 1).unwrap_or(0)
    }

    /// Whether rules about how things are look at an edge however well it is known.
    pub(crate) fn is_posture(&self, key: &Key) -> bool {
        let in_clear =
            u32::from(key.application).checked_sub(1).and_then(|place| self.in_clear.checked_shr(place));
        in_clear.is_some_and(|bits| bits & 1 == 1) || legacy(key.transport, key.port).is_some()
    }

    /// A key with the number of its application.
    pub(crate) const fn with(
        client: DeviceId,
        (server, peer, inbound): (Option<DeviceId>, Option<Far>, bool),
        transport: IpProto,
        port: u16,
        application: u16,
    ) -> Key {
        Key { client, server, peer, inbound, transport, port, application }
    }

    /// The compact form of a key.
    pub(crate) fn key(&mut self, key: EdgeKey) -> Key {
        let EdgeKey { client, server, peer, inbound, transport, port, application } = key;
        let peer = peer.and_then(|peer| match peer {
            Stranger::Address(ip) => Some(Far::Address(ip)),
            Stranger::Domain(domain) => self.domains.number(&domain).map(Far::Domain),
        });
        Self::with(client, (server, peer, inbound), transport, port, self.application(application))
    }

    /// The key that a compact one stands for.
    pub(crate) fn edge_key(&self, key: &Key) -> EdgeKey {
        let Key { client, server, peer, inbound, transport, port, application } = *key;
        let place = usize::from(application).checked_sub(1);
        let application = place.and_then(|place| self.applications.get(place)).cloned();
        let peer = peer.and_then(|peer| match peer {
            Far::Address(ip) => Some(Stranger::Address(ip)),
            Far::Domain(number) => self.domains.get(number).cloned().map(Stranger::Domain),
        });
        EdgeKey { client, server, peer, inbound, transport, port, application }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    fn place(&self, key: &Key) -> Option<u32> {
        self.index.find(key.hash(&self.hasher), |slot| self.is(slot, key))
    }

    /// The hash of a key, for [`Table::guess`]; has what that looks at fetched from memory.
    pub(crate) fn hash(&self, key: &Key) -> u64 {
        let hash = key.hash(&self.hasher);
        self.index.first(hash).for_each(fetch);
        hash
    }

    /// Where a key of this hash most likely is, which is fetched; the place is the key's only if [`Table::is`] says so.
    pub(crate) fn guess(&self, hash: u64) -> u32 {
        let slot = self.index.find(hash, |_| true).unwrap_or(Index::NONE);
        if let Some(entry) = self.entries.get(slot as usize) {
            fetch(entry);
            fetch(&entry.state.dirty);
        }
        slot
    }

    fn at(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize).filter(|entry| entry.state.is_there)
    }

    /// Whether the edge at a place is the key's.
    pub(crate) fn is(&self, slot: u32, key: &Key) -> bool {
        self.at(slot).is_some_and(|entry| entry.key == *key)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&State> {
        self.at(self.place(key)?).map(|entry| &entry.state)
    }

    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut State> {
        self.find(key, Index::NONE)
    }

    /// The state of an edge, which most likely is at `slot`.
    pub(crate) fn at_hand(&self, key: &Key, slot: u32) -> Option<&State> {
        let slot = if self.is(slot, key) { slot } else { self.place(key)? };
        self.at(slot).map(|entry| &entry.state)
    }

    /// The same, to change.
    pub(crate) fn find(&mut self, key: &Key, slot: u32) -> Option<&mut State> {
        let slot = if self.is(slot, key) { slot } else { self.place(key)? };
        self.entries.get_mut(slot as usize).map(|entry| &mut entry.state)
    }

    /// What is known where a key leads, whatever its application: one look-up.
    pub(crate) fn purposes(&self, key: &Key) -> Purposes {
        let wanted = key.unspoken();
        let (found, first) = (Cell::new(Purposes::default()), Cell::new((Timestamp(i64::MAX), "")));
        self.index.find(key.hash(&self.hasher), |slot| {
            let Some(Entry { key, state }) = self.at(slot).filter(|entry| entry.key.unspoken() == wanted)
            else {
                return false;
            };
            let so_far = found.get();
            let this = (state.first, self.name(key));
            if key.application == 0 {
                found.set(Purposes { is_unspoken_there: true, ..so_far });
            } else if so_far.spoken.is_none() || this < first.get() {
                first.set(this);
                found.set(Purposes { spoken: Some((*key, slot)), ..so_far });
            }
            // There may be more.
            false
        });
        found.get()
    }

    /// The name of a key's application.
    fn name(&self, key: &Key) -> &str {
        let place = usize::from(key.application).checked_sub(1);
        place.and_then(|place| self.applications.get(place)).map(AsRef::as_ref).unwrap_or_default()
    }

    /// All edges, in the order of their places.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Key, &State)> {
        self.entries.iter().filter(|entry| entry.state.is_there).map(|entry| (&entry.key, &entry.state))
    }

    /// Adds an edge that is not in the table.
    pub(crate) fn insert(&mut self, key: Key, mut state: State) {
        if let Some(Far::Domain(number)) = key.peer {
            self.domains.add(number);
        }
        state.is_there = true;
        let entry = Entry { key, state };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => u32::try_from(self.entries.len()).unwrap_or(Index::NONE),
        };
        match self.entries.get_mut(slot as usize) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        self.index.insert(key.hash(&self.hasher), slot);
        self.note(slot, &key);
        if self.noted > self.len().saturating_mul(4).saturating_add(FEW) {
            self.note_anew();
        }
    }

    fn note(&mut self, slot: u32, key: &Key) {
        for device in
            [Some(key.client), key.server.filter(|server| *server != key.client)].into_iter().flatten()
        {
            self.of_device.entry(device).or_default().push(slot);
            self.noted += 1;
        }
    }

    fn note_anew(&mut self) {
        self.of_device.clear();
        self.noted = 0;
        let there = (0..).zip(&self.entries).filter(|(_, entry)| entry.state.is_there);
        let all: Vec<(u32, Key)> = there.map(|(slot, entry)| (slot, entry.key)).collect();
        for (slot, key) in all {
            self.note(slot, &key);
        }
    }

    pub(crate) fn remove(&mut self, key: &Key) -> Option<State> {
        let slot = self.place(key)?;
        self.index.remove(key.hash(&self.hasher), slot);
        self.free.push(slot);
        if let Some(Far::Domain(number)) = key.peer {
            self.domains.leave(number);
        }
        let entry = self.entries.get_mut(slot as usize)?;
        Some(std::mem::replace(&mut entry.state, State::new(Timestamp(0))))
    }

    /// Bytes that the name of an edge's peer takes.
    pub(crate) fn weight_of_name(&self, key: &Key) -> usize {
        match key.peer {
            Some(Far::Domain(number)) => self.domains.weight(number),
            Some(Far::Address(_)) | None => 0,
        }
    }

    /// Whether a device is the client of an edge.
    pub(crate) fn has_client(&self, client: DeviceId) -> bool {
        let places = self.of_device.get(&client).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|slot| self.at(*slot)).any(|entry| entry.key.client == client)
    }

    /// The keys of a device's edges, on either end, in no order.
    pub(crate) fn of_device(&self, device: DeviceId) -> Vec<Key> {
        let places = self.of_device.get(&device).map(Vec::as_slice).unwrap_or_default();
        let entries = places.iter().filter_map(|slot| self.at(*slot));
        // A place may have been noted for an edge before this one, too.
        let mut keys: Vec<Key> = entries.map(|entry| entry.key).filter(|key| key.has(device)).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}
