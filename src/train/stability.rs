//! Stability selection: the path again on halves of the rows, and which features came in how often.
//!
//! Halves are weights over the one shared matrix, two disjoint ones a pair. Their paths go down to the first λ at which the solutions on
//! all rows have had more than twice as many features as the bound allows halves to have on the average: λ beyond it would not
//! be looked at. What is kept of a half is which features came and went with each λ; a half that was interrupted is done again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::plan::Arm;
use super::progress::Tracker;
use super::target::Rows;
use super::{Done, Inputs, Run, TrainError, unfit};
use crate::solver::{self, Data, Point, Stop, Unfit};
use crate::spec::Stability;

/// Halves go down as far as the path over all rows has this many times the features that halves may have.
const BEYOND: f64 = 2.0;

/// The columns that come or go with each λ, rising.
pub(super) type Flips = Vec<Vec<u32>>;

/// A half: its path, nothing if it was stopped, or why it cannot be fitted.
type Ended = Result<Option<Flips>, Unfit>;

/// What the halves say.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// Halves that say it.
    pub(super) resamples: usize,
    /// The smallest λ that was looked at.
    pub(super) index: usize,
    /// Features that a half chose at one λ at least, on the average.
    pub(super) selected: f64,
    /// Bound on the expected number of false choices.
    pub(super) bound: f64,
    /// The columns that any half chose and the most halves that chose them at one λ; columns rise.
    pub(super) counts: Vec<(u32, u32)>,
    /// Those that are stable, rising.
    pub(super) stable: Vec<u32>,
}

/// Fits every half. A fit that was told to stop and whose best is wanted keeps the halves that came to their end, if there are
/// two, and says so.
#[allow(clippy::too_many_arguments)]
pub(super) fn measure(
    inputs: &Inputs<'_>,
    penalty: solver::Penalty<'_>,
    arm: &Arm<'_>,
    stability: &Stability,
    rows: &Rows<'_>,
    points: &[Point],
    run: &Run<'_>,
    tracker: &Tracker<'_>,
) -> Result<(Option<Found>, Option<String>), TrainError> {
    let free: Vec<bool> = penalty.factors.map_or_else(Vec::new, |factors| factors.iter().map(|factor| *factor == 0.0).collect());
    let counted = |column: u32| !free.get(column as usize).copied().unwrap_or(false);
    let n_counted = inputs.data.x.len() - free.iter().filter(|free| **free).count();
    let most = stability.most_selected(n_counted);
    let lambdas = &lambdas_of(points, BEYOND * most, &counted);
    let all = arm.n_resamples();
    let halves = Halves { inputs, penalty, arm, stability, rows, lambdas, run, tracker };
    let done: Vec<Flips> = halves.run(all)?.into_iter().flatten().collect();
    let mut cut = None;
    if done.len() < all {
        if !tracker.best_is_wanted() {
            return Err(TrainError::Cancelled);
        }
        if done.len() < 2 {
            let few =
                format!("{} of {all} halves of the rows were done, too few to choose by; this is the last λ of the path.", done.len());
            return Ok((None, Some(few)));
        }
        cut = Some(format!("{} of {all} halves of the rows were done; they choose.", done.len()));
    }
    Ok((Some(gather(&done, lambdas.len(), stability, most, n_counted, &counted)), cut))
}

/// λ down to the first at which more than `most` features have been in, that one with them.
fn lambdas_of(points: &[Point], most: f64, counted: &dyn Fn(u32) -> bool) -> Vec<f64> {
    let mut ever = std::collections::HashSet::new();
    let beyond = points.iter().position(|point| {
        ever.extend(point.columns.iter().copied().filter(|column| counted(*column)));
        ever.len() as f64 > most
    });
    points.iter().take(beyond.map_or(points.len(), |at| at + 1)).map(|point| point.lambda).collect()
}

/// Frequencies over the λ that the bound allows; the first of them is looked at in any case.
fn gather(done: &[Flips], n_lambdas: usize, stability: &Stability, most: f64, n_counted: usize, counted: &dyn Fn(u32) -> bool) -> Found {
    // of each half, the columns that were ever in, and whether they are in now
    let mut halves: Vec<HashMap<u32, bool>> = vec![HashMap::new(); done.len()];
    let (mut now, mut largest): (HashMap<u32, u32>, HashMap<u32, u32>) = Default::default();
    let (mut index, mut selected, mut ever) = (0, 0.0, 0_usize);
    for at in 0..n_lambdas {
        let mut changed = Vec::new();
        for (half, flips) in halves.iter_mut().zip(done) {
            for &column in flips.get(at).into_iter().flatten() {
                let inside = half.entry(column).or_insert_with(|| {
                    ever += usize::from(counted(column));
                    false
                });
                *inside = !*inside;
                let count = now.entry(column).or_insert(0);
                *count = if *inside { *count + 1 } else { count.saturating_sub(1) };
                changed.push(column);
            }
        }
        let average = ever as f64 / done.len().max(1) as f64;
        if at > 0 && average > most {
            break;
        }
        (index, selected) = (at, average);
        for column in changed {
            let count = now.get(&column).copied().unwrap_or(0);
            let top = largest.entry(column).or_insert(0);
            *top = count.max(*top);
        }
    }
    let mut counts: Vec<(u32, u32)> = largest.into_iter().filter(|(_, count)| *count > 0).collect();
    counts.sort_unstable();
    let often = |count: u32| f64::from(count) / done.len() as f64 >= stability.threshold;
    let stable = counts.iter().filter(|(_, count)| often(*count)).map(|(column, _)| *column).collect();
    Found { resamples: done.len(), index, selected, bound: stability.bound(selected, n_counted), counts, stable }
}

struct Halves<'h> {
    inputs: &'h Inputs<'h>,
    penalty: solver::Penalty<'h>,
    arm: &'h Arm<'h>,
    stability: &'h Stability,
    rows: &'h Rows<'h>,
    lambdas: &'h [f64],
    run: &'h Run<'h>,
    tracker: &'h Tracker<'h>,
}

impl Halves<'_> {
    /// Every half, by as many threads as the fit has; `None` for one that was stopped.
    fn run(&self, all: usize) -> Result<Vec<Option<Flips>>, TrainError> {
        let next = AtomicUsize::new(0);
        let results: Mutex<Vec<Option<Ended>>> = Mutex::new(vec![None; all]);
        let work = || {
            while let Some(which) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|which| *which < all) {
                let result = self.half(which);
                if let Some(slot) = results.lock().unwrap_or_else(PoisonError::into_inner).get_mut(which) {
                    *slot = Some(result);
                }
            }
        };
        let help = || {
            (self.run.on_thread)();
            work();
        };
        std::thread::scope(|scope| {
            let helpers: Vec<_> = (1..self.run.threads.min(all)).map(|_| scope.spawn(help)).collect();
            work();
            // a panic of a helper is the caller's panic: the scope passes it on
            drop(helpers);
        });
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.into_iter().flatten().map(|result| result.map_err(unfit_half)).collect()
    }

    /// One half: what was kept of it, or its path.
    fn half(&self, which: usize) -> Ended {
        let before = self.run.resume.as_ref().and_then(|before| before.arm(self.arm.position).resamples.get(&which));
        if let Some(before) = before {
            return Ok(Some(before.clone()));
        }
        let Inputs { data, loss, options, .. } = *self.inputs;
        let strata = self.rows.loss.has_classes().then_some(self.rows.y.as_slice());
        let of_row = self.stability.halves(self.rows.origins, self.rows.y.len(), strata, which as u64 / 2);
        let side = (which % 2) as i32;
        let weight = |(i, half): (usize, &i32)| if *half == side { data.weights.map_or(1.0, |weights| weights[i]) } else { 0.0 };
        let weights: Vec<f64> = of_row.iter().enumerate().map(weight).collect();
        let observe = |at: &solver::Progress| self.tracker.resample(self.arm.position, which, at);
        let problem = match loss.problem(Data { weights: Some(&weights), ..data }, self.penalty, options, &observe) {
            Err(Unfit::Stopped) => return Ok(None),
            problem => problem?,
        };
        let (mut flips, mut last): (Flips, Vec<u32>) = Default::default();
        let stop = solver::path(&problem, self.lambdas, None, &observe, &mut |_, point, _| {
            if point.stop != Stop::Cancelled {
                let mut columns = point.columns;
                // of several classes a column has several coefficients
                columns.dedup();
                flips.push(apart(&last, &columns));
                last = columns;
            }
        });
        if stop == Stop::Cancelled || flips.len() < self.lambdas.len() {
            return Ok(None);
        }
        (self.run.keep)(Done::Resample { arm: self.arm.position, resample: which, flips: flips.clone() });
        self.tracker.resample_done(self.arm.position, which);
        Ok(Some(flips))
    }
}

/// What is in one of two rising lists and not in the other.
fn apart(one: &[u32], other: &[u32]) -> Vec<u32> {
    let left = one.iter().filter(|column| other.binary_search(column).is_err());
    let right = other.iter().filter(|column| one.binary_search(column).is_err());
    let mut apart: Vec<u32> = left.chain(right).copied().collect();
    apart.sort_unstable();
    apart
}

/// Half of the rows cannot be fitted although all rows together can.
fn unfit_half(why: Unfit) -> TrainError {
    match why {
        Unfit::OneClass => unfit("invalid_target", "In half of the rows only one class is left; use another selection."),
        Unfit::EmptyClass => unfit("invalid_target", "In half of the rows a class has no row left; use another selection."),
        Unfit::NoCount => unfit("invalid_target", "In half of the rows no count above zero is left; use another selection."),
        Unfit::NoWeight => unfit("invalid_weight", "In half of the rows no weight is left; use another selection."),
        other => other.into(),
    }
}
