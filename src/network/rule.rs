//! How a weight moves in one step, given its slope: Adam's and SGD's arithmetic, on the weights of one row.

use super::{Optimizer, Penalty, Unfit};

/// Adam's decay of slopes and of their squares, and what is added to the root of the latter.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
pub(crate) const EPSILON: f64 = 1e-8;
/// A first moment of which this is left is as good as nothing.
const NOTHING: f64 = 1e-18;
/// Most steps between two visits of weights that still move; a power of two.
pub(crate) const RING: usize = 1024;

/// Optimizer and penalty, with powers of the decays.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) optimizer: Optimizer,
    pub(crate) penalty: Penalty,
    /// What `k` steps without a slope leave of the first moment, and of the root of the second.
    first: Vec<f64>,
    root: Vec<f64>,
    /// Steps without a slope after which the first moment is spent; [`RING`] when there is more to it than that.
    pub(crate) spent: usize,
}

/// What a step is made with, the same for all weights.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Time {
    /// Learning rate over 1 − β₁ᵗ.
    pub(crate) rate: f64,
    /// 1/√(1 − β₂ᵗ).
    pub(crate) spread: f64,
    /// What makes slopes of first moments: 1/(1 − β₁ᵗ); of SGD's, which are sums and no means, 1 − momentum.
    pub(crate) unbias: f64,
}

/// How weights are brought up over steps without a slope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    /// By a series, without a penalty.
    Series,
    /// By two, with an L1 penalty of this λ.
    Shrinking(f64),
    /// Step by step.
    Walk,
}

/// x^n by squaring: the same bits on every machine.
fn power(x: f64, mut n: usize) -> f64 {
    let (mut square, mut product) = (x, 1.0);
    while n > 0 {
        if n & 1 == 1 {
            product *= square;
        }
        square *= square;
        n >>= 1;
    }
    product
}

impl Rule {
    pub(crate) fn new(optimizer: Optimizer, penalty: Penalty) -> Result<Self, Unfit> {
        let (rate, momentum) = match optimizer {
            Optimizer::Adam { learning_rate } => (learning_rate, BETA1),
            Optimizer::Sgd { learning_rate, momentum } => (learning_rate, momentum),
        };
        if !(rate > 0.0 && rate.is_finite() && (0.0..1.0).contains(&momentum)) {
            return Err(Unfit::Range);
        }
        if !(penalty.lambda() >= 0.0 && penalty.lambda().is_finite()) {
            return Err(Unfit::Range);
        }
        let penalty = if penalty.is_none() { Penalty::None } else { penalty };
        let first: Vec<f64> = (0..RING).map(|k| power(momentum, k)).collect();
        let spent = first.iter().position(|left| *left <= NOTHING).unwrap_or(RING);
        let root = (0..RING).map(|k| power(BETA2, k).sqrt()).collect();
        Ok(Self { optimizer, penalty, first, root, spent })
    }

    pub(crate) fn without_penalty(&self) -> Self {
        Self { penalty: Penalty::None, ..self.clone() }
    }

    #[inline(always)]
    pub(crate) fn way(&self) -> Way {
        match (self.penalty, self.optimizer) {
            (Penalty::None, _) => Way::Series,
            (Penalty::L1(lambda), Optimizer::Adam { .. }) => Way::Shrinking(lambda),
            _ => Way::Walk,
        }
    }

    /// What `k` steps without a slope leave of the first moment.
    #[inline(always)]
    pub(crate) fn left(&self, k: usize) -> f64 {
        if k < RING { self.first[k] } else { 0.0 }
    }

    /// What they leave of the root of the second.
    #[inline(always)]
    pub(crate) fn left_root(&self, k: usize) -> f64 {
        if k < RING { self.root[k] } else { power(BETA2, k).sqrt() }
    }

    /// Of step `t`, from 1.
    pub(crate) fn time(&self, t: usize) -> Time {
        match self.optimizer {
            Optimizer::Adam { learning_rate } => {
                let unbias = 1.0 / (1.0 - power(BETA1, t));
                Time { rate: learning_rate * unbias, spread: 1.0 / (1.0 - power(BETA2, t)).sqrt(), unbias }
            }
            Optimizer::Sgd { learning_rate, momentum } => Time { rate: learning_rate, spread: 0.0, unbias: 1.0 - momentum },
        }
    }

    /// A step along slopes `g`, the last one having been `k` steps ago. `cells` are the weights, their first moments and the roots
    /// of their second ones; `sizes` become what each weight moves by in the long run, over its slope.
    #[inline(always)]
    pub(crate) fn step(&self, cells: &mut [f64], g: &[f64], sizes: &mut [f64], k: usize, time: Time) {
        let (w, moments) = cells.split_at_mut(g.len());
        let (m, r) = moments.split_at_mut(g.len());
        let left = self.left(k);
        if let Optimizer::Adam { .. } = self.optimizer {
            let left_root = self.left_root(k);
            for ((((w, m), r), g), size) in w.iter_mut().zip(&mut *m).zip(r).zip(g).zip(&mut *sizes) {
                *m = *m * left + (1.0 - BETA1) * g;
                let root = *r * left_root;
                *r = (root * root + (1.0 - BETA2) * g * g).sqrt();
                *size = time.rate / (*r * time.spread + EPSILON);
                *w -= *size * *m;
            }
        } else {
            for (((w, m), g), size) in w.iter_mut().zip(m).zip(g).zip(&mut *sizes) {
                *m = *m * left + g;
                *size = time.rate / time.unbias;
                *w -= time.rate * *m;
            }
        }
        self.penalty.shrink(w, sizes);
    }

    /// The steps after `last` up to `now` without slopes, one by one: only a penalty needs them. Says whether nothing will move any
    /// more.
    #[inline(always)]
    pub(crate) fn walk(&self, cells: &mut [f64], sizes: &mut [f64], last: usize, now: usize, times: &[Time]) -> bool {
        let h = sizes.len();
        for t in last + 1..=now {
            let time = times[t % RING];
            let (w, moments) = cells.split_at_mut(h);
            let (m, r) = moments.split_at_mut(h);
            let left = if t - last > self.spent { 0.0 } else { self.left(1) };
            if let Optimizer::Adam { .. } = self.optimizer {
                let left_root = self.left_root(1);
                for (((w, m), r), size) in w.iter_mut().zip(&mut *m).zip(r).zip(&mut *sizes) {
                    *m *= left;
                    *r *= left_root;
                    *size = time.rate / (*r * time.spread + EPSILON);
                    *w -= *size * *m;
                }
            } else {
                for ((w, m), size) in w.iter_mut().zip(&mut *m).zip(&mut *sizes) {
                    *m *= left;
                    *size = time.rate / time.unbias;
                    *w -= time.rate * *m;
                }
            }
            self.penalty.shrink(w, sizes);
            // in whole numbers, which have no order to be summed in
            let mut any = 0;
            for w in &*w {
                any |= w.abs().to_bits();
            }
            if any == 0 && self.penalty.holds(m, time.unbias, sizes) {
                let (m, r) = cells[h..].split_at_mut(h);
                let (left, left_root) = (self.left(now - t), self.left_root(now - t));
                for (m, r) in m.iter_mut().zip(r) {
                    *m *= left;
                    *r *= left_root;
                }
                return true;
            }
        }
        false
    }
}
