//! The penalty of a fit: its parts, its factors, and where the factors come from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The penalty of a fit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    /// `l1`, `l2`, `elastic_net`, `group`, `sparse_group`, `mcp`, `scad` or `l0`, as asked for.
    #[serde(rename = "type")]
    pub kind: String,
    /// 1 for `l1`, `mcp`, `scad` and `l0`, 0 for `l2` and `group`.
    pub l1_ratio: L1Ratio,
    /// γ of `mcp` and `scad`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Features that are penalised together, by group: names or decimal indices.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Vec<String>>,
    /// Penalty factors by feature name or decimal index; absent = 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, f64>,
    /// Further factors from a fit before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
}

impl Penalty {
    /// The lasso.
    pub(super) fn lasso() -> Self {
        let (factors, groups) = (BTreeMap::new(), BTreeMap::new());
        Self { kind: "l1".into(), l1_ratio: L1Ratio::One(1.0), gamma: None, groups, factors, adaptive: None }
    }

    /// Whether features are penalised by groups.
    pub fn is_grouped(&self) -> bool {
        matches!(self.kind.as_str(), "group" | "sparse_group")
    }

    /// Whether it is folded concave, as is the limit of such, L0: there is no duality gap then, but stationarity.
    pub fn is_folded(&self) -> bool {
        matches!(self.kind.as_str(), "mcp" | "scad" | "l0")
    }

    /// Whether coefficients cost the same whatever their size, so that those that are left in are fitted without a penalty.
    pub fn counts_alone(&self) -> bool {
        self.kind == "l0"
    }

    /// Whether one of its ratios makes it a ridge, which keeps every coefficient.
    pub fn may_be_ridge(&self) -> bool {
        !self.is_grouped() && self.l1_ratio.all().contains(&0.0)
    }

    /// What the tolerance is of.
    pub(super) fn tol_kind(&self) -> &'static str {
        if self.is_folded() { "stationarity" } else { "relative_gap" }
    }
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
