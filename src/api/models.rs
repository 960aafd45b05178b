//! Models: lists, one version, and what can be read of it. Everything comes from the model held in memory; nothing of
//! the length of the feature space is ever made.

use std::cmp::Ordering;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::cache::Served;
use super::error::Problem;
use super::json::{Object, Raw, raw, rfc3339, tagged};
use super::page;
use super::promotions;
use super::request::{Caller, Query, Segments, bad_parameter};
use super::state::Api;
use crate::dataset::Class;
use crate::fault::Code;
use crate::id::Kind;
use crate::job::{DatasetRef, Warning};
use crate::model::{Certificate, Model, PathCoefficients, PathRow, Sparsity};
use crate::spec::{ModelRef, Pick, version_number};
use crate::store::{Deletion, ModelRow};

const BINS_DEFAULT: u64 = 30;
const BINS_MAX: u64 = 1000;

pub(super) fn href(row: &ModelRow) -> String {
    format!("/api/v1/models/{}/versions/{}", row.name, row.version)
}

/// A model version as clients see it: its card, and its place in the store.
#[derive(Serialize)]
struct ModelOut<'a> {
    object: &'static str,
    model: &'a str,
    version: i64,
    id: &'a str,
    aliases: [&'a str; 0],
    kind: &'a str,
    loss: &'a str,
    classes: &'a Option<Vec<Option<Class>>>,
    created_at: String,
    job: &'a str,
    dataset: &'a DatasetRef,
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
    size_bytes: u64,
    etag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    promoted_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<&'a [i64]>,
}

#[derive(Serialize)]
struct SparsityOut<'a> {
    #[serde(flatten)]
    measures: &'a Sparsity,
    histogram_href: String,
}

pub(super) fn show(row: &ModelRow, versions: Option<&[i64]>) -> Result<Raw, Problem> {
    let card = &row.card;
    raw(&ModelOut {
        object: "model_version",
        model: &row.name,
        version: row.version,
        id: row.id.as_str(),
        aliases: [],
        kind: &card.kind,
        loss: &card.loss,
        classes: &card.classes,
        created_at: rfc3339(row.created_at),
        job: row.job.as_str(),
        dataset: &row.dataset,
        engine: &card.engine,
        objective: &card.objective,
        lambda: card.lambda,
        lambda_max: card.lambda_max,
        l1_ratio: card.l1_ratio,
        intercept: (!card.is_multinomial()).then_some(card.intercept),
        intercepts: card.intercepts.as_deref(),
        bracket: card.bracket,
        equivalents: &card.equivalents,
        sparsity: SparsityOut { measures: &card.sparsity, histogram_href: format!("{}/histogram?bins=30", href(row)) },
        metrics: &card.metrics,
        selection: &card.selection,
        adaptive: card.adaptive.as_ref(),
        refit: card.refit.as_ref(),
        certificate: &card.certificate,
        warnings: &card.warnings,
        size_bytes: row.size_bytes,
        etag: format!("\"{}\"", row.id),
        promoted_from: card.promoted_from.as_deref(),
        started_from: card.started_from.as_deref(),
        versions,
    })
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
    let versions = api.store.model_versions(project, &name).await?;
    // beneath one latest version the others can only become fewer: their number names them
    Ok(tagged(&format!("{}-{}", row.id, versions.len()), &show(&row, Some(&versions))?))
}

/// Path of a model version.
pub(super) type Place = Segments<(String, String)>;

pub(super) fn absent() -> Problem {
    Problem::not_found("model version")
}

/// `GET …/versions/{version}`.
pub(crate) async fn version(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    query.finish()?;
    let number = version_number(&path.1).ok_or_else(absent)?;
    let row = api.store.model(caller.project(), &path.0, Some(number)).await?.ok_or_else(absent)?;
    Ok(tagged(row.id.as_str(), &show(&row, None)?))
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
        Deletion::InUse => Err(Problem::new(Code::Conflict, "something alive needs this version")),
    }
}

/// The version that a reference means.
pub(super) async fn find(api: &Api, project: &str, reference: &ModelRef) -> Result<Option<ModelRow>, Problem> {
    match &reference.pick {
        Pick::Latest => Ok(api.store.model(project, &reference.name, None).await?),
        Pick::Version(number) => Ok(api.store.model(project, &reference.name, Some(*number)).await?),
        // no alias exists yet but `latest`
        Pick::Alias(_) => Ok(None),
    }
}

pub(super) async fn served(api: &Api, caller: &Caller, (name, number): &(String, String)) -> Result<Arc<Served>, Problem> {
    let number = version_number(number).ok_or_else(absent)?;
    api.models.get(&api.store, caller.project(), name, Some(number)).await?.ok_or_else(absent)
}

/// Which coefficients, in which order.
#[derive(Clone, Copy, PartialEq)]
enum Order {
    Magnitude,
    Index,
}

#[derive(Serialize)]
struct CoefficientsOut<'a> {
    object: &'static str,
    model: String,
    encoding: &'static str,
    n_features: u64,
    nonzeros: u64,
    /// That of the class asked for; `null` where there are `intercepts`.
    intercept: Option<f64>,
    /// Of all classes, in the order of the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    intercepts: Option<&'a [f64]>,
    /// The class asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a Class>,
    /// The class of each coefficient.
    #[serde(skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<&'a Class>>,
    indices: Vec<u32>,
    values: Vec<f64>,
    names: Option<Vec<String>>,
    scale: &'static str,
    has_more: bool,
    next_cursor: Option<&'a str>,
}

/// `GET …/coefficients?top=&min_abs=&sort=&class=&limit=&cursor=`.
pub(crate) async fn coefficients(
    State(api): State<Api>,
    Segments(path): Place,
    mut query: Query,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let top = query.take_number("top", 1)?;
    let least = |text: &str| text.parse::<f64>().ok().filter(|least| least.is_finite() && *least >= 0.0);
    let min_abs = query.take_as("min_abs", "a number, at least 0", least)?.unwrap_or(0.0);
    let order = |word: &str| [("abs", Order::Magnitude), ("index", Order::Index)].into_iter().find(|(name, _)| *name == word);
    let (word, order) = query.take_as("sort", "abs or index", order)?.unwrap_or(("abs", Order::Magnitude));
    let class = query.take_as("class", "a class of the model", |text| Some(text.to_owned()))?;
    let served = served(&api, &caller, &path).await?;
    let class = class.map(|text| class_position(served.predictor.model(), &text)).transpose()?;
    let list = api.list(&caller, &format!("{}/coefficients/{word}/{top:?}/{min_abs}/{class:?}", served.row.id));
    let window = page::window_of(&mut query, &list, api.limits.page_max, api.limits.page_max)?;
    query.finish()?;

    let model = served.predictor.model();
    let chosen = choose(model, top, min_abs, order, class);
    let all: Vec<&Class> = model.card.classes.iter().flatten().flatten().collect();
    let of_classes = model.card.is_multinomial();
    let begin = usize::try_from(window.offset()?).unwrap_or(usize::MAX).min(chosen.len());
    let end = begin.saturating_add(usize::try_from(window.limit).unwrap_or(usize::MAX)).min(chosen.len());
    let shown = &chosen[begin..end];
    let cursor = (end < chosen.len()).then(|| page::seal(&list, &end.to_string()));
    let named = api_names(&served, shown);
    let body = CoefficientsOut {
        object: "coefficients",
        model: format!("{}:{}", served.row.name, served.row.version),
        encoding: "sparse",
        n_features: model.card.sparsity.n_features,
        nonzeros: model.card.sparsity.nonzeros,
        intercept: match (&model.card.intercepts, class) {
            (None, _) => Some(model.card.intercept),
            (Some(intercepts), Some(class)) => intercepts.get(class as usize).copied(),
            (Some(_), None) => None,
        },
        intercepts: model.card.intercepts.as_deref().filter(|_| class.is_none()),
        class: class.and_then(|class| all.get(class as usize).copied()),
        classes: (of_classes && class.is_none())
            .then(|| shown.iter().filter_map(|at| all.get(model.classes[*at] as usize).copied()).collect()),
        indices: shown.iter().map(|at| model.indices[*at]).collect(),
        values: shown.iter().map(|at| model.values[*at]).collect(),
        names: named,
        scale: "original",
        has_more: cursor.is_some(),
        next_cursor: cursor.as_deref(),
    };
    let mut response = Json(body).into_response();
    if let Some(link) = cursor.as_deref().and_then(|cursor| page::next_link(&uri, cursor)) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// The position of the class that `text` names, of a model that has coefficients for each.
fn class_position(model: &Model, text: &str) -> Result<u32, Problem> {
    let wrong = |code, detail: &str| bad_parameter("class", code, detail);
    if !model.card.is_multinomial() {
        return Err(wrong("conflict", "only a multinomial model has coefficients for each class"));
    }
    let is = |class: &Class| match class {
        Class::Text(class) => class == text,
        Class::Number(number) => text.parse() == Ok(*number),
    };
    let found = model.card.classes.iter().flatten().position(|class| class.as_ref().is_some_and(is));
    found.map(|at| at as u32).ok_or_else(|| wrong("unknown_value", "the model has no such class"))
}

/// Positions in the model's arrays: the `top` largest of those with |w| ≥ `min_abs`, in the order asked for.
/// Equal magnitudes keep the order of their indices.
fn choose(model: &Model, top: Option<u64>, min_abs: f64, order: Order, class: Option<u32>) -> Vec<usize> {
    let magnitude = |at: &usize| model.values[*at].abs();
    let of_class = |at: &usize| class.is_none_or(|class| model.classes.get(*at) == Some(&class));
    let mut chosen: Vec<usize> = (0..model.values.len()).filter(|at| magnitude(at) >= min_abs && of_class(at)).collect();
    if order == Order::Magnitude || top.is_some() {
        chosen.sort_by(|a, b| magnitude(b).partial_cmp(&magnitude(a)).unwrap_or(Ordering::Equal));
    }
    if let Some(top) = top {
        chosen.truncate(usize::try_from(top).unwrap_or(usize::MAX));
    }
    if order == Order::Index {
        chosen.sort_unstable();
    }
    chosen
}

/// Names of the coefficients shown; `None` for a data set without names.
fn api_names(served: &Served, shown: &[usize]) -> Option<Vec<String>> {
    let names = served.names.as_ref()?;
    let indices = &served.predictor.model().indices;
    Some(shown.iter().map(|at| names.get(indices[*at]).map_or_else(|| indices[*at].to_string(), str::to_owned)).collect())
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
    let coefficients = if wanted { Some(promotions::points(&api, &served.row).await?.coefficients()) } else { None };
    let model = served.predictor.model();
    let selected = model.path.iter().find(|row| row.lambda == model.card.lambda).map(|row| row.index);
    let body = PathOut { object: "path", selected, data: &model.path, coefficients };
    let what = if wanted { "path-coefficients" } else { "path" };
    Ok(tagged(&format!("{}-{what}", served.row.id), &body))
}

/// `GET …/histogram?bins=`.
pub(crate) async fn histogram(
    State(api): State<Api>,
    Segments(path): Place,
    mut query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    let bins = |text: &str| text.parse::<u64>().ok().filter(|bins| (1..=BINS_MAX).contains(bins));
    let bins = query.take_as("bins", "a whole number from 1 to 1000", bins)?.unwrap_or(BINS_DEFAULT);
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let histogram = served.predictor.model().histogram(usize::try_from(bins).unwrap_or(1));
    Ok(tagged(&format!("{}-histogram-{bins}", served.row.id), &Object { object: "histogram", thing: histogram }))
}

/// `GET …/certificate`.
pub(crate) async fn certificate(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let certificate = Object { object: "certificate", thing: &served.predictor.model().card.certificate };
    Ok(tagged(&format!("{}-certificate", served.row.id), &certificate))
}
