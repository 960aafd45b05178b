//! Numbers only: minimise datafit(Xw + b) + penalty(w).
//!
//! The problem, with `s` the sample weights, `o` the offsets, `f` the penalty factors and `σ` the column scales
//! (all 1 unless standardising):
//!
//! ```text
//! F(w, b) = (1/Σs) Σ_i s_i·loss(y_i, x_i·w + b + o_i)  +  λ Σ_j f_j [ l1_ratio·|w_jσ_j| + (1 − l1_ratio)/2·(w_jσ_j)² ]
//! ```
//!
//! or with one of the other penalties of [`Shape`]; the elastic net also within bounds on the coefficients.
//!
//! X is never copied and never densified: centring and scaling are implicit, a fold is a vector of weights.
//! This room knows nothing of names, files, requests, threads pools or clocks.

use std::ops::ControlFlow;

use crate::matrix::ColumnsView;

mod advance;
mod balance;
mod blocks;
mod bounds;
mod certificate;
mod clock;
mod dense;
mod descent;
mod dual;
mod folds;
mod gradient;
mod gram;
mod in_rows;
mod inner;
mod lanes;
mod linear;
mod loss;
mod model;
mod multinomial;
mod near;
mod newton;
mod path;
mod pieces;
mod problem;
mod quadratic;
mod refit;
mod sight;
mod stages;
mod standing;
mod subset;
mod support;
mod sweeps;
mod target;
mod together;
mod working_set;

pub use bounds::Bounds;
pub use certificate::{Certificate, certify};
pub use folds::{CvDeviance, FoldPath, FoldRow, Folds, NEVER, cross_validate};
pub use multinomial::cross_validate_classes;
pub use path::{Point, lambda_grid, path, settle, solve};
pub use problem::{Problem, Unfit};
pub use refit::{Refit, refit};
pub use standing::{Reference, Start, Trail};
pub use support::ambiguous_support;
pub use target::{TargetPoint, target_nonzeros};

/// How a prediction is compared with the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// ½(y − η)².
    Squared,
    /// ½r² for |r| ≤ δ, δ|r| − ½δ² beyond, r = y − η.
    Huber {
        /// δ > 0, in units of y.
        delta: f64,
    },
    /// log(1 + e^(−yη)), y ∈ {−1, +1}.
    Logistic,
    /// max(0, 1 − yη)², y ∈ {−1, +1}.
    SquaredHinge,
    /// e^η − yη, y ≥ 0.
    Poisson,
}

/// The data of a problem; every slice has one entry a row.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// The matrix.
    pub x: ColumnsView<'a>,
    /// Targets; ±1 for [`Loss::Logistic`] and [`Loss::SquaredHinge`], at least 0 for [`Loss::Poisson`].
    pub y: &'a [f64],
    /// Sample weights `s ≥ 0`, not all 0; `None` = all 1. A row of weight 0 is as good as absent.
    pub weights: Option<&'a [f64]>,
    /// Offsets added to the linear predictor; `None` = 0.
    pub offset: Option<&'a [f64]>,
}

/// What is added to the mean loss, with a factor for each stored column.
#[derive(Clone, Copy, Debug)]
pub struct Penalty<'a> {
    /// Of the elastic net: 1 = lasso, 0 = ridge. Of groups: the share of the L1 part, below 1. Else 1.
    pub l1_ratio: f64,
    /// `f_j ≥ 0` for each **stored column** of the matrix; 0 = never penalised (with groups: without an L1 part); `None` = all 1.
    pub factors: Option<&'a [f64]>,
    /// Its form.
    pub shape: Shape<'a>,
    /// Where coefficients must stay, with the elastic net; `None` = anywhere.
    pub bounds: Option<Bounds<'a>>,
}

impl Default for Penalty<'_> {
    /// The lasso.
    fn default() -> Self {
        Self { l1_ratio: 1.0, factors: None, shape: Shape::Net, bounds: None }
    }
}

/// The form of a penalty, for λ = 1 and on the scale u_j = w_jσ_j.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape<'a> {
    /// Elastic net: Σ f [ l1_ratio·|u| + (1 − l1_ratio)/2·u² ].
    Net,
    /// Sparse group lasso: (1 − l1_ratio)·Σ_g √|g|·‖u_g‖₂ + l1_ratio·Σ f·|u|.
    Groups(Groups<'a>),
    /// Minimax concave penalty: with l = λf, l·|u| − u²/(2γ) up to |u| = γl, ½γl² from there.
    Mcp {
        /// γ > 1.
        gamma: f64,
    },
    /// Smoothly clipped absolute deviation: with l = λf, l·|u| up to l, (2γl|u| − u² − l²)/(2(γ − 1)) up to γl, ½l²(γ + 1) from there.
    Scad {
        /// γ > 2.
        gamma: f64,
    },
    /// The number of coefficients: Σ f·1[w ≠ 0].
    L0,
}

/// Which columns go together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Groups<'a> {
    /// The group of each **stored column**, below the length of `sizes`.
    pub of_column: &'a [u32],
    /// |g| ≥ 1 of each group: its features, whether they have a stored column or not.
    pub sizes: &'a [u32],
}

/// How to solve.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Fit an intercept, never penalised.
    pub intercept: bool,
    /// Let the penalty act on `w_jσ_j`, σ_j the weighted population standard deviation; a constant column gets 0.
    pub standardize: bool,
    /// Goal for the relative duality gap.
    pub tol: f64,
    /// Bound on the epochs (sweeps over a working set) of one λ.
    pub max_epochs: u64,
}

/// Why a solve stopped; a result, never an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The gap is at or below the tolerance.
    Converged,
    /// `max_epochs` was reached, or no step made progress at the limit of double precision.
    LimitReached,
    /// `observe` said so.
    Cancelled,
}

/// Where a solve is; given to `observe` at least every millisecond of work.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// λ being solved.
    pub lambda: f64,
    /// Its position in the path, from 0.
    pub lambda_index: usize,
    /// Fold being solved, from 0; `None` outside cross-validation.
    pub fold: Option<usize>,
    /// Non-zero coefficients at the moment.
    pub nonzeros: usize,
    /// Last relative gap known; `None` before the first.
    pub relative_gap: Option<f64>,
    /// Epochs spent on this λ.
    pub epoch: u64,
}

/// Asked often whether to go on; may be called from several threads.
pub type Observe<'a> = dyn Fn(&Progress) -> ControlFlow<()> + Sync + 'a;
