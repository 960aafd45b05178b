//! Who gets in and what they see. The matrix walks the route table: a route that is not named in [`objects`] fails it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use sparsefit::access::{NewKey, Scope, Scopes};
use sparsefit::ambient::{Ambient, Clock};
use sparsefit::api::{self, Access, Route};
use sparsefit::config::Limits;

use crate::app::{Answer, TestApp, fit};
use crate::data::{TINY, with_model};
use crate::shutdown::sparsefit;

const READS: [Scope; 3] = [Scope::DatasetsRead, Scope::JobsRead, Scope::ModelsRead];

/// The system's clock, moved on.
struct Moved(Arc<AtomicI64>);

impl Clock for Moved {
    fn now_micros(&self) -> i64 {
        Ambient::system().now_micros() + self.0.load(Ordering::Relaxed)
    }
}

/// A server with a data set, a job and a model in `default`, and keys of many kinds.
struct House {
    app: TestApp,
    keys: BTreeMap<&'static str, String>,
    /// Path parameters of what is there in `default`.
    there: BTreeMap<&'static str, String>,
    /// The same for what is nowhere.
    absent: BTreeMap<&'static str, String>,
}

fn new_key(project: &str, scopes: Scopes, days: Option<u32>) -> NewKey {
    NewKey { project: project.into(), name: "a key".into(), scopes, expires_in_days: days }
}

fn unlimited() -> Limits {
    Limits { auth_failures_per_minute: u64::MAX, ..Limits::default() }
}

impl House {
    async fn build() -> Self {
        let moved = Arc::new(AtomicI64::new(0));
        let ambient = Ambient { clock: Arc::new(Moved(moved.clone())), ..Ambient::system() };
        let app = TestApp::start_in(unlimited(), ambient).await;
        let hook = app.post("/api/v1/webhooks", &hook()).await.expect(201).json["id"].as_str().expect("an id").to_owned();
        with_model(&app).await;
        let pointed = app.send("PUT", "/api/v1/models/m/aliases/production", &[("content-type", "application/json")], r#"{"version":1}"#);
        pointed.await.expect(201);
        let message = app.get(&format!("/api/v1/webhooks/{hook}/deliveries")).await.expect(200).json["data"][0]["id"].clone();
        let job = app.get("/api/v1/jobs").await.expect(200).json["data"][0]["id"].as_str().expect("an id").to_owned();
        let wish = json!({ "name": "first", "scopes": Scopes::ALL.words() });
        let first = app.post("/api/v1/keys", &wish).await.expect(201).json;
        let mut keys = BTreeMap::from([("owner", first["key"].as_str().expect("a key").to_owned())]);
        let mut ids = BTreeMap::new();
        let reads: Scopes = READS.into_iter().collect();
        for (word, project, scopes, days) in [
            ("foreign", "other", Scopes::ALL, None),
            ("reader", "default", reads, None),
            ("expired", "default", Scopes::ALL, Some(1)),
            ("revoked", "default", Scopes::ALL, None),
            ("target", "default", reads, None),
        ] {
            let (row, token) = app.store().add_key(new_key(project, scopes, days)).await.expect("the store answers");
            keys.insert(word, token.reveal().to_owned());
            ids.insert(word, row.id.to_string());
        }
        moved.store(2 * 86_400 * 1_000_000, Ordering::Relaxed);
        let owner = format!("Bearer {}", keys["owner"]);
        // Through the API, so that this server knows all keys from here on.
        let gone = app.send("DELETE", &format!("/api/v1/keys/{}", ids["revoked"]), &[("authorization", &owner)], "").await;
        gone.expect(204);
        let mut wrong = keys["owner"].clone();
        let last = if wrong.pop() == Some('0') { '1' } else { '0' };
        wrong.push(last);
        keys.insert("right id, wrong secret", wrong);
        keys.insert("unknown id", "sk_01M85Q1GZFE8P80VXDZP7QS28Y_".to_owned() + &"0".repeat(64));
        keys.insert("nonsense", "x".to_owned());
        let text = |text: &str| text.to_owned();
        let message = text(message.as_str().expect("an id"));
        let there = [
            ("webhook", hook),
            ("delivery", message),
            ("dataset", text("tiny")),
            ("version", text("1")),
            ("model", text("m")),
            ("alias", text("production")),
            ("plot", text("histogram.svg")),
            ("job", job),
            ("key", ids["target"].clone()),
        ];
        let absent = [
            ("dataset", text("none")),
            ("version", text("1")),
            ("model", text("none")),
            ("alias", text("production")),
            ("plot", text("histogram.svg")),
            ("job", text("job_01M85Q1GZFE8P80VXDZP7QS28Y")),
            ("key", text("key_01M85Q1GZFE8P80VXDZP7QS28Y")),
            ("webhook", text("wh_01M85Q1GZFE8P80VXDZP7QS28Y")),
            ("delivery", text("msg_01M85Q1GZFE8P80VXDZP7QS28Y")),
        ];
        Self { app, keys, there: there.into(), absent: absent.into() }
    }

    async fn ask(&self, key: &str, method: &str, path: &str, body: &(&'static str, String)) -> Answer {
        let credential = format!("Bearer {}", self.keys[key]);
        let mut headers = vec![("authorization", credential.as_str())];
        if !body.0.is_empty() {
            headers.push(("content-type", body.0));
        }
        self.app.send(method, path, &headers, body.1.clone()).await
    }

    async fn lists(&self, key: &str) -> Vec<Value> {
        let mut all = Vec::new();
        for list in ["datasets", "jobs", "models"] {
            all.push(self.ask(key, "GET", &format!("/api/v1/{list}"), &nothing()).await.expect(200).json["data"].clone());
        }
        all
    }
}

fn hook() -> Value {
    json!({ "url": "https://hooks.example.com/fits", "events": ["job.started", "job.succeeded", "job.cancelled"] })
}

fn nothing() -> (&'static str, String) {
    ("", String::new())
}

/// What a route is sent; a route that is not here has not been thought about, and fails the matrix.
fn body(route: &Route, objects: &BTreeMap<&str, String>) -> (&'static str, String) {
    let job = || fit(&objects["dataset"], json!({ "lambda": { "mode": "value", "value": 0.1 } })).to_string();
    let key = || json!({ "name": "n", "scopes": ["jobs:read"] }).to_string();
    let comparison = || json!({ "dataset": { "name": objects["dataset"] }, "spec": { "models": [objects["model"]] } }).to_string();
    match (route.method, route.path.trim_start_matches("/api/v1/")) {
        ("POST", "datasets") => ("text/libsvm", TINY.to_owned()),
        ("POST", "jobs") => ("application/json", job()),
        ("POST", "comparisons") => ("application/json", comparison()),
        ("POST", "webhooks") => ("application/json", hook().to_string()),
        ("PATCH", "webhooks/{webhook}") => ("application/json", json!({ "description": "mine now" }).to_string()),
        ("POST", "webhooks/{webhook}/rotate" | "webhooks/{webhook}/deliveries/{delivery}/resend") => nothing(),
        ("POST", "keys") => ("application/json", key()),
        ("PUT", "models/{model}/aliases/{alias}") => ("application/json", json!({ "version": 1 }).to_string()),
        ("POST", "models/{model}/versions/{version}/promote") => ("application/json", json!({ "index": 0 }).to_string()),
        ("POST", "models/{model}/predict" | "models/{model}/versions/{version}/predict") => ("text/libsvm", "1 1:1\n".to_owned()),
        ("POST", "jobs/cancel" | "jobs/{job}/cancel" | "jobs/{job}/retry") | ("GET" | "DELETE", _) => nothing(),
        (method, path) => panic!("the matrix does not know what to send to {method} {path}"),
    }
}

/// The route's path with its parameters filled in, and what an upload needs besides.
fn fill(route: &Route, objects: &BTreeMap<&str, String>) -> String {
    let segment = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
        None => part.to_owned(),
        Some(name) => objects.get(name).unwrap_or_else(|| panic!("the matrix has no {name} for {}", route.path)).clone(),
    };
    let path = route.path.split('/').map(segment).collect::<Vec<_>>().join("/");
    if (route.method, route.path) == ("POST", "/api/v1/datasets") { path + "?name=mine" } else { path }
}

fn guarded() -> Vec<Route> {
    api::routes().into_iter().filter(|route| route.access != Access::Public).collect()
}

/// An answer without what names the request: everything a stranger could compare.
fn comparable(answer: &Answer) -> (u16, String, String) {
    let mut json = answer.json.clone();
    for name in ["instance", "request_id"] {
        json.as_object_mut().and_then(|fields| fields.remove(name));
    }
    (answer.status, json.to_string(), answer.header("www-authenticate").to_owned())
}

#[test]
fn what_is_public_is_health_version_and_documentation_and_nothing_else() {
    let public: Vec<_> = api::routes().into_iter().filter(|route| route.access == Access::Public).map(|route| route.path).collect();
    let expected = ["/livez", "/readyz", "/version", "/openapi.json", "/docs", "/docs/docs.js", "/docs/docs.css", "/problems/{code}"];
    assert_eq!(public, expected);
    for route in guarded() {
        let operation = &crate::schema::document()["paths"][route.path][route.method.to_lowercase()];
        let documented = operation.get("x-scope").and_then(Value::as_str);
        let wanted: Vec<&str> = route.access.scopes().map(|scope| scope.as_str()).collect();
        assert_eq!(documented.unwrap_or_default(), wanted.join(" "), "{} {}", route.method, route.path);
        assert!(operation.get("security").is_none(), "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn every_method_of_every_route_is_closed_to_whoever_has_no_valid_key() {
    let house = House::build().await;
    let before = house.lists("owner").await;
    let mut bodies = std::collections::BTreeSet::new();
    let mut asked = 0;
    for route in guarded() {
        let (path, body) = (fill(&route, &house.there), body(&route, &house.there));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let answer = house.app.send(method, &path, &[("content-type", "text/libsvm")], body.1.clone()).await;
            bodies.insert(comparable(&answer.expect_problem(401, "unauthenticated")));
            asked += 1;
        }
        for key in ["expired", "revoked", "right id, wrong secret", "unknown id", "nonsense"] {
            let answer = house.ask(key, route.method, &path, &body).await;
            bodies.insert(comparable(&answer.expect_problem(401, "unauthenticated")));
        }
    }
    let path = "/api/v1/jobs";
    let owner = &house.keys["owner"];
    for wrong in ["", "Bearer", "Bearer ", &format!("Basic {owner}"), owner, &format!("Bearer {owner} {owner}")] {
        let answer = house.app.send("GET", path, &[("authorization", wrong)], "").await;
        bodies.insert(comparable(&answer.expect_problem(401, "unauthenticated")));
    }
    let right = format!("Bearer {owner}");
    let twice = house.app.send("GET", path, &[("authorization", &right), ("authorization", &right)], "").await;
    bodies.insert(comparable(&twice.expect_problem(401, "unauthenticated")));
    let in_query = house.app.get(&format!("{path}?key={owner}&access_token={owner}")).await;
    bodies.insert(comparable(&in_query.expect_problem(401, "unauthenticated")));
    let nowhere = house.app.get("/api/v1/nowhere").await;
    bodies.insert(comparable(&nowhere.expect_problem(401, "unauthenticated")));
    assert_eq!(bodies.len(), 1, "every reason has the same answer: {bodies:#?}");
    assert_eq!(bodies.first().map(|one| one.2.as_str()), Some("Bearer"));
    assert!(asked > 100, "{asked}");
    for method in ["HEAD", "TRACE", "FOO"] {
        let answer = house.app.raw(format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    assert_eq!(house.lists("owner").await, before, "and nothing happened");
    house.app.get("/livez").await.expect(200);
    house.ask("owner", "GET", "/api/v1/nowhere", &nothing()).await.expect_problem(404, "not_found");
    house.ask("owner", "PUT", path, &nothing()).await.expect_problem(405, "method_not_allowed");
    house.app.send("PUT", "/livez", &[], "").await.expect_problem(405, "method_not_allowed");
    house.app.stop().await;
}

#[tokio::test]
async fn a_key_too_long_for_a_head_is_refused_with_the_head() {
    let app = TestApp::start().await;
    let head = format!("GET /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n", "k".repeat(1 << 20));
    let answer = app.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    app.stop().await;
}

#[tokio::test]
async fn what_belongs_to_another_project_answers_as_if_it_were_absent() {
    let house = House::build().await;
    let before = house.lists("owner").await;
    for route in guarded() {
        let foreign = house.ask("foreign", route.method, &fill(&route, &house.there), &body(&route, &house.there)).await;
        let absent = house.ask("foreign", route.method, &fill(&route, &house.absent), &body(&route, &house.absent)).await;
        if route.path.contains('{') || (route.method, route.path) == ("POST", "/api/v1/jobs") {
            assert_eq!(comparable(&foreign), comparable(&absent), "{} {}", route.method, route.path);
            assert_eq!(foreign.status, 404, "{} {}", route.method, route.path);
        }
        let told = comparable(&foreign).1;
        for secret in [&house.there["job"], &house.there["key"], "\"m\"", "\"tiny\""] {
            assert!(!told.contains(secret), "{} {} leaks {secret}: {told}", route.method, route.path);
        }
    }
    for (method, path) in [("DELETE", "/api/v1/jobs?status=succeeded"), ("POST", "/api/v1/jobs/cancel?model=m")] {
        let many = house.ask("foreign", method, path, &nothing()).await;
        assert_eq!((many.status < 300, &many.json["matched"]), (true, &json!(0)), "{}", many.json);
    }
    assert_eq!(house.lists("owner").await, before);
    // What the stranger uploaded is the stranger's own.
    assert_eq!(house.lists("foreign").await[0][0]["dataset"], "mine");

    for name in ["a", "b"] {
        house.ask("owner", "POST", &format!("/api/v1/datasets?name={name}"), &("text/libsvm", TINY.into())).await.expect(201);
    }
    let page = house.ask("owner", "GET", "/api/v1/datasets?limit=1", &nothing()).await.expect(200).json;
    let path = format!("/api/v1/datasets?limit=1&cursor={}", page["next_cursor"].as_str().expect("more"));
    house.ask("owner", "GET", &path, &nothing()).await.expect(200);
    house.ask("foreign", "GET", &path, &nothing()).await.expect_problem(400, "invalid_cursor");
    house.app.stop().await;
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_no_more() {
    let house = House::build().await;
    let before = house.lists("owner").await;
    for route in guarded() {
        let answer = house.ask("reader", route.method, &fill(&route, &house.there), &body(&route, &house.there)).await;
        let may = route.access.scopes().all(|scope| READS.contains(&scope));
        let about = format!("{} {}: {}", route.method, route.path, answer.text());
        if may {
            // The model here is no tree, no rules and no network, predicts no number, and was chosen neither by cross-validation nor by halves of the rows; the job is a fit.
            let lacks = ["no_cv", "no_stability", "no_tree", "no_rules", "no_layers", "no_plot", "no_comparison", "no_fidelity"];
            let lacks = lacks.contains(&answer.json["code"].as_str().unwrap_or_default());
            assert!(answer.status == 200 || lacks, "{about}");
        } else {
            assert_eq!((answer.status, &answer.json["code"]), (403, &json!("forbidden")), "{about}");
        }
    }
    assert_eq!(house.lists("owner").await, before);
    house.app.stop().await;
}

#[tokio::test]
async fn a_key_is_shown_once_listed_without_its_text_and_worth_nothing_once_revoked() {
    let app = TestApp::start().await;
    app.get("/api/v1/jobs").await.expect(200);
    let wish = json!({ "name": "Anna's laptop", "scopes": ["admin"], "expires_in_days": 7, "project": "growth" });
    let made = app.post("/api/v1/keys", &wish).await.expect(201);
    assert_eq!(made.header("cache-control"), "no-store");
    let key = made.json["key"].as_str().expect("a key").to_owned();
    let bearer = format!("Bearer {key}");
    let own = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    app.get("/api/v1/jobs").await.expect_problem(401, "unauthenticated");
    let listed = app.send("GET", "/api/v1/keys", &own, "").await.expect(200);
    assert_eq!(listed.json["data"][0]["status"], "active");
    assert!(!listed.text().contains(&key[30..]), "{}", listed.text());
    let one = app.send("GET", made.header("location"), &own, "").await.expect(200).json;
    assert_eq!((&one["id"], &one["project"], one.get("key")), (&made.json["id"], &json!("growth"), None));

    for (body, status, code, pointer) in [
        (json!({ "scopes": ["admin"] }), 422, "invalid_field", "#/name"),
        (json!({ "name": "a\u{7}", "scopes": ["admin"] }), 422, "invalid_field", "#/name"),
        (json!({ "name": "a", "scopes": [] }), 422, "invalid_field", "#/scopes"),
        (json!({ "name": "a", "scopes": ["jobs:all"] }), 422, "invalid_field", "#/scopes"),
        (json!({ "name": "a", "scopes": "admin" }), 422, "invalid_field", "#/scopes"),
        (json!({ "name": "a", "scopes": ["admin"], "project": "../x" }), 422, "invalid_field", "#/project"),
        (json!({ "name": "a", "scopes": ["admin"], "expires_in_days": 0 }), 422, "invalid_field", "#/expires_in_days"),
        (json!({ "name": "a", "scopes": ["admin"], "id": "key_1" }), 422, "unknown_field", "#/id"),
        (json!([]), 422, "invalid_field", "#"),
    ] {
        let answer = app.send("POST", "/api/v1/keys", &own, body.to_string()).await.expect_problem(status, code);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{body}");
    }
    let elsewhere = json!({ "name": "a", "scopes": ["admin"], "project": "default" });
    app.send("POST", "/api/v1/keys", &own, elsewhere.to_string()).await.expect_problem(403, "forbidden");
    let second = app.send("POST", "/api/v1/keys", &own, json!({ "name": "a", "scopes": ["admin"] }).to_string()).await.expect(201);
    assert_eq!(second.json["project"], "growth");

    for _ in 0..2 {
        app.send("DELETE", second.header("location"), &own, "").await.expect(204);
    }
    assert_eq!(app.send("GET", second.header("location"), &own, "").await.expect(200).json["status"], "revoked");
    let revoked = format!("Bearer {}", second.json["key"].as_str().expect("a key"));
    app.send("GET", "/api/v1/keys", &[("authorization", &revoked)], "").await.expect_problem(401, "unauthenticated");
    app.send("DELETE", made.header("location"), &own, "").await.expect(204);
    app.get("/api/v1/jobs").await.expect_problem(401, "unauthenticated");
    app.stop().await;
}

#[tokio::test]
async fn the_twenty_first_wrong_key_is_one_too_many_and_good_keys_still_pass() {
    let app = TestApp::start().await;
    let made = app.post("/api/v1/keys", &json!({ "name": "a", "scopes": ["jobs:read"] })).await.expect(201);
    for _ in 0..20 {
        app.send("GET", "/api/v1/jobs", &[("authorization", "Bearer sk_x_y")], "").await.expect_problem(401, "unauthenticated");
    }
    let late = app.send("GET", "/api/v1/jobs", &[("authorization", "Bearer sk_x_y")], "").await.expect_problem(429, "too_many_attempts");
    assert!((1..=60).contains(&late.header("retry-after").parse::<u64>().expect("seconds")));
    let good = format!("Bearer {}", made.json["key"].as_str().expect("a key"));
    app.send("GET", "/api/v1/jobs", &[("authorization", &good)], "").await.expect(200);
    app.get("/api/v1/jobs").await.expect_problem(401, "unauthenticated");
    app.stop().await;
}

#[tokio::test]
async fn whoever_asks_too_fast_is_told_when_to_come_back() {
    let app = TestApp::start_with(Limits { requests_per_second: 1, ..Limits::default() }).await;
    let mut refused = None;
    for _ in 0..100 {
        let answer = app.get("/api/v1/limits").await;
        assert_eq!(answer.header("ratelimit-policy"), "\"default\";q=1;w=1");
        assert!(answer.header("ratelimit").starts_with("\"default\";r=0;t="), "{}", answer.header("ratelimit"));
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.expect(200);
    }
    let refused = refused.expect("one of a hundred requests in a row").expect_problem(429, "rate_limited");
    assert_eq!((refused.header("retry-after"), &refused.json["retryable"]), ("1", &json!(true)));
    let health = app.get("/livez").await.expect(200);
    assert_eq!(health.header("ratelimit"), "", "health is never counted");
    app.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_makes_and_ends_keys_beside_a_running_server() {
    let app = TestApp::start().await;
    app.get("/api/v1/jobs").await.expect(200);
    let (done, key, told) =
        sparsefit(&app.data_dir(), &["create", "--name", "ci", "--project", "growth", "--scopes", "jobs:read,models:read"]);
    assert!(done && key.starts_with("sk_") && !told.contains(&key), "{told}");
    let bearer = format!("Bearer {key}");
    let own = [("authorization", bearer.as_str())];
    while app.get("/api/v1/jobs").await.status != 401 {}
    app.send("GET", "/api/v1/jobs", &own, "").await.expect(200);
    let (done, list, _) = sparsefit(&app.data_dir(), &["list"]);
    let id = list.split('\t').next().unwrap_or_default();
    assert!(done && list.contains("\tgrowth\tjobs:read,models:read\t") && !list.contains(&key[30..]), "{list}");
    let (done, ..) = sparsefit(&app.data_dir(), &["revoke", id]);
    assert!(done);
    while app.send("GET", "/api/v1/jobs", &own, "").await.status != 401 {}
    for wrong in [&["revoke", "key_01M85Q1GZFE8P80VXDZP7QS28Y"][..], &["revoke", "x"], &["create", "--name", "a", "--scopes", "jobs:all"]] {
        let (done, out, told) = sparsefit(&app.data_dir(), wrong);
        assert!(!done && out.is_empty() && !told.is_empty(), "{wrong:?}");
    }
    app.stop().await;
}
