//! What every picture has around it: title, legend, and panels with axes.

use super::axis::{Axis, across, down};
use super::canvas::{Anchor, Area, Canvas, Type};
use super::ink::Look;
use super::text::{ems, wrap};

/// What a picture says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heading {
    /// What is shown, of what.
    pub title: String,
    /// One line or two: how it was made, what it leaves out.
    pub note: String,
}

/// How a line of the legend is marked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mark {
    Line,
    Dash,
    Dot,
    Ring,
    Bar,
}

/// One entry of the legend.
pub(super) struct Key {
    pub(super) mark: Mark,
    pub(super) colour: &'static str,
    pub(super) text: String,
}

pub(super) fn key(mark: Mark, colour: &'static str, text: impl Into<String>) -> Key {
    Key { mark, colour, text: text.into() }
}

/// A picture with its title and legend, and the place left for panels.
pub(super) struct Sheet {
    pub(super) canvas: Canvas,
    pub(super) rest: Area,
}

/// Values above a panel, each at a place of its horizontal axis.
pub(super) struct Above<'a> {
    pub(super) label: &'a str,
    pub(super) marks: &'a [(f64, String)],
}

/// Two axes and the area between them.
pub(super) struct Panel {
    pub(super) area: Area,
    x: Axis,
    y: Axis,
}

impl Sheet {
    /// Title, note and legend, each on as many lines as it needs.
    pub(super) fn new(look: Look, heading: &Heading, description: &str, keys: &[Key]) -> Self {
        let mut canvas = Canvas::new(look, &heading.title, description);
        let (size, ink) = (canvas.size, canvas.ink);
        let pad = size * 1.1;
        let width = canvas.width - 2.0 * pad;
        let mut y = pad;
        let title = Type { bold: true, size: size * 1.25, ..canvas.face(ink.text, Anchor::Start) };
        for line in wrap(&heading.title, width / (title.size * 1.06)).iter().take(2) {
            y += title.size;
            canvas.text(pad, y, title, line);
            y += title.size * 0.3;
        }
        let note = canvas.face(ink.muted, Anchor::Start);
        let lines = wrap(&heading.note, width / size);
        let most = if canvas.height < 320.0 { 2 } else { 4 };
        for line in lines.iter().take(most) {
            y += size * 1.05;
            canvas.text(pad, y, note, line);
            y += size * 0.35;
        }
        y = legend(&mut canvas, keys, (pad, y), width);
        let rest = Area { left: pad, top: y + size * 0.7, right: canvas.width - pad, bottom: canvas.height - pad * 0.7 };
        Self { canvas, rest }
    }

    /// Pixels that labels of a vertical axis and its ticks take to the left of a panel of about that height.
    pub(super) fn left_of(&self, axis: &Axis, height: f64) -> f64 {
        let size = self.canvas.size;
        let widest = axis.ticks(height, down(size)).iter().map(|tick| ems(&tick.text)).fold(0.0, f64::max);
        let label = if axis.label.is_empty() { 0.0 } else { size * 1.5 };
        label + widest * size + size * 0.8
    }

    /// Pixels below a panel for its ticks and its label; a panel without a label stands over one with the same axis.
    pub(super) fn below(&self, axis: &Axis) -> f64 {
        self.canvas.size * if axis.label.is_empty() { 0.7 } else { 3.1 }
    }

    /// Draws axes and grid. `outer` has room for everything; `left` and `right` pixels of it lie beside the area.
    pub(super) fn panel(&mut self, outer: Area, (left, right): (f64, f64), x: Axis, y: Axis, above: Option<&Above<'_>>) -> Panel {
        let (size, ink) = (self.canvas.size, self.canvas.ink);
        let top = outer.top + if above.is_some() { size * 3.0 } else { size * 0.5 };
        let bottom = (outer.bottom - self.below(&x)).max(top + 1.0);
        let area = Area { left: outer.left + left, top, right: (outer.right - right).max(outer.left + left + 1.0), bottom };
        let panel = Panel { area, x, y };
        let face = self.canvas.face(ink.muted, Anchor::End);
        for tick in panel.y.ticks(area.height(), down(size)) {
            let at = panel.y(tick.value);
            self.canvas.line((area.left, at), (area.right, at), ink.grid, 1.0);
            self.canvas.text(area.left - size * 0.5, at + size * 0.35, face, &tick.text);
        }
        let face = Type { anchor: Anchor::Middle, ..face };
        for tick in panel.x.ticks(area.width(), across(size)) {
            let at = panel.x(tick.value);
            self.canvas.line((at, area.bottom), (at, area.bottom + size * 0.35), ink.axis, 1.0);
            if panel.x.label.is_empty() {
                continue;
            }
            let half = ems(&tick.text) * size / 2.0;
            let inside = at.clamp(half, (self.canvas.width - half).max(half));
            self.canvas.text(inside, area.bottom + size * 1.45, face, &tick.text);
        }
        self.canvas.line((area.left, area.bottom), (area.right, area.bottom), ink.axis, 1.0);
        let middle = (area.left + area.right) / 2.0;
        let label = self.canvas.face(ink.text, Anchor::Middle);
        let across = 2.0 * (middle - outer.left).min(self.canvas.width - middle);
        let text = self.canvas.fitted(&panel.x.label, across, size);
        self.canvas.text(middle, area.bottom + size * 2.8, label, &text);
        let text = self.canvas.fitted(&panel.y.label, area.height() + size * 2.0, size);
        self.canvas.text_upwards(outer.left + size * 0.85, (area.top + area.bottom) / 2.0, label, &text);
        if let Some(above) = above {
            self.above(&panel, above);
        }
        panel
    }

    /// Ticks on the upper edge, as many as find room, evenly.
    fn above(&mut self, panel: &Panel, above: &Above<'_>) {
        let (size, ink, area) = (self.canvas.size, self.canvas.ink, panel.area);
        self.canvas.line((area.left, area.top), (area.right, area.top), ink.grid, 1.0);
        let face = self.canvas.face(ink.muted, Anchor::Middle);
        let mut places: Vec<(f64, &str)> = above.marks.iter().map(|(at, text)| (panel.x(*at), text.as_str())).collect();
        places.sort_by(|a, b| a.0.total_cmp(&b.0));
        places.retain(|place| place.0 >= area.left - 0.5 && place.0 <= area.right + 0.5);
        let widest = places.iter().map(|place| ems(place.1) * size).fold(0.0, f64::max) + size * 1.6;
        let mut end = f64::NEG_INFINITY;
        for (at, text) in places {
            if at - end < widest {
                continue;
            }
            self.canvas.line((at, area.top - size * 0.3), (at, area.top), ink.axis, 1.0);
            self.canvas.text(at, area.top - size * 0.55, face, text);
            end = at;
        }
        let label = self.canvas.face(ink.text, Anchor::Middle);
        self.canvas.text((area.left + area.right) / 2.0, area.top - size * 1.95, label, above.label);
    }
}

/// Entries beside each other, in as many rows as they need; the y below them.
fn legend(canvas: &mut Canvas, keys: &[Key], (left, mut y): (f64, f64), width: f64) -> f64 {
    if keys.is_empty() {
        return y;
    }
    let (size, ink) = (canvas.size, canvas.ink);
    let swatch = size * 1.9;
    let mut x = left;
    y += size * 1.55;
    for key in keys {
        let text = canvas.fitted(&key.text, width - swatch, size);
        let takes = swatch + canvas.pixels(&text);
        if x > left && x + takes > left + width {
            x = left;
            y += size * 1.45;
        }
        let (middle, end) = (y - size * 0.35, x + size * 1.4);
        match key.mark {
            Mark::Line => canvas.line((x, middle), (end, middle), key.colour, size * 0.18),
            Mark::Dash => canvas.dashed((x, middle), (end, middle), key.colour, size * 0.14),
            Mark::Dot => canvas.dot((x + end) / 2.0, middle, size * 0.34, key.colour, None),
            Mark::Ring => canvas.ring((x + end) / 2.0, middle, size * 0.32, key.colour, None),
            Mark::Bar => canvas.rect(
                Area { left: x + size * 0.3, top: middle - size * 0.4, right: end, bottom: middle + size * 0.4 },
                key.colour,
                1.0,
            ),
        }
        canvas.text(x + swatch, y, canvas.face(ink.text, Anchor::Start), &text);
        x += takes + size * 1.4;
    }
    y
}

impl Panel {
    pub(super) fn x(&self, value: f64) -> f64 {
        self.area.left + self.x.at(value) * self.area.width()
    }

    pub(super) fn y(&self, value: f64) -> f64 {
        self.area.bottom - self.y.at(value) * self.area.height()
    }

    pub(super) fn place(&self, x: f64, y: f64) -> (f64, f64) {
        (self.x(x), self.y(y))
    }
}

/// Moves places apart until each has `gap` from the next, none leaves `low..high`, and none is moved more than it must be:
/// the least squares solution, by pooling neighbours. As many as find room; `wanted` rising.
pub(super) fn apart(wanted: &[f64], gap: f64, low: f64, high: f64) -> Vec<f64> {
    // with the gaps taken away, places only have to rise
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (at, place) in wanted.iter().enumerate() {
        blocks.push((place - gap * at as f64, 1));
        while let [.., (mean, count), (next, more)] = blocks[..] {
            if mean <= next {
                break;
            }
            let pooled = (mean * count as f64 + next * more as f64) / (count + more) as f64;
            blocks.truncate(blocks.len() - 2);
            blocks.push((pooled, count + more));
        }
    }
    let top = (high - gap * wanted.len().saturating_sub(1) as f64).max(low);
    let flat = blocks.into_iter().flat_map(|(mean, count)| std::iter::repeat_n(mean.clamp(low, top), count));
    flat.enumerate().map(|(at, place)| place + gap * at as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_move_apart_and_no_more_than_they_must() {
        assert_eq!(apart(&[10.0, 50.0, 90.0], 12.0, 0.0, 100.0), [10.0, 50.0, 90.0]);
        assert_eq!(apart(&[50.0, 50.0, 50.0], 10.0, 0.0, 100.0), [40.0, 50.0, 60.0]);
        assert_eq!(apart(&[99.0, 100.0], 10.0, 0.0, 100.0), [90.0, 100.0]);
        assert_eq!(apart(&[-5.0, 0.0], 10.0, 0.0, 100.0), [0.0, 10.0]);
        assert!(apart(&[], 10.0, 0.0, 100.0).is_empty());
    }
}
