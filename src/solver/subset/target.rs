//! The best support found of a wanted size, and the λ it is a solution of.
//!
//! λ falls to where the next column is worth its price, and the support of every size is bettered before it grows. At the wanted
//! size a few more come in and as many go (as Zhang, "Adaptive forward-backward greedy algorithm for learning sparse
//! representations", IEEE Trans. Inf. Theory 2011), as long as the loss falls by that.

use super::super::descent::Engine;
use super::super::{Loss, Point, Stop, TargetPoint};
use super::board::{Board, Move};
use super::{Standing, Ways};
use crate::matrix::Number;

/// How far below the λ from which a column is worth its price the search stands.
const BELOW: f64 = 1e-7;
/// Columns of which the best is let in, where the board only foretells.
const TRIALS: usize = 8;
/// Times that more come in and as many go.
const ROUNDS: usize = 6;

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// The support of `k` columns with the least loss that was found, at the largest λ that keeps it.
    pub(in super::super) fn solve_for_nonzeros(&mut self, k: usize) -> TargetPoint {
        let top = self.problem.lambda_max;
        self.clock.begin(top, 0);
        self.stand_at(top);
        let (mut measure, mut stop) = self.settle(Ways::NoMore);
        if stop == Stop::Cancelled || self.support.len() >= k || top == 0.0 {
            let point = self.leave_subset(measure, stop);
            return TargetPoint { bracket: [top, top], whole: point.stop != Stop::Cancelled, point };
        }
        let mut whole: Option<(Standing, f64)> = None;
        self.lambda = top * (1.0 - BELOW);
        // a column that comes may make another go; that F falls by it bounds how often
        for _ in 0..8 * k.min(self.w.len()) + 64 {
            if self.clock.cancelled || self.support.len() >= k || !self.let_one_in() {
                break;
            }
            (measure, stop) = self.settle(Ways::NoMore);
            if stop != Stop::Cancelled {
                whole = Some((self.standing(), self.lambda));
            }
        }
        if self.support.len() == k {
            let rounds = (0..ROUNDS).take_while(|_| self.go_to_and_fro(k)).count();
            debug_assert!(rounds <= ROUNDS);
        }
        if self.clock.cancelled {
            return self.cut_short(whole, measure);
        }
        let [lambda, above] = self.lambda_of_support();
        self.lambda = lambda;
        self.refit_support();
        let look = self.look_around();
        measure = self.measure_of(&look);
        stop = if measure <= self.problem.options.tol { Stop::Converged } else { Stop::LimitReached };
        let point = self.leave_subset(measure, stop);
        TargetPoint { bracket: [lambda, above.max(lambda)], whole: point.stop != Stop::Cancelled, point }
    }

    /// The last support that was settled, or where the search is if there was none.
    fn cut_short(&mut self, whole: Option<(Standing, f64)>, measure: f64) -> TargetPoint {
        let found = whole.is_some();
        let lambda = whole.as_ref().map_or(self.lambda, |whole| whole.1);
        if let Some((standing, _)) = whole {
            let b = standing.b;
            self.put(&standing.support, &standing.values);
            self.b = b;
        }
        self.lambda = lambda;
        let point: Point = self.leave_subset(measure, Stop::LimitReached);
        let stop = if found { Stop::LimitReached } else { Stop::Cancelled };
        TargetPoint { point: Point { stop, ..point }, bracket: [lambda, self.problem.lambda_max], whole: false }
    }

    /// Lowers λ to where a column is worth its price, and lets it in. Whether there was one.
    fn let_one_in(&mut self) -> bool {
        let look = self.look_around();
        let board = self.board(&look).map(|(board, _)| board);
        let worth = |way: &Move| if way.price > 0.0 { -way.loss / way.price } else { 0.0 };
        let mut adds: Vec<Move> = board.iter().flat_map(Board::adds).filter(|way| worth(way) > 0.0).collect();
        if board.is_none() {
            // no room for one: by what each column surely brings by itself
            let outside = (0..look.fall.len() as u32).filter(|&j| self.factor(j) > 0.0 && self.w[j as usize] == 0.0);
            let sure =
                |j: u32| Move { goes: None, comes: Some(j), loss: -look.fall[j as usize], price: self.factor(j), weight: self.factor(j) };
            adds.extend(outside.map(sure).filter(|way| worth(way) > 0.0));
        }
        adds.sort_by(|a, b| worth(b).total_cmp(&worth(a)).then(a.comes.cmp(&b.comes)));
        board.into_iter().for_each(|board| self.keep(board));
        let (from, exact) = (self.lambda, self.problem.loss == Loss::Squared);
        let mut best: Option<(f64, Standing)> = None;
        for way in adds.into_iter().take(TRIALS) {
            let Some(j) = way.comes else { continue };
            let (mut columns, mut values) = self.without(|_| false);
            columns.push(j);
            values.push(0.0);
            let before = self.objective_at(0.0);
            // the loss alone must fall
            self.lambda = from.min(worth(&way));
            let back = self.standing();
            if self.try_support(&columns, &values, 0.0) {
                let worth = (before - self.objective_at(0.0)) / self.factor(j);
                if best.as_ref().is_none_or(|best| worth > best.0) {
                    best = Some((worth, self.standing()));
                }
                if exact {
                    break;
                }
                self.go_back(back);
            }
        }
        self.lambda = from;
        let Some((worth, standing)) = best.filter(|_| !self.clock.cancelled) else { return false };
        if !exact {
            self.go_back(standing);
        }
        self.clock.progress.epoch += 1;
        self.lambda = from.min(worth) * (1.0 - BELOW);
        true
    }

    /// Lets a few more in, as many go that are missed least, and others come for some of those that stay. Whether the loss of `k`
    /// columns has fallen by it; where not, all is as it was.
    fn go_to_and_fro(&mut self, k: usize) -> bool {
        let (loss, lambda, back) = (self.objective_at(0.0), self.lambda, self.standing());
        let price = |engine: &Self| engine.objective_at(1.0) - engine.objective_at(0.0);
        let before = price(self);
        let more = 2 + k / 5;
        let came = (0..more).take_while(|_| !self.clock.cancelled && self.let_one_in()).count();
        let mut gone = came > 0;
        while gone && self.support.len() > k && !self.clock.cancelled {
            gone = self.let_one_go();
        }
        self.lambda = lambda;
        if gone && self.support.len() == k {
            self.settle(Ways::AsMany);
        }
        let change = self.objective_at(0.0) - loss + lambda * (price(self) - before);
        let better = self.support.len() == k && change < -1e-9 * loss.abs() - self.rounding() && !self.clock.cancelled;
        if !better {
            self.lambda = lambda;
            self.go_back(back);
        }
        better
    }

    /// Lets the column go that the loss misses least.
    fn let_one_go(&mut self) -> bool {
        let look = self.look_around();
        let Some((board, spare)) = self.board(&look) else { return false };
        let least = |a: &Move, b: &Move| (a.loss / a.weight).total_cmp(&(b.loss / b.weight)).then(a.goes.cmp(&b.goes));
        let goes = spare.first().copied().or_else(|| board.drops().min_by(least).and_then(|way| way.goes));
        self.keep(board);
        let Some(j) = goes else { return false };
        let (columns, values) = self.without(|i| i == j);
        self.put(&columns, &values);
        self.evaluate();
        self.refit(&columns);
        self.clock.progress.epoch += 1;
        !self.clock.cancelled
    }

    /// The largest λ at which none of the support is worth leaving out while nothing is worth letting in, and the λ from which on
    /// something is. Where letting in pays before leaving out stops to pay, a λ at which no single coefficient does either.
    fn lambda_of_support(&mut self) -> [f64; 2] {
        let look = self.look_around();
        let (mut comes, mut goes) = (0.0_f64, f64::INFINITY);
        if let Some((board, _)) = self.board(&look) {
            comes = board.adds().filter(|way| way.price > 0.0).map(|way| -way.loss / way.price).fold(0.0, f64::max);
            goes = board.drops().map(|way| way.loss / way.weight).fold(f64::INFINITY, f64::min);
            self.keep(board);
        }
        let (mut low, mut high) = (0.0_f64, self.problem.lambda_max * (1.0 - BELOW));
        for j in 0..look.fall.len() as u32 {
            let factor = self.factor(j);
            if factor > 0.0 && self.w[j as usize] == 0.0 {
                low = low.max(look.fall[j as usize] / factor);
            }
        }
        for j in self.penalised() {
            let factor = self.factor(j);
            // no more than the largest of all is asked for
            let enough = high * factor;
            high = high.min(self.rise_without(&look, j, enough) / factor);
        }
        let goes = goes.min(self.problem.lambda_max);
        let wanted = if comes <= goes { goes * (1.0 - BELOW) } else { (comes * goes).sqrt() };
        let (low, high) = (low * (1.0 + 1e-12), high * (1.0 - 1e-12));
        let lambda = if low <= high { wanted.clamp(low, high) } else { (low * high.max(0.0)).sqrt() };
        let least = 1e-14 * self.problem.lambda_max;
        [lambda.max(least), goes.max(least)]
    }
}
