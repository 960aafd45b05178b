//! Small made-up problems and an independent reference: accelerated proximal gradient on dense matrices.

use std::ops::ControlFlow;

use sparsefit::matrix::{Columns, Values};
use sparsefit::solver::{Data, Folds, Loss, Options, Penalty, Point, Problem, Progress};

use crate::product::combinations;

/// Every loss.
pub(crate) const LOSSES: [Loss; 5] = [Loss::Squared, Loss::Huber { delta: 1.0 }, Loss::SquaredHinge, Loss::Logistic, Loss::Poisson];

/// Owned data of one problem, dense by rows.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) y: Vec<f64>,
    pub(crate) weights: Option<Vec<f64>>,
    pub(crate) offset: Option<Vec<f64>>,
    pub(crate) factors: Option<Vec<f64>>,
    pub(crate) loss: Loss,
    pub(crate) l1_ratio: f64,
    pub(crate) intercept: bool,
    pub(crate) standardize: bool,
}

/// Folds from their beginning on two threads, of which nothing is kept.
pub(crate) fn plain<'a>(of_row: &'a [u32], n: usize, lambdas: &'a [f64]) -> Folds<'a> {
    Folds { of_row, n, lambdas, threads: 2, on_thread: &|| (), points: &[], begun: &[], each: &|_, _, _, _, _| () }
}

pub(crate) fn go_on(_: &Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as f64) / f64::from(1u32 << 31)
    }
}

/// `n × p`, a fraction `fill` of the entries, values on a grid of eighths so that `f32` holds them.
pub(crate) fn case(n: usize, p: usize, fill: f64, loss: Loss, seed: u64) -> Case {
    let mut dice = Dice(seed);
    let mut rows = vec![vec![0.0; p]; n];
    for row in &mut rows {
        for x in row.iter_mut() {
            if dice.roll() < fill {
                *x = ((dice.roll() * 32.0).floor() - 14.5) / 8.0;
            }
        }
    }
    let y = rows
        .iter()
        .map(|row| {
            let eta = 1.0 + 1.5 * row[0] - row[1 % p] + 0.5 * row[2 % p] + 2.0 * (dice.roll() - 0.5);
            match loss {
                Loss::Squared => eta,
                // one row in seven is far off
                Loss::Huber { .. } => eta + if dice.roll() < 0.15 { 20.0 * (dice.roll() - 0.3) } else { 0.0 },
                Loss::Logistic | Loss::SquaredHinge => {
                    if eta > 0.8 {
                        1.0
                    } else {
                        -1.0
                    }
                }
                Loss::Poisson => (0.4 * eta).exp().floor(),
            }
        })
        .collect();
    Case { rows, y, weights: None, offset: None, factors: None, loss, l1_ratio: 1.0, intercept: true, standardize: true }
}

/// What a row or a column may carry beside its values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dress {
    pub(crate) intercept: bool,
    pub(crate) standardize: bool,
    pub(crate) weights: bool,
    pub(crate) offset: bool,
    pub(crate) factors: bool,
}

impl Dress {
    /// Of five choices between no and yes.
    pub(crate) fn of(choices: &[usize]) -> Self {
        let [intercept, standardize, weights, offset, factors] = [0, 1, 2, 3, 4].map(|at| choices[at] == 1);
        Self { intercept, standardize, weights, offset, factors }
    }

    /// `made` of nine columns with it: a seventh of the weights is 0, and so are two factors.
    pub(crate) fn on(self, made: Case) -> Case {
        let mut dice = Dice(3);
        let n = made.y.len();
        let weights: Vec<f64> = (0..n).map(|i| if i % 7 == 3 { 0.0 } else { 0.5 + dice.roll() }).collect();
        let offset: Vec<f64> = (0..n).map(|_| 0.5 * dice.roll()).collect();
        let factors = vec![1.0, 2.0, 0.5, 0.0, 1.0, 1.0, 3.0, 1.0, 0.0];
        Case {
            intercept: self.intercept,
            standardize: self.standardize,
            weights: self.weights.then_some(weights),
            offset: self.offset.then_some(offset),
            factors: self.factors.then_some(factors),
            ..made
        }
    }
}

/// What the solver promises to serve: every loss × part of L1 × filling × [`Dress`], as [`combinations`] says how many of them.
pub(crate) fn all_cases() -> Vec<(String, Case)> {
    combinations(&[LOSSES.len(), 3, 2, 2, 2, 2, 2, 2])
        .into_iter()
        .map(|chosen| {
            let (loss, l1_ratio, fill) = (LOSSES[chosen[0]], [1.0, 0.5, 0.0][chosen[1]], [0.3, 1.0][chosen[2]]);
            let dress = Dress::of(&chosen[3..]);
            (format!("{loss:?} l1 {l1_ratio} fill {fill} {dress:?}"), Case { l1_ratio, ..dress.on(case(40, 9, fill, loss, 7)) })
        })
        .collect()
}

impl Case {
    pub(crate) fn columns(&self) -> Columns {
        self.columns_as(false)
    }

    pub(crate) fn columns_as(&self, single: bool) -> Columns {
        let p = self.rows[0].len();
        let (mut features, mut offsets, mut rows, mut values) = (Vec::new(), vec![0u64], Vec::new(), Vec::new());
        for j in 0..p {
            let before = rows.len();
            for (i, row) in self.rows.iter().enumerate().filter(|(_, row)| row[j] != 0.0) {
                rows.push(i as u32);
                values.push(row[j]);
            }
            if rows.len() > before {
                features.push(j as u32);
                offsets.push(rows.len() as u64);
            }
        }
        let values = if single {
            Values::Single(values.iter().map(|&v| v as f32).collect::<Vec<_>>().into())
        } else {
            Values::Double(values.into())
        };
        Columns::new(self.rows.len(), features.into(), offsets.into(), rows.into(), values).unwrap()
    }

    pub(crate) fn options(&self, tol: f64) -> Options {
        Options { intercept: self.intercept, standardize: self.standardize, tol, max_epochs: 100_000 }
    }

    pub(crate) fn data<'a>(&'a self, x: &'a Columns) -> Data<'a> {
        Data { x: x.view(), y: &self.y, weights: self.weights.as_deref(), offset: self.offset.as_deref() }
    }

    pub(crate) fn penalty(&self) -> Penalty<'_> {
        Penalty { l1_ratio: self.l1_ratio, factors: self.factors.as_deref(), ..Penalty::default() }
    }

    pub(crate) fn problem<'a>(&'a self, x: &'a Columns, tol: f64) -> Problem<'a> {
        Problem::new(self.data(x), self.loss, self.penalty(), self.options(tol), &go_on).unwrap()
    }

    fn share(&self, i: usize) -> f64 {
        let weight = |i: usize| self.weights.as_ref().map_or(1.0, |s| s[i]);
        weight(i) / (0..self.y.len()).map(weight).sum::<f64>()
    }

    pub(crate) fn sigma(&self, j: usize) -> f64 {
        if !self.standardize {
            return 1.0;
        }
        let n = self.y.len();
        let mean: f64 = (0..n).map(|i| self.share(i) * self.rows[i][j]).sum();
        (0..n).map(|i| self.share(i) * (self.rows[i][j] - mean).powi(2)).sum::<f64>().sqrt()
    }

    /// Mean deviance: twice the mean loss, less the least it could be.
    pub(crate) fn deviance(&self, w: &[f64], b: f64) -> f64 {
        let least = |y: f64| if self.loss == Loss::Poisson && y > 0.0 { y - y * y.ln() } else { 0.0 };
        // with λ = 0 the objective is the mean loss
        2.0 * (self.objective(0.0, w, b) - (0..self.y.len()).map(|i| self.share(i) * least(self.y[i])).sum::<f64>())
    }

    /// The written objective, from the dense rows.
    pub(crate) fn objective(&self, lambda: f64, w: &[f64], b: f64) -> f64 {
        let mut total = 0.0;
        for (i, row) in self.rows.iter().enumerate() {
            let eta = b + self.offset.as_ref().map_or(0.0, |o| o[i]) + row.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
            total += self.share(i)
                * match self.loss {
                    Loss::Squared => 0.5 * (self.y[i] - eta).powi(2),
                    Loss::Huber { delta } => match (self.y[i] - eta).abs() {
                        r if r <= delta => 0.5 * r * r,
                        r => delta * r - 0.5 * delta * delta,
                    },
                    Loss::SquaredHinge => (1.0 - self.y[i] * eta).max(0.0).powi(2),
                    Loss::Logistic => (1.0 + (-self.y[i] * eta).exp()).ln(),
                    Loss::Poisson => eta.exp() - self.y[i] * eta,
                };
        }
        for (j, w) in w.iter().enumerate() {
            let u = w * self.sigma(j);
            let f = self.factors.as_ref().map_or(1.0, |f| f[j]);
            total += lambda * f * (self.l1_ratio * u.abs() + (1.0 - self.l1_ratio) / 2.0 * u * u);
        }
        total
    }

    /// FISTA with restarts on standardised dense columns: shares nothing with the solver. Objective reached.
    pub(crate) fn reference(&self, lambda: f64) -> f64 {
        self.reference_within(lambda, &|_| [f64::NEG_INFINITY, f64::INFINITY])
    }

    /// The same with each coefficient within its interval: the step of a convex function of one variable, clipped.
    pub(crate) fn reference_within(&self, lambda: f64, interval: &dyn Fn(usize) -> [f64; 2]) -> f64 {
        let (n, p) = (self.rows.len(), self.rows[0].len());
        let sigma: Vec<f64> = (0..p).map(|j| self.sigma(j)).collect();
        let shares: Vec<f64> = (0..n).map(|i| self.share(i)).collect();
        let x: Vec<Vec<f64>> = self
            .rows
            .iter()
            .map(|row| row.iter().zip(&sigma).map(|(x, s)| if *s > 0.0 { x / s } else { 0.0 }).chain([f64::from(self.intercept)]).collect())
            .collect();
        let lipschitz: f64 = (0..n).map(|i| shares[i] * x[i].iter().map(|v| v * v).sum::<f64>()).sum();
        let (mut u, mut z, mut momentum) = (vec![0.0; p + 1], vec![0.0; p + 1], 1.0f64);
        for _ in 0..60_000 {
            let (mut gradient, mut bend) = (vec![0.0; p + 1], 1.0f64);
            for i in 0..n {
                let eta = self.offset.as_ref().map_or(0.0, |o| o[i]) + x[i].iter().zip(&z).map(|(x, z)| x * z).sum::<f64>();
                let slope = match self.loss {
                    Loss::Squared => eta - self.y[i],
                    Loss::Huber { delta } => (eta - self.y[i]).max(-delta).min(delta),
                    Loss::SquaredHinge => -2.0 * self.y[i] * (1.0 - self.y[i] * eta).max(0.0),
                    Loss::Logistic => -self.y[i] / (1.0 + (self.y[i] * eta).exp()),
                    Loss::Poisson => eta.exp() - self.y[i],
                };
                if self.loss == Loss::SquaredHinge {
                    bend = 2.0;
                }
                if self.loss == Loss::Poisson {
                    // its second derivative knows no bound: the largest here, and room for the step
                    bend = bend.max(1.5 * eta.exp());
                }
                gradient.iter_mut().zip(&x[i]).for_each(|(g, x)| *g += shares[i] * slope * x);
            }
            let step = 1.0 / (lipschitz * bend);
            let next: Vec<f64> = (0..=p)
                .map(|j| {
                    let f = if j == p { 0.0 } else { self.factors.as_ref().map_or(1.0, |f| f[j]) * lambda };
                    let v = z[j] - step * gradient[j];
                    let free = (v.abs() - step * f * self.l1_ratio).max(0.0) * v.signum() / (1.0 + step * f * (1.0 - self.l1_ratio));
                    let [low, high] = if j == p { [f64::NEG_INFINITY, f64::INFINITY] } else { interval(j).map(|end| end * sigma[j]) };
                    free.max(low).min(high)
                })
                .collect();
            let uphill: f64 = (0..=p).map(|j| (z[j] - next[j]) * (next[j] - u[j])).sum();
            let moved: f64 = next.iter().zip(&u).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let following = if uphill > 0.0 { 1.0 } else { 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) };
            let pull = if uphill > 0.0 { 0.0 } else { (momentum - 1.0) / following };
            z = next.iter().zip(&u).map(|(a, b)| a + pull * (a - b)).collect();
            (u, momentum) = (next, following);
            if moved < 1e-13 {
                break;
            }
        }
        let w: Vec<f64> = (0..p).map(|j| if sigma[j] > 0.0 { u[j] / sigma[j] } else { 0.0 }).collect();
        self.objective(lambda, &w, u[p])
    }
}

/// Dense coefficients of a point, by feature.
pub(crate) fn dense(point: &Point, x: &Columns, p: usize) -> Vec<f64> {
    let mut w = vec![0.0; p];
    for (&j, &value) in point.columns.iter().zip(&point.values) {
        w[x.view().features[j as usize] as usize] = value;
    }
    w
}

pub(crate) fn close(a: f64, b: f64, tolerance: f64, what: &str) {
    assert!((a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs())), "{what}: {a} and {b}");
}
