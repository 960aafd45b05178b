//! The composition root: open the store, start the workers, serve, drain. Listener, clock and randomness are
//! arguments; nothing is static, so a process can hold many servers.
//!
//! A [`Server`] has the API, and workers unless told otherwise; a [`Workshop`] has workers only, beside servers over one
//! PostgreSQL and one data directory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ambient::Ambient;
use crate::api::{self, Api, Life, Promoter};
use crate::config::{Config, Limits, WorkerConfig};
use crate::id::{Id, Kind};
use crate::listen::listen;
use crate::measure::Measures;
use crate::process;
use crate::store::{Store, StoreConfig, StoreError};
use crate::trace::Traces;
use crate::webhook::{Couriers, Guard, Outcomes, Sender};
use crate::worker::{self, Memory, Pool};

/// A claim lives this long without a heartbeat.
const LEASE: Duration = Duration::from_secs(10);
/// Workers have this long to hand their jobs back.
const HAND_BACK_TIMEOUT: Duration = Duration::from_secs(8);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Anyone on the network could do anything.
    #[error("refusing to listen on {0} without keys; make one with `sparsefit keys create`, or pass --insecure-no-auth")]
    Exposed(SocketAddr),
    /// The address cannot be listened on.
    #[error("listening on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// A worker process without a database to share.
    #[error("a worker process needs --database-url postgres://…; over SQLite `sparsefit serve` works the queue itself")]
    Alone,
    /// Spans cannot be sent as asked.
    #[error("traces: {0}")]
    Traces(String),
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
    traces: Traces,
}

impl Server {
    /// Starts a server on the address of its configuration.
    pub async fn start(config: &Config, limits: Limits, ambient: Ambient) -> Result<Self, StartError> {
        let store = Store::open(store_config(&config.data_dir, config.database_url.as_deref(), &limits), ambient.clone()).await?;
        // Before anybody can connect.
        if let Err(exposed) = check_exposure(&store, config, config.listen).await {
            store.close().await;
            return Err(exposed);
        }
        match TcpListener::bind(config.listen).await {
            Ok(listener) => Self::run(listener, store, config, limits, ambient).await,
            Err(error) => {
                store.close().await;
                Err(StartError::Listen(config.listen, error))
            }
        }
    }

    /// Starts a server on a listener that is there already.
    pub async fn start_on(listener: TcpListener, config: &Config, limits: Limits, ambient: Ambient) -> Result<Self, StartError> {
        let addr = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
        let store = Store::open(store_config(&config.data_dir, config.database_url.as_deref(), &limits), ambient.clone()).await?;
        check_exposure(&store, config, addr).await?;
        Self::run(listener, store, config, limits, ambient).await
    }

    async fn run(listener: TcpListener, store: Store, config: &Config, mut limits: Limits, ambient: Ambient) -> Result<Self, StartError> {
        let boot = boot_id(&ambient);
        let traces = Traces::to(config.otlp_endpoint.as_ref(), &boot, &ambient).map_err(StartError::Traces)?;
        limits.connections = limits.connections.min(process::connections_possible());
        let addr = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
        let measures = Arc::new(Measures::default());
        let (draining, drained) = watch::channel(false);
        let memory = fit_memory(config.fit_memory_mb);
        limits.fit_memory_bytes = limits.fit_memory_bytes.min(memory.total());
        let threads = fit_threads(config.fit_threads);
        limits.fit_threads = threads as u64;
        let workers = Pool::start(&store, &boot, config.workers, threads, &memory, measures.clone(), &traces);
        let webhooks = Guard::new(&config.webhook_allow_net);
        let couriers = Couriers::start(&store, Sender::new(webhooks.clone()));
        let life = life(&workers, config.workers, &drained, webhooks, couriers.outcomes(), &traces);
        let api = Api::new(store.clone(), limits, ambient, addr, &config.hosts, life, measures.clone());
        let accepting = tokio::spawn(listen(listener, api::router(api), limits, measures, drained));
        tracing::info!(%addr, ?limits, "serving");
        Ok(Self { addr, store, draining, accepting, workers, couriers, traces })
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
        self.traces.shutdown().await;
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// Beyond loopback only somebody with a key, or told to, may be served.
async fn check_exposure(store: &Store, config: &Config, addr: SocketAddr) -> Result<(), StartError> {
    let open = addr.ip().is_loopback() || config.insecure_no_auth || store.keys_revision().await? > 0;
    if open { Ok(()) } else { Err(StartError::Exposed(addr)) }
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
    traces: Traces,
}

impl Workshop {
    /// Starts the workers.
    pub async fn start(config: &WorkerConfig, mut limits: Limits, ambient: Ambient) -> Result<Self, StartError> {
        let url = config.database_url.as_deref().ok_or(StartError::Alone)?;
        let boot = boot_id(&ambient);
        let traces = Traces::to(config.otlp_endpoint.as_ref(), &boot, &ambient).map_err(StartError::Traces)?;
        let listener = match config.listen {
            Some(addr) => Some(TcpListener::bind(addr).await.map_err(|error| StartError::Listen(addr, error))?),
            None => None,
        };
        let store = Store::open(store_config(&config.data_dir, Some(url), &limits), ambient.clone()).await?;
        let measures = Arc::new(Measures::default());
        let (draining, drained) = watch::channel(false);
        let memory = fit_memory(config.fit_memory_mb);
        limits.fit_memory_bytes = limits.fit_memory_bytes.min(memory.total());
        let threads = fit_threads(config.fit_threads);
        limits.fit_threads = threads as u64;
        let workers = Pool::start(&store, &boot, config.workers, threads, &memory, measures.clone(), &traces);
        let addr = listener.as_ref().and_then(|listener| listener.local_addr().ok());
        let accepting = listener.zip(addr).map(|(listener, addr)| {
            // webhooks are sent by the servers
            let life = life(&workers, config.workers, &drained, Guard::new(&[]), Arc::default(), &traces);
            let api = Api::new(store.clone(), limits, ambient, addr, &[], life, measures.clone());
            tokio::spawn(listen(listener, api::health_router(api), limits, measures, drained))
        });
        tracing::info!(workers = config.workers, addr = addr.map(tracing::field::display), "working");
        Ok(Self { addr, store, draining, accepting, workers, traces })
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
        self.traces.shutdown().await;
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// Waits for the workers' last writes, within bounds: what they cannot hand back is rescued once its lease is over.
async fn hand_back(workers: Pool) {
    if tokio::time::timeout(HAND_BACK_TIMEOUT, workers.shutdown()).await.is_err() {
        tracing::warn!("some jobs could not be handed back in time");
    }
}

/// Names this life of the process: a claim of another life is a dead worker's.
fn boot_id(ambient: &Ambient) -> String {
    Id::new(Kind::Request, ambient).to_string().replace(Kind::Request.prefix(), "boot_")
}

fn life(
    workers: &Pool,
    wanted: usize,
    draining: &watch::Receiver<bool>,
    webhooks: Guard,
    webhook_outcomes: Arc<Outcomes>,
    traces: &Traces,
) -> Life {
    let (workers_alive, panics, memory_granted) = (workers.alive(), workers.panics(), workers.memory().granted());
    let (draining, traces) = (draining.clone(), traces.clone());
    Life {
        draining,
        workers_wanted: wanted,
        workers_alive,
        panics,
        memory_granted,
        webhooks,
        webhook_outcomes,
        traces,
        promoter: Promoter::new(worker::promote),
    }
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
    StoreConfig { data_dir: data_dir.to_owned(), database_url, lease: LEASE, queue_max: limits.queue_max, quotas: limits.quota }
}
