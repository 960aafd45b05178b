//! How far a fit is, from what the solver reports; called from inside its loops, perhaps by several threads.
//!
//! Knows no clock: how long the rest takes is for whoever knows when the fit began ([`Progress::estimate_rest`]).

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Leave, Run, cv_of};
use crate::job::{Current, Progress, Step};
use crate::solver;
use crate::spec::{Lambda, ResolvedFit};

/// 1 is said with the stored model, by the store.
const FRACTION_MAX: f64 = 0.99;
/// A search for a number of non-zeros takes about this many λ.
const SEARCH_LAMBDAS: f64 = 20.0;

/// Counts the λ done, of the path and of each fold.
pub(super) struct Tracker<'a> {
    run: &'a Run<'a>,
    n_lambdas: u64,
    search: bool,
    tol: f64,
    counts: Mutex<Counts>,
    best_is_wanted: AtomicBool,
}

/// λ done, fractional; they only grow, so the fraction never falls.
struct Counts {
    prepared: bool,
    path: f64,
    folds: Vec<f64>,
}

impl<'a> Tracker<'a> {
    /// Nothing is done but what was done before.
    pub(super) fn new(run: &'a Run<'a>, spec: &ResolvedFit) -> Self {
        let n_lambdas = match &spec.lambda {
            Lambda::Path { n, .. } => *n,
            Lambda::Values { values } => values.len() as u64,
            Lambda::Value { .. } | Lambda::TargetNonzeros { .. } => 1,
        };
        let n_folds = cv_of(spec).map_or(0, |(folds, ..)| folds);
        let before = run.resume.as_ref();
        let folds = (0..n_folds as usize).map(|fold| before.and_then(|b| b.folds.get(fold)).map_or(0.0, |fold| fold.rows.len() as f64));
        let path = before.map_or(0.0, |before| before.points.len() as f64);
        let counts = Counts { prepared: false, path, folds: folds.collect() };
        let search = matches!(spec.lambda, Lambda::TargetNonzeros { .. });
        Self {
            run,
            n_lambdas: n_lambdas.max(1),
            search,
            tol: spec.solver.tol,
            counts: Mutex::new(counts),
            best_is_wanted: AtomicBool::new(false),
        }
    }

    /// Says that the fit has begun, before the first look at the matrix.
    pub(super) fn begin(&self) -> ControlFlow<()> {
        self.tell(None, |_| {})
    }

    /// Progress of the first look at the matrix.
    pub(super) fn preparing(&self, _: &solver::Progress) -> ControlFlow<()> {
        self.tell(None, |_| {})
    }

    /// Certificate and warnings are being made. A fit whose best is wanted is let go on: this is what makes it a model.
    pub(super) fn finishing(&self, _: &solver::Progress) -> ControlFlow<()> {
        match (self.tell(None, |_| {}), self.best_is_wanted()) {
            (ControlFlow::Break(()), false) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Whether the fit was told to stop, and its best is wanted.
    pub(super) fn best_is_wanted(&self) -> bool {
        self.best_is_wanted.load(Ordering::Relaxed)
    }

    /// The problem stands: means, scales and λ_max are known.
    pub(super) fn prepared(&self) -> ControlFlow<()> {
        self.tell(None, |counts| counts.prepared = true)
    }

    /// Progress within the path over all rows.
    pub(super) fn path(&self, at: &solver::Progress) -> ControlFlow<()> {
        let done = self.lambdas_done(at);
        self.tell(Some(at), |counts| counts.path = counts.path.max(done))
    }

    /// So many λ of the path are done; what follows is cross-validation and the certificate.
    pub(super) fn path_done(&self, done: usize) -> ControlFlow<()> {
        self.tell(None, |counts| counts.path = counts.path.max(done as f64))
    }

    /// Progress within one fold.
    pub(super) fn fold(&self, at: &solver::Progress) -> ControlFlow<()> {
        let done = self.lambdas_done(at);
        self.tell(Some(at), |counts| {
            if let Some(fold) = at.fold.and_then(|fold| counts.folds.get_mut(fold)) {
                *fold = fold.max(done);
            }
        })
    }

    /// λ before this one and the share of this one by its gap, which falls about geometrically towards the tolerance.
    fn lambdas_done(&self, at: &solver::Progress) -> f64 {
        let gap = at.relative_gap.filter(|gap| *gap > 0.0).map_or(0.0, |gap| gap.ln() / self.tol.ln());
        let within = if gap.is_finite() { gap.clamp(0.0, 0.9) } else { 0.0 };
        let done = at.lambda_index as f64 + within;
        if self.search { done / (done + SEARCH_LAMBDAS) } else { done.min(self.n_lambdas as f64) }
    }

    /// Told under the lock, so that what `observe` sees is in order whichever thread calls.
    /// A problem that is being made has no λ yet.
    fn tell(&self, at: Option<&solver::Progress>, change: impl FnOnce(&mut Counts)) -> ControlFlow<()> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counts);
        let n_lambdas = self.n_lambdas;
        let n_folds = counts.folds.len() as u64;
        let step = |name: &str, done: f64, total: u64| Step { name: name.into(), done: (done as u64).min(total), total };
        let prepared = f64::from(u8::from(counts.prepared));
        let folds_done: f64 = counts.folds.iter().sum();
        let mut steps = vec![step("prepare", prepared, 1), step("path", counts.path, n_lambdas)];
        if n_folds > 0 {
            // A λ counts in whole folds only, as the sum of their parts would count λ that no fold has done.
            let whole = counts.folds.iter().map(|fold| fold.floor()).sum();
            steps.push(step("cv", whole, n_lambdas.saturating_mul(n_folds)));
        }
        // Reading the columns twice weighs about as much as one λ.
        let done = prepared + counts.path + folds_done;
        let total = 1.0 + n_lambdas as f64 * (1.0 + n_folds as f64);
        let progress = Progress {
            fraction: (done / total).min(FRACTION_MAX),
            eta_s: None,
            steps,
            current: at.filter(|at| at.lambda > 0.0).map(current),
        };
        match (self.run.observe)(&progress) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(leave) => {
                self.best_is_wanted.store(leave == Leave::Best, Ordering::Relaxed);
                ControlFlow::Break(())
            }
        }
    }
}

fn current(at: &solver::Progress) -> Current {
    Current {
        lambda: Some(at.lambda),
        lambda_index: Some(at.lambda_index as u64),
        fold: at.fold.map(|fold| fold as u64),
        nonzeros: Some(at.nonzeros as u64),
        relative_gap: at.relative_gap.filter(|gap| gap.is_finite()),
        epoch: Some(at.epoch),
    }
}
