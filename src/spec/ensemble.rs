//! The specification of an ensemble: boosted trees, how large they are and how many.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX};
use super::limits::parse_limits;
use super::network::n_outputs;
use super::parse_fit::parse_weights;
use super::trained::{EarlyStopping, NaturalLoss, check_held_out, natural_loss, parse_early_stopping, parse_natural_loss};
use super::{AskedWeights, RunLimits, SpecLimits};
use crate::dataset::Meta;
use crate::fault::Fault;
use crate::job::Warning;

const N_TREES: u64 = 200;
const N_TREES_MAX: u64 = 10_000;
const LEARNING_RATE: f64 = 0.1;
const MAX_LEAVES: u64 = 31;
const MAX_LEAVES_MAX: u64 = 1 << 16;
/// Leaves that all trees may have together.
const LEAVES_MAX: u64 = 1 << 24;
/// Scores that are held at a time: one for each row and output.
const SCORES_MAX: u64 = 1 << 32;

/// An ensemble as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct EnsembleSpec {
    loss: Option<NaturalLoss>,
    n_trees: u64,
    learning_rate: f64,
    max_leaves: u64,
    subsample: f64,
    min_leaf_weight: Option<f64>,
    seed: u64,
    early_stopping: Option<EarlyStopping>,
    weights: AskedWeights,
    pub(super) limits: RunLimits,
}

/// An ensemble with nothing left open: stored with the job, echoed as `spec_resolved`, read by the worker; and part of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ResolvedEnsemble {
    /// `ensemble`.
    pub kind: String,
    pub loss: NaturalLoss,
    /// Rounds: each adds a tree, or one for each of more than two classes.
    pub n_trees: u64,
    /// Share of the best step that each tree takes.
    pub learning_rate: f64,
    /// Most leaves of a tree; the split that explains most is always made next.
    pub max_leaves: u64,
    /// Share of the rows that the trees of a round are grown on.
    pub subsample: f64,
    /// Least sum of sample weights in a leaf, of the rows that the tree is grown on; `None` = that of 20 rows on the average, at most a
    /// fiftieth of all weight.
    pub min_leaf_weight: Option<f64>,
    pub seed: u64,
    pub early_stopping: Option<EarlyStopping>,
    /// Whether stored sample weights are used.
    pub weights: bool,
    pub limits: RunLimits,
}

impl ResolvedEnsemble {
    /// Most leaves that all trees for `n_outputs` may have on so many rows.
    pub fn n_leaves(&self, n_rows: u64, n_outputs: u64) -> u64 {
        self.n_trees.saturating_mul(n_outputs).saturating_mul(self.max_leaves.min(n_rows.max(1)))
    }
}

/// Parses `spec` of an ensemble.
pub(super) fn parse_ensemble(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<EnsembleSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    spec.word("kind", &["ensemble"], problems);
    let loss = parse_natural_loss(&mut spec, problems);
    let share = |share: f64| share > 0.0 && share <= 1.0;
    let not_negative = |number: f64| number.is_finite() && number >= 0.0;
    let n_trees = spec.whole("n_trees", 1, N_TREES_MAX, problems).unwrap_or(N_TREES);
    let learning_rate = spec.number("learning_rate", "greater than 0 and at most 1", share, problems).unwrap_or(LEARNING_RATE);
    let max_leaves = spec.whole("max_leaves", 2, MAX_LEAVES_MAX, problems).unwrap_or(MAX_LEAVES);
    let subsample = spec.number("subsample", "greater than 0 and at most 1", share, problems).unwrap_or(1.0);
    let least = spec.take("min_leaf_weight").is_some_and(|given| !given.is_null());
    let min_leaf_weight = if least { spec.number("min_leaf_weight", "at least 0", not_negative, problems) } else { None };
    let seed = spec.whole("seed", 0, WHOLE_MAX, problems).unwrap_or(0);
    let early_stopping = parse_early_stopping(&mut spec, EarlyStopping { fraction: 0.1, patience: 10 }, problems);
    let weights = parse_weights(&mut spec, problems);
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    Some(EnsembleSpec {
        loss,
        n_trees,
        learning_rate,
        max_leaves,
        subsample,
        min_leaf_weight,
        seed,
        early_stopping: early_stopping?,
        weights: weights?,
        limits: run?,
    })
}

impl EnsembleSpec {
    /// Compares the specification with the data set and fills every default. Pointers of faults start at `#/spec`.
    ///
    /// # Errors
    /// `invalid_target` where the target cannot serve the loss; else `invalid_parameter` with every problem.
    pub fn resolve(&self, meta: &Meta) -> Result<(ResolvedEnsemble, Vec<Warning>), Fault> {
        let loss = natural_loss("an ensemble", self.loss, meta)?;
        let (mut problems, mut warnings) = (Problems::default(), Vec::new());
        if meta.offset {
            let detail = "An ensemble predicts by sums of constants, which an offset does not move: it is not used.";
            warnings.push(Warning { code: "offset_ignored".into(), detail: detail.into(), features: Vec::new() });
        }
        if self.weights == AskedWeights::Required && !meta.weighted {
            problems.add("#/spec/weights", "conflict", "the data set has no weights");
        }
        check_held_out(self.early_stopping, meta, &mut problems);
        let ensemble = ResolvedEnsemble {
            kind: "ensemble".into(),
            loss,
            n_trees: self.n_trees,
            learning_rate: self.learning_rate,
            max_leaves: self.max_leaves,
            subsample: self.subsample,
            min_leaf_weight: self.min_leaf_weight,
            seed: self.seed,
            early_stopping: self.early_stopping,
            weights: self.weights != AskedWeights::Ignored && meta.weighted,
            limits: self.limits.clone(),
        };
        let (rows, outputs) = (meta.shape[0], n_outputs(meta));
        let leaves = ensemble.n_leaves(rows, outputs);
        if leaves > LEAVES_MAX {
            let detail = format!("these trees may have {leaves} leaves together; at most {LEAVES_MAX} are grown");
            problems.add("#/spec/n_trees", "out_of_range", detail);
        }
        if rows.saturating_mul(outputs) > SCORES_MAX {
            let detail = format!("{rows} rows of {outputs} classes are more than boosting keeps scores of, {SCORES_MAX}");
            problems.add("#/spec/loss", "out_of_range", detail);
        }
        problems.into_fault().map_or(Ok((ensemble, warnings)), Err)
    }
}
