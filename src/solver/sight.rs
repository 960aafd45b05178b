//! What folds that go together see of the columns: products of those that may come near their bounds in any of them.

use super::lanes::{self, LANES, Line};
use super::together::{Member, OFFERED, Together, union};
use crate::matrix::Number;

/// Which θ.
#[derive(Clone, Copy, PartialEq)]
enum Which {
    Now,
    Before,
}

impl<'g, 'a, V: Number> Together<'g, 'a, V> {
    /// X̃ᵀθ of the columns near.
    pub(super) fn look(&mut self, lambda: f64) {
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
        self.multiply(&list, Which::Now, &sums, &mut c);
        (self.near.list, self.c_now) = (list, c);
    }

    fn multiply(&mut self, list: &[u32], which: Which, sums: &Line, c: &mut [Line]) {
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
    pub(super) fn refer(&mut self) {
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
    pub(super) fn cover(&mut self, lambda: f64, distance: f64) {
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
    pub(super) fn fill(&mut self, wanted: impl Fn(usize) -> bool) {
        let unknown = |place: usize| (self.c_now[place].0[0].is_nan() && wanted(place)).then_some(place);
        let places: Vec<usize> = (0..self.near.list.len()).filter_map(unknown).collect();
        self.look_at(&places, Which::Now);
    }

    fn look_at(&mut self, places: &[usize], which: Which) {
        if places.is_empty() {
            return;
        }
        let columns: Vec<u32> = places.iter().map(|&place| self.near.list[place]).collect();
        let sums = sums_of(if which == Which::Now { &self.now } else { &self.before });
        let mut c = vec![Line::default(); columns.len()];
        self.multiply(&columns, which, &sums, &mut c);
        let to = if which == Which::Now { &mut self.c_now } else { &mut self.c_before };
        places.iter().zip(c).for_each(|(&place, c)| to[place] = c);
    }

    /// Looks at those columns that may pass their bounds where the folds `on` begin, `ahead` of their present points.
    pub(super) fn foresee(&mut self, on: &[usize], lambda: f64, ahead: f64) {
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
        self.look_at(&places, Which::Before);
    }

    /// Of all folds the largest distances, in the metric of their shares: of the present point from the reference and from the
    /// point before, and from the reference of what lies `ahead`.
    pub(super) fn apart(&self, ahead: f64) -> [f64; 3] {
        let mut squares = [Line::default(); 3];
        lanes::distances(&self.now, &self.before, &self.reference, &self.inverse, ahead, &mut squares);
        squares.map(|squares| {
            let each = |(l, member): (usize, &Member)| if member.left { 0.0 } else { member.length(squares.0[l], &self.inverse) };
            self.members.iter().enumerate().map(each).fold(0.0, f64::max) * (1.0 + 1e-12)
        })
    }
}

/// Of each column the least bound of all folds at λ = 1, the largest ‖x̃‖ and the largest mean.
pub(super) fn reach_of(members: &[Member], p: usize) -> Vec<[f64; 3]> {
    let of = |j: usize| {
        let live = members.iter().map(|member| member.problem).filter(|problem| problem.l1[j] > 0.0);
        let [l1, spread, mean] = live.fold([f64::INFINITY, 0.0, 0.0f64], |[l1, spread, mean], problem| {
            [l1.min(problem.l1[j]), spread.max(problem.spread[j]), mean.max(problem.center[j].abs())]
        });
        [l1, spread.sqrt() * (1.0 + 1e-12), mean]
    };
    (0..p).map(of).collect()
}

fn sums_of(lines: &[Line]) -> Line {
    let mut sums = Line::default();
    lines.iter().for_each(|line| (0..LANES).for_each(|l| sums.0[l] += line.0[l]));
    sums
}
