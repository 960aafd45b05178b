//! The parameters stated for other libraries, against what those libraries find with them.

use serde_json::json;

use super::*;

#[test]
fn every_library_finds_the_same_coefficients_by_the_parameters_stated_for_it() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/references/equivalents.json")).expect("cases");
    assert!(cases.len() >= 72, "{}", cases.len());
    let mut compared = BTreeMap::new();
    for case in &cases {
        let upload = json!({ "format": "dense", "values": case["x"], "y": case["y"], "weights": case["weights"] });
        let fixture = dataset_of(&upload.to_string());
        let (loss, ratio) = (case["loss"].as_str().expect("a text"), case["l1_ratio"].as_f64().expect("a number"));
        let mut spec = ResolvedFit {
            loss: match loss {
                "squared" => Loss::Squared,
                "poisson" => Loss::Poisson,
                _ => logistic(Class::Number(1.0)),
            },
            lambda: Lambda::Value { value: case["lambda"].as_f64().expect("a number") },
            intercept: case["intercept"] == true,
            standardize: if case["standardize"] == true { Standardize::Scale } else { Standardize::None },
            ..spec()
        };
        spec.penalty.l1_ratio = L1Ratio::One(ratio);
        spec.solver.tol = 1e-13;
        let model = trained(&fixture, &spec);
        let stated = model.card.equivalents.as_object().expect("an object");
        let told = case["told"].as_object().expect("an object");
        let named: Vec<&String> =
            stated.iter().filter(|(name, value)| !value.is_null() && *name != "spark").map(|(name, _)| name).collect();
        let asked: Vec<&String> = told.keys().filter(|name| *name != "spark").collect();
        let about = format!("{loss} {ratio} {} {} {}", case["standardize"], case["intercept"], case["weights"].is_null());
        assert_eq!(named.iter().collect::<std::collections::BTreeSet<_>>(), asked.iter().collect(), "{about}");
        for (library, told) in told {
            let found = stated[library].as_object().expect("parameters");
            for (name, value) in told["parameters"].as_object().expect("parameters") {
                match value.as_f64() {
                    Some(number) => close(&[found[name].as_f64().expect("a number")], &[number]),
                    None => assert_eq!(&found[name], value, "{about} {library} {name}"),
                }
            }
            assert_eq!(found.len(), told["parameters"].as_object().map_or(0, |all| all.len()), "{about} {library}");
            let theirs: Vec<f64> = serde_json::from_value(told["coefficients"].clone()).expect("numbers");
            let mut ours = vec![0.0; theirs.len()];
            model.indices.iter().zip(&model.values).for_each(|(index, value)| ours[*index as usize] = *value);
            let far = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let far = far.max((model.card.intercept - told["intercept"].as_f64().expect("a number")).abs());
            assert!(far < 2e-5, "{about} {library}: {far:e} apart: {ours:?} for {theirs:?}");
            *compared.entry(library.as_str()).or_insert(0) += 1;
        }
    }
    for library in ["glmnet", "sklearn", "celer", "skglm"] {
        assert!(compared[library] >= 5, "{compared:?}");
    }
}
