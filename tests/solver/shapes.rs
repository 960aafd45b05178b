//! Groups, sparse groups, MCP, SCAD and L0: certificates by separate code, objectives by a separate method, and what must hold of
//! any right solver.

use sparsefit::matrix::Columns;
use sparsefit::solver::{
    Groups, Loss, Penalty, Point, Problem, Shape, Stop, Trail, Unfit, ambiguous_support, certify, cross_validate, lambda_grid, path, solve,
    target_nonzeros,
};

use crate::made::{Case, Dress, case, close, dense, go_on, plain};
use crate::product::combinations;
use crate::standing::goes_on_from_each;

/// The losses these penalties go with.
const LOSSES: [Loss; 3] = [Loss::Squared, Loss::Logistic, Loss::Poisson];

/// Features 0, 4 and 8 together, 1 and 2, the others by themselves; the last group has a feature without a column.
const OF: [u32; 9] = [0, 1, 1, 2, 0, 3, 4, 5, 0];
const SIZES: [u32; 6] = [3, 2, 1, 1, 1, 2];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Groups,
    Mcp(f64),
    Scad(f64),
    L0,
}

/// A case with one of these penalties.
#[derive(Clone)]
struct Shaped {
    name: String,
    form: Form,
    of: Vec<u32>,
    sizes: Vec<u32>,
    made: Case,
}

impl Shaped {
    fn shape(&self) -> Shape<'_> {
        match self.form {
            Form::Groups => Shape::Groups(Groups { of_column: &self.of, sizes: &self.sizes }),
            Form::Mcp(gamma) => Shape::Mcp { gamma },
            Form::Scad(gamma) => Shape::Scad { gamma },
            Form::L0 => Shape::L0,
        }
    }

    fn penalty(&self) -> Penalty<'_> {
        Penalty { shape: self.shape(), ..self.made.penalty() }
    }

    fn problem<'a>(&'a self, x: &'a Columns, tol: f64) -> Problem<'a> {
        Problem::new(self.made.data(x), self.made.loss, self.penalty(), self.made.options(tol), &go_on).unwrap()
    }

    fn factor(&self, j: usize) -> f64 {
        self.made.factors.as_ref().map_or(1.0, |f| f[j])
    }

    /// The written penalty of `u`.
    fn penalty_at(&self, lambda: f64, u: &[f64]) -> f64 {
        let ratio = self.made.l1_ratio;
        let each = |f: &dyn Fn(f64, f64) -> f64| (0..u.len()).map(|j| f(u[j].abs(), lambda * self.factor(j))).sum::<f64>();
        match self.form {
            Form::Groups => {
                let of_group = |g: usize| (0..u.len()).filter(|&j| self.of[j] as usize == g).map(|j| u[j] * u[j]).sum::<f64>().sqrt();
                let groups: f64 = (0..self.sizes.len()).map(|g| f64::from(self.sizes[g]).sqrt() * of_group(g)).sum();
                lambda * (1.0 - ratio) * groups + each(&|u, l| ratio * l * u)
            }
            Form::L0 => each(&|u, l| if u == 0.0 { 0.0 } else { l }),
            Form::Mcp(gamma) => each(&|u, l| if u <= gamma * l { l * u - u * u / (2.0 * gamma) } else { gamma * l * l / 2.0 }),
            Form::Scad(gamma) => each(&|u, l| {
                if u <= l {
                    l * u
                } else if u <= gamma * l {
                    (2.0 * gamma * l * u - u * u - l * l) / (2.0 * (gamma - 1.0))
                } else {
                    l * l * (gamma + 1.0) / 2.0
                }
            }),
        }
    }

    fn objective(&self, lambda: f64, w: &[f64], b: f64) -> f64 {
        let u: Vec<f64> = (0..w.len()).map(|j| w[j] * self.made.sigma(j)).collect();
        self.made.objective(0.0, w, b) + self.penalty_at(lambda, &u)
    }

    /// The proximal step of the penalty, by its definition: soften, then shrink the group; else over a grid of candidates.
    fn prox(&self, lambda: f64, v: &[f64], step: f64) -> Vec<f64> {
        if self.form == Form::Groups {
            let ratio = self.made.l1_ratio;
            let soft: Vec<f64> =
                (0..v.len()).map(|j| (v[j].abs() - step * lambda * ratio * self.factor(j)).max(0.0) * v[j].signum()).collect();
            let length = |g: u32| (0..v.len()).filter(|&j| self.of[j] == g).map(|j| soft[j] * soft[j]).sum::<f64>().sqrt();
            let weight = |g: u32| step * lambda * (1.0 - ratio) * f64::from(self.sizes[g as usize]).sqrt();
            return (0..v.len())
                .map(|j| {
                    let g = self.of[j];
                    if length(g) > weight(g) { soft[j] * (1.0 - weight(g) / length(g)) } else { 0.0 }
                })
                .collect();
        }
        // stationary points of ½(u − v)²/step + penalty on each of its pieces
        let each = |j: usize| {
            let (l, z) = (lambda * self.factor(j), v[j].abs());
            let mut candidates = vec![0.0, z, (z - step * l).max(0.0)];
            match self.form {
                Form::Mcp(gamma) => candidates.push(((z - step * l) / (1.0 - step / gamma)).clamp(0.0, gamma * l)),
                Form::Scad(gamma) => {
                    let middle = (z * (gamma - 1.0) - step * gamma * l) / (gamma - 1.0 - step);
                    candidates.push(middle.clamp(l, gamma * l));
                }
                Form::Groups | Form::L0 => {}
            }
            let alone = Self { made: Case { factors: Some(vec![self.factor(j)]), ..self.made.clone() }, ..self.clone() };
            let value = |u: &f64| (u - z) * (u - z) / (2.0 * step) + alone.penalty_at(lambda, &[*u]);
            candidates.into_iter().min_by(|a, b| value(a).total_cmp(&value(b))).unwrap() * v[j].signum()
        };
        (0..v.len()).map(each).collect()
    }

    /// Proximal gradient from 0 on dense standardised columns, with momentum where the penalty is convex. Objective reached.
    fn reference(&self, lambda: f64) -> f64 {
        let made = &self.made;
        let (n, p) = (made.rows.len(), made.rows[0].len());
        let sigma: Vec<f64> = (0..p).map(|j| made.sigma(j)).collect();
        let total: f64 = (0..n).map(|i| made.weights.as_ref().map_or(1.0, |s| s[i])).sum();
        let share: Vec<f64> = (0..n).map(|i| made.weights.as_ref().map_or(1.0, |s| s[i]) / total).collect();
        let x: Vec<Vec<f64>> = made.rows.iter().map(|row| row.iter().zip(&sigma).map(|(x, s)| x / s).collect()).collect();
        let one = f64::from(u8::from(made.intercept));
        let lipschitz: f64 = (0..n).map(|i| share[i] * (x[i].iter().map(|v| v * v).sum::<f64>() + one)).sum();
        let (mut u, mut z, mut momentum) = (vec![0.0; p + 1], vec![0.0; p + 1], 1.0f64);
        for _ in 0..100_000 {
            let (mut gradient, mut bend) = (vec![0.0; p + 1], 1.0f64);
            for i in 0..n {
                let eta = made.offset.as_ref().map_or(0.0, |o| o[i]) + one * z[p] + x[i].iter().zip(&z).map(|(x, z)| x * z).sum::<f64>();
                let slope = match made.loss {
                    Loss::Squared | Loss::Huber { .. } | Loss::SquaredHinge => eta - made.y[i],
                    Loss::Logistic => -made.y[i] / (1.0 + (made.y[i] * eta).exp()),
                    Loss::Poisson => eta.exp() - made.y[i],
                };
                if made.loss == Loss::Poisson {
                    bend = bend.max(1.5 * eta.exp());
                }
                gradient.iter_mut().zip(x[i].iter().chain([&one])).for_each(|(g, x)| *g += share[i] * slope * x);
            }
            let step = 1.0 / (lipschitz * bend);
            let v: Vec<f64> = z.iter().zip(&gradient).map(|(z, g)| z - step * g).collect();
            let mut next = self.prox(lambda, &v[..p], step);
            next.push(v[p]);
            let uphill: f64 = (0..=p).map(|j| (z[j] - next[j]) * (next[j] - u[j])).sum();
            let moved: f64 = next.iter().zip(&u).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            let restart = uphill > 0.0 || self.form != Form::Groups;
            let following = if restart { 1.0 } else { 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) };
            let pull = if restart { 0.0 } else { (momentum - 1.0) / following };
            z = next.iter().zip(&u).map(|(a, b)| a + pull * (a - b)).collect();
            (u, momentum) = (next, following);
            if moved < 1e-14 {
                break;
            }
        }
        let w: Vec<f64> = (0..p).map(|j| u[j] / sigma[j]).collect();
        self.objective(lambda, &w, u[p])
    }
}

/// Every loss × penalty × filling × what rows and columns carry, as [`combinations`] says how many of them.
fn all_shapes() -> Vec<Shaped> {
    combinations(&[LOSSES.len(), forms().len(), 2, 2, 2, 2, 2, 2])
        .into_iter()
        .map(|chosen| {
            let (loss, (form, l1_ratio), fill) = (LOSSES[chosen[0]], forms()[chosen[1]], [0.3, 1.0][chosen[2]]);
            let dress = Dress::of(&chosen[3..]);
            let name = format!("{loss:?} {form:?} l1 {l1_ratio} fill {fill} {dress:?}");
            let made = Case { l1_ratio, ..dress.on(case(40, 9, fill, loss, 7)) };
            Shaped { name, form, of: OF.to_vec(), sizes: SIZES.to_vec(), made }
        })
        .collect()
}

fn wide(loss: Loss, form: Form, l1_ratio: f64) -> Shaped {
    let made = Case { l1_ratio, ..case(60, 150, 0.3, loss, 9) };
    let of = (0..150).map(|j| j / 5).collect();
    Shaped { name: format!("wide {loss:?} {form:?} {l1_ratio}"), form, of, sizes: vec![5; 30], made }
}

fn forms() -> [(Form, f64); 5] {
    [(Form::Groups, 0.0), (Form::Groups, 0.5), (Form::Mcp(3.0), 1.0), (Form::Scad(3.7), 1.0), (Form::L0, 1.0)]
}

fn all_wide() -> impl Iterator<Item = Shaped> {
    LOSSES.into_iter().flat_map(|loss| forms().map(|(form, l1_ratio)| wide(loss, form, l1_ratio)))
}

#[test]
fn every_solution_has_its_certificate_and_no_worse_an_objective_than_an_independent_method() {
    for shaped in all_shapes() {
        let (x, name) = (shaped.made.columns(), &shaped.name);
        let problem = shaped.problem(&x, 1e-9);
        for fraction in [0.5, 0.05] {
            let lambda = problem.lambda_max() * fraction;
            let point = solve(&problem, lambda, None, &go_on);
            assert_eq!(point.stop, Stop::Converged, "{name} {fraction}: {point:?}");
            let certificate = certify(&problem, &point, &go_on).unwrap();
            let w = dense(&point, &x, 9);
            close(shaped.objective(lambda, &w, point.intercept), certificate.primal, 1e-12, name);
            if shaped.form == Form::Groups {
                assert!(certificate.relative_gap <= 1.1e-9, "{name} {fraction}: {certificate:?}");
                let reference = shaped.reference(lambda);
                close(certificate.primal, reference, 1e-7, name);
                assert!(certificate.dual <= reference + 1e-12, "{name}: the dual bound lies above a primal value");
                assert!(certificate.max_kkt_violation < 1e-2, "{name}: {certificate:?}");
            } else {
                assert!(certificate.max_kkt_violation <= 1.1e-9, "{name} {fraction}: {certificate:?}");
                assert_eq!((certificate.dual, certificate.gap), (f64::NEG_INFINITY, f64::INFINITY));
            }
        }
    }
}

#[test]
fn where_a_folded_penalty_leaves_the_objective_convex_its_minimum_is_found() {
    for form in [Form::Mcp(30.0), Form::Scad(31.0)] {
        for intercept in [true, false] {
            let made = Case { intercept, ..case(60, 6, 0.5, Loss::Squared, 5) };
            let shaped = Shaped { name: format!("{form:?}"), form, of: vec![], sizes: vec![], made };
            let x = shaped.made.columns();
            let problem = shaped.problem(&x, 1e-10);
            for fraction in [0.5, 0.1, 0.01] {
                let lambda = problem.lambda_max() * fraction;
                let point = solve(&problem, lambda, None, &go_on);
                let ours = shaped.objective(lambda, &dense(&point, &x, 6), point.intercept);
                close(ours, shaped.reference(lambda), 1e-9, &shaped.name);
            }
        }
    }
}

#[test]
fn a_certificate_tells_a_bad_solution_from_a_good_one() {
    for shaped in all_shapes() {
        let x = shaped.made.columns();
        let problem = shaped.problem(&x, 1e-9);
        let mut point = solve(&problem, problem.lambda_max() * 0.1, None, &go_on);
        let best = certify(&problem, &point, &go_on).unwrap();
        point.values.iter_mut().for_each(|w| *w *= 0.9);
        let worse = certify(&problem, &point, &go_on).unwrap();
        assert!(worse.max_kkt_violation > best.max_kkt_violation, "{}: {best:?} {worse:?}", shaped.name);
        if shaped.form == Form::Groups {
            assert!(worse.gap > best.gap && worse.gap >= worse.primal - best.primal, "{}", shaped.name);
        }
        point.intercept += 0.1;
        let moved = certify(&problem, &point, &go_on).unwrap();
        assert!(!shaped.made.intercept || moved.max_kkt_violation > 1e-6, "{}", shaped.name);
    }
}

#[test]
fn penalised_coefficients_are_zero_from_lambda_max_on_and_not_below() {
    for shaped in all_shapes().into_iter().chain(all_wide()) {
        let x = shaped.made.columns();
        // unpenalised columns of the null model are known to about half the digits
        let problem = shaped.problem(&x, if shaped.form == Form::Groups { 1e-12 } else { 1e-6 });
        let free = |j: u32| shaped.form != Form::Groups && shaped.factor(j as usize) == 0.0;
        let penalised = |point: &Point| point.columns.iter().filter(|&&j| !free(j)).count();
        for factor in [1.0, 1.5] {
            assert_eq!(penalised(&solve(&problem, problem.lambda_max() * factor, None, &go_on)), 0, "{}", shaped.name);
        }
        assert!(penalised(&solve(&problem, problem.lambda_max() * 0.99, None, &go_on)) > 0, "{}", shaped.name);
    }
}

#[test]
fn groups_of_one_are_the_lasso() {
    for loss in LOSSES {
        for l1_ratio in [0.0, 0.3] {
            let made = case(50, 12, 0.5, loss, 3);
            let alone = Shaped {
                name: String::new(),
                form: Form::Groups,
                of: (0..12).collect(),
                sizes: vec![1; 12],
                made: Case { l1_ratio, ..made.clone() },
            };
            let x = made.columns();
            let (a, b) = (alone.problem(&x, 1e-12), made.problem(&x, 1e-12));
            close(a.lambda_max(), b.lambda_max(), 1e-13, "λ_max");
            let lambda = 0.1 * b.lambda_max();
            let (a, b) = (solve(&a, lambda, None, &go_on), solve(&b, lambda, None, &go_on));
            assert_eq!(a.columns, b.columns, "{loss:?}");
            a.values.iter().zip(&b.values).for_each(|(a, b)| close(*a, *b, 1e-6, "a coefficient"));
        }
    }
}

#[test]
fn a_path_is_certified_ends_where_a_cold_fit_ends_and_goes_on_from_any_of_its_points_with_the_same_bits() {
    for shaped in all_shapes().into_iter().chain(all_wide()) {
        let (x, name) = (shaped.made.columns(), &shaped.name);
        let problem = shaped.problem(&x, 1e-8);
        let lambdas = lambda_grid(problem.lambda_max(), 1e-2, 10);
        let mut whole: Vec<(Point, Trail)> = Vec::new();
        let stop = path(&problem, &lambdas, None, &go_on, &mut |_, point, trail| whole.push((point, trail)));
        assert_eq!(
            stop,
            Stop::Converged,
            "{name}: {:?}",
            whole.iter().map(|(point, _)| (point.relative_gap, point.stop)).collect::<Vec<_>>()
        );
        let cold = solve(&problem, lambdas[9], None, &go_on);
        let last = &whole[9].0;
        if shaped.form == Form::Groups {
            let objective = |point: &Point| certify(&problem, point, &go_on).unwrap().primal;
            close(objective(&cold), objective(last), 1e-7, name);
        }
        for (done, (point, _)) in (1..).zip(&whole) {
            let certificate = certify(&problem, point, &go_on).unwrap();
            let measure = if shaped.form == Form::Groups { certificate.relative_gap } else { certificate.max_kkt_violation };
            assert!(measure <= 1.1e-8, "{name} {done}: {certificate:?}");
        }
        goes_on_from_each(name, || shaped.problem(&x, 1e-8), &lambdas, &whole);
    }
}

#[test]
fn folds_do_not_depend_on_the_number_of_threads() {
    for shaped in all_wide() {
        let x = shaped.made.columns();
        let of_row: Vec<u32> = (0..60).map(|i| (i * 7) % 4).collect();
        let lambdas = lambda_grid(shaped.problem(&x, 1e-7).lambda_max(), 0.05, 6);
        let run = |threads| {
            let folds = sparsefit::solver::Folds { threads, ..plain(&of_row, 4, &lambdas) };
            cross_validate(shaped.made.data(&x), shaped.made.loss, shaped.penalty(), shaped.made.options(1e-7), &folds, &go_on).unwrap()
        };
        let (one, three) = (run(1), run(3));
        assert!(one.whole && one.per_fold.iter().all(|deviance| deviance.is_finite()), "{}", shaped.name);
        assert_eq!((one.per_fold, one.nonzeros), (three.per_fold, three.nonzeros), "{}", shaped.name);
    }
}

#[test]
fn twins_constants_and_empty_rows_converge() {
    for loss in LOSSES {
        for (form, l1_ratio) in forms() {
            for standardize in [true, false] {
                let mut made = Case { l1_ratio, standardize, ..case(60, 12, 0.5, loss, 9) };
                for (i, row) in made.rows.iter_mut().enumerate() {
                    (row[3], row[4], row[5]) = (row[0], 2.0 * row[1], 0.1);
                    (6..9).for_each(|j| row[j] = f64::from(u8::from(i % 3 == j - 6)));
                    if i % 10 == 9 {
                        row.fill(0.0);
                    }
                }
                let of = vec![0, 1, 0, 0, 2, 2, 3, 3, 3, 4, 5, 5];
                let shaped = Shaped { name: format!("twins {loss:?} {form:?} {l1_ratio}"), form, of, sizes: vec![3, 1, 2, 3, 1, 2], made };
                let x = shaped.made.columns();
                let problem = shaped.problem(&x, 1e-8);
                let lambdas = lambda_grid(problem.lambda_max(), 1e-4, 20);
                let stop = path(&problem, &lambdas, None, &go_on, &mut |_, point, _| {
                    let certificate = certify(&problem, &point, &go_on).unwrap();
                    let measure = if form == Form::Groups { certificate.relative_gap } else { certificate.max_kkt_violation };
                    assert!(measure <= 1.1e-8, "{} {}: {certificate:?}", shaped.name, point.lambda);
                });
                assert_eq!(stop, Stop::Converged, "{}", shaped.name);
            }
        }
    }
}

#[test]
fn extreme_scales_one_row_and_one_column_stay_finite() {
    for loss in LOSSES {
        for (form, l1_ratio) in forms() {
            for (n, p, size) in [(1, 3, 1.0), (30, 1, 1.0), (40, 9, 1e150), (40, 9, 1e-150), (2, 9, 1.0)] {
                for standardize in [true, false] {
                    let mut made = Case { l1_ratio, standardize, ..case(n, p, 1.0, loss, 4) };
                    made.rows.iter_mut().flatten().for_each(|x| *x *= size);
                    if loss == Loss::Poisson {
                        made.y.iter_mut().for_each(|y| *y += 1.0);
                    }
                    if loss == Loss::Logistic && n > 1 {
                        (made.y[0], made.y[1]) = (1.0, -1.0);
                    }
                    let shaped = Shaped {
                        name: format!("{loss:?} {form:?} {n}x{p} {size}"),
                        form,
                        of: OF[..p].to_vec(),
                        sizes: SIZES.to_vec(),
                        made,
                    };
                    let x = shaped.made.columns();
                    let made = &shaped.made;
                    let problem = match Problem::new(made.data(&x), loss, shaped.penalty(), made.options(1e-6), &go_on) {
                        Ok(problem) => problem,
                        Err(why) => {
                            assert!(why == Unfit::OneClass || why == Unfit::NonFinite, "{} {why}", shaped.name);
                            continue;
                        }
                    };
                    let lambdas = lambda_grid(problem.lambda_max().max(1e-200), 1e-3, 5);
                    path(&problem, &lambdas, None, &go_on, &mut |_, point, _| {
                        let finite =
                            point.values.iter().all(|w| w.is_finite()) && point.intercept.is_finite() && point.deviance.is_finite();
                        assert!(finite && !point.relative_gap.is_nan(), "{} {point:?}", shaped.name);
                        assert!(size != 1.0 || point.stop == Stop::Converged, "{} {point:?}", shaped.name);
                    });
                }
            }
        }
    }
}

#[test]
fn a_wanted_number_of_nonzeros_is_found() {
    for shaped in all_wide() {
        // tall enough that no few columns separate the rows
        let made = Case { l1_ratio: shaped.made.l1_ratio, ..case(300, 30, 0.3, shaped.made.loss, 9) };
        let shaped = Shaped { of: (0..30).map(|j| j / 5).collect(), sizes: vec![5; 6], made, ..shaped };
        let x = shaped.made.columns();
        let problem = shaped.problem(&x, 1e-7);
        let found = target_nonzeros(&problem, 10, &go_on);
        assert!(found.whole, "{}", shaped.name);
        let count = found.point.columns.len();
        assert!(if shaped.made.l1_ratio == 0.0 { count == 10 } else { count >= 10 }, "{}: {count}", shaped.name);
        assert!(found.bracket[1] >= found.point.lambda, "{}", shaped.name);
    }
}

#[test]
fn penalties_without_meaning_are_refused() {
    let made = case(10, 3, 0.9, Loss::Squared, 4);
    let x = made.columns();
    let why = |shape, l1_ratio| {
        Problem::new(made.data(&x), made.loss, Penalty { l1_ratio, factors: None, shape, bounds: None }, made.options(1e-6), &go_on).err()
    };
    let groups = |of_column, sizes| Shape::Groups(Groups { of_column, sizes });
    assert_eq!(why(groups(&[0, 0, 1], &[2, 1]), 0.0), None);
    assert_eq!(why(groups(&[0, 0, 1], &[2, 1]), 1.0), Some(Unfit::Penalty));
    assert_eq!(why(groups(&[0, 0], &[2, 1]), 0.0), Some(Unfit::Shape));
    assert_eq!(why(groups(&[0, 0, 2], &[2, 1]), 0.0), Some(Unfit::Shape));
    assert_eq!(why(groups(&[0, 0, 1], &[2, 0]), 0.0), Some(Unfit::Shape));
    assert_eq!(why(Shape::Mcp { gamma: 1.0 }, 1.0), Some(Unfit::Penalty));
    assert_eq!(why(Shape::Scad { gamma: 2.0 }, 1.0), Some(Unfit::Penalty));
    assert_eq!(why(Shape::Scad { gamma: f64::NAN }, 1.0), Some(Unfit::Penalty));
    assert_eq!(why(Shape::Mcp { gamma: 3.0 }, 0.5), Some(Unfit::Penalty));
    assert_eq!((why(Shape::L0, 1.0), why(Shape::L0, 0.5)), (None, Some(Unfit::Penalty)));
}

#[test]
fn groups_that_can_stand_in_for_each_other_are_called_ambiguous() {
    let mut made = Case { l1_ratio: 0.0, ..case(60, 6, 0.5, Loss::Squared, 9) };
    // the third column is the first again: in one group the norm shares it out, in two it does not say how
    made.rows.iter_mut().for_each(|row| row[2] = row[0]);
    for (of, expected) in [(vec![0, 1, 0, 2, 2, 1], vec![]), (vec![0, 1, 2, 3, 3, 1], vec![0, 2])] {
        let shaped = Shaped { name: String::new(), form: Form::Groups, of, sizes: vec![2, 2, 1, 2], made: made.clone() };
        let shaped = if expected.is_empty() { shaped } else { Shaped { sizes: vec![1, 2, 1, 2], ..shaped } };
        let x = shaped.made.columns();
        let problem = shaped.problem(&x, 1e-10);
        let point = solve(&problem, problem.lambda_max() * 0.3, None, &go_on);
        assert!(!point.columns.is_empty());
        assert_eq!(ambiguous_support(&problem, &point, &go_on).unwrap(), expected);
    }
}
