//! What a distillation leaves behind: what a card says of it, and how teacher, student and control did on rows kept apart.

use serde::{Deserialize, Serialize};

use crate::spec::Teacher;

/// Where a model was taught.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Distilled {
    /// `name:n`, or the column that held what it said.
    pub teacher: Teacher,
    pub temperature: f64,
    /// Share of the true labels in what was learnt.
    pub mix: f64,
    /// Rows made of every row.
    pub augment: u64,
    /// Rows of the data set that were learnt from.
    pub rows_learnt: u64,
    /// Those kept apart, on which `metrics.holdout` was measured.
    pub rows_held_out: u64,
    /// Rows of the problem that was solved: those made are counted, and of classes each row once for every class it counts as.
    pub rows_taught: u64,
    pub seed: u64,
}

/// How well a student does what its teacher does, on rows that neither it nor its control learnt from. What is not defined is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Fidelity {
    /// `r2`, `deviance_ratio`, `auc` or `accuracy`.
    pub score_name: String,
    /// Rows kept apart.
    pub rows: u64,
    /// Resamples of them behind every interval, the same for all.
    pub bootstrap: u64,
    pub seed: u64,
    /// Of the student with its teacher.
    pub agreement: Agreement,
    /// Of the control with that teacher.
    pub control_agreement: Agreement,
    pub teacher: FidelityOf,
    pub student: FidelityOf,
    /// The same fit on the same rows with their true labels alone.
    pub control: FidelityOf,
    /// Score of the student less that of the control: what the teacher was good for.
    pub gain: Difference,
    /// Score of the student less that of the teacher: what smallness costs.
    pub to_teacher: Difference,
}

/// How far two models say the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Agreement {
    /// Weighted share of the rows with the same label; `None` of numbers.
    pub labels: Option<f64>,
    /// Of numbers and probabilities their mean distance, of distributions over classes the mean total variation distance.
    pub mean_difference: Option<f64>,
    /// Mean Kullback-Leibler divergence of the teacher's probabilities from the model's, in nats; `None` where one has none.
    pub kl_divergence: Option<f64>,
    /// Of numbers: Pearson's.
    pub correlation: Option<f64>,
}

/// One of the three.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct FidelityOf {
    /// `name:n`, where it has a name.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// `linear`, `tree`, …, or `column`.
    pub kind: String,
    pub score: Option<f64>,
    pub score_low: Option<f64>,
    pub score_high: Option<f64>,
    /// The file; `None` of a column, as all that follows.
    pub bytes: Option<u64>,
    /// The numbers that a prediction reads.
    pub bytes_parameters: Option<u64>,
    /// Non-zeros, leaves, rules, or non-zero weights.
    pub size: Option<u64>,
    pub features_used: Option<u64>,
    /// Median of the time to answer one row.
    pub latency_us: Option<f64>,
    pub latency_us_p99: Option<f64>,
}

/// A difference of scores, and its interval over the resamples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Difference {
    pub difference: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
}
