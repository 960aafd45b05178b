//! A problem made ready to be solved: normalised weights, column means and scales, the null model, λ_max.
//!
//! The solver works on `u_j = w_jσ_j`, the coefficients of the standardised columns `(x_j − m_j)/σ_j`; the columns
//! themselves are never touched.

use super::descent::{Goal, descend};
use super::state::State;
use super::watch::Watch;
use super::{Data, Loss, Observe, Options, Penalty};
use crate::matrix::{Number, ValuesView, sum_weighted};

/// Why data cannot be fitted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The weights sum to 0.
    #[error("the sample weights sum to zero: no row takes part in the fit")]
    NoWeight,
    /// Logistic loss and only one class among the rows with weight.
    #[error("only one class has rows with positive weight; with folds, use fewer")]
    OneClass,
    /// A number that is NaN or infinite.
    #[error("a target, weight, offset or penalty factor is not a finite number, or a sum over them overflows")]
    NonFinite,
    /// A weight or penalty factor below 0, or an `l1_ratio` outside [0, 1].
    #[error("a sample weight or penalty factor is negative, or l1_ratio lies outside [0, 1]")]
    Negative,
    /// A logistic target other than -1 and +1.
    #[error("a target of the logistic loss is neither -1 nor +1")]
    NotASign,
    /// Slices whose lengths do not fit the matrix.
    #[error("the targets, weights, offsets, factors or folds do not fit the matrix")]
    Shape,
}

/// Data, loss, penalty and options, with all that does not depend on λ computed once.
#[derive(Debug)]
pub struct Problem<'a> {
    pub(super) data: Data<'a>,
    pub(super) loss: Loss,
    pub(super) l1_ratio: f64,
    pub(super) factors: Option<&'a [f64]>,
    pub(super) options: Options,
    /// s_i / Σs.
    pub(super) weights: Vec<f64>,
    /// σ_j of each stored column, 1 without standardising.
    scales: Vec<f64>,
    /// 1/σ_j; 0 for a constant column that is to stay out.
    pub(super) shrink: Vec<f64>,
    null_intercept: f64,
    null_objective: f64,
    lambda_max: f64,
}

impl<'a> Problem<'a> {
    /// Makes a problem ready. Costs two passes over X, more with unpenalised columns.
    pub fn new(data: Data<'a>, loss: Loss, penalty: Penalty<'a>, options: Options) -> Result<Self, Unfit> {
        check_penalty(&data, &penalty)?;
        let weights = normalised(&data)?;
        check_target(&data, loss, &weights)?;
        let scales = match (options.standardize, data.x.values) {
            (false, _) => vec![1.0; data.x.len()],
            (true, ValuesView::Single(values)) => deviations(&data, values, &weights),
            (true, ValuesView::Double(values)) => deviations(&data, values, &weights),
        };
        if scales.iter().any(|scale| !scale.is_finite()) {
            return Err(Unfit::NonFinite);
        }
        let shrink = scales.iter().map(|&scale| if scale > 0.0 { 1.0 / scale } else { 0.0 }).collect();
        let mut problem = Self {
            data,
            loss,
            l1_ratio: penalty.l1_ratio,
            factors: penalty.factors,
            options,
            weights,
            scales,
            shrink,
            null_intercept: 0.0,
            null_objective: 0.0,
            lambda_max: 0.0,
        };
        problem.find_null_model();
        let finite = problem.null_objective.is_finite() && problem.lambda_max.is_finite();
        if finite { Ok(problem) } else { Err(Unfit::NonFinite) }
    }

    /// The smallest λ at which every penalised coefficient is 0, with max(l1_ratio, 1e-3).
    pub fn lambda_max(&self) -> f64 {
        self.lambda_max
    }

    /// F at w = 0 and the best intercept: the unit of the relative gap.
    pub fn null_objective(&self) -> f64 {
        self.null_objective
    }

    /// Weighted mean deviance at w = 0 with the best intercept: both losses are half their deviance.
    pub fn null_deviance(&self) -> f64 {
        2.0 * self.null_objective
    }

    /// The best intercept at w = 0.
    pub fn null_intercept(&self) -> f64 {
        self.null_intercept
    }

    /// σ_j of each stored column; 1 without standardising, 0 for a constant column.
    pub fn scales(&self) -> &[f64] {
        &self.scales
    }

    pub(super) fn factor(&self, j: usize) -> f64 {
        self.factors.map_or(1.0, |factors| factors[j])
    }

    pub(super) fn offset(&self, i: usize) -> f64 {
        self.data.offset.map_or(0.0, |offset| offset[i])
    }

    /// Columns whose coefficient may be non-zero but costs nothing.
    pub(super) fn unpenalised(&self) -> Vec<u32> {
        match self.factors {
            None => Vec::new(),
            Some(factors) => (0..factors.len()).filter(|&j| factors[j] == 0.0 && self.shrink[j] > 0.0).map(|j| j as u32).collect(),
        }
    }

    /// The unit of gaps: F(0), or 1 where that is 0 (then gaps are absolute).
    pub(super) fn gap_unit(&self) -> f64 {
        if self.null_objective > 0.0 { self.null_objective } else { 1.0 }
    }

    fn find_null_model(&mut self) {
        let mut state = State::at_null(self);
        self.null_intercept = state.intercept;
        self.null_objective = state.loss_value(self);
        let go_on: &Observe<'_> = &|_| std::ops::ControlFlow::Continue(());
        let free = self.unpenalised();
        if !free.is_empty() {
            // Fit what is never penalised.
            let mut watch = Watch::new(go_on, self.data.x.nnz());
            let goal = Goal { lambda: f64::MAX, gap: 1e-14 * self.gap_unit(), sweeps: 10_000 };
            let _never_cancelled = descend(self, &mut state, &free, goal, &mut watch);
        }
        let mut watch = Watch::new(go_on, self.data.x.nnz());
        let gradient = state.gradient(self, &mut watch).unwrap_or_default();
        let ratio = self.l1_ratio.max(1e-3);
        let most = (0..gradient.len()).filter(|&j| self.factor(j) > 0.0).map(|j| gradient[j].abs() / self.factor(j));
        let most = most.fold(0.0, f64::max) / ratio;
        // The gradient of a hopeless column is rounding, not signal.
        self.lambda_max = if most > 1e-14 * self.gap_unit().sqrt() { most } else { 0.0 };
    }
}

fn check_penalty(data: &Data<'_>, penalty: &Penalty<'_>) -> Result<(), Unfit> {
    let n = data.x.n_rows;
    let fits = |slice: Option<&[f64]>, len: usize| slice.is_none_or(|slice| slice.len() == len);
    if data.y.len() != n || !fits(data.weights, n) || !fits(data.offset, n) || !fits(penalty.factors, data.x.len()) {
        return Err(Unfit::Shape);
    }
    let factors = penalty.factors.unwrap_or_default();
    if !(0.0..=1.0).contains(&penalty.l1_ratio) || factors.iter().any(|&factor| factor < 0.0) {
        return Err(Unfit::Negative);
    }
    if factors.iter().any(|factor| !factor.is_finite()) { Err(Unfit::NonFinite) } else { Ok(()) }
}

fn normalised(data: &Data<'_>) -> Result<Vec<f64>, Unfit> {
    let n = data.y.len();
    let weights = match data.weights {
        None if n > 0 => return Ok(vec![1.0 / n as f64; n]),
        None => return Err(Unfit::NoWeight),
        Some(weights) => weights,
    };
    if weights.iter().any(|&weight| weight < 0.0) {
        return Err(Unfit::Negative);
    }
    let total: f64 = weights.iter().sum();
    match total.is_finite() {
        false => Err(Unfit::NonFinite),
        true if total <= 0.0 => Err(Unfit::NoWeight),
        true => Ok(weights.iter().map(|weight| weight / total).collect()),
    }
}

fn check_target(data: &Data<'_>, loss: Loss, weights: &[f64]) -> Result<(), Unfit> {
    if data.y.iter().any(|y| !y.is_finite()) || data.offset.is_some_and(|offset| offset.iter().any(|o| !o.is_finite())) {
        return Err(Unfit::NonFinite);
    }
    if loss == Loss::Squared {
        return Ok(());
    }
    if data.y.iter().any(|y| y.abs() != 1.0) {
        return Err(Unfit::NotASign);
    }
    let counts = |sign: f64| data.y.iter().zip(weights).any(|(&y, &weight)| weight > 0.0 && y == sign);
    if counts(1.0) && counts(-1.0) { Ok(()) } else { Err(Unfit::OneClass) }
}

/// Weighted population standard deviation of each column, in two passes over it: Σ s(x − m)² over the non-zeros plus
/// m² for the zeros. 0 where it is rounding only.
fn deviations<V: Number>(data: &Data<'_>, values: &[V], weights: &[f64]) -> Vec<f64> {
    let one = |j: usize| {
        let column = data.x.column(j, values);
        let [present, mean, square] = sum_weighted(column, weights);
        let centred = column.rows.iter().zip(column.values).map(|(&row, &x)| weights[row as usize] * (x.into() - mean).powi(2));
        let variance = centred.sum::<f64>() + (1.0 - present).max(0.0) * mean * mean;
        if variance > 1e-24 * square { variance.sqrt() } else { 0.0 }
    };
    (0..data.x.len()).map(one).collect()
}
