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
use crate::matrix::{self, Column, ColumnsView, Moments, Number, ValuesView};

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

    /// Units of work of the loss of one row.
    fn row_cost(&self) -> usize {
        match self.loss {
            Loss::Squared | Loss::Huber { .. } | Loss::SquaredHinge => 1,
            Loss::Logistic | Loss::Poisson => 2,
        }
    }

    /// Mean loss at linear predictors `eta`; worth nothing when `clock` said stop.
    pub(crate) fn mean_loss(&self, eta: &[f64], clock: &mut Clock) -> f64 {
        self.mean(eta, clock, |y, eta, values| self.loss.values(y, eta, values))
    }

    /// Σ share·loss*(−tθ/share); worth nothing when `clock` said stop.
    pub(crate) fn mean_conjugate(&self, theta: &[f64], t: f64, clock: &mut Clock) -> f64 {
        let rows = theta.iter().zip(&self.share);
        let u: Vec<f64> = rows.map(|(theta, share)| if *share > 0.0 { t * theta / share } else { 0.0 }).collect();
        self.mean(&u, clock, |y, u, conjugates| self.loss.conjugates(y, u, conjugates))
    }

    /// Σ share·f(y, at) over the rows with weight; `f` writes the values of many rows.
    fn mean(&self, at: &[f64], clock: &mut Clock, f: impl Fn(&[f64], &[f64], &mut [f64])) -> f64 {
        let (mut sum, mut values) = (0.0, Vec::new());
        clock.rows(at.len(), self.row_cost(), |rows| {
            values.resize(rows.len(), 0.0);
            f(&self.data.y[rows.clone()], &at[rows.clone()], &mut values);
            let share = &self.share[rows];
            // what a row without weight holds may be anything
            values.iter_mut().zip(share).for_each(|(value, share)| *value = if *share > 0.0 { *value } else { 0.0 });
            sum += matrix::dot(share, &values);
        });
        sum
    }

    /// −share·loss'(η) into `theta`, and its sums.
    fn descents(&self, eta: &[f64], theta: &mut [f64], clock: &mut Clock) -> Sums {
        let (mut sums, mut bends) = (Sums::default(), Vec::new());
        clock.rows(eta.len(), self.row_cost(), |rows| {
            let (here, y, share) = (&mut theta[rows.clone()], &self.data.y[rows.clone()], &self.share[rows.clone()]);
            self.loss.descents(y, &eta[rows], here);
            // what a row without weight holds may be anything
            here.iter_mut().zip(share).for_each(|(r, share)| *r = if *share > 0.0 { *r } else { 0.0 });
            if self.options.intercept {
                bends.resize(here.len(), 0.0);
                bends.iter_mut().zip(&*here).zip(y).for_each(|((bend, r), &y)| *bend = self.loss.curvature(y, *r));
                sums.bend += matrix::dot(share, &bends);
                bends.iter_mut().zip(&*here).for_each(|(size, r)| *size = r.abs());
                sums.size += matrix::dot(share, &bends);
                sums.sum += matrix::dot(share, here);
            }
            here.iter_mut().zip(share).for_each(|(r, share)| *r *= share);
        });
        sums
    }

    /// Moves `b` and `eta` to the best intercept and returns θ_i = −share_i·loss'(η_i), whose sum is then 0 but for
    /// rounding. Without an intercept only θ is computed. All of it is worth nothing when `clock` said stop.
    pub(crate) fn balance(&self, eta: &mut [f64], b: &mut f64, clock: &mut Clock) -> Vec<f64> {
        let mut theta = vec![0.0; eta.len()];
        let mut sums = self.descents(eta, &mut theta, clock);
        if !self.options.intercept {
            return theta;
        }
        // Newton kept inside a bracket: the sum of θ falls as b rises.
        let piecewise = self.loss.is_piecewise();
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        // a sum of few parabolas turns rounding into long steps: no more is asked of it than a sum over so many rows can hold
        let still = if piecewise { 1e-15 * (eta.len() as f64).sqrt() } else { 1e-15 };
        for round in 0..100 {
            if !clock.work(4 * eta.len()) {
                break;
            }
            let Sums { sum, size, bend } = sums;
            if sum.abs() <= still * size {
                break;
            }
            if piecewise && round == 0 {
                (low, high) = self.reach_of_intercept(eta, *b);
            }
            if sum > 0.0 {
                low = *b
            } else {
                high = *b
            }
            let step = sum / bend.max(f64::MIN_POSITIVE);
            let mut next = *b + if self.loss == Loss::Squared || piecewise { step } else { step.clamp(-4.0, 4.0) };
            // pieces may lead in a circle, halves of them do not
            let astray = !(next > low && next < high) || (piecewise && round % 4 == 3);
            if astray && piecewise {
                next = self.middle_bend(eta, *b, low, high).unwrap_or(0.5 * (low + high));
            } else if astray {
                next = if low.is_finite() && high.is_finite() { 0.5 * (low + high) } else { next };
            }
            let moved = next - *b;
            if moved == 0.0 || !moved.is_finite() {
                break;
            }
            eta.iter_mut().for_each(|eta| *eta += moved);
            *b = next;
            sums = self.descents(eta, &mut theta, clock);
            if moved.abs() <= 4.0 * f64::EPSILON * b.abs() {
                break;
            }
        }
        theta
    }

    /// Where the best intercept lies for a piecewise loss, told from intercept `b`: with y on one side of every η, so is the sum of θ.
    fn reach_of_intercept(&self, eta: &[f64], b: f64) -> (f64, f64) {
        let used = eta.iter().zip(self.data.y).zip(&self.share).filter(|(_, share)| **share > 0.0);
        let (least, most) =
            used.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ((eta, y), _)| (low.min(y - eta), high.max(y - eta)));
        (b + least, b + most)
    }

    /// The middle one of the intercepts between `low` and `high` at which a row comes to another piece of its loss.
    fn middle_bend(&self, eta: &[f64], b: f64, low: f64, high: f64) -> Option<f64> {
        let reach = if let Loss::Huber { delta } = self.loss { [-delta, delta] } else { [0.0; 2] };
        let used = eta.iter().zip(self.data.y).zip(&self.share).filter(|(_, share)| **share > 0.0);
        let all = used.flat_map(|((eta, y), _)| reach.map(|side| b + (y - eta) + side));
        let mut bends: Vec<f64> = all.filter(|bend| *bend > low && *bend < high).collect();
        let middle = bends.len() / 2;
        (!bends.is_empty()).then(|| *bends.select_nth_unstable_by(middle, f64::total_cmp).1)
    }

    /// The null model without unpenalised columns; θ there, worth nothing when `clock` said stop.
    fn find_null_intercept(&mut self, clock: &mut Clock) -> Vec<f64> {
        let mut b = 0.0;
        let mut eta = self.start(b);
        let theta = self.balance(&mut eta, &mut b, clock);
        self.null_intercept = b;
        self.null_objective = self.mean_loss(&eta, clock);
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

/// Sums over θ, kept only with an intercept.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Σ θ.
    sum: f64,
    /// Σ |θ|.
    size: f64,
    /// Σ share·loss''.
    bend: f64,
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
