//! Small data and a hand-made model, so that serving can be tested without a fit.

use std::sync::Arc;

use serde_json::json;
use sparsefit::job::{Progress, Warning};
use sparsefit::model::{Certificate, CertificateStatus, LinearCard, LinearModel, Model, PathRow, Sparsity};
use sparsefit::store::Ending;

use crate::app::TestApp;

/// Two classes, three features, each row tells its class.
pub(crate) const TINY: &str = "1 1:1 3:2\n0 2:1\n1 1:2 2:3\n0 3:1\n1 1:1.5\n0 2:2 3:1\n";

/// Eight named rows with a numeric target.
pub(crate) const RECORDS: &str = r#"{"format":"records","target":"price","records":[
  {"area":50,"rooms":2,"town":"Oslo","price":3.1},{"area":80,"rooms":3,"town":"Bergen","price":4.0},
  {"area":120,"rooms":5,"town":"Oslo","price":7.2},{"area":30,"rooms":1,"town":"Voss","price":1.4},
  {"area":65,"rooms":2,"town":"Bergen","price":3.3},{"area":90,"rooms":4,"town":"Oslo","price":5.6},
  {"area":45,"rooms":2,"town":"Voss","price":1.9},{"area":110,"rooms":4,"town":"Bergen","price":5.9}]}"#;

/// Uploads [`TINY`] as `tiny` and registers version 1 of model `m` on it: η = 0.25 + 2·x₀ − x₂, three features.
pub(crate) async fn with_model(app: &TestApp) {
    app.upload("tiny", TINY).await.expect(201);
    register(app, model()).await;
}

/// Brings a job on `tiny` to its end with `model` as its result, as a worker would.
pub(crate) async fn register(app: &TestApp, model: LinearModel) {
    app.submit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202);
    let claim = app.store().claim("boot_test").await.expect("the store answers").expect("a job is queued");
    app.store().heartbeat(&claim, &Progress { fraction: 0.5, ..Progress::default() }).await.expect("the store answers");
    app.store().finish(&claim, Ending::Succeeded { model: Arc::new(Model::Linear(model)), points: None }).await.expect("the store answers");
}

pub(crate) fn model() -> LinearModel {
    let (indices, values) = (vec![0, 2], vec![2.0, -1.0]);
    let certificate = Certificate {
        status: CertificateStatus::Certified,
        primal: 0.5,
        dual: Some(0.5),
        gap: Some(0.0),
        relative_gap: Some(0.0),
        tol: 1e-6,
        tol_kind: "relative_gap".into(),
        max_kkt_violation: 0.0,
        kkt_feature: None,
        epochs: 3,
        full_passes: 1.5,
    };
    let card = LinearCard {
        loss: "logistic".into(),
        classes: Some(vec![Some(class(0.0)), Some(class(1.0))]),
        objective: "F".into(),
        lambda: 0.1,
        lambda_max: 0.4,
        l1_ratio: 1.0,
        intercept: 0.25,
        intercepts: None,
        bracket: None,
        equivalents: json!({ "glmnet": null }),
        sparsity: Sparsity::of(3, &indices, &values, |index| index.to_string()),
        metrics: json!({ "train": { "deviance": 0.4 } }),
        selection: None,
        adaptive: None,
        refit: None,
        certificate,
        warnings: vec![Warning { code: "support_not_unique".into(), detail: "two columns are equal".into(), features: vec!["0".into()] }],
        engine: json!({ "version": "0", "seed": 0, "deterministic": true }),
        promoted_from: None,
        distilled: None,
        started_from: None,
    };
    let row = PathRow {
        index: 0,
        lambda: 0.1,
        nonzeros: 2,
        deviance_ratio: 0.3,
        relative_gap: Some(0.0),
        cv_mean: None,
        cv_se: None,
        criterion: None,
    };
    LinearModel { card, indices, classes: Vec::new(), values, path: vec![row], cv: None, stability: None }
}

fn class(number: f64) -> sparsefit::dataset::Class {
    sparsefit::dataset::Class::Number(number)
}
