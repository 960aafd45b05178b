//! A fit that is interrupted: handed back, or lost with its worker; what it had done is not done again.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use tokio::sync::watch;

use super::*;
use crate::store::Claim;
use crate::train::Done;

const LAMBDAS: usize = 20;

/// A path of many λ with cross-validation, on the real solver.
fn long_path() -> Value {
    json!({"lambda": {"mode": "path", "n": LAMBDAS, "min_ratio": 1e-3}, "selection": {"method": "cv", "folds": 2}})
}

impl House {
    fn files(&self) -> Vec<PathBuf> {
        let blobs = self._directory.path().join("data").join("blobs");
        let finished = |path: &PathBuf| path.extension().is_none();
        std::fs::read_dir(blobs).unwrap().map(|entry| entry.unwrap().path()).filter(finished).collect()
    }

    /// The model of the only version there is, as its file has it but for nothing.
    async fn encoded(&self) -> Vec<u8> {
        let row = self.store.model(P, "m", None).await.unwrap().unwrap();
        self.store.open_model(&row).await.unwrap().model.encode()
    }

    /// What the fit of `job` gives when nobody interrupts it.
    async fn alone(&self, job: &Job) -> Vec<u8> {
        let dataset = self.store.open_dataset(&self.dataset).await.unwrap();
        let spec = serde_json::from_value(job.spec_resolved.clone()).unwrap();
        train::fit(&dataset, &spec, &Run::new(1, &|_| ControlFlow::Continue(()))).unwrap().encode()
    }

    /// The real fit, which counts the λ it does and waits to be stopped once `after` are done.
    fn real(&self, after: usize, reached: impl Fn() + Send + Sync + 'static) -> (Worker, Arc<AtomicUsize>) {
        let counted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&counted);
        let fit = move |dataset: &Dataset, spec: &ResolvedFit, run: &Run<'_>| {
            let keep = |done: Done| {
                (run.keep)(done);
                if count.fetch_add(1, Ordering::Relaxed) + 1 == after {
                    reached();
                    while (run.observe)(&Progress::default()).is_continue() {
                        std::thread::yield_now();
                    }
                }
            };
            let run = Run { resume: run.resume.clone(), keep: &keep, ..Run::new(1, run.observe) };
            train::fit(dataset, spec, &run)
        };
        (Worker { keep_every: Duration::ZERO, ..self.worker(fit) }, counted)
    }

    /// The real fit to its end; how many λ it did.
    async fn to_the_end(&self) -> usize {
        let (worker, counted) = self.real(usize::MAX, || ());
        assert_eq!(self.step(&worker).await, Worked::Job);
        counted.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_handed_back_goes_on_where_it_was_and_spends_no_attempt() {
    let house = House::new().await;
    let job = house.submit_fit(0, long_path()).await;
    let mut before = 0;
    // within the path, at its end, within the first fold, within the second
    for after in [7, LAMBDAS - 7, 5, LAMBDAS] {
        let (stop, stopping) = watch::channel(false);
        let (worker, counted) = house.real(after, move || {
            stop.send_replace(true);
        });
        assert_eq!(step(&worker, &mut Stopping::when(stopping)).await.unwrap(), Worked::Job);
        assert_eq!(counted.load(Ordering::Relaxed), after);
        let back = house.job(&job).await;
        assert_eq!((back.status, back.attempt), (Status::Queued, 0));
        before += after;
    }
    assert_eq!(house.to_the_end().await, 3 * LAMBDAS - before);
    let ended = house.job(&job).await;
    assert_eq!((ended.status, ended.attempt), (Status::Succeeded, 1));
    assert_eq!(house.encoded().await, house.alone(&job).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_worker_is_lost_goes_on_from_what_was_stored() {
    let house = House::with_lease(Duration::ZERO).await;
    let job = house.submit_fit(0, long_path()).await;
    let reached = Arc::new(AtomicBool::new(false));
    let at = Arc::clone(&reached);
    let (worker, _) = house.real(LAMBDAS + 3, move || at.store(true, Ordering::Relaxed));
    let ((), worked) = tokio::join!(
        async {
            let claim = Claim { job: house.job(&job).await, number: 0, dataset: house.dataset.clone() };
            while !reached.load(Ordering::Relaxed) || house.store.checkpoints(&claim).await.unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            assert_eq!(house.store.rescue(None).await.unwrap(), 1);
        },
        house.step(&worker)
    );
    assert_eq!((worked, house.job(&job).await.status), (Worked::Job, Status::Queued));
    let left = house.to_the_end().await;
    assert!((2 * LAMBDAS - 3..3 * LAMBDAS).contains(&left), "{left} λ were left");
    assert_eq!(house.job(&job).await.attempt, 2);
    assert_eq!(house.encoded().await, house.alone(&job).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_is_damaged_costs_time_and_nothing_else() {
    let house = House::new().await;
    let job = house.submit_fit(0, long_path()).await;
    let before = house.files();
    let (stop, stopping) = watch::channel(false);
    let (worker, _) = house.real(LAMBDAS, move || {
        stop.send_replace(true);
    });
    step(&worker, &mut Stopping::when(stopping)).await.unwrap();
    for file in house.files().into_iter().filter(|file| !before.contains(file)) {
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }
    assert_eq!(house.to_the_end().await, 3 * LAMBDAS, "all of it again");
    assert_eq!(house.job(&job).await.status, Status::Succeeded);
    assert_eq!(house.encoded().await, house.alone(&job).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_best_there_is_when_the_time_is_up_is_a_model_when_that_was_asked_for() {
    for (on_limit, path, status) in
        [("keep_best", 5, Status::Succeeded), ("keep_best", LAMBDAS + 3, Status::Succeeded), ("fail", LAMBDAS + 3, Status::Failed)]
    {
        let house = House::new().await;
        let mut spec = long_path();
        spec["limits"] = json!({"max_runtime_s": 0.05, "on_limit": on_limit});
        let job = house.submit_fit(0, spec).await;
        // waits for the limit once so many λ are done
        let (worker, _) = house.real(path, || ());
        house.step(&worker).await;
        let ended = house.job(&job).await;
        assert_eq!(ended.status, status);
        match ended.result {
            Some(result) => {
                assert_eq!(result["converged"], json!(false));
                let warning = ended.warnings.iter().find(|warning| warning.code == "time_limit").unwrap();
                assert!(warning.detail.contains(if path < LAMBDAS { "5 of 20 values of λ" } else { "0 of 2 folds" }), "{warning:?}");
                assert!(ended.error.is_none());
                let row = house.store.model(P, "m", None).await.unwrap().unwrap();
                assert_eq!(house.store.open_model(&row).await.unwrap().model.linear().unwrap().path.len(), path.min(LAMBDAS));
            }
            None => {
                assert_eq!((ended.error.unwrap().code.as_str(), ended.reason), ("time_limit_exceeded", Some(Reason::TimeLimit)));
                assert!(house.store.model(P, "m", None).await.unwrap().is_none());
            }
        }
    }
}
