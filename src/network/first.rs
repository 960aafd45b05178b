//! The first layer, by its inputs: weights and moments of an input lie side by side, and are touched when a batch holds it.
//!
//! Inputs are shared out among parts by their entries. How many parts there are follows the work, not the threads, and sums over
//! parts are taken in their order: so results have the same bits for any number of threads.

use std::ops::Range;

use super::batch::{Batch, within};
use super::clock::{BLOCK, Clock};
use super::rule::{RING, Rule, Way};
use super::series::{SHRINKING_STEPS, Series};
use super::{Halt, Rows};
use crate::numeric::{ask_ahead, widest};

/// Of a `last`: the weights are brought up already, the moments are not.
const BROUGHT: u32 = 1 << 30;
/// Of a `last`: nothing moves before the next slope.
const AT_REST: u32 = 1 << 31;
const STEPS: u32 = BROUGHT - 1;

pub(crate) struct Part {
    /// Its inputs.
    pub(crate) inputs: Range<usize>,
    width: usize,
    /// For each input the weights, their first moments, and the roots of their second ones.
    cells: Vec<f64>,
    /// Step of the last slope of each input, 0 = none yet, with the two flags above.
    last: Vec<u32>,
    /// Which weights may move.
    kept: Option<Vec<bool>>,
    rule: Rule,
    series: Series,
    batch: Batch,
    slopes: Vec<f64>,
    sizes: Vec<f64>,
}

impl Part {
    /// `weights` and `kept` of its inputs.
    pub(crate) fn new(
        inputs: Range<usize>,
        width: usize,
        weights: &[f64],
        kept: Option<Vec<bool>>,
        rule: &Rule,
        clock: &mut Clock,
    ) -> Result<Self, Halt> {
        let mut cells = vec![0.0; 3 * weights.len()];
        for (cells, weights) in cells.chunks_mut(3 * width).zip(weights.chunks(width)) {
            clock.work(8 * width)?;
            cells[..width].copy_from_slice(weights);
        }
        Ok(Self {
            width,
            cells,
            last: vec![0; inputs.len()],
            kept,
            rule: rule.clone(),
            series: Series::new(),
            batch: Batch::new(inputs.len()),
            slopes: vec![0.0; width],
            sizes: vec![0.0; width],
            inputs,
        })
    }

    /// Meets the rows of a batch: what its inputs give each of them.
    pub(crate) fn meet(&mut self, x: &Rows, rows: &[u32], clock: &mut Clock) -> Result<Vec<f64>, Halt> {
        self.batch.gather(x, rows, &self.inputs, clock)?;
        let mut sums = vec![0.0; rows.len() * self.width];
        self.in_blocks(clock, |part, places| meet(part, &mut sums, places))?;
        Ok(sums)
    }

    /// The step that follows, along the slopes at what [`Part::meet`] gave.
    pub(crate) fn learn(&mut self, slopes: &[f64], clock: &mut Clock) -> Result<(), Halt> {
        self.in_blocks(clock, |part, places| learn(part, slopes, places))?;
        self.series.advance(&self.rule);
        let shrinking = matches!(self.rule.way(), Way::Shrinking(_));
        let every = if shrinking { SHRINKING_STEPS } else { RING / 2 };
        if self.series.turns(&self.rule) {
            self.settle(0, clock)
        } else if self.series.now.is_multiple_of(every) {
            self.settle(if shrinking { every } else { self.rule.spent.min(every) }, clock)
        } else {
            Ok(())
        }
    }

    /// Work on the inputs met, in blocks between two looks at the clock.
    fn in_blocks(&mut self, clock: &mut Clock, mut work: impl FnMut(&mut Self, Range<usize>)) -> Result<(), Halt> {
        let mut begin = 0;
        while begin < self.batch.inputs.len() {
            let (mut end, mut units) = (begin, 0);
            while end < self.batch.inputs.len() && units < BLOCK {
                units += self.width * (self.batch.entries(end).len() + 8 * self.steps_behind(self.batch.inputs[end] as usize));
                end += 1;
            }
            clock.work(units)?;
            work(self, begin..end);
            begin = end;
        }
        Ok(())
    }

    /// About how many steps it costs to bring an input up.
    fn steps_behind(&self, input: usize) -> usize {
        let last = self.last[input];
        if self.rule.way() == Way::Walk && last & AT_REST == 0 && last > 0 {
            1 + self.series.now.saturating_sub((last & STEPS) as usize)
        } else {
            1
        }
    }

    /// Brings weights and moments up to now, of the inputs that had no slope for `least` steps.
    pub(crate) fn settle(&mut self, least: usize, clock: &mut Clock) -> Result<(), Halt> {
        let mut begin = 0;
        while begin < self.last.len() {
            let (mut end, mut units) = (begin, 0);
            while end < self.last.len() && units < BLOCK {
                let behind = self.series.now.saturating_sub((self.last[end] & STEPS) as usize);
                let idle = self.last[end] == 0 || self.last[end] & AT_REST != 0 || behind < least;
                units += if idle { 1 } else { 8 * self.width * self.steps_behind(end) };
                end += 1;
            }
            clock.work(units)?;
            settle(self, begin..end, least);
            begin = end;
        }
        Ok(())
    }

    /// What its inputs give each of the rows, as the weights are.
    pub(crate) fn judge(&self, x: &Rows, rows: &[u32], clock: &mut Clock) -> Result<Vec<f64>, Halt> {
        let mut sums = vec![0.0; rows.len() * self.width];
        for (&row, sums) in rows.iter().zip(sums.chunks_mut(self.width)) {
            let (inputs, values) = within(x, row, &self.inputs);
            clock.work(inputs.len() * self.width)?;
            judge(self, inputs, values, sums);
        }
        Ok(sums)
    }

    /// Asks memory for the input met at `place`: inputs come in no order that a processor could foresee.
    #[inline(always)]
    fn ask_for(&self, place: usize) {
        if let Some(&input) = self.batch.inputs.get(place) {
            let size = 3 * self.width;
            ask_ahead(&self.cells[size * input as usize..size * (input as usize + 1)]);
        }
    }

    /// The weights as they are.
    pub(crate) fn weights(&self, clock: &mut Clock) -> Result<Vec<f64>, Halt> {
        let mut weights = Vec::with_capacity(self.cells.len() / 3);
        for cells in self.cells.chunks(3 * self.width) {
            clock.work(self.width)?;
            weights.extend_from_slice(&cells[..self.width]);
        }
        Ok(weights)
    }
}

widest! {
    /// Brings up the inputs met at `places` and adds what they give to each row.
    fn meet(part: &mut Part, sums: &mut [f64], places: Range<usize>) = meet_in_lanes
}

#[inline(always)]
fn meet_in_lanes(part: &mut Part, sums: &mut [f64], places: Range<usize>) {
    let h = part.width;
    for place in places {
        part.ask_for(place + 1);
        let input = part.batch.inputs[place] as usize;
        let cells = &mut part.cells[3 * h * input..3 * h * (input + 1)];
        bring_in_lanes(&part.rule, &part.series, cells, &mut part.sizes, &mut part.last[input]);
        let w = &cells[..h];
        for &(row, x) in part.batch.entries(place) {
            let sums = &mut sums[row as usize * h..(row as usize + 1) * h];
            for (sum, w) in sums.iter_mut().zip(w) {
                *sum += x * w;
            }
        }
    }
}

/// Brings weights up to now; their moments too where there is a penalty, else they are left as they were.
#[inline(always)]
fn bring_in_lanes(rule: &Rule, series: &Series, cells: &mut [f64], sizes: &mut [f64], last: &mut u32) {
    let step = (*last & STEPS) as usize;
    if *last & (BROUGHT | AT_REST) != 0 || step == 0 || step >= series.now {
        return;
    }
    let rests = match rule.way() {
        Way::Series => {
            series.bring(rule, cells, sizes.len(), step);
            *last |= BROUGHT;
            return;
        }
        Way::Shrinking(lambda) => series.shrink(rule, lambda, cells, sizes, step),
        Way::Walk => rule.walk(cells, sizes, step, series.now, &series.times),
    };
    *last = series.now as u32 | if rests { AT_REST } else { 0 };
}

widest! {
    /// A step of the inputs met at `places`.
    fn learn(part: &mut Part, slopes: &[f64], places: Range<usize>) = learn_in_lanes
}

#[inline(always)]
fn learn_in_lanes(part: &mut Part, slopes: &[f64], places: Range<usize>) {
    let h = part.width;
    let step = part.series.now + 1;
    let time = part.rule.time(step);
    for place in places {
        part.ask_for(place + 1);
        let input = part.batch.inputs[place] as usize;
        let g = &mut part.slopes[..h];
        g.fill(0.0);
        for &(row, x) in part.batch.entries(place) {
            let slopes = &slopes[row as usize * h..(row as usize + 1) * h];
            for (g, slope) in g.iter_mut().zip(slopes) {
                *g += x * slope;
            }
        }
        if let Some(kept) = &part.kept {
            for (g, kept) in g.iter_mut().zip(&kept[input * h..(input + 1) * h]) {
                *g = if *kept { *g } else { 0.0 };
            }
        }
        let since = step - (part.last[input] & STEPS) as usize;
        part.rule.step(&mut part.cells[3 * h * input..3 * h * (input + 1)], g, &mut part.sizes, since, time);
        part.last[input] = step as u32;
    }
}

widest! {
    fn settle(part: &mut Part, inputs: Range<usize>, least: usize) = settle_in_lanes
}

#[inline(always)]
fn settle_in_lanes(part: &mut Part, inputs: Range<usize>, least: usize) {
    let (h, now) = (part.width, part.series.now);
    for input in inputs {
        let step = (part.last[input] & STEPS) as usize;
        if step == 0 || step >= now || part.last[input] & AT_REST != 0 || now - step < least {
            continue;
        }
        let cells = &mut part.cells[3 * h * input..3 * h * (input + 1)];
        bring_in_lanes(&part.rule, &part.series, cells, &mut part.sizes, &mut part.last[input]);
        if part.rule.way() == Way::Series {
            let spent = now - step >= part.rule.spent;
            let (left, left_root) = (if spent { 0.0 } else { part.rule.left(now - step) }, part.rule.left_root(now - step));
            let (m, r) = cells[h..].split_at_mut(h);
            for (m, r) in m.iter_mut().zip(r) {
                *m *= left;
                *r *= left_root;
            }
            part.last[input] = now as u32 | if spent { AT_REST } else { 0 };
        }
    }
}

widest! {
    fn judge(part: &Part, inputs: &[u32], values: &[f64], sums: &mut [f64]) = judge_in_lanes
}

#[inline(always)]
fn judge_in_lanes(part: &Part, inputs: &[u32], values: &[f64], sums: &mut [f64]) {
    let h = part.width;
    for (&input, &x) in inputs.iter().zip(values) {
        let at = 3 * h * (input as usize - part.inputs.start);
        for (sum, w) in sums.iter_mut().zip(&part.cells[at..at + h]) {
            *sum += x * w;
        }
    }
}
