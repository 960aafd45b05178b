//! What smallness costs: of models of different sizes the best, the smallest within a standard error of it, and the knee.

use super::{NetworkPathRow, PathRow, TreeCv, TreePathRow};

/// One model of several: its size and how good it is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SizedQuality {
    /// Non-zeros, leaves, rules.
    pub size: u64,
    /// In the measure of [`Tradeoff::measure`].
    pub quality: f64,
    /// Standard error of the quality, where it is a mean over folds.
    pub se: Option<f64>,
}

/// Models along a path, and which of them are worth a name. Positions are those of `rows`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tradeoff {
    /// What `quality` is: `deviance`, `mse`, `error_rate`, …
    pub measure: String,
    /// Whether it was measured on rows held out; else on those of the fit.
    pub held_out: bool,
    /// Whether less is better.
    pub less_is_better: bool,
    /// All of them.
    pub rows: Vec<SizedQuality>,
    /// The best; of equals the smallest.
    pub best: Option<usize>,
    /// The smallest that is no worse than the best by more than the best's standard error; `None` where none is known.
    pub one_se: Option<usize>,
    /// Where more size begins to bring less: see [`knee`].
    pub knee: Option<usize>,
}

impl Tradeoff {
    /// Finds the named ones. Rows whose quality is not finite are none of them.
    pub fn of(measure: &str, held_out: bool, less_is_better: bool, rows: Vec<SizedQuality>) -> Self {
        let gain = |row: &SizedQuality| if less_is_better { -row.quality } else { row.quality };
        let known = || rows.iter().enumerate().filter(|(_, row)| row.quality.is_finite());
        let better = |a: &(usize, &SizedQuality), b: &(usize, &SizedQuality)| {
            gain(a.1).total_cmp(&gain(b.1)).then(b.1.size.cmp(&a.1.size)).then(b.0.cmp(&a.0))
        };
        let best = known().max_by(better);
        let one_se = best.and_then(|(_, top)| {
            let least = gain(top) - top.se.filter(|se| se.is_finite())?;
            let smaller = |a: &(usize, &SizedQuality), b: &(usize, &SizedQuality)| a.1.size.cmp(&b.1.size).then(better(b, a));
            known().filter(|(_, row)| gain(row) >= least).min_by(smaller)
        });
        let points: Vec<(u64, f64)> = rows.iter().map(|row| (row.size, gain(row))).collect();
        let (best, one_se, knee) = (best.map(|found| found.0), one_se.map(|found| found.0), knee(&points));
        Self { measure: measure.to_owned(), held_out, less_is_better, rows, best, one_se, knee }
    }

    /// Of the path of a linear model: by its mean over folds where there is one, else by the criterion that chose, else by the share
    /// of the deviance explained on the rows of the fit.
    pub fn of_path(path: &[PathRow], metric: Option<&str>) -> Self {
        let sized = |row: &PathRow, quality: Option<f64>, se| SizedQuality { size: row.nonzeros, quality: quality.unwrap_or(f64::NAN), se };
        if path.iter().any(|row| row.cv_mean.is_some()) {
            let rows = path.iter().map(|row| sized(row, row.cv_mean, row.cv_se)).collect();
            return Self::of(metric.unwrap_or("deviance"), true, metric != Some("auc"), rows);
        }
        if path.iter().any(|row| row.criterion.is_some()) {
            let rows = path.iter().map(|row| sized(row, row.criterion, None)).collect();
            return Self::of(metric.unwrap_or("criterion"), false, true, rows);
        }
        Self::of("deviance_ratio", false, false, path.iter().map(|row| sized(row, Some(row.deviance_ratio), None)).collect())
    }

    /// Of the prunings of a tree: by their mean over folds where there is one, else by the score on the rows of the fit.
    pub fn of_prunings(rows: &[TreePathRow], cv: Option<&TreeCv>, score: &str) -> Self {
        let sized =
            |row: &TreePathRow, quality: Option<f64>, se| SizedQuality { size: row.leaves, quality: quality.unwrap_or(f64::NAN), se };
        match cv {
            Some(cv) => Self::of(&cv.metric, true, true, rows.iter().map(|row| sized(row, row.cv_mean, row.cv_se)).collect()),
            None => Self::of(score, false, false, rows.iter().map(|row| sized(row, row.train_score, None)).collect()),
        }
    }

    /// Of the prunings of a network: by their score on rows held out.
    pub fn of_networks(rows: &[NetworkPathRow], score: &str) -> Self {
        let sized = |row: &NetworkPathRow| SizedQuality { size: row.nonzeros, quality: row.score.unwrap_or(f64::NAN), se: None };
        Self::of(score, true, false, rows.iter().map(sized).collect())
    }

    /// Has the names that a cross-validation gave by its own rule: along the path, the largest λ within the standard error.
    pub fn chosen_by(mut self, index_min: u64, index_1se: u64) -> Self {
        let inside = |index: u64| usize::try_from(index).ok().filter(|at| *at < self.rows.len());
        (self.best, self.one_se) = (inside(index_min).or(self.best), inside(index_1se).or(self.one_se));
        self
    }
}

/// The knee of (size, gain): of the models that nothing smaller is as good as, the one farthest above the chord from the smallest to
/// the best on (log(1 + size), gain), both taken to 0 … 1. That is Kneedle (Satopää, Albrecht, Irwin & Raghavan 2011) on the Pareto
/// front, without smoothing. `None` where fewer than three are on it, or none lies above the chord.
pub fn knee(points: &[(u64, f64)]) -> Option<usize> {
    let mut order: Vec<usize> = (0..points.len()).filter(|at| points[*at].1.is_finite()).collect();
    order.sort_by(|a, b| points[*a].0.cmp(&points[*b].0).then(points[*b].1.total_cmp(&points[*a].1)).then(a.cmp(b)));
    let mut front: Vec<usize> = Vec::new();
    for at in order {
        if front.last().is_none_or(|last| points[at].1 > points[*last].1) {
            front.push(at);
        }
    }
    let (first, last) = (*front.first()?, *front.last()?);
    // halved, so that no difference is beyond a double
    let place = |at: usize| ((points[at].0 as f64).ln_1p(), points[at].1 / 2.0);
    let (a, b) = (place(first), place(last));
    let above = |at: usize| {
        let (x, y) = place(at);
        (y - a.1) / (b.1 - a.1) - (x - a.0) / (b.0 - a.0)
    };
    let inner = front.get(1..front.len().checked_sub(1)?)?;
    let found = inner.iter().copied().reduce(|best, next| if above(next) > above(best) { next } else { best })?;
    (above(found) > 1e-9).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[(u64, f64, f64)]) -> Vec<SizedQuality> {
        values.iter().map(|(size, quality, se)| SizedQuality { size: *size, quality: *quality, se: Some(*se) }).collect()
    }

    #[test]
    fn the_named_points_of_a_small_table_are_those_found_by_hand() {
        // gains 0, 6, 9, 10, 9.5 at log1p of 0, 1, 3, 15, 63 = (0, 1, 2, 4, 6)·ln 2; the front ends at 15
        let table = rows(&[(0, 10.0, 0.5), (1, 4.0, 0.5), (3, 1.0, 0.5), (15, 0.0, 1.5), (63, 0.5, 0.5)]);
        let made = Tradeoff::of("deviance", true, true, table);
        // above the chord: 0.6 − 0.25, 0.9 − 0.5
        assert_eq!((made.best, made.one_se, made.knee), (Some(3), Some(2), Some(2)));
    }

    #[test]
    fn more_is_better_where_it_is_said_and_of_equals_the_smallest_is_best() {
        let made = Tradeoff::of("r2", false, false, rows(&[(9, 0.8, 0.0), (5, 0.8, 0.0), (2, 0.3, 0.0), (7, f64::NAN, 0.0)]));
        assert_eq!((made.best, made.one_se, made.knee), (Some(1), Some(1), None));
    }

    #[test]
    fn straight_hollow_short_and_broken_tables_have_no_knee() {
        assert_eq!(knee(&[]), None);
        assert_eq!(knee(&[(1, 1.0), (2, 2.0)]), None);
        assert_eq!(knee(&[(0, 0.0), (1, 1.0), (3, 2.0)]), None, "a straight line in log(1 + size)");
        assert_eq!(knee(&[(0, 0.0), (1, 0.1), (3, 2.0)]), None, "it only gets better");
        assert_eq!(knee(&[(0, f64::NAN), (1, f64::INFINITY), (3, 2.0)]), None);
        assert_eq!(knee(&[(0, -f64::MAX), (1, 0.9 * f64::MAX), (u64::MAX, f64::MAX)]), Some(1));
    }

    #[test]
    fn what_a_larger_model_does_worse_is_not_on_the_front() {
        let points = [(1, 0.0), (2, 0.5), (2, 0.9), (4, 0.7), (8, 1.0), (16, 0.2)];
        assert_eq!(knee(&points), Some(2));
    }
}
