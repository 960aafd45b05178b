//! The dense twin of a model: what it would be without what makes it sparse. Of a linear model a ridge on the data it was
//! fitted on, chosen by folds; of a pruned tree the tree before it was pruned. It is measured and thrown away.

use std::sync::Arc;

use super::super::evaluate::Pace;
use super::super::latency::Clock;
use super::super::{Run, TrainError, fit};
use super::{Contender, while_fitting};
use crate::dataset::Names;
use crate::job::Warning;
use crate::model::{KeptPath, Model};
use crate::spec::ResolvedFit;

/// Why a model that was distilled is not fitted anew.
pub(super) const TAUGHT: &str = "the rows that it was taught on are not kept.";

/// A twin, and how long making it took, if anything was fitted.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) model: Arc<Model>,
    pub(super) names: Option<Arc<Names>>,
    pub(super) fit_ms: Option<u64>,
}

/// The ridges made so far: models of one path and others of the same problem have the same one.
#[derive(Default)]
pub(super) struct Ridges(Vec<(String, ResolvedFit, Made)>);

impl Ridges {
    fn of(&self, sha256: &str, spec: &ResolvedFit) -> Option<Made> {
        self.0.iter().find(|(data, fitted, _)| data == sha256 && fitted == spec).map(|(.., made)| made.clone())
    }
}

/// The twin of a model. One that is dense already has none; of one whose twin cannot be made `warnings` say why.
pub(super) fn made(
    contender: &Contender,
    ridges: &mut Ridges,
    run: &Run<'_>,
    pace: &Pace<'_>,
    clock: &Clock<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<Option<Made>, TrainError> {
    let mut without = |why: String| {
        let detail = format!("{} has no dense twin: {why}", contender.reference);
        warnings.push(Warning { code: "no_twin".into(), detail, features: Vec::new() });
        Ok(None)
    };
    match &*contender.model {
        Model::Linear(model) if model.card.l1_ratio == 0.0 => Ok(None),
        Model::Linear(model) if model.card.distilled.is_some() => without(TAUGHT.into()),
        Model::Linear(_) => {
            let Some(origin) = &contender.origin else {
                return without("the data set it was fitted on, or the job that tells how, has been deleted.".into());
            };
            let spec = origin.spec.dense_twin(origin.dataset.meta.shape);
            let sha256 = &origin.dataset.meta.sha256;
            if let Some(made) = ridges.of(sha256, &spec) {
                return Ok(Some(made));
            }
            let observe = while_fitting(run, pace);
            let began = clock();
            match fit(&origin.dataset, &spec, &Run { on_thread: run.on_thread, ..Run::new(run.threads, &observe) }) {
                Ok(twin) => {
                    let fit_ms = Some(clock().saturating_sub(began) / 1_000_000);
                    let made = Made { model: Arc::new(Model::Linear(twin)), names: origin.dataset.names.clone(), fit_ms };
                    ridges.0.push((sha256.clone(), spec, made.clone()));
                    Ok(Some(made))
                }
                Err(TrainError::Cancelled) => Err(TrainError::Cancelled),
                Err(TrainError::Unfit { detail, .. }) => without(detail),
            }
        }
        Model::Rules(_) => without("of rules none is made.".into()),
        Model::Ensemble(_) => without("of ensembles none is made.".into()),
        Model::Tree(tree) => {
            let leaves = tree.card.sparsity.leaves;
            // the largest pruning is without the splits that gain nothing: a little smaller than what was grown
            let path = contender.unpruned.as_ref().and_then(KeptPath::tree);
            let largest = path.and_then(|path| path.rows.first()).map(|row| row.leaves);
            if leaves == largest.unwrap_or(tree.card.sparsity.unpruned.leaves) {
                return Ok(None);
            }
            match path.and_then(|path| path.promoted(tree, 0, &contender.reference)) {
                Some(whole) => Ok(Some(Made { model: Arc::new(Model::Tree(whole)), names: contender.names.clone(), fit_ms: None })),
                None => without("the tree it was pruned from was not kept.".into()),
            }
        }
        Model::Network(network) if network.card.pruned.is_none() => Ok(None),
        Model::Network(network) => {
            let path = contender.unpruned.as_ref().and_then(KeptPath::network);
            match path.and_then(|path| path.promoted(network, 0, &contender.reference)) {
                Some(whole) => Ok(Some(Made { model: Arc::new(Model::Network(whole)), names: contender.names.clone(), fit_ms: None })),
                None => without("the network it was pruned from was not kept.".into()),
            }
        }
    }
}
