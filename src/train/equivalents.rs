//! The parameters by which other libraries state exactly the same problem, where they do.
//!
//! Each was compared with what the library finds (`tests/references/equivalents.py`), but for Spark, which is read from its
//! documentation and not run.

use serde_json::{Map, Value, json};

use super::target::{Compared, Rows};
use crate::solver::Loss;
use crate::spec::{ResolvedFit, Standardize};

/// Parameters by library; `null` where its objective is another one.
///
/// * glmnet divides the gaussian elastic net's ridge term by sd(y) and rescales `penalty.factor`: equal for unit factors, and
///   for the gaussian family without a ridge term. It scales columns by the same population deviation as we do.
/// * scikit-learn neither scales columns nor knows factors or offsets. `Lasso`, `ElasticNet` and `PoissonRegressor` divide by
///   Σs as we do; `Ridge` does not, so its alpha = Σs·λ; `LogisticRegression` sums the loss and multiplies it by `C`, so C =
///   1/(Σs·λ). Its poisson regression is ridge only.
/// * celer and skglm are as scikit-learn, without sample weights; celer's logistic regression has no intercept, skglm's divides
///   by n.
/// * Within bounds only scikit-learn's `Lasso` and `ElasticNet` are compared with, and those only know `positive`.
/// * Spark's logistic regression is ours when it does not standardise; its linear regression scales the target.
pub(super) fn equivalents(spec: &ResolvedFit, ratio: f64, lambda: f64, rows: &Rows<'_>, offset: bool) -> Value {
    let unit_factors = spec.penalty.adaptive.is_none() && spec.penalty.factors.values().all(|&factor| factor == 1.0);
    // what all but glmnet ask for
    let plain = unit_factors && spec.standardize == Standardize::None && !offset;
    let total: f64 = rows.weights.map_or(rows.y.len() as f64, |weights| weights.iter().sum());
    let problem = Stated { loss: rows.loss, ratio, lambda, intercept: spec.intercept, weighted: rows.weights.is_some(), total };
    let only = |holds: bool, parameters: Option<Value>| parameters.filter(|_| holds);
    if spec.is_bounded() {
        let positive = spec.non_negative && spec.bounds.values().all(|[_, high]| high.is_none());
        let mut told = no_equivalents();
        let parameters = only(plain && positive && problem.loss == Compared::One(Loss::Squared) && ratio > 0.0, problem.lasso_or_net());
        if let Some(mut parameters) = parameters {
            parameters["positive"] = true.into();
            told["sklearn"] = parameters;
        }
        return told;
    }
    let scaled = spec.standardize == Standardize::Scale;
    json!({
        "glmnet": only(unit_factors, problem.glmnet(scaled)),
        "sklearn": only(plain, problem.sklearn()),
        "spark": only(plain, problem.spark()),
        "celer": only(plain, problem.celer()),
        "skglm": only(plain, problem.skglm()),
    })
}

/// Of a model that minimises nothing of the kind.
pub(super) fn no_equivalents() -> Value {
    json!({ "glmnet": null, "sklearn": null, "spark": null, "celer": null, "skglm": null })
}

struct Stated {
    loss: Compared,
    ratio: f64,
    lambda: f64,
    intercept: bool,
    weighted: bool,
    /// Σs.
    total: f64,
}

impl Stated {
    fn glmnet(&self, standardize: bool) -> Option<Value> {
        let family = match self.loss {
            Compared::One(Loss::Squared) if self.ratio < 1.0 => return None,
            Compared::One(Loss::Squared) => "gaussian",
            Compared::One(Loss::Logistic) => "binomial",
            Compared::Classes(_) => "multinomial",
            Compared::One(Loss::Huber { .. } | Loss::SquaredHinge) => return None,
            Compared::One(Loss::Poisson) => "poisson",
        };
        Some(
            json!({ "family": family, "lambda": self.lambda, "alpha": self.ratio, "standardize": standardize, "intercept": self.intercept }),
        )
    }

    fn sklearn(&self) -> Option<Value> {
        let ridge = self.ratio == 0.0;
        match self.loss {
            Compared::One(Loss::Squared) if ridge => self.estimator("Ridge", &[("alpha", self.lambda * self.total)]),
            Compared::One(Loss::Squared) => self.lasso_or_net(),
            Compared::One(Loss::Logistic) | Compared::Classes(_) => {
                self.estimator("LogisticRegression", &[("C", self.c()), ("l1_ratio", self.ratio)])
            }
            Compared::One(Loss::Poisson) if ridge => self.estimator("PoissonRegressor", &[("alpha", self.lambda)]),
            // of its two penalties the ridge, ½‖w‖², has C = 1/(Σs·λ) too; it penalises its intercept
            Compared::One(Loss::SquaredHinge) if !self.intercept => {
                let (_, penalty) = [(1.0, "l1"), (0.0, "l2")].into_iter().find(|(ratio, _)| *ratio == self.ratio)?;
                let mut told = self.estimator("LinearSVC", &[("C", self.c())])?;
                for (name, value) in [("penalty", json!(penalty)), ("loss", json!("squared_hinge")), ("dual", json!(false))] {
                    told[name] = value;
                }
                Some(told)
            }
            // `HuberRegressor` estimates a scale besides
            Compared::One(Loss::Poisson | Loss::Huber { .. } | Loss::SquaredHinge) => None,
        }
    }

    fn spark(&self) -> Option<Value> {
        let same = self.loss.has_classes();
        same.then(
            || json!({ "regParam": self.lambda, "elasticNetParam": self.ratio, "standardization": false, "fitIntercept": self.intercept }),
        )
    }

    fn celer(&self) -> Option<Value> {
        match self.loss {
            _ if self.weighted || self.ratio == 0.0 => None,
            Compared::One(Loss::Squared) => self.lasso_or_net(),
            Compared::One(Loss::Logistic) if self.ratio == 1.0 && !self.intercept => {
                self.estimator("LogisticRegression", &[("C", self.c())])
            }
            _ => None,
        }
    }

    fn skglm(&self) -> Option<Value> {
        match self.loss {
            _ if self.weighted || self.ratio == 0.0 => None,
            Compared::One(Loss::Squared) => self.lasso_or_net(),
            Compared::One(Loss::Logistic) => {
                self.estimator("SparseLogisticRegression", &[("alpha", self.lambda), ("l1_ratio", self.ratio)])
            }
            Compared::One(Loss::Poisson | Loss::Huber { .. } | Loss::SquaredHinge) | Compared::Classes(_) => None,
        }
    }

    fn lasso_or_net(&self) -> Option<Value> {
        match self.ratio {
            1.0 => self.estimator("Lasso", &[("alpha", self.lambda)]),
            _ => self.estimator("ElasticNet", &[("alpha", self.lambda), ("l1_ratio", self.ratio)]),
        }
    }

    fn c(&self) -> f64 {
        1.0 / (self.total * self.lambda)
    }

    /// `None` where a parameter is beyond a double.
    fn estimator(&self, name: &str, numbers: &[(&str, f64)]) -> Option<Value> {
        let mut told = Map::new();
        told.insert("estimator".into(), name.into());
        told.extend(numbers.iter().map(|(name, number)| ((*name).to_owned(), json!(number))));
        told.insert("fit_intercept".into(), self.intercept.into());
        numbers.iter().all(|(_, number)| number.is_finite()).then_some(Value::Object(told))
    }
}
