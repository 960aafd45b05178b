//! Trees as they are stored, cut, promoted and asked.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Model, PredictFormat, PredictLimits, PredictOptions, Predictor};
use super::nodes::LEAF;
use super::*;
use crate::fault::Code;

const LIMITS: PredictLimits = PredictLimits { rows: 10, row_nnz: 200, index_max: (1 << 31) - 1 };

/// x3 ≤ 0.5 ? (x1 ≤ −1 ? a : b) : c, over ten features.
fn nodes(values: &[f64]) -> Nodes {
    Nodes {
        width: values.len() / 5,
        features: vec![3, 1, LEAF, LEAF, LEAF],
        thresholds: vec![0.5, -1.0, 0.0, 0.0, 0.0],
        rights: vec![4, 3, 0, 0, 0],
        values: values.to_vec(),
        weights: vec![10.0, 6.0, 2.0, 4.0, 4.0],
        impurities: vec![0.5, 0.25, 0.0, 0.125, 0.0],
    }
}

fn model(nodes: Nodes, classes: Option<Vec<Class>>) -> TreeModel {
    let card = TreeCard {
        criterion: if classes.is_some() { "gini" } else { "squared" }.into(),
        classes,
        objective: "R".into(),
        ccp_alpha: 0.0,
        sparsity: TreeSparsity::of(&nodes, 10, Unpruned::of(&nodes)),
        metrics: json!({"train": {"score": 0.5}}),
        selection: Some(json!({"mode": "cv", "rule": "min", "index": 0})),
        warnings: Vec::new(),
        engine: json!({"version": "0"}),
        promoted_from: None,
        distilled: None,
        pruned: None,
    };
    TreeModel { card, nodes }
}

fn numbers() -> TreeModel {
    model(nodes(&[2.0, 1.0, -1.5, 2.5, 7.0]), None)
}

fn sides() -> TreeModel {
    let shares = [0.5, 0.5, 0.25, 0.75, 1.0, 0.0, 0.5, 0.5, 0.125, 0.875];
    model(nodes(&shares), Some(vec![Class::Text("no".into()), Class::Text("yes".into())]))
}

fn path() -> TreePath {
    let row = |index: u64, ccp_alpha: f64, leaves: u64| TreePathRow {
        index,
        ccp_alpha,
        leaves,
        train_score: Some(0.5),
        cv_mean: Some(0.25),
        cv_se: Some(0.125),
        holdout_score: (index == 2).then_some(0.75),
    };
    let rows = vec![row(0, 0.0, 3), row(1, 0.1, 2), row(2, 0.2, 1)];
    let held = |index: u64| TreeCvRow { index, ccp_alpha: 0.1, mean: 0.25, se: 0.125, per_fold: vec![0.5, 0.0] };
    let cv =
        TreeCv { metric: "mse".into(), folds: 2, seed: 0, stratify: false, index_min: 1, index_1se: 2, rows: (0..3).map(held).collect() };
    TreePath { rows, cv: Some(cv), grown: Some(GrownTree { nodes: numbers().nodes, cut: vec![2, 1, LEAF, LEAF, LEAF] }) }
}

fn answers(model: TreeModel, body: &str) -> Result<Value, (Code, String)> {
    let predictor = Predictor::new(Arc::new(Model::Tree(model)), None);
    let told = predictor.predict(body.as_bytes(), PredictFormat::Json, &PredictOptions::default(), &LIMITS);
    told.map(|all| serde_json::from_slice(&all.predictions_json).unwrap()).map_err(|fault| {
        let place = fault.places.first().cloned().unwrap_or_default();
        (fault.code, place.pointer.unwrap_or_default())
    })
}

#[test]
fn a_row_goes_down_to_the_leaf_that_its_entries_say_and_absent_is_zero() {
    let body = r#"{"instances":[{"features":{}},{"indices":[1],"values":[-2]},{"indices":[1],"values":[-1]},{"indices":[3,1],"values":[0.75,-9]},
        [0,0,0,0.5,0,0,0,0,0,0]],"output":["prediction","leaf"]}"#;
    let told = |prediction: f64, leaf: u64| json!({"prediction": prediction, "leaf": leaf});
    let expected = json!([told(2.5, 3), told(-1.5, 2), told(-1.5, 2), told(7.0, 4), told(2.5, 3)]);
    assert_eq!(answers(numbers(), body).unwrap(), expected);
}

#[test]
fn of_classes_the_shares_and_the_label_are_told_and_of_equal_shares_the_first_class() {
    let body = r#"{"instances":[{"features":{}},{"features":{"1":-2}},{"features":{"3":1}}]}"#;
    let expected =
        json!([{"probability": 0.5, "label": "no"}, {"probability": 0.0, "label": "no"}, {"probability": 0.875, "label": "yes"}]);
    assert_eq!(answers(sides(), body).unwrap(), expected);
    let body = r#"{"instances":[{"features":{}}],"threshold":0.5}"#;
    assert_eq!(answers(sides(), body).unwrap()[0]["label"], "yes", "the threshold that is asked for holds");
    let shares = [1.0 / 3.0; 15];
    let three = model(nodes(&shares), Some(["a", "b", "c"].map(|name| Class::Text(name.into())).to_vec()));
    let told = answers(three, r#"{"instances":[{"features":{}}]}"#).unwrap();
    assert_eq!(told, json!([{"probabilities": vec![1.0 / 3.0; 3], "label": "a"}]));
}

#[test]
fn what_a_tree_does_not_have_is_refused_by_name() {
    for output in ["linear_predictor", "contributions", "probability"] {
        let body = format!(r#"{{"instances":[[1]],"output":["{output}"]}}"#);
        assert_eq!(answers(numbers(), &body), Err((Code::InvalidParameter, "#/output/0".into())), "{output}");
    }
}

#[test]
fn a_tree_and_its_path_survive_their_stored_forms_and_every_cut_is_noticed() {
    for original in [numbers(), sides()] {
        let bytes = original.encode();
        assert_eq!(Model::decode(&bytes).unwrap(), Model::Tree(original.clone()));
        assert_eq!(original.encode(), bytes);
        for end in 0..bytes.len() {
            assert!(Model::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
    for original in [path(), TreePath { grown: None, cv: None, ..path() }] {
        let bytes = original.encode();
        assert_eq!(TreePath::decode(&bytes).unwrap(), original);
        for end in 0..bytes.len() {
            assert!(TreePath::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn no_tree_is_stored_that_is_none() {
    let wrong = |change: &dyn Fn(&mut TreeModel)| {
        let mut bad = numbers();
        change(&mut bad);
        assert!(bad.check().is_err(), "{bad:?}");
    };
    wrong(&|bad| bad.nodes.features[0] = 10);
    wrong(&|bad| bad.nodes.rights[0] = 3);
    wrong(&|bad| bad.nodes.rights[4] = 2);
    wrong(&|bad| bad.nodes.features[4] = 2);
    wrong(&|bad| bad.nodes.values[1] = f64::NAN);
    wrong(&|bad| bad.nodes.thresholds[0] = f64::INFINITY);
    wrong(&|bad| bad.card.sparsity.leaves = 2);
    wrong(&|bad| bad.card.classes = Some(vec![Class::Number(1.0), Class::Number(2.0)]));
    wrong(&|bad| bad.nodes = Nodes::default());
}

#[test]
fn a_promoted_pruning_holds_what_is_left_and_takes_fewer_bytes() {
    let (base, path) = (numbers(), path());
    let cut = path.promoted(&base, 1, "m:1").unwrap();
    assert_eq!((cut.nodes.features.as_slice(), cut.nodes.rights.as_slice()), (&[3, LEAF, LEAF][..], &[2, 0, 0][..]));
    assert_eq!((cut.nodes.values.as_slice(), cut.nodes.weights.as_slice()), (&[2.0, 1.0, 7.0][..], &[10.0, 6.0, 4.0][..]));
    assert_eq!((cut.card.ccp_alpha, cut.card.sparsity.leaves, cut.card.sparsity.depth, cut.card.sparsity.features_active), (0.1, 2, 1, 1));
    assert_eq!((cut.card.sparsity.unpruned.leaves, cut.card.promoted_from.as_deref()), (3, Some("m:1")));
    assert_eq!(cut.card.metrics["cv"], json!({"mse": 0.25, "mse_se": 0.125}));
    assert_eq!((cut.check(), path.selected(&cut.card)), (Ok(()), Some(1)));
    assert!(cut.encode().len() < base.encode().len());
    let root = path.promoted(&base, 2, "m:1").unwrap();
    assert_eq!((root.nodes.len(), &root.card.metrics["holdout"]), (1, &json!({"score": 0.75})));
    assert_eq!(path.promoted(&base, 0, "m:1").unwrap().nodes, base.nodes);
    assert!(path.promoted(&base, 3, "m:1").is_none());
}

#[test]
fn importances_are_the_shares_of_the_impurity_that_was_taken_away() {
    // 10·0.5 − 6·0.25 − 0 = 3.5 and 6·0.25 − 0 − 4·0.125 = 1
    assert_eq!(numbers().nodes.importances(), [(1, 1.0 / 4.5), (3, 3.5 / 4.5)]);
    assert_eq!(numbers().nodes.depths(), [0, 1, 2, 2, 1]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_in_a_path_of_prunings_never_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = path().encode();
        let length = bytes.len();
        changes.into_iter().for_each(|(at, byte)| bytes[usize::from(at) % length] = byte);
        if let Ok(path) = TreePath::decode(&bytes) {
            for index in 0..path.rows.len() {
                let _ = path.promoted(&numbers(), index, "m:1");
            }
        }
    }
}
