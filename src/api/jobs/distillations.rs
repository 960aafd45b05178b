//! Distillations: how one begins, and what its job has left of it.

use serde_json::Value;

use super::submissions::{known, named, names_features};
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::dataset::Names;
use crate::job::{Job, JobKind, Warning};
use crate::model::Fidelity;
use crate::spec::{AskedTeacher, DistillSpec, Work};
use crate::store::DatasetRow;

/// Which model version teaches, and what student the data set allows. The data set's files are opened only when the request speaks of
/// features by name.
pub(crate) async fn resolve(
    api: &Api,
    project: &str,
    asked: &DistillSpec,
    spec: &Value,
    dataset: &DatasetRow,
) -> Result<(Work, Vec<Warning>), Problem> {
    let by_name = matches!(asked.teacher, AskedTeacher::Column(_)) || spec.get("student").is_some_and(names_features);
    let opened = if by_name && dataset.meta.named { Some(api.store.open_dataset(dataset).await?) } else { None };
    let names: Option<&Names> = opened.as_ref().and_then(|opened| opened.names.as_deref());
    let (resolved, warnings) = match &asked.teacher {
        AskedTeacher::Column(_) => asked.resolve(None, &dataset.meta, names)?,
        AskedTeacher::Model(model) => {
            let row = named(api, project, model, "#/spec/teacher").await?;
            let (reference, classes) = (row.reference(), row.card.classes());
            let teacher = known(&row, &reference, classes.as_deref());
            asked.resolve(Some((&teacher, &row.dataset.sha256)), &dataset.meta, names)?
        }
    };
    Ok((Work::Distill(Box::new(resolved)), warnings))
}

/// What a job measured, if it was a distillation and has succeeded.
pub(crate) fn left(job: &Job) -> Option<Fidelity> {
    let result = job.result.as_ref().filter(|_| job.kind == JobKind::Distill)?;
    serde_json::from_value(result.get("fidelity")?.clone()).ok()
}
