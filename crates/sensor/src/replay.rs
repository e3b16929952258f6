//! `wardwatch replay`: files in, a summary and the devices out.

use crate::cli::{Replay, TableOrJson};
use crate::findings::{self, Found};
use crate::pipeline::{self, Outcome};
use crate::quality;
use crate::show::{device_table, record};
use crate::site::Moment;
use crate::text::{self, bytes, duration, line, plural, raw, span};
use crate::visibility::Lacking;
use crate::{Config, Error};
use capture::{Input, Report, Timeline};
use indicatif::{ProgressBar, ProgressStyle};
use inventory::Vendors;
use model::{DeviceClass, Timestamp};
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Known, Run, Store};

pub(crate) fn replay(args: &Replay) -> Result<ExitCode, Error> {
    let began = Instant::now();
    let mut config = args.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    if let Some(until) = args.learn_until {
        config.learning.until = Some(Moment(until));
    }
    let vendors = vendors(&config)?;
    let inputs: Vec<_> = args.paths.iter().map(|path| Input::from_arg(path)).collect();
    let mut timeline = Timeline::open(&inputs)?;
    let mut store = args.db.as_deref().map_or_else(Store::temporary, Store::open)?;
    let bar = progress_bar(&timeline);
    let shards = args.shards.map_or_else(default_shards, usize::from);
    let outcome = pipeline::run(&mut timeline, &mut store, &config, vendors, shards, |timeline| {
        bar.set_position(timeline.position().bytes_read);
    })?;
    bar.finish_and_clear();
    let report = timeline.report();
    let read_before = read_before(&store, &outcome)?;
    let mut summary = summary(&report, &outcome);
    if let Some((first, last)) = read_before {
        summary["read_before"] = json!({"first": first.to_string(), "last": last.to_string()});
    }
    // Learning ends with the first packet behind its end.
    let learning_goes_on = args.learn_until.filter(|until| outcome.last.is_none_or(|last| last < *until));
    if let Some(until) = learning_goes_on {
        summary["learning_goes_on_until"] = json!(until.to_string());
    }
    store.end_run(&Run {
        first: outcome.first,
        last: outcome.last,
        frames: outcome.flow.frames,
        report: summary.to_string(),
    })?;
    let found = Found::read(&store.reader(), outcome.first)?;
    match args.format {
        TableOrJson::Json => {
            // Device by device, so that the inventory need not fit in memory as text.
            let mut comma = "";
            raw("{\"devices\":[")?;
            let lacking = Lacking::read(&store.reader())?;
            store.reader().each_known(|known| {
                let record = record(&known, &lacking);
                let text = serde_json::to_string(&record).map_err(std::io::Error::from)?;
                raw(&format!("{}{text}", std::mem::replace(&mut comma, ",")))
            })?;
            raw("],\"findings\":[")?;
            comma = "";
            findings::each_of_run(&store.reader(), outcome.first, |finding, status| {
                let record = export::finding_record(&finding, status.as_str());
                let text = serde_json::to_string(&record).map_err(std::io::Error::from)?;
                raw(&format!("{}{text}", std::mem::replace(&mut comma, ",")))
            })?;
            line(&format!("],\"summary\":{summary}}}"))?;
        }
        TableOrJson::Table => {
            print(&report, &outcome, &store, read_before, learning_goes_on, began.elapsed())?;
            found.print(args.db.is_some())?;
        }
    }
    let fails = args.fail_on.is_some_and(|severity| found.worst_open >= Some(severity));
    Ok(if fails { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// One thread that dissects beside the one that keeps the inventory: on two cores that took a third less time on two of
/// three kinds of traffic (README, Speed), and a second one gained nothing. On a single core it only costs.
fn default_shards() -> usize {
    usize::from(std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}

/// The vendor table: the configured one, else the built-in one.
fn vendors(config: &Config) -> Result<Arc<Vendors>, Error> {
    let Some(path) = &config.site.vendors else { return Ok(Arc::new(Vendors::builtin())) };
    let text = std::fs::read_to_string(path).map_err(|error| Error::File { path: path.clone(), error })?;
    let table =
        Vendors::from_csv(&text).map_err(|error| Error::Usage(format!("{}: {error}", path.display())))?;
    Ok(Arc::new(table))
}

/// On a terminal, for what takes longer than a moment; elsewhere nothing is drawn.
fn progress_bar(timeline: &Timeline) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match timeline.position().bytes_total {
        Some(total) => (
            ProgressBar::new(total),
            "{bar:30} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {decimal_bytes}  {decimal_bytes_per_sec}  {elapsed}"),
    };
    // The template is a constant that parses; with the default style the numbers would only look different.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The span of these frames that a run before has read into the database, if there is one.
fn read_before(store: &Store, outcome: &Outcome) -> Result<Option<(Timestamp, Timestamp)>, Error> {
    let Some((first, last)) = outcome.first.zip(outcome.last) else { return Ok(None) };
    // Of this run no time is written yet.
    let earlier = store.reader().runs()?.into_iter().filter_map(|run| run.first.zip(run.last));
    let shared = earlier.map(|(from, to)| (from.max(first), to.min(last)));
    // Files of one capture may share the moment at which one ends and the other begins.
    let spans = shared.filter(|(from, to)| from < to || (first == last && from == to));
    Ok(spans.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))))
}

/// What the run was like, for machines. Nothing in it depends on when or how fast it ran.
fn summary(report: &Report, outcome: &Outcome) -> Value {
    let flow = &outcome.flow;
    let files: Vec<_> = report
        .files
        .iter()
        .map(|file| {
            let links: serde_json::Map<_, _> = file.links.iter().map(|(link, n)| (link.to_string(), json!(n))).collect();
            json!({
                "name": file.name, "format": file.format.to_string(), "compression": file.compression.to_string(),
                "packets": file.frames, "bytes": file.bytes_captured, "link_types": links,
                "warnings": file.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    let vlans: serde_json::Map<_, _> =
        flow.vlans.iter().map(|(vlan, n)| (quality::scope(*vlan), json!(n.frames))).collect();
    json!({
        "files": files,
        "warnings": report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "packets": flow.frames,
        "bytes": flow.bytes,
        "first": outcome.first.map(|t| t.to_string()),
        "last": outcome.last.map(|t| t.to_string()),
        "protocols": flow.pdus,
        "vlans": vlans,
        "flows": flow.flows,
        "quality": quality::json(flow),
        "evictions": {
            "flows": flow.flows_evicted, "sessions": flow.sessions_evicted, "devices": outcome.inventory.devices_evicted,
            "devices_refused": outcome.inventory.devices_refused, "evidence": outcome.inventory.evidence_evicted,
            "services_refused": outcome.inventory.services_refused, "merges_refused": outcome.inventory.merges_refused,
            "names_evicted": outcome.inventory.names_evicted,
            "addresses": outcome.inventory.addresses_evicted, "leases": outcome.inventory.leases_evicted,
            "edges": outcome.baseline.edges_evicted, "edges_refused": outcome.baseline.edges_refused,
            "exchange_kinds_refused": outcome.baseline.kinds_refused, "habits": outcome.baseline.habits_evicted,
            "habits_refused": outcome.baseline.habits_refused, "findings_closed": outcome.baseline.findings_closed,
            "fragmented_packets": flow.fragments_evicted,
            "vlans_refused": flow.scopes_refused, "tunnels_refused": flow.tunnels_refused,
            "networks_refused": flow.networks_refused,
        },
    })
}

/// Devices listed at the end of a run: more nobody reads, and they would have to fit in memory.
const LISTED: usize = 2_000;

/// The devices of which most is known.
struct Best {
    listed: Vec<Known>,
    all: u64,
    /// How many announce themselves by LLDP or CDP.
    announced: u64,
}

fn best_known(store: &Store) -> Result<Best, Error> {
    let (mut best, mut all, mut announced) = (BTreeMap::new(), 0, 0);
    store.reader().each_known(|known| {
        all += 1;
        let by_itself = known.evidence.iter().any(|e| matches!(e.key.source.as_ref(), "lldp" | "cdp"));
        announced += u64::from(by_itself);
        let is_unknown = known.device.class == DeviceClass::Unknown;
        best.insert((is_unknown, Reverse(known.evidence.len()), known.device.id), known);
        if best.len() > LISTED {
            best.pop_last();
        }
        Ok::<_, Error>(())
    })?;
    let mut listed: Vec<Known> = best.into_values().collect();
    listed.sort_by_key(|known| known.device.id);
    Ok(Best { listed, all, announced })
}

fn print(
    report: &Report,
    outcome: &Outcome,
    store: &Store,
    read_before: Option<(Timestamp, Timestamp)>,
    learning_goes_on: Option<Timestamp>,
    elapsed: Duration,
) -> Result<(), Error> {
    let flow = &outcome.flow;
    let name = match report.files.as_slice() {
        [one] => one.name.clone(),
        files => plural(files.len() as u64, "file", "files"),
    };
    let when = match (outcome.first, outcome.last) {
        (Some(first), Some(last)) => span(first, last),
        _ => "no packets".into(),
    };
    let size = bytes(flow.bytes);
    let packets = plural(flow.frames, "packet", "packets");
    line(&text::strong(&format!("{name}   {packets}   {size}   {when}   read in {}", duration(elapsed))))?;
    for (file, warning) in
        report.files.iter().flat_map(|file| file.warnings.iter().map(move |w| (&file.name, w)))
    {
        line(&text::warn(&format!("Warning: {file}: {warning}")))?;
    }
    for warning in &report.warnings {
        line(&text::warn(&format!("Left out: {warning}")))?;
    }
    if let Some((first, last)) = read_before {
        line(&text::warn(&format!(
            "Warning: this database has read a capture of {} before; what is in both is counted twice. Captures of the \
             same time belong into one replay.",
            span(first, last)
        )))?;
    }
    if let Some(until) = learning_goes_on {
        line(&text::warn(&format!(
            "Learning goes on: no packet is of {until} or later. What is read next is learned, too, unless \
             `--learn-until` is given again; `wardwatch baseline lock` ends learning as it is."
        )))?;
    }
    line("")?;
    let best = best_known(store)?;
    device_table(&best.listed, best.all)?;
    if best.all > best.listed.len() as u64 {
        line("These are the ones of which most is known; `wardwatch devices --db FILE` lists all of them.")?;
    }
    line("")?;
    let protocols: Vec<_> = flow.pdus.keys().map(|name| name.to_uppercase()).collect();
    if !protocols.is_empty() {
        line(&format!(
            "Protocols read: {}.   {}.",
            protocols.join(", "),
            plural(flow.flows, "flow", "flows")
        ))?;
    }
    if outcome.flow.pdus.contains_key("lldp") || outcome.flow.pdus.contains_key("cdp") {
        line(&format!("LLDP/CDP heard from {}.", plural(best.announced, "device", "devices")))?;
    }
    quality::print(outcome)
}
