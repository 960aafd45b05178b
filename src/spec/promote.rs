//! What a promotion asks for: a point of a path.

use serde_json::Value;

use super::fields::{Fields, Problems, WHOLE_MAX};
use crate::fault::{Code, Fault};
use crate::json;

/// Values in the body of a promotion.
const NODES_MAX: usize = 64;

/// Parses `{"index": 37}` for a path of so many points.
///
/// # Errors
/// The body is no JSON, or every problem of it with its pointer.
pub fn parse_promotion(body: &[u8], points: u64) -> Result<u64, Fault> {
    let document: Value = json::document(body, NODES_MAX)?;
    let mut problems = Problems::default();
    let index = Fields::open(&document, "#", &mut problems).and_then(|mut fields| {
        let index = fields.need("index", &mut problems).and(fields.whole("index", 0, WHOLE_MAX, &mut problems));
        fields.close(&mut problems);
        if let Some(index) = index.filter(|index| *index >= points) {
            let detail = format!("must be from 0 to {}, the points of the path, got {index}", points.saturating_sub(1));
            problems.add("#/index", "out_of_range", detail);
        }
        index
    });
    match (problems.into_fault_of("the promotion"), index) {
        (None, Some(index)) => Ok(index),
        (Some(fault), _) => Err(fault),
        (None, None) => Err(Fault::new(Code::InvalidParameter, "The promotion cannot be understood.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promotion_names_a_point_of_the_path() {
        assert_eq!(parse_promotion(br#"{"index":37}"#, 100), Ok(37));
        assert_eq!(parse_promotion(br#"{"index":0}"#, 1), Ok(0));
        for (body, code) in [
            ("{}", "missing"),
            (r#"{"index":100}"#, "out_of_range"),
            (r#"{"index":-1}"#, "out_of_range"),
            (r#"{"index":1.5}"#, "invalid_field"),
            (r#"{"index":"3"}"#, "invalid_field"),
            (r#"{"index":1,"lambda":2}"#, "unknown_field"),
            ("[]", "invalid_field"),
        ] {
            assert_eq!(parse_promotion(body.as_bytes(), 100).unwrap_err().places[0].code, code, "{body}");
        }
        assert_eq!(parse_promotion(b"{", 100).unwrap_err().code, Code::MalformedJson);
    }
}
