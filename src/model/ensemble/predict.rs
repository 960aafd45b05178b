//! The answer of an ensemble for one row: down every tree to a leaf, and the sum of what the leaves say.

use super::super::score::{Refusal, Scorer};
use super::EnsembleModel;
use crate::fault::Code;

impl Scorer<'_> {
    /// Sums the leaves of the row that was read and writes its answer.
    pub(in crate::model) fn add_up(&mut self, model: &EnsembleModel) -> Result<(), Refusal> {
        let splits = self.predictor.splits();
        // trees ask for the same features again and again: each is looked up at its place
        self.held.resize(self.predictor.n_active(), 0.0);
        self.row.hits.iter().for_each(|(position, value)| self.held[*position as usize] = *value);
        let held = &self.held;
        model.score(|node| held[splits[node] as usize], &mut self.scores);
        self.row.hits.iter().for_each(|(position, _)| self.held[*position as usize] = 0.0);
        if self.scores.iter().any(|score| !score.is_finite()) {
            return Err(Refusal::row(Code::NumericalError, "the score is beyond a double"));
        }
        match &*self.scores {
            &[score] => self.answer(score, score, |_| {}),
            _ => self.answer_classes(|_, _| {}),
        }
        Ok(())
    }
}
