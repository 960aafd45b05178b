//! A network made smaller turn by turn: weights go, what is left is trained on, every turn is measured on rows held out.

use serde_json::{Value, json};

use super::super::evaluate::{Matched, Pace};
use super::super::parts::{Judge, Parts};
use super::super::rounds::Tracker;
use super::super::{Base, Run, TrainError, evaluate_classes, unfit};
use super::{Scaling, Wanted, activation, hands, loss_of, measures, options, stored, told};
use crate::dataset::{Class, Dataset};
use crate::job::Warning;
use crate::model::{KeptNetwork, NetworkCard, NetworkModel, NetworkPath, NetworkPathRow, NetworkPruned};
use crate::network::{Amount, Data, Kept, Layer, Network, Options, Pruning, Start, prune, train};
use crate::spec::{self, Removal, RemovalMethod, ResolvedPrune};

/// Bytes of the networks of a path that are kept, from the sparsest on; what is more cannot be promoted.
const KEPT_MAX: u64 = 64 << 20;

/// What became of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct PrunedNetwork {
    /// What is left.
    pub model: NetworkModel,
    /// The base, and every turn.
    pub path: NetworkPath,
}

/// Makes a smaller network of a stored one. Nothing of how it is run changes the result.
///
/// # Errors
/// `observe` said to stop; the target is not what the network predicts; no row has weight; training diverged; or the weights are to be
/// set back and those of this network cannot be.
pub fn prune_network(dataset: &Dataset, base: Base<'_>, spec: &ResolvedPrune, run: &Run<'_>) -> Result<PrunedNetwork, TrainError> {
    let internal = |what: &str| unfit("internal_error", format!("The base of the pruning is {what}."));
    let whole = base.model.network().ok_or_else(|| internal("no network"))?;
    let (method, removal) = spec.method.removal().ok_or_else(|| internal("pruned as a tree is"))?;
    let schedule = &removal.schedule;
    let epochs_of_turn = schedule.fine_tune_epochs + 1;
    let tracker = Tracker::new(run, "epochs", schedule.steps * epochs_of_turn + u64::from(schedule.rewind));
    let given = Given::of(dataset, base, whole, removal, &tracker)?;
    let early = if schedule.rewind { Some(given.early(&tracker)?) } else { None };
    let mut turns = vec![given.turn(0, whole.clone(), &tracker)?];
    let (mut network, mut kept) = (given.begin.clone(), kept_of(&given.begin));
    for turn in 1..=schedule.steps {
        let turns_in_all = (turn as usize, schedule.steps as usize);
        kept = prune(&network, &kept, rule(method, removal), amount(removal.amount), turns_in_all)?;
        if let Some(early) = &early {
            network = early.clone();
        }
        let options = Options { epochs: schedule.fine_tune_epochs as usize, seed: removal.seed ^ turn, ..options(&whole.card.fit) };
        let data = Data { held_out: &[], ..given.data() };
        let start = Start::From { network: &network, kept: Some(&kept) };
        network = train(&data, start, &options, &hands(run), &|at| told(&tracker, at))?.network;
        tracker.passed(epochs_of_turn);
        let card = card_of(&whole.card, removal.seed);
        turns.push(given.turn(turn, stored(&network, &given.scaling, &whole.inputs, card), &tracker)?);
    }
    finish(turns, spec, method, removal, &given, &tracker)
}

/// What is learnt from and measured on, and the base as it is trained on.
struct Given<'g> {
    dataset: &'g Dataset,
    base: Base<'g>,
    whole: &'g NetworkModel,
    matched: Matched,
    weights: Option<&'g [f64]>,
    wanted: Wanted,
    parts: Parts,
    scaling: Scaling,
    x: crate::network::Rows,
    begin: Network,
}

impl<'g> Given<'g> {
    fn of(
        dataset: &'g Dataset,
        base: Base<'g>,
        whole: &'g NetworkModel,
        removal: &Removal,
        tracker: &Tracker<'_>,
    ) -> Result<Self, TrainError> {
        let quiet = tracker.quietly();
        let pace = Pace::new(&quiet, &["rows"]);
        let card = &whole.card;
        let matched = Matched::find(dataset, (&whole.inputs, card.sparsity.n_features), base.names, &pace)?;
        let weights = dataset.weights.as_deref().filter(|_| card.fit.weights);
        let wanted = wanted(dataset, card)?;
        let parts = Parts::of(dataset, Some(removal.holdout_fraction), removal.seed);
        let scaling = Scaling::with(dataset, &matched.pairs, &whole.scales, &pace)?;
        let x = Scaling::rows(Some(&scaling), dataset, &matched.pairs, whole.inputs.len(), &pace)?;
        let layer = |layer: &crate::model::Layer| Layer {
            inputs: layer.inputs,
            outputs: layer.outputs(),
            weights: layer.dense(),
            biases: layer.biases.clone(),
        };
        let mut begin = Network { activation: activation(card.fit.activation), layers: whole.layers.iter().map(layer).collect() };
        if let Some(first) = begin.layers.first_mut() {
            let taken = scaling.taken(&first.weights, first.outputs);
            first.biases.iter_mut().zip(taken).for_each(|(bias, taken)| *bias += taken);
        }
        Ok(Self { dataset, base, whole, matched, weights, wanted, parts, scaling, x, begin })
    }

    fn data(&self) -> Data<'_> {
        Data { x: &self.x, target: self.wanted.target(), weights: self.weights, rows: &self.parts.learnt, held_out: &self.parts.held_out }
    }

    /// The weights after the first epoch of the base's training, done again over all columns of these rows, as they are of the inputs
    /// that the base reads.
    fn early(&self, tracker: &Tracker<'_>) -> Result<Network, TrainError> {
        let fit = &self.whole.card.fit;
        let whole = self.whole.layers.iter().map(|layer| layer.outputs() as u64);
        if !whole.take(fit.hidden.len()).eq(fit.hidden.iter().copied()) {
            let detail =
                "The base has lost neurons: which of the first epoch's were those that are left is not known. Prune it without `rewind`.";
            return Err(unfit("invalid_parameter", detail));
        }
        let quiet = tracker.quietly();
        let pace = Pace::new(&quiet, &["rows"]);
        let columns = self.dataset.x.view().features.len();
        let pairs: Vec<(u32, u32)> = (0..columns as u32).map(|column| (column, column)).collect();
        let scaling = Scaling::of(self.dataset, &pairs, &pace)?;
        let x = Scaling::rows(Some(&scaling), self.dataset, &pairs, columns, &pace)?;
        let parts = Parts::of(self.dataset, fit.early_stopping.map(|early| early.fraction), fit.seed);
        let data = Data { x: &x, target: self.wanted.target(), weights: self.weights, rows: &parts.learnt, held_out: &[] };
        let hidden: Vec<usize> = fit.hidden.iter().map(|units| *units as usize).collect();
        let start = Start::Fresh { hidden: &hidden, activation: activation(fit.activation) };
        let trained = train(&data, start, &Options { epochs: 1, ..options(fit) }, &hands(tracker.run), &|at| told(tracker, at))?;
        tracker.passed(1);
        let mut early = self.begin.clone();
        let mut all = trained.network.layers.into_iter();
        if let (Some(own), Some(first)) = (early.layers.first_mut(), all.next()) {
            let width = own.outputs;
            own.weights.fill(0.0);
            for &(input, column) in &self.matched.pairs {
                let from = &first.weights[column as usize * width..][..width];
                own.weights[input as usize * width..][..width].copy_from_slice(from);
            }
            own.biases = first.biases;
        }
        early.layers.iter_mut().skip(1).zip(all).for_each(|(own, other)| *own = other);
        Ok(early)
    }

    fn turn(&self, index: u64, model: NetworkModel, tracker: &Tracker<'_>) -> Result<Turn, TrainError> {
        let quiet = tracker.quietly();
        let judge = Judge { dataset: self.dataset, weights: self.weights, names: self.base.names, observe: &quiet };
        let measures = measures(&judge, &model, &self.parts.held_out)?;
        let row = NetworkPathRow {
            index,
            sparsity_ratio: model.card.sparsity.sparsity_ratio,
            nonzeros: model.card.sparsity.nonzeros,
            score: measures["score"].as_f64(),
            bytes: model.card.sparsity.layers.iter().map(|layer| layer.bytes).sum(),
            loss: loss_of(&measures),
            features_active: model.card.sparsity.features_active,
        };
        Ok(Turn { row, measures, model })
    }
}

/// Of a layer that had several units and has one or none: everything passes through it, so that what its base told apart is gone.
fn collapsed(before: &NetworkCard, after: &NetworkCard) -> Option<Warning> {
    let units = |card: &NetworkCard| card.sparsity.layers.iter().map(|layer| layer.shape[1]).collect::<Vec<u64>>();
    let (before, after) = (units(before), units(after));
    let inner = before.len().saturating_sub(1);
    let thin = before.iter().zip(&after).take(inner).position(|(before, after)| *before > 1 && *after <= 1)?;
    let detail = format!(
        "Layer {} of {} has {} of {} units left. More turns with training between them, or l1_unstructured, which takes the same share of \
         every layer, leave it some.",
        thin + 1,
        before.len(),
        after[thin],
        before[thin]
    );
    Some(Warning { code: "layer_collapsed".into(), detail, features: Vec::new() })
}

/// A network of the path, and what was measured of it on rows held out.
struct Turn {
    row: NetworkPathRow,
    measures: Value,
    model: NetworkModel,
}

fn finish(
    turns: Vec<Turn>,
    spec: &ResolvedPrune,
    method: RemovalMethod,
    removal: &Removal,
    given: &Given<'_>,
    tracker: &Tracker<'_>,
) -> Result<PrunedNetwork, TrainError> {
    let before = turns.first().and_then(|turn| turn.row.score);
    let selected = match removal.max_quality_loss {
        None => turns.len() - 1,
        Some(most) => {
            let fine = |turn: &Turn| before.zip(turn.row.score).is_some_and(|(before, score)| score >= before - most);
            turns.iter().rposition(fine).unwrap_or(0)
        }
    };
    let Turn { row, measures, model } = &turns[selected];
    let mut model = model.clone();
    let quiet = tracker.quietly();
    let judge = Judge { dataset: given.dataset, weights: given.weights, names: given.base.names, observe: &quiet };
    let train = super::measures(&judge, &model, &given.parts.learnt)?;
    let card = &mut model.card;
    card.metrics = json!({ "train": train, "holdout": measures });
    card.selection = Some(json!({
        "method": if removal.max_quality_loss.is_some() { "max_quality_loss" } else { "amount" },
        "index": selected,
        "amount": removal.amount,
        "max_quality_loss": removal.max_quality_loss,
        "holdout_fraction": removal.holdout_fraction,
    }));
    card.pruned = Some(NetworkPruned { base: spec.base.clone(), method: method.name().into(), score_before: before, score: row.score });
    card.promoted_from = None;
    card.warnings = given.matched.warnings();
    if selected == 0 {
        let detail = "No turn kept the score within `max_quality_loss`: the network is as it was.";
        card.warnings.push(Warning { code: "nothing_pruned".into(), detail: detail.into(), features: Vec::new() });
    }
    card.warnings.extend(collapsed(&turns[0].model.card, card));
    let mut rows = Vec::with_capacity(turns.len());
    let (mut kept, mut bytes) = (Vec::with_capacity(turns.len()), 0);
    for Turn { row, model: NetworkModel { inputs, scales, layers, .. }, .. } in turns.into_iter().rev() {
        bytes += row.bytes + 12 * row.features_active;
        kept.push((bytes <= KEPT_MAX).then_some(KeptNetwork { inputs, scales, layers }));
        rows.push(row);
    }
    rows.reverse();
    kept.reverse();
    Ok(PrunedNetwork { model, path: NetworkPath { rows, kept, selected: selected as u64 } })
}

/// The target as the base sees it: its classes in its order, its centre and spread.
fn wanted(dataset: &Dataset, card: &NetworkCard) -> Result<Wanted, TrainError> {
    let Some(classes) = card.classes.as_deref() else {
        return Ok(Wanted::numbers(dataset, card.center, card.spread));
    };
    let known: Vec<Option<Class>> = classes.iter().cloned().map(Some).collect();
    let places = evaluate_classes::target(dataset, &known)?;
    Ok(match classes.len() {
        2 => Wanted::Signs(places.into_iter().map(|place| if place > 0.0 { 1.0 } else { -1.0 }).collect()),
        n => Wanted::Classes { of_row: places.into_iter().map(|place| place as u32).collect(), n },
    })
}

/// What all turns have in common with the base.
fn card_of(base: &NetworkCard, seed: u64) -> NetworkCard {
    NetworkCard {
        engine: json!({ "version": env!("CARGO_PKG_VERSION"), "seed": seed, "deterministic": true }),
        distilled: None,
        ..base.clone()
    }
}

/// What is not 0 is there.
fn kept_of(network: &Network) -> Kept {
    Kept { layers: network.layers.iter().map(|layer| layer.weights.iter().map(|weight| *weight != 0.0).collect()).collect() }
}

fn rule(method: RemovalMethod, removal: &Removal) -> Pruning {
    match method {
        RemovalMethod::L1Unstructured => Pruning::L1Unstructured,
        RemovalMethod::LnStructured => Pruning::LnStructured,
        RemovalMethod::RandomUnstructured => Pruning::RandomUnstructured { seed: removal.seed },
        RemovalMethod::GlobalUnstructured => Pruning::GlobalUnstructured,
        RemovalMethod::Inputs => Pruning::Inputs,
    }
}

fn amount(of: spec::Amount) -> Amount {
    match of {
        spec::Amount::Count(count) => Amount::Count(usize::try_from(count).unwrap_or(usize::MAX)),
        spec::Amount::Share(share) => Amount::Share(share),
    }
}
