//! Models side by side: everything that is stored of them is opened, then they are measured on a thread in one go.

use std::sync::Arc;

use super::Worker;
use super::at_once::{in_one_go, nanoseconds};
use super::attempt::{Outcome, open_model, part};
use super::halt::Shared;
use crate::dataset::Dataset;
use crate::job;
use crate::model::Model;
use crate::spec::ResolvedCompare;
use crate::store::{Claim, OpenedModel, StoreError};
use crate::trace::Span;
use crate::train::{self, Contender, Origin};

/// Compares stored models. One that was deleted meanwhile is the job's misfortune, not the server's; without the data a model was
/// fitted on it has no twin, and the result says so.
pub(super) async fn compare(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedCompare,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    let mut contenders = Vec::with_capacity(spec.models.len());
    for reference in &spec.models {
        let opened = match open_model(worker, claim, reference, shared).await? {
            Ok(opened) => opened,
            Err(outcome) => return Ok(outcome),
        };
        let known = tokio::select! {
            known = known(worker, claim, reference, opened, &spec) => known?,
            () = shared.until_halted() => return Ok(Outcome::Stopped),
        };
        contenders.push(known);
    }
    drop(loading);
    let _comparing = part(worker, claim, "compare");
    let (id, identity) = (claim.job.id.clone(), claim.job.dataset.clone());
    in_one_go(worker, claim, shared, move |run, _| {
        let (comparison, warnings) = train::compare(&dataset, identity, contenders, &spec, run, &nanoseconds())?;
        Ok(match serde_json::to_value(&comparison) {
            Ok(comparison) => Outcome::Report { result: job::comparison_result(&id, comparison), warnings },
            Err(_) => Outcome::Unfit { code: "numerical_error", detail: "The comparison cannot be written.".into() },
        })
    })
    .await
}

/// Everything the comparison asks of one model.
async fn known(
    worker: &Worker,
    claim: &Claim,
    reference: &str,
    opened: OpenedModel,
    spec: &ResolvedCompare,
) -> Result<Contender, StoreError> {
    let (store, project) = (&worker.store, &claim.job.project);
    let OpenedModel { row, model, names } = opened;
    let fitted = if row.card.promoted_from().is_some() { None } else { store.job(project, &row.job).await? };
    let ran = fitted.and_then(|job| Some(job.finished_at?.saturating_sub(job.started_at?)));
    let fit_ms = ran.map(|micros| u64::try_from(micros / 1000).unwrap_or(0));
    let origin = match spec.fit_of(reference) {
        None => None,
        Some(fit) => match store.dataset(project, &fit.dataset.name, Some(fit.dataset.version)).await? {
            Some(row) => match store.open_dataset(&row).await {
                Ok(dataset) => Some(Origin { dataset, spec: fit.spec.clone() }),
                // deleted between the two looks, or damaged: in either case there is no twin
                Err(StoreError::Damaged(_)) => None,
                Err(error) => return Err(error),
            },
            None => None,
        },
    };
    let may_be_pruned = matches!(&*model, Model::Tree(_) | Model::Network(_));
    let unpruned = if spec.twin && may_be_pruned { store.open_points(&row).await? } else { None };
    let (fitted_on, stored_bytes) = (row.dataset.sha256.clone(), row.size_bytes);
    Ok(Contender { reference: reference.to_owned(), model, names, fitted_on, stored_bytes, fit_ms, origin, unpruned })
}
