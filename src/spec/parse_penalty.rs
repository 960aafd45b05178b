//! The penalty of a fit, as far as it can be judged without the data.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{Fields, Problems, show};
use super::parse_fit::transpose;
use super::parse_refit::{parse_adaptive, parse_ratio};
use super::{L1Ratio, Penalty};
use crate::json::segment;

const KINDS: [&str; 8] = ["l1", "l2", "elastic_net", "group", "sparse_group", "mcp", "scad", "l0"];
/// γ without a word of the client's: that of Zhang (2010), and that of Fan & Li (2001).
const GAMMA_MCP: f64 = 3.0;
const GAMMA_SCAD: f64 = 3.7;
/// From here on both are the lasso to all digits.
const GAMMA_MAX: f64 = 1e6;

pub(super) fn parse_penalty(value: &Value, problems: &mut Problems) -> Option<Penalty> {
    let mut penalty = Fields::open(value, "#/spec/penalty", problems)?;
    let kind = penalty.need("type", problems).and(penalty.word("type", &KINDS, problems));
    let l1_ratio = parse_l1_ratio(kind, &mut penalty, problems);
    let gamma = parse_gamma(kind, &mut penalty, problems);
    let groups = penalty.take("groups").map_or_else(BTreeMap::new, |value| parse_groups(value, problems));
    let grouped = matches!(kind, Some("group" | "sparse_group"));
    match (kind, value.get("groups").is_some()) {
        (Some(kind), true) if !grouped => problems.add(&penalty.at("groups"), "conflict", format!("{kind} has no groups")),
        (Some(kind), false) if grouped => problems.add(&penalty.at("groups"), "missing", format!("{kind} needs `groups`")),
        _ => {}
    }
    let factors = penalty.take("factors").map_or_else(BTreeMap::new, |value| parse_factors(value, problems));
    if kind == Some("group") && !factors.is_empty() {
        let detail = "factors are of the l1 part, which group does not have; use sparse_group";
        problems.add(&penalty.at("factors"), "conflict", detail);
    }
    let adaptive = penalty.take("adaptive").map(|value| parse_adaptive(value, problems));
    if let (Some(kind), true) = (kind, adaptive.is_some()) {
        let ridge = kind == "l2" || l1_ratio.as_ref().is_some_and(|ratio| ratio.all().contains(&0.0));
        if ridge || !matches!(kind, "l1" | "elastic_net") {
            problems.add(&penalty.at("adaptive"), "conflict", "adaptive factors are for l1 and elastic_net with an l1 part");
        }
    }
    penalty.close(problems);
    Some(Penalty { kind: kind?.into(), l1_ratio: l1_ratio?, gamma: gamma?, groups, factors, adaptive: transpose(adaptive)? })
}

fn parse_l1_ratio(kind: Option<&str>, penalty: &mut Fields<'_>, problems: &mut Problems) -> Option<L1Ratio> {
    let given = penalty.take("l1_ratio");
    let pointer = penalty.at("l1_ratio");
    let ratio = given.and_then(|value| parse_ratio(value, &pointer, problems));
    let implied = match kind {
        Some("l1" | "mcp" | "scad" | "l0") => Some(1.0),
        Some("l2" | "group") => Some(0.0),
        _ => None,
    };
    match (kind, implied) {
        (Some(kind @ ("elastic_net" | "sparse_group")), _) if given.is_none() => {
            problems.add(&pointer, "missing", format!("{kind} needs `l1_ratio`"));
        }
        (Some("sparse_group"), _) if ratio.as_ref().is_some_and(|ratio| ratio.all().contains(&1.0)) => {
            problems.add(&pointer, "out_of_range", "must be in [0, 1) for sparse_group; at 1 it is l1");
        }
        (Some(kind), Some(implied)) if ratio.as_ref().is_some_and(|ratio| *ratio != L1Ratio::One(implied)) => {
            let mix = if kind == "group" { "; use sparse_group to mix" } else { "; use elastic_net to mix" };
            problems.add(&pointer, "conflict", format!("{kind} means l1_ratio {implied}{mix}"));
        }
        _ => {}
    }
    implied.map(L1Ratio::One).or(ratio)
}

/// `None` = wrong.
fn parse_gamma(kind: Option<&str>, penalty: &mut Fields<'_>, problems: &mut Problems) -> Option<Option<f64>> {
    let given = penalty.take("gamma").is_some();
    let (least, usual) = match kind {
        Some("mcp") => (1.0, GAMMA_MCP),
        Some("scad") => (2.0, GAMMA_SCAD),
        Some(kind) if given => {
            problems.add(&penalty.at("gamma"), "conflict", format!("{kind} has no gamma"));
            return None;
        }
        _ => return Some(None),
    };
    if !given {
        return Some(Some(usual));
    }
    let range = format!("greater than {least} and at most {GAMMA_MAX}");
    penalty.number("gamma", &range, |gamma| gamma > least && gamma <= GAMMA_MAX, problems).map(Some)
}

/// Features by name or index; that none is in two groups is seen with the names of the data set at hand.
fn parse_groups(value: &Value, problems: &mut Problems) -> BTreeMap<String, Vec<String>> {
    const POINTER: &str = "#/spec/penalty/groups";
    let mut groups = BTreeMap::new();
    if Fields::open(value, POINTER, problems).is_none() {
        return groups;
    }
    if value.as_object().is_some_and(serde_json::Map::is_empty) {
        problems.add(POINTER, "out_of_range", "must hold at least one group");
    }
    for (name, members) in value.as_object().into_iter().flatten() {
        let pointer = format!("{POINTER}{}", segment(name));
        let Some(items) = members.as_array() else {
            problems.add(&pointer, "invalid_field", format!("must be an array of features, got {}", show(members)));
            continue;
        };
        if items.is_empty() {
            problems.add(&pointer, "out_of_range", "must hold at least one feature");
        }
        let mut features = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            match (item.as_str(), item.as_u64()) {
                (Some(name), _) => features.push(name.to_owned()),
                (None, Some(index)) => features.push(index.to_string()),
                _ => {
                    let detail = format!("must be a name or an index, got {}", show(item));
                    problems.add(&format!("{pointer}/{place}"), "invalid_field", detail);
                }
            }
        }
        groups.insert(name.clone(), features);
    }
    groups
}

fn parse_factors(value: &Value, problems: &mut Problems) -> BTreeMap<String, f64> {
    let Some(fields) = Fields::open(value, "#/spec/penalty/factors", problems) else { return BTreeMap::new() };
    let mut factors = BTreeMap::new();
    for (feature, value) in value.as_object().into_iter().flatten() {
        match value.as_f64() {
            Some(factor) if factor >= 0.0 => {
                factors.insert(feature.clone(), factor);
            }
            Some(_) => problems.add(&fields.at(feature), "out_of_range", format!("must be at least 0, got {}", show(value))),
            None => problems.add(&fields.at(feature), "invalid_field", format!("must be a number, got {}", show(value))),
        }
    }
    factors
}
