//! Connections to PostgreSQL, each lent for some statements or one transaction. Knows no table and no query.
//!
//! Everything has a bound: a server that neither answers nor hangs up costs a caller some seconds, never more. A
//! connection on which an answer is outstanding is not given back but closed: the next borrower could not trust it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection, Executor, Postgres, Row};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::StoreError;
use super::away::{Lookout, Watching};

/// Connections of a process.
const CONNECTIONS: u32 = 10;
/// One is waited for so long.
const ACQUIRE: Duration = Duration::from_secs(2);
/// One that has rested for less is taken to be good.
const FRESH: Duration = Duration::from_secs(2);
/// An answer is waited for this long; the server gives up a statement somewhat sooner by itself.
pub(super) const PATIENCE: Duration = Duration::from_millis(2500);

/// Where connections are borrowed.
#[derive(Clone, Debug)]
pub(super) struct Lender {
    pool: PgPool,
    lookout: Arc<Lookout>,
    watching: Arc<Watching>,
}

impl Lender {
    /// The first connection is made at once.
    pub(super) async fn open(options: PgConnectOptions) -> Result<Self, sqlx::Error> {
        let lookout = Lookout::new();
        let known = Arc::clone(&lookout);
        // a question before each use would be a tenth of the time of a short transaction
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE).test_before_acquire(false);
        let pool = pool.before_acquire(move |connection, rested| {
            let doubtful = rested.idle_for > FRESH || known.lost_within(rested.idle_for);
            Box::pin(async move {
                if doubtful {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
        let pool = pool.connect_with(options.clone()).await?;
        let watching = Arc::new(lookout.begin(options));
        Ok(Self { pool, lookout, watching })
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        (*self.pool.connect_options()).clone()
    }

    /// For reading: each statement by itself.
    pub(super) async fn read(&self) -> Result<Lent, StoreError> {
        let connection = Some(self.lookout.unless_away(ACQUIRE, self.pool.acquire()).await?);
        let lookout = Arc::clone(&self.lookout);
        Ok(Lent { connection, lookout, transaction: false, began: 0, underway: false, spoilt: false })
    }

    /// For writing: a transaction, undone when it is dropped without a commit. `begin` begins it and asks for a number.
    pub(super) async fn write(&self, begin: &'static str) -> Result<Lent, StoreError> {
        let mut again = true;
        loop {
            match self.read().await?.begin(begin).await {
                // a connection that died at rest; nothing has begun on it
                Err(StoreError::Database(sqlx::Error::Io(error))) if again && is_dead(&error) => again = false,
                begun => return begun,
            }
        }
    }

    /// An unreachable server is not waited for: it notices by itself.
    pub(super) async fn close(&self) {
        self.watching.end();
        let _ = timeout(PATIENCE, self.pool.close()).await;
    }
}

/// See the head of this file.
pub(super) struct Lent {
    lookout: Arc<Lookout>,
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
    async fn begin(mut self, begin: &'static str) -> Result<Self, StoreError> {
        let wait = self.runs()?;
        let answer = wait.answer(sqlx::raw_sql(begin).fetch_all(self.connection()?)).await;
        // it may have begun, whatever else failed
        self.transaction = true;
        let rows = self.ran(answer)?;
        self.began = rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        Ok(self)
    }

    /// What the server answered to the beginning of the transaction; `None` outside of one.
    pub(super) fn began(&self) -> Option<i64> {
        self.transaction.then_some(self.began)
    }

    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.connection.as_deref_mut().ok_or(StoreError::Database(sqlx::Error::PoolClosed))
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let wait = self.runs()?;
        let ran = wait.answer(self.connection()?.execute(statement)).await;
        self.ran(ran.map(drop))
    }

    /// A statement is about to be sent: how its answer is waited for.
    pub(super) fn runs(&mut self) -> Result<Wait, StoreError> {
        if self.underway || self.spoilt {
            return Err(StoreError::Database(sqlx::Error::Protocol("the transaction has failed already".into())));
        }
        self.underway = true;
        Ok(Wait(Some(Arc::clone(&self.lookout))))
    }

    /// How the statement ended.
    pub(super) fn ran<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        self.underway = outcome.as_ref().is_err_and(lost);
        if self.underway {
            self.lookout.lost()
        } else {
            self.lookout.heard()
        }
        self.spoilt = self.transaction && outcome.is_err();
        Ok(outcome?)
    }

    /// Makes what was written durable and visible. Where the answer is lost nobody knows whether it happened.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if !self.transaction {
            return Ok(());
        }
        let wait = self.runs()?;
        let committed = wait.answer(self.connection()?.execute("COMMIT")).await;
        if committed.as_ref().is_err_and(lost) {
            self.lookout.lost();
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

/// How an answer is waited for.
pub(super) struct Wait(Option<Arc<Lookout>>);

impl Wait {
    /// For ever: it comes from this process itself.
    pub(super) const EVER: Self = Self(None);

    /// The answer, or that it did not come in time.
    pub(super) async fn answer<T>(&self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        match &self.0 {
            Some(lookout) => lookout.unless_away(PATIENCE, answer).await,
            None => answer.await,
        }
    }
}

/// The answer, or that it did not come in time.
pub(super) async fn within<T>(patience: Duration, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    match timeout(patience, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))),
    }
}

/// Whether the other end had hung up before.
fn is_dead(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Whether it says nothing about what the server did: classes 08 and 57 are of connections and of servers that stop.
fn lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P")),
        sqlx::Error::RowNotFound | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => false,
        _ => true,
    }
}
