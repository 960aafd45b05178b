//! Which fold a row belongs to: a pure function, written out here so that no library's change can change it.

/// Fold of each row, `0..folds`: a pure function of its arguments, the same on every machine and version.
/// `strata` = class position of each row keeps class shares equal over folds.
///
/// Rows are grouped by stratum (rising), each group is shuffled (Fisher–Yates on SplitMix64), and the groups one after
/// the other are dealt out like cards. So the sizes of folds differ by at most one, and so do their shares of each stratum.
pub fn folds(n_rows: usize, strata: Option<&[f64]>, folds: u64, seed: u64) -> Vec<u32> {
    let folds = u32::try_from(folds).unwrap_or(u32::MAX).max(1);
    let mut order: Vec<u32> = (0..u32::try_from(n_rows).expect("row limits lie far below 2^32")).collect();
    let mut random = SplitMix64(seed);
    match strata {
        None => random.shuffle(&mut order),
        Some(strata) => {
            let stratum = |row: &u32| strata[*row as usize];
            order.sort_by(|a, b| stratum(a).total_cmp(&stratum(b)));
            order.chunk_by_mut(|a, b| stratum(a).total_cmp(&stratum(b)).is_eq()).for_each(|group| random.shuffle(group));
        }
    }
    let mut fold_of_row = vec![0; n_rows];
    let mut fold = 0;
    for row in order {
        fold_of_row[row as usize] = fold;
        fold = (fold + 1) % folds;
    }
    fold_of_row
}

/// Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, fig. 17.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A uniform number below `bound` > 0, without bias: Lemire, "Fast random integer generation in an interval", 2019.
    fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }

    fn shuffle(&mut self, items: &mut [u32]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1);
            items.swap(last, other as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_generator_is_splitmix64() {
        // First outputs for seed 1234567, as published with the reference implementation (prng.di.unimi.it/splitmix64.c).
        let mut random = SplitMix64(1_234_567);
        let outputs: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn folds_never_change_from_version_to_version() {
        assert_eq!(folds(12, None, 5, 0), [4, 0, 1, 4, 0, 0, 2, 3, 3, 2, 1, 1]);
        assert_eq!(folds(12, None, 5, 1), [1, 3, 4, 3, 2, 1, 1, 0, 0, 4, 2, 0]);
        let classes = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0];
        assert_eq!(folds(10, Some(&classes), 3, 7), [1, 2, 2, 0, 2, 0, 1, 0, 1, 0]);
    }

    proptest! {
        #[test]
        fn sizes_differ_by_at_most_one_in_all_and_in_each_stratum(
            classes in proptest::collection::vec(0u8..4, 1..200), k in 2u64..20, seed in any::<u64>(), stratify in any::<bool>(),
        ) {
            let strata: Vec<f64> = classes.iter().map(|class| f64::from(*class)).collect();
            let fold_of_row = folds(strata.len(), stratify.then_some(&strata[..]), k, seed);
            let spread = |rows: &dyn Fn(usize) -> bool| {
                let mut sizes = vec![0usize; k as usize];
                (0..strata.len()).filter(|row| rows(*row)).for_each(|row| sizes[fold_of_row[row] as usize] += 1);
                sizes.iter().max().unwrap() - sizes.iter().min().unwrap()
            };
            prop_assert!(spread(&|_| true) <= 1);
            if stratify {
                for class in 0..4 {
                    prop_assert!(spread(&|row| classes[row] == class) <= 1);
                }
            }
        }
    }
}
