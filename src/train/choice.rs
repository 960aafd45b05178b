//! Which model of all that were measured: the λ, the ratio, the share of a refit.

use serde_json::Value;

use super::arm::Solved;
use super::stability::Found;
use super::target::Rows;
use super::{TrainError, criteria, selected};
use crate::model::{Cv, CvRow};
use crate::spec::{ResolvedFit, Rule, Selection};

/// What was measured of one λ; less is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Score {
    pub(super) value: f64,
    pub(super) se: Option<f64>,
    pub(super) nonzeros: usize,
}

/// What was measured along one path, with one share of its coefficients.
pub(super) struct Series {
    /// Which of the paths.
    pub(super) arm: usize,
    /// Share of the penalised coefficients; 1 = no refit.
    pub(super) gamma: f64,
    pub(super) scores: Vec<Score>,
}

/// The model chosen.
pub(super) struct Chosen {
    /// Which of the paths.
    pub(super) arm: usize,
    /// Position in it.
    pub(super) index: usize,
    /// Share of the penalised coefficients; 1 = no refit.
    pub(super) gamma: f64,
    /// What chose it; of the path it is of, with the share it has.
    pub(super) cv: Option<Cv>,
    /// The criterion at every λ of the path; `None` within where it cannot judge.
    pub(super) criterion: Option<Vec<Option<f64>>>,
    /// What it was chosen from: where each of the other paths and shares is best, if there are others.
    pub(super) candidates: Option<Value>,
    /// What was measured along the path chosen, with the share chosen.
    pub(super) scores: Vec<Score>,
    /// What halves of the rows chose, if they did; then the model has the features that are stable, and no others.
    pub(super) stability: Option<Found>,
    /// Why it is not chosen as was asked for.
    pub(super) cut: Option<String>,
}

/// Chooses among paths that were solved. Where nothing measures them it is the last λ of the only one.
pub(super) fn choose(
    spec: &ResolvedFit,
    rows: &Rows<'_>,
    n_columns: usize,
    solved: &[Solved],
    cut: Option<String>,
) -> Result<Chosen, TrainError> {
    let gamma = spec.refit.as_ref().and_then(|refit| refit.relaxed_gamma.first()).copied().unwrap_or(1.0);
    let mut series = Vec::new();
    for (arm, path) in solved.iter().enumerate() {
        let nonzeros = |i: usize| path.points[i].columns.len();
        if let Some(held_out) = &path.held_out {
            series.extend(held_out.series.iter().map(|(gamma, table)| {
                let score = |(i, row): (usize, &CvRow)| Score { value: row.mean, se: row.se, nonzeros: nonzeros(i) };
                Series { arm, gamma: *gamma, scores: table.iter().enumerate().map(score).collect() }
            }));
        } else if spec.selection.is_criterion() && path.cut.is_none() {
            let values = criteria::along(&spec.selection, rows, n_columns, path);
            // what cannot be judged is never the least
            let score =
                |(i, value): (usize, &Option<f64>)| Score { value: value.unwrap_or(f64::INFINITY), se: None, nonzeros: nonzeros(i) };
            series.push(Series { arm, gamma, scores: values.iter().enumerate().map(score).collect() });
        }
    }
    if series.is_empty() {
        let last = solved.first().map_or(0, |path| path.points.len().saturating_sub(1));
        let stability = solved.first().and_then(|path| path.stability.clone());
        let index = stability.as_ref().map_or(last, |found| found.index);
        return Ok(Chosen { arm: 0, index, gamma, cv: None, criterion: None, candidates: None, scores: Vec::new(), stability, cut });
    }
    let (which, index) = best(&series, spec.selection.rule());
    let Series { arm, gamma, scores } = &series[which];
    let (arm, gamma) = (*arm, *gamma);
    let criterion =
        spec.selection.is_criterion().then(|| scores.iter().map(|score| Some(score.value).filter(|value| value.is_finite())).collect());
    let table = solved[arm].held_out.as_ref().and_then(|held_out| held_out.series.iter().find(|(share, _)| *share == gamma));
    let cv = table.and_then(|(_, table)| cv(&spec.selection, table.clone(), scores));
    let candidates = selected::candidates(spec, solved, &series);
    Ok(Chosen { arm, index, gamma, cv, criterion, candidates, scores: scores.clone(), stability: None, cut })
}

fn cv(selection: &Selection, rows: Vec<CvRow>, scores: &[Score]) -> Option<Cv> {
    let splits = selection.splits()?;
    let (index_min, index_1se) = (least(scores), largest_within_se(scores));
    Some(Cv {
        metric: "deviance".into(),
        method: selection.method().into(),
        folds: splits.folds,
        repeats: splits.repeats,
        seed: splits.seed,
        stratify: splits.stratify,
        fraction: splits.fraction,
        assigned: splits.is_assigned(),
        index_min: index_min as u64,
        index_1se: index_1se as u64,
        rows,
    })
}

/// The least value; the largest λ among equals.
pub(super) fn least(scores: &[Score]) -> usize {
    let mut least = 0;
    for (i, score) in scores.iter().enumerate() {
        if score.value < scores[least].value {
            least = i;
        }
    }
    least
}

/// The largest λ whose value is within one standard error of the least.
pub(super) fn largest_within_se(scores: &[Score]) -> usize {
    let least = least(scores);
    first_within(scores, scores[least].value + scores[least].se.unwrap_or(0.0)).unwrap_or(least)
}

fn first_within(scores: &[Score], bound: f64) -> Option<usize> {
    scores.iter().position(|score| score.value <= bound)
}

/// The series and the λ in it.
///
/// * `min`: the least value of all; the first among equals.
/// * `1se`: of each series the largest λ whose value is within one standard error, at the least of all, of that least;
///   of these the one with the fewest non-zeros.
/// * `sparsest_within_pct`: the fewest non-zeros of all λ of all series whose value is within so many per cent of the least.
///
/// Of equally sparse ones the one with the least value is taken.
fn best(series: &[Series], (rule, within_pct): (Rule, Option<f64>)) -> (usize, usize) {
    let mut top = (0, least(&series[0].scores));
    for (which, one) in series.iter().enumerate() {
        let index = least(&one.scores);
        if one.scores[index].value < series[top.0].scores[top.1].value {
            top = (which, index);
        }
    }
    let best = series[top.0].scores[top.1];
    let candidates: Vec<(usize, usize)> = match rule {
        Rule::Min => return top,
        Rule::OneSe => {
            let bound = best.value + best.se.unwrap_or(0.0);
            series.iter().enumerate().filter_map(|(which, one)| Some((which, first_within(&one.scores, bound)?))).collect()
        }
        Rule::SparsestWithinPct => {
            let bound = best.value + within_pct.unwrap_or(0.0) / 100.0 * best.value.abs();
            let inside = |(which, one): (usize, &Series)| {
                let hits: Vec<_> =
                    one.scores.iter().enumerate().filter(|(_, score)| score.value <= bound).map(|(i, _)| (which, i)).collect();
                hits
            };
            series.iter().enumerate().flat_map(inside).collect()
        }
    };
    let score = |&(which, index): &(usize, usize)| series[which].scores[index];
    let sparser = |a: &(usize, usize), b: &(usize, usize)| {
        let (a, b) = (score(a), score(b));
        a.nonzeros.cmp(&b.nonzeros).then(a.value.total_cmp(&b.value))
    };
    candidates.into_iter().min_by(sparser).unwrap_or(top)
}

#[cfg(test)]
mod tests {
    use super::super::held_out::row;
    use super::*;

    fn series(rows: &[(f64, f64, usize)]) -> Series {
        let scores = rows.iter().map(|&(value, se, nonzeros)| Score { value, se: Some(se), nonzeros }).collect();
        Series { arm: 0, gamma: 1.0, scores }
    }

    #[test]
    fn the_one_se_rule_takes_the_largest_lambda_within_one_error_of_the_least_mean() {
        let table = [[5.0, 7.0], [2.0, 4.0], [1.5, 3.5], [1.6, 3.6]].map(|f| {
            let row = row(0, 1.0, f.to_vec(), 1);
            (row.mean, row.se.unwrap(), 1)
        });
        assert_eq!(table[2].0, 2.5);
        assert!((table[2].1 - 1.0).abs() < 1e-15);
        let one = series(&table);
        assert_eq!((least(&one.scores), largest_within_se(&one.scores)), (2, 1));
        assert_eq!(best(&[one], (Rule::OneSe, None)), (0, 1));
    }

    #[test]
    fn of_equal_means_the_largest_lambda_wins() {
        let one = series(&[(1.0, 0.0, 0), (1.0, 0.0, 1), (1.0, 0.0, 2)]);
        assert_eq!((least(&one.scores), largest_within_se(&one.scores)), (0, 0));
        assert_eq!(best(&[one], (Rule::Min, None)), (0, 0));
    }

    #[test]
    fn the_sparsest_within_some_per_cent_need_not_be_at_the_largest_lambda() {
        let one = || series(&[(9.0, 1.0, 0), (1.04, 1.0, 3), (1.05, 1.0, 2), (1.03, 1.0, 2), (1.0, 1.0, 7)]);
        let within = |pct: f64| best(&[one()], (Rule::SparsestWithinPct, Some(pct))).1;
        assert_eq!([within(1.0), within(4.0), within(5.0), within(100.0)], [4, 3, 3, 3]);
        // 1se: the largest λ, whatever its non-zeros
        assert_eq!(best(&[one()], (Rule::OneSe, None)).1, 1);
    }

    #[test]
    fn over_several_paths_the_least_of_all_sets_the_bound() {
        let paths = || [series(&[(5.0, 0.1, 0), (2.0, 0.1, 4)]), series(&[(5.0, 9.0, 0), (1.5, 0.6, 9), (1.4, 0.7, 10)])];
        assert_eq!(best(&paths(), (Rule::Min, None)), (1, 2));
        assert_eq!(best(&paths(), (Rule::OneSe, None)), (0, 1), "4 non-zeros against 9");
        assert_eq!(best(&paths(), (Rule::SparsestWithinPct, Some(10.0))), (1, 1));
        let twins = [series(&[(1.0, 0.0, 3)]), series(&[(1.0, 0.0, 3)])];
        assert_eq!(best(&twins, (Rule::Min, None)), (0, 0));
        assert_eq!(best(&twins, (Rule::OneSe, None)), (0, 0));
    }
}
