//! Groups, MCP, SCAD and L0: solutions known by hand, and what the card says of them.

use std::collections::BTreeMap;

use super::*;

fn with(kind: &str, l1_ratio: f64, gamma: Option<f64>, groups: &[(&str, &[&str])]) -> ResolvedFit {
    let groups: BTreeMap<String, Vec<String>> =
        groups.iter().map(|(name, members)| ((*name).into(), members.iter().map(|m| (*m).into()).collect())).collect();
    let mut spec = spec();
    spec.penalty = Penalty { kind: kind.into(), l1_ratio: L1Ratio::One(l1_ratio), gamma, groups, ..spec.penalty };
    if gamma.is_some() || kind == "l0" {
        spec.solver.tol_kind = "stationarity".into();
    }
    spec
}

#[test]
fn a_group_shrinks_as_one_and_both_its_features_come_at_once() {
    // X'y/n = (3, ½) on an orthonormal design: the group is shrunk by λ√2 along (3, ½)
    let length = (9.0_f64 + 0.25).sqrt();
    let model = trained(&orthogonal(""), &with("group", 0.0, None, &[("g", &["a", "1"])]));
    let share = 1.0 - 2.0_f64.sqrt() / length;
    close(&model.values, &[3.0 * share, 0.5 * share]);
    close(&[model.card.lambda_max, model.card.l1_ratio], &[length / 2.0_f64.sqrt(), 0.0]);
    assert_eq!(model.card.sparsity.groups_active, Some(1));
    assert_eq!(model.card.equivalents, serde_json::json!({"celer": null, "glmnet": null, "skglm": null, "sklearn": null, "spark": null}));
    assert!(model.card.objective.contains("√|g|") && model.card.warnings.is_empty(), "{:?}", model.card);
    // half of it the L1 part: first softened by ½, then shrunk by √2/2
    let model = trained(&orthogonal(""), &with("sparse_group", 0.5, None, &[("g", &["a", "b"])]));
    close(&model.values, &[2.5 - 2.0_f64.sqrt() / 2.0]);
    // features in no group are groups by themselves: the lasso
    let model = trained(&orthogonal(""), &with("group", 0.0, None, &[("g", &["b"])]));
    close(&model.values, &[2.0]);
    assert_eq!(model.card.sparsity.groups_active, Some(1));
}

#[test]
fn bounds_are_of_the_original_scale_and_hold_for_features_by_name_and_by_index() {
    // X'y/n = (3, ½) on an orthonormal design, λ = 1
    let bounded = |bounds: &[(&str, [Option<f64>; 2])], non_negative| {
        let bounds = bounds.iter().map(|(name, ends)| ((*name).to_owned(), *ends)).collect();
        ResolvedFit { bounds, non_negative, ..spec() }
    };
    for (bounds, non_negative, expected, sentence) in [
        (&[("a", [None, Some(1.25)])][..], false, Some(1.25), " subject to the bounds low_j ≤ w_j ≤ high_j of some features,"),
        (
            &[("0", [Some(-1.0), Some(0.5)])][..],
            true,
            Some(0.5),
            " subject to w_j ≥ 0 and the bounds low_j ≤ w_j ≤ high_j of some features,",
        ),
        (&[("0", [None, Some(0.0)])][..], false, None, " subject to the bounds"),
        (&[][..], true, Some(2.0), " subject to w_j ≥ 0,"),
    ] {
        let model = trained(&orthogonal(""), &bounded(bounds, non_negative));
        close(&model.values, expected.as_slice());
        assert!(model.values.iter().all(|value| *value == expected.unwrap_or(0.0) || bounds.is_empty()), "{:?}", model.values);
        assert!(model.card.objective.contains(sentence), "{}", model.card.objective);
        assert_eq!(model.card.certificate.status, CertificateStatus::Certified);
    }
    // of the coefficients as they are reported, however the penalty scales them
    let fixture = noisy(|signal| signal.to_string());
    let spec = ResolvedFit {
        bounds: [("0".to_owned(), [None, Some(0.7)]), ("3".to_owned(), [Some(-0.25), None])].into(),
        ..path_with_cv(Rule::Min)
    };
    let model = trained(&fixture, &spec);
    let of = |feature: u32| model.indices.iter().position(|index| *index == feature).map(|place| model.values[place]);
    assert_eq!((of(0), of(3)), (Some(0.7), Some(-0.25)), "{:?}", model.values);
    assert!(model.path.iter().all(|row| row.relative_gap.is_some_and(|gap| gap <= spec.solver.tol)));
}

#[test]
fn only_scikit_learn_is_told_to_have_the_same_problem_with_non_negative_coefficients_and_finds_the_same() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../tests/references/bounds.json")).expect("cases");
    let mut compared = 0;
    for case in cases.iter().filter(|case| case["name"].as_str().is_some_and(|name| name.starts_with("positive"))) {
        let fixture = dataset_of(&serde_json::json!({ "format": "dense", "values": case["x"], "y": case["y"] }).to_string());
        let mut fit = ResolvedFit {
            non_negative: true,
            lambda: Lambda::Value { value: case["lambda"].as_f64().expect("a number") },
            intercept: case["intercept"] == true,
            ..spec()
        };
        fit.penalty.l1_ratio = L1Ratio::One(case["l1_ratio"].as_f64().expect("a number"));
        fit.solver.tol = 1e-12;
        let model = trained(&fixture, &fit);
        let mut told = serde_json::json!({ "estimator": "Lasso", "alpha": 0.05, "fit_intercept": fit.intercept, "positive": true });
        if fit.penalty.l1_ratio != L1Ratio::One(1.0) {
            (told["estimator"], told["l1_ratio"]) = ("ElasticNet".into(), 0.5.into());
        }
        assert_eq!(
            model.card.equivalents,
            serde_json::json!({"celer": null, "glmnet": null, "skglm": null, "sklearn": told, "spark": null})
        );
        let theirs: Vec<f64> = serde_json::from_value(case["coefficients"].clone()).expect("numbers");
        let mut ours = vec![0.0; theirs.len()];
        model.indices.iter().zip(&model.values).for_each(|(index, value)| ours[*index as usize] = *value);
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-6), "{ours:?} {theirs:?}");
        compared += 1;
        for other in [
            ResolvedFit { bounds: [("1".to_owned(), [None, Some(1.0)])].into(), ..fit.clone() },
            ResolvedFit { non_negative: false, bounds: [("1".to_owned(), [Some(0.0), None])].into(), ..fit.clone() },
            ResolvedFit { standardize: Standardize::Scale, ..fit.clone() },
        ] {
            let told = trained(&fixture, &other).card.equivalents;
            assert!(told.as_object().is_some_and(|told| told.values().all(Value::is_null)), "{told}");
        }
    }
    assert_eq!(compared, 4);
}

#[test]
fn folded_penalties_leave_large_coefficients_alone_and_are_certified_stationary() {
    for (kind, gamma, lambda, expected) in [
        // past γλ nothing is taken off
        ("mcp", 2.0, 1.0, 3.0),
        ("scad", 2.5, 1.0, 3.0),
        // (3 − 2)/(1 − 1/3), and (3·2.7 − 3.7·1.5)/1.7
        ("mcp", 3.0, 2.0, 1.5),
        ("scad", 3.7, 1.4, (3.0 * 2.7 - 3.7 * 1.4) / 1.7),
    ] {
        let spec = ResolvedFit { lambda: Lambda::Value { value: lambda }, ..with(kind, 1.0, Some(gamma), &[]) };
        let model = run(&orthogonal(""), &spec).expect("a model");
        assert_eq!(LinearModel::decode(&model.encode()).expect("a stored model reads back"), model);
        close(&model.values, &[expected]);
        let proof = &model.card.certificate;
        assert_eq!((proof.status, proof.dual, proof.gap, proof.relative_gap), (CertificateStatus::Stationary, None, None, None));
        assert!(proof.max_kkt_violation <= spec.solver.tol && model.card.converged(), "{proof:?}");
        assert_eq!((model.path[0].relative_gap, model.card.sparsity.groups_active), (None, None));
        assert!(model.card.objective.contains(&format!("γ = {gamma}")), "{}", model.card.objective);
    }
}

#[test]
fn l0_leaves_what_it_lets_in_as_it_is_and_gives_as_many_as_are_wanted() {
    // X'y/n = (3, ½) on an orthonormal design: they pay from λ = 3²/2 and ½²/2 on
    for (lambda, expected) in [(5.0, &[][..]), (4.0, &[3.0]), (0.13, &[3.0]), (0.12, &[3.0, 0.5])] {
        let spec = ResolvedFit { lambda: Lambda::Value { value: lambda }, ..with("l0", 1.0, None, &[]) };
        let model = run(&orthogonal(""), &spec).expect("a model");
        assert_eq!(LinearModel::decode(&model.encode()).expect("a stored model reads back"), model);
        close(&model.values, expected);
        close(&[model.card.lambda_max, model.card.l1_ratio], &[4.5, 1.0]);
        let proof = &model.card.certificate;
        assert_eq!((proof.status, proof.dual, proof.gap, proof.relative_gap), (CertificateStatus::Stationary, None, None, None));
        assert!(model.card.objective.contains("λ Σ f_j·1[w_j ≠ 0]") && !model.card.objective.contains("σ_j"), "{}", model.card.objective);
        assert!(model.card.equivalents.as_object().is_some_and(|told| told.values().all(Value::is_null)));
    }
    for k in 1..=4 {
        let spec = ResolvedFit { lambda: Lambda::TargetNonzeros { k }, ..with("l0", 1.0, None, &[]) };
        for target in [Loss::Squared, Loss::Poisson] {
            let spec = ResolvedFit { loss: target.clone(), ..spec.clone() };
            let y = if target == Loss::Squared { |eta: f64| eta.to_string() } else { |eta: f64| eta.exp().floor().to_string() };
            let model = run(&noisy(y), &spec).expect("a model");
            assert_eq!((model.values.len() as u64, model.card.certificate.status), (k, CertificateStatus::Stationary), "{:?}", model.card);
            let [low, high] = model.card.bracket.expect("a bracket");
            assert!(low == model.card.lambda && high >= low, "{low} {high}");
        }
    }
}

#[test]
fn a_bound_on_epochs_leaves_a_folded_fit_that_says_so() {
    let spec = ResolvedFit { lambda: Lambda::Value { value: 0.01 }, ..with("mcp", 1.0, Some(3.0), &[]) };
    let spec = ResolvedFit { solver: Solver { max_epochs: 1, ..spec.solver.clone() }, ..spec };
    let model = run(&noisy(|eta| eta.to_string()), &spec).expect("a model");
    assert_eq!(model.card.certificate.status, CertificateStatus::NotConverged);
    let warning = model.card.warnings.iter().find(|warning| warning.code == "not_converged").expect("a warning");
    assert!(warning.detail.contains("stationarity") && !model.card.converged(), "{warning:?}");
}

#[test]
fn paths_of_every_penalty_are_chosen_from_on_rows_held_out() {
    for (kind, l1_ratio, gamma) in
        [("group", 0.0, None), ("sparse_group", 0.3, None), ("mcp", 1.0, Some(3.0)), ("scad", 1.0, Some(3.7)), ("l0", 1.0, None)]
    {
        let folded = gamma.is_some() || kind == "l0";
        let groups: &[(&str, &[&str])] = if !folded { &[("g", &["0", "3"]), ("h", &["1", "2"])] } else { &[] };
        for loss in [Loss::Squared, Loss::Poisson] {
            let target = if loss == Loss::Squared { |eta: f64| eta.to_string() } else { |eta: f64| eta.exp().floor().to_string() };
            let asked = with(kind, l1_ratio, gamma, groups);
            let spec = ResolvedFit { loss, penalty: asked.penalty, solver: asked.solver, ..path_with_cv(Rule::OneSe) };
            let model = run(&noisy(target), &spec).expect("a model");
            let status = if folded { CertificateStatus::Stationary } else { CertificateStatus::Certified };
            assert_eq!((model.card.certificate.status, model.path.len()), (status, 30), "{kind}");
            assert!(model.indices.contains(&0) && model.indices.contains(&3), "{kind} {:?}", model.indices);
            assert!(model.cv.is_some() && model.card.metrics["cv"]["deviance"].is_f64(), "{kind}");
        }
    }
}
