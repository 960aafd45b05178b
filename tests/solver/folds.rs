//! Cross-validation: masks are copies, threads do not matter.

use sparsefit::solver::{Folds, Loss, Unfit, cross_validate, lambda_grid, path};

use crate::made::{Case, all_cases, case, close, dense, go_on, plain};

const FOLDS: usize = 4;

fn deviance_of_copies(made: &Case, folds: &[u32], fold: u32, lambdas: &[f64]) -> Vec<f64> {
    let pick = |keep: &dyn Fn(u32) -> bool| -> Case {
        let rows: Vec<usize> = (0..folds.len()).filter(|&i| keep(folds[i])).collect();
        let of = |from: &Option<Vec<f64>>| from.as_ref().map(|v| rows.iter().map(|&i| v[i]).collect::<Vec<_>>());
        Case {
            rows: rows.iter().map(|&i| made.rows[i].clone()).collect(),
            y: rows.iter().map(|&i| made.y[i]).collect(),
            weights: of(&made.weights),
            offset: of(&made.offset),
            ..made.clone()
        }
    };
    let (train, test) = (pick(&|f| f != fold), pick(&|f| f == fold));
    let x = train.columns();
    let problem = train.problem(&x, 1e-11);
    let mut rows = Vec::new();
    path(&problem, lambdas, None, &go_on, &mut |_, point, _| {
        rows.push(test.deviance(&dense(&point, &x, 9), point.intercept));
    });
    rows
}

#[test]
fn folds_as_masks_are_folds_as_copies() {
    for (name, mut made) in all_cases() {
        // Unpenalised, this column separates the rows of a fold: its coefficient, and so the held-out deviance, has
        // no finite limit to agree on.
        if let Some(factors) = &mut made.factors {
            factors[8] = 1.0;
        }
        let folds: Vec<u32> = (0..40).map(|i| (i * 7 % FOLDS) as u32).collect();
        let x = made.columns();
        let lambdas = lambda_grid(made.problem(&x, 1e-11).lambda_max(), 1e-2, 8);
        let run = |threads| {
            let folds = Folds { threads, ..plain(&folds, FOLDS, &lambdas) };
            cross_validate(made.data(&x), made.loss, made.penalty(), made.options(1e-11), &folds, &go_on).unwrap()
        };
        let (one, three) = (run(1), run(3));
        assert!(one.whole && one.reached == [lambdas.len(); FOLDS], "{name}");
        assert_eq!(one.per_fold, three.per_fold, "{name}: the number of threads shows");
        for fold in 0..FOLDS {
            for (index, copy) in deviance_of_copies(&made, &folds, fold as u32, &lambdas).into_iter().enumerate() {
                close(one.per_fold[[index, fold]], copy, 1e-4, &name);
            }
        }
    }
}

#[test]
fn a_fold_that_leaves_one_class_is_unfit() {
    let mut made = case(20, 4, 0.5, Loss::Logistic, 1);
    made.y = (0..20).map(|i| if i < 10 { 1.0 } else { -1.0 }).collect();
    let x = made.columns();
    let folds: Vec<u32> = (0..20).map(|i| u32::from(i >= 10)).collect();
    let run =
        |folds: &[u32], n| cross_validate(made.data(&x), made.loss, made.penalty(), made.options(1e-6), &plain(folds, n, &[0.1]), &go_on);
    assert_eq!(run(&folds, 2).unwrap_err(), Unfit::OneClass);
    assert_eq!(run(&folds, 1).unwrap_err(), Unfit::Shape);
}
