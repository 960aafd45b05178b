//! Webhooks as requests name them: in a job, and as endpoints of their own. Whether an address may be reached is not
//! judged here.

use serde_json::Value;

use super::fields::{Fields, Problems, show};
use crate::fault::{Code, Fault};
use crate::hook::{Event, Hook};
use crate::json;

/// Values in the body of an endpoint.
const NODES_MAX: usize = 64;
const DESCRIPTION_MAX: usize = 256;

/// `POST /webhooks`.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointRequest {
    /// Where, and what.
    pub hook: Hook,
    /// Free text.
    pub description: String,
}

/// `PATCH /webhooks/{webhook}`: what is given changes.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct EndpointChange {
    pub url: Option<String>,
    pub events: Option<Vec<Event>>,
    pub description: Option<String>,
    pub enabled: Option<bool>,
}

/// Parses the body of `POST /webhooks`.
///
/// # Errors
/// As [`super::parse_job`].
pub fn parse_endpoint(body: &[u8]) -> Result<EndpointRequest, Fault> {
    parsed(body, |fields, problems| {
        let url = fields.need("url", problems).and(fields.text("url", problems));
        let events = fields.need("events", problems).and(parse_events(fields, &Event::ALL, problems));
        let description = parse_description(fields, problems).unwrap_or_default();
        Some(EndpointRequest { hook: Hook { url: url?.to_owned(), events: events? }, description })
    })
}

/// Parses the body of `PATCH /webhooks/{webhook}`.
///
/// # Errors
/// As [`super::parse_job`].
pub fn parse_endpoint_change(body: &[u8]) -> Result<EndpointChange, Fault> {
    parsed(body, |fields, problems| {
        Some(EndpointChange {
            url: fields.text("url", problems).map(str::to_owned),
            events: parse_events(fields, &Event::ALL, problems),
            description: parse_description(fields, problems),
            enabled: fields.flag("enabled", problems),
        })
    })
}

fn parsed<T>(body: &[u8], parse: impl FnOnce(&mut Fields<'_>, &mut Problems) -> Option<T>) -> Result<T, Fault> {
    let document = json::document(body, NODES_MAX)?;
    let mut problems = Problems::default();
    let mut request = None;
    if let Some(mut fields) = Fields::open(&document, "#", &mut problems) {
        request = parse(&mut fields, &mut problems);
        fields.close(&mut problems);
    }
    match (problems.into_fault_of("the webhook"), request) {
        (None, Some(request)) => Ok(request),
        (Some(fault), _) => Err(fault),
        (None, None) => Err(Fault::new(Code::InvalidParameter, "The webhook cannot be understood.")),
    }
}

/// `webhook` of a job; without `events` it hears of the end.
pub(super) fn parse_job_hook(value: &Value, problems: &mut Problems) -> Option<Hook> {
    let mut fields = Fields::open(value, "#/webhook", problems)?;
    let url = fields.need("url", problems).and(fields.text("url", problems));
    let events = match fields.take("events") {
        None => Some(Event::ENDS.to_vec()),
        Some(_) => parse_events(&mut fields, &Event::OF_A_JOB, problems),
    };
    fields.close(problems);
    Some(Hook { url: url?.to_owned(), events: events? })
}

/// A list of different words, at least one.
fn parse_events(fields: &mut Fields<'_>, known: &[Event], problems: &mut Problems) -> Option<Vec<Event>> {
    let (value, at) = (fields.take("events")?, fields.at("events"));
    let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
        problems.add(&at, "invalid_field", format!("must be a list of events, got {}", show(value)));
        return None;
    };
    let mut events = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let event = item.as_str().and_then(Event::parse).filter(|event| known.contains(event));
        match event {
            Some(event) if events.contains(&event) => problems.add(&format!("{at}/{index}"), "conflict", "the event is named twice"),
            Some(event) => events.push(event),
            None => {
                let words: Vec<&str> = known.iter().map(|event| event.as_str()).collect();
                problems.add(&format!("{at}/{index}"), "unknown_value", format!("must be {}, got {}", words.join(" or "), show(item)));
            }
        }
    }
    (events.len() == items.len()).then_some(events)
}

fn parse_description(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<String> {
    let text = fields.text("description", problems)?;
    if text.len() > DESCRIPTION_MAX || text.chars().any(char::is_control) {
        let detail = format!("must have at most {DESCRIPTION_MAX} bytes without control characters");
        problems.add(&fields.at("description"), "invalid_field", detail);
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(fault: &Fault) -> Vec<(String, &'static str)> {
        fault.places.iter().map(|place| (place.pointer.clone().unwrap_or_default(), place.code)).collect()
    }

    #[test]
    fn an_endpoint_is_understood_and_every_problem_of_one_told() {
        let good =
            parse_endpoint(br#"{"url": "https://a.example/", "events": ["job.failed", "dataset.ready"], "description": "x"}"#).unwrap();
        assert_eq!(good.hook, Hook { url: "https://a.example/".into(), events: vec![Event::JobFailed, Event::DatasetReady] });
        let fault =
            parse_endpoint(br#"{"url": 1, "events": ["job.failed", "nope", "job.failed"], "more": 0, "description": "\n"}"#).unwrap_err();
        assert_eq!(
            pointers(&fault),
            [
                ("#/url".into(), "invalid_field"),
                ("#/events/1".into(), "unknown_value"),
                ("#/events/2".into(), "conflict"),
                ("#/description".into(), "invalid_field"),
                ("#/more".into(), "unknown_field"),
            ]
        );
        assert_eq!(fault.detail, "5 problems in the webhook.");
        assert_eq!(pointers(&parse_endpoint(b"{}").unwrap_err()), [("#/url".into(), "missing"), ("#/events".into(), "missing")]);
        assert_eq!(parse_endpoint(b"[]").unwrap_err().code, Code::InvalidField);
        assert_eq!(parse_endpoint(b"{").unwrap_err().code, Code::MalformedJson);
    }

    #[test]
    fn a_change_may_be_of_anything_or_nothing() {
        assert_eq!(parse_endpoint_change(b"{}").unwrap(), EndpointChange::default());
        assert_eq!(parse_endpoint_change(br#"{"enabled": false}"#).unwrap().enabled, Some(false));
        assert_eq!(pointers(&parse_endpoint_change(br#"{"events": []}"#).unwrap_err()), [("#/events".into(), "invalid_field")]);
        assert_eq!(pointers(&parse_endpoint_change(br#"{"enabled": "no"}"#).unwrap_err()), [("#/enabled".into(), "invalid_field")]);
    }

    #[test]
    fn a_job_names_a_hook_for_its_own_events() {
        let parse = |text: &str| {
            let mut problems = Problems::default();
            let hook = parse_job_hook(&serde_json::from_str(text).unwrap(), &mut problems);
            hook.ok_or_else(|| pointers(&problems.into_fault().unwrap()))
        };
        assert_eq!(parse(r#"{"url": "x"}"#).unwrap().events, Event::ENDS);
        assert_eq!(parse(r#"{"url": "x", "events": ["job.started"]}"#).unwrap().events, [Event::JobStarted]);
        assert_eq!(parse(r#"{"url": "x", "events": ["dataset.ready"]}"#).unwrap_err(), [("#/webhook/events/0".into(), "unknown_value")]);
        assert_eq!(parse("{}").unwrap_err(), [("#/webhook/url".into(), "missing")]);
    }
}
