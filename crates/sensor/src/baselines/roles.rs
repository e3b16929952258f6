//! `wardwatch baseline show --roles`: how far the learning of each role has come, and what its devices have in common.

use super::level::{Labels, Names};
use super::show::{cells, edge_fields, figures, known, percent};
use super::snapshot::{Devices, Snapshot};
use crate::Error;
use crate::cli::{Format, Level};
use crate::text::{self, count, line, plural, table};
use baseline::{Config, Known, Learning, RoleLearning, RoleUse};
use model::{DeviceClass, DeviceId, Edge, EdgeState, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An edge is shared when so many devices of a role have it, and a fifth of them.
const SHARED: usize = 3;

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

/// How far the learning of each role has come. Of whom it is not known what it is for, nobody can stand for another.
fn learning(snapshot: &Snapshot, names: &Names<'_>, rules: &Learning) -> BTreeMap<DeviceClass, RoleLearning> {
    let mut members: BTreeMap<DeviceClass, Vec<Known>> = BTreeMap::new();
    let mut places: BTreeMap<DeviceId, (DeviceClass, usize)> = BTreeMap::new();
    let with_role = snapshot.devices.iter().filter(|(_, who)| who.class != DeviceClass::Unknown);
    for (id, who) in with_role {
        let of_class = members.entry(who.class).or_default();
        places.insert(*id, (who.class, of_class.len()));
        of_class.push(known(snapshot, *id));
    }
    // Edges that are one at the level of roles have one number: there are few of those, and each is many words.
    let mut numbers: BTreeMap<Labels, u32> = BTreeMap::new();
    let mut uses: BTreeMap<DeviceClass, Vec<RoleUse<u32>>> = BTreeMap::new();
    for edge in snapshot.edges.iter().filter(|edge| edge.state != EdgeState::Quarantined) {
        let asks = names.labels(&edge.key, Level::Role);
        let server = edge.key.server.filter(|server| *server != edge.key.client);
        // Who is asked does something, too.
        let serves = server.map(|server| {
            let (device, device_id) = names.role(server);
            let (peer, peer_id) = (Some(asks.device.clone()), asks.device_id);
            (server, Labels { device, device_id, peer, peer_id, inbound: true, ..asks.clone() })
        });
        for (id, labels) in [(edge.key.client, asks)].into_iter().chain(serves) {
            let Some((class, member)) = places.get(&id).copied() else { continue };
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            let number = *numbers.entry(labels).or_insert(next);
            let Edge { hours, last_hour, first, state, .. } = *edge;
            uses.entry(class).or_default().push(RoleUse {
                edge: number,
                member,
                hours,
                last_hour,
                first,
                state,
            });
        }
    }
    let of = |(class, members): (DeviceClass, Vec<Known>)| {
        let uses = uses.get(&class).map(Vec::as_slice).unwrap_or_default();
        (class, baseline::role(&members, uses.iter().copied(), rules, snapshot.last))
    };
    members.into_iter().map(of).collect()
}

/// Fields of a role, in the order of the columns.
const COLUMNS: [&str; 18] = [
    "role",
    "state",
    "devices",
    "devices_learned",
    "edges",
    "active_hours",
    "edges_seen_once",
    "edges_seen_twice",
    "edge_hours",
    "quiet_hours",
    "coverage",
    "coverage_good_turing",
    "expected_unseen_edges",
    "active_hours_to_next_edge",
    "first_seen",
    "last_seen",
    "shared_edges",
    "sentence",
];

/// What machines are told of a role.
fn record(role: &Role, learning: Option<&RoleLearning>) -> Value {
    let shared = role.shared.iter().map(|(labels, devices)| {
        let mut edge = edge_fields(labels);
        if let Value::Object(fields) = &mut edge {
            fields.insert("devices".into(), (*devices).into());
        }
        edge
    });
    let mut out = json!({
        "role": role.class.as_str(), "devices": role.devices, "shared_edges": shared.collect::<Vec<_>>(),
    });
    if let (Value::Object(fields), Some(of)) = (&mut out, learning) {
        let states: serde_json::Map<String, Value> =
            of.states.iter().map(|(state, n)| (state.as_str().to_owned(), (*n).into())).collect();
        let known = [
            ("state", of.state.as_str().into()),
            ("devices_learned", of.learned().into()),
            ("device_states", states.into()),
            ("sentence", of.sentence().into()),
        ];
        fields.extend(known.map(|(name, value)| (name.to_owned(), value)));
        fields.extend(figures(&of.seen));
        if of.seen.hours > 0 {
            let time = |at: Timestamp| Value::from(at.to_string());
            fields
                .extend([("first_seen".to_owned(), time(of.first)), ("last_seen".to_owned(), time(of.last))]);
        }
    }
    out
}

/// The same in cells: of shared edges how many there are.
fn row_of_cells(role: &Role, learning: Option<&RoleLearning>) -> Vec<String> {
    let mut record = record(role, learning);
    if let Value::Object(fields) = &mut record {
        fields.insert("shared_edges".into(), role.shared.len().into());
    }
    cells(&record, &COLUMNS)
}

pub(super) fn show(snapshot: &Snapshot, config: &Config, format: Format) -> Result<(), Error> {
    let names = Names { devices: &snapshot.devices, site: &config.site };
    let roles = roles(&snapshot.devices, &snapshot.edges, &names);
    let learning = learning(snapshot, &names, &config.learning);
    match format {
        Format::Json => {
            return roles
                .iter()
                .try_for_each(|role| line(&record(role, learning.get(&role.class)).to_string()));
        }
        Format::Csv => {
            let rows = roles.iter().map(|role| row_of_cells(role, learning.get(&role.class)));
            return Ok(::export::csv(&COLUMNS, rows, &mut std::io::stdout().lock())?);
        }
        Format::Table => {}
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
        let of = learning.get(&role.class);
        let coverage = of.map(|of| of.seen.coverage());
        let told = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        vec![
            role.class.to_string(),
            told(of.map(|of| of.state.to_string())),
            count(role.devices as u64),
            told(of.map(|of| count(of.learned() as u64))),
            count(role.shared.len() as u64),
            told(coverage.map(|coverage| percent(coverage.chao))),
            told(coverage.map(|coverage| percent(coverage.turing))),
            told(coverage.map(|coverage| format!("{:.1}", coverage.unseen))),
            told(of.map(RoleLearning::sentence)),
        ]
    };
    let headings = [
        "ROLE",
        "STATE",
        "DEVICES",
        "LEARNED",
        "SHARED EDGES",
        "COVERAGE",
        "GOOD-TURING",
        "UNSEEN",
        "WHAT WAS SEEN",
    ];
    line(&table(&headings, roles.iter().map(row).collect()))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::tests::{devices, edge};
    use baseline::{Seen, Site};
    use model::LearningState;

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

    #[test]
    fn the_learning_of_a_role_is_that_of_its_devices_together() {
        let (devices, site) = (devices(), Site::default());
        let habit = |id: u32, hours: u32, state| Known {
            seen: Seen { hours, ..Seen::default() },
            state,
            last: Timestamp(1_000_000_000),
            ..known(&Snapshot { devices: Devices::new(), ..empty() }, DeviceId(id))
        };
        let once = Edge { hours: 1, last_hour: 9, ..edge(2, 3, 4242) };
        let hidden = Edge { state: EdgeState::Quarantined, ..edge(1, 3, 23) };
        let snapshot = Snapshot {
            devices,
            edges: vec![edge(1, 3, 104), hidden, edge(2, 3, 104), once],
            habits: [(1, 5, LearningState::Learning), (2, 4, LearningState::Locked)]
                .map(|(id, hours, state)| (DeviceId(id), habit(id, hours, state)))
                .into(),
            ..empty()
        };
        let names = Names { devices: &snapshot.devices, site: &site };
        let learning = learning(&snapshot, &names, &Learning::default());
        let classes: Vec<_> = learning.keys().map(|class| class.as_str()).collect();
        assert_eq!(classes, ["CT", "PACS"], "who is for nothing known is no role");
        let ct = &learning[&DeviceClass::Ct];
        assert_eq!(
            ct.sentence(),
            "2 edges in 9 active hours of 2 devices, 1 seen once: expect a new one about every 9 active hours"
        );
        assert_eq!((ct.learned(), ct.devices(), ct.seen.pairs), (1, 2, 9));
        // Who serves is seen to do so.
        assert_eq!(
            (learning[&DeviceClass::Pacs].seen.edges, learning[&DeviceClass::Pacs].seen.pairs),
            (2, 5)
        );
        let roles = roles(&snapshot.devices, &snapshot.edges, &names);
        let row = record(&roles[0], Some(ct));
        assert_eq!((&row["state"], &row["devices_learned"]), (&"observing".into(), &1.into()));
        assert_eq!((&row["device_states"]["locked"], &row["edges_seen_once"]), (&1.into(), &1.into()));
        let cells = row_of_cells(&roles[0], Some(ct));
        assert_eq!(
            (&cells[..4], cells[16].as_str()),
            (&["CT", "observing", "2", "1"].map(String::from)[..], "0")
        );
        let unknown = row_of_cells(&roles[2], None);
        assert_eq!(&unknown[..4], ["unknown", "", "1", ""]);
    }

    fn empty() -> Snapshot {
        let (devices, edges) = (Devices::new(), Vec::new());
        Snapshot { name: "now".into(), last: Timestamp(0), devices, edges, habits: BTreeMap::new() }
    }
}
