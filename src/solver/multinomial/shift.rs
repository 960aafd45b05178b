//! What is the same for all classes: W_j· + c has the same loss for every c, and only one penalty is the least.
//!
//! That least is found exactly, feature by feature (Friedman, Hastie & Tibshirani, JSS 2010, section 4.1): class by class
//! steps come to it slowly where the penalty is small against the loss. A lasso whose classes are even in number may leave
//! a range of c; of that, the end with one more coefficient at 0 is taken.

use super::engine::Engine;
use crate::matrix::Number;

/// What to do where a range of shifts has the same penalty.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Tie {
    /// Leave the coefficients as they are.
    Stay,
    /// Move one to 0.
    Sparse,
}

/// Moves every feature that has a coefficient to its least penalty.
pub(super) fn all<V: Number>(engine: &mut Engine<'_, '_, V>, tie: Tie) {
    let p = engine.problem.scale.len();
    let mut columns: Vec<u32> = engine.support.iter().flatten().copied().collect();
    engine.clock.work(8 * columns.len());
    columns.sort_unstable();
    // fewer than half of the classes: the median is 0 already, and so is what a shift could gain
    let half = engine.classes.n / 2;
    let mut of_column = Vec::new();
    let mut moved = false;
    for same in columns.chunk_by(|a, b| a == b) {
        let (l1, l2) = engine.bounds(same[0]);
        if same.len() < half && l1 > 0.0 && l2 == 0.0 {
            continue;
        }
        let place = |k: usize| k * p + same[0] as usize;
        of_column.clear();
        of_column.extend((0..engine.classes.n).map(|k| engine.w[place(k)]));
        let shift = least(&mut of_column, l1, l2, tie);
        if shift != 0.0 {
            engine.clock.work(engine.classes.n);
            (0..engine.classes.n).for_each(|k| engine.w[place(k)] -= shift);
            moved = true;
        }
    }
    if moved {
        engine.find_support();
    }
}

/// The u with the least Σ l1·|w − u| + l2/2·(w − u)²; sorts `w`.
fn least(w: &mut [f64], l1: f64, l2: f64, tie: Tie) -> f64 {
    let n = w.len();
    let sum: f64 = w.iter().sum();
    if l1 == 0.0 {
        return sum / n as f64;
    }
    w.sort_unstable_by(f64::total_cmp);
    if l2 == 0.0 {
        let (low, high) = (w[(n - 1) / 2], w[n / 2]);
        return match () {
            () if low > 0.0 => low,
            () if high < 0.0 => high,
            () if low < 0.0 && high > 0.0 && tie == Tie::Sparse => {
                if -low <= high {
                    low
                } else {
                    high
                }
            }
            () => 0.0,
        };
    }
    // the slope at u is l1·(number below − number above) + l2·(n·u − Σw), rising: it passes 0 between two of w or at one
    let root = |below: usize| (l2 * sum - l1 * (2.0 * below as f64 - n as f64)) / (l2 * n as f64);
    for (below, &here) in w.iter().enumerate() {
        let u = root(below);
        if u < here {
            return if below > 0 { u.max(w[below - 1]) } else { u };
        }
    }
    root(n).max(w[n - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_penalty_agrees_with_brute_force() {
        let penalty =
            |w: &[f64], u: f64, l1: f64, l2: f64| -> f64 { w.iter().map(|w| l1 * (w - u).abs() + l2 / 2.0 * (w - u) * (w - u)).sum() };
        let rows: [&[f64]; 6] =
            [&[1.0, -2.0], &[0.5, 0.0, 3.0], &[2.0, 1.0, 4.0, 3.0], &[-1.0, -1.0, -1.0], &[0.0, 0.0, 1.0, -5.0], &[2.0, 2.0, 0.0]];
        for w in rows {
            for (l1, l2) in [(1.0, 0.0), (0.0, 1.0), (1.0, 0.5), (0.1, 2.0), (3.0, 0.1)] {
                for tie in [Tie::Stay, Tie::Sparse] {
                    let u = least(&mut w.to_vec(), l1, l2, tie);
                    let brute = (-6000..6000).map(|k| penalty(w, f64::from(k) * 1e-3, l1, l2)).fold(f64::INFINITY, f64::min);
                    assert!(penalty(w, u, l1, l2) <= brute + 1e-12, "{w:?} {l1} {l2}: {u}");
                }
            }
        }
    }

    #[test]
    fn a_range_of_the_same_penalty_is_left_for_a_zero_or_not_at_all() {
        assert_eq!(least(&mut [1.0, -2.0], 1.0, 0.0, Tie::Stay), 0.0);
        assert_eq!(least(&mut [1.0, -2.0], 1.0, 0.0, Tie::Sparse), 1.0);
        assert_eq!(least(&mut [0.0, -2.0], 1.0, 0.0, Tie::Sparse), 0.0);
        assert_eq!(least(&mut [-3.0, -2.0, 5.0, 5.0], 1.0, 0.0, Tie::Sparse), -2.0);
    }
}
