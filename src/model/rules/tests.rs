//! Rules as they are stored, told and asked.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{Model, PredictFormat, PredictLimits, PredictOptions, Predictor};
use super::*;
use crate::fault::Code;

const LIMITS: PredictLimits = PredictLimits { rows: 100, row_nnz: 200, index_max: (1 << 31) - 1 };
const LOW: f64 = f64::NEG_INFINITY;
const HIGH: f64 = f64::INFINITY;

fn model(rules: RuleList, linear: &[(u32, f64)], classes: Option<Vec<Option<Class>>>) -> RulesModel {
    let indices: Vec<u32> = linear.iter().map(|one| one.0).collect();
    let certificate = Certificate {
        status: CertificateStatus::Certified,
        primal: 0.5,
        dual: Some(0.5),
        gap: Some(0.0),
        relative_gap: Some(0.0),
        tol: 1e-6,
        tol_kind: "relative_gap".into(),
        max_kkt_violation: 0.0,
        kkt_feature: None,
        epochs: 3,
        full_passes: 2.0,
    };
    let row = |index: u64, lambda: f64| PathRow {
        index,
        lambda,
        nonzeros: index,
        deviance_ratio: 0.25,
        relative_gap: Some(0.0),
        cv_mean: None,
        cv_se: None,
        criterion: None,
    };
    let card = RulesCard {
        loss: if classes.is_some() { "logistic" } else { "squared" }.into(),
        classes,
        objective: "F".into(),
        lambda: 0.1,
        lambda_max: 1.0,
        intercept: 0.5,
        bracket: None,
        sparsity: RulesSparsity::of(&rules, &indices, 10, Candidates { rules: 20, linear_terms: 10 }),
        metrics: json!({"train": {"deviance": 0.5}}),
        selection: None,
        certificate,
        warnings: Vec::new(),
        engine: json!({"version": "0"}),
        promoted_from: None,
        distilled: None,
    };
    let values = linear.iter().map(|one| one.1).collect();
    let deviations = vec![1.0; indices.len()];
    RulesModel { card, rules, indices, values, deviations, path: vec![row(0, 1.0), row(1, 0.1)], cv: None }
}

/// x3 > 0.5: 2; −1 < x1 ≤ 4 and x3 ≤ 0.5: −1; and ¼·x5.
fn numbers() -> RulesModel {
    let mut rules = RuleList::default();
    rules.push(2.0, 0.25, [(3, 0.5, HIGH)]);
    rules.push(-1.0, 0.5, [(1, -1.0, 4.0), (3, LOW, 0.5)]);
    model(rules, &[(5, 0.25)], None)
}

fn answers(model: RulesModel, body: &str) -> Result<Value, (Code, String)> {
    let predictor = Predictor::new(Arc::new(Model::Rules(model)), None);
    let told = predictor.predict(body.as_bytes(), PredictFormat::Json, &PredictOptions::default(), &LIMITS);
    told.map(|all| serde_json::from_slice(&all.predictions_json).unwrap()).map_err(|fault| {
        let place = fault.places.first().cloned().unwrap_or_default();
        (fault.code, place.pointer.unwrap_or_default())
    })
}

#[test]
fn a_row_is_the_intercept_and_what_the_rules_that_hold_and_the_terms_add() {
    let body =
        r#"{"instances":[{"features":{}},{"indices":[3],"values":[1]},{"indices":[1,5],"values":[4.5,2]},{"features":{"5":-4,"77":1}}]}"#;
    let told = |prediction: f64| json!({ "prediction": prediction });
    // what is absent is 0, and 0 fulfils both conditions of the second rule
    assert_eq!(answers(numbers(), body).unwrap(), json!([told(-0.5), told(2.5), told(1.0), told(-1.5)]));
    let body = r#"{"instances":[{"indices":[3,5],"values":[0.25,8]}],"output":["linear_predictor","contributions","unknown"]}"#;
    let contributions = json!([{"feature": "5", "value": 2.0}, {"feature": "1 > -1 and 1 ≤ 4 and 3 ≤ 0.5", "value": -1.0}]);
    assert_eq!(answers(numbers(), body).unwrap(), json!([{"linear_predictor": 1.5, "contributions": contributions, "unknown": 0}]));
    let refused = answers(numbers(), r#"{"instances":[[1]],"output":["leaf"]}"#);
    assert_eq!(refused, Err((Code::InvalidParameter, "#/output/0".into())));
}

#[test]
fn of_classes_the_probability_and_the_label_are_told() {
    let classes = Some(vec![Some(Class::Text("no".into())), Some(Class::Text("yes".into()))]);
    let sides = RulesModel { card: model(numbers().rules, &[(5, 0.25)], classes).card, ..numbers() };
    let told = answers(sides, r#"{"instances":[{"features":{"3":1}},{"features":{"5":2}}]}"#).unwrap();
    assert_eq!(told[0], json!({"probability": 1.0 / (1.0 + (-2.5_f64).exp()), "label": "yes"}));
    assert_eq!(told[1], json!({"probability": 0.5, "label": "yes"}));
}

#[test]
fn size_importance_and_text_are_those_counted_by_hand() {
    let model = numbers();
    let sparsity = &model.card.sparsity;
    assert_eq!((sparsity.size, sparsity.rules, sparsity.linear_terms, sparsity.conditions), (2, 2, 1, 4));
    assert_eq!((sparsity.features_active, sparsity.sparsity_ratio, model.features_used()), (3, 0.7, vec![1, 3, 5]));
    assert_eq!((model.importance(0), model.importance(1)), (2.0 * (0.1875_f64).sqrt(), 0.5));
    let conditions = model.conditions(1, None);
    let told: Vec<(u32, &str, f64)> = conditions.iter().map(|one| (one.feature, one.op, one.threshold)).collect();
    assert_eq!(told, [(1, ">", -1.0), (1, "<=", 4.0), (3, "<=", 0.5)]);
    assert_eq!(model.text(0, None), "3 > 0.5");
}

#[test]
fn rules_survive_their_stored_form_and_every_cut_is_noticed() {
    let empty = model(RuleList::default(), &[], None);
    for original in [numbers(), empty, model(RuleList::default(), &[(1, 1.0), (2, -1.0), (9, 3.0)], None)] {
        assert_eq!(original.check(), Ok(()));
        let bytes = original.encode();
        assert_eq!(Model::decode(&bytes).unwrap(), Model::Rules(original.clone()));
        assert_eq!(original.encode(), bytes);
        for end in 0..bytes.len() {
            assert!(Model::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn what_is_no_rules_model_is_not_stored() {
    let changed = |change: &dyn Fn(&mut RulesModel)| {
        let mut model = numbers();
        change(&mut model);
        model.check()
    };
    assert!(changed(&|model| model.rules.coefficients[0] = f64::NAN).is_err());
    assert!(changed(&|model| model.rules.coefficients[0] = 0.0).is_err());
    assert!(changed(&|model| model.rules.supports[0] = 1.5).is_err());
    assert!(changed(&|model| model.rules.features[0] = 10).is_err());
    assert!(changed(&|model| model.rules.highs[1] = -1.0).is_err());
    assert!(changed(&|model| model.rules.lows[0] = f64::NEG_INFINITY).is_err());
    assert!(changed(&|model| model.rules.starts[1] = 0).is_err());
    assert!(changed(&|model| model.values[0] = f64::INFINITY).is_err());
    assert!(changed(&|model| model.indices[0] = 10).is_err());
    assert!(changed(&|model| model.card.intercept = f64::NAN).is_err());
    assert!(changed(&|model| model.card.sparsity.rules = 1).is_err());
}

proptest! {
    #[test]
    fn a_prediction_is_the_sum_over_all_rules_looked_at_one_by_one(
        rules in proptest::collection::vec((proptest::collection::btree_map(0..6u32, (-3..3i8, 0..4i8, 0..3u8), 1..4), -4..5i8), 0..12),
        linear in proptest::collection::btree_map(0..6u32, 1..5i8, 0..4),
        rows in proptest::collection::vec(proptest::collection::btree_map(0..8u32, -4..5i8, 0..7), 1..8),
    ) {
        let mut list = RuleList::default();
        for (conditions, coefficient) in rules.iter().filter(|rule| rule.1 != 0) {
            let bounds = conditions.iter().map(|(&feature, &(low, wide, open))| {
                let (low, high) = (f64::from(low) - 0.5, f64::from(low + wide) + 0.5);
                (feature, if open == 1 { LOW } else { low }, if open == 2 { HIGH } else { high })
            });
            list.push(f64::from(*coefficient), 0.5, bounds);
        }
        let linear: Vec<(u32, f64)> = linear.into_iter().map(|(feature, value)| (feature, f64::from(value))).collect();
        let model = model(list.clone(), &linear, None);
        let instances: Vec<Value> = rows
            .iter()
            // any order is the same row
            .map(|row| json!({"indices": row.keys().rev().collect::<Vec<_>>(), "values": row.values().rev().collect::<Vec<_>>()}))
            .collect();
        let told = answers(model, &json!({"instances": instances}).to_string()).unwrap();
        for (row, told) in rows.iter().zip(told.as_array().unwrap()) {
            let x = |feature: u32| row.get(&feature).map_or(0.0, |value| f64::from(*value));
            let mut sum = 0.5;
            for rule in 0..list.len() {
                if list.range(rule).all(|at| list.lows[at] < x(list.features[at]) && x(list.features[at]) <= list.highs[at]) {
                    sum += list.coefficients[rule];
                }
            }
            linear.iter().for_each(|(feature, value)| sum += value * x(*feature));
            prop_assert_eq!(told["prediction"].as_f64(), Some(sum));
        }
    }
}
