//! The store as it should be, written a second time and without SQL: what each verb does to the rows and what it answers.

use std::collections::{BTreeMap, BTreeSet};

use sparsefit::job::Status;

use crate::state::{JobRow, State, VersionRow};

/// Most starts of a job.
pub(crate) const ATTEMPTS: i64 = 3;
/// Stands in the expected rows where the store will make up an id or a file.
pub(crate) const NEW: &str = "new";

/// The right to work on a job, as its holder knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder {
    pub(crate) job: String,
    pub(crate) claim: i64,
}

/// What somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) project: &'static str,
    pub(crate) dataset: String,
    pub(crate) version: i64,
    pub(crate) model: String,
    pub(crate) priority: i64,
    pub(crate) memory: u64,
    /// To be started within so many microseconds.
    pub(crate) within: Option<u64>,
    pub(crate) key: Option<String>,
}

/// How a worker wants a job to end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wish {
    Succeed,
    Fail,
    Cancel,
    HandBack,
    Interrupt,
}

/// What somebody does.
#[derive(Clone, Debug)]
pub(crate) enum Verb {
    Enqueue(Request),
    Claim { owner: String, total: u64, free: u64 },
    Heartbeat { holder: Holder, fraction: f64 },
    Finish { holder: Holder, wish: Wish },
    Rescue { dead: Option<String> },
    Cancel { project: &'static str, job: String },
    CancelAll { project: &'static str },
    DeleteJob { project: &'static str, job: String },
    DeleteAll { project: &'static str },
    AddDataset { project: &'static str, name: String, named: bool },
    DeleteDataset { project: &'static str, name: String, version: i64 },
    DeleteModel { project: &'static str, name: String, version: i64 },
    Sweep,
    Restart,
}

/// What they hear.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Queued,
    /// The job that was queued under this key before.
    Again(String),
    Full,
    DatasetGone,
    Claimed(String),
    Nothing,
    Continue,
    CancelAsked,
    /// The claim is no longer theirs.
    Lost,
    Stored(String),
    Rescued(u64),
    Cancelled,
    Asked,
    AlreadyFinished,
    Absent,
    Done,
    /// So many were meant, and so many of them changed.
    Of(u64, u64),
    InUse,
    Version(i64),
    Swept,
    Reopened,
    /// An error: of the world, or of the store.
    Failed(String),
}

impl Answer {
    /// Whether nothing was done.
    pub(crate) fn is_refusal(&self) -> bool {
        use Answer::{Absent, Again, AlreadyFinished, DatasetGone, Full, InUse, Lost, Nothing};
        matches!(self, Absent | Again(_) | AlreadyFinished | DatasetGone | Full | InUse | Lost | Nothing)
    }
}

/// What the rows do not say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// Last version of each name.
    pub(crate) versions: BTreeMap<(String, &'static str, String), i64>,
    /// Jobs by project and idempotency key.
    pub(crate) keys: BTreeMap<(String, String), String>,
    /// The last claim number of each project that ever had one.
    pub(crate) turns: BTreeMap<String, i64>,
    /// A job that rests, from when, and for how long at most.
    pub(crate) rests: Option<(String, i64, i64)>,
    /// Largest claim number given.
    pub(crate) claims: i64,
}

/// The rules of one store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) lease: i64,
    pub(crate) queue_max: usize,
}

/// The store as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) rules: Rules,
    pub(crate) state: State,
    pub(crate) memory: Memory,
}

impl Spec {
    /// Does it, at this moment.
    pub(crate) fn apply(&mut self, verb: &Verb, now: i64) -> Answer {
        match verb {
            Verb::Enqueue(request) => self.enqueue_once(request, now),
            Verb::Claim { owner, total, free } => self.claim(owner, (*total as i64, *free as i64), now),
            Verb::Heartbeat { holder, fraction } => self.heartbeat(holder, *fraction, now),
            Verb::Finish { holder, wish } => self.finish(holder, *wish, now),
            Verb::Rescue { dead } => Answer::Rescued(self.rescue(now, now, dead.as_deref())),
            Verb::Cancel { project, job } => self.cancel(project, job, now),
            Verb::DeleteJob { project, job } => match self.state.jobs.get(job).filter(|job| job.project == *project) {
                None => Answer::Absent,
                Some(job) if job.alive() => Answer::InUse,
                Some(_) => {
                    self.state.jobs.remove(job);
                    Answer::Done
                }
            },
            Verb::CancelAll { project } => {
                let all: Vec<String> = self.jobs_of(project).collect();
                let cancelled = all.iter().filter(|job| {
                    let asked = self.state.jobs[*job].cancel_requested;
                    matches!(self.cancel(project, job, now), Answer::Cancelled | Answer::Asked)
                        && self.state.jobs[*job].cancel_requested > asked
                });
                let cancelled = cancelled.count() as u64;
                Answer::Of(all.len() as u64, cancelled)
            }
            Verb::DeleteAll { project } => {
                let all: Vec<String> = self.jobs_of(project).collect();
                self.state.jobs.retain(|_, job| job.project != *project || job.alive());
                let left = self.jobs_of(project).count() as u64;
                Answer::Of(all.len() as u64, all.len() as u64 - left)
            }
            Verb::AddDataset { project, name, named } => {
                let version = self.next_version(project, "dataset", name);
                let row = VersionRow { names_blob: named.then(|| NEW.to_owned()), ..new_version(project, name, version) };
                self.state.datasets.insert(NEW.into(), row);
                Answer::Version(version)
            }
            Verb::DeleteDataset { project, name, version } => match find(&self.state.datasets, project, name, *version) {
                None => Answer::Absent,
                Some(id) if self.state.jobs.values().any(|job| job.alive() && job.dataset_id == id) => Answer::InUse,
                Some(id) => {
                    self.state.datasets.remove(&id);
                    Answer::Done
                }
            },
            Verb::DeleteModel { project, name, version } => match find(&self.state.models, project, name, *version) {
                None => Answer::Absent,
                Some(id) => {
                    self.state.models.remove(&id);
                    Answer::Done
                }
            },
            Verb::Sweep => Answer::Swept,
            Verb::Restart => {
                self.rescue(i64::MAX, now, None);
                Answer::Reopened
            }
        }
    }

    fn next_version(&mut self, project: &str, kind: &'static str, name: &str) -> i64 {
        let last = self.memory.versions.entry((project.into(), kind, name.into())).or_default();
        *last += 1;
        *last
    }

    fn jobs_of(&self, project: &str) -> impl Iterator<Item = String> {
        self.state.jobs.values().filter(move |job| job.project == project).map(|job| job.id.clone())
    }

    fn enqueue_once(&mut self, request: &Request, now: i64) -> Answer {
        let slot = request.key.clone().map(|key| (request.project.to_owned(), key));
        if let Some(job) = slot.as_ref().and_then(|slot| self.memory.keys.get(slot)) {
            return Answer::Again(job.clone());
        }
        let answer = self.enqueue(request, now);
        if let (Answer::Queued, Some(slot)) = (&answer, slot) {
            self.memory.keys.insert(slot, NEW.into());
        }
        answer
    }

    fn enqueue(&mut self, request: &Request, now: i64) -> Answer {
        let Request { project, dataset, version, model, priority, memory, within, .. } = request;
        let Some(dataset_id) = find(&self.state.datasets, project, dataset, *version) else { return Answer::DatasetGone };
        if self.state.queued_of(project) >= self.rules.queue_max {
            return Answer::Full;
        }
        let job = JobRow {
            id: NEW.into(),
            project: (*project).into(),
            status: "queued".into(),
            cancel_requested: 0,
            reason: None,
            model: model.clone(),
            dataset_id,
            priority: *priority,
            created_at: now,
            started_at: None,
            finished_at: None,
            attempt: 0,
            max_attempts: ATTEMPTS,
            fraction: 0.0,
            not_before: 0,
            start_deadline: within.map(|within| now + within as i64),
            memory_bytes: *memory as i64,
            claim: 0,
            owner: None,
            lease_until: None,
            revision: 1,
        };
        self.state.jobs.insert(NEW.into(), job);
        Answer::Queued
    }

    /// The job that is next: of the project whose turn is longest ago, the most urgent, of those the oldest, that may start
    /// now and can fit at all.
    fn next(&self, total: i64, now: i64) -> Option<&JobRow> {
        let waiting = || self.state.jobs.values().filter(|job| job.is(Status::Queued));
        let mut projects: Vec<&String> = waiting().map(|job| &job.project).collect::<BTreeSet<_>>().into_iter().collect();
        projects.sort_by_key(|project| (self.memory.turns.get(*project).copied().unwrap_or(0), *project));
        let ready = |job: &&JobRow| job.not_before <= now && job.start_deadline.is_none_or(|last| last > now) && job.memory_bytes <= total;
        let first = |project: &&String| {
            let of_project = waiting().filter(|job| job.project == **project).filter(ready);
            of_project.min_by_key(|job| (-job.priority, job.created_at, &job.id))
        };
        projects.iter().find_map(first)
    }

    fn claim(&mut self, owner: &str, (total, free): (i64, i64), now: i64) -> Answer {
        // who is next is waited for when it does not fit yet
        let Some(id) = self.next(total, now).filter(|job| job.memory_bytes <= free).map(|job| job.id.clone()) else {
            return Answer::Nothing;
        };
        let job = self.state.jobs.get_mut(&id).expect("found above");
        job.status = "running".into();
        (job.owner, job.lease_until, job.started_at) = (Some(owner.into()), Some(now + self.rules.lease), Some(now));
        job.start_deadline = None;
        job.attempt += 1;
        Answer::Claimed(id)
    }

    /// The job of a claim, if the claim is still its own.
    fn held(&mut self, holder: &Holder) -> Option<&mut JobRow> {
        self.state.jobs.get_mut(&holder.job).filter(|job| job.is(Status::Running) && job.claim == holder.claim)
    }

    fn heartbeat(&mut self, holder: &Holder, fraction: f64, now: i64) -> Answer {
        let lease = self.rules.lease;
        let Some(job) = self.held(holder) else { return Answer::Lost };
        job.lease_until = Some(now + lease);
        job.fraction = job.fraction.max(fraction);
        if job.cancel_requested == 1 { Answer::CancelAsked } else { Answer::Continue }
    }

    fn finish(&mut self, holder: &Holder, wish: Wish, now: i64) -> Answer {
        let Some(job) = self.held(holder) else { return self.ended_before(holder, wish) };
        (job.owner, job.lease_until) = (None, None);
        let mut rests = None;
        match wish {
            _ if job.cancel_requested == 1 => job.end("cancelled", Some("user"), now),
            Wish::Cancel => job.end("cancelled", Some("user"), now),
            Wish::Fail => job.end("failed", None, now),
            Wish::Interrupt if job.attempt >= job.max_attempts => job.end("failed", Some("attempts_exhausted"), now),
            Wish::Interrupt => {
                (job.status, job.started_at) = ("queued".into(), None);
                rests = Some((job.id.clone(), now, 1_000_000 << (job.attempt - 1)));
            }
            Wish::HandBack => {
                (job.status, job.started_at) = ("queued".into(), None);
                job.attempt -= 1;
            }
            Wish::Succeed => {
                job.end("succeeded", None, now);
                job.fraction = 1.0;
            }
        }
        let ended = job.clone();
        self.memory.rests = rests;
        if ended.is(Status::Succeeded) {
            let version = self.next_version(&ended.project, "model", &ended.model);
            let names_blob = self.state.datasets[&ended.dataset_id].names_blob.clone();
            let row = VersionRow { job: Some(ended.id), names_blob, ..new_version(&ended.project, &ended.model, version) };
            self.state.models.insert(NEW.into(), row);
        }
        Answer::Stored(ended.status)
    }

    /// An ending whose answer was lost is found when it is brought again.
    fn ended_before(&self, holder: &Holder, wish: Wish) -> Answer {
        let Some(job) = self.state.jobs.get(&holder.job).filter(|job| job.claim == holder.claim) else { return Answer::Lost };
        match (job.status(), wish) {
            (Status::Cancelled, _) | (Status::Succeeded, Wish::Succeed) => Answer::Stored(job.status.clone()),
            (Status::Failed, Wish::Fail) if job.reason.is_none() => Answer::Stored(job.status.clone()),
            _ => Answer::Lost,
        }
    }

    fn rescue(&mut self, expired_by: i64, now: i64, dead: Option<&str>) -> u64 {
        let mut rescued = 0;
        for job in self.state.jobs.values_mut().filter(|job| job.is(Status::Queued)) {
            if job.start_deadline.is_some_and(|last| last <= now) {
                job.end("failed", Some("start_deadline"), now);
                rescued += 1;
            }
        }
        for job in self.state.jobs.values_mut().filter(|job| job.is(Status::Running)) {
            let expired = job.lease_until.is_some_and(|until| until <= expired_by);
            if !expired && (dead.is_none() || job.owner.as_deref() != dead) {
                continue;
            }
            rescued += 1;
            (job.owner, job.lease_until) = (None, None);
            if job.cancel_requested == 1 {
                job.end("cancelled", Some("user"), now);
            } else if job.attempt >= job.max_attempts {
                job.end("failed", Some("attempts_exhausted"), now);
            } else {
                (job.status, job.started_at) = ("queued".into(), None);
            }
        }
        rescued
    }

    fn cancel(&mut self, project: &str, id: &str, now: i64) -> Answer {
        let Some(job) = self.state.jobs.get_mut(id).filter(|job| job.project == project) else { return Answer::Absent };
        match job.status() {
            Status::Queued => {
                job.end("cancelled", Some("user"), now);
                job.cancel_requested = 1;
                Answer::Cancelled
            }
            Status::Running => {
                job.cancel_requested = 1;
                Answer::Asked
            }
            Status::Cancelled => Answer::Cancelled,
            Status::Succeeded | Status::Failed => Answer::AlreadyFinished,
        }
    }

    /// Where the rows found differ from those expected; names made up by the store, and revisions, are taken as they are.
    pub(crate) fn compare(&mut self, found: &State) -> Vec<String> {
        let mut complaints = adopt(&mut self.state.datasets, &found.datasets);
        complaints.extend(adopt(&mut self.state.models, &found.models));
        if let Some(job) = self.state.jobs.remove(NEW) {
            match found.jobs.keys().find(|id| !self.state.jobs.contains_key(*id)) {
                Some(id) => {
                    self.state.jobs.insert(id.clone(), JobRow { id: id.clone(), ..job });
                    self.memory.keys.values_mut().filter(|job| *job == NEW).for_each(|job| job.clone_from(id));
                }
                None => complaints.push("a job that was acknowledged is not there".into()),
            }
        }
        if let Some((id, now, most)) = self.memory.rests.take()
            && let (Some(job), Some(row)) = (self.state.jobs.get_mut(&id), found.jobs.get(&id))
            && (now..=now + most).contains(&row.not_before)
        {
            job.not_before = row.not_before;
        }
        for (id, job) in &mut self.state.jobs {
            let Some(row) = found.jobs.get(id) else { continue };
            job.revision = row.revision;
            if job.claim != row.claim && job.is(Status::Running) {
                if row.claim <= self.memory.claims {
                    complaints.push(format!("claim number {} of {id} was given before", row.claim));
                }
                (job.claim, self.memory.claims) = (row.claim, self.memory.claims.max(row.claim));
                self.memory.turns.insert(job.project.clone(), row.claim);
            }
        }
        let ids: BTreeSet<&String> = self.state.jobs.keys().chain(found.jobs.keys()).collect();
        let (expected, is) = (&self.state.jobs, &found.jobs);
        let differ = ids.into_iter().filter(|id| expected.get(*id) != is.get(*id));
        complaints.extend(differ.map(|id| format!("{id} should be {:?} and is {:?}", expected.get(id), is.get(id))));
        complaints
    }
}

impl JobRow {
    fn end(&mut self, status: &str, reason: Option<&str>, now: i64) {
        (self.status, self.reason, self.finished_at) = (status.into(), reason.map(str::to_owned), Some(now));
    }
}

/// A row whose id and file the store makes up.
fn new_version(project: &str, name: &str, version: i64) -> VersionRow {
    VersionRow { id: NEW.into(), project: project.into(), name: name.into(), version, job: None, blob: NEW.into(), names_blob: None }
}

fn find(rows: &BTreeMap<String, VersionRow>, project: &str, name: &str, version: i64) -> Option<String> {
    let row = rows.values().find(|row| row.project == project && row.name == name && row.version == version);
    row.map(|row| row.id.clone())
}

/// Gives the expected new row the names that the store made up, then compares.
fn adopt(expected: &mut BTreeMap<String, VersionRow>, found: &BTreeMap<String, VersionRow>) -> Vec<String> {
    if let Some(mut row) = expected.remove(NEW) {
        if let Some(made) = found.values().find(|made| !expected.contains_key(&made.id)) {
            (row.id, row.blob) = (made.id.clone(), made.blob.clone());
            if row.names_blob.as_deref() == Some(NEW) {
                row.names_blob.clone_from(&made.names_blob);
            }
        }
        expected.insert(row.id.clone(), row);
    }
    if expected == found { Vec::new() } else { vec![format!("the versions should be {expected:?} and are {found:?}")] }
}
