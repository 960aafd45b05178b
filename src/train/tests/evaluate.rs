//! Evaluations: against what scikit-learn measures, of features that go by other names or numbers, and ended in the middle.

use serde_json::json;

use super::*;
use crate::model::{Model, sample};

/// A model of `width` features with these coefficients, fitted by nobody.
fn model_of(loss: &str, width: u64, coefficients: &[(u32, f64)], intercept: f64) -> LinearModel {
    let (indices, values): (Vec<u32>, Vec<f64>) = coefficients.iter().copied().filter(|(_, value)| *value != 0.0).unzip();
    let mut model = sample::model(&indices, &values);
    model.card.loss = loss.into();
    model.card.classes = (loss == "logistic").then(|| vec![Some(Class::Number(0.0)), Some(Class::Number(1.0))]);
    model.card.intercept = intercept;
    model.card.sparsity.n_features = width;
    model
}

fn measured(fixture: &Fixture, model: &LinearModel, names: Option<&Names>) -> Result<Evaluation, TrainError> {
    evaluate(&fixture.data, &Model::Linear(model.clone()), names, &|_| ControlFlow::Continue(()))
}

#[test]
fn measures_are_those_of_scikit_learn() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/references/metrics.json")).expect("cases");
    assert_eq!(cases.len(), 3);
    for case in cases {
        let fixture = dataset_of(&case["upload"].to_string());
        let coefficients: Vec<f64> = serde_json::from_value(case["coefficients"].clone()).expect("numbers");
        let loss = case["loss"].as_str().expect("a text");
        let pairs: Vec<(u32, f64)> = (0..).zip(coefficients.iter().copied()).collect();
        let model = model_of(loss, coefficients.len() as u64, &pairs, case["intercept"].as_f64().expect("a number"));
        let found = measured(&fixture, &model, None).expect("measures");
        let expected = case["metrics"].as_object().expect("an object");
        assert_eq!(found.metrics.as_object().expect("an object").len(), expected.len(), "{loss}: {}", found.metrics);
        for (name, value) in expected {
            let (found, expected) = (found.metrics[name].as_f64().expect("a number"), value.as_f64().expect("a number"));
            assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{loss} {name}: {found} for {expected}");
        }
        assert_eq!((found.rows, found.unknown_features, found.missing_features), (30, 0, 0));
        assert!(found.warnings.is_empty());
    }
}

#[test]
fn a_model_on_its_own_data_measures_what_its_card_says() {
    let fixture = noisy(|signal| i32::from(signal > 0.0).to_string());
    let spec = ResolvedFit { loss: logistic(Class::Number(1.0)), lambda: Lambda::Value { value: 0.05 }, ..spec() };
    let model = trained(&fixture, &spec);
    let found = measured(&fixture, &model, None).expect("measures").metrics;
    for name in ["deviance", "log_loss", "accuracy", "auc"] {
        let (found, card) = (found[name].as_f64().expect("a number"), model.card.metrics["train"][name].as_f64().expect("a number"));
        assert!((found - card).abs() < 1e-9, "{name}: {found} for {card}");
    }
}

#[test]
fn features_are_matched_by_name_or_by_number_and_what_does_not_match_is_counted() {
    let fitted = dataset_of(r#"{"format":"dense","feature_names":["a","b","c"],"values":[[1,2,3],[4,5,6]],"y":[1.5,2.5]}"#);
    let names = fitted.data.names.as_deref();
    let model = model_of("squared", 3, &[(0, 2.0), (1, -1.0), (2, 0.5)], 1.0);
    // the same rows under the same names in another order, with one feature more and one less
    let other = dataset_of(r#"{"format":"dense","feature_names":["z","b","a"],"values":[[9,2,1],[9,5,4]],"y":[1.5,2.5]}"#);
    let found = measured(&other, &model, names).expect("measures");
    assert_eq!((found.unknown_features, found.missing_features), (1, 1));
    let said: Vec<(&str, &[String])> = found.warnings.iter().map(|warning| (warning.code.as_str(), &warning.features[..])).collect();
    assert_eq!(said, [("unknown_features", &["z".to_owned()][..]), ("missing_features", &["c".to_owned()][..])]);
    // η = 1 + 2a − b: 1 and 4
    assert_eq!(found.metrics["mae"], json!(1.0));

    let narrow = dataset_of(r#"{"format":"dense","values":[[1,2],[4,5]],"y":[1.5,2.5]}"#);
    let found = measured(&narrow, &model, None).expect("measures");
    assert_eq!((found.unknown_features, found.missing_features, &found.metrics["mae"]), (0, 1, &json!(1.0)));
    let wide = dataset_of(r#"{"format":"dense","values":[[1,2,0,7,0],[4,5,0,7,0]],"y":[1.5,2.5]}"#);
    let found = measured(&wide, &model, None).expect("measures");
    assert_eq!(
        (found.unknown_features, found.missing_features, &found.metrics["mae"]),
        (1, 0, &json!(1.0)),
        "empty columns are no features"
    );
    assert!(matches!(measured(&narrow, &model, names), Err(TrainError::Unfit { code: "invalid_parameter", .. })));
}

#[test]
fn what_is_not_defined_is_null_and_what_is_not_finite_is_an_error() {
    let constant = dataset_of(r#"{"format":"dense","values":[[1],[2],[3]],"y":[1.5,1.5,1.5]}"#);
    let found = measured(&constant, &model_of("squared", 1, &[(0, 1.0)], 0.0), None).expect("measures").metrics;
    assert_eq!((&found["r2"], &found["score"], &found["mae"]), (&Value::Null, &Value::Null, &json!(2.5 / 3.0)));
    let one_class = dataset_of(r#"{"format":"dense","values":[[1],[2]],"y":[1,1],"weights":[1,0]}"#);
    let model = model_of("logistic", 1, &[(0, 1.0)], 0.0);
    let found = measured(&one_class, &model, None).expect("measures").metrics;
    assert_eq!((&found["auc"], &found["score"], &found["f1_macro"]), (&Value::Null, &Value::Null, &json!(1.0)));
    let code = |fixture: &Fixture, model: &LinearModel| match measured(fixture, model, None) {
        Err(TrainError::Unfit { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    let counts = dataset_of(r#"{"format":"dense","values":[[1],[2],[3]],"y":[1,2,4]}"#);
    assert_eq!(code(&counts, &model_of("poisson", 1, &[(0, 1000.0)], 0.0)), "numerical_error");
    let negative = dataset_of(r#"{"format":"dense","values":[[1],[2],[3]],"y":[1,2,-4]}"#);
    assert_eq!(code(&negative, &model_of("poisson", 1, &[(0, 1.0)], 0.0)), "invalid_target");
    let strange = dataset_of(r#"{"format":"dense","values":[[1],[2],[3]],"y":[0,1,2]}"#);
    assert_eq!(code(&strange, &model), "invalid_target", "a number that is no class");
    let mut rest = model;
    rest.card.classes = Some(vec![None, Some(Class::Number(1.0))]);
    assert_eq!(measured(&strange, &rest, None).expect("measures").rows, 3, "one class against the rest knows all");
}

#[test]
fn an_evaluation_can_be_ended_wherever_it_is() {
    let fixture = noisy(|signal| i32::from(signal > 0.0).to_string());
    let model = model_of("logistic", 6, &[(0, 2.0), (3, -1.0)], 0.1);
    let looks = AtomicU64::new(0);
    evaluate(&fixture.data, &Model::Linear(model.clone()), None, &|_| {
        looks.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    })
    .expect("measures");
    assert!(looks.load(Ordering::Relaxed) >= 2, "it looks up in each part");
    for last in 1..=looks.load(Ordering::Relaxed) {
        let left = AtomicU64::new(last);
        let ended = evaluate(&fixture.data, &Model::Linear(model.clone()), None, &|_| match left.fetch_sub(1, Ordering::Relaxed) {
            1 => ControlFlow::Break(Leave::Nothing),
            _ => ControlFlow::Continue(()),
        });
        assert_eq!(ended, Err(TrainError::Cancelled));
    }
}
