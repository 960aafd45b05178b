//! Growing: the frontier of nodes that can still be split, and what happens when one is.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::marker::PhantomData;
use std::ops::Range;

use super::bins::Bins;
use super::classes::{Classes, Counts, ManyClasses, TwoClasses};
use super::clock::{BLOCK, Clock};
use super::impurity::XLogX;
use super::numbers::{Numbers, Sums};
use super::part::{Cell, Part, Places, Summed};
use super::search::{Best, best_of, threshold};
use super::weights::Weights;
use super::{Hands, Impurity, Limits, Node, Observe, Split, Target, Tree, Unfit};

/// What a node says of its rows.
pub(crate) struct Described {
    pub(crate) weight: f64,
    pub(crate) impurity: f64,
    /// Whether all rows have one target.
    pub(crate) pure: bool,
}

/// A kind of target: how it is summed and how splits are judged.
pub(crate) trait Kind: Sync {
    type Cell: Cell;
    /// How the targets of the rows of a part are summed.
    type Summed: Summed<Cell = Self::Cell>;
    /// What judges the splits of one node.
    type Measured: Sync;

    fn summed(&self, rows: &[u32], clock: &mut Clock) -> Result<Self::Summed, Unfit>;

    /// Whether these rows deserve to be summed anew.
    fn outgrown(&self, _summed: &Self::Summed, _rows: &[u32], _clock: &mut Clock) -> Result<bool, Unfit> {
        Ok(false)
    }

    /// Describes a node and appends its value.
    fn describe(&self, rows: &[u32], values: &mut Vec<f64>, clock: &mut Clock) -> Result<Described, Unfit>;

    fn measured(&self, summed: &Self::Summed, rows: &[u32], clock: &mut Clock) -> Result<Self::Measured, Unfit>;

    /// The best split of some features; `limits` are the node's whole weight and the least on either side.
    fn best(
        &self,
        part: &Part<Self::Cell>,
        features: Range<usize>,
        measured: &Self::Measured,
        limits: (i64, i64),
        clock: &mut Clock,
    ) -> Result<Option<Best>, Unfit>;

    /// The impurity times whole weight that a split takes away.
    fn decrease(&self, measured: &Self::Measured, best: &Best) -> f64;
}

/// Grows a tree. A row of weight 0 is as good as absent; without `weights` all are 1.
pub fn grow(bins: &Bins, weights: Option<&[f64]>, limits: &Limits, hands: &Hands, observe: &Observe) -> Result<Tree, Unfit> {
    grow_with(bins, weights, limits, hands, &mut Clock::new(observe, None))
}

pub(crate) fn grow_with(bins: &Bins, weights: Option<&[f64]>, limits: &Limits, hands: &Hands, clock: &mut Clock) -> Result<Tree, Unfit> {
    limits.check()?;
    let weights = &Weights::new(weights, bins.x.n_rows)?;
    let room = &mut Room::new(bins);
    match bins.target {
        Target::Numbers(y) => Grower::new(bins, Numbers { y, weights }, weights, limits, hands, room, clock).tree(),
        Target::Classes { of_row, n, impurity } => {
            let longest = if impurity == Impurity::Entropy { bins.x.n_rows } else { 0 };
            let table = &XLogX::new(weights.total, longest, clock)?;
            let classes = Classes { of_row, n, impurity, weights, table };
            if n > 2 {
                Grower::new(bins, ManyClasses(classes), weights, limits, hands, room, clock).tree()
            } else if weights.total <= i64::from(u32::MAX) {
                let kind = TwoClasses::<Counts> { classes, cell: PhantomData };
                Grower::new(bins, kind, weights, limits, hands, room, clock).tree()
            } else {
                let kind = TwoClasses::<Sums> { classes, cell: PhantomData };
                Grower::new(bins, kind, weights, limits, hands, room, clock).tree()
            }
        }
    }
}

/// Rows are about all that there are if no more than one in so many is missing.
const MISSING: usize = 4;

/// Grows a tree for the numbers `y` on some rows of positive weight, rising, and returns it with the leaf of each of them. The cost follows
/// those rows alone: `room` is made once for all trees on these bins, whose own targets are not looked at.
#[allow(clippy::too_many_arguments)]
pub(crate) fn grow_on(
    bins: &Bins,
    y: &[f64],
    rows: &[u32],
    weights: &Weights,
    limits: &Limits,
    hands: &Hands,
    room: &mut Room,
    clock: &mut Clock,
) -> Result<(Tree, Vec<u32>), Unfit> {
    let all = (bins.x.n_rows - rows.len()).saturating_mul(MISSING) <= bins.x.n_rows;
    let grown = Grower::new(bins, Numbers { y, weights }, weights, limits, hands, room, clock).tree_on(rows.to_vec(), all);
    let grown = grown.map(|(tree, places)| (tree, rows.iter().map(|&row| places[room.node_of[row as usize] as usize]).collect()));
    room.places.reset(rows);
    rows.iter().for_each(|&row| room.node_of[row as usize] = u32::MAX);
    grown
}

/// What growing takes of the length of the matrix; as new again after every tree of [`grow_on`].
pub(crate) struct Room {
    places: Places,
    /// Node of each row that takes part.
    node_of: Vec<u32>,
}

impl Room {
    pub(crate) fn new(bins: &Bins) -> Self {
        Self { places: Places::new(bins), node_of: vec![u32::MAX; bins.x.n_rows] }
    }
}

/// A node that can be split, and how.
struct Open<'a, K: Kind> {
    node: usize,
    depth: u32,
    rows: Vec<u32>,
    part: Part<'a, K::Cell>,
    summed: K::Summed,
    best: Best,
    /// Impurity taken away, times the node's share of all weight.
    decrease: f64,
    threshold: f64,
}

impl<K: Kind> Ord for Open<'_, K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.decrease.total_cmp(&other.decrease).then(Reverse(self.node).cmp(&Reverse(other.node)))
    }
}

impl<K: Kind> PartialOrd for Open<'_, K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Kind> PartialEq for Open<'_, K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K: Kind> Eq for Open<'_, K> {}

/// Nodes that can be split, in the order they will be.
enum Frontier<'a, K: Kind> {
    DepthFirst(Vec<Open<'a, K>>),
    BestFirst(BinaryHeap<Open<'a, K>>),
}

impl<'a, K: Kind> Frontier<'a, K> {
    fn push(&mut self, open: Open<'a, K>) {
        match self {
            Self::DepthFirst(stack) => stack.push(open),
            Self::BestFirst(heap) => heap.push(open),
        }
    }

    fn pop(&mut self) -> Option<Open<'a, K>> {
        match self {
            Self::DepthFirst(stack) => stack.pop(),
            Self::BestFirst(heap) => heap.pop(),
        }
    }
}

struct Grower<'a, 'c, 'o, K: Kind> {
    bins: &'a Bins<'a>,
    kind: K,
    weights: &'a Weights<'a>,
    limits: &'a Limits,
    hands: &'a Hands<'a>,
    clock: &'c mut Clock<'o>,
    /// Least whole weight of a leaf.
    floor: i64,
    room: &'c mut Room,
    nodes: Vec<Node>,
    values: Vec<f64>,
}

/// A child that a split has just made.
struct Child {
    node: usize,
    rows: Vec<u32>,
    /// Whether it may be split further.
    open: bool,
}

impl<'a, 'c, 'o, K: Kind> Grower<'a, 'c, 'o, K> {
    fn new(
        bins: &'a Bins<'a>,
        kind: K,
        weights: &'a Weights<'a>,
        limits: &'a Limits,
        hands: &'a Hands<'a>,
        room: &'c mut Room,
        clock: &'c mut Clock<'o>,
    ) -> Self {
        let floor = weights.floor(limits.min_leaf_weight);
        Self { bins, kind, weights, limits, hands, clock, floor, room, nodes: Vec::new(), values: Vec::new() }
    }

    fn tree(self) -> Result<Tree, Unfit> {
        let rows = self.weights.rows(self.bins.x.n_rows);
        self.tree_on(rows, true).map(|(tree, _)| tree)
    }

    /// A tree on some rows, and where its nodes stand in the order in which they were made; `all` says that the rows are about all that
    /// there are.
    fn tree_on(mut self, rows: Vec<u32>, all: bool) -> Result<(Tree, Vec<u32>), Unfit> {
        let mut frontier = match self.limits.max_leaves {
            None => Frontier::DepthFirst(Vec::new()),
            Some(_) => Frontier::BestFirst(BinaryHeap::new()),
        };
        let most_leaves = self.limits.max_leaves.unwrap_or(usize::MAX);
        let root = self.child(0, rows)?;
        if !self.nodes[0].impurity.is_finite() || !self.nodes[0].weight.is_finite() {
            return Err(Unfit::NonFinite);
        }
        if root.open && most_leaves > 1 {
            let summed = self.kind.summed(&root.rows, self.clock)?;
            let part = match all {
                true => Part::root(self.bins, &root.rows, &summed, self.clock)?,
                false => Part::unsummed(self.bins).apart(&root.rows, &mut self.room.places, &summed, self.clock)?,
            };
            if let Some(open) = self.open(root, 0, part, summed)? {
                frontier.push(open);
            }
        }
        let mut leaves = 1;
        while leaves < most_leaves {
            let Some(open) = frontier.pop() else { break };
            leaves += 1;
            self.clock.progress.splits += 1;
            self.split(open, leaves < most_leaves, &mut frontier)?;
        }
        let width = self.bins.target.width();
        Ok(Tree::rebuilt(width, &self.nodes, &self.values, |_| false))
    }

    /// A new node.
    fn child(&mut self, depth: u32, rows: Vec<u32>) -> Result<Child, Unfit> {
        let node = self.nodes.len();
        let Described { weight, impurity, pure } = self.kind.describe(&rows, &mut self.values, self.clock)?;
        self.nodes.push(Node { split: None, weight, impurity });
        let mut whole = 0_i64;
        self.clock.each(&rows, |row| {
            self.room.node_of[row as usize] = node as u32;
            whole += self.weights.whole(row);
        })?;
        let deep = self.limits.max_depth.is_some_and(|most| depth >= most);
        let open = !pure && !deep && whole / 2 >= self.floor;
        Ok(Child { node, rows, open })
    }

    /// Looks for the best split of a node; `None` makes it a leaf.
    fn open(&mut self, child: Child, depth: u32, part: Part<'a, K::Cell>, summed: K::Summed) -> Result<Option<Open<'a, K>>, Unfit> {
        let Child { node, rows, .. } = child;
        let measured = self.kind.measured(&summed, &rows, self.clock)?;
        let mut whole = 0;
        self.clock.each(&rows, |row| whole += self.weights.whole(row))?;
        let (kind, limits) = (&self.kind, (whole, self.floor));
        let look = |features: Range<usize>, clock: &mut Clock| kind.best(&part, features, &measured, limits, clock);
        let Some(best) = best_of(&part, self.hands, self.clock, look)? else { return Ok(None) };
        let decrease = self.kind.decrease(&measured, &best) / self.weights.total as f64;
        // what rounding takes off never decides
        if decrease * (1.0 + 1e-12) < self.limits.min_impurity_decrease {
            return Ok(None);
        }
        let threshold = threshold(self.bins, &part, &best, whole);
        Ok(Some(Open { node, depth, rows, part, summed, best, decrease, threshold }))
    }

    /// Splits a node, and opens its children where there is more to come.
    fn split(&mut self, open: Open<'a, K>, more: bool, frontier: &mut Frontier<'a, K>) -> Result<(), Unfit> {
        let cut_off = self.cut_off(&open)?;
        let Open { node, depth, rows, mut part, mut summed, best, threshold, .. } = open;
        self.clock.each(&cut_off, |row| self.room.node_of[row as usize] = u32::MAX)?;
        let mut rest = Vec::with_capacity(rows.len() - cut_off.len());
        self.clock.each(&rows, |row| {
            if self.room.node_of[row as usize] == node as u32 {
                rest.push(row);
            }
        })?;
        drop(rows);
        let (left, right) = if best.zeros_left { (rest, cut_off) } else { (cut_off, rest) };
        let (left, right) = (self.child(depth + 1, left)?, self.child(depth + 1, right)?);
        let feature = self.bins.x.features[part.column(best.feature)];
        self.nodes[node].split = Some(Split { feature, threshold, left: left.node as u32, right: right.node as u32 });
        if !more || !(left.open || right.open) {
            return Ok(());
        }
        let (left_entries, right_entries) = (part.n_entries(&left.rows, &self.room.places), part.n_entries(&right.rows, &self.room.places));
        let left_is_small = left_entries <= right_entries;
        let larger_entries = left_entries.max(right_entries);
        let (small, large) = if left_is_small { (left, right) } else { (right, left) };
        // a part with more holes than cells is worth making anew
        let anew = larger_entries < part.size() / 2 || self.kind.outgrown(&summed, &large.rows, self.clock)?;
        if large.open && !anew {
            part.take_off(&small.rows, &self.room.places, &summed, self.clock)?;
        }
        let made = if small.open {
            let summed = self.kind.summed(&small.rows, self.clock)?;
            Some((part.apart(&small.rows, &mut self.room.places, &summed, self.clock)?, summed))
        } else {
            None
        };
        let mut opened = [None, None];
        if large.open {
            if anew {
                summed = self.kind.summed(&large.rows, self.clock)?;
                part = part.apart(&large.rows, &mut self.room.places, &summed, self.clock)?;
            }
            opened[usize::from(left_is_small)] = self.open(large, depth + 1, part, summed)?;
        }
        if let Some((part, summed)) = made {
            opened[usize::from(!left_is_small)] = self.open(small, depth + 1, part, summed)?;
        }
        // the left one is split first
        opened.into_iter().rev().flatten().for_each(|open| frontier.push(open));
        Ok(())
    }

    /// The rows that a split cuts off on the side where no zeros are, rising.
    fn cut_off(&mut self, open: &Open<'a, K>) -> Result<Vec<u32>, Unfit> {
        let Open { part, best, rows, .. } = open;
        let x = &self.bins.x;
        let entries = x.range(part.column(best.feature));
        let mut found = Vec::new();
        if entries.len() / 8 <= rows.len() {
            for start in entries.clone().step_by(BLOCK) {
                let block = start..(start + BLOCK).min(entries.end);
                self.clock.work(block.len())?;
                for entry in block {
                    let row = x.rows[entry];
                    if self.room.node_of[row as usize] == open.node as u32
                        && (self.bins.value(entry as u32) > open.threshold) == best.zeros_left
                    {
                        found.push(row);
                    }
                }
            }
        } else {
            let cells =
                if best.zeros_left { best.boundary..part.starts[best.feature + 1] } else { part.starts[best.feature]..best.boundary };
            let places = &self.room.places;
            self.clock.each(rows, |row| {
                let row_cells = part.row(row, places);
                let at = row_cells.partition_point(|&cell| cell < cells.start);
                if row_cells.get(at).is_some_and(|&cell| cell < cells.end) {
                    found.push(row);
                }
            })?;
        }
        Ok(found)
    }
}
