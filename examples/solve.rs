//! Solves a LIBSVM file from the command line: for profiling the solver without the server.
//!
//! `cargo run --release --example solve -- FILE(.zst) squared|logistic[:CLASS] FRACTION[,FRACTION…]|path:N:RATIO|cv:N:RATIO [none|scale] [noicpt] [l1_ratio=R] [tol=T]`

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::time::Instant;

use sparsefit::matrix::{Columns, Values};
use sparsefit::solver::{self, Data, Loss, Options, Penalty, Point, Problem};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, loss, what, rest @ ..] = args.as_slice() else {
        eprintln!("usage: solve FILE LOSS WHAT [OPTION…]");
        return;
    };
    let (x, mut y) = read(file);
    let has = |word: &str| rest.iter().any(|arg| arg == word);
    let number = |key: &str, default: f64| rest.iter().find_map(|arg| arg.strip_prefix(key)?.parse().ok()).unwrap_or(default);
    let loss = if let Some(class) = loss.strip_prefix("logistic") {
        let top = y.iter().copied().fold(f64::MIN, f64::max);
        let positive = class.strip_prefix(':').and_then(|class| class.parse().ok()).unwrap_or(top);
        y.iter_mut().for_each(|y| *y = if *y == positive { 1.0 } else { -1.0 });
        Loss::Logistic
    } else {
        Loss::Squared
    };
    let options = Options { intercept: !has("noicpt"), standardize: !has("none"), tol: number("tol=", 1e-6), max_epochs: 1_000_000 };
    let data = Data { x: x.view(), y: &y, weights: None, offset: None };
    let penalty = Penalty { l1_ratio: number("l1_ratio=", 1.0), factors: None };
    let start = Instant::now();
    let problem = Problem::new(data, loss, penalty, options).expect("the data can be fitted");
    println!(
        "n {} p {} nnz {} set-up {:.3}s λ_max {}",
        y.len(),
        x.view().len(),
        x.view().nnz(),
        start.elapsed().as_secs_f64(),
        problem.lambda_max()
    );
    let go_on = |_: &solver::Progress| ControlFlow::Continue(());
    let show = |point: &Point, since: Instant| {
        let proof = solver::certify(&problem, point);
        println!(
            "λ/λ_max {:.6} nnz {:6} epochs {:6} passes {:8.1} gap {:.2e} certified gap {:.2e} {:?} {:.3}s",
            point.lambda / problem.lambda_max(),
            point.columns.len(),
            point.epochs,
            point.full_passes,
            point.relative_gap,
            proof.relative_gap,
            point.stop,
            since.elapsed().as_secs_f64()
        );
    };
    let start = Instant::now();
    if let Some((n, ratio)) = what.strip_prefix("path:").or(what.strip_prefix("cv:")).and_then(|grid| grid.split_once(':')) {
        let lambdas = solver::lambda_grid(problem.lambda_max(), ratio.parse().expect("a ratio"), n.parse().expect("a number"));
        let mut worst: f64 = 0.0;
        let stop = solver::path(&problem, &lambdas, &go_on, &mut |i, point| {
            worst = worst.max(solver::certify(&problem, &point).relative_gap);
            if i % 10 == 9 || point.stop != solver::Stop::Converged {
                show(&point, start);
            }
        });
        println!("path {stop:?} worst certified gap {worst:.2e} {:.3}s", start.elapsed().as_secs_f64());
        if what.starts_with("cv:") {
            let start = Instant::now();
            let folds: Vec<u32> = (0..y.len() as u32).map(|i| i.wrapping_mul(2_654_435_761) % 5).collect();
            let cv =
                solver::cross_validate(data, loss, penalty, options, &folds, 5, &lambdas, 2, &go_on).expect("every fold can be fitted");
            println!("cv {:?} {:.3}s", cv.stop, start.elapsed().as_secs_f64());
        }
    } else {
        for fraction in what.split(',') {
            let start = Instant::now();
            let lambda = fraction.parse::<f64>().expect("a fraction") * problem.lambda_max();
            show(&solver::solve(&problem, lambda, None, &go_on), start);
        }
    }
}

fn read(file: &str) -> (Columns, Vec<f64>) {
    let bytes = std::fs::read(file).expect("the file can be read");
    let mut text = String::new();
    if file.ends_with(".zst") {
        let mut decoder = zstd::stream::read::Decoder::new(&bytes[..]).expect("a zstd stream");
        decoder.window_log_max(27).expect("a window");
        decoder.read_to_string(&mut text).expect("text");
    } else {
        text = String::from_utf8(bytes).expect("text");
    }
    let mut columns: BTreeMap<u32, (Vec<u32>, Vec<f64>)> = BTreeMap::new();
    let mut y = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut tokens = line.split_ascii_whitespace();
        let row = y.len() as u32;
        y.push(tokens.next().and_then(|label| label.parse().ok()).expect("a label"));
        for (index, value) in tokens.filter_map(|token| token.split_once(':')) {
            let value: f64 = value.parse().expect("a value");
            if value != 0.0 {
                let column = columns.entry(index.parse().expect("an index")).or_default();
                column.0.push(row);
                column.1.push(value);
            }
        }
    }
    let (mut features, mut offsets, mut rows, mut values) = (Vec::new(), vec![0u64], Vec::new(), Vec::new());
    for (feature, (r, v)) in columns {
        features.push(feature);
        rows.extend(r);
        values.extend(v);
        offsets.push(rows.len() as u64);
    }
    let single = values.iter().all(|v| f64::from(*v as f32) == *v);
    let values =
        if single { Values::Single(values.iter().map(|v| *v as f32).collect::<Vec<_>>().into()) } else { Values::Double(values.into()) };
    (Columns::new(y.len(), features.into(), offsets.into(), rows.into(), values).expect("a matrix"), y)
}
