//! Pages of lists: `limit`, opaque cursors, and the envelope every list is answered in.
//!
//! A cursor is a position sealed with HMAC-SHA-256 under the secret of the installation, together with its project and
//! list; one that was altered, or made for another project or list, is refused. The secret lies in the store, and so
//! cursors outlive a restart and are good on every server of one store.

use std::fmt::Write as _;

use axum::Json;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

use super::json::Raw;
use super::request::Query;
use crate::access::Secret;
use crate::api::error::Problem;
use crate::fault::{Code, Fault, Place};
use crate::id::{Id, Kind};
use crate::store::Cursor;

const LIMIT_DEFAULT: u64 = 20;
const SEAL_BYTES: usize = 16;

/// A list as its cursors know it.
pub(crate) struct List(Hmac<Sha256>);

impl List {
    /// The list called `name` of a project.
    pub(crate) fn new(secret: &Secret, project: &str, name: &str) -> Self {
        let mut seal = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes a key of any length");
        for part in ["cursor", project, name] {
            seal.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            seal.update(part.as_bytes());
        }
        Self(seal)
    }

    fn sealed(&self, position: &[u8]) -> Hmac<Sha256> {
        let mut seal = self.0.clone();
        seal.update(position);
        seal
    }
}

/// What a client asked of a list.
#[derive(Debug)]
pub(crate) struct Window {
    /// Most entries.
    pub(crate) limit: u64,
    /// Position after which the page begins, as [`seal`]ed before.
    pub(crate) after: Option<String>,
}

/// Takes `limit` and `cursor` of the list called `list` from the query.
pub(crate) fn window(query: &mut Query, list: &List, limit_max: u64) -> Result<Window, Problem> {
    window_of(query, list, LIMIT_DEFAULT, limit_max)
}

/// As [`window`], with a default limit of one's own.
pub(crate) fn window_of(query: &mut Query, list: &List, limit_default: u64, limit_max: u64) -> Result<Window, Problem> {
    let limit = query.take_number("limit", 1)?.unwrap_or(limit_default).min(limit_max);
    let after = match query.take("cursor") {
        None => None,
        Some(text) => Some(unseal(list, &text).ok_or_else(invalid_cursor)?),
    };
    Ok(Window { limit, after })
}

/// The cursor is of another list, or nobody's.
pub(crate) fn invalid_cursor() -> Problem {
    let detail = "the cursor was not made by this server for this list";
    Fault::at(Code::InvalidCursor, Place::parameter("cursor", Code::InvalidCursor.as_str(), detail)).into()
}

impl Window {
    /// The position as a place in a list of rows.
    pub(crate) fn row(&self, kind: Kind) -> Result<Option<Cursor>, Problem> {
        let Some(position) = &self.after else { return Ok(None) };
        let parse = || {
            let (created_at, id) = position.split_once(' ')?;
            Some(Cursor { created_at: created_at.parse().ok()?, id: Id::parse(kind, id)? })
        };
        parse().map(Some).ok_or_else(invalid_cursor)
    }

    /// The position as a count of entries to pass over.
    pub(crate) fn offset(&self) -> Result<u64, Problem> {
        self.after.as_deref().map_or(Ok(0), |position| position.parse().map_err(|_| invalid_cursor()))
    }
}

/// The text of a row's place.
pub(crate) fn row_position(cursor: &Cursor) -> String {
    format!("{} {}", cursor.created_at, cursor.id)
}

/// An opaque cursor: hex of the position, followed by its seal.
pub(crate) fn seal(list: &List, position: &str) -> String {
    let mut text = String::new();
    let sum = list.sealed(position.as_bytes()).finalize().into_bytes();
    for byte in position.bytes().chain(sum.into_iter().take(SEAL_BYTES)) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The position that was sealed for this list; `None` = the text was not.
pub(crate) fn unseal(list: &List, text: &str) -> Option<String> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
            _ => None,
        })
        .collect();
    let bytes = bytes?;
    let (position, sum) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
    list.sealed(position).verify_truncated_left(sum).ok()?;
    String::from_utf8(position.to_vec()).ok()
}

#[derive(Serialize)]
struct ListOut {
    object: &'static str,
    data: Vec<Raw>,
    has_more: bool,
    next_cursor: Option<String>,
}

/// The envelope of a list, with a `Link: …; rel="next"` when there is more.
pub(crate) fn list(uri: &Uri, data: Vec<Raw>, next_cursor: Option<String>) -> Response {
    let link = next_cursor.as_deref().and_then(|cursor| next_link(uri, cursor));
    let mut response = Json(ListOut { object: "list", data, has_more: next_cursor.is_some(), next_cursor }).into_response();
    if let Some(link) = link {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// `Link` to the next page: this request with the new cursor.
pub(crate) fn next_link(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let kept: Vec<&str> = uri.query().unwrap_or("").split('&').filter(|part| !part.is_empty() && !part.starts_with("cursor=")).collect();
    let mut query = kept.join("&");
    if !query.is_empty() {
        query.push('&');
    }
    HeaderValue::from_str(&format!("<{}?{query}cursor={cursor}>; rel=\"next\"", uri.path())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Ambient;

    #[test]
    fn a_cursor_is_good_for_its_own_list_alone_and_only_unchanged() {
        let secret = Secret::mint(&Ambient::system());
        let of = |project: &str, name: &str| List::new(&secret, project, name);
        let jobs = of("default", "jobs");
        let sealed = seal(&jobs, "17 job_x");
        assert_eq!(unseal(&jobs, &sealed).as_deref(), Some("17 job_x"));
        for other in [of("default", "models"), of("other", "jobs"), of("default/jobs", ""), of("", "defaultjobs")] {
            assert_eq!(unseal(&other, &sealed), None);
        }
        assert_eq!(unseal(&List::new(&Secret::mint(&Ambient::system()), "default", "jobs"), &sealed), None, "another installation");
        for position in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[position] = if bytes[position] == b'0' { b'1' } else { b'0' };
            assert_eq!(unseal(&jobs, &String::from_utf8(bytes).expect("ascii")), None);
        }
        for bad in ["", "00", "zz", "é", &sealed.to_uppercase(), &sealed[1..]] {
            assert_eq!(unseal(&jobs, bad), None, "{bad}");
        }
    }
}
