//! The model's card: what was minimised, how sparse, how good, how certain, and what to beware of.

use serde_json::{Value, json};

use super::choice::Chosen;
use super::target::{Rows, display_name};
use super::{TrainError, measure};
use crate::dataset::Dataset;
use crate::job::Warning;
use crate::model::{Card, Certificate, CertificateStatus, Cv, Model, PathRow, Sparsity, TIME_LIMIT};
use crate::solver::{self, Point, Problem, Stop};
use crate::spec::{Loss, ResolvedFit, Selection, Standardize};

/// A warning names no more features than this.
const WARNING_FEATURES_MAX: usize = 1000;

/// Everything about the chosen point. `observe` hears of every look at the matrix and may stop it.
pub(super) fn model(
    dataset: &Dataset,
    spec: &ResolvedFit,
    rows: &Rows<'_>,
    problem: &Problem<'_>,
    points: &[Point],
    chosen: Chosen,
    observe: &solver::Observe<'_>,
) -> Result<Model, TrainError> {
    let point = &points[chosen.index];
    let features = dataset.x.view().features;
    let indices: Vec<u32> = point.columns.iter().map(|&j| features[j as usize]).collect();
    let null_deviance = problem.null_deviance();
    let name_of = |feature: u32| display_name(dataset, feature);
    let proof = solver::certify(problem, point, observe).ok_or(TrainError::Cancelled)?;
    let certificate = certificate(proof, point, spec, |column| name_of(features[column as usize]));
    let warnings = warnings(dataset, problem, points, &chosen, &certificate, observe)?;
    let metrics = json!({
        "train": measure::train_metrics(rows, &rows.data(dataset), point, null_deviance),
        "cv": chosen.cv.as_ref().map(|cv| json!({ "deviance": cv.rows[chosen.index].mean, "deviance_se": cv.rows[chosen.index].se })),
    });
    let card = Card {
        kind: "linear".into(),
        loss: loss_name(spec).into(),
        classes: rows.classes.clone(),
        objective: objective(spec),
        lambda: point.lambda,
        lambda_max: problem.lambda_max(),
        l1_ratio: spec.penalty.l1_ratio,
        intercept: point.intercept,
        bracket: chosen.bracket,
        equivalents: equivalents(spec, point.lambda, rows, dataset.offset.is_some()),
        sparsity: Sparsity::of(dataset.meta.shape[1], &indices, &point.values, name_of),
        metrics,
        selection: selection(spec, points, &chosen),
        warnings,
        certificate,
        engine: json!({ "version": env!("CARGO_PKG_VERSION"), "seed": seed(spec), "deterministic": true }),
    };
    let path = points.iter().enumerate().map(|(i, point)| path_row(i, point, null_deviance, chosen.cv.as_ref())).collect();
    Ok(Model { card, indices, values: point.values.clone(), path, cv: chosen.cv })
}

fn loss_name(spec: &ResolvedFit) -> &'static str {
    match spec.loss {
        Loss::Squared => "squared",
        Loss::Huber { .. } => "huber",
        Loss::Logistic { .. } => "logistic",
        Loss::SquaredHinge { .. } => "squared_hinge",
        Loss::Poisson => "poisson",
    }
}

/// The sentence every library scales differently, in the words of the public contract, and what its signs stand for here.
fn objective(spec: &ResolvedFit) -> String {
    let eta = if spec.intercept { "Xw + b + o" } else { "Xw + o" };
    let loss = match spec.loss {
        Loss::Squared => "½(y−η)²",
        Loss::Huber { delta } => &format!("½r² for |r| ≤ δ, else δ|r|−½δ², r = y−η, δ = {delta}"),
        Loss::Logistic { .. } => "log(1+e^{−yη}), y ∈ {−1,+1}",
        Loss::SquaredHinge { .. } => "max(0, 1−yη)², y ∈ {−1,+1}",
        Loss::Poisson => "e^η−yη",
    };
    let scale = match spec.standardize {
        Standardize::Scale => "; in the penalty w_j stands for w_j·σ_j, σ_j the standard deviation of column j",
        Standardize::None => "",
    };
    format!("(1/Σs) Σ s_i·loss(y_i, η_i) + λ Σ f_j [ l1_ratio·|w_j| + (1−l1_ratio)/2·w_j² ], η = {eta}; loss = {loss}{scale}")
}

/// Other libraries' parameters, only where their objective is exactly this one; `null` elsewhere.
///
/// * glmnet divides the gaussian elastic net's ridge term by sd(y) and rescales `penalty.factor`: equal for the lasso
///   with unit factors. It scales by the same population deviation as we do.
/// * scikit-learn neither scales columns nor knows factors or offsets. `ElasticNet` divides by Σs as we do;
///   `LogisticRegression` sums the loss and multiplies it by `C`, so C = 1/(Σs·λ); so does `LinearSVC`, which penalises its
///   intercept. `PoissonRegressor` is ridge only; `HuberRegressor` estimates a scale besides.
/// * Spark's logistic regression is ours when it does not standardise; its linear regression scales the target.
fn equivalents(spec: &ResolvedFit, lambda: f64, rows: &Rows<'_>, offset: bool) -> Value {
    let l1_ratio = spec.penalty.l1_ratio;
    let unit_factors = spec.penalty.factors.values().all(|&factor| factor == 1.0);
    let likelihood = !matches!(rows.loss, solver::Loss::Huber { .. } | solver::Loss::SquaredHinge);
    let glmnet = (likelihood && unit_factors && l1_ratio == 1.0).then(
        || json!({ "lambda": lambda, "alpha": 1.0, "standardize": spec.standardize == Standardize::Scale, "intercept": spec.intercept }),
    );
    let plain = unit_factors && spec.standardize == Standardize::None && !offset;
    let total: f64 = rows.weights.map_or(rows.y.len() as f64, |weights| weights.iter().sum());
    let inverse = 1.0 / (total * lambda);
    let sklearn = match rows.loss {
        solver::Loss::Logistic => (plain && inverse.is_finite())
            .then(|| json!({ "estimator": "LogisticRegression", "C": inverse, "l1_ratio": l1_ratio, "fit_intercept": spec.intercept })),
        solver::Loss::SquaredHinge => {
            // of its two penalties the ridge, ½‖w‖², has C = 1/(Σs·λ) too
            let penalty = [(1.0, "l1"), (0.0, "l2")].into_iter().find(|(ratio, _)| *ratio == l1_ratio);
            let (_, penalty) = penalty.filter(|_| plain && !spec.intercept && inverse.is_finite()).unzip();
            penalty.map(|penalty| {
                json!({ "estimator": "LinearSVC", "C": inverse, "penalty": penalty, "loss": "squared_hinge", "dual": false,
                        "fit_intercept": false })
            })
        }
        solver::Loss::Huber { .. } => None,
        solver::Loss::Poisson => {
            (plain && l1_ratio == 0.0).then(|| json!({ "estimator": "PoissonRegressor", "alpha": lambda, "fit_intercept": spec.intercept }))
        }
        solver::Loss::Squared => plain.then(|| {
            let estimator = if l1_ratio == 1.0 { "Lasso" } else { "ElasticNet" };
            json!({ "estimator": estimator, "alpha": lambda, "l1_ratio": l1_ratio, "fit_intercept": spec.intercept })
        }),
    };
    let spark = (plain && rows.loss == solver::Loss::Logistic)
        .then(|| json!({ "regParam": lambda, "elasticNetParam": l1_ratio, "standardization": false, "fitIntercept": spec.intercept }));
    json!({ "glmnet": glmnet, "sklearn": sklearn, "spark": spark })
}

fn seed(spec: &ResolvedFit) -> Option<u64> {
    match spec.selection {
        Selection::Cv { seed, .. } => Some(seed),
        Selection::None => None,
    }
}

fn selection(spec: &ResolvedFit, points: &[Point], chosen: &Chosen) -> Option<Value> {
    let cv = chosen.cv.as_ref()?;
    let Selection::Cv { rule, .. } = &spec.selection else { return None };
    let at = |index: u64| &points[index as usize];
    Some(json!({
        "method": "cv",
        "rule": rule,
        "index": chosen.index,
        "index_min": cv.index_min,
        "index_1se": cv.index_1se,
        "lambda_min": at(cv.index_min).lambda,
        "lambda_1se": at(cv.index_1se).lambda,
        "nonzeros_at_min": at(cv.index_min).columns.len(),
        "nonzeros_at_1se": at(cv.index_1se).columns.len(),
    }))
}

fn certificate(proof: solver::Certificate, point: &Point, spec: &ResolvedFit, name_of: impl Fn(u32) -> String) -> Certificate {
    let certified = proof.relative_gap <= spec.solver.tol;
    Certificate {
        status: if certified { CertificateStatus::Certified } else { CertificateStatus::NotConverged },
        primal: finite(proof.primal),
        dual: finite(proof.dual),
        gap: finite(proof.gap),
        relative_gap: finite(proof.relative_gap),
        tol: spec.solver.tol,
        tol_kind: spec.solver.tol_kind.clone(),
        max_kkt_violation: finite(proof.max_kkt_violation),
        kkt_feature: proof.kkt_column.map(name_of),
        epochs: point.epochs,
        full_passes: point.full_passes,
    }
}

/// JSON knows no infinity; a bound that proves nothing is as large as a number can be.
fn finite(number: f64) -> f64 {
    if number.is_nan() { f64::MAX } else { number.clamp(f64::MIN, f64::MAX) }
}

fn path_row(index: usize, point: &Point, null_deviance: f64, cv: Option<&Cv>) -> PathRow {
    PathRow {
        index: index as u64,
        lambda: point.lambda,
        nonzeros: point.columns.len() as u64,
        deviance_ratio: if null_deviance > 0.0 { 1.0 - point.deviance / null_deviance } else { 0.0 },
        relative_gap: finite(point.relative_gap),
        cv_mean: cv.map(|cv| cv.rows[index].mean),
        cv_se: cv.map(|cv| cv.rows[index].se),
    }
}

fn warnings(
    dataset: &Dataset,
    problem: &Problem<'_>,
    points: &[Point],
    chosen: &Chosen,
    certificate: &Certificate,
    observe: &solver::Observe<'_>,
) -> Result<Vec<Warning>, TrainError> {
    let point = &points[chosen.index];
    let warn = |code: &str, detail: String, features: Vec<String>| Warning { code: code.into(), detail, features };
    let mut warnings = Vec::new();
    if let Some(cut) = &chosen.cut {
        warnings.push(warn(TIME_LIMIT, format!("limits.max_runtime_s was reached: {cut}"), Vec::new()));
    }
    if certificate.status == CertificateStatus::NotConverged {
        let detail = format!("The relative duality gap is {:e}, above the tolerance {:e}.", certificate.relative_gap, certificate.tol);
        warnings.push(warn("not_converged", detail, Vec::new()));
    }
    let others = points.iter().filter(|point| point.stop == Stop::LimitReached).count();
    if others > 0 && points.len() > 1 {
        let detail = format!("{others} of {} values of λ stopped before the tolerance.", points.len());
        warnings.push(warn("path_not_converged", detail, Vec::new()));
    }
    // Whether the support of a point in the middle is unique is not worth asking, nor the time.
    let ambiguous = match point.stop {
        Stop::Cancelled => Vec::new(),
        _ => solver::ambiguous_support(problem, point, observe).ok_or(TrainError::Cancelled)?,
    };
    if !ambiguous.is_empty() {
        let features = dataset.x.view().features;
        let detail = format!("Another support is as good: {} features can stand in for each other.", ambiguous.len());
        let named = ambiguous.iter().take(WARNING_FEATURES_MAX).map(|&j| display_name(dataset, features[j as usize])).collect();
        warnings.push(warn("support_not_unique", detail, named));
    }
    let at_start = chosen.cv.as_ref().is_some_and(|cv| cv.index_min == 0) && points.len() > 1;
    if at_start {
        let detail = "The least cross-validated deviance lies at the largest λ of the path: no feature helps to predict.";
        warnings.push(warn("lambda_at_path_start", detail.into(), Vec::new()));
    }
    let at_end = chosen.cv.as_ref().is_some_and(|cv| cv.index_min as usize + 1 == points.len()) && points.len() > 1;
    if at_end {
        let detail = "The least cross-validated deviance lies at the smallest λ of the path; a smaller min_ratio may do better.";
        warnings.push(warn("lambda_at_path_end", detail.into(), Vec::new()));
    }
    Ok(warnings)
}
