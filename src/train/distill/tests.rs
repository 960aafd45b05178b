//! The parts of a distillation by themselves, against what is worked out by hand.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::super::tests::{noisy, path_with_cv, spec as linear};
use super::super::{Leave, fit, grow, rules};
use super::lesson::counts_as;
use super::mixed::mixed;
use super::*;
use crate::job::Progress;
use crate::matrix::{Number, ValuesView};
use crate::spec::{
    Criterion, Lambda, Loss, Pruning, ResolvedFit, ResolvedRules, ResolvedTree, Rule, RuleTrees, RunLimits, ScoreName, Selection,
    Stability, TreeFolds, TreeSize,
};

fn going_on(_: &Progress) -> ControlFlow<Leave> {
    ControlFlow::Continue(())
}

fn pace() -> Pace<'static> {
    Pace::new(&going_on, &["teacher"])
}

fn shares(told: &[f64], truth: Option<(usize, f64)>, temperature: f64) -> Vec<(usize, f64)> {
    let mut shares = Vec::new();
    counts_as(told, truth, temperature, &mut shares);
    shares
}

fn close(found: &[(usize, f64)], wanted: &[(usize, f64)]) {
    assert_eq!(found.len(), wanted.len(), "{found:?} {wanted:?}");
    for (one, other) in found.iter().zip(wanted) {
        assert!(one.0 == other.0 && (one.1 - other.1).abs() < 1e-12, "{found:?} {wanted:?}");
    }
}

/// Rows as (feature, value), in order.
fn rows(dataset: &Dataset) -> Vec<Vec<(u32, f64)>> {
    fn fill<V: Number>(dataset: &Dataset, values: &[V], rows: &mut [Vec<(u32, f64)>]) {
        let x = dataset.x.view();
        for at in 0..x.len() {
            let column = x.column(at, values);
            column.rows.iter().zip(column.values).for_each(|(row, value)| rows[*row as usize].push((x.features[at], (*value).into())));
        }
    }
    let mut rows = vec![Vec::new(); dataset.y.len()];
    match dataset.x.view().values {
        ValuesView::Single(values) => fill(dataset, values, &mut rows),
        ValuesView::Double(values) => fill(dataset, values, &mut rows),
    }
    rows
}

/// Each row as often as it is told, in order, with that part of its weight each time.
fn several(dataset: &Dataset, times: impl Fn(usize) -> usize) -> Dataset {
    let mut starts = vec![0_u32];
    let (mut y, mut weights, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..dataset.y.len() {
        for _ in 0..times(row) {
            y.push(dataset.y[row]);
            weights.push(1.0 / times(row) as f64);
            origins.push(row as u32);
        }
        starts.push(y.len() as u32);
    }
    let x = made::spread(dataset.x.view(), &starts, None, &pace()).expect("rows");
    made::gathered(dataset, x, y, Some(weights), None, Some(origins))
}

#[test]
fn a_row_counts_as_its_own_class_and_as_what_the_teacher_says() {
    // T = 1: ½·1[k = 2] + ½·p
    close(&shares(&[0.5, 0.3, 0.2], Some((2, 0.5)), 1.0), &[(2, 0.6), (0, 0.25), (1, 0.15)]);
    // T = 2: √0.64 and √0.04 are 0.8 and 0.2, their sum 1
    close(&shares(&[0.64, 0.04], Some((0, 0.25)), 2.0), &[(0, 0.25 + 0.75 * 0.8), (1, 0.75 * 0.2)]);
    // a made row has no class of its own, the most probable comes first
    close(&shares(&[0.25, 0.75], None, 1.0), &[(1, 0.75), (0, 0.25)]);
    // what is next to nothing is dropped, and the others have all of it
    let sure = shares(&[0.999_95, 0.000_05], Some((0, 0.5)), 1.0);
    close(&sure, &[(0, 1.0)]);
    // probabilities of classes that the target does not have are nobody's
    close(&shares(&[0.3, 0.1], Some((1, 0.0)), 1.0), &[(1, 0.25), (0, 0.75)]);
    close(&shares(&[0.0, 0.0], Some((1, 0.0)), 1.0), &[(1, 1.0)]);
    // the own class and the four largest of the others
    let many = shares(&[0.05, 0.3, 0.2, 0.15, 0.1, 0.1, 0.1], Some((0, 0.2)), 1.0);
    assert_eq!(many.iter().map(|(class, _)| *class).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!((many.iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!((many[0].1 / many[1].1 - (0.2 + 0.8 * 0.05) / (0.8 * 0.3)).abs() < 1e-12);
}

#[test]
fn rows_are_taken_and_repeated_with_everything_that_is_theirs() {
    let whole = noisy(|signal| signal.to_string()).data;
    let taken = made::taken(&whole, &[0, 7, 59], Some(2), &pace()).unwrap();
    assert_eq!((taken.meta.shape, taken.y.len(), taken.meta.stored_columns), ([3, 6], 3, 5));
    let without: Vec<Vec<(u32, f64)>> =
        [0, 7, 59].map(|row| rows(&whole)[row].iter().copied().filter(|(feature, _)| *feature != 2).collect()).to_vec();
    assert_eq!((rows(&taken), &*taken.y), (without, &[whole.y[0], whole.y[7], whole.y[59]][..]));
    let twice = several(&taken, |row| row + 1);
    let wanted: Vec<_> = [0, 1, 1, 2, 2, 2].map(|row: usize| rows(&taken)[row].clone()).to_vec();
    assert_eq!((rows(&twice), twice.meta.nnz as usize), (wanted.clone(), wanted.iter().map(Vec::len).sum()));
}

#[test]
fn a_made_row_holds_in_each_feature_what_one_of_two_rows_holds() {
    let json = r#"{"format":"csr","shape":[6,4],"indptr":[0,2,3,3,5,6,8],"indices":[0,2,1,0,3,2,1,3],"values":[1,2,3,4,5,6,7,8],"y":[1,2,3,4,5,6],"weights":[1,2,3,4,5,6]}"#;
    let data = super::super::tests::dataset_of(json).data;
    let made = mixed(&data, 9, 5, &pace()).unwrap();
    let (own, all) = (rows(&data), rows(&made));
    assert_eq!((all.len(), made.meta.shape), (60, [60, 4]));
    let mut changed = 0;
    for (at, row) in all.iter().enumerate() {
        let origin = at / 10;
        assert_eq!((made.y[at], made.weights.as_ref().unwrap()[at]), (data.y[origin], data.weights.as_ref().unwrap()[origin]));
        if at % 10 == 0 {
            assert_eq!(row, &own[origin]);
            continue;
        }
        changed += usize::from(row != &own[origin]);
        let value = |row: &[(u32, f64)], feature: u32| row.iter().find(|entry| entry.0 == feature).map_or(0.0, |entry| entry.1);
        let of = |other: &Vec<(u32, f64)>| {
            (0..4).all(|feature| [value(&own[origin], feature), value(other, feature)].contains(&value(row, feature)))
        };
        assert!(own.iter().any(of), "{row:?} is not of {:?} and another", own[origin]);
        assert!(row.windows(2).all(|pair| pair[0].0 < pair[1].0), "each feature once: {row:?}");
    }
    assert!(changed > 10, "{changed}");
    assert_eq!(rows(&mixed(&data, 9, 5, &pace()).unwrap()), all);
    assert_ne!(rows(&mixed(&data, 9, 6, &pace()).unwrap()), all);
    // every feature is taken as often as it is given up: what is there in all is about what would be there of copies
    let dense = mixed(&noisy(|signal| signal.to_string()).data, 10, 1, &pace()).unwrap();
    assert_eq!(dense.meta.nnz, 60 * 6 * 11, "of rows that hold everything nothing is lost");
}

#[test]
fn whoever_holds_rows_out_never_parts_those_of_one_origin() {
    let sides = noisy(|signal| i32::from(signal > 0.0).to_string()).data;
    let numbers = noisy(|signal| signal.to_string()).data;
    let times = |row: usize| 1 + row % 3;
    let run = || Run::new(2, &going_on);
    let near = |one: f64, other: f64| assert!((one - other).abs() < 1e-6 * (1.0 + one.abs()), "{one} {other}");
    // the folds of rows that stand for one are those of their origins, and so is everything that is measured on them
    for (data, loss) in [(&numbers, Loss::Squared), (&sides, Loss::Logistic { positive_class: crate::dataset::Class::Number(1.0) })] {
        let asked = ResolvedFit { loss, ..path_with_cv(Rule::Min) };
        let (alone, parted) = (several(data, |_| 1), several(data, times));
        let [one, other, torn] =
            [alone, parted.clone(), Dataset { groups: None, ..parted }].map(|data| fit(&data, &asked, &run()).unwrap().cv.unwrap());
        one.rows.iter().zip(&other.rows).for_each(|(one, other)| near(one.mean, other.mean));
        let far = one.rows.iter().zip(&torn.rows).any(|(one, torn)| (one.mean - torn.mean).abs() > 1e-3);
        assert!(far, "without their origins they would be parted");
    }
    let stability = Stability { resamples: 6, seed: 2, stratify: false, threshold: 0.6, expected_false: 2.0 };
    let asked = ResolvedFit { selection: Selection::Stability(stability), ..path_with_cv(Rule::Min) };
    let [one, other] = [several(&numbers, |_| 1), several(&numbers, times)].map(|data| fit(&data, &asked, &run()).unwrap().stability);
    assert_eq!(one, other);
    for (data, criterion) in [(&numbers, Criterion::Squared), (&sides, Criterion::Gini)] {
        let pruning = Pruning::Cv(TreeFolds { folds: 4, stratify: criterion != Criterion::Squared, seed: 3, rule: Rule::Min });
        let size = TreeSize { max_depth: Some(4), ..TreeSize::default() };
        let asked = ResolvedTree { kind: "tree".into(), criterion, size, pruning, weights: true, limits: RunLimits::default() };
        let [one, other] = [several(data, |_| 1), several(data, times)].map(|data| grow(&data, &asked, &run()).unwrap().1.cv.unwrap());
        assert_eq!(one.rows.len(), other.rows.len());
        one.rows.iter().zip(&other.rows).for_each(|(one, other)| near(one.mean, other.mean));
    }
    let trees = RuleTrees { n_trees: 8, mean_leaves: 3.0, learning_rate: 0.5, subsample: Some(1.0), min_leaf_weight: 0.0, seed: 1 };
    let lasso = path_with_cv(Rule::Min);
    let asked = ResolvedRules {
        kind: "rules".into(),
        loss: Loss::Squared,
        trees,
        linear: true,
        max_rules: 100,
        lambda: Lambda::Path { n: 10, min_ratio: 0.05 },
        selection: lasso.selection.clone(),
        weights: true,
        solver: lasso.solver.clone(),
        limits: RunLimits::default(),
    };
    // how many leaves a tree gets is drawn after its rows are, so that with more rows other trees grow: alike, not the same
    let (alone, parted) = (several(&numbers, |_| 1), several(&numbers, |_| 2));
    let [one, other, torn] =
        [alone, parted.clone(), Dataset { groups: None, ..parted }].map(|data| rules(&data, &asked, &run()).unwrap().cv.unwrap());
    let far = |from: &crate::model::Cv| one.rows.iter().zip(&from.rows).map(|(one, other)| (one.mean - other.mean).abs()).sum::<f64>();
    assert!(2.0 * far(&other) < far(&torn), "{} {}", far(&other), far(&torn));
    // networks, and whoever else takes one part
    for seed in 0..20 {
        let data = several(&sides, times);
        let parts = Parts::of(&data, Some(0.3), seed);
        let origins = |rows: &[u32]| rows.iter().map(|row| data.groups.as_ref().unwrap()[*row as usize]).collect::<HashSet<u32>>();
        assert!(origins(&parts.learnt).is_disjoint(&origins(&parts.held_out)), "{seed}");
        assert_eq!(origins(&parts.held_out).len(), 18, "{seed}");
    }
}

#[test]
fn a_lesson_in_numbers_is_a_mixture_and_a_made_row_is_what_the_teacher_says_of_it() {
    let data = noisy(|signal| signal.to_string()).data;
    let model = fit(&data, &ResolvedFit { lambda: Lambda::Value { value: 0.05 }, ..linear() }, &Run::new(1, &going_on)).unwrap();
    let teacher = TeacherModel { reference: "t:1".into(), model: Arc::new(Model::Linear(model.clone())), names: None, stored_bytes: 9 };
    let spec = ResolvedDistill {
        teacher: Teacher::Model("t:1".into()),
        student: Box::new(Work::Fit(Box::new(linear()))),
        temperature: 1.0,
        mix: 0.25,
        augment: 2,
        held_out: 0.2,
        score: ScoreName::R2,
        bootstrap: 100,
        seed: 3,
        limits: RunLimits::default(),
    };
    let numbers: Vec<u32> = (0..60).collect();
    let taught = lesson::lesson(&data, &numbers, Says::Model(&teacher), &spec, &pace()).unwrap().taught;
    assert_eq!((taught.y.len(), taught.groups.as_deref().map(|groups| groups[179])), (180, Some(59)));
    for (at, row) in rows(&taught).iter().enumerate() {
        let entries = model.indices.iter().zip(&model.values);
        let value = |feature: u32| row.iter().find(|entry| entry.0 == feature).map_or(0.0, |entry| entry.1);
        let says = model.card.intercept + entries.map(|(feature, weight)| weight * value(*feature)).sum::<f64>();
        let wanted = if at % 3 == 0 { 0.25 * data.y[at / 3] + 0.75 * says } else { says };
        assert!((taught.y[at] - wanted).abs() < 1e-12, "{at}");
    }
    let plain = ResolvedDistill { augment: 0, ..spec };
    let column = lesson::lesson(&data, &numbers, Says::Column(vec![2.0; 60]), &plain, &pace()).unwrap().taught;
    assert!(column.groups.is_none() && column.weights.is_none());
    column.y.iter().zip(data.y.iter()).for_each(|(taught, own)| assert!((taught - (0.25 * own + 1.5)).abs() < 1e-12));
    // a count stays one
    let counts = Work::Fit(Box::new(ResolvedFit { loss: Loss::Poisson, ..linear() }));
    let refused =
        lesson::lesson(&data, &numbers, Says::Column(vec![-50.0; 60]), &ResolvedDistill { student: Box::new(counts), ..plain }, &pace());
    assert!(matches!(refused, Err(TrainError::Unfit { code: "teacher_out_of_range", .. })));
}
