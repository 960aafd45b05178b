//! What handlers take from the head of a request: path segments, query parameters, preferences, the project.
//!
//! Every extractor answers with a [`Problem`] of ours. Query parameters are closed: an unknown or doubled one is an
//! error, as an unknown field in a body is.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::api::error::Problem;
use crate::fault::{Code, Fault, Place};

/// The longest wait a client can ask for.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Who asks: the door found it out before any handler runs.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    project: Arc<str>,
    /// Empty for whoever needs none.
    key: Arc<str>,
}

impl Caller {
    /// Whoever reaches a server on which no key exists.
    pub(crate) fn anonymous() -> Self {
        Self { project: Arc::from("default"), key: Arc::from("") }
    }

    /// Whoever holds a key.
    pub(crate) fn of_key(project: &str, key: &str) -> Self {
        Self { project: Arc::from(project), key: Arc::from(key) }
    }

    /// Id of the key the request came with; empty on a server on which no key exists.
    pub(crate) fn key_id(&self) -> &str {
        &self.key
    }

    /// Whether the request came with a key.
    pub(crate) fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// The project the request acts in; every read and write of the store takes it.
    pub(crate) fn project(&self) -> &str {
        &self.project
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("a request without a caller".to_owned()))
    }
}

/// Path segments; what cannot be one (not UTF-8 once decoded, not a number where one belongs) is simply not found.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => Err(Problem::not_found("resource")),
        }
    }
}

/// A parameter that is wrong, named.
pub(crate) fn bad_parameter(name: &str, code: &'static str, detail: impl Into<String>) -> Problem {
    Fault::at(Code::InvalidParameter, Place::parameter(name, code, detail)).into()
}

/// A header that is wrong, named.
pub(crate) fn bad_header(name: &str, detail: impl Into<String>) -> Problem {
    Fault::at(Code::MalformedHeader, Place::parameter(name, Code::MalformedHeader.as_str(), detail)).into()
}

/// The query parameters of a request. A handler takes what it knows and then calls [`Query::finish`].
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or(""))
    }
}

impl Query {
    /// `application/x-www-form-urlencoded`, strictly: no parameter twice.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in text.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name).ok_or_else(|| Problem::new(Code::InvalidParameter, "a parameter's name is not UTF-8"))?;
            let value = decode(value).ok_or_else(|| bad_parameter(&name, "invalid_field", "the value is not UTF-8"))?;
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(bad_parameter(&name, "conflict", "the parameter is given twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// The value of a parameter, once.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let position = self.pairs.iter().position(|(known, _)| known == name)?;
        Some(self.pairs.swap_remove(position).1)
    }

    /// The values of all parameters whose names begin with `prefix`, by the rest of the name.
    pub(crate) fn take_all(&mut self, prefix: &str) -> Vec<(String, String)> {
        let mine = |(name, _): &mut (String, String)| name.starts_with(prefix);
        self.pairs.extract_if(.., mine).map(|(name, value)| (name[prefix.len()..].to_owned(), value)).collect()
    }

    /// The value of a parameter as `parse` understands it; `wanted` says what that is.
    pub(crate) fn take_as<T>(&mut self, name: &str, wanted: &str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(bad_parameter(name, "unknown_value", format!("must be {wanted}"))),
        }
    }

    /// An unsigned whole number; one too large for 64 bits is taken as the largest.
    pub(crate) fn take_number(&mut self, name: &str, least: u64) -> Result<Option<u64>, Problem> {
        self.take_as(name, &format!("a whole number, at least {least}"), |text| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))?;
            (number >= least).then_some(number)
        })
    }

    /// Refuses what no handler took.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.pairs.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                Err(bad_parameter(&name, Code::UnknownField.as_str(), format!("there is no parameter `{name}` here")))
            }
        }
    }
}

/// Decodes `%41` and `+`; `None` when the bytes are not UTF-8 or a percent sign stands alone.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The wait asked for by `Prefer: wait=n` (RFC 7240), at most a minute; a preference not understood is none.
pub(crate) fn wait_preferred(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(','));
    let seconds = preferences.find_map(|one| one.trim().split(';').next()?.trim().strip_prefix("wait=").map(str::to_owned))?;
    let seconds: u64 = seconds.trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// A media type and its parameters, names in lower case.
#[derive(Debug, PartialEq)]
pub(crate) struct MediaType {
    pub(crate) essence: String,
    pub(crate) parameters: Vec<(String, String)>,
}

/// The `Content-Type`, if there is one that can be read.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<MediaType> {
    let text = headers.get("content-type")?.to_str().ok()?;
    let mut parts = text.split(';');
    let essence = parts.next()?.trim().to_ascii_lowercase();
    let parameters = parts.filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
    });
    Some(MediaType { essence, parameters: parameters.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_and_closed() {
        let mut query = Query::parse("name=a%2Fb+c&limit=7").expect("well formed");
        assert_eq!(query.take("name").as_deref(), Some("a/b c"));
        assert_eq!(query.take_number("limit", 1).expect("a number"), Some(7));
        assert!(query.finish().is_ok());
        assert!(Query::parse("a=1&a=2").is_err());
        assert!(Query::parse("a=%zz").is_err());
        assert!(Query::parse("what=1").expect("well formed").finish().is_err());
    }

    #[test]
    fn zero_signs_and_words_are_no_numbers() {
        for bad in ["0", "-1", "+1", "abc", "", "1.0"] {
            let mut query = Query { pairs: vec![("limit".into(), bad.into())] };
            assert!(query.take_number("limit", 1).is_err(), "{bad:?}");
        }
        let mut query = Query { pairs: vec![("limit".into(), "9".repeat(40))] };
        assert_eq!(query.take_number("limit", 1).expect("a number"), Some(u64::MAX));
    }

    #[test]
    fn a_wait_is_found_among_preferences_and_capped() {
        let headers = |text: &str| HeaderMap::from_iter([("prefer".parse().expect("a name"), text.parse().expect("a value"))]);
        assert_eq!(wait_preferred(&headers("respond-async, wait=5")), Some(Duration::from_secs(5)));
        assert_eq!(wait_preferred(&headers("wait=600")), Some(WAIT_MAX));
        assert_eq!(wait_preferred(&headers("wait=x")), None);
    }
}
