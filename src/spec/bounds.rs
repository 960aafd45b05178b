//! Bounds on the coefficients of a fit: read, and compared with the features of the data set.
//!
//! 0 must lie between the ends of each: a coefficient of 0 is what the penalty pulls to, what a feature without a column has
//! and what λ_max and the gap are measured from. An interval without it would be a model that cannot be sparse there.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::fields::{Fields, Problems, show};
use super::resolve::feature_index;
use super::{FitSpec, Loss, ResolvedFit};
use crate::dataset::{Meta, Names};
use crate::json::{clip, segment};

const POINTER: &str = "#/spec/bounds";

/// Lower and upper end by feature name or decimal index; `None` = no end.
pub type Bounds = BTreeMap<String, [Option<f64>; 2]>;

/// What both forms of a specification say of coefficients.
fn is_bounded(bounds: &Bounds, non_negative: bool) -> bool {
    non_negative || bounds.values().flatten().any(Option::is_some)
}

impl ResolvedFit {
    /// Whether any coefficient must stay anywhere.
    pub fn is_bounded(&self) -> bool {
        is_bounded(&self.bounds, self.non_negative)
    }

    /// Where the coefficient of a feature must stay that `bounds` holds, or of any other: −∞ and ∞ where there is no end.
    pub fn interval(&self, bounds: Option<&[Option<f64>; 2]>) -> [f64; 2] {
        interval(bounds, self.non_negative)
    }
}

fn interval(bounds: Option<&[Option<f64>; 2]>, non_negative: bool) -> [f64; 2] {
    let [low, high] = bounds.copied().unwrap_or_default();
    let low = if non_negative { 0.0 } else { low.unwrap_or(f64::NEG_INFINITY) };
    [low, high.unwrap_or(f64::INFINITY)]
}

impl FitSpec {
    pub(super) fn is_bounded(&self) -> bool {
        is_bounded(&self.bounds, self.non_negative)
    }

    /// Whether a coefficient may stand at an end that is not 0, where it is no degree of freedom.
    pub(super) fn may_end_off_zero(&self) -> bool {
        self.bounds.values().flatten().flatten().any(|end| *end != 0.0)
    }

    /// Where the client asked for them.
    fn pointer(&self) -> &'static str {
        if self.bounds.is_empty() { "#/spec/non_negative" } else { POINTER }
    }

    /// What contradicts itself in combination with the loss, the penalty and the features.
    pub(super) fn check_bounds(&self, loss: &Loss, meta: &Meta, names: Option<&Names>, problems: &mut Problems) {
        let mut seen: HashMap<u32, &str> = HashMap::with_capacity(self.bounds.len());
        for key in self.bounds.keys() {
            let pointer = || format!("{POINTER}{}", segment(key));
            match feature_index(key, meta.shape[1], names) {
                None => problems.add(&pointer(), "unknown_value", "the data set has no such feature"),
                Some(index) => {
                    if let Some(other) = seen.insert(index, key) {
                        problems.add(&pointer(), "conflict", format!("is the same feature as \"{}\"", clip(other, 60)));
                    }
                }
            }
        }
        if !self.is_bounded() {
            return;
        }
        if *loss == Loss::Multinomial {
            problems.add(
                self.pointer(),
                "conflict",
                "the coefficients of a multinomial fit have no bounds: it has one of each feature for each class",
            );
        }
        if self.penalty.is_grouped() || self.penalty.is_folded() {
            problems.add(self.pointer(), "conflict", format!("{} has no bounds; l1, l2 and elastic_net have", self.penalty.kind));
        }
        let unpenalised = self.penalty.factors.iter().filter(|(_, factor)| **factor == 0.0);
        for index in unpenalised.filter_map(|(key, _)| feature_index(key, meta.shape[1], names)) {
            let key = seen.get(&index);
            let [low, high] = interval(key.and_then(|key| self.bounds.get(*key)), self.non_negative);
            let (open, closed) = (low == f64::NEG_INFINITY && high == f64::INFINITY, low == 0.0 && high == 0.0);
            if !open && !closed {
                let pointer = key.map_or_else(|| "#/spec/non_negative".to_owned(), |key| format!("{POINTER}{}", segment(key)));
                let detail =
                    format!("feature {index} has the penalty factor 0, and an unpenalised feature has no bounds; a small factor will do");
                problems.add(&pointer, "conflict", detail);
            }
        }
    }
}

pub(super) fn parse_bounds(value: &Value, problems: &mut Problems) -> Bounds {
    let Some(fields) = Fields::open(value, POINTER, problems) else { return Bounds::new() };
    let mut bounds = Bounds::new();
    for (feature, value) in value.as_object().into_iter().flatten() {
        let end = |value: &Value| if value.is_null() { Some(None) } else { value.as_f64().map(Some) };
        let ends = match value.as_array().map(Vec::as_slice) {
            Some([low, high]) => end(low).zip(end(high)),
            _ => None,
        };
        match ends {
            None => {
                let detail = format!("must be [low, high], each a number or null, got {}", show(value));
                problems.add(&fields.at(feature), "invalid_field", detail);
            }
            Some((low, high)) if low.is_some_and(|low| low > 0.0) || high.is_some_and(|high| high < 0.0) => {
                let detail = "must have 0 between its ends: a coefficient of 0 is what the penalty pulls to";
                problems.add(&fields.at(feature), "out_of_range", detail);
            }
            Some((low, high)) => {
                // no sign of a zero
                bounds.insert(feature.clone(), [low.map(|low| low + 0.0), high.map(|high| high + 0.0)]);
            }
        }
    }
    bounds
}
