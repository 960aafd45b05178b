//! Rows as the database has them ⇄ rows as the program has them.
//!
//! A row that this program would never have written is an error here, not a default.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::FromRow;

use super::{DatasetRow, KeyRow, ModelRow, NamesBlob, PathBlob, StoreError};
use crate::access::{Digest, Scopes};
use crate::id::{Id, Kind};
use crate::job::{DatasetRef, Job, JobKind, Priority, Progress, Reason, Status};
use crate::traceparent::Traceparent;

#[derive(FromRow)]
pub(super) struct DatasetRecord {
    id: String,
    project: String,
    name: String,
    version: i64,
    created_at: i64,
    meta: String,
    blob: String,
    names_blob: Option<String>,
    names_sha256: Option<String>,
}

#[derive(FromRow)]
pub(super) struct ModelRecord {
    id: String,
    project: String,
    name: String,
    version: i64,
    created_at: i64,
    job_id: String,
    dataset_name: String,
    dataset_version: i64,
    dataset_sha256: String,
    card: String,
    size_bytes: i64,
    blob: String,
    sha256: String,
    names_blob: Option<String>,
    names_sha256: Option<String>,
    path_blob: Option<String>,
    path_sha256: Option<String>,
    path_bytes: i64,
    /// Names between spaces.
    aliases: Option<String>,
}

#[derive(Clone, FromRow)]
pub(super) struct JobRecord {
    pub(super) id: String,
    pub(super) project: String,
    kind: String,
    status: String,
    cancel_requested: i64,
    reason: Option<String>,
    /// Empty for a job that makes no model.
    model: String,
    pub(super) dataset_id: String,
    dataset_name: String,
    dataset_version: i64,
    dataset_sha256: String,
    priority: i64,
    created_at: i64,
    started_at: Option<i64>,
    finished_at: Option<i64>,
    attempt: i64,
    max_attempts: i64,
    spec: String,
    spec_resolved: String,
    estimate: String,
    metadata: String,
    fraction: f64,
    progress: String,
    warnings: String,
    result: Option<String>,
    error: Option<String>,
    request_id: String,
    traceparent: Option<String>,
    retry_of: Option<String>,
    memory_bytes: i64,
    revision: i64,
    /// Number of the last event; after a change of status that of the event which tells of it.
    pub(super) last_event: i64,
}

#[derive(FromRow)]
pub(super) struct KeyRecord {
    id: String,
    project: String,
    name: String,
    scopes: String,
    sha256: String,
    created_at: i64,
    expires_at: Option<i64>,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl JobRecord {
    /// Whether nothing follows its status.
    pub(super) fn is_final(&self) -> bool {
        Status::parse(&self.status).is_some_and(Status::is_final)
    }
}

/// JSON text for a column.
pub(super) fn to_text(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Row(error.to_string()))
}

fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Row(error.to_string()))
}

pub(super) fn id(kind: Kind, text: &str) -> Result<Id, StoreError> {
    Id::parse(kind, text).ok_or_else(|| StoreError::Row(format!("{text:?} is no {kind:?} id")))
}

fn word<T>(parsed: Option<T>, text: &str) -> Result<T, StoreError> {
    parsed.ok_or_else(|| StoreError::Row(format!("{text:?} is no word of this column")))
}

fn names(blob: Option<String>, sha256: Option<String>) -> Result<Option<NamesBlob>, StoreError> {
    match (blob, sha256) {
        (None, None) => Ok(None),
        (Some(blob), Some(sha256)) => Ok(Some(NamesBlob { id: id(Kind::Blob, &blob)?, sha256 })),
        _ => Err(StoreError::Row("a names file without its checksum".into())),
    }
}

impl TryFrom<DatasetRecord> for DatasetRow {
    type Error = StoreError;

    fn try_from(record: DatasetRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(Kind::Dataset, &record.id)?,
            project: record.project,
            name: record.name,
            version: record.version,
            created_at: record.created_at,
            meta: Arc::new(from_text(&record.meta)?),
            blob: id(Kind::Blob, &record.blob)?,
            names: names(record.names_blob, record.names_sha256)?,
        })
    }
}

impl TryFrom<ModelRecord> for ModelRow {
    type Error = StoreError;

    fn try_from(record: ModelRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(Kind::Model, &record.id)?,
            project: record.project,
            name: record.name,
            version: record.version,
            created_at: record.created_at,
            job: id(Kind::Job, &record.job_id)?,
            dataset: DatasetRef { name: record.dataset_name, version: record.dataset_version, sha256: record.dataset_sha256 },
            card: Arc::new(from_text(&record.card)?),
            size_bytes: u64::try_from(record.size_bytes).map_err(|_| StoreError::Row("a negative size".into()))?,
            blob: id(Kind::Blob, &record.blob)?,
            sha256: record.sha256,
            names: names(record.names_blob, record.names_sha256)?,
            path: match (record.path_blob, record.path_sha256) {
                (None, _) => None,
                (Some(blob), Some(sha256)) => Some(PathBlob { id: id(Kind::Blob, &blob)?, sha256, bytes: record.path_bytes }),
                _ => return Err(StoreError::Row("the points of a path without their checksum".into())),
            },
            aliases: record.aliases.iter().flat_map(|names| names.split(' ')).map(str::to_owned).collect(),
        })
    }
}

impl TryFrom<JobRecord> for Job {
    type Error = StoreError;

    fn try_from(record: JobRecord) -> Result<Self, StoreError> {
        let status = word(Status::parse(&record.status), &record.status)?;
        let mut progress: Progress = from_text(&record.progress)?;
        progress.fraction = record.fraction;
        if status.is_final() {
            progress.eta_s = None;
        }
        if status == Status::Succeeded {
            progress.complete();
        }
        Ok(Self {
            id: id(Kind::Job, &record.id)?,
            project: record.project,
            kind: word(JobKind::parse(&record.kind), &record.kind)?,
            status,
            cancel_requested: record.cancel_requested != 0,
            reason: record.reason.map(|text| word(Reason::parse(&text), &text)).transpose()?,
            model: Some(record.model).filter(|name| !name.is_empty()),
            dataset: DatasetRef { name: record.dataset_name, version: record.dataset_version, sha256: record.dataset_sha256 },
            priority: word(Priority::from_rank(record.priority), "priority")?,
            created_at: record.created_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
            attempt: record.attempt,
            max_attempts: record.max_attempts,
            spec: from_text(&record.spec)?,
            spec_resolved: from_text(&record.spec_resolved)?,
            estimate: from_text(&record.estimate)?,
            metadata: from_text(&record.metadata)?,
            progress,
            warnings: from_text(&record.warnings)?,
            result: record.result.as_deref().map(from_text).transpose()?,
            error: record.error.as_deref().map(from_text).transpose()?,
            request_id: record.request_id,
            traceparent: record.traceparent.as_deref().and_then(Traceparent::parse),
            retry_of: record.retry_of.map(|text| id(Kind::Job, &text)).transpose()?,
            memory_bytes: u64::try_from(record.memory_bytes).map_err(|_| StoreError::Row("a negative size".into()))?,
            revision: record.revision,
        })
    }
}

impl TryFrom<KeyRecord> for KeyRow {
    type Error = StoreError;

    fn try_from(record: KeyRecord) -> Result<Self, StoreError> {
        Ok(Self {
            id: id(Kind::Key, &record.id)?,
            project: record.project,
            name: record.name,
            scopes: word(Scopes::parse(&record.scopes).ok(), &record.scopes)?,
            digest: word(Digest::from_hex(&record.sha256), "sha256")?,
            created_at: record.created_at,
            expires_at: record.expires_at,
            last_used_at: record.last_used_at,
            revoked_at: record.revoked_at,
        })
    }
}
