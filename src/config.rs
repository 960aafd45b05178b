//! Every knob and every limit of the server, in one struct: defaults < environment < flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::access::Quotas;
use crate::dataset::IngestLimits;
use crate::model::PredictLimits;
use crate::spec::SpecLimits;
use crate::trace::Endpoint;
use crate::webhook::Net;

/// Options of `sparsefit serve`; each is also `SPARSEFIT_<NAME>` in the environment.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Address to listen on; port 0 takes any free one.
    #[arg(long, env = "SPARSEFIT_LISTEN", default_value = "127.0.0.1:7878")]
    pub listen: SocketAddr,
    /// Directory for everything that is stored.
    #[arg(long, env = "SPARSEFIT_DATA_DIR", default_value = "./sparsefit-data")]
    pub data_dir: PathBuf,
    /// `postgres://…`; absent = SQLite in the data directory.
    #[arg(long, env = "SPARSEFIT_DATABASE_URL")]
    pub database_url: Option<String>,
    /// Jobs worked at once; 0 = none in this process.
    #[arg(long, env = "SPARSEFIT_WORKERS", default_value_t = 1)]
    pub workers: usize,
    /// Threads of one fit; 0 = the machine's cores.
    #[arg(long, env = "SPARSEFIT_FIT_THREADS", default_value_t = 0)]
    pub fit_threads: usize,
    /// Memory that all fits of this process may take together, MiB; absent = three quarters of the machine's, or of the
    /// control group's.
    #[arg(long, env = "SPARSEFIT_FIT_MEMORY_MB")]
    pub fit_memory_mb: Option<u64>,
    /// Serve beyond loopback although nobody needs a key.
    #[arg(long, env = "SPARSEFIT_INSECURE_NO_AUTH")]
    pub insecure_no_auth: bool,
    /// Further names by which clients reach this server (`Host`).
    #[arg(long, env = "SPARSEFIT_HOSTS", value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// Requests a second that one key (or, while no key exists, one address) may send; 0 = any number.
    #[arg(long, env = "SPARSEFIT_REQUESTS_PER_SECOND", default_value_t = REQUESTS_PER_SECOND)]
    pub requests_per_second: u64,
    /// Networks that webhooks may reach besides the public internet, over http too: `10.1.0.0/16,fd00::/8`.
    #[arg(long, env = "SPARSEFIT_WEBHOOK_ALLOW_NET", value_delimiter = ',')]
    pub webhook_allow_net: Vec<Net>,
    /// What each project may have at once.
    #[command(flatten)]
    pub quotas: QuotaOptions,
    /// Base address of an OTLP collector to which spans are sent over HTTP, as `http://collector:4318`; absent = none are made.
    #[arg(long, env = "SPARSEFIT_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<Endpoint>,
    /// Log as JSON lines.
    #[arg(long, env = "SPARSEFIT_LOG_JSON")]
    pub log_json: bool,
    /// Most verbose level logged: error, warn, info, debug, trace.
    #[arg(long, env = "SPARSEFIT_LOG", default_value = "info")]
    pub log: String,
}

/// What each project may have at once.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct QuotaOptions {
    /// Jobs of one project that wait.
    #[arg(long = "quota-queued-jobs", env = "SPARSEFIT_QUOTA_QUEUED_JOBS", default_value_t = QUEUE_MAX)]
    pub queued_jobs: u64,
    /// Bytes of stored data sets and models of one project.
    #[arg(long = "quota-stored-bytes", env = "SPARSEFIT_QUOTA_STORED_BYTES", default_value_t = Quotas::default().stored_bytes)]
    pub stored_bytes: u64,
    /// Data set versions of one project.
    #[arg(long = "quota-datasets", env = "SPARSEFIT_QUOTA_DATASETS", default_value_t = Quotas::default().datasets)]
    pub datasets: u64,
    /// Model versions of one project.
    #[arg(long = "quota-models", env = "SPARSEFIT_QUOTA_MODELS", default_value_t = Quotas::default().models)]
    pub models: u64,
    /// Uploads of one project at once.
    #[arg(long = "quota-uploads", env = "SPARSEFIT_QUOTA_UPLOADS", default_value_t = Quotas::default().uploads)]
    pub uploads: u64,
}

impl QuotaOptions {
    fn quota(self) -> Quotas {
        let Self { stored_bytes, datasets, models, uploads, .. } = self;
        Quotas { stored_bytes, datasets, models, uploads }
    }
}

impl Default for QuotaOptions {
    fn default() -> Self {
        let Quotas { stored_bytes, datasets, models, uploads } = Quotas::default();
        Self { queued_jobs: QUEUE_MAX, stored_bytes, datasets, models, uploads }
    }
}

/// Options of `sparsefit worker`; each is also `SPARSEFIT_<NAME>` in the environment.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkerConfig {
    /// Address for `/livez`, `/readyz` and `/metrics`; absent = none. Port 0 takes any free one.
    #[arg(long, env = "SPARSEFIT_WORKER_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Directory for everything that is stored; the same for all processes of one database.
    #[arg(long, env = "SPARSEFIT_DATA_DIR", default_value = "./sparsefit-data")]
    pub data_dir: PathBuf,
    /// `postgres://…`, the same for all processes.
    #[arg(long, env = "SPARSEFIT_DATABASE_URL")]
    pub database_url: Option<String>,
    /// Jobs worked at once.
    #[arg(long, env = "SPARSEFIT_WORKERS", default_value_t = 1)]
    pub workers: usize,
    /// Threads of one fit; 0 = the machine's cores.
    #[arg(long, env = "SPARSEFIT_FIT_THREADS", default_value_t = 0)]
    pub fit_threads: usize,
    /// Memory that all fits of this process may take together, MiB; absent = three quarters of the machine's, or of the
    /// control group's.
    #[arg(long, env = "SPARSEFIT_FIT_MEMORY_MB")]
    pub fit_memory_mb: Option<u64>,
    /// Base address of an OTLP collector to which spans are sent over HTTP, as `http://collector:4318`; absent = none are made.
    #[arg(long, env = "SPARSEFIT_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<Endpoint>,
    /// Log as JSON lines.
    #[arg(long, env = "SPARSEFIT_LOG_JSON")]
    pub log_json: bool,
    /// Most verbose level logged: error, warn, info, debug, trace.
    #[arg(long, env = "SPARSEFIT_LOG", default_value = "info")]
    pub log: String,
}

/// Bounds, printed at start and served at `/api/v1/limits`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Limits {
    pub upload: IngestLimits,
    pub upload_encoded_bytes: u64,
    pub json_bytes: u64,
    pub predict_bytes: u64,
    pub predict: PredictLimits,
    pub spec: SpecLimits,
    pub queue_max: u64,
    /// Threads of a fit in this process.
    pub fit_threads: u64,
    /// Of each project.
    pub quota: Quotas,
    /// Memory that a fit can be granted at most; no more than the process has for all its fits.
    pub fit_memory_bytes: u64,
    /// Idempotency keys of a project at a time.
    pub idempotency_keys: u64,
    pub connections: u64,
    /// Below `connections`, so that one address never has all of them.
    pub connections_per_address: u64,
    pub header_bytes: u64,
    /// Event streams open at once.
    pub streams: u64,
    pub page_max: u64,
    /// Of one key, or of one address while no key exists; 0 = any number.
    pub requests_per_second: u64,
    /// Wrong keys from one address; more are not looked at.
    pub auth_failures_per_minute: u64,
    /// Memory for models kept ready to predict.
    pub model_cache_bytes: u64,
    pub time: TimeLimits,
}

/// How long a client may take for what it does, and the server to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TimeLimits {
    /// A head must be here whole within this time.
    pub head_ms: u64,
    /// A connection may be idle this long between two requests.
    pub idle_ms: u64,
    /// A body may take this long beyond what its bytes take at the lowest rate.
    pub body_grace_ms: u64,
    /// The lowest rate of a body, and of a client that reads an answer.
    pub body_bytes_per_s: u64,
    /// No side may pause longer than this in the middle of a body.
    pub pause_ms: u64,
    /// A request may take this long, beyond the wait it asks for.
    pub request_ms: u64,
    /// An upload may take this long.
    pub upload_ms: u64,
    /// After the word to stop, the server still listens and says so for this long.
    pub linger_ms: u64,
    /// Then requests in flight have this long to end.
    pub drain_ms: u64,
}

impl TimeLimits {
    /// See `linger_ms`.
    pub fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }

    /// See `drain_ms`.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms)
    }
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            head_ms: 10_000,
            idle_ms: 75_000,
            body_grace_ms: 10_000,
            body_bytes_per_s: 1024,
            pause_ms: 30_000,
            request_ms: 30_000,
            upload_ms: 3_600_000,
            linger_ms: 500,
            drain_ms: 7000,
        }
    }
}

/// More than one process answers: a bound on accidents until an operator sets a lower one.
const REQUESTS_PER_SECOND: u64 = 100_000;
/// Jobs of one project that wait.
const QUEUE_MAX: u64 = 10_000;
const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

impl Config {
    /// The bounds, with those set by options.
    pub fn limits(&self) -> Limits {
        let queue_max = self.quotas.queued_jobs;
        Limits { requests_per_second: self.requests_per_second, queue_max, quota: self.quotas.quota(), ..Limits::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            upload: IngestLimits {
                decoded_bytes: 4 * GIB,
                rows: 10_000_000,
                nnz: 2_000_000_000,
                index_max: (1 << 31) - 1,
                line_bytes: 64 * MIB,
                number_bytes: 64,
                sort_memory_bytes: 8 * MIB,
                room_bytes: u64::MAX,
            },
            upload_encoded_bytes: GIB,
            json_bytes: 8 * MIB,
            predict_bytes: 64 * MIB,
            predict: PredictLimits { rows: 100_000, row_nnz: 1_000_000, index_max: (1 << 31) - 1 },
            spec: SpecLimits { path_values: 10_000, folds: 1000, max_epochs: 1_000_000_000, max_runtime_s: 30.0 * 86_400.0 },
            queue_max: QUEUE_MAX,
            quota: Quotas::default(),
            fit_threads: 1,
            fit_memory_bytes: u64::MAX,
            idempotency_keys: 10_000,
            connections: 4096,
            connections_per_address: 3072,
            header_bytes: 32 * 1024,
            streams: 256,
            page_max: 1000,
            requests_per_second: REQUESTS_PER_SECOND,
            auth_failures_per_minute: 20,
            model_cache_bytes: 256 * MIB,
            time: TimeLimits::default(),
        }
    }
}
