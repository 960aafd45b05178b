//! The path of a pruning: the networks from the base to the sparsest, each as it was after its turn.
//!
//! Kept in a file of its own. Little-endian; the checksum is kept outside.
//!
//! ```text
//! "SPFNETP1"  8 bytes, the version with it
//! head        u64, bytes of the JSON that follows
//! JSON        {"rows":[…],"kept":[null | {"inputs":n,"layers":[…]},…]}, then zeros up to a multiple of 8
//! networks    the arrays of each that is kept, as in a model
//! ```

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::frame::Reader;
use super::super::frame::{damaged, pad};
use super::stored::{LayerHead, check_arrays, put_arrays};
use super::{Layer, NetworkModel};
use crate::dataset::Damaged;

const MAGIC: &[u8; 8] = b"SPFNETP1";
const HEADER: usize = 16;

/// One network of the path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct NetworkPathRow {
    pub index: u64,
    /// Share of all weights that are 0 or gone.
    pub sparsity_ratio: f64,
    pub nonzeros: u64,
    /// On rows held out: R² for numbers, area under the curve for two classes, accuracy for more.
    pub score: Option<f64>,
    /// Of its weights and biases.
    pub bytes: u64,
    /// Mean loss on the rows held out.
    pub loss: Option<f64>,
    /// Features that are read.
    pub features_active: u64,
}

/// The arrays of a network.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct KeptNetwork {
    pub inputs: Vec<u32>,
    pub scales: Vec<f64>,
    pub layers: Vec<Layer>,
}

/// A path of prunings of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkPath {
    /// The base first.
    pub rows: Vec<NetworkPathRow>,
    /// The network of each row; `None` where it would take too much.
    pub kept: Vec<Option<KeptNetwork>>,
    /// The row that is the model.
    pub selected: u64,
}

#[derive(Serialize, Deserialize)]
struct Head {
    rows: Vec<NetworkPathRow>,
    kept: Vec<Option<KeptHead>>,
    selected: u64,
}

#[derive(Serialize, Deserialize)]
struct KeptHead {
    inputs: usize,
    layers: Vec<LayerHead>,
}

impl NetworkPath {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let head = |kept: &KeptNetwork| KeptHead { inputs: kept.inputs.len(), layers: kept.layers.iter().map(LayerHead::of).collect() };
        let kept = self.kept.iter().map(|one| one.as_ref().map(head)).collect();
        let head = Head { rows: self.rows.clone(), kept, selected: self.selected };
        let head = serde_json::to_vec(&head).expect("plain structs with text keys always serialise into memory");
        let mut bytes = Vec::with_capacity(HEADER + head.len() + 8);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&(head.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&head);
        pad(&mut bytes);
        self.kept.iter().flatten().for_each(|one| put_arrays(&mut bytes, &one.inputs, &one.scales, &one.layers));
        bytes
    }

    /// Whether these bytes are those of such a path.
    pub(crate) fn is_one(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let path = Self::read(bytes).ok_or_else(|| damaged("a path of networks is cut off or of another version"))?;
        let finite = |row: &NetworkPathRow| [Some(row.sparsity_ratio), row.score, row.loss].into_iter().flatten().all(f64::is_finite);
        let placed = path.rows.iter().enumerate().all(|(at, row)| row.index == at as u64 && finite(row));
        let whole = |kept: &KeptNetwork| check_arrays(&kept.inputs, &kept.scales, &kept.layers, u64::from(u32::MAX)).is_ok();
        let agrees = path.kept.len() == path.rows.len() && path.selected < path.rows.len() as u64;
        if !placed || !agrees || !path.kept.iter().flatten().all(whole) {
            return Err(damaged("a path of networks is none"));
        }
        Ok(path)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        if !Self::is_one(bytes) {
            return None;
        }
        let length = usize::try_from(u64::from_le_bytes(*bytes.get(8..)?.first_chunk::<8>()?)).ok()?;
        let end = HEADER.checked_add(length)?;
        let Head { rows, kept: heads, selected } = serde_json::from_slice(bytes.get(HEADER..end)?).ok()?;
        let mut reader = Reader(bytes.get(end.checked_next_multiple_of(8)?..)?);
        let mut kept = Vec::with_capacity(heads.len());
        for head in heads {
            kept.push(match head {
                None => None,
                Some(head) => {
                    let (inputs, scales, layers) = reader.arrays(head.inputs, &head.layers)?;
                    Some(KeptNetwork { inputs, scales, layers })
                }
            });
        }
        reader.0.is_empty().then_some(Self { rows, kept, selected })
    }

    /// The model of another row; `base` was chosen from this path, and `reference` names it. `None` where the network was not kept.
    pub fn promoted(&self, base: &NetworkModel, index: usize, reference: &str) -> Option<NetworkModel> {
        let (row, kept) = (self.rows.get(index)?, self.kept.get(index)?.clone()?);
        let KeptNetwork { inputs, scales, layers } = kept;
        let mut card = base.card.clone();
        // measured for every row; the other measures were those of the one that was chosen
        card.metrics = json!({ "holdout": { "score": row.score, "loss": row.loss } });
        if let Some(pruned) = &mut card.pruned {
            pruned.score = row.score;
        }
        card.selection = Some(json!({ "rule": "promoted", "index": index }));
        card.promoted_from = Some(reference.to_owned());
        Some(NetworkModel { card, inputs, scales, layers }.measured())
    }
}
