//! A grown tree: arrays of nodes in preorder, a parent before its children and all of the left before the right.

use super::clock::{BLOCK, Clock};
use super::{Observe, Unfit};
use crate::matrix::{Column, ColumnsView, Number, ValuesView};

/// A node of a tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node {
    /// How it is split; `None` = a leaf.
    pub split: Option<Split>,
    /// Sum of the sample weights of the rows it was grown on.
    pub weight: f64,
    /// Impurity of those rows: mean squared distance, Gini or entropy (in bits).
    pub impurity: f64,
}

/// A split: left when `x ≤ threshold`, absent = 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split {
    /// The feature, as [`ColumnsView::features`] names it.
    pub feature: u32,
    /// A finite number.
    pub threshold: f64,
    /// Position of the left child.
    pub left: u32,
    /// Position of the right child.
    pub right: u32,
}

/// A decision tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    width: usize,
    nodes: Vec<Node>,
    values: Vec<f64>,
}

impl Tree {
    /// A tree from its arrays, or what is wrong with them: `nodes` in preorder, `width` values for each of them.
    pub fn new(width: usize, nodes: Vec<Node>, values: Vec<f64>) -> Result<Self, &'static str> {
        if nodes.is_empty() || width == 0 || nodes.len().checked_mul(width) != Some(values.len()) {
            return Err("the values do not fit the nodes");
        }
        let finite = |node: &Node| {
            node.weight.is_finite() && node.impurity.is_finite() && node.split.is_none_or(|split| split.threshold.is_finite())
        };
        if values.iter().any(|value| !value.is_finite()) || !nodes.iter().all(finite) {
            return Err("a value, weight, impurity or threshold is not finite");
        }
        // each node must be the one that a walk in preorder comes to next
        let mut due = vec![0];
        for (at, node) in nodes.iter().enumerate() {
            if due.pop() != Some(at as u32) {
                return Err("the nodes are not in preorder");
            }
            if let Some(split) = node.split {
                due.push(split.right);
                due.push(split.left);
            }
        }
        if due.is_empty() { Ok(Self { width, nodes, values }) } else { Err("a child is missing") }
    }

    /// Puts the nodes reached from the root into preorder; `cut` makes a leaf of a node. Also tells where each of them stands now.
    pub(crate) fn rebuilt(width: usize, nodes: &[Node], values: &[f64], cut: impl Fn(usize) -> bool) -> (Self, Vec<u32>) {
        let mut tree = Self { width, nodes: Vec::new(), values: Vec::new() };
        let mut places = vec![0; nodes.len()];
        // (old position, new parent if the node is its right child)
        let mut due: Vec<(usize, Option<usize>)> = vec![(0, None)];
        while let Some((old, right_of)) = due.pop() {
            let new = tree.nodes.len();
            places[old] = new as u32;
            if let Some(split) = right_of.and_then(|parent| tree.nodes[parent].split.as_mut()) {
                split.right = new as u32;
            }
            let mut node = nodes[old];
            node.split = node.split.filter(|_| !cut(old));
            if let Some(split) = &mut node.split {
                due.push((split.right as usize, Some(new)));
                due.push((split.left as usize, None));
                split.left = new as u32 + 1;
            }
            tree.nodes.push(node);
            tree.values.extend_from_slice(&values[old * width..(old + 1) * width]);
        }
        (tree, places)
    }

    /// The nodes; the root is the first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Numbers of a value: 1 for numbers, else the number of classes.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What a node predicts: the mean, or the share of each class.
    pub fn value(&self, node: usize) -> &[f64] {
        &self.values[node * self.width..(node + 1) * self.width]
    }

    /// The values of all nodes, one after the other.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The same splits with other values, `width` 1.
    pub(crate) fn with_values(self, values: Vec<f64>) -> Self {
        debug_assert_eq!(values.len(), self.nodes.len());
        Self { width: 1, nodes: self.nodes, values }
    }

    /// Number of leaves.
    pub fn n_leaves(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// Splits between each node and the root.
    pub fn depths(&self) -> Vec<u32> {
        let mut depths = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            if let Some(split) = node.split {
                depths[split.left as usize] = depths[at] + 1;
                depths[split.right as usize] = depths[at] + 1;
            }
        }
        depths
    }

    /// Most splits between the root and a leaf.
    pub fn depth(&self) -> u32 {
        self.depths().into_iter().max().unwrap_or(0)
    }

    /// The parent of each node; the root is its own.
    pub(crate) fn parents(&self) -> Vec<u32> {
        let mut parents = vec![0; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            if let Some(split) = node.split {
                parents[split.left as usize] = at as u32;
                parents[split.right as usize] = at as u32;
            }
        }
        parents
    }

    /// The features that are split on, rising.
    pub fn features(&self) -> Vec<u32> {
        let mut features: Vec<u32> = self.nodes.iter().filter_map(|node| node.split.map(|split| split.feature)).collect();
        features.sort_unstable();
        features.dedup();
        features
    }

    /// The leaf of a row given by what it holds of each feature, 0 where it holds nothing.
    pub fn leaf(&self, x: impl Fn(u32) -> f64) -> usize {
        let mut at = 0;
        while let Some(split) = self.nodes[at].split {
            at = if x(split.feature) <= split.threshold { split.left } else { split.right } as usize;
        }
        at
    }

    /// The leaf of a sparse row; `features` rise.
    pub fn leaf_of_sparse(&self, features: &[u32], values: &[f64]) -> usize {
        self.leaf(|feature| features.binary_search(&feature).ok().and_then(|at| values.get(at)).copied().unwrap_or(0.0))
    }

    /// The leaf of every row of a matrix, by columns: each split looks at the entries of its column once.
    pub fn leaves_of(&self, x: ColumnsView, observe: &Observe) -> Result<Vec<u32>, Unfit> {
        self.leaves_with(x, &mut Clock::new(observe, None))
    }

    pub(crate) fn leaves_with(&self, x: ColumnsView, clock: &mut Clock) -> Result<Vec<u32>, Unfit> {
        match x.values {
            ValuesView::Single(values) => self.leaves_typed(x, values, clock),
            ValuesView::Double(values) => self.leaves_typed(x, values, clock),
        }
    }

    /// A row carries a label until an entry sends it away from where zeros go: the zeros' child takes over its parent's
    /// label, so rows without an entry are never touched.
    fn leaves_typed<V: Number>(&self, x: ColumnsView, values: &[V], clock: &mut Clock) -> Result<Vec<u32>, Unfit> {
        let mut label_of_node = vec![0_u32; self.nodes.len()];
        // the node that a label stands for at the end
        let mut node_of_label = vec![0_u32];
        let mut labels = vec![0_u32; x.n_rows];
        for (at, node) in self.nodes.iter().enumerate() {
            let label = label_of_node[at];
            node_of_label[label as usize] = at as u32;
            let Some(split) = node.split else { continue };
            let zeros_left = 0.0 <= split.threshold;
            let (stay, leave) = if zeros_left { (split.left, split.right) } else { (split.right, split.left) };
            let fresh = node_of_label.len() as u32;
            node_of_label.push(leave);
            label_of_node[stay as usize] = label;
            label_of_node[leave as usize] = fresh;
            let Some(column) = x.position(split.feature) else { continue };
            let Column { rows, values } = x.column(column, values);
            for (rows, values) in rows.chunks(BLOCK).zip(values.chunks(BLOCK)) {
                clock.work(rows.len())?;
                for (row, value) in (Column { rows, values }).iter() {
                    if labels[row] == label && (value <= split.threshold) != zeros_left {
                        labels[row] = fresh;
                    }
                }
            }
        }
        labels.iter_mut().for_each(|label| *label = node_of_label[*label as usize]);
        Ok(labels)
    }

    /// What is predicted for every row of a matrix: `width` numbers a row.
    pub fn predict(&self, x: ColumnsView, observe: &Observe) -> Result<Vec<f64>, Unfit> {
        let leaves = self.leaves_of(x, observe)?;
        Ok(leaves.into_iter().flat_map(|leaf| self.value(leaf as usize).iter().copied()).collect())
    }

    /// Checks that a tree is for a kind of target.
    pub(crate) fn is_for(&self, target: &super::Target) -> Result<(), Unfit> {
        if self.width == target.width() { Ok(()) } else { Err(Unfit::Shape) }
    }
}

/// The class with the largest share, the lowest among equals.
pub(crate) fn likeliest(shares: &[f64]) -> usize {
    shares.iter().enumerate().fold(0, |best, (class, &share)| if share > shares[best] { class } else { best })
}
