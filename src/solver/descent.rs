//! The outer loop: certificate on the full problem, working set, inner solve, again.
//!
//! Whatever working sets leave out is checked by the gap of the full problem. The squared loss is its own quadratic model,
//! the logistic loss is solved by proximal Newton steps. Penalties other than the elastic net turn off to `blocks`, L0 to `subset`.

use super::blocks::Rule;
use super::clock::Clock;
use super::dual::{Primal, Side, dual_value};
use super::gradient::Gradient;
use super::gram::Products;
use super::in_rows::RowProducts;
use super::inner::{Aim, Coordinates, Fall, minimise};
use super::linear;
use super::newton::Bend;
use super::quadratic::Residual;
use super::standing::Reference;
use super::working_set::{Choice, Growth};
use super::{Loss, Point, Problem, Stop};
use crate::matrix::{Column, ColumnsView, Number};

/// The inner goal as a share of the outer.
pub(super) const INNER: f64 = 0.3;
/// A λ further below the last one than this is come to in steps of it.
pub(super) const STAGE: f64 = 0.4;
/// A sum over rows that is no larger than this share of its terms is 0 but for rounding.
const ROUNDING: f64 = 1e-10;

/// Rounds in which only the dual points of others gone by may say that the end is reached.
const UNSURE: usize = 2;
/// A round that is not the last is solved to this share of the gap it begins with.
pub(super) const REST: f64 = 0.02;

/// How a round is gone.
#[derive(Clone, Copy)]
pub(super) struct Round {
    /// Small steps have been taken for the end before when they were not.
    pub(super) doubted: bool,
    /// To a λ on the way to another.
    pub(super) on_the_way: bool,
    /// See [`Aim::at_once`].
    pub(super) at_once: Option<f64>,
    pub(super) max_epochs: u64,
}

/// The state of a solve, kept along a path.
pub(crate) struct Engine<'p, 'a, V> {
    pub(super) problem: &'p Problem<'a>,
    pub(super) values: &'a [V],
    pub(crate) clock: Clock<'p>,
    pub(super) w: Vec<f64>,
    /// Where `w` is not 0, rising.
    pub(super) support: Vec<u32>,
    pub(super) b: f64,
    /// `b` before the last evaluation moved it.
    pub(super) b_before: f64,
    /// `b_before` of the last pass; `None` while the gradient is that of the null model.
    pub(super) seen: Option<f64>,
    pub(super) eta: Vec<f64>,
    /// Mean loss at the last evaluation.
    pub(super) loss: f64,
    /// Whether a search has ended with an evaluation: until the coefficients move there is none to be made.
    pub(super) evaluated: bool,
    /// −share·loss'(η).
    pub(super) theta: Vec<f64>,
    /// θ made orthogonal to the unpenalised columns.
    pub(super) dual: Vec<f64>,
    /// Whether that could be done; where not, `dual` is only a direction.
    pub(super) sound: bool,
    /// X̃ᵀdual, all columns.
    pub(super) gradient: Gradient,
    /// The point that the gradient's reference was computed at, with its `b_before`.
    pub(super) reference: Option<Reference>,
    pub(super) lambda: f64,
    /// Whether it goes from λ to λ along a path: what is made here serves the next ones too.
    pub(super) on_path: bool,
    /// Goal for the relative gap; the problem's own unless a search needs it sharper.
    pub(crate) tol: f64,
    /// What is known of XᵀHX, H the second derivatives: the shares for the squared loss, else those of `bend`.
    pub(super) products: Products,
    pub(super) bend: Bend,
    /// Non-zeros of the columns that may move.
    pub(super) live: usize,
    /// Products with all columns, of the L0 penalty.
    pub(super) kept: super::subset::Memory,
    /// Products of the rows, of ridge on wide data.
    pub(super) row_products: RowProducts,
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// At the null model.
    pub(crate) fn new(problem: &'p Problem<'a>, values: &'a [V], clock: Clock<'p>) -> Self {
        let (w, b) = problem.null_model.clone();
        let mut engine = Self::blank(problem, values, clock, w, b);
        engine.lambda = problem.lambda_max();
        engine.gradient = Gradient::given(problem.null_gradient.clone());
        engine
    }

    /// At a given point.
    pub(crate) fn warm(problem: &'p Problem<'a>, values: &'a [V], clock: Clock<'p>, point: &Point) -> Self {
        let mut w = vec![0.0; problem.scale.len()];
        for (&j, &value) in point.columns.iter().zip(&point.values) {
            if problem.scale.get(j as usize).is_some_and(|s| *s > 0.0) {
                w[j as usize] = problem.within(j as usize, value);
            }
        }
        let mut engine = Self::blank(problem, values, clock, w, point.intercept);
        engine.lambda = point.lambda;
        engine
    }

    pub(super) fn blank(problem: &'p Problem<'a>, values: &'a [V], clock: Clock<'p>, w: Vec<f64>, b: f64) -> Self {
        Self {
            problem,
            values,
            clock,
            gradient: Gradient::default(),
            reference: None,
            support: (0..w.len() as u32).filter(|&j| w[j as usize] != 0.0).collect(),
            w,
            b,
            b_before: b,
            seen: None,
            eta: Vec::new(),
            loss: 0.0,
            evaluated: false,
            theta: Vec::new(),
            dual: Vec::new(),
            sound: true,
            lambda: 0.0,
            on_path: false,
            tol: problem.options.tol,
            products: Products::default(),
            bend: Bend::default(),
            live: problem.scale.iter().enumerate().filter(|(_, s)| **s > 0.0).map(|(j, _)| problem.data.x.range(j).len()).sum(),
            kept: super::subset::Memory::default(),
            row_products: RowProducts::default(),
        }
    }

    /// The null model: coefficients of the unpenalised columns, intercept, and X̃ᵀθ there; `None` when `clock` said
    /// stop.
    pub(crate) fn null(problem: &'p Problem<'a>, values: &'a [V], clock: &Clock<'p>) -> Option<(Vec<f64>, f64, Vec<f64>)> {
        let w = vec![0.0; problem.scale.len()];
        let mut engine = Engine::blank(problem, values, *clock, w, problem.null_intercept());
        let mut primal = engine.evaluate();
        if !problem.free.is_empty() {
            let goal = 1e-13 * problem.unit();
            engine.improve(&problem.free, primal, goal, Round { max_epochs: u64::MAX, ..engine.round() });
            primal = engine.evaluate();
        }
        debug_assert!(!primal.is_nan());
        engine.pass();
        (!engine.clock.cancelled).then_some((engine.w, engine.b, engine.gradient.values))
    }

    pub(super) fn column(&self, j: u32) -> Column<'a, V> {
        self.problem.data.x.column(j as usize, self.values)
    }

    pub(super) fn matrix(&self) -> (ColumnsView<'a>, &'a [V]) {
        (self.problem.data.x, self.values)
    }

    /// Solves at `lambda` from where the engine is. Without any penalty there is no bound to scale a dual point to:
    /// a λ below 1e-14·λ_max is taken as that, and the point says so. Of a path the last two points may be `gone_by`.
    pub(crate) fn solve(&mut self, lambda: f64, index: usize, gone_by: Option<&[Point; 2]>) -> Point {
        let lambda = lambda.max(1e-14 * self.problem.lambda_max());
        self.clock.begin(lambda, index);
        if let Some(rule) = self.problem.rule() {
            return if rule == Rule::L0 { self.solve_subset(lambda) } else { self.solve_by_blocks(rule, lambda) };
        }
        self.bend.settle(&self.products);
        let unit = self.problem.unit();
        let tol = self.tol;
        if self.theta.is_empty() {
            self.evaluate();
        }
        if self.gradient.values.is_empty() {
            self.pass();
        }
        let mut in_rows = self.problem.goes_in_rows();
        if let Some(points) = gone_by.filter(|_| !in_rows) {
            self.follow(points, lambda);
        }
        let mut growth = Growth::default();
        while !in_rows && lambda < STAGE * STAGE.sqrt() * self.lambda && !growth.takes_all(self.support.len()) && !self.clock.cancelled {
            self.pass_by(STAGE * self.lambda, lambda, &mut growth);
        }
        let previous = self.lambda;
        self.lambda = lambda;
        let mut primal = self.primal();
        let mut best_dual = f64::NEG_INFINITY;
        let (mut last_gap, mut sharper, mut stalled, mut unsure) = (f64::INFINITY, 1.0, 0, 0);
        let (mut gap, mut last_primal, mut goal) = (f64::INFINITY, f64::INFINITY, 0.0);
        let stop = loop {
            if self.clock.cancelled {
                break Stop::Cancelled;
            }
            let dual = self.dual_of_all();
            // within bounds a dual point may be far better than that of the next coefficients, which is the one a certificate knows
            best_dual = if self.problem.is_bounded() { dual } else { best_dual.max(dual) };
            if self.clock.cancelled {
                break Stop::Cancelled;
            }
            gap = ((primal - best_dual) / unit).max(0.0);
            self.clock.progress.relative_gap = Some(gap);
            self.clock.progress.nonzeros = self.support.len();
            // a certificate knows the dual point of these coefficients, and no better one of others gone by
            if gap <= tol {
                if (primal - dual) / unit <= tol || unsure >= UNSURE {
                    break Stop::Converged;
                }
                unsure += 1;
            }
            if self.clock.progress.epoch >= self.problem.options.max_epochs || stalled >= 4 {
                break Stop::LimitReached;
            }
            if in_rows {
                in_rows = self.improve_in_rows(primal);
                primal = self.evaluate();
                self.pass();
                continue;
            }
            let doubted = gap > 0.5 * last_gap;
            let Choice { set, complete, settled } = self.choose(previous, &mut growth, doubted);
            // the goal within the set, not the set, is what held it up
            if gap > 0.3 * last_gap && goal > 0.1 * gap * unit {
                sharper *= 0.2;
            }
            if complete && primal >= last_primal && gap >= 0.9 * last_gap {
                stalled += 1;
            }
            (last_gap, last_primal) = (gap, primal);
            // nothing new to speak of: the rest of the way can be gone at once
            let rest = if settled { 0.0 } else { REST * gap.min(1.0) };
            goal = unit * sharper * (INNER * tol).max(rest);
            self.improve(&set, primal, goal, Round { doubted, ..self.round() });
            primal = self.evaluate();
            self.pass();
        };
        let good_enough = stop == Stop::LimitReached && gap <= self.problem.options.tol;
        self.point(gap, if good_enough { Stop::Converged } else { stop })
    }

    /// The dual value at the last pass.
    pub(super) fn dual_of_all(&mut self) -> f64 {
        self.gradient.look_closer(self.problem, self.values, &self.dual, self.lambda, &mut self.clock);
        let (columns, slack) = (self.gradient.near().iter().copied(), self.slack());
        let dual = (self.dual.as_slice(), self.primal_of_dual());
        let mut clock = self.clock;
        let value = dual_over(self.problem, self.lambda, dual, columns, |j| self.gradient.values[j as usize], slack, &mut clock);
        self.clock = clock;
        value
    }

    /// The present point, if the dual point is that of it.
    pub(super) fn primal_of_dual(&self) -> Option<Primal<'_>> {
        self.problem.free.is_empty().then(|| Primal { eta: &self.eta, loss: self.loss, whole: self.primal() })
    }

    /// Largest scale of the dual point: 0 where only the point 0 is known to be feasible.
    pub(super) fn slack(&self) -> f64 {
        if self.sound { self.gradient.slack() } else { 0.0 }
    }

    /// Recomputes η, θ and the dual point from the coefficients alone; returns F.
    pub(super) fn evaluate(&mut self) -> f64 {
        if !self.evaluated {
            self.weigh();
            self.dual = self.project();
        }
        self.primal()
    }

    /// η, θ, intercept and mean loss from the coefficients and the intercept alone.
    pub(super) fn weigh(&mut self) {
        self.refresh();
        self.b_before = self.b;
        (self.theta, self.loss) = self.problem.balance(&mut self.eta, &mut self.b, &mut self.clock);
    }

    /// F at the last evaluation.
    pub(super) fn primal(&self) -> f64 {
        self.loss + self.penalty()
    }

    fn refresh(&mut self) {
        self.eta = self.problem.start(self.b);
        for &j in &self.support {
            let column = self.problem.data.x.column(j as usize, self.values);
            if !self.clock.touch(column.nnz()) {
                return;
            }
            column.add_to(self.w[j as usize], &mut self.eta);
        }
    }

    pub(super) fn penalty(&self) -> f64 {
        if let Some(rule) = self.problem.rule() {
            return self.penalty_of_blocks(rule);
        }
        let each = |&j: &u32| {
            let (j, w) = (j as usize, self.w[j as usize]);
            self.problem.l1[j] * w.abs() + 0.5 * self.problem.l2[j] * w * w
        };
        self.lambda * self.support.iter().map(each).sum::<f64>()
    }

    /// θ less its part in the span of the unpenalised columns, in the metric of the curvatures: what one Newton step
    /// on those columns would make of it, kept inside the domain of the conjugate. Exact for the squared loss.
    pub(super) fn project(&mut self) -> Vec<f64> {
        if self.problem.free.is_empty() {
            return self.theta.clone();
        }
        // No floor under them: they keep θ inside the domain of the conjugate.
        let loss = self.problem.loss;
        let h = self.by_row(|y, residual| loss.room(y, residual).max(0.0));
        let m = self.problem.free.len();
        let intercept = self.problem.options.intercept;
        let mut model = Residual::new(self.matrix(), &self.problem.free, &h, self.theta.clone(), intercept, &mut self.clock);
        let all: Vec<usize> = (0..m).collect();
        if !model.multiply(&all, &mut self.clock) {
            return self.theta.clone();
        }
        let mut g = vec![0.0; m * m];
        for k in 0..m {
            g[k * m..][..m].copy_from_slice(model.products.row(k));
        }
        for k in 0..m {
            // A column whose rows have no curvature left has no gradient left either.
            let pivot = g[k * m + k];
            g[k * m + k] = if pivot > 0.0 { pivot * (1.0 + 1e-12) } else { 1.0 };
        }
        if linear::factorise(&mut g, m, 0.0, &mut self.clock) {
            // Twice: the second solve removes the rounding of the first.
            for _ in 0..2 {
                let mut step = model.gradients(&mut self.clock);
                linear::substitute(&g, m, &mut step);
                for (k, step) in step.into_iter().enumerate() {
                    model.step(k, step, &mut self.clock);
                }
            }
        }
        let shift = if model.mass > 0.0 { model.q.iter().sum::<f64>() / model.mass } else { 0.0 };
        let dual: Vec<f64> = model.q.iter().zip(&h).map(|(q, h)| q - shift * h).collect();
        if loss.is_piecewise() {
            // rows without room may leave a column a part that nothing takes
            let sizes: Vec<f64> = dual.iter().map(|q| q.abs()).collect();
            let left = |(column, center): (&Column<V>, &f64)| {
                let size = column.iter().map(|(i, x)| sizes[i] * (x - center).abs()).sum::<f64>();
                column.dot(&dual).abs() <= ROUNDING * (size + center.abs() * sizes.iter().sum::<f64>())
            };
            self.sound = model.columns.iter().zip(&model.center).all(left);
        }
        dual
    }

    /// share·loss'', with a floor under loss''.
    pub(super) fn curvatures(&self, floor: f64) -> Vec<f64> {
        let loss = self.problem.loss;
        self.by_row(|y, residual| loss.curvature(y, residual).max(floor))
    }

    /// share·f(y, residual) of every row with weight, else 0.
    fn by_row(&self, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let rows = self.problem.share.iter().zip(&self.theta).zip(self.problem.data.y);
        rows.map(|((&s, t), &y)| if s > 0.0 { s * f(y, t / s) } else { 0.0 }).collect()
    }

    /// Looks at every column that could matter.
    pub(super) fn pass(&mut self) {
        self.seen = Some(self.b_before);
        let theta = if self.problem.is_folded() { &self.theta } else { &self.dual };
        if self.gradient.look(self.problem, self.values, (theta, &self.w), self.lambda, &mut self.clock) {
            self.reference = Some(self.here());
        }
    }

    /// The point last evaluated.
    pub(super) fn here(&self) -> Reference {
        let values = self.support.iter().map(|&j| self.w[j as usize]).collect();
        Reference { columns: self.support.clone(), values, seen: self.b_before }
    }

    /// Lowers F over the columns `set` until the gap of the problem restricted to them is at most `goal`.
    pub(super) fn improve(&mut self, set: &[u32], primal: f64, goal: f64, round: Round) {
        match self.problem.loss {
            Loss::Squared => self.improve_quadratic(set, goal, round),
            Loss::Huber { .. } | Loss::SquaredHinge => self.improve_by_pieces(set, primal, goal, round.max_epochs),
            Loss::Logistic | Loss::Poisson => self.improve_by_newton(set, primal, goal, round.on_the_way, round.max_epochs),
        }
    }

    pub(super) fn round(&self) -> Round {
        Round { doubted: false, on_the_way: false, at_once: None, max_epochs: self.problem.options.max_epochs }
    }

    pub(super) fn coordinates(&self, set: &[u32]) -> Coordinates {
        let pick = |from: &[f64], by: f64| set.iter().map(|&j| by * from[j as usize]).collect();
        let bounds = self.problem.bounds_of(set);
        Coordinates { w: pick(&self.w, 1.0), l1: pick(&self.problem.l1, self.lambda), l2: pick(&self.problem.l2, self.lambda), bounds }
    }

    pub(super) fn improve_quadratic(&mut self, set: &[u32], goal: f64, round: Round) {
        let Round { doubted, at_once, max_epochs, .. } = round;
        let size = 2.0 * self.loss;
        let mut model = self.quadratic(set);
        let mut at = self.coordinates(set);
        model.products = self.products_to_use();
        let fall = Fall { first: 0.0, second: size };
        let aim = Aim { goal, fall, max_epochs, served: model.products.len(), once: false, keep: false, doubted, patient: false, at_once };
        let known = if at_once.is_some() { None } else { self.known(set) };
        minimise(&mut model, &mut at, known, &aim, &mut self.clock);
        self.products = model.products;
        self.write(set, &at.w);
    }

    /// The products, less those that have become too many.
    pub(super) fn products_to_use(&mut self) -> Products {
        let mut products = std::mem::take(&mut self.products);
        if products.len() > 2 * self.support.len() + 256 {
            let (x, values) = self.matrix();
            products.keep(|j| self.w[j as usize] != 0.0, x, values);
        }
        products
    }

    /// The gradients at the columns `set` as the last pass saw them, if they are those of θ.
    pub(super) fn known(&self, set: &[u32]) -> Option<Vec<f64>> {
        let known = !self.gradient.values.is_empty() && self.problem.free.is_empty();
        known.then(|| set.iter().map(|&j| self.gradient.values[j as usize]).collect())
    }

    /// The squared loss on the columns `set`.
    pub(super) fn quadratic(&self, set: &[u32]) -> Residual<'p, V> {
        let problem = self.problem;
        let pick = |from: &[f64]| -> Vec<f64> { set.iter().map(|&j| from[j as usize]).collect() };
        let mass = if problem.options.intercept { 1.0 } else { 0.0 };
        let (center, spread) = (pick(&problem.center), pick(&problem.spread));
        let mut model = Residual::with_moments(self.matrix(), set, center, spread, &problem.share, mass, self.theta.clone());
        (model.alike, model.live) = (problem.alike, self.live);
        model
    }

    pub(super) fn write(&mut self, set: &[u32], w: &[f64]) {
        self.evaluated = false;
        // every coefficient that is not 0 belongs to the set
        set.iter().zip(w).for_each(|(&j, &w)| self.w[j as usize] = w);
        self.support = set.iter().copied().filter(|&j| self.w[j as usize] != 0.0).collect();
    }

    pub(super) fn point(&mut self, relative_gap: f64, stop: Stop) -> Point {
        // the elastic net ends where it was evaluated
        let loss = if self.problem.rule().is_none() { self.loss } else { self.problem.mean_loss(&self.eta, &mut self.clock) };
        let deviance = self.problem.deviance(loss);
        let stop = if self.clock.cancelled { Stop::Cancelled } else { stop };
        Point {
            lambda: self.lambda,
            columns: self.support.clone(),
            classes: Vec::new(),
            values: self.support.iter().map(|&j| self.w[j as usize]).collect(),
            intercept: self.b,
            intercepts: Vec::new(),
            relative_gap,
            deviance,
            epochs: self.clock.progress.epoch,
            full_passes: self.clock.touched as f64 / self.problem.data.x.nnz().max(1) as f64,
            stop,
        }
    }
}

/// Best dual value with only the columns `set` in the problem.
pub(super) fn dual_over(
    problem: &Problem,
    lambda: f64,
    dual: (&[f64], Option<Primal>),
    set: impl Iterator<Item = u32>,
    c: impl Fn(u32) -> f64,
    slack: f64,
    clock: &mut Clock,
) -> f64 {
    let sides = set.filter_map(move |j| {
        let (l1, l2) = (lambda * problem.l1[j as usize], lambda * problem.l2[j as usize]);
        (l1 > 0.0 || l2 > 0.0).then(|| {
            let c = c(j);
            Side { l1, l2, c, reach: problem.reach(j as usize, c) }
        })
    });
    dual_value(problem, dual, sides, slack, clock)
}
