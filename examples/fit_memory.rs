//! What fits take in memory against what was estimated, one child process a shape:
//! `cargo run --release --example fit_memory`. Prints; asserts nothing.
//!
//! Measured is the growth of anonymous memory during the fit; the mapped data set is not in it, and not in the estimate.

#![allow(clippy::unwrap_used)] // a program for people who read its source

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sparsefit::config::Limits;
use sparsefit::dataset::{self, Encoding, Format, TargetKind, Upload};
use sparsefit::{spec, train};

/// Rows, columns, non-zeros a row, classes of the target (0 = numbers), specification.
fn shapes() -> Vec<(usize, usize, usize, usize, Value)> {
    let value = |share: f64| json!({"lambda": {"mode": "value", "value": share}});
    let path = json!({"lambda": {"mode": "path", "n": 10, "min_ratio": 0.1}, "selection": {"method": "none"}});
    let cv = json!({"lambda": {"mode": "path", "n": 10, "min_ratio": 0.1}, "selection": {"method": "cv", "folds": 5}});
    let group = |g: usize| (g.to_string(), (5 * g..5 * g + 5).map(|j| j.to_string().into()).collect::<Vec<Value>>().into());
    let grouped = json!({"type": "group", "groups": (0..400).map(group).collect::<serde_json::Map<String, Value>>()});
    vec![
        (400_000, 1_000, 3, 0, value(0.1)),
        (20_000, 300_000, 20, 0, value(0.1)),
        (200_000, 50_000, 5, 2, value(0.01)),
        (200_000, 2_000, 5, 0, path.clone()),
        (5_000, 200_000, 50, 0, path.clone()),
        (100_000, 20_000, 5, 2, path.clone()),
        (200_000, 2_000, 5, 0, cv.clone()),
        (20_000, 200_000, 20, 0, cv.clone()),
        (20_000, 20_000, 20, 0, with(&path, "penalty", json!({"type": "mcp", "gamma": 3}))),
        (20_000, 200_000, 20, 0, with(&cv, "penalty", json!({"type": "mcp", "gamma": 3}))),
        (20_000, 20_000, 20, 2, with(&path, "penalty", grouped.clone())),
        (50_000, 2_000, 20, 0, with(&cv, "penalty", grouped)),
        (20_000, 20_000, 20, 5, path.clone()),
        (20_000, 20_000, 20, 5, cv.clone()),
        (20_000, 20_000, 20, 0, with(&path, "selection", json!({"method": "stability"}))),
        (200_000, 2_000, 5, 2, with(&path, "selection", json!({"method": "stability"}))),
        (20_000, 20_000, 20, 0, with(&path, "non_negative", json!(true))),
        (20_000, 20_000, 20, 0, with(&cv, "loss", json!({"type": "huber", "delta": 0.5}))),
        (20_000, 20_000, 20, 2, with(&cv, "loss", json!({"type": "squared_hinge"}))),
        (200, 20_000, 2_000, 0, with(&cv, "penalty", json!({"type": "l2"}))),
        (20_000, 5_000, 20, 0, json!({"kind": "tree", "pruning": {"mode": "cv"}})),
        (20_000, 5_000, 20, 2, json!({"kind": "ensemble", "n_trees": 30})),
        (20_000, 5_000, 20, 5, json!({"kind": "ensemble", "n_trees": 10})),
        (20_000, 5_000, 20, 0, json!({"kind": "network", "hidden": [32], "epochs": 2})),
        (50_000, 50_000, 20, 5, json!({"kind": "network", "hidden": [64, 32], "epochs": 2})),
    ]
}

/// A specification with one more key.
fn with(spec: &Value, key: &str, value: Value) -> Value {
    let mut spec = spec.clone();
    spec[key] = value;
    spec
}

fn main() {
    match std::env::args().nth(1) {
        Some(number) => measure(&shapes()[number.parse::<usize>().unwrap()]),
        None => {
            println!("{:>9} {:>9} {:>4} {:>10} {:>10} {:>6}", "rows", "columns", "nnz", "measured", "estimated", "ratio");
            for number in 0..shapes().len() {
                let this = std::env::current_exe().unwrap();
                let told = std::process::Command::new(this).arg(number.to_string()).output().unwrap();
                print!("{}", String::from_utf8_lossy(&told.stdout));
            }
        }
    }
}

fn measure((rows, columns, per_row, classes, asked): &(usize, usize, usize, usize, Value)) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| std::fs::File::create_new(directory.path().join(name)).unwrap();
    let (data, names) = (file("data"), file("names"));
    let limits = Limits::default();
    let upload = Upload {
        format: Format::Libsvm { index_base: 0, n_features: Some(*columns as u64) },
        encoding: Encoding::Identity,
        target_kind: Some(match classes {
            0 => TargetKind::Regression,
            2 => TargetKind::Binary,
            _ => TargetKind::Multiclass,
        }),
        limits: limits.upload,
    };
    let text = libsvm(*rows, *columns, *per_row, *classes);
    let ingested = dataset::ingest(text.as_bytes(), &upload, &data, &names, directory.path()).unwrap();
    drop(text);
    let meta = Arc::new(ingested.meta);
    let opened = dataset::open(&directory.path().join("data"), None, meta.clone(), true).unwrap();
    let body = json!({"type": "fit", "model": "m", "dataset": {"name": "d"}, "spec": asked});
    let request = spec::parse_job(body.to_string().as_bytes(), &limits.spec).unwrap();
    let (work, _) = request.work.resolve_fit(&meta, None).unwrap().unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let estimate = work.estimate(&meta, threads as u64);

    let (before, peak, over) = (anonymous(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let watcher = std::thread::spawn({
        let (peak, over) = (peak.clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(anonymous(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(500));
            }
        }
    });
    let observe = |_: &sparsefit::job::Progress| ControlFlow::Continue(());
    let _model = train::fit_any(&opened, &work, &train::Run::new(threads, &observe)).unwrap();
    over.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    let measured = peak.load(Ordering::Relaxed).saturating_sub(before) as f64 / 1024.0;
    let high = estimate.memory_mb[1];
    println!("{rows:>9} {columns:>9} {per_row:>4} {measured:>7.1} MiB {high:>7.1} MiB {:>6.2}", high / measured);
}

/// KiB of anonymous memory of this process.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap()
}

/// A few columns matter, the rest is noise; the same every time.
fn libsvm(rows: usize, columns: usize, per_row: usize, classes: usize) -> String {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut text = String::new();
    for _ in 0..rows {
        let mut indices: Vec<usize> = (0..per_row).map(|_| random() % columns).collect();
        indices.sort_unstable();
        indices.dedup();
        let signal: f64 = indices.iter().map(|j| if j % 100 == 0 { 2.0 } else { 0.0 }).sum::<f64>() + (random() % 1000) as f64 / 1000.0;
        let y = if classes > 0 { (signal * 0.5 * classes as f64).min(classes as f64 - 1.0).floor() } else { signal };
        let _ = write!(text, "{y}");
        indices.iter().for_each(|j| {
            let _ = write!(text, " {j}:1");
        });
        text.push('\n');
    }
    text
}
