//! Evaluations, from outside: a job like any other that measures a model and makes none.

use serde_json::{Value, json};
use sparsefit::job::Status;
use sparsefit::store::JobFilter;

use crate::app::{Answer, TestApp, doubles};
use crate::data::{RECORDS, with_model};

const JSON: (&str, &str) = ("content-type", "application/json");

fn evaluation(dataset: &str, model: &str) -> Value {
    json!({ "type": "evaluate", "dataset": { "name": dataset }, "spec": { "model": model } })
}

async fn submit(app: &TestApp, dataset: &str, model: &str) -> Answer {
    app.post("/api/v1/jobs", &evaluation(dataset, model)).await
}

/// The job as it is after all work is done.
async fn worked(app: &TestApp, job: &Value) -> Value {
    app.work().await;
    app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json
}

#[tokio::test]
async fn a_model_is_measured_on_rows_it_has_not_seen_and_features_go_by_their_names() {
    let app = TestApp::start().await;
    app.send("POST", "/api/v1/datasets?name=homes", &[JSON], RECORDS).await.expect(201);
    app.submit("homes", json!({ "lambda": { "mode": "value", "value": 0.05 } })).await.expect(202);
    app.work().await;
    // other rows, columns in another order, one feature that the model never saw and some that it misses
    let held_out = r#"{"format":"records","target":"price","weights":"w","records":[
        {"rooms":4,"area":100,"w":1,"price":5.5,"garden":1},{"rooms":2,"area":60,"w":3,"price":3.0},{"rooms":1,"area":35,"w":0,"price":99}]}"#;
    app.send("POST", "/api/v1/datasets?name=held-out", &[JSON], held_out).await.expect(201);
    let job = submit(&app, "held-out", "m").await.expect(202);
    assert!(job.header("location").starts_with("/api/v1/jobs/job_"));
    let job = job.json;
    assert_eq!((&job["type"], &job["model"], &job["spec_resolved"]["model"]), (&json!("evaluate"), &Value::Null, &json!("m:1")));
    let job = worked(&app, &job).await;
    assert_eq!((&job["status"], &job["progress"]["fraction"]), (&json!("succeeded"), &json!(1.0)), "{job}");
    let result = &job["result"];
    assert_eq!((&result["model"], &result["rows"], &result["unknown_features"]), (&json!("m:1"), &json!(3), &json!(1)));

    // The same from the predictions, by hand.
    let instances = json!({ "instances": [{ "features": { "rooms": 4, "area": 100 } }, { "features": { "rooms": 2, "area": 60 } }] });
    let told = app.post("/api/v1/models/m/predict", &instances).await.expect(200).json;
    let miss = |row: usize, y: f64| told["predictions"][row]["prediction"].as_f64().expect("a number") - y;
    let (first, second) = (miss(0, 5.5), miss(1, 3.0));
    let expected = (first * first + 3.0 * second * second) / 4.0;
    let mse = result["metrics"]["mse"].as_f64().expect("a number");
    assert!((mse - expected).abs() <= 1e-12 * expected, "{mse} for {expected}");
    let mean = (5.5 + 9.0) / 4.0;
    let spread = ((5.5_f64 - mean).powi(2) + 3.0 * (3.0_f64 - mean).powi(2)) / 4.0;
    assert!((result["metrics"]["score"].as_f64().expect("a number") - (1.0 - expected / spread)).abs() < 1e-12);
    let codes: Vec<&str> = job["warnings"].as_array().expect("warnings").iter().filter_map(|one| one["code"].as_str()).collect();
    assert!(codes.contains(&"unknown_features"), "{job}");

    // What was measured is an event, and no model came of it.
    let events = app.get(&format!("{}?types=metric", job["links"]["events"].as_str().expect("a link"))).await.expect(200).json;
    assert_eq!(doubles(&events["data"][0]["data"]), doubles(&result["metrics"]));
    let models = app.get("/api/v1/models/m").await.expect(200).json;
    assert_eq!(models["versions"], json!([1]));
    app.stop().await;
}

#[tokio::test]
async fn an_evaluation_is_a_job_like_any_other() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let validated = app.post("/api/v1/jobs?validate_only=true", &evaluation("tiny", "m:1")).await.expect(200).json;
    assert_eq!((&validated["object"], &validated["spec_resolved"]["model"]), (&json!("job_validation"), &json!("m:1")));

    let keyed = [JSON, ("idempotency-key", "once")];
    let mut body = evaluation("tiny", "m@latest");
    body["priority"] = json!("high");
    body["limits"] = json!({ "max_runtime_s": 100 });
    let first = app.send("POST", "/api/v1/jobs", &keyed, body.to_string()).await.expect(202).json;
    let again = app.send("POST", "/api/v1/jobs", &keyed, body.to_string()).await.expect(202);
    assert_eq!((&again.json["id"], again.header("idempotency-replayed")), (&first["id"], "true"));
    for (kind, found) in [("evaluate", 1), ("fit", 1)] {
        let list = app.get(&format!("/api/v1/jobs?type={kind}")).await.expect(200).json;
        assert_eq!(list["data"].as_array().map(Vec::len), Some(found), "{kind}");
    }
    app.get("/api/v1/jobs?type=transmute").await.expect_problem(422, "invalid_parameter");
    let done = worked(&app, &first).await;
    // η = 0.25 + 2·x₀ − x₂ takes the second row for a 1, and gives it the score of the first: one of nine pairs is a tie
    let metrics = &done["result"]["metrics"];
    assert_eq!(
        (&metrics["accuracy"], &metrics["auc"], &metrics["score"]),
        (&json!(5.0 / 6.0), &json!(8.5 / 9.0), &json!(8.5 / 9.0)),
        "{done}"
    );

    // one that waits is cancelled, and tried again as it was resolved
    let waiting = submit(&app, "tiny", "m").await.expect(202).json;
    app.post(waiting["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    let retry = format!("{}/retry", waiting["links"]["self"].as_str().expect("a link"));
    let retried = app.post(&retry, &json!({})).await.expect(202).json;
    assert_eq!((&retried["retry_of"], &retried["spec_resolved"]), (&waiting["id"], &waiting["spec_resolved"]));
    assert_eq!(worked(&app, &retried).await["status"], "succeeded");
    app.delete(retried["links"]["self"].as_str().expect("a link")).await.expect(204);
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_measured_is_refused_before_anything_is_stored() {
    let app = TestApp::start().await;
    with_model(&app).await;
    app.send(
        "POST",
        "/api/v1/datasets?name=named",
        &[JSON],
        r#"{"format":"records","target":"y","records":[{"a":1,"y":0},{"b":1,"y":1}]}"#,
    )
    .await
    .expect(201);
    app.upload("numbers", "0.5 1:1\n1.5 2:1\n2.5 1:1\n").await.expect(201);
    let three =
        app.send("POST", "/api/v1/datasets?name=three&target_kind=multiclass", &[("content-type", "text/libsvm")], "0 1:1\n1 2:1\n2 3:1\n");
    three.await.expect(201);
    let before = app.stored().await;
    for (dataset, model, status, code, place) in [
        ("tiny", "nobody", 404, "not_found", "#/spec/model"),
        ("tiny", "m:2", 404, "not_found", "#/spec/model"),
        ("tiny", "m@production", 404, "not_found", "#/spec/model"),
        ("nothing", "m", 404, "not_found", "#/dataset"),
        ("tiny", "no/name", 422, "invalid_parameter", "#/spec/model"),
        ("named", "m", 422, "invalid_parameter", "#/spec/model"),
        ("three", "m", 422, "invalid_target", "#/dataset"),
    ] {
        let refused = submit(&app, dataset, model).await.expect_problem(status, code);
        assert_eq!(refused.json["errors"][0]["pointer"], place, "{}", refused.json);
    }
    let mut body = evaluation("tiny", "m");
    body["model"] = json!("other");
    let refused = app.post("/api/v1/jobs", &body).await.expect_problem(422, "invalid_parameter");
    assert_eq!((&refused.json["errors"][0]["pointer"], &refused.json["errors"][0]["code"]), (&json!("#/model"), &json!("conflict")));
    assert_eq!(app.stored().await, before);

    // Numbers that are no class are found when they are read, and a model that goes away meanwhile is missed: the job says so.
    let numbers = submit(&app, "numbers", "m").await.expect(202).json;
    assert_eq!(worked(&app, &numbers).await["error"]["code"], "invalid_target");
    let orphan = submit(&app, "tiny", "m").await.expect(202).json;
    app.delete("/api/v1/models/m/versions/1").await.expect(204);
    let orphan = worked(&app, &orphan).await;
    assert_eq!((&orphan["error"]["code"], &orphan["error"]["retryable"]), (&json!("not_found"), &json!(false)), "{orphan}");
    let open = JobFilter { status: Some(Status::Queued), ..JobFilter::default() };
    assert!(app.store().jobs("default", &open, None, 1).await.expect("the store").items.is_empty());
    app.stop().await;
}
