//! What is left unexplained, against what was predicted: points where there are few rows, their density where there are many.

use super::axis::{Axis, Spread};
use super::canvas::Area;
use super::ink::{Ink, Look};
use super::sheet::{Heading, Mark, Panel, Sheet, key};
use super::text::{grouped, short};

/// More rows than this are shown by their density.
const POINTS: usize = 400;
/// Groups of the running median, at most, and rows in one at least.
const GROUPS: usize = 25;
const GROUP_ROWS: usize = 8;
/// Steps of density.
const SHADES: usize = 6;

/// Residuals of some rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Residuals {
    /// Title and note: which rows, how many.
    pub heading: Heading,
    /// What was predicted.
    pub fitted: String,
    /// What a residual is.
    pub residual: String,
    /// Prediction and residual of each row.
    pub rows: Vec<(f64, f64)>,
}

impl Residuals {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let ink = look.theme.ink();
        let mut rows: Vec<(f64, f64)> = self.rows.iter().copied().filter(|row| row.0.is_finite() && row.1.is_finite()).collect();
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let dense = rows.len() > POINTS;
        let medians = medians(&rows);
        let what =
            if dense { key(Mark::Bar, ink.hue(Ink::BLUE), "rows, stronger = more") } else { key(Mark::Dot, ink.hue(Ink::BLUE), "a row") };
        let mut keys = vec![what];
        if !medians.is_empty() {
            keys.push(key(Mark::Line, ink.hue(Ink::RED), "running median"));
        }
        let middle = median(&mut rows.iter().map(|row| row.1).collect::<Vec<_>>());
        let description = format!(
            "Residuals of {} rows against predictions. Their median is {}.",
            grouped(rows.len() as u64),
            middle.map_or("not known".to_owned(), |middle| short(middle, 3))
        );
        let (window, outside) = window(&rows);
        let mut heading = self.heading.clone();
        if outside > 0 {
            heading.note = format!("{} · {} rows lie outside of the picture", heading.note, grouped(outside as u64));
        }
        let mut sheet = Sheet::new(look, &heading, &description, &keys);
        let size = sheet.canvas.size;
        let y = Axis::over(Spread::Linear, &self.residual, [window.1.0, window.1.1, 0.0]).padded(0.05);
        let x = Axis::over(Spread::Linear, &self.fitted, [window.0.0, window.0.1]).padded(0.02);
        let outer = sheet.rest;
        let left = sheet.left_of(&y, outer.height() - size * 4.0);
        let panel = sheet.panel(outer, (left, size), x, y, None);
        sheet.canvas.clip(panel.area);
        if dense {
            density(&mut sheet, &panel, &rows);
        } else {
            for (fitted, residual) in &rows {
                let (x, y) = panel.place(*fitted, *residual);
                sheet.canvas.ring(x, y, size * 0.22, ink.hue(Ink::BLUE), None);
            }
        }
        let zero = panel.y(0.0);
        sheet.canvas.line((panel.area.left, zero), (panel.area.right, zero), ink.text, 1.0);
        let line: Vec<(f64, f64)> = medians.iter().map(|(x, y)| panel.place(*x, *y)).collect();
        sheet.canvas.lines(std::slice::from_ref(&line), ink.paper, size * 0.36, None);
        sheet.canvas.lines(&[line], ink.hue(Ink::RED), size * 0.2, Some("running median"));
        sheet.canvas.unclip();
        sheet.canvas.finish()
    }
}

type Range = (f64, f64);

/// What is shown: everything, unless a few rows lie so far out that the others would be a line. And how many lie outside.
fn window(rows: &[(f64, f64)]) -> ((Range, Range), usize) {
    let range = |of: fn(&(f64, f64)) -> f64| {
        let mut sorted: Vec<f64> = rows.iter().map(of).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted.get(((sorted.len().saturating_sub(1)) as f64 * share).round() as usize).copied().unwrap_or(0.0);
        let (low, high) = (at(0.0025), at(0.9975));
        let room = 0.75 * (high - low);
        let (least, most) = (at(0.0), at(1.0));
        if !room.is_finite() || room <= 0.0 {
            return (least, most);
        }
        (if least < low - room { low - room / 3.0 } else { least }, if most > high + room { high + room / 3.0 } else { most })
    };
    let window = (range(|row| row.0), range(|row| row.1));
    let inside = |row: &&(f64, f64)| row.0 >= window.0.0 && row.0 <= window.0.1 && row.1 >= window.1.0 && row.1 <= window.1.1;
    (window, rows.len() - rows.iter().filter(inside).count())
}

/// Squares of the panel, each as strong as it has rows, on a scale of logarithms.
fn density(sheet: &mut Sheet, panel: &Panel, rows: &[(f64, f64)]) {
    let area = panel.area;
    let side = (sheet.canvas.size * 0.62).max(area.width().max(area.height()) / 110.0);
    let (columns, lines) = ((area.width() / side).ceil() as usize, (area.height() / side).ceil() as usize);
    let mut counts = vec![0_u32; columns * lines];
    for (fitted, residual) in rows {
        let (x, y) = panel.place(*fitted, *residual);
        let (column, line) = ((x - area.left) / side, (y - area.top) / side);
        if column >= 0.0 && line >= 0.0 && (column as usize) < columns && (line as usize) < lines {
            counts[line as usize * columns + column as usize] += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let blue = sheet.canvas.ink.hue(Ink::BLUE);
    let shade = |count: u32| (f64::from(count).ln_1p() / f64::from(most).ln_1p() * SHADES as f64).ceil() as usize;
    // one rectangle for neighbours of the same shade
    for line in 0..lines {
        let row = &counts[line * columns..(line + 1) * columns];
        let mut begin = 0;
        for same in row.chunk_by(|a, b| shade(*a) == shade(*b)) {
            let end = begin + same.len();
            if same[0] > 0 {
                let place = Area {
                    left: area.left + begin as f64 * side,
                    top: area.top + line as f64 * side,
                    right: area.left + end as f64 * side,
                    bottom: area.top + (line + 1) as f64 * side,
                };
                sheet.canvas.rect(place, blue, 0.12 + 0.83 * shade(same[0]) as f64 / SHADES as f64);
            }
            begin = end;
        }
    }
}

/// Medians of groups of as many rows each, by prediction.
fn medians(sorted: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let groups = (sorted.len() / GROUP_ROWS).min(GROUPS);
    if groups < 2 {
        return Vec::new();
    }
    let group = |at: usize| {
        let rows = &sorted[at * sorted.len() / groups..(at + 1) * sorted.len() / groups];
        let x = median(&mut rows.iter().map(|row| row.0).collect::<Vec<_>>())?;
        Some((x, median(&mut rows.iter().map(|row| row.1).collect::<Vec<_>>())?))
    };
    (0..groups).filter_map(group).collect()
}

fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let upper = values[values.len() / 2];
    Some(if values.len() % 2 == 1 { upper } else { upper / 2.0 + values[values.len() / 2 - 1] / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_median_follows_the_rows() {
        let rows: Vec<(f64, f64)> = (0..400).map(|i| (f64::from(i), if i < 200 { 1.0 } else { -1.0 })).collect();
        let medians = medians(&rows);
        assert_eq!(medians.len(), 25);
        assert_eq!((medians[0].1, medians[24].1), (1.0, -1.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn a_few_rows_far_out_do_not_make_a_line_of_the_others() {
        let mut rows: Vec<(f64, f64)> = (0..2000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        assert_eq!(window(&rows), (((0.0, 1999.0), (0.0, 6.0)), 0));
        rows.push((3.0, 1e9));
        let ((_, residuals), outside) = window(&rows);
        assert_eq!(outside, 1);
        assert!(residuals.1 < 10.0, "{residuals:?}");
    }
}
