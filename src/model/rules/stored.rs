//! The stored form of a rules model: bytes ⇄ [`RulesModel`]. Begins and ends as every model file does.
//!
//! ```text
//! "SPFMODEL", version 5, reserved, head: as of other models
//! rules       u64
//! JSON        {"card":…,"conditions":…,"linear":…,"path":[…],"cv":…}, then zeros up to a multiple of 8
//! rules       conditions of each and their features u32 each, coefficients, supports, lows, highs f64 each
//! linear      features u32 each, filled up to 8 bytes, coefficients, standard deviations f64 each
//! checksum    SHA-256 of all bytes before it
//! ```

use serde::{Deserialize, Serialize};

use super::super::frame::{self, Start, damaged};
use super::{RuleList, RulesCard, RulesModel};
use crate::dataset::Damaged;
use crate::model::{Cv, PathRow};

/// Version of the files of rules.
pub(in crate::model) const VERSION: u32 = 5;

#[derive(Serialize)]
struct HeadOut<'a> {
    card: &'a RulesCard,
    conditions: usize,
    linear: usize,
    path: &'a [PathRow],
    cv: &'a Option<Cv>,
}

#[derive(Deserialize)]
struct HeadIn {
    card: RulesCard,
    conditions: usize,
    linear: usize,
    path: Vec<PathRow>,
    cv: Option<Cv>,
}

impl RulesModel {
    /// The stored form: the same bytes for the same model.
    pub fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(self.check(), Ok(()));
        let (conditions, linear) = (self.rules.features.len(), self.indices.len());
        let head = HeadOut { card: &self.card, conditions, linear, path: &self.path, cv: &self.cv };
        let mut bytes = frame::start(VERSION, &head, self.rules.len());
        self.rules.put(&mut bytes);
        self.indices.iter().for_each(|index| bytes.extend_from_slice(&index.to_le_bytes()));
        frame::pad(&mut bytes);
        for real in [&self.values, &self.deviations] {
            real.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        }
        frame::seal(bytes)
    }

    pub(in crate::model) fn read(bytes: &[u8], start: &Start) -> Result<Self, Damaged> {
        let head: HeadIn = serde_json::from_slice(&bytes[start.head.clone()]).map_err(|e| damaged(format!("its head: {e}")))?;
        let model = Self::of_arrays(&bytes[start.arrays.clone()], start.count, head).ok_or_else(|| damaged("its lengths do not agree"))?;
        model.check().map_err(damaged)?;
        Ok(model)
    }

    fn of_arrays(arrays: &[u8], rules: usize, head: HeadIn) -> Option<Self> {
        let HeadIn { card, conditions, linear, path, cv } = head;
        let (of_rules, of_linear) = arrays.split_at_checked(RuleList::bytes_of(rules, conditions)?)?;
        let of_indices = linear.checked_mul(4)?.checked_next_multiple_of(8)?;
        let (of_indices, reals) = of_linear.split_at_checked(of_indices)?;
        if Some(reals.len()) != linear.checked_mul(16) {
            return None;
        }
        let rules = RuleList::read(of_rules, rules, conditions)?;
        let indices = of_indices[..4 * linear].as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let mut values: Vec<f64> = reals.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        let deviations = values.split_off(linear);
        Some(Self { card, rules, indices, values, deviations, path, cv })
    }

    /// What must hold of every rules model before it is stored.
    pub fn check(&self) -> Result<(), &'static str> {
        let n_features = self.card.sparsity.n_features;
        self.rules.check(n_features)?;
        let linear = self.indices.len();
        if self.values.len() != linear || self.deviations.len() != linear {
            return Err("the lengths of its arrays do not agree");
        }
        let sparsity = &self.card.sparsity;
        if sparsity.rules != self.rules.len() as u64 || sparsity.linear_terms != linear as u64 {
            return Err("its lengths do not agree");
        }
        if self.indices.windows(2).any(|pair| pair[0] >= pair[1]) || self.indices.last().is_some_and(|last| u64::from(*last) >= n_features)
        {
            return Err("the features do not rise or leave the feature space");
        }
        if self.values.iter().any(|value| !value.is_finite() || *value == 0.0) || self.deviations.iter().any(|one| !one.is_finite()) {
            return Err("a coefficient is zero or not finite");
        }
        let (card, certificate) = (&self.card, &self.card.certificate);
        let numbers = [card.lambda, card.lambda_max, card.intercept, certificate.primal, certificate.max_kkt_violation];
        let of_path = self.path.iter().flat_map(|row| [row.lambda, row.deviance_ratio]);
        let of_cv = self.cv.iter().flat_map(|cv| &cv.rows).flat_map(|row| [row.lambda, row.mean]);
        if numbers.into_iter().chain(of_path).chain(of_cv).all(f64::is_finite) { Ok(()) } else { Err("a number is not finite") }
    }
}
