//! A fit that begins at the coefficients of a model.
//!
//! A start is a pure function of the data, the specification and the model, whose version the specification names; so a fit that
//! goes on after an interruption before its first λ begins where it began, and a checkpoint needs to know nothing of it.

use super::{TrainError, unfit};
use crate::dataset::{Dataset, Names};
use crate::model::LinearModel;
use crate::solver::{self, Point, Problem, Stop, Trail};
use crate::spec::{Loss, ResolvedFit};

/// The model that a fit begins at, with the names of its features.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// The model.
    pub model: &'a LinearModel,
    /// Names of its features, where they have any.
    pub names: Option<&'a Names>,
}

/// Its coefficients on the columns of the data set: by name where both have names, else by index. What the data set does not have
/// is left out.
pub(super) fn columns(dataset: &Dataset, spec: &ResolvedFit, begin: Option<&Begin<'_>>) -> Result<Option<Point>, TrainError> {
    let Some(reference) = spec.begins_at() else { return Ok(None) };
    let Begin { model, names } = *begin.ok_or_else(|| unfit("not_found", format!("The model version {reference} is not there.")))?;
    let n_classes = if spec.loss == Loss::Multinomial { dataset.meta.target.classes.as_ref().map_or(0, Vec::len) } else { 0 };
    if model.card.intercepts.as_ref().map_or(0, Vec::len) != n_classes {
        return Err(unfit("invalid_parameter", format!("The model version {reference} has other classes than the target.")));
    }
    let x = dataset.x.view();
    let place = |feature: u32| {
        let here = match (names, dataset.names.as_deref()) {
            (Some(theirs), Some(ours)) => ours.find(theirs.get(feature)?)?,
            _ => feature,
        };
        x.position(here).map(|column| column as u32)
    };
    let mut entries: Vec<(u32, u32, f64)> = Vec::with_capacity(model.values.len());
    for (at, (&feature, &value)) in model.indices.iter().zip(&model.values).enumerate() {
        if let Some(column) = place(feature) {
            entries.push((column, model.classes.get(at).copied().unwrap_or(0), value));
        }
    }
    // columns in the order of other names rise no longer
    entries.sort_unstable_by_key(|&(column, class, _)| (column, class));
    let card = &model.card;
    let intercepts = if spec.intercept { card.intercepts.clone().unwrap_or_default() } else { vec![0.0; n_classes] };
    Ok(Some(Point {
        lambda: card.lambda,
        columns: entries.iter().map(|entry| entry.0).collect(),
        classes: if n_classes > 0 { entries.iter().map(|entry| entry.1).collect() } else { Vec::new() },
        values: entries.iter().map(|entry| entry.2).collect(),
        intercept: if spec.intercept { card.intercept } else { 0.0 },
        intercepts,
        relative_gap: f64::INFINITY,
        deviance: f64::INFINITY,
        epochs: 0,
        full_passes: 0.0,
        stop: Stop::LimitReached,
    }))
}

/// Where the solver begins its `first` λ: there, with the best intercept for these rows. `None` where that fits them no better than no
/// coefficient at all: then the way from the null model is the shorter one.
pub(super) fn start(problem: &Problem<'_>, begin: &Point, first: f64) -> Option<Point> {
    let mut point = Point { lambda: begin.lambda.min(problem.lambda_max()).max(first), ..begin.clone() };
    // a column that is constant now has no coefficient
    let live: Vec<bool> = point.columns.iter().map(|&j| problem.scales().get(j as usize).is_some_and(|scale| *scale > 0.0)).collect();
    let mut kept = live.iter().copied();
    point.columns.retain(|_| kept.next().unwrap_or(false));
    let mut kept = live.iter().copied();
    point.values.retain(|_| kept.next().unwrap_or(false));
    let mut kept = live.iter().copied();
    point.classes.retain(|_| kept.next().unwrap_or(false));
    let settled = solver::settle(problem, point);
    (settled.deviance < problem.null_deviance()).then_some(settled)
}

/// What is known there: nothing but that it is not the null model.
pub(super) fn trail(begin: &Point) -> Trail {
    Trail { seen: Some(begin.intercept), ..Trail::default() }
}
