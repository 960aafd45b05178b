//! The specification of a network and of its prunings: what they may say, and which data sets and models they go with.

use super::*;

fn network(spec: &str) -> Result<NetworkSpec, Fault> {
    let body = format!(r#"{{"type":"fit","model":"n","dataset":{{"name":"d"}},"spec":{spec}}}"#);
    match parse(body.as_bytes())?.work {
        Asked::Network(network) => Ok(*network),
        other => panic!("{other:?}"),
    }
}

fn pruning(spec: &str) -> Result<PruneSpec, Fault> {
    let body = format!(r#"{{"type":"prune","model":"small","dataset":{{"name":"d"}},"spec":{spec}}}"#);
    match parse(body.as_bytes())?.work {
        Asked::Prune(prune) => Ok(prune),
        other => panic!("{other:?}"),
    }
}

#[test]
fn defaults_are_filled_in_stored_and_can_be_posted_again() {
    let (resolved, warnings) = network(r#"{"kind":"network"}"#).unwrap().resolve(&regression()).unwrap();
    assert!(warnings.is_empty());
    assert_eq!((resolved.loss, &*resolved.hidden, resolved.activation), (NaturalLoss::Squared, &[64][..], Activation::Relu));
    assert_eq!(resolved.optimizer, Optimizer::Adam { learning_rate: 1e-3 });
    assert_eq!(resolved.early_stopping, Some(EarlyStopping { fraction: 0.1, patience: 5 }));
    let full = r#"{"kind":"network","loss":"logistic","hidden":[32,16,8],"activation":"tanh","optimizer":{"type":"sgd","learning_rate":0.1},
        "penalty":{"type":"group_l1","lambda":0.001},"epochs":7,"batch_size":9,"seed":11,"early_stopping":null,"weights":false}"#;
    let (full, _) = network(full).unwrap().resolve(&binary()).unwrap();
    assert_eq!(full.optimizer, Optimizer::Sgd { learning_rate: 0.1, momentum: 0.9 });
    assert_eq!((&*full.hidden, full.early_stopping, full.epochs), (&[32, 16, 8][..], None, 7));
    for (resolved, meta) in [(resolved, regression()), (full, binary())] {
        let stored = Work::Network(Box::new(resolved.clone())).write().unwrap();
        let Work::Network(read) = Work::read(JobKind::Fit, &stored).unwrap() else { panic!("{stored}") };
        assert_eq!(*read, resolved);
        assert_eq!(network(&stored.to_string()).unwrap().resolve(&meta).unwrap().0, resolved);
    }
}

#[test]
fn every_wrong_field_of_a_network_is_told_with_its_place() {
    for (spec, expected) in [
        (r#"{"kind":"network","hidden":[]}"#, vec!["#/spec/hidden invalid_field"]),
        (r#"{"kind":"network","hidden":[1,2,3,4]}"#, vec!["#/spec/hidden invalid_field"]),
        (r#"{"kind":"network","hidden":64}"#, vec!["#/spec/hidden invalid_field"]),
        (r#"{"kind":"network","hidden":[0,5000]}"#, vec!["#/spec/hidden/0 out_of_range", "#/spec/hidden/1 out_of_range"]),
        (r#"{"kind":"network","activation":"gelu"}"#, vec!["#/spec/activation unknown_value"]),
        (r#"{"kind":"network","optimizer":{}}"#, vec!["#/spec/optimizer/type missing"]),
        (r#"{"kind":"network","optimizer":{"type":"adam","momentum":0.5}}"#, vec!["#/spec/optimizer/momentum conflict"]),
        (r#"{"kind":"network","optimizer":{"type":"sgd","learning_rate":0}}"#, vec!["#/spec/optimizer/learning_rate out_of_range"]),
        (r#"{"kind":"network","penalty":{"type":"l1"}}"#, vec!["#/spec/penalty/lambda missing"]),
        (r#"{"kind":"network","penalty":{"type":"none","lambda":1}}"#, vec!["#/spec/penalty/lambda conflict"]),
        (r#"{"kind":"network","epochs":0,"batch_size":1.5}"#, vec!["#/spec/epochs out_of_range", "#/spec/batch_size invalid_field"]),
        (r#"{"kind":"network","early_stopping":{"fraction":0.6}}"#, vec!["#/spec/early_stopping/fraction out_of_range"]),
        (r#"{"kind":"network","lambda":{"mode":"path"}}"#, vec!["#/spec/lambda unknown_field"]),
    ] {
        assert_eq!(places(&network(spec).unwrap_err()), expected, "{spec}");
    }
}

#[test]
fn a_network_meets_its_data_set() {
    let asked = |spec: &str| network(&format!(r#"{{"kind":"network"{spec}}}"#)).unwrap();
    let refused = |spec: &str, meta: &Meta| {
        let fault = asked(spec).resolve(meta).unwrap_err();
        (fault.code, places(&fault).join(", "))
    };
    assert_eq!(refused(r#","loss":"squared""#, &binary()), (Code::InvalidTarget, "#/spec/loss invalid_target".into()));
    assert_eq!(refused(r#","loss":"multinomial""#, &binary()).0, Code::InvalidTarget);
    assert_eq!(refused(r#","weights":true"#, &regression()), (Code::InvalidParameter, "#/spec/weights conflict".into()));
    let one = Meta { shape: [1, 200], ..regression() };
    assert_eq!(refused("", &one), (Code::InvalidParameter, "#/spec/early_stopping conflict".into()));
    assert!(asked(r#","early_stopping":null"#).resolve(&one).is_ok());
    let wide = Meta { stored_columns: 1 << 27, ..regression() };
    assert_eq!(refused("", &wide), (Code::InvalidParameter, "#/spec/hidden out_of_range".into()));
    let offset = Meta { offset: true, ..regression() };
    assert_eq!(asked("").resolve(&offset).unwrap().1[0].code, "offset_ignored");
}

const NETWORK: KnownModel<'_> = KnownModel { reference: "m:7", kind: "network", loss: "squared", classes: None, named: false };
const WHOLE: BaseSize = BaseSize::Network { weights: 100, neurons: 10, inputs: 20 };

#[test]
fn prunings_of_networks_are_resolved_stored_and_can_be_posted_again() {
    for how in [
        r#""method":"l1_unstructured","amount":0.9"#,
        r#""method":"ln_structured","amount":9,"schedule":{"steps":5}"#,
        r#""method":"random_unstructured","amount":99,"seed":4"#,
        r#""method":"global_unstructured","max_quality_loss":0.01"#,
        r#""method":"inputs","amount":19,"schedule":{"steps":2,"fine_tune_epochs":1,"rewind":true},"holdout_fraction":0.3"#,
    ] {
        let resolved = pruning(&format!(r#"{{"base":"m",{how}}}"#)).unwrap().resolve(&NETWORK, WHOLE, &regression()).unwrap();
        assert_eq!((resolved.base_weights, resolved.base_leaves), (Some(100), None), "{how}");
        let stored = Work::Prune(resolved.clone()).write().unwrap();
        assert_eq!(pruning(&stored.to_string()).unwrap().resolve(&NETWORK, WHOLE, &regression()).unwrap(), resolved);
    }
    let alone = pruning(r#"{"base":"m","method":"global_unstructured","max_quality_loss":0.01}"#).unwrap();
    let alone = alone.resolve(&NETWORK, WHOLE, &regression()).unwrap();
    let (_, removal) = alone.method.removal().unwrap();
    assert_eq!((removal.amount, removal.schedule.steps, removal.schedule.fine_tune_epochs), (Amount::Share(0.99), 10, 3));
}

#[test]
fn what_a_pruning_of_a_network_cannot_be_is_told_with_its_place() {
    for (how, expected) in [
        (r#""method":"l1_unstructured""#, vec!["#/spec/amount missing"]),
        (r#""method":"l1_unstructured","amount":1.5"#, vec!["#/spec/amount out_of_range"]),
        (r#""method":"inputs","amount":1,"ccp_alpha":0"#, vec!["#/spec/ccp_alpha conflict"]),
        (r#""method":"inputs","amount":1,"schedule":{"steps":0}"#, vec!["#/spec/schedule/steps out_of_range"]),
        (r#""method":"inputs","amount":1,"schedule":{"rewind":true,"fine_tune_epochs":0}"#, vec!["#/spec/schedule/rewind conflict"]),
        (r#""method":"inputs","amount":1,"holdout_fraction":0"#, vec!["#/spec/holdout_fraction out_of_range"]),
        (r#""method":"ccp","target_leaves":1,"seed":1"#, vec!["#/spec/seed conflict"]),
    ] {
        assert_eq!(places(&pruning(&format!(r#"{{"base":"m",{how}}}"#)).unwrap_err()), expected, "{how}");
    }
    let refused = |how: &str, base: &KnownModel<'_>, size: BaseSize| {
        let fault = pruning(&format!(r#"{{"base":"m",{how}}}"#)).unwrap().resolve(base, size, &regression()).unwrap_err();
        places(&fault).join(", ")
    };
    for (how, most) in [("l1_unstructured", 100), ("global_unstructured", 100), ("ln_structured", 10), ("inputs", 20)] {
        let asked = |amount: u64| format!(r#""method":"{how}","amount":{amount}"#);
        assert_eq!(refused(&asked(most), &NETWORK, WHOLE), "#/spec/amount out_of_range", "{how}");
        assert!(pruning(&format!(r#"{{"base":"m",{}}}"#, asked(most - 1))).unwrap().resolve(&NETWORK, WHOLE, &regression()).is_ok());
    }
    let of_tree = KnownModel { kind: "tree", ..NETWORK };
    assert_eq!(refused(r#""method":"inputs","amount":1"#, &of_tree, BaseSize::Tree { leaves: 9 }), "#/spec/base conflict");
    assert_eq!(refused(r#""method":"reduced_error""#, &NETWORK, WHOLE), "#/spec/base conflict");
    let other = r#""method":"inputs","amount":1,"base_weights":99"#;
    assert_eq!(refused(other, &NETWORK, WHOLE), "#/spec/base_weights conflict");
}
