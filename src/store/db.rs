//! SQLite and PostgreSQL behind one session: the only place where the two are told apart.
//!
//! A query is a [`Query`] of `queries.rs` and its arguments; what comes back is a type that can be read from a row of
//! either engine. Nothing here knows a table.

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{FromRow, Postgres, Sqlite, Transaction};

use super::StoreError;
use super::queries::{CLOCK, Query};
use super::simulation::{Meddling, Place, pass, text};
use crate::ambient::Ambient;

/// A database.
#[derive(Clone, Debug)]
pub(super) enum Db {
    /// One writer; readers see the last commit and never wait for it.
    Sqlite { writer: SqlitePool, readers: SqlitePool, meddling: Meddling },
    /// One pool for all.
    Postgres(PgPool),
}

impl Db {
    /// A session for reading.
    pub(super) async fn read(&self) -> Result<Session, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, meddling, .. } => Session::SqliteRead(readers.acquire().await?, meddling.clone()),
            Self::Postgres(pool) => Session::PostgresRead(pool.acquire().await?),
        })
    }

    /// A transaction that will write. On SQLite it holds the write lock from its first moment: a transaction that
    /// begins as a reader and becomes a writer can fail at once, whatever `busy_timeout` says.
    pub(super) async fn write(&self) -> Result<Session, StoreError> {
        Ok(match self {
            Self::Sqlite { writer, meddling, .. } => {
                pass(meddling, Place::Begin)?;
                Session::SqliteWrite(writer.begin_with("BEGIN IMMEDIATE").await?, meddling.clone())
            }
            Self::Postgres(pool) => Session::PostgresWrite(pool.begin().await?),
        })
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A connection taken for some statements, or an open transaction; a transaction that is dropped is rolled back.
pub(super) enum Session {
    SqliteRead(PoolConnection<Sqlite>, Meddling),
    SqliteWrite(Transaction<'static, Sqlite>, Meddling),
    PostgresRead(PoolConnection<Postgres>),
    PostgresWrite(Transaction<'static, Postgres>),
}

/// An argument of a query.
pub(super) enum Arg {
    Int(Option<i64>),
    Real(f64),
    Text(Option<String>),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Arg {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<&crate::id::Id> for Arg {
    fn from(value: &crate::id::Id) -> Self {
        value.as_str().into()
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

/// Arguments of a query, each converted to an [`Arg`].
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::db::Arg::from($value)),*] };
}
pub(super) use args;

/// Evaluates one text on whichever engine the session is of.
macro_rules! on {
    ($session:expr, $query:expr, $args:expr, |$prepared:ident, $connection:ident| $body:expr) => {
        on!(@bind $session, $query, $args, $prepared, sqlx::query, $connection => $body)
    };
    ($session:expr, $query:expr, $args:expr, as $row:ty, |$prepared:ident, $connection:ident| $body:expr) => {
        on!(@bind $session, $query, $args, $prepared, sqlx::query_as::<_, $row>, $connection => $body)
    };
    (@bind $session:expr, $query:expr, $args:expr, $prepared:ident, $make:expr, $connection:ident => $body:expr) => {
        match $session {
            Session::SqliteRead(connection, meddling) => {
                on!(@one text(meddling, $query), $args, $prepared, $make, $connection = &mut **connection => $body)
            }
            Session::SqliteWrite(connection, meddling) => {
                pass(meddling, Place::Statement)?;
                on!(@one text(meddling, $query), $args, $prepared, $make, $connection = &mut **connection => $body)
            }
            Session::PostgresRead(connection) => on!(@one $query.postgres, $args, $prepared, $make, $connection = &mut **connection => $body),
            Session::PostgresWrite(connection) => on!(@one $query.postgres, $args, $prepared, $make, $connection = &mut **connection => $body),
        }
    };
    (@one $text:expr, $args:expr, $prepared:ident, $make:expr, $connection:ident = $from:expr => $body:expr) => {{
        let mut $prepared = $make($text);
        for arg in $args {
            $prepared = match arg {
                Arg::Int(value) => $prepared.bind(value),
                Arg::Real(value) => $prepared.bind(value),
                Arg::Text(value) => $prepared.bind(value),
            };
        }
        let $connection = $from;
        $body
    }};
}

/// A type that can be read from a row of either engine.
pub(super) trait Record: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<T> Record for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

impl Session {
    pub(super) fn is_sqlite(&self) -> bool {
        matches!(self, Self::SqliteRead(..) | Self::SqliteWrite(..))
    }

    /// All rows.
    pub(super) async fn all<T: Record>(&mut self, query: &Query, args: Vec<Arg>) -> Result<Vec<T>, StoreError> {
        Ok(on!(self, query, args, as T, |prepared, connection| prepared.fetch_all(connection).await?))
    }

    /// The row, if there is one.
    pub(super) async fn optional<T: Record>(&mut self, query: &Query, args: Vec<Arg>) -> Result<Option<T>, StoreError> {
        Ok(on!(self, query, args, as T, |prepared, connection| prepared.fetch_optional(connection).await?))
    }

    /// The row; none is an error.
    pub(super) async fn one<T: Record>(&mut self, query: &Query, args: Vec<Arg>) -> Result<T, StoreError> {
        Ok(on!(self, query, args, as T, |prepared, connection| prepared.fetch_one(connection).await?))
    }

    /// The number of rows written.
    pub(super) async fn execute(&mut self, query: &Query, args: Vec<Arg>) -> Result<u64, StoreError> {
        Ok(on!(self, query, args, |prepared, connection| prepared.execute(connection).await?.rows_affected()))
    }

    /// Microseconds since 1970 by the clock that leases live on: the database's on PostgreSQL, because the clocks of
    /// several machines disagree; the one handed in on SQLite, where there is one process.
    pub(super) async fn now(&mut self, ambient: &Ambient) -> Result<i64, StoreError> {
        if self.is_sqlite() {
            return Ok(ambient.now_micros());
        }
        let (now,) = self.one::<(i64,)>(&CLOCK, args![]).await?;
        Ok(now)
    }

    /// Makes everything written durable and visible.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::SqliteWrite(transaction, meddling) => {
                pass(&meddling, Place::Commit)?;
                transaction.commit().await?;
                pass(&meddling, Place::Answer)?;
            }
            Self::PostgresWrite(transaction) => transaction.commit().await?,
            Self::SqliteRead(..) | Self::PostgresRead(_) => {}
        }
        Ok(())
    }

    /// Undoes everything written.
    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::SqliteWrite(transaction, _) => transaction.rollback().await?,
            Self::PostgresWrite(transaction) => transaction.rollback().await?,
            Self::SqliteRead(..) | Self::PostgresRead(_) => {}
        }
        Ok(())
    }
}
