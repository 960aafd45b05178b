//! A path that goes on where another ended gives the same bits.

use sparsefit::solver::{Loss, Point, Problem, Start, Trail, lambda_grid, path};

use crate::made::{Case, LOSSES, all_cases, case, go_on};

#[test]
fn a_path_goes_on_from_any_of_its_points_with_the_same_bits() {
    let wide = |loss| ("wide".to_owned(), case(120, 60, 0.4, loss, 9));
    for (name, made) in all_cases().into_iter().chain(LOSSES.map(wide)) {
        goes_on_everywhere(&name, &made, 1e-8, (1e-3, 10));
    }
}

/// A path of so many λ down to a share of λ_max, interrupted after each of them.
fn goes_on_everywhere(name: &str, made: &Case, tol: f64, (min_ratio, n): (f64, usize)) {
    let x = made.columns();
    let problem = made.problem(&x, tol);
    let lambdas = lambda_grid(problem.lambda_max().max(1e-3), min_ratio, n);
    let mut whole: Vec<(Point, Trail)> = Vec::new();
    path(&problem, &lambdas, None, &go_on, &mut |_, point, trail| whole.push((point, trail)));
    goes_on_from_each(name, || made.problem(&x, tol), &lambdas, &whole);
}

/// From each point of a path the rest of it has the bits it had. The problem is made anew, as another process would.
pub(crate) fn goes_on_from_each<'a>(name: &str, anew: impl Fn() -> Problem<'a>, lambdas: &[f64], whole: &[(Point, Trail)]) {
    for (done, (point, trail)) in (1..).zip(whole) {
        let start = Start { done, point, trail, before: done.checked_sub(2).map(|at| &whole[at].0) };
        let mut rest = Vec::new();
        path(&anew(), lambdas, Some(start), &go_on, &mut |index, point, trail| {
            assert_eq!(index, done + rest.len(), "{name}");
            rest.push((point, trail));
        });
        assert_eq!(rest, whole[done..], "{name} from {done}");
    }
}

/// In the first of these, second derivatives are taken anew at the end of a λ and no products with them yet: how many there
/// had been before is not to matter.
#[test]
fn so_does_one_whose_products_were_just_given_up() {
    for (loss, seed) in [(Loss::Huber { delta: 1.0 }, 3), (Loss::Logistic, 1), (Loss::Poisson, 1), (Loss::Squared, 1)] {
        for (n, p, fill) in [(120, 60, 0.4), (60, 120, 0.4), (200, 400, 0.05)] {
            for tol in [1e-4, 1e-8] {
                goes_on_everywhere(&format!("{loss:?} {n} × {p}, {tol:e}"), &case(n, p, fill, loss, seed), tol, (1e-2, 25));
            }
        }
    }
}

#[test]
fn the_gram_matrix_and_the_full_pass_before_the_last_move_are_part_of_the_trail() {
    let made = case(120, 60, 0.4, Loss::Squared, 9);
    let x = made.columns();
    let problem = made.problem(&x, 1e-8);
    let mut trails = Vec::new();
    path(&problem, &lambda_grid(problem.lambda_max(), 1e-3, 10), None, &go_on, &mut |_, _, trail| trails.push(trail));
    assert_eq!(trails[0], Trail::default(), "at the largest λ there is nothing to do");
    assert!(trails[1..].iter().all(|trail| trail.seen.is_some()));
    assert!(trails.iter().any(|trail| !trail.gram.is_empty()));
}
