//! One action on every job that a filter means: as many transactions as it takes, each of a bounded number of jobs.
//!
//! Goes from the newest to the oldest, so that jobs submitted meanwhile are not met.

use super::db::args;
use super::jobs::filtered;
use super::records::id;
use super::{Bulk, Cursor, JobFilter, Store, StoreError, queries, to_the_end};
use crate::id::{Id, Kind};

/// Jobs of one transaction: few enough that nobody waits long for it.
const AT_ONCE: u64 = 200;

impl Store {
    /// [`Store::request_cancel`] of every job that the filter means.
    pub async fn cancel_jobs(&self, project: &str, filter: &JobFilter) -> Result<Bulk, StoreError> {
        let (store, project, filter) = (self.clone(), project.to_owned(), filter.clone());
        to_the_end(async move {
            let (mut bulk, mut after) = (Bulk::default(), None);
            while let Some(jobs) = store.next_jobs(&project, &filter, &mut after).await? {
                let mut session = store.write().await?;
                let now = session.now(&store.inner.ambient).await?;
                let mut changed = Vec::new();
                for job in &jobs {
                    if store.cancel_in(&mut session, &project, job, now).await?.is_some() {
                        changed.push(job);
                    }
                }
                session.commit().await?;
                changed.iter().for_each(|job| store.hub().announce_cancel(job));
                bulk.matched += jobs.len() as u64;
                bulk.affected += changed.len() as u64;
            }
            Ok(bulk)
        })
        .await
    }

    /// [`Store::delete_job`] of every job that the filter means; those that have not ended stay.
    pub async fn delete_jobs(&self, project: &str, filter: &JobFilter) -> Result<Bulk, StoreError> {
        let (store, project, filter) = (self.clone(), project.to_owned(), filter.clone());
        to_the_end(async move {
            let (mut bulk, mut after) = (Bulk::default(), None);
            while let Some(jobs) = store.next_jobs(&project, &filter, &mut after).await? {
                let mut session = store.write().await?;
                for job in &jobs {
                    bulk.affected += session.execute(&queries::DELETE_JOB, args![&*project, job]).await?;
                }
                session.commit().await?;
                bulk.matched += jobs.len() as u64;
            }
            Ok(bulk)
        })
        .await
    }

    /// The next few jobs of a filter after `after`, which is moved behind them; `None` at the end.
    async fn next_jobs(&self, project: &str, filter: &JobFilter, after: &mut Option<Cursor>) -> Result<Option<Vec<Id>>, StoreError> {
        let wanted = filtered(project, filter, after.as_ref(), AT_ONCE)?;
        let found = self.read().await?.all::<(i64, String)>(&queries::JOB_PLACES, wanted).await?;
        let places = found.into_iter().map(|(created_at, text)| Ok(Cursor { created_at, id: id(Kind::Job, &text)? }));
        let places = places.collect::<Result<Vec<_>, StoreError>>()?;
        *after = places.last().cloned();
        Ok(if places.is_empty() { None } else { Some(places.into_iter().map(|place| place.id).collect()) })
    }
}
