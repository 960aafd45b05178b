//! Models side by side on the rows of one data set: how good with which certainty, how large, how fast, by which features, and where
//! they differ.
//!
//! What every model says of every row is computed once and kept until the end; everything else follows from it. Knows no clock but
//! the one it is handed.

mod disagreement;
mod draw;
mod fidelity;
mod halves;
mod quality;
mod recommend;
mod said;
mod support;
#[cfg(test)]
mod tests;
mod twin;

use std::ops::ControlFlow;
use std::sync::Arc;

use super::evaluate::Pace;
use super::latency::{self, Clock};
use super::{Leave, Run, TrainError};
use crate::dataset::{Dataset, Names};
use crate::job::{DatasetRef, Progress, Warning};
use crate::model::{Card, ComparedModel, Comparison, KeptPath, Model, Predictor};
use crate::spec::{Measure, ResolvedCompare, ResolvedFit, ScoreName};

use quality::Quality;

pub(super) use fidelity::{Judged, Told, fidelity};
pub(super) use said::{Known, Said};

/// A model that is compared.
pub struct Contender {
    /// `name:n`.
    pub reference: String,
    /// The model.
    pub model: Arc<Model>,
    /// The names of its features.
    pub names: Option<Arc<Names>>,
    /// SHA-256 of the data set it was fitted on.
    pub fitted_on: String,
    /// Bytes of its file.
    pub stored_bytes: u64,
    /// How long its job ran.
    pub fit_ms: Option<u64>,
    /// How it was fitted, where it is fitted anew and its data are there.
    pub origin: Option<Origin>,
    /// The tree or network that it was pruned from, and its other prunings, if it was and they were kept.
    pub unpruned: Option<KeptPath>,
}

/// The data a model was fitted on, and how.
pub struct Origin {
    /// The data.
    pub dataset: Arc<Dataset>,
    /// The fit.
    pub spec: ResolvedFit,
}

/// One row of the comparison: a contender, or its twin.
struct Row {
    /// Position of the contender.
    of: usize,
    twin: bool,
    model: Arc<Model>,
    names: Option<Arc<Names>>,
    on_training_rows: bool,
    stored_bytes: u64,
    fit_ms: Option<u64>,
}

/// What all parts of a comparison look at.
struct Field<'a> {
    dataset: &'a Dataset,
    rows: &'a [Row],
    /// `None` where neither quality nor disagreement is measured.
    said: &'a [Said],
    score: ScoreName,
    pace: &'a Pace<'a>,
}

/// Measures the contenders, in their order, on the rows of a data set, with its weights and offsets.
///
/// # Errors
/// `run.observe` said to stop; or the target is not what a model predicts, all weights are 0, or a prediction is no finite number.
pub fn compare(
    dataset: &Dataset,
    identity: DatasetRef,
    contenders: Vec<Contender>,
    spec: &ResolvedCompare,
    run: &Run<'_>,
    clock: &Clock<'_>,
) -> Result<(Comparison, Vec<Warning>), TrainError> {
    let predicts = spec.measures(Measure::Quality) || spec.measures(Measure::Disagreement);
    let parts = parts(spec, predicts);
    let pace = &Pace::new(run.observe, &parts);
    let mut part = 0;
    let mut next = || {
        part += 1;
        pace.at(part);
    };
    let (mut warnings, mut ridges) = (Vec::new(), twin::Ridges::default());
    let mut rows = Vec::with_capacity(2 * contenders.len());
    for (of, contender) in contenders.iter().enumerate() {
        if spec.twin {
            pace.done(of, contenders.len());
        }
        pace.work(0)?;
        let twin = if spec.twin { twin::made(contender, &mut ridges, run, pace, clock, &mut warnings)? } else { None };
        let on_training_rows = contender.fitted_on == dataset.meta.sha256;
        rows.push(Row {
            of,
            twin: false,
            model: Arc::clone(&contender.model),
            names: contender.names.clone(),
            on_training_rows,
            stored_bytes: contender.stored_bytes,
            fit_ms: contender.fit_ms,
        });
        if let Some(twin::Made { model, names, fit_ms }) = twin {
            let stored_bytes = model.encode().len() as u64;
            rows.push(Row { of, twin: true, model, names, on_training_rows, stored_bytes, fit_ms });
        }
    }
    if spec.twin {
        next();
    }
    let mut said = Vec::new();
    if predicts {
        let known = Known::of(spec.score, dataset, &rows)?;
        for (at, row) in rows.iter().enumerate() {
            pace.done(at, rows.len());
            let (one, matched) = Said::of(dataset, &row.model, row.names.as_deref(), &known, pace)?;
            if !row.twin {
                warnings.extend(matched.warnings().into_iter().map(|warning| about(&contenders[row.of].reference, warning)));
            }
            said.push(one);
        }
        next();
    }
    let field = Field { dataset, rows: &rows, said: &said, score: spec.score, pace };
    let mut data: Vec<ComparedModel> = rows.iter().map(|row| described(row, &contenders[row.of].reference)).collect();
    let mut recommendation = None;
    if spec.measures(Measure::Quality) {
        let quality = Quality::measure(&field, spec.bootstrap, spec.seed)?;
        quality.write(&mut data);
        recommendation = recommend::recommend(&quality, &data, &rows, spec.score);
        next();
    }
    if spec.measures(Measure::Latency) {
        let ready = rows.iter().map(|row| Predictor::new(Arc::clone(&row.model), row.names.clone()));
        for (one, [p50, p99]) in data.iter_mut().zip(latency::one_by_one(dataset, ready, clock, pace)?) {
            (one.latency_us_p50, one.latency_us_p99) = (p50, p99);
        }
        next();
    }
    let (mut support_jaccard, mut shared) = (None, None);
    if spec.measures(Measure::Support) {
        let overlap = support::overlap(&rows, pace)?;
        (support_jaccard, shared) = (Some(overlap.jaccard), Some(overlap.shared));
        next();
    }
    let mut disagreements = None;
    if spec.measures(Measure::Disagreement) {
        disagreements = Some(disagreement::measure(&field)?);
        next();
    }
    if spec.measures(Measure::Stability) {
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| !row.twin) {
            let of = (row.of as u64, contenders.len() as u64);
            data[at].stability = Some(halves::measure(&contenders[row.of], of, (spec.halves, spec.seed), run, pace)?);
        }
    }
    for (row, one) in rows.iter().zip(&mut data) {
        if spec.measures(Measure::Size) {
            one.nonzeros = row.model.linear().map(|model| model.card.sparsity.nonzeros);
            one.size = Some(row.model.card().size());
            (one.bytes_stored, one.fit_ms) = (Some(row.stored_bytes), row.fit_ms);
            one.bytes_parameters = Some(row.model.parameter_bytes());
            one.bytes_memory = Some(Predictor::new(Arc::clone(&row.model), row.names.clone()).memory_bytes());
        }
        if spec.measures(Measure::Support) {
            one.features_used = Some(row.model.features_used().len() as u64);
        }
    }
    let seen: Vec<&str> = data.iter().filter(|one| one.on_training_rows && !one.twin).map(|one| &*one.reference).collect();
    if predicts && !seen.is_empty() {
        let detail = format!("{} fitted on the very rows of this data set: rows held out tell more.", named_as_past(&seen));
        warnings.push(Warning { code: "on_training_rows".into(), detail, features: Vec::new() });
    }
    let comparison = Comparison {
        dataset: identity,
        rows: dataset.y.len() as u64,
        score_name: spec.score.as_str().into(),
        measure: spec.measure.iter().map(|one| one.as_str().into()).collect(),
        bootstrap: spec.bootstrap,
        seed: spec.seed,
        data,
        support_jaccard,
        shared,
        disagreements,
        recommendation,
    };
    Ok((comparison, warnings))
}

/// What a fit within the comparison tells on its way: how far the comparison is.
pub(super) fn while_fitting<'r>(run: &'r Run<'_>, pace: &Pace<'_>) -> impl Fn(&Progress) -> ControlFlow<Leave> + Sync + 'r {
    let (before, after) = (pace.progress(0.0), pace.progress(1.0));
    let span = after.fraction - before.fraction;
    move |at: &Progress| {
        let fraction = before.fraction + span * at.fraction.clamp(0.0, 1.0);
        (run.observe)(&Progress { fraction, eta_s: None, steps: before.steps.clone(), current: at.current.clone() })
    }
}

/// The steps of the job, in order.
fn parts(spec: &ResolvedCompare, predicts: bool) -> Vec<&'static str> {
    let mut parts = Vec::new();
    parts.extend(spec.twin.then_some("twins"));
    parts.extend(predicts.then_some("predict"));
    for what in [Measure::Quality, Measure::Latency, Measure::Support, Measure::Disagreement, Measure::Stability] {
        parts.extend(spec.measures(what).then(|| what.as_str()));
    }
    // sizes alone are no work
    if parts.is_empty() {
        parts.push(Measure::Size.as_str());
    }
    parts
}

/// What is known of a model without measuring it.
fn described(row: &Row, reference: &str) -> ComparedModel {
    let card = row.model.card();
    let (mut lambda, mut l1_ratio, mut ccp_alpha) = (None, None, None);
    match &card {
        Card::Linear(card) => (lambda, l1_ratio) = (Some(card.lambda), Some(card.l1_ratio)),
        Card::Tree(card) => ccp_alpha = Some(card.ccp_alpha),
        Card::Rules(card) => lambda = Some(card.lambda),
        Card::Network(_) | Card::Ensemble(_) => {}
    }
    ComparedModel {
        reference: reference.to_owned(),
        twin: row.twin,
        kind: card.kind().into(),
        loss: card.loss().into(),
        lambda,
        l1_ratio,
        ccp_alpha,
        on_training_rows: row.on_training_rows,
        ..ComparedModel::default()
    }
}

pub(super) fn about(reference: &str, warning: Warning) -> Warning {
    Warning { detail: format!("{reference}: {}", warning.detail), ..warning }
}

fn named_as_past(names: &[&str]) -> String {
    match names {
        [one] => format!("{one} was"),
        [most @ .., last] => format!("{} and {last} were", most.join(", ")),
        [] => String::new(),
    }
}
