//! What can be wrong with a database, in one sentence each.

use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// A database cannot be opened, read or written. What was committed before stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened at all.
    #[error("{}: cannot open the database: {error}", path.display())]
    Open {
        /// The database.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another program is writing it.
    #[error("{}: another wardwatch is writing this database; wait for it to end, or give another --db", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// It is no SQLite file, or another program's.
    #[error("{}: not a Wardwatch database; give the file that `wardwatch replay --db` made", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It holds nothing yet.
    #[error("{}: the database is empty; fill it with `wardwatch replay PATH --db FILE`", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A newer Wardwatch made it.
    #[error("{}: made by a newer Wardwatch (schema {found}, this program knows up to {known}); nothing was changed", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The newest schema this program knows.
        known: usize,
    },
    /// An older Wardwatch made it, and it was opened only to look.
    #[error("{}: made by an older Wardwatch (schema {found}); replaying anything into it brings it up to date", path.display())]
    Older {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: usize,
    },
    /// No room.
    #[error("{}: the disk is full; the database is as it was after the last commit", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// Not ours to write.
    #[error("{}: the database is read-only; nothing was changed", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// A row is not what the schema says.
    #[error("{}: the database is damaged: {what}", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// Where.
        what: String,
    },
    /// There is a baseline of that name.
    #[error("{}: there is a baseline {name:?} already; give another name, or --replace to put this one in its place", path.display())]
    NameTaken {
        /// The database.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// There is no room for another named baseline.
    #[error("{}: there are {most} baselines already, which is as many as are kept; delete one, or save under one of their names with --replace", path.display())]
    TooManyNamed {
        /// The database.
        path: PathBuf,
        /// How many there may be.
        most: u64,
    },
    /// Any other complaint of SQLite.
    #[error("{}: {error}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Its words.
        error: rusqlite::Error,
    },
}

impl StoreError {
    pub(crate) fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::NotADatabase) => Self::Foreign { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, what: error.to_string() },
            _ => Self::Sqlite { path, error },
        }
    }
}
