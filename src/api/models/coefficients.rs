//! Coefficients of a model version: the largest, those of a class, in pages. The zeros are never made.

use std::cmp::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::cache::Served;
use super::{Place, linear, served};
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::page;
use crate::api::wire::request::{Caller, Query, Segments, bad_parameter};
use crate::dataset::Class;
use crate::model::LinearModel;

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
pub(crate) async fn list(
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
    let model = linear(&served, "coefficients")?;
    let class = class.map(|text| class_position(model, &text)).transpose()?;
    let list = api.list(&caller, &format!("{}/coefficients/{word}/{top:?}/{min_abs}/{class:?}", served.row.id));
    let window = page::window_of(&mut query, &list, api.limits.page_max, api.limits.page_max)?;
    query.finish()?;

    let chosen = choose(model, top, min_abs, order, class);
    let all: Vec<&Class> = model.card.classes.iter().flatten().flatten().collect();
    let of_classes = model.card.is_multinomial();
    let begin = usize::try_from(window.offset()?).unwrap_or(usize::MAX).min(chosen.len());
    let end = begin.saturating_add(usize::try_from(window.limit).unwrap_or(usize::MAX)).min(chosen.len());
    let shown = &chosen[begin..end];
    let cursor = (end < chosen.len()).then(|| page::seal(&list, &end.to_string()));
    let named = api_names(&served, model, shown);
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
fn class_position(model: &LinearModel, text: &str) -> Result<u32, Problem> {
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
fn choose(model: &LinearModel, top: Option<u64>, min_abs: f64, order: Order, class: Option<u32>) -> Vec<usize> {
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
fn api_names(served: &Served, model: &LinearModel, shown: &[usize]) -> Option<Vec<String>> {
    let names = served.names.as_ref()?;
    let indices = &model.indices;
    Some(shown.iter().map(|at| names.get(indices[*at]).map_or_else(|| indices[*at].to_string(), str::to_owned)).collect())
}
