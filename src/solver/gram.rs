//! The quadratic model as its matrix H, for working sets small enough: a sweep costs |W|² instead of nnz(X_W), and a
//! Newton step on the support ends the long tail of descent.

use super::quadratic::{Bounds, Quadratic, Residual, accept};
use super::watch::{Cancelled, Watch};
use crate::matrix::Number;

/// No larger set is held as a matrix: 72 MB.
pub(super) const MEMBERS_MAX: usize = 3000;

/// H and the gradient at the present point.
pub(super) struct Gram {
    m: usize,
    /// Row-major, both triangles.
    h: Vec<f64>,
    gradient: Vec<f64>,
    trial: Vec<f64>,
}

/// Multiplications that building H takes: Σ_i k_i²/2 with k_i the members present in row i.
pub(super) fn build_cost<V: Number>(model: &Residual<'_, V>) -> u64 {
    let mut present = vec![0u32; model.n_rows()];
    for k in 0..model.members().len() {
        for &row in model.column(k).rows {
            present[row as usize] += 1;
        }
    }
    present.iter().map(|&k| u64::from(k) * u64::from(k + 1) / 2).sum()
}

impl Gram {
    /// H = (X_Wᵀ diag(h) X_W − Σh·m·mᵀ) in the scale of u, summed row by row.
    pub(super) fn build<V: Number>(model: &Residual<'_, V>, watch: &mut Watch<'_>) -> Result<Self, Cancelled> {
        let m = model.members().len();
        let rows = Rows::of(model, watch)?;
        let mut h = vec![0.0; m * m];
        for i in 0..model.n_rows() {
            let entries = rows.row(i);
            watch.work(entries.len() * entries.len() / 2)?;
            for (a, &(ka, xa)) in entries.iter().enumerate() {
                let weighted = xa * model.h[i];
                let target = &mut h[ka as usize * m..(ka as usize + 1) * m];
                for &(kb, xb) in &entries[..=a] {
                    target[kb as usize] += weighted * xb;
                }
            }
        }
        for a in 0..m {
            for b in 0..=a {
                let centred = h[a * m + b] - model.h_sum() * model.means[a] * model.means[b];
                let scaled = if a == b { model.curvature(a) } else { centred * model.shrink(a) * model.shrink(b) };
                h[a * m + b] = scaled;
                h[b * m + a] = scaled;
            }
        }
        let gradient = (0..m).map(|k| model.gradient(k)).collect();
        Ok(Self { m, h, gradient, trial: Vec::new() })
    }

    /// One Newton step on the support with a projected arc search: the step is shrunk and coefficients that would
    /// change sign stop at 0, until the objective falls. Says whether it fell and whether any coefficient was stopped.
    pub(super) fn newton(&mut self, u: &mut [f64], bounds: &Bounds, watch: &mut Watch<'_>) -> Result<Step, Cancelled> {
        let support: Vec<usize> = (0..self.m).filter(|&k| u[k] != 0.0 && self.h[k * self.m + k] + bounds.l2[k] > 0.0).collect();
        let s = support.len();
        let mut system = vec![0.0; s * s];
        for (a, &ka) in support.iter().enumerate() {
            for (b, &kb) in support[..=a].iter().enumerate() {
                system[a * s + b] = self.h[ka * self.m + kb];
            }
            // The jitter makes exact twins solvable; what it takes from the step the next step gives back.
            system[a * s + a] = system[a * s + a] * (1.0 + JITTER) + bounds.l2[ka];
        }
        let mut step: Vec<f64> = support.iter().map(|&k| self.gradient[k] - bounds.l1[k] * u[k].signum() - bounds.l2[k] * u[k]).collect();
        if s == 0 || !solve_cholesky(&mut system, s, &mut step, watch)? {
            return Ok(Step::Refused);
        }
        let mut length = 1.0;
        for _ in 0..ARC_TRIES {
            let mut target = u.to_vec();
            let mut stopped = false;
            for (&k, &d) in support.iter().zip(&step) {
                target[k] = u[k] + length * d;
                // An unpenalised coefficient may cross 0 freely.
                if target[k] * u[k] < 0.0 && bounds.l1[k] > 0.0 {
                    target[k] = 0.0;
                    stopped = true;
                }
            }
            if accept(self, u, bounds, &target, watch)? {
                return Ok(if stopped || length < 1.0 { Step::Part } else { Step::Whole });
            }
            length *= ARC_SHRINK;
        }
        Ok(Step::Refused)
    }
}

const JITTER: f64 = 1e-9;
const ARC_TRIES: usize = 9;
const ARC_SHRINK: f64 = 0.35;

/// What a Newton step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The whole step: the optimum on this support and these signs.
    Whole,
    /// Part of it: another may follow.
    Part,
    /// None: the objective did not fall.
    Refused,
}

impl Quadratic for Gram {
    fn curvature(&self, k: usize) -> f64 {
        self.h[k * self.m + k]
    }

    fn gradient(&self, k: usize) -> f64 {
        self.gradient[k]
    }

    fn shift(&mut self, k: usize, d: f64) {
        let row = &self.h[k * self.m..(k + 1) * self.m];
        self.gradient.iter_mut().zip(row).for_each(|(g, h)| *g -= d * h);
    }

    fn try_move(&mut self, moves: &[(usize, f64)], watch: &mut Watch<'_>) -> Result<(f64, f64), Cancelled> {
        self.trial.clear();
        self.trial.resize(self.m, 0.0);
        for &(k, d) in moves {
            watch.work(self.m)?;
            let row = &self.h[k * self.m..(k + 1) * self.m];
            self.trial.iter_mut().zip(row).for_each(|(t, h)| *t += d * h);
        }
        let slope = moves.iter().map(|&(k, d)| d * self.gradient[k]).sum();
        let bend = moves.iter().map(|&(k, d)| d * self.trial[k]).sum();
        Ok((slope, bend))
    }

    fn make_move(&mut self) {
        self.gradient.iter_mut().zip(&self.trial).for_each(|(g, t)| *g -= t);
    }

    fn cost(&self, _: usize) -> usize {
        // A member that does not move costs nothing; one that does, a row.
        self.m / 8 + 1
    }
}

/// The members' columns, by row.
struct Rows {
    starts: Vec<usize>,
    entries: Vec<(u32, f64)>,
}

impl Rows {
    fn of<V: Number>(model: &Residual<'_, V>, watch: &mut Watch<'_>) -> Result<Self, Cancelled> {
        let mut starts = vec![0usize; model.n_rows() + 1];
        for k in 0..model.members().len() {
            watch.work(model.cost(k))?;
            model.column(k).rows.iter().for_each(|&row| starts[row as usize + 1] += 1);
        }
        for i in 0..model.n_rows() {
            starts[i + 1] += starts[i];
        }
        let mut next = starts.clone();
        let mut entries = vec![(0, 0.0); starts[model.n_rows()]];
        for k in 0..model.members().len() {
            watch.work(model.cost(k))?;
            let column = model.column(k);
            for (&row, &value) in column.rows.iter().zip(column.values) {
                entries[next[row as usize]] = (k as u32, value.into());
                next[row as usize] += 1;
            }
        }
        Ok(Self { starts, entries })
    }

    fn row(&self, i: usize) -> &[(u32, f64)] {
        &self.entries[self.starts[i]..self.starts[i + 1]]
    }
}

/// Solves Ax = b in place for a symmetric A given by its lower triangle, row-major; false when A is not positive
/// definite. A is overwritten by its factor.
fn solve_cholesky(a: &mut [f64], n: usize, b: &mut [f64], watch: &mut Watch<'_>) -> Result<bool, Cancelled> {
    for i in 0..n {
        watch.work(i * i / 2 + 1)?;
        for j in 0..=i {
            let (above, row) = a.split_at_mut(i * n);
            let rest = if j == i { row[j] - product(&row[..j], &row[..j]) } else { row[j] - product(&row[..j], &above[j * n..j * n + j]) };
            if j < i {
                row[j] = rest / above[j * n + j];
            } else if rest > 0.0 {
                row[j] = rest.sqrt();
            } else {
                return Ok(false);
            }
        }
    }
    for i in 0..n {
        b[i] = (b[i] - product(&a[i * n..i * n + i], &b[..i])) / a[i * n + i];
    }
    for i in (0..n).rev() {
        b[i] /= a[i * n + i];
        let (head, tail) = b.split_at_mut(i);
        head.iter_mut().zip(&a[i * n..i * n + i]).for_each(|(b, a)| *b -= a * tail[0]);
    }
    Ok(b.iter().all(|value| value.is_finite()))
}

/// Dot product in eight partial sums: a fixed order that a vector unit can follow.
fn product(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}
