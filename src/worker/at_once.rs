//! Work that is done in one go: nothing of it is kept on the way, and an attempt that breaks off begins anew.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::attempt::{Outcome, made, on_a_thread, open_model, part, yield_to_others};
use super::halt::Shared;
use super::{Worker, networks};
use crate::dataset::{Dataset, Names};
use crate::job::{self, Progress};
use crate::model::{KeptPath, Model, Nodes, Predictor, TreeModel};
use crate::spec::{ResolvedEnsemble, ResolvedEvaluate, ResolvedPrune, ResolvedRules, ResolvedTree};
use crate::store::{Claim, ModelRow, StoreError};
use crate::trace::Span;
use crate::train::{self, Base, GrownEnsemble, Leave, Pruned, Run, TrainError};

/// Measures a model that is stored. One that was deleted meanwhile is the job's misfortune, not the server's.
pub(super) async fn evaluate(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: &ResolvedEvaluate,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    let opened = match open_model(worker, claim, &spec.model, shared).await? {
        Ok(opened) => opened,
        Err(outcome) => return Ok(outcome),
    };
    drop(loading);
    let _evaluating = part(worker, claim, "evaluate");
    let reference = spec.model.clone();
    in_one_go(worker, claim, shared, move |run, _| {
        let found = train::evaluate(&dataset, &opened.model, opened.names.as_deref(), run.observe)?;
        let (unknown, missing) = (found.unknown_features, found.missing_features);
        let result = job::evaluation_result(&reference, found.metrics, found.rows, unknown, missing);
        Ok(Outcome::Report { result, warnings: found.warnings })
    })
    .await
}

/// Grows a tree. Nothing of it is kept on the way: an attempt that breaks off begins anew.
pub(super) async fn grow(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedTree,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    drop(loading);
    let _growing = part(worker, claim, "fit");
    in_one_go(worker, claim, shared, move |run, watching| {
        let (model, path) = train::grow(&dataset, &spec, run)?;
        // where the whole tree was too large to be kept there is none to compare with
        let whole = path.grown.as_ref().map(|grown| &grown.nodes);
        let both = [whole.unwrap_or(&model.nodes), &model.nodes];
        let [before, after] = both.map(|nodes| tree(nodes, &model, dataset.names.as_ref()));
        let times = answer_times(&dataset, [&before, &after], watching)?;
        let unpruned = model.card.sparsity.unpruned;
        let measured = json!({
            "leaves_before": unpruned.leaves,
            "depth_before": unpruned.depth,
            "node_bytes_before": unpruned.node_bytes,
            "latency_us_p50": times[1],
            "latency_us_p50_before": whole.and(times[0]),
        });
        Ok(measured_model(Model::Tree(model), Some(KeptPath::Tree(path)), None, measured))
    })
    .await
}

/// Makes a smaller tree of one that is stored. As with an evaluation, one that was deleted meanwhile is the job's misfortune.
pub(super) async fn prune(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedPrune,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    let opened = match open_model(worker, claim, &spec.base, shared).await? {
        Ok(opened) => opened,
        Err(outcome) => return Ok(outcome),
    };
    drop(loading);
    let _pruning = part(worker, claim, "prune");
    if spec.method.removal().is_some() {
        return networks::prune(worker, claim, dataset, spec, shared, opened).await;
    }
    in_one_go(worker, claim, shared, move |run, watching| {
        let base = Base { model: &opened.model, names: opened.names.as_deref(), size_bytes: opened.row.size_bytes };
        let Pruned { model, path, metrics_before } = train::prune(&dataset, base, &spec, run.observe)?;
        let whole = opened.model.tree().map_or(&model.nodes, |tree| &tree.nodes);
        let [before, after] = [whole, &model.nodes].map(|nodes| tree(nodes, &model, opened.names.as_ref()));
        let times = answer_times(&dataset, [&before, &after], watching)?;
        let pruned = model.card.pruned.as_ref();
        let measured = json!({
            "base": spec.base,
            "method": pruned.map(|pruned| &pruned.method),
            "leaves_before": whole.n_leaves(),
            "depth_before": whole.depth(),
            "size_bytes_before": opened.row.size_bytes,
            "node_bytes_before": whole.stored_bytes(),
            "metrics": model.card.metrics["holdout"],
            "metrics_before": metrics_before,
            "score": pruned.and_then(|pruned| pruned.score),
            "score_before": pruned.and_then(|pruned| pruned.score_before),
            "latency_us_p50": times[1],
            "latency_us_p50_before": times[0],
        });
        Ok(measured_model(Model::Tree(model), Some(KeptPath::Tree(path)), Some(Box::new(opened.row.clone())), measured))
    })
    .await
}

/// Asks whether to go on and tells no progress: the work is done, and only how fast it answers is still to be seen. A tree that
/// is there is the best there is.
fn quietly(shared: &Shared) -> impl Fn(&Progress) -> ControlFlow<Leave> + Sync {
    |_: &Progress| match shared.observe(&shared.latest()) {
        ControlFlow::Break(Leave::Best) => ControlFlow::Continue(()),
        other => other,
    }
}

/// A tree as it is served.
fn tree(nodes: &Nodes, model: &TreeModel, names: Option<&Arc<Names>>) -> Predictor {
    Predictor::new(Arc::new(Model::Tree(TreeModel { card: model.card.clone(), nodes: nodes.clone() })), names.cloned())
}

/// Median time, in µs, that each needs to answer one row.
pub(super) fn answer_times<const N: usize>(
    dataset: &Dataset,
    models: [&Predictor; N],
    watching: &Shared,
) -> Result<[Option<f64>; N], TrainError> {
    train::latency_us(dataset, models, &nanoseconds(), &quietly(watching))
}

/// Median time, in µs, that each layer takes of the answer to one row; of a network.
pub(super) fn layer_times(dataset: &Dataset, model: &Predictor, watching: &Shared) -> Result<Vec<Option<f64>>, TrainError> {
    train::layers_us(dataset, model, &nanoseconds(), &quietly(watching))
}

/// Time since now.
pub(super) fn nanoseconds() -> impl Fn() -> u64 {
    let began = Instant::now();
    move || u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// A model that may be stored with what was measured of it, or why not.
pub(super) fn measured_model(model: Model, path: Option<KeptPath>, base: Option<Box<ModelRow>>, measured: Value) -> Outcome {
    match made(model, path) {
        Outcome::Model(model, path) => {
            let measured = if let Value::Object(measured) = measured { measured } else { Map::new() };
            Outcome::Measured { model, path, base, measured }
        }
        other => other,
    }
}

/// Works on a thread of its own, watched for a stop.
pub(super) async fn in_one_go(
    worker: &Worker,
    claim: &Claim,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Run<'_>, &Shared) -> Result<Outcome, TrainError> + Send + 'static,
) -> Result<Outcome, StoreError> {
    let (watching, threads) = (Arc::clone(shared), worker.threads);
    on_a_thread(claim, move || {
        let observe = |progress: &Progress| watching.observe(progress);
        match work(&Run { on_thread: &yield_to_others, ..Run::new(threads, &observe) }, &watching) {
            Ok(outcome) => outcome,
            Err(TrainError::Cancelled) => Outcome::Stopped,
            Err(TrainError::Unfit { code, detail }) => Outcome::Unfit { code, detail },
        }
    })
    .await
}

/// Grows an ensemble. Nothing of it is kept on the way: an attempt that breaks off begins anew.
pub(super) async fn boost(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedEnsemble,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    drop(loading);
    let _growing = part(worker, claim, "fit");
    in_one_go(worker, claim, shared, move |run, watching| {
        let GrownEnsemble { model, rounds, best_round, score } = train::ensemble(&dataset, &spec, run)?;
        let model = Arc::new(Model::Ensemble(model));
        let ready = Predictor::new(Arc::clone(&model), dataset.names.clone());
        let latency = answer_times(&dataset, [&ready], watching)?[0];
        drop(ready);
        let measured = json!({ "rounds": rounds, "best_round": best_round, "score": score, "latency_us_p50": latency });
        Ok(measured_model(Arc::unwrap_or_clone(model), None, None, measured))
    })
    .await
}

/// Makes rules and chooses among them. Nothing of it is kept on the way: an attempt that breaks off begins anew.
pub(super) async fn make_rules(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedRules,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    drop(loading);
    let _making = part(worker, claim, "fit");
    in_one_go(worker, claim, shared, move |run, _| train::rules(&dataset, &spec, run).map(|model| made(Model::Rules(model), None))).await
}
