//! `wardwatch baseline show`: how far learning has come, device by device and role by role.

use super::configured;
use super::level::Labels;
use super::snapshot::{Snapshot, Who};
use super::{page, roles};
use crate::cli::{self, Format, TableOrJson};
use crate::text::{self, count, line, plural, table};
use crate::{Error, find};
use baseline::{Known, Learning, Seen};
use model::{DeviceClass, DeviceId, LearningState};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::Store;

pub(crate) fn show(args: &cli::Show) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let reader = store.reader();
    let config = configured(args.config.as_deref())?;
    let snapshot = Snapshot::now(&reader, &config)?;
    let rules = config.baseline();
    match (&args.device, args.roles) {
        (Some(name), _) => {
            let id = find::device(&reader.inventory()?, name)?.device.id;
            let format = match args.format {
                Format::Csv => {
                    return csv(snapshot.devices.iter().filter(|(known, _)| **known == id), &snapshot);
                }
                Format::Json => TableOrJson::Json,
                Format::Table => TableOrJson::Table,
            };
            page::device(id, &snapshot, &rules, &reader.journal()?, format)
        }
        (None, true) => roles::show(&snapshot, &rules, args.format),
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
        locked: false,
        converged: false,
    })
}

/// Per cent, rounded down: 100 is only what is complete.
pub(super) fn percent(part: f64) -> String {
    format!("{:.1}%", (part * 1_000.0 + 1e-9).floor() / 10.0)
}

/// Fields of a device's learning, in the order of the columns.
const COLUMNS: [&str; 18] = [
    "device",
    "device_id",
    "device_class",
    "zone",
    "state",
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
    "sentence",
];

/// The fields of a record as cells; what is absent is empty.
pub(super) fn cells(record: &Value, columns: &[&str]) -> Vec<String> {
    let cell = |name: &&str| match record.get(*name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    columns.iter().map(cell).collect()
}

fn csv<'s>(devices: impl Iterator<Item = (&'s DeviceId, &'s Who)>, snapshot: &Snapshot) -> Result<(), Error> {
    let rows = devices.map(|(id, who)| cells(&record(who, &known(snapshot, *id)), &COLUMNS));
    Ok(::export::csv(&COLUMNS, rows, &mut std::io::stdout().lock())?)
}

fn all(snapshot: &Snapshot, format: Format) -> Result<(), Error> {
    let mut order: Vec<(&DeviceId, &Who)> = snapshot.devices.iter().collect();
    match format {
        Format::Json => {
            return order
                .iter()
                .try_for_each(|(id, who)| line(&record(who, &known(snapshot, **id)).to_string()));
        }
        Format::Csv => return csv(order.into_iter(), snapshot),
        Format::Table => {}
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
    let mut out = json!({
        "device": who.name, "device_id": known.device.to_string(), "device_class": who.class.as_str(),
        "state": known.state.as_str(), "sentence": known.seen.sentence(),
    });
    if let Value::Object(fields) = &mut out {
        fields.extend(figures(&known.seen));
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

/// What was seen, and what that says, in numbers.
pub(super) fn figures(seen: &Seen) -> impl Iterator<Item = (String, Value)> + use<> {
    let coverage = seen.coverage();
    let next = coverage.hours_to_next.map(|hours| ("active_hours_to_next_edge", hours.into()));
    [
        ("edges", seen.edges.into()),
        ("active_hours", seen.hours.into()),
        ("edges_seen_once", seen.once.into()),
        ("edges_seen_twice", seen.twice.into()),
        ("edge_hours", seen.pairs.into()),
        ("quiet_hours", seen.quiet.into()),
        ("coverage", coverage.chao.into()),
        ("coverage_good_turing", coverage.turing.into()),
        ("expected_unseen_edges", coverage.unseen.into()),
    ]
    .into_iter()
    .chain(next)
    .map(|(name, value)| (name.to_owned(), value))
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

    #[test]
    fn per_cent_is_never_more_than_it_is() {
        assert_eq!(
            [0.0, 0.9841, 0.99999, 1.0, 0.98].map(percent),
            ["0.0%", "98.4%", "99.9%", "100.0%", "98.0%"]
        );
    }
}
