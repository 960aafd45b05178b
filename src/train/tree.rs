//! A tree: grown on all rows, its prunings measured on the rows it was grown on and on rows held out, one of them kept.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::{Leave, Run, TrainError, evaluate, go_on, unfit};
use crate::dataset::Dataset;
use crate::job::{Progress, Step, Warning};
use crate::model::{
    GrownTree, Model, Nodes, TIME_LIMIT, TreeCard, TreeCv, TreeCvRow, TreeModel, TreePath, TreePathRow, TreeSparsity, Unpruned,
};
use crate::spec::{Criterion, Pruning, ResolvedTree, Rule, TreeFolds};
use crate::tree::{self, Bins, CvLoss, Folds, Hands, Impurity, Limits, PruningPath, Step as Pruned, Target, Tree, Unfit, cross_validate};

/// A path has at most so many rows; of a longer one they are taken at equal distances, the ends and the chosen ones always.
const ROWS_MAX: usize = 10_000;
/// Rows of a path times nodes of its tree, so that what is told of every row stays cheaper than the tree.
const LOOKS_MAX: usize = 200_000_000;
const ROWS_MIN: usize = 100;
/// A tree is kept whole up to this many bytes; what is more cannot be promoted.
const KEPT_MAX: usize = 32 << 20;
/// 1 is said with the stored model, by the store.
const FRACTION_MAX: f64 = 0.99;
/// Splits of a tree whose size nobody knows yet.
const SPLITS: f64 = 1000.0;
/// Leaf of the path that no row cuts.
const NEVER: u32 = u32::MAX;

/// Grows, prunes and measures a tree. Nothing of how it is run changes the result.
///
/// # Errors
/// `observe` said to stop, the target is not what the criterion asks for, or no row has weight.
pub fn grow(dataset: &Dataset, spec: &ResolvedTree, run: &Run<'_>) -> Result<(TreeModel, TreePath), TrainError> {
    let tracker = Tracker::new(run, spec);
    let observe = |at: &tree::Progress| tracker.tell(at);
    go_on(tracker.tell(&tree::Progress::default()))?;
    let weights = dataset.weights.as_deref().filter(|_| spec.weights);
    let classes = of_row(dataset, spec)?;
    let target = match &classes {
        None => Target::Numbers(&dataset.y),
        Some((of_row, n)) => Target::Classes { of_row, n: *n, impurity: impurity(spec.criterion) },
    };
    let limits = Limits {
        max_depth: spec.size.max_depth,
        max_leaves: spec.size.max_leaves.map(|most| usize::try_from(most).unwrap_or(usize::MAX)),
        min_leaf_weight: spec.size.min_leaf_weight,
        min_impurity_decrease: spec.size.min_impurity_decrease,
    };
    let hands = Hands { threads: run.threads.max(1), on_thread: run.on_thread };
    let bins = Bins::new(dataset.x.view(), target, &observe)?;
    let grown = tree::grow(&bins, weights, &limits, &hands, &observe)?;
    let pruning = PruningPath::new(&grown, &observe)?;
    tracker.grown(grown.n_leaves());
    let mut warnings = Vec::new();
    let held_out = match spec.folds() {
        None => None,
        Some(folds) => {
            let strata = classes.is_some().then_some(&*dataset.y);
            let of_row = folds.splits().fold_of_row_together(dataset.groups.as_deref(), dataset.y.len(), strata, 0);
            let of_row: Vec<u32> = of_row.into_iter().map(|fold| u32::try_from(fold).unwrap_or(0)).collect();
            let n = usize::try_from(folds.folds).unwrap_or(usize::MAX);
            match cross_validate(&bins, weights, &limits, &pruning, &Folds { of_row: &of_row, n }, &hands, &observe) {
                Ok(losses) => Some((folds, losses)),
                Err(Unfit::Stopped) if tracker.best_is_wanted() => {
                    let detail = "limits.max_runtime_s was reached: the folds were not done; nothing is pruned.";
                    warnings.push(Warning { code: TIME_LIMIT.into(), detail: detail.into(), features: Vec::new() });
                    None
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    drop(bins);
    let chosen = choose(spec, &pruning, held_out.as_ref())?;
    let nodes = nodes_of(&grown);
    let on = || match tracker.tell(&tree::Progress::default()) {
        ControlFlow::Break(()) if !tracker.best_is_wanted() => Err(TrainError::Cancelled),
        _ => Ok(()),
    };
    let table = Table { pruning: &pruning, nodes: &nodes, criterion: spec.criterion, chosen: &chosen, on: &on };
    let path = table.path(held_out.as_ref())?;
    let row = path.rows.iter().find(|row| row.leaves == pruning.steps()[chosen.step].leaves as u64);
    let row = row.ok_or_else(|| unfit("internal_error", "The pruning chosen is not on its path."))?;
    let kept = nodes_of(&pruning.tree(&grown, chosen.step));
    if path.rows.len() == 1 && row.leaves == 1 {
        let detail = "No split was worth making: every row is predicted alike.";
        warnings.push(Warning { code: "no_split".into(), detail: detail.into(), features: Vec::new() });
    }
    let card = TreeCard {
        criterion: spec.criterion.name().into(),
        classes: dataset.meta.target.classes.clone().filter(|_| classes.is_some()),
        objective: objective(spec),
        ccp_alpha: row.ccp_alpha,
        sparsity: TreeSparsity::of(&kept, dataset.meta.shape[1], Unpruned::of(&nodes)),
        metrics: json!({}),
        selection: selection(spec, row.index, &path),
        warnings,
        engine: json!({ "version": env!("CARGO_PKG_VERSION"), "seed": spec.folds().map(|folds| folds.seed), "deterministic": true }),
        promoted_from: None,
        distilled: None,
        pruned: None,
    };
    let held = row.cv_mean.zip(path.cv.as_ref()).map(|(mean, cv)| (mean, row.cv_se, cv.metric.clone()));
    let model = measured(dataset, spec, TreeModel { card, nodes: kept }, held, &tracker)?;
    Ok((model, path))
}

/// The class of each row and their number, where the criterion is one of classes.
fn of_row(dataset: &Dataset, spec: &ResolvedTree) -> Result<Option<(Vec<u32>, usize)>, TrainError> {
    match (&dataset.meta.target.classes, spec.criterion) {
        (None, Criterion::Squared) => Ok(None),
        (Some(classes), Criterion::Gini | Criterion::Entropy) => {
            Ok(Some((dataset.y.iter().map(|position| *position as u32).collect(), classes.len())))
        }
        _ => Err(unfit("invalid_target", "The target is not what the criterion asks for.")),
    }
}

fn impurity(criterion: Criterion) -> Impurity {
    if criterion == Criterion::Entropy { Impurity::Entropy } else { Impurity::Gini }
}

fn objective(spec: &ResolvedTree) -> String {
    let impurity = match spec.criterion {
        Criterion::Squared => "the mean of (y − mean)²",
        Criterion::Gini => "1 − Σ_k p_k²",
        Criterion::Entropy => "−Σ_k p_k·log2 p_k",
    };
    format!("(1/Σs) Σ_leaves (Σ s_i of its rows)·impurity + ccp_alpha·leaves; impurity = {impurity} of the rows of a leaf")
}

fn nodes_of(tree: &Tree) -> Nodes {
    let mut nodes = Nodes { width: tree.width(), values: tree.values().to_vec(), ..Nodes::default() };
    for node in tree.nodes() {
        // no feature has the number of a leaf
        nodes.features.push(node.split.map_or(u32::MAX, |split| split.feature));
        nodes.thresholds.push(node.split.map_or(0.0, |split| split.threshold));
        nodes.rights.push(node.split.map_or(0, |split| split.right));
        nodes.weights.push(node.weight);
        nodes.impurities.push(node.impurity);
    }
    nodes
}

/// Which pruning becomes the model, and which were the least and the smallest near it.
pub(super) struct Chosen {
    pub(super) step: usize,
    pub(super) least: usize,
    pub(super) near: usize,
}

fn choose(spec: &ResolvedTree, pruning: &PruningPath, held_out: Option<&(&TreeFolds, CvLoss)>) -> Result<Chosen, TrainError> {
    let alone = |step: usize| Chosen { step, least: step, near: step };
    let Some((folds, losses)) = held_out else {
        return Ok(alone(match spec.pruning {
            Pruning::CcpAlpha { ccp_alpha } => pruning.at_alpha(ccp_alpha),
            Pruning::TargetLeaves { target_leaves } => pruning.at_leaves(usize::try_from(target_leaves).unwrap_or(usize::MAX)),
            // folds that were not done choose nothing
            Pruning::None | Pruning::Cv(_) => 0,
        }));
    };
    if losses.mean.iter().chain(&losses.se).any(|number| !number.is_finite()) {
        return Err(unfit("numerical_error", "A held-out loss is not a finite number."));
    }
    // of equal means the smallest tree
    let last = |most: f64| losses.mean.iter().rposition(|mean| *mean <= most).unwrap_or(0);
    let least = last(losses.mean.iter().copied().fold(f64::INFINITY, f64::min));
    let near = last(losses.mean[least] + losses.se[least]);
    Ok(Chosen { step: if folds.rule == Rule::OneSe { near } else { least }, least, near })
}

fn selection(spec: &ResolvedTree, index: u64, path: &TreePath) -> Option<Value> {
    let leaves = |at: u64| path.rows.get(usize::try_from(at).ok()?).map(|row| row.leaves);
    match &spec.pruning {
        Pruning::None => None,
        Pruning::CcpAlpha { ccp_alpha } => Some(json!({ "mode": "ccp_alpha", "ccp_alpha": ccp_alpha, "index": index })),
        Pruning::TargetLeaves { target_leaves } => Some(json!({ "mode": "target_leaves", "target_leaves": target_leaves, "index": index })),
        Pruning::Cv(folds) => {
            let rule = if folds.rule == Rule::OneSe { "1se" } else { "min" };
            let (least, near) = path.cv.as_ref().map(|cv| (cv.index_min, cv.index_1se)).unzip();
            Some(json!({
                "mode": "cv",
                "rule": rule,
                "index": index,
                "index_min": least,
                "index_1se": near,
                "leaves_at_min": least.and_then(leaves),
                "leaves_at_1se": near.and_then(leaves),
            }))
        }
    }
}

/// What is told of every pruning.
pub(super) struct Table<'t> {
    pub(super) pruning: &'t PruningPath,
    pub(super) nodes: &'t Nodes,
    pub(super) criterion: Criterion,
    pub(super) chosen: &'t Chosen,
    /// Asked for every row whether to go on.
    pub(super) on: &'t dyn Fn() -> Result<(), TrainError>,
}

impl Table<'_> {
    /// The steps that become rows.
    fn kept(&self) -> Vec<usize> {
        let n = self.pruning.steps().len();
        let most = ROWS_MAX.min((LOOKS_MAX / self.nodes.len()).max(ROWS_MIN));
        if n <= most {
            return (0..n).collect();
        }
        let mut kept: Vec<usize> = (0..most).map(|at| at * (n - 1) / (most - 1)).collect();
        kept.extend([self.chosen.step, self.chosen.least, self.chosen.near]);
        kept.sort_unstable();
        kept.dedup();
        kept
    }

    pub(super) fn path(&self, held_out: Option<&(&TreeFolds, CvLoss)>) -> Result<TreePath, TrainError> {
        let kept = self.kept();
        let scores = self.scores(&kept)?;
        let row = |(index, &step): (usize, &usize)| {
            let Pruned { alpha, leaves, .. } = self.pruning.steps()[step];
            let losses = held_out.map(|(_, losses)| losses);
            TreePathRow {
                index: index as u64,
                ccp_alpha: alpha,
                leaves: leaves as u64,
                train_score: scores[index],
                cv_mean: losses.map(|losses| losses.mean[step]),
                cv_se: losses.map(|losses| losses.se[step]),
                holdout_score: None,
            }
        };
        let rows: Vec<TreePathRow> = kept.iter().enumerate().map(row).collect();
        let place = |step: usize| kept.partition_point(|one| *one < step) as u64;
        let cv = held_out.map(|(folds, losses)| TreeCv {
            metric: if self.criterion == Criterion::Squared { "mse" } else { "error_rate" }.into(),
            folds: folds.folds,
            seed: folds.seed,
            stratify: folds.stratify,
            index_min: place(self.chosen.least),
            index_1se: place(self.chosen.near),
            rows: (kept.iter().enumerate())
                .map(|(index, &step)| TreeCvRow {
                    index: index as u64,
                    ccp_alpha: self.pruning.steps()[step].alpha,
                    mean: losses.mean[step],
                    se: losses.se[step],
                    // a fold that holds out no weight measures nothing
                    per_fold: losses.per_fold.row(step).iter().copied().filter(|loss| !loss.is_nan()).collect(),
                })
                .collect(),
        });
        let fits = GrownTree::bytes_of(self.nodes.len(), self.nodes.width) <= KEPT_MAX;
        let cut = |node: usize| self.pruning.cut_at(node).map_or(NEVER, |step| place(step) as u32);
        let grown = fits.then(|| GrownTree { nodes: self.nodes.clone(), cut: (0..self.nodes.len()).map(cut).collect() });
        Ok(TreePath { rows, cv, grown })
    }

    /// Of every row the score on the rows it was grown on: R² for numbers, area under the curve for two classes, accuracy for
    /// more; `None` where it is not defined.
    fn scores(&self, kept: &[usize]) -> Result<Vec<Option<f64>>, TrainError> {
        let (nodes, steps) = (self.nodes, self.pruning.steps());
        let whole = nodes.impurities[0];
        let of_each = |score: &dyn Fn(usize) -> Option<f64>| kept.iter().map(|step| (self.on)().map(|()| score(*step))).collect();
        match (self.criterion, nodes.width) {
            (Criterion::Squared, _) => of_each(&|step| (whole > 0.0).then(|| 1.0 - steps[step].impurity / whole)),
            (_, 2) => {
                let mut order: Vec<usize> = (0..nodes.len()).collect();
                order.sort_by(|a, b| nodes.value(*a)[1].total_cmp(&nodes.value(*b)[1]));
                of_each(&|step| self.area(step, &order))
            }
            _ => of_each(&|step| Some(self.accuracy(step))),
        }
    }

    /// Whether a node is a leaf of a step's tree, each with its weight.
    fn leaves(&self, step: usize) -> Vec<bool> {
        let mut leaf = vec![false; self.nodes.len()];
        let mut due = vec![0];
        while let Some(at) = due.pop() {
            match self.nodes.split(at).filter(|_| self.pruning.cut_at(at).is_none_or(|cut| cut > step)) {
                Some((_, _, left, right)) => due.extend([left, right]),
                None => leaf[at] = true,
            }
        }
        leaf
    }

    fn accuracy(&self, step: usize) -> f64 {
        let leaf = self.leaves(step);
        let right = |at: usize| self.nodes.weights[at] * self.nodes.value(at).iter().copied().fold(0.0, f64::max);
        (0..leaf.len()).filter(|at| leaf[*at]).map(right).sum::<f64>() / self.nodes.weights[0]
    }

    /// The share of pairs of a row of either class that the leaves tell apart, equal shares counting half; `order` is that of shares.
    fn area(&self, step: usize, order: &[usize]) -> Option<f64> {
        let leaf = self.leaves(step);
        let (mut below, mut positive, mut pairs) = (0.0, 0.0, 0.0);
        for equal in order.chunk_by(|a, b| self.nodes.value(*a)[1] == self.nodes.value(*b)[1]) {
            let (mut ones, mut zeros) = (0.0, 0.0);
            for &at in equal.iter().filter(|at| leaf[**at]) {
                let [share_of_zeros, share_of_ones] = [self.nodes.value(at)[0], self.nodes.value(at)[1]];
                ones += self.nodes.weights[at] * share_of_ones;
                zeros += self.nodes.weights[at] * share_of_zeros;
            }
            pairs += ones * (below + 0.5 * zeros);
            below += zeros;
            positive += ones;
        }
        (below > 0.0 && positive > 0.0).then(|| pairs / below / positive)
    }
}

/// The model with what is measured of it on the rows it was grown on, by what measures any model.
fn measured(
    dataset: &Dataset,
    spec: &ResolvedTree,
    model: TreeModel,
    held: Option<(f64, Option<f64>, String)>,
    tracker: &Tracker<'_>,
) -> Result<TreeModel, TrainError> {
    let observe = |_: &Progress| match tracker.tell(&tree::Progress::default()) {
        ControlFlow::Break(()) if !tracker.best_is_wanted() => ControlFlow::Break(Leave::Nothing),
        _ => ControlFlow::Continue(()),
    };
    let unweighted;
    let rows = if spec.weights || dataset.weights.is_none() {
        dataset
    } else {
        unweighted = Dataset { weights: None, ..dataset.clone() };
        &unweighted
    };
    let model = Model::Tree(model);
    let found = evaluate(rows, &model, dataset.names.as_deref(), &observe)?;
    let Model::Tree(mut model) = model else { return Err(unfit("internal_error", "A tree became something else.")) };
    model.card.metrics = json!({ "train": found.metrics });
    if let Some((mean, se, metric)) = held {
        model.card.metrics["cv"] = json!({ metric.as_str(): mean, format!("{metric}_se"): se });
    }
    Ok(model)
}

/// How far growing and its folds are; called from several threads.
struct Tracker<'a> {
    run: &'a Run<'a>,
    done: Mutex<Done>,
    best_is_wanted: AtomicBool,
}

/// Shares that only grow, so that the fraction never falls.
struct Done {
    grown: f64,
    folds: Vec<f64>,
    /// Splits that a fold's tree will have, about.
    expected: f64,
}

impl<'a> Tracker<'a> {
    fn new(run: &'a Run<'a>, spec: &ResolvedTree) -> Self {
        let folds = spec.folds().map_or(0, |folds| usize::try_from(folds.folds).unwrap_or(0));
        Self {
            run,
            done: Mutex::new(Done { grown: 0.0, folds: vec![0.0; folds], expected: SPLITS }),
            best_is_wanted: AtomicBool::new(false),
        }
    }

    fn best_is_wanted(&self) -> bool {
        self.best_is_wanted.load(Ordering::Relaxed)
    }

    /// The tree stands, and so about how many splits those of the folds will have.
    fn grown(&self, leaves: usize) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        (done.grown, done.expected) = (1.0, leaves as f64);
    }

    fn tell(&self, at: &tree::Progress) -> ControlFlow<()> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let (splits, expected) = (at.splits as f64, done.expected);
        match at.fold {
            None if done.grown < 1.0 => done.grown = done.grown.max(splits / (splits + expected)),
            None => {}
            Some(fold) => {
                if let Some(share) = done.folds.get_mut(fold) {
                    *share = share.max((splits / expected).min(1.0));
                }
            }
        }
        let (folds, n) = (done.folds.iter().sum::<f64>(), done.folds.len() as u64);
        let mut steps = vec![Step { name: "grow".into(), done: done.grown as u64, total: 1 }];
        if n > 0 {
            steps.push(Step { name: "cv".into(), done: folds as u64, total: n });
        }
        let fraction = ((done.grown + folds) / (1.0 + n as f64)).min(FRACTION_MAX);
        match (self.run.observe)(&Progress { fraction, eta_s: None, steps, current: None }) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(leave) => {
                self.best_is_wanted.store(leave == Leave::Best, Ordering::Relaxed);
                ControlFlow::Break(())
            }
        }
    }
}

impl From<Unfit> for TrainError {
    fn from(why: Unfit) -> Self {
        let code = match why {
            Unfit::Stopped => return Self::Cancelled,
            Unfit::NonFinite => "numerical_error",
            Unfit::NoWeight => "invalid_weight",
            // What is left is impossible after the checks of ingest and specification.
            _ => "invalid_target",
        };
        unfit(code, why.to_string())
    }
}
