//! The nodes of a stored tree: arrays in preorder, so that the left child of a node is the next one.

use std::ops::Range;

/// Feature of a node that is a leaf; no feature has this number.
pub(super) const LEAF: u32 = u32::MAX;

/// A decision tree as it is stored and predicts. A row goes left when `x ≤ threshold`; what it does not hold is 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Nodes {
    /// Numbers of a value: 1, or one a class.
    pub width: usize,
    /// Feature split on, `u32::MAX` = a leaf.
    pub features: Vec<u32>,
    /// 0 for leaves.
    pub thresholds: Vec<f64>,
    /// Position of the right child, 0 for leaves.
    pub rights: Vec<u32>,
    /// What each node predicts, `width` numbers: the mean, or the share of each class.
    pub values: Vec<f64>,
    /// Sums of the sample weights of the rows each was grown on.
    pub weights: Vec<f64>,
    /// Impurity of those rows.
    pub impurities: Vec<f64>,
}

impl Nodes {
    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there are none, which no tree is.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// Number of leaves.
    pub fn n_leaves(&self) -> usize {
        self.len() / 2 + 1
    }

    /// The feature, threshold and children of a node that is split.
    pub fn split(&self, at: usize) -> Option<(u32, f64, usize, usize)> {
        let feature = self.features[at];
        (feature != LEAF).then(|| (feature, self.thresholds[at], at + 1, self.rights[at] as usize))
    }

    /// What a node predicts.
    pub fn value(&self, at: usize) -> &[f64] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    /// The leaf that a row comes to, by what it holds at each node's feature; `x` is asked with nodes that are split.
    pub(crate) fn leaf(&self, x: impl Fn(usize) -> f64) -> usize {
        let mut at = 0;
        while self.features[at] != LEAF {
            at = if x(at) <= self.thresholds[at] { at + 1 } else { self.rights[at] as usize };
        }
        at
    }

    /// Splits between each node and the root.
    pub fn depths(&self) -> Vec<u32> {
        let mut depths = vec![0; self.len()];
        for at in 0..self.len() {
            if let Some((_, _, left, right)) = self.split(at) {
                depths[left] = depths[at] + 1;
                depths[right] = depths[at] + 1;
            }
        }
        depths
    }

    /// Most splits between the root and a leaf.
    pub fn depth(&self) -> u32 {
        self.depths().into_iter().max().unwrap_or(0)
    }

    /// The features that are split on, rising.
    pub fn features_used(&self) -> Vec<u32> {
        let mut used: Vec<u32> = self.features.iter().copied().filter(|feature| *feature != LEAF).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// Of each feature that is split on, rising, the share of all impurity taken away that its splits took: Breiman et al.
    /// 1984, 5.3. They sum to 1 unless nothing was taken.
    pub fn importances(&self) -> Vec<(u32, f64)> {
        let used = self.features_used();
        let mut taken = vec![0.0; used.len()];
        let impurity = |at: usize| self.weights[at] * self.impurities[at];
        for at in 0..self.len() {
            if let Some((feature, _, left, right)) = self.split(at) {
                let place = used.partition_point(|one| *one < feature);
                taken[place] += (impurity(at) - impurity(left) - impurity(right)).max(0.0);
            }
        }
        let all: f64 = taken.iter().sum();
        let share = |taken: f64| if all > 0.0 && all.is_finite() { taken / all } else { 0.0 };
        used.into_iter().zip(taken.into_iter().map(share)).collect()
    }

    /// The same tree with each node a leaf that `cut` says; what was below is gone.
    pub fn cut(&self, cut: impl Fn(usize) -> bool) -> Self {
        let mut kept = Self { width: self.width, ..Self::default() };
        // position here, and the new parent of a right child
        let mut due: Vec<(usize, Option<usize>)> = vec![(0, None)];
        while let Some((at, right_of)) = due.pop() {
            if let Some(parent) = right_of {
                kept.rights[parent] = kept.len() as u32;
            }
            let split = self.split(at).filter(|_| !cut(at));
            if let Some((_, _, left, right)) = split {
                due.push((right, Some(kept.len())));
                due.push((left, None));
            }
            kept.features.push(split.map_or(LEAF, |split| split.0));
            kept.thresholds.push(split.map_or(0.0, |split| split.1));
            kept.rights.push(0);
            kept.values.extend_from_slice(self.value(at));
            kept.weights.push(self.weights[at]);
            kept.impurities.push(self.impurities[at]);
        }
        kept
    }

    /// What must hold of every tree that is stored: lengths agree, children come in preorder, features lie in the feature
    /// space, every number is finite.
    pub(crate) fn check(&self, n_features: u64) -> Result<(), &'static str> {
        let n = self.len();
        let lengths = [self.thresholds.len(), self.rights.len(), self.weights.len(), self.impurities.len()];
        if n == 0 || self.width == 0 || lengths.iter().any(|length| *length != n) || n.checked_mul(self.width) != Some(self.values.len()) {
            return Err("the lengths of its arrays do not agree");
        }
        let numbers = [&self.thresholds, &self.values, &self.weights, &self.impurities];
        if numbers.into_iter().flatten().any(|number| !number.is_finite()) {
            return Err("a number of a node is not finite");
        }
        if self.features.iter().any(|feature| *feature != LEAF && u64::from(*feature) >= n_features) {
            return Err("a feature lies outside the feature space");
        }
        let mut due = vec![0_u64];
        for at in 0..n {
            if due.pop() != Some(at as u64) {
                return Err("its nodes are not in preorder");
            }
            if self.features[at] == LEAF && self.rights[at] != 0 {
                return Err("a leaf has a child");
            }
            if self.features[at] != LEAF {
                due.push(u64::from(self.rights[at]));
                due.push(at as u64 + 1);
            }
        }
        if due.is_empty() { Ok(()) } else { Err("a node has no child") }
    }

    /// Bytes that these nodes take in the stored form.
    pub fn stored_bytes(&self) -> u64 {
        Self::bytes_of(self.len(), self.width).map_or(u64::MAX, |bytes| bytes as u64)
    }

    /// Bytes of the stored form of so many nodes; `None` on overflow.
    pub(super) fn bytes_of(nodes: usize, width: usize) -> Option<usize> {
        let whole = nodes.checked_mul(4)?.checked_next_multiple_of(8)?.checked_mul(2)?;
        whole.checked_add(nodes.checked_mul(width.checked_add(3)?)?.checked_mul(8)?)
    }

    /// Features and right children as u32, each filled up to 8 bytes; thresholds, values, weights, impurities as f64.
    pub(super) fn put(&self, bytes: &mut Vec<u8>) {
        for whole in [&self.features, &self.rights] {
            whole.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
            super::super::frame::pad(bytes);
        }
        for real in [&self.thresholds, &self.values, &self.weights, &self.impurities] {
            real.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        }
    }

    /// Reads what [`Nodes::put`] wrote: exactly `bytes_of` bytes.
    pub(super) fn read(bytes: &[u8], nodes: usize, width: usize) -> Option<Self> {
        if Self::bytes_of(nodes, width)? != bytes.len() {
            return None;
        }
        let (of_whole, of_real) = (4 * nodes, 8 * nodes);
        let whole = |from: usize| bytes[from..from + of_whole].as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let real = |range: Range<usize>| bytes[range].as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        let second = of_whole.next_multiple_of(8);
        let (thresholds, values) = (2 * second, 2 * second + of_real);
        let weights = values + width * of_real;
        Some(Self {
            width,
            features: whole(0),
            rights: whole(second),
            thresholds: real(thresholds..values),
            values: real(values..weights),
            weights: real(weights..weights + of_real),
            impurities: real(weights + of_real..weights + 2 * of_real),
        })
    }
}
