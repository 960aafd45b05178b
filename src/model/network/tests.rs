//! Networks as they are stored and asked: answers are those of the formula, whatever the form of a layer; no file is read that is none.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::dataset::Damaged;
use crate::fault::Code;
use crate::model::{KeptPath, Model, PredictFormat, PredictLimits, PredictOptions, Predictor};
use crate::spec::{NaturalLoss, NetworkPenalty, NetworkPenaltyType, Optimizer, RunLimits};

const LIMITS: PredictLimits = PredictLimits { rows: 4, row_nnz: 200, index_max: (1 << 31) - 1 };

fn fit(loss: NaturalLoss, hidden: &[u64], activation: Activation) -> ResolvedNetwork {
    ResolvedNetwork {
        kind: "network".into(),
        loss,
        hidden: hidden.to_vec(),
        activation,
        optimizer: Optimizer::Adam { learning_rate: 1e-3 },
        penalty: NetworkPenalty { kind: NetworkPenaltyType::None, lambda: 0.0 },
        epochs: 1,
        batch_size: 1,
        seed: 0,
        early_stopping: None,
        weights: false,
        limits: RunLimits::default(),
    }
}

/// Two inputs of ten, features 2 and 7, scales ½ and 2; two hidden units.
fn network(classes: Option<Vec<Class>>, activation: Activation) -> NetworkModel {
    let outputs = classes.as_ref().map_or(1, |classes| if classes.len() == 2 { 1 } else { classes.len() });
    let loss = match outputs {
        1 if classes.is_none() => NaturalLoss::Squared,
        1 => NaturalLoss::Logistic,
        _ => NaturalLoss::Multinomial,
    };
    let first = Layer::of(2, vec![0.25, -0.5], vec![1.0, 0.0, 0.0, -2.0]);
    let second = Layer::of(2, (0..outputs).map(|k| k as f64 / 4.0).collect(), (0..2 * outputs).map(|at| at as f64 - 1.0).collect());
    let sparsity = NetworkSparsity::of(&[], &[], 10, &[], 1);
    let card = NetworkCard {
        fit: fit(loss, &[2], activation),
        classes,
        center: 10.0,
        spread: 2.0,
        objective: "mean loss".into(),
        sparsity,
        metrics: json!({}),
        selection: None,
        warnings: Vec::new(),
        engine: json!({}),
        promoted_from: None,
        distilled: None,
        pruned: None,
    };
    NetworkModel { card, inputs: vec![2, 7], scales: vec![0.5, 2.0], layers: vec![first, second] }.measured()
}

fn three() -> Option<Vec<Class>> {
    Some(["a", "b", "c"].map(|name| Class::Text(name.into())).into())
}

fn ask(model: &NetworkModel, body: &str) -> Result<Value, crate::fault::Fault> {
    let predictor = Predictor::new(Arc::new(Model::Network(model.clone())), None);
    let told = predictor.predict(body.as_bytes(), PredictFormat::Json, &PredictOptions::default(), &LIMITS)?;
    Ok(serde_json::from_slice(&told.predictions_json).unwrap())
}

const ROW: &str = r#"{"instances":[{"indices":[7,2,1],"values":[-1.5,3,8]}]}"#;

/// ½·3 and 2·(−1.5) come in: sums ¼ + 1.5 and −½ + 6.
const SUMS: [f64; 2] = [1.75, 5.5];

#[test]
fn an_answer_is_the_formula_worked_out_by_hand() {
    let told = ask(&network(None, Activation::Relu), ROW).unwrap();
    // output −1·1.75 + 0·5.5
    assert_eq!(told, json!([{ "prediction": 10.0 + 2.0 * -1.75 }]));
    let told = ask(&network(None, Activation::Tanh), ROW).unwrap();
    assert_eq!(told, json!([{ "prediction": 10.0 - 2.0 * tanh(SUMS[0]) }]));
    let binary = Some(vec![Class::Number(0.0), Class::Number(1.0)]);
    let told = ask(&network(binary, Activation::Relu), ROW).unwrap();
    let expected = 1.0 / (1.0 + 1.75_f64.exp());
    assert!((told[0]["probability"].as_f64().unwrap() - expected).abs() < 1e-15 && told[0]["label"].as_f64() == Some(0.0), "{told}");
    let told = ask(&network(three(), Activation::Relu), ROW).unwrap();
    // rows of the second layer: −1 0 1 and 2 3 4
    let scores: Vec<f64> = (0..3).map(|k| k as f64 / 4.0 + SUMS[0] * (k as f64 - 1.0) + SUMS[1] * (k as f64 + 2.0)).collect();
    let sum: f64 = scores.iter().map(|score| (score - scores[2]).exp()).sum();
    for (k, score) in scores.iter().enumerate() {
        let told = told[0]["probabilities"][k].as_f64().unwrap();
        assert!((told - (score - scores[2]).exp() / sum).abs() < 1e-15, "{k}");
    }
    assert_eq!(told[0]["label"], json!("c"));
}

#[test]
fn a_layer_is_sparse_where_few_weights_are_left_and_says_the_same_in_either_form() {
    let mut weights = vec![0.0; 5 * 7];
    for at in [3, 8, 9, 20, 34] {
        weights[at] = at as f64 - 10.5;
    }
    let sparse = Layer::of(5, vec![0.0; 7], weights.clone());
    let dense = Layer { inputs: 5, weights: Weights::Dense(weights.clone()), biases: vec![0.0; 7] };
    assert_eq!((sparse.format(), sparse.nonzeros(), sparse.dense()), ("csr", 5, weights));
    for input in 0..5 {
        let (mut a, mut b) = (vec![0.5; 7], vec![0.5; 7]);
        sparse.weights.add(input, 3.25, &mut a);
        dense.weights.add(input, 3.25, &mut b);
        assert_eq!(a, b);
    }
    assert!(sparse.bytes() < dense.bytes());
    let full = Layer::of(2, vec![0.0], vec![1.0, 2.0]);
    assert_eq!((full.format(), full.nonzeros(), full.bytes()), ("dense", 2, 24));
    let none = Layer::of(0, vec![1.0, 2.0], Vec::new());
    assert_eq!((none.nonzeros(), none.outputs()), (0, 2));
}

#[test]
fn sparsity_counts_what_is_gone_from_what_was_there() {
    let model = network(three(), Activation::Relu);
    let sparsity = &model.card.sparsity;
    // 10 × 2 and 2 × 3 weights; of the second layer one is 0
    assert_eq!((sparsity.weights, sparsity.nonzeros, sparsity.features_active), (26, 2 + 5, 2));
    assert_eq!(sparsity.sparsity_ratio, 19.0 / 26.0);
    let first = &sparsity.layers[0];
    assert_eq!((first.shape, first.shape_before, first.removed_inputs, first.removed_neurons), ([2, 2], [10, 2], 8, 0));
    let bytes: u64 = sparsity.layers.iter().map(|layer| layer.bytes).sum();
    assert_eq!(Model::Network(model).parameter_bytes(), bytes + 2 * 12);
}

#[test]
fn a_stored_network_is_read_as_it_was_and_a_damaged_one_never() {
    for model in [network(None, Activation::Tanh), network(three(), Activation::Relu)] {
        let bytes = model.encode();
        assert_eq!(Model::decode(&bytes).unwrap(), Model::Network(model.clone()));
        assert_eq!(bytes, model.encode());
        for at in (0..bytes.len()).step_by(7) {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x20;
            assert!(Model::decode(&wrong).is_err(), "{at}");
            assert!(Model::decode(&bytes[..at]).is_err(), "{at}");
        }
    }
}

#[test]
fn no_network_is_stored_that_is_none() {
    let good = network(three(), Activation::Relu);
    assert_eq!(good.check(), Ok(()));
    let wrong = |change: &dyn Fn(&mut NetworkModel)| {
        let mut model = good.clone();
        change(&mut model);
        model.check()
    };
    assert!(wrong(&|model| model.inputs = vec![7, 2]).is_err());
    assert!(wrong(&|model| model.inputs = vec![2, 10]).is_err());
    assert!(wrong(&|model| model.scales[1] = 0.0).is_err());
    assert!(wrong(&|model| model.layers[1].biases[0] = f64::NAN).is_err());
    assert!(wrong(&|model| model.layers[1].biases.push(0.0)).is_err());
    assert!(wrong(&|model| model.layers[1].inputs = 3).is_err());
    assert!(wrong(&|model| drop(model.layers.pop())).is_err());
    assert!(wrong(&|model| model.card.classes = None).is_err());
    assert!(wrong(&|model| model.card.spread = f64::INFINITY).is_err());
    assert!(wrong(&|model| model.card.sparsity.nonzeros += 1).is_err());
    let csr = |starts: &[u32], outputs: &[u32], values: &[f64]| {
        let weights = Weights::Csr { starts: starts.into(), outputs: outputs.into(), values: values.into() };
        wrong(&|model| model.layers[0].weights = weights.clone())
    };
    assert_eq!(csr(&[0, 1, 2], &[0, 1], &[1.0, -2.0]), Ok(()));
    assert!(csr(&[0, 1, 2], &[0, 2], &[1.0, -2.0]).is_err());
    assert!(csr(&[0, 3, 2], &[0, 1], &[1.0, -2.0]).is_err());
    assert!(csr(&[0, 2, 2], &[1, 0], &[1.0, -2.0]).is_err());
    assert!(csr(&[0, 1, 2], &[0, 1], &[1.0, 0.0]).is_err());
    assert!(csr(&[0, 1], &[0], &[1.0]).is_err());
}

#[test]
fn what_is_beyond_a_double_is_an_error_of_the_row_and_contributions_are_not_told() {
    let model = network(None, Activation::Relu);
    let fault = ask(&model, r#"{"instances":[{"features":{}},{"indices":[7],"values":[1.7e308]}]}"#).unwrap_err();
    assert_eq!((fault.code, fault.places[0].pointer.as_deref()), (Code::NumericalError, Some("#/instances/1")));
    let fault = ask(&model, r#"{"instances":[{"features":{}}],"output":["contributions"]}"#).unwrap_err();
    assert_eq!((fault.code, fault.places[0].pointer.as_deref()), (Code::InvalidParameter, Some("#/output/0")));
    let told = ask(&model, r#"{"instances":[{"indices":[99,2],"values":[1,2]}],"output":["prediction","linear_predictor","unknown"]}"#);
    assert_eq!(told.unwrap()[0]["unknown"], json!(1));
}

fn path() -> NetworkPath {
    let models = [network(three(), Activation::Relu), network(three(), Activation::Relu)];
    let row = |(index, model): (usize, &NetworkModel)| NetworkPathRow {
        index: index as u64,
        sparsity_ratio: model.card.sparsity.sparsity_ratio,
        nonzeros: model.card.sparsity.nonzeros,
        score: (index > 0).then_some(0.75),
        bytes: 100,
        loss: Some(0.5),
        features_active: 2,
    };
    let rows: Vec<NetworkPathRow> = models.iter().enumerate().map(row).collect();
    let kept = |model: NetworkModel| KeptNetwork { inputs: model.inputs, scales: model.scales, layers: model.layers };
    let [whole, _] = models;
    NetworkPath { rows, kept: vec![Some(kept(whole)), None], selected: 1 }
}

#[test]
fn a_stored_path_is_read_as_it_was_and_gives_the_networks_that_were_kept() {
    let path = path();
    let bytes = path.encode();
    assert_eq!(KeptPath::decode(&bytes).unwrap(), KeptPath::Network(path.clone()));
    for cut in (0..bytes.len()).step_by(5) {
        assert!(NetworkPath::decode(&bytes[..cut]).is_err(), "{cut}");
    }
    let mut wrong = path.clone();
    wrong.selected = 2;
    assert!(matches!(NetworkPath::decode(&wrong.encode()), Err(Damaged(_))));
    let base = network(three(), Activation::Relu);
    let promoted = path.promoted(&base, 0, "m:3").unwrap();
    assert_eq!((promoted.check(), promoted.card.promoted_from.as_deref()), (Ok(()), Some("m:3")));
    assert_eq!(promoted.card.metrics["holdout"], json!({ "score": null, "loss": 0.5 }));
    assert!(path.promoted(&base, 1, "m:3").is_none() && path.promoted(&base, 2, "m:3").is_none());
    let traded = Model::Network(base).traded(Some(&KeptPath::Network(path))).unwrap();
    assert_eq!((traded.selected, traded.sizes, traded.tradeoff.measure.as_str()), (Some(1), "non-zero weights", "accuracy"));
}
