//! The coefficients as a client reads them: sparse, strongest first.

use serde::Serialize;

use super::LinearModel;
use crate::dataset::Names;

/// Which coefficients to show, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CoefficientView {
    /// By rising feature index instead of falling |value|.
    pub by_index: bool,
    /// Only those with |value| at or above this.
    pub min_abs: f64,
    /// How many to pass over.
    pub offset: usize,
    /// At most this many; `None` = all.
    pub top: Option<usize>,
}

/// Non-zero coefficients on the original scale; the arrays go together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Coefficients {
    /// Features.
    pub indices: Vec<u32>,
    /// Their coefficients.
    pub values: Vec<f64>,
    /// Their names; `None` where features have none.
    pub names: Option<Vec<String>>,
    /// Intercept.
    pub intercept: f64,
    /// How many pass `min_abs`, shown or not.
    #[serde(skip)]
    pub matching: usize,
}

impl LinearModel {
    /// The coefficients of a view. Equal |values| are in order of their features.
    pub fn coefficients(&self, names: Option<&Names>, view: &CoefficientView) -> Coefficients {
        let size = |position: usize| self.values[position].abs();
        let mut positions: Vec<usize> = (0..self.values.len()).filter(|position| size(*position) >= view.min_abs).collect();
        if !view.by_index {
            positions.sort_by(|a, b| size(*b).total_cmp(&size(*a)));
        }
        let matching = positions.len();
        let shown = || positions.iter().copied().skip(view.offset).take(view.top.unwrap_or(usize::MAX));
        let indices: Vec<u32> = shown().map(|position| self.indices[position]).collect();
        Coefficients {
            values: shown().map(|position| self.values[position]).collect(),
            names: names.map(|names| indices.iter().map(|index| display_name(Some(names), *index)).collect()),
            indices,
            intercept: self.card.intercept,
            matching,
        }
    }
}

/// Display name of a feature: its name, else its 0-based decimal index.
pub fn display_name(names: Option<&Names>, index: u32) -> String {
    names.and_then(|names| names.get(index)).map_or_else(|| index.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::sample::model;
    use super::*;

    #[test]
    fn coefficients_are_sorted_by_size_or_by_feature_and_cut_as_asked() {
        let model = model(&[1, 4, 6, 9], &[0.5, -2.0, 0.5, 1.0]);
        let indices = |view: CoefficientView| model.coefficients(None, &view).indices;
        assert_eq!(indices(CoefficientView::default()), [4, 9, 1, 6]);
        assert_eq!(indices(CoefficientView { by_index: true, ..Default::default() }), [1, 4, 6, 9]);
        assert_eq!(indices(CoefficientView { min_abs: 1.0, ..Default::default() }), [4, 9]);
        assert_eq!(indices(CoefficientView { offset: 1, top: Some(2), ..Default::default() }), [9, 1]);
        let all = model.coefficients(None, &CoefficientView { min_abs: 0.6, top: Some(1), ..Default::default() });
        assert_eq!((all.values, all.matching, all.names, all.intercept), (vec![-2.0], 2, None, 0.25));
    }
}
