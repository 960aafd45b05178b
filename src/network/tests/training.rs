//! What training must be: right, the same on any number of threads, sparse where it should be, and able to stop.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::made::{ADAM, Told, furthest, network, options, rows, trained};
use super::plain;
use crate::network::{Activation, Data, Halt, Hands, Kept, Optimizer, Options, Penalty, Progress, Rows, Start, Target, Unfit, train};

const SGD: Optimizer = Optimizer::Sgd { learning_rate: 1.0, momentum: 0.0 };

fn all(n: usize) -> Vec<u32> {
    (0..n as u32).collect()
}

#[test]
fn slopes_are_those_of_the_loss() {
    let x = rows(23, 9, 1);
    let told = Told::new(&x, 2);
    let order = all(23);
    for activation in [Activation::Relu, Activation::Tanh] {
        for hidden in [&[5][..], &[9, 4], &[10, 3, 8]] {
            for target in told.targets() {
                let widths = [&[9], hidden, &[target.outputs()]].concat();
                let start = network(&widths, activation, 3);
                let data = Data { x: &x, target, weights: Some(&told.weights), rows: &order, held_out: &[] };
                let once = options(SGD, Penalty::None, 1, 100);
                let (after, _) = trained(&data, Start::From { network: &start, kept: None }, &once);
                let loss = |network: &_| trained(&data, Start::From { network, kept: None }, &once).0.epochs[0].loss;
                for l in 0..start.layers.len() {
                    for at in (0..start.layers[l].weights.len()).step_by(3) {
                        let (mut up, mut down) = (start.clone(), start.clone());
                        up.layers[l].weights[at] += 1e-5;
                        down.layers[l].weights[at] -= 1e-5;
                        let slope = (loss(&up) - loss(&down)) / 2e-5;
                        let ours = start.layers[l].weights[at] - after.network.layers[l].weights[at];
                        assert!((slope - ours).abs() < 1e-8, "{activation:?} {hidden:?} {target:?} layer {l} at {at}: {ours} {slope}");
                    }
                    for k in 0..start.layers[l].outputs {
                        let (mut up, mut down) = (start.clone(), start.clone());
                        up.layers[l].biases[k] += 1e-5;
                        down.layers[l].biases[k] -= 1e-5;
                        let slope = (loss(&up) - loss(&down)) / 2e-5;
                        let ours = start.layers[l].biases[k] - after.network.layers[l].biases[k];
                        assert!((slope - ours).abs() < 1e-8, "{activation:?} {hidden:?} {target:?} bias {k} of {l}: {ours} {slope}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_put_off_comes_to_what_all_steps_come_to() {
    let x = rows(120, 60, 1);
    let told = Told::new(&x, 2);
    let order = all(120);
    let momentum = |momentum| Optimizer::Sgd { learning_rate: 0.02 * (1.0 - momentum), momentum };
    let penalties = [Penalty::None, Penalty::L1(1e-3), Penalty::GroupL1(1e-3), Penalty::L2(0.01)];
    for optimizer in [ADAM, momentum(0.0), momentum(0.9), momentum(0.99)] {
        for penalty in penalties {
            for (target, activation) in told.targets().into_iter().zip([Activation::Relu, Activation::Tanh].into_iter().cycle()) {
                let start = network(&[60, 11, target.outputs()], activation, 3);
                let data = Data { x: &x, target, weights: Some(&told.weights), rows: &order, held_out: &[] };
                // 1 row a batch: most inputs wait for long, over 1000 steps in all
                let options = options(optimizer, penalty, 12, 1);
                let (ours, losses) = trained(&data, Start::From { network: &start, kept: None }, &options);
                let (plain, plain_losses) = plain::train(&data, &start, None, &options);
                let off = losses.iter().zip(&plain_losses).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert_eq!(losses.len(), plain_losses.len());
                assert!(off < 1e-10, "{optimizer:?} {penalty:?} {target:?}: losses {off:e}");
                assert!(furthest(&ours.network, &plain) < 1e-10, "{optimizer:?} {penalty:?}: {:e}", furthest(&ours.network, &plain));
            }
        }
    }
}

#[test]
fn small_slopes_are_put_off_as_exactly() {
    // roots of second moments about ε and far below it
    let x = rows(300, 80, 8);
    let mut told = Told::new(&x, 2);
    told.numbers.iter_mut().for_each(|y| *y *= 1e-6);
    let order = all(300);
    let mut start = network(&[80, 7, 1], Activation::Tanh, 3);
    start.layers.iter_mut().for_each(|layer| layer.weights.iter_mut().for_each(|w| *w *= 1e-3));
    start.layers.iter_mut().for_each(|layer| layer.biases.fill(0.0));
    let data = Data { x: &x, target: Target::Numbers(&told.numbers), weights: None, rows: &order, held_out: &[] };
    let options = options(Optimizer::Adam { learning_rate: 1e-4 }, Penalty::None, 6, 1);
    let (ours, _) = trained(&data, Start::From { network: &start, kept: None }, &options);
    let (plain, _) = plain::train(&data, &start, None, &options);
    assert!(furthest(&ours.network, &plain) < 1e-13, "{:e}", furthest(&ours.network, &plain));
}

#[test]
fn threads_change_no_bit() {
    let x = rows(600, 400, 1);
    let told = Told::new(&x, 2);
    let (rows, held_out) = (all(500), (500..600).collect::<Vec<u32>>());
    for penalty in [Penalty::None, Penalty::L1(1e-3)] {
        let data = Data { x: &x, target: told.targets()[2], weights: None, rows: &rows, held_out: &held_out };
        let options = Options { patience: Some(2), ..options(ADAM, penalty, 4, 250) };
        let started = AtomicUsize::new(0);
        let by = |threads: usize| {
            let on_thread = || {
                started.fetch_add(1, Ordering::Relaxed);
            };
            let hands = Hands { threads, on_thread: &on_thread };
            let start = Start::Fresh { hidden: &[96], activation: Activation::Relu };
            train(&data, start, &options, &hands, &|_| ControlFlow::Continue(())).unwrap()
        };
        let one = by(1);
        assert_eq!(started.load(Ordering::Relaxed), 0);
        assert_eq!(one, by(2));
        assert_eq!(one, by(5));
        assert!(started.load(Ordering::Relaxed) >= 3, "threads were at work");
        assert_ne!(one.network, train_with_seed(&data, &options, 6), "the seed matters");
    }
}

fn train_with_seed(data: &Data, options: &Options, seed: u64) -> crate::network::Network {
    let start = Start::Fresh { hidden: &[96], activation: Activation::Relu };
    trained(data, start, &Options { seed, ..*options }).0.network
}

#[test]
fn penalties_make_exact_zeros_and_groups_go_as_one() {
    let x = rows(400, 50, 1);
    let told = Told::new(&x, 2);
    let order = all(400);
    let data = Data { x: &x, target: Target::Numbers(&told.numbers), weights: None, rows: &order, held_out: &[] };
    for optimizer in [ADAM, Optimizer::Sgd { learning_rate: 0.1, momentum: 0.9 }] {
        let sparse = |penalty| {
            let start = Start::Fresh { hidden: &[8], activation: Activation::Tanh };
            trained(&data, start, &options(optimizer, penalty, 60, 20)).0.network
        };
        let dense = sparse(Penalty::None);
        assert_eq!(dense.nonzeros(), 50 * 8 + 8);
        let one = sparse(Penalty::L1(0.002));
        assert!(one.nonzeros() > 3 && one.nonzeros() < 200, "{}", one.nonzeros());
        let group = sparse(Penalty::GroupL1(2e-3));
        let whole: Vec<usize> = group.layers[0].weights.chunks(8).map(|row| row.iter().filter(|w| **w != 0.0).count()).collect();
        assert!(whole.iter().all(|n| *n == 0 || *n == 8), "{whole:?}");
        assert!(whole.contains(&8) && whole.contains(&0), "{optimizer:?} {whole:?}");
        assert_eq!(sparse(Penalty::L1(100.0)).nonzeros(), 0);
    }
}

#[test]
fn what_was_pruned_stays_pruned() {
    let x = rows(200, 30, 1);
    let told = Told::new(&x, 2);
    let order = all(200);
    let start = network(&[30, 8, 6, 3], Activation::Relu, 4);
    let mut kept = Kept::all(&start);
    kept.layers.iter_mut().for_each(|layer| layer.iter_mut().enumerate().for_each(|(at, kept)| *kept = at % 3 != 1));
    let data = Data { x: &x, target: told.targets()[2], weights: None, rows: &order, held_out: &[] };
    for penalty in [Penalty::None, Penalty::L1(1e-4), Penalty::GroupL1(1e-4), Penalty::L2(1e-3)] {
        let options = options(ADAM, penalty, 3, 7);
        let (ours, _) = trained(&data, Start::From { network: &start, kept: Some(&kept) }, &options);
        let (plain, _) = plain::train(&data, &start, Some(&kept), &options);
        assert!(furthest(&ours.network, &plain) < 1e-10);
        let weights = ours.network.layers.iter().flat_map(|layer| &layer.weights);
        assert!(weights.zip(kept.layers.iter().flatten()).all(|(weight, kept)| *kept || *weight == 0.0));
    }
}

#[test]
fn training_ends_when_the_rows_held_out_no_longer_gain() {
    let x = rows(60, 200, 1);
    let told = Told::new(&x, 2);
    let (rows, held_out) = (all(40), (40..60).collect::<Vec<u32>>());
    let data = Data { x: &x, target: Target::Signs(&told.signs), weights: None, rows: &rows, held_out: &held_out };
    let start = Start::Fresh { hidden: &[16], activation: Activation::Relu };
    let (stopped, _) = trained(&data, start, &Options { patience: Some(3), ..options(ADAM, Penalty::None, 500, 8) });
    assert!(!stopped.halted && stopped.epochs.len() < 500 && stopped.epochs.len() == stopped.best + 3);
    let losses: Vec<f64> = stopped.epochs.iter().map(|epoch| epoch.held_out.unwrap()).collect();
    assert_eq!(losses[stopped.best - 1], losses.iter().copied().fold(f64::INFINITY, f64::min));
    // the weights are those of the best epoch
    let (best, _) = trained(&data, start, &options(ADAM, Penalty::None, stopped.best, 8));
    assert_eq!(best.network, stopped.network);
}

#[test]
fn a_halt_discards_or_keeps() {
    let x = rows(300, 50, 1);
    let told = Told::new(&x, 2);
    let order = all(300);
    let data = Data { x: &x, target: told.targets()[0], weights: None, rows: &order, held_out: &[] };
    let start = Start::Fresh { hidden: &[64], activation: Activation::Tanh };
    let options = options(ADAM, Penalty::None, 50, 100);
    for threads in [1, 3] {
        for (halt, asked) in [(Halt::Discard, 0), (Halt::Discard, 9), (Halt::Keep, 1), (Halt::Keep, 10)] {
            let n = AtomicUsize::new(0);
            let observe = |_: &Progress| {
                if n.fetch_add(1, Ordering::Relaxed) < asked { ControlFlow::Continue(()) } else { ControlFlow::Break(halt) }
            };
            let ended = train(&data, start, &options, &Hands { threads, on_thread: &|| () }, &observe);
            match halt {
                Halt::Discard => assert_eq!(ended.unwrap_err(), Unfit::Stopped),
                Halt::Keep => {
                    let ended = ended.unwrap();
                    assert!(ended.halted && ended.epochs.len() < 50 && ended.best == ended.epochs.len());
                }
            }
        }
    }
}

#[test]
fn poor_data_are_no_reason_to_panic() {
    let empty = Rows::new(3, vec![0, 0, 0], vec![], vec![]).unwrap();
    let none = Rows::new(0, vec![0], vec![], vec![]).unwrap();
    let one = Rows::new(1, vec![0, 1], vec![0], vec![2.0]).unwrap();
    let fresh = Start::Fresh { hidden: &[4, 2], activation: Activation::Relu };
    for penalty in [Penalty::None, Penalty::L1(0.1), Penalty::GroupL1(0.1), Penalty::L2(0.1)] {
        let options = options(ADAM, penalty, 600, 2);
        let go = |x: &Rows, y: &[f64], weights: Option<&[f64]>, rows: &[u32]| {
            let data = Data { x, target: Target::Numbers(y), weights, rows, held_out: &[] };
            train(&data, fresh, &options, &Hands::one(), &|_| ControlFlow::Continue(()))
        };
        assert!(go(&empty, &[1.0, 3.0], None, &[0, 1]).unwrap().network.layers[2].biases[0] > 0.5);
        assert_eq!(go(&none, &[], None, &[]).unwrap_err(), Unfit::NoWeight);
        assert_eq!(go(&empty, &[1.0, 3.0], Some(&[0.0, 0.0]), &[0, 1]).unwrap_err(), Unfit::NoWeight);
        assert_eq!(go(&empty, &[1.0], None, &[0]).unwrap_err(), Unfit::Shape);
        assert_eq!(go(&empty, &[1.0, f64::NAN], None, &[0]).unwrap_err(), Unfit::Range);
        assert_eq!(go(&empty, &[1.0, 1.0], None, &[2]).unwrap_err(), Unfit::Shape);
        assert!(go(&one, &[1.0], None, &[0]).is_ok());
    }
    let data = Data { x: &one, target: Target::Numbers(&[1e300]), weights: None, rows: &[0], held_out: &[] };
    let ended = train(&data, fresh, &options(ADAM, Penalty::None, 3, 1), &Hands::one(), &|_| ControlFlow::Continue(()));
    assert!(ended.is_ok() || ended == Err(Unfit::Diverged));
    let wild = Optimizer::Sgd { learning_rate: 1e200, momentum: 0.0 };
    let small = rows(20, 5, 1);
    let told = Told::new(&small, 2);
    let data = Data { x: &small, target: told.targets()[0], weights: None, rows: &all(20), held_out: &[] };
    let ended = train(&data, fresh, &options(wild, Penalty::None, 30, 5), &Hands::one(), &|_| ControlFlow::Continue(()));
    assert_eq!(ended.unwrap_err(), Unfit::Diverged);
    assert_eq!(Rows::new(2, vec![0, 2], vec![1, 1], vec![1.0, 1.0]).unwrap_err(), Unfit::Shape);
    assert_eq!(Rows::new(2, vec![0, 1], vec![2], vec![1.0]).unwrap_err(), Unfit::Shape);
    assert_eq!(Rows::new(2, vec![0, 1], vec![1], vec![f64::INFINITY]).unwrap_err(), Unfit::Range);
}
