//! Text of HTML: what is ours goes in as it is, everything else escaped; numbers as people read them.

use super::Picture;
use crate::job::Warning;

/// A name that is longer is cut in a table.
const NAME_MAX: usize = 120;

const STYLE: &str = include_str!("page.css");

/// A document that grows. Only text that stands in this program goes in unescaped.
pub(super) struct Html(String);

impl Html {
    /// Begins a page.
    pub(super) fn page(title: &str) -> Self {
        let mut page = Self(String::with_capacity(32 << 10));
        page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
            .raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
            .raw("<meta name=\"color-scheme\" content=\"light dark\"><title>")
            .text(title)
            .raw("</title><style>")
            .raw(STYLE)
            .raw("</style></head><body><main>\n");
        page
    }

    /// Ends it.
    pub(super) fn end(mut self, foot: &str) -> String {
        self.raw("<footer>").text(foot).raw("</footer></main></body></html>\n");
        self.0
    }

    /// Our own words.
    pub(super) fn raw(&mut self, ours: &'static str) -> &mut Self {
        self.0.push_str(ours);
        self
    }

    /// Anybody's words.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // no document may hold these
                other if other.is_control() && !matches!(other, '\n' | '\t') => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
        self
    }

    /// A name: its letters may run from right to left, and those around it stay where they are.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.raw("<bdi>");
        if name.chars().count() > NAME_MAX {
            let cut: String = name.chars().take(NAME_MAX).chain(['…']).collect();
            self.text(&cut);
        } else {
            self.text(name);
        }
        self.raw("</bdi>")
    }

    pub(super) fn heading(&mut self, text: &'static str) -> &mut Self {
        self.raw("<h2>").raw(text).raw("</h2>\n")
    }

    /// Both looks of a picture, of which the style shows one.
    pub(super) fn picture(&mut self, picture: &Picture) -> &mut Self {
        self.raw("<figure><div class=\"light\">");
        self.0.push_str(&picture.light);
        self.raw("</div><div class=\"dark\" aria-hidden=\"true\">");
        self.0.push_str(&picture.dark);
        self.raw("</div>");
        if !picture.caption.is_empty() {
            self.raw("<figcaption>").text(&picture.caption).raw("</figcaption>");
        }
        self.raw("</figure>\n")
    }

    /// One line of a list of facts; `None` shows nothing.
    pub(super) fn fact(&mut self, name: &'static str, value: Option<String>) -> &mut Self {
        if let Some(value) = value {
            self.raw("<div><dt>").raw(name).raw("</dt><dd>").text(&value).raw("</dd></div>");
        }
        self
    }

    /// A cell with a number, or a dash.
    pub(super) fn cell(&mut self, value: Option<String>) -> &mut Self {
        self.raw("<td class=\"n\">").text(value.as_deref().unwrap_or("–")).raw("</td>")
    }

    pub(super) fn warnings(&mut self, warnings: &[Warning]) -> &mut Self {
        if warnings.is_empty() {
            return self;
        }
        self.heading("Warnings").raw("<ul class=\"warnings\">");
        for warning in warnings {
            self.raw("<li><code>").text(&warning.code).raw("</code> ").text(&warning.detail).raw("</li>");
        }
        self.raw("</ul>\n")
    }
}

/// A whole number in groups of three.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number with so many digits that count, without an exponent where it can be without.
pub(super) fn number(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".into() } else { "–".into() };
    }
    let magnitude = value.abs().log10().floor();
    let text = if (-4.0..6.0).contains(&magnitude) {
        let places = (digits as f64 - 1.0 - magnitude).clamp(0.0, 12.0) as usize;
        format!("{value:.places$}")
    } else {
        let places = digits.saturating_sub(1);
        let text = format!("{value:.places$e}");
        text.split_once('e').map_or_else(|| text.clone(), |(digits, power)| format!("{digits}·10{}", raised(power)))
    };
    text.replace('-', "−")
}

/// An exponent, above the line.
fn raised(power: &str) -> String {
    let above = |letter: char| match letter {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        digit => digit.to_digit(10).and_then(|digit| char::from_u32('⁰' as u32 + digit)).unwrap_or(digit),
    };
    power.chars().map(above).collect()
}

/// A moment as people read it: to the minute.
pub(super) fn when(time: &str) -> String {
    match (time.get(..10), time.get(11..16)) {
        (Some(day), Some(minute)) if time.ends_with('Z') => format!("{day} {minute} UTC"),
        _ => time.to_owned(),
    }
}

/// A score: four places.
pub(super) fn score(value: f64) -> String {
    format!("{value:.4}").replace('-', "−")
}

/// A difference, with its sign.
pub(super) fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{value:.4}") } else { format!("{value:.4}").replace('-', "−") }
}

/// Bytes as people say them.
pub(super) fn bytes(bytes: u64) -> String {
    let b = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{} kB", number(b / 1e3, 3)),
        1_000_000..1_000_000_000 => format!("{} MB", number(b / 1e6, 3)),
        _ => format!("{} GB", number(b / 1e9, 3)),
    }
}

/// Milliseconds as people say them.
pub(super) fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", number(ms as f64 / 1e3, 3)),
        _ => format!("{} min", number(ms as f64 / 6e4, 3)),
    }
}

/// A share in per cent.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share, 3))
}
