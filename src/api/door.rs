//! The door: what happens to every request before a handler sees it, and to every answer before it leaves.
//!
//! In: a request id, sizes of the head, one `Host` that is ours, an `Accept` that can be met. Out: problems rendered,
//! the headers every answer has, the measure taken, a fitting `ETag` answered with 304.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::IntoResponse;

use super::body;
use super::error::Problem;
use super::request::{Caller, bad_header};
use super::sse;
use super::state::Api;
use crate::fault::{Code, Fault, Place};
use crate::id::{Id, Kind};

const API_VERSION: HeaderValue = HeaderValue::from_static(super::API_VERSION);
/// No handler but an upload takes longer than this; the longest wait a client may ask for is a minute.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(120);
/// An upload takes at most this long.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(3600);

/// The id of a request, made by the server.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) Id);

/// The middleware around all routes and fallbacks.
pub(crate) async fn door(State(api): State<Api>, mut request: Request, next: Next) -> Response<Body> {
    let since = Instant::now();
    let id = Id::new(Kind::Request, &api.ambient);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let if_none_match = request.headers().get(header::IF_NONE_MATCH).cloned();
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(Caller::anonymous());
    log_foreign_id(&id, request.headers());
    let client_waits = request.headers().contains_key(header::EXPECT);
    let mut rest = None;
    let request = request.map(|body| {
        let (lent, back) = body::lend(body);
        rest = Some(back);
        lent
    });

    let mut response = match admit(&api, &request) {
        Err(problem) => problem.into_response(),
        Ok(()) => {
            let upload = method == Method::POST && uri.path() == super::UPLOAD_PATH;
            let allowed = if upload { UPLOAD_TIMEOUT } else { HANDLER_TIMEOUT };
            match tokio::time::timeout(allowed, next.run(request)).await {
                Ok(response) => response,
                Err(_) => Problem::new(Code::RequestTimeout, "the request took too long").into_response(),
            }
        }
    };
    if let Some(rest) = rest.filter(|_| !response.status().is_success()) {
        rest.drain(client_waits).await;
    }
    response = with_problem(response, uri.path(), &id);
    response = not_modified(response, &method, if_none_match.as_ref());
    put_headers(response.headers_mut(), &id);
    api.metrics.request(route.as_deref().unwrap_or("unmatched"), &method, response.status().as_u16(), since.elapsed());
    response
}

/// A request id of the client's is only noted, so that both sides' logs can be joined.
fn log_foreign_id(id: &Id, headers: &HeaderMap) {
    if let Some(theirs) = headers.get("x-request-id") {
        let theirs: String = String::from_utf8_lossy(theirs.as_bytes()).chars().filter(|c| !c.is_control()).take(128).collect();
        tracing::info!(request_id = %id, client_request_id = theirs, "request");
    }
}

/// Checks of the head, in the order of their cost.
fn admit(api: &Api, request: &Request) -> Result<(), Problem> {
    let (uri, headers) = (request.uri(), request.headers());
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let most = api.limits.header_bytes;
    if uri_bytes(uri) as u64 > most {
        return Err(Problem::new(Code::UriTooLong, format!("the request line has more than {most} bytes")));
    }
    if bytes as u64 > most {
        return Err(Problem::new(Code::HeadersTooLarge, format!("the headers have more than {most} bytes")));
    }
    check_host(api, uri, headers)?;
    if !acceptable(uri.path(), headers) {
        return Err(Problem::new(Code::NotAcceptable, "this route answers with another media type than those accepted"));
    }
    if api.life.is_draining() && request.method() == Method::POST {
        return Err(Problem::new(Code::ShuttingDown, "the server is stopping"));
    }
    Ok(())
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
        assert!(acceptable("/metrics", &accept("text/plain;version=0.0.4")));
    }
}
