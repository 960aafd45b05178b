//! SQLite and PostgreSQL behind one session: the only place where the two are told apart.
//!
//! A query is a [`Query`] of `queries.rs` and its arguments; what comes back is a type that can be read from a row of
//! either engine. Nothing here knows a table.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{FromRow, Sqlite};

use super::StoreError;
use super::group::{Turn, Writer};
use super::health::Health;
use super::lent::{Lender, Lent, Wait};
use super::queries::{CLOCK, Query};
use super::simulation::{Meddling, Place, pass, text};
use crate::ambient::Ambient;

/// Begins a transaction on PostgreSQL and reads the clock: one message.
const BEGIN: &str = "BEGIN; SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";

/// A database.
#[derive(Clone, Debug)]
pub(super) struct Db {
    pub(super) engine: Engine,
    pub(super) health: Arc<Health>,
    pub(super) meddling: Meddling,
}

#[derive(Clone, Debug)]
pub(super) enum Engine {
    /// One writer, who commits for many; readers see the last commit and never wait for it.
    Sqlite { writer: Writer, readers: SqlitePool },
    /// One pool for all.
    Postgres(Lender),
}

impl Db {
    /// A session for reading.
    pub(super) async fn read(&self) -> Result<Session, StoreError> {
        Ok(match &self.engine {
            Engine::Sqlite { readers, .. } => Session::SqliteRead(readers.acquire().await?, self.meddling.clone()),
            Engine::Postgres(lender) => Session::Postgres(lender.read().await?, None),
        })
    }

    /// A transaction that will write; dropped, it is rolled back. On SQLite writers take turns, and what one of them reads
    /// may be another's of the same group: whoever tells it must commit before, even if he wrote nothing.
    pub(super) async fn write(&self) -> Result<Session, StoreError> {
        self.health.check()?;
        pass(&self.meddling, Place::Begin)?;
        Ok(match &self.engine {
            Engine::Sqlite { writer, .. } => Session::SqliteWrite(writer.turn().await?, self.meddling.clone()),
            Engine::Postgres(lender) => Session::Postgres(lender.write(BEGIN).await?, Some(Arc::clone(&self.health))),
        })
    }

    pub(super) async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Engine::Postgres(lender) => lender.close().await,
        }
    }
}

/// A connection taken for some statements, or an open transaction; a transaction that is dropped is rolled back.
pub(super) enum Session {
    SqliteRead(PoolConnection<Sqlite>, Meddling),
    SqliteWrite(Turn, Meddling),
    /// With whom to count the commit of a transaction.
    Postgres(Lent, Option<Arc<Health>>),
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
            Session::SqliteWrite(turn, meddling) => {
                on!(@one text(meddling, $query), $args, $prepared, $make, $connection = turn.connection()? => $body)
            }
            Session::Postgres(lent, _) => on!(@one $query.postgres, $args, $prepared, $make, $connection = lent.connection()? => $body),
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
        !matches!(self, Self::Postgres(..))
    }

    /// All rows.
    pub(super) async fn all<T: Record>(&mut self, query: &Query, args: Vec<Arg>) -> Result<Vec<T>, StoreError> {
        let wait = self.runs()?;
        let found = on!(self, query, args, as T, |prepared, connection| wait.answer(prepared.fetch_all(connection)).await);
        self.ran(found)
    }

    /// The row, if there is one.
    pub(super) async fn optional<T: Record>(&mut self, query: &Query, args: Vec<Arg>) -> Result<Option<T>, StoreError> {
        let wait = self.runs()?;
        let found = on!(self, query, args, as T, |prepared, connection| wait.answer(prepared.fetch_optional(connection)).await);
        self.ran(found)
    }

    /// The row; none is an error.
    pub(super) async fn one<T: Record>(&mut self, query: &Query, args: Vec<Arg>) -> Result<T, StoreError> {
        self.optional(query, args).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// The number of rows written.
    pub(super) async fn execute(&mut self, query: &Query, args: Vec<Arg>) -> Result<u64, StoreError> {
        let wait = self.runs()?;
        let written = on!(self, query, args, |prepared, connection| {
            wait.answer(prepared.execute(connection)).await.map(|done| done.rows_affected())
        });
        self.ran(written)
    }

    /// A statement is about to run: how its answer is waited for.
    fn runs(&mut self) -> Result<Wait, StoreError> {
        match self {
            Self::SqliteRead(..) => Ok(Wait::EVER),
            Self::SqliteWrite(turn, meddling) => {
                pass(meddling, Place::Statement)?;
                turn.runs()?;
                Ok(Wait::EVER)
            }
            Self::Postgres(lent, _) => lent.runs(),
        }
    }

    /// How it ended. After a failure a transaction can only be undone, on both engines.
    fn ran<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        match self {
            Self::SqliteRead(..) => Ok(outcome?),
            Self::SqliteWrite(turn, _) => turn.ran(outcome),
            Self::Postgres(lent, _) => lent.ran(outcome),
        }
    }

    /// Microseconds since 1970: by the database's clock on PostgreSQL, because the clocks of several machines disagree; by
    /// the one handed in on SQLite, where there is one process. A transaction on PostgreSQL has one time, that of its
    /// beginning, which costs no question of its own.
    pub(super) async fn now(&mut self, ambient: &Ambient) -> Result<i64, StoreError> {
        match self {
            Self::SqliteRead(..) | Self::SqliteWrite(..) => return Ok(ambient.now_micros()),
            Self::Postgres(lent, _) => {
                if let Some(began) = lent.began() {
                    return Ok(began);
                }
            }
        }
        let (now,) = self.one::<(i64,)>(&CLOCK, args![]).await?;
        Ok(now)
    }

    /// The clock that leases live on: as [`Session::now`], but on SQLite one that nobody sets.
    pub(super) async fn lease_now(&mut self, ambient: &Ambient) -> Result<i64, StoreError> {
        if self.is_sqlite() { Ok(ambient.steady_micros()) } else { self.now(ambient).await }
    }

    /// Makes everything written durable and visible.
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::SqliteRead(..) => Ok(()),
            Self::SqliteWrite(turn, meddling) => {
                pass(&meddling, Place::Commit)?;
                turn.commit().await?;
                pass(&meddling, Place::Answer)
            }
            Self::Postgres(lent, health) => {
                lent.commit().await?;
                health.iter().for_each(|health| health.committed());
                Ok(())
            }
        }
    }

    /// Undoes everything written.
    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::SqliteRead(..) => Ok(()),
            Self::SqliteWrite(turn, _) => turn.rollback().await,
            Self::Postgres(lent, _) => lent.rollback().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_begins_with_the_one_clock() {
        assert_eq!(BEGIN.strip_prefix("BEGIN; "), Some(CLOCK.postgres));
    }
}
