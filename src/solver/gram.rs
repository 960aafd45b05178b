//! Products of columns with columns, kept as long as they stay true.
//!
//! X̃ᵀHX̃ for the columns that were ever asked for, grown by appending: what is there is not computed again. An entry
//! is a sum over the rows in their order whatever was appended when, so that a path that goes on in another process
//! finds the same bits. Built by rows (a row with k of the columns costs k²/2), never by columns against columns.

use super::clock::Clock;
use crate::matrix::{Column, ColumnsView, Number};

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

/// Products Σ h·x̃_a·x̃_b of some columns.
#[derive(Debug, Default)]
pub(crate) struct Products {
    /// Which columns, in the order of their coming.
    columns: Vec<u32>,
    centers: Vec<f64>,
    /// Where each column of the matrix is among them; empty before the first.
    place: Vec<u32>,
    /// Both triangles, a row every `stride`.
    square: Vec<f64>,
    stride: usize,
}

impl Products {
    /// The columns it knows, rising.
    pub(crate) fn known(&self) -> Vec<u32> {
        let mut known = self.columns.clone();
        known.sort_unstable();
        known
    }

    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    fn holds(&self, j: u32) -> bool {
        self.place.get(j as usize).is_some_and(|place| *place != NOWHERE)
    }

    /// Where a known column is.
    pub(crate) fn place(&self, j: u32) -> usize {
        self.place[j as usize] as usize
    }

    /// The products of the column at `place` with all that are known.
    pub(crate) fn row(&self, place: usize) -> &[f64] {
        &self.square[place * self.stride..][..self.columns.len()]
    }

    /// Forgets all columns but those of `kept`.
    pub(crate) fn keep(&mut self, kept: impl Fn(u32) -> bool) {
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
        let Some(rows) = Rows::of(&columns, old, frame.h, clock) else { return false };
        self.make_room(ids.len());
        let stride = self.stride;
        for a in old..ids.len() {
            self.square[a * stride..][..=a].fill(0.0);
        }
        if !rows.add_products(&mut self.square, stride, frame.h, clock) {
            return false;
        }
        self.centers.truncate(old);
        self.centers.extend(new.iter().map(|new| new.center));
        for (a, wanted) in (old..).zip(&new) {
            for b in 0..a {
                let product = self.square[a * stride + b] - frame.mass * (self.centers[a] * self.centers[b]);
                self.square[a * stride + b] = product;
                self.square[b * stride + a] = product;
            }
            // computed without cancellation
            self.square[a * stride + a] = wanted.curvature;
        }
        self.place.resize(frame.x.len(), NOWHERE);
        for (place, &j) in ids.iter().enumerate().skip(old) {
            self.place[j as usize] = place as u32;
        }
        self.columns = ids;
        clock.work(columns.len() * (columns.len() - old) / 4)
    }

    fn make_room(&mut self, size: usize) {
        if size <= self.stride {
            return;
        }
        let (old, stride) = (self.columns.len(), (size + size / 8).next_multiple_of(8));
        let mut square = vec![0.0; stride * stride];
        for a in 0..old {
            square[a * stride..][..old].copy_from_slice(&self.square[a * self.stride..][..old]);
        }
        (self.square, self.stride) = (square, stride);
    }

    /// Units of work of [`Products::add`].
    pub(crate) fn cost<V: Number>(&self, wanted: impl Iterator<Item = u32>, frame: Frame<V>, clock: &mut Clock) -> usize {
        let mut counts: Vec<(u32, u32)> = Vec::new();
        let mut entries = 0;
        for j in wanted.filter(|&j| !self.holds(j)) {
            counts.resize(frame.h.len(), (0, 0));
            let column = frame.column(j);
            entries += column.nnz();
            clock.work(column.nnz());
            column.rows.iter().for_each(|&i| counts[i as usize].1 += 1);
        }
        if counts.is_empty() {
            return 0;
        }
        for &j in &self.columns {
            let column = frame.column(j);
            entries += column.nnz();
            clock.work(column.nnz());
            column.rows.iter().for_each(|&i| counts[i as usize].0 += 1);
        }
        let pairs = |(old, new): (u32, u32)| (new as usize) * (old as usize) + (new as usize) * (new as usize + 1) / 2;
        2 * entries + counts.into_iter().map(pairs).sum::<usize>()
    }
}

/// The entries of some columns by rows, as far as they are needed for products with new columns.
struct Rows {
    /// Where each row begins.
    starts: Vec<usize>,
    /// Position of the column and value, positions rising in a row.
    entries: Vec<(u32, f64)>,
    /// Positions before this one need no products among themselves.
    old: u32,
}

impl Rows {
    fn of<V: Number>(columns: &[Column<V>], old: usize, h: &[f64], clock: &mut Clock) -> Option<Self> {
        let n = h.len();
        let mut new_here = vec![false; n];
        for column in &columns[old..] {
            column.rows.iter().for_each(|&i| new_here[i as usize] = true);
        }
        let mut starts = vec![0usize; n + 1];
        for column in columns {
            if !clock.touch(column.nnz()) {
                return None;
            }
            column.rows.iter().for_each(|&i| starts[i as usize + 1] += usize::from(new_here[i as usize]));
        }
        for i in 0..n {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0u32, 0.0f64); starts[n]];
        for (position, column) in columns.iter().enumerate() {
            if !clock.touch(column.nnz()) {
                return None;
            }
            for (i, x) in column.iter() {
                if new_here[i] {
                    entries[next[i]] = (position as u32, x);
                    next[i] += 1;
                }
            }
        }
        Some(Self { starts, entries, old: old as u32 })
    }

    fn add_products(&self, square: &mut [f64], stride: usize, h: &[f64], clock: &mut Clock) -> bool {
        for (i, &h) in h.iter().enumerate() {
            let row = &self.entries[self.starts[i]..self.starts[i + 1]];
            let first = row.partition_point(|(position, _)| *position < self.old);
            if h == 0.0 || first == row.len() {
                continue;
            }
            if !clock.work((row.len() - first) * row.len()) {
                return false;
            }
            for (end, &(a, x)) in row.iter().enumerate().skip(first) {
                let a = a as usize;
                let line = &mut square[a * stride..][..=a];
                row[..=end].iter().for_each(|&(b, z)| line[b as usize] += x * z * h);
            }
        }
        true
    }
}
