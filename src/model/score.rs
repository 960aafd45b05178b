//! One row after the other: entries in, an answer out.
//!
//! The linear predictor is summed in order of rising feature, whatever order the row came in, so that the same row in
//! any form gives the same bits. Buffers are reused from row to row.

use std::io::Write as _;

use super::network::State;
use super::options::{Answers, Wanted};
use super::predictor::{Found, Predictor};
use super::{EnsembleModel, LinearModel, Model, NetworkModel, PredictLimits, Predictions, RulesModel, TreeModel};
use crate::fault::{Code, Fault};

/// What is wrong with a row: at one of its entries (counted from 0 as they were added) or as a whole.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) entry: Option<usize>,
    pub(super) detail: String,
}

impl Refusal {
    pub(super) fn row(code: Code, detail: impl Into<String>) -> Self {
        Self { code, entry: None, detail: detail.into() }
    }

    pub(super) fn entry(code: Code, entry: usize, detail: impl Into<String>) -> Self {
        Self { code, entry: Some(entry), detail: detail.into() }
    }
}

/// Scores rows and writes answers.
pub(super) struct Scorer<'a> {
    pub(super) predictor: &'a Predictor,
    pub(super) wanted: Wanted,
    limits: PredictLimits,
    pub(super) out: Vec<u8>,
    pub(super) rows: u64,
    unknown: u64,
    /// One bit for each feature with a coefficient: whether it occurred.
    active: Vec<u64>,
    pub(super) row: Row,
    model: Scored<'a>,
    /// Linear predictors of many classes in this row.
    pub(super) scores: Vec<f64>,
    /// Conditions of each rule that this row breaks.
    pub(super) broken: Vec<u32>,
    /// Sums of a network's layers.
    pub(super) state: State,
    /// What the row holds of each feature of an ensemble; 0 between two rows.
    pub(super) held: Vec<f64>,
}

/// What scores a row.
#[derive(Clone, Copy)]
enum Scored<'a> {
    /// One linear predictor.
    Line(&'a LinearModel),
    /// One for each class.
    Lines(&'a LinearModel),
    Tree(&'a TreeModel),
    Rules(&'a RulesModel),
    Network(&'a NetworkModel),
    Ensemble(&'a EnsembleModel),
}

/// The row being read.
#[derive(Default)]
pub(super) struct Row {
    /// Position among the features with a coefficient, value.
    pub(super) hits: Vec<(u32, f64)>,
    /// Feature, entry; to find duplicates.
    seen: Vec<(u32, u32)>,
    rising: bool,
    entries: usize,
    pub(super) unknown: u64,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(predictor: &'a Predictor, wanted: Wanted, limits: &PredictLimits) -> Self {
        let active = vec![0; predictor.n_active().div_ceil(64)];
        let row = Row { rising: true, ..Row::default() };
        let model = match &**predictor.model() {
            Model::Linear(model) if predictor.answers() == Answers::Probabilities => Scored::Lines(model),
            Model::Linear(model) => Scored::Line(model),
            Model::Tree(model) => Scored::Tree(model),
            Model::Rules(model) => Scored::Rules(model),
            Model::Network(model) => Scored::Network(model),
            Model::Ensemble(model) => Scored::Ensemble(model),
        };
        let (scores, broken, state, held) = (Vec::new(), Vec::new(), State::default(), Vec::new());
        Self { predictor, wanted, limits: *limits, out: vec![b'['], rows: 0, unknown: 0, active, row, model, scores, broken, state, held }
    }

    /// Features of the model.
    pub(super) fn n_features(&self) -> u64 {
        self.predictor.n_features()
    }

    /// Adds an entry by index.
    pub(super) fn index(&mut self, index: u32, value: f64) -> Result<(), Refusal> {
        let found = self.predictor.by_index(index);
        self.note(index)?;
        self.add(found, value)
    }

    /// Adds an entry by name.
    pub(super) fn name(&mut self, name: &str, value: f64) -> Result<(), Refusal> {
        let found = self.predictor.by_name(name);
        match found {
            Found::Active(index, _) | Found::Zero(index) => self.note(index)?,
            Found::Unknown => self.count_entry()?,
        }
        self.add(found, value)
    }

    fn count_entry(&mut self) -> Result<(), Refusal> {
        if self.row.entries as u64 >= self.limits.row_nnz {
            let detail = format!("a row has at most {} entries", self.limits.row_nnz);
            return Err(Refusal::entry(Code::LimitExceeded, self.row.entries, detail));
        }
        self.row.entries += 1;
        Ok(())
    }

    fn note(&mut self, index: u32) -> Result<(), Refusal> {
        let entry = u32::try_from(self.row.entries).unwrap_or(u32::MAX);
        self.count_entry()?;
        self.row.rising &= self.row.seen.last().is_none_or(|last| last.0 < index);
        self.row.seen.push((index, entry));
        Ok(())
    }

    fn add(&mut self, found: Found, value: f64) -> Result<(), Refusal> {
        let entry = self.row.entries - 1;
        if !value.is_finite() {
            return Err(Refusal::entry(Code::NonFiniteValue, entry, "a value must be finite"));
        }
        match found {
            Found::Active(_, position) if value != 0.0 => {
                self.row.hits.push((position, value));
                self.active[position as usize / 64] |= 1 << (position % 64);
            }
            Found::Active(..) | Found::Zero(_) => {}
            Found::Unknown if self.wanted.refuse_unknown => {
                return Err(Refusal::entry(Code::UnknownFeature, entry, "the model has no such feature"));
            }
            Found::Unknown => self.row.unknown += 1,
        }
        Ok(())
    }

    /// Ends the row: scores it and writes its answer.
    pub(super) fn end_row(&mut self) -> Result<(), Refusal> {
        if self.rows >= self.limits.rows {
            return Err(Refusal::row(Code::LimitExceeded, format!("a batch has at most {} rows", self.limits.rows)));
        }
        if !self.row.rising {
            self.refuse_duplicates()?;
            self.row.hits.sort_unstable_by_key(|hit| hit.0);
        }
        match self.model {
            Scored::Line(model) => self.score(model)?,
            Scored::Lines(model) => self.score_classes(model)?,
            Scored::Tree(model) => self.descend(model),
            Scored::Rules(model) => self.follow(model)?,
            Scored::Network(model) => self.pass(model)?,
            Scored::Ensemble(model) => self.add_up(model)?,
        }
        self.rows += 1;
        self.unknown += self.row.unknown;
        self.row.hits.clear();
        self.row.seen.clear();
        (self.row.rising, self.row.entries, self.row.unknown) = (true, 0, 0);
        Ok(())
    }

    fn score(&mut self, model: &LinearModel) -> Result<(), Refusal> {
        let mut score = model.card.intercept;
        for (position, value) in &self.row.hits {
            score += model.values[*position as usize] * value;
        }
        if !score.is_finite() || !prediction(model, score).is_finite() {
            return Err(Refusal::row(Code::NumericalError, "the score is beyond a double"));
        }
        self.answer(prediction(model, score), score, |scorer| {
            scorer.row.hits.iter_mut().for_each(|(position, value)| *value *= model.values[*position as usize]);
            scorer.put_contributions();
        });
        Ok(())
    }

    fn refuse_duplicates(&mut self) -> Result<(), Refusal> {
        self.row.seen.sort_unstable();
        let twice = self.row.seen.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).min();
        match twice {
            Some(entry) => Err(Refusal::entry(Code::DuplicateIndex, entry as usize, "the feature occurs twice in the row")),
            None => Ok(()),
        }
    }

    /// Writes what is wanted of a row with this linear predictor; `contributions` writes what it is made of.
    pub(super) fn answer(&mut self, prediction: f64, score: f64, contributions: impl FnOnce(&mut Self)) {
        let wanted = self.wanted;
        let mut field = fields(self.rows);
        if wanted.prediction {
            field(&mut self.out, "\"prediction\":");
            put(&mut self.out, prediction);
        }
        let probability = sigmoid(score);
        let side = if wanted.by_score { score } else { probability };
        if wanted.probability {
            field(&mut self.out, "\"probability\":");
            put(&mut self.out, probability);
        }
        if wanted.label {
            field(&mut self.out, "\"label\":");
            self.out.extend_from_slice(self.predictor.label(usize::from(side >= wanted.threshold)));
        }
        if wanted.linear_predictor {
            field(&mut self.out, "\"linear_predictor\":");
            put(&mut self.out, score);
        }
        if wanted.contributions {
            field(&mut self.out, "\"contributions\":");
            contributions(self);
        }
        if wanted.unknown {
            field(&mut self.out, "\"unknown\":");
            let _ = write!(self.out, "{}", self.row.unknown);
        }
        self.out.push(b'}');
    }

    /// The strongest of the w·x that have taken the place of the values; equal ones in order of their features.
    pub(super) fn put_contributions(&mut self) {
        let hits = &mut self.row.hits;
        hits.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0)));
        self.out.push(b'[');
        for (rank, (position, value)) in hits.iter().take(self.wanted.top_contributions).enumerate() {
            self.out.extend_from_slice(if rank == 0 { b"{\"feature\":" } else { b",{\"feature\":" });
            let name = self.predictor.display_name(self.predictor.feature(*position));
            let _ = serde_json::to_writer(&mut self.out, &name);
            self.out.extend_from_slice(b",\"value\":");
            put(&mut self.out, *value);
            self.out.push(b'}');
        }
        self.out.push(b']');
    }

    /// Ends the batch.
    pub(super) fn finish(mut self) -> Result<Predictions, Fault> {
        if self.rows == 0 {
            return Err(Fault::new(Code::EmptyBatch, "There is no row to predict."));
        }
        self.out.push(b']');
        Ok(Predictions {
            predictions_json: self.out,
            rows: self.rows,
            unknown_features: self.unknown,
            active_features_seen: self.active.iter().map(|word| u64::from(word.count_ones())).sum(),
        })
    }
}

/// Begins the fields of an answer, each with what must stand before it; an answer has one at least.
pub(super) fn fields(rows_before: u64) -> impl FnMut(&mut Vec<u8>, &str) {
    let mut separator = if rows_before == 0 { "{" } else { ",{" };
    move |out, key| {
        out.extend_from_slice(separator.as_bytes());
        out.extend_from_slice(key.as_bytes());
        separator = ",";
    }
}

/// The shortest text that reads back as `number`; writing to memory cannot fail.
pub(super) fn put(out: &mut Vec<u8>, number: f64) {
    let _ = serde_json::to_writer(out, &number);
}

/// What is predicted where the linear predictor is `score`: itself, or the mean of a count.
fn prediction(model: &LinearModel, score: f64) -> f64 {
    if model.card.loss == "poisson" { score.exp() } else { score }
}

/// 1 / (1 + e^−η) without overflow.
fn sigmoid(score: f64) -> f64 {
    if score >= 0.0 {
        1.0 / (1.0 + (-score).exp())
    } else {
        let e = score.exp();
        e / (1.0 + e)
    }
}
