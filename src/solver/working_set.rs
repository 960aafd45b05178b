//! Which columns a round works on.
//!
//! Ordered by distance to the dual constraint, growing geometrically (Johnson & Guestrin, ICML 2015; Massias, Gramfort,
//! Salmon, ICML 2018); along a path they begin with the sequential strong rule (Tibshirani et al., JRSS-B 2012).

use super::Loss;
use super::descent::Engine;
use crate::matrix::Number;

/// A working set.
pub(super) struct Choice {
    /// Its columns, rising.
    pub(super) set: Vec<u32>,
    /// Whether it holds every column that could move.
    pub(super) complete: bool,
    /// Whether, besides, hardly any is new that could.
    pub(super) settled: bool,
}

/// How working sets grow on the way to one λ.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Growth {
    /// Columns of the last set that could move when it was chosen; 0 before the first.
    offered: usize,
    /// Columns taken into the last set.
    taken: usize,
}

impl Growth {
    /// The share of what was offered that came to be used.
    fn used(&self, support: usize) -> f64 {
        if self.offered == 0 { 0.0 } else { support as f64 / self.offered as f64 }
    }

    /// Whether columns get into one another's way so little that all that violate may as well be taken at once.
    pub(super) fn takes_all(&self, support: usize) -> bool {
        self.used(support) > 0.9
    }

    /// How many columns to take beside the `kept` ones.
    fn take(&self, kept: usize, support: usize, violators: usize, slow: bool) -> usize {
        let expected = (self.used(support) * violators as f64) as usize;
        let usual = (kept + 64).max(expected.min(6 * kept + 256));
        let doubled = if slow { 2 * self.taken } else { 0 };
        doubled.max(if self.takes_all(support) { violators + violators / 8 + 16 } else { usual })
    }
}

impl<'p, 'a, V: Number> Engine<'p, 'a, V> {
    /// The next working set.
    pub(super) fn choose(&self, previous: f64, growth: &mut Growth, slow: bool) -> Choice {
        let problem = self.problem;
        let strong = (2.0 - previous / self.lambda).clamp(0.0, 1.0);
        let mut kept: Vec<u32> = problem.free.clone();
        let mut candidates: Vec<(f64, u32)> = Vec::new();
        let (mut live, mut violators, mut entries) = (0usize, 0, 0);
        for j in self.gradient.near().iter().map(|&j| j as usize) {
            let l1 = problem.l1[j];
            if l1 == 0.0 && problem.l2[j] == 0.0 {
                continue;
            }
            live += 1;
            let bound = self.lambda * l1;
            let push = problem.push(j, self.gradient.values[j]);
            let ratio = match bound {
                bound if bound > 0.0 => push / bound,
                _ if push == 0.0 && problem.is_bounded() => 0.0,
                _ => f64::INFINITY,
            };
            if self.w[j] != 0.0 {
                kept.push(j as u32);
            } else if ratio >= if slow { 0.0 } else { strong } {
                candidates.push((ratio, j as u32));
                if ratio >= 1.0 {
                    violators += 1;
                    entries += problem.data.x.range(j).len();
                }
            }
        }
        // as many as cost little beside a pass over all columns
        let cheap = violators.min(violators * (problem.data.x.nnz() / 16) / entries.max(1));
        let take = growth.take(kept.len(), self.support.len(), violators, slow).max(cheap).min(candidates.len());
        let by_ratio = |a: &(f64, u32), b: &(f64, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if take < candidates.len() {
            candidates.select_nth_unstable_by(take, by_ratio);
        }
        if problem.loss == Loss::Squared && growth.takes_all(self.support.len()) {
            let weight = |j: &u32| problem.data.x.range(*j as usize).len();
            let taken: usize = kept.iter().map(weight).sum::<usize>() + candidates[..take].iter().map(|c| weight(&c.1)).sum::<usize>();
            let of_set = |j: &u32| problem.l1[*j as usize] > 0.0 || problem.l2[*j as usize] > 0.0;
            let near: usize = self.gradient.near().iter().filter(|j| of_set(j)).map(weight).sum();
            // a column costs more than its entries
            let rest = near.saturating_sub(taken) + 16 * live.saturating_sub(kept.len() + take);
            if 2 * taken >= self.live && 4 * rest <= taken {
                // to sweep the rest as well costs less than to look for what of it will move
                (growth.offered, growth.taken) = (kept.len() + violators, candidates.len());
                let mut set: Vec<u32> = problem.free.iter().copied().chain(self.gradient.near().iter().copied().filter(of_set)).collect();
                set.sort_unstable();
                return Choice { set, complete: true, settled: true };
            }
        }
        (growth.offered, growth.taken) = (kept.len() + take.min(violators), take);
        let complete = kept.len() - problem.free.len() + take == live || candidates[take.min(candidates.len())..].iter().all(|c| c.0 < 1.0);
        let settled = complete && violators * 20 <= kept.len();
        kept.extend(candidates[..take].iter().map(|c| c.1));
        kept.sort_unstable();
        Choice { set: kept, complete, settled }
    }
}
