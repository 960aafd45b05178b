//! Penalties beyond the elastic net as a client meets them.

use serde_json::json;

use super::*;

#[test]
fn penalties_beyond_the_elastic_net_are_filled_out_and_can_be_posted_again() {
    let groups = json!({"g": ["0", 7], "h": ["199"]});
    for (asked, resolved, tol_kind) in [
        (
            json!({"type": "group", "groups": groups}),
            json!({"type": "group", "l1_ratio": 0.0, "groups": {"g": ["0", "7"], "h": ["199"]}}),
            "relative_gap",
        ),
        (
            json!({"type": "sparse_group", "l1_ratio": 0.5, "groups": {"g": [3]}, "factors": {"3": 2}}),
            json!({"type": "sparse_group", "l1_ratio": 0.5, "groups": {"g": ["3"]}, "factors": {"3": 2.0}}),
            "relative_gap",
        ),
        (json!({"type": "mcp"}), json!({"type": "mcp", "l1_ratio": 1.0, "gamma": 3.0}), "stationarity"),
        (json!({"type": "scad"}), json!({"type": "scad", "l1_ratio": 1.0, "gamma": 3.7}), "stationarity"),
        (json!({"type": "l0", "factors": {"0": 2}}), json!({"type": "l0", "l1_ratio": 1.0, "factors": {"0": 2.0}}), "stationarity"),
        (
            json!({"type": "mcp", "gamma": 1.5, "factors": {"0": 0}}),
            json!({"type": "mcp", "l1_ratio": 1.0, "gamma": 1.5, "factors": {"0": 0.0}}),
            "stationarity",
        ),
    ] {
        let fit = resolve(&json!({"penalty": asked}), &regression()).unwrap();
        let value = serde_json::to_value(&fit).unwrap();
        assert_eq!((&value["penalty"], &value["solver"]["tol_kind"]), (&resolved, &json!(tol_kind)));
        assert_eq!(serde_json::from_value::<ResolvedFit>(value.clone()).unwrap(), fit);
        assert_eq!(resolve(&value, &regression()).unwrap(), fit);
    }
    // nothing of it shows in a fit that has none
    let lasso = serde_json::to_value(resolve(&json!({}), &regression()).unwrap()).unwrap();
    assert_eq!(lasso["penalty"], json!({"type": "l1", "l1_ratio": 1.0}));
    for penalty in [json!({"type": "group", "groups": groups}), json!({"type": "mcp"}), json!({"type": "l0"})] {
        let spec = json!({"penalty": penalty, "lambda": {"mode": "target_nonzeros", "k": 3}});
        assert_eq!(resolve(&spec, &regression()).unwrap().lambda, Lambda::TargetNonzeros { k: 3 });
    }
}

#[test]
fn every_wrong_penalty_is_told_with_code_and_place() {
    for (spec, expected) in [
        (r#"{"penalty":{"type":"group"}}"#, "#/spec/penalty/groups missing"),
        (r#"{"penalty":{"type":"group","groups":{}}}"#, "#/spec/penalty/groups out_of_range"),
        (r#"{"penalty":{"type":"group","groups":[["0"]]}}"#, "#/spec/penalty/groups invalid_field"),
        (r#"{"penalty":{"type":"group","groups":{"a":[]}}}"#, "#/spec/penalty/groups/a out_of_range"),
        (r#"{"penalty":{"type":"group","groups":{"a":"0"}}}"#, "#/spec/penalty/groups/a invalid_field"),
        (r#"{"penalty":{"type":"group","groups":{"a/b":["0",1.5]}}}"#, "#/spec/penalty/groups/a~1b/1 invalid_field"),
        (r#"{"penalty":{"type":"group","groups":{"a":["0","x"]}}}"#, "#/spec/penalty/groups/a/1 unknown_value"),
        (r#"{"penalty":{"type":"group","groups":{"a":[200]}}}"#, "#/spec/penalty/groups/a/0 unknown_value"),
        (r#"{"penalty":{"type":"group","groups":{"a":["0","1"],"b":["2","1"]}}}"#, "#/spec/penalty/groups/b/1 conflict"),
        (r#"{"penalty":{"type":"group","groups":{"a":["0",0]}}}"#, "#/spec/penalty/groups/a/1 conflict"),
        (r#"{"penalty":{"type":"group","groups":{"a":[0]},"l1_ratio":0.5}}"#, "#/spec/penalty/l1_ratio conflict"),
        (r#"{"penalty":{"type":"group","groups":{"a":[0]},"factors":{"1":2}}}"#, "#/spec/penalty/factors conflict"),
        (r#"{"penalty":{"type":"group","groups":{"a":[0]},"gamma":3}}"#, "#/spec/penalty/gamma conflict"),
        (r#"{"penalty":{"type":"group","groups":{"a":[0]},"adaptive":{}}}"#, "#/spec/penalty/adaptive conflict"),
        (r#"{"penalty":{"type":"group","groups":{"a":[0]}},"selection":{"method":"bic"}}"#, "#/spec/selection/method conflict"),
        (r#"{"penalty":{"type":"sparse_group","groups":{"a":[0]}}}"#, "#/spec/penalty/l1_ratio missing"),
        (r#"{"penalty":{"type":"sparse_group","groups":{"a":[0]},"l1_ratio":1}}"#, "#/spec/penalty/l1_ratio out_of_range"),
        (r#"{"penalty":{"type":"l1","groups":{"a":[0]}}}"#, "#/spec/penalty/groups conflict"),
        (r#"{"penalty":{"type":"elastic_net","l1_ratio":0.5,"gamma":2}}"#, "#/spec/penalty/gamma conflict"),
        (r#"{"penalty":{"type":"mcp","gamma":1}}"#, "#/spec/penalty/gamma out_of_range"),
        (r#"{"penalty":{"type":"mcp","gamma":1e7}}"#, "#/spec/penalty/gamma out_of_range"),
        (r#"{"penalty":{"type":"mcp","gamma":"3"}}"#, "#/spec/penalty/gamma invalid_field"),
        (r#"{"penalty":{"type":"mcp","l1_ratio":0.5}}"#, "#/spec/penalty/l1_ratio conflict"),
        (r#"{"penalty":{"type":"mcp","adaptive":{}}}"#, "#/spec/penalty/adaptive conflict"),
        (r#"{"penalty":{"type":"l0","l1_ratio":0.5}}"#, "#/spec/penalty/l1_ratio conflict"),
        (r#"{"penalty":{"type":"l0","gamma":3}}"#, "#/spec/penalty/gamma conflict"),
        (r#"{"penalty":{"type":"l0","groups":{"a":[0]}}}"#, "#/spec/penalty/groups conflict"),
        (r#"{"penalty":{"type":"l0","adaptive":{}}}"#, "#/spec/penalty/adaptive conflict"),
        (r#"{"penalty":{"type":"l0"},"refit":{"relaxed_gamma":0.5}}"#, "#/spec/refit conflict"),
        (r#"{"penalty":{"type":"l0"},"loss":{"type":"huber"}}"#, "#/spec/penalty/type conflict"),
        (r#"{"penalty":{"type":"l0"},"solver":{"tol_kind":"relative_gap"}}"#, "#/spec/solver/tol_kind conflict"),
        (r#"{"penalty":{"type":"scad","gamma":2}}"#, "#/spec/penalty/gamma out_of_range"),
        (r#"{"penalty":{"type":"scad"},"solver":{"tol_kind":"relative_gap"}}"#, "#/spec/solver/tol_kind conflict"),
        (r#"{"solver":{"tol_kind":"stationarity"}}"#, "#/spec/solver/tol_kind conflict"),
    ] {
        let body = format!(r#"{{"type":"fit","model":"m","dataset":{{"name":"d"}},"spec":{spec}}}"#);
        let fault = parse(body.as_bytes()).and_then(|job| job.fit().unwrap().resolve(&regression(), None)).expect_err(spec);
        assert_eq!((places(&fault), fault.code), (vec![expected.to_owned()], Code::InvalidParameter), "{spec}");
    }
}
