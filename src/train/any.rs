//! A fit of whatever kind its specification asks for, in one go: for who wants a model and does not care what it is made of.

use std::sync::{Mutex, PoisonError};

use super::{Run, TrainError, ensemble, fit, grow, network, rules, unfit};
use crate::dataset::Dataset;
use crate::model::{KeptPath, Model, PathPoints};
use crate::spec::Work;

/// The model, and the path that it was chosen from, where one is kept. `run.points` hears nothing: the points are that path.
///
/// # Errors
/// As the fits of the kinds; or it is no fit.
pub fn fit_any(dataset: &Dataset, spec: &Work, run: &Run<'_>) -> Result<(Model, Option<KeptPath>), TrainError> {
    match spec {
        Work::Fit(spec) => {
            let path = Mutex::new(None);
            let points = |points: PathPoints| *path.lock().unwrap_or_else(PoisonError::into_inner) = Some(points);
            let model = fit(dataset, spec, &Run { points: &points, on_thread: run.on_thread, ..Run::new(run.threads, run.observe) })?;
            Ok((Model::Linear(model), path.into_inner().unwrap_or_else(PoisonError::into_inner).map(KeptPath::Linear)))
        }
        Work::Tree(spec) => grow(dataset, spec, run).map(|(model, path)| (Model::Tree(model), Some(KeptPath::Tree(path)))),
        Work::Rules(spec) => rules(dataset, spec, run).map(|model| (Model::Rules(model), None)),
        Work::Network(spec) => network(dataset, spec, run).map(|trained| (Model::Network(trained.model), None)),
        Work::Ensemble(spec) => ensemble(dataset, spec, run).map(|grown| (Model::Ensemble(grown.model), None)),
        Work::Evaluate(_) | Work::Compare(_) | Work::Prune(_) | Work::Distill(_) => {
            Err(unfit("internal_error", "This is no specification of a fit."))
        }
    }
}
