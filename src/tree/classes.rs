//! Trees for classes. Two classes need one sum beside the weight, that of the second; more of them have cells of their own.

use std::ops::{AddAssign, Range, SubAssign};

use super::clock::Clock;
use super::grow::{Described, Kind};
use super::impurity::{BinaryEntropy, ClassMeasure, Gini, Measure, Squared, XLogX, ln};
use super::numbers::Sums;
use super::part::{Cell, Part, Summed};
use super::search::{Best, Pair, best_by_classes, best_by_pairs};
use super::weights::Weights;
use super::{Impurity, Unfit};

/// Rows counted, and those of the second class among them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    all: u32,
    ones: u32,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.ones += other.ones;
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        self.all -= other.all;
        self.ones -= other.ones;
    }
}

impl Cell for Counts {
    fn weight(&self) -> i64 {
        self.all.into()
    }
}

impl Pair for Counts {
    #[inline(always)]
    fn weight_and_sum(self) -> (i64, i64) {
        (self.all.into(), self.ones.into())
    }
}

/// What a row of two classes adds: weights that fit, or any.
pub(crate) trait Binary: Pair {
    fn new(weight: i64, ones: i64) -> Self;
}

impl Binary for Counts {
    fn new(weight: i64, ones: i64) -> Self {
        // only made where the total is below 2^32
        Self { all: weight as u32, ones: ones as u32 }
    }
}

impl Binary for Sums {
    fn new(weight: i64, ones: i64) -> Self {
        Self { weight, sum: ones }
    }
}

/// Whole weight of one class in one bin.
#[derive(Clone, Copy, Default)]
pub(crate) struct Mass(i64);

impl AddAssign for Mass {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl SubAssign for Mass {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Cell for Mass {
    fn weight(&self) -> i64 {
        self.0
    }
}

/// Classes of the rows, their weights, and how impure they are.
#[derive(Clone, Copy)]
pub(crate) struct Classes<'a> {
    pub(crate) of_row: &'a [u32],
    pub(crate) n: usize,
    pub(crate) impurity: Impurity,
    pub(crate) weights: &'a Weights<'a>,
    pub(crate) table: &'a XLogX,
}

impl Classes<'_> {
    fn describe(&self, rows: &[u32], values: &mut Vec<f64>, clock: &mut Clock) -> Result<Described, Unfit> {
        let start = values.len();
        values.resize(start + self.n, 0.0);
        let shares = &mut values[start..];
        clock.each(rows, |row| shares[self.of_row[row as usize] as usize] += self.weights.given(row))?;
        let weight: f64 = shares.iter().sum();
        shares.iter_mut().for_each(|share| *share /= weight);
        let pure = shares.iter().filter(|share| **share > 0.0).count() == 1;
        let impurity = match self.impurity {
            _ if pure => 0.0,
            Impurity::Gini => 1.0 - shares.iter().map(|p| p * p).sum::<f64>(),
            Impurity::Entropy => {
                shares.iter().filter(|p| **p > f64::MIN_POSITIVE).map(|&p| -p * ln(p)).sum::<f64>() / std::f64::consts::LN_2
            }
        };
        Ok(Described { weight, impurity, pure })
    }

    fn totals(&self, rows: &[u32], clock: &mut Clock) -> Result<Vec<i64>, Unfit> {
        let mut totals = vec![0; self.n];
        clock.each(rows, |row| totals[self.of_row[row as usize] as usize] += self.weights.whole(row))?;
        Ok(totals)
    }
}

/// Two classes.
pub(crate) struct TwoClasses<'a, C> {
    pub(crate) classes: Classes<'a>,
    pub(crate) cell: std::marker::PhantomData<fn() -> C>,
}

/// What a row adds.
pub(crate) struct OnesOf<'a, C>(Classes<'a>, std::marker::PhantomData<fn() -> C>);

impl<C: Binary> Summed for OnesOf<'_, C> {
    type Cell = C;

    fn of(&self, row: u32) -> C {
        let weight = self.0.weights.whole(row);
        C::new(weight, if self.0.of_row[row as usize] == 1 { weight } else { 0 })
    }
}

/// One of the measures of two classes.
pub(crate) enum MeasuredTwo<'a> {
    Gini(Squared),
    Entropy(BinaryEntropy<'a>),
}

impl<'a, C: Binary> Kind for TwoClasses<'a, C> {
    type Cell = C;
    type Summed = OnesOf<'a, C>;
    type Measured = MeasuredTwo<'a>;

    fn summed(&self, _: &[u32], _: &mut Clock) -> Result<OnesOf<'a, C>, Unfit> {
        Ok(OnesOf(self.classes, std::marker::PhantomData))
    }

    fn describe(&self, rows: &[u32], values: &mut Vec<f64>, clock: &mut Clock) -> Result<Described, Unfit> {
        self.classes.describe(rows, values, clock)
    }

    fn measured(&self, _: &OnesOf<'a, C>, rows: &[u32], clock: &mut Clock) -> Result<MeasuredTwo<'a>, Unfit> {
        let totals = self.classes.totals(rows, clock)?;
        let ones = totals.get(1).copied().unwrap_or(0);
        let weight = totals[0] + ones;
        Ok(match self.classes.impurity {
            Impurity::Gini => MeasuredTwo::Gini(Squared::new(weight, ones, 2.0)),
            Impurity::Entropy => MeasuredTwo::Entropy(BinaryEntropy { weight, ones, table: self.classes.table }),
        })
    }

    fn best(
        &self,
        part: &Part<C>,
        features: Range<usize>,
        measured: &MeasuredTwo<'a>,
        limits: (i64, i64),
        clock: &mut Clock,
    ) -> Result<Option<Best>, Unfit> {
        match measured {
            MeasuredTwo::Gini(measure) => best_by_pairs(part, features, measure, limits, clock),
            MeasuredTwo::Entropy(measure) => best_by_pairs(part, features, measure, limits, clock),
        }
    }

    fn decrease(&self, measured: &MeasuredTwo<'a>, best: &Best) -> f64 {
        match measured {
            MeasuredTwo::Gini(measure) => measure.decrease(best.value),
            MeasuredTwo::Entropy(measure) => measure.decrease(best.value),
        }
    }
}

/// Three classes or more.
pub(crate) struct ManyClasses<'a>(pub(crate) Classes<'a>);

/// What a row adds to the cells of its class.
pub(crate) struct MassOf<'a>(&'a Weights<'a>);

impl Summed for MassOf<'_> {
    type Cell = Mass;

    fn of(&self, row: u32) -> Mass {
        Mass(self.0.whole(row))
    }
}

impl<'a> Kind for ManyClasses<'a> {
    type Cell = Mass;
    type Summed = MassOf<'a>;
    type Measured = Vec<i64>;

    fn summed(&self, _: &[u32], _: &mut Clock) -> Result<MassOf<'a>, Unfit> {
        Ok(MassOf(self.0.weights))
    }

    fn describe(&self, rows: &[u32], values: &mut Vec<f64>, clock: &mut Clock) -> Result<Described, Unfit> {
        self.0.describe(rows, values, clock)
    }

    fn measured(&self, _: &MassOf<'a>, rows: &[u32], clock: &mut Clock) -> Result<Vec<i64>, Unfit> {
        self.0.totals(rows, clock)
    }

    fn best(
        &self,
        part: &Part<Mass>,
        features: Range<usize>,
        totals: &Vec<i64>,
        (_, floor): (i64, i64),
        clock: &mut Clock,
    ) -> Result<Option<Best>, Unfit> {
        match self.0.impurity {
            Impurity::Gini => best_by_classes(part, features, &Gini, (totals, floor), clock),
            Impurity::Entropy => best_by_classes(part, features, self.0.table, (totals, floor), clock),
        }
    }

    fn decrease(&self, totals: &Vec<i64>, best: &Best) -> f64 {
        fn rise(measure: &impl ClassMeasure, totals: &[i64], value: f64) -> f64 {
            let sum = totals.iter().map(|&n| measure.of(n)).sum();
            (value - measure.side(sum, totals.iter().sum())).max(0.0) * measure.unit()
        }
        match self.0.impurity {
            Impurity::Gini => rise(&Gini, totals, best.value),
            Impurity::Entropy => rise(self.0.table, totals, best.value),
        }
    }
}
