//! Several folds of one path in lock-step: what is read of the matrix is read once for all of them.
//!
//! At each λ a fold begins where its last two points lead to, and takes proximal Newton steps whose second derivatives are
//! those of **all** rows: for the squared loss with the shares of all rows, else at the path's own point of that λ. They
//! differ from the fold's by what is held out, so that each step leaves a small share of the way; and they are the same for
//! all folds, so that one matrix of products serves them, one row of it at a time. The gap that a fold stops on is that of
//! its own problem. A fold that does not come near fast leaves, and is fitted by itself from there on.
//!
//! What a fold comes to depends on its own points and on the path's, not on the folds beside it: neither the number of
//! threads nor an interruption shows.

use std::collections::HashMap;

use super::clock::Clock;
use super::descent::dual_over;
use super::folds::{FoldRow, mean_deviance};
use super::gram::{Frame, Products, Wanted};
use super::lanes::{self, LANES, Line};
use super::model::{Descent, Slot};
use super::near::{Near, WITHIN};
use super::quadratic::{center_and_curvature, most_products};
use super::standing::{Reference, Trail};
use super::{Data, Loss, Point, Problem, Stop};
use crate::matrix::{ColumnsView, Number};

/// A column at 0 takes part in a step when its product is at least this share of its bound.
const OFFERED: f64 = 1.0;
/// When products are made, then with those columns too that are this near.
const FORESEEN: f64 = 0.94;
/// Steps at one λ after which a fold leaves.
const PATIENCE: usize = 25;
/// Steps at one λ that helped little after which a fold leaves.
const STALLED: usize = 3;
/// Second derivatives are taken anew when they have changed by this share.
const DRIFT: f64 = 0.15;
/// No row counts for less than this.
const FLOOR: f64 = 1e-10;

/// A point of a fold.
#[derive(Clone, Debug, Default)]
struct Spot {
    columns: Vec<u32>,
    values: Vec<f64>,
    /// The intercept it was evaluated from.
    seen: f64,
}

/// One fold.
pub(super) struct Member<'g, 'a> {
    pub(super) fold: usize,
    pub(super) problem: &'g Problem<'a>,
    /// Weights of the rows held out.
    pub(super) test: &'g [f64],
    /// λ done.
    pub(super) rows: Vec<FoldRow>,
    /// The last of them.
    pub(super) last: Option<(Point, Trail)>,
    /// Whether it is fitted by itself from here on.
    pub(super) left: bool,
    /// Whether it was told to stop.
    pub(super) stopped: bool,
    at: Spot,
    before: Spot,
    eta: Vec<f64>,
    theta: Vec<f64>,
    b: f64,
    loss: f64,
    /// How much further than usual its model is minimised.
    sharper: f64,
    /// Steps that helped little.
    stalled: usize,
    gap: f64,
    epochs: u64,
}

/// Folds in lock-step.
pub(super) struct Together<'g, 'a, V> {
    x: ColumnsView<'a>,
    values: &'a [V],
    data: Data<'a>,
    loss: Loss,
    points: &'g [Point],
    members: Vec<Member<'g, 'a>>,
    clock: Clock<'g>,
    near: Near,
    /// θ of each fold at its present point, at the one before, and where every column was last looked at.
    now: Vec<Line>,
    before: Vec<Line>,
    reference: Vec<[f32; LANES]>,
    /// X̃ᵀθ of the columns near, now and before.
    c_now: Vec<Line>,
    c_before: Vec<Line>,
    /// s / Σs of all rows, and 1/s.
    share: Vec<f64>,
    inverse: Vec<f64>,
    /// Second derivatives of the model, of which `products` are.
    h: Vec<f64>,
    mass: f64,
    moments: HashMap<u32, (f64, f64)>,
    products: Products<f32>,
    /// The largest ‖θ − θ_ref‖ of all folds.
    apart: f64,
    /// 1 for each fold that has not left.
    alive: Line,
    /// λ up to which the path's points were looked at for `h`.
    bent: usize,
}

/// Told of each λ a fold has done: the fold, its position.
pub(super) type Each<'e> = dyn Fn(usize, usize, FoldRow, &Point, Trail) + Sync + 'e;

impl<'g, 'a> Member<'g, 'a> {
    /// A fold that has done `rows`.
    pub(super) fn new(fold: usize, problem: &'g Problem<'a>, test: &'g [f64], rows: Vec<FoldRow>, last: Option<(Point, Trail)>) -> Self {
        let null = Spot { seen: problem.null_intercept(), ..Spot::default() };
        let spot = |columns: &[u32], values: &[f64], seen| Spot { columns: columns.to_vec(), values: values.to_vec(), seen };
        let (at, before) = match &last {
            Some((point, trail)) => (
                spot(&point.columns, &point.values, trail.seen.unwrap_or(point.intercept)),
                trail.before.as_ref().map_or_else(|| null.clone(), |then| spot(&then.columns, &then.values, then.seen)),
            ),
            None => (null.clone(), null),
        };
        Self {
            fold,
            problem,
            test,
            rows,
            last,
            left: false,
            stopped: false,
            at,
            before,
            eta: Vec::new(),
            theta: Vec::new(),
            b: 0.0,
            loss: 0.0,
            sharper: 1.0,
            stalled: 0,
            gap: f64::INFINITY,
            epochs: 0,
        }
    }

    /// √Σ θ²/share, where Σ θ²/s is known.
    fn length(&self, square: f64, inverse: &[f64]) -> f64 {
        // every share is s over the same total
        let i = self.problem.share.iter().position(|s| *s > 0.0).unwrap_or(0);
        (square / (self.problem.share[i] * inverse[i])).sqrt()
    }

    /// λ-penalty of its present point.
    fn penalty(&self, lambda: f64) -> f64 {
        let each = |(&j, w): (&u32, &f64)| self.problem.l1[j as usize] * w.abs() + 0.5 * self.problem.l2[j as usize] * w * w;
        lambda * self.at.columns.iter().zip(&self.at.values).map(each).sum::<f64>()
    }
}

impl<'g, 'a, V: Number> Together<'g, 'a, V> {
    pub(super) fn new(
        data: Data<'a>,
        values: &'a [V],
        loss: Loss,
        points: &'g [Point],
        members: Vec<Member<'g, 'a>>,
        clock: Clock<'g>,
    ) -> Self {
        let (n, p) = (data.x.n_rows, data.x.len());
        let weight = |i: usize| data.weights.map_or(1.0, |s| s[i]);
        let total: f64 = (0..n).map(weight).sum();
        let zeros = || vec![Line::default(); n];
        Self {
            x: data.x,
            values,
            data,
            loss,
            points,
            clock,
            near: Near::new(reach_of(&members, p)),
            now: zeros(),
            before: zeros(),
            reference: vec![[0.0; LANES]; n],
            c_now: Vec::new(),
            c_before: Vec::new(),
            share: (0..n).map(|i| weight(i) / total).collect(),
            inverse: (0..n).map(|i| if weight(i) > 0.0 { 1.0 / weight(i) } else { 0.0 }).collect(),
            h: Vec::new(),
            mass: 0.0,
            moments: HashMap::new(),
            products: Products::default(),
            alive: Line(std::array::from_fn(|l| if l < members.len() { 1.0 } else { 0.0 })),
            members,
            apart: 0.0,
            bent: 0,
        }
    }

    /// Every λ that is left, until all folds are at their end or have left.
    pub(super) fn run(mut self, lambdas: &[f64], each: &Each) -> Vec<Member<'g, 'a>> {
        let lanes: Vec<usize> = (0..self.members.len()).collect();
        let before: Vec<Spot> = self.members.iter().map(|m| m.before.clone()).collect();
        self.evaluate(&lanes, &before);
        lanes.iter().for_each(|&l| put(&mut self.before, l, &self.members[l].theta));
        let at: Vec<Spot> = self.members.iter().map(|m| m.at.clone()).collect();
        self.evaluate(&lanes, &at);
        lanes.iter().for_each(|&l| put(&mut self.now, l, &self.members[l].theta));
        self.refer();
        let first = self.members.iter().map(|m| m.rows.len()).min().unwrap_or(0);
        for index in first..lambdas.len() {
            let on: Vec<usize> = lanes.iter().copied().filter(|&l| !self.members[l].left && self.members[l].rows.len() == index).collect();
            if !on.is_empty() && !self.lambda(index, lambdas, on, each) {
                break;
            }
        }
        let stopped = self.clock.cancelled;
        self.members.iter_mut().for_each(|member| member.stopped = stopped);
        self.members
    }

    /// One λ for the folds `on`; `false` when it is time to stop.
    fn lambda(&mut self, index: usize, lambdas: &[f64], mut on: Vec<usize>, each: &Each) -> bool {
        let lambda = lambdas[index];
        for &l in &on {
            self.clock.progress.fold = Some(self.members[l].fold);
            self.clock.begin(lambda, index);
            let member = &mut self.members[l];
            (member.epochs, member.sharper, member.stalled) = (0, 1.0, 0);
        }
        self.bend(index);
        self.cover(lambda, self.apart);
        // a gap over some of the columns is never above that over all
        if on.iter().any(|&l| self.gap(l, lambda)) {
            self.fill(|_| true);
        }
        on.retain(|&l| {
            let is_done = self.gap(l, lambda);
            if is_done {
                self.stay(l);
                self.finish(l, lambda, each);
            }
            !is_done
        });
        // how far the last two points lead
        let ahead = if index >= 2 { (lambdas[index - 1] - lambda) / (lambdas[index - 2] - lambdas[index - 1]) } else { 0.0 };
        let ahead = if ahead.is_finite() && ahead <= 2.0 { ahead } else { 0.0 };
        for round in 0..PATIENCE {
            if on.is_empty() || self.clock.cancelled {
                break;
            }
            let ahead = if round == 0 { ahead } else { 0.0 };
            self.foresee(&on, lambda, ahead);
            let primal: Vec<f64> = on.iter().map(|&l| self.members[l].loss + self.members[l].penalty(lambda)).collect();
            let Some(spots) = self.step(&on, lambda, ahead) else { return false };
            if round == 0 {
                on.iter().for_each(|&l| self.stay(l));
            }
            self.go(&on, spots, &primal, lambda);
            self.look(lambda);
            let gaps: Vec<f64> = on.iter().map(|&l| self.members[l].gap).collect();
            let mut still = Vec::new();
            for (&l, before) in on.iter().zip(gaps) {
                if self.gap(l, lambda) {
                    self.finish(l, lambda, each);
                    continue;
                }
                let member = &mut self.members[l];
                // the model, or how well it is minimised, holds it up
                if round >= 1 && member.gap > 0.4 * before {
                    member.sharper *= 0.3;
                }
                member.stalled += usize::from(round >= 1 && member.gap > 0.8 * before);
                if member.stalled > STALLED { self.leave(l) } else { still.push(l) }
            }
            on = still;
        }
        if self.clock.cancelled {
            return false;
        }
        on.iter().for_each(|&l| self.leave(l));
        true
    }

    /// The gap of fold `l` at its present point; whether that is small enough.
    fn gap(&mut self, l: usize, lambda: f64) -> bool {
        let Self { members, near, c_now, clock, .. } = self;
        let member = &mut members[l];
        // a product that is not known counts as none
        let find = |j: u32| near.place(j).map_or(0.0, |place| c_now[place].0[l]);
        let dual = dual_over(member.problem, lambda, &member.theta, near.list.iter().copied(), find, 1.0 / WITHIN, clock);
        // of this point alone: whoever certifies it knows no other
        member.gap = ((member.loss + member.penalty(lambda) - dual) / member.problem.unit()).max(0.0);
        clock.progress.relative_gap = Some(member.gap);
        clock.progress.nonzeros = member.at.columns.len();
        !clock.cancelled && member.gap <= member.problem.options.tol
    }

    /// Fold `l` is where it was: the present point is the one before, too.
    fn stay(&mut self, l: usize) {
        self.members[l].before = self.members[l].at.clone();
        copy(&mut self.before, &self.now, l);
        copy(&mut self.c_before, &self.c_now, l);
    }

    /// Fold `l` is fitted by itself from here on.
    fn leave(&mut self, l: usize) {
        (self.members[l].left, self.alive.0[l]) = (true, 0.0);
    }

    /// λ is done for fold `l`.
    fn finish(&mut self, l: usize, lambda: f64, each: &Each) {
        let member = &mut self.members[l];
        let point = Point {
            lambda,
            columns: member.at.columns.clone(),
            values: member.at.values.clone(),
            intercept: member.b,
            relative_gap: member.gap,
            deviance: member.problem.deviance(member.loss),
            epochs: member.epochs,
            full_passes: self.clock.touched as f64 / self.x.nnz().max(1) as f64,
            stop: Stop::Converged,
        };
        let Spot { columns, values, seen } = member.before.clone();
        let trail = Trail { seen: Some(member.at.seen), before: Some(Reference { columns, values, seen }), ..Trail::default() };
        let row = FoldRow { deviance: mean_deviance(self.loss, self.data.y, &member.eta, member.test), nonzeros: point.columns.len() };
        member.rows.push(row);
        each(member.fold, member.rows.len() - 1, row, &point, trail.clone());
        member.last = Some((point, trail));
    }

    /// η, θ, intercept and loss of the folds `on` at `spots`, from the coefficients alone.
    fn evaluate(&mut self, on: &[usize], spots: &[Spot]) {
        let columns = union(spots.iter().map(|spot| spot.columns.as_slice()));
        let mut w = vec![Line::default(); columns.len()];
        let mut start = Line::default();
        for (&l, spot) in on.iter().zip(spots) {
            start.0[l] = spot.seen;
            let mut k = 0;
            for (j, value) in spot.columns.iter().zip(&spot.values) {
                while columns[k] < *j {
                    k += 1;
                }
                w[k].0[l] = *value;
            }
        }
        let mut eta = vec![start; self.x.n_rows];
        if let Some(offset) = self.data.offset {
            eta.iter_mut().zip(offset).for_each(|(eta, o)| eta.0.iter_mut().for_each(|eta| *eta += o));
        }
        for (columns, w) in columns.chunks(16).zip(w.chunks(16)) {
            let entries: usize = columns.iter().map(|&j| self.x.range(j as usize).len()).sum();
            if !self.clock.touch(entries) {
                return;
            }
            lanes::add_columns(self.x, self.values, columns, w, &mut eta);
        }
        for (&l, spot) in on.iter().zip(spots) {
            let member = &mut self.members[l];
            member.eta.clear();
            member.eta.extend(eta.iter().map(|line| line.0[l]));
            member.b = spot.seen;
            member.theta = member.problem.balance(&mut member.eta, &mut member.b, &mut self.clock);
            member.loss = member.problem.mean_loss(&member.eta, &mut self.clock);
        }
    }

    /// Moves the folds `on` to `spots`, or as far towards them as their objectives fall.
    fn go(&mut self, on: &[usize], spots: Vec<Spot>, primal: &[f64], lambda: f64) {
        let from: Vec<Spot> = on.iter().map(|&l| self.members[l].at.clone()).collect();
        self.evaluate(on, &spots);
        for ((&l, spot), (from, &primal)) in on.iter().zip(spots).zip(from.iter().zip(primal)) {
            self.members[l].at = spot;
            let mut tries = 0;
            while self.loss != Loss::Squared && tries < 20 && !self.clock.cancelled {
                let member = &self.members[l];
                let rounding = 1e-14 * (primal.abs() + member.problem.magnitude());
                if member.loss + member.penalty(lambda) <= primal + rounding {
                    break;
                }
                tries += 1;
                let halfway = between(from, &member.at);
                self.evaluate(&[l], std::slice::from_ref(&halfway));
                self.members[l].at = halfway;
            }
            put(&mut self.now, l, &self.members[l].theta);
        }
    }

    /// X̃ᵀθ of the columns near.
    fn look(&mut self, lambda: f64) {
        self.apart = self.apart(0.0)[0];
        self.cover(lambda, self.apart);
        if self.near.walk(self.x) {
            self.refer();
            self.cover(lambda, self.apart);
        }
        let list = std::mem::take(&mut self.near.list);
        let mut c = std::mem::take(&mut self.c_now);
        c.resize(list.len(), Line::default());
        let sums = sums_of(&self.now);
        self.multiply(&list, &Which::Now, &sums, &mut c);
        (self.near.list, self.c_now) = (list, c);
    }

    fn multiply(&mut self, list: &[u32], which: &Which, sums: &Line, c: &mut [Line]) {
        let Self { x, values, members, clock, now, before, .. } = self;
        let t = match which {
            Which::Now => now,
            Which::Before => before,
        };
        for (list, c) in list.chunks(64).zip(c.chunks_mut(64)) {
            let entries: usize = list.iter().map(|&j| x.range(j as usize).len()).sum();
            if !clock.touch(entries) {
                return;
            }
            lanes::products_with(*x, values, list, t, c);
            for (&j, c) in list.iter().zip(c) {
                for (l, member) in members.iter().enumerate() {
                    let live = member.problem.scale[j as usize] > 0.0;
                    c.0[l] = if live { c.0[l] - member.problem.center[j as usize] * sums.0[l] } else { 0.0 };
                }
            }
        }
    }

    /// Looks at every column: the present point is the reference from now on.
    fn refer(&mut self) {
        self.reference.iter_mut().zip(&self.now).for_each(|(to, from)| *to = from.0.map(|x| x as f32));
        let mut sums = Line::default();
        self.reference.iter().for_each(|line| (0..LANES).for_each(|l| sums.0[l] += f64::from(line[l])));
        let sum = sums.0.iter().fold(0.0f64, |most, sum| most.max(sum.abs()));
        let mut c = [Line::default(); 64];
        let mut list = [0; 64];
        for start in (0..self.x.len()).step_by(64) {
            let count = (self.x.len() - start).min(64);
            list[..count].iter_mut().zip(start as u32..).for_each(|(j, id)| *j = id);
            let entries = self.x.offsets[start + count] - self.x.offsets[start];
            if !self.clock.touch(entries as usize) {
                return;
            }
            // θ sums to 0 where there is an intercept, but for its rounding to single precision
            lanes::products_with_single(self.x, self.values, &list[..count], &self.reference, &mut c[..count]);
            for (j, c) in (start..).zip(&c[..count]) {
                let top = c.0.iter().zip(&self.alive.0).fold(0.0f64, |top, (c, alive)| top.max(c.abs() * alive));
                self.near.refer(j, top, sum);
            }
        }
        self.near.referred();
        self.apart = self.apart(0.0)[0];
    }

    /// Sees to it that all columns are in the list that may pass WITHIN their bounds where θ is this far from the reference;
    /// what has not been looked at yet is unknown (NaN).
    fn cover(&mut self, lambda: f64, distance: f64) {
        if self.near.covers(lambda, distance) {
            return;
        }
        let spots = self.members.iter().flat_map(|m| [m.at.columns.as_slice(), m.before.columns.as_slice()]);
        let kept = union(spots);
        let old = self.near.list.clone();
        self.near.cover(0.98 * lambda, 1.02 * distance, &kept, self.x);
        self.clock.work(self.x.len() / 4);
        let merge = |then: &[Line]| -> Vec<Line> {
            let mut at = 0;
            let find = |&j: &u32| {
                while at < old.len() && old[at] < j {
                    at += 1;
                }
                if old.get(at) == Some(&j) { then[at] } else { Line([f64::NAN; LANES]) }
            };
            self.near.list.iter().map(find).collect()
        };
        (self.c_now, self.c_before) = (merge(&self.c_now), merge(&self.c_before));
    }

    /// Looks at those columns of the list that are `wanted` and were not looked at yet.
    fn fill(&mut self, wanted: impl Fn(usize) -> bool) {
        let unknown = |place: usize| (self.c_now[place].0[0].is_nan() && wanted(place)).then_some(place);
        let places: Vec<usize> = (0..self.near.list.len()).filter_map(unknown).collect();
        self.look_at(&places, &Which::Now);
    }

    fn look_at(&mut self, places: &[usize], which: &Which) {
        if places.is_empty() {
            return;
        }
        let columns: Vec<u32> = places.iter().map(|&place| self.near.list[place]).collect();
        let sums = sums_of(if *which == Which::Now { &self.now } else { &self.before });
        let mut c = vec![Line::default(); columns.len()];
        self.multiply(&columns, which, &sums, &mut c);
        let to = if *which == Which::Now { &mut self.c_now } else { &mut self.c_before };
        places.iter().zip(c).for_each(|(&place, c)| to[place] = c);
    }

    /// Looks at those columns that may pass their bounds where the folds `on` begin, `ahead` of their present points.
    fn foresee(&mut self, on: &[usize], lambda: f64, ahead: f64) {
        let [_, moved, far] = if ahead > 0.0 { self.apart(ahead) } else { [self.apart, 0.0, self.apart] };
        self.cover(lambda, far.max(self.apart));
        let bound = OFFERED * lambda * (1.0 - 1e-12);
        let spots = on.iter().flat_map(|&l| [self.members[l].at.columns.as_slice(), self.members[l].before.columns.as_slice()]);
        let mut moving = vec![false; self.near.list.len()];
        union(spots).into_iter().filter_map(|j| self.near.place(j)).for_each(|place| moving[place] = true);
        let most: Vec<f64> = self.near.list.iter().map(|&j| self.near.most(j, far)).collect();
        self.fill(|place| moving[place] || most[place] >= bound);
        if ahead == 0.0 {
            return;
        }
        let may = |place: usize, j: usize| {
            on.iter().any(|&l| {
                let problem = self.members[l].problem;
                let reach = self.c_now[place].0[l].abs() + ahead * moved * problem.spread[j].sqrt() * (1.0 + 1e-12);
                self.c_before[place].0[l].is_nan()
                    && (moving[place] || (problem.l1[j] > 0.0 && most[place] >= bound && reach >= bound * problem.l1[j]))
            })
        };
        let places: Vec<usize> = (0..self.near.list.len()).filter(|&place| may(place, self.near.list[place] as usize)).collect();
        self.look_at(&places, &Which::Before);
    }

    /// Of all folds the largest distances, in the metric of their shares: of the present point from the reference and from the
    /// point before, and from the reference of what lies `ahead`.
    fn apart(&self, ahead: f64) -> [f64; 3] {
        let mut squares = [Line::default(); 3];
        lanes::distances(&self.now, &self.before, &self.reference, &self.inverse, ahead, &mut squares);
        squares.map(|squares| {
            let each = |(l, member): (usize, &Member)| if member.left { 0.0 } else { member.length(squares.0[l], &self.inverse) };
            self.members.iter().enumerate().map(each).fold(0.0, f64::max) * (1.0 + 1e-12)
        })
    }

    /// Second derivatives for this λ.
    fn bend(&mut self, index: usize) {
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

    /// Where the folds `on` go next: the minimum of the model, roughly. `None` when `clock` said stop.
    fn step(&mut self, on: &[usize], lambda: f64, ahead: f64) -> Option<Vec<Spot>> {
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
            self.minimise(&group, lambda, &places, &mut w, &c, &may)?;
            for &l in &group {
                let moved = places.iter().filter(|&&place| w[place].0[l] != 0.0);
                let (columns, values) = moved.map(|&place| (self.near.list[place], w[place].0[l])).unzip();
                spots[l] = Spot { columns, values, seen: self.members[l].b };
            }
        }
        Some(on.iter().map(|&l| std::mem::take(&mut spots[l])).collect())
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
    fn minimise(&mut self, on: &[usize], lambda: f64, places: &[usize], w: &mut [Line], c: &[Line], may: &[u8]) -> Option<()> {
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
        for &l in on {
            let member = &mut self.members[l];
            let mine = (0..ids.len()).filter(|&k| may[places[k]] & (1 << l) != 0 && wanted[k].curvature > 0.0);
            let coordinates = mine.map(|k| {
                let j = ids[k] as usize;
                let (l1, l2) = (lambda * member.problem.l1[j], lambda * member.problem.l2[j]);
                let curvature = wanted[k].curvature;
                Slot { at: places[k], place: self.products.place(ids[k]), curvature, l1, l2 }
            });
            let slots: Vec<Slot> = coordinates.collect();
            let primal = member.loss + member.penalty(lambda);
            let size = if self.loss == Loss::Squared { 2.0 * member.loss } else { member.problem.deviance(primal).max(0.0) };
            let goal = 0.3 * member.problem.options.tol * member.problem.unit();
            let start = |slot: &Slot| (w[slot.at].0[l], c[slot.at].0[l]);
            let mut descent = Descent::new(&slots, start, &self.products, &mut self.clock);
            member.epochs += descent.run(goal, member.sharper, size);
            slots.iter().zip(&descent.w).for_each(|(slot, value)| w[slot.at].0[l] = *value);
        }
        (!self.clock.cancelled).then_some(())
    }
}

/// Which θ.
#[derive(PartialEq)]
enum Which {
    Now,
    Before,
}

/// Of each column the least bound of all folds at λ = 1, the largest ‖x̃‖ and the largest mean.
fn reach_of(members: &[Member], p: usize) -> Vec<[f64; 3]> {
    let of = |j: usize| {
        let live = members.iter().map(|member| member.problem).filter(|problem| problem.l1[j] > 0.0);
        let [l1, spread, mean] = live.fold([f64::INFINITY, 0.0, 0.0f64], |[l1, spread, mean], problem| {
            [l1.min(problem.l1[j]), spread.max(problem.spread[j]), mean.max(problem.center[j].abs())]
        });
        [l1, spread.sqrt() * (1.0 + 1e-12), mean]
    };
    (0..p).map(of).collect()
}

/// Rising and each once.
fn union<'s>(lists: impl Iterator<Item = &'s [u32]>) -> Vec<u32> {
    let mut all: Vec<u32> = lists.flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Halfway from one point to another.
fn between(from: &Spot, to: &Spot) -> Spot {
    let columns = union([from.columns.as_slice(), to.columns.as_slice()].into_iter());
    let of = |spot: &Spot, j: &u32| spot.columns.binary_search(j).map_or(0.0, |k| spot.values[k]);
    let values = columns.iter().map(|j| 0.5 * (of(from, j) + of(to, j))).collect();
    Spot { columns, values, seen: 0.5 * (from.seen + to.seen) }
}

fn put(lines: &mut [Line], l: usize, from: &[f64]) {
    lines.iter_mut().zip(from).for_each(|(line, x)| line.0[l] = *x);
}

fn copy(to: &mut [Line], from: &[Line], l: usize) {
    to.iter_mut().zip(from).for_each(|(to, from)| to.0[l] = from.0[l]);
}

fn sums_of(lines: &[Line]) -> Line {
    let mut sums = Line::default();
    lines.iter().for_each(|line| (0..LANES).for_each(|l| sums.0[l] += line.0[l]));
    sums
}
