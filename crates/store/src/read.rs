//! Rows back into the types of `model`.

use crate::StoreError;
use crate::devices::unpack as unpack_device;
use crate::edges::unpack as unpack_edges;
use crate::flows::unpack;
use crate::parts::{self, Part};
use model::{
    Address, Change, Device, DeviceId, Edge, Evidence, Flow, IpProto, LeaseEntry, Merge, Service, Text,
    Timestamp, Vlan,
};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, Connection, Row, Rows, ToSql, params_from_iter};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{LazyLock, Mutex};

/// Looks at what is committed.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) name: &'a Path,
}

/// What one replay or one run of the sensor was like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Time of the first frame.
    pub first: Option<Timestamp>,
    /// Time of the last frame.
    pub last: Option<Timestamp>,
    /// Frames read.
    pub frames: u64,
    /// The report, as JSON.
    pub report: String,
}

/// Everything known of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The summary.
    pub device: Device,
    /// The evidence for it, by attribute.
    pub evidence: Vec<Evidence>,
    /// Addresses it holds or held.
    pub addresses: Vec<Address>,
    /// Its lease history, oldest first.
    pub leases: Vec<LeaseEntry>,
    /// What it serves.
    pub services: Vec<Service>,
}

/// Which flows to read. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct FlowFilter {
    /// Either end is this device.
    pub device: Option<DeviceId>,
    /// Either end has this address.
    pub ip: Option<IpAddr>,
    /// Either end has this port.
    pub port: Option<u16>,
    /// Transport.
    pub transport: Option<IpProto>,
    /// Application protocol.
    pub app: Option<String>,
    /// Innermost VLAN id of either end; 0 is untagged.
    pub vlan: Option<u16>,
    /// State.
    pub state: Option<model::FlowState>,
    /// At most this many; 0 is all.
    pub limit: u64,
}

impl FlowFilter {
    fn matches(&self, flow: &Flow) -> bool {
        let r = &flow.record;
        let ends = [r.key.low, r.key.high];
        self.device.is_none_or(|id| flow.devices.contains(&Some(id)))
            && self.ip.is_none_or(|ip| ends.iter().any(|end| end.0 == ip))
            && self.port.is_none_or(|port| ends.iter().any(|end| end.1 == port))
            && self.transport.is_none_or(|transport| r.key.proto == transport)
            && self.app.as_deref().is_none_or(|app| r.app == Some(app))
            && self.vlan.is_none_or(|id| r.vlans.iter().any(|vlan| vlan.inner().unwrap_or(0) == id))
            && self.state.is_none_or(|state| r.state == state)
    }
}

type Got<T> = Result<T, StoreError>;

/// Why a row cannot be read: the column that is not what the schema says.
pub(crate) struct Bad(pub(crate) String);

impl From<rusqlite::Error> for Bad {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

pub(crate) fn need<T>(value: Option<T>, column: &str) -> Result<T, Bad> {
    value.ok_or_else(|| Bad(format!("column {column} holds something else")))
}

pub(crate) fn text(row: &Row<'_>, column: &str) -> Result<Text, Bad> {
    need(Text::from_str_lossy(&row.get::<_, String>(column)?), column)
}

pub(crate) fn maybe_text(row: &Row<'_>, column: &str) -> Result<Option<Text>, Bad> {
    Ok(row.get::<_, Option<String>>(column)?.as_deref().and_then(Text::from_str_lossy))
}

pub(crate) fn time(row: &Row<'_>, column: &str) -> Result<Timestamp, Bad> {
    Ok(Timestamp(row.get(column)?))
}

pub(crate) fn id(row: &Row<'_>, column: &str) -> Result<DeviceId, Bad> {
    Ok(DeviceId(row.get(column)?))
}

pub(crate) fn vlan(row: &Row<'_>, column: &str) -> Result<Vlan, Bad> {
    Ok(Vlan::from_bits(row.get::<_, i64>(column)?.unsigned_abs()))
}

pub(crate) fn count(row: &Row<'_>, column: &str) -> Result<u64, Bad> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// A stored application name as the `&'static str` that records carry. The names come from the registry, so there are
/// few; a database that claims thousands of them gets none beyond the first.
pub(crate) fn app_name(name: &str) -> Option<&'static str> {
    static NAMES: LazyLock<Mutex<BTreeSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().ok()?;
    if let Some(known) = names.get(name) {
        return Some(known);
    }
    (names.len() < 1_024).then(|| {
        let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.insert(kept);
        kept
    })
}

impl<'a> Reader<'a> {
    pub(crate) fn query<T>(
        &self,
        table: &str,
        sql: &str,
        params: &[&dyn ToSql],
        mut make: impl FnMut(&Row<'_>) -> Result<T, Bad>,
    ) -> Got<Vec<T>> {
        let mut out = Vec::new();
        self.until(table, sql, params, |row| {
            out.push(make(row)?);
            Ok(true)
        })?;
        Ok(out)
    }

    /// Rows one after the other, as long as `each` wants more.
    pub(crate) fn until(
        &self,
        table: &str,
        sql: &str,
        params: &[&dyn ToSql],
        mut each: impl FnMut(&Row<'_>) -> Result<bool, Bad>,
    ) -> Got<()> {
        let fail = |error| StoreError::from_sqlite(self.name, error);
        let mut statement = self.conn.prepare_cached(sql).map_err(fail)?;
        let mut rows = statement.query(params_from_iter(params)).map_err(fail)?;
        while let Some(row) = rows.next().map_err(fail)? {
            let more = each(row).map_err(|bad| self.damaged(table, bad))?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn damaged(&self, table: &str, Bad(what): Bad) -> StoreError {
        StoreError::Damaged { path: self.name.into(), what: format!("table {table}: {what}") }
    }

    /// One table, all of it in the order of its key.
    fn table<T>(
        &self,
        table: &str,
        order: &str,
        make: impl FnMut(&Row<'_>) -> Result<T, Bad>,
    ) -> Got<Vec<T>> {
        self.query(table, &format!("SELECT * FROM {table} ORDER BY {order}"), &[], make)
    }

    /// Every device, by number.
    pub fn devices(&self) -> Got<Vec<Device>> {
        let mut devices = Vec::new();
        self.each_device(|device| devices.push(device))?;
        Ok(devices)
    }

    fn each_device(&self, mut each: impl FnMut(Device)) -> Got<()> {
        self.each_packed("devices", |id, data| unpack_device(id, data).map(&mut each))
    }

    /// What stands in a table that has a packed row for each device, by number. `each` is `None` when a row is damaged.
    fn each_packed(&self, table: &str, mut each: impl FnMut(DeviceId, &[u8]) -> Option<()>) -> Got<()> {
        self.until(table, &in_order(table), &[], |row| {
            let (id, data) = packed(row)?;
            need(each(id, data), "data").map(|()| true)
        })
    }

    /// As [`Reader::inventory`], one device after the other: at no time do all of them take memory.
    pub fn each_known<E: From<StoreError>>(
        &self,
        mut each: impl FnMut(Known) -> Result<(), E>,
    ) -> Result<(), E> {
        // All of it as it is now, and the file is locked once and not for every table.
        let fail = |error| StoreError::from_sqlite(self.name, error);
        let is_alone = self.conn.is_autocommit();
        let _snapshot = is_alone.then(|| self.conn.unchecked_transaction()).transpose().map_err(fail)?;
        let prepare = |part: Part| self.conn.prepare_cached(&in_order(part.table())).map_err(fail);
        let (mut evidences, mut addresses) = (prepare(Part::Evidence)?, prepare(Part::Address)?);
        let (mut leases, mut services) = (prepare(Part::Lease)?, prepare(Part::Service)?);
        let mut evidences = Side::new(*self, Part::Evidence, &mut evidences)?;
        let mut addresses = Side::new(*self, Part::Address, &mut addresses)?;
        let mut leases = Side::new(*self, Part::Lease, &mut leases)?;
        let mut services = Side::new(*self, Part::Service, &mut services)?;
        let end = self.runs()?.iter().filter_map(|run| run.last).max();
        let mut result = Ok(());
        let mut one = |device: Device| -> Result<(), E> {
            let id = device.id;
            let mut known = Known {
                device,
                evidence: evidences.of(id, parts::evidence)?,
                addresses: addresses.of(id, parts::addresses)?,
                leases: leases.of(id, parts::leases)?,
                services: services.of(id, parts::services)?,
            };
            if let Some(end) = end {
                known.run_out(end);
            }
            each(known)
        };
        self.until("devices", &in_order("devices"), &[], |row| {
            let (id, data) = packed(row)?;
            result = one(need(unpack_device(id, data), "data")?);
            Ok(result.is_ok())
        })?;
        result
    }

    /// Everything known of each device, by number.
    pub fn inventory(&self) -> Got<Vec<Known>> {
        let mut all = Vec::new();
        self.each_known(|known| {
            all.push(known);
            Ok::<_, StoreError>(())
        })?;
        Ok(all)
    }

    /// Merges, those taken back too, by time.
    pub fn merges(&self) -> Got<Vec<Merge>> {
        self.table("merge", "at, stays, goes", |row| {
            let undone = row.get::<_, Option<i64>>("undone")?.map(Timestamp);
            Ok(Merge {
                into: id(row, "stays")?,
                from: id(row, "goes")?,
                at: time(row, "at")?,
                why: text(row, "why")?,
                undone: undone.zip(maybe_text(row, "undone_why")?),
            })
        })
    }

    /// Who talks to whom, by client.
    pub fn edges(&self) -> Got<Vec<Edge>> {
        let mut out = Vec::new();
        self.each_client(|_, edges| out.extend(edges))?;
        Ok(out)
    }

    /// The edges of each client, one client after the other.
    fn each_client(&self, mut each: impl FnMut(DeviceId, Vec<Edge>)) -> Got<()> {
        self.each_packed("edges", |client, data| unpack_edges(client, data).map(|edges| each(client, edges)))
    }

    /// Flows that match, the oldest block first; in a block in the order in which they ended.
    pub fn flows(&self, filter: &FlowFilter) -> Got<Vec<Flow>> {
        let fail = |error| StoreError::from_sqlite(self.name, error);
        let limit =
            if filter.limit == 0 { usize::MAX } else { usize::try_from(filter.limit).unwrap_or(usize::MAX) };
        let mut statement = self.conn.prepare_cached("SELECT data FROM flows ORDER BY id").map_err(fail)?;
        let mut rows = statement.query([]).map_err(fail)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(fail)? {
            let block = row.get_ref(0).map_err(fail)?;
            let bytes = block.as_blob().unwrap_or_default();
            let read = unpack(bytes, app_name, |flow| {
                if out.len() < limit && filter.matches(&flow) {
                    out.push(flow);
                }
                out.len() < limit
            });
            read.ok_or_else(|| StoreError::Damaged {
                path: self.name.into(),
                what: "table flows: a block cannot be read".into(),
            })?;
            if out.len() >= limit {
                break;
            }
        }
        Ok(out)
    }

    /// How many flow records there are.
    pub fn flow_count(&self) -> Got<u64> {
        self.query("flows", "SELECT coalesce(sum(count), 0) AS n FROM flows", &[], |row| count(row, "n"))
            .map(|n| n.iter().sum())
    }

    /// Runs, oldest first.
    pub fn runs(&self) -> Got<Vec<Run>> {
        self.table("run", "id", |row| {
            Ok(Run {
                first: row.get::<_, Option<i64>>("first")?.map(Timestamp),
                last: row.get::<_, Option<i64>>("last")?.map(Timestamp),
                frames: count(row, "frames")?,
                report: row.get("report")?,
            })
        })
    }

    /// Every row but flows and what is past of the findings, one after the other.
    pub(crate) fn each_row(&self, mut each: impl FnMut(Change)) -> Got<()> {
        self.each_device(|device| each(Change::Device(Box::new(device))))?;
        self.each_packed(Part::Evidence.table(), |id, data| {
            parts::evidence(id, data)?.into_iter().for_each(|row| each(Change::Evidence(Box::new(row))));
            Some(())
        })?;
        self.each_packed(Part::Address.table(), |id, data| {
            parts::addresses(id, data)?.into_iter().for_each(|row| each(Change::Address(Box::new(row))));
            Some(())
        })?;
        self.each_packed(Part::Lease.table(), |id, data| {
            parts::leases(id, data)?.into_iter().for_each(|row| each(Change::Lease(Box::new(row))));
            Some(())
        })?;
        self.each_packed(Part::Service.table(), |id, data| {
            parts::services(id, data)?.into_iter().for_each(|row| each(Change::Service(Box::new(row))));
            Some(())
        })?;
        self.merges()?.into_iter().for_each(|row| each(Change::Merge(Box::new(row))));
        self.each_client(|client, edges| each(Change::Edges(client, edges)))?;
        self.table("habit", "device", |row| {
            each(Change::Habit(id(row, "device")?, row.get("data")?));
            Ok(())
        })?;
        self.table("site", "name", |row| {
            each(Change::Site(row.get::<_, String>("name")?.into(), row.get("data")?));
            Ok(())
        })?;
        self.each_recent_finding(each)
    }
}

/// A table that has a packed row for each device, by number.
fn in_order(table: &str) -> String {
    format!("SELECT rowid, data FROM {table} ORDER BY rowid")
}

/// The row of a device.
fn packed<'r>(row: &'r Row<'_>) -> Result<(DeviceId, &'r [u8]), Bad> {
    Ok((DeviceId(row.get(0)?), row.get_ref(1)?.as_blob().unwrap_or_default()))
}

/// A table that is read beside the one of devices: both are in the same order, so no row has to be looked for.
struct Side<'r, 's> {
    reader: Reader<'r>,
    part: Part,
    rows: Rows<'s>,
}

impl<'r, 's> Side<'r, 's> {
    fn new(reader: Reader<'r>, part: Part, statement: &'s mut CachedStatement<'_>) -> Got<Self> {
        let fail = |error| StoreError::from_sqlite(reader.name, error);
        let mut rows = statement.query([]).map_err(fail)?;
        rows.advance().map_err(fail)?;
        Ok(Self { reader, part, rows })
    }

    /// What there is of a device; the next asked for has a higher number.
    fn of<T>(&mut self, device: DeviceId, read: fn(DeviceId, &[u8]) -> Option<Vec<T>>) -> Got<Vec<T>> {
        let damaged = |bad| self.reader.damaged(self.part.table(), bad);
        while let Some(row) = self.rows.get() {
            let (id, data) = packed(row).map_err(damaged)?;
            match id.cmp(&device) {
                Ordering::Less => {}
                Ordering::Equal => return need(read(id, data), "data").map_err(damaged),
                Ordering::Greater => break,
            }
            self.rows.advance().map_err(|error| StoreError::from_sqlite(self.reader.name, error))?;
        }
        Ok(Vec::new())
    }
}
