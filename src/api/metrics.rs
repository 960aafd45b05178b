//! What is measured, in a registry of its own: nothing global, no label that a client can choose.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::store::QueueCounts;

const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    method: &'static str,
    status: u16,
}

/// Label of an attempt to send a webhook message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// All measures of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    jobs_queued: Gauge<i64, AtomicI64>,
    jobs_running: Gauge<i64, AtomicI64>,
    memory_budget: Gauge<i64, AtomicI64>,
    memory_granted: Gauge<i64, AtomicI64>,
    predict_rows: Counter<u64, AtomicU64>,
    predict_unknown: Counter<u64, AtomicU64>,
    predict_seconds: Histogram,
    webhook_deliveries: Family<OutcomeLabel, Counter<u64, AtomicU64>>,
    /// Connections open now.
    pub connections: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            jobs_queued: Gauge::default(),
            jobs_running: Gauge::default(),
            memory_budget: Gauge::default(),
            memory_granted: Gauge::default(),
            predict_rows: Counter::default(),
            predict_unknown: Counter::default(),
            predict_seconds: Histogram::new(SECONDS),
            webhook_deliveries: Family::default(),
            connections: Gauge::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("http_request_duration_seconds", "Time from head to answer, by route", self.requests.clone());
        registry.register("http_connections", "Connections open now", self.connections.clone());
        registry.register("jobs_queued", "Jobs waiting in the store", self.jobs_queued.clone());
        registry.register("jobs_running", "Jobs being worked", self.jobs_running.clone());
        registry.register("memory_budget_bytes", "Memory that fits may take in this process", self.memory_budget.clone());
        registry.register("memory_granted_bytes", "Memory granted to fits of this process", self.memory_granted.clone());
        registry.register("predict_rows", "Rows predicted", self.predict_rows.clone());
        registry.register(
            "predict_unknown_features",
            "Features in prediction rows that the model does not know",
            self.predict_unknown.clone(),
        );
        registry.register("predict_duration_seconds", "Time of one prediction request", self.predict_seconds.clone());
        registry.register("webhook_deliveries", "Attempts to send webhook messages, by what came of them", self.webhook_deliveries.clone());
    }

    /// A request was answered. `route` is a template, never a path.
    pub(crate) fn request(&self, route: &str, method: &axum::http::Method, status: u16, took: Duration) {
        let labels = RequestLabels { route: route.to_owned(), method: known_method(method), status };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A prediction was answered.
    pub(crate) fn prediction(&self, rows: u64, unknown: u64, took: Duration) {
        self.predict_rows.inc_by(rows);
        self.predict_unknown.inc_by(unknown);
        self.predict_seconds.observe(took.as_secs_f64());
    }

    /// What fits may take, and what is granted to them now.
    pub(crate) fn memory(&self, budget: u64, granted: u64) {
        self.memory_budget.set(i64::try_from(budget).unwrap_or(i64::MAX));
        self.memory_granted.set(i64::try_from(granted).unwrap_or(i64::MAX));
    }

    /// The whole page, in the OpenMetrics text format.
    pub(crate) fn page(&self, queue: QueueCounts, webhooks: &[(&'static str, u64)]) -> String {
        for &(outcome, count) in webhooks {
            self.webhook_deliveries.get_or_create(&OutcomeLabel { outcome }).inner().store(count, Ordering::Relaxed);
        }
        self.jobs_queued.set(i64::try_from(queue.queued).unwrap_or(i64::MAX));
        self.jobs_running.set(i64::try_from(queue.running).unwrap_or(i64::MAX));
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Methods are chosen by clients; only known ones become labels.
fn known_method(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}
