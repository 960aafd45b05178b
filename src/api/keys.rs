//! Keys: made, listed, revoked. A key's text is in the one answer that makes it and nowhere else.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::error::Problem;
use super::state::Api;
use super::wire::body;
use super::wire::json::{Raw, raw, rfc3339};
use super::wire::page;
use super::wire::request::{Caller, Query, Segments};
use crate::access::{NewKey, Scope, Scopes};
use crate::fault::{Code, Fault};
use crate::id::{Id, Kind};
use crate::json;
use crate::spec::is_name;
use crate::store::{KeyRow, Revocation};

/// Values in the body of a wish for a key.
const NODES_MAX: usize = 64;

/// A key as clients see it.
#[derive(Serialize)]
struct KeyOut<'a> {
    object: &'static str,
    id: &'a str,
    project: &'a str,
    name: &'a str,
    scopes: Vec<&'static str>,
    status: &'static str,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

fn show(row: &KeyRow, now: i64, key: Option<&str>) -> Result<Raw, Problem> {
    let expired = row.expires_at.is_some_and(|end| end <= now);
    raw(&KeyOut {
        object: "key",
        id: row.id.as_str(),
        project: &row.project,
        name: &row.name,
        scopes: row.scopes.words(),
        status: if row.revoked_at.is_some() { "revoked" } else { ["active", "expired"][usize::from(expired)] },
        created_at: rfc3339(row.created_at),
        expires_at: row.expires_at.map(rfc3339),
        last_used_at: row.last_used_at.map(rfc3339),
        revoked_at: row.revoked_at.map(rfc3339),
        key,
    })
}

/// `POST /api/v1/keys`.
pub(crate) async fn create(State(api): State<Api>, caller: Caller, query: Query, request: Request) -> Result<Response, Problem> {
    query.finish()?;
    let (head, body) = request.into_parts();
    body::require_json(&head.headers)?;
    let body = body::whole(&head.headers, body, api.limits.json_bytes).await?;
    let new = parse(&json::document(&body, NODES_MAX)?, &caller)?;
    let (row, token) = api.store.add_key(new).await?;
    api.gate.forget().await;
    tracing::info!(key = %row.id, project = row.project, scopes = %row.scopes, by = caller.key_id(), "audit: key created");
    let shown = show(&row, row.created_at, Some(token.reveal()))?;
    let mut response = (StatusCode::CREATED, Json(shown)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/keys/{}", row.id)) {
        headers.insert(header::LOCATION, location);
    }
    Ok(response)
}

/// A key's maker gives away what it has: its own project. Only where nobody needs a key yet, any project may be named.
fn parse(document: &Value, caller: &Caller) -> Result<NewKey, Problem> {
    let wrong = |pointer: &str, detail: &str| Problem::from(Fault::at_pointer(Code::InvalidField, pointer, detail));
    let Some(fields) = document.as_object() else { return Err(wrong("#", "must be an object")) };
    if let Some(unknown) = fields.keys().find(|key| !["name", "project", "scopes", "expires_in_days"].contains(&key.as_str())) {
        let pointer = format!("#{}", json::segment(unknown));
        return Err(Fault::at_pointer(Code::UnknownField, pointer, "no such field").into());
    }
    let name = fields.get("name").and_then(Value::as_str).filter(|name| NewKey::is_label(name));
    let name = name.ok_or_else(|| wrong("#/name", "must be a text of 1 to 256 bytes without control characters"))?;
    let project = match fields.get("project") {
        None => caller.project(),
        Some(project) => project.as_str().filter(|name| is_name(name)).ok_or_else(|| wrong("#/project", "must be a name"))?,
    };
    if project != caller.project() && caller.has_key() {
        return Err(Problem::new(Code::Forbidden, "a key makes keys for its own project only"));
    }
    let scopes = fields.get("scopes").and_then(scopes).filter(|scopes| !scopes.is_empty());
    let scopes = scopes.ok_or_else(|| wrong("#/scopes", &format!("must be a list of {}", Scope::ALL.map(Scope::as_str).join(", "))))?;
    let days = |days: &Value| days.as_u64().and_then(|days| u32::try_from(days).ok()).filter(|days| (1..=NewKey::DAYS_MAX).contains(days));
    let expires_in_days = match fields.get("expires_in_days") {
        None | Some(Value::Null) => None,
        Some(value) => Some(days(value).ok_or_else(|| wrong("#/expires_in_days", "must be a whole number from 1 to 3650"))?),
    };
    Ok(NewKey { project: project.to_owned(), name: name.to_owned(), scopes, expires_in_days })
}

fn scopes(list: &Value) -> Option<Scopes> {
    list.as_array()?.iter().map(|word| Scope::parse(word.as_str()?)).collect()
}

/// `GET /api/v1/keys`: those of the caller's project, the revoked ones too.
pub(crate) async fn list(State(api): State<Api>, mut query: Query, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let list = api.list(&caller, "keys");
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let found = api.store.keys(caller.project(), window.row(Kind::Key)?.as_ref(), window.limit).await?;
    let now = api.ambient.now_micros();
    let data = found.items.iter().map(|row| show(row, now, None)).collect::<Result<_, _>>()?;
    Ok(page::list(&uri, data, found.next.map(|next| page::seal(&list, &page::row_position(&next)))))
}

/// `GET /api/v1/keys/{key}`.
pub(crate) async fn one(State(api): State<Api>, Segments(id): Segments<String>, query: Query, caller: Caller) -> Result<Response, Problem> {
    query.finish()?;
    let row = api.store.key(caller.project(), &key_id(&id)?).await?.ok_or_else(absent)?;
    Ok(Json(show(&row, api.ambient.now_micros(), None)?).into_response())
}

/// `DELETE /api/v1/keys/{key}`: worth nothing from now on. Its row stays in the list.
pub(crate) async fn revoke(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    query: Query,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    match api.store.revoke_key(Some(caller.project()), &key_id(&id)?).await? {
        Revocation::Absent => Err(absent()),
        Revocation::Done(row) => {
            api.gate.forget().await;
            tracing::info!(key = %row.id, project = row.project, by = caller.key_id(), "audit: key revoked");
            Ok(StatusCode::NO_CONTENT)
        }
    }
}

fn absent() -> Problem {
    Problem::not_found("key")
}

fn key_id(text: &str) -> Result<Id, Problem> {
    Id::parse(Kind::Key, text).ok_or_else(absent)
}
