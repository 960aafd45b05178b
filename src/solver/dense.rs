//! Minimises a quadratic model plus penalty over columns whose products are known: each visit costs the number of
//! columns, whatever the number of rows.
//!
//! Cyclic coordinate descent, Anderson acceleration (Bertrand & Massias, AISTATS 2021), and Newton steps on the support:
//! one factor serves a whole search, in which a coefficient that would change its sign, or pass a bound, stops there and is then held
//! by a border of the system (a Schur complement) instead of a new factor. What a step does to the gradients is the right side
//! that it was solved for, so that only what stops costs products.

use super::clock::Clock;
use super::gram::Products;
use super::inner::{Coordinates, Estimate, Fall, MEMORY, Pace, combine, small_fall};
use super::linear;

/// Supports up to this size get Newton steps.
const NEWTON_LIMIT: usize = 4000;

/// A column of the support whose square of the distance to the span of the others is below this share of its length's
/// square takes no part in a Newton step.
const DEPENDENT: f64 = 1e-7;

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
            at.go(d);
        }
        better
    }

    /// Minimises until the estimate of the duality gap is at most `goal`, `clock` says stop or the epochs are spent.
    pub(crate) fn minimise(&mut self, at: &mut Coordinates, goal: f64, fall: Fall, max_epochs: u64, clock: &mut Clock) {
        let all: Vec<usize> = (0..at.w.len()).filter(|&k| self.curvature(k) + at.l2[k] > 0.0).collect();
        let (mut pace, mut doubt) = (Pace::default(), 1usize);
        let mut gap = f64::INFINITY;
        loop {
            let mut work = self.sweep(at, &all, clock).1;
            let active: Vec<usize> = all.iter().copied().filter(|&k| at.w[k] != 0.0 || at.is_free(k)).collect();
            let mut history = vec![at.pick(&active)];
            for _ in 0..MEMORY {
                if clock.cancelled || clock.progress.epoch >= max_epochs {
                    return;
                }
                let (fallen, spent) = self.sweep(at, &active, clock);
                work += spent;
                if fallen <= small_fall(goal, fall) && !pace.slow() {
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
            gap = self.gap(at, &all, fall);
            let expected = pace.work_to(gap, goal);
            if gap <= goal || clock.cancelled || clock.progress.epoch >= max_epochs {
                return;
            }
            let support: Vec<usize> = active.into_iter().filter(|&k| self.is_in_support(at, k)).collect();
            let s = support.len();
            if s == 0 || s > NEWTON_LIMIT || expected < newton_price(s).saturating_mul(doubt) {
                continue;
            }
            let before = at.pick(&support);
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
    pub(crate) fn polish(&self, at: &mut Coordinates, clock: &mut Clock) -> bool {
        let moves = |&k: &usize| self.curvature(k) + at.l2[k] > 0.0 && self.is_in_support(at, k);
        let support: Vec<usize> = (0..at.w.len()).filter(moves).collect();
        !support.is_empty() && support.len() <= NEWTON_LIMIT && self.newton(at, &support, clock)
    }

    /// One pass of coordinate descent; the fall of the objective, and units of work.
    fn sweep(&mut self, at: &mut Coordinates, order: &[usize], clock: &mut Clock) -> (f64, usize) {
        let (mut fallen, mut steps) = (0.0, 0);
        for &k in order {
            let curvature = self.curvature(k);
            let target = at.prox(k, self.gradient(k) + curvature * at.w[k], curvature + at.l2[k]);
            let step = target - at.w[k];
            if step != 0.0 {
                if !clock.work(self.step_cost()) {
                    break;
                }
                self.step(k, step);
                at.w[k] = target;
                fallen += 0.5 * (curvature + at.l2[k]) * step * step;
                steps += 1;
            }
        }
        clock.progress.epoch += 1;
        (fallen, order.len() + steps * self.step_cost())
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

    /// Whether coordinate `k` is not at 0, and not held by a bound either.
    fn is_in_support(&self, at: &Coordinates, k: usize) -> bool {
        (at.w[k] != 0.0 || at.is_free(k)) && !at.is_held(k, self.gradient(k))
    }
}

/// The columns that may move, with the factor of their products. Unknowns are positions in `support`.
struct Face<'f> {
    products: &'f Products,
    /// Coordinates; those near 0, which may come to stop there, at the end: what holds them is short then.
    support: Vec<usize>,
    /// Place of each unknown among the known columns.
    place: Vec<usize>,
    /// x̃ᵀq of each unknown that is not held.
    gradient: Vec<f64>,
    factor: Vec<f64>,
    dependent: Vec<usize>,
    border: Border,
}

impl<'f> Face<'f> {
    /// Of the coordinates `support`, given place and gradient of each; `None` when there is no factor, or `clock` said stop.
    fn new(
        products: &'f Products,
        at: &Coordinates,
        support: &[usize],
        of: impl Fn(usize) -> (usize, f64),
        clock: &mut Clock,
    ) -> Option<Self> {
        let s = support.len();
        let weight = |k: usize| {
            let place = of(k).0;
            if at.is_free(k) { f64::INFINITY } else { at.w[k] * at.w[k] * (products.row(place)[place] + at.l2[k]) }
        };
        let mut order: Vec<(f64, usize)> = support.iter().map(|&k| (weight(k), k)).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let support: Vec<usize> = order.into_iter().map(|(_, k)| k).collect();
        let (place, gradient): (Vec<usize>, Vec<f64>) = support.iter().map(|&k| of(k)).unzip();
        let mut factor = vec![0.0; s * s];
        for (i, &k) in support.iter().enumerate() {
            if !clock.work(s / 4) {
                return None;
            }
            let row = products.row(place[i]);
            factor[i * s..][..=i].iter_mut().zip(&place).for_each(|(entry, &other)| *entry = row[other]);
            factor[i * s + i] += at.l2[k];
        }
        if !linear::factorise(&mut factor, s, DEPENDENT, clock) {
            return None;
        }
        let dependent: Vec<usize> = (0..s).filter(|&i| linear::is_held(&factor, s, i)).collect();
        Some(Self { products, support, place, gradient, factor, dependent, border: Border::new(s) })
    }

    /// Newton steps while they cross zeros. Whether any was taken.
    fn descend(&mut self, at: &mut Coordinates, clock: &mut Clock) -> bool {
        let s = self.support.len();
        let mut any = false;
        for _ in 0..60 {
            let downhill: Vec<f64> = (0..s).map(|i| if self.border.holds(i) { 0.0 } else { self.downhill(at, i) }).collect();
            let mut step = downhill.clone();
            clock.progress.epoch += 1;
            if !clock.work(s * s / 4) {
                return any;
            }
            self.border.solve(&self.factor, &mut step);
            self.dependent.iter().for_each(|&i| step[i] = 0.0);
            let (crossed, whole) = if self.is_rounding(at, &step) {
                (Vec::new(), true)
            } else {
                match self.arc(at, &downhill, &step, clock) {
                    Some(taken) => taken,
                    None => return any,
                }
            };
            any = true;
            let mut crossed: Vec<usize> = crossed.into_iter().filter(|i| !self.dependent.contains(i)).collect();
            if crossed.is_empty() && whole {
                // at the end of this face; only along what depends on the rest may it go on
                let off = |i: usize| if self.is_in_support(at, i) { self.downhill(at, i).abs() } else { 0.0 };
                let Some(&worst) = self.dependent.iter().max_by(|&&a, &&b| off(a).total_cmp(&off(b))) else { return true };
                if off(worst) <= 1e-7 * at.l1[self.support[worst]] {
                    return true;
                }
                match self.slide(at, worst, clock) {
                    Some(stopped) if !self.dependent.contains(&stopped) => crossed.push(stopped),
                    Some(_) => {}
                    None => return true,
                }
            }
            let held = self.border.held + crossed.len();
            if held > s / 4 + 4 || !crossed.into_iter().all(|i| self.border.hold(&self.factor, i, clock)) {
                return true;
            }
        }
        any
    }

    /// Whether unknown `i` is not at 0, and not held by a bound either.
    fn is_in_support(&self, at: &Coordinates, i: usize) -> bool {
        let k = self.support[i];
        (at.w[k] != 0.0 || at.is_free(k)) && !at.is_held(k, self.gradient[i])
    }

    /// The descent direction of unknown `i`, penalty included.
    fn downhill(&self, at: &Coordinates, i: usize) -> f64 {
        let k = self.support[i];
        let kink = if at.w[k] == 0.0 { 0.0 } else { at.l1[k] * at.w[k].signum() };
        self.gradient[i] - kink - at.l2[k] * at.w[k]
    }

    /// Whether a step is no more than the rounding of the coefficients.
    fn is_rounding(&self, at: &Coordinates, step: &[f64]) -> bool {
        let size = self.support.iter().map(|&k| at.w[k].abs()).fold(0.0, f64::max);
        step.iter().all(|d| d.abs() <= 1e-14 * size)
    }

    /// Product of two unknowns.
    fn product(&self, a: usize, b: usize) -> f64 {
        self.products.row(self.place[a])[self.place[b]]
    }

    /// What `d` takes from the gradients.
    fn moved(&self, d: &[f64], clock: &mut Clock) -> Vec<f64> {
        let mut moved = vec![0.0; d.len()];
        for (i, &d) in d.iter().enumerate().filter(|(_, d)| **d != 0.0) {
            clock.work(self.support.len() / 2);
            let row = self.products.row(self.place[i]);
            moved.iter_mut().zip(&self.place).for_each(|(x, &place)| *x += d * row[place]);
        }
        moved
    }

    /// Shortens a step, the solution for `downhill`, until the objective falls; which unknowns stopped at 0 or at a bound and whether
    /// the step was a full one, or `None`.
    fn arc(&mut self, at: &mut Coordinates, downhill: &[f64], step: &[f64], clock: &mut Clock) -> Option<(Vec<usize>, bool)> {
        let s = step.len();
        // what the whole step takes from the gradients: those of what is held are not needed any more
        let mut takes: Vec<f64> = self.support.iter().zip(step).zip(downhill).map(|((&k, d), b)| b - at.l2[k] * d).collect();
        for &i in &self.dependent {
            clock.work(s / 4);
            let row = self.products.row(self.place[i]);
            takes[i] = self.place.iter().zip(step).map(|(&place, d)| d * row[place]).sum();
        }
        let slope: f64 = step.iter().zip(&self.gradient).map(|(d, c)| d * c).sum();
        let bend: f64 = step.iter().zip(&takes).map(|(d, x)| d * x).sum();
        let mut length = 1.0;
        for _ in 0..10 {
            if !clock.work(s) {
                return None;
            }
            // (unknown, where it stops)
            let mut crossed: Vec<(usize, f64)> = Vec::new();
            let mut penalty = 0.0;
            for (i, (&k, step)) in self.support.iter().zip(step).enumerate().filter(|(_, (_, step))| **step != 0.0) {
                let (w, d) = (at.w[k], length * step);
                let crosses = !at.is_free(k) && at.l1[k] > 0.0 && (w + d) * w <= 0.0 && w != 0.0;
                let end = if crosses { 0.0 } else { at.stop(k, w + d) };
                if crosses || end != w + d {
                    crossed.push((i, end));
                    penalty += at.penalty(k, end) - at.penalty(k, w);
                } else {
                    penalty += at.l1[k] * w.signum() * d + at.l2[k] * d * (w + 0.5 * d);
                }
            }
            // More than a third at once: the signs are far from settled, a shorter step is the better bet.
            if crossed.len() * 3 <= s + 6 {
                let (mut slope, mut bend) = (length * slope, length * length * bend);
                // how much further or less they go than the step
                let rest = |&(i, end): &(usize, f64)| (i, end - at.w[self.support[i]] - length * step[i]);
                let rests: Vec<(usize, f64)> = crossed.iter().map(rest).collect();
                for (n, &(i, rest)) in rests.iter().enumerate() {
                    slope += rest * self.gradient[i];
                    let others: f64 = rests[..n].iter().map(|&(j, other)| other * self.product(i, j)).sum();
                    bend += rest * (2.0 * length * takes[i] + 2.0 * others + rest * self.product(i, i));
                }
                clock.work(crossed.len() * (crossed.len() + s) / 2);
                if 0.5 * bend - slope + penalty < 0.0 {
                    self.take(at, step, length, &takes, &rests);
                    crossed.iter().for_each(|&(i, end)| at.w[self.support[i]] = end);
                    return Some((crossed.into_iter().map(|(i, _)| i).collect(), length == 1.0));
                }
            }
            length *= 0.4;
        }
        None
    }

    /// Goes `length` of the step, which `takes` so much from the gradients, and `rests` beside it.
    fn take(&mut self, at: &mut Coordinates, step: &[f64], length: f64, takes: &[f64], rests: &[(usize, f64)]) {
        self.support.iter().zip(step).for_each(|(&k, step)| at.w[k] += length * step);
        self.gradient.iter_mut().zip(takes).for_each(|(c, x)| *c -= length * x);
        for &(i, rest) in rests {
            let row = self.products.row(self.place[i]);
            self.gradient.iter_mut().zip(&self.place).for_each(|(c, &place)| *c -= rest * row[place]);
        }
    }

    /// Moves along the combination of unknown `i` with those it depends on that leaves the model as it is: downhill by the
    /// penalty, until one of them comes to 0 or to its bound. Which one, if any does.
    fn slide(&mut self, at: &mut Coordinates, i: usize, clock: &mut Clock) -> Option<usize> {
        let s = self.support.len();
        let mut x: Vec<f64> = (0..s).map(|other| -self.product(i, other)).collect();
        x[i] = 0.0;
        if !clock.work(s * s / 4) {
            return None;
        }
        self.border.solve(&self.factor, &mut x);
        self.dependent.iter().for_each(|&i| x[i] = 0.0);
        x[i] = 1.0;
        let slope: f64 = x.iter().enumerate().map(|(i, x)| if *x == 0.0 { 0.0 } else { x * self.downhill(at, i) }).sum();
        let reach = |(i, (&k, x)): (usize, (&usize, &f64))| {
            let falls = at.l1[k] > 0.0 && at.w[k] * x * slope < 0.0;
            let end = if falls { 0.0 } else { at.end(k, x * slope) };
            (x * slope != 0.0 && end.is_finite()).then(|| (i, end, (end - at.w[k]) / x))
        };
        let reached = self.support.iter().zip(&x).enumerate().filter_map(reach);
        let (stopped, end, length) = reached.min_by(|a, b| a.2.abs().total_cmp(&b.2.abs()))?;
        let mut d: Vec<f64> = x.iter().map(|x| length * x).collect();
        d[stopped] = end - at.w[self.support[stopped]];
        let moved = self.moved(&d, clock);
        let (mut bend, mut slope, mut penalty) = (0.0, 0.0, 0.0);
        for (i, (&k, d)) in self.support.iter().zip(&d).enumerate().filter(|(_, (_, d))| **d != 0.0) {
            bend += d * moved[i];
            slope += d * self.gradient[i];
            penalty += at.penalty(k, at.w[k] + d) - at.penalty(k, at.w[k]);
        }
        let better = 0.5 * bend - slope + penalty < 0.0;
        if better {
            self.support.iter().zip(&d).for_each(|(&k, d)| at.w[k] = at.stop(k, at.w[k] + d));
            at.w[self.support[stopped]] = end;
            self.gradient.iter_mut().zip(&moved).for_each(|(c, x)| *c -= x);
        }
        better.then_some(stopped)
    }
}

/// Solves with a factor while some unknowns, the steps of coefficients that were stopped, are held at 0.
struct Border {
    s: usize,
    /// Number of unknowns held.
    held: usize,
    holds: Vec<bool>,
    /// With the factor L: an orthonormal basis of L⁻¹e over the unknowns held. What is solved lies across it.
    across: Vec<Vec<f64>>,
}

impl Border {
    fn new(s: usize) -> Self {
        Self { s, held: 0, holds: vec![false; s], across: Vec::new() }
    }

    fn holds(&self, i: usize) -> bool {
        self.holds[i]
    }

    /// Holds unknown `i` at 0 from now on; whether `clock` lets it.
    fn hold(&mut self, factor: &[f64], i: usize, clock: &mut Clock) -> bool {
        let mut column = vec![0.0; self.s];
        column[i] = 1.0;
        linear::forward(factor, self.s, i, &mut column);
        let length = |x: &[f64]| crate::matrix::dot(x, x).sqrt();
        let before = length(&column);
        // twice: the second takes off what rounding left
        for _ in 0..2 {
            self.take_off(&mut column);
        }
        let after = length(&column);
        (self.held, self.holds[i]) = (self.held + 1, true);
        // what is held already by the others needs nothing more
        if after > 1e-12 * before {
            column.iter_mut().for_each(|x| *x /= after);
            self.across.push(column);
        }
        clock.work((self.s - i) * (self.s - i) / 8 + self.held * self.s / 2)
    }

    fn take_off(&self, x: &mut [f64]) {
        for across in &self.across {
            let part = crate::matrix::dot(across, x);
            x.iter_mut().zip(across).for_each(|(x, a)| *x -= part * a);
        }
    }

    /// The solution for the right side `b`, in its place.
    fn solve(&self, factor: &[f64], b: &mut [f64]) {
        linear::forward(factor, self.s, 0, b);
        self.take_off(b);
        linear::backward(factor, self.s, b);
        b.iter_mut().zip(&self.holds).for_each(|(b, held)| *b = if *held { 0.0 } else { *b });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_border_holds_unknowns_at_0() {
        // A = [[4,1,0],[1,3,1],[0,1,2]], unknown 1 held: 4·x0 = 1, 2·x2 = 3
        let mut factor = vec![4.0, 0.0, 0.0, 1.0, 3.0, 0.0, 0.0, 1.0, 2.0];
        let go_on = |_: &crate::solver::Progress| std::ops::ControlFlow::Continue(());
        let mut clock = Clock::new(&go_on);
        assert!(linear::factorise(&mut factor, 3, 0.0, &mut clock));
        let mut border = Border::new(3);
        assert!(border.hold(&factor, 1, &mut clock));
        let mut b = vec![1.0, 0.0, 3.0];
        border.solve(&factor, &mut b);
        assert!(b.iter().zip([0.25, 0.0, 1.5]).all(|(x, want)| (x - want).abs() < 1e-14), "{b:?}");
        // and unknown 2 besides
        assert!(border.hold(&factor, 2, &mut clock));
        let mut b = vec![1.0, 0.0, 0.0];
        border.solve(&factor, &mut b);
        assert!(b.iter().zip([0.25, 0.0, 0.0]).all(|(x, want)| (x - want).abs() < 1e-14), "{b:?}");
    }
}
