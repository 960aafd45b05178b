//! Pictures seen from outside: every kind of model has those it can have, they stand alone, and rows are shown to whoever may read them.

use serde_json::{Value, json};

use crate::app::{Answer, TestApp};
use crate::data::{RECORDS, TINY, with_model};

const PLOTS: &str = "/api/v1/models/m/versions/1/plots";
/// Rows of two classes that a straight line does not part, with names.
const CLASSES: &str = r#"{"format":"records","target":"sold","records":[
  {"area":50,"rooms":2,"town":"Oslo","sold":"no"},{"area":80,"rooms":3,"town":"Bergen","sold":"yes"},
  {"area":120,"rooms":5,"town":"Oslo","sold":"yes"},{"area":30,"rooms":1,"town":"Voss","sold":"no"},
  {"area":65,"rooms":2,"town":"Bergen","sold":"yes"},{"area":90,"rooms":4,"town":"Oslo","sold":"no"},
  {"area":45,"rooms":2,"town":"Voss","sold":"yes"},{"area":110,"rooms":4,"town":"Bergen","sold":"no"},
  {"area":115,"rooms":4,"town":"Bergen","sold":"yes"},{"area":41,"rooms":1,"town":"Oslo","sold":"no"}]}"#;

async fn put(app: &TestApp, name: &str, records: &'static str) {
    app.send("POST", &format!("/api/v1/datasets?name={name}"), &[("content-type", "application/json")], records).await.expect(201);
}

/// Fits version 1 of `m`.
async fn fitted(app: &TestApp, dataset: &str, spec: Value) {
    let job = app.submit(dataset, spec).await.expect(202).json;
    app.work().await;
    let job = app.get(&format!("/api/v1/jobs/{}", job["id"].as_str().expect("an id"))).await.expect(200).json;
    assert_eq!(job["status"], "succeeded", "{job}");
}

/// The text of a picture, which is one and stands alone.
#[track_caller]
fn picture(answer: Answer) -> String {
    let answer = answer.expect(200);
    assert_eq!(answer.header("content-type"), "image/svg+xml; charset=utf-8");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; style-src 'unsafe-inline'");
    let svg = answer.text();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.ends_with("</svg>\n"), "{svg}");
    for word in ["<script", "href", "url(", "<style", "<image", "NaN", " id="] {
        assert!(!svg.contains(word), "{word} in {svg}");
    }
    assert_eq!(svg.matches("http").count(), 1, "the name of the language alone");
    svg
}

#[tokio::test]
async fn a_linear_model_has_every_picture_of_its_path_its_folds_and_its_rows() {
    let app = TestApp::start().await;
    put(&app, "sales", CLASSES).await;
    fitted(&app, "sales", json!({ "selection": { "method": "cv", "folds": 3 } })).await;
    let path = picture(app.get(&format!("{PLOTS}/path.svg")).await);
    assert!(path.contains("coefficients along the path") && path.contains(">rooms</text>") && path.contains("selected"), "{path}");
    for (plot, says) in [
        ("cv", "3 folds"),
        ("histogram", "exactly 0"),
        ("histogram.svg?scale=log&bins=5", "below 0"),
        ("tradeoff", "best"),
        ("calibration", "sales:1, rows it was fitted on; all 10 rows"),
    ] {
        let file = if plot.contains('.') { plot.to_owned() } else { format!("{plot}.svg") };
        let svg = picture(app.get(&format!("{PLOTS}/{file}")).await);
        assert!(svg.contains(says), "{plot}: {svg}");
    }
    app.get(&format!("{PLOTS}/tree.svg")).await.expect_problem(404, "no_tree");
    app.get(&format!("{PLOTS}/pruning.svg")).await.expect_problem(404, "no_tree");
    app.get(&format!("{PLOTS}/residuals.svg")).await.expect_problem(404, "no_plot");
    app.stop().await;
}

#[tokio::test]
async fn a_tree_has_pictures_of_its_nodes_and_prunings_and_of_what_it_leaves_unexplained() {
    let app = TestApp::start().await;
    put(&app, "prices", RECORDS).await;
    fitted(&app, "prices", json!({ "kind": "tree", "pruning": { "mode": "cv", "folds": 4, "rule": "min" } })).await;
    for (plot, says) in
        [("tree", "squared"), ("pruning", "leaves"), ("cv", "4 folds"), ("tradeoff", "mse on rows held out"), ("residuals", "all 8 rows")]
    {
        let svg = picture(app.get(&format!("{PLOTS}/{plot}.svg")).await);
        assert!(svg.contains(says), "{plot}: {svg}");
    }
    app.get(&format!("{PLOTS}/path.svg")).await.expect_problem(404, "no_coefficients");
    app.get(&format!("{PLOTS}/histogram.svg")).await.expect_problem(404, "no_coefficients");
    app.get(&format!("{PLOTS}/calibration.svg")).await.expect_problem(404, "no_plot");
    app.stop().await;
}

#[tokio::test]
async fn what_a_model_does_not_have_is_told_by_its_code() {
    let app = TestApp::start().await;
    with_model(&app).await;
    app.get(&format!("{PLOTS}/cv.svg")).await.expect_problem(404, "no_cv");
    for plot in ["path", "tradeoff"] {
        app.get(&format!("{PLOTS}/{plot}.svg")).await.expect_problem(404, "no_path");
    }
    for absent in ["path", "path.png", "roc.svg", ".svg", "path.svg/"] {
        app.get(&format!("{PLOTS}/{absent}")).await.expect_problem(404, "not_found");
    }
    app.get("/api/v1/models/m/versions/2/plots/path.svg").await.expect_problem(404, "not_found");
    app.stop().await;
}

#[tokio::test]
async fn many_classes_have_a_path_for_each_and_no_single_probability() {
    let app = TestApp::start().await;
    let rows = "0 1:1 2:2\n1 2:1\n2 1:3 3:1\n0 1:2\n1 2:3\n2 3:2\n0 1:1\n1 2:1 3:1\n2 3:1\n";
    app.send("POST", "/api/v1/datasets?name=three&target_kind=multiclass", &[("content-type", "text/libsvm")], rows).await.expect(201);
    fitted(&app, "three", json!({ "selection": { "method": "none" } })).await;
    let path = picture(app.get(&format!("{PLOTS}/path.svg")).await);
    assert!(path.contains("feature 0 → 0"), "a feature and its class: {path}");
    picture(app.get(&format!("{PLOTS}/histogram.svg")).await);
    for plot in ["calibration", "residuals"] {
        app.get(&format!("{PLOTS}/{plot}.svg")).await.expect_problem(404, "no_plot");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_size_out_of_bounds_or_a_word_that_is_none_is_named() {
    let app = TestApp::start().await;
    with_model(&app).await;
    for (query, parameter) in [
        ("width=199", "width"),
        ("width=4001", "width"),
        ("height=0", "height"),
        ("height=%2B300", "height"),
        ("height=3e2", "height"),
        ("theme=blue", "theme"),
        ("bins=0", "bins"),
        ("scale=sqrt", "scale"),
    ] {
        let answer = app.get(&format!("{PLOTS}/histogram.svg?{query}")).await;
        let answer = answer.expect_problem(422, "invalid_parameter");
        assert_eq!(answer.json["errors"][0]["parameter"], parameter, "{query}");
    }
    app.get(&format!("{PLOTS}/path.svg?bins=3")).await.expect_problem(422, "invalid_parameter");
    app.get(&format!("{PLOTS}/histogram.svg?dataset=tiny")).await.expect_problem(422, "invalid_parameter");
    let svg = picture(app.get(&format!("{PLOTS}/histogram.svg?width=4000&theme=dark")).await);
    assert!(svg.contains("width=\"4000\" height=\"2500\"") && svg.contains("#14181d"), "{svg}");
    assert!(picture(app.get(&format!("{PLOTS}/histogram.svg?width=200")).await).contains("width=\"200\" height=\"200\""));
    app.stop().await;
}

#[tokio::test]
async fn a_picture_is_kept_by_its_tag_and_another_look_has_another() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let mut tags = std::collections::BTreeSet::new();
    for query in ["", "?theme=dark", "?width=300", "?height=300", "?scale=log", "?bins=7"] {
        let path = format!("{PLOTS}/histogram.svg{query}");
        let tag = app.get(&path).await.expect(200).header("etag").to_owned();
        app.send("GET", &path, &[("if-none-match", &tag)], "").await.expect(304);
        tags.insert(tag);
    }
    assert_eq!(tags.len(), 6, "{tags:?}");
    let image = [("accept", "image/avif,image/webp,image/*,*/*;q=0.8")];
    app.send("GET", &format!("{PLOTS}/histogram.svg"), &image, "").await.expect(200);
    app.send("GET", &format!("{PLOTS}/histogram.svg"), &[("accept", "application/json")], "").await.expect_problem(406, "not_acceptable");
    app.stop().await;
}

#[tokio::test]
async fn other_rows_are_shown_by_name_and_deleted_ones_are_told_of() {
    let app = TestApp::start().await;
    with_model(&app).await;
    app.upload("held", "1 1:3\n0 3:2\n0 3:1 9:5\n").await.expect(201);
    app.upload("held", TINY).await.expect(201);
    let shown = async |query: &str| app.get(&format!("{PLOTS}/calibration.svg{query}")).await;
    assert!(picture(shown("?dataset=held:1").await).contains("held:1, rows of another data set; all 3 rows"));
    assert!(
        picture(shown("?dataset=held").await).contains("held:2, rows it was fitted on; all 6 rows"),
        "the same content by another name"
    );
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect(204);
    let gone = shown("").await.expect_problem(404, "not_found");
    assert!(gone.json["detail"].as_str().is_some_and(|detail| detail.contains("?dataset=")), "{}", gone.json);
    shown("?dataset=tiny").await.expect_problem(404, "not_found");
    shown("?dataset=held:3").await.expect_problem(404, "not_found");
    for bad in ["held@latest:1", "HELD", "held:0", "held@production", ""] {
        let answer = shown(&format!("?dataset={bad}")).await.expect_problem(422, "invalid_parameter");
        assert_eq!(answer.json["errors"][0]["parameter"], "dataset");
    }
    // names beside none, classes that the model does not know
    put(&app, "named", CLASSES).await;
    shown("?dataset=named").await.expect_problem(422, "invalid_parameter");
    app.upload("others", "1 1:3\n7 3:2\n").await.expect(201);
    let answer = shown("?dataset=others").await;
    assert!(answer.json["detail"].as_str().is_some_and(|detail| detail.contains("class 7")), "{}", answer.json);
    app.stop().await;
}

#[tokio::test]
async fn rows_are_not_shown_to_a_key_that_may_read_models_alone() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let admin = app.post("/api/v1/keys", &json!({ "name": "ops", "scopes": ["admin"] })).await.expect(201).json;
    let bearer = |key: &Value| format!("Bearer {}", key["key"].as_str().expect("a key"));
    let admin = bearer(&admin);
    for (scopes, status) in [(json!(["models:read"]), 403), (json!(["datasets:read"]), 403), (json!(["models:read", "datasets:read"]), 200)]
    {
        let headers = [("authorization", admin.as_str()), ("content-type", "application/json")];
        let made = app.send("POST", "/api/v1/keys", &headers, json!({ "name": "k", "scopes": scopes }).to_string()).await.expect(201).json;
        let own = bearer(&made);
        app.send("GET", &format!("{PLOTS}/calibration.svg"), &[("authorization", &own)], "").await.expect(status);
    }
    app.stop().await;
}

#[tokio::test]
async fn sparsity_and_the_log_histogram_are_told_as_numbers() {
    let app = TestApp::start().await;
    with_model(&app).await;
    // |w| = 2, 0, 1: Hoyer (√3 − 3/√5)/(√3 − 1), Gini 1 − 2(⅓·1.5/3 + ⅔·0.5/3)
    let sparsity = app.get("/api/v1/models/m/versions/1").await.expect(200).json["sparsity"].clone();
    let near = |key: &str, expected: f64| (sparsity[key].as_f64().expect("a number") - expected).abs() < 1e-12;
    assert!(near("hoyer", (3f64.sqrt() - 3.0 / 5f64.sqrt()) / (3f64.sqrt() - 1.0)) && near("gini", 4.0 / 9.0), "{sparsity}");
    let histogram = async |query: &str| app.get(&format!("/api/v1/models/m/versions/1/histogram?bins=2&{query}")).await;
    let linear = histogram("scale=linear").await.expect(200).json;
    assert_eq!(linear, json!({ "object": "histogram", "zeros": 1, "edges": [-1.0, 0.5, 2.0], "counts": [1, 1] }));
    let log = histogram("scale=log").await.expect(200).json;
    assert_eq!(
        (&log["scale"], &log["positive"], &log["negative"], &log["counts"]),
        (&json!("log"), &json!([0, 1]), &json!([1, 0]), &json!([1, 1]))
    );
    assert_eq!(log["edges"], json!([0.0, 2f64.log10() / 2.0, 2f64.log10()]));
    histogram("scale=cubic").await.expect_problem(422, "invalid_parameter");
    app.stop().await;
}
