//! Measures trees on a LIBSVM file (plain or .zst): CPU seconds and bytes of growing, the pruning path, cross-validation.
//!
//! `tree FILE squared|class:C|classes [entropy] [depth=N] [leaves=N] [weight=W] [threads=N] [folds=N] [repeat=N] [path]`

use std::io::Read;
use std::ops::ControlFlow;

use rustix::time::{ClockId, clock_gettime};
use sparsefit::matrix::{Columns, Values};
use sparsefit::tree::{Bins, Folds, Hands, Impurity, Limits, Progress, PruningPath, Target, cross_validate, grow};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, kind, rest @ ..] = arguments.as_slice() else {
        return Err("usage: tree FILE KIND [options]".into());
    };
    let (x, labels) = read(file)?;
    let x = x.view();
    let has = |word: &str| rest.iter().any(|a| a == word);
    let option = |word: &str| rest.iter().find_map(|a| a.strip_prefix(word)).and_then(|v| v.parse::<f64>().ok());
    let impurity = if has("entropy") { Impurity::Entropy } else { Impurity::Gini };
    let mut named = labels.clone();
    named.sort_by(f64::total_cmp);
    named.dedup();
    let class = kind.strip_prefix("class:").map(str::parse::<f64>).transpose()?;
    let of_row: Vec<u32> = match class {
        Some(class) => labels.iter().map(|&y| u32::from(y == class)).collect(),
        None => labels.iter().map(|y| named.partition_point(|name| name < y) as u32).collect(),
    };
    let target = match kind.as_str() {
        "squared" => Target::Numbers(&labels),
        _ => Target::Classes { of_row: &of_row, n: if class.is_some() { 2 } else { named.len() }, impurity },
    };
    let limits = Limits {
        max_depth: option("depth=").map(|depth| depth as u32),
        max_leaves: option("leaves=").map(|leaves| leaves as usize),
        min_leaf_weight: option("weight=").unwrap_or(0.0),
        ..Limits::default()
    };
    let hands = Hands { threads: option("threads=").unwrap_or(1.0) as usize, on_thread: &|| () };
    let go_on = |_: &Progress| ControlFlow::Continue(());
    // the peak of reading is forgotten
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = memory("VmRSS:");
    for _ in 0..option("repeat=").unwrap_or(1.0) as usize {
        let start = seconds();
        let bins = Bins::new(x, target, &go_on)?;
        let ordered = seconds() - start;
        let tree = grow(&bins, None, &limits, &hands, &go_on)?;
        let grown = seconds() - start;
        let path = PruningPath::new(&tree, &go_on)?;
        let pruned = seconds() - start - grown;
        println!(
            "{{\"rows\": {}, \"nnz\": {}, \"order\": {ordered:.4}, \"total\": {grown:.4}, \"path\": {pruned:.4}, \"leaves\": {}, \"depth\": {}, \
             \"steps\": {}, \"impurity\": {:.9}, \"peak_mib\": {:.1}}}",
            x.n_rows,
            x.nnz(),
            tree.n_leaves(),
            tree.depth(),
            path.steps().len(),
            path.steps()[0].impurity,
            (memory("VmHWM:") - before) / 1024.0,
        );
        if has("path") {
            path.steps().iter().for_each(|step| println!("{:.6e} {} {:.6e}", step.alpha, step.leaves, step.impurity));
        }
        if let Some(n) = option("folds=") {
            let start = seconds();
            let of_row: Vec<u32> = (0..x.n_rows).map(|row| (row % n as usize) as u32).collect();
            let cv = cross_validate(&bins, None, &limits, &path, &Folds { of_row: &of_row, n: n as usize }, &hands, &go_on)?;
            let least = (0..cv.mean.len()).min_by(|&a, &b| cv.mean[a].total_cmp(&cv.mean[b])).unwrap_or(0);
            println!(
                "cross-validated in {:.3} s: least {:.5} ± {:.5} at {:.3e}, {} leaves",
                seconds() - start,
                cv.mean[least],
                cv.se[least],
                cv.alphas[least],
                path.steps()[least].leaves
            );
        }
    }
    Ok(())
}

/// CPU seconds of the process, all threads together.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// KiB, as the system counts.
fn memory(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    found.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(f64::NAN)
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
                // single precision, as scikit-learn takes its matrices
                entries.push((index.parse::<u32>()? - 1, row, f64::from(value as f32)));
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
    let values: Vec<f32> = entries.iter().map(|e| e.2 as f32).collect();
    let rows: Vec<u32> = entries.iter().map(|e| e.1).collect();
    let columns = Columns::new(labels.len(), features.into(), offsets.into(), rows.into(), Values::Single(values.into()))?;
    Ok((columns, labels))
}
