//! Uploads under way, counted by project: a few may run at once, and what one may store is known before it begins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::error::Problem;
use crate::api::state::Api;
use crate::fault::Code;

/// Seconds after which a place may be free.
const RETRY_AFTER_S: u64 = 5;

/// Uploads under way in this process.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Arc<Mutex<HashMap<String, u64>>>);

/// The place of one upload; given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    running: Arc<Mutex<HashMap<String, u64>>>,
    project: String,
}

impl Uploads {
    /// A place for an upload of `project`, of at most `most`.
    pub(crate) fn begin(&self, project: &str, most: u64) -> Result<Place, Problem> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.get(project).copied().unwrap_or(0);
        if count >= most {
            let detail = format!("{count} uploads of this project are under way, which is all it may have");
            return Err(Problem::new(Code::RateLimited, detail).retry_after(RETRY_AFTER_S));
        }
        running.insert(project.to_owned(), count + 1);
        Ok(Place { running: self.0.clone(), project: project.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(&self.project) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                running.remove(&self.project);
            }
        }
    }
}

/// Bytes that an upload of `project` may store; none when it has its number of data sets.
pub(crate) async fn room(api: &Api, project: &str) -> Result<u64, Problem> {
    let (used, quota) = (api.store.usage(project).await?, &api.limits.quota);
    let room = quota.stored_bytes.saturating_sub(used.stored_bytes);
    if room == 0 || used.datasets >= quota.datasets {
        let detail = format!("the project has {} data set versions and {} stored bytes", used.datasets, used.stored_bytes);
        return Err(Problem::new(Code::QuotaExceeded, detail));
    }
    Ok(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_project_and_given_back() {
        let uploads = Uploads::default();
        let first = uploads.begin("a", 2).expect("a place");
        let second = uploads.begin("a", 2).expect("a place");
        assert!(uploads.begin("a", 2).is_err());
        let other = uploads.begin("b", 2).expect("another project");
        drop(first);
        let third = uploads.begin("a", 2).expect("given back");
        drop((second, third, other));
        assert!(uploads.0.lock().expect("no panic").is_empty(), "nothing is kept of a project at rest");
    }
}
