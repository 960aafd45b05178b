//! Minimises a quadratic model plus penalty over columns whose products are known: each visit costs the number of
//! columns, whatever the number of rows.
//!
//! Cyclic coordinate descent, Anderson acceleration (Bertrand & Massias, AISTATS 2021), and Newton steps on the support:
//! one factor serves a whole search, in which a coefficient that would change its sign, or pass a bound, stops there and is then held
//! by a border of the system (a Schur complement) instead of a new factor.

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
            let accepted = self.newton(at, &support, clock);
            gap = self.gap(at, &all, fall);
            doubt = if accepted { 1 } else { (doubt * 4).min(1 << 10) };
            if gap <= goal {
                return;
            }
        }
    }

    /// Newton steps on the support alone; whether any was taken.
    pub(crate) fn polish(&mut self, at: &mut Coordinates, clock: &mut Clock) -> bool {
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

    /// Newton steps on the support while they cross zeros. Whether any was taken.
    fn newton(&mut self, at: &mut Coordinates, support: &[usize], clock: &mut Clock) -> bool {
        let s = support.len();
        let mut factor = vec![0.0; s * s];
        for (i, &k) in support.iter().enumerate() {
            if !clock.work(s / 4) {
                return false;
            }
            let row = self.products.row(self.place[k]);
            for (entry, &other) in factor[i * s..][..=i].iter_mut().zip(support) {
                *entry = row[self.place[other]];
            }
            factor[i * s + i] += at.l2[k];
        }
        if !linear::factorise(&mut factor, s, DEPENDENT, clock) {
            return false;
        }
        let dependent: Vec<usize> = (0..s).filter(|&i| linear::is_held(&factor, s, i)).collect();
        let mut border = Border::new(s);
        let mut any = false;
        for _ in 0..60 {
            let downhill = |(i, &k): (usize, &usize)| if border.holds(i) { 0.0 } else { self.downhill(at, k) };
            let mut d: Vec<f64> = support.iter().enumerate().map(downhill).collect();
            clock.progress.epoch += 1;
            if !clock.work(s * s / 4) || !border.solve(&factor, &mut d, clock) {
                return any;
            }
            let (crossed, whole) = if is_rounding(&d, support, at) {
                (Vec::new(), true)
            } else {
                match self.arc(at, support, &d, clock) {
                    Some(taken) => taken,
                    None => return any,
                }
            };
            any = true;
            let mut crossed: Vec<usize> = crossed.into_iter().filter(|i| !dependent.contains(i)).collect();
            if crossed.is_empty() && whole {
                // at the end of this face; only along what depends on the rest may it go on
                let off = |i: usize| if self.is_in_support(at, support[i]) { self.downhill(at, support[i]).abs() } else { 0.0 };
                let Some(&worst) = dependent.iter().max_by(|&&a, &&b| off(a).total_cmp(&off(b))) else { return true };
                if off(worst) <= 1e-7 * at.l1[support[worst]] {
                    return true;
                }
                match self.slide(at, support, &factor, &border, worst, clock) {
                    Some(stopped) if !dependent.contains(&stopped) => crossed.push(stopped),
                    Some(_) => {}
                    None => return true,
                }
            }
            if border.held.len() + crossed.len() > s / 4 + 4 || !crossed.into_iter().all(|i| border.hold(&factor, i, clock)) {
                return true;
            }
        }
        any
    }

    /// Whether coordinate `k` is not at 0, and not held by a bound either.
    fn is_in_support(&self, at: &Coordinates, k: usize) -> bool {
        (at.w[k] != 0.0 || at.is_free(k)) && !at.is_held(k, self.gradient(k))
    }

    /// The descent direction of coordinate `k`, penalty included.
    fn downhill(&self, at: &Coordinates, k: usize) -> f64 {
        let kink = if at.w[k] == 0.0 { 0.0 } else { at.l1[k] * at.w[k].signum() };
        self.gradient(k) - kink - at.l2[k] * at.w[k]
    }

    /// Moves along the combination of unknown `i` with those it depends on that leaves the model as it is: downhill by the
    /// penalty, until one of them comes to 0 or to its bound. Which one, if any does.
    fn slide(
        &mut self,
        at: &mut Coordinates,
        support: &[usize],
        factor: &[f64],
        border: &Border,
        i: usize,
        clock: &mut Clock,
    ) -> Option<usize> {
        let s = support.len();
        let row = self.products.row(self.place[support[i]]);
        let mut x: Vec<f64> = support.iter().map(|&k| -row[self.place[k]]).collect();
        x[i] = 0.0;
        if !clock.work(s * s / 4) || !border.solve(factor, &mut x, clock) {
            return None;
        }
        (0..s).filter(|&i| linear::is_held(factor, s, i)).for_each(|i| x[i] = 0.0);
        x[i] = 1.0;
        let slope: f64 = support.iter().zip(&x).map(|(&k, x)| x * self.downhill(at, k)).sum();
        let reach = |(i, (&k, x)): (usize, (&usize, &f64))| {
            let falls = at.l1[k] > 0.0 && at.w[k] * x * slope < 0.0;
            let end = if falls { 0.0 } else { at.end(k, x * slope) };
            (x * slope != 0.0 && end.is_finite()).then(|| (i, end, (end - at.w[k]) / x))
        };
        let reached = support.iter().zip(&x).enumerate().filter_map(reach);
        let (stopped, end, length) = reached.min_by(|a, b| a.2.abs().total_cmp(&b.2.abs()))?;
        let mut d = vec![0.0; at.w.len()];
        support.iter().zip(&x).for_each(|(&k, x)| d[k] = length * x);
        d[support[stopped]] = end - at.w[support[stopped]];
        self.take_if_better(at, &d, clock).then_some(stopped)
    }

    /// Shrinks the step until the objective falls; which of the support stopped at 0 or at a bound and whether the step was a full one,
    /// or `None`.
    fn arc(&mut self, at: &mut Coordinates, support: &[usize], step: &[f64], clock: &mut Clock) -> Option<(Vec<usize>, bool)> {
        let mut length = 1.0;
        for _ in 0..10 {
            let mut d = vec![0.0; at.w.len()];
            let mut crossed = Vec::new();
            for (i, (&k, step)) in support.iter().zip(step).enumerate() {
                let target = at.w[k] + length * step;
                let crosses = !at.is_free(k) && at.l1[k] > 0.0 && target * at.w[k] <= 0.0 && at.w[k] != 0.0;
                let end = if crosses { 0.0 } else { at.stop(k, target) };
                let stops = end != target;
                if crosses || stops {
                    crossed.push(i);
                }
                d[k] = if crosses || stops { end - at.w[k] } else { length * step };
            }
            if clock.cancelled {
                return None;
            }
            // More than a third at once: the signs are far from settled, a shorter step is the better bet.
            if crossed.len() * 3 <= support.len() + 6 && self.take_if_better(at, &d, clock) {
                return Some((crossed, length == 1.0));
            }
            length *= 0.4;
        }
        None
    }
}

/// Whether a step is no more than the rounding of the coefficients.
fn is_rounding(step: &[f64], support: &[usize], at: &Coordinates) -> bool {
    let size = support.iter().map(|&k| at.w[k].abs()).fold(0.0, f64::max);
    step.iter().all(|d| d.abs() <= 1e-14 * size)
}

/// Solves with a factor while some unknowns, the steps of coefficients that were stopped, are held at 0.
struct Border {
    s: usize,
    held: Vec<usize>,
    /// Of each held unknown: the column of the inverse.
    columns: Vec<Vec<f64>>,
}

impl Border {
    fn new(s: usize) -> Self {
        Self { s, held: Vec::new(), columns: Vec::new() }
    }

    fn holds(&self, i: usize) -> bool {
        self.held.contains(&i)
    }

    /// Holds unknown `i` at 0 from now on.
    fn hold(&mut self, factor: &[f64], i: usize, clock: &mut Clock) -> bool {
        let mut column = vec![0.0; self.s];
        column[i] = 1.0;
        linear::substitute(factor, self.s, &mut column);
        self.held.push(i);
        self.columns.push(column);
        clock.work(self.s * self.s / 4)
    }

    /// The solution for the right side `b`, in its place.
    fn solve(&self, factor: &[f64], b: &mut [f64], clock: &mut Clock) -> bool {
        linear::substitute(factor, self.s, b);
        let m = self.held.len();
        if m == 0 {
            return true;
        }
        let mut inner = vec![0.0; m * m];
        for (row, &i) in self.held.iter().enumerate() {
            for (column, values) in self.columns.iter().enumerate().take(row + 1) {
                inner[row * m + column] = values[i];
            }
        }
        let mut pull: Vec<f64> = self.held.iter().map(|&i| b[i]).collect();
        if !linear::cholesky_solve(&mut inner, m, &mut pull, clock) {
            return false;
        }
        for (pull, column) in pull.iter().zip(&self.columns) {
            b.iter_mut().zip(column).for_each(|(b, x)| *b -= pull * x);
        }
        self.held.iter().for_each(|&i| b[i] = 0.0);
        true
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
        assert!(border.solve(&factor, &mut b, &mut clock));
        assert!(b.iter().zip([0.25, 0.0, 1.5]).all(|(x, want)| (x - want).abs() < 1e-14), "{b:?}");
    }
}
