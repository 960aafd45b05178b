//! Why the store did not do it; a full disk is recognised wherever it shows.

use std::io::ErrorKind;

use crate::dataset::Damaged;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed or is away; may pass.
    #[error("the database: {0}")]
    Database(#[source] sqlx::Error),
    /// A migration does not fit the database found, or the database cannot keep what is promised.
    #[error("the schema: {0}")]
    Schema(String),
    /// Another process works in the data directory.
    #[error("the data directory is in use by another process: {0}")]
    InUse(String),
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
