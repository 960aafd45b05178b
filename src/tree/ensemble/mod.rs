//! Boosted trees: each is grown, on rows drawn for it, for what those before it leave unexplained; their sum is the predictor.
//!
//! Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 2001 (TreeBoost, of more than two classes its
//! algorithm 6: a tree for each class and round), on samples of the rows as in Friedman, "Stochastic gradient boosting", Computational
//! Statistics & Data Analysis 2002. A tree costs what its own rows cost, and for the others a look at the entries it splits on. Everything
//! drawn is a function of the seed, and no sum hangs on who works.

mod descend;
mod loss;
#[cfg(test)]
mod tests;

use super::clock::Clock;
use super::draw::Draws;
use super::grow::{Room, grow_on};
use super::weights::Weights;
use super::{Bins, Hands, Limits, Observe, Target, Tree, Unfit};

pub use loss::BoostedLoss;

/// How many leaves a tree may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leaves {
    /// As many for every tree, at least 2.
    Most(usize),
    /// 2 + ⌊γ⌋, γ exponential with mean `mean` − 2, so that interactions of any order occur: Friedman & Popescu 2008, 3.3.
    Drawn {
        /// At least 2.
        mean: f64,
    },
}

/// How many rows a tree is grown on, drawn without replacement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampled {
    /// This share of those with weight, in (0, 1]; at least 2.
    Share(f64),
    /// min(N/2, 100 + 6·√N): Friedman & Popescu 2008, 3.3.
    Few,
}

/// How an ensemble is grown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Boosting {
    /// Rounds: each adds a tree, or one for each of more than two classes.
    pub n_trees: usize,
    /// Share of the best step that is taken, in (0, 1].
    pub learning_rate: f64,
    /// Size of the trees.
    pub leaves: Leaves,
    /// Rows of each.
    pub sampled: Sampled,
    /// Least sum of sample weights in a leaf, of the rows drawn.
    pub min_leaf_weight: f64,
    /// Ends when the rows held out have not gained for this many rounds, at least 1.
    pub patience: Option<usize>,
    /// What everything drawn is a function of.
    pub seed: u64,
}

/// What an ensemble is grown for.
#[derive(Clone, Copy, Debug)]
pub struct Boosted<'a> {
    /// What the sum of the trees is compared with a target by.
    pub loss: BoostedLoss,
    /// One number a row: ±1 for the logistic loss, the number of its class for the multinomial.
    pub y: &'a [f64],
    /// One a row, none below 0. A row of weight 0 is as good as absent, and what is drawn then is the same as without it only in law.
    pub weights: Option<&'a [f64]>,
    /// Parts of the predictor that are given; not for classes.
    pub offset: Option<&'a [f64]>,
    /// Rows that no tree is grown on, which say how many trees are best; may be none.
    pub held_out: &'a [u32],
}

/// A constant and trees that are added to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// The best constant of each output: of one, or of as many as there are classes.
    pub base: Vec<f64>,
    /// Round by round, in each one tree for every output, with one value a leaf: what it adds, shrunk already. Values of inner nodes are 0.
    pub trees: Vec<Tree>,
}

/// What was grown.
#[derive(Clone, Debug, PartialEq)]
pub struct Grown {
    /// With rows held out the trees up to the round that was best for them, else all.
    pub ensemble: Ensemble,
    /// Mean loss of the rows held out, before the first round and after each; empty where there are none.
    pub held_out: Vec<f64>,
    /// Leaves of all trees, before the first round and after each.
    pub leaves: Vec<usize>,
    /// Whether `observe` ended it before its time.
    pub halted: bool,
}

impl Grown {
    /// Rounds whose trees are kept.
    pub fn best(&self) -> usize {
        self.ensemble.trees.len() / self.ensemble.base.len()
    }

    /// The ensemble, if it came to its end.
    ///
    /// # Errors
    /// [`Unfit::Stopped`].
    pub fn whole(self) -> Result<Ensemble, Unfit> {
        if self.halted { Err(Unfit::Stopped) } else { Ok(self.ensemble) }
    }
}

/// Grows an ensemble. `bins` are of numbers; their target is not looked at. Told to stop after its first constant it gives back the rounds that
/// were complete.
///
/// # Errors
/// As [`super::grow`]; `fold` is told to `observe`.
pub fn boost(
    bins: &Bins,
    data: &Boosted,
    boosting: &Boosting,
    hands: &Hands,
    fold: Option<usize>,
    observe: &Observe,
) -> Result<Grown, Unfit> {
    let n_rows = bins.x.n_rows;
    data.check(bins)?;
    let weights = &Weights::new(data.weights, n_rows)?;
    let clock = &mut Clock::new(observe, fold);
    let (held_out, learnt) = data.parts(weights, n_rows);
    if learnt.is_empty() {
        return Err(Unfit::NoWeight);
    }
    let base = data.loss.base(data.y, weights, data.offset, &learnt, clock)?;
    let mut score = Vec::with_capacity(base.len() * n_rows);
    for base in &base {
        score.extend((0..n_rows).map(|row| base + data.offset.map_or(0.0, |offset| offset[row])));
    }
    let rooms = (0..hands.threads.clamp(1, base.len())).map(|_| Room::new(bins)).collect();
    let n_drawn = boosting.sampled.of(learnt.len());
    let mut course = Course {
        bins,
        data,
        boosting,
        hands,
        weights,
        unexplained: vec![0.0; score.len()],
        score,
        rooms,
        held_out,
        pool: learnt,
        n_drawn,
        draws: Draws::new(boosting.seed),
        trees: Vec::new(),
        losses: Vec::new(),
        leaves: vec![0],
    };
    let halted = match course.run(clock) {
        Ok(()) => false,
        Err(Unfit::Stopped) => true,
        Err(other) => return Err(other),
    };
    let Course { mut trees, losses, leaves, .. } = course;
    trees.truncate(base.len() * best_of(&losses).unwrap_or(usize::MAX / base.len()));
    Ok(Grown { ensemble: Ensemble { base, trees }, held_out: losses, leaves, halted })
}

/// Where the least of these is first.
fn best_of(losses: &[f64]) -> Option<usize> {
    (0..losses.len()).reduce(|best, at| if losses[at] < losses[best] { at } else { best })
}

impl Boosted<'_> {
    fn check(&self, bins: &Bins) -> Result<(), Unfit> {
        let (n_rows, numbers) = (bins.x.n_rows, matches!(bins.target, Target::Numbers(_)));
        let of_rows = self.y.len() == n_rows && self.held_out.iter().all(|&row| (row as usize) < n_rows);
        if !numbers || !of_rows || self.offset.is_some_and(|offset| offset.len() != n_rows) {
            return Err(Unfit::Shape);
        }
        if self.y.iter().chain(self.offset.unwrap_or_default()).any(|number| !number.is_finite()) {
            return Err(Unfit::NonFinite);
        }
        self.loss.check(self.y)
    }

    /// The rows held out and those that trees are grown on, of those with weight, rising.
    fn parts(&self, weights: &Weights, n_rows: usize) -> (Vec<u32>, Vec<u32>) {
        let mut held = vec![false; n_rows];
        self.held_out.iter().for_each(|&row| held[row as usize] = true);
        weights.rows(n_rows).into_iter().partition(|&row| held[row as usize])
    }
}

/// An ensemble on its way. What is of every row is so for each output, one after the other.
struct Course<'a> {
    bins: &'a Bins<'a>,
    data: &'a Boosted<'a>,
    boosting: &'a Boosting,
    hands: &'a Hands<'a>,
    weights: &'a Weights<'a>,
    score: Vec<f64>,
    /// What the loss would have the predictor change by, of the rows drawn.
    unexplained: Vec<f64>,
    /// One for each thread that grows trees of its own.
    rooms: Vec<Room>,
    held_out: Vec<u32>,
    /// The rows that trees are grown on; those drawn for the round come first.
    pool: Vec<u32>,
    n_drawn: usize,
    draws: Draws,
    trees: Vec<Tree>,
    losses: Vec<f64>,
    leaves: Vec<usize>,
}

/// A tree to be grown for one output.
struct Part<'p> {
    limits: Limits,
    unexplained: &'p [f64],
    score: &'p mut [f64],
}

impl Course<'_> {
    fn run(&mut self, clock: &mut Clock) -> Result<(), Unfit> {
        self.judge(clock)?;
        while clock.progress.rounds < self.boosting.n_trees && !self.waited() {
            let trees = self.round(clock)?;
            let leaves = trees.iter().map(Tree::n_leaves).sum::<usize>();
            if leaves == trees.len() && self.n_drawn == self.pool.len() {
                // the same rows cannot be split the next time either
                break;
            }
            // the rows held out are asked first: a round counts when it is complete
            self.judge(clock)?;
            self.leaves.push(leaves + self.leaves.last().copied().unwrap_or(0));
            self.trees.extend(trees);
            clock.progress.rounds += 1;
        }
        Ok(())
    }

    /// Whether the rows held out have not gained for long enough.
    fn waited(&self) -> bool {
        let best = best_of(&self.losses);
        self.boosting.patience.zip(best).is_some_and(|(patience, best)| self.losses.len() > best + patience)
    }

    fn judge(&mut self, clock: &mut Clock) -> Result<(), Unfit> {
        if self.held_out.is_empty() {
            return Ok(());
        }
        let loss = self.data.loss.mean(self.data.y, &self.score, self.weights, &self.held_out, clock)?;
        if !loss.is_finite() {
            return Err(Unfit::NonFinite);
        }
        self.losses.push(loss);
        Ok(())
    }

    /// The trees of a round, one for each output; the predictor is moved by them.
    fn round(&mut self, clock: &mut Clock) -> Result<Vec<Tree>, Unfit> {
        let (n_rows, boosting) = (self.bins.x.n_rows, self.boosting);
        let rows = match boosting.leaves {
            // nothing else is drawn, and all rows are in order
            Leaves::Most(_) if self.n_drawn == self.pool.len() => self.pool.clone(),
            _ => self.draws.sample(&mut self.pool, self.n_drawn),
        };
        let limits = |draws: &mut Draws| Limits {
            max_leaves: Some(boosting.leaves.drawn(draws)),
            min_leaf_weight: boosting.min_leaf_weight,
            ..Limits::default()
        };
        self.data.loss.slopes(self.data.y, &self.score, &rows, &mut self.unexplained, clock)?;
        let columns = self.unexplained.chunks(n_rows).zip(self.score.chunks_mut(n_rows));
        let parts: Vec<Part> = columns.map(|(unexplained, score)| Part { limits: limits(&mut self.draws), unexplained, score }).collect();
        let others: Vec<u32> = self.pool[rows.len()..].iter().chain(&self.held_out).copied().collect();
        let growing = Growing { bins: self.bins, data: self.data, boosting, weights: self.weights, rows: &rows, others: &others };
        if let [room] = &mut *self.rooms {
            return parts.into_iter().map(|part| growing.tree(part, self.hands, room, clock)).collect();
        }
        growing.trees(parts, &mut self.rooms, self.hands, clock)
    }
}

/// What the trees of a round have in common.
struct Growing<'g> {
    bins: &'g Bins<'g>,
    data: &'g Boosted<'g>,
    boosting: &'g Boosting,
    weights: &'g Weights<'g>,
    /// Those that were drawn, rising.
    rows: &'g [u32],
    /// All others whose predictor is asked for later.
    others: &'g [u32],
}

impl Growing<'_> {
    /// Grows trees on a thread for each room.
    fn trees(&self, parts: Vec<Part>, rooms: &mut [Room], hands: &Hands, clock: &Clock) -> Result<Vec<Tree>, Unfit> {
        let mut shares: Vec<Vec<Part>> = rooms.iter().map(|_| Vec::new()).collect();
        let n = shares.len();
        parts.into_iter().enumerate().for_each(|(at, part)| shares[at % n].push(part));
        let work = |parts: Vec<Part>, room: &mut Room, mut clock: Clock| -> Vec<Result<Tree, Unfit>> {
            parts.into_iter().map(|part| self.tree(part, &Hands::one(), room, &mut clock)).collect()
        };
        let work = &work;
        let done: Vec<Vec<Result<Tree, Unfit>>> = std::thread::scope(|scope| {
            let mut shares = shares.into_iter().zip(rooms);
            let own = shares.next();
            let others: Vec<_> = shares
                .map(|(parts, room)| {
                    let clock = *clock;
                    scope.spawn(move || {
                        (hands.on_thread)();
                        work(parts, room, clock)
                    })
                })
                .collect();
            let own = own.map(|(parts, room)| work(parts, room, *clock));
            let joined = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            own.into_iter().chain(joined).collect()
        });
        let mut done: Vec<_> = done.into_iter().map(Vec::into_iter).collect();
        let n_parts = done.iter().map(ExactSizeIterator::len).sum::<usize>();
        (0..n_parts).map(|at| done[at % n].next().unwrap_or(Err(Unfit::Stopped))).collect()
    }

    /// Grows the tree of one output, gives its leaves their steps and moves the predictor.
    fn tree(&self, part: Part, hands: &Hands, room: &mut Room, clock: &mut Clock) -> Result<Tree, Unfit> {
        let Part { limits, unexplained, score } = part;
        limits.check()?;
        let (loss, weights) = (self.data.loss, self.weights);
        let (tree, leaves) = grow_on(self.bins, unexplained, self.rows, weights, &limits, hands, room, clock)?;
        let mut sums = vec![(0.0, 0.0); tree.nodes().len()];
        let mut leaf = leaves.iter();
        clock.each(self.rows, |row| {
            let (slope, weight) = (unexplained[row as usize], weights.given(row));
            if let Some(&leaf) = leaf.next() {
                let sum = &mut sums[leaf as usize];
                *sum = (sum.0 + weight * slope, sum.1 + weight * loss.curvature(slope));
            }
        })?;
        let rate = self.boosting.learning_rate;
        let step = |(slope, curvature): (f64, f64)| if curvature > 0.0 { rate * loss.step(slope, curvature) } else { 0.0 };
        let values: Vec<f64> = sums.into_iter().map(step).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Unfit::NonFinite);
        }
        let mut leaf = leaves.iter();
        clock.each(self.rows, |row| {
            if let Some(&leaf) = leaf.next() {
                score[row as usize] += values[leaf as usize];
            }
        })?;
        descend::leaves(&tree, self.bins, self.others, clock, |row, leaf| score[row as usize] += values[leaf as usize])?;
        Ok(tree.with_values(values))
    }
}

impl Leaves {
    fn drawn(self, draws: &mut Draws) -> usize {
        match self {
            Self::Most(most) => most.max(2),
            Self::Drawn { mean } => 2 + draws.exponential((mean - 2.0).max(0.0)) as usize,
        }
    }
}

impl Sampled {
    fn of(self, n: usize) -> usize {
        let size = n as f64;
        let drawn = match self {
            Self::Share(share) => share * size,
            Self::Few => (size / 2.0).min(100.0 + 6.0 * size.sqrt()),
        };
        (drawn.round() as usize).clamp(2, n.max(2))
    }
}

impl Ensemble {
    /// The predictor of a row, one number for each output, given by what it holds of each feature, 0 where it holds nothing; summed in the
    /// order of the trees.
    pub fn score(&self, x: impl Fn(u32) -> f64) -> Vec<f64> {
        let mut score = self.base.clone();
        let outputs = score.len();
        for (at, tree) in self.trees.iter().enumerate() {
            score[at % outputs] += tree.value(tree.leaf(&x))[0];
        }
        score
    }
}
