//! The layers above the first: every unit meets every other, on the rows of a batch.

use std::ops::Range;

use super::clock::{BLOCK, Clock};
use super::rule::{Rule, Time};
use super::{Activation, Halt, Layer};
use crate::numeric::{tanh, widest};

/// Rows that share one reading of the weights.
const TOGETHER: usize = 8;

/// Biases of a layer with their moments.
pub(crate) struct Biases {
    cells: Vec<f64>,
    rule: Rule,
}

/// A layer with the moments of its weights, laid out as those of the first one are.
pub(crate) struct Dense {
    inputs: usize,
    outputs: usize,
    cells: Vec<f64>,
    kept: Option<Vec<bool>>,
    rule: Rule,
    pub(crate) biases: Biases,
}

impl Biases {
    pub(crate) fn new(biases: &[f64], rule: &Rule) -> Self {
        let mut cells = vec![0.0; 3 * biases.len()];
        cells[..biases.len()].copy_from_slice(biases);
        Self { cells, rule: rule.without_penalty() }
    }

    pub(crate) fn now(&self) -> &[f64] {
        &self.cells[..self.cells.len() / 3]
    }

    /// A step along the sums of the slopes of all rows.
    pub(crate) fn learn(&mut self, slopes: &[f64], time: Time) {
        let n = self.cells.len() / 3;
        let mut g = vec![0.0; n];
        for slopes in slopes.chunks(n) {
            g.iter_mut().zip(slopes).for_each(|(g, slope)| *g += slope);
        }
        self.rule.step(&mut self.cells, &g, &mut vec![0.0; n], 1, time);
    }
}

impl Dense {
    pub(crate) fn new(layer: &Layer, kept: Option<Vec<bool>>, rule: &Rule) -> Self {
        let (inputs, outputs) = (layer.inputs, layer.outputs);
        let mut cells = vec![0.0; 3 * layer.weights.len()];
        for (cells, weights) in cells.chunks_mut(3 * outputs).zip(layer.weights.chunks(outputs)) {
            cells[..outputs].copy_from_slice(weights);
        }
        Self { inputs, outputs, cells, kept, rule: rule.clone(), biases: Biases::new(&layer.biases, rule) }
    }

    /// The sums of each row, from what the units before say.
    pub(crate) fn forward(&self, units: &[f64], clock: &mut Clock) -> Result<Vec<f64>, Halt> {
        let mut sums = Vec::with_capacity(units.len() / self.inputs * self.outputs);
        for units in units.chunks(TOGETHER * self.inputs) {
            let begin = sums.len();
            for _ in 0..units.len() / self.inputs {
                sums.extend_from_slice(self.biases.now());
            }
            clock.work(units.len() * self.outputs)?;
            forward(self, units, &mut sums[begin..]);
        }
        Ok(sums)
    }

    /// Slopes at the sums of the units before, from those at the sums here.
    pub(crate) fn backward(&self, units: &[f64], slopes: &[f64], activation: Activation, clock: &mut Clock) -> Result<Vec<f64>, Halt> {
        let mut before = vec![0.0; units.len()];
        let (wide, narrow) = (TOGETHER * self.inputs, TOGETHER * self.outputs);
        for ((before, units), slopes) in before.chunks_mut(wide).zip(units.chunks(wide)).zip(slopes.chunks(narrow)) {
            clock.work(units.len() * self.outputs)?;
            backward(self, slopes, before);
            activation.slope(units, before);
        }
        Ok(before)
    }

    /// A step along the slopes.
    pub(crate) fn learn(&mut self, units: &[f64], slopes: &[f64], time: Time, clock: &mut Clock) -> Result<(), Halt> {
        let rows = units.len() / self.inputs;
        let block = (BLOCK / (self.outputs * (rows + 8))).max(1);
        let mut room = vec![0.0; 2 * self.outputs];
        for begin in (0..self.inputs).step_by(block) {
            let end = (begin + block).min(self.inputs);
            clock.work((end - begin) * self.outputs * (rows + 8))?;
            learn(self, begin..end, units, slopes, time, &mut room);
        }
        self.biases.learn(slopes, time);
        Ok(())
    }

    /// The layer as it is.
    pub(crate) fn layer(&self) -> Layer {
        let mut weights = Vec::with_capacity(self.inputs * self.outputs);
        for cells in self.cells.chunks(3 * self.outputs) {
            weights.extend_from_slice(&cells[..self.outputs]);
        }
        Layer { inputs: self.inputs, outputs: self.outputs, weights, biases: self.biases.now().to_vec() }
    }
}

widest! {
    fn forward(layer: &Dense, units: &[f64], sums: &mut [f64]) = forward_in_lanes
}

#[inline(always)]
fn forward_in_lanes(layer: &Dense, units: &[f64], sums: &mut [f64]) {
    let (n, k) = (layer.inputs, layer.outputs);
    for i in 0..n {
        let w = &layer.cells[3 * k * i..3 * k * i + k];
        for (units, sums) in units.chunks_exact(n).zip(sums.chunks_exact_mut(k)) {
            let unit = units[i];
            if unit != 0.0 {
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum += unit * w;
                }
            }
        }
    }
}

widest! {
    fn backward(layer: &Dense, slopes: &[f64], before: &mut [f64]) = backward_in_lanes
}

#[inline(always)]
fn backward_in_lanes(layer: &Dense, slopes: &[f64], before: &mut [f64]) {
    let (n, k) = (layer.inputs, layer.outputs);
    for i in 0..n {
        let w = &layer.cells[3 * k * i..3 * k * i + k];
        let (w8, w_rest) = w.as_chunks::<8>();
        for (slopes, before) in slopes.chunks_exact(k).zip(before.chunks_exact_mut(n)) {
            let (s8, s_rest) = slopes.as_chunks::<8>();
            let mut lanes = [0.0; 8];
            for (w, s) in w8.iter().zip(s8) {
                for l in 0..8 {
                    lanes[l] += w[l] * s[l];
                }
            }
            let mut rest = 0.0;
            for (w, s) in w_rest.iter().zip(s_rest) {
                rest += w * s;
            }
            before[i] = ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7])) + rest;
        }
    }
}

widest! {
    fn learn(layer: &mut Dense, inputs: Range<usize>, units: &[f64], slopes: &[f64], time: Time, room: &mut [f64]) = learn_in_lanes
}

#[inline(always)]
fn learn_in_lanes(layer: &mut Dense, inputs: Range<usize>, units: &[f64], slopes: &[f64], time: Time, room: &mut [f64]) {
    let (n, k) = (layer.inputs, layer.outputs);
    let (g, sizes) = room.split_at_mut(k);
    for i in inputs {
        g.fill(0.0);
        for (units, slopes) in units.chunks_exact(n).zip(slopes.chunks_exact(k)) {
            let unit = units[i];
            if unit != 0.0 {
                for (g, slope) in g.iter_mut().zip(slopes) {
                    *g += unit * slope;
                }
            }
        }
        if let Some(kept) = &layer.kept {
            for (g, kept) in g.iter_mut().zip(&kept[i * k..(i + 1) * k]) {
                *g = if *kept { *g } else { 0.0 };
            }
        }
        layer.rule.step(&mut layer.cells[3 * k * i..3 * k * (i + 1)], g, sizes, 1, time);
    }
}

impl Activation {
    /// What units make of their sums, in place.
    pub(crate) fn apply(self, sums: &mut [f64]) {
        match self {
            Self::Relu => relu(sums),
            Self::Tanh => all_tanh(sums),
        }
    }

    /// Takes slopes at what the units say back to their sums.
    fn slope(self, units: &[f64], slopes: &mut [f64]) {
        match self {
            Self::Relu => relu_slope(units, slopes),
            Self::Tanh => tanh_slope(units, slopes),
        }
    }
}

widest! {
    fn relu(sums: &mut [f64]) = relu_in_lanes
}

#[inline(always)]
fn relu_in_lanes(sums: &mut [f64]) {
    for sum in sums {
        // what is not a number stays so, and is found at the loss
        *sum = if *sum <= 0.0 { 0.0 } else { *sum };
    }
}

widest! {
    fn all_tanh(sums: &mut [f64]) = all_tanh_in_lanes
}

#[inline(always)]
fn all_tanh_in_lanes(sums: &mut [f64]) {
    for sum in sums {
        *sum = tanh(*sum);
    }
}

widest! {
    fn relu_slope(units: &[f64], slopes: &mut [f64]) = relu_slope_in_lanes
}

#[inline(always)]
fn relu_slope_in_lanes(units: &[f64], slopes: &mut [f64]) {
    for (slope, unit) in slopes.iter_mut().zip(units) {
        *slope = if *unit > 0.0 { *slope } else { 0.0 };
    }
}

widest! {
    fn tanh_slope(units: &[f64], slopes: &mut [f64]) = tanh_slope_in_lanes
}

#[inline(always)]
fn tanh_slope_in_lanes(units: &[f64], slopes: &mut [f64]) {
    for (slope, unit) in slopes.iter_mut().zip(units) {
        *slope *= 1.0 - unit * unit;
    }
}
