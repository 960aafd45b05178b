//! The coefficients of every λ of a path, kept in a file of their own: served models never load it.
//!
//! Little-endian; the checksum is kept outside.
//!
//! ```text
//! "SPFPATH1"  8 bytes, the version with it
//! head        u64, bytes of the JSON that follows the lengths
//! points      u64
//! non-zeros   u64, of all points together
//! JSON        {"spec":…,"l1_ratio":…,"n_features":…,"n_classes":…,"pilot":…}, then zeros up to a multiple of 8
//! points      each: f64 λ, intercept, relative gap, deviance, full passes; u64 epochs, 1 = converged or 0; u64 non-zeros
//! indices     u32 each, rising within a point, then zeros up to a multiple of 8
//! values      f64 each
//! classes     u32 each, rising where indices are equal, then zeros up to a multiple of 8; only with n_classes
//! intercepts  f64, n_classes of each point; only with n_classes
//! ```
//! One CSR block, rows = λ: 12 bytes a non-zero (16 with classes), and 64 a point. Where `pilot` is true the last point is that
//! of the pilot fit. Reading allocates no more than the bytes it was given.

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
    /// Classes of a multinomial fit; 0 for any other.
    pub n_classes: u64,
    /// Largest λ first.
    pub points: Vec<PathPoint>,
    /// What the factors of an adaptive penalty were taken from.
    pub pilot: Option<PathPoint>,
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
    /// Features with a non-zero coefficient, rising; with classes once for each of theirs.
    pub indices: Vec<u32>,
    /// Of a multinomial fit the class of each coefficient, rising where the feature is the same; else empty.
    pub classes: Vec<u32>,
    /// The coefficients, original scale.
    pub values: Vec<f64>,
    /// Of a multinomial fit one for each class; else empty.
    pub intercepts: Vec<f64>,
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
    /// Of a multinomial fit the class of each coefficient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<u32>>,
    /// The coefficients.
    pub values: Vec<f64>,
    /// Intercept of each λ; of a multinomial fit one for each class.
    pub intercepts: Vec<Intercept>,
}

/// Intercept of one λ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Intercept {
    /// Of a model with one linear predictor.
    One(f64),
    /// Of a multinomial one, class by class.
    Classes(Vec<f64>),
}

#[derive(Serialize, Deserialize)]
struct Head {
    spec: Value,
    l1_ratio: f64,
    n_features: u64,
    // files of before these were known have neither
    #[serde(default)]
    n_classes: u64,
    #[serde(default)]
    pilot: bool,
}

impl PathPoints {
    /// Bytes of the stored form of so many points with so many non-zeros and classes, but for its JSON.
    pub fn bytes_of(points: usize, nonzeros: usize, n_classes: usize) -> usize {
        let of_point = n_classes.saturating_add(WORDS).saturating_mul(8);
        let of_nonzero = if n_classes > 0 { 16 } else { 12 };
        (HEADER + 24).saturating_add(points.saturating_mul(of_point)).saturating_add(nonzeros.saturating_mul(of_nonzero))
    }

    fn all(&self) -> impl Iterator<Item = &PathPoint> + Clone {
        self.points.iter().chain(&self.pilot)
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let nonzeros: usize = self.all().map(|point| point.values.len()).sum();
        let head = Head {
            spec: self.spec.clone(),
            l1_ratio: self.l1_ratio,
            n_features: self.n_features,
            n_classes: self.n_classes,
            pilot: self.pilot.is_some(),
        };
        let head = serde_json::to_vec(&head).unwrap_or_default();
        let n_points = self.all().count();
        let n_classes = usize::try_from(self.n_classes).unwrap_or(usize::MAX);
        let mut bytes = Vec::with_capacity(head.len().saturating_add(Self::bytes_of(n_points, nonzeros, n_classes)));
        bytes.extend_from_slice(MAGIC);
        for count in [head.len(), n_points, nonzeros] {
            bytes.extend_from_slice(&(count as u64).to_le_bytes());
        }
        bytes.extend_from_slice(&head);
        pad(&mut bytes);
        for point in self.all() {
            for number in [point.lambda, point.intercept, point.relative_gap, point.deviance, point.full_passes] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for count in [point.epochs, u64::from(point.converged), point.values.len() as u64] {
                bytes.extend_from_slice(&count.to_le_bytes());
            }
        }
        self.all().flat_map(|point| &point.indices).for_each(|index| bytes.extend_from_slice(&index.to_le_bytes()));
        pad(&mut bytes);
        self.all().flat_map(|point| &point.values).for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        self.all().flat_map(|point| &point.classes).for_each(|class| bytes.extend_from_slice(&class.to_le_bytes()));
        pad(&mut bytes);
        self.all().flat_map(|point| &point.intercepts).for_each(|intercept| bytes.extend_from_slice(&intercept.to_le_bytes()));
        bytes
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let whole = Self::read(bytes).ok_or_else(|| Damaged("the points of a path are cut off or of another version".into()))?;
        let legal = whole.all().all(|point| {
            let class = |k: usize| point.classes.get(k).copied().unwrap_or(0);
            let place = |k: usize| (point.indices[k], class(k));
            let rising = (1..point.indices.len()).all(|k| place(k - 1) < place(k));
            let inside = point.indices.last().is_none_or(|last| u64::from(*last) < whole.n_features)
                && point.classes.iter().all(|&class| u64::from(class) < whole.n_classes);
            let numbers = [point.lambda, point.intercept, point.relative_gap, point.deviance, point.full_passes];
            let numbers = numbers.iter().chain(&point.intercepts);
            rising
                && inside
                && point.values.iter().all(|value| value.is_finite() && *value != 0.0)
                && numbers.into_iter().all(|n| n.is_finite())
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
        let Head { spec, l1_ratio, n_features, n_classes, pilot } = serde_json::from_slice(bytes.get(HEADER..end)?).ok()?;
        let of_each = usize::try_from(n_classes).ok()?;
        let table = end.checked_next_multiple_of(8)?;
        let indices = table.checked_add(points.checked_mul(8 * WORDS)?)?;
        let values = indices.checked_add(nonzeros.checked_mul(4)?)?.checked_next_multiple_of(8)?;
        let classes = values.checked_add(nonzeros.checked_mul(8)?)?;
        let classed = if of_each > 0 { nonzeros } else { 0 };
        let intercepts = classes.checked_add(classed.checked_mul(4)?)?.checked_next_multiple_of(8)?;
        if intercepts.checked_add(points.checked_mul(of_each)?.checked_mul(8)?)? != bytes.len() {
            return None;
        }
        let whole = |from: usize| bytes[from..].as_chunks::<4>().0.iter().map(|b| u32::from_le_bytes(*b));
        let real = |from: usize| bytes[from..].as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b));
        let (mut features, mut coefficients) = (whole(indices), real(values));
        let (mut of_class, mut by_class) = (whole(classes), real(intercepts));
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
                classes: of_class.by_ref().take(if of_each > 0 { many } else { 0 }).collect(),
                values: coefficients.by_ref().take(many).collect(),
                intercepts: by_class.by_ref().take(of_each).collect(),
            });
        }
        let pilot = if pilot { Some(read.pop()?) } else { None };
        (left == 0).then_some(Self { spec, l1_ratio, n_features, n_classes, points: read, pilot })
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
            classes: (self.n_classes > 0).then(|| self.points.iter().flat_map(|point| point.classes.iter().copied()).collect()),
            values: self.points.iter().flat_map(|point| point.values.iter().copied()).collect(),
            intercepts: (self.points.iter())
                .map(
                    |point| if self.n_classes > 0 { Intercept::Classes(point.intercepts.clone()) } else { Intercept::One(point.intercept) },
                )
                .collect(),
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
            ..PathPoint::default()
        };
        let points = vec![point(1.0, &[], &[]), point(0.5, &[3], &[-0.5]), point(0.1, &[0, 3, 9], &[1e-300, 2.0, 0.1 + 0.2])];
        PathPoints { spec: json!({"loss": {"type": "squared"}}), l1_ratio: 1.0, n_features: 10, n_classes: 0, points, pilot: None }
    }

    /// Of three classes, with a pilot.
    fn classed() -> PathPoints {
        let mut all = PathPoints { n_classes: 3, pilot: Some(points().points.swap_remove(2)), ..points() };
        for point in all.points.iter_mut().chain(&mut all.pilot) {
            point.intercepts = vec![0.5, -1.0, 0.5];
            point.classes = vec![2; point.indices.len()];
        }
        (all.points[2].indices, all.points[2].classes) = (vec![0, 0, 9], vec![0, 2, 1]);
        all
    }

    #[test]
    fn points_survive_their_stored_form_in_twelve_bytes_a_non_zero() {
        let original = points();
        let bytes = original.encode();
        assert_eq!(PathPoints::decode(&bytes).unwrap(), original);
        let json = original.spec.to_string().len() + 90;
        assert!(bytes.len() <= PathPoints::bytes_of(3, 4, 0) + json, "{}", bytes.len());
        let block = original.coefficients();
        assert_eq!((block.shape, block.indptr, block.indices), ([3, 10], vec![0, 0, 1, 4], vec![3, 0, 3, 9]));
        assert_eq!(block.values, [-0.5, 1e-300, 2.0, 0.1 + 0.2]);
    }

    #[test]
    fn those_of_classes_and_their_pilot_survive_too() {
        let original = classed();
        let bytes = original.encode();
        assert_eq!(PathPoints::decode(&bytes).unwrap(), original);
        let block = serde_json::to_value(original.coefficients()).unwrap();
        assert_eq!(block["indptr"], json!([0, 0, 1, 4]), "the pilot is no point of the path");
        assert_eq!((&block["indices"], &block["classes"]), (&json!([3, 0, 0, 9]), &json!([2, 0, 2, 1])));
        assert_eq!(block["intercepts"][2], json!([0.5, -1.0, 0.5]));
        for end in 0..bytes.len() {
            assert!(PathPoints::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        let broken = |change: &dyn Fn(&mut PathPoint)| {
            let mut points = classed();
            change(&mut points.points[2]);
            PathPoints::decode(&points.encode()).is_err()
        };
        assert!(broken(&|point| point.classes[1] = 0), "twice the same place");
        assert!(broken(&|point| point.classes[2] = 3), "no such class");
        assert!(broken(&|point| point.intercepts[1] = f64::NAN));
    }

    #[test]
    fn files_of_before_classes_are_read() {
        let original = points();
        let head = json!({"spec": original.spec, "l1_ratio": 1.0, "n_features": 10}).to_string();
        let bytes = original.encode();
        let now = u64::from_le_bytes(bytes[8..16].try_into().unwrap()) as usize;
        let mut old = [MAGIC.as_slice(), &(head.len() as u64).to_le_bytes(), &bytes[16..32], head.as_bytes()].concat();
        pad(&mut old);
        old.extend_from_slice(&bytes[(HEADER + now).next_multiple_of(8)..]);
        assert_eq!(PathPoints::decode(&old).unwrap(), original);
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
