//! The door: what happens to every request before a handler sees it, and to every answer before it leaves.
//!
//! In: a request id, sizes of the head, one `Host` that is ours, an `Accept` that can be met. Out: problems rendered,
//! the headers every answer has, the measure taken, a fitting `ETag` answered with 304.

pub(super) mod auth;
pub(super) mod digest;
pub(super) mod lend;
pub(super) mod pace;
pub(super) mod rates;

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use tracing::{Instrument, Span};

use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::request::{Caller, bad_header, wait_preferred};
use crate::api::wire::sse;
use crate::config::TimeLimits;
use crate::fault::{Code, Fault, Place};
use crate::id::{Id, Kind};
use crate::measure::known_method;
use crate::trace::{self, Side, Traces};
use crate::traceparent::Traceparent;
use auth::Head;
use digest::Digests;
use lend::{Rest, lend};
use pace::Pace;
use rates::{Peer, Standing};

const API_VERSION: HeaderValue = HeaderValue::from_static(crate::api::API_VERSION);
/// Whence a job comes: the id of its request, made by the server, and the place in a trace from which it is asked.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) request_id: Id,
    pub(crate) traceparent: Option<Traceparent>,
}

/// The middleware around all routes and fallbacks.
pub(crate) async fn door(State(api): State<Api>, request: Request, next: Next) -> Response<Body> {
    let id = Id::new(Kind::Request, &api.ambient);
    let asked = traceparent(request.headers());
    let mut traced = trace_request(&api.life.traces, &request, asked.as_ref());
    traced.put("request_id", || id.to_string());
    let origin = Origin { request_id: id, traceparent: traced.traceparent().or(asked) };
    let span = span(&origin, request.headers());
    let response = pass(api, origin, request, next).instrument(span).await;
    traced.put("http.response.status_code", || i64::from(response.status().as_u16()));
    if response.status().is_server_error() {
        traced.fail("server_error");
    }
    response
}

async fn pass(api: Api, origin: Origin, mut request: Request, next: Next) -> Response<Body> {
    let since = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let if_none_match = request.headers().get(header::IF_NONE_MATCH).cloned();
    let id = origin.request_id.clone();
    request.extensions_mut().insert(origin);
    let client_waits = request.headers().contains_key(header::EXPECT);
    let peer = Peer::of(request.extensions());
    let head = Head { route: route.as_deref(), method: &method, headers: request.headers(), peer, now: api.ambient.now_micros() };
    let mut standing = None;
    let (mut response, rest) = match admit(&api, &uri, &head, &mut standing).await {
        Err(problem) => (problem.into_response(), None),
        Ok((caller, digests)) => {
            request.extensions_mut().insert(caller);
            answer(&api, request, digests, next).await
        }
    };
    if let Some(rest) = rest.filter(|_| !response.status().is_success()) {
        rest.drain(client_waits).await;
    }
    response = with_problem(response, uri.path(), &id);
    response = not_modified(response, &method, if_none_match.as_ref());
    put_headers(response.headers_mut(), &id);
    put_standing(response.headers_mut(), api.gate.rates.per_second(), standing);
    if api.life.is_draining() {
        // the client's next request is for another server, or for the next life of this one
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let (route, took) = (route.as_deref().unwrap_or("unmatched"), since.elapsed());
    log_request(&method, route, response.status().as_u16(), took);
    api.measures.request(route, method.as_str(), response.status().as_u16(), took);
    response
}

/// Lends the body to a handler and waits for its answer, but not for ever.
async fn answer(api: &Api, request: Request, digests: Digests, next: Next) -> (Response<Body>, Option<Rest>) {
    let limits = &api.limits.time;
    let wait = wait_preferred(request.headers()).unwrap_or_default();
    let body_limit = total(limits, &request);
    let (parts, body) = request.into_parts();
    let (lent, rest) = lend(body, Pace::of(limits, body_limit), digests);
    let answering = next.run(Request::from_parts(parts, lent));
    let allowed = body_limit + Duration::from_millis(limits.request_ms) + wait;
    let response = match tokio::time::timeout(allowed, answering).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::RequestTimeout, "the request took too long").into_response(),
    };
    (response, Some(rest))
}

/// How long a request's body may take in all.
fn total(limits: &TimeLimits, request: &Request) -> Duration {
    let upload = *request.method() == Method::POST && request.uri().path() == crate::api::UPLOAD_PATH;
    Duration::from_millis(if upload { limits.upload_ms } else { limits.request_ms })
}

/// The span of a request: its id stands in every line logged within. Ids of the client's are only noted, so that both
/// sides' logs can be joined.
fn span(origin: &Origin, headers: &HeaderMap) -> Span {
    let text = |name: &str| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).chars().take(128).collect::<String>());
    let trace_id = origin.traceparent.map(|traceparent| traceparent.trace_id());
    tracing::info_span!("request", request_id = %origin.request_id, client_request_id = text("x-request-id"), trace_id)
}

/// What a collector is told of a request; named as OpenTelemetry's conventions for HTTP have it.
fn trace_request(traces: &Traces, request: &Request, asked: Option<&Traceparent>) -> trace::Span {
    let method = known_method(request.method().as_str());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let name = || route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"));
    let mut traced = traces.begin(name, Side::Server, asked);
    traced.put("http.request.method", || method);
    if let Some(route) = route {
        traced.put("http.route", || route.to_owned());
    }
    traced
}

/// The place in a trace from which the client asks; two places are none.
fn traceparent(headers: &HeaderMap) -> Option<Traceparent> {
    let mut values = headers.get_all("traceparent").iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    Traceparent::parse(value.to_str().ok()?)
}

/// The line of a request: for all that changes something; reads and predictions come by the thousand and are told to
/// those who ask for more.
fn log_request(method: &Method, route: &str, status: u16, took: Duration) {
    let (method, ms) = (known_method(method.as_str()), took.as_secs_f64() * 1e3);
    let quiet = matches!(method, "GET" | "HEAD") || route.ends_with("/predict");
    if quiet {
        tracing::debug!(method, route, status, ms, "request");
    } else {
        tracing::info!(method, route, status, ms, "request");
    }
}

/// Checks of the head: its size, whom it is for, who asks and whether they may, and whether it can be answered.
async fn admit(api: &Api, uri: &Uri, head: &Head<'_>, standing: &mut Option<Standing>) -> Result<(Caller, Digests), Problem> {
    let headers = head.headers;
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let most = api.limits.header_bytes;
    if uri_bytes(uri) as u64 > most {
        return Err(Problem::new(Code::UriTooLong, format!("the request line has more than {most} bytes")));
    }
    if bytes as u64 > most {
        return Err(Problem::new(Code::HeadersTooLarge, format!("the headers have more than {most} bytes")));
    }
    check_host(api, uri, headers)?;
    let verdict = api.gate.pass(&api.store, head).await;
    *standing = verdict.standing;
    let caller = verdict.caller?;
    if !acceptable(uri.path(), headers) {
        return Err(Problem::new(Code::NotAcceptable, "this route answers with another media type than those accepted"));
    }
    if api.life.is_draining() && head.method == Method::POST {
        return Err(Problem::new(Code::ShuttingDown, "the server is stopping"));
    }
    Ok((caller, Digests::of(headers)?))
}

fn uri_bytes(uri: &Uri) -> usize {
    uri.path().len() + uri.query().map_or(0, str::len)
}

/// Exactly one `Host`, ours, and no other authority beside it: a page on a foreign name cannot reach a loopback server.
fn check_host(api: &Api, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(bad_header("Host", "there must be exactly one Host"));
    };
    let host = host.to_str().map_err(|_| bad_header("Host", "the Host is not a name"))?;
    if uri.authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host)) {
        return Err(bad_header("Host", "the request line names another host"));
    }
    if !api.hosts.allow(host) {
        let detail = "the Host header names another server";
        return Err(Fault::at(Code::Misdirected, Place::parameter("Host", Code::Misdirected.as_str(), detail)).into());
    }
    Ok(())
}

/// Whether one of the media types accepted is what the route answers with (or, everywhere, a problem).
fn acceptable(path: &str, headers: &HeaderMap) -> bool {
    let offered: &[&str] = match path {
        "/metrics" => &["application/openmetrics-text", "text/plain", "text/*"],
        "/docs/docs.js" => &["text/javascript", "text/*"],
        "/docs/docs.css" => &["text/css", "text/*"],
        _ if path == "/docs" || path.starts_with("/problems/") => &["text/html", "text/*"],
        _ if path.ends_with("/events") => &["application/json", "application/problem+json", sse::EVENT_STREAM, "text/*"],
        _ if path.ends_with("/report") || path.starts_with("/api/v1/comparisons/") => {
            &["application/json", "application/problem+json", "text/html", "text/*"]
        }
        _ if path.ends_with(".svg") => &["image/svg+xml", "image/*"],
        _ => &["application/json", "application/problem+json"],
    };
    let mut ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut any = false;
    let met = ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or("").to_ascii_lowercase();
        any |= !name.is_empty();
        let refused = parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse::<f64>().is_ok_and(|q| q <= 0.0)));
        let wide = name == "*/*" || (name == "application/*" && offered[0].starts_with("application/"));
        !refused && (wide || offered.contains(&name.as_str()))
    });
    met || !any
}

/// Renders the problem a handler left, or the one that a bare error status of a library stands for.
fn with_problem(response: Response<Body>, path: &str, id: &Id) -> Response<Body> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = match response.extensions().get::<Problem>() {
        Some(problem) => problem.clone(),
        None if response.headers().contains_key(header::CONTENT_TYPE) => return response,
        None => Problem::of_status(status),
    };
    let mut rendered = problem.render(path, id.as_str());
    if let Some(allow) = response.headers().get(header::ALLOW) {
        rendered.headers_mut().insert(header::ALLOW, allow.clone());
    }
    if matches!(problem.fault.code, Code::MalformedHeader | Code::HeadersTooLarge | Code::UriTooLong | Code::BodyTooSlow) {
        rendered.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    rendered
}

fn not_modified(response: Response<Body>, method: &Method, asked: Option<&HeaderValue>) -> Response<Body> {
    let (Some(asked), Some(tag)) = (asked.and_then(|value| value.to_str().ok()), response.headers().get(header::ETAG)) else {
        return response;
    };
    let fits = asked.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one.as_bytes() == tag.as_bytes());
    if !fits || !matches!(*method, Method::GET | Method::HEAD) || response.status() != StatusCode::OK {
        return response;
    }
    // the hints stay: when to ask again, which preference was applied
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::empty())
}

/// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11), once it is known who asks.
fn put_standing(headers: &mut HeaderMap, per_second: u64, standing: Option<Standing>) {
    let Some(Standing { remaining, reset_s, .. }) = standing else { return };
    let fields =
        [("ratelimit-policy", format!("\"default\";q={per_second};w=1")), ("ratelimit", format!("\"default\";r={remaining};t={reset_s}"))];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

fn put_headers(headers: &mut HeaderMap, id: &Id) {
    headers.insert(HeaderName::from_static("api-version"), API_VERSION);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(HeaderName::from_static("x-request-id"), id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_is_met_by_wildcards_json_and_silence_and_not_by_refusals() {
        let accept = |text: &str| HeaderMap::from_iter([(header::ACCEPT, text.parse().expect("a value"))]);
        for good in ["*/*", "application/json", "application/*;q=0.5", "text/html, */*;q=0.1", "application/problem+json", ""] {
            assert!(acceptable("/api/v1/jobs", &accept(good)), "{good}");
        }
        for bad in ["text/html", "text/*", "application/json;q=0", "image/png, text/plain"] {
            assert!(!acceptable("/api/v1/jobs", &accept(bad)), "{bad}");
        }
        assert!(acceptable("/api/v1/jobs", &HeaderMap::new()));
        assert!(acceptable("/docs", &accept("text/html")));
        assert!(acceptable("/api/v1/jobs/x/events", &accept("text/event-stream")));
        assert!(!acceptable("/api/v1/jobs/x/events", &accept("text/html")));
        assert!(acceptable("/api/v1/models/m/versions/1/plots/path.svg", &accept("image/avif,image/webp,image/svg+xml,*/*;q=0.8")));
        assert!(!acceptable("/api/v1/models/m/versions/1/plots/path.svg", &accept("application/json")));
        assert!(acceptable("/metrics", &accept("text/plain;version=0.0.4")));
    }
}
