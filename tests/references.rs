//! Our solver against solutions found by other libraries (`tests/references/*.json`; how they were made and
//! certified is said in the README beside it). Every objective is recomputed here from the raw data, not taken from the
//! solver.

#![allow(clippy::unwrap_used)] // a reference that cannot be read is a failed test

use std::ops::ControlFlow;
use std::path::Path;

use serde::Deserialize;
use sparsefit::matrix::{Columns, Values};
use sparsefit::solver::{Bounds, Data, Groups, Loss, Options, Penalty, Point, Problem, Shape, Stop, certify, solve, target_nonzeros};

#[derive(Deserialize)]
struct References {
    tiny: Vec<Tiny>,
    real: Vec<Real>,
}

#[derive(Deserialize)]
struct Tiny {
    name: String,
    loss: String,
    /// Of the Huber loss.
    delta: Option<f64>,
    intercept: bool,
    standardize: bool,
    l1_ratio: f64,
    x: Vec<Vec<f64>>,
    y: Vec<f64>,
    weights: Option<Vec<f64>>,
    factors: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
    lambda_max: Option<f64>,
    lambda: f64,
    coefficients: Vec<f64>,
    intercept_value: f64,
    objective: f64,
}

#[derive(Deserialize)]
struct Real {
    file: String,
    loss: String,
    positive_class: Option<f64>,
    standardize: bool,
    lambda_max: f64,
    lambda: f64,
    objective: f64,
    support: Vec<u32>,
    margin: f64,
    coefficients: Option<Vec<f64>>,
    intercept_value: f64,
}

fn references() -> References {
    serde_json::from_slice(&file("references.json")).unwrap()
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references").join(name)).unwrap()
}

fn loss(name: &str, delta: Option<f64>) -> Loss {
    match name {
        "squared" => Loss::Squared,
        "huber" => Loss::Huber { delta: delta.unwrap() },
        "squared_hinge" => Loss::SquaredHinge,
        "logistic" => Loss::Logistic,
        "poisson" => Loss::Poisson,
        other => panic!("no loss {other}"),
    }
}

/// Columns of a matrix given as non-zeros (row, feature, value), in single precision where nothing is lost.
fn columns(n_rows: usize, mut entries: Vec<(u32, u32, f64)>) -> Columns {
    entries.retain(|e| e.2 != 0.0);
    entries.sort_unstable_by_key(|e| (e.1, e.0));
    let (mut features, mut offsets) = (Vec::new(), vec![0_u64]);
    for (at, entry) in entries.iter().enumerate() {
        if features.last() != Some(&entry.1) {
            if at > 0 {
                offsets.push(at as u64);
            }
            features.push(entry.1);
        }
    }
    offsets.push(entries.len() as u64);
    let rows: Vec<u32> = entries.iter().map(|e| e.0).collect();
    let values = if entries.iter().all(|e| f64::from(e.2 as f32) == e.2) {
        Values::Single(entries.iter().map(|e| e.2 as f32).collect::<Vec<f32>>().into())
    } else {
        Values::Double(entries.iter().map(|e| e.2).collect::<Vec<f64>>().into())
    };
    Columns::new(n_rows, features.into(), offsets.into(), rows.into(), values).unwrap()
}

fn options(standardize: bool, intercept: bool, tol: f64) -> Options {
    Options { intercept, standardize, tol, max_epochs: 1_000_000 }
}

fn close(ours: f64, reference: f64, relative: f64) -> bool {
    (ours - reference).abs() <= relative * reference.abs().max(1e-12)
}

/// (feature, coefficient) of the non-zeros.
fn coefficients(problem_columns: &Columns, point: &Point) -> Vec<(u32, f64)> {
    let features = problem_columns.view().features;
    point.columns.iter().zip(&point.values).map(|(&column, &value)| (features[column as usize], value)).collect()
}

/// The objective as contract.md writes it, from dense rows and dense coefficients.
fn objective(case: &Tiny, w: &[f64], b: f64) -> f64 {
    let n = case.y.len();
    let s = case.weights.clone().unwrap_or_else(|| vec![1.0; n]);
    let total: f64 = s.iter().sum();
    let mut value = 0.0;
    for i in 0..n {
        let eta = b + case.offset.as_ref().map_or(0.0, |o| o[i]) + case.x[i].iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
        let loss = match case.loss.as_str() {
            "squared" => 0.5 * (case.y[i] - eta).powi(2),
            "poisson" => eta.exp() - case.y[i] * eta,
            "huber" => {
                let (r, delta) = ((case.y[i] - eta).abs(), case.delta.unwrap());
                if r <= delta { 0.5 * r * r } else { delta * r - 0.5 * delta * delta }
            }
            "squared_hinge" => (1.0 - case.y[i] * eta).max(0.0).powi(2),
            _ => (-case.y[i] * eta).exp().ln_1p(),
        };
        value += s[i] / total * loss;
    }
    for (j, w) in w.iter().enumerate() {
        let mean: f64 = (0..n).map(|i| s[i] / total * case.x[i][j]).sum();
        let variance: f64 = (0..n).map(|i| s[i] / total * (case.x[i][j] - mean).powi(2)).sum();
        let v = if case.standardize { w * variance.sqrt() } else { *w };
        let factor = case.factors.as_ref().map_or(1.0, |f| f[j]);
        value += case.lambda * factor * (case.l1_ratio * v.abs() + 0.5 * (1.0 - case.l1_ratio) * v * v);
    }
    value
}

fn check_tiny(case: &Tiny) {
    let name = &case.name;
    let entries = case.x.iter().enumerate().flat_map(|(i, row)| row.iter().enumerate().map(move |(j, &v)| (i as u32, j as u32, v)));
    let x = columns(case.y.len(), entries.collect());
    // Factors belong to stored columns; a feature that is 0 everywhere has none.
    let factors: Option<Vec<f64>> = case.factors.as_ref().map(|f| x.view().features.iter().map(|&j| f[j as usize]).collect());
    let data = Data { x: x.view(), y: &case.y, weights: case.weights.as_deref(), offset: case.offset.as_deref() };
    let penalty = Penalty { l1_ratio: case.l1_ratio, factors: factors.as_deref(), ..Penalty::default() };
    let problem = Problem::new(data, loss(&case.loss, case.delta), penalty, options(case.standardize, case.intercept, 1e-12), &|_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    if let Some(lambda_max) = case.lambda_max {
        assert!(close(problem.lambda_max(), lambda_max, 1e-10), "{name}: λ_max {} is not {lambda_max}", problem.lambda_max());
    }
    let point = solve(&problem, case.lambda, None, &|_| ControlFlow::Continue(()));
    assert_eq!(point.stop, Stop::Converged, "{name}: the gap is {}", point.relative_gap);
    let mut w = vec![0.0; case.coefficients.len()];
    for (j, value) in coefficients(&x, &point) {
        w[j as usize] = value;
    }
    let ours = objective(case, &w, point.intercept);
    assert!(close(ours, case.objective, 1e-8), "{name}: objective {ours} is not {}", case.objective);
    for (j, (ours, reference)) in w.iter().zip(&case.coefficients).enumerate() {
        assert!((ours - reference).abs() <= 1e-4, "{name}: coefficient {j} is {ours}, not {reference}");
        assert_eq!(*ours == 0.0, *reference == 0.0, "{name}: feature {j} is in one support and not in the other");
    }
    assert!((point.intercept - case.intercept_value).abs() <= 1e-4, "{name}: intercept {}", point.intercept);
    let certificate = certify(&problem, &point, &|_| ControlFlow::Continue(())).unwrap();
    assert!(close(certificate.primal, ours, 1e-12), "{name}: the certificate's primal is {}", certificate.primal);
    assert!(certificate.dual <= case.objective + 1e-12 * case.objective.abs(), "{name}: a dual above the optimum");
}

#[test]
fn tiny_problems_have_the_coefficients_other_libraries_find() {
    let tiny = references().tiny;
    assert!(tiny.len() >= 15);
    tiny.iter().for_each(check_tiny);
}

#[test]
fn counts_have_the_coefficients_glmnet_finds() {
    let tiny: Vec<Tiny> = serde_json::from_slice(&file("poisson.json")).unwrap();
    assert!(tiny.len() >= 6);
    tiny.iter().for_each(check_tiny);
}

#[test]
fn huber_and_squared_hinge_have_the_coefficients_scipy_and_liblinear_find() {
    let tiny: Vec<Tiny> = serde_json::from_slice(&file("piecewise.json")).unwrap();
    assert!(tiny.len() >= 9);
    tiny.iter().for_each(check_tiny);
}

#[derive(Deserialize)]
struct Shaped {
    name: String,
    kind: String,
    loss: String,
    lambda: f64,
    gamma: Option<f64>,
    groups: Vec<Vec<usize>>,
    x: Vec<Vec<f64>>,
    y: Vec<f64>,
    coefficients: Vec<f64>,
    objective: f64,
}

#[test]
fn groups_mcp_and_scad_have_the_coefficients_skglm_finds() {
    let cases: Vec<Shaped> = serde_json::from_slice(&file("shapes.json")).unwrap();
    assert!(cases.len() >= 7);
    for case in cases {
        let (name, p) = (&case.name, case.coefficients.len());
        let x = of_dense(&case.x);
        let of_column: Vec<u32> = (0..p).map(|j| case.groups.iter().position(|group| group.contains(&j)).unwrap() as u32).collect();
        let sizes: Vec<u32> = case.groups.iter().map(|group| group.len() as u32).collect();
        let shape = match (case.kind.as_str(), case.gamma) {
            ("mcp", Some(gamma)) => Shape::Mcp { gamma },
            ("scad", Some(gamma)) => Shape::Scad { gamma },
            _ => Shape::Groups(Groups { of_column: &of_column, sizes: &sizes }),
        };
        let penalty = Penalty { l1_ratio: if case.kind == "group" { 0.0 } else { 1.0 }, factors: None, shape, bounds: None };
        let data = Data { x: x.view(), y: &case.y, weights: None, offset: None };
        let go_on = |_: &_| ControlFlow::Continue(());
        let problem = Problem::new(data, loss(&case.loss, None), penalty, options(false, false, 1e-12), &go_on).unwrap();
        agrees(name, &problem, case.lambda, &x, case.objective, &case.coefficients);
    }
}

#[derive(Deserialize)]
struct Subset {
    name: String,
    loss: String,
    lambda: f64,
    x: Vec<Vec<f64>>,
    y: Vec<f64>,
    coefficients: Vec<f64>,
    intercept_value: f64,
    objective: f64,
    by_size: Vec<BestOfSize>,
}

#[derive(Deserialize)]
struct BestOfSize {
    support: Vec<u32>,
    loss: f64,
}

/// A search that goes from support to support need not find the best of all; on these it does, for one λ and for every size.
#[test]
fn the_best_subsets_are_the_best_of_all_supports() {
    let cases: Vec<Subset> = serde_json::from_slice(&file("subset.json")).unwrap();
    assert!(cases.len() >= 5);
    for case in cases {
        let name = &case.name;
        let x = of_dense(&case.x);
        let penalty = Penalty { shape: Shape::L0, ..Penalty::default() };
        let data = Data { x: x.view(), y: &case.y, weights: None, offset: None };
        let go_on = |_: &_| ControlFlow::Continue(());
        let problem = Problem::new(data, loss(&case.loss, None), penalty, options(true, true, 1e-9), &go_on).unwrap();
        let point = agrees(name, &problem, case.lambda, &x, case.objective, &case.coefficients);
        assert!((point.intercept - case.intercept_value).abs() <= 1e-5, "{name}: {}", point.intercept);
        for (k, best) in case.by_size.iter().enumerate().skip(1) {
            let found = target_nonzeros(&problem, k, &go_on).point;
            assert_eq!(found.columns, best.support, "{name}, {k} of them");
            // of both losses the deviance is twice the mean loss
            assert!(close(found.deviance, 2.0 * best.loss, 1e-9), "{name}, {k} of them: {} is not {}", found.deviance / 2.0, best.loss);
        }
    }
}

fn of_dense(rows: &[Vec<f64>]) -> Columns {
    let entries = rows.iter().enumerate().flat_map(|(i, row)| row.iter().enumerate().map(move |(j, &v)| (i as u32, j as u32, v)));
    columns(rows.len(), entries.collect())
}

/// The solution, which has the objective and the coefficients of the reference.
fn agrees(name: &str, problem: &Problem<'_>, lambda: f64, x: &Columns, objective: f64, reference: &[f64]) -> Point {
    let go_on = |_: &_| ControlFlow::Continue(());
    let point = solve(problem, lambda, None, &go_on);
    assert_eq!(point.stop, Stop::Converged, "{name}");
    let certificate = certify(problem, &point, &go_on).unwrap();
    assert!(close(certificate.primal, objective, 1e-9), "{name}: objective {} is not {objective}", certificate.primal);
    let mut w = vec![0.0; reference.len()];
    coefficients(x, &point).into_iter().for_each(|(j, value)| w[j as usize] = value);
    for (j, (ours, reference)) in w.iter().zip(reference).enumerate() {
        assert!((ours - reference).abs() <= 1e-5, "{name}: coefficient {j} is {ours}, not {reference}");
    }
    point
}

#[derive(Deserialize)]
struct Bounded {
    name: String,
    loss: String,
    l1_ratio: f64,
    lambda: f64,
    intercept: bool,
    bounds: Vec<[Option<f64>; 2]>,
    x: Vec<Vec<f64>>,
    y: Vec<f64>,
    coefficients: Vec<f64>,
    intercept_value: f64,
    objective: f64,
}

#[test]
fn bounded_coefficients_are_those_scikit_learn_and_scipy_find() {
    let cases: Vec<Bounded> = serde_json::from_slice(&file("bounds.json")).unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let name = &case.name;
        let x = of_dense(&case.x);
        let low: Vec<f64> = case.bounds.iter().map(|ends| ends[0].unwrap_or(f64::NEG_INFINITY)).collect();
        let high: Vec<f64> = case.bounds.iter().map(|ends| ends[1].unwrap_or(f64::INFINITY)).collect();
        let penalty = Penalty { l1_ratio: case.l1_ratio, bounds: Some(Bounds { low: &low, high: &high }), ..Penalty::default() };
        let data = Data { x: x.view(), y: &case.y, weights: None, offset: None };
        let go_on = |_: &_| ControlFlow::Continue(());
        let problem = Problem::new(data, loss(&case.loss, None), penalty, options(false, case.intercept, 1e-12), &go_on).unwrap();
        let point = agrees(name, &problem, case.lambda, &x, case.objective, &case.coefficients);
        assert!((point.intercept - case.intercept_value).abs() <= 1e-5, "{name}: {}", point.intercept);
    }
}

/// LIBSVM lines with indices from 1, read without the code under test.
fn read(path: &Path) -> (Vec<f64>, Vec<(u32, u32, f64)>) {
    let text = String::from_utf8(zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap()).unwrap();
    let (mut y, mut entries) = (Vec::new(), Vec::new());
    for (i, line) in text.lines().enumerate() {
        let mut tokens = line.split_ascii_whitespace();
        y.push(tokens.next().unwrap().parse().unwrap());
        for token in tokens {
            let (index, value) = token.split_once(':').unwrap();
            entries.push((i as u32, index.parse::<u32>().unwrap() - 1, value.parse().unwrap()));
        }
    }
    (y, entries)
}

fn check_real(case: &Real, path: &Path) {
    let (mut y, entries) = read(path);
    if let Some(positive) = case.positive_class {
        y.iter_mut().for_each(|y| *y = if *y == positive { 1.0 } else { -1.0 });
    }
    let name = format!("{} (scaled: {}) at λ = {}", case.file, case.standardize, case.lambda);
    let x = columns(y.len(), entries);
    let data = Data { x: x.view(), y: &y, weights: None, offset: None };
    let penalty = Penalty { l1_ratio: 1.0, factors: None, ..Penalty::default() };
    // A support is compared only for the squared loss; for the objective 1e-7 is ten times tighter than the comparison.
    let tol = if case.coefficients.is_some() { 1e-9 } else { 1e-7 };
    let problem =
        Problem::new(data, loss(&case.loss, None), penalty, options(case.standardize, true, tol), &|_| ControlFlow::Continue(())).unwrap();
    assert!(close(problem.lambda_max(), case.lambda_max, 1e-9), "{name}: λ_max {} is not {}", problem.lambda_max(), case.lambda_max);
    let point = solve(&problem, case.lambda, None, &|_| ControlFlow::Continue(()));
    assert_eq!(point.stop, Stop::Converged, "{name}: the gap is {}", point.relative_gap);
    let certificate = certify(&problem, &point, &|_| ControlFlow::Continue(())).unwrap();
    assert!(certificate.relative_gap <= 1.01 * tol, "{name}: certified gap {}", certificate.relative_gap);
    assert!(close(certificate.primal, case.objective, 1e-6), "{name}: objective {} is not {}", certificate.primal, case.objective);
    let ours = coefficients(&x, &point);
    if let Some(reference) = &case.coefficients {
        // Only where it is unique may the support be compared: every feature outside is clearly inside its bound.
        assert!(case.margin > 1e-4);
        assert_eq!(ours.iter().map(|c| c.0).collect::<Vec<_>>(), case.support, "{name}: support");
        let size = reference.iter().fold(0.0_f64, |size, w| size.max(w.abs()));
        for ((j, ours), reference) in ours.iter().zip(reference) {
            assert!((ours - reference).abs() <= 1e-4 * size, "{name}: coefficient {j} is {ours}, not {reference}");
        }
        assert!((point.intercept - case.intercept_value).abs() <= 1e-4 * case.intercept_value.abs(), "{name}: intercept");
    }
}

#[test]
fn real_data_have_the_objective_other_libraries_find() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let mut absent = Vec::new();
    for case in references().real {
        let path = folder.join(&case.file);
        if path.exists() { check_real(&case, &path) } else { absent.push(case.file) }
    }
    absent.dedup();
    if !absent.is_empty() {
        eprintln!("NOT COMPARED with other libraries, for want of ../shared/data: {}", absent.join(", "));
    }
}
