//! Networks: trained and pruned in one go, as trees are.

use std::sync::Arc;

use serde_json::json;

use super::Worker;
use super::at_once::{answer_times, ended, measured_model};
use super::attempt::{Outcome, on_a_thread, part, yield_to_others};
use super::halt::Shared;
use crate::dataset::Dataset;
use crate::job::Progress;
use crate::model::{KeptPath, Model, Predictor};
use crate::spec::{ResolvedNetwork, ResolvedPrune};
use crate::store::{Claim, OpenedModel, StoreError};
use crate::trace::Span;
use crate::train::{self, Base, PrunedNetwork, Run, TrainedNetwork};

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
    let (watching, threads) = (Arc::clone(shared), worker.threads);
    on_a_thread(claim, move || {
        let observe = |progress: &Progress| watching.observe(progress);
        let run = Run { on_thread: &yield_to_others, ..Run::new(threads, &observe) };
        ended(train::network(&dataset, &spec, &run).and_then(|TrainedNetwork { model, epochs, best_epoch, score }| {
            let model = Arc::new(Model::Network(model));
            let ready = Predictor::new(Arc::clone(&model), dataset.names.clone());
            let latency = answer_times(&dataset, [&ready], &watching)?[0];
            drop(ready);
            let measured = json!({ "epochs": epochs, "best_epoch": best_epoch, "score": score, "latency_us_p50": latency });
            Ok(measured_model(Arc::unwrap_or_clone(model), None, None, measured))
        }))
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
    let (watching, threads) = (Arc::clone(shared), worker.threads);
    on_a_thread(claim, move || {
        let observe = |progress: &Progress| watching.observe(progress);
        let run = Run { on_thread: &yield_to_others, ..Run::new(threads, &observe) };
        let base = Base { model: &opened.model, names: opened.names.as_deref(), size_bytes: opened.row.size_bytes };
        ended(train::prune_network(&dataset, base, &spec, &run).and_then(|PrunedNetwork { model, path }| {
            let model = Arc::new(Model::Network(model));
            let [before, after] = [&opened.model, &model].map(|model| Predictor::new(Arc::clone(model), opened.names.clone()));
            let times = answer_times(&dataset, [&before, &after], &watching)?;
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
            });
            Ok(measured_model(Arc::unwrap_or_clone(model), Some(KeptPath::Network(path)), Some(Box::new(opened.row.clone())), measured))
        }))
    })
    .await
}
