//! One page on how far the learning of one device has come, with its edges.

use super::level::{Names, port};
use super::show::{known, percent, record};
use super::snapshot::{Snapshot, Who};
use crate::Error;
use crate::cli::TableOrJson;
use crate::show::heading;
use crate::text::{self, bytes, count, line, moment, plural, table};
use baseline::{Config, Known, Learning};
use model::{Decision, DeviceClass, DeviceId, Edge, JournalEntry, LearningState};
use serde_json::{Value, json};

/// A condition of learning: what it is, how far it has come, what is needed, and whether that is so.
#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    name: &'static str,
    is: String,
    needs: String,
    met: bool,
}

/// What has to be so until learning ends by itself.
pub(super) fn conditions(known: &Known, rules: &Learning) -> Vec<Condition> {
    let (seen, coverage) = (known.seen, known.seen.coverage());
    let lasted = known.last.since(known.first);
    let day = 86_400 * 1_000_000_000_i64;
    let unseen = rules.max_unseen.max(f64::from(seen.edges) / 20.0);
    let at_least = |n: u32| format!("at least {}", count(n.into()));
    vec![
        Condition {
            name: "days from first to last sight",
            is: format!("{:.1}", (lasted as f64 / day as f64 * 10.0).floor() / 10.0),
            needs: at_least(rules.min_days),
            met: lasted >= i64::from(rules.min_days).saturating_mul(day),
        },
        Condition {
            name: "active hours",
            is: count(seen.hours.into()),
            needs: at_least(rules.min_hours),
            met: seen.hours >= rules.min_hours,
        },
        Condition {
            name: "coverage",
            is: percent(coverage.chao),
            needs: format!("at least {}", percent(rules.coverage)),
            met: coverage.chao >= rules.coverage,
        },
        Condition {
            name: "expected unseen edges",
            is: format!("{:.1}", coverage.unseen),
            needs: format!("at most {unseen:.1}"),
            met: coverage.unseen <= unseen,
        },
        Condition {
            name: "active hours without anything new",
            is: count(seen.quiet.into()),
            needs: at_least(rules.quiet_hours),
            met: seen.quiet >= rules.quiet_hours,
        },
    ]
}

/// What the state means, and why it is so.
fn why(known: &Known, rules: &Learning, now: model::Timestamp, lock: Option<&JournalEntry>) -> String {
    let plural = |n: u32, one: &str, many: &str| plural(n.into(), one, many);
    match known.state {
        LearningState::Observing => format!(
            "seen in {} of the {} active hours after which it is more than a newcomer; what it does is taken for normal",
            known.seen.hours, rules.observe_hours
        ),
        LearningState::Learning => {
            "what it does is taken for normal until every condition below is met".to_owned()
        }
        LearningState::Converged => {
            "learning has ended by itself: little new is to be expected, and it is reported".to_owned()
        }
        LearningState::Locked => match lock {
            Some(entry) => format!(
                "{} ended learning at {} UTC ({}): what is new after it is reported",
                text::words(&entry.who),
                match entry.decision {
                    Decision::Lock(_, at) => moment(at),
                    _ => String::new(),
                },
                text::words(&entry.reason)
            ),
            None => "learning was ended by hand: what is new after it is reported".to_owned(),
        },
        LearningState::Stale => format!(
            "learned, and not seen for {}, which is more than {}",
            plural((now.since(known.last) / 86_400_000_000_000) as u32, "day", "days"),
            rules.stale_days
        ),
        LearningState::Drifting => format!(
            "learned, but more than {} were accepted within a week",
            plural(rules.drift_edges, "new edge", "new edges")
        ),
        LearningState::NeedsReview => format!(
            "{} did not suffice to meet every condition below: look at the edges that were seen in one active hour only, then end \
             learning with `wardwatch baseline lock {}`; what is new is reported meanwhile",
            plural(rules.hard_stop_days, "day", "days"),
            known.device
        ),
    }
}

/// One edge, seen from one device.
struct Row<'e> {
    edge: &'e Edge,
    inbound: bool,
    peer: String,
    peer_id: Option<DeviceId>,
    peer_kind: Option<&'static str>,
    /// Sent by the device, and to it.
    bytes: [u64; 2],
}

impl Row<'_> {
    /// It was seen in one active hour only.
    const fn is_single(&self) -> bool {
        self.edge.hours == 1
    }
}

fn rows<'e>(id: DeviceId, edges: &'e [Edge], names: &Names<'_>, review: bool) -> Vec<Row<'e>> {
    let own = edges.iter().filter(|edge| edge.key.client == id || edge.key.server == Some(id));
    let row = |edge: &'e Edge| {
        let [asked, answered] = edge.bytes;
        if edge.key.client == id {
            let labels = names.labels(&edge.key, crate::cli::Level::Device);
            let inbound = edge.key.inbound;
            Row {
                edge,
                inbound,
                peer: labels.peer.unwrap_or_else(|| "–".into()),
                peer_id: labels.peer_id,
                peer_kind: labels.peer_kind,
                bytes: if inbound { [answered, asked] } else { [asked, answered] },
            }
        } else {
            let peer = edge.key.client;
            Row {
                edge,
                inbound: true,
                peer: names.device(peer),
                peer_id: Some(peer),
                peer_kind: Some("device"),
                bytes: [answered, asked],
            }
        }
    };
    let mut rows: Vec<_> = own.map(row).collect();
    // Stable: otherwise they stay in the order of their keys, what the device asks first.
    rows.sort_by_key(|row| (review && !row.is_single(), row.inbound));
    rows
}

/// The entry that ended a device's learning.
fn lock<'j>(known: &Known, journal: &'j [JournalEntry]) -> Option<&'j JournalEntry> {
    journal.iter().find(|entry| match entry.decision {
        Decision::Lock(Some(id), _) => id == known.device,
        Decision::Lock(None, at) => known.first < at,
        _ => false,
    })
}

pub(super) fn device(
    id: DeviceId,
    snapshot: &Snapshot,
    config: &Config,
    journal: &[JournalEntry],
    format: TableOrJson,
) -> Result<(), Error> {
    let nobody = || Who { name: id.to_string(), class: DeviceClass::Unknown, zone: None };
    let who = snapshot.devices.get(&id).cloned().unwrap_or_else(nobody);
    let known = known(snapshot, id);
    let rules = &config.learning;
    let names = Names { devices: &snapshot.devices, site: &config.site };
    let rows = rows(id, &snapshot.edges, &names, known.state == LearningState::NeedsReview);
    let why = why(&known, rules, snapshot.last, lock(&known, journal));
    let conditions = conditions(&known, rules);
    match format {
        TableOrJson::Json => line(&json_page(&who, &known, &why, &conditions, &rows).to_string()),
        TableOrJson::Table => table_page(&who, &known, &why, &conditions, &rows),
    }
}

fn table_page(
    who: &Who,
    known: &Known,
    why: &str,
    conditions: &[Condition],
    rows: &[Row<'_>],
) -> Result<(), Error> {
    let (seen, coverage) = (known.seen, known.seen.coverage());
    line(&text::strong(&format!("{}   {}   {}", who.name, who.class, known.device)))?;
    line(&format!("  state     {}: {why}", known.state))?;
    line(&format!("  seen      {}", seen.sentence()))?;
    if seen.pairs > 0 {
        line(&format!(
            "  coverage  {} (Chao and Jost), {} (Good and Turing); edges not seen yet: about {:.1}",
            percent(coverage.chao),
            percent(coverage.turing),
            coverage.unseen
        ))?;
        line(&format!("  time      {} – {} UTC", moment(known.first), moment(known.last)))?;
    }
    heading("What learning needs")?;
    let cells = |c: &Condition| {
        let met = if c.met { "met" } else { "not yet" };
        vec![c.name.to_owned(), c.is.clone(), c.needs.clone(), met.to_owned()]
    };
    line(&table(&["CONDITION", "IS", "NEEDS", ""], conditions.iter().map(cells).collect()))?;
    heading("Edges")?;
    if rows.is_empty() {
        return line("  None yet.");
    }
    let cells = |row: &Row<'_>| {
        let edge = row.edge;
        let number = row.peer_id.map(|id| id.to_string()).filter(|id| *id != row.peer);
        let number = number.map(|id| format!(" ({id})")).unwrap_or_default();
        let [out, back] = row.bytes;
        vec![
            if row.inbound { "serves" } else { "asks" }.to_owned(),
            format!("{}{number}", row.peer),
            port(edge.key.transport, edge.key.port),
            edge.key.application.as_deref().unwrap_or("–").to_owned(),
            edge.state.to_string(),
            count(edge.flows),
            format!("{} / {}", bytes(out), bytes(back)),
            count(edge.hours.into()),
            moment(edge.first),
            moment(edge.last),
            if row.is_single() { "seen once" } else { "" }.to_owned(),
        ]
    };
    let headings = [
        "",
        "PEER",
        "PORT",
        "APPLICATION",
        "STATE",
        "FLOWS",
        "BYTES OUT / IN",
        "ACTIVE HOURS",
        "FIRST",
        "LAST",
        "",
    ];
    line(&table(&headings, rows.iter().map(cells).collect()))
}

fn json_page(who: &Who, known: &Known, why: &str, conditions: &[Condition], rows: &[Row<'_>]) -> Value {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|c| json!({ "condition": c.name, "is": c.is, "needs": c.needs, "met": c.met }))
        .collect();
    let edge = |row: &Row<'_>| {
        let edge = row.edge;
        let mut out = json!({
            "direction": if row.inbound { "in" } else { "out" }, "peer": row.peer,
            "transport": edge.key.transport.to_string(), "state": edge.state.as_str(), "flows": edge.flows,
            "bytes_out": row.bytes[0], "bytes_in": row.bytes[1], "active_hours": edge.hours,
            "seen_once": row.is_single(), "first_seen": edge.first.to_string(), "last_seen": edge.last.to_string(),
        });
        let known = [
            ("peer_id", row.peer_id.map(|id| id.to_string().into())),
            ("peer_kind", row.peer_kind.map(Value::from)),
            ("port", (edge.key.port != 0).then(|| edge.key.port.into())),
            ("application", edge.key.application.as_deref().map(Value::from)),
        ];
        if let Value::Object(fields) = &mut out {
            fields.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        }
        out
    };
    let mut out = record(who, known);
    if let Value::Object(fields) = &mut out {
        fields.insert("why".into(), why.into());
        fields.insert("conditions".into(), conditions.into());
        fields.insert("edge_list".into(), rows.iter().map(edge).collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::tests::{devices, edge};
    use baseline::{Seen, Site};
    use model::Timestamp;

    fn known(state: LearningState, hours: u32, days: i64) -> Known {
        Known {
            device: DeviceId(1),
            state,
            seen: Seen { hours, edges: 31, once: 2, twice: 4, pairs: 900, quiet: 12 },
            class: DeviceClass::Ct,
            first: Timestamp(0),
            last: Timestamp(days * 86_400_000_000_000),
            pause: 0,
            locked: false,
            converged: false,
        }
    }

    #[test]
    fn what_is_missing_is_said_with_numbers() {
        let rules = Learning::default();
        let of = |hours, days| {
            let all = conditions(&known(LearningState::Learning, hours, days), &rules);
            all.into_iter().map(|c| (c.is, c.needs, c.met)).collect::<Vec<_>>()
        };
        let row = |is: &str, needs: &str, met| (is.to_owned(), needs.to_owned(), met);
        assert_eq!(
            of(71, 3),
            [
                row("3.0", "at least 14", false),
                row("71", "at least 72", false),
                row("99.7%", "at least 98.0%", true),
                row("0.5", "at most 1.6", true),
                row("12", "at least 72", false),
            ]
        );
        assert!(of(72, 14)[..2].iter().all(|(_, _, met)| *met));
    }

    #[test]
    fn every_state_is_explained() {
        let (rules, now) = (Learning::default(), Timestamp(60 * 86_400_000_000_000));
        let entry = JournalEntry {
            n: 1,
            at: now,
            who: "anna".into(),
            decision: Decision::Lock(None, Timestamp(1)),
            reason: "ticket 7".into(),
            hash: [0; 32],
        };
        for (state, says) in [
            (LearningState::Observing, "seen in 20 of the 24 active hours"),
            (LearningState::Learning, "until every condition below is met"),
            (LearningState::Converged, "ended by itself"),
            (LearningState::Locked, "anna ended learning at 1 Jan 1970 00:00:00 UTC (ticket 7)"),
            (LearningState::Stale, "not seen for 40 days, which is more than 30"),
            (LearningState::Drifting, "more than 3 new edges"),
            (LearningState::NeedsReview, "42 days did not suffice"),
        ] {
            let known = known(state, 20, 20);
            let text = why(&known, &rules, now, lock(&known, std::slice::from_ref(&entry)));
            assert!(text.contains(says), "{text}");
        }
        assert!(why(&known(LearningState::Locked, 1, 1), &rules, now, None).contains("by hand"));
    }

    #[test]
    fn edges_are_seen_from_the_device_and_what_is_to_be_reviewed_comes_first() {
        let (devices, site) = (devices(), Site::default());
        let names = Names { devices: &devices, site: &site };
        let single = Edge { hours: 1, ..edge(3, 1, 2575) };
        let edges = [edge(1, 3, 104), single, edge(2, 3, 104)];
        let of = |review| {
            let rows = rows(DeviceId(1), &edges, &names, review);
            rows.iter().map(|r| (r.inbound, r.peer.clone(), r.bytes[0], r.is_single())).collect::<Vec<_>>()
        };
        let (asks, serves) =
            ((false, "PACS-1".to_owned(), 1_200, false), (true, "PACS-1".to_owned(), 240, true));
        assert_eq!(of(false), [asks.clone(), serves.clone()]);
        assert_eq!(of(true), [serves, asks]);
    }
}
