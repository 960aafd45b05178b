//! How far a fit is, from what the solver reports; called from inside its loops, perhaps by several threads.
//!
//! Knows no clock: how long the rest takes is for whoever knows when the fit began ([`Progress::estimate_rest`]).

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::plan::Plan;
use super::{Leave, Run};
use crate::job::{Current, Progress, Step};
use crate::solver;
use crate::spec::{Lambda, ResolvedFit};

/// 1 is said with the stored model, by the store.
const FRACTION_MAX: f64 = 0.99;
/// Share of a half of the rows that is never whole before it is kept.
const WITHIN_MAX: f64 = 0.99;
/// A search for a number of non-zeros takes about this many λ.
const SEARCH_LAMBDAS: f64 = 20.0;

/// Counts the λ done, of each path and of each of its folds.
pub(super) struct Tracker<'a> {
    run: &'a Run<'a>,
    search: bool,
    tol: f64,
    /// The measure reported is not a gap.
    folded: bool,
    counts: Mutex<Vec<Counts>>,
    best_is_wanted: AtomicBool,
}

/// λ done of one path, fractional; they only grow, so the fraction never falls.
struct Counts {
    n_lambdas: u64,
    prepared: bool,
    path: f64,
    folds: Vec<f64>,
    /// Of each half of the rows the share that is done.
    resamples: Vec<f64>,
}

impl<'a> Tracker<'a> {
    /// Nothing is done but what was done before.
    pub(super) fn new(run: &'a Run<'a>, spec: &ResolvedFit, plan: &Plan<'_>) -> Self {
        let counts = plan.arms.iter().map(|arm| {
            let before = run.resume.as_ref().map(|before| before.arm(arm.position));
            let fold = |fold: usize| before.and_then(|before| before.folds.get(fold)).map_or(0.0, |fold| fold.rows.len() as f64);
            let resample = |which: usize| before.map_or(0.0, |before| f64::from(u8::from(before.resamples.contains_key(&which))));
            Counts {
                n_lambdas: arm.n_lambdas().max(1) as u64,
                prepared: false,
                path: before.map_or(0.0, |before| before.points.len() as f64),
                folds: (0..arm.n_folds()).map(fold).collect(),
                resamples: (0..arm.n_resamples()).map(resample).collect(),
            }
        });
        Self {
            run,
            search: matches!(spec.lambda, Lambda::TargetNonzeros { .. }),
            tol: spec.solver.tol,
            folded: spec.penalty.is_folded(),
            counts: Mutex::new(counts.collect()),
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

    /// The support of a λ in a fold is being refitted.
    pub(super) fn refitting(&self) -> ControlFlow<()> {
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

    /// The problem of a path stands: means, scales and λ_max are known.
    pub(super) fn prepared(&self, arm: usize) -> ControlFlow<()> {
        self.tell(None, |counts| counts[arm].prepared = true)
    }

    /// Progress within a path over all rows.
    pub(super) fn path(&self, arm: usize, at: &solver::Progress) -> ControlFlow<()> {
        self.tell(Some(at), |counts| {
            let done = self.lambdas_done(at, counts[arm].n_lambdas);
            counts[arm].path = counts[arm].path.max(done);
        })
    }

    /// So many λ of a path are done; what follows is cross-validation, the next path or the certificate.
    pub(super) fn path_done(&self, arm: usize, done: usize) -> ControlFlow<()> {
        self.tell(None, |counts| counts[arm].path = counts[arm].path.max(done as f64))
    }

    /// Progress within one fold of the repeat that begins with the fold `first`.
    pub(super) fn fold(&self, arm: usize, first: usize, at: &solver::Progress) -> ControlFlow<()> {
        let fold = at.fold.map(|fold| first + fold);
        self.tell(Some(&solver::Progress { fold, ..*at }), |counts| {
            let done = self.lambdas_done(at, counts[arm].n_lambdas);
            if let Some(fold) = fold.and_then(|fold| counts[arm].folds.get_mut(fold)) {
                *fold = fold.max(done);
            }
        })
    }

    /// So many folds of a repeat have come to their end.
    pub(super) fn folds_done(&self, arm: usize, folds: Range<usize>) {
        // whether to go on is asked again with the next step
        let _ = self.tell(None, |counts| {
            let n_lambdas = counts[arm].n_lambdas as f64;
            counts[arm].folds[folds].iter_mut().for_each(|fold| *fold = n_lambdas);
        });
    }

    /// Progress within a half of the rows.
    pub(super) fn resample(&self, arm: usize, which: usize, at: &solver::Progress) -> ControlFlow<()> {
        self.tell(Some(&solver::Progress { fold: Some(which), ..*at }), |counts| {
            let share = self.lambdas_done(at, counts[arm].n_lambdas) / counts[arm].n_lambdas as f64;
            if let Some(done) = counts[arm].resamples.get_mut(which) {
                // whole only once it is kept
                *done = done.max(share.min(WITHIN_MAX));
            }
        })
    }

    /// A half of the rows has come to its end.
    pub(super) fn resample_done(&self, arm: usize, which: usize) {
        // whether to go on is asked again with the next step
        let _ = self.tell(None, |counts| {
            if let Some(done) = counts[arm].resamples.get_mut(which) {
                *done = 1.0;
            }
        });
    }

    /// λ before this one and the share of this one by its gap, which falls about geometrically towards the tolerance.
    fn lambdas_done(&self, at: &solver::Progress, n_lambdas: u64) -> f64 {
        let gap = at.relative_gap.filter(|gap| *gap > 0.0).map_or(0.0, |gap| gap.ln() / self.tol.ln());
        let within = if gap.is_finite() { gap.clamp(0.0, 0.9) } else { 0.0 };
        let done = at.lambda_index as f64 + within;
        if self.search { done / (done + SEARCH_LAMBDAS) } else { done.min(n_lambdas as f64) }
    }

    /// Told under the lock, so that what `observe` sees is in order whichever thread calls.
    /// A problem that is being made has no λ yet.
    fn tell(&self, at: Option<&solver::Progress>, change: impl FnOnce(&mut [Counts])) -> ControlFlow<()> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counts);
        let step = |name: &str, done: f64, total: u64| Step { name: name.into(), done: (done as u64).min(total), total };
        let prepared: f64 = counts.iter().map(|arm| f64::from(u8::from(arm.prepared))).sum();
        let path: f64 = counts.iter().map(|arm| arm.path).sum();
        let (mut n_lambdas, mut in_folds, mut whole, mut folds_done) = (0, 0_u64, 0.0, 0.0);
        let (mut resamples, mut resampled, mut halves_done, mut in_halves) = (0, 0.0, 0.0, 0.0);
        for arm in counts.iter() {
            resamples += arm.resamples.len() as u64;
            resampled += arm.resamples.iter().map(|share| share.floor()).sum::<f64>();
            halves_done += arm.n_lambdas as f64 * arm.resamples.iter().sum::<f64>();
            in_halves += (arm.n_lambdas as f64) * arm.resamples.len() as f64;
            n_lambdas += arm.n_lambdas;
            in_folds = in_folds.saturating_add(arm.n_lambdas.saturating_mul(arm.folds.len() as u64));
            // A λ counts in whole folds only, as the sum of their parts would count λ that no fold has done.
            whole += arm.folds.iter().map(|fold| fold.floor()).sum::<f64>();
            folds_done += arm.folds.iter().sum::<f64>();
        }
        let mut steps = vec![step("prepare", prepared, counts.len() as u64), step("path", path, n_lambdas)];
        if in_folds > 0 {
            steps.push(step("cv", whole, in_folds));
        }
        if resamples > 0 {
            steps.push(step("resamples", resampled, resamples));
        }
        // Reading the columns twice weighs about as much as one λ.
        let done = prepared + path + folds_done + halves_done;
        let total = counts.len() as f64 + n_lambdas as f64 + in_folds as f64 + in_halves;
        let progress = Progress {
            fraction: (done / total).min(FRACTION_MAX),
            eta_s: None,
            steps,
            current: at.filter(|at| at.lambda > 0.0).map(|at| current(at, self.folded)),
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

fn current(at: &solver::Progress, folded: bool) -> Current {
    Current {
        lambda: Some(at.lambda),
        lambda_index: Some(at.lambda_index as u64),
        fold: at.fold.map(|fold| fold as u64),
        nonzeros: Some(at.nonzeros as u64),
        relative_gap: at.relative_gap.filter(|gap| gap.is_finite() && !folded),
        epoch: Some(at.epoch),
    }
}
