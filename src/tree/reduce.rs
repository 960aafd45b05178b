//! Reduced-error pruning (Quinlan 1987): a branch stays only where it predicts rows held out better than its root alone.

use super::clock::Clock;
use super::nodes::likeliest;
use super::{Observe, Target, Tree, Unfit};
use crate::matrix::ColumnsView;

/// What predicting a row by a value costs: the squared distance, or 1 for a wrong class.
pub(crate) fn loss(target: &Target, row: usize, value: &[f64]) -> f64 {
    match target {
        Target::Numbers(y) => (y[row] - value[0]).powi(2),
        Target::Classes { of_row, .. } => f64::from(u8::from(likeliest(value) != of_row[row] as usize)),
    }
}

/// The smallest of the prunings of `tree` with the least loss (squared error, or weight of wrong classes) on the rows of `x`
/// with weight. A branch that no such row comes to is cut.
pub fn reduced_error(tree: &Tree, x: ColumnsView, target: &Target, weights: Option<&[f64]>, observe: &Observe) -> Result<Tree, Unfit> {
    let cut = cuts_by_loss(tree, &node_losses(tree, x, target, weights, observe)?);
    Ok(Tree::rebuilt(tree.width(), tree.nodes(), tree.values(), |at| cut[at]).0)
}

/// Which nodes the smallest pruning with the least loss makes leaves of (those below them count for nothing), where each node would
/// have the loss of `losses` were it a leaf: one of those for each node.
pub fn cuts_by_loss(tree: &Tree, losses: &[f64]) -> Vec<bool> {
    let nodes = tree.nodes();
    // losses of the branches as they are kept
    let mut kept = losses.to_vec();
    let mut cut = vec![true; nodes.len()];
    for at in (0..nodes.len()).rev() {
        if let Some(split) = nodes[at].split {
            let below = kept[split.left as usize] + kept[split.right as usize];
            cut[at] = losses[at] <= below;
            kept[at] = if cut[at] { losses[at] } else { below };
        }
    }
    cut
}

/// For every node, the loss of all rows of `x` that come to it, were it a leaf: the weighted sum of squared errors, or the weight
/// of those whose class it does not say.
pub fn node_losses(tree: &Tree, x: ColumnsView, target: &Target, weights: Option<&[f64]>, observe: &Observe) -> Result<Vec<f64>, Unfit> {
    let clock = &mut Clock::new(observe, None);
    target.check(x.n_rows)?;
    tree.is_for(target)?;
    if weights.is_some_and(|weights| weights.len() != x.n_rows) {
        return Err(Unfit::Shape);
    }
    if weights.is_some_and(|weights| weights.iter().any(|w| !w.is_finite())) {
        return Err(Unfit::NonFinite);
    }
    if weights.is_some_and(|weights| weights.iter().any(|&w| w < 0.0)) {
        return Err(Unfit::Negative);
    }
    let parents = tree.parents();
    let mut losses = vec![0.0; tree.nodes().len()];
    for (row, leaf) in tree.leaves_with(x, clock)?.into_iter().enumerate() {
        let weight = weights.map_or(1.0, |weights| weights[row]);
        if weight == 0.0 {
            continue;
        }
        let mut at = leaf as usize;
        let mut steps = 1;
        losses[at] += weight * loss(target, row, tree.value(at));
        while at != 0 {
            at = parents[at] as usize;
            losses[at] += weight * loss(target, row, tree.value(at));
            steps += 1;
        }
        clock.work(2 * steps * tree.width())?;
    }
    if losses.iter().all(|loss| loss.is_finite()) { Ok(losses) } else { Err(Unfit::NonFinite) }
}
