//! Distillation: a teacher says what it thinks of the rows, a small student learns that, and both are measured, beside a control that
//! learnt the true labels alone, on rows that neither student nor control has seen.
//!
//! Hinton, Vinyals & Dean, "Distilling the knowledge in a neural network", 2015; Bucila, Caruana & Niculescu-Mizil, "Model compression", KDD
//! 2006. Every kind of fit learns from soft labels by rows with weights, so that none knows of teachers. Knows no clock but the one it
//! is handed.

mod lesson;
mod made;
mod mixed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::compare::{Judged, Told, about, fidelity, while_fitting};
use super::evaluate::Pace;
use super::latency::Clock;
use super::parts::Parts;
use super::{Run, TrainError, evaluate, fit_any, unfit};
use crate::dataset::{Dataset, Names};
use crate::model::{Distilled, Fidelity, KeptPath, Model};
use crate::spec::{ResolvedDistill, Teacher, Work, feature_index};

use lesson::{Lesson, Says};

/// What is done one after the other, as progress tells it.
const PARTS: [&str; 6] = ["teacher", "student", "control", "measure", "fidelity", "latency"];

/// The model that teaches.
pub struct TeacherModel {
    /// `name:n`.
    pub reference: String,
    /// The model.
    pub model: Arc<Model>,
    /// The names of its features.
    pub names: Option<Arc<Names>>,
    /// Bytes of its file.
    pub stored_bytes: u64,
}

/// What became of a distillation.
#[derive(Clone, Debug, PartialEq)]
pub struct Student {
    /// The student, as it was measured.
    pub model: Model,
    /// The path that it was chosen from.
    pub path: Option<KeptPath>,
    /// How it did beside its teacher and its control.
    pub fidelity: Fidelity,
}

/// Teaches, trains and measures. Nothing of how it is run changes the student; `teacher` is the model, where one teaches.
///
/// # Errors
/// `observe` said to stop; the target is not what teacher or student predict; a column holds what is no probability; or the student or its
/// control cannot be fitted.
pub fn distill(
    dataset: &Dataset,
    teacher: Option<TeacherModel>,
    spec: &ResolvedDistill,
    run: &Run<'_>,
    clock: &Clock<'_>,
) -> Result<Student, TrainError> {
    let pace = &Pace::new(run.observe, &PARTS);
    pace.work(0)?;
    let mut own = (*spec.student).clone();
    let weighted = own.weights_mut().is_some_and(|weights| *weights);
    let column = column_of(dataset, spec)?;
    // weights that are not used measure nothing either
    let source = Dataset { weights: dataset.weights.clone().filter(|_| weighted), ..dataset.clone() };
    let parts = Parts::of(&source, Some(spec.held_out), spec.seed);
    let said = column.map(|feature| lesson::said_by(&source, feature, pace)).transpose()?;
    let learnt = made::taken(&source, &parts.learnt, column, pace)?;
    let held_out = made::taken(&source, &parts.held_out, column, pace)?;
    let of_rows = |rows: &[u32]| said.as_ref().map(|said| rows.iter().map(|row| said[*row as usize]).collect::<Vec<f64>>());
    let says = match (of_rows(&parts.learnt), &teacher) {
        (Some(said), _) => Says::Column(said),
        (None, Some(teacher)) => Says::Model(teacher),
        (None, None) => return Err(unfit("internal_error", "There is no teacher.")),
    };
    let Lesson { taught, warnings } = lesson::lesson(&learnt, &parts.learnt, says, spec, pace)?;

    pace.at(1);
    if let Some(weights) = own.weights_mut() {
        *weights = taught.weights.is_some();
    }
    let (mut model, path) = learn(&taught, &own, run, pace)?;
    match &mut model {
        // whoever prunes it has other rows
        Model::Network(network) => network.card.fit.weights = weighted,
        Model::Ensemble(ensemble) => ensemble.card.fit.weights = weighted,
        Model::Linear(_) | Model::Tree(_) | Model::Rules(_) => {}
    }
    let rows_taught = taught.y.len() as u64;
    drop(taught);

    pace.at(2);
    let (control, _) = learn(&learnt, &spec.student, run, pace)?;

    pace.at(3);
    let names = dataset.names.as_deref();
    pace.done(0, 2);
    let train = evaluate(&learnt, &model, names, &while_fitting(run, pace))?.metrics;
    pace.done(1, 2);
    let holdout = evaluate(&held_out, &model, names, &while_fitting(run, pace))?.metrics;
    let distilled = Distilled {
        teacher: spec.teacher.clone(),
        temperature: spec.temperature,
        mix: spec.mix,
        augment: spec.augment,
        rows_learnt: parts.learnt.len() as u64,
        rows_held_out: parts.held_out.len() as u64,
        rows_taught,
        seed: spec.seed,
    };
    let reference = teacher.as_ref().map_or("", |teacher| &*teacher.reference);
    model.say_taught(distilled, train, holdout, warnings.into_iter().map(|warning| about(reference, warning)).collect());

    pace.at(4);
    let model = Arc::new(model);
    let judged = [&model, &Arc::new(control)].map(|model| -> Result<Judged, TrainError> {
        model.check().map_err(|what| unfit("numerical_error", format!("The fit did not end in finite numbers: {what}.")))?;
        let stored_bytes = model.encode().len() as u64;
        Ok(Judged { reference: None, model: Arc::clone(model), names: dataset.names.clone(), stored_bytes })
    });
    let [student, control] = judged;
    let told = match (of_rows(&parts.held_out), teacher) {
        (None, Some(TeacherModel { reference, model, names, stored_bytes })) => {
            Told::Model(Judged { reference: Some(reference), model, names, stored_bytes })
        }
        (said, _) => Told::Column(said.unwrap_or_default()),
    };
    let fidelity = fidelity(&held_out, [student?, control?], told, spec, clock, pace)?;
    Ok(Student { model: Arc::unwrap_or_clone(model), path, fidelity })
}

/// The feature that teaches, if one does.
fn column_of(dataset: &Dataset, spec: &ResolvedDistill) -> Result<Option<u32>, TrainError> {
    let Teacher::Column { column } = &spec.teacher else { return Ok(None) };
    let feature = feature_index(column, dataset.meta.shape[1], dataset.names.as_deref());
    feature.map(Some).ok_or_else(|| unfit("invalid_parameter", format!("The column {column:?} names no feature.")))
}

/// A fit within the distillation.
fn learn(dataset: &Dataset, spec: &Work, run: &Run<'_>, pace: &Pace<'_>) -> Result<(Model, Option<KeptPath>), TrainError> {
    let observe = while_fitting(run, pace);
    fit_any(dataset, spec, &Run { on_thread: run.on_thread, ..Run::new(run.threads, &observe) })
}
