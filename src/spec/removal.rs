//! How weights of a network are removed: which, how many, and in how many turns. The words are those of `torch.nn.utils.prune`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX, show};
use super::prune::{Amount, LEAVES_MAX, conflict, parse_amount};
use crate::fault::Fault;
use crate::model::NetworkCard;

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
    /// Share or number of what the method removes, as the base was trained: of each layer, or of all layers together.
    pub amount: Amount,
    /// Norm of the structured methods.
    pub n: u64,
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
pub(super) const KEYS: [&str; 4] = ["schedule", "n", "holdout_fraction", "seed"];

/// Reads the keys of a removal but `max_quality_loss`; `None` where something is wrong.
pub(super) fn parse_removal(
    spec: &mut Fields<'_>,
    method: RemovalMethod,
    max_quality_loss: Option<f64>,
    problems: &mut Problems,
) -> Option<Removal> {
    let structured = matches!(method, RemovalMethod::LnStructured | RemovalMethod::Inputs);
    let n = spec.whole("n", 1, 2, problems);
    if n.is_some() && !structured {
        problems.add(&spec.at("n"), "conflict", format!("is the norm of groups of weights; {} removes single ones", method.name()));
    }
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
    Some(Removal { amount, n: n.unwrap_or(2), schedule: schedule?, max_quality_loss, holdout_fraction, seed })
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
    /// Compares it with the network it is of.
    pub(super) fn check(&self, method: RemovalMethod, base: &NetworkCard) -> Result<(), Fault> {
        let Amount::Count(count) = self.amount else { return Ok(()) };
        let layers = &base.sparsity.layers;
        let weights = |layer: &crate::model::LayerSparsity| layer.shape[0] * layer.shape[1];
        let hidden = layers.split_last().map_or(&[][..], |(_, hidden)| hidden);
        let (most, of) = match method {
            RemovalMethod::L1Unstructured | RemovalMethod::RandomUnstructured => {
                (layers.iter().map(weights).min(), "weights of its smallest layer")
            }
            RemovalMethod::GlobalUnstructured => (Some(layers.iter().map(weights).sum()), "weights"),
            RemovalMethod::LnStructured => (hidden.iter().map(|layer| layer.shape[1]).min(), "neurons of its smallest hidden layer"),
            RemovalMethod::Inputs => (Some(base.sparsity.features_active), "inputs"),
        };
        let most = most.unwrap_or(0).min(LEAVES_MAX);
        if count < most {
            return Ok(());
        }
        let detail = format!("must be below {most}, the {of}; got {}", show(&count.into()));
        Err(conflict("#/spec/amount", "out_of_range", detail))
    }
}
