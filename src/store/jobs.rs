//! Jobs as clients see them: submitted, listed, cancelled, deleted. What workers do with them is in `queue.rs`.

use super::db::args;
use super::records::{JobRecord, to_text};
use super::{
    Cancellation, Cursor, Deletion, Enqueued, JobFilter, NewJob, Page, Store, StoreError, list_bounds, page, queries, to_the_end, webhooks,
};
use crate::id::{Id, Kind};
use crate::job::{Job, Progress, Status};

/// Starts of a job before it is given up.
const MAX_ATTEMPTS: i64 = 3;

impl Store {
    /// Queues a job.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, StoreError> {
        let store = self.clone();
        to_the_end(async move { store.enqueue_now(job).await }).await
    }

    async fn enqueue_now(&self, job: NewJob) -> Result<Enqueued, StoreError> {
        let mut session = self.write().await?;
        let dataset = args![&*job.project, &*job.dataset.name, job.dataset.version];
        let Some((dataset_id,)) = session.optional::<(String,)>(&queries::PIN_DATASET, dataset).await? else {
            return Ok(Enqueued::DatasetGone);
        };
        let (queued,) = session.one::<(i64,)>(&queries::QUEUED_OF_PROJECT, args![&*job.project]).await?;
        if u64::try_from(queued).unwrap_or(0) >= self.inner.config.queue_max {
            return Ok(Enqueued::Full);
        }
        let columns = args![
            &Id::new(Kind::Job, &self.inner.ambient),
            job.project,
            job.kind,
            job.model,
            dataset_id,
            job.dataset.name,
            job.dataset.version,
            job.dataset.sha256,
            job.priority.rank(),
            session.now(&self.inner.ambient).await?,
            MAX_ATTEMPTS,
            to_text(&job.spec)?,
            to_text(&job.spec_resolved)?,
            to_text(&job.estimate)?,
            to_text(&job.metadata)?,
            to_text(&Progress::default())?,
            to_text(&job.warnings)?,
            job.request_id,
        ];
        let queued = Job::try_from(session.one::<JobRecord>(&queries::ENQUEUE, columns).await?)?;
        if let Some(hook) = &job.webhook {
            webhooks::subscribe(&mut session, &queued.project, &queued.id, hook).await?;
        }
        session.commit().await?;
        self.hub().announce_work();
        Ok(Enqueued::Job(Box::new(queued)))
    }

    /// One job.
    pub async fn job(&self, project: &str, id: &Id) -> Result<Option<Job>, StoreError> {
        let found = self.read().await?.optional::<JobRecord>(&queries::JOB, args![project, id]).await?;
        found.map(Job::try_from).transpose()
    }

    /// Jobs, newest first.
    pub async fn jobs(&self, project: &str, filter: &JobFilter, after: Option<&Cursor>, limit: u64) -> Result<Page<Job>, StoreError> {
        let (status, cancelling) = match (filter.status, filter.cancelling) {
            (_, Some(true)) => (Some(Status::Running), Some(1)),
            (Some(Status::Running), Some(false)) => (Some(Status::Running), Some(0)),
            (status, _) => (status, None),
        };
        let (created_at, id, rows) = list_bounds(after, limit);
        let (dataset, model) = (filter.dataset.as_deref(), filter.model.as_deref());
        let wanted = args![project, status.map(Status::as_str), cancelling, dataset, model, created_at, id, rows];
        let found = self.read().await?.all::<JobRecord>(&queries::JOBS, wanted).await?;
        let items = found.into_iter().map(Job::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(page(items, limit, |job| Cursor { created_at: job.created_at, id: job.id.clone() }))
    }

    /// Jobs that will be claimed before this one; `None` unless queued.
    pub async fn queue_position(&self, job: &Job) -> Result<Option<u64>, StoreError> {
        let mut session = self.read().await?;
        if job.status != Status::Queued {
            return Ok(None);
        }
        let (ahead,) = session.one::<(i64,)>(&queries::QUEUE_POSITION, args![&job.id]).await?;
        Ok(u64::try_from(ahead).ok())
    }

    /// Cancels a queued job at once, and asks for it where the job is running. From then on the job ends in no other
    /// way, whatever its worker still brings.
    pub async fn request_cancel(&self, project: &str, id: &Id) -> Result<Cancellation, StoreError> {
        let (store, project, id) = (self.clone(), project.to_owned(), id.clone());
        to_the_end(async move { store.request_cancel_now(&project, &id).await }).await
    }

    async fn request_cancel_now(&self, project: &str, id: &Id) -> Result<Cancellation, StoreError> {
        loop {
            let mut session = self.write().await?;
            let now = session.now(&self.inner.ambient).await?;
            if let Some(record) = session.optional::<JobRecord>(&queries::CANCEL_QUEUED, args![project, id, now]).await? {
                webhooks::record(&mut session, &self.inner.ambient, &record.id).await?;
                session.commit().await?;
                self.hub().announce_cancel(id);
                return Ok(Cancellation::Cancelled(Box::new(record.try_into()?)));
            }
            if let Some(record) = session.optional::<JobRecord>(&queries::ASK_CANCEL, args![project, id]).await? {
                session.commit().await?;
                self.hub().announce_cancel(id);
                return Ok(Cancellation::Asked(Box::new(record.try_into()?)));
            }
            let Some(record) = session.optional::<JobRecord>(&queries::JOB, args![project, id]).await? else {
                return Ok(Cancellation::Absent);
            };
            let job = Box::new(Job::try_from(record)?);
            match job.status {
                Status::Cancelled => return Ok(Cancellation::Cancelled(job)),
                Status::Succeeded | Status::Failed => return Ok(Cancellation::AlreadyFinished(job)),
                Status::Running if job.cancel_requested => return Ok(Cancellation::Asked(job)),
                // on PostgreSQL it changed between the statements: once more
                Status::Running | Status::Queued => session.rollback().await?,
            }
        }
    }

    /// Deletes a job that has ended; its model stays.
    pub async fn delete_job(&self, project: &str, id: &Id) -> Result<Deletion, StoreError> {
        let (store, project, id) = (self.clone(), project.to_owned(), id.clone());
        to_the_end(async move {
            let mut session = store.write().await?;
            let deleted = session.execute(&queries::DELETE_JOB, args![&*project, &id]).await?;
            let left = session.optional::<JobRecord>(&queries::JOB, args![&*project, &id]).await?;
            session.commit().await?;
            Ok(match (deleted, left) {
                (0, Some(_)) => Deletion::InUse,
                (0, None) => Deletion::Absent,
                _ => Deletion::Done,
            })
        })
        .await
    }
}
