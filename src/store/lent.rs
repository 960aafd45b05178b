//! A connection to PostgreSQL, lent by the pool for some statements or one transaction. Knows no table and no query.
//!
//! Everything has a bound: a server that neither answers nor hangs up costs a caller some seconds, never more. A
//! connection on which an answer is outstanding is not given back but closed: the next borrower could not trust it.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Executor, Postgres, Row};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::StoreError;

/// An answer is waited for this long; the server gives up a statement somewhat sooner by itself.
pub(super) const PATIENCE: Duration = Duration::from_millis(2500);

/// See the head of this file.
pub(super) struct Lent {
    /// Until it is given back.
    connection: Option<PoolConnection<Postgres>>,
    transaction: bool,
    /// What the server answered to the beginning of the transaction.
    began: i64,
    /// A statement was sent and its answer is not here.
    underway: bool,
    /// A statement failed: the server refuses all others until the transaction ends.
    spoilt: bool,
}

impl Lent {
    /// For reading: each statement by itself.
    pub(super) async fn read(pool: &PgPool) -> Result<Self, StoreError> {
        Ok(Self { connection: Some(pool.acquire().await?), transaction: false, began: 0, underway: false, spoilt: false })
    }

    /// For writing: a transaction, undone when it is dropped without a commit. `begin` begins it and asks for a number.
    pub(super) async fn write(pool: &PgPool, begin: &'static str) -> Result<Self, StoreError> {
        let mut lent = Self::read(pool).await?;
        lent.runs()?;
        let answer = within(PATIENCE, sqlx::raw_sql(begin).fetch_all(lent.connection()?)).await;
        // it may have begun, whatever else failed
        lent.transaction = true;
        let rows = lent.ran(answer)?;
        lent.began = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        Ok(lent)
    }

    /// What the server answered to the beginning of the transaction; `None` outside of one.
    pub(super) fn began(&self) -> Option<i64> {
        self.transaction.then_some(self.began)
    }

    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.connection.as_deref_mut().ok_or(StoreError::Database(sqlx::Error::PoolClosed))
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        self.runs()?;
        let ran = within(PATIENCE, self.connection()?.execute(statement)).await;
        self.ran(ran.map(drop))
    }

    /// A statement is about to be sent.
    pub(super) fn runs(&mut self) -> Result<(), StoreError> {
        if self.underway || self.spoilt {
            return Err(StoreError::Database(sqlx::Error::Protocol("the transaction has failed already".into())));
        }
        self.underway = true;
        Ok(())
    }

    /// How the statement ended.
    pub(super) fn ran<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        self.underway = outcome.as_ref().is_err_and(lost);
        self.spoilt = self.transaction && outcome.is_err();
        Ok(outcome?)
    }

    /// Makes what was written durable and visible. Where the answer is lost nobody knows whether it happened.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if !self.transaction {
            return Ok(());
        }
        self.runs()?;
        let committed = within(PATIENCE, self.connection()?.execute("COMMIT")).await;
        if committed.as_ref().is_err_and(lost) {
            return committed.map(drop).map_err(StoreError::OutcomeUnknown);
        }
        // whether it committed or was refused, the transaction is over
        (self.transaction, self.underway) = (false, false);
        Ok(committed.map(drop)?)
    }

    /// Undoes what was written.
    pub(super) async fn rollback(mut self) -> Result<(), StoreError> {
        if self.transaction && !self.underway {
            self.spoilt = false;
            self.run("ROLLBACK").await?;
            self.transaction = false;
        }
        Ok(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let runtime = Handle::try_current();
        let (Ok(runtime), false) = (runtime, self.underway) else {
            drop(connection.detach());
            return;
        };
        let transaction = self.transaction;
        runtime.spawn(async move {
            if transaction && !matches!(timeout(PATIENCE, connection.execute("ROLLBACK")).await, Ok(Ok(_))) {
                drop(connection.detach());
                return;
            }
            // the pool asks whether it is still good; without an answer it is closed
            let _ = timeout(PATIENCE, connection.return_to_pool()).await;
        });
    }
}

/// The answer, or that it did not come in time.
pub(super) async fn within<T>(patience: Duration, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match timeout(patience, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))),
    }
}

/// Whether it says nothing about what the server did: classes 08 and 57 are of connections and of servers that stop.
fn lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
        sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => false,
        _ => true,
    }
}
