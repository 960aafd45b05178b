//! A rules model: small trees give the rules, and a lasso chooses among them and the features themselves.
//!
//! Friedman & Popescu, "Predictive learning via rule ensembles", Annals of Applied Statistics 2008 (RuleFit). What the lasso is solved,
//! chosen, measured and certified by is what does so for linear fits; its columns are made here.

mod design;
mod folds;
mod told;

use std::sync::Arc;

use serde_json::json;

use super::arm;
use super::plan::{Arm, Plan, Role};
use super::progress::Tracker;
use super::target::{Rows, display_name};
use super::{Inputs, Run, TrainError, card, choice, go_on, unfit};
use crate::dataset::{Dataset, Meta};
use crate::job::{Progress, Warning};
use crate::model::{Candidates, LinearCard, LinearModel, RuleList, RulesCard, RulesModel, RulesSparsity, TIME_LIMIT, deviation};
use crate::solver;
use crate::spec::{ResolvedRules, Standardize};
use crate::tree::{self, Bins, Boosted, BoostedLoss, Boosting, Hands, Leaves, Sampled, boost, rules_of};

use design::Design;
use told::Told;

/// Makes rules, chooses among them, certifies the choice. Nothing of how it is run changes the result.
///
/// # Errors
/// `observe` said to stop and there is nothing worth keeping, or the target is not what the loss asks for.
pub fn rules(dataset: &Dataset, spec: &ResolvedRules, run: &Run<'_>) -> Result<RulesModel, TrainError> {
    let (lasso, told) = (spec.lasso(), Told::new(run, spec));
    go_on(told.growing(0, &tree::Progress::default()))?;
    let rows = Rows::of(dataset, &lasso)?;
    let bins = Bins::new(dataset.x.view(), tree::Target::Numbers(&rows.y), &|at| told.growing(0, at))?;
    let making = Making { dataset, spec, rows: &rows, bins: &bins, run, told: &told };
    let design = making.design(rows.weights, 0)?;
    go_on(told.grown(0))?;
    let n_columns = design.x.view().len();
    let meta = Meta { shape: [dataset.meta.shape[0], n_columns as u64], ..(*dataset.meta).clone() };
    // its columns have numbers for names
    let over = Dataset { meta: Arc::new(meta), x: design.x.clone(), names: None, ..dataset.clone() };
    let inputs = Inputs::of(&over, &lasso, &rows, None, None);
    let observe = |at: &Progress| told.path(at);
    let inner = Run { on_thread: run.on_thread, ..Run::new(run.threads, &observe) };
    let arm =
        Arm { position: 0, role: Role::Candidate, l1_ratio: 1.0, lambda: spec.lambda.clone(), splits: None, gammas: &[], stability: None };
    let plan = Plan { arms: vec![arm] };
    let tracker = Tracker::new(&inner, &lasso, &plan);
    let (mut solved, problem) = arm::solve(&inputs, Some(&design.factors), &plan.arms[0], None, &rows, &inner, &tracker)?;
    told.done(0);
    let mut cut = solved.cut.clone();
    if let (Some(splits), None) = (spec.selection.splits(), &cut) {
        let lambdas: Vec<f64> = solved.points.iter().map(|point| point.lambda).collect();
        (solved.held_out, cut) = folds::measure(&making, &lambdas, &splits)?;
    }
    let candidates = std::slice::from_ref(&solved);
    let chosen = choice::choose(&lasso, &rows, n_columns, candidates, cut)?;
    let finish = |at: &solver::Progress| tracker.finishing(at);
    let parts = card::Parts {
        dataset: &over,
        spec: &lasso,
        rows: &rows,
        inputs: &inputs,
        problem: &problem,
        path: &solved,
        restricted: None,
        pilot: None,
        twin: None,
        groups: None,
    };
    let model = card::model(&parts, chosen, &finish)?;
    told_as_rules(dataset, spec, &design, model)
}

/// What makes the columns of all rows and of every fold.
struct Making<'m> {
    dataset: &'m Dataset,
    spec: &'m ResolvedRules,
    rows: &'m Rows<'m>,
    bins: &'m Bins<'m>,
    run: &'m Run<'m>,
    told: &'m Told<'m>,
}

impl Making<'_> {
    /// Grows an ensemble on the rows with weight and makes columns of its rules.
    fn design(&self, weights: Option<&[f64]>, unit: usize) -> Result<Design, TrainError> {
        let (spec, trees) = (self.spec, &self.spec.trees);
        let boosting = Boosting {
            n_trees: usize::try_from(trees.n_trees).unwrap_or(usize::MAX),
            learning_rate: trees.learning_rate,
            leaves: Leaves::Drawn { mean: trees.mean_leaves },
            sampled: trees.subsample.map_or(Sampled::Few, Sampled::Share),
            min_leaf_weight: trees.min_leaf_weight,
            patience: None,
            seed: trees.seed,
        };
        let loss = if self.rows.loss.has_classes() { BoostedLoss::Logistic } else { BoostedLoss::Squared };
        let observe = |at: &tree::Progress| self.told.growing(unit, at);
        let data = Boosted { loss, y: &self.rows.y, weights, offset: self.dataset.offset.as_deref(), held_out: &[] };
        let ensemble = boost(self.bins, &data, &boosting, &Hands::one(), unit.checked_sub(1), &observe)?.whole()?;
        let most = usize::try_from(spec.max_rules).unwrap_or(usize::MAX);
        let rules = rules_of(&ensemble.trees, most);
        let entries_max = spec.entries_max(self.dataset.meta.shape[0], self.dataset.meta.nnz);
        Design::new(self.dataset, rules, spec.linear, weights, entries_max, &observe)
    }

    fn options(&self) -> solver::Options {
        let lasso = self.spec.lasso();
        solver::Options {
            intercept: lasso.intercept,
            standardize: lasso.standardize == Standardize::Scale,
            tol: lasso.solver.tol,
            max_epochs: lasso.solver.max_epochs,
        }
    }
}

/// The columns of a lasso become rules and linear terms.
fn told_as_rules(dataset: &Dataset, spec: &ResolvedRules, design: &Design, model: LinearModel) -> Result<RulesModel, TrainError> {
    let features = dataset.x.view().features;
    let LinearModel { card, indices, values, path, cv, .. } = model;
    let mut intercept = card.intercept;
    let (mut found, mut linear, mut own, mut deviations) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (&column, &value) in indices.iter().zip(&values) {
        match design.linear(column) {
            Some(position) => {
                linear.push(features[position]);
                own.push(value);
                deviations.push(design.deviations[position]);
            }
            None if design.inverted[column as usize] => {
                intercept += value;
                found.push((column as usize, -value));
            }
            None => found.push((column as usize, value)),
        }
    }
    let importance = |(at, coefficient): &(usize, f64)| coefficient.abs() * deviation(design.supports[*at]);
    found.sort_by(|a, b| importance(b).total_cmp(&importance(a)).then(a.0.cmp(&b.0)));
    let mut rules = RuleList::default();
    for (at, coefficient) in found {
        push(&mut rules, design, at, coefficient);
    }
    let candidates = Candidates { rules: design.rules.len() as u64, linear_terms: design.deviations.len() as u64 };
    let name_of = |column: &str| named(dataset, design, column);
    let LinearCard { loss, classes, lambda, lambda_max, bracket, metrics, selection, mut certificate, mut warnings, .. } = card;
    certificate.kkt_feature = certificate.kkt_feature.map(|column| name_of(&column));
    for warning in &mut warnings {
        warning.features.iter_mut().for_each(|column| *column = name_of(column));
        if warning.code == "support_not_unique" {
            warning.detail = warning.detail.replace("features can", "rules or features can");
        }
    }
    warnings.extend(of_candidates(design));
    let sparsity = RulesSparsity::of(&rules, &linear, dataset.meta.shape[1], candidates);
    let engine = json!({ "version": env!("CARGO_PKG_VERSION"), "seed": spec.trees.seed, "deterministic": true });
    let objective = objective(spec);
    let card = RulesCard {
        loss,
        classes,
        objective,
        lambda,
        lambda_max,
        intercept,
        bracket,
        sparsity,
        metrics,
        selection,
        certificate,
        warnings,
        engine,
        promoted_from: None,
        distilled: None,
    };
    let model = RulesModel { card, rules, indices: linear, values: own, deviations, path, cv };
    let finite = intercept.is_finite() && model.deviations.iter().all(|one| one.is_finite());
    finite.then_some(model).ok_or_else(|| unfit("numerical_error", "A coefficient is not a finite number."))
}

fn push(rules: &mut RuleList, design: &Design, at: usize, coefficient: f64) {
    let conditions = design.rules[at].intervals.iter().map(|one| (one.feature, one.low, one.high));
    rules.push(coefficient, design.supports[at], conditions);
}

/// What a column is called: the text of its rule, or the display name of its feature.
fn named(dataset: &Dataset, design: &Design, column: &str) -> String {
    let Ok(column) = column.parse::<u32>() else { return column.to_owned() };
    match design.linear(column) {
        Some(position) => dataset.x.view().features.get(position).map_or_else(String::new, |feature| display_name(dataset, *feature)),
        None => {
            let mut alone = RuleList::default();
            push(&mut alone, design, column as usize, 1.0);
            alone.text(0, dataset.names.as_deref())
        }
    }
}

/// What to beware of in what the lasso chose from.
fn of_candidates(design: &Design) -> Vec<Warning> {
    let warn = |code: &str, detail: String| Warning { code: code.into(), detail, features: Vec::new() };
    let mut warnings = Vec::new();
    if design.rules.is_empty() {
        warnings.push(warn("no_split", "No tree found a split worth making: there are no rules.".into()));
    }
    if design.left_out > 0 {
        let (kept, left) = (design.rules.len(), design.left_out);
        warnings.push(warn("rules_left_out", format!("There was room for {kept} rules; up to {left} of later trees were left out.")));
    }
    debug_assert!(warnings.iter().all(|warning| warning.code != TIME_LIMIT));
    warnings
}

fn objective(spec: &ResolvedRules) -> String {
    let loss = if spec.loss.has_classes() { "log(1+e^{−yη}), y ∈ {−1,+1}" } else { "½(y−η)²" };
    let (eta, penalty, scale) = if spec.linear {
        ("Σ_k a_k·r_k + xw + b + o", "λ [ Σ_k |a_k| + Σ_j (σ_j/0.4)·|w_j| ]", "; σ_j = the standard deviation of feature j")
    } else {
        ("Σ_k a_k·r_k + b + o", "λ Σ_k |a_k|", "")
    };
    format!("(1/Σs) Σ s_i·loss(y_i, η_i) + {penalty}, η = {eta}; r_k = 1 where rule k holds, else 0{scale}; loss = {loss}")
}
