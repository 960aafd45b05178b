//! The main job, from outside: upload, fit, watch, model, predict; and a tour that meets every documented success.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sparsefit::ambient::Ambient;
use sparsefit::client::Client;
use sparsefit::config::Limits;
use sparsefit::serve::Server;

use crate::app::{TestApp, config, fit};
use crate::data::{RECORDS, TINY};
use crate::schema::document;
use crate::webhooks;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn data_go_in_a_certified_sparse_model_and_predictions_come_out() {
    let app = TestApp::start().await;
    app.send("POST", "/api/v1/datasets?name=homes", &[JSON], RECORDS).await.expect(201);
    let spec = json!({ "penalty": { "type": "elastic_net", "l1_ratio": 0.9 }, "selection": { "method": "cv", "folds": 4, "seed": 3, "rule": "1se" } });
    let job = app.submit("homes", spec).await.expect(202).json;
    app.work().await;
    let job = app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!((&job["progress"]["fraction"], &job["attempt"]), (&json!(1.0), &json!(1)));
    let href = job["result"]["href"].as_str().expect("a model").to_owned();
    let model = app.get(&href).await.expect(200).json;
    assert_eq!((&model["job"], &model["model"], &model["version"]), (&job["id"], &json!("m"), &json!(1)));
    assert_eq!(model["certificate"]["status"], "certified");
    assert!(model["certificate"]["relative_gap"].as_f64().is_some_and(|gap| gap <= 1e-6), "{model}");
    assert_eq!(model["sparsity"]["nonzeros"], job["result"]["nonzeros"]);
    let coefficients = app.get(&format!("{href}/coefficients")).await.expect(200).json;
    let names: Vec<&str> = coefficients["names"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert_eq!(Some(names.len() as u64), job["result"]["nonzeros"].as_u64());

    // What is predicted is the intercept and the coefficients read above.
    let row = json!({ "area": 100.0, "rooms": 3.0, "town": "Oslo" });
    let features = json!({ "area": 100.0, "rooms": 3.0, "town=Oslo": 1.0 });
    let weight = |name: &str| {
        let at = names.iter().position(|known| *known == name);
        at.map_or(0.0, |at| coefficients["values"][at].as_f64().expect("a number"))
    };
    let eta = coefficients["intercept"].as_f64().expect("a number") + weight("area") * 100.0 + weight("rooms") * 3.0 + weight("town=Oslo");
    for instance in [json!({ "features": features }), json!({ "features": row })] {
        let answer = app.post("/api/v1/models/m/predict", &json!({ "instances": [instance] })).await.expect(200).json;
        let prediction = answer["predictions"][0]["prediction"].as_f64().expect("a number");
        assert!((prediction - eta).abs() <= 1e-9 * eta.abs(), "{prediction} {eta} {instance}");
    }
    app.stop().await;
}

#[tokio::test]
async fn counts_are_predicted_by_their_mean() {
    let app = TestApp::start().await;
    let text: String = (0..40).map(|i| format!("{} 1:{} 2:{}\n", (i * 7) % 5 + i / 10, 1 + i % 3, i / 10)).collect();
    let upload = app.send("POST", "/api/v1/datasets?name=visits&target_kind=count", &[("content-type", "text/libsvm")], text).await;
    assert_eq!(upload.expect(201).json["target"]["kind"], "count");
    app.submit("visits", json!({})).await.expect(202);
    app.work().await;
    let model = app.get("/api/v1/models/m/versions/1").await.expect(200).json;
    assert_eq!((&model["loss"], &model["certificate"]["status"]), (&json!("poisson"), &json!("certified")), "{model}");
    let ask = json!({ "instances": [{ "indices": [0, 1], "values": [2.0, 3.0] }], "output": ["prediction", "linear_predictor"] });
    let answer = app.post("/api/v1/models/m/predict", &ask).await.expect(200).json["predictions"][0].clone();
    let number = |key: &str| answer[key].as_f64().expect("a number");
    assert!((number("prediction") - number("linear_predictor").exp()).abs() < 1e-12, "{answer}");
    // a mean that no double holds is an error of its row
    let far = json!({ "instances": [{ "indices": [1], "values": [1e6] }] });
    app.post("/api/v1/models/m/predict", &far).await.expect_problem(422, "numerical_error");
    app.stop().await;
}

#[tokio::test]
async fn a_delta_survives_and_a_margin_has_no_probability() {
    let app = TestApp::start().await;
    let text: String =
        (0..40).map(|i| format!("{} 1:{} 2:{}\n", if i == 7 { 900 } else { 2 * (i % 3) + i / 10 }, 1 + i % 3, i / 10)).collect();
    app.send("POST", "/api/v1/datasets?name=far", &[("content-type", "text/libsvm")], text).await.expect(201);
    let job = app.submit("far", json!({ "loss": { "type": "huber", "delta": 0.25 } })).await.expect(202).json;
    assert_eq!(job["spec_resolved"]["loss"], json!({ "type": "huber", "delta": 0.25 }));
    app.work().await;
    let model = app.get("/api/v1/models/m/versions/1").await.expect(200).json;
    assert_eq!((&model["loss"], &model["certificate"]["status"]), (&json!("huber"), &json!("certified")), "{model}");
    assert!(model["objective"].as_str().is_some_and(|sentence| sentence.contains("δ = 0.25")), "{model}");
    let usual = app.submit("far", json!({ "loss": { "type": "huber" } })).await.expect(202).json;
    assert_eq!(usual["spec_resolved"]["loss"]["delta"].as_f64(), Some(1.0));
    app.upload("tiny", &TINY.repeat(3)).await.expect(201);
    let job = app.submit("tiny", json!({ "loss": { "type": "squared_hinge" } })).await.expect(202).json;
    assert_eq!(job["spec_resolved"]["loss"]["type"], "squared_hinge");
    app.work().await;
    app.work().await;
    let ask = |output: Value| json!({ "instances": [{ "indices": [0], "values": [1.0] }], "output": output });
    let plain = json!({ "instances": [{ "indices": [0], "values": [1.0] }], "threshold": -1e6 });
    let answer = app.post("/api/v1/models/m/predict", &plain).await.expect(200).json["predictions"][0].clone();
    assert!(answer["linear_predictor"].is_number() && answer.get("probability").is_none(), "{answer}");
    assert_eq!(answer["label"].as_f64(), Some(1.0));
    let refused = app.post("/api/v1/models/m/predict", &ask(json!(["label", "probability"]))).await;
    assert_eq!(refused.expect_problem(422, "invalid_parameter").json["errors"][0]["pointer"], "#/output/1");
    app.stop().await;
}

#[tokio::test]
async fn the_folds_told_are_the_folds_that_were_used() {
    let app = TestApp::start().await;
    app.upload("tiny", &TINY.repeat(3)).await.expect(201);
    // The positive class is the first one here: sides, not class positions, are stratified.
    let spec = json!({ "loss": { "type": "logistic", "positive_class": 0 }, "selection": { "method": "cv", "folds": 3, "seed": 5 } });
    app.submit("tiny", spec).await.expect(202);
    app.work().await;
    let cv = app.get("/api/v1/models/m/versions/1/cv").await.expect(200).json;
    let folds = app.get(cv["fold_of_row_href"].as_str().expect("a link")).await.expect(200).json;
    let fold_of_row: Vec<i32> = serde_json::from_value(folds["data"].clone()).expect("numbers");
    let sides: Vec<f64> = (0..18).map(|row| if row % 2 == 0 { -1.0 } else { 1.0 }).collect();
    assert_eq!(fold_of_row, sparsefit::spec::Splits::plain(3, true, 5).fold_of_row(18, Some(&sides), 0));
    assert_eq!(
        cv["data"].as_array().map(Vec::len),
        app.get("/api/v1/models/m/versions/1/path").await.expect(200).json["data"].as_array().map(Vec::len)
    );
    assert!(cv["data"].as_array().expect("rows").iter().all(|row| row["per_fold"].as_array().map(Vec::len) == Some(3)));
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect(204);
    app.get("/api/v1/models/m/versions/1/cv/folds").await.expect_problem(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn every_form_of_a_row_gives_the_same_prediction() {
    let app = TestApp::start().await;
    crate::data::with_model(&app).await;
    let want = app.post("/api/v1/models/m/predict", &json!({ "instances": [[1, 5, 2]] })).await.expect(200).json;
    assert_eq!((&want["model"], &want["version"]), (&json!("m"), &json!(1)));
    assert_eq!(want["predictions"][0]["label"].as_f64(), Some(1.0), "{want}");
    let bodies = [
        json!({ "instances": [{ "indices": [0, 1, 2], "values": [1, 5, 2] }] }),
        json!({ "instances": [{ "features": { "0": 1, "1": 5, "2": 2 } }] }),
        json!({ "csr": { "indptr": [0, 3], "indices": [0, 1, 2], "values": [1, 5, 2] } }),
    ];
    for body in bodies {
        let answer = app.post("/api/v1/models/m/predict", &body).await.expect(200).json;
        assert_eq!(answer["predictions"], want["predictions"], "{body}");
    }
    let lines = app
        .send("POST", "/api/v1/models/m/versions/1/predict", &[("content-type", "text/libsvm")], "0 1:1 2:5 3:2\n")
        .await
        .expect(200)
        .json;
    assert_eq!(lines["predictions"], want["predictions"]);
    let zero_based = [("content-type", "text/libsvm; index-base=0")];
    let lines =
        app.send("POST", "/api/v1/models/m/predict?output=linear_predictor,unknown", &zero_based, "0 0:1 2:2 9:1\n").await.expect(200).json;
    assert_eq!(lines["predictions"], json!([{ "linear_predictor": 0.25, "unknown": 1 }]));
    assert_eq!(lines["diagnostics"], json!({ "unknown_features": 1, "rows": 1, "active_features_seen": 2 }));
    app.stop().await;
}

#[tokio::test]
async fn the_pool_of_a_server_works_the_queue_by_itself() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut config = config(dir.path().join("data"));
    config.workers = 1;
    let server = Server::start(&config, Limits::default(), Ambient::system()).await.expect("starts");
    let client = Client::new(server.addr);
    client.send("POST", "/api/v1/datasets?name=tiny", &[("content-type", "text/libsvm")], TINY.into()).await.expect("an answer");
    let spec = json!({ "lambda": { "mode": "path", "n": 20 }, "selection": { "method": "none" } });
    let answer = client.post_json("/api/v1/jobs", &[("prefer", "wait=60")], &fit("tiny", spec)).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), &answer.json().expect("JSON")["status"]), (200, &json!("succeeded")), "{}", answer.text());
    server.shutdown().await;
}

/// Every documented (route, method, 2xx or 3xx).
fn documented_successes() -> BTreeSet<(String, String, u16)> {
    let mut all = BTreeSet::new();
    for (path, item) in document()["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"] {
            for status in item.get(method).and_then(|operation| operation["responses"].as_object()).into_iter().flat_map(|all| all.keys()) {
                if let Some(status) = status.parse().ok().filter(|status: &u16| *status < 400) {
                    all.insert((method.to_uppercase(), path.clone(), status));
                }
            }
        }
    }
    all
}

/// What was read is not sent again.
async fn unchanged(app: &TestApp, path: &str) {
    let tag = app.get(path).await.expect(200).header("etag").to_owned();
    app.send("GET", path, &[("if-none-match", &tag)], "").await.expect(304);
}

#[tokio::test]
async fn every_documented_success_can_be_had() {
    let app = webhooks::reaching_loopback(Ambient::system()).await;
    for path in [
        "/livez",
        "/readyz",
        "/version",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/docs.js",
        "/docs/docs.css",
        "/problems/queue-full",
        "/api/v1/limits",
    ] {
        app.get(path).await.expect(200);
    }
    app.upload("tiny", &TINY.repeat(3)).await.expect(201);
    app.submit("tiny", json!({})).await.expect(202);
    app.work().await;
    app.post("/api/v1/jobs?validate_only=true", &fit("tiny", json!({}))).await.expect(200);
    let job = app.get("/api/v1/jobs").await.expect(200).json["data"][0].clone();
    assert_eq!(job["status"], "succeeded", "{job}");
    let job = job["links"]["self"].as_str().expect("a link").to_owned();
    app.get(&format!("{job}/events")).await.expect(200);
    app.get("/api/v1/events").await.expect(200);
    unchanged(&app, &job).await;
    app.delete(&job).await.expect(204);

    let queued = app.submit("tiny", json!({})).await.expect(202).json;
    let claim = app.store().claim("boot_test").await.expect("the store").expect("a job");
    let cancel = queued["links"]["cancel"].as_str().expect("a link");
    app.post(cancel, &json!({})).await.expect(202);
    app.store().finish(&claim, sparsefit::store::Ending::Cancelled).await.expect("the store");
    app.post(cancel, &json!({})).await.expect(200);
    let retry = cancel.replace("/cancel", "/retry");
    app.post(&retry, &json!({})).await.expect(202);
    app.post("/api/v1/jobs/cancel?status=queued", &json!({})).await.expect(202);
    app.delete("/api/v1/jobs?status=cancelled&model=none").await.expect(200);
    let worked = async {
        while app.store().queue_counts().await.expect("the store").queued == 0 {
            tokio::task::yield_now().await;
        }
        app.work().await;
    };
    let (ended, ()) = tokio::join!(app.send("POST", &retry, &[("prefer", "wait=50")], ""), worked);
    ended.expect(200);

    for (list, one) in [("/api/v1/datasets", "/api/v1/datasets/tiny"), ("/api/v1/models", "/api/v1/models/m")] {
        app.get(list).await.expect(200);
        unchanged(&app, one).await;
        unchanged(&app, &format!("{one}/versions/1")).await;
    }
    for part in ["rows", "features"] {
        app.get(&format!("/api/v1/datasets/tiny/versions/1/{part}")).await.expect(200);
    }
    for part in ["reproduce", "coefficients", "path", "cv", "cv/folds", "histogram", "certificate"] {
        app.get(&format!("/api/v1/models/m/versions/1/{part}")).await.expect(200);
    }
    for picture in ["path", "calibration"] {
        unchanged(&app, &format!("/api/v1/models/m/versions/1/plots/{picture}.svg")).await;
    }
    for reference in ["m", "m/versions/1"] {
        app.post(&format!("/api/v1/models/{reference}/predict"), &json!({ "instances": [[1, 0, 0]] })).await.expect(200);
    }
    app.post("/api/v1/models/m/versions/1/promote", &json!({ "index": 3 })).await.expect(201);
    app.submit("tiny", json!({ "selection": { "method": "stability", "resamples": 4 } })).await.expect(202);
    app.work().await;
    let versions = app.get("/api/v1/models/m").await.expect(200).json["versions"].clone();
    let newest = versions.as_array().and_then(|all| all.iter().filter_map(Value::as_i64).max()).expect("a version");
    app.get(&format!("/api/v1/models/m/versions/{newest}/stability")).await.expect(200);
    app.submit("tiny", json!({ "kind": "tree", "pruning": { "mode": "none" } })).await.expect(202);
    app.work().await;
    app.get(&format!("/api/v1/models/m/versions/{}/tree", newest + 1)).await.expect(200);
    let asked = json!({ "dataset": { "name": "tiny" }, "spec": { "models": ["m:1", "m"], "twin": true } });
    app.post("/api/v1/comparisons?validate_only=true", &asked).await.expect(200);
    let queued = app.post("/api/v1/comparisons", &asked).await.expect(202).json;
    app.work().await;
    app.get("/api/v1/comparisons").await.expect(200);
    let compared = format!("/api/v1/comparisons/{}", queued["id"].as_str().expect("an id"));
    unchanged(&app, &compared).await;
    unchanged(&app, &format!("{compared}/plots/comparison.svg")).await;
    app.get("/api/v1/models/m/versions/1/report").await.expect(200);
    let spec = json!({ "base": format!("m:{}", newest + 1), "method": "ccp", "target_leaves": 1 });
    app.post("/api/v1/jobs", &json!({ "type": "prune", "model": "small", "dataset": { "name": "tiny" }, "spec": spec })).await.expect(202);
    app.work().await;
    app.get("/api/v1/models/small/versions/1/path").await.expect(200);
    // on the heap: this tour is long enough for its stack
    Box::pin(distilled(&app)).await;
    let numbers = "2.5 1:1 3:2\n0 2:1\n1 1:2 2:3\n-3 3:1\n7 1:1.5\n0.5 2:2 3:1\n";
    let libsvm = [("content-type", "text/libsvm")];
    app.send("POST", "/api/v1/datasets?name=numbers&target_kind=regression", &libsvm, numbers).await.expect(201);
    app.submit("numbers", json!({})).await.expect(202);
    app.work().await;
    unchanged(&app, &format!("/api/v1/models/m/versions/{}/plots/residuals.svg", newest + 2)).await;
    app.submit("tiny", json!({ "kind": "rules", "n_trees": 5, "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202);
    app.work().await;
    app.get(&format!("/api/v1/models/m/versions/{}/rules", newest + 3)).await.expect(200);
    app.submit("tiny", json!({ "kind": "network", "hidden": [3], "epochs": 2 })).await.expect(202);
    app.work().await;
    app.get(&format!("/api/v1/models/m/versions/{}/layers", newest + 4)).await.expect(200);
    let alias = "/api/v1/models/m/aliases/production";
    app.send("PUT", alias, &[JSON], r#"{"version":1}"#).await.expect(201);
    app.send("PUT", alias, &[JSON, ("if-match", "*")], r#"{"version":2}"#).await.expect(200);
    unchanged(&app, alias).await;
    app.get("/api/v1/models/m/aliases").await.expect(200);
    app.get(&format!("{alias}/history")).await.expect(200);
    app.send("DELETE", alias, &[("if-match", "*")], "").await.expect(204);
    app.delete("/api/v1/models/m/versions/1").await.expect(204);
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect(204);
    webhooks::every_success(&app).await;

    // Last: from the first key on nothing goes without one.
    let made = app.post("/api/v1/keys", &json!({ "name": "ops", "scopes": ["admin"] })).await.expect(201);
    let bearer = format!("Bearer {}", made.json["key"].as_str().expect("a key"));
    for (method, path, status) in
        [("GET", "/api/v1/keys", 200), ("GET", made.header("location"), 200), ("DELETE", made.header("location"), 204)]
    {
        app.send(method, path, &[("authorization", &bearer)], "").await.expect(status);
    }

    let seen = app.seen();
    let missed: Vec<_> = documented_successes().into_iter().filter(|one| !seen.contains(one)).collect();
    assert!(missed.is_empty(), "documented and never met: {missed:?}");
    app.stop().await;
}

/// A model that a model taught.
async fn distilled(app: &TestApp) {
    let spec = json!({ "teacher": "m:1", "student": { "kind": "tree", "pruning": { "mode": "none" } } });
    app.post("/api/v1/jobs", &json!({ "type": "distill", "model": "taught", "dataset": { "name": "tiny" }, "spec": spec }))
        .await
        .expect(202);
    app.work().await;
    unchanged(app, "/api/v1/models/taught/versions/1/fidelity").await;
}

#[tokio::test]
async fn pages_for_people_load_nothing_from_elsewhere() {
    let app = TestApp::start().await;
    for path in ["/docs", "/problems/malformed-line"] {
        let page = app.get(path).await.expect(200);
        assert!(page.header("content-security-policy").starts_with("default-src 'self'"));
        assert!(!page.text().contains("http://") && !page.text().contains("https://"), "{path}");
    }
    crate::data::with_model(&app).await;
    let page = app.get("/api/v1/models/m/versions/1/report?format=html").await.expect(200);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    assert!(!page.text().contains("http://") && !page.text().contains("https://") && !page.text().contains("<script"));
    for code in sparsefit::fault::Code::ALL {
        let page = app.get(&format!("/problems/{}", code.as_str().replace('_', "-"))).await.expect(200).text();
        assert!(page.contains(code.as_str()) && !page.contains("{{"), "{page}");
    }
    let metrics = app.get("/metrics").await.expect(200).text();
    assert!(metrics.contains("route=\"/problems/{code}\""), "routes are templates");
    app.stop().await;
}
