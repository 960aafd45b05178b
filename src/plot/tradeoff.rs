//! What smallness costs: quality against size, with the points worth a name.

use super::axis::{Axis, Spread};
use super::canvas::{Anchor, Area, Type};
use super::ink::{Ink, Look};
use super::sheet::{Heading, Mark, Sheet, apart, key};
use super::text::{ems, grouped, short};

/// Points drawn, at most; of more, evenly many.
const POINTS: usize = 600;

/// Models of different sizes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TradeoffPicture {
    /// Title and note.
    pub heading: Heading,
    /// What the vertical axis is, and which way is better.
    pub quality: String,
    /// What a size is: `non-zeros`, `leaves`.
    pub sizes: String,
    /// Along the path.
    pub points: Vec<TradeoffPoint>,
    /// The ones with names, in the order they are told; each name once.
    pub marked: Vec<Marked>,
}

/// One model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct TradeoffPoint {
    pub size: u64,
    pub quality: f64,
    pub se: Option<f64>,
}

/// A point with a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marked {
    /// Position in the points.
    pub at: usize,
    /// `best`, `1-SE`, `knee`, `selected`.
    pub name: String,
    /// What it costs beside the best, in words.
    pub cost: String,
}

impl TradeoffPicture {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let ink = look.theme.ink();
        let marks = self.marks();
        let tell = |name: &str, at: usize, cost: &str| {
            let point = self.points.get(at).copied().unwrap_or_default();
            let cost = if cost.is_empty() { String::new() } else { format!(" ({cost})") };
            format!("{name}: {} {}, {}{cost}", grouped(point.size), self.sizes, short(point.quality, 4))
        };
        let entry = |(rank, (name, at, cost)): (usize, &(String, usize, String))| key(Mark::Ring, ink.hue(rank + 1), tell(name, *at, cost));
        let keys: Vec<_> = marks.iter().enumerate().map(entry).collect();
        let description = keys.iter().map(|key| format!("{}.", key.text)).collect::<Vec<_>>().join(" ");
        let mut sheet = Sheet::new(look, &self.heading, &description, &keys);
        let size = sheet.canvas.size;
        let stride = self.points.len().div_ceil(POINTS).max(1);
        let shown: Vec<&TradeoffPoint> = self.points.iter().step_by(stride).filter(|point| point.quality.is_finite()).collect();
        let named = marks.iter().filter_map(|mark| self.points.get(mark.1));
        let spread = |point: &TradeoffPoint| {
            let se = point.se.filter(|se| se.is_finite()).unwrap_or(0.0);
            [point.quality - se, point.quality + se]
        };
        let y = Axis::over(Spread::Linear, &self.quality, shown.iter().copied().chain(named).flat_map(spread)).padded(0.06);
        let x = Axis::over(Spread::LogOne, &self.sizes, shown.iter().map(|point| point.size as f64)).padded_by(0.02, 0.04);
        let outer = sheet.rest;
        let left = sheet.left_of(&y, outer.height() - size * 4.0);
        let panel = sheet.panel(outer, (left, size), x, y, None);
        let blue = ink.hue(Ink::BLUE);
        sheet.canvas.clip(panel.area);
        let place = |point: &TradeoffPoint| panel.place(point.size as f64, point.quality);
        for point in &shown {
            if let Some(se) = point.se.filter(|se| se.is_finite()) {
                let (x, _) = place(point);
                sheet.canvas.line((x, panel.y(point.quality - se)), (x, panel.y(point.quality + se)), ink.faint, 1.0);
            }
        }
        let way: Vec<(f64, f64)> = shown.iter().map(|point| place(point)).collect();
        sheet.canvas.lines(std::slice::from_ref(&way), blue, size * 0.08, None);
        for (point, (x, y)) in shown.iter().zip(&way) {
            let name = (shown.len() <= 150).then(|| format!("{} {}: {}", grouped(point.size), self.sizes, short(point.quality, 4)));
            sheet.canvas.dot(*x, *y, size * 0.2, blue, name.as_deref());
        }
        sheet.canvas.unclip();
        self.name_them(&mut sheet, panel.area, &marks, |point| place(point));
        sheet.canvas.finish()
    }

    /// Names, point, cost; a point with two names is one mark.
    fn marks(&self) -> Vec<(String, usize, String)> {
        let mut marks: Vec<(String, usize, String)> = Vec::new();
        for mark in self.marked.iter().filter(|mark| self.points.get(mark.at).is_some_and(|point| point.quality.is_finite())) {
            match marks.iter_mut().find(|known| known.1 == mark.at) {
                Some(known) => known.0 = format!("{} = {}", known.0, mark.name),
                None => marks.push((mark.name.clone(), mark.at, mark.cost.clone())),
            }
        }
        marks
    }

    /// Rings on the points, words beside them that do not lie on each other.
    fn name_them(&self, sheet: &mut Sheet, area: Area, marks: &[(String, usize, String)], place: impl Fn(&TradeoffPoint) -> (f64, f64)) {
        let (size, ink) = (sheet.canvas.size, sheet.canvas.ink);
        let mut found: Vec<(f64, f64, usize)> = Vec::new();
        for (rank, mark) in marks.iter().enumerate() {
            if let Some(point) = self.points.get(mark.1) {
                let (x, y) = place(point);
                found.push((x, y, rank));
            }
        }
        found.sort_by(|a, b| a.1.total_cmp(&b.1));
        // one column of words for all: those that lie near each other move apart
        let wanted: Vec<f64> = found.iter().map(|mark| mark.1 - size * 1.3).collect();
        let moved = apart(&wanted, size * 1.25, area.top + size, area.bottom - size * 0.5);
        for ((x, y, rank), word_y) in found.into_iter().zip(moved) {
            let (colour, name) = (ink.hue(rank + 1), &marks[rank].0);
            let wide = ems(name) * size + size * 0.8;
            let (anchor, word_x) = if x + wide > area.right { (Anchor::End, x - size * 0.6) } else { (Anchor::Start, x + size * 0.6) };
            if (word_y - (y - size * 1.3)).abs() > size {
                sheet.canvas.line((x, y), (word_x, word_y - size * 0.3), colour, 0.8);
            }
            sheet.canvas.ring(x, y, size * 0.42, colour, Some(name));
            let face = Type { halo: true, bold: true, ..sheet.canvas.face(colour, anchor) };
            sheet.canvas.text(word_x, word_y, face, name);
        }
    }
}
