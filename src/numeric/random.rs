//! Random numbers that are a function of their seed: written out here so that no library's change can change them.

/// Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, fig. 17.
#[derive(Clone, Debug)]
pub struct SplitMix64(pub u64);

/// What the state grows by: odd, and near 2⁶⁴ divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The state after `steps` numbers from the seed 0.
    pub fn at(steps: u64) -> Self {
        Self(steps.wrapping_mul(GAMMA))
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A uniform number below `bound` > 0, without bias: Lemire, "Fast random integer generation in an interval", 2019.
    pub fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.bits()) * u128::from(bound);
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    /// Uniform in [0, 1).
    pub fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in [−1, 1).
    pub fn symmetric(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    /// Any order of them with the same probability: Fisher & Yates.
    pub fn shuffle(&mut self, items: &mut [u32]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1);
            items.swap(last, other as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // first outputs for seed 1234567, as published with the reference implementation (prng.di.unimi.it/splitmix64.c)
        let mut random = SplitMix64(1_234_567);
        let outputs: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn numbers_lie_where_they_should_and_a_state_can_be_jumped_to() {
        let mut random = SplitMix64(0);
        for step in 0..1000 {
            assert_eq!(random.0, SplitMix64::at(step).0);
            assert!(random.clone().below(7) < 7);
            assert!((0.0..1.0).contains(&random.clone().share()));
            assert!((-1.0..1.0).contains(&random.symmetric()));
        }
    }
}
