//! Trees of scikit-learn on public data (`tests/references/trees.json`, made by `trees.py` beside it): the same pruning paths,
//! and the same trees at some α. The data live beside the repository; where they are absent the test says so and goes on.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sparsefit::matrix::{Columns, Values};
use sparsefit::tree::{Bins, Hands, Impurity, Limits, PruningPath, Target, grow};

use crate::made::go_on;

#[derive(Deserialize)]
struct Reference {
    file: String,
    criterion: String,
    max_depth: Option<u32>,
    max_leaves: Option<usize>,
    min_leaf_weight: f64,
    min_impurity_decrease: f64,
    alphas: Vec<f64>,
    impurities: Vec<f64>,
    prunings: Vec<Pruning>,
}

#[derive(Deserialize)]
struct Pruning {
    alpha: f64,
    leaves: usize,
    depth: u32,
    /// Some rows, and their mean or the share of their likeliest class.
    rows: Vec<usize>,
    values: Vec<f64>,
}

/// Matrix in single precision and labels of a set, or `None` said loudly.
fn load(name: &str) -> Option<(Columns, Vec<f64>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let file = ["../shared/data", "../../shared/data"].map(|folder| root.join(folder).join(name)).into_iter().find(|file| file.exists());
    let Some(file) = file else {
        eprintln!("ABSENT: ../shared/data/{name}: this test looked at nothing");
        return None;
    };
    let mut text = String::new();
    zstd::Decoder::new(std::fs::File::open(file).unwrap()).unwrap().read_to_string(&mut text).unwrap();
    let (mut y, mut entries) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut tokens = line.split_ascii_whitespace();
        let row = y.len() as u32;
        y.push(tokens.next().unwrap().parse().unwrap());
        for (feature, value) in tokens.map(|token| token.split_once(':').unwrap()) {
            entries.push((feature.parse::<u32>().unwrap() - 1, row, value.parse::<f64>().unwrap() as f32));
        }
    }
    entries.retain(|entry| entry.2 != 0.0);
    entries.sort_unstable_by_key(|entry| (entry.0, entry.1));
    let mut features: Vec<u32> = entries.iter().map(|entry| entry.0).collect();
    features.dedup();
    let mut offsets: Vec<u64> = features.iter().map(|f| entries.partition_point(|entry| entry.0 < *f) as u64).collect();
    offsets.push(entries.len() as u64);
    let rows: Vec<u32> = entries.iter().map(|entry| entry.1).collect();
    let values: Vec<f32> = entries.iter().map(|entry| entry.2).collect();
    Some((Columns::new(y.len(), features.into(), offsets.into(), rows.into(), Values::Single(values.into())).unwrap(), y))
}

fn compare(reference: &Reference) {
    let Some((x, labels)) = load(&reference.file) else { return };
    let name = format!("{} {} {:?} {:?}", reference.file, reference.criterion, reference.max_depth, reference.max_leaves);
    let mut classes = labels.clone();
    classes.sort_by(f64::total_cmp);
    classes.dedup();
    let of_row: Vec<u32> = labels.iter().map(|y| classes.partition_point(|class| class < y) as u32).collect();
    let target = match reference.criterion.as_str() {
        "squared" => Target::Numbers(&labels),
        "gini" => Target::Classes { of_row: &of_row, n: classes.len(), impurity: Impurity::Gini },
        _ => Target::Classes { of_row: &of_row, n: classes.len(), impurity: Impurity::Entropy },
    };
    let limits = Limits {
        max_depth: reference.max_depth,
        max_leaves: reference.max_leaves,
        min_leaf_weight: reference.min_leaf_weight,
        min_impurity_decrease: reference.min_impurity_decrease,
    };
    let bins = Bins::new(x.view(), target, &go_on).unwrap();
    let tree = grow(&bins, None, &limits, &Hands::one(), &go_on).unwrap();
    let path = PruningPath::new(&tree, &go_on).unwrap();
    assert_eq!(path.steps().len(), reference.alphas.len(), "steps of {name}");
    let unit = path.steps().last().unwrap().impurity;
    for (step, (alpha, impurity)) in path.steps().iter().zip(reference.alphas.iter().zip(&reference.impurities)) {
        assert!((step.alpha - alpha).abs() <= 1e-9 * alpha + 1e-12 * unit, "alpha of {name}: {} {alpha}", step.alpha);
        assert!((step.impurity - impurity).abs() <= 1e-9 * unit, "impurity of {name}: {} {impurity}", step.impurity);
    }
    for pruning in &reference.prunings {
        let pruned = path.tree(&tree, path.at_alpha(pruning.alpha));
        assert_eq!((pruned.n_leaves(), pruned.depth()), (pruning.leaves, pruning.depth), "{name} at {}", pruning.alpha);
        let leaves = pruned.leaves_of(x.view(), &go_on).unwrap();
        for (&row, &wanted) in pruning.rows.iter().zip(&pruning.values) {
            let ours = pruned.value(leaves[row] as usize).iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!((ours - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{name} at {}, row {row}: {ours} {wanted}", pruning.alpha);
        }
    }
}

#[test]
fn paths_and_prunings_are_those_of_scikit_learn() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references/trees.json");
    let references: Vec<Reference> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(references.len() >= 10);
    references.iter().for_each(compare);
}
