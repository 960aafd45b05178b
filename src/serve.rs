//! The composition root: open the store, start the workers, serve, drain. Listener, clock and randomness are
//! arguments; nothing is static, so a process can hold many servers.
//!
//! A [`Server`] has the API, and workers unless told otherwise; a [`Workshop`] has workers only, beside servers over one
//! PostgreSQL and one data directory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::ambient::Ambient;
use crate::api::framing::Framed;
use crate::api::{self, Api, Life};
use crate::config::{Config, Limits, WorkerConfig};
use crate::id::{Id, Kind};
use crate::store::{Store, StoreConfig, StoreError};
use crate::webhook::{Couriers, Guard, Outcomes, Sender};
use crate::worker::{Memory, Pool};

/// A head must be here whole within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for one head and the bytes read ahead of a body.
const CONNECTION_BUFFER: usize = 128 << 10;
const HEADERS_MAX: usize = 100;
/// Requests in flight have this long to end once the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);
/// A claim lives this long without a heartbeat.
const LEASE: Duration = Duration::from_secs(10);
/// Longest pause after a failed accept.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Anyone on the network could do anything.
    #[error("refusing to listen on {0} without keys; pass --insecure-no-auth to do so all the same")]
    Exposed(SocketAddr),
    /// The address cannot be listened on.
    #[error("listening on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// A worker process without a database to share.
    #[error("a worker process needs --database-url postgres://…; over SQLite `sparsefit serve` works the queue itself")]
    Alone,
    /// The store cannot be opened.
    #[error("opening the store: {0}")]
    Store(#[from] StoreError),
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    store: Store,
    draining: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    workers: Pool,
    couriers: Couriers,
}

impl Server {
    /// Starts a server on the address of its configuration.
    pub async fn start(config: &Config, limits: Limits, ambient: Ambient) -> Result<Self, StartError> {
        if !config.listen.ip().is_loopback() && !config.insecure_no_auth {
            return Err(StartError::Exposed(config.listen));
        }
        let listener = TcpListener::bind(config.listen).await.map_err(|error| StartError::Listen(config.listen, error))?;
        Self::start_on(listener, config, limits, ambient).await
    }

    /// Starts a server on a listener that is there already.
    pub async fn start_on(listener: TcpListener, config: &Config, mut limits: Limits, ambient: Ambient) -> Result<Self, StartError> {
        let addr = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
        let store = Store::open(store_config(&config.data_dir, config.database_url.as_deref(), &limits), ambient.clone()).await?;
        let (draining, drained) = watch::channel(false);
        let memory = fit_memory(config.fit_memory_mb);
        limits.fit_memory_bytes = limits.fit_memory_bytes.min(memory.total());
        let workers = Pool::start(&store, &boot_id(&ambient), config.workers, fit_threads(config.fit_threads), &memory);
        let webhooks = Guard::new(&config.webhook_allow_net);
        let couriers = Couriers::start(&store, Sender::new(webhooks.clone()));
        let life = life(&workers, config.workers, &drained, webhooks, couriers.outcomes());
        let api = Api::new(store.clone(), limits, ambient, addr, &config.hosts, life);
        let accepting = tokio::spawn(accept(listener, api.clone(), api::router(api), limits.connections, drained));
        tracing::info!(%addr, ?limits, "serving");
        Ok(Self { addr, store, draining, accepting, workers, couriers })
    }

    /// Says what happened once the disk has failed: then the process should end with an error.
    pub fn broken(&self) -> watch::Receiver<Option<String>> {
        self.store.broken()
    }

    /// The server's store, for tests that look behind the API or step the work themselves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Stops: admits nothing new, lets requests in flight end, hands running jobs back to the queue.
    pub async fn shutdown(self) {
        tracing::info!("stopping");
        // No receiver left means that nothing has to be told.
        let _ = self.draining.send(true);
        let (accepting, (), ()) = tokio::join!(self.accepting, hand_back(self.workers), self.couriers.shutdown());
        if let Err(error) = accepting {
            tracing::error!(%error, "the accept loop failed");
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// A running process of workers.
#[derive(Debug)]
pub struct Workshop {
    /// Where it shows its health, if it does.
    pub addr: Option<SocketAddr>,
    store: Store,
    draining: watch::Sender<bool>,
    accepting: Option<JoinHandle<()>>,
    workers: Pool,
}

impl Workshop {
    /// Starts the workers.
    pub async fn start(config: &WorkerConfig, mut limits: Limits, ambient: Ambient) -> Result<Self, StartError> {
        let url = config.database_url.as_deref().ok_or(StartError::Alone)?;
        let listener = match config.listen {
            Some(addr) => Some(TcpListener::bind(addr).await.map_err(|error| StartError::Listen(addr, error))?),
            None => None,
        };
        let store = Store::open(store_config(&config.data_dir, Some(url), &limits), ambient.clone()).await?;
        let (draining, drained) = watch::channel(false);
        let memory = fit_memory(config.fit_memory_mb);
        limits.fit_memory_bytes = limits.fit_memory_bytes.min(memory.total());
        let workers = Pool::start(&store, &boot_id(&ambient), config.workers, fit_threads(config.fit_threads), &memory);
        let addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let accepting = listener.zip(addr).map(|(listener, addr)| {
            // webhooks are sent by the servers
            let life = life(&workers, config.workers, &drained, Guard::new(&[]), Arc::default());
            let api = Api::new(store.clone(), limits, ambient, addr, &[], life);
            tokio::spawn(accept(listener, api.clone(), api::health_router(api), limits.connections, drained))
        });
        tracing::info!(workers = config.workers, addr = addr.map(tracing::field::display), "working");
        Ok(Self { addr, store, draining, accepting, workers })
    }

    /// Says what happened once the disk has failed: then the process should end with an error.
    pub fn broken(&self) -> watch::Receiver<Option<String>> {
        self.store.broken()
    }

    /// Stops: hands running jobs back to the queue.
    pub async fn shutdown(self) {
        tracing::info!("stopping");
        let _ = self.draining.send(true);
        hand_back(self.workers).await;
        if let Some(accepting) = self.accepting
            && let Err(error) = accepting.await
        {
            tracing::error!(%error, "the accept loop failed");
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// Waits for the workers' last writes, within bounds: what they cannot hand back is rescued once its lease is over.
async fn hand_back(workers: Pool) {
    if tokio::time::timeout(DRAIN_TIMEOUT, workers.shutdown()).await.is_err() {
        tracing::warn!("some jobs could not be handed back in time");
    }
}

/// Names this life of the process: a claim of another life is a dead worker's.
fn boot_id(ambient: &Ambient) -> String {
    Id::new(Kind::Request, ambient).to_string().replace(Kind::Request.prefix(), "boot_")
}

fn life(workers: &Pool, wanted: usize, draining: &watch::Receiver<bool>, webhooks: Guard, webhook_outcomes: Arc<Outcomes>) -> Life {
    let (workers_alive, panics, memory_granted) = (workers.alive(), workers.panics(), workers.memory().granted());
    Life { draining: draining.clone(), workers_wanted: wanted, workers_alive, panics, memory_granted, webhooks, webhook_outcomes }
}

/// MiB; none = what the machine can spare.
fn fit_memory(asked: Option<u64>) -> Memory {
    asked.map_or_else(Memory::of_machine, |mib| Memory::of(mib.saturating_mul(1 << 20)))
}

/// 0 = all cores.
fn fit_threads(asked: usize) -> usize {
    if asked > 0 { asked } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

fn store_config(data_dir: &Path, database_url: Option<&str>, limits: &Limits) -> StoreConfig {
    let database_url = database_url.map(str::to_owned);
    StoreConfig { data_dir: data_dir.to_owned(), database_url, lease: LEASE, queue_max: limits.queue_max }
}

/// Accepts until the server drains; then waits, for a bounded time, until every connection has ended.
async fn accept(listener: TcpListener, api: Api, router: Router, most: u64, mut draining: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS)));
    let mut connections = JoinSet::new();
    let mut pause = Duration::ZERO;
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            tokio::time::sleep(pause).await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = drained(&mut draining) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                pause = Duration::ZERO;
                let connection = serve_connection(stream, router.clone(), draining.clone());
                let open = api.metrics().connections.clone();
                connections.spawn(async move {
                    open.inc();
                    connection.await;
                    open.dec();
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most often: wait for connections to close, and never give up.
                pause = (pause * 2).clamp(Duration::from_millis(10), ACCEPT_PAUSE_MAX);
                tracing::warn!(%error, ?pause, "accepting failed");
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN_TIMEOUT, ended).await.is_err() {
        tracing::warn!(left = connections.len(), "connections were cut off");
    }
    connections.shutdown().await;
}

/// Resolves when the server stops; a sender that is gone is a server that is gone.
async fn drained(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

/// One HTTP/1.1 connection, from its first byte to its last.
async fn serve_connection(stream: TcpStream, router: Router, mut draining: watch::Receiver<bool>) {
    // Answers are small and whole; waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(CONNECTION_BUFFER).max_headers(HEADERS_MAX);
    let connection = builder.serve_connection(TokioIo::new(Framed::new(stream)), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = drained(&mut draining) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
