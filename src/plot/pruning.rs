//! The path of prunings of a tree: leaves and scores against α.

use super::axis::{Axis, Spread};
use super::canvas::{Anchor, Area, Type};
use super::ink::{Ink, Look};
use super::sheet::{Heading, Mark, Panel, Sheet, key};
use super::text::{ems, grouped, short};

/// A path of prunings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PruningPicture {
    /// Title and note.
    pub heading: Heading,
    /// What was measured on the rows it was grown on.
    pub train: String,
    /// What was measured on rows held out.
    pub cv: String,
    /// The largest tree first.
    pub rows: Vec<PruningRow>,
    /// The one that is the model.
    pub selected: Option<usize>,
}

/// One pruning, the best from its α on until the next one's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct PruningRow {
    pub alpha: f64,
    pub leaves: u64,
    pub train: Option<f64>,
    pub cv: Option<f64>,
    pub cv_se: Option<f64>,
}

impl PruningPicture {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let ink = look.theme.ink();
        let has = |of: fn(&PruningRow) -> Option<f64>| self.rows.iter().any(|row| of(row).is_some_and(f64::is_finite));
        let (trained, held_out) = (has(|row| row.train), has(|row| row.cv));
        let selected = self.selected.and_then(|at| self.rows.get(at));
        let keys: Vec<_> = selected
            .map(|row| {
                let cv = row.cv.map(|cv| format!(", {} {}", self.cv, short(cv, 4))).unwrap_or_default();
                let text = format!("selected: α {}, {} leaves{cv}", short(row.alpha, 3), grouped(row.leaves));
                key(Mark::Dash, ink.text, text)
            })
            .into_iter()
            .collect();
        let description = format!(
            "{} prunings, from {} leaves to {}.",
            self.rows.len(),
            self.rows.first().map_or(0, |row| row.leaves),
            self.rows.last().map_or(0, |row| row.leaves)
        );
        let mut sheet = Sheet::new(look, &self.heading, &description, &keys);
        let size = sheet.canvas.size;
        let rest = sheet.rest;
        let panels = 1 + usize::from(held_out) + usize::from(trained);
        let axis = Axis::over(Spread::Log, "α (ccp_alpha)", self.rows.iter().map(|row| row.alpha)).padded_by(0.0, 0.04).with_zero();
        let leaves = Axis::over(Spread::LogOne, "leaves", self.rows.iter().map(|row| row.leaves as f64)).padded_by(0.06, 0.08);
        let cv_values = self.rows.iter().flat_map(|row| {
            let se = row.cv_se.unwrap_or(0.0);
            row.cv.into_iter().flat_map(move |cv| [cv - se, cv + se])
        });
        let cv = Axis::over(Spread::Linear, &self.cv, cv_values).padded(0.08);
        let train = Axis::over(Spread::Linear, &self.train, self.rows.iter().filter_map(|row| row.train)).padded(0.08);
        let shown: Vec<(Axis, usize)> = [(leaves, 0), (cv, 1), (train, 2)]
            .into_iter()
            .filter(|(_, which)| match which {
                1 => held_out,
                2 => trained,
                _ => true,
            })
            .collect();
        let foot = sheet.below(&axis);
        let share = (rest.height() - foot + size * 0.7) / panels as f64;
        let left = shown.iter().map(|(y, _)| sheet.left_of(y, share - size * 2.0)).fold(0.0, f64::max);
        let mut top = rest.top;
        for (at, (y, which)) in shown.into_iter().enumerate() {
            let last = at + 1 == panels;
            // of `error rate, CV` what finds room
            let mut y = y;
            if ems(&y.label) * size > share - size {
                y.label = y.label.split(',').next().unwrap_or_default().to_owned();
            }
            let mut x = axis.clone();
            if !last {
                x.label = String::new();
            }
            let bottom = if last { rest.bottom } else { top + share };
            let outer = Area { top, bottom, ..rest };
            let panel = sheet.panel(outer, (left, size), x, y, None);
            self.fill(&mut sheet, &panel, which);
            top = bottom;
        }
        sheet.canvas.finish()
    }

    fn fill(&self, sheet: &mut Sheet, panel: &Panel, which: usize) {
        let (size, ink) = (sheet.canvas.size, sheet.canvas.ink);
        let value = |row: &PruningRow| match which {
            0 => Some(row.leaves as f64),
            1 => row.cv,
            _ => row.train,
        };
        let colour = ink.hue([Ink::GREEN, Ink::BLUE, Ink::OCHRE][which.min(2)]);
        sheet.canvas.clip(panel.area);
        if which == 1 {
            let upper = self.steps(panel, |row| row.cv.map(|cv| cv + row.cv_se.unwrap_or(0.0)));
            let lower = self.steps(panel, |row| row.cv.map(|cv| cv - row.cv_se.unwrap_or(0.0)));
            let band: Vec<(f64, f64)> = upper.into_iter().chain(lower.into_iter().rev()).collect();
            sheet.canvas.fill(&band, colour, 0.16);
        }
        let steps = self.steps(panel, value);
        sheet.canvas.lines(std::slice::from_ref(&steps), colour, size * 0.15, None);
        sheet.canvas.unclip();
        let Some(row) = self.selected.and_then(|at| self.rows.get(at)) else { return };
        let x = panel.x(row.alpha);
        sheet.canvas.dashed((x, panel.area.top), (x, panel.area.bottom), ink.text, 1.2);
        let Some(value) = value(row).filter(|value| value.is_finite()) else { return };
        let y = panel.y(value);
        sheet.canvas.ring(x, y, size * 0.36, colour, None);
        let text = if which == 0 { format!("{} leaves", grouped(row.leaves)) } else { short(value, 4) };
        // to the right, where a falling line leaves room
        let fits = x + size * 0.7 + sheet.canvas.pixels(&text) < panel.area.right;
        let (anchor, x) = if fits { (Anchor::Start, x + size * 0.7) } else { (Anchor::End, x - size * 0.7) };
        let face = Type { halo: true, ..sheet.canvas.face(ink.text, anchor) };
        let y = if y - panel.area.top > size * 1.8 { y - size * 0.6 } else { y + size * 1.4 };
        sheet.canvas.text(x, y, face, &text);
    }

    /// Each value from its α to the next one's.
    fn steps(&self, panel: &Panel, value: impl Fn(&PruningRow) -> Option<f64>) -> Vec<(f64, f64)> {
        let mut steps = Vec::with_capacity(2 * self.rows.len());
        for (at, row) in self.rows.iter().enumerate() {
            let Some(value) = value(row).filter(|value| value.is_finite()) else { continue };
            let y = panel.y(value);
            steps.push((panel.x(row.alpha), y));
            steps.push((self.rows.get(at + 1).map_or(panel.area.right, |next| panel.x(next.alpha)), y));
        }
        steps
    }
}
