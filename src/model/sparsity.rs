//! How sparse a model is: counts, norms, the hash of its support, the histogram of its coefficients.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::{FeatureValue, Histogram, LinearModel, LogHistogram, Sparsity};

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
            hoyer: hoyer(n_coefficients, values, max),
            gini: gini(n_coefficients, values, max),
            groups_active: None,
            support_hash: support_hash(indices),
        }
    }
}

/// Hoyer's index of `values` and as many zeros as make them `p`; `None` of a single coefficient and where all are 0.
fn hoyer(p: u64, values: &[f64], max: f64) -> Option<f64> {
    let (sum, squares) = values.iter().map(|value| (value / max).abs()).fold((0.0, 0.0), |(a, b), v| (a + v, b + v * v));
    of_norms(p, sum, squares.sqrt())
}

/// Hoyer's index of p coefficients by their norms, Hoyer 2004.
fn of_norms(p: u64, l1: f64, l2: f64) -> Option<f64> {
    let root = (p as f64).sqrt();
    (p > 1 && l2 > 0.0).then(|| ((root - l1 / l2) / (root - 1.0)).clamp(0.0, 1.0))
}

/// 1 − 2 Σ |w|₍ₖ₎/‖w‖₁ · (p − k + ½)/p over the magnitudes in rising order, k from 1: Hurley & Rickard 2009. The zeros come first and
/// add nothing, so nothing of length p is made. `None` of a single coefficient and where all are 0.
fn gini(p: u64, values: &[f64], max: f64) -> Option<f64> {
    if p < 2 || max == 0.0 {
        return None;
    }
    let mut sizes: Vec<f64> = values.iter().map(|value| (value / max).abs()).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    let (sum, p) = (sizes.iter().sum::<f64>(), p as f64);
    let behind = |from_above: usize| (from_above as f64 + 0.5) / p;
    let held: f64 = sizes.iter().rev().enumerate().map(|(k, size)| size / sum * behind(k)).sum();
    Some((1.0 - 2.0 * held).clamp(0.0, 1.0))
}

impl Sparsity {
    /// Hoyer's index, of a card without it by its norms.
    pub fn hoyer(&self, n_outputs: usize) -> Option<f64> {
        self.hoyer.or_else(|| of_norms(self.n_features.saturating_mul(n_outputs as u64), self.l1, self.l2))
    }

    /// Whether the card was written before there were Hoyer and Gini indices, and they are defined.
    pub fn lacks_indices(&self, n_outputs: usize) -> bool {
        self.gini.is_none() && self.nonzeros > 0 && self.n_features.saturating_mul(n_outputs as u64) > 1
    }

    /// The indices, where the card lacks them.
    pub(super) fn fill_indices(&mut self, n_outputs: usize, values: &[f64]) {
        if self.lacks_indices(n_outputs) {
            let max = values.iter().fold(0.0_f64, |max, value| max.max(value.abs()));
            let p = self.n_features.saturating_mul(n_outputs as u64);
            (self.hoyer, self.gini) = (hoyer(p, values, max), gini(p, values, max));
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

impl LinearModel {
    /// Equal bins over log₁₀ of the magnitudes of the non-zero coefficients, those above and below 0 counted apart; the last one
    /// closed. Equal magnitudes lie in bins one wide in all, centred on them.
    pub fn log_histogram(&self, bins: usize) -> LogHistogram {
        let n_coefficients = self.card.sparsity.n_features.saturating_mul(self.card.n_outputs() as u64);
        let zeros = n_coefficients.saturating_sub(self.values.len() as u64);
        let sizes = || self.values.iter().map(|value| value.abs().log10());
        let (Some(min), Some(max)) = (sizes().min_by(f64::total_cmp), sizes().max_by(f64::total_cmp)) else {
            return LogHistogram { scale: "log", zeros, edges: Vec::new(), counts: Vec::new(), positive: Vec::new(), negative: Vec::new() };
        };
        let (low, high) = if min < max { (min, max) } else { (min - 0.5, max + 0.5) };
        let bins = bins.max(1);
        let edges: Vec<f64> = (0..=bins).map(|i| low * (1.0 - i as f64 / bins as f64) + high * (i as f64 / bins as f64)).collect();
        let (mut positive, mut negative) = (vec![0; bins], vec![0; bins]);
        for value in &self.values {
            let bin = edges.partition_point(|edge| *edge <= value.abs().log10()).saturating_sub(1).min(bins - 1);
            if *value > 0.0 { positive[bin] += 1 } else { negative[bin] += 1 }
        }
        let counts = positive.iter().zip(&negative).map(|(more, less)| more + less).collect();
        LogHistogram { scale: "log", zeros, edges, counts, positive, negative }
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
    fn the_indices_are_those_of_hand_and_of_their_ends() {
        // |w| of 4: 0, 0, 1, 3. Hoyer (2 − 4/√10)/1; Gini 1 − 2(¼·1.5/4 + ¾·0.5/4)
        let four = Sparsity::of(4, &[1, 3], &[-1.0, 3.0], |_| String::new());
        let (hoyer, gini) = (four.hoyer.unwrap(), four.gini.unwrap());
        assert!((hoyer - (2.0 - 4.0 / 10.0_f64.sqrt())).abs() < 1e-15 && (gini - 0.625).abs() < 1e-15, "{hoyer} {gini}");
        let equal = Sparsity::of(3, &[0, 1, 2], &[2.0, -2.0, 2.0], |_| String::new());
        assert!(equal.hoyer.unwrap().abs() < 1e-15 && equal.gini.unwrap().abs() < 1e-15);
        let one = Sparsity::of(100, &[7], &[1e-300], |_| String::new());
        assert_eq!(one.hoyer, Some(1.0));
        assert!((one.gini.unwrap() - 0.99).abs() < 1e-15);
        let huge = Sparsity::of(2, &[0, 1], &[f64::MAX, f64::MAX / 3.0], |_| String::new());
        // (√2 − 4/√10)/(√2 − 1), 1 − 2(¼·1.5/2 + ¾·0.5/2)
        let expected = (2.0_f64.sqrt() - 4.0 / 10.0_f64.sqrt()) / (2.0_f64.sqrt() - 1.0);
        assert!((huge.hoyer.unwrap() - expected).abs() < 1e-15 && (huge.gini.unwrap() - 0.25).abs() < 1e-15);
        for undefined in [Sparsity::of(1, &[0], &[2.0], |_| String::new()), Sparsity::of(9, &[], &[], |_| String::new())] {
            assert_eq!((undefined.hoyer, undefined.gini, undefined.lacks_indices(1)), (None, None, false));
        }
        // of classes every coefficient counts: 3 of 300
        let classes = Sparsity::of_classes(100, 3, &[1, 4, 4], &[1.0, 1.0, 1.0], |_| String::new());
        assert!((classes.gini.unwrap() - 0.99).abs() < 1e-15);
    }

    #[test]
    fn indices_that_an_earlier_version_did_not_write_are_found_when_a_model_is_read() {
        let mut old = model(&[1, 3], &[-1.0, 3.0]);
        let known = old.card.sparsity.clone();
        (old.card.sparsity.hoyer, old.card.sparsity.gini) = (None, None);
        assert!(old.card.sparsity.lacks_indices(1) && (old.card.sparsity.hoyer(1).unwrap() - known.hoyer.unwrap()).abs() < 1e-15);
        assert_eq!(LinearModel::decode(&old.encode()).unwrap().card.sparsity, known);
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
    fn a_histogram_of_magnitudes_counts_both_sides_of_zero_apart() {
        let histogram = model(&[0, 1, 2, 3, 4, 5], &[-1e-4, 1e-3, -2e-3, 0.5, -1.0, 1.0]).log_histogram(4);
        assert_eq!((histogram.edges, histogram.zeros), (vec![-4.0, -3.0, -2.0, -1.0, 0.0], 94));
        assert_eq!((histogram.positive, histogram.negative, histogram.counts), (vec![0, 1, 0, 2], vec![1, 1, 0, 1], vec![1, 2, 0, 3]));
        let one = model(&[5, 6], &[10.0, -10.0]).log_histogram(2);
        assert_eq!((one.edges, one.counts), (vec![0.5, 1.0, 1.5], vec![0, 2]));
        let none = model(&[], &[]).log_histogram(3);
        assert_eq!((none.zeros, none.edges, none.counts), (100, vec![], vec![]));
        let wide = model(&[5, 6], &[f64::MAX, -5e-324]).log_histogram(3);
        assert_eq!((wide.positive, wide.negative), (vec![0, 0, 1], vec![1, 0, 0]));
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
