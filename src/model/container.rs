//! The stored form of a linear model: bytes ⇄ [`LinearModel`]. Begins and ends as every model file does; knows nothing of files.
//!
//! ```text
//! version     u32, 1; 2 for multinomial models
//! count       u64, non-zeros
//! JSON        {"card":…,"path":[…],"cv":…,"stability":…}
//! indices     u32 each, rising, then zeros up to a multiple of 8
//! classes     of version 2: u32 each, rising within an index, then zeros up to a multiple of 8
//! values      f64 each
//! ```
//!
//! 12 bytes per non-zero (16 of version 2) plus the JSON, whose length does not depend on the number of non-zeros. Reading checks the
//! checksum before anything else is believed, and allocates no more than the bytes it was given.

use serde::{Deserialize, Serialize};

use super::frame::{self, Start, damaged, pad};
use super::{Cv, LinearCard, LinearModel, PathRow, Stability};
use crate::dataset::Damaged;

pub(super) const VERSION: u32 = 1;
pub(super) const VERSION_OF_CLASSES: u32 = 2;

/// The JSON part as it is written.
#[derive(Serialize)]
struct HeadOut<'a> {
    card: &'a LinearCard,
    path: &'a [PathRow],
    cv: &'a Option<Cv>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stability: &'a Option<Stability>,
}

/// The JSON part as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadIn {
    card: LinearCard,
    path: Vec<PathRow>,
    cv: Option<Cv>,
    #[serde(default)]
    stability: Option<Stability>,
}

impl LinearModel {
    /// The stored form: self-describing, versioned, the same bytes for the same model.
    ///
    /// Numbers must be finite ([`LinearModel::check`]): JSON has no others, and a model with one would not be read again.
    pub fn encode(&self) -> Vec<u8> {
        debug_assert_eq!(self.check(), Ok(()));
        let version = if self.card.is_multinomial() { VERSION_OF_CLASSES } else { VERSION };
        let head = HeadOut { card: &self.card, path: &self.path, cv: &self.cv, stability: &self.stability };
        let mut bytes = frame::start(version, &head, self.values.len());
        self.indices.iter().for_each(|index| bytes.extend_from_slice(&index.to_le_bytes()));
        pad(&mut bytes);
        self.classes.iter().for_each(|class| bytes.extend_from_slice(&class.to_le_bytes()));
        pad(&mut bytes);
        self.values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        frame::seal(bytes)
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        Self::read(bytes, &Start::read(bytes)?)
    }

    pub(super) fn read(bytes: &[u8], start: &Start) -> Result<Self, Damaged> {
        let layout = Layout::of(start)?;
        let head: HeadIn = serde_json::from_slice(&bytes[layout.head.clone()]).map_err(|e| damaged(format!("its head: {e}")))?;
        let numbers = |range: std::ops::Range<usize>| bytes[range].as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        let (indices, classes) = (numbers(layout.indices.clone()), numbers(layout.classes.clone()));
        let values = bytes[layout.values.clone()].as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
        let mut model = Self { card: head.card, indices, classes, values, path: head.path, cv: head.cv, stability: head.stability };
        model.check().map_err(damaged)?;
        model.card.sparsity.fill_indices(model.card.n_outputs(), &model.values);
        Ok(model)
    }

    /// What must hold of every model before it is stored: indices rise and lie in the feature space, coefficients are
    /// finite and not zero, and every number of card, path and cross-validation is finite.
    pub fn check(&self) -> Result<(), &'static str> {
        let multinomial = self.card.is_multinomial();
        let rising = multinomial || self.indices.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = self.indices.last().is_none_or(|last| u64::from(*last) < self.card.sparsity.n_features);
        if self.indices.len() != self.values.len() || self.card.sparsity.nonzeros != self.values.len() as u64 {
            return Err("its lengths do not agree");
        }
        if multinomial {
            self.check_classes()?
        } else if !self.classes.is_empty() {
            return Err("it has classes of coefficients and is not multinomial");
        }
        if !rising || !inside {
            return Err("its indices do not rise within the feature space");
        }
        if self.values.iter().any(|value| !value.is_finite() || *value == 0.0) {
            return Err("a coefficient is zero or not finite");
        }
        let frequencies = |stability: &Stability| {
            let lengths = stability.indices.len() == stability.counts.len();
            let inside = stability.indices.iter().all(|index| u64::from(*index) < self.card.sparsity.n_features);
            let numbers = [stability.threshold, stability.expected_false, stability.features_selected, stability.false_bound];
            let counts = stability.counts.iter().all(|count| (1..=stability.resamples).contains(&u64::from(*count)));
            lengths && inside && counts && numbers.iter().all(|number| number.is_finite())
        };
        if !self.stability.as_ref().is_none_or(frequencies) {
            return Err("its frequencies are none");
        }
        if !self.numbers().all(f64::is_finite) {
            return Err("a number is not finite");
        }
        Ok(())
    }

    fn check_classes(&self) -> Result<(), &'static str> {
        let n_classes = self.card.n_outputs();
        if self.classes.len() != self.values.len() || self.card.classes.as_ref().map(Vec::len) != Some(n_classes) || n_classes < 2 {
            return Err("its classes do not agree");
        }
        let entries = || self.indices.iter().zip(&self.classes);
        let rising = entries().zip(entries().skip(1)).all(|(one, next)| one < next);
        let inside = self.classes.iter().all(|class| (*class as usize) < n_classes);
        if rising && inside { Ok(()) } else { Err("the classes of its coefficients do not rise below their number") }
    }

    /// Every floating-point number outside the arrays.
    fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        let (card, proof, sparsity) = (&self.card, &self.card.certificate, &self.card.sparsity);
        let of_card = [card.lambda, card.lambda_max, card.l1_ratio, card.intercept];
        let of_bound = [proof.dual, proof.gap, proof.relative_gap].into_iter().flatten();
        let of_proof = [proof.primal, proof.tol, proof.max_kkt_violation, proof.full_passes].into_iter().chain(of_bound);
        let of_sparsity = [sparsity.sparsity_ratio, sparsity.l1, sparsity.l2, sparsity.near_zero_ratio, sparsity.near_zero_tol];
        let of_support =
            sparsity.max_abs.iter().map(|f| f.value).chain(sparsity.min_abs_nonzero).chain(sparsity.hoyer).chain(sparsity.gini);
        let of_path = self.path.iter().flat_map(|row| {
            [Some(row.lambda), Some(row.deviance_ratio), row.relative_gap, row.cv_mean, row.cv_se, row.criterion].into_iter().flatten()
        });
        let rows = self.cv.iter().flat_map(|cv| &cv.rows);
        let of_cv = rows.flat_map(|row| [row.lambda, row.mean].into_iter().chain(row.se).chain(row.per_fold.iter().copied()));
        let bracket = card.bracket.into_iter().flatten().chain(card.intercepts.iter().flatten().copied());
        of_card.into_iter().chain(of_proof).chain(of_sparsity).chain(of_support).chain(bracket).chain(of_path).chain(of_cv)
    }
}

/// Where the parts lie.
struct Layout {
    head: std::ops::Range<usize>,
    indices: std::ops::Range<usize>,
    classes: std::ops::Range<usize>,
    values: std::ops::Range<usize>,
}

impl Layout {
    fn of(start: &Start) -> Result<Self, Damaged> {
        let of_classes = match start.version {
            version if version == u64::from(VERSION) => false,
            version if version == u64::from(VERSION_OF_CLASSES) => true,
            _ => return Err(damaged("its version is not known")),
        };
        Self::place(start, of_classes)
            .filter(|layout| layout.values.end == start.arrays.end)
            .ok_or_else(|| damaged("its lengths do not agree"))
    }

    /// The layout for a number of non-zeros; `None` on overflow.
    fn place(start: &Start, of_classes: bool) -> Option<Self> {
        let (nonzeros, begin) = (start.count, start.arrays.start);
        let indices = begin..begin.checked_add(nonzeros.checked_mul(4)?)?;
        let begin = indices.end.checked_next_multiple_of(8)?;
        let classes = begin..begin.checked_add(if of_classes { nonzeros.checked_mul(4)? } else { 0 })?;
        let begin = classes.end.checked_next_multiple_of(8)?;
        let values = begin..begin.checked_add(nonzeros.checked_mul(8)?)?;
        Some(Self { head: start.head.clone(), indices, classes, values })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use sha2::{Digest, Sha256};

    use super::super::frame::{CHECKSUM, word};
    use super::super::sample::{model, multinomial_model, wide_model};
    use super::*;

    #[test]
    fn a_model_survives_its_stored_form_and_the_form_is_a_function_of_the_model() {
        for original in [model(&[], &[]), model(&[3], &[-0.5]), model(&[0, 7, 99], &[1e-300, -3.0, 0.1 + 0.2]), wide_model(1000)] {
            let bytes = original.encode();
            assert_eq!(LinearModel::decode(&bytes).unwrap(), original);
            assert_eq!(original.encode(), bytes);
        }
    }

    #[test]
    fn a_multinomial_model_survives_and_its_classes_are_checked() {
        let original = multinomial_model(&[(1, 0, 0.5), (1, 2, -1.0), (4, 1, 2.0)]);
        let bytes = original.encode();
        assert_eq!(LinearModel::decode(&bytes).unwrap(), original);
        assert_eq!(word(&bytes, 8), u64::from(VERSION_OF_CLASSES));
        assert_eq!(word(&model(&[1], &[1.0]).encode(), 8), u64::from(VERSION));
        assert_eq!(multinomial_model(&[]).check(), Ok(()));
        for length in 0..bytes.len() {
            assert!(LinearModel::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        let wrong = |change: &dyn Fn(&mut LinearModel)| {
            let mut bad = original.clone();
            change(&mut bad);
            assert!(bad.check().is_err(), "{bad:?}");
        };
        wrong(&|bad| bad.classes[2] = 3);
        wrong(&|bad| bad.classes[1] = 0);
        wrong(&|bad| bad.classes.swap(0, 1));
        wrong(&|bad| bad.classes.truncate(2));
        wrong(&|bad| bad.card.classes = None);
        wrong(&|bad| bad.card.intercepts = None);
        wrong(&|bad| bad.card.intercepts = Some(vec![0.0; 2]));
        wrong(&|bad| bad.card.intercepts = Some(vec![0.0, f64::NAN, 0.0]));
    }

    #[test]
    fn a_non_zero_costs_at_most_32_bytes() {
        let (small, large) = (wide_model(1_000).encode().len(), wide_model(101_000).encode().len());
        assert!(large - small <= 32 * 100_000, "{} bytes for 100 000 non-zeros", large - small);
        assert!(wide_model(0).encode().len() < 4096);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = model(&[0, 7, 99], &[1.0, -3.0, 2.0]).encode();
        for length in 0..bytes.len() {
            assert!(LinearModel::decode(&bytes[..length]).is_err(), "cut at {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut broken = bytes.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(LinearModel::decode(&broken).is_err(), "bit {bit}");
        }
        assert!(LinearModel::decode(&[&bytes[..], b"x"].concat()).is_err());
    }

    /// `bytes` with a checksum that matches.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        let end = bytes.len() - CHECKSUM;
        let checksum = Sha256::digest(&bytes[..end]);
        bytes[end..].copy_from_slice(&checksum);
        bytes
    }

    #[test]
    fn wrong_lengths_indices_and_values_are_refused_even_under_a_matching_checksum() {
        let good = model(&[1, 2], &[1.0, 2.0]).encode();
        let values = good.len() - CHECKSUM - 16;
        for (at, change) in [
            (8, 2u64.to_le_bytes()),
            (16, u64::MAX.to_le_bytes()),
            (24, u64::MAX.to_le_bytes()),
            (24, (1u64 << 62).to_le_bytes()),
            (24, 1u64.to_le_bytes()),
            (values - 8, [2, 0, 0, 0, 1, 0, 0, 0]),
            (values - 8, [1, 0, 0, 0, 255, 255, 255, 255]),
            (values, f64::NAN.to_le_bytes()),
            (values, 0f64.to_le_bytes()),
        ] {
            let mut bad = good.clone();
            bad[at..at + 8].copy_from_slice(&change);
            assert!(LinearModel::decode(&sealed(bad)).is_err(), "at {at}");
        }
        assert!(LinearModel::decode(&sealed(good)).is_ok());
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_found_before_storing() {
        let mut bad = model(&[1], &[1.0]);
        bad.card.certificate.relative_gap = Some(f64::NAN);
        assert!(bad.check().is_err());
        let mut bad = model(&[1], &[1.0]);
        bad.path[0].cv_se = Some(f64::INFINITY);
        assert!(bad.check().is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_never_a_model_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(LinearModel::decode(&bytes).is_err());
        }

        #[test]
        fn arbitrary_changes_under_a_matching_checksum_never_panic(changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
            let mut bytes = model(&[0, 7, 99], &[1.0, -3.0, 2.0]).encode();
            let end = bytes.len() - CHECKSUM;
            changes.into_iter().for_each(|(at, byte)| bytes[usize::from(at) % end] = byte);
            if let Ok(model) = LinearModel::decode(&sealed(bytes)) {
                prop_assert_eq!(model.check(), Ok(()));
            }
        }
    }
}
