//! Rules as the training room makes them: what is told is what was solved, folds are fair, and nothing depends on how it is run.

use serde_json::json;

use super::*;
use crate::model::{Model, RulesModel, TIME_LIMIT};
use crate::spec::{ResolvedRules, RuleTrees};

fn spec(loss: Loss) -> ResolvedRules {
    ResolvedRules {
        kind: "rules".into(),
        loss,
        trees: RuleTrees { n_trees: 25, mean_leaves: 4.0, learning_rate: 0.05, subsample: None, min_leaf_weight: 0.0, seed: 5 },
        linear: true,
        max_rules: 500,
        lambda: Lambda::Path { n: 12, min_ratio: 0.02 },
        selection: Selection::Cv(CrossValidation { folds: 3, stratify: false, ..folds_of(Rule::Min) }),
        weights: true,
        solver: Solver { kind: "auto".into(), tol: 1e-9, tol_kind: "relative_gap".into(), max_epochs: 10_000 },
        limits: RunLimits::default(),
    }
}

fn logistic() -> Loss {
    Loss::Logistic { positive_class: Class::Number(1.0) }
}

fn made(fixture: &Fixture, spec: &ResolvedRules, threads: usize) -> Result<RulesModel, TrainError> {
    rules(&fixture.data, spec, &Run::new(threads, &|_| ControlFlow::Continue(())))
}

/// What the row holds of each feature.
fn held(fixture: &Fixture, row: u32) -> impl Fn(u32) -> f64 {
    let x = fixture.data.x.view();
    let value = |entry: usize| match x.values {
        crate::matrix::ValuesView::Single(values) => f64::from(values[entry]),
        crate::matrix::ValuesView::Double(values) => values[entry],
    };
    let entry = |j: usize| x.range(j).find(|entry| x.rows[*entry] == row).map(|entry| (x.features[j], value(entry)));
    let all: Vec<(u32, f64)> = (0..x.len()).filter_map(entry).collect();
    move |feature| all.iter().find(|one| one.0 == feature).map_or(0.0, |one| one.1)
}

fn score(model: &RulesModel, x: impl Fn(u32) -> f64) -> f64 {
    let list = &model.rules;
    let holds = |rule: &usize| list.range(*rule).all(|at| list.lows[at] < x(list.features[at]) && x(list.features[at]) <= list.highs[at]);
    let of_rules: f64 = (0..list.len()).filter(holds).map(|rule| list.coefficients[rule]).sum();
    model.card.intercept + of_rules + model.indices.iter().zip(&model.values).map(|(feature, value)| value * x(*feature)).sum::<f64>()
}

#[test]
fn the_rules_that_are_told_have_the_objective_that_was_certified() {
    for (fixture, loss) in
        [(noisy(|signal| signal.to_string()), Loss::Squared), (noisy(|signal| i32::from(signal > 0.3).to_string()), logistic())]
    {
        for linear in [true, false] {
            // the last λ: there is much in the model
            let model = made(&fixture, &ResolvedRules { linear, selection: Selection::None, ..spec(loss.clone()) }, 1).unwrap();
            assert_eq!(model.card.certificate.status, CertificateStatus::Certified);
            let terms_as_asked =
                if loss == Loss::Squared { model.indices.is_empty() != linear } else { linear || model.indices.is_empty() };
            assert!(!model.rules.is_empty() && terms_as_asked, "{:?}", model.card.sparsity);
            let n = fixture.data.y.len();
            let mut mean = 0.0;
            for row in 0..n {
                let (eta, y) = (score(&model, held(&fixture, row as u32)), fixture.data.y[row]);
                let loss = if loss == Loss::Squared { 0.5 * (y - eta).powi(2) } else { ((1.0 - 2.0 * y) * eta).exp().ln_1p() };
                mean += loss / n as f64;
            }
            let of_rules: f64 = model.rules.coefficients.iter().map(|a| a.abs()).sum();
            let of_terms: f64 = model.values.iter().zip(&model.deviations).map(|(w, deviation)| w.abs() * deviation / 0.4).sum();
            let (primal, objective) = (model.card.certificate.primal, mean + model.card.lambda * (of_rules + of_terms));
            assert!((primal - objective).abs() <= 1e-9 * objective, "{primal} {objective}");
            for rule in 0..model.rules.len() {
                let range = model.rules.range(rule);
                let list = &model.rules;
                let holds = (0..n as u32).filter(|row| {
                    let x = held(&fixture, *row);
                    range.clone().all(|at| list.lows[at] < x(list.features[at]) && x(list.features[at]) <= list.highs[at])
                });
                let share = holds.count() as f64 / n as f64;
                assert!((share - list.supports[rule]).abs() < 1e-12, "{}", model.text(rule, None));
            }
            let importances: Vec<f64> = (0..model.rules.len()).map(|rule| model.importance(rule)).collect();
            assert!(importances.windows(2).all(|pair| pair[0] >= pair[1]), "{importances:?}");
        }
    }
}

#[test]
fn the_model_is_the_same_for_any_number_of_threads_and_is_measured_as_an_evaluation_does() {
    for (fixture, loss) in
        [(noisy(|signal| signal.to_string()), Loss::Squared), (noisy(|signal| i32::from(signal > 0.3).to_string()), logistic())]
    {
        let model = made(&fixture, &spec(loss.clone()), 1).unwrap();
        assert_eq!(made(&fixture, &spec(loss.clone()), 3).unwrap(), model);
        assert_eq!((model.check(), Model::decode(&model.encode()).unwrap()), (Ok(()), Model::Rules(model.clone())));
        let other = ResolvedRules { trees: RuleTrees { seed: 6, ..spec(loss.clone()).trees }, ..spec(loss) };
        assert_ne!(made(&fixture, &other, 1).unwrap().rules, model.rules);
        let found = evaluate(&fixture.data, &Model::Rules(model.clone()), None, &|_| ControlFlow::Continue(())).unwrap();
        let (told, found) = (&model.card.metrics["train"]["deviance"], &found.metrics["deviance"]);
        let gap = told.as_f64().unwrap() - found.as_f64().unwrap();
        assert!(gap.abs() < 1e-9, "{told} {found}");
        let cv = model.cv.as_ref().unwrap();
        assert_eq!((cv.rows.len(), cv.rows[0].per_fold.len(), model.path.len()), (12, 3, 12));
        let at = model.path.iter().position(|row| row.lambda == model.card.lambda).unwrap();
        assert_eq!(model.card.metrics["cv"]["deviance"], json!(cv.rows[at].mean));
        assert_eq!(model.path[at].nonzeros, (model.rules.len() + model.indices.len()) as u64);
    }
}

#[test]
fn of_noise_the_folds_learn_that_nothing_can_be_learnt() {
    let mut state = 11_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    let noise: Vec<f64> = (0..60).map(|_| random()).collect();
    let next = AtomicU64::new(0);
    let fixture = noisy(|_| noise[next.fetch_add(1, Ordering::Relaxed) as usize].to_string());
    let model = made(&fixture, &ResolvedRules { linear: false, ..spec(Loss::Squared) }, 1).unwrap();
    let mean = noise.iter().sum::<f64>() / 60.0;
    let variance = noise.iter().map(|y| (y - mean).powi(2)).sum::<f64>() / 60.0;
    let cv = model.cv.as_ref().unwrap();
    let last = cv.rows.last().unwrap().mean;
    // the rules of all rows fit the noise; those of a fold do not know the noise it is held out with
    assert!(model.path.last().unwrap().deviance_ratio > 0.5);
    assert!(last > variance && cv.rows[0].mean > 0.8 * variance, "{last} {variance}");
}

#[test]
fn a_planted_rule_is_found_and_a_row_of_no_weight_is_as_good_as_absent() {
    let mut state = 3_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    let table: Vec<[f64; 3]> = (0..200).map(|_| [random(), random(), random()]).collect();
    let y: Vec<f64> = table.iter().map(|row| f64::from(u8::from(row[0] > 0.4 && row[2] <= 0.7)) * 3.0 + 0.01 * row[1]).collect();
    let weights: Vec<u32> = (0..200).map(|row| u32::from(row % 5 != 0)).collect();
    let body =
        |y: &[f64]| json!({"format": "dense", "values": table, "y": y, "weights": weights, "feature_names": ["a", "b", "c"]}).to_string();
    let fixture = dataset_of(&body(&y));
    let model = made(&fixture, &ResolvedRules { linear: false, ..spec(Loss::Squared) }, 2).unwrap();
    let conditions = model.conditions(0, fixture.data.names.as_deref());
    let told: Vec<(&str, &str)> = conditions.iter().map(|one| (one.name.as_str(), one.op)).collect();
    assert_eq!(told, [("a", ">"), ("c", "<=")], "{}", model.text(0, None));
    assert!((conditions[0].threshold - 0.4).abs() < 0.05 && (conditions[1].threshold - 0.7).abs() < 0.05, "{conditions:?}");
    let mut changed = y.clone();
    changed.iter_mut().step_by(5).for_each(|y| *y = -50.0);
    let other = made(&dataset_of(&body(&changed)), &ResolvedRules { linear: false, ..spec(Loss::Squared) }, 2).unwrap();
    assert_eq!((&other.rules, other.card.intercept, &other.cv), (&model.rules, model.card.intercept, &model.cv));
}

#[test]
fn a_search_finds_so_many_terms_and_room_for_few_rules_is_told() {
    let fixture = noisy(|signal| signal.to_string());
    let asked = ResolvedRules { lambda: Lambda::TargetNonzeros { k: 5 }, selection: Selection::None, ..spec(Loss::Squared) };
    let model = made(&fixture, &asked, 1).unwrap();
    assert!(model.card.bracket.is_some() && model.rules.len() + model.indices.len() >= 5, "{:?}", model.card.sparsity);
    assert_eq!((model.cv.as_ref(), model.path.len(), model.card.metrics["cv"].is_null()), (None, 1, true));
    let few = made(&fixture, &ResolvedRules { max_rules: 3, ..spec(Loss::Squared) }, 1).unwrap();
    assert!(few.rules.len() <= 3 && few.card.sparsity.candidates.rules <= 3);
}

#[test]
fn a_constant_target_has_no_rules_and_says_so() {
    let constant = dataset_of(r#"{"format":"dense","values":[[1,2],[3,4],[5,6],[7,1]],"y":[2.5,2.5,2.5,2.5]}"#);
    let model = made(&constant, &ResolvedRules { selection: Selection::None, ..spec(Loss::Squared) }, 1).unwrap();
    assert_eq!((model.rules.len(), model.indices.len(), model.card.intercept), (0, 0, 2.5));
    assert!(model.card.warnings.iter().any(|warning| warning.code == "no_split"), "{:?}", model.card.warnings);
}

#[test]
fn a_stop_leaves_nothing_or_the_best_that_there_is() {
    let fixture = noisy(|signal| signal.to_string());
    let whole = made(&fixture, &spec(Loss::Squared), 1).unwrap();
    let mut seen = [0; 4];
    for after in (0..).map(|step: u64| step * 7) {
        let calls = AtomicU64::new(0);
        let last = Mutex::new(0.0);
        let observe = |at: &Progress| {
            let mut last = last.lock().unwrap();
            assert!(at.fraction >= *last && at.fraction < 1.0, "the fraction fell");
            *last = at.fraction;
            if calls.fetch_add(1, Ordering::Relaxed) >= after { ControlFlow::Break(Leave::Best) } else { ControlFlow::Continue(()) }
        };
        let model = match rules(&fixture.data, &spec(Loss::Squared), &Run::new(1, &observe)) {
            Ok(model) => model,
            Err(error) => {
                assert_eq!((error, seen[1] + seen[2]), (TrainError::Cancelled, 0), "only before there was anything");
                seen[0] += 1;
                continue;
            }
        };
        assert_eq!(model.check(), Ok(()));
        match model.card.warnings.iter().find(|warning| warning.code == TIME_LIMIT) {
            None => {
                assert_eq!(model, whole, "a fit that was done is a fit that was done");
                seen[3] += 1;
                break;
            }
            Some(_) => {
                assert!(!model.card.converged());
                seen[if model.cv.is_some() { 2 } else { 1 }] += 1;
            }
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
    let stopped = rules(&fixture.data, &spec(Loss::Squared), &Run::new(2, &|_| ControlFlow::Break(Leave::Nothing)));
    assert_eq!(stopped.err(), Some(TrainError::Cancelled));
}
