//! What a fit will cost, from counts alone: ranges, wide enough to be honest.
//!
//! Memory: what a fit allocates; the matrix is mapped and can be dropped and read again, so it is not counted. A fit
//! owns about 10 vectors over rows and 8 over stored columns, and products of columns with columns, for as many columns as take
//! about the memory of the matrix, three times: kept, on their way to more room, and factorised. Folds are fitted in groups,
//! as many at once as there are threads: each fold of a group owns its problem, and a group vectors with a line for each row
//! and for each column near its bound (`solver/together.rs`), and products in single precision. `examples/fit_memory.rs`
//! compares. A multinomial fit has 12 vectors over rows and 3 over columns for each class.
//!
//! Time: a solve of one λ along a path costs 1 to 20 passes over the non-zeros, a cold one 10 to 300; a pass takes
//! 1 to 5 ns a non-zero (twice that for logistic loss) and 2 to 10 ns a row, once for each solve of each fold.

use super::network::n_outputs;
use super::{
    Estimate, Lambda, Loss, PILOT_FOLDS, Removal, ResolvedCompare, ResolvedDistill, ResolvedEnsemble, ResolvedFit, ResolvedNetwork,
    ResolvedPrune, ResolvedRules, ResolvedTree, Selection,
};
use crate::dataset::Meta;

const MIB: f64 = 1_048_576.0;
/// Code, stacks, and what an allocator keeps back.
const BASE_MIB: f64 = 2.0;
/// Vectors of a problem, and of a solve of it besides.
const PROBLEM: Vectors = Vectors { rows: 1.0, columns: 5.5 };
const SOLVE: Vectors = Vectors { rows: 8.5, columns: 2.0 };
/// Vectors of a fold: its weights, its problem and where it is.
const FOLD: Vectors = Vectors { rows: 5.5, columns: 7.0 };
/// Vectors of a group of folds; and over columns besides, when all of them are near their bounds.
const GROUP: Vectors = Vectors { rows: 34.0, columns: 8.5 };
const ALL_NEAR: f64 = 32.0;
/// Folds in a group, and rows up to which they go together.
const MOST_IN_GROUP: f64 = 8.0;
const MOST_ROWS: f64 = 100_000.0;

/// Vectors over rows that a Newton step takes besides.
const NEWTON_ROWS: f64 = 4.5;

/// Vectors over rows that a refit takes besides, while the fold it is of waits.
const REFIT_ROWS: f64 = 11.0;

/// Vectors that each class of a multinomial fit has besides, and the share of them that its null model is.
const CLASS: Vectors = Vectors { rows: 12.0, columns: 3.0 };
const NULL: f64 = 0.25;

/// Most columns of which products are kept.
const MOST_PRODUCTS: f64 = 4000.0;

/// Vectors over rows of an evaluation: scores, target, and twice the order of the rows.
const EVALUATED_ROWS: f64 = 4.0;

/// Bytes of a row and of a node besides its values while a tree is pruned.
const PRUNED_ROW: f64 = 64.0;
const PRUNED_NODE: f64 = 600.0;

/// Doubles over rows and over stored columns.
struct Vectors {
    rows: f64,
    columns: f64,
}

/// Estimates a fit from counts alone; `threads` is how many folds are solved at once.
pub fn estimate(meta: &Meta, fit: &ResolvedFit, threads: u64) -> Estimate {
    let (rows, columns, nonzeros) = (meta.shape[0] as f64, meta.stored_columns as f64, meta.nnz as f64);
    let classes = match fit.loss {
        Loss::Multinomial => meta.target.classes.as_ref().map_or(2.0, |classes| classes.len() as f64),
        _ => 0.0,
    };
    let newton = if matches!(fit.loss, Loss::Squared) { 0.0 } else { NEWTON_ROWS };
    let more = newton + if fit.refit.is_some() { REFIT_ROWS } else { 0.0 };
    let mib = |vectors: &Vectors, more: f64| 8.0 * ((vectors.rows + more) * rows + vectors.columns * columns) / MIB;
    let multiplied = columns.min(MOST_PRODUCTS).min(512.0 + 1.5 * nonzeros.sqrt());
    let alone = (mib(&SOLVE, more), 3.0 * 8.0 * multiplied * multiplied / MIB);
    let of_classes = 8.0 * classes * (CLASS.rows * rows + CLASS.columns * columns) / MIB;
    let alone = (alone.0 + of_classes, alone.1);
    let held_out = |folds: u64| {
        let (folds, threads) = (folds as f64, threads.clamp(1, folds) as f64);
        let in_group = if rows > MOST_ROWS || classes > 0.0 { 1.0 } else { (folds / threads).ceil().min(MOST_IN_GROUP) };
        let problems = in_group * mib(&FOLD, more);
        let together = mib(&GROUP, 0.0) + 8.0 * ALL_NEAR * columns / MIB + alone.1 / 3.0;
        // a fold that leaves its group is fitted alone, when the group is gone
        let most = problems + together.max(alone.0 + alone.1);
        // the null model of the path over all rows waits meanwhile
        [problems + alone.0, most].map(|of_thread| threads * of_thread + NULL * of_classes)
    };
    let splits = fit.selection.splits();
    let stability = fit.selection.stability();
    // half of the rows, and seldom the whole path
    let halves = stability.map_or(0.0, |stability| 0.5 * stability.resamples as f64);
    let solves = splits.map_or(1.0 + halves, |splits| splits.all_folds() as f64 + 1.0);
    // every ratio has a path of its own, and so have the ridge that is compared with and the pilot, which has folds always
    let paths = fit.penalty.l1_ratio.all().len() as f64 + f64::from(u8::from(fit.compare_ridge));
    let pilot = if fit.penalty.adaptive.is_some() { solves.max(PILOT_FOLDS as f64 + 1.0) } else { 0.0 };
    // a refit of a support costs up to twice as much as the λ that left it
    let refitted = if fit.refit.is_some() { 3.0 } else { 1.0 };
    let solves = refitted * paths * solves + pilot;
    let folds = splits.map(|splits| splits.folds).or((pilot > 0.0).then_some(PILOT_FOLDS));
    // each half by itself, as many at once as there are threads
    let of_halves = |resamples: u64| {
        let at_once = threads.clamp(1, resamples) as f64;
        let half = mib(&FOLD, more) + alone.0;
        [at_once * half, at_once * (half + alone.1) + NULL * of_classes]
    };
    let single = stability.map_or([alone.0, alone.0 + alone.1], |stability| of_halves(stability.resamples));
    let [low, high] = folds.map_or(single, held_out);
    let memory_mb = [(BASE_MIB + mib(&PROBLEM, 0.0) + low) / 1.5, BASE_MIB + mib(&PROBLEM, 0.0) + high];

    let passes = match &fit.lambda {
        Lambda::Value { .. } => [10.0, 300.0],
        Lambda::Path { n, .. } => along_path(*n as f64),
        Lambda::Values { values } => along_path(values.len() as f64),
        Lambda::TargetNonzeros { .. } => [20.0, 2000.0],
    };
    let slower = if matches!(fit.loss, Loss::Squared) { 1.0 } else { 2.0 } * (0.5 * classes).max(1.0);
    let outputs = classes.max(1.0);
    let pass = [1e-9 * slower * nonzeros + 2e-9 * outputs * rows, 5e-9 * slower * nonzeros + 10e-9 * outputs * rows];
    let load = [meta.stored_bytes as f64 / 4e9, meta.stored_bytes as f64 / 2e8];
    let runtime_s = [0, 1].map(|end| 0.001 + load[end] + solves * passes[end] * pass[end]);
    Estimate { memory_mb: memory_mb.map(short), runtime_s: runtime_s.map(short) }
}

/// Estimates a tree. Growing holds the cells of every entry once for all folds (`tree/bins.rs`), and for each thread their sums
/// and those of the parts of the matrix that belong to open nodes; nodes are held while they grow and once more in
/// their order.
///
/// Time: ordering the columns, then for each level a look at the sums of the cells; a full tree is deeper than one can know.
pub fn tree_estimate(meta: &Meta, tree: &ResolvedTree, threads: u64) -> Estimate {
    let (rows, columns, nonzeros) = (meta.shape[0] as f64, meta.stored_columns as f64, meta.nnz as f64);
    let width = meta.target.classes.as_ref().map_or(1.0, |classes| classes.len() as f64);
    let (described, summed) = if width > 2.0 { (10.0, 8.0) } else { (4.0, 16.0) };
    let leaves = rows
        .min(tree.size.max_leaves.map_or(f64::INFINITY, |most| most as f64))
        .min(tree.size.max_depth.map_or(f64::INFINITY, |depth| 2.0_f64.powf(f64::from(depth))))
        .max(1.0);
    let shared = nonzeros * (8.0 + described) + 8.0 * columns;
    let parts = nonzeros * (8.0 + 2.0 * described + 3.0 * summed) + 24.0 * columns;
    let nodes = 4.0 * leaves * (80.0 + 8.0 * width);
    let folds = tree.folds().map_or(0.0, |folds| folds.folds as f64);
    let at_once = (threads as f64).clamp(1.0, folds.max(1.0));
    let of_thread = parts + nodes + 72.0 * rows;
    let bytes = shared + at_once * of_thread + nodes;
    let levels = leaves.log2().max(1.0);
    let grown = 1.0 + folds;
    let load = [meta.stored_bytes as f64 / 4e9, meta.stored_bytes as f64 / 2e8];
    let low = 0.001 + load[0] + 5e-9 * nonzeros + grown * (nonzeros + rows) * 1e-9 * levels;
    let high = 0.01 + load[1] + 50e-9 * nonzeros + grown * (nonzeros + rows) * 100e-9 * levels;
    let memory_mb = [(BASE_MIB + (shared + parts) / MIB) / 4.0, BASE_MIB + bytes / MIB];
    Estimate { memory_mb: memory_mb.map(short), runtime_s: [low, high].map(short) }
}

/// Estimates a rules model. Once: the cells of every entry (`tree/bins.rs`). All rows and every fold have an ensemble, rules and a matrix of
/// their own, and as many of those are held at once as there are threads: entries of the rules, and those of X again where
/// features are terms, both twice while the matrix is made; and a lasso over them, which is a fit like any other.
pub fn rules_estimate(meta: &Meta, rules: &ResolvedRules, threads: u64) -> Estimate {
    let [n_rows, n_features] = meta.shape;
    let trees = &rules.trees;
    let made = (trees.n_trees as f64 * 2.0 * (trees.mean_leaves - 1.0)).min(rules.max_rules as f64);
    let (rows, nonzeros, most) = (n_rows as f64, meta.nnz as f64, rules.entries_max(n_rows, meta.nnz) as f64);
    let (columns, copied) = if rules.linear { (meta.stored_columns as f64, nonzeros) } else { (0.0, 0.0) };
    let lasso = ResolvedFit { selection: Selection::None, ..rules.lasso() };
    let size = if meta.dtype == "f64" { 12.0 } else { 8.0 };
    // few rules hold for as many rows as they could
    let of_lasso = [0.05, 1.0].map(|share| {
        let entries = copied + (share * made * rows / 2.0).min(most);
        let over = Meta { shape: [n_rows, n_features], nnz: entries as u64, stored_columns: (columns + made) as u64, ..meta.clone() };
        (2.0 * size * entries, estimate(&over, &lasso, 1))
    });
    let folds = rules.selection.splits().map_or(0.0, |splits| splits.all_folds() as f64);
    let at_once = (threads as f64).clamp(1.0, folds.max(1.0));
    let drawn = trees.subsample.map_or_else(|| (rows / 2.0).min(100.0 + 6.0 * rows.sqrt()), |share| share * rows);
    // the parts of the drawn rows, the predictor and what it leaves unexplained
    let grown = 12.0 * nonzeros + 60.0 * nonzeros * (drawn / rows.max(1.0)) + 60.0 * rows;
    let bytes = |of: usize| 12.0 * nonzeros + 8.0 * columns + at_once * grown + (1.0 + at_once) * of_lasso[of].0;
    let memory_mb = [
        BASE_MIB + bytes(0) / MIB / 4.0 + of_lasso[0].1.memory_mb[0] / 4.0,
        BASE_MIB + bytes(1) / MIB + (1.0 + at_once) * of_lasso[1].1.memory_mb[1],
    ];
    let tree = rows + nonzeros * (drawn / rows.max(1.0)) * trees.mean_leaves.log2();
    let rounds = [(1.0 + folds) / threads.max(1) as f64, 1.0 + folds];
    let time = |of: usize, unit: f64| rounds[of] * (unit * trees.n_trees as f64 * tree + of_lasso[of].1.runtime_s[of]);
    Estimate { memory_mb: memory_mb.map(short), runtime_s: [0.001 + time(0, 1e-9), 0.01 + time(1, 40e-9)].map(short) }
}

/// Bytes of a leaf of an ensemble and the split above it: as it is grown and kept, twice while room is made, as it is stored and served,
/// and its bytes.
const BOOSTED_LEAF: f64 = 640.0;
/// Bytes of a row of an ensemble besides scores and slopes: who takes part, where it stands, the measures of the end.
const BOOSTED_ROW: f64 = 120.0;

/// Estimates an ensemble. Once: the cells of every entry (`tree/bins.rs`), a score and a slope for each row and output, all trees. For each
/// thread that grows trees of its own, the parts of the matrix that belong to open nodes, and where every row and cell stands.
///
/// Time: a round looks at the entries of its rows once for each level of its trees.
pub fn ensemble_estimate(meta: &Meta, ensemble: &ResolvedEnsemble, threads: u64) -> Estimate {
    let (rows, columns, nonzeros) = (meta.shape[0] as f64, meta.stored_columns as f64, meta.nnz as f64);
    let outputs = n_outputs(meta);
    let leaves = ensemble.n_leaves(meta.shape[0], outputs) as f64;
    let at_once = threads.clamp(1, outputs) as f64;
    let shared = nonzeros * 24.0 + 8.0 * columns + rows * (BOOSTED_ROW + 32.0 * outputs as f64);
    let parts = nonzeros * 68.0 + 24.0 * columns + 64.0 * rows;
    let high = BASE_MIB + (shared + at_once * parts + leaves * BOOSTED_LEAF) / MIB;
    let low = BASE_MIB + (nonzeros * 8.0 + rows * 32.0) / MIB;
    let load = [meta.stored_bytes as f64 / 4e9, meta.stored_bytes as f64 / 2e8];
    let rounds = [if ensemble.early_stopping.is_some() { 1.0 } else { ensemble.n_trees as f64 }, ensemble.n_trees as f64];
    let levels = (ensemble.max_leaves.min(meta.shape[0].max(2)) as f64).log2().max(1.0);
    let round = |unit: f64| outputs as f64 * levels * unit * (ensemble.subsample * nonzeros + 8.0 * rows);
    let low_s = 0.001 + load[0] + rounds[0] * round(0.2e-9) / threads.max(1) as f64;
    let high_s = 0.01 + load[1] + 50e-9 * nonzeros + rounds[1] * round(20e-9);
    Estimate { memory_mb: [low.min(high), high].map(short), runtime_s: [low_s, high_s].map(short) }
}

/// Estimates an evaluation: the scores, the target as numbers, and their order, once; the columns of the model's
/// features are read once, and what is mapped is not counted.
pub fn evaluation_estimate(meta: &Meta) -> Estimate {
    let (rows, columns, nonzeros) = (meta.shape[0] as f64, meta.stored_columns as f64, meta.nnz as f64);
    // a score for each class of a multinomial model
    let classes = meta.target.classes.as_ref().map_or(0.0, |classes| classes.len() as f64);
    let memory = BASE_MIB + 8.0 * (EVALUATED_ROWS + classes) * rows / MIB;
    let pass = [2e-9 * columns + 20e-9 * rows, 200e-9 * columns + 5e-9 * nonzeros + 400e-9 * rows];
    let load = [meta.stored_bytes as f64 / 4e9, meta.stored_bytes as f64 / 2e8];
    let runtime_s = [0, 1].map(|end| 0.001 + load[end] + pass[end]);
    Estimate { memory_mb: [memory / 1.5, memory + 1.0].map(short), runtime_s: runtime_s.map(short) }
}

/// Vectors over rows that each model of a comparison keeps: its scores (one a class), and its losses or its ranking.
const COMPARED_ROWS: f64 = 3.0;
/// Vectors over rows that all models share, and those that one model's scores take while they are made.
const SHARED_ROWS: f64 = 8.0;

/// Estimates a comparison: what every model says of every row is kept until the end, twins too; each twin that is fitted costs what
/// its fit costs, one after another.
pub fn comparison_estimate(meta: &Meta, compare: &ResolvedCompare) -> Estimate {
    let one = evaluation_estimate(meta);
    let (rows, nonzeros) = (meta.shape[0] as f64, meta.nnz as f64);
    let classes = meta.target.classes.as_ref().map_or(0.0, |classes| if classes.len() > 2 { classes.len() as f64 } else { 0.0 });
    let models = compare.models.len() as f64 * if compare.twin { 2.0 } else { 1.0 };
    let kept = BASE_MIB + 8.0 * rows * (SHARED_ROWS + classes + models * (COMPARED_ROWS + classes)) / MIB;
    let twin = compare.fits.iter().fold(0.0_f64, |most, fit| most.max(fit.estimate.memory_mb[1]));
    let drawn = rows * compare.bootstrap as f64 * models;
    let fits = [0, 1].map(|end| compare.fits.iter().map(|fit| fit.estimate.runtime_s[end]).sum::<f64>());
    let runtime_s = [
        fits[0] + models * one.runtime_s[0] + drawn * 1e-9,
        fits[1] + models * one.runtime_s[1] + drawn * 20e-9 + nonzeros * 5e-9 + models * 0.1,
    ];
    let high = kept.max(one.memory_mb[1]) + 1.0 + twin;
    Estimate { memory_mb: [kept.min(one.memory_mb[0]), high].map(short), runtime_s: runtime_s.map(short) }
}

/// Arrays as long as the weights that training holds: weights, the best of them, two moments, steps, and what is stored.
const TRAINED_WEIGHTS: f64 = 6.0;
/// Seconds of a multiplication of a weight, forward and backward, at least and at most.
const TRAINED_UNIT: [f64; 2] = [0.5e-9, 20e-9];

/// Estimates a network. Held are the rows (index and value of each entry) and what is as long as the weights; an epoch multiplies each
/// entry with the weights of its input, and each row with those of the layers after the first.
pub fn network_estimate(meta: &Meta, network: &ResolvedNetwork, threads: u64) -> Estimate {
    let outputs = n_outputs(meta);
    let weights = network.n_weights(meta.stored_columns, outputs) as f64;
    let first = network.hidden.first().map_or(0.0, |width| *width as f64);
    let rest = weights - first * meta.stored_columns as f64;
    let memory_mb = trained_memory(meta, weights);
    let epoch = meta.nnz as f64 * first + meta.shape[0] as f64 * rest;
    let load = [meta.stored_bytes as f64 / 4e9, meta.stored_bytes as f64 / 2e8];
    let epochs = [if network.early_stopping.is_some() { 2.0 } else { network.epochs as f64 }, network.epochs as f64];
    let low = 0.001 + load[0] + epochs[0].min(epochs[1]) * epoch * TRAINED_UNIT[0] / threads as f64;
    let high = 0.01 + load[1] + epochs[1] * (epoch * TRAINED_UNIT[1] + 8.0 * weights * 1e-9);
    Estimate { memory_mb: memory_mb.map(short), runtime_s: [low, high].map(short) }
}

fn trained_memory(meta: &Meta, weights: f64) -> [f64; 2] {
    let rows = 16.0 * meta.nnz as f64 + 64.0 * meta.shape[0] as f64;
    let high = BASE_MIB + (rows + 8.0 * TRAINED_WEIGHTS * weights + 24.0 * meta.stored_columns as f64) / MIB;
    [high / 4.0, high]
}

/// Estimates a pruning of a network: its training goes on for a few epochs after each turn, and all turns are kept until the end,
/// each no larger than the base.
fn removal_estimate(meta: &Meta, weights: u64, removal: &Removal) -> Estimate {
    let (weights, turns) = (weights as f64, removal.schedule.steps as f64);
    let [low, high] = trained_memory(meta, weights);
    let memory_mb = [low, high + turns * 8.0 * weights / MIB];
    // of the weights nearly all are those of the inputs
    let width = weights / meta.stored_columns.max(1) as f64;
    let epoch = (meta.nnz as f64 + meta.shape[0] as f64) * width;
    let epochs = turns * removal.schedule.fine_tune_epochs as f64;
    let runtime_s = [
        0.01 + 0.1 * epochs * epoch * TRAINED_UNIT[0] + turns * 1e-9 * weights,
        0.1 + (epochs + turns) * epoch * TRAINED_UNIT[1] + turns * 100e-9 * weights,
    ];
    Estimate { memory_mb: memory_mb.map(short), runtime_s: runtime_s.map(short) }
}

/// Estimates a pruning; of a tree: an evaluation of the tree before and one of the tree after, what was measured of every row, and the
/// nodes as they are stored, as they are pruned, and twice as they are left.
pub fn prune_estimate(meta: &Meta, prune: &ResolvedPrune) -> Estimate {
    if let (Some(weights), Some((_, removal))) = (prune.base_weights, prune.method.removal()) {
        return removal_estimate(meta, weights, removal);
    }
    let leaves = prune.base_leaves.unwrap_or(1) as f64;
    let Estimate { memory_mb, runtime_s } = evaluation_estimate(meta);
    let (rows, nonzeros, nodes) = (meta.shape[0] as f64, meta.nnz as f64, 2.0 * leaves);
    let width = meta.target.classes.as_ref().map_or(1.0, |classes| classes.len() as f64);
    let more = (PRUNED_ROW * rows + nodes * (PRUNED_NODE + 4.0 * 8.0 * width)) / MIB;
    let levels = leaves.log2().max(1.0);
    let walk = |row: f64, node: f64| levels * (row * (rows + nonzeros) + node * nodes);
    let memory_mb = [memory_mb[0] + more / 4.0, memory_mb[1] + more];
    let runtime_s = [2.0 * runtime_s[0] + walk(0.1e-9, 5e-9), 3.0 * runtime_s[1] + walk(20e-9, 500e-9)];
    Estimate { memory_mb: memory_mb.map(short), runtime_s: runtime_s.map(short) }
}

/// Bytes of a row of a data set that is made within a job: target, weight, offset and origin.
const MADE_ROW: f64 = 28.0;

/// Estimates a distillation. Copied are the rows that are learnt from and those kept apart, made are those that are added and those that the
/// student learns from; what the teacher says of a row is kept for every class. Student and control are fits like any others, one after the
/// other, and all three are compared at the end.
pub fn distill_estimate(meta: &Meta, distill: &ResolvedDistill, threads: u64) -> Estimate {
    let [student, control] = distill.taught(meta);
    let fits = [&student, &control].map(|meta| distill.student.estimate(meta, threads));
    let entry = if meta.dtype == "f64" { 12.0 } else { 8.0 };
    let (rows, nonzeros, columns) = (meta.shape[0] as f64, meta.nnz as f64, 24.0 * meta.stored_columns as f64);
    // an array that grows has room for up to twice what it holds, and is copied once when it is closed
    let copied = 3.0 * (entry * nonzeros + MADE_ROW * rows) + 2.0 * columns;
    let made = |meta: &Meta| 3.0 * (entry * meta.nnz as f64 + MADE_ROW * meta.shape[0] as f64) + columns;
    let added = if distill.augment > 0 { made(&student) } else { 0.0 };
    let classes = meta.target.classes.as_ref().map_or(1.0, |classes| classes.len() as f64);
    let said = 16.0 * classes * rows * (1.0 + distill.augment as f64);
    let compared = BASE_MIB + 8.0 * rows * (SHARED_ROWS + classes + 3.0 * (COMPARED_ROWS + classes)) / MIB;
    let one = evaluation_estimate(meta);
    let drawn = 3.0 * rows * distill.held_out * distill.bootstrap as f64;
    let units = 1.0 + distill.augment as f64;
    let low = fits[1].memory_mb[0].max(one.memory_mb[0]);
    let work = fits[0].memory_mb[1].max(fits[1].memory_mb[1]).max(compared).max(units * one.memory_mb[1]);
    let memory_mb = [low, work + (copied + made(&student) + added + said) / MIB];
    let runtime_s = [
        2.0 * fits[1].runtime_s[0] + one.runtime_s[0] + drawn * 1e-9,
        fits[0].runtime_s[1] + fits[1].runtime_s[1] + (3.0 + units) * one.runtime_s[1] + drawn * 20e-9 + student.nnz as f64 * 100e-9 + 0.3,
    ];
    Estimate { memory_mb: memory_mb.map(short), runtime_s: runtime_s.map(short) }
}

fn along_path(values: f64) -> [f64; 2] {
    [values, 20.0 * values]
}

/// Three significant digits.
fn short(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}
