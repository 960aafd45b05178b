//! Rules: where trees send a row, said by conditions on its features. Which rows of a matrix a rule holds for is found by columns.
//!
//! Friedman & Popescu, "Predictive learning via rule ensembles", Annals of Applied Statistics 2008: every node but the root is a rule, the
//! conjunction of the splits above it. Here the conditions on one feature are one interval, and a rule is told once.

use std::collections::HashSet;

use super::clock::{BLOCK, Clock};
use super::{Observe, Tree, Unfit};
use crate::matrix::{ColumnsView, Number, ValuesView};

/// `low` < x ≤ `high` of one feature; −∞ and ∞ where there is no such condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The feature, as [`ColumnsView::features`] names it.
    pub feature: u32,
    /// x is greater.
    pub low: f64,
    /// x is at most this.
    pub high: f64,
}

impl Interval {
    /// Whether `x` lies in it.
    pub fn contains(&self, x: f64) -> bool {
        self.low < x && x <= self.high
    }
}

/// A conjunction of intervals, one a feature, by rising feature; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What must hold.
    pub intervals: Vec<Interval>,
}

/// The rows that a rule holds for, or those that it does not hold for: whichever are fewer, but for rounding of a half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Rising.
    pub rows: Vec<u32>,
    /// The rule holds for all rows but these.
    pub inverted: bool,
}

impl Rule {
    /// Whether it holds for a row given by what it holds of each feature, 0 where it holds nothing.
    pub fn holds(&self, x: impl Fn(u32) -> f64) -> bool {
        self.intervals.iter().all(|interval| interval.contains(x(interval.feature)))
    }

    /// This rule or, where it has one condition alone that 0 fulfils, its negation: of the two children of a root one says all.
    fn told_once(mut self) -> Self {
        if let [only] = self.intervals.as_mut_slice()
            && only.contains(0.0)
        {
            if only.high == f64::INFINITY {
                (only.low, only.high) = (f64::NEG_INFINITY, only.low);
            } else if only.low == f64::NEG_INFINITY {
                (only.low, only.high) = (only.high, f64::INFINITY);
            }
        }
        self
    }

    fn key(&self) -> Vec<(u32, u64, u64)> {
        self.intervals.iter().map(|interval| (interval.feature, interval.low.to_bits(), interval.high.to_bits())).collect()
    }

    /// Adds `x ≤ threshold`, or `x > threshold`.
    fn and(&self, feature: u32, threshold: f64, below: bool) -> Self {
        // −0 is 0
        let threshold = threshold + 0.0;
        let mut intervals = self.intervals.clone();
        let at = intervals.partition_point(|one| one.feature < feature);
        if intervals.get(at).is_none_or(|one| one.feature != feature) {
            intervals.insert(at, Interval { feature, low: f64::NEG_INFINITY, high: f64::INFINITY });
        }
        let interval = &mut intervals[at];
        if below {
            interval.high = interval.high.min(threshold);
        } else {
            interval.low = interval.low.max(threshold);
        }
        Self { intervals }
    }

    /// The rows of a matrix that it holds for. Looks at the columns of its features once, and at all rows only where most of them
    /// lie on the side that is not told.
    pub fn rows(&self, x: ColumnsView, observe: &Observe) -> Result<Held, Unfit> {
        self.rows_with(x, &mut Clock::new(observe, None))
    }

    pub(crate) fn rows_with(&self, x: ColumnsView, clock: &mut Clock) -> Result<Held, Unfit> {
        let mut held = match x.values {
            ValuesView::Single(values) => self.rows_typed(x, values, clock)?,
            ValuesView::Double(values) => self.rows_typed(x, values, clock)?,
        };
        if held.rows.len() > x.n_rows / 2 {
            let mut rest = Vec::with_capacity(x.n_rows - held.rows.len());
            let mut next = held.rows.iter().copied().peekable();
            for start in (0..x.n_rows as u32).step_by(BLOCK) {
                clock.work(BLOCK)?;
                rest.extend((start..(x.n_rows as u32).min(start + BLOCK as u32)).filter(|row| next.next_if_eq(row).is_none()));
            }
            held = Held { rows: rest, inverted: !held.inverted };
        }
        Ok(held)
    }

    /// What tells the rule from a row that holds nothing: where 0 breaks it the rows that fulfil every condition, else those that
    /// break any. Either are rows of a few columns.
    fn rows_typed<V: Number>(&self, x: ColumnsView, values: &[V], clock: &mut Clock) -> Result<Held, Unfit> {
        let mut entries = |interval: &Interval, inside: bool| -> Result<Vec<u32>, Unfit> {
            let mut found = Vec::new();
            let Some(column) = x.position(interval.feature) else { return Ok(found) };
            let column = x.column(column, values);
            for (rows, values) in column.rows.chunks(BLOCK).zip(column.values.chunks(BLOCK)) {
                clock.work(rows.len())?;
                let hits = rows.iter().zip(values).filter(|(_, value)| interval.contains((**value).into()) == inside);
                found.extend(hits.map(|(row, _)| *row));
            }
            Ok(found)
        };
        let (zeros_in, zeros_out): (Vec<&Interval>, Vec<&Interval>) = self.intervals.iter().partition(|interval| interval.contains(0.0));
        let mut broken = Vec::new();
        for interval in &zeros_in {
            broken = union(&broken, &entries(interval, false)?);
        }
        let Some((first, others)) = zeros_out.split_first() else { return Ok(Held { rows: broken, inverted: true }) };
        let mut rows = entries(first, true)?;
        for interval in others {
            let also = entries(interval, true)?;
            keep(&mut rows, &also, true);
        }
        keep(&mut rows, &broken, false);
        Ok(Held { rows, inverted: false })
    }
}

/// The rows of either.
fn union(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut all = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    while let (Some(&left), Some(&right)) = (a.peek(), b.peek()) {
        all.push(left.min(right));
        if left <= right {
            a.next();
        }
        if right <= left {
            b.next();
        }
    }
    all.extend(a);
    all.extend(b);
    all
}

/// Keeps those rows that are among `others`, or those that are not.
fn keep(rows: &mut Vec<u32>, others: &[u32], among: bool) {
    let mut others = others.iter().copied().peekable();
    rows.retain(|row| {
        while others.next_if(|other| other < row).is_some() {}
        (others.peek() == Some(row)) == among
    });
}

/// The rules of trees, in the order of the trees and of their nodes, each told once: a rule is the same as another of the same
/// intervals, and one of a single condition the same as its negation. No more than `most`.
pub fn rules_of<'t>(trees: impl IntoIterator<Item = &'t Tree>, most: usize) -> Vec<Rule> {
    let (mut rules, mut seen) = (Vec::new(), HashSet::new());
    for tree in trees {
        let mut due = vec![(0, Rule { intervals: Vec::new() })];
        while let Some((at, rule)) = due.pop() {
            let split = tree.nodes()[at].split;
            if let Some(split) = split {
                due.push((split.right as usize, rule.and(split.feature, split.threshold, false)));
                due.push((split.left as usize, rule.and(split.feature, split.threshold, true)));
            }
            if at == 0 {
                continue;
            }
            let rule = rule.told_once();
            if seen.insert(rule.key()) {
                if rules.len() >= most {
                    return rules;
                }
                rules.push(rule);
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use proptest::prelude::*;

    use super::super::{Node, Split};
    use super::*;
    use crate::matrix::{Columns, Values};

    const OPEN: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

    fn node(split: Option<(u32, f64, u32, u32)>) -> Node {
        let split = split.map(|(feature, threshold, left, right)| Split { feature, threshold, left, right });
        Node { split, weight: 1.0, impurity: 0.0 }
    }

    fn rule(intervals: &[(u32, f64, f64)]) -> Rule {
        Rule { intervals: intervals.iter().map(|&(feature, low, high)| Interval { feature, low, high }).collect() }
    }

    /// x3 ≤ 0.5 ? (x1 ≤ −1 ? · : (x3 ≤ −2 ? · : ·)) : ·
    fn tree() -> Tree {
        let nodes = vec![
            node(Some((3, 0.5, 1, 6))),
            node(Some((1, -1.0, 2, 3))),
            node(None),
            node(Some((3, -2.0, 4, 5))),
            node(None),
            node(None),
            node(None),
        ];
        Tree::new(1, nodes, vec![0.0; 7]).unwrap()
    }

    #[test]
    fn every_node_but_the_root_is_a_rule_and_a_condition_and_its_negation_are_one() {
        let expected = vec![
            // 0 fulfils x3 ≤ 0.5: its negation is told
            rule(&[(3, 0.5, OPEN.1)]),
            rule(&[(1, OPEN.0, -1.0), (3, OPEN.0, 0.5)]),
            rule(&[(1, -1.0, OPEN.1), (3, OPEN.0, 0.5)]),
            // what x3 ≤ 0.5 says besides x3 ≤ −2 is nothing
            rule(&[(1, -1.0, OPEN.1), (3, OPEN.0, -2.0)]),
            rule(&[(1, -1.0, OPEN.1), (3, -2.0, 0.5)]),
        ];
        assert_eq!(rules_of([&tree()], 100), expected);
        assert_eq!(rules_of([&tree(), &tree()], 100), expected, "the same rules are told once");
        assert_eq!(rules_of([&tree()], 2), expected[..2]);
        assert_eq!(rules_of([&Tree::new(1, vec![node(None)], vec![0.0]).unwrap()], 9), []);
    }

    fn matrix() -> impl Strategy<Value = Vec<Vec<i8>>> {
        proptest::collection::vec(proptest::collection::vec(prop_oneof![3 => Just(0i8), 2 => -3..4i8], 4), 1..40)
    }

    fn columns(table: &[Vec<i8>]) -> Columns {
        let (mut features, mut offsets, mut rows, mut values) = (Vec::new(), vec![0u64], Vec::new(), Vec::new());
        for j in 0..4 {
            for (i, row) in table.iter().enumerate().filter(|(_, row)| row[j] != 0) {
                rows.push(i as u32);
                values.push(f32::from(row[j]));
            }
            if rows.len() as u64 > *offsets.last().unwrap() {
                features.push(j as u32 + 2);
                offsets.push(rows.len() as u64);
            }
        }
        Columns::new(table.len(), features.into(), offsets.into(), rows.into(), Values::Single(values.into())).unwrap()
    }

    proptest! {
        #[test]
        fn the_rows_found_by_columns_are_those_found_row_by_row(
            table in matrix(),
            bounds in proptest::collection::vec((0..4u32, -4..4i8, 0..6i8, any::<bool>(), any::<bool>()), 1..4),
        ) {
            let mut intervals: Vec<Interval> = bounds
                .iter()
                .map(|&(feature, low, wide, below, above)| Interval {
                    feature: feature + 2,
                    low: if below { f64::NEG_INFINITY } else { f64::from(low) + 0.5 },
                    high: if above { f64::INFINITY } else { f64::from(low + wide) + 0.5 },
                })
                .collect();
            intervals.sort_by_key(|interval| interval.feature);
            intervals.dedup_by_key(|interval| interval.feature);
            let rule = Rule { intervals };
            let columns = columns(&table);
            let held = rule.rows(columns.view(), &|_| ControlFlow::Continue(())).unwrap();
            prop_assert!(held.rows.len() <= table.len().div_ceil(2));
            for (i, row) in table.iter().enumerate() {
                let holds = rule.holds(|feature| f64::from(row[feature as usize - 2]));
                prop_assert_eq!(held.rows.contains(&(i as u32)) != held.inverted, holds, "row {}", i);
            }
            let once = rule.clone().told_once();
            let same = once == rule;
            for row in &table {
                let x = |feature: u32| f64::from(row[feature as usize - 2]);
                prop_assert_eq!(once.holds(x) == rule.holds(x), same);
            }
        }
    }
}
