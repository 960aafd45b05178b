//! The problem of one fit: data, loss and penalty with what is computed of them once.
//!
//! Knows the equation; knows nothing of how it is solved. Everything is kept on the **original** scale of the
//! coefficients: standardising only changes the penalty of column j from `f_j` to `f_jσ_j` (L1) and `f_jσ_j²` (L2).

use super::blocks::Blocks;
use super::bounds;
use super::clock::Clock;
use super::descent::Engine;
use super::multinomial::Classes;
use super::subset;
use super::{Data, Loss, Observe, Options, Penalty, Shape};
use crate::matrix::{Column, ColumnsView, Moments, Number, ValuesView};

/// Why data cannot be fitted at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The weights sum to 0.
    #[error("the sample weights sum to zero: no row takes part in the fit")]
    NoWeight,
    /// A loss of two classes and only one class among the rows with weight.
    #[error("only one class has rows with positive weight")]
    OneClass,
    /// A number that is NaN or infinite.
    #[error("a target, weight, offset or penalty factor is not a finite number, or a sum over them overflows")]
    NonFinite,
    /// A weight or penalty factor below 0, an `l1_ratio` outside [0, 1], or a `delta` that is not above 0.
    #[error("a sample weight or penalty factor is negative, l1_ratio lies outside [0, 1], or delta is not above 0")]
    Negative,
    /// A γ, an `l1_ratio` or bounds that this form of penalty does not have, or bounds on an unpenalised column or without 0 between them.
    #[error("gamma, l1_ratio or the bounds lie outside what the penalty allows")]
    Penalty,
    /// Poisson loss and nothing counted in the rows with weight: the best mean is 0, and no η gives it.
    #[error("no row with positive weight has a count above zero")]
    NoCount,
    /// A target of the Poisson loss below 0.
    #[error("a target of the poisson loss is negative")]
    NotACount,
    /// A target of a loss of two classes other than -1 and +1.
    #[error("a target of a loss of two classes is neither -1 nor +1")]
    NotASign,
    /// Multinomial loss and a class without a row of positive weight.
    #[error("a class has no row with positive weight")]
    EmptyClass,
    /// A multinomial target that is not the position of a class.
    #[error("a target of the multinomial loss is not the position of a class")]
    NotAClass,
    /// Slices whose lengths do not fit the matrix.
    #[error("the targets, weights, offsets, factors or folds do not fit the matrix")]
    Shape,
    /// `observe` said to stop.
    #[error("stopped")]
    Stopped,
}

/// One fit as an equation. Borrows the data; owns means, scales and the null model.
pub struct Problem<'a> {
    pub(crate) data: Data<'a>,
    pub(crate) loss: Loss,
    pub(crate) penalty: Penalty<'a>,
    pub(crate) options: Options,
    /// s / Σs; that of every row, where all have the same.
    pub(crate) share: Vec<f64>,
    pub(crate) alike: Option<f64>,
    /// Weighted mean of each column with an intercept, else 0.
    pub(crate) center: Vec<f64>,
    /// σ_j, or 0 for a column that stays at 0: constant, or without room.
    pub(crate) scale: Vec<f64>,
    /// Σ share·(x − center)².
    pub(crate) spread: Vec<f64>,
    /// L1 penalty of |w_j| for λ = 1.
    pub(crate) l1: Vec<f64>,
    /// L2 penalty of w_j²/2 for λ = 1.
    pub(crate) l2: Vec<f64>,
    /// Unpenalised columns that may move.
    pub(crate) free: Vec<u32>,
    /// Which columns are penalised together; `None` where each is by itself.
    pub(crate) blocks: Option<Blocks>,
    /// −∂(mean loss)/∂w at the null model.
    pub(crate) null_gradient: Vec<f64>,
    /// Null model: coefficients of the unpenalised columns, and the intercept.
    pub(crate) null_model: (Vec<f64>, f64),
    pub(crate) null_objective: f64,
    /// Σ share·(the least loss of the row).
    least: f64,
    null_intercept: f64,
    pub(crate) lambda_max: f64,
    /// The classes of a multinomial problem, whose loss is then not `loss`.
    pub(crate) classes: Option<Box<Classes>>,
}

impl<'a> Problem<'a> {
    /// Looks at every non-zero once; more often at those of nearly constant columns, and where columns are unpenalised.
    pub fn new(data: Data<'a>, loss: Loss, penalty: Penalty<'a>, options: Options, observe: &Observe) -> Result<Self, Unfit> {
        let mut clock = Clock::new(observe);
        let share = check(&data, loss, &penalty)?;
        let mut problem = Self {
            data,
            loss,
            penalty,
            options,
            alike: share.first().copied().filter(|first| share.iter().all(|s| s == first)),
            share,
            center: Vec::new(),
            scale: Vec::new(),
            spread: Vec::new(),
            l1: Vec::new(),
            l2: Vec::new(),
            free: Vec::new(),
            blocks: None,
            null_gradient: Vec::new(),
            null_model: (Vec::new(), 0.0),
            null_objective: 0.0,
            least: 0.0,
            null_intercept: 0.0,
            lambda_max: 0.0,
            classes: None,
        };
        problem.least = problem.share.iter().zip(data.y).map(|(s, &y)| if *s > 0.0 { s * loss.least(y) } else { 0.0 }).sum();
        let theta = problem.find_null_intercept(&mut clock);
        let columns = match data.x.values {
            ValuesView::Single(values) => statistics(data.x, values, (&problem.share, problem.alike), &theta, &options, &mut clock),
            ValuesView::Double(values) => statistics(data.x, values, (&problem.share, problem.alike), &theta, &options, &mut clock),
        };
        let Statistics { center, scale, spread, gradient } = columns.ok_or(Unfit::Stopped)?;
        if scale.iter().chain(&center).chain(&spread).any(|s| !s.is_finite()) {
            return Err(Unfit::NonFinite);
        }
        let mut scale = scale;
        if let Some(bounds) = penalty.bounds {
            // what may not leave 0 is as good as constant
            (0..scale.len()).filter(|&j| bounds.closed(j)).for_each(|j| scale[j] = 0.0);
        }
        let factor = |j: usize| penalty.factors.map_or(1.0, |f| f[j]);
        problem.l1 = scale.iter().enumerate().map(|(j, s)| factor(j) * penalty.l1_ratio * s).collect();
        problem.l2 = scale.iter().enumerate().map(|(j, s)| factor(j) * (1.0 - penalty.l1_ratio) * s * s).collect();
        problem.free = (0..scale.len()).filter(|&j| scale[j] > 0.0 && factor(j) == 0.0).map(|j| j as u32).collect();
        if let Shape::Groups(groups) = penalty.shape {
            problem.l2.fill(0.0);
            problem.free.clear();
            problem.blocks = Some(Blocks::new(groups, penalty.l1_ratio, &scale));
        }
        (problem.center, problem.scale, problem.spread, problem.null_gradient) = (center, scale, spread, gradient);
        if !problem.find_null(&mut clock) {
            return Err(Unfit::Stopped);
        }
        let finite = problem.null_objective.is_finite() && problem.lambda_max.is_finite();
        if finite { Ok(problem) } else { Err(Unfit::NonFinite) }
    }

    /// Smallest λ at which every penalised coefficient is 0, computed with `max(l1_ratio, 1e-3)`; of [`Shape::L0`] that at which no single
    /// coefficient, moved with the intercept, surely lowers F from there.
    pub fn lambda_max(&self) -> f64 {
        self.lambda_max
    }

    /// Whether the penalty is the number of coefficients.
    pub fn is_counting(&self) -> bool {
        self.penalty.shape == Shape::L0
    }

    /// F(w = 0, best b): the unit of the relative gap.
    pub fn null_objective(&self) -> f64 {
        self.null_objective
    }

    /// Best intercept at w = 0; 0 without an intercept.
    pub fn null_intercept(&self) -> f64 {
        self.null_intercept
    }

    /// What gaps are relative to: the size of the null objective, 1 where that is 0.
    pub(crate) fn unit(&self) -> f64 {
        if self.null_objective == 0.0 { 1.0 } else { self.null_objective.abs() }
    }

    /// How large the terms of a mean loss may be that is small itself.
    pub(crate) fn magnitude(&self) -> f64 {
        self.null_objective.abs() + self.least.abs()
    }

    /// Weighted mean deviance where the mean loss is `loss`.
    pub(crate) fn deviance(&self, loss: f64) -> f64 {
        2.0 * (loss - self.least)
    }

    /// Weighted mean deviance at w = 0 with the best intercept.
    pub fn null_deviance(&self) -> f64 {
        self.deviance(self.null_objective)
    }

    /// σ_j of each stored column; 1 unless standardising; 0 for a column that is constant, or has no room, and so is kept at 0.
    pub fn scales(&self) -> &[f64] {
        &self.scale
    }

    /// Offsets + `b` for each row.
    pub(crate) fn start(&self, b: f64) -> Vec<f64> {
        match self.data.offset {
            Some(offset) => offset.iter().map(|o| o + b).collect(),
            None => vec![b; self.data.x.n_rows],
        }
    }

    /// The null model without unpenalised columns; θ there, worth nothing when `clock` said stop.
    fn find_null_intercept(&mut self, clock: &mut Clock) -> Vec<f64> {
        let mut b = 0.0;
        let mut eta = self.start(b);
        let (theta, objective) = self.balance(&mut eta, &mut b, clock);
        (self.null_intercept, self.null_objective) = (b, objective);
        self.null_model = (Vec::new(), b);
        theta
    }

    /// Whether it was done before `clock` said stop.
    fn find_null(&mut self, clock: &mut Clock) -> bool {
        self.null_model.0 = vec![0.0; self.scale.len()];
        if !self.free.is_empty() {
            let null = match self.data.x.values {
                ValuesView::Single(values) => Engine::null(self, values, clock),
                ValuesView::Double(values) => Engine::null(self, values, clock),
            };
            let Some((coefficients, b, gradient)) = null else { return false };
            self.null_model = (coefficients, b);
            self.null_gradient = gradient;
        }
        if let Some(blocks) = &self.blocks {
            self.lambda_max = blocks.critical(&self.null_gradient, &self.l1, &self.scale, clock).into_iter().fold(0.0, f64::max);
            return !clock.cancelled;
        }
        if self.penalty.shape == Shape::L0 {
            let most = match self.data.x.values {
                ValuesView::Single(values) => subset::lambda_max(self, values, clock),
                ValuesView::Double(values) => subset::lambda_max(self, values, clock),
            };
            self.lambda_max = most.unwrap_or(0.0);
            return most.is_some();
        }
        let ratio = self.penalty.l1_ratio.max(1e-3);
        self.lambda_max = (0..self.scale.len())
            .filter_map(|j| {
                let bound = self.penalty.factors.map_or(1.0, |f| f[j]) * self.scale[j] * ratio;
                (bound > 0.0).then(|| self.push(j, self.null_gradient[j]) / bound)
            })
            .fold(0.0, f64::max);
        !clock.cancelled
    }
}

/// Checks what the types do not say, and returns s / Σs.
fn check(data: &Data, loss: Loss, penalty: &Penalty) -> Result<Vec<f64>, Unfit> {
    let (n, p) = (data.x.n_rows, data.x.len());
    let fits = |slice: Option<&[f64]>, len| slice.is_none_or(|s| s.len() == len);
    if data.y.len() != n || !fits(data.weights, n) || !fits(data.offset, n) || !fits(penalty.factors, p) {
        return Err(Unfit::Shape);
    }
    let all = [Some(data.y), data.weights, data.offset, penalty.factors];
    if all.into_iter().flatten().flatten().any(|x| !x.is_finite()) || !penalty.l1_ratio.is_finite() {
        return Err(Unfit::NonFinite);
    }
    let negative = |slice: Option<&[f64]>| slice.is_some_and(|s| s.iter().any(|&x| x < 0.0));
    if negative(data.weights) || negative(penalty.factors) || !(0.0..=1.0).contains(&penalty.l1_ratio) {
        return Err(Unfit::Negative);
    }
    super::blocks::check(penalty, p)?;
    bounds::check(penalty, p)?;
    let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
    let total: f64 = (0..n).map(weight).sum();
    if total <= 0.0 {
        return Err(Unfit::NoWeight);
    }
    if !total.is_finite() {
        return Err(Unfit::NonFinite);
    }
    if let Loss::Huber { delta } = loss
        && !(delta > 0.0 && delta.is_finite())
    {
        return Err(Unfit::Negative);
    }
    if matches!(loss, Loss::Logistic | Loss::SquaredHinge) {
        if data.y.iter().any(|&y| y != 1.0 && y != -1.0) {
            return Err(Unfit::NotASign);
        }
        let has = |sign: f64| (0..n).any(|i| data.y[i] == sign && weight(i) > 0.0);
        if !has(1.0) || !has(-1.0) {
            return Err(Unfit::OneClass);
        }
    }
    if loss == Loss::Poisson {
        if data.y.iter().any(|&y| y < 0.0) {
            return Err(Unfit::NotACount);
        }
        if !(0..n).any(|i| data.y[i] > 0.0 && weight(i) > 0.0) {
            return Err(Unfit::NoCount);
        }
    }
    Ok((0..n).map(|i| weight(i) / total).collect())
}

/// What one walk over the matrix tells of every column.
struct Statistics {
    center: Vec<f64>,
    scale: Vec<f64>,
    spread: Vec<f64>,
    /// X̃ᵀθ.
    gradient: Vec<f64>,
}

/// Statistics of every column, and its product with `theta`; `None` when `clock` said stop.
fn statistics<V: Number>(
    x: ColumnsView,
    values: &[V],
    (share, alike): (&[f64], Option<f64>),
    theta: &[f64],
    options: &Options,
    clock: &mut Clock,
) -> Option<Statistics> {
    let taking_part = share.iter().filter(|s| **s > 0.0).count();
    let zeros = || vec![0.0; x.len()];
    let mut all = Statistics { center: zeros(), scale: zeros(), spread: zeros(), gradient: zeros() };
    let sum: f64 = theta.iter().sum();
    for j in 0..x.len() {
        let column = x.column(j, values);
        if !clock.touch(column.nnz()) {
            return None;
        }
        let Moments { mean, square, product, mass } =
            alike.map_or_else(|| column.moments_with(share, theta), |share| column.moments_alike(share, theta));
        // Rows without an entry are at 0; their share is what is left of 1.
        let mut variance = (square - mean * mean).max(0.0);
        let mut still = false;
        if variance <= 1e-4 * square {
            // Only a nearly constant column loses digits in the difference; it is worth a second look.
            if !clock.touch(2 * column.nnz()) {
                return None;
            }
            let inside = column.iter().map(|(i, x)| share[i] * (x - mean) * (x - mean)).sum::<f64>();
            variance = inside + mean * mean * (1.0 - mass).max(0.0);
            still = is_constant(column, share, taking_part) || variance <= 1e-28 * square;
        }
        let dead = square == 0.0 || (still && (options.intercept || options.standardize));
        all.center[j] = if options.intercept { mean } else { 0.0 };
        all.spread[j] = if options.intercept { variance } else { square };
        all.scale[j] = match (dead, options.standardize) {
            (true, _) => 0.0,
            (false, true) => variance.sqrt(),
            (false, false) => 1.0,
        };
        all.gradient[j] = if dead { 0.0 } else { product - all.center[j] * sum };
    }
    Some(all)
}

/// Whether all rows with weight hold one value.
fn is_constant<V: Number>(column: Column<V>, share: &[f64], taking_part: usize) -> bool {
    let mut seen = column.iter().filter(|(i, _)| share[*i] > 0.0);
    let Some((_, first)) = seen.next() else { return true };
    let mut count = 1;
    seen.all(|(_, x)| {
        count += 1;
        x == first
    }) && count == taking_part
}
