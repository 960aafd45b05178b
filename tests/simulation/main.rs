//! The queue, the leases and the store through whole lives made from seeds (promise D21): same seed, same life.
//!
//! `SPARSEFIT_SEEDS=10000` lives more of them; `SPARSEFIT_SEED=n cargo test --release --test simulation replay` tells one again.

#[path = "../support/postgres.rs"]
mod fixture;
#[allow(dead_code)] // shared with the tests of the store
#[path = "../store/house.rs"]
mod house;

mod deeds;
mod dice;
mod faults;
mod life;
mod planted;
mod spec;
mod state;
mod world;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sparsefit::ambient::Ambient;
use sparsefit::store::Store;

use faults::{Bug, Saboteur};
use world::{Broken, Trace};

/// Directories of lives: in memory where there is a place in memory.
struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let stage = Self { directory: directory.expect("a directory") };
        let first = stage.directory.path().join("first");
        let store = Store::open_simulated(house::config_of(&first), Ambient::system(), Arc::new(Saboteur::new(&[])));
        store.await.expect("an empty store").close().await;
        std::fs::rename(first.join("store.sqlite"), stage.template()).expect("the empty database");
        stage
    }

    fn template(&self) -> PathBuf {
        self.directory.path().join("template")
    }

    async fn live(&self, seed: u64, bug: Bug, aloud: bool) -> Result<Trace, Broken> {
        let place = self.directory.path().join(format!("{seed}"));
        let lived = life::live(seed, bug, &place, &self.template(), aloud).await;
        std::fs::remove_dir_all(&place).expect("the life leaves a directory");
        lived
    }
}

/// One life after another on this thread.
fn alone<T>(work: impl AsyncFnOnce(Stage) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async { work(Stage::new().await).await })
}

/// The first of these seeds that breaks a rule.
fn first_broken(seeds: std::ops::Range<u64>, bug: Bug) -> Option<Broken> {
    alone(async |stage| {
        for seed in seeds {
            if let Err(broken) = stage.live(seed, bug, false).await {
                return Some(broken);
            }
        }
        None
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn tell(broken: &Broken) -> String {
    let Broken { seed, step, complaints } = broken;
    let complaints = complaints.join("\n  ");
    format!("step {step}:\n  {complaints}\nSPARSEFIT_SEED={seed} cargo test --release --test simulation replay -- --nocapture")
}

/// The processors that this process may use.
fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(None).expect("the processors");
    (0..CpuSet::MAX_CPU).filter(|at| allowed.is_set(*at)).collect()
}

/// This thread, and all that it makes from now on: a life is handed from thread to thread with every statement, and each time
/// another processor would have to be woken.
fn stay_on(processor: usize) {
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(None, &only).expect("a processor of ours");
}

#[test]
fn whole_lives_break_no_rule() {
    let seeds = number("SPARSEFIT_SEEDS").unwrap_or(300);
    let next = AtomicU64::new(0);
    const PORTION: u64 = 20;
    std::thread::scope(|scope| {
        for processor in processors() {
            let next = &next;
            scope.spawn(move || {
                stay_on(processor);
                loop {
                    let from = next.fetch_add(PORTION, Ordering::Relaxed);
                    if from >= seeds {
                        return;
                    }
                    if let Some(broken) = first_broken(from..seeds.min(from + PORTION), &[]) {
                        panic!("{}", tell(&broken));
                    }
                }
            });
        }
    });
}

#[test]
fn every_planted_bug_is_found() {
    const ENOUGH: u64 = 2000;
    let missed: Vec<&str> = planted::BUGS
        .iter()
        .filter(|(what, bug)| match first_broken(0..ENOUGH, bug) {
            Some(broken) => {
                println!("{what}: seed {}, {}", broken.seed, broken.complaints[0]);
                let misspelt =
                    broken.complaints.iter().any(|complaint| complaint.contains("syntax error") || complaint.contains("no such"));
                assert!(!misspelt, "the bug is no SQL: {:?}", broken.complaints);
                false
            }
            None => true,
        })
        .map(|(what, _)| *what)
        .collect();
    assert!(planted::BUGS.len() >= 12 && missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn a_seed_is_a_life() {
    alone(async |stage| {
        let mut digests = std::collections::BTreeSet::new();
        for seed in 0..5 {
            let [first, second] = [stage.live(seed, &[], false).await, stage.live(seed, &[], false).await].map(|lived| lived.unwrap());
            assert_eq!((first.digest(), first.steps), (second.digest(), second.steps), "seed {seed}");
            digests.insert(first.digest());
        }
        assert_eq!(digests.len(), 5, "other seeds are other lives");
    });
}

#[test]
fn replay() {
    let Some(seed) = number("SPARSEFIT_SEED") else { return };
    if let Err(broken) = alone(async |stage| stage.live(seed, &[], true).await) {
        panic!("{}", tell(&broken));
    }
}
