//! A fit that begins at a model: the same end, by a shorter way.

use super::*;

/// As `noisy`, with names in this order, `factor` times the target, and more rows of the same kind.
fn named(order: &[usize], factor: f64, more: usize) -> Fixture {
    let mut state = 11_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let rows: Vec<[f64; 8]> = (0..80 + more).map(|_| std::array::from_fn(|_| random())).collect();
    let y: Vec<f64> = rows.iter().map(|row| factor * (2.0 * row[0] - row[3] + 0.7 * row[5] + 0.4 * random())).collect();
    let values: Vec<Vec<f64>> = rows.iter().map(|row| order.iter().map(|&j| row[j]).collect()).collect();
    let names: Vec<String> = order.iter().map(|j| format!("f{j}")).collect();
    dataset_of(&serde_json::json!({ "format": "dense", "values": values, "y": y, "feature_names": names }).to_string())
}

const PLAIN: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

fn at(lambda: Lambda) -> ResolvedFit {
    ResolvedFit { lambda, warm_start: Some("m:1".into()), standardize: Standardize::Scale, ..spec() }
}

fn value(value: f64) -> ResolvedFit {
    at(Lambda::Value { value })
}

fn from(fixture: &Fixture, spec: &ResolvedFit, model: &LinearModel, names: Option<&Names>) -> Result<LinearModel, TrainError> {
    let begin = Some(Begin { model, names });
    fit(&fixture.data, spec, &Run { begin, ..Run::new(2, &|_| ControlFlow::Continue(())) })
}

/// Without a start.
fn cold(fixture: &Fixture, spec: &ResolvedFit) -> LinearModel {
    trained(fixture, &ResolvedFit { warm_start: None, ..spec.clone() })
}

fn same(warm: &LinearModel, cold: &LinearModel) {
    assert_eq!(warm.card.certificate.status, CertificateStatus::Certified, "{:?}", warm.card.certificate);
    assert_eq!((&warm.indices, &warm.classes), (&cold.indices, &cold.classes));
    close(&warm.values, &cold.values);
    close(&[warm.card.intercept], &[cold.card.intercept]);
}

fn work(model: &LinearModel) -> (f64, u64) {
    (model.card.certificate.full_passes, model.card.certificate.epochs)
}

#[test]
fn a_start_at_the_solution_takes_fewer_passes_and_no_epochs() {
    let classes = || noisy(|signal| if signal > 0.3 { "1".into() } else { "0".into() });
    let counts = || noisy(|signal| (signal + 3.0).round().to_string());
    let of = |loss: Loss| ResolvedFit { loss, ..value(0.02) };
    let hinge = Loss::SquaredHinge { positive_class: Class::Number(1.0) };
    let cases = [
        (named(&PLAIN, 1.0, 0), value(0.02)),
        (named(&PLAIN, 1.0, 0), of(Loss::Huber { delta: 0.5 })),
        (classes(), of(logistic(Class::Number(1.0)))),
        (classes(), of(hinge)),
        (classes(), of(Loss::Multinomial)),
        (counts(), of(Loss::Poisson)),
    ];
    for (fixture, spec) in cases {
        let first = cold(&fixture, &spec);
        let warm = from(&fixture, &spec, &first, fixture.data.names.as_deref()).expect("a model");
        same(&warm, &first);
        assert!(work(&warm).0 < work(&first).0 && work(&warm).1 == 0 && work(&first).1 > 0, "{:?} {:?}", work(&warm), work(&first));
        assert_eq!((warm.card.started_from.as_deref(), first.card.started_from.as_deref()), (Some("m:1"), None));
    }
}

#[test]
fn coefficients_go_by_name_where_both_have_names_and_features_may_come_and_go() {
    let first = named(&PLAIN, 1.0, 0);
    let model = cold(&first, &value(0.02));
    // more rows; other columns, in another order, f5 gone
    let grown = named(&[7, 3, 0, 1, 6], 1.0, 40);
    let spec = value(0.02);
    let reference = cold(&grown, &spec);
    let by_name = from(&grown, &spec, &model, first.data.names.as_deref()).expect("a model");
    same(&by_name, &reference);
    let by_index = from(&grown, &spec, &model, None).expect("a model");
    same(&by_index, &reference);
    let begin =
        |names| super::super::warm::columns(&grown.data, &spec, Some(&Begin { model: &model, names })).expect("legal").expect("a start");
    let value_of = |feature: u32| model.values[model.indices.iter().position(|index| *index == feature).expect("in the model")];
    let (named, indexed) = (begin(first.data.names.as_deref()), begin(None));
    assert!(named.columns.is_sorted() && [1, 2].iter().all(|column| named.columns.contains(column)));
    let at = |point: &Point, column: u32| point.values[point.columns.iter().position(|j| *j == column).expect("there")];
    assert_eq!((at(&named, 1), at(&named, 2)), (value_of(3), value_of(0)));
    assert_eq!((at(&indexed, 0), at(&indexed, 3)), (value_of(0), value_of(3)));
}

#[test]
fn a_start_that_is_worse_than_none_is_none() {
    let data = named(&PLAIN, 1.0, 0);
    let mut astray = cold(&data, &value(0.02));
    astray.values.iter_mut().for_each(|value| *value *= -1e6);
    let (spec, reference) = (value(0.02), cold(&data, &value(0.02)));
    let warm = from(&data, &spec, &astray, None).expect("a model");
    assert_eq!((&warm.values, work(&warm)), (&reference.values, work(&reference)), "the way from the null model, to the bit");
    let counts = noisy(|signal| (signal + 3.0).round().to_string());
    let poisson = ResolvedFit { loss: Loss::Poisson, ..spec };
    same(&from(&counts, &poisson, &astray, None).expect("a model"), &cold(&counts, &poisson));
}

#[test]
fn a_path_of_given_values_begins_there_and_goes_on_with_the_same_bits() {
    let data = named(&PLAIN, 1.0, 0);
    let model = cold(&data, &value(0.03));
    let spec = at(Lambda::Values { values: vec![0.03, 0.02, 0.01, 0.005] });
    let begin = Some(Begin { model: &model, names: None });
    let interrupted = |parts: &[Vec<u8>], after: u64, kept: &Mutex<Vec<Vec<u8>>>| {
        let resume = Some(Checkpoint::read(parts, &data.data, &spec).expect("understood"));
        let calls = AtomicU64::new(0);
        let observe = |_: &Progress| match calls.fetch_add(1, Ordering::Relaxed) >= after {
            true => ControlFlow::Break(Leave::Nothing),
            false => ControlFlow::Continue(()),
        };
        let keep = |done: Done| {
            let mut part = Part::default();
            part.add(done);
            kept.lock().expect("no panic").push(part.encode(&fingerprint(&data.data, &spec)));
        };
        fit(&data.data, &spec, &Run { resume, begin, keep: &keep, ..Run::new(1, &observe) })
    };
    let whole = from(&data, &spec, &model, None).expect("a model");
    let alone = cold(&data, &spec);
    same(&whole, &alone);
    let mut reached = std::collections::HashSet::new();
    for after in 0..400 {
        let kept = Mutex::new(Vec::new());
        let first = interrupted(&[], after, &kept);
        let parts = kept.lock().expect("no panic").clone();
        reached.insert(parts.len());
        let then = interrupted(&parts, u64::MAX, &kept).expect("a model");
        assert!(then.encode() == whole.encode(), "after {after} looks");
        if first.is_ok() {
            break;
        }
    }
    assert!((0..4).all(|done| reached.contains(&done)), "interrupted before the first λ and after each: {reached:?}");
}

#[test]
fn a_path_from_the_largest_lambda_has_no_use_for_a_start() {
    let data = named(&PLAIN, 1.0, 0);
    let spec = at(Lambda::Path { n: 8, min_ratio: 0.01 });
    let whole = cold(&data, &spec);
    let model = cold(&data, &value(0.02));
    let warm = from(&data, &spec, &model, None).expect("a model");
    assert_eq!((&warm, &warm.card.started_from), (&whole, &None));
    // and one that is missing is missed only where it is used
    assert_eq!(run(&data, &spec).expect("a model"), whole);
    assert!(matches!(run(&data, &value(0.02)), Err(TrainError::Unfit { code: "not_found", .. })));
}
