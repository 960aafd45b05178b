//! Is the support unique? Columns that could stand in for each other, found by a random projection.

use super::path::Point;
use super::problem::Problem;
use super::state::State;
use super::watch::Watch;
use crate::matrix::{Number, ValuesView, dot};

/// Two projections agree to this ratio only for columns that are equal up to scale.
const EQUAL: f64 = 1e-9;
/// A gradient this near to its bound (in units of λ) is on it.
const ON_BOUND: f64 = 1e-6;

/// Columns that make the support ambiguous, rising: columns equal up to scale (with an intercept also after centring)
/// to a support column, with that support column, and columns outside the support with |gradient| within 1e-6·λ of
/// the bound.
pub fn ambiguous_support(problem: &Problem<'_>, point: &Point) -> Vec<u32> {
    let mut in_support = vec![false; problem.data.x.len()];
    point.columns.iter().for_each(|&j| in_support[j as usize] = true);
    let mut ambiguous = twins(problem, &in_support);
    ambiguous.extend(on_bound(problem, point, &in_support));
    ambiguous.sort_unstable();
    ambiguous.dedup();
    ambiguous
}

/// Members of groups of proportional columns that a support column belongs to.
fn twins(problem: &Problem<'_>, in_support: &[bool]) -> Vec<u32> {
    let prints = match problem.data.x.values {
        ValuesView::Single(values) => prints(problem, values),
        ValuesView::Double(values) => prints(problem, values),
    };
    let mut order: Vec<usize> = (0..prints.len()).filter(|&j| prints[j][0] > 0.0).collect();
    order.sort_unstable_by(|&a, &b| prints[a][0].total_cmp(&prints[b][0]).then(a.cmp(&b)));
    let near = |a: f64, b: f64| (a - b).abs() <= EQUAL * a.max(b);
    let mut found = Vec::new();
    for group in order.chunk_by(|&a, &b| near(prints[a][0], prints[b][0])) {
        for &j in group.iter().filter(|&&j| in_support[j]) {
            let alike: Vec<u32> = group.iter().filter(|&&i| near(prints[i][1], prints[j][1])).map(|&i| i as u32).collect();
            if alike.len() > 1 {
                found.extend(alike);
            }
        }
    }
    found
}

/// |x̃_jᵀz|/‖x̃_j‖ for two fixed pseudo-random vectors z over the rows that count; x̃ centred when there is an intercept.
fn prints<V: Number>(problem: &Problem<'_>, values: &[V]) -> Vec<[f64; 2]> {
    let x = &problem.data.x;
    let noise = |seed: u64| -> Vec<f64> {
        let mut z: Vec<f64> = (0..x.n_rows as u64).map(|i| signed_unit(i ^ seed)).collect();
        z.iter_mut().zip(&problem.weights).filter(|(_, weight)| **weight == 0.0).for_each(|(z, _)| *z = 0.0);
        if problem.options.intercept {
            let live = problem.weights.iter().filter(|weight| **weight > 0.0).count().max(1) as f64;
            let mean = z.iter().sum::<f64>() / live;
            z.iter_mut().zip(&problem.weights).filter(|(_, weight)| **weight > 0.0).for_each(|(z, _)| *z -= mean);
        }
        z
    };
    let live: Vec<f64> = problem.weights.iter().map(|&weight| if weight > 0.0 { 1.0 } else { 0.0 }).collect();
    let n_live: f64 = live.iter().sum();
    let vectors = [noise(0x9e37_79b9_7f4a_7c15), noise(0xd1b5_4a32_d192_ed03)];
    let print = |j: usize| {
        let column = x.column(j, values);
        let [_, sum, square] = crate::matrix::sum_weighted(column, &live);
        let spread = if problem.options.intercept { square - sum * sum / n_live } else { square };
        if problem.shrink[j] == 0.0 || spread <= 1e-12 * square {
            return [0.0, 0.0];
        }
        [0, 1].map(|v| dot(column, &vectors[v]).abs() / spread.sqrt())
    };
    (0..x.len()).map(print).collect()
}

/// A number in (−1, 1) of a counter (SplitMix64, Steele, Lea & Flood 2014).
fn signed_unit(counter: u64) -> f64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Columns outside the support whose gradient is on the bound.
fn on_bound(problem: &Problem<'_>, point: &Point, in_support: &[bool]) -> Vec<u32> {
    if problem.l1_ratio == 0.0 {
        return Vec::new();
    }
    let state = State::at(problem, &point.columns, &point.values, point.intercept);
    let go_on = |_: &super::Progress| std::ops::ControlFlow::Continue(());
    let mut watch = Watch::new(&go_on, problem.data.x.nnz());
    let gradient = state.gradient(problem, &mut watch).unwrap_or_default();
    let near = |&j: &usize| {
        let bound = point.lambda * problem.l1_ratio * problem.factor(j);
        problem.shrink[j] > 0.0 && !in_support[j] && bound > 0.0 && (gradient[j].abs() - bound).abs() <= ON_BOUND * point.lambda
    };
    (0..gradient.len()).filter(near).map(|j| j as u32).collect()
}
