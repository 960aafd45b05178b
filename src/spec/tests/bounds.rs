//! Bounds on coefficients as a client meets them.

use serde_json::json;

use super::*;

#[test]
fn bounds_are_kept_as_asked_and_can_be_posted_again() {
    let asked = json!({"bounds": {"3": [null, 0], "7": [-0.5, 1], "9": [null, null], "11": [0, 0]}, "non_negative": true});
    let fit = resolve(&asked, &regression()).unwrap();
    let value = serde_json::to_value(&fit).unwrap();
    assert_eq!(value["bounds"], json!({"3": [null, 0.0], "7": [-0.5, 1.0], "9": [null, null], "11": [0.0, 0.0]}));
    assert_eq!((&value["non_negative"], fit.is_bounded()), (&json!(true), true));
    assert_eq!(serde_json::from_value::<ResolvedFit>(value.clone()).unwrap(), fit);
    assert_eq!(resolve(&value, &regression()).unwrap(), fit);
    // both together are the intersection
    let of = |key: &str| fit.interval(fit.bounds.get(key));
    assert_eq!((of("3"), of("7"), of("9"), of("0")), ([0.0, 0.0], [0.0, 1.0], [0.0, f64::INFINITY], [0.0, f64::INFINITY]));
    // nothing of it shows in a fit that has none
    let plain = resolve(&json!({"non_negative": false}), &regression()).unwrap();
    let value = serde_json::to_value(&plain).unwrap();
    assert!(value.get("bounds").is_none() && value.get("non_negative").is_none() && !plain.is_bounded());
    assert!(!resolve(&json!({"bounds": {"0": [null, null]}}), &regression()).unwrap().is_bounded());
}

#[test]
fn what_goes_with_bounds_is_taken() {
    for spec in [
        r#"{"bounds":{"0":[0,1]},"penalty":{"type":"l2"},"lambda":{"mode":"value","value":1}}"#,
        r#"{"non_negative":true,"penalty":{"type":"elastic_net","l1_ratio":[0.5,1]},"compare_ridge":true}"#,
        r#"{"non_negative":true,"penalty":{"type":"l1","adaptive":{"pilot":"ridge"}},"lambda":{"mode":"target_nonzeros","k":3}}"#,
        r#"{"non_negative":true,"selection":{"method":"bic"}}"#,
        r#"{"bounds":{"0":[0,0],"1":[null,null]},"penalty":{"type":"l1","factors":{"0":0,"1":0}}}"#,
        r#"{"bounds":{"0":[0,1]},"loss":{"type":"huber"}}"#,
    ] {
        let body = format!(r#"{{"type":"fit","model":"m","dataset":{{"name":"d"}},"spec":{spec}}}"#);
        parse(body.as_bytes()).and_then(|job| job.fit().unwrap().resolve(&regression(), None)).expect(spec);
    }
}

#[test]
fn every_wrong_bound_is_told_with_code_and_place() {
    for (spec, expected) in [
        (r#"{"bounds":[]}"#, "#/spec/bounds invalid_field"),
        (r#"{"bounds":{"0":1}}"#, "#/spec/bounds/0 invalid_field"),
        (r#"{"bounds":{"0":[0]}}"#, "#/spec/bounds/0 invalid_field"),
        (r#"{"bounds":{"0":[0,1,2]}}"#, "#/spec/bounds/0 invalid_field"),
        (r#"{"bounds":{"0":["0",1]}}"#, "#/spec/bounds/0 invalid_field"),
        (r#"{"bounds":{"0":[0.5,1]}}"#, "#/spec/bounds/0 out_of_range"),
        (r#"{"bounds":{"0":[null,-1]}}"#, "#/spec/bounds/0 out_of_range"),
        (r#"{"bounds":{"0":[1,-1]}}"#, "#/spec/bounds/0 out_of_range"),
        (r#"{"bounds":{"a/b":[0,1]}}"#, "#/spec/bounds/a~1b unknown_value"),
        (r#"{"bounds":{"200":[0,1]}}"#, "#/spec/bounds/200 unknown_value"),
        (r#"{"non_negative":1}"#, "#/spec/non_negative invalid_field"),
        (r#"{"bounds":{"1":[0,1]},"refit":{"relaxed_gamma":0.5}}"#, "#/spec/refit conflict"),
        (r#"{"bounds":{"1":[0,1]},"selection":{"method":"aic"}}"#, "#/spec/selection/method conflict"),
        (r#"{"bounds":{"1":[0,1]},"penalty":{"type":"mcp"}}"#, "#/spec/bounds conflict"),
        (r#"{"bounds":{"1":[0,1]},"penalty":{"type":"l0"}}"#, "#/spec/bounds conflict"),
        (r#"{"non_negative":true,"penalty":{"type":"group","groups":{"a":[0]}}}"#, "#/spec/non_negative conflict"),
        (r#"{"bounds":{"1":[0,1]},"penalty":{"type":"l1","factors":{"1":0}}}"#, "#/spec/bounds/1 conflict"),
        (r#"{"non_negative":true,"penalty":{"type":"l1","factors":{"1":0}}}"#, "#/spec/non_negative conflict"),
    ] {
        let body = format!(r#"{{"type":"fit","model":"m","dataset":{{"name":"d"}},"spec":{spec}}}"#);
        let fault = parse(body.as_bytes()).and_then(|job| job.fit().unwrap().resolve(&regression(), None)).expect_err(spec);
        assert_eq!((places(&fault), fault.code), (vec![expected.to_owned()], Code::InvalidParameter), "{spec}");
    }
    let classes = meta(TargetKind::Multiclass, &[0.0, 1.0, 2.0]);
    let places_of = |spec: Value| places(&resolve(&spec, &classes).expect_err("refused"));
    assert_eq!(places_of(json!({"bounds": {"1": [0, 1]}})), ["#/spec/bounds conflict"]);
    assert_eq!(places_of(json!({"non_negative": true})), ["#/spec/non_negative conflict"]);
}
