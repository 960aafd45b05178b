//! Profiles the solver on a LIBSVM file (plain or .zst): gap, non-zeros, epochs, passes and time.
//!
//! `solve FILE squared|logistic|class:C path:N:RATIO | FRACTION,.. [l1=1] [tol=1e-6] [plain] [nointercept] [dense64]`
//! `cv:FOLDS:N:RATIO` runs a cross-validation with two threads, `target:K` searches for K non-zeros.

use std::io::Read;
use std::ops::ControlFlow;
use std::time::Instant;

use sparsefit::matrix::{Columns, Values};
use sparsefit::solver::{
    Data, Folds, Loss, Options, Penalty, Point, Problem, Progress, certify, cross_validate, lambda_grid, path, solve, target_nonzeros,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, loss, task, rest @ ..] = arguments.as_slice() else {
        return Err("usage: solve FILE LOSS TASK [options]".into());
    };
    let start = Instant::now();
    let (x, labels) = read(file)?;
    let view = x.view();
    eprintln!("{file}: {} x {}, {} non-zeros, read in {:.2} s", view.n_rows, view.len(), view.nnz(), start.elapsed().as_secs_f64());
    let (loss, y) = target(loss, labels)?;
    let has = |word: &str| rest.iter().any(|a| a == word);
    let number = |word: &str, default: f64| -> f64 {
        rest.iter().find_map(|a| a.strip_prefix(word)).and_then(|v| v.parse().ok()).unwrap_or(default)
    };
    let options = Options {
        intercept: !has("nointercept"),
        standardize: !has("plain"),
        tol: number("tol=", 1e-6),
        max_epochs: number("epochs=", 1e4) as u64,
    };
    let penalty = Penalty { l1_ratio: number("l1=", 1.0), factors: None };
    let data = Data { x: view, y: &y, weights: None, offset: None };
    let go_on = |_: &Progress| ControlFlow::Continue(());
    let start = Instant::now();
    let problem = Problem::new(data, loss, penalty, options, &go_on)?;
    println!(
        "set up {:.4} s, lambda_max {:.6e}, null {:.6e}",
        start.elapsed().as_secs_f64(),
        problem.lambda_max(),
        problem.null_objective()
    );
    let start = Instant::now();
    let parts: Vec<&str> = task.split(':').collect();
    match parts.as_slice() {
        ["path", n, ratio] => {
            let lambdas = lambda_grid(problem.lambda_max(), ratio.parse()?, n.parse()?);
            let mut points = Vec::new();
            let stop = path(&problem, &lambdas, None, &go_on, &mut |_, point, _| points.push(point));
            let seconds = start.elapsed().as_secs_f64();
            let worst = points.iter().map(|p| p.relative_gap).fold(0.0, f64::max);
            let passes: f64 = points.iter().map(|p| p.full_passes).sum();
            let epochs: u64 = points.iter().map(|p| p.epochs).sum();
            if has("each") {
                points.iter().for_each(|point| line(&problem, point));
            }
            points.last().iter().for_each(|point| line(&problem, point));
            println!("{stop:?}: {seconds:.3} s, worst gap {worst:.2e}, passes {passes:.0}, epochs {epochs}");
        }
        ["cv", folds, n, ratio] => {
            let folds: usize = folds.parse()?;
            let of_row: Vec<u32> = (0..view.n_rows).map(|i| (i % folds) as u32).collect();
            let lambdas = lambda_grid(problem.lambda_max(), ratio.parse()?, n.parse()?);
            let mut points = Vec::new();
            path(&problem, &lambdas, None, &go_on, &mut |_, point, _| points.push(point));
            let (on_thread, each) = (&|| (), &|_, _, _, _: &Point, _| ());
            let folds = Folds { of_row: &of_row, n: folds, lambdas: &lambdas, threads: 2, on_thread, points: &points, begun: &[], each };
            let cv = cross_validate(data, loss, penalty, options, &folds, &go_on)?;
            let last = cv.per_fold.row(lambdas.len() - 1);
            println!("whole {}: {:.3} s, last row {last:.4}", cv.whole, start.elapsed().as_secs_f64());
        }
        ["target", k] => {
            let found = target_nonzeros(&problem, k.parse()?, &go_on);
            println!("{:.3} s, bracket {:?}", start.elapsed().as_secs_f64(), found.bracket);
            line(&problem, &found.point);
        }
        _ => {
            for fraction in task.split(',') {
                let start = Instant::now();
                let point = solve(&problem, problem.lambda_max() * fraction.parse::<f64>()?, None, &go_on);
                print!("{fraction}: {:.4} s ", start.elapsed().as_secs_f64());
                line(&problem, &point);
            }
        }
    }
    Ok(())
}

fn line(problem: &Problem, point: &Point) {
    let Some(certificate) = certify(problem, point, &|_| ControlFlow::Continue(())) else { return };
    println!(
        "lambda {:.4e} gap {:.2e} certified {:.2e} kkt {:.1e} primal {:.10e} nnz {} epochs {} passes {:.1} {:?}",
        point.lambda,
        point.relative_gap,
        certificate.relative_gap,
        certificate.max_kkt_violation,
        certificate.primal,
        point.columns.len(),
        point.epochs,
        point.full_passes,
        point.stop
    );
}

fn target(loss: &str, labels: Vec<f64>) -> Result<(Loss, Vec<f64>), Box<dyn std::error::Error>> {
    if loss == "squared" {
        return Ok((Loss::Squared, labels));
    }
    let top = labels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let class = match loss.strip_prefix("class:") {
        Some(class) => class.parse()?,
        None => top,
    };
    Ok((Loss::Logistic, labels.into_iter().map(|y| if y == class { 1.0 } else { -1.0 }).collect()))
}

fn read(file: &str) -> Result<(Columns, Vec<f64>), Box<dyn std::error::Error>> {
    let mut text = String::new();
    let raw = std::fs::File::open(file)?;
    if file.ends_with(".zst") {
        let mut decoder = zstd::Decoder::new(raw)?;
        decoder.window_log_max(27)?;
        decoder.read_to_string(&mut text)?;
    } else {
        std::io::BufReader::new(raw).read_to_string(&mut text)?;
    }
    let mut labels = Vec::new();
    let mut entries: Vec<(u32, u32, f64)> = Vec::new();
    for line in text.lines() {
        let mut tokens = line.split_ascii_whitespace();
        let Some(label) = tokens.next() else { continue };
        let row = labels.len() as u32;
        labels.push(label.parse()?);
        for token in tokens {
            let (index, value) = token.split_once(':').ok_or("a token without a colon")?;
            let value: f64 = value.parse()?;
            if value != 0.0 {
                entries.push((index.parse::<u32>()? - 1, row, value));
            }
        }
    }
    entries.sort_unstable_by_key(|&(feature, row, _)| (feature, row));
    let (mut features, mut offsets) = (Vec::new(), vec![0u64]);
    for (k, entry) in entries.iter().enumerate() {
        if features.last() != Some(&entry.0) {
            features.push(entry.0);
            if k > 0 {
                offsets.push(k as u64);
            }
        }
    }
    offsets.push(entries.len() as u64);
    let single = entries.iter().all(|e| f64::from(e.2 as f32) == e.2);
    let values = if single {
        Values::Single(entries.iter().map(|e| e.2 as f32).collect::<Vec<_>>().into())
    } else {
        Values::Double(entries.iter().map(|e| e.2).collect::<Vec<_>>().into())
    };
    let rows: Vec<u32> = entries.iter().map(|e| e.1).collect();
    let columns = Columns::new(labels.len(), features.into(), offsets.into(), rows.into(), values)?;
    Ok((columns, labels))
}
