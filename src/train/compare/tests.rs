//! The parts of a comparison by themselves, against what pairs and sorts say directly.

use std::ops::ControlFlow;

use super::super::ranking;
use super::draw::{interval, quantile, weights};
use super::quality::Ranked;
use super::support::{jaccard_of, shared_of};
use super::*;
use crate::job::Progress;
use crate::numeric::SplitMix64;

fn going_on(_: &Progress) -> ControlFlow<Leave> {
    ControlFlow::Continue(())
}

#[test]
fn one_order_of_the_rows_gives_the_area_under_the_curve_of_every_resample() {
    let pace = Pace::new(&going_on, &["quality"]);
    let mut random = SplitMix64(9);
    let n = 400;
    // many ties, weights of 0, and a row whose score is far from all others
    let y: Vec<f64> = (0..n).map(|_| if random.below(3) == 0 { 1.0 } else { -1.0 }).collect();
    let scores: Vec<f64> = y.iter().map(|y| y + random.below(7) as f64 - 3.0).collect();
    let own: Vec<f64> = (0..n).map(|_| random.below(4) as f64 / 2.0).collect();
    let ranked = Ranked::of(&y, &scores, &pace).expect("an order");
    let mut drawn = vec![0.0; n];
    for which in 0..20 {
        weights(Some(&own), which, 1, &mut drawn, &pace).expect("weights");
        let fast = ranked.auc(&drawn, &pace).expect("no stop").expect("both sides");
        let (mut right, mut pairs) = (0.0, 0.0);
        for i in (0..n).filter(|i| y[*i] > 0.0) {
            for j in (0..n).filter(|j| y[*j] < 0.0) {
                let weight = drawn[i] * drawn[j];
                pairs += weight;
                right += weight * if scores[i] > scores[j] { 1.0 } else { f64::from(u8::from(scores[i] == scores[j])) / 2.0 };
            }
        }
        assert!((fast - right / pairs).abs() < 1e-12, "{which}: {fast} for {}", right / pairs);
        let sorted = ranking::auc(&y, &scores, |i| drawn[i], |_| Ok::<_, ()>(())).expect("no stop");
        assert!((fast - sorted.expect("both sides")).abs() < 1e-12);
    }
    let one_side = Ranked::of(&[1.0, 1.0], &[0.0, 1.0], &pace).expect("an order");
    assert_eq!(one_side.auc(&[1.0, 1.0], &pace).expect("no stop"), None);
}

#[test]
fn a_resample_draws_as_many_rows_as_there_are_and_is_the_same_every_time() {
    let pace = Pace::new(&going_on, &["quality"]);
    let draw = |which, seed| {
        let mut drawn = vec![7.0; 1000];
        weights(None, which, seed, &mut drawn, &pace).expect("weights");
        drawn
    };
    let first = draw(0, 0);
    assert_eq!(first.iter().sum::<f64>(), 1000.0);
    assert_eq!(first, draw(0, 0));
    assert_ne!(first, draw(1, 0));
    assert_ne!(first, draw(0, 1));
    // (1 − 1/n)ⁿ of the rows are not drawn, e⁻¹ of many
    let missed: usize = (0..50).map(|which| draw(which, 3).iter().filter(|drawn| **drawn == 0.0).count()).sum();
    assert!((missed as f64 / 50_000.0 - (-1.0_f64).exp()).abs() < 0.01, "{missed}");
}

#[test]
fn percentiles_lie_on_straight_lines_between_order_statistics() {
    let values: Vec<f64> = (0..=40).map(f64::from).collect();
    assert_eq!((quantile(&values, 0.025), quantile(&values, 0.975), quantile(&values, 0.5)), (1.0, 39.0, 20.0));
    assert_eq!(quantile(&[1.0, 2.0], 0.25), 1.25);
    assert_eq!(interval(values.iter().rev().map(|value| Some(*value))), Some([1.0, 39.0]));
    assert_eq!(interval([Some(1.0), None, None].into_iter()), None, "most of them say nothing");
    assert_eq!(interval([].into_iter()), None);
}

#[test]
fn features_in_common_are_counted_once() {
    assert_eq!(shared_of(&[1, 3, 5, 9], &[0, 3, 4, 9, 10]), 2);
    assert_eq!((shared_of(&[], &[1]), shared_of(&[1], &[])), (0, 0));
    assert_eq!((jaccard_of(4, 5, 2), jaccard_of(0, 0, 0), jaccard_of(0, 3, 0)), (2.0 / 7.0, 1.0, 0.0));
}
