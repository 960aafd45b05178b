//! A fit that is told to stop, and whose best is wanted.

use super::*;
use crate::model::TIME_LIMIT;

/// Stops with the `after`-th look.
fn best_after(fixture: &Fixture, spec: &ResolvedFit, after: u64) -> Result<Model, TrainError> {
    let calls = AtomicU64::new(0);
    let observe = |_: &Progress| match calls.fetch_add(1, Ordering::Relaxed) >= after {
        true => ControlFlow::Break(Leave::Best),
        false => ControlFlow::Continue(()),
    };
    fit(&fixture.data, spec, &Run::new(1, &observe))
}

fn warning(model: &Model) -> Option<&str> {
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
                let folds = cv.rows[0].per_fold.len();
                assert!((2..5).contains(&folds) && detail.contains(&format!("{folds} of 5 folds were done; they choose")), "{detail}");
                let all = whole.cv.as_ref().expect("a cross-validation");
                assert!(cv.rows.iter().zip(&all.rows).all(|(row, all)| row.per_fold == all.per_fold[..folds]));
                assert_eq!(model.card.lambda, cv.rows[cv.index_min as usize].lambda);
                kinds[3] += 1;
            }
        }
        assert_eq!(model.card.certificate.status, CertificateStatus::Certified, "of the λ it is for");
    }
    assert!(kinds.iter().all(|count| *count > 0), "every kind of stop was met: {kinds:?}");
}

#[test]
fn the_best_of_one_lambda_is_the_point_the_solver_was_at_with_its_true_gap() {
    let mut spec = ResolvedFit { lambda: Lambda::Value { value: 1e-5 }, ..spec() };
    spec.solver.tol = 1e-15;
    for loss in [Loss::Squared, logistic(Class::Number(1.0))] {
        let data = noisy(|signal| if signal > 0.0 { "1".into() } else { "0".into() });
        let spec = ResolvedFit { loss, ..spec.clone() };
        let models: Vec<Model> = (0..40).filter_map(|after| best_after(&data, &spec, after).ok()).collect();
        let open: Vec<&Model> = models.iter().filter(|model| warning(model).is_some()).collect();
        for model in &open {
            assert!(!model.card.converged());
            let proof = &model.card.certificate;
            assert_eq!(proof.status, CertificateStatus::NotConverged);
            assert!(proof.relative_gap > 1e-15 && proof.relative_gap <= 1.0 && proof.epochs > 0, "{proof:?}");
        }
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
