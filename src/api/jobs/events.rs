//! Events of jobs: of one job by number, of a project in the order of their commits; as pages of JSON or as a stream.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::watch::Watch;
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::json::{Raw, raw, rfc3339};
use crate::api::wire::page::{self, List, Window};
use crate::api::wire::request::{Caller, Query, Segments, bad_header, bad_parameter};
use crate::api::wire::sse::{self, Frame, Source};
use crate::id::{Id, Kind};
use crate::store::{Event, EventKind, FeedPlace};

const LAST_EVENT_ID: &str = "last-event-id";

/// An event as clients see it.
#[derive(Serialize)]
struct EventOut<'a> {
    object: &'static str,
    id: &'a Id,
    job: &'a Id,
    seq: i64,
    created_at: String,
    level: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    data: &'a Value,
    /// Only in the events of a project: the place after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

fn show(event: &Event, cursor: Option<String>) -> Result<Raw, Problem> {
    raw(&EventOut {
        object: "job.event",
        id: &event.id,
        job: &event.job,
        seq: event.seq,
        created_at: rfc3339(event.created_at),
        level: event.level.as_str(),
        kind: event.kind.as_str(),
        message: &event.message,
        data: &event.data,
        cursor,
    })
}

/// `GET /api/v1/jobs/{job}/events`.
pub(crate) async fn of_job(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    mut query: Query,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let project = caller.project();
    let absent = || Problem::not_found("job");
    let job = Id::parse(Kind::Job, &id).ok_or_else(absent)?;
    let list = api.list(&caller, &format!("jobs/{job}/events"));
    let kinds = kinds(&mut query)?;
    let after = query.take_number("after", 0)?.map_or(0, number);
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let pulse = api.store.pulse(project, &job).await?.ok_or_else(absent)?;
    if sse::wanted(&headers) {
        let after = place_in_job(&headers, after, pulse.last_event)?;
        let place = sse::admit(&api)?;
        let source = Source::Job { watch: Watch::new(&api, project, &job), after };
        return Ok(sse::answer(&api, caller.clone(), place, source, kinds, Box::new(of_job_frame)));
    }
    let after = if window.after.is_some() { number(window.offset()?) } else { after };
    let found = api.store.events(project, &job, after, &kinds, window.limit.saturating_add(1)).await?;
    answer(&uri, &window, &list, &found, |event| event.seq.to_string(), |_| None)
}

/// As a stream the rows tell their `data`; the rest is in `id` and `event`.
fn of_job_frame(event: &Event) -> Result<Frame, Problem> {
    Ok(Frame { id: event.seq.to_string(), event: event.kind.as_str(), data: raw(&event.data)?.get().to_owned() })
}

/// Where a stream of a job goes on. A number that the job has not reached would make it wait in vain.
fn place_in_job(headers: &HeaderMap, after: i64, last: i64) -> Result<i64, Problem> {
    match headers.get(LAST_EVENT_ID) {
        None if after <= last => Ok(after),
        None => Err(bad_parameter("after", "out_of_range", format!("the last event of the job is {last}"))),
        Some(text) => {
            let digits = text.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse::<i64>().ok()).filter(|number| *number <= last);
            number.ok_or_else(|| bad_header("Last-Event-ID", format!("must be the number of an event of this job; its last is {last}")))
        }
    }
}

/// `GET /api/v1/events`.
pub(crate) async fn of_project(
    State(api): State<Api>,
    mut query: Query,
    caller: Caller,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let project = caller.project().to_owned();
    let list = api.list(&caller, "events");
    let kinds = kinds(&mut query)?;
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let mut after = window.after.as_deref().map_or(Some(FeedPlace::default()), place_in_feed).ok_or_else(page::invalid_cursor)?;
    if sse::wanted(&headers) {
        if let Some(text) = headers.get(LAST_EVENT_ID) {
            after = resumed(&list, text).ok_or_else(|| bad_header("Last-Event-ID", "is not the id of an event of this stream"))?;
        }
        let place = sse::admit(&api)?;
        let source = Source::Feed { project, after };
        return Ok(sse::answer(&api, caller, place, source, kinds, Box::new(move |event| of_feed_frame(&list, event))));
    }
    let found = api.store.feed(&project, after, &kinds, window.limit.saturating_add(1)).await?;
    answer(&uri, &window, &list, &found, place_text, |event| Some(page::seal(&list, &place_text(event))))
}

/// Events of several jobs are told whole; their id is the cursor after them.
fn of_feed_frame(list: &List, event: &Event) -> Result<Frame, Problem> {
    let cursor = page::seal(list, &place_text(event));
    Ok(Frame { data: show(event, Some(cursor.clone()))?.get().to_owned(), id: cursor, event: event.kind.as_str() })
}

fn place_text(event: &Event) -> String {
    format!("{} {}", event.place.epoch, event.place.position)
}

fn place_in_feed(text: &str) -> Option<FeedPlace> {
    let (epoch, position) = text.split_once(' ')?;
    Some(FeedPlace { epoch: epoch.parse().ok()?, position: position.parse().ok()? })
}

fn resumed(list: &List, header: &HeaderValue) -> Option<FeedPlace> {
    place_in_feed(&page::unseal(list, header.to_str().ok()?)?)
}

/// A page out of what was found, one more than asked for if there is more.
fn answer(
    uri: &Uri,
    window: &Window,
    list: &List,
    found: &[Event],
    position: impl Fn(&Event) -> String,
    cursor: impl Fn(&Event) -> Option<String>,
) -> Result<Response, Problem> {
    let limit = usize::try_from(window.limit).unwrap_or(usize::MAX);
    let shown = &found[..found.len().min(limit)];
    let data = shown.iter().map(|event| show(event, cursor(event))).collect::<Result<Vec<_>, _>>()?;
    let next = shown.last().filter(|_| found.len() > limit).map(|last| page::seal(list, &position(last)));
    Ok(page::list(uri, data, next))
}

/// `?types=status,progress`; absent = all.
fn kinds(query: &mut Query) -> Result<Vec<EventKind>, Problem> {
    let words: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let wanted = format!("some of {}, between commas", words.join(", "));
    let parse = |text: &str| text.split(',').map(EventKind::parse).collect::<Option<Vec<_>>>();
    Ok(query.take_as("types", &wanted, parse)?.unwrap_or_default())
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
