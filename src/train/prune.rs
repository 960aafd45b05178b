//! A stored tree made smaller: along its path of weakest links, or from the leaves up by the rows of a data set that judges.
//!
//! Nothing is grown anew: the nodes of the tree hold what cutting needs, and what is left of them is the model. So the data
//! set need not be the one it was grown on, and better is not.

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::evaluate::{Matched, Pace};
use super::evaluate_tree::of_dataset;
use super::held_out_rows::HeldOutRows;
use super::tree::{Chosen, Table};
use super::{Leave, Observe, TrainError, evaluate, go_on, unfit};
use crate::dataset::{Dataset, Names};
use crate::job::{Progress, Step, Warning};
use crate::model::{Model, Nodes, PrunedFrom, TreeCard, TreeModel, TreePath, TreeSparsity};
use crate::spec::{Ccp, Criterion, PruneMethod, ResolvedPrune, Rule};
use crate::tree::{self, PruningPath, Tree, cuts_by_loss};

/// What is done one after the other, as progress tells it.
const STEPS: [&str; 3] = ["measure", "prune", "measure_again"];

/// Scores closer than this are one: what is left of rounding their sums.
const SAME: f64 = 1e-12;

/// The tree that is pruned.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// The model it is.
    pub model: &'a Model,
    /// Names of its features.
    pub names: Option<&'a Names>,
    /// Bytes of it as it is stored.
    pub size_bytes: u64,
}

/// What became of a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Pruned {
    /// What is left.
    pub model: TreeModel,
    /// The path of what is left: its first row is the model.
    pub path: TreePath,
    /// Measures of the base on the same rows as those of the model, its `metrics.holdout`.
    pub metrics_before: Value,
}

/// Cuts a tree as asked, and measures it before and after on the rows of `dataset`, with their weights.
///
/// # Errors
/// `observe` said to stop; the model is no tree, or the target is not what it predicts; all weights are 0; or what chooses asks for a
/// score that these rows do not define.
pub fn prune(dataset: &Dataset, base: Base<'_>, spec: &ResolvedPrune, observe: &Observe<'_>) -> Result<Pruned, TrainError> {
    let whole = base.model.tree().ok_or_else(|| unfit("invalid_parameter", "The model is no tree."))?;
    let criterion = criterion(&whole.card)?;
    let before = evaluate(dataset, base.model, base.names, &within(observe, 0))?;

    let pruning = within(observe, 1);
    let judge = Judge { dataset, base, card: &whole.card, observe: &pruning };
    let (nodes, ccp_alpha, selection) = match &spec.method {
        PruneMethod::Ccp(ccp) => along_path(&judge, whole, ccp)?,
        PruneMethod::ReducedError => {
            let (tree, rows) = judge.rows_of(&whole.nodes)?;
            let cut = cuts_by_loss(&tree, rows.losses());
            (whole.nodes.cut(|at| cut[at]), 0.0, json!({ "mode": "reduced_error", "index": 0 }))
        }
        _ => return Err(unfit("internal_error", "A tree cannot be pruned as networks are.")),
    };
    let path = judge.path(&nodes, criterion, ccp_alpha)?;

    let sparsity = TreeSparsity::of(&nodes, whole.card.sparsity.n_features, whole.card.sparsity.unpruned);
    let pruned = PrunedFrom {
        base: spec.base.clone(),
        method: if matches!(spec.method, PruneMethod::Ccp(_)) { "ccp" } else { "reduced_error" }.into(),
        leaves_before: whole.nodes.n_leaves() as u64,
        leaves: nodes.n_leaves() as u64,
        node_bytes_before: whole.nodes.stored_bytes(),
        node_bytes: nodes.stored_bytes(),
        size_bytes_before: base.size_bytes,
        score_before: before.metrics["score"].as_f64(),
        score: None,
    };
    let card = TreeCard {
        criterion: whole.card.criterion.clone(),
        classes: whole.card.classes.clone(),
        objective: whole.card.objective.clone(),
        ccp_alpha,
        sparsity,
        metrics: Value::Null,
        selection: Some(selection),
        warnings: Vec::new(),
        engine: json!({ "version": env!("CARGO_PKG_VERSION"), "seed": null, "deterministic": true }),
        promoted_from: None,
        distilled: None,
        pruned: None,
    };
    let same = nodes.len() == whole.nodes.len();
    let model = Model::Tree(TreeModel { card, nodes });
    let after = evaluate(dataset, &model, base.names, &within(observe, 2))?;
    let Model::Tree(mut model) = model else { return Err(unfit("internal_error", "A tree became something else.")) };
    model.card.metrics = json!({
        "train": { "score": path.rows.first().and_then(|row| row.train_score) },
        "holdout": after.metrics,
    });
    model.card.pruned = Some(PrunedFrom { score: after.metrics["score"].as_f64(), ..pruned });
    model.card.warnings = before.warnings;
    if same {
        let detail = "Nothing was cut: the tree is as it was.";
        model.card.warnings.push(Warning { code: "nothing_pruned".into(), detail: detail.into(), features: Vec::new() });
    }
    Ok(Pruned { model, path, metrics_before: before.metrics })
}

/// Puts the progress of one of [`STEPS`] into that of the whole.
fn within<'o>(observe: &'o Observe<'o>, at: usize) -> impl Fn(&Progress) -> ControlFlow<Leave> + Sync + 'o {
    move |inner: &Progress| {
        let step = |(place, name): (usize, &&str)| Step { name: (*name).into(), done: u64::from(place < at), total: 1 };
        let steps: Vec<Step> = STEPS.iter().enumerate().map(step).collect();
        observe(&Progress { fraction: (at as f64 + inner.fraction) / STEPS.len() as f64, eta_s: None, steps, current: None })
    }
}

fn criterion(card: &TreeCard) -> Result<Criterion, TrainError> {
    let all = [Criterion::Squared, Criterion::Gini, Criterion::Entropy];
    let found = all.into_iter().find(|criterion| criterion.name() == card.criterion);
    found.ok_or_else(|| unfit("artifact_corrupt", "The criterion of the tree is not known."))
}

/// The tree of the path of weakest links that is asked for: its nodes, its α, and what is said of the choice.
fn along_path(judge: &Judge<'_>, whole: &TreeModel, ccp: &Ccp) -> Result<(Nodes, f64, Value), TrainError> {
    let (tree, path, scores);
    let held_out = if ccp.selection.is_some() || ccp.max_quality_loss.is_some() {
        let rows;
        (tree, rows) = judge.rows_of(&whole.nodes)?;
        path = PruningPath::new(&tree, &judge.asked())?;
        scores = rows.scores(&path, &judge.asked())?;
        Some((rows, &scores))
    } else {
        tree = judge.tree(&whole.nodes)?;
        path = PruningPath::new(&tree, &judge.asked())?;
        None
    };
    let defined = |scores: &[Option<f64>]| -> Result<Vec<f64>, TrainError> {
        let all: Option<Vec<f64>> = scores.iter().copied().collect();
        all.ok_or_else(|| unfit("invalid_target", "These rows define no score to choose by: their target is the same in all of them."))
    };
    let leaves_at = |step: usize| path.steps().get(step).map(|step| step.leaves);
    let mut said = json!({ "index": 0 });
    let mut wanted = path.steps().len() - 1;
    if let Some(alpha) = ccp.ccp_alpha {
        (said["mode"], said["ccp_alpha"]) = ("ccp_alpha".into(), alpha.into());
        wanted = path.at_alpha(alpha);
    } else if let Some(leaves) = ccp.target_leaves {
        (said["mode"], said["target_leaves"]) = ("target_leaves".into(), leaves.into());
        wanted = path.at_leaves(usize::try_from(leaves).unwrap_or(usize::MAX));
    } else if let Some(amount) = ccp.amount {
        (said["mode"], said["amount"]) = ("amount".into(), serde_json::to_value(amount).unwrap_or_default());
        wanted = path.at_leaves(usize::try_from(amount.keeps(tree.n_leaves() as u64)).unwrap_or(usize::MAX));
    } else if let (Some(selection), Some((rows, scores))) = (&ccp.selection, &held_out) {
        let scores = defined(scores)?;
        // of equal scores the smallest tree
        let last = |least: f64| scores.iter().rposition(|score| *score >= least - SAME).unwrap_or(0);
        let best = last(scores.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let se = rows.standard_error(&path, best, &judge.asked())?;
        let near = se.map(|se| last(scores[best] - se));
        wanted = match selection.rule {
            Rule::OneSe => near.ok_or_else(|| unfit("invalid_target", "These rows are too few for a standard error of the score."))?,
            _ => best,
        };
        said = json!({
            "mode": "holdout",
            "rule": if selection.rule == Rule::OneSe { "1se" } else { "min" },
            "index": 0,
            "leaves_at_min": leaves_at(best),
            "leaves_at_1se": near.and_then(leaves_at),
            "score_at_min": scores[best],
            "score_se": se,
        });
    } else {
        said["mode"] = "max_quality_loss".into();
    }
    if let (Some(most), Some((_, scores))) = (ccp.max_quality_loss, &held_out) {
        let scores = defined(scores)?;
        said["max_quality_loss"] = most.into();
        // the tree as it is loses nothing
        wanted = scores[..=wanted].iter().rposition(|score| *score >= scores[0] - most - SAME).unwrap_or(0);
    }
    let nodes = whole.nodes.cut(|at| path.cut_at(at).is_some_and(|cut| cut <= wanted));
    let alpha = if wanted == 0 { whole.card.ccp_alpha } else { path.steps()[wanted].alpha };
    Ok((nodes, alpha, said))
}

/// The rows that judge, and who asks whether to go on.
struct Judge<'a> {
    dataset: &'a Dataset,
    base: Base<'a>,
    card: &'a TreeCard,
    observe: &'a Observe<'a>,
}

impl Judge<'_> {
    fn asked(&self) -> impl Fn(&tree::Progress) -> ControlFlow<()> + Sync {
        |_: &tree::Progress| match (self.observe)(&Progress::default()) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(_) => ControlFlow::Break(()),
        }
    }

    /// The nodes as a tree of the data set.
    fn tree(&self, nodes: &Nodes) -> Result<Tree, TrainError> {
        let (used, pace) = (nodes.features_used(), Pace::new(self.observe, &STEPS));
        let matched = Matched::find(self.dataset, (&used, self.card.sparsity.n_features), self.base.names, &pace)?;
        of_dataset(nodes, &used, &matched, self.dataset)
    }

    fn rows_of(&self, nodes: &Nodes) -> Result<(Tree, HeldOutRows<'_>), TrainError> {
        let tree = self.tree(nodes)?;
        let rows = HeldOutRows::of(self.dataset, &tree, self.card.classes.as_deref(), &self.asked())?;
        Ok((tree, rows))
    }

    /// The path of what is left, whose first row is it: that begins at `alpha`, where the path it is part of has come to.
    fn path(&self, nodes: &Nodes, criterion: Criterion, alpha: f64) -> Result<TreePath, TrainError> {
        let (tree, rows) = self.rows_of(nodes)?;
        let pruning = PruningPath::new(&tree, &self.asked())?;
        let scores = rows.scores(&pruning, &self.asked())?;
        let chosen = Chosen { step: 0, least: 0, near: 0 };
        let on = || go_on((self.asked())(&tree::Progress::default()));
        let mut path = Table { pruning: &pruning, nodes, criterion, chosen: &chosen, on: &on }.path(None)?;
        for row in &mut path.rows {
            let step = pruning.at_leaves(usize::try_from(row.leaves).unwrap_or(usize::MAX));
            row.holdout_score = scores.get(step).copied().flatten();
        }
        if let Some(first) = path.rows.first_mut() {
            first.ccp_alpha = alpha;
        }
        Ok(path)
    }
}
