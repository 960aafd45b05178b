//! Distillations from end to end: what a teacher is good for, who needs no teacher, and a stop that is heard in every part.

use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;
use crate::job::Progress;
use crate::model::{KeptPath, Model};
use crate::spec::{
    Activation, Criterion, EarlyStopping, NaturalLoss, NetworkPenalty, NetworkPenaltyType, Optimizer, Pruning, ResolvedDistill,
    ResolvedEnsemble, ResolvedNetwork, ResolvedTree, ScoreName, Teacher, TreeFolds, TreeSize, Work,
};

fn going_on(_: &Progress) -> ControlFlow<Leave> {
    ControlFlow::Continue(())
}

fn tree(criterion: Criterion, depth: Option<u32>, pruning: Pruning) -> Work {
    let size = TreeSize { max_depth: depth, ..TreeSize::default() };
    Work::Tree(Box::new(ResolvedTree { kind: "tree".into(), criterion, size, pruning, weights: true, limits: RunLimits::default() }))
}

fn network(loss: NaturalLoss) -> Work {
    Work::Network(Box::new(ResolvedNetwork {
        kind: "network".into(),
        loss,
        hidden: vec![4],
        activation: Activation::Tanh,
        optimizer: Optimizer::Adam { learning_rate: 0.01 },
        penalty: NetworkPenalty { kind: NetworkPenaltyType::None, lambda: 0.0 },
        epochs: 5,
        batch_size: 16,
        seed: 1,
        early_stopping: None,
        weights: false,
        limits: RunLimits::default(),
    }))
}

fn ensemble() -> Work {
    Work::Ensemble(Box::new(ResolvedEnsemble {
        kind: "ensemble".into(),
        loss: NaturalLoss::Logistic,
        n_trees: 10,
        learning_rate: 0.2,
        max_leaves: 4,
        subsample: 1.0,
        min_leaf_weight: None,
        seed: 1,
        early_stopping: Some(EarlyStopping { fraction: 0.2, patience: 3 }),
        weights: false,
        limits: RunLimits::default(),
    }))
}

fn logistic(lambda: f64) -> ResolvedFit {
    ResolvedFit { loss: Loss::Logistic { positive_class: Class::Number(1.0) }, lambda: Lambda::Value { value: lambda }, ..spec() }
}

fn asked(teacher: Teacher, student: Work, score: ScoreName) -> ResolvedDistill {
    ResolvedDistill {
        teacher,
        student: Box::new(student),
        temperature: 1.0,
        mix: 0.5,
        augment: 0,
        held_out: 0.25,
        score,
        bootstrap: 100,
        seed: 1,
        limits: RunLimits::default(),
    }
}

fn by_model() -> Teacher {
    Teacher::Model("t:1".into())
}

fn teacher(model: &LinearModel) -> Option<TeacherModel> {
    let model = Arc::new(Model::Linear(model.clone()));
    Some(TeacherModel { reference: "t:1".into(), stored_bytes: model.encode().len() as u64, model, names: None })
}

fn taught(data: &Dataset, teacher: Option<TeacherModel>, asked: &ResolvedDistill, threads: usize) -> Result<Student, TrainError> {
    let ticks = AtomicU64::new(0);
    let clock = || ticks.fetch_add(3000, Ordering::Relaxed);
    distill(data, teacher, asked, &Run::new(threads, &going_on), &clock)
}

/// Rows of six features and their true sides, and what they are said to be: three of ten are wrong. More columns are given by `more`.
fn wrongly_labelled(n: usize, more: impl Fn(&[f64; 6]) -> Vec<f64>) -> (Fixture, Fixture) {
    let mut random = crate::numeric::SplitMix64(11);
    let rows: Vec<[f64; 6]> = (0..n).map(|_| std::array::from_fn(|_| random.symmetric())).collect();
    let truth: Vec<bool> = rows.iter().map(|row| 2.0 * row[0] - row[3] + row[4] > 0.0).collect();
    let said: Vec<bool> = truth.iter().map(|side| *side != (random.below(10) < 3)).collect();
    let values = |with: bool| -> Vec<Vec<f64>> {
        rows.iter().map(|row| row.iter().copied().chain(if with { more(row) } else { Vec::new() }).collect()).collect()
    };
    let of = |y: &[bool], with: bool| {
        let y: Vec<u8> = y.iter().map(|side| u8::from(*side)).collect();
        dataset_of(&json!({ "format": "dense", "values": values(with), "y": y }).to_string())
    };
    (of(&truth, false), of(&said, true))
}

fn side_of(model: &LinearModel, row: &[f64; 6]) -> f64 {
    // summed as predictions are, to the same bits
    let eta = model.indices.iter().zip(&model.values).fold(model.card.intercept, |eta, (at, weight)| eta + weight * row[*at as usize]);
    if eta >= 0.0 { 1.0 / (1.0 + (-eta).exp()) } else { eta.exp() / (1.0 + eta.exp()) }
}

#[test]
fn a_student_of_a_teacher_that_knows_better_beats_what_the_labels_alone_teach() {
    let (clean, noisy) = wrongly_labelled(400, |_| Vec::new());
    let clever = fit(&clean.data, &logistic(1e-3), &Run::new(1, &going_on)).unwrap();
    let pruning = || Pruning::TargetLeaves { target_leaves: 24 };
    let spec = ResolvedDistill { mix: 0.1, ..asked(by_model(), tree(Criterion::Gini, Some(6), pruning()), ScoreName::Auc) };
    let plain = taught(&noisy.data, teacher(&clever), &spec, 1).unwrap();
    let made = taught(&noisy.data, teacher(&clever), &ResolvedDistill { augment: 4, ..spec }, 1).unwrap();
    for Student { model, path, fidelity } in [&plain, &made] {
        let gain = &fidelity.gain;
        assert!(gain.difference > Some(0.02) && gain.high > gain.difference && gain.low < gain.difference, "{fidelity:?}");
        let (own, control) = (&fidelity.agreement, &fidelity.control_agreement);
        assert!(own.labels > control.labels && own.kl_divergence < control.kl_divergence && own.correlation.is_none(), "{fidelity:?}");
        assert!(own.mean_difference < control.mean_difference, "{fidelity:?}");
        assert_eq!((fidelity.rows, fidelity.teacher.reference.as_deref(), &*fidelity.control.kind), (100, Some("t:1"), "tree"));
        assert!(
            fidelity.student.bytes > Some(0)
                && fidelity.student.latency_us.is_some()
                && fidelity.teacher.size == Some(clever.indices.len() as u64)
        );
        assert!(matches!(path, Some(KeptPath::Tree(_))) && model.check().is_ok() && Model::decode(&model.encode()).unwrap() == *model);
    }
    let told = made.model.card().distilled().cloned().unwrap();
    assert_eq!((told.rows_learnt, told.rows_held_out, told.augment), (300, 100, 4));
    assert!(told.rows_taught > 300 * 5 && told.rows_taught <= 2 * 300 * 5, "{told:?}");
    assert_eq!(made.fidelity.student.bytes, Some(made.model.encode().len() as u64), "what is stored is what was measured");
}

#[test]
fn what_is_told_of_the_student_is_of_the_true_labels_and_of_rows_it_has_not_seen() {
    let (clean, noisy) = wrongly_labelled(200, |_| Vec::new());
    let clever = fit(&clean.data, &logistic(1e-3), &Run::new(1, &going_on)).unwrap();
    let lasso = Work::Fit(Box::new(logistic(0.02)));
    for student in [lasso, tree(Criterion::Entropy, Some(3), Pruning::None), network(NaturalLoss::Logistic), ensemble()] {
        let spec = asked(by_model(), student, ScoreName::Auc);
        let Student { model, fidelity, .. } = taught(&noisy.data, teacher(&clever), &spec, 1).unwrap();
        // with weights the parts of the data set are what was measured
        let parts = parts::Parts::of(&noisy.data, Some(0.25), 1);
        let metrics = match &model {
            Model::Linear(model) => &model.card.metrics,
            Model::Tree(model) => &model.card.metrics,
            Model::Network(model) => &model.card.metrics,
            Model::Rules(model) => &model.card.metrics,
            Model::Ensemble(model) => &model.card.metrics,
        };
        for (rows, key) in [(&parts.learnt, "train"), (&parts.held_out, "holdout")] {
            let mut weights = vec![0.0; 200];
            rows.iter().for_each(|row| weights[*row as usize] = 1.0);
            let only = Dataset { weights: Some(weights.into()), ..noisy.data.clone() };
            let measured = evaluate(&only, &model, None, &going_on).unwrap().metrics;
            for name in ["score", "log_loss", "accuracy"] {
                let [one, other] = [&measured[name], &metrics[key][name]].map(|value| value.as_f64().unwrap());
                assert!((one - other).abs() < 1e-12, "{key} {name}: {one} {other}");
            }
        }
        assert_eq!(fidelity.student.score, metrics["holdout"]["score"].as_f64());
        if let Model::Network(network) = &model {
            assert!(!network.card.fit.weights, "whoever prunes it has no weights");
        }
    }
}

#[test]
fn a_column_that_says_what_a_model_says_teaches_the_same() {
    let (clean, _) = wrongly_labelled(200, |_| Vec::new());
    let clever = fit(&clean.data, &logistic(1e-3), &Run::new(1, &going_on)).unwrap();
    let (_, without) = wrongly_labelled(200, |_| Vec::new());
    let (_, with) = wrongly_labelled(200, |row| vec![side_of(&clever, row)]);
    for temperature in [1.0, 3.0] {
        let student = || tree(Criterion::Gini, Some(4), Pruning::None);
        let of = |teacher| ResolvedDistill { temperature, ..asked(teacher, student(), ScoreName::Auc) };
        let by_model = taught(&without.data, teacher(&clever), &of(by_model()), 1).unwrap();
        let by_column = taught(&with.data, None, &of(Teacher::Column { column: "6".into() }), 1).unwrap();
        let [one, other] = [&by_model, &by_column].map(|student| student.model.tree().unwrap());
        assert_eq!(one.nodes, other.nodes);
        let [one, other] = [&by_model.fidelity, &by_column.fidelity];
        assert_eq!((one.student.score, one.control.score, &one.gain), (other.student.score, other.control.score, &other.gain));
        assert!((one.teacher.score.unwrap() - other.teacher.score.unwrap()).abs() < 1e-12);
        assert!((one.agreement.kl_divergence.unwrap() - other.agreement.kl_divergence.unwrap()).abs() < 1e-9);
        assert_eq!((&*other.teacher.kind, other.teacher.bytes, other.teacher.latency_us, other.teacher.size), ("column", None, None, None));
    }
    let (_, wrong) = wrongly_labelled(50, |row| vec![if row[0] > 0.9 { 1.5 } else { 0.5 }]);
    let spec = asked(Teacher::Column { column: "6".into() }, tree(Criterion::Gini, None, Pruning::None), ScoreName::Auc);
    let refused = taught(&wrong.data, None, &spec, 1).unwrap_err();
    let TrainError::Unfit { code, detail } = refused else { panic!("{refused}") };
    assert!(code == "teacher_out_of_range" && detail.contains("1.5 in row "), "{detail}");
}

#[test]
fn the_less_a_teacher_counts_the_more_its_student_is_its_control() {
    let (clean, noisy) = wrongly_labelled(200, |_| Vec::new());
    let clever = fit(&clean.data, &logistic(1e-3), &Run::new(1, &going_on)).unwrap();
    let folds = Pruning::Cv(TreeFolds { folds: 4, stratify: true, seed: 2, rule: Rule::Min });
    for student in [tree(Criterion::Gini, Some(5), folds), Work::Fit(Box::new(logistic(0.01)))] {
        let of =
            |mix| taught(&noisy.data, teacher(&clever), &ResolvedDistill { mix, ..asked(by_model(), student.clone(), ScoreName::Auc) }, 1);
        let [nothing, little] = [of(0.0).unwrap().fidelity, of(1.0 - 1e-6).unwrap().fidelity];
        // what is next to nothing is dropped: what is left are the labels
        assert_eq!((little.gain.difference, &little.agreement), (Some(0.0), &little.control_agreement));
        assert!(nothing.gain.difference != Some(0.0) && nothing.control == little.control, "{nothing:?}");
    }
}

#[test]
fn numbers_are_learnt_from_numbers() {
    let fixture = noisy(|signal| signal.to_string());
    let at = |lambda| ResolvedFit { lambda: Lambda::Value { value: lambda }, ..spec() };
    let clever = fit(&fixture.data, &at(1e-6), &Run::new(1, &going_on)).unwrap();
    let spec = ResolvedDistill { mix: 0.0, ..asked(by_model(), Work::Fit(Box::new(at(1e-6))), ScoreName::R2) };
    let Student { model, fidelity, path } = taught(&fixture.data, teacher(&clever), &spec, 1).unwrap();
    // what a linear teacher says a linear student learns whole
    let student = model.linear().unwrap();
    assert_eq!((&student.indices, path), (&clever.indices, None));
    student.values.iter().zip(&clever.values).for_each(|(one, other)| assert!((one - other).abs() < 1e-4, "{one} {other}"));
    assert!(fidelity.agreement.correlation > Some(0.999_999) && fidelity.agreement.mean_difference < Some(1e-4), "{fidelity:?}");
    assert_eq!((fidelity.agreement.labels, fidelity.agreement.kl_divergence, &*fidelity.score_name), (None, None, "r2"));
    assert!(fidelity.control_agreement.correlation < fidelity.agreement.correlation);
    // counts have means, and mixtures of them are no whole numbers
    let counts = noisy(|signal| (signal.exp().round()).to_string());
    let poisson = |lambda| ResolvedFit { loss: Loss::Poisson, ..at(lambda) };
    let rate = fit(&counts.data, &poisson(1e-3), &Run::new(1, &going_on)).unwrap();
    let spec = asked(by_model(), Work::Fit(Box::new(poisson(0.05))), ScoreName::DevianceRatio);
    let found = taught(&counts.data, teacher(&rate), &spec, 1).unwrap().fidelity;
    assert!(found.student.score.is_some() && found.agreement.correlation > Some(0.9), "{found:?}");
}

#[test]
fn a_student_is_the_same_for_any_number_of_threads() {
    let (clean, noisy) = wrongly_labelled(120, |_| Vec::new());
    let clever = fit(&clean.data, &logistic(1e-3), &Run::new(1, &going_on)).unwrap();
    let folds = Pruning::Cv(TreeFolds { folds: 3, stratify: true, seed: 2, rule: Rule::Min });
    let path = ResolvedFit { loss: Loss::Logistic { positive_class: Class::Number(1.0) }, ..path_with_cv(Rule::OneSe) };
    for student in [tree(Criterion::Gini, None, folds), Work::Fit(Box::new(path)), network(NaturalLoss::Logistic)] {
        let spec = ResolvedDistill { augment: 1, ..asked(by_model(), student, ScoreName::Auc) };
        let [one, other] = [1, 3].map(|threads| taught(&noisy.data, teacher(&clever), &spec, threads).unwrap());
        assert_eq!(one, other);
        let elsewhere = taught(&noisy.data, teacher(&clever), &ResolvedDistill { seed: 2, ..spec }, 1).unwrap();
        assert_ne!(elsewhere.model, one.model);
    }
}

#[test]
fn classes_of_a_teacher_are_told_apart_by_name() {
    // the teacher calls positive what the data call negative, and knows a class that they do not have
    let (clean, noisy) = wrongly_labelled(160, |_| Vec::new());
    let turned = ResolvedFit { loss: Loss::Logistic { positive_class: Class::Number(0.0) }, ..logistic(1e-3) };
    let [same, other] = [logistic(1e-3), turned].map(|spec| fit(&clean.data, &spec, &Run::new(1, &going_on)).unwrap());
    let spec = asked(by_model(), tree(Criterion::Gini, Some(3), Pruning::None), ScoreName::Auc);
    let [one, two] = [&same, &other].map(|model| taught(&noisy.data, teacher(model), &spec, 1).unwrap());
    assert_eq!(
        (one.model.tree().unwrap().nodes.features.clone(), one.fidelity.rows),
        (two.model.tree().unwrap().nodes.features.clone(), 40)
    );
    assert!((one.fidelity.teacher.score.unwrap() - two.fidelity.teacher.score.unwrap()).abs() < 1e-3, "{:?}", two.fidelity);
    assert!((one.fidelity.agreement.labels.unwrap() - two.fidelity.agreement.labels.unwrap()).abs() < 0.03);
    let mut rest = other.clone();
    rest.card.classes = Some(vec![None, Some(Class::Number(0.0))]);
    let against = taught(&noisy.data, teacher(&rest), &spec, 1).unwrap();
    assert_eq!(against.model.tree().unwrap().nodes, two.model.tree().unwrap().nodes);
}

#[test]
fn a_stop_is_heard_in_every_part_and_progress_never_falls() {
    let (clean, noisy) = wrongly_labelled(120, |_| Vec::new());
    let clever = fit(&clean.data, &logistic(1e-3), &Run::new(1, &going_on)).unwrap();
    let folds = Pruning::Cv(TreeFolds { folds: 3, stratify: true, seed: 2, rule: Rule::Min });
    let spec = ResolvedDistill { augment: 1, ..asked(by_model(), tree(Criterion::Gini, None, folds), ScoreName::Auc) };
    let seen = Mutex::new(Vec::new());
    let watch = |progress: &Progress| {
        let told = (progress.fraction, progress.steps.iter().filter(|step| step.done == step.total).count());
        seen.lock().unwrap().push((!progress.steps.is_empty()).then_some(told));
        ControlFlow::Continue(())
    };
    distill(&noisy.data, teacher(&clever), &spec, &Run::new(1, &watch), &|| 0).unwrap();
    // who only asks whether to go on tells nothing
    let seen: Vec<(f64, usize)> = seen.into_inner().unwrap().into_iter().flatten().collect();
    assert!(seen.windows(2).all(|pair| pair[0].0 <= pair[1].0 + 1e-12 && pair[0].1 <= pair[1].1), "{seen:?}");
    for part in 0..6 {
        assert!(seen.iter().any(|(_, done)| *done == part), "part {part} is not told of: {seen:?}");
        let asked = AtomicUsize::new(0);
        let stop = |progress: &Progress| {
            if progress.steps.iter().filter(|step| step.done == step.total).count() < part {
                return ControlFlow::Continue(());
            }
            asked.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Break(Leave::Nothing)
        };
        let stopped = distill(&noisy.data, teacher(&clever), &spec, &Run::new(1, &stop), &|| 0);
        assert_eq!(stopped, Err(TrainError::Cancelled), "part {part}");
        assert!(asked.load(Ordering::Relaxed) < 5, "it goes on in part {part}");
    }
}
