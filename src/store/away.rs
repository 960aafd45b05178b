//! Whether PostgreSQL is there. One asks for all: who waits while the server says nothing to anybody is told soon, and while
//! it is known to be away nobody waits at all.
//!
//! A server that is only slow, or holds one statement up, answers the lookout; then everybody waits as long as he would.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Error};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The lookout asks once somebody waits and nobody has had an answer for so long, …
const QUIET: Duration = Duration::from_millis(150);
/// … waits so long for his own, …
const ANSWER: Duration = Duration::from_millis(750);
/// … and asks again so often until the server is back.
const AGAIN: Duration = Duration::from_millis(200);

/// What all who use one server know of it.
#[derive(Debug)]
pub(super) struct Lookout {
    away: watch::Sender<bool>,
    waiting: AtomicUsize,
    somebody_waits: Notify,
    heard: Mutex<Instant>,
    lost: Mutex<Option<Instant>>,
}

/// One who waits for the server.
struct Waiting<'a>(&'a Lookout);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The task of the lookout; ends with it.
#[derive(Debug)]
pub(super) struct Watching(JoinHandle<()>);

impl Watching {
    pub(super) fn end(&self) {
        self.0.abort();
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end();
    }
}

impl Lookout {
    /// Of a server that is there, as far as anybody knows.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            away: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            somebody_waits: Notify::new(),
            heard: Mutex::new(Instant::now()),
            lost: Mutex::new(None),
        })
    }

    /// Begins to look out for the server behind `options`, on a connection of its own.
    pub(super) fn begin(self: &Arc<Self>, options: PgConnectOptions) -> Watching {
        let lookout = Arc::clone(self);
        Watching(tokio::spawn(async move { lookout.keep(&options).await }))
    }

    /// What is waited for, unless it takes longer than `patience` or the server is away.
    pub(super) async fn unless_away<T>(&self, patience: Duration, awaited: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut away = self.away.subscribe();
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(self);
        self.somebody_waits.notify_one();
        tokio::select! {
            biased;
            // the sender lives as long as this
            _ = away.wait_for(|away| *away) => Err(Error::Io(std::io::Error::new(std::io::ErrorKind::NotConnected, "the database is away"))),
            outcome = timeout(patience, awaited) => match outcome {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))),
            },
        }
    }

    /// The server answered somebody.
    pub(super) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// A connection was lost, or an answer on it: others may be as dead.
    pub(super) fn lost(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection was lost while another one has rested for `idle`.
    pub(super) fn lost_within(&self, idle: Duration) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|lost| lost.elapsed() <= idle)
    }

    fn silent_for(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    async fn keep(&self, options: &PgConnectOptions) {
        let mut own = None;
        loop {
            let away = *self.away.borrow();
            if !away && self.waiting.load(Ordering::Acquire) == 0 {
                self.somebody_waits.notified().await;
            }
            tokio::time::sleep(if away { AGAIN } else { QUIET }).await;
            if !away && (self.waiting.load(Ordering::Acquire) == 0 || self.silent_for() < QUIET) {
                continue;
            }
            let since = Instant::now();
            let there = timeout(ANSWER, ask(&mut own, options)).await.unwrap_or(false);
            if there {
                self.heard();
            } else {
                own = None;
            }
            // another may have had an answer meanwhile
            let gone = !there && self.silent_for() >= since.elapsed();
            if self.away.send_if_modified(|away| std::mem::replace(away, gone) != gone) {
                tracing::warn!(
                    away = gone,
                    "the database {}",
                    if gone { "is away; nobody waits for it until it is back" } else { "is back" }
                );
            }
        }
    }
}

/// Whether the server answers, be it with a refusal; one that starts or stops is not there.
async fn ask(own: &mut Option<PgConnection>, options: &PgConnectOptions) -> bool {
    if let Some(connection) = own {
        if connection.ping().await.is_ok() {
            return true;
        }
        *own = None;
    }
    match PgConnection::connect_with(options).await {
        Ok(connection) => *own = Some(connection),
        Err(Error::Io(_)) => return false,
        Err(Error::Database(error)) if error.code().is_some_and(|code| code.starts_with("57P")) => return false,
        Err(_) => {}
    }
    true
}
