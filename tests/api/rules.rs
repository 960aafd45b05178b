//! Rules seen from outside: fitted like any model, told as conditions and sentences, and what is told is what predicts.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::data::{RECORDS, TINY};

const MODEL: &str = "/api/v1/models/m/versions/1";

async fn prices() -> TestApp {
    let app = TestApp::start().await;
    let json = [("content-type", "application/json")];
    app.send("POST", "/api/v1/datasets?name=prices", &json, RECORDS).await.expect(201);
    app
}

/// Fits, and gives version 1 as it is shown.
async fn made(app: &TestApp, dataset: &str, spec: Value) -> Value {
    let job = app.submit(dataset, spec).await.expect(202).json;
    app.work().await;
    let job = app.get(&format!("/api/v1/jobs/{}", job["id"].as_str().expect("an id"))).await.expect(200).json;
    assert_eq!((&job["status"], &job["result"]["model_version"]), (&json!("succeeded"), &json!("m:1")), "{job}");
    let model = app.get(MODEL).await.expect(200).json;
    assert_eq!((&job["result"]["lambda"], &job["result"]["rules"]), (&model["lambda"], &model["sparsity"]["size"]));
    model
}

/// η of a row by what `/rules` tells.
fn eta(rules: &Value, row: &Value) -> f64 {
    let held = |name: &Value| row[name.as_str().expect("a name")].as_f64().unwrap_or(0.0);
    let holds = |condition: &Value| {
        let (x, threshold) = (held(&condition["name"]), condition["threshold"].as_f64().expect("a number"));
        if condition["op"] == "<=" { x <= threshold } else { x > threshold }
    };
    let number = |value: &Value| value.as_f64().expect("a number");
    let all = |key: &str| rules[key].as_array().expect("a list").clone();
    let mut sum = number(&rules["intercept"]);
    for rule in all("data") {
        if rule["conditions"].as_array().expect("conditions").iter().all(holds) {
            sum += number(&rule["coefficient"]);
        }
    }
    let mut linear = all("linear");
    linear.sort_by_key(|term| term["feature"].as_u64());
    linear.iter().for_each(|term| sum += number(&term["coefficient"]) * held(&term["name"]));
    sum
}

#[tokio::test]
async fn rules_of_numbers_are_made_told_asked_and_measured() {
    let app = prices().await;
    let spec =
        json!({ "kind": "rules", "n_trees": 30, "learning_rate": 0.1, "subsample": 1, "lambda": { "mode": "value", "value": 0.02 } });
    let model = made(&app, "prices", spec).await;
    assert_eq!((&model["kind"], &model["loss"], &model["classes"]), (&json!("rules"), &json!("squared"), &Value::Null));
    assert_eq!(model["certificate"]["status"], "certified");
    let rules = app.get(&format!("{MODEL}/rules")).await.expect(200).json;
    let (data, linear) = (rules["data"].as_array().expect("rules"), rules["linear"].as_array().expect("terms"));
    assert_eq!((data.len() as u64, linear.len() as u64), (rules["rules"].as_u64().unwrap(), rules["linear_terms"].as_u64().unwrap()));
    assert_eq!((&model["sparsity"]["rules"], &model["sparsity"]["linear_terms"]), (&rules["rules"], &rules["linear_terms"]));
    assert!(!data.is_empty(), "{rules}");
    let first = &data[0];
    let condition = &first["conditions"][0];
    let sign = if condition["op"] == "<=" { "≤" } else { ">" };
    let text = format!("{} {sign} {}", condition["name"].as_str().unwrap(), condition["threshold"]);
    assert!(first["text"].as_str().unwrap().starts_with(text.trim_end_matches(".0")), "{first}");
    let rows = [json!({ "area": 120, "rooms": 5, "town=Oslo": 1 }), json!({ "area": 30, "rooms": 1 }), json!({})];
    let asked: Vec<Value> = rows.iter().map(|row| json!({ "features": row })).collect();
    let told = app.post("/api/v1/models/m/predict", &json!({ "instances": asked })).await.expect(200).json;
    for (row, told) in rows.iter().zip(told["predictions"].as_array().expect("predictions")) {
        assert_eq!(told["prediction"], json!(eta(&rules, row)), "{row}");
    }
    let asked =
        json!({ "instances": [{ "features": rows[0] }], "output": ["linear_predictor", "contributions"], "top_contributions": 1000 });
    let told = app.post("/api/v1/models/m/predict", &asked).await.expect(200).json;
    let all = told["predictions"][0]["contributions"].as_array().expect("terms").clone();
    let whole: f64 = all.iter().map(|one| one["value"].as_f64().unwrap()).sum::<f64>() + rules["intercept"].as_f64().unwrap();
    assert!((whole - told["predictions"][0]["linear_predictor"].as_f64().unwrap()).abs() < 1e-9, "{told}");
    let texts: Vec<&Value> = data.iter().map(|rule| &rule["text"]).chain(linear.iter().map(|term| &term["name"])).collect();
    assert!(all.iter().all(|one| texts.contains(&&one["feature"])), "{all:?}");

    let evaluation = json!({ "type": "evaluate", "dataset": { "name": "prices" }, "spec": { "model": "m" } });
    let job = app.post("/api/v1/jobs", &evaluation).await.expect(202).json;
    app.work().await;
    let job = app.get(&format!("/api/v1/jobs/{}", job["id"].as_str().expect("an id"))).await.expect(200).json;
    let gap = job["result"]["metrics"]["mse"].as_f64().unwrap() - model["metrics"]["train"]["mse"].as_f64().unwrap();
    assert!(gap.abs() < 1e-9, "{job}");
    let certificate = app.get(&format!("{MODEL}/certificate")).await.expect(200).json;
    assert_eq!(certificate["relative_gap"], model["certificate"]["relative_gap"]);
    for (part, code) in [
        ("coefficients", "no_coefficients"),
        ("histogram", "no_coefficients"),
        ("stability", "no_stability"),
        ("tree", "no_tree"),
        ("cv", "no_cv"),
    ] {
        app.get(&format!("{MODEL}/{part}")).await.expect_problem(404, code);
    }
    app.get(&format!("{MODEL}/reproduce")).await.expect_problem(409, "conflict");
    app.post(&format!("{MODEL}/promote"), &json!({ "index": 0 })).await.expect_problem(404, "no_path");
    app.get(&format!("{MODEL}/path?coefficients=true")).await.expect_problem(422, "invalid_parameter");
    assert_eq!(app.get(&format!("{MODEL}/path")).await.expect(200).json["selected"], 0);
    app.submit("prices", json!({ "warm_start": "m", "lambda": { "mode": "value", "value": 0.1 } }))
        .await
        .expect_problem(422, "invalid_parameter");
    app.stop().await;
}

#[tokio::test]
async fn folds_choose_and_long_lists_come_in_pages() {
    let app = prices().await;
    let spec = json!({ "kind": "rules", "n_trees": 20, "learning_rate": 0.1, "subsample": 1, "lambda": { "mode": "path", "n": 10, "min_ratio": 0.01 },
        "selection": { "method": "cv", "folds": 4, "seed": 3 } });
    let model = made(&app, "prices", spec).await;
    let path = app.get(&format!("{MODEL}/path")).await.expect(200).json;
    let cv = app.get(&format!("{MODEL}/cv")).await.expect(200).json;
    assert_eq!((path["data"].as_array().map(Vec::len), cv["data"].as_array().map(Vec::len)), (Some(10), Some(10)));
    let selected = path["selected"].as_u64().expect("an index") as usize;
    assert_eq!((&cv["index_min"], &model["selection"]["index"]), (&json!(selected), &json!(selected)));
    assert_eq!(model["metrics"]["cv"]["deviance"], cv["data"][selected]["mean"]);
    assert_eq!(app.get(&format!("{MODEL}/cv/folds")).await.expect(200).json["data"].as_array().map(Vec::len), Some(8));
    let whole = app.get(&format!("{MODEL}/rules")).await.expect(200).json;
    let (mut data, mut linear) = (Vec::new(), Vec::new());
    let mut next = format!("{MODEL}/rules?limit=2");
    loop {
        let page = app.get(&next).await.expect(200).json;
        data.extend(page["data"].as_array().expect("rules").clone());
        linear.extend(page["linear"].as_array().expect("terms").clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("{MODEL}/rules?limit=2&cursor={cursor}");
    }
    assert_eq!((json!(data), json!(linear)), (whole["data"].clone(), whole["linear"].clone()));
    assert!(data.len() + linear.len() > 2, "{whole}");
    app.stop().await;
}

#[tokio::test]
async fn rules_of_two_classes_tell_probabilities_and_labels() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let spec = json!({ "kind": "rules", "n_trees": 10, "subsample": 1, "lambda": { "mode": "value", "value": 0.05 } });
    let model = made(&app, "tiny", spec).await;
    assert_eq!((&model["loss"], &model["classes"]), (&json!("logistic"), &json!([0, 1])));
    let asked = json!({ "instances": [[1, 0, 0], [0, 1, 0]] });
    let told = app.post("/api/v1/models/m/predict", &asked).await.expect(200).json;
    assert_eq!((&told["predictions"][0]["label"], &told["predictions"][1]["label"]), (&json!(1), &json!(0)), "{told}");
    let rules = app.get(&format!("{MODEL}/rules")).await.expect(200).json;
    let probability = 1.0 / (1.0 + (-eta(&rules, &json!({ "0": 1.0 }))).exp());
    assert!((told["predictions"][0]["probability"].as_f64().unwrap() - probability).abs() < 1e-12, "{told}");
    app.submit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202);
    app.work().await;
    app.get("/api/v1/models/m/versions/2/rules").await.expect_problem(404, "no_rules");
    app.stop().await;
}

#[tokio::test]
async fn every_wrong_word_is_told_with_its_place_and_leaves_no_job() {
    let app = prices().await;
    for (spec, pointer) in [
        (json!({ "kind": "rules", "max_leaves": 4 }), "#/spec/max_leaves"),
        (json!({ "kind": "rules", "mean_leaves": 1 }), "#/spec/mean_leaves"),
        (json!({ "kind": "rules", "selection": { "method": "aic" } }), "#/spec/selection/method"),
        (json!({ "kind": "rules", "selection": { "method": "cv", "folds": 9 } }), "#/spec/selection/folds"),
        (json!({ "kind": "rules", "loss": { "type": "multinomial" } }), "#/spec/loss/type"),
        (json!({ "kind": "rules", "weights": true }), "#/spec/weights"),
    ] {
        let problem = app.submit("prices", spec.clone()).await;
        assert_eq!((problem.status, &problem.json["errors"][0]["pointer"]), (422, &json!(pointer)), "{spec}: {}", problem.json);
    }
    app.submit("prices", json!({ "kind": "rules", "loss": { "type": "logistic" } })).await.expect_problem(422, "invalid_target");
    let body = json!({ "type": "fit", "model": "m", "dataset": { "name": "prices" }, "spec": { "kind": "rules" } });
    let validated = app.post("/api/v1/jobs?validate_only=true", &body).await.expect(200).json;
    assert_eq!((&validated["spec_resolved"]["n_trees"], &validated["spec_resolved"]["linear"]), (&json!(200), &json!(true)));
    assert!(validated["estimate"]["memory_mb"][1].as_f64() > Some(0.0));
    assert_eq!(app.get("/api/v1/jobs").await.expect(200).json["data"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn rules_have_pictures_a_report_and_a_place_in_comparisons() {
    let app = prices().await;
    let path = json!({ "mode": "path", "n": 8 });
    let selection = json!({ "method": "cv", "folds": 3 });
    let spec = json!({ "kind": "rules", "n_trees": 10, "learning_rate": 0.1, "subsample": 1, "lambda": path, "selection": selection });
    let model = made(&app, "prices", spec).await;
    for (plot, says) in [("path", "deviance"), ("cv", "3 folds"), ("tradeoff", "terms"), ("residuals", "all 8 rows")] {
        let svg = app.get(&format!("{MODEL}/plots/{plot}.svg")).await.expect(200);
        assert!(svg.text().contains(says), "{plot}: {}", svg.text());
    }
    app.get(&format!("{MODEL}/plots/histogram.svg")).await.expect_problem(404, "no_coefficients");
    app.get(&format!("{MODEL}/plots/tree.svg")).await.expect_problem(404, "no_tree");

    let report = app.get(&format!("{MODEL}/report")).await.expect(200).json;
    assert_eq!(
        (&report["kind"], &report["sparsity"], &report["certificate"]),
        (&json!("rules"), &model["sparsity"], &model["certificate"])
    );
    assert_eq!((&report["tradeoff"]["sizes"], &report["tradeoff"]["points"]), (&json!("terms"), &json!(8)));
    let terms = model["sparsity"]["rules"].as_u64().unwrap() + model["sparsity"]["linear_terms"].as_u64().unwrap();
    assert_eq!(report["features_total"], json!(terms));
    let page = app.send("GET", &format!("{MODEL}/report"), &[("accept", "text/html")], "").await.expect(200);
    assert!(page.text().contains("over rules with a lasso penalty") && page.text().contains("<svg"), "{}", page.text());

    let lasso = json!({ "type": "fit", "model": "lasso", "dataset": { "name": "prices" }, "spec": { "lambda": { "mode": "value", "value": 0.1 } } });
    app.post("/api/v1/jobs", &lasso).await.expect(202);
    app.work().await;
    let asked = json!({ "dataset": { "name": "prices" }, "spec": { "models": ["m", "lasso"], "twin": true } });
    let job = app.post("/api/v1/comparisons", &asked).await.expect(202).json;
    app.work().await;
    let found = app.get(&format!("/api/v1/comparisons/{}", job["id"].as_str().expect("an id"))).await.expect(200).json;
    let rows = found["data"].as_array().expect("rows");
    let told: Vec<_> = rows.iter().map(|row| (row["ref"].as_str().unwrap(), row["kind"].as_str().unwrap(), row["twin"] == true)).collect();
    assert_eq!(told, [("m:1", "rules", false), ("lasso:1", "linear", false), ("lasso:1", "linear", true)], "{found}");
    assert_eq!((&rows[0]["size"], &rows[0]["features_used"]), (&model["sparsity"]["size"], &model["sparsity"]["features_active"]));
    assert!(rows[0]["bytes_parameters"].as_u64().unwrap() > 0 && rows[0]["score"].is_number());
    assert!(found["warnings"].as_array().unwrap().iter().any(|warning| warning["code"] == "no_twin"), "{found}");
    app.stop().await;
}
