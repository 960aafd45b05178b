//! Losses of classes: which they are for which target.

use serde_json::json;

use super::*;

#[test]
fn many_classes_are_fitted_alike_and_two_are_when_asked() {
    let many = meta(TargetKind::Multiclass, &[1.0, 2.0, 3.0]);
    let fit = resolve(&json!({}), &many).unwrap();
    assert_eq!(fit.loss, Loss::Multinomial);
    assert!(fit.selection.splits().is_some_and(|splits| splits.stratify), "{:?}", fit.selection);
    assert_eq!(serde_json::to_value(&fit.loss).unwrap(), json!({"type": "multinomial"}));
    assert_eq!(resolve(&json!({"loss": {"type": "multinomial"}}), &binary()).unwrap().loss, Loss::Multinomial);
    let moved = Meta { offset: true, ..many.clone() };
    let (_, warnings) = parse(&job(&json!({}))).unwrap().fit().unwrap().resolve(&moved, None).unwrap();
    assert_eq!(warnings.iter().map(|warning| warning.code.as_str()).collect::<Vec<_>>(), ["offset_ignored"]);
    // memory and time grow with the classes
    let of = |meta: &Meta| estimate(meta, &resolve(&json!({}), meta).unwrap(), 2);
    let classes: Vec<f64> = (0..100).map(f64::from).collect();
    let hundred = of(&Meta { shape: [100_000, 200], ..meta(TargetKind::Multiclass, &classes) });
    let three = of(&Meta { shape: [100_000, 200], ..many });
    assert!(hundred.memory_mb[0] > 10.0 * three.memory_mb[0] && hundred.runtime_s[1] > 10.0 * three.runtime_s[1]);
}

#[test]
fn one_class_can_be_fitted_against_the_rest_of_any_target() {
    let many = meta(TargetKind::Multiclass, &[1.0, 2.0, 3.0]);
    for (class, meta) in [(2.0, &many), (7.5, &regression()), (3.0, &meta(TargetKind::Count, &[])), (-1.0, &binary())] {
        let fit = resolve(&json!({"loss": {"type": "logistic", "positive_class": class}}), meta).unwrap();
        assert_eq!(fit.loss, Loss::Logistic { positive_class: Class::Number(class) });
    }
    let mut truth = binary();
    truth.target.classes = Some(vec![Class::Text("false".into()), Class::Text("true".into())]);
    let fit = resolve(&json!({"loss": {"type": "logistic", "positive_class": true}}), &truth).unwrap();
    assert_eq!(fit.loss, Loss::Logistic { positive_class: Class::Text("true".into()) });
    let numbers = meta(TargetKind::Binary, &[0.0, 1.0]);
    let fit = resolve(&json!({"loss": {"type": "logistic", "positive_class": false}}), &numbers).unwrap();
    assert_eq!(fit.loss, Loss::Logistic { positive_class: Class::Number(0.0) });
}
