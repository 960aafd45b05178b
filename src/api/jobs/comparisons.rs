//! Comparisons: models side by side. One is made by a job, and is what that job has left; read here under the job's id.

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde::Serialize;

use super::submissions::{known, named, submit_as};
use super::{job_id, status_word};
use crate::api::door::Origin;
use crate::api::error::Problem;
use crate::api::models::plots;
use crate::api::models::report_pictures;
use crate::api::models::reproduce;
use crate::api::state::Api;
use crate::api::wire::json::{Raw, raw, rfc3339, tagged};
use crate::api::wire::negotiate;
use crate::api::wire::page;
use crate::api::wire::request::{Caller, Query, Segments};
use crate::fault::Code;
use crate::id::Kind;
use crate::job::{DatasetRef, Job, JobKind, Status, Warning};
use crate::model::{Comparison, Recommendation};
use crate::report::{self, ComparisonReport};
use crate::spec::{CompareSpec, Measure, Work};
use crate::store::{DatasetRow, JobFilter};

/// Where submissions keep their answers.
const SUBMIT: &str = "POST /api/v1/comparisons";

/// A comparison as clients see it.
#[derive(Serialize)]
struct ComparisonOut<'a> {
    object: &'static str,
    job: &'a str,
    created_at: String,
    finished_at: Option<String>,
    #[serde(flatten)]
    comparison: &'a Comparison,
    warnings: &'a [Warning],
}

/// One row of the list.
#[derive(Serialize)]
struct SummaryOut<'a> {
    object: &'static str,
    job: &'a str,
    created_at: String,
    dataset: &'a DatasetRef,
    score_name: &'a str,
    models: Vec<&'a str>,
    recommendation: &'a Option<Recommendation>,
    href: String,
}

pub(crate) fn href(job: &Job) -> String {
    format!("/api/v1/comparisons/{}", job.id)
}

/// `POST /api/v1/comparisons`: a job of this type, as `POST /api/v1/jobs` takes it.
pub(crate) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    Extension(origin): Extension<Origin>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    submit_as(&api, &caller, origin, query, request, (Some(JobKind::Compare), SUBMIT)).await
}

/// Which model versions are meant, and how those were fitted that are fitted anew.
pub(crate) async fn resolve(api: &Api, project: &str, asked: &CompareSpec, dataset: &DatasetRow) -> Result<Work, Problem> {
    let mut rows = Vec::with_capacity(asked.models.len());
    for (at, model) in asked.models.iter().enumerate() {
        rows.push(named(api, project, model, &format!("#/spec/models/{at}")).await?);
    }
    let references: Vec<String> = rows.iter().map(|row| row.reference()).collect();
    let classes: Vec<_> = rows.iter().map(|row| row.card.classes()).collect();
    let all = rows.iter().zip(&references).zip(&classes);
    let models: Vec<_> = all.map(|((row, reference), classes)| known(row, reference, classes.as_deref())).collect();
    let mut resolved = asked.resolve(&models, &dataset.meta)?;
    for (row, reference) in rows.iter().zip(references) {
        let dense = row.card.linear().is_some_and(|card| card.l1_ratio != 0.0);
        let taught = row.card.distilled().is_some();
        let anew = !taught && ((asked.twin && dense) || (resolved.measures(Measure::Stability) && row.card.linear().is_some()));
        // what is gone is said in the result
        if anew
            && let Some(fit) = reproduce::fit_of(api, row).await?
            && let Some(origin) = api.store.dataset(project, &row.dataset.name, Some(row.dataset.version)).await?
        {
            resolved.fit_anew(reference, row.dataset.clone(), fit, (&origin.meta, api.limits.fit_threads), dense);
        }
    }
    Ok(Work::Compare(Box::new(resolved)))
}

/// What a job has left, if it was a comparison and has succeeded.
pub(crate) fn left(job: &Job) -> Option<Comparison> {
    let result = job.result.as_ref().filter(|_| job.kind == JobKind::Compare)?;
    serde_json::from_value(result.clone()).ok()
}

/// The comparison of a job.
pub(crate) async fn found(api: &Api, project: &str, id: &str) -> Result<(Job, Comparison), Problem> {
    let absent = || Problem::not_found("comparison");
    let id = job_id(id).map_err(|_| absent())?;
    let job = api.store.job(project, &id).await?.ok_or_else(absent)?;
    if job.kind != JobKind::Compare {
        return Err(Problem::new(Code::NoComparison, format!("a job of type {} leaves no comparison", job.kind.as_str())));
    }
    if job.status != Status::Succeeded {
        let detail = format!("there is no comparison: its job is {}", status_word(&job));
        return Err(Problem::new(Code::Conflict, detail));
    }
    let comparison = left(&job).ok_or_else(|| Problem::internal(format!("{}: the comparison is not understood", job.id)))?;
    Ok((job, comparison))
}

fn show(job: &Job, comparison: &Comparison) -> Result<Raw, Problem> {
    raw(&ComparisonOut {
        object: "comparison",
        job: job.id.as_str(),
        created_at: rfc3339(job.created_at),
        finished_at: job.finished_at.map(rfc3339),
        comparison,
        warnings: &job.warnings,
    })
}

/// `GET /api/v1/comparisons/{job}?format=`.
pub(crate) async fn one(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    mut query: Query,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Response, Problem> {
    let wants_page = negotiate::wants_page(&mut query, &headers)?;
    query.finish()?;
    let (job, comparison) = found(&api, caller.project(), &id).await?;
    if wants_page {
        let (id, finished_at) = (job.id.to_string(), job.finished_at.map(rfc3339).unwrap_or_default());
        let report = ComparisonReport { job: id, finished_at, comparison: &comparison, warnings: &job.warnings };
        return Ok(negotiate::page(report::comparison_page(&report, &report_pictures::of_comparison(&comparison))));
    }
    Ok(negotiate::varies(tagged(&format!("{}-comparison", job.id), &show(&job, &comparison)?)))
}

/// `GET /api/v1/comparisons/{job}/plots/comparison.svg?width=&height=&theme=`.
pub(crate) async fn picture(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    mut query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    let (job, comparison) = found(&api, caller.project(), &id).await?;
    let look = plots::look_of(&mut query, |_| report_pictures::height(&comparison))?;
    query.finish()?;
    let none = || Problem::new(Code::NoPlot, "no score was measured, and a comparison is drawn by its scores");
    let picture = report_pictures::compared(&comparison).ok_or_else(none)?;
    Ok(plots::answer(&job.id, "comparison", look, picture.draw(look)))
}

/// `GET /api/v1/comparisons`: those that succeeded, newest first, without their rows.
pub(crate) async fn list(State(api): State<Api>, mut query: Query, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let list = api.list(&caller, "comparisons");
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let found = api.store.jobs(caller.project(), &succeeded(), window.row(Kind::Job)?.as_ref(), window.limit).await?;
    let summary = |job: &Job| {
        let comparison = left(job).ok_or_else(|| Problem::internal(format!("{}: the comparison is not understood", job.id)))?;
        raw(&SummaryOut {
            object: "comparison_summary",
            job: job.id.as_str(),
            created_at: rfc3339(job.created_at),
            dataset: &comparison.dataset,
            score_name: &comparison.score_name,
            models: comparison.data.iter().filter(|row| !row.twin).map(|row| &*row.reference).collect(),
            recommendation: &comparison.recommendation,
            href: href(job),
        })
    };
    let data = found.items.iter().map(summary).collect::<Result<_, _>>()?;
    Ok(page::list(&uri, data, found.next.map(|next| page::seal(&list, &page::row_position(&next)))))
}

pub(crate) fn succeeded() -> JobFilter {
    JobFilter { kind: Some(JobKind::Compare), status: Some(Status::Succeeded), ..JobFilter::default() }
}
