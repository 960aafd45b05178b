//! Where models differ: the rows that two of them say the most different things of, and how different on the average.

use super::super::TrainError;
use super::said::{Known, Said};
use super::{Field, Row};
use crate::dataset::{Class, Dataset};
use crate::model::{DisagreedRow, Disagreement};

/// Rows that are told of a pair.
const ROWS: usize = 10;
/// Up to so many models every pair is looked at.
const ALL_PAIRS: usize = 6;

/// Every pair of few models, or of many each with the first; and each model with its twin.
fn pairs(rows: &[Row]) -> Vec<[usize; 2]> {
    let named: Vec<usize> = (0..rows.len()).filter(|at| !rows[*at].twin).collect();
    let all = named.len() <= ALL_PAIRS;
    let firsts = &named[..if all { named.len() } else { named.len().min(1) }];
    let mut pairs: Vec<[usize; 2]> =
        firsts.iter().flat_map(|&one| named.iter().filter(move |&&other| other > one).map(move |&other| [one, other])).collect();
    let of = |twin: &usize| named.iter().find(|at| rows[**at].of == rows[*twin].of).map(|at| [*at, *twin]);
    pairs.extend((0..rows.len()).filter(|at| rows[*at].twin).filter_map(|twin| of(&twin)));
    pairs.sort_unstable();
    pairs
}

/// Looks at the pairs, one after another.
pub(super) fn measure(field: &Field<'_>) -> Result<Vec<Disagreement>, TrainError> {
    let known = Known::of(field.score, field.dataset, field.rows)?;
    let pairs = pairs(field.rows);
    let mut told = Vec::with_capacity(pairs.len());
    for (at, pair) in pairs.iter().enumerate() {
        field.pace.done(at, pairs.len());
        told.push(of_pair(field, *pair, &known)?);
    }
    Ok(told)
}

pub(super) fn of_pair(field: &Field<'_>, pair: [usize; 2], known: &Known) -> Result<Disagreement, TrainError> {
    let Field { dataset, said, pace, .. } = *field;
    let [one, other] = pair.map(|at| &said[at]);
    let mut apart = Apart { one, other, buffers: [vec![0.0; known.classes.len()], vec![0.0; known.classes.len()]] };
    let (mut total, mut sum, mut labels) = (0.0, 0.0, 0.0);
    let mut most: Vec<(f64, usize)> = Vec::with_capacity(ROWS + 1);
    for row in 0..dataset.y.len() {
        pace.work(8 + 8 * (one.width() + other.width()))?;
        let weight = dataset.weights.as_ref().map_or(1.0, |weights| weights[row]);
        if weight > 0.0 {
            let (difference, differ) = apart.at(row);
            total += weight;
            sum += weight * difference;
            labels += if differ { weight } else { 0.0 };
            let enters = difference > 0.0 && (most.len() < ROWS || most.last().is_some_and(|least| difference > least.0));
            if enters {
                // of equal differences the first rows stay first
                let place = most.partition_point(|kept| kept.0 >= difference);
                most.insert(place, (difference, row));
                most.truncate(ROWS);
            }
        }
    }
    let share = |part: f64| Some(part / total).filter(|share| share.is_finite());
    let comparable = one.is_number() || (one.has_probabilities() && other.has_probabilities());
    let row = |(difference, row): (f64, usize)| DisagreedRow {
        row: row as u64,
        y: label(dataset, row),
        predictions: [one.prediction(row, known), other.prediction(row, known)],
        difference,
    };
    Ok(Disagreement {
        pair: pair.map(|at| at as u64),
        mean_difference: share(sum).filter(|_| comparable),
        labels_differ: share(labels).filter(|_| !one.is_number()),
        rows: most.into_iter().map(row).collect(),
    })
}

/// How far apart two models are.
struct Apart<'a> {
    one: &'a Said,
    other: &'a Said,
    buffers: [Vec<f64>; 2],
}

impl Apart<'_> {
    /// The distance of what is said of a row, and whether the labels differ. Where one of the two has no probabilities, the
    /// labels alone count.
    fn at(&mut self, row: usize) -> (f64, bool) {
        let (one, other) = (self.one, self.other);
        if one.is_number() {
            return ((one.number(row) - other.number(row)).abs().min(f64::MAX), false);
        }
        let differ = one.label(row) != other.label(row);
        if !one.has_probabilities() || !other.has_probabilities() {
            return (f64::from(u8::from(differ)), differ);
        }
        let [p, q] = &mut self.buffers;
        one.spread(row, p);
        other.spread(row, q);
        // total variation; of two classes the distance of the probabilities
        (p.iter().zip(q.iter()).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0, differ)
    }
}

/// What is true of a row, as it was uploaded.
fn label(dataset: &Dataset, row: usize) -> Class {
    let y = dataset.y[row];
    let classes = dataset.meta.target.classes.as_ref();
    classes.and_then(|classes| classes.get(y as usize)).cloned().unwrap_or(Class::Number(y))
}
