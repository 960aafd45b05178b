//! How good a solution is: primal, dual, gap and largest KKT violation, by code that is not the solver's.
//!
//! Works on the written objective at original-scale coefficients, with `sprs` views and `ndarray` vectors: it shares no
//! kernel, no cached number and no formula's code with the descent, so that a mistake there cannot certify itself.

use ndarray::Array1;
use sprs::CsMatViewI;

use super::path::Point;
use super::problem::Problem;
use super::{Data, Loss};
use crate::matrix::ValuesView;

/// What can be proven of a solution, in the units of the objective.
#[derive(Clone, Copy, Debug)]
pub struct Certificate {
    /// F at the solution.
    pub primal: f64,
    /// Value of a feasible dual point: a lower bound on the minimum of F.
    pub dual: f64,
    /// `primal − dual`.
    pub gap: f64,
    /// `gap / F(w = 0, best b)`; the gap itself when that is 0.
    pub relative_gap: f64,
    /// Largest distance of a column's negative gradient to the subdifferential of its penalty, in units of λ on the penalty's scale.
    pub max_kkt_violation: f64,
    /// Position of the stored column that has it; `None` when no column violates.
    pub kkt_column: Option<u32>,
}

/// Recomputes everything from the raw data and the coefficients of `point`.
pub fn certify(problem: &Problem<'_>, point: &Point) -> Certificate {
    let given = Given::of(problem, point);
    let nu = feasible(&given, problem, given.slopes());
    let correlations = given.correlations(&nu);
    let primal = given.mean_loss() + given.penalty();
    let dual = given.best_dual(&nu, &correlations);
    let gap = (primal - dual).max(0.0);
    let unit = problem.null_objective();
    let (max_kkt_violation, kkt_column) = given.worst_violation(&given.correlations(&given.slopes()));
    Certificate { primal, dual, gap, relative_gap: if unit > 0.0 { gap / unit } else { gap }, max_kkt_violation, kkt_column }
}

/// The equation with its numbers put in.
struct Given<'a> {
    data: Data<'a>,
    loss: Loss,
    intercept: bool,
    /// s_i/Σs.
    s: Array1<f64>,
    /// η at the solution.
    eta: Array1<f64>,
    /// w_j of each stored column.
    w: Array1<f64>,
    /// σ_j; 0 for a column that is kept out.
    sigma: &'a [f64],
    /// λ·f_j·l1_ratio and λ·f_j·(1 − l1_ratio) of each stored column.
    l1: Array1<f64>,
    l2: Array1<f64>,
    lambda: f64,
}

impl<'a> Given<'a> {
    fn of(problem: &'a Problem<'_>, point: &Point) -> Self {
        let data = problem.data;
        let n = data.y.len();
        let raw = Array1::from_iter((0..n).map(|i| data.weights.map_or(1.0, |weights| weights[i])));
        let s = &raw / raw.sum();
        let mut w = Array1::zeros(data.x.len());
        point.columns.iter().zip(&point.values).for_each(|(&j, &value)| w[j as usize] = value);
        let factor = Array1::from_iter((0..data.x.len()).map(|j| problem.factors.map_or(1.0, |factors| factors[j])));
        let mut eta = Array1::from_iter((0..n).map(|i| data.offset.map_or(0.0, |offset| offset[i]) + point.intercept));
        add_product(&data, &w, &mut eta);
        Self {
            data,
            loss: problem.loss,
            intercept: problem.options.intercept,
            s,
            eta,
            w,
            sigma: problem.scales(),
            l1: &factor * (point.lambda * problem.l1_ratio),
            l2: &factor * (point.lambda * (1.0 - problem.l1_ratio)),
            lambda: point.lambda,
        }
    }

    fn mean_loss(&self) -> f64 {
        let term = |i: usize| {
            let (y, eta) = (self.data.y[i], self.eta[i]);
            match self.loss {
                Loss::Squared => 0.5 * (y - eta).powi(2),
                Loss::Logistic => (-y * eta).max(0.0) + (-(y * eta).abs()).exp().ln_1p(),
            }
        };
        (0..self.s.len()).filter(|&i| self.s[i] > 0.0).map(|i| self.s[i] * term(i)).sum()
    }

    fn penalty(&self) -> f64 {
        (0..self.w.len())
            .map(|j| (self.w[j] * self.sigma[j]).abs())
            .enumerate()
            .map(|(j, u)| self.l1[j] * u + 0.5 * self.l2[j] * u * u)
            .sum()
    }

    /// ν_i = −s_i·∂loss/∂η.
    fn slopes(&self) -> Array1<f64> {
        Array1::from_iter((0..self.s.len()).map(|i| {
            let (y, eta) = (self.data.y[i], self.eta[i]);
            self.s[i]
                * match self.loss {
                    Loss::Squared => y - eta,
                    Loss::Logistic => y * (1.0 - 1.0 / (1.0 + (-y * eta).exp())),
                }
        }))
    }

    /// x_jᵀν/σ_j of each stored column; 0 for a column that is kept out.
    fn correlations(&self, nu: &Array1<f64>) -> Array1<f64> {
        let products = products(&self.data, nu);
        Array1::from_iter(products.iter().zip(self.sigma).map(|(product, &sigma)| if sigma > 0.0 { product / sigma } else { 0.0 }))
    }

    /// The dual objective at κν for the best of a few κ that keep it feasible.
    fn best_dual(&self, nu: &Array1<f64>, correlations: &Array1<f64>) -> f64 {
        let lasso = |&j: &usize| self.l2[j] == 0.0 && self.l1[j] > 0.0;
        let most = (0..correlations.len()).filter(lasso).map(|j| correlations[j].abs() / self.l1[j]).fold(0.0, f64::max);
        let top = if most > 0.0 { 1.0 / most } else { f64::INFINITY };
        let mut tries = vec![top.min(1.0)];
        if self.loss == Loss::Squared && top > 1.0 {
            // Along κ the squared loss's dual is a parabola; its vertex when there is no ridge term to add.
            let rises: f64 = (0..nu.len()).map(|i| nu[i] * (self.data.y[i] - self.data.offset.map_or(0.0, |o| o[i]))).sum();
            let bends: f64 = (0..nu.len()).filter(|&i| self.s[i] > 0.0).map(|i| nu[i] * nu[i] / self.s[i]).sum();
            if bends > 0.0 {
                tries.push((rises / bends).clamp(0.0, top));
            }
        }
        tries.into_iter().map(|kappa| self.dual(nu, correlations, kappa)).fold(f64::NEG_INFINITY, f64::max)
    }

    fn dual(&self, nu: &Array1<f64>, correlations: &Array1<f64>, kappa: f64) -> f64 {
        let entropy = |p: f64| if p > 0.0 { p * p.ln() } else { 0.0 };
        let mut value = 0.0;
        for i in (0..nu.len()).filter(|&i| self.s[i] > 0.0) {
            let (t, y) = (kappa * nu[i] / self.s[i], self.data.y[i]);
            let conjugate = match self.loss {
                Loss::Squared => 0.5 * t * t - t * y,
                Loss::Logistic if (0.0..=1.0).contains(&(t * y)) => entropy(t * y) + entropy(1.0 - t * y),
                Loss::Logistic => f64::INFINITY,
            };
            value -= self.s[i] * conjugate + kappa * nu[i] * self.data.offset.map_or(0.0, |offset| offset[i]);
        }
        for j in (0..correlations.len()).filter(|&j| self.l2[j] > 0.0) {
            let over = (kappa * correlations[j].abs() - self.l1[j]).max(0.0);
            value -= over * over / (2.0 * self.l2[j]);
        }
        value
    }

    fn worst_violation(&self, correlations: &Array1<f64>) -> (f64, Option<u32>) {
        let mut worst = (0.0, None);
        for (j, &g) in correlations.iter().enumerate() {
            let u = self.w[j] * self.sigma[j];
            let off = if u != 0.0 { (g - self.l1[j] * u.signum() - self.l2[j] * u).abs() } else { (g.abs() - self.l1[j]).max(0.0) };
            if self.sigma[j] > 0.0 && off > worst.0 {
                worst = (off, Some(j as u32));
            }
        }
        (worst.0 / self.lambda, worst.1)
    }

    /// Columns whose correlation with a dual point must be 0: factor 0, and the ones for the intercept (`None`).
    fn free(&self) -> Vec<Option<usize>> {
        let columns = (0..self.w.len()).filter(|&j| self.l1[j] == 0.0 && self.l2[j] == 0.0 && self.sigma[j] > 0.0).map(Some);
        self.intercept.then_some(None).into_iter().chain(columns).collect()
    }
}

/// ν moved to be orthogonal to what is not penalised: ν − D·Z(ZᵀDZ)⁻¹Zᵀν with D = s for squared loss, and for logistic
/// loss the curvature, so that the move is least where the domain [0, s] is near. Repeated once against rounding.
fn feasible(given: &Given<'_>, problem: &Problem<'_>, mut nu: Array1<f64>) -> Array1<f64> {
    let free = given.free();
    if free.is_empty() {
        return nu;
    }
    let columns: Vec<Array1<f64>> = free.iter().map(|column| dense(&given.data, *column, &given.s, problem)).collect();
    for _ in 0..2 {
        let d = match given.loss {
            Loss::Squared => given.s.clone(),
            Loss::Logistic => Array1::from_iter((0..nu.len()).map(|i| {
                let p = if given.s[i] > 0.0 { (nu[i].abs() / given.s[i]).clamp(0.0, 1.0) } else { 0.0 };
                given.s[i] * p * (1.0 - p)
            })),
        };
        let mut system = ndarray::Array2::<f64>::zeros((columns.len(), columns.len() + 1));
        for (a, za) in columns.iter().enumerate() {
            for (b, zb) in columns.iter().enumerate() {
                system[[a, b]] = za.iter().zip(zb).zip(&d).map(|((a, b), d)| a * b * d).sum();
            }
            system[[a, columns.len()]] = za.dot(&nu);
        }
        for (c, z) in eliminate(system).into_iter().zip(&columns) {
            nu = &nu - &(&(z * &d) * c);
        }
    }
    nu
}

/// A free column as a dense vector, centred (which changes nothing beside the ones, and is far better conditioned).
fn dense(data: &Data<'_>, column: Option<usize>, s: &Array1<f64>, problem: &Problem<'_>) -> Array1<f64> {
    let Some(j) = column else { return Array1::ones(data.y.len()) };
    let mut unit = Array1::zeros(data.x.len());
    unit[j] = 1.0 / problem.scales()[j];
    let mut z = Array1::zeros(data.y.len());
    add_product(data, &unit, &mut z);
    if problem.options.intercept {
        let mean = z.dot(s);
        z -= mean;
    }
    z
}

/// Solves a small symmetric system by elimination; a direction without curvature gets 0.
fn eliminate(mut a: ndarray::Array2<f64>) -> Vec<f64> {
    let n = a.nrows();
    let scale: Vec<f64> = (0..n).map(|i| a[[i, i]].abs()).collect();
    for p in 0..n {
        if a[[p, p]].abs() <= 1e-13 * scale[p] {
            (0..=n).for_each(|k| a[[p, k]] = 0.0);
            continue;
        }
        for i in (0..n).filter(|&i| i != p) {
            let ratio = a[[i, p]] / a[[p, p]];
            for k in p..=n {
                a[[i, k]] -= ratio * a[[p, k]];
            }
        }
    }
    (0..n).map(|i| if a[[i, i]] != 0.0 { a[[i, n]] / a[[i, i]] } else { 0.0 }).collect()
}

/// X·w added to `into`, through sprs.
fn add_product(data: &Data<'_>, w: &Array1<f64>, into: &mut Array1<f64>) {
    each_column(data, |j, entries| {
        if w[j] != 0.0 {
            entries.for_each(|(row, value)| into[row] += w[j] * value);
        }
    });
}

/// Xᵀν, through sprs.
fn products(data: &Data<'_>, nu: &Array1<f64>) -> Array1<f64> {
    let mut out = Array1::zeros(data.x.len());
    each_column(data, |j, entries| out[j] = entries.map(|(row, value)| value * nu[row]).sum());
    out
}

fn each_column(data: &Data<'_>, mut visit: impl FnMut(usize, &mut dyn Iterator<Item = (usize, f64)>)) {
    let x = data.x;
    let shape = (x.n_rows, x.len());
    match x.values {
        ValuesView::Single(values) => {
            let view: CsMatViewI<'_, f32, u32, u64> = sprs::CsMatBase::new_csc(shape, x.offsets, x.rows, values);
            view.outer_iterator()
                .enumerate()
                .for_each(|(j, column)| visit(j, &mut column.iter().map(|(row, &value)| (row, f64::from(value)))));
        }
        ValuesView::Double(values) => {
            let view: CsMatViewI<'_, f64, u32, u64> = sprs::CsMatBase::new_csc(shape, x.offsets, x.rows, values);
            view.outer_iterator().enumerate().for_each(|(j, column)| visit(j, &mut column.iter().map(|(row, &value)| (row, value))));
        }
    }
}
