//! Bounds on the run of a job: parsed, and what its memory is allowed to be.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems};
use super::{Estimate, SpecLimits};
use crate::fault::{Code, Fault};

const MIB: f64 = 1_048_576.0;
/// No machine has more, MiB.
const MEMORY_MAX_MB: f64 = 1e9;

/// Bounds on the run of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunLimits {
    /// Longest run.
    pub max_runtime_s: Option<f64>,
    /// Most memory, MiB: a fit that may need more is refused.
    pub max_memory_mb: Option<f64>,
    /// Longest wait for the first start.
    pub start_deadline_s: Option<f64>,
    /// What becomes of a job that reaches `max_runtime_s`.
    pub on_limit: OnLimit,
}

/// What becomes of a job that reaches a limit while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    /// It fails.
    #[default]
    Fail,
    /// It succeeds with the best model so far, which is not converged.
    KeepBest,
}

impl RunLimits {
    /// Longest wait for the first start.
    pub fn start_within(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.start_deadline_s?).ok()
    }

    /// The bytes to grant a fit of this estimate, where the server grants at most `budget`.
    ///
    /// # Errors
    /// `fit_too_large`, with the estimate and the cap that it passes, when it can never run.
    pub fn grant(&self, estimate: &Estimate, budget: u64) -> Result<u64, Fault> {
        let need = estimate.memory_mb[1];
        let too_large = |pointer: &str, whose: &str, cap: f64| {
            let detail = format!("the fit may need {need} MiB of memory, and {whose} is {cap} MiB");
            Fault::at_pointer(Code::FitTooLarge, pointer, detail)
        };
        if let Some(cap) = self.max_memory_mb.filter(|cap| need > *cap) {
            return Err(too_large("#/limits/max_memory_mb", "limits.max_memory_mb", cap));
        }
        let bytes = (need * MIB).ceil() as u64;
        if bytes > budget {
            return Err(too_large("#/dataset", "the most this server grants", (budget as f64 / MIB * 10.0).floor() / 10.0));
        }
        Ok(bytes)
    }
}

/// Parses `limits`, which may stand beside the specification or in it.
pub(super) fn parse_limits(value: &Value, pointer: &str, limits: &SpecLimits, problems: &mut Problems) -> Option<RunLimits> {
    let mut fields = Fields::open(value, pointer, problems)?;
    let mut positive = |key: &'static str, most: f64, problems: &mut Problems| {
        let unlimited = fields.take(key).is_none_or(Value::is_null);
        let range = format!("greater than 0 and at most {most}");
        if unlimited { None } else { fields.number(key, &range, |number| number > 0.0 && number <= most, problems) }
    };
    let max_runtime_s = positive("max_runtime_s", limits.max_runtime_s, problems);
    let max_memory_mb = positive("max_memory_mb", MEMORY_MAX_MB, problems);
    let start_deadline_s = positive("start_deadline_s", limits.max_runtime_s, problems);
    let on_limit = match fields.word("on_limit", &["fail", "keep_best"], problems) {
        Some("keep_best") => OnLimit::KeepBest,
        _ => OnLimit::Fail,
    };
    fields.close(problems);
    Some(RunLimits { max_runtime_s, max_memory_mb, start_deadline_s, on_limit })
}
