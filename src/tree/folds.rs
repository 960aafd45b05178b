//! Cross-validation of the pruning path: how much of the tree to keep, judged on rows it has not seen.
//!
//! A fold is a weight of 0 for the rows it holds out; all folds share the one matrix and its order. Each fold's tree has a
//! path of its own, read at the geometric means between the α of the whole tree's path (Breiman et al. 1984, 11.5).

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::Array2;

use super::clock::Clock;
use super::grow::grow_with;
use super::reduce::loss;
use super::{Bins, Hands, Limits, Observe, PruningPath, Tree, Unfit};

/// Which rows are held out together.
#[derive(Clone, Copy, Debug)]
pub struct Folds<'a> {
    /// Which fold holds each row out, below `n`.
    pub of_row: &'a [u32],
    /// Number of folds.
    pub n: usize,
}

/// Held-out loss of every α in every fold: the squared error, or the share of wrong classes.
#[derive(Clone, Debug, PartialEq)]
pub struct CvLoss {
    /// The α each row stands for, rising.
    pub alphas: Vec<f64>,
    /// α × fold: weighted mean loss of the rows held out; NaN where the fold holds out no weight.
    pub per_fold: Array2<f64>,
    /// α × fold: leaves of the fold's tree.
    pub leaves: Array2<usize>,
    /// Mean over the folds that hold out weight.
    pub mean: Vec<f64>,
    /// Its standard error: the deviation of those folds (n − 1) over √n; 0 for a single fold.
    pub se: Vec<f64>,
}

/// K-fold cross-validation of `path`, the pruning path of the tree grown on all rows with the same weights and limits. The
/// number of threads leaves the result as it is.
pub fn cross_validate(
    bins: &Bins,
    weights: Option<&[f64]>,
    limits: &Limits,
    path: &PruningPath,
    folds: &Folds,
    hands: &Hands,
    observe: &Observe,
) -> Result<CvLoss, Unfit> {
    let n_rows = bins.x.n_rows;
    let fits = |weights: &[f64]| weights.len() == n_rows;
    if folds.of_row.len() != n_rows || folds.of_row.iter().any(|&fold| fold as usize >= folds.n) || !weights.is_none_or(fits) {
        return Err(Unfit::Shape);
    }
    let alphas = path.midpoints();
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<FoldLoss, Unfit>>>> = Mutex::new(vec![None; folds.n]);
    let work = || {
        loop {
            let fold = next.fetch_add(1, Ordering::Relaxed);
            if fold >= folds.n {
                return;
            }
            let result = run_fold(bins, weights, limits, &alphas, folds, fold, observe);
            results.lock().unwrap_or_else(|poisoned| poisoned.into_inner())[fold] = Some(result);
        }
    };
    let help = || {
        (hands.on_thread)();
        work();
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..hands.threads.min(folds.n)).map(|_| scope.spawn(help)).collect();
        work();
        // A panic of a helper is the caller's panic: the scope passes it on.
        drop(helpers);
    });
    let shape = (alphas.len(), folds.n);
    let mut cv = CvLoss {
        per_fold: Array2::from_elem(shape, f64::NAN),
        leaves: Array2::zeros(shape),
        mean: Vec::with_capacity(alphas.len()),
        se: Vec::with_capacity(alphas.len()),
        alphas,
    };
    let results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    for (fold, result) in results.into_iter().flatten().enumerate() {
        for (at, (loss, leaves)) in result?.into_iter().enumerate() {
            cv.per_fold[[at, fold]] = loss;
            cv.leaves[[at, fold]] = leaves;
        }
    }
    for row in cv.per_fold.rows() {
        let known: Vec<f64> = row.iter().copied().filter(|loss| !loss.is_nan()).collect();
        let n = known.len() as f64;
        let mean = known.iter().sum::<f64>() / n;
        let square: f64 = known.iter().map(|loss| (loss - mean).powi(2)).sum();
        cv.mean.push(mean);
        cv.se.push(if known.len() > 1 { (square / (n - 1.0) / n).sqrt() } else { 0.0 });
    }
    Ok(cv)
}

/// For each α the mean loss of the rows held out, and leaves.
type FoldLoss = Vec<(f64, usize)>;

fn run_fold(
    bins: &Bins,
    weights: Option<&[f64]>,
    limits: &Limits,
    alphas: &[f64],
    folds: &Folds,
    fold: usize,
    observe: &Observe,
) -> Result<FoldLoss, Unfit> {
    let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
    let here = |row: usize| folds.of_row[row] as usize == fold;
    let rest: Vec<f64> = (0..bins.x.n_rows).map(|row| if here(row) { 0.0 } else { weight(row) }).collect();
    let mut clock = Clock::new(observe, Some(fold));
    let tree = grow_with(bins, Some(&rest), limits, &Hands::one(), &mut clock)?;
    let path = PruningPath::with(&tree, &mut clock)?;
    let held_out = |row: usize| if here(row) { weight(row) } else { 0.0 };
    let losses = losses_of_steps(bins, &tree, &path, held_out, &mut clock)?;
    let at = |&alpha: &f64| {
        let step = path.at_alpha(alpha);
        (losses[step], path.steps()[step].leaves)
    };
    Ok(alphas.iter().map(at).collect())
}

/// Weighted mean loss of the tree of every step; NaN without weight.
fn losses_of_steps(
    bins: &Bins,
    tree: &Tree,
    path: &PruningPath,
    weight: impl Fn(usize) -> f64,
    clock: &mut Clock,
) -> Result<Vec<f64>, Unfit> {
    let parents = tree.parents();
    // how the sum of losses changes with each step
    let mut changes = vec![0.0; path.steps().len()];
    let mut total = 0.0;
    for (row, leaf) in tree.leaves_with(bins.x, clock)?.into_iter().enumerate() {
        let weight = weight(row);
        if weight <= 0.0 {
            continue;
        }
        total += weight;
        let mut at = leaf as usize;
        let mut now = weight * loss(&bins.target, row, tree.value(at));
        let mut steps = 1;
        changes[0] += now;
        while at != 0 {
            at = parents[at] as usize;
            steps += 1;
            if let Some(cut) = path.cut_at(at) {
                let after = weight * loss(&bins.target, row, tree.value(at));
                changes[cut] += after - now;
                now = after;
            }
        }
        clock.work(2 * steps + 2 * tree.width())?;
    }
    let mut sum = 0.0;
    Ok(changes
        .into_iter()
        .map(|change| {
            sum += change;
            sum.max(0.0) / total
        })
        .collect())
}
