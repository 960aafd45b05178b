//! The losses: value, slope, curvature, conjugate. Nothing else in the solver knows which loss it minimises.

use super::Loss;

impl Loss {
    /// loss(y, η).
    pub fn value(self, y: f64, eta: f64) -> f64 {
        match self {
            Self::Squared => 0.5 * (y - eta) * (y - eta),
            Self::Logistic => log1p_exp(-y * eta),
        }
    }

    /// −∂loss/∂η.
    pub fn descent(self, y: f64, eta: f64) -> f64 {
        match self {
            Self::Squared => y - eta,
            Self::Logistic => y / (1.0 + (y * eta).exp()),
        }
    }

    /// ∂²loss/∂η², bounded away from 0 for the sake of the quadratic model.
    pub fn curvature(self, y: f64, eta: f64) -> f64 {
        match self {
            Self::Squared => 1.0,
            Self::Logistic => {
                let p = 1.0 / (1.0 + (y * eta).exp());
                (p * (1.0 - p)).max(CURVATURE_MIN)
            }
        }
    }

    /// The conjugate loss*(−ν) at y; +∞ outside its domain.
    /// Squared: −νy + ν²/2. Logistic: p·ln p + (1−p)·ln(1−p) with p = yν ∈ [0, 1].
    pub fn conjugate(self, y: f64, nu: f64) -> f64 {
        match self {
            Self::Squared => 0.5 * nu * nu - nu * y,
            Self::Logistic => {
                let p = y * nu;
                if (0.0..=1.0).contains(&p) { x_ln_x(p) + x_ln_x(1.0 - p) } else { f64::INFINITY }
            }
        }
    }
}

const CURVATURE_MIN: f64 = 1e-10;

/// ln(1 + eᶻ) without overflow.
fn log1p_exp(z: f64) -> f64 {
    if z > 0.0 { z + (-z).exp().ln_1p() } else { z.exp().ln_1p() }
}

fn x_ln_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSSES: [Loss; 2] = [Loss::Squared, Loss::Logistic];

    #[test]
    fn descent_and_curvature_are_the_derivatives_of_the_value() {
        for loss in LOSSES {
            for y in [-1.0, 1.0] {
                for eta in [-3.0, -0.5, 0.0, 0.7, 4.0] {
                    let h = 1e-5;
                    let slope = (loss.value(y, eta + h) - loss.value(y, eta - h)) / (2.0 * h);
                    assert!((slope + loss.descent(y, eta)).abs() < 1e-8, "{loss:?} {y} {eta}");
                    let bend = (loss.descent(y, eta - h) - loss.descent(y, eta + h)) / (2.0 * h);
                    assert!((bend - loss.curvature(y, eta)).abs() < 1e-8, "{loss:?} {y} {eta}");
                }
            }
        }
    }

    #[test]
    fn the_conjugate_is_the_supremum_over_a_grid() {
        for loss in LOSSES {
            for y in [-1.0, 1.0] {
                for share in [0.01, 0.3, 0.5, 0.9] {
                    let nu = y * share;
                    let best = (-40_000..=40_000).map(|k| f64::from(k) * 1e-3).map(|eta| -nu * eta - loss.value(y, eta));
                    let best = best.fold(f64::NEG_INFINITY, f64::max);
                    assert!((best - loss.conjugate(y, nu)).abs() < 1e-5, "{loss:?} {y} {nu}");
                }
            }
        }
    }

    #[test]
    fn nothing_overflows_far_out() {
        for y in [-1.0, 1.0] {
            for eta in [-1e4, 1e4] {
                let loss = Loss::Logistic;
                assert!(loss.value(y, eta).is_finite() && loss.descent(y, eta).is_finite() && loss.curvature(y, eta) > 0.0);
            }
        }
    }
}
