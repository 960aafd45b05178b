//! What the tests live in: a store in a temporary directory, and small things to put into it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sparsefit::ambient::Ambient;
use sparsefit::config::Limits;
use sparsefit::dataset::{Encoding, Format, Ingested, Meta, RowNnz, Statistics, Target, TargetKind, Upload, ingest};
use sparsefit::id::{Id, Kind};
use sparsefit::job::{DatasetRef, Job, JobKind, Priority, Warning};
use sparsefit::model::{Certificate, CertificateStatus, LinearCard, LinearModel, Model, PathRow, Sparsity};
use sparsefit::store::{Claim, DatasetRow, Enqueued, Incoming, NewJob, Store, StoreConfig, StoreError};

use crate::fixture::{self, Database};

/// The project of most rows.
pub(crate) const P: &str = "default";

/// A temporary directory, and on PostgreSQL a database.
pub(crate) struct House {
    directory: tempfile::TempDir,
    database: Option<Database>,
}

impl House {
    pub(crate) fn sqlite() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), database: None }
    }

    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self { database: Some(fixture::fresh().await?), ..Self::sqlite() })
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Address of the PostgreSQL database; `None` on SQLite.
    pub(crate) fn url(&self) -> Option<&str> {
        self.database.as_ref().map(|database| database.url.as_str())
    }

    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig { database_url: self.url().map(str::to_owned), ..config_of(&self.data_dir()) }
    }

    pub(crate) async fn try_open(&self) -> Result<Store, StoreError> {
        Store::open(self.config(), Ambient::system()).await
    }

    /// A store whose claims live for an hour.
    pub(crate) async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    /// A store whose claims have run out as soon as they are made.
    pub(crate) async fn open_without_lease(&self) -> Store {
        Store::open(StoreConfig { lease: Duration::ZERO, ..self.config() }, Ambient::system()).await.unwrap()
    }

    /// Names in the directory of files.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.data_dir().join("blobs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

/// A store on SQLite whose claims live for an hour.
pub(crate) fn config_of(data_dir: &Path) -> StoreConfig {
    StoreConfig {
        data_dir: data_dir.to_owned(),
        database_url: None,
        lease: Duration::from_secs(3600),
        queue_max: 1000,
        quotas: Default::default(),
    }
}

/// An upload of a few bytes that nobody will read, with or without names.
pub(crate) async fn add_dataset(store: &Store, project: &str, name: &str, named: bool) -> DatasetRow {
    try_add_dataset(store, project, name, named).await.unwrap()
}

pub(crate) async fn try_add_dataset(store: &Store, project: &str, name: &str, named: bool) -> Result<DatasetRow, StoreError> {
    let (incoming, ingested) = ingested(store, named);
    store.add_dataset(project, name, incoming, ingested).await
}

/// The files of such an upload, before they have a row.
pub(crate) fn ingested(store: &Store, named: bool) -> (Incoming, Ingested) {
    let incoming = store.incoming().unwrap();
    incoming.data().write_all(b"some bytes").unwrap();
    if named {
        incoming.names().write_all(b"names").unwrap();
    }
    std::fs::write(incoming.scratch().join("run"), b"sorted").unwrap();
    (incoming, Ingested { meta: meta(10), names_sha256: named.then(|| "00".repeat(32)) })
}

/// A small regression with feature names, parsed and stored as an upload is.
pub(crate) async fn upload(store: &Store, name: &str) -> DatasetRow {
    let body = br#"{"format": "dense", "feature_names": ["age", "price"], "values": [[1, 0], [0, 2], [3, 4]], "y": [0.5, 1.5, 2.5]}"#;
    let incoming = store.incoming().unwrap();
    let limits = Limits::default().upload;
    let upload = Upload { format: Format::Json, encoding: Encoding::Identity, target_kind: None, limits };
    let ingested = ingest(&body[..], &upload, incoming.data(), incoming.names(), incoming.scratch()).unwrap();
    store.add_dataset(P, name, incoming, ingested).await.unwrap()
}

fn meta(stored_bytes: u64) -> Meta {
    Meta {
        shape: [3, 5],
        nnz: 7,
        stored_columns: 4,
        dtype: "f64".into(),
        stored_bytes,
        target: Target { name: "y".into(), kind: TargetKind::Regression, classes: None, counts: None },
        statistics: Statistics { empty_rows: 0, empty_columns: 1, constant_columns: 0, row_nnz: RowNnz::default() },
        named: false,
        weighted: false,
        offset: false,
        sha256: "ab".repeat(32),
        upload_sha256: "cd".repeat(32),
    }
}

pub(crate) fn new_job(dataset: &DatasetRow, model: &str) -> NewJob {
    let named = DatasetRef { name: dataset.name.clone(), version: dataset.version, sha256: dataset.meta.sha256.clone() };
    NewJob { project: dataset.project.clone(), model: Some(model.into()), dataset: named, ..any_job() }
}

/// A job on no data set yet.
pub(crate) fn any_job() -> NewJob {
    NewJob {
        project: P.into(),
        kind: JobKind::Fit,
        model: Some("m".into()),
        dataset: DatasetRef { name: "d".into(), version: 1, sha256: String::new() },
        priority: Priority::Normal,
        spec: json!({"lambda": {"mode": "path"}}),
        spec_resolved: json!({"kind": "linear", "loss": {"type": "squared"}}),
        estimate: json!({"memory_mb": [1.5, 2.0]}),
        metadata: json!({"team": "Wachstum ü"}),
        warnings: vec![warning("submitted")],
        request_id: "req_1".into(),
        traceparent: None,
        memory_bytes: 0,
        start_within: None,
        retry_of: None,
        webhook: None,
    }
}

pub(crate) fn warning(code: &str) -> Warning {
    Warning { code: code.into(), detail: "as it is".into(), features: vec![] }
}

/// Queues a job, which must work.
pub(crate) async fn enqueue(store: &Store, job: NewJob) -> Job {
    match store.enqueue(job).await.unwrap() {
        Enqueued::Job(job) => *job,
        other => panic!("not queued: {other:?}"),
    }
}

/// Claims a job, which must be there.
pub(crate) async fn claim(store: &Store) -> Claim {
    store.claim("worker-1").await.unwrap().expect("a job to claim")
}

/// The id spelled so.
#[allow(dead_code)] // this file is shared by several test binaries
pub(crate) fn job_id(text: &str) -> Id {
    Id::parse(Kind::Job, text).unwrap()
}

/// A data set, and `n` jobs on it.
pub(crate) async fn with_jobs(store: &Store, n: usize) -> (DatasetRow, Vec<Job>) {
    let dataset = add_dataset(store, P, "d", false).await;
    let mut jobs = Vec::new();
    for _ in 0..n {
        jobs.push(enqueue(store, new_job(&dataset, "m")).await);
    }
    (dataset, jobs)
}

pub(crate) fn model() -> Arc<Model> {
    let (indices, values) = (vec![1, 4], vec![0.5, -0.1 - 0.2]);
    let certificate = Certificate {
        status: CertificateStatus::Certified,
        primal: 0.25,
        dual: Some(0.25),
        gap: Some(0.0),
        relative_gap: Some(4.2e-7),
        tol: 1e-6,
        tol_kind: "relative_gap".into(),
        max_kkt_violation: 1e-9,
        kkt_feature: None,
        epochs: 3,
        full_passes: 2.5,
    };
    let card = LinearCard {
        loss: "squared".into(),
        classes: None,
        objective: "F".into(),
        lambda: 0.1 + 0.2,
        lambda_max: 1.0,
        l1_ratio: 1.0,
        intercept: -2.5,
        intercepts: None,
        bracket: None,
        equivalents: Value::Null,
        sparsity: Sparsity::of(5, &indices, &values, |index| index.to_string()),
        metrics: json!({}),
        selection: None,
        adaptive: None,
        refit: None,
        certificate,
        warnings: vec![warning("submitted"), warning("support_not_unique")],
        engine: json!({"version": "0.1.0"}),
        promoted_from: None,
        distilled: None,
        started_from: None,
    };
    let row = PathRow {
        index: 0,
        lambda: 0.1 + 0.2,
        nonzeros: 2,
        deviance_ratio: 0.5,
        relative_gap: Some(0.0),
        cv_mean: None,
        cv_se: None,
        criterion: None,
    };
    let path = vec![row];
    Arc::new(Model::Linear(LinearModel { card, indices, classes: Vec::new(), values, path, cv: None, stability: None }))
}
