//! Descent over blocks whose columns' products are known, and Newton steps on those that are not at 0: each visit costs the
//! number of columns, whatever the number of rows.

use super::super::clock::Clock;
use super::super::dense::newton_price;
use super::super::gram::Products;
use super::super::linear;
use super::super::quadratic::Residual;
use super::inner::{Aim, Part};
use super::rule::norm;
use crate::matrix::Number;

/// Proximal gradient steps of a group at one visit.
const STEPS: usize = 3;
/// An unknown whose square of the distance to the span of the others is below this share of its own takes no part in a step.
const DEPENDENT: f64 = 1e-11;
/// Sweeps without getting nearer, until it is given up.
const PATIENCE: usize = 40;

/// Minimises over the blocks `active`, whose columns are `moving`, with the gradients `c`; `false` when `clock` said stop
/// before anything was done.
pub(super) fn minimise<V: Number>(
    model: &mut Residual<V>,
    part: &mut Part,
    (active, moving): (&[usize], &[usize]),
    c: &[f64],
    goal: f64,
    aim: &Aim,
    clock: &mut Clock,
) -> bool {
    if !model.multiply(moving, clock) {
        return false;
    }
    let before: Vec<f64> = moving.iter().map(|&k| part.u[k]).collect();
    Known::new(&model.products, &model.ids, part, (active, moving), c, clock).minimise(part, goal, aim, clock);
    for (&k, before) in moving.iter().zip(before) {
        if part.u[k] != before {
            model.step(k, (part.u[k] - before) / part.scale[k], clock);
        }
    }
    true
}

/// A model over columns whose products are known.
struct Known<'g> {
    products: &'g Products,
    active: &'g [usize],
    /// Place of each coordinate among the known columns; right only where one moves.
    place: Vec<usize>,
    /// x̃ᵀq at the present point, for every known column; right only where a coordinate is.
    gradient: Vec<f64>,
    scale: Vec<f64>,
    /// A bound on the second derivatives of each active block.
    bends: Vec<f64>,
}

impl<'g> Known<'g> {
    fn new(
        products: &'g Products,
        ids: &[u32],
        part: &Part,
        (active, moving): (&'g [usize], &[usize]),
        c: &[f64],
        clock: &mut Clock,
    ) -> Self {
        let (mut place, mut gradient) = (vec![usize::MAX; part.u.len()], vec![0.0; products.len()]);
        for &k in moving {
            place[k] = products.place(ids[k]);
            gradient[place[k]] = c[k] * part.scale[k];
        }
        let mut known = Self { products, active, place, gradient, scale: part.scale.clone(), bends: Vec::new() };
        // Gershgorin: no eigenvalue is above the largest sum of sizes in a row
        let mut row = |block: &[usize], k: usize| {
            clock.work(block.len());
            block.iter().map(|&l| known.product(k, l).abs()).sum::<f64>()
        };
        let mut bound = |&b: &usize| {
            let block: Vec<usize> = part.block(b).iter().copied().filter(|&k| known.moves(k)).collect();
            block.iter().map(|&k| row(&block, k)).fold(0.0, f64::max)
        };
        known.bends = active.iter().map(&mut bound).collect();
        known
    }

    fn moves(&self, k: usize) -> bool {
        self.place[k] != usize::MAX
    }

    /// x̃_kᵀHx̃_l on the scale of the penalty.
    fn product(&self, k: usize, l: usize) -> f64 {
        self.products.row(self.place[k])[self.place[l]] / self.scale[k] / self.scale[l]
    }

    /// 0 where a coordinate cannot move: it stays where it is.
    fn gradient(&self, k: usize) -> f64 {
        if self.moves(k) { self.gradient[self.place[k]] / self.scale[k] } else { 0.0 }
    }

    fn step(&mut self, k: usize, step: f64) {
        let (row, step) = (self.products.row(self.place[k]), step / self.scale[k]);
        self.gradient.iter_mut().zip(row).for_each(|(c, g)| *c -= step * g);
    }

    /// Units of work of one step.
    fn step_cost(&self) -> usize {
        self.products.len() / 3 + 1
    }

    fn minimise(&mut self, part: &mut Part, goal: f64, aim: &Aim, clock: &mut Clock) {
        let (mut work, mut doubt, mut best, mut still) = (0, 1usize, f64::INFINITY, 0);
        loop {
            work += self.sweep(part, clock);
            let mut measure = part.measure(self.active.iter().copied(), |k| self.gradient(k), aim.size);
            let support = self.active.iter().flat_map(|&b| part.block(b)).filter(|&&k| part.u[k] != 0.0).count();
            // as much for steps of the second order as descent has cost already
            if measure > goal && work >= newton_price(support).saturating_mul(doubt) && support > 0 {
                doubt = if self.newton(part, clock) { 1 } else { (doubt * 4).min(1 << 10) };
                work = 0;
                measure = part.measure(self.active.iter().copied(), |k| self.gradient(k), aim.size);
            }
            if measure <= goal || clock.cancelled || clock.progress.epoch >= aim.max_epochs {
                return;
            }
            still = if measure < 0.9 * best { 0 } else { still + 1 };
            best = best.min(measure);
            if still >= PATIENCE {
                return;
            }
        }
    }

    /// One sweep over the active blocks; units of work.
    fn sweep(&mut self, part: &mut Part, clock: &mut Clock) -> usize {
        let (mut work, mut c, mut next) = (0, Vec::new(), Vec::new());
        let active = self.active;
        for (position, &b) in active.iter().enumerate() {
            let n = part.block(b).len();
            if self.bends[position] <= 0.0 {
                continue;
            }
            for _ in 0..if n == 1 { 1 } else { STEPS } {
                c.clear();
                c.extend(part.block(b).iter().map(|&k| self.gradient(k)));
                part.prox(b, &c, self.bends[position], &mut next);
                let mut moved = false;
                for (at, &target) in next.iter().enumerate().take(n) {
                    let k = part.block(b)[at];
                    let step = target - part.u[k];
                    if step != 0.0 && self.moves(k) {
                        self.step(k, step);
                        part.u[k] = next[at];
                        work += self.step_cost();
                        moved = true;
                        if !clock.work(self.step_cost()) {
                            return work;
                        }
                    }
                }
                clock.work(n);
                if !moved {
                    break;
                }
            }
            work += n;
        }
        clock.progress.epoch += 1;
        work
    }

    /// A Newton step on the coordinates that are not at 0, as long as the objective falls by it. Whether it did.
    fn newton(&mut self, part: &mut Part, clock: &mut Clock) -> bool {
        let of_block = |&b: &usize| part.block(b).iter().copied().filter(|&k| part.u[k] != 0.0).map(move |k| (b, k));
        let support: Vec<(usize, usize)> = self.active.iter().flat_map(of_block).filter(|&(_, k)| self.moves(k)).collect();
        let s = support.len();
        let mut a = vec![0.0; s * s];
        for (i, &(_, k)) in support.iter().enumerate() {
            if !clock.work(i / 2) {
                return false;
            }
            support[..=i].iter().enumerate().for_each(|(j, &(_, l))| a[i * s + j] = self.product(k, l));
        }
        let slopes = add_second_order(part, &support, &mut a);
        let mut direction: Vec<f64> = support.iter().zip(&slopes).map(|(&(_, k), slope)| self.gradient(k) - slope).collect();
        // Where a folded penalty bends the other way more than the loss, the unknown is held: descent decides about it.
        if s == 0 || !linear::factorise(&mut a, s, DEPENDENT, clock) {
            return false;
        }
        linear::substitute(&a, s, &mut direction);
        let finite = direction.iter().all(|d| d.is_finite());
        finite && [1.0, 0.5, 0.2, 0.05].iter().any(|length| self.take_if_better(part, &support, &direction, *length, clock))
    }

    /// Goes along the direction, a coordinate that would change its sign only to 0, when the objective falls.
    fn take_if_better(&mut self, part: &mut Part, support: &[(usize, usize)], direction: &[f64], length: f64, clock: &mut Clock) -> bool {
        let mut d = vec![0.0; part.u.len()];
        let mut moved = vec![0.0; self.gradient.len()];
        let mut slope = 0.0;
        for (&(b, k), step) in support.iter().zip(direction) {
            let (u, new) = (part.u[k], part.u[k] + length * step);
            let kink = part.l1[k] > 0.0 || part.block(b).len() == 1 && part.weights[b] > 0.0;
            d[k] = if kink && new * u <= 0.0 { -u } else { new - u };
            if !clock.work(self.step_cost()) {
                return false;
            }
            slope += d[k] * self.gradient(k);
            let in_w = d[k] / self.scale[k];
            moved.iter_mut().zip(self.products.row(self.place[k])).for_each(|(x, g)| *x += in_w * g);
        }
        let bend: f64 = support.iter().map(|&(_, k)| d[k] / self.scale[k] * moved[self.place[k]]).sum();
        let better = 0.5 * bend - slope + part.change(self.active, &d) < 0.0;
        if better {
            self.gradient.iter_mut().zip(&moved).for_each(|(c, x)| *c -= x);
            support.iter().for_each(|&(_, k)| part.u[k] += d[k]);
        }
        better
    }
}

/// Slopes of the penalty at coordinates that are not at 0; its second derivatives are added to the lower triangle `a`.
/// Coordinates of a block follow one another.
fn add_second_order(part: &Part, support: &[(usize, usize)], a: &mut [f64]) -> Vec<f64> {
    let (s, mut slopes) = (support.len(), Vec::with_capacity(support.len()));
    for run in support.chunk_by(|a, b| a.0 == b.0) {
        let (b, first) = (run[0].0, slopes.len());
        let weight = part.weights[b];
        if let [k] = part.block(b) {
            let (u, l1) = (part.u[*k], part.l1[*k]);
            slopes.push(part.rule.slope(u, l1, weight) * u.signum());
            a[first * s + first] += part.rule.bend(u, l1);
            continue;
        }
        let length = norm(run.iter().map(|&(_, k)| part.u[k]));
        for (i, &(_, k)) in run.iter().enumerate() {
            let here = part.u[k] / length;
            slopes.push(weight * here + part.l1[k] * here.signum());
            for (j, &(_, l)) in run[..=i].iter().enumerate() {
                let unit = if i == j { 1.0 } else { 0.0 };
                a[(first + i) * s + first + j] += (unit - here * (part.u[l] / length)) * (weight / length);
            }
        }
    }
    slopes
}
