//! Verbs into calls of the store, and its answers into words.

use std::time::Duration;

use sparsefit::job::{DatasetRef, Failure, Job, Priority, Progress};
use sparsefit::store::{
    self, Beat, Bulk, Cancellation, Deletion, Ending, Enqueued, Finished, JobFilter, Keyed, NewJob, Once, Room, Slot, StoreError,
};

use crate::house;
use crate::spec::{Answer, Holder, Request, Verb, Wish};
use crate::world::World;

impl World {
    /// Does it with the real store.
    pub(crate) async fn perform(&mut self, verb: &Verb) -> Answer {
        let done = match verb {
            Verb::Enqueue(request) => self.submit(request).await,
            Verb::Claim { owner, total, free } => self.take(owner, Room { total: *total, free: *free }).await,
            Verb::Heartbeat { holder, fraction } => self.prove_life(holder, *fraction).await,
            Verb::Finish { holder, wish } => self.bring(holder, *wish).await,
            Verb::Rescue { dead } => self.store().rescue(dead.as_deref()).await.map(Answer::Rescued),
            Verb::Cancel { project, job } => self.store().request_cancel(project, &house::job_id(job)).await.map(|answer| match answer {
                Cancellation::Cancelled(_) => Answer::Cancelled,
                Cancellation::Asked(_) => Answer::Asked,
                Cancellation::AlreadyFinished(_) => Answer::AlreadyFinished,
                Cancellation::Absent => Answer::Absent,
            }),
            Verb::CancelAll { project } => self.store().cancel_jobs(project, &JobFilter::default()).await.map(bulk),
            Verb::DeleteAll { project } => self.store().delete_jobs(project, &JobFilter::default()).await.map(bulk),
            Verb::DeleteJob { project, job } => self.store().delete_job(project, &house::job_id(job)).await.map(deletion),
            Verb::AddDataset { project, name, named } => {
                house::try_add_dataset(self.store(), project, name, *named).await.map(|row| Answer::Version(row.version))
            }
            Verb::DeleteDataset { project, name, version } => self.store().delete_dataset(project, name, *version).await.map(deletion),
            Verb::DeleteModel { project, name, version } => self.store().delete_model(project, name, *version).await.map(deletion),
            Verb::Sweep => self.store().sweep(Duration::ZERO).await.map(|_| Answer::Swept),
            Verb::Restart => {
                // the saboteur strikes once at most: a process that cannot start is started again
                let first = self.reopen().await;
                let opened = if first.is_err() { self.reopen().await } else { first };
                opened.map(|()| Answer::Reopened)
            }
        };
        done.unwrap_or_else(|error| {
            Answer::Failed(if error.to_string().contains("simulated") { "simulated".into() } else { error.to_string() })
        })
    }

    /// As the API does: a request under a key that was answered is answered so again.
    async fn submit(&self, request: &Request) -> Result<Answer, StoreError> {
        let job = NewJob {
            project: request.project.into(),
            model: Some(request.model.clone()),
            dataset: DatasetRef { name: request.dataset.clone(), version: request.version, sha256: String::new() },
            priority: Priority::from_rank(request.priority).expect("a priority"),
            memory_bytes: request.memory,
            start_within: request.within.map(Duration::from_micros),
            ..house::any_job()
        };
        let Some(key) = &request.key else { return Ok(enqueued(&self.store().enqueue(job).await?)) };
        let slot = Slot { project: job.project.clone(), holder: String::new(), route: "POST /api/v1/jobs", key: key.clone() };
        if let Some(kept) = self.store().kept_answer(&slot).await? {
            return Ok(Answer::Again(kept.answer.location));
        }
        let keyed = Keyed { slot, fingerprint: "same".into(), live_max: 1000 };
        let told = |job: &Job, _| Ok(store::Answer { status: 202, location: job.id.to_string(), body: "{}".into() });
        Ok(match self.store().enqueue_once(job, keyed, told).await? {
            Once::Done(..) => Answer::Queued,
            Once::Before(kept) => Answer::Again(kept.answer.location),
            Once::Refused(refused) => enqueued(&refused),
            Once::TooMany => Answer::Failed("too many keys".into()),
        })
    }

    async fn take(&mut self, owner: &str, room: Room) -> Result<Answer, StoreError> {
        let Some(claim) = self.store().claim_within(owner, room).await? else { return Ok(Answer::Nothing) };
        let id = claim.job.id.to_string();
        self.claims.insert(Holder { job: id.clone(), claim: claim.number }, claim);
        Ok(Answer::Claimed(id))
    }

    async fn prove_life(&mut self, holder: &Holder, fraction: f64) -> Result<Answer, StoreError> {
        let progress = Progress { fraction, ..Progress::default() };
        Ok(match self.store().heartbeat(&self.claims[holder], &progress).await? {
            Beat::Continue => Answer::Continue,
            Beat::CancelAsked => Answer::CancelAsked,
            Beat::Lost => Answer::Lost,
        })
    }

    async fn bring(&mut self, holder: &Holder, wish: Wish) -> Result<Answer, StoreError> {
        let ending = match wish {
            Wish::Succeed => Ending::Succeeded { model: self.model.clone(), points: None },
            Wish::Fail => Ending::Failed { error: Failure::attempts_exhausted(), reason: None, warnings: vec![house::warning("w")] },
            Wish::Cancel => Ending::Cancelled,
            Wish::HandBack => Ending::HandedBack,
            Wish::Interrupt => Ending::Interrupted { error: Failure::attempts_exhausted() },
        };
        Ok(match self.store().finish(&self.claims[holder], ending).await? {
            Finished::Stored(job) => Answer::Stored(job.status.as_str().into()),
            Finished::Fenced => Answer::Lost,
        })
    }
}

fn enqueued(enqueued: &Enqueued) -> Answer {
    match enqueued {
        Enqueued::Job(_) => Answer::Queued,
        Enqueued::Full => Answer::Full,
        Enqueued::DatasetGone => Answer::DatasetGone,
    }
}

fn bulk(bulk: Bulk) -> Answer {
    Answer::Of(bulk.matched, bulk.affected)
}

fn deletion(deletion: Deletion) -> Answer {
    match deletion {
        Deletion::Done => Answer::Done,
        Deletion::Absent => Answer::Absent,
        Deletion::InUse => Answer::InUse,
    }
}
