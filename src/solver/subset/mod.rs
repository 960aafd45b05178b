//! The lane of the L0 penalty: λ·f_j for each coefficient that is not 0, whatever its size.
//!
//! The coefficients of a support are fitted without a penalty; what is searched is the support, by coming, going and changing one
//! for another, each with all others fitted anew, until none of it lowers F (Hazimeh & Mazumder, "Fast best subset selection",
//! Oper. Res. 2020, who leave the others where they are). Going comes before changing, and that before coming, so that a support
//! is settled before it grows. For the squared loss a [`Board`] tells what each of them brings; for a curved one it foretells it,
//! and F decides. Where columns are many, those are on the board that would lower the loss most; the others are let in when F
//! surely falls by them alone.
//!
//! Every λ begins from the coefficients and the intercept of the last one alone.

mod board;
mod look;
mod target;

use self::board::{Board, Ground, Kept, Move};
use self::look::Look;
use super::blocks::Rule;
use super::clock::Clock;
use super::descent::Engine;
use super::gradient::Gradient;
use super::gram::Products;
use super::newton::Bend;
use super::{Loss, Point, Problem, Stop};
use crate::matrix::Number;

/// The goal of a refit as a share of the outer.
const INNER: f64 = 0.3;
/// F falls if it falls by this share of the size of its terms.
const SURELY: f64 = 1e-14;
/// A gain is 0 if it is below this share of the size of the target.
const ROUNDING: f64 = 1e-26;
/// A move must lower F by this share of the price of its column, or by a share of the tolerance.
const WORTH: f64 = 5e-7;
/// Moves of a curved loss that are tried before it is believed that none helps.
const TRIALS: usize = 16;
/// And the share of a column's price by which a move may be foretold to be worse, and still be tried.
const DOUBT: f64 = 0.25;
/// Entries of a board beside as many as the matrix has.
const MORE_ENTRIES: usize = 1 << 18;
/// Walks over the matrix that the board of a curved loss, which is made anew after every move, may take.
const WALKS: usize = 8;
/// A board with fewer columns outside is not worth its making.
const LEAST_OUTSIDE: usize = 32;

/// Which moves are looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ways {
    All,
    /// None that lets more in.
    NoMore,
    /// None that changes how many are inside.
    AsMany,
}

/// A point to come back to.
struct Standing {
    support: Vec<u32>,
    values: Vec<f64>,
    b: f64,
}

/// λ_max: the least λ at which no single coefficient, moved with the intercept, surely lowers F from the null model.
/// `None` when the clock said stop.
pub(super) fn lambda_max<V: Number>(problem: &Problem, values: &[V], clock: &Clock) -> Option<f64> {
    let (w, b) = problem.null_model.clone();
    let mut engine = Engine::blank(problem, values, *clock, w, b);
    engine.support = (0..engine.w.len() as u32).filter(|&j| engine.w[j as usize] != 0.0).collect();
    engine.evaluate();
    // as sharply as it is fitted at every λ, or what pays at λ_max would not be what was measured
    engine.refit_support();
    let look = engine.look_around();
    let penalised = (0..look.fall.len() as u32).filter(|&j| engine.factor(j) > 0.0);
    let most = penalised.map(|j| look.fall[j as usize] / engine.factor(j)).fold(0.0, f64::max);
    // of a target that the null model fits, slopes are rounding
    let size: f64 = problem.share.iter().zip(problem.data.y).map(|(s, y)| if *s > 0.0 { s * y * y } else { 0.0 }).sum();
    let rounding = ROUNDING * (problem.magnitude() + if problem.loss == Loss::Squared { size } else { 0.0 });
    (!engine.clock.cancelled).then_some(if most > rounding { most } else { 0.0 })
}

/// Columns outside the support that pay their price by themselves, but for a millionth: with them F is as good. `None` when the clock
/// said stop.
pub(super) fn as_good<V: Number>(problem: &Problem, values: &[V], point: &Point, clock: &mut Clock) -> Option<Vec<u32>> {
    let mut engine = Engine::warm(problem, values, *clock, point);
    engine.evaluate();
    let look = engine.look_around();
    clock.cancelled |= engine.clock.cancelled;
    let pays = |&j: &u32| {
        let price = point.lambda * engine.factor(j);
        price > 0.0 && look.fall[j as usize] >= price * (1.0 - 1e-6) && point.columns.binary_search(&j).is_err()
    };
    (!engine.clock.cancelled).then(|| (0..look.fall.len() as u32).filter(pays).collect())
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// Solves at `lambda` from where the engine is.
    pub(super) fn solve_subset(&mut self, lambda: f64) -> Point {
        self.stand_at(lambda);
        let (measure, stop) = self.settle(Ways::All);
        self.leave_subset(measure, stop)
    }

    /// Comes to `lambda` with the coefficients as they are, or at λ_max and above with those of the null model.
    fn stand_at(&mut self, lambda: f64) {
        if let Some(seen) = self.seen {
            self.b = seen;
        }
        (self.lambda, self.evaluated) = (lambda, false);
        if lambda >= self.problem.lambda_max {
            let (w, b) = self.problem.null_model.clone();
            self.support = (0..w.len() as u32).filter(|&j| w[j as usize] != 0.0).collect();
            (self.w, self.b) = (w, b);
        }
        self.evaluate();
    }

    /// The point, and nothing left but what it shows.
    fn leave_subset(&mut self, measure: f64, stop: Stop) -> Point {
        self.clock.progress.relative_gap = Some(measure);
        self.seen = Some(self.b);
        (self.gradient, self.reference) = (Gradient::default(), None);
        (self.products, self.bend) = (Products::default(), Bend::default());
        let w = &self.w;
        self.kept.retain(|j, _| w[*j as usize] != 0.0);
        self.point(measure, stop)
    }

    /// Moves until nothing of `ways` lowers F; how far the end is from a point that no single coefficient betters.
    fn settle(&mut self, ways: Ways) -> (f64, Stop) {
        self.refit_support();
        loop {
            self.clock.progress.nonzeros = self.support.len();
            let look = self.look_around();
            let spent = self.clock.progress.epoch >= self.problem.options.max_epochs;
            let still = spent || self.lambda >= self.problem.lambda_max || !self.better(&look, ways);
            if self.clock.cancelled {
                return (f64::INFINITY, Stop::Cancelled);
            }
            if still {
                let measure = self.measure_of(&look);
                let stop = if measure <= self.problem.options.tol { Stop::Converged } else { Stop::LimitReached };
                return (measure, if self.clock.cancelled { Stop::Cancelled } else { stop });
            }
        }
    }

    /// One or several moves by which F falls. Whether there were any; where not, all is as it was.
    fn better(&mut self, look: &Look, ways: Ways) -> bool {
        let exact = self.problem.loss == Loss::Squared;
        let Some((board, spare)) = self.board(look) else { return !self.clock.cancelled && self.better_surely(look, ways) };
        if !spare.is_empty() {
            let (columns, values) = self.without(|j| spare.contains(&j));
            if self.try_support(&columns, &values, self.lambda) {
                return true;
            }
        }
        let moved = if exact { self.by_board(board, look, ways) } else { self.by_trial(&board, look, ways) };
        moved || (!self.clock.cancelled && self.better_surely(look, ways))
    }

    /// Whether F falls by more than rounding and what is not worth a move.
    fn is_worth(&self, way: &Move) -> bool {
        let worth = WORTH.min(0.5 * self.problem.options.tol);
        way.change(self.lambda) < -(worth * self.lambda * way.weight) - self.rounding()
    }

    fn rounding(&self) -> f64 {
        SURELY * self.problem.magnitude()
    }

    /// The best move of the first kind that helps at all.
    fn best_of(&mut self, board: &Board, ways: Ways) -> Option<Move> {
        let lambda = self.lambda;
        let by_change =
            |a: &Move, b: &Move| a.change(lambda).total_cmp(&b.change(lambda)).then(a.comes.cmp(&b.comes)).then(a.goes.cmp(&b.goes));
        let drop = if ways == Ways::AsMany { None } else { board.drops().filter(|way| self.is_worth(way)).min_by(by_change) };
        drop.or_else(|| {
            let swaps = board.swaps(lambda, &mut self.clock);
            swaps.into_iter().filter(|way| self.is_worth(way)).min_by(by_change)
        })
        .or_else(|| if ways == Ways::All { board.adds().filter(|way| self.is_worth(way)).min_by(by_change) } else { None })
    }

    /// All moves of the squared loss that the board knows of, one after the other.
    fn by_board(&mut self, mut board: Board, look: &Look, ways: Ways) -> bool {
        let ground = Ground { x: self.problem.data.x, values: self.values, look };
        let (room, mut moved) = (2 * self.room(), false);
        while self.clock.progress.epoch < self.problem.options.max_epochs && board.n_inside() * board.len() <= room {
            let Some(way) = self.best_of(&board, ways).filter(|_| !self.clock.cancelled) else { break };
            if let Some(j) = way.goes {
                board.leave(j, &mut self.clock);
            }
            if let Some(j) = way.comes
                && board.enter(j, true, ground, &mut self.clock).is_none()
            {
                break;
            }
            self.clock.progress.epoch += 1;
            moved = true;
        }
        let (mut columns, mut values) = board.inside();
        // unpenalised columns that depend on others stay as they are
        let beside: Vec<u32> = self.problem.free.iter().copied().filter(|&j| self.w[j as usize] != 0.0 && !board.has(j)).collect();
        values.extend(beside.iter().map(|&j| self.w[j as usize]));
        columns.extend(beside);
        self.keep(board);
        moved && !self.clock.cancelled && self.try_support(&columns, &values, self.lambda)
    }

    /// Keeps what of a board serves another over the same columns.
    fn keep(&mut self, board: Board) {
        self.kept = board.into_kept().unwrap_or_default();
    }

    /// The first of the moves that look best by which F falls.
    fn by_trial(&mut self, board: &Board, look: &Look, ways: Ways) -> bool {
        let lambda = self.lambda;
        let swaps = board.swaps(lambda, &mut self.clock);
        let mut all: Vec<(bool, u8, Move)> = Vec::new();
        let mut see = |kind: u8, way: Move| {
            if way.change(lambda) < DOUBT * lambda * way.weight {
                all.push((!self.is_worth(&way), kind, way));
            }
        };
        if ways != Ways::AsMany {
            board.drops().for_each(|way| see(0, way));
        }
        swaps.into_iter().for_each(|way| see(1, way));
        if ways == Ways::All {
            board.adds().for_each(|way| see(2, way));
        }
        // those foretold to help by their kind, then the doubtful ones by what they promise
        all.sort_by(|a, b| {
            let kinds = if a.0 { std::cmp::Ordering::Equal } else { a.1.cmp(&b.1) };
            let ids = |way: &Move| (way.comes, way.goes);
            a.0.cmp(&b.0).then(kinds).then(a.2.change(lambda).total_cmp(&b.2.change(lambda))).then(ids(&a.2).cmp(&ids(&b.2)))
        });
        debug_assert_eq!(look.fall.len(), self.w.len());
        for (_, _, way) in all.into_iter().take(TRIALS) {
            if self.clock.cancelled {
                return false;
            }
            let (mut columns, mut values) = self.without(|j| way.goes == Some(j));
            columns.extend(way.comes);
            values.extend(way.comes.map(|_| 0.0));
            if self.try_support(&columns, &values, lambda) {
                self.clock.progress.epoch += 1;
                return true;
            }
        }
        false
    }

    /// Lets columns go, and then others come, by which F surely falls one by one; several at a time where F falls by that too.
    fn better_surely(&mut self, look: &Look, ways: Ways) -> bool {
        let (lambda, worth) = (self.lambda, WORTH.min(0.5 * self.problem.options.tol));
        if ways != Ways::AsMany {
            let mut going: Vec<(f64, u32)> = Vec::new();
            for j in self.penalised() {
                let price = lambda * self.factor(j);
                let rise = self.rise_without(look, j, price);
                if rise < price * (1.0 - worth) - self.rounding() {
                    going.push((rise - price, j));
                }
            }
            going.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            while !going.is_empty() && !self.clock.cancelled {
                let (columns, values) = self.without(|j| going.iter().any(|gone| gone.1 == j));
                if self.try_support(&columns, &values, lambda) {
                    self.clock.progress.epoch += 1;
                    return true;
                }
                going.truncate(going.len() / 2);
            }
        }
        if ways != Ways::All {
            return false;
        }
        let outside = |j: &u32| self.factor(*j) > 0.0 && self.w[*j as usize] == 0.0;
        let mut coming: Vec<(f64, u32)> = (0..look.fall.len() as u32)
            .filter(outside)
            .map(|j| (lambda * self.factor(j) * (1.0 + worth) + self.rounding() - look.fall[j as usize], j))
            .filter(|coming| coming.0 < 0.0)
            .collect();
        coming.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        coming.truncate((self.support.len() / 8).max(1));
        while !coming.is_empty() && !self.clock.cancelled {
            let (mut columns, mut values) = self.without(|_| false);
            columns.extend(coming.iter().map(|coming| coming.1));
            values.resize(columns.len(), 0.0);
            if self.try_support(&columns, &values, lambda) {
                self.clock.progress.epoch += 1;
                return true;
            }
            coming.truncate(coming.len() / 2);
        }
        false
    }

    /// The support and its coefficients, less some of it.
    fn without(&self, goes: impl Fn(u32) -> bool) -> (Vec<u32>, Vec<f64>) {
        self.support.iter().filter(|&&j| !goes(j)).map(|&j| (j, self.w[j as usize])).unzip()
    }

    fn standing(&self) -> Standing {
        let (support, values) = self.without(|_| false);
        Standing { support, values, b: self.b }
    }

    fn go_back(&mut self, standing: Standing) {
        let Standing { support, values, b } = standing;
        self.put(&support, &values);
        self.b = b;
        self.evaluate();
    }

    /// Sets these coefficients, and all others to 0.
    fn put(&mut self, columns: &[u32], values: &[f64]) {
        self.evaluated = false;
        self.support.iter().for_each(|&j| self.w[j as usize] = 0.0);
        columns.iter().zip(values).for_each(|(&j, &w)| self.w[j as usize] = w);
        self.support = columns.iter().copied().filter(|&j| self.w[j as usize] != 0.0).collect();
        self.support.sort_unstable();
    }

    /// Loss + `lambda`·Σ f of the support.
    fn objective_at(&self, lambda: f64) -> f64 {
        self.loss + lambda * self.support.iter().map(|&j| self.factor(j)).sum::<f64>()
    }

    /// Goes to another support, fitted from these coefficients, if F at `lambda` is lower there.
    fn try_support(&mut self, columns: &[u32], values: &[f64], lambda: f64) -> bool {
        let (before, back) = (self.objective_at(lambda), self.standing());
        self.put(columns, values);
        self.evaluate();
        self.refit(columns);
        // not so for NaN
        let lower = self.objective_at(lambda) < before - self.rounding() && !self.clock.cancelled;
        if !lower {
            self.go_back(back);
        }
        lower
    }

    /// Fits the support and the unpenalised columns, from where the engine is.
    fn refit_support(&mut self) {
        let columns = self.support.clone();
        self.refit(&columns);
    }

    /// Fits these and the unpenalised columns; every coefficient that is not 0 is among them.
    fn refit(&mut self, columns: &[u32]) {
        let mut set: Vec<u32> = columns.iter().chain(&self.problem.free).copied().collect();
        set.sort_unstable();
        set.dedup();
        if set.is_empty() || self.clock.cancelled {
            return;
        }
        let goal = INNER * self.problem.options.tol * (2.0 * self.lambda).sqrt();
        // the penalty is the same all the while, and none of this is about it
        let lambda = std::mem::replace(&mut self.lambda, 0.0);
        self.improve_blocks(Rule::L0, &set, self.loss, goal);
        self.products = Products::default();
        self.evaluate();
        self.lambda = lambda;
    }

    /// Entries that a board may have.
    fn room(&self) -> usize {
        self.problem.data.x.nnz() + MORE_ENTRIES
    }

    /// A board at the point of `look` with the support inside; and those of it that depend on others. `None` where there is no room
    /// for one, and when the clock said stop.
    fn board(&mut self, look: &Look) -> Option<(Board, Vec<u32>)> {
        let problem = self.problem;
        let x = problem.data.x;
        let mut inside: Vec<u32> = self.problem.free.clone();
        inside.extend(self.penalised());
        let (exact, most) = (problem.loss == Loss::Squared, self.room() / (inside.len() + 8));
        let walked = if exact { usize::MAX } else { (WALKS * x.nnz() + 16 * MORE_ENTRIES) / (inside.len() + 1) };
        let mut ids: Vec<u32> = (0..look.spread.len() as u32).filter(|&j| look.spread[j as usize] > 0.0).collect();
        let all = ids.len() <= most && x.nnz() <= walked;
        if !all {
            if most < inside.len() + LEAST_OUTSIDE {
                return None;
            }
            let is_inside = |j: u32| self.w[j as usize] != 0.0 || self.factor(j) == 0.0;
            ids.retain(|&j| !is_inside(j));
            let promise = |j: u32| look.fall[j as usize] / self.factor(j);
            ids.sort_by(|&a, &b| promise(b).total_cmp(&promise(a)).then(a.cmp(&b)));
            ids.truncate(most - inside.len());
            let mut entries: usize = inside.iter().map(|&j| x.range(j as usize).len()).sum();
            let mut fits = |j: &&u32| {
                entries += x.range(**j as usize).len();
                entries <= walked
            };
            let few = ids.iter().take_while(&mut fits).count().max(LEAST_OUTSIDE);
            ids.truncate(few);
            ids.extend(inside.iter().filter(|&&j| look.spread[j as usize] > 0.0));
            ids.sort_unstable();
        }
        let mut kept = (all && exact).then(|| std::mem::take(&mut self.kept));
        if let Some(kept) = kept.as_mut().filter(|kept| kept.len() * ids.len() > 2 * problem.data.x.nnz() + MORE_ENTRIES) {
            kept.retain(|j, _| self.w[*j as usize] != 0.0);
        }
        let mut board = Board::new(ids, look, &self.w, |j| self.factor(j), kept);
        let ground = Ground { x, values: self.values, look };
        let mut spare = Vec::new();
        for j in inside {
            let came = board.enter(j, false, ground, &mut self.clock)?;
            if !came && self.factor(j) > 0.0 {
                spare.push(j);
            }
        }
        Some((board, spare))
    }
}

/// Products that the engine keeps between two λ.
pub(super) type Memory = Kept;
