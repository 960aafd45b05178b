//! The rows of a data set in the leaves of a tree: the score of every pruning of it on them, and how exact that score is.
//!
//! Scores are those of an evaluation: R² of numbers, the area under the curve of two classes, accuracy of more. All prunings
//! are scored in one walk along the path: each step changes only what its cuts change.

use super::evaluate_classes;
use super::target::numbers;
use super::{TrainError, go_on, unfit};
use crate::dataset::{Class, Dataset};
use crate::tree::{Impurity, Observe, Progress, PruningPath, Target, Tree, node_losses};

/// Rows or leaves looked at between two looks up.
const UNSEEN: usize = 1 << 12;

/// The rows, and what each node would lose on them.
pub(super) struct HeldOutRows<'d> {
    tree: Tree,
    y: Wanted,
    weights: Option<&'d [f64]>,
    /// Leaf of each row.
    leaves: Vec<u32>,
    /// Of each node, were it a leaf: weighted squared errors, or weight of wrong classes.
    losses: Vec<f64>,
    /// Σw.
    total: f64,
}

/// What the rows hold.
enum Wanted {
    Numbers(Vec<f64>),
    /// Position of each row's class among the tree's, and how many those are.
    Classes(Vec<u32>, usize),
}

impl Wanted {
    fn target(&self) -> Target<'_> {
        match self {
            Self::Numbers(y) => Target::Numbers(y),
            // how impure a node is is not asked of rows held out
            Self::Classes(of_row, n) => Target::Classes { of_row, n: *n, impurity: Impurity::Gini },
        }
    }
}

/// Asks now and then whether to go on.
struct Steps<'o> {
    observe: &'o Observe<'o>,
    unseen: usize,
}

impl<'o> Steps<'o> {
    fn new(observe: &'o Observe<'o>) -> Self {
        Self { observe, unseen: UNSEEN }
    }

    fn one(&mut self) -> Result<(), TrainError> {
        self.unseen += 1;
        if self.unseen < UNSEEN {
            return Ok(());
        }
        self.unseen = 0;
        go_on((self.observe)(&Progress::default()))
    }
}

impl<'d> HeldOutRows<'d> {
    /// Sends the rows down a tree whose features are called as the data set does.
    pub(super) fn of(dataset: &'d Dataset, tree: &Tree, classes: Option<&[Class]>, observe: &Observe<'_>) -> Result<Self, TrainError> {
        let y = match classes {
            None => Wanted::Numbers(numbers(dataset)?),
            Some(classes) => {
                let known: Vec<Option<Class>> = classes.iter().cloned().map(Some).collect();
                let places = evaluate_classes::target(dataset, &known)?;
                Wanted::Classes(places.into_iter().map(|place| place as u32).collect(), classes.len())
            }
        };
        let (x, weights) = (dataset.x.view(), dataset.weights.as_deref());
        let losses = node_losses(tree, x, &y.target(), weights, observe)?;
        let leaves = tree.leaves_of(x, observe)?;
        let total = weights.map_or(dataset.y.len() as f64, |weights| weights.iter().sum());
        if total > 0.0 {
            Ok(Self { tree: tree.clone(), y, weights, leaves, losses, total })
        } else {
            Err(unfit("invalid_weight", "All sample weights are 0."))
        }
    }

    /// Of each node, were it a leaf: weighted squared errors, or weight of wrong classes.
    pub(super) fn losses(&self) -> &[f64] {
        &self.losses
    }

    fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Weighted sum of squares about the mean.
    fn spread(&self, y: &[f64]) -> f64 {
        let sum = |f: &dyn Fn(f64) -> f64| y.iter().enumerate().map(|(row, y)| self.weight(row) * f(*y)).sum::<f64>();
        let mean = sum(&|y| y) / self.total;
        sum(&|y| (y - mean).powi(2))
    }

    /// The score of every step; `None` where these rows do not define it.
    pub(super) fn scores(&self, path: &PruningPath, observe: &Observe<'_>) -> Result<Vec<Option<f64>>, TrainError> {
        let spans = spans(&self.tree, path);
        let relative = |whole: f64| -> Vec<Option<f64>> {
            let mut changes = vec![0.0; path.steps().len()];
            for (span, loss) in spans.iter().zip(&self.losses) {
                if let Some((from, to)) = span {
                    changes[*from] += loss;
                    if let Some(change) = changes.get_mut(*to) {
                        *change -= loss;
                    }
                }
            }
            let running = changes.iter().scan(0.0, |sum: &mut f64, change| {
                *sum += change;
                Some(sum.max(0.0))
            });
            running.map(|loss| (whole > 0.0 && whole.is_finite()).then(|| 1.0 - loss / whole)).collect()
        };
        match &self.y {
            Wanted::Numbers(y) => Ok(relative(self.spread(y))),
            Wanted::Classes(of_row, 2) => self.areas(of_row, &spans, path.steps().len(), &mut Steps::new(observe)),
            Wanted::Classes(..) => Ok(relative(self.total)),
        }
    }

    /// Weights of either class that come to each node.
    fn sides(&self, of_row: &[u32]) -> [Vec<f64>; 2] {
        let nodes = self.tree.nodes();
        let mut sides = [vec![0.0; nodes.len()], vec![0.0; nodes.len()]];
        for (row, (leaf, class)) in self.leaves.iter().zip(of_row).enumerate() {
            sides[usize::from(*class == 1)][*leaf as usize] += self.weight(row);
        }
        for at in (0..nodes.len()).rev() {
            if let Some(split) = nodes[at].split {
                sides.iter_mut().for_each(|side| side[at] = side[split.left as usize] + side[split.right as usize]);
            }
        }
        sides
    }

    /// The rank of each node by its share of the second class, from 0; equal shares have one.
    fn ranks(&self) -> (Vec<usize>, usize) {
        let share = |at: usize| self.tree.value(at)[1];
        let mut order: Vec<usize> = (0..self.tree.nodes().len()).collect();
        order.sort_by(|a, b| share(*a).total_cmp(&share(*b)));
        let mut ranks = vec![0; order.len()];
        let mut n = 0;
        for equal in order.chunk_by(|a, b| share(*a) == share(*b)) {
            equal.iter().for_each(|at| ranks[*at] = n);
            n += 1;
        }
        (ranks, n)
    }

    /// The area under the curve of every step: leaves come and go, and with each the pairs of rows that it orders.
    fn areas(&self, of_row: &[u32], spans: &[Span], n_steps: usize, steps: &mut Steps<'_>) -> Result<Vec<Option<f64>>, TrainError> {
        let [zeros, ones] = self.sides(of_row);
        let all = zeros[0] * ones[0];
        if all <= 0.0 || !all.is_finite() {
            return Ok(vec![None; n_steps]);
        }
        let (ranks, n_ranks) = self.ranks();
        let mut moves: Vec<(usize, bool, usize)> = Vec::new();
        for (at, span) in spans.iter().enumerate() {
            if let Some((from, to)) = span {
                moves.push((*from, true, at));
                if *to < n_steps {
                    moves.push((*to, false, at));
                }
            }
        }
        moves.sort_unstable();
        let [mut below, mut above] = [Sums::new(n_ranks), Sums::new(n_ranks)];
        let (mut pairs, mut areas) = (0.0_f64, Vec::with_capacity(n_steps));
        for one in moves.chunk_by(|a, b| a.0 == b.0) {
            // a step without moves there is none
            for &(_, comes, at) in one {
                steps.one()?;
                let (rank, zero, one) = (ranks[at], zeros[at], ones[at]);
                if comes {
                    below.add(rank, zero);
                    above.add(rank, one);
                }
                let equal = [below.before(rank + 1) - below.before(rank), above.before(rank + 1) - above.before(rank)];
                let ones_above = above.all - above.before(rank + 1);
                // its own pairs stand in both sums
                let touched = one * (below.before(rank) + 0.5 * equal[0]) + zero * (ones_above + 0.5 * equal[1]) - 0.5 * zero * one;
                if comes {
                    pairs += touched;
                } else {
                    pairs -= touched;
                    below.add(rank, -zero);
                    above.add(rank, -one);
                }
            }
            areas.push(Some((pairs / all).clamp(0.0, 1.0)));
        }
        areas.resize(n_steps, areas.last().copied().flatten());
        Ok(areas)
    }

    /// The standard error of the score of one step, of the rows as a sample; of the area under the curve that of DeLong, DeLong and
    /// Clarke-Pearson (1988). `None` where the score is not defined, or a class has one row only.
    pub(super) fn standard_error(&self, path: &PruningPath, step: usize, observe: &Observe<'_>) -> Result<Option<f64>, TrainError> {
        let mut steps = Steps::new(observe);
        // the node of the step's tree that each row comes to
        let mut tops: Vec<usize> = (0..self.tree.nodes().len()).collect();
        for (at, node) in self.tree.nodes().iter().enumerate() {
            if let Some(split) = node.split
                && (tops[at] != at || path.cut_at(at).is_some_and(|cut| cut <= step))
            {
                (tops[split.left as usize], tops[split.right as usize]) = (tops[at], tops[at]);
            }
        }
        let top = |row: usize| tops[self.leaves[row] as usize];
        match &self.y {
            Wanted::Numbers(y) => {
                let spread = self.spread(y) / self.total;
                let error = self.error_of_mean(|_| true, |row| (y[row] - self.tree.value(top(row))[0]).powi(2), &mut steps)?;
                Ok(error.filter(|_| spread > 0.0).map(|(_, square)| square.sqrt() / spread))
            }
            Wanted::Classes(of_row, 2) => {
                let [zeros, ones] = self.sides(of_row);
                let (ranks, n_ranks) = self.ranks();
                let mut at_rank = vec![[0.0; 2]; n_ranks];
                for at in (0..tops.len()).filter(|at| tops[*at] == *at) {
                    let leaf = self.tree.nodes()[at].split.is_none() || path.cut_at(at).is_some_and(|cut| cut <= step);
                    if leaf {
                        at_rank[ranks[at]][0] += zeros[at];
                        at_rank[ranks[at]][1] += ones[at];
                    }
                }
                // the share of the other class that a row at this rank is ordered rightly with
                let (mut placed, mut before) = (vec![[0.0; 2]; n_ranks], [0.0; 2]);
                for (placed, [zero, one]) in placed.iter_mut().zip(&at_rank) {
                    *placed = [(ones[0] - before[1] - 0.5 * one) / ones[0], (before[0] + 0.5 * zero) / zeros[0]];
                    before = [before[0] + zero, before[1] + one];
                }
                let mut square = 0.0;
                for class in [0, 1] {
                    let of = |row: usize| placed[ranks[top(row)]][class];
                    match self.error_of_mean(|row| of_row[row] as usize == class, of, &mut steps)? {
                        Some((_, part)) => square += part,
                        None => return Ok(None),
                    }
                }
                Ok(Some(square.sqrt()))
            }
            Wanted::Classes(of_row, _) => {
                let wrong = |row: usize| {
                    let shares = self.tree.value(top(row));
                    let told = (1..shares.len()).fold(0, |best, class| if shares[class] > shares[best] { class } else { best });
                    f64::from(u8::from(told != of_row[row] as usize))
                };
                Ok(self.error_of_mean(|_| true, wrong, &mut steps)?.map(|(_, square)| square.sqrt()))
            }
        }
    }

    /// The weighted mean of `f` over the rows with weight that are `in_it`, and the square of its standard error; `None` of fewer than
    /// two rows.
    fn error_of_mean(
        &self,
        in_it: impl Fn(usize) -> bool,
        f: impl Fn(usize) -> f64,
        steps: &mut Steps<'_>,
    ) -> Result<Option<(f64, f64)>, TrainError> {
        let (mut n, mut total, mut sum) = (0.0, 0.0, 0.0);
        let mut each = |visit: &mut dyn FnMut(f64, f64)| -> Result<(), TrainError> {
            for row in 0..self.leaves.len() {
                steps.one()?;
                let weight = self.weight(row);
                if weight > 0.0 && in_it(row) {
                    visit(weight, f(row));
                }
            }
            Ok(())
        };
        each(&mut |weight, value| {
            n += 1.0;
            total += weight;
            sum += weight * value;
        })?;
        let (mean, mut square) = (sum / total, 0.0);
        each(&mut |weight, value| square += (weight / total * (value - mean)).powi(2))?;
        let defined = n > 1.0 && square.is_finite();
        Ok(defined.then(|| (mean, square * n / (n - 1.0))))
    }
}

/// The steps in which a node is a leaf: from the first up to but not with the second, which is the number of steps where it stays
/// one. `None` = in no step.
type Span = Option<(usize, usize)>;

fn spans(tree: &Tree, path: &PruningPath) -> Vec<Span> {
    let n_steps = path.steps().len();
    let mut gone = vec![n_steps; tree.nodes().len()];
    let mut spans = Vec::with_capacity(gone.len());
    for (at, node) in tree.nodes().iter().enumerate() {
        let from = match node.split {
            None => Some(0),
            Some(split) => {
                let cut = path.cut_at(at);
                let below = gone[at].min(cut.unwrap_or(n_steps));
                (gone[split.left as usize], gone[split.right as usize]) = (below, below);
                cut
            }
        };
        spans.push(from.filter(|from| *from < gone[at]).map(|from| (from, gone[at])));
    }
    spans
}

/// Sums over ranks that change one by one (Fenwick 1994).
struct Sums {
    nodes: Vec<f64>,
    all: f64,
}

impl Sums {
    fn new(n: usize) -> Self {
        Self { nodes: vec![0.0; n + 1], all: 0.0 }
    }

    fn add(&mut self, rank: usize, weight: f64) {
        self.all += weight;
        let mut at = rank + 1;
        while let Some(node) = self.nodes.get_mut(at) {
            *node += weight;
            at += at & at.wrapping_neg();
        }
    }

    /// Over the ranks below this one.
    fn before(&self, rank: usize) -> f64 {
        let (mut sum, mut at) = (0.0, rank.min(self.nodes.len() - 1));
        while at > 0 {
            sum += self.nodes[at];
            at &= at - 1;
        }
        sum
    }
}
