//! How good a model is on a data set, which it may never have seen.
//!
//! Only the columns of features with a non-zero coefficient are read. Memory: a few numbers a row.

use std::cell::Cell;
use std::cmp::Ordering;

use serde_json::{Value, json};

use super::ranking::auc;
use super::target::{display_name, numbers};
use super::{Observe, TrainError, unfit};
use super::{evaluate_classes, evaluate_ensemble, evaluate_network, evaluate_rules, evaluate_tree};
use crate::dataset::{Class, Dataset, Names};
use crate::job::{Progress, Step, Warning};
use crate::matrix::{Number, ValuesView};
use crate::model::{LinearModel, Model};

/// Units of work, a few nanoseconds each, between two looks up.
const UNSEEN: usize = 1 << 16;
/// Rows or non-zeros of one stretch of work.
pub(super) const STRETCH: usize = 1 << 13;
/// A warning names no more features than this.
const FEATURES_MAX: usize = 1000;
/// 1 is said with the stored result, by the store.
const FRACTION_MAX: f64 = 0.99;

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// By name, `score` among them; a measure that is not defined on these rows is `null`.
    pub metrics: Value,
    /// Rows of the data set.
    pub rows: u64,
    /// Features of the data set with a non-zero that the model does not know.
    pub unknown_features: u64,
    /// Features with a non-zero coefficient that the data set does not have; they count as 0.
    pub missing_features: u64,
    /// What to beware of.
    pub warnings: Vec<Warning>,
}

/// Measures `model`, whose features have these `names`, on the rows of a data set, with its weights and offsets.
///
/// # Errors
/// `observe` said to stop; or the target is not what the model predicts, all weights are 0, or a prediction is no
/// finite number.
pub fn evaluate(dataset: &Dataset, model: &Model, names: Option<&Names>, observe: &Observe<'_>) -> Result<Evaluation, TrainError> {
    let pace = Pace::new(observe, &["score", "measure"]);
    let (matched, eta) = scores_of(dataset, model, names, &pace)?;
    pace.at(1);
    let metrics = match model {
        Model::Linear(model) if model.card.is_multinomial() => {
            evaluate_classes::of_scores(dataset, &eta, model.card.classes.as_deref().unwrap_or_default(), &pace)?
        }
        Model::Linear(model) => metrics(dataset, model, &eta, &pace)?,
        Model::Tree(model) => evaluate_tree::metrics(dataset, model.card.classes.as_deref(), &eta, &pace)?,
        Model::Network(model) => evaluate_tree::metrics(dataset, model.card.classes.as_deref(), &eta, &pace)?,
        Model::Ensemble(model) => evaluate_tree::metrics(dataset, model.card.classes.as_deref(), &eta, &pace)?,
        Model::Rules(model) => evaluate_rules::metrics(dataset, model, &eta, &pace)?,
    };
    let finite = |value: &Value| value.is_null() || value.as_f64().is_some();
    if !metrics.as_object().is_some_and(|all| all.values().all(finite)) {
        return Err(unfit("numerical_error", "A measure is not a finite number."));
    }
    Ok(Evaluation {
        metrics,
        rows: dataset.y.len() as u64,
        unknown_features: matched.unknown.0,
        missing_features: matched.missing.0,
        warnings: matched.warnings(),
    })
}

/// The linear predictors of every row, one for each class of a model of many; those of a tree are what would give its shares.
pub(super) fn scores_of(
    dataset: &Dataset,
    model: &Model,
    names: Option<&Names>,
    pace: &Pace<'_>,
) -> Result<(Matched, Vec<f64>), TrainError> {
    match model {
        Model::Linear(model) => {
            let matched = Matched::find(dataset, (&model.indices, model.card.sparsity.n_features), names, pace)?;
            let eta = match model.card.is_multinomial() {
                true => evaluate_classes::scores(dataset, model, &matched, pace)?,
                false => scores(dataset, model, &matched, pace)?,
            };
            Ok((matched, eta))
        }
        Model::Tree(model) => {
            let used = model.nodes.features_used();
            let matched = Matched::find(dataset, (&used, model.card.sparsity.n_features), names, pace)?;
            let eta = evaluate_tree::scores(dataset, model, &used, &matched, pace)?;
            Ok((matched, eta))
        }
        Model::Rules(model) => {
            let used = model.features_used();
            let matched = Matched::find(dataset, (&used, model.card.sparsity.n_features), names, pace)?;
            let eta = evaluate_rules::scores(dataset, model, &used, &matched, pace)?;
            Ok((matched, eta))
        }
        Model::Network(model) => {
            let matched = Matched::find(dataset, (&model.inputs, model.card.sparsity.n_features), names, pace)?;
            let eta = evaluate_network::scores(dataset, model, &matched, pace)?;
            Ok((matched, eta))
        }
        Model::Ensemble(model) => {
            let used = model.trees.features_used();
            let matched = Matched::find(dataset, (&used, model.card.sparsity.n_features), names, pace)?;
            let eta = evaluate_ensemble::scores(dataset, model, &used, &matched, pace)?;
            Ok((matched, eta))
        }
    }
}

fn metrics(dataset: &Dataset, model: &LinearModel, eta: &[f64], pace: &Pace<'_>) -> Result<Value, TrainError> {
    let rows = Measured { y: &target(dataset, model.card.classes.as_deref())?, eta, dataset, pace };
    match model.card.loss.as_str() {
        "squared" => rows.numbers(),
        "poisson" => rows.counts(),
        "logistic" => rows.sides(true),
        "squared_hinge" => rows.sides(false),
        // its deviance hangs on δ, which a card tells in words alone
        "huber" => {
            let mut metrics = rows.numbers()?;
            metrics["deviance"] = Value::Null;
            Ok(metrics)
        }
        other => Err(unfit("invalid_target", format!("A model of {other} loss cannot be evaluated."))),
    }
}

/// Tells how far the work is, often enough to be stopped within a moment.
pub(super) struct Pace<'a> {
    pub(super) observe: &'a Observe<'a>,
    parts: &'a [&'static str],
    unseen: Cell<usize>,
    part: Cell<u64>,
    /// Of the part: units done, and in all.
    within: Cell<(u64, u64)>,
}

impl<'a> Pace<'a> {
    pub(super) fn new(observe: &'a Observe<'a>, parts: &'a [&'static str]) -> Self {
        Self { observe, parts, unseen: Cell::new(UNSEEN), part: Cell::new(0), within: Cell::new((0, 1)) }
    }

    /// So many parts are done.
    pub(super) fn at(&self, part: u64) {
        self.part.set(part);
        self.within.set((0, 1));
        self.unseen.set(UNSEEN);
    }

    /// So many of the units of this part are done.
    pub(super) fn done(&self, done: usize, total: usize) {
        self.within.set((done as u64, total.max(1) as u64));
    }

    /// How far everything is, where a share of the next unit of this part is done.
    pub(super) fn progress(&self, share: f64) -> Progress {
        let (part, (done, total)) = (self.part.get(), self.within.get());
        let step = |(at, name): (usize, &&str)| match part.cmp(&(at as u64)) {
            Ordering::Greater => Step { name: (*name).into(), done: 1, total: 1 },
            Ordering::Equal => Step { name: (*name).into(), done, total },
            Ordering::Less => Step { name: (*name).into(), done: 0, total: 1 },
        };
        let steps = self.parts.iter().enumerate().map(step).collect();
        let whole = part as f64 + (done as f64 + share.clamp(0.0, 1.0)) / total as f64;
        Progress { fraction: (whole / self.parts.len().max(1) as f64).min(FRACTION_MAX), eta_s: None, steps, current: None }
    }

    pub(super) fn work(&self, units: usize) -> Result<(), TrainError> {
        let unseen = self.unseen.get().saturating_add(units);
        self.unseen.set(unseen);
        if unseen < UNSEEN {
            return Ok(());
        }
        self.unseen.set(0);
        if (self.observe)(&self.progress(0.0)).is_break() { Err(TrainError::Cancelled) } else { Ok(()) }
    }
}

/// Which stored column belongs to which coefficient.
#[derive(Default)]
pub(super) struct Matched {
    /// Position among the model's coefficients, and of the column; by rising feature of the model, and class.
    pub(super) pairs: Vec<(u32, u32)>,
    /// How many, and the display names of the first.
    unknown: (u64, Vec<String>),
    missing: (u64, Vec<String>),
}

impl Matched {
    /// `indices` are the features that matter to the model, rising, of so many in all.
    pub(super) fn find(
        dataset: &Dataset,
        (indices, n_features): (&[u32], u64),
        names: Option<&Names>,
        pace: &Pace<'_>,
    ) -> Result<Self, TrainError> {
        let theirs = dataset.names.as_deref();
        let width = dataset.meta.shape[1];
        // one file of names for both: a feature is the same number here and there
        let renamed = names.zip(theirs).filter(|(ours, theirs)| !std::ptr::eq(*ours, *theirs));
        if names.is_some() != theirs.is_some() {
            return Err(unfit("invalid_parameter", "Features with names and features without cannot be matched."));
        }
        let of_model = |feature: u32| match renamed {
            Some((ours, theirs)) => theirs.get(feature).and_then(|name| ours.find(name)),
            None => Some(feature).filter(|feature| u64::from(*feature) < n_features),
        };
        let of_data = |feature: u32| match renamed {
            Some((ours, theirs)) => ours.get(feature).and_then(|name| theirs.find(name)),
            None => Some(feature).filter(|feature| u64::from(*feature) < width),
        };
        let mut matched = Self::default();
        let cost = if renamed.is_some() { 200 } else { 4 };
        for (column, &feature) in (0u32..).zip(dataset.x.view().features) {
            pace.work(cost)?;
            match of_model(feature) {
                None => note(&mut matched.unknown, || display_name(dataset, feature)),
                Some(known) => {
                    let first = indices.partition_point(|index| *index < known);
                    let own = indices[first..].iter().take_while(|index| **index == known);
                    matched.pairs.extend((first as u32..).zip(own).map(|(at, _)| (at, column)));
                }
            }
        }
        matched.pairs.sort_unstable();
        for same in indices.chunk_by(|a, b| a == b) {
            let feature = same[0];
            pace.work(cost)?;
            if of_data(feature).is_none() {
                note(&mut matched.missing, || crate::model::display_name(names, feature));
            }
        }
        Ok(matched)
    }

    pub(super) fn warnings(&self) -> Vec<Warning> {
        let warn = |(count, features): &(u64, Vec<String>), code: &str, what: &str| {
            (*count > 0).then(|| Warning { code: code.into(), detail: format!("{count} {what}"), features: features.clone() })
        };
        let unknown = warn(&self.unknown, "unknown_features", "features of the data set are unknown to the model and were left out.");
        let missing = warn(&self.missing, "missing_features", "features of the model are not in the data set and count as 0.");
        unknown.into_iter().chain(missing).collect()
    }
}

fn note((count, features): &mut (u64, Vec<String>), name: impl FnOnce() -> String) {
    *count += 1;
    if features.len() < FEATURES_MAX {
        features.push(name());
    }
}

/// η of each row, summed as predictions are: the intercept first, then by rising feature; the offset last.
fn scores(dataset: &Dataset, model: &LinearModel, matched: &Matched, pace: &Pace<'_>) -> Result<Vec<f64>, TrainError> {
    let mut eta = vec![model.card.intercept; dataset.y.len()];
    match dataset.x.view().values {
        ValuesView::Single(values) => add_columns(dataset, values, model, matched, &mut eta, pace)?,
        ValuesView::Double(values) => add_columns(dataset, values, model, matched, &mut eta, pace)?,
    }
    if let Some(offset) = dataset.offset.as_deref() {
        for (eta, offset) in eta.chunks_mut(STRETCH).zip(offset.chunks(STRETCH)) {
            pace.work(eta.len())?;
            eta.iter_mut().zip(offset).for_each(|(eta, offset)| *eta += offset);
        }
    }
    Ok(eta)
}

fn add_columns<V: Number>(
    dataset: &Dataset,
    values: &[V],
    model: &LinearModel,
    matched: &Matched,
    eta: &mut [f64],
    pace: &Pace<'_>,
) -> Result<(), TrainError> {
    let x = dataset.x.view();
    for &(at, column) in &matched.pairs {
        let (coefficient, column) = (model.values[at as usize], x.column(column as usize, values));
        for (rows, values) in column.rows.chunks(STRETCH).zip(column.values.chunks(STRETCH)) {
            pace.work(2 * rows.len())?;
            rows.iter().zip(values).for_each(|(&row, &value)| eta[row as usize] += coefficient * value.into());
        }
    }
    Ok(())
}

/// The target as the model's loss sees it: numbers, or ±1.
pub(super) fn target(dataset: &Dataset, known: Option<&[Option<Class>]>) -> Result<Vec<f64>, TrainError> {
    let Some(known) = known else { return numbers(dataset) };
    let side = |class: &Class| match known.iter().position(|one| one.as_ref() == Some(class)) {
        Some(at) => Some(if at + 1 == known.len() { 1.0 } else { -1.0 }),
        // one class against the rest
        None => known.contains(&None).then_some(-1.0),
    };
    match &dataset.meta.target.classes {
        Some(classes) => {
            let sides: Vec<f64> = classes.iter().map(|class| side(class).ok_or_else(|| unknown(class))).collect::<Result<_, _>>()?;
            Ok(dataset.y.iter().map(|&position| sides[position as usize]).collect())
        }
        None => dataset.y.iter().map(|&y| side(&Class::Number(y)).ok_or_else(|| unknown(&Class::Number(y)))).collect(),
    }
}

pub(super) fn unknown(class: &Class) -> TrainError {
    let class = serde_json::to_string(class).unwrap_or_default();
    unfit("invalid_target", format!("The model does not know the class {class} of the target."))
}

/// Rows with their scores.
pub(super) struct Measured<'a> {
    pub(super) y: &'a [f64],
    pub(super) eta: &'a [f64],
    pub(super) dataset: &'a Dataset,
    pub(super) pace: &'a Pace<'a>,
}

impl Measured<'_> {
    /// Weighted sums over the rows of what `f` tells of a row's number, target and score.
    fn sums<const N: usize>(&self, f: impl Fn(usize, f64, f64) -> [f64; N]) -> Result<[f64; N], TrainError> {
        let (mut sums, weights) = ([0.0; N], self.dataset.weights.as_deref());
        for start in (0..self.y.len()).step_by(STRETCH) {
            let rows = start..(start + STRETCH).min(self.y.len());
            self.pace.work(8 * rows.len())?;
            for i in rows {
                let weight = weights.map_or(1.0, |weights| weights[i]);
                // what a row without weight holds may be anything
                if weight > 0.0 {
                    sums.iter_mut().zip(f(i, self.y[i], self.eta[i])).for_each(|(sum, part)| *sum += weight * part);
                }
            }
        }
        Ok(sums)
    }

    /// Σs and the mean of the target.
    fn total(&self) -> Result<(f64, f64), TrainError> {
        let [total, sum] = self.sums(|_, y, _| [1.0, y])?;
        if total > 0.0 { Ok((total, sum / total)) } else { Err(unfit("invalid_weight", "All sample weights are 0.")) }
    }

    pub(super) fn numbers(&self) -> Result<Value, TrainError> {
        let (total, mean) = self.total()?;
        let [square, size, spread] = self.sums(|_, y, eta| [(y - eta).powi(2), (y - eta).abs(), (y - mean).powi(2)])?;
        let r2 = (spread > 0.0).then(|| 1.0 - square / spread);
        let mse = finite(square / total)?;
        Ok(json!({ "r2": r2, "mse": mse, "mae": finite(size / total)?, "deviance": mse, "score": r2 }))
    }

    /// Means are e^η; the null model of the deviance ratio is the best constant beside the offsets of these very rows.
    fn counts(&self) -> Result<Value, TrainError> {
        let (total, mean) = self.total()?;
        let [negative] = self.sums(|_, y, _| [f64::from(u8::from(y < 0.0))])?;
        if negative > 0.0 {
            return Err(unfit("invalid_target", "A count is negative."));
        }
        let offset = |i: usize| self.dataset.offset.as_ref().map_or(0.0, |offset| offset[i]);
        let [exposure] = self.sums(|i, _, _| [offset(i).exp()])?;
        let rate = mean * total / exposure;
        let half = |y: f64, mean: f64| if y > 0.0 { y * (y / mean).ln() - (y - mean) } else { mean };
        let [missed, null] = self.sums(|i, y, eta| [half(y, eta.exp()), half(y, rate * offset(i).exp())])?;
        let [square, size, spread] = self.sums(|_, y, eta| [(y - eta.exp()).powi(2), (y - eta.exp()).abs(), (y - mean).powi(2)])?;
        let ratio = |part: f64, whole: f64| (whole > 0.0 && whole.is_finite()).then(|| 1.0 - part / whole);
        Ok(json!({
            "deviance": finite(2.0 * missed / total)?,
            "mse": finite(square / total)?,
            "mae": finite(size / total)?,
            "r2": ratio(square, spread),
            "score": ratio(missed, null),
        }))
    }

    /// Without probabilities the loss is the squared hinge, and what needs probabilities is null.
    pub(super) fn sides(&self, probabilities: bool) -> Result<Value, TrainError> {
        let (total, _) = self.total()?;
        let loss = |margin: f64| if margin > 0.0 { (-margin).exp().ln_1p() } else { margin.exp().ln_1p() - margin };
        let miss = |y: f64, eta: f64| 1.0 / (1.0 + (y * eta).exp());
        let hinge = |margin: f64| (1.0 - margin).max(0.0).powi(2);
        let [log_loss, brier, hinge] = self.sums(|_, y, eta| [loss(y * eta), miss(y, eta).powi(2), hinge(y * eta)])?;
        let is = |flag: bool| f64::from(u8::from(flag));
        let said = |eta: f64| eta >= 0.0;
        let [hits, false_alarms, missed, rejections] = self.sums(|_, y, eta| {
            let (real, told) = (y > 0.0, said(eta));
            [is(real && told), is(!real && told), is(real && !told), is(!real && !told)]
        })?;
        let f1 = |hits: f64| {
            let all = 2.0 * hits + false_alarms + missed;
            // a class that neither occurs nor is told has none
            (all > 0.0).then(|| 2.0 * hits / all)
        };
        let each: Vec<f64> = [f1(hits), f1(rejections)].into_iter().flatten().collect();
        let weight = |i: usize| self.dataset.weights.as_ref().map_or(1.0, |weights| weights[i]);
        let auc = auc(self.y, self.eta, weight, |units| self.pace.work(units))?;
        Ok(json!({
            "deviance": finite(2.0 * if probabilities { log_loss } else { hinge } / total)?,
            "log_loss": probabilities.then_some(log_loss / total),
            "accuracy": (hits + rejections) / total,
            "auc": auc,
            "f1_macro": each.iter().sum::<f64>() / each.len() as f64,
            "brier": probabilities.then_some(brier / total),
            "score": auc,
        }))
    }
}

/// JSON knows no other numbers.
pub(super) fn finite(number: f64) -> Result<f64, TrainError> {
    number.is_finite().then_some(number).ok_or_else(|| unfit("numerical_error", "A prediction is beyond a double."))
}
