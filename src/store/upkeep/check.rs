//! The common check: whether rows and files, jobs and models, numbers and versions fit together.
//!
//! Beside a running server it sees one moment. It finds facts, not causes, and changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{open, queries};
use super::backup::files_named;
use super::snapshot::{Line, Row, Snapshot, with};
use super::{Place, UpkeepError, hold_files, measure, refused};
use crate::ambient::Ambient;
use crate::id::{Id, Kind};
use crate::job::{JobKind, Status};
use crate::model::Model;

/// How closely to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Depth {
    /// Read every file and compare its checksum; read every model.
    pub deep: bool,
    /// Also wrong: files that a sweep should have removed, and a succeeded job whose model is gone (as after its deletion).
    pub strict: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What is wrong, one line each.
    pub wrong: Vec<String>,
    /// What need not be wrong.
    pub notes: Vec<String>,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
}

/// A file without a row may be older than this only where nobody sweeps.
const SWEPT_BY: i64 = 120_000;

/// Looks at a store, running or not.
pub async fn check(place: &Place, depth: Depth, ambient: &Ambient) -> Result<Found, UpkeepError> {
    if !place.data_dir.join("blobs").is_dir() {
        return refused(format!("there is no store in {}", place.data_dir.display()));
    }
    let held = hold_files(&place.data_dir)?;
    // listed before the rows are read: a file that comes later is no orphan
    let files = list_files(&place.data_dir.join("blobs"))?;
    let mut snapshot = Snapshot::take(place).await?;
    let mut found = Found::default();
    of_engine(&mut snapshot.line, &mut found).await?;
    let mut seen = Seen { depth, blobs: place.data_dir.join("blobs"), ..Seen::default() };
    for table in snapshot.tables.clone() {
        let mut rows = 0;
        snapshot
            .line
            .each(&table, |row| {
                rows += 1;
                seen.row(&table.name, &row, &mut found.wrong);
                Ok(())
            })
            .await?;
        found.rows.insert(table.name, rows);
    }
    let claims = snapshot.line.claims().await?;
    snapshot.line.close().await;
    seen.conclude(claims, &mut found);
    let oldest = ambient.now_micros() / 1000 - SWEPT_BY;
    let orphans: Vec<&Id> = files.difference(&seen.named).filter(|id| id.created_millis() < oldest).collect();
    // the store's lock is free exactly when no server runs; asked only where it matters, for a server may be starting
    let served = depth.strict && !orphans.is_empty() && open::lock(&place.data_dir, true).is_err();
    let sink = if served { &mut found.wrong } else { &mut found.notes };
    sink.extend(orphans.into_iter().map(|id| format!("{id} is a file without a row")));
    drop(held);
    Ok(found)
}

fn list_files(blobs: &Path) -> Result<BTreeSet<Id>, UpkeepError> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(blobs)? {
        let name = entry?.file_name();
        let name = name.to_str().unwrap_or_default();
        files.extend(Id::parse(Kind::Blob, name.strip_suffix(".tmp").unwrap_or(name)));
    }
    Ok(files)
}

/// What the engine says of itself; PostgreSQL checks its pages as it reads them.
async fn of_engine(line: &mut Line, found: &mut Found) -> Result<(), UpkeepError> {
    if let Line::Sqlite(_) = line {
        let said: Vec<String> = with!(&mut *line, queries::INTEGRITY, |line, text| sqlx::query_scalar(text).fetch_all(line).await?);
        found.wrong.extend(said.into_iter().filter(|word| word != "ok").map(|word| format!("SQLite: {word}")));
        let broken: Vec<String> = with!(&mut *line, queries::FOREIGN_KEYS, |line, text| sqlx::query_scalar(text).fetch_all(line).await?);
        found.wrong.extend(broken.into_iter().map(|table| format!("a row of {table} refers to a row that is not there")));
    }
    Ok(())
}

/// What the rows have said so far.
#[derive(Default)]
struct Seen {
    depth: Depth,
    blobs: PathBuf,
    /// Files that rows refer to.
    named: BTreeSet<Id>,
    datasets: BTreeSet<String>,
    jobs: BTreeMap<String, Status>,
    /// Data sets of jobs that live.
    needed: BTreeMap<String, String>,
    claims: BTreeSet<i64>,
    /// Jobs of models.
    modelled: BTreeSet<String>,
    /// Jobs that make none.
    without_model: BTreeSet<String>,
    /// Largest version by project, kind and name, as rows have it and as the counter says.
    versions: BTreeMap<[String; 3], i64>,
    counters: BTreeMap<[String; 3], i64>,
}

impl Seen {
    fn row(&mut self, table: &str, row: &Row, wrong: &mut Vec<String>) {
        for id in files_named(row) {
            match Id::parse(Kind::Blob, &id) {
                Some(id) => _ = self.named.insert(id),
                None => wrong.push(format!("{table}: {id:?} is no id of a file")),
            }
        }
        match table {
            "datasets" => self.dataset(row, wrong),
            "models" => self.model(row, wrong),
            "jobs" => self.job(row, wrong),
            _ if row.contains_key("blob") => _ = self.whole(row, wrong),
            "counters" => _ = self.counters.insert(["project", "kind", "name"].map(|column| text(row, column)), int(row, "last")),
            _ => {}
        }
    }

    fn version(&mut self, kind: &str, row: &Row) {
        let largest = self.versions.entry([text(row, "project"), kind.into(), text(row, "name")]).or_default();
        *largest = (*largest).max(int(row, "version"));
    }

    fn dataset(&mut self, row: &Row, wrong: &mut Vec<String>) {
        self.version("dataset", row);
        self.datasets.insert(text(row, "id"));
        let meta: Value = serde_json::from_str(&text(row, "meta")).unwrap_or_default();
        let (bytes, sha256) = (meta["stored_bytes"].as_u64(), meta["sha256"].as_str());
        if bytes.is_none() || sha256.is_none() {
            wrong.push(format!("{}: its description is not understood", text(row, "id")));
        }
        self.file(row, "blob", bytes, sha256, wrong);
        self.names(row, wrong);
    }

    fn model(&mut self, row: &Row, wrong: &mut Vec<String>) {
        self.version("model", row);
        let id = text(row, "id");
        if int(row, "promoted") == 0 && !self.modelled.insert(text(row, "job_id")) {
            wrong.push(format!("{id} is the second model of {}", text(row, "job_id")));
        }
        let whole = self.whole(row, wrong);
        if self.depth.deep && whole {
            let read = fs::read(self.blobs.join(text(row, "blob")));
            let read = read.map_err(|error| error.to_string()).and_then(|bytes| Model::decode(&bytes).map_err(|damage| damage.to_string()));
            wrong.extend(read.err().map(|why| format!("{id} cannot be read: {why}")));
        }
        if row.get("path_blob").is_some_and(|path| !path.is_null()) {
            let bytes = row.get("path_bytes").and_then(Value::as_u64);
            self.file(row, "path_blob", bytes, Some(&text(row, "path_sha256")), wrong);
        }
        self.names(row, wrong);
    }

    /// The file of a row that tells its length and checksum in columns.
    fn whole(&self, row: &Row, wrong: &mut Vec<String>) -> bool {
        let bytes = row.get("size_bytes").and_then(Value::as_u64);
        self.file(row, "blob", bytes, row.get("sha256").and_then(Value::as_str), wrong)
    }

    fn names(&mut self, row: &Row, wrong: &mut Vec<String>) {
        if row.get("names_blob").is_some_and(|names| !names.is_null()) {
            self.file(row, "names_blob", None, Some(&text(row, "names_sha256")), wrong);
        }
    }

    /// Whether the file of a row is there, as long as it says, and (looked at deeply) with its checksum.
    fn file(&self, row: &Row, column: &str, bytes: Option<u64>, sha256: Option<&str>, wrong: &mut Vec<String>) -> bool {
        let of = if row.contains_key("id") { "id" } else { "job_id" };
        let (id, path) = (text(row, of), self.blobs.join(text(row, column)));
        let complaint = match fs::metadata(&path) {
            Err(error) => Some(format!("cannot be found: {error}")),
            Ok(found) if bytes.is_some_and(|bytes| bytes != found.len()) => Some(format!("has {} bytes instead of {bytes:?}", found.len())),
            Ok(_) if !self.depth.deep => None,
            Ok(_) => match measure(&path) {
                Ok((_, found)) if sha256.is_none_or(|sha256| sha256 == found) => None,
                Ok(_) => Some("does not have its checksum".into()),
                Err(error) => Some(format!("cannot be read: {error}")),
            },
        };
        let whole = complaint.is_none();
        wrong.extend(complaint.map(|complaint| format!("{id}: the file {} {complaint}", text(row, column))));
        whole
    }

    fn job(&mut self, row: &Row, wrong: &mut Vec<String>) {
        let id = text(row, "id");
        let Some(status) = Status::parse(&text(row, "status")) else {
            return wrong.push(format!("{id}: {:?} is no status", text(row, "status")));
        };
        let (attempt, fraction) = (int(row, "attempt"), row.get("fraction").and_then(Value::as_f64).unwrap_or(f64::NAN));
        let (running, held) = (status == Status::Running, !row["owner"].is_null() && !row["lease_until"].is_null());
        let json = ["spec", "spec_resolved", "estimate", "metadata", "progress", "warnings"];
        let rules = [
            (running == held, "it has a holder exactly while it runs"),
            (status.is_final() != row["finished_at"].is_null(), "it has ended exactly when it says when"),
            ((0..=int(row, "max_attempts")).contains(&attempt), "it was started no more often than it may be"),
            ((status == Status::Succeeded) == (fraction == 1.0) && (0.0..=1.0).contains(&fraction), "it is done exactly when it succeeded"),
            ((status == Status::Failed) != row["error"].is_null(), "it says why exactly when it failed"),
            ((status == Status::Succeeded) != row["result"].is_null(), "it has a result exactly when it succeeded"),
            (!(status == Status::Queued && int(row, "cancel_requested") == 1), "it does not wait once its cancel was asked"),
            (json.iter().all(|column| serde_json::from_str::<Value>(&text(row, column)).is_ok()), "its columns of JSON are JSON"),
        ];
        wrong.extend(rules.iter().filter(|(holds, _)| !holds).map(|(_, rule)| format!("{id} ({}) breaks: {rule}", status.as_str())));
        let claim = int(row, "claim");
        if claim > 0 && !self.claims.insert(claim) {
            wrong.push(format!("{id}: another job has its claim number {claim}"));
        }
        if !status.is_final() {
            self.needed.insert(id.clone(), text(row, "dataset_id"));
        }
        if JobKind::parse(&text(row, "kind")).is_some_and(|kind| !kind.makes_model()) {
            self.without_model.insert(id.clone());
        }
        self.jobs.insert(id, status);
    }

    /// What only all rows together tell.
    fn conclude(&self, claims: i64, found: &mut Found) {
        let wrong = &mut found.wrong;
        let gone = self.needed.iter().filter(|(_, dataset)| !self.datasets.contains(*dataset));
        wrong.extend(gone.map(|(job, dataset)| format!("{job} lives and its data set {dataset} is gone")));
        let early = self.jobs.iter().filter(|(id, status)| **status != Status::Succeeded && self.modelled.contains(*id));
        wrong.extend(early.map(|(id, status)| format!("{id} is {} and has a model", status.as_str())));
        for (what, largest) in &self.versions {
            if self.counters.get(what).is_none_or(|last| last < largest) {
                wrong.push(format!("the counter of {what:?} is behind version {largest}"));
            }
        }
        if self.claims.last().is_some_and(|last| *last > claims) {
            wrong.push(format!("the number of claims, {claims}, is behind one that was given"));
        }
        let lost = |id: &String| !self.modelled.contains(id) && !self.without_model.contains(id);
        let without = self.jobs.iter().filter(|(id, status)| **status == Status::Succeeded && lost(id));
        let sink = if self.depth.strict { wrong } else { &mut found.notes };
        sink.extend(without.map(|(id, _)| format!("{id} succeeded and its model is gone")));
    }
}

fn text(row: &Row, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn int(row: &Row, column: &str) -> i64 {
    row.get(column).and_then(Value::as_i64).unwrap_or(0)
}
