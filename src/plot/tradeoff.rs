//! What smallness costs: quality against size, with the points worth a name.

use super::axis::{Axis, Spread};
use super::canvas::{Anchor, Area, Type};
use super::ink::{Ink, Look};
use super::sheet::{Heading, Mark, Sheet, key};
use super::text::{ems, grouped, short};

/// Points looked at, at most; of more, evenly many. And points drawn.
const POINTS: usize = 10_000;
const DRAWN: usize = 600;

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
        let last = self.points.len().saturating_sub(1);
        let named = |at: usize| at == last || marks.iter().any(|mark| mark.1 == at);
        let wanted = |at: &usize| at.is_multiple_of(stride) || named(*at);
        let known = (0..self.points.len()).filter(wanted).map(|at| (at, &self.points[at]));
        let known: Vec<(usize, &TradeoffPoint)> = known.filter(|(_, point)| point.quality.is_finite()).collect();
        let spread = |point: &TradeoffPoint| {
            let se = point.se.filter(|se| se.is_finite()).unwrap_or(0.0);
            [point.quality - se, point.quality + se]
        };
        let y = Axis::over(Spread::Linear, &self.quality, known.iter().map(|known| known.1).flat_map(spread)).padded(0.06);
        let x = Axis::over(Spread::LogOne, &self.sizes, known.iter().map(|known| known.1.size as f64)).padded_by(0.02, 0.04);
        let outer = sheet.rest;
        let left = sheet.left_of(&y, outer.height() - size * 4.0);
        let panel = sheet.panel(outer, (left, size), x, y, None);
        let blue = ink.hue(Ink::BLUE);
        sheet.canvas.clip(panel.area);
        let place = |point: &TradeoffPoint| panel.place(point.size as f64, point.quality);
        // what would lie on the point before is left out, unless it has a name
        let mut shown: Vec<(usize, &TradeoffPoint)> = Vec::new();
        for (at, point) in known {
            let (x, y) = place(point);
            let near =
                |(_, other): &(usize, &TradeoffPoint)| (place(other).0 - x).abs() < size * 0.25 && (place(other).1 - y).abs() < size * 0.25;
            if named(at) || !shown.last().is_some_and(near) {
                shown.push((at, point));
            }
        }
        let stride = shown.len().div_ceil(DRAWN).max(1);
        let shown: Vec<&TradeoffPoint> = shown
            .iter()
            .enumerate()
            .filter(|(rank, known)| rank.is_multiple_of(stride) || named(known.0))
            .map(|(_, known)| known.1)
            .collect();
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
        self.name_them(&mut sheet, panel.area, &marks, &way, place);
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

    /// Rings on the points, and words beside them where they lie on as little else as can be.
    fn name_them(
        &self,
        sheet: &mut Sheet,
        area: Area,
        marks: &[(String, usize, String)],
        shown: &[(f64, f64)],
        place: impl Fn(&TradeoffPoint) -> (f64, f64),
    ) {
        let (size, ink) = (sheet.canvas.size, sheet.canvas.ink);
        let found: Vec<(f64, f64)> = marks.iter().filter_map(|mark| self.points.get(mark.1)).map(&place).collect();
        // what is drawn already, with what weight
        let mut taken: Vec<(Area, f64)> = found.iter().map(|(x, y)| (around(*x, *y, size * 0.5, size * 0.5), 4.0)).collect();
        taken.extend(shown.iter().map(|(x, y)| (around(*x, *y, size * 0.2, size * 0.2), 1.0)));
        for (rank, ((x, y), mark)) in found.into_iter().zip(marks).enumerate() {
            let half = ems(&mark.0) * size * 1.06 / 2.0;
            let word = |(dx, dy): (f64, f64)| around(x + dx, y + dy, half, size * 0.6);
            let beside = half + size * 0.8;
            let choices = [
                (beside, -size),
                (0.0, -size * 1.5),
                (0.0, size * 1.5),
                (beside, size),
                (-beside, -size),
                (-beside, size),
                (beside, -size * 2.4),
                (0.0, -size * 3.0),
                (0.0, size * 3.0),
                (-beside, -size * 2.4),
                (-beside, size * 2.4),
            ];
            let cost = |choice: &(f64, f64)| {
                let own = word(*choice);
                let outside = own.left < area.left || own.right > area.right || own.top < area.top || own.bottom > area.bottom;
                let lying = taken.iter().filter(|(other, _)| meet(&own, other)).map(|other| other.1).sum::<f64>();
                lying + if outside { 100.0 } else { 0.0 }
            };
            let best = choices.into_iter().reduce(|best, next| if cost(&next) < cost(&best) { next } else { best }).unwrap_or_default();
            let own = word(best);
            taken.push((own, 20.0));
            let colour = ink.hue(rank + 1);
            let middle = (own.left + own.right) / 2.0;
            if best.1.abs() > size * 2.0 {
                sheet.canvas.line(
                    (x, y),
                    (middle.clamp(x - half, x + half), (own.top + own.bottom) / 2.0 - best.1.signum() * size * 0.5),
                    colour,
                    1.0,
                );
            }
            sheet.canvas.ring(x, y, size * 0.42, colour, Some(&mark.0));
            let face = Type { halo: true, bold: true, ..sheet.canvas.face(colour, Anchor::Middle) };
            sheet.canvas.text(middle, own.bottom - size * 0.25, face, &mark.0);
        }
    }
}

fn around(x: f64, y: f64, wide: f64, high: f64) -> Area {
    Area { left: x - wide, top: y - high, right: x + wide, bottom: y + high }
}

fn meet(a: &Area, b: &Area) -> bool {
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}
