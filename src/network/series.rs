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

use super::Optimizer;
use super::rule::{EPSILON, RING, Rule, Time};

/// Powers kept. At e ≤ 0.2, where it is largest, what is left out is below 1e-11 of what is summed; later on far below rounding.
const TERMS: usize = 16;
/// From here on the d_j of one s are near each other.
const CALM: usize = 128;
/// Steps from s to the middle of what counts.
const MIDDLE: usize = 9;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    centre: f64,
    inverse: f64,
    moments: [f64; TERMS],
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
        if !rule.penalty.is_none() {
            return; // walked instead
        }
        match rule.optimizer {
            Optimizer::Adam { .. } => {
                for s in t.saturating_sub(rule.spent).max(1)..t {
                    let sum = &mut self.sums[s % RING];
                    sum.add(time.rate * rule.left(t - s), 1.0 - rule.left_root(t - s) * time.spread * sum.inverse);
                }
                let next = t + 1;
                let middle = if next < CALM { (next + (next + 1).next_power_of_two()).div_ceil(2).min(t + MIDDLE) } else { t + MIDDLE };
                let centre = rule.left_root(middle - t) * rule.time(middle).spread;
                self.sums[t % RING] = Sum { centre, inverse: 1.0 / centre, moments: [0.0; TERMS] };
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
    pub(crate) fn turns(&self) -> bool {
        self.now < CALM && (self.now + 1).is_power_of_two()
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
                let mut total = sum.moments[TERMS - 1];
                for p in (0..TERMS - 1).rev() {
                    total = total * u + sum.moments[p];
                }
                *w -= *m * inverse * total;
            }
        } else {
            for (w, m) in w.iter_mut().zip(&*m) {
                *w -= *m * sum.moments[0];
            }
        }
    }
}

impl Sum {
    /// Adds a·eᵖ to each.
    fn add(&mut self, a: f64, e: f64) {
        let (e2, e4) = (e * e, e * e * e * e);
        // four chains side by side
        let mut powers = [a, a * e, a * e2, a * e2 * e];
        for four in self.moments.as_chunks_mut::<4>().0 {
            for l in 0..4 {
                four[l] += powers[l];
                powers[l] *= e4;
            }
        }
    }
}
