//! What makes a split good, computed from whole numbers: the same partition has the same value, to the bit, whichever
//! feature makes it and whichever side is called left. Different partitions that are equally good have the same bits
//! for Gini's impurity as long as a node has no more than some ten thousand rows; else rounding decides between them.
//!
//! Weights are whole (`weights.rs`), W = w_L + w_R is the weight of the node and S = s_L + s_R its sum of targets.

use super::Unfit;
use super::clock::Clock;

/// A measure of splits of targets that are summed to one number: numbers, and the ones among zeros and ones.
pub(crate) trait Measure: Sync {
    /// What the quick comparison needs of the best split so far.
    type Bar: Copy + Send;
    /// The bar that every split passes.
    const NONE: Self::Bar;

    /// Whether a split off of weight `w` and sum `s` may be as good as the bar; never wrongly no.
    fn passes(&self, w: i64, s: i64, bar: Self::Bar) -> bool;

    /// Its value, larger is better, and the bar it sets.
    fn value(&self, w: i64, s: i64) -> (f64, Self::Bar);

    /// The impurity times whole weight that a split of this value takes away.
    fn decrease(&self, value: f64) -> f64;
}

/// Squared distance to the mean: (s_R·W − S·w_R)² / (w_L·w_R·W) is taken away.
pub(crate) struct Squared {
    weight: i64,
    sum: i64,
    mean: f64,
    /// More than what rounding can take off s − w·mean.
    slack: f64,
    /// 1 for numbers, 2 for Gini's impurity of two classes: 1 − p² − (1 − p)² = 2p(1 − p).
    factor: f64,
}

impl Squared {
    pub(crate) fn new(weight: i64, sum: i64, factor: f64) -> Self {
        let mean = sum as f64 / weight as f64;
        // |s| may be larger than |S|: rounding of s itself is allowed for where it is known
        Self { weight, sum, mean, slack: (sum as f64).abs() * f64::EPSILON * 4.0, factor }
    }
}

impl Measure for Squared {
    /// (d², w_L·w_R) of the best, d = s − w·mean.
    type Bar = (f64, f64);
    const NONE: (f64, f64) = (-1.0, 1.0);

    #[inline(always)]
    fn passes(&self, w: i64, s: i64, bar: (f64, f64)) -> bool {
        let (w_f, s_f) = (w as f64, s as f64);
        let d = (s_f - w_f * self.mean).abs() + (self.slack + s_f.abs() * f64::EPSILON);
        let product = w_f * (self.weight - w) as f64;
        d * d * bar.1 >= bar.0 * product * (1.0 - 1e-9)
    }

    fn value(&self, w: i64, s: i64) -> (f64, (f64, f64)) {
        // below 2^61 · 2^53 each
        let apart = i128::from(s) * i128::from(self.weight) - i128::from(self.sum) * i128::from(w);
        let apart = apart.unsigned_abs() as f64;
        let product = w as f64 * (self.weight - w) as f64;
        let d = apart / self.weight as f64;
        (apart * apart / product, (d * d, product))
    }

    fn decrease(&self, value: f64) -> f64 {
        self.factor * value / self.weight as f64
    }
}

/// Entropy of two classes: the value is Σ over sides of Σ_k n_k·ln n_k − n·ln n.
pub(crate) struct BinaryEntropy<'t> {
    pub(crate) weight: i64,
    pub(crate) ones: i64,
    pub(crate) table: &'t XLogX,
}

impl BinaryEntropy<'_> {
    #[inline(always)]
    fn side(&self, w: i64, ones: i64) -> f64 {
        (self.table.of(ones) + self.table.of(w - ones)) - self.table.of(w)
    }
}

impl Measure for BinaryEntropy<'_> {
    type Bar = f64;
    const NONE: f64 = f64::NEG_INFINITY;

    #[inline(always)]
    fn passes(&self, w: i64, s: i64, bar: f64) -> bool {
        self.side(w, s) + self.side(self.weight - w, self.ones - s) >= bar
    }

    fn value(&self, w: i64, s: i64) -> (f64, f64) {
        let value = self.side(w, s) + self.side(self.weight - w, self.ones - s);
        (value, value)
    }

    fn decrease(&self, value: f64) -> f64 {
        (value - self.side(self.weight, self.ones)).max(0.0) / std::f64::consts::LN_2
    }
}

/// A measure of splits of many classes: `of` each class's weight is summed, and `side` says what a side is worth.
pub(crate) trait ClassMeasure: Sync {
    fn of(&self, n: i64) -> f64;
    fn side(&self, sum: f64, w: i64) -> f64;

    /// What two sides are worth together.
    fn sides(&self, (a, w_a): (f64, i64), (b, w_b): (f64, i64)) -> f64 {
        self.side(a, w_a) + self.side(b, w_b)
    }

    /// The impurity times whole weight that is taken away where values rise by this.
    fn unit(&self) -> f64;
}

/// Gini: Σ n_k² / n.
pub(crate) struct Gini;

impl ClassMeasure for Gini {
    #[inline(always)]
    fn of(&self, n: i64) -> f64 {
        let n = n as f64;
        n * n
    }

    #[inline(always)]
    fn side(&self, sum: f64, w: i64) -> f64 {
        sum / w as f64
    }

    /// One division: among a hundred thousand rows numerator and denominator are exact, so what is equal has equal bits.
    fn sides(&self, (a, w_a): (f64, i64), (b, w_b): (f64, i64)) -> f64 {
        let (w_a, w_b) = (w_a as f64, w_b as f64);
        (a * w_b + b * w_a) / (w_a * w_b)
    }

    fn unit(&self) -> f64 {
        1.0
    }
}

impl ClassMeasure for XLogX {
    #[inline(always)]
    fn of(&self, n: i64) -> f64 {
        XLogX::of(self, n)
    }

    #[inline(always)]
    fn side(&self, sum: f64, w: i64) -> f64 {
        sum - XLogX::of(self, w)
    }

    fn unit(&self) -> f64 {
        1.0 / std::f64::consts::LN_2
    }
}

/// x·ln x, from a table where it is short.
pub(crate) struct XLogX {
    table: Vec<f64>,
}

impl XLogX {
    /// For weights up to `most`, in a table that is no longer than a few numbers a row.
    pub(crate) fn new(most: i64, n_rows: usize, clock: &mut Clock) -> Result<Self, Unfit> {
        let length = if most <= 4 * n_rows as i64 { most + 1 } else { 0 };
        let value = |n| clock.work(16).map(|()| x_log_x(n));
        Ok(Self { table: (0..length).map(value).collect::<Result<_, _>>()? })
    }

    #[inline(always)]
    pub(crate) fn of(&self, n: i64) -> f64 {
        match self.table.get(n as usize) {
            Some(&value) => value,
            None => x_log_x(n),
        }
    }
}

fn x_log_x(n: i64) -> f64 {
    if n <= 1 { 0.0 } else { n as f64 * ln(n as f64) }
}

/// ln x for normal x > 0, in plain arithmetic, so that it has the same bits on every machine: x = 2^k·m with m in
/// [√½, √2), ln m = 2·atanh((m − 1)/(m + 1)).
pub(crate) fn ln(x: f64) -> f64 {
    const ROOT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
    let k = (x.to_bits().wrapping_sub(ROOT_HALF) as i64) >> 52;
    let m = f64::from_bits(x.to_bits().wrapping_sub((k as u64) << 52));
    let t = (m - 1.0) / (m + 1.0);
    let square = t * t;
    let series = (0..12).rev().fold(0.0, |sum, i| sum * square + 1.0 / f64::from(2 * i + 1));
    let k = k as f64;
    k * 6.931_471_803_691_238e-1 + (2.0 * t * series + k * 1.908_214_929_270_587_7e-10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right() {
        for x in [1.0, 2.0, 3.0, 0.1, 0.707, 1.415, 12345.678, 1e300, 1e-300] {
            assert!((ln(x) - f64::ln(x)).abs() <= 4e-16 * f64::ln(x).abs().max(1.0), "{x}");
        }
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn the_same_partition_has_the_same_value_from_either_side() {
        let squared = Squared::new(7, 123_456_789_123, 1.0);
        assert_eq!(squared.value(3, 9_876_543_210).0, squared.value(4, 123_456_789_123 - 9_876_543_210).0);
        let go_on = |_: &super::super::Progress| std::ops::ControlFlow::Continue(());
        let table = XLogX::new(1000, 1000, &mut Clock::new(&go_on, None)).unwrap();
        let entropy = BinaryEntropy { weight: 1000, ones: 333, table: &table };
        assert_eq!(entropy.value(100, 77).0, entropy.value(900, 256).0);
    }
}
