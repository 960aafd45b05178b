//! Resamples of the rows: as many as there are, drawn with replacement; and what an interval is of what they tell.

use super::super::TrainError;
use super::super::evaluate::{Pace, STRETCH};
use crate::numeric::SplitMix64;

/// Share of the resamples outside an interval, on each side.
const TAIL: f64 = 0.025;

/// The weights of the rows in resample number `which`: their own, times how often each was drawn. The same for all models.
pub(super) fn weights(own: Option<&[f64]>, which: u64, seed: u64, drawn: &mut [f64], pace: &Pace<'_>) -> Result<(), TrainError> {
    // the number goes through the generator once, so that neighbours draw differently
    let mut random = SplitMix64(SplitMix64(seed ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits());
    drawn.fill(0.0);
    let n = drawn.len();
    for start in (0..n).step_by(STRETCH) {
        let rows = STRETCH.min(n - start);
        pace.work(4 * rows)?;
        for _ in 0..rows {
            drawn[random.below(n as u64) as usize] += 1.0;
        }
    }
    if let Some(own) = own {
        for (drawn, own) in drawn.chunks_mut(STRETCH).zip(own.chunks(STRETCH)) {
            pace.work(drawn.len())?;
            drawn.iter_mut().zip(own).for_each(|(drawn, own)| *drawn *= own);
        }
    }
    Ok(())
}

/// The middle 95 % of what resamples tell: percentiles, between order statistics by straight lines. `None` where fewer than
/// half of them tell anything.
pub(super) fn interval(told: impl ExactSizeIterator<Item = Option<f64>>) -> Option<[f64; 2]> {
    let all = told.len();
    let mut values: Vec<f64> = told.flatten().filter(|value| value.is_finite()).collect();
    if values.is_empty() || 2 * values.len() < all {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    Some([TAIL, 1.0 - TAIL].map(|share| quantile(&values, share)))
}

/// Quantile of rising values, at least one.
pub(super) fn quantile(rising: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (rising.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    rising[low] + (place - low as f64) * (rising[high] - rising[low])
}
