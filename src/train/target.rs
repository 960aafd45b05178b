//! Which numbers of the data set a loss compares with, and the penalty factor and bounds of each stored column.

use crate::dataset::{Class, Dataset};
use crate::solver::{self, CvDeviance, Data, Folds, Options, Penalty, Problem, Unfit};
use crate::spec::{Loss, ResolvedFit, feature_index};

use super::{TrainError, unfit};

/// What predictions are compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compared {
    /// A number, or one of two signs, by a loss of one predictor.
    One(solver::Loss),
    /// One of so many classes, by the multinomial loss.
    Classes(usize),
}

impl Compared {
    /// The problem of a fit.
    pub(super) fn problem<'a>(
        self,
        data: Data<'a>,
        penalty: Penalty<'a>,
        options: Options,
        observe: &solver::Observe<'_>,
    ) -> Result<Problem<'a>, Unfit> {
        match self {
            Self::One(loss) => Problem::new(data, loss, penalty, options, observe),
            Self::Classes(n_classes) => Problem::of_classes(data, n_classes, penalty, options, observe),
        }
    }

    /// Cross-validation of a fit.
    pub(super) fn cross_validate(
        self,
        data: Data<'_>,
        penalty: Penalty<'_>,
        options: Options,
        folds: &Folds<'_>,
        observe: &solver::Observe<'_>,
    ) -> Result<CvDeviance, Unfit> {
        match self {
            Self::One(loss) => solver::cross_validate(data, loss, penalty, options, folds, observe),
            Self::Classes(n_classes) => solver::cross_validate_classes(data, n_classes, penalty, options, folds, observe),
        }
    }

    /// The loss of one predictor, where it is one.
    pub(super) fn one(self) -> Option<solver::Loss> {
        match self {
            Self::One(loss) => Some(loss),
            Self::Classes(_) => None,
        }
    }

    /// Coefficients of one feature.
    pub(super) fn n_outputs(self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Classes(n_classes) => n_classes,
        }
    }

    /// Whether rows are of classes, whose shares folds may keep.
    pub(super) fn has_classes(self) -> bool {
        matches!(self, Self::One(solver::Loss::Logistic | solver::Loss::SquaredHinge) | Self::Classes(_))
    }
}

/// The rows of a fit.
pub(super) struct Rows<'a> {
    pub(super) loss: Compared,
    /// Targets; ±1 for losses of two classes, counts for Poisson loss, positions of classes for multinomial.
    pub(super) y: Vec<f64>,
    pub(super) weights: Option<&'a [f64]>,
    /// Whether there is an intercept beside the columns.
    pub(super) intercept: bool,
    /// All classes, or both, negative first; `None` = the rest.
    pub(super) classes: Option<Vec<Option<Class>>>,
    /// Of rows that were made of others, which are of one origin.
    pub(super) origins: Option<&'a [u32]>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(dataset: &'a Dataset, spec: &ResolvedFit) -> Result<Self, TrainError> {
        let (loss, y, classes) = match &spec.loss {
            Loss::Squared => (Compared::One(solver::Loss::Squared), numbers(dataset)?, None),
            Loss::Poisson => (Compared::One(solver::Loss::Poisson), numbers(dataset)?, None),
            Loss::Huber { delta } => (Compared::One(solver::Loss::Huber { delta: *delta }), numbers(dataset)?, None),
            Loss::SquaredHinge { positive_class } => {
                let (y, classes) = signs(dataset, positive_class)?;
                (Compared::One(solver::Loss::SquaredHinge), y, Some(classes))
            }
            Loss::Logistic { positive_class } => {
                let (y, classes) = signs(dataset, positive_class)?;
                (Compared::One(solver::Loss::Logistic), y, Some(classes))
            }
            Loss::Multinomial => {
                let classes = dataset.meta.target.classes.as_deref().unwrap_or_default();
                if classes.len() < 2 {
                    return Err(unfit("invalid_target", "This loss needs a target of classes."));
                }
                let known = classes.iter().cloned().map(Some).collect();
                (Compared::Classes(classes.len()), dataset.y.to_vec(), Some(known))
            }
        };
        let weights = dataset.weights.as_deref().filter(|_| spec.weights);
        Ok(Self { loss, y, weights, intercept: spec.intercept, classes, origins: dataset.groups.as_deref() })
    }

    pub(super) fn data<'b>(&'b self, dataset: &'b Dataset) -> Data<'b> {
        Data { x: dataset.x.view(), y: &self.y, weights: self.weights, offset: dataset.offset.as_deref() }
    }
}

/// The target as numbers: itself, or the numbers its classes are named by.
pub(super) fn numbers(dataset: &Dataset) -> Result<Vec<f64>, TrainError> {
    let Some(classes) = &dataset.meta.target.classes else {
        return Ok(dataset.y.to_vec());
    };
    let values: Option<Vec<f64>> = classes.iter().map(|class| if let Class::Number(value) = class { Some(*value) } else { None }).collect();
    let values = values.ok_or_else(|| unfit("invalid_target", "This loss needs a numeric target; its classes are texts."))?;
    Ok(dataset.y.iter().map(|&position| values[position as usize]).collect())
}

/// +1 where the row is of the positive class, −1 elsewhere; and the two classes.
fn signs(dataset: &Dataset, positive: &Class) -> Result<(Vec<f64>, Vec<Option<Class>>), TrainError> {
    let is_positive = |hit: bool| if hit { 1.0 } else { -1.0 };
    let (y, negative): (Vec<f64>, Option<Class>) = match &dataset.meta.target.classes {
        Some(classes) => {
            let position = classes.iter().position(|class| class == positive).ok_or_else(|| absent(positive))?;
            let other = if classes.len() == 2 { Some(classes[1 - position].clone()) } else { None };
            (dataset.y.iter().map(|&y| is_positive(y as usize == position)).collect(), other)
        }
        None => {
            let Class::Number(value) = positive else { return Err(absent(positive)) };
            (dataset.y.iter().map(|y| is_positive(y == value)).collect(), None)
        }
    };
    let n_positive = y.iter().filter(|&&y| y > 0.0).count();
    match n_positive {
        0 => Err(absent(positive)),
        n if n == y.len() => Err(unfit("invalid_target", "Every row is of the positive class.")),
        _ => Ok((y, vec![negative, Some(positive.clone())])),
    }
}

fn absent(positive: &Class) -> TrainError {
    let name = match positive {
        Class::Number(value) => value.to_string(),
        Class::Text(text) => format!("{text:?}"),
    };
    unfit("invalid_target", format!("No row is of the positive class {name}."))
}

/// Penalty factor of each stored column; `None` = all 1.
pub(super) fn factors(dataset: &Dataset, spec: &ResolvedFit) -> Result<Option<Vec<f64>>, TrainError> {
    if spec.penalty.factors.is_empty() {
        return Ok(None);
    }
    let x = dataset.x.view();
    let mut factors = vec![1.0; x.len()];
    for (name, &factor) in &spec.penalty.factors {
        let feature = feature_index(name, dataset.meta.shape[1], dataset.names.as_deref())
            .ok_or_else(|| unfit("invalid_parameter", format!("The penalty factor of {name:?} names no feature.")))?;
        // A feature without a non-zero has no column: its coefficient is 0 whatever its factor.
        if let Some(position) = x.position(feature) {
            factors[position] = factor;
        }
    }
    Ok(Some(factors))
}

/// Which stored columns are penalised together.
pub(super) struct Groups {
    of_column: Vec<u32>,
    sizes: Vec<u32>,
}

impl Groups {
    /// The groups of a specification, if it has any; a feature that is in none is a group by itself.
    pub(super) fn of(dataset: &Dataset, spec: &ResolvedFit) -> Result<Option<Self>, TrainError> {
        if !spec.penalty.is_grouped() {
            return Ok(None);
        }
        const NONE: u32 = u32::MAX;
        let x = dataset.x.view();
        let (mut of_column, mut sizes) = (vec![NONE; x.len()], Vec::with_capacity(spec.penalty.groups.len()));
        for (group, members) in spec.penalty.groups.values().enumerate() {
            for name in members {
                let feature = feature_index(name, dataset.meta.shape[1], dataset.names.as_deref())
                    .ok_or_else(|| unfit("invalid_parameter", format!("{name:?} of a group names no feature.")))?;
                if let Some(position) = x.position(feature) {
                    of_column[position] = group as u32;
                }
            }
            // a feature without a non-zero counts too
            sizes.push(members.len() as u32);
        }
        for of in of_column.iter_mut().filter(|of| **of == NONE) {
            *of = sizes.len() as u32;
            sizes.push(1);
        }
        Ok(Some(Self { of_column, sizes }))
    }

    /// Groups with a coefficient that is not 0.
    pub(super) fn active(&self, columns: &[u32]) -> u64 {
        let mut groups: Vec<u32> = columns.iter().map(|&j| self.of_column[j as usize]).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.len() as u64
    }
}

/// Where the coefficient of each stored column must stay.
pub(super) struct Intervals {
    low: Vec<f64>,
    high: Vec<f64>,
}

impl Intervals {
    /// The bounds of a specification, if it has any.
    pub(super) fn of(dataset: &Dataset, spec: &ResolvedFit) -> Result<Option<Self>, TrainError> {
        if !spec.is_bounded() {
            return Ok(None);
        }
        let x = dataset.x.view();
        let [low, high] = spec.interval(None);
        let (mut low, mut high) = (vec![low; x.len()], vec![high; x.len()]);
        for (name, ends) in &spec.bounds {
            let feature = feature_index(name, dataset.meta.shape[1], dataset.names.as_deref())
                .ok_or_else(|| unfit("invalid_parameter", format!("The bounds of {name:?} name no feature.")))?;
            // A feature without a non-zero has no column: its coefficient is 0, which lies within any bounds.
            if let Some(position) = x.position(feature) {
                [low[position], high[position]] = spec.interval(Some(ends));
            }
        }
        Ok(Some(Self { low, high }))
    }

    /// As the solver takes them.
    pub(super) fn bounds(&self) -> solver::Bounds<'_> {
        solver::Bounds { low: &self.low, high: &self.high }
    }
}

/// The form of the penalty asked for.
pub(super) fn shape<'g>(spec: &ResolvedFit, groups: Option<&'g Groups>) -> solver::Shape<'g> {
    match (groups, spec.penalty.kind.as_str(), spec.penalty.gamma) {
        (Some(groups), _, _) => solver::Shape::Groups(solver::Groups { of_column: &groups.of_column, sizes: &groups.sizes }),
        (None, "mcp", Some(gamma)) => solver::Shape::Mcp { gamma },
        (None, "scad", Some(gamma)) => solver::Shape::Scad { gamma },
        (None, "l0", _) => solver::Shape::L0,
        _ => solver::Shape::Net,
    }
}

/// The display name of a feature: its name, else its decimal index.
pub(super) fn display_name(dataset: &Dataset, feature: u32) -> String {
    let named = dataset.names.as_ref().and_then(|names| names.get(feature));
    named.map_or_else(|| feature.to_string(), str::to_owned)
}
