//! Dense symmetric systems: Cholesky on a row-major lower triangle.
//!
//! Knows nothing of columns and penalties.

use super::clock::Clock;
use crate::matrix::dot;

/// Solves `A·x = b` in place for symmetric positive definite `a` (`n × n`, row-major, lower triangle read and
/// overwritten by its factor). `false` when a pivot is not positive relative to its diagonal: `b` is then spoilt.
pub(crate) fn cholesky_solve(a: &mut [f64], n: usize, b: &mut [f64], clock: &mut Clock) -> bool {
    factorise(a, n, clock) && {
        substitute(a, n, b);
        true
    }
}

/// Left-looking, by rows: every entry is one dot product of two rows. `false` also when `clock` says stop.
pub(crate) fn factorise(a: &mut [f64], n: usize, clock: &mut Clock) -> bool {
    for i in 0..n {
        if !clock.work(i * i / 16) {
            return false;
        }
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &above[j * n..j * n + j + 1];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let diagonal = row[i];
        let pivot = diagonal - dot(&row[..i], &row[..i]);
        if pivot.is_nan() || pivot <= 1e-14 * diagonal {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}

/// Solves with a factor made by [`factorise`].
pub(crate) fn substitute(a: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let row = &a[i * n..i * n + i + 1];
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
    }
    for i in (0..n).rev() {
        let row = &a[i * n..i * n + i + 1];
        b[i] /= row[i];
        let x = b[i];
        b[..i].iter_mut().zip(row).for_each(|(b, r)| *b -= x * r);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved_and_a_singular_one_is_refused() {
        let mut a = vec![4.0, 0.0, 0.0, 2.0, 5.0, 0.0, 1.0, 3.0, 6.0];
        let mut b = vec![11.0, 21.0, 25.0];
        let go_on = |_: &crate::solver::Progress| std::ops::ControlFlow::Continue(());
        let mut clock = Clock::new(&go_on);
        assert!(cholesky_solve(&mut a, 3, &mut b, &mut clock));
        for (x, want) in b.iter().zip([1.0, 2.0, 3.0]) {
            assert!((x - want).abs() < 1e-12);
        }
        assert!(!cholesky_solve(&mut [1.0, 0.0, 1.0, 1.0], 2, &mut [1.0, 1.0], &mut clock));
    }
}
