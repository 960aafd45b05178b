//! `openapi.yaml` as a judge: finds what is documented for an answer and compares.

use std::sync::OnceLock;

use serde_json::Value;
use sparsefit::client::Response;

/// The document.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml");
        let text = std::fs::read_to_string(path).expect("openapi.yaml is there");
        serde_norway::from_str(&text).expect("openapi.yaml is YAML")
    })
}

/// Follows `$ref`s.
pub(crate) fn deref(mut value: &'static Value) -> &'static Value {
    while let Some(target) = value.get("$ref") {
        let pointer = target.as_str().and_then(|target| target.strip_prefix('#')).expect("a local reference");
        value = document().pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in the document"));
    }
    value
}

/// The documented template of a path, if it is one; literal segments win over parameters.
fn template(path: &str) -> Option<&'static String> {
    let path = path.split('?').next().unwrap_or("");
    let paths = document()["paths"].as_object().expect("paths");
    let fits = |template: &str| {
        let (mut given, mut wanted) = (path.split('/'), template.split('/'));
        loop {
            match (given.next(), wanted.next()) {
                (None, None) => return true,
                (Some(given), Some(wanted)) if wanted == given || (wanted.starts_with('{') && !given.is_empty()) => {}
                _ => return false,
            }
        }
    };
    paths.keys().find(|template| *template == path).or_else(|| paths.keys().find(|template| fits(template)))
}

/// Fails unless the answer is what is documented; tells the template of its route.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, response: &Response, json: &Value) -> String {
    let status = response.status.as_u16();
    let about = format!("{method} {path} → {status} {}", response.text().chars().take(600).collect::<String>());
    for header in ["api-version", "x-request-id", "x-content-type-options"] {
        assert!(response.header(header).is_some(), "no {header}: {about}");
    }
    if status == 405 {
        assert!(response.header("allow").is_some(), "no Allow: {about}");
    }
    let found = template(path);
    let operation = found.and_then(|template| document()["paths"][template].get(method.to_lowercase()));
    let Some(operation) = operation else {
        assert!(status >= 400, "an undocumented route succeeded: {about}");
        check_problem(response, json, &about);
        return found.cloned().unwrap_or_else(|| "unmatched".to_owned());
    };
    let responses = &operation["responses"];
    let documented = responses.get(status.to_string()).or_else(|| responses.get("default").filter(|_| status >= 400));
    let documented = deref(documented.unwrap_or_else(|| panic!("undocumented status: {about}")));
    let content = documented.get("content").and_then(Value::as_object);
    let media = response.header("content-type").unwrap_or("").split(';').next().unwrap_or("").to_owned();
    match content {
        None => assert!(response.body.is_empty(), "an undocumented body: {about}"),
        Some(content) => {
            let entry = content.get(&media).unwrap_or_else(|| panic!("undocumented media type {media}: {about}"));
            if media.ends_with("json") {
                let mut wrong = Vec::new();
                validate(&entry["schema"], json, "", &mut wrong);
                assert!(wrong.is_empty(), "{wrong:#?}\n{about}");
            }
        }
    }
    if media == "application/problem+json" {
        check_problem(response, json, &about);
    }
    found.cloned().expect("it has an operation")
}

fn check_problem(response: &Response, json: &Value, about: &str) {
    assert_eq!(response.header("content-type"), Some("application/problem+json"), "{about}");
    let mut wrong = Vec::new();
    validate(&document()["components"]["schemas"]["Problem"], json, "", &mut wrong);
    assert!(wrong.is_empty(), "{wrong:#?}\n{about}");
    assert_eq!(json["status"], response.status.as_u16(), "{about}");
    assert_eq!(json["request_id"].as_str(), response.header("x-request-id"), "{about}");
    let code = json["code"].as_str().unwrap_or("");
    assert_eq!(json["type"], format!("/problems/{}", code.replace('_', "-")), "{about}");
}

/// Keywords understood here; the document may use no other (a test sees to it), so that none is passed over in silence.
pub(crate) const JUDGED: [&str; 15] = [
    "$ref",
    "type",
    "enum",
    "const",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "oneOf",
    "anyOf",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "pattern",
];
/// Keywords that say something to people, or about requests only.
pub(crate) const TOLD: [&str; 9] =
    ["description", "format", "default", "example", "examples", "exclusiveMinimum", "exclusiveMaximum", "maxProperties", "maxLength"];

/// Adds to `wrong` everything in which `value` is not as `schema` says.
pub(crate) fn validate(schema: &'static Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = deref(schema);
    let mut fail = |what: String| wrong.push(format!("{at}: {what}"));
    if let Some(types) = schema.get("type") {
        let allowed: Vec<&str> =
            types.as_array().map_or_else(|| types.as_str().into_iter().collect(), |all| all.iter().filter_map(Value::as_str).collect());
        if !allowed.iter().any(|name| is_a(name, value)) {
            return fail(format!("{value} is not of type {types}"));
        }
    }
    if schema.get("const").is_some_and(|only| only != value) {
        fail(format!("{value} is not {}", schema["const"]));
    }
    if schema.get("enum").and_then(Value::as_array).is_some_and(|all| !all.contains(value)) {
        fail(format!("{value} is none of {}", schema["enum"]));
    }
    if let Some(number) = value.as_f64() {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|least| number < least) || bound("maximum").is_some_and(|most| number > most) {
            fail(format!("{value} is out of bounds"));
        }
    }
    // The one pattern of the document is that of names.
    if let (Some(_), Some(text)) = (schema.get("pattern"), value.as_str())
        && !sparsefit::spec::is_name(text)
    {
        fail(format!("{text} is not a name"));
    }
    for (key, all) in [("oneOf", false), ("anyOf", true)] {
        if let Some(options) = schema.get(key).and_then(Value::as_array) {
            let fitting = options.iter().filter(|option| fits(option, value)).count();
            if fitting == 0 || (!all && fitting > 1) {
                fail(format!("fits {fitting} of {key}"));
            }
        }
    }
    match value {
        Value::Object(fields) => validate_object(schema, fields, at, wrong),
        Value::Array(items) => validate_array(schema, items, at, wrong),
        _ => {}
    }
}

fn fits(schema: &'static Value, value: &Value) -> bool {
    let mut wrong = Vec::new();
    validate(schema, value, "", &mut wrong);
    wrong.is_empty()
}

fn validate_object(schema: &'static Value, fields: &serde_json::Map<String, Value>, at: &str, wrong: &mut Vec<String>) {
    for key in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(key) {
            wrong.push(format!("{at}: {key} is missing"));
        }
    }
    for (key, field) in fields {
        let at = format!("{at}/{key}");
        match (schema.get("properties").and_then(|all| all.get(key)), schema.get("additionalProperties")) {
            (Some(schema), _) => validate(schema, field, &at, wrong),
            (None, Some(Value::Bool(false))) => wrong.push(format!("{at}: not documented")),
            (None, Some(schema @ Value::Object(_))) => validate(schema, field, &at, wrong),
            (None, _) => {}
        }
    }
}

fn validate_array(schema: &'static Value, items: &[Value], at: &str, wrong: &mut Vec<String>) {
    let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
    let count = items.len() as u64;
    if bound("minItems").is_some_and(|least| count < least) || bound("maxItems").is_some_and(|most| count > most) {
        wrong.push(format!("{at}: {count} items"));
    }
    if let Some(schema) = schema.get("items") {
        for (index, item) in items.iter().enumerate() {
            validate(schema, item, &format!("{at}/{index}"), wrong);
        }
    }
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("the document uses the type {other}"),
    }
}
