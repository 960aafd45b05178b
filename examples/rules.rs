//! Measures rules beside the lasso and the pruned tree: fitted on four fifths of the lines of a LIBSVM file (plain or .zst), measured on the others.
//!
//! `rules FILE [TEST_FILE] [--threads N] [--spec JSON]...`: with TEST_FILE, fitted on the one and measured on the other; each JSON is a
//! specification besides the usual ones of the three kinds. Prints one line of JSON for each.

use std::error::Error;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use sparsefit::dataset::{self, Dataset, Encoding, Format, IngestLimits, Upload};
use sparsefit::model::Model;
use sparsefit::spec::{SpecLimits, parse_job};
use sparsefit::train::{self, Run};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut files, mut specs, mut threads) = (Vec::new(), Vec::new(), 1);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = arguments.next().ok_or("--threads needs a number")?.parse()?,
            "--spec" => specs.push(serde_json::from_str(&arguments.next().ok_or("--spec needs JSON")?)?),
            _ => files.push(argument),
        }
    }
    if specs.is_empty() {
        specs = vec![
            json!({}),
            json!({ "kind": "tree" }),
            json!({ "kind": "rules" }),
            json!({ "kind": "rules", "selection": { "method": "cv", "rule": "1se" } }),
        ];
    }
    let text = read(files.first().ok_or("usage: rules FILE [TEST_FILE] [--threads N] [--spec JSON]...")?)?;
    let (train, test) = match files.get(1) {
        Some(test) => (text, read(test)?),
        None => {
            let part = |held: bool| -> String {
                let lines = text.lines().enumerate().filter(|(at, _)| (at % 5 == 4) == held);
                lines.fold(String::new(), |all, (_, line)| all + line + "\n")
            };
            (part(false), part(true))
        }
    };
    let dir = tempfile::tempdir()?;
    let n_features = [&train, &test].into_iter().map(|text| width(text)).max();
    let (train, test) = (ingest(&train, n_features, dir.path(), "train")?, ingest(&test, n_features, dir.path(), "test")?);
    for spec in specs {
        let began = Instant::now();
        let model = fit(&train, &spec, threads)?;
        let seconds = began.elapsed().as_secs_f64();
        let found = train::evaluate(&test, &model, None, &|_| ControlFlow::Continue(()))?;
        let (size, cv) = match &model {
            Model::Linear(model) => (json!({ "nonzeros": model.card.sparsity.nonzeros }), &model.card.metrics["cv"]),
            Model::Tree(model) => (json!({ "leaves": model.card.sparsity.leaves }), &model.card.metrics["cv"]),
            Model::Rules(model) => (serde_json::to_value(&model.card.sparsity)?, &model.card.metrics["cv"]),
            Model::Network(model) => (json!({ "weights": model.card.sparsity.nonzeros }), &model.card.metrics["holdout"]),
            Model::Ensemble(model) => (serde_json::to_value(&model.card.sparsity)?, &model.card.metrics["holdout"]),
        };
        println!("{}", json!({ "spec": spec, "seconds": seconds, "peak_mib": peak(), "size": size, "cv": cv, "held_out": found.metrics }));
        if let Model::Rules(model) = &model {
            (0..model.rules.len().min(3)).for_each(|rule| println!("  {:+.4} {}", model.rules.coefficients[rule], model.text(rule, None)));
        }
    }
    Ok(())
}

fn fit(data: &Dataset, spec: &Value, threads: usize) -> Result<Model, Box<dyn Error>> {
    let limits = SpecLimits { path_values: 10_000, folds: 1000, max_epochs: 1_000_000_000, max_runtime_s: 1e6 };
    let body = json!({ "type": "fit", "model": "m", "dataset": { "name": "d" }, "spec": spec });
    let wrong = |fault: sparsefit::fault::Fault| format!("{fault:?}");
    let asked = parse_job(body.to_string().as_bytes(), &limits).map_err(wrong)?.work;
    let (work, _) = asked.resolve_fit(&data.meta, None).map_err(wrong)?.ok_or("only fits are measured")?;
    println!("{}", json!({ "estimate": work.estimate(&data.meta, threads as u64) }));
    Ok(train::fit_any(data, &work, &Run::new(threads, &|_| ControlFlow::Continue(())))?.0)
}

fn read(file: &str) -> Result<String, Box<dyn Error>> {
    let bytes = std::fs::read(file)?;
    let mut text = String::new();
    if file.ends_with(".zst") {
        zstd::Decoder::new(bytes.as_slice())?.read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes)?;
    }
    Ok(text)
}

/// The most memory that this process has had, MiB.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Largest index of the text.
fn width(text: &str) -> u64 {
    let index = |token: &str| token.split_once(':').and_then(|(index, _)| index.parse().ok());
    text.split_ascii_whitespace().filter_map(index).max().unwrap_or(0)
}

fn ingest(text: &str, n_features: Option<u64>, dir: &Path, name: &str) -> Result<Dataset, Box<dyn Error>> {
    let limits = IngestLimits {
        decoded_bytes: 1 << 32,
        rows: 1 << 24,
        nnz: 1 << 30,
        index_max: (1 << 31) - 1,
        line_bytes: 1 << 24,
        number_bytes: 64,
        sort_memory_bytes: 1 << 28,
        room_bytes: u64::MAX,
    };
    let path = dir.join(name);
    let names = std::fs::File::create_new(dir.join(format!("{name}.names")))?;
    let upload = Upload { format: Format::Libsvm { index_base: 1, n_features }, encoding: Encoding::Identity, target_kind: None, limits };
    let ingested = dataset::ingest(text.as_bytes(), &upload, &std::fs::File::create_new(&path)?, &names, dir)?;
    Ok(dataset::open(&path, None, Arc::new(ingested.meta), true)?)
}
