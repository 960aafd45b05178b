//! What an alias may be called, and what its move asks for: a version.

use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX};
use super::is_name;
use super::reference::LATEST;
use crate::fault::{Code, Fault, Place};
use crate::json;

/// Values in the body of a move.
const NODES_MAX: usize = 64;

/// Checks the name of an alias that is to be made or moved.
///
/// # Errors
/// It is no name, or the one that every model has already.
pub fn check_alias(name: &str) -> Result<(), Fault> {
    let detail = if name == LATEST {
        "`latest` is always the newest version, and cannot be moved"
    } else if is_name(name) {
        return Ok(());
    } else {
        "must be a name: a letter or digit, then at most 62 of a to z, 0 to 9, `.`, `_` and `-`"
    };
    Err(Fault::at(Code::InvalidField, Place::parameter("alias", Code::InvalidField.as_str(), detail)))
}

/// Parses `{"version": 3}`.
///
/// # Errors
/// The body is no JSON, or every problem of it with its pointer.
pub fn parse_alias_move(body: &[u8]) -> Result<i64, Fault> {
    let document: Value = json::document(body, NODES_MAX)?;
    let mut problems = Problems::default();
    let version = Fields::open(&document, "#", &mut problems).and_then(|mut fields| {
        let version = fields.need("version", &mut problems).and(fields.whole("version", 1, WHOLE_MAX, &mut problems));
        fields.close(&mut problems);
        version.and_then(|version| i64::try_from(version).ok())
    });
    match (problems.into_fault_of("the alias"), version) {
        (None, Some(version)) => Ok(version),
        (Some(fault), _) => Err(fault),
        (None, None) => Err(Fault::new(Code::InvalidParameter, "The alias cannot be understood.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_any_name_but_latest() {
        for good in ["production", "3", "a.b-c_d", &"a".repeat(63)] {
            assert_eq!(check_alias(good), Ok(()), "{good}");
        }
        for bad in ["latest", "", "Production", "-a", "a b", "a@b", "größe", &"a".repeat(64)] {
            let fault = check_alias(bad).unwrap_err();
            assert_eq!((fault.code, fault.places[0].parameter.as_deref()), (Code::InvalidField, Some("alias")), "{bad}");
        }
    }

    #[test]
    fn a_move_names_a_version() {
        assert_eq!(parse_alias_move(br#"{"version":3}"#), Ok(3));
        for (body, code) in [
            ("{}", "missing"),
            (r#"{"version":0}"#, "out_of_range"),
            (r#"{"version":-1}"#, "out_of_range"),
            (r#"{"version":9007199254740993}"#, "out_of_range"),
            (r#"{"version":1.5}"#, "invalid_field"),
            (r#"{"version":"3"}"#, "invalid_field"),
            (r#"{"version":null}"#, "invalid_field"),
            (r#"{"version":1,"etag":"x"}"#, "unknown_field"),
            ("[]", "invalid_field"),
        ] {
            assert_eq!(parse_alias_move(body.as_bytes()).unwrap_err().places[0].code, code, "{body}");
        }
        assert_eq!(parse_alias_move(b"{").unwrap_err().code, Code::MalformedJson);
    }
}
