//! `POST /jobs`: the request around the specification.

use serde_json::{Value, json};

use super::fields::{Fields, Problems, WHOLE_MAX, show};
use super::hook::parse_job_hook;
use super::limits::parse_limits;
use super::work::parse_work;
use super::{Asked, JobRequest, RunLimits, SpecLimits};
use crate::fault::{Code, Fault};
use crate::job::{JobKind, Priority};
use crate::json;

/// Values in a job's body, nested ones included: room for a penalty factor for each of many features.
const NODES_MAX: usize = 1 << 20;
const METADATA_MAX: usize = 64;
const TEXT_MAX: usize = 256;

/// Parses the body of `POST /jobs`.
///
/// # Errors
/// The body is no JSON (`malformed_json`, `duplicate_field`); or every problem of the request at once, each with its
/// own code (`unknown_field`, `invalid_field`, `out_of_range`, `conflict`, `unknown_value`, `missing`) and pointer.
pub fn parse_job(body: &[u8], limits: &SpecLimits) -> Result<JobRequest, Fault> {
    parse_job_of(None, body, limits)
}

/// As [`parse_job`], where `only` says the kind of job, so that `type` need not.
///
/// # Errors
/// As [`parse_job`]; and `type` says another kind.
pub fn parse_job_of(only: Option<JobKind>, body: &[u8], limits: &SpecLimits) -> Result<JobRequest, Fault> {
    let document = json::document(body, NODES_MAX).map_err(beyond_doubles)?;
    let mut problems = Problems::default();
    let request = parse_request(only, &document, limits, &mut problems);
    match (problems.into_fault(), request) {
        (None, Some(request)) => Ok(request),
        (Some(fault), _) => Err(fault),
        (None, None) => Err(Fault::new(Code::InvalidParameter, "The job cannot be understood.")),
    }
}

/// A number such as 1e400 is a wrong parameter here, as it is not a matter of data.
fn beyond_doubles(mut fault: Fault) -> Fault {
    if fault.code == Code::NonFiniteValue {
        fault.code = Code::InvalidParameter;
        fault.places.iter_mut().for_each(|place| place.code = "out_of_range");
    }
    fault
}

fn parse_request(only: Option<JobKind>, document: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<JobRequest> {
    let mut job = Fields::open(document, "#", problems)?;
    let kind = match only {
        Some(only) if job.take("type").is_none() => Some(only),
        Some(only) => job.word("type", &[only.as_str()], problems).map(|_| only),
        None => {
            let word = job.need("type", problems).and(job.word("type", &JobKind::ALL.map(JobKind::as_str), problems));
            word.and_then(JobKind::parse)
        }
    };
    let model = parse_model(kind.or(only), &mut job, problems);
    let dataset = job.need("dataset", problems).and_then(|value| parse_dataset(value, problems));
    let spec = job.need("spec", problems);
    let outer = job.take("limits").map(|value| parse_limits(value, "#/limits", limits, problems));
    let priority = parse_priority(&mut job, problems);
    let metadata = job.take("metadata").map_or_else(|| json!({}), |value| parse_metadata(value, problems));
    let webhook = job.take("webhook").map(|value| parse_job_hook(value, problems));
    job.close(problems);
    let work = parse_work(kind?, spec?, limits, problems).map(|work| with_limits(work, spec?, outer, problems));
    let (dataset, version) = dataset?;
    let webhook = match webhook {
        Some(hook) => Some(hook?),
        None => None,
    };
    let (kind, model, work, spec) = (kind?, model?, work??, spec?.clone());
    Some(JobRequest { kind, model, dataset, version, work, spec, metadata, priority: priority?, webhook })
}

/// The name to register a model under; a job that makes none is not given one.
fn parse_model(kind: Option<JobKind>, job: &mut Fields<'_>, problems: &mut Problems) -> Option<Option<String>> {
    if kind.is_none_or(JobKind::makes_model) {
        return job.need("model", problems).and(name(job, "model", problems)).map(Some);
    }
    if job.take("model").is_some_and(|model| !model.is_null()) {
        let detail = "this job registers no model; which one it reads stands in spec.model";
        problems.add(&job.at("model"), "conflict", detail);
        return None;
    }
    Some(None)
}

/// Limits may stand beside the specification or in it, not both.
fn with_limits(mut work: Asked, spec: &Value, outer: Option<Option<RunLimits>>, problems: &mut Problems) -> Option<Asked> {
    if let Some(outer) = outer {
        if spec.get("limits").is_some() {
            problems.add("#/limits", "conflict", "limits stand both here and in spec; give them once");
        }
        *work.limits_mut() = outer?;
    }
    Some(work)
}

fn parse_dataset(value: &Value, problems: &mut Problems) -> Option<(String, Option<i64>)> {
    let mut dataset = Fields::open(value, "#/dataset", problems)?;
    let name = dataset.need("name", problems).and(name(&mut dataset, "name", problems));
    let asked = dataset.take("version").is_some_and(|version| !version.is_null());
    let version = if asked { Some(dataset.whole("version", 1, WHOLE_MAX, problems)) } else { None };
    dataset.close(problems);
    let version = match version {
        Some(version) => Some(i64::try_from(version?).ok()?),
        None => None,
    };
    Some((name?, version))
}

fn parse_priority(job: &mut Fields<'_>, problems: &mut Problems) -> Option<Priority> {
    if job.take("priority").is_none() {
        return Some(Priority::default());
    }
    job.word("priority", &["low", "normal", "high"], problems).map(|word| match word {
        "low" => Priority::Low,
        "high" => Priority::High,
        _ => Priority::Normal,
    })
}

/// A name: `[a-z0-9][a-z0-9._-]{0,62}`.
fn name(fields: &mut Fields<'_>, key: &'static str, problems: &mut Problems) -> Option<String> {
    let text = fields.text(key, problems)?;
    if !is_name(text) {
        let detail = "must be 1 to 63 of a-z, 0-9, dot, underscore, hyphen, and begin with a letter or digit";
        problems.add(&fields.at(key), "invalid_field", detail);
        return None;
    }
    Some(text.to_owned())
}

/// Whether `text` may name a data set, model or alias.
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=63) && plain(bytes[0]) && bytes.iter().all(|byte| plain(*byte) || b"._-".contains(byte))
}

fn parse_metadata(value: &Value, problems: &mut Problems) -> Value {
    let Some(fields) = Fields::open(value, "#/metadata", problems) else { return json!({}) };
    let entries = value.as_object().into_iter().flatten();
    if entries.clone().count() > METADATA_MAX {
        problems.add(&fields.pointer, "out_of_range", format!("at most {METADATA_MAX} keys"));
    }
    for (key, value) in entries {
        let rule = format!("at most {TEXT_MAX} bytes without control characters");
        if !is_free_text(key) {
            problems.add(&fields.at(key), "invalid_field", format!("the key must be {rule}"));
        }
        match value.as_str() {
            Some(text) if is_free_text(text) => {}
            Some(_) => problems.add(&fields.at(key), "invalid_field", format!("must be {rule}")),
            None => problems.add(&fields.at(key), "invalid_field", format!("must be a text, got {}", show(value))),
        }
    }
    value.clone()
}

fn is_free_text(text: &str) -> bool {
    text.len() <= TEXT_MAX && !text.chars().any(char::is_control)
}
