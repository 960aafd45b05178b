//! What a fit has to solve: paths over all rows, and for most of them the same path with rows held out.
//!
//! Most fits have one path. Several ratios make several, an adaptive penalty needs a pilot before them, and a comparison
//! with ridge one more after them. Checkpoints and progress name a path by its position here, which depends on the
//! specification alone.

use crate::spec::{Lambda, PILOT_FOLDS, Pilot, ResolvedFit, Splits, Stability};

/// λ of a path that the specification does not describe, and the span of it relative to λ_max.
const OWN_PATH: (u64, f64) = (100, 1e-4);
/// λ_max of ridge is computed as if it were so much lasso; its path goes on to the smallest λ of that lasso.
const RIDGE_SPAN: f64 = 1e-3;

/// Every path of a fit, in the order they are solved.
pub(super) struct Plan<'s> {
    pub(super) arms: Vec<Arm<'s>>,
}

/// One path.
pub(super) struct Arm<'s> {
    /// Where it stands in the plan.
    pub(super) position: usize,
    pub(super) role: Role,
    pub(super) l1_ratio: f64,
    pub(super) lambda: Lambda,
    /// The rows held out; `None` = none are.
    pub(super) splits: Option<Splits<'s>>,
    /// Shares of penalised coefficients that are measured on the rows held out beside the penalised fit itself.
    pub(super) gammas: &'s [f64],
    /// Halves of the rows that choose; `None` = none do.
    pub(super) stability: Option<&'s Stability>,
}

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Gives the factors of an adaptive penalty.
    Pilot,
    /// May become the model.
    Candidate,
    /// Is what the model is compared with.
    Twin,
}

impl<'s> Plan<'s> {
    pub(super) fn of(spec: &'s ResolvedFit) -> Self {
        let splits = spec.selection.splits();
        let mut arms = Vec::new();
        let mut add = |role, l1_ratio, lambda, splits, gammas| {
            let position = arms.len();
            let stability = spec.selection.stability().filter(|_| role == Role::Candidate);
            arms.push(Arm { position, role, l1_ratio, lambda, splits, gammas, stability });
        };
        if let Some(adaptive) = &spec.penalty.adaptive {
            let l1_ratio = if adaptive.pilot == Pilot::Ridge { 0.0 } else { 1.0 };
            let plain = || Splits::plain(PILOT_FOLDS, spec.loss.has_classes(), 0);
            add(Role::Pilot, l1_ratio, own_path(spec, l1_ratio), Some(splits.unwrap_or_else(plain)), &[]);
        }
        let gammas = spec.refit.as_ref().map_or(&[][..], |refit| &refit.relaxed_gamma);
        // the penalised fit itself is measured anyway
        let measured = if splits.is_some() && gammas != [1.0] { gammas } else { &[] };
        for &l1_ratio in spec.penalty.l1_ratio.all() {
            add(Role::Candidate, l1_ratio, spec.lambda.clone(), splits, measured);
        }
        // a pilot that is a ridge is the twin
        if spec.compare_ridge && spec.penalty.adaptive.as_ref().is_none_or(|adaptive| adaptive.pilot != Pilot::Ridge) {
            add(Role::Twin, 0.0, own_path(spec, 0.0), splits, &[]);
        }
        Self { arms }
    }

    pub(super) fn of_role(&self, role: Role) -> impl Iterator<Item = &Arm<'s>> {
        self.arms.iter().filter(move |arm| arm.role == role)
    }
}

impl Arm<'_> {
    /// λ of its path; 0 where there is no path, but one λ or a search for one.
    pub(super) fn n_lambdas(&self) -> usize {
        match &self.lambda {
            Lambda::Path { n, .. } => usize::try_from(*n).unwrap_or(usize::MAX),
            Lambda::Values { values } => values.len(),
            Lambda::Value { .. } | Lambda::TargetNonzeros { .. } => 0,
        }
    }

    /// The λ it begins with, where that is known without the data.
    pub(super) fn first(&self) -> Option<f64> {
        match &self.lambda {
            Lambda::Value { value } => Some(*value),
            Lambda::Values { values } => values.first().copied(),
            Lambda::Path { .. } | Lambda::TargetNonzeros { .. } => None,
        }
    }

    /// Halves of the rows.
    pub(super) fn n_resamples(&self) -> usize {
        self.stability.map_or(0, |stability| usize::try_from(stability.resamples).unwrap_or(usize::MAX))
    }

    /// Folds of all repeats.
    pub(super) fn n_folds(&self) -> usize {
        self.splits.map_or(0, |splits| splits.all_folds() as usize)
    }
}

/// The path of a pilot or a twin: as long as the one asked for, down to the λ where that ends.
fn own_path(spec: &ResolvedFit, l1_ratio: f64) -> Lambda {
    let (n, min_ratio) = match &spec.lambda {
        Lambda::Path { n, min_ratio } => (*n, *min_ratio),
        _ => OWN_PATH,
    };
    Lambda::Path { n, min_ratio: if l1_ratio == 0.0 { min_ratio * RIDGE_SPAN } else { min_ratio } }
}
