//! The specification meets the data set: every default filled, every name looked up.

use std::collections::{BTreeMap, HashMap};

use super::fields::Problems;
use super::{AskedClass, AskedLambda, AskedLoss, AskedWeights, FitSpec, Lambda, Loss, Penalty, ResolvedFit};
use crate::dataset::{Class, Meta, Names, TargetKind};
use crate::fault::{Code, Fault};
use crate::job::Warning;
use crate::json::{clip, segment};

/// Folds that choose the λ of a pilot fit where the selection has none.
pub const PILOT_FOLDS: u64 = 5;

impl FitSpec {
    /// Compares the specification with the data set and fills every default. Pointers of faults start at `#/spec`.
    ///
    /// # Errors
    /// `invalid_target` where the target cannot serve the loss; else `invalid_parameter` with every problem.
    pub fn resolve(&self, meta: &Meta, names: Option<&Names>) -> Result<(ResolvedFit, Vec<Warning>), Fault> {
        let loss = self.resolve_loss(meta)?;
        let mut problems = Problems::default();
        let mut warnings = Vec::new();
        if loss == Loss::Multinomial && meta.offset {
            let detail = "An offset is the same for every class, which the multinomial loss does not see: it is not used.";
            warnings.push(Warning { code: "offset_ignored".into(), detail: detail.into(), features: Vec::new() });
        }
        if loss == Loss::Multinomial && self.refit.is_some() {
            problems.add("#/spec/refit", "conflict", "a multinomial fit is not refitted without its penalty");
        }
        let without = matches!(loss, Loss::Huber { .. } | Loss::SquaredHinge { .. } | Loss::Multinomial);
        if without && (self.penalty.is_grouped() || self.penalty.is_folded()) {
            let detail = format!("{} penalties go with the squared, logistic and poisson losses", self.penalty.kind);
            problems.add("#/spec/penalty/type", "conflict", detail);
        }
        check_factors(&self.penalty, meta, names, &mut problems);
        check_groups(&self.penalty.groups, meta, names, &mut problems);
        self.check_bounds(&loss, meta, names, &mut problems);
        let selection = self.resolve_selection(meta, &loss, &mut warnings, &mut problems);
        if self.penalty.adaptive.is_some() && selection.splits().is_none() && meta.shape[0] < PILOT_FOLDS {
            let detail = format!("the pilot is chosen by {PILOT_FOLDS} folds; the data set has {} rows", meta.shape[0]);
            problems.add("#/spec/penalty/adaptive", "conflict", detail);
        }
        if self.weights == AskedWeights::Required && !meta.weighted {
            problems.add("#/spec/weights", "conflict", "the data set has no weights");
        }
        if let Some(fault) = problems.into_fault() {
            return Err(fault);
        }
        let fit = ResolvedFit {
            kind: "linear".into(),
            loss,
            penalty: self.penalty.clone(),
            bounds: self.bounds.clone(),
            non_negative: self.non_negative,
            lambda: self.resolve_lambda(meta),
            selection,
            refit: self.refit.clone(),
            compare_ridge: self.compare_ridge,
            intercept: self.intercept,
            standardize: self.standardize,
            weights: self.weights != AskedWeights::Ignored && meta.weighted,
            solver: self.solver.clone(),
            // which version that is only the store knows
            warm_start: None,
            limits: self.limits.clone(),
        };
        Ok((fit, warnings))
    }

    fn resolve_loss(&self, meta: &Meta) -> Result<Loss, Fault> {
        let target = &meta.target;
        match &self.loss {
            None => default_loss(meta),
            Some(AskedLoss::Huber { .. }) if target.classes.is_some() => Err(unfit(
                "#/spec/loss",
                "huber loss needs numbers, and the target has classes; upload it with target_kind=regression, or use \
                 {\"type\":\"squared_hinge\"}",
            )),
            Some(AskedLoss::Huber { delta }) => Ok(Loss::Huber { delta: *delta }),
            Some(AskedLoss::Squared) if target.classes.is_some() => Err(unfit(
                "#/spec/loss",
                "squared loss needs numbers, and the target has classes; upload it with target_kind=regression, or use \
                 {\"type\":\"logistic\"}",
            )),
            Some(AskedLoss::Squared) => Ok(Loss::Squared),
            Some(AskedLoss::Poisson) if target.classes.is_some() => {
                Err(unfit("#/spec/loss", "poisson loss needs counts, and the target has classes; upload it with target_kind=count"))
            }
            // Whether a number is negative is seen when the target is read.
            Some(AskedLoss::Poisson) => Ok(Loss::Poisson),
            Some(AskedLoss::Logistic { positive_class }) => Ok(Loss::Logistic { positive_class: side(positive_class.as_ref(), meta)? }),
            Some(AskedLoss::SquaredHinge { positive_class }) => {
                Ok(Loss::SquaredHinge { positive_class: side(positive_class.as_ref(), meta)? })
            }
            Some(AskedLoss::Multinomial) => multinomial(meta),
        }
    }

    fn resolve_lambda(&self, meta: &Meta) -> Lambda {
        let [n_rows, n_features] = meta.shape;
        match &self.lambda {
            AskedLambda::Value(value) => Lambda::Value { value: *value },
            AskedLambda::Values(values) => Lambda::Values { values: values.clone() },
            AskedLambda::TargetNonzeros(k) => Lambda::TargetNonzeros { k: *k },
            AskedLambda::Path { n, min_ratio } => {
                Lambda::Path { n: *n, min_ratio: min_ratio.unwrap_or(if n_rows >= n_features { 1e-4 } else { 1e-2 }) }
            }
        }
    }
}

/// Rows of the rarest class, or of the rarer of the two sides of a loss of two classes, where the data set counted them.
pub(super) fn smallest_side(meta: &Meta, loss: &Loss) -> Option<u64> {
    if *loss == Loss::Multinomial {
        return meta.target.counts.as_ref()?.iter().min().copied();
    }
    let positive_class = loss.positive_class()?;
    let position = meta.target.classes.as_ref()?.iter().position(|class| class == positive_class)?;
    let positive = *meta.target.counts.as_ref()?.get(position)?;
    Some(positive.min(meta.shape[0].saturating_sub(positive)))
}

fn unfit(pointer: &str, detail: impl Into<String>) -> Fault {
    Fault::at_pointer(Code::InvalidTarget, pointer, detail)
}

fn default_loss(meta: &Meta) -> Result<Loss, Fault> {
    match meta.target.kind {
        TargetKind::Regression => Ok(Loss::Squared),
        TargetKind::Binary => Ok(Loss::Logistic { positive_class: side(None, meta)? }),
        TargetKind::Count => Ok(Loss::Poisson),
        TargetKind::Multiclass => multinomial(meta),
    }
}

/// Multinomial loss for two classes or more.
fn multinomial(meta: &Meta) -> Result<Loss, Fault> {
    match meta.target.classes.as_deref() {
        Some([_, _, ..]) => Ok(Loss::Multinomial),
        Some(_) => Err(unfit("#/spec/loss", "the target has one class only: nothing is left to tell it from")),
        None => {
            let detail = "multinomial loss needs classes, and the target has numbers; upload it with target_kind=multiclass";
            Err(unfit("#/spec/loss", detail))
        }
    }
}

/// The class that is +1: the one asked for, else the last of exactly two.
fn side(asked: Option<&AskedClass>, meta: &Meta) -> Result<Class, Fault> {
    match (asked, meta.target.classes.as_deref()) {
        (Some(asked), _) => chosen_class(asked, meta),
        (None, Some([_, positive_class])) => Ok(positive_class.clone()),
        (None, Some(classes)) => {
            Err(unfit("#/spec/loss", format!("the target has {} classes: say which is the `positive_class`", classes.len())))
        }
        (None, None) => Err(unfit("#/spec/loss", "the target has no classes: say which of its values is the `positive_class`")),
    }
}

fn chosen_class(asked: &AskedClass, meta: &Meta) -> Result<Class, Fault> {
    const POINTER: &str = "#/spec/loss/positive_class";
    let candidates = match asked {
        AskedClass::Class(class) => vec![class.clone()],
        AskedClass::Bool(flag) => vec![Class::Text(flag.to_string()), Class::Number(f64::from(u8::from(*flag)))],
    };
    let Some(classes) = &meta.target.classes else {
        // Whether the number occurs is seen when the target is read.
        let number = candidates.into_iter().find(|class| matches!(class, Class::Number(_)));
        return number.ok_or_else(|| unfit(POINTER, "must be a number, as the target is one"));
    };
    if classes.len() < 2 {
        return Err(unfit(POINTER, "the target has one class only: nothing is left to tell it from"));
    }
    match candidates.into_iter().find(|class| classes.contains(class)) {
        Some(positive_class) => Ok(positive_class),
        None => Err(unfit(POINTER, format!("is none of the classes of the target: {}", shown(classes)))),
    }
}

fn shown(classes: &[Class]) -> String {
    const SHOWN: usize = 10;
    let mut texts: Vec<String> = classes.iter().take(SHOWN).map(show_class).collect();
    if classes.len() > SHOWN {
        texts.push(format!("… ({} in all)", classes.len()));
    }
    texts.join(", ")
}

fn show_class(class: &Class) -> String {
    match class {
        Class::Number(number) => number.to_string(),
        Class::Text(text) => format!("\"{}\"", clip(text, 40)),
    }
}

/// The feature that `key` means: by name where there are names, else by 0-based decimal index without leading zeros.
pub fn feature_index(key: &str, n_features: u64, names: Option<&Names>) -> Option<u32> {
    names.and_then(|names| names.find(key)).or_else(|| {
        let digits = !key.is_empty() && key.len() <= 10 && key.bytes().all(|byte| byte.is_ascii_digit());
        let canonical = digits && (key == "0" || !key.starts_with('0'));
        let index: u32 = if canonical { key.parse().ok()? } else { return None };
        (u64::from(index) < n_features).then_some(index)
    })
}

fn check_factors(penalty: &Penalty, meta: &Meta, names: Option<&Names>, problems: &mut Problems) {
    let factors = &penalty.factors;
    const POINTER: &str = "#/spec/penalty/factors";
    let mut seen: HashMap<u32, &str> = HashMap::with_capacity(factors.len());
    for key in factors.keys() {
        match feature_index(key, meta.shape[1], names) {
            None => problems.add(&format!("{POINTER}{}", segment(key)), "unknown_value", "the data set has no such feature"),
            Some(index) => {
                if let Some(other) = seen.insert(index, key) {
                    let detail = format!("is the same feature as \"{}\"", clip(other, 60));
                    problems.add(&format!("{POINTER}{}", segment(key)), "conflict", detail);
                }
            }
        }
    }
    if !factors.is_empty() && !penalty.is_grouped() && seen.len() as u64 == meta.shape[1] && factors.values().all(|factor| *factor == 0.0) {
        problems.add(POINTER, "conflict", "all factors are 0: nothing would be penalised");
    }
}

fn check_groups(groups: &BTreeMap<String, Vec<String>>, meta: &Meta, names: Option<&Names>, problems: &mut Problems) {
    let mut seen: HashMap<u32, &str> = HashMap::new();
    for (group, members) in groups {
        for (place, key) in members.iter().enumerate() {
            let pointer = || format!("#/spec/penalty/groups{}/{place}", segment(group));
            match feature_index(key, meta.shape[1], names) {
                None => problems.add(&pointer(), "unknown_value", "the data set has no such feature"),
                Some(index) => match seen.insert(index, group) {
                    Some(other) if other == group => problems.add(&pointer(), "conflict", "the group has this feature already"),
                    Some(other) => problems.add(&pointer(), "conflict", format!("is in the group \"{}\" too", clip(other, 60))),
                    None => {}
                },
            }
        }
    }
}
