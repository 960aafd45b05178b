//! Minimises a quadratic model plus penalty over columns whose products are known: each visit costs the number of
//! columns, whatever the number of rows.
//!
//! Cyclic coordinate descent, Anderson acceleration (Bertrand & Massias, AISTATS 2021), and Newton steps on the support.

use super::clock::Clock;
use super::face::Face;
use super::gram::Products;
use super::inner::{Coordinates, Estimate, Fall, MEMORY, Pace, combine, prox};

/// Supports up to this size get Newton steps.
const NEWTON_LIMIT: usize = 4000;

/// Units of work of Newton steps on `s` columns. Unit: one gathered non-zero; a multiply-add of the factorisation costs
/// about a twelfth of one.
pub(crate) fn newton_price(s: usize) -> usize {
    s * s * s / 72 + s * s / 2
}

/// A model over the known columns of [`Products`].
pub(crate) struct Dense<'g> {
    products: &'g Products,
    /// Place of each coordinate among the known columns.
    place: Vec<usize>,
    /// x̃ᵀq at the present point, for every known column; right only where a coordinate is.
    gradient: Vec<f64>,
}

impl<'g> Dense<'g> {
    /// Of the columns `ids`, with their gradients.
    pub(crate) fn new(products: &'g Products, ids: impl Iterator<Item = u32>, gradients: &[f64]) -> Self {
        let place: Vec<usize> = ids.map(|j| products.place(j)).collect();
        let mut gradient = vec![0.0; products.len()];
        place.iter().zip(gradients).for_each(|(&place, c)| gradient[place] = *c);
        Self { products, place, gradient }
    }

    fn curvature(&self, k: usize) -> f64 {
        let place = self.place[k];
        self.products.row(place)[place]
    }

    fn gradient(&self, k: usize) -> f64 {
        self.gradient[self.place[k]]
    }

    fn step(&mut self, k: usize, step: f64) {
        let row = self.products.row(self.place[k]);
        self.gradient.iter_mut().zip(row).for_each(|(c, g)| *c -= step * g);
    }

    /// Units of work of one step: rows of a matrix that no near cache holds come slowly.
    fn step_cost(&self) -> usize {
        self.products.len() / 3 + 1
    }

    /// Takes the step `d` when the objective falls.
    fn take_if_better(&mut self, at: &mut Coordinates, d: &[f64], clock: &mut Clock) -> bool {
        let mut moved = vec![0.0; self.gradient.len()];
        let mut slope = 0.0;
        for (k, &d) in d.iter().enumerate().filter(|(_, d)| **d != 0.0) {
            clock.work(self.step_cost());
            slope += d * self.gradient(k);
            moved.iter_mut().zip(self.products.row(self.place[k])).for_each(|(x, g)| *x += d * g);
        }
        let bend: f64 = d.iter().zip(&self.place).map(|(d, &place)| d * moved[place]).sum();
        let better = 0.5 * bend - slope + at.change(d) < 0.0;
        if better {
            self.gradient.iter_mut().zip(&moved).for_each(|(c, x)| *c -= x);
            at.w.iter_mut().zip(d).for_each(|(w, d)| *w += d);
        }
        better
    }

    /// Minimises until the estimate of the duality gap is at most `goal`, `clock` says stop or the epochs are spent.
    pub(crate) fn minimise(&mut self, at: &mut Coordinates, goal: f64, fall: Fall, max_epochs: u64, clock: &mut Clock) {
        let all: Vec<usize> = (0..at.w.len()).filter(|&k| self.curvature(k) + at.l2[k] > 0.0).collect();
        let (mut pace, mut doubt, mut spent) = (Pace::default(), 1usize, 0usize);
        let mut gap = f64::INFINITY;
        loop {
            let mut work = self.sweep(at, &all, clock);
            let active: Vec<usize> = all.iter().copied().filter(|&k| at.w[k] != 0.0 || at.is_free(k)).collect();
            let mut history = vec![at.pick(&active)];
            for _ in 0..MEMORY {
                if clock.cancelled || clock.progress.epoch >= max_epochs {
                    return;
                }
                work += self.sweep(at, &active, clock);
                if self.gap(at, &active, fall) <= goal {
                    break;
                }
                history.push(at.pick(&active));
            }
            if history.len() > MEMORY {
                let scale: Vec<f64> = active.iter().map(|&k| self.curvature(k)).collect();
                if let Some(d) = combine(at, &active, &scale, &history, clock) {
                    self.take_if_better(at, &d, clock);
                    work += active.len() * self.step_cost();
                }
            }
            if gap.is_finite() {
                pace.went(gap, work);
            }
            spent += work;
            gap = self.gap(at, &all, fall);
            let expected = pace.work_to(gap, goal);
            if gap <= goal || clock.cancelled || clock.progress.epoch >= max_epochs {
                return;
            }
            let support: Vec<usize> = active.into_iter().filter(|&k| at.w[k] != 0.0 || at.is_free(k)).collect();
            let s = support.len();
            if s == 0 || s > NEWTON_LIMIT || expected.min(2 * spent) < newton_price(s).saturating_mul(doubt) {
                continue;
            }
            let before = at.pick(&support);
            spent = 0;
            let accepted = self.newton(at, &support, clock);
            for (&k, before) in support.iter().zip(before).filter(|(k, before)| at.w[**k] != *before) {
                clock.work(self.step_cost());
                self.step(k, at.w[k] - before);
            }
            gap = self.gap(at, &all, fall);
            doubt = if accepted { 1 } else { (doubt * 4).min(1 << 10) };
            if gap <= goal {
                return;
            }
        }
    }

    /// Newton steps on the support alone; whether any was taken.
    pub(crate) fn polish(self, at: &mut Coordinates, clock: &mut Clock) -> bool {
        let moves = |&k: &usize| self.curvature(k) + at.l2[k] > 0.0 && (at.w[k] != 0.0 || at.is_free(k));
        let support: Vec<usize> = (0..at.w.len()).filter(moves).collect();
        !support.is_empty() && support.len() <= NEWTON_LIMIT && self.newton(at, &support, clock)
    }

    /// One pass of coordinate descent; units of work.
    fn sweep(&mut self, at: &mut Coordinates, order: &[usize], clock: &mut Clock) -> usize {
        let mut steps = 0;
        for &k in order {
            let curvature = self.curvature(k);
            let target = prox(self.gradient(k) + curvature * at.w[k], at.l1[k], curvature + at.l2[k]);
            let step = target - at.w[k];
            if step != 0.0 {
                if !clock.work(self.step_cost()) {
                    break;
                }
                self.step(k, step);
                at.w[k] = target;
                steps += 1;
            }
        }
        clock.progress.epoch += 1;
        order.len() + steps * self.step_cost()
    }

    fn gap(&self, at: &Coordinates, all: &[usize], fall: Fall) -> f64 {
        let mut estimate = Estimate::default();
        all.iter().for_each(|&k| estimate.add(at, k, self.gradient(k), self.curvature(k)));
        estimate.gap(fall)
    }

    /// Newton steps on the support, the gradients left where they are. Whether any was taken.
    fn newton(&self, at: &mut Coordinates, support: &[usize], clock: &mut Clock) -> bool {
        let of = |k: usize| (self.place[k], self.gradient(k));
        Face::new(self.products, at, support, of, clock).is_some_and(|mut face| face.descend(at, clock))
    }
}
