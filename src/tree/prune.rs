//! Cost-complexity pruning: the whole path of weakest links (Breiman et al. 1984, chapter 3).
//!
//! With R(T) the sum over leaves of share of weight times impurity, a subtree is as good as its root alone at
//! α = (R(node) − R(branch)) / (leaves − 1). The path cuts where this is least, again and again, until only the root is left.
//! The scale of α is that of scikit-learn: shares and impurities, not sums.

use super::clock::Clock;
use super::{Observe, Tree, Unfit};

/// Alphas closer than this, relative to the impurity of the root or to themselves, are one.
const SAME: (f64, f64) = (1e-14, 1e-10);

/// One tree of the path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// From this α on the tree is the smallest that minimises R(T) + α·leaves.
    pub alpha: f64,
    /// Its leaves.
    pub leaves: usize,
    /// R(T): impurity of its leaves, weighted by their share of all weight.
    pub impurity: f64,
}

/// All trees that cost-complexity pruning makes of one: nested, α rising, leaves falling to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct PruningPath {
    steps: Vec<Step>,
    /// The step at which each node becomes a leaf; `NEVER` for leaves, and for nodes that go with a node above.
    cut: Vec<u32>,
}

const NEVER: u32 = u32::MAX;

/// What is known of the branch below a node.
#[derive(Clone, Copy)]
struct Branch {
    leaves: u32,
    /// Sum over its leaves.
    impurity: f64,
    /// Least α among the nodes in it, infinite for a leaf.
    least: f64,
}

impl PruningPath {
    /// The path of a tree.
    pub fn new(tree: &Tree, observe: &Observe) -> Result<Self, Unfit> {
        Self::with(tree, &mut Clock::new(observe, None))
    }

    pub(crate) fn with(tree: &Tree, clock: &mut Clock) -> Result<Self, Unfit> {
        let nodes = tree.nodes();
        let own: Vec<f64> = nodes.iter().map(|node| node.weight / nodes[0].weight * node.impurity).collect();
        let parents = tree.parents();
        let leaf = |at: usize| Branch { leaves: 1, impurity: own[at], least: f64::INFINITY };
        let alpha = |at: usize, branch: &Branch| ((own[at] - branch.impurity) / f64::from(branch.leaves - 1)).max(0.0);
        let mut branches: Vec<Branch> = (0..nodes.len()).map(leaf).collect();
        let joined = |branches: &[Branch], at: usize, left: u32, right: u32| {
            let (left, right) = (branches[left as usize], branches[right as usize]);
            let (leaves, impurity) = (left.leaves + right.leaves, left.impurity + right.impurity);
            let branch = Branch { leaves, impurity, least: left.least.min(right.least) };
            Branch { least: branch.least.min(alpha(at, &branch)), ..branch }
        };
        for at in (0..nodes.len()).rev() {
            if let Some(split) = nodes[at].split {
                branches[at] = joined(&branches, at, split.left, split.right);
            }
        }
        let mut path = Self { steps: Vec::new(), cut: vec![NEVER; nodes.len()] };
        let mut now = 0.0;
        loop {
            let root = branches[0];
            if root.least > now + SAME.0 * own[0] + SAME.1 * now {
                path.steps.push(Step { alpha: now, leaves: root.leaves as usize, impurity: root.impurity });
                now = root.least;
            }
            if root.leaves == 1 {
                return Ok(path);
            }
            // down to the weakest link, the highest of equal ones; whose branch it is in, its minimum tells
            let mut at = 0;
            let mut steps = 1;
            while let Some(split) = nodes[at].split.filter(|_| alpha(at, &branches[at]) > branches[at].least) {
                at = if branches[split.left as usize].least <= branches[split.right as usize].least { split.left } else { split.right }
                    as usize;
                steps += 1;
            }
            path.cut[at] = path.steps.len() as u32;
            branches[at] = leaf(at);
            clock.work(4 * steps)?;
            while at != 0 {
                at = parents[at] as usize;
                if let Some(split) = nodes[at].split {
                    branches[at] = joined(&branches, at, split.left, split.right);
                }
            }
        }
    }

    /// The trees, from the largest, whose α is 0.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step whose tree minimises R(T) + α·leaves; the first for α < 0.
    pub fn at_alpha(&self, alpha: f64) -> usize {
        self.steps.partition_point(|step| step.alpha <= alpha).saturating_sub(1)
    }

    /// The step with the largest tree of at most `leaves` leaves; the last, the root alone, for 0.
    pub fn at_leaves(&self, leaves: usize) -> usize {
        self.steps.partition_point(|step| step.leaves > leaves).min(self.steps.len() - 1)
    }

    /// The tree of a step: what was cut is gone. `tree` is the one the path was made of.
    pub fn tree(&self, tree: &Tree, step: usize) -> Tree {
        Tree::rebuilt(tree.width(), tree.nodes(), tree.values(), |at| self.cut[at] as usize <= step).0
    }

    /// Geometric means of neighbouring α: what stands for each step in cross-validation. The last has no neighbour above
    /// and stays.
    pub fn midpoints(&self) -> Vec<f64> {
        let middle = |at: usize| match self.steps.get(at + 1) {
            // roots first: a product of two may be too small for a number
            Some(next) => self.steps[at].alpha.sqrt() * next.alpha.sqrt(),
            None => self.steps[at].alpha,
        };
        (0..self.steps.len()).map(middle).collect()
    }

    /// The step at which a node becomes a leaf; `None` for leaves and for nodes that are gone before.
    pub fn cut_at(&self, node: usize) -> Option<usize> {
        self.cut.get(node).filter(|cut| **cut != NEVER).map(|&cut| cut as usize)
    }
}
