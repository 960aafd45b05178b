//! The dual objective at a rescaled residual: the lower bound that a solve stops on.
//!
//! At t·θ it is −Σ share·loss*(−tθ/share) − Σ pen*(t·c), c = Xᵀθ (Ndiaye et al., JMLR 2017). Columns without an L2 part need
//! t·|c| ≤ their bound; columns with one need nothing. θ must be orthogonal to the intercepts and unpenalised columns.

use super::problem::Classes;
use super::rows;
use crate::solver::Problem;
use crate::solver::clock::Clock;

/// The best dual value among a few rescalings of `theta`, whose products with the columns are `gradient`; worth nothing when
/// `clock` said stop.
pub(super) fn value(problem: &Problem, classes: &Classes, lambda: f64, theta: &[f64], gradient: &[f64], clock: &mut Clock) -> f64 {
    let p = problem.scale.len().max(1);
    // the tightest of l1/|c| over the entries without an L2 part, and over all that have an L1 part
    let (mut hard, mut soft) = (f64::INFINITY, f64::INFINITY);
    // excess over the L1 bound and L2 part
    let mut over: Vec<(f64, f64, f64)> = Vec::new();
    let has_l2 = problem.l2.iter().any(|l2| *l2 > 0.0);
    for gradient in gradient.chunks(p) {
        clock.work(gradient.len());
        for (j, c) in gradient.iter().enumerate() {
            let (l1, l2, c) = (lambda * problem.l1[j], lambda * problem.l2[j], c.abs());
            if l2 > 0.0 {
                if c > l1 {
                    over.push((c, l1, l2));
                }
                if l1 > 0.0 && l1 < soft * c {
                    soft = l1 / c;
                }
            } else if l1 > 0.0 && l1 < hard * c {
                hard = l1 / c;
            }
        }
    }
    let soft = soft.min(hard);
    let mut at = |t: f64| {
        let excess = |(c, l1, l2): &(f64, f64, f64)| ((t * c - l1).max(0.0), *l2);
        let penalty: f64 = over.iter().map(excess).map(|(excess, l2)| excess * excess / (2.0 * l2)).sum();
        -rows::mean_conjugate(theta, t, &problem.share, &classes.of_row, clock) - penalty
    };
    let best = at(hard.min(1.0));
    if has_l2 && soft < hard.min(1.0) && soft > 0.0 { best.max(at(soft)) } else { best }
}
