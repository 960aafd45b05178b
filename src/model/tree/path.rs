//! The path of prunings: every tree that is best for some α, from the one that was grown to its root alone.
//!
//! Kept in a file of its own. Little-endian; the checksum is kept outside.
//!
//! ```text
//! "SPFPRUN1"  8 bytes, the version with it
//! head        u64, bytes of the JSON that follows the lengths
//! nodes       u64, of the tree as it was grown; 0 = not kept
//! width       u64, numbers of a value
//! JSON        {"rows":[…],"cv":…}, then zeros up to a multiple of 8
//! nodes       as in a model
//! cut         u32 each: the row of the path from which on the node is a leaf, u32::MAX = never; zeros up to a multiple of 8
//! ```

use serde::{Deserialize, Serialize};

use super::super::frame::{damaged, pad};
use super::{Nodes, TreeCard, TreeModel, TreeSparsity};
use crate::dataset::Damaged;

const MAGIC: &[u8; 8] = b"SPFPRUN1";
const HEADER: usize = 32;
/// Node that is never cut: a leaf of the tree as it was grown, or one that goes with its parent.
const NEVER: u32 = u32::MAX;

/// One pruning of the path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TreePathRow {
    pub index: u64,
    /// From this α on it is the best, until the next row.
    pub ccp_alpha: f64,
    pub leaves: u64,
    /// On the rows it was grown on: R² for numbers, area under the curve for two classes, accuracy for more.
    pub train_score: Option<f64>,
    pub cv_mean: Option<f64>,
    pub cv_se: Option<f64>,
    /// The same score on the rows of the job that pruned, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout_score: Option<f64>,
}

/// Cross-validation of a path of prunings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TreeCv {
    /// `mse` or `error_rate`.
    pub metric: String,
    pub folds: u64,
    pub seed: u64,
    pub stratify: bool,
    pub index_min: u64,
    pub index_1se: u64,
    pub rows: Vec<TreeCvRow>,
}

/// One row of the cross-validation: the trees of the folds at the geometric mean of this row's α and the next one's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TreeCvRow {
    pub index: u64,
    pub ccp_alpha: f64,
    pub mean: f64,
    pub se: f64,
    pub per_fold: Vec<f64>,
}

/// A path of prunings.
#[derive(Clone, Debug, PartialEq)]
pub struct TreePath {
    /// The largest tree first.
    pub rows: Vec<TreePathRow>,
    /// What chose, if rows were held out.
    pub cv: Option<TreeCv>,
    /// What every row is a pruning of; `None` where it would take too much.
    pub grown: Option<GrownTree>,
}

/// A tree as it was grown, and when each node is cut.
#[derive(Clone, Debug, PartialEq)]
pub struct GrownTree {
    /// All nodes.
    pub nodes: Nodes,
    /// For each, the row of the path from which on it is a leaf; `u32::MAX` = no row.
    pub cut: Vec<u32>,
}

#[derive(Serialize)]
struct HeadOut<'p> {
    rows: &'p [TreePathRow],
    cv: &'p Option<TreeCv>,
}

#[derive(Deserialize)]
struct HeadIn {
    rows: Vec<TreePathRow>,
    cv: Option<TreeCv>,
}

impl GrownTree {
    /// Bytes of the stored form of a tree of so many nodes.
    pub fn bytes_of(nodes: usize, width: usize) -> usize {
        let cut = nodes.saturating_mul(4).saturating_add(8);
        Nodes::bytes_of(nodes, width).map_or(usize::MAX, |bytes| bytes.saturating_add(cut))
    }

    /// The tree of a row.
    pub fn at(&self, row: usize) -> Nodes {
        self.nodes.cut(|node| self.cut[node] != NEVER && self.cut[node] as usize <= row)
    }
}

impl TreePath {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let head = HeadOut { rows: &self.rows, cv: &self.cv };
        let head = serde_json::to_vec(&head).expect("plain structs with text keys always serialise into memory");
        let (nodes, width) = self.grown.as_ref().map_or((0, 0), |grown| (grown.nodes.len(), grown.nodes.width));
        let mut bytes = Vec::with_capacity(head.len().saturating_add(GrownTree::bytes_of(nodes, width)).saturating_add(HEADER + 16));
        bytes.extend_from_slice(MAGIC);
        [head.len(), nodes, width].iter().for_each(|count| bytes.extend_from_slice(&(*count as u64).to_le_bytes()));
        bytes.extend_from_slice(&head);
        pad(&mut bytes);
        if let Some(grown) = &self.grown {
            grown.nodes.put(&mut bytes);
            grown.cut.iter().for_each(|row| bytes.extend_from_slice(&row.to_le_bytes()));
            pad(&mut bytes);
        }
        bytes
    }

    /// Whether these bytes are those of a path of prunings.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let path = Self::read(bytes).ok_or_else(|| damaged("a path of prunings is cut off or of another version"))?;
        let finite = |row: &TreePathRow| {
            let numbers = [Some(row.ccp_alpha), row.train_score, row.cv_mean, row.cv_se, row.holdout_score];
            numbers.into_iter().flatten().all(f64::is_finite)
        };
        let placed = path.rows.iter().enumerate().all(|(at, row)| row.index == at as u64 && finite(row));
        let agrees = |cv: &TreeCv| cv.rows.len() == path.rows.len() && cv.index_min.max(cv.index_1se) < cv.rows.len() as u64;
        let whole = |grown: &GrownTree| grown.nodes.check(u64::from(u32::MAX)).is_ok();
        if path.rows.is_empty() || !placed || !path.cv.as_ref().is_none_or(agrees) || !path.grown.as_ref().is_none_or(whole) {
            return Err(damaged("a path of prunings is none"));
        }
        Ok(path)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let count = |at: usize| usize::try_from(u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?)).ok();
        if !Self::is_one(bytes) {
            return None;
        }
        let (head, nodes, width) = (count(8)?, count(16)?, count(24)?);
        let end = HEADER.checked_add(head)?;
        let HeadIn { rows, cv } = serde_json::from_slice(bytes.get(HEADER..end)?).ok()?;
        let begin = end.checked_next_multiple_of(8)?;
        if nodes == 0 {
            return (begin == bytes.len()).then_some(Self { rows, cv, grown: None });
        }
        let cut = begin.checked_add(Nodes::bytes_of(nodes, width)?)?;
        if cut.checked_add(nodes.checked_mul(4)?)?.checked_next_multiple_of(8)? != bytes.len() {
            return None;
        }
        let nodes_read = Nodes::read(&bytes[begin..cut], nodes, width)?;
        let cut = bytes[cut..cut + 4 * nodes].as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        Some(Self { rows, cv, grown: Some(GrownTree { nodes: nodes_read, cut }) })
    }

    /// The row of a model that was chosen from this path.
    pub fn selected(&self, card: &TreeCard) -> Option<u64> {
        self.rows.iter().find(|row| row.ccp_alpha == card.ccp_alpha && row.leaves == card.sparsity.leaves).map(|row| row.index)
    }

    /// The model of another row; `base` was chosen from this path, and `reference` names it. `None` where the tree was not kept.
    pub fn promoted(&self, base: &TreeModel, index: usize, reference: &str) -> Option<TreeModel> {
        let (row, grown) = (self.rows.get(index)?, self.grown.as_ref()?);
        let nodes = grown.at(index);
        let mut card = base.card.clone();
        card.ccp_alpha = row.ccp_alpha;
        card.sparsity = TreeSparsity::of(&nodes, card.sparsity.n_features, card.sparsity.unpruned);
        // measured for every row; the other measures were those of the one that was chosen
        card.metrics = serde_json::json!({ "train": { "score": row.train_score } });
        if let Some(score) = row.holdout_score {
            card.metrics["holdout"] = serde_json::json!({ "score": score });
        }
        // that was another pruning, by another measure
        card.pruned = None;
        if let (Some(cv), Some(mean)) = (&self.cv, row.cv_mean) {
            card.metrics["cv"] = serde_json::json!({ cv.metric.as_str(): mean, format!("{}_se", cv.metric): row.cv_se });
        }
        if let Some(selection) = card.selection.as_mut().and_then(|selection| selection.as_object_mut()) {
            selection.insert("rule".into(), "promoted".into());
            selection.insert("index".into(), index.into());
        }
        card.promoted_from = Some(reference.to_owned());
        Some(TreeModel { card, nodes })
    }
}
