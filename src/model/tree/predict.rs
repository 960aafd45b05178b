//! The answer of a tree for one row: down from the root to a leaf, and what the leaf says.

use std::io::Write as _;

use super::super::classes::put_all;
use super::super::score::{Scorer, fields, put};
use super::TreeModel;

impl Scorer<'_> {
    /// Finds the leaf of the row that was read and writes its answer.
    pub(in crate::model) fn descend(&mut self, model: &TreeModel) {
        let (splits, hits) = (self.predictor.splits(), &self.row.hits);
        let held = |node: usize| hits.binary_search_by_key(&splits[node], |hit| hit.0).map_or(0.0, |at| hits[at].1);
        let leaf = model.nodes.leaf(held);
        let (value, wanted) = (model.nodes.value(leaf), self.wanted);
        let mut field = fields(self.rows);
        if wanted.prediction {
            field(&mut self.out, "\"prediction\":");
            put(&mut self.out, value[0]);
        }
        if wanted.probability {
            field(&mut self.out, "\"probability\":");
            put(&mut self.out, value[1]);
        }
        if wanted.probabilities {
            field(&mut self.out, "\"probabilities\":");
            put_all(&mut self.out, value.iter().copied());
        }
        if wanted.label {
            field(&mut self.out, "\"label\":");
            let label = if value.len() == 2 { usize::from(value[1] >= wanted.threshold) } else { likeliest(value) };
            self.out.extend_from_slice(self.predictor.label(label));
        }
        if wanted.leaf {
            field(&mut self.out, "\"leaf\":");
            let _ = write!(self.out, "{leaf}");
        }
        if wanted.unknown {
            field(&mut self.out, "\"unknown\":");
            let _ = write!(self.out, "{}", self.row.unknown);
        }
        self.out.push(b'}');
    }
}

/// The class with the largest share, the first of equals.
fn likeliest(shares: &[f64]) -> usize {
    (1..shares.len()).fold(0, |best, class| if shares[class] > shares[best] { class } else { best })
}
