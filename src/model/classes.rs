//! The answer of a multinomial model for one row: one predictor for each class, their probabilities, the most probable.

use std::io::Write as _;

use super::LinearModel;
use super::score::{Refusal, Scorer, fields, put};
use crate::fault::Code;

impl Scorer<'_> {
    /// Scores the row that was read in one walk over its entries and their classes, and writes its answer.
    pub(super) fn score_classes(&mut self, model: &LinearModel) -> Result<(), Refusal> {
        let predictor = self.predictor;
        let scores = &mut self.scores;
        scores.clear();
        scores.extend(model.card.intercepts.iter().flatten());
        for (position, value) in &self.row.hits {
            for at in predictor.entries(*position) {
                scores[model.classes[at] as usize] += model.values[at] * value;
            }
        }
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(Refusal::row(Code::NumericalError, "a score is beyond a double"));
        }
        self.answer_classes(|scorer, label| scorer.contributions_to(model, label));
        Ok(())
    }

    /// Writes what is wanted of a row with these scores of the classes; `contributions` writes what that of the label is made of.
    pub(super) fn answer_classes(&mut self, contributions: impl FnOnce(&mut Self, usize)) {
        let wanted = self.wanted;
        let scores = &self.scores;
        // the first of equals
        let label = (1..scores.len()).fold(0, |best, k| if scores[k] > scores[best] { k } else { best });
        let mut field = fields(self.rows);
        if wanted.probabilities {
            field(&mut self.out, "\"probabilities\":");
            let top = self.scores[label];
            let sum: f64 = self.scores.iter().map(|score| (score - top).exp()).sum();
            put_all(&mut self.out, self.scores.iter().map(|score| (score - top).exp() / sum));
        }
        if wanted.label {
            field(&mut self.out, "\"label\":");
            self.out.extend_from_slice(self.predictor.label(label));
        }
        if wanted.linear_predictor {
            field(&mut self.out, "\"linear_predictor\":");
            put_all(&mut self.out, self.scores.iter().copied());
        }
        if wanted.contributions {
            field(&mut self.out, "\"contributions\":");
            contributions(self, label);
        }
        if wanted.unknown {
            field(&mut self.out, "\"unknown\":");
            let _ = write!(self.out, "{}", self.row.unknown);
        }
        self.out.push(b'}');
    }

    /// What the row's features add to the predictor of one class.
    fn contributions_to(&mut self, model: &LinearModel, class: usize) {
        let predictor = self.predictor;
        self.row.hits.retain_mut(|(position, value)| {
            let entries = predictor.entries(*position);
            let found = model.classes[entries.clone()].binary_search(&(class as u32));
            if let Ok(at) = found {
                *value *= model.values[entries.start + at];
            }
            found.is_ok()
        });
        self.put_contributions();
    }
}

pub(super) fn put_all(out: &mut Vec<u8>, numbers: impl Iterator<Item = f64>) {
    out.push(b'[');
    for (at, number) in numbers.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put(out, number);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::super::sample::{multinomial_model, names};
    use super::super::{Model, PredictFormat, PredictLimits, PredictOptions, Predictor};
    use crate::fault::{Code, Fault};

    const LIMITS: PredictLimits = PredictLimits { rows: 4, row_nnz: 200, index_max: (1 << 31) - 1 };

    /// Classes "ant", "bee", 3; intercepts ½, −¼, −¼.
    fn predictor() -> Predictor {
        let model = multinomial_model(&[(1, 0, 0.5), (1, 2, -1.0), (4, 1, 2.0), (6, 0, -0.25), (6, 1, 0.25), (6, 2, 1.0)]);
        Predictor::new(Arc::new(Model::Linear(model)), None)
    }

    fn predict(predictor: &Predictor, format: PredictFormat, body: &str, query: PredictOptions) -> Result<Value, Fault> {
        let predictions = predictor.predict(body.as_bytes(), format, &query, &LIMITS)?;
        Ok(serde_json::from_slice(&predictions.predictions_json).unwrap())
    }

    fn json_of(body: &str) -> Result<Value, Fault> {
        predict(&predictor(), PredictFormat::Json, body, PredictOptions::default())
    }

    #[test]
    fn probabilities_are_those_of_the_formula_in_the_order_of_the_classes_and_every_form_gives_the_same() {
        let answer = json_of(r#"{"instances":[{"indices":[6,1],"values":[2,1]},{"features":{}},{"indices":[4],"values":[1]}]}"#).unwrap();
        let eta = [0.5 + 0.5 - 0.5, -0.25 + 0.5, -0.25 - 1.0 + 2.0_f64];
        let sum: f64 = eta.iter().map(|eta| eta.exp()).sum();
        for (k, eta) in eta.iter().enumerate() {
            let told = answer[0]["probabilities"][k].as_f64().unwrap();
            assert!((told - eta.exp() / sum).abs() < 1e-15, "{answer}");
        }
        let labels: Vec<&Value> = answer.as_array().unwrap().iter().map(|row| &row["label"]).collect();
        assert_eq!(labels, [&json!(3), &json!("ant"), &json!("bee")]);
        assert_eq!(answer[0].as_object().unwrap().len(), 2, "{answer}");
        let csr = json_of(r#"{"csr":{"indptr":[0,2,2,3],"indices":[1,6,4],"values":[1,2,1]}}"#).unwrap();
        let lines = predict(&predictor(), PredictFormat::Libsvm { index_base: 1 }, "0 2:1 7:2\n0\n0 5:1\n", PredictOptions::default());
        assert_eq!((&csr, &lines.unwrap()), (&answer, &answer));
    }

    #[test]
    fn predictors_come_on_request_and_contributions_are_those_to_the_label() {
        let body = r#"{"instances":[{"indices":[6,1,4,90],"values":[2,1,-3,1]},{"indices":[200],"values":[1]}],
            "output":["linear_predictor","contributions","unknown","label"]}"#;
        let expected = json!([
            {"label": 3, "linear_predictor": [0.5, -5.75, 0.75], "unknown": 0,
             "contributions": [{"feature": "6", "value": 2.0}, {"feature": "1", "value": -1.0}]},
            {"label": "ant", "linear_predictor": [0.5, -0.25, -0.25], "unknown": 1, "contributions": []},
        ]);
        assert_eq!(json_of(body).unwrap(), expected);
        let named = Predictor::new(predictor().model().clone(), Some(names(&["a", "b", "c", "d", "e", "f", "g"])));
        let body = r#"{"instances":[{"features":{"g":2,"b":1,"c":5}}],"output":["contributions"],"top_contributions":1}"#;
        let answer = predict(&named, PredictFormat::Json, body, PredictOptions::default()).unwrap();
        assert_eq!(answer, json!([{"contributions": [{"feature": "g", "value": 2.0}]}]));
    }

    #[test]
    fn extreme_scores_give_probabilities_and_scores_beyond_a_double_an_error() {
        let answer = json_of(r#"{"instances":[{"indices":[4],"values":[1e300]},{"indices":[6],"values":[-1e300]}]}"#).unwrap();
        assert_eq!((&answer[0]["probabilities"], &answer[1]["probabilities"]), (&json!([0.0, 1.0, 0.0]), &json!([1.0, 0.0, 0.0])));
        let fault = json_of(r#"{"instances":[{"indices":[4],"values":[1.7e308]}]}"#).unwrap_err();
        assert_eq!((fault.code, fault.places[0].pointer.as_deref()), (Code::NumericalError, Some("#/instances/0")));
    }

    #[test]
    fn what_only_two_classes_have_is_refused() {
        for (body, pointer) in [
            (r#"{"instances":[{"features":{}}],"threshold":0.3}"#, "#/threshold"),
            (r#"{"instances":[{"features":{}}],"output":["label","probability"]}"#, "#/output/1"),
            (r#"{"instances":[{"features":{}}],"output":["prediction"]}"#, "#/output/0"),
        ] {
            let fault = json_of(body).unwrap_err();
            assert_eq!((fault.code, fault.places[0].pointer.as_deref()), (Code::InvalidParameter, Some(pointer)), "{body}");
        }
    }

    #[test]
    fn the_histogram_counts_the_zeros_of_every_class() {
        let histogram = predictor().model().linear().unwrap().histogram(4);
        assert_eq!((histogram.zeros, histogram.counts.iter().sum::<u64>()), (294, 6));
    }
}
