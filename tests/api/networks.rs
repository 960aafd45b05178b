//! Networks seen from outside: trained like any model, told layer by layer, pruned turn by turn, and what is left is what predicts.

use serde_json::{Value, json};

use crate::app::TestApp;

const JSON: (&str, &str) = ("content-type", "application/json");
const MODEL: &str = "/api/v1/models/m/versions/1";

/// 60 rows over 6 features of which two matter; three classes or two, by name.
async fn app_with_classes(two: bool) -> TestApp {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let rows: Vec<[f64; 6]> = (0..60).map(|_| std::array::from_fn(|_| random())).collect();
    let class = |row: &[f64; 6]| match 2.0 * row[0] - row[3] {
        low if low < -0.5 => "low",
        mid if mid < 0.5 && !two => "mid",
        _ => "high",
    };
    let y: Vec<&str> = rows.iter().map(class).collect();
    let body = json!({ "format": "dense", "values": rows, "y": y, "feature_names": ["a", "b", "c", "d", "e", "f"] });
    let app = TestApp::start().await;
    app.send("POST", "/api/v1/datasets?name=rows", &[JSON], body.to_string()).await.expect(201);
    app
}

fn spec() -> Value {
    json!({ "kind": "network", "hidden": [8, 4], "activation": "tanh", "optimizer": { "type": "adam", "learning_rate": 0.02 },
            "epochs": 60, "batch_size": 10, "early_stopping": { "fraction": 0.2, "patience": 20 } })
}

async fn trained(app: &TestApp) -> Value {
    let job = app.submit("rows", spec()).await.expect(202).json;
    ended(app, &job).await
}

async fn ended(app: &TestApp, job: &Value) -> Value {
    app.work().await;
    let job = app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json;
    assert_eq!((&job["status"], &job["progress"]["fraction"]), (&json!("succeeded"), &json!(1.0)), "{job}");
    job
}

fn pruning(spec: Value) -> Value {
    json!({ "type": "prune", "model": "small", "dataset": { "name": "rows" }, "spec": spec })
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test]
async fn a_network_is_trained_told_asked_and_measured() {
    let app = app_with_classes(true).await;
    let job = trained(&app).await;
    let (result, resolved) = (&job["result"], &job["spec_resolved"]);
    assert_eq!((&result["model_version"], &resolved["loss"]), (&json!("m:1"), &json!("logistic")));
    let times = result["layer_latency_us_p50"].as_array().expect("a time a layer");
    assert!(times.len() == 3 && times.iter().all(|time| number(time) >= 0.0), "{result}");
    assert!(number(&result["latency_us_p50"]) >= 0.0 && number(&result["epochs"]) >= number(&result["best_epoch"]), "{result}");
    let model = app.get(MODEL).await.expect(200).json;
    assert_eq!((&model["kind"], &model["hidden"], &model["classes"]), (&json!("network"), &json!([8, 4]), &json!(["high", "low"])));
    assert_eq!((&model["certificate"], &model["sparsity"]["weights"]), (&json!({ "status": "not_applicable" }), &json!(48 + 32 + 4)));
    assert_eq!((&model["sparsity"]["size"], &result["nonzeros"]), (&result["nonzeros"], &model["sparsity"]["nonzeros"]));
    assert_eq!(model["metrics"]["holdout"]["score"], result["score"]);
    assert!(number(&model["metrics"]["train"]["score"]) > 0.9, "{model}");

    let layers = app.get(&format!("{MODEL}/layers")).await.expect(200).json;
    assert_eq!((&layers["object"], layers["data"].as_array().map(Vec::len)), (&json!("layers"), Some(3)));
    assert_eq!((&layers["data"][0]["shape"], &layers["data"][0]["format"]), (&json!([6, 8]), &json!("dense")));

    // the same row in every form
    let asked = json!({ "instances": [{ "features": { "a": 0.9, "d": -0.5 } }, { "indices": [3, 0], "values": [-0.5, 0.9] }],
                        "output": ["probability", "label", "linear_predictor"] });
    let told = app.post("/api/v1/models/m/predict", &asked).await.expect(200).json;
    assert_eq!(told["predictions"][0], told["predictions"][1]);
    assert_eq!(told["predictions"][0]["label"], "high", "{told}");
    let csr = json!({ "csr": { "indptr": [0, 2], "indices": [0, 3], "values": [0.9, -0.5] } });
    let by_csr = app.post("/api/v1/models/m/predict", &csr).await.expect(200).json;
    assert_eq!(by_csr["predictions"][0]["probability"], told["predictions"][0]["probability"]);
    let contributions = json!({ "instances": [{ "features": {} }], "output": ["contributions"] });
    app.post("/api/v1/models/m/predict", &contributions).await.expect_problem(422, "invalid_parameter");

    let measured = json!({ "type": "evaluate", "dataset": { "name": "rows" }, "spec": { "model": "m:1" } });
    let measured = app.post("/api/v1/jobs", &measured).await.expect(202).json;
    let measured = ended(&app, &measured).await;
    let (train, held) = (number(&model["metrics"]["train"]["log_loss"]), number(&model["metrics"]["holdout"]["log_loss"]));
    let whole = number(&measured["result"]["metrics"]["log_loss"]);
    assert!((whole - (0.8 * train + 0.2 * held)).abs() < 1e-9, "{whole}");

    // trained again it is the same, to the last bit
    let again = trained(&app).await;
    assert_eq!((&again["result"]["score"], &again["result"]["model_version"]), (&result["score"], &json!("m:2")));
    let twice = app.post("/api/v1/models/m/predict", &asked).await.expect(200).json;
    assert_eq!(twice["predictions"], told["predictions"]);
    app.stop().await;
}

#[tokio::test]
async fn what_a_network_does_not_have_is_said() {
    let app = app_with_classes(false).await;
    trained(&app).await;
    for (what, code) in [
        ("coefficients", "no_coefficients"),
        ("histogram", "no_coefficients"),
        ("tree", "no_tree"),
        ("rules", "no_rules"),
        ("cv", "no_cv"),
        ("path", "no_path"),
        ("stability", "no_stability"),
        ("plots/path.svg", "no_coefficients"),
        ("plots/tradeoff.svg", "no_path"),
        ("plots/cv.svg", "no_plot"),
    ] {
        app.get(&format!("{MODEL}/{what}")).await.expect_problem(404, code);
    }
    app.post(&format!("{MODEL}/promote"), &json!({ "index": 0 })).await.expect_problem(404, "no_path");
    let told = app.post("/api/v1/models/m/predict", &json!({ "instances": [{ "features": { "a": 1 } }] })).await.expect(200).json;
    let sum: f64 = told["predictions"][0]["probabilities"].as_array().expect("three").iter().map(number).sum();
    assert!((sum - 1.0).abs() < 1e-12, "{told}");
    let report = app.get(&format!("{MODEL}/report")).await.expect(200).json;
    assert!(report["summary"].as_str().is_some_and(|text| text.contains("2 hidden layers")), "{report}");
    assert_eq!((&report["tradeoff"], report["features_total"].as_u64()), (&Value::Null, Some(6)));
    app.stop().await;
}

#[tokio::test]
async fn a_network_is_pruned_turn_by_turn_and_every_turn_can_be_promoted() {
    let app = app_with_classes(true).await;
    let fit = trained(&app).await["result"].clone();
    let base = app.get(MODEL).await.expect(200).json;
    let schedule = json!({ "steps": 4, "fine_tune_epochs": 3 });
    let asked = json!({ "base": "m", "method": "global_unstructured", "amount": 0.75, "schedule": schedule, "holdout_fraction": 0.2 });
    let queued = app.post("/api/v1/jobs", &pruning(asked)).await.expect(202).json;
    assert_eq!((&queued["spec_resolved"]["base"], &queued["spec_resolved"]["base_weights"]), (&json!("m:1"), &json!(84)));
    let job = ended(&app, &queued).await;
    let result = &job["result"];
    let small = "/api/v1/models/small/versions/1";
    let model = app.get(small).await.expect(200).json;
    let path = app.get(&format!("{small}/path")).await.expect(200).json;
    let rows = path["data"].as_array().expect("rows");
    assert_eq!((rows.len(), &path["selected"], &result["turn"]), (5, &json!(4), &json!(4)));
    // the same seed and share: the base is measured on the rows that its training held out
    assert_eq!((&rows[0]["score"], &rows[0]["nonzeros"], &rows[0]["sparsity_ratio"]), (&fit["score"], &json!(84), &json!(0.0)));
    assert!(rows.windows(2).all(|pair| number(&pair[0]["nonzeros"]) > number(&pair[1]["nonzeros"])), "{path}");
    assert!(number(&model["sparsity"]["nonzeros"]) <= 21.0 && number(&model["sparsity"]["sparsity_ratio"]) >= 0.75, "{model}");
    assert_eq!((&result["nonzeros_before"], &result["nonzeros"]), (&json!(84), &model["sparsity"]["nonzeros"]));
    assert!(number(&result["parameter_bytes"]) < number(&result["parameter_bytes_before"]), "{result}");
    assert!(number(&result["size_bytes"]) > 0.0 && result["latency_us_p50_before"].is_number(), "{result}");
    for when in ["layer_latency_us_p50", "layer_latency_us_p50_before"] {
        assert_eq!(result[when].as_array().map(Vec::len), result["layers"].as_array().map(Vec::len), "{when}: {result}");
    }
    assert_eq!((&model["pruned"]["base"], &model["pruned"]["score"]), (&json!("m:1"), &rows[4]["score"]));
    assert_eq!((&result["layers"], &model["sparsity"]["layers"]), (&model["sparsity"]["layers"], &result["layers"]));
    let after = app.get(MODEL).await.expect(200).json;
    assert_eq!(after, base, "the base stays as it is");

    let first = app.post(&format!("{small}/promote"), &json!({ "index": 0 })).await.expect(201).json;
    assert_eq!((&first["promoted_from"], &first["sparsity"]["nonzeros"]), (&json!("small:1"), &json!(84)));
    let row = json!({ "instances": [{ "features": { "a": -0.75, "e": 0.5 } }], "output": ["linear_predictor"] });
    let told = async |model: &str| app.post(&format!("/api/v1/models/{model}/predict"), &row).await.expect(200).json["predictions"].clone();
    assert_eq!(told("small:2").await, told("m:1").await, "row 0 is the base");
    assert_ne!(told("small:1").await, told("m:1").await);

    let svg = app.get(&format!("{small}/plots/tradeoff.svg")).await.expect(200).text();
    assert!(svg.contains("non-zero weights"), "{svg}");
    let report = app.get(&format!("{small}/report")).await.expect(200).json;
    assert_eq!((&report["tradeoff"]["sizes"], &report["tradeoff"]["points"]), (&json!("non-zero weights"), &json!(5)));
    assert_eq!(report["tradeoff"]["dense"]["what"], "unpruned network");
    let marks = report["tradeoff"]["marks"].as_array().expect("marks");
    assert!(marks.iter().any(|mark| mark["name"] == "selected" && mark["index"] == 4), "{report}");

    let compared = json!({ "dataset": { "name": "rows" }, "spec": { "models": ["small:1"], "twin": true } });
    let compared = app.post("/api/v1/comparisons", &compared).await.expect(202).json;
    let compared = ended(&app, &compared).await;
    let data = compared["result"]["data"].as_array().expect("models");
    assert_eq!((data.len(), &data[1]["twin"], &data[1]["size"]), (2, &json!(true), &json!(84)), "{compared}");
    assert_eq!((&data[0]["size"], &data[0]["kind"]), (&model["sparsity"]["nonzeros"], &json!("network")));
    app.stop().await;
}

#[tokio::test]
async fn what_a_network_and_its_pruning_cannot_be_is_refused_and_leaves_nothing() {
    let app = app_with_classes(true).await;
    trained(&app).await;
    app.submit("rows", json!({ "kind": "tree", "pruning": { "mode": "none" } })).await.expect(202);
    app.work().await;
    let refused = async |body: &Value, code: &str, pointer: &str| {
        let answer = app.post("/api/v1/jobs", body).await.expect_problem(422, code);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{}", answer.text());
    };
    let fit = |spec: Value| json!({ "type": "fit", "model": "n", "dataset": { "name": "rows" }, "spec": spec });
    refused(&fit(json!({ "kind": "network", "hidden": [0] })), "invalid_parameter", "#/spec/hidden/0").await;
    refused(&fit(json!({ "kind": "network", "loss": "squared" })), "invalid_target", "#/spec/loss").await;
    refused(&fit(json!({ "kind": "network", "folds": 5 })), "unknown_field", "#/spec/folds").await;
    let inputs = |base: &str, amount: f64| pruning(json!({ "base": base, "method": "inputs", "amount": amount }));
    refused(&inputs("m:2", 1.0), "invalid_parameter", "#/spec/base").await;
    refused(&inputs("m:1", 6.0), "invalid_parameter", "#/spec/amount").await;
    let absent = app.post("/api/v1/jobs", &inputs("m:9", 1.0)).await.expect_problem(404, "not_found");
    assert_eq!(absent.json["errors"][0]["pointer"], "#/spec/base");
    refused(&pruning(json!({ "base": "m:1", "method": "ccp", "target_leaves": 2 })), "invalid_parameter", "#/spec/base").await;
    app.get("/api/v1/models/n").await.expect(404);
    app.stop().await;
}
