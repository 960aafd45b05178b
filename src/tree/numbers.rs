//! Trees for numbers: targets as whole multiples of a small unit, chosen for each part of the matrix anew.
//!
//! Sums of whole numbers are exact: they do not depend on an order, and what was added can be taken off again. The unit is
//! a power of two at which the sums of a part stay below 2^60: about 2^-44 of the largest distance among a hundred
//! thousand targets. A part whose targets lie much closer together than those it was made for is made again.

use std::ops::{AddAssign, Range, SubAssign};

use super::Unfit;
use super::clock::Clock;
use super::grow::{Described, Kind};
use super::impurity::{Measure, Squared};
use super::part::{Cell, Part, Summed};
use super::search::{Best, Pair, best_by_pairs};
use super::weights::{Weights, exponent, power};

/// Sums stay below 2 to this.
const BITS: i32 = 60;
/// The largest distance has no more digits than these, a few more than `f64` tells apart.
const DIGITS: i32 = 52;
/// A part is made again when its targets spread over less than this of what it was made for.
const OUTGROWN: f64 = 1.0 / 1024.0;

/// Whole weight and whole sum of targets.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) weight: i64,
    pub(crate) sum: i64,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.weight += other.weight;
        self.sum += other.sum;
    }
}

impl SubAssign for Sums {
    fn sub_assign(&mut self, other: Self) {
        self.weight -= other.weight;
        self.sum -= other.sum;
    }
}

impl Cell for Sums {
    fn weight(&self) -> i64 {
        self.weight
    }
}

impl Pair for Sums {
    #[inline(always)]
    fn weight_and_sum(self) -> (i64, i64) {
        (self.weight, self.sum)
    }
}

pub(crate) struct Numbers<'a> {
    pub(crate) y: &'a [f64],
    pub(crate) weights: &'a Weights<'a>,
}

/// Targets as whole numbers.
pub(crate) struct WholeNumbers<'a> {
    y: &'a [f64],
    weights: &'a Weights<'a>,
    /// A target of the part near their mean.
    center: f64,
    /// Whole target = (target − center)·scale, rounded; the scale as two powers of two.
    scale: (f64, f64),
    /// Largest less smallest target of the part.
    spread: f64,
}

impl Summed for WholeNumbers<'_> {
    type Cell = Sums;

    fn of(&self, row: u32) -> Sums {
        let weight = self.weights.whole(row);
        let distance = (self.y[row as usize] - self.center) * self.scale.0 * self.scale.1;
        // a weight that counts rows counts their targets, rounded once
        let sum = if self.weights.whole { weight * distance.round() as i64 } else { (weight as f64 * distance).round() as i64 };
        Sums { weight, sum }
    }
}

impl<'a> Numbers<'a> {
    /// Smallest and largest target.
    fn ends(&self, rows: &[u32], clock: &mut Clock) -> Result<(f64, f64), Unfit> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        clock.each(rows, |row| {
            let y = self.y[row as usize];
            (low, high) = (low.min(y), high.max(y));
        })?;
        Ok((low, high))
    }

    /// Weight, and weighted mean of the targets.
    fn mean(&self, rows: &[u32], clock: &mut Clock) -> Result<(f64, f64), Unfit> {
        let first = rows.first().map_or(0.0, |&row| self.y[row as usize]);
        let (mut weight, mut sum) = (0.0, 0.0);
        clock.each(rows, |row| {
            let w = self.weights.given(row);
            weight += w;
            sum += w * (self.y[row as usize] - first);
        })?;
        Ok((weight, first + sum / weight))
    }
}

impl<'a> Kind for Numbers<'a> {
    type Cell = Sums;
    type Summed = WholeNumbers<'a>;

    fn summed(&self, rows: &[u32], clock: &mut Clock) -> Result<WholeNumbers<'a>, Unfit> {
        let (_, mean) = self.mean(rows, clock)?;
        let (mut center, mut low, mut high) = (f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY);
        clock.each(rows, |row| {
            let y = self.y[row as usize];
            (low, high) = (low.min(y), high.max(y));
            if (y - mean).abs() < (center - mean).abs() {
                center = y;
            }
        })?;
        let largest = (high - center).max(center - low);
        let mut size = 0.0;
        clock.each(rows, |row| size += self.weights.whole(row) as f64 * (self.y[row as usize] - center).abs())?;
        // rounding adds half a unit for each whole weight, and there are fewer than 2^53 of those
        let by_size = BITS - 1 - exponent(size.max(f64::MIN_POSITIVE));
        let by_digits = DIGITS - exponent(largest.max(f64::MIN_POSITIVE));
        let shift = by_size.min(by_digits).clamp(-2000, 2000);
        let half = shift / 2;
        Ok(WholeNumbers { y: self.y, weights: self.weights, center, scale: (power(half), power(shift - half)), spread: high - low })
    }

    fn outgrown(&self, summed: &WholeNumbers<'a>, rows: &[u32], clock: &mut Clock) -> Result<bool, Unfit> {
        let (low, high) = self.ends(rows, clock)?;
        Ok(high - low < OUTGROWN * summed.spread)
    }

    fn describe(&self, rows: &[u32], values: &mut Vec<f64>, clock: &mut Clock) -> Result<Described, Unfit> {
        let (weight, mean) = self.mean(rows, clock)?;
        let (low, high) = self.ends(rows, clock)?;
        // a mean lies among its numbers, whatever rounding says
        let mean = mean.clamp(low, high);
        let mut square = 0.0;
        clock.each(rows, |row| square += self.weights.given(row) * (self.y[row as usize] - mean).powi(2))?;
        values.push(mean);
        let pure = low == high;
        Ok(Described { weight, impurity: if pure { 0.0 } else { square / weight }, pure })
    }

    type Measured = (Squared, (f64, f64));

    fn measured(&self, summed: &WholeNumbers<'a>, rows: &[u32], clock: &mut Clock) -> Result<Self::Measured, Unfit> {
        let mut total = Sums::default();
        clock.each(rows, |row| total += summed.of(row))?;
        Ok((Squared::new(total.weight, total.sum, 1.0), summed.scale))
    }

    fn best(
        &self,
        part: &Part<Sums>,
        features: Range<usize>,
        (measure, _): &Self::Measured,
        limits: (i64, i64),
        clock: &mut Clock,
    ) -> Result<Option<Best>, Unfit> {
        best_by_pairs(part, features, measure, limits, clock)
    }

    fn decrease(&self, (measure, scale): &Self::Measured, best: &Best) -> f64 {
        measure.decrease(best.value) / scale.0 / scale.0 / scale.1 / scale.1
    }
}
