//! Which λ of the path: the last, or the one cross-validation chooses.

use super::progress::Tracker;
use super::target::Rows;
use super::{Checkpoint, Done, Inputs, Run, Solved, TrainError, cv_of, unfit};
use crate::model::{Cv, CvRow};
use crate::solver::{self, CvDeviance, FoldPath, Loss, Unfit};
use crate::spec::{self, ResolvedFit, Rule};

/// The λ chosen.
pub(super) struct Chosen {
    /// Position in the path.
    pub(super) index: usize,
    /// What chose it.
    pub(super) cv: Option<Cv>,
    /// λ_low and λ_high of a search for a number of non-zeros.
    pub(super) bracket: Option<[f64; 2]>,
    /// Why it is not chosen as was asked for.
    pub(super) cut: Option<String>,
}

/// Chooses. A fit that was told to stop and whose best is wanted takes the last λ done, or the one that the folds choose
/// that came to their end, if there are two.
pub(super) fn choose(
    inputs: &Inputs<'_>,
    spec: &ResolvedFit,
    rows: &Rows<'_>,
    solved: &Solved,
    run: &Run<'_>,
    tracker: &Tracker<'_>,
) -> Result<Chosen, TrainError> {
    let told = tracker.path_done(solved.points.len());
    if told.is_break() && !tracker.best_is_wanted() {
        return Err(TrainError::Cancelled);
    }
    let last = Chosen { index: solved.points.len() - 1, cv: None, bracket: solved.bracket, cut: solved.cut.clone() };
    let Some((n_folds, stratify, seed, rule)) = cv_of(spec).filter(|_| solved.cut.is_none()) else {
        return Ok(last);
    };
    let lambdas: Vec<f64> = solved.points.iter().map(|point| point.lambda).collect();
    let strata = if stratify { Some(rows) } else { None };
    let mut deviance = cross_validate(inputs, strata, (n_folds, seed), rows, &lambdas, run, tracker)?;
    let whole_folds = deviance.reached.iter().filter(|&&reached| reached == lambdas.len()).count();
    let cut = (!deviance.whole).then(|| format!("{whole_folds} of {n_folds} folds were done; they choose."));
    if cut.is_some() {
        if !tracker.best_is_wanted() {
            return Err(TrainError::Cancelled);
        }
        if whole_folds < 2 {
            let cut = format!("{whole_folds} of {n_folds} folds were done, too few to choose by; this is the last λ of the path.");
            return Ok(Chosen { cut: Some(cut), ..last });
        }
        forget_broken(&mut deviance, lambdas.len());
    }
    let table: Vec<CvRow> = lambdas.iter().enumerate().map(|(i, &lambda)| row(i, lambda, deviance.per_fold.row(i).to_vec())).collect();
    if table.iter().any(|row| !row.mean.is_finite() || !row.se.is_finite()) {
        return Err(unfit("numerical_error", "A held-out deviance is not a finite number."));
    }
    let (index_min, index_1se) = best(&table);
    let index = match rule {
        Rule::Min => index_min,
        Rule::OneSe => index_1se,
    };
    let cv = Cv {
        metric: "deviance".into(),
        folds: n_folds,
        seed,
        stratify,
        index_min: index_min as u64,
        index_1se: index_1se as u64,
        rows: table,
    };
    Ok(Chosen { index, cv: Some(cv), bracket: solved.bracket, cut })
}

fn cross_validate(
    inputs: &Inputs<'_>,
    strata: Option<&Rows<'_>>,
    (n_folds, seed): (u64, u64),
    rows: &Rows<'_>,
    lambdas: &[f64],
    run: &Run<'_>,
    tracker: &Tracker<'_>,
) -> Result<CvDeviance, TrainError> {
    // Class shares are those of the two sides the loss sees.
    let strata = strata.filter(|rows| matches!(rows.loss, Loss::Logistic | Loss::SquaredHinge)).map(|rows| rows.y.as_slice());
    let begun: &[FoldPath] = run.resume.as_ref().map_or(&[], |before: &Checkpoint| &before.folds);
    let folds = solver::Folds {
        of_row: &spec::folds(rows.y.len(), strata, n_folds, seed),
        n: n_folds as usize,
        lambdas,
        threads: run.threads,
        on_thread: run.on_thread,
        begun,
        each: &|fold, index, row, point, trail| (run.keep)(Done::Fold { fold, index, row, point: point.clone(), trail }),
    };
    let observe = |at: &solver::Progress| tracker.fold(at);
    solver::cross_validate(inputs.data, inputs.loss, inputs.penalty, inputs.options, &folds, &observe).map_err(unfit_fold)
}

/// Leaves out the folds that did not come to their end: λ are compared over the same rows.
fn forget_broken(deviance: &mut CvDeviance, n_lambdas: usize) {
    for (fold, _) in deviance.reached.iter().enumerate().filter(|(_, reached)| **reached < n_lambdas) {
        deviance.per_fold.column_mut(fold).fill(f64::NAN);
    }
}

/// Some fold's training rows cannot be fitted although all rows together can.
fn unfit_fold(why: Unfit) -> TrainError {
    match why {
        Unfit::OneClass => unfit("invalid_target", "Without the rows of one fold only one class is left; ask for fewer folds."),
        Unfit::NoCount => unfit("invalid_target", "Without the rows of one fold no count above zero is left; ask for fewer folds."),
        Unfit::NoWeight => unfit("invalid_weight", "Without the rows of one fold no weight is left; ask for fewer folds."),
        other => other.into(),
    }
}

/// Mean over the folds; SE = sd of the fold means / √folds. A fold that holds out no weight measures nothing (NaN) and
/// is left out.
fn row(index: usize, lambda: f64, mut per_fold: Vec<f64>) -> CvRow {
    per_fold.retain(|deviance| !deviance.is_nan());
    let k = per_fold.len() as f64;
    let mean = per_fold.iter().sum::<f64>() / k;
    let variance = per_fold.iter().map(|fold| (fold - mean).powi(2)).sum::<f64>() / (k - 1.0).max(1.0);
    CvRow { index: index as u64, lambda, mean, se: (variance / k).sqrt(), per_fold }
}

/// The least mean (the largest λ among equals), and the largest λ whose mean ≤ min mean + SE at the min.
fn best(table: &[CvRow]) -> (usize, usize) {
    let mut least = 0;
    for (i, row) in table.iter().enumerate() {
        if row.mean < table[least].mean {
            least = i;
        }
    }
    let bound = table[least].mean + table[least].se;
    let sparsest = table.iter().position(|row| row.mean <= bound).unwrap_or(least);
    (least, sparsest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_se_rule_takes_the_largest_lambda_within_one_error_of_the_least_mean() {
        let table: Vec<CvRow> = [[5.0, 7.0], [2.0, 4.0], [1.5, 3.5], [1.6, 3.6]]
            .iter()
            .enumerate()
            .map(|(i, f)| row(i, 1.0 / (i + 1) as f64, f.to_vec()))
            .collect();
        assert_eq!(table[2].mean, 2.5);
        assert!((table[2].se - 1.0).abs() < 1e-15);
        assert_eq!(best(&table), (2, 1));
    }

    #[test]
    fn of_equal_means_the_largest_lambda_wins() {
        let table: Vec<CvRow> = (0..3).map(|i| row(i, 1.0 / (i + 1) as f64, vec![1.0, 1.0])).collect();
        assert_eq!(best(&table), (0, 0));
    }
}
