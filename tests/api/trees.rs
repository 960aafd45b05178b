//! Trees seen from outside: fitted like any model, and read by routes of their own.

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
    for key in ["ccp_alpha", "leaves", "depth"] {
        assert!(job["result"][key] == model[key] || job["result"][key] == model["sparsity"][key], "{key}: {job}");
    }
    model
}

#[tokio::test]
async fn a_tree_of_numbers_is_grown_shown_asked_and_measured() {
    let app = prices().await;
    let model = made(&app, "prices", json!({ "kind": "tree", "pruning": { "mode": "none" } })).await;
    assert_eq!((&model["kind"], &model["criterion"], &model["classes"]), (&json!("tree"), &json!("squared"), &Value::Null));
    assert_eq!((&model["sparsity"]["leaves"], &model["sparsity"]["size"], &model["ccp_alpha"]), (&json!(8), &json!(8), &json!(0.0)));
    assert_eq!((&model["certificate"]["status"], &model["metrics"]["train"]["r2"]), (&json!("not_applicable"), &json!(1.0)));
    let tree = app.get(&format!("{MODEL}/tree")).await.expect(200).json;
    let nodes = tree["nodes"].as_array().expect("nodes");
    assert_eq!((nodes.len(), &nodes[0]["name"], &nodes[0]["weight"]), (15, &json!("area"), &json!(8.0)));
    let root = nodes[0]["value"].as_f64().expect("a mean");
    assert!((root - 4.05).abs() < 1e-12, "{root}");
    // every row of the data comes to the leaf that holds its price
    let asked = json!({ "instances": [{ "features": { "area": 120, "rooms": 5, "town=Oslo": 1 } }, { "features": { "area": 30 } }], "output": ["prediction", "leaf"] });
    let told = app.post("/api/v1/models/m/predict", &asked).await.expect(200).json;
    assert_eq!((&told["predictions"][0]["prediction"], &told["predictions"][1]["prediction"]), (&json!(7.2), &json!(1.4)));
    let leaf = told["predictions"][0]["leaf"].as_u64().expect("a node") as usize;
    assert_eq!((&nodes[leaf]["value"], &nodes[leaf]["left"]), (&json!(7.2), &Value::Null));
    let importances = tree["importances"].as_array().expect("features");
    let whole: f64 = importances.iter().map(|one| one["importance"].as_f64().expect("a share")).sum();
    assert!((whole - 1.0).abs() < 1e-12 && importances[0]["name"] == "area", "{importances:?}");
    let evaluation = json!({ "type": "evaluate", "dataset": { "name": "prices" }, "spec": { "model": "m" } });
    let job = app.post("/api/v1/jobs", &evaluation).await.expect(202).json;
    app.work().await;
    let job = app.get(&format!("/api/v1/jobs/{}", job["id"].as_str().expect("an id"))).await.expect(200).json;
    assert_eq!((&job["result"]["metrics"]["mse"], &job["result"]["metrics"]["score"]), (&json!(0.0), &json!(1.0)), "{job}");
    for part in ["coefficients", "histogram", "stability"] {
        let answer = app.get(&format!("{MODEL}/{part}")).await;
        let code = if part == "stability" { "no_stability" } else { "no_coefficients" };
        answer.expect_problem(404, code);
    }
    app.get(&format!("{MODEL}/cv")).await.expect_problem(404, "no_cv");
    app.get(&format!("{MODEL}/reproduce")).await.expect_problem(409, "conflict");
    assert_eq!(app.get(&format!("{MODEL}/certificate")).await.expect(200).json["status"], "not_applicable");
    app.stop().await;
}

#[tokio::test]
async fn folds_choose_a_pruning_and_any_other_is_promoted_without_the_data() {
    let app = prices().await;
    let pruning = json!({ "mode": "cv", "folds": 4, "seed": 3, "rule": "1se" });
    let model = made(&app, "prices", json!({ "kind": "tree", "pruning": pruning })).await;
    let path = app.get(&format!("{MODEL}/path")).await.expect(200).json;
    let rows = path["data"].as_array().expect("rows");
    let leaves: Vec<u64> = rows.iter().map(|row| row["leaves"].as_u64().expect("a count")).collect();
    assert!(leaves[0] == 8 && *leaves.last().expect("a row") == 1 && leaves.windows(2).all(|pair| pair[0] > pair[1]), "{leaves:?}");
    let scores: Vec<f64> = rows.iter().map(|row| row["train_score"].as_f64().expect("a score")).collect();
    assert!(scores[0] == 1.0 && scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
    let selected = path["selected"].as_u64().expect("an index") as usize;
    let cv = app.get(&format!("{MODEL}/cv")).await.expect(200).json;
    assert_eq!((&cv["metric"], &cv["index_1se"], cv["data"].as_array().map(Vec::len)), (&json!("mse"), &json!(selected), Some(rows.len())));
    assert_eq!((&model["selection"]["rule"], &model["sparsity"]["leaves"]), (&json!("1se"), &rows[selected]["leaves"]));
    assert_eq!(model["metrics"]["cv"]["mse"], rows[selected]["cv_mean"]);
    let folds = app.get(&format!("{MODEL}/cv/folds")).await.expect(200).json;
    assert_eq!(folds["data"].as_array().map(Vec::len), Some(8));

    app.delete("/api/v1/datasets/prices/versions/1").await.expect(204);
    let second = app.post(&format!("{MODEL}/promote"), &json!({ "index": rows.len() - 2 })).await.expect(201).json;
    assert_eq!(
        (&second["version"], &second["promoted_from"], &second["sparsity"]["leaves"]),
        (&json!(2), &json!("m:1"), &json!(leaves[leaves.len() - 2]))
    );
    assert_eq!(second["metrics"]["train"]["score"], json!(scores[scores.len() - 2]));
    let whole = app.post(&format!("{MODEL}/promote"), &json!({ "index": 0 })).await.expect(201).json;
    assert!(second["size_bytes"].as_u64() < whole["size_bytes"].as_u64(), "what was pruned is gone: {second}");
    let tree = app.get("/api/v1/models/m/versions/2/tree").await.expect(200).json;
    assert_eq!(tree["nodes"].as_array().map(Vec::len), Some(2 * leaves[leaves.len() - 2] as usize - 1));
    let path = app.get("/api/v1/models/m/versions/2/path").await.expect(200).json;
    assert_eq!(path["selected"], json!(rows.len() - 2));
    app.post(&format!("{MODEL}/promote"), &json!({ "index": rows.len() })).await.expect_problem(422, "invalid_parameter");
    app.get(&format!("{MODEL}/path?coefficients=true")).await.expect_problem(422, "invalid_parameter");
    app.stop().await;
}

#[tokio::test]
async fn a_tree_of_classes_tells_shares_and_labels() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let model =
        made(&app, "tiny", json!({ "kind": "tree", "criterion": "entropy", "pruning": { "mode": "target_leaves", "target_leaves": 2 } }))
            .await;
    assert_eq!((&model["criterion"], &model["classes"], &model["sparsity"]["leaves"]), (&json!("entropy"), &json!([0, 1]), &json!(2)));
    let asked = json!({ "instances": [[1, 0, 0], [0, 1, 0]] });
    let told = app.post("/api/v1/models/m/predict", &asked).await.expect(200).json;
    assert_eq!(told["predictions"], json!([{ "probability": 1.0, "label": 1 }, { "probability": 0.0, "label": 0 }]));
    let refused = json!({ "instances": [[1, 0, 0]], "output": ["contributions"] });
    app.post("/api/v1/models/m/predict", &refused).await.expect_problem(422, "invalid_parameter");
    // a linear fit cannot begin at it
    let warm = json!({ "warm_start": "m", "lambda": { "mode": "value", "value": 0.1 } });
    app.submit("tiny", warm).await.expect_problem(422, "invalid_parameter");
    app.get("/api/v1/models/m/versions/1/tree").await.expect(200);
    app.submit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202);
    app.work().await;
    app.get("/api/v1/models/m/versions/2/tree").await.expect_problem(404, "no_tree");
    app.stop().await;
}

#[tokio::test]
async fn every_wrong_word_is_told_with_its_place_and_leaves_no_job() {
    let app = prices().await;
    for (spec, pointer) in [
        (json!({ "kind": "forest" }), "#/spec/kind"),
        (json!({ "kind": "tree", "lambda": 1 }), "#/spec/lambda"),
        (json!({ "kind": "tree", "max_depth": 0 }), "#/spec/max_depth"),
        (json!({ "kind": "tree", "pruning": { "mode": "cv", "folds": 9 } }), "#/spec/pruning/folds"),
        (json!({ "kind": "tree", "pruning": { "mode": "cv", "stratify": true } }), "#/spec/pruning/stratify"),
        (json!({ "kind": "tree", "weights": true }), "#/spec/weights"),
    ] {
        let problem = app.submit("prices", spec.clone()).await;
        assert_eq!((problem.status, &problem.json["errors"][0]["pointer"]), (422, &json!(pointer)), "{spec}: {}", problem.json);
    }
    app.submit("prices", json!({ "kind": "tree", "criterion": "gini" })).await.expect_problem(422, "invalid_target");
    let body = json!({ "type": "fit", "model": "m", "dataset": { "name": "prices" }, "spec": { "kind": "tree" } });
    let validated = app.post("/api/v1/jobs?validate_only=true", &body).await.expect(200).json;
    assert_eq!(validated["spec_resolved"]["pruning"], json!({ "mode": "cv", "folds": 5, "stratify": false, "seed": 0, "rule": "min" }));
    assert!(validated["estimate"]["memory_mb"][1].as_f64() > Some(0.0));
    assert_eq!(app.get("/api/v1/jobs").await.expect(200).json["data"], json!([]));
    app.stop().await;
}
