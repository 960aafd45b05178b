//! What one process tells the others over PostgreSQL: which rows are worth reading again. Words and their spelling only.
//!
//! A payload is `ORIGIN word word …`; the words are `work`, `models`, `all`, `job:ID` and `cancel:ID`. An unknown word
//! is passed over: it may be a newer program's. Nothing here is trusted with more than a look at a row.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::id::{Id, Kind};

/// A payload may have 8000 bytes; a word has at most 38.
const WORDS_MAX: usize = 200;
/// With more jobs than this to tell of, "all" says it shorter.
const JOBS_MAX: usize = 2000;

/// What is to be told; the same thing told twice is told once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// There is work to claim.
    pub(super) work: bool,
    /// Models were published or deleted, or aliases moved.
    pub(super) models: bool,
    /// Anything may have changed.
    pub(super) all: bool,
    /// Jobs that changed.
    pub(super) jobs: HashSet<Id>,
    /// Jobs whose cancel was asked.
    pub(super) cancels: HashSet<Id>,
}

impl Hints {
    /// As payloads from `origin`.
    pub(super) fn payloads(&self, origin: &str) -> Vec<String> {
        let flags = [(self.work, "work"), (self.models, "models"), (self.all, "all")];
        let mut words: Vec<String> = flags.iter().filter(|(said, _)| *said).map(|(_, word)| (*word).to_owned()).collect();
        words.extend(self.cancels.iter().map(|id| format!("cancel:{id}")));
        words.extend(self.jobs.difference(&self.cancels).map(|id| format!("job:{id}")));
        words.chunks(WORDS_MAX).map(|some| format!("{origin} {}", some.join(" "))).collect()
    }

    /// Origin and hints of a payload.
    pub(super) fn parse(payload: &str) -> (&str, Self) {
        let mut words = payload.split(' ');
        let origin = words.next().unwrap_or_default();
        let mut hints = Self::default();
        for word in words {
            match word.split_once(':') {
                None if word == "work" => hints.work = true,
                None if word == "models" => hints.models = true,
                None if word == "all" => hints.all = true,
                Some(("job", id)) => hints.jobs.extend(Id::parse(Kind::Job, id)),
                Some(("cancel", id)) => hints.cancels.extend(Id::parse(Kind::Job, id)),
                _ => {}
            }
        }
        (origin, hints)
    }
}

/// Where hints wait for the herald.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Hints>,
    more: Notify,
}

impl Outbox {
    /// Adds to what waits.
    pub(super) fn put(&self, add: impl FnOnce(&mut Hints)) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut waiting);
        if waiting.jobs.len() + waiting.cancels.len() > JOBS_MAX {
            *waiting = Hints { all: true, ..Hints::default() };
        }
        self.more.notify_one();
    }

    /// All that waits, once something does.
    pub(super) async fn take(&self) -> Hints {
        self.more.notified().await;
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::Ambient;

    #[test]
    fn hints_are_read_as_they_were_written() {
        let ambient = Ambient::system();
        let jobs: HashSet<Id> = (0..500).map(|_| Id::new(Kind::Job, &ambient)).collect();
        let cancels: HashSet<Id> = jobs.iter().take(3).cloned().collect();
        let said = Hints { work: true, models: true, all: true, jobs: jobs.clone(), cancels: cancels.clone() };
        let payloads = said.payloads("me");
        assert!(payloads.len() == 3 && payloads.iter().all(|payload| payload.len() < 8000));
        let mut heard = Hints::default();
        for payload in &payloads {
            let (origin, part) = Hints::parse(payload);
            assert_eq!(origin, "me");
            heard.work |= part.work;
            heard.models |= part.models;
            heard.all |= part.all;
            heard.jobs.extend(part.jobs);
            heard.cancels.extend(part.cancels);
        }
        assert_eq!(heard, Hints { jobs: jobs.difference(&cancels).cloned().collect(), cancels, ..said });
    }

    #[test]
    fn words_nobody_knows_are_passed_over() {
        for payload in ["", "me", "me  ", "me job:", "me job:../x cancel:1 news:2 \u{0}", "me job:job_"] {
            assert_eq!(Hints::parse(payload).1, Hints::default(), "{payload:?}");
        }
    }

    #[tokio::test]
    async fn more_than_can_be_told_is_told_as_all() {
        let outbox = Outbox::default();
        for _ in 0..=JOBS_MAX {
            outbox.put(|hints| hints.jobs.extend([Id::new(Kind::Job, &Ambient::system())]));
        }
        assert_eq!(outbox.take().await, Hints { all: true, ..Hints::default() });
    }
}
