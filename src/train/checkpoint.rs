//! What a fit has done so far, in parts: collected while it runs, stored as bytes, and put together again by the fit
//! that goes on where it ended. A fit that goes on ends with the same bits as one that never stopped.
//!
//! Knows nothing of files. A part belongs to one data set, one specification and one version of this program, whose
//! fingerprint it carries; one that belongs to another is refused, and so is one that does not follow the part before.
//!
//! ```text
//! "SPFCKPT3"   8 bytes, the version with it
//! fingerprint  32 bytes
//! path         u64 λ done before, u64 points, the points, the trail if there is a point
//! folds        u64, then for each: u64 fold, u64 λ done before, u64 rows, (f64 deviance, u64 non-zeros) each,
//!              the last point, its trail
//! point        f64 λ, intercept, gap, deviance; u64 epochs; f64 passes; u64 1 = converged, 0 = not;
//!              u64 non-zeros, u32 columns, f64 values
//! trail        u64 0 = none, 1; f64 the intercept seen; u64 columns of the Gram matrix, u32 each;
//!              three points gone by, each: u64 0 = none, 1 and then: f64 the intercept seen, u64 non-zeros, u32 columns,
//!              f64 values
//! ```
//! Little-endian. The checksum is kept outside.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::solver::{FoldPath, FoldRow, Point, Reference, Start, Stop, Trail};
use crate::spec::{Lambda, ResolvedFit};

use super::cv_of;

const MAGIC: &[u8; 8] = b"SPFCKPT3";

/// One λ that is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Of the path over all rows.
    Path {
        /// Its position.
        index: usize,
        /// Its solution.
        point: Point,
        /// What the next λ depends on.
        trail: Trail,
    },
    /// Of one fold.
    Fold {
        /// Which fold.
        fold: usize,
        /// Its position.
        index: usize,
        /// What cross-validation wants of it.
        row: FoldRow,
        /// Its solution.
        point: Point,
        /// What the next λ depends on.
        trail: Trail,
    },
}

/// λ that were done one after the other, of the path and of each fold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// λ of the path that were done before.
    from: usize,
    points: Vec<Point>,
    trail: Trail,
    folds: BTreeMap<usize, FoldPart>,
    /// Bound on the bytes of all that was added.
    bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct FoldPart {
    from: usize,
    path: FoldPath,
}

/// Everything done before, put together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    pub(super) points: Vec<Point>,
    pub(super) trail: Trail,
    pub(super) folds: Vec<FoldPath>,
}

/// What a part must belong to: the data, the specification and the program that computes.
pub fn fingerprint(dataset: &Dataset, spec: &ResolvedFit) -> [u8; 32] {
    let mut hash = Sha256::new();
    // a specification is plain data with text keys: its JSON never fails, and never varies
    let spec = serde_json::to_string(spec).unwrap_or_default();
    for text in [env!("CARGO_PKG_VERSION"), &dataset.meta.sha256, &spec] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

impl Part {
    /// Takes one more λ; those of the path and of each fold come in order.
    pub fn add(&mut self, done: Done) {
        let (Done::Path { point, trail, .. } | Done::Fold { point, trail, .. }) = &done;
        let referred: usize = [&trail.reference, &trail.bend, &trail.before].into_iter().flatten().map(|then| then.columns.len()).sum();
        self.bytes += 208 + 12 * (point.columns.len() + referred) + 4 * trail.gram.len();
        match done {
            Done::Path { index, point, trail } => {
                if self.points.is_empty() {
                    self.from = index;
                }
                self.points.push(point);
                self.trail = trail;
            }
            Done::Fold { fold, index, row, point, trail } => {
                let part = self.folds.entry(fold).or_insert_with(|| FoldPart { from: index, path: FoldPath::default() });
                part.path.rows.push(row);
                part.path.last = Some((point, trail));
            }
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.folds.is_empty()
    }

    /// At least the bytes of [`Part::encode`].
    pub fn size(&self) -> usize {
        128 + self.bytes
    }

    /// The stored form.
    pub fn encode(&self, fingerprint: &[u8; 32]) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(self.size()));
        out.0.extend_from_slice(MAGIC);
        out.0.extend_from_slice(fingerprint);
        out.count(self.from);
        out.count(self.points.len());
        self.points.iter().for_each(|point| out.point(point));
        if !self.points.is_empty() {
            out.trail(&self.trail);
        }
        out.count(self.folds.len());
        for (&fold, part) in &self.folds {
            [fold, part.from, part.path.rows.len()].into_iter().for_each(|number| out.count(number));
            for row in &part.path.rows {
                out.number(row.deviance);
                out.count(row.nonzeros);
            }
            if let Some((point, trail)) = &part.path.last {
                out.point(point);
                out.trail(trail);
            }
        }
        out.0
    }

    fn decode(bytes: &[u8], fingerprint: &[u8; 32]) -> Result<Self, &'static str> {
        let body = bytes.strip_prefix(MAGIC).ok_or("it is of another version")?;
        let mut from = Reader(body.strip_prefix(fingerprint).ok_or("it belongs to other data, another specification or another version")?);
        let part = from.part().ok_or("it is cut off")?;
        if from.0.is_empty() { Ok(part) } else { Err("it is too long") }
    }
}

impl Checkpoint {
    /// Puts stored parts together, oldest first; an error says what is wrong with them.
    pub fn read(parts: &[Vec<u8>], dataset: &Dataset, spec: &ResolvedFit) -> Result<Self, &'static str> {
        let fingerprint = fingerprint(dataset, spec);
        let n_folds = cv_of(spec).map_or(0, |(folds, ..)| folds as usize);
        let mut whole = Self { folds: vec![FoldPath::default(); n_folds], ..Self::default() };
        for bytes in parts {
            whole.append(Part::decode(bytes, &fingerprint)?)?;
        }
        let n_lambdas = match &spec.lambda {
            Lambda::Path { n, .. } => *n as usize,
            Lambda::Values { values } => values.len(),
            Lambda::Value { .. } | Lambda::TargetNonzeros { .. } => 0,
        };
        let legal = whole.fits(dataset.x.view().len(), n_lambdas);
        if legal { Ok(whole) } else { Err("its numbers do not fit the data") }
    }

    fn append(&mut self, part: Part) -> Result<(), &'static str> {
        const GAP: &str = "a part is missing";
        if !part.points.is_empty() {
            if part.from != self.points.len() {
                return Err(GAP);
            }
            self.points.extend(part.points);
            self.trail = part.trail;
        }
        for (fold, part) in part.folds {
            let done = self.folds.get_mut(fold).filter(|done| done.rows.len() == part.from).ok_or(GAP)?;
            done.rows.extend(part.path.rows);
            done.last = part.path.last;
        }
        Ok(())
    }

    fn fits(&self, n_columns: usize, n_lambdas: usize) -> bool {
        let inside = |columns: &[u32]| {
            columns.windows(2).all(|pair| pair[0] < pair[1]) && columns.last().is_none_or(|&last| (last as usize) < n_columns)
        };
        let point = |point: &Point| inside(&point.columns) && point.columns.len() == point.values.len();
        let gone_by = |then: &Option<Reference>| then.as_ref().is_none_or(|then| inside(&then.columns));
        let trail = |trail: &Trail| inside(&trail.gram) && [&trail.reference, &trail.bend, &trail.before].into_iter().all(gone_by);
        let fold = |path: &FoldPath| {
            let last = path.last.as_ref().is_none_or(|(last, then)| point(last) && trail(then));
            path.rows.len() <= n_lambdas && path.rows.is_empty() == path.last.is_none() && last
        };
        let path = self.points.len() <= n_lambdas && self.points.iter().all(point) && trail(&self.trail);
        path && self.folds.iter().all(fold)
    }

    /// λ of the path that are done.
    pub fn done(&self) -> usize {
        self.points.len()
    }

    /// λ of all folds that are done.
    pub fn done_in_folds(&self) -> usize {
        self.folds.iter().map(|fold| fold.rows.len()).sum()
    }

    /// Where the path goes on.
    pub(super) fn start(&self) -> Option<Start<'_>> {
        self.points.last().map(|point| Start { done: self.points.len(), point, trail: &self.trail })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn count(&mut self, number: usize) {
        self.0.extend_from_slice(&(number as u64).to_le_bytes());
    }

    fn number(&mut self, number: f64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn columns(&mut self, columns: &[u32]) {
        self.count(columns.len());
        columns.iter().for_each(|column| self.0.extend_from_slice(&column.to_le_bytes()));
    }

    fn coefficients(&mut self, columns: &[u32], values: &[f64]) {
        self.columns(columns);
        values.iter().for_each(|value| self.number(*value));
    }

    fn point(&mut self, point: &Point) {
        [point.lambda, point.intercept, point.relative_gap, point.deviance].into_iter().for_each(|number| self.number(number));
        self.0.extend_from_slice(&point.epochs.to_le_bytes());
        self.number(point.full_passes);
        self.count(usize::from(point.stop == Stop::Converged));
        self.coefficients(&point.columns, &point.values);
    }

    fn trail(&mut self, trail: &Trail) {
        self.count(usize::from(trail.seen.is_some()));
        self.number(trail.seen.unwrap_or(0.0));
        self.columns(&trail.gram);
        [&trail.reference, &trail.bend, &trail.before].into_iter().for_each(|then| self.reference(then.as_ref()));
    }

    fn reference(&mut self, then: Option<&Reference>) {
        self.count(usize::from(then.is_some()));
        if let Some(Reference { columns, values, seen }) = then {
            self.number(*seen);
            self.coefficients(columns, values);
        }
    }
}

/// What is left to read; allocates no more than the bytes it was given.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn word(&mut self) -> Option<[u8; 8]> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*word)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.word()?)).ok()
    }

    fn number(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.word()?))
    }

    fn columns(&mut self) -> Option<Vec<u32>> {
        let length = self.count()?.checked_mul(4)?;
        let (columns, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(columns.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    fn coefficients(&mut self) -> Option<(Vec<u32>, Vec<f64>)> {
        let columns = self.columns()?;
        let values = columns.iter().map(|_| self.number()).collect::<Option<_>>()?;
        Some((columns, values))
    }

    fn point(&mut self) -> Option<Point> {
        let [lambda, intercept, relative_gap, deviance] = [self.number()?, self.number()?, self.number()?, self.number()?];
        let (epochs, full_passes) = (u64::from_le_bytes(self.word()?), self.number()?);
        let stop = if self.count()? == 1 { Stop::Converged } else { Stop::LimitReached };
        let (columns, values) = self.coefficients()?;
        Some(Point { lambda, columns, values, intercept, relative_gap, deviance, epochs, full_passes, stop })
    }

    fn trail(&mut self) -> Option<Trail> {
        let (is_seen, seen) = (self.count()? == 1, self.number()?);
        let gram = self.columns()?;
        let (reference, bend, before) = (self.reference()?, self.reference()?, self.reference()?);
        Some(Trail { seen: is_seen.then_some(seen), gram, reference, bend, before })
    }

    /// `None` = cut off, `Some(None)` = there is none.
    fn reference(&mut self) -> Option<Option<Reference>> {
        if self.count()? != 1 {
            return Some(None);
        }
        let seen = self.number()?;
        let (columns, values) = self.coefficients()?;
        Some(Some(Reference { columns, values, seen }))
    }

    fn part(&mut self) -> Option<Part> {
        let (from, points) = (self.count()?, self.count()?);
        let mut part = Part { from, ..Part::default() };
        for _ in 0..points {
            part.points.push(self.point()?);
        }
        if points > 0 {
            part.trail = self.trail()?;
        }
        for _ in 0..self.count()? {
            let (fold, from, rows) = (self.count()?, self.count()?, self.count()?);
            let mut path = FoldPath::default();
            for _ in 0..rows {
                path.rows.push(FoldRow { deviance: self.number()?, nonzeros: self.count()? });
            }
            path.last = Some((self.point()?, self.trail()?));
            part.folds.insert(fold, FoldPart { from, path });
        }
        Some(part)
    }
}
