//! Coordinate descent on the columns of a working set, sweep by sweep, with Anderson acceleration (Bertrand & Massias, AISTATS 2021).
//!
//! Knows when sweeps have done what they can; which columns are swept, and what else could move them, is for `inner`.

use super::clock::Clock;
use super::inner::{Coordinates, Estimate, Fall, MEMORY, combine, still_to_fall};
use super::quadratic::Residual;
use crate::matrix::Number;

/// Sweeps are brisk while each leaves less than this of the gap: a few more will do.
const BRISK: f64 = 0.3;

/// Moves the columns of `active` by descent on the columns themselves; the falls of the objective in the last two sweeps,
/// and units of work.
pub(super) fn on_columns<V: Number>(
    model: &mut Residual<V>,
    at: &mut Coordinates,
    active: &[usize],
    small: f64,
    slow: bool,
    max_epochs: u64,
    clock: &mut Clock,
) -> ([f64; 2], usize) {
    let mut history = vec![at.pick(active)];
    let (mut before, mut fallen, mut work) = (0.0, f64::INFINITY, 0);
    for _ in 0..=MEMORY {
        before = fallen;
        fallen = sweep(model, at, active, &mut work, clock);
        // what the next would fall by, if each does as the last
        let done = still_to_fall(before, fallen) <= small && !slow;
        if clock.cancelled || clock.progress.epoch >= max_epochs || done {
            return ([before, fallen], work);
        }
        history.push(at.pick(active));
    }
    history.remove(0);
    let scale: Vec<f64> = active.iter().map(|&k| model.curvature(k)).collect();
    if let Some(d) = combine(at, active, &scale, &history, clock) {
        take_if_better(model, at, &d, clock);
    }
    ([before, fallen], work)
}

/// Moves all columns by sweeps over all of them, from a gap to the goal or until a cycle no longer comes near by far with every
/// sweep: the gap to be expected there, whether it does, and units of work. What the sweeps meet tells of the gap: nothing is looked at besides.
pub(super) fn on_all<V: Number>(
    model: &mut Residual<V>,
    at: &mut Coordinates,
    all: &[usize],
    (gap, goal): (f64, f64),
    fall: Fall,
    max_epochs: u64,
    clock: &mut Clock,
) -> (f64, bool, usize) {
    let mut history = vec![at.pick(all)];
    let (mut last, mut work) = (gap, 0);
    loop {
        let met = sweep_and_look(model, at, all, &mut work, clock).gap(fall);
        // what was met on the way has shrunk by the end of the sweep as it does from sweep to sweep
        let shrunk = if last.is_finite() { (met / last).min(1.0) } else { 1.0 };
        let (left, brisk) = (met * shrunk, shrunk < BRISK);
        last = met;
        if clock.cancelled || clock.progress.epoch >= max_epochs || left <= goal {
            return (left, brisk, work);
        }
        history.push(at.pick(all));
        if history.len() > MEMORY + 1 {
            history.remove(0);
            if !brisk {
                let scale: Vec<f64> = all.iter().map(|&k| model.curvature(k)).collect();
                if let Some(d) = combine(at, all, &scale, &history, clock) {
                    take_if_better(model, at, &d, clock);
                }
                return (left, brisk, work);
            }
        }
    }
}

/// One pass of coordinate descent over `order`; the gap by the gradients as they were met.
pub(super) fn sweep_and_look<V: Number>(
    model: &mut Residual<V>,
    at: &mut Coordinates,
    order: &[usize],
    work: &mut usize,
    clock: &mut Clock,
) -> Estimate {
    let mut estimate = Estimate::default();
    for &k in order {
        let cost = model.visit_cost(k);
        *work += cost;
        if !clock.touch(cost) {
            return estimate;
        }
        let (curvature, gradient) = (model.curvature(k), model.gradient(k));
        estimate.add(at, k, gradient, curvature);
        let target = at.prox(k, gradient + curvature * at.w[k], curvature + at.l2[k]);
        let step = target - at.w[k];
        if step != 0.0 {
            model.step(k, step, clock);
            *work += cost;
            at.w[k] = target;
        }
    }
    clock.progress.epoch += 1;
    estimate
}

/// One pass of coordinate descent over `order`; the fall of the objective.
fn sweep<V: Number>(model: &mut Residual<V>, at: &mut Coordinates, order: &[usize], work: &mut usize, clock: &mut Clock) -> f64 {
    let mut fallen = 0.0;
    for &k in order {
        let cost = model.visit_cost(k);
        *work += cost;
        if !clock.touch(cost) {
            return fallen;
        }
        let curvature = model.curvature(k);
        let target = at.prox(k, model.gradient(k) + curvature * at.w[k], curvature + at.l2[k]);
        let step = target - at.w[k];
        if step != 0.0 {
            model.step(k, step, clock);
            *work += cost;
            at.w[k] = target;
            fallen += 0.5 * (curvature + at.l2[k]) * step * step;
        }
    }
    clock.progress.epoch += 1;
    fallen
}

/// Takes the step `d` when the objective falls.
fn take_if_better<V: Number>(model: &mut Residual<V>, at: &mut Coordinates, d: &[f64], clock: &mut Clock) {
    let (slope, bend) = model.along(d, clock);
    if 0.5 * bend - slope + at.change(d) < 0.0 {
        model.commit();
        at.go(d);
    }
}
