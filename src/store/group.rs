//! Group commit on SQLite: one writer at a time, many writers a commit.
//!
//! Writers stand in line for the one connection that writes. The first of them opens a transaction; each who comes after
//! him works in a savepoint of his own inside it. Whoever is done releases his savepoint, lets go of the connection and
//! waits; the commit stands in the same line, so everybody who came before it is in the group, and one sync of the disk
//! serves all. Nobody is told "done" before that sync.
//!
//! A writer that fails, or goes away at any moment, undoes his savepoint and nothing else; the first, with whom nobody
//! is yet, his transaction. Where SQLite gave up the whole transaction by itself (a full disk, most often), the whole
//! group hears that it failed. Knows no table and no query.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::{Instant, timeout};

use super::StoreError;
use super::error::failed_in_disk;
use super::health::Health;

/// Most writers of one commit.
const MEMBERS_MAX: usize = 256;

/// The writing side of a SQLite database; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    line: Arc<Mutex<Line>>,
    health: Arc<Health>,
    /// How long a writer waits for his turn.
    patience: Duration,
}

/// What the writers stand in line for. The lock is first come, first served.
#[derive(Debug)]
struct Line {
    /// `None` once closed.
    connection: Option<SqliteConnection>,
    health: Arc<Health>,
    /// The open transaction and those whose work is in it.
    group: Option<Group>,
    /// A turn was begun and has neither joined the group nor been undone: its writer is at work, or has gone.
    begun: bool,
    /// When the database was last found locked by somebody else: those who waited meanwhile need not wait again.
    locked_out: Option<Instant>,
    /// What last went wrong in the open transaction; told to the group if SQLite gave it up.
    wrong: Option<StoreError>,
}

/// The outcome of a commit, once it is known.
type Outcome = Option<Result<(), Arc<StoreError>>>;

#[derive(Debug, Default)]
struct Group {
    members: usize,
    outcome: watch::Sender<Outcome>,
}

impl Writer {
    pub(super) fn new(connection: SqliteConnection, health: Arc<Health>, patience: Duration) -> Self {
        let line = Line { connection: Some(connection), health: health.clone(), group: None, begun: false, locked_out: None, wrong: None };
        Self { line: Arc::new(Mutex::new(line)), health, patience }
    }

    /// Waits for a turn to write, and begins it.
    pub(super) async fn turn(&self) -> Result<Turn, StoreError> {
        let asked = Instant::now();
        let Ok(mut line) = timeout(self.patience, self.line.clone().lock_owned()).await else { return Err(busy()) };
        self.health.check()?;
        line.tidy().await?;
        if line.locked_out.is_some_and(|when| asked < when) {
            return Err(busy());
        }
        line.begin().await?;
        Ok(Turn { line: Some(line), writer: self.clone(), spoilt: false })
    }

    /// Commits what is open, then closes the connection; whoever comes later is refused.
    pub(super) async fn close(&self) {
        use sqlx::Connection;
        let mut line = self.line.lock().await;
        line.settle().await;
        if let Some(connection) = line.connection.take() {
            // the next opening repairs what could not be closed in order
            let _ = connection.close().await;
        }
    }

    /// Commits the open group when its turn in line has come, whatever becomes of its members.
    fn settle_later(&self) {
        let line = self.line.clone();
        tokio::spawn(async move { line.lock_owned().await.settle().await });
    }
}

impl Line {
    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.connection.as_mut().ok_or(StoreError::Database(sqlx::Error::PoolClosed))
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        let ran = sqlx::query(statement).execute(self.connection()?).await;
        self.heed(ran.map(drop))
    }

    /// Remembers what went wrong; a disk that failed ends all writing.
    fn heed<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        outcome.map_err(|error| {
            if failed_in_disk(&error) {
                self.health.break_down(&error.to_string());
            }
            let error = StoreError::from(error);
            self.wrong = Some(error.for_another());
            error
        })
    }

    /// Opens the transaction, or where one is open a savepoint in it.
    async fn begin(&mut self) -> Result<(), StoreError> {
        self.begun = true;
        if self.group.is_some() {
            return self.run("SAVEPOINT turn").await;
        }
        self.wrong = None;
        if let Err(error) = self.run("BEGIN IMMEDIATE").await {
            self.begun = false;
            self.locked_out = Some(Instant::now());
            return Err(error);
        }
        self.group = Some(Group::default());
        Ok(())
    }

    /// Undoes what a writer left who failed or has gone: his savepoint, and the transaction where nobody else is in it.
    async fn tidy(&mut self) -> Result<(), StoreError> {
        if !self.begun {
            return Ok(());
        }
        // until it is undone it stays begun, whatever becomes of this future
        if self.group.as_ref().is_none_or(|group| group.members == 0) {
            self.group = None;
            // refused where none was begun, or SQLite gave it up
            let _ = self.run("ROLLBACK").await;
            self.begun = false;
            return Ok(());
        }
        let wrong = self.wrong.take();
        // refused where the savepoint was never begun, or was released after all, or the transaction is gone
        if self.run("ROLLBACK TO turn").await.is_err() || self.run("RELEASE turn").await.is_err() {
            self.look_for_transaction(wrong).await?;
        }
        self.begun = false;
        Ok(())
    }

    /// Tells the group if SQLite gave up its transaction. That one cannot begin within another is how one learns it.
    async fn look_for_transaction(&mut self, wrong: Option<StoreError>) -> Result<(), StoreError> {
        if self.run("BEGIN").await.is_err() {
            return Ok(());
        }
        self.run("ROLLBACK").await?;
        if let Some(group) = self.group.take() {
            group.tell(Err(wrong.unwrap_or_else(|| failed("the transaction was given up"))));
        }
        Ok(())
    }

    /// Commits the open group and tells its members.
    async fn settle(&mut self) {
        if let Err(error) = self.tidy().await
            && let Some(group) = self.group.take()
        {
            group.tell(Err(error));
        }
        let Some(group) = self.group.take() else { return };
        let outcome = match self.health.check() {
            Ok(()) => self.run("COMMIT").await,
            broken => broken,
        };
        match &outcome {
            Ok(()) => self.health.committed(),
            // refused where SQLite has rolled back by itself
            Err(_) => {
                let _ = self.run("ROLLBACK").await;
            }
        }
        group.tell(outcome);
    }
}

impl Group {
    fn tell(self, outcome: Result<(), StoreError>) {
        self.outcome.send_replace(Some(outcome.map_err(Arc::new)));
    }
}

/// A writer's turn. Dropped without a commit, it is undone.
#[derive(Debug)]
pub(super) struct Turn {
    /// Until the turn ends.
    line: Option<OwnedMutexGuard<Line>>,
    writer: Writer,
    /// A statement failed or was abandoned: only undoing is left.
    spoilt: bool,
}

impl Turn {
    /// A statement is about to run; unless [`Turn::ran`] hears of a good end, the turn cannot be committed.
    pub(super) fn runs(&mut self) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.spoilt, true) {
            return Err(failed("the transaction has failed already"));
        }
        Ok(())
    }

    pub(super) fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        self.line.as_mut().ok_or(StoreError::Database(sqlx::Error::PoolClosed))?.connection()
    }

    /// How the statement ended.
    pub(super) fn ran<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, StoreError> {
        let Some(line) = self.line.as_mut() else { return outcome.map_err(StoreError::from) };
        let outcome = line.heed(outcome);
        self.spoilt = outcome.is_err();
        outcome
    }

    /// Joins the group and waits until it is durable.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.runs()?;
        let line = self.line.as_mut().ok_or(StoreError::Database(sqlx::Error::PoolClosed))?;
        if line.group.as_ref().is_some_and(|group| group.members > 0) {
            line.run("RELEASE turn").await?;
        }
        let mut outcome = match line.group.as_mut() {
            Some(group) => {
                group.members += 1;
                if group.members == 1 {
                    self.writer.settle_later();
                }
                group.outcome.subscribe()
            }
            None => return Err(failed("the transaction is gone")),
        };
        line.begun = false;
        let full = line.group.as_ref().is_some_and(|group| group.members >= MEMBERS_MAX);
        if let Some(mut line) = self.line.take()
            && full
        {
            // not in this future, which may be dropped, but ahead of those who wait
            tokio::spawn(async move { line.settle().await });
        }
        let told = outcome.wait_for(Option::is_some).await.map(|told| told.clone());
        match told {
            Ok(Some(Err(error))) => Err(error.for_another()),
            Ok(_) => Ok(()),
            Err(_) => Err(failed("the commit was abandoned")),
        }
    }

    /// Undoes everything written in this turn.
    pub(super) async fn rollback(mut self) -> Result<(), StoreError> {
        match self.line.take() {
            Some(mut line) => line.tidy().await,
            None => Ok(()),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // outside a runtime, whoever comes next tidies up
        if let (Some(mut line), Ok(runtime)) = (self.line.take(), Handle::try_current()) {
            runtime.spawn(async move { drop(line.tidy().await) });
        }
    }
}

/// Somebody else holds the database.
fn busy() -> StoreError {
    StoreError::Database(sqlx::Error::PoolTimedOut)
}

fn failed(what: &str) -> StoreError {
    StoreError::Database(sqlx::Error::Protocol(what.to_owned()))
}
