//! What moving one coefficient, and the intercept along with it, would do to the mean loss.

use super::super::descent::Engine;
use super::super::quadratic::center_and_curvature;
use super::super::{Loss, Problem};
use crate::matrix::{Column, Number};

/// Slopes and second derivatives along every column less its mean, at one point.
#[derive(Default)]
pub(super) struct Look {
    /// share·loss'' of each row.
    pub(super) h: Vec<f64>,
    /// Σ h with an intercept, else 0.
    pub(super) mass: f64,
    /// −∂(mean loss)/∂w.
    pub(super) gradient: Vec<f64>,
    /// Mean of each column in the metric of `h`; 0 without an intercept, and where a column may not move.
    pub(super) center: Vec<f64>,
    /// Σ h·(x − center)²; 0 where a column may not move.
    pub(super) spread: Vec<f64>,
    /// How much the mean loss surely falls at best along the column.
    pub(super) fall: Vec<f64>,
    /// The largest |x − center| of a row with weight.
    pub(super) reach: Vec<f64>,
}

/// What is subtracted at best when a loss falls with slope `c` in a direction along which its second derivative is `h`, never
/// above `widest`, and no row moves faster than `reach`.
///
/// The squared loss is its own parabola. The logistic and Poisson losses have |loss'''| ≤ loss'', so that along a direction they
/// rise no faster than h·(e^(reach·t) − reach·t − 1)/reach² (Bach, "Self-concordant analysis for logistic regression", Electron.
/// J. Stat. 2010), and the logistic one no faster than a parabola of a quarter.
fn sure_fall(loss: Loss, c: f64, h: f64, widest: f64, reach: f64) -> f64 {
    let parabola = |bend: f64| if bend > 0.0 { c / bend * c / 2.0 } else { 0.0 };
    let bent = || bent_fall(c, h, reach);
    match loss {
        Loss::Squared => parabola(h),
        Loss::Huber { .. } => parabola(widest),
        Loss::SquaredHinge => parabola(2.0 * widest),
        Loss::Logistic => parabola(0.25 * widest).max(bent()),
        Loss::Poisson => bent(),
    }
}

/// The bound of the logistic and Poisson losses that [`sure_fall`] tells of.
pub(super) fn bent_fall(c: f64, h: f64, reach: f64) -> f64 {
    if !(h > 0.0 && reach > 0.0) {
        return 0.0;
    }
    let a = c.abs() / h * reach;
    // the difference of two terms of about a loses its digits where a is small
    let shape = if a < 1e-3 { a * a * (0.5 - a / 6.0 + a * a / 12.0) } else { (1.0 + a) * a.ln_1p() - a };
    let fall = h / reach / reach * shape;
    if fall.is_finite() { fall } else { 0.0 }
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// Looks at every column from the point last evaluated. Worth nothing when the clock said stop.
    pub(super) fn look_around(&mut self) -> Look {
        let problem = self.problem;
        let p = problem.scale.len();
        let curved = problem.loss != Loss::Squared;
        let h = if curved { self.curvatures(0.0) } else { problem.share.clone() };
        let mass = if problem.options.intercept { h.iter().sum() } else { 0.0 };
        let zeros = || vec![0.0; p];
        let mut look = Look { h, mass, gradient: zeros(), center: zeros(), spread: zeros(), fall: zeros(), reach: Vec::new() };
        if curved {
            look.reach = zeros();
        }
        let sum: f64 = self.theta.iter().sum();
        for j in (0..p).filter(|&j| problem.scale[j] > 0.0) {
            let column = problem.data.x.column(j, self.values);
            if !self.clock.touch(if curved { 3 * column.nnz() } else { column.nnz() }) {
                break;
            }
            (look.center[j], look.spread[j]) =
                if curved { center_and_curvature(&column, &look.h, look.mass) } else { (problem.center[j], problem.spread[j]) };
            look.gradient[j] = column.dot(&self.theta) - look.center[j] * sum;
            if curved {
                look.reach[j] = reach_of(problem, &column, look.center[j]);
            }
            let reach = look.reach.get(j).copied().unwrap_or(0.0);
            look.fall[j] = sure_fall(problem.loss, look.gradient[j], look.spread[j], problem.spread[j], reach);
        }
        look
    }

    /// By how much the mean loss rises when the coefficient of column `j` becomes 0 and the intercept follows; told exactly only
    /// where it is below `enough`.
    pub(super) fn rise_without(&mut self, look: &Look, j: u32, enough: f64) -> f64 {
        let (problem, w, k) = (self.problem, self.w[j as usize], j as usize);
        let first = look.gradient[k] * w;
        if problem.loss == Loss::Squared {
            return first + 0.5 * look.spread[k] * w * w;
        }
        // the other side of the same bound
        let a = (w * look.reach[k]).abs();
        let shape = if a < 1e-3 { a * a * (0.5 - a / 6.0) } else { (-a).exp() + a - 1.0 };
        let surely = if look.reach[k] > 0.0 { first + look.spread[k] / look.reach[k] / look.reach[k] * shape } else { 0.0 };
        if surely >= enough {
            return surely;
        }
        let shift = w * look.center[k];
        let mut eta: Vec<f64> = self.eta.iter().map(|eta| eta + shift).collect();
        let column = self.column(j);
        self.clock.touch(column.nnz());
        column.add_to(-w, &mut eta);
        problem.mean_loss(&eta, &mut self.clock) - problem.mean_loss(&self.eta, &mut self.clock)
    }

    /// How far from a point that no single coefficient betters: slopes of the loss that are not 0, and gains of what could come or
    /// go, all as a share of the threshold √(2·h·λ·f) from which a slope lets a column in.
    pub(super) fn measure_of(&mut self, look: &Look) -> f64 {
        let lambda = self.lambda;
        let problem = self.problem;
        // Second derivatives of a curved loss may be as good as 0; a slope that is, too, is no further from its end for that.
        let floor = if problem.loss == Loss::Squared { 1.0 } else { 0.25 };
        let share = |c: f64, h: f64| if h > 0.0 { c.abs() / h.sqrt() / (2.0 * lambda).sqrt() } else { 0.0 };
        // the intercept is at its best as far as numbers go
        let mut worst = 0.0_f64;
        let mut inside = self.support.iter().copied().peekable();
        for j in 0..look.fall.len() {
            let (factor, in_model) = (self.factor(j as u32), inside.next_if(|&i| i as usize == j).is_some());
            if problem.scale[j] == 0.0 {
                continue;
            }
            if in_model || factor == 0.0 {
                worst = worst.max(share(look.gradient[j], look.spread[j].max(floor * problem.spread[j])));
            } else {
                worst = worst.max((look.fall[j] / (lambda * factor)).sqrt() - 1.0);
            }
        }
        for j in self.penalised() {
            let price = lambda * self.factor(j);
            worst = worst.max(1.0 - (self.rise_without(look, j, price).max(0.0) / price).sqrt());
        }
        if worst.is_nan() { f64::INFINITY } else { worst }
    }

    /// Those of the support that have a price.
    pub(super) fn penalised(&self) -> Vec<u32> {
        self.support.iter().copied().filter(|&j| self.factor(j) > 0.0).collect()
    }

    /// f_j.
    pub(super) fn factor(&self, j: u32) -> f64 {
        self.problem.penalty.factors.map_or(1.0, |factors| factors[j as usize])
    }
}

/// The largest |x − center| of a row with weight; rows without an entry hold 0.
fn reach_of<V: Number>(problem: &Problem, column: &Column<V>, center: f64) -> f64 {
    let entries = column.iter().filter(|(i, _)| problem.share[*i] > 0.0).map(|(_, x)| (x - center).abs());
    let reach = entries.fold(0.0, f64::max);
    if column.nnz() < problem.data.x.n_rows { reach.max(center.abs()) } else { reach }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sure_fall_is_never_more_than_the_best_step_on_a_line_brings() {
        for loss in [Loss::Squared, Loss::Huber { delta: 0.7 }, Loss::SquaredHinge, Loss::Logistic, Loss::Poisson] {
            for scale in [0.01, 0.3, 1.0, 4.0] {
                let x: Vec<f64> = (0..9).map(|i| scale * (f64::from(i) - 3.0) / 4.0).collect();
                let eta: Vec<f64> = (0..9).map(|i| (f64::from(i) * 1.7).sin()).collect();
                let y: Vec<f64> = (0..9)
                    .map(|i| if i % 3 == 0 { 1.0 } else { -1.0 })
                    .map(|y: f64| if loss == Loss::Poisson { 1.0 + y } else { y })
                    .collect();
                let at = |t: f64| (0..9).map(|i| loss.value(y[i], eta[i] + t * x[i]) / 9.0).sum::<f64>();
                let best = (-400_000..400_000).map(|k| at(f64::from(k) * 1e-4 / scale)).fold(f64::INFINITY, f64::min);
                let residual = |i: usize| loss.descent(y[i], eta[i]);
                let c = (0..9).map(|i| x[i] * residual(i) / 9.0).sum::<f64>();
                let h = (0..9).map(|i| x[i] * x[i] * loss.curvature(y[i], residual(i)) / 9.0).sum::<f64>();
                let widest = x.iter().map(|x| x * x / 9.0).sum::<f64>();
                let fall = sure_fall(loss, c, h, widest, x.iter().fold(0.0, |most, x| x.abs().max(most)));
                assert!(fall > 0.0 && fall <= at(0.0) - best + 1e-9, "{loss:?} {scale}: {fall} of {}", at(0.0) - best);
                assert!(loss != Loss::Squared || fall > at(0.0) - best - 1e-7);
            }
        }
        assert_eq!(sure_fall(Loss::Poisson, 0.0, 0.0, 1.0, 1.0), 0.0);
        assert_eq!(sure_fall(Loss::Logistic, 0.0, 0.0, 0.0, 0.0), 0.0);
    }
}
