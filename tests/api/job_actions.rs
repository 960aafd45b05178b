//! What is done with jobs beyond submitting them: try again, cancel or delete many, limits, filters.

use serde_json::{Value, json};
use sparsefit::config::Limits;
use sparsefit::job::Failure;
use sparsefit::store::Ending;

use crate::app::{Answer, TestApp, fit};
use crate::data::{TINY, with_model};

fn path(job: &Value) -> String {
    job["links"]["self"].as_str().expect("a link").to_owned()
}

async fn submit_with(app: &TestApp, more: Value) -> Answer {
    let mut body = fit("tiny", json!({}));
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    app.post("/api/v1/jobs", &body).await
}

#[tokio::test]
async fn a_failed_or_cancelled_job_is_tried_again_as_a_new_one() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let old = submit_with(&app, json!({ "metadata": { "team": "a" }, "priority": "high" })).await.expect(202).json;
    let retry = format!("{}/retry", path(&old));
    app.post(&retry, &json!({})).await.expect_problem(409, "conflict");
    let claim = app.store().claim("boot_test").await.expect("the store").expect("a job");
    app.post(&retry, &json!({})).await.expect_problem(409, "conflict");
    let error = Failure { code: "numerical_error".into(), title: "t".into(), detail: "d".into(), retryable: false };
    app.store().finish(&claim, Ending::Failed { error, reason: None, warnings: vec![] }).await.expect("the store");

    let key = [("idempotency-key", "again")];
    let answer = app.send("POST", &retry, &key, "").await.expect(202);
    let new = answer.json.clone();
    assert_eq!(answer.header("location"), path(&new));
    assert_eq!((&new["retry_of"], &new["status"], &new["attempt"]), (&old["id"], &json!("queued"), &json!(0)));
    assert_ne!(new["id"], old["id"]);
    for same in ["model", "dataset", "spec", "spec_resolved", "metadata", "priority", "estimate"] {
        assert_eq!(new[same], old[same], "{same}");
    }
    let replayed = app.send("POST", &retry, &key, "").await.expect(202);
    assert_eq!((&replayed.json["id"], replayed.header("idempotency-replayed")), (&new["id"], "true"));
    app.work().await;
    app.post(&format!("{}/retry", path(&new)), &json!({})).await.expect_problem(409, "conflict");
    app.post(&retry, &json!({ "x": 1 })).await.expect_problem(422, "unknown_field");
    app.post("/api/v1/jobs/job_nope/retry", &json!({})).await.expect_problem(404, "not_found");
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect(204);
    app.post(&retry, &json!({})).await.expect_problem(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn many_jobs_are_cancelled_and_deleted_by_filter_and_never_without() {
    let app = TestApp::start().await;
    with_model(&app).await;
    for team in ["a", "a", "b"] {
        submit_with(&app, json!({ "metadata": { "team": team } })).await.expect(202);
    }
    app.post("/api/v1/jobs/cancel", &json!({})).await.expect_problem(422, "missing_filter");
    app.delete("/api/v1/jobs").await.expect_problem(422, "missing_filter");
    for bad in ["status=ended", "created_after=yesterday", "limit=5", "type=transmute"] {
        app.delete(&format!("/api/v1/jobs?{bad}")).await.expect_problem(422, "invalid_parameter");
    }
    let cancelled = app.post("/api/v1/jobs/cancel?metadata.team=a", &json!({})).await.expect(202).json;
    assert_eq!(cancelled, json!({ "object": "bulk_result", "matched": 2, "affected": 2 }));
    let deleted = app.delete("/api/v1/jobs?dataset=tiny&type=fit").await.expect(200).json;
    assert_eq!(deleted, json!({ "object": "bulk_result", "matched": 4, "affected": 3 }), "one is queued still");
    let left = app.get("/api/v1/jobs").await.expect(200).json["data"].clone();
    assert_eq!((left.as_array().map(Vec::len), &left[0]["metadata"]["team"]), (Some(1), &json!("b")));
    app.get("/api/v1/models/m").await.expect(200);
    app.send("POST", "/api/v1/jobs/cancel?status=queued", &[], "").await.expect(202);
    app.stop().await;
}

#[tokio::test]
async fn a_list_is_filtered_by_time_type_and_metadata() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let first = submit_with(&app, json!({ "metadata": { "team": "growth", "run": "1 2" } })).await.expect(202).json;
    let second = submit_with(&app, json!({})).await.expect(202).json;
    let ids = async |query: &str| -> Vec<Value> {
        let list = app.get(&format!("/api/v1/jobs?{query}")).await.expect(200).json;
        list["data"].as_array().expect("a list").iter().map(|job| job["id"].clone()).collect()
    };
    let (early, late) = (first["created_at"].as_str().expect("a time"), second["created_at"].as_str().expect("a time"));
    assert_eq!(ids(&format!("created_after={early}")).await, [second["id"].clone()]);
    assert_eq!(ids(&format!("created_before={late}")).await, [first["id"].clone()]);
    assert!(ids(&format!("created_after={late}")).await.is_empty());
    assert_eq!(ids("metadata.team=growth&metadata.run=1+2&type=fit").await, [first["id"].clone()]);
    assert!(ids("metadata.team=growth&metadata.run=1").await.is_empty());
    app.post("/api/v1/jobs/cancel?type=fit", &json!({})).await.expect(202);
    app.stop().await;
}

#[tokio::test]
async fn a_fit_that_can_never_get_its_memory_is_refused_with_numbers() {
    let app = TestApp::start_with(Limits { fit_memory_bytes: 1 << 10, ..Limits::default() }).await;
    app.upload("tiny", TINY).await.expect(201);
    let refused = submit_with(&app, json!({})).await.expect_problem(422, "fit_too_large");
    assert_eq!(refused.json["errors"][0]["code"], "fit_too_large");
    assert_eq!(app.get("/api/v1/limits").await.expect(200).json["fit_memory_bytes"], 1 << 10);
    let metrics = app.get("/metrics").await.text();
    assert!(metrics.contains("memory_budget_bytes 1024") && metrics.contains("memory_granted_bytes 0"), "{metrics}");
    app.stop().await;

    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let estimate = submit_with(&app, json!({ "limits": { "max_memory_mb": 1e6 } })).await.expect(202).json["estimate"].clone();
    let need = estimate["memory_mb"][1].as_f64().expect("a number");
    let refused = submit_with(&app, json!({ "limits": { "max_memory_mb": need / 2.0 } })).await.expect_problem(422, "fit_too_large");
    let place = &refused.json["errors"][0];
    assert_eq!(place["pointer"], "#/limits/max_memory_mb");
    for number in [need, need / 2.0] {
        assert!(place["detail"].as_str().is_some_and(|detail| detail.contains(&number.to_string())), "{place}");
    }
    app.post("/api/v1/jobs/cancel?status=queued", &json!({})).await.expect(202);
    app.stop().await;
}

#[tokio::test]
async fn a_job_nobody_starts_in_time_fails_and_says_so() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let limits = json!({ "start_deadline_s": 1e-6, "on_limit": "keep_best" });
    let job = submit_with(&app, json!({ "limits": limits })).await.expect(202).json;
    assert_eq!(job["spec_resolved"]["limits"]["start_deadline_s"], 1e-6);
    assert_eq!(job["spec_resolved"]["limits"]["on_limit"], "keep_best");
    // the server's own sweep may have been faster
    app.store().rescue(None).await.expect("the store");
    let failed = app.get(&path(&job)).await.expect(200).json;
    assert_eq!((&failed["status"], &failed["reason"]), (&json!("failed"), &json!("start_deadline")));
    assert_eq!((&failed["error"]["code"], &failed["attempt"]), (&json!("start_deadline_exceeded"), &json!(0)));
    for bad in [json!(0), json!(-1), json!("soon")] {
        let refused = submit_with(&app, json!({ "limits": { "start_deadline_s": bad } })).await.expect(422).json;
        assert_eq!(refused["errors"][0]["pointer"], "#/limits/start_deadline_s", "{refused}");
    }
    app.stop().await;
}
