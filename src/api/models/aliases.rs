//! Aliases of a model: names that are moved from version to version by whoever says from which state.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::body;
use crate::api::wire::json::{Raw, raw, rfc3339, tagged};
use crate::api::wire::page;
use crate::api::wire::precondition::expected;
use crate::api::wire::request::{Caller, Query, Segments};
use crate::fault::{Code, Fault};
use crate::spec::{check_alias, parse_alias_move};
use crate::store::{AliasChange, AliasMove, AliasPlace, AliasRow};

/// An alias as clients see it.
#[derive(Serialize)]
struct AliasOut<'a> {
    object: &'static str,
    model: &'a str,
    alias: &'a str,
    version: i64,
    /// How often it was moved, its making included: the number of the last entry of its history.
    moves: i64,
    created_at: String,
    moved_at: String,
    moved_by: Option<&'a str>,
    version_href: String,
    history_href: String,
    etag: String,
}

#[derive(Serialize)]
struct MoveOut<'a> {
    object: &'static str,
    number: i64,
    version: Option<i64>,
    previous_version: Option<i64>,
    at: String,
    by: Option<&'a str>,
}

fn href(row: &AliasRow) -> String {
    format!("/api/v1/models/{}/aliases/{}", row.model, row.name)
}

fn show(row: &AliasRow) -> Result<Raw, Problem> {
    raw(&AliasOut {
        object: "alias",
        model: &row.model,
        alias: &row.name,
        version: row.version,
        moves: row.moves,
        created_at: rfc3339(row.created_at),
        moved_at: rfc3339(row.moved_at),
        moved_by: row.moved_by.as_deref(),
        version_href: format!("/api/v1/models/{}/versions/{}", row.model, row.version),
        history_href: format!("{}/history", href(row)),
        etag: format!("\"{}\"", row.tag()),
    })
}

fn show_move(one: &AliasMove) -> Result<Raw, Problem> {
    raw(&MoveOut {
        object: "alias_move",
        number: one.number,
        version: one.version,
        previous_version: one.previous,
        at: rfc3339(one.at),
        by: one.by.as_deref(),
    })
}

fn answer(row: &AliasRow) -> Result<Response, Problem> {
    Ok(tagged(&row.tag(), &show(row)?))
}

/// Path of an alias.
type Place = Segments<(String, String)>;

fn absent() -> Problem {
    Problem::not_found("alias")
}

/// Whom the history names: the key, where one was needed.
fn by(caller: &Caller) -> Option<&str> {
    Some(caller.key_id()).filter(|key| !key.is_empty())
}

fn unexpected() -> Problem {
    Problem::new(Code::PreconditionFailed, "the alias is not in the state that the request names; read it again")
}

fn unsaid() -> Problem {
    Problem::new(Code::PreconditionRequired, "the alias exists: send its ETag in If-Match")
}

/// `PUT …/aliases/{alias}`: makes it, or moves it to another version.
pub(crate) async fn put(
    State(api): State<Api>,
    caller: Caller,
    Segments((model, alias)): Place,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    query.finish()?;
    let (head, body) = request.into_parts();
    check_alias(&alias)?;
    body::require_json(&head.headers)?;
    let expected = expected(&head.headers)?;
    let version = parse_alias_move(&body::whole(&head.headers, body, api.limits.json_bytes).await?)?;
    match api.store.move_alias(caller.project(), &model, &alias, version, expected, by(&caller)).await? {
        AliasChange::Made(row) => {
            log(&row);
            let mut response = (StatusCode::CREATED, answer(&row)?).into_response();
            if let Ok(location) = HeaderValue::from_str(&href(&row)) {
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        }
        AliasChange::Moved(row) => {
            log(&row);
            answer(&row)
        }
        AliasChange::Unmoved(row) => answer(&row),
        AliasChange::NoVersion => Err(Fault::at_pointer(Code::NotFound, "#/version", "there is no such model version").into()),
        AliasChange::Full(most) => Err(Problem::new(Code::QuotaExceeded, format!("a model has at most {most} aliases"))),
        AliasChange::Unexpected => Err(unexpected()),
        AliasChange::Unsaid => Err(unsaid()),
        AliasChange::Deleted | AliasChange::Absent => Err(absent()),
    }
}

fn log(row: &AliasRow) {
    tracing::info!(model = row.model, alias = row.name, version = row.version, by = row.moved_by, "alias moved");
}

/// `GET …/aliases/{alias}`.
pub(crate) async fn one(
    State(api): State<Api>,
    Segments((model, alias)): Place,
    query: Query,
    caller: Caller,
) -> Result<Response, Problem> {
    query.finish()?;
    answer(&api.store.alias(caller.project(), &model, &alias).await?.ok_or_else(absent)?)
}

/// `DELETE …/aliases/{alias}`.
pub(crate) async fn remove(
    State(api): State<Api>,
    Segments((model, alias)): Place,
    query: Query,
    caller: Caller,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    query.finish()?;
    match api.store.delete_alias(caller.project(), &model, &alias, expected(&headers)?, by(&caller)).await? {
        AliasChange::Deleted => {
            tracing::info!(model, alias, by = by(&caller), "alias deleted");
            Ok(StatusCode::NO_CONTENT)
        }
        AliasChange::Unexpected => Err(unexpected()),
        AliasChange::Unsaid => Err(unsaid()),
        _ => Err(absent()),
    }
}

/// `GET …/aliases`: newest first.
pub(crate) async fn list(
    State(api): State<Api>,
    Segments(model): Segments<String>,
    mut query: Query,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let list = api.list(&caller, &format!("models/{model}/aliases"));
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let after = window.after.as_deref().map(|position| place(position).ok_or_else(page::invalid_cursor)).transpose()?;
    api.store.model(caller.project(), &model, None).await?.ok_or_else(|| Problem::not_found("model"))?;
    let (rows, next) = api.store.aliases(caller.project(), &model, after.as_ref(), window.limit).await?;
    let data = rows.iter().map(show).collect::<Result<_, _>>()?;
    Ok(page::list(&uri, data, next.map(|next| page::seal(&list, &format!("{} {}", next.created_at, next.name)))))
}

fn place(position: &str) -> Option<AliasPlace> {
    let (created_at, name) = position.split_once(' ')?;
    Some(AliasPlace { created_at: created_at.parse().ok()?, name: name.to_owned() })
}

/// `GET …/aliases/{alias}/history`: its moves, newest first; also those of one that was deleted.
pub(crate) async fn history(
    State(api): State<Api>,
    Segments((model, alias)): Place,
    mut query: Query,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let list = api.list(&caller, &format!("models/{model}/aliases/{alias}/history"));
    let window = page::window(&mut query, &list, api.limits.page_max)?;
    query.finish()?;
    let before = window.after.as_deref().map(|position| position.parse().map_err(|_| page::invalid_cursor())).transpose()?;
    let (moves, next) = api.store.alias_moves(caller.project(), &model, &alias, before, window.limit).await?;
    if moves.is_empty() && before.is_none() {
        return Err(absent());
    }
    let data = moves.iter().map(show_move).collect::<Result<_, _>>()?;
    Ok(page::list(&uri, data, next.map(|next| page::seal(&list, &next.to_string()))))
}
