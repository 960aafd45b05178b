//! What a project has, summed from its rows whenever it is asked for, and whether it may have more.
//!
//! There is no counter that could drift. A data set is checked under a lock of its project, so that uploads of the same
//! moment cannot pass the quota together; submissions of the same moment may, on PostgreSQL, by their number.

use super::db::{Session, args};
use super::{Store, StoreError, queries};

/// What a project has now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of stored data sets, their names, and models.
    pub stored_bytes: u64,
    /// Data set versions.
    pub datasets: u64,
    /// Model versions.
    pub models: u64,
    /// Jobs queued or running that may become a model each.
    pub jobs: u64,
}

impl Store {
    /// What a project has now.
    pub async fn usage(&self, project: &str) -> Result<Usage, StoreError> {
        usage(&mut self.read().await?, project).await
    }

    /// Refuses a data set of `bytes` for which there is no room; holds the project until the end of the transaction.
    pub(super) async fn room_for_dataset(&self, session: &mut Session, project: &str, bytes: u64) -> Result<(), StoreError> {
        if !session.is_sqlite() {
            session.execute(&queries::HOLD_PROJECT, args![project]).await?;
        }
        let quotas = &self.inner.config.quotas;
        let used = usage(session, project).await?;
        within("data set versions", used.datasets, 1, quotas.datasets)?;
        within("stored bytes", used.stored_bytes, bytes, quotas.stored_bytes)
    }

    /// Refuses a job for whose model there is no room.
    pub(super) async fn room_for_model(&self, session: &mut Session, project: &str) -> Result<(), StoreError> {
        let quotas = &self.inner.config.quotas;
        let used = usage(session, project).await?;
        within("model versions", used.models + used.jobs, 1, quotas.models)?;
        within("stored bytes", used.stored_bytes, 1, quotas.stored_bytes)
    }
}

async fn usage(session: &mut Session, project: &str) -> Result<Usage, StoreError> {
    let (bytes, datasets, models, jobs) = session.one::<(i64, i64, i64, i64)>(&queries::USAGE, args![project]).await?;
    let count = |number: i64| u64::try_from(number).map_err(|_| StoreError::Row("a negative sum".into()));
    Ok(Usage { stored_bytes: count(bytes)?, datasets: count(datasets)?, models: count(models)?, jobs: count(jobs)? })
}

fn within(what: &str, used: u64, more: u64, most: u64) -> Result<(), StoreError> {
    if used.saturating_add(more) <= most {
        return Ok(());
    }
    Err(StoreError::OverQuota(format!("the project has {used} {what} of at most {most}, and needs {more} more")))
}
