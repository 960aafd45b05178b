//! What every handler may use: one small struct behind one pointer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Mutex, Semaphore, watch};

use super::datasets::uploads::Uploads;
use super::door::auth::Gate;
use super::door::rates::Rates;
use super::error::Problem;
use super::models::cache::ModelCache;
use super::models::promotions::Promoter;
use super::wire::idempotency::InFlight;
use super::wire::page::List;
use super::wire::request::Caller;
use crate::ambient::Ambient;
use crate::config::Limits;
use crate::measure::{Measures, StoreFigures};
use crate::store::Store;
use crate::trace::Traces;
use crate::webhook::{Guard, Outcomes};

/// Each may look at as much of a data set as a picture takes.
const DRAWN_AT_ONCE: usize = 2;
const FIGURES_KEPT: Duration = Duration::from_secs(5);

/// The state of the API, shared by all requests.
#[derive(Clone, Debug)]
pub struct Api(Arc<Shared>);

/// See [`Api`].
#[derive(Debug)]
pub struct Shared {
    pub(crate) store: Store,
    pub(crate) limits: Limits,
    pub(crate) ambient: Ambient,
    pub(crate) models: ModelCache,
    pub(crate) measures: Arc<Measures>,
    pub(crate) hosts: Hosts,
    pub(crate) gate: Gate,
    pub(crate) uploads: Uploads,
    pub(crate) life: Life,
    pub(crate) in_flight: InFlight,
    pub(crate) openapi: Bytes,
    /// Held while a point of a path becomes a model.
    pub(crate) promoting: Mutex<()>,
    /// Places for pictures being drawn.
    pub(crate) drawing: Arc<Semaphore>,
    /// Places for event streams.
    pub(crate) streams: Arc<Semaphore>,
    figures: Mutex<Option<(Instant, StoreFigures)>>,
}

impl std::ops::Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Api {
    /// The state for a server that is reached at `addr` and by `hosts`.
    pub fn new(
        store: Store,
        limits: Limits,
        ambient: Ambient,
        addr: SocketAddr,
        hosts: &[String],
        life: Life,
        measures: Arc<Measures>,
    ) -> Self {
        Self(Arc::new(Shared {
            store,
            limits,
            ambient,
            models: ModelCache::new(limits.model_cache_bytes),
            measures,
            hosts: Hosts::new(addr, hosts),
            uploads: Uploads::default(),
            gate: Gate::new(&super::routes(), Rates::new(limits.requests_per_second, limits.auth_failures_per_minute)),
            life,
            streams: Arc::new(Semaphore::new(usize::try_from(limits.streams).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS))),
            promoting: Mutex::default(),
            drawing: Arc::new(Semaphore::new(DRAWN_AT_ONCE)),
            in_flight: InFlight::default(),
            openapi: super::operations::openapi_json(),
            figures: Mutex::default(),
        }))
    }

    /// The list called `name` of the caller's project, as its cursors know it.
    pub(crate) fn list(&self, caller: &Caller, name: &str) -> List {
        List::new(self.store.secret(), caller.project(), name)
    }

    /// What the store says of itself, asked at most every few seconds however often the page of measures is read.
    pub(crate) async fn figures(&self) -> Result<StoreFigures, Problem> {
        let mut known = self.figures.lock().await;
        if let Some((_, figures)) = known.filter(|(since, _)| since.elapsed() < FIGURES_KEPT) {
            return Ok(figures);
        }
        let (queue, bytes) = (self.store.queue_counts().await?, self.store.bytes().await?);
        let figures = StoreFigures { queued: queue.queued, running: queue.running, bytes };
        *known = Some((Instant::now(), figures));
        Ok(figures)
    }
}

/// A process in which one loop died this often had better be started again.
const PANICS_MAX: usize = 5;

/// What the composition root lets the API know of the process.
#[derive(Clone, Debug)]
pub struct Life {
    /// Turns true when the server stops admitting work.
    pub draining: watch::Receiver<bool>,
    /// Workers wanted in this process.
    pub workers_wanted: usize,
    /// Workers alive in this process.
    pub workers_alive: Arc<AtomicUsize>,
    /// Bytes granted to fits in this process.
    pub memory_granted: Arc<AtomicU64>,
    /// How often that background loop of this process panicked which did so most.
    pub panics: Arc<AtomicUsize>,
    /// Whom webhooks may reach.
    pub webhooks: Guard,
    /// What came of sending them.
    pub webhook_outcomes: Arc<Outcomes>,
    /// Where spans go.
    pub traces: Traces,
    /// Who makes models of points of a path.
    pub promoter: Promoter,
}

impl Life {
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    pub(crate) fn workers_ok(&self) -> bool {
        self.workers_alive.load(Ordering::Relaxed) >= self.workers_wanted
    }

    pub(crate) fn is_well(&self) -> bool {
        self.panics.load(Ordering::Relaxed) < PANICS_MAX
    }

    /// Resolves when the server begins to stop.
    pub(crate) async fn drained(&self) {
        let mut draining = self.draining.clone();
        // An error means that the composition root is gone, which is a stop as well.
        let _ = draining.wait_for(|draining| *draining).await;
    }
}

/// The names by which this server may be addressed; anything else is somebody else's page reaching for loopback.
#[derive(Debug)]
pub(crate) struct Hosts {
    ip: IpAddr,
    names: Vec<String>,
}

impl Hosts {
    fn new(addr: SocketAddr, hosts: &[String]) -> Self {
        Self { ip: addr.ip(), names: hosts.iter().map(|host| host.to_ascii_lowercase()).collect() }
    }

    /// Whether `authority` (`name`, `name:port`, `[v6]:port`) is this server. The port is not compared: it may be
    /// mapped, and a foreign page cannot choose the name.
    pub(crate) fn allow(&self, authority: &str) -> bool {
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
            None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        };
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        if host == "localhost" || self.names.contains(&host) {
            return true;
        }
        // Names can be rebound to our address, addresses cannot: any address is ours when we listen on all.
        host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip == self.ip || self.ip.is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_the_own_address_and_given_names_are_this_server() {
        let hosts = Hosts::new("127.0.0.1:7878".parse().expect("an address"), &["Fits.Example".to_owned()]);
        for good in ["localhost", "LOCALHOST:1", "127.0.0.1:7878", "[::1]:80", "fits.example", "fits.example:80"] {
            assert!(hosts.allow(good), "{good}");
        }
        for bad in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[", "localhost.evil:80"] {
            assert!(!hosts.allow(bad), "{bad}");
        }
    }
}
