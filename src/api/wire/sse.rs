//! Event streams (`text/event-stream`): events that are stored, written as they come, page by page.
//!
//! A stream holds one page at a time and reads the next when the client has taken it, so a slow reader costs no memory.
//! Its place is the number of the last event written; nothing else is kept, and so a client that comes back with it
//! loses nothing and sees nothing twice. What an event looks like is known to `jobs/events.rs`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::request::Caller;
use crate::api::error::Problem;
use crate::api::jobs::watch::{REREAD, Watch};
use crate::api::state::Api;
use crate::fault::Code;
use crate::store::{Event, EventKind, FeedPlace};

/// The media type.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// A client that hears nothing for so long hears a comment, which keeps proxies from closing.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After this time a stream ends; the client comes back with `Last-Event-ID`.
const LONGEST: Duration = Duration::from_secs(600);
/// Events read from the store at once.
const PAGE: u64 = 100;

/// One event on the wire: `id`, `event` and `data`, the last two without line ends.
pub(crate) struct Frame {
    pub(crate) id: String,
    pub(crate) event: &'static str,
    pub(crate) data: String,
}

/// How a source writes its events.
pub(crate) type Show = Box<dyn Fn(&Event) -> Result<Frame, Problem> + Send>;

/// Where a stream takes its events from, and how far it is.
pub(crate) enum Source {
    /// The events of one job after a number, to the job's end.
    Job { watch: Watch, after: i64 },
    /// The events of a project after a place; this has no end.
    Feed { project: String, after: FeedPlace },
}

/// What a look at the store brought.
enum Look {
    Events(Vec<Event>),
    Nothing,
    Over,
}

/// Whether the client would rather have a stream than JSON: only one that names it.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    let quality = |wanted: &str| {
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges = values.flat_map(|value| value.split(',')).filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
            named.then(|| parts.find_map(|part| part.strip_prefix("q=")?.parse::<f64>().ok()).unwrap_or(1.0))
        });
        ranges.fold(0.0, f64::max)
    };
    let stream = quality(EVENT_STREAM);
    stream > 0.0 && stream >= quality("application/json")
}

/// The place of one stream among those this process serves at once.
pub(crate) fn admit(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    let most = api.limits.streams;
    let full = || Problem::new(Code::TooManyStreams, format!("{most} event streams are open, the most there may be"));
    api.streams.clone().try_acquire_owned().map_err(|_| full())
}

/// The answer: events of `source` of these kinds (none = all) as they come.
pub(crate) fn answer(
    api: &Api,
    caller: Caller,
    place: OwnedSemaphorePermit,
    source: Source,
    kinds: Vec<EventKind>,
    show: Show,
) -> Response {
    let stream = Stream { api: api.clone(), caller, source, kinds, show, until: Instant::now() + LONGEST, _place: place };
    let pieces = stream::unfold(stream, |mut stream| async move {
        let piece = stream.next().await?;
        Some((Ok::<Bytes, Infallible>(piece), stream))
    });
    let mut response = Body::from_stream(pieces).into_response();
    for (name, value) in [(header::CONTENT_TYPE, EVENT_STREAM), (header::CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    // a proxy that gathers the answer before passing it on would gather for ten minutes
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

struct Stream {
    api: Api,
    caller: Caller,
    source: Source,
    kinds: Vec<EventKind>,
    show: Show,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    /// The next bytes; `None` = the stream is over. Asked for only when the client has taken the last.
    async fn next(&mut self) -> Option<Bytes> {
        let beat = Instant::now() + HEARTBEAT;
        loop {
            let now = Instant::now();
            // a key may have been revoked since the stream began
            let ended = now >= self.until || self.api.life.is_draining();
            if ended || !self.api.gate.still_admits(&self.api.store, &self.caller, self.api.ambient.now_micros()).await {
                return None;
            }
            match self.look().await {
                // all that was new is of other kinds
                Ok(Look::Events(events)) if events.is_empty() => {}
                Ok(Look::Events(events)) => return self.written(&events),
                Ok(Look::Over) => return None,
                Ok(Look::Nothing) if now >= beat => return Some(Bytes::from_static(b": heartbeat\n\n")),
                Ok(Look::Nothing) => self.wait(beat.min(self.until) - now).await,
                Err(problem) => {
                    tracing::warn!(detail = %problem.fault.detail, "an event stream ended: the store did not answer");
                    return None;
                }
            }
        }
    }

    /// Reads on from where the stream is.
    async fn look(&mut self) -> Result<Look, Problem> {
        match &mut self.source {
            Source::Job { watch, after } => {
                let Some(pulse) = watch.pulse().await? else { return Ok(Look::Over) };
                if pulse.last_event <= *after {
                    // an ended job tells no more
                    return Ok(if pulse.status.is_final() { Look::Over } else { Look::Nothing });
                }
                let events = self.api.store.events(&watch.project, &watch.job, *after, &self.kinds, PAGE).await?;
                let seen = events.last().map_or(*after, |event| event.seq);
                let whole = (events.len() as u64) < PAGE;
                // what lies between is of other kinds, or was forgotten
                *after = if whole { seen.max(pulse.last_event) } else { seen };
                Ok(Look::Events(events))
            }
            Source::Feed { project, after } => {
                let events = self.api.store.feed(project, *after, &self.kinds, PAGE).await?;
                *after = events.last().map_or(*after, |event| event.place);
                Ok(if events.is_empty() { Look::Nothing } else { Look::Events(events) })
            }
        }
    }

    /// Waits until another look may bring something, at most so long; also when the server stops.
    async fn wait(&mut self, most: Duration) {
        match &mut self.source {
            Source::Job { watch, .. } => {
                watch.changed(most).await;
            }
            Source::Feed { .. } => tokio::select! {
                () = tokio::time::sleep(most.min(REREAD)) => {}
                () = self.api.life.drained() => {}
            },
        }
    }

    fn written(&self, events: &[Event]) -> Option<Bytes> {
        let mut text = String::new();
        for event in events {
            match (self.show)(event) {
                Ok(Frame { id, event, data }) => {
                    let _ = write!(text, "id: {id}\nevent: {event}\ndata: {data}\n\n");
                }
                Err(problem) => {
                    tracing::error!(detail = %problem.fault.detail, "an event cannot be written");
                    return None;
                }
            }
        }
        Some(text.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_for_those_who_name_it_and_do_not_like_json_better() {
        let accept = |text: &str| HeaderMap::from_iter([(header::ACCEPT, text.parse().expect("a value"))]);
        for yes in ["text/event-stream", "Text/Event-Stream;q=0.5", "application/json, text/event-stream", "*/*, text/event-stream"] {
            assert!(wanted(&accept(yes)), "{yes}");
        }
        for no in ["*/*", "text/*", "application/json", "text/event-stream;q=0", "text/event-stream;q=0.5, application/json", ""] {
            assert!(!wanted(&accept(no)), "{no}");
        }
        assert!(!wanted(&HeaderMap::new()));
    }
}
