//! The specification of an evaluation: what it may say, and which data sets a model can be measured on.

use super::*;

fn evaluation(spec: &str, more: &str) -> Result<JobRequest, Fault> {
    parse(format!(r#"{{"type":"evaluate","dataset":{{"name":"d"}},"spec":{spec}{more}}}"#).as_bytes())
}

#[test]
fn an_evaluation_names_a_model_and_registers_none() {
    let asked = evaluation(r#"{"model":"m:3"}"#, r#","limits":{"max_runtime_s":5}"#).unwrap();
    assert_eq!((asked.kind, &asked.model, asked.fit().is_none()), (JobKind::Evaluate, &None, true));
    assert_eq!(evaluation(r#"{"model":"m@latest"}"#, r#","model":null"#).unwrap().model, None);
    for (spec, more, expected) in [
        (r#"{"model":"m"}"#, r#","model":"other""#, "#/model conflict"),
        ("{}", "", "#/spec/model missing"),
        (r#"{"model":"M!"}"#, "", "#/spec/model invalid_field"),
        (r#"{"model":"m:0"}"#, "", "#/spec/model invalid_field"),
        (r#"{"model":3}"#, "", "#/spec/model invalid_field"),
        (r#"{"model":"m","lambda":{"mode":"path"}}"#, "", "#/spec/lambda unknown_field"),
        (r#"{"model":"m","limits":{"max_runtime_s":0}}"#, "", "#/spec/limits/max_runtime_s out_of_range"),
    ] {
        let fault = evaluation(spec, more).unwrap_err();
        assert_eq!(places(&fault), [expected], "{spec}{more}");
    }
}

#[test]
fn an_evaluation_meets_the_data_set() {
    let Asked::Evaluate(asked) = evaluation(r#"{"model":"m"}"#, "").unwrap().work else { panic!("an evaluation") };
    let classes = [Some(Class::Number(0.0)), Some(Class::Number(1.0))];
    let numbers = KnownModel { reference: "m:7", kind: "linear", loss: "squared", classes: None, named: false };
    let sides = KnownModel { loss: "logistic", classes: Some(&classes), ..numbers };
    let resolved = asked.resolve(&numbers, &regression()).unwrap();
    assert_eq!(resolved.model, "m:7");
    let stored = Work::Evaluate(resolved.clone()).write().unwrap();
    assert_eq!(Work::read(JobKind::Evaluate, &stored).unwrap(), Work::Evaluate(resolved));
    assert!(Work::read(JobKind::Fit, &stored).is_err());

    let named = Meta { named: true, ..regression() };
    assert_eq!(places(&asked.resolve(&numbers, &named).unwrap_err()), ["#/spec/model conflict"]);
    let of = |kind, classes: &[f64]| {
        let classes = Some(classes.iter().map(|class| Class::Number(*class)).collect::<Vec<_>>());
        Meta { target: Target { kind, classes, counts: None, name: "y".into() }, ..regression() }
    };
    let code = |model: &KnownModel<'_>, meta: &Meta| asked.resolve(model, meta).map(|_| ()).map_err(|fault| fault.code);
    assert_eq!(code(&sides, &of(TargetKind::Binary, &[0.0, 1.0])), Ok(()));
    assert_eq!(code(&sides, &of(TargetKind::Multiclass, &[0.0, 1.0, 2.0])), Err(Code::InvalidTarget));
    assert_eq!(code(&numbers, &of(TargetKind::Binary, &[0.0, 1.0])), Err(Code::InvalidTarget));
    assert_eq!(code(&sides, &regression()), Ok(()), "its numbers are looked at when they are read");
    let rest = [None, Some(Class::Number(1.0))];
    assert_eq!(code(&KnownModel { classes: Some(&rest), ..sides }, &of(TargetKind::Multiclass, &[0.0, 1.0, 2.0])), Ok(()));
    let texts = [Some(Class::Text("a".into())), Some(Class::Text("b".into()))];
    assert_eq!(code(&KnownModel { classes: Some(&texts), ..sides }, &regression()), Err(Code::InvalidTarget));
    let Asked::Evaluate(best) = evaluation(r#"{"model":"m","limits":{"on_limit":"keep_best"}}"#, "").unwrap().work else { panic!() };
    assert_eq!(places(&best.resolve(&numbers, &regression()).unwrap_err()), ["#/limits/on_limit conflict"]);
}
