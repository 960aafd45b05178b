//! Prunings seen from outside: a job that makes a smaller tree of a stored one, and says what that cost.

use serde_json::{Value, json};

use crate::app::{Answer, TestApp, doubles};
use crate::data::{RECORDS, TINY, with_model};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Homes that the tree was not grown on: columns in another order, a feature that it does not know, weights.
const LATER: &str = r#"{"format":"records","target":"price","weights":"w","records":[
  {"garden":1,"town":"Oslo","rooms":3,"area":70,"price":4.4,"w":1},{"town":"Bergen","rooms":1,"area":40,"price":2.1,"w":2},
  {"town":"Voss","rooms":4,"area":100,"price":4.9,"w":1},{"town":"Oslo","rooms":5,"area":130,"price":8.0,"w":1},
  {"town":"Bergen","rooms":2,"area":55,"price":2.9,"w":1},{"town":"Voss","rooms":1,"area":25,"price":99,"w":0}]}"#;

/// Version 1 of `m`: the whole tree of eight homes; and `later`.
async fn whole() -> TestApp {
    let app = TestApp::start().await;
    app.send("POST", "/api/v1/datasets?name=prices", &[JSON], RECORDS).await.expect(201);
    app.send("POST", "/api/v1/datasets?name=later", &[JSON], LATER).await.expect(201);
    app.submit("prices", json!({ "kind": "tree", "pruning": { "mode": "none" } })).await.expect(202);
    app.work().await;
    app
}

fn pruning(dataset: &str, spec: Value) -> Value {
    json!({ "type": "prune", "model": "small", "dataset": { "name": dataset }, "spec": spec })
}

async fn submit(app: &TestApp, dataset: &str, spec: Value) -> Answer {
    app.post("/api/v1/jobs", &pruning(dataset, spec)).await
}

/// The job as it is after all work is done.
async fn worked(app: &TestApp, job: &Value) -> Value {
    app.work().await;
    app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json
}

async fn done(app: &TestApp, dataset: &str, spec: Value) -> Value {
    let job = submit(app, dataset, spec).await.expect(202).json;
    let job = worked(app, &job).await;
    assert_eq!((&job["status"], &job["progress"]["fraction"]), (&json!("succeeded"), &json!(1.0)), "{job}");
    job
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test]
async fn a_stored_tree_becomes_a_smaller_model_and_everything_that_shrank_is_told() {
    let app = whole().await;
    let fit = app.get("/api/v1/jobs?type=fit").await.expect(200).json["data"][0]["result"].clone();
    assert_eq!((&fit["leaves"], &fit["leaves_before"], &fit["node_bytes"]), (&json!(8), &json!(8), &fit["node_bytes_before"]));
    assert!(number(&fit["latency_us_p50"]) >= 0.0 && number(&fit["latency_us_p50_before"]) >= 0.0, "{fit}");
    let before = app.get("/api/v1/models/m/versions/1").await.expect(200).json;

    let job = done(&app, "later", json!({ "base": "m@latest", "method": "ccp", "target_leaves": 3 })).await;
    assert_eq!(job["spec_resolved"]["base"], "m:1");
    let result = &job["result"];
    assert_eq!((&result["model_version"], &result["base"], &result["method"]), (&json!("small:1"), &json!("m:1"), &json!("ccp")), "{job}");
    assert_eq!((&result["leaves"], &result["leaves_before"], &result["size_bytes_before"]), (&json!(3), &json!(8), &before["size_bytes"]));
    assert!(number(&result["node_bytes"]) < number(&result["node_bytes_before"]), "{result}");
    assert!(number(&result["depth"]) <= number(&result["depth_before"]) && result["latency_us_p50"].is_number(), "{result}");

    let model = app.get("/api/v1/models/small/versions/1").await.expect(200).json;
    assert_eq!((&model["kind"], &model["sparsity"]["leaves"], &model["size_bytes"]), (&json!("tree"), &json!(3), &result["size_bytes"]));
    assert_eq!((&model["pruned"]["base"], &model["pruned"]["leaves_before"]), (&json!("m:1"), &json!(8)));
    assert_eq!(
        (&model["sparsity"]["node_bytes"], &before["sparsity"]["node_bytes"]),
        (&result["node_bytes"], &result["node_bytes_before"])
    );
    // what it tells is what evaluations tell
    for (reference, score, key) in [("small", "score", "metrics"), ("m:1", "score_before", "metrics_before")] {
        let asked = json!({ "type": "evaluate", "dataset": { "name": "later" }, "spec": { "model": reference } });
        let evaluation = app.post("/api/v1/jobs", &asked).await.expect(202).json;
        let measured = worked(&app, &evaluation).await["result"]["metrics"].clone();
        assert_eq!((&measured["score"], &measured), (&result[score], &result[key]), "{reference}");
        assert_eq!(model["pruned"][score], measured["score"]);
    }
    assert_eq!(model["metrics"]["holdout"], result["metrics"]);
    let events = app.get(&format!("{}?types=metric", job["links"]["events"].as_str().expect("a link"))).await.expect(200).json;
    assert_eq!(doubles(&events["data"][0]["data"]), doubles(&result["metrics"]));
    assert_eq!(job["warnings"][0]["code"], "unknown_features", "{job}");

    // its features keep their names: it answers as the base does where nothing was cut
    let tree = app.get("/api/v1/models/small/versions/1/tree").await.expect(200).json;
    assert_eq!((&tree["nodes"][0]["name"], tree["nodes"].as_array().map(Vec::len)), (&json!("area"), Some(5)));
    let asked = json!({ "instances": [{ "features": { "area": 30, "rooms": 1 } }, { "features": { "area": 120, "town=Oslo": 1, "pool": 1 } }], "output": ["prediction", "unknown"] });
    let told = app.post("/api/v1/models/small/predict", &asked).await.expect(200).json;
    assert_eq!(told["predictions"][1]["unknown"], 1);
    app.delete("/api/v1/models/m/versions/1").await.expect(204);
    app.delete("/api/v1/datasets/prices/versions/1").await.expect(204);
    assert_eq!(app.post("/api/v1/models/small/predict", &asked).await.expect(200).json, told, "it needs nobody else");

    // what is left has a path of its own, and is pruned further
    let path = app.get("/api/v1/models/small/versions/1/path").await.expect(200).json;
    let leaves: Vec<&Value> = path["data"].as_array().expect("rows").iter().map(|row| &row["leaves"]).collect();
    assert!(path["selected"] == 0 && leaves[0] == 3 && leaves[leaves.len() - 1] == 1, "{path}");
    assert_eq!(path["data"][0]["holdout_score"], result["score"]);
    let root = app.post("/api/v1/models/small/versions/1/promote", &json!({ "index": leaves.len() - 1 })).await.expect(201).json;
    assert_eq!((&root["promoted_from"], &root["pruned"], &root["sparsity"]["nodes"]), (&json!("small:1"), &Value::Null, &json!(1)));
    let again = done(&app, "later", json!({ "base": "small:1", "method": "ccp", "amount": 1 })).await;
    assert_eq!((&again["result"]["model_version"], &again["result"]["leaves"]), (&json!("small:3"), leaves[1]));
    app.get("/api/v1/models/small/versions/1/cv").await.expect_problem(404, "no_cv");
    app.stop().await;
}

#[tokio::test]
async fn rows_that_were_not_seen_choose_and_nothing_is_lost_that_was_not_allowed() {
    let app = whole().await;
    let best = done(&app, "later", json!({ "base": "m", "method": "ccp", "selection": { "method": "holdout" } })).await["result"].clone();
    let near = done(&app, "later", json!({ "base": "m", "method": "ccp", "selection": { "method": "holdout", "rule": "1se" } })).await;
    let reduced = done(&app, "later", json!({ "base": "m", "method": "reduced_error" })).await["result"].clone();
    let all = done(&app, "later", json!({ "base": "m", "method": "ccp", "max_quality_loss": 0 })).await["result"].clone();
    let root = done(&app, "later", json!({ "base": "m", "method": "ccp", "max_quality_loss": 1e9 })).await["result"].clone();
    assert!(number(&best["score"]) >= number(&all["score"]) && number(&all["score"]) >= number(&all["score_before"]), "{best} {all}");
    assert!(number(&reduced["score"]) >= number(&best["score"]) - 1e-12, "{reduced} {best}");
    assert!(number(&all["leaves"]) <= number(&best["leaves"]) && number(&near["result"]["leaves"]) <= number(&best["leaves"]));
    assert_eq!(root["leaves"], 1);
    let shown = app.get(near["result"]["href"].as_str().expect("a link")).await.expect(200).json;
    assert_eq!((&shown["selection"]["mode"], &shown["selection"]["rule"]), (&json!("holdout"), &json!("1se")));
    assert_eq!(shown["selection"]["leaves_at_1se"], near["result"]["leaves"]);
    app.stop().await;
}

#[tokio::test]
async fn a_pruning_is_a_job_like_any_other() {
    let app = whole().await;
    let spec = json!({ "base": "m", "method": "ccp", "amount": 0.5 });
    let before = app.stored().await;
    let validated = app.post("/api/v1/jobs?validate_only=true", &pruning("later", spec.clone())).await.expect(200).json;
    let resolved = &validated["spec_resolved"];
    assert_eq!((&resolved["base"], &resolved["base_leaves"], &resolved["amount"]), (&json!("m:1"), &json!(8), &json!(0.5)));
    assert!(number(&validated["estimate"]["memory_mb"][1]) > 0.0);
    assert_eq!(app.stored().await, before);
    // as it was resolved it says the same
    submit(&app, "later", resolved.clone()).await.expect(202);

    let keyed = [JSON, ("idempotency-key", "once")];
    let body = pruning("later", spec).to_string();
    let first = app.send("POST", "/api/v1/jobs", &keyed, body.clone()).await.expect(202).json;
    let again = app.send("POST", "/api/v1/jobs", &keyed, body).await.expect(202);
    assert_eq!((&again.json["id"], again.header("idempotency-replayed")), (&first["id"], "true"));
    let list = app.get("/api/v1/jobs?type=prune&model=small").await.expect(200).json;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(worked(&app, &first).await["status"], "succeeded");
    let versions = app.get("/api/v1/models/small").await.expect(200).json;
    assert_eq!(versions["versions"], json!([2, 1]));
    let events = app.get(first["links"]["events"].as_str().expect("a link")).await.expect(200).json;
    let last = events["data"].as_array().and_then(|all| all.last()).expect("an event");
    assert_eq!((&last["data"]["status"], &last["data"]["model_version"]), (&json!("succeeded"), &json!("small:2")), "{events}");

    // one that waits is cancelled, leaves nothing, and is tried again as it was resolved
    let waiting = submit(&app, "later", json!({ "base": "m", "method": "reduced_error" })).await.expect(202).json;
    app.post(waiting["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    let retry = format!("{}/retry", waiting["links"]["self"].as_str().expect("a link"));
    let retried = app.post(&retry, &json!({})).await.expect(202).json;
    assert_eq!((&retried["retry_of"], &retried["spec_resolved"]), (&waiting["id"], &waiting["spec_resolved"]));
    assert_eq!(worked(&app, &retried).await["result"]["model_version"], "small:3");
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_pruned_is_refused_before_anything_is_stored() {
    let app = whole().await;
    with_model(&app).await;
    app.upload("three", "0 1:1\n1 2:1\n2 3:1\n").await.expect(201);
    app.post("/api/v1/datasets?name=none", &json!({"format":"records","target":"y","records":[{"area":1,"y":"a"},{"area":2,"y":"b"}]}))
        .await
        .expect(201);
    let before = app.stored().await;
    let all = json!({ "method": "reduced_error" });
    let with = |base: &str, more: &Value| {
        let mut spec = more.clone();
        spec["base"] = json!(base);
        spec
    };
    for (dataset, spec, status, code, place) in [
        ("later", with("nobody", &all), 404, "not_found", "#/spec/base"),
        ("later", with("m:9", &all), 404, "not_found", "#/spec/base"),
        ("later", with("m@production", &all), 404, "not_found", "#/spec/base"),
        ("nothing", with("m:1", &all), 404, "not_found", "#/dataset"),
        ("later", with("no/name", &all), 422, "invalid_parameter", "#/spec/base"),
        ("tiny", with("m:2", &all), 422, "invalid_parameter", "#/spec/base"),
        ("three", with("m:1", &all), 422, "invalid_parameter", "#/spec/base"),
        ("none", with("m:1", &all), 422, "invalid_target", "#/dataset"),
        ("later", with("m:1", &json!({ "method": "l1_unstructured", "amount": 0.9 })), 422, "invalid_parameter", "#/spec/base"),
        ("later", with("m:1", &json!({ "method": "ccp" })), 422, "invalid_parameter", "#/spec"),
        ("later", with("m:1", &json!({ "method": "ccp", "amount": 8 })), 422, "invalid_parameter", "#/spec/amount"),
        ("later", with("m:1", &json!({ "method": "ccp", "amount": 1, "target_leaves": 2 })), 422, "invalid_parameter", "#/spec/amount"),
        ("later", with("m:1", &json!({ "method": "ccp", "amount": 1, "schedule": {} })), 422, "invalid_parameter", "#/spec/schedule"),
    ] {
        let refused = submit(&app, dataset, spec.clone()).await;
        assert_eq!((refused.status, &refused.json["code"]), (status, &json!(code)), "{spec}: {}", refused.json);
        assert_eq!(refused.json["errors"][0]["pointer"], place, "{spec}: {}", refused.json);
    }
    let unnamed = json!({ "type": "prune", "dataset": { "name": "later" }, "spec": with("m:1", &all) });
    let refused = app.post("/api/v1/jobs", &unnamed).await;
    assert_eq!((refused.status, &refused.json["errors"][0]["pointer"]), (422, &json!("#/model")));
    let rowless = json!({ "type": "prune", "model": "small", "spec": with("m:1", &all) });
    let refused = app.post("/api/v1/jobs", &rowless).await;
    assert_eq!((refused.status, &refused.json["errors"][0]["pointer"]), (422, &json!("#/dataset")));
    assert_eq!(app.stored().await, before);

    // a base that goes away meanwhile is missed: the job says so, and nothing is stored
    let orphan = submit(&app, "later", with("m:1", &all)).await.expect(202).json;
    app.delete("/api/v1/models/m/versions/1").await.expect(204);
    let orphan = worked(&app, &orphan).await;
    assert_eq!((&orphan["error"]["code"], &orphan["error"]["retryable"]), (&json!("not_found"), &json!(false)), "{orphan}");
    app.get("/api/v1/models/small").await.expect_problem(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn a_tree_of_classes_is_pruned_by_rows_without_names() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    app.submit("tiny", json!({ "kind": "tree", "pruning": { "mode": "none" } })).await.expect(202);
    app.work().await;
    app.upload("one-class", "1 1:1\n1 2:1\n").await.expect(201);
    let same = done(&app, "tiny", json!({ "base": "m", "method": "reduced_error" })).await;
    assert_eq!((&same["result"]["score"], &same["result"]["score_before"]), (&json!(1.0), &json!(1.0)), "{same}");
    // both rows are 1: no area under a curve, and a root that says 0 has the least error of 1 … none
    let odd = submit(&app, "one-class", json!({ "base": "m", "method": "ccp", "max_quality_loss": 0.1 })).await;
    let odd = worked(&app, &odd.expect(202).json).await;
    assert_eq!(odd["error"]["code"], "invalid_target", "{odd}");
    let plain = done(&app, "one-class", json!({ "base": "m", "method": "ccp", "target_leaves": 1 })).await;
    assert_eq!((&plain["result"]["leaves"], &plain["result"]["score"]), (&json!(1), &Value::Null), "{plain}");
    app.stop().await;
}
