//! `wardwatch baseline show`: how far learning has come, device by device and role by role.

use super::configured;
use super::level::{Labels, Names};
use super::page;
use super::snapshot::{Devices, Snapshot, Who};
use crate::cli::{self, Level, TableOrJson};
use crate::text::{self, count, line, plural, table};
use crate::{Error, find};
use baseline::{Known, Learning, Seen, Site};
use model::{DeviceClass, DeviceId, Edge, LearningState};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::Store;

/// An edge is shared when so many devices of a role have it, and a fifth of them.
const SHARED: usize = 3;

pub(crate) fn show(args: &cli::Show) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let reader = store.reader();
    let config = configured(args.config.as_deref())?;
    let snapshot = Snapshot::now(&reader, &config)?;
    let rules = config.baseline();
    match (&args.device, args.roles) {
        (Some(name), _) => {
            let id = find::device(&reader.inventory()?, name)?.device.id;
            page::device(id, &snapshot, &rules, &reader.journal()?, args.format)
        }
        (None, true) => by_role(&snapshot, &rules.site, args.format),
        (None, false) => all(&snapshot, args.format),
    }
}

/// What is known of a device that was not seen to do anything yet.
pub(super) fn known(snapshot: &Snapshot, id: DeviceId) -> Known {
    snapshot.habits.get(&id).cloned().unwrap_or_else(|| Known {
        device: id,
        state: Learning::default().state(&Seen::default(), &Default::default()),
        seen: Seen::default(),
        class: DeviceClass::Unknown,
        first: Default::default(),
        last: Default::default(),
        pause: 0,
    })
}

/// Per cent, rounded down: 100 is only what is complete.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1}%", (part * 1_000.0 + 1e-9).floor() / 10.0)
}

fn all(snapshot: &Snapshot, format: TableOrJson) -> Result<(), Error> {
    let mut order: Vec<(&DeviceId, &Who)> = snapshot.devices.iter().collect();
    if format == TableOrJson::Json {
        return order.iter().try_for_each(|(id, who)| line(&record(who, &known(snapshot, **id)).to_string()));
    }
    order.sort_by_key(|(id, who)| (who.class, &who.name, **id));
    let mut states: BTreeMap<LearningState, u64> = BTreeMap::new();
    let rows = order.iter().map(|(id, who)| {
        let known = known(snapshot, **id);
        *states.entry(known.state).or_default() += 1;
        vec![
            who.name.clone(),
            who.class.to_string(),
            known.state.to_string(),
            count(known.seen.edges.into()),
            count(known.seen.hours.into()),
            percent(known.seen.coverage().chao),
            known.seen.sentence(),
        ]
    });
    let rows: Vec<_> = rows.collect();
    let sum: Vec<_> = states.iter().map(|(state, n)| format!("{} {state}", count(*n))).collect();
    line(&format!(
        "{}   {}",
        text::strong(&plural(order.len() as u64, "device", "devices")),
        text::faint("wardwatch baseline show DEVICE explains one")
    ))?;
    if rows.is_empty() {
        return Ok(());
    }
    line(&sum.join(", "))?;
    line(&table(&["DEVICE", "CLASS", "STATE", "EDGES", "ACTIVE HOURS", "COVERAGE", "WHAT WAS SEEN"], rows))
}

/// What machines are told of a device's learning.
pub(super) fn record(who: &Who, known: &Known) -> Value {
    let (seen, coverage) = (known.seen, known.seen.coverage());
    let mut out = json!({
        "device": who.name, "device_id": known.device.to_string(), "device_class": who.class.as_str(),
        "state": known.state.as_str(), "edges": seen.edges, "active_hours": seen.hours,
        "edges_seen_once": seen.once, "edges_seen_twice": seen.twice, "edge_hours": seen.pairs,
        "quiet_hours": seen.quiet, "coverage": coverage.chao, "coverage_good_turing": coverage.turing,
        "expected_unseen_edges": coverage.unseen, "sentence": seen.sentence(),
    });
    if let Value::Object(fields) = &mut out {
        if let Some(hours) = coverage.hours_to_next {
            fields.insert("active_hours_to_next_edge".into(), hours.into());
        }
        if let Some(zone) = &who.zone {
            fields.insert("zone".into(), zone.as_str().into());
        }
        if known.seen.hours > 0 {
            fields.insert("first_seen".into(), known.first.to_string().into());
            fields.insert("last_seen".into(), known.last.to_string().into());
        }
    }
    out
}

/// What the devices of a role have in common.
#[derive(Debug, PartialEq)]
pub(super) struct Role {
    pub(super) class: DeviceClass,
    pub(super) devices: usize,
    /// Edges that many of them have, by how many do, most first.
    pub(super) shared: Vec<(Labels, usize)>,
}

/// Every role. Edges that are not normal are not counted.
pub(super) fn roles(devices: &Devices, edges: &[Edge], names: &Names<'_>) -> Vec<Role> {
    let mut users: BTreeMap<(DeviceClass, Labels), BTreeSet<DeviceId>> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.state.is_normal()) {
        let class = devices.get(&edge.key.client).map(|who| who.class);
        if let Some(class) = class.filter(|class| *class != DeviceClass::Unknown) {
            let labels = names.labels(&edge.key, Level::Role);
            users.entry((class, labels)).or_default().insert(edge.key.client);
        }
    }
    let mut counts: BTreeMap<DeviceClass, usize> = BTreeMap::new();
    devices.values().for_each(|who| *counts.entry(who.class).or_default() += 1);
    let role = |(class, devices): (DeviceClass, usize)| {
        let least = devices.div_ceil(5).max(SHARED);
        let own = users.iter().filter(|((of, _), ids)| *of == class && ids.len() >= least);
        let mut shared: Vec<_> = own.map(|((_, labels), ids)| (labels.clone(), ids.len())).collect();
        shared.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Role { class, devices, shared }
    };
    counts.into_iter().map(role).collect()
}

fn by_role(snapshot: &Snapshot, site: &Site, format: TableOrJson) -> Result<(), Error> {
    let names = Names { devices: &snapshot.devices, site };
    let roles = roles(&snapshot.devices, &snapshot.edges, &names);
    if format == TableOrJson::Json {
        return roles.iter().try_for_each(|role| {
            let shared = role.shared.iter().map(|(labels, devices)| {
                let mut edge = edge_fields(labels);
                if let Value::Object(fields) = &mut edge {
                    fields.insert("devices".into(), (*devices).into());
                }
                edge
            });
            let row = json!({
                "role": role.class.as_str(), "devices": role.devices, "shared_edges": shared.collect::<Vec<_>>(),
            });
            line(&row.to_string())
        });
    }
    line(&format!(
        "{}   {}",
        text::strong(&plural(roles.len() as u64, "role", "roles")),
        text::faint("an edge is shared when 3 devices of the role have it, and a fifth of them")
    ))?;
    if roles.is_empty() {
        return Ok(());
    }
    let row = |role: &Role| {
        vec![role.class.to_string(), count(role.devices as u64), count(role.shared.len() as u64)]
    };
    line(&table(&["ROLE", "DEVICES", "SHARED EDGES"], roles.iter().map(row).collect()))?;
    for role in roles.iter().filter(|role| !role.shared.is_empty()) {
        crate::show::heading(&role.class.to_string())?;
        for (labels, devices) in &role.shared {
            line(&format!(
                "  {}: {} of {}",
                labels.words(),
                count(*devices as u64),
                count(role.devices as u64)
            ))?;
        }
    }
    Ok(())
}

/// With whom and for what, for machines.
pub(super) fn edge_fields(labels: &Labels) -> Value {
    let mut out = json!({
        "direction": if labels.inbound { "in" } else { "out" }, "transport": labels.transport.to_string(),
    });
    let known = [
        ("peer", labels.peer.clone().map(Value::from)),
        ("peer_id", labels.peer_id.map(|id| id.to_string().into())),
        ("peer_kind", labels.peer_kind.map(Value::from)),
        ("port", (labels.port != 0).then(|| labels.port.into())),
        ("application", labels.application.clone().map(Value::from)),
    ];
    if let Value::Object(fields) = &mut out {
        fields.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::tests::{devices, edge};
    use model::EdgeState;

    #[test]
    fn per_cent_is_never_more_than_it_is() {
        assert_eq!(
            [0.0, 0.9841, 0.99999, 1.0, 0.98].map(percent),
            ["0.0%", "98.4%", "99.9%", "100.0%", "98.0%"]
        );
    }

    #[test]
    fn a_role_shares_what_three_and_a_fifth_have() {
        let (mut devices, site) = (devices(), Site::default());
        let ct = devices[&DeviceId(1)].clone();
        for id in 5..=7 {
            devices.insert(DeviceId(id), ct.clone());
        }
        let mut edges = vec![edge(1, 3, 104), edge(2, 3, 104)];
        let shared = |devices: &Devices, edges: &[Edge]| {
            let roles = roles(devices, edges, &Names { devices, site: &site });
            assert_eq!(
                roles.iter().map(|role| role.class.as_str()).collect::<Vec<_>>(),
                ["CT", "PACS", "unknown"]
            );
            roles[0].shared.iter().map(|(labels, n)| format!("{} {n}", labels.words())).collect::<Vec<_>>()
        };
        assert_eq!(shared(&devices, &edges), [""; 0], "two are none");
        edges.push(Edge { state: EdgeState::Quarantined, ..edge(5, 3, 104) });
        assert_eq!(shared(&devices, &edges), [""; 0], "what is not normal does not count");
        edges.push(edge(6, 3, 104));
        assert_eq!(shared(&devices, &edges), ["asks PACS on 104/tcp dicom 3"]);
        for id in 8..=18 {
            devices.insert(DeviceId(id), ct.clone());
        }
        assert_eq!(shared(&devices, &edges), [""; 0], "three of 16 are less than a fifth");
    }
}
