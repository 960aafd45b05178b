//! Models side by side: what a comparison leaves behind. The keys are those of the public `comparison` object.

use serde::{Deserialize, Serialize};

use crate::dataset::Class;
use crate::job::DatasetRef;

/// What was measured of several models on the rows of one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Comparison {
    pub dataset: DatasetRef,
    pub rows: u64,
    /// `r2`, `deviance_ratio`, `auc` or `accuracy`.
    pub score_name: String,
    /// What was measured.
    pub measure: Vec<String>,
    /// Resamples behind every interval.
    pub bootstrap: u64,
    pub seed: u64,
    /// One row a model, in the order they were named, each with its twin behind it.
    pub data: Vec<ComparedModel>,
    /// Of the rows `i` and `j`: features that both use as a share of those that either uses. Absent unless `support` is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub support_jaccard: Option<Vec<Vec<f64>>>,
    /// Features that both use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<Vec<Vec<u64>>>,
    /// Absent unless `disagreement` is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disagreements: Option<Vec<Disagreement>>,
    /// `None` where quality is not measured, or no model has a score.
    pub recommendation: Option<Recommendation>,
}

/// One model of a comparison. What is not measured or not defined is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ComparedModel {
    /// `name:n`; of a twin, the model it is the twin of.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Whether it is the dense twin of the model, which no name leads to.
    pub twin: bool,
    /// `linear`, `tree`, …
    pub kind: String,
    /// The loss, or the criterion of a tree.
    pub loss: String,
    pub lambda: Option<f64>,
    pub l1_ratio: Option<f64>,
    pub ccp_alpha: Option<f64>,
    /// Whether it was fitted on the rows it is measured on.
    pub on_training_rows: bool,
    pub score: Option<f64>,
    pub score_low: Option<f64>,
    pub score_high: Option<f64>,
    /// Score less that of the first row, on the same resamples.
    pub difference: Option<f64>,
    pub difference_low: Option<f64>,
    pub difference_high: Option<f64>,
    /// Of linear models.
    pub nonzeros: Option<u64>,
    /// Non-zeros, or leaves.
    pub size: Option<u64>,
    /// The file.
    pub bytes_stored: Option<u64>,
    /// What the server holds of it while it predicts; names are not counted but those of features it uses.
    pub bytes_memory: Option<u64>,
    /// The numbers that a prediction reads.
    pub bytes_parameters: Option<u64>,
    /// How long its job ran, with path and selection; `None` of a promoted one.
    pub fit_ms: Option<u64>,
    pub latency_us_p50: Option<f64>,
    pub latency_us_p99: Option<f64>,
    pub features_used: Option<u64>,
    /// Of linear models, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stability: Option<SupportStability>,
}

/// How far the features agree that halves of the rows choose at one λ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SupportStability {
    pub halves: u64,
    /// Mean over the pairs of halves; `None` with a reason where nothing was fitted.
    pub jaccard: Option<f64>,
    /// Mean number of features.
    pub features: Option<f64>,
    pub reason: Option<String>,
}

/// The rows on which two models differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Disagreement {
    /// Positions in `data`.
    pub pair: [u64; 2],
    /// Weighted mean of the differences; `None` where the two do not speak of the same thing.
    pub mean_difference: Option<f64>,
    /// Weighted share of the rows with different labels; `None` of numbers.
    pub labels_differ: Option<f64>,
    /// The largest differences first.
    pub rows: Vec<DisagreedRow>,
}

/// One row on which two models differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DisagreedRow {
    pub row: u64,
    pub y: Class,
    pub predictions: [ComparedPrediction; 2],
    /// Of numbers and probabilities the distance, of distributions over classes the total variation distance.
    pub difference: f64,
}

/// What one model says of a row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ComparedPrediction {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<f64>,
    /// Of the positive class, or of the label where there are more than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// `None` beside a probability = the rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Class>,
    /// Where there are no probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linear_predictor: Option<f64>,
}

/// Which model to take, from facts alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Recommendation {
    /// Position in `data` of the one with the fewest bytes of parameters among those that are not shown to be worse than the best.
    pub index: u64,
    #[serde(rename = "ref")]
    pub reference: String,
    pub twin: bool,
    /// Position in `data` of the best score.
    pub best: u64,
    /// Score less that of the best, and its interval.
    pub difference: f64,
    pub difference_low: Option<f64>,
    pub difference_high: Option<f64>,
    /// The same in one sentence.
    pub sentence: String,
}

impl ComparedModel {
    /// How it is called in a sentence.
    pub fn title(&self) -> String {
        if self.twin { format!("the dense twin of {}", self.reference) } else { self.reference.clone() }
    }
}
