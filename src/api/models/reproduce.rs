//! A script that fits a model's problem again, with another program: what was fitted as JSON, put into one text.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fidelity;
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::request::{Caller, Query, Segments};
use crate::fault::Code;
use crate::job::JobKind;
use crate::model::LinearCard;
use crate::spec::{ResolvedFit, Standardize, Work, feature_index, version_number};
use crate::store::ModelRow;

const SCRIPT: &str = include_str!("reproduce.py");
/// Losses that the script can minimise.
const LOSSES: [&str; 3] = ["squared", "logistic", "poisson"];

/// `GET …/versions/{version}/reproduce?lang=python`.
pub(crate) async fn reproduce(
    State(api): State<Api>,
    Segments((name, number)): Segments<(String, String)>,
    mut query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    query.take_as("lang", "python", |word| (word == "python").then_some(()))?;
    query.finish()?;
    let number = version_number(&number).ok_or_else(super::absent)?;
    let row = api.store.model(caller.project(), &name, Some(number)).await?.ok_or_else(super::absent)?;
    let none = || Problem::new(Code::Conflict, format!("there is no script for {} models of {} loss", row.card.kind(), row.card.loss()));
    let card = row.card.linear().filter(|card| LOSSES.contains(&card.loss.as_str())).ok_or_else(none)?;
    fidelity::check_kept(&row, "no script can fit it again")?;
    let spec = fitted(&api, &row).await?;
    if card.selection.as_ref().is_some_and(|selection| selection["rule"] == "threshold") {
        return Err(Problem::new(Code::Conflict, "there is no script for models of stable features alone"));
    }
    if spec.penalty.adaptive.is_some() || card.refit.as_ref().is_some_and(|refit| refit["relaxed_gamma"] != 1.0) {
        return Err(Problem::new(Code::Conflict, "there is no script for adaptive penalties and relaxed fits"));
    }
    if spec.penalty.is_grouped() || spec.penalty.is_folded() {
        return Err(Problem::new(
            Code::Conflict,
            format!("there is no script for the penalty {}: it knows l1, l2 and elastic_net", spec.penalty.kind),
        ));
    }
    let problem = problem(&api, &row, card, &spec).await?.to_string();
    // a raw text of Python ends at three quotes together, which JSON never has: a quote within a text is escaped
    let script = SCRIPT.replacen("@PROBLEM@", &problem, 1);
    let mut response = script.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/x-python; charset=utf-8"));
    Ok(response)
}

/// The specification of the fit.
async fn fitted(api: &Api, row: &ModelRow) -> Result<ResolvedFit, Problem> {
    let gone = || Problem::new(Code::Conflict, "the job that fitted the model has been deleted, and its specification with it");
    fit_of(api, row).await?.ok_or_else(gone)
}

/// How a linear model was fitted, or the student of a distillation: said by its job, or where that was deleted, kept with the points of its
/// path; `None` where neither is there.
pub(crate) async fn fit_of(api: &Api, row: &ModelRow) -> Result<Option<ResolvedFit>, Problem> {
    let stored = match api.store.job(&row.project, &row.job).await? {
        Some(job) => Some((job.kind, job.spec_resolved)),
        None => api.store.open_points(row).await?.and_then(|kept| kept.linear().map(|points| (JobKind::Fit, points.spec.clone()))),
    };
    let Some((kind, stored)) = stored else { return Ok(None) };
    match Work::read(kind, &stored) {
        Ok(Work::Fit(fit)) => Ok(Some(*fit)),
        Ok(Work::Distill(distill)) => match *distill.student {
            Work::Fit(fit) => Ok(Some(*fit)),
            _ => Err(Problem::internal(format!("{}: its student was another kind of fit", row.id))),
        },
        _ => Err(Problem::internal(format!("{}: the specification is not understood", row.id))),
    }
}

/// What the script is about.
async fn problem(api: &Api, row: &ModelRow, card: &LinearCard, spec: &ResolvedFit) -> Result<Value, Problem> {
    let of = &row.dataset;
    let dataset = api.store.dataset(&row.project, &of.name, Some(of.version)).await?;
    let dataset = dataset.ok_or_else(|| Problem::new(Code::Conflict, "the data set version the model was fitted on has been deleted"))?;
    let names_nothing = spec.penalty.factors.is_empty() && spec.bounds.is_empty();
    let opened = if names_nothing { None } else { Some(api.store.open_dataset(&dataset).await?) };
    let index = |name: &String| {
        let names = opened.as_ref().and_then(|opened| opened.names.as_deref());
        feature_index(name, dataset.meta.shape[1], names).map(|index| index.to_string())
    };
    let factors: BTreeMap<String, f64> = spec.penalty.factors.iter().filter_map(|(name, factor)| Some((index(name)?, *factor))).collect();
    // JSON knows no infinity: where there is no end it says null
    let ends = |bounds| spec.interval(bounds).map(|end| end.is_finite().then_some(end));
    let bounds: BTreeMap<String, [Option<f64>; 2]> =
        spec.bounds.iter().filter_map(|(name, bounds)| Some((index(name)?, ends(Some(bounds))))).collect();
    let warnings: Vec<&str> = card.warnings.iter().map(|warning| warning.code.as_str()).collect();
    Ok(json!({
        "model": row.reference(),
        "href": super::href(row),
        "made_by": card.engine["version"],
        "dataset": of,
        "objective": card.objective,
        "loss": spec.loss,
        "lambda": card.lambda,
        "l1_ratio": card.l1_ratio,
        "factors": factors,
        "bounds": bounds,
        "bounds_of_others": ends(None),
        "intercept": spec.intercept,
        "standardize": spec.standardize == Standardize::Scale,
        "weights": spec.weights,
        "tol": spec.solver.tol,
        "sklearn": card.equivalents["sklearn"],
        "warnings": warnings,
    }))
}
