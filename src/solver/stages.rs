//! The way to a λ: from where a path has been going, and by λ on the way.
//!
//! Knows which λ are gone to and how far each is solved; how a round is solved, and when the end is reached, is for `descent`.

use super::descent::{Engine, INNER, REST, Round, STAGE};
use super::working_set::Growth;
use super::{Loss, Point};
use crate::matrix::Number;

/// How far a step on the way is solved, as a share of the gap it begins with.
const ON_THE_WAY: f64 = 0.1;
/// Where two points lead is looked at no further ahead than so many times their distance.
const FOLLOWS: f64 = 2.0;
/// And only after a λ that took so many walks over X: one to look, one to be saved.
const WORTH_FOLLOWING: f64 = 2.0;

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// Goes to where two points gone by lead at `lambda`, if F is lower there than here. That costs about a look at the
    /// columns, and is worth it only where a λ takes more.
    pub(super) fn follow(&mut self, [before, here]: &[Point; 2], lambda: f64) {
        let ahead = (here.lambda - lambda) / (before.lambda - here.lambda);
        let near = ahead.is_finite() && ahead > 0.0 && ahead <= FOLLOWS && lambda >= STAGE * here.lambda;
        // where columns are unpenalised their gradients are to be 0, which no way that leads on comes to by itself
        let sharp = self.problem.free.is_empty();
        if !near || !sharp || here.columns.is_empty() || here.full_passes < WORTH_FOLLOWING {
            return;
        }
        let previous = std::mem::replace(&mut self.lambda, lambda);
        let primal = self.primal();
        let mut then = before.columns.iter().zip(&before.values).peekable();
        let mut led = Vec::with_capacity(here.columns.len());
        for (&j, &w) in here.columns.iter().zip(&here.values) {
            while then.next_if(|(column, _)| **column < j).is_some() {}
            let from = then.next_if(|(column, _)| **column == j).map_or(0.0, |(_, value)| *value);
            let to = w + ahead * (w - from);
            led.push(if to * w > 0.0 { self.problem.within(j as usize, to) } else { 0.0 });
        }
        self.write(&here.columns, &led);
        self.b = here.intercept + ahead * (here.intercept - before.intercept);
        if self.evaluate() < primal && !self.clock.cancelled {
            self.pass();
        } else {
            self.write(&here.columns, &here.values);
            self.b = self.seen.unwrap_or(self.problem.null_model.1);
            self.evaluate();
        }
        // columns are chosen as from here: those that come in on the way are as likely
        self.lambda = previous;
    }

    /// One round at a λ on the way to a `target`.
    pub(super) fn pass_by(&mut self, lambda: f64, target: f64, growth: &mut Growth) {
        let previous = std::mem::replace(&mut self.lambda, lambda);
        let primal = self.primal();
        let gap = primal - self.dual_of_all();
        if gap.is_nan() || self.clock.cancelled {
            return;
        }
        let set = self.choose(previous, growth, false).set;
        self.improve(&set, primal, ON_THE_WAY * gap, Round { on_the_way: true, ..self.round() });
        self.evaluate();
        let may_go_on = self.clock.progress.epoch < self.problem.options.max_epochs;
        if may_go_on && self.problem.loss == Loss::Squared && self.problem.free.is_empty() && growth.takes_all(self.support.len()) {
            self.rush(target, growth);
        }
        self.pass();
    }

    /// Goes to `target` without a look at the columns first, where they do not get in one another's way: what was seen at the last look
    /// says well enough which move, and sweeps over those look at them anyway.
    fn rush(&mut self, target: f64, growth: &mut Growth) {
        let lambda = std::mem::replace(&mut self.lambda, target);
        let set = self.choose(lambda, growth, false).set;
        let entries: usize = set.iter().map(|&j| self.problem.data.x.range(j as usize).len()).sum();
        // where others may have to come in, the rest of the way is gone with them
        let share = if 4 * entries >= 3 * self.live { 0.0 } else { REST };
        self.improve_quadratic(&set, INNER * self.tol * self.problem.unit(), Round { at_once: Some(share), ..self.round() });
        self.evaluate();
    }
}
