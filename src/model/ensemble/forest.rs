//! The trees of a stored ensemble: their nodes in arrays, one tree after the other, each in preorder, so that the left child of a node
//! is the next one.

use std::ops::Range;

/// Feature of a node that is a leaf; no feature has this number.
pub(super) const LEAF: u32 = u32::MAX;

/// Trees of which each leaf adds one number. A row goes left when `x ≤ threshold`; what it does not hold is 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forest {
    /// Where each tree begins among the nodes.
    pub starts: Vec<u32>,
    /// Feature split on, `u32::MAX` = a leaf.
    pub features: Vec<u32>,
    /// Position of the right child among all nodes, 0 for leaves.
    pub rights: Vec<u32>,
    /// The threshold of a split, or what a leaf adds.
    pub numbers: Vec<f64>,
}

impl Forest {
    /// Number of trees.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Number of nodes of all trees.
    pub fn n_nodes(&self) -> usize {
        self.features.len()
    }

    /// Number of leaves of all trees.
    pub fn n_leaves(&self) -> usize {
        (self.n_nodes() + self.len()) / 2
    }

    /// The nodes of a tree.
    pub fn range(&self, tree: usize) -> Range<usize> {
        let end = self.starts.get(tree + 1).map_or(self.n_nodes(), |end| *end as usize);
        self.starts[tree] as usize..end
    }

    /// The feature, threshold and children of a node that is split.
    pub fn split(&self, at: usize) -> Option<(u32, f64, usize, usize)> {
        let feature = self.features[at];
        (feature != LEAF).then(|| (feature, self.numbers[at], at + 1, self.rights[at] as usize))
    }

    /// What a tree adds to a row, by what it holds at each node's feature; `x` is asked with nodes that are split.
    #[inline]
    pub(crate) fn value(&self, tree: usize, x: impl Fn(usize) -> f64) -> f64 {
        let mut at = self.starts[tree] as usize;
        while self.features[at] != LEAF {
            at = if x(at) <= self.numbers[at] { at + 1 } else { self.rights[at] as usize };
        }
        self.numbers[at]
    }

    /// Appends a tree: of each node in preorder how it is split, with the right child counted from the root, and what it adds.
    pub fn push(&mut self, nodes: impl Iterator<Item = (Option<(u32, f64, u32)>, f64)>) {
        let start = self.n_nodes() as u32;
        self.starts.push(start);
        for (split, value) in nodes {
            let (feature, number, right) =
                split.map_or((LEAF, value, 0), |(feature, threshold, right)| (feature, threshold, start + right));
            self.features.push(feature);
            self.numbers.push(number);
            self.rights.push(right);
        }
    }

    /// Most splits between a root and a leaf.
    pub fn depth(&self) -> u32 {
        let mut depths = vec![0_u32; self.n_nodes()];
        for at in 0..self.n_nodes() {
            if let Some((_, _, left, right)) = self.split(at) {
                depths[left] = depths[at] + 1;
                depths[right] = depths[at] + 1;
            }
        }
        depths.into_iter().max().unwrap_or(0)
    }

    /// The features that are split on, rising.
    pub fn features_used(&self) -> Vec<u32> {
        let mut used: Vec<u32> = self.features.iter().copied().filter(|feature| *feature != LEAF).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// What must hold of all trees that are stored: lengths agree, children come in preorder and stay in their tree, features lie in the
    /// feature space, every number is finite.
    pub(super) fn check(&self, n_features: u64) -> Result<(), &'static str> {
        let n = self.n_nodes();
        if self.rights.len() != n || self.numbers.len() != n || u32::try_from(n).is_err() {
            return Err("the lengths of its arrays do not agree");
        }
        if self.starts.first().copied().unwrap_or(n as u32) != 0 || self.starts.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err("its trees do not follow one another");
        }
        if self.starts.last().is_some_and(|last| *last as usize >= n) {
            return Err("a tree has no node");
        }
        if self.numbers.iter().any(|number| !number.is_finite()) {
            return Err("a number of a node is not finite");
        }
        if self.features.iter().any(|feature| *feature != LEAF && u64::from(*feature) >= n_features) {
            return Err("a feature lies outside the feature space");
        }
        let mut due = Vec::new();
        for tree in 0..self.len() {
            let nodes = self.range(tree);
            due.push(nodes.start as u64);
            for at in nodes {
                if due.pop() != Some(at as u64) {
                    return Err("its nodes are not in preorder");
                }
                if self.features[at] != LEAF {
                    due.push(u64::from(self.rights[at]));
                    due.push(at as u64 + 1);
                } else if self.rights[at] != 0 {
                    return Err("a leaf has a child");
                }
            }
            if !due.is_empty() {
                return Err("a node has no child");
            }
        }
        Ok(())
    }

    /// Bytes of the stored form of so many trees and nodes; `None` on overflow.
    pub(super) fn bytes_of(trees: usize, nodes: usize) -> Option<usize> {
        let words = |n: usize| n.checked_mul(4)?.checked_next_multiple_of(8);
        words(trees)?.checked_add(words(nodes)?.checked_mul(2)?)?.checked_add(nodes.checked_mul(8)?)
    }
}
