//! Rows back into the types of `model`.

use crate::StoreError;
use crate::edges::unpack as unpack_edges;
use crate::flows::unpack;
use model::{
    Address, Attachment, Attribute, Change, Device, DeviceClass, DeviceId, Edge, Evidence, EvidenceKey, Flow,
    IpProto, KeyKind, Lease, LeaseEntry, LeaseMessage, Mac, Merge, Service, Text, Timestamp, Vlan, Vote,
};
use rusqlite::{Connection, Row, ToSql, params_from_iter};
use std::collections::{BTreeMap, BTreeSet};
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

fn ip(row: &Row<'_>, column: &str) -> Result<IpAddr, Bad> {
    need(row.get::<_, String>(column)?.parse().ok(), column)
}

fn maybe_ip(row: &Row<'_>, column: &str) -> Result<Option<IpAddr>, Bad> {
    row.get::<_, Option<String>>(column)?.map(|text| need(text.parse().ok(), column)).transpose()
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
            let more = each(row).map_err(|Bad(what)| StoreError::Damaged {
                path: self.name.into(),
                what: format!("table {table}: {what}"),
            })?;
            if !more {
                break;
            }
        }
        Ok(())
    }

    /// One table, all of it or one device's rows, in the order of its key.
    fn table<T>(
        &self,
        table: &str,
        order: &str,
        device: Option<DeviceId>,
        make: impl FnMut(&Row<'_>) -> Result<T, Bad>,
    ) -> Got<Vec<T>> {
        let only = if device.is_some() { " WHERE device = ?1" } else { "" };
        let id = device.map(|id| id.0);
        let params: Vec<&dyn ToSql> = id.iter().map(|id| id as &dyn ToSql).collect();
        self.query(table, &format!("SELECT * FROM {table}{only} ORDER BY {order}"), &params, make)
    }

    /// Every device, by number.
    pub fn devices(&self) -> Got<Vec<Device>> {
        let mut devices = self.table("device", "id", None, |row| {
            let device = device_row(row)?;
            Ok((device.id, device))
        })?;
        let mut by_id: BTreeMap<_, _> = devices.iter_mut().map(|(id, device)| (*id, device)).collect();
        self.table("device_item", "device, kind, n", None, |row| {
            let Some(device) = by_id.get_mut(&id(row, "device")?) else { return Ok(()) };
            let kind: String = row.get("kind")?;
            put_item(device, &kind, row)
        })?;
        Ok(devices.into_iter().map(|(_, device)| device).collect())
    }

    /// As [`Reader::inventory`], one device after the other: at no time do all of them take memory.
    pub fn each_known<E: From<StoreError>>(
        &self,
        mut each: impl FnMut(Known) -> Result<(), E>,
    ) -> Result<(), E> {
        // All of it as it is now, and the file is locked once and not for every table of every device.
        let is_alone = self.conn.is_autocommit();
        let snapshot = is_alone.then(|| self.conn.unchecked_transaction()).transpose();
        let _snapshot = snapshot.map_err(|error| StoreError::from_sqlite(self.name, error))?;
        for id in self.table("device", "id", None, |row| id(row, "id"))? {
            let of = Some(id);
            let found = self.query("device", "SELECT * FROM device WHERE id = ?1", &[&id.0], device_row)?;
            for mut device in found {
                self.table("device_item", "kind, n", of, |row| {
                    put_item(&mut device, &row.get::<_, String>("kind")?, row)
                })?;
                each(Known {
                    device,
                    evidence: self.table("evidence", EVIDENCE_ORDER, of, evidence_row)?,
                    addresses: self.table("address", ADDRESS_ORDER, of, address_row)?,
                    leases: self.table("lease", LEASE_ORDER, of, lease_row)?,
                    services: self.table("service", SERVICE_ORDER, of, service_row)?,
                })?;
            }
        }
        Ok(())
    }

    /// Everything known of each device, by number.
    pub fn inventory(&self) -> Got<Vec<Known>> {
        let mut known: BTreeMap<_, _> = self
            .devices()?
            .into_iter()
            .map(|device| {
                let none =
                    Known { device, evidence: vec![], addresses: vec![], leases: vec![], services: vec![] };
                (none.device.id, none)
            })
            .collect();
        for row in self.evidence()? {
            known.entry(row.key.device).and_modify(|k| k.evidence.push(row));
        }
        for row in self.addresses()? {
            known.entry(row.device).and_modify(|k| k.addresses.push(row));
        }
        for row in self.leases()? {
            known.entry(row.device).and_modify(|k| k.leases.push(row));
        }
        for row in self.services()? {
            known.entry(row.device).and_modify(|k| k.services.push(row));
        }
        Ok(known.into_values().collect())
    }

    fn evidence(&self) -> Got<Vec<Evidence>> {
        self.table("evidence", EVIDENCE_ORDER, None, evidence_row)
    }

    fn addresses(&self) -> Got<Vec<Address>> {
        self.table("address", ADDRESS_ORDER, None, address_row)
    }

    fn leases(&self) -> Got<Vec<LeaseEntry>> {
        self.table("lease", LEASE_ORDER, None, lease_row)
    }

    fn services(&self) -> Got<Vec<Service>> {
        self.table("service", SERVICE_ORDER, None, service_row)
    }

    /// Merges, those taken back too, by time.
    pub fn merges(&self) -> Got<Vec<Merge>> {
        self.table("merge", "at, stays, goes", None, |row| {
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
        let read = |row: &Row<'_>| {
            let client = id(row, "client")?;
            let edges = unpack_edges(client, row.get_ref(1)?.as_blob().unwrap_or_default());
            each(client, need(edges, "data")?);
            Ok(())
        };
        self.query("edges", "SELECT client, data FROM edges ORDER BY client", &[], read).map(drop)
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
        self.table("run", "id", None, |row| {
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
        self.table("device", "id", None, |row| {
            let mut device = device_row(row)?;
            let items = self.table("device_item", "kind, n", Some(device.id), |row| {
                put_item(&mut device, &row.get::<_, String>("kind")?, row)
            });
            items.map_err(|error| Bad(error.to_string()))?;
            each(Change::Device(Box::new(device)));
            Ok(())
        })?;
        self.table("evidence", EVIDENCE_ORDER, None, |row| {
            each(Change::Evidence(Box::new(evidence_row(row)?)));
            Ok(())
        })?;
        self.table("address", ADDRESS_ORDER, None, |row| {
            each(Change::Address(Box::new(address_row(row)?)));
            Ok(())
        })?;
        self.table("lease", LEASE_ORDER, None, |row| {
            each(Change::Lease(Box::new(lease_row(row)?)));
            Ok(())
        })?;
        self.services()?.into_iter().for_each(|row| each(Change::Service(Box::new(row))));
        self.merges()?.into_iter().for_each(|row| each(Change::Merge(Box::new(row))));
        self.each_client(|client, edges| each(Change::Edges(client, edges)))?;
        self.table("habit", "device", None, |row| {
            each(Change::Habit(id(row, "device")?, row.get("data")?));
            Ok(())
        })?;
        self.table("site", "name", None, |row| {
            each(Change::Site(row.get::<_, String>("name")?.into(), row.get("data")?));
            Ok(())
        })?;
        self.each_recent_finding(each)
    }
}

/// The order of the key.
const LEASE_ORDER: &str = "device, ts, n";

/// The order of the key.
const ADDRESS_ORDER: &str = "device, first, vlan, ip";

/// The order of the key.
const EVIDENCE_ORDER: &str = "device, attribute, value, source, field";

fn evidence_row(row: &Row<'_>) -> Result<Evidence, Bad> {
    Ok(Evidence {
        key: EvidenceKey {
            device: id(row, "device")?,
            attribute: Attribute::stored(row.get("attribute")?),
            value: text(row, "value")?,
            source: row.get::<_, String>("source")?.into(),
            field: row.get::<_, String>("field")?.into(),
        },
        confidence: row.get("confidence")?,
        first: time(row, "first")?,
        last: time(row, "last")?,
        count: count(row, "count")?,
    })
}

fn address_row(row: &Row<'_>) -> Result<Address, Bad> {
    Ok(Address {
        device: id(row, "device")?,
        vlan: vlan(row, "vlan")?,
        ip: ip(row, "ip")?,
        first: time(row, "first")?,
        last: time(row, "last")?,
        until: row.get::<_, Option<i64>>("until")?.map(Timestamp),
        how: row.get::<_, String>("how")?.into(),
    })
}

fn lease_row(row: &Row<'_>) -> Result<LeaseEntry, Bad> {
    Ok(LeaseEntry {
        device: id(row, "device")?,
        ts: time(row, "ts")?,
        n: row.get("n")?,
        lease: Lease {
            message: need(LeaseMessage::parse(&row.get::<_, String>("message")?), "message")?,
            vlan: vlan(row, "vlan")?,
            ip: maybe_ip(row, "ip")?,
            server: maybe_ip(row, "server")?,
            relay: maybe_ip(row, "relay")?,
            seconds: row.get("seconds")?,
            renewal: row.get("renewal")?,
            rebinding: row.get("rebinding")?,
        },
    })
}

/// A device without its lists.
fn device_row(row: &Row<'_>) -> Result<Device, Bad> {
    let attached: bool = row.get("attached")?;
    Ok(Device {
        id: id(row, "id")?,
        keys: Vec::new(),
        macs: Vec::new(),
        addresses: Vec::new(),
        attributes: Vec::new(),
        class: need(DeviceClass::parse(&row.get::<_, String>("class")?), "class")?,
        votes: Vec::new(),
        roles: Vec::new(),
        router: row.get("router")?,
        attachment: attached
            .then(|| {
                Ok::<_, Bad>(Attachment {
                    switch: maybe_text(row, "switch")?,
                    port: maybe_text(row, "port")?,
                })
            })
            .transpose()?,
        vlans: Vec::new(),
        sop_classes: Vec::new(),
        implementations: Vec::new(),
        behind: row.get::<_, Option<u32>>("behind")?.map(DeviceId),
        first: time(row, "first")?,
        last: time(row, "last")?,
    })
}

/// The order of the key.
const SERVICE_ORDER: &str = "device, transport, port";

fn service_row(row: &Row<'_>) -> Result<Service, Bad> {
    Ok(Service {
        device: id(row, "device")?,
        transport: IpProto(row.get("transport")?),
        port: row.get("port")?,
        application: row.get::<_, Option<String>>("application")?.map(Into::into),
        first: time(row, "first")?,
        last: time(row, "last")?,
        count: count(row, "count")?,
    })
}

fn put_item(device: &mut Device, kind: &str, row: &Row<'_>) -> Result<(), Bad> {
    let name: String = row.get("name")?;
    let value: Option<String> = row.get("value")?;
    let named = || need(Text::from_str_lossy(&name), "name");
    let valued = || need(value.as_deref().and_then(Text::from_str_lossy), "value");
    match kind {
        "key" => {
            let kinds =
                [KeyKind::Mac, KeyKind::ClientId, KeyKind::Uuid, KeyKind::Application, KeyKind::Address];
            let kind = need(kinds.into_iter().find(|kind| format!("{kind:?}") == name), "name")?;
            device.keys.push((kind, need(value, "value")?));
        }
        "mac" => device.macs.push(need(Mac::parse(&name), "name")?),
        "address" => {
            let bits = need(value.and_then(|bits| bits.parse().ok()), "value")?;
            device.addresses.push((Vlan::from_bits(bits), need(name.parse().ok(), "name")?));
        }
        "attribute" => device.attributes.push((Attribute::stored(name.clone()), valued()?)),
        // "class" sorts before "reason", so the vote stands when its reasons come.
        "class" => device.votes.push(Vote {
            class: need(DeviceClass::parse(&name), "name")?,
            weight: need(value.and_then(|weight| weight.parse().ok()), "value")?,
            reasons: Vec::new(),
        }),
        "reason" => {
            let class = need(DeviceClass::parse(&name), "name")?;
            let reason = valued()?;
            need(device.votes.iter_mut().find(|vote| vote.class == class), "name")?.reasons.push(reason);
        }
        "role" => device.roles.push(named()?),
        "vlan" => device.vlans.push(Vlan::from_bits(need(name.parse().ok(), "name")?)),
        "sop_class" => device.sop_classes.push(named()?),
        "implementation" => {
            device.implementations.push((named()?, value.as_deref().and_then(Text::from_str_lossy)))
        }
        other => return Err(Bad(format!("column kind holds {other:?}"))),
    }
    Ok(())
}
