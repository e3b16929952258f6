//! At which addresses peers outside were met. They are told by domain or network; whoever has to block them needs an address.

use super::window::{DAY, Recent, Rows, pack, unpack};
use crate::Baseline;
use crate::rows::digest;
use crate::table::{Far, Key, Table};
use crate::ways::Ways;
use model::{DeviceId, EdgeKey, Flow, Stranger, Timestamp};
use std::net::IpAddr;

/// Edges of which addresses are kept, addresses of each, and for how long after the last.
const MOST_EDGES: usize = 4_096;
pub(super) const MOST: usize = 4;
const KEPT: i64 = 90 * DAY;

/// An edge with somebody outside, whatever is spoken on it: the device, a network or a domain, who asks, and the service.
type Place = (u32, Option<IpAddr>, String, bool, (u8, u16));

/// The addresses of those edges that may be told, the latest first.
#[derive(Debug)]
pub(crate) struct Outsiders {
    all: Recent<Place, Vec<IpAddr>>,
    /// By which addresses devices talk, of edges that wait to be judged: that is as short-lived as those are.
    pub(crate) ways: Ways,
    /// What was saved last, in short.
    written: u64,
}

impl Default for Outsiders {
    fn default() -> Self {
        Self { all: Recent::new(MOST_EDGES), ways: Ways::default(), written: digest(&[]) }
    }
}

/// Where an edge stands; `None` where no stranger is an end of it.
fn place(key: &EdgeKey) -> Option<Place> {
    let (ip, domain) = match key.peer.as_ref()? {
        Stranger::Address(ip) => (Some(*ip), String::new()),
        Stranger::Domain(domain) => (None, domain.as_str().to_owned()),
    };
    Some((key.client.0, ip, domain, key.inbound, (key.transport.0, key.port)))
}

/// An address was met, once more or for the first time.
pub(super) fn met(known: &mut Vec<IpAddr>, ip: IpAddr) {
    if known.first() != Some(&ip) {
        known.retain(|known| *known != ip);
        known.insert(0, ip);
        known.truncate(MOST);
    }
}

impl Outsiders {
    /// The peer of an edge was met at an address.
    pub(crate) fn note(&mut self, key: &EdgeKey, ip: IpAddr, at: Timestamp) {
        if let Some(place) = place(key) {
            met(self.all.entry(at, place), ip);
        }
    }

    /// At which addresses the peer of an edge was met.
    pub(crate) fn of(&self, key: &EdgeKey) -> Vec<IpAddr> {
        place(key).and_then(|place| self.all.get(&place)).cloned().unwrap_or_default()
    }

    /// The edge is as it should be.
    pub(crate) fn remove(&mut self, key: &EdgeKey) {
        if let Some(place) = place(key) {
            self.all.remove(&place);
        }
    }

    pub(crate) fn forget(&mut self, now: Timestamp, edges: &Table) {
        self.all.forget(now.0.saturating_sub(KEPT));
        self.ways.forget(edges);
    }

    /// Two devices are one.
    pub(crate) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let start = (from.0, None, String::new(), false, (0, 0));
        let renamed = |place: Place| (into.0, place.1, place.2, place.3, place.4);
        self.all.rename_all(
            start,
            |place| place.0 == from.0,
            renamed,
            |own, other| {
                let others: Vec<IpAddr> = other.into_iter().filter(|ip| !own.contains(ip)).collect();
                own.extend(others);
                own.truncate(MOST);
            },
        );
    }

    /// What must outlive a restart, if that is something else than was saved last.
    pub(crate) fn changed(&mut self) -> Option<Vec<u8>> {
        let saved = if self.all.is_empty() { Vec::new() } else { pack(&self.all.rows()) };
        let digest = digest(&saved);
        (std::mem::replace(&mut self.written, digest) != digest).then_some(saved)
    }

    pub(crate) fn restore(&mut self, saved: &[u8]) {
        self.written = digest(saved);
        self.all.fill(unpack::<Rows<Place, Vec<IpAddr>>>(saved).unwrap_or_default());
    }
}

impl Baseline {
    /// At which address the peer of an edge was met, where it is one outside and the edge is to be judged; and by which
    /// addresses its ends talked, where there are zones that those may be in. `turned` says that who is taken for who asked is
    /// who answers. The edge most likely is at the place beside its key.
    pub(crate) fn meet(&mut self, (key, slot): &(Key, u32), flow: &Flow, turned: bool) {
        let Some(state) = self.edges.at_hand(key, *slot) else { return };
        if !self.config.site.zones.is_empty() && (state.waits || state.waits_for_hour) {
            self.outsiders.ways.note(key, flow, turned, &self.config.site);
        }
        let Some(far) = key.peer.filter(|_| state.waits) else { return };
        let [(asker, _), (answerer, _)] = flow.record.ends();
        let ip = if flow.devices[0].is_some() { answerer } else { asker };
        if matches!(far, Far::Domain(_)) || self.config.site.is_outside(ip) {
            self.outsiders.note(&self.edges.edge_key(key), ip, flow.record.last);
        }
    }
}
