//! Groups, MCP and SCAD: solutions known by hand, and what the card says of them.

use std::collections::BTreeMap;

use super::*;

fn with(kind: &str, l1_ratio: f64, gamma: Option<f64>, groups: &[(&str, &[&str])]) -> ResolvedFit {
    let groups: BTreeMap<String, Vec<String>> =
        groups.iter().map(|(name, members)| ((*name).into(), members.iter().map(|m| (*m).into()).collect())).collect();
    let mut spec = spec();
    spec.penalty = Penalty { kind: kind.into(), l1_ratio: L1Ratio::One(l1_ratio), gamma, groups, ..spec.penalty };
    if gamma.is_some() {
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
        assert_eq!(Model::decode(&model.encode()).expect("a stored model reads back"), model);
        close(&model.values, &[expected]);
        let proof = &model.card.certificate;
        assert_eq!((proof.status, proof.dual, proof.gap, proof.relative_gap), (CertificateStatus::Stationary, None, None, None));
        assert!(proof.max_kkt_violation <= spec.solver.tol && model.card.converged(), "{proof:?}");
        assert_eq!((model.path[0].relative_gap, model.card.sparsity.groups_active), (None, None));
        assert!(model.card.objective.contains(&format!("γ = {gamma}")), "{}", model.card.objective);
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
    for (kind, l1_ratio, gamma) in [("group", 0.0, None), ("sparse_group", 0.3, None), ("mcp", 1.0, Some(3.0)), ("scad", 1.0, Some(3.7))] {
        let groups: &[(&str, &[&str])] = if gamma.is_none() { &[("g", &["0", "3"]), ("h", &["1", "2"])] } else { &[] };
        for loss in [Loss::Squared, Loss::Poisson] {
            let target = if loss == Loss::Squared { |eta: f64| eta.to_string() } else { |eta: f64| eta.exp().floor().to_string() };
            let asked = with(kind, l1_ratio, gamma, groups);
            let spec = ResolvedFit { loss, penalty: asked.penalty, solver: asked.solver, ..path_with_cv(Rule::OneSe) };
            let model = run(&noisy(target), &spec).expect("a model");
            let status = if gamma.is_some() { CertificateStatus::Stationary } else { CertificateStatus::Certified };
            assert_eq!((model.card.certificate.status, model.path.len()), (status, 30), "{kind}");
            assert!(model.indices.contains(&0) && model.indices.contains(&3), "{kind} {:?}", model.indices);
            assert!(model.cv.is_some() && model.card.metrics["cv"]["deviance"].is_f64(), "{kind}");
        }
    }
}
