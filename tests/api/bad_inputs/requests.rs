//! Bad jobs, paths, pages and predictions.

use serde_json::json;

use super::{Row, gzip, hold, limits};
use crate::app::{TestApp, fit};
use crate::data::with_model;

fn job(number: &'static str, body: String, status: u16, code: &'static str, place: &'static str) -> Row {
    let headers = vec![("content-type", "application/json".to_owned())];
    Row { number, method: "POST", path: "/api/v1/jobs".into(), headers, body: body.into_bytes(), status, code, place }
}

/// A fit on `tiny` whose spec is this text.
fn spec(number: &'static str, spec: &str, place: &'static str) -> Row {
    let body = fit("tiny", json!("SPEC")).to_string().replace("\"SPEC\"", spec);
    job(number, body, 422, "invalid_parameter", place)
}

fn predict(number: &'static str, body: &str, status: u16, code: &'static str, place: &'static str) -> Row {
    let headers = vec![("content-type", "application/json".to_owned())];
    Row { number, method: "POST", path: "/api/v1/models/m/predict".into(), headers, body: body.into(), status, code, place }
}

fn get(number: &'static str, path: &str, status: u16, code: &'static str, place: &'static str) -> Row {
    Row { number, method: "GET", path: path.into(), headers: Vec::new(), body: Vec::new(), status, code, place }
}

#[tokio::test]
async fn specifications() {
    hold(vec![
        spec("48", r#"{"lambda":{"mode":"value","value":-1}}"#, "#/spec/lambda/value"),
        spec("48", r#"{"lambda":{"mode":"value","value":0}}"#, "#/spec/lambda/value"),
        spec("48", r#"{"lambda":{"mode":"value","value":1e400}}"#, "#/spec/lambda/value"),
        spec("48", r#"{"lambda":{"mode":"path","n":1000000}}"#, "#/spec/lambda/n"),
        spec("48", r#"{"penalty":{"type":"elastic_net","l1_ratio":1.5}}"#, "#/spec/penalty/l1_ratio"),
        spec("48", r#"{"penalty":{"type":"elastic_net"}}"#, "#/spec/penalty/l1_ratio"),
        spec("48", r#"{"penalty":{"type":"slope"}}"#, "#/spec/penalty/type"),
        spec("48", r#"{"penalty":{"type":"l1","factors":{"nobody":2}}}"#, "#/spec/penalty/factors/nobody"),
        spec("48", r#"{"bounds":{"nobody":[0,1]}}"#, "#/spec/bounds/nobody"),
        spec("48", r#"{"bounds":{"0":[1,2]}}"#, "#/spec/bounds/0"),
        spec("48", r#"{"bounds":{"0":"positive"}}"#, "#/spec/bounds/0"),
        spec("48", r#"{"non_negative":true,"penalty":{"type":"scad"}}"#, "#/spec/non_negative"),
        spec("48", r#"{"solver":{"tol":0}}"#, "#/spec/solver/tol"),
        spec("48", r#"{"solver":{"tol":-1}}"#, "#/spec/solver/tol"),
        spec("48", r#"{"solver":{"max_epochs":0}}"#, "#/spec/solver/max_epochs"),
        spec("48", r#"{"solver":{"max_epochs":1000000000000}}"#, "#/spec/solver/max_epochs"),
        spec("48", r#"{"solver":{"type":"sag"}}"#, "#/spec/solver/type"),
        spec("48", r#"{"selection":{"method":"cv","folds":1}}"#, "#/spec/selection/folds"),
        spec("48", r#"{"selection":{"method":"cv","folds":7}}"#, "#/spec/selection/folds"),
        spec("48", r#"{"selection":{"method":"cv","seed":-1}}"#, "#/spec/selection/seed"),
        spec("48", r#"{"selection":{"method":"cv","seed":99999999999999999999}}"#, "#/spec/selection/seed"),
        spec("48", r#"{"selection":{"method":"cv","groups":[1,1,2]}}"#, "#/spec/selection/groups"),
        spec("48", r#"{"selection":{"method":"cv","folds":3,"groups":[1,1,"a","a",1,"a"]}}"#, "#/spec/selection/folds"),
        spec("48", r#"{"selection":{"method":"cv","groups":[1,1,2,2,3,[]]}}"#, "#/spec/selection/groups/5"),
        spec("48", r#"{"selection":{"method":"cv","fold_of_row":[0,1,0,1,0]}}"#, "#/spec/selection/fold_of_row"),
        spec("48", r#"{"selection":{"method":"cv","fold_of_row":[0,2,0,2,0,2]}}"#, "#/spec/selection/fold_of_row"),
        spec("48", r#"{"selection":{"method":"cv","fold_of_row":[0,1,0,1,0,99999]}}"#, "#/spec/selection/fold_of_row/5"),
        spec("48", r#"{"selection":{"method":"cv","repeats":1e9}}"#, "#/spec/selection/repeats"),
        spec("48", r#"{"selection":{"method":"holdout","fraction":1.5}}"#, "#/spec/selection/fraction"),
        spec("48", r#"{"selection":{"method":"ebic","ebic_gamma":2}}"#, "#/spec/selection/ebic_gamma"),
        spec("48", r#"{"selection":{"method":"bic"},"penalty":{"type":"l2"}}"#, "#/spec/selection/method"),
        spec("48", r#"{"selection":{"method":"cv","rule":"sparsest_within_pct"}}"#, "#/spec/selection/within_pct"),
        spec("48", r#"{"penalty":{"type":"elastic_net","l1_ratio":[0.5,-1]}}"#, "#/spec/penalty/l1_ratio/1"),
        spec("48", r#"{"penalty":{"type":"l1","adaptive":{"gamma":-1}}}"#, "#/spec/penalty/adaptive/gamma"),
        spec("48", r#"{"refit":{"relaxed_gamma":[0,2]}}"#, "#/spec/refit/relaxed_gamma/1"),
        spec("48", r#"{"compare_ridge":true,"penalty":{"type":"l2"}}"#, "#/spec/compare_ridge"),
        spec("48", r#"{"limits":{"max_runtime_s":0}}"#, "#/spec/limits/max_runtime_s"),
        spec("48", r#"{"penalty":{"type":"l2"},"lambda":{"mode":"target_nonzeros","k":1}}"#, "#/spec/lambda"),
        Row { code: "unknown_field", ..spec("49", r#"{"solver":{"max_itre":5}}"#, "#/spec/solver/max_itre") },
        job(
            "48",
            r#"{"type":"fit","model":"m","dataset":{"name":"tiny"},"spec":{"lambda":NaN}}"#.into(),
            400,
            "malformed_json",
            "line 1 column 70",
        ),
        job(
            "50",
            r#"{"type":"fit","model":"m","dataset":{"name":"tiny"},"spec":{},"tenant_id":"x"}"#.into(),
            422,
            "unknown_field",
            "#/tenant_id",
        ),
        job(
            "50",
            r#"{"type":"fit","model":"m","dataset":{"name":"tiny"},"spec":{},"status":"succeeded"}"#.into(),
            422,
            "unknown_field",
            "#/status",
        ),
        job(
            "50",
            r#"{"type":"fit","model":"m","dataset":{"name":"tiny"},"spec":{},"attempt":99}"#.into(),
            422,
            "unknown_field",
            "#/attempt",
        ),
        job("52", fit("absent", json!({})).to_string(), 404, "not_found", "#/dataset"),
        job("52", r#"{"type":"fit","model":"m","dataset":{"name":"tiny","version":9},"spec":{}}"#.into(), 404, "not_found", "#/dataset"),
        job("-", r#"{"type":"fit","model":"M!","dataset":{"name":"tiny"},"spec":{}}"#.into(), 422, "invalid_field", "#/model"),
        job("-", r#"{"type":"paint","model":"m","dataset":{"name":"tiny"},"spec":{}}"#.into(), 422, "invalid_parameter", "#/type"),
        job("-", "{}".into(), 422, "invalid_parameter", "#/type"),
        job("-", "[]".into(), 422, "invalid_field", "#"),
        job("-", String::new(), 400, "malformed_json", "line 1 column 1"),
        job("6", " ".repeat((256 << 10) + 1), 413, "payload_too_large", "-"),
        Row { headers: vec![("content-type", "text/plain".into())], ..job("1", "{}".into(), 415, "unsupported_media_type", "-") },
        Row { headers: Vec::new(), ..job("1", "{}".into(), 415, "unsupported_media_type", "-") },
        Row {
            headers: vec![("content-type", "application/json".into()), ("content-encoding", "gzip".into())],
            body: gzip(&vec![b' '; 8 << 20]),
            ..job("5", String::new(), 413, "decompressed_too_large", "-")
        },
        Row {
            path: "/api/v1/jobs?validate_only=maybe".into(),
            ..job("-", fit("tiny", json!({})).to_string(), 422, "invalid_parameter", "parameter validate_only")
        },
    ])
    .await;
}

#[tokio::test]
async fn ids_names_and_versions_in_paths_are_found_or_not_found() {
    let long = format!("/api/v1/jobs/{}", "J".repeat(10 << 10));
    let mut rows: Vec<Row> = ["..%2Fx", "%2e%2e%2f", "%252e%252e", "%00", "%23", "%FF", "job_01j00000000000000000000000", "%7B%7D", "1"]
        .iter()
        .map(|id| get("51", &format!("/api/v1/jobs/{id}"), 404, "not_found", "-"))
        .collect();
    rows.push(get("51", &long, 404, "not_found", "-"));
    for path in [
        "datasets/nobody",
        "datasets/tiny/versions/2",
        "datasets/tiny/versions/01",
        "datasets/tiny/versions/-1",
        "datasets/tiny/versions/x",
    ] {
        rows.push(get("52", &format!("/api/v1/{path}"), 404, "not_found", "-"));
    }
    for path in
        ["models/nobody", "models/m/versions/2", "models/m/versions/0", "models/m/versions/1.0", "models/m/versions/99999999999999999999"]
    {
        rows.push(get("52", &format!("/api/v1/{path}"), 404, "not_found", "-"));
    }
    rows.push(get("-", "/api/v1/models/m/versions/1/cv", 404, "no_cv", "-"));
    rows.push(get("-", "/api/v1/models/m/versions/1/cv/folds", 404, "no_cv", "-"));
    hold(rows).await;
}

#[tokio::test]
async fn pages_and_filters() {
    hold(vec![
        get("63", "/api/v1/jobs?cursor=00", 400, "invalid_cursor", "parameter cursor"),
        get("63", "/api/v1/jobs?cursor=", 400, "invalid_cursor", "parameter cursor"),
        get("63", "/api/v1/jobs?cursor=%FF", 422, "invalid_parameter", "parameter cursor"),
        get("63", "/api/v1/datasets?limit=0", 422, "invalid_parameter", "parameter limit"),
        get("63", "/api/v1/datasets?limit=-1", 422, "invalid_parameter", "parameter limit"),
        get("63", "/api/v1/datasets?limit=abc", 422, "invalid_parameter", "parameter limit"),
        get("-", "/api/v1/jobs?status=done", 422, "invalid_parameter", "parameter status"),
        get("-", "/api/v1/jobs?model=A%20B", 422, "invalid_parameter", "parameter model"),
        get("-", "/api/v1/jobs?colour=red", 422, "invalid_parameter", "parameter colour"),
        get("-", "/api/v1/datasets/tiny/versions/1/rows?offset=-1", 422, "invalid_parameter", "parameter offset"),
        get("-", "/api/v1/models/m/versions/1/coefficients?sort=name", 422, "invalid_parameter", "parameter sort"),
        get("-", "/api/v1/models/m/versions/1/coefficients?top=0", 422, "invalid_parameter", "parameter top"),
        get("-", "/api/v1/models/m/versions/1/coefficients?min_abs=nan", 422, "invalid_parameter", "parameter min_abs"),
        get("-", "/api/v1/models/m/versions/1/histogram?bins=0", 422, "invalid_parameter", "parameter bins"),
        get("-", "/api/v1/models/m/versions/1/histogram?bins=1001", 422, "invalid_parameter", "parameter bins"),
        get("-", "/api/v1/models/m/versions/1/histogram?scale=ln", 422, "invalid_parameter", "parameter scale"),
        get("-", "/livez?verbose=1", 422, "invalid_parameter", "parameter verbose"),
        get("68", "/api/v1/nothing", 404, "not_found", "-"),
        get("68", "/api/v1/jobs/", 404, "not_found", "-"),
        get("68", "//api/v1/jobs", 404, "not_found", "-"),
        get("68", "/API/v1/jobs", 404, "not_found", "-"),
        get("-", "/problems/nothing", 404, "not_found", "-"),
        Row { method: "DELETE", ..get("67", "/livez", 405, "method_not_allowed", "-") },
        Row { method: "TRACE", ..get("67", "/livez", 405, "method_not_allowed", "-") },
        Row { method: "FOO", ..get("67", "/api/v1/jobs", 405, "method_not_allowed", "-") },
        Row { headers: vec![("accept", "text/html".into())], ..get("69", "/api/v1/jobs", 406, "not_acceptable", "-") },
        Row { headers: vec![("host", "evil.example".into())], ..get("72", "/api/v1/jobs", 421, "misdirected", "parameter Host") },
    ])
    .await;
}

#[tokio::test]
async fn predictions() {
    let many = format!("{{\"instances\":[{}]}}", vec!["[1,2,3]"; 51].join(","));
    let wide = format!(
        "{{\"instances\":[{{\"indices\":[{}],\"values\":[{}]}}]}}",
        (0..101).map(|j| j.to_string()).collect::<Vec<_>>().join(","),
        vec!["1"; 101].join(",")
    );
    hold(vec![
        predict(
            "60",
            r#"{"instances":[[1,2,3],{"indices":[2147483648],"values":[1]}]}"#,
            422,
            "index_out_of_range",
            "#/instances/1/indices/0",
        ),
        predict("60", r#"{"instances":[{"indices":[-1],"values":[1]}]}"#, 422, "index_out_of_range", "#/instances/0/indices/0"),
        predict("60", r#"{"instances":[{"indices":[1,1],"values":[1,2]}]}"#, 422, "duplicate_index", "#/instances/0/indices/1"),
        predict("60", r#"{"instances":[{"indices":[1],"values":[1e999]}]}"#, 422, "non_finite_value", "#/instances/0/values/0"),
        predict("60", r#"{"instances":[{"indices":[1],"values":[NaN]}]}"#, 400, "malformed_json", "line 1 column 40"),
        Row {
            headers: vec![("content-type", "text/libsvm".into())],
            ..predict("60", "0 1:nan\n", 422, "non_finite_value", "line 1 column 5")
        },
        predict("60", r#"{"instances":[[1,2]]}"#, 422, "shape_mismatch", "#/instances/0"),
        predict("60", r#"{"instances":[{"indices":[1],"values":[1,2]}]}"#, 422, "shape_mismatch", "#/instances/0/values"),
        predict("61", r#"{"instances":[]}"#, 422, "empty_batch", "-"),
        predict("61", &many, 422, "limit_exceeded", "#/instances/50"),
        predict("61", &wide, 422, "limit_exceeded", "#/instances/0/indices/100"),
        predict("61", r#"{"instances":[[1e308,0,-1e308]],"output":["linear_predictor"]}"#, 422, "numerical_error", "#/instances/0"),
        predict("-", r#"{"instances":[[1,2,3]],"unknown_features":"maybe"}"#, 422, "invalid_parameter", "#/unknown_features"),
        predict(
            "-",
            r#"{"instances":[{"indices":[7],"values":[1]}],"unknown_features":"error"}"#,
            422,
            "unknown_feature",
            "#/instances/0/indices/0",
        ),
        predict("-", r#"{"instances":[[1,2,3]],"output":["colour"]}"#, 422, "invalid_parameter", "#/output/0"),
        predict("-", r#"{"rows":[[1,2,3]]}"#, 422, "unknown_field", "#/rows"),
        predict("-", "nonsense", 400, "malformed_json", "line 1 column 2"),
        Row { headers: vec![("content-type", "text/csv".into())], ..predict("-", "1,2,3", 415, "unsupported_media_type", "-") },
        Row {
            headers: vec![("content-type", "text/libsvm".into())],
            ..predict("-", "0 1:1\n0 0:1\n", 422, "index_base", "line 2 column 3")
        },
        Row { path: "/api/v1/models/m:2/predict".into(), ..predict("-", "{}", 404, "not_found", "-") },
        Row { path: "/api/v1/models/m@production/predict".into(), ..predict("-", "{}", 404, "not_found", "-") },
        Row { path: "/api/v1/models/m/predict?threshold=x".into(), ..predict("-", "{}", 422, "invalid_parameter", "parameter threshold") },
    ])
    .await;
}

#[tokio::test]
async fn a_cursor_serves_the_list_it_was_made_for_and_no_other() {
    let app = TestApp::start_with(limits()).await;
    with_model(&app).await;
    app.upload("other", crate::data::TINY).await.expect(201);
    let cursor = app.get("/api/v1/datasets?limit=1").await.expect(200).json["next_cursor"].as_str().expect("a cursor").to_owned();
    app.get(&format!("/api/v1/datasets?limit=1000000000&cursor={cursor}")).await.expect(200);
    for list in ["jobs", "models", "models/m/versions/1/coefficients"] {
        app.get(&format!("/api/v1/{list}?cursor={cursor}")).await.expect_problem(400, "invalid_cursor");
    }
    let turned: String = cursor.chars().rev().collect();
    app.get(&format!("/api/v1/datasets?cursor={turned}")).await.expect_problem(400, "invalid_cursor");
    app.stop().await;
}

#[tokio::test]
async fn what_is_damaged_on_disk_is_never_predicted_with_nor_shown() {
    let app = TestApp::start_with(limits()).await;
    with_model(&app).await;
    for file in app.files() {
        let mut bytes = std::fs::read(&file).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).expect("a file");
    }
    app.post("/api/v1/models/m/predict", &json!({ "instances": [[1, 2, 3]] })).await.expect_problem(500, "artifact_corrupt");
    app.get("/api/v1/models/m/versions/1/coefficients").await.expect_problem(500, "artifact_corrupt");
    app.get("/api/v1/datasets/tiny/versions/1/rows").await.expect_problem(500, "artifact_corrupt");
    app.get("/livez").await.expect(200);
    app.stop().await;
}

#[tokio::test]
async fn a_method_that_is_not_allowed_is_answered_with_those_that_are() {
    let app = TestApp::start_with(limits()).await;
    for (path, allowed) in [("/livez", "GET,HEAD"), ("/api/v1/datasets", "POST,GET,HEAD"), ("/api/v1/jobs/x/cancel", "POST")] {
        let answer = app.send("DELETE", path, &[], String::new()).await.expect_problem(405, "method_not_allowed");
        let (mut got, mut wanted): (Vec<&str>, Vec<&str>) = (answer.header("allow").split(',').collect(), allowed.split(',').collect());
        got.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(got, wanted, "{path}");
    }
    app.stop().await;
}
