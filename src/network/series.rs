//! What the steps without a slope add up to, in closed form, so that an input which a batch does not hold costs nothing.
//!
//! After a slope at step s, Adam goes on: at step s + j it moves a weight by a_j·m/(r·d_j + ε), where m and r are its first
//! moment and the root of its second one at s, a_j = rate·β₁ʲ/(1 − β₁ˢ⁺ʲ) and d_j = β₂^(j/2)/√(1 − β₂ˢ⁺ʲ). Around a centre c of the
//! d_j, with e_j = d_j/c − 1 and u = rc/(rc + ε) in [0, 1],
//!
//! ```text
//! Σ_j a_j·m/(r·d_j + ε) = m/(rc + ε) · Σ_p (−u)^p M_p,   M_p = Σ_j a_j·e_jᵖ
//! ```
//!
//! The M_p are the same for all weights whose last slope came at s; a step adds one term to each of them. The a_j fall by a tenth a
//! step and the d_j hardly move meanwhile, so few M_p give all digits, whatever m and r are. Only at the beginning, while
//! 1 − β₂ᵗ grows quickly, all weights are brought up at steps that are powers of two, which the d_j then stay between.
//!
//! An L1 penalty takes λ·Σ_j rate/((1 − β₁ˢ⁺ʲ)(r·d_j + ε)) off |w| meanwhile, which is a series of the same form. The two may be added
//! while w stays on its side of 0; and |m| only falls, so where m no longer drives w over 0, it ends there.

use super::Optimizer;
use super::rule::{EPSILON, RING, Rule, Time, Way};

/// Powers kept. At e ≤ 0.2, where it is largest, what is left out is below 1e-11 of what is summed; later on far below rounding.
const TERMS: usize = 16;
/// From here on the d_j of one s are near each other, and with a penalty, whose terms do not fall with j.
const CALM: usize = 128;
const CALM_SHRINKING: usize = 1024;
/// Steps from s to the middle of what counts; with a penalty to the middle of what may come.
const MIDDLE: usize = 9;
const MIDDLE_SHRINKING: usize = 64;
/// With a penalty weights are brought up this often.
pub(crate) const SHRINKING_STEPS: usize = 128;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    centre: f64,
    inverse: f64,
    moments: [f64; TERMS],
    /// The same of the penalty, over λ.
    taken: [f64; TERMS],
}

/// The sums of each s that weights may still stand at, and the steps that were.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Steps taken.
    pub(crate) now: usize,
    sums: Vec<Sum>,
    pub(crate) times: Vec<Time>,
}

impl Series {
    pub(crate) fn new() -> Self {
        Self { now: 0, sums: vec![Sum::default(); RING], times: vec![Time::default(); RING] }
    }

    /// A step was taken.
    pub(crate) fn advance(&mut self, rule: &Rule) {
        self.now += 1;
        let t = self.now;
        let time = rule.time(t);
        self.times[t % RING] = time;
        let shrinking = matches!(rule.way(), Way::Shrinking(_));
        match rule.optimizer {
            _ if rule.way() == Way::Walk => {}
            Optimizer::Adam { .. } => {
                let (calm, middle, span) =
                    if shrinking { (CALM_SHRINKING, MIDDLE_SHRINKING, 2 * SHRINKING_STEPS) } else { (CALM, MIDDLE, rule.spent) };
                for s in t.saturating_sub(span).max(1)..t {
                    let sum = &mut self.sums[s % RING];
                    let e = 1.0 - rule.left_root(t - s) * time.spread * sum.inverse;
                    add(&mut sum.moments, time.rate * rule.left(t - s), e);
                    if shrinking {
                        add(&mut sum.taken, time.rate, e);
                    }
                }
                let next = t + 1;
                let middle = if next < calm { (next + (next + 1).next_power_of_two()).div_ceil(2).min(t + middle) } else { t + middle };
                let centre = rule.left_root(middle - t) * rule.time(middle).spread;
                self.sums[t % RING] = Sum { centre, inverse: 1.0 / centre, ..Sum::default() };
            }
            Optimizer::Sgd { .. } => {
                // the first moment alone is left over
                for s in t.saturating_sub(rule.spent.min(RING - 1)).max(1)..t {
                    self.sums[s % RING].moments[0] += time.rate * rule.left(t - s);
                }
                self.sums[t % RING] = Sum::default();
            }
        }
    }

    /// Whether all weights are to be brought up now.
    pub(crate) fn turns(&self, rule: &Rule) -> bool {
        let calm = if matches!(rule.way(), Way::Shrinking(_)) { CALM_SHRINKING } else { CALM };
        self.now < calm && (self.now + 1).is_power_of_two()
    }

    /// Moves weights whose last slope came at `last` to where they are now; their moments stay those of `last`.
    #[inline(always)]
    pub(crate) fn bring(&self, rule: &Rule, cells: &mut [f64], h: usize, last: usize) {
        let sum = &self.sums[last % RING];
        let (w, moments) = cells.split_at_mut(h);
        let (m, r) = moments.split_at_mut(h);
        if let Optimizer::Adam { .. } = rule.optimizer {
            let centre = sum.centre;
            for ((w, m), r) in w.iter_mut().zip(&*m).zip(&*r) {
                let rc = r * centre;
                let inverse = 1.0 / (rc + EPSILON);
                let u = rc * inverse;
                *w -= *m * inverse * total(&sum.moments, u);
            }
        } else {
            for (w, m) in w.iter_mut().zip(&*m) {
                *w -= *m * sum.moments[0];
            }
        }
    }

    /// Moves weights and moments to where they are now, with an L1 penalty; says whether nothing will move any more. `flags` is room.
    #[inline(always)]
    pub(crate) fn shrink(&self, rule: &Rule, lambda: f64, cells: &mut [f64], flags: &mut [f64], last: usize) -> bool {
        let h = flags.len();
        let (sum, n) = (&self.sums[last % RING], self.now - last);
        let first = rule.left(1) * self.times[(last + 1) % RING].unbias;
        let (w, moments) = cells.split_at_mut(h);
        let (m, r) = moments.split_at_mut(h);
        // told in whole numbers: sums and maxima of doubles have an order, which would keep the loop from the wide registers
        let mut flagged = 0_u64;
        for (((w, m), r), flag) in w.iter_mut().zip(&*m).zip(&*r).zip(&mut *flags) {
            let rc = r * sum.centre;
            let inverse = 1.0 / (rc + EPSILON);
            let u = rc * inverse;
            let (moved, taken) = (*m * inverse * total(&sum.moments, u), lambda * inverse * total(&sum.taken, u));
            let drives = m.abs() * first > lambda;
            // at 0 it goes where it is driven, or stays
            let side = if *w == 0.0 { -1.0_f64.copysign(*m) } else { 1.0_f64.copysign(*w) };
            let left = (*w - moved) * side - taken;
            // driven to 0, and perhaps over it: when it comes there has to be looked for
            let over = left < 0.0 && drives && *w * *m > 0.0;
            *flag = if over { 1.0 } else { 0.0 };
            flagged |= flag.to_bits();
            let ends = if left > 0.0 && (*w != 0.0 || drives) { left * side } else { 0.0 };
            *w = if over { *w } else { ends };
        }
        if flagged != 0 {
            for (((w, m), r), _) in w.iter_mut().zip(&*m).zip(&*r).zip(&*flags).filter(|(_, flag)| **flag > 0.0) {
                *w = self.walked(rule, lambda, [*w, *m, *r], last);
            }
        }
        let (left, left_root) = (if n >= rule.spent { 0.0 } else { rule.left(n) }, rule.left_root(n));
        let unbias = self.times[self.now % RING].unbias;
        let mut moves = 0_u64;
        for ((w, m), r) in w.iter().zip(m).zip(r) {
            *m *= left;
            *r *= left_root;
            let driven = if m.abs() * unbias > lambda { 1.0_f64 } else { 0.0 };
            moves |= w.abs().to_bits() | driven.to_bits();
        }
        moves == 0
    }

    /// One weight, step by step, until it stays at 0.
    fn walked(&self, rule: &Rule, lambda: f64, [mut w, mut m, mut r]: [f64; 3], last: usize) -> f64 {
        for t in last + 1..=self.now {
            let time = self.times[t % RING];
            m *= rule.left(1);
            r *= rule.left_root(1);
            let size = time.rate / (r * time.spread + EPSILON);
            w -= size * m;
            w = (w.abs() - lambda * size).max(0.0).copysign(w);
            if w == 0.0 && m.abs() * time.unbias <= lambda {
                break;
            }
        }
        w
    }
}

/// Σ_p M_p·uᵖ, the signs being in the M_p.
#[inline(always)]
fn total(moments: &[f64; TERMS], u: f64) -> f64 {
    let mut total = moments[TERMS - 1];
    for p in (0..TERMS - 1).rev() {
        total = total * u + moments[p];
    }
    total
}

/// Adds a·eᵖ to each.
fn add(moments: &mut [f64; TERMS], a: f64, e: f64) {
    let (e2, e4) = (e * e, e * e * e * e);
    // four chains side by side
    let mut powers = [a, a * e, a * e2, a * e2 * e];
    for four in moments.as_chunks_mut::<4>().0 {
        for l in 0..4 {
            four[l] += powers[l];
            powers[l] *= e4;
        }
    }
}
