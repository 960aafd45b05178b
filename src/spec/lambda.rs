//! λ in JSON. Both kinds of path have the mode `path`, which a derived form cannot say.

use serde::{Deserialize, Serialize};

use super::Lambda;

/// The keys of `lambda`, flat.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LambdaJson {
    mode: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_ratio: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    k: Option<u64>,
}

impl From<Lambda> for LambdaJson {
    fn from(lambda: Lambda) -> Self {
        let mode = |mode: &str| Self { mode: mode.to_owned(), ..Self::default() };
        match lambda {
            Lambda::Value { value } => Self { value: Some(value), ..mode("value") },
            Lambda::Path { n, min_ratio } => Self { n: Some(n), min_ratio: Some(min_ratio), ..mode("path") },
            Lambda::Values { values } => Self { values: Some(values), ..mode("path") },
            Lambda::TargetNonzeros { k } => Self { k: Some(k), ..mode("target_nonzeros") },
        }
    }
}

impl TryFrom<LambdaJson> for Lambda {
    type Error = String;

    fn try_from(json: LambdaJson) -> Result<Self, String> {
        let LambdaJson { mode, value, n, min_ratio, values, k } = json;
        match (mode.as_str(), value, n, min_ratio, values, k) {
            ("value", Some(value), None, None, None, None) => Ok(Self::Value { value }),
            ("path", None, Some(n), Some(min_ratio), None, None) => Ok(Self::Path { n, min_ratio }),
            ("path", None, None, None, Some(values), None) => Ok(Self::Values { values }),
            ("target_nonzeros", None, None, None, None, Some(k)) => Ok(Self::TargetNonzeros { k }),
            _ => Err(format!("the keys of lambda do not fit its mode {mode}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lambda_survives_its_json_and_both_paths_are_called_path() {
        for (lambda, text) in [
            (Lambda::Value { value: 0.5 }, r#"{"mode":"value","value":0.5}"#),
            (Lambda::Path { n: 3, min_ratio: 0.25 }, r#"{"mode":"path","n":3,"min_ratio":0.25}"#),
            (Lambda::Values { values: vec![2.0, 0.5] }, r#"{"mode":"path","values":[2.0,0.5]}"#),
            (Lambda::TargetNonzeros { k: 7 }, r#"{"mode":"target_nonzeros","k":7}"#),
        ] {
            assert_eq!(serde_json::to_string(&lambda).unwrap(), text);
            assert_eq!(serde_json::from_str::<Lambda>(text).unwrap(), lambda);
        }
        assert!(serde_json::from_str::<Lambda>(r#"{"mode":"value","k":7}"#).is_err());
    }
}
