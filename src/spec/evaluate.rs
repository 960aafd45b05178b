//! The specification of an evaluation: which model is measured on the data set. Knows of the model only what its row says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems};
use super::limits::parse_limits;
use super::{ModelRef, OnLimit, RunLimits, SpecLimits};
use crate::dataset::{Class, Meta};
use crate::fault::{Code, Fault, Place};

const MODEL: &str = "#/spec/model";

/// An evaluation as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluateSpec {
    /// The model to be measured.
    pub model: ModelRef,
    pub(super) limits: RunLimits,
}

/// An evaluation with nothing left open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedEvaluate {
    /// The model version: `name:n`.
    pub model: String,
    /// Bounds on the run.
    #[serde(default)]
    pub limits: RunLimits,
}

/// What is known of a model without opening it.
#[derive(Clone, Copy, Debug)]
pub struct KnownModel<'a> {
    /// `name:n`.
    pub reference: &'a str,
    /// `linear`, …
    pub kind: &'a str,
    /// `squared`, `logistic`, …
    pub loss: &'a str,
    /// Its classes; `None` in their place = the rest.
    pub classes: Option<&'a [Option<Class>]>,
    /// Whether its features have names.
    pub named: bool,
}

/// Parses `spec` of an evaluation.
pub(super) fn parse_evaluate(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<EvaluateSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    let text = spec.need("model", problems).and(spec.text("model", problems));
    let model = text.and_then(|text| {
        let model = ModelRef::parse(text);
        if model.is_none() {
            problems.add(MODEL, "invalid_field", "must be a model reference: `name`, `name:3` or `name@alias`");
        }
        model
    });
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    Some(EvaluateSpec { model: model?, limits: run? })
}

impl EvaluateSpec {
    /// Compares the model with the data set.
    ///
    /// # Errors
    /// `invalid_target` where the target is not what the model predicts; `invalid_parameter` where features cannot be
    /// told which is which, or where a limit means nothing.
    pub fn resolve(&self, model: &KnownModel<'_>, meta: &Meta) -> Result<ResolvedEvaluate, Fault> {
        if self.limits.on_limit == OnLimit::KeepBest {
            let detail = "keep_best has no meaning here: an evaluation that is not whole says nothing";
            return Err(conflict("#/limits/on_limit", detail));
        }
        check_matches(model, meta, MODEL)?;
        Ok(ResolvedEvaluate { model: model.reference.to_owned(), limits: self.limits.clone() })
    }
}

fn conflict(pointer: &str, detail: impl Into<String>) -> Fault {
    Fault::at(Code::InvalidParameter, Place::pointer(pointer, "conflict", detail))
}

/// Whether a model, named at `pointer`, can be asked about the rows of a data set.
pub(super) fn check_matches(model: &KnownModel<'_>, meta: &Meta, pointer: &str) -> Result<(), Fault> {
    check_names(model, meta, pointer)?;
    check_target(model, meta, "#/dataset")
}

/// Whether features can be told which is which; `pointer` is the model's.
pub(super) fn check_names(model: &KnownModel<'_>, meta: &Meta, pointer: &str) -> Result<(), Fault> {
    if model.named == meta.named {
        return Ok(());
    }
    let (with, without) = if model.named { ("the model", "the data set") } else { ("the data set", "the model") };
    let detail = format!("the features of {with} have names and those of {without} have none: they cannot be matched");
    Err(conflict(pointer, detail))
}

/// Whether the target is what the model predicts: numbers for numbers, and no class that it was never told of. `pointer` is said
/// to be wrong.
pub(super) fn check_target(model: &KnownModel<'_>, meta: &Meta, pointer: &str) -> Result<(), Fault> {
    let unfit = |detail: String| Err(Fault::at_pointer(Code::InvalidTarget, pointer, detail));
    let target = &meta.target;
    match (model.classes, &target.classes) {
        (None, None) => Ok(()),
        (None, Some(_)) => unfit(format!(
            "the model predicts numbers ({} loss) and the target has classes; upload it with target_kind=regression",
            model.loss
        )),
        (Some(known), Some(present)) => {
            let stranger = present.iter().find(|class| !is_known(known, class));
            stranger.map_or(Ok(()), |class| unfit(format!("the model does not know the class {} of the target", show(class))))
        }
        // whether all its numbers are classes is seen when the target is read
        (Some(known), None) if known.iter().flatten().any(|class| matches!(class, Class::Number(_))) => Ok(()),
        (Some(_), None) => unfit("the model predicts classes, and the target has none".into()),
    }
}

/// Whether a model knows a class; one class against the rest knows all.
fn is_known(known: &[Option<Class>], class: &Class) -> bool {
    known.iter().any(|one| one.as_ref().is_none_or(|one| one == class))
}

fn show(class: &Class) -> String {
    match class {
        Class::Number(number) => number.to_string(),
        Class::Text(text) => format!("\"{}\"", crate::json::clip(text, 40)),
    }
}
