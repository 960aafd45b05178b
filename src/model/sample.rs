//! Models for the tests of this room.

use std::fs::File;
use std::sync::Arc;

use serde_json::json;

use super::{Certificate, CertificateStatus, Cv, CvRow, LinearCard, LinearModel, PathRow, Sparsity};
use crate::dataset::{Class, Encoding, Format, IngestLimits, Names, Upload, ingest};
use crate::job::Warning;

/// A names file, written as an upload writes it.
pub(crate) fn names(names: &[&str]) -> Arc<Names> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("names");
    let (data, file) = (tempfile::tempfile().unwrap(), File::create(&path).unwrap());
    let body = json!({"format": "dense", "values": [vec![1; names.len()]], "y": [1], "feature_names": names}).to_string();
    let limits = IngestLimits {
        decoded_bytes: 1 << 20,
        rows: 10,
        nnz: 1 << 20,
        index_max: 1 << 20,
        line_bytes: 1 << 20,
        number_bytes: 64,
        sort_memory_bytes: 1 << 20,
        room_bytes: u64::MAX,
    };
    let upload = Upload { format: Format::Json, encoding: Encoding::Identity, target_kind: None, limits };
    let ingested = ingest(body.as_bytes(), &upload, &data, &file, directory.path()).unwrap();
    Arc::new(Names::open(&path, &ingested.names_sha256.unwrap()).unwrap())
}

/// A logistic model over 100 features.
pub(crate) fn model(indices: &[u32], values: &[f64]) -> LinearModel {
    with_features(100, indices.to_vec(), values.to_vec())
}

/// A model with `nonzeros` non-zeros.
pub(super) fn wide_model(nonzeros: u32) -> LinearModel {
    let values = (0..nonzeros).map(|i| 1.0 / f64::from(i + 3)).collect();
    with_features(1 << 31, (0..nonzeros).map(|i| 3 * i).collect(), values)
}

/// A multinomial model of three classes over 100 features.
pub(super) fn multinomial_model(entries: &[(u32, u32, f64)]) -> LinearModel {
    let mut model = with_features(100, entries.iter().map(|e| e.0).collect(), entries.iter().map(|e| e.2).collect());
    model.classes = entries.iter().map(|e| e.1).collect();
    let named = [Class::Text("ant".into()), Class::Text("bee".into()), Class::Number(3.0)];
    model.card.loss = "multinomial".into();
    model.card.classes = Some(named.into_iter().map(Some).collect());
    model.card.intercept = 0.0;
    model.card.intercepts = Some(vec![0.5, -0.25, -0.25]);
    model.card.sparsity = Sparsity::of_classes(100, 3, &model.indices, &model.values, |index| index.to_string());
    model
}

fn with_features(n_features: u64, indices: Vec<u32>, values: Vec<f64>) -> LinearModel {
    let row = PathRow {
        index: 0,
        lambda: 0.1,
        nonzeros: 2,
        deviance_ratio: 0.3,
        relative_gap: Some(1e-9),
        cv_mean: Some(0.7),
        cv_se: None,
        criterion: None,
    };
    let certificate = Certificate {
        status: CertificateStatus::Certified,
        primal: 0.1 + 0.2,
        dual: Some(0.3),
        gap: Some(4e-17),
        relative_gap: Some(1e-16),
        tol: 1e-6,
        tol_kind: "relative_gap".into(),
        max_kkt_violation: 1e-9,
        kkt_feature: Some("age".into()),
        epochs: 12,
        full_passes: 3.5,
    };
    let card = LinearCard {
        loss: "logistic".into(),
        classes: Some(vec![Some(Class::Number(-1.0)), Some(Class::Number(1.0))]),
        objective: "F".into(),
        lambda: 0.1,
        lambda_max: 0.4,
        l1_ratio: 1.0,
        intercept: 0.25,
        intercepts: None,
        bracket: None,
        equivalents: json!({"glmnet": null}),
        sparsity: Sparsity::of(n_features, &indices, &values, |index| index.to_string()),
        metrics: json!({"train": {"deviance": 0.1}}),
        selection: None,
        adaptive: None,
        refit: None,
        certificate,
        warnings: vec![Warning { code: "support_not_unique".into(), detail: "ä".into(), features: vec!["1".into()] }],
        engine: json!({"version": "0", "seed": 18446744073709551615u64}),
        promoted_from: None,
        distilled: None,
        started_from: None,
    };
    let rows = vec![CvRow { index: 0, lambda: 0.1, mean: 0.7, se: Some(0.1), per_fold: vec![0.6, 0.8] }];
    let cv = Cv {
        metric: "deviance".into(),
        method: "cv".into(),
        folds: 2,
        repeats: 1,
        seed: 0,
        stratify: true,
        fraction: None,
        assigned: false,
        index_min: 0,
        index_1se: 0,
        rows,
    };
    LinearModel { card, indices, classes: Vec::new(), values, path: vec![row], cv: Some(cv), stability: None }
}
