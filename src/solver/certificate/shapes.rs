//! What a certificate says of groups, MCP and SCAD: their penalties, subdifferentials and dual bounds, from the written formulas.

use ndarray::Array1;

use super::super::clock::Clock;
use super::super::{Groups, Shape};
use super::Witness;
use crate::matrix::Number;

/// A column of a group: its product X_jᵀθ/σ_j and λ·l1_ratio·f_j.
type Member = (f64, f64);

impl<V: Number> Witness<'_, '_, V> {
    pub(super) fn is_grouped(&self) -> bool {
        matches!(self.problem.penalty.shape, Shape::Groups(_))
    }

    /// u_j = w_jσ_j.
    fn u(&self, j: usize) -> f64 {
        self.w[j] * self.sigma[j]
    }

    /// The columns of each group that may move.
    fn members(&self, groups: Groups) -> Vec<Vec<usize>> {
        let mut members = vec![Vec::new(); groups.sizes.len()];
        (0..self.w.len()).filter(|&j| self.sigma[j] > 0.0).for_each(|j| members[groups.of_column[j] as usize].push(j));
        members
    }

    /// λ·(1 − l1_ratio)·√|g|.
    fn weight(&self, groups: Groups, g: usize) -> f64 {
        self.point.lambda * (1.0 - self.problem.penalty.l1_ratio) * f64::from(groups.sizes[g]).sqrt()
    }

    /// λ·l1_ratio·f_j.
    fn bound(&self, j: usize) -> f64 {
        self.point.lambda * self.problem.penalty.l1_ratio * self.factor(j)
    }

    pub(super) fn penalty_of(&self, shape: Shape) -> f64 {
        let each = |term: &dyn Fn(f64, f64) -> f64| (0..self.w.len()).map(|j| term(self.u(j).abs(), self.bound(j))).sum::<f64>();
        match shape {
            Shape::Net => 0.0,
            Shape::Groups(groups) => {
                let of_groups = self.members(groups).into_iter().enumerate().map(|(g, members)| {
                    let largest = members.iter().map(|&j| self.u(j).abs()).fold(0.0, f64::max);
                    let square: f64 = members.iter().map(|&j| self.u(j) / largest.max(f64::MIN_POSITIVE)).map(|u| u * u).sum();
                    self.weight(groups, g) * largest * square.sqrt()
                });
                of_groups.sum::<f64>() + each(&|u, l| l * u)
            }
            Shape::L0 => each(&|u, l| if u == 0.0 { 0.0 } else { l }),
            // the integral of (l − t/γ)₊
            Shape::Mcp { gamma } => each(&|u, l| {
                let end = u.min(gamma * l);
                l * end - end * end / gamma / 2.0
            }),
            // the integral of l up to l, of (γl − t)₊/(γ − 1) from there
            Shape::Scad { gamma } => each(&|u, l| {
                let (start, end) = (u.min(l), u.clamp(l, gamma * l));
                l * start + ((gamma * l - l).powi(2) - (gamma * l - end).powi(2)) / (gamma - 1.0) / 2.0
            }),
        }
    }

    /// As `violation`, of these penalties; `products` are X_jᵀθ.
    pub(super) fn violation_of(&self, shape: Shape, products: &Array1<f64>, theta: &Array1<f64>) -> (f64, Option<u32>) {
        let mut worst = (0.0, None);
        let mut see = |distance: f64, j: Option<usize>| {
            if distance > worst.0 {
                worst = (distance, j.map(|j| j as u32));
            }
        };
        match shape {
            Shape::Net | Shape::L0 => {}
            Shape::Groups(groups) => {
                for (g, members) in self.members(groups).into_iter().enumerate() {
                    self.violation_of_group(&members, self.weight(groups, g), products, &mut see);
                }
            }
            Shape::Mcp { .. } | Shape::Scad { .. } => {
                if self.problem.options.intercept {
                    see(theta.sum().abs(), None);
                }
                for j in (0..self.w.len()).filter(|&j| self.sigma[j] > 0.0) {
                    let (c, u, l) = (products[j] / self.sigma[j], self.u(j), self.bound(j));
                    let pull = match shape {
                        Shape::Mcp { gamma } => (l - u.abs() / gamma).max(0.0),
                        Shape::Scad { gamma } if u.abs() > l => ((gamma * l - u.abs()) / (gamma - 1.0)).max(0.0),
                        _ => l,
                    };
                    see(if u == 0.0 { (c.abs() - l).max(0.0) } else { (c - pull * u.signum()).abs() }, Some(j));
                }
            }
        }
        let lambda = self.point.lambda;
        (if lambda > 0.0 { worst.0 / lambda } else { worst.0 }, worst.1)
    }

    fn violation_of_group(&self, members: &[usize], weight: f64, products: &Array1<f64>, see: &mut impl FnMut(f64, Option<usize>)) {
        let length = members.iter().map(|&j| self.u(j)).fold(0.0, f64::hypot);
        let left = |j: usize| ((products[j] / self.sigma[j]).abs() - self.bound(j)).max(0.0);
        if length == 0.0 {
            let strongest = members.iter().copied().max_by(|&a, &b| left(a).total_cmp(&left(b)));
            return see((members.iter().map(|&j| left(j)).fold(0.0, f64::hypot) - weight).max(0.0), strongest);
        }
        for &j in members {
            let (c, u) = (products[j] / self.sigma[j], self.u(j));
            see(if u == 0.0 { left(j) } else { (c - weight * u / length - self.bound(j) * u.signum()).abs() }, Some(j));
        }
    }

    /// The largest scale of θ at which every group is within its dual bound, by bisection.
    pub(super) fn fit_of_groups(&self, groups: Groups, products: &Array1<f64>, clock: &mut Clock) -> f64 {
        let mut fits = f64::INFINITY;
        for (g, columns) in self.members(groups).into_iter().enumerate() {
            let members: Vec<Member> = columns.iter().map(|&j| ((products[j] / self.sigma[j]).abs(), self.bound(j))).collect();
            let length = members.iter().map(|side| side.0).fold(0.0, f64::hypot);
            let weight = self.weight(groups, g);
            let within = |t: f64| members.iter().map(|(c, l1)| (t * c - l1).max(0.0)).fold(0.0, f64::hypot) <= weight;
            if length == 0.0 || (fits.is_finite() && within(fits)) {
                continue;
            }
            // without the L1 part the bound is no wider
            let (mut low, mut high) = (weight / length * (1.0 - 1e-14), fits);
            if high.is_infinite() {
                high = 2.0 * low;
                while within(high) {
                    (low, high) = (high, 2.0 * high);
                }
            }
            loop {
                let middle = 0.5 * (low + high);
                if middle <= low || middle >= high || !clock.work(columns.len()) {
                    break;
                }
                if within(middle) { low = middle } else { high = middle }
            }
            fits = low;
        }
        fits
    }
}
