//! The hard real sets. They live beside the repository; where they are absent the tests say so and go on.

use std::io::Read;
use std::path::PathBuf;

use sparsefit::matrix::{Columns, Values};
use sparsefit::solver::{Data, Loss, Options, Penalty, Problem, Stop, certify, lambda_grid, path, solve};

use crate::made::go_on;

/// Matrix and labels of a set, or `None` said loudly.
fn load(name: &str) -> Option<(Columns, Vec<f64>)> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let file = if file.exists() { file } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name) };
    let Ok(raw) = std::fs::File::open(&file) else {
        eprintln!("ABSENT: ../shared/data/{name}: this test looked at nothing");
        return None;
    };
    let mut text = String::new();
    zstd::Decoder::new(raw).unwrap().read_to_string(&mut text).unwrap();
    let (mut y, mut entries) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut tokens = line.split_ascii_whitespace();
        let row = y.len() as u32;
        y.push(tokens.next().unwrap().parse().unwrap());
        for (feature, value) in tokens.map(|t| t.split_once(':').unwrap()) {
            entries.push((feature.parse::<u32>().unwrap() - 1, row, value.parse::<f64>().unwrap()));
        }
    }
    entries.sort_unstable_by_key(|e| (e.0, e.1));
    let mut features: Vec<u32> = entries.iter().map(|e| e.0).collect();
    features.dedup();
    let mut offsets: Vec<u64> = features.iter().map(|f| entries.partition_point(|e| e.0 < *f) as u64).collect();
    offsets.push(entries.len() as u64);
    let rows: Vec<u32> = entries.iter().map(|e| e.1).collect();
    let values: Vec<f64> = entries.iter().map(|e| e.2).collect();
    Some((Columns::new(y.len(), features.into(), offsets.into(), rows.into(), Values::Double(values.into())).unwrap(), y))
}

/// A path to `λ_max·ratio`, every 10th λ certified by the separate code.
fn walk(name: &str, loss: Loss, positive: f64, n: usize, ratio: f64) {
    let Some((x, labels)) = load(name) else { return };
    let y: Vec<f64> = match loss {
        Loss::Squared | Loss::Huber { .. } | Loss::Poisson => labels,
        Loss::Logistic | Loss::SquaredHinge => labels.into_iter().map(|y| if y == positive { 1.0 } else { -1.0 }).collect(),
    };
    let data = Data { x: x.view(), y: &y, weights: None, offset: None };
    let options = Options { intercept: true, standardize: true, tol: 1e-6, max_epochs: 10_000 };
    let problem = Problem::new(data, loss, Penalty { l1_ratio: 1.0, factors: None }, options, &go_on).unwrap();
    let lambdas = lambda_grid(problem.lambda_max(), ratio, n);
    let mut seen = 0;
    let stop = path(&problem, &lambdas, None, &go_on, &mut |index, point, _| {
        seen += 1;
        if index % 10 == 9 {
            let certificate = certify(&problem, &point, &go_on).unwrap();
            assert!(certificate.relative_gap <= 1e-6 * (1.0 + 1e-6), "{name} λ {index}: {certificate:?}");
        }
    });
    assert_eq!((stop, seen), (Stop::Converged, n), "{name}");
}

#[test]
fn diabetes_is_certified_along_its_path() {
    walk("diabetes64.svm.zst", Loss::Squared, 0.0, 100, 1e-4);
}

#[test]
fn riboflavin_is_certified_along_its_path() {
    walk("riboflavin.svm.zst", Loss::Squared, 0.0, 100, 1e-2);
}

#[test]
fn diabetes_and_riboflavin_are_certified_along_their_huber_paths() {
    for delta in [1.0, 60.0, 1e3] {
        walk("diabetes64.svm.zst", Loss::Huber { delta }, 0.0, 100, 1e-4);
    }
    for delta in [0.1, 0.5] {
        walk("riboflavin.svm.zst", Loss::Huber { delta }, 0.0, 100, 1e-2);
    }
}

#[test]
fn mushrooms_are_certified_along_their_path() {
    walk("mushrooms.svm.zst", Loss::Logistic, 1.0, 100, 1e-4);
}

#[test]
fn a9a_is_certified_along_its_path() {
    walk("a9a.svm.zst", Loss::Logistic, 1.0, 100, 1e-4);
}

#[test]
fn mushrooms_and_a9a_are_certified_along_their_squared_hinge_paths() {
    walk("mushrooms.svm.zst", Loss::SquaredHinge, 1.0, 100, 1e-4);
    walk("a9a.svm.zst", Loss::SquaredHinge, 1.0, 60, 1e-3);
}

#[test]
fn one_class_of_news20_is_certified_along_its_path() {
    walk("news20.t.svm.zst", Loss::Logistic, 1.0, 50, 1e-2);
}

#[test]
fn diabetes_agrees_with_its_least_squares_fit_at_the_end() {
    let Some((x, y)) = load("diabetes64.svm.zst") else { return };
    let data = Data { x: x.view(), y: &y, weights: None, offset: None };
    let options = Options { intercept: true, standardize: true, tol: 1e-9, max_epochs: 100_000 };
    let problem = Problem::new(data, Loss::Squared, Penalty { l1_ratio: 1.0, factors: None }, options, &go_on).unwrap();
    // As good as no penalty: the residual is orthogonal to every column.
    let point = solve(&problem, problem.lambda_max() * 1e-9, None, &go_on);
    assert_eq!(point.stop, Stop::Converged);
    assert!(point.columns.len() >= 60 && point.deviance < 0.5 * problem.null_deviance());
}
