//! Where a solve stands: coefficients, linear predictor, slopes; and the full gradient at that place.

use super::Loss;
use super::problem::Problem;
use super::watch::{Cancelled, Watch};
use crate::matrix::{Number, ValuesView, add_scaled, dot};

/// A point in the space of the problem, with what the loss says there.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// `u_j = w_jσ_j` of each stored column.
    pub(super) u: Vec<f64>,
    pub(super) intercept: f64,
    /// η = Xw + b + o.
    pub(super) eta: Vec<f64>,
    /// −∂/∂η of the weighted loss: the dual point, before it is made feasible.
    pub(super) slope: Vec<f64>,
}

impl State {
    /// w = 0 and the best intercept.
    pub(super) fn at_null(problem: &Problem<'_>) -> Self {
        let n = problem.data.y.len();
        let eta = (0..n).map(|i| problem.offset(i)).collect();
        let mut state = Self { u: vec![0.0; problem.data.x.len()], intercept: 0.0, eta, slope: vec![0.0; n] };
        state.settle(problem);
        state
    }

    /// The point of coefficients on the original scale, given by column.
    pub(super) fn at(problem: &Problem<'_>, columns: &[u32], w: &[f64], intercept: f64) -> Self {
        let mut state = Self::at_null(problem);
        state.eta.iter_mut().enumerate().for_each(|(i, eta)| *eta = problem.offset(i) + intercept);
        state.intercept = intercept;
        predict(&problem.data.x, columns, w, &mut state.eta);
        for (&j, &w) in columns.iter().zip(w) {
            let shrink = problem.shrink[j as usize];
            state.u[j as usize] = if shrink > 0.0 { w / shrink } else { 0.0 };
        }
        state.settle(problem);
        state
    }

    /// Recomputes the slopes from η and moves the intercept to where they sum to 0.
    pub(super) fn settle(&mut self, problem: &Problem<'_>) {
        self.refresh(problem);
        if !problem.options.intercept {
            return;
        }
        // Newton's method on the sum of the slopes, which falls in b; a step that does not shrink the sum is halved.
        let mut sum: f64 = self.slope.iter().sum();
        for _ in 0..100 {
            let bend = self.bend(problem);
            let mut step = (sum / bend).clamp(-8.0_f64.max(self.reach(problem)), 8.0_f64.max(self.reach(problem)));
            if !(step.abs() > 1e-15 * (1.0 + self.intercept.abs())) {
                return;
            }
            loop {
                self.move_intercept(problem, step);
                let moved: f64 = self.slope.iter().sum();
                if moved.abs() < sum.abs() {
                    sum = moved;
                    break;
                }
                self.move_intercept(problem, -step);
                step *= 0.5;
                if step.abs() < 1e-15 * (1.0 + self.intercept.abs()) {
                    return;
                }
            }
        }
    }

    /// Largest step of the intercept: none for squared loss, whose Newton step is exact.
    fn reach(&self, problem: &Problem<'_>) -> f64 {
        match problem.loss {
            Loss::Squared => f64::MAX,
            Loss::Logistic => 8.0,
        }
    }

    fn bend(&self, problem: &Problem<'_>) -> f64 {
        let rows = problem.data.y.iter().zip(&self.eta).zip(&problem.weights);
        rows.map(|((&y, &eta), &weight)| weight * problem.loss.curvature(y, eta)).sum()
    }

    fn move_intercept(&mut self, problem: &Problem<'_>, step: f64) {
        self.intercept += step;
        self.eta.iter_mut().for_each(|eta| *eta += step);
        self.refresh(problem);
    }

    fn refresh(&mut self, problem: &Problem<'_>) {
        let rows = problem.data.y.iter().zip(&self.eta).zip(&problem.weights);
        for (slope, ((&y, &eta), &weight)) in self.slope.iter_mut().zip(rows) {
            *slope = weight * problem.loss.descent(y, eta);
        }
    }

    /// The weighted mean loss.
    pub(super) fn loss_value(&self, problem: &Problem<'_>) -> f64 {
        loss_value(problem, &self.eta)
    }

    /// −∂/∂u_j of the weighted loss, for each stored column: one pass over X.
    pub(super) fn gradient(&self, problem: &Problem<'_>, watch: &mut Watch<'_>) -> Result<Vec<f64>, Cancelled> {
        match problem.data.x.values {
            ValuesView::Single(values) => self.gradient_of(problem, values, watch),
            ValuesView::Double(values) => self.gradient_of(problem, values, watch),
        }
    }

    fn gradient_of<V: Number>(&self, problem: &Problem<'_>, values: &[V], watch: &mut Watch<'_>) -> Result<Vec<f64>, Cancelled> {
        let x = &problem.data.x;
        let mut gradient = vec![0.0; x.len()];
        for (j, gradient) in gradient.iter_mut().enumerate() {
            if problem.shrink[j] > 0.0 {
                let column = x.column(j, values);
                watch.work(column.rows.len())?;
                *gradient = problem.shrink[j] * dot(column, &self.slope);
            }
        }
        Ok(gradient)
    }

    /// Positions of the non-zero coefficients.
    pub(super) fn support(&self) -> Vec<u32> {
        (0..self.u.len()).filter(|&j| self.u[j] != 0.0).map(|j| j as u32).collect()
    }
}

/// Σ s·loss(y, η) with Σs = 1.
pub(super) fn loss_value(problem: &Problem<'_>, eta: &[f64]) -> f64 {
    let rows = problem.data.y.iter().zip(eta).zip(&problem.weights);
    rows.filter(|(_, weight)| **weight > 0.0).map(|((&y, &eta), &weight)| weight * problem.loss.value(y, eta)).sum()
}

/// X·w for coefficients on the original scale, given by column: Σ_j w_j x_j.
pub(super) fn predict(problem_x: &crate::matrix::ColumnsView<'_>, columns: &[u32], w: &[f64], into: &mut [f64]) {
    fn add<V: Number>(x: &crate::matrix::ColumnsView<'_>, values: &[V], columns: &[u32], w: &[f64], into: &mut [f64]) {
        for (&j, &w) in columns.iter().zip(w) {
            add_scaled(x.column(j as usize, values), w, into);
        }
    }
    match problem_x.values {
        ValuesView::Single(values) => add(problem_x, values, columns, w, into),
        ValuesView::Double(values) => add(problem_x, values, columns, w, into),
    }
}
