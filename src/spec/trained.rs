//! What networks and ensembles have in common: a loss that follows from the target, and rows held out that say when to end.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems};
use crate::dataset::Meta;
use crate::fault::{Code, Fault};

const LOSS: &str = "#/spec/loss";
const EARLY: &str = "#/spec/early_stopping";
/// Classes that are told apart.
const CLASSES_MAX: usize = 1 << 12;
const PATIENCE_MAX: u64 = 10_000;

/// What a network or an ensemble makes small on its rows: it follows from the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum NaturalLoss {
    Squared,
    Logistic,
    Multinomial,
}

impl NaturalLoss {
    /// How it is called in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squared => "squared",
            Self::Logistic => "logistic",
            Self::Multinomial => "multinomial",
        }
    }
}

/// When training ends before its last epoch or round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// Share of the rows held out.
    pub fraction: f64,
    /// Epochs or rounds without a lower loss on them; what the best one left is kept.
    pub patience: u64,
}

/// `loss` of a specification; `None` = auto.
pub(super) fn parse_natural_loss(spec: &mut Fields, problems: &mut Problems) -> Option<NaturalLoss> {
    match spec.word("loss", &["auto", "squared", "logistic", "multinomial"], problems) {
        Some("squared") => Some(NaturalLoss::Squared),
        Some("logistic") => Some(NaturalLoss::Logistic),
        Some("multinomial") => Some(NaturalLoss::Multinomial),
        _ => None,
    }
}

/// `early_stopping` of a specification; `null` = no rows are held out.
pub(super) fn parse_early_stopping(spec: &mut Fields, usual: EarlyStopping, problems: &mut Problems) -> Option<Option<EarlyStopping>> {
    let value = match spec.take("early_stopping") {
        None => return Some(Some(usual)),
        Some(Value::Null) => return Some(None),
        Some(value) => value,
    };
    let mut early = Fields::open(value, EARLY, problems)?;
    let fraction = early.number("fraction", "between 0 and 0.5", |share| share > 0.0 && share <= 0.5, problems);
    let patience = early.whole("patience", 1, PATIENCE_MAX, problems);
    early.close(problems);
    Some(Some(EarlyStopping { fraction: fraction.unwrap_or(usual.fraction), patience: patience.unwrap_or(usual.patience) }))
}

/// Whether there are rows to hold out.
pub(super) fn check_held_out(early: Option<EarlyStopping>, meta: &Meta, problems: &mut Problems) {
    if early.is_some() && meta.shape[0] < 2 {
        problems.add(EARLY, "conflict", "no row of one can be held out; set it to null");
    }
}

/// The loss of this target, which `what` (as `a network`) is to make small.
///
/// # Errors
/// `invalid_target` where another was asked for, or the target cannot be learnt.
pub(super) fn natural_loss(what: &str, asked: Option<NaturalLoss>, meta: &Meta) -> Result<NaturalLoss, Fault> {
    let unfit = |detail: String| Err(Fault::at_pointer(Code::InvalidTarget, LOSS, detail));
    let natural = match meta.target.classes.as_deref() {
        None => NaturalLoss::Squared,
        Some([] | [_]) => return unfit("the target has one class only: nothing is left to tell it from".into()),
        Some([_, _]) => NaturalLoss::Logistic,
        Some(classes) if classes.len() > CLASSES_MAX => {
            return unfit(format!("{what} tells at most {CLASSES_MAX} classes apart, and the target has {}", classes.len()));
        }
        Some(_) => NaturalLoss::Multinomial,
    };
    match asked {
        Some(asked) if asked != natural => unfit(format!(
            "{} is not the loss of this target, which is {}; use {} or auto",
            asked.name(),
            match natural {
                NaturalLoss::Squared => "numbers",
                NaturalLoss::Logistic => "two classes",
                NaturalLoss::Multinomial => "more than two classes",
            },
            natural.name()
        )),
        _ => Ok(natural),
    }
}
