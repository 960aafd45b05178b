//! The specification of a pruning: which stored tree or network, and how much of it is cut. Knows of the model only what its row says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::evaluate::check_matches;
use super::fields::{Fields, Problems, WHOLE_MAX, show};
use super::limits::parse_limits;
use super::removal::{self, Removal, RemovalMethod, parse_removal};
use super::{KnownModel, ModelRef, OnLimit, Rule, RunLimits, SpecLimits};
use crate::dataset::Meta;
use crate::fault::{Code, Fault, Place};

const BASE: &str = "#/spec/base";
const AMOUNT: &str = "#/spec/amount";
const LEAVES_MAX: u64 = u32::MAX as u64;
/// All methods; the first two are those of trees.
const METHODS: [&str; 7] =
    ["ccp", "reduced_error", "l1_unstructured", "ln_structured", "random_unstructured", "global_unstructured", "inputs"];
/// What says how much is cut; of the method `ccp` one of them.
const CHOICES: [&str; 4] = ["ccp_alpha", "target_leaves", "amount", "selection"];

/// A pruning as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct PruneSpec {
    /// The tree or network to be pruned.
    pub base: ModelRef,
    method: PruneMethod,
    /// As it was told when a job is sent again.
    base_size: Option<u64>,
    pub(super) limits: RunLimits,
}

/// A pruning with nothing left open: stored with the job, echoed as `spec_resolved`, read by the worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedPrune {
    /// The model version: `name:n`.
    pub base: String,
    /// Leaves of the tree that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_leaves: Option<u64>,
    /// Weights of the network that it is, zeros with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_weights: Option<u64>,
    /// How it is pruned.
    #[serde(flatten)]
    pub method: PruneMethod,
    /// Bounds on the run.
    pub limits: RunLimits,
}

/// How a tree or a network is pruned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum PruneMethod {
    /// Along the path of weakest links.
    Ccp(Ccp),
    /// From the leaves up, a branch stays only where it predicts the job's rows better than its root alone.
    ReducedError,
    /// Of every layer of a network its smallest weights.
    L1Unstructured(Removal),
    /// Of every hidden layer of a network the neurons whose weights have the smallest norm.
    LnStructured(Removal),
    /// Of every layer of a network any weights.
    RandomUnstructured(Removal),
    /// The smallest weights of all layers of a network together.
    GlobalUnstructured(Removal),
    /// The inputs of a network whose weights have the smallest norm.
    Inputs(Removal),
}

impl PruneMethod {
    /// What is removed of a network, and how; `None` of a tree.
    pub fn removal(&self) -> Option<(RemovalMethod, &Removal)> {
        match self {
            Self::Ccp(_) | Self::ReducedError => None,
            Self::L1Unstructured(removal) => Some((RemovalMethod::L1Unstructured, removal)),
            Self::LnStructured(removal) => Some((RemovalMethod::LnStructured, removal)),
            Self::RandomUnstructured(removal) => Some((RemovalMethod::RandomUnstructured, removal)),
            Self::GlobalUnstructured(removal) => Some((RemovalMethod::GlobalUnstructured, removal)),
            Self::Inputs(removal) => Some((RemovalMethod::Inputs, removal)),
        }
    }

    fn of(method: RemovalMethod, removal: Removal) -> Self {
        match method {
            RemovalMethod::L1Unstructured => Self::L1Unstructured(removal),
            RemovalMethod::LnStructured => Self::LnStructured(removal),
            RemovalMethod::RandomUnstructured => Self::RandomUnstructured(removal),
            RemovalMethod::GlobalUnstructured => Self::GlobalUnstructured(removal),
            RemovalMethod::Inputs => Self::Inputs(removal),
        }
    }
}

/// Which tree of the path: one of the first four, or none of them and a loss; with a loss no smaller one than loses so much.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ccp {
    /// The tree that makes R(T) + α·leaves least; in units of the criterion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ccp_alpha: Option<f64>,
    /// The largest of at most so many leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_leaves: Option<u64>,
    /// At least so many leaves fewer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// The one with the best score on the job's rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<HeldOutScore>,
    /// The most that the score on the job's rows may fall, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_quality_loss: Option<f64>,
}

/// How large the model to be pruned is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BaseSize {
    Tree {
        leaves: u64,
    },
    /// Weights of all layers, zeros too; units of the hidden layers; inputs.
    Network {
        weights: u64,
        neurons: u64,
        inputs: u64,
    },
    /// A model that cannot be pruned.
    Other,
}

/// Leaves, weights, neurons or inputs to be cut.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amount {
    /// So many, at least 1.
    Count(u64),
    /// This share of them, between 0 and 1.
    Share(f64),
}

/// Chosen by the score on the job's rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutScore {
    /// `holdout`: all rows of the job's data set are.
    pub method: String,
    /// `min`: the best; `1se`: the smallest within one standard error of it.
    pub rule: Rule,
}

/// Parses `spec` of a pruning.
pub(super) fn parse_prune(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<PruneSpec> {
    let mut spec = Fields::open(value, "#/spec", problems)?;
    let text = spec.need("base", problems).and(spec.text("base", problems));
    let base = text.and_then(|text| {
        let base = ModelRef::parse(text);
        if base.is_none() {
            problems.add(BASE, "invalid_field", "must be a model reference: `name`, `name:3` or `name@alias`");
        }
        base
    });
    let method = spec.need("method", problems).and(spec.word("method", &METHODS, problems));
    let of_network = method.and_then(|method| RemovalMethod::ALL.into_iter().find(|one| one.name() == method));
    let ccp = Ccp {
        ccp_alpha: spec.number("ccp_alpha", "at least 0", |alpha| alpha.is_finite() && alpha >= 0.0, problems),
        target_leaves: spec.whole("target_leaves", 1, LEAVES_MAX, problems),
        amount: if of_network.is_some() { None } else { parse_amount(&mut spec, problems) },
        selection: spec.take("selection").and_then(|value| parse_selection(value, problems)),
        max_quality_loss: spec.number("max_quality_loss", "at least 0", |loss| loss.is_finite() && loss >= 0.0, problems),
    };
    let base_leaves = spec.whole("base_leaves", 1, LEAVES_MAX, problems);
    let base_weights = spec.whole("base_weights", 1, WHOLE_MAX, problems);
    let given = |key: &&str| value.get(key).is_some();
    let removal = match of_network {
        Some(method) => Some((method, parse_removal(&mut spec, ccp.max_quality_loss, problems))),
        None => {
            for key in removal::KEYS.iter().filter(|key| given(key)) {
                spec.take(key);
                problems.add(&spec.at(key), "conflict", "has no meaning where a tree is pruned");
            }
            None
        }
    };
    match method {
        Some("ccp") => match CHOICES.iter().filter(|key| given(key)).collect::<Vec<_>>().as_slice() {
            [] if value.get("max_quality_loss").is_none() => {
                let detail =
                    format!("the method ccp needs one of {}, or `max_quality_loss`", CHOICES.map(|key| format!("`{key}`")).join(", "));
                problems.add("#/spec", "missing", detail);
            }
            [first, more @ ..] => more.iter().for_each(|key| {
                problems.add(&spec.at(key), "conflict", format!("`{first}` says already how much is cut; give one of them"));
            }),
            [] => {}
        },
        Some(_) if of_network.is_some() => CHOICES.iter().filter(|key| **key != "amount" && given(key)).for_each(|key| {
            problems.add(&spec.at(key), "conflict", "has no meaning where a network is pruned");
        }),
        Some(_) => CHOICES.iter().chain(&["max_quality_loss"]).filter(|key| given(key)).for_each(|key| {
            problems.add(&spec.at(key), "conflict", "has no meaning with the method reduced_error: the rows say how much is cut");
        }),
        None => {}
    }
    let run =
        spec.take("limits").map_or_else(|| Some(RunLimits::default()), |value| parse_limits(value, "#/spec/limits", limits, problems));
    spec.close(problems);
    let method = match (method?, removal) {
        (_, Some((method, removal))) => PruneMethod::of(method, removal?),
        ("ccp", None) => PruneMethod::Ccp(ccp),
        _ => PruneMethod::ReducedError,
    };
    Some(PruneSpec { base: base?, method, base_size: base_leaves.or(base_weights), limits: run? })
}

pub(super) fn parse_amount(spec: &mut Fields<'_>, problems: &mut Problems) -> Option<Amount> {
    let legal = |number: f64| number > 0.0 && number <= LEAVES_MAX as f64 && (number < 1.0 || number.fract() == 0.0);
    let range = "a share between 0 and 1, or a whole number from 1";
    let number = spec.number("amount", range, legal, problems)?;
    Some(if number < 1.0 { Amount::Share(number) } else { Amount::Count(number as u64) })
}

fn parse_selection(value: &Value, problems: &mut Problems) -> Option<HeldOutScore> {
    let mut selection = Fields::open(value, "#/spec/selection", problems)?;
    let method = selection.need("method", problems).and(selection.word("method", &["holdout"], problems));
    let rule = if selection.word("rule", &["min", "1se"], problems) == Some("1se") { Rule::OneSe } else { Rule::Min };
    selection.close(problems);
    Some(HeldOutScore { method: method?.to_owned(), rule })
}

impl PruneSpec {
    /// Compares the model, which is so large, with the specification and the data set.
    ///
    /// # Errors
    /// `invalid_target` where the target is not what the model predicts; `invalid_parameter` where the model is not what the method
    /// prunes, where features cannot be told which is which, or where a number or limit means nothing for this model.
    pub fn resolve(&self, base: &KnownModel<'_>, size: BaseSize, meta: &Meta) -> Result<ResolvedPrune, Fault> {
        let (size, sizes) = match (size, self.method.removal()) {
            (BaseSize::Tree { leaves }, None) => (leaves, "leaves"),
            (BaseSize::Network { weights, neurons, inputs }, Some((method, removal))) => {
                removal.check(match method {
                    RemovalMethod::LnStructured => (neurons, "hidden neurons"),
                    RemovalMethod::Inputs => (inputs, "inputs"),
                    _ => (weights, "weights"),
                })?;
                (weights, "weights")
            }
            (_, None) => {
                return Err(conflict(BASE, "conflict", format!("a {} model has no leaves to prune; it must be a tree", base.kind)));
            }
            (_, Some((method, _))) => {
                let detail = format!("{} prunes networks, and this is a {} model", method.name(), base.kind);
                return Err(conflict(BASE, "conflict", detail));
            }
        };
        if self.limits.on_limit == OnLimit::KeepBest {
            return Err(conflict(
                "#/limits/on_limit",
                "conflict",
                "keep_best has no meaning here: nothing is pruned before all is measured",
            ));
        }
        if let Some(told) = self.base_size.filter(|told| *told != size) {
            let detail = format!("{} has {size} {sizes}, not {told}", base.reference);
            return Err(conflict(&format!("#/spec/base_{sizes}"), "conflict", detail));
        }
        if let PruneMethod::Ccp(Ccp { amount: Some(Amount::Count(count)), .. }) = self.method
            && count >= size
        {
            let detail = format!("must be below {size}, the leaves of {}: one is always left; got {}", base.reference, show(&count.into()));
            return Err(conflict(AMOUNT, "out_of_range", detail));
        }
        check_matches(base, meta, BASE)?;
        let is_tree = sizes == "leaves";
        Ok(ResolvedPrune {
            base: base.reference.to_owned(),
            base_leaves: is_tree.then_some(size),
            base_weights: (!is_tree).then_some(size),
            method: self.method.clone(),
            limits: self.limits.clone(),
        })
    }
}

pub(super) fn conflict(pointer: &str, code: &'static str, detail: impl Into<String>) -> Fault {
    Fault::at(Code::InvalidParameter, Place::pointer(pointer, code, detail))
}

impl Amount {
    /// The most leaves that are kept of so many: at least one.
    pub fn keeps(self, leaves: u64) -> u64 {
        match self {
            Self::Count(count) => leaves.saturating_sub(count),
            // a share such as 0.9 is not exact, and 10 leaves less 0.9 of them is one
            Self::Share(share) => ((1.0 - share) * leaves as f64 + 1e-9) as u64,
        }
        .max(1)
    }
}
