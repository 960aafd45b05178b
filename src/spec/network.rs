//! The specification of a network: its layers, and how they are trained.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX, show};
use super::limits::parse_limits;
use super::parse_fit::parse_weights;
use super::trained::{EarlyStopping, NaturalLoss, check_held_out, natural_loss, parse_early_stopping, parse_natural_loss};
use super::{AskedWeights, RunLimits, SpecLimits};
use crate::dataset::Meta;
use crate::fault::Fault;
use crate::job::Warning;

const HIDDEN: &str = "#/spec/hidden";
/// Hidden layers.
const DEPTH_MAX: usize = 3;
/// Units of a hidden layer.
const WIDTH_MAX: u64 = 4096;
/// Weights that a network may have before anything is removed.
const WEIGHTS_MAX: u64 = 1 << 28;
const EPOCHS_MAX: u64 = 10_000;
const BATCH_MAX: u64 = 1 << 16;

/// What a hidden unit makes of its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Activation {
    Relu,
    Tanh,
}

/// How steps follow from gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Optimizer {
    /// Kingma & Ba 2015, with their decay rates 0.9 and 0.999.
    Adam {
        /// Length of a step.
        learning_rate: f64,
    },
    /// Stochastic gradients.
    Sgd {
        /// Length of a step.
        learning_rate: f64,
        /// Share of the last step that the next one keeps.
        momentum: f64,
    },
}

/// What is added to the mean loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum NetworkPenaltyType {
    None,
    L1,
    /// Of the first layer, all weights of an input together; of the layers after it, all weights of a unit.
    GroupL1,
    L2,
}

/// A penalty on the weights, not the biases; its steps are proximal, so that zeros are exact.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct NetworkPenalty {
    #[serde(rename = "type")]
    pub kind: NetworkPenaltyType,
    /// Per unit of mean loss.
    pub lambda: f64,
}

/// A network as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSpec {
    loss: Option<NaturalLoss>,
    hidden: Vec<u64>,
    activation: Activation,
    optimizer: Optimizer,
    penalty: NetworkPenalty,
    epochs: u64,
    batch_size: u64,
    seed: u64,
    early_stopping: Option<EarlyStopping>,
    weights: AskedWeights,
    pub(super) limits: RunLimits,
}

/// A network with nothing left open: stored with the job, echoed as `spec_resolved`, read by the worker; and part of the model, so
/// that its training can go on where it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ResolvedNetwork {
    /// `network`.
    pub kind: String,
    pub loss: NaturalLoss,
    /// Units of each hidden layer, the first one first.
    pub hidden: Vec<u64>,
    pub activation: Activation,
    pub optimizer: Optimizer,
    pub penalty: NetworkPenalty,
    pub epochs: u64,
    pub batch_size: u64,
    pub seed: u64,
    pub early_stopping: Option<EarlyStopping>,
    /// Whether stored sample weights are used.
    pub weights: bool,
    pub limits: RunLimits,
}

impl ResolvedNetwork {
    /// Weights between all layers, of `n_features` inputs and `n_outputs` outputs, before anything is removed.
    pub fn n_weights(&self, n_features: u64, n_outputs: u64) -> u64 {
        let widths: Vec<u64> = std::iter::once(n_features).chain(self.hidden.iter().copied()).chain([n_outputs]).collect();
        widths.windows(2).fold(0, |sum, pair| sum.saturating_add(pair[0].saturating_mul(pair[1])))
    }
}

/// Outputs of a network for this target.
pub(super) fn n_outputs(meta: &Meta) -> u64 {
    meta.target.classes.as_ref().map_or(1, |classes| if classes.len() == 2 { 1 } else { classes.len() as u64 })
}

/// Parses `spec` of a network.
pub(super) fn parse_network(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<NetworkSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    spec.word("kind", &["network"], problems);
    let loss = parse_natural_loss(&mut spec, problems);
    let hidden = spec.take("hidden").map_or_else(|| Some(vec![64]), |value| parse_hidden(value, problems));
    let tanh = spec.word("activation", &["relu", "tanh"], problems) == Some("tanh");
    let usual = Optimizer::Adam { learning_rate: 1e-3 };
    let optimizer = spec.take("optimizer").map_or(Some(usual), |value| parse_optimizer(value, problems));
    let none = NetworkPenalty { kind: NetworkPenaltyType::None, lambda: 0.0 };
    let penalty = spec.take("penalty").map_or(Some(none), |value| parse_penalty(value, problems));
    let epochs = spec.whole("epochs", 1, EPOCHS_MAX, problems).unwrap_or(50);
    let batch_size = spec.whole("batch_size", 1, BATCH_MAX, problems).unwrap_or(64);
    let seed = spec.whole("seed", 0, WHOLE_MAX, problems).unwrap_or(0);
    let early_stopping = parse_early_stopping(&mut spec, EarlyStopping { fraction: 0.1, patience: 5 }, problems);
    let weights = parse_weights(&mut spec, problems);
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    let activation = if tanh { Activation::Tanh } else { Activation::Relu };
    Some(NetworkSpec {
        loss,
        hidden: hidden?,
        activation,
        optimizer: optimizer?,
        penalty: penalty?,
        epochs,
        batch_size,
        seed,
        early_stopping: early_stopping?,
        weights: weights?,
        limits: run?,
    })
}

fn parse_hidden(value: &Value, problems: &mut Problems) -> Option<Vec<u64>> {
    let layers = match value.as_array() {
        Some(layers) if (1..=DEPTH_MAX).contains(&layers.len()) => layers,
        _ => {
            problems.add(HIDDEN, "invalid_field", format!("must be the units of 1 to {DEPTH_MAX} hidden layers, got {}", show(value)));
            return None;
        }
    };
    let units = |(at, layer): (usize, &Value)| {
        let units = layer.as_u64().filter(|units| (1..=WIDTH_MAX).contains(units));
        if units.is_none() {
            let detail = format!("must be a whole number from 1 to {WIDTH_MAX}, got {}", show(layer));
            problems.add(&format!("{HIDDEN}/{at}"), "out_of_range", detail);
        }
        units
    };
    layers.iter().enumerate().map(units).collect::<Vec<_>>().into_iter().collect()
}

fn parse_optimizer(value: &Value, problems: &mut Problems) -> Option<Optimizer> {
    let mut optimizer = Fields::open(value, "#/spec/optimizer", problems)?;
    let kind = optimizer.need("type", problems).and(optimizer.word("type", &["adam", "sgd"], problems));
    let learning_rate = optimizer.number("learning_rate", "above 0, at most 10", |rate| rate > 0.0 && rate <= 10.0, problems);
    let momentum = optimizer.number("momentum", "at least 0 and below 1", |share| (0.0..1.0).contains(&share), problems);
    if kind == Some("adam") && value.get("momentum").is_some() {
        problems.add(&optimizer.at("momentum"), "conflict", "has no meaning with adam, whose decay rates are 0.9 and 0.999");
    }
    optimizer.close(problems);
    Some(match kind? {
        "adam" => Optimizer::Adam { learning_rate: learning_rate.unwrap_or(1e-3) },
        _ => Optimizer::Sgd { learning_rate: learning_rate.unwrap_or(0.01), momentum: momentum.unwrap_or(0.9) },
    })
}

fn parse_penalty(value: &Value, problems: &mut Problems) -> Option<NetworkPenalty> {
    let mut penalty = Fields::open(value, "#/spec/penalty", problems)?;
    let kind = penalty.need("type", problems).and(penalty.word("type", &["none", "l1", "group_l1", "l2"], problems));
    let lambda = penalty.number("lambda", "at least 0", |lambda| lambda.is_finite() && lambda >= 0.0, problems);
    let kind = kind.map(|kind| match kind {
        "l1" => NetworkPenaltyType::L1,
        "group_l1" => NetworkPenaltyType::GroupL1,
        "l2" => NetworkPenaltyType::L2,
        _ => NetworkPenaltyType::None,
    });
    match (kind, lambda) {
        (Some(NetworkPenaltyType::None), Some(lambda)) if lambda > 0.0 => {
            problems.add(&penalty.at("lambda"), "conflict", "has no meaning without a penalty");
        }
        (Some(NetworkPenaltyType::None) | None, _) | (_, Some(_)) => {}
        (Some(_), None) if value.get("lambda").is_some() => {}
        (Some(_), None) => problems.add(&penalty.at("lambda"), "missing", "a penalty needs its `lambda`"),
    }
    penalty.close(problems);
    Some(NetworkPenalty { kind: kind?, lambda: lambda.unwrap_or(0.0) })
}

impl NetworkSpec {
    /// Compares the specification with the data set and fills every default. Pointers of faults start at `#/spec`.
    ///
    /// # Errors
    /// `invalid_target` where the target cannot serve the loss; else `invalid_parameter` with every problem.
    pub fn resolve(&self, meta: &Meta) -> Result<(ResolvedNetwork, Vec<Warning>), Fault> {
        let loss = natural_loss("a network", self.loss, meta)?;
        let (mut problems, mut warnings) = (Problems::default(), Vec::new());
        if meta.offset {
            let detail = "A network has an output of its own to learn what an offset says: it is not used.";
            warnings.push(Warning { code: "offset_ignored".into(), detail: detail.into(), features: Vec::new() });
        }
        if self.weights == AskedWeights::Required && !meta.weighted {
            problems.add("#/spec/weights", "conflict", "the data set has no weights");
        }
        check_held_out(self.early_stopping, meta, &mut problems);
        let network = ResolvedNetwork {
            kind: "network".into(),
            loss,
            hidden: self.hidden.clone(),
            activation: self.activation,
            optimizer: self.optimizer,
            penalty: self.penalty,
            epochs: self.epochs,
            batch_size: self.batch_size,
            seed: self.seed,
            early_stopping: self.early_stopping,
            weights: self.weights != AskedWeights::Ignored && meta.weighted,
            limits: self.limits.clone(),
        };
        let weights = network.n_weights(meta.stored_columns, n_outputs(meta));
        if weights > WEIGHTS_MAX {
            let detail = format!(
                "{} columns that are not all 0 and these layers make {weights} weights; at most {WEIGHTS_MAX} are trained",
                meta.stored_columns
            );
            problems.add(HIDDEN, "out_of_range", detail);
        }
        problems.into_fault().map_or(Ok((network, warnings)), Err)
    }
}
