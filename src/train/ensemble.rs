//! An ensemble: trees are boosted on the rows that are learnt from, and rows held out say how many of them are best.

use std::borrow::Cow;
use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::parts::{Judge, Parts};
use super::rounds::Tracker;
use super::{Run, TrainError, unfit};
use crate::dataset::Dataset;
use crate::job::Warning;
use crate::model::{EnsembleCard, EnsembleModel, EnsembleSelection, EnsembleSparsity, Forest, Model, TIME_LIMIT};
use crate::spec::{NaturalLoss, ResolvedEnsemble};
use crate::tree::{self, Bins, Boosted, BoostedLoss, Boosting, Grown, Hands, Leaves, Sampled, Target, Tree, boost};

/// A leaf holds about as much weight as so many rows, unless the specification says more or less.
const LEAF_ROWS: f64 = 20.0;
/// But no more than this share of what a tree is grown on.
const LEAF_SHARE: f64 = 0.02;

/// What became of a fit.
#[derive(Clone, Debug, PartialEq)]
pub struct GrownEnsemble {
    /// The ensemble.
    pub model: EnsembleModel,
    /// Rounds that were grown.
    pub rounds: u64,
    /// Of these those whose trees are kept.
    pub best_round: u64,
    /// On the rows held out, where there are any and they define it.
    pub score: Option<f64>,
}

/// Grows an ensemble. Nothing of how it is run changes the result.
///
/// # Errors
/// `observe` said to stop, the target is not what the loss asks for, or no row has weight.
pub fn ensemble(dataset: &Dataset, spec: &ResolvedEnsemble, run: &Run<'_>) -> Result<GrownEnsemble, TrainError> {
    let tracker = Tracker::new(run, "rounds", spec.n_trees);
    let observe = |at: &tree::Progress| match tracker.tell(at.rounds as u64, 0.0) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(_) => ControlFlow::Break(()),
    };
    let (loss, y) = target(dataset, spec.loss)?;
    let weights = dataset.weights.as_deref().filter(|_| spec.weights);
    let parts = Parts::of(dataset, spec.early_stopping.map(|early| early.fraction), spec.seed);
    let boosting = Boosting {
        n_trees: usize::try_from(spec.n_trees).unwrap_or(usize::MAX),
        learning_rate: spec.learning_rate,
        leaves: Leaves::Most(usize::try_from(spec.max_leaves).unwrap_or(usize::MAX)),
        sampled: Sampled::Share(spec.subsample),
        min_leaf_weight: spec.min_leaf_weight.unwrap_or_else(|| usual_leaf(weights, &parts.learnt, spec.subsample)),
        patience: spec.early_stopping.map(|early| usize::try_from(early.patience).unwrap_or(usize::MAX)),
        seed: spec.seed,
    };
    let bins = Bins::new(dataset.x.view(), Target::Numbers(&y), &observe)?;
    let data = Boosted { loss, y: &y, weights, offset: None, held_out: &parts.held_out };
    let hands = Hands { threads: run.threads.max(1), on_thread: run.on_thread };
    let grown = boost(&bins, &data, &boosting, &hands, None, &observe)?;
    drop(bins);
    if grown.halted && !tracker.best_is_wanted() {
        return Err(TrainError::Cancelled);
    }
    let (rounds, best_round) = (grown.leaves.len() as u64 - 1, grown.best() as u64);
    let model = Model::Ensemble(model_of(dataset, spec, grown));
    let quiet = tracker.quietly();
    let judge = Judge { dataset, weights, names: dataset.names.as_deref(), observe: &quiet };
    let (train, held_out) = (judge.measures(&model, &parts.learnt)?, judge.measures(&model, &parts.held_out)?);
    let Model::Ensemble(mut model) = model else { return Err(unfit("internal_error", "An ensemble became another kind of model.")) };
    let score = held_out["score"].as_f64();
    model.card.metrics = if held_out.is_null() { json!({ "train": train }) } else { json!({ "train": train, "holdout": held_out }) };
    Ok(GrownEnsemble { model, rounds, best_round, score })
}

/// The target as the loss sees it: numbers, ±1, or the number of each row's class.
fn target(dataset: &Dataset, loss: NaturalLoss) -> Result<(BoostedLoss, Cow<'_, [f64]>), TrainError> {
    let y = &*dataset.y;
    match (loss, dataset.meta.target.classes.as_deref()) {
        (NaturalLoss::Squared, None) => Ok((BoostedLoss::Squared, y.into())),
        (NaturalLoss::Logistic, Some([_, _])) => Ok((BoostedLoss::Logistic, y.iter().map(|y| if *y > 0.0 { 1.0 } else { -1.0 }).collect())),
        (NaturalLoss::Multinomial, Some(classes)) => Ok((BoostedLoss::Multinomial { classes: classes.len() }, y.into())),
        _ => Err(unfit("invalid_target", "The target is not what the loss asks for.")),
    }
}

/// The least weight of a leaf where none was asked for.
fn usual_leaf(weights: Option<&[f64]>, learnt: &[u32], subsample: f64) -> f64 {
    let weight = |row: &u32| weights.map_or(1.0, |weights| weights[*row as usize]);
    let (sum, count) =
        learnt.iter().map(weight).filter(|weight| *weight > 0.0).fold((0.0, 0.0), |(sum, n), weight| (sum + weight, n + 1.0));
    let least = (LEAF_ROWS * (sum / count)).min(LEAF_SHARE * subsample * sum);
    // who has no weight, or more than a double, is told so by the trees
    if least.is_finite() { least } else { 0.0 }
}

fn model_of(dataset: &Dataset, spec: &ResolvedEnsemble, grown: Grown) -> EnsembleModel {
    let best_round = grown.best() as u64;
    let Grown { ensemble, held_out, leaves, halted } = grown;
    let mut warnings = Vec::new();
    let mut warn = |code: &str, detail: String| warnings.push(Warning { code: code.into(), detail, features: Vec::new() });
    if halted {
        warn(TIME_LIMIT, format!("limits.max_runtime_s was reached after {} of {} rounds.", leaves.len() - 1, spec.n_trees));
    }
    let trees = forest(&ensemble.trees);
    let importances = importances(&ensemble.trees, &trees.features_used());
    if trees.n_leaves() == trees.len() {
        let why =
            if leaves.len() > 1 && trees.is_empty() { "No tree was a gain for the rows held out" } else { "No split was worth making" };
        warn("no_split", format!("{why}: every row is predicted alike."));
    }
    let selection = spec.early_stopping.map(|early| EnsembleSelection {
        method: "early_stopping".into(),
        fraction: early.fraction,
        patience: early.patience,
        best_round,
        held_out_loss: held_out,
        leaves: leaves.iter().map(|leaves| *leaves as u64).collect(),
    });
    let card = EnsembleCard {
        fit: spec.clone(),
        classes: dataset.meta.target.classes.clone(),
        base: ensemble.base,
        objective: objective(spec),
        sparsity: EnsembleSparsity::of(&trees, dataset.meta.shape[1]),
        metrics: Value::Null,
        selection,
        warnings,
        engine: json!({ "version": env!("CARGO_PKG_VERSION"), "seed": spec.seed, "deterministic": true }),
        promoted_from: None,
        distilled: None,
    };
    EnsembleModel { card, trees, importances }
}

fn forest(trees: &[Tree]) -> Forest {
    let mut forest = Forest::default();
    for tree in trees {
        let split = |at: usize| tree.nodes()[at].split.map(|split| (split.feature, split.threshold, split.right));
        forest.push((0..tree.nodes().len()).map(|at| (split(at), tree.value(at)[0])));
    }
    forest
}

/// Of each feature `used`, rising, the share of all squared distance of the slopes that its splits took away: Friedman 2001, 8.1.
fn importances(trees: &[Tree], used: &[u32]) -> Vec<f64> {
    let mut taken = vec![0.0; used.len()];
    for nodes in trees.iter().map(Tree::nodes) {
        let distance = |at: u32| nodes[at as usize].weight * nodes[at as usize].impurity;
        for (at, split) in (0u32..).zip(nodes).filter_map(|(at, node)| Some((at, node.split?))) {
            let place = used.partition_point(|one| *one < split.feature);
            taken[place] += (distance(at) - distance(split.left) - distance(split.right)).max(0.0);
        }
    }
    let all: f64 = taken.iter().sum();
    taken.into_iter().map(|taken| if all > 0.0 && all.is_finite() { taken / all } else { 0.0 }).collect()
}

fn objective(spec: &ResolvedEnsemble) -> String {
    let loss = match spec.loss {
        NaturalLoss::Squared => "½(y_i − f_i)²",
        NaturalLoss::Logistic => "log(1 + exp(−y_i·f_i)), y = ±1",
        NaturalLoss::Multinomial => "−log softmax(f_i)[y_i]",
    };
    format!("(1/Σs) Σ s_i·loss_i, f = base + Σ_trees leaf(x), made smaller tree by tree; loss = {loss}")
}
