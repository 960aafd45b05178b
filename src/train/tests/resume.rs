//! A fit that was interrupted ends with the same bits as one that was not.

use std::collections::HashSet;

use super::*;

/// Small numbers from a fixed generator.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// What is kept of a fit: stored parts, and the λ that were done for them.
#[derive(Default)]
struct Kept {
    parts: Vec<Vec<u8>>,
    done: Vec<(usize, Option<usize>, usize)>,
}

/// Fits from what is kept until the `after`-th look, and keeps what was done. A part is stored with every third λ.
fn fit_for(fixture: &Fixture, spec: &ResolvedFit, threads: usize, kept: &mut Kept, after: u64) -> Result<LinearModel, TrainError> {
    let fingerprint = fingerprint(&fixture.data, spec);
    let calls = AtomicU64::new(0);
    let observe = |_: &Progress| match calls.fetch_add(1, Ordering::Relaxed) >= after {
        true => ControlFlow::Break(Leave::Nothing),
        false => ControlFlow::Continue(()),
    };
    let resume = Some(Checkpoint::read(&kept.parts, &fixture.data, spec).expect("what was stored is understood"));
    let state = Mutex::new((kept, Part::default()));
    let keep = |done: Done| {
        let mut state = state.lock().expect("no panic");
        let (kept, part) = &mut *state;
        kept.done.push(match &done {
            Done::Path { arm, index, .. } => (*arm, None, *index),
            Done::Fold { arm, fold, index, .. } => (*arm, Some(*fold), *index),
            // told apart from the λ of a path or a fold
            Done::Resample { arm, resample, .. } => (*arm, Some(*resample), usize::MAX),
        });
        part.add(done);
        if kept.done.len().is_multiple_of(3) {
            let part = std::mem::take(part);
            assert!(part.encode(&fingerprint).len() <= part.size());
            kept.parts.push(part.encode(&fingerprint));
        }
    };
    let result = fit(&fixture.data, spec, &Run { resume, keep: &keep, ..Run::new(threads, &observe) });
    let (kept, part) = state.into_inner().expect("no panic");
    // a fit that is handed back stores what it has; one that is killed does not
    if after.is_multiple_of(2) && !part.is_empty() {
        kept.parts.push(part.encode(&fingerprint));
    }
    result
}

fn looks(fixture: &Fixture, spec: &ResolvedFit) -> u64 {
    let calls = AtomicU64::new(0);
    let observe = |_: &Progress| {
        calls.fetch_add(1, Ordering::Relaxed);
        ControlFlow::Continue(())
    };
    fit(&fixture.data, spec, &Run::new(1, &observe)).expect("a model");
    calls.into_inner()
}

fn specs() -> Vec<(Fixture, ResolvedFit)> {
    let cv = || ResolvedFit { lambda: Lambda::Path { n: 12, min_ratio: 1e-3 }, ..path_with_cv(Rule::Min) };
    let path = || ResolvedFit { selection: Selection::None, ..cv() };
    let values = ResolvedFit { lambda: Lambda::Values { values: vec![1.0, 0.3, 0.01] }, ..cv() };
    let mut factored = cv();
    factored.penalty.factors.insert("1".into(), 0.0);
    let mut net = path();
    net.penalty.l1_ratio = L1Ratio::One(0.5);
    let squared = || noisy(|signal| signal.to_string());
    let classes = || noisy(|signal| if signal > 0.3 { "1".into() } else { "0".into() });
    let of_classes = |spec: ResolvedFit| ResolvedFit { loss: logistic(Class::Number(1.0)), ..spec };
    let target = ResolvedFit { lambda: Lambda::TargetNonzeros { k: 2 }, ..spec() };
    let mut all = vec![
        (squared(), path()),
        (squared(), cv()),
        (squared(), values),
        (squared(), factored.clone()),
        (squared(), net),
        (squared(), target),
        (classes(), of_classes(path())),
        (classes(), of_classes(cv())),
        (classes(), of_classes(factored)),
    ];
    all.extend(selection::interesting());
    all.extend(stability::interesting());
    all
}

#[test]
fn a_fit_that_was_interrupted_ends_with_the_bits_of_one_that_was_not() {
    let mut dice = Dice(20);
    for (which, (fixture, spec)) in specs().into_iter().enumerate() {
        let whole = run(&fixture, &spec).expect("a model").encode();
        let looks = looks(&fixture, &spec);
        for interruptions in 0..=5 {
            for threads in [1, 2] {
                let mut kept = Kept::default();
                for _ in 0..interruptions {
                    if fit_for(&fixture, &spec, threads, &mut kept, dice.below(looks)).is_ok() {
                        break;
                    }
                }
                let model = fit_for(&fixture, &spec, 3 - threads, &mut kept, u64::MAX).expect("a model");
                assert!(model.encode() == whole, "case {which}, {interruptions} interruptions, {threads} threads");
            }
        }
    }
}

#[test]
fn what_is_done_is_not_done_again() {
    for (fixture, spec) in specs() {
        let looks = looks(&fixture, &spec);
        let mut kept = Kept::default();
        // an even number of looks: all that was done is stored
        for part in 1..=4 {
            let _ = fit_for(&fixture, &spec, 1, &mut kept, (looks * part / 5) & !1);
        }
        fit_for(&fixture, &spec, 1, &mut kept, u64::MAX - 1).expect("a model");
        let once: HashSet<_> = kept.done.iter().collect();
        assert_eq!(once.len(), kept.done.len(), "{:?}", kept.done);
        let before = Checkpoint::read(&kept.parts, &fixture.data, &spec).expect("understood");
        assert_eq!(before.done() + before.done_in_folds() + before.resamples_done(), kept.done.len());
        let mut again = Kept { parts: kept.parts, ..Kept::default() };
        fit_for(&fixture, &spec, 1, &mut again, u64::MAX).expect("a model");
        assert_eq!(again.done, [], "a fit that had only to be finished");
    }
}

#[test]
fn progress_goes_on_where_it_was() {
    let (fixture, spec) = specs().swap_remove(1);
    let mut kept = Kept::default();
    let _ = fit_for(&fixture, &spec, 1, &mut kept, looks(&fixture, &spec) / 4 * 2);
    let resume = Checkpoint::read(&kept.parts, &fixture.data, &spec).expect("understood");
    let done = resume.done();
    assert!(done > 0);
    let first = Mutex::new(None);
    let observe = |progress: &Progress| {
        first.lock().expect("no panic").get_or_insert_with(|| progress.clone());
        ControlFlow::Continue(())
    };
    fit(&fixture.data, &spec, &Run { resume: Some(resume), ..Run::new(1, &observe) }).expect("a model");
    let first = first.into_inner().expect("no panic").expect("told");
    assert_eq!(first.steps[1].done, done as u64);
    assert!(first.fraction > 0.0);
}

#[test]
fn what_does_not_belong_here_is_refused() {
    let (fixture, spec) = specs().swap_remove(1);
    let mut kept = Kept::default();
    fit_for(&fixture, &spec, 1, &mut kept, u64::MAX - 1).expect("a model");
    let read = |parts: &[Vec<u8>]| Checkpoint::read(parts, &fixture.data, &spec).map(|_| ());
    assert_eq!(read(&kept.parts), Ok(()));
    assert_eq!(read(&[]), Ok(()));
    assert!(kept.parts.len() > 10);
    // another data set, another specification
    let other = noisy(|signal| (2.0 * signal).to_string());
    assert!(Checkpoint::read(&kept.parts, &other.data, &spec).is_err());
    let sharper = ResolvedFit { solver: Solver { tol: 1e-12, ..spec.solver.clone() }, ..spec.clone() };
    assert!(Checkpoint::read(&kept.parts, &fixture.data, &sharper).is_err());
    // a part that is missing, twice there, cut off, too long, of another version
    assert!(read(&kept.parts[1..]).is_err());
    assert!(read(&[kept.parts[0].clone(), kept.parts[0].clone()]).is_err());
    let change = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut parts = kept.parts.clone();
        change(&mut parts[3]);
        read(&parts)
    };
    for length in 0..kept.parts[3].len() {
        assert!(change(&|part| part.truncate(length)).is_err(), "{length}");
    }
    assert!(change(&|part| part.push(0)).is_err());
    assert!(change(&|part| part[7] = b'1').is_err());
    // a length that nothing could hold is noticed before it is believed
    let first_point = 8 + 32 + 32 + 7 * 8;
    assert!(change(&|part| part[first_point..first_point + 8].fill(0xff)).is_err());
}
