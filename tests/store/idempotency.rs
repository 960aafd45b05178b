//! Idempotency keys: one effect, one answer, whoever races, dies or comes late.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sparsefit::ambient::{Ambient, Clock};
use sparsefit::job::Job;
use sparsefit::store::{Answer, DatasetRow, Enqueued, JobFilter, Kept, Keyed, Once, Slot, Store, StoreConfig};
use tokio::task::JoinSet;

use crate::house::{House, P, add_dataset, ingested, new_job};

fn slot(key: &str) -> Slot {
    Slot { project: P.into(), holder: String::new(), route: "POST /jobs", key: key.into() }
}

fn keyed(key: &str, fingerprint: &str) -> Keyed {
    Keyed { slot: slot(key), fingerprint: fingerprint.into(), live_max: 10_000 }
}

fn told(job: &Job, position: Option<u64>) -> Answer {
    Answer { status: 202, location: format!("/jobs/{}", job.id), body: format!("{{\"at\":{position:?}}}") }
}

async fn submit(store: &Store, dataset: &DatasetRow, keyed: Keyed) -> Once<Job, Enqueued> {
    store.enqueue_once(new_job(dataset, "m"), keyed, |job, position| Ok(told(job, position))).await.unwrap()
}

async fn jobs(store: &Store) -> usize {
    store.jobs(P, &JobFilter::default(), None, 1000).await.unwrap().items.len()
}

pub(crate) async fn a_hundred_equal_submissions_at_once_are_one_job(house: House) {
    let first = house.open().await;
    let mut stores = vec![first.clone()];
    if house.url().is_some() {
        stores.extend([house.open().await, house.open().await]);
    }
    let dataset = add_dataset(&first, P, "d", false).await;
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let (store, dataset) = (stores[number % stores.len()].clone(), dataset.clone());
        tasks.spawn(async move {
            match submit(&store, &dataset, keyed("k", "same")).await {
                Once::Done(_, answer) => (1, answer),
                Once::Before(kept) => (0, kept.answer),
                other => panic!("{other:?}"),
            }
        });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().map(|(first, _)| first).sum::<usize>(), 1);
    assert!(outcomes.iter().all(|(_, answer)| *answer == outcomes[0].1), "all hear the same");
    assert_eq!(jobs(&first).await, 1);
}

pub(crate) async fn what_was_answered_outlives_the_process_that_answered(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    // the process ends after the commit and before anybody hears of it
    let Once::Done(_, answer) = submit(&store, &dataset, keyed("k", "one")).await else { panic!("the first") };
    store.close().await;
    drop(store);
    let store = house.open().await;
    let kept = Kept { fingerprint: "one".into(), answer };
    assert_eq!(store.kept_answer(&slot("k")).await.unwrap().as_ref(), Some(&kept));
    let Once::Before(again) = submit(&store, &dataset, keyed("k", "two")).await else { panic!("used before") };
    assert_eq!(again, kept, "whoever asks compares the fingerprints");
    assert_eq!(jobs(&store).await, 1);
    for other in [
        Slot { project: "other".into(), ..slot("k") },
        Slot { holder: "key_2".into(), ..slot("k") },
        Slot { route: "POST /datasets", ..slot("k") },
        slot("K"),
    ] {
        assert_eq!(store.kept_answer(&other).await.unwrap(), None, "{other:?}");
    }
}

pub(crate) async fn a_request_without_effect_uses_up_no_key(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let gone = add_dataset(&store, P, "d", false).await;
    store.delete_dataset(P, "d", gone.version).await.unwrap();
    assert!(matches!(submit(&store, &gone, keyed("k", "one")).await, Once::Refused(Enqueued::DatasetGone)));
    assert_eq!(store.kept_answer(&slot("k")).await.unwrap(), None);
    assert!(matches!(submit(&store, &dataset, keyed("k", "two")).await, Once::Done(..)));
    let few = |key| Keyed { live_max: 1, ..keyed(key, "three") };
    assert!(matches!(submit(&store, &dataset, few("more")).await, Once::TooMany));
    assert_eq!(jobs(&store).await, 1, "a key too many has no effect");
}

pub(crate) async fn an_upload_sent_twice_is_one_version_and_leaves_no_file(house: House) {
    let store = house.open().await;
    let upload = |store: Store| async move {
        let (incoming, ingested) = ingested(&store, true);
        let render = |row: &DatasetRow| Ok(Answer { status: 201, location: format!("/{}", row.version), body: "{}".into() });
        store.add_dataset_once("d", incoming, ingested, keyed("k", "bytes"), render).await.unwrap()
    };
    let mut tasks = JoinSet::new();
    for _ in 0..10 {
        tasks.spawn(upload(store.clone()));
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|one| matches!(one, Once::Done(..))).count(), 1);
    assert!(outcomes.iter().all(|one| matches!(one, Once::Done(_, answer) | Once::Before(Kept { answer, .. }) if answer.location == "/1")));
    assert_eq!(store.dataset_versions(P, "d").await.unwrap(), [1]);
    assert_eq!(house.files().len(), 2, "data and names of the one: {:?}", house.files());
    assert_eq!(add_dataset(&store, P, "d", false).await.version, 2, "the others used up no number");
}

pub(crate) async fn a_later_answer_takes_the_place_of_the_first(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    submit(&store, &dataset, keyed("k", "one")).await;
    let later = Answer { status: 200, location: String::new(), body: "ended".into() };
    store.keep_later_answer(keyed("k", "another"), later.clone()).await.unwrap();
    assert_eq!(store.kept_answer(&slot("k")).await.unwrap().unwrap().answer.status, 202, "only for the same request");
    store.keep_later_answer(keyed("k", "one"), later).await.unwrap();
    let kept = store.kept_answer(&slot("k")).await.unwrap().unwrap().answer;
    assert_eq!((kept.status, &*kept.body), (200, "ended"));
    assert!(kept.location.starts_with("/jobs/job_"), "where it is does not change");
}

struct Hands(AtomicI64);

impl Clock for Hands {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// On SQLite, where time is handed in.
#[tokio::test]
async fn a_key_is_kept_for_a_day_whatever_the_clock_does_and_not_for_ever() {
    const HOUR: i64 = 3_600_000_000;
    let house = House::sqlite();
    let hands = Arc::new(Hands(AtomicI64::new(1_000_000 * HOUR)));
    let ambient = Ambient { clock: hands.clone(), ..Ambient::system() };
    let store = Store::open(StoreConfig { ..house.config() }, ambient).await.unwrap();
    let dataset = add_dataset(&store, P, "d", false).await;
    submit(&store, &dataset, keyed("k", "one")).await;
    for hours in [23, -48, 24] {
        hands.0.fetch_add(hours * HOUR, Ordering::Relaxed);
        store.sweep(Duration::from_secs(3600)).await.unwrap();
        assert!(store.kept_answer(&slot("k")).await.unwrap().is_some(), "{hours}");
    }
    hands.0.fetch_add(73 * HOUR, Ordering::Relaxed);
    assert_eq!(store.kept_answer(&slot("k")).await.unwrap(), None, "expired, though not yet swept");
    let few = Keyed { live_max: 1, ..keyed("k", "two") };
    assert!(matches!(submit(&store, &dataset, few).await, Once::Done(..)), "an expired key is free, and is not counted");
    hands.0.fetch_add(49 * HOUR, Ordering::Relaxed);
    store.sweep(Duration::from_secs(3600)).await.unwrap();
    hands.0.fetch_sub(49 * HOUR, Ordering::Relaxed);
    assert_eq!(store.kept_answer(&slot("k")).await.unwrap(), None, "swept");
}
