//! Where a path stands between two λ: what to keep of it so that another process goes on with the same bits.
//!
//! A λ depends on the problem, on the point before it and on what the point does not show: at which intercept the
//! gradient was computed (the pass comes before the last small move of the intercept), which earlier point is its
//! reference, which one the second derivatives were taken at, and for which columns products are kept with those. All matrices and vectors are pure functions of these few numbers,
//! so they are computed again.

use super::clock::Clock;
use super::descent::Engine;
use super::gradient::Gradient;
use super::newton::FLOOR;
use super::pieces::STRAIGHT;
use super::{Point, Problem};
use crate::matrix::Number;

/// What the next λ depends on besides the problem and the last point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trail {
    /// The intercept that the gradient was computed from; `None` while it is the gradient of the null model.
    pub seen: Option<f64>,
    /// Columns whose products with one another are kept, rising.
    pub gram: Vec<u32>,
    /// The point at which every column was last looked at; `None` before the first.
    pub reference: Option<Reference>,
    /// The point whose second derivatives are used; `None` before the first, and where they are the same everywhere.
    pub bend: Option<Reference>,
    /// The point before the last, of a fold; `None` where there is none, and where a path keeps its points.
    pub before: Option<Reference>,
}

impl Trail {
    /// Whether it is of a fold that goes together with others, which has no reference of its own.
    pub(super) fn is_shared(&self) -> bool {
        self.before.is_some() && self.reference.is_none()
    }
}

/// A point that is gone by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// Positions of its columns that are not at 0, rising.
    pub columns: Vec<u32>,
    /// Their coefficients.
    pub values: Vec<f64>,
    /// The intercept that its gradient was computed from.
    pub seen: f64,
}

/// Where a path goes on.
#[derive(Clone, Copy, Debug)]
pub struct Start<'s> {
    /// λ that are done.
    pub done: usize,
    /// The point of the last of them.
    pub point: &'s Point,
    /// What was known there.
    pub trail: &'s Trail,
    /// The point before it, if there is one: where the two lead is where a path goes on.
    pub before: Option<&'s Point>,
}

impl Reference {
    pub(super) fn of(point: &Point) -> Self {
        Self { columns: point.columns.clone(), values: point.values.clone(), seen: point.intercept }
    }

    /// The point it is of, at `lambda`, with the rest as in `like`.
    pub(super) fn at(&self, lambda: f64, like: &Point) -> Point {
        Point { lambda, columns: self.columns.clone(), values: self.values.clone(), intercept: self.seen, ..like.clone() }
    }

    fn is(&self, point: &Point, seen: f64) -> bool {
        self.columns == point.columns && self.values == point.values && self.seen == seen
    }
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// What the next λ will depend on.
    pub(super) fn trail(&self) -> Trail {
        Trail { seen: self.seen, gram: self.products.known(), reference: self.reference.clone(), bend: self.bend.at.clone(), before: None }
    }

    /// As the engine was that left `start`.
    pub(super) fn resumed(problem: &'p Problem<'a>, values: &'a [V], clock: Clock<'p>, start: &Start) -> Self {
        let Start { point, trail, .. } = *start;
        let mut engine = Self::warm(problem, values, clock, point);
        let then = |clock, reference: &Reference| {
            let Reference { columns, values: w, seen } = reference.clone();
            let mut engine = Self::warm(problem, values, clock, &Point { columns, values: w, intercept: seen, ..point.clone() });
            engine.evaluate();
            engine
        };
        if let Some(reference) = &trail.reference {
            let mut before = then(engine.clock, reference);
            before.pass();
            (engine.gradient, engine.reference, engine.clock) = (before.gradient, before.reference, before.clock);
        }
        if let Some(bend) = &trail.bend {
            let mut before = then(engine.clock, bend);
            before.bend_here(if problem.loss.is_piecewise() { STRAIGHT } else { FLOOR });
            (engine.bend, engine.clock) = (before.bend, before.clock);
        }
        match trail.seen {
            Some(seen) => {
                engine.b = seen;
                engine.evaluate();
                if !trail.reference.as_ref().is_some_and(|reference| reference.is(point, seen)) {
                    engine.pass();
                }
                engine.seen = trail.seen;
            }
            None => {
                engine.b = problem.null_model.1;
                engine.gradient = Gradient::given(problem.null_gradient.clone());
                engine.evaluate();
            }
        }
        let mut bend = std::mem::take(&mut engine.bend);
        let mut model = if trail.bend.is_some() { bend.model(&mut engine, &trail.gram) } else { engine.quadratic(&trail.gram) };
        model.multiply(&(0..trail.gram.len()).collect::<Vec<_>>(), &mut engine.clock);
        engine.products = model.products;
        engine.bend = bend;
        engine
    }
}
