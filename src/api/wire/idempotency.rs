//! `Idempotency-Key`: a request sent again under its key is answered as it was the first time, and done once.
//!
//! The answer is kept by the store, together with the effect. Here: how a key is written, which requests are the same,
//! and that a second request does not begin while the first is still being handled by this process. Requests that reach
//! several processes at once are told apart by the store.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::request::Caller;
use crate::api::error::Problem;
use crate::api::state::Api;
use crate::fault::{Code, Fault, Place};
use crate::store::{Answer, Kept, Keyed, Slot};

const HEADER: &str = "idempotency-key";
/// Longest key, in characters.
const KEY_MAX: usize = 255;

/// Keys whose requests are being handled now.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<Slot>>>);

/// The right to handle the request under a key; given back on drop.
pub(crate) struct Turn {
    slot: Slot,
    in_flight: InFlight,
    live_max: u64,
}

impl Turn {
    /// Begins a request on `route`; `None` when it has no key.
    pub(crate) fn begin(api: &Api, caller: &Caller, route: &'static str, headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(key) = key(headers)? else { return Ok(None) };
        let slot = Slot { project: caller.project().to_owned(), holder: caller.key_id().to_owned(), route, key };
        let mut keys = api.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.insert(slot.clone()) {
            return Err(Problem::new(Code::IdempotencyInProgress, "the first request with this key is still being handled"));
        }
        Ok(Some(Self { slot, in_flight: api.in_flight.clone(), live_max: api.limits.idempotency_keys }))
    }

    /// The answer given under this key before.
    pub(crate) async fn before(&self, api: &Api) -> Result<Option<Kept>, Problem> {
        Ok(api.store.kept_answer(&self.slot).await?)
    }

    /// The request as the store keeps it.
    pub(crate) fn keyed(&self, fingerprint: &str) -> Keyed {
        Keyed { slot: self.slot.clone(), fingerprint: fingerprint.to_owned(), live_max: self.live_max }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.in_flight.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.slot);
    }
}

/// The key, bare or as a quoted string.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid("the header is given twice"));
    }
    let text = value.to_str().map_err(|_| invalid("a key is made of visible ASCII characters"))?.trim();
    let key = unquote(text).ok_or_else(|| invalid("a quoted key ends with its only bare quote"))?;
    let visible = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    match key.len() {
        1..=KEY_MAX if visible => Ok(Some(key)),
        _ => Err(invalid("a key has 1 to 255 visible ASCII characters")),
    }
}

fn invalid(detail: &str) -> Problem {
    Fault::at(Code::InvalidIdempotencyKey, Place::parameter("Idempotency-Key", Code::InvalidIdempotencyKey.as_str(), detail)).into()
}

/// A string of RFC 9651 without its quotes and escapes; a text without quotes is itself.
fn unquote(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let inner = rest.strip_suffix('"')?;
    let mut key = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        key.push(match character {
            '"' => return None,
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            plain => plain,
        });
    }
    Some(key)
}

/// Tells one request from another.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().fold(String::new(), |mut text, byte| {
        // writing to a String cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The first answer again, if this is the same request.
pub(crate) fn replay(kept: &Kept, fingerprint: &str) -> Result<Response, Problem> {
    if kept.fingerprint != fingerprint {
        return Err(Problem::new(Code::IdempotencyKeyReused, "the key was used for a request that says something else"));
    }
    let mut response = respond(&kept.answer)?;
    response.headers_mut().insert("idempotency-replayed", HeaderValue::from_static("true"));
    Ok(response)
}

/// The answer as it goes out: what was made, and where it is.
pub(crate) fn respond(answer: &Answer) -> Result<Response, Problem> {
    let unwritable = || Problem::internal("an answer that is no answer");
    let status = StatusCode::from_u16(answer.status).map_err(|_| unwritable())?;
    let mut response = Response::new(Body::from(answer.body.clone()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::LOCATION, HeaderValue::from_str(&answer.location).map_err(|_| unwritable())?);
    if status == StatusCode::ACCEPTED {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// More keys than a project may have at a time.
pub(crate) fn too_many() -> Problem {
    Problem::new(Code::QuotaExceeded, "the project has used too many idempotency keys within a day")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (header::HeaderName::from_static(HEADER), value.parse().expect("a value"))).collect()
    }

    #[test]
    fn a_key_is_the_same_bare_and_quoted() {
        assert_eq!(key(&HeaderMap::new()).expect("none"), None);
        for same in ["a-1", "\"a-1\"", "  a-1 "] {
            assert_eq!(key(&keys(&[same])).expect("a key").as_deref(), Some("a-1"), "{same}");
        }
        assert_eq!(key(&keys(&[r#""a\"b\\c""#])).expect("a key").as_deref(), Some("a\"b\\c"));
        assert_eq!(key(&keys(&[&"k".repeat(255)])).expect("a key").map(|key| key.len()), Some(255));
    }

    #[test]
    fn a_key_that_is_none_is_refused() {
        let long = "k".repeat(256);
        for bad in [&["", ""][..], &[""], &["\"\""], &[&long], &["\"a"], &["\"a\"b\""], &["a\tb"], &["\"a\\b\""], &["a", "b"]] {
            assert_eq!(key(&keys(bad)).expect_err("refused").fault.code, Code::InvalidIdempotencyKey, "{bad:?}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
        assert_eq!(fingerprint(&[b"a"]), fingerprint(&[b"a"]));
    }
}
