//! Which model to take: the smallest of those that are not shown to be worse than the best.
//!
//! Shown means: the interval of the paired difference to the best lies below 0. Small means bytes of parameters, the one
//! measure that models of all kinds share.

use super::Row;
use super::quality::Quality;
use crate::model::{ComparedModel, Recommendation};
use crate::spec::ScoreName;

/// `None` where no model has a score.
pub(super) fn recommend(quality: &Quality, data: &[ComparedModel], rows: &[Row], score: ScoreName) -> Option<Recommendation> {
    let scored: Vec<(usize, f64)> = quality.whole.iter().enumerate().filter_map(|(at, score)| Some((at, (*score)?))).collect();
    let bytes = |at: usize| rows[at].model.parameter_bytes();
    // of equal scores the smaller model is the better one, of equal sizes the first
    let best = scored.iter().copied().reduce(|best, next| {
        let better = next.1 > best.1 || (next.1 == best.1 && bytes(next.0) < bytes(best.0));
        if better { next } else { best }
    })?;
    let within = |at: usize| at == best.0 || quality.difference(at, best.0).1.is_some_and(|[_, high]| high >= 0.0);
    let as_good: Vec<(usize, f64)> = scored.iter().copied().filter(|(at, _)| within(*at)).collect();
    let pick = as_good.iter().copied().reduce(|pick, next| {
        let better = bytes(next.0) < bytes(pick.0) || (bytes(next.0) == bytes(pick.0) && next.1 > pick.1);
        if better { next } else { pick }
    })?;
    let (difference, ends) = quality.difference(pick.0, best.0);
    let (low, high) = ends.map(|[low, high]| (low, high)).unzip();
    let place = Places { data, scored: &scored, as_good: as_good.len(), name: score.as_str() };
    let mut sentence = place.sentence(pick, best, ends, &bytes);
    if data[pick.0].twin {
        sentence.push_str(" It is not registered: fit it under a name to have it.");
    }
    if data[pick.0].on_training_rows || data[best.0].on_training_rows {
        sentence.push_str(" These are rows that a model was fitted on: rows held out may say otherwise.");
    }
    Some(Recommendation {
        index: pick.0 as u64,
        reference: data[pick.0].reference.clone(),
        twin: data[pick.0].twin,
        best: best.0 as u64,
        difference: difference.unwrap_or(0.0),
        difference_low: low,
        difference_high: high,
        sentence,
    })
}

struct Places<'a> {
    data: &'a [ComparedModel],
    scored: &'a [(usize, f64)],
    as_good: usize,
    name: &'a str,
}

impl Places<'_> {
    fn sentence(&self, pick: (usize, f64), best: (usize, f64), ends: Option<[f64; 2]>, bytes: &dyn Fn(usize) -> u64) -> String {
        let (name, title) = (self.name, self.data[pick.0].title());
        let size = plain_bytes(bytes(pick.0));
        if self.scored.len() == 1 {
            return format!("Take {title}: it is the only one with a score, {name} {:.4}.", pick.1);
        }
        if pick.0 == best.0 {
            let why = if self.scored.iter().all(|one| bytes(one.0) >= bytes(pick.0)) {
                "and no other is smaller".to_owned()
            } else {
                "and every smaller one is shown to be worse".to_owned()
            };
            return format!("Take {title}: it has the best {name}, {:.4}, {why} ({size} of parameters).", pick.1);
        }
        let interval = ends.map_or_else(String::new, |[low, high]| {
            format!(", and the 95 % interval of the difference, {} to {}, does not show it to be worse", signed(low), signed(high))
        });
        format!(
            "Take {title}: its {name} {:.4} is {} below the best, {:.4} of {}{interval}; with {size} of parameters beside {} it is the \
             smallest of the {} of which that can be said.",
            pick.1,
            short(best.1 - pick.1),
            best.1,
            self.data[best.0].title(),
            plain_bytes(bytes(best.0)),
            self.as_good,
        )
    }
}

/// Two significant digits.
fn short(number: f64) -> String {
    if number == 0.0 {
        return "0".into();
    }
    let digits = (1.0 - number.abs().log10().floor()).clamp(0.0, 12.0) as usize;
    format!("{number:.digits$}")
}

fn signed(number: f64) -> String {
    short(number).replace('-', "−")
}

fn plain_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
