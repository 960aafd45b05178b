//! The stored form of a part of a checkpoint.
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

use super::{ArmPart, FoldPart, Part};
use crate::solver::{FoldPath, FoldRow, Point, Reference, Stop, Trail};
use crate::train::stability::Flips;

/// What is written so far.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn count(&mut self, number: usize) {
        self.0.extend_from_slice(&(number as u64).to_le_bytes());
    }

    pub(super) fn number(&mut self, number: f64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub(super) fn columns(&mut self, columns: &[u32]) {
        self.count(columns.len());
        columns.iter().for_each(|column| self.0.extend_from_slice(&column.to_le_bytes()));
    }

    pub(super) fn coefficients(&mut self, columns: &[u32], values: &[f64]) {
        self.columns(columns);
        values.iter().for_each(|value| self.number(*value));
    }

    pub(super) fn arm(&mut self, arm: &ArmPart) {
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

    pub(super) fn point(&mut self, point: &Point) {
        [point.lambda, point.intercept, point.relative_gap, point.deviance].into_iter().for_each(|number| self.number(number));
        self.0.extend_from_slice(&point.epochs.to_le_bytes());
        self.number(point.full_passes);
        self.count(usize::from(point.stop == Stop::Converged));
        self.coefficients(&point.columns, &point.values);
        self.columns(&point.classes);
        self.count(point.intercepts.len());
        point.intercepts.iter().for_each(|intercept| self.number(*intercept));
    }

    pub(super) fn trail(&mut self, trail: &Trail) {
        self.count(usize::from(trail.seen.is_some()));
        self.number(trail.seen.unwrap_or(0.0));
        self.columns(&trail.gram);
        [&trail.reference, &trail.bend, &trail.before].into_iter().for_each(|then| self.reference(then.as_ref()));
    }

    pub(super) fn reference(&mut self, then: Option<&Reference>) {
        self.count(usize::from(then.is_some()));
        if let Some(Reference { columns, values, seen }) = then {
            self.number(*seen);
            self.coefficients(columns, values);
        }
    }
}

/// What is left to read; allocates no more than the bytes it was given.
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl Reader<'_> {
    pub(super) fn word(&mut self) -> Option<[u8; 8]> {
        let (word, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*word)
    }

    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(u64::from_le_bytes(self.word()?)).ok()
    }

    pub(super) fn number(&mut self) -> Option<f64> {
        Some(f64::from_le_bytes(self.word()?))
    }

    pub(super) fn columns(&mut self) -> Option<Vec<u32>> {
        let length = self.count()?.checked_mul(4)?;
        let (columns, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(columns.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn numbers(&mut self) -> Option<Vec<f64>> {
        let length = self.count()?.checked_mul(8)?;
        let (numbers, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(numbers.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
    }

    pub(super) fn coefficients(&mut self) -> Option<(Vec<u32>, Vec<f64>)> {
        let columns = self.columns()?;
        let values = columns.iter().map(|_| self.number()).collect::<Option<_>>()?;
        Some((columns, values))
    }

    pub(super) fn point(&mut self) -> Option<Point> {
        let [lambda, intercept, relative_gap, deviance] = [self.number()?, self.number()?, self.number()?, self.number()?];
        let (epochs, full_passes) = (u64::from_le_bytes(self.word()?), self.number()?);
        let stop = if self.count()? == 1 { Stop::Converged } else { Stop::LimitReached };
        let (columns, values) = self.coefficients()?;
        let (classes, intercepts) = (self.columns()?, self.numbers()?);
        Some(Point { lambda, columns, classes, values, intercept, intercepts, relative_gap, deviance, epochs, full_passes, stop })
    }

    pub(super) fn trail(&mut self) -> Option<Trail> {
        let (is_seen, seen) = (self.count()? == 1, self.number()?);
        let gram = self.columns()?;
        let (reference, bend, before) = (self.reference()?, self.reference()?, self.reference()?);
        Some(Trail { seen: is_seen.then_some(seen), gram, reference, bend, before })
    }

    /// `None` = cut off, `Some(None)` = there is none.
    pub(super) fn reference(&mut self) -> Option<Option<Reference>> {
        if self.count()? != 1 {
            return Some(None);
        }
        let seen = self.number()?;
        let (columns, values) = self.coefficients()?;
        Some(Some(Reference { columns, values, seen }))
    }

    pub(super) fn part(&mut self) -> Option<Part> {
        let mut part = Part::default();
        for _ in 0..self.count()? {
            let position = self.count()?;
            let arm = self.arm()?;
            part.arms.insert(position, arm);
        }
        Some(part)
    }

    pub(super) fn arm(&mut self) -> Option<ArmPart> {
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
