//! Which weights go next: by size, by the norm of what belongs together, or by lot; named as in `torch.nn.utils.prune`.

use super::{Kept, Layer, Network, Unfit};
use crate::numeric::{SplitMix64, exp, ln};

/// What is pruned by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pruning {
    /// Weights of each layer, the smallest first.
    L1Unstructured,
    /// Hidden units of each layer, by the Euclidean norm of the weights that come in.
    LnStructured,
    /// Weights of each layer, by lot.
    RandomUnstructured {
        /// What the lots are a function of; the same for all turns of a schedule.
        seed: u64,
    },
    /// Weights of all layers together, the smallest first.
    GlobalUnstructured,
    /// Inputs, by the Euclidean norm of their weights.
    Inputs,
}

/// How much is pruned in the end, of what there was originally: of all weights, hidden units or inputs, pruned ones included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// A share, in [0, 1]; of each layer where a method goes by layers.
    Share(f64),
    /// A number; layers give in proportion to what they have.
    Count(usize),
}

/// Takes flags off `kept`. `turn` is which turn of how many this is, (1, 1) where all goes at once: each turn prunes the same share of
/// what is left, and after the last one as much is gone as after a single one. What is gone already is counted.
///
/// # Errors
/// [`Unfit::Shape`] for flags of another network, [`Unfit::Range`] for an amount or a turn that cannot be.
pub fn prune(network: &Network, kept: &Kept, method: Pruning, amount: Amount, turn: (usize, usize)) -> Result<Kept, Unfit> {
    kept.check(network)?;
    let possible = match amount {
        Amount::Share(share) => (0.0..=1.0).contains(&share),
        Amount::Count(_) => true,
    };
    if !possible || turn.0 == 0 || turn.0 > turn.1 {
        return Err(Unfit::Range);
    }
    let pools = pools(network, kept, method);
    let sizes: Vec<usize> = pools.iter().map(Vec::len).collect();
    let mut left = kept.clone();
    for (pool, goal) in pools.into_iter().zip(goals(amount, &sizes)) {
        let mut pool = pool;
        pool.sort_by(|a, b| a.size.total_cmp(&b.size));
        let n = by_turn(goal, pool.len(), turn);
        for piece in &pool[..n] {
            let kept = &mut left.layers[piece.layer];
            (0..piece.n).for_each(|k| kept[piece.begin + k * piece.stride] = false);
        }
    }
    Ok(left)
}

/// Weights that go together.
struct Piece {
    /// Those with the least go first; below 0 where nothing is left to go.
    size: f64,
    layer: usize,
    begin: usize,
    stride: usize,
    n: usize,
}

/// What is ranked together, in the order of the weights.
fn pools(network: &Network, kept: &Kept, method: Pruning) -> Vec<Vec<Piece>> {
    let layers = network.layers.iter().enumerate();
    let norm = |layer: usize, begin: usize, stride: usize, n: usize| {
        let (weights, kept) = (&network.layers[layer].weights, &kept.layers[layer]);
        let places = (0..n).map(|k| begin + k * stride).filter(|&at| kept[at]);
        let (mut any, mut square) = (false, 0.0);
        places.for_each(|at| (any, square) = (true, square + weights[at] * weights[at]));
        Piece { size: if any { square.sqrt() } else { -1.0 }, layer, begin, stride, n }
    };
    let single = |layer: usize, at: usize, size: f64| {
        let size = if kept.layers[layer][at] { size } else { -1.0 };
        Piece { size, layer, begin: at, stride: 1, n: 1 }
    };
    let by_size = |(l, layer): (usize, &Layer)| -> Vec<Piece> {
        layer.weights.iter().enumerate().map(|(at, weight)| single(l, at, weight.abs())).collect()
    };
    match method {
        Pruning::L1Unstructured => layers.map(by_size).collect(),
        Pruning::GlobalUnstructured => vec![layers.flat_map(by_size).collect()],
        Pruning::RandomUnstructured { seed } => {
            let mut random = SplitMix64(seed);
            layers.map(|(l, layer)| (0..layer.weights.len()).map(|at| single(l, at, random.share())).collect()).collect()
        }
        Pruning::LnStructured => {
            let hidden = layers.take(network.layers.len() - 1);
            hidden.map(|(l, layer)| (0..layer.outputs).map(|unit| norm(l, unit, layer.outputs, layer.inputs)).collect()).collect()
        }
        Pruning::Inputs => {
            let of_first = |layer: &Layer| (0..layer.inputs).map(|i| norm(0, i * layer.outputs, 1, layer.outputs)).collect();
            network.layers.first().map(of_first).into_iter().collect()
        }
    }
}

/// How many of each pool are to be gone in the end.
fn goals(amount: Amount, sizes: &[usize]) -> Vec<usize> {
    let all: usize = sizes.iter().sum();
    match amount {
        Amount::Share(share) => sizes.iter().map(|&size| (share * size as f64).round() as usize).collect(),
        Amount::Count(count) => {
            let count = count.min(all) as u128;
            let until = |sum: usize| ((count * sum as u128 + all as u128 / 2) / (all as u128).max(1)) as usize;
            let mut sum = 0;
            let goal = |&size: &usize| {
                sum += size;
                until(sum) - until(sum - size)
            };
            sizes.iter().map(goal).collect()
        }
    }
}

/// How many of `all` are to be gone after a turn.
fn by_turn(goal: usize, all: usize, (turn, turns): (usize, usize)) -> usize {
    if turn == turns || goal == 0 {
        return goal;
    }
    // all cannot be a share of what is left each time: as if one stayed
    let left = (all - goal).max(1) as f64 / all as f64;
    let share = exp(turn as f64 / turns as f64 * ln(left));
    ((all as f64 * (1.0 - share)).round() as usize).min(goal)
}
