//! The inventory on disk: one SQLite file, and the only SQL of Wardwatch. Beside it the findings, the journal of what
//! was decided about them, and the baselines that were kept under a name.
//!
//! [`Store`] writes [`Change`]s, each batch in one transaction: after a full disk, a power cut or a kill, the last
//! committed batch stands. [`Reader`] reads; what it returns is in the order of the rows' keys. Rows go in and come out
//! as the types of `model`; what they mean is not known here.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod devices;
mod edges;
mod error;
mod findings;
mod flows;
mod held;
mod journal;
mod migrate;
mod migrate_known;
mod named;
mod packed;
mod parts;
mod read;
mod rows;
mod write;

pub use error::StoreError;
pub use findings::{DEFAULT_MAX_FINDINGS, FindingFilter};
pub use journal::Chain;
pub use named::{HabitRow, MAX_NAMED, Named, NamedBaseline, NamedDevice};
pub use read::{FlowFilter, Known, Reader, Run};
pub use write::Batch;

use flows::Waiting;
use model::Change;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Marks a file as ours (`PRAGMA application_id`): "WARD".
const APPLICATION_ID: i32 = 0x5741_5244;

/// Every schema there ever was, in order. A step is never changed once it has left the house; a new one is added.
static MIGRATIONS: LazyLock<Vec<M<'_>>> = LazyLock::new(|| {
    vec![
        M::up(include_str!("schema.sql")),
        M::up_with_hook(include_str!("flow-blocks.sql"), migrate::pack_flows),
        M::up_with_hook(include_str!("edge-rows.sql"), migrate::pack_edges),
        M::up(include_str!("flow-kinds.sql")),
        M::up(include_str!("baseline.sql")),
        M::up(include_str!("raised.sql")),
        M::up_with_hook(include_str!("known-rows.sql"), migrate_known::pack_known),
    ]
});

/// Flow records kept unless told otherwise: of those that were never answered no more than a quarter when room is short,
/// and of either kind the oldest go first. About 60 bytes each.
pub const DEFAULT_MAX_FLOWS: u64 = 5_000_000;

/// Statements kept for the next time: all that a batch can need.
const STATEMENTS: usize = 64;

/// An open database.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    name: PathBuf,
    max_flows: u64,
    max_findings: u64,
    run: i64,
    /// Flow records that wait to be written.
    flows: Waiting,
    /// Held while the store is open for writing, so that two programs never continue the same inventory at once.
    _lock: Option<Lock>,
}

/// The lock on a database. It is given back, not only closed: a program that is being started somewhere else in this
/// process has the file open, too, until it runs.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // What cannot be given back is gone with the last who has the file open.
        let _ = self.0.unlock();
    }
}

impl Store {
    /// Opens a database for writing and brings its schema up to date; makes it when the file does not exist or is empty.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let fail = |error| StoreError::from_sqlite(path, error);
        let lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| StoreError::Open { path: path.into(), error })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { path: path.into() }),
            Err(TryLockError::Error(error)) => return Err(StoreError::Open { path: path.into(), error }),
        }
        let lock = Lock(lock);
        let mut conn = Connection::open(path).map_err(fail)?;
        let fresh = is_ours(&conn, path)?;
        if fresh {
            conn.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
        }
        conn.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
        conn.pragma_update(None, "synchronous", "NORMAL").map_err(fail)?;
        Self::migrate(&mut conn, path)?;
        Ok(Self::new(conn, path.into(), Some(lock)))
    }

    /// A database that lives as long as the value, in a file of its own that nobody else sees: what it holds need not fit
    /// in memory.
    pub fn temporary() -> Result<Self, StoreError> {
        let name = PathBuf::from("(temporary)");
        let fail = |error| StoreError::from_sqlite(&name, error);
        let mut conn = Connection::open("").map_err(fail)?;
        // It need not outlive a crash.
        conn.pragma_update(None, "journal_mode", "OFF").map_err(fail)?;
        conn.pragma_update(None, "synchronous", "OFF").map_err(fail)?;
        Self::migrate(&mut conn, &name)?;
        Ok(Self::new(conn, name, None))
    }

    /// A database that lives as long as the value, in memory.
    pub fn in_memory() -> Result<Self, StoreError> {
        let name = PathBuf::from("(in memory)");
        let mut conn = Connection::open_in_memory().map_err(|error| StoreError::from_sqlite(&name, error))?;
        Self::migrate(&mut conn, &name)?;
        Ok(Self::new(conn, name, None))
    }

    /// Opens a database to look at. Never makes, migrates or changes it.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let fail = |error| StoreError::from_sqlite(path, error);
        std::fs::metadata(path).map_err(|error| StoreError::Open { path: path.into(), error })?;
        let plain = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, plain).map_err(fail)?;
        // On a read-only medium SQLite cannot make the index of a write-ahead log; with no log there, none is needed.
        let wal = PathBuf::from(format!("{}-wal", path.display()));
        if conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).is_err() && !wal.exists() {
            let uri = format!(
                "file:{}?immutable=1",
                path.display().to_string().replace('%', "%25").replace('?', "%3f")
            );
            conn = Connection::open_with_flags(uri, plain | OpenFlags::SQLITE_OPEN_URI).map_err(fail)?;
        }
        if is_ours(&conn, path)? {
            return Err(StoreError::Empty { path: path.into() });
        }
        let found = schema_version(&conn, path)?;
        if found < MIGRATIONS.len() {
            return Err(StoreError::Older { path: path.into(), found });
        }
        Ok(Self::new(conn, path.into(), None))
    }

    fn new(conn: Connection, name: PathBuf, lock: Option<Lock>) -> Self {
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        Self {
            conn,
            name,
            max_flows: DEFAULT_MAX_FLOWS,
            max_findings: DEFAULT_MAX_FINDINGS,
            run: 0,
            flows: Waiting::default(),
            _lock: lock,
        }
    }

    /// Keeps at most this many findings.
    pub const fn keep_findings(&mut self, max: u64) {
        self.max_findings = max;
    }

    /// Keeps at most this many flow records.
    pub const fn keep_flows(&mut self, max: u64) {
        self.max_flows = max;
    }

    /// Everything the inventory and the baseline need to go on where they stopped: every row but flows, and of the findings
    /// those of the last forty days.
    pub fn load(&self) -> Result<Vec<Change>, StoreError> {
        let mut rows = Vec::new();
        self.each_row(|row| rows.push(row))?;
        Ok(rows)
    }

    /// As [`Store::load`], one after the other: at no time do all of them take memory.
    pub fn each_row(&self, each: impl FnMut(Change)) -> Result<(), StoreError> {
        self.reader().each_row(each)
    }

    /// Looks at what is committed.
    pub fn reader(&self) -> Reader<'_> {
        Reader { conn: &self.conn, name: &self.name }
    }

    fn migrate(conn: &mut Connection, path: &Path) -> Result<(), StoreError> {
        Migrations::from_slice(&MIGRATIONS).to_latest(conn).map_err(|error| match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::from_sqlite(path, err),
            other => StoreError::Damaged { path: path.into(), what: other.to_string() },
        })
    }
}

fn schema_version(conn: &Connection, path: &Path) -> Result<usize, StoreError> {
    let version: i64 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| StoreError::from_sqlite(path, error))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// Whether the file is fresh (empty). An error when it is another program's, or of a newer schema.
fn is_ours(conn: &Connection, path: &Path) -> Result<bool, StoreError> {
    let fail = |error| StoreError::from_sqlite(path, error);
    let id: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(fail)?;
    let tables: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if id == 0 && tables == 0 {
        return Ok(true);
    }
    if id != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.into() });
    }
    let found = schema_version(conn, path)?;
    if found > MIGRATIONS.len() {
        return Err(StoreError::Newer { path: path.into(), found, known: MIGRATIONS.len() });
    }
    Ok(tables == 0)
}

#[cfg(test)]
mod tests;
