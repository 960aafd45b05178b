//! How λ (and what else was asked for) is chosen, and which rows are held out for it.

use serde::{Deserialize, Serialize};

use super::{Stability, folds};

/// How λ is chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Selection {
    /// The last λ of the path.
    None,
    /// K-fold cross-validation.
    Cv(CrossValidation),
    /// One part of the rows is held out once.
    Holdout(Holdout),
    /// The features that halves of the rows choose again and again.
    Stability(Stability),
    /// Akaike's information criterion.
    Aic,
    /// Schwarz's information criterion.
    Bic,
    /// Schwarz's, extended for many features: Chen & Chen, "Extended Bayesian information criteria for model selection
    /// with large model spaces", Biometrika 2008.
    Ebic {
        /// γ of the extension; 0 = [`Selection::Bic`].
        ebic_gamma: f64,
    },
}

/// K-fold cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct CrossValidation {
    pub folds: u64,
    /// Keep class shares equal over folds.
    pub stratify: bool,
    /// Seed of the fold assignment.
    pub seed: u64,
    /// `deviance`.
    pub metric: String,
    pub rule: Rule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_pct: Option<f64>,
    /// Fold assignments, each of all rows.
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub repeats: u64,
    /// Group of each row, numbered as they first occur; rows of one group are held out together. Empty = none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
    /// Fold of each row, −1 = never held out. Empty = dealt out by seed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fold_of_row: Vec<i32>,
}

/// One part of the rows is held out once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Holdout {
    /// Share of the rows.
    pub fraction: f64,
    /// Hold out the same share of either class.
    pub stratify: bool,
    pub seed: u64,
    /// `deviance`.
    pub metric: String,
    pub rule: Rule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_pct: Option<f64>,
    /// As in [`CrossValidation::groups`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u32>,
}

/// Which of the models that were measured on rows held out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// Least mean deviance.
    #[serde(rename = "min")]
    Min,
    /// Largest λ within one standard error of the least mean.
    #[serde(rename = "1se")]
    OneSe,
    /// Fewest non-zeros whose mean is at most so many per cent above the least.
    #[serde(rename = "sparsest_within_pct")]
    SparsestWithinPct,
}

fn once() -> u64 {
    1
}

fn is_once(repeats: &u64) -> bool {
    *repeats == 1
}

/// Which rows are held out, and how often: what cross-validation and hold-out have in common.
#[derive(Clone, Copy, Debug)]
pub struct Splits<'s> {
    /// Fold assignments.
    pub repeats: u64,
    /// Folds of each.
    pub folds: u64,
    /// Keep class shares equal.
    pub stratify: bool,
    /// What the assignments are drawn by.
    pub seed: u64,
    /// Share of the rows that the only fold holds out; `None` = every row is held out once.
    pub fraction: Option<f64>,
    groups: &'s [u32],
    fold_of_row: &'s [i32],
}

impl Selection {
    /// The rows held out; `None` where none are.
    pub fn splits(&self) -> Option<Splits<'_>> {
        match self {
            Self::Cv(cv) => Some(Splits {
                repeats: cv.repeats,
                folds: cv.folds,
                stratify: cv.stratify,
                seed: cv.seed,
                fraction: None,
                groups: &cv.groups,
                fold_of_row: &cv.fold_of_row,
            }),
            Self::Holdout(holdout) => Some(Splits {
                repeats: 1,
                folds: 1,
                stratify: holdout.stratify,
                seed: holdout.seed,
                fraction: Some(holdout.fraction),
                groups: &holdout.groups,
                fold_of_row: &[],
            }),
            Self::None | Self::Stability(_) | Self::Aic | Self::Bic | Self::Ebic { .. } => None,
        }
    }

    /// The halves of the rows that choose; `None` where none do.
    pub fn stability(&self) -> Option<&Stability> {
        if let Self::Stability(stability) = self { Some(stability) } else { None }
    }

    /// How it is called in JSON.
    pub fn method(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cv(_) => "cv",
            Self::Holdout(_) => "holdout",
            Self::Stability(_) => "stability",
            Self::Aic => "aic",
            Self::Bic => "bic",
            Self::Ebic { .. } => "ebic",
        }
    }

    /// Which of those measured: the least, unless a rule says otherwise; and the per cent of such a rule.
    pub fn rule(&self) -> (Rule, Option<f64>) {
        match self {
            Self::Cv(cv) => (cv.rule, cv.within_pct),
            Self::Holdout(holdout) => (holdout.rule, holdout.within_pct),
            _ => (Rule::Min, None),
        }
    }

    /// Whether λ is chosen by deviance and degrees of freedom alone.
    pub fn is_criterion(&self) -> bool {
        matches!(self, Self::Aic | Self::Bic | Self::Ebic { .. })
    }
}

impl Splits<'static> {
    /// Plain cross-validation.
    pub fn plain(folds: u64, stratify: bool, seed: u64) -> Self {
        Self { repeats: 1, folds, stratify, seed, fraction: None, groups: &[], fold_of_row: &[] }
    }

    /// The same, so many times; or one part of the rows held out.
    pub fn again(self, repeats: u64, fraction: Option<f64>) -> Self {
        Self { repeats, fraction, ..self }
    }
}

impl Splits<'_> {
    /// Whether the client said which rows belong together, or to which fold: that is in the specification alone.
    pub fn is_assigned(&self) -> bool {
        !self.groups.is_empty() || !self.fold_of_row.is_empty()
    }

    /// Folds of all repeats.
    pub fn all_folds(&self) -> u64 {
        self.repeats.saturating_mul(self.folds)
    }

    /// Fold of each row in one repeat, −1 = never held out: a pure function of its arguments, the same on every machine
    /// and version. `strata` = class of each row.
    pub fn fold_of_row(&self, n_rows: usize, strata: Option<&[f64]>, repeat: u64) -> Vec<i32> {
        self.fold_of_row_together(None, n_rows, strata, repeat)
    }

    /// The same of rows that were made of others: those of one origin, of which `origins` numbers the first rows in order, are held out
    /// together, and as often as their origins would be by themselves.
    pub fn fold_of_row_together(&self, origins: Option<&[u32]>, n_rows: usize, strata: Option<&[f64]>, repeat: u64) -> Vec<i32> {
        folds::together(origins, n_rows, strata, |n, strata| self.dealt(n, strata, repeat))
    }

    fn dealt(&self, n_rows: usize, strata: Option<&[f64]>, repeat: u64) -> Vec<i32> {
        if !self.fold_of_row.is_empty() {
            return self.fold_of_row.to_vec();
        }
        let seed = folds::seed_of_repeat(self.seed, repeat);
        let strata = strata.filter(|_| self.stratify);
        match (self.fraction, self.groups.is_empty()) {
            (None, true) => folds::folds(n_rows, strata, self.folds, seed),
            (None, false) => folds::folds_of_groups(self.groups, self.folds, seed),
            (Some(fraction), true) => folds::holdout(n_rows, strata, fraction, seed),
            (Some(fraction), false) => folds::holdout_of_groups(self.groups, fraction, seed),
        }
    }
}
