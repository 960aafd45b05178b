//! The worker with fits made up for the purpose: each test says what the fit does, and looks at what the store holds.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::ambient::{Ambient, Clock};
use crate::config::Limits;
use crate::dataset::{Encoding, Format, Upload, ingest};
use crate::job::{DatasetRef, Job, JobKind, Priority, Progress, Reason, Status, Warning};
use crate::spec;
use crate::store::{Cancellation, DatasetRow, Enqueued, NewJob, StoreConfig};
use crate::trace::Traces;

mod resume;

const P: &str = "default";

/// A clock that stands still until it is moved.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct House {
    store: Store,
    dataset: DatasetRow,
    memory: Memory,
    hands: Arc<Hands>,
    _directory: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        Self::with_lease(Duration::from_secs(3600)).await
    }

    async fn with_lease(lease: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config =
            StoreConfig { data_dir: directory.path().join("data"), database_url: None, lease, queue_max: 100, quotas: Default::default() };
        let hands = Arc::new(Hands(AtomicI64::new(1_800_000_000_000_000)));
        let ambient = Ambient { clock: hands.clone(), ..Ambient::system() };
        let store = Store::open(config, ambient).await.unwrap();
        let incoming = store.incoming().unwrap();
        let upload = Upload {
            format: Format::Libsvm { index_base: 1, n_features: None },
            encoding: Encoding::Identity,
            target_kind: None,
            limits: Limits::default().upload,
        };
        let body = &b"1.5 1:1 2:0.5\n-0.5 1:-1 3:2\n2.25 2:1 3:-1\n0 1:0.25\n"[..];
        let ingested = ingest(body, &upload, incoming.data(), incoming.names(), incoming.scratch()).unwrap();
        let dataset = store.add_dataset(P, "d", incoming, ingested).await.unwrap();
        Self { store, dataset, memory: Memory::of(1000), hands, _directory: directory }
    }

    async fn submit(&self, limits: Value) -> Job {
        self.submit_needing(0, limits).await
    }

    async fn submit_needing(&self, memory_bytes: u64, limits: Value) -> Job {
        self.submit_fit(memory_bytes, json!({"lambda": {"mode": "value", "value": 0.1}, "limits": limits})).await
    }

    /// Each job is a millisecond younger than the one before.
    async fn submit_fit(&self, memory_bytes: u64, spec: Value) -> Job {
        self.hands.0.fetch_add(1000, Ordering::Relaxed);
        let body = json!({"type": "fit", "model": "m", "dataset": {"name": "d"}, "spec": spec});
        let request = spec::parse_job(&serde_json::to_vec(&body).unwrap(), &Limits::default().spec).unwrap();
        let (resolved, warnings) = request.fit().unwrap().resolve(&self.dataset.meta, None).unwrap();
        let dataset = DatasetRef { name: "d".into(), version: self.dataset.version, sha256: self.dataset.meta.sha256.clone() };
        let job = NewJob {
            project: P.into(),
            kind: JobKind::Fit,
            model: request.model,
            dataset,
            priority: Priority::Normal,
            spec: request.spec,
            spec_resolved: serde_json::to_value(resolved).unwrap(),
            estimate: Value::Null,
            metadata: json!({}),
            warnings,
            request_id: "req_1".into(),
            traceparent: None,
            memory_bytes,
            start_within: None,
            retry_of: None,
            webhook: None,
        };
        match self.store.enqueue(job).await.unwrap() {
            Enqueued::Job(job) => *job,
            other => panic!("{other:?}"),
        }
    }

    fn worker(&self, fit: impl Fn(&Dataset, &ResolvedFit, &Run<'_>) -> Result<LinearModel, TrainError> + Send + Sync + 'static) -> Worker {
        Worker { fit: Arc::new(fit), ..Worker::new(&self.store, "worker-1", 1, &self.memory, Arc::default(), &Traces::default()) }
    }

    async fn step(&self, worker: &Worker) -> Worked {
        step(worker, &mut Stopping::never()).await.unwrap()
    }

    async fn job(&self, job: &Job) -> Job {
        self.store.job(P, &job.id).await.unwrap().unwrap()
    }

    /// Waits until the job is as wanted, woken by the hub; a second without a word is enough to look again.
    async fn until(&self, job: &Job, wanted: impl Fn(&Job) -> bool) -> Job {
        let mut watch = self.store.hub().watch_job(&job.id);
        loop {
            let now = self.job(job).await;
            if wanted(&now) {
                return now;
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), watch.changed()).await;
        }
    }
}

/// A fit that goes on until it is told to stop.
fn endless(_: &Dataset, _: &ResolvedFit, run: &Run<'_>) -> Result<LinearModel, TrainError> {
    let mut progress = Progress::default();
    while (run.observe)(&progress) == ControlFlow::Continue(()) {
        progress.fraction = (progress.fraction + 1e-9).min(0.5);
        std::thread::yield_now();
    }
    Err(TrainError::Cancelled)
}

/// A fit whose model says that nothing matters.
fn null_model(dataset: &Dataset, spec: &ResolvedFit, _: &Run<'_>) -> Result<LinearModel, TrainError> {
    let certificate = crate::model::Certificate {
        status: crate::model::CertificateStatus::Certified,
        primal: 0.0,
        dual: Some(0.0),
        gap: Some(0.0),
        relative_gap: Some(0.0),
        tol: spec.solver.tol,
        tol_kind: spec.solver.tol_kind.clone(),
        max_kkt_violation: 0.0,
        kkt_feature: None,
        epochs: 0,
        full_passes: 0.0,
    };
    let card = crate::model::LinearCard {
        loss: "squared".into(),
        classes: None,
        objective: String::new(),
        lambda: 0.1,
        lambda_max: 0.1,
        l1_ratio: 1.0,
        intercept: dataset.y.iter().sum::<f64>() / dataset.y.len() as f64,
        intercepts: None,
        bracket: None,
        equivalents: Value::Null,
        sparsity: crate::model::Sparsity::of(dataset.meta.shape[1], &[], &[], |index| index.to_string()),
        metrics: json!({}),
        selection: None,
        adaptive: None,
        refit: None,
        certificate,
        warnings: vec![Warning { code: "w".into(), detail: "d".into(), features: vec![] }],
        engine: json!({}),
        promoted_from: None,
        distilled: None,
        started_from: None,
    };
    Ok(LinearModel { card, indices: vec![], classes: vec![], values: vec![], path: vec![], cv: None, stability: None })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submitted_job_becomes_a_model_and_then_there_is_nothing_to_do() {
    let house = House::new().await;
    let job = house.submit(json!({})).await;
    let worker = house.worker(null_model);
    assert_eq!(house.step(&worker).await, Worked::Job);
    assert_eq!(house.step(&worker).await, Worked::Idle);
    let ended = house.job(&job).await;
    assert_eq!((ended.status, ended.progress.fraction, ended.warnings.len()), (Status::Succeeded, 1.0, 1));
    let row = house.store.model(P, "m", None).await.unwrap().unwrap();
    assert_eq!(row.job, job.id);
    assert_eq!(house.store.open_model(&row).await.unwrap().model.linear().unwrap().card.intercept, (1.5 - 0.5 + 2.25) / 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_reaches_the_row_while_the_fit_runs() {
    let house = House::new().await;
    let job = house.submit(json!({})).await;
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let worker = house.worker(move |dataset, spec, run| {
        let _ = (run.observe)(&Progress { fraction: 0.5, eta_s: None, ..Progress::default() });
        wait.lock().unwrap().recv().unwrap();
        null_model(dataset, spec, run)
    });
    let ((), worked) = tokio::join!(
        async {
            let seen = house.until(&job, |job| job.progress.fraction == 0.5).await;
            // what is left is the worker's to estimate, by its own clock
            assert!(seen.status == Status::Running && seen.progress.eta_s.is_some_and(|eta| eta < 1.0), "{:?}", seen.progress);
            go.send(()).unwrap();
        },
        house.step(&worker)
    );
    assert_eq!((worked, house.job(&job).await.status), (Worked::Job, Status::Succeeded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_job_is_cancelled_and_leaves_no_model() {
    let house = House::new().await;
    let job = house.submit(json!({})).await;
    let worker = house.worker(endless);
    let ((), worked) = tokio::join!(
        async {
            house.until(&job, |job| job.status == Status::Running).await;
            assert!(matches!(house.store.request_cancel(P, &job.id).await.unwrap(), Cancellation::Asked(_)));
        },
        house.step(&worker)
    );
    let ended = house.job(&job).await;
    assert_eq!((worked, ended.status, ended.reason), (Worked::Job, Status::Cancelled, Some(Reason::User)));
    assert!(house.store.model(P, "m", None).await.unwrap().is_none());
    let queued = house.submit(json!({})).await;
    assert!(matches!(house.store.request_cancel(P, &queued.id).await.unwrap(), Cancellation::Cancelled(_)));
    assert_eq!(house.step(&worker).await, Worked::Idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_tried_three_times_fails_its_job_and_nothing_else() {
    let house = House::new().await;
    let (first, second) = (house.submit(json!({})).await, house.submit(json!({})).await);
    let bad = first.id.clone();
    let panics = house.worker(move |_, _, _| panic!("secret of {bad}"));
    for attempt in 1..3 {
        assert_eq!(house.step(&panics).await, Worked::Job);
        let again = house.job(&first).await;
        assert_eq!((again.status, again.attempt, again.error), (Status::Queued, attempt, None));
        house.hands.0.fetch_add(2_000_000 * attempt, Ordering::Relaxed);
    }
    assert_eq!(house.step(&panics).await, Worked::Job);
    let failed = house.job(&first).await;
    let error = failed.error.unwrap();
    assert_eq!((failed.status, &*error.code, failed.reason), (Status::Failed, "internal_error", Some(Reason::AttemptsExhausted)));
    assert!(error.retryable && !error.detail.contains("secret"), "what a client reads is opaque");
    assert_eq!(house.step(&house.worker(null_model)).await, Worked::Job);
    assert_eq!(house.job(&second).await.status, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_opened_now_is_no_fault_of_the_job() {
    let house = House::new().await;
    let job = house.submit(json!({})).await;
    let blobs = house._directory.path().join("data").join("blobs");
    let file = std::fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path();
    let away = blobs.with_file_name("away");
    std::fs::rename(&file, &away).unwrap();
    std::os::unix::fs::symlink(&file, &file).unwrap();
    assert_eq!(house.step(&house.worker(null_model)).await, Worked::Job);
    assert_eq!(house.job(&job).await.status, Status::Queued);
    std::fs::rename(&away, &file).unwrap();
    house.hands.0.fetch_add(2_000_000, Ordering::Relaxed);
    assert_eq!(house.step(&house.worker(null_model)).await, Worked::Job);
    assert_eq!(house.job(&job).await.status, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fits_run_beside_each_other_only_within_the_memory_granted() {
    let house = House::new().await;
    let first = house.submit_needing(600, json!({})).await;
    let second = house.submit_needing(500, json!({})).await;
    let (busy, other) = (house.worker(endless), house.worker(null_model));
    let ((), worked) = tokio::join!(
        async {
            house.until(&first, |job| job.status == Status::Running).await;
            assert_eq!(house.step(&other).await, Worked::Idle, "500 of 1000 are not free");
            assert_eq!(house.memory.granted().load(Ordering::Relaxed), 600);
            house.store.request_cancel(P, &first.id).await.unwrap();
        },
        house.step(&busy)
    );
    assert_eq!((worked, house.memory.granted().load(Ordering::Relaxed)), (Worked::Job, 0));
    assert_eq!(house.step(&other).await, Worked::Job);
    assert_eq!(house.job(&second).await.status, Status::Succeeded);
    house.submit_needing(1001, json!({})).await;
    assert_eq!(house.step(&other).await, Worked::Idle, "it is for a larger machine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fit_that_cannot_be_done_says_why() {
    let house = House::new().await;
    let job = house.submit(json!({})).await;
    let worker = house.worker(|_, _, _| Err(TrainError::Unfit { code: "invalid_target", detail: "One class only.".into() }));
    house.step(&worker).await;
    let error = house.job(&job).await.error.unwrap();
    assert_eq!((&*error.code, &*error.detail, error.retryable), ("invalid_target", "One class only.", false));

    let job = house.submit(json!({})).await;
    let worker = house.worker(|dataset, spec, run| {
        let mut model = null_model(dataset, spec, run)?;
        model.card.intercept = f64::NAN;
        Ok(model)
    });
    house.step(&worker).await;
    let failed = house.job(&job).await;
    assert_eq!((failed.status, &*failed.error.unwrap().code), (Status::Failed, "numerical_error"), "no NaN is ever stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_limit_ends_the_fit() {
    let house = House::new().await;
    let job = house.submit(json!({"max_runtime_s": 0.05})).await;
    house.step(&house.worker(endless)).await;
    let ended = house.job(&job).await;
    assert_eq!((ended.status, ended.reason), (Status::Failed, Some(Reason::TimeLimit)));
    assert_eq!(ended.error.unwrap().code, "time_limit_exceeded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lost_its_claim_stops_and_stores_nothing() {
    let house = House::with_lease(Duration::ZERO).await;
    let job = house.submit(json!({})).await;
    let worker = house.worker(endless);
    let ((), worked) = tokio::join!(
        async {
            house.until(&job, |job| job.status == Status::Running).await;
            assert_eq!(house.store.rescue(None).await.unwrap(), 1);
        },
        house.step(&worker)
    );
    let queued = house.job(&job).await;
    assert_eq!((worked, queued.status, queued.attempt), (Worked::Job, Status::Queued, 1));
    house.step(&house.worker(null_model)).await;
    let ended = house.job(&job).await;
    assert_eq!((ended.status, ended.attempt), (Status::Succeeded, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_works_what_is_queued_and_hands_back_what_runs_when_it_stops() {
    let house = House::new().await;
    let pool = Pool::of(&house.worker(null_model), 2);
    let jobs = [house.submit(json!({})).await, house.submit(json!({})).await, house.submit(json!({})).await];
    for job in &jobs {
        house.until(job, |job| job.status == Status::Succeeded).await;
    }
    pool.shutdown().await;

    let pool = Pool::of(&house.worker(endless), 1);
    let job = house.submit(json!({})).await;
    house.until(&job, |job| job.status == Status::Running).await;
    pool.shutdown().await;
    let back = house.job(&job).await;
    assert_eq!((back.status, back.attempt, back.started_at), (Status::Queued, 0, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_dataset_fails_its_job() {
    let house = House::new().await;
    let job = house.submit(json!({})).await;
    let blobs = house._directory.path().join("data").join("blobs");
    let file = std::fs::read_dir(&blobs).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    house.step(&house.worker(null_model)).await;
    assert_eq!(house.job(&job).await.error.unwrap().code, "artifact_corrupt");
}
