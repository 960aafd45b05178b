//! The life of a job as clients see it: submit, watch, wait, cancel, delete, filter.

use serde_json::json;
use sparsefit::config::Limits;
use sparsefit::job::Progress;
use sparsefit::store::{Beat, Ending};

use crate::app::{TestApp, doubles, fit};
use crate::data::{TINY, register, with_model};

/// Text of the id of the job in an answer.
fn id(job: &serde_json::Value) -> String {
    job["id"].as_str().expect("a job has an id").to_owned()
}

#[tokio::test]
async fn a_job_submitted_is_accepted_and_says_where_it_is() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let answer = app.submit("tiny", json!({})).await.expect(202);
    let location = answer.header("location").to_owned();
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(location, format!("/api/v1/jobs/{}", id(&answer.json)));
    assert_eq!(answer.json["links"]["self"], location);
    assert_eq!((&answer.json["status"], &answer.json["attempt"]), (&json!("queued"), &json!(0)));
    assert_eq!(answer.json["progress"], json!({ "fraction": 0.0, "eta_s": null, "steps": [], "current": null }));
    assert_eq!(answer.json["request_id"].as_str(), Some(answer.header("x-request-id")));
    assert_eq!(doubles(&answer.json["spec_resolved"]["loss"]), json!({ "type": "logistic", "positive_class": 1.0 }));
    assert_eq!(app.get(&location).await.expect(200).json["id"], answer.json["id"]);
    let second = app.submit("tiny", json!({})).await.expect(202).json;
    assert_eq!((&answer.json["queue_position"], &second["queue_position"]), (&json!(0), &json!(1)));
    for job in [&answer.json, &second] {
        app.post(&format!("/api/v1/jobs/{}/cancel", id(job)), &json!({})).await.expect(200);
    }
    app.stop().await;
}

#[tokio::test]
async fn validating_only_estimates_and_stores_nothing() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let before = app.stored().await;
    let answer = app.post("/api/v1/jobs?validate_only=true", &fit("tiny", json!({}))).await.expect(200);
    assert_eq!(answer.json["object"], "job_validation");
    assert_eq!(answer.json["spec_resolved"]["penalty"]["type"], "l1");
    assert_eq!(app.stored().await, before);
    app.stop().await;
}

#[tokio::test]
async fn a_queued_job_is_cancelled_at_once_and_cancelling_again_is_no_error() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let id = id(&app.submit("tiny", json!({})).await.expect(202).json);
    let cancel = format!("/api/v1/jobs/{id}/cancel");
    let first = app.send("POST", &cancel, &[], "").await.expect(200).json;
    assert_eq!((&first["status"], &first["reason"]), (&json!("cancelled"), &json!("user")));
    let again = app.post(&cancel, &json!({})).await.expect(200).json;
    assert_eq!(first, again);
    app.work().await;
    assert_eq!(app.get(&format!("/api/v1/jobs/{id}")).await.json["attempt"], 0, "it never ran");
    app.delete(&format!("/api/v1/jobs/{id}")).await.expect(204);
    app.get(&format!("/api/v1/jobs/{id}")).await.expect_problem(404, "not_found");
    app.delete(&format!("/api/v1/jobs/{id}")).await.expect_problem(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn a_running_job_is_cancelling_until_its_worker_has_heard() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let id = id(&app.submit("tiny", json!({})).await.expect(202).json);
    let claim = app.store().claim("boot_test").await.expect("the store").expect("a job");
    let (job, cancel) = (format!("/api/v1/jobs/{id}"), format!("/api/v1/jobs/{id}/cancel"));
    app.delete(&job).await.expect_problem(409, "conflict");
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect_problem(409, "conflict");
    assert_eq!(app.send("POST", &cancel, &[], "").await.expect(202).json["status"], "cancelling");
    assert_eq!(app.send("POST", &cancel, &[], "").await.expect(202).json["status"], "cancelling");
    for (status, count) in [("cancelling", 1), ("running", 0), ("queued", 0)] {
        let list = app.get(&format!("/api/v1/jobs?status={status}")).await.expect(200).json;
        assert_eq!(list["data"].as_array().map(Vec::len), Some(count), "{status}");
    }
    assert_eq!(app.store().heartbeat(&claim, &Progress::default()).await.expect("the store"), Beat::CancelAsked);
    app.store().finish(&claim, Ending::Cancelled).await.expect("the store");
    let ended = app.get(&job).await.expect(200).json;
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("cancelled"), &json!("user")));
    assert!(ended["duration_ms"].is_u64() && ended["finished_at"].is_string(), "{ended}");
    app.stop().await;
}

#[tokio::test]
async fn an_ended_job_cannot_be_cancelled() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let list = app.get("/api/v1/jobs?status=succeeded&dataset=tiny&model=m").await.expect(200).json;
    let job = &list["data"][0];
    assert_eq!(job["result"]["href"], "/api/v1/models/m/versions/1");
    assert_eq!(job["progress"]["fraction"], 1.0);
    app.post(&format!("/api/v1/jobs/{}/cancel", id(job)), &json!({})).await.expect_problem(409, "already_finished");
    app.post(&format!("/api/v1/jobs/{}/cancel", id(job)), &json!({ "keep": 1 })).await.expect_problem(422, "unknown_field");
    app.stop().await;
}

#[tokio::test]
async fn a_wait_sees_the_end_of_the_job_or_gives_up() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let body = fit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).to_string();
    let headers = [("content-type", "application/json"), ("prefer", "wait=50")];
    // The worker steps beside the waiting request; whichever begins first, the wait sees the end.
    let worked = async {
        while app.store().queue_counts().await.expect("the store").queued == 0 {
            tokio::task::yield_now().await;
        }
        app.work().await;
    };
    let (answer, ()) = tokio::join!(app.send("POST", "/api/v1/jobs", &headers, body.clone()), worked);
    let answer = answer.expect(200);
    assert_eq!((answer.header("preference-applied"), &answer.json["status"]), ("wait=50", &json!("succeeded")));
    let given_up = app.send("POST", "/api/v1/jobs", &[headers[0], ("prefer", "wait=0")], body).await.expect(202);
    assert_eq!((given_up.header("preference-applied"), &given_up.json["status"]), ("wait=0", &json!("queued")));
    let path = format!("/api/v1/jobs/{}", id(&given_up.json));
    let prefer = [("prefer", "wait=50")];
    let (seen, ()) = tokio::join!(app.send("GET", &path, &prefer, ""), app.work());
    assert_ne!(seen.expect(200).json["status"], "queued", "a change of status wakes the wait");
    let ended = app.send("GET", &path, &prefer, "").await.expect(200).json;
    assert_eq!(ended["status"], "succeeded", "an ended job is not waited for");
    app.stop().await;
}

#[tokio::test]
async fn a_full_queue_pushes_back_and_accepts_cancels() {
    let limits = Limits { queue_max: 2, ..Limits::default() };
    let app = TestApp::start_with(limits).await;
    app.upload("tiny", TINY).await.expect(201);
    let first = id(&app.submit("tiny", json!({})).await.expect(202).json);
    let second = id(&app.submit("tiny", json!({})).await.expect(202).json);
    let refused = app.submit("tiny", json!({})).await.expect_problem(429, "queue_full");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
    assert_eq!(refused.json["retryable"], true);
    for id in [first, second] {
        app.post(&format!("/api/v1/jobs/{id}/cancel"), &json!({})).await.expect(200);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_fit_that_cannot_be_done_fails_its_job_and_says_why() {
    let app = TestApp::start().await;
    // Valid by its shape, impossible by its data: a class that only a fold would miss is found by the fit alone.
    app.upload("tiny", TINY).await.expect(201);
    app.submit("tiny", json!({ "loss": { "type": "logistic", "positive_class": 7 } })).await.expect_problem(422, "invalid_target");
    app.upload("three", "0 1:1\n1 2:1\n2 3:1\n0 1:2\n1 2:2\n2 3:2\n").await.expect(201);
    app.submit("three", json!({ "loss": { "type": "logistic", "positive_class": 2 }, "lambda": { "mode": "value", "value": 0.01 } }))
        .await
        .expect(202);
    app.work().await;
    let job = app.get("/api/v1/jobs?dataset=three").await.expect(200).json["data"][0].clone();
    assert_eq!(job["status"], "succeeded", "one class against the rest: {job}");
    app.stop().await;
}

#[tokio::test]
async fn a_deleted_dataset_frees_its_name_only_when_no_job_needs_it() {
    let app = TestApp::start().await;
    with_model(&app).await;
    app.submit("tiny", json!({})).await.expect(202);
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect_problem(409, "conflict");
    register(&app, crate::data::model()).await;
    let open = app.get("/api/v1/jobs?status=queued").await.json["data"][0].clone();
    app.post(&format!("/api/v1/jobs/{}/cancel", id(&open)), &json!({})).await.expect(200);
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect(204);
    app.submit("tiny", json!({})).await.expect_problem(404, "not_found");
    app.stop().await;
}
