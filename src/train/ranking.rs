//! Rows in the order of their scores, and what that order tells.
//!
//! The caller is told of the work as it is done and may end it: ten million rows are sorted in more than a moment.

/// Rows sorted by themselves before they are merged.
const RUN: usize = 4096;
/// Units of work of one comparison of two rows, which lie anywhere.
const COMPARISON: usize = 4;

/// Positions of `scores`, rising.
pub(super) fn order<E>(scores: &[f64], work: &mut impl FnMut(usize) -> Result<(), E>) -> Result<Vec<u32>, E> {
    let score = |row: &u32| scores[*row as usize];
    let mut order: Vec<u32> = (0..scores.len()).map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect();
    for run in order.chunks_mut(RUN) {
        work(RUN.ilog2() as usize * COMPARISON * run.len())?;
        run.sort_unstable_by(|a, b| score(a).total_cmp(&score(b)));
    }
    let mut merged = Vec::with_capacity(order.len());
    let mut width = RUN;
    while width < order.len() {
        for pair in order.chunks(2 * width) {
            let (mut left, mut right) = pair.split_at(width.min(pair.len()));
            let end = merged.len() + pair.len();
            while merged.len() < end {
                work(COMPARISON * RUN)?;
                for _ in 0..RUN.min(end - merged.len()) {
                    let from = match (left.first(), right.first()) {
                        (Some(a), Some(b)) if score(b).total_cmp(&score(a)).is_lt() => &mut right,
                        (None, _) => &mut right,
                        _ => &mut left,
                    };
                    merged.push(from[0]);
                    *from = &from[1..];
                }
            }
        }
        std::mem::swap(&mut order, &mut merged);
        merged.clear();
        width *= 2;
    }
    Ok(order)
}

/// Area under the ROC curve: the weighted share of (positive, negative) pairs in the right order, ties half; `None` when one
/// of the two has no weight. `y` > 0 is positive.
pub(super) fn auc<E>(
    y: &[f64],
    scores: &[f64],
    weight: impl Fn(usize) -> f64,
    mut work: impl FnMut(usize) -> Result<(), E>,
) -> Result<Option<f64>, E> {
    let order = order(scores, &mut work)?;
    let (mut below, mut pairs, mut positive) = (0.0, 0.0, 0.0);
    for ties in order.chunk_by(|&a, &b| scores[a as usize] == scores[b as usize]) {
        let (mut up, mut down) = (0.0, 0.0);
        for rows in ties.chunks(RUN) {
            work(COMPARISON * rows.len())?;
            for &row in rows {
                let side = if y[row as usize] > 0.0 { &mut up } else { &mut down };
                *side += weight(row as usize);
            }
        }
        pairs += up * (below + down / 2.0);
        below += down;
        positive += up;
    }
    Ok((positive > 0.0 && below > 0.0).then(|| pairs / (positive * below)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auc_of(y: &[f64], scores: &[f64], weight: impl Fn(usize) -> f64) -> Option<f64> {
        auc(y, scores, weight, |_| Ok::<_, ()>(())).unwrap()
    }

    #[test]
    fn auc_counts_ordered_pairs_and_halves_ties() {
        let unit = |_: usize| 1.0;
        assert_eq!(auc_of(&[-1.0, 1.0], &[0.0, 1.0], unit), Some(1.0));
        assert_eq!(auc_of(&[1.0, -1.0], &[0.0, 1.0], unit), Some(0.0));
        assert_eq!(auc_of(&[1.0, -1.0, 1.0, -1.0], &[0.5; 4], unit), Some(0.5));
        assert_eq!(auc_of(&[1.0, -1.0, 1.0], &[2.0, 1.0, 0.0], unit), Some(0.5));
        assert_eq!(auc_of(&[1.0, 1.0], &[0.0, 1.0], unit), None);
        assert_eq!(auc_of(&[-1.0, 1.0, 1.0], &[1.0, 0.0, 2.0], |i| if i == 1 { 3.0 } else { 1.0 }), Some(0.25));
    }

    #[test]
    fn many_rows_are_ordered_as_by_one_sort_and_the_work_can_be_ended() {
        for n in [0, 1, RUN, RUN + 1, 5 * RUN + 17] {
            let scores: Vec<f64> = (0..n).map(|i| ((i * 7919) % 1009) as f64 - 500.0).collect();
            let found = order(&scores, &mut |_| Ok::<_, ()>(())).unwrap();
            let mut expected: Vec<f64> = scores.clone();
            expected.sort_by(f64::total_cmp);
            assert_eq!(found.iter().map(|row| scores[*row as usize]).collect::<Vec<_>>(), expected);
            let mut rows = found.clone();
            rows.sort_unstable();
            assert!(rows.iter().enumerate().all(|(i, row)| i == *row as usize));
        }
        let mut calls = 0;
        let ended = order(&[1.0; 3 * RUN], &mut |_| {
            calls += 1;
            if calls > 2 { Err(()) } else { Ok(()) }
        });
        assert_eq!((ended, calls), (Err(()), 3));
    }
}
