//! Proximal Newton on a working set: a quadratic model at the present point, minimised, then a line search.
//! For squared loss the model is exact and one step is all.

use super::Loss;
use super::gram::{self, Gram};
use super::problem::Problem;
use super::quadratic::{Bounds, Ended, Residual, minimise};
use super::state::{State, loss_value, predict};
use super::watch::{Cancelled, Watch};
use crate::matrix::{Number, ValuesView};

/// Newton steps of one call; the caller looks at the whole problem and comes back.
const STEPS_MAX: u32 = 50;
/// Sweeps before the matrix form is thought of.
const SWEEPS_MIN: u64 = 12;
/// Sweeps on the matrix form between two Newton steps on the support.
const GRAM_SWEEPS: u64 = 3;

/// What a working set is to be solved to.
#[derive(Clone, Copy)]
pub(super) struct Goal {
    pub(super) lambda: f64,
    /// Absolute duality gap of the restricted problem, in units of the objective.
    pub(super) gap: f64,
    /// Sweeps left.
    pub(super) sweeps: u64,
}

/// Solves the problem restricted to `members`; the rest of the coefficients must be 0. On return the slopes are those
/// of the new point and, with an intercept, sum to 0.
pub(super) fn descend(
    problem: &Problem<'_>,
    state: &mut State,
    members: &[u32],
    goal: Goal,
    watch: &mut Watch<'_>,
) -> Result<(), Cancelled> {
    match problem.data.x.values {
        ValuesView::Single(values) => descend_on(problem, values, state, members, goal, watch),
        ValuesView::Double(values) => descend_on(problem, values, state, members, goal, watch),
    }
}

fn descend_on<V: Number>(
    problem: &Problem<'_>,
    values: &[V],
    state: &mut State,
    members: &[u32],
    goal: Goal,
    watch: &mut Watch<'_>,
) -> Result<(), Cancelled> {
    let bounds = bounds(problem, members, goal.lambda);
    let first_epoch = watch.progress.epoch;
    for step in 0..STEPS_MAX {
        let h = curvatures(problem, state);
        let x = problem.data.x;
        let mut model = Residual::new(x, values, members, &problem.shrink, &h, &state.slope, problem.options.intercept, watch)?;
        let before: Vec<f64> = members.iter().map(|&j| state.u[j as usize]).collect();
        let violation = violation(&model, &before, &bounds, watch)?;
        let wanted = allowed_violation(&before, &bounds, goal);
        let left = goal.sweeps.saturating_sub(watch.progress.epoch - first_epoch);
        if violation <= wanted || left == 0 {
            return Ok(());
        }
        // A model that is only an approximation need not be minimised further than it holds.
        let inner = match problem.loss {
            Loss::Squared if wanted > 0.0 => wanted,
            Loss::Squared => 0.01 * violation,
            Loss::Logistic => wanted.max(0.1 * violation * if step == 0 { 1.0 } else { 0.3 }),
        };
        let mut u = before.clone();
        minimise_model(&mut model, &mut u, &bounds, inner, left, watch)?;
        if !search(problem, state, members, &before, &u, &bounds, watch)? {
            return Ok(());
        }
        if problem.loss == Loss::Squared {
            return Ok(());
        }
    }
    Ok(())
}

fn bounds(problem: &Problem<'_>, members: &[u32], lambda: f64) -> Bounds {
    let weight = |j: &u32, share: f64| {
        let factor = problem.factor(*j as usize);
        // λ may be infinite (the null model); what is not penalised stays so.
        if factor * share > 0.0 { lambda * factor * share } else { 0.0 }
    };
    Bounds {
        l1: members.iter().map(|j| weight(j, problem.l1_ratio)).collect(),
        l2: members.iter().map(|j| weight(j, 1.0 - problem.l1_ratio)).collect(),
    }
}

fn curvatures(problem: &Problem<'_>, state: &State) -> Vec<f64> {
    let rows = problem.data.y.iter().zip(&state.eta).zip(&problem.weights);
    rows.map(|((&y, &eta), &weight)| weight * problem.loss.curvature(y, eta)).collect()
}

fn violation<V: Number>(model: &Residual<'_, V>, u: &[f64], bounds: &Bounds, watch: &mut Watch<'_>) -> Result<f64, Cancelled> {
    use super::quadratic::Quadratic;
    let mut worst: f64 = 0.0;
    for (k, &u) in u.iter().enumerate() {
        watch.work(model.cost(k))?;
        worst = worst.max(bounds.violation(k, u, model.gradient(k)));
    }
    Ok(worst)
}

/// The largest violation at which the gap is still below the goal: to first order the gap is 2·violation·‖u‖₁; where
/// every member has a ridge term it is at most violation²/(2·l2) a member.
fn allowed_violation(u: &[f64], bounds: &Bounds, goal: Goal) -> f64 {
    let norm: f64 = u.iter().map(|u| u.abs()).sum();
    let least_l1 = bounds.l1.iter().copied().filter(|l1| *l1 > 0.0).fold(f64::INFINITY, f64::min);
    // At 0 nothing is known of the norm to come: any violation is worth a step.
    let by_norm = if norm > 0.0 { 0.5 * goal.gap / norm } else { 0.0 };
    let least_l2 = bounds.l2.iter().copied().fold(f64::INFINITY, f64::min);
    let by_ridge = if least_l2.is_finite() { (2.0 * least_l2 * goal.gap / u.len().max(1) as f64).sqrt() } else { 0.0 };
    let allowed = by_norm.max(by_ridge).min(0.1 * least_l1);
    if allowed.is_finite() { allowed } else { goal.gap.min(1e-12) }
}

/// Descent on products with columns; when that has cost as much as building the matrix form would, the matrix form.
fn minimise_model<V: Number>(
    model: &mut Residual<'_, V>,
    u: &mut [f64],
    bounds: &Bounds,
    goal: f64,
    sweeps: u64,
    watch: &mut Watch<'_>,
) -> Result<(), Cancelled> {
    let m = u.len();
    if m > gram::MEMBERS_MAX {
        return minimise(model, u, bounds, goal, sweeps, watch).map(|_| ());
    }
    let worth = gram::build_cost(model) / (model.nnz() as u64).max(1);
    let patience = worth.max(SWEEPS_MIN).min(sweeps);
    if minimise(model, u, bounds, goal, patience, watch)? == Ended::Reached || patience == sweeps {
        return Ok(());
    }
    let mut gram = Gram::build(model, watch)?;
    let mut left = sweeps - patience;
    while left > 0 {
        // As much is spent on sweeps as on the Newton step that follows: s³/6 against at most m·s a sweep.
        let s = u.iter().filter(|&&u| u != 0.0).count();
        let allowed = (s * s / (6 * m)).max(GRAM_SWEEPS as usize).min(usize::try_from(left).unwrap_or(usize::MAX)) as u64;
        left -= allowed;
        if minimise(&mut gram, u, bounds, goal, allowed, watch)? == Ended::Reached {
            return Ok(());
        }
        gram.newton(u, bounds, watch)?;
    }
    Ok(())
}

/// Moves the state from `before` towards `after` as far as the objective falls; says whether it moved.
fn search(
    problem: &Problem<'_>,
    state: &mut State,
    members: &[u32],
    before: &[f64],
    after: &[f64],
    bounds: &Bounds,
    watch: &mut Watch<'_>,
) -> Result<bool, Cancelled> {
    let moved: Vec<usize> = (0..members.len()).filter(|&k| after[k] != before[k]).collect();
    let columns: Vec<u32> = moved.iter().map(|&k| members[k]).collect();
    let steps: Vec<f64> = moved.iter().map(|&k| (after[k] - before[k]) * problem.shrink[members[k] as usize]).collect();
    let mut direction = vec![0.0; state.eta.len()];
    predict(&problem.data.x, &columns, &steps, &mut direction);
    watch.work(state.eta.len())?;
    watch.look()?;
    let start = loss_value(problem, &state.eta);
    let mut length = 1.0;
    for _ in 0..40 {
        let mut trial = state.clone();
        trial.eta.iter_mut().zip(&direction).for_each(|(eta, d)| *eta += length * d);
        trial.settle(problem);
        let penalty: f64 = moved.iter().map(|&k| bounds.change(k, before[k], before[k] + length * (after[k] - before[k]))).sum();
        let change = loss_value(problem, &trial.eta) - start + penalty;
        // At the end of the road the change drowns in rounding; the step is then as good as none.
        if change <= 1e-15 * start.abs() {
            for &k in &moved {
                let j = members[k] as usize;
                trial.u[j] = if length == 1.0 { after[k] } else { before[k] + length * (after[k] - before[k]) };
            }
            *state = trial;
            return Ok(true);
        }
        length *= 0.5;
        watch.work(state.eta.len() * 4)?;
    }
    Ok(false)
}
