//! The specification of a rules model: how the trees that give the rules are grown, and the lasso over the rules.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX};
use super::limits::parse_limits;
use super::parse_fit::{check_together, parse_lambda, parse_loss, parse_solver, parse_weights, solver_unless_told, transpose};
use super::parse_selection::parse_selection;
use super::{
    AskedLambda, AskedLoss, AskedSelection, Bounds, FitSpec, Lambda, Loss, Penalty, ResolvedFit, RunLimits, Selection, Solver, SpecLimits,
    Standardize,
};
use crate::dataset::{Meta, TargetKind};
use crate::fault::Fault;
use crate::job::Warning;

const N_TREES: u64 = 200;
const N_TREES_MAX: u64 = 10_000;
const MEAN_LEAVES: f64 = 4.0;
const MEAN_LEAVES_MAX: f64 = 64.0;
const LEARNING_RATE: f64 = 0.01;
const RULES: u64 = 2000;
const RULES_MAX: u64 = 20_000;
const PATH_VALUES: u64 = 100;
/// Rules are many and alike: what lies further down a path is seldom chosen, and costs most of it.
const MIN_RATIO: f64 = 1e-3;
/// Entries of the matrix of rules that are always granted, and how many more than the data have.
const ENTRIES_MIN: u64 = 1 << 26;
const ENTRIES_TIMES: u64 = 8;

/// A rules model as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesSpec {
    trees: RuleTrees,
    linear: bool,
    max_rules: u64,
    /// The lasso over the rules; its loss may be open.
    lasso: FitSpec,
}

/// How the trees that give the rules are grown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleTrees {
    /// Number of trees.
    pub n_trees: u64,
    /// Mean number of leaves of a tree.
    pub mean_leaves: f64,
    /// Share of the best step that each tree takes.
    pub learning_rate: f64,
    /// Share of the rows that a tree is grown on; `None` = min(N/2, 100 + 6·√N) of them.
    pub subsample: Option<f64>,
    /// Least sum of sample weights in a leaf, of the rows that the tree is grown on.
    pub min_leaf_weight: f64,
    /// What everything drawn is a function of.
    pub seed: u64,
}

/// A rules model with nothing left open: stored with the job, echoed as `spec_resolved`, read by the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ResolvedRules {
    /// `rules`.
    pub kind: String,
    pub loss: Loss,
    #[serde(flatten)]
    pub trees: RuleTrees,
    /// Whether the features themselves are terms beside the rules.
    pub linear: bool,
    /// Most rules that the lasso chooses from.
    pub max_rules: u64,
    pub lambda: Lambda,
    pub selection: Selection,
    /// Whether stored sample weights are used.
    pub weights: bool,
    pub solver: Solver,
    pub limits: RunLimits,
}

impl ResolvedRules {
    /// The fit of the lasso over rules and features, whose columns are given elsewhere.
    pub fn lasso(&self) -> ResolvedFit {
        ResolvedFit {
            kind: "linear".into(),
            loss: self.loss.clone(),
            penalty: Penalty::lasso(),
            bounds: Bounds::new(),
            non_negative: false,
            lambda: self.lambda.clone(),
            selection: self.selection.clone(),
            refit: None,
            compare_ridge: false,
            intercept: true,
            standardize: Standardize::None,
            weights: self.weights,
            solver: self.solver.clone(),
            warm_start: None,
            limits: self.limits.clone(),
        }
    }

    /// Most entries of the matrix of rules, of a data set of this size: rules beyond it are left out.
    pub fn entries_max(&self, n_rows: u64, nnz: u64) -> u64 {
        // a rule is told by the rows it holds for or by the others, whichever are fewer
        let all = self.max_rules.saturating_mul(n_rows / 2 + 1);
        all.min(ENTRIES_MIN.max(nnz.saturating_mul(ENTRIES_TIMES)))
    }
}

/// Parses `spec` of a rules model.
pub(super) fn parse_rules(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<RulesSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    spec.word("kind", &["rules"], problems);
    let share = |share: f64| share > 0.0 && share <= 1.0;
    let mean = |mean: f64| (2.0..=MEAN_LEAVES_MAX).contains(&mean);
    let subsample = spec.take("subsample").is_some_and(|given| !given.is_null());
    let trees = RuleTrees {
        n_trees: spec.whole("n_trees", 1, N_TREES_MAX, problems).unwrap_or(N_TREES),
        mean_leaves: spec.number("mean_leaves", "from 2 to 64", mean, problems).unwrap_or(MEAN_LEAVES),
        learning_rate: spec.number("learning_rate", "greater than 0 and at most 1", share, problems).unwrap_or(LEARNING_RATE),
        subsample: if subsample { spec.number("subsample", "greater than 0 and at most 1", share, problems) } else { None },
        min_leaf_weight: spec
            .number("min_leaf_weight", "at least 0", |weight| weight.is_finite() && weight >= 0.0, problems)
            .unwrap_or(0.0),
        seed: spec.whole("seed", 0, WHOLE_MAX, problems).unwrap_or(0),
    };
    let linear = spec.flag("linear", problems).unwrap_or(true);
    let max_rules = spec.whole("max_rules", 1, RULES_MAX, problems).unwrap_or(RULES);
    let loss = spec.take("loss").map(|value| parse_loss(value, problems));
    let lambda = spec.take("lambda").map_or_else(
        || Some(AskedLambda::Path { n: PATH_VALUES.min(limits.path_values), min_ratio: None }),
        |value| parse_lambda(value, limits, problems),
    );
    let selection = spec.take("selection").map(|value| parse_selection(value, limits, problems));
    let weights = parse_weights(&mut spec, problems);
    let penalty = Penalty::lasso();
    let solver = match spec.take("solver") {
        Some(value) => parse_solver(value, penalty.tol_kind(), limits, problems),
        None => Some(solver_unless_told(&penalty)),
    };
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    let mut lambda = lambda?;
    if let AskedLambda::Path { min_ratio, .. } = &mut lambda {
        min_ratio.get_or_insert(MIN_RATIO);
    }
    let lasso = FitSpec {
        loss: transpose(loss)?,
        penalty,
        bounds: Bounds::new(),
        non_negative: false,
        lambda,
        selection: transpose(selection)?,
        refit: None,
        compare_ridge: false,
        intercept: true,
        standardize: Standardize::None,
        weights: weights?,
        solver: solver?,
        limits: run?,
        warm_start: None,
    };
    if !matches!(lasso.loss, None | Some(AskedLoss::Squared | AskedLoss::Logistic { .. })) {
        problems.add("#/spec/loss/type", "conflict", "rules go with the squared and logistic losses");
    }
    if matches!(lasso.selection, Some(AskedSelection::Criterion(_) | AskedSelection::Stability(_))) {
        let detail = "rules are made of the rows they are judged by, so that only rows held out judge them fairly: use cv, holdout or none";
        problems.add("#/spec/selection/method", "conflict", detail);
    }
    check_together(&lasso, limits, problems);
    Some(RulesSpec { trees, linear, max_rules, lasso })
}

impl RulesSpec {
    /// Bounds on the run.
    pub(super) fn limits_mut(&mut self) -> &mut RunLimits {
        &mut self.lasso.limits
    }

    /// Compares the specification with the data set and fills every default. Pointers of faults start at `#/spec`.
    ///
    /// # Errors
    /// `invalid_target` where the target cannot serve the loss; else `invalid_parameter` with every problem.
    pub fn resolve(&self, meta: &Meta) -> Result<(ResolvedRules, Vec<Warning>), Fault> {
        let usual = match meta.target.kind {
            TargetKind::Regression | TargetKind::Count => AskedLoss::Squared,
            // of more than two classes it asks for the positive one
            TargetKind::Binary | TargetKind::Multiclass => AskedLoss::Logistic { positive_class: None },
        };
        let lasso = FitSpec { loss: self.lasso.loss.clone().or(Some(usual)), ..self.lasso.clone() };
        let (fit, warnings) = lasso.resolve(meta, None)?;
        let ResolvedFit { loss, lambda, selection, weights, solver, limits, .. } = fit;
        let (trees, linear, max_rules) = (self.trees.clone(), self.linear, self.max_rules);
        Ok((ResolvedRules { kind: "rules".into(), loss, trees, linear, max_rules, lambda, selection, weights, solver, limits }, warnings))
    }
}
