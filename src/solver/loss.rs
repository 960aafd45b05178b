//! The losses: value, slope, curvature and conjugate, at one row and at many.
//!
//! Knows nothing of matrices and penalties.

use super::Loss;
use crate::numeric::{exp, ln, ln_1p, widest};

/// Partial sums over rows.
const LANES: usize = 8;
/// How far outside its domain a conjugate still counts as on the edge.
const EDGE: f64 = 1e-12;
/// How near to δ, as a share of it, the residual of a Huber loss counts as cut off.
const CUT: f64 = 1e-12;

impl Loss {
    /// loss(y, η).
    #[inline(always)]
    pub(crate) fn value(self, y: f64, eta: f64) -> f64 {
        match self {
            Self::Squared => 0.5 * (y - eta) * (y - eta),
            Self::Huber { delta } => {
                let size = (y - eta).abs();
                if size <= delta { 0.5 * size * size } else { delta * (size - 0.5 * delta) }
            }
            Self::SquaredHinge => {
                let short = (1.0 - y * eta).max(0.0);
                short * short
            }
            Self::Logistic => logistic_value(y, eta),
            Self::Poisson => poisson_value(y, eta),
        }
    }

    /// −∂loss/∂η: the residual.
    #[inline(always)]
    pub(crate) fn descent(self, y: f64, eta: f64) -> f64 {
        match self {
            Self::Squared => y - eta,
            Self::Huber { delta } => (y - eta).clamp(-delta, delta),
            Self::SquaredHinge => 2.0 * y * (1.0 - y * eta).max(0.0),
            Self::Logistic => logistic_descent(y, eta),
            Self::Poisson => poisson_descent(y, eta),
        }
    }

    /// ∂²loss/∂η², given the residual.
    pub(crate) fn curvature(self, y: f64, residual: f64) -> f64 {
        match self {
            Self::Squared => 1.0,
            Self::SquaredHinge => 2.0 * f64::from(y * residual > 0.0),
            Self::Huber { delta } => f64::from(residual.abs() < delta * (1.0 - CUT)),
            Self::Logistic => residual.abs() * (1.0 - residual.abs()),
            Self::Poisson => y - residual,
        }
    }

    /// The convex conjugate loss*(y, −u): sup over η of −uη − loss(y, η); infinite outside its domain.
    #[inline(always)]
    pub(crate) fn conjugate(self, y: f64, u: f64) -> f64 {
        match self {
            Self::Squared => 0.5 * u * u - u * y,
            Self::Huber { delta } => {
                let inside = u.clamp(-delta, delta);
                if u.abs() <= delta * (1.0 + EDGE) { 0.5 * inside * inside - inside * y } else { f64::INFINITY }
            }
            Self::SquaredHinge => {
                let inside = (u * y).max(0.0);
                if u * y >= -EDGE { inside * (0.25 * inside - 1.0) } else { f64::INFINITY }
            }
            Self::Logistic => logistic_conjugate(y, u),
            Self::Poisson => poisson_conjugate(y, u),
        }
    }

    /// How far the dual may move at a row without leaving the domain of the conjugate, given the residual: 0 at its edge,
    /// falling to it no slower than the way there. The curvature, where that does so.
    pub(crate) fn room(self, y: f64, residual: f64) -> f64 {
        match self {
            Self::Huber { delta } => self.curvature(y, residual) * (1.0 - (residual / delta).powi(2)),
            Self::SquaredHinge => y * residual,
            Self::Squared | Self::Logistic | Self::Poisson => self.curvature(y, residual),
        }
    }

    /// Largest t at which t·u is in the domain of the conjugate.
    pub(crate) fn reach(self, y: f64, u: f64) -> f64 {
        match self {
            Self::Huber { delta } => delta / u.abs(),
            Self::SquaredHinge if u * y < -EDGE => 0.0,
            _ => f64::INFINITY,
        }
    }

    /// Whether the loss is made of parabolas and straight lines: its residual is then linear between bends.
    pub(crate) fn is_piecewise(self) -> bool {
        matches!(self, Self::Huber { .. } | Self::SquaredHinge)
    }

    /// The values of many rows, into `values`.
    pub(crate) fn values(self, y: &[f64], eta: &[f64], values: &mut [f64]) {
        match self {
            Self::Squared => rows(y, eta, values, |y, eta| Self::Squared.value(y, eta)),
            Self::Huber { .. } | Self::SquaredHinge => rows(y, eta, values, |y, eta| self.value(y, eta)),
            Self::Logistic => logistic_values(y, eta, values),
            Self::Poisson => poisson_values(y, eta, values),
        }
    }

    /// Whether residual and value of a row are made of one exponential.
    pub(crate) fn has_powers(self) -> bool {
        matches!(self, Self::Logistic | Self::Poisson)
    }

    /// The residuals of many rows, into `residuals`, and the exponentials they are made of, into `powers`; for a loss that has those.
    pub(crate) fn descents_by_powers(self, y: &[f64], eta: &[f64], powers: &mut [f64], residuals: &mut [f64]) {
        if self == Self::Logistic {
            logistic_powers(y, eta, powers);
            logistic_descents_by_powers(y, eta, powers, residuals);
        } else {
            poisson_powers(y, eta, powers);
            poisson_descents_by_powers(y, powers, residuals);
        }
    }

    /// The values of many rows, of which `powers` are the exponentials.
    pub(crate) fn values_by_powers(self, y: &[f64], eta: &[f64], powers: &[f64], values: &mut [f64]) {
        if self == Self::Logistic {
            logistic_values_by_powers(y, eta, powers, values);
        } else {
            poisson_values_by_powers(y, eta, powers, values);
        }
    }

    /// The residuals of many rows, into `residuals`.
    pub(crate) fn descents(self, y: &[f64], eta: &[f64], residuals: &mut [f64]) {
        match self {
            Self::Squared => rows(y, eta, residuals, |y, eta| Self::Squared.descent(y, eta)),
            Self::Huber { .. } | Self::SquaredHinge => rows(y, eta, residuals, |y, eta| self.descent(y, eta)),
            Self::Logistic => logistic_descents(y, eta, residuals),
            Self::Poisson => poisson_descents(y, eta, residuals),
        }
    }

    /// The conjugates of many rows, into `conjugates`.
    pub(crate) fn conjugates(self, y: &[f64], u: &[f64], conjugates: &mut [f64]) {
        match self {
            Self::Squared => rows(y, u, conjugates, |y, u| Self::Squared.conjugate(y, u)),
            Self::Huber { .. } | Self::SquaredHinge => rows(y, u, conjugates, |y, u| self.conjugate(y, u)),
            Self::Logistic => logistic_conjugates(y, u, conjugates),
            Self::Poisson => poisson_conjugates(y, u, conjugates),
        }
    }

    /// The least value over all η.
    pub(crate) fn least(self, y: f64) -> f64 {
        match self {
            Self::Squared | Self::Huber { .. } | Self::SquaredHinge | Self::Logistic => 0.0,
            Self::Poisson => y - entropy(y),
        }
    }

    /// The deviance of one row: squared error, −2·log-likelihood less that of a model that fits the row exactly, or, for a
    /// loss that is no likelihood, twice the loss.
    pub(crate) fn deviance(self, y: f64, eta: f64) -> f64 {
        2.0 * (self.value(y, eta) - self.least(y))
    }
}

/// A loop over functions, no `for_each` and no closures: the compiler leaves those outside, where registers are narrow.
#[inline(always)]
fn rows(y: &[f64], at: &[f64], out: &mut [f64], each: impl Fn(f64, f64) -> f64) {
    for ((out, &y), &at) in out.iter_mut().zip(y).zip(at) {
        *out = each(y, at);
    }
}

/// Σ share·a/(1 − ta), its derivative by t, and that sum at t = 1, a = |θ|/share: for the second derivatives of a conjugate.
pub(crate) fn stretches(theta: &[f64], share: &[f64], t: f64) -> [f64; 3] {
    let mut sums = [[0.0; LANES]; 3];
    logistic_stretches(theta, share, t, &mut sums);
    sums.map(|sums| sums.iter().sum())
}

widest! {
    /// See [`stretches`].
    fn logistic_stretches(theta: &[f64], share: &[f64], t: f64, sums: &mut [[f64; LANES]; 3]) = logistic_stretches_in_lanes
}

/// Of residuals of the logistic loss those times their share, in their place, and Σ, Σ of sizes and Σ share·loss'' of them.
pub(crate) fn weighed(residuals: &mut [f64], share: &[f64]) -> [f64; 3] {
    let mut sums = [[0.0; LANES]; 3];
    logistic_weighed(residuals, share, &mut sums);
    sums.map(|sums| sums.iter().sum())
}

widest! {
    /// See [`weighed`].
    fn logistic_weighed(residuals: &mut [f64], share: &[f64], sums: &mut [[f64; LANES]; 3]) = logistic_weighed_in_lanes
}

widest! {
    /// e^(−|yη|).
    fn logistic_powers(y: &[f64], eta: &[f64], out: &mut [f64]) = logistic_powers_in_lanes
}

widest! {
    /// As [`logistic_descents`], of the powers.
    fn logistic_descents_by_powers(y: &[f64], eta: &[f64], powers: &[f64], out: &mut [f64]) = logistic_descents_by_powers_in_lanes
}

widest! {
    /// As [`logistic_values`], of the powers.
    fn logistic_values_by_powers(y: &[f64], eta: &[f64], powers: &[f64], out: &mut [f64]) = logistic_values_by_powers_in_lanes
}

widest! {
    /// e^η.
    fn poisson_powers(y: &[f64], eta: &[f64], out: &mut [f64]) = poisson_powers_in_lanes
}

widest! {
    /// log(1 + e^(−yη)).
    fn logistic_values(y: &[f64], eta: &[f64], out: &mut [f64]) = logistic_values_in_lanes
}

widest! {
    /// y/(1 + e^(yη)).
    fn logistic_descents(y: &[f64], eta: &[f64], out: &mut [f64]) = logistic_descents_in_lanes
}

widest! {
    /// a·ln a + (1 − a)·ln(1 − a), a = uy.
    fn logistic_conjugates(y: &[f64], u: &[f64], out: &mut [f64]) = logistic_conjugates_in_lanes
}

widest! {
    /// e^η − yη.
    fn poisson_values(y: &[f64], eta: &[f64], out: &mut [f64]) = poisson_values_in_lanes
}

widest! {
    /// y − e^η.
    fn poisson_descents(y: &[f64], eta: &[f64], out: &mut [f64]) = poisson_descents_in_lanes
}

widest! {
    /// m·ln m − m, m = y − u.
    fn poisson_conjugates(y: &[f64], u: &[f64], out: &mut [f64]) = poisson_conjugates_in_lanes
}

#[inline(always)]
fn poisson_values_in_lanes(y: &[f64], eta: &[f64], out: &mut [f64]) {
    rows(y, eta, out, poisson_value);
}

#[inline(always)]
fn poisson_descents_in_lanes(y: &[f64], eta: &[f64], out: &mut [f64]) {
    rows(y, eta, out, poisson_descent);
}

#[inline(always)]
fn poisson_conjugates_in_lanes(y: &[f64], u: &[f64], out: &mut [f64]) {
    rows(y, u, out, poisson_conjugate);
}

#[inline(always)]
fn logistic_values_in_lanes(y: &[f64], eta: &[f64], out: &mut [f64]) {
    rows(y, eta, out, logistic_value);
}

#[inline(always)]
fn logistic_descents_in_lanes(y: &[f64], eta: &[f64], out: &mut [f64]) {
    rows(y, eta, out, logistic_descent);
}

#[inline(always)]
fn logistic_conjugates_in_lanes(y: &[f64], u: &[f64], out: &mut [f64]) {
    rows(y, u, out, logistic_conjugate);
}

#[inline(always)]
fn logistic_stretches_in_lanes(theta: &[f64], share: &[f64], t: f64, sums: &mut [[f64; LANES]; 3]) {
    let ((theta, rest), (share, rest_of_share)) = (theta.as_chunks::<LANES>(), share.as_chunks::<LANES>());
    let [mut here, mut slope, mut end] = *sums;
    for (theta, share) in theta.iter().zip(share) {
        for l in 0..LANES {
            let of = stretched(theta[l], share[l], t);
            (here[l], slope[l], end[l]) = (here[l] + of[0], slope[l] + of[1], end[l] + of[2]);
        }
    }
    for (l, (theta, share)) in rest.iter().zip(rest_of_share).enumerate() {
        let of = stretched(*theta, *share, t);
        (here[l], slope[l], end[l]) = (here[l] + of[0], slope[l] + of[1], end[l] + of[2]);
    }
    *sums = [here, slope, end];
}

#[inline(always)]
fn stretched(theta: f64, share: f64, t: f64) -> [f64; 3] {
    // of a row without weight nothing is divided by something
    let size = theta.abs();
    let (here, end) = (size / (share - t * size).max(f64::MIN_POSITIVE), size / (share - size).max(f64::MIN_POSITIVE));
    [share * here, share * here * here, share * end]
}

#[inline(always)]
fn logistic_weighed_in_lanes(residuals: &mut [f64], share: &[f64], sums: &mut [[f64; LANES]; 3]) {
    let ((chunks, rest), (shares, rest_of_share)) = (residuals.as_chunks_mut::<LANES>(), share.as_chunks::<LANES>());
    let [mut sum, mut size, mut bend] = *sums;
    for (residual, share) in chunks.iter_mut().zip(shares) {
        for l in 0..LANES {
            let of = weighed_row(&mut residual[l], share[l]);
            (sum[l], size[l], bend[l]) = (sum[l] + of[0], size[l] + of[1], bend[l] + of[2]);
        }
    }
    for (l, (residual, share)) in rest.iter_mut().zip(rest_of_share).enumerate() {
        let of = weighed_row(residual, *share);
        (sum[l], size[l], bend[l]) = (sum[l] + of[0], size[l] + of[1], bend[l] + of[2]);
    }
    *sums = [sum, size, bend];
}

#[inline(always)]
fn weighed_row(residual: &mut f64, share: f64) -> [f64; 3] {
    // what a row without weight holds may be anything
    let r = if share > 0.0 { *residual } else { 0.0 };
    *residual = share * r;
    let size = residual.abs();
    [*residual, size, size * (1.0 - r.abs())]
}

#[inline(always)]
fn logistic_powers_in_lanes(y: &[f64], eta: &[f64], out: &mut [f64]) {
    rows(y, eta, out, logistic_power);
}

#[inline(always)]
fn logistic_descents_by_powers_in_lanes(y: &[f64], eta: &[f64], powers: &[f64], out: &mut [f64]) {
    for (((out, &y), &eta), &power) in out.iter_mut().zip(y).zip(eta).zip(powers) {
        *out = y * sigmoid_of(-y * eta, power);
    }
}

#[inline(always)]
fn logistic_values_by_powers_in_lanes(y: &[f64], eta: &[f64], powers: &[f64], out: &mut [f64]) {
    for (((out, &y), &eta), &power) in out.iter_mut().zip(y).zip(eta).zip(powers) {
        *out = softplus_of(-y * eta, power);
    }
}

#[inline(always)]
fn poisson_powers_in_lanes(y: &[f64], eta: &[f64], out: &mut [f64]) {
    rows(y, eta, out, poisson_power);
}

fn poisson_descents_by_powers(y: &[f64], powers: &[f64], out: &mut [f64]) {
    out.iter_mut().zip(y).zip(powers).for_each(|((out, y), power)| *out = y - power);
}

fn poisson_values_by_powers(y: &[f64], eta: &[f64], powers: &[f64], out: &mut [f64]) {
    out.iter_mut().zip(y).zip(eta).zip(powers).for_each(|(((out, y), eta), power)| *out = power - y * eta);
}

#[inline(always)]
fn logistic_power(y: f64, eta: f64) -> f64 {
    exp(-(y * eta).abs())
}

#[inline(always)]
fn poisson_power(_: f64, eta: f64) -> f64 {
    exp(eta)
}

#[inline(always)]
fn poisson_value(y: f64, eta: f64) -> f64 {
    exp(eta) - y * eta
}

#[inline(always)]
fn poisson_descent(y: f64, eta: f64) -> f64 {
    y - exp(eta)
}

#[inline(always)]
fn poisson_conjugate(y: f64, u: f64) -> f64 {
    let mean = y - u;
    let inside = mean.max(0.0);
    if mean >= -EDGE * (1.0 + y) { entropy(inside) - inside } else { f64::INFINITY }
}

#[inline(always)]
fn logistic_value(y: f64, eta: f64) -> f64 {
    softplus(-y * eta)
}

#[inline(always)]
fn logistic_descent(y: f64, eta: f64) -> f64 {
    y * sigmoid(-y * eta)
}

#[inline(always)]
fn logistic_conjugate(y: f64, u: f64) -> f64 {
    // An unpenalised column that separates rows drives a to the edge, and rounding a hair past it.
    let (a, inside) = ((u * y).clamp(0.0, 1.0), (u * y >= -EDGE) & (u * y <= 1.0 + EDGE));
    // without branches: both are in lanes
    let value = entropy(a) + entropy(1.0 - a);
    if inside { value } else { f64::INFINITY }
}

#[inline(always)]
fn entropy(a: f64) -> f64 {
    a * ln(a.max(f64::MIN_POSITIVE))
}

#[inline(always)]
fn softplus(z: f64) -> f64 {
    softplus_of(z, exp(-z.abs()))
}

/// log(1 + e^z), given e^(−|z|).
#[inline(always)]
fn softplus_of(z: f64, power: f64) -> f64 {
    z.max(0.0) + ln_1p(power)
}

#[inline(always)]
fn sigmoid(z: f64) -> f64 {
    sigmoid_of(z, exp(-z.abs()))
}

/// 1/(1 + e^(−z)), given e^(−|z|).
#[inline(always)]
fn sigmoid_of(z: f64, power: f64) -> f64 {
    (if z >= 0.0 { 1.0 } else { power }) / (1.0 + power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conjugates_agree_with_brute_force() {
        let signs = [(1.0, 0.2), (-1.0, 0.7), (1.0, 0.99)];
        let counts = [(0.0, -0.5), (3.0, 2.9), (2.0, -1.0)];
        let (huber, hinge) = (Loss::Huber { delta: 0.8 }, Loss::SquaredHinge);
        let all = [(Loss::Squared, signs), (huber, counts.map(|(y, u)| (y, u / 4.0))), (hinge, signs), (Loss::Logistic, signs)];
        for (loss, cases) in all.into_iter().chain([(Loss::Poisson, counts)]) {
            for (y, share) in cases {
                let counts = matches!(loss, Loss::Poisson | Loss::Huber { .. });
                let u = if counts { share } else { y * share };
                let brute = (-400_000..400_000)
                    .map(|k| f64::from(k) * 1e-4)
                    .map(|eta| -u * eta - loss.value(y, eta))
                    .fold(f64::NEG_INFINITY, f64::max);
                assert!((brute - loss.conjugate(y, u)).abs() < 1e-6, "{loss:?} {y} {u}");
            }
        }
        assert_eq!(Loss::Logistic.conjugate(1.0, 1.5), f64::INFINITY);
        assert_eq!((huber.conjugate(1.0, 0.9), huber.conjugate(1.0, -0.9)), (f64::INFINITY, f64::INFINITY));
        assert_eq!((hinge.conjugate(1.0, -0.1), hinge.conjugate(-1.0, 0.1)), (f64::INFINITY, f64::INFINITY));
        assert_eq!((huber.reach(3.0, -1.6), hinge.reach(1.0, 2.0), hinge.reach(1.0, -2.0)), (0.5, f64::INFINITY, 0.0));
        assert_eq!((Loss::Poisson.conjugate(1.0, 1.5), Loss::Poisson.conjugate(2.0, 2.0)), (f64::INFINITY, 0.0));
    }

    #[test]
    fn slopes_and_curvatures_agree_with_differences() {
        let huber = Loss::Huber { delta: 1.2 };
        let all = [(Loss::Squared, -1.0), (huber, -1.0), (Loss::SquaredHinge, -1.0), (Loss::Logistic, -1.0), (Loss::Poisson, 3.0)];
        for (loss, sign) in all {
            for (y, eta) in [(1.0, 0.3), (sign, 2.0), (sign, -1.5)] {
                let step = 1e-5;
                let slope = (loss.value(y, eta + step) - loss.value(y, eta - step)) / (2.0 * step);
                assert!((slope + loss.descent(y, eta)).abs() < 1e-8);
                let bend = (loss.descent(y, eta - step) - loss.descent(y, eta + step)) / (2.0 * step);
                assert!((bend - loss.curvature(y, loss.descent(y, eta))).abs() < 1e-8);
            }
        }
    }
}
