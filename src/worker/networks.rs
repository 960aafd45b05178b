//! Networks: trained and pruned in one go, as trees are.

use std::sync::Arc;

use serde_json::json;

use super::Worker;
use super::at_once::{answer_times, in_one_go, layer_times, measured_model};
use super::attempt::{Outcome, part};
use super::halt::Shared;
use crate::dataset::Dataset;
use crate::model::{KeptPath, Model, Predictor};
use crate::spec::{ResolvedNetwork, ResolvedPrune};
use crate::store::{Claim, OpenedModel, StoreError};
use crate::trace::Span;
use crate::train::{self, Base, PrunedNetwork, TrainedNetwork};

/// Trains a network. Nothing of it is kept on the way: an attempt that breaks off begins anew.
pub(super) async fn train(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedNetwork,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    drop(loading);
    let _training = part(worker, claim, "fit");
    in_one_go(worker, claim, shared, move |run, watching| {
        let TrainedNetwork { model, epochs, best_epoch, score } = train::network(&dataset, &spec, run)?;
        let model = Arc::new(Model::Network(model));
        let ready = Predictor::new(Arc::clone(&model), dataset.names.clone());
        let latency = answer_times(&dataset, [&ready], watching)?[0];
        let layers = layer_times(&dataset, &ready, watching)?;
        drop(ready);
        let measured = json!({
            "epochs": epochs,
            "best_epoch": best_epoch,
            "score": score,
            "latency_us_p50": latency,
            "layer_latency_us_p50": layers,
        });
        Ok(measured_model(Arc::unwrap_or_clone(model), None, None, measured))
    })
    .await
}

/// Makes a smaller network of one that is stored.
pub(super) async fn prune(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedPrune,
    shared: &Arc<Shared>,
    opened: OpenedModel,
) -> Result<Outcome, StoreError> {
    in_one_go(worker, claim, shared, move |run, watching| {
        let base = Base { model: &opened.model, names: opened.names.as_deref(), size_bytes: opened.row.size_bytes };
        let PrunedNetwork { model, path } = train::prune_network(&dataset, base, &spec, run)?;
        let model = Arc::new(Model::Network(model));
        let [before, after] = [&opened.model, &model].map(|model| Predictor::new(Arc::clone(model), opened.names.clone()));
        let times = answer_times(&dataset, [&before, &after], watching)?;
        let layers = [layer_times(&dataset, &before, watching)?, layer_times(&dataset, &after, watching)?];
        let bytes = [&before, &after].map(|ready| ready.model().parameter_bytes());
        drop(after);
        let pruned = model.network().and_then(|network| network.card.pruned.as_ref());
        let measured = json!({
            "base": spec.base,
            "method": pruned.map(|pruned| &pruned.method),
            "turn": path.selected,
            "score": pruned.and_then(|pruned| pruned.score),
            "score_before": pruned.and_then(|pruned| pruned.score_before),
            "nonzeros_before": opened.model.card().size(),
            "size_bytes_before": opened.row.size_bytes,
            "parameter_bytes_before": bytes[0],
            "parameter_bytes": bytes[1],
            "latency_us_p50_before": times[0],
            "latency_us_p50": times[1],
            "layers": model.network().map(|network| &network.card.sparsity.layers),
            "layer_latency_us_p50_before": layers[0],
            "layer_latency_us_p50": layers[1],
        });
        Ok(measured_model(Arc::unwrap_or_clone(model), Some(KeptPath::Network(path)), Some(Box::new(opened.row.clone())), measured))
    })
    .await
}
