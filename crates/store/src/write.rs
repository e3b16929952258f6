//! Changes into rows: one transaction a batch.

use crate::devices::pack as pack_device;
use crate::edges::pack as pack_edges;
use crate::findings::{drop_finding, keep_newest as keep_newest_findings, put_finding};
use crate::flows::Packed;
use crate::parts::{Entries, Part};
use crate::rows::int;
use crate::{Run, Store, StoreError};
use model::{Change, DeviceId, Flow};
use rusqlite::{CachedStatement, Transaction, params};
use std::fmt;
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
        let tx = self.conn.transaction().map_err(fail)?;
        let mut batch = Batch::new(&tx, name);
        fill(&mut batch)?;
        batch.end()?;
        let findings = batch.findings;
        drop(batch);
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
pub struct Batch<'a> {
    tx: &'a Transaction<'a>,
    name: &'a Path,
    /// Whether there are findings among them.
    findings: bool,
    devices: Table<'a>,
    evidences: Table<'a>,
    addresses: Table<'a>,
    leases: Table<'a>,
    services: Table<'a>,
    edges: Table<'a>,
    habits: Table<'a>,
    /// Whose entries of what kind come one after the other, and are put into their row together.
    at: Option<(Part, DeviceId)>,
    entries: Entries,
    /// The row as it was, and as it is now.
    rows: [Vec<u8>; 2],
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<'a> Batch<'a> {
    pub(crate) fn new(tx: &'a Transaction<'a>, name: &'a Path) -> Self {
        let table = |name| Table::new(tx, name);
        Self {
            tx,
            name,
            findings: false,
            devices: table("devices"),
            evidences: table(Part::Evidence.table()),
            addresses: table(Part::Address.table()),
            leases: table(Part::Lease.table()),
            services: table(Part::Service.table()),
            edges: table("edges"),
            habits: table("habit"),
            at: None,
            entries: Entries::default(),
            rows: Default::default(),
        }
    }

    /// Adds a change.
    pub fn put(&mut self, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::Evidence(e) => self.entries_of(Part::Evidence, e.key.device)?.evidence(e),
            Change::EvidenceGone(key) => self.entries_of(Part::Evidence, key.device)?.evidence_gone(key),
            Change::Address(a) => self.entries_of(Part::Address, a.device)?.address(a),
            Change::AddressGone(device, vlan, ip, first) => {
                self.entries_of(Part::Address, *device)?.address_gone(*vlan, *ip, *first);
            }
            Change::Lease(entry) => self.entries_of(Part::Lease, entry.device)?.lease(entry),
            Change::LeaseGone(device, ts, n) => self.entries_of(Part::Lease, *device)?.lease_gone(*ts, *n),
            Change::Service(s) => self.entries_of(Part::Service, s.device)?.service(s),
            Change::ServiceGone(device, transport, port) => {
                self.entries_of(Part::Service, *device)?.service_gone(*transport, *port);
            }
            other => {
                self.settle()?;
                self.put_whole(other).map_err(|error| StoreError::from_sqlite(self.name, error))?;
            }
        }
        Ok(())
    }

    /// What is to be put into a row; those of another are put into theirs first.
    fn entries_of(&mut self, part: Part, device: DeviceId) -> Result<&mut Entries, StoreError> {
        if self.at != Some((part, device)) {
            self.settle()?;
            self.at = Some((part, device));
        }
        Ok(&mut self.entries)
    }

    /// Writes what waits for more of its kind. Has to be called after the last change.
    pub(crate) fn end(&mut self) -> Result<(), StoreError> {
        self.settle()?;
        let Self { devices, evidences, addresses, leases, services, edges, habits, .. } = self;
        [devices, evidences, addresses, leases, services, edges, habits]
            .into_iter()
            .try_for_each(Table::settle)
            .map_err(|error| StoreError::from_sqlite(self.name, error))
    }

    /// Puts the entries that came into their row.
    fn settle(&mut self) -> Result<(), StoreError> {
        let Some((part, device)) = self.at.take() else { return Ok(()) };
        let name = self.name;
        let fail = |error| StoreError::from_sqlite(name, error);
        let table = match part {
            Part::Evidence => &mut self.evidences,
            Part::Address => &mut self.addresses,
            Part::Lease => &mut self.leases,
            Part::Service => &mut self.services,
        };
        let [was, is] = &mut self.rows;
        table.read(device, was).map_err(fail)?;
        self.entries.merge(was, is).ok_or_else(|| StoreError::Damaged {
            path: name.into(),
            what: format!("table {}: column data holds something else", part.table()),
        })?;
        self.entries.clear();
        if is.is_empty() { table.remove(device) } else { table.put(device, is) }.map_err(fail)
    }

    /// A change that is a row by itself.
    fn put_whole(&mut self, change: &Change) -> Sql {
        match change {
            Change::Device(device) => self.devices.put(device.id, &pack_device(device)),
            Change::DeviceGone(id) => {
                let Self { devices, evidences, addresses, leases, services, .. } = self;
                [devices, evidences, addresses, leases, services]
                    .into_iter()
                    .try_for_each(|table| table.remove(*id))
            }
            Change::Merge(m) => run(
                self.tx,
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
            Change::Edges(client, edges) if edges.is_empty() => self.edges.remove(*client),
            Change::Edges(client, edges) => self.edges.put(*client, &pack_edges(edges)),
            Change::Habit(device, data) => self.habits.put(*device, data),
            Change::HabitGone(device) => self.habits.remove(*device),
            Change::Site(name, data) => {
                run(self.tx, "INSERT OR REPLACE INTO site VALUES (?1, ?2)", params![name, data])
            }
            Change::Finding(finding) => {
                self.findings = true;
                put_finding(self.tx, finding)
            }
            Change::FindingGone(id) => drop_finding(self.tx, *id),
            // Of these there are many in a row.
            Change::Evidence(_)
            | Change::EvidenceGone(_)
            | Change::Address(_)
            | Change::AddressGone(..)
            | Change::Lease(_)
            | Change::LeaseGone(..)
            | Change::Service(_)
            | Change::ServiceGone(..) => Ok(()),
        }
    }
}

type Sql<T = ()> = rusqlite::Result<T>;

/// Rows written by one statement: to begin and end one takes longer than to write a small row.
const AT_ONCE: usize = 32;

/// Bytes of rows that wait for others at most; rows that are large need not wait.
const MOST_WAITING: usize = 64 * 1024;

/// A table with a packed row for each device. Its statements are held as long as a batch is made: to look one up by its
/// text takes as long as to write a small row.
struct Table<'a> {
    tx: &'a Transaction<'a>,
    name: &'static str,
    read: Option<CachedStatement<'a>>,
    put: Option<CachedStatement<'a>>,
    put_many: Option<CachedStatement<'a>>,
    remove: Option<CachedStatement<'a>>,
    /// The highest number that has a row, or 0, once it is known: most devices that come are new, and need not be looked
    /// for.
    highest: Option<u32>,
    /// Rows that wait to be written together: whose, and where in the bytes they end.
    waiting: Vec<(DeviceId, usize)>,
    bytes: Vec<u8>,
}

/// The statement that is held, made when it is first needed.
fn held<'h, 'a>(
    place: &'h mut Option<CachedStatement<'a>>,
    tx: &'a Transaction<'a>,
    sql: impl FnOnce() -> String,
) -> Sql<&'h mut CachedStatement<'a>> {
    if place.is_none() {
        *place = Some(tx.prepare_cached(&sql())?);
    }
    place.as_mut().ok_or(rusqlite::Error::InvalidQuery)
}

impl<'a> Table<'a> {
    fn new(tx: &'a Transaction<'a>, name: &'static str) -> Self {
        let (read, put, put_many, remove) = (None, None, None, None);
        let (waiting, bytes) = (Vec::new(), Vec::new());
        Self { tx, name, read, put, put_many, remove, highest: None, waiting, bytes }
    }

    /// Whether there can be a row of a device in the database. One that waits is written first.
    fn may_have(&mut self, device: DeviceId) -> Sql<bool> {
        if self.waiting.iter().any(|(waits, _)| *waits == device) {
            self.settle()?;
        }
        let highest = match self.highest {
            Some(highest) => highest,
            None => {
                let sql = format!("SELECT coalesce(max(rowid), 0) FROM {}", self.name);
                self.tx.prepare_cached(&sql)?.query_row([], |row| row.get(0))?
            }
        };
        self.highest = Some(highest);
        Ok(device.0 <= highest)
    }

    /// The row of a device; empty when there is none.
    fn read(&mut self, device: DeviceId, out: &mut Vec<u8>) -> Sql {
        out.clear();
        if self.may_have(device)? {
            let sql = || format!("SELECT data FROM {} WHERE rowid = ?1", self.name);
            let mut rows = held(&mut self.read, self.tx, sql)?.query([device.0])?;
            if let Some(row) = rows.next()? {
                out.extend_from_slice(row.get_ref(0)?.as_blob().unwrap_or_default());
            }
        }
        Ok(())
    }

    /// Writes the row of a device, in place of what there was: now, or with some others.
    fn put(&mut self, device: DeviceId, data: &[u8]) -> Sql {
        self.highest = self.highest.map(|highest| highest.max(device.0));
        self.bytes.extend_from_slice(data);
        self.waiting.push((device, self.bytes.len()));
        if self.waiting.len() == AT_ONCE || self.bytes.len() > MOST_WAITING { self.settle() } else { Ok(()) }
    }

    /// Writes the rows that wait.
    fn settle(&mut self) -> Sql {
        let begins = std::iter::once(0).chain(self.waiting.iter().map(|(_, end)| *end));
        let rows = self
            .waiting
            .iter()
            .zip(begins)
            .map(|((device, end), begin)| (device.0, self.bytes.get(begin..*end).unwrap_or_default()));
        let sql = || format!("INSERT OR REPLACE INTO {} VALUES ", self.name);
        if self.waiting.len() == AT_ONCE {
            let sql = || sql() + &["(?, ?)"; AT_ONCE].join(", ");
            let put = held(&mut self.put_many, self.tx, sql)?;
            for (place, (device, data)) in rows.enumerate() {
                put.raw_bind_parameter(2 * place + 1, device)?;
                put.raw_bind_parameter(2 * place + 2, data)?;
            }
            put.raw_execute()?;
        } else {
            for row in rows {
                held(&mut self.put, self.tx, || sql() + "(?, ?)")?.execute(row)?;
            }
        }
        self.waiting.clear();
        self.bytes.clear();
        Ok(())
    }

    fn remove(&mut self, device: DeviceId) -> Sql {
        if self.may_have(device)? {
            let sql = || format!("DELETE FROM {} WHERE rowid = ?1", self.name);
            held(&mut self.remove, self.tx, sql)?.execute([device.0])?;
        }
        Ok(())
    }
}

fn run(tx: &Transaction<'_>, sql: &str, params: impl rusqlite::Params) -> Sql {
    tx.prepare_cached(sql)?.execute(params).map(drop)
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
