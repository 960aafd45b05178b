//! The couriers of a process: claim what is due, send it, settle it; and the clock that prunes what has long ended.
//!
//! They share nothing with the workers but the store: a receiver that is slow or away costs one place among a bounded
//! number, and no job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::schedule::delay;
use super::sender::{Answer, Message, Sender};
use super::sign::{Secret, sign};
use crate::store::{self, Attempt, DeliveryClaim, Store, StoreError};

/// Messages under way at once, from this process.
const AT_ONCE: usize = 32;
/// A receiver that hangs holds few places, and a project whose receivers all hang not most of them.
const AT_ONCE_AT_MOST: store::AtOnce = store::AtOnce { to_one_address: 4, of_one_project: 8 };
/// A claim is lost after this time; an attempt never takes as long.
const LEASE: Duration = Duration::from_secs(30);
/// The outbox is looked at about this often.
const POLL: Duration = Duration::from_millis(500);
/// Messages that ended are kept this long.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);
/// Those that ended earlier are looked for this often.
const PRUNE: Duration = Duration::from_secs(60);
/// A stop waits so long for messages under way; what is cut off is sent again by whoever comes next.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Attempts to send since the process began, by what came of them.
#[derive(Debug, Default)]
pub struct Outcomes {
    delivered: AtomicU64,
    again: AtomicU64,
    given_up: AtomicU64,
}

impl Outcomes {
    /// Each outcome's word and count.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("delivered", of(&self.delivered)), ("retried", of(&self.again)), ("failed", of(&self.given_up))]
    }

    fn count(&self, attempt: &Attempt) {
        let counter = match attempt {
            Attempt::Delivered { .. } => &self.delivered,
            Attempt::Again { .. } => &self.again,
            Attempt::GivenUp { .. } | Attempt::Gone { .. } => &self.given_up,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends a message that was claimed, and stores what became of it.
async fn deliver(store: &Store, sender: &Sender, outcomes: &Outcomes, claim: &DeliveryClaim) -> Result<(), StoreError> {
    let delivery = &claim.delivery;
    let timestamp = claim.now / 1_000_000;
    let secrets: Vec<Secret> = claim.secrets.iter().filter_map(|text| Secret::parse(text)).collect();
    let message = Message {
        url: delivery.url.clone(),
        id: delivery.id.to_string(),
        timestamp,
        signature: sign(&secrets, delivery.id.as_str(), timestamp, &delivery.body),
        body: delivery.body.clone(),
    };
    // nothing leaves unsigned
    let answer = if secrets.is_empty() { Err("there is no secret to sign with".to_owned()) } else { sender.send(&message).await };
    let mut random = [0; 8];
    store.ambient().random.fill(&mut random);
    let attempt = judge(answer, claim, u64::from_le_bytes(random));
    outcomes.count(&attempt);
    if !matches!(attempt, Attempt::Delivered { .. }) {
        tracing::info!(message = %delivery.id, attempt = delivery.attempts, ?attempt, "a webhook message was not delivered");
    }
    if !store.settle_delivery(claim, attempt).await? {
        tracing::warn!(message = %delivery.id, attempt = delivery.attempts, "what became of an attempt was refused: it is no longer the present one");
    }
    Ok(())
}

/// 2xx is delivered, 410 is wanted no more; anything else, redirects included, is tried again while there is time.
fn judge(answer: Answer, claim: &DeliveryClaim, random: u64) -> Attempt {
    let (status, error) = match answer {
        Ok(status @ 200..=299) => return Attempt::Delivered { status: status.into() },
        Ok(410) => return Attempt::Gone { status: 410 },
        Ok(status @ 300..=399) => (Some(status.into()), format!("answered {status}; redirects are not followed")),
        Ok(status) => (Some(status.into()), format!("answered {status}")),
        Err(what) => (None, what.chars().filter(|c| !c.is_control()).take(200).collect()),
    };
    match delay(claim.step, claim.age, random) {
        Some(after) => Attempt::Again { after, status, error },
        None => Attempt::GivenUp { status, error },
    }
}

/// The couriers of this process.
#[derive(Debug)]
pub struct Couriers {
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
    outcomes: Arc<Outcomes>,
}

impl Couriers {
    /// Starts them.
    pub fn start(store: &Store, sender: Sender) -> Self {
        let (stop, stopped) = watch::channel(false);
        let outcomes = Arc::new(Outcomes::default());
        let errands = tokio::spawn(run(store.clone(), sender, outcomes.clone(), stopped.clone()));
        let pruning = tokio::spawn(prune(store.clone(), stopped));
        Self { stop, tasks: [errands, pruning], outcomes }
    }

    /// What came of attempts so far; stays good after the couriers are gone.
    pub fn outcomes(&self) -> Arc<Outcomes> {
        self.outcomes.clone()
    }

    /// Stops promptly: nothing new is claimed, and what is under way has a second to end.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "the couriers failed");
            }
        }
    }
}

async fn run(store: Store, sender: Sender, outcomes: Arc<Outcomes>, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut errands = JoinSet::new();
    while !*stopped.borrow() {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = pause(Duration::MAX, &mut stopped) => break,
        };
        while let Some(ended) = errands.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "sending a message panicked; it will be sent again");
            }
        }
        match store.claim_delivery(LEASE, AT_ONCE_AT_MOST).await {
            Ok(Some(claim)) => {
                let (store, sender, outcomes) = (store.clone(), sender.clone(), outcomes.clone());
                errands.spawn(async move {
                    if let Err(error) = deliver(&store, &sender, &outcomes, &claim).await {
                        tracing::error!(%error, "what became of a message was not stored; it will be sent again");
                    }
                    drop(place);
                });
            }
            Ok(None) => {
                drop(place);
                pause(POLL, &mut stopped).await;
            }
            Err(error) => {
                drop(place);
                tracing::error!(%error, "the outbox cannot be read; trying again");
                pause(2 * POLL, &mut stopped).await;
            }
        }
    }
    let ended = async { while errands.join_next().await.is_some() {} };
    // an error means that some were cut off: their leases run out, and they are sent again
    let _ = tokio::time::timeout(LAST_WORDS, ended).await;
    errands.shutdown().await;
}

async fn prune(store: Store, mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow() {
        match store.prune_deliveries(KEPT).await {
            Ok(0) => {}
            Ok(messages) => {
                tracing::info!(messages, "old webhook messages were removed");
                continue;
            }
            Err(error) => tracing::error!(%error, "old webhook messages could not be removed"),
        }
        pause(PRUNE, &mut stopped).await;
    }
}

/// Waits so long, or until the process stops.
async fn pause(time: Duration, stopped: &mut watch::Receiver<bool>) {
    let _ = tokio::time::timeout(time, stopped.wait_for(|stop| *stop)).await;
}
