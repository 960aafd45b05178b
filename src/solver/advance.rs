//! Where folds that go together go next: the minimum of a model with the second derivatives of all rows.

use super::Loss;
use super::gram::{Frame, Products, Wanted};
use super::lanes::{self, LANES, Line};
use super::model::{Descent, Slot};
use super::quadratic::{center_and_curvature, most_products};
use super::together::{OFFERED, Spot, Together};
use crate::matrix::Number;

/// When products are made, then with those columns too that are this near their bounds.
const FORESEEN: f64 = 0.94;
/// Second derivatives are taken anew when they have changed by this share.
const DRIFT: f64 = 0.15;
/// No row counts for less than this.
const FLOOR: f64 = 1e-10;
/// What a column's own second derivative in a fold may be of that in the model.
const LEAST_SCALE: f64 = 0.02;
const MOST_SCALE: f64 = 4.0;

impl<'g, 'a, V: Number> Together<'g, 'a, V> {
    /// Second derivatives for this λ.
    pub(super) fn bend(&mut self, index: usize) {
        if self.loss == Loss::Squared {
            if self.h.is_empty() {
                self.h = self.share.clone();
                self.mass = if self.members[0].problem.options.intercept { 1.0 } else { 0.0 };
            }
            return;
        }
        while self.bent <= index {
            let point = &self.points[self.bent];
            self.bent += 1;
            let mut eta = match self.data.offset {
                Some(offset) => offset.iter().map(|o| o + point.intercept).collect(),
                None => vec![point.intercept; self.x.n_rows],
            };
            for (&j, &w) in point.columns.iter().zip(&point.values) {
                let column = self.x.column(j as usize, self.values);
                if !self.clock.touch(column.nnz()) {
                    return;
                }
                column.add_to(w, &mut eta);
            }
            let mut descents = vec![0.0; eta.len()];
            self.loss.descents(self.data.y, &eta, &mut descents);
            let rows = self.share.iter().zip(&descents).zip(self.data.y);
            let h: Vec<f64> = rows.map(|((&s, &r), &y)| if s > 0.0 { s * self.loss.curvature(y, r).max(FLOOR) } else { 0.0 }).collect();
            let apart: f64 = h.iter().zip(&self.h).map(|(now, then)| (now - then).abs()).sum();
            if self.h.is_empty() || apart > DRIFT * self.h.iter().sum::<f64>() {
                self.mass = if self.members[0].problem.options.intercept { h.iter().sum() } else { 0.0 };
                self.h = h;
                self.moments.clear();
                self.products = Products::default();
            }
        }
    }

    /// Where the folds `on` go next: the minimum of the model, roughly. `None` when `clock` said stop. The `first` step to a λ
    /// takes the second derivatives of the folds for the others too.
    pub(super) fn step(&mut self, on: &[usize], lambda: f64, ahead: f64, first: bool) -> Option<Vec<Spot>> {
        let near = &self.near;
        // coefficients and products where the step begins, and who may move which column
        let mut w = vec![Line::default(); near.list.len()];
        let mut may = vec![0u8; near.list.len()];
        let mut c: Vec<Line> = self.c_now.clone();
        if ahead > 0.0 {
            for (c, before) in c.iter_mut().zip(&self.c_before) {
                (0..LANES).for_each(|l| c.0[l] += ahead * (c.0[l] - before.0[l]));
            }
        }
        for &l in on {
            let member = &self.members[l];
            for (spot, by) in [(&member.at, 1.0 + ahead), (&member.before, -ahead)].into_iter().filter(|(_, by)| *by != 0.0) {
                for (&j, value) in spot.columns.iter().zip(&spot.values) {
                    let place = near.place(j)?;
                    w[place].0[l] += by * value;
                    may[place] |= 1 << l;
                }
            }
            for (place, &j) in near.list.iter().enumerate() {
                let l1 = lambda * member.problem.l1[j as usize];
                if l1 > 0.0 && c[place].0[l].abs() >= OFFERED * l1 {
                    may[place] |= 1 << l;
                }
            }
        }
        self.clock.work(near.list.len() * on.len() / 4);
        let bent = if first { self.bent_in_folds(on) } else { Vec::new() };
        let places: Vec<usize> = (0..may.len()).filter(|&place| may[place] != 0).collect();
        let most = most_products(self.x.nnz());
        let mut spots = vec![Spot::default(); self.members.len()];
        let groups: Vec<Vec<usize>> = if places.len() <= most { vec![on.to_vec()] } else { on.iter().map(|&l| vec![l]).collect() };
        for group in groups {
            let mask = group.iter().fold(0, |mask, l| mask | 1u8 << l);
            let places: Vec<usize> = places.iter().copied().filter(|&place| may[place] & mask != 0).collect();
            if places.len() > most {
                // too many for products: stays where it is, and leaves
                for &l in &group {
                    spots[l] = self.members[l].at.clone();
                }
                continue;
            }
            self.minimise(&group, lambda, &places, &mut w, &c, &may, &bent)?;
            for &l in &group {
                let moved = places.iter().filter(|&&place| w[place].0[l] != 0.0);
                let (columns, values) = moved.map(|&place| (self.near.list[place], w[place].0[l])).unzip();
                spots[l] = Spot { columns, values, seen: self.members[l].b + self.intercept_moves(l, &places, &w) };
            }
        }
        Some(on.iter().map(|&l| std::mem::take(&mut spots[l])).collect())
    }

    /// What the model makes of the intercept of fold `l` when the columns at `places` come to `w`: a start for its search.
    fn intercept_moves(&self, l: usize, places: &[usize], w: &[Line]) -> f64 {
        if self.mass == 0.0 {
            return 0.0;
        }
        let Spot { columns, values, .. } = &self.members[l].at;
        let step = |&place: &usize| {
            let j = self.near.list[place];
            let from = columns.binary_search(&j).map_or(0.0, |at| values[at]);
            self.moments.get(&j).map_or(0.0, |(center, _)| center * (w[place].0[l] - from))
        };
        -places.iter().map(step).sum::<f64>()
    }

    /// Second derivatives of the folds `on` where they are; the squared loss knows them without.
    fn bent_in_folds(&mut self, on: &[usize]) -> Vec<Line> {
        if self.loss == Loss::Squared {
            return Vec::new();
        }
        let mut bent = vec![Line::default(); self.x.n_rows];
        for &l in on {
            let member = &self.members[l];
            for (((line, theta), share), y) in bent.iter_mut().zip(&member.theta).zip(&member.problem.share).zip(self.data.y) {
                line.0[l] = if *share > 0.0 { share * self.loss.curvature(*y, theta / share).max(FLOOR) } else { 0.0 };
            }
        }
        self.clock.work(bent.len() * on.len());
        bent
    }

    /// Σ h x̃² of the columns `ids` in every fold, h being `bent`. `None` when `clock` said stop.
    fn curvatures(&mut self, ids: &[u32], bent: &[Line]) -> Option<Vec<Line>> {
        let mut mass = Line::default();
        bent.iter().for_each(|line| (0..LANES).for_each(|l| mass.0[l] += line.0[l]));
        let centred = self.members[0].problem.options.intercept;
        let mut all = Vec::with_capacity(ids.len());
        for ids in ids.chunks(64) {
            let entries: usize = ids.iter().map(|&j| self.x.range(j as usize).len()).sum();
            if !self.clock.touch(entries) {
                return None;
            }
            let mut moments = [[Line::default(); 2]; 64];
            lanes::moments_with(self.x, self.values, ids, bent, &mut moments[..ids.len()]);
            all.extend(moments[..ids.len()].iter().map(|[sums, squares]| {
                Line(std::array::from_fn(|l| {
                    let mean = if centred && mass.0[l] > 0.0 { sums.0[l] * sums.0[l] / mass.0[l] } else { 0.0 };
                    squares.0[l] - mean
                }))
            }));
        }
        Some(all)
    }

    fn wanted(&mut self, id: u32) -> Wanted {
        let (x, values, h, mass, clock) = (self.x, self.values, &self.h, self.mass, &mut self.clock);
        let (center, curvature) = *self.moments.entry(id).or_insert_with(|| {
            let column = x.column(id as usize, values);
            clock.touch(column.nnz());
            center_and_curvature(&column, h, mass)
        });
        Wanted { id, curvature, center }
    }

    /// Columns that will be wanted soon, and cost least along with those that are.
    fn foreseen(&mut self, on: &[usize], lambda: f64, c: &[Line], may: &[u8]) -> Vec<Wanted> {
        let near = |place: usize, j: u32| {
            let bound = |l: usize| FORESEEN * lambda * self.members[l].problem.l1[j as usize];
            may[place] == 0 && on.iter().any(|&l| bound(l) > 0.0 && c[place].0[l].abs() >= bound(l))
        };
        let list = self.near.list.iter().enumerate();
        let soon: Vec<u32> = list.filter(|(place, j)| near(*place, **j) && !self.products.holds(**j)).map(|(_, j)| *j).collect();
        soon.into_iter().map(|id| self.wanted(id)).collect()
    }

    /// Minimises the model of the folds `on` over the columns at `places`, from `w` with the products `c`.
    #[allow(clippy::too_many_arguments)]
    fn minimise(
        &mut self,
        on: &[usize],
        lambda: f64,
        places: &[usize],
        w: &mut [Line],
        c: &[Line],
        may: &[u8],
        bent: &[Line],
    ) -> Option<()> {
        let ids: Vec<u32> = places.iter().map(|&place| self.near.list[place]).collect();
        if self.products.len() > 2 * ids.len() + 256 || self.products.len() + ids.len() > most_products(self.x.nnz()) + ids.len() / 2 {
            self.products.keep(|j| ids.binary_search(&j).is_ok(), self.x, self.values);
        }
        let mut wanted: Vec<Wanted> = ids.iter().map(|&id| self.wanted(id)).collect();
        if wanted.iter().any(|wanted| !self.products.holds(wanted.id)) && self.products.len() + 64 < most_products(self.x.nnz()) {
            wanted.extend(self.foreseen(on, lambda, c, may));
        }
        let frame = Frame { x: self.x, values: self.values, h: &self.h, mass: self.mass };
        if !self.products.add(wanted.iter().copied(), frame, &mut self.clock) {
            return None;
        }
        if !bent.is_empty() {
            // of a fold that may not move a column yet, another grouping of folds would not know it
            let own = self.curvatures(&ids, bent)?;
            for ((&id, &place), line) in ids.iter().zip(places).zip(own) {
                let known = self.own.entry(id).or_insert(Line([f64::NAN; LANES]));
                on.iter().filter(|&&l| may[place] & (1 << l) != 0).for_each(|&l| known.0[l] = line.0[l]);
            }
        }
        let curved = self.loss != Loss::Squared;
        let own: Vec<Line> = ids.iter().map(|id| self.own.get(id).copied().unwrap_or(Line([f64::NAN; LANES]))).collect();
        for &l in on {
            let member = &mut self.members[l];
            let mine = (0..ids.len()).filter(|&k| may[places[k]] & (1 << l) != 0 && wanted[k].curvature > 0.0);
            let coordinates = mine.map(|k| {
                let j = ids[k] as usize;
                let curvature = wanted[k].curvature;
                let own = if curved { own[k].0[l] } else { member.problem.spread[j] };
                // what comes later is few, and counted as in the model
                let scale = if own.is_nan() { 1.0 } else { (own / curvature).clamp(LEAST_SCALE, MOST_SCALE).sqrt() };
                let (l1, l2) = (lambda * member.problem.l1[j] / scale, lambda * member.problem.l2[j] / (scale * scale));
                Slot { at: places[k], place: self.products.place(ids[k]), curvature, scale, l1, l2 }
            });
            let slots: Vec<Slot> = coordinates.collect();
            let primal = member.loss + member.penalty(lambda);
            let size = if self.loss == Loss::Squared { 2.0 * member.loss } else { member.problem.deviance(primal).max(0.0) };
            let goal = 0.3 * member.problem.options.tol * member.problem.unit();
            let start = |slot: &Slot| (w[slot.at].0[l] * slot.scale, c[slot.at].0[l] / slot.scale);
            let mut descent = Descent::new(&slots, start, &self.products, &mut self.clock);
            member.epochs += descent.run(goal, member.sharper, size);
            slots.iter().zip(&descent.w).for_each(|(slot, value)| w[slot.at].0[l] = *value / slot.scale);
        }
        (!self.clock.cancelled).then_some(())
    }
}
