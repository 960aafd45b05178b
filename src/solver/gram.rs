//! Products of columns with columns, kept as long as they stay true.
//!
//! X̃ᵀHX̃ for the columns that were ever asked for, grown by appending: what is there is not computed again. An entry
//! is a sum over the rows in their order whatever was appended when, so that a path that goes on in another process
//! finds the same bits. A column is multiplied with all new ones at a time, row by row: it costs its non-zeros and what
//! meets there, and the sums stay in the nearest cache.

use super::clock::Clock;
use crate::matrix::{Column, ColumnsView, Number};
use crate::numeric::widest;

/// The square of so many columns stays in a near cache.
const NEAR: usize = 384;
/// Not among the columns.
const NOWHERE: u32 = u32::MAX;

/// Where products are taken: the matrix and the curvatures of its rows.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'f, V> {
    pub(crate) x: ColumnsView<'f>,
    pub(crate) values: &'f [V],
    pub(crate) h: &'f [f64],
    /// Σ h with an intercept, else 0.
    pub(crate) mass: f64,
}

impl<'f, V: Number> Frame<'f, V> {
    fn column(&self, j: u32) -> Column<'f, V> {
        self.x.column(j as usize, self.values)
    }
}

/// A column that is wanted.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) id: u32,
    /// Σ h x̃².
    pub(crate) curvature: f64,
    /// Its mean.
    pub(crate) center: f64,
}

/// A precision that products are kept in.
pub(crate) trait Precision: Copy + Default {
    /// Whether sums may be made where the products are kept.
    const IS_DOUBLE: bool;
    fn of(x: f64) -> Self;
    fn add(&mut self, x: f64);
}

impl Precision for f64 {
    const IS_DOUBLE: bool = true;

    fn of(x: f64) -> Self {
        x
    }

    fn add(&mut self, x: f64) {
        *self += x;
    }
}

impl Precision for f32 {
    const IS_DOUBLE: bool = false;

    fn of(x: f64) -> Self {
        x as Self
    }

    fn add(&mut self, x: f64) {
        *self += x as Self;
    }
}

/// Products Σ h·x̃_a·x̃_b of some columns.
#[derive(Debug, Default)]
pub(crate) struct Products<S = f64> {
    /// Which columns, in the order of their coming.
    columns: Vec<u32>,
    centers: Vec<f64>,
    /// Where each column of the matrix is among them; empty before the first.
    place: Vec<u32>,
    /// Entries of the columns in each row; empty before the first.
    counts: Vec<u32>,
    /// Their sum.
    entries: usize,
    /// Pairs of entries in one row, each with itself too: the products that making all anew would take.
    pairs: usize,
    /// Both triangles, a row every `stride`.
    square: Vec<S>,
    stride: usize,
}

impl<S: Precision + Into<f64>> Products<S> {
    /// The columns it knows, rising.
    pub(crate) fn known(&self) -> Vec<u32> {
        let mut known = self.columns.clone();
        known.sort_unstable();
        known
    }

    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn holds(&self, j: u32) -> bool {
        self.place.get(j as usize).is_some_and(|place| *place != NOWHERE)
    }

    /// Where a known column is.
    pub(crate) fn place(&self, j: u32) -> usize {
        self.place[j as usize] as usize
    }

    /// The products of the column at `place` with all that are known.
    pub(crate) fn row(&self, place: usize) -> &[S] {
        &self.square[place * self.stride..][..self.columns.len()]
    }

    /// Forgets all columns but those of `kept`.
    pub(crate) fn keep<V: Number>(&mut self, kept: impl Fn(u32) -> bool, x: ColumnsView, values: &[V]) {
        let stay: Vec<usize> = (0..self.columns.len()).filter(|&a| kept(self.columns[a])).collect();
        for (a, &j) in self.columns.iter().enumerate() {
            self.place[j as usize] = stay.binary_search(&a).map_or(NOWHERE, |place| place as u32);
        }
        for (new, &a) in stay.iter().enumerate() {
            // rows and columns only move towards the front
            for (at, &b) in stay.iter().enumerate() {
                self.square[new * self.stride + at] = self.square[a * self.stride + b];
            }
        }
        self.columns = stay.iter().map(|&a| self.columns[a]).collect();
        self.centers = stay.iter().map(|&a| self.centers[a]).collect();
        let columns: Vec<Column<V>> = self.columns.iter().map(|&j| x.column(j as usize, values)).collect();
        (self.entries, self.pairs, self.counts) = (0, 0, Vec::new());
        self.count(&columns, x.n_rows);
    }

    /// Adds the columns of `wanted` that are missing; `false` when `clock` said stop, and nothing is added then.
    pub(crate) fn add<V: Number>(&mut self, wanted: impl Iterator<Item = Wanted>, frame: Frame<V>, clock: &mut Clock) -> bool {
        let new: Vec<Wanted> = wanted.filter(|wanted| !self.holds(wanted.id)).collect();
        if new.is_empty() {
            return true;
        }
        let old = self.columns.len();
        let ids: Vec<u32> = self.columns.iter().copied().chain(new.iter().map(|new| new.id)).collect();
        let columns: Vec<Column<V>> = ids.iter().map(|&j| frame.column(j)).collect();
        let Some(rows) = Rows::of(&columns[old..], frame.h.len(), clock) else { return false };
        self.make_room(ids.len());
        self.centers.truncate(old);
        self.centers.extend(new.iter().map(|new| new.center));
        let whole = if S::IS_DOUBLE && old == 0 && new.len() <= NEAR {
            self.square_of(&rows, frame, clock)
        } else {
            self.columns_by_rows(&rows, &columns, old, frame, clock)
        };
        if !whole {
            return false;
        }
        for (a, wanted) in (old..).zip(&new) {
            // computed without cancellation
            self.square[a * self.stride + a] = S::of(wanted.curvature);
        }
        self.place.resize(frame.x.len(), NOWHERE);
        for (place, &j) in ids.iter().enumerate().skip(old) {
            self.place[j as usize] = place as u32;
        }
        self.columns = ids;
        self.count(&columns[old..], frame.h.len());
        true
    }

    /// The products of the columns from `old` on with all, a column at a time.
    fn columns_by_rows<V: Number>(&mut self, rows: &Rows, columns: &[Column<V>], old: usize, frame: Frame<V>, clock: &mut Clock) -> bool {
        let mut sums = vec![0.0; columns.len() - old];
        for (c, column) in columns.iter().enumerate() {
            if !clock.touch(column.nnz()) || !clock.work(rows.meetings(column)) {
                return false;
            }
            // among the new, each pair once
            let first = c.saturating_sub(old);
            sums.fill(0.0);
            rows.multiply(column, first, frame.h, &mut sums);
            for (a, sum) in (old..).zip(&sums).skip(first) {
                self.put(a, c, *sum, frame.mass);
            }
        }
        true
    }

    /// The products of few columns with one another, a row at a time: the sums stay in a near cache.
    fn square_of<V>(&mut self, rows: &Rows, frame: Frame<V>, clock: &mut Clock) -> bool {
        let (n, stride) = (rows.n_columns, self.stride);
        (0..n).for_each(|a| self.square[a * stride..][..n].fill(S::default()));
        for (i, &h) in frame.h.iter().enumerate() {
            let range = rows.range(i as u32);
            let (positions, values) = (&rows.positions[range.clone()], &rows.values[range]);
            if !clock.work(positions.len() * positions.len() / 4) {
                return false;
            }
            for (k, (&a, x)) in positions.iter().zip(values).enumerate() {
                let sums = &mut self.square[a as usize * stride..][..n];
                positions[k..].iter().zip(&values[k..]).for_each(|(&b, z)| sums[b as usize].add(x * z * h));
            }
        }
        for a in 0..n {
            (a..n).for_each(|b| self.put(b, a, self.square[a * stride + b].into(), frame.mass));
        }
        true
    }

    /// Keeps the sum Σ hxz of two columns as their product.
    fn put(&mut self, a: usize, b: usize, sum: f64, mass: f64) {
        let product = S::of(sum - mass * (self.centers[a] * self.centers[b]));
        self.square[a * self.stride + b] = product;
        self.square[b * self.stride + a] = product;
    }

    fn make_room(&mut self, size: usize) {
        if size <= self.stride {
            return;
        }
        let (old, stride) = (self.columns.len(), (size + size / 8).next_multiple_of(8));
        let mut square = vec![S::default(); stride * stride];
        for a in 0..old {
            square[a * stride..][..old].copy_from_slice(&self.square[a * self.stride..][..old]);
        }
        (self.square, self.stride) = (square, stride);
    }

    /// What [`Products::add`] costs where it is worth it in any case, so that meetings need not be counted.
    pub(crate) fn rough_cost<V: Number>(&self, wanted: impl Iterator<Item = u32>, frame: Frame<V>) -> usize {
        let new: usize = wanted.filter(|&j| !self.holds(j)).map(|j| frame.x.range(j as usize).len()).sum();
        if new == 0 { 0 } else { 4 * (self.entries + new) }
    }

    /// Units of work to make all products anew.
    pub(crate) fn cost_anew(&self) -> usize {
        6 * self.entries + self.pairs
    }

    /// Units of work of [`Products::add`].
    pub(crate) fn cost<V: Number>(&self, wanted: impl Iterator<Item = u32>, frame: Frame<V>, clock: &mut Clock) -> usize {
        let (mut entries, mut with_old, mut new) = (0, 0, Vec::new());
        for j in wanted.filter(|&j| !self.holds(j)) {
            new.resize(frame.h.len(), 0u32);
            let column = frame.column(j);
            entries += column.nnz();
            clock.work(column.nnz());
            for &i in column.rows {
                new[i as usize] += 1;
                with_old += self.counts.get(i as usize).map_or(0, |&count| count as usize);
            }
        }
        if new.is_empty() {
            return 0;
        }
        let among_new: usize = new.iter().map(|&count| count as usize * (count as usize + 1) / 2).sum();
        // entries are looked up in rows that no near cache holds
        6 * (self.entries + entries) + with_old + among_new
    }

    fn count<V: Number>(&mut self, columns: &[Column<V>], n: usize) {
        self.counts.resize(n, 0);
        for column in columns {
            self.entries += column.nnz();
            for &i in column.rows {
                self.counts[i as usize] += 1;
                self.pairs += self.counts[i as usize] as usize;
            }
        }
    }
}

/// The entries of some columns by rows.
struct Rows {
    /// Where each row begins.
    starts: Vec<u32>,
    /// Positions of the columns, rising in a row, and their values.
    positions: Vec<u32>,
    values: Vec<f64>,
    n_columns: usize,
}

impl Rows {
    fn of<V: Number>(columns: &[Column<V>], n: usize, clock: &mut Clock) -> Option<Self> {
        let mut starts = vec![0u32; n + 1];
        for column in columns {
            if !clock.touch(column.nnz()) {
                return None;
            }
            column.rows.iter().for_each(|&i| starts[i as usize + 1] += 1);
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let (mut positions, mut values) = (vec![0; starts[n] as usize], vec![0.0; starts[n] as usize]);
        for (position, column) in columns.iter().enumerate() {
            if !clock.touch(column.nnz()) {
                return None;
            }
            for (i, x) in column.iter() {
                let at = next[i] as usize;
                (positions[at], values[at]) = (position as u32, x);
                next[i] += 1;
            }
        }
        Some(Self { starts, positions, values, n_columns: columns.len() })
    }

    fn range(&self, i: u32) -> std::ops::Range<usize> {
        self.starts[i as usize] as usize..self.starts[i as usize + 1] as usize
    }

    /// How many products a column makes.
    fn meetings<V>(&self, column: &Column<V>) -> usize {
        // far between, one row in sixteen says enough
        column.rows.iter().step_by(16).map(|&i| self.range(i).len()).sum::<usize>() * 16
    }

    /// Adds Σ h·x·z for each of these columns from position `first` on.
    fn multiply<V: Number>(&self, column: &Column<V>, first: usize, h: &[f64], sums: &mut [f64]) {
        for (&i, &x) in column.rows.iter().zip(column.values) {
            let range = self.range(i);
            let (x, h) = (x.into(), h[i as usize]);
            if range.len() == self.n_columns {
                add_products(&mut sums[first..], x, &self.values[range][first..], h);
                continue;
            }
            for (&position, z) in self.positions[range.clone()].iter().zip(&self.values[range]) {
                if position as usize >= first {
                    sums[position as usize] += x * z * h;
                }
            }
        }
    }
}

widest! {
    /// sums += x·z·h.
    fn add_products(sums: &mut [f64], x: f64, z: &[f64], h: f64) = add_products_in_lanes
}

#[inline(always)]
fn add_products_in_lanes(sums: &mut [f64], x: f64, z: &[f64], h: f64) {
    sums.iter_mut().zip(z).for_each(|(sum, z)| *sum += x * z * h);
}
