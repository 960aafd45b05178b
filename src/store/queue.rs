//! The queue as workers see it: claim, heartbeat, finish, rescue.
//!
//! A claim is a number that never repeats. Every later write names it, and writes nothing when the job is no longer
//! claimed under that number: work may be done twice, its effect happens once.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::db::{Session, args};
use super::events::{append, tell_progress, tell_rescued, tell_status, tell_warnings};
use super::models::{Artefact, NewModel};
use super::records::{DatasetRecord, JobRecord, to_text};
use super::{
    Beat, Claim, DatasetRow, Ending, Finished, ModelRow, QueueCounts, Room, Store, StoreError, checkpoints, later, queries, telling,
    webhooks,
};
use crate::id::Kind;
use crate::job::{self, Failure, Job, Progress, Reason, Status, Warning};
use crate::model::{EnsembleModel, EnsembleSparsity, LinearModel, Model, NetworkModel, RulesModel, TreeModel};

/// What a model was made of besides its job's data, and what was measured of it.
#[derive(Default)]
struct Beside {
    base: Option<Box<ModelRow>>,
    measured: Map<String, Value>,
}

/// A job that broke off rests at most this long after its first attempt, …
const PAUSE: Duration = Duration::from_secs(1);
/// … and at most this long after any.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// The largest fraction of a job that has not succeeded.
const ALMOST: f64 = 0.9999;

impl Store {
    /// Takes the next job, however large; `owner` is this process's boot id.
    pub async fn claim(&self, owner: &str) -> Result<Option<Claim>, StoreError> {
        self.claim_within(owner, Room::ANY).await
    }

    /// Takes the next job, if there is room for it.
    pub async fn claim_within(&self, owner: &str, room: Room) -> Result<Option<Claim>, StoreError> {
        let mut again = self.again();
        loop {
            match self.claim_now(owner, room).await {
                Err(error) if again.after(&error).await => {}
                done => return done,
            }
        }
    }

    async fn claim_now(&self, owner: &str, room: Room) -> Result<Option<Claim>, StoreError> {
        let mut session = self.write().await?;
        let now = session.now(&self.inner.ambient).await?;
        let Some(next) = next_job(&mut session, now, room).await? else {
            session.rollback().await?;
            return Ok(None);
        };
        let (number,) = session.one::<(i64,)>(&queries::NEXT_CLAIM, args![]).await?;
        let lease = self.lease_from(session.lease_now(&self.inner.ambient).await?);
        let claim = args![number, owner, lease, now, next];
        let record = session.one::<JobRecord>(&queries::CLAIM, claim).await?;
        session.execute(&queries::TAKE_TURN, args![&*record.project, number]).await?;
        tell_status(&mut session, &self.inner.ambient, &record, now).await?;
        webhooks::record(&mut session, &self.inner.ambient, &record.id).await?;
        let dataset = session.optional::<DatasetRecord>(&queries::DATASET_BY_ID, args![&*record.dataset_id]).await?;
        session.commit().await?;
        let job = Job::try_from(record)?;
        let dataset = dataset.ok_or_else(|| StoreError::Row(format!("{} reads a data set that is gone", job.id)))?;
        self.hub().announce_job(&job.id);
        Ok(Some(Claim { job, number, dataset: DatasetRow::try_from(dataset)? }))
    }

    fn lease_from(&self, now: i64) -> i64 {
        later(now, self.inner.config.lease)
    }

    /// Stores progress, proves life, hears of cancel.
    pub async fn heartbeat(&self, claim: &Claim, progress: &Progress) -> Result<Beat, StoreError> {
        let mut again = self.again();
        loop {
            match self.heartbeat_now(claim, progress).await {
                Err(error) if again.after_any(&error).await => {}
                done => return done,
            }
        }
    }

    async fn heartbeat_now(&self, claim: &Claim, progress: &Progress) -> Result<Beat, StoreError> {
        let mut session = self.write().await?;
        let now = session.now(&self.inner.ambient).await?;
        let lease = self.lease_from(session.lease_now(&self.inner.ambient).await?);
        let fraction = if progress.fraction.is_finite() { progress.fraction.clamp(0.0, ALMOST) } else { 0.0 };
        // the fraction has a column of its own, so that a lower one does not count as a change
        let rest = Progress { fraction: 0.0, ..progress.clone() };
        let beat = args![&claim.job.id, claim.number, lease, to_text(&rest)?, fraction];
        let Some((cancel_requested,)) = session.optional::<(i64,)>(&queries::HEARTBEAT, beat).await? else {
            return Ok(Beat::Lost);
        };
        tell_progress(&mut session, &self.inner.ambient, claim, progress, now).await?;
        webhooks::record_progress(&mut session, &self.inner.ambient, &claim.job.id).await?;
        session.commit().await?;
        self.hub().announce_job(&claim.job.id);
        Ok(if cancel_requested == 0 { Beat::Continue } else { Beat::CancelAsked })
    }

    /// Model and final status in one transaction, fenced by the claim's number. A job whose cancel was asked ends
    /// cancelled, whatever its ending says. Where the answer to an earlier call was lost, this one finds what it did.
    pub async fn finish(&self, claim: &Claim, ending: Ending) -> Result<Finished, StoreError> {
        let draft = match &ending {
            Ending::Succeeded { model, points } | Ending::Measured { model, points, .. } => {
                Some(self.write_artefact(Arc::clone(model), points.clone()).await?)
            }
            _ => None,
        };
        let mut session = self.write().await?;
        let now = session.now(&self.inner.ambient).await?;
        let stop = args![&claim.job.id, claim.number, now];
        if matches!(ending, Ending::Cancelled) {
            // nothing of the row matters but that it is still the claim's, which this asks by itself
            let Some(record) = session.optional::<JobRecord>(&queries::STOP, stop).await? else {
                return ended_before(session, claim, &ending).await;
            };
            self.commit_end(session, &record, now).await?;
            return self.announce_end(record);
        }
        let Some(record) = session.optional::<JobRecord>(&queries::CLAIMED, args![&claim.job.id, claim.number]).await? else {
            return ended_before(session, claim, &ending).await;
        };
        let before = Job::try_from(record)?;
        let ended = match ending {
            _ if before.cancel_requested => session.optional(&queries::STOP, stop).await?,
            Ending::Cancelled => None,
            Ending::HandedBack => session.optional(&queries::HAND_BACK, args![&before.id, claim.number]).await?,
            Ending::Interrupted { error } if before.attempt >= before.max_attempts => {
                self.fail(&mut session, claim, &before, now, (&error, Some(Reason::AttemptsExhausted), Vec::new())).await?
            }
            Ending::Interrupted { .. } => {
                let again = later(now, self.pause_after(before.attempt));
                session.optional(&queries::RETRY, args![&before.id, claim.number, again]).await?
            }
            Ending::Failed { error, reason, warnings } => self.fail(&mut session, claim, &before, now, (&error, reason, warnings)).await?,
            Ending::Reported { result, warnings } => {
                let warnings = joined_warnings(&before, warnings);
                tell_warnings(&mut session, &self.inner.ambient, &before.id, &warnings, &before.warnings, now).await?;
                if let Some(metrics) = telling::metrics(&result) {
                    append(&mut session, &self.inner.ambient, &before.id, now, &metrics).await?;
                }
                let end = args![&before.id, claim.number, now, to_text(&result)?, to_text(&warnings)?];
                session.optional(&queries::SUCCEED, end).await?
            }
            Ending::Succeeded { model, .. } => match draft {
                Some(artefact) => return self.succeed(session, claim, &before, now, (&model, artefact), Beside::default()).await,
                None => None,
            },
            Ending::Measured { model, base, measured, .. } => match (draft, base) {
                (Some(_), Some(base)) if session.optional::<(String,)>(&queries::PIN_MODEL, args![&base.id]).await?.is_none() => {
                    self.fail(&mut session, claim, &before, now, (&Failure::base_deleted(&base.reference()), None, Vec::new())).await?
                }
                (Some(artefact), base) => {
                    return self.succeed(session, claim, &before, now, (&model, artefact), Beside { base, measured }).await;
                }
                (None, _) => None,
            },
        };
        let Some(record) = ended else { return Ok(Finished::Fenced) };
        self.commit_end(session, &record, now).await?;
        self.announce_end(record)
    }

    /// Tells of the ending and makes it durable. What a job has done so far is of no use once it has ended; one that goes
    /// back to the queue keeps it.
    async fn commit_end(&self, mut session: Session, record: &JobRecord, now: i64) -> Result<(), StoreError> {
        tell_status(&mut session, &self.inner.ambient, record, now).await?;
        webhooks::record(&mut session, &self.inner.ambient, &record.id).await?;
        let left = if record.is_final() { checkpoints::forget(&mut session, &record.id).await? } else { Vec::new() };
        session.commit().await?;
        if !left.is_empty() {
            let store = self.clone();
            tokio::spawn(async move { store.remove_files(left).await });
        }
        Ok(())
    }

    /// Exponential back-off with full jitter: anything from nothing to a bound that doubles with every attempt.
    fn pause_after(&self, attempt: i64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(20);
        let bound = PAUSE.saturating_mul(1 << doublings).min(PAUSE_MAX);
        let mut bytes = [0; 4];
        self.inner.ambient.random.fill(&mut bytes);
        bound.mul_f64(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
    }

    fn announce_end(&self, record: JobRecord) -> Result<Finished, StoreError> {
        let job = Job::try_from(record)?;
        self.hub().announce_job(&job.id);
        if !job.status.is_final() {
            self.hub().announce_work();
        }
        Ok(Finished::Stored(Box::new(job)))
    }

    async fn succeed(
        &self,
        mut session: Session,
        claim: &Claim,
        job: &Job,
        now: i64,
        (model, artefact): (&Model, Artefact),
        Beside { base, measured }: Beside,
    ) -> Result<Finished, StoreError> {
        let name = job.model.as_deref().ok_or_else(|| StoreError::Row(format!("{} has no name for its model", job.id)))?;
        let new = NewModel {
            project: &job.project,
            name,
            job: &job.id,
            dataset: &job.dataset,
            names: base.as_ref().map_or(claim.dataset.names.as_ref(), |base| base.names.as_ref()),
            promoted: false,
        };
        let ModelRow { version, size_bytes, .. } = self.add_model_in(&mut session, &new, &model.card(), &artefact, now).await?;
        let mut result = match model {
            Model::Linear(LinearModel { card, .. }) => {
                job::fit_result(name, version, card.lambda, card.sparsity.nonzeros, card.converged(), card.certificate.relative_gap)
            }
            Model::Tree(TreeModel { card, .. }) => {
                let mut result =
                    job::tree_result(name, version, card.ccp_alpha, card.sparsity.leaves, card.sparsity.depth, card.converged());
                (result["size_bytes"], result["node_bytes"]) = (size_bytes.into(), card.node_bytes().into());
                result
            }
            Model::Rules(RulesModel { card, .. }) => {
                let size = (card.sparsity.rules, card.sparsity.linear_terms);
                job::rules_result(name, version, card.lambda, size, card.converged(), card.certificate.relative_gap)
            }
            Model::Network(NetworkModel { card, .. }) => {
                let sparsity = &card.sparsity;
                let mut result = job::network_result(name, version, sparsity.nonzeros, sparsity.sparsity_ratio, card.converged());
                result["size_bytes"] = size_bytes.into();
                result
            }
            Model::Ensemble(EnsembleModel { card, .. }) => {
                let EnsembleSparsity { n_trees, leaves, depth, .. } = card.sparsity;
                let mut result = job::ensemble_result(name, version, n_trees, leaves, depth, card.converged());
                result["size_bytes"] = size_bytes.into();
                result
            }
        };
        if let Some(result) = result.as_object_mut() {
            result.extend(measured);
        }
        let warnings = joined_warnings(job, model.warnings().to_vec());
        // before the ending: who hears of that listens no longer
        tell_warnings(&mut session, &self.inner.ambient, &job.id, &warnings, &job.warnings, now).await?;
        if let Some(metrics) = telling::metrics(&result) {
            append(&mut session, &self.inner.ambient, &job.id, now, &metrics).await?;
        }
        let end = args![&job.id, claim.number, now, to_text(&result)?, to_text(&warnings)?];
        let Some(record) = session.optional::<JobRecord>(&queries::SUCCEED, end).await? else {
            return Ok(Finished::Fenced);
        };
        let kept = artefact.keep();
        self.commit_end(session, &record, now).await?;
        drop(kept);
        self.hub().announce_models();
        self.announce_end(record)
    }

    async fn fail(
        &self,
        session: &mut Session,
        claim: &Claim,
        job: &Job,
        now: i64,
        (error, reason, warnings): (&Failure, Option<Reason>, Vec<Warning>),
    ) -> Result<Option<JobRecord>, StoreError> {
        let warnings = joined_warnings(job, warnings);
        tell_warnings(session, &self.inner.ambient, &job.id, &warnings, &job.warnings, now).await?;
        let end = args![&job.id, claim.number, now, reason.map(Reason::as_str), to_text(error)?, to_text(&warnings)?];
        session.optional(&queries::FAIL, end).await
    }

    /// Requeues (or fails, once attempts are used up) jobs whose lease ran out, and jobs of `dead_owner` at once.
    /// Those whose cancel was asked are cancelled. Fails queued jobs that were not started in time. Returns how many.
    pub async fn rescue(&self, dead_owner: Option<&str>) -> Result<u64, StoreError> {
        self.rescue_all(None, dead_owner).await
    }

    /// Rescues every running job: for the start of a process that knows itself alone.
    pub(super) async fn rescue_everything(&self) -> Result<u64, StoreError> {
        self.rescue_all(Some(i64::MAX), None).await
    }

    async fn rescue_all(&self, expired_by: Option<i64>, dead_owner: Option<&str>) -> Result<u64, StoreError> {
        let mut again = self.again();
        loop {
            match self.rescue_now(expired_by, dead_owner).await {
                Err(error) if again.after_any(&error).await => {}
                done => return done,
            }
        }
    }

    async fn rescue_now(&self, expired_by: Option<i64>, dead_owner: Option<&str>) -> Result<u64, StoreError> {
        let mut session = self.write().await?;
        let now = session.now(&self.inner.ambient).await?;
        let expired_by = match expired_by {
            Some(time) => time,
            None => session.lease_now(&self.inner.ambient).await?,
        };
        let error = to_text(&Failure::attempts_exhausted())?;
        let mut ended = session.all::<(String,)>(&queries::RESCUE_CANCELLED, args![expired_by, dead_owner, now]).await?;
        ended.extend(session.all::<(String,)>(&queries::RESCUE_FAILED, args![expired_by, dead_owner, now, error]).await?);
        let missed = args![now, to_text(&Failure::start_deadline())?];
        ended.extend(session.all::<(String,)>(&queries::MISS_START, missed).await?);
        let requeued = session.all::<(String,)>(&queries::RESCUE_QUEUED, args![expired_by, dead_owner]).await?;
        if ended.is_empty() && requeued.is_empty() {
            return Ok(0);
        }
        tell_rescued(&mut session, &self.inner.ambient, &[&*ended, &*requeued].concat(), now).await?;
        for (id,) in &ended {
            webhooks::record(&mut session, &self.inner.ambient, id).await?;
        }
        session.commit().await?;
        if !requeued.is_empty() {
            self.hub().announce_work();
        }
        let rescued = ended.len() + requeued.len();
        for (text,) in ended.into_iter().chain(requeued) {
            self.hub().announce_job(&super::records::id(Kind::Job, &text)?);
        }
        Ok(rescued as u64)
    }

    /// Counts of jobs that wait and that run, over all projects.
    pub async fn queue_counts(&self) -> Result<QueueCounts, StoreError> {
        let (queued, running) = self.read().await?.one::<(i64, i64)>(&queries::QUEUE_COUNTS, args![]).await?;
        Ok(QueueCounts { queued: u64::try_from(queued).unwrap_or(0), running: u64::try_from(running).unwrap_or(0) })
    }
}

/// The next job: projects take turns, and in a project the first by priority and age is next. It is waited for when it
/// does not fit yet, so that small jobs cannot keep a large one out for ever.
async fn next_job(session: &mut Session, now: i64, room: Room) -> Result<Option<String>, StoreError> {
    let [total, free] = [room.total, room.free].map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    for (project,) in session.all::<(String,)>(&queries::WAITING_PROJECTS, args![]).await? {
        let next = session.optional::<(String, i64)>(&queries::NEXT_JOB, args![project, now, total]).await?;
        if let Some((id, bytes)) = next {
            return Ok((bytes <= free).then_some(id));
        }
    }
    Ok(None)
}

/// Whether this very ending was stored before, and only its answer was lost. Another's hand in it means that it was not.
async fn ended_before(mut session: Session, claim: &Claim, ending: &Ending) -> Result<Finished, StoreError> {
    let found = session.optional::<JobRecord>(&queries::ENDED, args![&claim.job.id, claim.number]).await?;
    // told once it is durable
    session.commit().await?;
    let Some(record) = found else { return Ok(Finished::Fenced) };
    let job = Job::try_from(record)?;
    let ours = match (job.status, ending) {
        (Status::Cancelled, _) => true,
        // nobody else makes a job succeed under this number
        (Status::Succeeded, Ending::Succeeded { .. } | Ending::Measured { .. } | Ending::Reported { .. }) => true,
        (Status::Failed, Ending::Failed { error, reason, .. }) => job.error.as_ref() == Some(error) && job.reason == *reason,
        _ => false,
    };
    Ok(if ours { Finished::Stored(Box::new(job)) } else { Finished::Fenced })
}

/// Warnings of the submission, then those of the fit that say something new.
fn joined_warnings(job: &Job, more: Vec<Warning>) -> Vec<Warning> {
    let mut warnings = job.warnings.clone();
    for warning in more {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings
}
