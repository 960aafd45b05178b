//! Aliases, from outside: names that move from version to version, served at once, and moved by who knows their state.

use serde_json::{Value, json};
use sparsefit::client::Client;
use sparsefit::config::Limits;
use sparsefit::serve::Server;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use crate::app::{Answer, TestApp, config, fit};
use crate::data::{TINY, model, register, with_model};

const JSON: (&str, &str) = ("content-type", "application/json");
const PRODUCTION: &str = "/api/v1/models/m/aliases/production";

/// A server with three versions of `m`, told apart by their intercepts 0.25, 2 and 3.
async fn with_versions() -> TestApp {
    let app = TestApp::start().await;
    with_model(&app).await;
    for intercept in [2.0, 3.0] {
        let mut next = model();
        next.card.intercept = intercept;
        register(&app, next).await;
    }
    app
}

async fn put(app: &TestApp, path: &str, version: i64, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = [JSON].iter().chain(headers).copied().collect();
    app.send("PUT", path, &headers, json!({ "version": version }).to_string()).await
}

/// The version that answered, and what it predicts for a row of zeros.
async fn served(app: &TestApp, reference: &str) -> (i64, f64) {
    let ask = json!({ "instances": [[0, 0, 0]], "output": ["linear_predictor"] });
    let answer = app.post(&format!("/api/v1/models/{reference}/predict"), &ask).await.expect(200).json;
    let number = |value: &Value| value.as_f64().expect("a number");
    (answer["version"].as_i64().expect("a version"), number(&answer["predictions"][0]["linear_predictor"]))
}

#[tokio::test]
async fn an_alias_is_made_served_moved_and_deleted_and_its_moves_can_be_read() {
    let app = with_versions().await;
    let made = put(&app, PRODUCTION, 1, &[("if-none-match", "*")]).await.expect(201);
    assert_eq!((made.header("location"), made.header("etag")), (PRODUCTION, made.json["etag"].as_str().expect("a tag")));
    let read = app.get(PRODUCTION).await.expect(200);
    assert_eq!((&read.json, read.header("etag")), (&made.json, made.header("etag")));
    assert_eq!((&read.json["version"], &read.json["moves"], &read.json["moved_by"]), (&json!(1), &json!(1), &Value::Null));
    app.get(read.json["version_href"].as_str().expect("a path")).await.expect(200);
    app.send("GET", PRODUCTION, &[("if-none-match", read.header("etag"))], "").await.expect(304);
    assert_eq!(served(&app, "m@production").await, (1, 0.25));
    assert_eq!(served(&app, "m").await, (3, 3.0));

    let moved = put(&app, PRODUCTION, 2, &[("if-match", read.header("etag"))]).await.expect(200);
    assert_eq!((&moved.json["version"], &moved.json["moves"]), (&json!(2), &json!(2)));
    assert_ne!(moved.header("etag"), read.header("etag"));
    assert_eq!(served(&app, "m@production").await, (2, 2.0), "at once");
    app.send("GET", PRODUCTION, &[("if-none-match", read.header("etag"))], "").await.expect(200);
    let same = put(&app, PRODUCTION, 2, &[("if-match", "*")]).await.expect(200);
    assert_eq!((&same.json, same.header("etag")), (&moved.json, moved.header("etag")), "no move");

    // The card tells who points at it, and its tag tells the cards apart.
    let card = app.get("/api/v1/models/m/versions/2").await.expect(200);
    assert_eq!((&card.json["aliases"], card.header("etag")), (&json!(["production"]), card.json["etag"].as_str().expect("a tag")));
    put(&app, "/api/v1/models/m/aliases/canary", 2, &[]).await.expect(201);
    let both = app.send("GET", "/api/v1/models/m/versions/2", &[("if-none-match", card.header("etag"))], "").await.expect(200);
    assert_eq!(both.json["aliases"], json!(["canary", "production"]));
    let plain = app.get("/api/v1/models/m/versions/1").await.expect(200);
    assert_eq!(
        (&plain.json["aliases"], plain.header("etag")),
        (&json!([]), format!("\"{}\"", plain.json["id"].as_str().expect("an id")).as_str())
    );
    let latest = app.get("/api/v1/models/m").await.expect(200);
    put(&app, "/api/v1/models/m/aliases/newest", 3, &[]).await.expect(201);
    let named = app.send("GET", "/api/v1/models/m", &[("if-none-match", latest.header("etag"))], "").await.expect(200);
    assert_eq!(named.json["aliases"], json!(["newest"]));
    assert_eq!(app.get("/api/v1/models").await.expect(200).json["data"][0]["aliases"], json!(["newest"]));

    let page = app.get("/api/v1/models/m/aliases?limit=2").await.expect(200).json;
    let rest =
        app.get(&format!("/api/v1/models/m/aliases?limit=2&cursor={}", page["next_cursor"].as_str().expect("more"))).await.expect(200).json;
    let names: Vec<_> =
        [&page, &rest].iter().flat_map(|page| page["data"].as_array().expect("data")).map(|one| one["alias"].clone()).collect();
    assert_eq!((json!(names), &rest["has_more"]), (json!(["newest", "canary", "production"]), &json!(false)));

    app.send("DELETE", PRODUCTION, &[("if-match", moved.header("etag"))], "").await.expect(204);
    let ask = json!({ "instances": [[0, 0, 0]] });
    app.post("/api/v1/models/m@production/predict", &ask).await.expect_problem(404, "not_found");
    app.get(PRODUCTION).await.expect_problem(404, "not_found");
    put(&app, PRODUCTION, 3, &[("if-match", moved.header("etag"))]).await.expect_problem(412, "precondition_failed");
    put(&app, PRODUCTION, 3, &[]).await.expect(201);
    let history = app.get(&format!("{PRODUCTION}/history?limit=3")).await.expect(200).json;
    let told = |one: &Value| json!([one["number"], one["previous_version"], one["version"], one["by"]]);
    let moves: Vec<_> = history["data"].as_array().expect("data").iter().map(told).collect();
    assert_eq!(json!(moves), json!([[4, null, 3, null], [3, 2, null, null], [2, 1, 2, null]]));
    let first =
        app.get(&format!("{PRODUCTION}/history?limit=3&cursor={}", history["next_cursor"].as_str().expect("more"))).await.expect(200).json;
    assert_eq!((json!([told(&first["data"][0])]), &first["has_more"]), (json!([[1, null, 1, null]]), &json!(false)));
    app.stop().await;
}

#[tokio::test]
async fn only_who_names_the_present_state_changes_it() {
    let app = with_versions().await;
    let first = put(&app, PRODUCTION, 1, &[]).await.expect(201);
    let state = first.header("etag");
    put(&app, PRODUCTION, 2, &[]).await.expect_problem(428, "precondition_required");
    app.delete(PRODUCTION).await.expect_problem(428, "precondition_required");
    let weak = format!("W/{state}");
    for (name, value) in [("if-match", "\"1-0\""), ("if-match", weak.as_str()), ("if-none-match", "*")] {
        put(&app, PRODUCTION, 2, &[(name, value)]).await.expect_problem(412, "precondition_failed");
        app.send("DELETE", PRODUCTION, &[(name, value)], "").await.expect_problem(412, "precondition_failed");
    }
    for header in [("if-match", "production"), ("if-match", "\"x"), ("if-match", ""), ("if-none-match", "\"1-0\"")] {
        let refused = put(&app, PRODUCTION, 2, &[header]).await.expect_problem(400, "malformed_header");
        assert!(
            refused.json["errors"][0]["parameter"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(header.0)),
            "{}",
            refused.json
        );
        app.send("DELETE", PRODUCTION, &[header], "").await.expect_problem(400, "malformed_header");
    }
    put(&app, PRODUCTION, 2, &[("if-match", state), ("if-none-match", "*")]).await.expect_problem(400, "malformed_header");
    assert_eq!(app.get(PRODUCTION).await.expect(200).json, first.json);

    // Two who saw the same state.
    let header = [("if-match", state)];
    let (one, two) = tokio::join!(put(&app, PRODUCTION, 2, &header), put(&app, PRODUCTION, 3, &header));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);
    let winner = if one.status == 200 { one } else { two };
    assert_eq!(app.get(PRODUCTION).await.expect(200).json, winner.json);
    assert_eq!(served(&app, "m@production").await.0, winner.json["version"].as_i64().expect("a version"));
    let several = format!("\"0-0\", {}", winner.header("etag"));
    put(&app, PRODUCTION, 1, &[("if-match", &several)]).await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_an_alias_is_refused_with_its_place() {
    let app = with_versions().await;
    for name in ["latest", "Production", "-a", "a%20b", "a%40b", &"a".repeat(64)] {
        let refused = put(&app, &format!("/api/v1/models/m/aliases/{name}"), 1, &[]).await.expect_problem(422, "invalid_field");
        assert_eq!(refused.json["errors"][0]["parameter"], "alias", "{name}");
    }
    for (body, status, code, pointer) in [
        (r#"{"version":4}"#, 404, "not_found", "#/version"),
        (r#"{"version":0}"#, 422, "invalid_parameter", "#/version"),
        (r#"{"version":"3"}"#, 422, "invalid_field", "#/version"),
        ("{}", 422, "invalid_parameter", "#/version"),
        (r#"{"version":1,"alias":"x"}"#, 422, "unknown_field", "#/alias"),
        ("[1]", 422, "invalid_field", "#"),
    ] {
        let refused = app.send("PUT", PRODUCTION, &[JSON], body).await.expect_problem(status, code);
        assert_eq!(refused.json["errors"][0]["pointer"], pointer, "{body}");
    }
    app.send("PUT", PRODUCTION, &[JSON], "{").await.expect_problem(400, "malformed_json");
    app.send("PUT", PRODUCTION, &[], "{}").await.expect_problem(415, "unsupported_media_type");
    put(&app, &format!("{PRODUCTION}?force=true"), 1, &[]).await.expect_problem(422, "invalid_parameter");
    put(&app, "/api/v1/models/nobody/aliases/production", 1, &[]).await.expect_problem(404, "not_found");
    for path in [PRODUCTION, "/api/v1/models/m/aliases/latest", "/api/v1/models/m/aliases/A", "/api/v1/models/nobody/aliases/a"] {
        app.get(path).await.expect_problem(404, "not_found");
        app.get(&format!("{path}/history")).await.expect_problem(404, "not_found");
        app.send("DELETE", path, &[("if-match", "*")], "").await.expect_problem(404, "not_found");
    }
    app.get("/api/v1/models/nobody/aliases").await.expect_problem(404, "not_found");
    app.get("/api/v1/models/m/aliases?cursor=00").await.expect_problem(400, "invalid_cursor");
    assert_eq!(app.get("/api/v1/models/m/aliases").await.expect(200).json["data"], json!([]));
    app.send("POST", PRODUCTION, &[JSON], r#"{"version":1}"#).await.expect_problem(405, "method_not_allowed");
    app.stop().await;
}

#[tokio::test]
async fn a_version_stays_while_an_alias_points_at_it_and_an_evaluation_keeps_the_one_it_was_asked_for() {
    let app = with_versions().await;
    let state = put(&app, PRODUCTION, 1, &[]).await.expect(201);
    let kept = app.delete("/api/v1/models/m/versions/1").await.expect_problem(409, "conflict");
    assert!(kept.json["detail"].as_str().is_some_and(|detail| detail.contains("alias")), "{}", kept.json);
    let evaluation = json!({ "type": "evaluate", "dataset": { "name": "tiny" }, "spec": { "model": "m@production" } });
    let job = app.post("/api/v1/jobs", &evaluation).await.expect(202).json;
    assert_eq!((&job["spec"]["model"], &job["spec_resolved"]["model"]), (&json!("m@production"), &json!("m:1")));
    put(&app, PRODUCTION, 2, &[("if-match", state.header("etag"))]).await.expect(200);
    app.work().await;
    let job = app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json;
    assert_eq!((&job["status"], &job["result"]["model"]), (&json!("succeeded"), &json!("m:1")), "{job}");
    app.delete("/api/v1/models/m/versions/1").await.expect(204);
    let nowhere = json!({ "type": "evaluate", "dataset": { "name": "tiny" }, "spec": { "model": "m@canary" } });
    app.post("/api/v1/jobs", &nowhere).await.expect_problem(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn the_history_names_the_key_that_moved_it() {
    let app = with_versions().await;
    let wish = json!({ "name": "ci", "scopes": ["models:write", "models:read"] });
    let key = app.post("/api/v1/keys", &wish).await.expect(201).json;
    let bearer = format!("Bearer {}", key["key"].as_str().expect("a key"));
    let own = [("authorization", bearer.as_str())];
    let made = put(&app, PRODUCTION, 1, &own).await.expect(201).json;
    assert_eq!(made["moved_by"], key["id"]);
    app.send("DELETE", PRODUCTION, &[own[0], ("if-match", "*")], "").await.expect(204);
    let history = app.send("GET", &format!("{PRODUCTION}/history"), &own, "").await.expect(200).json;
    assert_eq!((&history["data"][0]["version"], &history["data"][0]["by"]), (&Value::Null, &key["id"]));
    app.stop().await;
}

#[tokio::test]
async fn an_alias_that_was_served_is_served_while_the_store_cannot_say_where_it_points() {
    let app = with_versions().await;
    put(&app, PRODUCTION, 2, &[]).await.expect(201);
    assert_eq!(served(&app, "m@production").await, (2, 2.0));
    let database = SqliteConnectOptions::new().filename(app.data_dir().join("store.sqlite"));
    let mut beside = database.connect().await.expect("a connection");
    beside.execute("ALTER TABLE aliases RENAME TO hidden").await.expect("renamed");
    app.get(PRODUCTION).await.expect_problem(503, "store_unavailable");
    assert_eq!(served(&app, "m@production").await, (2, 2.0));
    beside.execute("ALTER TABLE hidden RENAME TO aliases").await.expect("renamed");
    put(&app, PRODUCTION, 3, &[("if-match", "*")]).await.expect(200);
    assert_eq!(served(&app, "m@production").await, (3, 3.0));
    app.stop().await;
}

/// Two servers over one PostgreSQL and one directory: where one moves an alias, the other serves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_moved_in_one_process_is_heard_in_another() {
    let Some(database) = crate::fixture::fresh().await else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path().join("data"));
    config.database_url = Some(database.url.clone());
    let start = async |workers| {
        let config = sparsefit::config::Config { workers, ..config.clone() };
        Server::start(&config, Limits::default(), sparsefit::ambient::Ambient::system()).await.expect("the server starts")
    };
    let (here, there) = (start(1).await, start(0).await);
    let (one, other) = (Client::new(here.addr), Client::new(there.addr));
    one.send("POST", "/api/v1/datasets?name=tiny", &[("content-type", "text/libsvm")], TINY.into()).await.expect("an answer");
    for _ in 0..2 {
        let job = fit("tiny", json!({ "lambda": { "mode": "value", "value": 0.1 } }));
        let ended = one.post_json("/api/v1/jobs", &[("prefer", "wait=60")], &job).await.expect("an answer");
        assert_eq!(ended.json().expect("JSON")["status"], "succeeded", "{}", ended.text());
    }
    let served = async |client: &Client| {
        let ask = json!({ "instances": [[0, 0, 0]] });
        let answer = client.post_json("/api/v1/models/m@production/predict", &[], &ask).await.expect("an answer");
        answer.json().expect("JSON")["version"].as_i64()
    };
    let mut state = "\"0-0\"".to_owned();
    for (round, version) in [1, 2, 1].into_iter().enumerate() {
        let condition = if round == 0 { ("if-none-match", "*") } else { ("if-match", state.as_str()) };
        let moved =
            one.send("PUT", PRODUCTION, &[JSON, condition], json!({ "version": version }).to_string().into()).await.expect("an answer");
        assert_eq!(moved.status.as_u16(), if round == 0 { 201 } else { 200 }, "{}", moved.text());
        assert_eq!(served(&one).await, Some(version), "at once where it was moved");
        while served(&other).await != Some(version) {
            tokio::task::yield_now().await;
        }
        state = moved.header("etag").expect("a tag").to_owned();
    }
    for server in [there, here] {
        server.shutdown().await;
    }
}
