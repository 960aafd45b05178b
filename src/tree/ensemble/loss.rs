//! What boosted trees make small: its slopes at the rows, the steps of leaves, the best constants, its mean.

use super::super::Unfit;
use super::super::clock::{BLOCK, Clock};
use super::super::weights::Weights;
use crate::numeric::{exp, ln, ln_1p};

/// Steps of the best constant by Newton's method.
const BASE_STEPS: usize = 100;
/// A leaf changes the log-odds by no more than this before it is shrunk: in a pure leaf no step would be the best.
const STEP_MAX: f64 = 10.0;
/// A probability this near to 0 or 1 has no curvature to divide by.
const CURVATURE_MIN: f64 = 1e-12;
/// A class of which there is nothing counts as one row in so many.
const SHARE_MIN: f64 = 1e-6;

/// What the sum of the trees is compared with a target by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoostedLoss {
    /// ½(y − F)².
    Squared,
    /// log(1 + e^(−yF)), y ∈ {−1, +1}: F is the log-odds.
    Logistic,
    /// log Σ e^F_k − F_y, an F for each class.
    Multinomial {
        /// Their number, at least 2.
        classes: usize,
    },
}

impl BoostedLoss {
    /// Numbers that the predictor of a row has.
    pub fn outputs(self) -> usize {
        if let Self::Multinomial { classes } = self { classes } else { 1 }
    }

    /// Whether the targets are what the loss asks for.
    pub(super) fn check(self, y: &[f64]) -> Result<(), Unfit> {
        let fits = match self {
            Self::Squared => true,
            Self::Logistic => y.iter().all(|y| y.abs() == 1.0),
            Self::Multinomial { classes } => classes > 1 && y.iter().all(|y| *y >= 0.0 && y.fract() == 0.0 && *y < classes as f64),
        };
        if fits { Ok(()) } else { Err(Unfit::NotAClass) }
    }

    /// −∂loss/∂F of these rows, for each output as `score` is: all rows of the first, then all of the next.
    pub(super) fn slopes(self, y: &[f64], score: &[f64], rows: &[u32], slopes: &mut [f64], clock: &mut Clock) -> Result<(), Unfit> {
        let Self::Multinomial { .. } = self else {
            return clock.each(rows, |row| slopes[row as usize] = self.slope(y[row as usize], score[row as usize]));
        };
        let n_rows = y.len();
        let (mut most, mut sums) = (Vec::new(), Vec::new());
        for rows in rows.chunks(BLOCK) {
            softmax_sums(score, n_rows, rows, (&mut most, &mut sums), clock)?;
            for (class, (score, slopes)) in score.chunks(n_rows).zip(slopes.chunks_mut(n_rows)).enumerate() {
                clock.work(rows.len())?;
                for ((&row, most), sum) in rows.iter().zip(&most).zip(&sums) {
                    let row = row as usize;
                    let p = exp(score[row] - most) / sum;
                    slopes[row] = if y[row] == class as f64 { 1.0 - p } else { -p };
                }
            }
        }
        Ok(())
    }

    /// −∂loss/∂F of one output.
    fn slope(self, y: f64, score: f64) -> f64 {
        match self {
            Self::Squared => y - score,
            _ => {
                let p = sigmoid(score);
                if y > 0.0 { 1.0 - p } else { -p }
            }
        }
    }

    /// The second derivative of the loss where this is its slope.
    pub(super) fn curvature(self, slope: f64) -> f64 {
        // of classes the slope is 1 − p or −p
        if self == Self::Squared { 1.0 } else { (slope.abs() * (1.0 - slope.abs())).max(CURVATURE_MIN) }
    }

    /// Newton's step from sums of these.
    pub(super) fn step(self, slope: f64, curvature: f64) -> f64 {
        let step = slope / curvature;
        match self {
            Self::Squared => step,
            Self::Logistic => step.clamp(-STEP_MAX, STEP_MAX),
            // one output too many: each takes its share
            Self::Multinomial { classes } => (step * (classes as f64 - 1.0) / classes as f64).clamp(-STEP_MAX, STEP_MAX),
        }
    }

    /// The constants that are best for these rows, beside the offsets.
    pub(super) fn base(
        self,
        y: &[f64],
        weights: &Weights,
        offset: Option<&[f64]>,
        rows: &[u32],
        clock: &mut Clock,
    ) -> Result<Vec<f64>, Unfit> {
        if let Self::Multinomial { classes } = self {
            let (mut of_class, mut total) = (vec![0.0; classes], 0.0);
            clock.each(rows, |row| {
                of_class[y[row as usize] as usize] += weights.given(row);
                total += weights.given(row);
            })?;
            return Ok(of_class.into_iter().map(|sum| ln((sum / total).max(SHARE_MIN))).collect());
        }
        let mut base = 0.0;
        for _ in 0..BASE_STEPS {
            let (mut slope, mut curvature) = (0.0, 0.0);
            clock.each(rows, |row| {
                let at = offset.map_or(0.0, |offset| offset[row as usize]) + base;
                let one = self.slope(y[row as usize], at);
                slope += weights.given(row) * one;
                curvature += weights.given(row) * self.curvature(one);
            })?;
            let step = self.step(slope, curvature);
            base += step;
            if !base.is_finite() {
                return Err(Unfit::NonFinite);
            }
            if step.abs() <= 1e-12 * base.abs().max(1.0) || self == Self::Squared {
                break;
            }
        }
        Ok(vec![base])
    }

    /// Its weighted mean over these rows.
    pub(super) fn mean(self, y: &[f64], score: &[f64], weights: &Weights, rows: &[u32], clock: &mut Clock) -> Result<f64, Unfit> {
        let n_rows = y.len();
        let (mut sum, mut total) = (0.0, 0.0);
        let mut add = |row: u32, loss: f64| {
            sum += weights.given(row) * loss;
            total += weights.given(row);
        };
        match self {
            Self::Squared => clock.each(rows, |row| add(row, 0.5 * (y[row as usize] - score[row as usize]).powi(2)))?,
            Self::Logistic => clock.each(rows, |row| {
                let margin = y[row as usize] * score[row as usize];
                add(row, ln_1p(exp(-margin.abs())) + (-margin).max(0.0));
            })?,
            Self::Multinomial { .. } => {
                let (mut most, mut sums) = (Vec::new(), Vec::new());
                for rows in rows.chunks(BLOCK) {
                    softmax_sums(score, n_rows, rows, (&mut most, &mut sums), clock)?;
                    for ((&row, most), sum) in rows.iter().zip(&most).zip(&sums) {
                        let own = score[y[row as usize] as usize * n_rows + row as usize];
                        add(row, ln(*sum) + (most - own));
                    }
                }
            }
        }
        Ok(sum / total)
    }
}

/// Of each row the largest score, and the sum over all classes of e to what each is below it.
fn softmax_sums(
    score: &[f64],
    n_rows: usize,
    rows: &[u32],
    (most, sums): (&mut Vec<f64>, &mut Vec<f64>),
    clock: &mut Clock,
) -> Result<(), Unfit> {
    most.clear();
    most.resize(rows.len(), f64::NEG_INFINITY);
    sums.clear();
    sums.resize(rows.len(), 0.0);
    for score in score.chunks(n_rows) {
        clock.work(rows.len())?;
        rows.iter().zip(&mut *most).for_each(|(&row, most)| *most = most.max(score[row as usize]));
    }
    for score in score.chunks(n_rows) {
        clock.work(rows.len())?;
        rows.iter().zip(&*most).zip(&mut *sums).for_each(|((&row, most), sum)| *sum += exp(score[row as usize] - most));
    }
    Ok(())
}

/// 1 / (1 + e^−η) without overflow.
pub(super) fn sigmoid(score: f64) -> f64 {
    let e = exp(-score.abs());
    if score >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}
