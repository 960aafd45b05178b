//! Minimises a quadratic model plus penalty on a working set: cyclic coordinate descent (Friedman, Hastie,
//! Tibshirani, JSS 2010), Anderson acceleration (Bertrand & Massias, AISTATS 2021) and Newton steps on the support
//! with a projected arc search. Every step but plain descent is taken only when the objective falls.
//!
//! Knows neither losses nor the full problem. The choice between methods follows counted work, never a clock.

use super::clock::Clock;
use super::linear;
use super::quadratic::Quadratic;

/// Iterates combined by Anderson acceleration.
const MEMORY: usize = 5;
/// Supports up to this size get Newton steps by a dense factor.
const NEWTON_LIMIT: usize = 4000;

/// Coefficients and penalty `l1·|w| + l2/2·w²` of the coordinates of a working set.
pub(crate) struct Coordinates {
    pub(crate) w: Vec<f64>,
    pub(crate) l1: Vec<f64>,
    pub(crate) l2: Vec<f64>,
}

impl Coordinates {
    pub(crate) fn penalty(&self, k: usize, w: f64) -> f64 {
        self.l1[k] * w.abs() + 0.5 * self.l2[k] * w * w
    }

    fn is_free(&self, k: usize) -> bool {
        self.l1[k] == 0.0 && self.l2[k] == 0.0
    }

    /// Change of the penalty along `d`.
    fn change(&self, d: &[f64]) -> f64 {
        let moved = d.iter().enumerate().filter(|(_, d)| **d != 0.0);
        moved.map(|(k, d)| self.penalty(k, self.w[k] + d) - self.penalty(k, self.w[k])).sum()
    }
}

/// Minimises until the estimate of the duality gap is at most `goal`, `clock` says stop or the epochs are spent.
/// `size` bounds twice the loss term; it only weighs the second-order part of the estimate.
pub(crate) fn minimise<Q: Quadratic>(quadratic: &mut Q, at: &mut Coordinates, goal: f64, size: f64, max_epochs: u64, clock: &mut Clock) {
    let m = at.w.len();
    let all: Vec<usize> = (0..m).filter(|&k| quadratic.curvature(k) + at.l2[k] > 0.0).collect();
    let (mut credit, mut price_factor) = (0usize, 1usize);
    loop {
        let mut work = sweep(quadratic, at, &all, clock);
        let active: Vec<usize> = all.iter().copied().filter(|&k| at.w[k] != 0.0 || at.is_free(k)).collect();
        let mut history = vec![snapshot(at, &active)];
        for _ in 0..MEMORY {
            if clock.cancelled || clock.progress.epoch >= max_epochs {
                break;
            }
            work += sweep(quadratic, at, &active, clock);
            history.push(snapshot(at, &active));
        }
        if history.len() > MEMORY {
            accelerate(quadratic, at, &active, &history, clock);
        }
        if clock.cancelled || gap_estimate(quadratic, at, &all, size, clock) <= goal || clock.progress.epoch >= max_epochs {
            return;
        }
        credit += work;
        let support: Vec<usize> = all.iter().copied().filter(|&k| at.w[k] != 0.0 || at.is_free(k)).collect();
        if support.is_empty() || support.len() > NEWTON_LIMIT {
            continue;
        }
        let s = support.len();
        // Units: one gathered non-zero; a multiply-add of the factorisation costs about an eighth of one.
        let price = s * s * s / 48;
        if credit < price.saturating_mul(price_factor) {
            continue;
        }
        let price = price + quadratic.gram_cost(&support, clock);
        if credit < price.saturating_mul(price_factor) {
            continue;
        }
        credit = 0;
        let accepted = newton(quadratic, at, support, clock);
        price_factor = if accepted { 1 } else { (price_factor * 2).min(1 << 10) };
        if gap_estimate(quadratic, at, &all, size, clock) <= goal {
            return;
        }
    }
}

/// Counts a visit; only those of columns touch non-zeros of X.
fn spend<Q: Quadratic>(cost: usize, clock: &mut Clock) -> bool {
    if Q::BY_COLUMNS { clock.touch(cost) } else { clock.work(cost) }
}

/// One pass of coordinate descent over `order`; units of work spent.
fn sweep<Q: Quadratic>(quadratic: &mut Q, at: &mut Coordinates, order: &[usize], clock: &mut Clock) -> usize {
    let mut work = 0;
    for &k in order {
        let cost = quadratic.visit_cost(k);
        work += cost;
        if !spend::<Q>(cost, clock) {
            return work;
        }
        let curvature = quadratic.curvature(k);
        let target = prox(quadratic.gradient(k) + curvature * at.w[k], at.l1[k], curvature + at.l2[k]);
        let step = target - at.w[k];
        if step != 0.0 {
            quadratic.step(k, step, clock);
            at.w[k] = target;
        }
    }
    clock.progress.epoch += 1;
    work
}

/// argmin over w of ½·bend·w² − z·w + l1·|w|: soft thresholding.
pub(crate) fn prox(z: f64, l1: f64, bend: f64) -> f64 {
    if z > l1 {
        (z - l1) / bend
    } else if z < -l1 {
        (z + l1) / bend
    } else {
        0.0
    }
}

/// An estimate of the duality gap on the working set; equal to it for the squared loss but for `size`.
///
/// With c = X̃ᵀq and the dual point t·q, the gap is Σ pen(w) − t·cᵀw + Σ pen*(t·c) + (1−t)²/2·‖q‖², where t ≤ 1 makes
/// t·c feasible when the penalty has no L2 part. A free coordinate counts with the decrease it still allows.
fn gap_estimate<Q: Quadratic>(quadratic: &Q, at: &Coordinates, all: &[usize], size: f64, clock: &mut Clock) -> f64 {
    let mut t = 1.0f64;
    let (mut penalty, mut product, mut conjugate, mut free) = (0.0, 0.0, 0.0, 0.0);
    for &k in all {
        if !spend::<Q>(quadratic.visit_cost(k), clock) {
            return f64::INFINITY;
        }
        let c = quadratic.gradient(k);
        if at.is_free(k) {
            free += c * c / (2.0 * quadratic.curvature(k));
            continue;
        }
        penalty += at.penalty(k, at.w[k]);
        product += c * at.w[k];
        let excess = (c.abs() - at.l1[k]).max(0.0);
        if excess > 0.0 {
            if at.l2[k] > 0.0 {
                conjugate += excess * excess / (2.0 * at.l2[k]);
            } else {
                t = t.min(at.l1[k] / c.abs());
            }
        }
    }
    (penalty - t * product + conjugate + 0.5 * (1.0 - t) * (1.0 - t) * size).max(0.0) + free
}

fn snapshot(at: &Coordinates, active: &[usize]) -> Vec<f64> {
    active.iter().map(|&k| at.w[k]).collect()
}

/// Replaces the last iterate by the affine combination of the last ones with the smallest combined step.
fn accelerate<Q: Quadratic>(quadratic: &mut Q, at: &mut Coordinates, active: &[usize], history: &[Vec<f64>], clock: &mut Clock) {
    let scale: Vec<f64> = active.iter().map(|&k| quadratic.curvature(k)).collect();
    let steps: Vec<Vec<f64>> = history.windows(2).map(|pair| pair[1].iter().zip(&pair[0]).map(|(new, old)| new - old).collect()).collect();
    let inner = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).zip(&scale).map(|((a, b), s)| a * b * s).sum() };
    let mut g = vec![0.0; MEMORY * MEMORY];
    for a in 0..MEMORY {
        clock.work(active.len());
        for b in 0..=a {
            g[a * MEMORY + b] = inner(&steps[a], &steps[b]);
        }
    }
    let trace: f64 = (0..MEMORY).map(|a| g[a * MEMORY + a]).sum();
    if trace == 0.0 {
        return;
    }
    (0..MEMORY).for_each(|a| g[a * MEMORY + a] += 1e-12 * trace);
    let mut z = vec![1.0; MEMORY];
    if !linear::cholesky_solve(&mut g, MEMORY, &mut z, clock) {
        return;
    }
    let total: f64 = z.iter().sum();
    let mut d = vec![0.0; at.w.len()];
    for (position, &k) in active.iter().enumerate() {
        let combined: f64 = (0..MEMORY).map(|a| z[a] / total * history[a + 1][position]).sum();
        // Where the penalty has a kink, a coefficient at 0 stays there and none changes its sign: that is for descent to decide.
        let crosses = at.l1[k] > 0.0 && combined * at.w[k] <= 0.0;
        d[k] = if crosses { -at.w[k] } else { combined - at.w[k] };
    }
    take_if_better(quadratic, at, &d, clock);
}

/// Takes the step `d` when the objective falls.
fn take_if_better<Q: Quadratic>(quadratic: &mut Q, at: &mut Coordinates, d: &[f64], clock: &mut Clock) -> bool {
    let (slope, bend) = quadratic.along(d, clock);
    let change = 0.5 * bend - slope + at.change(d);
    let better = change < 0.0;
    if better {
        quadratic.commit();
        at.w.iter_mut().zip(d).for_each(|(w, d)| *w += d);
    }
    better
}

/// Newton steps on the support while they cross zeros: each solves the optimality system of the present signs, then
/// searches along the arc on which a coefficient that would change its sign stops at 0. Whether any was taken.
fn newton<Q: Quadratic>(quadratic: &mut Q, at: &mut Coordinates, mut support: Vec<usize>, clock: &mut Clock) -> bool {
    let full = quadratic.gram(&support, clock);
    let stride = support.len();
    let mut place: Vec<usize> = (0..stride).collect();
    let mut any = false;
    for _ in 0..50 {
        let s = support.len();
        let mut a = vec![0.0; s * s];
        let mut d = vec![0.0; s];
        for i in 0..s {
            let k = support[i];
            for j in 0..=i {
                a[i * s + j] = full[place[i] * stride + place[j]];
            }
            a[i * s + i] = a[i * s + i] * (1.0 + 1e-10) + at.l2[k];
            let sign = if at.w[k] == 0.0 { 0.0 } else { at.w[k].signum() };
            d[i] = quadratic.gradient(k) - at.l1[k] * sign - at.l2[k] * at.w[k];
            spend::<Q>(quadratic.visit_cost(k), clock);
        }
        if clock.cancelled || !linear::factorise(&mut a, s, clock) {
            return any;
        }
        linear::substitute(&a, s, &mut d);
        clock.progress.epoch += 1;
        let Some(crossed) = arc(quadratic, at, &support, &d, clock) else { return any };
        any = true;
        if crossed == 0 {
            return true;
        }
        let keep: Vec<bool> = support.iter().map(|&k| at.w[k] != 0.0 || at.is_free(k)).collect();
        let mut kept = keep.iter();
        support.retain(|_| kept.next().copied().unwrap_or(true));
        let mut kept = keep.iter();
        place.retain(|_| kept.next().copied().unwrap_or(true));
        if support.is_empty() {
            return true;
        }
    }
    any
}

/// Shrinks the step until the objective falls; how many coefficients stopped at 0, or `None`. A full step without
/// crossing counts as 0; a shortened one as 1, so that the caller tries again from there.
fn arc<Q: Quadratic>(quadratic: &mut Q, at: &mut Coordinates, support: &[usize], step: &[f64], clock: &mut Clock) -> Option<usize> {
    let mut length = 1.0;
    for _ in 0..10 {
        let mut d = vec![0.0; at.w.len()];
        let mut crossed = 0;
        for (&k, step) in support.iter().zip(step) {
            let target = at.w[k] + length * step;
            let crosses = !at.is_free(k) && at.l1[k] > 0.0 && target * at.w[k] <= 0.0 && at.w[k] != 0.0;
            crossed += usize::from(crosses);
            d[k] = if crosses { -at.w[k] } else { length * step };
        }
        if clock.cancelled {
            return None;
        }
        // More than a third at once: the signs are far from settled, a shorter step is the better bet.
        if crossed * 3 <= support.len() + 6 && take_if_better(quadratic, at, &d, clock) {
            return Some(crossed);
        }
        length *= 0.4;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::prox;

    #[test]
    fn the_prox_agrees_with_brute_force() {
        for (z, l1, bend) in [(2.0, 0.5, 1.5), (-1.0, 0.3, 0.7), (0.2, 0.3, 1.0), (-3.0, 0.0, 2.0)] {
            let value = |w: f64| 0.5 * bend * w * w - z * w + l1 * w.abs();
            let best = (-50_000..=50_000).map(|k| f64::from(k) * 1e-4).min_by(|a, b| value(*a).total_cmp(&value(*b)));
            assert!((best.unwrap_or(f64::NAN) - prox(z, l1, bend)).abs() <= 1e-4);
        }
    }
}
