//! The answer of a network for one row: through its layers, what is left of them.

use super::super::score::{Refusal, Scorer};
use super::NetworkModel;
use crate::fault::Code;

impl Scorer<'_> {
    /// Runs the row that was read through the layers and writes its answer.
    pub(in crate::model) fn pass(&mut self, model: &NetworkModel) -> Result<(), Refusal> {
        model.forward(self.row.hits.iter().map(|(position, value)| (*position as usize, *value)), &mut self.state);
        let outputs = &self.state.outputs;
        if outputs.iter().any(|output| !output.is_finite()) {
            return Err(Refusal::row(Code::NumericalError, "an output is beyond a double"));
        }
        match model.card.classes.as_deref() {
            None => {
                let prediction = model.card.center + model.card.spread * outputs[0];
                if !prediction.is_finite() {
                    return Err(Refusal::row(Code::NumericalError, "the prediction is beyond a double"));
                }
                self.answer(prediction, prediction, |_| {});
            }
            Some([_, _]) => {
                let score = outputs[0];
                self.answer(score, score, |_| {});
            }
            Some(_) => {
                self.scores.clear();
                self.scores.extend_from_slice(&self.state.outputs);
                self.answer_classes(|_, _| {});
            }
        }
        Ok(())
    }
}
