//! The specification of a tree: how it is grown, and how much of it is kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX};
use super::limits::parse_limits;
use super::parse_fit::parse_weights;
use super::resolve_selection::default_folds;
use super::{AskedWeights, Rule, RunLimits, SpecLimits, Splits};
use crate::dataset::Meta;
use crate::fault::{Code, Fault};
use crate::job::Warning;

const PRUNING: &str = "#/spec/pruning";
const CRITERION: &str = "#/spec/criterion";
/// Classes that a tree can tell apart.
const CLASSES_MAX: usize = 1 << 16;

/// What makes a node impure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Criterion {
    Squared,
    Gini,
    Entropy,
}

impl Criterion {
    /// How it is called in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squared => "squared",
            Self::Gini => "gini",
            Self::Entropy => "entropy",
        }
    }
}

/// A tree as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct TreeSpec {
    criterion: Option<Criterion>,
    size: TreeSize,
    pruning: AskedPruning,
    weights: AskedWeights,
    pub(super) limits: RunLimits,
}

#[derive(Clone, Debug, PartialEq)]
enum AskedPruning {
    None,
    CcpAlpha(f64),
    TargetLeaves(u64),
    Cv { folds: Option<u64>, stratify: Option<bool>, seed: u64, rule: Rule },
}

/// Where growing ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TreeSize {
    /// Most splits between the root and a leaf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// Most leaves: with it the split that takes most impurity away is always made next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_leaves: Option<u64>,
    /// Least sum of sample weights in a leaf.
    pub min_leaf_weight: f64,
    /// Least decrease of impurity of a split, times the node's share of all weight.
    pub min_impurity_decrease: f64,
}

/// How much of the tree that was grown is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Pruning {
    /// All of it.
    None,
    /// What is best for an α: R(T) + α·leaves.
    CcpAlpha {
        /// In units of the criterion.
        ccp_alpha: f64,
    },
    /// The largest pruning of at most so many leaves.
    TargetLeaves {
        /// At least 1.
        target_leaves: u64,
    },
    /// What predicts rows held out best.
    Cv(TreeFolds),
}

/// Cross-validation of the path of prunings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TreeFolds {
    pub folds: u64,
    /// Keep class shares equal over folds.
    pub stratify: bool,
    pub seed: u64,
    /// `min`, or `1se`: the smallest tree within one standard error of the least mean.
    pub rule: Rule,
}

impl TreeFolds {
    /// Which rows are held out.
    pub fn splits(&self) -> Splits<'static> {
        Splits::plain(self.folds, self.stratify, self.seed)
    }
}

/// A tree with nothing left open: stored with the job, echoed as `spec_resolved`, read by the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ResolvedTree {
    /// `tree`.
    pub kind: String,
    pub criterion: Criterion,
    #[serde(flatten)]
    pub size: TreeSize,
    pub pruning: Pruning,
    /// Whether stored sample weights are used.
    pub weights: bool,
    pub limits: RunLimits,
}

impl ResolvedTree {
    /// The folds that choose, if folds do.
    pub fn folds(&self) -> Option<&TreeFolds> {
        if let Pruning::Cv(folds) = &self.pruning { Some(folds) } else { None }
    }
}

/// Parses `spec` of a tree.
pub(super) fn parse_tree(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<TreeSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    spec.word("kind", &["tree"], problems);
    let criterion = match spec.word("criterion", &["auto", "squared", "gini", "entropy"], problems) {
        Some("squared") => Some(Criterion::Squared),
        Some("gini") => Some(Criterion::Gini),
        Some("entropy") => Some(Criterion::Entropy),
        _ => None,
    };
    let not_negative = |number: f64| number.is_finite() && number >= 0.0;
    let size = TreeSize {
        max_depth: spec.whole("max_depth", 1, u64::from(u32::MAX), problems).map(|depth| depth as u32),
        max_leaves: spec.whole("max_leaves", 1, u64::from(u32::MAX), problems),
        min_leaf_weight: spec.number("min_leaf_weight", "at least 0", not_negative, problems).unwrap_or(0.0),
        min_impurity_decrease: spec.number("min_impurity_decrease", "at least 0", not_negative, problems).unwrap_or(0.0),
    };
    let usual = AskedPruning::Cv { folds: None, stratify: None, seed: 0, rule: Rule::Min };
    let pruning = spec.take("pruning").map_or(Some(usual), |value| parse_pruning(value, limits, problems));
    let weights = parse_weights(&mut spec, problems);
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    Some(TreeSpec { criterion, size, pruning: pruning?, weights: weights?, limits: run? })
}

fn parse_pruning(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<AskedPruning> {
    const KEYS: [&str; 6] = ["ccp_alpha", "target_leaves", "folds", "stratify", "seed", "rule"];
    let mut pruning = Fields::open(value, PRUNING, problems)?;
    let mode = pruning.need("mode", problems).and(pruning.word("mode", &["none", "ccp_alpha", "cv", "target_leaves"], problems));
    let ccp_alpha = pruning.number("ccp_alpha", "at least 0", |alpha| alpha.is_finite() && alpha >= 0.0, problems);
    let target_leaves = pruning.whole("target_leaves", 1, u64::from(u32::MAX), problems);
    let folds = pruning.whole("folds", 2, limits.folds, problems);
    let stratify = pruning.flag("stratify", problems);
    let seed = pruning.whole("seed", 0, WHOLE_MAX, problems).unwrap_or(0);
    let rule = if pruning.word("rule", &["min", "1se"], problems) == Some("1se") { Rule::OneSe } else { Rule::Min };
    if let Some(mode) = mode {
        let own: &[&str] = match mode {
            "ccp_alpha" => &KEYS[..1],
            "target_leaves" => &KEYS[1..2],
            "cv" => &KEYS[2..],
            _ => &[],
        };
        for key in KEYS.into_iter().filter(|key| value.get(key).is_some() && !own.contains(key)) {
            problems.add(&pruning.at(key), "conflict", format!("has no meaning with the mode {mode}"));
        }
        for (of, missing) in [("ccp_alpha", ccp_alpha.is_none()), ("target_leaves", target_leaves.is_none())] {
            if mode == of && missing && value.get(of).is_none() {
                problems.add(&pruning.at(of), "missing", format!("the mode {of} needs `{of}`"));
            }
        }
    }
    pruning.close(problems);
    Some(match mode? {
        "none" => AskedPruning::None,
        "ccp_alpha" => AskedPruning::CcpAlpha(ccp_alpha?),
        "target_leaves" => AskedPruning::TargetLeaves(target_leaves?),
        _ => AskedPruning::Cv { folds, stratify, seed, rule },
    })
}

impl TreeSpec {
    /// Compares the specification with the data set and fills every default. Pointers of faults start at `#/spec`.
    ///
    /// # Errors
    /// `invalid_target` where the target cannot serve the criterion; else `invalid_parameter` with every problem.
    pub fn resolve(&self, meta: &Meta) -> Result<(ResolvedTree, Vec<Warning>), Fault> {
        let criterion = self.resolve_criterion(meta)?;
        let (mut problems, mut warnings) = (Problems::default(), Vec::new());
        if meta.offset {
            let detail = "A tree predicts by constants, which an offset does not move: it is not used.";
            warnings.push(Warning { code: "offset_ignored".into(), detail: detail.into(), features: Vec::new() });
        }
        let pruning = self.resolve_pruning(meta, criterion, &mut warnings, &mut problems);
        if self.weights == AskedWeights::Required && !meta.weighted {
            problems.add("#/spec/weights", "conflict", "the data set has no weights");
        }
        if let Some(fault) = problems.into_fault() {
            return Err(fault);
        }
        let weights = self.weights != AskedWeights::Ignored && meta.weighted;
        let (size, limits) = (self.size.clone(), self.limits.clone());
        Ok((ResolvedTree { kind: "tree".into(), criterion, size, pruning, weights, limits }, warnings))
    }

    fn resolve_criterion(&self, meta: &Meta) -> Result<Criterion, Fault> {
        let unfit = |detail: String| Err(Fault::at_pointer(Code::InvalidTarget, CRITERION, detail));
        match (self.criterion, meta.target.classes.as_deref()) {
            (Some(Criterion::Squared), Some(_)) => {
                unfit("squared needs numbers, and the target has classes; upload it with target_kind=regression, or use gini".into())
            }
            (_, Some([] | [_])) => unfit("the target has one class only: nothing is left to tell it from".into()),
            (_, Some(classes)) if classes.len() > CLASSES_MAX => {
                unfit(format!("a tree tells at most {CLASSES_MAX} classes apart, and the target has {}", classes.len()))
            }
            (asked, Some(_)) => Ok(asked.unwrap_or(Criterion::Gini)),
            (None | Some(Criterion::Squared), None) => Ok(Criterion::Squared),
            (Some(asked), None) => {
                let name = asked.name();
                unfit(format!("{name} needs classes, and the target has numbers; upload it with target_kind=multiclass, or use squared"))
            }
        }
    }

    fn resolve_pruning(&self, meta: &Meta, criterion: Criterion, warnings: &mut Vec<Warning>, problems: &mut Problems) -> Pruning {
        let (folds, stratify, seed, rule) = match self.pruning {
            AskedPruning::None => return Pruning::None,
            AskedPruning::CcpAlpha(ccp_alpha) => return Pruning::CcpAlpha { ccp_alpha },
            AskedPruning::TargetLeaves(target_leaves) => return Pruning::TargetLeaves { target_leaves },
            AskedPruning::Cv { folds, stratify, seed, rule } => (folds, stratify, seed, rule),
        };
        let (n_rows, classes) = (meta.shape[0], criterion != Criterion::Squared);
        if n_rows < 2 {
            problems.add(PRUNING, "conflict", "no row of one can be held out; use {\"mode\":\"none\"}");
        } else if folds.is_some_and(|folds| folds > n_rows) {
            problems.add("#/spec/pruning/folds", "out_of_range", format!("must be at most the number of rows, {n_rows}"));
        }
        if stratify == Some(true) && !classes {
            problems.add("#/spec/pruning/stratify", "conflict", "only classes can be stratified; the target has none");
        }
        let folds = folds.unwrap_or_else(|| default_folds(n_rows, "rows", warnings));
        Pruning::Cv(TreeFolds { folds, stratify: stratify.unwrap_or(classes), seed, rule })
    }
}
