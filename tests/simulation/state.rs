//! The rows as they lie in the database, read past the store; and what must hold between any two looks at them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use sparsefit::job::Status;
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

/// A row of a job, as far as the queue cares.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct JobRow {
    pub(crate) id: String,
    pub(crate) project: String,
    pub(crate) status: String,
    pub(crate) cancel_requested: i64,
    pub(crate) reason: Option<String>,
    pub(crate) model: String,
    pub(crate) dataset_id: String,
    pub(crate) priority: i64,
    pub(crate) created_at: i64,
    pub(crate) started_at: Option<i64>,
    pub(crate) finished_at: Option<i64>,
    pub(crate) attempt: i64,
    pub(crate) max_attempts: i64,
    pub(crate) fraction: f64,
    pub(crate) not_before: i64,
    pub(crate) start_deadline: Option<i64>,
    pub(crate) memory_bytes: i64,
    pub(crate) claim: i64,
    pub(crate) owner: Option<String>,
    pub(crate) lease_until: Option<i64>,
    pub(crate) revision: i64,
}

impl JobRow {
    pub(crate) fn status(&self) -> Status {
        Status::parse(&self.status).unwrap_or_else(|| panic!("{:?} is no status", self.status))
    }

    pub(crate) fn is(&self, status: Status) -> bool {
        self.status == status.as_str()
    }

    pub(crate) fn alive(&self) -> bool {
        !self.status().is_final()
    }
}

/// A row of a data set or of a model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct VersionRow {
    pub(crate) id: String,
    pub(crate) project: String,
    pub(crate) name: String,
    pub(crate) version: i64,
    /// The job of a model.
    pub(crate) job: Option<String>,
    pub(crate) blob: String,
    pub(crate) names_blob: Option<String>,
}

/// Everything there is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) jobs: BTreeMap<String, JobRow>,
    pub(crate) datasets: BTreeMap<String, VersionRow>,
    pub(crate) models: BTreeMap<String, VersionRow>,
}

/// An own connection to the database of the store.
pub(crate) async fn connect(data_dir: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(data_dir.join("store.sqlite")).read_only(true);
    SqliteConnection::connect_with(&options).await.expect("the database is there")
}

/// All rows in one: each column of the structs above, in their order. What is read after every step must be cheap, and what costs is
/// each row that is handed from the connection's thread to ours.
const EVERYTHING: &str = "SELECT \
    (SELECT json_group_array(json_array(id, project, status, cancel_requested, reason, model, dataset_id, priority, created_at, started_at, \
     finished_at, attempt, max_attempts, fraction, not_before, start_deadline, memory_bytes, claim, owner, lease_until, revision)) FROM jobs), \
    (SELECT json_group_array(json_array(id, project, name, version, NULL, blob, names_blob)) FROM datasets), \
    (SELECT json_group_array(json_array(id, project, name, version, job_id, blob, names_blob)) FROM models)";

impl State {
    pub(crate) async fn read(connection: &mut SqliteConnection) -> Self {
        let read = sqlx::query_as::<_, (String, String, String)>(EVERYTHING).fetch_one(connection);
        let (jobs, datasets, models) = read.await.expect("the rows can be read");
        let versions = |text: &str| rows::<VersionRow>(text).into_iter().map(|row| (row.id.clone(), row)).collect();
        Self {
            jobs: rows::<JobRow>(&jobs).into_iter().map(|row| (row.id.clone(), row)).collect(),
            datasets: versions(&datasets),
            models: versions(&models),
        }
    }

    /// Names of the files that rows refer to.
    pub(crate) fn files(&self) -> BTreeSet<String> {
        let rows = self.datasets.values().chain(self.models.values());
        rows.flat_map(|row| [Some(row.blob.clone()), row.names_blob.clone()]).flatten().collect()
    }

    pub(crate) fn queued_of(&self, project: &str) -> usize {
        self.jobs.values().filter(|job| job.project == project && job.is(Status::Queued)).count()
    }
}

fn rows<T: for<'r> Deserialize<'r>>(text: &str) -> Vec<T> {
    serde_json::from_str(text).expect("rows are arrays of columns")
}

/// What must hold of every step, whatever it was; knows the transition table and nothing of the verbs.
pub(crate) fn complaints(before: &State, after: &State) -> Vec<String> {
    let mut found: Vec<String> = after.jobs.values().flat_map(|job| of_row(job, after)).collect();
    for (id, was) in &before.jobs {
        match after.jobs.get(id) {
            Some(is) => found.extend(of_change(was, is)),
            None if was.alive() => found.push(format!("{id} was {} and is lost", was.status)),
            None => {}
        }
    }
    for model in after.models.values().filter(|model| !before.models.contains_key(&model.id)) {
        let job = model.job.as_ref().and_then(|job| after.jobs.get(job));
        let then = model.job.as_ref().and_then(|job| before.jobs.get(job));
        if !job.is_some_and(|job| job.is(Status::Succeeded)) || !then.is_some_and(|job| job.is(Status::Running)) {
            found.push(format!("{} came without the success of its job", model.id));
        }
    }
    let claims: Vec<i64> = after.jobs.values().map(|job| job.claim).filter(|claim| *claim > 0).collect();
    if claims.iter().collect::<BTreeSet<_>>().len() < claims.len() {
        found.push("two jobs have one claim number".into());
    }
    let mut jobs = BTreeSet::new();
    found.extend(after.models.values().filter(|model| !jobs.insert(&model.job)).map(|model| format!("{} is a twin", model.id)));
    found
}

fn of_row(job: &JobRow, state: &State) -> Vec<String> {
    let (id, running) = (&job.id, job.is(Status::Running));
    let rules = [
        (running == job.owner.is_some() && running == job.lease_until.is_some(), "has a holder exactly while it runs"),
        (job.alive() == job.finished_at.is_none(), "has ended exactly when it says so"),
        ((0..=job.max_attempts).contains(&job.attempt), "is started no more often than it may"),
        ((0.0..=1.0).contains(&job.fraction), "has done between nothing and all"),
        ((job.fraction == 1.0) == job.is(Status::Succeeded), "is done exactly when it succeeded"),
        (!job.alive() || state.datasets.contains_key(&job.dataset_id), "has its data set while it lives"),
        (!(job.is(Status::Queued) && job.cancel_requested == 1), "does not wait once its cancel was asked"),
        (!(job.is(Status::Succeeded) || job.is(Status::Failed)) || job.cancel_requested == 0, "ends cancelled once that was asked"),
    ];
    rules.into_iter().filter(|(holds, _)| !holds).map(|(_, rule)| format!("{id} breaks: {rule}: {job:?}")).collect()
}

fn of_change(was: &JobRow, is: &JobRow) -> Vec<String> {
    let (from, to) = (was.status(), is.status());
    let claimed = from == Status::Queued && to == Status::Running;
    let seen = |row: &JobRow| (row.status.clone(), row.cancel_requested, row.attempt, row.fraction, row.reason.clone(), row.started_at);
    let moved = is.attempt - was.attempt;
    let rules = [
        (from == to || from.may_become(to), "goes along an arrow"),
        (!from.is_final() || was == is, "stays as it ended"),
        (is.revision >= was.revision && (is.revision > was.revision || seen(was) == seen(is)), "grows its revision with every change"),
        (is.fraction >= was.fraction, "never falls back"),
        ((moved == 1) == claimed, "counts a start exactly when claimed"),
        (moved >= 0 || (moved == -1 && to == Status::Queued && from == Status::Running), "is given back one start at most"),
        ((is.claim != was.claim) == claimed && is.claim >= was.claim, "changes its claim exactly when claimed, and upwards"),
        (is.cancel_requested >= was.cancel_requested, "does not forget a cancel"),
        (
            (&is.project, &is.model, &is.dataset_id, is.created_at) == (&was.project, &was.model, &was.dataset_id, was.created_at),
            "stays itself",
        ),
    ];
    let broken = rules.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, rule)| format!("{} breaks: {rule}: {was:?} became {is:?}", is.id)).collect()
}
