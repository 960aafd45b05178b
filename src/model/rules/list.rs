//! Rules as arrays: the conditions of one after those of the other.

use std::ops::Range;

use super::super::frame::pad;

/// Rules with their coefficients. Rule `r` holds where `low < x ≤ high` of each of its features.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleList {
    /// Where the conditions of each rule begin, and at the end their number.
    pub starts: Vec<u32>,
    /// What each rule adds where it holds.
    pub coefficients: Vec<f64>,
    /// Share of the weight of the rows of the fit that each holds for.
    pub supports: Vec<f64>,
    /// Feature of each condition, rising within a rule.
    pub features: Vec<u32>,
    /// x is greater; −∞ where there is no such condition.
    pub lows: Vec<f64>,
    /// x is at most this; ∞ where there is no such condition.
    pub highs: Vec<f64>,
}

impl RuleList {
    /// Number of rules.
    pub fn len(&self) -> usize {
        self.coefficients.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.coefficients.is_empty()
    }

    /// Adds a rule: feature, low, high of each condition.
    pub fn push(&mut self, coefficient: f64, support: f64, conditions: impl IntoIterator<Item = (u32, f64, f64)>) {
        if self.starts.is_empty() {
            self.starts.push(0);
        }
        for (feature, low, high) in conditions {
            self.features.push(feature);
            self.lows.push(low);
            self.highs.push(high);
        }
        self.coefficients.push(coefficient);
        self.supports.push(support);
        self.starts.push(self.features.len() as u32);
    }

    /// Where the conditions of a rule lie.
    pub fn range(&self, rule: usize) -> Range<usize> {
        self.starts[rule] as usize..self.starts[rule + 1] as usize
    }

    /// Whether `x` fulfils a condition.
    pub(super) fn contains(&self, at: usize, x: f64) -> bool {
        self.lows[at] < x && x <= self.highs[at]
    }

    /// Bounds that are told, over all rules.
    pub fn n_conditions(&self) -> u64 {
        self.lows.iter().chain(&self.highs).filter(|bound| bound.is_finite()).count() as u64
    }

    /// What must hold of rules that are stored.
    pub(super) fn check(&self, n_features: u64) -> Result<(), &'static str> {
        let (n, conditions) = (self.len(), self.features.len());
        if self.supports.len() != n || self.lows.len() != conditions || self.highs.len() != conditions {
            return Err("the lengths of its arrays do not agree");
        }
        let ends = if n == 0 { self.starts.is_empty() } else { self.starts.len() == n + 1 && self.starts[0] == 0 };
        if !ends || (n > 0 && self.starts[n] as usize != conditions) || self.starts.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("a rule has no condition");
        }
        if (0..n).any(|rule| self.features[self.range(rule)].windows(2).any(|pair| pair[0] >= pair[1])) {
            return Err("the features of a rule do not rise");
        }
        if self.features.iter().any(|feature| u64::from(*feature) >= n_features) {
            return Err("a feature lies outside the feature space");
        }
        let told = |at: usize| self.lows[at].is_finite() || self.highs[at].is_finite();
        if !(0..conditions).all(|at| self.lows[at] < self.highs[at] && told(at)) {
            return Err("a condition holds always or never");
        }
        if self.coefficients.iter().any(|number| !number.is_finite() || *number == 0.0) {
            return Err("a coefficient is zero or not finite");
        }
        if self.supports.iter().all(|support| (0.0..=1.0).contains(support)) { Ok(()) } else { Err("a support is no share") }
    }

    /// Bytes of the stored form; `None` on overflow.
    pub(super) fn bytes_of(rules: usize, conditions: usize) -> Option<usize> {
        let whole = |n: usize| n.checked_mul(4)?.checked_next_multiple_of(8);
        let real = rules.checked_add(conditions)?.checked_mul(16)?;
        whole(rules)?.checked_add(whole(conditions)?)?.checked_add(real)
    }

    /// Conditions of each rule and features as u32, each filled up to 8 bytes; coefficients, supports, lows, highs as f64.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        self.starts.windows(2).for_each(|pair| bytes.extend_from_slice(&(pair[1] - pair[0]).to_le_bytes()));
        pad(bytes);
        self.features.iter().for_each(|feature| bytes.extend_from_slice(&feature.to_le_bytes()));
        pad(bytes);
        for real in [&self.coefficients, &self.supports, &self.lows, &self.highs] {
            real.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        }
    }

    /// Reads what [`RuleList::put`] wrote: exactly `bytes_of` bytes.
    pub(super) fn read(bytes: &[u8], rules: usize, conditions: usize) -> Option<Self> {
        if Self::bytes_of(rules, conditions)? != bytes.len() {
            return None;
        }
        let mut rest = bytes;
        let mut take = |n: usize| {
            let (taken, left) = rest.split_at(n);
            rest = left;
            taken
        };
        let whole =
            |bytes: &[u8], n: usize| -> Vec<u32> { bytes[..4 * n].as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect() };
        let real = |bytes: &[u8]| -> Vec<f64> { bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect() };
        let sizes = whole(take((4 * rules).next_multiple_of(8)), rules);
        let features = whole(take((4 * conditions).next_multiple_of(8)), conditions);
        let (coefficients, supports) = (real(take(8 * rules)), real(take(8 * rules)));
        let (lows, highs) = (real(take(8 * conditions)), real(take(8 * conditions)));
        let mut starts = if rules == 0 { Vec::new() } else { vec![0_u32] };
        let mut end = 0_u32;
        for size in sizes {
            end = end.checked_add(size)?;
            starts.push(end);
        }
        Some(Self { starts, coefficients, supports, features, lows, highs })
    }
}
