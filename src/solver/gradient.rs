//! The gradient of the mean loss at every column, computed no more often than it must be.
//!
//! A full look at all columns is the reference. Later, a column whose product cannot have come near its bound is left
//! at what it was there: |x̃ᵀθ| ≤ |x̃ᵀθ_ref| + ‖x̃‖·‖θ − θ_ref‖, in the metric of the shares. What is left so counts as
//! within the bound wherever it matters. With bounds on the coefficients only the sides count that one may leave 0 to. The state is a function of two points, the reference and the present one.

use super::Problem;
use super::clock::Clock;
use crate::matrix::Number;

/// A column is left alone when its product is known to stay within this share of its bound.
const WITHIN: f64 = 0.95;
/// When more than this share of the matrix had to be looked at, the next look is a full one.
const WORN: f64 = 0.4;

/// X̃ᵀθ for every column.
#[derive(Debug, Default)]
pub(crate) struct Gradient {
    /// The products; for columns left alone, those of the reference. Empty before the first look.
    pub(crate) values: Vec<f64>,
    left_alone: Vec<bool>,
    /// Those not left alone, rising.
    near: Vec<u32>,
    /// The λ whose bounds the columns left alone keep to.
    lambda: f64,
    reference: Vec<f64>,
    reference_theta: Vec<f64>,
    /// ‖θ − θ_ref‖².
    distance: f64,
    /// Non-zeros looked at since the reference was left.
    looked_at: usize,
    worn: bool,
}

impl Gradient {
    /// Known from elsewhere, at every column.
    pub(crate) fn given(values: Vec<f64>) -> Self {
        Self { near: (0..values.len() as u32).collect(), values, ..Self::default() }
    }

    /// Largest scale of θ at which the columns left alone still keep to their bounds.
    pub(crate) fn slack(&self) -> f64 {
        if self.any_left() { 1.0 / WITHIN } else { f64::INFINITY }
    }

    /// The columns that are not known to keep to their bounds, rising.
    pub(crate) fn near(&self) -> &[u32] {
        &self.near
    }

    fn any_left(&self) -> bool {
        self.near.len() < self.values.len()
    }

    fn find_near(&mut self) {
        self.near.clear();
        self.near.extend((0..self.values.len() as u32).filter(|&j| !self.left_alone[j as usize]));
    }

    /// Looks at θ, whose sum is 0 if there is an intercept. Whether it has become the reference.
    /// A column whose coefficient in `w` is not 0 is never left alone.
    pub(crate) fn look<V: Number>(
        &mut self,
        problem: &Problem,
        values: &[V],
        (theta, w): (&[f64], &[f64]),
        lambda: f64,
        clock: &mut Clock,
    ) -> bool {
        let p = problem.scale.len();
        self.values.resize(p, 0.0);
        self.left_alone.clear();
        self.left_alone.resize(p, false);
        self.lambda = lambda;
        let renew = self.worn || self.reference.is_empty();
        if renew {
            (self.reference_theta, self.worn) = (theta.to_vec(), false);
            self.each(problem, values, theta, clock, |_, _| true);
            self.reference.clone_from(&self.values);
        } else {
            let rows = theta.iter().zip(&self.reference_theta).zip(&problem.share);
            self.distance = rows.map(|((now, then), s)| if *s > 0.0 { (now - then) * (now - then) / s } else { 0.0 }).sum::<f64>();
            clock.work(theta.len());
            self.looked_at = self.each(problem, values, theta, clock, |this, j| {
                let far = w[j] != 0.0 || this.may_pass(problem, j);
                if !far {
                    (this.values[j], this.left_alone[j]) = (this.reference[j], true);
                }
                far
            });
            self.wear(problem);
        }
        self.find_near();
        renew
    }

    /// Looks at those columns too that may pass the bounds of a smaller λ.
    pub(crate) fn look_closer<V: Number>(&mut self, problem: &Problem, values: &[V], theta: &[f64], lambda: f64, clock: &mut Clock) {
        if !self.any_left() || lambda >= self.lambda {
            return;
        }
        self.lambda = lambda;
        self.looked_at += self.each(problem, values, theta, clock, |this, j| {
            let look = this.left_alone[j] && this.may_pass(problem, j);
            this.left_alone[j] &= !look;
            look
        });
        self.wear(problem);
        self.find_near();
    }

    fn wear(&mut self, problem: &Problem) {
        self.worn = self.looked_at as f64 > WORN * problem.data.x.nnz() as f64;
    }

    /// Whether the product of column `j` may be out of `WITHIN` its bound.
    fn may_pass(&self, problem: &Problem, j: usize) -> bool {
        if problem.scale[j] == 0.0 {
            // it stays at 0, as do the columns that only rows without weight have
            return false;
        }
        // a hair off for rounding
        let room = WITHIN * self.lambda * problem.l1[j] * (1.0 - 1e-12) - problem.push(j, self.reference[j]);
        room <= 0.0 || room * room <= problem.spread[j] * self.distance * (1.0 + 1e-12)
    }

    /// Computes the products of the columns that `wanted` wants; the non-zeros touched.
    fn each<V: Number>(
        &mut self,
        problem: &Problem,
        values: &[V],
        theta: &[f64],
        clock: &mut Clock,
        mut wanted: impl FnMut(&mut Self, usize) -> bool,
    ) -> usize {
        let sum: f64 = theta.iter().sum();
        let mut touched = 0;
        for j in 0..problem.scale.len() {
            if !wanted(self, j) {
                continue;
            }
            let column = problem.data.x.column(j, values);
            touched += column.nnz();
            if !clock.touch(column.nnz()) {
                break;
            }
            let live = problem.scale[j] > 0.0;
            self.values[j] = if live { column.dot(theta) - problem.center[j] * sum } else { 0.0 };
        }
        clock.work(problem.scale.len() / 4);
        touched
    }
}
