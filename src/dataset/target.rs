//! The target: labels collected as they come, their kind, classes and counts.
//!
//! Knows no losses; whether a loss can serve a kind is the specification's business.

use std::collections::HashMap;

use super::{Class, Target, TargetKind};
use crate::fault::{Code, Fault};

/// More distinct classes than this are no classes.
const CLASSES_MAX: usize = 10_000;

/// Labels in row order: numbers as they are, or positions in a list of distinct classes once a text has come.
pub(super) enum Labels {
    /// Only numbers so far.
    Numbers(Vec<f64>),
    /// At least one text.
    Classes(Interned),
}

/// Labels as positions of distinct classes.
pub(super) struct Interned {
    classes: Vec<Class>,
    of_text: HashMap<String, u32>,
    of_number: HashMap<u64, u32>,
    rows: Vec<f64>,
}

impl Default for Labels {
    fn default() -> Self {
        Self::Numbers(Vec::new())
    }
}

impl Labels {
    /// A finite number.
    pub(super) fn number(&mut self, value: f64) -> Result<(), Fault> {
        let value = value + 0.0; // −0 and 0 are one label
        match self {
            Self::Numbers(rows) => rows.push(value),
            Self::Classes(interned) => interned.number(value)?,
        }
        Ok(())
    }

    /// A text.
    pub(super) fn text(&mut self, value: &str) -> Result<(), Fault> {
        if let Self::Numbers(numbers) = self {
            let mut interned = Interned {
                classes: Vec::new(),
                of_text: HashMap::new(),
                of_number: HashMap::new(),
                rows: Vec::with_capacity(numbers.len()),
            };
            for &number in numbers.iter() {
                interned.number(number)?;
            }
            *self = Self::Classes(interned);
        }
        match self {
            Self::Classes(interned) => interned.text(value),
            Self::Numbers(_) => Ok(()),
        }
    }

    /// Labels so far.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(rows) => rows.len(),
            Self::Classes(interned) => interned.rows.len(),
        }
    }

    /// The target and its entry for each row: the position in the classes where there are classes, else the value.
    pub(super) fn finish(self, name: String, asked: Option<TargetKind>) -> Result<(Target, Vec<f64>), Fault> {
        let (classes, rows, text) = match self {
            Self::Numbers(rows) => (None, rows, false),
            Self::Classes(interned) => {
                let (classes, rows) = interned.sorted();
                (Some(classes), rows, true)
            }
        };
        let kind = match asked {
            Some(TargetKind::Regression | TargetKind::Count) if text => {
                return Err(invalid("the target holds text; a number is needed for regression and counts"));
            }
            Some(kind) => kind,
            None => auto(&rows, classes.as_deref()),
        };
        if kind == TargetKind::Count && rows.iter().any(|&y| y < 0.0 || y.fract() != 0.0) {
            return Err(invalid("a count is a whole number from 0; the target holds another value"));
        }
        if matches!(kind, TargetKind::Regression | TargetKind::Count) {
            return Ok((Target { name, kind, classes: None, counts: None }, rows));
        }
        let (classes, rows) = match classes {
            Some(classes) => (classes, rows),
            None => numeric_classes(rows)?,
        };
        if kind == TargetKind::Binary && classes.len() != 2 {
            return Err(invalid(format!("a binary target has exactly two classes; this one has {}", classes.len())));
        }
        if classes.len() < 2 {
            return Err(invalid("a target of classes has at least two of them; this one has a single value"));
        }
        let mut counts = vec![0_u64; classes.len()];
        for &row in &rows {
            counts[row as usize] += 1;
        }
        Ok((Target { name, kind, classes: Some(classes), counts: Some(counts) }, rows))
    }
}

/// Exactly two distinct values → binary; any text and more than two → multiclass; else regression.
fn auto(rows: &[f64], classes: Option<&[Class]>) -> TargetKind {
    if let Some(classes) = classes {
        return if classes.len() == 2 { TargetKind::Binary } else { TargetKind::Multiclass };
    }
    let Some(&first) = rows.first() else { return TargetKind::Regression };
    let Some(&second) = rows.iter().find(|&&y| y != first) else { return TargetKind::Regression };
    if rows.iter().all(|&y| y == first || y == second) { TargetKind::Binary } else { TargetKind::Regression }
}

fn numeric_classes(mut rows: Vec<f64>) -> Result<(Vec<Class>, Vec<f64>), Fault> {
    let mut found: HashMap<u64, ()> = HashMap::new();
    for row in &rows {
        found.insert(row.to_bits(), ());
        if found.len() > CLASSES_MAX {
            return Err(too_many());
        }
    }
    let mut classes: Vec<f64> = found.into_keys().map(f64::from_bits).collect();
    classes.sort_by(f64::total_cmp);
    for row in &mut rows {
        *row = classes.binary_search_by(|class| class.total_cmp(row)).unwrap_or(0) as f64;
    }
    Ok((classes.into_iter().map(Class::Number).collect(), rows))
}

impl Interned {
    fn number(&mut self, value: f64) -> Result<(), Fault> {
        let next = self.classes.len() as u32;
        let class = *self.of_number.entry(value.to_bits()).or_insert(next);
        self.take(class, || Class::Number(value))
    }

    fn text(&mut self, value: &str) -> Result<(), Fault> {
        let class = match self.of_text.get(value) {
            Some(&class) => class,
            None => {
                if let Some(why) = super::names::illegal(value) {
                    return Err(Fault::new(Code::InvalidField, why.replace("feature name", "class")));
                }
                let next = self.classes.len() as u32;
                self.of_text.insert(value.to_owned(), next);
                next
            }
        };
        self.take(class, || Class::Text(value.to_owned()))
    }

    fn take(&mut self, class: u32, make: impl FnOnce() -> Class) -> Result<(), Fault> {
        if class as usize == self.classes.len() {
            if self.classes.len() == CLASSES_MAX {
                return Err(too_many());
            }
            self.classes.push(make());
        }
        self.rows.push(f64::from(class));
        Ok(())
    }

    /// Classes sorted bytewise by their text, and the rows' positions among them.
    fn sorted(self) -> (Vec<Class>, Vec<f64>) {
        let text = |class: &Class| match class {
            Class::Number(number) => number.to_string(),
            Class::Text(text) => text.clone(),
        };
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        order.sort_by_cached_key(|&i| (text(&self.classes[i]), i));
        let mut position = vec![0.0; order.len()];
        for (place, &class) in order.iter().enumerate() {
            position[class] = place as f64;
        }
        let rows = self.rows.into_iter().map(|class| position[class as usize]).collect();
        (order.into_iter().map(|i| self.classes[i].clone()).collect(), rows)
    }
}

fn invalid(detail: impl Into<String>) -> Fault {
    Fault::new(Code::InvalidTarget, detail)
}

fn too_many() -> Fault {
    invalid(format!("the target has more than {CLASSES_MAX} distinct classes; ask for target_kind=regression if they are numbers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64], asked: Option<TargetKind>) -> Result<(Target, Vec<f64>), Fault> {
        let mut labels = Labels::default();
        values.iter().try_for_each(|&value| labels.number(value))?;
        labels.finish("y".into(), asked)
    }

    #[test]
    fn two_values_are_binary_and_more_are_a_regression_until_classes_are_asked_for() {
        let (target, y) = numbers(&[2.0, 1.0, 2.0], None).expect("legal");
        assert_eq!((target.kind, y), (TargetKind::Binary, vec![1.0, 0.0, 1.0]));
        assert_eq!((target.classes, target.counts), (Some(vec![Class::Number(1.0), Class::Number(2.0)]), Some(vec![1, 2])));
        assert_eq!(numbers(&[2.0, 1.0, 3.0], None).expect("legal").0.kind, TargetKind::Regression);
        let (target, y) = numbers(&[10.0, 9.0, -1.0], Some(TargetKind::Multiclass)).expect("legal");
        assert_eq!(target.classes, Some(vec![Class::Number(-1.0), Class::Number(9.0), Class::Number(10.0)]));
        assert_eq!(y, [2.0, 1.0, 0.0]);
        assert_eq!(numbers(&[5.0, 5.0], None).expect("legal").0.kind, TargetKind::Regression);
    }

    #[test]
    fn a_kind_the_values_cannot_serve_is_refused() {
        for (values, kind) in [
            (&[0.0, 1.0, 2.0][..], TargetKind::Binary),
            (&[1.0, 1.0], TargetKind::Binary),
            (&[1.0, 1.0], TargetKind::Multiclass),
            (&[0.5, 1.0], TargetKind::Count),
            (&[-1.0, 1.0], TargetKind::Count),
        ] {
            assert_eq!(numbers(values, Some(kind)).expect_err("illegal").code, Code::InvalidTarget, "{values:?} as {kind:?}");
        }
        let many: Vec<f64> = (0..=CLASSES_MAX).map(|i| i as f64).collect();
        assert_eq!(numbers(&many, Some(TargetKind::Multiclass)).expect_err("too many").code, Code::InvalidTarget);
    }

    #[test]
    fn texts_are_classes_sorted_bytewise() {
        let mut labels = Labels::default();
        labels.number(1.0).expect("legal");
        for text in ["b", "a", "b"] {
            labels.text(text).expect("legal");
        }
        let (target, y) = labels.finish("y".into(), None).expect("legal");
        assert_eq!(target.kind, TargetKind::Multiclass);
        assert_eq!(target.classes, Some(vec![Class::Number(1.0), Class::Text("a".into()), Class::Text("b".into())]));
        assert_eq!(y, [0.0, 2.0, 1.0, 2.0]);
    }
}
