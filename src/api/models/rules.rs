//! What can be read of a rules model and of nothing else: its rules and linear terms, the most important first, in pages.

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use super::{Place, served};
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::page;
use crate::api::wire::request::{Caller, Query, Segments};
use crate::dataset::Class;
use crate::fault::Code;
use crate::job::Warning;
use crate::model::{Certificate, Condition, RulesCard, RulesSparsity, display_name};

/// What is told of a rules model.
#[derive(Serialize)]
pub(crate) struct RulesOut<'a> {
    loss: &'a str,
    classes: &'a Option<Vec<Option<Class>>>,
    engine: &'a Value,
    objective: &'a str,
    lambda: f64,
    lambda_max: f64,
    intercept: f64,
    bracket: Option<[f64; 2]>,
    sparsity: &'a RulesSparsity,
    metrics: &'a Value,
    selection: &'a Option<Value>,
    certificate: &'a Certificate,
    warnings: &'a [Warning],
}

pub(crate) fn card(card: &RulesCard) -> RulesOut<'_> {
    RulesOut {
        loss: &card.loss,
        classes: &card.classes,
        engine: &card.engine,
        objective: &card.objective,
        lambda: card.lambda,
        lambda_max: card.lambda_max,
        intercept: card.intercept,
        bracket: card.bracket,
        sparsity: &card.sparsity,
        metrics: &card.metrics,
        selection: &card.selection,
        certificate: &card.certificate,
        warnings: &card.warnings,
    }
}

#[derive(Serialize)]
struct ListOut<'a> {
    object: &'static str,
    model: String,
    intercept: f64,
    rules: u64,
    linear_terms: u64,
    data: Vec<RuleOut>,
    linear: Vec<TermOut>,
    has_more: bool,
    next_cursor: Option<&'a str>,
}

#[derive(Serialize)]
struct RuleOut {
    rule: usize,
    coefficient: f64,
    support: f64,
    importance: f64,
    conditions: Vec<Condition>,
    text: String,
}

#[derive(Serialize)]
struct TermOut {
    feature: u32,
    name: String,
    coefficient: f64,
    importance: f64,
}

/// `GET …/rules?limit=&cursor=`: pages run over the rules, then over the linear terms.
pub(crate) async fn list(
    State(api): State<Api>,
    Segments(path): Place,
    mut query: Query,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let served = served(&api, &caller, &path).await?;
    let none = || Problem::new(Code::NoRules, format!("{} has no rules", served.row.card.noun()));
    let model = served.predictor.model().rules().ok_or_else(none)?;
    let list = api.list(&caller, &format!("{}/rules", served.row.id));
    let window = page::window_of(&mut query, &list, api.limits.page_max, api.limits.page_max)?;
    query.finish()?;
    let names = served.names.as_deref();
    let (n_rules, n_linear) = (model.rules.len(), model.indices.len());
    let all = n_rules + n_linear;
    let begin = usize::try_from(window.offset()?).unwrap_or(usize::MAX).min(all);
    let end = begin.saturating_add(usize::try_from(window.limit).unwrap_or(usize::MAX)).min(all);
    let cursor = (end < all).then(|| page::seal(&list, &end.to_string()));
    let rule = |rule: usize| RuleOut {
        rule,
        coefficient: model.rules.coefficients[rule],
        support: model.rules.supports[rule],
        importance: model.importance(rule),
        conditions: model.conditions(rule, names),
        text: model.text(rule, names),
    };
    let importance = |at: usize| model.values[at].abs() * model.deviations[at];
    let mut terms: Vec<usize> = (0..n_linear).collect();
    terms.sort_by(|a, b| importance(*b).total_cmp(&importance(*a)).then(a.cmp(b)));
    let term = |at: &usize| TermOut {
        feature: model.indices[*at],
        name: display_name(names, model.indices[*at]),
        coefficient: model.values[*at],
        importance: importance(*at),
    };
    let body = ListOut {
        object: "rules",
        model: served.row.reference(),
        intercept: model.card.intercept,
        rules: n_rules as u64,
        linear_terms: n_linear as u64,
        data: (begin.min(n_rules)..end.min(n_rules)).map(rule).collect(),
        linear: terms[begin.max(n_rules) - n_rules..end.max(n_rules) - n_rules].iter().map(term).collect(),
        has_more: cursor.is_some(),
        next_cursor: cursor.as_deref(),
    };
    let mut response = Json(body).into_response();
    if let Some(link) = cursor.as_deref().and_then(|cursor| page::next_link(&uri, cursor)) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}
