//! What can be read of the rows held out: deviances, and which rows they were.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::cache::Served;
use super::fidelity;
use super::trees;
use super::{Place, href, served};
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::json::tagged;
use crate::api::wire::request::{Caller, Query, Segments, bad_parameter};
use crate::dataset::{Class, Dataset};
use crate::fault::Code;
use crate::model::{Card, Cv, CvRow, Model, TreeCv};
use crate::spec::{Selection, Splits};

fn cv_of(served: &Served) -> Result<&Cv, Problem> {
    let absent = || Problem::new(Code::NoCv, "the model was not chosen on rows held out");
    let cv = match &**served.predictor.model() {
        Model::Linear(model) => model.cv.as_ref(),
        Model::Rules(model) => model.cv.as_ref(),
        Model::Tree(_) | Model::Network(_) | Model::Ensemble(_) => None,
    };
    cv.ok_or_else(absent)
}

#[derive(Serialize)]
struct CvOut<'a> {
    object: &'static str,
    method: &'a str,
    metric: &'a str,
    folds: u64,
    repeats: u64,
    seed: u64,
    stratify: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    index_min: u64,
    index_1se: u64,
    data: &'a [CvRow],
    fold_of_row_href: String,
}

/// `GET …/cv`.
pub(crate) async fn cv(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    if served.predictor.model().tree().is_some() {
        return trees::cv(&api, &served).await;
    }
    let cv = cv_of(&served)?;
    let body = CvOut {
        object: "cv",
        method: &cv.method,
        metric: &cv.metric,
        folds: cv.folds,
        repeats: cv.repeats,
        seed: cv.seed,
        stratify: cv.stratify,
        fraction: cv.fraction,
        index_min: cv.index_min,
        index_1se: cv.index_1se,
        data: &cv.rows,
        fold_of_row_href: format!("{}/cv/folds", href(&served.row)),
    };
    Ok(tagged(&format!("{}-cv", served.row.id), &body))
}

#[derive(Serialize)]
struct FoldsOut {
    object: &'static str,
    method: String,
    folds: u64,
    repeats: u64,
    repeat: u64,
    seed: u64,
    stratify: bool,
    data: Vec<i32>,
}

/// How rows were held out, whatever kind of model chose by it.
struct Held {
    method: String,
    folds: u64,
    repeats: u64,
    seed: u64,
    stratify: bool,
    fraction: Option<f64>,
    assigned: bool,
}

async fn held(api: &Api, served: &Served) -> Result<Held, Problem> {
    if served.predictor.model().tree().is_some() {
        let TreeCv { folds, seed, stratify, .. } = trees::held_out(api, served).await?;
        return Ok(Held { method: "cv".into(), folds, repeats: 1, seed, stratify, fraction: None, assigned: false });
    }
    let Cv { method, folds, repeats, seed, stratify, fraction, assigned, .. } = cv_of(served)?.clone();
    Ok(Held { method, folds, repeats, seed, stratify, fraction, assigned })
}

/// `GET …/cv/folds?repeat=`: the fold of each row in one repeat. Not stored: folds are a pure function of the data set's
/// target and the specification, so they are computed again; groups and folds that the client gave are read from the job.
pub(crate) async fn folds(State(api): State<Api>, Segments(path): Place, mut query: Query, caller: Caller) -> Result<Response, Problem> {
    let repeat = query.take_as("repeat", "a whole number, at least 0", |text| text.parse::<u64>().ok())?.unwrap_or(0);
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let cv = held(&api, &served).await?;
    fidelity::check_kept(&served.row, "there is no fold to tell of them")?;
    if repeat >= cv.repeats {
        return Err(bad_parameter("repeat", "out_of_range", format!("must be below the number of repeats, {}", cv.repeats)));
    }
    let selection = if cv.assigned { Some(selection_of(&api, &served).await?) } else { None };
    let of = &served.row.dataset;
    let row = api.store.dataset(&served.row.project, &of.name, Some(of.version)).await?;
    let row = row.ok_or_else(|| Problem::new(Code::NotFound, "the data set version the model was fitted on has been deleted"))?;
    let dataset = api.store.open_dataset(&row).await?;
    let classes = served.row.card.classes();
    let of_classes = match &*served.row.card {
        Card::Linear(card) => card.is_multinomial(),
        Card::Tree(_) => classes.is_some(),
        Card::Rules(_) | Card::Network(_) | Card::Ensemble(_) => false,
    };
    let positive = classes.and_then(|classes| classes.last().cloned().flatten());
    let plain = Splits::plain(cv.folds, cv.stratify, cv.seed).again(cv.repeats, cv.fraction);
    let fold_of_row = tokio::task::spawn_blocking(move || {
        // what the loss saw: the classes, or the sides of one
        let strata = if of_classes { Some(dataset.y.to_vec()) } else { positive.map(|positive| sides(&dataset, &positive)) };
        let splits = selection.as_ref().and_then(Selection::splits).unwrap_or(plain);
        splits.fold_of_row(dataset.y.len(), strata.as_deref(), repeat)
    });
    let data = fold_of_row.await.map_err(|error| Problem::internal(format!("folds: {error}")))?;
    let Held { method, folds, repeats, seed, stratify, .. } = cv;
    let body = FoldsOut { object: "folds", method, folds, repeats, repeat, seed, stratify, data };
    Ok(tagged(&format!("{}-folds-{repeat}", served.row.id), &body))
}

/// How the model's job was told to select.
async fn selection_of(api: &Api, served: &Served) -> Result<Selection, Problem> {
    let gone = || Problem::new(Code::NotFound, "the job whose specification assigns the rows has been deleted");
    let job = api.store.job(&served.row.project, &served.row.job).await?.ok_or_else(gone)?;
    let wrong = |error: serde_json::Error| Problem::internal(format!("specification: {error}"));
    serde_json::from_value(job.spec_resolved["selection"].clone()).map_err(wrong)
}

/// The side of each row that the loss saw: +1 for the positive class, −1 for all others.
fn sides(dataset: &Dataset, positive: &Class) -> Vec<f64> {
    let wanted = match (&dataset.meta.target.classes, positive) {
        (Some(classes), positive) => classes.iter().position(|class| class == positive).map(|position| position as f64),
        (None, Class::Number(number)) => Some(*number),
        (None, Class::Text(_)) => None,
    };
    dataset.y.iter().map(|y| if Some(*y) == wanted { 1.0 } else { -1.0 }).collect()
}
