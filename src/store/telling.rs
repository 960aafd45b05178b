//! What is said about a job: the event of each change of status, of progress, of a warning. Words only, no SQL.

use serde_json::{Map, Value, json};

use super::events::{EventKind, Level};
use crate::job::{Job, Progress, Status, Warning};

/// An event names at most so many features; the job has them all.
const FEATURES_MAX: usize = 20;

/// An event to be appended; its number and its time come from the store.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// How much it matters.
    pub level: Level,
    /// What it tells of.
    pub kind: EventKind,
    /// For a person.
    pub message: String,
    /// For a machine: an object.
    pub data: Value,
}

/// The status that the job has now.
pub(super) fn status(job: &Job) -> NewEvent {
    let cancelling = job.status == Status::Running && job.cancel_requested;
    let reason = job.reason.map(|reason| reason.as_str());
    let (level, message) = match job.status {
        Status::Running if cancelling => (Level::Info, "cancel was asked; the worker will stop".to_owned()),
        Status::Running => (Level::Info, format!("a worker began attempt {}", job.attempt)),
        Status::Queued if job.revision > 1 => (Level::Info, "the job waits in the queue again".to_owned()),
        Status::Queued => (Level::Info, "the job waits in the queue".to_owned()),
        Status::Succeeded => {
            let what = if job.kind.makes_model() { "model" } else { "result" };
            (Level::Info, format!("the job succeeded; its {what} is stored"))
        }
        Status::Cancelled => (Level::Info, "the job was cancelled".to_owned()),
        Status::Failed => (Level::Error, job.error.as_ref().map_or_else(|| "the job failed".to_owned(), |error| error.detail.clone())),
    };
    let mut data = Map::new();
    data.insert("status".into(), if cancelling { "cancelling".into() } else { job.status.as_str().into() });
    let mut put = |key: &str, value: Option<Value>| value.map(|value| data.insert(key.into(), value));
    put("reason", reason.map(Value::from));
    put("attempt", (job.status == Status::Running && !cancelling).then(|| job.attempt.into()));
    put("code", job.error.as_ref().map(|error| error.code.as_str().into()));
    put("model_version", job.result.as_ref().and_then(|result| result.get("model_version")).cloned());
    NewEvent { level, kind: EventKind::Status, message, data: Value::Object(data) }
}

/// The status of a job whose worker is dead.
pub(super) fn rescued(job: &Job) -> NewEvent {
    let mut event = status(job);
    if job.status == Status::Queued {
        event.level = Level::Warn;
        event.message = "the worker is gone; the job waits in the queue again".to_owned();
    }
    event
}

/// What a job has measured, before the event that says it succeeded; `None` where its result tells no metrics.
pub(super) fn metrics(result: &Value) -> Option<NewEvent> {
    let metrics = result.get("metrics")?.as_object()?;
    let number = |(name, value): (&String, &Value)| value.as_f64().map(|value| format!("{name} {value}"));
    let message = metrics.iter().filter_map(number).collect::<Vec<_>>().join(", ");
    Some(NewEvent { level: Level::Info, kind: EventKind::Metric, message, data: Value::Object(metrics.clone()) })
}

/// Something the client should know that is no error.
pub(super) fn warning(warning: &Warning) -> NewEvent {
    let features = &warning.features[..warning.features.len().min(FEATURES_MAX)];
    let data = json!({ "code": warning.code, "features": features });
    NewEvent { level: Level::Warn, kind: EventKind::Warning, message: warning.detail.clone(), data }
}

/// A part of what the job has done is stored, from which it goes on should its worker die. The first are told, and then
/// ever fewer, sixteen at least of each doubling: a million parts are some three hundred events.
pub(super) fn checkpoint(number: i64, bytes: i64) -> Option<NewEvent> {
    let apart = 1_i64 << (number / 16).max(1).ilog2();
    let data = json!({ "number": number, "bytes": bytes });
    let message = format!("checkpoint {number} is stored");
    (number % apart == 0).then_some(NewEvent { level: Level::Info, kind: EventKind::Checkpoint, message, data })
}

/// How far a job is; `fraction` as the row has it, which never falls.
pub(super) fn progress(progress: &Progress, fraction: f64) -> NewEvent {
    let mut data = Map::new();
    data.insert("fraction".into(), fraction.into());
    data.insert("eta_s".into(), progress.eta_s.into());
    let step = progress.steps.iter().find(|step| step.done < step.total).or(progress.steps.last());
    if let Some(step) = step {
        data.insert("step".into(), step.name.as_str().into());
        data.insert("done".into(), step.done.into());
        data.insert("total".into(), step.total.into());
    }
    if let Some(Value::Object(current)) = progress.current.as_ref().and_then(|current| serde_json::to_value(current).ok()) {
        data.extend(current.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let message = match step {
        Some(step) => format!("{}: {} of {}", step.name, step.done, step.total),
        None => "the job is under way".to_owned(),
    };
    NewEvent { level: Level::Info, kind: EventKind::Progress, message, data: Value::Object(data) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Current, Step};

    #[test]
    fn a_million_checkpoints_are_some_hundred_events() {
        assert!((1..=32).all(|number| checkpoint(number, 1).is_some()));
        let told = (1..=1_000_000).filter(|number| checkpoint(*number, 1).is_some()).count();
        assert!((200..400).contains(&told), "{told}");
    }

    #[test]
    fn progress_tells_the_first_step_that_is_not_done_and_what_is_known_of_it() {
        let step = |name: &str, done| Step { name: name.into(), done, total: 10 };
        let current = Current { lambda: Some(0.5), nonzeros: Some(3), ..Current::default() };
        let at = Progress { fraction: 0.9, eta_s: Some(2.5), steps: vec![step("prepare", 10), step("path", 4)], current: Some(current) };
        let event = progress(&at, 0.25);
        let expected = json!({ "fraction": 0.25, "eta_s": 2.5, "step": "path", "done": 4, "total": 10, "lambda": 0.5, "nonzeros": 3 });
        assert_eq!((event.kind, event.data), (EventKind::Progress, expected));
        assert_eq!(progress(&Progress::default(), 0.0).data, json!({ "fraction": 0.0, "eta_s": null }));
        let done = Progress { steps: vec![step("path", 10)], ..Progress::default() };
        assert_eq!(progress(&done, 0.5).data["step"], "path", "when all are done, the last");
    }
}
