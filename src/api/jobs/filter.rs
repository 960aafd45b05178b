//! Which jobs are meant: the filters of the list, and the two actions on all jobs of a filter.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::body;
use crate::api::wire::json::micros;
use crate::api::wire::request::{Caller, Query};
use crate::fault::Code;
use crate::job::{JobKind, Status};
use crate::spec::is_name;
use crate::store::{Bulk, JobFilter};

/// What became of an action on many jobs.
#[derive(Serialize)]
struct BulkOut {
    object: &'static str,
    matched: u64,
    affected: u64,
}

impl From<Bulk> for BulkOut {
    fn from(Bulk { matched, affected }: Bulk) -> Self {
        Self { object: "bulk_result", matched, affected }
    }
}

/// Takes the filters from a query.
pub(crate) fn take(query: &mut Query) -> Result<JobFilter, Problem> {
    let name = |text: &str| is_name(text).then(|| text.to_owned());
    let words = "queued, running, cancelling, succeeded, failed or cancelled";
    let (status, cancelling) = query.take_as("status", words, status)?.unwrap_or((None, None));
    let time = "a time, as 2026-11-23T10:00:00Z";
    Ok(JobFilter {
        status,
        cancelling,
        kind: query.take_as("type", "fit, evaluate, prune or compare", JobKind::parse)?,
        dataset: query.take_as("dataset", "the name of a data set", name)?,
        model: query.take_as("model", "the name of a model", name)?,
        created_after: query.take_as("created_after", time, micros)?,
        created_before: query.take_as("created_before", time, micros)?,
        metadata: query.take_all("metadata.").into_iter().collect::<BTreeMap<_, _>>(),
    })
}

/// A word of JSON as a filter on rows: `running` shows those without a request to cancel, `cancelling` those with one.
fn status(word: &str) -> Option<(Option<Status>, Option<bool>)> {
    match word {
        "cancelling" => Some((Some(Status::Running), Some(true))),
        "running" => Some((Some(Status::Running), Some(false))),
        other => Status::parse(other).map(|status| (Some(status), None)),
    }
}

/// A filter that means some jobs and not simply all.
fn take_some(mut query: Query) -> Result<JobFilter, Problem> {
    let filter = take(&mut query)?;
    query.finish()?;
    if filter == JobFilter::default() {
        return Err(Problem::new(
            Code::MissingFilter,
            "say which jobs are meant: status, type, dataset, model, created_after, created_before, metadata.*",
        ));
    }
    Ok(filter)
}

/// `POST /api/v1/jobs/cancel?…`.
pub(crate) async fn cancel(State(api): State<Api>, caller: Caller, query: Query, request: Request) -> Result<Response, Problem> {
    let filter = take_some(query)?;
    let (head, body) = request.into_parts();
    body::check_empty(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
    let bulk = api.store.cancel_jobs(caller.project(), &filter).await?;
    tracing::info!(project = caller.project(), matched = bulk.matched, affected = bulk.affected, "cancel of many asked");
    Ok((StatusCode::ACCEPTED, Json(BulkOut::from(bulk))).into_response())
}

/// `DELETE /api/v1/jobs?…`: those that have ended.
pub(crate) async fn remove(State(api): State<Api>, caller: Caller, query: Query) -> Result<Response, Problem> {
    let filter = take_some(query)?;
    let bulk = api.store.delete_jobs(caller.project(), &filter).await?;
    tracing::info!(project = caller.project(), matched = bulk.matched, affected = bulk.affected, "many jobs deleted");
    Ok(Json(BulkOut::from(bulk)).into_response())
}
