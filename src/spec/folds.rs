//! Which fold a row belongs to: a pure function, written out here so that no library's change can change it.

use crate::numeric::SplitMix64;

/// Fold of each row, `0..folds`: a pure function of its arguments, the same on every machine and version.
/// `strata` = class position of each row keeps class shares equal over folds.
///
/// Rows are grouped by stratum (rising), each group is shuffled (Fisher–Yates on SplitMix64), and the groups one after
/// the other are dealt out like cards. So the sizes of folds differ by at most one, and so do their shares of each stratum.
pub(super) fn folds(n_rows: usize, strata: Option<&[f64]>, folds: u64, seed: u64) -> Vec<i32> {
    let folds = i32::try_from(folds).unwrap_or(i32::MAX).max(1);
    let mut fold_of_row = vec![0; n_rows];
    let mut fold = 0;
    for row in shuffled(n_rows, strata, seed) {
        fold_of_row[row as usize] = fold;
        fold = (fold + 1) % folds;
    }
    fold_of_row
}

/// 0 or 1 for the rows of two halves of equal size, dealt out as [`folds`] does; −1 for the last row where their number is odd.
pub(super) fn halves(n_rows: usize, strata: Option<&[f64]>, seed: u64) -> Vec<i32> {
    let mut half_of_row = vec![-1; n_rows];
    for pair in shuffled(n_rows, strata, seed).chunks_exact(2) {
        for (row, half) in pair.iter().zip(0..) {
            half_of_row[*row as usize] = half;
        }
    }
    half_of_row
}

/// Fold 0 for the rows held out, −1 for the others: of the order that [`folds`] deals from, as many rows as `fraction`
/// rounds to, evenly spread over it, so that each stratum gives its share to within one row. At least one row is held
/// out, and at least one is not.
pub(super) fn holdout(n_rows: usize, strata: Option<&[f64]>, fraction: f64, seed: u64) -> Vec<i32> {
    let (all, held) = (n_rows as u64, held_out(n_rows, fraction));
    let mut fold_of_row = vec![-1; n_rows];
    for (place, row) in shuffled(n_rows, strata, seed).into_iter().enumerate() {
        let before = |place: u64| u128::from(place) * u128::from(held) / u128::from(all);
        if before(place as u64 + 1) > before(place as u64) {
            fold_of_row[row as usize] = 0;
        }
    }
    fold_of_row
}

/// As [`folds`], where rows of one group stay together: the groups are shuffled, the large ones come first, and each
/// goes to the fold that has the fewest rows.
pub(super) fn folds_of_groups(groups: &[u32], folds: u64, seed: u64) -> Vec<i32> {
    let sizes = sizes_of(groups);
    let mut order = shuffled(sizes.len(), None, seed);
    order.sort_by_key(|group| std::cmp::Reverse(sizes[*group as usize]));
    let mut rows_of_fold = vec![0_u64; usize::try_from(folds).unwrap_or(1).max(1)];
    let mut fold_of_group = vec![0; sizes.len()];
    for group in order {
        let mut lightest = 0;
        for (fold, rows) in rows_of_fold.iter().enumerate() {
            if *rows < rows_of_fold[lightest] {
                lightest = fold;
            }
        }
        rows_of_fold[lightest] += sizes[group as usize];
        fold_of_group[group as usize] = lightest as i32;
    }
    groups.iter().map(|group| fold_of_group[*group as usize]).collect()
}

/// As [`holdout`], where rows of one group stay together: shuffled groups are held out until the rows are enough, all
/// but the last of them at most.
pub(super) fn holdout_of_groups(groups: &[u32], fraction: f64, seed: u64) -> Vec<i32> {
    let sizes = sizes_of(groups);
    let wanted = held_out(groups.len(), fraction);
    let mut fold_of_group = vec![-1; sizes.len()];
    let mut held = 0;
    for group in shuffled(sizes.len(), None, seed).into_iter().take(sizes.len().saturating_sub(1)) {
        if held >= wanted {
            break;
        }
        held += sizes[group as usize];
        fold_of_group[group as usize] = 0;
    }
    groups.iter().map(|group| fold_of_group[*group as usize]).collect()
}

/// What `deal` deals out to `n` of something, by their strata: to rows, or where rows have groups, numbered as they first occur, to the
/// groups, by the stratum of their first row. All rows of a group get what it got.
pub(super) fn together(
    groups: Option<&[u32]>,
    n_rows: usize,
    strata: Option<&[f64]>,
    deal: impl FnOnce(usize, Option<&[f64]>) -> Vec<i32>,
) -> Vec<i32> {
    let Some(groups) = groups else { return deal(n_rows, strata) };
    let mut firsts: Vec<usize> = Vec::new();
    for (row, group) in groups.iter().enumerate() {
        if *group as usize == firsts.len() {
            firsts.push(row);
        }
    }
    let of_first: Option<Vec<f64>> = strata.map(|strata| firsts.iter().map(|row| strata[*row]).collect());
    let dealt = deal(firsts.len(), of_first.as_deref());
    groups.iter().map(|group| dealt[*group as usize]).collect()
}

/// The seed of one of several assignments; the first has the seed itself, so that one repeat is none.
pub(super) fn seed_of_repeat(seed: u64, repeat: u64) -> u64 {
    let mut random = SplitMix64(seed);
    (0..repeat).map(|_| random.bits()).last().unwrap_or(seed)
}

fn held_out(n_rows: usize, fraction: f64) -> u64 {
    ((n_rows as f64 * fraction).round() as u64).clamp(1, (n_rows as u64).saturating_sub(1).max(1))
}

/// Rows of each group.
fn sizes_of(groups: &[u32]) -> Vec<u64> {
    let mut sizes = vec![0; groups.iter().max().map_or(0, |most| *most as usize + 1)];
    groups.iter().for_each(|group| sizes[*group as usize] += 1);
    sizes
}

/// Rows by stratum (rising), shuffled within each.
fn shuffled(n_rows: usize, strata: Option<&[f64]>, seed: u64) -> Vec<u32> {
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
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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

        #[test]
        fn halves_are_equal_disjoint_and_fair_to_each_stratum(
            classes in proptest::collection::vec(0u8..4, 2..200), seed in any::<u64>(), stratify in any::<bool>(),
        ) {
            let strata: Vec<f64> = classes.iter().map(|class| f64::from(*class)).collect();
            let n = strata.len();
            let of_row = halves(n, stratify.then_some(&strata[..]), seed);
            let size = |half: i32, rows: &dyn Fn(usize) -> bool| (0..n).filter(|row| rows(*row) && of_row[*row] == half).count();
            prop_assert_eq!([size(0, &|_| true), size(1, &|_| true), size(-1, &|_| true)], [n / 2, n / 2, n % 2]);
            for class in 0..4 {
                let of_class = |row: usize| classes[row] == class;
                prop_assert!(!stratify || size(0, &of_class).abs_diff(size(1, &of_class)) <= 1);
            }
        }

        #[test]
        fn a_hold_out_takes_its_share_of_all_rows_and_of_each_stratum(
            classes in proptest::collection::vec(0u8..4, 2..200), fraction in 0.01..0.99, seed in any::<u64>(), stratify in any::<bool>(),
        ) {
            let strata: Vec<f64> = classes.iter().map(|class| f64::from(*class)).collect();
            let n = strata.len();
            let of_row = holdout(n, stratify.then_some(&strata[..]), fraction, seed);
            let held = |rows: &dyn Fn(usize) -> bool| (0..n).filter(|row| rows(*row) && of_row[*row] == 0).count();
            let all = held(&|_| true);
            prop_assert_eq!(all, ((n as f64 * fraction).round() as usize).clamp(1, n - 1));
            for class in 0..4 {
                let of_class = classes.iter().filter(|c| **c == class).count() as f64;
                let share = of_class * all as f64 / n as f64;
                prop_assert!(!stratify || (held(&|row| classes[row] == class) as f64 - share).abs() < 1.0 + 1e-9);
            }
            prop_assert_eq!(&of_row, &holdout(n, stratify.then_some(&strata[..]), fraction, seed));
        }

        #[test]
        fn groups_are_never_split(labels in proptest::collection::vec(0u32..12, 2..200), k in 2u64..6, fraction in 0.01..0.99, seed in any::<u64>()) {
            // as the specification numbers them: by their first row
            let mut numbers = std::collections::HashMap::new();
            let groups: Vec<u32> = labels.iter().map(|label| { let next = numbers.len() as u32; *numbers.entry(*label).or_insert(next) }).collect();
            let n_groups = numbers.len();
            for of_row in [folds_of_groups(&groups, k, seed), holdout_of_groups(&groups, fraction, seed)] {
                for group in 0..n_groups as u32 {
                    let folds: std::collections::HashSet<i32> =
                        (0..groups.len()).filter(|row| groups[*row] == group).map(|row| of_row[row]).collect();
                    prop_assert_eq!(folds.len(), 1);
                }
            }
            let of_row = folds_of_groups(&groups, k, seed);
            let used: std::collections::HashSet<i32> = of_row.iter().copied().collect();
            prop_assert_eq!(used.len(), n_groups.min(k as usize), "no fold is empty while there are groups");
            let largest = sizes_of(&groups).into_iter().max().unwrap();
            let mut rows = vec![0; k as usize];
            of_row.iter().for_each(|fold| rows[*fold as usize] += 1);
            prop_assert!(rows.iter().max().unwrap() - rows.iter().min().unwrap() <= largest, "folds differ by one group at most");
            if n_groups > 1 {
                let held = holdout_of_groups(&groups, fraction, seed);
                prop_assert!(held.contains(&0) && held.contains(&-1));
            }
        }
    }

    #[test]
    fn rows_of_one_origin_go_where_the_first_of_them_would_go_alone() {
        let origins = [0, 0, 1, 2, 2, 2, 3, 4, 0, 5];
        let classes = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0];
        let of_origin = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0];
        let alone = folds(6, Some(&of_origin), 3, 9);
        let dealt = together(Some(&origins), 10, Some(&classes), |n, strata| folds(n, strata, 3, 9));
        assert_eq!(dealt, origins.map(|origin| alone[origin as usize]));
        assert_eq!(together(None, 6, Some(&of_origin), |n, strata| folds(n, strata, 3, 9)), alone);
    }

    #[test]
    fn the_first_repeat_is_the_plain_assignment_and_the_others_differ() {
        assert_eq!(seed_of_repeat(77, 0), 77);
        assert_eq!(
            [1, 2, 3].map(|repeat| seed_of_repeat(1_234_567, repeat)),
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }
}
