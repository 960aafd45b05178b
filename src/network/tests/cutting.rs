//! Pruning and cutting.

use super::made::{network, rows};
use super::plain;
use crate::network::{Activation, Amount, Compact, Kept, Network, Pruning, Rows, Unfit, prune};

const METHODS: [Pruning; 5] =
    [Pruning::L1Unstructured, Pruning::LnStructured, Pruning::RandomUnstructured { seed: 3 }, Pruning::GlobalUnstructured, Pruning::Inputs];

fn masked(network: &Network, kept: &Kept) -> Network {
    let mut masked = network.clone();
    masked.mask(kept).unwrap();
    masked
}

#[test]
fn turns_come_to_what_once_comes_to() {
    let network = network(&[31, 9, 7, 3], Activation::Relu, 1);
    for method in METHODS {
        for amount in
            [Amount::Share(0.0), Amount::Share(0.3), Amount::Share(0.93), Amount::Share(1.0), Amount::Count(17), Amount::Count(9999)]
        {
            let once = prune(&network, &Kept::all(&network), method, amount, (1, 1)).unwrap();
            let mut kept = Kept::all(&network);
            let mut before = kept.count();
            for turn in 1..=5 {
                let next = prune(&network, &kept, method, amount, (turn, 5)).unwrap();
                let nested = next.layers.iter().flatten().zip(kept.layers.iter().flatten()).all(|(new, old)| *old || !*new);
                assert!(nested && next.count() <= before, "{method:?} {amount:?}");
                (before, kept) = (next.count(), next);
            }
            assert_eq!(kept, once, "{method:?} {amount:?}");
        }
    }
}

#[test]
fn as_much_goes_as_was_said_and_the_least_of_it() {
    let network = network(&[20, 8, 2], Activation::Tanh, 1);
    let all = Kept::all(&network);
    let gone = |kept: &Kept, layer: usize| kept.layers[layer].iter().filter(|kept| !**kept).count();
    let kept = prune(&network, &all, Pruning::L1Unstructured, Amount::Share(0.25), (1, 1)).unwrap();
    assert_eq!((gone(&kept, 0), gone(&kept, 1)), (40, 4));
    let kept = prune(&network, &all, Pruning::L1Unstructured, Amount::Count(88), (1, 1)).unwrap();
    assert_eq!((gone(&kept, 0), gone(&kept, 1)), (80, 8), "in proportion");
    let kept = prune(&network, &all, Pruning::GlobalUnstructured, Amount::Count(50), (1, 1)).unwrap();
    let size = |at: bool| {
        network.layers.iter().zip(&kept.layers).flat_map(move |(layer, kept)| {
            layer.weights.iter().zip(kept).filter(move |(_, kept)| **kept == at).map(|(weight, _)| weight.abs())
        })
    };
    assert_eq!(size(false).count(), 50);
    assert!(size(false).fold(0.0, f64::max) <= size(true).fold(f64::INFINITY, f64::min));
    let kept = prune(&network, &all, Pruning::LnStructured, Amount::Count(3), (1, 1)).unwrap();
    assert_eq!((gone(&kept, 0), gone(&kept, 1)), (60, 0), "three units, what comes in to them");
    let kept = prune(&network, &all, Pruning::Inputs, Amount::Share(0.5), (1, 1)).unwrap();
    assert_eq!((gone(&kept, 0), gone(&kept, 1)), (80, 0));
    assert!(kept.layers[0].chunks(8).all(|row| row.iter().all(|kept| *kept == row[0])));
    for (amount, turn) in
        [(Amount::Share(1.1), (1, 1)), (Amount::Share(f64::NAN), (1, 1)), (Amount::Count(1), (0, 1)), (Amount::Count(1), (2, 1))]
    {
        assert_eq!(prune(&network, &all, Pruning::Inputs, amount, turn).unwrap_err(), Unfit::Range);
    }
    let other = Kept { layers: vec![vec![true]] };
    assert_eq!(prune(&network, &other, Pruning::Inputs, Amount::Count(1), (1, 1)).unwrap_err(), Unfit::Shape);
}

/// The rows over some of their inputs.
fn picked(x: &Rows, inputs: &[u32]) -> Rows {
    let (mut offsets, mut places, mut values) = (vec![0], Vec::new(), Vec::new());
    for row in 0..x.n_rows() as u32 {
        let (held, of) = x.row(row);
        for (input, value) in held.iter().zip(of) {
            if let Ok(place) = inputs.binary_search(input) {
                places.push(place as u32);
                values.push(*value);
            }
        }
        offsets.push(places.len());
    }
    Rows::new(inputs.len(), offsets, places, values).unwrap()
}

#[test]
fn what_is_left_says_the_same() {
    let x = rows(50, 31, 1);
    for activation in [Activation::Relu, Activation::Tanh] {
        for widths in [&[31, 9, 2][..], &[31, 20, 7, 1], &[31, 8, 9, 16, 3]] {
            let whole = network(widths, activation, 1);
            for method in METHODS {
                for share in [0.0, 0.5, 0.8, 0.95, 1.0] {
                    let kept = prune(&whole, &Kept::all(&whole), method, Amount::Share(share), (1, 1)).unwrap();
                    let pruned = masked(&whole, &kept);
                    let compact = Compact::of(&pruned);
                    let left = Network { activation, layers: compact.layers };
                    assert!(left.nonzeros() <= pruned.nonzeros());
                    let seen = picked(&x, &compact.inputs);
                    for row in 0..50 {
                        let (said, plain) = (plain::outputs(&left, &seen, row), plain::outputs(&pruned, &x, row));
                        assert!(said.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-12), "{method:?} {share}: {said:?} {plain:?}");
                    }
                    for (l, layer) in left.layers.iter().enumerate() {
                        let next = left.layers.get(l + 1).map_or(*widths.last().unwrap(), |next| next.inputs);
                        assert_eq!((layer.outputs, layer.biases.len(), layer.weights.len()), (next, next, layer.inputs * next));
                    }
                }
            }
        }
    }
}

#[test]
fn idle_units_are_cut_from_below_and_above() {
    let mut network = network(&[4, 3, 2, 1], Activation::Tanh, 1);
    // unit 0 of the first layer hears nothing; unit 1 of the second goes nowhere, so that unit 2 of the first, which goes to it alone, is idle too
    (0..4).for_each(|i| network.layers[0].weights[i * 3] = 0.0);
    network.layers[2].weights[1] = 0.0;
    network.layers[1].weights[2 * 2] = 0.0;
    // and input 3 goes to that alone
    network.layers[0].weights[3 * 3 + 1] = 0.0;
    let compact = Compact::of(&network);
    assert_eq!((compact.inputs.clone(), compact.cut.clone()), (vec![0, 1, 2], vec![2, 1]));
    assert_eq!(compact.layers.iter().map(|layer| layer.inputs).collect::<Vec<_>>(), [3, 1, 1]);
    let x = rows(10, 4, 2);
    let (left, seen) = (Network { activation: Activation::Tanh, layers: compact.layers }, picked(&x, &compact.inputs));
    assert!((0..10).all(|row| (plain::outputs(&left, &seen, row)[0] - plain::outputs(&network, &x, row)[0]).abs() < 1e-14));
}
