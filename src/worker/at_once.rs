//! Work that is done in one go: nothing of it is kept on the way, and an attempt that breaks off begins anew.

use std::sync::Arc;

use super::Worker;
use super::attempt::{Outcome, made, on_a_thread, open_model, part, yield_to_others};
use super::halt::Shared;
use crate::dataset::Dataset;
use crate::job::{self, Progress};
use crate::model::{KeptPath, Model};
use crate::spec::{ResolvedEvaluate, ResolvedRules, ResolvedTree};
use crate::store::{Claim, StoreError};
use crate::trace::Span;
use crate::train::{self, Run, TrainError};

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
    let (watching, reference) = (Arc::clone(shared), spec.model.clone());
    on_a_thread(claim, move || {
        let observe = |progress: &Progress| watching.observe(progress);
        match train::evaluate(&dataset, &opened.model, opened.names.as_deref(), &observe) {
            Ok(found) => {
                let (unknown, missing) = (found.unknown_features, found.missing_features);
                let result = job::evaluation_result(&reference, found.metrics, found.rows, unknown, missing);
                Outcome::Report { result, warnings: found.warnings }
            }
            Err(TrainError::Cancelled) => Outcome::Stopped,
            Err(TrainError::Unfit { code, detail }) => Outcome::Unfit { code, detail },
        }
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
    let (watching, threads) = (Arc::clone(shared), worker.threads);
    on_a_thread(claim, move || {
        let observe = |progress: &Progress| watching.observe(progress);
        match train::grow(&dataset, &spec, &Run { on_thread: &yield_to_others, ..Run::new(threads, &observe) }) {
            Ok((model, path)) => made(Model::Tree(model), Some(KeptPath::Tree(path))),
            Err(TrainError::Cancelled) => Outcome::Stopped,
            Err(TrainError::Unfit { code, detail }) => Outcome::Unfit { code, detail },
        }
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
    let (watching, threads) = (Arc::clone(shared), worker.threads);
    on_a_thread(claim, move || {
        let observe = |progress: &Progress| watching.observe(progress);
        match train::rules(&dataset, &spec, &Run { on_thread: &yield_to_others, ..Run::new(threads, &observe) }) {
            Ok(model) => made(Model::Rules(model), None),
            Err(TrainError::Cancelled) => Outcome::Stopped,
            Err(TrainError::Unfit { code, detail }) => Outcome::Unfit { code, detail },
        }
    })
    .await
}
