//! Boosted trees: each is grown, on rows drawn for it, for what those before it leave unexplained; their sum is the predictor.
//!
//! Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 2001 (TreeBoost), on samples of the rows as in
//! Friedman, "Stochastic gradient boosting", Computational Statistics & Data Analysis 2002. A tree costs what its own rows cost, and a
//! look at the columns it splits on. Everything drawn is a function of the seed.

use super::clock::{BLOCK, Clock};
use super::draw::Draws;
use super::grow::{Room, grow_on};
use super::weights::{Weights, power};
use super::{Bins, Hands, Limits, Observe, Target, Tree, Unfit};

/// Steps of the best constant by Newton's method.
const BASE_STEPS: usize = 100;
/// A leaf changes the log-odds by no more than this before it is shrunk: in a pure leaf no step would be the best.
const STEP_MAX: f64 = 10.0;
/// A probability this near to 0 or 1 has no curvature to divide by.
const CURVATURE_MIN: f64 = 1e-12;

/// What the sum of the trees is compared with a target by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoostedLoss {
    /// ½(y − F)².
    Squared,
    /// log(1 + e^(−yF)), y ∈ {−1, +1}: F is the log-odds.
    Logistic,
}

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
    /// Number of trees.
    pub n_trees: usize,
    /// Share of the best step that is taken, in (0, 1].
    pub learning_rate: f64,
    /// Size of the trees.
    pub leaves: Leaves,
    /// Rows of each.
    pub sampled: Sampled,
    /// Least sum of sample weights in a leaf, of the rows drawn.
    pub min_leaf_weight: f64,
    /// What everything drawn is a function of.
    pub seed: u64,
}

/// A constant and trees that are added to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ensemble {
    /// The best constant.
    pub base: f64,
    /// Each with one value a leaf: what it adds, shrunk already. Values of inner nodes are 0.
    pub trees: Vec<Tree>,
}

/// Grows an ensemble for `y`, one number a row (±1 for the logistic loss), beside fixed `offset`s. A row of weight 0 is as good as absent, and
/// what is drawn then is the same as without it only in law. `bins` are of numbers; their target is not looked at.
///
/// # Errors
/// As [`super::grow`]; `fold` is told to `observe`.
#[allow(clippy::too_many_arguments)]
pub fn boost(
    bins: &Bins,
    loss: BoostedLoss,
    y: &[f64],
    weights: Option<&[f64]>,
    offset: Option<&[f64]>,
    boosting: &Boosting,
    fold: Option<usize>,
    observe: &Observe,
) -> Result<Ensemble, Unfit> {
    let n_rows = bins.x.n_rows;
    if y.len() != n_rows || offset.is_some_and(|offset| offset.len() != n_rows) || !matches!(bins.target, Target::Numbers(_)) {
        return Err(Unfit::Shape);
    }
    if y.iter().chain(offset.unwrap_or_default()).any(|number| !number.is_finite()) {
        return Err(Unfit::NonFinite);
    }
    let weights = &Weights::new(weights, n_rows)?;
    let clock = &mut Clock::new(observe, fold);
    let mut pool = weights.rows(n_rows);
    let n_drawn = boosting.sampled.of(pool.len());
    let mut draws = Draws::new(boosting.seed);
    let mut room = Room::new(bins);
    let base = base(loss, y, weights, offset, &pool, clock)?;
    let mut score: Vec<f64> = offset.map_or_else(|| vec![base; n_rows], |offset| offset.iter().map(|o| o + base).collect());
    let mut unexplained = vec![0.0; n_rows];
    let mut trees = Vec::with_capacity(boosting.n_trees);
    for _ in 0..boosting.n_trees {
        let rows = draws.sample(&mut pool, n_drawn);
        let limits =
            Limits { max_leaves: Some(boosting.leaves.drawn(&mut draws)), min_leaf_weight: boosting.min_leaf_weight, ..Limits::default() };
        limits.check()?;
        clock.each(&rows, |row| unexplained[row as usize] = loss.slopes(y[row as usize], score[row as usize]).0)?;
        let tree = grow_on(bins, &unexplained, &rows, weights, &limits, &Hands::one(), &mut room, clock)?;
        let leaves = tree.leaves_with(bins.x, clock)?;
        let mut sums = vec![(0.0, 0.0); tree.nodes().len()];
        clock.each(&rows, |row| {
            let (slope, curvature) = loss.slopes(y[row as usize], score[row as usize]);
            let (sum, weight) = (&mut sums[leaves[row as usize] as usize], weights.given(row));
            *sum = (sum.0 + weight * slope, sum.1 + weight * curvature);
        })?;
        let step =
            |(slope, curvature): (f64, f64)| if curvature > 0.0 { boosting.learning_rate * loss.step(slope, curvature) } else { 0.0 };
        let values: Vec<f64> = sums.into_iter().map(step).collect();
        for (score, leaves) in score.chunks_mut(BLOCK).zip(leaves.chunks(BLOCK)) {
            clock.work(score.len())?;
            score.iter_mut().zip(leaves).for_each(|(score, &leaf)| *score += values[leaf as usize]);
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(Unfit::NonFinite);
        }
        trees.push(tree.with_values(values));
    }
    Ok(Ensemble { base, trees })
}

/// The constant that is best beside the offsets.
fn base(loss: BoostedLoss, y: &[f64], weights: &Weights, offset: Option<&[f64]>, rows: &[u32], clock: &mut Clock) -> Result<f64, Unfit> {
    let mut base = 0.0;
    for _ in 0..BASE_STEPS {
        let (mut slope, mut curvature) = (0.0, 0.0);
        clock.each(rows, |row| {
            let at = offset.map_or(0.0, |offset| offset[row as usize]) + base;
            let (g, h) = loss.slopes(y[row as usize], at);
            slope += weights.given(row) * g;
            curvature += weights.given(row) * h;
        })?;
        let step = loss.step(slope, curvature);
        base += step;
        if !base.is_finite() {
            return Err(Unfit::NonFinite);
        }
        if step.abs() <= 1e-12 * base.abs().max(1.0) || loss == BoostedLoss::Squared {
            break;
        }
    }
    Ok(base)
}

impl BoostedLoss {
    /// −∂loss/∂F, and the second derivative.
    fn slopes(self, y: f64, score: f64) -> (f64, f64) {
        match self {
            Self::Squared => (y - score, 1.0),
            Self::Logistic => {
                let p = sigmoid(score);
                (if y > 0.0 { 1.0 - p } else { -p }, (p * (1.0 - p)).max(CURVATURE_MIN))
            }
        }
    }

    /// Newton's step from sums of these.
    fn step(self, slope: f64, curvature: f64) -> f64 {
        let step = slope / curvature;
        if self == Self::Logistic { step.clamp(-STEP_MAX, STEP_MAX) } else { step }
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
    /// The predictor of a row given by what it holds of each feature, 0 where it holds nothing; summed in the order of the trees.
    pub fn score(&self, x: impl Fn(u32) -> f64) -> f64 {
        self.trees.iter().fold(self.base, |sum, tree| sum + tree.value(tree.leaf(&x))[0])
    }
}

/// 1 / (1 + e^−η) without overflow.
fn sigmoid(score: f64) -> f64 {
    let e = exp(-score.abs());
    if score >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// e^x for x ≤ 0, to a few units in the last place, without a library whose last bits hang on the machine.
fn exp(x: f64) -> f64 {
    const LN2_HIGH: f64 = 0.693_147_180_369_123_8;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    if x < -700.0 {
        return 0.0;
    }
    let k = (x / std::f64::consts::LN_2).round();
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    // Taylor's series; |r| ≤ ln2/2, so that what is left out is below 2⁻⁵³
    let series = (1..=14).rev().fold(1.0, |sum, n| 1.0 + r / f64::from(n) * sum);
    series * power(k as i32)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::matrix::{Columns, Values, ValuesView};

    fn go_on(_: &super::super::Progress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Two dense columns of 80 rows, with every third entry of the second absent.
    fn columns() -> Columns {
        let (mut rows, mut values) = ((0..80).collect::<Vec<u32>>(), (0..80).map(|i| f64::from((i * 37) % 80) - 40.5).collect::<Vec<_>>());
        let second: Vec<u32> = (0..80).filter(|i| i % 3 != 0).collect();
        values.extend(second.iter().map(|&i| f64::from(i % 7) + 1.0));
        rows.extend(&second);
        let ends = vec![0, 80, rows.len() as u64];
        Columns::new(80, vec![4, 9].into(), ends.into(), rows.into(), Values::Double(values.into())).unwrap()
    }

    fn boosting(n_trees: usize) -> Boosting {
        Boosting { n_trees, learning_rate: 0.1, leaves: Leaves::Drawn { mean: 4.0 }, sampled: Sampled::Few, min_leaf_weight: 0.0, seed: 3 }
    }

    fn held(columns: &Columns, row: usize) -> impl Fn(u32) -> f64 {
        let view = columns.view();
        let ValuesView::Double(values) = view.values else { panic!("made of doubles") };
        let entry = |j: usize| view.range(j).find(|&entry| view.rows[entry] as usize == row).map(|entry| (view.features[j], values[entry]));
        let all: Vec<(u32, f64)> = (0..view.len()).filter_map(entry).collect();
        move |feature| all.iter().find(|one| one.0 == feature).map_or(0.0, |one| one.1)
    }

    #[test]
    fn the_exponential_is_that_of_the_library_to_a_few_units_in_the_last_place() {
        for i in 0..7000 {
            let x = -f64::from(i) / 10.0;
            assert!((exp(x) - x.exp()).abs() <= 8.0 * f64::EPSILON * x.exp(), "{x}");
        }
        assert_eq!((exp(0.0), exp(-1e9), sigmoid(0.0)), (1.0, 0.0, 0.5));
    }

    #[test]
    fn the_base_is_the_mean_or_the_log_odds_and_every_tree_lowers_the_loss() {
        let columns = columns();
        let x = columns.view();
        let numbers: Vec<f64> = (0..80).map(|i| f64::from((i * 37) % 80) / 10.0 + f64::from(i % 5)).collect();
        let sides: Vec<f64> = numbers.iter().map(|y| if *y > 7.0 { 1.0 } else { -1.0 }).collect();
        let bins = Bins::new(x, Target::Numbers(&numbers), &go_on).unwrap();
        let mean = numbers.iter().sum::<f64>() / 80.0;
        let ones = sides.iter().filter(|side| **side > 0.0).count() as f64;
        for (loss, y, base) in [(BoostedLoss::Squared, &numbers, mean), (BoostedLoss::Logistic, &sides, (ones / (80.0 - ones)).ln())] {
            let grown = boost(&bins, loss, y, None, None, &boosting(60), None, &go_on).unwrap();
            assert!((grown.base - base).abs() < 1e-9, "{loss:?}");
            let error = |trees: usize| {
                let part = Ensemble { base: grown.base, trees: grown.trees[..trees].to_vec() };
                let of = |row: usize| {
                    let score = part.score(held(&columns, row));
                    if loss == BoostedLoss::Squared { (y[row] - score).powi(2) } else { (-y[row] * score).exp().ln_1p() }
                };
                (0..80).map(of).sum::<f64>()
            };
            assert!(error(60) < error(30) && error(30) < error(10) && error(10) < error(0), "{loss:?}");
            assert_eq!(boost(&bins, loss, y, None, None, &boosting(60), None, &go_on).unwrap(), grown);
            let other = Boosting { seed: 4, ..boosting(60) };
            assert_ne!(boost(&bins, loss, y, None, None, &other, None, &go_on).unwrap(), grown);
        }
    }

    #[test]
    fn the_first_tree_on_all_rows_is_the_tree_that_is_grown_alone() {
        let columns = columns();
        let y: Vec<f64> = (0..80).map(|i| f64::from((i * 11) % 23)).collect();
        let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
        let whole = Boosting { learning_rate: 1.0, leaves: Leaves::Most(6), sampled: Sampled::Share(1.0), ..boosting(1) };
        let weights: Vec<f64> = (0..80).map(|i| f64::from(1 + i % 3)).collect();
        let grown = boost(&bins, BoostedLoss::Squared, &y, Some(&weights), None, &whole, None, &go_on).unwrap();
        let limits = Limits { max_leaves: Some(6), ..Limits::default() };
        let alone = super::super::grow(&bins, Some(&weights), &limits, &Hands::one(), &go_on).unwrap();
        let splits = |tree: &Tree| tree.nodes().iter().map(|node| node.split).collect::<Vec<_>>();
        assert_eq!(splits(&grown.trees[0]), splits(&alone));
        for (at, node) in alone.nodes().iter().enumerate() {
            let leaf = node.split.is_none();
            assert!(!leaf || (grown.base + grown.trees[0].value(at)[0] - alone.value(at)[0]).abs() < 1e-9);
        }
    }

    #[test]
    fn rows_of_no_weight_change_nothing_that_is_predicted_of_the_others_and_a_stop_is_heard() {
        let columns = columns();
        let mut y: Vec<f64> = (0..80).map(|i| f64::from((i * 11) % 23)).collect();
        let weights: Vec<f64> = (0..80).map(|i| f64::from(u8::from(i % 4 != 0))).collect();
        let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
        let grown = boost(&bins, BoostedLoss::Squared, &y, Some(&weights), None, &boosting(20), None, &go_on).unwrap();
        let before = y.clone();
        (0..80).step_by(4).for_each(|row| y[row] = 1e6);
        let bins = Bins::new(columns.view(), Target::Numbers(&before), &go_on).unwrap();
        assert_eq!(boost(&bins, BoostedLoss::Squared, &y, Some(&weights), None, &boosting(20), None, &go_on).unwrap(), grown);
        let stop = |_: &super::super::Progress| ControlFlow::Break(());
        assert_eq!(boost(&bins, BoostedLoss::Squared, &y, None, None, &boosting(20), None, &stop), Err(Unfit::Stopped));
    }
}
