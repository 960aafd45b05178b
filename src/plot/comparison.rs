//! Models beside each other: the score of each with its interval, and what each costs.

use super::axis::{Axis, Spread, across, count};
use super::canvas::{Anchor, Area, Type};
use super::ink::{Ink, Look};
use super::sheet::{Heading, Sheet};
use super::text::{ems, grouped, short};

/// Rows drawn, at most.
const ROWS: usize = 40;

/// Models compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Title and note.
    pub heading: Heading,
    /// What the score is.
    pub score: String,
    /// In the order they are shown.
    pub rows: Vec<Contender>,
}

/// One model; what is not known of it is not drawn.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Contender {
    pub name: String,
    pub score: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Non-zeros, leaves, rules.
    pub size: Option<u64>,
    pub bytes: Option<u64>,
    pub latency_us: Option<f64>,
}

/// A column of bars.
struct Cost {
    label: &'static str,
    hue: usize,
    values: Vec<Option<f64>>,
    tell: fn(f64) -> String,
}

impl Comparison {
    /// The picture.
    pub fn draw(&self, look: Look) -> String {
        let told = |row: &Contender| row.score.map(|score| format!("{}: {}.", row.name, short(score, 4)));
        let description = format!("{} of {} models. {}", self.score, self.rows.len(), {
            self.rows.iter().take(ROWS).filter_map(told).collect::<Vec<_>>().join(" ")
        });
        let mut sheet = Sheet::new(look, &self.heading, &description, &[]);
        let (size, ink, rest) = (sheet.canvas.size, sheet.canvas.ink, sheet.rest);
        let foot = size * 3.2;
        let head = size * 1.8;
        let room = ((rest.height() - foot - head) / (size * 1.5)) as usize;
        let all = self.rows.len();
        let shown = &self.rows[..all.min(ROWS).min(room.max(1))];
        let step = ((rest.height() - foot - head) / shown.len().max(1) as f64).min(size * 3.4);
        let line = |at: usize| rest.top + head + (at as f64 + 0.5) * step;
        let bottom = rest.top + head + shown.len() as f64 * step;
        let longest = shown.iter().map(|row| ems(&row.name)).fold(0.0, f64::max) * size + size;
        let names = longest.min(rest.width() * 0.28);
        let costs: Vec<Cost> = costs(shown);
        let narrow = rest.width() < size * 46.0;
        let column = if narrow { size * 5.2 } else { (rest.width() - names) * 0.19 };
        let beside = column * costs.len() as f64;
        let area = Area {
            left: rest.left + names,
            top: rest.top + head,
            right: (rest.right - beside - size * 1.2).max(rest.left + names + size * 4.0),
            bottom,
        };
        let face = sheet.canvas.face(ink.text, Anchor::Start);
        for (at, row) in shown.iter().enumerate() {
            if at % 2 == 1 {
                let stripe = Area { left: rest.left, top: line(at) - step / 2.0, right: rest.right, bottom: line(at) + step / 2.0 };
                sheet.canvas.rect(stripe, ink.grid, 0.5);
            }
            let text = sheet.canvas.fitted(&row.name, names - size * 0.6, size);
            sheet.canvas.text(rest.left + size * 0.2, line(at) + size * 0.35, face, &text);
        }
        self.scores(&mut sheet, area, shown, line);
        for (at, cost) in costs.iter().enumerate() {
            let left = area.right + size * 1.2 + at as f64 * column;
            bars(
                &mut sheet,
                cost,
                (left, left + column - size * 0.8),
                rest.top + head - size * 0.7,
                line,
                (step * 0.5).min(size * 1.1),
                narrow,
            );
        }
        if shown.len() < all {
            let text = format!("+{} models", grouped((all - shown.len()) as u64));
            sheet.canvas.text(rest.left, bottom + size * 1.5, sheet.canvas.face(ink.muted, Anchor::Start), &text);
        }
        sheet.canvas.finish()
    }

    fn scores(&self, sheet: &mut Sheet, area: Area, shown: &[Contender], line: impl Fn(usize) -> f64) {
        let (size, ink) = (sheet.canvas.size, sheet.canvas.ink);
        let values = shown.iter().flat_map(|row| [row.score, row.low, row.high]).flatten();
        let axis = Axis::over(Spread::Linear, &self.score, values).padded(0.08);
        let at = |value: f64| area.left + axis.at(value) * area.width();
        let face = sheet.canvas.face(ink.muted, Anchor::Middle);
        for tick in axis.ticks(area.width(), across(size)) {
            sheet.canvas.line((at(tick.value), area.top), (at(tick.value), area.bottom), ink.grid, 1.0);
            sheet.canvas.text(at(tick.value), area.bottom + size * 1.4, face, &tick.text);
        }
        sheet.canvas.line((area.left, area.bottom), (area.right, area.bottom), ink.axis, 1.0);
        let label = sheet.canvas.fitted(&axis.label, area.width() + size * 4.0, size);
        sheet.canvas.text((area.left + area.right) / 2.0, area.bottom + size * 2.8, Type { colour: ink.text, ..face }, &label);
        let best = shown.iter().filter_map(|row| row.score).filter(|score| score.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        for (index, row) in shown.iter().enumerate() {
            let Some(score) = row.score.filter(|score| score.is_finite()) else { continue };
            let (y, blue) = (line(index), ink.hue(Ink::BLUE));
            if let (Some(low), Some(high)) = (row.low.filter(|v| v.is_finite()), row.high.filter(|v| v.is_finite())) {
                sheet.canvas.line((at(low), y), (at(high), y), blue, size * 0.16);
                for end in [low, high] {
                    sheet.canvas.line((at(end), y - size * 0.3), (at(end), y + size * 0.3), blue, size * 0.12);
                }
            }
            let name = format!("{}: {}", row.name, short(score, 4));
            if score == best {
                sheet.canvas.dot(at(score), y, size * 0.45, blue, Some(&name));
            } else {
                sheet.canvas.ring(at(score), y, size * 0.36, blue, Some(&name));
            }
        }
    }
}

fn costs(shown: &[Contender]) -> Vec<Cost> {
    let of = |value: fn(&Contender) -> Option<f64>| shown.iter().map(|row| value(row).filter(|v| v.is_finite())).collect();
    let all = [
        Cost { label: "size", hue: Ink::GREEN, values: of(|row| row.size.map(|v| v as f64)), tell: count },
        Cost { label: "bytes", hue: Ink::OCHRE, values: of(|row| row.bytes.map(|v| v as f64)), tell: bytes },
        Cost { label: "latency", hue: Ink::PURPLE, values: of(|row| row.latency_us), tell: time },
    ];
    all.into_iter().filter(|cost: &Cost| cost.values.iter().any(Option::is_some)).collect()
}

/// Bars from the left, on a scale of logarithms, and what each is in words; only the words where it is narrow.
fn bars(sheet: &mut Sheet, cost: &Cost, (left, right): (f64, f64), head: f64, line: impl Fn(usize) -> f64, thick: f64, narrow: bool) {
    let (size, ink) = (sheet.canvas.size, sheet.canvas.ink);
    sheet.canvas.text(left, head, Type { bold: true, ..sheet.canvas.face(ink.text, Anchor::Start) }, cost.label);
    let axis = Axis::over(Spread::LogOne, "", cost.values.iter().flatten().copied().chain([0.0]));
    let words = if narrow { 0.0 } else { size * 4.4 };
    for (at, value) in cost.values.iter().enumerate() {
        let Some(value) = value else { continue };
        let mut x = left;
        if !narrow {
            let end = left + axis.at(*value) * (right - left - words).max(1.0);
            let area = Area { left, top: line(at) - thick / 2.0, right: end.max(left + 1.5), bottom: line(at) + thick / 2.0 };
            sheet.canvas.rect(area, ink.hue(cost.hue), 0.85);
            x = area.right + size * 0.4;
        }
        sheet.canvas.text(x, line(at) + size * 0.35, sheet.canvas.face(ink.text, Anchor::Start), &(cost.tell)(*value));
    }
}

fn bytes(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{} GB", short(v / 1e9, 3)),
        v if v >= 1e6 => format!("{} MB", short(v / 1e6, 3)),
        v if v >= 1e3 => format!("{} kB", short(v / 1e3, 3)),
        v => format!("{} B", short(v, 3)),
    }
}

fn time(microseconds: f64) -> String {
    match microseconds {
        v if v >= 1e6 => format!("{} s", short(v / 1e6, 3)),
        v if v >= 1e3 => format!("{} ms", short(v / 1e3, 3)),
        v => format!("{} µs", short(v, 3)),
    }
}
