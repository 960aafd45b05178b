//! Where a fit begins: which models can be begun at, and by which λ a start is used.

use super::*;

fn asked(spec: &Value) -> Result<(FitSpec, ResolvedFit), Fault> {
    let request = parse(&job(spec))?;
    let fit = request.fit().unwrap().clone();
    let resolved = fit.resolve(&regression(), None)?.0;
    Ok((fit, resolved))
}

const NUMBERS: KnownModel<'static> = KnownModel { reference: "m:3", kind: "linear", loss: "squared", classes: None, named: false };

#[test]
fn a_start_is_a_reference_and_not_for_penalties_whose_end_depends_on_it() {
    for (start, pick) in [("m", Pick::Latest), ("m:3", Pick::Version(3)), ("m@best", Pick::Alias("best".into()))] {
        let (fit, resolved) = asked(&json!({"warm_start": start})).unwrap();
        assert_eq!(fit.warm_start(), Some(&ModelRef { name: "m".into(), pick }));
        assert_eq!(resolved.warm_start, None, "the version is not known before the store was asked");
    }
    assert_eq!(asked(&json!({"warm_start": null})).unwrap().0.warm_start(), None);
    for (spec, expected) in [
        (json!({"warm_start": 3}), "#/spec/warm_start invalid_field"),
        (json!({"warm_start": "m:0"}), "#/spec/warm_start invalid_field"),
        (json!({"warm_start": ""}), "#/spec/warm_start invalid_field"),
        (json!({"warm_start": "m", "penalty": {"type": "mcp"}}), "#/spec/warm_start conflict"),
        (json!({"warm_start": "m", "penalty": {"type": "scad"}}), "#/spec/warm_start conflict"),
        (json!({"warm_start": "m", "penalty": {"type": "l0"}}), "#/spec/warm_start conflict"),
    ] {
        assert_eq!(places(&asked(&spec).unwrap_err()), [expected], "{spec}");
    }
}

#[test]
fn a_start_is_used_below_lambda_max_and_told_where_it_is_not() {
    for (lambda, used) in [
        (json!({"mode": "value", "value": 0.1}), true),
        (json!({"mode": "path", "values": [0.1, 0.05]}), true),
        (json!({"mode": "path"}), false),
        (json!({"mode": "target_nonzeros", "k": 3}), false),
    ] {
        let (fit, mut resolved) = asked(&json!({"warm_start": "m", "lambda": lambda})).unwrap();
        let warning = fit.begin_at(&mut resolved, &NUMBERS, &regression()).unwrap();
        assert_eq!(warning.map(|warning| warning.code), (!used).then(|| "warm_start_unused".to_owned()), "{lambda}");
        assert_eq!((resolved.warm_start.as_deref(), resolved.begins_at()), (Some("m:3"), used.then_some("m:3")));
        let value = serde_json::to_value(&resolved).unwrap();
        assert_eq!(serde_json::from_value::<ResolvedFit>(value.clone()).unwrap(), resolved);
        let again = parse(&job(&value)).unwrap();
        assert_eq!(again.fit().unwrap().warm_start(), ModelRef::parse("m:3").as_ref());
    }
}

#[test]
fn a_model_must_speak_of_the_same_predictor() {
    let class = |number: f64| Some(Class::Number(number));
    let (sides, turned, rest) = ([class(-1.0), class(1.0)], [class(1.0), class(-1.0)], [None, class(1.0)]);
    let (three, other) = ([class(0.0), class(1.0), class(2.0)], [class(0.0), class(1.0), class(3.0)]);
    let of = |loss, classes| KnownModel { loss, classes, ..NUMBERS };
    let many = meta(TargetKind::Multiclass, &[0.0, 1.0, 2.0]);
    let counts = meta(TargetKind::Count, &[]);
    for (loss, meta, model, fits) in [
        ("squared", &regression(), NUMBERS, true),
        ("squared", &regression(), of("huber", None), true),
        ("huber", &regression(), NUMBERS, true),
        ("squared", &regression(), of("poisson", None), false),
        ("poisson", &counts, of("poisson", None), true),
        ("poisson", &counts, NUMBERS, false),
        ("squared", &regression(), KnownModel { kind: "tree", ..NUMBERS }, false),
        ("squared", &regression(), of("gamma", None), false),
        ("logistic", &binary(), of("logistic", Some(&sides)), true),
        ("logistic", &binary(), of("squared_hinge", Some(&sides)), true),
        ("squared_hinge", &binary(), of("logistic", Some(&rest)), true),
        ("logistic", &binary(), of("logistic", Some(&turned)), false),
        ("logistic", &binary(), NUMBERS, false),
        ("multinomial", &many, of("multinomial", Some(&three)), true),
        ("multinomial", &many, of("multinomial", Some(&other)), false),
        ("multinomial", &many, of("multinomial", Some(&three[..2])), false),
        ("multinomial", &many, of("logistic", Some(&sides)), false),
    ] {
        let spec = json!({"loss": {"type": loss}, "warm_start": "m", "lambda": {"mode": "value", "value": 0.1}});
        let request = parse(&job(&spec)).unwrap();
        let fit = request.fit().unwrap();
        let mut resolved = fit.resolve(meta, None).unwrap().0;
        match fit.begin_at(&mut resolved, &model, meta) {
            Ok(_) => assert!(fits, "{loss} at {model:?}"),
            Err(fault) => {
                assert!(!fits, "{loss} at {model:?}: {fault:?}");
                assert_eq!((fault.code, places(&fault)), (Code::InvalidParameter, vec!["#/spec/warm_start conflict".to_owned()]));
                assert_eq!(resolved.warm_start, None);
            }
        }
    }
}
