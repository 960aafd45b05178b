//! What a prediction's answer shall hold: options of the body before those of the query, checked against the model.

use super::PredictOptions;
use crate::dataset::Class;
use crate::fault::{Code, Fault, Place};
use crate::json::clip;

const TOP_CONTRIBUTIONS: usize = 10;

/// What a model answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Number,
    /// The probability of one of two classes.
    Probability,
    /// The probabilities of all classes.
    Probabilities,
    /// One of two classes alone.
    Label,
}

impl Answers {
    /// Of a model of numbers, or one that gives each of these classes a probability.
    pub(super) fn of(classes: Option<&[Class]>) -> Self {
        match classes {
            None => Self::Number,
            Some([_, _]) => Self::Probability,
            Some(_) => Self::Probabilities,
        }
    }

    /// The outputs that are this model's own, and asked for by default.
    fn own(self) -> &'static str {
        match self {
            Self::Number => "prediction",
            Self::Probability => "probability, label",
            Self::Probabilities => "probabilities, label",
            Self::Label => "label",
        }
    }
}

/// What can be told of an answer besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extras {
    /// Its score, and what that is the sum of.
    Terms,
    /// Its score.
    Score,
    /// The leaf of a tree.
    Leaf,
}

impl Extras {
    /// Their words.
    fn words(self) -> &'static str {
        match self {
            Self::Terms => "linear_predictor, contributions",
            Self::Score => "linear_predictor",
            Self::Leaf => "leaf",
        }
    }
}

/// Options understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) prediction: bool,
    pub(super) probability: bool,
    pub(super) probabilities: bool,
    pub(super) label: bool,
    pub(super) linear_predictor: bool,
    pub(super) contributions: bool,
    /// The leaf that a row comes to.
    pub(super) leaf: bool,
    pub(super) unknown: bool,
    /// An unknown feature is an error.
    pub(super) refuse_unknown: bool,
    /// The label is the positive class from this probability on, or from this linear predictor where there are none.
    pub(super) threshold: f64,
    /// The threshold is one of the linear predictor.
    pub(super) by_score: bool,
    pub(super) top_contributions: usize,
}

impl Wanted {
    /// Merges `body` (which wins) with `query`.
    pub(super) fn new(body: &PredictOptions, query: &PredictOptions, answers: Answers, extras: Extras) -> Result<Self, Fault> {
        let mut wanted = Self {
            prediction: answers == Answers::Number,
            probability: answers == Answers::Probability,
            probabilities: answers == Answers::Probabilities,
            label: answers != Answers::Number,
            linear_predictor: answers == Answers::Label,
            contributions: false,
            leaf: false,
            unknown: false,
            refuse_unknown: false,
            threshold: match answers {
                Answers::Label => 0.0,
                // shares of leaves are often equal: then the label is the first class, as it is of more than two
                _ if extras == Extras::Leaf => 0.5f64.next_up(),
                _ => 0.5,
            },
            by_score: answers == Answers::Label,
            top_contributions: body.top_contributions.or(query.top_contributions).unwrap_or(TOP_CONTRIBUTIONS),
        };
        if let Some((words, from)) = either(body.output.as_ref(), query.output.as_ref()) {
            wanted.set_output(words, answers, extras, from)?;
        }
        if let Some((word, from)) = either(body.unknown_features.as_ref(), query.unknown_features.as_ref()) {
            wanted.refuse_unknown = match word.as_str() {
                "ignore" => false,
                "error" => true,
                other => {
                    let detail = format!("must be ignore or error, got \"{}\"", clip(other, 60));
                    return Err(from.wrong("unknown_features", None, "unknown_value", detail));
                }
            };
        }
        if let Some((threshold, from)) = either(body.threshold, query.threshold) {
            match answers {
                Answers::Number => return Err(from.wrong("threshold", None, "conflict", "a regression has no threshold")),
                Answers::Probabilities => {
                    let detail = "the label is the most probable of all classes: there is no threshold";
                    return Err(from.wrong("threshold", None, "conflict", detail));
                }
                Answers::Probability | Answers::Label => {}
            }
            if answers == Answers::Label && !threshold.is_finite() {
                return Err(from.wrong("threshold", None, "out_of_range", "must be a finite number"));
            }
            if answers == Answers::Probability && !(0.0..=1.0).contains(&threshold) {
                return Err(from.wrong("threshold", None, "out_of_range", format!("must be in [0, 1], got {threshold}")));
            }
            wanted.threshold = threshold;
        }
        Ok(wanted)
    }

    fn set_output(&mut self, words: &[String], answers: Answers, extras: Extras, from: From) -> Result<(), Fault> {
        if words.is_empty() {
            return Err(from.wrong("output", None, "out_of_range", "must name at least one output"));
        }
        (self.prediction, self.probability, self.probabilities, self.label, self.linear_predictor) = (false, false, false, false, false);
        for (index, word) in words.iter().enumerate() {
            let field = match word.as_str() {
                "prediction" if answers == Answers::Number => &mut self.prediction,
                "probability" if answers == Answers::Probability => &mut self.probability,
                "probabilities" if answers == Answers::Probabilities => &mut self.probabilities,
                "label" if answers != Answers::Number => &mut self.label,
                "linear_predictor" if extras != Extras::Leaf => &mut self.linear_predictor,
                "contributions" if extras == Extras::Terms => &mut self.contributions,
                "leaf" if extras == Extras::Leaf => &mut self.leaf,
                "unknown" => &mut self.unknown,
                other => {
                    let (own, more) = (answers.own(), extras.words());
                    let detail = format!("this model gives {own}, {more}, unknown; not \"{}\"", clip(other, 60));
                    return Err(from.wrong("output", Some(index), "unknown_value", detail));
                }
            };
            *field = true;
        }
        Ok(())
    }
}

/// Where an option was given.
#[derive(Clone, Copy, Debug, PartialEq)]
enum From {
    Body,
    Query,
}

impl From {
    fn wrong(self, name: &str, index: Option<usize>, code: &'static str, detail: impl Into<String>) -> Fault {
        let place = match (self, index) {
            (Self::Query, _) => Place::parameter(name, code, detail),
            (Self::Body, None) => Place::pointer(format!("#/{name}"), code, detail),
            (Self::Body, Some(index)) => Place::pointer(format!("#/{name}/{index}"), code, detail),
        };
        Fault::at(Code::InvalidParameter, place)
    }
}

fn either<T>(body: Option<T>, query: Option<T>) -> Option<(T, From)> {
    body.map(|value| (value, From::Body)).or_else(|| query.map(|value| (value, From::Query)))
}
