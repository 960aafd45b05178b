//! Models: lists, one version, and most of what can be read of it. Everything comes from the model held in memory; nothing of
//! the length of the feature space is ever made.

pub(super) mod aliases;
pub(super) mod cache;
pub(super) mod coefficients;
pub(super) mod ensembles;
pub(super) mod fidelity;
pub(super) mod held_out;
pub(super) mod networks;
pub(super) mod plots;
pub(super) mod predictions;
pub(super) mod promotions;
pub(super) mod report_pictures;
pub(super) mod reports;
pub(super) mod reproduce;
pub(super) mod rules;
pub(super) mod stability;
pub(super) mod trees;

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::json::{Object, Raw, raw, rfc3339, tagged};
use crate::api::wire::page;
use crate::api::wire::request::{Caller, Query, Segments, bad_parameter};
use crate::dataset::Class;
use crate::fault::Code;
use crate::id::Kind;
use crate::job::{DatasetRef, Warning};
use crate::model::{Card, Certificate, Distilled, LinearCard, LinearModel, Model, PathCoefficients, PathRow, Sparsity};
use crate::spec::{Pick, version_number};
use crate::store::{Deletion, ModelRow};
use cache::Served;

const BINS_DEFAULT: u64 = 30;
const BINS_MAX: u64 = 1000;

pub(crate) fn href(row: &ModelRow) -> String {
    format!("/api/v1/models/{}/versions/{}", row.name, row.version)
}

/// A model version as clients see it: its place in the store, and its card.
#[derive(Serialize)]
struct ModelOut<'a, C> {
    object: &'static str,
    model: &'a str,
    version: i64,
    id: &'a str,
    aliases: &'a [String],
    kind: &'a str,
    created_at: String,
    job: &'a str,
    dataset: &'a DatasetRef,
    #[serde(flatten)]
    card: C,
    #[serde(skip_serializing_if = "Option::is_none")]
    distilled: Option<&'a Distilled>,
    size_bytes: u64,
    etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<&'a [i64]>,
}

/// What is told of a linear model.
#[derive(Serialize)]
struct LinearOut<'a> {
    loss: &'a str,
    classes: &'a Option<Vec<Option<Class>>>,
    engine: &'a Value,
    objective: &'a str,
    lambda: f64,
    lambda_max: f64,
    l1_ratio: f64,
    /// `null` where there are `intercepts`.
    intercept: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    intercepts: Option<&'a [f64]>,
    bracket: Option<[f64; 2]>,
    equivalents: &'a Value,
    sparsity: SparsityOut<'a>,
    metrics: &'a Value,
    selection: &'a Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    adaptive: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refit: Option<&'a Value>,
    certificate: &'a Certificate,
    warnings: &'a [Warning],
    #[serde(skip_serializing_if = "Option::is_none")]
    promoted_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_from: Option<&'a str>,
}

#[derive(Serialize)]
struct SparsityOut<'a> {
    /// Non-zeros.
    size: u64,
    #[serde(flatten)]
    measures: Cow<'a, Sparsity>,
    histogram_href: String,
}

/// Names a version as it is shown: the version never changes, and the aliases that point at it do.
fn tag(row: &ModelRow) -> String {
    if row.aliases.is_empty() {
        return row.id.to_string();
    }
    let names = Sha256::digest(row.aliases.join(" "));
    names[..8].iter().fold(format!("{}-", row.id), |tag, byte| format!("{tag}{byte:02x}"))
}

pub(crate) fn show(row: &ModelRow, versions: Option<&[i64]>) -> Result<Raw, Problem> {
    match &*row.card {
        Card::Linear(card) => written(row, versions, linear_out(row, card)),
        Card::Tree(card) => written(row, versions, trees::card(card)),
        Card::Rules(card) => written(row, versions, rules::card(card)),
        Card::Network(card) => written(row, versions, networks::card(card)),
        Card::Ensemble(card) => written(row, versions, ensembles::card(card)),
    }
}

fn written(row: &ModelRow, versions: Option<&[i64]>, card: impl Serialize) -> Result<Raw, Problem> {
    raw(&ModelOut {
        object: "model_version",
        model: &row.name,
        version: row.version,
        id: row.id.as_str(),
        aliases: &row.aliases,
        kind: row.card.kind(),
        created_at: rfc3339(row.created_at),
        job: row.job.as_str(),
        dataset: &row.dataset,
        card,
        distilled: row.card.distilled(),
        size_bytes: row.size_bytes,
        etag: format!("\"{}\"", tag(row)),
        versions,
    })
}

fn linear_out<'c>(row: &ModelRow, card: &'c LinearCard) -> LinearOut<'c> {
    let histogram_href = format!("{}/histogram?bins=30", href(row));
    let mut measures = Cow::Borrowed(&card.sparsity);
    if measures.hoyer.is_none() {
        measures.to_mut().hoyer = card.sparsity.hoyer(card.n_outputs());
    }
    LinearOut {
        loss: &card.loss,
        classes: &card.classes,
        engine: &card.engine,
        objective: &card.objective,
        lambda: card.lambda,
        lambda_max: card.lambda_max,
        l1_ratio: card.l1_ratio,
        intercept: (!card.is_multinomial()).then_some(card.intercept),
        intercepts: card.intercepts.as_deref(),
        bracket: card.bracket,
        equivalents: &card.equivalents,
        sparsity: SparsityOut { size: card.sparsity.nonzeros, measures, histogram_href },
        metrics: &card.metrics,
        selection: &card.selection,
        adaptive: card.adaptive.as_ref(),
        refit: card.refit.as_ref(),
        certificate: &card.certificate,
        warnings: &card.warnings,
        promoted_from: card.promoted_from.as_deref(),
        started_from: card.started_from.as_deref(),
    }
}

/// `GET /api/v1/models`: the latest version of each name.
pub(crate) async fn list(State(api): State<Api>, mut query: Query, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    let project = caller.project();
    let list = api.list(&caller, "models");
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let found = api.store.models(project, window.row(Kind::Model)?.as_ref(), window.limit).await?;
    let data = found.items.iter().map(|row| show(row, None)).collect::<Result<_, _>>()?;
    Ok(page::list(&uri, data, found.next.map(|next| page::seal(&list, &page::row_position(&next)))))
}

/// `GET /api/v1/models/{model}`: the latest version, and the numbers of all.
pub(crate) async fn latest(
    State(api): State<Api>,
    Segments(name): Segments<String>,
    query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    query.finish()?;
    let project = caller.project();
    let row = api.store.model(project, &name, None).await?.ok_or_else(|| Problem::not_found("model"))?;
    let row = measured(&api, row).await;
    let versions = api.store.model_versions(project, &name).await?;
    // beneath one latest version the others can only become fewer: their number names them
    Ok(tagged(&format!("{}-{}", tag(&row), versions.len()), &show(&row, Some(&versions))?))
}

/// The row of a model made before there was a Gini index, with what its coefficients say of it; as it is, where they cannot be read.
async fn measured(api: &Api, mut row: ModelRow) -> ModelRow {
    let lacks = |card: &LinearCard| card.sparsity.lacks_indices(card.n_outputs());
    if !row.card.linear().is_some_and(lacks) {
        return row;
    }
    let served = api.models.get(&api.store, &row.project, &row.name, &Pick::Version(row.version)).await;
    if let Ok(Some(served)) = served
        && served.row.id == row.id
    {
        row.card = Arc::new(served.predictor.model().card());
    }
    row
}

/// Path of a model version.
pub(crate) type Place = Segments<(String, String)>;

pub(crate) fn absent() -> Problem {
    Problem::not_found("model version")
}

/// `GET …/versions/{version}`.
pub(crate) async fn version(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    query.finish()?;
    let number = version_number(&path.1).ok_or_else(absent)?;
    let row = api.store.model(caller.project(), &path.0, Some(number)).await?.ok_or_else(absent)?;
    let row = measured(&api, row).await;
    Ok(tagged(&tag(&row), &show(&row, None)?))
}

/// `DELETE …/versions/{version}`.
pub(crate) async fn remove(
    State(api): State<Api>,
    Segments((name, number)): Place,
    query: Query,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    let number = version_number(&number).ok_or_else(absent)?;
    match api.store.delete_model(caller.project(), &name, number).await? {
        Deletion::Done => Ok(StatusCode::NO_CONTENT),
        Deletion::Absent => Err(absent()),
        Deletion::InUse => Err(Problem::new(Code::Conflict, "an alias points at this version; move or delete it first")),
    }
}

pub(crate) async fn served(api: &Api, caller: &Caller, (name, number): &(String, String)) -> Result<Arc<Served>, Problem> {
    let number = version_number(number).ok_or_else(absent)?;
    api.models.get(&api.store, caller.project(), name, &Pick::Version(number)).await?.ok_or_else(absent)
}

/// The coefficients of a version, or that it has no `what` for want of them.
pub(crate) fn linear<'s>(served: &'s Served, what: &str) -> Result<&'s LinearModel, Problem> {
    let none = || Problem::new(Code::NoCoefficients, format!("{} has no {what}", served.row.card.noun()));
    served.predictor.model().linear().ok_or_else(none)
}

#[derive(Serialize)]
struct PathOut<'a> {
    object: &'static str,
    selected: Option<u64>,
    data: &'a [PathRow],
    #[serde(skip_serializing_if = "Option::is_none")]
    coefficients: Option<PathCoefficients>,
}

/// `GET …/path?coefficients=`.
pub(crate) async fn path(State(api): State<Api>, Segments(path): Place, mut query: Query, caller: Caller) -> Result<Response, Problem> {
    let wanted = query.take_as("coefficients", "true or false", |word| word.parse::<bool>().ok())?.unwrap_or(false);
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    if let Model::Tree(tree) = &**served.predictor.model() {
        if wanted {
            return Err(bad_parameter("coefficients", "conflict", "the path of a tree has prunings, and no coefficients"));
        }
        return trees::path(&api, &served, tree).await;
    }
    if served.predictor.model().network().is_some() {
        if wanted {
            return Err(bad_parameter("coefficients", "conflict", "the path of a network has prunings, and no coefficients"));
        }
        return networks::path(&api, &served).await;
    }
    if served.predictor.model().ensemble().is_some() {
        return Err(Problem::new(Code::NoPath, "an ensemble is chosen from its own rounds, which its `selection` tells"));
    }
    if wanted && served.predictor.model().rules().is_some() {
        return Err(bad_parameter("coefficients", "conflict", "the coefficients of a path over rules are not kept"));
    }
    let coefficients = if wanted {
        let kept = promotions::kept(&api, &served.row).await?;
        Some(kept.linear().ok_or_else(absent)?.coefficients())
    } else {
        None
    };
    let (rows, lambda) = match served.predictor.model().rules() {
        Some(model) => (&model.path, model.card.lambda),
        None => linear(&served, "path of coefficients").map(|model| (&model.path, model.card.lambda))?,
    };
    let selected = rows.iter().find(|row| row.lambda == lambda).map(|row| row.index);
    let body = PathOut { object: "path", selected, data: rows, coefficients };
    let what = if wanted { "path-coefficients" } else { "path" };
    Ok(tagged(&format!("{}-{what}", served.row.id), &body))
}

/// `GET …/histogram?bins=&scale=`.
pub(crate) async fn histogram(
    State(api): State<Api>,
    Segments(path): Place,
    mut query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    let bins = |text: &str| text.parse::<u64>().ok().filter(|bins| (1..=BINS_MAX).contains(bins));
    let bins = query.take_as("bins", "a whole number from 1 to 1000", bins)?.unwrap_or(BINS_DEFAULT);
    let log = plots::take_scale(&mut query)?;
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let (model, n_bins) = (linear(&served, "histogram of coefficients")?, usize::try_from(bins).unwrap_or(1));
    if log {
        let thing = model.log_histogram(n_bins);
        return Ok(tagged(&format!("{}-histogram-{bins}-log", served.row.id), &Object { object: "histogram", thing }));
    }
    let histogram = model.histogram(n_bins);
    Ok(tagged(&format!("{}-histogram-{bins}", served.row.id), &Object { object: "histogram", thing: histogram }))
}

/// `GET …/certificate`.
pub(crate) async fn certificate(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let tag = format!("{}-certificate", served.row.id);
    Ok(match &**served.predictor.model() {
        Model::Linear(model) => tagged(&tag, &Object { object: "certificate", thing: &model.card.certificate }),
        Model::Rules(model) => tagged(&tag, &Object { object: "certificate", thing: &model.card.certificate }),
        Model::Tree(_) | Model::Network(_) | Model::Ensemble(_) => {
            tagged(&tag, &Object { object: "certificate", thing: trees::NOT_APPLICABLE })
        }
    })
}
