//! The specification of a distillation: what it may say of teacher and student, and which of them go with each other and with the data.

use super::*;
use crate::job::Warning;

const NUMBERS: KnownModel<'_> = KnownModel { reference: "t:3", kind: "network", loss: "squared", classes: None, named: false };

fn distillation(spec: &Value) -> Result<DistillSpec, Fault> {
    let body = json!({"type": "distill", "model": "s", "dataset": {"name": "d"}, "spec": spec}).to_string();
    match parse(body.as_bytes())?.work {
        Asked::Distill(distill) => Ok(distill),
        other => panic!("{other:?}"),
    }
}

fn taught(spec: &Value, teacher: Option<&KnownModel<'_>>, meta: &Meta) -> Result<(ResolvedDistill, Vec<Warning>), Fault> {
    distillation(spec)?.resolve(teacher.map(|teacher| (teacher, "another")), meta, None)
}

fn sides() -> [Option<Class>; 2] {
    [Some(Class::Number(-1.0)), Some(Class::Number(1.0))]
}

#[test]
fn every_kind_of_student_and_teacher_is_resolved_stored_and_can_be_posted_again() {
    let known = sides();
    let side = KnownModel { classes: Some(&known), loss: "logistic", ..NUMBERS };
    for (student, kind) in [
        (json!({}), "linear"),
        (json!({"penalty": {"type": "elastic_net", "l1_ratio": 0.5}, "selection": {"method": "stability"}}), "linear"),
        (json!({"kind": "tree", "max_depth": 3}), "tree"),
        (json!({"kind": "rules", "n_trees": 20}), "rules"),
        (json!({"kind": "network", "hidden": [4]}), "network"),
    ] {
        for (meta, teacher) in [(regression(), Some(&NUMBERS)), (binary(), Some(&side)), (regression(), None), (binary(), None)] {
            let who = if teacher.is_some() { json!("t@production") } else { json!({"column": "17"}) };
            let spec = json!({"teacher": who, "student": student, "mix": 0.25, "seed": 4, "limits": {"max_runtime_s": 9}});
            let (resolved, _) = taught(&spec, teacher, &meta).unwrap();
            let stored = Work::Distill(Box::new(resolved.clone())).write().unwrap();
            assert_eq!((&stored["student"]["kind"], stored["student"].get("limits")), (&json!(kind), None), "{stored}");
            assert_eq!(stored["teacher"], if teacher.is_some() { json!("t:3") } else { json!({"column": "17"}) });
            assert_eq!(stored["score"], if meta.target.classes.is_some() { "auc" } else { "r2" });
            assert_eq!(Work::read(JobKind::Distill, &stored).unwrap(), Work::Distill(Box::new(resolved.clone())), "{stored}");
            assert_eq!(taught(&stored, teacher, &meta).unwrap().0, resolved, "{stored}");
            assert!(Work::read(JobKind::Evaluate, &stored).is_err() && Work::read(JobKind::Prune, &stored).is_err());
            let [low, high] = Work::Distill(Box::new(resolved)).estimate(&meta, 2).memory_mb;
            assert!(low > 0.0 && low < high, "{low} {high}");
        }
    }
}

#[test]
fn what_is_left_open_is_filled_and_folds_are_of_the_rows_that_are_learnt_from() {
    let spec = json!({"teacher": "t", "student": {"selection": {"method": "cv", "folds": 80}}});
    let (resolved, warnings) = taught(&spec, Some(&NUMBERS), &regression()).unwrap();
    assert_eq!((resolved.temperature, resolved.mix, resolved.augment, resolved.held_out, resolved.seed), (1.0, 0.5, 0, 0.2, 0));
    assert_eq!((resolved.bootstrap, resolved.score, warnings.len()), (1000, ScoreName::R2, 0));
    let spec = json!({"teacher": "t", "student": {"selection": {"method": "cv", "folds": 81}}});
    let fault = taught(&spec, Some(&NUMBERS), &regression()).unwrap_err();
    assert_eq!(places(&fault), ["#/spec/student/selection/folds out_of_range"]);
    let counts = KnownModel { loss: "poisson", ..NUMBERS };
    let both = taught(&json!({"teacher": "t", "student": {}}), Some(&counts), &meta(TargetKind::Count, &[])).unwrap().0;
    assert_eq!(both.score, ScoreName::DevianceRatio);
    let asked = distillation(&json!({"teacher": "t", "student": {}})).unwrap();
    let own = Meta { sha256: "its own".into(), ..regression() };
    let (_, warnings) = asked.resolve(Some((&NUMBERS, "its own")), &own, None).unwrap();
    assert_eq!((&*warnings[0].code, warnings[0].detail.starts_with("t:3 was fitted on the very rows")), ("teacher_saw_held_out", true));
}

#[test]
fn more_rows_and_classes_cost_more() {
    let estimate = |spec: Value, meta: &Meta, teacher: &KnownModel<'_>| {
        let meta = Meta { shape: [100_000, 200], nnz: 5_000_000, ..meta.clone() };
        let (resolved, _) = taught(&spec, Some(teacher), &meta).unwrap();
        (Work::Distill(Box::new(resolved.clone())).estimate(&meta, 2), resolved.student.estimate(&meta, 2))
    };
    let plain = estimate(json!({"teacher": "t", "student": {"kind": "tree"}}), &regression(), &NUMBERS);
    assert!(plain.0.memory_mb[1] > plain.1.memory_mb[1] && plain.0.runtime_s[1] > plain.1.runtime_s[1], "{plain:?}");
    let made = estimate(json!({"teacher": "t", "student": {"kind": "tree"}, "augment": 3}), &regression(), &NUMBERS);
    // entries of three made rows may be those of six
    assert!(made.0.memory_mb[1] > 5.0 * plain.0.memory_mb[1], "{made:?} {plain:?}");
    let known = sides();
    let side = KnownModel { classes: Some(&known), loss: "logistic", ..NUMBERS };
    let soft = estimate(json!({"teacher": "t", "student": {"kind": "tree"}}), &binary(), &side);
    assert!(soft.0.memory_mb[1] > 1.5 * soft.1.memory_mb[1], "{soft:?}");
}

#[test]
fn every_wrong_word_is_told_with_code_and_place() {
    for (spec, expected) in [
        (json!([]), vec!["#/spec invalid_field"]),
        (json!({}), vec!["#/spec/teacher missing", "#/spec/student missing"]),
        (json!({"teacher": 3, "student": {}}), vec!["#/spec/teacher invalid_field"]),
        (json!({"teacher": "no/name", "student": {}}), vec!["#/spec/teacher invalid_field"]),
        (json!({"teacher": {"colum": "p"}, "student": {}}), vec!["#/spec/teacher/column missing", "#/spec/teacher/colum unknown_field"]),
        (json!({"teacher": {"column": 3}, "student": {}}), vec!["#/spec/teacher/column invalid_field"]),
        (json!({"teacher": "t", "student": 5}), vec!["#/spec/student invalid_field"]),
        (json!({"teacher": "t", "student": {"kind": "forest"}}), vec!["#/spec/student/kind unknown_value"]),
        (json!({"teacher": "t", "student": {"penalty": {"type": "l3"}}}), vec!["#/spec/student/penalty/type unknown_value"]),
        (
            json!({"teacher": "t", "student": {"kind": "tree", "max_depth": 0, "depth": 1}}),
            vec!["#/spec/student/max_depth out_of_range", "#/spec/student/depth unknown_field"],
        ),
        (json!({"teacher": "t", "student": {"kind": "network", "hidden": []}}), vec!["#/spec/student/hidden invalid_field"]),
        (json!({"teacher": "t", "student": {"limits": {"max_runtime_s": 1}}}), vec!["#/spec/student/limits conflict"]),
        (json!({"teacher": "t", "student": {"warm_start": "m:1"}}), vec!["#/spec/student/warm_start conflict"]),
        (json!({"teacher": "t", "student": {"compare_ridge": true}}), vec!["#/spec/student/compare_ridge conflict"]),
        (json!({"teacher": "t", "student": {"selection": {"method": "bic"}}}), vec!["#/spec/student/selection/method conflict"]),
        (
            json!({"teacher": "t", "student": {"selection": {"method": "cv", "groups": [1, 2]}}}),
            vec!["#/spec/student/selection/groups conflict"],
        ),
        (
            json!({"teacher": "t", "student": {"selection": {"method": "cv", "fold_of_row": [0, 1]}}}),
            vec!["#/spec/student/selection/fold_of_row conflict"],
        ),
        (json!({"teacher": "t", "student": {}, "temperature": 0}), vec!["#/spec/temperature out_of_range"]),
        (json!({"teacher": "t", "student": {}, "mix": 1}), vec!["#/spec/mix out_of_range"]),
        (json!({"teacher": "t", "student": {}, "augment": 11}), vec!["#/spec/augment out_of_range"]),
        (json!({"teacher": "t", "student": {}, "augment": 0.5}), vec!["#/spec/augment invalid_field"]),
        (json!({"teacher": "t", "student": {}, "held_out": 0.6}), vec!["#/spec/held_out out_of_range"]),
        (json!({"teacher": "t", "student": {}, "bootstrap": 99}), vec!["#/spec/bootstrap out_of_range"]),
        (json!({"teacher": "t", "student": {}, "alpha": 1}), vec!["#/spec/alpha unknown_field"]),
        (json!({"teacher": {"column": "p"}, "student": {}, "augment": 1}), vec!["#/spec/augment conflict"]),
    ] {
        assert_eq!(places(&distillation(&spec).unwrap_err()), expected, "{spec}");
    }
    let unnamed = parse(br#"{"type":"distill","dataset":{"name":"d"},"spec":{"teacher":"t","student":{}}}"#).unwrap_err();
    assert_eq!(places(&unnamed), ["#/model missing"]);
    let twice = parse(br#"{"type":"distill","model":"s","dataset":{"name":"d"},"spec":{"teacher":"t","student":{"type":"distill"}}}"#);
    assert_eq!(places(&twice.unwrap_err()), ["#/spec/student/type unknown_field"]);
}

#[test]
fn a_teacher_a_student_and_data_that_do_not_go_together_are_refused_with_their_place() {
    let known = sides();
    let rest = [None, Some(Class::Number(1.0))];
    let other = [Some(Class::Number(0.0)), Some(Class::Number(1.0))];
    let side = KnownModel { classes: Some(&known), loss: "logistic", ..NUMBERS };
    let margin = KnownModel { loss: "squared_hinge", ..side };
    let strange = [None, Some(Class::Number(7.0))];
    let of_nobody = KnownModel { classes: Some(&strange), ..side };
    let against_the_rest = KnownModel { classes: Some(&rest), ..side };
    let stranger = KnownModel { classes: Some(&other), ..side };
    let named = KnownModel { named: true, ..NUMBERS };
    let three = meta(TargetKind::Multiclass, &[-1.0, 1.0, 2.0]);
    let all = [Some(Class::Number(-1.0)), Some(Class::Number(1.0)), Some(Class::Number(2.0))];
    let of_three = KnownModel { classes: Some(&all), loss: "multinomial", ..NUMBERS };
    let plain = || json!({"teacher": "t", "student": {}});
    let with = |key: &str, value: Value| {
        let mut spec = plain();
        spec[key] = value;
        spec
    };
    let column = |name: &str| with("teacher", json!({"column": name}));
    for (spec, teacher, meta, expected) in [
        (with("temperature", json!(2)), Some(&NUMBERS), regression(), "#/spec/temperature conflict"),
        (with("limits", json!({"on_limit": "keep_best"})), Some(&NUMBERS), regression(), "#/limits/on_limit conflict"),
        (plain(), Some(&named), regression(), "#/spec/teacher conflict"),
        (plain(), Some(&side), regression(), "#/spec/teacher invalid_target"),
        (plain(), Some(&NUMBERS), binary(), "#/dataset invalid_target"),
        (plain(), Some(&stranger), binary(), "#/dataset invalid_target"),
        (plain(), Some(&margin), binary(), "#/spec/teacher conflict"),
        (plain(), Some(&against_the_rest), three.clone(), "#/spec/teacher conflict"),
        (plain(), Some(&of_nobody), binary(), "#/spec/teacher conflict"),
        (plain(), Some(&NUMBERS), Meta { shape: [3, 200], ..regression() }, "#/dataset conflict"),
        (
            with("student", json!({"loss": {"type": "logistic", "positive_class": 1}})),
            Some(&NUMBERS),
            regression(),
            "#/spec/student/loss invalid_target",
        ),
        (with("student", json!({"loss": {"type": "squared"}})), Some(&side), binary(), "#/spec/student/loss invalid_target"),
        (
            with("student", json!({"loss": {"type": "logistic", "positive_class": 1}})),
            Some(&of_three),
            three.clone(),
            "#/spec/student/loss conflict",
        ),
        (
            with("student", json!({"kind": "tree", "criterion": "gini"})),
            Some(&NUMBERS),
            regression(),
            "#/spec/student/criterion invalid_target",
        ),
        (column("200"), None, regression(), "#/spec/teacher/column unknown_value"),
        (column("3"), None, three.clone(), "#/spec/teacher/column conflict"),
    ] {
        let fault = taught(&spec, teacher, &meta).unwrap_err();
        assert_eq!(places(&fault), [expected], "{spec} {fault}");
    }
    // what is allowed: the rest of two classes is the other one, and a student of three learns from one that knows them
    assert!(taught(&plain(), Some(&against_the_rest), &binary()).is_ok());
    let of_all = taught(&with("temperature", json!(4)), Some(&of_three), &three).unwrap().0;
    assert_eq!((of_all.score, of_all.temperature), (ScoreName::Accuracy, 4.0));
    // each class must have rows to learn from: two of four are not enough for folds when one may be held out
    let rare = Meta { target: Target { counts: Some(vec![98, 2]), ..binary().target }, ..binary() };
    assert_eq!(places(&taught(&plain(), Some(&side), &rare).unwrap_err()), ["#/spec/student/selection conflict"]);
}
