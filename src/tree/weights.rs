//! Sample weights as whole numbers, so that sums of them are exact and depend on no order.

use super::Unfit;

/// Σ of the whole weights stays at or below 2^`BITS` where the weights are not whole themselves, and they are then exact
/// in `f64` as well.
const BITS: i32 = 52;

/// The weights of a fit.
pub(crate) struct Weights<'a> {
    /// As given; `None` = all 1.
    given: Option<&'a [f64]>,
    /// Whole weight = weight · `unit`, rounded.
    unit: f64,
    /// Whole weights are the given ones.
    pub(crate) whole: bool,
    /// Σ of the whole weights.
    pub(crate) total: i64,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(given: Option<&'a [f64]>, n_rows: usize) -> Result<Self, Unfit> {
        let Some(weights) = given else {
            let total = n_rows as i64;
            return if total > 0 { Ok(Self { given, unit: 1.0, whole: true, total }) } else { Err(Unfit::NoWeight) };
        };
        if weights.len() != n_rows {
            return Err(Unfit::Shape);
        }
        if weights.iter().any(|w| !w.is_finite()) {
            return Err(Unfit::NonFinite);
        }
        if weights.iter().any(|&w| w < 0.0) {
            return Err(Unfit::Negative);
        }
        let sum: f64 = weights.iter().sum();
        if sum <= 0.0 {
            return Err(Unfit::NoWeight);
        }
        if !sum.is_finite() {
            return Err(Unfit::NonFinite);
        }
        let whole = sum <= power(BITS) && weights.iter().all(|w| w.fract() == 0.0);
        // a power of two, so that weights with few digits stay exact; rounding adds at most a half for each row
        let unit = if whole { 1.0 } else { power((BITS - 1 - exponent(sum)).min(1023)) };
        let mut made = Self { given, unit, whole, total: 0 };
        made.total = (0..n_rows as u32).map(|row| made.whole(row)).sum();
        if made.total > 0 { Ok(made) } else { Err(Unfit::NoWeight) }
    }

    /// Whole weight of a row; 0 means that it takes no part, which is also so for less than about 2^-52 of the sum.
    pub(crate) fn whole(&self, row: u32) -> i64 {
        self.given.map_or(1, |weights| (weights[row as usize] * self.unit).round() as i64)
    }

    /// Weight of a row, as given.
    pub(crate) fn given(&self, row: u32) -> f64 {
        self.given.map_or(1.0, |weights| weights[row as usize])
    }

    /// Rows that take part, rising.
    pub(crate) fn rows(&self, n_rows: usize) -> Vec<u32> {
        (0..n_rows as u32).filter(|&row| self.whole(row) > 0).collect()
    }

    /// Least whole weight that is at least `weight` but for rounding; at least 1.
    pub(crate) fn floor(&self, weight: f64) -> i64 {
        ((weight * self.unit * (1.0 - 1e-9)).ceil() as i64).max(1)
    }
}

/// ⌊log2 x⌋ for normal x > 0; at least −1023.
pub(crate) fn exponent(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7FF) as i32 - 1023
}

/// 2^k for −1022 ≤ k ≤ 1023.
pub(crate) fn power(k: i32) -> f64 {
    f64::from_bits(((k + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_weights_are_kept_and_others_are_scaled_by_a_power_of_two() {
        let given = [2.0, 0.0, 3.0];
        let weights = Weights::new(Some(&given), 3).unwrap();
        assert_eq!((weights.total, weights.whole(2), weights.rows(3)), (5, 3, vec![0, 2]));
        let given = [0.25, 0.5, 1e-300];
        let weights = Weights::new(Some(&given), 3).unwrap();
        assert_eq!(weights.whole(1), 2 * weights.whole(0));
        assert_eq!(weights.rows(3), [0, 1]);
        assert!(weights.total <= 1 << 52 && weights.total > 1 << 50);
    }

    #[test]
    fn powers_and_exponents_are_exact() {
        assert_eq!((exponent(1.0), exponent(0.75), exponent(5e300)), (0, -1, 998));
        assert_eq!((power(0), power(-3), power(10)), (1.0, 0.125, 1024.0));
    }
}
