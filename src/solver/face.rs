//! Newton steps on the support of a model whose products are known.
//!
//! One factor serves a whole search, in which a coefficient that would change its sign stops at 0 and is then held there by
//! a border of the system (a Schur complement) instead of a new factor. What a step does to the gradients is the right side
//! that it was solved for, so that only what stops at 0 costs products.

use super::clock::Clock;
use super::gram::Products;
use super::inner::Coordinates;
use super::linear;

/// A column of the support whose square of the distance to the span of the others is below this share of its length's
/// square takes no part in a Newton step.
const DEPENDENT: f64 = 1e-7;

/// The columns that may move, with the factor of their products. Unknowns are positions in `support`.
pub(super) struct Face<'f> {
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
    pub(super) fn new(
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
    pub(super) fn descend(&mut self, at: &mut Coordinates, clock: &mut Clock) -> bool {
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
                // at the end of this face: only along what depends on the rest may it go on
                match self.slide_all(at, clock) {
                    Some(stopped) => crossed.push(stopped),
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

    /// Shortens a step, the solution for `downhill`, until the objective falls; which unknowns stopped at 0 and whether the
    /// step was a full one, or `None`.
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
            // (unknown, how much further or less it goes than the step)
            let mut crossed: Vec<(usize, f64)> = Vec::new();
            let mut penalty = 0.0;
            for (i, (&k, step)) in self.support.iter().zip(step).enumerate().filter(|(_, (_, step))| **step != 0.0) {
                let (w, d) = (at.w[k], length * step);
                if !at.is_free(k) && at.l1[k] > 0.0 && (w + d) * w <= 0.0 && w != 0.0 {
                    crossed.push((i, -w - d));
                    penalty -= at.penalty(k, w);
                } else {
                    penalty += at.l1[k] * w.signum() * d + at.l2[k] * d * (w + 0.5 * d);
                }
            }
            // More than a third at once: the signs are far from settled, a shorter step is the better bet.
            if crossed.len() * 3 <= s + 6 {
                let (mut slope, mut bend) = (length * slope, length * length * bend);
                for (n, &(i, rest)) in crossed.iter().enumerate() {
                    slope += rest * self.gradient[i];
                    let others: f64 = crossed[..n].iter().map(|&(j, other)| other * self.product(i, j)).sum();
                    bend += rest * (2.0 * length * takes[i] + 2.0 * others + rest * self.product(i, i));
                }
                clock.work(crossed.len() * (crossed.len() + s) / 2);
                if 0.5 * bend - slope + penalty < 0.0 {
                    self.take(at, step, length, &takes, &crossed);
                    return Some((crossed.into_iter().map(|(i, _)| i).collect(), length == 1.0));
                }
            }
            length *= 0.4;
        }
        None
    }

    fn take(&mut self, at: &mut Coordinates, step: &[f64], length: f64, takes: &[f64], crossed: &[(usize, f64)]) {
        self.support.iter().zip(step).for_each(|(&k, step)| at.w[k] += length * step);
        self.gradient.iter_mut().zip(takes).for_each(|(c, x)| *c -= length * x);
        for &(i, rest) in crossed {
            at.w[self.support[i]] = 0.0;
            let row = self.products.row(self.place[i]);
            self.gradient.iter_mut().zip(&self.place).for_each(|(c, &place)| *c -= rest * row[place]);
        }
    }

    /// Slides the unknowns that depend on others, until one of the others stops at 0: which one.
    fn slide_all(&mut self, at: &mut Coordinates, clock: &mut Clock) -> Option<usize> {
        for _ in 0..2 * self.dependent.len() {
            let off = |i: usize| if at.w[self.support[i]] == 0.0 { 0.0 } else { self.downhill(at, i).abs() };
            let &worst = self.dependent.iter().max_by(|&&a, &&b| off(a).total_cmp(&off(b)))?;
            if off(worst) <= 1e-7 * at.l1[self.support[worst]] {
                return None;
            }
            clock.progress.epoch += 1;
            let stopped = self.slide(at, worst, clock)?;
            if stopped.is_some_and(|i| !self.dependent.contains(&i)) {
                return stopped;
            }
        }
        None
    }

    /// Moves along the combination of unknown `i` with those it depends on that hardly changes the model: downhill by the
    /// penalty, until one of them comes to 0 (which one) or the model has its least. `None` when that gives nothing.
    fn slide(&mut self, at: &mut Coordinates, i: usize, clock: &mut Clock) -> Option<Option<usize>> {
        let s = self.support.len();
        let mut x: Vec<f64> = (0..s).map(|other| -self.product(i, other)).collect();
        x[i] = 0.0;
        if !clock.work(s * (s + self.dependent.len()) / 4) {
            return None;
        }
        self.border.solve(&self.factor, &mut x);
        self.dependent.iter().for_each(|&i| x[i] = 0.0);
        x[i] = 1.0;
        let (mut slope, mut bend) = (0.0, 0.0);
        for (i, (&k, x)) in self.support.iter().zip(&x).enumerate().filter(|(_, (_, x))| **x != 0.0) {
            slope += x * self.downhill(at, i);
            bend += at.l2[k] * x * x;
        }
        // those that take part in the factor feel nothing of it but their own L2 part
        let mut takes: Vec<f64> = self.support.iter().zip(&x).map(|(&k, x)| -at.l2[k] * x).collect();
        for &i in &self.dependent {
            let row = self.products.row(self.place[i]);
            takes[i] = self.place.iter().zip(&x).map(|(&place, x)| x * row[place]).sum();
        }
        bend += x.iter().zip(&takes).map(|(x, takes)| x * takes).sum::<f64>();
        let reach = |(i, (&k, x)): (usize, (&usize, &f64))| {
            let falls = at.l1[k] > 0.0 && at.w[k] * x * slope < 0.0;
            falls.then(|| (i, -at.w[k] / x))
        };
        let reached = self.support.iter().zip(&x).enumerate().filter_map(reach).min_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
        let least = if bend > 0.0 { slope / bend } else { f64::INFINITY };
        let (stopped, length) = match reached {
            Some((i, length)) if length.abs() <= least.abs() => (Some(i), length),
            _ if least.is_finite() => (None, least),
            _ => return None,
        };
        // no coefficient changes its sign on the way
        if length * slope - 0.5 * length * length * bend <= 0.0 {
            return None;
        }
        self.support.iter().zip(&x).for_each(|(&k, x)| at.w[k] += length * x);
        self.gradient.iter_mut().zip(&takes).for_each(|(c, x)| *c -= length * x);
        if let Some(i) = stopped {
            at.w[self.support[i]] = 0.0;
        }
        Some(stopped)
    }
}

/// Solves with a factor while some unknowns are held at 0.
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
