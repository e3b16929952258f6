//! How much of an edge is new, on the ladder device → role → zone (design §7).

use crate::habits::Habits;
use crate::judge::{Novelty, View};
use crate::table::{Far, Key, Table};
use crate::ways::Way;
use model::{DeviceClass, DeviceId, EdgeState, Timestamp};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Devices of a role that are asked whether they do the same.
const MOST_PEERS: usize = 256;
/// Edges of one of them that are looked at.
const MOST_EDGES: usize = 1_024;

/// The devices of each role.
pub(crate) type Roles = BTreeMap<DeviceClass, Vec<DeviceId>>;

pub(crate) fn roles_of(habits: &Habits) -> Roles {
    let mut roles = Roles::new();
    for (id, habit) in habits.each() {
        roles.entry(habit.class()).or_default().push(id);
    }
    roles.values_mut().for_each(|devices| devices.sort_unstable());
    roles
}

/// Whom an edge leads to, as far as roles tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Class(DeviceClass),
    Device(DeviceId),
    Stranger(Far),
    Nobody,
}

fn role(habits: &Habits, key: &Key) -> Role {
    match (key.server, key.peer) {
        (Some(id), _) => match habits.get(id).map_or(DeviceClass::Unknown, |habit| habit.class()) {
            DeviceClass::Unknown => Role::Device(id),
            class => Role::Class(class),
        },
        (None, Some(far)) => Role::Stranger(far),
        (None, None) => Role::Nobody,
    }
}

/// Whether what is known is the purpose of a key. One that did not say what it is for may be anything on its port.
const fn same_purpose(known: &Key, key: &Key) -> bool {
    known.transport.0 == key.transport.0
        && known.port == key.port
        && known.inbound == key.inbound
        && (known.application() == key.application() || key.application() == 0)
}

/// What a device did by a time, normally or in spite of having been reported for it. What was only attempted is not done.
fn done(edges: &Table, id: DeviceId, until: Timestamp) -> impl Iterator<Item = (Key, bool)> {
    let own = edges.of_device(id).into_iter().filter(move |key| key.client == id).take(MOST_EDGES);
    let is_done = move |key: &Key| edges.get(key).filter(|state| state.hours > 0 && state.first <= until);
    own.filter_map(move |key| match is_done(&key)?.standing {
        EdgeState::Reported => Some((key, false)),
        standing => standing.is_normal().then_some((key, true)),
    })
}

/// What a device did normally by a time.
fn normal(edges: &Table, id: DeviceId, until: Timestamp) -> impl Iterator<Item = Key> {
    done(edges, id, until).filter(|(_, is_normal)| *is_normal).map(|(key, _)| key)
}

/// How new an edge is, or was by what was done until a time. `of_class` are the devices of its role.
pub(crate) fn novelty(
    view: &View<'_>,
    (key, way): (&Key, Option<Way>),
    of_class: &[DeviceId],
    until: Timestamp,
) -> Novelty {
    let (edges, habits) = (view.edges, view.habits);
    let wanted = role(habits, key);
    let is_same = |known: &Key| known != key && same_purpose(known, key) && role(habits, known) == wanted;
    let same_with_role = normal(edges, key.client, until).any(|known| is_same(&known));
    let others = || of_class.iter().copied().filter(|id| *id != key.client).take(MOST_PEERS);
    let (mut peers_with, mut peers_normal) = (0, 0);
    for id in others() {
        let same = done(edges, id, until).filter(|(known, _)| is_same(known)).map(|(_, is_normal)| is_normal);
        if let Some(is_normal) = same.max() {
            peers_with += 1;
            peers_normal += usize::from(is_normal);
        }
    }
    let [own_ip, peer_ip] = way.filter(|_| !key.inbound).map_or([None; 2], |way| way.map(Some));
    let zone = peer_zone(view, key, peer_ip);
    // By which addresses others were reached is not known any more: they are where they are at home.
    let to_zone = |id: DeviceId| normal(edges, id, until).any(|known| peer_zone(view, &known, None) == zone);
    // Where a device lives it is no stranger.
    let is_own = || {
        let own = view.profile(key.client).and_then(|own| own.zone_by(own_ip, view.site));
        own.as_ref().map(|zone| zone.as_str()) == zone.as_deref()
    };
    let zone_known = zone.is_none() || is_own() || to_zone(key.client) || others().any(to_zone);
    Novelty { same_with_role, peers: others().count(), peers_with, peers_normal, zone_known }
}

/// The zone an edge leads to, maybe to a known address of its device: that of the device, of the address, or the world outside;
/// `None` where no zone is known.
fn peer_zone(view: &View<'_>, key: &Key, ip: Option<IpAddr>) -> Option<String> {
    match (key.server, key.peer) {
        (Some(id), _) => view.profile(id)?.zone_by(ip, view.site).map(|zone| zone.as_str().to_owned()),
        (None, Some(Far::Domain(number))) => {
            view.edges.domains.get(number).map(|domain| format!("outside {domain}"))
        }
        (None, Some(Far::Address(ip))) if view.site.is_outside(ip) => Some(format!("outside {ip}")),
        (None, Some(Far::Address(ip))) => view.zone(ip).map(|zone| zone.name.as_str().to_owned()),
        (None, None) => None,
    }
}
