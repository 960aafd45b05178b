//! Numbers as text for a terminal of 80 columns: bars, histograms, curves, quantities. Pure functions; colour is asked for, never assumed.
//!
//! Knows nothing of HTTP, the server or what the numbers mean.

/// Columns a line may have.
pub(super) const WIDTH: usize = 80;
/// Eighths of a character cell, from the bottom.
const RISING: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Eighths of a character cell, from the left.
const GROWING: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Emphasis, when the reader is a terminal; else nothing at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn warm(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn cool(self, text: &str) -> String {
        self.with("36", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A bar that fills `share` (0 to 1) of `width` cells, in eighths; always `width` characters.
pub(super) fn bar(share: f64, width: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let cell = |i: usize| GROWING[eighths.saturating_sub(i * 8).min(8)];
    (0..width).map(cell).collect()
}

/// A histogram of `height` lines from the highest down, `per_bin` characters a bin. A bin with any count shows at least a trace.
pub(super) fn histogram(counts: &[u64], height: usize, per_bin: usize) -> Vec<String> {
    let most = counts.iter().copied().max().unwrap_or(0);
    let eighths = |count: u64| match (count, most) {
        (0, _) => 0,
        (count, most) => ((count as f64 / most as f64 * (height * 8) as f64).round() as usize).max(1),
    };
    let line = |level: usize| {
        let cell = |count: &u64| RISING[eighths(*count).saturating_sub(level * 8).min(8)];
        let text: String = counts.iter().map(|count| cell(count).to_string().repeat(per_bin)).collect();
        text.trim_end().to_owned()
    };
    (0..height).rev().map(line).collect()
}

/// A curve of one line: the lowest value is the lowest block.
pub(super) fn curve(values: &[f64]) -> String {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let level = |value: f64| if high > low { 1 + ((value - low) / (high - low) * 7.0).round() as usize } else { 1 };
    values.iter().map(|value| RISING[level(*value).min(8)]).collect()
}

/// Marks under a line: each letter at its column, as far as there is room; the first given wins a column.
pub(super) fn marks(width: usize, places: &[(usize, char)]) -> String {
    let mut cells = vec![' '; width];
    for (column, letter) in places.iter().rev() {
        if let Some(cell) = cells.get_mut(*column) {
            *cell = *letter;
        }
    }
    cells.into_iter().collect::<String>().trim_end().to_owned()
}

/// A whole number with commas.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest unit that leaves at least 1: `3.1 kB`.
pub(super) fn bytes(number: u64) -> String {
    match number {
        0..1000 => format!("{number} B"),
        1000..1_000_000 => format!("{:.1} kB", number as f64 / 1e3),
        _ => format!("{:.1} MB", number as f64 / 1e6),
    }
}

/// About three significant digits: `0.0123`, `4.57`, `1.2e-7`, `1e-6`.
pub(super) fn figures(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    match number.abs().log10().floor() as i32 {
        -3..=2 => format!("{number:.*}", (2 - number.abs().log10().floor() as i32).max(0) as usize),
        3..=6 => format!("{number:.0}"),
        _ => format!("{number:.1e}").replace(".0e", "e"),
    }
}

/// A signed number with a real minus sign.
pub(super) fn signed(number: f64, decimals: usize) -> String {
    let sign = if number < 0.0 { '−' } else { '+' };
    format!("{sign}{:.decimals$}", number.abs())
}

/// At most `width` characters; what is cut off shows as `…`.
pub(super) fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Words in lines of at most `width` characters.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share_to_an_eighth() {
        assert_eq!(bar(0.5, 4), "██  ");
        assert_eq!(bar(9.0 / 32.0, 4), "█▏  ");
        assert_eq!(bar(7.0, 4), "████");
        assert_eq!(bar(-1.0, 2), "  ");
    }

    #[test]
    fn a_histogram_stands_on_its_base_and_shows_the_smallest_count() {
        assert_eq!(histogram(&[0, 1, 16, 8], 2, 1), ["  █", " ▁██"]);
        assert_eq!(histogram(&[1, 1000], 1, 2), ["▁▁██"]);
        assert_eq!(histogram(&[], 2, 1), ["", ""]);
    }

    #[test]
    fn a_curve_shows_where_it_is_lowest_and_marks_stand_under_it() {
        assert_eq!(curve(&[3.0, 1.0, 2.0]), "█▁▅");
        assert_eq!(curve(&[2.0, 2.0]), "▁▁");
        assert_eq!(marks(5, &[(1, 'a'), (3, 'b'), (3, 'c'), (9, 'd')]), " a b");
    }

    #[test]
    fn quantities_read_as_a_person_writes_them() {
        assert_eq!([0, 999, 1000, 20_657, 1_234_567].map(count), ["0", "999", "1,000", "20,657", "1,234,567"]);
        assert_eq!([12, 3100, 30_700_000].map(bytes), ["12 B", "3.1 kB", "30.7 MB"]);
        assert_eq!([0.0, 52.31, 1.834, 0.01234, 1.2e-7, 1e-6].map(figures), ["0", "52.3", "1.83", "0.0123", "1.2e-7", "1e-6"]);
        assert_eq!([signed(-7.25, 1), signed(3.0, 0)], ["−7.2", "+3"]);
    }

    #[test]
    fn texts_are_cut_and_wrapped_by_characters() {
        assert_eq!(fit("commencement", 8), "commenc…");
        assert_eq!(fit("κλμ", 3), "κλμ");
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
    }

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Paint { colour: false }.bold("a"), "a");
        assert_eq!(Paint { colour: true }.bold("a"), "\u{1b}[1ma\u{1b}[0m");
    }
}
