//! Which combinations the walks visit: the whole product when `SPARSEFIT_PRODUCT=whole` asks for it (`just test-solver`), else
//! so many that any three choices occur together.

/// Combinations of one choice for each axis of `levels` choices: the whole product, or a cover of every triple.
pub(crate) fn combinations(levels: &[usize]) -> Vec<Vec<usize>> {
    if std::env::var("SPARSEFIT_PRODUCT").is_ok_and(|wanted| wanted == "whole") { whole(levels) } else { triples(levels) }
}

fn whole(levels: &[usize]) -> Vec<Vec<usize>> {
    levels.iter().fold(vec![Vec::new()], |all, &n| {
        all.iter().flat_map(|begun| (0..n).map(move |choice| begun.iter().copied().chain([choice]).collect())).collect()
    })
}

/// Greedily the combination that brings the most triples not seen yet, the first of equals.
fn triples(levels: &[usize]) -> Vec<Vec<usize>> {
    let all = whole(levels);
    let mut seen = std::collections::HashSet::new();
    let mut kept = Vec::new();
    // what a combination would bring only falls as others are kept: an old count is a bound
    let mut bound: Vec<usize> = all.iter().map(|one| triples_of(one).count()).collect();
    loop {
        let (mut best, mut brings) = (None, 0);
        for (i, one) in all.iter().enumerate() {
            if bound[i] > brings {
                bound[i] = triples_of(one).filter(|triple| !seen.contains(triple)).count();
                if bound[i] > brings {
                    (best, brings) = (Some(i), bound[i]);
                }
            }
        }
        let Some(best) = best else { return kept };
        seen.extend(triples_of(&all[best]));
        kept.push(all[best].clone());
    }
}

/// Every three axes with what `one` chooses there; of fewer than three axes, all of them.
fn triples_of(one: &[usize]) -> impl Iterator<Item = [(usize, usize); 3]> {
    let at = |axis: usize| (axis, one.get(axis).copied().unwrap_or(0));
    let n = one.len().max(3);
    (0..n).flat_map(move |a| (a + 1..n).flat_map(move |b| (b + 1..n).map(move |c| [at(a), at(b), at(c)])))
}

#[test]
fn any_three_choices_occur_together() {
    let levels = [5, 3, 2, 4];
    let kept = triples(&levels);
    let wanted: std::collections::HashSet<_> = whole(&levels).iter().flat_map(|one| triples_of(one).collect::<Vec<_>>()).collect();
    let met: std::collections::HashSet<_> = kept.iter().flat_map(|one| triples_of(one).collect::<Vec<_>>()).collect();
    assert_eq!(met, wanted);
    assert!(kept.len() < whole(&levels).len(), "no smaller than the whole");
    assert_eq!(whole(&levels).len(), 120);
}
