//! What the card says of the choice: the rule and its alternatives, the pilot, the refit, the dense twin.

use serde_json::{Map, Value, json};

use super::adaptive::Adapted;
use super::arm::Solved;
use super::choice::{Chosen, Score, Series, largest_within_se, least};
use super::stability::Found;
use crate::model;
use crate::solver::{Point, Refit};
use crate::spec::{ResolvedFit, Selection, Stability};

/// Features of which a model keeps how often they were chosen: a bound on its size, whatever chance chose.
const FREQUENCIES_MAX: usize = 10_000;

/// The fit that gave the factors of an adaptive penalty.
pub(super) struct Pilot {
    pub(super) adapted: Adapted,
    pub(super) l1_ratio: f64,
    pub(super) point: Point,
}

/// Ridge, with the λ of its least deviance.
pub(super) struct Twin {
    pub(super) index: usize,
    lambda: f64,
    nonzeros: usize,
    deviance: f64,
    se: Option<f64>,
    deviance_ratio: f64,
}

impl Twin {
    /// Of a path that was measured on rows held out.
    pub(super) fn of(solved: &Solved) -> Option<Self> {
        let (_, table) = solved.held_out.as_ref()?.series.first()?;
        let score = |row: &model::CvRow| Score { value: row.mean, se: row.se, nonzeros: 0 };
        let index = least(&table.iter().map(score).collect::<Vec<_>>());
        let point = &solved.points[index];
        let deviance_ratio = if solved.null_deviance > 0.0 { 1.0 - point.deviance / solved.null_deviance } else { 0.0 };
        let (deviance, se) = (table[index].mean, table[index].se);
        Some(Self { index, lambda: point.lambda, nonzeros: point.columns.len(), deviance, se, deviance_ratio })
    }

    /// `metrics.dense_twin`.
    pub(super) fn figures(&self) -> Value {
        json!({
            "lambda": self.lambda,
            "nonzeros": self.nonzeros,
            "deviance": self.deviance,
            "deviance_se": self.se,
            "deviance_ratio": self.deviance_ratio,
        })
    }
}

/// The `selection` of a card; `None` where nothing was chosen.
pub(super) fn selection(spec: &ResolvedFit, path: &Solved, chosen: &Chosen) -> Option<Value> {
    let scores = &chosen.scores;
    if scores.is_empty() {
        return None;
    }
    let (rule, within_pct) = spec.selection.rule();
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.into(), value);
    put("method", json!(spec.selection.method()));
    put("rule", json!(rule));
    if let Some(within_pct) = within_pct {
        put("within_pct", json!(within_pct));
    }
    put("index", json!(chosen.index));
    let at_min = least(scores);
    put("index_min", json!(at_min));
    if let Selection::Ebic { ebic_gamma } = &spec.selection {
        put("ebic_gamma", json!(ebic_gamma));
    }
    put("lambda_min", json!(path.points[at_min].lambda));
    put("nonzeros_at_min", json!(scores[at_min].nonzeros));
    if spec.selection.is_criterion() {
        put("criterion", json!(finite(scores[chosen.index].value)));
    } else {
        let at_1se = largest_within_se(scores);
        put("index_1se", json!(at_1se));
        put("lambda_1se", json!(path.points[at_1se].lambda));
        put("nonzeros_at_1se", json!(scores[at_1se].nonzeros));
    }
    if let Some(candidates) = &chosen.candidates {
        put("l1_ratio", json!(path.l1_ratio));
        if spec.refit.is_some() {
            put("relaxed_gamma", json!(chosen.gamma));
        }
        put("candidates", candidates.clone());
    }
    Some(Value::Object(out))
}

/// One row for each ratio and share that was measured: where each is best, and how good there.
pub(super) fn candidates(spec: &ResolvedFit, solved: &[Solved], series: &[Series]) -> Option<Value> {
    if series.len() < 2 {
        return None;
    }
    let row = |one: &Series| {
        let path = &solved[one.arm];
        let at_min = least(&one.scores);
        let score = one.scores[at_min];
        let mut row = json!({
            "l1_ratio": path.l1_ratio,
            "index_min": at_min,
            "lambda_min": path.points[at_min].lambda,
            "nonzeros_at_min": score.nonzeros,
        });
        if spec.refit.is_some() {
            row["relaxed_gamma"] = json!(one.gamma);
        }
        if spec.selection.is_criterion() {
            row["criterion_min"] = json!(finite(score.value));
        } else {
            let at_1se = largest_within_se(&one.scores);
            row["mean_min"] = json!(score.value);
            row["se_min"] = json!(score.se);
            row["lambda_1se"] = json!(path.points[at_1se].lambda);
            row["nonzeros_at_1se"] = json!(one.scores[at_1se].nonzeros);
        }
        row
    };
    Some(series.iter().map(row).collect())
}

/// As [`selection`], of the features that halves of the rows chose.
pub(super) fn stability(asked: &Stability, found: &Found, point: &Point, path: &Solved) -> Value {
    json!({
        "method": "stability",
        "rule": "threshold",
        "index": found.index,
        "index_min": found.index,
        "lambda_min": path.points[found.index].lambda,
        "nonzeros_at_min": point.columns.len(),
        "resamples": found.resamples,
        "threshold": asked.threshold,
        "expected_false": asked.expected_false,
        "features_selected": found.selected,
        "features_stable": found.stable.len(),
        "false_bound": found.bound,
    })
}

/// How often halves of the rows chose each feature: the features most often chosen, and all that are stable.
pub(super) fn frequencies(asked: &Stability, found: &Found, features: &[u32]) -> model::Stability {
    let mut counts = found.counts.clone();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let ever = counts.len() as u64;
    counts.truncate(FREQUENCIES_MAX.max(found.stable.len()));
    model::Stability {
        resamples: found.resamples as u64,
        seed: asked.seed,
        stratify: asked.stratify,
        threshold: asked.threshold,
        expected_false: asked.expected_false,
        features_selected: found.selected,
        features_stable: found.stable.len() as u64,
        features_ever: ever,
        false_bound: found.bound,
        indices: counts.iter().map(|(column, _)| features[*column as usize]).collect(),
        counts: counts.iter().map(|(_, count)| *count).collect(),
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The `adaptive` of a card.
pub(super) fn adaptive(spec: &ResolvedFit, pilot: &Pilot) -> Option<Value> {
    let adaptive = spec.penalty.adaptive.as_ref()?;
    let (lambda, excluded) = (pilot.adapted.lambda, pilot.adapted.excluded);
    Some(json!({
        "gamma": adaptive.gamma,
        "pilot": { "type": adaptive.pilot, "l1_ratio": pilot.l1_ratio, "lambda": lambda },
        "features_excluded": excluded,
    }))
}

/// The `refit` of a card.
pub(super) fn refit(gamma: f64, refit: Option<&Refit>) -> Value {
    json!({ "relaxed_gamma": gamma, "converged": refit.is_none_or(|refit| refit.converged) })
}
