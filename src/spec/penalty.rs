//! The penalty of a fit: its parts, its factors, and where the factors come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The penalty of a fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    /// `l1`, `l2` or `elastic_net`, as asked for.
    #[serde(rename = "type")]
    pub kind: String,
    /// 1 for `l1`, 0 for `l2`.
    pub l1_ratio: L1Ratio,
    /// Penalty factors by feature name or decimal index; absent = 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, f64>,
    /// Further factors from a fit before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
}

/// One ratio, or several of which the selection chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum L1Ratio {
    /// One.
    One(f64),
    /// At least two different ones, rising.
    Several(Vec<f64>),
}

impl L1Ratio {
    /// All there are.
    pub fn all(&self) -> &[f64] {
        match self {
            Self::One(ratio) => std::slice::from_ref(ratio),
            Self::Several(ratios) => ratios,
        }
    }

    /// Whether something is to be chosen.
    pub fn is_several(&self) -> bool {
        matches!(self, Self::Several(_))
    }
}

/// Factors 1/|w_j|^γ from the coefficients of a pilot fit: Zou, "The adaptive lasso and its oracle properties", JASA 2006.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adaptive {
    /// γ.
    pub gamma: f64,
    /// The fit before.
    pub pilot: Pilot,
}

/// The penalty of a pilot fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Pilot {
    Ridge,
    L1,
}
