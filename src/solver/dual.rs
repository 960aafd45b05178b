//! The solver's own duality gap on the full problem, from the slopes and the full gradient.
//!
//! With ν the slopes, scaled into the feasible set by κ: D = −Σ s·loss*(−κν/s) − Σ κνo − Ω*(κ·gradient)
//! (Fenchel duality; for the lasso as in Massias, Gramfort & Salmon, ICML 2018).

use super::problem::Problem;
use super::state::State;

/// The absolute gap at a point whose full gradient is given. With an intercept the slopes must sum to 0.
pub(super) fn gap(problem: &Problem<'_>, state: &State, gradient: &[f64], lambda: f64) -> f64 {
    let (l1, l2) = (lambda * problem.l1_ratio, lambda * (1.0 - problem.l1_ratio));
    let mut penalty = 0.0;
    let mut most: f64 = 0.0;
    for (j, &u) in state.u.iter().enumerate() {
        let factor = problem.factor(j);
        penalty += factor * (l1 * u.abs() + 0.5 * l2 * u * u);
        if factor > 0.0 && l2 == 0.0 {
            most = most.max(gradient[j].abs() / factor);
        }
    }
    let primal = state.loss_value(problem) + penalty;
    let feasible = if most > l1 { l1 / most } else { 1.0 };
    primal - dual(problem, state, gradient, l1, l2, feasible)
}

fn dual(problem: &Problem<'_>, state: &State, gradient: &[f64], l1: f64, l2: f64, kappa: f64) -> f64 {
    let mut value = 0.0;
    for (i, (&slope, &weight)) in state.slope.iter().zip(&problem.weights).enumerate() {
        if weight > 0.0 {
            value -= weight * problem.loss.conjugate(problem.data.y[i], kappa * slope / weight) + kappa * slope * problem.offset(i);
        }
    }
    if l2 > 0.0 {
        for (j, gradient) in gradient.iter().enumerate() {
            let factor = problem.factor(j);
            let over = (kappa * gradient.abs() - factor * l1).max(0.0);
            if factor > 0.0 {
                value -= over * over / (2.0 * factor * l2);
            }
        }
    }
    value
}
