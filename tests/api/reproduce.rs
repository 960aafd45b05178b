//! The script that fits a model's problem again, run as a client runs it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::app::TestApp;

/// A Python that has numpy: of `SPARSEFIT_PYTHON`, or on the path.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("SPARSEFIT_PYTHON").map(PathBuf::from);
    let candidates = named.into_iter().chain(["python3", "python"].map(PathBuf::from));
    let has_numpy = |python: &PathBuf| Command::new(python).args(["-c", "import numpy"]).output().is_ok_and(|run| run.status.success());
    let found = candidates.into_iter().find(has_numpy);
    if found.is_none() {
        eprintln!("\nNOT COVERED: no Python with numpy (SPARSEFIT_PYTHON): the scripts of /reproduce were written, and not run\n");
    }
    found
}

/// The script of version 1 of a model, run against the server; what it printed last, and whether it agreed.
async fn run(app: &TestApp, python: PathBuf, model: &str) -> (Value, bool) {
    let script = app.get(&format!("/api/v1/models/{model}/versions/1/reproduce?lang=python")).await.expect(200);
    assert_eq!(script.header("content-type"), "text/x-python; charset=utf-8");
    let (file, url) = (app.data_dir().join("reproduce.py"), format!("http://{}", app.addr()));
    std::fs::write(&file, script.text()).expect("a file");
    let ran = tokio::task::spawn_blocking(move || Command::new(python).arg(&file).env("SPARSEFIT_URL", url).output().expect("it runs"));
    let ran = ran.await.expect("nothing panicked");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    let told = printed.lines().last().and_then(|line| serde_json::from_str(line).ok());
    (told.unwrap_or_else(|| panic!("{printed}{}", String::from_utf8_lossy(&ran.stderr))), ran.status.success())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_finds_the_model_again_and_notices_another() {
    let app = TestApp::start().await;
    let mut state = 3_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let rows: Vec<[f64; 4]> = (0..50).map(|_| std::array::from_fn(|j| if j == 3 { random().round() } else { random() })).collect();
    let signal: Vec<f64> = rows.iter().map(|row| 2.0 * row[0] - row[1] + 0.3 * random()).collect();
    let [numbers, sides, counts] =
        [signal.clone(), signal.iter().map(|y| f64::from(u8::from(*y > 0.0))).collect(), signal.iter().map(|y| y.exp().floor()).collect()];
    let weights: Vec<f64> = rows.iter().map(|row| 1.0 + row[2].abs()).collect();
    let offset: Vec<f64> = rows.iter().map(|row| 0.2 * row[2]).collect();
    let lambda = json!({ "mode": "value", "value": 0.05 });
    for (name, y, more, spec) in [
        ("plain", &numbers, json!({}), json!({ "standardize": "none" })),
        (
            "scaled",
            &numbers,
            json!({ "weights": weights, "offset": offset }),
            json!({ "penalty": { "type": "elastic_net", "l1_ratio": 0.5, "factors": { "1": 0.5 } } }),
        ),
        ("origin", &numbers, json!({}), json!({ "intercept": false })),
        ("sides", &sides, json!({ "weights": weights }), json!({})),
        ("counts", &counts, json!({ "offset": offset }), json!({ "loss": { "type": "poisson" } })),
        ("positive", &numbers, json!({}), json!({ "non_negative": true, "standardize": "none" })),
        ("bounded", &numbers, json!({ "weights": weights }), json!({ "bounds": { "0": [null, 0.7], "2": [0, null], "1": [-0.5, 0.5] } })),
        ("between", &sides, json!({}), json!({ "non_negative": true, "bounds": { "0": [null, 0.7] } })),
    ] {
        let mut body = json!({ "format": "dense", "values": rows, "y": y });
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        app.post(&format!("/api/v1/datasets?name={name}"), &body).await.expect(201);
        let mut spec = spec;
        spec["lambda"] = lambda.clone();
        app.post("/api/v1/jobs", &json!({ "type": "fit", "model": name, "dataset": { "name": name }, "spec": spec })).await.expect(202);
    }
    app.work().await;
    let Some(python) = python() else { return app.stop().await };
    for name in ["plain", "scaled", "origin", "sides", "counts", "positive", "bounded", "between"] {
        let (told, agreed) = run(&app, python.clone(), name).await;
        assert!(agreed, "{name}: {told}");
        assert_eq!(told["model"], json!(format!("{name}:1")));
    }
    app.stop().await;
}

#[tokio::test]
async fn there_is_no_script_without_its_data_or_its_specification() {
    let app = TestApp::start().await;
    app.upload("rows", "1.5 1:1\n2.5 2:1\n3.5 1:2\n0.5 2:2\n").await.expect(201);
    let job = app.submit("rows", json!({ "lambda": { "mode": "value", "value": 0.1 } })).await.expect(202).json;
    app.work().await;
    let path = "/api/v1/models/m/versions/1/reproduce";
    let script = app.get(path).await.expect(200).text();
    let sha256 = app.get("/api/v1/datasets/rows/versions/1").await.expect(200).json["sha256"].clone();
    assert!(script.contains(sha256.as_str().expect("a text")) && !script.contains("@PROBLEM@"));
    app.get(&format!("{path}?lang=r")).await.expect_problem(422, "invalid_parameter");
    app.get("/api/v1/models/m/versions/2/reproduce").await.expect_problem(404, "not_found");
    app.delete("/api/v1/datasets/rows/versions/1").await.expect(204);
    app.get(path).await.expect_problem(409, "conflict");
    app.delete(job["links"]["self"].as_str().expect("a link")).await.expect(204);
    app.get(path).await.expect_problem(409, "conflict");
    app.stop().await;
}
