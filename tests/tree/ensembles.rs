//! Boosted trees of scikit-learn (`tests/references/ensembles.json`, made by `ensembles.py` beside it): the same predictions after the same
//! rounds, of numbers, two classes and three.

use std::path::Path;

use serde::Deserialize;
use sparsefit::tree::{Bins, Boosted, BoostedLoss, Boosting, Ensemble, Hands, Leaves, Sampled, Target, boost};

use crate::made::{columns, dense, go_on};

#[derive(Deserialize)]
struct Reference {
    loss: String,
    max_leaves: usize,
    learning_rate: f64,
    min_leaf_weight: f64,
    x: Vec<Vec<f64>>,
    y: Vec<f64>,
    weights: Option<Vec<f64>>,
    /// After how many of them the predictions are.
    rounds: Vec<usize>,
    /// Some rows.
    rows: Vec<usize>,
    /// For each of `rounds` and `rows` the mean, or the probability of each class.
    predictions: Vec<Vec<Vec<f64>>>,
}

/// What scikit-learn would call the prediction of these scores.
fn told(loss: BoostedLoss, score: &[f64]) -> Vec<f64> {
    match loss {
        BoostedLoss::Squared => score.to_vec(),
        BoostedLoss::Logistic => {
            let p = 1.0 / (1.0 + (-score[0]).exp());
            vec![1.0 - p, p]
        }
        BoostedLoss::Multinomial { .. } => {
            let sum: f64 = score.iter().map(|one| one.exp()).sum();
            score.iter().map(|one| one.exp() / sum).collect()
        }
    }
}

fn compare(at: usize, reference: &Reference) {
    let (loss, y) = match reference.loss.as_str() {
        "squared" => (BoostedLoss::Squared, reference.y.clone()),
        "logistic" => (BoostedLoss::Logistic, reference.y.iter().map(|y| 2.0 * y - 1.0).collect()),
        _ => (BoostedLoss::Multinomial { classes: 3 }, reference.y.clone()),
    };
    let boosting = Boosting {
        n_trees: reference.rounds.iter().copied().max().unwrap(),
        learning_rate: reference.learning_rate,
        leaves: Leaves::Most(reference.max_leaves),
        sampled: Sampled::Share(1.0),
        min_leaf_weight: reference.min_leaf_weight,
        patience: None,
        seed: 0,
    };
    let x = columns(&reference.x);
    let bins = Bins::new(x.view(), Target::Numbers(&y), &go_on).unwrap();
    let data = Boosted { loss, y: &y, weights: reference.weights.as_deref(), offset: None, held_out: &[] };
    let grown = boost(&bins, &data, &boosting, &Hands::one(), None, &go_on).unwrap().whole().unwrap();
    for (&rounds, table) in reference.rounds.iter().zip(&reference.predictions) {
        let trees = grown.trees[..rounds * grown.base.len()].to_vec();
        let part = Ensemble { base: grown.base.clone(), trees };
        for (&row, wanted) in reference.rows.iter().zip(table) {
            let ours = told(loss, &part.score(|feature| reference.x[row][dense(feature)]));
            assert_eq!(ours.len(), wanted.len());
            for (ours, wanted) in ours.iter().zip(wanted) {
                assert!((ours - wanted).abs() <= 1e-8 * wanted.abs().max(0.01), "case {at}, {rounds} rounds, row {row}: {ours} {wanted}");
            }
        }
    }
}

#[test]
fn predictions_of_every_loss_are_those_of_scikit_learn() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references/ensembles.json");
    let references: Vec<Reference> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(references.len() >= 7);
    references.iter().enumerate().for_each(|(at, reference)| compare(at, reference));
}
