//! Dense symmetric systems: Cholesky on a row-major lower triangle.
//!
//! Knows nothing of columns and penalties. The arithmetic is written once, in lanes of a fixed width and without fused
//! multiply-adds; wide registers, where the processor has them, only carry more lanes at a time and give the same bits.

use super::clock::Clock;
use crate::numeric::widest;

/// Columns factorised at a time.
const BLOCK: usize = 32;
/// Rows of the block in a tile.
const WIDE: usize = 4;
/// Partial sums of a dot product.
const LANES: usize = 4;

/// What a pivot is made when its unknown is held at 0: nothing passes it any more.
const HELD: f64 = 1e150;

/// Solves `A·x = b` in place for symmetric positive definite `a` (`n × n`, row-major, lower triangle read and
/// overwritten by its factor). `false` when a pivot is not positive relative to its diagonal: `b` is then spoilt.
pub(crate) fn cholesky_solve(a: &mut [f64], n: usize, b: &mut [f64], clock: &mut Clock) -> bool {
    factorise(a, n, 0.0, clock) && {
        substitute(a, n, b);
        true
    }
}

/// Left-looking, by blocks of columns. An unknown whose pivot is below `least` times its diagonal entry depends on those
/// before it: it is held at 0 in what is solved. `false` when a pivot is not positive, or `clock` says stop.
pub(crate) fn factorise(a: &mut [f64], n: usize, least: f64, clock: &mut Clock) -> bool {
    let floors: Vec<f64> = (0..n).map(|i| least * a[i * n + i]).collect();
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        // four rows at a time, so that each row of the block is read once for four
        for top in (start..n).step_by(4) {
            if !clock.work(4 * start * (end - start) / 16) {
                return false;
            }
            less_products(a, n, top..(top + 4).min(n), start..end);
        }
        if !diagonal_block(a, n, start..end, &floors) {
            return false;
        }
        let columns = columns_of(a, n, start..end);
        for row in a[end * n..].chunks_exact_mut(n) {
            if !clock.work(BLOCK * BLOCK / 16) {
                return false;
            }
            solve_row(&mut row[start..end], &columns);
        }
    }
    true
}

/// Whether the factor holds an unknown at 0.
pub(crate) fn is_held(a: &[f64], n: usize, i: usize) -> bool {
    a[i * n + i] == HELD
}

/// The factor of one block on the diagonal, whose entries have only the block's own columns left to take off.
fn diagonal_block(a: &mut [f64], n: usize, block: std::ops::Range<usize>, floors: &[f64]) -> bool {
    for i in block.clone() {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[block.start..=i];
        for j in 0..i - block.start {
            let other = &above[(block.start + j) * n + block.start..][..=j];
            row[j] = (row[j] - row[..j].iter().zip(other).map(|(a, b)| a * b).sum::<f64>()) / other[j];
        }
        let (diagonal, before) = row.split_last_mut().expect("a row reaches its diagonal");
        let pivot = *diagonal - before.iter().map(|x| x * x).sum::<f64>();
        if pivot < floors[i] {
            *diagonal = HELD;
            continue;
        }
        if pivot.is_nan() || pivot <= 1e-14 * diagonal.abs() {
            return false;
        }
        *diagonal = pivot.sqrt();
    }
    true
}

/// The columns of a factorised diagonal block, padded with zeros, and the reciprocals of its diagonal.
struct BlockColumns {
    columns: [[f64; BLOCK]; BLOCK],
    reciprocals: [f64; BLOCK],
}

fn columns_of(a: &[f64], n: usize, block: std::ops::Range<usize>) -> BlockColumns {
    let mut made = BlockColumns { columns: [[0.0; BLOCK]; BLOCK], reciprocals: [0.0; BLOCK] };
    for (k, j) in block.clone().enumerate() {
        made.reciprocals[k] = 1.0 / a[j * n + j];
        for (l, i) in (j + 1..block.end).enumerate() {
            made.columns[k][k + 1 + l] = a[i * n + j];
        }
    }
    made
}

/// Solves with a factor made by [`factorise`], one row at a time: for small systems.
pub(crate) fn substitute(a: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        let row = &a[i * n..i * n + i + 1];
        b[i] = (b[i] - crate::matrix::dot(&row[..i], &b[..i])) / row[i];
    }
    for i in (0..n).rev() {
        let row = &a[i * n..i * n + i + 1];
        b[i] /= row[i];
        let x = b[i];
        b[..i].iter_mut().zip(row).for_each(|(b, r)| *b -= x * r);
    }
}

/// Solves `L·x = b` for a factor L and a right side that is 0 before row `from`.
pub(crate) fn forward(a: &[f64], n: usize, from: usize, b: &mut [f64]) {
    forward_wide(a, n, from, b);
}

/// Solves `Lᵀ·x = b` for a factor L.
pub(crate) fn backward(a: &[f64], n: usize, b: &mut [f64]) {
    backward_wide(a, n, b);
}

widest! {
    /// See [`forward`].
    fn forward_wide(a: &[f64], n: usize, from: usize, b: &mut [f64]) = forward_in_lanes
}

widest! {
    /// See [`backward`].
    fn backward_wide(a: &[f64], n: usize, b: &mut [f64]) = backward_in_lanes
}

/// Four rows at a time: what is known of `b` is read once for four.
#[inline(always)]
fn forward_in_lanes(a: &[f64], n: usize, from: usize, b: &mut [f64]) {
    let mut i = from;
    while i + 4 <= n {
        let sums = products(std::array::from_fn::<_, 4, _>(|r| &a[(i + r) * n + from..(i + r) * n + i]), [&b[from..i]]);
        for r in 0..4 {
            let row = &a[(i + r) * n + i..(i + r) * n + i + 4];
            let near: f64 = (0..r).map(|c| row[c] * b[i + c]).sum();
            b[i + r] = (b[i + r] - (sums[r][0] + near)) / row[r];
        }
        i += 4;
    }
    for i in i..n {
        let sum = products([&a[i * n + from..i * n + i]], [&b[from..i]])[0][0];
        b[i] = (b[i] - sum) / a[i * n + i];
    }
}

/// Four rows at a time, as [`forward_in_lanes`].
#[inline(always)]
fn backward_in_lanes(a: &[f64], n: usize, b: &mut [f64]) {
    let mut end = n;
    while end >= 4 {
        let i = end - 4;
        for r in (0..4).rev() {
            let later: f64 = (r + 1..4).map(|c| a[(i + c) * n + i + r] * b[i + c]).sum();
            b[i + r] = (b[i + r] - later) / a[(i + r) * n + i + r];
        }
        let (before, known) = b.split_at_mut(i);
        let x: [f64; 4] = std::array::from_fn(|r| known[r]);
        let [r0, r1, r2, r3]: [&[f64]; 4] = std::array::from_fn(|r| &a[(i + r) * n..(i + r) * n + i]);
        for ((((b, r0), r1), r2), r3) in before.iter_mut().zip(r0).zip(r1).zip(r2).zip(r3) {
            *b -= (x[0] * r0 + x[1] * r1) + (x[2] * r2 + x[3] * r3);
        }
        end = i;
    }
    for i in (0..end).rev() {
        b[i] /= a[i * n + i];
        let x = b[i];
        b[..i].iter_mut().zip(&a[i * n..]).for_each(|(b, r)| *b -= x * r);
    }
}

widest! {
    /// Takes from each entry (row, column) the product of the two rows left of `columns.start`.
    fn less_products(a: &mut [f64], n: usize, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) = less_products_in_lanes
}

widest! {
    /// Solves `x·Lᵀ = row` for the block behind `columns`.
    fn solve_row(row: &mut [f64], columns: &BlockColumns) = solve_row_in_lanes
}

#[inline(always)]
fn less_products_in_lanes(a: &mut [f64], n: usize, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) {
    let depth = columns.start;
    let mut j = columns.start;
    while j < columns.end {
        let wide = (columns.end - j).min(WIDE);
        let sums: [[f64; WIDE]; 4] = if rows.len() == 4 && wide == WIDE {
            let at = |i: usize| &a[i * n..i * n + depth];
            let (top, left) = (rows.start, j);
            products([at(top), at(top + 1), at(top + 2), at(top + 3)], std::array::from_fn::<_, WIDE, _>(|c| at(left + c)))
        } else {
            let mut sums = [[0.0; WIDE]; 4];
            for (r, i) in rows.clone().enumerate() {
                for c in 0..wide {
                    let (row, other) = (&a[i * n..i * n + depth], &a[(j + c) * n..(j + c) * n + depth]);
                    sums[r][c] = products([row], [other])[0][0];
                }
            }
            sums
        };
        for (r, i) in rows.clone().enumerate() {
            for c in 0..wide {
                if j + c <= i {
                    a[i * n + j + c] -= sums[r][c];
                }
            }
        }
        j += wide;
    }
}

/// All products of rows by rows.
#[inline(always)]
fn products<const R: usize, const C: usize>(rows: [&[f64]; R], others: [&[f64]; C]) -> [[f64; C]; R] {
    let mut lanes = [[[0.0; LANES]; C]; R];
    let rows8 = rows.map(|row| row.as_chunks::<LANES>());
    let others8 = others.map(|row| row.as_chunks::<LANES>());
    let chunks = rows8[0].0.len();
    for k in 0..chunks {
        for r in 0..R {
            let x = &rows8[r].0[k];
            for c in 0..C {
                let y = &others8[c].0[k];
                for l in 0..LANES {
                    lanes[r][c][l] += x[l] * y[l];
                }
            }
        }
    }
    let mut sums = [[0.0; C]; R];
    for r in 0..R {
        for c in 0..C {
            let l = &lanes[r][c];
            let rest: f64 = rows8[r].1.iter().zip(others8[c].1).map(|(a, b)| a * b).sum();
            sums[r][c] = (l[0] + l[2]) + (l[1] + l[3]) + rest;
        }
    }
    sums
}

#[inline(always)]
fn solve_row_in_lanes(row: &mut [f64], block: &BlockColumns) {
    let mut x = [0.0; BLOCK];
    x[..row.len()].copy_from_slice(row);
    for (k, column) in block.columns.iter().enumerate().take(row.len()) {
        let solved = x[k] * block.reciprocals[k];
        for l in 0..BLOCK {
            x[l] -= solved * column[l];
        }
        x[k] = solved;
    }
    row.copy_from_slice(&x[..row.len()]);
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
