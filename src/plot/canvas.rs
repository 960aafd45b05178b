//! The document: elements written one after the other. Presentation attributes and no style sheet, no ids, no references and no
//! script, so that many pictures can stand in one page.

use std::fmt::Write as _;

use super::ink::{Ink, Look, SIDES};
use super::text::{cut, ems, escape};

/// A line keeps a point only if it would be off by this many pixels without it.
const TOLERANCE: f64 = 0.3;
/// A point nearer than this to the one before is the same.
const STEP: f64 = 0.5;
/// Points of one line, at most.
const POINTS_MAX: usize = 1500;
const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/// Where something lies: pixels from the left and from above.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Area {
    pub(super) fn width(&self) -> f64 {
        (self.right - self.left).max(1.0)
    }

    pub(super) fn height(&self) -> f64 {
        (self.bottom - self.top).max(1.0)
    }
}

/// Where a text hangs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    pub(super) size: f64,
    pub(super) colour: &'static str,
    pub(super) anchor: Anchor,
    pub(super) bold: bool,
    /// Has the colour of the paper around it, to be read on top of lines.
    pub(super) halo: bool,
}

/// See the module.
pub(super) struct Canvas {
    out: String,
    pub(super) ink: &'static Ink,
    pub(super) width: f64,
    pub(super) height: f64,
    /// Size of the texts beside axes.
    pub(super) size: f64,
}

impl Canvas {
    /// An empty picture. Texts grow with it, more slowly.
    pub(super) fn new(look: Look, title: &str, description: &str) -> Self {
        let side = |pixels: u32| f64::from(pixels.clamp(*SIDES.start(), *SIDES.end()));
        let (width, height, ink) = (side(look.width), side(look.height), look.theme.ink());
        let size = 12.0 * (width / 720.0).min(height / 420.0).sqrt().clamp(0.8, 2.6);
        let mut out = String::with_capacity(1 << 14);
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"{FONT}\"><title>{}</title><desc>{}</desc>",
            escape(title),
            escape(description)
        );
        let mut canvas = Self { out, ink, width, height, size };
        let all = Area { left: 0.0, top: 0.0, right: width, bottom: height };
        canvas.rect(all, ink.paper, 1.0);
        canvas
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    /// Text of the usual size.
    pub(super) fn face(&self, colour: &'static str, anchor: Anchor) -> Type {
        Type { size: self.size, colour, anchor, bold: false, halo: false }
    }

    pub(super) fn text(&mut self, x: f64, y: f64, face: Type, text: &str) {
        self.text_turned(x, y, face, text, false);
    }

    /// From below to above.
    pub(super) fn text_upwards(&mut self, x: f64, y: f64, face: Type, text: &str) {
        self.text_turned(x, y, face, text, true);
    }

    fn text_turned(&mut self, x: f64, y: f64, face: Type, text: &str, turned: bool) {
        let text = escape(text);
        if text.is_empty() {
            return;
        }
        let _ = write!(self.out, "<text x=\"{}\" y=\"{}\" font-size=\"{}\" fill=\"{}\"", Px(x), Px(y), Px(face.size), face.colour);
        if turned {
            let _ = write!(self.out, " transform=\"rotate(-90 {} {})\"", Px(x), Px(y));
        }
        match face.anchor {
            Anchor::Start => {}
            Anchor::Middle => self.out.push_str(" text-anchor=\"middle\""),
            Anchor::End => self.out.push_str(" text-anchor=\"end\""),
        }
        if face.bold {
            self.out.push_str(" font-weight=\"600\"");
        }
        if face.halo {
            let paper = self.ink.paper;
            let _ = write!(
                self.out,
                " stroke=\"{paper}\" stroke-width=\"{}\" stroke-linejoin=\"round\" paint-order=\"stroke\"",
                Px(face.size / 4.0)
            );
        }
        let _ = write!(self.out, ">{text}</text>");
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        let _ = write!(
            self.out,
            "<path d=\"M{} {}L{} {}\" stroke=\"{colour}\" stroke-width=\"{}\"/>",
            Px(from.0),
            Px(from.1),
            Px(to.0),
            Px(to.1),
            Px(width)
        );
    }

    pub(super) fn dashed(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        let _ = write!(
            self.out,
            "<path d=\"M{} {}L{} {}\" stroke=\"{colour}\" stroke-width=\"{}\" stroke-dasharray=\"{} {}\"/>",
            Px(from.0),
            Px(from.1),
            Px(to.0),
            Px(to.1),
            Px(width),
            Px(self.size * 0.4),
            Px(self.size * 0.3)
        );
    }

    /// Lines through points; what lies on the way between its neighbours is left out. `name` is told by a pointer that rests on them.
    pub(super) fn lines(&mut self, lines: &[Vec<(f64, f64)>], colour: &str, width: f64, name: Option<&str>) {
        let kept: Vec<Vec<(f64, f64)>> = lines.iter().filter(|line| line.len() > 1).map(|line| simplified(line)).collect();
        if kept.is_empty() {
            return;
        }
        let _ = write!(self.out, "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"{}\" stroke-linejoin=\"round\" d=\"", Px(width));
        for line in &kept {
            self.moves(line);
        }
        self.named(name, "path", "\"");
    }

    /// The area that points go around.
    pub(super) fn fill(&mut self, around: &[(f64, f64)], colour: &str, opacity: f64) {
        let _ = write!(self.out, "<path fill=\"{colour}\" fill-opacity=\"{opacity}\" d=\"");
        self.moves(&simplified(around));
        self.out.push_str("Z\"/>");
    }

    /// Absolute first, then by differences of rounded places, so that no error adds up.
    fn moves(&mut self, line: &[(f64, f64)]) {
        let tenths = |v: f64| (v.clamp(-1e5, 1e5) * 10.0).round() as i64;
        let mut last = (0_i64, 0_i64);
        for (at, (x, y)) in line.iter().enumerate() {
            let here = (tenths(*x), tenths(*y));
            let letter = if at == 0 { 'M' } else { 'l' };
            let (dx, dy) = (Px((here.0 - last.0) as f64 / 10.0), Px((here.1 - last.1) as f64 / 10.0));
            let _ = if here.1 - last.1 < 0 { write!(self.out, "{letter}{dx}{dy}") } else { write!(self.out, "{letter}{dx} {dy}") };
            last = here;
        }
    }

    fn named(&mut self, name: Option<&str>, element: &str, quote: &str) {
        let _ = match name {
            Some(name) => write!(self.out, "{quote}><title>{}</title></{element}>", escape(name)),
            None => write!(self.out, "{quote}/>"),
        };
    }

    pub(super) fn rect(&mut self, area: Area, colour: &str, opacity: f64) {
        self.rect_named(area, colour, opacity, None);
    }

    pub(super) fn rect_named(&mut self, area: Area, colour: &str, opacity: f64, name: Option<&str>) {
        let _ = write!(
            self.out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{colour}\"",
            Px(area.left),
            Px(area.top),
            Px((area.right - area.left).max(0.0)),
            Px((area.bottom - area.top).max(0.0))
        );
        if opacity < 1.0 {
            let _ = write!(self.out, " fill-opacity=\"{}\"", (opacity * 100.0).round() / 100.0);
        }
        self.named(name, "rect", "");
    }

    /// A box with round corners and an edge.
    pub(super) fn card(&mut self, area: Area, fill: &str, opacity: f64, edge: &str, name: &str) {
        let _ = write!(
            self.out,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{fill}\" fill-opacity=\"{}\" stroke=\"{edge}\"",
            Px(area.left),
            Px(area.top),
            Px(area.width()),
            Px(area.height()),
            Px(self.size * 0.3),
            (opacity * 100.0).round() / 100.0
        );
        self.named(Some(name), "rect", "");
    }

    pub(super) fn dot(&mut self, x: f64, y: f64, radius: f64, colour: &str, name: Option<&str>) {
        let _ = write!(self.out, "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{colour}\"", Px(x), Px(y), Px(radius));
        self.named(name, "circle", "");
    }

    /// A dot that stands out: paper inside, a thick edge.
    pub(super) fn ring(&mut self, x: f64, y: f64, radius: f64, colour: &str, name: Option<&str>) {
        let paper = self.ink.paper;
        let _ = write!(
            self.out,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{paper}\" stroke=\"{colour}\" stroke-width=\"{}\"",
            Px(x),
            Px(y),
            Px(radius),
            Px(radius * 0.5)
        );
        self.named(name, "circle", "");
    }

    /// What follows is cut at the edges of `area`, until [`Canvas::unclip`]. Places stay those of the whole picture.
    pub(super) fn clip(&mut self, area: Area) {
        let (x, y, w, h) = (Px(area.left), Px(area.top), Px(area.width()), Px(area.height()));
        let _ = write!(self.out, "<svg x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" viewBox=\"{x} {y} {w} {h}\">");
    }

    pub(super) fn unclip(&mut self) {
        self.out.push_str("</svg>");
    }

    /// The text cut to so many pixels, in the size of a face.
    pub(super) fn fitted(&self, text: &str, pixels: f64, size: f64) -> String {
        cut(text, (pixels / size).max(0.0))
    }

    pub(super) fn pixels(&self, text: &str) -> f64 {
        ems(text) * self.size
    }
}

/// Pixels, to a tenth.
struct Px(f64);

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = if self.0.is_finite() { (self.0.clamp(-1e5, 1e5) * 10.0).round() as i64 } else { 0 };
        let (sign, whole, rest) = (if tenths < 0 { "-" } else { "" }, tenths.abs() / 10, tenths.abs() % 10);
        match (whole, rest) {
            (_, 0) if whole == 0 => f.write_str("0"),
            (_, 0) => write!(f, "{sign}{whole}"),
            (0, _) => write!(f, "{sign}.{rest}"),
            _ => write!(f, "{sign}{whole}.{rest}"),
        }
    }
}

/// The line without points that change nothing one could see, and with no more than [`POINTS_MAX`].
fn simplified(line: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let last = line.len().saturating_sub(1);
    let mut moved: Vec<(f64, f64)> = Vec::new();
    for (at, point) in line.iter().enumerate() {
        let near = |known: &(f64, f64)| (known.0 - point.0).abs() < STEP && (known.1 - point.1).abs() < STEP;
        if at == last || !moved.last().is_some_and(near) {
            moved.push(*point);
        }
    }
    let (stride, last) = (moved.len().div_ceil(POINTS_MAX).max(1), moved.len().saturating_sub(1));
    let coarse: Vec<(f64, f64)> = moved.iter().enumerate().filter(|(at, _)| at % stride == 0 || *at == last).map(|(_, p)| *p).collect();
    let mut kept: Vec<(f64, f64)> = Vec::with_capacity(coarse.len());
    let mut begin = 0;
    for at in 1..coarse.len() {
        if kept.is_empty() {
            kept.push(coarse[0]);
        }
        // everything since the last point that was kept must lie beside the way from there to here
        let (from, to) = (coarse[begin], coarse[at]);
        let near = coarse[begin + 1..at].iter().all(|point| distance(*point, from, to) <= TOLERANCE);
        if !near || at - begin > 64 {
            kept.push(coarse[at - 1]);
            begin = at - 1;
        }
    }
    kept.extend(coarse.last());
    kept
}

fn distance(point: (f64, f64), from: (f64, f64), to: (f64, f64)) -> f64 {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let (px, py) = (point.0 - from.0, point.1 - from.1);
    let squared = dx * dx + dy * dy;
    let along = if squared > 0.0 { ((px * dx + py * dy) / squared).clamp(0.0, 1.0) } else { 0.0 };
    (px - along * dx).hypot(py - along * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_written_short_and_never_as_anything_else() {
        let texts = [0.04, -0.04, 12.0, -3.25, 0.5, -0.5, f64::NAN, f64::INFINITY, 1e300].map(|v| Px(v).to_string());
        assert_eq!(texts, ["0", "0", "12", "-3.3", ".5", "-.5", "0", "0", "100000"]);
    }

    #[test]
    fn a_straight_line_is_two_points_and_a_bend_is_kept() {
        let straight: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i), 2.0 * f64::from(i))).collect();
        assert_eq!(simplified(&straight), [(0.0, 0.0), (49.0, 98.0)]);
        assert_eq!(simplified(&[(0.0, 0.0), (5.0, 8.0), (10.0, 0.0)]).len(), 3);
        let noise: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), f64::from(i * 7919 % 101))).collect();
        assert!(simplified(&noise).len() <= POINTS_MAX + 1);
        assert!(simplified(&[]).is_empty());
    }
}
