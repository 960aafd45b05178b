//! The document and the program agree: routes, codes, and keywords that the judge understands.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sparsefit::api;
use sparsefit::fault::Code;

use crate::schema::{JUDGED, TOLD, deref, document, validate};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

#[test]
fn routes_in_the_program_and_in_the_document_are_the_same() {
    let program: BTreeSet<String> = api::routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let paths = document()["paths"].as_object().expect("paths");
    let documented: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, item)| {
            METHODS.iter().filter(|method| item.get(**method).is_some()).map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    assert_eq!(program, documented);
}

#[test]
fn codes_in_the_program_and_in_the_document_are_the_same() {
    let program: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let documented = document()["components"]["schemas"]["Code"]["enum"].as_array().expect("an enum");
    assert_eq!(program, documented.iter().map(|code| code.as_str().expect("a text")).collect());
    assert_eq!(program.len(), Code::ALL.len());
}

#[test]
fn every_path_parameter_is_documented() {
    for (path, item) in document()["paths"].as_object().expect("paths") {
        for method in METHODS.iter().filter(|method| item.get(**method).is_some()) {
            let own = item[*method].get("parameters").and_then(Value::as_array).into_iter().flatten();
            let shared = item.get("parameters").and_then(Value::as_array).into_iter().flatten();
            let named: BTreeSet<&str> =
                own.chain(shared).map(deref).filter(|one| one["in"] == "path").map(|one| one["name"].as_str().expect("a name")).collect();
            let wanted: BTreeSet<&str> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(named, wanted, "{method} {path}");
        }
    }
}

/// Calls `see` on every schema of the document, nested ones included.
fn each_schema(value: &'static Value, is_schema: bool, see: &mut dyn FnMut(&'static serde_json::Map<String, Value>)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| each_schema(item, is_schema, see)),
        Value::Object(fields) if is_schema => {
            see(fields);
            for (key, field) in fields {
                match key.as_str() {
                    "properties" => field.as_object().expect("an object").values().for_each(|field| each_schema(field, true, see)),
                    "items" | "oneOf" | "anyOf" => each_schema(field, true, see),
                    "additionalProperties" if field.is_object() => each_schema(field, true, see),
                    _ => {}
                }
            }
        }
        Value::Object(fields) => fields.iter().for_each(|(key, field)| match key.as_str() {
            "schema" => each_schema(field, true, see),
            "schemas" => field.as_object().expect("an object").values().for_each(|field| each_schema(field, true, see)),
            "example" | "examples" => {}
            _ => each_schema(field, false, see),
        }),
        _ => {}
    }
}

#[test]
fn the_document_uses_only_keywords_that_are_judged_or_told_and_its_references_lead_somewhere() {
    let mut count = 0;
    each_schema(document(), false, &mut |schema| {
        count += 1;
        for key in schema.keys() {
            assert!(JUDGED.contains(&key.as_str()) || TOLD.contains(&key.as_str()), "{key} in {schema:?}");
        }
        if let Some(reference) = schema.get("$ref") {
            let pointer = reference.as_str().expect("a text").trim_start_matches('#');
            assert!(document().pointer(pointer).is_some(), "{pointer}");
        }
    });
    assert!(count > 200, "schemas were found: {count}");
}

#[test]
fn every_example_is_as_its_schema_says() {
    let mut found = 0;
    let mut pending = vec![document()];
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(items) => pending.extend(items),
            Value::Object(fields) => {
                if let Some(schema) = fields.get("schema").filter(|_| fields.contains_key("example") || fields.contains_key("examples")) {
                    let more =
                        fields.get("examples").and_then(Value::as_object).into_iter().flat_map(|all| all.values()).map(|one| &one["value"]);
                    for example in fields.get("example").into_iter().chain(more) {
                        let mut wrong = Vec::new();
                        validate(schema, example, "", &mut wrong);
                        assert!(wrong.is_empty(), "{wrong:#?} in {example}");
                        found += 1;
                    }
                }
                pending.extend(fields.values());
            }
            _ => {}
        }
    }
    assert!(found > 10, "examples were found: {found}");
}

#[test]
fn the_judge_sees_what_is_wrong() {
    let schema = &document()["components"]["schemas"]["ProblemPlace"];
    for bad in [
        json!({}),
        json!({"code": "nope", "detail": ""}),
        json!({"code": "missing", "detail": 1}),
        json!({"code": "missing", "detail": "", "more": 1}),
        json!([]),
    ] {
        let mut wrong = Vec::new();
        validate(schema, &bad, "", &mut wrong);
        assert!(!wrong.is_empty(), "{bad}");
    }
}
