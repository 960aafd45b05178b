//! What a job is asked to do, by its kind: the one place that turns a kind into a specification and back.

use serde_json::Value;

use super::compare::parse_compare;
use super::distill::parse_distill;
use super::ensemble::parse_ensemble;
use super::evaluate::parse_evaluate;
use super::fields::Problems;
use super::network::parse_network;
use super::parse_fit::parse_fit;
use super::prune::parse_prune;
use super::rules::parse_rules;
use super::tree::parse_tree;
use super::{
    CompareSpec, DistillSpec, EnsembleSpec, Estimate, EvaluateSpec, FitSpec, NetworkSpec, PruneSpec, ResolvedCompare, ResolvedDistill,
    ResolvedEnsemble, ResolvedEvaluate, ResolvedFit, ResolvedNetwork, ResolvedPrune, ResolvedRules, ResolvedTree, RulesSpec, RunLimits,
    SpecLimits, TreeSpec, comparison_estimate, distill_estimate, ensemble_estimate, estimate, evaluation_estimate, network_estimate,
    prune_estimate, rules_estimate, tree_estimate,
};
use crate::dataset::{Meta, Names};
use crate::fault::Fault;
use crate::job::{JobKind, Warning};

/// A specification as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// A fit.
    Fit(Box<FitSpec>),
    /// A fit of a tree.
    Tree(Box<TreeSpec>),
    /// A fit of rules.
    Rules(Box<RulesSpec>),
    /// A fit of a network.
    Network(Box<NetworkSpec>),
    /// A fit of an ensemble.
    Ensemble(Box<EnsembleSpec>),
    /// An evaluation.
    Evaluate(EvaluateSpec),
    /// A comparison.
    Compare(CompareSpec),
    /// A pruning.
    Prune(PruneSpec),
    /// A distillation.
    Distill(DistillSpec),
}

/// A specification with nothing left open: what a worker works by.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// A fit.
    Fit(Box<ResolvedFit>),
    /// A fit of a tree.
    Tree(Box<ResolvedTree>),
    /// A fit of rules.
    Rules(Box<ResolvedRules>),
    /// A fit of a network.
    Network(Box<ResolvedNetwork>),
    /// A fit of an ensemble.
    Ensemble(Box<ResolvedEnsemble>),
    /// An evaluation.
    Evaluate(ResolvedEvaluate),
    /// A comparison.
    Compare(Box<ResolvedCompare>),
    /// A pruning.
    Prune(ResolvedPrune),
    /// A distillation.
    Distill(Box<ResolvedDistill>),
}

/// Parses `spec` of a job of this kind.
pub(super) fn parse_work(kind: JobKind, spec: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<Asked> {
    match kind {
        JobKind::Fit if is(spec, "tree") => parse_tree(spec, limits, problems).map(|tree| Asked::Tree(Box::new(tree))),
        JobKind::Fit if is(spec, "rules") => parse_rules(spec, limits, problems).map(|rules| Asked::Rules(Box::new(rules))),
        JobKind::Fit if is(spec, "network") => parse_network(spec, limits, problems).map(|network| Asked::Network(Box::new(network))),
        JobKind::Fit if is(spec, "ensemble") => parse_ensemble(spec, limits, problems).map(|ensemble| Asked::Ensemble(Box::new(ensemble))),
        JobKind::Fit => parse_fit(spec, limits, problems).map(|fit| Asked::Fit(Box::new(fit))),
        JobKind::Evaluate => parse_evaluate(spec, limits, problems).map(Asked::Evaluate),
        JobKind::Compare => parse_compare(spec, limits, problems).map(Asked::Compare),
        JobKind::Prune => parse_prune(spec, limits, problems).map(Asked::Prune),
        JobKind::Distill => parse_distill(spec, limits, problems).map(Asked::Distill),
    }
}

/// What kind of model a fit makes is said inside its specification.
fn is(spec: &Value, kind: &str) -> bool {
    spec.get("kind").and_then(Value::as_str) == Some(kind)
}

impl Asked {
    /// Bounds on the run, to be set from outside the specification.
    pub(super) fn limits_mut(&mut self) -> &mut RunLimits {
        match self {
            Self::Fit(fit) => &mut fit.limits,
            Self::Tree(tree) => &mut tree.limits,
            Self::Rules(rules) => rules.limits_mut(),
            Self::Network(network) => &mut network.limits,
            Self::Ensemble(ensemble) => &mut ensemble.limits,
            Self::Evaluate(evaluate) => &mut evaluate.limits,
            Self::Compare(compare) => &mut compare.limits,
            Self::Prune(prune) => &mut prune.limits,
            Self::Distill(distill) => &mut distill.limits,
        }
    }

    /// A fit of any kind, compared with a data set; `None` of what is no fit. `names` are those of its features, where it speaks of some
    /// by name.
    ///
    /// # Errors
    /// As the specification of the kind says; pointers start at `#/spec`.
    pub fn resolve_fit(&self, meta: &Meta, names: Option<&Names>) -> Result<Option<(Work, Vec<Warning>)>, Fault> {
        Ok(Some(match self {
            Self::Fit(fit) => fit.resolve(meta, names).map(|(fit, warnings)| (Work::Fit(Box::new(fit)), warnings))?,
            Self::Tree(tree) => tree.resolve(meta).map(|(tree, warnings)| (Work::Tree(Box::new(tree)), warnings))?,
            Self::Rules(rules) => rules.resolve(meta).map(|(rules, warnings)| (Work::Rules(Box::new(rules)), warnings))?,
            Self::Network(network) => network.resolve(meta).map(|(network, warnings)| (Work::Network(Box::new(network)), warnings))?,
            Self::Ensemble(ensemble) => {
                ensemble.resolve(meta).map(|(ensemble, warnings)| (Work::Ensemble(Box::new(ensemble)), warnings))?
            }
            Self::Evaluate(_) | Self::Compare(_) | Self::Prune(_) | Self::Distill(_) => return Ok(None),
        }))
    }
}

impl Work {
    /// Reads what was stored of a job of this kind.
    ///
    /// # Errors
    /// It was not written by [`Work::write`].
    pub fn read(kind: JobKind, stored: &Value) -> Result<Self, serde_json::Error> {
        match kind {
            JobKind::Fit if is(stored, "tree") => serde_json::from_value(stored.clone()).map(Self::Tree),
            JobKind::Fit if is(stored, "rules") => serde_json::from_value(stored.clone()).map(Self::Rules),
            JobKind::Fit if is(stored, "network") => serde_json::from_value(stored.clone()).map(Self::Network),
            JobKind::Fit if is(stored, "ensemble") => serde_json::from_value(stored.clone()).map(Self::Ensemble),
            JobKind::Fit => serde_json::from_value(stored.clone()).map(Self::Fit),
            JobKind::Evaluate => serde_json::from_value(stored.clone()).map(Self::Evaluate),
            JobKind::Compare => serde_json::from_value(stored.clone()).map(Self::Compare),
            JobKind::Prune => serde_json::from_value(stored.clone()).map(Self::Prune),
            JobKind::Distill => serde_json::from_value(stored.clone()).map(Self::Distill),
        }
    }

    /// `spec_resolved` of the job.
    ///
    /// # Errors
    /// None in practice: plain data with text keys always become JSON.
    pub fn write(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Fit(fit) => serde_json::to_value(fit),
            Self::Tree(tree) => serde_json::to_value(tree),
            Self::Rules(rules) => serde_json::to_value(rules),
            Self::Network(network) => serde_json::to_value(network),
            Self::Ensemble(ensemble) => serde_json::to_value(ensemble),
            Self::Evaluate(evaluate) => serde_json::to_value(evaluate),
            Self::Compare(compare) => serde_json::to_value(compare),
            Self::Prune(prune) => serde_json::to_value(prune),
            Self::Distill(distill) => serde_json::to_value(distill),
        }
    }

    /// Bounds on the run.
    pub fn limits(&self) -> &RunLimits {
        match self {
            Self::Fit(fit) => &fit.limits,
            Self::Tree(tree) => &tree.limits,
            Self::Rules(rules) => &rules.limits,
            Self::Network(network) => &network.limits,
            Self::Ensemble(ensemble) => &ensemble.limits,
            Self::Evaluate(evaluate) => &evaluate.limits,
            Self::Compare(compare) => &compare.limits,
            Self::Prune(prune) => &prune.limits,
            Self::Distill(distill) => &distill.limits,
        }
    }

    /// Whether stored sample weights are used, of a fit.
    pub fn weights_mut(&mut self) -> Option<&mut bool> {
        match self {
            Self::Fit(fit) => Some(&mut fit.weights),
            Self::Tree(tree) => Some(&mut tree.weights),
            Self::Rules(rules) => Some(&mut rules.weights),
            Self::Network(network) => Some(&mut network.weights),
            Self::Ensemble(ensemble) => Some(&mut ensemble.weights),
            Self::Evaluate(_) | Self::Compare(_) | Self::Prune(_) | Self::Distill(_) => None,
        }
    }

    /// What it will cost, with so many threads.
    pub fn estimate(&self, meta: &Meta, threads: u64) -> Estimate {
        match self {
            Self::Fit(fit) => estimate(meta, fit, threads),
            Self::Tree(tree) => tree_estimate(meta, tree, threads),
            Self::Rules(rules) => rules_estimate(meta, rules, threads),
            Self::Network(network) => network_estimate(meta, network, threads),
            Self::Ensemble(ensemble) => ensemble_estimate(meta, ensemble, threads),
            Self::Evaluate(_) => evaluation_estimate(meta),
            Self::Compare(compare) => comparison_estimate(meta, compare),
            Self::Prune(prune) => prune_estimate(meta, prune),
            Self::Distill(distill) => distill_estimate(meta, distill, threads),
        }
    }
}

/// The fit of a student within the specification of a distillation: as `spec_resolved` of that fit, without limits, which are the job's.
pub(super) mod student {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    use super::{RunLimits, Work};
    use crate::job::JobKind;

    pub(in super::super) fn serialize<S: Serializer>(student: &Work, serializer: S) -> Result<S::Ok, S::Error> {
        let mut written = student.write().map_err(S::Error::custom)?;
        if let Some(fit) = written.as_object_mut() {
            fit.remove("limits");
        }
        written.serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<Work>, D::Error> {
        let mut written = Value::deserialize(deserializer)?;
        if let Some(fit) = written.as_object_mut() {
            fit.insert("limits".into(), serde_json::to_value(RunLimits::default()).map_err(D::Error::custom)?);
        }
        Work::read(JobKind::Fit, &written).map(Box::new).map_err(D::Error::custom)
    }
}
