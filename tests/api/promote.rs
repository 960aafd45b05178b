//! Promotion, from outside: another point of the path becomes a version with a certificate of its own.

use serde_json::{Value, json};
use sparsefit::access::Quotas;
use sparsefit::config::Limits;

use crate::app::{TestApp, doubles};
use crate::data::{TINY, with_model};

const PROMOTE: &str = "/api/v1/models/m/versions/1/promote";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A server with a path of ten λ as version 1 of `m`.
async fn with_path(limits: Limits) -> TestApp {
    let app = TestApp::start_with(limits).await;
    let rows: String = (0..40).map(|i| format!("{} 1:{} 2:{} 3:{}\n", i % 7 + i / 10, i % 7, i / 10, (i * 5) % 3)).collect();
    app.upload("path", &rows).await.expect(201);
    let spec = json!({ "lambda": { "mode": "path", "n": 10, "min_ratio": 0.001 }, "selection": { "method": "cv", "folds": 4 } });
    app.submit("path", spec).await.expect(202);
    app.work().await;
    app
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[tokio::test]
async fn a_point_of_the_path_becomes_a_certified_version() {
    let app = with_path(Limits::default()).await;
    let path = app.get("/api/v1/models/m/versions/1/path?coefficients=true").await.expect(200);
    assert!(app.get("/api/v1/models/m/versions/1/path").await.expect(200).json.get("coefficients").is_none(), "only when asked for");
    let block = &path.json["coefficients"];
    let row = |index: usize| {
        let at = |i: usize| block["indptr"][i].as_u64().expect("a place") as usize;
        let part = |key: &str| block[key].as_array().expect("an array")[at(index)..at(index + 1)].to_vec();
        (part("indices"), part("values"))
    };
    assert_eq!((&block["shape"], block["indptr"].as_array().map(Vec::len)), (&json!([10, 3]), Some(11)));
    // the row of the model is the model
    let selected = path.json["selected"].as_u64().expect("a place") as usize;
    let own = app.get("/api/v1/models/m/versions/1/coefficients?sort=index").await.expect(200).json;
    assert_eq!((json!(row(selected).0), json!(row(selected).1)), (own["indices"].clone(), own["values"].clone()));

    let keyed = [JSON, ("idempotency-key", "p-1")];
    let made = app.send("POST", PROMOTE, &keyed, r#"{"index":2}"#).await.expect(201);
    assert_eq!(made.header("location"), "/api/v1/models/m/versions/2");
    let again = app.send("POST", PROMOTE, &keyed, r#"{"index":2}"#).await.expect(201);
    assert_eq!((&again.json, again.header("idempotency-replayed")), (&made.json, "true"));
    app.send("POST", PROMOTE, &keyed, r#"{"index":3}"#).await.expect_problem(422, "idempotency_key_reused");

    let model = app.get(made.header("location")).await.expect(200).json;
    assert_eq!(doubles(&model), doubles(&made.json));
    assert_eq!((&model["promoted_from"], &model["certificate"]["status"]), (&json!("m:1"), &json!("certified")));
    let (table, fitted) = (&path.json["data"][2], app.get("/api/v1/models/m/versions/1").await.expect(200).json);
    assert_eq!((&model["lambda"], &model["sparsity"]["nonzeros"]), (&table["lambda"], &table["nonzeros"]));
    assert!((number(&model["metrics"]["train"]["deviance_ratio"]) - number(&table["deviance_ratio"])).abs() < 1e-12);
    assert_eq!(model["metrics"]["cv"]["deviance"], table["cv_mean"]);
    assert_eq!((&model["job"], &model["dataset"], &model["lambda_max"]), (&fitted["job"], &fitted["dataset"], &fitted["lambda_max"]));
    let coefficients = app.get("/api/v1/models/m/versions/2/coefficients?sort=index").await.expect(200).json;
    assert_eq!((json!(row(2).0), json!(row(2).1)), (coefficients["indices"].clone(), coefficients["values"].clone()));
    assert_eq!(coefficients["intercept"], block["intercepts"][2]);
    let shown = app.get("/api/v1/models/m/versions/2/path").await.expect(200).json;
    assert_eq!((&shown["selected"], doubles(&shown["data"])), (&json!(2), doubles(&path.json["data"])));
    app.post("/api/v1/models/m/predict", &json!({ "instances": [[1, 0, 0]] })).await.expect(200);

    // The path is shared: promoted again from the promoted, also when the first version is gone and files were swept.
    app.delete("/api/v1/models/m/versions/1").await.expect(204);
    app.store().sweep(std::time::Duration::ZERO).await.expect("the store");
    let third = app.post("/api/v1/models/m/versions/2/promote", &json!({ "index": 9 })).await.expect(201).json;
    assert_eq!((&third["version"], &third["promoted_from"]), (&json!(3), &json!("m:2")));
    app.stop().await;
}

#[tokio::test]
async fn points_of_classes_and_of_an_adaptive_penalty_are_shown_and_promoted() {
    let app = TestApp::start().await;
    let rows: String = (0..60).map(|i| format!("{} 1:{} 2:{} 3:{}\n", (i % 7 + i / 10) / 4, i % 7, i / 10, (i * 5) % 3)).collect();
    app.send("POST", "/api/v1/datasets?name=three&target_kind=multiclass", &[("content-type", "text/libsvm")], rows).await.expect(201);
    let lambda = json!({ "mode": "path", "n": 8, "min_ratio": 0.01 });
    let spec = json!({ "lambda": lambda, "selection": { "method": "cv", "folds": 3 }, "penalty": { "type": "l1", "adaptive": {} } });
    app.submit("three", spec).await.expect(202);
    app.work().await;
    let block = app.get("/api/v1/models/m/versions/1/path?coefficients=true").await.expect(200).json["coefficients"].clone();
    assert_eq!(block["classes"].as_array().map(Vec::len), block["values"].as_array().map(Vec::len));
    let fitted = app.get("/api/v1/models/m/versions/1").await.expect(200).json;
    let made = app.post("/api/v1/models/m/versions/1/promote", &json!({ "index": 7 })).await.expect(201).json;
    assert_eq!((&made["intercepts"], &made["certificate"]["status"]), (&block["intercepts"][7], &json!("certified")));
    assert_eq!((&made["adaptive"], made["adaptive"].is_object()), (&fitted["adaptive"], true));
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_promoted_is_refused_with_its_reason() {
    let app = with_path(Limits::default()).await;
    let before = (app.stored().await, app.files().len());
    for (body, status, code) in [
        (r#"{"index":10}"#, 422, "invalid_parameter"),
        (r#"{"index":-1}"#, 422, "invalid_parameter"),
        ("{}", 422, "invalid_parameter"),
        (r#"{"index":1,"lambda":1}"#, 422, "unknown_field"),
        ("{", 400, "malformed_json"),
    ] {
        app.send("POST", PROMOTE, &[JSON], body).await.expect_problem(status, code);
    }
    app.send("POST", PROMOTE, &[], "{}").await.expect_problem(415, "unsupported_media_type");
    for path in ["/api/v1/models/m/versions/7/promote", "/api/v1/models/nobody/versions/1/promote"] {
        app.post(path, &json!({ "index": 0 })).await.expect_problem(404, "not_found");
    }
    app.delete("/api/v1/datasets/path/versions/1").await.expect(204);
    app.post(PROMOTE, &json!({ "index": 0 })).await.expect_problem(409, "conflict");
    assert_eq!(app.stored().await.as_array().map(Vec::len), before.0.as_array().map(Vec::len));
    assert_eq!(app.get("/api/v1/models/m").await.expect(200).json["versions"], json!([1]));
    app.stop().await;

    // a model that was registered without its path
    let app = TestApp::start().await;
    with_model(&app).await;
    app.post(PROMOTE, &json!({ "index": 0 })).await.expect_problem(404, "no_path");
    app.get("/api/v1/models/m/versions/1/path?coefficients=true").await.expect_problem(404, "no_path");
    app.get("/api/v1/models/m/versions/1/path?coefficients=maybe").await.expect_problem(422, "invalid_parameter");
    app.stop().await;

    let app = with_path(Limits { quota: Quotas { models: 1, ..Quotas::default() }, ..Limits::default() }).await;
    app.upload("tiny", TINY).await.expect(201);
    app.post(PROMOTE, &json!({ "index": 0 })).await.expect_problem(403, "quota_exceeded");
    app.stop().await;
}
