//! The report of a model version: everything that was stored of it on one page, for programs or for people. Nothing is fitted and no
//! data set is read.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::cache::Served;
use super::fidelity;
use super::report_pictures;
use super::reproduce;
use super::trees;
use super::{Place, href, served};
use crate::api::error::Problem;
use crate::api::jobs::comparisons;
use crate::api::state::Api;
use crate::api::wire::json::{rfc3339, value};
use crate::api::wire::negotiate;
use crate::api::wire::request::{Caller, Query, bad_parameter};
use crate::dataset::Class;
use crate::job::{Job, Warning};
use crate::model::{
    Card, EnsembleSparsity, Fidelity, KeptPath, LinearModel, Model, NetworkPath, Nodes, RulesModel, Traded, Tradeoff, TreePath,
    display_name,
};
use crate::report::{self, BytesOut, ComparisonOf, DenseOut, FeatureOut, Hint, Link, MarkOut, Report, SplitOut, TradeoffOut};
use crate::spec::ResolvedFit;
use crate::store::JobFilter;

/// Features that are shown.
const FEATURES: usize = 20;
/// Splits that are shown, and how deep they lie.
const SPLITS: usize = 15;
const SPLIT_DEPTH: u32 = 3;
/// Comparisons of a project that are looked through for the model, newest first.
const COMPARISONS: u64 = 50;

/// `GET …/versions/{version}/report?comparison=&format=`.
pub(crate) async fn report(
    State(api): State<Api>,
    crate::api::wire::request::Segments(path): Place,
    mut query: Query,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Response, Problem> {
    let wants_page = negotiate::wants_page(&mut query, &headers)?;
    let asked = query.take("comparison");
    query.finish()?;
    let served = served(&api, &caller, &path).await?;
    let comparison = comparison(&api, &caller, &served, asked.as_deref()).await?;
    let fit = match &*served.row.card {
        Card::Linear(_) => reproduce::fit_of(&api, &served.row).await?,
        Card::Tree(_) | Card::Rules(_) | Card::Network(_) | Card::Ensemble(_) => None,
    };
    let kept = match &**served.predictor.model() {
        Model::Tree(_) | Model::Network(_) => api.store.open_points(&served.row).await?,
        Model::Linear(_) | Model::Rules(_) | Model::Ensemble(_) => None,
    };
    let (fidelity, taught) = fidelity::of(&api, &served.row).await?.unzip();
    let found = Found { served: &served, fit, kept, fidelity, taught: taught.unwrap_or_default() };
    let report = found.report(comparison)?;
    if !wants_page {
        return Ok(negotiate::varies(Json(report).into_response()));
    }
    let pictures = report_pictures::of(&found);
    Ok(negotiate::page(report::model_page(&report, &pictures.tradeoff, &pictures.others)))
}

/// The comparison asked for, or the newest that the model was part of.
async fn comparison(api: &Api, caller: &Caller, served: &Served, asked: Option<&str>) -> Result<Option<ComparisonOf>, Problem> {
    let reference = served.row.reference();
    let has = |job: &Job| {
        let models = job.spec_resolved.get("models").and_then(Value::as_array);
        models.is_some_and(|models| models.iter().any(|model| model.as_str() == Some(&reference)))
    };
    let job = match asked {
        Some(id) => {
            let (job, _) = comparisons::found(api, caller.project(), id).await?;
            if !has(&job) {
                return Err(bad_parameter("comparison", "conflict", format!("{reference} is not in this comparison")));
            }
            Some(job)
        }
        None => {
            // none is older than the model
            let since = JobFilter { created_after: Some(served.row.created_at.saturating_sub(1)), ..comparisons::succeeded() };
            let newest = api.store.jobs(caller.project(), &since, None, COMPARISONS).await?;
            newest.items.into_iter().find(has)
        }
    };
    // one that is not understood any more is as good as none
    Ok(job.and_then(|job| {
        let found = comparisons::left(&job)?;
        Some(ComparisonOf {
            job: job.id.to_string(),
            href: comparisons::href(&job),
            created_at: rfc3339(job.created_at),
            dataset: found.dataset,
            score_name: found.score_name,
            data: found.data,
            recommendation: found.recommendation,
        })
    }))
}

/// What is stored of a model.
pub(crate) struct Found<'a> {
    pub(crate) served: &'a Served,
    /// How it was fitted, if it is linear and that is still known.
    fit: Option<ResolvedFit>,
    /// The prunings that a tree was chosen from.
    pub(crate) kept: Option<KeptPath>,
    /// What was measured of it beside its teacher, if it had one and that is still known.
    fidelity: Option<Fidelity>,
    /// What to beware of in how it was taught.
    taught: Vec<Warning>,
}

impl Found<'_> {
    fn prunings(&self) -> Option<&TreePath> {
        self.kept.as_ref().and_then(KeptPath::tree)
    }

    fn report(&self, comparison: Option<ComparisonOf>) -> Result<Report, Problem> {
        let row = &self.served.row;
        let model = self.served.predictor.model();
        let (mut lambda, mut l1_ratio, mut ccp_alpha) = (None, None, None);
        let (sparsity, certificate, metrics, selection, warnings, objective);
        match &*row.card {
            Card::Linear(card) => {
                (lambda, l1_ratio) = (Some(card.lambda), Some(card.l1_ratio));
                (sparsity, certificate) = (value(&card.sparsity)?, value(&card.certificate)?);
                (metrics, selection) = (card.metrics.clone(), card.selection.clone());
                (warnings, objective) = (card.warnings.clone(), card.objective.clone());
            }
            Card::Tree(card) => {
                ccp_alpha = Some(card.ccp_alpha);
                (sparsity, certificate) = (value(&card.sparsity)?, value(&trees::NOT_APPLICABLE)?);
                (metrics, selection) = (card.metrics.clone(), card.selection.clone());
                (warnings, objective) = (card.warnings.clone(), card.objective.clone());
            }
            Card::Rules(card) => {
                lambda = Some(card.lambda);
                (sparsity, certificate) = (value(&card.sparsity)?, value(&card.certificate)?);
                (metrics, selection) = (card.metrics.clone(), card.selection.clone());
                (warnings, objective) = (card.warnings.clone(), card.objective.clone());
            }
            Card::Network(card) => {
                (sparsity, certificate) = (value(&card.sparsity)?, value(&trees::NOT_APPLICABLE)?);
                (metrics, selection) = (card.metrics.clone(), card.selection.clone());
                (warnings, objective) = (card.warnings.clone(), card.objective.clone());
            }
            Card::Ensemble(card) => {
                (sparsity, certificate) = (value(&card.sparsity)?, value(&trees::NOT_APPLICABLE)?);
                (metrics, selection) = (card.metrics.clone(), card.selection.as_ref().map(value).transpose()?);
                (warnings, objective) = (card.warnings.clone(), card.objective.clone());
            }
        }
        let mut warnings: Vec<Warning> = warnings;
        warnings.extend(self.taught.iter().filter(|one| !model.warnings().contains(one)).cloned());
        let (features, features_total) = self.features();
        let hint = comparison.is_none().then(|| Hint {
            method: "POST".into(),
            href: "/api/v1/comparisons".into(),
            body: json!({
                "dataset": { "name": row.dataset.name, "version": row.dataset.version },
                "spec": { "models": [row.reference()], "twin": true },
            }),
        });
        Ok(Report {
            object: "report",
            reference: row.reference(),
            id: row.id.to_string(),
            kind: row.card.kind().into(),
            aliases: row.aliases.clone(),
            created_at: rfc3339(row.created_at),
            job: row.job.to_string(),
            dataset: row.dataset.clone(),
            promoted_from: row.card.promoted_from().map(str::to_owned),
            summary: self.summary(),
            loss: row.card.loss().into(),
            objective,
            lambda,
            l1_ratio,
            ccp_alpha,
            sparsity,
            certificate,
            metrics,
            selection,
            tradeoff: model.traded(self.kept.as_ref()).map(|traded| self.told(&traded)),
            features,
            features_total,
            splits: model.tree().map_or_else(Vec::new, |tree| self.splits(&tree.nodes)),
            warnings,
            bytes: BytesOut { stored: row.size_bytes, memory: self.served.predictor.memory_bytes(), parameters: model.parameter_bytes() },
            fidelity: self.fidelity.clone(),
            comparison,
            hint,
            links: self.links(),
        })
    }

    fn name(&self, feature: u32) -> String {
        display_name(self.served.names.as_deref(), feature)
    }

    fn links(&self) -> Vec<Link> {
        let base = href(&self.served.row);
        let own: &[&str] = match &*self.served.row.card {
            Card::Linear(_) => &["coefficients", "path", "cv", "histogram", "certificate", "reproduce"],
            Card::Tree(_) => &["tree", "path", "cv"],
            Card::Rules(_) => &["rules", "path", "cv", "certificate"],
            Card::Network(card) if card.pruned.is_none() => &["layers"],
            Card::Network(_) => &["layers", "path"],
            Card::Ensemble(_) => &[],
        };
        let taught: &[&str] = if self.served.row.card.distilled().is_some() { &["fidelity"] } else { &[] };
        let link = |name: &&str| Link { name: (*name).into(), href: format!("{base}/{name}") };
        let this = Link { name: "model version".into(), href: base.clone() };
        std::iter::once(this).chain(own.iter().chain(taught).chain(&["predict"]).map(link)).collect()
    }

    /// λ or α of a point.
    fn strength(&self, at: usize) -> f64 {
        match &**self.served.predictor.model() {
            model @ (Model::Linear(_) | Model::Rules(_)) => {
                model.lambda_path().and_then(|path| path.rows.get(at)).map_or(0.0, |row| row.lambda)
            }
            Model::Tree(_) => self.prunings().and_then(|path| path.rows.get(at)).map_or(0.0, |row| row.ccp_alpha),
            Model::Network(_) => self.networks().and_then(|path| path.rows.get(at)).map_or(0.0, |row| row.sparsity_ratio),
            // rounds
            Model::Ensemble(_) => at as f64,
        }
    }

    fn told(&self, traded: &Traded) -> TradeoffOut {
        let Traded { tradeoff: found, selected, sizes } = traded;
        let best = found.best.and_then(|at| found.rows.get(at));
        let named = [("best", found.best), ("1se", found.one_se), ("knee", found.knee), ("selected", *selected)];
        let mark = |(name, at): (&str, Option<usize>)| {
            let at = at?;
            // JSON knows no other numbers
            let row = found.rows.get(at).filter(|row| row.quality.is_finite())?;
            let loss = best.map_or(0.0, |best| (row.quality - best.quality) * if found.less_is_better { 1.0 } else { -1.0 });
            let se = best.and_then(|best| best.se).filter(|se| *se > 0.0);
            Some(MarkOut {
                name: name.into(),
                index: at as u64,
                size: row.size,
                quality: row.quality,
                se: row.se,
                strength: self.strength(at),
                size_share: best.filter(|best| best.size > 0).map(|best| row.size as f64 / best.size as f64),
                loss,
                loss_in_se: se.map(|se| loss / se),
            })
        };
        TradeoffOut {
            measure: found.measure.clone(),
            held_out: found.held_out,
            less_is_better: found.less_is_better,
            sizes: (*sizes).into(),
            points: found.rows.len() as u64,
            marks: named.into_iter().filter_map(mark).collect(),
            dense: self.dense(found),
            promotable: match &self.kept {
                _ if self.served.row.card.distilled().is_some() => false,
                Some(KeptPath::Tree(path)) => path.grown.is_some(),
                Some(KeptPath::Network(path)) => path.kept.iter().any(Option::is_some),
                _ => self.served.row.has_points(),
            },
        }
    }

    /// The ridge that the fit measured for comparison, or the tree as it was grown.
    fn dense(&self, found: &Tradeoff) -> Option<DenseOut> {
        match &**self.served.predictor.model() {
            Model::Linear(model) => {
                let twin = model.card.metrics.get("dense_twin")?;
                let same = found.held_out && found.measure == "deviance";
                let number = |key: &str| twin[key].as_f64().filter(|_| same);
                let size = twin["nonzeros"].as_u64()?;
                Some(DenseOut { what: "ridge".into(), size, quality: number("deviance"), se: number("deviance_se") })
            }
            Model::Tree(_) => {
                let whole = found.rows.first()?;
                let quality = Some(whole.quality).filter(|quality| quality.is_finite());
                Some(DenseOut { what: "unpruned tree".into(), size: whole.size, quality, se: whole.se })
            }
            Model::Network(_) => {
                let whole = found.rows.first()?;
                let quality = Some(whole.quality).filter(|quality| quality.is_finite());
                Some(DenseOut { what: "unpruned network".into(), size: whole.size, quality, se: None })
            }
            Model::Rules(_) | Model::Ensemble(_) => None,
        }
    }

    fn features(&self) -> (Vec<FeatureOut>, u64) {
        match &**self.served.predictor.model() {
            Model::Linear(model) => {
                let mut order: Vec<usize> = (0..model.values.len()).collect();
                order.sort_by(|a, b| model.values[*b].abs().total_cmp(&model.values[*a].abs()).then(a.cmp(b)));
                let one = |at: &usize| FeatureOut {
                    index: model.indices[*at],
                    name: self.name(model.indices[*at]),
                    value: model.values[*at],
                    class: class_of(model, *at),
                };
                (order.iter().take(FEATURES).map(one).collect(), model.values.len() as u64)
            }
            Model::Tree(tree) => self.strongest(tree.nodes.importances()),
            Model::Ensemble(model) => {
                self.strongest(model.trees.features_used().into_iter().zip(model.importances.iter().copied()).collect())
            }
            Model::Rules(model) => self.terms(model),
            Model::Network(model) => self.strongest(model.inputs.iter().copied().zip(model.strengths()).collect()),
        }
    }

    /// The features with the largest of these numbers, and how many have one.
    fn strongest(&self, mut all: Vec<(u32, f64)>) -> (Vec<FeatureOut>, u64) {
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let one = |(index, value): &(u32, f64)| FeatureOut { index: *index, name: self.name(*index), value: *value, class: None };
        (all.iter().take(FEATURES).map(one).collect(), all.len() as u64)
    }

    fn networks(&self) -> Option<&NetworkPath> {
        self.kept.as_ref().and_then(KeptPath::network)
    }

    /// Rules and linear terms, the most important first.
    fn terms(&self, model: &RulesModel) -> (Vec<FeatureOut>, u64) {
        let names = self.served.names.as_deref();
        let rules = (0..model.rules.len()).map(|rule| {
            let index = model.rules.features[model.rules.range(rule).start];
            let term = FeatureOut { index, name: model.text(rule, names), value: model.rules.coefficients[rule], class: None };
            (model.importance(rule), term)
        });
        let linear = model.indices.iter().zip(&model.values).zip(&model.deviations).map(|((&index, &value), deviation)| {
            (value.abs() * deviation, FeatureOut { index, name: self.name(index), value, class: None })
        });
        let mut all: Vec<(f64, FeatureOut)> = rules.chain(linear).collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let total = all.len() as u64;
        (all.into_iter().take(FEATURES).map(|(_, term)| term).collect(), total)
    }

    /// The first splits, level by level.
    fn splits(&self, nodes: &Nodes) -> Vec<SplitOut> {
        let depths = nodes.depths();
        let whole = nodes.weights.first().copied().unwrap_or(0.0);
        let mut order: Vec<usize> = (0..nodes.len()).filter(|at| depths[*at] <= SPLIT_DEPTH && nodes.split(*at).is_some()).collect();
        order.sort_by_key(|at| (depths[*at], *at));
        let told = |at: &usize| {
            let (feature, threshold, ..) = nodes.split(*at)?;
            let share = if whole > 0.0 { nodes.weights[*at] / whole } else { 0.0 };
            Some(SplitOut { node: *at as u64, depth: u64::from(depths[*at]), name: self.name(feature), threshold, share })
        };
        order.iter().take(SPLITS).filter_map(told).collect()
    }

    /// What it is, in one sentence.
    fn summary(&self) -> String {
        match &*self.served.row.card {
            Card::Linear(card) => {
                let loss = match card.loss.as_str() {
                    "squared" => "least-squares regression",
                    "huber" => "Huber regression",
                    "logistic" => "logistic regression",
                    "squared_hinge" => "classification by squared hinge",
                    "multinomial" => "multinomial logistic regression",
                    "poisson" => "Poisson regression",
                    other => other,
                };
                let penalty = match self.fit.as_ref().map(|fit| fit.penalty.kind.as_str()) {
                    Some("group") => "a group lasso".to_owned(),
                    Some("sparse_group") => "a sparse group lasso".to_owned(),
                    Some("mcp") => "the MCP penalty".to_owned(),
                    Some("scad") => "the SCAD penalty".to_owned(),
                    Some("l0") => "an L0 penalty on the number of features".to_owned(),
                    _ if card.l1_ratio == 1.0 => "a lasso penalty".to_owned(),
                    _ if card.l1_ratio == 0.0 => "a ridge penalty".to_owned(),
                    _ => format!("an elastic net penalty (l1_ratio {})", card.l1_ratio),
                };
                let adaptive = if card.adaptive.is_some() { ", adaptive" } else { "" };
                let all = card.sparsity.n_features.saturating_mul(card.intercepts.as_ref().map_or(1, Vec::len) as u64);
                let selection = chosen_by(card.selection.as_ref(), self.folds());
                format!(
                    "{} with {penalty}{adaptive}: {} of {all} coefficients are not 0{selection}.",
                    capital(loss),
                    card.sparsity.nonzeros
                )
            }
            Card::Tree(card) => {
                let what = match card.classes.as_deref() {
                    None => "numbers".to_owned(),
                    Some(classes) => format!("{} classes", classes.len()),
                };
                let (leaves, whole) = (card.sparsity.leaves, card.sparsity.unpruned.leaves);
                let pruned = if leaves < whole { format!(", pruned from {whole}") } else { ", not pruned".to_owned() };
                let selection = chosen_by(card.selection.as_ref(), self.folds());
                format!("A decision tree for {what} with {leaves} leaves{pruned}{selection}.")
            }
            Card::Network(card) => {
                let sparsity = &card.sparsity;
                let layers = if card.fit.hidden.len() == 1 { "layer" } else { "layers" };
                let pruned =
                    card.pruned.as_ref().map_or_else(String::new, |pruned| format!(", pruned by {} from {}", pruned.method, pruned.base));
                format!(
                    "A network of {} hidden {layers}: {} of {} weights are not 0, and it reads {} of {} features{pruned}.",
                    card.fit.hidden.len(),
                    sparsity.nonzeros,
                    sparsity.weights,
                    sparsity.features_active,
                    sparsity.n_features
                )
            }
            Card::Ensemble(card) => {
                let EnsembleSparsity { n_trees, leaves, features_active, n_features, .. } = card.sparsity;
                let best = match &card.selection {
                    Some(found) if !found.held_out_loss.is_empty() => {
                        format!(", the best of {} rounds for rows held out", found.leaves.len().saturating_sub(1))
                    }
                    _ => String::new(),
                };
                format!(
                    "An ensemble of {n_trees} boosted trees with {leaves} leaves that splits on {features_active} of {n_features} features{best}."
                )
            }
            Card::Rules(card) => {
                let loss = if card.classes.is_some() { "logistic regression" } else { "least-squares regression" };
                let (rules, linear) = (card.sparsity.rules, card.sparsity.linear_terms);
                let (of_rules, of_linear) = (card.sparsity.candidates.rules, card.sparsity.candidates.linear_terms);
                let selection = chosen_by(card.selection.as_ref(), self.folds());
                format!(
                    "A {loss} over rules with a lasso penalty: {rules} of {of_rules} rules and {linear} of {of_linear} features by themselves{selection}."
                )
            }
        }
    }

    fn folds(&self) -> Option<u64> {
        match &**self.served.predictor.model() {
            model @ (Model::Linear(_) | Model::Rules(_)) => model.lambda_path().and_then(|path| path.cv).map(|cv| cv.folds),
            Model::Tree(_) => self.prunings().and_then(|path| path.cv.as_ref()).map(|cv| cv.folds),
            Model::Network(_) | Model::Ensemble(_) => None,
        }
    }
}

/// By what a point of the path was chosen.
fn chosen_by(selection: Option<&Value>, folds: Option<u64>) -> String {
    let word = |key: &str| selection.and_then(|selection| selection[key].as_str());
    let rule = match word("rule") {
        Some("min") => ", the best mean",
        Some("1se") => ", the sparsest within one standard error of the best mean",
        Some("sparsest_within_pct") => ", the sparsest within a share of the best mean",
        Some("promoted") => return "; promoted from its path by hand".into(),
        _ => "",
    };
    match (word("method").or(word("mode")), folds) {
        (Some("cv"), Some(folds)) => format!("; chosen by {folds}-fold cross-validation{rule}"),
        (Some("cv"), None) => format!("; chosen by cross-validation{rule}"),
        (Some("holdout"), _) => format!("; chosen on rows held out once{rule}"),
        (Some(method @ ("aic" | "bic" | "ebic")), _) => format!("; chosen by {}", method.to_uppercase()),
        (Some("stability"), _) => "; its features chosen by halves of the rows (stability selection)".into(),
        (Some("ccp_alpha"), _) => "; pruned for a given α".into(),
        (Some("target_leaves"), _) => "; pruned to a given number of leaves".into(),
        _ => String::new(),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Of many classes the one that a coefficient is of.
fn class_of(model: &LinearModel, at: usize) -> Option<String> {
    let class = model.card.classes.as_ref()?.get(*model.classes.get(at)? as usize)?.as_ref()?;
    Some(match class {
        Class::Number(number) => number.to_string(),
        Class::Text(text) => text.clone(),
    })
}
