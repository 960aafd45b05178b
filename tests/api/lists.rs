//! Lists and what can be read of data sets and models: pages, cursors, coefficients, tags.

use serde_json::{Value, json};

use crate::app::{TestApp, doubles};
use crate::data::{RECORDS, TINY, model, register, with_model};

/// All entries of a list, page by page; also counts the pages.
async fn pages(app: &TestApp, path: &str, limit: usize) -> (Vec<Value>, usize) {
    let (mut all, mut count) = (Vec::new(), 0);
    let mut next = format!("{path}?limit={limit}");
    loop {
        let answer = app.get(&next).await.expect(200);
        count += 1;
        let data = answer.json["data"].as_array().expect("data").clone();
        assert!(data.len() <= limit);
        all.extend(data);
        let Some(cursor) = answer.json["next_cursor"].as_str() else {
            assert_eq!((&answer.json["has_more"], answer.header("link")), (&json!(false), ""));
            return (all, count);
        };
        next = format!("{path}?limit={limit}&cursor={cursor}");
        assert_eq!(answer.header("link"), format!("<{next}>; rel=\"next\""));
        assert_eq!(answer.json["has_more"], true);
    }
}

#[tokio::test]
async fn pages_show_every_entry_once_newest_first_whatever_is_added_meanwhile() {
    let app = TestApp::start().await;
    for number in 0..7 {
        app.upload(&format!("d{number}"), TINY).await.expect(201);
    }
    let (all, count) = pages(&app, "/api/v1/datasets", 3).await;
    let names: Vec<&str> = all.iter().filter_map(|row| row["dataset"].as_str()).collect();
    assert_eq!((names, count), (vec!["d6", "d5", "d4", "d3", "d2", "d1", "d0"], 3));
    let first = app.get("/api/v1/datasets?limit=3").await.expect(200).json;
    app.upload("d7", TINY).await.expect(201);
    let cursor = first["next_cursor"].as_str().expect("more");
    let second = app.get(&format!("/api/v1/datasets?limit=3&cursor={cursor}")).await.expect(200).json;
    assert_eq!(second["data"][0]["dataset"], "d3", "a new entry shifts nothing");
    app.get(&format!("/api/v1/jobs?cursor={cursor}")).await.expect_problem(400, "invalid_cursor");
    let mut tampered = cursor.to_owned();
    let last = if tampered.pop() == Some('0') { '1' } else { '0' };
    tampered.push(last);
    app.get(&format!("/api/v1/datasets?cursor={tampered}")).await.expect_problem(400, "invalid_cursor");
    assert_eq!(app.get("/api/v1/datasets?limit=1000000").await.expect(200).json["data"].as_array().map(Vec::len), Some(8));
    app.stop().await;
}

#[tokio::test]
async fn a_data_set_keeps_its_versions_and_lists_the_latest() {
    let app = TestApp::start().await;
    let first = app.upload("tiny", TINY).await.expect(201);
    assert_eq!(first.header("location"), "/api/v1/datasets/tiny/versions/1");
    assert_eq!(app.upload("tiny", "1 1:1\n0 2:1\n").await.expect(201).json["version"], 2);
    let latest = app.get("/api/v1/datasets/tiny").await.expect(200).json;
    assert_eq!((&latest["version"], &latest["versions"]), (&json!(2), &json!([2, 1])));
    let list = app.get("/api/v1/datasets").await.expect(200).json;
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1));
    app.delete("/api/v1/datasets/tiny/versions/2").await.expect(204);
    assert_eq!(app.get("/api/v1/datasets/tiny").await.expect(200).json["version"], 1);
    assert_eq!(app.upload("tiny", TINY).await.expect(201).json["version"], 3, "a number is never used again");
    app.stop().await;
}

#[tokio::test]
async fn an_upload_is_described_and_shown_as_it_was_understood() {
    let app = TestApp::start().await;
    let set = app.upload("tiny", TINY).await.expect(201).json;
    assert_eq!((&set["shape"], &set["nnz"], &set["density"]), (&json!([6, 3]), &json!(9), &json!(0.5)));
    assert_eq!(doubles(&set["target"]), doubles(&json!({ "name": "y", "kind": "binary", "classes": [0, 1], "counts": [3, 3] })));
    assert_eq!(set["dense_bytes_would_be"], 144);
    let rows = app.get("/api/v1/datasets/tiny/versions/1/rows?offset=1&limit=2").await.expect(200).json;
    let expected = json!([
        { "row": 1, "y": 0.0, "weight": 1.0, "indices": [1], "values": [1.0] },
        { "row": 2, "y": 1.0, "weight": 1.0, "indices": [0, 1], "values": [2.0, 3.0] },
    ]);
    assert_eq!(doubles(&rows["data"]), doubles(&expected));
    assert_eq!(app.get("/api/v1/datasets/tiny/versions/1/rows?offset=6").await.expect(200).json["data"], json!([]));
    assert_eq!(app.get("/api/v1/datasets/tiny/versions/1/features").await.expect(200).json["data"], json!([]));
    app.stop().await;
}

#[tokio::test]
async fn names_of_features_are_paged_by_index() {
    let app = TestApp::start().await;
    let upload = app.send("POST", "/api/v1/datasets?name=homes", &[("content-type", "application/json")], RECORDS).await.expect(201);
    assert_eq!(upload.json["features"], json!({ "named": true, "href": "/api/v1/datasets/homes/versions/1/features" }));
    let (all, count) = pages(&app, "/api/v1/datasets/homes/versions/1/features", 2).await;
    let names: Vec<&str> = all.iter().filter_map(|feature| feature["name"].as_str()).collect();
    assert_eq!((names.len(), count), (5, 3), "{names:?}");
    assert!(names.contains(&"town=Oslo") && names.contains(&"area"), "{names:?}");
    assert!(all.iter().enumerate().all(|(index, feature)| feature["index"] == index));
    app.stop().await;
}

#[tokio::test]
async fn coefficients_are_sparse_sorted_filtered_and_paged() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let path = "/api/v1/models/m/versions/1/coefficients";
    let by_size = app.get(path).await.expect(200).json;
    assert_eq!((&by_size["indices"], &by_size["values"]), (&json!([0, 2]), &json!([2.0, -1.0])));
    assert_eq!((&by_size["model"], &by_size["intercept"], &by_size["names"]), (&json!("m:1"), &json!(0.25), &Value::Null));
    assert_eq!(app.get(&format!("{path}?sort=index")).await.expect(200).json["indices"], json!([0, 2]));
    assert_eq!(app.get(&format!("{path}?top=1")).await.expect(200).json["indices"], json!([0]));
    assert_eq!(app.get(&format!("{path}?min_abs=1.5")).await.expect(200).json["indices"], json!([0]));
    let first = app.get(&format!("{path}?limit=1")).await.expect(200).json;
    let cursor = first["next_cursor"].as_str().expect("more").to_owned();
    let second = app.get(&format!("{path}?limit=1&cursor={cursor}")).await.expect(200).json;
    assert_eq!((&second["indices"], &second["has_more"]), (&json!([2]), &json!(false)));
    app.get(&format!("{path}?sort=index&cursor={cursor}")).await.expect_problem(400, "invalid_cursor");
    app.stop().await;
}

#[tokio::test]
async fn what_cannot_change_has_a_tag_and_is_not_sent_twice() {
    let app = TestApp::start().await;
    with_model(&app).await;
    for path in ["/api/v1/models/m/versions/1", "/api/v1/datasets/tiny/versions/1"] {
        let tag = app.get(path).await.expect(200).header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 10, "{tag}");
        app.send("GET", path, &[("if-none-match", &tag)], "").await.expect(304);
        app.send("GET", path, &[("if-none-match", "\"other\"")], "").await.expect(200);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_new_version_is_served_at_once_and_a_deleted_one_no_more() {
    let app = TestApp::start().await;
    with_model(&app).await;
    let ask = json!({ "instances": [[1, 0, 0]], "output": ["linear_predictor"] });
    let eta = async |reference: &str| app.post(&format!("/api/v1/models/{reference}/predict"), &ask).await;
    let score = |answer: crate::app::Answer| {
        let answer = answer.expect(200).json;
        (answer["version"].clone(), answer["predictions"][0]["linear_predictor"].clone())
    };
    assert_eq!(score(eta("m").await), (json!(1), json!(2.25)));
    let mut next = model();
    next.card.intercept = 1.0;
    register(&app, next).await;
    assert_eq!(score(eta("m").await), (json!(2), json!(3.0)));
    assert_eq!(score(eta("m:1").await), (json!(1), json!(2.25)));
    assert_eq!(score(eta("m@latest").await), (json!(2), json!(3.0)));
    assert_eq!(app.get("/api/v1/models/m").await.expect(200).json["versions"], json!([2, 1]));
    app.delete("/api/v1/models/m/versions/2").await.expect(204);
    assert_eq!(score(eta("m").await), (json!(1), json!(2.25)));
    eta("m:2").await.expect_problem(404, "not_found");
    app.delete("/api/v1/models/m/versions/2").await.expect_problem(404, "not_found");
    app.stop().await;
}
