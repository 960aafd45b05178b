//! Minimises a quadratic model plus penalty on a working set: which columns move, and by which method.
//!
//! The columns that can move (those not at 0 and those whose gradient passes its bound) are few against the working
//! set. They are moved by cyclic coordinate descent on the columns (Friedman, Hastie, Tibshirani, JSS 2010) with
//! Anderson acceleration (Bertrand & Massias, AISTATS 2021), or, once that has cost as much as their products with one
//! another would, by [`Dense`] on those. Every step but plain descent is taken only when the objective falls.
//!
//! Knows neither losses nor the full problem. The choice between methods follows counted work, never a clock.

use super::bounds::conjugate_within;
use super::clock::Clock;
use super::dense::{Dense, newton_price};
use super::dual::CLOSE;
use super::linear;
use super::quadratic::Residual;
use super::sweeps::{on_all, on_columns, sweep_and_look};
use crate::matrix::Number;

/// Iterates combined by Anderson acceleration.
pub(crate) const MEMORY: usize = 5;
/// Where products have served before, what is missing may cost as much as so many visits of the working set.
const TRUST: usize = 12;

/// Where products are kept, those of columns too that are this near their bounds.
const FORESEEN: f64 = 0.9;

/// Coefficients and penalty `l1·|w| + l2/2·w²` of the coordinates of a working set.
pub(crate) struct Coordinates {
    pub(crate) w: Vec<f64>,
    pub(crate) l1: Vec<f64>,
    pub(crate) l2: Vec<f64>,
    /// Where each coefficient must stay; empty = anywhere.
    pub(crate) bounds: Vec<[f64; 2]>,
}

impl Coordinates {
    pub(crate) fn penalty(&self, k: usize, w: f64) -> f64 {
        self.l1[k] * w.abs() + 0.5 * self.l2[k] * w * w
    }

    pub(crate) fn is_free(&self, k: usize) -> bool {
        self.l1[k] == 0.0 && self.l2[k] == 0.0
    }

    /// Change of the penalty along `d`.
    pub(crate) fn change(&self, d: &[f64]) -> f64 {
        let moved = d.iter().enumerate().filter(|(_, d)| **d != 0.0);
        moved.map(|(k, d)| self.penalty(k, self.w[k] + d) - self.penalty(k, self.w[k])).sum()
    }

    /// The coefficients at `order`.
    pub(crate) fn pick(&self, order: &[usize]) -> Vec<f64> {
        order.iter().map(|&k| self.w[k]).collect()
    }

    fn part(&self, order: &[usize]) -> Self {
        let pick = |from: &[f64]| order.iter().map(|&k| from[k]).collect();
        let bounds = order.iter().filter_map(|&k| self.bounds.get(k).copied()).collect();
        Self { w: pick(&self.w), l1: pick(&self.l1), l2: pick(&self.l2), bounds }
    }
}

/// A bound on what the loss part of the dual value falls by when the dual point is scaled by t: first·(1 − t) + ½·second·(1 − t)².
#[derive(Clone, Copy)]
pub(crate) struct Fall {
    /// 0 but for losses whose conjugate has a slope at the edge of its domain.
    pub(crate) first: f64,
    /// A bound on twice the loss term.
    pub(crate) second: f64,
}

/// How far to minimise.
pub(crate) struct Aim {
    /// Goal for the estimate of the duality gap.
    pub(crate) goal: f64,
    /// What a smaller dual point costs.
    pub(crate) fall: Fall,
    /// Bound on all epochs.
    pub(crate) max_epochs: u64,
    /// Columns whose products have served before.
    pub(crate) served: usize,
    /// The model is only good enough for the columns that move now: end when those are at the goal.
    pub(crate) once: bool,
    /// Products made now will serve models to come.
    pub(crate) keep: bool,
    /// Small steps have been taken for the end before when they were not.
    pub(crate) doubted: bool,
    /// Go on where steps are short though the goal is far: nobody looks at more columns next.
    pub(crate) patient: bool,
    /// The set is swept before it is looked at, until the gap is this share of what the first sweep met, or at the goal.
    pub(crate) at_once: Option<f64>,
}

/// Minimises until the estimate of the duality gap is at the goal, `clock` says stop or the epochs are spent. Gradients
/// that are `known` need not be computed at the start.
pub(crate) fn minimise<V: Number>(
    model: &mut Residual<V>,
    at: &mut Coordinates,
    mut known: Option<Vec<f64>>,
    aim: &Aim,
    clock: &mut Clock,
) {
    let Aim { goal, fall, max_epochs, served, once, keep, doubted, patient, at_once } = *aim;
    let all: Vec<usize> = (0..at.w.len()).filter(|&k| model.curvature(k) + at.l2[k] > 0.0).collect();
    let visit: usize = all.iter().map(|&k| model.visit_cost(k)).sum();
    let (mut pace, mut doubt) = (Pace { slow: doubted, ..Pace::default() }, 1usize);
    let mut gradients = vec![0.0; at.w.len()];
    let mut moved = vec![false; at.w.len()];
    if let Some(share) = at_once {
        let mut work = 0;
        let met = sweep_and_look(model, at, &all, &mut work, clock).gap(fall);
        let goal = goal.max(share * met);
        let (left, ..) = on_all(model, at, &all, (met, goal), fall, max_epochs, clock);
        if left <= goal || clock.cancelled || clock.progress.epoch >= max_epochs {
            return;
        }
    }
    loop {
        // of all, and of those alone that the last cycle moved: what others have come to violate says nothing of its pace
        let (mut estimate, mut of_moved) = (Estimate::default(), Estimate::default());
        let here = known.take();
        for &k in &all {
            gradients[k] = match &here {
                Some(known) => known[k],
                None if clock.touch(model.visit_cost(k)) => model.gradient(k),
                None => return,
            };
            estimate.add(at, k, gradients[k], model.curvature(k));
            if moved[k] {
                of_moved.add(at, k, gradients[k], model.curvature(k));
            }
        }
        let gap = estimate.gap(fall);
        if gap <= goal || clock.progress.epoch >= max_epochs {
            return;
        }
        let moves = |k: &usize| at.moves(*k, gradients[*k]);
        let active: Vec<usize> = all.iter().copied().filter(moves).collect();
        if active.is_empty() {
            // what is held at bounds leaves a gap of rounding
            return;
        }
        let nearer = goal.max(0.03 * gap);
        let few = active.len() <= model.most_products();
        // sweeps over few entries are cheaper than over their products, which then only serve a Newton step
        let entries: usize = active.iter().map(|&k| model.visit_cost(k)).sum();
        let lean = 12 * entries < active.len() * active.len();
        // sweeps over what is kept must be cheap as well
        let keep = keep && active.len() * active.len() <= entries;
        let used_to = keep || 2 * served.max(model.products.len()) >= active.len();
        let trust = if used_to && !lean { TRUST * visit } else { 0 };
        let expected = pace.work_to(of_moved.gap(fall), goal).max(trust);
        let newton = if lean { newton_price(active.len()).saturating_mul(doubt) } else { 0 };
        if few && expected > newton && model.price(&active, keep, clock).saturating_add(newton) <= expected {
            // those that come next cost least along with those that have come
            let soon = |k: &usize| keep && gradients[*k].abs() >= FORESEEN * at.l1[*k];
            let wanted: Vec<usize> = all.iter().copied().filter(|k| active.binary_search(k).is_ok() || soon(k)).collect();
            if wanted.len() <= model.most_products() && !model.multiply(&wanted, clock) {
                return;
            }
            match on_products(model, at, &active, &gradients, nearer, fall, max_epochs, lean, once, clock) {
                None => return,
                Some(_) if once => return,
                Some(helped) => doubt = if helped { 1 } else { (doubt * 4).min(1 << 10) },
            }
            pace = Pace::default();
            moved.fill(false);
        } else if !once && 4 * entries >= 3 * visit && 2 * visit > model.live {
            // most of the matrix, and most of it moves: to sweep all of it costs no more than to look at it besides
            let (left, brisk, work) = on_all(model, at, &all, (gap, goal), fall, max_epochs, clock);
            pace.went(gap, work);
            pace.brisk = brisk;
            pace.slow &= !brisk;
            moved.fill(true);
            if !doubted && !patient && left <= goal {
                return;
            }
        } else {
            let ([before, fallen], work) = on_columns(model, at, &active, small_fall(nearer, fall), pace.slow(), max_epochs, clock);
            pace.went(gap, work);
            pace.brisk = before.is_finite() && fallen < 0.1 * before;
            pace.slow &= !pace.brisk;
            moved.fill(false);
            active.iter().for_each(|&k| moved[k] = true);
            // looking at the set again would cost as much as looking at everything, which comes next
            if 2 * visit > model.nnz() && !doubted && !patient && still_to_fall(before, fallen) <= small_fall(goal, fall) {
                return;
            }
        }
        if clock.cancelled {
            return;
        }
    }
}

/// The fall of the objective in a sweep that belongs to a gap of `goal`: the gap goes with the violation of the dual
/// constraints, the objective with its square.
pub(crate) fn small_fall(goal: f64, fall: Fall) -> f64 {
    if fall.second > 0.0 { goal * (goal / fall.second).min(0.1) } else { 0.0 }
}

/// What all further sweeps together would fall by if the falls go on as the last two did.
pub(crate) fn still_to_fall(before: f64, fallen: f64) -> f64 {
    if fallen == 0.0 {
        0.0
    } else if before.is_finite() && fallen < before {
        fallen * fallen / (before - fallen)
    } else {
        f64::INFINITY
    }
}

/// How fast cycles come nearer, and what the rest of the way would cost.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// The gap before the last cycle and its work.
    last: Option<(f64, usize)>,
    slow: bool,
    /// Steps shrink by far from sweep to sweep: a few more sweeps will do.
    brisk: bool,
}

impl Pace {
    /// A cycle was begun at `gap` and has cost `work`.
    pub(crate) fn went(&mut self, gap: f64, work: usize) {
        self.last = Some((gap, work));
    }

    /// Units of work to `goal` if every cycle does as the last, which has ended at `gap`; 0 before the first.
    pub(crate) fn work_to(&mut self, gap: f64, goal: f64) -> usize {
        let Some((before, work)) = self.last else { return 0 };
        let rate = (gap / before).ln();
        self.slow |= rate > -1.5;
        if self.brisk {
            return work;
        }
        if rate < 0.0 { ((goal / gap).ln() / rate * work as f64) as usize } else { usize::MAX }
    }

    /// Whether a cycle has disappointed: its end can then not be told from small steps.
    pub(crate) fn slow(&self) -> bool {
        self.slow
    }
}

/// Moves the columns of `active` by their products: to the goal, or, when `lean`, by one Newton step. Whether that helped;
/// `None` when `clock` said stop before.
#[allow(clippy::too_many_arguments)]
fn on_products<V: Number>(
    model: &mut Residual<V>,
    at: &mut Coordinates,
    active: &[usize],
    gradients: &[f64],
    goal: f64,
    fall: Fall,
    max_epochs: u64,
    lean: bool,
    once: bool,
    clock: &mut Clock,
) -> Option<bool> {
    if !model.multiply(active, clock) {
        return None;
    }
    let mut part = at.part(active);
    let here: Vec<f64> = active.iter().map(|&k| gradients[k]).collect();
    let ids = active.iter().map(|&k| model.ids[k]);
    let mut dense = Dense::new(&model.products, ids, &here);
    let helped = if lean {
        dense.polish(&mut part, clock)
    } else {
        dense.minimise(&mut part, goal, fall, max_epochs, clock);
        true
    };
    for (&k, &w) in active.iter().zip(&part.w) {
        if w != at.w[k] {
            // whoever is done with the model needs no more of it
            if !once {
                model.step(k, w - at.w[k], clock);
            }
            at.w[k] = w;
        }
    }
    Some(helped)
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

/// An estimate of the duality gap on the working set; equal to it for the squared loss but for `fall`.
///
/// With c = X̃ᵀq and the dual point t·q, the gap is Σ pen(w) − t·cᵀw + Σ pen*(t·c) + (1−t)²/2·‖q‖², where t ≤ 1 makes
/// t·c feasible when the penalty has no L2 part. A free coordinate counts with the decrease it still allows.
pub(crate) struct Estimate {
    t: f64,
    penalty: f64,
    product: f64,
    conjugate: f64,
    /// Part of the conjugates that coefficients at their bounds have, at t = 1.
    edge: f64,
    free: f64,
}

impl Default for Estimate {
    fn default() -> Self {
        Self { t: 1.0, penalty: 0.0, product: 0.0, conjugate: 0.0, edge: 0.0, free: 0.0 }
    }
}

impl Estimate {
    /// Counts coordinate `k` with gradient `c`.
    pub(crate) fn add(&mut self, at: &Coordinates, k: usize, c: f64, curvature: f64) {
        if at.is_free(k) {
            self.free += c * c / (2.0 * curvature);
            return;
        }
        self.penalty += at.penalty(k, at.w[k]);
        self.product += c * at.w[k];
        let excess = (c.abs() - at.l1[k]).max(0.0);
        if excess > 0.0 {
            let reach = at.reach(k, c);
            // between its ends the product of a coefficient comes to its bound, as without any
            let between = at.w[k].abs() < reach && at.l1[k] > CLOSE * c.abs();
            if reach < f64::INFINITY && (at.l2[k] > 0.0 || !between) {
                // convex and 0 at 0: of t·c no more than the share t
                self.edge += conjugate_within(excess, at.l2[k], reach);
            } else if at.l2[k] > 0.0 {
                self.conjugate += excess * excess / (2.0 * at.l2[k]);
            } else {
                self.t = self.t.min(at.l1[k] / c.abs());
            }
        }
    }

    pub(crate) fn gap(&self, fall: Fall) -> f64 {
        let t = self.t;
        let scaled = (1.0 - t) * fall.first + 0.5 * (1.0 - t) * (1.0 - t) * fall.second;
        (self.penalty - t * self.product + self.conjugate + t * self.edge + scaled).max(0.0) + self.free
    }
}

/// The affine combination of the last iterates with the smallest combined step, in the metric of `scale`: the share of each
/// but the first.
pub(crate) fn mixture(scale: &[f64], history: &[Vec<f64>], clock: &mut Clock) -> Option<Vec<f64>> {
    let steps: Vec<Vec<f64>> = history.windows(2).map(|pair| pair[1].iter().zip(&pair[0]).map(|(new, old)| new - old).collect()).collect();
    let inner = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).zip(scale).map(|((a, b), s)| a * b * s).sum() };
    let mut g = vec![0.0; MEMORY * MEMORY];
    for a in 0..MEMORY {
        clock.work(scale.len());
        for b in 0..=a {
            g[a * MEMORY + b] = inner(&steps[a], &steps[b]);
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
    Some(z.into_iter().map(|z| z / total).collect())
}

/// The step to the affine combination of the last iterates with the smallest combined step, in the metric of `scale`.
pub(crate) fn combine(at: &Coordinates, active: &[usize], scale: &[f64], history: &[Vec<f64>], clock: &mut Clock) -> Option<Vec<f64>> {
    let z = mixture(scale, history, clock)?;
    let mut d = vec![0.0; at.w.len()];
    for (position, &k) in active.iter().enumerate() {
        let combined: f64 = (0..MEMORY).map(|a| z[a] * history[a + 1][position]).sum();
        // Where the penalty has a kink, a coefficient at 0 stays there and none changes its sign: that is for descent to decide.
        let crosses = at.l1[k] > 0.0 && combined * at.w[k] <= 0.0;
        d[k] = if crosses { -at.w[k] } else { at.stop(k, combined) - at.w[k] };
    }
    Some(d)
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
