//! LIBSVM / SVMLight text: `label [qid:n] index:value … [# comment]`, one row a line, read as it streams in.
//!
//! The grammar is strict: an unsure line is refused with its line and byte, never guessed at. Blank and comment lines
//! are no rows. Parsing works on whole lines inside one large buffer, so that no token is ever copied.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memrchr};

use super::gather::{Gather, Refused};
use super::number::{Bad, decimal};
use super::target::Labels;
use super::{IngestError, IngestLimits};
use crate::fault::{Code, Fault};

const BUFFER: usize = 256 * 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What to read the text by.
pub(super) struct Grammar {
    pub(super) index_base: u32,
    pub(super) n_features: Option<u64>,
    pub(super) limits: IngestLimits,
}

/// What a text holds beside the matrix.
pub(super) struct Parsed {
    pub(super) labels: Labels,
    /// As declared, else the largest index seen + 1.
    pub(super) features: u64,
}

/// What is wrong with a line: code, 0-based byte, sentence.
struct Wrong(Code, usize, String);

struct Parser<'g, 'a> {
    gather: &'g mut Gather<'a>,
    labels: Labels,
    grammar: &'g Grammar,
    length_max: usize,
    /// First index that is too large, in the text's own counting.
    index_end: u64,
    line: u64,
    /// Bytes of line 1 before the text proper: the byte order mark.
    skipped: usize,
    largest: Option<u32>,
    qid: Option<bool>,
}

/// Reads all of `body` into `gather`.
pub(super) fn parse(body: &mut impl Read, grammar: &Grammar, gather: &mut Gather<'_>) -> Result<Parsed, IngestError> {
    let mut parser = Parser::new(grammar, gather)?;
    let line_max = usize::try_from(grammar.limits.line_bytes).unwrap_or(usize::MAX);
    let mut buffer = vec![0; BUFFER.min(line_max.saturating_add(1)).max(16)];
    let mut filled = 0;
    let mut start_of_text = true;
    loop {
        let read = read_some(body, &mut buffer[filled..])?;
        let fresh = if start_of_text { 0 } else { filled };
        filled += read;
        if start_of_text && (filled >= BOM.len() || read == 0) {
            parser.skipped = if buffer[..filled].starts_with(BOM) { BOM.len() } else { 0 };
            start_of_text = false;
        }
        if read == 0 {
            break;
        }
        if start_of_text {
            continue;
        }
        match memrchr(b'\n', &buffer[fresh..filled]) {
            Some(at) => {
                let end = fresh + at + 1;
                parser.lines(&buffer[..end], line_max)?;
                buffer.copy_within(end..filled, 0);
                filled -= end;
            }
            None if filled > line_max => return Err(parser.too_long(line_max).into()),
            None => {}
        }
        if filled == buffer.len() {
            let size = buffer.len().saturating_mul(2).min(line_max.saturating_add(1)).max(filled + 1);
            buffer.resize(size, 0);
        }
    }
    if filled > 0 {
        buffer.truncate(filled);
        buffer.push(b'\n');
        parser.lines(&buffer, line_max)?;
    }
    parser.finish()
}

fn read_some(body: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match body.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl<'g, 'a> Parser<'g, 'a> {
    fn new(grammar: &'g Grammar, gather: &'g mut Gather<'a>) -> Result<Self, Fault> {
        let index_max = grammar.limits.index_max.min(u64::from(u32::MAX) - 1);
        let base = u64::from(grammar.index_base);
        let mut index_end = index_max + 1;
        if let Some(n) = grammar.n_features {
            if n > index_max + 1 {
                return Err(Fault::new(Code::LimitExceeded, format!("n-features is above the limit of {}", index_max + 1)));
            }
            index_end = index_end.min(n + base);
        }
        let length_max = usize::try_from(grammar.limits.number_bytes).unwrap_or(usize::MAX);
        let labels = Labels::default();
        Ok(Self { gather, labels, grammar, length_max, index_end, line: 0, skipped: 0, largest: None, qid: None })
    }

    fn finish(self) -> Result<Parsed, IngestError> {
        let seen = self.largest.map_or(0, |index| u64::from(index) + 1);
        Ok(Parsed { labels: self.labels, features: self.grammar.n_features.unwrap_or(seen) })
    }

    /// Whole lines, each with its line end.
    fn lines(&mut self, text: &[u8], line_max: usize) -> Result<(), IngestError> {
        let mut start = std::mem::take(&mut self.skipped);
        let first = start;
        for end in memchr_iter(b'\n', text) {
            self.line += 1;
            let line = &text[start..=end];
            if line.len() - 1 > line_max {
                return Err(self.too_long_here(line_max).into());
            }
            if let Err(error) = self.row(line) {
                let before = if start == first { first } else { 0 };
                return Err(self.explain(error, line, before));
            }
            start = end + 1;
        }
        Ok(())
    }

    fn too_long(&mut self, line_max: usize) -> Fault {
        self.line += 1;
        self.too_long_here(line_max)
    }

    fn too_long_here(&self, line_max: usize) -> Fault {
        let column = line_max as u64 + 1;
        Fault::at_line(Code::LineTooLong, self.line, column, format!("a line has at most {line_max} bytes"))
    }

    fn explain(&self, error: Failed, line: &[u8], before: usize) -> IngestError {
        let Wrong(code, at, detail) = match error {
            Failed::Io(error) => return IngestError::Io(error),
            Failed::Wrong(wrong) => wrong,
        };
        let (at, detail) = match memchr(0, line) {
            Some(nul) if code == Code::MalformedLine => (nul, "a NUL byte".to_owned()),
            _ => (at, detail),
        };
        Fault::at_line(code, self.line, (before + at) as u64 + 1, detail).into()
    }

    /// One line, its line end included.
    fn row(&mut self, line: &[u8]) -> Result<(), Failed> {
        let mut at = skip_blanks(line, 0);
        if self.ends(line, at)? {
            return Ok(());
        }
        let (label, length) = decimal(&line[at..], self.length_max).map_err(|bad| number_wrong(bad, at, "label"))?;
        if !is_end(line[at + length]) {
            let detail = if line[at + length] == b':' { "the label is missing" } else { "the label is not a number" };
            return Err(malformed(at, detail));
        }
        at = self.query_id(line, skip_blanks(line, at + length))?;
        let mut previous = None;
        let mut rising = true;
        while !self.ends(line, at)? {
            let (feature, colon) = self.index(line, at)?;
            let (value, length) = decimal(&line[colon + 1..], self.length_max).map_err(|bad| number_wrong(bad, colon + 1, "value"))?;
            let end = colon + 1 + length;
            if !is_end(line[end]) {
                return Err(malformed(colon + 1, "the value is not a number"));
            }
            rising &= previous < Some(feature);
            previous = previous.max(Some(feature));
            self.gather.push(feature, value)?;
            at = skip_blanks(line, end);
        }
        if !rising {
            self.refuse_duplicates(line)?;
        }
        self.largest = self.largest.max(previous);
        self.labels.number(label).map_err(|fault| Wrong(fault.code, 0, fault.detail))?;
        self.gather.end_row()?;
        Ok(())
    }

    /// Whether the row ends at `at`; a comment is read over, a stray carriage return is not.
    #[inline]
    fn ends(&self, line: &[u8], at: usize) -> Result<bool, Failed> {
        match line[at] {
            b'\n' => Ok(true),
            b'\r' if line[at + 1] == b'\n' => Ok(true),
            b'#' => match memchr(0, &line[at..]) {
                Some(nul) => Err(malformed(at + nul, "a NUL byte")),
                None => Ok(true),
            },
            _ => Ok(false),
        }
    }

    /// The feature of the token at `at`, 0-based, and the place of its colon.
    #[inline]
    fn index(&self, line: &[u8], at: usize) -> Result<(u32, usize), Failed> {
        let mut index = 0_u64;
        let mut colon = at;
        loop {
            let digit = line[colon].wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            index = index.wrapping_mul(10).wrapping_add(u64::from(digit));
            colon += 1;
        }
        let digits = colon - at;
        // 18 digits cannot overflow; more are looked at again
        if line[colon] != b':' || digits == 0 || digits > 18 {
            return self.odd_index(line, at);
        }
        if index >= self.index_end {
            return Err(self.out_of_range(at).into());
        }
        match index.checked_sub(u64::from(self.grammar.index_base)) {
            Some(feature) => Ok((feature as u32, colon)),
            None => Err(Wrong(Code::IndexBase, at, "index 0 where indices count from 1; send index-base=0 if they do not".into()).into()),
        }
    }

    #[cold]
    fn odd_index(&self, line: &[u8], at: usize) -> Result<(u32, usize), Failed> {
        let end = (at..line.len()).find(|&i| is_end(line[i])).unwrap_or(line.len());
        let Some(colon) = memchr(b':', &line[at..end]) else {
            return Err(malformed(at, "a feature is index:value; the colon is missing"));
        };
        let text = &line[at..at + colon];
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            let detail = if text == b"qid" { "qid stands right after the label" } else { "the index is not a whole number" };
            return Err(malformed(at, detail));
        }
        if text.len() > self.length_max {
            return Err(Wrong(Code::NumberTooLong, at, format!("a number has at most {} characters", self.length_max)).into());
        }
        if digits.len() == text.len() {
            // leading zeros may hide a legal index
            let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
            if digits.len() - zeros <= 18 {
                let index = digits.iter().fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0'));
                let base = u64::from(self.grammar.index_base);
                if (base..self.index_end).contains(&index) {
                    return Ok(((index - base) as u32, at + colon));
                }
            }
        }
        Err(self.out_of_range(at).into())
    }

    fn out_of_range(&self, at: usize) -> Wrong {
        let base = self.grammar.index_base;
        Wrong(Code::IndexOutOfRange, at, format!("an index lies between {base} and {}", self.index_end.saturating_sub(1)))
    }

    /// Reads over `qid:n`, which all rows have or none.
    fn query_id(&mut self, line: &[u8], at: usize) -> Result<usize, Failed> {
        let present = line[at..].starts_with(b"qid:");
        if *self.qid.get_or_insert(present) != present {
            let detail =
                if present { "this row has a qid, the rows before have none" } else { "the rows before have a qid, this one has none" };
            return Err(malformed(at, detail));
        }
        if !present {
            return Ok(at);
        }
        let start = at + 4;
        let end = start + line[start..].iter().take_while(|b| b.is_ascii_digit()).count();
        if end == start || !is_end(line[end]) {
            return Err(malformed(start, "a qid is a whole number"));
        }
        if end - start > self.length_max {
            return Err(Wrong(Code::NumberTooLong, start, format!("a number has at most {} characters", self.length_max)).into());
        }
        Ok(skip_blanks(line, end))
    }

    /// A row whose indices do not rise: legal unless one comes twice.
    #[cold]
    fn refuse_duplicates(&self, line: &[u8]) -> Result<(), Failed> {
        let mut found: Vec<(u32, usize)> = Vec::new();
        let mut at = skip_blanks(line, 0);
        while !self.ends(line, at)? {
            if line[at].is_ascii_digit()
                && let Ok((feature, _)) = self.index(line, at)
            {
                found.push((feature, at));
            }
            let end = (at..line.len()).find(|&i| is_end(line[i])).unwrap_or(line.len() - 1);
            at = skip_blanks(line, end);
        }
        found.sort_unstable();
        let again = found.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).min();
        again.map_or(Ok(()), |at| Err(Wrong(Code::DuplicateIndex, at, "the index comes twice in this row".into()).into()))
    }
}

enum Failed {
    Wrong(Wrong),
    Io(io::Error),
}

impl From<Wrong> for Failed {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Limit(code, detail) => Self::Wrong(Wrong(code, 0, detail)),
            Refused::Io(error) => Self::Io(error),
        }
    }
}

#[inline]
fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while matches!(line[at], b' ' | b'\t') {
        at += 1;
    }
    at
}

/// Whether `byte` may follow a number.
#[inline]
fn is_end(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r' | b'#')
}

fn malformed(at: usize, detail: &str) -> Failed {
    Failed::Wrong(Wrong(Code::MalformedLine, at, detail.to_owned()))
}

#[cold]
fn number_wrong(bad: Bad, at: usize, what: &str) -> Failed {
    let (code, detail) = match bad {
        Bad::Malformed => (Code::MalformedLine, format!("the {what} is not a number")),
        Bad::NonFinite => (Code::NonFiniteValue, format!("the {what} is not a finite number")),
        Bad::TooLong => (Code::NumberTooLong, format!("the {what} has too many characters")),
    };
    Failed::Wrong(Wrong(code, at, detail))
}
