//! Networks: what is stored says what was trained, whoever worked on it; prunings remove what they are to, turn by turn.

use std::ops::ControlFlow;

use serde_json::json;

use super::*;
use crate::model::{Layer, Model, NetworkModel, State};
use crate::spec::{
    Activation, Amount, EarlyStopping, NaturalLoss, NetworkPenalty, NetworkPenaltyType, Optimizer, PruneMethod, Removal, ResolvedNetwork,
    ResolvedPrune, Schedule,
};

fn fit_of(loss: NaturalLoss) -> ResolvedNetwork {
    ResolvedNetwork {
        kind: "network".into(),
        loss,
        hidden: vec![8, 4],
        activation: Activation::Tanh,
        optimizer: Optimizer::Adam { learning_rate: 0.02 },
        penalty: NetworkPenalty { kind: NetworkPenaltyType::None, lambda: 0.0 },
        epochs: 60,
        batch_size: 10,
        seed: 3,
        early_stopping: Some(EarlyStopping { fraction: 0.2, patience: 20 }),
        weights: true,
        limits: RunLimits::default(),
    }
}

fn train_on(data: &Dataset, spec: &ResolvedNetwork, threads: usize) -> Result<TrainedNetwork, TrainError> {
    network(data, spec, &Run::new(threads, &|_| ControlFlow::Continue(())))
}

/// Numbers, two classes, three classes.
fn cases() -> [(Fixture, NaturalLoss, &'static str); 3] {
    let third = |y: f64| {
        (if y < -0.7 {
            "low"
        } else if y < 0.7 {
            "mid"
        } else {
            "high"
        })
        .to_owned()
    };
    [
        (noisy(|y| (1000.0 + y).to_string()), NaturalLoss::Squared, "r2"),
        (noisy(|y| u8::from(y > 0.0).to_string()), NaturalLoss::Logistic, "auc"),
        (noisy(move |y| format!("{:?}", third(y))), NaturalLoss::Multinomial, "accuracy"),
    ]
}

#[test]
fn a_network_learns_is_the_same_for_any_number_of_threads_and_says_what_its_measures_say() {
    for (rows, loss, score) in cases() {
        let spec = fit_of(loss);
        let trained = train_on(&rows.data, &spec, 1).unwrap();
        let model = &trained.model;
        assert_eq!((model.check(), model.score()), (Ok(()), score));
        let learnt = model.card.metrics["train"]["score"].as_f64().unwrap();
        assert!(learnt > 0.8, "{loss:?}: {learnt}");
        assert_eq!(trained.score, model.card.metrics["holdout"]["score"].as_f64());
        assert!(trained.best_epoch <= trained.epochs && trained.epochs <= 60);
        for threads in [2, 5] {
            assert_eq!(train_on(&rows.data, &spec, threads).unwrap(), trained, "{loss:?}, {threads} threads");
        }
        // rows held out are none of those learnt from: all of them together are all rows
        let whole = evaluate(&rows.data, &Model::Network(model.clone()), None, &|_| ControlFlow::Continue(())).unwrap();
        let loss_of = |of: &Value| of["mse"].as_f64().or(of["log_loss"].as_f64()).unwrap();
        let (train, held) = (loss_of(&model.card.metrics["train"]), loss_of(&model.card.metrics["holdout"]));
        assert!((loss_of(&whole.metrics) - (48.0 * train + 12.0 * held) / 60.0).abs() < 1e-9 * (1.0 + train), "{loss:?}");
    }
}

#[test]
fn a_full_column_far_from_zero_and_one_that_is_constant_do_no_harm() {
    let mut state = 5_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let rows: Vec<[f64; 3]> = (0..80).map(|_| [1e6 + random(), 7.0, if random() > 0.0 { 1e-9 } else { 0.0 }]).collect();
    let y: Vec<f64> = rows.iter().map(|row| 3.0 * (row[0] - 1e6) + 1e9 * row[2]).collect();
    let rows = dataset_of(&json!({ "format": "dense", "values": rows, "y": y }).to_string());
    let spec = ResolvedNetwork { early_stopping: None, epochs: 200, ..fit_of(NaturalLoss::Squared) };
    let model = train_on(&rows.data, &spec, 1).unwrap().model;
    let score = model.card.metrics["train"]["score"].as_f64().unwrap();
    assert!(score > 0.95 && model.check().is_ok(), "{score}");
    assert!(model.card.metrics.get("holdout").is_none());
}

#[test]
fn a_penalty_leaves_weights_that_are_exactly_zero_and_inputs_that_nothing_reads_are_gone() {
    let (rows, loss, _) = cases().into_iter().nth(1).unwrap();
    let with = |kind, lambda| {
        let penalty = NetworkPenalty { kind, lambda };
        train_on(&rows.data, &ResolvedNetwork { penalty, ..fit_of(loss) }, 1).unwrap().model
    };
    let left: Vec<u64> = [0.0005, 0.001, 0.002, 0.005].map(|lambda| with(NetworkPenaltyType::L1, lambda).card.sparsity.nonzeros).into();
    assert!(left.iter().any(|left| (1..84).contains(left)), "{left:?}");
    // somewhere between all and none: features 0 and 3 are the ones that matter
    let grouped: Vec<NetworkModel> = [0.0005, 0.001, 0.002, 0.005, 0.01].map(|lambda| with(NetworkPenaltyType::GroupL1, lambda)).into();
    let inputs: Vec<&[u32]> = grouped.iter().map(|model| &*model.inputs).collect();
    assert!(inputs.iter().any(|some| (1..6).contains(&some.len()) && some.contains(&0)), "{inputs:?}");
    for model in &grouped {
        assert_eq!(model.card.sparsity.layers[0].removed_inputs as usize, 6 - model.inputs.len());
    }
}

#[test]
fn what_cannot_be_trained_is_told_and_who_is_not_wanted_stops() {
    let (numbers, sides) = (noisy(|y| y.to_string()), noisy(|y| u8::from(y > 0.0).to_string()));
    let wrong = |data: &Dataset, spec: &ResolvedNetwork| match train_on(data, spec, 1) {
        Err(TrainError::Unfit { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(&numbers.data, &fit_of(NaturalLoss::Logistic)), "invalid_target");
    assert_eq!(wrong(&sides.data, &fit_of(NaturalLoss::Squared)), "invalid_target");
    let weightless = Dataset { weights: Some(vec![0.0; 60].into()), ..numbers.data.clone() };
    assert_eq!(wrong(&weightless, &fit_of(NaturalLoss::Squared)), "invalid_weight");
    let wild = ResolvedNetwork {
        optimizer: Optimizer::Sgd { learning_rate: 10.0, momentum: 0.99 },
        activation: Activation::Relu,
        epochs: 2000,
        early_stopping: None,
        ..fit_of(NaturalLoss::Squared)
    };
    assert_eq!(wrong(&numbers.data, &wild), "numerical_error");
    let stopped = network(&numbers.data, &fit_of(NaturalLoss::Squared), &Run::new(1, &|_| ControlFlow::Break(Leave::Nothing)));
    assert_eq!(stopped, Err(TrainError::Cancelled));
}

#[test]
fn at_the_time_limit_the_best_so_far_is_the_model_and_says_so() {
    let rows = noisy(|y| y.to_string());
    let looks = AtomicU64::new(0);
    let observe = |_: &Progress| match looks.fetch_add(1, Ordering::Relaxed) {
        0..3 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(Leave::Best),
    };
    let spec = ResolvedNetwork { epochs: 10_000, early_stopping: None, ..fit_of(NaturalLoss::Squared) };
    let trained = network(&rows.data, &spec, &Run::new(1, &observe)).unwrap();
    assert!(trained.epochs < 10_000 && !trained.model.card.converged());
    assert_eq!(trained.model.card.warnings[0].code, crate::model::TIME_LIMIT);
}

fn removal(amount: Amount, steps: u64, fine_tune_epochs: u64, rewind: bool) -> Removal {
    let schedule = Schedule { steps, fine_tune_epochs, rewind };
    Removal { amount, schedule, max_quality_loss: None, holdout_fraction: 0.2, seed: 3 }
}

fn prune_of(base: &NetworkModel, rows: &Fixture, method: PruneMethod, threads: usize) -> Result<PrunedNetwork, TrainError> {
    let model = Model::Network(base.clone());
    let spec = ResolvedPrune { base: "m:1".into(), base_leaves: None, base_weights: None, method, limits: RunLimits::default() };
    let base = Base { model: &model, names: None, size_bytes: 0 };
    prune_network(&rows.data, base, &spec, &Run::new(threads, &|_| ControlFlow::Continue(())))
}

#[test]
fn every_method_removes_what_it_is_to_and_every_turn_is_a_network_of_its_own() {
    for (rows, loss, _) in cases() {
        let base = train_on(&rows.data, &fit_of(loss), 1).unwrap().model;
        let weights: u64 = base.layers.iter().map(|layer| (layer.inputs * layer.outputs()) as u64).sum();
        for method in [
            PruneMethod::L1Unstructured(removal(Amount::Share(0.5), 1, 2, false)),
            PruneMethod::GlobalUnstructured(removal(Amount::Share(0.8), 4, 2, false)),
            PruneMethod::RandomUnstructured(removal(Amount::Count(30), 2, 1, true)),
            PruneMethod::LnStructured(removal(Amount::Share(0.5), 2, 2, false)),
            PruneMethod::Inputs(removal(Amount::Count(3), 3, 2, true)),
        ] {
            let PrunedNetwork { model, path } = prune_of(&base, &rows, method.clone(), 1).unwrap();
            assert_eq!(model.check(), Ok(()), "{method:?}");
            let told = |row: usize| path.rows[row].nonzeros;
            assert_eq!(told(0), base.card.sparsity.nonzeros);
            assert!(path.rows.windows(2).all(|pair| pair[0].nonzeros > pair[1].nonzeros), "{method:?}");
            assert_eq!((path.selected as usize, told(path.rows.len() - 1)), (path.rows.len() - 1, model.card.sparsity.nonzeros));
            let sparsity = &model.card.sparsity;
            match &method {
                // cutting what is idle may take more with it
                PruneMethod::L1Unstructured(_) => assert!(sparsity.nonzeros <= weights.div_ceil(2) + 1),
                PruneMethod::GlobalUnstructured(_) => assert!(sparsity.nonzeros <= weights / 5 + 1),
                PruneMethod::RandomUnstructured(_) => assert!(sparsity.nonzeros <= weights - 30),
                PruneMethod::LnStructured(_) => assert!(model.layers[0].outputs() <= 4 && model.layers[1].outputs() <= 2),
                _ => assert!(model.inputs.len() <= 3 && model.inputs.len() < base.inputs.len()),
            }
            assert_eq!(prune_of(&base, &rows, method.clone(), 3).unwrap(), PrunedNetwork { model: model.clone(), path: path.clone() });
            let again = path.promoted(&model, path.selected as usize, "m:2").unwrap();
            assert_eq!((&again.layers, &again.inputs, &again.card.sparsity), (&model.layers, &model.inputs, &model.card.sparsity));
            let whole = path.promoted(&model, 0, "m:2").unwrap();
            assert_eq!((&whole.layers, &whole.inputs), (&base.layers, &base.inputs));
            let pruned = model.card.pruned.as_ref().unwrap();
            assert_eq!((pruned.score, pruned.score_before), (path.rows.last().unwrap().score, path.rows[0].score));
        }
    }
}

#[test]
fn the_base_keeps_its_score_before_anything_is_removed_and_a_bound_on_the_loss_is_kept() {
    let (rows, loss, _) = cases().into_iter().next().unwrap();
    let fit = fit_of(loss);
    let base = train_on(&rows.data, &fit, 1).unwrap();
    // the same seed and share hold the same rows out
    let bounded = |most: f64, epochs: u64| {
        let removal = Removal { max_quality_loss: Some(most), ..removal(Amount::Share(0.97), 8, epochs, false) };
        prune_of(&base.model, &rows, PruneMethod::GlobalUnstructured(removal), 1).unwrap()
    };
    let found = bounded(0.1, 5);
    assert_eq!(found.path.rows[0].score, base.score);
    let selected = found.path.selected as usize;
    let fine = |row: &crate::model::NetworkPathRow| row.score.unwrap() >= base.score.unwrap() - 0.1;
    assert!(selected > 0 && fine(&found.path.rows[selected]) && !found.path.rows[selected + 1..].iter().any(fine), "{:?}", found.path.rows);
    let gaining = bounded(-1.0, 0);
    assert_eq!((gaining.path.selected, gaining.model.card.warnings[0].code.as_str()), (0, "nothing_pruned"));
}

#[test]
fn a_layer_of_which_next_to_nothing_is_left_is_told_of() {
    let (rows, loss, _) = cases().into_iter().next().unwrap();
    let base = train_on(&rows.data, &fit_of(loss), 1).unwrap().model;
    let after = |method: PruneMethod| {
        let model = prune_of(&base, &rows, method, 1).unwrap().model;
        let units: Vec<u64> = model.card.sparsity.layers.iter().map(|layer| layer.shape[1]).collect();
        let told = model.card.warnings.iter().any(|warning| warning.code == "layer_collapsed");
        assert_eq!(told, units[..units.len() - 1].iter().any(|units| *units <= 1), "{units:?}");
        told
    };
    assert!(after(PruneMethod::GlobalUnstructured(removal(Amount::Share(0.99), 1, 0, false))));
    assert!(!after(PruneMethod::L1Unstructured(removal(Amount::Share(0.2), 1, 0, false))));
}

#[test]
fn every_layer_has_a_time_of_its_own_for_one_row() {
    let (rows, loss, _) = cases().into_iter().next().unwrap();
    let base = train_on(&rows.data, &fit_of(loss), 1).unwrap().model;
    let n_layers = base.layers.len();
    let ready = crate::model::Predictor::new(Arc::new(Model::Network(base)), None);
    // every look at the clock is 10 µs after the one before, and twenty rows are timed together
    let now = std::cell::Cell::new(0);
    let clock = || {
        now.set(now.get() + 10_000);
        now.get()
    };
    let times = layers_us(&rows.data, &ready, &clock, &|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(times, vec![Some(0.5); n_layers]);
    assert_eq!(layers_us(&rows.data, &ready, &clock, &|_| ControlFlow::Break(Leave::Nothing)), Err(TrainError::Cancelled));
}

#[test]
fn weights_that_are_set_back_are_those_of_the_first_epoch() {
    for (rows, loss, _) in cases() {
        let fit = fit_of(loss);
        let base = train_on(&rows.data, &fit, 1).unwrap().model;
        // nothing is removed and nothing is trained: what is left is the first epoch
        let nothing = removal(Amount::Count(0), 1, 0, true);
        let set_back = prune_of(&base, &rows, PruneMethod::GlobalUnstructured(nothing), 1).unwrap().model;
        let first = train_on(&rows.data, &ResolvedNetwork { epochs: 1, ..fit }, 1).unwrap().model;
        assert_eq!(set_back.inputs, first.inputs);
        let row = [(0, 0.3), (2, -1.0), (5, 0.25)];
        let say = |model: &NetworkModel| {
            let mut state = State::default();
            model.forward(row.into_iter(), &mut state);
            state.outputs
        };
        for (a, b) in say(&set_back).into_iter().zip(say(&first)) {
            assert!((a - b).abs() < 1e-12, "{loss:?}: {a} {b}");
        }
    }
    let (rows, loss, _) = cases().into_iter().next().unwrap();
    let mut base = train_on(&rows.data, &fit_of(loss), 1).unwrap().model;
    base.layers[0] = Layer::of(6, vec![0.5; 7], vec![1.0; 42]);
    base.layers[1] = Layer::of(7, vec![0.5; 4], vec![1.0; 28]);
    let asked = PruneMethod::Inputs(removal(Amount::Count(1), 1, 1, true));
    let refused = prune_of(&base.measured(), &rows, asked, 1);
    assert!(matches!(refused, Err(TrainError::Unfit { code: "invalid_parameter", .. })), "{refused:?}");
}
