//! Another λ of a path that was solved becomes a model, by everything a fit does after it has chosen.

use std::ops::ControlFlow;

use super::arm::Solved;
use super::choice::Chosen;
use super::plan::{Plan, Role};
use super::selected::Pilot;
use super::target::{self, Compared, Rows};
use super::{Inputs, Observe, TrainError, adaptive, card, go_on, unfit};
use crate::dataset::Dataset;
use crate::job::Progress;
use crate::model::{LinearModel, PathPoint, PathPoints};
use crate::solver::{self, Point, Stop};
use crate::spec::ResolvedFit;

/// Points are kept up to this many bytes; what is more cannot be promoted.
const KEPT_MAX: usize = 32 << 20;

/// The points of a path as they are kept; `None` for a single one, and where they take too much.
pub(super) fn points(dataset: &Dataset, spec: &ResolvedFit, path: &Solved, pilot: Option<&Pilot>, loss: Compared) -> Option<PathPoints> {
    let points = &path.points;
    let n_classes = match loss {
        Compared::One(_) => 0,
        Compared::Classes(n) => n,
    };
    let all = || points.iter().chain(pilot.map(|pilot| &pilot.point));
    let nonzeros: usize = all().map(|point| point.values.len()).sum();
    if points.len() < 2 || PathPoints::bytes_of(all().count(), nonzeros, n_classes) > KEPT_MAX {
        return None;
    }
    let features = dataset.x.view().features;
    let kept = |point: &Point| PathPoint {
        lambda: point.lambda,
        intercept: point.intercept,
        relative_gap: card::finite(point.relative_gap),
        deviance: card::finite(point.deviance),
        full_passes: point.full_passes,
        epochs: point.epochs,
        converged: point.stop == Stop::Converged,
        indices: point.columns.iter().map(|&column| features[column as usize]).collect(),
        classes: point.classes.clone(),
        values: point.values.clone(),
        intercepts: point.intercepts.clone(),
    };
    Some(PathPoints {
        // plain data with text keys always become JSON
        spec: serde_json::to_value(spec).ok()?,
        l1_ratio: path.l1_ratio,
        n_features: dataset.meta.shape[1],
        n_classes: n_classes as u64,
        points: points.iter().map(kept).collect(),
        pilot: pilot.map(|pilot| kept(&pilot.point)),
    })
}

/// The model of point `index` of the path that `base` was chosen from. `dataset` is the one it was fitted on.
///
/// The certificate, the measures and the warnings are computed from the data, as those of a fit are. Costs a few looks
/// at the matrix.
///
/// # Errors
/// `observe` said to stop, or the points are not of this data set.
pub fn promote(
    dataset: &Dataset,
    kept: &PathPoints,
    base: &LinearModel,
    index: usize,
    observe: &Observe<'_>,
) -> Result<LinearModel, TrainError> {
    let strange = || unfit("artifact_corrupt", "The points of the path do not belong to the data set.");
    let spec: ResolvedFit = serde_json::from_value(kept.spec.clone()).map_err(|_| strange())?;
    let columns = dataset.x.view();
    let point = |kept: &PathPoint| {
        let place = |feature: &u32| columns.position(*feature).map(|column| column as u32);
        let columns = kept.indices.iter().map(place).collect::<Option<Vec<u32>>>()?;
        Some(Point {
            lambda: kept.lambda,
            columns,
            classes: kept.classes.clone(),
            values: kept.values.clone(),
            intercept: kept.intercept,
            intercepts: kept.intercepts.clone(),
            relative_gap: kept.relative_gap,
            deviance: kept.deviance,
            epochs: kept.epochs,
            full_passes: kept.full_passes,
            stop: if kept.converged { Stop::Converged } else { Stop::LimitReached },
        })
    };
    let points: Vec<Point> = kept.points.iter().map(point).collect::<Option<_>>().ok_or_else(strange)?;
    if index >= points.len() || kept.n_features != dataset.meta.shape[1] {
        return Err(strange());
    }
    let look = |_: &solver::Progress| look_once(observe);
    let rows = Rows::of(dataset, &spec)?;
    let given = target::factors(dataset, &spec)?;
    let groups = target::Groups::of(dataset, &spec)?;
    let intervals = target::Intervals::of(dataset, &spec)?;
    let inputs = Inputs::of(dataset, &spec, &rows, groups.as_ref(), intervals.as_ref());
    let pilot = match (&spec.penalty.adaptive, &kept.pilot) {
        (None, _) => None,
        (Some(adaptive), Some(kept)) => {
            let point = point(kept).ok_or_else(strange)?;
            let l1_ratio = Plan::of(&spec).of_role(Role::Pilot).next().ok_or_else(strange)?.l1_ratio;
            let adapted = adaptive::factors(&inputs.problem(l1_ratio, None, &look)?, &point, given.as_deref(), adaptive);
            Some(Pilot { adapted, l1_ratio, point })
        }
        (Some(_), None) => return Err(unfit("invalid_parameter", "The factors of this adaptive penalty were not kept.")),
    };
    let factors = pilot.as_ref().map(|pilot| pilot.adapted.factors.as_slice()).or(given.as_deref());
    let problem = inputs.problem(kept.l1_ratio, factors, &look)?;
    // the table is of the path only where no share of a refit was chosen with it
    let cv = base.cv.clone().filter(|_| base.card.refit.is_none());
    let chosen =
        Chosen { arm: 0, index, gamma: 1.0, cv, criterion: None, candidates: None, scores: Vec::new(), stability: None, cut: None };
    let null_deviance = problem.null_deviance();
    let path = Solved {
        l1_ratio: kept.l1_ratio,
        points,
        bracket: None,
        null_deviance,
        lambda_max: problem.lambda_max(),
        held_out: None,
        stability: None,
        cut: None,
    };
    let (pilot, twin, groups) = (pilot.as_ref(), None, groups.as_ref());
    let parts = card::Parts {
        dataset,
        spec: &spec,
        rows: &rows,
        inputs: &inputs,
        problem: &problem,
        path: &path,
        restricted: None,
        pilot,
        twin,
        groups,
    };
    let mut model = card::model(&parts, chosen, &look)?;
    go_on(look_once(observe))?;
    // what was measured of the path, and what the rule would have chosen, stays as it was
    (model.path, model.cv, model.stability) = (base.path.clone(), base.cv.clone(), base.stability.clone());
    model.card.selection = base.card.selection.clone();
    if let Some(selection) = model.card.selection.as_mut().and_then(|selection| selection.as_object_mut()) {
        selection.insert("rule".into(), "promoted".into());
        selection.insert("index".into(), index.into());
    }
    Ok(model)
}

fn look_once(observe: &Observe<'_>) -> ControlFlow<()> {
    match observe(&Progress::default()) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(_) => ControlFlow::Break(()),
    }
}
