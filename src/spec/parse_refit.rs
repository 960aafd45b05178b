//! Parts of a fit that build on another fit: the refit of a support, and the pilot of adaptive factors.

use serde_json::Value;

use super::fields::{Fields, Problems, show};
use super::{Adaptive, L1Ratio, Pilot, Refit};

/// Most values to choose from, of one kind.
const CHOICES_MAX: usize = 20;
/// Largest exponent of adaptive factors.
const EXPONENT_MAX: f64 = 10.0;

pub(super) fn parse_refit(value: &Value, problems: &mut Problems) -> Option<Refit> {
    let mut refit = Fields::open(value, "#/spec/refit", problems)?;
    let pointer = refit.at("relaxed_gamma");
    let gammas = refit.need("relaxed_gamma", problems).and_then(|value| parse_choices(value, &pointer, problems));
    refit.close(problems);
    let mut relaxed_gamma = gammas?;
    relaxed_gamma.reverse();
    Some(Refit { relaxed_gamma })
}

/// One `l1_ratio`, or several to choose from; several equal ones are one.
pub(super) fn parse_ratio(value: &Value, pointer: &str, problems: &mut Problems) -> Option<L1Ratio> {
    let ratios = parse_choices(value, pointer, problems)?;
    Some(if let [ratio] = ratios[..] { L1Ratio::One(ratio) } else { L1Ratio::Several(ratios) })
}

/// A number in [0, 1] or an array of such, rising and each once.
fn parse_choices(value: &Value, pointer: &str, problems: &mut Problems) -> Option<Vec<f64>> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    if items.is_empty() || items.len() > CHOICES_MAX {
        problems.add(pointer, "out_of_range", format!("must hold 1 to {CHOICES_MAX} values, got {}", items.len()));
        return None;
    }
    let mut choices = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let place = if value.is_array() { format!("{pointer}/{index}") } else { pointer.to_owned() };
        match item.as_f64() {
            // + 0 makes a zero of a negative zero
            Some(choice) if (0.0..=1.0).contains(&choice) => choices.push(choice + 0.0),
            Some(_) => problems.add(&place, "out_of_range", format!("must be in [0, 1], got {}", show(item))),
            None => problems.add(&place, "invalid_field", format!("must be a number, got {}", show(item))),
        }
    }
    if choices.len() < items.len() {
        return None;
    }
    choices.sort_by(f64::total_cmp);
    choices.dedup();
    Some(choices)
}

pub(super) fn parse_adaptive(value: &Value, problems: &mut Problems) -> Option<Adaptive> {
    let mut adaptive = Fields::open(value, "#/spec/penalty/adaptive", problems)?;
    let given = adaptive.take("gamma").is_some();
    let range = format!("greater than 0 and at most {EXPONENT_MAX}");
    let gamma = adaptive.number("gamma", &range, |gamma| gamma > 0.0 && gamma <= EXPONENT_MAX, problems);
    let pilot = adaptive.word("pilot", &["ridge", "l1"], problems);
    adaptive.close(problems);
    let pilot = if pilot == Some("l1") { Pilot::L1 } else { Pilot::Ridge };
    let gamma = if given { gamma? } else { 1.0 };
    Some(Adaptive { gamma, pilot })
}
