//! The answer of a rules model for one row. Conditions are found by the features that the row holds: what it does not hold is 0, and
//! which rules 0 breaks is known beforehand.

use super::super::score::{Refusal, Scorer, put};
use super::RulesModel;
use crate::fault::Code;

/// Conditions by feature.
#[derive(Debug, Default)]
pub(in crate::model) struct RuleIndex {
    /// Where the conditions on each active feature begin, and at the end their number.
    starts: Vec<u32>,
    /// Rule, and place of the condition among all.
    conditions: Vec<(u32, u32)>,
    /// Conditions of each rule that a row without entries breaks.
    broken: Vec<u32>,
    /// Coefficient of each active feature by itself; 0 = it has none.
    linear: Vec<f64>,
}

impl RuleIndex {
    /// For a model in which the features `used`, rising, are active.
    pub(in crate::model) fn new(model: &RulesModel, used: &[u32]) -> Self {
        let rules = &model.rules;
        let place = |feature: u32| used.partition_point(|one| *one < feature);
        let mut of_feature: Vec<Vec<(u32, u32)>> = vec![Vec::new(); used.len()];
        let mut broken = vec![0; rules.len()];
        for (rule, broken) in broken.iter_mut().enumerate() {
            for at in rules.range(rule) {
                if let Some(conditions) = of_feature.get_mut(place(rules.features[at])) {
                    conditions.push((rule as u32, at as u32));
                }
                *broken += u32::from(!rules.contains(at, 0.0));
            }
        }
        let mut linear = vec![0.0; used.len()];
        for (&feature, &value) in model.indices.iter().zip(&model.values) {
            if let Some(own) = linear.get_mut(place(feature)) {
                *own = value;
            }
        }
        let mut starts = vec![0];
        let mut conditions = Vec::with_capacity(rules.features.len());
        for of_feature in of_feature {
            conditions.extend(of_feature);
            starts.push(conditions.len() as u32);
        }
        Self { starts, conditions, broken, linear }
    }

    /// The conditions on the active feature at `position`.
    fn on(&self, position: u32) -> &[(u32, u32)] {
        let at = position as usize;
        &self.conditions[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

impl Scorer<'_> {
    /// Sums the intercept, the rules that hold in the order of the model, and the linear terms by rising feature; writes the answer.
    pub(in crate::model) fn follow(&mut self, model: &RulesModel) -> Result<(), Refusal> {
        let Some(index) = self.predictor.rules() else { return Ok(()) };
        let (rules, broken) = (&model.rules, &mut self.broken);
        broken.clear();
        broken.extend_from_slice(&index.broken);
        for &(position, value) in &self.row.hits {
            for &(rule, at) in index.on(position) {
                let (rule, at) = (rule as usize, at as usize);
                // two conditions of a rule are never on one feature
                broken[rule] = broken[rule] + u32::from(!rules.contains(at, value)) - u32::from(!rules.contains(at, 0.0));
            }
        }
        let mut score = model.card.intercept;
        for (coefficient, broken) in rules.coefficients.iter().zip(&*broken) {
            if *broken == 0 {
                score += coefficient;
            }
        }
        for (position, value) in &self.row.hits {
            let coefficient = index.linear[*position as usize];
            if coefficient != 0.0 {
                score += coefficient * value;
            }
        }
        if !score.is_finite() {
            return Err(Refusal::row(Code::NumericalError, "the score is beyond a double"));
        }
        self.answer(score, score, |scorer| scorer.put_terms(model));
        Ok(())
    }

    /// The strongest of the rules that hold and of the linear terms; equal ones in the order they are summed in.
    fn put_terms(&mut self, model: &RulesModel) {
        let Some(index) = self.predictor.rules() else { return };
        let holding = self.broken.iter().enumerate().filter(|(_, broken)| **broken == 0).map(|(rule, _)| rule);
        let mut terms: Vec<(Result<usize, u32>, f64)> = holding.map(|rule| (Ok(rule), model.rules.coefficients[rule])).collect();
        let linear = self.row.hits.iter().map(|(position, value)| (Err(*position), index.linear[*position as usize] * value));
        terms.extend(linear.filter(|(_, value)| *value != 0.0));
        terms.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        self.out.push(b'[');
        for (rank, (term, value)) in terms.into_iter().take(self.wanted.top_contributions).enumerate() {
            self.out.extend_from_slice(if rank == 0 { b"{\"feature\":" } else { b",{\"feature\":" });
            let name = match term {
                Ok(rule) => model.text(rule, self.predictor.names()),
                Err(position) => self.predictor.display_name(self.predictor.feature(position)),
            };
            let _ = serde_json::to_writer(&mut self.out, &name);
            self.out.extend_from_slice(b",\"value\":");
            put(&mut self.out, value);
            self.out.push(b'}');
        }
        self.out.push(b']');
    }
}
