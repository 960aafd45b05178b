//! Ensembles seen from outside: grown like any model, told, asked, measured, compared; what they do not have is said.

use serde_json::{Value, json};

use crate::app::TestApp;

const JSON: (&str, &str) = ("content-type", "application/json");
const MODEL: &str = "/api/v1/models/m/versions/1";

/// 120 rows over 5 features of which a product of two matters; as numbers, or as two or three classes by name.
async fn app_with(classes: usize) -> TestApp {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let rows: Vec<[f64; 5]> = (0..120).map(|_| std::array::from_fn(|_| random())).collect();
    let y = |row: &[f64; 5]| match (classes, 4.0 * row[0] * row[3] + row[1]) {
        (0, signal) => json!(signal),
        (_, low) if low < -0.5 => json!("low"),
        (3, mid) if mid < 0.5 => json!("mid"),
        _ => json!("high"),
    };
    let y: Vec<Value> = rows.iter().map(y).collect();
    let body = json!({ "format": "dense", "values": rows, "y": y, "feature_names": ["a", "b", "c", "d", "e"] });
    let app = TestApp::start().await;
    app.send("POST", "/api/v1/datasets?name=rows", &[JSON], body.to_string()).await.expect(201);
    app
}

fn spec() -> Value {
    json!({ "kind": "ensemble", "n_trees": 60, "max_leaves": 6, "min_leaf_weight": 3, "early_stopping": { "fraction": 0.2, "patience": 20 } })
}

async fn grown(app: &TestApp, spec: Value) -> Value {
    let job = app.submit("rows", spec).await.expect(202).json;
    ended(app, &job).await
}

async fn ended(app: &TestApp, job: &Value) -> Value {
    app.work().await;
    let job = app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json;
    assert_eq!((&job["status"], &job["progress"]["fraction"]), (&json!("succeeded"), &json!(1.0)), "{job}");
    job
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test]
async fn an_ensemble_is_grown_told_asked_measured_and_reported() {
    let app = app_with(2).await;
    let job = grown(&app, spec()).await;
    let (result, resolved) = (&job["result"], &job["spec_resolved"]);
    assert_eq!((&result["model_version"], &resolved["loss"], &resolved["learning_rate"]), (&json!("m:1"), &json!("logistic"), &json!(0.1)));
    assert_eq!(result["converged"], true);
    assert!(number(&result["rounds"]) >= number(&result["best_round"]) && result["latency_us_p50"].is_number(), "{result}");
    let model = app.get(MODEL).await.expect(200).json;
    assert_eq!((&model["kind"], &model["max_leaves"], &model["classes"]), (&json!("ensemble"), &json!(6), &json!(["high", "low"])));
    assert_eq!((&model["certificate"], &model["min_leaf_weight"]), (&json!({ "status": "not_applicable" }), &json!(3.0)));
    let sparsity = &model["sparsity"];
    assert_eq!((&sparsity["size"], &sparsity["n_trees"], &sparsity["depth"]), (&result["leaves"], &result["n_trees"], &result["depth"]));
    assert_eq!((&model["metrics"]["holdout"]["score"], &model["selection"]["best_round"]), (&result["score"], &result["best_round"]));
    assert!(number(&model["metrics"]["train"]["score"]) > 0.95 && number(&result["score"]) > 0.7, "{model}");

    // the same row in every form
    let asked = json!({ "instances": [{ "features": { "a": 0.9, "d": -0.8 } }, { "indices": [3, 0], "values": [-0.8, 0.9] }],
                        "output": ["probability", "label", "linear_predictor"] });
    let told = app.post("/api/v1/models/m/predict", &asked).await.expect(200).json;
    assert_eq!(told["predictions"][0], told["predictions"][1]);
    assert_eq!(told["predictions"][0]["label"], "low", "{told}");
    let eta = number(&told["predictions"][0]["linear_predictor"]);
    assert!((number(&told["predictions"][0]["probability"]) - 1.0 / (1.0 + (-eta).exp())).abs() < 1e-12, "{told}");
    let csr = json!({ "csr": { "indptr": [0, 2], "indices": [0, 3], "values": [0.9, -0.8] } });
    let by_csr = app.post("/api/v1/models/m/predict", &csr).await.expect(200).json;
    assert_eq!(by_csr["predictions"][0]["probability"], told["predictions"][0]["probability"]);
    let contributions = json!({ "instances": [{ "features": {} }], "output": ["contributions"] });
    app.post("/api/v1/models/m/predict", &contributions).await.expect_problem(422, "invalid_parameter");

    let measured = json!({ "type": "evaluate", "dataset": { "name": "rows" }, "spec": { "model": "m:1" } });
    let measured = app.post("/api/v1/jobs", &measured).await.expect(202).json;
    let measured = ended(&app, &measured).await;
    let (train, held) = (number(&model["metrics"]["train"]["log_loss"]), number(&model["metrics"]["holdout"]["log_loss"]));
    let held_out = model["selection"]["held_out_loss"].as_array().expect("losses");
    let best = result["best_round"].as_u64().expect("a round") as usize;
    assert!((number(&held_out[best]) - held).abs() < 1e-9, "{model}");
    let whole = number(&measured["result"]["metrics"]["log_loss"]);
    assert!(whole > train.min(held) - 1e-9 && whole < train.max(held) + 1e-9, "{train} {whole} {held}");

    let report = app.get(&format!("{MODEL}/report")).await.expect(200).json;
    assert!(report["summary"].as_str().is_some_and(|text| text.contains("boosted trees")), "{report}");
    assert_eq!((&report["tradeoff"]["sizes"], &report["tradeoff"]["measure"]), (&json!("leaves"), &json!("log_loss")));
    let marks = report["tradeoff"]["marks"].as_array().expect("marks");
    assert!(marks.iter().any(|mark| mark["name"] == "selected" && mark["index"] == result["best_round"]), "{report}");
    let features: Vec<&Value> = report["features"].as_array().expect("features").iter().map(|one| &one["name"]).collect();
    assert!(["a", "b", "d"].iter().all(|name| features[..3].contains(&&json!(name))), "{report}");
    let page = app.get(&format!("{MODEL}/report?format=html")).await.expect(200).text();
    assert!(page.contains("What it splits on") && page.contains("<svg"), "{page}");
    let svg = app.get(&format!("{MODEL}/plots/tradeoff.svg")).await.expect(200).text();
    assert!(svg.contains("log loss on rows held out"), "{svg}");
    app.get(&format!("{MODEL}/plots/calibration.svg")).await.expect(200);

    // grown again it is the same, to the last bit
    let again = grown(&app, spec()).await;
    assert_eq!((&again["result"]["score"], &again["result"]["model_version"]), (&result["score"], &json!("m:2")));
    let twice = app.post("/api/v1/models/m/predict", &asked).await.expect(200).json;
    assert_eq!(twice["predictions"], told["predictions"]);
    app.stop().await;
}

#[tokio::test]
async fn numbers_and_many_classes_are_boosted_and_compared_with_a_tree() {
    let app = app_with(0).await;
    grown(&app, spec()).await;
    grown(&app, json!({ "kind": "tree" })).await;
    let model = app.get(MODEL).await.expect(200).json;
    assert_eq!((&model["loss"], &model["classes"], model["base"].as_array().map(Vec::len)), (&json!("squared"), &Value::Null, Some(1)));
    app.get(&format!("{MODEL}/plots/residuals.svg")).await.expect(200);
    app.get(&format!("{MODEL}/plots/calibration.svg")).await.expect_problem(404, "no_plot");
    let asked = json!({ "dataset": { "name": "rows" }, "spec": { "models": ["m:1", "m:2"], "twin": true } });
    let queued = app.post("/api/v1/comparisons", &asked).await.expect(202).json;
    let compared = ended(&app, &queued).await;
    let data = compared["result"]["data"].as_array().expect("models");
    assert_eq!((&data[0]["kind"], &data[0]["size"], &data[0]["twin"]), (&json!("ensemble"), &model["sparsity"]["leaves"], &json!(false)));
    let tree = data.iter().find(|row| row["ref"] == "m:2").expect("the tree");
    assert!(number(&data[0]["score"]) > number(&tree["score"]), "{compared}");
    let warnings = compared["warnings"].as_array().expect("warnings");
    let said = |one: &Value| one["code"] == "no_twin" && one["detail"].as_str().is_some_and(|text| text.starts_with("m:1"));
    assert!(warnings.iter().any(said), "{compared}");
    app.stop().await;

    let app = app_with(3).await;
    let job =
        grown(&app, json!({ "kind": "ensemble", "n_trees": 20, "min_leaf_weight": 3, "subsample": 0.8, "early_stopping": null })).await;
    assert_eq!((&job["result"]["n_trees"], &job["result"]["score"]), (&json!(60), &Value::Null));
    let model = app.get(MODEL).await.expect(200).json;
    assert_eq!(
        (&model["loss"], &model["selection"], model["base"].as_array().map(Vec::len)),
        (&json!("multinomial"), &Value::Null, Some(3))
    );
    let told =
        app.post("/api/v1/models/m/predict", &json!({ "instances": [{ "features": { "a": 0.9, "d": 0.9 } }] })).await.expect(200).json;
    let probabilities = told["predictions"][0]["probabilities"].as_array().expect("three");
    assert!((probabilities.iter().map(number).sum::<f64>() - 1.0).abs() < 1e-12 && told["predictions"][0]["label"] == "high", "{told}");
    app.stop().await;
}

#[tokio::test]
async fn what_an_ensemble_does_not_have_is_said() {
    let app = app_with(2).await;
    grown(&app, json!({ "kind": "ensemble", "n_trees": 3, "early_stopping": null })).await;
    for (what, code) in [
        ("coefficients", "no_coefficients"),
        ("histogram", "no_coefficients"),
        ("tree", "no_tree"),
        ("rules", "no_rules"),
        ("layers", "no_layers"),
        ("cv", "no_cv"),
        ("path", "no_path"),
        ("stability", "no_stability"),
        ("plots/path.svg", "no_coefficients"),
        ("plots/tradeoff.svg", "no_path"),
        ("plots/cv.svg", "no_plot"),
        ("plots/tree.svg", "no_tree"),
    ] {
        app.get(&format!("{MODEL}/{what}")).await.expect_problem(404, code);
    }
    let told = app.get(&format!("{MODEL}/tree")).await;
    assert!(told.json["detail"].as_str().is_some_and(|text| text.starts_with("an ensemble model")), "{}", told.text());
    let certificate = app.get(&format!("{MODEL}/certificate")).await.expect(200).json;
    assert_eq!(certificate["status"], "not_applicable");
    app.post(&format!("{MODEL}/promote"), &json!({ "index": 0 })).await.expect_problem(404, "no_path");
    let report = app.get(&format!("{MODEL}/report")).await.expect(200).json;
    assert_eq!((&report["tradeoff"], &report["kind"]), (&Value::Null, &json!("ensemble")));
    app.stop().await;
}

#[tokio::test]
async fn what_an_ensemble_cannot_be_is_refused_and_leaves_nothing() {
    let app = app_with(2).await;
    let refused = async |body: Value, code: &str, pointer: &str| {
        let answer = app.post("/api/v1/jobs", &body).await.expect_problem(422, code);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{}", answer.text());
    };
    let fit = |spec: Value| json!({ "type": "fit", "model": "n", "dataset": { "name": "rows" }, "spec": spec });
    refused(fit(json!({ "kind": "ensemble", "n_trees": 0 })), "invalid_parameter", "#/spec/n_trees").await;
    refused(fit(json!({ "kind": "ensemble", "loss": "squared" })), "invalid_target", "#/spec/loss").await;
    refused(fit(json!({ "kind": "ensemble", "mean_leaves": 4 })), "unknown_field", "#/spec/mean_leaves").await;
    refused(fit(json!({ "kind": "ensemble", "weights": true })), "invalid_parameter", "#/spec/weights").await;
    let held = json!({ "kind": "ensemble", "early_stopping": { "fraction": 1 } });
    refused(fit(held), "invalid_parameter", "#/spec/early_stopping/fraction").await;
    app.get("/api/v1/models/n").await.expect(404);
    let valid = app.post("/api/v1/jobs?validate_only=true", &fit(json!({ "kind": "ensemble" }))).await.expect(200).json;
    assert_eq!((&valid["spec_resolved"]["n_trees"], &valid["spec_resolved"]["min_leaf_weight"]), (&json!(200), &Value::Null));
    let posted_again = app.submit("rows", valid["spec_resolved"].clone()).await.expect(202).json;
    assert_eq!(posted_again["spec_resolved"], valid["spec_resolved"]);
    ended(&app, &posted_again).await;
    let prune = json!({ "base": "m:1", "method": "ccp", "target_leaves": 2 });
    refused(json!({ "type": "prune", "model": "n", "dataset": { "name": "rows" }, "spec": prune }), "invalid_parameter", "#/spec/base")
        .await;
    refused(fit(json!({ "warm_start": "m:1" })), "invalid_parameter", "#/spec/warm_start").await;
    app.stop().await;
}
