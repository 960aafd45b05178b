//! The specification of a fit, as far as it can be judged without the data.

use serde_json::Value;

use super::bounds::parse_bounds;
use super::fields::{Fields, Problems, WHOLE_MAX, show};
use super::limits::parse_limits;
use super::parse_penalty::parse_penalty;
use super::parse_refit::parse_refit;
use super::parse_selection::parse_selection;
use super::resolve_selection::check_repeats;
use super::warm_start::{check_warm_start, parse_warm_start};
use super::{
    AskedClass, AskedLambda, AskedLoss, AskedSelection, AskedWeights, Bounds, FitSpec, Penalty, RunLimits, Solver, SpecLimits, Standardize,
};
use crate::dataset::Class;

const PATH_VALUES: u64 = 100;
const HUBER_DELTA: f64 = 1.0;
const TOL: f64 = 1e-6;
const MAX_EPOCHS: u64 = 10_000;

/// Parses `spec` of a fit; what is wrong is added to `problems`.
pub(super) fn parse_fit(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<FitSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    if spec.take("kind").is_some() {
        spec.word("kind", &["linear", "tree", "rules", "network", "ensemble"], problems)?;
    }
    let loss = spec.take("loss").map(|value| parse_loss(value, problems));
    let penalty = spec.take("penalty").map_or_else(|| Some(Penalty::lasso()), |value| parse_penalty(value, problems));
    let bounds = spec.take("bounds").map_or_else(Bounds::new, |value| parse_bounds(value, problems));
    let non_negative = spec.flag("non_negative", problems).unwrap_or(false);
    let lambda = spec.take("lambda").map_or_else(
        || Some(AskedLambda::Path { n: PATH_VALUES.min(limits.path_values), min_ratio: None }),
        |value| parse_lambda(value, limits, problems),
    );
    let selection = spec.take("selection").map(|value| parse_selection(value, limits, problems));
    let refit = spec.take("refit").map(|value| parse_refit(value, problems));
    let compare_ridge = spec.flag("compare_ridge", problems).unwrap_or(false);
    let intercept = spec.flag("intercept", problems).unwrap_or(true);
    let standardize = spec.word("standardize", &["scale", "none"], problems);
    let weights = parse_weights(&mut spec, problems);
    let tol_kind = penalty.as_ref().map_or("relative_gap", Penalty::tol_kind);
    let solver = spec
        .take("solver")
        .map_or_else(|| Some(solver(TOL, tol_kind, MAX_EPOCHS)), |value| parse_solver(value, tol_kind, limits, problems));
    let warm_start = parse_warm_start(&mut spec, problems);
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    let fit = FitSpec {
        loss: transpose(loss)?,
        penalty: penalty?,
        bounds,
        non_negative,
        lambda: lambda?,
        selection: transpose(selection)?,
        refit: transpose(refit)?,
        compare_ridge,
        intercept,
        standardize: if standardize == Some("none") { Standardize::None } else { Standardize::Scale },
        weights: weights?,
        solver: solver?,
        limits: run?,
        warm_start: warm_start?,
    };
    check_together(&fit, limits, problems);
    Some(fit)
}

/// Absent stays absent, wrong becomes nothing.
pub(super) fn transpose<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        Some(value) => value.map(Some),
        None => Some(None),
    }
}

/// What contradicts itself only in combination.
pub(super) fn check_together(fit: &FitSpec, limits: &SpecLimits, problems: &mut Problems) {
    check_warm_start(fit, problems);
    let ridge = fit.penalty.may_be_ridge() && !fit.penalty.l1_ratio.is_several();
    if matches!(fit.lambda, AskedLambda::TargetNonzeros(_)) && ridge {
        problems.add("#/spec/lambda", "conflict", "target_nonzeros needs a penalty with an l1 part: ridge keeps every coefficient");
    }
    let path = matches!(fit.lambda, AskedLambda::Path { .. } | AskedLambda::Values(_));
    if let Some(AskedSelection::Held(held)) = &fit.selection {
        check_repeats(held, limits, problems);
    }
    let chooses = !matches!(fit.selection, None | Some(AskedSelection::None));
    if chooses && !path {
        let how = match fit.selection {
            Some(AskedSelection::Held(_)) => "holding rows out",
            Some(AskedSelection::Stability(_)) => "stability selection",
            _ => "a criterion",
        };
        problems.add("#/spec/selection", "conflict", format!("{how} chooses from a path; this lambda leaves nothing to choose"));
    }
    let no_classes = matches!(fit.loss, Some(AskedLoss::Squared | AskedLoss::Huber { .. } | AskedLoss::Poisson));
    if no_classes && matches!(&fit.selection, Some(AskedSelection::Held(held)) if held.stratify == Some(true)) {
        problems.add("#/spec/selection/stratify", "conflict", "only classes can be stratified; this loss has none");
    }
    if let Some(AskedSelection::Stability(asked)) = &fit.selection {
        if no_classes && asked.stratify == Some(true) {
            problems.add("#/spec/selection/stratify", "conflict", "only classes can be stratified; this loss has none");
        }
        check_stability(fit, problems);
    }
    let criterion = matches!(fit.selection, Some(AskedSelection::Criterion(_)));
    if criterion && fit.penalty.may_be_ridge() {
        let detail = "a criterion counts non-zeros, and ridge keeps every coefficient; use cv or holdout";
        problems.add("#/spec/selection/method", "conflict", detail);
    }
    let no_likelihood = matches!(fit.loss, Some(AskedLoss::Huber { .. } | AskedLoss::SquaredHinge { .. }));
    if criterion && no_likelihood {
        problems.add("#/spec/selection/method", "conflict", "a criterion needs a likelihood, which this loss is not; use cv or holdout");
    }
    if fit.refit.is_some() && no_likelihood {
        problems.add("#/spec/refit", "conflict", "only the squared, logistic and poisson losses are refitted");
    }
    if fit.refit.is_some() && fit.penalty.counts_alone() {
        problems.add(
            "#/spec/refit",
            "conflict",
            "l0 takes nothing off the coefficients that it leaves in: they are fitted without penalty already",
        );
    }
    if fit.refit.is_some() && fit.is_bounded() {
        problems.add("#/spec/refit", "conflict", "a refit without penalty would leave the bounds of the coefficients");
    }
    if criterion && fit.may_end_off_zero() {
        let detail = "a criterion takes the non-zeros for degrees of freedom, and a coefficient at its bound is none; use cv or holdout";
        problems.add("#/spec/selection/method", "conflict", detail);
    }
    if criterion && fit.penalty.is_grouped() {
        let detail = "a criterion takes the non-zeros for degrees of freedom, and a group has others; use cv or holdout";
        problems.add("#/spec/selection/method", "conflict", detail);
    }
    let holds_out = path && matches!(fit.selection, None | Some(AskedSelection::Held(_)));
    let several = fit.penalty.l1_ratio.is_several() && !matches!(fit.selection, Some(AskedSelection::Stability(_)));
    if several && !(path && (chooses || fit.selection.is_none())) {
        let detail = "several ratios need a path of lambda and a selection that chooses among them";
        problems.add("#/spec/penalty/l1_ratio", "conflict", detail);
    }
    if fit.compare_ridge && ridge {
        problems.add("#/spec/compare_ridge", "conflict", "the penalty is ridge itself: there is nothing to compare");
    } else if fit.compare_ridge && !holds_out {
        problems.add("#/spec/compare_ridge", "conflict", "models are compared on rows held out; use the method cv or holdout");
    }
    if let Some(refit) = &fit.refit {
        if fit.penalty.may_be_ridge() {
            problems.add("#/spec/refit", "conflict", "ridge leaves every feature in: there is no support to refit");
        } else if refit.relaxed_gamma.len() > 1 && !holds_out {
            let detail = "a share is chosen on rows held out; give one value, or use the method cv or holdout";
            problems.add("#/spec/refit/relaxed_gamma", "conflict", detail);
        } else if criterion && refit.relaxed_gamma != [1.0] {
            let detail = "a criterion counts the degrees of freedom of the penalised fit; use the method cv or holdout";
            problems.add("#/spec/refit/relaxed_gamma", "conflict", detail);
        }
    }
}

/// What has no features to choose, or chooses them by other rows than those of a half.
fn check_stability(fit: &FitSpec, problems: &mut Problems) {
    let detail = if fit.penalty.l1_ratio.is_several() {
        "frequencies do not choose among ratios; give one"
    } else if fit.penalty.is_grouped() {
        "stability selection chooses features one by one, and those of a group come together"
    } else if fit.penalty.adaptive.is_some() {
        "adaptive factors come from all rows, so that halves would not choose by themselves"
    } else if fit.penalty.may_be_ridge() {
        "ridge keeps every feature: nothing is chosen"
    } else {
        return;
    };
    problems.add("#/spec/selection/method", "conflict", detail);
}

pub(super) fn parse_loss(value: &Value, problems: &mut Problems) -> Option<AskedLoss> {
    let mut loss = Fields::open(value, "#/spec/loss", problems)?;
    let kinds = ["squared", "huber", "logistic", "squared_hinge", "multinomial", "poisson"];
    let kind = loss.need("type", problems).and(loss.word("type", &kinds, problems));
    let class = loss.take("positive_class").filter(|class| !class.is_null());
    let positive_class = class.map(|class| parse_class(class, problems));
    if let Some(kind @ ("squared" | "huber" | "poisson")) = kind
        && class.is_some()
    {
        problems.add("#/spec/loss/positive_class", "conflict", format!("{kind} loss has no classes"));
    }
    let given = value.get("delta").is_some();
    let delta = loss.number("delta", "greater than 0", |delta| delta > 0.0, problems);
    if let (Some(kind), true) = (kind.filter(|kind| *kind != "huber"), given) {
        problems.add(&loss.at("delta"), "conflict", format!("{kind} loss has no delta"));
    }
    if kind == Some("multinomial") && class.is_some() {
        problems.add("#/spec/loss/positive_class", "conflict", "multinomial loss treats all classes alike");
    }
    loss.close(problems);
    match kind? {
        "squared" => Some(AskedLoss::Squared),
        "huber" if given => delta.map(|delta| AskedLoss::Huber { delta }),
        "huber" => Some(AskedLoss::Huber { delta: HUBER_DELTA }),
        "squared_hinge" => Some(AskedLoss::SquaredHinge { positive_class: transpose(positive_class)? }),
        "poisson" => Some(AskedLoss::Poisson),
        "multinomial" => Some(AskedLoss::Multinomial),
        _ => Some(AskedLoss::Logistic { positive_class: transpose(positive_class)? }),
    }
}

fn parse_class(value: &Value, problems: &mut Problems) -> Option<AskedClass> {
    match value {
        Value::Bool(flag) => Some(AskedClass::Bool(*flag)),
        Value::String(text) => Some(AskedClass::Class(Class::Text(text.clone()))),
        Value::Number(number) => number.as_f64().map(|number| AskedClass::Class(Class::Number(number))),
        other => {
            let detail = format!("must be a number, a text, true or false, got {}", show(other));
            problems.add("#/spec/loss/positive_class", "invalid_field", detail);
            None
        }
    }
}

pub(super) fn parse_lambda(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<AskedLambda> {
    const POINTER: &str = "#/spec/lambda";
    let mut lambda = Fields::open(value, POINTER, problems)?;
    let mode = lambda.need("mode", problems).and(lambda.word("mode", &["value", "path", "target_nonzeros"], problems));
    let single = lambda.number("value", "greater than 0", |value| value > 0.0, problems);
    let n = lambda.whole("n", 1, limits.path_values, problems);
    let min_ratio = lambda.number("min_ratio", "between 0 and 1, both excluded", |ratio| ratio > 0.0 && ratio < 1.0, problems);
    let values = lambda.take("values").map(|values| parse_values(values, limits, problems));
    let k = lambda.whole("k", 1, WHOLE_MAX, problems);
    let given = |key: &str| value.get(key).is_some();
    let own: &[&str] = match mode {
        Some("value") => &["value"],
        Some("path") if given("values") => &["values"],
        Some("path") => &["n", "min_ratio"],
        Some("target_nonzeros") => &["k"],
        _ => &["value", "n", "min_ratio", "values", "k"],
    };
    for key in ["value", "n", "min_ratio", "values", "k"].into_iter().filter(|key| given(key) && !own.contains(key)) {
        problems.add(&lambda.at(key), "conflict", format!("has no meaning here: this lambda is told by {}", own.join(" and ")));
    }
    if let (Some("value"), false) | (Some("target_nonzeros"), false) = (mode, own.iter().any(|key| given(key))) {
        problems.add(&lambda.at(own[0]), "missing", format!("`{}` is required", own[0]));
    }
    let unusable = |key: &str, read: bool| given(key) && !read;
    let path_is_wrong = unusable("n", n.is_some()) || unusable("min_ratio", min_ratio.is_some());
    lambda.close(problems);
    match (mode?, values) {
        ("value", _) => single.map(AskedLambda::Value),
        ("target_nonzeros", _) => k.map(AskedLambda::TargetNonzeros),
        (_, Some(values)) => values.map(AskedLambda::Values),
        (_, None) if path_is_wrong => None,
        (_, None) => Some(AskedLambda::Path { n: n.unwrap_or(PATH_VALUES.min(limits.path_values)), min_ratio }),
    }
}

/// Given values of λ in any order; they are sorted falling, as a path runs.
fn parse_values(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<Vec<f64>> {
    const POINTER: &str = "#/spec/lambda/values";
    let Some(items) = value.as_array() else {
        problems.add(POINTER, "invalid_field", format!("must be an array of numbers, got {}", show(value)));
        return None;
    };
    if items.is_empty() || items.len() as u64 > limits.path_values {
        problems.add(POINTER, "out_of_range", format!("must hold 1 to {} values, got {}", limits.path_values, items.len()));
        return None;
    }
    let mut values = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let pointer = format!("{POINTER}/{index}");
        match item.as_f64() {
            Some(value) if value > 0.0 => values.push(value),
            Some(_) => problems.add(&pointer, "out_of_range", format!("must be greater than 0, got {}", show(item))),
            None => problems.add(&pointer, "invalid_field", format!("must be a number, got {}", show(item))),
        }
    }
    values.sort_by(|a, b| b.total_cmp(a));
    if values.windows(2).any(|pair| pair[0] == pair[1]) {
        problems.add(POINTER, "conflict", "a value occurs twice");
    }
    (values.len() == items.len()).then_some(values)
}

/// Absent = those stored, `null` or `false` = ignore them, `true` = they must be there.
pub(super) fn parse_weights(spec: &mut Fields<'_>, problems: &mut Problems) -> Option<AskedWeights> {
    match spec.take("weights") {
        None => Some(AskedWeights::Stored),
        Some(Value::Null | Value::Bool(false)) => Some(AskedWeights::Ignored),
        Some(Value::Bool(true)) => Some(AskedWeights::Required),
        Some(other) => {
            let detail = format!("must be true, false or null, got {}", show(other));
            problems.add(&spec.at("weights"), "invalid_field", detail);
            None
        }
    }
}

/// How a fit with this penalty is solved unless it is told.
pub(super) fn solver_unless_told(penalty: &Penalty) -> Solver {
    solver(TOL, penalty.tol_kind(), MAX_EPOCHS)
}

fn solver(tol: f64, tol_kind: &str, max_epochs: u64) -> Solver {
    Solver { kind: "auto".into(), tol, tol_kind: tol_kind.into(), max_epochs }
}

pub(super) fn parse_solver(value: &Value, tol_kind: &str, limits: &SpecLimits, problems: &mut Problems) -> Option<Solver> {
    let mut fields = Fields::open(value, "#/spec/solver", problems)?;
    fields.word("type", &["auto"], problems);
    let asked = fields.word("tol_kind", &["relative_gap", "stationarity"], problems);
    if asked.is_some_and(|asked| asked != tol_kind) {
        problems.add(&fields.at("tol_kind"), "conflict", format!("the tolerance of this penalty is of the kind {tol_kind}"));
    }
    let tol = fields.number("tol", "between 0 and 1, both excluded", |tol| tol > 0.0 && tol < 1.0, problems);
    let max_epochs = fields.whole("max_epochs", 1, limits.max_epochs, problems);
    fields.close(problems);
    Some(solver(tol.unwrap_or(TOL), tol_kind, max_epochs.unwrap_or(MAX_EPOCHS.min(limits.max_epochs))))
}
