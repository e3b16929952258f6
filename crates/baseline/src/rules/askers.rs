//! Who asks for what a device serves.

use crate::judge::View;
use crate::profile::Profile;
use crate::table::{Far, Key};
use crate::trail::Trail;
use model::{DeviceId, EdgeKey, IpProto, Stranger};

/// Who was answered on a port of a device, in the order in which they were first.
pub(super) fn names((id, transport, port): (DeviceId, IpProto, u16), view: &View<'_>) -> Vec<String> {
    let edges = Trail::Served(id, transport, port).edges(view);
    let began = |key: &Key| view.edges.get(key).filter(|state| state.is_answered()).map(|state| state.first);
    let mut all: Vec<_> =
        edges.iter().filter_map(|key| Some((began(key)?, view.edges.edge_key(key)))).collect();
    all.sort_unstable();
    let asker = |key: EdgeKey| match (key.inbound, key.peer) {
        (true, Some(Stranger::Address(ip))) => crate::site::called(ip),
        (true, Some(peer)) => peer.to_string(),
        _ => called(key.client, view),
    };
    let mut names: Vec<String> = Vec::new();
    for name in all.into_iter().map(|(_, key)| asker(key)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Whether somebody outside was answered on a port of a device.
pub(super) fn are_outside((id, transport, port): (DeviceId, IpProto, u16), view: &View<'_>) -> bool {
    let is_outside = |key: &Key| match key.peer {
        Some(Far::Address(ip)) => view.site.is_outside(ip),
        Some(Far::Domain(_)) => true,
        None => false,
    };
    let is_answered = |key: &Key| view.edges.get(key).is_some_and(|state| state.is_answered());
    let edges = Trail::Served(id, transport, port).edges(view);
    edges.iter().any(|key| key.inbound && is_outside(key) && is_answered(key))
}

/// `host-2 10.20.40.2`.
pub(super) fn called(id: DeviceId, view: &View<'_>) -> String {
    let with_address = |profile: &Profile| {
        let ip = profile.device.addresses.first().map(|(_, ip)| format!(" {ip}"));
        format!("{}{}", profile.name.as_str().replace(',', " "), ip.unwrap_or_default())
    };
    view.profile(id).map_or_else(|| id.to_string(), |profile| with_address(&profile))
}
