//! Certificates by separate code and objectives by a separate method, over everything the solver serves.

use sparsefit::solver::{Stop, certify, solve};

use crate::made::{all_cases, case, close, dense, go_on};

#[test]
fn every_solution_has_a_certificate_and_the_objective_of_an_independent_method() {
    for (name, made) in all_cases() {
        let x = made.columns();
        let problem = made.problem(&x, 1e-9);
        for fraction in [0.5, 0.05] {
            // Ridge has no λ_max of its own: 1e-3 of the bound is a moderate penalty.
            let lambda = problem.lambda_max() * fraction * if made.l1_ratio == 0.0 { 1e-3 } else { 1.0 };
            let point = solve(&problem, lambda, None, &go_on);
            assert_eq!(point.stop, Stop::Converged, "{name}");
            let certificate = certify(&problem, &point, &go_on).unwrap();
            assert!(certificate.relative_gap <= 1.1e-9, "{name}: {certificate:?}");
            let w = dense(&point, &x, made.rows[0].len());
            close(made.objective(lambda, &w, point.intercept), certificate.primal, 1e-12, &name);
            assert!(certificate.max_kkt_violation < 1e-2, "{name}: {certificate:?}");
            let reference = made.reference(lambda);
            close(certificate.primal, reference, 1e-7, &name);
            assert!(certificate.dual <= reference + 1e-12, "{name}: the dual bound lies above a primal value");
        }
    }
}

#[test]
fn a_certificate_tells_a_bad_solution_from_a_good_one() {
    for (name, made) in all_cases() {
        let x = made.columns();
        let problem = made.problem(&x, 1e-9);
        let lambda = problem.lambda_max() * 0.1 * if made.l1_ratio == 0.0 { 1e-3 } else { 1.0 };
        let mut point = solve(&problem, lambda, None, &go_on);
        let best = certify(&problem, &point, &go_on).unwrap();
        point.values.iter_mut().for_each(|w| *w *= 1.05);
        let worse = certify(&problem, &point, &go_on).unwrap();
        assert!(worse.gap > best.gap && worse.gap >= worse.primal - best.primal, "{name}");
        assert!(worse.max_kkt_violation > best.max_kkt_violation && worse.kkt_column.is_some(), "{name}");
    }
}

#[test]
fn single_and_double_precision_values_give_the_same_solution() {
    let made = case(60, 12, 0.4, sparsefit::solver::Loss::Squared, 11);
    let (single, double) = (made.columns_as(true), made.columns_as(false));
    let (a, b) = (made.problem(&single, 1e-8), made.problem(&double, 1e-8));
    let lambda = a.lambda_max() * 0.05;
    let (a, b) = (solve(&a, lambda, None, &go_on), solve(&b, lambda, None, &go_on));
    assert_eq!((a.columns, a.values), (b.columns, b.values));
}
