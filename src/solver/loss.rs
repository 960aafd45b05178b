//! The losses: value, slope, curvature and conjugate at one row.
//!
//! Knows nothing of matrices and penalties.

use super::Loss;

/// How far outside its domain a conjugate still counts as on the edge.
const EDGE: f64 = 1e-12;

impl Loss {
    /// loss(y, η).
    pub(crate) fn value(self, y: f64, eta: f64) -> f64 {
        match self {
            Self::Squared => 0.5 * (y - eta) * (y - eta),
            Self::Logistic => {
                let z = -y * eta;
                z.max(0.0) + (-z.abs()).exp().ln_1p()
            }
        }
    }

    /// −∂loss/∂η: the residual.
    pub(crate) fn descent(self, y: f64, eta: f64) -> f64 {
        match self {
            Self::Squared => y - eta,
            Self::Logistic => y * sigmoid(-y * eta),
        }
    }

    /// ∂²loss/∂η², given the residual.
    pub(crate) fn curvature(self, residual: f64) -> f64 {
        match self {
            Self::Squared => 1.0,
            Self::Logistic => residual.abs() * (1.0 - residual.abs()),
        }
    }

    /// The convex conjugate loss*(y, −u): sup over η of −uη − loss(y, η); infinite outside its domain.
    pub(crate) fn conjugate(self, y: f64, u: f64) -> f64 {
        match self {
            Self::Squared => 0.5 * u * u - u * y,
            Self::Logistic => {
                // An unpenalised column that separates rows drives a to the edge, and rounding a hair past it.
                let a = if (-EDGE..=1.0 + EDGE).contains(&(u * y)) { (u * y).clamp(0.0, 1.0) } else { u * y };
                if (0.0..=1.0).contains(&a) { entropy(a) + entropy(1.0 - a) } else { f64::INFINITY }
            }
        }
    }

    /// The deviance of one row: squared error, or −2·log-likelihood.
    pub(crate) fn deviance(self, y: f64, eta: f64) -> f64 {
        2.0 * self.value(y, eta)
    }
}

fn entropy(a: f64) -> f64 {
    if a > 0.0 { a * a.ln() } else { 0.0 }
}

fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conjugates_agree_with_brute_force() {
        for loss in [Loss::Squared, Loss::Logistic] {
            for (y, share) in [(1.0, 0.2), (-1.0, 0.7), (1.0, 0.99)] {
                let u = y * share;
                let brute = (-400_000..400_000)
                    .map(|k| f64::from(k) * 1e-4)
                    .map(|eta| -u * eta - loss.value(y, eta))
                    .fold(f64::NEG_INFINITY, f64::max);
                assert!((brute - loss.conjugate(y, u)).abs() < 1e-6, "{loss:?} {y} {u}");
            }
        }
        assert_eq!(Loss::Logistic.conjugate(1.0, 1.5), f64::INFINITY);
    }

    #[test]
    fn slopes_and_curvatures_agree_with_differences() {
        for loss in [Loss::Squared, Loss::Logistic] {
            for (y, eta) in [(1.0, 0.3), (-1.0, 2.0), (-1.0, -1.5)] {
                let step = 1e-5;
                let slope = (loss.value(y, eta + step) - loss.value(y, eta - step)) / (2.0 * step);
                assert!((slope + loss.descent(y, eta)).abs() < 1e-8);
                let bend = (loss.descent(y, eta - step) - loss.descent(y, eta + step)) / (2.0 * step);
                assert!((bend - loss.curvature(loss.descent(y, eta))).abs() < 1e-8);
            }
        }
    }
}
