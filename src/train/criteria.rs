//! Information criteria: fit on the rows themselves, against degrees of freedom.
//!
//! Degrees of freedom of a penalised fit are its non-zeros (Zou, Hastie & Tibshirani, "On the degrees of freedom of the
//! lasso", Annals of Statistics 2007), and one more for an intercept, which is not penalised; with an L2 part they are
//! an upper bound. With `n` rows of positive weight, `D` the mean deviance and `Σs` the sum of the weights:
//!
//! ```text
//! squared loss   n·ln(D) + k·df       the scale of the noise is estimated
//! others         Σs·D + k·df
//! k              2 (aic), ln n (bic, ebic)
//! ebic           + 2γ·ln C(p, non-zeros), p = features that are not empty (times the classes of a multinomial fit)
//! ```
//!
//! A saturated model has D = 0, whose logarithm would win over everything: with as many degrees of freedom as rows there
//! is no criterion.

use super::arm::Solved;
use super::target::{Compared, Rows};
use crate::solver::Loss;
use crate::spec::Selection;

/// Share of the null deviance below which a deviance is rounding.
const ROUNDING: f64 = 1e-15;

/// The criterion at every λ of a path; `None` where the model is saturated.
pub(super) fn along(selection: &Selection, rows: &Rows<'_>, n_columns: usize, path: &Solved) -> Vec<Option<f64>> {
    let weights = || rows.weights.into_iter().flatten().copied();
    let n = rows.weights.map_or(rows.y.len(), |weights| weights.iter().filter(|weight| **weight > 0.0).count()) as f64;
    let total = if rows.weights.is_some() { weights().sum() } else { n };
    let price = if *selection == Selection::Aic { 2.0 } else { n.ln() };
    let gamma = if let Selection::Ebic { ebic_gamma } = selection { *ebic_gamma } else { 0.0 };
    // intercepts of classes are free but for their sum
    let outputs = rows.loss.n_outputs();
    let intercept = if rows.intercept { (outputs - 1).max(1) as f64 } else { 0.0 };
    let saturated = |nonzeros: usize| nonzeros as f64 + intercept >= n;
    let floor = (ROUNDING * path.null_deviance).max(f64::MIN_POSITIVE);
    let value = |deviance: f64, nonzeros: usize| {
        let fit = if rows.loss == Compared::One(Loss::Squared) { n * deviance.max(floor).ln() } else { total * deviance };
        fit + price * (nonzeros as f64 + intercept) + 2.0 * gamma * ln_choose(n_columns.saturating_mul(outputs), nonzeros)
    };
    path.points.iter().map(|point| (point.deviance, point.columns.len())).map(|(d, k)| (!saturated(k)).then(|| value(d, k))).collect()
}

/// ln C(n, k).
fn ln_choose(n: usize, k: usize) -> f64 {
    let k = k.min(n.saturating_sub(k));
    (1..=k).map(|i| ((n - k + i) as f64 / i as f64).ln()).sum()
}
