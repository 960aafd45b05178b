//! How weights of a network are removed: which, how many, and in how many turns. The words are those of `torch.nn.utils.prune`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX, show};
use super::prune::{Amount, conflict, parse_amount};
use crate::fault::Fault;

const SCHEDULE: &str = "#/spec/schedule";
const STEPS_MAX: u64 = 100;
const EPOCHS_MAX: u64 = 1000;

/// What is removed of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalMethod {
    /// Of every layer its smallest weights.
    L1Unstructured,
    /// Of every hidden layer the neurons whose weights have the smallest norm.
    LnStructured,
    /// Of every layer any weights.
    RandomUnstructured,
    /// The smallest weights of all layers together.
    GlobalUnstructured,
    /// The inputs whose weights have the smallest norm.
    Inputs,
}

impl RemovalMethod {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::L1Unstructured, Self::LnStructured, Self::RandomUnstructured, Self::GlobalUnstructured, Self::Inputs];

    /// How it is called in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::L1Unstructured => "l1_unstructured",
            Self::LnStructured => "ln_structured",
            Self::RandomUnstructured => "random_unstructured",
            Self::GlobalUnstructured => "global_unstructured",
            Self::Inputs => "inputs",
        }
    }
}

/// How much of a network is removed, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Removal {
    /// Share or number of what the method removes, zeros too: a share of each layer, or of all layers together; of a number layers give
    /// in proportion to what they have.
    pub amount: Amount,
    /// In how many turns, and what is done between them.
    pub schedule: Schedule,
    /// The most that the score on rows held out may fall, absolute: the sparsest turn that loses no more is the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_quality_loss: Option<f64>,
    /// Share of the job's rows that are held out to measure every turn.
    pub holdout_fraction: f64,
    /// Of what is drawn: rows held out, order of rows, random weights.
    pub seed: u64,
}

/// Turns of a pruning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Turns; each removes the same share of what is left, so that after the last the amount is gone.
    pub steps: u64,
    /// Epochs of training after each turn.
    pub fine_tune_epochs: u64,
    /// Whether the weights that are left are set back, before training, to what they were after the first epoch of the base (Frankle &
    /// Carbin 2019; Frankle et al. 2020).
    pub rewind: bool,
}

/// The keys of a removal, of which a tree has none.
pub(super) const KEYS: [&str; 3] = ["schedule", "holdout_fraction", "seed"];

/// Reads the keys of a removal but `max_quality_loss`; `None` where something is wrong.
pub(super) fn parse_removal(spec: &mut Fields<'_>, max_quality_loss: Option<f64>, problems: &mut Problems) -> Option<Removal> {
    let asked = spec.has("amount");
    let amount = parse_amount(spec, problems);
    if !asked && max_quality_loss.is_none() {
        problems.add("#/spec/amount", "missing", "say how much is removed with `amount`, or how much may be lost with `max_quality_loss`");
    }
    // towards next to nothing, where the loss says where to stop
    let amount = if asked { amount? } else { Amount::Share(0.99) };
    let usual = Schedule { steps: if asked { 1 } else { 10 }, fine_tune_epochs: 3, rewind: false };
    let schedule = spec.take("schedule").map_or(Some(usual.clone()), |value| parse_schedule(value, usual, problems));
    let part = |share: f64| share > 0.0 && share <= 0.5;
    let holdout_fraction = spec.number("holdout_fraction", "above 0, at most 0.5", part, problems).unwrap_or(0.1);
    let seed = spec.whole("seed", 0, WHOLE_MAX, problems).unwrap_or(0);
    Some(Removal { amount, schedule: schedule?, max_quality_loss, holdout_fraction, seed })
}

fn parse_schedule(value: &Value, usual: Schedule, problems: &mut Problems) -> Option<Schedule> {
    let mut schedule = Fields::open(value, SCHEDULE, problems)?;
    let steps = schedule.whole("steps", 1, STEPS_MAX, problems).unwrap_or(usual.steps);
    let fine_tune_epochs = schedule.whole("fine_tune_epochs", 0, EPOCHS_MAX, problems).unwrap_or(usual.fine_tune_epochs);
    let rewind = schedule.flag("rewind", problems).unwrap_or(usual.rewind);
    if rewind && fine_tune_epochs == 0 {
        problems.add(&schedule.at("rewind"), "conflict", "weights that are set back have to be trained: set `fine_tune_epochs`");
    }
    schedule.close(problems);
    Some(Schedule { steps, fine_tune_epochs, rewind })
}

impl Removal {
    /// Compares it with how many there are of what it removes.
    pub(super) fn check(&self, (most, what): (u64, &str)) -> Result<(), Fault> {
        match self.amount {
            Amount::Count(count) if count >= most => {
                let detail = format!("must be below {most}, the {what} of the base; got {}", show(&count.into()));
                Err(conflict("#/spec/amount", "out_of_range", detail))
            }
            _ => Ok(()),
        }
    }
}
