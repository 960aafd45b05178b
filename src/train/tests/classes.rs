//! The multinomial loss from a stored data set to a model.

use super::*;

/// Three classes by the signal, as texts.
fn three() -> Fixture {
    let class = |signal: f64| match signal {
        signal if signal > 0.7 => "\"high\"",
        signal if signal < -0.7 => "\"low\"",
        _ => "\"mid\"",
    };
    noisy(|signal| class(signal).into())
}

fn multinomial() -> ResolvedFit {
    let solver = Solver { tol: 1e-8, ..spec().solver };
    ResolvedFit { loss: Loss::Multinomial, solver, ..path_with_cv(Rule::Min) }
}

#[test]
fn a_model_has_coefficients_and_an_intercept_for_each_class() {
    let model = trained(&three(), &multinomial());
    let card = &model.card;
    let text = |class: &str| Some(Class::Text(class.into()));
    assert_eq!((card.loss.as_str(), &card.classes), ("multinomial", &Some(vec![text("high"), text("low"), text("mid")])));
    let intercepts = card.intercepts.as_ref().expect("intercepts");
    assert!(intercepts.len() == 3 && intercepts.iter().sum::<f64>().abs() < 1e-12 && card.intercept == 0.0, "{intercepts:?}");
    assert!(card.objective.contains("Σ_k") && card.objective.contains("log Σ_k e^{η_k} − η_y"), "{}", card.objective);
    assert_eq!(card.sparsity.nonzeros as usize, model.values.len());
    let mut used = model.indices.clone();
    used.dedup();
    assert_eq!(card.sparsity.features_active, Some(used.len() as u64));
    assert!(used.contains(&0) && used.contains(&3), "{used:?}");
    let train = &card.metrics["train"];
    assert!(train["accuracy"].as_f64() > Some(0.8) && train["f1_macro"].as_f64() > Some(0.75), "{train}");
    assert_eq!(train["log_loss"].as_f64().map(|loss| 2.0 * loss), train["deviance"].as_f64());
    let cv = model.cv.as_ref().expect("folds");
    assert!(cv.stratify && cv.rows[cv.index_min as usize].mean < 0.7 * cv.rows[0].mean, "{:?}", cv.rows);
    let alone = fit(&three().data, &multinomial(), &Run::new(1, &|_| ControlFlow::Continue(())));
    assert_eq!(alone.expect("a model"), model);
    let plain =
        ResolvedFit { standardize: Standardize::None, lambda: Lambda::Value { value: 0.02 }, selection: Selection::None, ..multinomial() };
    let equal = trained(&three(), &plain).card.equivalents;
    close(&[equal["sklearn"]["C"].as_f64().expect("a number")], &[1.0 / (60.0 * 0.02)]);
    assert_eq!((&equal["glmnet"]["lambda"], &equal["spark"]["regParam"]), (&0.02.into(), &0.02.into()));
}

#[test]
fn a_wanted_number_of_nonzeros_counts_every_class() {
    let wanted = ResolvedFit { lambda: Lambda::TargetNonzeros { k: 4 }, selection: Selection::None, ..multinomial() };
    let model = trained(&three(), &wanted);
    assert_eq!((model.values.len(), model.card.sparsity.nonzeros), (4, 4));
}

#[test]
fn a_class_that_a_fold_leaves_without_rows_is_an_error_of_the_job() {
    let rows: Vec<String> = (0..12).map(|i| format!("[{},{}]", i % 5, (i * 3) % 7)).collect();
    let y = r#""a","b","a","b","a","b","c","a","b","a","b","c""#;
    let weights = "1,1,1,1,1,1,0,1,1,1,1,1";
    let data = dataset_of(&format!(r#"{{"format":"dense","values":[{}],"y":[{y}],"weights":[{weights}]}}"#, rows.join(",")));
    match run(&data, &multinomial()) {
        Err(TrainError::Unfit { code: "invalid_target", detail }) => assert!(detail.contains("a class has no row left"), "{detail}"),
        other => panic!("{other:?}"),
    }
    let data = dataset_of(&format!(
        r#"{{"format":"dense","values":[{}],"y":[{y}],"weights":[{}]}}"#,
        rows.join(","),
        weights.replace(",1,1,1,1,1", ",1,1,1,1,0")
    ));
    match run(&data, &ResolvedFit { selection: Selection::None, ..multinomial() }) {
        Err(TrainError::Unfit { code: "invalid_target", detail }) => assert!(detail.contains("no row with positive weight"), "{detail}"),
        other => panic!("{other:?}"),
    }
}
