//! How sparse a model is: counts, norms, the hash of its support, the histogram of its coefficients.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{FeatureValue, Histogram, LinearModel, Sparsity};

impl Sparsity {
    /// Measures the non-zero coefficients `values` of the features `indices` (rising) among `n_features`;
    /// `display` gives a feature's name.
    pub fn of(n_features: u64, indices: &[u32], values: &[f64], display: impl Fn(u32) -> String) -> Self {
        Self::measure(n_features, n_features, indices, values, display)
    }

    /// Measures those of a multinomial model: each feature has a coefficient for every class.
    pub fn of_classes(n_features: u64, n_classes: u64, indices: &[u32], values: &[f64], display: impl Fn(u32) -> String) -> Self {
        let mut used = indices.to_vec();
        used.dedup();
        let measured = Self::measure(n_features, n_features.saturating_mul(n_classes), indices, values, display);
        Self { features_active: Some(used.len() as u64), support_hash: support_hash(&used), ..measured }
    }

    fn measure(n_features: u64, n_coefficients: u64, indices: &[u32], values: &[f64], display: impl Fn(u32) -> String) -> Self {
        let nonzeros = values.len() as u64;
        let zeros = n_coefficients.saturating_sub(nonzeros);
        let strongest = indices.iter().zip(values).reduce(|best, next| if next.1.abs() > best.1.abs() { next } else { best });
        let max = strongest.map_or(0.0, |(_, value)| value.abs());
        let near_zero_tol = 1e-6 * max;
        let near_zero = zeros + count(values, |value| value.abs() <= near_zero_tol);
        Self {
            n_features,
            nonzeros,
            features_active: None,
            sparsity_ratio: share(zeros, n_coefficients),
            l1: values.iter().map(|value| value.abs()).sum::<f64>().min(f64::MAX),
            l2: l2(values, max),
            positive: count(values, |value| value > 0.0),
            negative: count(values, |value| value < 0.0),
            max_abs: strongest.map(|(index, value)| FeatureValue { feature: display(*index), value: *value }),
            min_abs_nonzero: values.iter().map(|value| value.abs()).min_by(f64::total_cmp),
            near_zero_ratio: share(near_zero, n_coefficients),
            near_zero_tol,
            groups_active: None,
            support_hash: support_hash(indices),
        }
    }
}

fn count(values: &[f64], which: impl Fn(f64) -> bool) -> u64 {
    values.iter().filter(|value| which(**value)).count() as u64
}

/// A share of a whole; of nothing, everything.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Euclidean norm, scaled by the largest value so that squares neither overflow nor vanish.
fn l2(values: &[f64], max: f64) -> f64 {
    if max == 0.0 {
        return 0.0;
    }
    let sum: f64 = values.iter().map(|value| (value / max) * (value / max)).sum();
    (max * sum.sqrt()).min(f64::MAX)
}

/// SHA-256, in hex, of the indices as little-endian u32 in rising order.
pub(super) fn support_hash(indices: &[u32]) -> String {
    let mut hash = Sha256::new();
    indices.iter().for_each(|index| hash.update(index.to_le_bytes()));
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl LinearModel {
    /// Equal bins over the non-zero coefficients, the last one closed; empty arrays without non-zeros. Equal
    /// coefficients lie in bins one wide in all, centred on them.
    pub fn histogram(&self, bins: usize) -> Histogram {
        let n_coefficients = self.card.sparsity.n_features.saturating_mul(self.card.n_outputs() as u64);
        let zeros = n_coefficients.saturating_sub(self.values.len() as u64);
        let (Some(min), Some(max)) =
            (self.values.iter().copied().min_by(f64::total_cmp), self.values.iter().copied().max_by(f64::total_cmp))
        else {
            return Histogram { zeros, edges: Vec::new(), counts: Vec::new() };
        };
        let (low, high) = if min < max { (min, max) } else { (min - 0.5, max + 0.5) };
        let bins = bins.max(1);
        // A blend instead of low + width·i: neither overflows, and the outer edges are exact.
        let edge = |i: usize| low * (1.0 - i as f64 / bins as f64) + high * (i as f64 / bins as f64);
        let edges: Vec<f64> = (0..=bins).map(edge).collect();
        let mut counts = vec![0; bins];
        for value in &self.values {
            let bin = edges.partition_point(|edge| edge <= value).saturating_sub(1);
            counts[bin.min(bins - 1)] += 1;
        }
        Histogram { zeros, edges, counts }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::model;
    use super::*;

    #[test]
    fn the_measures_of_a_small_support_are_those_counted_by_hand() {
        let sparsity = Sparsity::of(10, &[1, 4, 6], &[3.0, -4.0, 1e-9], |index| format!("f{index}"));
        assert_eq!((sparsity.nonzeros, sparsity.positive, sparsity.negative), (3, 2, 1));
        assert_eq!((sparsity.sparsity_ratio, sparsity.near_zero_ratio), (0.7, 0.8));
        assert_eq!((sparsity.near_zero_tol, sparsity.min_abs_nonzero), (4e-6, Some(1e-9)));
        assert_eq!((sparsity.l1, sparsity.l2), (7.0 + 1e-9, 5.0));
        assert_eq!(sparsity.max_abs, Some(FeatureValue { feature: "f4".into(), value: -4.0 }));
        // printf '\x01\0\0\0\x04\0\0\0\x06\0\0\0' | sha256sum
        assert_eq!(sparsity.support_hash, "d7a79f6ea47f027c672129bcc08880df9f9b2ebe922d50533c5f2d4fe0a334e9");
    }

    #[test]
    fn a_coefficient_of_each_class_counts_and_a_feature_once() {
        let sparsity = Sparsity::of_classes(10, 4, &[1, 4, 4, 6], &[3.0, -4.0, 1.0, 2.0], |index| format!("f{index}"));
        assert_eq!((sparsity.nonzeros, sparsity.features_active, sparsity.n_features), (4, Some(3), 10));
        assert_eq!(sparsity.sparsity_ratio, 0.9);
        assert_eq!(sparsity.support_hash, "d7a79f6ea47f027c672129bcc08880df9f9b2ebe922d50533c5f2d4fe0a334e9");
    }

    #[test]
    fn an_empty_support_and_extreme_values_stay_finite() {
        let empty = Sparsity::of(5, &[], &[], |_| String::new());
        assert_eq!((empty.sparsity_ratio, empty.near_zero_ratio, empty.l2, empty.max_abs), (1.0, 1.0, 0.0, None));
        assert_eq!(empty.support_hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let huge = Sparsity::of(2, &[0, 1], &[f64::MAX, -f64::MAX], |_| String::new());
        assert!(huge.l1.is_finite() && huge.l2.is_finite());
        let tiny = Sparsity::of(2, &[0, 1], &[3e-200, 4e-200], |_| String::new());
        assert!((tiny.l2 / 5e-200 - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_histogram_counts_every_coefficient_once_and_its_last_bin_is_closed() {
        let histogram = model(&[0, 1, 2, 3, 4], &[-1.0, -0.5, 0.25, 0.5, 1.0]).histogram(4);
        assert_eq!(histogram.edges, [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert_eq!(histogram.counts, [1, 1, 1, 2]);
        assert_eq!(histogram.zeros, 95);
    }

    #[test]
    fn a_histogram_without_spread_or_without_coefficients_is_well_formed() {
        let one = model(&[5, 6], &[2.0, 2.0]).histogram(2);
        assert_eq!((one.edges, one.counts), (vec![1.5, 2.0, 2.5], vec![0, 2]));
        let none = model(&[], &[]).histogram(30);
        assert_eq!((none.zeros, none.edges, none.counts), (100, vec![], vec![]));
        let wide = model(&[5, 6], &[f64::MAX, -f64::MAX]).histogram(3);
        assert!(wide.edges.iter().all(|edge| edge.is_finite()));
        assert_eq!(wide.counts.iter().sum::<u64>(), 2);
    }
}
