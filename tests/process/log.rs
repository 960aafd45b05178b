//! The log as it is written: nothing secret in it, nothing forged, and a request's id from its line to its job's.

use serde_json::Value;

use crate::child::{Served, refused};

const HOSTILE_NAME: &str = "x%0D%0A%1B%5B31mERROR%20forged%E2%80%A8%E2%80%AE";

fn lines(log: &str) -> Vec<Value> {
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"))).collect()
}

#[test]
fn what_is_sent_in_confidence_is_not_in_the_log_and_each_line_is_one_event() {
    let served = Served::start("", &["--log-json", "--log", "trace"]);
    let secret = |place: &str| format!("canary-{place}-5f2b");
    let places = ["bearer", "header", "cookie", "query", "body", "cell", "meta", "key"];
    let headers = format!(
        "Authorization: Bearer {}\r\nX-Other: {}\r\nCookie: a={}\r\nIdempotency-Key: {}\r\n",
        secret("bearer"),
        secret("header"),
        secret("cookie"),
        secret("key")
    );
    let json = format!("{headers}Content-Type: application/json\r\n");
    served.ask("GET", &format!("/api/v1/jobs?token={}", secret("query")), &headers, "");
    served.ask("GET", &format!("/{}", secret("query")), &headers, "");
    served.ask("POST", &format!("/api/v1/datasets?name={HOSTILE_NAME}"), &json, "{}");
    let rows = format!(r#"{{"format":"records","target":"t","records":[{{"{0}":1,"t":"{0}"}},{{"b":"{0}","t":1}}]}}"#, secret("cell"));
    served.ask("POST", "/api/v1/datasets?name=d", &json, &rows);
    let job =
        format!(r#"{{"type":"fit","model":"m","dataset":{{"name":"d"}},"spec":{{"{0}":1}},"metadata":{{"a":"{0}"}}}}"#, secret("meta"));
    served.ask("POST", "/api/v1/jobs", &json, &job);
    served.ask("POST", "/api/v1/jobs", &json, &secret("body"));
    served.raw(format!("GET /{} HTTP/9.9\r\n\r\n", secret("query")).as_bytes());
    let log = served.stop();
    assert!(lines(&log).len() > 5, "it does log: {log}");
    for place in places {
        assert!(!log.contains(&secret(place)), "{place}: {log}");
    }
    assert!(!log.contains("forged") || !log.contains('\u{1b}'), "{log}");
}

#[test]
fn the_id_of_a_request_leads_to_the_lines_of_its_job() {
    let served = Served::start("", &["--log-json"]);
    let json = "Content-Type: application/json\r\nPrefer: wait=60\r\nX-Request-Id: theirs\u{202e}\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
    let stored = served.ask("POST", "/api/v1/datasets?name=d", "Content-Type: text/libsvm\r\n", "1 1:1\n0 2:1\n1 1:2\n0 2:2\n");
    assert!(stored.starts_with("HTTP/1.1 201"), "{stored}");
    let job = r#"{"type":"fit","model":"m","dataset":{"name":"d"},"spec":{"lambda":{"mode":"value","value":0.1}}}"#;
    let answer = served.ask("POST", "/api/v1/jobs", json, job);
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("a request id").to_owned();
    while !served.ask("GET", "/api/v1/jobs?status=succeeded", "", "").contains(&id) {}
    let log = served.stop();
    let of_request: Vec<Value> = lines(&log).into_iter().filter(|line| line["request_id"] == id.as_str()).collect();
    let said = |message: &str| of_request.iter().find(|line| line["message"] == message).unwrap_or_else(|| panic!("{message}: {log}"));
    let line = said("request");
    assert_eq!((&line["method"], &line["route"]), (&"POST".into(), &"/api/v1/jobs".into()));
    assert!(line["status"].is_u64() && line["ms"].is_f64(), "{line}");
    assert_eq!(line["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(!log.contains('\u{202e}'), "{log}");
    assert_eq!(said("job ended")["status"], "succeeded");
}

#[test]
fn a_password_of_the_database_is_not_told_when_the_start_fails() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for url in ["postgres://user:canary-5f2b@127.0.0.1:1/none", "postgres://user:canary-5f2b@[::1/none", "canary-5f2b"] {
        for more in [&["--log-json"][..], &[]] {
            let arguments: Vec<&str> = [&["--database-url", url, "--log", "trace"][..], more].concat();
            let said = refused(&arguments, &dir.path().join("data"));
            assert!(!said.is_empty() && !said.contains("canary-5f2b"), "{said}");
        }
    }
}
