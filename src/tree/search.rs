//! The best split of a node: every feature of its part, every threshold between two values.
//!
//! Rows without an entry are 0. A split therefore cuts off either the highest positive values or the lowest negative ones, and
//! sums are only ever taken over entries; where the zeros lie is known from the end they are counted from.

use std::ops::Range;

use super::bins::Bins;
use super::clock::Clock;
use super::impurity::{ClassMeasure, Measure};
use super::part::{Cell, Part};
use super::{Hands, Unfit};

/// Cells that are worth a thread.
const WORTH_A_THREAD: usize = 1 << 18;

/// A split of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Best {
    /// How good; larger is better.
    pub(crate) value: f64,
    /// Feature of the part.
    pub(crate) feature: usize,
    /// Cells from here on lie right of the threshold, those before left of it.
    pub(crate) boundary: u32,
    /// Whether zeros go left; else they go right.
    pub(crate) zeros_left: bool,
}

impl Best {
    /// The order among equally good splits: the lowest feature, then the lowest threshold.
    fn order(&self) -> (usize, u32, bool) {
        (self.feature, self.boundary, self.zeros_left)
    }

    fn beats(&self, other: &Self) -> bool {
        self.value > other.value || (self.value == other.value && self.order() < other.order())
    }
}

/// The better of two, of which any may be missing.
fn better(a: Option<Best>, b: Option<Best>) -> Option<Best> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.beats(&a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Asks `look` for the best split of ranges of features, on as many threads as the part is worth.
pub(crate) fn best_of<C: Cell>(
    part: &Part<C>,
    hands: &Hands,
    clock: &mut Clock,
    look: impl Fn(Range<usize>, &mut Clock) -> Result<Option<Best>, Unfit> + Sync,
) -> Result<Option<Best>, Unfit> {
    let threads = hands.threads.min(part.cells.len() / WORTH_A_THREAD).max(1);
    if threads == 1 {
        return look(0..part.n_features(), clock);
    }
    // features whose cells are about as many for every thread
    let cut = |i: usize| part.starts.partition_point(|&start| (start as usize) < i * part.cells.len() / threads).min(part.n_features());
    let look = &look;
    let found: Vec<_> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|i| {
                let (features, mut clock) = (cut(i)..cut(i + 1), *clock);
                let last = i + 1 == threads;
                scope.spawn(move || {
                    (hands.on_thread)();
                    look(if last { features.start..part.n_features() } else { features }, &mut clock)
                })
            })
            .collect();
        let own = look(0..cut(1), clock);
        let joined = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(joined).collect()
    });
    found.into_iter().try_fold(None, |best, found| Ok(better(best, found?)))
}

/// A cell that holds a weight and a sum.
pub(crate) trait Pair: Cell {
    fn weight_and_sum(self) -> (i64, i64);
}

/// The best split of some features where each side has at least `floor` of the whole weight `total`.
pub(crate) fn best_by_pairs<C: Pair, M: Measure>(
    part: &Part<C>,
    features: Range<usize>,
    measure: &M,
    (total, floor): (i64, i64),
    clock: &mut Clock,
) -> Result<Option<Best>, Unfit> {
    let (mut best, mut bar): (Option<Best>, M::Bar) = (None, M::NONE);
    let most = total - floor;
    for feature in features {
        let (start, zero, end) = (part.starts[feature] as usize, part.zeros[feature] as usize, part.starts[feature + 1] as usize);
        clock.work(end - start)?;
        let mut consider = |sum: C, boundary: usize, zeros_left: bool| {
            let (w, s) = sum.weight_and_sum();
            if w >= floor && w <= most && measure.passes(w, s, bar) {
                let (value, its_bar) = measure.value(w, s);
                let found = Best { value, feature, boundary: boundary as u32, zeros_left };
                if best.is_none_or(|best| found.beats(&best)) {
                    (best, bar) = (Some(found), its_bar);
                }
            }
        };
        let mut sum = C::default();
        for (at, &cell) in part.cells[zero..end].iter().enumerate().rev() {
            sum += cell;
            consider(sum, zero + at, true);
        }
        let mut sum = C::default();
        for (at, &cell) in part.cells[start..zero].iter().enumerate() {
            sum += cell;
            consider(sum, start + at + 1, false);
        }
    }
    Ok(best)
}

/// As [`best_by_pairs`] where a cell is one class of a bin; `classes` are the whole weights of the node.
pub(crate) fn best_by_classes<C: Cell, M: ClassMeasure>(
    part: &Part<C>,
    features: Range<usize>,
    measure: &M,
    (classes, floor): (&[i64], i64),
    clock: &mut Clock,
) -> Result<Option<Best>, Unfit> {
    let total: i64 = classes.iter().sum();
    let whole: f64 = classes.iter().map(|&n| measure.of(n)).sum();
    let off = vec![0; classes.len()];
    let mut walk = Walk { measure, classes, floor, total, whole, off, seen: Vec::new(), best: None, clock };
    for feature in features {
        let (start, zero, end) = (part.starts[feature] as usize, part.zeros[feature] as usize, part.starts[feature + 1] as usize);
        walk.clock.work(2 * (end - start))?;
        walk.along(part, (zero..end).rev(), feature, true)?;
        walk.along(part, start..zero, feature, false)?;
    }
    Ok(walk.best)
}

/// A walk over cells from the outermost value towards zero.
struct Walk<'a, 'o, M> {
    measure: &'a M,
    classes: &'a [i64],
    floor: i64,
    total: i64,
    /// Σ of all classes of the node.
    whole: f64,
    /// Whole weights cut off so far, by class.
    off: Vec<i64>,
    /// Classes of which there is something in `off`.
    seen: Vec<u16>,
    best: Option<Best>,
    clock: &'a mut Clock<'o>,
}

impl<M: ClassMeasure> Walk<'_, '_, M> {
    fn along<C: Cell>(
        &mut self,
        part: &Part<C>,
        cells: impl Iterator<Item = usize>,
        feature: usize,
        zeros_left: bool,
    ) -> Result<(), Unfit> {
        let (mut w, mut sum_off, mut sum_left) = (0, 0.0, self.whole);
        let mut bin = None;
        let mut last = 0;
        for at in cells {
            let n = part.cells[at].weight();
            if n == 0 {
                continue;
            }
            if bin != Some(part.bins[at]) {
                self.consider((w, sum_off, sum_left), feature, last, zeros_left)?;
                bin = Some(part.bins[at]);
            }
            let class = part.classes[at];
            let (off, all) = (&mut self.off[class as usize], self.classes[class as usize]);
            if *off == 0 {
                self.seen.push(class);
            }
            sum_off += self.measure.of(*off + n) - self.measure.of(*off);
            sum_left += self.measure.of(all - *off - n) - self.measure.of(all - *off);
            *off += n;
            w += n;
            last = if zeros_left { at as u32 } else { at as u32 + 1 };
        }
        self.consider((w, sum_off, sum_left), feature, last, zeros_left)?;
        for class in self.seen.drain(..) {
            self.off[class as usize] = 0;
        }
        Ok(())
    }

    fn consider(&mut self, (w, sum_off, sum_left): (i64, f64, f64), feature: usize, boundary: u32, zeros_left: bool) -> Result<(), Unfit> {
        let left = self.total - w;
        if w < self.floor || left < self.floor {
            return Ok(());
        }
        // what the running sums may have lost to rounding never hides a split
        let lost = self.whole.abs() * 1e-13;
        let quick = self.measure.side(sum_off + lost, w) + self.measure.side(sum_left + lost, left);
        if self.best.is_some_and(|best| quick < best.value - best.value.abs() * 1e-9) {
            return Ok(());
        }
        self.clock.work(2 * self.classes.len())?;
        let exact_off: f64 = self.off.iter().map(|&n| self.measure.of(n)).sum();
        let exact_left: f64 = self.classes.iter().zip(&self.off).map(|(&all, &off)| self.measure.of(all - off)).sum();
        let value = self.measure.sides((exact_off, w), (exact_left, left));
        let found = Best { value, feature, boundary, zeros_left };
        if self.best.is_none_or(|best| found.beats(&best)) {
            self.best = Some(found);
        }
        Ok(())
    }
}

/// The threshold of a split: halfway between the nearest values of the node on its two sides, or the lower of them where
/// nothing lies between.
pub(crate) fn threshold<C: Cell>(bins: &Bins, part: &Part<C>, best: &Best, total: i64) -> f64 {
    let (start, end) = (part.starts[best.feature] as usize, part.starts[best.feature + 1] as usize);
    let (zero, boundary) = (part.zeros[best.feature] as usize, best.boundary as usize);
    let has_zeros = part.cells[start..end].iter().map(|cell| cell.weight()).sum::<i64>() < total;
    let value = |cell: usize| bins.value(part.source[cell]);
    let last = |cells: Range<usize>| cells.rev().find(|&cell| part.cells[cell].weight() != 0).map(value);
    let first = |mut cells: Range<usize>| cells.find(|&cell| part.cells[cell].weight() != 0).map(value);
    let at_zero = has_zeros.then_some(0.0);
    let (low, high) = if best.zeros_left {
        (last(zero..boundary).or(at_zero).or_else(|| last(start..zero)), first(boundary..end))
    } else {
        (last(start..boundary), first(boundary..zero).or(at_zero).or_else(|| first(zero..end)))
    };
    // both sides have weight, so both values are there
    let (low, high) = (low.unwrap_or(0.0), high.unwrap_or(0.0));
    let middle = low / 2.0 + high / 2.0;
    if middle < high { middle.max(low) } else { low }
}
