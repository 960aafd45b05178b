//! Ensembles as they are stored and asked.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Model, PredictFormat, PredictLimits, PredictOptions, Predictor};
use super::forest::LEAF;
use super::*;
use crate::fault::Code;
use crate::spec::{EarlyStopping, RunLimits};

const LIMITS: PredictLimits = PredictLimits { rows: 10, row_nnz: 200, index_max: (1 << 31) - 1 };

/// x3 ≤ 0.5 ? (x1 ≤ −1 ? a : b) : c, then x1 ≤ 2 ? d : e, then f alone, over ten features.
fn trees([a, b, c, d, e, f]: [f64; 6]) -> Forest {
    let mut trees = Forest::default();
    let leaf = |value: f64| (None, value);
    trees.push([(Some((3, 0.5, 4)), 0.0), (Some((1, -1.0, 3)), 0.0), leaf(a), leaf(b), leaf(c)].into_iter());
    trees.push([(Some((1, 2.0, 2)), 0.0), leaf(d), leaf(e)].into_iter());
    trees.push([leaf(f)].into_iter());
    trees
}

fn model(loss: NaturalLoss, base: &[f64], classes: Option<&[&str]>) -> EnsembleModel {
    let trees = trees([1.0, -0.5, 0.25, 2.0, -4.0, 0.125]);
    let fit = ResolvedEnsemble {
        kind: "ensemble".into(),
        loss,
        n_trees: 9,
        learning_rate: 0.1,
        max_leaves: 3,
        subsample: 1.0,
        min_leaf_weight: None,
        seed: 1,
        early_stopping: Some(EarlyStopping { fraction: 0.1, patience: 10 }),
        weights: false,
        limits: RunLimits::default(),
    };
    let rounds = 3 / base.len() as u64;
    let selection = EnsembleSelection {
        method: "early_stopping".into(),
        fraction: 0.1,
        patience: 10,
        best_round: rounds,
        held_out_loss: (0..=rounds).rev().map(|round| 0.5 + round as f64).collect(),
        leaves: (0..=rounds).map(|round| 2 * round).collect(),
    };
    let card = EnsembleCard {
        fit,
        classes: classes.map(|classes| classes.iter().map(|class| Class::Text((*class).into())).collect()),
        base: base.to_vec(),
        objective: "f".into(),
        sparsity: EnsembleSparsity::of(&trees, 10),
        metrics: json!({"train": {"score": 0.5}}),
        selection: Some(selection),
        warnings: Vec::new(),
        engine: json!({"version": "0"}),
        promoted_from: None,
        distilled: None,
    };
    EnsembleModel { card, trees, importances: vec![0.25, 0.75] }
}

fn all() -> [EnsembleModel; 3] {
    [
        model(NaturalLoss::Squared, &[10.0], None),
        model(NaturalLoss::Logistic, &[-1.0], Some(&["no", "yes"])),
        model(NaturalLoss::Multinomial, &[0.5, -0.5, 0.0], Some(&["a", "b", "c"])),
    ]
}

fn answers(model: &EnsembleModel, body: &str) -> Result<Value, (Code, String)> {
    let predictor = Predictor::new(Arc::new(Model::Ensemble(model.clone())), None);
    let told = predictor.predict(body.as_bytes(), PredictFormat::Json, &PredictOptions::default(), &LIMITS);
    told.map(|all| serde_json::from_slice(&all.predictions_json).unwrap()).map_err(|fault| {
        let place = fault.places.first().cloned().unwrap_or_default();
        (fault.code, place.pointer.unwrap_or_default())
    })
}

#[test]
fn a_prediction_is_the_base_and_the_leaf_of_every_tree_and_absent_is_zero() {
    let [numbers, sides, classes] = all();
    let rows = r#""instances":[{"features":{}},{"indices":[1],"values":[-2]},{"indices":[3,1],"values":[0.75,3]},[0,2,0,0.5,0,0,0,0,0,0]]"#;
    // without entries every row after the first would have what the one before it held
    let sums = [-0.5 + 2.0, 1.0 + 2.0, 0.25 - 4.0, -0.5 + 2.0].map(|sum| sum + 0.125);
    let told = answers(&numbers, &format!(r#"{{{rows},"output":["prediction","linear_predictor"]}}"#)).unwrap();
    let expected: Vec<Value> = sums.iter().map(|sum| json!({"prediction": 10.0 + sum, "linear_predictor": 10.0 + sum})).collect();
    assert_eq!(told, json!(expected));
    let told = answers(&sides, &format!(r#"{{{rows},"output":["probability","label","linear_predictor"]}}"#)).unwrap();
    for (told, sum) in told.as_array().unwrap().iter().zip(sums) {
        let (score, p) = (sum - 1.0, 1.0 / (1.0 + f64::exp(1.0 - sum)));
        assert_eq!((told["linear_predictor"].as_f64(), &told["label"]), (Some(score), &json!(if score >= 0.0 { "yes" } else { "no" })));
        assert!((told["probability"].as_f64().unwrap() - p).abs() < 1e-15, "{told} {p}");
    }
    let told = answers(&classes, &format!(r#"{{{rows},"output":["probabilities","label","linear_predictor"]}}"#)).unwrap();
    let first = [0.5 - 0.5, -0.5 + 2.0, 0.125];
    let sum: f64 = first.iter().map(|score: &f64| score.exp()).sum();
    assert_eq!((&told[0]["linear_predictor"], &told[0]["label"]), (&json!(first), &json!("b")));
    assert!((told[0]["probabilities"][1].as_f64().unwrap() - first[1].exp() / sum).abs() < 1e-15, "{told}");
    assert_eq!(told[2]["linear_predictor"], json!([0.75, -4.5, 0.125]));
}

#[test]
fn what_an_ensemble_does_not_have_is_refused_by_name() {
    let [numbers, sides, classes] = all();
    for (model, output) in [(&numbers, "probability"), (&numbers, "contributions"), (&sides, "leaf"), (&classes, "prediction")] {
        let body = format!(r#"{{"instances":[[1]],"output":["{output}"]}}"#);
        assert_eq!(answers(model, &body), Err((Code::InvalidParameter, "#/output/0".into())), "{output}");
    }
    let mut far = numbers;
    (far.card.base[0], far.trees.numbers[8]) = (f64::MAX, f64::MAX);
    assert_eq!(answers(&far, r#"{"instances":[{"features":{}}]}"#), Err((Code::NumericalError, "#/instances/0".into())));
}

#[test]
fn an_ensemble_survives_its_stored_form_and_every_cut_and_flip_is_noticed() {
    let mut none = model(NaturalLoss::Squared, &[2.0], None);
    (none.trees, none.importances) = (Forest::default(), Vec::new());
    none.card.sparsity = EnsembleSparsity::of(&none.trees, 10);
    for original in all().into_iter().chain([none]) {
        let bytes = original.encode();
        assert_eq!(Model::decode(&bytes).unwrap(), Model::Ensemble(original.clone()));
        assert_eq!(original.encode(), bytes);
        for end in 0..bytes.len() {
            assert!(Model::decode(&bytes[..end]).is_err(), "cut at {end}");
            let mut flipped = bytes.clone();
            flipped[end] ^= 4;
            assert!(Model::decode(&flipped).is_err(), "flipped at {end}");
        }
    }
}

#[test]
fn no_ensemble_is_stored_that_is_none() {
    let wrong = |change: &dyn Fn(&mut EnsembleModel)| {
        let mut bad = model(NaturalLoss::Squared, &[10.0], None);
        change(&mut bad);
        assert!(bad.check().is_err(), "{bad:?}");
    };
    wrong(&|bad| bad.trees.features[0] = 10);
    wrong(&|bad| bad.trees.features[4] = 3);
    wrong(&|bad| bad.trees.rights[0] = 5);
    wrong(&|bad| bad.trees.rights[5] = 8);
    wrong(&|bad| bad.trees.rights[4] = 2);
    wrong(&|bad| bad.trees.starts[1] = 4);
    wrong(&|bad| bad.trees.starts[2] = 9);
    wrong(&|bad| bad.trees.starts[0] = 1);
    wrong(&|bad| bad.trees.starts.clear());
    wrong(&|bad| bad.trees.numbers[2] = f64::NAN);
    wrong(&|bad| bad.trees.numbers[0] = f64::INFINITY);
    wrong(&|bad| bad.card.base[0] = f64::NAN);
    wrong(&|bad| bad.card.base.push(0.0));
    wrong(&|bad| bad.card.base.clear());
    wrong(&|bad| bad.importances[0] = f64::NAN);
    wrong(&|bad| bad.importances.truncate(1));
    wrong(&|bad| bad.card.sparsity.leaves = 5);
    wrong(&|bad| bad.card.sparsity.n_trees = 2);
    wrong(&|bad| bad.card.classes = Some(["a", "b", "c"].map(|name| Class::Text(name.into())).to_vec()));
    wrong(&|bad| bad.card.selection.as_mut().unwrap().held_out_loss[0] = f64::NAN);
}

#[test]
fn its_size_is_that_of_all_trees() {
    let [numbers, ..] = all();
    let EnsembleSparsity { size, leaves, nodes, n_trees, depth, features_active, node_bytes, .. } = numbers.card.sparsity;
    assert_eq!((size, leaves, nodes, n_trees, depth, features_active), (6, 6, 9, 3, 2, 2));
    assert_eq!(node_bytes, 16 + 40 + 40 + 72);
    // three splits, six leaves and the base
    assert_eq!(Model::Ensemble(numbers.clone()).parameter_bytes(), 3 * 16 + 7 * 8);
    assert_eq!(numbers.trees.features[2..5], [LEAF; 3]);
    let traded = Model::Ensemble(numbers).traded(None).unwrap();
    assert_eq!((traded.selected, traded.sizes, traded.tradeoff.best, traded.tradeoff.rows.len()), (Some(3), "leaves", Some(3), 4));
    assert!(traded.tradeoff.held_out && traded.tradeoff.less_is_better);
    let mut alone = model(NaturalLoss::Squared, &[10.0], None);
    alone.card.selection = None;
    assert!(Model::Ensemble(alone).traded(None).is_none());
}

proptest! {
    #[test]
    fn arbitrary_changes_of_the_arrays_never_panic(changes in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u32>()), 1..4)) {
        let mut changed = model(NaturalLoss::Squared, &[10.0], None);
        for (which, at, to) in changes {
            let arrays = [&mut changed.trees.starts, &mut changed.trees.features, &mut changed.trees.rights];
            let array = arrays.into_iter().nth(usize::from(which % 3)).unwrap();
            let length = array.len();
            array[usize::from(at) % length] = to % 12;
        }
        if changed.check().is_ok() {
            let told = answers(&changed, r#"{"instances":[{"features":{}}]}"#);
            prop_assert!(told.is_ok());
        }
    }
}
