//! Jobs as clients see them: submitted, listed, cancelled, deleted. What workers do with them is in `queue.rs`.

use std::collections::HashMap;

use super::db::{Arg, Session, args};
use super::events::{tell_status, tell_warnings};
use super::idempotency::Keeping;
use super::records::{JobRecord, id, to_text};
use super::{
    Answer, Cancellation, Cursor, Deletion, Enqueued, JobFilter, Keyed, NewJob, Once, Page, Store, StoreError, later, list_bounds, page,
    queries, to_the_end, webhooks,
};
use crate::id::{Id, Kind};
use crate::job::{Job, JobKind, Progress, Status};

/// Starts of a job before it is given up.
const MAX_ATTEMPTS: i64 = 3;

impl Store {
    /// Queues a job.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, StoreError> {
        let (store, id) = (self.clone(), Id::new(Kind::Job, &self.inner.ambient));
        to_the_end(async move {
            let mut again = store.again();
            loop {
                match store.enqueue_now(&id, job.clone()).await {
                    Err(error) if again.after_any(&error).await => {}
                    // the commit whose answer was lost has happened: the same id waits for it, and then is taken
                    Err(error) if error.of_a_taken_key() => {
                        return store.job(&job.project, &id).await?.map(|job| Enqueued::Job(Box::new(job))).ok_or(error);
                    }
                    done => return done,
                }
            }
        })
        .await
    }

    async fn enqueue_now(&self, id: &Id, job: NewJob) -> Result<Enqueued, StoreError> {
        let mut session = self.write().await?;
        let queued = self.enqueue_in(&mut session, id, job).await?;
        if matches!(queued, Enqueued::Job(_)) {
            session.commit().await?;
            self.hub().announce_work();
        }
        Ok(queued)
    }

    /// Queues a job unless its key was used before; the answer, written from the job and its place in the queue, is kept
    /// with it.
    pub async fn enqueue_once(
        &self,
        job: NewJob,
        keyed: Keyed,
        render: impl FnOnce(&Job, Option<u64>) -> Result<Answer, StoreError> + Send + 'static,
    ) -> Result<Once<Job, Enqueued>, StoreError> {
        let (store, id) = (self.clone(), Id::new(Kind::Job, &self.inner.ambient));
        to_the_end(async move {
            let mut session = store.write().await?;
            let queued = match store.enqueue_in(&mut session, &id, job).await? {
                Enqueued::Job(queued) => *queued,
                refused => return Ok(Once::Refused(refused)),
            };
            let answer = render(&queued, position(&mut session, &queued).await?)?;
            match store.keep_answer(&mut session, &keyed, &answer).await? {
                Keeping::Kept => {
                    match session.commit().await {
                        // its answer was lost, but it has happened; if it has not, the key makes it safe to send again
                        Err(StoreError::OutcomeUnknown(_)) if store.job(&queued.project, &id).await?.is_some() => {}
                        done => done?,
                    }
                    store.hub().announce_work();
                    Ok(Once::Done(queued, answer))
                }
                Keeping::TooMany => Ok(Once::TooMany),
                Keeping::Taken => {
                    session.rollback().await?;
                    store.answered_before(&keyed.slot).await
                }
            }
        })
        .await
    }

    /// Adds the row of a job; the caller commits.
    async fn enqueue_in(&self, session: &mut Session, id: &Id, job: NewJob) -> Result<Enqueued, StoreError> {
        self.inner.blobs.reserve().admit_row()?;
        let dataset = args![&*job.project, &*job.dataset.name, job.dataset.version];
        let Some((dataset_id,)) = session.optional::<(String,)>(&queries::PIN_DATASET, dataset).await? else {
            return Ok(Enqueued::DatasetGone);
        };
        if !self.has_room(session, &job.project).await? {
            return Ok(Enqueued::Full);
        }
        if job.kind.makes_model() {
            self.room_for_model(session, &job.project).await?;
        }
        let now = session.now(&self.inner.ambient).await?;
        let traceparent = job.traceparent.map(|traceparent| traceparent.to_string());
        let columns = args![
            id,
            job.project,
            job.kind.as_str(),
            job.model.as_deref().unwrap_or_default(),
            dataset_id,
            job.dataset.name,
            job.dataset.version,
            job.dataset.sha256,
            job.priority.rank(),
            now,
            MAX_ATTEMPTS,
            to_text(&job.spec)?,
            to_text(&job.spec_resolved)?,
            to_text(&job.estimate)?,
            to_text(&job.metadata)?,
            to_text(&Progress::default())?,
            to_text(&job.warnings)?,
            job.request_id,
            traceparent.as_deref(),
            i64::try_from(job.memory_bytes).unwrap_or(i64::MAX),
            job.start_within.map(|within| later(now, within)),
            job.retry_of.as_ref().map(Id::as_str),
        ];
        let record = session.one::<JobRecord>(&queries::ENQUEUE, columns).await?;
        tell_status(session, &self.inner.ambient, &record, now).await?;
        let queued = Job::try_from(record)?;
        tell_warnings(session, &self.inner.ambient, &queued.id, &queued.warnings, &[], now).await?;
        if let Some(hook) = &job.webhook {
            webhooks::subscribe(session, &queued.project, &queued.id, hook).await?;
        }
        if let Some(old) = &job.retry_of {
            webhooks::inherit(session, &queued.id, old).await?;
        }
        Ok(Enqueued::Job(Box::new(queued)))
    }

    /// One job.
    pub async fn job(&self, project: &str, id: &Id) -> Result<Option<Job>, StoreError> {
        let found = self.read().await?.optional::<JobRecord>(&queries::JOB, args![project, id]).await?;
        found.map(Job::try_from).transpose()
    }

    /// Jobs, newest first.
    pub async fn jobs(&self, project: &str, filter: &JobFilter, after: Option<&Cursor>, limit: u64) -> Result<Page<Job>, StoreError> {
        let wanted = filtered(project, filter, after, limit)?;
        let found = self.read().await?.all::<JobRecord>(&queries::JOBS, wanted).await?;
        let items = found.into_iter().map(Job::try_from).collect::<Result<Vec<_>, _>>()?;
        Ok(page(items, limit, |job| Cursor { created_at: job.created_at, id: job.id.clone() }))
    }

    /// Jobs that will be claimed before this one; `None` unless queued.
    pub async fn queue_position(&self, job: &Job) -> Result<Option<u64>, StoreError> {
        if job.status != Status::Queued {
            return Ok(None);
        }
        position(&mut self.read().await?, job).await
    }

    /// [`Store::queue_position`] of every queued job of a page, as lists show it: one question for all.
    pub async fn queue_positions(&self, project: &str, jobs: &[Job]) -> Result<HashMap<Id, u64>, StoreError> {
        let queued = || jobs.iter().filter(|job| job.status == Status::Queued).map(|job| job.created_at);
        let (Some(first), Some(last)) = (queued().min(), queued().max()) else { return Ok(HashMap::new()) };
        let found = self.read().await?.all::<(String, i64)>(&queries::QUEUE_POSITIONS, args![project, first, last]).await?;
        found.into_iter().map(|(text, ahead)| Ok((id(Kind::Job, &text)?, u64::try_from(ahead).unwrap_or(0)))).collect()
    }

    /// Cancels a queued job at once, and asks for it where the job is running. From then on the job ends in no other
    /// way, whatever its worker still brings.
    pub async fn request_cancel(&self, project: &str, id: &Id) -> Result<Cancellation, StoreError> {
        let (store, project, id) = (self.clone(), project.to_owned(), id.clone());
        to_the_end(async move {
            let mut again = store.again();
            // until it is committed, and the fit told to stop, or until it has failed
            let _asking = store.hub().asking(&id);
            loop {
                match store.request_cancel_now(&project, &id).await {
                    Err(error) if again.after_any(&error).await => {}
                    done => return done,
                }
            }
        })
        .await
    }

    async fn request_cancel_now(&self, project: &str, id: &Id) -> Result<Cancellation, StoreError> {
        loop {
            let mut session = self.write().await?;
            let now = session.now(&self.inner.ambient).await?;
            if let Some(record) = self.cancel_in(&mut session, project, id, now).await? {
                session.commit().await?;
                self.hub().announce_cancel(id);
                let job = Box::new(Job::try_from(record)?);
                return Ok(if job.status == Status::Cancelled { Cancellation::Cancelled(job) } else { Cancellation::Asked(job) });
            }
            let found = session.optional::<JobRecord>(&queries::JOB, args![project, id]).await?;
            // it may be another's of the same group: told once it is durable
            session.commit().await?;
            let Some(record) = found else { return Ok(Cancellation::Absent) };
            let job = Box::new(Job::try_from(record)?);
            match job.status {
                Status::Cancelled => return Ok(Cancellation::Cancelled(job)),
                Status::Succeeded | Status::Failed => return Ok(Cancellation::AlreadyFinished(job)),
                Status::Running if job.cancel_requested => return Ok(Cancellation::Asked(job)),
                // on PostgreSQL it changed between the statements: once more
                Status::Running | Status::Queued => {}
            }
        }
    }

    /// Cancels a queued job, or asks for it where the job is running; `None` when there was nothing to change.
    pub(super) async fn cancel_in(&self, session: &mut Session, project: &str, id: &Id, now: i64) -> Result<Option<JobRecord>, StoreError> {
        // a running one first: its fit is in a hurry to end
        if let Some(record) = session.optional::<JobRecord>(&queries::ASK_CANCEL, args![project, id]).await? {
            tell_status(session, &self.inner.ambient, &record, now).await?;
            return Ok(Some(record));
        }
        let cancelled = session.optional::<JobRecord>(&queries::CANCEL_QUEUED, args![project, id, now]).await?;
        if let Some(record) = &cancelled {
            tell_status(session, &self.inner.ambient, record, now).await?;
            webhooks::record(session, &self.inner.ambient, &record.id).await?;
        }
        Ok(cancelled)
    }

    /// Deletes a job that has ended; its model, if it made one, stays.
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

/// Arguments of a query of filtered jobs.
pub(super) fn filtered(project: &str, filter: &JobFilter, after: Option<&Cursor>, limit: u64) -> Result<Vec<Arg>, StoreError> {
    let (status, cancelling) = match (filter.status, filter.cancelling) {
        (_, Some(true)) => (Some(Status::Running), Some(1)),
        (Some(Status::Running), Some(false)) => (Some(Status::Running), Some(0)),
        (status, _) => (status, None),
    };
    let (created_at, id, rows) = list_bounds(after, limit);
    let metadata = if filter.metadata.is_empty() { None } else { Some(to_text(&filter.metadata)?) };
    Ok(args![
        project,
        created_at,
        id,
        rows,
        status.map(Status::as_str),
        cancelling,
        filter.dataset.as_deref(),
        filter.model.as_deref(),
        filter.kind.map(JobKind::as_str),
        filter.created_after,
        filter.created_before,
        metadata.as_deref(),
    ])
}

async fn position(session: &mut Session, job: &Job) -> Result<Option<u64>, StoreError> {
    let (ahead,) = session.one::<(i64,)>(&queries::QUEUE_POSITION, args![&job.id]).await?;
    Ok(u64::try_from(ahead).ok())
}
