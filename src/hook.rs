//! What a webhook can tell: the closed list of event words, and who wants to hear which of them where.
//!
//! Words only. How they are sent, signed and guarded is the business of `webhook/`; that they are sent is the store's.

use crate::job::Status;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Event {
    JobStarted,
    /// At most every ten seconds of a running job.
    JobProgress,
    JobSucceeded,
    JobFailed,
    JobCancelled,
    DatasetReady,
    /// An alias was made, moved or deleted.
    AliasMoved,
}

impl Event {
    /// Every event.
    pub const ALL: [Event; 7] = [
        Self::JobStarted,
        Self::JobProgress,
        Self::JobSucceeded,
        Self::JobFailed,
        Self::JobCancelled,
        Self::DatasetReady,
        Self::AliasMoved,
    ];
    /// Those that can be about one job.
    pub const OF_A_JOB: [Event; 5] = [Self::JobStarted, Self::JobProgress, Self::JobSucceeded, Self::JobFailed, Self::JobCancelled];
    /// The ways a job ends: what a hook hears that names no events.
    pub const ENDS: [Event; 3] = [Self::JobSucceeded, Self::JobFailed, Self::JobCancelled];

    /// The word in the database, in JSON and in a message's `type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JobStarted => "job.started",
            Self::JobProgress => "job.progress",
            Self::JobSucceeded => "job.succeeded",
            Self::JobFailed => "job.failed",
            Self::JobCancelled => "job.cancelled",
            Self::DatasetReady => "dataset.ready",
            Self::AliasMoved => "alias.moved",
        }
    }

    /// The event of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == word)
    }

    /// What there is to tell when a job has reached this status; nothing of one that waits.
    pub fn of(status: Status) -> Option<Self> {
        match status {
            Status::Queued => None,
            Status::Running => Some(Self::JobStarted),
            Status::Succeeded => Some(Self::JobSucceeded),
            Status::Failed => Some(Self::JobFailed),
            Status::Cancelled => Some(Self::JobCancelled),
        }
    }
}

/// Where to tell, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Where; a text until `webhook/` has understood it.
    pub url: String,
    /// What, without repetition.
    pub events: Vec<Event>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_one_word_and_every_end_of_a_job_one_event() {
        for event in Event::ALL {
            assert_eq!(Event::parse(event.as_str()), Some(event));
        }
        for status in Status::ALL {
            assert_eq!(Event::of(status).is_some_and(|event| Event::ENDS.contains(&event)), status.is_final());
        }
    }
}
