//! Comparisons and reports, from outside: a job that measures models side by side, and pages that tell of it.

use serde_json::{Value, json};

use crate::app::{Answer, TestApp};
use crate::data::{RECORDS, TINY, with_model};

const JSON: (&str, &str) = ("content-type", "application/json");

async fn submit(app: &TestApp, dataset: &str, spec: Value) -> Answer {
    app.post("/api/v1/jobs", &json!({ "type": "compare", "dataset": { "name": dataset }, "spec": spec })).await
}

/// The job as it is after all work is done.
async fn worked(app: &TestApp, job: &Value) -> Value {
    app.work().await;
    app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json
}

/// A lasso, an elastic net and a tree on `homes`.
async fn homes() -> TestApp {
    let app = TestApp::start().await;
    app.send("POST", "/api/v1/datasets?name=homes", &[JSON], RECORDS).await.expect(201);
    for (name, spec) in [
        ("lasso", json!({ "selection": { "method": "cv", "folds": 4 } })),
        ("net", json!({ "penalty": { "type": "elastic_net", "l1_ratio": 0.5 }, "lambda": { "mode": "value", "value": 0.3 } })),
        ("tree", json!({ "kind": "tree", "pruning": { "mode": "target_leaves", "target_leaves": 3 } })),
    ] {
        let body = json!({ "type": "fit", "model": name, "dataset": { "name": "homes" }, "spec": spec });
        app.post("/api/v1/jobs", &body).await.expect(202);
        app.work().await;
    }
    app
}

#[tokio::test]
async fn models_of_two_kinds_are_measured_side_by_side_with_their_twins() {
    let app = homes().await;
    // other rows, columns in another order, one feature that no model knows
    let held_out = r#"{"format":"records","target":"price","records":[
        {"rooms":4,"area":100,"price":5.5,"garden":1},{"rooms":2,"area":60,"price":3.0},{"rooms":1,"area":35,"price":1.9}]}"#;
    app.send("POST", "/api/v1/datasets?name=held-out", &[JSON], held_out).await.expect(201);
    let models = ["lasso", "net@latest", "tree:1"];
    let job = submit(&app, "held-out", json!({ "models": models, "twin": true, "bootstrap": 100 })).await.expect(202).json;
    assert_eq!((&job["type"], &job["model"]), (&json!("compare"), &Value::Null));
    assert_eq!(job["spec_resolved"]["models"], json!(["lasso:1", "net:1", "tree:1"]));
    let fits = job["spec_resolved"]["fits"].as_array().expect("fits");
    assert_eq!((fits.len(), &fits[1]["model"]), (2, &json!("net:1")), "a tree is not fitted anew");
    let job = worked(&app, &job).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let href = job["result"]["href"].as_str().expect("a link").to_owned();
    let found = app.get(&href).await.expect(200).json;
    assert_eq!((&found["object"], &found["job"], &found["score_name"]), (&json!("comparison"), &job["id"], &json!("r2")));
    assert_eq!((&found["data"], &found["warnings"]), (&job["result"]["data"], &job["warnings"]));
    let rows: Vec<(&str, bool)> =
        found["data"].as_array().expect("rows").iter().map(|row| (row["ref"].as_str().expect("a name"), row["twin"] == true)).collect();
    assert_eq!(rows, [("lasso:1", false), ("lasso:1", true), ("net:1", false), ("net:1", true), ("tree:1", false), ("tree:1", true)]);
    // the score is that of an evaluation
    for (at, name) in [(0, "lasso"), (4, "tree")] {
        let asked = json!({ "type": "evaluate", "dataset": { "name": "held-out" }, "spec": { "model": name } });
        let evaluated = worked(&app, &app.post("/api/v1/jobs", &asked).await.expect(202).json).await;
        let (one, other) = (found["data"][at]["score"].as_f64(), evaluated["result"]["metrics"]["score"].as_f64());
        assert!((one.expect("a score") - other.expect("a score")).abs() < 1e-12, "{name}: {one:?} {other:?}");
    }
    let stored = app.get("/api/v1/models/lasso/versions/1").await.expect(200).json;
    let row = &found["data"][0];
    assert_eq!(
        (&row["bytes_stored"], &row["nonzeros"], &row["lambda"]),
        (&stored["size_bytes"], &stored["sparsity"]["nonzeros"], &stored["lambda"])
    );
    assert!(
        row["latency_us_p50"].as_f64().is_some() && row["fit_ms"].as_u64().is_some() && row["bytes_memory"].as_u64().is_some(),
        "{row}"
    );
    assert_eq!((&found["data"][4]["size"], &found["data"][5]["size"]), (&json!(3), &json!(8)));
    assert_eq!(found["disagreements"].as_array().map(Vec::len), Some(6), "three pairs, and each with its twin");
    let sentence = found["recommendation"]["sentence"].as_str().expect("a sentence");
    assert!(sentence.starts_with("Take "), "{sentence}");
    // no twin has become a model
    assert_eq!(app.get("/api/v1/models").await.expect(200).json["data"].as_array().map(Vec::len), Some(3));
    let list = app.get("/api/v1/comparisons?limit=1").await.expect(200).json;
    assert_eq!((&list["data"][0]["href"], &list["data"][0]["models"]), (&json!(href), &json!(["lasso:1", "net:1", "tree:1"])));
    assert_eq!(list["has_more"], false);

    let page = app.send("GET", &href, &[("accept", "text/html,*/*;q=0.5")], "").await.expect(200);
    assert!(
        page.header("content-type").starts_with("text/html") && page.header("content-security-policy").starts_with("default-src 'none'")
    );
    assert!(page.text().contains("dense twin") && page.text().contains("<svg"), "{}", page.text());
    app.delete(&format!("/api/v1/jobs/{}", job["id"].as_str().expect("an id"))).await.expect(204);
    app.get(&href).await.expect_problem(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn the_twin_of_a_tree_is_its_largest_pruning_and_that_has_none() {
    let app = TestApp::start().await;
    // where a is 0, b splits the rows and says nothing of y: three leaves are grown, of which the largest pruning has two
    let csr = "1 1:1\n1 1:1\n0 2:1\n1 2:1\n0 3:1\n1 3:1\n";
    app.send("POST", "/api/v1/datasets?name=idle", &[("content-type", "text/libsvm")], csr).await.expect(201);
    for (name, pruning) in [("whole", json!({ "mode": "none" })), ("root", json!({ "mode": "target_leaves", "target_leaves": 1 }))] {
        let spec = json!({ "kind": "tree", "pruning": pruning });
        app.post("/api/v1/jobs", &json!({ "type": "fit", "model": name, "dataset": { "name": "idle" }, "spec": spec })).await.expect(202);
        app.work().await;
    }
    let whole = app.get("/api/v1/models/whole").await.expect(200).json;
    assert!(whole["sparsity"]["leaves"].as_u64() < whole["sparsity"]["unpruned"]["leaves"].as_u64(), "{whole}");
    let job = submit(&app, "idle", json!({ "models": ["whole", "root"], "twin": true, "measure": ["size"] })).await.expect(202).json;
    let job = worked(&app, &job).await;
    let rows = job["result"]["data"].as_array().expect("rows");
    let told: Vec<_> = rows.iter().map(|row| (row["ref"].as_str().unwrap(), row["twin"] == true, row["size"].clone())).collect();
    let leaves = whole["sparsity"]["leaves"].clone();
    assert_eq!(told, [("whole:1", false, leaves.clone()), ("root:1", false, json!(1)), ("root:1", true, leaves)], "{job}");
    assert_eq!(job["warnings"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn without_its_data_a_model_has_no_twin_and_says_so() {
    let app = homes().await;
    app.send("POST", "/api/v1/datasets?name=again", &[JSON], RECORDS).await.expect(201);
    let body = json!({ "models": ["lasso", "tree"], "twin": true, "measure": ["size", "stability"], "halves": 4 });
    let waiting = submit(&app, "again", body.clone()).await.expect(202).json;
    app.delete("/api/v1/datasets/homes/versions/1").await.expect(204);
    let late = submit(&app, "again", body).await.expect(202).json;
    assert!(late["spec_resolved"].get("fits").is_none(), "{late}");
    for job in [waiting, late] {
        let job = worked(&app, &job).await;
        let result = &job["result"];
        assert_eq!((&job["status"], result["data"].as_array().map(Vec::len)), (&json!("succeeded"), Some(3)), "{job}");
        assert_eq!((&result["data"][2]["twin"], &result["recommendation"]), (&json!(true), &Value::Null), "a tree needs no data");
        let warned = |code: &str| job["warnings"].as_array().expect("warnings").iter().any(|one| one["code"] == code);
        assert!(warned("no_twin") && !warned("on_training_rows"), "{job}");
        assert!(result["data"][0]["stability"]["reason"].as_str().is_some_and(|why| why.contains("deleted")), "{job}");
    }
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_be_compared_is_refused_before_anything_is_stored() {
    let app = homes().await;
    with_model(&app).await;
    for (dataset, models, status, code, pointer) in [
        ("homes", json!(["lasso", "none"]), 404, "not_found", "#/spec/models/1"),
        ("homes", json!(["lasso", "lasso:1"]), 422, "invalid_parameter", "#/spec/models/1"),
        ("homes", json!(["lasso", "m"]), 422, "invalid_parameter", "#/spec/models/1"),
        ("tiny", json!(["m", "lasso"]), 422, "invalid_parameter", "#/spec/models/1"),
        ("none", json!(["m"]), 404, "not_found", "#/dataset"),
    ] {
        let refused = submit(&app, dataset, json!({ "models": models })).await;
        assert_eq!(
            (refused.status, &refused.json["code"], &refused.json["errors"][0]["pointer"]),
            (status, &json!(code), &json!(pointer)),
            "{models}"
        );
    }
    let three =
        app.send("POST", "/api/v1/datasets?name=three&target_kind=multiclass", &[("content-type", "text/libsvm")], "0 1:1\n1 2:1\n2 3:1\n");
    three.await.expect(201);
    let unfit = submit(&app, "three", json!({ "models": ["m"] })).await.expect_problem(422, "invalid_target");
    assert_eq!(unfit.json["errors"][0]["pointer"], "#/spec/models/0");
    let fits = app.get("/api/v1/jobs?type=compare").await.expect(200).json;
    assert_eq!(fits["data"], json!([]));
    let fit = app.get("/api/v1/jobs?type=fit").await.expect(200).json["data"][0]["id"].as_str().expect("an id").to_owned();
    app.get(&format!("/api/v1/comparisons/{fit}")).await.expect_problem(404, "no_comparison");
    app.get("/api/v1/comparisons/nothing").await.expect_problem(404, "not_found");
    let other = json!({ "type": "fit", "dataset": { "name": "homes" }, "spec": { "models": ["lasso"] } });
    app.post("/api/v1/comparisons", &other).await.expect_problem(422, "invalid_parameter");
    let queued =
        app.post("/api/v1/comparisons", &json!({ "dataset": { "name": "homes" }, "spec": { "models": ["lasso"] } })).await.expect(202).json;
    let href = format!("/api/v1/comparisons/{}", queued["id"].as_str().expect("an id"));
    app.get(&href).await.expect_problem(409, "conflict");
    app.get(&format!("{href}/plots/comparison.svg")).await.expect_problem(409, "conflict");
    app.delete("/api/v1/models/lasso/versions/1").await.expect(204);
    let failed = worked(&app, &queued).await;
    assert_eq!((&failed["status"], &failed["error"]["code"]), (&json!("failed"), &json!("not_found")), "{failed}");
    app.stop().await;
}

#[tokio::test]
async fn a_comparison_is_drawn_where_scores_were_measured() {
    let app = homes().await;
    let drawn = async |measure: Value| {
        let spec = json!({ "models": ["lasso"], "measure": measure });
        let queued = app.post("/api/v1/comparisons", &json!({ "dataset": { "name": "homes" }, "spec": spec })).await.expect(202).json;
        let done = worked(&app, &queued).await;
        let picture = format!("/api/v1/comparisons/{}/plots/comparison.svg", done["id"].as_str().expect("an id"));
        (
            app.get(&picture).await,
            app.get(&format!("{picture}?width=900&height=300&theme=dark")).await,
            app.get(&format!("{picture}?width=1")).await,
        )
    };
    let (usual, wished, wrong) = drawn(json!(["quality", "size"])).await;
    let usual = usual.expect(200);
    assert_eq!(usual.header("content-type"), "image/svg+xml; charset=utf-8");
    let svg = usual.text();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"204\"") && svg.contains("lasso:1"), "{svg}");
    assert!(wished.expect(200).text().contains("width=\"900\" height=\"300\""));
    wrong.expect_problem(422, "invalid_parameter");
    drawn(json!(["size"])).await.0.expect_problem(404, "no_plot");
    app.stop().await;
}

#[tokio::test]
async fn a_report_tells_what_is_stored_and_the_newest_comparison() {
    let app = homes().await;
    let report = app.get("/api/v1/models/lasso/versions/1/report").await.expect(200);
    assert_eq!(report.header("vary"), "accept");
    let report = report.json;
    assert_eq!((&report["object"], &report["ref"], &report["comparison"]), (&json!("report"), &json!("lasso:1"), &Value::Null));
    let model = app.get("/api/v1/models/lasso/versions/1").await.expect(200).json;
    assert_eq!((&report["certificate"], &report["bytes"]["stored"]), (&model["certificate"], &model["size_bytes"]));
    let marks = report["tradeoff"]["marks"].as_array().expect("marks");
    let selected = marks.iter().find(|mark| mark["name"] == "selected").expect("the model itself");
    let path = app.get("/api/v1/models/lasso/versions/1/path").await.expect(200).json;
    assert_eq!((&selected["index"], &selected["size"]), (&path["selected"], &model["sparsity"]["nonzeros"]));
    assert_eq!((&marks[0]["name"], &marks[0]["loss"], &report["tradeoff"]["promotable"]), (&json!("best"), &json!(0.0), &json!(true)));
    let strongest = app.get("/api/v1/models/lasso/versions/1/coefficients").await.expect(200).json;
    assert_eq!((&report["features"][0]["name"], &report["features"][0]["value"]), (&strongest["names"][0], &strongest["values"][0]));
    assert!(report["summary"].as_str().is_some_and(|text| text.contains("lasso") && text.contains("4-fold")), "{report}");
    // the hint is a request that works
    let hint = &report["hint"];
    let made = app.post(hint["href"].as_str().expect("a path"), &hint["body"]).await.expect(202).json;
    let made = worked(&app, &made).await;
    assert_eq!(made["status"], "succeeded", "{made}");
    assert!(made["warnings"].as_array().expect("warnings").iter().any(|one| one["code"] == "on_training_rows"), "{made}");
    let report = app.get("/api/v1/models/lasso/versions/1/report").await.expect(200).json;
    assert_eq!((&report["comparison"]["job"], &report["hint"]), (&made["id"], &Value::Null));
    assert_eq!(report["comparison"]["data"], made["result"]["data"]);
    let asked = format!("/api/v1/models/tree/versions/1/report?comparison={}", made["id"].as_str().expect("an id"));
    app.get(&asked).await.expect_problem(422, "invalid_parameter");

    for (model, words) in [
        ("lasso", ["Strongest coefficients", "What smallness costs", "certified"]),
        ("tree", ["First splits", "not applicable", "What it splits on"]),
    ] {
        let path = format!("/api/v1/models/{model}/versions/1/report");
        let page = app.send("GET", &path, &[("accept", "text/html")], "").await.expect(200);
        let text = page.text();
        assert!(words.iter().all(|word| text.contains(word)) && text.contains("<svg"), "{text}");
        let json = app.send("GET", &format!("{path}?format=json"), &[("accept", "text/html")], "").await.expect(200);
        assert_eq!(json.json["kind"], if model == "tree" { "tree" } else { "linear" });
    }
    let tree = app.get("/api/v1/models/tree/versions/1/report").await.expect(200).json;
    assert_eq!(
        (&tree["tradeoff"]["sizes"], &tree["tradeoff"]["dense"]["size"], &tree["splits"][0]["depth"]),
        (&json!("leaves"), &json!(8), &json!(0))
    );
    app.get("/api/v1/models/lasso/versions/1/report?format=pdf").await.expect_problem(422, "invalid_parameter");
    app.send("GET", "/api/v1/models/lasso/versions/1/report", &[("accept", "image/png")], "").await.expect_problem(406, "not_acceptable");
    app.stop().await;
}

#[tokio::test]
async fn no_name_of_a_client_becomes_markup() {
    let app = TestApp::start().await;
    let nasty = "<script>alert('x')</script>\"&";
    let mut upload = json!({ "format": "dense", "values": [[1, 0], [2, 1], [3, 0], [4, 1]], "y": [1.5, 2.5, 3.5, 4.5] });
    upload["feature_names"] = json!([nasty, "b"]);
    app.send("POST", "/api/v1/datasets?name=odd", &[JSON], upload.to_string()).await.expect(201);
    app.submit("odd", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202);
    app.work().await;
    let page = app.get("/api/v1/models/m/versions/1/report?format=html").await.expect(200).text();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"), "{page}");
    app.stop().await;
}

#[tokio::test]
async fn a_comparison_of_classes_runs_and_is_cancelled_like_any_job() {
    let app = TestApp::start().await;
    with_model(&app).await;
    app.upload("more", &TINY.repeat(5)).await.expect(201);
    let job = submit(&app, "more", json!({ "models": ["m"], "measure": ["quality"], "bootstrap": 100, "seed": 3 })).await.expect(202).json;
    let done = worked(&app, &job).await;
    let row = &done["result"]["data"][0];
    assert_eq!(
        (&done["result"]["score_name"], &row["score"], &row["on_training_rows"]),
        (&json!("auc"), &json!(8.5 / 9.0), &json!(false)),
        "{done}"
    );
    assert!(row["score_low"].as_f64() < row["score"].as_f64() && row["size"].is_null(), "{row}");
    let again =
        submit(&app, "more", json!({ "models": ["m"], "measure": ["quality"], "bootstrap": 100, "seed": 3 })).await.expect(202).json;
    assert_eq!(worked(&app, &again).await["result"]["data"], done["result"]["data"], "the same seed, the same resamples");
    let waiting = submit(&app, "more", json!({ "models": ["m"] })).await.expect(202).json;
    app.post(waiting["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    let retried = app.post(&format!("{}/retry", waiting["links"]["self"].as_str().expect("a link")), &json!({})).await.expect(202).json;
    assert_eq!(worked(&app, &retried).await["status"], "succeeded");
    app.stop().await;
}
