//! Ensembles: what each tree adds, whatever the way to its leaves; classes, rows held out, rows without weight.

use std::ops::ControlFlow;

use super::loss::sigmoid;
use super::*;
use crate::matrix::{Columns, Values, ValuesView};

fn go_on(_: &crate::tree::Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Two dense columns of 80 rows, with every third entry of the second absent.
fn columns() -> Columns {
    let (mut rows, mut values) = ((0..80).collect::<Vec<u32>>(), (0..80).map(|i| f64::from((i * 37) % 80) - 40.5).collect::<Vec<_>>());
    let second: Vec<u32> = (0..80).filter(|i| i % 3 != 0).collect();
    values.extend(second.iter().map(|&i| f64::from(i % 7) + 1.0));
    rows.extend(&second);
    let ends = vec![0, 80, rows.len() as u64];
    Columns::new(80, vec![4, 9].into(), ends.into(), rows.into(), Values::Double(values.into())).unwrap()
}

fn boosting(n_trees: usize) -> Boosting {
    let (leaves, sampled) = (Leaves::Drawn { mean: 4.0 }, Sampled::Few);
    Boosting { n_trees, learning_rate: 0.1, leaves, sampled, min_leaf_weight: 0.0, patience: None, seed: 3 }
}

/// All of the trees.
fn whole(
    bins: &Bins,
    loss: BoostedLoss,
    y: &[f64],
    weights: Option<&[f64]>,
    boosting: &Boosting,
    observe: &Observe,
) -> Result<Ensemble, Unfit> {
    boost(bins, &Boosted { loss, y, weights, offset: None, held_out: &[] }, boosting, &Hands::one(), None, observe)?.whole()
}

fn held(columns: &Columns, row: usize) -> impl Fn(u32) -> f64 {
    let view = columns.view();
    let ValuesView::Double(values) = view.values else { panic!("made of doubles") };
    let entry = |j: usize| view.range(j).find(|&entry| view.rows[entry] as usize == row).map(|entry| (view.features[j], values[entry]));
    let all: Vec<(u32, f64)> = (0..view.len()).filter_map(entry).collect();
    move |feature| all.iter().find(|one| one.0 == feature).map_or(0.0, |one| one.1)
}

#[test]
fn the_base_is_the_mean_or_the_log_odds_and_every_tree_lowers_the_loss() {
    let columns = columns();
    let x = columns.view();
    let numbers: Vec<f64> = (0..80).map(|i| f64::from((i * 37) % 80) / 10.0 + f64::from(i % 5)).collect();
    let sides: Vec<f64> = numbers.iter().map(|y| if *y > 7.0 { 1.0 } else { -1.0 }).collect();
    let bins = Bins::new(x, Target::Numbers(&numbers), &go_on).unwrap();
    let mean = numbers.iter().sum::<f64>() / 80.0;
    let ones = sides.iter().filter(|side| **side > 0.0).count() as f64;
    for (loss, y, base) in [(BoostedLoss::Squared, &numbers, mean), (BoostedLoss::Logistic, &sides, (ones / (80.0 - ones)).ln())] {
        let grown = whole(&bins, loss, y, None, &boosting(60), &go_on).unwrap();
        assert!((grown.base[0] - base).abs() < 1e-9, "{loss:?}");
        let error = |trees: usize| {
            let part = Ensemble { base: grown.base.clone(), trees: grown.trees[..trees].to_vec() };
            let of = |row: usize| {
                let score = part.score(held(&columns, row))[0];
                if loss == BoostedLoss::Squared { (y[row] - score).powi(2) } else { (-y[row] * score).exp().ln_1p() }
            };
            (0..80).map(of).sum::<f64>()
        };
        assert!(error(60) < error(30) && error(30) < error(10) && error(10) < error(0), "{loss:?}");
        assert_eq!(whole(&bins, loss, y, None, &boosting(60), &go_on).unwrap(), grown);
        let other = Boosting { seed: 4, ..boosting(60) };
        assert_ne!(whole(&bins, loss, y, None, &other, &go_on).unwrap(), grown);
    }
}

#[test]
fn the_first_tree_on_all_rows_is_the_tree_that_is_grown_alone() {
    let columns = columns();
    let y: Vec<f64> = (0..80).map(|i| f64::from((i * 11) % 23)).collect();
    let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
    let all = Boosting { learning_rate: 1.0, leaves: Leaves::Most(6), sampled: Sampled::Share(1.0), ..boosting(1) };
    let weights: Vec<f64> = (0..80).map(|i| f64::from(1 + i % 3)).collect();
    let grown = whole(&bins, BoostedLoss::Squared, &y, Some(&weights), &all, &go_on).unwrap();
    let limits = Limits { max_leaves: Some(6), ..Limits::default() };
    let alone = crate::tree::grow(&bins, Some(&weights), &limits, &Hands::one(), &go_on).unwrap();
    let splits = |tree: &Tree| tree.nodes().iter().map(|node| node.split).collect::<Vec<_>>();
    assert_eq!(splits(&grown.trees[0]), splits(&alone));
    for (at, node) in alone.nodes().iter().enumerate() {
        let leaf = node.split.is_none();
        assert!(!leaf || (grown.base[0] + grown.trees[0].value(at)[0] - alone.value(at)[0]).abs() < 1e-9);
    }
}

#[test]
fn rows_of_no_weight_change_nothing_that_is_predicted_of_the_others_and_a_stop_is_heard() {
    let columns = columns();
    let mut y: Vec<f64> = (0..80).map(|i| f64::from((i * 11) % 23)).collect();
    let weights: Vec<f64> = (0..80).map(|i| f64::from(u8::from(i % 4 != 0))).collect();
    let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
    let grown = whole(&bins, BoostedLoss::Squared, &y, Some(&weights), &boosting(20), &go_on).unwrap();
    let before = y.clone();
    (0..80).step_by(4).for_each(|row| y[row] = 1e6);
    let bins = Bins::new(columns.view(), Target::Numbers(&before), &go_on).unwrap();
    assert_eq!(whole(&bins, BoostedLoss::Squared, &y, Some(&weights), &boosting(20), &go_on).unwrap(), grown);
    let stop = |_: &crate::tree::Progress| ControlFlow::Break(());
    assert_eq!(whole(&bins, BoostedLoss::Squared, &y, None, &boosting(20), &stop), Err(Unfit::Stopped));
}

/// Three classes that a product of the two columns tells apart.
fn classes(columns: &Columns) -> Vec<f64> {
    let product = |row: usize| held(columns, row)(4) * held(columns, row)(9);
    (0..80).map(|row| if product(row) > 30.0 { 2.0 } else { f64::from(u8::from(product(row) < -30.0)) }).collect()
}

#[test]
fn a_tree_for_each_class_and_round_lowers_the_loss_of_many_classes_with_the_same_bits_for_any_hands() {
    let columns = columns();
    let y = classes(&columns);
    let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
    let loss = BoostedLoss::Multinomial { classes: 3 };
    for sampled in [Sampled::Share(1.0), Sampled::Share(0.5)] {
        let boosting = Boosting { sampled, leaves: Leaves::Most(5), ..boosting(40) };
        let grown = whole(&bins, loss, &y, None, &boosting, &go_on).unwrap();
        assert_eq!((grown.base.len(), grown.trees.len()), (3, 120));
        let error = |trees: usize| {
            let part = Ensemble { base: grown.base.clone(), trees: grown.trees[..trees].to_vec() };
            let of = |row: usize| {
                let score = part.score(held(&columns, row));
                score.iter().map(|one| one.exp()).sum::<f64>().ln() - score[y[row] as usize]
            };
            (0..80).map(of).sum::<f64>() / 80.0
        };
        let shares = [0.0, 1.0, 2.0].map(|class| y.iter().filter(|y| **y == class).count() as f64 / 80.0);
        let entropy = -shares.iter().map(|share| share * share.ln()).sum::<f64>();
        assert!((error(0) - entropy).abs() < 1e-12, "{} {entropy}", error(0));
        assert!(error(120) < error(60) && error(60) < error(15) && error(15) < entropy && error(120) < 0.3 * entropy, "{sampled:?}");
        for threads in [2, 3, 9] {
            let hands = Hands { threads, on_thread: &|| () };
            let data = Boosted { loss, y: &y, weights: None, offset: None, held_out: &[] };
            assert_eq!(boost(&bins, &data, &boosting, &hands, None, &go_on).unwrap().ensemble, grown, "{threads}");
        }
    }
}

#[test]
fn newtons_first_step_of_a_class_is_that_of_the_formula() {
    let columns = columns();
    let y = classes(&columns);
    let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
    let boosting = Boosting { learning_rate: 1.0, leaves: Leaves::Most(4), sampled: Sampled::Share(1.0), ..boosting(1) };
    let grown = whole(&bins, BoostedLoss::Multinomial { classes: 3 }, &y, None, &boosting, &go_on).unwrap();
    for (class, tree) in grown.trees.iter().enumerate() {
        let p = y.iter().filter(|y| **y == class as f64).count() as f64 / 80.0;
        for leaf in (0..tree.nodes().len()).filter(|at| tree.nodes()[*at].split.is_none()) {
            let slopes =
                (0..80).filter(|row| tree.leaf(held(&columns, *row)) == leaf).map(|row| f64::from(u8::from(y[row] == class as f64)) - p);
            let (sum, curvature) = slopes.fold((0.0, 0.0), |(sum, curvature), r| (sum + r, curvature + r.abs() * (1.0 - r.abs())));
            let expected: f64 = 2.0 / 3.0 * sum / curvature;
            assert!((tree.value(leaf)[0] - expected).abs() < 1e-9, "class {class}, leaf {leaf}: {} {expected}", tree.value(leaf)[0]);
        }
    }
}

#[test]
fn both_ways_to_the_leaves_find_those_that_the_tree_says() {
    let columns = columns();
    let y: Vec<f64> = (0..80).map(|i| f64::from((i * 11) % 23)).collect();
    let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
    for max_leaves in [1, 2, 7, 60] {
        let tree =
            crate::tree::grow(&bins, None, &Limits { max_leaves: Some(max_leaves), ..Limits::default() }, &Hands::one(), &go_on).unwrap();
        // a few rows go down one by one, all rows by columns where those are short
        for rows in [vec![3], vec![7, 6, 79], (0..80).collect::<Vec<u32>>()] {
            let mut told = Vec::new();
            descend::leaves(&tree, &bins, &rows, &mut Clock::new(&go_on, None), |row, leaf| told.push((row, leaf))).unwrap();
            let expected: Vec<(u32, u32)> = rows.iter().map(|&row| (row, tree.leaf(held(&columns, row as usize)) as u32)).collect();
            assert_eq!(told, expected, "{max_leaves} leaves");
        }
    }
}

#[test]
fn rows_held_out_are_not_learnt_from_and_say_when_to_end_and_which_round_was_best() {
    let columns = columns();
    let noise: Vec<f64> = (0..80).map(|i| f64::from((i * 7919 + 13) % 101) / 10.0).collect();
    let held_out: Vec<u32> = (0..80).filter(|row: &u32| row.is_multiple_of(5)).collect();
    let grow = |y: &[f64], patience| {
        let bins = Bins::new(columns.view(), Target::Numbers(y), &go_on).unwrap();
        let boosting = Boosting { leaves: Leaves::Most(8), sampled: Sampled::Share(0.8), patience, ..boosting(300) };
        let data = Boosted { loss: BoostedLoss::Squared, y, weights: None, offset: None, held_out: &held_out };
        boost(&bins, &data, &boosting, &Hands::one(), None, &go_on).unwrap()
    };
    let (all, ended) = (grow(&noise, None), grow(&noise, Some(7)));
    assert_eq!((all.held_out.len(), all.leaves.len(), all.halted), (301, 301, false));
    let best = |losses: &[f64]| (0..losses.len()).min_by(|a, b| losses[*a].total_cmp(&losses[*b]).then(a.cmp(b))).unwrap();
    assert_eq!(all.best(), best(&all.held_out));
    assert_eq!((ended.best(), ended.held_out.len()), (best(&ended.held_out), best(&ended.held_out) + 8));
    assert!(ended.held_out.len() < 301 && ended.held_out == all.held_out[..ended.held_out.len()]);
    // the losses are those of the trees that are there
    let loss = |trees: &[Tree]| {
        let part = Ensemble { base: ended.ensemble.base.clone(), trees: trees.to_vec() };
        held_out.iter().map(|&row| 0.5 * (noise[row as usize] - part.score(held(&columns, row as usize))[0]).powi(2)).sum::<f64>() / 16.0
    };
    for round in 0..=ended.best() {
        let (told, leaves) = (ended.held_out[round], ended.ensemble.trees[..round].iter().map(Tree::n_leaves).sum::<usize>());
        assert!((told - loss(&ended.ensemble.trees[..round])).abs() < 1e-9 && ended.leaves[round] == leaves, "round {round}");
    }
    // what the rows held out are changes no tree
    let mut other = noise.clone();
    held_out.iter().for_each(|&row| other[row as usize] += 5.0);
    let changed = grow(&other, None).ensemble.trees;
    let shared = changed.len().min(all.ensemble.trees.len());
    assert_eq!(changed[..shared], all.ensemble.trees[..shared]);
}

#[test]
fn told_to_stop_it_gives_back_the_rounds_that_are_complete() {
    let columns = columns();
    let y: Vec<f64> = (0..80).map(|i| f64::from((i * 11) % 23)).collect();
    let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
    let data = Boosted { loss: BoostedLoss::Squared, y: &y, weights: None, offset: None, held_out: &[] };
    let all = boost(&bins, &data, &boosting(400), &Hands::one(), None, &go_on).unwrap();
    let stop = |at: &crate::tree::Progress| if at.rounds >= 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let part = boost(&bins, &data, &boosting(400), &Hands::one(), None, &stop).unwrap();
    let n = part.best();
    assert!(part.halted && (5..400).contains(&n) && part.leaves.len() == n + 1, "{n}");
    assert_eq!(part.ensemble.trees, all.ensemble.trees[..n]);
    assert_eq!(part.whole(), Err(Unfit::Stopped));
}

#[test]
fn targets_that_are_not_what_the_loss_asks_for_are_refused() {
    let columns = columns();
    let y: Vec<f64> = (0..80).map(|i| f64::from(i % 3)).collect();
    let bins = Bins::new(columns.view(), Target::Numbers(&y), &go_on).unwrap();
    let refused = |loss, y: &[f64]| whole(&bins, loss, y, None, &boosting(2), &go_on).unwrap_err();
    assert_eq!(refused(BoostedLoss::Logistic, &y), Unfit::NotAClass);
    assert_eq!(refused(BoostedLoss::Multinomial { classes: 2 }, &y), Unfit::NotAClass);
    assert_eq!(refused(BoostedLoss::Squared, &y[..79]), Unfit::Shape);
    let none = vec![0.0; 80];
    assert_eq!(whole(&bins, BoostedLoss::Squared, &y, Some(&none), &boosting(2), &go_on), Err(Unfit::NoWeight));
    assert_eq!(sigmoid(0.0), 0.5);
    assert_eq!((sigmoid(1e9), sigmoid(-1e9)), (1.0, 0.0));
}
