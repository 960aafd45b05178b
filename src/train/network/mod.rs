//! Networks: a data set becomes rows, rows become weights, weights become a model; and models are pruned turn by turn.

mod prune;
mod rows;

use std::ops::ControlFlow;

use serde_json::{Value, json};

use super::evaluate::Pace;
use super::parts::{Judge, Parts};
use super::rounds::Tracker;
use super::{Leave, Run, TrainError, unfit};
use crate::dataset::Dataset;
use crate::job::Warning;
use crate::model::{self, Model, NetworkCard, NetworkModel, NetworkSparsity, TIME_LIMIT};
use crate::network::{
    self, Activation, Compact, Data, Halt, Hands, Network, Optimizer, Options, Penalty, Start, Target, Trained, Unfit, train,
};
use crate::spec::{self, NaturalLoss, NetworkPenaltyType, ResolvedNetwork};

pub use prune::{PrunedNetwork, prune_network};
pub(super) use rows::Scaling;

/// What became of a fit.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedNetwork {
    /// The network.
    pub model: NetworkModel,
    /// Epochs that were trained.
    pub epochs: u64,
    /// That whose weights are kept.
    pub best_epoch: u64,
    /// On the rows held out, where there are any and they define it.
    pub score: Option<f64>,
}

/// What is to be predicted, in the network's own terms.
enum Wanted {
    /// (y − centre) / spread.
    Numbers {
        y: Vec<f64>,
        center: f64,
        spread: f64,
    },
    /// −1 or +1.
    Signs(Vec<f64>),
    Classes {
        of_row: Vec<u32>,
        n: usize,
    },
}

impl Wanted {
    /// Of a target of two classes, of more, or of numbers that are centred and scaled over the rows that are learnt from.
    fn of(dataset: &Dataset, loss: NaturalLoss, weights: Option<&[f64]>, learnt: &[u32]) -> Result<Self, TrainError> {
        let unfitting = || unfit("invalid_target", "The target is not what the loss asks for.");
        match (loss, dataset.meta.target.classes.as_deref()) {
            (NaturalLoss::Squared, None) => {
                let weight = |row: &u32| weights.map_or(1.0, |weights| weights[*row as usize]);
                let y = |row: &u32| dataset.y[*row as usize];
                let total: f64 = learnt.iter().map(weight).sum();
                let largest = learnt.iter().map(y).fold(0.0_f64, |most, y| most.max(y.abs()));
                let unit = if largest > 0.0 { largest } else { 1.0 };
                let mean = learnt.iter().map(|row| weight(row) * (y(row) / unit)).sum::<f64>() / total;
                let about = learnt.iter().map(|row| weight(row) * (y(row) / unit - mean).powi(2)).sum::<f64>() / total;
                let (center, spread) = (mean * unit, about.sqrt() * unit);
                if !center.is_finite() {
                    return Err(unfit("invalid_weight", "All sample weights are 0."));
                }
                let spread = if spread > 0.0 && spread.is_finite() { spread } else { 1.0 };
                Ok(Self::numbers(dataset, center, spread))
            }
            (NaturalLoss::Logistic, Some([_, _])) => Ok(Self::Signs(dataset.y.iter().map(|y| if *y > 0.0 { 1.0 } else { -1.0 }).collect())),
            (NaturalLoss::Multinomial, Some(classes)) => {
                Ok(Self::Classes { of_row: dataset.y.iter().map(|y| *y as u32).collect(), n: classes.len() })
            }
            _ => Err(unfitting()),
        }
    }

    fn numbers(dataset: &Dataset, center: f64, spread: f64) -> Self {
        // halves, as the difference of two doubles may be beyond one
        let y = dataset.y.iter().map(|y| 2.0 * ((y / 2.0 - center / 2.0) / spread)).collect();
        Self::Numbers { y, center, spread }
    }

    fn target(&self) -> Target<'_> {
        match self {
            Self::Numbers { y, .. } => Target::Numbers(y),
            Self::Signs(y) => Target::Signs(y),
            Self::Classes { of_row, n } => Target::Classes { of_row, n: *n },
        }
    }
}

/// Trains a network. Nothing of how it is run changes the result.
///
/// # Errors
/// `observe` said to stop, the target is not what the loss asks for, no row has weight, or training diverged.
pub fn network(dataset: &Dataset, spec: &ResolvedNetwork, run: &Run<'_>) -> Result<TrainedNetwork, TrainError> {
    let tracker = Tracker::new(run, "epochs", spec.epochs);
    let quiet = tracker.quietly();
    let pace = Pace::new(&quiet, &["rows"]);
    let weights = dataset.weights.as_deref().filter(|_| spec.weights);
    let parts = Parts::of(dataset, spec.early_stopping.map(|early| early.fraction), spec.seed);
    let wanted = Wanted::of(dataset, spec.loss, weights, &parts.learnt)?;
    let features = dataset.x.view().features;
    let pairs: Vec<(u32, u32)> = (0..features.len() as u32).map(|column| (column, column)).collect();
    let scaling = Scaling::of(dataset, &pairs, &pace)?;
    let x = Scaling::rows(Some(&scaling), dataset, &pairs, features.len(), &pace)?;
    let data = Data { x: &x, target: wanted.target(), weights, rows: &parts.learnt, held_out: &parts.held_out };
    let hidden: Vec<usize> = spec.hidden.iter().map(|units| *units as usize).collect();
    let start = Start::Fresh { hidden: &hidden, activation: activation(spec.activation) };
    let options = Options { patience: spec.early_stopping.map(|early| early.patience as usize), ..options(spec) };
    let Trained { network, epochs, best, halted } = train(&data, start, &options, &hands(run), &|at| told(&tracker, at))?;
    drop(x);
    let mut warnings = Vec::new();
    if halted {
        let detail = format!("limits.max_runtime_s was reached after {} of {} epochs.", epochs.len(), spec.epochs);
        warnings.push(Warning { code: TIME_LIMIT.into(), detail, features: Vec::new() });
    }
    let (center, spread) = if let Wanted::Numbers { center, spread, .. } = wanted { (center, spread) } else { (0.0, 1.0) };
    let selection = spec.early_stopping.map(|early| {
        let losses: Vec<Option<f64>> = epochs.iter().map(|epoch| epoch.held_out).collect();
        json!({ "method": "early_stopping", "fraction": early.fraction, "patience": early.patience, "best_epoch": best, "held_out_loss": losses })
    });
    let card = NetworkCard {
        fit: spec.clone(),
        classes: dataset.meta.target.classes.clone(),
        center,
        spread,
        objective: objective(spec),
        sparsity: NetworkSparsity::of(&[], &[], dataset.meta.shape[1], &[], 0),
        metrics: Value::Null,
        selection,
        warnings,
        engine: json!({ "version": env!("CARGO_PKG_VERSION"), "seed": spec.seed, "deterministic": true }),
        promoted_from: None,
        distilled: None,
        pruned: None,
    };
    let mut model = stored(&network, &scaling, features, card);
    let judge = Judge { dataset, weights, names: dataset.names.as_deref(), observe: &quiet };
    let [train, held_out] = [&parts.learnt, &parts.held_out].map(|rows| measures(&judge, &model, rows));
    let (train, held_out) = (train?, held_out?);
    let score = held_out["score"].as_f64();
    model.card.metrics = if held_out.is_null() { json!({ "train": train }) } else { json!({ "train": train, "holdout": held_out }) };
    Ok(TrainedNetwork { model, epochs: epochs.len() as u64, best_epoch: best as u64, score })
}

/// The model of a network over inputs that are these `features`.
fn stored(network: &Network, scaling: &Scaling, features: &[u32], card: NetworkCard) -> NetworkModel {
    let mut network = network.clone();
    if let Some(first) = network.layers.first_mut() {
        let taken = scaling.taken(&first.weights, first.outputs);
        first.biases.iter_mut().zip(taken).for_each(|(bias, taken)| *bias -= taken);
    }
    let compact = Compact::of(&network);
    let inputs = compact.inputs.iter().map(|input| features[*input as usize]).collect();
    let scales = compact.inputs.iter().map(|input| scaling.scales[*input as usize]).collect();
    let layers = compact.layers.into_iter().map(|layer| model::Layer::of(layer.inputs, layer.biases, layer.weights));
    NetworkModel { card, inputs, scales, layers: layers.collect() }.measured()
}

/// The measures of an evaluation on these rows alone; `null` where none has weight.
fn measures(judge: &Judge<'_>, model: &NetworkModel, rows: &[u32]) -> Result<Value, TrainError> {
    judge.measures(&Model::Network(model.clone()), rows)
}

/// Tells how far the epochs are, and whether to go on.
fn told(tracker: &Tracker<'_>, at: &network::Progress) -> ControlFlow<Halt> {
    match tracker.tell(at.epoch as u64, at.part) {
        ControlFlow::Continue(()) => ControlFlow::Continue(()),
        ControlFlow::Break(Leave::Best) => ControlFlow::Break(Halt::Keep),
        ControlFlow::Break(Leave::Nothing) => ControlFlow::Break(Halt::Discard),
    }
}

/// The mean loss that was made small, of measures.
fn loss_of(measures: &Value) -> Option<f64> {
    measures["log_loss"].as_f64().or(measures["mse"].as_f64())
}

fn hands<'r>(run: &'r Run<'_>) -> Hands<'r> {
    Hands { threads: run.threads.max(1), on_thread: run.on_thread }
}

fn activation(of: spec::Activation) -> Activation {
    match of {
        spec::Activation::Relu => Activation::Relu,
        spec::Activation::Tanh => Activation::Tanh,
    }
}

fn options(spec: &ResolvedNetwork) -> Options {
    let optimizer = match spec.optimizer {
        spec::Optimizer::Adam { learning_rate } => Optimizer::Adam { learning_rate },
        spec::Optimizer::Sgd { learning_rate, momentum } => Optimizer::Sgd { learning_rate, momentum },
    };
    let penalty = match spec.penalty.kind {
        NetworkPenaltyType::None => Penalty::None,
        NetworkPenaltyType::L1 => Penalty::L1(spec.penalty.lambda),
        NetworkPenaltyType::GroupL1 => Penalty::GroupL1(spec.penalty.lambda),
        NetworkPenaltyType::L2 => Penalty::L2(spec.penalty.lambda),
    };
    let (epochs, batch_size) = (spec.epochs as usize, spec.batch_size as usize);
    Options { optimizer, penalty, epochs, batch_size, seed: spec.seed, patience: None }
}

fn objective(spec: &ResolvedNetwork) -> String {
    let loss = match spec.loss {
        NaturalLoss::Squared => "½(y_i − f_i)², y centred and scaled to a standard deviation of 1",
        NaturalLoss::Logistic => "log(1 + exp(−y_i·f_i)), y = ±1",
        NaturalLoss::Multinomial => "−log softmax(f_i)[y_i]",
    };
    let penalty = match spec.penalty.kind {
        NetworkPenaltyType::None => "",
        NetworkPenaltyType::L1 => " + λ·Σ|w|",
        NetworkPenaltyType::GroupL1 => " + λ·Σ_g √k_g·‖w_g‖₂, g the weights that leave an input or a hidden unit",
        NetworkPenaltyType::L2 => " + ½·λ·Σw²",
    };
    format!("(1/Σs) Σ s_i·loss_i{penalty}; loss = {loss}; inputs scaled to a root mean square of 1 where they are not 0")
}

impl From<Unfit> for TrainError {
    fn from(why: Unfit) -> Self {
        let code = match why {
            Unfit::Stopped => return Self::Cancelled,
            Unfit::NoWeight => "invalid_weight",
            Unfit::Range | Unfit::Diverged => "numerical_error",
            Unfit::Shape => "internal_error",
        };
        let text = why.to_string();
        let mut letters = text.chars();
        let sentence: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        unfit(code, format!("{sentence}."))
    }
}
