//! The specification of a comparison: what it may say, which models one score measures, and what the dense twin of a fit is.

use super::*;

fn comparison(spec: &str) -> Result<JobRequest, Fault> {
    parse(format!(r#"{{"type":"compare","dataset":{{"name":"d"}},"spec":{spec}}}"#).as_bytes())
}

fn asked(spec: &str) -> CompareSpec {
    let Asked::Compare(asked) = comparison(spec).unwrap().work else { panic!("a comparison") };
    asked
}

#[test]
fn a_comparison_names_models_and_registers_none() {
    let job = comparison(r#"{"models":["a","b:2","c@production"]}"#).unwrap();
    assert_eq!((job.kind, &job.model), (JobKind::Compare, &None));
    let many = format!(r#"{{"models":[{}]}}"#, vec![r#""m""#; 21].join(","));
    for (spec, expected) in [
        ("{}", "#/spec/models missing"),
        (r#"{"models":"m"}"#, "#/spec/models invalid_field"),
        (r#"{"models":[]}"#, "#/spec/models out_of_range"),
        (&many, "#/spec/models out_of_range"),
        (r#"{"models":["m","M!"]}"#, "#/spec/models/1 invalid_field"),
        (r#"{"models":["m",3]}"#, "#/spec/models/1 invalid_field"),
        (r#"{"models":["m"],"measure":[]}"#, "#/spec/measure invalid_field"),
        (r#"{"models":["m"],"measure":["size","weight"]}"#, "#/spec/measure/1 unknown_value"),
        (r#"{"models":["m"],"twin":1}"#, "#/spec/twin invalid_field"),
        (r#"{"models":["m"],"bootstrap":99}"#, "#/spec/bootstrap out_of_range"),
        (r#"{"models":["m"],"bootstrap":100,"measure":["size"]}"#, "#/spec/bootstrap conflict"),
        (r#"{"models":["m"],"halves":10}"#, "#/spec/halves conflict"),
        (r#"{"models":["m"],"seed":-1}"#, "#/spec/seed out_of_range"),
        (r#"{"models":["m"],"drift":true}"#, "#/spec/drift unknown_field"),
    ] {
        assert_eq!(places(&comparison(spec).unwrap_err()), [expected], "{spec}");
    }
}

#[test]
fn a_route_of_its_own_needs_no_type_and_takes_no_other() {
    let limits = SpecLimits { path_values: 1000, folds: 100, max_epochs: 1000, max_runtime_s: 1e6 };
    let of = |body: &str| parse_job_of(Some(JobKind::Compare), body.as_bytes(), &limits);
    let body = r#"{"dataset":{"name":"d"},"spec":{"models":["m"]}"#;
    assert_eq!(of(&format!("{body}}}")).unwrap().kind, JobKind::Compare);
    assert_eq!(of(&format!(r#"{body},"type":"compare"}}"#)).unwrap().kind, JobKind::Compare);
    assert_eq!(places(&of(&format!(r#"{body},"type":"fit"}}"#)).unwrap_err()), ["#/type unknown_value"]);
}

#[test]
fn the_models_meet_the_data_set_and_each_other() {
    let numbers = KnownModel { reference: "n:1", kind: "linear", loss: "squared", classes: None, named: false };
    let counts = KnownModel { reference: "p:1", loss: "poisson", ..numbers };
    let class = |number: f64| Some(Class::Number(number));
    let (plain, turned, rest) = ([class(0.0), class(1.0)], [class(1.0), class(0.0)], [None, class(1.0)]);
    let three = [class(0.0), class(1.0), class(2.0)];
    let sides = KnownModel { reference: "s:1", loss: "logistic", classes: Some(&plain), ..numbers };
    let turned = KnownModel { reference: "t:1", classes: Some(&turned), ..sides };
    let rest = KnownModel { reference: "r:1", classes: Some(&rest), ..sides };
    let many = KnownModel { reference: "m:1", loss: "multinomial", classes: Some(&three), ..sides };
    let of = |kind, classes: &[f64]| {
        let classes = Some(classes.iter().map(|class| Class::Number(*class)).collect::<Vec<_>>());
        Meta { target: Target { kind, classes, counts: None, name: "y".into() }, ..regression() }
    };
    let binary = of(TargetKind::Binary, &[0.0, 1.0]);
    let multi = of(TargetKind::Multiclass, &[0.0, 1.0, 2.0]);
    let plain = asked(r#"{"models":["x"]}"#);
    let score =
        |models: &[KnownModel<'_>], meta: &Meta| plain.resolve(models, meta).map(|found| found.score).map_err(|fault| places(&fault));
    assert_eq!(score(&[numbers], &regression()), Ok(ScoreName::R2));
    assert_eq!(score(&[counts], &regression()), Ok(ScoreName::DevianceRatio));
    assert_eq!(score(&[counts, numbers], &regression()), Ok(ScoreName::R2));
    assert_eq!(score(&[sides, turned], &binary), Ok(ScoreName::Auc));
    assert_eq!(score(&[sides, many], &binary), Ok(ScoreName::Accuracy));
    assert_eq!(score(&[many], &multi), Ok(ScoreName::Accuracy));
    assert_eq!(score(&[rest], &multi), Ok(ScoreName::Auc));
    assert_eq!(score(&[many, rest], &multi), Err(vec!["#/spec/models/1 conflict".into()]));
    assert_eq!(score(&[rest, many], &multi), Err(vec!["#/spec/models/1 conflict".into()]));
    assert_eq!(score(&[numbers, numbers], &regression()), Err(vec!["#/spec/models/1 conflict".into()]));
    let fault = plain.resolve(&[sides, numbers], &binary).unwrap_err();
    assert_eq!((fault.code, fault.places[0].pointer.as_deref()), (Code::InvalidTarget, Some("#/spec/models/1")));
    let named = KnownModel { reference: "x:1", named: true, ..numbers };
    assert_eq!(score(&[numbers, named], &regression()), Err(vec!["#/spec/models/1 conflict".into()]));
    let best = asked(r#"{"models":["x"],"limits":{"on_limit":"keep_best"}}"#);
    assert_eq!(places(&best.resolve(&[numbers], &regression()).unwrap_err()), ["#/limits/on_limit conflict"]);
}

#[test]
fn what_is_left_open_is_filled_and_reads_back() {
    let known = KnownModel { reference: "n:1", kind: "linear", loss: "squared", classes: None, named: false };
    let resolved = |spec: &str, rows: u64| asked(spec).resolve(&[known], &Meta { shape: [rows, 5], ..regression() }).unwrap();
    for (rows, resamples) in [(10, 1000), (1 << 17, 512), (10_000_000, 100), (0, 1000)] {
        assert_eq!(resolved(r#"{"models":["n"]}"#, rows).bootstrap, resamples, "{rows}");
    }
    let mut whole = resolved(r#"{"models":["n"],"measure":["stability","size","size"],"twin":true,"seed":7}"#, 10);
    assert_eq!(whole.measure, [Measure::Size, Measure::Stability]);
    assert_eq!((whole.halves, whole.seed, whole.twin, &*whole.models), (10, 7, true, &["n:1".to_owned()][..]));
    let FitSpecs { fit, meta } = lasso();
    let small = Work::Compare(Box::new(whole.clone())).estimate(&meta, 1);
    whole.fit_anew("n:1".into(), crate::job::DatasetRef { name: "d".into(), version: 1, sha256: "x".into() }, fit, (&meta, 1), true);
    let work = Work::Compare(Box::new(whole));
    assert!(work.estimate(&meta, 1).memory_mb[1] > small.memory_mb[1], "fits cost memory");
    assert_eq!(Work::read(JobKind::Compare, &work.write().unwrap()).unwrap(), work);
}

struct FitSpecs {
    fit: ResolvedFit,
    meta: Meta,
}

fn lasso() -> FitSpecs {
    let meta = Meta { shape: [100, 5], ..regression() };
    let body = br#"{"type":"fit","model":"m","dataset":{"name":"d"},"spec":{"penalty":{"type":"elastic_net","l1_ratio":[0.5,1],"factors":{"1":2}},"refit":{"relaxed_gamma":0.5},"compare_ridge":true,"standardize":"none","intercept":false}}"#;
    let Asked::Fit(asked) = parse(body).unwrap().work else { panic!("a fit") };
    FitSpecs { fit: asked.resolve(&meta, None).unwrap().0, meta }
}

#[test]
fn a_dense_twin_is_the_ridge_of_the_same_problem() {
    let FitSpecs { fit, meta } = lasso();
    let twin = fit.dense_twin(meta.shape);
    assert_eq!((twin.penalty.kind.as_str(), twin.penalty.l1_ratio.all()), ("l2", &[0.0][..]));
    assert_eq!(
        (&twin.penalty.factors, twin.intercept, twin.standardize, &twin.loss),
        (&fit.penalty.factors, false, Standardize::None, &fit.loss)
    );
    assert_eq!(twin.lambda, Lambda::Path { n: 50, min_ratio: 1e-4 * 1e-3 });
    assert!(twin.refit.is_none() && !twin.compare_ridge && twin.selection.splits().is_some_and(|splits| splits.folds == 5));
    assert_eq!(fit.dense_twin([3, 5]).selection.splits().map(|splits| splits.folds), Some(3), "no more folds than rows");
    let half = fit.on_a_half(0.25, 1.0);
    assert_eq!((half.lambda, half.penalty.l1_ratio.all(), half.weights), (Lambda::Value { value: 0.25 }, &[1.0][..], true));
}
