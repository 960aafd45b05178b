//! The dual objective at a rescaled residual: the lower bound that a solve stops on.
//!
//! For coefficients w and θ = −share·loss'(η) the dual value at t·θ is
//! −Σ share·loss*(−tθ/share) − t·Σθ·offset − Σ pen*(t·c), c = Xᵀθ (Ndiaye et al., JMLR 2017). Columns without an L2
//! part need t·|c| ≤ their bound; columns with one, or whose coefficient may not go far, need nothing. θ must sum to 0 when there is an intercept and be
//! orthogonal to the unpenalised columns.

use super::bounds::conjugate_within;
use super::clock::Clock;
use super::loss::stretches;
use super::{Loss, Problem};

/// Bound, L2 part and product c of one penalised column, and how far its coefficient may go to that side.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    pub(crate) l1: f64,
    pub(crate) l2: f64,
    pub(crate) c: f64,
    /// ∞ = as far as it likes.
    pub(crate) reach: f64,
}

/// The point whose residuals a dual point is made of: there Fenchel's inequality is an equality, and next to it no logarithm is needed.
#[derive(Clone, Copy)]
pub(crate) struct Primal<'p> {
    pub(crate) eta: &'p [f64],
    /// The mean loss there.
    pub(crate) loss: f64,
    /// F there.
    pub(crate) whole: f64,
}

/// A bound instead of the loss part of a dual value may be below it by this share of the gap, and of a gap that is not the last.
const SHARP: f64 = 0.02;
const ROUGH: f64 = 0.3;

/// A product above its bound and this near to it belongs to a coefficient between its ends, but for what is still to be done.
pub(super) const CLOSE: f64 = 0.9;

/// The best dual value among a few rescalings of `theta` by at most `slack`, given the penalised columns; worth nothing
/// when `clock` said stop. A `slack` of 0 says that `theta` is not feasible: then the point 0 gives the value.
///
/// Next to `primal`, the point that θ is of if it is of one, the value may be a bound a little below it.
pub(crate) fn dual_value(
    problem: &Problem,
    (theta, primal): (&[f64], Option<Primal>),
    sides: impl Iterator<Item = Side>,
    slack: f64,
    clock: &mut Clock,
) -> f64 {
    let line = Line::new(problem, theta, primal.filter(|_| problem.loss.has_powers()));
    if slack == 0.0 {
        return -problem.mean_conjugate(theta, 0.0, clock);
    }
    // where the loss part has its top, if it is a parabola
    let best = if line.square > 0.0 { (line.linear / line.square).clamp(-slack, slack) } else { 0.0 };
    // with bounds the other side of a product is another constraint
    let best = if problem.loss == Loss::SquaredHinge || problem.is_bounded() { best.max(0.0) } else { best };
    let reach = best.abs().max(1.0);
    // the tightest of l1/|c| over the columns that nothing else holds back, neither an L2 part nor a bound, and over all that have an L1 part
    let (mut hard, mut soft, mut close) = (Tightest::default(), Tightest::default(), Tightest::default());
    let mut over = Vec::new();
    let mut is_soft = false;
    for side in sides {
        let c = side.c.abs();
        if side.reach == 0.0 {
            continue;
        }
        if side.l2 > 0.0 || side.reach < f64::INFINITY {
            is_soft = true;
            if side.l1 < reach * c {
                over.push(side);
            }
            if side.l1 > 0.0 {
                soft.see(side.l1, c);
            }
            if side.l1 > CLOSE * c {
                close.see(side.l1, c);
            }
        } else {
            hard.see(side.l1, c);
        }
    }
    let hard = hard.ratio().min(line.domain);
    let soft = soft.ratio().min(hard);
    let mut scales = vec![1.0f64.min(hard)];
    if line.parabola {
        scales.push(best.clamp(-hard, hard));
        if is_soft && soft > 0.0 {
            scales.push(best.clamp(-soft, soft));
        }
    }
    if is_soft && soft > 0.0 {
        scales.push(1.0f64.min(soft));
    }
    if problem.is_bounded() {
        // coefficients at their bounds keep the others from being scaled to theirs
        scales.push(1.0f64.min(close.ratio()).min(hard));
    }
    let penalty = |t: f64| -> f64 {
        let excess = |s: &Side| ((t * s.c).abs() - s.l1).max(0.0);
        over.iter().map(|s| conjugate_within(excess(s), s.l2, s.reach)).sum()
    };
    scales.into_iter().map(|t| line.value(t, clock) - penalty(t)).fold(f64::NEG_INFINITY, f64::max)
}

/// The smallest ratio l1/|c|, found without dividing.
struct Tightest {
    l1: f64,
    c: f64,
}

impl Default for Tightest {
    fn default() -> Self {
        Self { l1: 1.0, c: 0.0 }
    }
}

impl Tightest {
    fn see(&mut self, l1: f64, c: f64) {
        if l1 * self.c < self.l1 * c {
            *self = Self { l1, c };
        }
    }

    fn ratio(&self) -> f64 {
        if self.c == 0.0 { f64::INFINITY } else { self.l1 / self.c }
    }
}

/// The loss part of the dual along t·θ.
struct Line<'p, 'a> {
    problem: &'p Problem<'a>,
    theta: &'p [f64],
    primal: Option<Primal<'p>>,
    /// Whether it is t·linear − ½t²·square.
    parabola: bool,
    /// Σθ(y − o).
    linear: f64,
    /// Σθ²/share, half of it for the squared hinge.
    square: f64,
    /// Largest t in the domain of the conjugate.
    domain: f64,
}

impl<'p, 'a> Line<'p, 'a> {
    fn new(problem: &'p Problem<'a>, theta: &'p [f64], primal: Option<Primal<'p>>) -> Self {
        let parabola = problem.loss == Loss::Squared || problem.loss.is_piecewise();
        let mut line = Self { problem, theta, primal, parabola, linear: 0.0, square: 0.0, domain: f64::INFINITY };
        if parabola {
            let offset = problem.data.offset;
            for (i, (&theta, &share)) in theta.iter().zip(&problem.share).enumerate().filter(|(_, (_, s))| **s > 0.0) {
                line.linear += theta * (problem.data.y[i] - offset.map_or(0.0, |o| o[i]));
                line.square += theta * theta / share;
            }
        }
        if problem.loss == Loss::SquaredHinge {
            line.square *= 0.5;
        }
        if problem.loss.is_piecewise() {
            let rows = theta.iter().zip(&problem.share).zip(problem.data.y).filter(|((_, s), _)| **s > 0.0);
            line.domain = rows.map(|((theta, share), &y)| problem.loss.reach(y, theta / share)).fold(f64::INFINITY, f64::min);
        }
        line
    }

    fn value(&self, t: f64, clock: &mut Clock) -> f64 {
        let problem = self.problem;
        if self.parabola {
            return t * self.linear - 0.5 * t * t * self.square;
        }
        let offsets = problem.data.offset.map_or(0.0, |o| t * crate::matrix::dot(self.theta, o));
        let bound = self.primal.and_then(|primal| self.near(&primal, t, offsets, clock));
        bound.unwrap_or_else(|| -offsets - problem.mean_conjugate(self.theta, t, clock))
    }

    /// A bound from below for t near 1, where it is as good as the value.
    ///
    /// Of φ(t) = Σ share·loss*(−tθ/share) one knows φ(1) = −Σθη − loss and φ'(1) = −Σθη. For the logistic loss φ''(s) = ψ(s)/s with
    /// ψ(s) = Σ share·a/(1 − sa), a = |θ|/share: both factors are convex, and below their chords between t and 1.
    fn near(&self, primal: &Primal, t: f64, offsets: f64, clock: &mut Clock) -> Option<f64> {
        let problem = self.problem;
        if !(t == 1.0 || (t > 0.5 && t < 1.0 && problem.loss == Loss::Logistic)) {
            return None;
        }
        clock.work(2 * self.theta.len());
        let tangent = primal.loss + t * crate::matrix::dot(self.theta, primal.eta) - offsets;
        let short = 1.0 - t;
        if short == 0.0 {
            return Some(tangent);
        }
        let [here, slope, end] = stretches(self.theta, &problem.share, t);
        let (rise, fall) = (end - here, 1.0 - 1.0 / t);
        let most = short * short * (0.5 * here / t + (rise / t + fall * here) / 3.0 + 0.25 * fall * rise);
        // no chord is further above than from the tangent at t
        let above = short * short * ((rise - slope * short) / (3.0 * t) + 0.125 * short * short * end / (t * t * t));
        // the gap is no less than this
        let gap = primal.whole - tangent + most - above;
        let loose = if gap > 2.0 * problem.options.tol * problem.unit() { ROUGH } else { SHARP };
        (above <= loose * gap).then_some(tangent - most)
    }
}
