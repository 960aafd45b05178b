//! Texts in a picture: escaped, cut to a width, and how wide they are about. Names come from clients, so nothing of them may act.

/// A text with nothing in it that XML forbids or that turns the direction of what is written around it.
pub(super) fn plain(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().map(|c| if c == '\t' || c == '\n' || c == '\r' { ' ' } else { c }).filter(|c| {
        !c.is_control()
            && !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{ffff}')
            && (*c as u32) & 0xfffe != 0xfffe
    })
}

/// As content or attribute of an element.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in plain(text) {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// About how wide a text is, in units of the font size: a little more than the usual sans-serif faces take.
pub(super) fn ems(text: &str) -> f64 {
    plain(text).map(width).sum()
}

fn width(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | '|' | '\'' | '.' | ',' | ':' | ';' | '!' | '·' => 0.31,
        ' ' | 'f' | 't' | 'r' | 'I' | '(' | ')' | '[' | ']' | '/' | '\\' | '-' | '"' | '`' => 0.38,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' | '—' => 0.95,
        '⁰' | '¹' | '²' | '³' | '⁴'..='⁹' | '⁻' => 0.42,
        'A'..='Z' | '=' | '<' | '>' | '+' | '±' | '≤' | '≥' | '→' | '×' | '~' | '#' | '&' => 0.72,
        '\u{300}'..='\u{36f}' => 0.0,
        c if (c as u32) < 0x1100 => 0.57,
        _ => 1.05,
    }
}

/// The text if it fits into so many units of the font size, else its beginning and an ellipsis.
pub(super) fn cut(text: &str, most: f64) -> String {
    let whole: String = plain(text).collect();
    if ems(&whole) <= most {
        return whole;
    }
    let mut taken = 0.95;
    let kept: String = whole
        .chars()
        .take_while(|c| {
            taken += width(*c);
            taken <= most
        })
        .collect();
    format!("{}…", kept.trim_end())
}

/// Lines of no more than so many units, broken between words.
pub(super) fn wrap(text: &str, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if ems(line) + 0.38 + ems(word) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| cut(line, most)).collect()
}

/// A whole number in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number in about `digits` significant digits, in powers of ten where it is very large or small.
pub fn short(number: f64, digits: usize) -> String {
    if number == 0.0 || !number.is_finite() {
        return if number == 0.0 { "0".into() } else { "–".into() };
    }
    let exponent = exponent_of(number);
    let digits = digits.max(1);
    if (-4..=5).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        let text = format!("{number:.decimals$}");
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
        return text.replace('-', "−");
    }
    let mantissa = number / 10f64.powi(exponent);
    let text = if mantissa.is_finite() { format!("{mantissa:.*}", digits - 1) } else { format!("{number:e}") };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    format!("{}·{}", text.replace('-', "−"), power(exponent))
}

/// The exponent of a number in scientific notation.
pub(super) fn exponent_of(number: f64) -> i32 {
    if number == 0.0 || !number.is_finite() { 0 } else { number.abs().log10().floor() as i32 }
}

/// 10ⁿ.
pub(super) fn power(exponent: i32) -> String {
    let digits = exponent.to_string();
    let raised = digits.chars().map(|c| match c {
        '-' => '⁻',
        '0' => '⁰',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        other => char::from_u32('⁴' as u32 + (other as u32 - '4' as u32)).unwrap_or(' '),
    });
    std::iter::once('1').chain(std::iter::once('0')).chain(raised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_act_or_break_the_document_is_taken_away_or_escaped() {
        assert_eq!(escape("<b onload=\"x('&')\">"), "&lt;b onload=&quot;x(&#39;&amp;&#39;)&quot;&gt;");
        assert_eq!(escape("a\u{0}b\u{1b}c\u{202e}d\u{ffff}e\u{85}f\ng"), "abcdef g");
        assert_eq!(escape("\u{1fffe}\u{10ffff}x"), "x");
    }

    #[test]
    fn a_text_is_cut_where_it_does_not_fit_and_broken_between_words() {
        assert_eq!(cut("short", 10.0), "short");
        let long = cut("a name that is much too long to be shown", 8.0);
        assert!(long.ends_with('…') && ems(&long) <= 8.0, "{long}");
        assert_eq!(cut("x", 0.0), "…");
        assert!(wrap("one two three four five", 6.0).iter().all(|line| ems(line) <= 6.0));
        assert_eq!(wrap("", 5.0), Vec::<String>::new());
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(0.123456, 3), "0.123");
        assert_eq!(short(-1234.6, 3), "−1235");
        assert_eq!(short(2.5e-7, 2), "2.5·10⁻⁷");
        assert_eq!(short(1e300, 3), "1·10³⁰⁰");
        assert_eq!(short(f64::NAN, 3), "–");
        assert_eq!(short(4.5e-320, 3).chars().filter(|c| *c == '⁻').count(), 1);
        assert_eq!((grouped(1), grouped(1234), grouped(123_456_789)), ("1".into(), "1,234".into(), "123,456,789".into()));
    }
}
