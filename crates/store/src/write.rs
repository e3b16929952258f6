//! Changes into rows: one transaction a batch.

use crate::edges::pack;
use crate::findings::{drop_finding, keep_newest as keep_newest_findings, put_finding};
use crate::flows::Packed;
use crate::rows::int;
use crate::{Run, Store, StoreError};
use model::{Change, Device, DeviceId, Edge, Evidence, Flow, LeaseEntry};
use rusqlite::{Transaction, params};
use std::path::Path;

impl Store {
    /// Begins a run: flows written from now on belong to it.
    pub fn begin_run(&mut self) -> Result<(), StoreError> {
        let fail = |error| StoreError::from_sqlite(&self.name, error);
        self.conn
            .execute("INSERT INTO run (frames, report) VALUES (0, '{}')", [])
            .map(|_| self.run = self.conn.last_insert_rowid())
            .map_err(fail)
    }

    /// Adds a flow record. It is in the database after the next [`Store::write`]; until then it takes its 60 bytes.
    pub fn add_flow(&mut self, flow: &Flow) {
        self.flows.push(flow);
    }

    /// Bytes of flow records in full blocks that wait to be written.
    pub fn waiting(&self) -> usize {
        self.flows.full.iter().map(|block| block.data.len()).sum()
    }

    /// Writes the full blocks of flow records that wait, and what `fill` puts into the batch. The others wait on, so that
    /// what stands in which block does not depend on how often this is called.
    pub fn write_full_blocks(
        &mut self,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.batch(fill)
    }

    /// Writes all flow records that wait and a batch of changes; all of them or, on an error, none.
    pub fn write(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.write_each(|batch| changes.iter().try_for_each(|change| batch.put(change)))
    }

    /// As [`Store::write`], with what `fill` puts into the batch: it need not stay in memory.
    pub fn write_each(
        &mut self,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.flows.end();
        self.batch(fill)
    }

    fn batch(
        &mut self,
        fill: impl FnOnce(&mut Batch<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (run, max_flows, name) = (self.run, self.max_flows, self.name.as_path());
        let fail = |error| StoreError::from_sqlite(name, error);
        let mut batch = Batch { tx: self.conn.transaction().map_err(fail)?, name, findings: false };
        fill(&mut batch)?;
        let Batch { tx, findings, .. } = batch;
        if findings {
            keep_newest_findings(&tx, self.max_findings).map_err(fail)?;
        }
        if !self.flows.full.is_empty() {
            put_flows(&tx, run, &self.flows.full).map_err(fail)?;
            drop_flows(&tx, max_flows).map_err(fail)?;
        }
        tx.commit().map_err(fail)?;
        self.flows.full.clear();
        Ok(())
    }

    /// Ends the run: what it was like.
    pub fn end_run(&mut self, run: &Run) -> Result<(), StoreError> {
        self.conn
            .execute(
                "UPDATE run SET first = ?2, last = ?3, frames = ?4, report = ?5 WHERE id = ?1",
                params![self.run, run.first.map(|t| t.0), run.last.map(|t| t.0), int(run.frames), run.report],
            )
            .map(drop)
            .map_err(|error| StoreError::from_sqlite(&self.name, error))
    }
}

/// Changes that are written together.
#[derive(Debug)]
pub struct Batch<'a> {
    tx: Transaction<'a>,
    name: &'a Path,
    /// Whether there are findings among them.
    findings: bool,
}

impl Batch<'_> {
    /// Adds a change.
    pub fn put(&mut self, change: &Change) -> Result<(), StoreError> {
        self.findings |= matches!(change, Change::Finding(_));
        apply(&self.tx, change).map_err(|error| StoreError::from_sqlite(self.name, error))
    }
}

type Sql<T = ()> = rusqlite::Result<T>;

fn run(tx: &Transaction<'_>, sql: &str, params: impl rusqlite::Params) -> Sql {
    tx.prepare_cached(sql)?.execute(params).map(drop)
}

fn apply(tx: &Transaction<'_>, change: &Change) -> Sql {
    match change {
        Change::Device(device) => put_device(tx, device),
        Change::DeviceGone(id) => {
            for table in ["device_item", "evidence", "address", "lease", "service"] {
                run(tx, &format!("DELETE FROM {table} WHERE device = ?1"), [id.0])?;
            }
            run(tx, "DELETE FROM device WHERE id = ?1", [id.0])
        }
        Change::Evidence(evidence) => put_evidence(tx, evidence),
        Change::EvidenceGone(key) => run(
            tx,
            "DELETE FROM evidence WHERE device = ?1 AND attribute = ?2 AND value = ?3 AND source = ?4 AND field = ?5",
            params![key.device.0, key.attribute.as_str(), key.value.as_str(), key.source, key.field],
        ),
        Change::Address(a) => run(
            tx,
            "INSERT OR REPLACE INTO address VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                a.device.0,
                int(a.vlan.bits()),
                a.ip.to_string(),
                a.first.0,
                a.last.0,
                a.until.map(|t| t.0),
                a.how
            ],
        ),
        Change::AddressGone(device, vlan, ip, first) => run(
            tx,
            "DELETE FROM address WHERE device = ?1 AND vlan = ?2 AND ip = ?3 AND first = ?4",
            params![device.0, int(vlan.bits()), ip.to_string(), first.0],
        ),
        Change::Lease(entry) => put_lease(tx, entry),
        Change::LeaseGone(device, ts, n) => {
            run(tx, "DELETE FROM lease WHERE device = ?1 AND ts = ?2 AND n = ?3", params![device.0, ts.0, n])
        }
        Change::Service(s) => run(
            tx,
            "INSERT OR REPLACE INTO service VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![s.device.0, s.transport.0, s.port, s.application, s.first.0, s.last.0, int(s.count)],
        ),
        Change::ServiceGone(device, transport, port) => run(
            tx,
            "DELETE FROM service WHERE device = ?1 AND transport = ?2 AND port = ?3",
            params![device.0, transport.0, port],
        ),
        Change::Merge(m) => run(
            tx,
            "INSERT OR REPLACE INTO merge VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                m.into.0,
                m.from.0,
                m.at.0,
                m.why.as_str(),
                m.undone.as_ref().map(|(at, _)| at.0),
                m.undone.as_ref().map(|(_, why)| why.as_str())
            ],
        ),
        Change::Edges(client, edges) => put_edges(tx, *client, edges),
        Change::Habit(device, data) => {
            run(tx, "INSERT OR REPLACE INTO habit VALUES (?1, ?2)", params![device.0, data])
        }
        Change::HabitGone(device) => run(tx, "DELETE FROM habit WHERE device = ?1", [device.0]),
        Change::Site(name, data) => {
            run(tx, "INSERT OR REPLACE INTO site VALUES (?1, ?2)", params![name, data])
        }
        Change::Finding(finding) => put_finding(tx, finding),
        Change::FindingGone(id) => drop_finding(tx, *id),
    }
}

fn put_device(tx: &Transaction<'_>, d: &Device) -> Sql {
    run(
        tx,
        "INSERT OR REPLACE INTO device VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            d.id.0,
            d.class.as_str(),
            d.router,
            d.behind.map(|id| id.0),
            d.attachment.is_some(),
            d.attachment.as_ref().and_then(|a| a.switch.as_ref()).map(|t| t.as_str()),
            d.attachment.as_ref().and_then(|a| a.port.as_ref()).map(|t| t.as_str()),
            d.first.0,
            d.last.0
        ],
    )?;
    run(tx, "DELETE FROM device_item WHERE device = ?1", [d.id.0])?;
    let mut items = Items { tx, device: d.id.0 };
    items.put("key", d.keys.iter().map(|(kind, key)| (format!("{kind:?}"), Some(key.clone()))))?;
    items.put("mac", d.macs.iter().map(|mac| (mac.to_string(), None)))?;
    items.put(
        "address",
        d.addresses.iter().map(|(vlan, ip)| (ip.to_string(), Some(vlan.bits().to_string()))),
    )?;
    items.put(
        "attribute",
        d.attributes.iter().map(|(name, value)| (name.to_string(), Some(value.to_string()))),
    )?;
    items.put("class", d.votes.iter().map(|vote| (vote.class.to_string(), Some(vote.weight.to_string()))))?;
    let reasons = d
        .votes
        .iter()
        .flat_map(|v| v.reasons.iter().map(move |why| (v.class.to_string(), Some(why.to_string()))));
    items.put("reason", reasons)?;
    items.put("role", d.roles.iter().map(|role| (role.to_string(), None)))?;
    items.put("vlan", d.vlans.iter().map(|vlan| (vlan.bits().to_string(), None)))?;
    items.put("sop_class", d.sop_classes.iter().map(|uid| (uid.to_string(), None)))?;
    let implementations = d.implementations.iter();
    items.put(
        "implementation",
        implementations.map(|(uid, v)| (uid.to_string(), v.as_ref().map(|v| v.to_string()))),
    )
}

struct Items<'a> {
    tx: &'a Transaction<'a>,
    device: u32,
}

impl Items<'_> {
    fn put(&mut self, kind: &str, items: impl Iterator<Item = (String, Option<String>)>) -> Sql {
        let mut insert = self.tx.prepare_cached("INSERT INTO device_item VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for (n, (name, value)) in items.enumerate() {
            insert.execute(params![self.device, kind, n as i64, name, value])?;
        }
        Ok(())
    }
}

fn put_evidence(tx: &Transaction<'_>, e: &Evidence) -> Sql {
    run(
        tx,
        "INSERT OR REPLACE INTO evidence VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            e.key.device.0,
            e.key.attribute.as_str(),
            e.key.value.as_str(),
            e.key.source,
            e.key.field,
            e.confidence,
            e.first.0,
            e.last.0,
            int(e.count)
        ],
    )
}

fn put_lease(tx: &Transaction<'_>, e: &LeaseEntry) -> Sql {
    run(
        tx,
        "INSERT OR REPLACE INTO lease VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            e.device.0,
            e.ts.0,
            e.n,
            e.lease.message.as_str(),
            int(e.lease.vlan.bits()),
            e.lease.ip.map(|ip| ip.to_string()),
            e.lease.server.map(|ip| ip.to_string()),
            e.lease.relay.map(|ip| ip.to_string()),
            e.lease.seconds,
            e.lease.renewal,
            e.lease.rebinding
        ],
    )
}

/// Adds blocks of flow records.
fn put_flows(tx: &Transaction<'_>, run_id: i64, blocks: &[Packed]) -> Sql {
    for Packed { answered, count, data } in blocks {
        run(
            tx,
            "INSERT INTO flows (run, count, data, answered) VALUES (?1, ?2, ?3, ?4)",
            params![run_id, int(*count), data, answered],
        )?;
    }
    Ok(())
}

/// Lets the oldest blocks go that are not needed to keep `max` records: of those that were never answered as long as they
/// are more than a quarter, so that a scan does not push out what devices really did; then of the others.
fn drop_flows(tx: &Transaction<'_>, max: u64) -> Sql {
    let max = int(max);
    let mut sums = tx.prepare_cached("SELECT coalesce(sum(count), 0) FROM flows WHERE answered = ?1")?;
    let mut sum = |answered: bool| sums.query_row([answered], |row| row.get::<_, i64>(0));
    let (never, answered) = (sum(false)?, sum(true)?);
    if never + answered > max {
        let others = answered.min(max - never.min(max / 4));
        keep_newest(tx, false, max - others)?;
        keep_newest(tx, true, others)?;
    }
    Ok(())
}

fn keep_newest(tx: &Transaction<'_>, answered: bool, max: i64) -> Sql {
    let mut newer = tx.prepare_cached("SELECT id, count FROM flows WHERE answered = ?1 ORDER BY id DESC")?;
    let mut rows = newer.query([answered])?;
    let mut kept = 0;
    while let Some(row) = rows.next()? {
        if kept >= max {
            let oldest: i64 = row.get(0)?;
            return run(tx, "DELETE FROM flows WHERE id <= ?1 AND answered = ?2", params![oldest, answered]);
        }
        kept += row.get::<_, i64>(1)?;
    }
    Ok(())
}

/// All edges of a client, in place of those there were.
pub(crate) fn put_edges(tx: &Transaction<'_>, client: DeviceId, edges: &[Edge]) -> Sql {
    if edges.is_empty() {
        return run(tx, "DELETE FROM edges WHERE client = ?1", [client.0]);
    }
    run(tx, "INSERT OR REPLACE INTO edges VALUES (?1, ?2)", params![client.0, pack(edges)])
}
