//! Is the support unique?

use super::clock::Clock;
use super::{Observe, Point, Problem, multinomial, subset};
use crate::matrix::{Column, Number, ValuesView};
use crate::numeric::SplitMix64;

/// How far from 1 the cosine of two columns may be that count as one: the means and spreads behind it are sums over the
/// rows, whose rounding grows with their number (5.8e-12 was seen at 32 561 rows for x and 1 − x).
fn rounding(n_rows: usize) -> f64 {
    (8.0 * n_rows as f64 * f64::EPSILON).max(1e-12)
}

/// Columns that make the support ambiguous, rising: columns equal up to scale (with an intercept also after centring)
/// to a support column, with that support column, and columns outside the support with |gradient| within 1e-6·λ of
/// the bound. Twins within a group are not counted, and of groups it is the gradient of a whole group that touches its bound.
/// Of the L0 penalty a column outside counts whose coming would leave F as it is, within 1e-6 of its price.
/// `None` when `observe` said to stop.
pub fn ambiguous_support(problem: &Problem, point: &Point, observe: &Observe) -> Option<Vec<u32>> {
    if let Some(classes) = &problem.classes {
        return multinomial::ambiguous_support(problem, classes, point, observe);
    }
    let mut clock = Clock::new(observe);
    match problem.data.x.values {
        ValuesView::Single(values) => search(problem, values, point, &mut clock),
        ValuesView::Double(values) => search(problem, values, point, &mut clock),
    }
}

fn search<V: Number>(problem: &Problem, values: &[V], point: &Point, clock: &mut Clock) -> Option<Vec<u32>> {
    // within bounds a twin of the wrong sign cannot stand in
    let stands_in = |j: u32, twin: u32, cosine: f64| {
        let w = point.columns.binary_search(&j).map_or(0.0, |k| point.values[k]);
        problem.reach(twin as usize, w * cosine) > 0.0
    };
    let mut found = twins(problem, values, &point.columns, &stands_in, clock)?;
    found.extend(if problem.is_counting() {
        subset::as_good(problem, values, point, clock)?
    } else {
        at_the_bound(problem, values, point, clock)?
    });
    found.sort_unstable();
    found.dedup();
    Some(found)
}

/// Twins have the same cosine, up to sign, with any vector: sort by the cosine with one fixed pseudo-random vector,
/// look at neighbours, then compare the columns themselves. A twin counts that `stands_in` for the column of the support, told
/// their cosine.
pub(super) fn twins<V: Number>(
    problem: &Problem,
    values: &[V],
    support: &[u32],
    stands_in: &dyn Fn(u32, u32, f64) -> bool,
    clock: &mut Clock,
) -> Option<Vec<u32>> {
    let probe: Vec<f64> = problem.share.iter().enumerate().map(|(i, s)| s * noise(i as u64)).collect();
    let total: f64 = if problem.options.intercept { probe.iter().sum() } else { 0.0 };
    let column = |j: usize| problem.data.x.column(j, values);
    let key = |j: usize| {
        let go_on = clock.touch(column(j).nnz());
        go_on.then(|| ((column(j).dot(&probe) - problem.center[j] * total).abs() / problem.spread[j].sqrt(), j as u32))
    };
    let live = (0..problem.scale.len()).filter(|&j| problem.scale[j] > 0.0 && problem.spread[j] > 0.0);
    let mut keys: Vec<(f64, u32)> = live.map(key).collect::<Option<_>>()?;
    keys.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let size = probe.iter().map(|p| p.abs()).sum::<f64>();
    let mut found = Vec::new();
    for &j in support {
        if !clock.work(keys.len() / 4) {
            return None;
        }
        let Some(home) = keys.iter().position(|key| key.1 == j) else { continue };
        let near = |key: &&(f64, u32)| (key.0 - keys[home].0).abs() <= 1e-9 * (size + keys[home].0);
        let below = keys[..home].iter().rev().take_while(near);
        let above = keys[home + 1..].iter().take_while(near);
        let before = found.len();
        let same = |key: &&(f64, u32)| {
            // within a group the norm says how twins share
            if problem.blocks.as_ref().is_some_and(|blocks| blocks.of(j) == blocks.of(key.1)) {
                return false;
            }
            let work = column(j as usize).nnz() + column(key.1 as usize).nnz();
            if !clock.touch(work) {
                return false;
            }
            let cosine = cosine(problem, column(j as usize), j, column(key.1 as usize), key.1);
            cosine.abs() >= 1.0 - rounding(problem.data.x.n_rows) && stands_in(j, key.1, cosine)
        };
        found.extend(below.chain(above).filter(same).map(|key| key.1));
        if found.len() > before {
            found.push(j);
        }
    }
    (!clock.cancelled).then_some(found)
}

/// Weighted cosine of two columns, centred when there is an intercept.
fn cosine<V: Number>(problem: &Problem, a: Column<V>, ja: u32, b: Column<V>, jb: u32) -> f64 {
    let mut product = 0.0;
    let mut other = b.iter().peekable();
    for (i, x) in a.iter() {
        while other.next_if(|(row, _)| *row < i).is_some() {}
        if let Some((_, z)) = other.next_if(|(row, _)| *row == i) {
            product += problem.share[i] * x * z;
        }
    }
    let (ja, jb) = (ja as usize, jb as usize);
    (product - problem.center[ja] * problem.center[jb]) / (problem.spread[ja] * problem.spread[jb]).sqrt()
}

/// Columns outside the support whose gradient touches its bound.
fn at_the_bound<V: Number>(problem: &Problem, values: &[V], point: &Point, clock: &mut Clock) -> Option<Vec<u32>> {
    let mut eta = problem.start(point.intercept);
    for (&j, &w) in point.columns.iter().zip(&point.values) {
        let column = problem.data.x.column(j as usize, values);
        clock.touch(column.nnz());
        column.add_to(w, &mut eta);
    }
    let (theta, _) = problem.balance(&mut eta, &mut { point.intercept }, clock);
    let sum: f64 = if problem.options.intercept { theta.iter().sum() } else { 0.0 };
    if let Some(blocks) = &problem.blocks {
        let mut gradient = Vec::with_capacity(problem.scale.len());
        for j in 0..problem.scale.len() {
            let column = problem.data.x.column(j, values);
            clock.touch(column.nnz());
            gradient.push(column.dot(&theta) - problem.center[j] * sum);
        }
        let outside = |g: &usize| blocks.columns(*g).iter().all(|j| point.columns.binary_search(j).is_err());
        let at_bounds = blocks.critical(&gradient, &problem.l1, &problem.scale, clock);
        let touching = (0..at_bounds.len()).filter(|&g| at_bounds[g] >= point.lambda * (1.0 - 1e-6)).filter(outside);
        // of a sparse group only those that would leave 0 with it
        let past = |j: &u32| gradient[*j as usize].abs() >= point.lambda * (1.0 - 1e-6) * problem.l1[*j as usize];
        let found = touching.flat_map(|g| blocks.columns(g).iter().copied().filter(past)).collect();
        return (!clock.cancelled).then_some(found);
    }
    let touches = |j: &u32| {
        let k = *j as usize;
        let bound = point.lambda * problem.l1[k];
        let outside = bound > 0.0 && point.columns.binary_search(j).is_err();
        let mut gradient = || {
            let column = problem.data.x.column(k, values);
            clock.touch(column.nnz());
            column.dot(&theta) - problem.center[k] * sum
        };
        // On the scale of the penalty: |c|/σ against λ·f·l1_ratio.
        outside && problem.push(k, gradient()) >= bound - 1e-6 * point.lambda * problem.scale[k]
    };
    let found = (0..problem.scale.len() as u32).filter(touches).collect();
    (!clock.cancelled).then_some(found)
}

/// A number in [−1, 1) that depends on `i` alone.
fn noise(i: u64) -> f64 {
    SplitMix64::at(i).symmetric()
}
