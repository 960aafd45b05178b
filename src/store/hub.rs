//! The change hub: a commit that matters is announced here, within this process.
//!
//! Announcements only hint. Whoever waits reads the row again after waking, and polls now and then: a change made by
//! another process is heard here too (`wire.rs`), but not for certain.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::hints::{Hints, Outbox};
use crate::id::Id;

type Jobs = Arc<Mutex<HashMap<Id, Told>>>;

/// The change hub: workers of the same process hear of new work and of a cancel in milliseconds, and waiting requests
/// wake. Rows stay the truth; whoever waits reads again after waking.
#[derive(Debug, Default)]
pub struct Hub {
    work: watch::Sender<u64>,
    models: watch::Sender<u64>,
    jobs: Jobs,
    /// For the herald; `None` where there are no others.
    outbox: Option<Outbox>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    changes: u64,
    cancel: bool,
}

/// What those hear who watch one job.
#[derive(Debug, Default)]
struct Told {
    heard: watch::Sender<Heard>,
    /// Requests of this process for its cancel that are not committed yet.
    asking: watch::Sender<usize>,
}

impl Told {
    fn is_heard(&self) -> bool {
        self.heard.receiver_count() + self.asking.receiver_count() > 0
    }
}

impl Hub {
    /// A hub whose announcements are also for other processes.
    pub(super) fn shared() -> Self {
        Self { outbox: Some(Outbox::default()), ..Self::default() }
    }

    pub(super) fn outbox(&self) -> Option<&Outbox> {
        self.outbox.as_ref()
    }

    /// Resolves at the next announcement of new work after this call was first polled, or after `timeout`.
    pub async fn work(&self, timeout: Duration) {
        self.watch_work().changed(timeout).await;
    }

    /// A receiver for new work: subscribe, look at the queue, then await `changed`; nothing in between is missed.
    pub fn watch_work(&self) -> WorkWatch {
        WorkWatch { heard: self.work.subscribe() }
    }

    /// A receiver for changes of one job: subscribe, read the row, then await `changed`.
    pub fn watch_job(&self, id: &Id) -> JobWatch {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let told = jobs.entry(id.clone()).or_default();
        let (heard, asking) = (told.heard.subscribe(), told.asking.subscribe());
        JobWatch { id: id.clone(), heard: Some((heard, asking)), jobs: Arc::clone(&self.jobs) }
    }

    /// Says that somebody is asking for the cancel of a job, until what is returned is dropped. Nothing is promised yet: a
    /// fit may hold its breath, and leave the processors to those who store the wish.
    pub(super) fn asking(&self, id: &Id) -> Asking {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let asking = jobs.get(id).map(|told| told.asking.clone());
        if let Some(asking) = &asking {
            asking.send_modify(|asking| *asking += 1);
        }
        Asking(asking)
    }

    /// Grows with every model published or deleted and every alias moved in this process: what a cache of "latest" versions and
    /// of aliases compares. It has grown before the call that published, deleted or moved returns.
    pub fn models_epoch(&self) -> u64 {
        *self.models.borrow()
    }

    pub(super) fn announce_work(&self) {
        self.work.send_modify(|changes| *changes += 1);
        self.pass_on(|hints| hints.work = true);
    }

    pub(super) fn announce_models(&self) {
        self.models.send_modify(|epoch| *epoch += 1);
        self.pass_on(|hints| hints.models = true);
    }

    pub(super) fn announce_job(&self, id: &Id) {
        self.tell(id, false);
        self.pass_on(|hints| hints.jobs.extend([id.clone()]));
    }

    pub(super) fn announce_cancel(&self, id: &Id) {
        self.tell(id, true);
        self.pass_on(|hints| hints.cancels.extend([id.clone()]));
    }

    fn pass_on(&self, add: impl FnOnce(&mut Hints)) {
        if let Some(outbox) = &self.outbox {
            outbox.put(add);
        }
    }

    /// Announces here what another process told.
    pub(super) fn hear(&self, hints: Hints) {
        if hints.work || hints.all {
            self.work.send_modify(|changes| *changes += 1);
        }
        if hints.models || hints.all {
            self.models.send_modify(|epoch| *epoch += 1);
        }
        if hints.all {
            let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.values().for_each(|told| told.heard.send_modify(|heard| heard.changes += 1));
        }
        hints.jobs.iter().for_each(|id| self.tell(id, false));
        hints.cancels.iter().for_each(|id| self.tell(id, true));
    }

    fn tell(&self, id: &Id, cancel: bool) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = jobs.get(id) {
            told.heard.send_modify(|heard| {
                heard.changes += 1;
                heard.cancel |= cancel;
            });
        }
    }
}

/// See [`Hub::watch_work`].
#[derive(Debug)]
pub struct WorkWatch {
    heard: watch::Receiver<u64>,
}

impl WorkWatch {
    /// Resolves at the next announcement after the subscription or the last call, or after `timeout`.
    pub async fn changed(&mut self, timeout: Duration) {
        // an error would mean that the hub is gone: then only the timeout is left
        let heard = async {
            if self.heard.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let _ = tokio::time::timeout(timeout, heard).await;
    }
}

/// See [`Hub::asking`].
pub(super) struct Asking(Option<watch::Sender<usize>>);

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(asking) = &self.0 {
            asking.send_modify(|asking| *asking -= 1);
        }
    }
}

/// See [`Hub::watch_job`].
#[derive(Debug)]
pub struct JobWatch {
    id: Id,
    heard: Option<(watch::Receiver<Heard>, watch::Receiver<usize>)>,
    jobs: Jobs,
}

impl JobWatch {
    /// Resolves at the next change after the subscription or the last call; never, when nothing happens.
    pub async fn changed(&mut self) {
        if let Some((heard, _)) = &mut self.heard
            && heard.changed().await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Resolves once it is heard that cancel of the job was asked, after somebody began to watch it.
    pub async fn cancelled(&mut self) {
        if let Some((heard, _)) = &mut self.heard
            && heard.wait_for(|heard| heard.cancel).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }

    /// Resolves when somebody in this process begins (`true`) or ceases (`false`) to ask for the job's cancel, whatever
    /// came of it; to be told which of the two is `now`.
    pub async fn asking(&mut self, now: bool) {
        if let Some((_, asking)) = &mut self.heard
            && asking.wait_for(|asking| (*asking > 0) == now).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        self.heard = None;
        if jobs.get(&self.id).is_some_and(|told| !told.is_heard()) {
            jobs.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Ambient;
    use crate::id::Kind;

    #[tokio::test]
    async fn what_is_announced_between_subscription_and_waiting_is_heard() {
        let hub = Hub::default();
        let id = Id::new(Kind::Job, &Ambient::system());
        let (mut job, mut work) = (hub.watch_job(&id), hub.watch_work());
        hub.announce_job(&id);
        hub.announce_work();
        job.changed().await;
        work.changed(Duration::from_secs(3600)).await;
        hub.announce_cancel(&id);
        job.cancelled().await;
    }

    #[tokio::test]
    async fn who_watches_a_job_hears_that_its_cancel_is_being_asked_and_that_it_is_not_any_more() {
        let hub = Hub::default();
        let id = Id::new(Kind::Job, &Ambient::system());
        drop(hub.asking(&id));
        let mut job = hub.watch_job(&id);
        job.asking(false).await;
        let (one, two) = (hub.asking(&id), hub.asking(&id));
        job.asking(true).await;
        drop(one);
        job.asking(true).await;
        drop(two);
        job.asking(false).await;
    }

    #[test]
    fn a_job_nobody_watches_takes_no_memory() {
        let hub = Hub::default();
        let id = Id::new(Kind::Job, &Ambient::system());
        let (one, two) = (hub.watch_job(&id), hub.watch_job(&id));
        drop(one);
        assert_eq!(hub.jobs.lock().unwrap().len(), 1);
        drop(two);
        assert!(hub.jobs.lock().unwrap().is_empty());
        hub.announce_job(&id);
        assert!(hub.jobs.lock().unwrap().is_empty());
    }
}
