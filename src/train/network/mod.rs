//! Networks: a data set becomes rows, rows become weights, weights become a model; and models are pruned turn by turn.

mod prune;
mod rows;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::{Value, json};

use super::evaluate::Pace;
use super::parts::Parts;
use super::{Leave, Run, TrainError, evaluate, unfit};
use crate::dataset::Dataset;
use crate::job::{Progress, Step, Warning};
use crate::model::{self, Model, NetworkCard, NetworkModel, NetworkSparsity, TIME_LIMIT};
use crate::network::{
    self, Activation, Compact, Data, Halt, Hands, Network, Optimizer, Options, Penalty, Start, Target, Trained, Unfit, train,
};
use crate::spec::{self, NetworkLoss, NetworkPenaltyType, ResolvedNetwork};

pub use prune::{PrunedNetwork, prune_network};
pub(super) use rows::Scaling;

/// 1 is said with the stored model, by the store.
const FRACTION_MAX: f64 = 0.99;

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
    fn of(dataset: &Dataset, loss: NetworkLoss, weights: Option<&[f64]>, learnt: &[u32]) -> Result<Self, TrainError> {
        let unfitting = || unfit("invalid_target", "The target is not what the loss asks for.");
        match (loss, dataset.meta.target.classes.as_deref()) {
            (NetworkLoss::Squared, None) => {
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
            (NetworkLoss::Logistic, Some([_, _])) => Ok(Self::Signs(dataset.y.iter().map(|y| if *y > 0.0 { 1.0 } else { -1.0 }).collect())),
            (NetworkLoss::Multinomial, Some(classes)) => {
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
    let Trained { network, epochs, best, halted } = train(&data, start, &options, &hands(run), &|at| tracker.tell(at))?;
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
    let train = judge.measures(&model, &parts.learnt)?;
    let held_out = judge.measures(&model, &parts.held_out)?;
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

/// Measures models on some rows of a data set.
struct Judge<'j> {
    dataset: &'j Dataset,
    weights: Option<&'j [f64]>,
    names: Option<&'j crate::dataset::Names>,
    observe: &'j (dyn Fn(&Progress) -> ControlFlow<Leave> + Sync),
}

impl Judge<'_> {
    /// The measures of an evaluation on these rows alone; `null` where none has weight.
    fn measures(&self, model: &NetworkModel, rows: &[u32]) -> Result<Value, TrainError> {
        let mut weights = vec![0.0; self.dataset.y.len()];
        for row in rows {
            weights[*row as usize] = self.weights.map_or(1.0, |weights| weights[*row as usize]);
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            return Ok(Value::Null);
        }
        let only = Dataset { weights: Some(weights.into()), ..self.dataset.clone() };
        let whole = Model::Network(model.clone());
        Ok(evaluate(&only, &whole, self.names, self.observe)?.metrics)
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
        NetworkLoss::Squared => "½(y_i − f_i)², y centred and scaled to a standard deviation of 1",
        NetworkLoss::Logistic => "log(1 + exp(−y_i·f_i)), y = ±1",
        NetworkLoss::Multinomial => "−log softmax(f_i)[y_i]",
    };
    let penalty = match spec.penalty.kind {
        NetworkPenaltyType::None => "",
        NetworkPenaltyType::L1 => " + λ·Σ|w|",
        NetworkPenaltyType::GroupL1 => " + λ·Σ_g √k_g·‖w_g‖₂, g the weights that leave an input or a hidden unit",
        NetworkPenaltyType::L2 => " + ½·λ·Σw²",
    };
    format!("(1/Σs) Σ s_i·loss_i{penalty}; loss = {loss}; inputs scaled to a root mean square of 1 where they are not 0")
}

/// Tells how far the epochs are, and whether to go on.
struct Tracker<'r> {
    run: &'r Run<'r>,
    name: &'static str,
    total: u64,
    /// Epochs of earlier turns.
    before: AtomicU64,
    /// Bits of the largest fraction told, which never falls.
    reached: AtomicU64,
    best_is_wanted: AtomicBool,
}

impl<'r> Tracker<'r> {
    fn new(run: &'r Run<'r>, name: &'static str, total: u64) -> Self {
        Self {
            run,
            name,
            total: total.max(1),
            before: AtomicU64::new(0),
            reached: AtomicU64::new(0),
            best_is_wanted: AtomicBool::new(false),
        }
    }

    /// So many epochs more are behind.
    fn passed(&self, epochs: u64) {
        self.before.fetch_add(epochs, Ordering::Relaxed);
    }

    fn tell(&self, at: &network::Progress) -> ControlFlow<Halt> {
        let share = ((self.before.load(Ordering::Relaxed) as f64 + at.epoch as f64 + at.part.clamp(0.0, 1.0)) / self.total as f64).min(1.0);
        // bits of positive doubles are ordered as they are
        let share = share.max(f64::from_bits(self.reached.fetch_max(share.to_bits(), Ordering::Relaxed)));
        let done = ((share * self.total as f64 + 1e-9) as u64).min(self.total);
        let steps = vec![Step { name: self.name.into(), done, total: self.total }];
        let fraction = share.min(FRACTION_MAX);
        match (self.run.observe)(&Progress { fraction, eta_s: None, steps, current: None }) {
            ControlFlow::Continue(()) => ControlFlow::Continue(()),
            ControlFlow::Break(Leave::Best) => {
                self.best_is_wanted.store(true, Ordering::Relaxed);
                ControlFlow::Break(Halt::Keep)
            }
            ControlFlow::Break(_) => ControlFlow::Break(Halt::Discard),
        }
    }

    /// Asks whether to go on while something else than epochs is done.
    fn quietly(&self) -> impl Fn(&Progress) -> ControlFlow<Leave> + Sync {
        |_: &Progress| match self.tell(&network::Progress::default()) {
            ControlFlow::Break(Halt::Discard) => ControlFlow::Break(Leave::Nothing),
            _ => ControlFlow::Continue(()),
        }
    }
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
