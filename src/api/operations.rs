//! What operators and readers ask: health, version, measures, limits, the documentation. Nothing here reads user data.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::error::{Problem, facts, slug};
use super::state::Api;
use super::wire::json::Object;
use super::wire::request::{Query, Segments};
use crate::fault::Code;

const OPENAPI_YAML: &str = include_str!("../../openapi.yaml");
const DOCS_HTML: &str = include_str!("docs/index.html");
const DOCS_JS: &str = include_str!("docs/docs.js");
const DOCS_CSS: &str = include_str!("docs/docs.css");
const PROBLEM_HTML: &str = include_str!("docs/problem.html");

/// Nothing is loaded from anywhere else, and nothing runs that did not come as a file of ours.
const PAGE_POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The OpenAPI document as JSON, converted once at start.
pub(crate) fn openapi_json() -> Bytes {
    let document: Value = serde_norway::from_str(OPENAPI_YAML).unwrap_or_default();
    document.to_string().into()
}

/// `GET /livez`: the process answers, and none of its loops dies again and again.
pub(crate) async fn livez(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.finish()?;
    let (status, word) = if api.life.is_well() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "failed") };
    Ok((status, Json(json!({ "status": word }))).into_response())
}

/// `GET /readyz`: whether work should be sent here.
pub(crate) async fn readyz(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.finish()?;
    let store = match api.store.ping().await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "the store is not ready");
            false
        }
    };
    let (workers, draining) = (api.life.workers_ok(), api.life.is_draining());
    let ready = store && workers && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = |ok: bool| if ok { "ok" } else { "failed" };
    let checks = json!({ "store": word(store), "workers": word(workers), "draining": draining });
    let body = json!({ "status": if ready { "ok" } else { "unavailable" }, "checks": checks });
    Ok((status, Json(body)).into_response())
}

/// `GET /version`.
pub(crate) async fn version(query: Query) -> Result<Response, Problem> {
    query.finish()?;
    let git = option_env!("SPARSEFIT_GIT");
    Ok(Json(json!({ "version": env!("CARGO_PKG_VERSION"), "git": git, "api": super::API_VERSION })).into_response())
}

/// `GET /metrics`, in the OpenMetrics text format.
pub(crate) async fn metrics(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.finish()?;
    api.measures.memory(api.limits.fit_memory_bytes, api.life.memory_granted.load(Ordering::Relaxed));
    let page = api.measures.page(api.figures().await?, &api.life.webhook_outcomes.counts());
    Ok(typed("application/openmetrics-text; version=1.0.0; charset=utf-8", page))
}

/// `GET /api/v1/limits`.
pub(crate) async fn limits(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.finish()?;
    Ok(Json(Object { object: "limits", thing: api.limits }).into_response())
}

/// `GET /openapi.json`.
pub(crate) async fn openapi(State(api): State<Api>, query: Query) -> Result<Response, Problem> {
    query.finish()?;
    Ok(typed("application/json", api.openapi.clone()))
}

/// `GET /docs`: a page that renders `/openapi.json`.
pub(crate) async fn docs(query: Query) -> Result<Response, Problem> {
    query.finish()?;
    Ok(page(DOCS_HTML.to_owned()))
}

/// `GET /docs/docs.js`.
pub(crate) async fn docs_script(query: Query) -> Result<Response, Problem> {
    query.finish()?;
    Ok(typed("text/javascript; charset=utf-8", DOCS_JS))
}

/// `GET /docs/docs.css`.
pub(crate) async fn docs_style(query: Query) -> Result<Response, Problem> {
    query.finish()?;
    Ok(typed("text/css; charset=utf-8", DOCS_CSS))
}

/// `GET /problems/{code}`: what a problem type means and what to do.
pub(crate) async fn problem_page(Segments(word): Segments<String>, query: Query) -> Result<Response, Problem> {
    query.finish()?;
    let code = Code::ALL.iter().copied().find(|code| slug(*code) == word).ok_or_else(|| Problem::not_found("problem type"))?;
    let facts = facts(code);
    let filled = PROBLEM_HTML
        .replace("{{code}}", code.as_str())
        .replace("{{title}}", facts.title)
        .replace("{{status}}", facts.status.as_str())
        .replace("{{advice}}", &facts.advice.replace('&', "&amp;").replace('<', "&lt;"));
    Ok(page(filled))
}

fn page(html: String) -> Response {
    let mut response = typed("text/html; charset=utf-8", html);
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    response
}

fn typed(media_type: &'static str, body: impl Into<axum::body::Body>) -> Response {
    let mut response = body.into().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
