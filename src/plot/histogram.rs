//! The histogram of coefficients, the spike at zero apart.

use super::axis::{Axis, Spread};
use super::canvas::{Anchor, Area, Type};
use super::ink::{Ink, Look};
use super::sheet::{Heading, Key, Mark, Panel, Sheet, key};
use super::text::{grouped, short};

/// A histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPicture {
    /// Title and note.
    pub heading: Heading,
    /// What is counted along the horizontal axis.
    pub label: String,
    /// Coefficients that are exactly 0.
    pub zeros: u64,
    /// The others.
    pub bars: Bars,
}

/// Counts between edges, of which there is one more.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Bars {
    Linear {
        edges: Vec<f64>,
        counts: Vec<u64>,
    },
    /// Edges are log₁₀ of magnitudes.
    Log {
        edges: Vec<f64>,
        positive: Vec<u64>,
        negative: Vec<u64>,
    },
}

impl HistogramPicture {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let ink = look.theme.ink();
        let (sum, keys) = match &self.bars {
            Bars::Linear { counts, .. } => (counts.iter().sum::<u64>(), Vec::new()),
            Bars::Log { positive, negative, .. } => {
                let (more, less) = (positive.iter().sum::<u64>(), negative.iter().sum::<u64>());
                let entry = |hue, word, count: u64| -> Key { key(Mark::Bar, ink.hue(hue), format!("{word}: {}", grouped(count))) };
                (more + less, vec![entry(Ink::BLUE, "above 0", more), entry(Ink::RED, "below 0", less)])
            }
        };
        let description = format!("{} coefficients are exactly 0, {} are not.", grouped(self.zeros), grouped(sum));
        let mut sheet = Sheet::new(look, &self.heading, &description, &keys);
        let size = sheet.canvas.size;
        let outer = sheet.rest;
        let apart = (outer.width() * 0.17).clamp(size * 5.0, size * 9.0);
        let main = Area { left: outer.left + apart, ..outer };
        let (y, x) = self.axes();
        let left = sheet.left_of(&y, outer.height() - size * 4.0);
        let panel = sheet.panel(main, (left, size), x, y, None);
        self.spike(&mut sheet, &panel, Area { right: outer.left + apart, ..outer }, sum);
        match &self.bars {
            Bars::Linear { edges, counts } => {
                for (pair, count) in edges.windows(2).zip(counts) {
                    let hue = if pair[0] >= 0.0 {
                        ink.hue(Ink::BLUE)
                    } else if pair[1] <= 0.0 {
                        ink.hue(Ink::RED)
                    } else {
                        ink.axis
                    };
                    let name = format!("{} … {}: {}", short(pair[0], 3), short(pair[1], 3), grouped(*count));
                    bar(&mut sheet, &panel, (pair[0], pair[1]), *count as f64, hue, &name);
                }
            }
            Bars::Log { edges, positive, negative } => {
                let pairs = edges.windows(2).zip(positive.iter().zip(negative));
                for (pair, (more, less)) in pairs {
                    let range = (10f64.powf(pair[0]), 10f64.powf(pair[1]));
                    let name =
                        |sign: &str, count: &u64| format!("{sign}{} … {sign}{}: {}", short(range.0, 3), short(range.1, 3), grouped(*count));
                    bar(&mut sheet, &panel, range, *more as f64, ink.hue(Ink::BLUE), &name("", more));
                    bar(&mut sheet, &panel, range, -(*less as f64), ink.hue(Ink::RED), &name("−", less));
                }
                let zero = panel.y(0.0);
                sheet.canvas.line((panel.area.left, zero), (panel.area.right, zero), ink.axis, 1.0);
            }
        }
        if sum == 0 {
            let middle = ((panel.area.left + panel.area.right) / 2.0, (panel.area.top + panel.area.bottom) / 2.0);
            let face = sheet.canvas.face(ink.muted, Anchor::Middle);
            sheet.canvas.text(middle.0, middle.1, face, "every coefficient is 0");
        }
        sheet.canvas.finish()
    }

    fn axes(&self) -> (Axis, Axis) {
        match &self.bars {
            Bars::Linear { edges, counts } => {
                let y = Axis::over(Spread::Linear, "coefficients", counts.iter().map(|count| *count as f64).chain([0.0, 1.0]));
                (y.padded_by(0.0, 0.06).whole(), Axis::over(Spread::Linear, &self.label, edges.iter().copied()).padded(0.01))
            }
            Bars::Log { edges, positive, negative } => {
                let above = positive.iter().map(|count| *count as f64);
                let below = negative.iter().map(|count| -(*count as f64));
                let y = Axis::over(Spread::Linear, "coefficients", above.chain(below).chain([0.0, 1.0])).padded(0.05);
                let x = Axis::over(Spread::Log, &self.label, edges.iter().map(|edge| 10f64.powf(*edge)));
                (y.whole().unsigned(), x.padded(0.01))
            }
        }
    }

    /// A bar of its own, broken: it has no scale.
    fn spike(&self, sheet: &mut Sheet, panel: &Panel, outer: Area, nonzeros: u64) {
        let (size, ink, area) = (sheet.canvas.size, sheet.canvas.ink, panel.area);
        let middle = (outer.left + outer.right) / 2.0 - size * 0.5;
        let half = size * 1.3;
        let (top, bottom) = (area.top + size * 3.0, area.bottom);
        let all = (self.zeros + nonzeros).max(1);
        let share = format!("{} %", short(100.0 * self.zeros as f64 / all as f64, 3));
        let face = sheet.canvas.face(ink.text, Anchor::Middle);
        sheet.canvas.text(middle, area.top + size * 0.9, Type { bold: true, ..face }, &grouped(self.zeros));
        sheet.canvas.text(middle, area.top + size * 2.2, Type { colour: ink.muted, ..face }, &share);
        if self.zeros > 0 {
            let name = format!("exactly 0: {}", grouped(self.zeros));
            sheet.canvas.rect_named(Area { left: middle - half, top, right: middle + half, bottom }, ink.axis, 0.75, Some(&name));
            let torn = (top + bottom) / 2.0;
            let (a, b) = (middle - half - 2.0, middle + half + 2.0);
            let slant = size * 0.5;
            let gap = [(a, torn + slant), (b, torn - slant), (b, torn - slant + size * 0.5), (a, torn + slant + size * 0.5)];
            sheet.canvas.fill(&gap, ink.paper, 1.0);
        }
        sheet.canvas.line((middle - half * 1.4, bottom), (middle + half * 1.4, bottom), ink.axis, 1.0);
        sheet.canvas.text(middle, bottom + size * 1.45, Type { colour: ink.muted, ..face }, "exactly 0");
    }
}

fn bar(sheet: &mut Sheet, panel: &Panel, (from, to): (f64, f64), height: f64, colour: &str, name: &str) {
    if height == 0.0 {
        return;
    }
    let (a, b) = (panel.x(from), panel.x(to));
    let (zero, end) = (panel.y(0.0), panel.y(height));
    let gap = if b - a > 4.0 { 0.6 } else { 0.0 };
    // what is there is seen, however little of it
    let end = if (end - zero).abs() < 1.5 { zero - 1.5 * height.signum() } else { end };
    let area = Area { left: a + gap, top: zero.min(end), right: (b - gap).max(a + gap + 0.5), bottom: zero.max(end) };
    sheet.canvas.rect_named(area, colour, 1.0, Some(name));
}
