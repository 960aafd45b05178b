//! One life: a store, workers in two processes, clients of two projects, a clock and a saboteur, all from one seed.
//!
//! Each step somebody does something; then the rows are compared with the specification, and with themselves before.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sparsefit::id::{Id, Kind};
use sparsefit::job::Status;
use sparsefit::model::Model;
use sparsefit::store::simulation::Place;
use sparsefit::store::{Claim, Store, StoreConfig, StoreError};
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use crate::dice::{Dice, Wall, ambient};
use crate::faults::{Bug, Saboteur};
use crate::house;
use crate::spec::{Answer, Holder, Memory, Rules, Spec, Verb};
use crate::state::{self, JobRow, State};

/// A seed that broke a rule.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) seed: u64,
    pub(crate) step: usize,
    pub(crate) complaints: Vec<String>,
}

/// What was done and heard, in words or only counted.
#[derive(Default)]
pub(crate) struct Trace {
    /// Print each line.
    pub(crate) aloud: bool,
    pub(crate) steps: usize,
    hasher: DefaultHasher,
}

impl Trace {
    fn say(&mut self, line: &str) {
        line.hash(&mut self.hasher);
        self.steps += 1;
        if self.aloud {
            println!("{:4} {line}", self.steps);
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.hasher.finish()
    }
}

/// Everything of one life.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) wall: Wall,
    /// The latest time the clock ever showed.
    pub(crate) latest: i64,
    pub(crate) spec: Spec,
    /// Claims as the store handed them out, those of the dead included.
    pub(crate) claims: BTreeMap<Holder, Claim>,
    /// Jobs whose submission was acknowledged, and whose deletion was not.
    pub(crate) acknowledged: BTreeSet<String>,
    /// Jobs whose cancel was acknowledged.
    pub(crate) promised: BTreeSet<String>,
    pub(crate) trace: Trace,
    pub(crate) seed: u64,
    /// One in so many hundred steps is sabotaged.
    pub(crate) sabotage: usize,
    pub(crate) saboteur: Arc<Saboteur>,
    pub(crate) model: Arc<Model>,
    store: Store,
    config: StoreConfig,
    data_dir: PathBuf,
    rows: SqliteConnection,
}

impl World {
    /// Opens a store on the empty database of `template`.
    pub(crate) async fn begin(seed: u64, bug: Bug, data_dir: &Path, template: &Path, aloud: bool) -> Self {
        let mut dice = Dice::new(seed);
        let wall = Wall::new();
        let rules = Rules { lease: 10_000_000, queue_max: 2 + dice.below(9) };
        std::fs::create_dir_all(data_dir).expect("a directory");
        std::fs::copy(template, data_dir.join("store.sqlite")).expect("a copy of the template");
        let lease = Duration::from_micros(rules.lease.unsigned_abs());
        let config = StoreConfig { lease, queue_max: rules.queue_max as u64, ..house::config_of(data_dir) };
        let saboteur = Arc::new(Saboteur::new(bug));
        let store =
            Store::open_simulated(config.clone(), ambient(&wall, seed), saboteur.clone()).await.expect("the template can be opened");
        let rows = state::connect(data_dir).await;
        Self {
            latest: wall.now(),
            spec: Spec { rules, state: State::default(), memory: Memory::default() },
            claims: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            promised: BTreeSet::new(),
            trace: Trace { aloud, ..Trace::default() },
            seed,
            sabotage: 8,
            model: house::model(),
            data_dir: data_dir.to_owned(),
            dice,
            wall,
            saboteur,
            store,
            config,
            rows,
        }
    }

    pub(crate) fn now(&self) -> i64 {
        self.wall.now()
    }

    pub(crate) fn move_clock(&mut self, micros: i64) {
        self.wall.move_by(micros);
        self.latest = self.latest.max(self.wall.now());
        self.trace.say(&format!("the clock moves by {micros}"));
    }

    /// Somebody does something; what they hear, or what is broken.
    pub(crate) async fn step(&mut self, verb: &Verb) -> Result<Answer, Broken> {
        let was = self.spec.clone();
        let mut expected = self.spec.apply(verb, self.now());
        self.arm();
        let heard = self.perform(verb).await;
        let struck = self.saboteur.disarm().filter(|_| !matches!(verb, Verb::Restart));
        match struck {
            Some(Place::Answer) => expected = Answer::Failed("simulated".into()),
            Some(_) => (self.spec, expected) = (was.clone(), Answer::Failed("simulated".into())),
            None => {}
        }
        let after = State::read(&mut self.rows).await;
        self.trace.say(&format!("{} {verb:?} → {heard:?} {struck:?}", self.now()));
        let mut complaints = self.spec.compare(&after);
        complaints.extend(state::complaints(&was.state, &after));
        if heard != expected {
            complaints.push(format!("{verb:?} should answer {expected:?} and answers {heard:?}"));
        }
        if heard.is_refusal() && after != was.state {
            complaints.push(format!("{heard:?} should change nothing"));
        }
        complaints.extend(self.broken_promises(verb, &heard, &was.state, &after));
        if heard == Answer::Swept {
            complaints.extend(self.files_against(&after));
        }
        self.spec.state = after;
        if complaints.is_empty() { Ok(heard) } else { Err(self.broken(complaints)) }
    }

    pub(crate) fn broken(&self, complaints: Vec<String>) -> Broken {
        Broken { seed: self.seed, step: self.trace.steps, complaints }
    }

    fn arm(&mut self) {
        if self.dice.chance(self.sabotage) {
            let place = [Place::Begin, Place::Statement, Place::Statement, Place::Commit, Place::Answer][self.dice.below(5)];
            let passing = if place == Place::Statement { self.dice.below(6) } else { 0 };
            self.saboteur.arm(place, passing);
        }
    }

    /// What was acknowledged stays so, whatever else happens.
    fn broken_promises(&mut self, verb: &Verb, heard: &Answer, before: &State, after: &State) -> Vec<String> {
        let new = after.jobs.keys().filter(|id| !before.jobs.contains_key(*id));
        match (verb, heard) {
            (Verb::Enqueue(_), Answer::Queued) => self.acknowledged.extend(new.cloned()),
            (Verb::DeleteJob { job, .. }, _) if !after.jobs.contains_key(job) => _ = self.acknowledged.remove(job),
            (Verb::DeleteAll { .. }, _) => self.acknowledged.retain(|job| before.jobs.get(job).is_none_or(JobRow::alive)),
            (Verb::CancelAll { project }, Answer::Of(..)) => {
                self.promised.extend(before.jobs.values().filter(|job| job.project == *project && job.alive()).map(|job| job.id.clone()));
            }
            (Verb::Cancel { job, .. }, Answer::Asked | Answer::Cancelled) => _ = self.promised.insert(job.clone()),
            _ => {}
        }
        let lost = self.acknowledged.iter().filter(|id| !after.jobs.contains_key(*id));
        let mut complaints: Vec<String> = lost.map(|id| format!("{id} was acknowledged and is lost")).collect();
        let ended = self.promised.iter().filter_map(|id| after.jobs.get(id)).filter(|job| !job.alive() && !job.is(Status::Cancelled));
        complaints.extend(ended.map(|job| format!("{} was to be cancelled and {}", job.id, job.status)));
        complaints
    }

    /// After a sweep every row has its file, and every file of the past its row.
    fn files_against(&self, rows: &State) -> Vec<String> {
        let listed = std::fs::read_dir(self.data_dir.join("blobs")).expect("the directory of files");
        let there: BTreeSet<String> = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let named = rows.files();
        let past = |name: &String| Id::parse(Kind::Blob, name).is_none_or(|id| id.created_millis() <= self.now() / 1000);
        let left_over = there.difference(&named).filter(|name| past(name)).map(|name| format!("{name} was not swept"));
        named.difference(&there).map(|name| format!("{name} has a row and is gone")).chain(left_over).collect()
    }

    /// Closes the store and opens it again, as a new process would.
    pub(crate) async fn reopen(&mut self) -> Result<(), StoreError> {
        self.store.close().await;
        self.store = Store::open_simulated(self.config.clone(), self.store.ambient().clone(), self.saboteur.clone()).await?;
        Ok(())
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Closes everything.
    pub(crate) async fn end(self) -> Trace {
        self.store.close().await;
        // a connection that does not close goes with its thread
        let _ = self.rows.close().await;
        self.trace
    }
}
