//! How far the features hang on the rows: the model's penalty at its λ on halves of the rows it was fitted on, and how alike the
//! features are that each half chooses.

use super::super::evaluate::Pace;
use super::super::{Run, TrainError, fit};
use super::support::{jaccard_of, shared_of};
use super::twin::TAUGHT;
use super::{Contender, while_fitting};
use crate::dataset::Dataset;
use crate::model::{Model, SupportStability};
use crate::numeric::SplitMix64;

/// Fits `halves` halves of the rows, two disjoint ones a pair; `of` says which of how many contenders it is.
pub(super) fn measure(
    contender: &Contender,
    of: (u64, u64),
    (halves, seed): (u64, u64),
    run: &Run<'_>,
    pace: &Pace<'_>,
) -> Result<SupportStability, TrainError> {
    let without = |why: &str| Ok(SupportStability { halves, jaccard: None, features: None, reason: Some(why.to_owned()) });
    let Model::Linear(model) = &*contender.model else { return without("Halves of the rows are fitted for linear models alone.") };
    if model.stability.is_some() {
        return without("Its features were chosen by halves of the rows: see its /stability.");
    }
    if model.card.distilled.is_some() {
        return without(&format!("It was distilled: {TAUGHT}"));
    }
    let Some(origin) = &contender.origin else {
        return without("The data set it was fitted on, or the job that tells how, has been deleted.");
    };
    let spec = origin.spec.on_a_half(model.card.lambda, model.card.l1_ratio);
    let own = origin.dataset.weights.as_deref().filter(|_| origin.spec.weights);
    let n_rows = origin.dataset.y.len();
    let mut order: Vec<u32> = (0..u32::try_from(n_rows).unwrap_or(u32::MAX)).collect();
    let mut random = SplitMix64(seed);
    let mut supports: Vec<Vec<u32>> = Vec::new();
    for half in 0..halves {
        pace.done(usize::try_from(of.0 * halves + half).unwrap_or(usize::MAX), usize::try_from(of.1 * halves).unwrap_or(usize::MAX));
        let observe = while_fitting(run, pace);
        let first = half % 2 == 0;
        if first {
            random.shuffle(&mut order);
        }
        let (one, other) = order.split_at(n_rows / 2);
        let mut weights = vec![0.0; n_rows];
        let chosen = if first { one } else { other };
        chosen.iter().for_each(|row| weights[*row as usize] = own.map_or(1.0, |own| own[*row as usize]));
        let dataset = Dataset { weights: Some(weights.into()), ..(*origin.dataset).clone() };
        match fit(&dataset, &spec, &Run { on_thread: run.on_thread, ..Run::new(run.threads, &observe) }) {
            Ok(fitted) => supports.push(Model::Linear(fitted).features_used()),
            Err(TrainError::Cancelled) => return Err(TrainError::Cancelled),
            Err(TrainError::Unfit { detail, .. }) => return without(&format!("A half of the rows cannot be fitted: {detail}")),
        }
    }
    pace.done(usize::try_from((of.0 + 1) * halves).unwrap_or(usize::MAX), usize::try_from(of.1 * halves).unwrap_or(usize::MAX));
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (at, one) in supports.iter().enumerate() {
        for other in &supports[at + 1..] {
            pace.work(one.len() + other.len())?;
            sum += jaccard_of(one.len(), other.len(), shared_of(one, other));
            pairs += 1.0;
        }
    }
    let features = supports.iter().map(Vec::len).sum::<usize>() as f64 / supports.len().max(1) as f64;
    Ok(SupportStability { halves, jaccard: (pairs > 0.0).then(|| sum / pairs), features: Some(features), reason: None })
}
