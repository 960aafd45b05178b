//! Whether probabilities mean what they say: predicted ones in groups beside the share that came true.

use super::axis::{Axis, Spread};
use super::canvas::Area;
use super::ink::{Ink, Look};
use super::sheet::{Heading, Mark, Sheet, key};
use super::text::{grouped, short};

/// Groups of about equal weight.
const GROUPS: usize = 10;
/// Bars of the histogram below.
const BARS: usize = 20;
/// Quantile of the normal distribution of a 95 % interval.
const Z: f64 = 1.959_963_984_540_054;

/// Probabilities beside what came true.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calibration {
    /// Title and note: which rows, how many.
    pub heading: Heading,
    /// The class whose probability it is.
    pub class: String,
    /// By rising probability.
    pub bins: Vec<Bin>,
    /// Rows by predicted probability, in equal parts of 0 … 1.
    pub counts: Vec<u64>,
    /// Weighted mean of (probability − outcome)².
    pub brier: Option<f64>,
    /// Weighted mean distance of the groups from the diagonal.
    pub error: Option<f64>,
}

/// Rows of about the same probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Bin {
    /// Mean probability.
    pub predicted: f64,
    /// Share of the class.
    pub observed: f64,
    /// Wilson's 95 % interval of that share.
    pub low: f64,
    pub high: f64,
    pub rows: u64,
}

/// Wilson's interval of a share seen in so many trials: Wilson 1927.
fn wilson(share: f64, trials: f64) -> (f64, f64) {
    if trials <= 0.0 {
        return (0.0, 1.0);
    }
    let spread = Z * Z / trials;
    let middle = (share + spread / 2.0) / (1.0 + spread);
    let half = Z / (1.0 + spread) * (share * (1.0 - share) / trials + spread / (4.0 * trials)).max(0.0).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

impl Calibration {
    /// Groups `rows`: probability, whether it came true, weight. Rows of equal probability are of one group. Intervals of weighted
    /// rows are those of Kish's effective number (Σw)²/Σw².
    pub fn of(heading: Heading, class: &str, rows: &[(f64, bool, f64)]) -> Self {
        let legal = |row: &&(f64, bool, f64)| (0.0..=1.0).contains(&row.0) && row.2.is_finite() && row.2 > 0.0;
        let mut rows: Vec<(f64, bool, f64)> = rows.iter().filter(legal).copied().collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut counts = vec![0; BARS];
        rows.iter().for_each(|row| counts[((row.0 * BARS as f64) as usize).min(BARS - 1)] += 1);
        let whole: f64 = rows.iter().map(|row| row.2).sum();
        let mut bins = Vec::new();
        let (mut group, mut passed): (Vec<(f64, bool, f64)>, f64) = (Vec::new(), 0.0);
        // the boundary that ends the present group; one that equal probabilities have run past is none
        let mut boundary = 1.0;
        let mut squared = 0.0;
        for same in rows.chunk_by(|a, b| a.0 == b.0) {
            group.extend_from_slice(same);
            passed += same.iter().map(|row| row.2).sum::<f64>();
            squared += same.iter().map(|row| row.2 * (row.0 - f64::from(u8::from(row.1))).powi(2)).sum::<f64>();
            let share = passed / whole * GROUPS as f64 + 1e-9;
            if share >= boundary {
                boundary = share.floor() + 1.0;
                bins.push(Bin::of(&group));
                group.clear();
            }
        }
        if !group.is_empty() {
            bins.push(Bin::of(&group));
        }
        let all: f64 = bins.iter().map(|bin| bin.rows as f64).sum();
        let off = bins.iter().map(|bin| bin.rows as f64 * (bin.predicted - bin.observed).abs()).sum::<f64>();
        let (brier, error) = if whole > 0.0 { (Some(squared / whole), Some(off / all)) } else { (None, None) };
        Self { heading, class: class.to_owned(), bins, counts, brier, error }
    }

    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let ink = look.theme.ink();
        let told = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {}", short(value, 3)));
        let measures = [told("Brier score", self.brier), told("mean distance from the diagonal", self.error)];
        let measures = measures.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let keys = [key(Mark::Dot, ink.hue(Ink::BLUE), "observed share, 95 % interval"), key(Mark::Dash, ink.axis, "perfectly calibrated")];
        let mut heading = self.heading.clone();
        heading.note =
            [heading.note.as_str(), measures.as_str()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" · ");
        let description =
            self.bins.iter().map(|bin| format!("{}: {} of {} rows.", short(bin.predicted, 3), short(bin.observed, 3), grouped(bin.rows)));
        let description = format!("Predicted probability: observed share. {}", description.collect::<Vec<_>>().join(" "));
        let mut sheet = Sheet::new(look, &heading, &description, &keys);
        let size = sheet.canvas.size;
        let rest = sheet.rest;
        let split = rest.bottom - (rest.height() * 0.3).max(size * 6.5).min(rest.height() * 0.45);
        let unit = |label: &str| Axis::over(Spread::Linear, label, [0.0, 1.0]);
        let shares = unit(&format!("observed share of {}", self.class)).padded(0.03);
        let rows = Axis::over(Spread::Linear, "rows", self.counts.iter().map(|count| *count as f64).chain([0.0, 1.0]))
            .padded_by(0.0, 0.05)
            .whole();
        let left = sheet.left_of(&shares, split - rest.top - size).max(sheet.left_of(&rows, rest.bottom - split));
        let upper = sheet.panel(Area { bottom: split, ..rest }, (left, size), unit("").padded(0.02), shares, None);
        let label = format!("predicted probability of {}", self.class);
        let lower = sheet.panel(Area { top: split, ..rest }, (left, size), unit(&label).padded(0.02), rows, None);
        for (at, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let edge = |at: usize| lower.x(at as f64 / self.counts.len() as f64);
            let top = lower.y(*count as f64).min(lower.area.bottom - 1.5);
            let area = Area { left: edge(at) + 0.7, top, right: edge(at + 1) - 0.7, bottom: lower.area.bottom };
            sheet.canvas.rect_named(area, ink.axis, 0.8, Some(&format!("{} rows", grouped(*count))));
        }
        sheet.canvas.dashed(upper.place(0.0, 0.0), upper.place(1.0, 1.0), ink.axis, size * 0.12);
        let blue = ink.hue(Ink::BLUE);
        let line: Vec<(f64, f64)> = self.bins.iter().map(|bin| upper.place(bin.predicted, bin.observed)).collect();
        sheet.canvas.lines(&[line], blue, size * 0.1, None);
        for bin in &self.bins {
            let (x, y) = upper.place(bin.predicted, bin.observed);
            sheet.canvas.line((x, upper.y(bin.low)), (x, upper.y(bin.high)), blue, size * 0.12);
            let name = format!(
                "predicted {}, observed {} ({} … {}), {} rows",
                short(bin.predicted, 3),
                short(bin.observed, 3),
                short(bin.low, 3),
                short(bin.high, 3),
                grouped(bin.rows)
            );
            sheet.canvas.dot(x, y, size * 0.36, blue, Some(&name));
        }
        sheet.canvas.finish()
    }
}

impl Bin {
    fn of(rows: &[(f64, bool, f64)]) -> Self {
        let whole: f64 = rows.iter().map(|row| row.2).sum();
        let mean = |of: fn(&(f64, bool, f64)) -> f64| rows.iter().map(|row| row.2 / whole * of(row)).sum::<f64>();
        let observed = mean(|row| f64::from(u8::from(row.1))).clamp(0.0, 1.0);
        let effective = 1.0 / rows.iter().map(|row| (row.2 / whole).powi(2)).sum::<f64>();
        let (low, high) = wilson(observed, effective);
        Self { predicted: mean(|row| row.0), observed, low: low.min(observed), high: high.max(observed), rows: rows.len() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_s_interval_is_that_of_the_tables() {
        // 10 of 100, e.g. Newcombe 1998: 0.0552 to 0.1744
        let (low, high) = wilson(0.1, 100.0);
        assert!((low - 0.0552).abs() < 5e-5 && (high - 0.1744).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0.0, 20.0).0, 0.0);
        assert!((wilson(0.0, 20.0).1 - 0.1611).abs() < 5e-5);
    }

    #[test]
    fn groups_hold_a_tenth_each_and_every_row_once() {
        let rows: Vec<(f64, bool, f64)> = (0..1000).map(|i| (f64::from(i) / 1000.0, i % 3 == 0, 1.0)).collect();
        let made = Calibration::of(Heading::default(), "1", &rows);
        assert_eq!(made.bins.iter().map(|bin| bin.rows).collect::<Vec<_>>(), [100; 10]);
        assert_eq!(made.counts, [50; 20]);
        assert!((made.bins[0].predicted - 0.0495).abs() < 1e-12 && (made.bins[0].observed - 0.34).abs() < 1e-12);
    }

    #[test]
    fn after_many_equal_rows_groups_hold_a_tenth_again() {
        let rows: Vec<(f64, bool, f64)> = (0..1000).map(|i| (0.1 + f64::from((i - 700).max(0)) / 1000.0, false, 1.0)).collect();
        let made = Calibration::of(Heading::default(), "1", &rows);
        assert_eq!(made.bins.iter().map(|bin| bin.rows).collect::<Vec<_>>(), [701, 99, 100, 100]);
    }

    #[test]
    fn equal_probabilities_stay_together_and_weights_count() {
        let rows = [(0.25, false, 1.0), (0.25, true, 3.0), (0.75, true, 1.0), (f64::NAN, true, 1.0), (0.5, true, 0.0)];
        let made = Calibration::of(Heading::default(), "1", &rows);
        assert_eq!(
            made.bins.iter().map(|bin| (bin.predicted, bin.observed, bin.rows)).collect::<Vec<_>>(),
            [(0.25, 0.75, 2), (0.75, 1.0, 1)]
        );
        // (1·0.0625 + 3·0.5625 + 1·0.0625) / 5
        assert!((made.brier.unwrap() - 0.3625).abs() < 1e-15);
        let none = Calibration::of(Heading::default(), "1", &[]);
        assert_eq!((none.bins.len(), none.brier, none.error), (0, None, None));
    }
}
