//! Predictions, from models in memory. The path of a request is parse, look up without a lock, compute, answer.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::cache::Served;
use crate::api::datasets::libsvm_parameters;
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::body;
use crate::api::wire::request::{Caller, Query, Segments, content_type};
use crate::fault::Code;
use crate::model::{PredictFormat, PredictOptions, Predictions};
use crate::spec::{ModelRef, Pick, version_number};

/// Bodies up to this are predicted on the spot; larger ones on a thread that may block.
const INLINE_BYTES: usize = 64 << 10;

/// `POST /api/v1/models/{ref}/predict`: `name`, `name@alias`, or `name:n`.
pub(crate) async fn by_reference(
    State(api): State<Api>,
    caller: Caller,
    Segments(reference): Segments<String>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let reference = ModelRef::parse(&reference).ok_or_else(absent)?;
    predict(&api, &caller, &reference, query, request).await
}

/// `POST /api/v1/models/{model}/versions/{version}/predict`.
pub(crate) async fn by_version(
    State(api): State<Api>,
    caller: Caller,
    Segments((name, version)): Segments<(String, String)>,
    query: Query,
    request: Request,
) -> Result<Response, Problem> {
    let pick = Pick::Version(version_number(&version).ok_or_else(absent)?);
    predict(&api, &caller, &ModelRef { name, pick }, query, request).await
}

fn absent() -> Problem {
    Problem::not_found("model")
}

async fn predict(api: &Api, caller: &Caller, reference: &ModelRef, query: Query, request: Request) -> Result<Response, Problem> {
    let since = Instant::now();
    let (head, body) = request.into_parts();
    let format = format_of(&head.headers)?;
    let options = options_of(query)?;
    let served = api.models.get(&api.store, caller.project(), &reference.name, &reference.pick).await?.ok_or_else(absent)?;
    let body = body::whole(&head.headers, body, api.limits.predict_bytes).await?;
    let predictions = compute(api, served.clone(), body, format, options).await?;
    api.measures.prediction(predictions.rows, predictions.unknown_features, since.elapsed());
    Ok(answer(&served, &predictions))
}

fn format_of(headers: &HeaderMap) -> Result<PredictFormat, Problem> {
    let media = content_type(headers).ok_or_else(|| Problem::new(Code::UnsupportedMediaType, "the Content-Type is missing"))?;
    match media.essence.as_str() {
        "application/json" => Ok(PredictFormat::Json),
        "text/libsvm" | "text/x-libsvm" | "text/x-svmlight" => {
            let (index_base, _) = libsvm_parameters(&media.parameters)?;
            Ok(PredictFormat::Libsvm { index_base })
        }
        _ => Err(Problem::new(Code::UnsupportedMediaType, "rows come as application/json or text/libsvm")),
    }
}

/// Options in the query; those in a JSON body win over them.
fn options_of(mut query: Query) -> Result<PredictOptions, Problem> {
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let word = |text: &str| matches!(text, "ignore" | "error").then(|| text.to_owned());
    let options = PredictOptions {
        output: query.take("output").map(|list| list.split(',').map(|word| word.trim().to_owned()).collect()),
        unknown_features: query.take_as("unknown_features", "ignore or error", word)?,
        threshold: query.take_as("threshold", "a number", number)?,
        top_contributions: query.take_number("top_contributions", 0)?.map(|top| usize::try_from(top).unwrap_or(usize::MAX)),
    };
    query.finish()?;
    Ok(options)
}

async fn compute(
    api: &Api,
    served: Arc<Served>,
    body: Bytes,
    format: PredictFormat,
    options: PredictOptions,
) -> Result<Predictions, Problem> {
    let limits = api.limits.predict;
    if body.len() <= INLINE_BYTES {
        return Ok(served.predictor.predict(&body, format, &options, &limits)?);
    }
    let predicting = tokio::task::spawn_blocking(move || served.predictor.predict(&body, format, &options, &limits));
    let predictions = predicting.await.map_err(|error| Problem::internal(format!("predict: {error}")))?;
    Ok(predictions?)
}

/// `{"model":…,"version":…,"predictions":[…],"diagnostics":{…}}`, around an array that is serialised already.
fn answer(served: &Served, predictions: &Predictions) -> Response {
    let diagnostics = json!({
        "unknown_features": predictions.unknown_features,
        "rows": predictions.rows,
        "active_features_seen": predictions.active_features_seen,
    });
    let mut body = Vec::with_capacity(predictions.predictions_json.len() + 256);
    body.extend_from_slice(b"{\"model\":");
    body.extend_from_slice(Value::from(served.row.name.as_str()).to_string().as_bytes());
    body.extend_from_slice(format!(",\"version\":{},\"predictions\":", served.row.version).as_bytes());
    body.extend_from_slice(&predictions.predictions_json);
    body.extend_from_slice(format!(",\"diagnostics\":{diagnostics}}}").as_bytes());
    let mut response = Body::from(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
