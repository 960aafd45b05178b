//! Points of a path that become models: as if the fit had chosen them.

use super::*;
use crate::model::PathPoints;
use crate::spec::{Adaptive, Pilot};

/// A fit and the points it kept.
fn kept(fixture: &Fixture, spec: &ResolvedFit) -> (LinearModel, Option<PathPoints>) {
    let points = Mutex::new(None);
    let keep = |kept| *points.lock().expect("nobody panicked") = Some(kept);
    let model = fit(&fixture.data, spec, &Run { points: &keep, ..Run::new(2, &|_| ControlFlow::Continue(())) }).expect("a model");
    (model, points.into_inner().expect("nobody panicked"))
}

fn promoted(fixture: &Fixture, points: &PathPoints, base: &LinearModel, index: usize) -> LinearModel {
    promote(&fixture.data, points, base, index, &|_| ControlFlow::Continue(())).expect("a model")
}

#[test]
fn a_promoted_point_is_what_a_fit_would_have_made_of_it() {
    let fixture = noisy(|signal| signal.to_string());
    let spec = path_with_cv(Rule::Min);
    let (base, points) = kept(&fixture, &spec);
    let points = PathPoints::decode(&points.expect("a path").encode()).expect("it survives its stored form");
    assert_eq!(points.points.len(), 30);
    // the very point that was chosen, once more: the same model but for who chose
    let chosen = base.card.selection.as_ref().expect("a selection")["index"].as_u64().expect("an index") as usize;
    let same = promoted(&fixture, &points, &base, chosen);
    assert_eq!((&same.indices, &same.values, &same.path, &same.cv), (&base.indices, &base.values, &base.path, &base.cv));
    assert_eq!(
        (&same.card.certificate, &same.card.metrics, &same.card.warnings),
        (&base.card.certificate, &base.card.metrics, &base.card.warnings)
    );
    assert_eq!(same.card.selection.as_ref().expect("a selection")["rule"], "promoted");

    // another one: the last λ that a fit without selection ends at
    let shorter = ResolvedFit { selection: Selection::None, lambda: Lambda::Path { n: 30, min_ratio: 1e-3 }, ..spec };
    let (last, _) = kept(&fixture, &shorter);
    let other = promoted(&fixture, &points, &base, 29);
    assert_eq!((&other.indices, &other.values, other.card.lambda), (&last.indices, &last.values, last.card.lambda));
    assert_eq!((&other.card.certificate, &other.card.metrics["train"]), (&last.card.certificate, &last.card.metrics["train"]));
    assert_eq!(other.card.metrics["cv"]["deviance"], serde_json::json!(base.cv.as_ref().expect("a table").rows[29].mean));
    assert_eq!(other.card.sparsity, last.card.sparsity);
    assert_eq!(other.card.certificate.status, CertificateStatus::Certified);
}

/// Promotes what was chosen, and looks for a difference.
fn same_again(fixture: &Fixture, spec: &ResolvedFit) -> LinearModel {
    let (base, points) = kept(fixture, spec);
    let points = PathPoints::decode(&points.expect("a path").encode()).expect("it survives its stored form");
    let chosen = base.card.selection.as_ref().expect("a selection")["index"].as_u64().expect("an index") as usize;
    let same = promoted(fixture, &points, &base, chosen);
    assert_eq!((&same.indices, &same.classes, &same.values), (&base.indices, &base.classes, &base.values));
    assert_eq!((&same.path, &same.cv), (&base.path, &base.cv));
    assert_eq!((same.card.intercept, &same.card.intercepts), (base.card.intercept, &base.card.intercepts));
    assert_eq!((&same.card.certificate, &same.card.metrics), (&base.card.certificate, &base.card.metrics));
    // what the choice warned of is not said of what was asked for
    let of_the_point = |model: &LinearModel| {
        model.card.warnings.iter().filter(|warning| warning.code != "lambda_at_path_end").cloned().collect::<Vec<_>>()
    };
    assert_eq!((of_the_point(&same), &same.card.adaptive), (of_the_point(&base), &base.card.adaptive));
    same
}

#[test]
fn points_of_several_classes_are_promoted() {
    let three = noisy(|signal| if signal > 0.7 { "\"a\"" } else { ["\"b\"", "\"c\""][usize::from(signal < -0.7)] }.into());
    let same = same_again(&three, &ResolvedFit { loss: Loss::Multinomial, ..path_with_cv(Rule::Min) });
    assert!(!same.classes.is_empty() && same.card.intercepts.is_some());
}

#[test]
fn points_of_an_adaptive_penalty_are_promoted_with_the_factors_of_their_pilot() {
    for pilot in [Pilot::Ridge, Pilot::L1] {
        let mut spec = path_with_cv(Rule::Min);
        spec.penalty.adaptive = Some(Adaptive { gamma: 1.0, pilot });
        let same = same_again(&noisy(|signal| signal.to_string()), &spec);
        assert_eq!((same.card.certificate.status, same.card.adaptive.is_some()), (CertificateStatus::Certified, true));
    }
}

#[test]
fn a_single_lambda_keeps_no_points_and_foreign_points_are_refused() {
    let fixture = noisy(|signal| signal.to_string());
    let (base, points) = kept(&fixture, &ResolvedFit { lambda: Lambda::Value { value: 0.1 }, ..spec() });
    assert_eq!(points, None);
    let (_, points) = kept(&fixture, &ResolvedFit { lambda: Lambda::Path { n: 5, min_ratio: 0.1 }, ..spec() });
    let points = points.expect("a path");
    let refused = |fixture: &Fixture, points: &PathPoints, index| {
        let made = promote(&fixture.data, points, &base, index, &|_| ControlFlow::Continue(()));
        matches!(made, Err(TrainError::Unfit { code: "artifact_corrupt", .. }))
    };
    assert!(refused(&fixture, &points, 5), "there is no such point");
    assert!(refused(&orthogonal(""), &points, 4), "the data have other features");
    assert!(refused(&fixture, &PathPoints { spec: Value::Null, ..points.clone() }, 4), "nobody knows what was fitted");
    let ended = promote(&fixture.data, &points, &base, 4, &|_| ControlFlow::Break(Leave::Nothing));
    assert_eq!(ended.map(|_| ()), Err(TrainError::Cancelled));
}
