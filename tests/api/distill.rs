//! Distillations seen from outside: a model or a column teaches a small one, and what that was good for is told.

use serde_json::{Value, json};

use crate::app::{Answer, TestApp};
use crate::data::with_model;

const JSON: (&str, &str) = ("content-type", "application/json");

/// 48 rows of two classes and three features; the first two tell the class, but for every seventh row.
fn sides() -> Value {
    let row = |at: u64| {
        let (area, rooms, noise) = (at * 37 % 48, at * 11 % 6, at * 29 % 13);
        let bought = (area + 8 * rooms > 44) != at.is_multiple_of(7);
        json!({ "area": area, "rooms": rooms, "noise": noise, "bought": if bought { "yes" } else { "no" } })
    };
    json!({ "format": "records", "target": "bought", "records": (0..48).map(row).collect::<Vec<_>>() })
}

/// 40 rows of numbers, and a feature that says what somebody else makes of them.
fn prices() -> Value {
    let row = |at: u64| {
        let (area, rooms) = ((at * 23 % 40) as f64, (at * 7 % 5) as f64);
        let price = 0.5 * area + 3.0 * rooms;
        json!({ "area": area, "rooms": rooms, "said": price + 1.0, "price": price + (at * 13 % 9) as f64 })
    };
    json!({ "format": "records", "target": "price", "records": (0..40).map(row).collect::<Vec<_>>() })
}

/// `sides` as data set `rows`, with the models `tree`, `net` and `lasso` on it.
async fn house() -> TestApp {
    let app = TestApp::start().await;
    app.post("/api/v1/datasets?name=rows", &sides()).await.expect(201);
    for (name, spec) in [
        ("tree", json!({ "kind": "tree", "pruning": { "mode": "target_leaves", "target_leaves": 8 } })),
        ("net", json!({ "kind": "network", "hidden": [6], "epochs": 40, "early_stopping": null })),
        ("lasso", json!({ "lambda": { "mode": "value", "value": 0.02 } })),
    ] {
        app.post("/api/v1/jobs", &json!({ "type": "fit", "model": name, "dataset": { "name": "rows" }, "spec": spec })).await.expect(202);
        app.work().await;
    }
    app
}

fn body(dataset: &str, spec: &Value) -> Value {
    json!({ "type": "distill", "model": "small", "dataset": { "name": dataset }, "spec": spec })
}

async fn submit(app: &TestApp, dataset: &str, spec: Value) -> Answer {
    app.post("/api/v1/jobs", &body(dataset, &spec)).await
}

/// The job as it is after all work is done.
async fn worked(app: &TestApp, job: &Value) -> Value {
    app.work().await;
    app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json
}

async fn done(app: &TestApp, dataset: &str, spec: Value) -> Value {
    let job = submit(app, dataset, spec).await.expect(202).json;
    let job = worked(app, &job).await;
    assert_eq!((&job["status"], &job["progress"]["fraction"]), (&json!("succeeded"), &json!(1.0)), "{job}");
    job
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[tokio::test]
async fn a_tree_teaches_a_lasso_and_what_it_was_good_for_is_told() {
    let app = house().await;
    let student = json!({ "selection": { "method": "cv", "folds": 4, "rule": "1se" } });
    let job = done(&app, "rows", json!({ "teacher": "tree@latest", "student": student, "mix": 0.3, "temperature": 2, "augment": 1 })).await;
    assert_eq!((&job["spec_resolved"]["teacher"], &job["spec_resolved"]["score"]), (&json!("tree:1"), &json!("auc")), "{job}");
    let steps: Vec<&Value> = job["progress"]["steps"].as_array().expect("steps").iter().map(|step| &step["name"]).collect();
    // a job may be over before it is asked how far it is
    assert!(steps.is_empty() || steps == ["teacher", "student", "control", "measure", "fidelity", "latency"], "{job}");
    let result = &job["result"];
    assert_eq!((&result["model_version"], &result["fidelity"]["student"]["ref"]), (&json!("small:1"), &Value::Null), "{job}");

    let fidelity = app.get("/api/v1/models/small/versions/1/fidelity").await.expect(200).json;
    assert_eq!((&fidelity["object"], &fidelity["job"], &fidelity["score_name"]), (&json!("fidelity"), &job["id"], &json!("auc")));
    let refs = ["teacher", "student", "control"].map(|who| (&fidelity[who]["ref"], &fidelity[who]["kind"]));
    assert_eq!(refs[0], (&json!("tree:1"), &json!("tree")));
    assert_eq!((refs[1], refs[2]), ((&json!("small:1"), &json!("linear")), (&Value::Null, &json!("linear"))));
    assert!(number(&fidelity["agreement"]["kl_divergence"]) >= 0.0 && number(&fidelity["agreement"]["labels"]) <= 1.0, "{fidelity}");
    assert_eq!(fidelity["warnings"][0]["code"], "teacher_saw_held_out", "{fidelity}");
    let gain = number(&fidelity["student"]["score"]) - number(&fidelity["control"]["score"]);
    assert!((gain - number(&fidelity["gain"]["difference"])).abs() < 1e-12, "{fidelity}");
    assert_eq!((&fidelity["agreement"], &fidelity["gain"]), (&result["fidelity"]["agreement"], &result["fidelity"]["gain"]));

    let model = app.get("/api/v1/models/small/versions/1").await.expect(200).json;
    let told = &model["distilled"];
    assert_eq!((&told["teacher"], &told["mix"], &told["augment"]), (&json!("tree:1"), &json!(0.3), &json!(1)), "{model}");
    assert_eq!((number(&told["rows_learnt"]), number(&told["rows_held_out"])), (38.0, 10.0));
    assert_eq!((told, &fidelity["student"]["bytes"]), (&fidelity["distilled"], &model["size_bytes"]));
    assert_eq!(model["metrics"]["holdout"]["score"], fidelity["student"]["score"]);
    assert!(model["metrics"]["train"]["log_loss"].is_number(), "{model}");
    assert!(app.get("/api/v1/models/tree/versions/1").await.expect(200).json.get("distilled").is_none());

    // the page shows the three side by side, and nobody is told to promote
    let page = app.get("/api/v1/models/small/versions/1/report?format=html").await.expect(200).text();
    for wanted in
        ["What it learnt from its teacher", "<bdi>tree:1</bdi>", ">control<", "nats", "10 rows kept apart", "p99 ", "teacher_saw_held_out"]
    {
        assert!(page.contains(wanted), "{wanted}: {page}");
    }
    assert!(!page.contains("becomes a version of its own"), "{page}");
    let report = app.get("/api/v1/models/small/versions/1/report").await.expect(200).json;
    assert_eq!((&report["fidelity"]["gain"], &report["tradeoff"]["promotable"]), (&fidelity["gain"], &json!(false)));
    assert!(report["summary"].as_str().is_some_and(|told| told.contains("lasso")), "{report}");
    assert_eq!(app.get("/api/v1/models/tree/versions/1/report").await.expect(200).json["fidelity"], Value::Null);

    // it needs nobody else: neither its teacher nor its data
    app.delete("/api/v1/models/tree/versions/1").await.expect(204);
    let asked = json!({ "instances": [{ "features": { "area": 40, "rooms": 4 } }] });
    app.post("/api/v1/models/small/predict", &asked).await.expect(200);
    let measured = json!({ "type": "evaluate", "dataset": { "name": "rows" }, "spec": { "model": "small" } });
    let evaluation = app.post("/api/v1/jobs", &measured).await.expect(202).json;
    assert_eq!(worked(&app, &evaluation).await["status"], "succeeded");

    // what would need the rows it learnt from says so
    app.post("/api/v1/models/small/versions/1/promote", &json!({ "index": 0 })).await.expect_problem(409, "conflict");
    for what in ["reproduce", "cv/folds"] {
        app.get(&format!("/api/v1/models/small/versions/1/{what}")).await.expect_problem(409, "conflict");
    }
    app.get("/api/v1/models/small/versions/1/cv").await.expect(200);
    let compared = json!({ "type": "compare", "dataset": { "name": "rows" }, "spec": { "models": ["small", "lasso"], "twin": true, "measure": ["quality", "stability"], "halves": 2 } });
    let comparison = app.post("/api/v1/jobs", &compared).await.expect(202).json;
    let comparison = worked(&app, &comparison).await;
    assert!(
        comparison["warnings"].to_string().contains("small:1 has no dense twin: the rows that it was taught on are not kept."),
        "{comparison}"
    );
    assert!(comparison["result"]["data"][0]["stability"]["reason"].is_string(), "{comparison}");

    // without its job the rest stays
    app.delete(job["links"]["self"].as_str().expect("a link")).await.expect(204);
    app.get("/api/v1/models/small/versions/1/fidelity").await.expect_problem(404, "no_fidelity");
    app.get("/api/v1/models/lasso/versions/1/fidelity").await.expect_problem(404, "no_fidelity");
    app.get("/api/v1/models/small/versions/2/fidelity").await.expect_problem(404, "not_found");
    assert_eq!(app.get("/api/v1/models/small/versions/1/report").await.expect(200).json["fidelity"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn a_network_teaches_a_tree_which_is_pruned_and_teaches_in_turn() {
    let app = house().await;
    let student = json!({ "kind": "tree", "pruning": { "mode": "cv", "folds": 3 } });
    let job = done(&app, "rows", json!({ "teacher": "net", "student": student, "mix": 0, "seed": 3, "bootstrap": 100 })).await;
    assert_eq!(job["result"]["fidelity"]["bootstrap"], 100);
    let fidelity = app.get("/api/v1/models/small/versions/1/fidelity").await.expect(200).json;
    assert!(number(&fidelity["student"]["size"]) >= 1.0 && fidelity["teacher"]["kind"] == "network", "{fidelity}");
    app.get("/api/v1/models/small/versions/1/path").await.expect(200);
    app.post("/api/v1/models/small/versions/1/promote", &json!({ "index": 0 })).await.expect_problem(409, "conflict");
    // the same job again makes the same model, whatever the clock says
    let twice = done(&app, "rows", json!({ "teacher": "net", "student": student, "mix": 0, "seed": 3, "bootstrap": 100 })).await;
    let [one, other] = [&job, &twice].map(|job| job["result"]["fidelity"].clone());
    assert_eq!(
        (&one["student"]["score"], &one["student"]["bytes"], &one["agreement"]),
        (&other["student"]["score"], &other["student"]["bytes"], &other["agreement"])
    );
    let nodes = [1, 2].map(|version| format!("/api/v1/models/small/versions/{version}/tree"));
    assert_eq!(app.get(&nodes[0]).await.expect(200).json["nodes"], app.get(&nodes[1]).await.expect(200).json["nodes"]);
    // what it becomes by pruning was not measured beside the teacher
    let pruning = json!({ "type": "prune", "model": "smaller", "dataset": { "name": "rows" }, "spec": { "base": "small:1", "method": "ccp", "target_leaves": 1 } });
    let pruned = app.post("/api/v1/jobs", &pruning).await.expect(202).json;
    assert_eq!(worked(&app, &pruned).await["status"], "succeeded");
    app.get("/api/v1/models/smaller/versions/1/fidelity").await.expect_problem(404, "no_fidelity");
    for (kind, student) in [
        ("rules", json!({ "kind": "rules", "n_trees": 10, "lambda": { "mode": "value", "value": 0.05 } })),
        ("network", json!({ "kind": "network", "hidden": [3], "epochs": 3 })),
    ] {
        let job = done(&app, "rows", json!({ "teacher": "small:1", "student": student })).await;
        let href = job["result"]["href"].as_str().expect("a link");
        let model = app.get(href).await.expect(200).json;
        assert_eq!((&model["kind"], &model["distilled"]["teacher"]), (&json!(kind), &json!("small:1")));
        assert_eq!(app.get(&format!("{href}/fidelity")).await.expect(200).json["student"]["kind"], kind);
        app.get(&format!("{href}/report")).await.expect(200);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_column_teaches_and_is_none_of_its_students_features() {
    let app = TestApp::start().await;
    app.post("/api/v1/datasets?name=prices", &prices()).await.expect(201);
    let student = json!({ "kind": "tree", "pruning": { "mode": "none" }, "max_depth": 4 });
    let job = done(&app, "prices", json!({ "teacher": { "column": "said" }, "student": student, "mix": 0 })).await;
    assert_eq!(job["spec_resolved"]["teacher"], json!({ "column": "said" }));
    let fidelity = app.get("/api/v1/models/small/versions/1/fidelity").await.expect(200).json;
    assert_eq!(
        (&fidelity["teacher"]["kind"], &fidelity["teacher"]["bytes"], &fidelity["teacher"]["latency_us"]),
        (&json!("column"), &Value::Null, &Value::Null)
    );
    assert!(number(&fidelity["agreement"]["correlation"]) > 0.8 && fidelity["score_name"] == "r2", "{fidelity}");
    assert_eq!(fidelity["warnings"], json!([]));
    let tree = app.get("/api/v1/models/small/versions/1/tree").await.expect(200).json;
    assert!(tree["nodes"].as_array().expect("nodes").iter().all(|node| node["name"] != "said"), "{tree}");
    let page = app.get("/api/v1/models/small/versions/1/report?format=html").await.expect(200).text();
    assert!(page.contains("teacher<span class=\"sub\">column</span>"), "{page}");

    // probabilities are from 0 to 1, and a job that meets others names the row and leaves nothing
    let odd = r#"{"format":"records","target":"y","records":[{"a":1,"p":0.5,"y":"n"},{"a":2,"p":0.75,"y":"j"},{"a":3,"p":1.5,"y":"n"},{"a":4,"p":0.5,"y":"j"},{"a":5,"p":0.5,"y":"n"},{"a":6,"p":0.5,"y":"j"}]}"#;
    app.send("POST", "/api/v1/datasets?name=odd", &[JSON], odd).await.expect(201);
    let models = app.get("/api/v1/models").await.expect(200).json["data"].clone();
    let job = submit(&app, "odd", json!({ "teacher": { "column": "p" }, "student": { "kind": "tree", "pruning": { "mode": "none" } } }))
        .await
        .expect(202)
        .json;
    let job = worked(&app, &job).await;
    assert_eq!((&job["status"], &job["error"]["code"]), (&json!("failed"), &json!("teacher_out_of_range")), "{job}");
    assert!(job["error"]["detail"].as_str().is_some_and(|told| told.contains("1.5 in row 2")), "{job}");
    assert_eq!(app.get("/api/v1/models").await.expect(200).json["data"], models);
    app.stop().await;
}

#[tokio::test]
async fn a_distillation_is_a_job_like_any_other() {
    let app = house().await;
    let spec = json!({ "teacher": "lasso", "student": { "kind": "tree" }, "limits": { "max_runtime_s": 60 } });
    let before = app.stored().await;
    let validated = app.post("/api/v1/jobs?validate_only=true", &body("rows", &spec)).await.expect(200).json;
    let resolved = validated["spec_resolved"].clone();
    assert_eq!(
        (&resolved["teacher"], &resolved["student"]["criterion"], &resolved["held_out"]),
        (&json!("lasso:1"), &json!("gini"), &json!(0.2))
    );
    assert!(
        number(&validated["estimate"]["memory_mb"][1]) > 0.0 && validated["warnings"][0]["code"] == "teacher_saw_held_out",
        "{validated}"
    );
    assert_eq!(app.stored().await, before);
    // as it was resolved it says the same
    assert_eq!(submit(&app, "rows", resolved.clone()).await.expect(202).json["spec_resolved"], resolved);
    let waiting = submit(&app, "rows", spec.clone()).await.expect(202).json;
    app.post(waiting["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    let retry = format!("{}/retry", waiting["links"]["self"].as_str().expect("a link"));
    let retried = app.post(&retry, &json!({})).await.expect(202).json;
    assert_eq!((&retried["retry_of"], &retried["spec_resolved"]), (&waiting["id"], &resolved));
    assert_eq!(worked(&app, &retried).await["result"]["model_version"], "small:2");
    assert_eq!(app.get("/api/v1/jobs?type=distill").await.expect(200).json["data"].as_array().map(Vec::len), Some(3));

    // a teacher that goes away meanwhile is missed: the job says so, and nothing is stored
    let orphan = submit(&app, "rows", spec).await.expect(202).json;
    app.delete("/api/v1/models/lasso/versions/1").await.expect(204);
    let orphan = worked(&app, &orphan).await;
    assert_eq!(
        (&orphan["error"]["code"], &orphan["error"]["title"]),
        (&json!("not_found"), &json!("The model cannot be distilled as asked")),
        "{orphan}"
    );
    assert_eq!(app.get("/api/v1/models/small").await.expect(200).json["versions"], json!([2, 1]));
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taught_is_refused_before_anything_is_stored() {
    let app = house().await;
    with_model(&app).await;
    app.post("/api/v1/datasets?name=prices", &prices()).await.expect(201);
    app.upload("three", "0 1:1\n1 2:1\n2 3:1\n").await.expect(201);
    let before = app.stored().await;
    let with = |teacher: Value, student: Value| json!({ "teacher": teacher, "student": student });
    for (dataset, spec, status, code, place) in [
        ("rows", with(json!("nobody"), json!({})), 404, "not_found", "#/spec/teacher"),
        ("rows", with(json!("tree@production"), json!({})), 404, "not_found", "#/spec/teacher"),
        ("nothing", with(json!("tree"), json!({})), 404, "not_found", "#/dataset"),
        ("rows", with(json!("a/b"), json!({})), 422, "invalid_parameter", "#/spec/teacher"),
        ("tiny", with(json!("tree"), json!({})), 422, "invalid_parameter", "#/spec/teacher"),
        ("prices", with(json!("tree"), json!({})), 422, "invalid_target", "#/dataset"),
        ("three", with(json!({ "column": "0" }), json!({})), 422, "invalid_parameter", "#/dataset"),
        ("rows", with(json!({ "column": "absent" }), json!({})), 422, "invalid_parameter", "#/spec/teacher/column"),
        ("rows", with(json!("tree"), json!({ "kind": "tree", "criterion": "squared" })), 422, "invalid_target", "#/spec/student/criterion"),
        (
            "rows",
            with(json!("tree"), json!({ "penalty": { "type": "l1", "factors": { "absent": 0 } } })),
            422,
            "invalid_parameter",
            "#/spec/student/penalty/factors/absent",
        ),
        ("rows", with(json!("tree"), json!({ "kind": "tree", "depth": 3 })), 422, "unknown_field", "#/spec/student/depth"),
        (
            "rows",
            with(json!("tree"), json!({ "kind": "tree", "pruning": { "mode": "cv", "folds": 40 } })),
            422,
            "invalid_parameter",
            "#/spec/student/pruning/folds",
        ),
        ("rows", json!({ "student": {} }), 422, "invalid_parameter", "#/spec/teacher"),
        (
            "prices",
            json!({ "teacher": { "column": "said" }, "student": {}, "temperature": 2 }),
            422,
            "invalid_parameter",
            "#/spec/temperature",
        ),
    ] {
        let refused = submit(&app, dataset, spec.clone()).await;
        assert_eq!((refused.status, &refused.json["code"]), (status, &json!(code)), "{spec}: {}", refused.json);
        assert_eq!(refused.json["errors"][0]["pointer"], place, "{spec}: {}", refused.json);
    }
    let unnamed = app
        .post("/api/v1/jobs", &json!({ "type": "distill", "dataset": { "name": "rows" }, "spec": with(json!("tree"), json!({})) }))
        .await;
    assert_eq!((unnamed.status, &unnamed.json["errors"][0]["pointer"]), (422, &json!("#/model")));
    let huge = json!({ "teacher": "tree", "student": { "kind": "tree" }, "limits": { "max_memory_mb": 0.5 } });
    submit(&app, "rows", huge).await.expect_problem(422, "fit_too_large");
    assert_eq!(app.stored().await, before);
    app.stop().await;
}
