//! What is measured, in a registry of its own: a value that each server hands to its rooms, nothing global, and no label
//! that a client can choose. Knows neither HTTP nor jobs: it is told plain words and numbers.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Requests and predictions, in seconds.
const SHORT: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// Jobs, in seconds.
const LONG: [f64; 14] = [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];
/// Relative duality gaps.
const GAPS: [f64; 8] = [1e-12, 1e-10, 1e-8, 1e-7, 1e-6, 1e-4, 1e-2, 1.0];
/// Non-zero coefficients.
const COUNTS: [f64; 8] = [0.0, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];

type Number = Gauge<i64, AtomicI64>;
type Count = Counter<u64, AtomicU64>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    r#type: String,
    status: &'static str,
}

/// Label of an attempt to send a webhook message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// All measures of one server.
#[derive(Debug)]
pub struct Measures {
    registry: Registry,
    requests: Histograms<RequestLabels>,
    connections: Number,
    jobs_queued: Number,
    jobs_running: Number,
    job_queue: Histogram,
    jobs: Histograms<JobLabels>,
    worker_busy: Number,
    writes_fenced: Count,
    jobs_rescued: Count,
    files_swept: Count,
    sweeps: Count,
    fit_gap: Histogram,
    fit_nonzeros: Histogram,
    predict_rows: Count,
    predict_unknown: Count,
    predict_seconds: Histogram,
    store_bytes: Number,
    memory_budget: Number,
    memory_granted: Number,
    webhook_deliveries: Family<OutcomeLabel, Count>,
}

/// What the store answers when it is asked, for all processes that share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Jobs waiting.
    pub queued: u64,
    /// Jobs being worked.
    pub running: u64,
    /// Bytes of data sets and models.
    pub bytes: u64,
}

impl Default for Measures {
    fn default() -> Self {
        let mut measures = Self {
            registry: Registry::default(),
            requests: Family::new_with_constructor(|| Histogram::new(SHORT)),
            connections: Number::default(),
            jobs_queued: Number::default(),
            jobs_running: Number::default(),
            job_queue: Histogram::new(LONG),
            jobs: Family::new_with_constructor(|| Histogram::new(LONG)),
            worker_busy: Number::default(),
            writes_fenced: Count::default(),
            jobs_rescued: Count::default(),
            files_swept: Count::default(),
            sweeps: Count::default(),
            fit_gap: Histogram::new(GAPS),
            fit_nonzeros: Histogram::new(COUNTS),
            predict_rows: Count::default(),
            predict_unknown: Count::default(),
            predict_seconds: Histogram::new(SHORT),
            store_bytes: Number::default(),
            memory_budget: Number::default(),
            memory_granted: Number::default(),
            webhook_deliveries: Family::default(),
        };
        measures.register();
        measures
    }
}

impl Measures {
    /// Counters lose a `_total` here and get it back on the page.
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("http_request_duration_seconds", "Time from head to answer, by route", self.requests.clone());
        registry.register("http_connections", "Connections open now", self.connections.clone());
        registry.register("jobs_queued", "Jobs waiting in the store; the same from every process", self.jobs_queued.clone());
        registry.register("jobs_running", "Jobs being worked; the same from every process", self.jobs_running.clone());
        registry.register("job_queue_seconds", "Time a job waited for its first start", self.job_queue.clone());
        registry.register("job_duration_seconds", "Time from a job's last start to its end", self.jobs.clone());
        registry.register("worker_busy", "Workers of this process with a job", self.worker_busy.clone());
        registry.register("writes_fenced", "Writes of workers refused because the claim was lost", self.writes_fenced.clone());
        registry.register("jobs_rescued", "Jobs taken from dead workers", self.jobs_rescued.clone());
        registry.register("sweeps", "Searches for files without a row", self.sweeps.clone());
        registry.register("files_swept", "Files without a row that were removed", self.files_swept.clone());
        registry.register("fit_relative_gap", "Relative duality gap of finished fits", self.fit_gap.clone());
        registry.register("fit_nonzeros", "Non-zero coefficients of finished fits", self.fit_nonzeros.clone());
        registry.register("predict_rows", "Rows predicted", self.predict_rows.clone());
        registry.register("predict_unknown_features", "Features in rows that the model does not know", self.predict_unknown.clone());
        registry.register("predict_duration_seconds", "Time of one prediction request", self.predict_seconds.clone());
        registry.register("store_bytes", "Bytes of data sets and models; the same from every process", self.store_bytes.clone());
        registry.register("memory_budget_bytes", "Memory that fits of this process may take together", self.memory_budget.clone());
        registry.register("memory_granted_bytes", "Memory granted to fits of this process", self.memory_granted.clone());
        registry.register("webhook_deliveries", "Attempts to send webhook messages, by what came of them", self.webhook_deliveries.clone());
    }

    /// A request was answered. `route` is a template, never a path.
    pub fn request(&self, route: &str, method: &str, status: u16, took: Duration) {
        let labels = RequestLabels { route: route.to_owned(), method: known_method(method), status };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A connection is open until what is returned is dropped.
    pub fn connection(&self) -> Open {
        Open::of(&self.connections)
    }

    /// A worker is busy until what is returned is dropped.
    pub fn busy(&self) -> Open {
        Open::of(&self.worker_busy)
    }

    /// A job starts for the first time, after it waited so long.
    pub fn job_waited(&self, seconds: f64) {
        self.job_queue.observe(seconds);
    }

    /// A job ended; `kind` and `status` are words of the contract.
    pub fn job_ended(&self, kind: &str, status: &'static str, seconds: f64) {
        self.jobs.get_or_create(&JobLabels { r#type: kind.to_owned(), status }).observe(seconds);
    }

    /// A fit brought a model.
    pub fn fit(&self, relative_gap: Option<f64>, nonzeros: u64) {
        if let Some(gap) = relative_gap {
            self.fit_gap.observe(gap);
        }
        self.fit_nonzeros.observe(nonzeros as f64);
    }

    /// A worker's write was refused.
    pub fn write_fenced(&self) {
        self.writes_fenced.inc();
    }

    /// Jobs of dead workers were rescued.
    pub fn rescued(&self, jobs: u64) {
        self.jobs_rescued.inc_by(jobs);
    }

    /// Left-over files were looked for, and so many removed.
    pub fn swept(&self, files: u64) {
        self.sweeps.inc();
        self.files_swept.inc_by(files);
    }

    /// What the fits of this process may take together, and what is granted to them now.
    pub fn memory(&self, budget: u64, granted: u64) {
        set(&self.memory_budget, budget);
        set(&self.memory_granted, granted);
    }

    /// A prediction was answered.
    pub fn prediction(&self, rows: u64, unknown: u64, took: Duration) {
        self.predict_rows.inc_by(rows);
        self.predict_unknown.inc_by(unknown);
        self.predict_seconds.observe(took.as_secs_f64());
    }

    /// The whole page, in the OpenMetrics text format. `webhooks` counts attempts by what came of them.
    pub fn page(&self, store: StoreFigures, webhooks: &[(&'static str, u64)]) -> String {
        for &(outcome, count) in webhooks {
            self.webhook_deliveries.get_or_create(&OutcomeLabel { outcome }).inner().store(count, Ordering::Relaxed);
        }
        set(&self.jobs_queued, store.queued);
        set(&self.jobs_running, store.running);
        set(&self.store_bytes, store.bytes);
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn set(gauge: &Number, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

/// Counts in a gauge until it is dropped.
#[derive(Debug)]
pub struct Open(Number);

impl Open {
    fn of(gauge: &Number) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Methods are chosen by clients; only known ones become labels.
pub fn known_method(method: &str) -> &'static str {
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|known| *known == method).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_counted_until_it_is_dropped() {
        let measures = Measures::default();
        let (first, second) = (measures.connection(), measures.connection());
        drop(first);
        assert!(measures.page(StoreFigures::default(), &[]).contains("http_connections 1\n"));
        drop(second);
        assert!(measures.page(StoreFigures::default(), &[]).contains("http_connections 0\n"));
    }

    #[test]
    fn a_method_nobody_knows_makes_no_label_of_its_own() {
        let measures = Measures::default();
        for method in ["BREW", "WHEN", "GET"] {
            measures.request("/livez", method, 405, Duration::ZERO);
        }
        let page = measures.page(StoreFigures::default(), &[]);
        assert!(page.contains("method=\"other\"") && page.contains("method=\"GET\"") && !page.contains("BREW"), "{page}");
    }
}
