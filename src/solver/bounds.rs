//! Bounds on coefficients: each stays within an interval that holds 0.
//!
//! An interval is a convex penalty that is 0 inside and infinite outside, so it joins the elastic net of its coordinate: the
//! minimum along one coordinate is that without bounds, clipped, and a conjugate ends its parabola where the coefficient
//! ends. 0 lies in each, so that the null model, λ_max and absent columns mean what they mean without bounds. They are on the
//! original scale, as all coefficients are here.

use super::inner::{Coordinates, prox};
use super::{Penalty, Problem, Shape, Unfit};

/// Where coefficients must stay: an interval for each **stored column**, −∞ and ∞ where it has no end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds<'a> {
    /// The lower ends, at most 0.
    pub low: &'a [f64],
    /// The upper ends, at least 0.
    pub high: &'a [f64],
}

impl Bounds<'_> {
    /// Whether column `j` must stay at 0.
    pub(crate) fn closed(&self, j: usize) -> bool {
        self.low[j] == 0.0 && self.high[j] == 0.0
    }

    fn open(&self, j: usize) -> bool {
        self.low[j] == f64::NEG_INFINITY && self.high[j] == f64::INFINITY
    }
}

/// What the types do not say. An unpenalised column has no bounds but to be at 0: its half-open interval would ask for a dual
/// point on one side of it, which no scaling of one finds.
pub(super) fn check(penalty: &Penalty, n_columns: usize) -> Result<(), Unfit> {
    let Some(bounds) = penalty.bounds else { return Ok(()) };
    if bounds.low.len() != n_columns || bounds.high.len() != n_columns {
        return Err(Unfit::Shape);
    }
    let unpenalised = |j: usize| penalty.factors.is_some_and(|f| f[j] == 0.0);
    let legal = |j: usize| {
        // not so for NaN
        bounds.low[j] <= 0.0 && bounds.high[j] >= 0.0 && (!unpenalised(j) || bounds.closed(j) || bounds.open(j))
    };
    if penalty.shape == Shape::Net && (0..n_columns).all(legal) { Ok(()) } else { Err(Unfit::Penalty) }
}

/// sup of excess·w − l2/2·w² over 0 ≤ w ≤ reach: the conjugate of one coordinate where |c| is `excess` above its L1 part.
pub(super) fn conjugate_within(excess: f64, l2: f64, reach: f64) -> f64 {
    if l2 > 0.0 && excess <= l2 * reach {
        excess * excess / (2.0 * l2)
    } else if excess > 0.0 {
        // at the end; without an L2 part it may be infinitely far
        excess * reach - if l2 > 0.0 { 0.5 * l2 * reach * reach } else { 0.0 }
    } else {
        0.0
    }
}

impl Problem<'_> {
    pub(crate) fn is_bounded(&self) -> bool {
        self.penalty.bounds.is_some()
    }

    /// How hard the descent direction `c` pushes column `j` from 0 to where it may go.
    pub(crate) fn push(&self, j: usize, c: f64) -> f64 {
        if self.is_bounded() && self.reach(j, c) == 0.0 { 0.0 } else { c.abs() }
    }

    /// How far the coefficient of column `j` may go from 0 in the direction of `c`.
    pub(crate) fn reach(&self, j: usize, c: f64) -> f64 {
        self.penalty.bounds.map_or(f64::INFINITY, |bounds| if c > 0.0 { bounds.high[j] } else { -bounds.low[j] })
    }

    /// The coefficient `w` of column `j`, or the end of its interval that is nearest.
    pub(crate) fn within(&self, j: usize, w: f64) -> f64 {
        self.penalty.bounds.map_or(w, |bounds| w.clamp(bounds.low[j], bounds.high[j]))
    }

    /// The intervals of these columns; none without bounds.
    pub(crate) fn bounds_of(&self, set: &[u32]) -> Vec<[f64; 2]> {
        let of = |bounds: Bounds| set.iter().map(|&j| [bounds.low[j as usize], bounds.high[j as usize]]).collect();
        self.penalty.bounds.map_or_else(Vec::new, of)
    }
}

impl Coordinates {
    /// argmin over w of ½·bend·w² − z·w + l1·|w| within the bounds of coordinate `k`.
    pub(super) fn prox(&self, k: usize, z: f64, bend: f64) -> f64 {
        self.stop(k, prox(z, self.l1[k], bend))
    }

    /// `w`, or the bound of coordinate `k` that it lies beyond.
    pub(super) fn stop(&self, k: usize, w: f64) -> f64 {
        self.bounds.get(k).map_or(w, |&[low, high]| w.clamp(low, high))
    }

    /// How far coordinate `k` may go from 0 in the direction of `c`.
    pub(super) fn reach(&self, k: usize, c: f64) -> f64 {
        self.bounds.get(k).map_or(f64::INFINITY, |&[low, high]| if c > 0.0 { high } else { -low })
    }

    /// Where coordinate `k` ends in the direction of `d`.
    pub(super) fn end(&self, k: usize, d: f64) -> f64 {
        self.reach(k, d).copysign(d)
    }

    /// Whether the gradient `c` holds coordinate `k` at a bound other than 0.
    pub(super) fn is_held(&self, k: usize, c: f64) -> bool {
        let w = self.w[k];
        let at_end = w != 0.0 && !self.bounds.is_empty() && w == self.end(k, w);
        at_end && (c - self.l2[k] * w) * w.signum() >= self.l1[k]
    }

    /// Whether the gradient `c` leaves coordinate `k` something to do.
    pub(super) fn moves(&self, k: usize, c: f64) -> bool {
        if self.w[k] != 0.0 {
            return !self.is_held(k, c);
        }
        self.is_free(k) || (c.abs() > self.l1[k] && self.reach(k, c) > 0.0)
    }

    /// Takes the step `d`. One that was cut short to end at a bound ends there, not a rounding beside it.
    pub(super) fn go(&mut self, d: &[f64]) {
        self.w.iter_mut().zip(d).for_each(|(w, d)| *w += d);
        for (w, &[low, high]) in self.w.iter_mut().zip(&self.bounds) {
            let near = |end: f64| end.is_finite() && (*w - end).abs() <= 4.0 * f64::EPSILON * end.abs();
            *w = [low, high].into_iter().find(|&end| near(end)).unwrap_or_else(|| w.clamp(low, high));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVALS: [[f64; 2]; 5] =
        [[0.0, f64::INFINITY], [-0.4, 0.0], [-0.25, 0.75], [f64::NEG_INFINITY, f64::INFINITY], [f64::NEG_INFINITY, 1.5]];

    fn grid([low, high]: [f64; 2]) -> impl Iterator<Item = f64> {
        (-50_000..=50_000).map(|k| f64::from(k) * 1e-4).filter(move |w| (low..=high).contains(w))
    }

    fn alone(l1: f64, l2: f64, bounds: [f64; 2]) -> Coordinates {
        Coordinates { w: vec![0.0], l1: vec![l1], l2: vec![l2], bounds: vec![bounds] }
    }

    #[test]
    fn the_prox_within_bounds_agrees_with_brute_force() {
        for bounds in INTERVALS {
            for (z, l1, bend) in [(2.0, 0.5, 1.5), (-1.0, 0.3, 0.7), (0.2, 0.3, 1.0), (-3.0, 0.0, 2.0), (0.9, 0.0, 1.0)] {
                let value = |w: f64| 0.5 * bend * w * w - z * w + l1 * w.abs();
                let best = grid(bounds).min_by(|a, b| value(*a).total_cmp(&value(*b))).unwrap_or(f64::NAN);
                let found = alone(l1, 0.0, bounds).prox(0, z, bend);
                assert!((best - found).abs() <= 1e-4, "{bounds:?} {z}: {found} and {best}");
            }
        }
    }

    #[test]
    fn the_conjugate_within_bounds_agrees_with_brute_force_and_tells_what_moves() {
        for bounds in INTERVALS {
            for (c, l1, l2) in [(1.0, 0.4, 0.0), (-1.3, 0.4, 0.0), (1.0, 0.4, 0.5), (-2.0, 0.1, 2.0), (0.3, 0.4, 0.0), (1.0, 0.0, 3.0)] {
                let value = |w: f64| c * w - l1 * w.abs() - 0.5 * l2 * w * w;
                let best = grid(bounds).map(value).fold(f64::NEG_INFINITY, f64::max);
                let at = alone(l1, l2, bounds);
                let found = conjugate_within((c.abs() - l1).max(0.0), l2, at.reach(0, c));
                // the grid ends at ±5
                let unbounded = at.reach(0, c) == f64::INFINITY && l2 == 0.0 && c.abs() > l1;
                assert!(
                    if unbounded { found == f64::INFINITY } else { (best - found).abs() <= 1e-4 },
                    "{bounds:?} {c}: {found} and {best}"
                );
                assert_eq!(at.moves(0, c), best > 0.0, "{bounds:?} {c}");
            }
        }
    }

    #[test]
    fn a_step_to_a_bound_ends_at_it_and_what_pushes_on_is_held_there() {
        let mut at = Coordinates { w: vec![0.1], l1: vec![0.5], l2: vec![1.0], bounds: vec![[-0.3, 0.7]] };
        at.go(&[0.7 - 0.1]);
        assert_eq!(at.w, [0.7]);
        assert!(at.is_held(0, 1.2 + 1e-9) && !at.is_held(0, 1.2 - 1e-9) && !at.is_held(0, -9.0));
        at.go(&[-1.0]);
        assert!(at.is_held(0, -0.9) && !at.is_held(0, -0.7));
        at.go(&[0.1]);
        assert!((at.w[0] + 0.2).abs() < 1e-15 && !at.is_held(0, -9.0));
    }
}
