//! Where a path stands between two λ: what to keep of it so that another process goes on with the same bits.
//!
//! A λ depends on the problem, on the point before it and on two things that the point does not show: at which intercept
//! the gradient was computed (the full pass comes before the last small move of the intercept), and for which columns a
//! Gram matrix is kept. Both matrices and vectors are pure functions of these few numbers, so they are computed again.

use super::clock::Clock;
use super::descent::Engine;
use super::{Point, Problem};
use crate::matrix::Number;

/// What the next λ depends on besides the problem and the last point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trail {
    /// The intercept that the gradient was computed from; `None` while it is the gradient of the null model.
    pub seen: Option<f64>,
    /// Columns whose products with one another are kept, rising.
    pub gram: Vec<u32>,
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
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// What the next λ will depend on.
    pub(super) fn trail(&self) -> Trail {
        Trail { seen: self.seen, gram: self.products.known() }
    }

    /// As the engine was that left `start`.
    pub(super) fn resumed(problem: &'p Problem<'a>, values: &'a [V], clock: Clock<'p>, start: &Start) -> Self {
        let Start { point, trail, .. } = *start;
        let mut engine = Self::warm(problem, values, clock, point);
        match trail.seen {
            Some(seen) => {
                engine.b = seen;
                engine.evaluate();
                engine.full_pass();
            }
            None => {
                engine.b = problem.null_model.1;
                engine.gradient.clone_from(&problem.null_gradient);
                engine.evaluate();
            }
        }
        let mut model = engine.quadratic(&trail.gram);
        model.multiply(&(0..trail.gram.len()).collect::<Vec<_>>(), &mut engine.clock);
        engine.products = model.products;
        engine
    }
}
