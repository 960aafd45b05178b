//! Choosing a model, seen from outside: what is told of the choice, and of the rows it was made on.

use serde_json::{Value, json};
use sparsefit::spec::Splits;

use crate::app::{TestApp, fit};
use crate::data::{RECORDS, TINY};

const MODEL: &str = "/api/v1/models/m/versions/1";

/// A server with a model that this specification made of eighteen rows of two classes.
async fn made(spec: Value) -> TestApp {
    let app = TestApp::start().await;
    app.upload("tiny", &TINY.repeat(3)).await.expect(201);
    app.submit("tiny", spec).await.expect(202);
    app.work().await;
    app
}

async fn read(app: &TestApp, what: &str) -> Value {
    app.get(&format!("{MODEL}{what}")).await.expect(200).json
}

fn numbers(value: &Value) -> Vec<i32> {
    serde_json::from_value(value.clone()).expect("numbers")
}

fn sides() -> Vec<f64> {
    (0..18).map(|row| if row % 2 == 0 { 1.0 } else { -1.0 }).collect()
}

#[tokio::test]
async fn accuracy_and_sparsity_are_told_of_everything_that_was_chosen_from() {
    let app = made(json!({
        "penalty": { "type": "elastic_net", "l1_ratio": [0.5, 1] },
        "lambda": { "mode": "path", "n": 12, "min_ratio": 0.01 },
        "selection": { "method": "cv", "folds": 3, "repeats": 2, "seed": 7, "rule": "sparsest_within_pct", "within_pct": 20 },
        "refit": { "relaxed_gamma": [0, 1] },
        "compare_ridge": true,
    }))
    .await;
    let model = read(&app, "").await;
    let selection = &model["selection"];
    assert_eq!((&selection["rule"], &selection["within_pct"]), (&json!("sparsest_within_pct"), &json!(20.0)));
    let candidates = selection["candidates"].as_array().expect("a table");
    let asked: Vec<(f64, f64)> =
        candidates.iter().map(|row| (row["l1_ratio"].as_f64().unwrap(), row["relaxed_gamma"].as_f64().unwrap())).collect();
    assert_eq!(asked, [(0.5, 1.0), (0.5, 0.0), (1.0, 1.0), (1.0, 0.0)]);
    assert!(asked.contains(&(model["l1_ratio"].as_f64().unwrap(), model["refit"]["relaxed_gamma"].as_f64().unwrap())), "{model}");
    let least = candidates.iter().map(|row| row["mean_min"].as_f64().unwrap()).fold(f64::INFINITY, f64::min);
    assert!(model["metrics"]["cv"]["deviance"].as_f64().unwrap() <= 1.2 * least, "{model}");
    assert_eq!(model["metrics"]["dense_twin"]["nonzeros"], 3, "{model}");

    let cv = read(&app, "/cv").await;
    assert_eq!((&cv["method"], &cv["folds"], &cv["repeats"]), (&json!("cv"), &json!(3), &json!(2)));
    assert!(cv["data"].as_array().expect("rows").iter().all(|row| row["per_fold"].as_array().map(Vec::len) == Some(6)));
    let splits = Splits::plain(3, true, 7).again(2, None);
    for repeat in [0, 1] {
        let folds = read(&app, &format!("/cv/folds?repeat={repeat}")).await;
        assert_eq!((folds["repeat"].as_u64(), folds["repeats"].as_u64()), (Some(repeat), Some(2)));
        assert_eq!(numbers(&folds["data"]), splits.fold_of_row(18, Some(&sides()), repeat));
    }
    assert_eq!(read(&app, "/cv/folds").await, read(&app, "/cv/folds?repeat=0").await);
    for repeat in ["2", "-1", "x"] {
        app.get(&format!("{MODEL}/cv/folds?repeat={repeat}")).await.expect_problem(422, "invalid_parameter");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_criterion_is_told_along_the_path_and_holds_nothing_out() {
    for (selection, gamma) in [(json!({ "method": "bic" }), None), (json!({ "method": "ebic", "ebic_gamma": 0.5 }), Some(0.5))] {
        let app = made(json!({ "selection": selection, "lambda": { "mode": "path", "n": 12, "min_ratio": 0.01 } })).await;
        let (model, path) = (read(&app, "").await, read(&app, "/path").await);
        let chosen = &path["data"][model["selection"]["index"].as_u64().expect("an index") as usize];
        let criteria = || path["data"].as_array().expect("rows").iter().filter_map(|row| row["criterion"].as_f64());
        assert_eq!(chosen["criterion"].as_f64(), Some(criteria().fold(f64::INFINITY, f64::min)), "{path}");
        assert_eq!((&model["lambda"], &model["selection"]["criterion"]), (&chosen["lambda"], &chosen["criterion"]));
        assert_eq!((model["selection"]["ebic_gamma"].as_f64(), &model["metrics"]["cv"]), (gamma, &Value::Null));
        for what in ["/cv", "/cv/folds"] {
            app.get(&format!("{MODEL}{what}")).await.expect_problem(404, "no_cv");
        }
        app.stop().await;
    }
}

#[tokio::test]
async fn the_rows_of_a_hold_out_are_told() {
    let app = made(json!({ "selection": { "method": "holdout", "fraction": 0.3, "seed": 2 } })).await;
    let cv = read(&app, "/cv").await;
    assert_eq!((&cv["method"], &cv["fraction"], &cv["data"][0]["se"]), (&json!("holdout"), &json!(0.3), &Value::Null));
    let folds = numbers(&read(&app, "/cv/folds").await["data"]);
    assert_eq!(folds, Splits::plain(1, true, 2).again(1, Some(0.3)).fold_of_row(18, Some(&sides()), 0));
    assert_eq!((folds.iter().filter(|fold| **fold == 0).count(), folds.iter().filter(|fold| **fold == -1).count()), (5, 13));
    app.stop().await;
}

#[tokio::test]
async fn rows_that_the_client_assigned_are_those_of_the_job() {
    let given: Vec<i32> = (0..18).map(|row| (row / 2) % 4 - 1).collect();
    let app = made(json!({ "selection": { "method": "cv", "fold_of_row": given } })).await;
    assert_eq!(numbers(&read(&app, "/cv/folds").await["data"]), given);
    let job = app.get("/api/v1/jobs").await.expect(200).json["data"][0]["links"]["self"].as_str().expect("a link").to_owned();
    app.delete(&job).await.expect(204);
    app.get(&format!("{MODEL}/cv/folds")).await.expect_problem(404, "not_found");
    assert_eq!(read(&app, "/cv").await["folds"], 3, "the deviances stay");
    app.stop().await;

    let towns = ["Oslo", "Bergen", "Oslo", "Voss", "Bergen", "Oslo", "Voss", "Bergen"];
    let app = TestApp::start().await;
    app.send("POST", "/api/v1/datasets?name=homes", &[("content-type", "application/json")], RECORDS).await.expect(201);
    let spec = json!({ "selection": { "method": "cv", "folds": 3, "groups": towns }, "penalty": { "type": "l1", "adaptive": {} } });
    app.submit("homes", spec).await.expect(202);
    app.work().await;
    let model = read(&app, "").await;
    assert_eq!((&model["adaptive"]["pilot"]["type"], &model["adaptive"]["gamma"]), (&json!("ridge"), &json!(1.0)), "{model}");
    let folds = numbers(&read(&app, "/cv/folds").await["data"]);
    for (town, fold) in towns.iter().zip(&folds) {
        assert!(towns.iter().zip(&folds).all(|(other, held)| (town == other) == (fold == held)), "three towns, three folds: {folds:?}");
    }
    let resolved = app.get("/api/v1/jobs").await.expect(200).json["data"][0]["spec_resolved"].clone();
    assert_eq!(resolved["selection"]["groups"], json!([0, 1, 0, 2, 1, 0, 2, 1]));
    app.stop().await;
}

#[tokio::test]
async fn what_is_validated_only_is_estimated_with_all_its_paths() {
    let app = TestApp::start().await;
    app.upload("tiny", &TINY.repeat(3)).await.expect(201);
    let asked = async |spec: Value| app.post("/api/v1/jobs?validate_only=true", &fit("tiny", spec)).await.expect(200).json;
    let plain = asked(json!({})).await;
    let many = asked(json!({
        "penalty": { "type": "elastic_net", "l1_ratio": [0.2, 0.5, 1], "adaptive": {} },
        "selection": { "method": "cv", "repeats": 10 },
        "compare_ridge": true,
    }))
    .await;
    let seconds = |answer: &Value| answer["estimate"]["runtime_s"][1].as_f64().expect("a number");
    assert!(seconds(&many) > 1.5 * seconds(&plain), "{many} {plain}");
    assert_eq!(many["spec_resolved"]["penalty"]["l1_ratio"], json!([0.2, 0.5, 1.0]));
    app.stop().await;
}

#[tokio::test]
async fn features_that_halves_of_the_rows_choose_are_told_with_their_frequency() {
    let app = TestApp::start().await;
    let rows: String = (0..40).map(|i| format!("{} 1:{} 2:{} 3:{}\n", i % 7 + i / 10, i % 7, i / 10, (i * 5) % 3)).collect();
    app.upload("d", &rows).await.expect(201);
    let selection = json!({ "method": "stability", "resamples": 10, "seed": 4, "threshold": 0.7, "expected_false": 5 });
    app.submit("d", json!({ "selection": selection, "lambda": { "mode": "path", "n": 10, "min_ratio": 0.01 } })).await.expect(202);
    app.work().await;
    let (model, told) = (read(&app, "").await, read(&app, "/stability").await);
    assert_eq!((&told["object"], &told["resamples"], &told["threshold"]), (&json!("stability"), &json!(10), &json!(0.7)), "{told}");
    let data = told["data"].as_array().expect("rows");
    let frequency = |row: &Value| row["frequency"].as_f64().expect("a share");
    assert!(data.windows(2).all(|pair| frequency(&pair[0]) >= frequency(&pair[1])), "{told}");
    let stable: Vec<&Value> = data.iter().filter(|row| frequency(row) >= 0.7).map(|row| &row["index"]).collect();
    assert_eq!(
        (stable.len() as u64, data[0]["name"].as_str()),
        (told["features_stable"].as_u64().expect("a count"), data[0]["index"].as_u64().map(|i| i.to_string()).as_deref())
    );
    assert!(stable.contains(&&json!(0)) && stable.contains(&&json!(1)), "{told}");
    let coefficients = read(&app, "/coefficients").await;
    assert!(coefficients["indices"].as_array().expect("indices").iter().all(|index| stable.contains(&index)), "{coefficients}");
    let chosen = &model["selection"];
    assert_eq!(
        (&chosen["method"], &chosen["rule"], &chosen["false_bound"]),
        (&json!("stability"), &json!("threshold"), &told["false_bound"])
    );
    assert_eq!(model["certificate"]["status"], "certified");
    app.get(&format!("{MODEL}/cv")).await.expect_problem(404, "no_cv");
    // a point of the path has all its features again
    let promoted = app.post(&format!("{MODEL}/promote"), &json!({ "index": 9 })).await.expect(201).json;
    assert_eq!(
        (&promoted["selection"]["rule"], &promoted["sparsity"]["nonzeros"]),
        (&json!("promoted"), &read(&app, "/path").await["data"][9]["nonzeros"])
    );
    app.submit("d", json!({ "selection": { "method": "bic" } })).await.expect(202);
    app.work().await;
    app.get("/api/v1/models/m/versions/3/stability").await.expect_problem(404, "no_stability");
    app.stop().await;
}
