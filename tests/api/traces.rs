//! Traces: what `traceparent` leaves in a job, and what a collector is told of requests and attempts.

#[path = "../support/collector.rs"]
mod collector;

use collector::{Collector, Told};
use serde_json::{Value, json};
use sparsefit::ambient::Ambient;
use tokio::net::TcpListener;

use crate::app::{TestApp, fit};
use crate::data::TINY;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const JSON: (&str, &str) = ("content-type", "application/json");

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

fn one_value() -> Value {
    json!({ "lambda": { "mode": "value", "value": 0.1 } })
}

/// A server that sends its spans to this address, and works.
async fn traced(endpoint: &str) -> TestApp {
    let endpoint = endpoint.parse().expect("an endpoint");
    let app = TestApp::start_configured(
        |config| {
            config.otlp_endpoint = Some(endpoint);
            config.workers = 1;
        },
        Ambient::system(),
    )
    .await;
    app.upload("tiny", TINY).await.expect(201);
    app
}

/// A fit on `tiny` that is waited for, asked for from a place in a trace.
async fn fitted(app: &TestApp, from: &str, spec: Value) -> Value {
    let headers = [JSON, ("prefer", "wait=50"), ("traceparent", from)];
    app.send("POST", "/api/v1/jobs", &headers, fit("tiny", spec).to_string()).await.expect(200).json
}

#[track_caller]
fn attribute<'a>(told: &'a Told, name: &str) -> &'a str {
    told.attributes.get(name).unwrap_or_else(|| panic!("no {name} in {told:?}"))
}

#[tokio::test]
async fn a_job_shows_the_trace_of_its_request_without_a_collector_too() {
    let app = TestApp::start().await;
    app.upload("tiny", TINY).await.expect(201);
    let body = fit("tiny", one_value()).to_string();
    let path = "/api/v1/jobs";
    let made = app.send("POST", path, &[JSON, ("traceparent", &traceparent("00"))], body.clone()).await.expect(202).json;
    assert_eq!(made["trace_id"], TRACE);
    let link = made["links"]["self"].as_str().expect("a link").to_owned();
    assert_eq!(app.get(&link).await.expect(200).json["trace_id"], TRACE);
    for headers in [vec![JSON], vec![JSON, ("traceparent", "00-nonsense-01")]] {
        assert_eq!(app.send("POST", path, &headers, body.clone()).await.expect(202).json["trace_id"], Value::Null);
    }
    app.send("POST", &format!("{link}/cancel"), &[], "").await.expect(200);
    let again = format!("{link}/retry");
    assert_eq!(app.send("POST", &again, &[], "").await.expect(202).json["trace_id"], Value::Null, "another request, another trace");
    app.work().await;
    app.stop().await;
}

#[tokio::test]
async fn a_request_goes_on_from_its_traceparent_and_the_attempt_from_the_request() {
    let collector = Collector::start().await;
    let app = traced(&collector.endpoint()).await;
    let job = fitted(&app, &traceparent("01"), one_value()).await;
    assert_eq!(job["trace_id"], TRACE);
    app.get("/api/v1/nothing/here").await.expect(404);
    app.stop().await;

    let request = collector.one(TRACE, "POST /api/v1/jobs");
    assert_eq!((request.parent.as_str(), request.kind, request.failed), (SPAN, 2, false));
    assert_eq!(attribute(&request, "http.route"), "/api/v1/jobs");
    assert_eq!(attribute(&request, "http.response.status_code"), "200");
    assert_eq!(Some(attribute(&request, "request_id")), job["request_id"].as_str());

    let attempt = collector.one(TRACE, "attempt fit");
    assert_eq!((&attempt.parent, attempt.kind, attempt.failed), (&request.span, 5, false));
    assert_eq!(Some(attribute(&attempt, "job")), job["id"].as_str());
    assert_eq!((attribute(&attempt, "attempt"), attribute(&attempt, "kind"), attribute(&attempt, "ending")), ("1", "fit", "succeeded"));
    for part in ["load", "fit", "finish"] {
        assert_eq!(collector.one(TRACE, part).parent, attempt.span, "{part}");
    }

    let spans = collector.spans();
    let upload = spans.iter().find(|told| told.name == "POST /api/v1/datasets").expect("the upload is told of");
    assert!(upload.parent.is_empty() && upload.trace != TRACE, "it began a trace: {upload:?}");
    assert!(spans.iter().any(|told| told.name == "GET" && attribute(told, "http.response.status_code") == "404"), "{spans:#?}");
    let said = format!("{spans:?}");
    assert!(!said.contains("tiny") && !said.contains("default"), "no name of a client's or project's: {said}");
    let heads = collector.heads();
    assert!(heads.iter().all(|head| head.starts_with("post /v1/traces http/1.1") && head.contains("application/x-protobuf")), "{heads:?}");
}

#[tokio::test]
async fn a_job_without_traceparent_belongs_to_the_trace_that_its_request_began() {
    let collector = Collector::start().await;
    let app = traced(&collector.endpoint()).await;
    let headers = [JSON, ("prefer", "wait=50")];
    let job = app.send("POST", "/api/v1/jobs", &headers, fit("tiny", one_value()).to_string()).await.expect(200).json;
    app.stop().await;
    let trace = job["trace_id"].as_str().expect("a trace");
    let request = collector.one(trace, "POST /api/v1/jobs");
    assert_eq!((request.parent.as_str(), &collector.one(trace, "attempt fit").parent), ("", &request.span));
}

#[tokio::test]
async fn what_the_client_does_not_sample_is_not_told() {
    let collector = Collector::start().await;
    let app = traced(&collector.endpoint()).await;
    assert_eq!(fitted(&app, &traceparent("00"), one_value()).await["trace_id"], TRACE);
    app.stop().await;
    let spans = collector.spans();
    assert!(!spans.is_empty() && spans.iter().all(|told| told.trace != TRACE), "{spans:#?}");
}

#[tokio::test]
async fn a_dead_and_a_silent_collector_fail_nothing() {
    // one that refuses connections, and one that takes them and says nothing
    let dead = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    for address in [dead, silent.local_addr().expect("an address")] {
        let app = traced(&format!("http://{address}")).await;
        let job = fitted(&app, &traceparent("01"), one_value()).await;
        assert_eq!((&job["status"], &job["trace_id"]), (&json!("succeeded"), &json!(TRACE)));
        app.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_sent_without_an_endpoint() {
    let collector = Collector::start().await;
    // a server that is told of a collector by nobody, whatever stands in the request
    let app = TestApp::start_configured(|config| config.workers = 1, Ambient::system()).await;
    app.upload("tiny", TINY).await.expect(201);
    fitted(&app, &traceparent("01"), one_value()).await;
    app.stop().await;
    assert!(collector.heads().is_empty() && collector.spans().is_empty());
    let off = sparsefit::trace::Traces::default().begin(|| panic!("no name is made"), sparsefit::trace::Side::Part, None);
    assert_eq!(off.traceparent(), None);
}
