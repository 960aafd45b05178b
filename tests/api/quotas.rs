//! What a project may have, seen from outside: refused with 403, at the latest while it streams in, and without a trace.

use serde_json::json;
use sparsefit::access::Quotas;
use sparsefit::config::Limits;

use crate::app::TestApp;
use crate::data::{TINY, with_model};

fn limits(quota: Quotas) -> Limits {
    Limits { quota, ..Limits::default() }
}

fn files(app: &TestApp) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(app.data_dir().join("blobs")).expect("the directory is there");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_upload_over_the_quota_is_refused_while_it_streams_and_leaves_nothing() {
    let app = TestApp::start_with(limits(Quotas { stored_bytes: 4096, ..Quotas::default() })).await;
    app.upload("tiny", TINY).await.expect(201);
    let (before, kept) = (app.stored().await, files(&app));
    // A line a row; the first that passes what is left is named, long before the end.
    let rows = "1 1:1 2:1 3:1 4:1 5:1 6:1 7:1 8:1\n".repeat(10_000);
    let refused = app.upload("large", &rows).await.expect_problem(403, "quota_exceeded");
    let line = refused.json["errors"][0]["line"].as_u64().expect("a line");
    assert!((2..100).contains(&line), "{}", refused.json);
    // Small enough to be read whole, too large once it is written.
    let sparse = "1 1:1\n".repeat(300);
    app.upload("wide", &sparse).await.expect_problem(403, "quota_exceeded");
    let body = json!({ "format": "dense", "values": vec![vec![1; 10]; 100], "y": vec![1; 100] });
    app.post("/api/v1/datasets?name=dense", &body).await.expect_problem(403, "quota_exceeded");
    assert_eq!((app.stored().await, files(&app)), (before, kept), "nothing is left");
    app.delete("/api/v1/datasets/tiny/versions/1").await.expect(204);
    app.upload("tiny", TINY).await.expect(201);
    app.stop().await;
}

#[tokio::test]
async fn data_sets_models_and_uploads_are_counted() {
    let app = TestApp::start_with(limits(Quotas { datasets: 1, models: 1, ..Quotas::default() })).await;
    with_model(&app).await;
    app.upload("more", TINY).await.expect_problem(403, "quota_exceeded");
    app.submit("tiny", json!({})).await.expect_problem(403, "quota_exceeded");
    app.delete("/api/v1/models/m/versions/1").await.expect(204);
    let job = app.submit("tiny", json!({})).await.expect(202).json;
    app.post(job["links"]["cancel"].as_str().expect("a link"), &json!({})).await.expect(200);
    app.stop().await;

    let app = TestApp::start_with(limits(Quotas { uploads: 0, ..Quotas::default() })).await;
    let refused = app.upload("tiny", TINY).await.expect_problem(429, "rate_limited");
    assert_eq!(refused.header("retry-after"), "5");
    app.stop().await;
}
