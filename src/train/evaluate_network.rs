//! What a network says of every row of a data set: rows are put together from the columns, then go through its layers as those of a
//! prediction do.

use super::TrainError;
use super::evaluate::{Matched, Pace};
use super::network::Scaling;
use crate::dataset::Dataset;
use crate::model::{Layer, NetworkModel, State};

/// Row by row one number, or one for each of more than two classes.
pub(super) fn scores(dataset: &Dataset, model: &NetworkModel, matched: &Matched, pace: &Pace<'_>) -> Result<Vec<f64>, TrainError> {
    let rows = Scaling::rows(None, dataset, &matched.pairs, model.inputs.len(), pace)?;
    let width = model.layers.last().map_or(1, Layer::outputs);
    let cost = model.layers.iter().map(|layer| layer.nonzeros() as usize).sum::<usize>();
    let rest = model.layers.iter().skip(1).map(|layer| layer.nonzeros() as usize).sum::<usize>();
    let first = model.layers.first().map_or(1, Layer::outputs);
    let mut eta = Vec::with_capacity(dataset.y.len() * width);
    let mut state = State::default();
    for row in 0..dataset.y.len() as u32 {
        let (inputs, values) = rows.row(row);
        pace.work((inputs.len() * first).min(cost) + rest)?;
        model.forward(inputs.iter().map(|input| *input as usize).zip(values.iter().copied()), &mut state);
        match model.card.classes {
            None => eta.push(model.card.center + model.card.spread * state.outputs[0]),
            Some(_) => eta.extend_from_slice(&state.outputs),
        }
    }
    Ok(eta)
}
