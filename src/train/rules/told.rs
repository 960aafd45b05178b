//! How far a fit of rules is: of all rows, and of every fold, an ensemble is grown and a path solved.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::job::{Current, Progress, Step};
use crate::spec::{Lambda, ResolvedRules};
use crate::train::{Leave, Run};
use crate::{solver, tree};

/// 1 is said with the stored model, by the store.
const FRACTION_MAX: f64 = 0.99;

/// What a unit of work does one after the other; both count as half of it.
#[derive(Clone, Copy)]
enum Stage {
    Grow,
    Solve,
}

/// Counts what is done; called from several threads.
pub(super) struct Told<'a> {
    run: &'a Run<'a>,
    /// Of all rows, then of each fold: what is grown and what is solved.
    units: Mutex<Vec<[f64; 2]>>,
    /// Splits that an ensemble will have, about.
    splits: f64,
    n_lambdas: f64,
    best_is_wanted: AtomicBool,
}

impl<'a> Told<'a> {
    pub(super) fn new(run: &'a Run<'a>, spec: &ResolvedRules) -> Self {
        let folds = spec.selection.splits().map_or(0, |splits| usize::try_from(splits.all_folds()).unwrap_or(0));
        let n_lambdas = match &spec.lambda {
            Lambda::Path { n, .. } => *n as f64,
            Lambda::Values { values } => values.len() as f64,
            Lambda::Value { .. } | Lambda::TargetNonzeros { .. } => 1.0,
        };
        Self {
            run,
            units: Mutex::new(vec![[0.0; 2]; 1 + folds]),
            splits: spec.trees.n_trees as f64 * (spec.trees.mean_leaves - 1.0),
            n_lambdas: n_lambdas.max(1.0),
            best_is_wanted: AtomicBool::new(false),
        }
    }

    /// Whether the fit was told to stop, and its best is wanted.
    pub(super) fn best_is_wanted(&self) -> bool {
        self.best_is_wanted.load(Ordering::Relaxed)
    }

    /// An ensemble is being grown, or its rules are being found.
    pub(super) fn growing(&self, unit: usize, at: &tree::Progress) -> ControlFlow<()> {
        // what follows the last split is a part of it too
        heard(self.tell(unit, Stage::Grow, (at.splits as f64 / self.splits).min(0.95), None))
    }

    /// The matrix of a unit stands.
    pub(super) fn grown(&self, unit: usize) -> ControlFlow<()> {
        heard(self.tell(unit, Stage::Grow, 1.0, None))
    }

    /// The path over all rows.
    pub(super) fn path(&self, at: &Progress) -> ControlFlow<Leave> {
        self.tell(0, Stage::Solve, at.fraction, at.current.clone())
    }

    /// The path of a fold.
    pub(super) fn fold(&self, unit: usize, at: &solver::Progress) -> ControlFlow<()> {
        let current = Current {
            lambda: Some(at.lambda).filter(|lambda| *lambda > 0.0),
            lambda_index: Some(at.lambda_index as u64),
            fold: Some(unit as u64 - 1),
            nonzeros: Some(at.nonzeros as u64),
            relative_gap: at.relative_gap.filter(|gap| gap.is_finite()),
            epoch: Some(at.epoch),
        };
        heard(self.tell(unit, Stage::Solve, (at.lambda_index as f64 / self.n_lambdas).min(0.99), Some(current)))
    }

    /// A unit has come to its end.
    pub(super) fn done(&self, unit: usize) {
        // whether to go on is asked again with the next step
        let _ = self.tell(unit, Stage::Solve, 1.0, None);
    }

    /// Told under the lock, so that what `observe` sees is in order whichever thread calls; shares only grow.
    fn tell(&self, unit: usize, stage: Stage, share: f64, current: Option<Current>) -> ControlFlow<Leave> {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unit) = units.get_mut(unit) {
            let of_stage = &mut unit[stage as usize];
            *of_stage = of_stage.max(share);
        }
        let whole = |stage: usize, units: &[[f64; 2]]| units.iter().filter(|unit| unit[stage] >= 1.0).count() as u64;
        let n = units.len() as u64;
        let step = |name: &str, done: u64, total: u64| Step { name: name.into(), done, total };
        let mut steps = vec![step("grow", whole(0, &units), n), step("path", whole(1, &units[..1]), 1)];
        if n > 1 {
            steps.push(step("cv", whole(1, &units[1..]), n - 1));
        }
        let fraction = units.iter().flatten().sum::<f64>() / (2.0 * n as f64);
        let flow = (self.run.observe)(&Progress { fraction: fraction.min(FRACTION_MAX), eta_s: None, steps, current });
        if let ControlFlow::Break(leave) = flow {
            self.best_is_wanted.store(leave == Leave::Best, Ordering::Relaxed);
        }
        flow
    }
}

fn heard(flow: ControlFlow<Leave>) -> ControlFlow<()> {
    if flow.is_break() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}
