//! How well rules predict rows they were not made of: each fold grows an ensemble of its own on its other rows, makes its own
//! rules of it and solves the same λ over them. So what is measured is the whole procedure, as far as the choice of λ.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Making;
use crate::matrix::{Column, ColumnsView, Number, ValuesView};
use crate::solver::{self, NEVER, Point, Problem, Stop};
use crate::spec::Splits;
use crate::train::held_out::{HeldOut, row, unfit_fold};
use crate::train::target::Compared;
use crate::train::{TrainError, go_on, unfit};
use crate::tree;

/// Rows or non-zeros between two looks up.
const STRETCH: usize = 1 << 14;

/// One fold of one repeat.
struct Fold<'f> {
    of_row: &'f [u32],
    fold: u32,
    /// 0 = all rows.
    unit: usize,
}

/// A fold's place among all, and for each λ the mean deviance of the rows it held out.
type Ended = (usize, Result<Vec<f64>, TrainError>);

/// Measures the λ on rows held out. Folds that did not come to their end because the time was up are left out if two others did; else there
/// is nothing to choose by, and it is said.
pub(super) fn measure(making: &Making<'_>, lambdas: &[f64], splits: &Splits<'_>) -> Result<(Option<HeldOut>, Option<String>), TrainError> {
    let n_rows = making.rows.y.len();
    let strata = making.rows.loss.has_classes().then_some(making.rows.y.as_slice());
    let of_repeat = |repeat: u64| -> Vec<u32> {
        let of_row = splits.fold_of_row_together(making.rows.origins, n_rows, strata, repeat);
        of_row.into_iter().map(|fold| u32::try_from(fold).unwrap_or(NEVER)).collect()
    };
    let repeats: Vec<Vec<u32>> = (0..splits.repeats).map(of_repeat).collect();
    let per_repeat = usize::try_from(splits.folds).unwrap_or(usize::MAX);
    let n_folds = repeats.len().saturating_mul(per_repeat);
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Ended>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(of_row) = repeats.get(at / per_repeat) else { return };
            let fold = Fold { of_row, fold: (at % per_repeat) as u32, unit: 1 + at };
            let result = deviances(making, lambdas, &fold);
            let failed = result.is_err();
            found.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
            if failed {
                // one that was stopped or cannot be is answer enough
                next.store(n_folds, Ordering::Relaxed);
            }
        }
    };
    let help = || {
        (making.run.on_thread)();
        work();
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..making.run.threads.min(n_folds)).map(|_| scope.spawn(help)).collect();
        work();
        // A panic of a helper is the caller's panic: the scope passes it on.
        drop(helpers);
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(at, _)| *at);
    let mut done = Vec::with_capacity(n_folds);
    for (_, result) in found {
        match result {
            Ok(of_fold) => done.push(of_fold),
            Err(TrainError::Cancelled) if making.told.best_is_wanted() => {}
            Err(error) => return Err(error),
        }
    }
    let mut cut = None;
    if done.len() < n_folds {
        if done.len() < 2 {
            let few = format!("{} of {n_folds} folds were done, too few to choose by; this is the last λ of the path.", done.len());
            return Ok((None, Some(few)));
        }
        cut = Some(format!("{} of {n_folds} folds were done; they choose.", done.len()));
    }
    let of_lambda = |(i, &lambda): (usize, &f64)| row(i, lambda, done.iter().map(|fold| fold[i]).collect(), splits.repeats);
    let table: Vec<_> = lambdas.iter().enumerate().map(of_lambda).collect();
    if table.iter().any(|row| !row.mean.is_finite() || row.se.is_some_and(|se| !se.is_finite())) {
        return Err(unfit("numerical_error", "A held-out deviance is not a finite number."));
    }
    Ok((Some(HeldOut { series: vec![(1.0, table)] }), cut))
}

/// For each λ the mean deviance of the rows held out.
fn deviances(making: &Making<'_>, lambdas: &[f64], fold: &Fold<'_>) -> Result<Vec<f64>, TrainError> {
    let weight = |row: usize| making.rows.weights.map_or(1.0, |weights| weights[row]);
    let part = |here: bool| -> Vec<f64> {
        fold.of_row.iter().enumerate().map(|(row, &of)| if (of == fold.fold) == here { weight(row) } else { 0.0 }).collect()
    };
    let (rest, held_out) = (part(false), part(true));
    if rest.iter().sum::<f64>() <= 0.0 {
        return Err(unfit_fold(solver::Unfit::NoWeight));
    }
    let design = making.design(Some(&rest), fold.unit)?;
    go_on(making.told.grown(fold.unit))?;
    let observe = |at: &solver::Progress| making.told.fold(fold.unit, at);
    let data = solver::Data { x: design.x.view(), y: &making.rows.y, weights: Some(&rest), offset: making.dataset.offset.as_deref() };
    let penalty = solver::Penalty { l1_ratio: 1.0, factors: Some(&design.factors), shape: solver::Shape::Net, bounds: None };
    let problem: Problem<'_> = making.rows.loss.problem(data, penalty, making.options(), &observe).map_err(unfit_fold)?;
    let ask: Ask<'_> = &|| making.told.growing(fold.unit, &tree::Progress::default());
    let mut found = Vec::with_capacity(lambdas.len());
    solver::path(&problem, lambdas, None, &observe, &mut |_, point, _| {
        // told to stop: this λ counts as not done, and the solver hears it itself
        if point.stop != Stop::Cancelled
            && let Some(eta) = predictor(data.x, &point, data.offset, ask)
        {
            found.extend(mean_deviance(making.rows.loss, data.y, &eta, &held_out, ask));
        }
    });
    if found.len() < lambdas.len() {
        return Err(TrainError::Cancelled);
    }
    making.told.done(fold.unit);
    Ok(found)
}

/// Asked between stretches of work whether to go on.
type Ask<'a> = &'a dyn Fn() -> ControlFlow<()>;

/// η of every row; `None` = told to stop.
fn predictor(x: ColumnsView<'_>, point: &Point, offset: Option<&[f64]>, ask: Ask<'_>) -> Option<Vec<f64>> {
    let mut eta = offset.map_or_else(|| vec![point.intercept; x.n_rows], |offset| offset.iter().map(|o| o + point.intercept).collect());
    let flow = match x.values {
        ValuesView::Single(values) => add(x, values, point, &mut eta, ask),
        ValuesView::Double(values) => add(x, values, point, &mut eta, ask),
    };
    flow.is_continue().then_some(eta)
}

fn add<V: Number>(x: ColumnsView<'_>, values: &[V], point: &Point, eta: &mut [f64], ask: Ask<'_>) -> ControlFlow<()> {
    for (&j, &w) in point.columns.iter().zip(&point.values) {
        let Column { rows, values } = x.column(j as usize, values);
        for (rows, values) in rows.chunks(STRETCH).zip(values.chunks(STRETCH)) {
            ask()?;
            rows.iter().zip(values).for_each(|(&row, &value)| eta[row as usize] += w * value.into());
        }
    }
    ControlFlow::Continue(())
}

/// Weighted mean of the squared error, or of −2·log-likelihood; NaN without weight; `None` = told to stop.
fn mean_deviance(loss: Compared, y: &[f64], eta: &[f64], weights: &[f64], ask: Ask<'_>) -> Option<f64> {
    let logistic = loss == Compared::One(solver::Loss::Logistic);
    let deviance = |y: f64, eta: f64| {
        let margin = y * eta;
        if logistic { 2.0 * ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0)) } else { (y - eta).powi(2) }
    };
    let (mut sum, mut total) = (0.0, 0.0);
    for start in (0..y.len()).step_by(STRETCH) {
        if ask().is_break() {
            return None;
        }
        for row in (start..(start + STRETCH).min(y.len())).filter(|row| weights[*row] > 0.0) {
            sum += weights[row] * deviance(y[row], eta[row]);
            total += weights[row];
        }
    }
    Some(sum / total)
}
