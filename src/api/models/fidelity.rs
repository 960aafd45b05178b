//! How well a model does what its teacher does, of one that was distilled: read from the job that did it, as times are no part of a model.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::Place;
use crate::api::error::Problem;
use crate::api::jobs::distillations;
use crate::api::state::Api;
use crate::api::wire::json::tagged;
use crate::api::wire::request::{Caller, Query, Segments};
use crate::fault::Code;
use crate::job::{DatasetRef, Warning};
use crate::model::{Distilled, Fidelity};
use crate::spec::version_number;
use crate::store::ModelRow;

#[derive(Serialize)]
struct FidelityOut<'a> {
    object: &'static str,
    #[serde(rename = "ref")]
    reference: String,
    job: &'a str,
    dataset: &'a DatasetRef,
    distilled: &'a Distilled,
    #[serde(flatten)]
    fidelity: &'a Fidelity,
    warnings: &'a [Warning],
}

/// What was measured of a model beside its teacher, under the name it was given since, and of what to beware; `None` of a model that was not
/// distilled, and where its job has been deleted.
pub(crate) async fn of(api: &Api, row: &ModelRow) -> Result<Option<(Fidelity, Vec<Warning>)>, Problem> {
    if row.card.distilled().is_none() {
        return Ok(None);
    }
    let Some(job) = api.store.job(&row.project, &row.job).await? else { return Ok(None) };
    let mut fidelity = distillations::left(&job).ok_or_else(|| Problem::internal(format!("{}: the fidelity is not understood", job.id)))?;
    fidelity.student.reference = Some(row.reference());
    Ok(Some((fidelity, job.warnings)))
}

/// `GET …/versions/{version}/fidelity`.
pub(crate) async fn fidelity(
    State(api): State<Api>,
    Segments((name, number)): Place,
    query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    query.finish()?;
    let number = version_number(&number).ok_or_else(super::absent)?;
    let row = api.store.model(caller.project(), &name, Some(number)).await?.ok_or_else(super::absent)?;
    let none = || Problem::new(Code::NoFidelity, format!("a {} model that nobody taught has no teacher to be like", row.card.kind()));
    let distilled = row.card.distilled().ok_or_else(none)?;
    let gone = || Problem::new(Code::NoFidelity, "the job that distilled the model has been deleted, and what it measured with it");
    let (fidelity, warnings) = of(&api, &row).await?.ok_or_else(gone)?;
    let body = FidelityOut {
        object: "fidelity",
        reference: row.reference(),
        job: row.job.as_str(),
        dataset: &row.dataset,
        distilled,
        fidelity: &fidelity,
        warnings: &warnings,
    };
    Ok(tagged(&format!("{}-fidelity", row.id), &body))
}

/// That a model was distilled, where something asks for the rows it learnt from.
pub(crate) fn check_kept(row: &ModelRow, what: &str) -> Result<(), Problem> {
    match row.card.distilled() {
        None => Ok(()),
        Some(_) => {
            let detail =
                format!("the model was distilled: the rows it learnt from were made within its job and are not kept, so that {what}");
            Err(Problem::new(Code::Conflict, detail))
        }
    }
}
