//! Penalties beyond the elastic net, seen from outside: what a group lasso and a folded penalty tell of themselves.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::data::RECORDS;

const MODEL: &str = "/api/v1/models/m/versions/1";

async fn uploaded() -> TestApp {
    let app = TestApp::start().await;
    let json = [("content-type", "application/json")];
    app.send("POST", "/api/v1/datasets?name=prices", &json, RECORDS).await.expect(201);
    app
}

async fn made(app: &TestApp, spec: Value) -> Value {
    app.submit("prices", spec).await.expect(202);
    app.work().await;
    app.get(MODEL).await.expect(200).json
}

#[tokio::test]
async fn a_group_lasso_takes_towns_by_name_and_is_certified() {
    let app = uploaded().await;
    let towns = json!(["town=Oslo", "town=Bergen", "town=Voss"]);
    let spec = json!({"penalty": {"type": "group", "groups": {"town": towns, "size": ["area", "rooms"]}},
                      "lambda": {"mode": "path", "n": 10, "min_ratio": 0.01}, "selection": {"method": "none"}});
    let model = made(&app, spec).await;
    assert_eq!((&model["certificate"]["status"], &model["sparsity"]["groups_active"]), (&json!("certified"), &json!(2)), "{model}");
    assert!(model["certificate"]["relative_gap"].as_f64().expect("a gap") <= 1e-6);
    assert!(model["objective"].as_str().expect("a sentence").contains("‖w_g‖₂"));
    let path = app.get(&format!("{MODEL}/path")).await.expect(200).json;
    let counts: Vec<u64> = path["data"].as_array().expect("rows").iter().map(|row| row["nonzeros"].as_u64().expect("a count")).collect();
    assert_eq!(counts[0], 0);
    assert!(counts.iter().all(|count| [0, 2, 3, 5].contains(count)), "whole groups come and go: {counts:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_folded_penalty_is_stationary_and_claims_no_gap() {
    let app = uploaded().await;
    let spec = json!({"penalty": {"type": "mcp"}, "lambda": {"mode": "path", "n": 10, "min_ratio": 0.05},
                      "selection": {"method": "cv", "folds": 2}});
    let model = made(&app, spec).await;
    let certificate = app.get(&format!("{MODEL}/certificate")).await.expect(200).json;
    assert_eq!((&certificate["status"], &certificate["tol_kind"]), (&json!("stationary"), &json!("stationarity")), "{certificate}");
    for key in ["dual", "gap", "relative_gap"] {
        assert_eq!(certificate[key], Value::Null, "{certificate}");
    }
    assert!(certificate["max_kkt_violation"].as_f64().expect("a number") <= 1e-6);
    let path = app.get(&format!("{MODEL}/path")).await.expect(200).json;
    assert!(path["data"].as_array().expect("rows").iter().all(|row| row["relative_gap"].is_null() && row["cv_mean"].is_f64()), "{path}");
    let job = app.get(&format!("/api/v1/jobs/{}", model["job"].as_str().expect("an id"))).await.expect(200).json;
    assert_eq!((&job["result"]["converged"], &job["result"]["relative_gap"]), (&json!(true), &Value::Null), "{job}");
    app.stop().await;
}

#[tokio::test]
async fn the_best_subset_has_as_many_features_as_are_wanted_and_says_what_is_shown_of_it() {
    let app = uploaded().await;
    let l0 = json!({"type": "l0"});
    let model = made(&app, json!({"penalty": l0, "lambda": {"mode": "target_nonzeros", "k": 2}})).await;
    assert_eq!((&model["sparsity"]["nonzeros"], &model["bracket"][0]), (&json!(2), &model["lambda"]), "{model}");
    assert!(model["objective"].as_str().expect("a sentence").contains("1[w_j ≠ 0]"), "{model}");
    let certificate = app.get(&format!("{MODEL}/certificate")).await.expect(200).json;
    assert_eq!((&certificate["status"], &certificate["tol_kind"]), (&json!("stationary"), &json!("stationarity")), "{certificate}");
    assert_eq!((&certificate["dual"], &certificate["relative_gap"]), (&Value::Null, &Value::Null), "{certificate}");
    app.get(&format!("{MODEL}/reproduce?lang=python")).await.expect_problem(409, "conflict");
    let chosen = json!({"penalty": l0, "lambda": {"mode": "path", "n": 8, "min_ratio": 0.001}, "selection": {"method": "cv", "folds": 2},
                        "compare_ridge": true});
    app.submit("prices", chosen).await.expect(202);
    app.work().await;
    let second = app.get("/api/v1/models/m/versions/2").await.expect(200).json;
    assert!(second["metrics"]["dense_twin"]["deviance"].is_f64() && second["selection"]["method"] == "cv", "{second}");
    app.send("POST", "/api/v1/models/m/versions/2/promote", &[("content-type", "application/json")], r#"{"index": 7}"#).await.expect(201);
    let promoted = app.get("/api/v1/models/m/versions/3").await.expect(200).json;
    assert_eq!(promoted["certificate"]["status"], "stationary", "{promoted}");
    for (spec, pointer) in [
        (json!({"penalty": {"type": "l0", "l1_ratio": 0.5}}), "#/spec/penalty/l1_ratio"),
        (json!({"penalty": l0, "non_negative": true}), "#/spec/non_negative"),
        (json!({"penalty": l0, "refit": {"relaxed_gamma": 0.5}}), "#/spec/refit"),
        (json!({"penalty": l0, "warm_start": "m"}), "#/spec/warm_start"),
        (json!({"penalty": l0, "loss": {"type": "huber"}}), "#/spec/penalty/type"),
    ] {
        let answer = app.submit("prices", spec).await.expect_problem(422, "invalid_parameter").json;
        assert_eq!(answer["errors"][0]["pointer"], pointer, "{answer}");
    }
    app.stop().await;
}

#[tokio::test]
async fn bounds_hold_at_every_point_of_a_path_are_certified_and_promoted() {
    let app = uploaded().await;
    let spec = json!({"bounds": {"area": [null, 0.01], "town=Oslo": [0, 0]}, "non_negative": true,
                      "lambda": {"mode": "path", "n": 10, "min_ratio": 0.001}, "selection": {"method": "cv", "folds": 2}});
    let model = made(&app, spec).await;
    assert_eq!(model["certificate"]["status"], "certified", "{model}");
    assert!(model["objective"].as_str().expect("a sentence").contains("subject to w_j ≥ 0"), "{model}");
    let job = app.get(&format!("/api/v1/jobs/{}", model["job"].as_str().expect("an id"))).await.expect(200).json;
    let resolved = &job["spec_resolved"];
    assert_eq!((&resolved["bounds"]["area"], &resolved["non_negative"]), (&json!([null, 0.01]), &json!(true)), "{job}");
    app.get(&format!("{MODEL}/reproduce?lang=python")).await.expect(200);
    let path = app.get(&format!("{MODEL}/path?coefficients=true")).await.expect(200).json;
    let values = path["coefficients"]["values"].as_array().expect("an array");
    assert!(!values.is_empty() && values.iter().all(|value| value.as_f64().is_some_and(|value| value > 0.0)), "{path}");
    app.send("POST", &format!("{MODEL}/promote"), &[("content-type", "application/json")], r#"{"index": 9}"#).await.expect(201);
    let promoted = app.get("/api/v1/models/m/versions/2").await.expect(200).json;
    assert_eq!(promoted["certificate"]["status"], "certified", "{promoted}");
    let last = app.get("/api/v1/models/m/versions/2/coefficients").await.expect(200).json;
    let of =
        |name: &str| last["names"].as_array().expect("names").iter().position(|n| n == name).map(|place| last["values"][place].clone());
    assert_eq!((of("area"), of("town=Oslo")), (Some(json!(0.01)), None), "{last}");
    assert!(of("rooms").is_some_and(|value| value.as_f64() > Some(0.0)), "{last}");
    app.stop().await;
}

#[tokio::test]
async fn a_feature_of_two_groups_is_refused_with_its_place() {
    let app = uploaded().await;
    let spec =
        json!({"penalty": {"type": "sparse_group", "l1_ratio": 0.5, "groups": {"a": ["area", "rooms"], "b": ["rooms"], "c": ["x"]}}});
    let answer = app.submit("prices", spec).await.expect_problem(422, "invalid_parameter").json;
    let told: Vec<(&str, &str)> = answer["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|e| (e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("#/spec/penalty/groups/b/0", "conflict"), ("#/spec/penalty/groups/c/0", "unknown_value")]);
    app.stop().await;
}
