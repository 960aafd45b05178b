//! Where a fit begins: a model version whose coefficients are the first guess. Knows of the model only what its row says.
//!
//! A start saves work and changes nothing else: whatever it is, the fit ends at the same minimum, within its tolerance. So
//! it need not be a model of the same data, penalty or λ; it must only speak of the same thing: a linear predictor on the
//! same scale, of the same classes.

use super::fields::{Fields, Problems};
use super::{AskedLambda, FitSpec, KnownModel, Lambda, Loss, ModelRef, ResolvedFit};
use crate::dataset::{Class, Meta};
use crate::fault::{Code, Fault, Place};
use crate::job::Warning;

const POINTER: &str = "#/spec/warm_start";

/// `spec.warm_start`; absent stays absent, wrong becomes nothing.
pub(super) fn parse_warm_start(spec: &mut Fields<'_>, problems: &mut Problems) -> Option<Option<ModelRef>> {
    if spec.take("warm_start").is_none_or(serde_json::Value::is_null) {
        return Some(None);
    }
    let model = ModelRef::parse(spec.text("warm_start", problems)?);
    if model.is_none() {
        problems.add(POINTER, "invalid_field", "must be a model reference: `name`, `name:3` or `name@alias`");
    }
    model.map(Some)
}

/// What contradicts a start whatever the model is.
pub(super) fn check_warm_start(fit: &FitSpec, problems: &mut Problems) {
    if fit.warm_start.is_some() && fit.penalty.is_folded() {
        let detail =
            format!("where a fit with {} penalty ends depends on where it begins: it begins where it always does", fit.penalty.kind);
        problems.add(POINTER, "conflict", detail);
    }
}

impl FitSpec {
    /// The model asked for to begin at.
    pub fn warm_start(&self) -> Option<&ModelRef> {
        self.warm_start.as_ref()
    }

    /// Whether the first λ is one whose solution is not known without a start: that of a path that a fit makes by itself, and of
    /// a search, is λ_max, where no coefficient is in.
    fn begins_below(&self) -> bool {
        matches!(self.lambda, AskedLambda::Value(_) | AskedLambda::Values(_))
    }

    /// Begins `fit`, which this was resolved to, at a model. Pointers of faults start at `#/spec`.
    ///
    /// # Errors
    /// `invalid_parameter` where the model speaks of something else.
    pub fn begin_at(&self, fit: &mut ResolvedFit, model: &KnownModel<'_>, meta: &Meta) -> Result<Option<Warning>, Fault> {
        check(&fit.loss, model, meta).map_err(|detail| Fault::at(Code::InvalidParameter, Place::pointer(POINTER, "conflict", detail)))?;
        fit.warm_start = Some(model.reference.to_owned());
        let detail = "The fit begins at λ_max, where every penalised coefficient is 0: a warm start saves work with one λ and with \
                      given values of λ.";
        let unused = || Warning { code: "warm_start_unused".into(), detail: detail.into(), features: Vec::new() };
        Ok((!self.begins_below()).then(unused))
    }
}

impl ResolvedFit {
    /// Whether it begins at a model.
    pub fn begins_at(&self) -> Option<&str> {
        let below = matches!(self.lambda, Lambda::Value { .. } | Lambda::Values { .. });
        self.warm_start.as_deref().filter(|_| below)
    }
}

/// Losses whose linear predictors have the same scale, near enough for a start.
fn scale(loss: &str) -> Option<&'static str> {
    match loss {
        "squared" | "huber" => Some("the target itself"),
        "poisson" => Some("the logarithm of a mean"),
        "logistic" | "squared_hinge" => Some("one class against the others"),
        "multinomial" => Some("many classes"),
        _ => None,
    }
}

fn check(loss: &Loss, model: &KnownModel<'_>, meta: &Meta) -> Result<(), String> {
    let wanted = scale(loss.name());
    let Some(told) = scale(model.loss).filter(|_| model.kind == "linear") else {
        return Err(format!("{} is no linear model: it has no coefficients to begin at", model.reference));
    };
    if wanted != Some(told) {
        return Err(format!("{} predicts {told} ({} loss), which is no start for {} loss", model.reference, model.loss, loss.name()));
    }
    let known: Vec<&Class> = model.classes.into_iter().flatten().flatten().collect();
    match loss.positive_class() {
        Some(positive) if known.last() != Some(&positive) => {
            Err(format!("{} has another positive class: its coefficients have other signs", model.reference))
        }
        None if *loss == Loss::Multinomial && !meta.target.classes.iter().flatten().eq(known.iter().copied()) => {
            Err(format!("{} has other classes than the target", model.reference))
        }
        _ => Ok(()),
    }
}
