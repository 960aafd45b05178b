//! Rows to predict as LIBSVM text: `label [qid:n] index:value … [# comment]`. The label must be there and is ignored.
//!
//! The grammar is that of uploads; the rows go straight to the scorer, so nothing but one row is kept.

use super::PredictLimits;
use super::score::{Refusal, Scorer};
use crate::fault::{Code, Fault};

/// No number of a double's precision needs as many characters.
const NUMBER_MAX: usize = 64;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Something wrong at a 0-based byte of the line.
struct Wrong(Code, usize, String);

/// Scores every line of `body` that is not blank or comment.
pub(super) fn read_rows(body: &[u8], index_base: u32, limits: &PredictLimits, scorer: &mut Scorer<'_>) -> Result<(), Fault> {
    let skipped = if body.starts_with(BOM) { BOM.len() } else { 0 };
    let mut columns = Vec::new();
    for (number, line) in body[skipped..].split(|byte| *byte == b'\n').enumerate() {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let before = if number == 0 { skipped } else { 0 };
        let reader = Reader { text, index_base, index_max: limits.index_max };
        reader
            .row(scorer, &mut columns)
            .map_err(|Wrong(code, at, detail)| Fault::at_line(code, number as u64 + 1, (before + at) as u64 + 1, detail))?;
    }
    Ok(())
}

struct Reader<'a> {
    text: &'a [u8],
    index_base: u32,
    index_max: u64,
}

impl Reader<'_> {
    fn row(&self, scorer: &mut Scorer<'_>, columns: &mut Vec<usize>) -> Result<(), Wrong> {
        if let Some(at) = memchr::memchr(0, self.text) {
            return Err(Wrong(Code::MalformedLine, at, "a NUL byte".into()));
        }
        columns.clear();
        let mut tokens = Tokens { text: self.text, at: 0 };
        let Some((at, label)) = tokens.next() else { return Ok(()) };
        if label.contains(&b':') {
            return Err(Wrong(Code::MalformedLine, at, "the label is missing".into()));
        }
        for (at, token) in tokens {
            let query_id = columns.is_empty() && token.strip_prefix(b"qid:").is_some_and(|id| !id.is_empty() && digits(id));
            if !query_id {
                columns.push(at);
                let (index, value) = self.pair(at, token)?;
                scorer.index(index, value).map_err(|refusal| place(refusal, columns))?;
            }
        }
        scorer.end_row().map_err(|refusal| place(refusal, columns))
    }

    /// `index:value`; the index 0-based.
    fn pair(&self, at: usize, token: &[u8]) -> Result<(u32, f64), Wrong> {
        let malformed = |at, detail: &str| Wrong(Code::MalformedLine, at, detail.into());
        let colon = memchr::memchr(b':', token).ok_or_else(|| malformed(at, "an entry is index:value"))?;
        let (index, value) = (&token[..colon], &token[colon + 1..]);
        let value_at = at + colon + 1;
        let negative = index.first() == Some(&b'-');
        let plain = index.strip_prefix(if negative { b"-" } else { b"+" }).unwrap_or(index);
        if plain.is_empty() || !digits(plain) {
            return Err(malformed(at, "the index is not a whole number"));
        }
        let out_of_range = || Wrong(Code::IndexOutOfRange, at, format!("the index must be from {} to {}", self.index_base, self.index_max));
        if negative {
            return Err(out_of_range());
        }
        let index = plain.iter().try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
        let index = index.filter(|index| *index <= self.index_max).ok_or_else(out_of_range)?;
        let index = index
            .checked_sub(u64::from(self.index_base))
            .ok_or_else(|| Wrong(Code::IndexBase, at, format!("the smallest index is {}", self.index_base)))?;
        let index = u32::try_from(index).map_err(|_| out_of_range())?;
        Ok((index, number(value).map_err(|(code, detail)| Wrong(code, value_at, detail.into()))?))
    }
}

fn place(refusal: Refusal, columns: &[usize]) -> Wrong {
    let at = refusal.entry.and_then(|entry| columns.get(entry).copied()).unwrap_or(0);
    Wrong(refusal.code, at, refusal.detail)
}

/// Texts between blanks, with their place, up to a comment.
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = self.at + self.text[self.at..].iter().take_while(|byte| blank(byte)).count();
        let end = start + self.text[start..].iter().take_while(|byte| !blank(byte) && **byte != b'#').count();
        self.at = end;
        (end > start).then(|| (start, &self.text[start..end]))
    }
}

fn digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

/// `[+-] digits [. digits] [e [+-] digits]` with at least one digit before the exponent.
fn number(text: &[u8]) -> Result<f64, (Code, &'static str)> {
    if text.len() > NUMBER_MAX {
        return Err((Code::NumberTooLong, "a number has at most 64 characters"));
    }
    let unsigned = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    if [&b"nan"[..], b"inf", b"infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return Err((Code::NonFiniteValue, "a value must be finite"));
    }
    let malformed = (Code::MalformedLine, "the value is not a number");
    if !unsigned.iter().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte)) {
        return Err(malformed);
    }
    let value: f64 = str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(malformed)?;
    if value.is_finite() { Ok(value) } else { Err((Code::NonFiniteValue, "a number too large for a double")) }
}
