//! Webhooks: endpoints, their secrets, and what became of each message. Whom a message may reach is `webhook/`'s to say.
//!
//! `{webhook}` is the id of an endpoint, or the word `jobs` for the hooks that jobs of the project name themselves.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use super::error::Problem;
use super::state::Api;
use super::wire::body;
use super::wire::json::{Raw, raw, rfc3339};
use super::wire::page;
use super::wire::request::{Caller, Query, Segments};
use crate::fault::{Code, Fault};
use crate::hook::{Event, Hook};
use crate::id::{Id, Kind};
use crate::spec;
use crate::store::{DeliveryRow, DeliveryState, NewHook, Resent, WebhookAdded, WebhookChange, WebhookRow};
use crate::webhook::{Secret, Target};

/// The word for the hooks that jobs name.
const JOBS: &str = "jobs";

/// An endpoint as clients see it; its secret only when it is new.
#[derive(Serialize)]
struct WebhookOut<'a> {
    object: &'static str,
    id: &'a Id,
    url: &'a str,
    events: Vec<&'static str>,
    description: &'a str,
    enabled: bool,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

#[derive(Serialize)]
struct SecretOut<'a> {
    object: &'static str,
    webhook: &'a str,
    secret: String,
}

/// A message as clients see it.
#[derive(Serialize)]
struct DeliveryOut<'a> {
    object: &'static str,
    id: &'a Id,
    webhook: &'a str,
    url: &'a str,
    event: &'static str,
    job: Option<&'a Id>,
    status: &'static str,
    attempts: i64,
    created_at: String,
    next_attempt_at: Option<String>,
    finished_at: Option<String>,
    last_status: Option<i64>,
    last_error: Option<&'a str>,
    message: Raw,
}

fn show(row: &WebhookRow, secret: Option<String>) -> Result<Raw, Problem> {
    raw(&WebhookOut {
        object: "webhook",
        id: &row.id,
        url: &row.url,
        events: row.events.iter().map(|event: &Event| event.as_str()).collect(),
        description: &row.description,
        enabled: row.enabled,
        created_at: rfc3339(row.created_at),
        secret,
    })
}

fn show_delivery(row: &DeliveryRow) -> Result<Raw, Problem> {
    raw(&DeliveryOut {
        object: "webhook_delivery",
        id: &row.id,
        webhook: row.endpoint.as_ref().map_or(JOBS, Id::as_str),
        url: &row.url,
        event: row.event.as_str(),
        job: row.job.as_ref(),
        status: row.state.as_str(),
        attempts: row.attempts,
        created_at: rfc3339(row.created_at),
        next_attempt_at: (row.state == DeliveryState::Pending).then(|| rfc3339(row.next_at)),
        finished_at: row.finished_at.map(rfc3339),
        last_status: row.last_status,
        last_error: row.last_error.as_deref(),
        message: Raw::from(RawValue::from_string(row.body.clone()).map_err(|error| Problem::internal(error.to_string()))?),
    })
}

fn absent() -> Problem {
    Problem::not_found("webhook")
}

fn endpoint(text: &str) -> Result<Id, Problem> {
    Id::parse(Kind::Webhook, text).ok_or_else(absent)
}

/// An endpoint; `None` for the hooks that jobs name.
fn holder(text: &str) -> Result<Option<Id>, Problem> {
    if text == JOBS { Ok(None) } else { endpoint(text).map(Some) }
}

/// Refuses an address that no message would be sent to.
fn judge(api: &Api, url: &str, pointer: &str) -> Result<(), Problem> {
    let judged = Target::parse(url).and_then(|target| api.life.webhooks.foresees(&target));
    judged.map_err(|what| Fault::at_pointer(Code::InvalidField, pointer, format!("the address is refused: {what}")).into())
}

/// The hook that a job names, judged, with a secret in case the project has none for such hooks.
pub(crate) fn of_job(api: &Api, hook: Option<Hook>) -> Result<Option<NewHook>, Problem> {
    let Some(hook) = hook else { return Ok(None) };
    judge(api, &hook.url, "#/webhook/url")?;
    Ok(Some(NewHook { hook, secret: Secret::new(&api.ambient).text() }))
}

/// `POST /api/v1/webhooks`.
pub(crate) async fn create(State(api): State<Api>, caller: Caller, query: Query, request: Request) -> Result<Response, Problem> {
    query.finish()?;
    let (head, body) = request.into_parts();
    body::require_json(&head.headers)?;
    let asked = spec::parse_endpoint(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
    judge(&api, &asked.hook.url, "#/url")?;
    let secret = Secret::new(&api.ambient).text();
    let row = match api.store.add_webhook(caller.project(), asked.hook, &asked.description, &secret).await? {
        WebhookAdded::Webhook(row) => row,
        WebhookAdded::Full(most) => return Err(Problem::new(Code::QuotaExceeded, format!("a project has at most {most} webhooks"))),
    };
    tracing::info!(webhook = %row.id, "webhook added");
    let mut response = (StatusCode::CREATED, Json(show(&row, Some(secret))?)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/webhooks/{}", row.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /api/v1/webhooks`.
pub(crate) async fn list(State(api): State<Api>, mut query: Query, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let list = api.list(&caller, "webhooks");
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let found = api.store.webhooks(caller.project(), window.row(Kind::Webhook)?.as_ref(), window.limit).await?;
    let data = found.items.iter().map(|row| show(row, None)).collect::<Result<Vec<_>, _>>()?;
    Ok(page::list(&uri, data, found.next.map(|next| page::seal(&list, &page::row_position(&next)))))
}

/// `GET /api/v1/webhooks/{webhook}`.
pub(crate) async fn one(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    query: Query,
    caller: Caller,
) -> Result<Json<Raw>, Problem> {
    query.finish()?;
    let row = api.store.webhook(caller.project(), &endpoint(&id)?).await?.ok_or_else(absent)?;
    Ok(Json(show(&row, None)?))
}

/// `PATCH /api/v1/webhooks/{webhook}`.
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Segments(id): Segments<String>,
    query: Query,
    request: Request,
) -> Result<Json<Raw>, Problem> {
    query.finish()?;
    let (head, body) = request.into_parts();
    let id = endpoint(&id)?;
    body::require_json(&head.headers)?;
    let asked = spec::parse_endpoint_change(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
    if let Some(url) = &asked.url {
        judge(&api, url, "#/url")?;
    }
    let spec::EndpointChange { url, events, description, enabled } = asked;
    let change = WebhookChange { url, events, description, enabled };
    let row = api.store.change_webhook(caller.project(), &id, change).await?.ok_or_else(absent)?;
    Ok(Json(show(&row, None)?))
}

/// `DELETE /api/v1/webhooks/{webhook}`.
pub(crate) async fn remove(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    query: Query,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    match api.store.delete_webhook(caller.project(), &endpoint(&id)?).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(absent()),
    }
}

/// `POST /api/v1/webhooks/{webhook}/rotate`.
pub(crate) async fn rotate(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    query: Query,
    caller: Caller,
) -> Result<Json<Raw>, Problem> {
    query.finish()?;
    let holder = holder(&id)?;
    let secret = Secret::new(&api.ambient).text();
    if !api.store.rotate_secret(caller.project(), holder.as_ref(), &secret).await? {
        return Err(absent());
    }
    tracing::info!(webhook = id, "webhook secret rotated");
    Ok(Json(raw(&SecretOut { object: "webhook_secret", webhook: &id, secret })?))
}

/// `GET /api/v1/webhooks/{webhook}/deliveries`.
pub(crate) async fn deliveries(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    mut query: Query,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let (project, holder) = (caller.project(), holder(&id)?);
    let list = api.list(&caller, &format!("webhooks/{id}/deliveries"));
    let state = query.take_as("status", "pending, delivered or failed", DeliveryState::parse)?;
    let job = query.take_as("job", "the id of a job", |text| Id::parse(Kind::Job, text))?;
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    if let Some(endpoint) = &holder {
        api.store.webhook(project, endpoint).await?.ok_or_else(absent)?;
    }
    let after = window.row(Kind::Message)?;
    let found = api.store.deliveries(project, holder.as_ref(), state, job.as_ref(), after.as_ref(), window.limit).await?;
    let data = found.items.iter().map(show_delivery).collect::<Result<Vec<_>, _>>()?;
    Ok(page::list(&uri, data, found.next.map(|next| page::seal(&list, &page::row_position(&next)))))
}

/// `POST /api/v1/webhooks/{webhook}/deliveries/{delivery}/resend`.
pub(crate) async fn resend(
    State(api): State<Api>,
    Segments((id, delivery)): Segments<(String, String)>,
    query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    query.finish()?;
    let no_delivery = || Problem::not_found("delivery");
    let (holder, delivery) = (holder(&id)?, Id::parse(Kind::Message, &delivery).ok_or_else(no_delivery)?);
    match api.store.resend_delivery(caller.project(), holder.as_ref(), &delivery).await? {
        Resent::Pending(row) => Ok((StatusCode::ACCEPTED, Json(show_delivery(&row)?)).into_response()),
        Resent::Disabled => Err(Problem::new(Code::Conflict, "the webhook is disabled; enable it first")),
        Resent::Absent => Err(no_delivery()),
    }
}
