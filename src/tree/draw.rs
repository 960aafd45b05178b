//! Random numbers that are a function of their seed: which rows a tree of an ensemble sees, and how large it may become.

use super::impurity::ln;

/// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Uniform in [0, 1).
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform below `n` > 0, to within n/2⁶⁴ (Lemire's product without its rejection).
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Exponential with this mean, at least 0.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.share())
    }

    /// `n` of the rows without replacement, rising. The order of `rows` is left another one.
    pub(crate) fn sample(&mut self, rows: &mut [u32], n: usize) -> Vec<u32> {
        let n = n.min(rows.len());
        for at in 0..n {
            let other = at + self.below(rows.len() - at);
            rows.swap(at, other);
        }
        let mut drawn = rows[..n].to_vec();
        drawn.sort_unstable();
        drawn
    }
}

/// The output function of SplitMix64: every bit of the result depends on every bit of `z`.
pub(crate) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // first outputs for seed 1234567, as published with the reference implementation
        let mut draws = Draws::new(1_234_567);
        assert_eq!([draws.next(), draws.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn a_sample_has_each_row_once_and_all_rows_are_as_likely() {
        let mut draws = Draws::new(1);
        let mut rows: Vec<u32> = (0..10).collect();
        let mut seen = [0; 10];
        for _ in 0..4000 {
            let drawn = draws.sample(&mut rows, 3);
            assert!(drawn.len() == 3 && drawn.windows(2).all(|pair| pair[0] < pair[1]));
            drawn.iter().for_each(|&row| seen[row as usize] += 1);
        }
        // 1200 each; the standard deviation is 29
        assert!(seen.iter().all(|&n| (1080..1320).contains(&n)), "{seen:?}");
        assert_eq!(draws.sample(&mut rows, 99).len(), 10);
    }

    #[test]
    fn exponential_numbers_have_their_mean() {
        let mut draws = Draws::new(2);
        let mean = (0..20_000).map(|_| draws.exponential(3.0)).sum::<f64>() / 20_000.0;
        assert!((mean - 3.0).abs() < 0.1, "{mean}");
    }
}
