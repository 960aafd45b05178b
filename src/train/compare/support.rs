//! Which features models use, and how far they agree on them: by name where features have names, else by index.

use std::collections::HashMap;

use super::super::TrainError;
use super::super::evaluate::Pace;
use super::Row;

/// Features shared by two models.
pub(super) struct Overlap {
    /// Shared features as a share of those that either uses; of two models without any, 1.
    pub(super) jaccard: Vec<Vec<f64>>,
    pub(super) shared: Vec<Vec<u64>>,
}

/// Of all pairs, both ways round.
pub(super) fn overlap(rows: &[Row], pace: &Pace<'_>) -> Result<Overlap, TrainError> {
    let supports = supports(rows, pace)?;
    let n = supports.len();
    let (mut jaccard, mut shared) = (vec![vec![1.0; n]; n], vec![vec![0; n]; n]);
    for one in 0..n {
        pace.done(one, n);
        for other in one..n {
            pace.work(supports[one].len() + supports[other].len())?;
            let both = shared_of(&supports[one], &supports[other]);
            (shared[one][other], shared[other][one]) = (both, both);
            let share = jaccard_of(supports[one].len(), supports[other].len(), both);
            (jaccard[one][other], jaccard[other][one]) = (share, share);
        }
    }
    Ok(Overlap { jaccard, shared })
}

/// Features that occur in both of two rising lists.
pub(super) fn shared_of(one: &[u32], other: &[u32]) -> u64 {
    let (mut at, mut both) = (0, 0);
    for feature in one {
        while other.get(at).is_some_and(|next| next < feature) {
            at += 1;
        }
        both += u64::from(other.get(at) == Some(feature));
    }
    both
}

/// Paul Jaccard's coefficient of two sets of these sizes; two empty ones are equal.
pub(super) fn jaccard_of(one: usize, other: usize, both: u64) -> f64 {
    let either = one as u64 + other as u64 - both;
    if either == 0 { 1.0 } else { both as f64 / either as f64 }
}

/// The features that each model uses, rising, under numbers that mean the same for all.
fn supports(rows: &[Row], pace: &Pace<'_>) -> Result<Vec<Vec<u32>>, TrainError> {
    let first = rows.first().and_then(|row| row.names.as_deref());
    let alike = rows.iter().all(|row| match (first, row.names.as_deref()) {
        (Some(first), Some(own)) => std::ptr::eq(first, own),
        (first, own) => first.is_none() && own.is_none(),
    });
    if alike {
        return Ok(rows.iter().map(|row| row.model.features_used()).collect());
    }
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut all = Vec::with_capacity(rows.len());
    for row in rows {
        let mut own = Vec::new();
        for feature in row.model.features_used() {
            pace.work(200)?;
            if let Some(name) = row.names.as_deref().and_then(|names| names.get(feature)) {
                let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
                own.push(*numbers.entry(name).or_insert(next));
            }
        }
        own.sort_unstable();
        all.push(own);
    }
    Ok(all)
}
