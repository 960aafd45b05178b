//! What a multinomial problem knows besides its columns: the classes of the rows and the null model.

use super::engine::Engine;
use super::rows;
use crate::matrix::ValuesView;
use crate::solver::clock::Clock;
use crate::solver::{Data, Loss, Observe, Options, Penalty, Point, Problem, Stop, Unfit};

/// Classes of the rows, and the null model.
pub(crate) struct Classes {
    /// How many there are.
    pub(super) n: usize,
    /// The class of each row.
    pub(super) of_row: Vec<u32>,
    /// The null model: the unpenalised columns and the intercepts, whose sum is 0.
    pub(super) null: Point,
    /// −∂(mean loss)/∂W there, class by class.
    pub(super) null_gradient: Vec<f64>,
}

impl<'a> Problem<'a> {
    /// The multinomial problem: rows of `data` whose target is k are of class k, one of `n_classes`. An offset is the same
    /// for every class and so changes nothing; it is not looked at.
    pub fn of_classes(data: Data<'a>, n_classes: usize, penalty: Penalty<'a>, options: Options, observe: &Observe) -> Result<Self, Unfit> {
        if penalty.bounds.is_some() {
            return Err(Unfit::Penalty);
        }
        // Shares, means, scales and penalties have nothing to do with the loss; the squared one asks nothing of a target.
        let mut problem = Problem::new(Data { offset: None, ..data }, Loss::Squared, penalty, options, observe)?;
        let of_row = positions(data.y, n_classes)?;
        let mut shares = vec![0.0; n_classes];
        of_row.iter().zip(&problem.share).for_each(|(&k, share)| shares[k as usize] += share);
        match shares.iter().filter(|share| **share > 0.0).count() {
            0 | 1 => return Err(Unfit::OneClass),
            some if some < n_classes => return Err(Unfit::EmptyClass),
            _ => {}
        }
        let mut intercepts: Vec<f64> = shares.iter().map(|share| if options.intercept { share.ln() } else { 0.0 }).collect();
        center(&mut intercepts);
        let mut classes = Classes { n: n_classes, of_row, null: blank(intercepts), null_gradient: Vec::new() };
        classes.find_null(&mut problem, observe).ok_or(Unfit::Stopped)?;
        problem.classes = Some(Box::new(classes));
        let finite = problem.null_objective.is_finite() && problem.lambda_max.is_finite();
        if finite { Ok(problem) } else { Err(Unfit::NonFinite) }
    }
}

impl Classes {
    fn find_null(&mut self, problem: &mut Problem, observe: &Observe) -> Option<()> {
        let mut clock = Clock::new(observe);
        let n = self.of_row.len();
        let eta: Vec<f64> = self.null.intercepts.iter().flat_map(|&b| std::iter::repeat_n(b, n)).collect();
        let (mut p, mut level) = (vec![0.0; eta.len()], vec![0.0; n]);
        rows::softmax(&eta, n, &mut p, &mut level, &mut clock);
        problem.null_objective = rows::mean_loss(&eta, &level, &problem.share, &self.of_row);
        let (null, gradient) = match problem.data.x.values {
            ValuesView::Single(values) => Engine::null(problem, self, values, clock),
            ValuesView::Double(values) => Engine::null(problem, self, values, clock),
        }?;
        (self.null, self.null_gradient) = (null, gradient);
        let ratio = problem.penalty.l1_ratio.max(1e-3);
        let factor = |j: usize| problem.penalty.factors.map_or(1.0, |f| f[j]);
        let bounds: Vec<f64> = problem.scale.iter().enumerate().map(|(j, scale)| factor(j) * scale * ratio).collect();
        let steepest = |gradient: &[f64]| {
            gradient.iter().zip(&bounds).filter(|(_, bound)| **bound > 0.0).map(|(g, bound)| g.abs() / bound).fold(0.0, f64::max)
        };
        problem.lambda_max = self.null_gradient.chunks(bounds.len().max(1)).map(steepest).fold(0.0, f64::max);
        Some(())
    }
}

/// The point without a coefficient.
fn blank(intercepts: Vec<f64>) -> Point {
    Point {
        lambda: 0.0,
        columns: Vec::new(),
        classes: Vec::new(),
        values: Vec::new(),
        intercept: 0.0,
        intercepts,
        relative_gap: 0.0,
        deviance: 0.0,
        epochs: 0,
        full_passes: 0.0,
        stop: Stop::Converged,
    }
}

/// Positions of classes as whole numbers.
fn positions(y: &[f64], n_classes: usize) -> Result<Vec<u32>, Unfit> {
    let legal = |y: f64| y >= 0.0 && y.fract() == 0.0 && y < n_classes as f64 && n_classes <= u32::MAX as usize;
    y.iter().map(|&y| if legal(y) { Ok(y as u32) } else { Err(Unfit::NotAClass) }).collect()
}

/// Makes the sum 0, which the loss does not see.
pub(super) fn center(b: &mut [f64]) {
    let mean = b.iter().sum::<f64>() / b.len().max(1) as f64;
    b.iter_mut().for_each(|b| *b -= mean);
}
