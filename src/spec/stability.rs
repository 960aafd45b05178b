//! Stability selection: which features are chosen again and again from halves of the rows.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems};
use super::{SpecLimits, folds};

/// Halves of the rows, unless told.
const RESAMPLES: u64 = 100;
/// Share of the halves that must choose a feature, unless told.
const THRESHOLD: f64 = 0.6;
/// Features that may be chosen though they do not matter, unless told.
const EXPECTED_FALSE: f64 = 1.0;

/// Meinshausen & Bühlmann, "Stability selection", JRSS-B 2010, on complementary pairs of halves: Shah & Samworth, "Variable selection
/// with error control: another look at stability selection", JRSS-B 2013.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Stability {
    /// Halves of the rows, two for each pair.
    pub resamples: u64,
    pub seed: u64,
    /// Keep class shares equal.
    pub stratify: bool,
    /// Least share of the halves that must choose a feature, at one λ at least.
    pub threshold: f64,
    /// The path is looked at as far as the bound on the expected number of false choices is no larger.
    pub expected_false: f64,
}

/// As asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AskedStability {
    pub(super) resamples: u64,
    pub(super) seed: u64,
    pub(super) stratify: Option<bool>,
    pub(super) threshold: f64,
    pub(super) expected_false: f64,
}

/// The keys that are its own.
pub(super) struct Keys {
    resamples: Option<u64>,
    threshold: Option<f64>,
    expected_false: Option<f64>,
}

/// Reads them, whatever the method.
pub(super) fn parse_keys(selection: &mut Fields<'_>, value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Keys {
    let resamples = selection.whole("resamples", 2, limits.folds, problems);
    if resamples.is_some_and(|resamples| !resamples.is_multiple_of(2)) {
        let given = value.get("resamples").map_or_else(String::new, Value::to_string);
        problems.add(&selection.at("resamples"), "out_of_range", format!("must be even, as halves come in pairs, got {given}"));
    }
    let threshold =
        selection.number("threshold", "greater than 0.5 and at most 1", |threshold| threshold > 0.5 && threshold <= 1.0, problems);
    let expected_false = selection.number("expected_false", "greater than 0", |expected| expected > 0.0, problems);
    Keys { resamples, threshold, expected_false }
}

impl Keys {
    pub(super) fn asked(self, seed: u64, stratify: Option<bool>, limits: &SpecLimits) -> AskedStability {
        AskedStability {
            // even, as all that is asked for
            resamples: self.resamples.unwrap_or(RESAMPLES.min(limits.folds & !1)),
            seed,
            stratify,
            threshold: self.threshold.unwrap_or(THRESHOLD),
            expected_false: self.expected_false.unwrap_or(EXPECTED_FALSE),
        }
    }
}

impl Stability {
    /// 0 or 1 for the rows of each half of a pair, −1 for the row that is left over where their number is odd: a pure function
    /// of its arguments, the same on every machine and version. `strata` = class of each row.
    /// Rows that were made of others are in the half of their origin, whose number `origins` tells as that of a [`super::Splits`] does.
    pub fn halves(&self, origins: Option<&[u32]>, n_rows: usize, strata: Option<&[f64]>, pair: u64) -> Vec<i32> {
        let seed = folds::seed_of_repeat(self.seed, pair);
        folds::together(origins, n_rows, strata.filter(|_| self.stratify), |n, strata| folds::halves(n, strata, seed))
    }

    /// How many features halves may choose on the average, of so many, that the bound holds.
    pub fn most_selected(&self, n_features: usize) -> f64 {
        (self.expected_false * (2.0 * self.threshold - 1.0) * n_features as f64).sqrt()
    }

    /// The bound on the expected number of false choices, where halves choose so many features on the average.
    pub fn bound(&self, selected: f64, n_features: usize) -> f64 {
        selected * selected / ((2.0 * self.threshold - 1.0) * n_features.max(1) as f64)
    }
}
