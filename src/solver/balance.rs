//! What the rows of a problem come to at linear predictors: residuals, the best intercept, the mean loss and its conjugate.
//!
//! Knows neither columns nor penalties. Of a loss with an exponential each row has one taken, which serves residual and loss.

use std::ops::Range;

use super::clock::Clock;
use super::loss::weighed;
use super::{Loss, Problem};
use crate::matrix;

/// A move of the intercept so short that what it leaves of its square is below rounding: it needs no new exponentials.
const SHORT: f64 = 1e-8;

impl Problem<'_> {
    /// Units of work of the loss of one row.
    fn row_cost(&self) -> usize {
        match self.loss {
            Loss::Squared | Loss::Huber { .. } | Loss::SquaredHinge => 1,
            Loss::Logistic | Loss::Poisson => 2,
        }
    }

    /// Mean loss at linear predictors `eta`; worth nothing when `clock` said stop.
    pub(crate) fn mean_loss(&self, eta: &[f64], clock: &mut Clock) -> f64 {
        self.mean(eta, clock, |y, eta, values| self.loss.values(y, eta, values))
    }

    /// Σ share·loss*(−tθ/share); worth nothing when `clock` said stop.
    pub(crate) fn mean_conjugate(&self, theta: &[f64], t: f64, clock: &mut Clock) -> f64 {
        let rows = theta.iter().zip(&self.share);
        let u: Vec<f64> = rows.map(|(theta, share)| if *share > 0.0 { t * theta / share } else { 0.0 }).collect();
        self.mean(&u, clock, |y, u, conjugates| self.loss.conjugates(y, u, conjugates))
    }

    /// Σ share·f(y, at) over the rows with weight; `f` writes the values of many rows.
    fn mean(&self, at: &[f64], clock: &mut Clock, f: impl Fn(&[f64], &[f64], &mut [f64])) -> f64 {
        self.mean_by_rows(at.len(), clock, |rows, values| f(&self.data.y[rows.clone()], &at[rows], values))
    }

    /// The mean loss at `eta`, of which `powers` are the exponentials, if the loss has such.
    fn loss_by_powers(&self, eta: &[f64], powers: &[f64], clock: &mut Clock) -> f64 {
        if powers.is_empty() {
            return self.mean_loss(eta, clock);
        }
        let of = |rows: Range<usize>, values: &mut [f64]| {
            self.loss.values_by_powers(&self.data.y[rows.clone()], &eta[rows.clone()], &powers[rows], values);
        };
        self.mean_by_rows(eta.len(), clock, of)
    }

    fn mean_by_rows(&self, n: usize, clock: &mut Clock, f: impl Fn(Range<usize>, &mut [f64])) -> f64 {
        let (mut sum, mut values) = (0.0, Vec::new());
        clock.rows(n, self.row_cost(), |rows| {
            values.resize(rows.len(), 0.0);
            f(rows.clone(), &mut values);
            let share = &self.share[rows];
            // what a row without weight holds may be anything
            values.iter_mut().zip(share).for_each(|(value, share)| *value = if *share > 0.0 { *value } else { 0.0 });
            sum += matrix::dot(share, &values);
        });
        sum
    }

    /// −share·loss'(η) into `theta`, the exponentials of that into `powers`, and sums of it.
    fn descents(&self, eta: &[f64], theta: &mut [f64], powers: &mut [f64], clock: &mut Clock) -> Sums {
        let (mut sums, mut bends) = (Sums::default(), Vec::new());
        clock.rows(eta.len(), self.row_cost(), |rows| {
            let (here, y, share) = (&mut theta[rows.clone()], &self.data.y[rows.clone()], &self.share[rows.clone()]);
            if powers.is_empty() {
                self.loss.descents(y, &eta[rows], here);
            } else {
                self.loss.descents_by_powers(y, &eta[rows.clone()], &mut powers[rows], here);
            }
            if self.loss == Loss::Logistic {
                let [sum, size, bend] = weighed(here, share);
                (sums.sum, sums.size, sums.bend) = (sums.sum + sum, sums.size + size, sums.bend + bend);
                return;
            }
            // what a row without weight holds may be anything
            here.iter_mut().zip(share).for_each(|(r, share)| *r = if *share > 0.0 { *r } else { 0.0 });
            if self.options.intercept {
                bends.resize(here.len(), 0.0);
                bends.iter_mut().zip(&*here).zip(y).for_each(|((bend, r), &y)| *bend = self.loss.curvature(y, *r));
                sums.bend += matrix::dot(share, &bends);
                bends.iter_mut().zip(&*here).for_each(|(size, r)| *size = r.abs());
                sums.size += matrix::dot(share, &bends);
                sums.sum += matrix::dot(share, here);
            }
            here.iter_mut().zip(share).for_each(|(r, share)| *r *= share);
        });
        sums
    }

    /// Moves `b` and `eta` to the best intercept and returns θ_i = −share_i·loss'(η_i), whose sum is then 0 but for
    /// rounding, and the mean loss. Without an intercept nothing is moved. All of it is worth nothing when `clock` said stop.
    pub(crate) fn balance(&self, eta: &mut [f64], b: &mut f64, clock: &mut Clock) -> (Vec<f64>, f64) {
        let mut theta = vec![0.0; eta.len()];
        let mut powers = vec![0.0; if self.loss.has_powers() { eta.len() } else { 0 }];
        let mut sums = self.descents(eta, &mut theta, &mut powers, clock);
        let known = if self.options.intercept { self.find_intercept(eta, b, (&mut theta, &mut powers), &mut sums, clock) } else { None };
        let loss = known.unwrap_or_else(|| self.loss_by_powers(eta, &powers, clock));
        (theta, loss)
    }

    /// Moves `b` and `eta` to the best intercept; the mean loss there, if it came to be known.
    fn find_intercept(
        &self,
        eta: &mut [f64],
        b: &mut f64,
        (theta, powers): (&mut [f64], &mut [f64]),
        sums: &mut Sums,
        clock: &mut Clock,
    ) -> Option<f64> {
        // Newton kept inside a bracket: the sum of θ falls as b rises.
        let piecewise = self.loss.is_piecewise();
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        // a sum of few parabolas turns rounding into long steps: no more is asked of it than a sum over so many rows can hold
        let still = if piecewise { 1e-15 * (eta.len() as f64).sqrt() } else { 1e-15 };
        for round in 0..100 {
            if !clock.work(4 * eta.len()) {
                break;
            }
            let Sums { sum, size, bend } = *sums;
            if sum.abs() <= still * size {
                break;
            }
            if piecewise && round == 0 {
                (low, high) = self.reach_of_intercept(eta, *b);
            }
            if sum > 0.0 {
                low = *b
            } else {
                high = *b
            }
            let step = sum / bend.max(f64::MIN_POSITIVE);
            let mut next = *b + if self.loss == Loss::Squared || piecewise { step } else { step.clamp(-4.0, 4.0) };
            // pieces may lead in a circle, halves of them do not
            let astray = !(next > low && next < high) || (piecewise && round % 4 == 3);
            if astray && piecewise {
                next = self.middle_bend(eta, *b, low, high).unwrap_or(0.5 * (low + high));
            } else if astray {
                next = if low.is_finite() && high.is_finite() { 0.5 * (low + high) } else { next };
            }
            let moved = next - *b;
            if moved == 0.0 || !moved.is_finite() {
                break;
            }
            let last = !powers.is_empty() && moved.abs() <= SHORT;
            let loss = if last { self.loss_by_powers(eta, powers, clock) } else { 0.0 };
            eta.iter_mut().for_each(|eta| *eta += moved);
            *b = next;
            if last {
                for ((theta, &share), &y) in theta.iter_mut().zip(&self.share).zip(self.data.y) {
                    *theta -= if share > 0.0 { share * self.loss.curvature(y, *theta / share) * moved } else { 0.0 };
                }
                return Some(loss + (0.5 * bend * moved - sum) * moved);
            }
            *sums = self.descents(eta, theta, powers, clock);
            if moved.abs() <= 4.0 * f64::EPSILON * b.abs() {
                break;
            }
        }
        None
    }

    /// Where the best intercept lies for a piecewise loss, told from intercept `b`: with y on one side of every η, so is the sum of θ.
    fn reach_of_intercept(&self, eta: &[f64], b: f64) -> (f64, f64) {
        let used = eta.iter().zip(self.data.y).zip(&self.share).filter(|(_, share)| **share > 0.0);
        let (least, most) =
            used.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ((eta, y), _)| (low.min(y - eta), high.max(y - eta)));
        (b + least, b + most)
    }

    /// The middle one of the intercepts between `low` and `high` at which a row comes to another piece of its loss.
    fn middle_bend(&self, eta: &[f64], b: f64, low: f64, high: f64) -> Option<f64> {
        let reach = if let Loss::Huber { delta } = self.loss { [-delta, delta] } else { [0.0; 2] };
        let used = eta.iter().zip(self.data.y).zip(&self.share).filter(|(_, share)| **share > 0.0);
        let all = used.flat_map(|((eta, y), _)| reach.map(|side| b + (y - eta) + side));
        let mut bends: Vec<f64> = all.filter(|bend| *bend > low && *bend < high).collect();
        let middle = bends.len() / 2;
        (!bends.is_empty()).then(|| *bends.select_nth_unstable_by(middle, f64::total_cmp).1)
    }
}

/// Sums over θ, kept only with an intercept.
#[derive(Clone, Copy, Default)]
struct Sums {
    /// Σ θ.
    sum: f64,
    /// Σ |θ|.
    size: f64,
    /// Σ share·loss''.
    bend: f64,
}
