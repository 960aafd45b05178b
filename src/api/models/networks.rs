//! What can be read of a network and of nothing else: its layers, and the networks it was chosen from.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use super::cache::Served;
use super::promotions;
use super::trees::{NOT_APPLICABLE, NotApplicable};
use super::{Place, served};
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::api::wire::json::tagged;
use crate::api::wire::request::{Caller, Query, Segments};
use crate::dataset::Class;
use crate::fault::Code;
use crate::job::Warning;
use crate::model::{LayerSparsity, NetworkCard, NetworkPathRow, NetworkPruned, NetworkSparsity};
use crate::spec::{Activation, EarlyStopping, NetworkPenalty, Optimizer};

/// What is told of a network.
#[derive(Serialize)]
pub(crate) struct NetworkOut<'a> {
    loss: &'static str,
    classes: &'a Option<Vec<Class>>,
    engine: &'a Value,
    objective: &'a str,
    hidden: &'a [u64],
    activation: Activation,
    optimizer: Optimizer,
    penalty: NetworkPenalty,
    epochs: u64,
    batch_size: u64,
    seed: u64,
    early_stopping: Option<EarlyStopping>,
    sparsity: &'a NetworkSparsity,
    metrics: &'a Value,
    selection: &'a Option<Value>,
    certificate: NotApplicable,
    warnings: &'a [Warning],
    #[serde(skip_serializing_if = "Option::is_none")]
    promoted_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pruned: Option<&'a NetworkPruned>,
}

pub(crate) fn card(card: &NetworkCard) -> NetworkOut<'_> {
    NetworkOut {
        loss: card.fit.loss.name(),
        classes: &card.classes,
        engine: &card.engine,
        objective: &card.objective,
        hidden: &card.fit.hidden,
        activation: card.fit.activation,
        optimizer: card.fit.optimizer,
        penalty: card.fit.penalty,
        epochs: card.fit.epochs,
        batch_size: card.fit.batch_size,
        seed: card.fit.seed,
        early_stopping: card.fit.early_stopping,
        sparsity: &card.sparsity,
        metrics: &card.metrics,
        selection: &card.selection,
        certificate: NOT_APPLICABLE,
        warnings: &card.warnings,
        promoted_from: card.promoted_from.as_deref(),
        pruned: card.pruned.as_ref(),
    }
}

#[derive(Serialize)]
struct LayersOut<'a> {
    object: &'static str,
    nonzeros: u64,
    sparsity_ratio: f64,
    data: &'a [LayerSparsity],
}

/// `GET …/layers`.
pub(crate) async fn layers(State(api): State<Api>, Segments(path): Place, query: Query, caller: Caller) -> Result<Response, Problem> {
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let none = || Problem::new(Code::NoLayers, format!("{} has no layers", served.row.card.noun()));
    let sparsity = &served.predictor.model().network().ok_or_else(none)?.card.sparsity;
    let body = LayersOut { object: "layers", nonzeros: sparsity.nonzeros, sparsity_ratio: sparsity.sparsity_ratio, data: &sparsity.layers };
    Ok(tagged(&format!("{}-layers", served.row.id), &body))
}

#[derive(Serialize)]
struct PathOut<'a> {
    object: &'static str,
    selected: Option<u64>,
    data: &'a [NetworkPathRow],
}

/// `GET …/path` of a network: that of its pruning.
pub(crate) async fn path(api: &Api, served: &Served) -> Result<Response, Problem> {
    let kept = promotions::kept(api, &served.row).await?;
    let strange = || Problem::internal(format!("{}: the path is of another kind of model", served.row.id));
    let path = kept.network().ok_or_else(strange)?;
    let body = PathOut { object: "path", selected: Some(path.selected), data: &path.rows };
    Ok(tagged(&format!("{}-path", served.row.id), &body))
}
