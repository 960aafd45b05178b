//! The model's card: what was minimised, how sparse, how good, how certain, and what to beware of.

use serde_json::json;

use super::arm::Solved;
use super::choice::{Chosen, least};
use super::equivalents::{equivalents, no_equivalents};
use super::selected::{self, Pilot, Twin};
use super::target::{Compared, Groups, Rows, display_name};
use super::{Inputs, TrainError, measure, relaxed};
use crate::dataset::Dataset;
use crate::job::Warning;
use crate::model::{Certificate, CertificateStatus, LinearCard, LinearModel, PathRow, Sparsity, TIME_LIMIT};
use crate::solver::{self, Point, Problem, Stop};
use crate::spec::{Loss, ResolvedFit, Standardize};

/// A warning names no more features than this.
const WARNING_FEATURES_MAX: usize = 1000;

/// What its objective says besides.
const STABLE_ALONE: &str = "; w_j = 0 for features that are not stable";

/// What a card is made of.
pub(super) struct Parts<'p> {
    pub(super) dataset: &'p Dataset,
    pub(super) spec: &'p ResolvedFit,
    pub(super) rows: &'p Rows<'p>,
    pub(super) inputs: &'p Inputs<'p>,
    pub(super) problem: &'p Problem<'p>,
    pub(super) path: &'p Solved,
    /// The point chosen, with the stable features alone; then the problem is theirs.
    pub(super) restricted: Option<Point>,
    pub(super) pilot: Option<&'p Pilot>,
    pub(super) twin: Option<Twin>,
    pub(super) groups: Option<&'p Groups>,
}

/// Everything about the chosen point. `observe` hears of every look at the matrix and may stop it.
pub(super) fn model(parts: &Parts<'_>, chosen: Chosen, observe: &solver::Observe<'_>) -> Result<LinearModel, TrainError> {
    let Parts { dataset, spec, rows, inputs, problem, path, .. } = *parts;
    let penalised = parts.restricted.as_ref().unwrap_or(&path.points[chosen.index]);
    let mixed = if chosen.gamma < 1.0 { Some(relaxed::mix(parts.inputs, penalised, chosen.gamma, observe)?) } else { None };
    let (point, refit) = mixed.as_ref().map_or((penalised, None), |(point, refit)| (point, Some(refit)));
    let features = dataset.x.view().features;
    let indices: Vec<u32> = point.columns.iter().map(|&j| features[j as usize]).collect();
    let null_deviance = problem.null_deviance();
    let name_of = |feature: u32| display_name(dataset, feature);
    let proof = solver::certify(problem, penalised, observe).ok_or(TrainError::Cancelled)?;
    let mut certificate = certificate(proof, penalised, spec, |column| name_of(features[column as usize]));
    let mut warnings = warnings(dataset, problem, penalised, &path.points, &chosen, &certificate, observe)?;
    if refit.is_some() && certificate.status != CertificateStatus::NotConverged {
        // it is the penalised part that the numbers are of
        certificate.status = CertificateStatus::NotApplicable;
    }
    if refit.is_some_and(|refit| !refit.converged) {
        let detail = "The refit of the support stopped before its goal: the features all but depend on one another.".into();
        warnings.push(Warning { code: "refit_not_converged".into(), detail, features: Vec::new() });
    }
    let mut metrics = json!({
        "train": measure::train_metrics(rows, &rows.data(dataset), point, null_deviance),
        "cv": chosen.cv.as_ref().and_then(|cv| cv.rows.get(chosen.index)).map(|row| json!({ "deviance": row.mean, "deviance_se": row.se })),
    });
    if let Some(twin) = &parts.twin {
        metrics["dense_twin"] = twin.figures();
    }
    let sparsity = match rows.loss {
        Compared::One(_) => Sparsity::of(dataset.meta.shape[1], &indices, &point.values, name_of),
        Compared::Classes(n) => Sparsity::of_classes(dataset.meta.shape[1], n as u64, &indices, &point.values, name_of),
    };
    let comparable = refit.is_none() && parts.restricted.is_none() && inputs.shape == solver::Shape::Net;
    let card = LinearCard {
        loss: spec.loss.name().into(),
        classes: rows.classes.clone(),
        objective: if parts.restricted.is_some() { objective(spec) + STABLE_ALONE } else { objective(spec) },
        lambda: point.lambda,
        lambda_max: if parts.restricted.is_some() { path.lambda_max } else { problem.lambda_max() },
        l1_ratio: path.l1_ratio,
        intercept: point.intercept,
        intercepts: (!point.intercepts.is_empty()).then(|| point.intercepts.clone()),
        bracket: path.bracket,
        equivalents: if comparable {
            equivalents(spec, path.l1_ratio, point.lambda, rows, dataset.offset.is_some())
        } else {
            no_equivalents()
        },
        sparsity: Sparsity { groups_active: parts.groups.map(|groups| groups.active(&point.columns)), ..sparsity },
        metrics,
        selection: match (&chosen.stability, spec.selection.stability()) {
            (Some(found), Some(asked)) => Some(selected::stability(asked, found, penalised, path)),
            _ => selected::selection(spec, path, &chosen),
        },
        adaptive: parts.pilot.and_then(|pilot| selected::adaptive(spec, pilot)),
        refit: spec.refit.as_ref().map(|_| selected::refit(chosen.gamma, refit)),
        warnings,
        certificate,
        engine: json!({ "version": env!("CARGO_PKG_VERSION"), "seed": seed(spec), "deterministic": true }),
        promoted_from: None,
        distilled: None,
        started_from: spec.begins_at().map(str::to_owned),
    };
    let path =
        path.points.iter().enumerate().map(|(i, point)| path_row(i, point, spec.penalty.is_folded(), null_deviance, &chosen)).collect();
    let asked = spec.selection.stability().zip(chosen.stability.as_ref());
    let stability = asked.map(|(asked, found)| selected::frequencies(asked, found, features));
    Ok(LinearModel { card, indices, classes: point.classes.clone(), values: point.values.clone(), path, cv: chosen.cv, stability })
}

/// The sentence every library scales differently, in the words of the public contract, and what its signs stand for here.
fn objective(spec: &ResolvedFit) -> String {
    if spec.loss == Loss::Multinomial {
        return objective_of_classes(spec);
    }
    let eta = if spec.intercept { "Xw + b + o" } else { "Xw + o" };
    let loss = match spec.loss {
        Loss::Squared => "½(y−η)²",
        Loss::Huber { delta } => &format!("½r² for |r| ≤ δ, else δ|r|−½δ², r = y−η, δ = {delta}"),
        Loss::Logistic { .. } => "log(1+e^{−yη}), y ∈ {−1,+1}",
        Loss::SquaredHinge { .. } => "max(0, 1−yη)², y ∈ {−1,+1}",
        Loss::Multinomial => "log Σ_k e^{η_k} − η_y",
        Loss::Poisson => "e^η−yη",
    };
    let scale = match spec.standardize {
        // a number of coefficients knows no scale
        Standardize::Scale if spec.penalty.counts_alone() => "",
        Standardize::Scale => "; in the penalty w_j stands for w_j·σ_j, σ_j the standard deviation of column j",
        Standardize::None => "",
    };
    let penalty = match spec.penalty.kind.as_str() {
        "group" | "sparse_group" => "λ·(1−l1_ratio)·Σ_g √|g|·‖w_g‖₂ + λ·l1_ratio·Σ f_j·|w_j|",
        "l0" => "λ Σ f_j·1[w_j ≠ 0]",
        "mcp" => "Σ_j ∫₀^{|w_j|} (λf_j − t/γ)₊ dt",
        "scad" => "Σ_j ∫₀^{|w_j|} min(λf_j, (γλf_j − t)₊/(γ−1)) dt",
        _ => "λ Σ f_j [ l1_ratio·|w_j| + (1−l1_ratio)/2·w_j² ]",
    };
    let gamma = spec.penalty.gamma.map_or_else(String::new, |gamma| format!("; γ = {gamma}"));
    let bounds = bounds(spec);
    format!("(1/Σs) Σ s_i·loss(y_i, η_i) + {penalty}{bounds}, η = {eta}; loss = {loss}{gamma}{scale}")
}

/// Where coefficients must stay.
fn bounds(spec: &ResolvedFit) -> &'static str {
    match (spec.non_negative, spec.bounds.values().flatten().any(Option::is_some)) {
        (true, false) => " subject to w_j ≥ 0",
        (true, true) => " subject to w_j ≥ 0 and the bounds low_j ≤ w_j ≤ high_j of some features",
        (false, true) => " subject to the bounds low_j ≤ w_j ≤ high_j of some features",
        (false, false) => "",
    }
}

fn objective_of_classes(spec: &ResolvedFit) -> String {
    let eta = if spec.intercept { "XW + b" } else { "XW" };
    let scale = match spec.standardize {
        Standardize::Scale => "; in the penalty W_jk stands for W_jk·σ_j, σ_j the standard deviation of column j",
        Standardize::None => "",
    };
    format!(
        "(1/Σs) Σ s_i·loss(y_i, η_i) + λ Σ f_j Σ_k [ l1_ratio·|W_jk| + (1−l1_ratio)/2·W_jk² ], η = {eta}; \
         loss = log Σ_k e^{{η_k}} − η_y{scale}"
    )
}

fn seed(spec: &ResolvedFit) -> Option<u64> {
    spec.selection.splits().map(|splits| splits.seed).or(spec.selection.stability().map(|stability| stability.seed))
}

fn certificate(proof: solver::Certificate, point: &Point, spec: &ResolvedFit, name_of: impl Fn(u32) -> String) -> Certificate {
    // of a penalty that is not convex nothing bounds the minimum from below: what is shown is that no small step helps
    let folded = spec.penalty.is_folded();
    let reached = if folded { proof.max_kkt_violation } else { proof.relative_gap } <= spec.solver.tol;
    let bound = |number: f64| (!folded).then(|| finite(number));
    Certificate {
        status: match (reached, folded) {
            (true, false) => CertificateStatus::Certified,
            (true, true) => CertificateStatus::Stationary,
            (false, _) => CertificateStatus::NotConverged,
        },
        primal: finite(proof.primal),
        dual: bound(proof.dual),
        gap: bound(proof.gap),
        relative_gap: bound(proof.relative_gap),
        tol: spec.solver.tol,
        tol_kind: spec.solver.tol_kind.clone(),
        max_kkt_violation: finite(proof.max_kkt_violation),
        kkt_feature: proof.kkt_column.map(name_of),
        epochs: point.epochs,
        full_passes: point.full_passes,
    }
}

/// JSON knows no infinity; a bound that proves nothing is as large as a number can be.
pub(super) fn finite(number: f64) -> f64 {
    if number.is_nan() { f64::MAX } else { number.clamp(f64::MIN, f64::MAX) }
}

fn path_row(index: usize, point: &Point, folded: bool, null_deviance: f64, chosen: &Chosen) -> PathRow {
    // of a fit that was cut short, the last λ may not have been held out
    let cv = chosen.cv.as_ref().and_then(|cv| cv.rows.get(index));
    PathRow {
        index: index as u64,
        lambda: point.lambda,
        nonzeros: point.columns.len() as u64,
        deviance_ratio: if null_deviance > 0.0 { 1.0 - point.deviance / null_deviance } else { 0.0 },
        relative_gap: (!folded).then(|| finite(point.relative_gap)),
        cv_mean: cv.map(|row| row.mean),
        cv_se: cv.and_then(|row| row.se),
        criterion: chosen.criterion.as_ref().and_then(|criterion| criterion[index]),
    }
}

fn warnings(
    dataset: &Dataset,
    problem: &Problem<'_>,
    point: &Point,
    points: &[Point],
    chosen: &Chosen,
    certificate: &Certificate,
    observe: &solver::Observe<'_>,
) -> Result<Vec<Warning>, TrainError> {
    let warn = |code: &str, detail: String, features: Vec<String>| Warning { code: code.into(), detail, features };
    let mut warnings = Vec::new();
    if let Some(cut) = &chosen.cut {
        warnings.push(warn(TIME_LIMIT, format!("limits.max_runtime_s was reached: {cut}"), Vec::new()));
    }
    if certificate.status == CertificateStatus::NotConverged {
        let (what, how_far) = match certificate.relative_gap {
            Some(gap) => ("relative duality gap", gap),
            None if problem.is_counting() => {
                ("largest violation of stationarity, as a share of a threshold,", certificate.max_kkt_violation)
            }
            None => ("largest violation of stationarity, as a share of λ,", certificate.max_kkt_violation),
        };
        let detail = format!("The {what} is {how_far:e}, above the tolerance {:e}.", certificate.tol);
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
    let at_min = (!chosen.scores.is_empty() && points.len() > 1).then(|| least(&chosen.scores));
    let what = if chosen.criterion.is_some() { "criterion" } else { "held-out deviance" };
    if at_min == Some(0) {
        let detail = format!("The least {what} lies at the largest λ of the path: no feature helps to predict.");
        warnings.push(warn("lambda_at_path_start", detail, Vec::new()));
    }
    if at_min == Some(points.len() - 1) {
        let detail = format!("The least {what} lies at the smallest λ of the path; a smaller min_ratio may do better.");
        warnings.push(warn("lambda_at_path_end", detail, Vec::new()));
    }
    Ok(warnings)
}
