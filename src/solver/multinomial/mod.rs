//! The multinomial loss: K classes, a coefficient for each feature and class, an intercept for each class.
//!
//! ```text
//! F(W, b) = (1/Σs) Σ_i s_i·(log Σ_k e^η_ik − η_i,y_i)  +  λ Σ_j f_j Σ_k [ l1_ratio·|W_jkσ_j| + (1 − l1_ratio)/2·(W_jkσ_j)² ],   η = XW + b
//! ```
//!
//! The parametrisation is symmetric: no class is the one that the others are compared with. The loss does not see what is
//! added to all classes, so the intercepts (and unpenalised features) are given the sum 0, and of penalised features the
//! penalty decides (`shift.rs`). Folds, paths and points are those of the other losses.

mod certificate;
mod dual;
mod engine;
mod folds;
mod lanes;
mod newton;
mod path;
mod polish;
mod problem;
mod project;
mod rows;
mod shift;
mod support;

pub(super) use certificate::certify;
pub use folds::cross_validate_classes;
pub(super) use path::{path_of_fold, settle, solve, target_nonzeros};
pub(super) use problem::Classes;
pub(super) use support::ambiguous_support;
