//! The logistic loss on a working set: proximal Newton steps with a line search.
//!
//! Each step minimises the quadratic model of the loss and the penalty as it is (Friedman, Hastie & Tibshirani, JSS
//! 2010); it is taken as far as the true objective falls.

use super::descent::{Engine, dual_over};
use super::inner::minimise;
use super::quadratic::Residual;
use crate::matrix::Number;

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// Proximal Newton: minimise the quadratic model, then search along the step on the true objective.
    pub(super) fn improve_by_newton(&mut self, set: &[u32], primal: f64, goal: f64, max_epochs: u64) {
        let problem = self.problem;
        let intercept = problem.options.intercept;
        let mut primal = primal;
        let mut last_gap = f64::INFINITY;
        for round in 0..100 {
            let gap = if round == 0 { last_gap } else { self.gap_over(set, primal) };
            if gap <= goal || self.clock.cancelled || self.clock.progress.epoch >= max_epochs {
                return;
            }
            let inner_goal = if gap.is_finite() { (0.3 * goal).max(0.03 * gap) } else { goal.max(1e-3 * primal) };
            last_gap = gap;
            let h = self.curvatures(&self.theta, 1e-10);
            let mut model = Residual::new(self.matrix(), set, &h, self.theta.clone(), intercept, &mut self.clock);
            let mut at = self.coordinates(set);
            let size = 2.0 * primal;
            minimise(&mut model, &mut at, inner_goal, size, max_epochs, &mut self.clock);
            let lower = self.line_search(set, &at.w, &h, primal);
            match lower {
                Some(lower) => primal = lower,
                None => return,
            }
        }
    }

    /// Gap of the problem restricted to `set`.
    fn gap_over(&mut self, set: &[u32], primal: f64) -> f64 {
        self.dual = self.project();
        let sum: f64 = self.dual.iter().sum();
        let mut products = Vec::with_capacity(set.len());
        for &j in set {
            let column = self.column(j);
            let go_on = self.clock.touch(column.nnz());
            products.push(if go_on { column.dot(&self.dual) - self.problem.center[j as usize] * sum } else { 0.0 });
        }
        let find = |j: u32| set.binary_search(&j).map_or(0.0, |k| products[k]);
        primal - dual_over(self.problem, self.lambda, &self.dual, set.iter().copied(), find, f64::INFINITY, &mut self.clock)
    }

    /// Moves towards `target` as far as F falls; F there, or `None` when it does not fall at all.
    fn line_search(&mut self, set: &[u32], target: &[f64], h: &[f64], primal: f64) -> Option<f64> {
        let start: Vec<f64> = set.iter().map(|&j| self.w[j as usize]).collect();
        let mut direction = vec![0.0; self.eta.len()];
        for (k, &j) in set.iter().enumerate().filter(|(k, _)| target[*k] != start[*k]) {
            let column = self.column(j);
            self.clock.touch(column.nnz());
            column.add_to(target[k] - start[k], &mut direction);
        }
        let mut shift = 0.0;
        if self.problem.options.intercept {
            // The intercept that the quadratic model eliminated: Σ(θ − h·direction) / Σh.
            let rest: f64 = self.theta.iter().zip(h).zip(&direction).map(|((t, h), d)| t - h * d).sum();
            shift = rest / h.iter().sum::<f64>();
            direction.iter_mut().for_each(|d| *d += shift);
        }
        let (eta, b) = (std::mem::take(&mut self.eta), self.b);
        let mut length = 1.0;
        for _ in 0..40 {
            self.clock.work(4 * eta.len());
            let moved: Vec<f64> = if length == 1.0 {
                target.to_vec()
            } else {
                start.iter().zip(target).map(|(from, to)| from + length * (to - from)).collect()
            };
            self.write(set, &moved);
            self.eta = eta.iter().zip(&direction).map(|(e, d)| e + length * d).collect();
            let mut here = b + length * shift;
            self.theta = self.problem.balance(&mut self.eta, &mut here, &mut self.clock);
            let lower = self.problem.mean_loss(&self.eta, &mut self.clock) + self.penalty();
            if self.clock.cancelled {
                break;
            }
            // Near the end the gap falls with the step but F with its square, below rounding: a full step may pass.
            let rounding = if length == 1.0 { 1e-14 * primal } else { 0.0 };
            if lower < primal + rounding {
                self.b = here;
                return Some(lower);
            }
            length *= 0.5;
        }
        self.write(set, &start);
        self.eta = eta;
        self.theta = self.problem.balance(&mut self.eta, &mut self.b, &mut self.clock);
        None
    }
}
