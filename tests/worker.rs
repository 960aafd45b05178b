//! The worker with the real fit: what is uploaded and submitted becomes a certified model, on both database engines.

#[path = "support/postgres.rs"]
mod fixture;
#[allow(dead_code)]
#[path = "store/house.rs"]
mod house;

use std::sync::Arc;

use serde_json::json;
use sparsefit::config::Limits;
use sparsefit::dataset::{Encoding, Format, Upload, ingest};
use sparsefit::job::{Job, Status};
use sparsefit::model::CertificateStatus;
use sparsefit::spec::parse_job;
use sparsefit::store::{Cancellation, DatasetRow, NewJob, Store};
use sparsefit::trace::Traces;
use sparsefit::worker::{Memory, Pool, Worked, run_one};

use house::{House, P, enqueue, new_job, upload};

async fn submit(store: &Store, dataset: &DatasetRow, spec: serde_json::Value) -> Job {
    let body = json!({"type": "fit", "model": "m", "dataset": {"name": dataset.name}, "spec": spec});
    let request = parse_job(&serde_json::to_vec(&body).unwrap(), &Limits::default().spec).unwrap();
    let names = store.open_dataset(dataset).await.unwrap().names.clone();
    let (resolved, warnings) = request.fit.resolve(&dataset.meta, names.as_deref()).unwrap();
    let job = NewJob { spec: request.spec, spec_resolved: serde_json::to_value(resolved).unwrap(), warnings, ..new_job(dataset, "m") };
    enqueue(store, job).await
}

async fn a_submitted_fit_becomes_a_certified_model(house: House) {
    let store = house.open().await;
    let dataset = upload(&store, "d").await;
    let job = submit(&store, &dataset, json!({"lambda": {"mode": "value", "value": 0.05}})).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Idle);
    let ended = store.job(P, &job.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.error, ended.progress.fraction), (Status::Succeeded, None, 1.0));
    let result = ended.result.unwrap();
    assert_eq!((&result["model_version"], &result["converged"], &result["lambda"]), (&json!("m:1"), &json!(true), &json!(0.05)));

    let opened = store.open_model(&store.model(P, "m", None).await.unwrap().unwrap()).await.unwrap();
    let card = &opened.model.card;
    assert_eq!(card.certificate.status, CertificateStatus::Certified);
    assert!(card.certificate.relative_gap <= 1e-6);
    assert_eq!(result["nonzeros"], json!(card.sparsity.nonzeros));
    assert_eq!(opened.names.unwrap().get(0), Some("age"));
}

/// A path that takes long: many correlated columns, many λ, a goal that is far away.
async fn endless(store: &Store) -> Job {
    let mut body = String::new();
    let mut state = 1u64;
    for _ in 0..400 {
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f64 / (1u64 << 24) as f64 - 0.5
        };
        let common = next();
        body.push_str(&format!("{}", common + next()));
        (1..=600).for_each(|j| body.push_str(&format!(" {j}:{}", common + 0.1 * next())));
        body.push('\n');
    }
    let incoming = store.incoming().unwrap();
    let format = Format::Libsvm { index_base: 1, n_features: None };
    let upload = Upload { format, encoding: Encoding::Identity, target_kind: None, limits: Limits::default().upload };
    let ingested = ingest(body.as_bytes(), &upload, incoming.data(), incoming.names(), incoming.scratch()).unwrap();
    let dataset = store.add_dataset(P, "big", incoming, ingested).await.unwrap();
    let spec = json!({"lambda": {"mode": "path", "n": 5000, "min_ratio": 1e-6}, "selection": {"method": "cv", "folds": 20},
                      "solver": {"tol": 1e-12, "max_epochs": 1000000}});
    submit(store, &dataset, spec).await
}

async fn until(store: &Store, job: &Job, status: Status) -> Job {
    let mut watch = store.hub().watch_job(&job.id);
    loop {
        let now = store.job(P, &job.id).await.unwrap().unwrap();
        if now.status == status {
            return now;
        }
        assert!(!now.status.is_final(), "{now:?}");
        watch.changed().await;
    }
}

async fn a_real_fit_hears_a_shutdown_and_a_cancel(house: House) {
    let store = house.open().await;
    let job = endless(&store).await;
    let pool = Pool::start(&store, "worker-1", 1, 2, &Memory::of_machine(), Arc::default(), &Traces::default());
    until(&store, &job, Status::Running).await;
    pool.shutdown().await;
    let back = store.job(P, &job.id).await.unwrap().unwrap();
    assert_eq!((back.status, back.attempt), (Status::Queued, 0));

    let pool = Pool::start(&store, "worker-2", 1, 2, &Memory::of_machine(), Arc::default(), &Traces::default());
    until(&store, &job, Status::Running).await;
    assert!(matches!(store.request_cancel(P, &job.id).await.unwrap(), Cancellation::Asked(_)));
    until(&store, &job, Status::Cancelled).await;
    pool.shutdown().await;
    assert!(store.model(P, "m", None).await.unwrap().is_none());
}

macro_rules! on_both_engines {
    ($($test:ident),+) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                crate::$test(crate::House::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(house) = crate::House::postgres().await {
                    crate::$test(house).await;
                }
            })+
        }
    };
}

on_both_engines!(a_submitted_fit_becomes_a_certified_model, a_real_fit_hears_a_shutdown_and_a_cancel);
