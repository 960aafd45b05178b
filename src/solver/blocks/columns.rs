//! Cyclic descent over blocks on the columns themselves, with Anderson acceleration (Bertrand & Massias, AISTATS 2021).

use super::super::clock::Clock;
use super::super::linear;
use super::super::quadratic::Residual;
use super::inner::Part;
use crate::matrix::Number;

/// Iterates combined.
const MEMORY: usize = 5;
/// Proximal gradient steps of a group at one visit.
const STEPS: usize = 2;

/// A bound on the second derivatives of each block: the sum of those of its columns is one; the largest that was met is
/// enough for steps to shrink.
pub(super) struct Bends {
    bends: Vec<f64>,
    most: Vec<f64>,
}

impl Bends {
    pub(super) fn new<V: Number>(model: &Residual<V>, part: &Part) -> Self {
        let of = |b: usize| part.block(b).iter().map(|&k| model.curvature(k) / part.scale[k] / part.scale[k]);
        let bends = (0..part.n_blocks()).map(|b| of(b).fold(0.0, f64::max)).collect();
        Self { bends, most: (0..part.n_blocks()).map(|b| of(b).sum()).collect() }
    }

    /// A step `d` has changed the gradients by `fall`.
    fn learn(&mut self, b: usize, d: &[f64], before: &[f64], after: &[f64]) {
        let (mut along, mut square, mut changed, mut size) = (0.0, 0.0, 0.0f64, 0.0f64);
        for ((d, before), after) in d.iter().zip(before).zip(after) {
            along += d * (before - after);
            square += d * d;
            (changed, size) = (changed.max((before - after).abs()), size.max(before.abs()));
        }
        // a smaller change is mostly rounding
        if changed > 1e-7 * size && along > self.bends[b] * square {
            self.bends[b] = (1.1 * along / square).min(self.most[b]);
        }
    }
}

/// A few sweeps over the blocks `active`, and the combination of them where the objective falls by it. Units of work.
pub(super) fn cycle<V: Number>(
    model: &mut Residual<V>,
    part: &mut Part,
    active: &[usize],
    bends: &mut Bends,
    max_epochs: u64,
    clock: &mut Clock,
) -> usize {
    let columns: Vec<usize> = active.iter().flat_map(|&b| part.block(b).iter().copied()).collect();
    let here = |part: &Part| -> Vec<f64> { columns.iter().map(|&k| part.u[k]).collect() };
    let mut history = vec![here(part)];
    let mut work = 0;
    for _ in 0..=MEMORY {
        work += sweep(model, part, active, bends, clock);
        if clock.cancelled || clock.progress.epoch >= max_epochs {
            return work;
        }
        history.push(here(part));
    }
    history.remove(0);
    if let Some(combined) = combine(&history, clock) {
        let mut d = vec![0.0; part.u.len()];
        for (&k, new) in columns.iter().zip(combined) {
            // at a kink none leaves 0, and none changes its sign: that is for descent to decide
            let crosses = part.l1[k] > 0.0 && new * part.u[k] <= 0.0;
            d[k] = if crosses { -part.u[k] } else { new - part.u[k] };
        }
        let steps: Vec<f64> = d.iter().zip(&part.scale).map(|(d, s)| d / s).collect();
        let (slope, bend) = model.along(&steps, clock);
        if 0.5 * bend - slope + part.change(active, &d) < 0.0 {
            model.commit();
            part.u.iter_mut().zip(&d).for_each(|(u, d)| *u += d);
        }
    }
    work
}

fn sweep<V: Number>(model: &mut Residual<V>, part: &mut Part, active: &[usize], bends: &mut Bends, clock: &mut Clock) -> usize {
    let (mut work, mut next) = (0, Vec::new());
    let (mut before, mut after, mut d): (Vec<f64>, Vec<f64>, Vec<f64>) = Default::default();
    for &b in active {
        let n = part.block(b).len();
        if bends.bends[b] <= 0.0 {
            continue;
        }
        for step in 0..if n == 1 { 1 } else { STEPS } {
            let cost: usize = part.block(b).iter().map(|&k| model.visit_cost(k)).sum();
            work += 2 * cost;
            after.clear();
            for &k in part.block(b) {
                if !clock.touch(model.visit_cost(k)) {
                    return work;
                }
                after.push(model.gradient(k) / part.scale[k]);
            }
            if step > 0 {
                bends.learn(b, &d, &before, &after);
            }
            std::mem::swap(&mut before, &mut after);
            part.prox(b, &before, bends.bends[b], &mut next);
            d.clear();
            d.extend(part.block(b).iter().zip(&next).map(|(&k, new)| new - part.u[k]));
            for (at, step) in d.iter().enumerate().filter(|(_, step)| **step != 0.0) {
                let k = part.block(b)[at];
                model.step(k, step / part.scale[k], clock);
                part.u[k] = next[at];
            }
            if d.iter().all(|step| *step == 0.0) {
                break;
            }
        }
    }
    clock.progress.epoch += 1;
    work
}

/// The affine combination of the last iterates with the smallest combined step.
fn combine(history: &[Vec<f64>], clock: &mut Clock) -> Option<Vec<f64>> {
    let steps: Vec<Vec<f64>> = history.windows(2).map(|pair| pair[1].iter().zip(&pair[0]).map(|(new, old)| new - old).collect()).collect();
    let mut g = vec![0.0; MEMORY * MEMORY];
    for a in 0..MEMORY {
        clock.work(steps[a].len());
        for b in 0..=a {
            g[a * MEMORY + b] = steps[a].iter().zip(&steps[b]).map(|(a, b)| a * b).sum();
        }
    }
    let trace: f64 = (0..MEMORY).map(|a| g[a * MEMORY + a]).sum();
    if trace == 0.0 {
        return None;
    }
    (0..MEMORY).for_each(|a| g[a * MEMORY + a] += 1e-12 * trace);
    let mut z = vec![1.0; MEMORY];
    if !linear::cholesky_solve(&mut g, MEMORY, &mut z, clock) {
        return None;
    }
    let total: f64 = z.iter().sum();
    let combined = (0..history[0].len()).map(|at| (0..MEMORY).map(|a| z[a] / total * history[a + 1][at]).sum());
    Some(combined.collect())
}
