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
use sparsefit::job::{Job, JobKind, Reason, Status};
use sparsefit::model::{CertificateStatus, Model};
use sparsefit::spec::{Asked, BaseSize, KnownModel, Work, parse_job};
use sparsefit::store::{Answer, Cancellation, DatasetRow, Ending, EventKind, Finished, ModelRow, NewJob, Once, Store};
use sparsefit::trace::Traces;
use sparsefit::worker::{Memory, Pool, Worked, promote, run_one};

use house::{House, P, enqueue, new_job, upload};

async fn submit(store: &Store, dataset: &DatasetRow, spec: serde_json::Value) -> Job {
    let body = json!({"type": "fit", "model": "m", "dataset": {"name": dataset.name}, "spec": spec});
    let request = parse_job(&serde_json::to_vec(&body).unwrap(), &Limits::default().spec).unwrap();
    let names = store.open_dataset(dataset).await.unwrap().names.clone();
    let (spec_resolved, warnings) = match &request.work {
        Asked::Fit(fit) => fit.resolve(&dataset.meta, names.as_deref()).map(|(fit, told)| (serde_json::to_value(fit), told)),
        Asked::Rules(rules) => rules.resolve(&dataset.meta).map(|(rules, told)| (serde_json::to_value(rules), told)),
        other => panic!("{other:?}"),
    }
    .unwrap();
    let job = NewJob { spec: request.spec, spec_resolved: spec_resolved.unwrap(), warnings, ..new_job(dataset, "m") };
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
    let card = &opened.model.linear().expect("coefficients").card;
    assert_eq!(card.certificate.status, CertificateStatus::Certified);
    assert!(card.certificate.relative_gap.is_some_and(|gap| gap <= 1e-6));
    assert_eq!(result["nonzeros"], json!(card.sparsity.nonzeros));
    assert_eq!(opened.names.unwrap().get(0), Some("age"));
}

async fn an_evaluation_ends_with_measures_and_no_model(house: House) {
    let store = house.open().await;
    let dataset = upload(&store, "d").await;
    submit(&store, &dataset, json!({"lambda": {"mode": "value", "value": 0.05}})).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let spec_resolved = json!({"model": "m:1", "limits": {}});
    let evaluation = NewJob { kind: JobKind::Evaluate, model: None, spec_resolved, warnings: Vec::new(), ..new_job(&dataset, "unused") };
    let job = enqueue(&store, evaluation).await;
    assert_eq!((job.kind, &job.model), (JobKind::Evaluate, &None));
    assert_eq!(store.usage(P).await.unwrap().jobs, 0, "it becomes no model");
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let ended = store.job(P, &job.id).await.unwrap().unwrap();
    assert_eq!((ended.status, &ended.error, ended.progress.fraction), (Status::Succeeded, &None, 1.0));
    let card = store.model(P, "m", None).await.unwrap().unwrap().card;
    let (found, train) = (&ended.result.as_ref().unwrap()["metrics"]["mse"], &card.linear().expect("coefficients").metrics["train"]["mse"]);
    assert!((found.as_f64().unwrap() - train.as_f64().unwrap()).abs() < 1e-12, "{found} for {train}");
    assert_eq!(store.model_versions(P, "m").await.unwrap(), [1]);
    let told: Vec<_> = store.events(P, &job.id, 0, &[EventKind::Metric], 10).await.unwrap();
    assert_eq!(told.len(), 1, "what was measured is told");
}

async fn a_comparison_measures_a_model_and_its_twin_and_registers_none(house: House) {
    let store = house.open().await;
    let dataset = upload(&store, "d").await;
    let fitted = submit(&store, &dataset, json!({"lambda": {"mode": "value", "value": 0.05}})).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let origin = json!({"model": "m:1", "dataset": fitted.dataset, "spec": fitted.spec_resolved, "estimate": {"memory_mb": [1, 2], "runtime_s": [1, 2]}});
    let spec_resolved = json!({"models": ["m:1"], "measure": ["quality", "size", "latency"], "score": "r2", "twin": true, "fits": [origin],
                               "bootstrap": 100, "halves": 10, "seed": 0});
    let comparison = NewJob { kind: JobKind::Compare, model: None, spec_resolved, warnings: Vec::new(), ..new_job(&dataset, "unused") };
    let job = enqueue(&store, comparison.clone()).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let ended = store.job(P, &job.id).await.unwrap().unwrap();
    assert_eq!((ended.status, &ended.error, ended.progress.fraction), (Status::Succeeded, &None, 1.0));
    let result = ended.result.as_ref().unwrap();
    assert_eq!(result["href"], json!(format!("/api/v1/comparisons/{}", job.id)));
    let (row, twin) = (&result["data"][0], &result["data"][1]);
    assert_eq!((&row["ref"], &row["twin"], &twin["ref"], &twin["twin"]), (&json!("m:1"), &json!(false), &json!("m:1"), &json!(true)));
    assert_eq!((&twin["l1_ratio"], row["fit_ms"].is_u64(), twin["fit_ms"].is_u64()), (&json!(0.0), true, true));
    assert!(row["score"].is_f64() && row["latency_us_p99"].is_f64() && twin["bytes_stored"].is_u64(), "{result}");
    assert!(ended.warnings.iter().any(|warning| warning.code == "on_training_rows"), "{:?}", ended.warnings);
    assert_eq!(store.model_versions(P, "m").await.unwrap(), [1]);

    store.delete_model(P, "m", 1).await.unwrap();
    let job = enqueue(&store, comparison).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let ended = store.job(P, &job.id).await.unwrap().unwrap();
    assert_eq!((ended.status, ended.error.map(|error| error.code)), (Status::Failed, Some("not_found".to_owned())));
}

async fn a_point_of_a_path_becomes_the_next_version(house: House) {
    let store = house.open().await;
    let dataset = upload(&store, "d").await;
    submit(&store, &dataset, json!({"lambda": {"mode": "path", "n": 6}, "selection": {"method": "none"}})).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let source = store.model(P, "m", None).await.unwrap().unwrap();
    let kept = store.open_points(&source).await.unwrap().expect("the path is kept");
    let points = kept.linear().expect("points");
    assert_eq!(points.points.len(), 6);
    let used = store.usage(P).await.unwrap().stored_bytes;
    let (data, base) = (store.open_dataset(&dataset).await.unwrap(), store.open_model(&source).await.unwrap());
    assert!(promote(&data, points, base.model.linear().unwrap(), 2, &|| false).is_none(), "it can be ended");
    let model = Model::Linear(promote(&data, points, base.model.linear().unwrap(), 2, &|| true).expect("a model"));
    let answer = |row: &ModelRow| Ok(Answer { status: 201, location: row.reference(), body: String::new() });
    let Once::Done(row, told) = store.add_promoted(&source, model.clone(), None, answer).await.unwrap() else { panic!("refused") };
    assert_eq!((row.version, told.location.as_str(), &row.job), (2, "m:2", &source.job));
    let stored = store.model(P, "m", None).await.unwrap().unwrap();
    assert_eq!((stored.version, &stored.id, stored.has_points()), (2, &row.id, true));
    assert_eq!(*store.open_model(&stored).await.unwrap().model, model);
    assert!(store.usage(P).await.unwrap().stored_bytes > used + row.size_bytes, "its path counts as well");

    // the source goes, its path stays as long as somebody was promoted from it
    store.delete_model(P, "m", 1).await.unwrap();
    assert!(matches!(store.add_promoted(&source, model, None, answer).await.unwrap(), Once::Refused(())));
    store.sweep(std::time::Duration::ZERO).await.unwrap();
    assert_eq!(store.open_points(&stored).await.unwrap(), Some(kept));
    store.delete_model(P, "m", 2).await.unwrap();
    store.sweep(std::time::Duration::ZERO).await.unwrap();
    assert!(store.open_points(&stored).await.is_err(), "nobody needs it any more");
}

/// Resolves and queues a tree on a data set, or a pruning of `base` on it.
async fn submit_of_trees(store: &Store, dataset: &DatasetRow, body: serde_json::Value, base: Option<&ModelRow>) -> Job {
    let request = parse_job(&serde_json::to_vec(&body).unwrap(), &Limits::default().spec).unwrap();
    let work = match (&request.work, base) {
        (Asked::Tree(tree), _) => Work::Tree(Box::new(tree.resolve(&dataset.meta).unwrap().0)),
        (Asked::Prune(prune), Some(base)) => {
            let reference = base.reference();
            let known =
                KnownModel { reference: &reference, kind: base.card.kind(), loss: base.card.loss(), classes: None, named: base.is_named() };
            Work::Prune(prune.resolve(&known, BaseSize::Tree { leaves: 4 }, &dataset.meta).unwrap())
        }
        other => panic!("{other:?}"),
    };
    let name = request.model.clone().unwrap();
    let job = NewJob {
        kind: request.kind,
        spec: request.spec,
        spec_resolved: work.write().unwrap(),
        warnings: Vec::new(),
        ..new_job(dataset, &name)
    };
    enqueue(store, job).await
}

async fn a_pruned_tree_belongs_to_the_features_of_its_base_and_needs_it_to_the_end(house: House) {
    let store = house.open().await;
    let dataset = upload(&store, "d").await;
    let tree = json!({"type": "fit", "model": "m", "dataset": {"name": "d"}, "spec": {"kind": "tree", "pruning": {"mode": "none"}}});
    let fit = submit_of_trees(&store, &dataset, tree, None).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let result = store.job(P, &fit.id).await.unwrap().unwrap().result.expect("it succeeded");
    assert_eq!((&result["leaves_before"], &result["node_bytes_before"]), (&result["leaves"], &result["node_bytes"]));
    assert!(result["latency_us_p50"].as_f64().is_some_and(|time| time >= 0.0) && result["latency_us_p50_before"].is_number(), "{result}");
    let base = store.model(P, "m", None).await.unwrap().unwrap();

    // the same features by name
    let later = upload(&store, "later").await;
    let prune = |how: serde_json::Value| json!({"type": "prune", "model": "small", "dataset": {"name": "later"}, "spec": how});
    let root = json!({"base": "m", "method": "ccp", "target_leaves": 1});
    let job = submit_of_trees(&store, &later, prune(root.clone()), Some(&base)).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let ended = store.job(P, &job.id).await.unwrap().unwrap();
    assert_eq!((ended.status, &ended.error, ended.progress.fraction), (Status::Succeeded, &None, 1.0));
    let small = store.model(P, "small", None).await.unwrap().unwrap();
    let result = ended.result.expect("it succeeded");
    assert_eq!((&result["model_version"], &result["leaves"], &result["base"]), (&json!("small:1"), &json!(1), &json!("m:1")));
    assert_eq!((&result["size_bytes"], &result["size_bytes_before"]), (&json!(small.size_bytes), &json!(base.size_bytes)));
    assert_eq!((&small.dataset.name, small.has_points()), (&"later".to_owned(), true));
    let opened = store.open_model(&small).await.unwrap();
    assert_eq!(
        (opened.model.check(), opened.names.as_ref().and_then(|names| names.get(0)).map(str::to_owned)),
        (Ok(()), Some("age".into()))
    );

    // what is made of a model that goes away is not stored, however late it goes
    let job = submit_of_trees(&store, &later, prune(root), Some(&base)).await;
    let claim = store.claim("worker-1").await.unwrap().expect("a job");
    store.delete_model(P, "m", 1).await.unwrap();
    let measured = serde_json::Map::new();
    let ending = Ending::Measured { model: Arc::clone(&opened.model), points: None, base: Some(Box::new(base)), measured };
    let Finished::Stored(ended) = store.finish(&claim, ending).await.unwrap() else { panic!("the claim is ours") };
    let error = ended.error.expect("it failed");
    assert_eq!((ended.id, ended.status, &*error.code, error.retryable), (job.id, Status::Failed, "not_found", false));
    assert_eq!(store.model_versions(P, "small").await.unwrap(), [1]);
    store.sweep(std::time::Duration::ZERO).await.unwrap();
    let opened = store.open_model(&small).await.unwrap();
    assert_eq!(opened.names.and_then(|names| names.get(0).map(str::to_owned)), Some("age".into()), "its names stay with it");
}

async fn rules_become_a_certified_model(house: House) {
    let store = house.open().await;
    let dataset = upload(&store, "d").await;
    let spec = json!({"kind": "rules", "n_trees": 5, "subsample": 1, "lambda": {"mode": "value", "value": 0.01}});
    let job = submit(&store, &dataset, spec).await;
    assert_eq!(run_one(&store, "worker-1", 2).await.unwrap(), Worked::Job);
    let ended = store.job(P, &job.id).await.unwrap().unwrap();
    assert_eq!((ended.status, &ended.error, ended.progress.fraction), (Status::Succeeded, &None, 1.0));
    let row = store.model(P, "m", None).await.unwrap().unwrap();
    assert_eq!((row.card.kind(), row.has_points()), ("rules", false));
    let opened = store.open_model(&row).await.unwrap();
    let model = opened.model.rules().expect("rules");
    assert_eq!(model.card.certificate.status, CertificateStatus::Certified);
    assert!(!model.rules.is_empty() && model.text(0, opened.names.as_deref()).starts_with(['a', 'p']), "a name of a feature");
    assert_eq!(ended.result.unwrap()["rules"], json!(model.rules.len()));
}

/// Many correlated columns.
async fn large(store: &Store) -> DatasetRow {
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
    store.add_dataset(P, "big", incoming, ingested).await.unwrap()
}

/// A path that takes long: many correlated columns, many λ, a goal that is far away.
async fn endless(store: &Store) -> Job {
    let dataset = large(store).await;
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

async fn a_tree_that_grows_hears_a_shutdown_and_a_cancel_and_leaves_nothing(house: House) {
    let store = house.open().await;
    let dataset = large(&store).await;
    // each of as many folds as rows grows a tree of its own
    let spec = json!({"kind": "tree", "pruning": {"mode": "cv", "folds": 400}});
    let body = json!({"type": "fit", "model": "m", "dataset": {"name": "big"}, "spec": spec});
    let job = submit_of_trees(&store, &dataset, body, None).await;
    let stored = store.usage(P).await.unwrap().stored_bytes;
    let pool = Pool::start(&store, "worker-1", 1, 2, &Memory::of_machine(), Arc::default(), &Traces::default());
    until(&store, &job, Status::Running).await;
    pool.shutdown().await;
    let back = store.job(P, &job.id).await.unwrap().unwrap();
    assert_eq!((back.status, back.attempt), (Status::Queued, 0));

    let pool = Pool::start(&store, "worker-2", 1, 2, &Memory::of_machine(), Arc::default(), &Traces::default());
    // it grows: splits were made and told
    let mut watch = store.hub().watch_job(&job.id);
    while store.job(P, &job.id).await.unwrap().unwrap().progress.fraction <= 0.0 {
        watch.changed().await;
    }
    assert!(matches!(store.request_cancel(P, &job.id).await.unwrap(), Cancellation::Asked(_)));
    let ended = until(&store, &job, Status::Cancelled).await;
    pool.shutdown().await;
    assert_eq!((ended.reason, ended.result), (Some(Reason::User), None));
    assert!(ended.progress.steps.iter().any(|step| step.done < step.total), "{:?}", ended.progress);
    assert!(store.model(P, "m", None).await.unwrap().is_none());
    assert_eq!(store.usage(P).await.unwrap().stored_bytes, stored);
}

/// Told to stop while its trees are grown, and while its paths are solved.
async fn rules_hear_a_cancel(house: House) {
    let store = house.open().await;
    let dataset = large(&store).await;
    let pool = Pool::start(&store, "worker-1", 1, 2, &Memory::of_machine(), Arc::default(), &Traces::default());
    for spec in
        [json!({"kind": "rules", "n_trees": 10_000}), json!({"kind": "rules", "n_trees": 1, "lambda": {"mode": "path", "n": 10_000}})]
    {
        let job = submit(&store, &dataset, spec).await;
        until(&store, &job, Status::Running).await;
        assert!(matches!(store.request_cancel(P, &job.id).await.unwrap(), Cancellation::Asked(_)));
        until(&store, &job, Status::Cancelled).await;
    }
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

on_both_engines!(
    a_submitted_fit_becomes_a_certified_model,
    an_evaluation_ends_with_measures_and_no_model,
    a_comparison_measures_a_model_and_its_twin_and_registers_none,
    a_point_of_a_path_becomes_the_next_version,
    a_pruned_tree_belongs_to_the_features_of_its_base_and_needs_it_to_the_end,
    a_tree_that_grows_hears_a_shutdown_and_a_cancel_and_leaves_nothing,
    a_real_fit_hears_a_shutdown_and_a_cancel,
    rules_become_a_certified_model,
    rules_hear_a_cancel
);
