//! Room in a project's queue: its bound is exact, however many submit at once and from however many processes.
//!
//! On SQLite writers take turns anyway. On PostgreSQL two transactions do not see each other's rows: near the bound they
//! pass one by one; far from it they pass side by side, and whoever comes near waits until they are through.

use super::db::{Session, args};
use super::{Store, StoreError, queries};

/// More than ever submit at the same moment: a database has fewer connections.
const AT_ONCE: u64 = 256;

impl Store {
    /// Whether `project` may queue one more job; nobody else takes the place before the transaction ends.
    pub(super) async fn has_room(&self, session: &mut Session, project: &str) -> Result<bool, StoreError> {
        let most = self.inner.config.queue_max;
        if !session.is_sqlite() {
            if queued(session, project).await? + 2 * AT_ONCE < most {
                session.execute(&queries::SHARE_QUEUE, args![project]).await?;
                if queued(session, project).await? + AT_ONCE < most {
                    return Ok(true);
                }
            }
            session.execute(&queries::LOCK_QUEUE, args![project]).await?;
        }
        Ok(queued(session, project).await? < most)
    }
}

async fn queued(session: &mut Session, project: &str) -> Result<u64, StoreError> {
    let (queued,) = session.one::<(i64,)>(&queries::QUEUED_OF_PROJECT, args![project]).await?;
    Ok(u64::try_from(queued).unwrap_or(0))
}
