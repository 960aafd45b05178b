//! The quadratic model of a Newton step on a working set, and its minimisation by coordinate descent.
//!
//! min over u of  −gᵀu + ½uᵀHu + Σ_k l1_k|u_k| + l2_k/2·u_k², where H is the curvature of the weighted loss on the
//! centred and scaled columns of the working set. The model is either [`Residual`] (products with columns) or
//! `gram::Gram` (H itself, for small sets); descent does not know which.

use super::watch::{Cancelled, Watch};
use crate::matrix::{ColumnsView, Number, add_scaled_weighted, dot, sum_weighted};

/// The penalty of each member of a working set.
pub(super) struct Bounds {
    pub(super) l1: Vec<f64>,
    pub(super) l2: Vec<f64>,
}

impl Bounds {
    /// Violation of optimality at member `k`: the distance of the gradient from the subdifferential.
    pub(super) fn violation(&self, k: usize, u: f64, gradient: f64) -> f64 {
        if u != 0.0 { (gradient - self.l1[k] * u.signum() - self.l2[k] * u).abs() } else { (gradient.abs() - self.l1[k]).max(0.0) }
    }

    /// The minimiser over one coordinate: prox of the penalty.
    fn prox(&self, k: usize, z: f64, curvature: f64) -> f64 {
        let shrunk = if z > self.l1[k] {
            z - self.l1[k]
        } else if z < -self.l1[k] {
            z + self.l1[k]
        } else {
            0.0
        };
        shrunk / (curvature + self.l2[k])
    }

    /// Change of the penalty when member `k` goes from `u` to `v`.
    pub(super) fn change(&self, k: usize, u: f64, v: f64) -> f64 {
        self.l1[k] * (v.abs() - u.abs()) + 0.5 * self.l2[k] * (v * v - u * u)
    }
}

/// A quadratic model over the members of a working set.
pub(super) trait Quadratic {
    /// H_kk.
    fn curvature(&self, k: usize) -> f64;
    /// −∂/∂u_k of the quadratic part at the present point.
    fn gradient(&self, k: usize) -> f64;
    /// u_k += d.
    fn shift(&mut self, k: usize, d: f64);
    /// For a move of several members: its product with the gradient, and its curvature dᵀHd. Remembers the move.
    fn try_move(&mut self, moves: &[(usize, f64)], watch: &mut Watch<'_>) -> Result<(f64, f64), Cancelled>;
    /// Makes the move last tried.
    fn make_move(&mut self);
    /// Work of touching member `k` once, in non-zeros.
    fn cost(&self, k: usize) -> usize;
}

/// How a minimisation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every violation is at or below the goal.
    Reached,
    /// The sweeps allowed are used up.
    OutOfSweeps,
}

/// Sweeps over the support between two sweeps over the whole set.
const SUPPORT_SWEEPS: usize = 10;
/// Iterates an extrapolation looks back on (Bertrand & Massias, AISTATS 2021).
const LOOK_BACK: usize = 5;

/// Cyclic coordinate descent with Anderson extrapolation, until no violation exceeds `goal`.
pub(super) fn minimise<Q: Quadratic>(
    model: &mut Q,
    u: &mut [f64],
    bounds: &Bounds,
    goal: f64,
    sweeps_max: u64,
    watch: &mut Watch<'_>,
) -> Result<Ended, Cancelled> {
    let all: Vec<usize> = (0..u.len()).collect();
    let mut history = History::default();
    let mut sweeps = 0;
    loop {
        let worst = sweep(model, u, bounds, &all, watch)?;
        sweeps += 1;
        if worst <= goal {
            return Ok(Ended::Reached);
        }
        if sweeps >= sweeps_max {
            return Ok(Ended::OutOfSweeps);
        }
        let support: Vec<usize> = all.iter().copied().filter(|&k| u[k] != 0.0).collect();
        for _ in 0..SUPPORT_SWEEPS {
            let worst = sweep(model, u, bounds, &support, watch)?;
            sweeps += 1;
            history.push(u);
            if let Some(target) = history.extrapolate() {
                accept(model, u, bounds, &target, watch)?;
                history.clear();
            }
            if worst <= 0.3 * goal || sweeps >= sweeps_max {
                break;
            }
        }
    }
}

/// One sweep; the largest violation met on the way.
fn sweep<Q: Quadratic>(model: &mut Q, u: &mut [f64], bounds: &Bounds, members: &[usize], watch: &mut Watch<'_>) -> Result<f64, Cancelled> {
    let mut worst: f64 = 0.0;
    watch.progress.epoch += 1;
    for &k in members {
        watch.work(model.cost(k))?;
        let curvature = model.curvature(k);
        if curvature + bounds.l2[k] <= 0.0 {
            continue;
        }
        let gradient = model.gradient(k);
        worst = worst.max(bounds.violation(k, u[k], gradient));
        let next = bounds.prox(k, gradient + curvature * u[k], curvature);
        if next != u[k] {
            model.shift(k, next - u[k]);
            u[k] = next;
        }
    }
    Ok(worst)
}

/// Goes to `target` if the objective falls on the way; says whether it did.
pub(super) fn accept<Q: Quadratic>(
    model: &mut Q,
    u: &mut [f64],
    bounds: &Bounds,
    target: &[f64],
    watch: &mut Watch<'_>,
) -> Result<bool, Cancelled> {
    let moves: Vec<(usize, f64)> = (0..u.len()).filter(|&k| target[k] != u[k]).map(|k| (k, target[k] - u[k])).collect();
    let (slope, bend) = model.try_move(&moves, watch)?;
    let penalty: f64 = moves.iter().map(|&(k, _)| bounds.change(k, u[k], target[k])).sum();
    let falls = 0.5 * bend - slope + penalty < 0.0;
    if falls {
        model.make_move();
        u.copy_from_slice(target);
    }
    Ok(falls)
}

/// The last iterates, for Anderson extrapolation.
#[derive(Default)]
struct History(Vec<Vec<f64>>);

impl History {
    fn push(&mut self, u: &[f64]) {
        self.0.push(u.to_vec());
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    /// The combination of iterates whose differences cancel best: c ∝ (UᵀU)⁻¹1 over the last differences U.
    fn extrapolate(&self) -> Option<Vec<f64>> {
        if self.0.len() <= LOOK_BACK {
            return None;
        }
        let difference = |i: usize, k: usize| self.0[i + 1][k] - self.0[i][k];
        let len = self.0[0].len();
        let mut system = [[0.0; LOOK_BACK + 1]; LOOK_BACK];
        for a in 0..LOOK_BACK {
            for b in 0..=a {
                let product: f64 = (0..len).map(|k| difference(a, k) * difference(b, k)).sum();
                system[a][b] = product;
                system[b][a] = product;
            }
            system[a][LOOK_BACK] = 1.0;
        }
        let c = solve_small(system)?;
        let total: f64 = c.iter().sum();
        let target: Vec<f64> = (0..len).map(|k| (0..LOOK_BACK).map(|i| c[i] / total * self.0[i + 1][k]).sum()).collect();
        target.iter().all(|value| value.is_finite()).then_some(target)
    }
}

/// Gaussian elimination with partial pivoting; `None` when the system is singular.
fn solve_small(mut system: [[f64; LOOK_BACK + 1]; LOOK_BACK]) -> Option<[f64; LOOK_BACK]> {
    for pivot in 0..LOOK_BACK {
        let best = (pivot..LOOK_BACK).max_by(|&a, &b| system[a][pivot].abs().total_cmp(&system[b][pivot].abs()))?;
        system.swap(pivot, best);
        let scale = system[pivot][pivot];
        if !(scale.abs() > 0.0) {
            return None;
        }
        let row = system[pivot];
        for lower in system.iter_mut().skip(pivot + 1) {
            let ratio = lower[pivot] / scale;
            lower.iter_mut().zip(row).for_each(|(entry, above)| *entry -= ratio * above);
        }
    }
    let mut solution = [0.0; LOOK_BACK];
    for i in (0..LOOK_BACK).rev() {
        let known: f64 = (i + 1..LOOK_BACK).map(|j| system[i][j] * solution[j]).sum();
        solution[i] = (system[i][LOOK_BACK] - known) / system[i][i];
    }
    solution.iter().all(|value| value.is_finite()).then_some(solution)
}

/// The model by products with columns. `slope` is the model's own weighted residual, not centred; its sum is kept
/// beside it, so that centring costs nothing per coordinate: g_k = (x_kᵀv − m_kΣv)/σ_k.
pub(super) struct Residual<'a, V> {
    x: ColumnsView<'a>,
    values: &'a [V],
    members: &'a [u32],
    shrink: Vec<f64>,
    /// Curvature of each row.
    pub(super) h: &'a [f64],
    h_sum: f64,
    centred: bool,
    /// Σhx/Σh of each member; 0 without intercept.
    pub(super) means: Vec<f64>,
    curvatures: Vec<f64>,
    slope: Vec<f64>,
    slope_sum: f64,
    trial: Vec<f64>,
}

impl<'a, V: Number> Residual<'a, V> {
    pub(super) fn new(
        x: ColumnsView<'a>,
        values: &'a [V],
        members: &'a [u32],
        shrink: &[f64],
        h: &'a [f64],
        slope: &[f64],
        centred: bool,
        watch: &mut Watch<'_>,
    ) -> Result<Self, Cancelled> {
        let h_sum: f64 = h.iter().sum();
        let (mut means, mut curvatures) = (Vec::with_capacity(members.len()), Vec::with_capacity(members.len()));
        let shrink: Vec<f64> = members.iter().map(|&j| shrink[j as usize]).collect();
        for (&j, shrink) in members.iter().zip(&shrink) {
            let column = x.column(j as usize, values);
            watch.work(column.rows.len())?;
            let [_, first, second] = sum_weighted(column, h);
            let mean = if centred { first / h_sum } else { 0.0 };
            let curvature = shrink * shrink * (second - mean * mean * h_sum);
            means.push(mean);
            // What is left of a constant column after centring is rounding.
            curvatures.push(if curvature > 1e-12 * shrink * shrink * second { curvature } else { 0.0 });
        }
        let slope_sum = slope.iter().sum();
        Ok(Self { x, values, members, shrink, h, h_sum, centred, means, curvatures, slope: slope.to_vec(), slope_sum, trial: Vec::new() })
    }

    /// Non-zeros of the members.
    pub(super) fn nnz(&self) -> usize {
        (0..self.members.len()).map(|k| self.cost(k)).sum()
    }

    pub(super) fn members(&self) -> &'a [u32] {
        self.members
    }

    pub(super) fn column(&self, k: usize) -> crate::matrix::Column<'a, V> {
        self.x.column(self.members[k] as usize, self.values)
    }

    pub(super) fn n_rows(&self) -> usize {
        self.x.n_rows
    }

    pub(super) fn shrink(&self, k: usize) -> f64 {
        self.shrink[k]
    }

    pub(super) fn h_sum(&self) -> f64 {
        self.h_sum
    }
}

impl<V: Number> Quadratic for Residual<'_, V> {
    fn curvature(&self, k: usize) -> f64 {
        self.curvatures[k]
    }

    fn gradient(&self, k: usize) -> f64 {
        self.shrink[k] * (dot(self.column(k), &self.slope) - self.means[k] * self.slope_sum)
    }

    fn shift(&mut self, k: usize, d: f64) {
        let step = d * self.shrink[k];
        let column = self.x.column(self.members[k] as usize, self.values);
        add_scaled_weighted(column, -step, self.h, &mut self.slope);
        // Σhx = m·Σh holds with an intercept; without one the sum is not used.
        self.slope_sum -= step * self.means[k] * self.h_sum;
    }

    fn try_move(&mut self, moves: &[(usize, f64)], watch: &mut Watch<'_>) -> Result<(f64, f64), Cancelled> {
        self.trial.clear();
        self.trial.resize(self.x.n_rows, 0.0);
        for &(k, d) in moves {
            let column = self.x.column(self.members[k] as usize, self.values);
            watch.work(column.rows.len())?;
            crate::matrix::add_scaled(column, d * self.shrink[k], &mut self.trial);
        }
        if self.centred {
            let mean = self.trial.iter().zip(self.h).map(|(t, h)| t * h).sum::<f64>() / self.h_sum;
            self.trial.iter_mut().for_each(|t| *t -= mean);
        }
        let slope: f64 = self.trial.iter().zip(&self.slope).map(|(t, v)| t * v).sum();
        let bend: f64 = self.trial.iter().zip(self.h).map(|(t, h)| t * t * h).sum();
        Ok((slope, bend))
    }

    fn make_move(&mut self) {
        for ((slope, t), h) in self.slope.iter_mut().zip(&self.trial).zip(self.h) {
            *slope -= t * h;
        }
        // A centred move leaves the sum as it is, but for rounding.
        self.slope_sum = self.slope.iter().sum();
    }

    fn cost(&self, k: usize) -> usize {
        let range = self.x.range(self.members[k] as usize);
        range.len()
    }
}
