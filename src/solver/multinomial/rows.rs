//! What the rows of a multinomial fit say: probabilities, loss, conjugate and second derivatives.
//!
//! Everything that has an entry for each row and class lies class by class: entry (i, k) at `k·n + i`. So a class is a
//! slice, and a loop over rows runs in wide registers however many classes there are.

use crate::numeric::{exp, ln, widest};
use crate::solver::clock::Clock;

/// Rows worked at a time: their entries of one class stay in the first cache.
const BLOCK: usize = 256;
/// How far outside the simplex a dual point still counts as on its edge.
const EDGE: f64 = 1e-12;

/// Probabilities of all rows and classes into `p`, and the log-sum-exp of each row into `level`; worth nothing when
/// `clock` said stop.
pub(super) fn softmax(eta: &[f64], n: usize, p: &mut [f64], level: &mut [f64], clock: &mut Clock) {
    let n_classes = eta.len().checked_div(n).unwrap_or(0);
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        if !clock.work(4 * n_classes * (end - start)) {
            return;
        }
        softmax_block(eta, n, start, end, p, level);
    }
}

widest! {
    /// The rows from `start` to `end`.
    fn softmax_block(eta: &[f64], n: usize, start: usize, end: usize, p: &mut [f64], level: &mut [f64]) = softmax_in_lanes
}

#[inline(always)]
fn softmax_in_lanes(eta: &[f64], n: usize, start: usize, end: usize, p: &mut [f64], level: &mut [f64]) {
    let n_classes = eta.len() / n;
    let (mut top, mut sum) = ([f64::NEG_INFINITY; BLOCK], [0.0; BLOCK]);
    let (top, sum) = (&mut top[..end - start], &mut sum[..end - start]);
    for k in 0..n_classes {
        let eta = &eta[k * n + start..k * n + end];
        top.iter_mut().zip(eta).for_each(|(top, &eta)| *top = if eta > *top { eta } else { *top });
    }
    for k in 0..n_classes {
        let (eta, p) = (&eta[k * n + start..k * n + end], &mut p[k * n + start..k * n + end]);
        for (((p, &eta), &top), sum) in p.iter_mut().zip(eta).zip(&*top).zip(&mut *sum) {
            *p = exp(eta - top);
            *sum += *p;
        }
    }
    level[start..end].iter_mut().zip(&*top).zip(&*sum).for_each(|((level, top), &sum)| *level = top + ln(sum));
    sum.iter_mut().for_each(|sum| *sum = 1.0 / *sum);
    for k in 0..n_classes {
        p[k * n + start..k * n + end].iter_mut().zip(&*sum).for_each(|(p, over)| *p *= over);
    }
}

/// Σ share·(level − η of the row's class): the mean loss.
pub(super) fn mean_loss(eta: &[f64], level: &[f64], share: &[f64], class: &[u32]) -> f64 {
    let n = level.len();
    let rows = (0..n).filter(|&i| share[i] > 0.0);
    rows.map(|i| share[i] * (level[i] - eta[class[i] as usize * n + i])).sum()
}

/// share·(1[y = k] − p_k) for all rows and classes; 0 for rows without weight.
pub(super) fn residuals(p: &[f64], share: &[f64], class: &[u32], theta: &mut [f64]) {
    let n = share.len();
    for (theta, p) in theta.chunks_exact_mut(n.max(1)).zip(p.chunks_exact(n.max(1))) {
        theta.iter_mut().zip(p).zip(share).for_each(|((theta, p), share)| *theta = if *share > 0.0 { -share * p } else { 0.0 });
    }
    for (i, (&k, &share)) in class.iter().zip(share).enumerate().filter(|(_, (_, share))| **share > 0.0) {
        let at = k as usize * n + i;
        theta[at] = share * (1.0 - p[at]);
    }
}

/// Σ share·loss*(−tθ/share): the negative entropy of the distributions t·(1[y = k] − θ_k/share) + (1 − t)·1[y = k].
/// Infinite when one of them is none; worth nothing when `clock` said stop.
pub(super) fn mean_conjugate(theta: &[f64], t: f64, share: &[f64], class: &[u32], clock: &mut Clock) -> f64 {
    let n = share.len();
    let mut total = 0.0;
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        if !clock.work(4 * (theta.len() / n) * (end - start)) {
            return f64::INFINITY;
        }
        let (mut sums, mut least) = ([0.0; BLOCK], [0.0; BLOCK]);
        conjugate_block(theta, t, share, class, start, end, &mut sums, &mut least);
        for (i, (sum, least)) in (start..end).zip(sums.iter().zip(&least)) {
            if share[i] > 0.0 {
                total += if *least >= -EDGE { share[i] * sum } else { f64::INFINITY };
            }
        }
    }
    total
}

widest! {
    /// The rows from `start` to `end`: their sums, and the least entry of each.
    fn conjugate_block(
        theta: &[f64], t: f64, share: &[f64], class: &[u32], start: usize, end: usize, sums: &mut [f64], least: &mut [f64]
    ) = conjugate_in_lanes
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn conjugate_in_lanes(theta: &[f64], t: f64, share: &[f64], class: &[u32], start: usize, end: usize, sums: &mut [f64], least: &mut [f64]) {
    let n = share.len();
    let mut over = [0.0; BLOCK];
    let over = &mut over[..end - start];
    over.iter_mut().zip(&share[start..end]).for_each(|(over, share)| *over = if *share > 0.0 { t / share } else { 0.0 });
    for k in 0..theta.len() / n {
        let theta = &theta[k * n + start..k * n + end];
        let rows = theta.iter().zip(&*over).zip(&class[start..end]).zip(&mut *sums).zip(&mut *least);
        for ((((theta, over), &class), sum), least) in rows {
            let own = if class as usize == k { 1.0 } else { 0.0 };
            let a = own - theta * over;
            *least = if a < *least { a } else { *least };
            let a = if a > 0.0 { a } else { 0.0 };
            *sum += a * ln(if a > f64::MIN_POSITIVE { a } else { f64::MIN_POSITIVE });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    /// Three rows, four classes, by the formulas as they are written.
    #[test]
    fn probabilities_losses_and_conjugates_are_those_of_the_formulas() {
        let go_on = |_: &crate::solver::Progress| ControlFlow::Continue(());
        let mut clock = Clock::new(&go_on);
        let (n, k) = (3, 4);
        let eta: Vec<f64> = (0..n * k).map(|at| ((at * 7 % 11) as f64 - 5.0) * 0.7).collect();
        let (share, class) = ([0.5, 0.5, 0.0], [2, 0, 1]);
        let (mut p, mut level, mut theta) = (vec![0.0; n * k], vec![0.0; n], vec![0.0; n * k]);
        softmax(&eta, n, &mut p, &mut level, &mut clock);
        residuals(&p, &share, &class, &mut theta);
        let mut loss = 0.0;
        for i in 0..n {
            let sum: f64 = (0..k).map(|k| eta[k * n + i].exp()).sum();
            assert!((level[i] - sum.ln()).abs() < 1e-14);
            for k in 0..k {
                let expected = eta[k * n + i].exp() / sum;
                assert!((p[k * n + i] - expected).abs() < 1e-15);
                let own = f64::from(u8::from(class[i] as usize == k));
                assert!((theta[k * n + i] - share[i] * (own - expected)).abs() < 1e-15);
            }
            loss += share[i] * (sum.ln() - eta[class[i] as usize * n + i]);
        }
        assert!((mean_loss(&eta, &level, &share, &class) - loss).abs() < 1e-14);
        // Fenchel and Young: equal at the gradient, above it elsewhere
        let product: f64 = theta.iter().zip(&eta).map(|(t, e)| t * e).sum();
        assert!((loss + mean_conjugate(&theta, 1.0, &share, &class, &mut clock) + product).abs() < 1e-14);
        assert!(loss + mean_conjugate(&theta, 0.7, &share, &class, &mut clock) + 0.7 * product > 1e-3);
        assert_eq!(mean_conjugate(&theta, 0.0, &share, &class, &mut clock), 0.0);
        assert_eq!(mean_conjugate(&theta, 50.0, &share, &class, &mut clock), f64::INFINITY);
    }

    #[test]
    fn extreme_predictors_overflow_nothing() {
        let go_on = |_: &crate::solver::Progress| ControlFlow::Continue(());
        let eta = [1e300, -1e300, 800.0, -1e300, 1e300, -800.0];
        let (mut p, mut level) = (vec![0.0; 6], vec![0.0; 2]);
        softmax(&eta, 2, &mut p, &mut level, &mut Clock::new(&go_on));
        // the rows are (1e300, 800, 1e300) and (−1e300, −1e300, −800)
        assert_eq!((p, level), (vec![0.5, 0.0, 0.0, 0.0, 0.5, 1.0], vec![1e300, -800.0]));
    }
}
