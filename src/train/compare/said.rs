//! What a model says of every row, so that what different kinds of models say can be held side by side.

use super::super::evaluate::{Matched, Pace, STRETCH, scores_of};
use super::super::{TrainError, unfit};
use super::Row;
use crate::dataset::{Class, Dataset, Names};
use crate::model::{ComparedPrediction, Model};
use crate::spec::ScoreName;

/// Linear predictor beyond which a probability is 0 or 1 in doubles.
const SURE: f64 = 800.0;

/// The classes that all models together know, in one order.
pub(in crate::train) struct Known {
    /// Empty where numbers are predicted; of an `auc` the negative class (`None` = the rest) and the positive one of the first model.
    pub(super) classes: Vec<Option<Class>>,
    pub(super) score: ScoreName,
}

/// What one model says.
pub(in crate::train) struct Said {
    /// One number a row, or one for each of its classes.
    eta: Vec<f64>,
    width: usize,
    says: Says,
    /// Where its classes stand among all that are known.
    places: Vec<usize>,
    /// It calls positive what the others call negative; its numbers were turned round.
    turned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// A number; the linear predictor itself.
    Number,
    /// The mean of a count: e^η.
    Mean,
    /// The probability of one of two classes.
    Probability,
    /// On which side of a line a row lies, without a probability.
    Margin,
    /// The probabilities of many classes.
    Probabilities,
}

/// The classes of a model, of two the positive one last.
fn classes_of(model: &Model) -> Option<Vec<Option<Class>>> {
    model.card().classes().map(|classes| classes.into_owned())
}

impl Known {
    /// Of a data set and a model that is asked about its classes; where it tells one from the rest, the other of two is the rest. Classes
    /// that it knows besides come last.
    pub(in crate::train) fn of_teacher(dataset: &Dataset, model: &Model) -> Self {
        let own = classes_of(model).unwrap_or_default();
        let called = |class: &Class| Some(class.clone()).filter(|class| !own.contains(&None) || own.contains(&Some(class.clone())));
        let mut classes: Vec<Option<Class>> = dataset.meta.target.classes.iter().flatten().map(called).collect();
        for class in own {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        Self { classes, score: ScoreName::Accuracy }
    }

    /// How many.
    pub(in crate::train) fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// Of the models of all rows.
    pub(super) fn of(score: ScoreName, dataset: &Dataset, rows: &[Row]) -> Result<Self, TrainError> {
        let mut classes: Vec<Option<Class>> = Vec::new();
        match score {
            ScoreName::R2 | ScoreName::DevianceRatio => {}
            ScoreName::Auc => classes = rows.first().and_then(|row| classes_of(&row.model)).unwrap_or_default(),
            ScoreName::Accuracy => {
                let of_data = dataset.meta.target.classes.iter().flatten().cloned().map(Some);
                let all = rows.iter().filter_map(|row| classes_of(&row.model)).flatten().chain(of_data);
                for class in all {
                    if !classes.contains(&class) {
                        classes.push(class);
                    }
                }
            }
        }
        if score == ScoreName::Auc && classes.len() != 2 {
            return Err(unfit("invalid_target", "The models do not tell one class from another."));
        }
        Ok(Self { classes, score })
    }
}

impl Said {
    /// What `model`, whose features have these `names`, says of the rows of a data set.
    pub(in crate::train) fn of(
        dataset: &Dataset,
        model: &Model,
        names: Option<&Names>,
        known: &Known,
        pace: &Pace<'_>,
    ) -> Result<(Self, Matched), TrainError> {
        let (matched, mut eta) = scores_of(dataset, model, names, pace)?;
        let card = model.card();
        let classes = classes_of(model);
        let (mut width, mut turned, mut places) = (1, false, Vec::new());
        let says = match (&classes, card.loss()) {
            (None, "poisson") => Says::Mean,
            (None, _) => Says::Number,
            (Some(classes), loss) => {
                if classes.len() == 2 {
                    if eta.len() == 2 * dataset.y.len() && card.linear().is_some_and(|card| card.is_multinomial()) {
                        // two classes, alike: what counts is how far one is above the other
                        eta = eta.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect();
                    }
                } else {
                    width = classes.len();
                }
                turned = known.score == ScoreName::Auc && classes.last() != known.classes.last();
                places = match known.score {
                    ScoreName::Auc => vec![0, 1],
                    _ => classes.iter().map(|class| known.classes.iter().position(|one| one == class).unwrap_or(0)).collect(),
                };
                match (width, loss) {
                    (1, "squared_hinge") => Says::Margin,
                    (1, _) => Says::Probability,
                    _ => Says::Probabilities,
                }
            }
        };
        for eta in eta.chunks_mut(STRETCH) {
            pace.work(eta.len())?;
            if turned {
                eta.iter_mut().for_each(|eta| *eta = -*eta);
            }
            let told = |eta: &f64| if says == Says::Mean { eta.exp().is_finite() } else { eta.is_finite() };
            if !eta.iter().all(told) {
                return Err(unfit("numerical_error", "A prediction is beyond a double."));
            }
        }
        Ok((Self { eta, width, says, places, turned }, matched))
    }

    /// What a column of a data set says: predictions of numbers, or of two classes, of which `classes` names the positive one last, the
    /// probabilities of that one.
    pub(super) fn of_column(column: &[f64], classes: Option<&[Class]>, known: &Known) -> Self {
        let Some(positive) = classes.and_then(<[Class]>::last) else {
            return Self { eta: column.to_vec(), width: 1, says: Says::Number, places: Vec::new(), turned: false };
        };
        let turned = known.classes.last().is_some_and(|class| class.as_ref() != Some(positive));
        let sign = if turned { -1.0 } else { 1.0 };
        // the linear predictor of a probability; of one that is sure, one that is as good as sure
        let eta = column.iter().map(|share| sign * (share / (1.0 - share)).ln().clamp(-SURE, SURE)).collect();
        Self { eta, width: 1, says: Says::Probability, places: vec![0, 1], turned }
    }

    /// The linear predictor of each row, one number each, as an `auc` ranks them.
    pub(super) fn ranks(&self) -> &[f64] {
        &self.eta
    }

    /// Numbers of a row.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether it predicts numbers.
    pub(in crate::train) fn is_number(&self) -> bool {
        matches!(self.says, Says::Number | Says::Mean)
    }

    /// Whether it gives classes probabilities.
    pub(super) fn has_probabilities(&self) -> bool {
        matches!(self.says, Says::Probability | Says::Probabilities)
    }

    /// The number predicted of a row.
    pub(in crate::train) fn number(&self, row: usize) -> f64 {
        if self.says == Says::Mean { self.eta[row].exp() } else { self.eta[row] }
    }

    /// Which of its own classes it says a row is of.
    fn own_label(&self, row: usize) -> usize {
        if self.width == 1 {
            // what is on neither side is of the class that it calls positive
            let positive = if self.turned { self.eta[row] > 0.0 } else { self.eta[row] >= 0.0 };
            return usize::from(positive);
        }
        let eta = self.of_row(row);
        (1..eta.len()).fold(0, |best, class| if eta[class] > eta[best] { class } else { best })
    }

    fn of_row(&self, row: usize) -> &[f64] {
        &self.eta[row * self.width..(row + 1) * self.width]
    }

    /// Which of the known classes it says a row is of.
    pub(super) fn label(&self, row: usize) -> usize {
        self.places.get(self.own_label(row)).copied().unwrap_or(0)
    }

    /// The probabilities of a row over all known classes.
    pub(in crate::train) fn spread(&self, row: usize, over: &mut [f64]) {
        over.fill(0.0);
        if self.width == 1 {
            let positive = sigmoid(self.eta[row]);
            over[self.places[1]] += positive;
            over[self.places[0]] += 1.0 - positive;
            return;
        }
        let eta = self.of_row(row);
        let most = eta.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = eta.iter().map(|one| (one - most).exp()).sum();
        eta.iter().zip(&self.places).for_each(|(one, place)| over[*place] += (one - most).exp() / sum);
    }

    /// What it says of a row, for people.
    pub(super) fn prediction(&self, row: usize, known: &Known) -> ComparedPrediction {
        let mut told = ComparedPrediction::default();
        if self.is_number() {
            told.prediction = Some(self.number(row));
            return told;
        }
        let label = self.label(row);
        told.label = known.classes.get(label).cloned().flatten();
        match self.says {
            Says::Margin => told.linear_predictor = Some(self.eta[row]),
            Says::Probability if known.score == ScoreName::Auc => told.probability = Some(sigmoid(self.eta[row])),
            _ => {
                let mut over = vec![0.0; known.classes.len()];
                self.spread(row, &mut over);
                told.probability = over.get(label).copied();
            }
        }
        told
    }
}

fn sigmoid(eta: f64) -> f64 {
    if eta >= 0.0 { 1.0 / (1.0 + (-eta).exp()) } else { eta.exp() / (1.0 + eta.exp()) }
}
