//! The curve of a cross-validation: mean and standard error along a path, and what was chosen by it.

use super::axis::{Axis, Spread};
use super::canvas::{Anchor, Type};
use super::ink::{Ink, Look};
use super::sheet::{Above, Heading, Key, Mark, Sheet, key};
use super::text::{grouped, short};

/// A curve with so few points shows each of them.
const DOTS: usize = 60;

/// A cross-validation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CvCurve {
    /// Title and note.
    pub heading: Heading,
    /// What was measured; less is better.
    pub metric: String,
    /// What a size is: `non-zeros`, `leaves`.
    pub sizes: String,
    /// What the strength of the penalty is called: `λ`, `α`.
    pub strength: String,
    /// Whether sizes are the horizontal axis, and strengths are written above; else the other way round.
    pub by_size: bool,
    /// Along the path.
    pub points: Vec<CvPoint>,
    /// The point with the least mean.
    pub least: Option<usize>,
    /// The sparsest one within a standard error of it.
    pub one_se: Option<usize>,
    /// The one that is the model.
    pub selected: Option<usize>,
}

/// One point of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct CvPoint {
    pub strength: f64,
    pub size: u64,
    pub mean: f64,
    pub se: Option<f64>,
}

impl CvPoint {
    fn low(&self) -> f64 {
        self.mean - self.se.unwrap_or(0.0)
    }

    fn high(&self) -> f64 {
        self.mean + self.se.unwrap_or(0.0)
    }
}

impl CvCurve {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let ink = look.theme.ink();
        let told = |at: Option<usize>| at.and_then(|at| self.points.get(at)).map(|point| self.tell(point));
        let spread = self.points.iter().any(|point| point.se.is_some());
        let mut keys = vec![key(Mark::Line, ink.hue(Ink::BLUE), if spread { "mean ± standard error" } else { "on the rows held out" })];
        let marks = self.marks();
        keys.extend(marks.iter().map(|(words, at, hue)| {
            let text = format!("{words}: {}", told(Some(*at)).unwrap_or_default());
            Key { mark: Mark::Dash, colour: ink.hue(*hue), text }
        }));
        let description = format!("{} at {} points of a path. {}", self.metric, self.points.len(), {
            let text: Vec<String> = marks.iter().map(|mark| format!("{}: {}.", mark.0, told(Some(mark.1)).unwrap_or_default())).collect();
            text.join(" ")
        });
        let mut sheet = Sheet::new(look, &self.heading, &description, &keys);
        let size = sheet.canvas.size;
        let good = |point: &&CvPoint| point.low().is_finite() && point.high().is_finite();
        let mut points: Vec<&CvPoint> = self.points.iter().filter(good).collect();
        if self.by_size {
            points.sort_by(|a, b| a.size.cmp(&b.size).then(b.strength.total_cmp(&a.strength)));
        }
        let y = Axis::over(Spread::Linear, &self.metric, points.iter().flat_map(|point| [point.low(), point.high()])).padded(0.05);
        let (x, above_label) = if self.by_size {
            (Axis::over(Spread::LogOne, &self.sizes, points.iter().map(|point| point.size as f64)).padded(0.02), &self.strength)
        } else {
            let label = format!("{}, falling", self.strength);
            (Axis::over(Spread::Log, &label, points.iter().map(|point| point.strength)).falling().padded(0.01), &self.sizes)
        };
        let at = |point: &CvPoint| if self.by_size { point.size as f64 } else { point.strength };
        let above: Vec<(f64, String)> =
            points.iter().map(|point| (at(point), if self.by_size { short(point.strength, 2) } else { grouped(point.size) })).collect();
        let outer = sheet.rest;
        let left = sheet.left_of(&y, outer.height() - size * 6.0);
        let panel = sheet.panel(outer, (left, size), x, y, Some(&Above { label: above_label, marks: &above }));
        let blue = ink.hue(Ink::BLUE);
        let upper = points.iter().map(|point| panel.place(at(point), point.high()));
        let lower = points.iter().rev().map(|point| panel.place(at(point), point.low()));
        let band: Vec<(f64, f64)> = upper.chain(lower).collect();
        sheet.canvas.fill(&band, blue, 0.16);
        for (_, index, hue) in &marks {
            if let Some(point) = self.points.get(*index) {
                let x = panel.x(at(point));
                sheet.canvas.dashed((x, panel.area.top), (x, panel.area.bottom), ink.hue(*hue), size * 0.13);
            }
        }
        let mean: Vec<(f64, f64)> = points.iter().map(|point| panel.place(at(point), point.mean)).collect();
        sheet.canvas.lines(std::slice::from_ref(&mean), blue, size * 0.15, None);
        if points.len() <= DOTS {
            for ((x, y), point) in mean.iter().zip(&points) {
                sheet.canvas.dot(*x, *y, size * 0.24, blue, Some(&self.tell(point)));
            }
        }
        for (_, index, hue) in &marks {
            if let Some(point) = self.points.get(*index).filter(|point| point.mean.is_finite()) {
                let (x, y) = panel.place(at(point), point.mean);
                sheet.canvas.ring(x, y, size * 0.4, ink.hue(*hue), Some(&self.tell(point)));
            }
        }
        if points.is_empty() {
            let face = Type { anchor: Anchor::Middle, ..sheet.canvas.face(ink.muted, Anchor::Middle) };
            let middle = ((panel.area.left + panel.area.right) / 2.0, (panel.area.top + panel.area.bottom) / 2.0);
            sheet.canvas.text(middle.0, middle.1, face, "nothing was measured");
        }
        sheet.canvas.finish()
    }

    /// Words, point, hue; a point with two names is one mark.
    fn marks(&self) -> Vec<(String, usize, usize)> {
        let named = [("least", self.least, Ink::RED), ("1-SE", self.one_se, Ink::GREEN), ("selected", self.selected, Ink::PURPLE)];
        let mut marks: Vec<(String, usize, usize)> = Vec::new();
        for (word, at, hue) in named {
            let Some(at) = at.filter(|at| *at < self.points.len()) else { continue };
            match marks.iter_mut().find(|mark| mark.1 == at) {
                Some(mark) => mark.0 = format!("{} = {word}", mark.0),
                None => marks.push((word.to_owned(), at, hue)),
            }
        }
        marks
    }

    fn tell(&self, point: &CvPoint) -> String {
        format!("{} {}, {} {}, {}", self.strength, short(point.strength, 3), grouped(point.size), self.sizes, short(point.mean, 4))
    }
}
