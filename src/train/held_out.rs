//! How well the models of a path predict rows that they were not fitted on.

use std::sync::{Mutex, PoisonError};

use super::plan::Arm;
use super::progress::Tracker;
use super::target::Rows;
use super::{Done, Inputs, Run, TrainError, relaxed, unfit};
use crate::model::CvRow;
use crate::solver::{self, FoldPath, NEVER, Point, Unfit};
use crate::spec::Splits;

/// Deviances of rows held out.
pub(super) struct HeldOut {
    /// One table for each share of the penalised coefficients; a single one, of 1, where nothing is refitted.
    pub(super) series: Vec<(f64, Vec<CvRow>)>,
}

/// λ × fold, flat: of each fold, for each λ done, the deviance of each share.
type Measured = Vec<Vec<f64>>;

/// Holds out every fold of every repeat. A fit that was told to stop and whose best is wanted keeps the folds that came
/// to their end, if there are two, else the λ that all folds have done, and says so.
#[allow(clippy::too_many_arguments)]
pub(super) fn measure(
    inputs: &Inputs<'_>,
    penalty: solver::Penalty<'_>,
    arm: &Arm<'_>,
    splits: &Splits<'_>,
    rows: &Rows<'_>,
    points: &[Point],
    run: &Run<'_>,
    tracker: &Tracker<'_>,
) -> Result<(Option<HeldOut>, Option<String>), TrainError> {
    let lambdas: Vec<f64> = points.iter().map(|point| point.lambda).collect();
    let n_folds = arm.n_folds();
    let measured = run_folds(inputs, penalty, arm, splits, rows, points, &lambdas, run, tracker)?;
    let width = arm.gammas.len().max(1);
    let mut done: Vec<&Vec<f64>> = measured.iter().filter(|fold| fold.len() == lambdas.len() * width).collect();
    let (mut cut, mut n_lambdas) = (None, lambdas.len());
    if done.len() < n_folds {
        if !tracker.best_is_wanted() {
            return Err(TrainError::Cancelled);
        }
        let whole = done.len();
        if whole >= 2 {
            cut = Some(format!("{whole} of {n_folds} folds were done; they choose."));
        } else {
            // folds go along together: what all of the first repeat have done
            let first = &measured[..measured.len().min(splits.folds as usize)];
            n_lambdas = first.iter().map(|fold| fold.len() / width).min().unwrap_or(0);
            if n_lambdas == 0 || first.len() < 2 {
                let few = format!("{whole} of {n_folds} folds were done, too few to choose by; this is the last λ of the path.");
                return Ok((None, Some(few)));
            }
            cut = Some(format!("{n_lambdas} of {} values of λ were held out in {} folds; they choose.", lambdas.len(), first.len()));
            done = first.iter().collect();
        }
    }
    let gammas = if arm.gammas.is_empty() { &[1.0] } else { arm.gammas };
    let mut series = Vec::with_capacity(width);
    for (column, &gamma) in gammas.iter().enumerate() {
        let of_lambda = |i: usize| done.iter().map(|fold| fold[i * width + column]).collect();
        let table: Vec<CvRow> =
            lambdas[..n_lambdas].iter().enumerate().map(|(i, &lambda)| row(i, lambda, of_lambda(i), splits.repeats)).collect();
        if table.iter().any(|row| !row.mean.is_finite() || row.se.is_some_and(|se| !se.is_finite())) {
            return Err(unfit("numerical_error", "A held-out deviance is not a finite number."));
        }
        series.push((gamma, table));
    }
    Ok((Some(HeldOut { series }), cut))
}

/// Mean over the folds of all repeats; SE = sd of the fold means / √folds of one repeat: repeats sharpen the mean, but
/// are of the same rows, so that the error of it does not vanish with their number. A fold that holds out no weight
/// measures nothing (NaN) and is left out; one fold alone has no SE.
pub(super) fn row(index: usize, lambda: f64, mut per_fold: Vec<f64>, repeats: u64) -> CvRow {
    per_fold.retain(|deviance| !deviance.is_nan());
    let k = per_fold.len() as f64;
    let mean = per_fold.iter().sum::<f64>() / k;
    let variance = per_fold.iter().map(|fold| (fold - mean).powi(2)).sum::<f64>() / (k - 1.0).max(1.0);
    let se = (per_fold.len() > 1).then(|| (variance * repeats as f64 / k).sqrt());
    CvRow { index: index as u64, lambda, mean, se, per_fold }
}

#[allow(clippy::too_many_arguments)]
fn run_folds(
    inputs: &Inputs<'_>,
    penalty: solver::Penalty<'_>,
    arm: &Arm<'_>,
    splits: &Splits<'_>,
    rows: &Rows<'_>,
    points: &[Point],
    lambdas: &[f64],
    run: &Run<'_>,
    tracker: &Tracker<'_>,
) -> Result<Measured, TrainError> {
    // Class shares are those the loss sees.
    let strata = rows.loss.has_classes().then_some(rows.y.as_slice());
    let before = run.resume.as_ref().map(|before| before.arm(arm.position));
    let per_repeat = splits.folds as usize;
    let relaxing = !arm.gammas.is_empty();
    let mut measured: Measured = Vec::with_capacity(arm.n_folds());
    for repeat in 0..splits.repeats {
        let first = measured.len();
        let of_row: Vec<u32> = (splits.fold_of_row_together(rows.origins, rows.y.len(), strata, repeat).into_iter())
            .map(|fold| u32::try_from(fold).unwrap_or(NEVER))
            .collect();
        let begun: &[FoldPath] = before.and_then(|before| before.folds.get(first..first + per_repeat)).unwrap_or(&[]);
        let refitted = before.and_then(|before| before.relaxed.get(first..first + per_repeat)).map_or_else(Vec::new, <[_]>::to_vec);
        let refitted = Mutex::new(if refitted.is_empty() { vec![Vec::new(); per_repeat] } else { refitted });
        let each = |fold: usize, index: usize, row: solver::FoldRow, point: &Point, trail: solver::Trail| {
            let mut shares = Vec::new();
            if relaxing {
                let observe = |_: &solver::Progress| tracker.refitting();
                // told to stop: this λ counts as not done, and so does every one after it
                let Some(found) = relaxed::held_out_deviances(inputs, &of_row, fold, point, arm.gammas, &observe) else { return };
                let mut refitted = refitted.lock().unwrap_or_else(PoisonError::into_inner);
                if refitted[fold].len() != index * found.len() {
                    return;
                }
                refitted[fold].extend(&found);
                shares = found;
            }
            (run.keep)(Done::Fold { arm: arm.position, fold: first + fold, index, row, relaxed: shares, point: point.clone(), trail });
        };
        let folds = solver::Folds {
            of_row: &of_row,
            n: per_repeat,
            lambdas,
            threads: run.threads,
            on_thread: run.on_thread,
            points,
            begun,
            each: &each,
        };
        let observe = |at: &solver::Progress| tracker.fold(arm.position, first, at);
        let deviance = inputs.loss.cross_validate(inputs.data, penalty, inputs.options, &folds, &observe).map_err(unfit_fold)?;
        let refitted = refitted.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (fold, refitted) in refitted.into_iter().enumerate() {
            let reached = deviance.reached.get(fold).copied().unwrap_or(0);
            let plain = || deviance.per_fold.column(fold).iter().take(reached).copied().collect();
            measured.push(if relaxing { refitted } else { plain() });
        }
        if !deviance.whole {
            break;
        }
        tracker.folds_done(arm.position, first..measured.len());
    }
    Ok(measured)
}

/// Some fold's training rows cannot be fitted although all rows together can.
pub(super) fn unfit_fold(why: Unfit) -> TrainError {
    match why {
        Unfit::OneClass => unfit("invalid_target", "Without the rows of one fold only one class is left; ask for fewer folds."),
        Unfit::EmptyClass => unfit("invalid_target", "Without the rows of one fold a class has no row left; ask for fewer folds."),
        Unfit::NoCount => unfit("invalid_target", "Without the rows of one fold no count above zero is left; ask for fewer folds."),
        Unfit::NoWeight => unfit("invalid_weight", "Without the rows of one fold no weight is left; ask for fewer folds."),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_sharpen_the_mean_and_leave_the_standard_error_that_of_its_rows() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} {b}");
        let once = row(0, 1.0, vec![1.0, 2.0, 3.0, 4.0], 1);
        close(once.mean, 2.5);
        close(once.se.unwrap(), (5.0 / 3.0_f64 / 4.0).sqrt());
        // twice two folds: sd of the four over √2
        let twice = row(0, 1.0, vec![1.0, 2.0, 3.0, 4.0], 2);
        close(twice.se.unwrap(), (5.0 / 3.0_f64 / 2.0).sqrt());
        let alone = row(0, 1.0, vec![1.0, f64::NAN], 1);
        assert_eq!((alone.mean, alone.se, alone.per_fold.len()), (1.0, None, 1));
    }
}
