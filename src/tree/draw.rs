//! Random numbers that are a function of their seed: which rows a tree of an ensemble sees, and how large it may become.

use super::impurity::ln;
use crate::numeric::SplitMix64;

/// Draws of one ensemble, one after the other.
pub(crate) struct Draws(SplitMix64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SplitMix64(seed))
    }

    /// Exponential with this mean, at least 0.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.0.share())
    }

    /// `n` of the rows without replacement, rising. The order of `rows` is left another one.
    pub(crate) fn sample(&mut self, rows: &mut [u32], n: usize) -> Vec<u32> {
        let n = n.min(rows.len());
        for at in 0..n {
            let other = at + self.0.below((rows.len() - at) as u64) as usize;
            rows.swap(at, other);
        }
        let mut drawn = rows[..n].to_vec();
        drawn.sort_unstable();
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
