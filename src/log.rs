//! The log: one event, one line on stderr, as JSON or as text.
//!
//! Names and errors come from outside and end up here, so nothing in a field can begin a new line, turn the direction of
//! the text, or speak to the terminal; and no field is longer than [`FIELD_MAX`]. What must stay secret is never given to
//! an event. The fields of the spans around an event stand in its line: that is how a request's id reaches every line.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::ambient::Ambient;

/// Bytes of a field that are kept.
const FIELD_MAX: usize = 4096;

/// Starts the log of this process, down to `level`; panics go there too.
pub(crate) fn start(level: &str, as_json: bool, ambient: Ambient) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let level: LevelFilter = level.parse()?;
    tracing_subscriber::registry().with(Lines { as_json, ambient }.with_filter(level)).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(panic = message, place, "a thread panicked");
    }));
    Ok(())
}

/// Writes a line for each event.
struct Lines {
    as_json: bool,
    ambient: Ambient,
}

/// Fields by name; a later one of the same name replaces an earlier.
#[derive(Clone, Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().trim_start_matches("r#").to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, cut(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded(String::new());
        // an error means that there is enough
        let _ = write!(text, "{value:?}");
        self.put(field, cut(&text.0));
    }
}

/// Takes no more than fits into a field, so that a long value costs no memory.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = (FIELD_MAX + 1).saturating_sub(self.0.len());
        self.0.push_str(beginning(text, room));
        if room > text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// At most so many bytes of a text, no character broken.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}

fn cut(text: &str) -> String {
    if text.len() <= FIELD_MAX { text.to_owned() } else { format!("{}…", beginning(text, FIELD_MAX - "…".len())) }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(more) = span.extensions().get::<Fields>() {
                fields.0.extend(more.0.clone());
            }
        }
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_default();
        let head =
            Head { time: rfc3339(self.ambient.now_micros()), level: event.metadata().level().as_str(), target: event.metadata().target() };
        let line = if self.as_json { head.json(message, fields) } else { head.text(&message, fields) };
        // Nobody is left to be told that stderr is gone.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

fn rfc3339(micros: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

struct Head<'a> {
    time: String,
    level: &'a str,
    target: &'a str,
}

impl Head<'_> {
    fn json(&self, message: Value, fields: Fields) -> String {
        let mut line = format!("{{\"time\":\"{}\",\"level\":\"{}\",\"target\":\"{}\",\"message\":", self.time, self.level, self.target);
        push(&mut line, &message);
        // names that the line itself has are not for fields to change
        for (name, value) in fields.0.iter().filter(|(name, _)| !["time", "level", "target"].contains(&name.as_str())) {
            line.push(',');
            push(&mut line, &Value::from(name.as_str()));
            line.push(':');
            push(&mut line, value);
        }
        line.push_str("}\n");
        line
    }

    fn text(&self, message: &Value, fields: Fields) -> String {
        let mut line = format!("{} {:5} ", self.time, self.level);
        push_plain(&mut line, message, |c| c == ' ' || is_plain(c));
        for (name, value) in &fields.0 {
            line.push(' ');
            line.push_str(name);
            line.push('=');
            push_plain(&mut line, value, is_plain);
        }
        line.push('\n');
        line
    }
}

/// A text as it stands when every character is plain, else as a JSON text.
fn push_plain(line: &mut String, value: &Value, plain: impl Fn(char) -> bool) {
    match value.as_str() {
        Some(text) if !text.is_empty() && text.chars().all(plain) => line.push_str(text),
        _ => push(line, value),
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./:;,@+%#*()[]{}'".contains(c)
}

/// JSON in which nothing but plain letters, marks and digits stands unescaped.
fn push(line: &mut String, value: &Value) {
    for c in value.to_string().chars() {
        // all characters beyond ASCII stand in texts, where this spelling is theirs too
        if is_unsafe(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        } else {
            line.push(c);
        }
    }
}

/// Ends a line, is invisible, changes the direction of what follows, or means something to a terminal.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\r\nERROR forged\u{1b}[31m\u{2028}\u{202e}\u{85}\u{7f}\"\\ é";

    fn head() -> Head<'static> {
        Head { time: "T".into(), level: "INFO", target: "t" }
    }

    fn fields() -> Fields {
        Fields(Map::from_iter([("name".to_owned(), HOSTILE.into()), ("level".to_owned(), 3.into())]))
    }

    #[test]
    fn no_text_begins_a_line_or_speaks_to_a_terminal_in_either_format() {
        for line in [head().json(HOSTILE.into(), fields()), head().text(&HOSTILE.into(), fields())] {
            let (last, before) = (line.chars().next_back(), line.trim_end_matches('\n'));
            assert_eq!(last, Some('\n'));
            assert!(!before.chars().any(is_unsafe), "{before:?}");
        }
    }

    #[test]
    fn json_says_what_was_said() {
        let line: Value = serde_json::from_str(&head().json(HOSTILE.into(), fields())).expect("JSON");
        assert_eq!((&line["message"], &line["name"], &line["level"]), (&HOSTILE.into(), &HOSTILE.into(), &"INFO".into()));
    }

    #[test]
    fn a_long_field_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let cut = cut(&"é".repeat(10_000));
        assert!(cut.len() <= FIELD_MAX && cut.ends_with("é…"));
        let mut bounded = Bounded(String::new());
        assert!(write!(bounded, "{:?}", vec![0u8; 1 << 20]).is_err());
        assert!(bounded.0.len() <= FIELD_MAX + 1);
    }
}
