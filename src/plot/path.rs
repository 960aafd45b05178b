//! The path: coefficients against λ, or how well the points fit where coefficients are not kept.

use super::axis::{Axis, Spread};
use super::canvas::{Anchor, Canvas};
use super::ink::{Ink, Look};
use super::sheet::{Above, Heading, Mark, Panel, Sheet, apart, key};
use super::text::{ems, grouped, short};

/// Lines drawn strongly.
const STRONG: usize = 30;
/// Lines drawn faintly behind them, and points of these together.
const FAINT: usize = 300;
const FAINT_POINTS: usize = 2500;
/// Lines with a colour and a name.
const NAMED: usize = 12;

/// Coefficients along a path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathPicture {
    /// Title and note.
    pub heading: Heading,
    /// What the vertical axis is: the scale of the coefficients.
    pub label: String,
    /// λ of each point, falling.
    pub lambda: Vec<f64>,
    /// Non-zeros of each point.
    pub nonzeros: Vec<u64>,
    /// The point that is the model.
    pub selected: Option<usize>,
    /// Strongest first.
    pub lines: Vec<PathLine>,
}

/// One coefficient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathLine {
    /// Of its feature.
    pub name: String,
    /// Points at which it is not 0, rising, and its value there.
    pub values: Vec<(usize, f64)>,
}

/// How well each point of a path fits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FitCurve {
    /// Title and note.
    pub heading: Heading,
    /// λ, share of the deviance explained, non-zeros.
    pub points: Vec<(f64, f64, u64)>,
    /// The point that is the model.
    pub selected: Option<usize>,
}

fn lambda_axis(values: impl IntoIterator<Item = f64>) -> Axis {
    Axis::over(Spread::Log, "λ, falling", values).falling()
}

impl PathPicture {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let named = self.lines.len().min(NAMED);
        let description = format!(
            "{} coefficients along {} values of λ; non-zeros grow from {} to {}.",
            grouped(self.lines.len() as u64),
            self.lambda.len(),
            self.nonzeros.first().copied().unwrap_or(0),
            self.nonzeros.last().copied().unwrap_or(0)
        );
        let mut sheet = Sheet::new(look, &self.heading, &description, &[]);
        let (size, ink) = (sheet.canvas.size, sheet.canvas.ink);
        let strong = &self.lines[..self.lines.len().min(STRONG)];
        let values = strong.iter().flat_map(|line| line.values.iter().map(|value| value.1)).chain([0.0]);
        let y = Axis::over(Spread::Linear, &self.label, values).padded(0.04);
        let longest = self.lines[..named].iter().map(|line| ems(&line.name)).fold(0.0, f64::max) * size;
        let right = (longest + size * 1.6).min(sheet.rest.width() * 0.3).max(size);
        let outer = sheet.rest;
        let left = sheet.left_of(&y, outer.height() - size * 6.0);
        let marks: Vec<(f64, String)> = self.lambda.iter().zip(&self.nonzeros).map(|(l, n)| (*l, grouped(*n))).collect();
        let above = Above { label: "non-zero coefficients", marks: &marks };
        let panel = sheet.panel(outer, (left, right), lambda_axis(self.lambda.iter().copied()), y, Some(&above));
        let zero = panel.y(0.0);
        sheet.canvas.line((panel.area.left, zero), (panel.area.right, zero), ink.axis, 1.0);
        sheet.canvas.clip(panel.area);
        let mut left_over = FAINT_POINTS;
        for line in self.lines.iter().skip(STRONG).take(FAINT) {
            let runs = self.runs(line, &panel);
            let points: usize = runs.iter().map(Vec::len).sum();
            if points > left_over {
                break;
            }
            left_over -= points;
            sheet.canvas.lines(&runs, ink.faint, 0.7, None);
        }
        for (rank, line) in strong.iter().enumerate().rev() {
            let (colour, width) = if rank < named { (ink.hue(rank), size * 0.13) } else { (ink.axis, size * 0.08) };
            sheet.canvas.lines(&self.runs(line, &panel), colour, width, Some(&line.name));
        }
        sheet.canvas.unclip();
        self.names(&mut sheet.canvas, &panel, named, right);
        if let Some(lambda) = self.selected.and_then(|at| self.lambda.get(at)) {
            mark(&mut sheet.canvas, &panel, *lambda, "selected");
        }
        sheet.canvas.finish()
    }

    /// Places of a coefficient where it is not 0, and of the zeros beside those.
    fn runs(&self, line: &PathLine, panel: &Panel) -> Vec<Vec<(f64, f64)>> {
        let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
        let place = |at: usize, value: f64| self.lambda.get(at).map(|lambda| panel.place(*lambda, value));
        for run in line.values.chunk_by(|a, b| a.0 + 1 == b.0) {
            let first = run.first().and_then(|first| first.0.checked_sub(1)).and_then(|at| place(at, 0.0));
            let last = run.last().and_then(|last| place(last.0 + 1, 0.0));
            let inner = run.iter().filter(|value| value.1.is_finite()).filter_map(|value| place(value.0, value.1));
            runs.push(first.into_iter().chain(inner).chain(last).collect());
        }
        runs
    }

    /// At the ends of the lines, apart; as many as find room.
    fn names(&self, canvas: &mut Canvas, panel: &Panel, named: usize, room: f64) {
        let (size, ink, area) = (canvas.size, canvas.ink, panel.area);
        let gap = size * 1.2;
        let most = ((area.height() / gap) as usize + 1).min(named);
        let end = self.lambda.len().saturating_sub(1);
        let value_at_end = |line: &PathLine| line.values.last().filter(|value| value.0 == end).map_or(0.0, |value| value.1);
        let mut ends: Vec<(f64, usize)> =
            self.lines[..most].iter().enumerate().map(|(rank, line)| (panel.y(value_at_end(line)), rank)).collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        let wanted: Vec<f64> = ends.iter().map(|end| end.0).collect();
        for ((from, rank), to) in ends.into_iter().zip(apart(&wanted, gap, area.top, area.bottom)) {
            let face = canvas.face(ink.hue(rank), Anchor::Start);
            canvas.line((area.right + 1.0, from), (area.right + size * 0.9, to), ink.hue(rank), 0.8);
            let text = canvas.fitted(&self.lines[rank].name, room - size * 1.2, size);
            canvas.text(area.right + size * 1.1, to + size * 0.35, face, &text);
        }
    }
}

/// A vertical line at λ with a word beside it, on the side with more room.
pub(super) fn mark(canvas: &mut Canvas, panel: &Panel, value: f64, word: &str) {
    let (size, ink, area) = (canvas.size, canvas.ink, panel.area);
    let x = panel.x(value);
    canvas.dashed((x, area.top), (x, area.bottom), ink.text, 1.2);
    let (anchor, x) = if x - area.left > area.right - x { (Anchor::End, x - size * 0.4) } else { (Anchor::Start, x + size * 0.4) };
    let face = super::canvas::Type { halo: true, ..canvas.face(ink.text, anchor) };
    canvas.text(x, area.bottom - size * 0.6, face, word);
}

impl FitCurve {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let description = format!("The share of the deviance explained at {} values of λ.", self.points.len());
        let ink = look.theme.ink();
        let keys = [key(Mark::Line, ink.hue(Ink::BLUE), "deviance explained, rows it was fitted on")];
        let mut sheet = Sheet::new(look, &self.heading, &description, &keys);
        let size = sheet.canvas.size;
        let y = Axis::over(Spread::Linear, "deviance explained", self.points.iter().map(|point| point.1).chain([0.0])).padded_by(0.0, 0.06);
        let marks: Vec<(f64, String)> = self.points.iter().map(|point| (point.0, grouped(point.2))).collect();
        let above = Above { label: "non-zero coefficients", marks: &marks };
        let outer = sheet.rest;
        let left = sheet.left_of(&y, outer.height() - size * 6.0);
        let x = lambda_axis(self.points.iter().map(|point| point.0));
        let panel = sheet.panel(outer, (left, size), x, y, Some(&above));
        let places: Vec<(f64, f64)> =
            self.points.iter().filter(|point| point.1.is_finite()).map(|point| panel.place(point.0, point.1)).collect();
        sheet.canvas.lines(std::slice::from_ref(&places), ink.hue(Ink::BLUE), size * 0.15, None);
        if places.len() <= 60 {
            for ((x, y), point) in places.iter().zip(&self.points) {
                let name = format!("λ {}: {} non-zeros", short(point.0, 3), grouped(point.2));
                sheet.canvas.dot(*x, *y, size * 0.25, ink.hue(Ink::BLUE), Some(&name));
            }
        }
        if let Some(point) = self.selected.and_then(|at| self.points.get(at)) {
            mark(&mut sheet.canvas, &panel, point.0, "selected");
        }
        sheet.canvas.finish()
    }
}
