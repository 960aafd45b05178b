//! The job: its life, its progress, what it leaves behind.
//!
//! One transition table; the store repeats each arrow as `WHERE status = …`, and a test walks all pairs.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::id::Id;
use crate::traceparent::Traceparent;

/// What a job does: `type` in JSON, `kind` in the database. What each kind asks for is dispatched in one place,
/// `spec::Work`; who works it, in another, the worker's attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// A data set and a specification become a model.
    Fit,
    /// A model is measured on a data set.
    Evaluate,
    /// Several models are measured side by side on a data set.
    Compare,
    /// A model becomes a smaller one, judged on a data set.
    Prune,
    /// A model, or a column of a data set, teaches a smaller one.
    Distill,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [JobKind; 5] = [Self::Fit, Self::Evaluate, Self::Compare, Self::Prune, Self::Distill];

    /// The word in the database, in JSON and in filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fit => "fit",
            Self::Evaluate => "evaluate",
            Self::Compare => "compare",
            Self::Prune => "prune",
            Self::Distill => "distill",
        }
    }

    /// The kind of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether a job of this kind registers a model version when it succeeds.
    pub fn makes_model(self) -> bool {
        matches!(self, Self::Fit | Self::Prune | Self::Distill)
    }
}

/// Where a job is in its life. `cancelling` is not stored: it is `running` with cancel asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// In: submitted, or handed back by a stopping or dead worker, or after a fault that may pass. Out: claimed by a
    /// worker, cancelled at once, or failed because it was not started in time. A crash leaves it queued.
    Queued,
    /// In: claimed. Out: finished by the holder of the claim, or rescued to `queued` (or `failed`, once attempts are
    /// used up) when its lease ran out. A crash leaves it running until the rescue.
    Running,
    /// In: the claim's holder stored model and status in one transaction. Final.
    Succeeded,
    /// In: the fit could not be done, a limit was passed, or attempts are used up. Final.
    Failed,
    /// In: cancelled while queued, or by its worker after cancel was asked. Final.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Status; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// The word in the database, in JSON and in filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// The transition table.
    pub fn may_become(self, next: Status) -> bool {
        matches!(
            (self, next),
            (Self::Queued, Self::Running | Self::Failed | Self::Cancelled)
                | (Self::Running, Self::Queued | Self::Succeeded | Self::Failed | Self::Cancelled)
        )
    }
}

/// Why a job ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Reason {
    User,
    TimeLimit,
    MemoryLimit,
    StartDeadline,
    Shutdown,
    AttemptsExhausted,
}

/// One step of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `load`, `cv`, `path`, …
    pub name: String,
    /// Units done.
    pub done: u64,
    /// Units in all.
    pub total: u64,
}

/// Where the solver is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Current {
    pub lambda: Option<f64>,
    pub lambda_index: Option<u64>,
    pub fold: Option<u64>,
    pub nonzeros: Option<u64>,
    pub relative_gap: Option<f64>,
    pub epoch: Option<u64>,
}

/// How far a job is. `fraction` never falls and is 1 only when the job succeeded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 1.
    pub fraction: f64,
    /// Seconds left, as far as known.
    pub eta_s: Option<f64>,
    /// Steps, in order.
    pub steps: Vec<Step>,
    /// Where the solver is.
    pub current: Option<Current>,
}

impl Progress {
    /// Fills `eta_s` from the time since the fit began, once enough of it is done to tell.
    pub fn estimate_rest(&mut self, elapsed_s: f64) {
        const ENOUGH: f64 = 0.02;
        self.eta_s = (self.fraction >= ENOUGH && elapsed_s > 0.0).then(|| elapsed_s * (1.0 - self.fraction) / self.fraction);
    }

    /// What the progress of a succeeded job is, whatever the last heartbeat told.
    pub fn complete(&mut self) {
        self.fraction = 1.0;
        self.steps.iter_mut().for_each(|step| step.done = step.total);
        self.current = None;
    }
}

/// Something the client should know that is no error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// Machine word, as `support_not_unique`.
    pub code: String,
    /// For a person.
    pub detail: String,
    /// Features it is about, by display name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Machine word, as `numerical_error`.
    pub code: String,
    /// Short sentence.
    pub title: String,
    /// For a person.
    pub detail: String,
    /// Whether the same job may succeed when tried again.
    pub retryable: bool,
}

/// Which data set version a job reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DatasetRef {
    pub name: String,
    pub version: i64,
    pub sha256: String,
}

/// A job as it stands in the store.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Job {
    pub id: Id,
    pub project: String,
    pub kind: JobKind,
    pub status: Status,
    pub cancel_requested: bool,
    pub reason: Option<Reason>,
    /// Name the model is registered under; `None` for a job that makes none.
    pub model: Option<String>,
    pub dataset: DatasetRef,
    pub priority: Priority,
    pub created_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    /// Starts so far; grows only at claim.
    pub attempt: i64,
    pub max_attempts: i64,
    pub spec: Value,
    pub spec_resolved: Value,
    pub estimate: Value,
    pub metadata: Value,
    pub progress: Progress,
    pub warnings: Vec<Warning>,
    pub result: Option<Value>,
    pub error: Option<Failure>,
    pub request_id: String,
    /// The trace of that request, and the span in it below which the job is worked.
    pub traceparent: Option<Traceparent>,
    /// The job that this one tries again.
    pub retry_of: Option<Id>,
    /// What the fit may take at most; granted to it before it runs.
    pub memory_bytes: u64,
    /// Grows with every change of the row; the long poll and ETags live on it.
    pub revision: i64,
}

/// Order in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

impl Priority {
    /// The number in the database; larger is claimed first.
    pub fn rank(self) -> i64 {
        match self {
            Self::Low => 0,
            Self::Normal => 1,
            Self::High => 2,
        }
    }

    /// The priority of a number.
    pub fn from_rank(rank: i64) -> Option<Self> {
        [Self::Low, Self::Normal, Self::High].into_iter().find(|priority| priority.rank() == rank)
    }
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 6] =
        [Self::User, Self::TimeLimit, Self::MemoryLimit, Self::StartDeadline, Self::Shutdown, Self::AttemptsExhausted];

    /// The word in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::TimeLimit => "time_limit",
            Self::MemoryLimit => "memory_limit",
            Self::StartDeadline => "start_deadline",
            Self::Shutdown => "shutdown",
            Self::AttemptsExhausted => "attempts_exhausted",
        }
    }

    /// The reason of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl Failure {
    /// What a job says whose workers died as often as it may be started.
    pub fn attempts_exhausted() -> Self {
        Self {
            code: "attempts_exhausted".into(),
            title: "The job was started too often".into(),
            detail: "Every process that worked on this job ended before the job did.".into(),
            retryable: false,
        }
    }

    /// What a job says whose model was deleted before what was made of it could be stored.
    pub fn base_deleted(reference: &str) -> Self {
        Self {
            code: "not_found".into(),
            title: "The model cannot be pruned as asked".into(),
            detail: format!("The model version {reference} has been deleted."),
            retryable: false,
        }
    }

    /// What a job says that was not started by its `limits.start_deadline_s`.
    pub fn start_deadline() -> Self {
        Self {
            code: "start_deadline_exceeded".into(),
            title: "The job was not started in time".into(),
            detail: "No worker was free within limits.start_deadline_s.".into(),
            retryable: true,
        }
    }
}

/// `result` of a succeeded fit, as the client sees it. Numbers that are not finite become `null`.
pub fn fit_result(model: &str, version: i64, lambda: f64, nonzeros: u64, converged: bool, relative_gap: Option<f64>) -> Value {
    json!({
        "model_version": format!("{model}:{version}"),
        "lambda": lambda,
        "nonzeros": nonzeros,
        "converged": converged,
        "relative_gap": relative_gap,
        "href": format!("/api/v1/models/{model}/versions/{version}"),
    })
}

/// `result` of a succeeded fit of a tree.
pub fn tree_result(model: &str, version: i64, ccp_alpha: f64, leaves: u64, depth: u64, converged: bool) -> Value {
    json!({
        "model_version": format!("{model}:{version}"),
        "ccp_alpha": ccp_alpha,
        "leaves": leaves,
        "depth": depth,
        "converged": converged,
        "href": format!("/api/v1/models/{model}/versions/{version}"),
    })
}

/// `result` of a succeeded fit of a network.
pub fn network_result(model: &str, version: i64, nonzeros: u64, sparsity_ratio: f64, converged: bool) -> Value {
    json!({
        "model_version": format!("{model}:{version}"),
        "nonzeros": nonzeros,
        "sparsity_ratio": sparsity_ratio,
        "converged": converged,
        "href": format!("/api/v1/models/{model}/versions/{version}"),
    })
}

/// `result` of a succeeded fit of an ensemble.
pub fn ensemble_result(model: &str, version: i64, n_trees: u64, leaves: u64, depth: u64, converged: bool) -> Value {
    json!({
        "model_version": format!("{model}:{version}"),
        "n_trees": n_trees,
        "leaves": leaves,
        "depth": depth,
        "converged": converged,
        "href": format!("/api/v1/models/{model}/versions/{version}"),
    })
}

/// `result` of a succeeded fit of rules.
pub fn rules_result(
    model: &str,
    version: i64,
    lambda: f64,
    (rules, linear_terms): (u64, u64),
    converged: bool,
    relative_gap: Option<f64>,
) -> Value {
    json!({
        "model_version": format!("{model}:{version}"),
        "lambda": lambda,
        "rules": rules,
        "linear_terms": linear_terms,
        "converged": converged,
        "relative_gap": relative_gap,
        "href": format!("/api/v1/models/{model}/versions/{version}"),
    })
}

/// `result` of a succeeded evaluation of a model version.
pub fn evaluation_result(model: &str, metrics: Value, rows: u64, unknown_features: u64, missing_features: u64) -> Value {
    json!({
        "model": model,
        "metrics": metrics,
        "rows": rows,
        "unknown_features": unknown_features,
        "missing_features": missing_features,
    })
}

/// `result` of a succeeded comparison: itself, and where it is read.
pub fn comparison_result(job: &Id, mut comparison: Value) -> Value {
    if let Some(result) = comparison.as_object_mut() {
        result.insert("href".into(), format!("/api/v1/comparisons/{job}").into());
    }
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_a_final_status_and_every_other_goes_on() {
        for from in Status::ALL {
            assert_eq!(Status::ALL.into_iter().any(|to| from.may_become(to)), !from.is_final());
            assert_eq!(Status::parse(from.as_str()), Some(from));
        }
    }

    #[test]
    fn every_word_is_the_one_serde_writes() {
        for reason in Reason::ALL {
            assert_eq!(json!(reason), json!(reason.as_str()));
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        for status in Status::ALL {
            assert_eq!(json!(status), json!(status.as_str()));
        }
        for kind in JobKind::ALL {
            assert_eq!(json!(kind), json!(kind.as_str()));
            assert_eq!(JobKind::parse(kind.as_str()), Some(kind));
        }
        for priority in [Priority::Low, Priority::Normal, Priority::High] {
            assert_eq!(Priority::from_rank(priority.rank()), Some(priority));
        }
    }
}
