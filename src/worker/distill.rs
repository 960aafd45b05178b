//! Distillations: the teacher is opened, then everything else is done on a thread in one go.

use std::sync::Arc;

use serde_json::json;

use super::Worker;
use super::at_once::{in_one_go, measured_model, nanoseconds};
use super::attempt::{Outcome, open_model, part};
use super::halt::Shared;
use crate::dataset::Dataset;
use crate::spec::{ResolvedDistill, Teacher};
use crate::store::{Claim, StoreError};
use crate::trace::Span;
use crate::train::{self, Student, TeacherModel};

/// Makes a student. A teacher that was deleted before it was opened is the job's misfortune; one that is deleted later is not missed.
pub(super) async fn distill(
    worker: &Worker,
    claim: &Claim,
    dataset: Arc<Dataset>,
    spec: ResolvedDistill,
    shared: &Arc<Shared>,
    loading: Span,
) -> Result<Outcome, StoreError> {
    let teacher = match &spec.teacher {
        Teacher::Column { .. } => None,
        Teacher::Model(reference) => match open_model(worker, claim, reference, shared).await? {
            Ok(opened) => Some(TeacherModel {
                reference: reference.clone(),
                model: opened.model,
                names: opened.names,
                stored_bytes: opened.row.size_bytes,
            }),
            Err(outcome) => return Ok(outcome),
        },
    };
    drop(loading);
    let _distilling = part(worker, claim, "distill");
    in_one_go(worker, claim, shared, move |run, _| {
        let Student { model, path, fidelity } = train::distill(&dataset, teacher, &spec, run, &nanoseconds())?;
        // only a number that is none is no JSON, and there every such number is told as none
        Ok(measured_model(model, path, None, json!({ "fidelity": fidelity })))
    })
    .await
}
