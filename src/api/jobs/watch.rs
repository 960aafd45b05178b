//! Watching a job: what `Prefer: wait` and event streams share.
//!
//! The store's hub wakes at once; the row is read again at least every half second, as another process may have changed
//! it. Only the pulse of the row is read, so that many can watch one job.

use std::time::Duration;

use crate::api::error::Problem;
use crate::api::state::Api;
use crate::id::Id;
use crate::store::{JobWatch, Pulse};

/// The row is read at least this often.
pub(crate) const REREAD: Duration = Duration::from_millis(500);

/// One who watches a job.
pub(crate) struct Watch {
    api: Api,
    pub(crate) project: String,
    pub(crate) job: Id,
    changes: JobWatch,
}

impl Watch {
    /// Subscribed here, read afterwards: no change can fall between.
    pub(crate) fn new(api: &Api, project: &str, job: &Id) -> Self {
        Self { api: api.clone(), project: project.to_owned(), job: job.clone(), changes: api.store.hub().watch_job(job) }
    }

    /// What there is to compare; `None` = the job is gone.
    pub(crate) async fn pulse(&self) -> Result<Option<Pulse>, Problem> {
        Ok(self.api.store.pulse(&self.project, &self.job).await?)
    }

    /// Resolves when the row is worth reading again, at the latest after `most`; `false` = the server stops.
    pub(crate) async fn changed(&mut self, most: Duration) -> bool {
        tokio::select! {
            () = self.changes.changed() => true,
            () = tokio::time::sleep(most.min(REREAD)) => true,
            () = self.api.life.drained() => false,
        }
    }
}
