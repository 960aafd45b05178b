//! How good a tree is on a data set: its shares as the linear predictors that would have the same probabilities, so that what is
//! measured of them is measured as of any other model.

use std::ops::ControlFlow;

use serde_json::Value;

use super::evaluate::{Matched, Measured, Pace, target};
use super::{TrainError, evaluate_classes, unfit};
use crate::dataset::{Class, Dataset};
use crate::job::Progress;
use crate::model::{Nodes, TreeModel};
use crate::tree::{self, Node, Split, Tree};

/// A feature that no data set has.
const ABSENT: u32 = u32::MAX;

/// What a tree that splits on the features `used`, rising, says of every row, as linear predictors. A share is taken as at least ε and at
/// most 1 − ε, ε = 2⁻⁵², so that a leaf that is sure and wrong has a finite log loss.
pub(super) fn scores(
    dataset: &Dataset,
    model: &TreeModel,
    used: &[u32],
    matched: &Matched,
    pace: &Pace<'_>,
) -> Result<Vec<f64>, TrainError> {
    let leaves = leaves(&of_dataset(&model.nodes, used, matched, dataset)?, dataset, pace)?;
    let value = |row: usize| model.nodes.value(leaves[row] as usize);
    let n_rows = dataset.y.len();
    match model.card.classes.as_deref() {
        None => Ok((0..n_rows).map(|row| value(row)[0]).collect()),
        Some([_, _]) => Ok((0..n_rows).map(|row| logit(value(row)[1])).collect()),
        Some(known) => {
            let mut eta = Vec::with_capacity(n_rows * known.len());
            for row in 0..n_rows {
                pace.work(8 * known.len())?;
                eta.extend(value(row).iter().map(|share| share.max(f64::EPSILON).ln()));
            }
            Ok(eta)
        }
    }
}

/// Measures what a model of all these classes says of every row.
pub(super) fn metrics(dataset: &Dataset, classes: Option<&[Class]>, eta: &[f64], pace: &Pace<'_>) -> Result<Value, TrainError> {
    let known: Option<Vec<Option<Class>>> = classes.map(|classes| classes.iter().cloned().map(Some).collect());
    match known.as_deref() {
        None => Measured { y: &target(dataset, None)?, eta, dataset, pace }.numbers(),
        Some(known @ [_, _]) => Measured { y: &target(dataset, Some(known))?, eta, dataset, pace }.sides(true),
        Some(known) => evaluate_classes::of_scores(dataset, eta, known, pace),
    }
}

/// The linear predictor of a probability; that of equal shares is on the side of the first class, as its label is.
fn logit(share: f64) -> f64 {
    let share = share.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    if share == 0.5 { -f64::MIN_POSITIVE } else { (share / (1.0 - share)).ln() }
}

/// The tree with its features called as the data set does; `used` are those that it splits on, rising, as they were matched. Its
/// nodes stand where they stood.
pub(super) fn of_dataset(nodes: &Nodes, used: &[u32], matched: &Matched, dataset: &Dataset) -> Result<Tree, TrainError> {
    let feature = renamed(used, matched, dataset);
    let node = |at: usize| Node {
        split: nodes.split(at).map(|(theirs, threshold, left, right)| Split {
            feature: feature(theirs),
            threshold,
            left: left as u32,
            right: right as u32,
        }),
        weight: nodes.weights[at],
        impurity: nodes.impurities[at],
    };
    let tree = Tree::new(nodes.width, (0..nodes.len()).map(node).collect(), nodes.values.clone());
    tree.map_err(|what| unfit("artifact_corrupt", format!("The tree is none: {what}.")))
}

/// What the data set calls each of the features `used`, rising, as they were matched.
pub(super) fn renamed<'u>(used: &'u [u32], matched: &Matched, dataset: &Dataset) -> impl Fn(u32) -> u32 + 'u {
    let features = dataset.x.view().features;
    let mut here = vec![ABSENT; used.len()];
    matched.pairs.iter().for_each(|&(at, column)| here[at as usize] = features[column as usize]);
    move |theirs| used.binary_search(&theirs).map_or(ABSENT, |at| here[at])
}

/// The leaf of each row.
pub(super) fn leaves(tree: &Tree, dataset: &Dataset, pace: &Pace<'_>) -> Result<Vec<u32>, TrainError> {
    let observe = |_: &tree::Progress| match (pace.observe)(&Progress::default()) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(_) => ControlFlow::Break(()),
    };
    Ok(tree.leaves_of(dataset.x.view(), &observe)?)
}
