//! `wardwatch baseline`: what each device normally does, kept under names and compared.

mod diff;
mod level;
mod page;
mod roles;
mod show;
mod snapshot;
mod told;

pub(crate) use snapshot::NOW;

use crate::cli::{self, BaselineCommand, Level, Machine, TableOrJson};
use crate::decide::{Signature, now, open, signed};
use crate::text::{self, line, moment, plural, table};
use crate::{Config, Error, files, find};
use model::Decision;
use serde_json::json;
use snapshot::{Snapshot, last_frame, named_devices};
use std::path::Path;
use store::{Reader, Store};

/// Longest name of a baseline.
const LONGEST: usize = 64;

pub(crate) fn run(args: &cli::Baseline) -> Result<(), Error> {
    match &args.command {
        BaselineCommand::Show(args) => show::show(args),
        BaselineCommand::Save(args) => save(args),
        BaselineCommand::List(args) => list(args),
        BaselineCommand::Delete(args) => delete(args),
        BaselineCommand::Diff(args) => told::diff(args),
        BaselineCommand::Lock(args) => lock(args),
        BaselineCommand::Export(args) => {
            let store = Store::open_read_only(&args.db.db)?;
            let config = configured(args.config.as_deref())?;
            export(&store.reader(), &args.name, args.level, &config, args.format, args.output.as_deref())
        }
    }
}

/// What a configuration says; without one, the default.
pub(crate) fn configured(path: Option<&Path>) -> Result<Config, Error> {
    path.map_or_else(|| Ok(Config::default()), Config::read)
}

/// A name that a baseline can have.
fn checked(name: &str) -> Result<&str, Error> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=LONGEST).contains(&name.len()) && name.chars().all(fine) {
        return Ok(name);
    }
    Err(Error::Usage(format!(
        "{:?} cannot be the name of a baseline; expected 1 to {LONGEST} letters, digits, dots, underscores and dashes",
        text::words(name)
    )))
}

fn save(args: &cli::Save) -> Result<(), Error> {
    let name = checked(&args.name)?;
    if name == NOW {
        return Err(not_saved());
    }
    let site = configured(args.config.as_deref())?.baseline().site;
    let mut store = open(&args.db.db)?;
    let reader = store.reader();
    let devices = reader.devices()?;
    let last = last_frame(&reader, &devices)?.ok_or_else(|| nothing(&args.db.db))?;
    let saved = store.save_baseline(name, now(), last, &named_devices(&devices, &site), args.replace)?;
    line(&format!(
        "Saved {name}: {}, {}, until {} UTC",
        plural(saved.devices, "device", "devices"),
        plural(saved.edges, "edge", "edges"),
        moment(saved.last)
    ))
}

fn not_saved() -> Error {
    Error::Usage("\"now\" cannot be the name of a baseline; it stands for the one that is not saved".into())
}

/// There is no baseline of this name; `or` says what else could have been named.
fn no_such(name: &str, or: &str) -> Error {
    Error::Usage(format!(
        "there is no baseline {name:?}; `wardwatch baseline list` lists those there are{or}"
    ))
}

fn delete(args: &cli::Delete) -> Result<(), Error> {
    let name = checked(&args.name)?;
    if name == NOW {
        return Err(not_saved());
    }
    if !open(&args.db.db)?.delete_baseline(name)? {
        return Err(no_such(name, ""));
    }
    line(&format!("Deleted {name}"))
}

/// There is nothing yet to make a baseline of.
fn nothing(db: &Path) -> Error {
    Error::Usage(format!(
        "{}: no frame was read into it yet; fill it with `wardwatch replay PATH --db FILE`",
        db.display()
    ))
}

fn list(args: &cli::Saved) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let all = store.reader().baselines()?;
    if args.format == TableOrJson::Json {
        return all.iter().try_for_each(|saved| {
            let row = json!({
                "name": saved.name, "saved": saved.made.to_string(), "last_seen": saved.last.to_string(),
                "devices": saved.devices, "edges": saved.edges,
            });
            line(&row.to_string())
        });
    }
    line(&format!(
        "{}   {}",
        text::strong(&plural(all.len() as u64, "saved baseline", "saved baselines")),
        text::faint("wardwatch baseline diff NAME now says what changed since")
    ))?;
    let row = |saved: &store::Named| {
        vec![
            text::words(&saved.name),
            moment(saved.made),
            moment(saved.last),
            text::count(saved.devices),
            text::count(saved.edges),
        ]
    };
    match all.as_slice() {
        [] => Ok(()),
        all => line(&table(&["NAME", "SAVED", "UNTIL", "DEVICES", "EDGES"], all.iter().map(row).collect())),
    }
}

fn lock(args: &cli::Lock) -> Result<(), Error> {
    let Signature { who, why } = signed(&args.signed)?;
    let mut store = open(&args.db.db)?;
    let reader = store.reader();
    let devices = reader.devices()?;
    let last = last_frame(&reader, &devices)?.ok_or_else(|| nothing(&args.db.db))?;
    let known = baseline::known(reader.habits()?, &baseline::Learning::default(), last);
    let (device, whom) = match &args.device {
        Some(name) => {
            let all = reader.inventory()?;
            let device = &find::device(&all, name)?.device;
            if !known.iter().any(|known| known.device == device.id) {
                return Err(Error::Usage(format!(
                    "{name:?}: this device was not seen to do anything yet; there is no learning to end"
                )));
            }
            (Some(device.id), called_with_number(device))
        }
        None => {
            let there = known.iter().filter(|known| known.first < last).count();
            (None, format!("all {}", plural(there as u64, "device", "devices")))
        }
    };
    store.journal_append(now(), &who, Decision::Lock(device, last), &why)?;
    line(&format!("Ended learning of {whom} at {} UTC: what is new after it is reported", moment(last)))
}

/// `CT-RM3 (d7)`.
fn called_with_number(device: &model::Device) -> String {
    let name = crate::show::called(device);
    let id = device.id.to_string();
    if name == id { id } else { format!("{name} ({id})") }
}

/// The edges of a baseline, for other programs.
pub(crate) fn export(
    reader: &Reader<'_>,
    name: &str,
    level: Level,
    config: &Config,
    format: Machine,
    output: Option<&Path>,
) -> Result<(), Error> {
    let snapshot = Snapshot::read(reader, name, config)?;
    let rows = level::exported(&snapshot, &config.baseline().site, level);
    files::written(output, |mut out| match format {
        Machine::Jsonl => rows.iter().try_for_each(|row| {
            serde_json::to_writer(&mut out, &::export::baseline_record(row)).map_err(std::io::Error::from)?;
            Ok(out.write_all(b"\n")?)
        }),
        Machine::Csv => {
            let cells = rows.iter().map(|row| ::export::baseline_csv_row(&::export::baseline_record(row)));
            Ok(::export::csv(::export::BASELINE_CSV_COLUMNS, cells, &mut out)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::snapshot::{Devices, Who};
    use super::*;
    use model::{DeviceClass, DeviceId, Edge, EdgeKey, EdgeState, IpProto, Timestamp};

    pub(super) fn edge(client: u32, server: u32, port: u16) -> Edge {
        Edge {
            key: EdgeKey {
                client: DeviceId(client),
                server: Some(DeviceId(server)),
                peer: None,
                inbound: false,
                transport: IpProto::TCP,
                port,
                application: Some("dicom".into()),
            },
            first: Timestamp(0),
            last: Timestamp(1_000_000_000),
            flows: 12,
            parts: 0,
            told: [false; 2],
            packets: [24, 24],
            bytes: [1_200, 240],
            exchanges: vec![],
            latency: vec![],
            hours: 4,
            last_hour: 4,
            state: EdgeState::Learned,
            feed: vec![],
        }
    }

    /// Two CTs, an archive in a zone, and one of which nothing is known.
    pub(super) fn devices() -> Devices {
        let who = |name: &str, class, zone: Option<&str>| Who {
            name: name.into(),
            class,
            zone: zone.map(str::to_owned),
        };
        Devices::from([
            (DeviceId(1), who("CT-1", DeviceClass::Ct, None)),
            (DeviceId(2), who("CT-2", DeviceClass::Ct, None)),
            (DeviceId(3), who("PACS-1", DeviceClass::Pacs, Some("archive"))),
            (DeviceId(4), who("d4", DeviceClass::Unknown, None)),
        ])
    }

    #[test]
    fn names_are_short_and_plain() {
        for fine in ["a", "before-upgrade", "2026-03-02", "A_b.c", &"x".repeat(64)] {
            assert_eq!(checked(fine).unwrap(), fine);
        }
        for bad in ["", "a b", "ä", "a/b", "a\nb", &"x".repeat(65)] {
            let error = checked(bad).unwrap_err().to_string();
            assert!(error.contains("1 to 64 letters") && error.lines().count() == 1, "{error}");
        }
    }
}
