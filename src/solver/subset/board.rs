//! A quadratic model of the loss over some columns, of which those inside are fitted: what each way of letting one in, leaving one
//! out or changing one for another would bring, all others being fitted anew.
//!
//! The sweep operator (Goodnight, "A tutorial on the SWEEP operator", Am. Stat. 1979; Furnival & Wilson, Technometrics 1974), of
//! whose table only the rows of the columns inside are kept. Columns are scaled to unit spread. With G their products, S those
//! inside and A = G_SS⁻¹, a row holds A at columns inside and A·G_S· at those outside. It costs the number of columns, whatever
//! that of the rows.

use std::collections::HashMap;
use std::rc::Rc;

use super::super::clock::Clock;
use super::look::{Look, bent_fall};
use crate::matrix::{ColumnsView, Number};

/// A column of which the columns inside leave less than this share does not come in.
const DEPENDENT: f64 = 1e-9;

/// Products of a column with all of a board, kept by column.
pub(super) type Kept = HashMap<u32, Rc<Vec<f64>>>;

/// Where products are taken.
#[derive(Clone, Copy)]
pub(super) struct Ground<'g, V> {
    pub(super) x: ColumnsView<'g>,
    pub(super) values: &'g [V],
    pub(super) look: &'g Look,
}

/// One way to change the columns inside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Move {
    /// The column that goes.
    pub(super) goes: Option<u32>,
    /// The column that comes.
    pub(super) comes: Option<u32>,
    /// How the loss changes by it.
    pub(super) loss: f64,
    /// How the sum of the factors does.
    pub(super) price: f64,
    /// The largest factor of the columns that move.
    pub(super) weight: f64,
}

impl Move {
    /// How F changes.
    pub(super) fn change(&self, lambda: f64) -> f64 {
        self.loss + lambda * self.price
    }
}

/// The table.
pub(super) struct Board {
    /// Columns of the matrix, rising.
    ids: Vec<u32>,
    /// f_j.
    factors: Vec<f64>,
    /// √spread.
    unit: Vec<f64>,
    /// The largest entry of a column of a curved loss; empty for the squared loss.
    reach: Vec<f64>,
    /// Which row belongs to a column inside.
    row_of: Vec<Option<usize>>,
    /// The place of the column that each row belongs to.
    place_of: Vec<usize>,
    rows: Vec<Vec<f64>>,
    /// Of columns outside: the share of the spread that those inside leave.
    left: Vec<f64>,
    /// Of columns outside: the slope of the loss.
    pull: Vec<f64>,
    /// Of columns inside: the coefficient.
    u: Vec<f64>,
    /// Products with a column of the board, if they may be kept.
    kept: Option<Kept>,
}

impl Board {
    /// Nothing is inside yet. `ids` are columns that may move.
    pub(super) fn new(ids: Vec<u32>, look: &Look, w: &[f64], factor: impl Fn(u32) -> f64, kept: Option<Kept>) -> Self {
        let of = |values: &[f64]| -> Vec<f64> { ids.iter().map(|&j| values[j as usize]).collect() };
        let unit: Vec<f64> = of(&look.spread).into_iter().map(f64::sqrt).collect();
        let pull = of(&look.gradient).iter().zip(&unit).map(|(c, unit)| c / unit).collect();
        let u = of(w).iter().zip(&unit).map(|(w, unit)| w * unit).collect();
        let reach =
            if look.reach.is_empty() { Vec::new() } else { of(&look.reach).iter().zip(&unit).map(|(reach, unit)| reach / unit).collect() };
        let (row_of, left, factors) = (vec![None; ids.len()], vec![1.0; ids.len()], ids.iter().map(|&j| factor(j)).collect());
        Self { ids, factors, unit, reach, row_of, place_of: Vec::new(), rows: Vec::new(), left, pull, u, kept }
    }

    /// Products to keep for a later board over the same columns.
    pub(super) fn into_kept(self) -> Option<Kept> {
        self.kept
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn n_inside(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn has(&self, j: u32) -> bool {
        self.ids.binary_search(&j).is_ok_and(|place| self.row_of[place].is_some())
    }

    /// The columns inside with their coefficients on the original scale, rising.
    pub(super) fn inside(&self) -> (Vec<u32>, Vec<f64>) {
        let inside = (0..self.ids.len()).filter(|&k| self.row_of[k].is_some());
        inside.map(|k| (self.ids[k], self.u[k] / self.unit[k])).unzip()
    }

    /// Products of the column at place `k` with all, of unit spread; `None` when the clock said stop. What an earlier λ would have
    /// kept is not `counted`: whether it was computed again is not to show.
    fn products<V: Number>(&mut self, k: usize, counted: bool, ground: Ground<V>, clock: &mut Clock) -> Option<Rc<Vec<f64>>> {
        if let Some(known) = self.kept.as_ref().and_then(|kept| kept.get(&self.ids[k])) {
            return Some(Rc::clone(known));
        }
        let Ground { x, values, look } = ground;
        let j = self.ids[k] as usize;
        let mut q: Vec<f64> = if look.mass > 0.0 { look.h.iter().map(|h| -h * look.center[j]).collect() } else { vec![0.0; look.h.len()] };
        x.column(j, values).add_weighted_to(1.0, &look.h, &mut q);
        let sum: f64 = if look.mass > 0.0 { q.iter().sum() } else { 0.0 };
        if !clock.work(2 * q.len()) {
            return None;
        }
        let mut each = |(place, &l): (usize, &u32)| {
            let column = x.column(l as usize, values);
            let product = (column.dot(&q) - look.center[l as usize] * sum) / self.unit[k] / self.unit[place];
            let go_on = if counted { clock.touch(column.nnz()) } else { clock.work(column.nnz()) };
            go_on.then_some(if place == k { 1.0 } else { product })
        };
        let products = Rc::new(self.ids.iter().enumerate().map(&mut each).collect::<Option<Vec<f64>>>()?);
        if let Some(kept) = &mut self.kept {
            kept.insert(self.ids[k], Rc::clone(&products));
        }
        Some(products)
    }

    /// Lets column `j` in, all inside fitted anew; `moved` says that it was not in the support the board began with. `Some(false)` where it depends on those inside, `None` when the clock said stop.
    pub(super) fn enter<V: Number>(&mut self, j: u32, moved: bool, ground: Ground<V>, clock: &mut Clock) -> Option<bool> {
        let Ok(k) = self.ids.binary_search(&j) else { return Some(false) };
        if self.row_of[k].is_some() {
            return Some(true);
        }
        // a column of rows without curvature left
        if self.unit[k] <= 0.0 || self.left[k] <= DEPENDENT {
            return Some(false);
        }
        let products = self.products(k, moved || self.kept.is_none(), ground, clock)?;
        let mut t = products.to_vec();
        for (row, &place) in self.rows.iter().zip(&self.place_of) {
            let by = products[place];
            if !clock.work(row.len() / 8) {
                return None;
            }
            t.iter_mut().zip(row).for_each(|(t, x)| *t -= by * x);
        }
        let pivot = t[k];
        if !(pivot > DEPENDENT && pivot.is_finite()) {
            self.left[k] = 0.0;
            return Some(false);
        }
        for (row, &place) in self.rows.iter().zip(&self.place_of) {
            t[place] = -row[k];
        }
        let step = self.pull[k] / pivot;
        for (row, &place) in self.rows.iter_mut().zip(&self.place_of) {
            let by = row[k];
            self.u[place] -= by * step;
            let share = by / pivot;
            if !clock.work(row.len() / 8) {
                return None;
            }
            row.iter_mut().zip(&t).for_each(|(x, t)| *x -= share * t);
            row[k] = -share;
        }
        self.u[k] += step;
        for (l, t) in t.iter().enumerate() {
            if self.row_of[l].is_none() {
                self.left[l] = (self.left[l] - t * t / pivot).max(0.0);
                self.pull[l] -= t * step;
            }
        }
        t.iter_mut().for_each(|t| *t /= pivot);
        t[k] = 1.0 / pivot;
        (self.left[k], self.pull[k]) = (0.0, 0.0);
        self.row_of[k] = Some(self.rows.len());
        self.place_of.push(k);
        self.rows.push(t);
        Some(true)
    }

    /// Leaves column `j` out, all others inside fitted anew.
    pub(super) fn leave(&mut self, j: u32, clock: &mut Clock) {
        let Ok(k) = self.ids.binary_search(&j) else { return };
        let Some(at) = self.row_of[k] else { return };
        let gone = self.rows.swap_remove(at);
        self.place_of.swap_remove(at);
        if let Some(&moved) = self.place_of.get(at) {
            self.row_of[moved] = Some(at);
        }
        self.row_of[k] = None;
        let (d, u) = (gone[k], self.u[k]);
        for (row, &place) in self.rows.iter_mut().zip(&self.place_of) {
            let share = row[k] / d;
            clock.work(row.len() / 8);
            row.iter_mut().zip(&gone).for_each(|(x, g)| *x -= share * g);
            row[k] = -share;
            self.u[place] -= share * u;
        }
        for (l, x) in gone.iter().enumerate() {
            if self.row_of[l].is_none() && l != k {
                self.left[l] += x * x / d;
                self.pull[l] += x * u / d;
            }
        }
        (self.left[k], self.pull[k], self.u[k]) = (1.0 / d, u / d, 0.0);
    }

    /// What the column at place `k` brings with slope `pull` and second derivative `left`. A parabola promises a curved loss much too much
    /// where a few rows are far off and their curvature is gone: there no more than twice what is sure is believed.
    fn gain(&self, k: usize, pull: f64, left: f64) -> f64 {
        match self.reach.get(k) {
            Some(&reach) => (pull * pull / left / 2.0).min(2.0 * bent_fall(pull, left, reach)),
            None => pull * pull / left / 2.0,
        }
    }

    /// Leaving each penalised column out.
    pub(super) fn drops(&self) -> impl Iterator<Item = Move> {
        self.place_of.iter().zip(&self.rows).filter(|&(&place, _)| self.factors[place] > 0.0).map(|(&place, row)| {
            let loss = self.u[place] * self.u[place] / row[place] / 2.0;
            Move { goes: Some(self.ids[place]), comes: None, loss, price: -self.factors[place], weight: self.factors[place] }
        })
    }

    /// Letting each column in that does not depend on those inside.
    pub(super) fn adds(&self) -> impl Iterator<Item = Move> {
        (0..self.ids.len()).filter(|&k| self.row_of[k].is_none() && self.left[k] > DEPENDENT).map(|k| {
            let loss = -self.gain(k, self.pull[k], self.left[k]);
            Move { goes: None, comes: Some(self.ids[k]), loss, price: self.factors[k], weight: self.factors[k] }
        })
    }

    /// For each penalised column inside the best of all columns outside to change it for.
    pub(super) fn swaps(&self, lambda: f64, clock: &mut Clock) -> Vec<Move> {
        let mut best = Vec::with_capacity(self.rows.len());
        for (&place, row) in self.place_of.iter().zip(&self.rows) {
            if self.factors[place] == 0.0 || !clock.work(row.len() / 4) {
                continue;
            }
            let (d, u) = (row[place], self.u[place]);
            let (mut top, mut least) = (None, f64::INFINITY);
            for (k, x) in row.iter().enumerate() {
                let left = self.left[k] + x * x / d;
                if self.row_of[k].is_some() || left <= DEPENDENT {
                    continue;
                }
                let pull = self.pull[k] + x * u / d;
                let change = lambda * self.factors[k] - self.gain(k, pull, left);
                if change < least {
                    (top, least) = (Some(k), change);
                }
            }
            best.extend(top.map(|k| Move {
                goes: Some(self.ids[place]),
                comes: Some(self.ids[k]),
                loss: least - lambda * self.factors[k] + u * u / d / 2.0,
                price: self.factors[k] - self.factors[place],
                weight: self.factors[k].max(self.factors[place]),
            }));
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Progress, linear};
    use super::*;
    use crate::matrix::{Columns, Values};

    /// The least Σh(c − Xu)² over some columns, by normal equations.
    fn fitted(g: &[Vec<f64>], c: &[f64], inside: &[usize], clock: &mut Clock) -> f64 {
        let m = inside.len();
        let mut a: Vec<f64> = inside.iter().flat_map(|&i| inside.iter().map(move |&j| (i, j))).map(|(i, j)| g[i][j]).collect();
        let right: Vec<f64> = inside.iter().map(|&i| c[i]).collect();
        let mut u = right.clone();
        assert!(linear::cholesky_solve(&mut a, m, &mut u, clock));
        -u.iter().zip(&right).map(|(u, c)| u * c).sum::<f64>() / 2.0
    }

    #[test]
    fn what_each_move_brings_is_what_a_fit_of_the_other_columns_tells() {
        let (n, p) = (12, 6);
        let entry = |i: usize, j: usize| ((i * i * 3 + j * j * 5 + i * i * j + 7 * i * j) % 11) as f64 - 5.0;
        let values: Vec<f64> = (0..p).flat_map(|j| (0..n).map(move |i| entry(i, j) + 0.25)).collect();
        let rows: Vec<u32> = (0..p).flat_map(|_| 0..n as u32).collect();
        let offsets: Vec<u64> = (0..=p as u64).map(|j| j * n as u64).collect();
        let features: Vec<u32> = (0..p as u32).collect();
        let x = Columns::new(n, features.into(), offsets.into(), rows.into(), Values::Double(values.clone().into())).unwrap();
        let h: Vec<f64> = (0..n).map(|i| 0.05 + 0.01 * i as f64).collect();
        let mass: f64 = h.iter().sum();
        let column = |j: usize| &values[j * n..][..n];
        let center: Vec<f64> = (0..p).map(|j| column(j).iter().zip(&h).map(|(x, h)| x * h).sum::<f64>() / mass).collect();
        let g: Vec<Vec<f64>> = (0..p)
            .map(|a| (0..p).map(|b| (0..n).map(|i| h[i] * (column(a)[i] - center[a]) * (column(b)[i] - center[b])).sum()).collect())
            .collect();
        let gradient: Vec<f64> = (0..p).map(|j| (j as f64 * 1.3).cos()).collect();
        let spread = (0..p).map(|j| g[j][j]).collect();
        let look = Look { h, mass, gradient: gradient.clone(), center, spread, ..Look::default() };
        let go_on = |_: &Progress| std::ops::ControlFlow::Continue(());
        let mut clock = Clock::new(&go_on);
        let ground = Ground { x: x.view(), values: &values, look: &look };
        let mut board = Board::new((0..p as u32).collect(), &look, &[0.0; 6], |_| 1.0, None);
        let order = [(true, 1), (true, 4), (true, 0), (false, 4), (true, 5), (true, 2), (false, 1), (false, 5), (true, 1)];
        let mut inside: Vec<usize> = Vec::new();
        for (comes, j) in order {
            if comes {
                assert_eq!(board.enter(j as u32, true, ground, &mut clock), Some(true));
                inside.push(j);
            } else {
                board.leave(j as u32, &mut clock);
                inside.retain(|&i| i != j);
            }
            inside.sort_unstable();
            let here = fitted(&g, &gradient, &inside, &mut clock);
            let moves: Vec<Move> = board.drops().chain(board.adds()).chain(board.swaps(0.0, &mut clock)).collect();
            assert_eq!(moves.len(), p + inside.len());
            for way in moves {
                let stay = inside.iter().copied().filter(|&i| way.goes != Some(i as u32));
                let after: Vec<usize> = stay.chain(way.comes.map(|j| j as usize)).collect();
                let change = if after.is_empty() { 0.0 } else { fitted(&g, &gradient, &after, &mut clock) } - here;
                assert!((way.loss - change).abs() < 1e-10, "{inside:?} {way:?} {change}");
            }
            let (columns, w) = board.inside();
            let slope = |k: usize| gradient[k] - columns.iter().zip(&w).map(|(&j, w)| g[k][j as usize] * w).sum::<f64>();
            assert!(columns.iter().all(|&j| slope(j as usize).abs() < 1e-10));
        }
    }
}
