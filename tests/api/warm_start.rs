//! A fit that begins at a model, from outside: the same model, by a shorter way that is told.

use serde_json::{Value, json};

use crate::app::{TestApp, fit};
use crate::data::TINY;

const ROUTE: &str = "/api/v1/jobs";

fn rows(n: usize) -> String {
    (0..n).map(|i| format!("{} 1:{} 2:{} 3:{}\n", i % 7 + i / 10 + (i * i) % 5, i % 7, i / 10, (i * 5) % 3)).collect()
}

fn at(start: &str) -> Value {
    json!({ "lambda": { "mode": "value", "value": 0.05 }, "warm_start": start })
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

/// A server with version 1 of `m`, fitted without a start.
async fn with_first() -> TestApp {
    let app = TestApp::start().await;
    app.upload("d", &rows(60)).await.expect(201);
    app.submit("d", json!({ "lambda": { "mode": "value", "value": 0.05 } })).await.expect(202);
    app.work().await;
    app
}

#[tokio::test]
async fn a_fit_begins_at_the_version_that_was_there_when_it_was_posted() {
    let app = with_first().await;
    // the latest when it is posted, and not when it runs
    let first = app.submit("d", at("m")).await.expect(202).json;
    let second = app.submit("d", at("m@latest")).await.expect(202).json;
    for job in [&first, &second] {
        assert_eq!((&job["spec_resolved"]["warm_start"], &job["warnings"]), (&json!("m:1"), &json!([])), "{job}");
    }
    app.work().await;
    let read = async |version: u32| app.get(&format!("/api/v1/models/m/versions/{version}")).await.expect(200).json;
    let (cold, warm, also) = (read(1).await, read(2).await, read(3).await);
    assert_eq!((cold.get("started_from"), &warm["started_from"], &also["started_from"]), (None, &json!("m:1"), &json!("m:1")));
    let work = |model: &Value| number(&model["certificate"]["full_passes"]);
    assert!(work(&warm) < work(&cold), "{} {}", work(&warm), work(&cold));
    assert_eq!((&warm["certificate"]["status"], &warm["certificate"]["epochs"]), (&json!("certified"), &json!(0)));
    let gap = |model: &Value| number(&model["certificate"]["primal"]);
    assert!((gap(&warm) - gap(&cold)).abs() <= 1e-6 * gap(&cold));

    // more rows and one feature more
    app.upload("grown", &format!("{}3 4:2\n", rows(80))).await.expect(201);
    app.submit("grown", at("m:1")).await.expect(202);
    app.work().await;
    let grown = read(4).await;
    assert_eq!((&grown["started_from"], &grown["certificate"]["status"]), (&json!("m:1"), &json!("certified")), "{grown}");
    app.stop().await;
}

#[tokio::test]
async fn what_is_no_start_is_refused_and_one_that_is_gone_fails_the_job() {
    let app = with_first().await;
    app.upload("classes", &TINY.repeat(3)).await.expect(201);
    for (dataset, start, status, code) in [
        ("d", "nobody", 404, "not_found"),
        ("d", "m:2", 404, "not_found"),
        ("d", "m@nothing", 404, "not_found"),
        ("d", "no/name", 422, "invalid_parameter"),
        ("classes", "m", 422, "invalid_parameter"),
    ] {
        let refused = app.submit(dataset, at(start)).await.expect_problem(status, code);
        assert_eq!(refused.json["errors"][0]["pointer"], "#/spec/warm_start", "{}", refused.json);
    }
    let path = json!({ "warm_start": "m", "selection": { "method": "none" } });
    let told = app.post(&format!("{ROUTE}?validate_only=true"), &fit("d", path)).await.expect(200).json;
    assert_eq!(
        (&told["spec_resolved"]["warm_start"], &told["warnings"][0]["code"]),
        (&json!("m:1"), &json!("warm_start_unused")),
        "{told}"
    );

    let orphan = app.submit("d", at("m:1")).await.expect(202).json;
    app.delete("/api/v1/models/m/versions/1").await.expect(204);
    app.work().await;
    let orphan = app.get(orphan["links"]["self"].as_str().expect("a link")).await.expect(200).json;
    assert_eq!((&orphan["status"], &orphan["error"]["code"]), (&json!("failed"), &json!("not_found")), "{orphan}");
    app.stop().await;
}
