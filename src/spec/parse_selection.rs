//! How λ is to be chosen, as far as it can be judged without the data.

use std::collections::HashMap;

use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX, show};
use super::stability::parse_keys;
use super::{AskedHeld, AskedSelection, Rule, Selection, SpecLimits};

const POINTER: &str = "#/spec/selection";
/// Share of the rows that a hold-out takes, unless told.
const FRACTION: f64 = 0.2;
/// γ of the extended criterion, unless told.
const EBIC_GAMMA: f64 = 1.0;
const KEYS: [&str; 14] = [
    "folds",
    "stratify",
    "seed",
    "metric",
    "rule",
    "within_pct",
    "repeats",
    "groups",
    "fold_of_row",
    "fraction",
    "ebic_gamma",
    "resamples",
    "threshold",
    "expected_false",
];

/// The keys that mean something for a method.
fn keys_of(method: &str) -> &'static [&'static str] {
    match method {
        "cv" => &KEYS[..9],
        "holdout" => &["stratify", "seed", "metric", "rule", "within_pct", "groups", "fraction"],
        "ebic" => &["ebic_gamma"],
        "stability" => &["stratify", "seed", "resamples", "threshold", "expected_false"],
        _ => &[],
    }
}

pub(super) fn parse_selection(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<AskedSelection> {
    let mut selection = Fields::open(value, POINTER, problems)?;
    let methods = ["cv", "holdout", "stability", "aic", "bic", "ebic", "none"];
    let method = selection.need("method", problems).and(selection.word("method", &methods, problems));
    let stable = parse_keys(&mut selection, value, limits, problems);
    let ebic_gamma = selection.number("ebic_gamma", "from 0 to 1", |gamma| (0.0..=1.0).contains(&gamma), problems);
    let fraction = selection.number("fraction", "between 0 and 1, both excluded", |share| share > 0.0 && share < 1.0, problems);
    let held = AskedHeld {
        fraction: (method == Some("holdout")).then(|| fraction.unwrap_or(FRACTION)),
        // one fold makes sense only where some rows are never held out
        folds: selection.whole("folds", if value.get("fold_of_row").is_some() { 1 } else { 2 }, limits.folds, problems),
        stratify: selection.flag("stratify", problems),
        seed: selection.whole("seed", 0, WHOLE_MAX, problems).unwrap_or(0),
        rule: parse_rule(&mut selection, problems),
        within_pct: selection.number("within_pct", "greater than 0 and at most 100", |pct| pct > 0.0 && pct <= 100.0, problems),
        repeats: selection.whole("repeats", 1, limits.folds, problems),
        groups: selection.take("groups").and_then(|groups| parse_groups(groups, problems)),
        fold_of_row: selection.take("fold_of_row").and_then(|folds| parse_fold_of_row(folds, limits, problems)),
    };
    selection.word("metric", &["deviance"], problems);
    if let Some(method) = method {
        let own = keys_of(method);
        for key in KEYS.into_iter().filter(|key| value.get(key).is_some() && !own.contains(key)) {
            problems.add(&selection.at(key), "conflict", format!("has no meaning with the method {method}"));
        }
        if matches!(method, "cv" | "holdout") {
            check_together(&held, value, problems);
        }
    }
    selection.close(problems);
    Some(match method? {
        "none" => AskedSelection::None,
        "stability" => AskedSelection::Stability(stable.asked(held.seed, held.stratify, limits)),
        "aic" => AskedSelection::Criterion(Selection::Aic),
        "bic" => AskedSelection::Criterion(Selection::Bic),
        "ebic" => AskedSelection::Criterion(Selection::Ebic { ebic_gamma: ebic_gamma.unwrap_or(EBIC_GAMMA) }),
        _ => AskedSelection::Held(held),
    })
}

fn parse_rule(selection: &mut Fields<'_>, problems: &mut Problems) -> Option<Rule> {
    match selection.word("rule", &["min", "1se", "sparsest_within_pct"], problems)? {
        "1se" => Some(Rule::OneSe),
        "sparsest_within_pct" => Some(Rule::SparsestWithinPct),
        _ => Some(Rule::Min),
    }
}

/// What excludes what. Two problems are never told of one place.
fn check_together(held: &AskedHeld, value: &Value, problems: &mut Problems) {
    let at = |key: &str| format!("{POINTER}/{key}");
    let given = |key: &str| value.get(key).is_some();
    let sparsest = held.rule == Some(Rule::SparsestWithinPct);
    if sparsest && !given("within_pct") {
        problems.add(&at("within_pct"), "missing", "sparsest_within_pct needs `within_pct`");
    }
    if held.within_pct.is_some() && !sparsest {
        problems.add(&at("within_pct"), "conflict", "has a meaning for the rule sparsest_within_pct only");
    }
    if held.rule == Some(Rule::OneSe) && held.fraction.is_some() {
        problems.add(&at("rule"), "conflict", "one split has no standard error; use min or sparsest_within_pct");
    }
    if held.stratify == Some(true) && held.groups.is_some() {
        problems.add(&at("stratify"), "conflict", "groups stay together, whatever their classes: they cannot be stratified");
    }
    if held.fold_of_row.is_none() {
        return;
    }
    const TOLD: &str = "has no meaning beside fold_of_row, which says all";
    if held.groups.is_some() {
        problems.add(&at("groups"), "conflict", TOLD);
    } else if held.stratify == Some(true) {
        problems.add(&at("stratify"), "conflict", TOLD);
    }
    if held.repeats.is_some_and(|repeats| repeats > 1) {
        problems.add(&at("repeats"), "conflict", TOLD);
    }
    if held.seed != 0 {
        problems.add(&at("seed"), "conflict", TOLD);
    }
}

/// The items of an array that has one for each row.
fn items<'v>(value: &'v Value, key: &str, problems: &mut Problems) -> Option<&'v [Value]> {
    let items = value.as_array();
    if items.is_none() {
        problems.add(
            &format!("{POINTER}/{key}"),
            "invalid_field",
            format!("must be an array with an item for each row, got {}", show(value)),
        );
    }
    items.map(Vec::as_slice)
}

/// Labels by the position of their first row, so that equal partitions are equal.
fn parse_groups(value: &Value, problems: &mut Problems) -> Option<Vec<u32>> {
    #[derive(PartialEq, Eq, Hash)]
    enum Label<'v> {
        Number(i64),
        Text(&'v str),
    }
    let mut numbers: HashMap<Label<'_>, u32> = HashMap::new();
    let mut groups = Vec::new();
    for (row, item) in items(value, "groups", problems)?.iter().enumerate() {
        let whole = item.as_i64().or_else(|| item.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= WHOLE_MAX as f64).map(|n| n as i64));
        let label = whole.map(Label::Number).or_else(|| item.as_str().map(Label::Text));
        let Some(label) = label else {
            let detail = format!("must be a whole number or a text, got {}", show(item));
            problems.add(&format!("{POINTER}/groups/{row}"), "invalid_field", detail);
            return None;
        };
        let next = numbers.len() as u32;
        groups.push(*numbers.entry(label).or_insert(next));
    }
    Some(groups)
}

fn parse_fold_of_row(value: &Value, limits: &SpecLimits, problems: &mut Problems) -> Option<Vec<i32>> {
    let most = i64::try_from(limits.folds).unwrap_or(i64::MAX).min(i64::from(i32::MAX)) - 1;
    let mut folds = Vec::new();
    for (row, item) in items(value, "fold_of_row", problems)?.iter().enumerate() {
        let whole = item.as_i64().or_else(|| item.as_f64().filter(|n| n.fract() == 0.0 && n.abs() <= WHOLE_MAX as f64).map(|n| n as i64));
        let fold = whole.filter(|fold| (-1..=most).contains(fold)).and_then(|fold| i32::try_from(fold).ok());
        let Some(fold) = fold else {
            let (code, wanted) = if whole.is_some() { ("out_of_range", "from -1") } else { ("invalid_field", "a whole number from -1") };
            let detail = format!("must be {wanted} to {most}, got {}", show(item));
            problems.add(&format!("{POINTER}/fold_of_row/{row}"), code, detail);
            return None;
        };
        folds.push(fold);
    }
    Some(folds)
}
