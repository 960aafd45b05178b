//! The score of every model, on all rows and on resamples of them: the same resamples for all, so that differences have
//! intervals of their own, which are narrower than those of the scores say.
//!
//! R², deviance ratio and accuracy are 1 − Σ w·loss / whole, where the whole depends on the rows alone; the area under the curve
//! is one walk along the rows in the order of the scores, which no resample changes.

use super::super::evaluate::{Pace, STRETCH};
use super::super::target::numbers;
use super::super::{TrainError, evaluate, evaluate_classes, ranking, unfit};
use super::{Field, draw};
use crate::dataset::Dataset;
use crate::model::ComparedModel;
use crate::spec::ScoreName;

/// Scores of each row of the comparison.
pub(super) struct Quality {
    /// On all rows.
    pub(super) whole: Vec<Option<f64>>,
    /// On each resample, by model.
    pub(super) resampled: Vec<Vec<Option<f64>>>,
}

impl Quality {
    /// Scores all models on all rows and on `resamples` of them. Memory: some numbers a row for each model.
    pub(super) fn measure(field: &Field<'_>, resamples: u64, seed: u64) -> Result<Self, TrainError> {
        let (dataset, pace) = (field.dataset, field.pace);
        let truth = Truth::of(field)?;
        let scored = field.said.iter().map(|said| truth.scored(said, pace)).collect::<Result<Vec<_>, _>>()?;
        let own = dataset.weights.as_deref();
        let mut weights = own.map_or_else(|| vec![1.0; dataset.y.len()], <[f64]>::to_vec);
        if !weights.iter().any(|weight| *weight > 0.0) {
            return Err(unfit("invalid_weight", "All sample weights are 0."));
        }
        let score = |weights: &[f64]| -> Result<Vec<Option<f64>>, TrainError> {
            let all = truth.whole(weights, pace)?;
            scored.iter().map(|one| one.score(weights, all, pace)).collect()
        };
        let whole = score(&weights)?;
        let mut resampled = vec![Vec::new(); scored.len()];
        for which in 0..resamples {
            pace.done(usize::try_from(which).unwrap_or(usize::MAX), usize::try_from(resamples).unwrap_or(usize::MAX));
            draw::weights(own, which, seed, &mut weights, pace)?;
            score(&weights)?.into_iter().zip(&mut resampled).for_each(|(score, all)| all.push(score));
        }
        Ok(Self { whole, resampled })
    }

    /// The score of one model less that of another, and the interval of the difference.
    pub(super) fn difference(&self, model: usize, other: usize) -> (Option<f64>, Option<[f64; 2]>) {
        let less = |(a, b): (&Option<f64>, &Option<f64>)| Some((*a)? - (*b)?);
        let told = self.resampled[model].iter().zip(&self.resampled[other]).map(less);
        (less((&self.whole[model], &self.whole[other])), draw::interval(told))
    }

    /// The interval of the score of one model; `None` without a score.
    pub(super) fn interval(&self, model: usize) -> Option<[f64; 2]> {
        draw::interval(self.resampled[model].iter().copied()).filter(|_| self.whole[model].is_some())
    }

    /// Writes scores and differences to the first into the rows.
    pub(super) fn write(&self, data: &mut [ComparedModel]) {
        for (at, one) in data.iter_mut().enumerate() {
            one.score = self.whole[at];
            let ends = self.interval(at);
            (one.score_low, one.score_high) = ends.map(|[low, high]| (low, high)).unzip();
            if at > 0 {
                let (difference, ends) = self.difference(at, 0);
                one.difference = difference;
                (one.difference_low, one.difference_high) = ends.map(|[low, high]| (low, high)).unzip();
            }
        }
    }
}

/// What is true of the rows, as the score asks for it.
struct Truth {
    score: ScoreName,
    y: Vec<f64>,
    /// Of numbers their mean: far from 0 the sums of a resample would be differences of large numbers.
    centre: f64,
    /// Of counts: what the null model of a resample is made of.
    null: Vec<[f64; 2]>,
}

/// What a model was right or wrong about.
enum Scored {
    /// A loss for each row.
    Losses(Vec<f64>),
    Ranked(Ranked),
}

impl Truth {
    fn of(field: &Field<'_>) -> Result<Self, TrainError> {
        let (dataset, score) = (field.dataset, field.score);
        let first = field.rows.first().ok_or_else(|| unfit("invalid_parameter", "There is no model to compare."))?;
        let known = super::said::Known::of(score, dataset, field.rows)?;
        let y = match score {
            ScoreName::R2 | ScoreName::DevianceRatio => numbers(dataset)?,
            ScoreName::Auc => evaluate::target(dataset, first.model.card().classes().as_deref())?,
            ScoreName::Accuracy => evaluate_classes::target(dataset, &known.classes)?,
        };
        let (mut null, mut centre) = (Vec::new(), 0.0);
        if score == ScoreName::R2 {
            let weight = |i: usize| dataset.weights.as_ref().map_or(1.0, |weights| weights[i]);
            let total: f64 = (0..y.len()).map(weight).sum();
            let mean = y.iter().enumerate().map(|(i, y)| if weight(i) > 0.0 { weight(i) * y } else { 0.0 }).sum::<f64>() / total;
            centre = if mean.is_finite() { mean } else { 0.0 };
        }
        if score == ScoreName::DevianceRatio {
            null = null_of(dataset, &y)?;
        }
        Ok(Self { score, y, centre, null })
    }

    fn scored(&self, said: &super::Said, pace: &Pace<'_>) -> Result<Scored, TrainError> {
        if self.score == ScoreName::Auc {
            return Ranked::of(&self.y, said.ranks(), pace).map(Scored::Ranked);
        }
        let mut losses = Vec::with_capacity(self.y.len());
        for row in 0..self.y.len() {
            pace.work(4 + said.width())?;
            losses.push(match self.score {
                ScoreName::R2 => (self.y[row] - said.number(row)).powi(2),
                ScoreName::DevianceRatio => half_deviance(self.y[row], said.number(row)),
                _ => f64::from(u8::from(said.label(row) as f64 != self.y[row])),
            });
        }
        Ok(Scored::Losses(losses))
    }

    /// What losses are a share of, where rows have these weights; `None` where that says nothing.
    fn whole(&self, weights: &[f64], pace: &Pace<'_>) -> Result<Option<f64>, TrainError> {
        let whole = match self.score {
            ScoreName::Auc => return Ok(None),
            ScoreName::Accuracy => sums(weights, pace, |_| [1.0])?[0],
            ScoreName::R2 => {
                let [total, first, second] = sums(weights, pace, |i| {
                    let y = self.y[i] - self.centre;
                    [1.0, y, y * y]
                })?;
                second - first * first / total
            }
            ScoreName::DevianceRatio => {
                let [counts, exposure, own] = sums(weights, pace, |i| [self.y[i], self.null[i][0], self.null[i][1]])?;
                let rate = counts / exposure;
                own - counts * rate.ln()
            }
        };
        Ok((whole.is_finite() && whole > 0.0).then_some(whole))
    }
}

impl Scored {
    fn score(&self, weights: &[f64], whole: Option<f64>, pace: &Pace<'_>) -> Result<Option<f64>, TrainError> {
        match self {
            Self::Ranked(ranked) => ranked.auc(weights, pace),
            Self::Losses(losses) => {
                let Some(whole) = whole else { return Ok(None) };
                let [missed] = sums(weights, pace, |i| [losses[i]])?;
                Ok(Some(1.0 - missed / whole).filter(|score| score.is_finite()))
            }
        }
    }
}

/// Weighted sums over the rows; what a row without weight holds may be anything.
fn sums<const N: usize>(weights: &[f64], pace: &Pace<'_>, f: impl Fn(usize) -> [f64; N]) -> Result<[f64; N], TrainError> {
    let mut sums = [0.0; N];
    for start in (0..weights.len()).step_by(STRETCH) {
        let rows = start..(start + STRETCH).min(weights.len());
        pace.work(rows.len())?;
        for i in rows.filter(|i| weights[*i] > 0.0) {
            sums.iter_mut().zip(f(i)).for_each(|(sum, part)| *sum += weights[i] * part);
        }
    }
    Ok(sums)
}

fn half_deviance(y: f64, mean: f64) -> f64 {
    if y > 0.0 { y * (y / mean).ln() - (y - mean) } else { mean }
}

/// Of each row e^o, and y·ln y − y·o: with the rate r = Σy/Σe^o of a resample its null model misses Σ(y·ln y − y·o) − ln r·Σy, as the
/// means of that model sum to Σy.
fn null_of(dataset: &Dataset, y: &[f64]) -> Result<Vec<[f64; 2]>, TrainError> {
    let (offset, weights) = (dataset.offset.as_deref(), dataset.weights.as_deref());
    let of_row = |(i, &y): (usize, &f64)| {
        let offset = offset.map_or(0.0, |offset| offset[i]);
        if y < 0.0 && weights.is_none_or(|weights| weights[i] > 0.0) {
            return Err(unfit("invalid_target", "A count is negative."));
        }
        Ok([offset.exp(), if y > 0.0 { y * y.ln() - y * offset } else { 0.0 }])
    };
    y.iter().enumerate().map(of_row).collect()
}

/// Rows in the order of what a model says, sorted once.
pub(super) struct Ranked {
    order: Vec<u32>,
    /// Whether a score is above the one before it.
    begins: Vec<bool>,
    positive: Vec<bool>,
}

impl Ranked {
    /// `y` > 0 is positive.
    pub(super) fn of(y: &[f64], scores: &[f64], pace: &Pace<'_>) -> Result<Self, TrainError> {
        let order = ranking::order(scores, &mut |units| pace.work(units))?;
        let score = |at: usize| scores[order[at] as usize];
        let begins = (0..order.len()).map(|at| at == 0 || score(at) != score(at - 1)).collect();
        let positive = order.iter().map(|row| y[*row as usize] > 0.0).collect();
        Ok(Self { order, begins, positive })
    }

    /// The weighted share of (positive, negative) pairs in the right order, ties half; `None` when one of the two has no weight.
    pub(super) fn auc(&self, weights: &[f64], pace: &Pace<'_>) -> Result<Option<f64>, TrainError> {
        let (mut below, mut pairs, mut above) = (0.0, 0.0, 0.0);
        let mut tied = [0.0; 2];
        for start in (0..self.order.len()).step_by(STRETCH) {
            let end = (start + STRETCH).min(self.order.len());
            pace.work(4 * (end - start))?;
            for at in start..end {
                if self.begins[at] {
                    let [down, up] = std::mem::take(&mut tied);
                    pairs += up * (below + down / 2.0);
                    (below, above) = (below + down, above + up);
                }
                tied[usize::from(self.positive[at])] += weights[self.order[at] as usize];
            }
        }
        let [down, up] = tied;
        pairs += up * (below + down / 2.0);
        (below, above) = (below + down, above + up);
        Ok((above > 0.0 && below > 0.0).then(|| pairs / (above * below)))
    }
}
