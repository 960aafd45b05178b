//! What a fit has done so far, in parts: collected while it runs, stored as bytes, and put together again by the fit
//! that goes on where it ended. A fit that goes on ends with the same bits as one that never stopped.
//!
//! Knows nothing of files. A part belongs to one data set, one specification and one version of this program, whose
//! fingerprint it carries; one that belongs to another is refused, and so is one that does not follow the part before.
//!
//! ```text
//! "SPFCKPT5"   8 bytes, the version with it
//! fingerprint  32 bytes
//! paths        u64, then for each: u64 its position in the plan, and
//!   path       u64 λ done before, u64 points, the points, the trail if there is a point
//!   folds      u64, then for each: u64 fold, u64 λ done before, u64 rows, (f64 deviance, u64 non-zeros) each,
//!              u64 deviances of refits, f64 each, the last point, its trail
//!   halves     u64, then for each: u64 half, u64 λ, for each λ u64 columns that came or went, u32 each
//! point        f64 λ, intercept, gap, deviance; u64 epochs; f64 passes; u64 1 = converged, 0 = not;
//!              u64 non-zeros, u32 columns, f64 values; u64 classes of non-zeros (none, or as many), u32 each;
//!              u64 intercepts of classes, f64 each
//! trail        u64 0 = none, 1; f64 the intercept seen; u64 columns of the Gram matrix, u32 each;
//!              three points gone by, each: u64 0 = none, 1 and then: f64 the intercept seen, u64 non-zeros, u32 columns,
//!              f64 values
//! ```
//! Little-endian. The checksum is kept outside.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::solver::{FoldPath, FoldRow, Point, Reference, Start, Stop, Trail};
use crate::spec::{Loss, ResolvedFit};

use super::plan::{Arm, Plan};
use super::stability::Flips;

const MAGIC: &[u8; 8] = b"SPFCKPT5";

/// One λ that is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Of the path over all rows.
    Path {
        /// Which path of the plan.
        arm: usize,
        /// Its position.
        index: usize,
        /// Its solution.
        point: Point,
        /// What the next λ depends on.
        trail: Trail,
    },
    /// Of one fold.
    Fold {
        /// Which path of the plan.
        arm: usize,
        /// Which fold, counted over all repeats.
        fold: usize,
        /// Its position.
        index: usize,
        /// What cross-validation wants of it.
        row: FoldRow,
        /// Deviance with each share of a refit.
        relaxed: Vec<f64>,
        /// Its solution.
        point: Point,
        /// What the next λ depends on.
        trail: Trail,
    },
    /// A half of the rows, with all its λ.
    Resample {
        /// Which path of the plan.
        arm: usize,
        /// Which half.
        resample: usize,
        /// For each λ the columns that came or went, rising.
        flips: Vec<Vec<u32>>,
    },
}

/// λ that were done one after the other, of each path and of each fold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    arms: BTreeMap<usize, ArmPart>,
    /// Bound on the bytes of all that was added.
    bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct ArmPart {
    /// λ of the path that were done before.
    from: usize,
    points: Vec<Point>,
    trail: Trail,
    folds: BTreeMap<usize, FoldPart>,
    resamples: BTreeMap<usize, Flips>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct FoldPart {
    from: usize,
    path: FoldPath,
    relaxed: Vec<f64>,
}

/// Everything done before, put together: one for each path of the plan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    arms: Vec<ArmDone>,
}

/// What was done of one path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ArmDone {
    pub(super) points: Vec<Point>,
    trail: Trail,
    /// One for each fold of each repeat.
    pub(super) folds: Vec<FoldPath>,
    /// Of each fold, for each λ done, the deviance of each share of a refit.
    pub(super) relaxed: Vec<Vec<f64>>,
    /// Halves of the rows that are done.
    pub(super) resamples: BTreeMap<usize, Flips>,
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
    /// Takes one more λ; those of each path and of each fold come in order.
    pub fn add(&mut self, done: Done) {
        self.bytes += match &done {
            Done::Path { point, trail, .. } | Done::Fold { point, trail, .. } => {
                let then = [&trail.reference, &trail.bend, &trail.before].into_iter().flatten();
                let referred: usize = then.map(|then| then.columns.len()).sum();
                288 + 12 * (point.columns.len() + referred) + 4 * (trail.gram.len() + point.classes.len()) + 8 * point.intercepts.len()
            }
            Done::Resample { flips, .. } => 64 + flips.iter().map(|columns| 8 + 4 * columns.len()).sum::<usize>(),
        };
        match done {
            Done::Path { arm, index, point, trail } => {
                let arm = self.arms.entry(arm).or_default();
                if arm.points.is_empty() {
                    arm.from = index;
                }
                arm.points.push(point);
                arm.trail = trail;
            }
            Done::Fold { arm, fold, index, row, relaxed, point, trail } => {
                self.bytes += 8 * relaxed.len();
                let folds = &mut self.arms.entry(arm).or_default().folds;
                let part = folds.entry(fold).or_insert_with(|| FoldPart { from: index, ..FoldPart::default() });
                part.path.rows.push(row);
                part.relaxed.extend(relaxed);
                part.path.last = Some((point, trail));
            }
            Done::Resample { arm, resample, flips } => {
                self.arms.entry(arm).or_default().resamples.insert(resample, flips);
            }
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.arms.is_empty()
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
        out.count(self.arms.len());
        for (&position, arm) in &self.arms {
            out.count(position);
            out.arm(arm);
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
        let plan = Plan::of(spec);
        let none = |n_folds: usize| ArmDone {
            folds: vec![FoldPath::default(); n_folds],
            relaxed: vec![Vec::new(); n_folds],
            ..ArmDone::default()
        };
        let mut whole = Self { arms: plan.arms.iter().map(|arm| none(arm.n_folds())).collect() };
        for bytes in parts {
            for (position, part) in Part::decode(bytes, &fingerprint)?.arms {
                whole.arms.get_mut(position).ok_or("it has a path too many")?.append(part)?;
            }
        }
        let n_columns = dataset.x.view().len();
        let n_classes = match spec.loss {
            Loss::Multinomial => dataset.meta.target.classes.as_ref().map_or(0, Vec::len),
            _ => 0,
        };
        let fits = |arm: &Arm<'_>, done: &ArmDone| {
            done.fits((n_columns, n_classes), arm.n_lambdas(), arm.gammas.len()) && done.halves_fit(n_columns, arm)
        };
        let legal = plan.arms.iter().zip(&whole.arms).all(|(arm, done)| fits(arm, done));
        if legal { Ok(whole) } else { Err("its numbers do not fit the data") }
    }

    /// λ of the paths that are done.
    pub fn done(&self) -> usize {
        self.arms.iter().map(|arm| arm.points.len()).sum()
    }

    /// λ of all folds that are done.
    pub fn done_in_folds(&self) -> usize {
        self.arms.iter().flat_map(|arm| &arm.folds).map(|fold| fold.rows.len()).sum()
    }

    /// Halves of the rows that are done.
    pub fn resamples_done(&self) -> usize {
        self.arms.iter().map(|arm| arm.resamples.len()).sum()
    }

    /// What was done of the path at this position of the plan.
    pub(super) fn arm(&self, position: usize) -> &ArmDone {
        const NOTHING: &ArmDone = &ArmDone {
            points: Vec::new(),
            trail: Trail { seen: None, gram: Vec::new(), reference: None, bend: None, before: None },
            folds: Vec::new(),
            relaxed: Vec::new(),
            resamples: BTreeMap::new(),
        };
        self.arms.get(position).unwrap_or(NOTHING)
    }
}

impl ArmDone {
    fn append(&mut self, part: ArmPart) -> Result<(), &'static str> {
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
            self.relaxed.get_mut(fold).ok_or(GAP)?.extend(part.relaxed);
        }
        for (which, flips) in part.resamples {
            if self.resamples.insert(which, flips).is_some() {
                return Err("a half of the rows occurs twice");
            }
        }
        Ok(())
    }

    fn fits(&self, (n_columns, n_classes): (usize, usize), n_lambdas: usize, n_shares: usize) -> bool {
        let inside = |columns: &[u32]| {
            columns.windows(2).all(|pair| pair[0] < pair[1]) && columns.last().is_none_or(|&last| (last as usize) < n_columns)
        };
        let entries_inside = |point: &Point| {
            let mut entries = point.columns.iter().zip(&point.classes);
            entries.clone().all(|(&j, &k)| (j as usize) < n_columns && (k as usize) < n_classes)
                && entries.next().is_none_or(|mut last| entries.all(|entry| std::mem::replace(&mut last, entry) < entry))
                && point.classes.len() == point.columns.len()
        };
        let point = |point: &Point| {
            let fits = if n_classes > 0 { entries_inside(point) } else { inside(&point.columns) && point.classes.is_empty() };
            fits && point.columns.len() == point.values.len() && point.intercepts.len() == n_classes
        };
        let gone_by = |then: &Option<Reference>| then.as_ref().is_none_or(|then| inside(&then.columns));
        let trail = |trail: &Trail| inside(&trail.gram) && [&trail.reference, &trail.bend, &trail.before].into_iter().all(gone_by);
        let fold = |path: &FoldPath| {
            let last = path.last.as_ref().is_none_or(|(last, then)| point(last) && trail(then));
            path.rows.len() <= n_lambdas && path.rows.is_empty() == path.last.is_none() && last
        };
        let path = self.points.len() <= n_lambdas && self.points.iter().all(point) && trail(&self.trail);
        let relaxed = self.folds.iter().zip(&self.relaxed).all(|(fold, relaxed)| relaxed.len() == fold.rows.len() * n_shares);
        path && relaxed && self.folds.iter().all(fold)
    }

    fn halves_fit(&self, n_columns: usize, arm: &Arm<'_>) -> bool {
        let inside =
            |columns: &Vec<u32>| columns.is_sorted_by(|a, b| a < b) && columns.last().is_none_or(|&last| (last as usize) < n_columns);
        let legal = |flips: &Flips| flips.len() <= arm.n_lambdas() && flips.iter().all(inside);
        self.resamples.iter().all(|(which, flips)| *which < arm.n_resamples() && legal(flips))
    }

    /// Where the path goes on.
    pub(super) fn start(&self) -> Option<Start<'_>> {
        let before = self.points.len().checked_sub(2).and_then(|at| self.points.get(at));
        self.points.last().map(|point| Start { done: self.points.len(), point, trail: &self.trail, before })
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

    fn arm(&mut self, arm: &ArmPart) {
        self.count(arm.from);
        self.count(arm.points.len());
        arm.points.iter().for_each(|point| self.point(point));
        if !arm.points.is_empty() {
            self.trail(&arm.trail);
        }
        self.count(arm.folds.len());
        for (&fold, part) in &arm.folds {
            [fold, part.from, part.path.rows.len()].into_iter().for_each(|number| self.count(number));
            for row in &part.path.rows {
                self.number(row.deviance);
                self.count(row.nonzeros);
            }
            self.count(part.relaxed.len());
            part.relaxed.iter().for_each(|deviance| self.number(*deviance));
            if let Some((point, trail)) = &part.path.last {
                self.point(point);
                self.trail(trail);
            }
        }
        self.count(arm.resamples.len());
        for (&which, flips) in &arm.resamples {
            [which, flips.len()].into_iter().for_each(|number| self.count(number));
            flips.iter().for_each(|columns| self.columns(columns));
        }
    }

    fn point(&mut self, point: &Point) {
        [point.lambda, point.intercept, point.relative_gap, point.deviance].into_iter().for_each(|number| self.number(number));
        self.0.extend_from_slice(&point.epochs.to_le_bytes());
        self.number(point.full_passes);
        self.count(usize::from(point.stop == Stop::Converged));
        self.coefficients(&point.columns, &point.values);
        self.columns(&point.classes);
        self.count(point.intercepts.len());
        point.intercepts.iter().for_each(|intercept| self.number(*intercept));
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

    fn numbers(&mut self) -> Option<Vec<f64>> {
        let length = self.count()?.checked_mul(8)?;
        let (numbers, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(numbers.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
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
        let (classes, intercepts) = (self.columns()?, self.numbers()?);
        Some(Point { lambda, columns, classes, values, intercept, intercepts, relative_gap, deviance, epochs, full_passes, stop })
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
        let mut part = Part::default();
        for _ in 0..self.count()? {
            let position = self.count()?;
            let arm = self.arm()?;
            part.arms.insert(position, arm);
        }
        Some(part)
    }

    fn arm(&mut self) -> Option<ArmPart> {
        let (from, points) = (self.count()?, self.count()?);
        let mut arm = ArmPart { from, ..ArmPart::default() };
        for _ in 0..points {
            arm.points.push(self.point()?);
        }
        if points > 0 {
            arm.trail = self.trail()?;
        }
        for _ in 0..self.count()? {
            let (fold, from, rows) = (self.count()?, self.count()?, self.count()?);
            let mut path = FoldPath::default();
            for _ in 0..rows {
                path.rows.push(FoldRow { deviance: self.number()?, nonzeros: self.count()? });
            }
            let mut relaxed = Vec::new();
            for _ in 0..self.count()? {
                relaxed.push(self.number()?);
            }
            path.last = Some((self.point()?, self.trail()?));
            arm.folds.insert(fold, FoldPart { from, path, relaxed });
        }
        for _ in 0..self.count()? {
            let (which, lambdas) = (self.count()?, self.count()?);
            let mut flips = Flips::new();
            for _ in 0..lambdas {
                flips.push(self.columns()?);
            }
            arm.resamples.insert(which, flips);
        }
        Some(arm)
    }
}
