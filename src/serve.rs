//! The composition root: open the store, start the workers, serve, drain. Listener, clock and randomness are
//! arguments; nothing is static, so a process can hold many servers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ambient::Ambient;
use crate::api::{self, Api, Life};
use crate::config::{Config, Limits};
use crate::id::{Id, Kind};
use crate::listen::listen;
use crate::measure::Measures;
use crate::process;
use crate::store::{Store, StoreConfig, StoreError};
use crate::webhook::{Couriers, Guard, Sender};
use crate::worker::Pool;

/// A claim lives this long without a heartbeat.
const LEASE: Duration = Duration::from_secs(10);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Anyone on the network could do anything.
    #[error("refusing to listen on {0} without keys; pass --insecure-no-auth to do so all the same")]
    Exposed(SocketAddr),
    /// The address cannot be listened on.
    #[error("listening on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
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
    pub async fn start_on(listener: TcpListener, config: &Config, limits: Limits, ambient: Ambient) -> Result<Self, StartError> {
        let limits = Limits { connections: limits.connections.min(process::connections_possible()), ..limits };
        let addr = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
        let store = Store::open(store_config(config, &limits), ambient.clone()).await?;
        let measures = Arc::new(Measures::default());
        let (draining, drained) = watch::channel(false);
        // Names this life of the process: a claim of another life is a dead worker's.
        let owner = Id::new(Kind::Request, &ambient).to_string().replace(Kind::Request.prefix(), "boot_");
        let workers = Pool::start(&store, &owner, config.workers, fit_threads(config.fit_threads), measures.clone());
        let webhooks = Guard::new(&config.webhook_allow_net);
        let couriers = Couriers::start(&store, Sender::new(webhooks.clone()));
        let life = Life {
            draining: drained.clone(),
            workers_wanted: config.workers,
            workers_alive: workers.alive(),
            webhooks,
            webhook_outcomes: couriers.outcomes(),
        };
        let api = Api::new(store.clone(), limits, ambient, addr, &config.hosts, life, measures.clone());
        let accepting = tokio::spawn(listen(listener, api::router(api), limits, measures, drained));
        tracing::info!(%addr, ?limits, "serving");
        Ok(Self { addr, store, draining, accepting, workers, couriers })
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
        let (accepting, (), ()) = tokio::join!(self.accepting, self.workers.shutdown(), self.couriers.shutdown());
        if let Err(error) = accepting {
            tracing::error!(%error, "the accept loop failed");
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// 0 = all cores.
fn fit_threads(asked: usize) -> usize {
    if asked > 0 { asked } else { std::thread::available_parallelism().map_or(1, usize::from) }
}

fn store_config(config: &Config, limits: &Limits) -> StoreConfig {
    StoreConfig { data_dir: config.data_dir.clone(), database_url: config.database_url.clone(), lease: LEASE, queue_max: limits.queue_max }
}
