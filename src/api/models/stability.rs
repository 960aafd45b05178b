//! How often halves of the rows chose each feature, of a model that was chosen by that.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::{Place, served};
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::json::tagged;
use crate::api::wire::request::{Caller, Query, Segments};
use crate::fault::Code;
use crate::model::display_name;

#[derive(Serialize)]
struct StabilityOut {
    object: &'static str,
    resamples: u64,
    seed: u64,
    stratify: bool,
    threshold: f64,
    expected_false: f64,
    false_bound: f64,
    features_selected: f64,
    features_stable: u64,
    features_ever: u64,
    data: Vec<Frequency>,
}

#[derive(Serialize)]
struct Frequency {
    index: u32,
    name: String,
    frequency: f64,
}

/// `GET …/stability`.
pub(crate) async fn stability(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let absent = || Problem::new(Code::NoStability, "the features of the model were not chosen by halves of the rows");
    let found = served.predictor.model().linear().and_then(|model| model.stability.as_ref()).ok_or_else(absent)?;
    let frequency = |(&index, &count): (&u32, &u32)| Frequency {
        index,
        name: display_name(served.names.as_deref(), index),
        frequency: f64::from(count) / found.resamples as f64,
    };
    let body = StabilityOut {
        object: "stability",
        resamples: found.resamples,
        seed: found.seed,
        stratify: found.stratify,
        threshold: found.threshold,
        expected_false: found.expected_false,
        false_bound: found.false_bound,
        features_selected: found.features_selected,
        features_stable: found.features_stable,
        features_ever: found.features_ever,
        data: found.indices.iter().zip(&found.counts).map(frequency).collect(),
    };
    Ok(tagged(&format!("{}-stability", served.row.id), &body))
}
