//! Many classes from outside: an upload, the default fit, coefficients by class, predictions.

use serde_json::{Value, json};

use crate::app::TestApp;

const LIBSVM: (&str, &str) = ("content-type", "text/libsvm");

/// Three classes, 1, 2 and 7; each has a feature of its own, and a fourth says little.
fn rows() -> String {
    let row = |i: usize| {
        let class = [1, 2, 7][i % 3];
        let own = if i % 10 < 8 { i % 3 } else { (i + 1) % 3 };
        format!("{class} {}:{} 4:{}\n", own + 1, 1 + i % 2, i % 5)
    };
    (0..60).map(row).collect()
}

async fn upload(app: &TestApp) -> Value {
    app.send("POST", "/api/v1/datasets?name=three&target_kind=multiclass", &[LIBSVM], rows()).await.expect(201).json
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(|number| number.as_f64().expect("a number")).collect()
}

#[tokio::test]
async fn the_default_fit_of_many_classes_is_read_and_predicts() {
    let app = TestApp::start().await;
    assert_eq!(upload(&app).await["target"]["classes"], json!([1, 2, 7]));
    let job = app.submit("three", json!({})).await.expect(202).json;
    assert_eq!(job["spec_resolved"]["loss"], json!({ "type": "multinomial" }));
    app.work().await;
    let job = app.get(job["links"]["self"].as_str().expect("a link")).await.expect(200).json;
    assert_eq!(job["status"], "succeeded", "{job}");
    let href = "/api/v1/models/m/versions/1";
    let model = app.get(href).await.expect(200).json;
    assert_eq!((&model["loss"], &model["certificate"]["status"]), (&json!("multinomial"), &json!("certified")), "{model}");
    assert_eq!((&model["classes"], &model["intercept"]), (&json!([1, 2, 7]), &Value::Null));
    let intercepts = numbers(&model["intercepts"]);
    assert!(intercepts.len() == 3 && intercepts.iter().sum::<f64>().abs() < 1e-9);
    for (metric, least) in [("accuracy", 0.7), ("f1_macro", 0.7), ("log_loss", 0.0), ("deviance", 0.0)] {
        assert!(model["metrics"]["train"][metric].as_f64() > Some(least), "{metric} {model}");
    }
    assert!(model["sparsity"]["features_active"].as_u64() <= Some(4) && model["sparsity"]["features_active"].as_u64() >= Some(2));
    for part in ["path", "cv", "histogram", "certificate", "cv/folds"] {
        app.get(&format!("{href}/{part}")).await.expect(200);
    }
    let folds = app.get(&format!("{href}/cv/folds")).await.expect(200).json;
    // stratified by class: every fold holds out four rows of each
    for class in 0..3 {
        let mut of_class = [0; 5];
        let rows = folds["data"].as_array().expect("rows").iter().enumerate().filter(|(i, _)| i % 3 == class);
        rows.for_each(|(_, fold)| of_class[fold.as_u64().expect("a fold") as usize] += 1);
        assert_eq!(of_class, [4; 5]);
    }

    let all = app.get(&format!("{href}/coefficients?sort=index")).await.expect(200).json;
    assert_eq!(all["intercepts"], model["intercepts"]);
    assert_eq!(all["classes"].as_array().map(Vec::len), all["indices"].as_array().map(Vec::len));
    let eta_of = |row: &[(u64, f64)]| -> Vec<f64> {
        let mut eta = intercepts.clone();
        let entries = numbers(&all["indices"]).into_iter().zip(numbers(&all["classes"])).zip(numbers(&all["values"]));
        for ((index, class), value) in entries {
            let position = [1.0, 2.0, 7.0].iter().position(|known| *known == class).expect("a class");
            let x: f64 = row.iter().filter(|entry| entry.0 as f64 == index).map(|entry| entry.1).sum();
            eta[position] += value * x;
        }
        eta
    };
    // class by class they are the same
    let mut of_classes = 0;
    for (position, class) in ["1", "2", "7"].into_iter().enumerate() {
        let one = app.get(&format!("{href}/coefficients?class={class}&sort=index")).await.expect(200).json;
        assert_eq!((&one["intercept"], one.get("classes"), one.get("intercepts")), (&json!(intercepts[position]), None, None));
        assert_eq!(one["class"].as_f64().map(|class| class.to_string()), Some(class.to_owned()));
        of_classes += one["indices"].as_array().map_or(0, Vec::len);
    }
    assert_eq!(of_classes as u64, model["sparsity"]["nonzeros"].as_u64().expect("a number"));

    let eta = eta_of(&[(0, 2.0), (3, 1.0)]);
    let sum: f64 = eta.iter().map(|eta| eta.exp()).sum();
    let ask = json!({ "instances": [{ "indices": [0, 3], "values": [2.0, 1.0] }], "output": ["probabilities", "label", "linear_predictor", "contributions"] });
    let answer = app.post("/api/v1/models/m/predict", &ask).await.expect(200).json["predictions"][0].clone();
    for (k, told) in numbers(&answer["probabilities"]).into_iter().enumerate() {
        assert!((told - eta[k].exp() / sum).abs() < 1e-12, "{answer} {eta:?}");
        assert!((answer["linear_predictor"][k].as_f64().expect("a number") - eta[k]).abs() < 1e-12);
    }
    assert_eq!(answer["label"], json!(1), "{answer}");
    let plain = app.send("POST", "/api/v1/models/m/predict", &[LIBSVM], "0 1:2 4:1\n").await.expect(200).json;
    assert_eq!(plain["predictions"][0], json!({ "probabilities": answer["probabilities"], "label": 1 }));
    app.stop().await;
}

#[tokio::test]
async fn what_a_multinomial_fit_or_model_cannot_do_is_refused() {
    let app = TestApp::start().await;
    upload(&app).await;
    app.upload("tiny", "1 1:1\n0 2:1\n1 1:2\n0 3:1\n").await.expect(201);
    app.send("POST", "/api/v1/datasets?name=sizes", &[LIBSVM], "1.5 1:1\n2.5 1:2\n0.5 2:1\n").await.expect(201);
    for (dataset, spec, code) in [
        ("sizes", json!({ "loss": { "type": "multinomial" } }), "invalid_target"),
        ("three", json!({ "loss": { "type": "multinomial", "positive_class": 1 } }), "invalid_parameter"),
        ("three", json!({ "loss": { "type": "logistic" } }), "invalid_target"),
        ("three", json!({ "loss": { "type": "poisson" } }), "invalid_target"),
    ] {
        app.submit(dataset, spec.clone()).await.expect_problem(422, code);
    }
    // two classes are fitted as many when that is asked for
    app.submit("tiny", json!({ "loss": { "type": "multinomial" }, "lambda": { "mode": "value", "value": 0.05 } })).await.expect(202);
    app.work().await;
    assert_eq!(app.get("/api/v1/models/m").await.expect(200).json["loss"], "multinomial");
    let ask = |key: &str, value: Value| {
        let mut body = json!({ "instances": [{ "indices": [0], "values": [1] }] });
        body[key] = value;
        body
    };
    for body in [ask("threshold", json!(0.5)), ask("output", json!(["probability"])), ask("output", json!(["prediction"]))] {
        app.post("/api/v1/models/m/predict", &body).await.expect_problem(422, "invalid_parameter");
    }
    app.get("/api/v1/models/m/versions/1/coefficients?class=5").await.expect_problem(422, "invalid_parameter");
    app.submit("tiny", json!({ "lambda": { "mode": "value", "value": 0.05 } })).await.expect(202);
    app.work().await;
    app.get("/api/v1/models/m/versions/2/coefficients?class=1").await.expect_problem(422, "invalid_parameter");
    app.stop().await;
}
