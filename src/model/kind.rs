//! A model of any kind: what all have in common, whatever a model is made of.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ensemble::{self, EnsembleCard, EnsembleModel};
use super::frame::{Start, damaged};
use super::network::{self, NetworkCard, NetworkModel, NetworkPath};
use super::rules::{self, RulesCard, RulesModel};
use super::tree::{self, TreeCard, TreeModel, TreePath};
use super::{Cv, Distilled, LinearCard, LinearModel, PathPoints, PathRow, Tradeoff, container};
use crate::dataset::{Class, Damaged};
use crate::job::Warning;

/// A model version's content.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // there is one of it, behind a shared pointer
pub enum Model {
    /// Coefficients.
    Linear(LinearModel),
    /// A decision tree.
    Tree(TreeModel),
    /// Rules with coefficients.
    Rules(RulesModel),
    /// Layers of weights.
    Network(NetworkModel),
    /// Trees that are added up.
    Ensemble(EnsembleModel),
}

/// Everything of a model version but its arrays and its place in the store (name, version, ids, times).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Card {
    /// Of coefficients.
    Linear(Box<LinearCard>),
    /// Of a decision tree.
    Tree(Box<TreeCard>),
    /// Of rules.
    Rules(Box<RulesCard>),
    /// Of layers of weights.
    Network(Box<NetworkCard>),
    /// Of trees that are added up.
    Ensemble(Box<EnsembleCard>),
}

/// What was solved on the way to a model: every other point of it could have been the model.
#[derive(Clone, Debug, PartialEq)]
pub enum KeptPath {
    /// Coefficients of every λ.
    Linear(PathPoints),
    /// Prunings of a tree.
    Tree(TreePath),
    /// Prunings of a network.
    Network(NetworkPath),
}

impl Model {
    /// The stored form: self-describing, versioned, the same bytes for the same model.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Linear(model) => model.encode(),
            Self::Tree(model) => model.encode(),
            Self::Rules(model) => model.encode(),
            Self::Network(model) => model.encode(),
            Self::Ensemble(model) => model.encode(),
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// The bytes are none that was written, or not all of them.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let start = Start::read(bytes)?;
        let version = |known: u32| start.version == u64::from(known);
        if version(tree::VERSION) {
            TreeModel::read(bytes, &start).map(Self::Tree)
        } else if version(rules::VERSION) {
            RulesModel::read(bytes, &start).map(Self::Rules)
        } else if version(network::VERSION) {
            NetworkModel::read(bytes, &start).map(Self::Network)
        } else if version(ensemble::VERSION) {
            EnsembleModel::read(bytes, &start).map(Self::Ensemble)
        } else if version(container::VERSION) || version(container::VERSION_OF_CLASSES) {
            LinearModel::read(bytes, &start).map(Self::Linear)
        } else {
            Err(damaged("its version is not known"))
        }
    }

    /// What must hold of every model before it is stored.
    pub fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Linear(model) => model.check(),
            Self::Tree(model) => model.check(),
            Self::Rules(model) => model.check(),
            Self::Network(model) => model.check(),
            Self::Ensemble(model) => model.check(),
        }
    }

    /// Everything but its arrays.
    pub fn card(&self) -> Card {
        match self {
            Self::Linear(model) => Card::Linear(Box::new(model.card.clone())),
            Self::Tree(model) => Card::Tree(Box::new(model.card.clone())),
            Self::Rules(model) => Card::Rules(Box::new(model.card.clone())),
            Self::Network(model) => Card::Network(Box::new(model.card.clone())),
            Self::Ensemble(model) => Card::Ensemble(Box::new(model.card.clone())),
        }
    }

    /// The coefficients, if it is made of them.
    pub fn linear(&self) -> Option<&LinearModel> {
        if let Self::Linear(model) = self { Some(model) } else { None }
    }

    /// The tree, if it is one.
    pub fn tree(&self) -> Option<&TreeModel> {
        if let Self::Tree(model) = self { Some(model) } else { None }
    }

    /// The features that a prediction looks at, rising.
    pub fn features_used(&self) -> Vec<u32> {
        match self {
            Self::Linear(model) => {
                let mut used = model.indices.clone();
                used.dedup();
                used
            }
            Self::Tree(model) => model.nodes.features_used(),
            Self::Rules(model) => model.features_used(),
            Self::Network(model) => model.inputs.clone(),
            Self::Ensemble(model) => model.trees.features_used(),
        }
    }

    /// The rules, if it is made of them.
    pub fn rules(&self) -> Option<&RulesModel> {
        if let Self::Rules(model) = self { Some(model) } else { None }
    }

    /// The network, if it is one.
    pub fn network(&self) -> Option<&NetworkModel> {
        if let Self::Network(model) = self { Some(model) } else { None }
    }

    /// The ensemble, if it is one.
    pub fn ensemble(&self) -> Option<&EnsembleModel> {
        if let Self::Ensemble(model) = self { Some(model) } else { None }
    }

    /// The path of λ that it was chosen from, where a penalty made it.
    pub fn lambda_path(&self) -> Option<LambdaPath<'_>> {
        match self {
            Self::Linear(LinearModel { card, path, cv, .. }) => {
                let selection = card.selection.as_ref();
                Some(LambdaPath { rows: path, lambda: card.lambda, cv: cv.as_ref(), selection, loss: &card.loss, sizes: "non-zeros" })
            }
            Self::Rules(RulesModel { card, path, cv, .. }) => {
                let selection = card.selection.as_ref();
                Some(LambdaPath { rows: path, lambda: card.lambda, cv: cv.as_ref(), selection, loss: &card.loss, sizes: "terms" })
            }
            Self::Tree(_) | Self::Network(_) | Self::Ensemble(_) => None,
        }
    }

    /// What smallness costs along the path the model was chosen from; `kept` is what was stored of it. `None` without a path.
    pub fn traded(&self, kept: Option<&KeptPath>) -> Option<Traded> {
        match (self.lambda_path(), self) {
            (Some(path), _) if path.rows.len() > 1 => {
                Some(Traded { tradeoff: path.tradeoff(), selected: path.selected(), sizes: path.sizes })
            }
            (None, Self::Tree(tree)) => {
                let path = kept.and_then(KeptPath::tree).filter(|path| path.rows.len() > 1)?;
                let tradeoff = Tradeoff::of_prunings(&path.rows, path.cv.as_ref(), tree.train_score());
                let tradeoff = path.cv.iter().fold(tradeoff, |found, cv| found.chosen_by(cv.index_min, cv.index_1se));
                let selected = path.selected(&tree.card).and_then(|at| usize::try_from(at).ok());
                Some(Traded { tradeoff, selected, sizes: "leaves" })
            }
            (None, Self::Network(network)) => {
                let path = kept.and_then(KeptPath::network).filter(|path| path.rows.len() > 1)?;
                let tradeoff = Tradeoff::of_networks(&path.rows, network.score());
                Some(Traded { tradeoff, selected: usize::try_from(path.selected).ok(), sizes: "non-zero weights" })
            }
            (None, Self::Ensemble(ensemble)) => {
                let selected = ensemble.card.selection.as_ref().and_then(|selection| usize::try_from(selection.best_round).ok());
                Some(Traded { tradeoff: ensemble.tradeoff()?, selected, sizes: "leaves" })
            }
            _ => None,
        }
    }

    /// What to beware of.
    pub fn warnings(&self) -> &[Warning] {
        match self {
            Self::Linear(model) => &model.card.warnings,
            Self::Tree(model) => &model.card.warnings,
            Self::Rules(model) => &model.card.warnings,
            Self::Network(model) => &model.card.warnings,
            Self::Ensemble(model) => &model.card.warnings,
        }
    }

    /// Says of a model that it was taught, what is true of it on the rows of the data set (`metrics.train` and `metrics.holdout`), and of what
    /// else to beware.
    pub fn say_taught(&mut self, distilled: Distilled, train: Value, holdout: Value, more: Vec<Warning>) {
        let (told, metrics, warnings) = match self {
            Self::Linear(model) => (&mut model.card.distilled, &mut model.card.metrics, &mut model.card.warnings),
            Self::Tree(model) => (&mut model.card.distilled, &mut model.card.metrics, &mut model.card.warnings),
            Self::Rules(model) => (&mut model.card.distilled, &mut model.card.metrics, &mut model.card.warnings),
            Self::Network(model) => (&mut model.card.distilled, &mut model.card.metrics, &mut model.card.warnings),
            Self::Ensemble(model) => (&mut model.card.distilled, &mut model.card.metrics, &mut model.card.warnings),
        };
        *told = Some(distilled);
        (metrics["train"], metrics["holdout"]) = (train, holdout);
        warnings.extend(more);
    }
}

/// A model among those it was chosen from.
#[derive(Clone, Debug)]
pub struct Traded {
    /// All of them, and which have a name.
    pub tradeoff: Tradeoff,
    /// The model's own place.
    pub selected: Option<usize>,
    /// What a size counts.
    pub sizes: &'static str,
}

/// What linear models and rules have in common: they were chosen along a path of λ.
#[derive(Clone, Copy, Debug)]
pub struct LambdaPath<'a> {
    /// Largest λ first; one row for a single λ.
    pub rows: &'a [PathRow],
    /// That of the model.
    pub lambda: f64,
    /// What chose it, if rows were held out.
    pub cv: Option<&'a Cv>,
    /// How it was chosen.
    pub selection: Option<&'a Value>,
    /// The loss that was made small.
    pub loss: &'a str,
    /// What `nonzeros` of a row counts: non-zeros, or rules and linear terms.
    pub sizes: &'static str,
}

impl LambdaPath<'_> {
    /// The position of the model.
    pub fn selected(&self) -> Option<usize> {
        self.rows.iter().position(|row| row.lambda == self.lambda)
    }

    /// What smallness costs along it.
    pub fn tradeoff(&self) -> Tradeoff {
        let method = self.selection.and_then(|selection| selection["method"].as_str());
        let found = Tradeoff::of_path(self.rows, self.cv.map(|cv| cv.metric.as_str()).or(method));
        match self.cv {
            Some(cv) => found.chosen_by(cv.index_min, cv.index_1se),
            None => found,
        }
    }
}

impl Card {
    /// How the kind is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Linear(_) => "linear",
            Self::Tree(_) => "tree",
            Self::Rules(_) => "rules",
            Self::Network(_) => "network",
            Self::Ensemble(_) => "ensemble",
        }
    }

    /// The same in a sentence: `a linear model`, `an ensemble model`.
    pub fn noun(&self) -> String {
        let kind = self.kind();
        format!("{} {kind} model", if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" })
    }

    /// What of a linear model, if it is one.
    pub fn linear(&self) -> Option<&LinearCard> {
        if let Self::Linear(card) = self { Some(card) } else { None }
    }

    /// What it makes small in each row: the loss, or the impurity of a leaf.
    pub fn loss(&self) -> &str {
        match self {
            Self::Linear(card) => &card.loss,
            Self::Tree(card) => &card.criterion,
            Self::Rules(card) => &card.loss,
            Self::Network(card) => card.fit.loss.name(),
            Self::Ensemble(card) => card.fit.loss.name(),
        }
    }

    /// The classes it tells apart, in the order of its probabilities; one class against the rest has `None` for the rest.
    pub fn classes(&self) -> Option<Cow<'_, [Option<Class>]>> {
        match self {
            Self::Linear(card) => card.classes.as_deref().map(Cow::Borrowed),
            Self::Tree(card) => card.classes.as_ref().map(|classes| classes.iter().cloned().map(Some).collect()),
            Self::Rules(card) => card.classes.as_deref().map(Cow::Borrowed),
            Self::Network(card) => card.classes.as_ref().map(|classes| classes.iter().cloned().map(Some).collect()),
            Self::Ensemble(card) => card.classes.as_ref().map(|classes| classes.iter().cloned().map(Some).collect()),
        }
    }

    /// What makes it large: non-zeros, leaves, rules, or non-zero weights.
    pub fn size(&self) -> u64 {
        match self {
            Self::Linear(card) => card.sparsity.nonzeros,
            Self::Tree(card) => card.sparsity.size,
            Self::Rules(card) => card.sparsity.size,
            Self::Network(card) => card.sparsity.size,
            Self::Ensemble(card) => card.sparsity.size,
        }
    }

    /// Version of the program that made it.
    pub fn made_by(&self) -> &Value {
        match self {
            Self::Linear(card) => &card.engine,
            Self::Tree(card) => &card.engine,
            Self::Rules(card) => &card.engine,
            Self::Network(card) => &card.engine,
            Self::Ensemble(card) => &card.engine,
        }
    }

    /// Who taught it, if a job did that.
    pub fn distilled(&self) -> Option<&Distilled> {
        match self {
            Self::Linear(card) => card.distilled.as_ref(),
            Self::Tree(card) => card.distilled.as_ref(),
            Self::Rules(card) => card.distilled.as_ref(),
            Self::Network(card) => card.distilled.as_ref(),
            Self::Ensemble(card) => card.distilled.as_ref(),
        }
    }

    /// The version, `name:n`, from whose path it was promoted, if it was.
    pub fn promoted_from(&self) -> Option<&str> {
        match self {
            Self::Linear(card) => card.promoted_from.as_deref(),
            Self::Tree(card) => card.promoted_from.as_deref(),
            Self::Rules(card) => card.promoted_from.as_deref(),
            Self::Network(card) => card.promoted_from.as_deref(),
            Self::Ensemble(card) => card.promoted_from.as_deref(),
        }
    }

    /// The same, to be said of a model.
    pub fn promoted_from_mut(&mut self) -> &mut Option<String> {
        match self {
            Self::Linear(card) => &mut card.promoted_from,
            Self::Tree(card) => &mut card.promoted_from,
            Self::Rules(card) => &mut card.promoted_from,
            Self::Network(card) => &mut card.promoted_from,
            Self::Ensemble(card) => &mut card.promoted_from,
        }
    }
}

impl KeptPath {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Linear(points) => points.encode(),
            Self::Tree(path) => path.encode(),
            Self::Network(path) => path.encode(),
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// The bytes are none that was written, or not all of them.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        if TreePath::is_one(bytes) {
            TreePath::decode(bytes).map(Self::Tree)
        } else if NetworkPath::is_one(bytes) {
            NetworkPath::decode(bytes).map(Self::Network)
        } else {
            PathPoints::decode(bytes).map(Self::Linear)
        }
    }

    /// The coefficients of every λ, if it is made of them.
    pub fn linear(&self) -> Option<&PathPoints> {
        if let Self::Linear(points) = self { Some(points) } else { None }
    }

    /// The prunings, if it is made of them.
    pub fn tree(&self) -> Option<&TreePath> {
        if let Self::Tree(path) = self { Some(path) } else { None }
    }

    /// The prunings of a network, if it is made of them.
    pub fn network(&self) -> Option<&NetworkPath> {
        if let Self::Network(path) = self { Some(path) } else { None }
    }
}
