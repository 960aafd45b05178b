//! How λ is chosen meets the data set: folds that the rows can fill, arrays that have an item for each row.

use super::fields::Problems;
use super::resolve::smallest_side;
use super::selection::{CrossValidation, Holdout};
use super::stability::AskedStability;
use super::{AskedHeld, AskedLambda, AskedSelection, FitSpec, Loss, Rule, Selection, SpecLimits, Stability};
use crate::dataset::Meta;
use crate::job::Warning;

const FOLDS: u64 = 5;
/// Rows, and rows of each class, that leave two halves something, also when one row is left over.
const ROWS_TO_HALVE: u64 = 4;
const POINTER: &str = "#/spec/selection";

impl FitSpec {
    pub(super) fn resolve_selection(&self, meta: &Meta, loss: &Loss, warnings: &mut Vec<Warning>, problems: &mut Problems) -> Selection {
        let path = matches!(self.lambda, AskedLambda::Path { .. } | AskedLambda::Values(_));
        let usual = if path { AskedSelection::Held(AskedHeld::default()) } else { AskedSelection::None };
        let held = match self.selection.clone().unwrap_or(usual) {
            AskedSelection::None => return Selection::None,
            AskedSelection::Criterion(criterion) => return criterion,
            AskedSelection::Stability(asked) => return resolve_stability(&asked, meta, loss, problems),
            AskedSelection::Held(held) => held,
        };
        let n_rows = meta.shape[0];
        if held.folds.is_some_and(|folds| folds > n_rows) && held.fold_of_row.is_none() {
            problems.add(&at("folds"), "out_of_range", format!("must be at most the number of rows, {n_rows}"));
        }
        if n_rows < 2 {
            problems.add(POINTER, "conflict", "no row of one can be held out; use {\"method\":\"none\"}");
        }
        if smallest_side(meta, loss).is_some_and(|rows| rows < 2) {
            let detail = "holding rows out needs two rows of every class; use {\"method\":\"none\"}";
            problems.add(POINTER, "conflict", detail);
        }
        let classes = matches!(loss, Loss::Logistic { .. } | Loss::Multinomial);
        if held.stratify == Some(true) && !classes {
            problems.add(&at("stratify"), "conflict", "only classes can be stratified; this loss has none");
        }
        let dealt = held.groups.is_none() && held.fold_of_row.is_none();
        let stratify = held.stratify.unwrap_or(classes && dealt);
        let n_groups = held.groups.as_deref().map(|groups| groups.iter().max().map_or(0, |most| u64::from(*most) + 1));
        check_length(held.groups.as_deref(), "groups", n_rows, problems);
        check_length(held.fold_of_row.as_deref(), "fold_of_row", n_rows, problems);
        if n_groups.is_some_and(|groups| groups < 2) {
            problems.add(&at("groups"), "conflict", "all rows are of one group: none can be held out");
        }
        let rule = held.rule.unwrap_or(Rule::Min);
        let (seed, metric, within_pct) = (held.seed, "deviance".to_owned(), held.within_pct);
        if let Some(fraction) = held.fraction {
            return Selection::Holdout(Holdout {
                fraction,
                stratify,
                seed,
                metric,
                rule,
                within_pct,
                groups: held.groups.unwrap_or_default(),
            });
        }
        let folds = match (&held.fold_of_row, n_groups) {
            (Some(of_row), _) => check_given(&held, of_row, rule, problems),
            (None, Some(groups)) => folds_of_groups(held.folds, groups, warnings, problems),
            (None, None) => held.folds.unwrap_or_else(|| default_folds(n_rows, "rows", warnings)),
        };
        Selection::Cv(CrossValidation {
            folds,
            stratify,
            seed,
            metric,
            rule,
            within_pct,
            repeats: held.repeats.unwrap_or(1),
            groups: held.groups.unwrap_or_default(),
            fold_of_row: held.fold_of_row.unwrap_or_default(),
        })
    }
}

/// Halves that every class is in.
fn resolve_stability(asked: &AskedStability, meta: &Meta, loss: &Loss, problems: &mut Problems) -> Selection {
    let classes = loss.has_classes();
    if asked.stratify == Some(true) && !classes {
        problems.add(&at("stratify"), "conflict", "only classes can be stratified; this loss has none");
    }
    if meta.shape[0] < ROWS_TO_HALVE {
        problems.add(POINTER, "conflict", format!("halves of the rows choose; {} rows are too few for halves", meta.shape[0]));
    } else if smallest_side(meta, loss).is_some_and(|rows| rows < ROWS_TO_HALVE) {
        problems.add(POINTER, "conflict", format!("both halves of the rows need rows of every class; one has fewer than {ROWS_TO_HALVE}"));
    }
    let &AskedStability { resamples, seed, stratify, threshold, expected_false } = asked;
    Selection::Stability(Stability { resamples, seed, stratify: stratify.unwrap_or(classes), threshold, expected_false })
}

/// Folds of all repeats are bounded as folds are.
pub(super) fn check_repeats(held: &AskedHeld, limits: &SpecLimits, problems: &mut Problems) {
    let (repeats, folds) = (held.repeats.unwrap_or(1), held.folds.unwrap_or(FOLDS));
    if repeats > 1 && repeats.saturating_mul(folds) > limits.folds {
        let detail = format!("{repeats} times {folds} folds are more than {} in all", limits.folds);
        problems.add(&at("repeats"), "out_of_range", detail);
    }
}

fn at(key: &str) -> String {
    format!("{POINTER}/{key}")
}

fn check_length<T>(items: Option<&[T]>, key: &str, n_rows: u64, problems: &mut Problems) {
    if let Some(items) = items.filter(|items| items.len() as u64 != n_rows) {
        problems.add(&at(key), "conflict", format!("must have an item for each of {n_rows} rows, has {}", items.len()));
    }
}

/// Folds that the client assigned: their number.
fn check_given(held: &AskedHeld, of_row: &[i32], rule: Rule, problems: &mut Problems) -> u64 {
    let folds = of_row.iter().max().map_or(0, |most| (most + 1).max(0) as u64);
    let mut used = vec![false; folds as usize];
    of_row.iter().filter(|fold| **fold >= 0).for_each(|fold| used[*fold as usize] = true);
    if folds == 0 {
        problems.add(&at("fold_of_row"), "conflict", "no row is held out");
    } else if let Some(empty) = used.iter().position(|used| !used) {
        problems.add(&at("fold_of_row"), "conflict", format!("no row is of fold {empty}, but one is of fold {}", folds - 1));
    } else if folds == 1 && of_row.iter().all(|fold| *fold == 0) {
        problems.add(&at("fold_of_row"), "conflict", "every row is held out by the only fold: none is left to fit");
    }
    if folds == 1 && rule == Rule::OneSe {
        problems.add(&at("rule"), "conflict", "one split has no standard error; use min or sparsest_within_pct");
    }
    if held.folds.is_some_and(|asked| asked != folds) {
        problems.add(&at("folds"), "conflict", format!("fold_of_row makes {folds} folds"));
    }
    folds
}

fn folds_of_groups(asked: Option<u64>, groups: u64, warnings: &mut Vec<Warning>, problems: &mut Problems) -> u64 {
    if let Some(folds) = asked.filter(|folds| *folds > groups && groups >= 2) {
        problems.add(&at("folds"), "out_of_range", format!("must be at most the number of groups, {groups}, got {folds}"));
    }
    asked.unwrap_or_else(|| default_folds(groups, "groups", warnings))
}

pub(super) fn default_folds(n: u64, of: &str, warnings: &mut Vec<Warning>) -> u64 {
    if n < FOLDS {
        let detail = format!("{n} {of} make {n} folds, not the usual {FOLDS}.");
        warnings.push(Warning { code: "fewer_folds".into(), detail, features: Vec::new() });
    }
    FOLDS.min(n).max(2)
}
