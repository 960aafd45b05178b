//! A fit that is told to stop, and whose best is wanted.

use super::*;
use crate::model::TIME_LIMIT;

/// Stops with the `after`-th look.
fn best_after(fixture: &Fixture, spec: &ResolvedFit, after: u64) -> Result<LinearModel, TrainError> {
    let calls = AtomicU64::new(0);
    let observe = |_: &Progress| match calls.fetch_add(1, Ordering::Relaxed) >= after {
        true => ControlFlow::Break(Leave::Best),
        false => ControlFlow::Continue(()),
    };
    fit(&fixture.data, spec, &Run::new(1, &observe))
}

fn warning(model: &LinearModel) -> Option<&str> {
    model.card.warnings.iter().find(|warning| warning.code == TIME_LIMIT).map(|warning| warning.detail.as_str())
}

#[test]
fn the_best_of_a_path_is_what_was_done_of_it() {
    let data = noisy(|signal| signal.to_string());
    let spec = path_with_cv(Rule::Min);
    let whole = run(&data, &spec).expect("a model");
    let mut kinds = [0; 5];
    for after in 0..2000 {
        let model = match best_after(&data, &spec, after) {
            Ok(model) => model,
            Err(error) => {
                assert_eq!((error, kinds), (TrainError::Cancelled, [kinds[0], 0, 0, 0, 0]), "only before there was anything");
                kinds[0] += 1;
                continue;
            }
        };
        model.check().expect("a model that can be stored");
        let done = model.path.len();
        assert_eq!(
            model.path.iter().map(|row| row.lambda).collect::<Vec<_>>(),
            whole.path[..done].iter().map(|row| row.lambda).collect::<Vec<_>>()
        );
        let Some(detail) = warning(&model) else {
            assert_eq!(model, whole, "a fit that was done is a fit that was done");
            kinds[4] += 1;
            break;
        };
        assert!(!model.card.converged());
        match &model.cv {
            None if done < 30 => {
                assert!(detail.contains(&format!("{done} of 30 values of λ")), "{detail}");
                assert_eq!(model.card.lambda, whole.path[done - 1].lambda);
                kinds[1] += 1;
            }
            None => {
                assert!(detail.contains("of 5 folds were done, too few"), "{detail}");
                assert_eq!(model.card.lambda, whole.path[29].lambda);
                kinds[2] += 1;
            }
            Some(cv) => {
                let (lambdas, folds) = (cv.rows.len(), cv.rows[0].per_fold.len());
                let by_lambda = format!("{lambdas} of 30 values of λ were held out in 5 folds");
                let by_fold = format!("{folds} of 5 folds were done; they choose");
                assert!(
                    (detail.contains(&by_lambda) && folds == 5) || (detail.contains(&by_fold) && folds < 5 && lambdas == 30),
                    "{detail}"
                );
                assert!(model.path.iter().enumerate().all(|(i, row)| row.cv_mean.is_some() == (i < lambdas)));
                let all = &whole.cv.as_ref().expect("a cross-validation").rows;
                assert!(cv.rows.iter().zip(all).all(|(row, all)| row.per_fold.iter().all(|fold| all.per_fold.contains(fold))));
                assert_eq!(model.card.lambda, cv.rows[cv.index_min as usize].lambda);
                kinds[3] += 1;
            }
        }
        assert_eq!(model.card.certificate.status, CertificateStatus::Certified, "of the λ it is for");
    }
    assert!(kinds.iter().all(|count| *count > 0), "every kind of stop was met: {kinds:?}");
}

/// Enough rows and columns that one λ takes many looks.
fn wide(target: impl Fn(f64) -> String) -> Fixture {
    let mut state = 11_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let rows: Vec<Vec<f64>> = (0..200).map(|_| (0..100).map(|_| (random() * 1e4).round() / 1e4).collect()).collect();
    let y: Vec<String> = rows.iter().map(|row| target(row[..20].iter().sum::<f64>() + random())).collect();
    dataset_of(&format!(r#"{{"format":"dense","values":{},"y":[{}]}}"#, serde_json::json!(rows), y.join(",")))
}

#[test]
fn the_best_of_one_lambda_is_the_point_the_solver_was_at_with_its_true_gap() {
    let mut spec = ResolvedFit { lambda: Lambda::Value { value: 1e-3 }, ..spec() };
    spec.solver.tol = 1e-12;
    for loss in [Loss::Squared, logistic(Class::Number(1.0))] {
        let data = wide(|signal| if signal > 0.0 { "1".into() } else { "0".into() });
        let spec = ResolvedFit { loss, ..spec.clone() };
        let calls = AtomicU64::new(0);
        let count = |_: &Progress| {
            calls.fetch_add(1, Ordering::Relaxed);
            ControlFlow::Continue(())
        };
        fit(&data.data, &spec, &Run::new(1, &count)).expect("a model");
        let looks = calls.into_inner();
        let mut gaps = Vec::new();
        for after in (0..10).map(|tenth| looks * tenth / 10) {
            match best_after(&data, &spec, after) {
                Ok(model) if warning(&model).is_some() => {
                    assert!(!model.card.converged());
                    let proof = &model.card.certificate;
                    let (dual, gap) = (proof.dual.expect("a bound"), proof.relative_gap.expect("a gap"));
                    assert!(proof.primal >= dual && proof.epochs > 0 && gap <= 1.0, "{proof:?}");
                    assert_eq!(proof.status == CertificateStatus::NotConverged, gap > 1e-12, "{proof:?}");
                    gaps.push(gap);
                }
                // the solver was done, and what followed was let go on
                Ok(model) => assert!(model.card.converged()),
                Err(error) => assert!(error == TrainError::Cancelled && gaps.is_empty()),
            }
        }
        assert!(gaps.len() >= 2, "some looks fell into the middle: {gaps:?}");
        assert!(gaps[gaps.len() - 1] < gaps[0], "more time, a better point: {gaps:?}");
    }
}

#[test]
fn the_best_of_a_search_is_the_last_lambda_it_solved() {
    let data = noisy(|signal| signal.to_string());
    let spec = ResolvedFit { lambda: Lambda::TargetNonzeros { k: 3 }, ..spec() };
    let (mut cut, mut whole) = (0, 0);
    for after in 0..400 {
        match best_after(&data, &spec, after) {
            Ok(model) if warning(&model).is_some() => {
                let [low, high] = model.card.bracket.expect("a bracket");
                assert!(low <= model.card.lambda && model.card.lambda <= high);
                assert_eq!(model.card.certificate.status, CertificateStatus::Certified);
                cut += 1;
            }
            Ok(model) => {
                assert_eq!(model.card.sparsity.nonzeros, 3);
                whole += 1;
            }
            Err(error) => assert_eq!((error, cut, whole), (TrainError::Cancelled, 0, 0)),
        }
    }
    assert!(cut > 0 && whole > 0, "{cut} {whole}");
}
