//! How values are written in JSON: times, whole numbers that a double cannot hold, whole answers.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::error::Problem;

/// Largest whole number that every double up to it represents exactly, 2⁵³.
const EXACT_MAX: u128 = 1 << 53;

/// RFC 3339 in UTC, of microseconds since 1970.
pub(crate) fn rfc3339(micros: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&Rfc3339).unwrap_or_default()
}

/// Microseconds since 1970 of an RFC 3339 time.
pub(crate) fn micros(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1000).ok()
}

/// Whole milliseconds between two times.
pub(crate) fn millis(from: i64, to: i64) -> i64 {
    to.saturating_sub(from).max(0) / 1000
}

/// A whole number; a text beyond 2⁵³, which a reader of doubles would round.
pub(crate) fn whole_number(number: u128) -> Value {
    match u64::try_from(number) {
        Ok(small) if number <= EXACT_MAX => small.into(),
        _ => number.to_string().into(),
    }
}

/// JSON that is written already; keys keep the order of their type.
pub(crate) type Raw = Box<RawValue>;

/// Any of our own types, written.
pub(crate) fn raw(thing: &impl Serialize) -> Result<Raw, Problem> {
    to_raw_value(thing).map_err(unwritable)
}

/// Any of our own types as a JSON value, to be stored.
pub(crate) fn value(thing: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(thing).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Problem {
    Problem::internal(format!("serialising: {error}"))
}

/// `thing` with `"object": …` as its first member.
#[derive(Serialize)]
pub(crate) struct Object<T> {
    pub(crate) object: &'static str,
    #[serde(flatten)]
    pub(crate) thing: T,
}

/// A JSON answer that a client may keep and ask for again by `tag`, which names exactly this content.
pub(crate) fn tagged(tag: &str, body: &impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_numbers_beyond_a_double_are_texts() {
        assert_eq!(rfc3339(1_795_428_000_120_000), "2026-11-23T10:00:00.12Z");
        assert_eq!(whole_number(1 << 53), Value::from(1u64 << 53));
        assert_eq!(whole_number((1 << 53) + 1), Value::from("9007199254740993"));
    }
}
