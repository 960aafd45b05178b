//! What a fit has done so far, in parts: collected while it runs, stored as bytes, and put together again by the fit
//! that goes on where it ended. A fit that goes on ends with the same bits as one that never stopped.
//!
//! Knows nothing of files. A part belongs to one data set, one specification and one version of this program, whose
//! fingerprint it carries; one that belongs to another is refused, and so is one that does not follow the part before.

mod stored;

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::dataset::Dataset;
use crate::solver::{FoldPath, FoldRow, Point, Reference, Start, Trail};
use crate::spec::{Loss, ResolvedFit};

use self::stored::{Reader, Writer};
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
