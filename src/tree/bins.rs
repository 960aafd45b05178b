//! The matrix as a tree reads it: entries in the order of their values, made once and shared by all trees on it.
//!
//! A *bin* is a distinct value of a column; a *cell* is a bin, or for classes a bin and a class. Cells are numbered by
//! column, then value, then class, so a sum for each cell is an exact histogram: never longer than the non-zeros.

use super::clock::{BLOCK, Clock};
use super::{Observe, Target, Unfit, fits};
use crate::matrix::{ColumnsView, Number, ValuesView};

/// The cells of a matrix, and by rows which of them each row has.
pub struct Bins<'a> {
    pub(crate) x: ColumnsView<'a>,
    pub(crate) target: Target<'a>,
    /// Where each row begins in `entries`.
    pub(crate) row_starts: Vec<u32>,
    /// Cells of each row, rising.
    pub(crate) entries: Vec<u32>,
    /// Where each stored column begins among the cells.
    pub(crate) starts: Vec<u32>,
    /// First cell of each stored column whose value is above 0.
    pub(crate) zeros: Vec<u32>,
    /// An entry of the matrix that lies in the cell: it tells the value.
    pub(crate) source: Vec<u32>,
    /// Bin of each cell; empty unless cells know classes.
    pub(crate) bins: Vec<u32>,
    /// Class of each cell; empty unless cells know classes.
    pub(crate) classes: Vec<u16>,
}

/// A value in the order of its kind, with the position it came from.
trait Ordered: Number + PartialEq {
    type Key: Ord + Copy + Default;
    fn key(self, position: usize) -> Self::Key;
    fn position(key: Self::Key) -> usize;
    fn same_value(a: Self::Key, b: Self::Key) -> bool;
}

impl Ordered for f32 {
    type Key = u64;
    fn key(self, position: usize) -> u64 {
        let bits = self.to_bits();
        let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        u64::from(ordered) << 32 | position as u64
    }
    fn position(key: u64) -> usize {
        key as u32 as usize
    }
    fn same_value(a: u64, b: u64) -> bool {
        a >> 32 == b >> 32
    }
}

impl Ordered for f64 {
    type Key = (u64, u32);
    fn key(self, position: usize) -> (u64, u32) {
        let bits = self.to_bits();
        (if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }, position as u32)
    }
    fn position(key: (u64, u32)) -> usize {
        key.1 as usize
    }
    fn same_value(a: (u64, u32), b: (u64, u32)) -> bool {
        a.0 == b.0
    }
}

impl<'a> Bins<'a> {
    /// Orders the entries of every column; for K > 2 classes the cells know classes.
    pub fn new(x: ColumnsView<'a>, target: Target<'a>, observe: &Observe) -> Result<Self, Unfit> {
        if !fits(&x) {
            return Err(Unfit::TooLarge);
        }
        target.check(x.n_rows)?;
        let mut clock = Clock::new(observe, None);
        match x.values {
            ValuesView::Single(values) => Self::typed(x, values, target, &mut clock),
            ValuesView::Double(values) => Self::typed(x, values, target, &mut clock),
        }
    }

    fn typed<V: Ordered>(x: ColumnsView<'a>, values: &[V], target: Target<'a>, clock: &mut Clock) -> Result<Self, Unfit> {
        let of_row = match target {
            Target::Classes { of_row, n, .. } if n > 2 => Some(of_row),
            _ => None,
        };
        let mut made = Self {
            x,
            target,
            row_starts: vec![0; x.n_rows + 1],
            entries: vec![0; x.nnz()],
            starts: Vec::with_capacity(x.len() + 1),
            zeros: Vec::with_capacity(x.len()),
            source: Vec::with_capacity(x.nnz()),
            bins: Vec::new(),
            classes: Vec::new(),
        };
        for rows in x.rows[..x.nnz()].chunks(BLOCK) {
            clock.work(rows.len())?;
            rows.iter().for_each(|&row| made.row_starts[row as usize] += 1);
        }
        let mut sum = 0;
        for start in &mut made.row_starts {
            (*start, sum) = (sum, sum + *start);
        }
        let mut next = made.row_starts.clone();
        let (mut keys, mut spare) = (Vec::new(), Vec::new());
        let mut bin = 0;
        for j in 0..x.len() {
            let range = x.range(j);
            let (rows, values) = (&x.rows[range.clone()], &values[range.clone()]);
            clock.work(4 * rows.len())?;
            made.starts.push(made.source.len() as u32);
            keys.clear();
            keys.extend(values.iter().enumerate().map(|(position, &value)| value.key(position)));
            if values.iter().any(|&value| value != values[0]) {
                sort(&mut keys, &mut spare, clock)?;
            }
            let first_positive = keys.partition_point(|&key| values[V::position(key)].into() < 0.0);
            let mut zero = None;
            let mut at = 0;
            while at < keys.len() {
                if at == first_positive {
                    zero = Some(made.source.len() as u32);
                }
                let mut end = at + 1;
                while end < keys.len() && V::same_value(keys[at], keys[end]) {
                    end += 1;
                }
                let run = &mut keys[at..end];
                if let Some(of_row) = of_row {
                    let class = |key: V::Key| of_row[rows[V::position(key)] as usize];
                    clock.work(run.len())?;
                    run.sort_by_key(|&key| class(key));
                    for group in run.chunk_by(|&a, &b| class(a) == class(b)) {
                        made.bins.push(bin);
                        made.classes.push(class(group[0]) as u16);
                        made.place::<V>(rows, range.start, group, &mut next);
                    }
                } else {
                    made.place::<V>(rows, range.start, run, &mut next);
                }
                bin += 1;
                at = end;
            }
            made.zeros.push(zero.unwrap_or(made.source.len() as u32));
        }
        made.starts.push(made.source.len() as u32);
        made.source.shrink_to_fit();
        Ok(made)
    }

    /// A new cell that holds the entries of these keys.
    fn place<V: Ordered>(&mut self, rows: &[u32], start: usize, keys: &[V::Key], next: &mut [u32]) {
        let cell = self.source.len() as u32;
        self.source.push((start + V::position(keys[0])) as u32);
        for &key in keys {
            let to = &mut next[rows[V::position(key)] as usize];
            self.entries[*to as usize] = cell;
            *to += 1;
        }
    }

    /// Value of an entry of the matrix.
    pub(crate) fn value(&self, entry: u32) -> f64 {
        match self.x.values {
            ValuesView::Single(values) => values[entry as usize].into(),
            ValuesView::Double(values) => values[entry as usize],
        }
    }
}

/// Sorts in pieces that take less than a millisecond, and merges them.
fn sort<K: Ord + Copy + Default>(keys: &mut Vec<K>, spare: &mut Vec<K>, clock: &mut Clock) -> Result<(), Unfit> {
    for piece in keys.chunks_mut(BLOCK) {
        clock.work(8 * piece.len())?;
        piece.sort_unstable();
    }
    let mut width = BLOCK;
    while width < keys.len() {
        spare.clear();
        for pair in keys.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            while let (Some(&a), Some(&b)) = (left.first(), right.first()) {
                if spare.len().is_multiple_of(BLOCK) {
                    clock.work(BLOCK)?;
                }
                if a <= b {
                    spare.push(a);
                    left = &left[1..];
                } else {
                    spare.push(b);
                    right = &right[1..];
                }
            }
            spare.extend_from_slice(left);
            spare.extend_from_slice(right);
        }
        std::mem::swap(keys, spare);
        width *= 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_columns_are_sorted_in_pieces_as_they_would_be_whole() {
        let mut keys: Vec<u64> = (0..5 * BLOCK as u64 + 77).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20).collect();
        let mut whole = keys.clone();
        whole.sort_unstable();
        let go_on = |_: &super::super::Progress| std::ops::ControlFlow::Continue(());
        sort(&mut keys, &mut Vec::new(), &mut Clock::new(&go_on, None)).unwrap();
        assert_eq!(keys, whole);
    }

    #[test]
    fn keys_rise_with_their_values() {
        let values = [-3.0, -0.5, f64::MIN_POSITIVE, 0.5, 7.0];
        assert!(values.windows(2).all(|pair| pair[0].key(1) < pair[1].key(0)));
        assert!(values.windows(2).all(|pair| (pair[0] as f32).key(1) < (pair[1] as f32).key(0) || pair[1] < 1e-300));
    }
}
