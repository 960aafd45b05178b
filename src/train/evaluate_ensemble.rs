//! What an ensemble says of every row: tree by tree, each by its columns, added as predictions are.

use super::evaluate::{Matched, Pace, STRETCH};
use super::evaluate_tree::{leaves, renamed};
use super::{TrainError, unfit};
use crate::dataset::Dataset;
use crate::model::EnsembleModel;
use crate::tree::{Node, Split, Tree};

/// Row by row one number, or one for each of more than two classes; `used` are the features that are split on, rising, as they were matched.
pub(super) fn scores(
    dataset: &Dataset,
    model: &EnsembleModel,
    used: &[u32],
    matched: &Matched,
    pace: &Pace<'_>,
) -> Result<Vec<f64>, TrainError> {
    let feature = renamed(used, matched, dataset);
    let width = model.card.base.len();
    let mut eta = model.card.base.repeat(dataset.y.len());
    for at in 0..model.trees.len() {
        let nodes = model.trees.range(at);
        let start = nodes.start;
        let node = |at: usize| Node {
            split: model.trees.split(at).map(|(theirs, threshold, left, right)| Split {
                feature: feature(theirs),
                threshold,
                left: (left - start) as u32,
                right: (right - start) as u32,
            }),
            weight: 0.0,
            impurity: 0.0,
        };
        let tree = Tree::new(1, nodes.clone().map(node).collect(), model.trees.numbers[nodes].to_vec());
        let tree = tree.map_err(|what| unfit("artifact_corrupt", format!("A tree is none: {what}.")))?;
        let leaves = leaves(&tree, dataset, pace)?;
        for (eta, leaves) in eta.chunks_mut(STRETCH * width).zip(leaves.chunks(STRETCH)) {
            pace.work(leaves.len())?;
            eta.iter_mut().skip(at % width).step_by(width).zip(leaves).for_each(|(eta, leaf)| *eta += tree.value(*leaf as usize)[0]);
        }
    }
    Ok(eta)
}
