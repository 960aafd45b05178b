//! Webhooks seen from outside: endpoints managed, messages signed and delivered to a receiver on loopback, and jobs that
//! do not care whether anybody listens.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use sparsefit::ambient::{Ambient, Clock};
use sparsefit::webhook::{Secret, sign};

use crate::app::{TestApp, fit};
use crate::data::TINY;
use receiver::{BROKEN, Heard, OK, Receiver, SILENCE};

#[path = "../support/receiver.rs"]
mod receiver;

/// The system's clock, moved ahead by hand.
struct Ahead {
    system: Ambient,
    micros: AtomicI64,
}

impl Ahead {
    fn ambient() -> (Arc<Self>, Ambient) {
        let clock = Arc::new(Self { system: Ambient::system(), micros: AtomicI64::new(0) });
        (clock.clone(), Ambient { clock, ..Ambient::system() })
    }

    fn go(&self, seconds: i64) {
        self.micros.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now_micros(&self) -> i64 {
        self.system.now_micros() + self.micros.load(Ordering::SeqCst)
    }
}

/// A server whose webhooks may reach 127.0.0.1.
pub(crate) async fn reaching_loopback(ambient: Ambient) -> TestApp {
    TestApp::start_configured(|config| config.webhook_allow_net = vec!["127.0.0.1/32".parse().expect("a network")], ambient).await
}

fn url(receiver: &Receiver) -> String {
    format!("http://{}/hooks", receiver.address)
}

async fn endpoint(app: &TestApp, url: &str, events: &[&str]) -> (String, Secret) {
    let made = app.post("/api/v1/webhooks", &json!({ "url": url, "events": events })).await.expect(201).json;
    let secret = Secret::parse(made["secret"].as_str().expect("a secret")).expect("a secret");
    (made["id"].as_str().expect("an id").to_owned(), secret)
}

/// Meets every documented success of these routes.
pub(crate) async fn every_success(app: &TestApp) {
    let receiver = Receiver::start(&[OK]).await;
    let (id, _) = endpoint(app, &url(&receiver), &["dataset.ready"]).await;
    let path = format!("/api/v1/webhooks/{id}");
    app.upload("told", TINY).await.expect(201);
    app.get("/api/v1/webhooks").await.expect(200);
    app.get(&path).await.expect(200);
    app.send("PATCH", &path, &[("content-type", "application/json")], r#"{"description":"x"}"#).await.expect(200);
    app.post(&format!("{path}/rotate"), &json!({})).await.expect(200);
    let told = deliveries(app, &id, |all| all[0]["status"] == "delivered").await;
    let resend = format!("{path}/deliveries/{}/resend", told[0]["id"].as_str().expect("an id"));
    app.post(&resend, &json!({})).await.expect(202);
    app.delete(&path).await.expect(204);
}

#[track_caller]
fn verify(heard: &Heard, secrets: &[Secret]) -> Value {
    let timestamp = heard.header("webhook-timestamp").parse().expect("a number");
    assert_eq!(heard.header("webhook-signature"), sign(secrets, heard.header("webhook-id"), timestamp, &heard.body));
    assert!(heard.body.len() < 20_000);
    serde_json::from_str(&heard.body).expect("JSON")
}

/// The messages of an endpoint once `done` holds of them.
async fn deliveries(app: &TestApp, endpoint: &str, done: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    loop {
        let list = app.get(&format!("/api/v1/webhooks/{endpoint}/deliveries")).await.expect(200).json;
        let found = list["data"].as_array().expect("data").clone();
        if done(&found) {
            return found;
        }
    }
}

#[tokio::test]
async fn an_endpoint_is_made_shown_changed_and_deleted_and_its_secret_shown_once() {
    let app = TestApp::start().await;
    let asked = json!({ "url": "https://hooks.example.com/fits?a=b", "events": ["job.failed", "dataset.ready"], "description": "tells" });
    let made = app.post("/api/v1/webhooks", &asked).await.expect(201);
    let path = made.header("location").to_owned();
    assert_eq!(path, format!("/api/v1/webhooks/{}", made.json["id"].as_str().expect("an id")));
    for key in ["url", "events", "description"] {
        assert_eq!(made.json[key], asked[key]);
    }
    let shown = app.get(&path).await.expect(200).json;
    assert_eq!((shown.get("secret"), &shown["enabled"]), (None, &json!(true)));
    let list = app.get("/api/v1/webhooks").await.expect(200).json;
    assert_eq!(list["data"], json!([shown]));
    let rotated = app.post(&format!("{path}/rotate"), &json!({})).await.expect(200).json;
    assert!(rotated["secret"] != made.json["secret"] && Secret::parse(rotated["secret"].as_str().expect("a text")).is_some());
    let body = json!({ "enabled": false, "events": ["job.started"] }).to_string();
    let changed = app.send("PATCH", &path, &[("content-type", "application/json")], body).await.expect(200).json;
    assert_eq!((&changed["enabled"], &changed["events"], &changed["url"]), (&json!(false), &json!(["job.started"]), &asked["url"]));
    assert_eq!(app.get(&format!("{path}/deliveries")).await.expect(200).json["data"], json!([]));
    app.delete(&path).await.expect(204);
    for gone in [app.get(&path).await, app.delete(&path).await, app.get(&format!("{path}/deliveries")).await] {
        gone.expect_problem(404, "not_found");
    }
    app.send("POST", &format!("{path}/rotate"), &[], "").await.expect_problem(404, "not_found");
    app.send("POST", &format!("{path}/deliveries/msg_x/resend"), &[], "").await.expect_problem(404, "not_found");
    app.get("/api/v1/webhooks/jobs").await.expect_problem(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn what_may_not_be_reached_or_does_not_exist_is_refused_with_its_place() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    for url in [
        "http://example.com/",
        "https://127.0.0.1/",
        "https://localhost:8443/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:7f00:1]/",
        "https://2130706433/",
        "https://user:pw@example.com/",
        "https://example.com:22/",
        "file:///etc/passwd",
        "",
    ] {
        let refused =
            app.post("/api/v1/webhooks", &json!({ "url": url, "events": ["job.failed"] })).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.json["errors"][0]["pointer"], "#/url", "{url}");
        let mut job = fit("tiny", json!({}));
        job["webhook"] = json!({ "url": url });
        let refused = app.post("/api/v1/jobs", &job).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.json["errors"][0]["pointer"], "#/webhook/url", "{url}");
        app.post("/api/v1/jobs?validate_only=true", &job).await.expect(422);
    }
    let mut job = fit("tiny", json!({}));
    job["webhook"] = json!({ "url": "https://example.com/", "events": ["dataset.ready"] });
    let refused = app.post("/api/v1/jobs", &job).await.expect(422);
    assert_eq!(refused.json["errors"][0]["pointer"], "#/webhook/events/0");
    let refused = app.post("/api/v1/webhooks", &json!({ "url": "https://example.com/", "events": ["x"], "more": 1 })).await.expect(422);
    assert_eq!(refused.json["errors"].as_array().map(Vec::len), Some(2));
    app.send("POST", "/api/v1/webhooks", &[("content-type", "text/plain")], "{}").await.expect_problem(415, "unsupported_media_type");
    app.get("/api/v1/webhooks/jobs/deliveries?status=lost").await.expect(422);
    assert_eq!(app.get("/api/v1/webhooks").await.expect(200).json["data"], json!([]));
    assert_eq!(app.get("/api/v1/jobs").await.expect(200).json["data"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn a_message_refused_once_comes_again_and_every_time_signed() {
    let (clock, ambient) = Ahead::ambient();
    let app = reaching_loopback(ambient).await;
    let mut receiver = Receiver::start(&[BROKEN, OK]).await;
    let (id, secret) = endpoint(&app, &url(&receiver), &["job.succeeded"]).await;
    app.upload("tiny", TINY).await.expect(201);
    let job = app.submit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202).json;
    app.work().await;
    let first = receiver.next().await;
    assert_eq!(first.line(), "POST /hooks HTTP/1.1");
    let body = verify(&first, std::slice::from_ref(&secret));
    assert_eq!((&body["type"], &body["data"]["id"], &body["data"]["model_version"]), (&json!("job.succeeded"), &job["id"], &json!("m:1")));
    assert_eq!(app.get(body["data"]["href"].as_str().expect("a path")).await.expect(200).json["status"], "succeeded");
    let refused = deliveries(&app, &id, |all| all[0]["last_status"] == 500).await.remove(0);
    assert_eq!((&refused["status"], &refused["attempts"], &refused["message"]), (&json!("pending"), &json!(1), &body));

    clock.go(10);
    let second = receiver.next().await;
    assert_eq!(verify(&second, std::slice::from_ref(&secret)), body);
    assert_eq!(second.header("webhook-id"), first.header("webhook-id"));
    let done = deliveries(&app, &id, |all| all[0]["status"] != "pending").await.remove(0);
    assert_eq!((&done["status"], &done["attempts"], &done["last_status"]), (&json!("delivered"), &json!(2), &json!(204)));
    assert_eq!(done["id"], second.header("webhook-id"));

    let counted = app.get("/metrics").await.expect(200).text();
    for (outcome, count) in [("delivered", 1), ("retried", 1), ("failed", 0)] {
        assert!(counted.contains(&format!("webhook_deliveries_total{{outcome=\"{outcome}\"}} {count}\n")), "{counted}");
    }

    // sent again by hand, after a rotation: both secrets sign
    let new = app.post(&format!("/api/v1/webhooks/{id}/rotate"), &json!({})).await.expect(200).json;
    let new = Secret::parse(new["secret"].as_str().expect("a text")).expect("a secret");
    let resend = format!("/api/v1/webhooks/{id}/deliveries/{}/resend", second.header("webhook-id"));
    assert_eq!(app.post(&resend, &json!({})).await.expect(202).json["status"], "pending");
    let third = receiver.next().await;
    assert_eq!(verify(&third, &[new.clone(), secret]), body);
    deliveries(&app, &id, |all| all[0]["status"] == "delivered").await;
    clock.go(25 * 3600);
    app.post(&resend, &json!({})).await.expect(202);
    verify(&receiver.next().await, &[new]);
    app.stop().await;
}

#[tokio::test]
async fn a_job_names_a_hook_of_its_own_signed_with_the_secret_of_the_project() {
    let app = reaching_loopback(Ambient::system()).await;
    let secret = app.send("POST", "/api/v1/webhooks/jobs/rotate", &[], "").await.expect(200).json;
    let secret = Secret::parse(secret["secret"].as_str().expect("a text")).expect("a secret");
    let mut receiver = Receiver::start(&[OK]).await;
    app.upload("tiny", TINY).await.expect(201);
    let mut job = fit("tiny", json!({}));
    job["webhook"] = json!({ "url": url(&receiver), "events": ["job.cancelled"] });
    let job = app.post("/api/v1/jobs", &job).await.expect(202).json;
    let other = app.submit("tiny", json!({})).await.expect(202).json;
    for job in [&other, &job] {
        app.post(&format!("/api/v1/jobs/{}/cancel", job["id"].as_str().expect("an id")), &json!({})).await.expect(200);
    }
    let body = verify(&receiver.next().await, &[secret]);
    assert_eq!((&body["type"], &body["data"]["id"], &body["data"]["reason"]), (&json!("job.cancelled"), &job["id"], &json!("user")));
    let told = deliveries(&app, "jobs", |all| all[0]["status"] == "delivered").await;
    assert_eq!((told.len(), &told[0]["webhook"], &told[0]["job"]), (1, &json!("jobs"), &job["id"]));
    let of_other = format!("/api/v1/webhooks/jobs/deliveries?job={}", other["id"].as_str().expect("an id"));
    assert_eq!(app.get(&of_other).await.expect(200).json["data"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn receivers_that_are_down_redirect_or_hang_cost_no_job_and_no_stop() {
    let app = reaching_loopback(Ambient::system()).await;
    let elsewhere = Receiver::start(&[OK]).await;
    let away = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", url(&elsewhere));
    let (redirecting, mut silent) = (Receiver::start(&[&away]).await, Receiver::start(&[SILENCE]).await);
    let (gone, down) = (Receiver::start(&["HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"]).await, Receiver::start(&[OK]).await);
    let nobody = url(&down);
    drop(down);
    let ends = ["job.succeeded"];
    let mut ids = Vec::new();
    for url in [url(&redirecting), url(&silent), url(&gone), nobody] {
        ids.push(endpoint(&app, &url, &ends).await.0);
    }
    app.upload("tiny", TINY).await.expect(201);
    let job = app.submit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202).json;
    app.work().await;
    assert_eq!(app.get(job["links"]["self"].as_str().expect("a path")).await.expect(200).json["status"], "succeeded");
    silent.next().await;
    let told = deliveries(&app, &ids[0], |all| !all[0]["last_error"].is_null()).await.remove(0);
    assert_eq!((&told["status"], &told["last_error"]), (&json!("pending"), &json!("answered 307; redirects are not followed")));
    let told = deliveries(&app, &ids[2], |all| all[0]["status"] == "failed").await.remove(0);
    assert_eq!((&told["last_status"], &told["last_error"]), (&json!(410), &json!("the receiver wants no more messages")));
    assert_eq!(app.get(&format!("/api/v1/webhooks/{}", ids[2])).await.expect(200).json["enabled"], false);
    let resend = format!("/api/v1/webhooks/{}/deliveries/{}/resend", ids[2], told["id"].as_str().expect("an id"));
    app.post(&resend, &json!({})).await.expect_problem(409, "conflict");
    let told = deliveries(&app, &ids[3], |all| !all[0]["last_error"].is_null()).await.remove(0);
    assert!(told["last_error"].as_str().expect("a text").starts_with("no connection"), "{told}");
    assert_eq!(elsewhere.connections(), 0);
    // the silent receiver still holds its message
    app.stop().await;
}
