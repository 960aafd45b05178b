//! `Idempotency-Key` over HTTP: what a client hears who sends a request twice, at once or later.

use serde_json::{Value, json};
use sparsefit::config::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::{Answer, TestApp, fit};
use crate::data::TINY;

const JSON: (&str, &str) = ("content-type", "application/json");
const LIBSVM: (&str, &str) = ("content-type", "text/libsvm");

async fn submit(app: &TestApp, key: &str, spec: Value) -> Answer {
    app.send("POST", "/api/v1/jobs", &[JSON, ("idempotency-key", key)], fit("tiny", spec).to_string()).await
}

async fn count(app: &TestApp, list: &str) -> usize {
    app.get(&format!("/api/v1/{list}?limit=1000")).await.expect(200).json["data"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn the_same_submission_is_one_job_and_gets_the_first_answer_again() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let first = submit(&app, "a-1", json!({})).await.expect(202);
    assert_eq!(first.header("idempotency-replayed"), "");
    app.work().await;
    for key in ["a-1", "\"a-1\""] {
        let again = submit(&app, key, json!({})).await.expect(202);
        assert_eq!(again.text(), first.text(), "word for word, though the job has ended");
        assert_eq!((again.header("idempotency-replayed"), again.header("retry-after")), ("true", "1"));
        assert_eq!(again.header("location"), first.header("location"));
    }
    submit(&app, "a-1", json!({ "intercept": false })).await.expect_problem(422, "idempotency_key_reused");
    assert_eq!(count(&app, "jobs").await, 1);
    app.stop().await;
}

#[tokio::test]
async fn a_refused_request_may_be_corrected_under_its_key() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    submit(&app, "k", json!({ "penalty": { "type": "l3" } })).await.expect_problem(422, "invalid_parameter");
    let path = "/api/v1/jobs?validate_only=true";
    app.send("POST", path, &[JSON, ("idempotency-key", "k")], fit("tiny", json!({})).to_string()).await.expect(200);
    submit(&app, "k", json!({})).await.expect(202);
    let name = "/api/v1/datasets?name=other";
    app.send("POST", name, &[LIBSVM, ("idempotency-key", "k")], "1 0:1\n").await.expect_problem(422, "index_base");
    app.send("POST", name, &[LIBSVM, ("idempotency-key", "k")], TINY).await.expect(201);
    app.shutdown().await;
}

#[tokio::test]
async fn a_key_that_is_none_is_refused() {
    let app = TestApp::start().await;
    let body = fit("tiny", json!({})).to_string();
    let long = "k".repeat(256);
    for bad in [&[""][..], &["\"\""], &[&long], &["a", "a"], &["a\tb"]] {
        let headers: Vec<_> = std::iter::once(JSON).chain(bad.iter().map(|key| ("idempotency-key", *key))).collect();
        app.send("POST", "/api/v1/jobs", &headers, body.clone()).await.expect_problem(400, "invalid_idempotency_key");
        app.send("POST", "/api/v1/datasets?name=x", &headers, "{}").await.expect_problem(400, "invalid_idempotency_key");
    }
    app.stop().await;
}

#[tokio::test]
async fn an_upload_sent_again_is_the_same_version() {
    let app = TestApp::start().await;
    let send = async |query: &str, body: &str| {
        app.send("POST", &format!("/api/v1/datasets?{query}"), &[LIBSVM, ("idempotency-key", "u")], body.to_owned()).await
    };
    let first = send("name=tiny", TINY).await.expect(201);
    let again = send("name=tiny", TINY).await.expect(201);
    assert_eq!((again.text(), again.header("location")), (first.text(), first.header("location")));
    assert_eq!(again.header("idempotency-replayed"), "true");
    for (query, body) in [("name=tiny", "1 1:1\n0 1:2\n"), ("name=other", TINY), ("name=tiny&target_kind=regression", TINY)] {
        send(query, body).await.expect_problem(422, "idempotency_key_reused");
    }
    assert_eq!(app.get("/api/v1/datasets/tiny").await.expect(200).json["versions"], json!([1]));
    app.get("/api/v1/datasets/other").await.expect(404);
    app.stop().await;
}

#[tokio::test]
async fn a_second_request_is_told_to_wait_while_the_first_is_handled() {
    let app = TestApp::start().await;
    let mut first = TcpStream::connect(app.addr()).await.expect("connects");
    let head = format!(
        "POST /api/v1/datasets?name=tiny HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/libsvm\r\nIdempotency-Key: u\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        TINY.len()
    );
    first.write_all(head.as_bytes()).await.expect("the server reads");
    // the first has begun once the second is refused; before that its head has not been read
    let path = "/api/v1/datasets?name=tiny";
    let refused = loop {
        let answer = app.send("POST", path, &[LIBSVM, ("idempotency-key", "u")], "0 0:bad").await;
        if answer.status == 409 {
            break answer;
        }
        answer.expect_problem(422, "index_base");
    };
    assert_eq!(refused.json["code"], "idempotency_in_progress");
    assert_eq!((refused.header("retry-after"), &refused.json["retryable"]), ("1", &json!(true)));
    first.write_all(TINY.as_bytes()).await.expect("the server reads");
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    app.send("POST", path, &[LIBSVM, ("idempotency-key", "u")], TINY).await.expect(201);
    assert_eq!(app.get("/api/v1/datasets/tiny").await.expect(200).json["versions"], json!([1]));
    app.stop().await;
}

#[tokio::test]
async fn a_hundred_equal_submissions_at_once_are_one_job() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let body = fit("tiny", json!({})).to_string();
    let request = format!(
        "POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nIdempotency-Key: \"race\"\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let (addr, request) = (app.addr(), request.clone());
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(addr).await.expect("connects");
            stream.write_all(request.as_bytes()).await.expect("the server reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            answer
        });
    }
    let answers = tasks.join_all().await;
    let bodies = |status: &str| -> Vec<&str> {
        answers.iter().filter(|answer| answer.starts_with(status)).filter_map(|answer| answer.split("\r\n\r\n").nth(1)).collect()
    };
    let (accepted, refused) = (bodies("HTTP/1.1 202"), bodies("HTTP/1.1 409"));
    assert_eq!(accepted.len() + refused.len(), 100, "{answers:?}");
    assert!(!accepted.is_empty() && accepted.iter().all(|body| *body == accepted[0]));
    assert!(refused.iter().all(|body| body.contains("idempotency_in_progress")));
    assert_eq!(answers.iter().filter(|answer| answer.starts_with("HTTP/1.1 202") && !answer.contains("idempotency-replayed")).count(), 1);
    assert_eq!(count(&app, "jobs").await, 1);
    app.shutdown().await;
}

#[tokio::test]
async fn who_waited_for_the_end_hears_of_the_end_again() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let body = fit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).to_string();
    let headers = [JSON, ("prefer", "wait=50"), ("idempotency-key", "w")];
    let worked = async {
        while app.store().queue_counts().await.expect("the store").queued == 0 {
            tokio::task::yield_now().await;
        }
        app.work().await;
    };
    let (first, ()) = tokio::join!(app.send("POST", "/api/v1/jobs", &headers, body.clone()), worked);
    let first = first.expect(200);
    assert_eq!(first.json["status"], "succeeded");
    let again = app.send("POST", "/api/v1/jobs", &headers, body).await.expect(200);
    assert_eq!((again.text(), again.header("idempotency-replayed")), (first.text(), "true"));
    app.stop().await;
}

#[tokio::test]
async fn a_project_has_so_many_keys_a_day() {
    let app = TestApp::start_with(Limits { idempotency_keys: 1, ..Limits::default() }).await;
    app.upload("tiny", TINY).await.expect(201);
    submit(&app, "one", json!({})).await.expect(202);
    submit(&app, "two", json!({})).await.expect_problem(403, "quota_exceeded");
    submit(&app, "one", json!({})).await.expect(202);
    assert_eq!(count(&app, "jobs").await, 1);
    app.shutdown().await;
}
