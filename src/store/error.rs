//! Why the store did not do it; a full disk is recognised wherever it shows.

use std::io::ErrorKind;

use crate::dataset::Damaged;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed or is away; may pass.
    #[error("the database: {0}")]
    Database(#[source] sqlx::Error),
    /// The commit's answer was lost: it may have happened.
    #[error("the database did not say whether it committed: {0}")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The disk failed at a write: nothing more is written until the process is started again.
    #[error("the disk failed, and nothing more is written until a restart: {0}")]
    Broken(String),
    /// A migration does not fit the database found, or the database cannot keep what is promised.
    #[error("the schema: {0}")]
    Schema(String),
    /// Another process works in the data directory.
    #[error("the data directory is in use by another process: {0}")]
    InUse(String),
    /// The project has all it may have; the sentence says of what.
    #[error("{0}")]
    OverQuota(String),
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The disk failed.
    #[error("the disk: {0}")]
    Io(#[source] std::io::Error),
    /// A stored file is not what its row says.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A row holds what this program never writes.
    #[error("a row is not understood: {0}")]
    Row(String),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error),
        }
    }
}

impl StoreError {
    /// The same for another who waited for the same thing.
    pub(super) fn for_another(&self) -> Self {
        match self {
            Self::DiskFull => Self::DiskFull,
            Self::Broken(what) => Self::Broken(what.clone()),
            other => Self::Database(sqlx::Error::Protocol(other.to_string())),
        }
    }

    /// Whether a row with this key is there already.
    pub(super) fn of_a_taken_key(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether the same transaction, run again, may well succeed: PostgreSQL undid it because of another one.
    pub(super) fn of_another_transaction(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("40001" | "40P01")))
    }
}

/// Whether a write of SQLite failed in the disk: `SQLITE_IOERR` but for its reads and for a file that could not grow.
pub(super) fn failed_in_disk(error: &sqlx::Error) -> bool {
    const IOERR: u32 = 10;
    const READS: [u32; 2] = [266, 522];
    let sqlx::Error::Database(error) = error else { return false };
    let Some(code) = error.code() else { return false };
    !FULL.contains(&code.as_ref()) && code.parse::<u32>().is_ok_and(|code| code & 0xff == IOERR && !READS.contains(&code))
}

/// SQLite: `SQLITE_FULL`, and the extended code for a shared-memory file that could not grow. PostgreSQL: `disk_full`.
const FULL: [&str; 3] = ["13", "4874", "53100"];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => Self::DiskFull,
            sqlx::Error::Database(error) if error.code().is_some_and(|code| FULL.contains(&code.as_ref())) => Self::DiskFull,
            error => Self::Database(error),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            sqlx::migrate::MigrateError::VersionMissing(schema) => {
                Self::Schema(format!("the store was written by a newer version of this program: schema {schema} is not known here"))
            }
            other => Self::Schema(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        assert!(matches!(StoreError::from(std::io::Error::from_raw_os_error(28)), StoreError::DiskFull));
        assert!(matches!(StoreError::from(std::io::Error::from_raw_os_error(5)), StoreError::Io(_)));
        let wrapped = sqlx::Error::Io(std::io::Error::from_raw_os_error(28));
        assert!(matches!(StoreError::from(wrapped), StoreError::DiskFull));
    }

    #[tokio::test]
    async fn a_database_that_cannot_grow_is_a_full_disk() {
        use sqlx::{Connection, Executor};
        let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        connection.execute("CREATE TABLE t (x BLOB); PRAGMA max_page_count = 10").await.unwrap();
        let error = connection.execute("INSERT INTO t VALUES (zeroblob(100000))").await.unwrap_err();
        assert!(matches!(StoreError::from(error), StoreError::DiskFull));
    }
}
