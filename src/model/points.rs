//! The coefficients of every λ of a path, kept in a file of their own: served models never load it.
//!
//! Little-endian; the checksum is kept outside.
//!
//! ```text
//! "SPFPATH1"  8 bytes, the version with it
//! head        u64, bytes of the JSON that follows the lengths
//! points      u64
//! non-zeros   u64, of all points together
//! JSON        {"spec":…,"l1_ratio":…,"n_features":…}, then zeros up to a multiple of 8
//! points      each: f64 λ, intercept, relative gap, deviance, full passes; u64 epochs, 1 = converged or 0; u64 non-zeros
//! indices     u32 each, rising within a point, then zeros up to a multiple of 8
//! values      f64 each
//! ```
//! One CSR block, rows = λ: 12 bytes a non-zero, and 64 a point. Reading allocates no more than the bytes it was given.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dataset::Damaged;

const MAGIC: &[u8; 8] = b"SPFPATH1";
const HEADER: usize = 32;
const WORDS: usize = 8;

/// Everything that makes a model of another λ of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathPoints {
    /// The specification of the fit with nothing left open.
    pub spec: Value,
    /// The ratio of this path, of those that the specification names.
    pub l1_ratio: f64,
    /// Features of the data set.
    pub n_features: u64,
    /// Largest λ first.
    pub points: Vec<PathPoint>,
}

/// The solution at one λ.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct PathPoint {
    pub lambda: f64,
    pub intercept: f64,
    /// The solver's own.
    pub relative_gap: f64,
    pub deviance: f64,
    pub full_passes: f64,
    pub epochs: u64,
    pub converged: bool,
    /// Features with a non-zero coefficient, rising.
    pub indices: Vec<u32>,
    /// Their coefficients, original scale.
    pub values: Vec<f64>,
}

/// The coefficients of a path as a client reads them: one CSR block, rows = λ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PathCoefficients {
    /// `csr`.
    pub encoding: &'static str,
    /// λ and features.
    pub shape: [u64; 2],
    /// Where each λ begins in `indices` and `values`.
    pub indptr: Vec<u64>,
    /// Features, rising within a λ.
    pub indices: Vec<u32>,
    /// Their coefficients.
    pub values: Vec<f64>,
    /// Intercept of each λ.
    pub intercepts: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    spec: Value,
    l1_ratio: f64,
    n_features: u64,
}

impl PathPoints {
    /// Bytes of the stored form of so many points with so many non-zeros, but for its JSON.
    pub fn bytes_of(points: usize, nonzeros: usize) -> usize {
        HEADER + points.saturating_mul(8 * WORDS).saturating_add(nonzeros.saturating_mul(12)).saturating_add(16)
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let nonzeros: usize = self.points.iter().map(|point| point.values.len()).sum();
        let head =
            serde_json::to_vec(&Head { spec: self.spec.clone(), l1_ratio: self.l1_ratio, n_features: self.n_features }).unwrap_or_default();
        let mut bytes = Vec::with_capacity(head.len() + Self::bytes_of(self.points.len(), nonzeros));
        bytes.extend_from_slice(MAGIC);
        for count in [head.len(), self.points.len(), nonzeros] {
            bytes.extend_from_slice(&(count as u64).to_le_bytes());
        }
        bytes.extend_from_slice(&head);
        pad(&mut bytes);
        for point in &self.points {
            for number in [point.lambda, point.intercept, point.relative_gap, point.deviance, point.full_passes] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for count in [point.epochs, u64::from(point.converged), point.values.len() as u64] {
                bytes.extend_from_slice(&count.to_le_bytes());
            }
        }
        self.points.iter().flat_map(|point| &point.indices).for_each(|index| bytes.extend_from_slice(&index.to_le_bytes()));
        pad(&mut bytes);
        self.points.iter().flat_map(|point| &point.values).for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        bytes
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let whole = Self::read(bytes).ok_or_else(|| Damaged("the points of a path are cut off or of another version".into()))?;
        let legal = whole.points.iter().all(|point| {
            let rising = point.indices.windows(2).all(|pair| pair[0] < pair[1]);
            let inside = point.indices.last().is_none_or(|last| u64::from(*last) < whole.n_features);
            let numbers = [point.lambda, point.intercept, point.relative_gap, point.deviance, point.full_passes];
            rising && inside && point.values.iter().all(|value| value.is_finite() && *value != 0.0) && numbers.iter().all(|n| n.is_finite())
        });
        if legal { Ok(whole) } else { Err(Damaged("the points of a path are no points".into())) }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?));
        let count = |at: usize| usize::try_from(word(at)?).ok();
        if bytes.get(..8)? != MAGIC {
            return None;
        }
        let (head, points, nonzeros) = (count(8)?, count(16)?, count(24)?);
        let end = HEADER.checked_add(head)?;
        let parsed: Head = serde_json::from_slice(bytes.get(HEADER..end)?).ok()?;
        let table = end.checked_next_multiple_of(8)?;
        let indices = table.checked_add(points.checked_mul(8 * WORDS)?)?;
        let values = indices.checked_add(nonzeros.checked_mul(4)?)?.checked_next_multiple_of(8)?;
        if values.checked_add(nonzeros.checked_mul(8)?)? != bytes.len() {
            return None;
        }
        let mut features = bytes[indices..].as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
        let mut coefficients = bytes[values..].as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b));
        let (mut left, mut read) = (nonzeros, Vec::with_capacity(points));
        for row in bytes[table..indices].as_chunks::<{ 8 * WORDS }>().0 {
            let words = row.as_chunks::<8>().0;
            let number = |at: usize| f64::from_le_bytes(words[at]);
            let many = usize::try_from(u64::from_le_bytes(words[7])).ok()?;
            left = left.checked_sub(many)?;
            read.push(PathPoint {
                lambda: number(0),
                intercept: number(1),
                relative_gap: number(2),
                deviance: number(3),
                full_passes: number(4),
                epochs: u64::from_le_bytes(words[5]),
                converged: u64::from_le_bytes(words[6]) == 1,
                indices: features.by_ref().take(many).collect(),
                values: coefficients.by_ref().take(many).collect(),
            });
        }
        (left == 0).then_some(Self { spec: parsed.spec, l1_ratio: parsed.l1_ratio, n_features: parsed.n_features, points: read })
    }

    /// As a client reads them.
    pub fn coefficients(&self) -> PathCoefficients {
        let mut indptr = vec![0];
        let mut end = 0;
        indptr.extend(self.points.iter().map(|point| {
            end += point.values.len() as u64;
            end
        }));
        PathCoefficients {
            encoding: "csr",
            shape: [self.points.len() as u64, self.n_features],
            indptr,
            indices: self.points.iter().flat_map(|point| point.indices.iter().copied()).collect(),
            values: self.points.iter().flat_map(|point| point.values.iter().copied()).collect(),
            intercepts: self.points.iter().map(|point| point.intercept).collect(),
        }
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn points() -> PathPoints {
        let point = |lambda: f64, indices: &[u32], values: &[f64]| PathPoint {
            lambda,
            intercept: 0.5,
            relative_gap: 1e-9,
            deviance: 0.25,
            full_passes: 3.5,
            epochs: 7,
            converged: lambda > 0.1,
            indices: indices.to_vec(),
            values: values.to_vec(),
        };
        let points = vec![point(1.0, &[], &[]), point(0.5, &[3], &[-0.5]), point(0.1, &[0, 3, 9], &[1e-300, 2.0, 0.1 + 0.2])];
        PathPoints { spec: json!({"loss": {"type": "squared"}}), l1_ratio: 1.0, n_features: 10, points }
    }

    #[test]
    fn points_survive_their_stored_form_in_twelve_bytes_a_non_zero() {
        let original = points();
        let bytes = original.encode();
        assert_eq!(PathPoints::decode(&bytes).unwrap(), original);
        let json = original.spec.to_string().len() + 60;
        assert!(bytes.len() <= PathPoints::bytes_of(3, 4) + json, "{}", bytes.len());
        let block = original.coefficients();
        assert_eq!((block.shape, block.indptr, block.indices), ([3, 10], vec![0, 0, 1, 4], vec![3, 0, 3, 9]));
        assert_eq!(block.values, [-0.5, 1e-300, 2.0, 0.1 + 0.2]);
    }

    #[test]
    fn no_cut_and_no_number_out_of_place_is_read() {
        let bytes = points().encode();
        for end in 0..bytes.len() {
            assert!(PathPoints::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let broken = |change: &dyn Fn(&mut PathPoint)| {
            let mut points = points();
            change(&mut points.points[2]);
            PathPoints::decode(&points.encode()).is_err()
        };
        assert!(broken(&|point| point.indices[2] = 10));
        assert!(broken(&|point| point.indices[1] = 0));
        assert!(broken(&|point| point.values[0] = f64::NAN));
        assert!(broken(&|point| point.values[0] = 0.0));
        assert!(broken(&|point| point.lambda = f64::INFINITY));
    }

    proptest! {
        #[test]
        fn whatever_bytes_are_read_nothing_breaks(at in 0usize..400, byte in any::<u8>()) {
            let mut bytes = points().encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = PathPoints::decode(&bytes);
        }
    }
}
