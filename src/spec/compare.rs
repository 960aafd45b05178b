//! The specification of a comparison: which models are measured side by side on the data set, and by what. Knows of the models
//! only what their rows say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evaluate::{check_names, check_target};
use super::fields::{Fields, Problems, WHOLE_MAX, show};
use super::limits::parse_limits;
use super::{
    CrossValidation, Estimate, KnownModel, L1Ratio, Lambda, ModelRef, OnLimit, ResolvedFit, Rule, RunLimits, Selection, SpecLimits,
    estimate,
};
use crate::dataset::{Class, Meta};
use crate::fault::{Code, Fault, Place};
use crate::job::DatasetRef;

const MODELS: &str = "#/spec/models";
/// Most models of one comparison, their dense twins not counted.
const MODELS_MAX: usize = 20;
/// Bounds on the number of resamples, and the rows that all resamples together draw where it is left open.
pub(super) const RESAMPLES: [u64; 2] = [100, 1000];
const ROWS_DRAWN: u64 = 1 << 26;
/// Halves of the rows that stability is measured on.
const HALVES: u64 = 10;
const HALVES_MAX: u64 = 100;
/// The path of a dense twin: ridge is smooth in λ, and its path goes on to the λ where that of the lasso ends.
const TWIN_LAMBDAS: u64 = 50;
const RIDGE_SPAN: f64 = 1e-3;
const TWIN_FOLDS: u64 = 5;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The score with its interval, and the difference to the first model with its own.
    Quality,
    /// Non-zeros or leaves, bytes, and how long the fit took.
    Size,
    /// How long the answer to one row takes.
    Latency,
    /// Which features are used, and how far models agree on them.
    Support,
    /// The rows on which models differ most.
    Disagreement,
    /// How far the features of fits on halves of the rows agree.
    Stability,
}

impl Measure {
    const ALL: [Self; 6] = [Self::Quality, Self::Size, Self::Latency, Self::Support, Self::Disagreement, Self::Stability];
    /// What is measured where nothing is said: all that fits no model.
    const USUAL: [Self; 5] = [Self::Quality, Self::Size, Self::Latency, Self::Support, Self::Disagreement];

    /// How it is called in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quality => "quality",
            Self::Size => "size",
            Self::Latency => "latency",
            Self::Support => "support",
            Self::Disagreement => "disagreement",
            Self::Stability => "stability",
        }
    }
}

/// The one number by which quality is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreName {
    /// Of numbers: 1 − Σ(y − ŷ)²/Σ(y − ȳ)².
    R2,
    /// Of counts, where every model predicts their means: the share of the null model's deviance that is explained.
    DevianceRatio,
    /// Of one class against another: area under the ROC curve.
    Auc,
    /// Of classes: the share of right labels.
    Accuracy,
}

impl ScoreName {
    /// How it is called in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::R2 => "r2",
            Self::DevianceRatio => "deviance_ratio",
            Self::Auc => "auc",
            Self::Accuracy => "accuracy",
        }
    }
}

/// A comparison as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct CompareSpec {
    /// The models to be compared, in this order.
    pub models: Vec<ModelRef>,
    /// Whether each is compared with its dense twin too.
    pub twin: bool,
    measure: Vec<Measure>,
    bootstrap: Option<u64>,
    halves: u64,
    seed: u64,
    pub(super) limits: RunLimits,
}

/// A comparison with nothing left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedCompare {
    /// The model versions: `name:n`, all different.
    pub models: Vec<String>,
    /// What is measured, in the order of [`Measure`].
    pub measure: Vec<Measure>,
    /// By which number quality is compared.
    pub score: ScoreName,
    /// Whether each model has a dense twin beside it.
    pub twin: bool,
    /// How models were fitted that are fitted anew: as dense twins, or on halves of the rows. Trees are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fits: Vec<FitOf>,
    /// Resamples of the rows.
    pub bootstrap: u64,
    /// Halves of the rows that stability is measured on.
    pub halves: u64,
    /// What resamples and halves are drawn by.
    pub seed: u64,
    /// Bounds on the run.
    #[serde(default)]
    pub limits: RunLimits,
}

/// How a model was fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitOf {
    /// The model version: `name:n`.
    pub model: String,
    /// The data set it was fitted on.
    pub dataset: DatasetRef,
    /// The fit, as it was resolved then.
    pub spec: ResolvedFit,
    /// What fitting anew will cost.
    pub estimate: Estimate,
}

/// Parses `spec` of a comparison.
pub(super) fn parse_compare(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<CompareSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    let models = spec.need("models", problems).and_then(|value| parse_models(value, problems));
    let measure = spec.take("measure").map_or_else(|| Some(Measure::USUAL.to_vec()), |value| parse_measure(value, problems));
    let twin = spec.flag("twin", problems);
    let bootstrap = spec.whole("bootstrap", RESAMPLES[0], RESAMPLES[1], problems);
    let halves = spec.whole("halves", 2, HALVES_MAX, problems);
    let seed = spec.whole("seed", 0, WHOLE_MAX, problems);
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    let measure = measure?;
    let unused = |key: &str, what: Measure, problems: &mut Problems| {
        problems.add(&format!("#/spec/{key}"), "conflict", format!("{} is not measured", what.as_str()));
    };
    if bootstrap.is_some() && !measure.contains(&Measure::Quality) {
        unused("bootstrap", Measure::Quality, problems);
    }
    if halves.is_some() && !measure.contains(&Measure::Stability) {
        unused("halves", Measure::Stability, problems);
    }
    let (twin, halves, seed) = (twin.unwrap_or(false), halves.unwrap_or(HALVES), seed.unwrap_or(0));
    Some(CompareSpec { models: models?, twin, measure, bootstrap, halves, seed, limits: run? })
}

fn parse_models(value: &Value, problems: &mut Problems) -> Option<Vec<ModelRef>> {
    let Value::Array(items) = value else {
        problems.add(MODELS, "invalid_field", format!("must be an array of model references, got {}", show(value)));
        return None;
    };
    if !(1..=MODELS_MAX).contains(&items.len()) {
        problems.add(MODELS, "out_of_range", format!("must name from 1 to {MODELS_MAX} models, got {}", items.len()));
        return None;
    }
    let read = |(at, item): (usize, &Value)| {
        let model = item.as_str().and_then(ModelRef::parse);
        if model.is_none() {
            let detail = "must be a model reference: `name`, `name:3` or `name@alias`";
            problems.add(&format!("{MODELS}/{at}"), "invalid_field", detail);
        }
        model
    };
    // every wrong one is told, not only the first
    let models: Vec<Option<ModelRef>> = items.iter().enumerate().map(read).collect();
    models.into_iter().collect()
}

fn parse_measure(value: &Value, problems: &mut Problems) -> Option<Vec<Measure>> {
    let words = Measure::ALL.map(Measure::as_str).join(", ");
    let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
        problems.add("#/spec/measure", "invalid_field", format!("must be an array of {words}"));
        return None;
    };
    let mut measure = Vec::new();
    for (at, item) in items.iter().enumerate() {
        match Measure::ALL.into_iter().find(|one| item.as_str() == Some(one.as_str())) {
            Some(one) => measure.push(one),
            None => {
                problems.add(&format!("#/spec/measure/{at}"), "unknown_value", format!("must be one of {words}, got {}", show(item)));
                return None;
            }
        }
    }
    measure.sort_unstable();
    measure.dedup();
    Some(measure)
}

impl CompareSpec {
    /// Compares the models, in the order they were named, with the data set and with each other.
    ///
    /// # Errors
    /// With the pointer of the model: `invalid_target` where the target is not what it predicts; `invalid_parameter` where it is named
    /// twice, where its features cannot be matched, or where no one score measures it and the first; or where a limit means nothing.
    pub fn resolve(&self, models: &[KnownModel<'_>], meta: &Meta) -> Result<ResolvedCompare, Fault> {
        if self.limits.on_limit == OnLimit::KeepBest {
            let detail = "keep_best has no meaning here: a comparison that is not whole says nothing";
            return Err(conflict("#/limits/on_limit", detail));
        }
        for (at, model) in models.iter().enumerate() {
            let pointer = format!("{MODELS}/{at}");
            if let Some(first) = models[..at].iter().position(|other| other.reference == model.reference) {
                return Err(conflict(&pointer, format!("is {}, as #/spec/models/{first} is", model.reference)));
            }
            check_names(model, meta, &pointer)?;
            check_target(model, meta, &pointer)?;
        }
        let score = score_of(models).map_err(|at| {
            let detail = "no one score measures it and the first model: they tell other classes apart";
            conflict(&format!("{MODELS}/{at}"), detail)
        })?;
        Ok(ResolvedCompare {
            models: models.iter().map(|model| model.reference.to_owned()).collect(),
            measure: self.measure.clone(),
            score,
            twin: self.twin,
            fits: Vec::new(),
            bootstrap: self.bootstrap.unwrap_or(usual_resamples(meta.shape[0])),
            halves: self.halves,
            seed: self.seed,
            limits: self.limits.clone(),
        })
    }
}

impl ResolvedCompare {
    /// Whether this is measured.
    pub fn measures(&self, what: Measure) -> bool {
        self.measure.contains(&what)
    }

    /// How model `reference` was fitted, if it is fitted anew.
    pub fn fit_of(&self, reference: &str) -> Option<&FitOf> {
        self.fits.iter().find(|fit| fit.model == reference)
    }

    /// Says how a model was fitted, on a data set of this `meta`, that is fitted anew; `dense` says that it has a twin.
    pub fn fit_anew(&mut self, model: String, dataset: DatasetRef, spec: ResolvedFit, (meta, threads): (&Meta, u64), dense: bool) {
        let none = Estimate { memory_mb: [0.0; 2], runtime_s: [0.0; 2] };
        let twin = if dense && self.twin { estimate(meta, &spec.dense_twin(meta.shape), threads) } else { none };
        let stable = self.measures(Measure::Stability);
        let half = if stable { estimate(meta, &spec.on_a_half(1.0, 1.0), threads) } else { none };
        let halves = self.halves as f64;
        let end = |end: usize| (twin.memory_mb[end].max(half.memory_mb[end]), twin.runtime_s[end] + halves * half.runtime_s[end]);
        let [low, high] = [end(0), end(1)];
        let estimate = Estimate { memory_mb: [low.0, high.0], runtime_s: [low.1, high.1] };
        self.fits.push(FitOf { model, dataset, spec, estimate });
    }
}

fn conflict(pointer: &str, detail: impl Into<String>) -> Fault {
    Fault::at(Code::InvalidParameter, Place::pointer(pointer, "conflict", detail))
}

/// Resamples of so many rows, where their number is left open.
pub(super) fn usual_resamples(rows: u64) -> u64 {
    (ROWS_DRAWN / rows.max(1)).clamp(RESAMPLES[0], RESAMPLES[1])
}

/// The score that all models can be measured by, or the first that cannot be measured as the first is.
pub(super) fn score_of(models: &[KnownModel<'_>]) -> Result<ScoreName, usize> {
    let Some(first) = models.first() else { return Ok(ScoreName::R2) };
    let Some(known) = first.classes else {
        // whether all predict numbers was checked with the target
        return match models.iter().position(|model| model.classes.is_some()) {
            Some(at) => Err(at),
            None if models.iter().all(|model| model.loss == "poisson") => Ok(ScoreName::DevianceRatio),
            None => Ok(ScoreName::R2),
        };
    };
    let sides = models.iter().position(|model| !model.classes.is_some_and(|other| same_sides(known, other)));
    let named = |model: &KnownModel<'_>| model.classes.is_some_and(|classes| classes.iter().all(Option::is_some));
    match (sides, models.iter().position(|model| !named(model))) {
        (None, _) => Ok(ScoreName::Auc),
        (Some(_), None) => Ok(ScoreName::Accuracy),
        // one class against the rest goes with its like alone
        (Some(at), Some(unnamed)) => Err(if unnamed > 0 { unnamed } else { at }),
    }
}

/// Whether both tell the same class from others, whichever of the two is the positive one.
fn same_sides(one: &[Option<Class>], other: &[Option<Class>]) -> bool {
    match (one, other) {
        ([negative, Some(positive)], [other_negative, Some(other_positive)]) => {
            positive == other_positive || (other_negative.as_ref() == Some(positive) && negative.as_ref() == Some(other_positive))
        }
        _ => false,
    }
}

impl ResolvedFit {
    /// Ridge in place of the penalty, on a data set of this shape: the same loss, scale, intercept, factors and bounds, λ by folds.
    pub fn dense_twin(&self, shape: [u64; 2]) -> Self {
        let mut twin = self.clone();
        twin.penalty.kind = "l2".into();
        twin.penalty.l1_ratio = L1Ratio::One(0.0);
        (twin.penalty.gamma, twin.penalty.adaptive) = (None, None);
        twin.penalty.groups.clear();
        let min_ratio = if shape[0] >= shape[1] { 1e-4 } else { 1e-2 };
        twin.lambda = Lambda::Path { n: TWIN_LAMBDAS, min_ratio: min_ratio * RIDGE_SPAN };
        twin.selection = Selection::Cv(CrossValidation {
            folds: TWIN_FOLDS.min(shape[0]).max(2),
            stratify: self.loss.has_classes(),
            seed: 0,
            metric: "deviance".into(),
            rule: Rule::Min,
            within_pct: None,
            repeats: 1,
            groups: Vec::new(),
            fold_of_row: Vec::new(),
        });
        twin.solver.tol_kind = twin.penalty.tol_kind().into();
        (twin.refit, twin.compare_ridge, twin.warm_start) = (None, false, None);
        twin.limits = RunLimits::default();
        twin
    }

    /// The same penalty at one λ, on rows that weights choose.
    pub fn on_a_half(&self, lambda: f64, l1_ratio: f64) -> Self {
        let mut half = self.clone();
        half.penalty.l1_ratio = L1Ratio::One(l1_ratio);
        (half.lambda, half.selection) = (Lambda::Value { value: lambda }, Selection::None);
        (half.refit, half.compare_ridge, half.warm_start) = (None, false, None);
        (half.weights, half.limits) = (true, RunLimits::default());
        half
    }
}
