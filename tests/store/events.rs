//! Events: told in the transaction of what they tell, in order, and gone with their job.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sparsefit::ambient::{Ambient, Clock};
use sparsefit::id::Id;
use sparsefit::job::{Failure, Progress, Reason, Step};
use sparsefit::store::{Ending, Event, EventKind, FeedPlace, Finished, Level, NewEvent, NewJob, Store, StoreConfig};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::task::JoinSet;

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job, warning, with_jobs};

/// All events of a job, whose numbers must be 1, 2, 3, ….
async fn told(store: &Store, job: &Id) -> Vec<Event> {
    let events = store.events(P, job, 0, &[], 10_000).await.unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=events.len() as i64).collect::<Vec<_>>());
    let pulse = store.pulse(P, job).await.unwrap().expect("the job is there");
    assert_eq!(pulse.last_event, events.len() as i64);
    assert_eq!(store.job(P, job).await.unwrap().map(|job| job.status), Some(pulse.status));
    events
}

/// Type and data of each event.
fn said(events: &[Event]) -> Vec<(&'static str, Value)> {
    events.iter().map(|event| (event.kind.as_str(), event.data.clone())).collect()
}

async fn statuses(store: &Store, job: &Id) -> Vec<Value> {
    told(store, job).await.into_iter().filter(|event| event.kind == EventKind::Status).map(|event| event.data).collect()
}

pub(crate) async fn a_job_tells_its_life_in_order(house: House) {
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    let claimed = claim(&store).await;
    let steps = vec![Step { name: "path".into(), done: 1, total: 4 }];
    let progress = Progress { fraction: 0.25, eta_s: None, steps, current: None };
    store.heartbeat(&claimed, &progress).await.unwrap();
    store.finish(&claimed, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    let events = told(&store, &jobs[0].id).await;
    let expected = [
        ("status", json!({"status": "queued"})),
        ("warning", json!({"code": "submitted", "features": []})),
        ("status", json!({"status": "running", "attempt": 1})),
        ("progress", json!({"fraction": 0.25, "eta_s": null, "step": "path", "done": 1, "total": 4})),
        ("warning", json!({"code": "support_not_unique", "features": []})),
        ("status", json!({"status": "succeeded", "model_version": "m:1"})),
    ];
    assert_eq!(said(&events), expected);
    assert!(events.iter().all(|event| event.job == jobs[0].id && event.created_at >= jobs[0].created_at && !event.message.is_empty()));
    assert_eq!((events[0].level, events[1].level), (Level::Info, Level::Warn));
    for after in 0..=6 {
        let rest = store.events(P, &jobs[0].id, after, &[], 100).await.unwrap();
        assert_eq!(rest, events[after as usize..], "after {after}");
    }
    let some = store.events(P, &jobs[0].id, 1, &[EventKind::Status, EventKind::Progress], 2).await.unwrap();
    assert_eq!(some, [events[2].clone(), events[3].clone()]);
    assert!(store.events("other", &jobs[0].id, 0, &[], 100).await.unwrap().is_empty());
    assert!(store.pulse("other", &jobs[0].id).await.unwrap().is_none());
}

pub(crate) async fn every_way_a_job_ends_is_told(house: House) {
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, 4).await;
    store.request_cancel(P, &jobs[0].id).await.unwrap();
    store.request_cancel(P, &jobs[0].id).await.unwrap();
    assert_eq!(statuses(&store, &jobs[0].id).await, [json!({"status": "queued"}), json!({"status": "cancelled", "reason": "user"})]);

    let claimed = claim(&store).await;
    store.request_cancel(P, &jobs[1].id).await.unwrap();
    store.request_cancel(P, &jobs[1].id).await.unwrap();
    store.finish(&claimed, Ending::HandedBack).await.unwrap();
    let last = [json!({"status": "cancelling"}), json!({"status": "cancelled", "reason": "user"})];
    assert_eq!(statuses(&store, &jobs[1].id).await[2..], last);

    let error = Failure { code: "numerical_error".into(), title: "t".into(), detail: "why".into(), retryable: false };
    let ending = Ending::Failed { error, reason: Some(Reason::TimeLimit), warnings: vec![warning("late")] };
    store.finish(&claim(&store).await, ending).await.unwrap();
    let events = told(&store, &jobs[2].id).await;
    let [.., late, failed] = &events[..] else { panic!("{events:?}") };
    assert_eq!((late.kind, &late.data["code"]), (EventKind::Warning, &json!("late")));
    assert_eq!(failed.data, json!({"status": "failed", "reason": "time_limit", "code": "numerical_error"}));
    assert_eq!((failed.level, &*failed.message), (Level::Error, "why"));

    store.finish(&claim(&store).await, Ending::HandedBack).await.unwrap();
    claim(&store).await;
    let attempt = json!({"status": "running", "attempt": 1});
    assert_eq!(statuses(&store, &jobs[3].id).await[1..], [attempt.clone(), json!({"status": "queued"}), attempt]);
}

pub(crate) async fn what_is_tried_again_and_what_is_never_started_is_told(house: House) {
    let store = house.open().await;
    let (dataset, jobs) = with_jobs(&store, 1).await;
    let error = Failure { code: "store_unavailable".into(), title: "t".into(), detail: "d".into(), retryable: true };
    store.finish(&claim(&store).await, Ending::Interrupted { error }).await.unwrap();
    assert_eq!(statuses(&store, &jobs[0].id).await.last(), Some(&json!({"status": "queued"})));
    let late = enqueue(&store, NewJob { start_within: Some(Duration::ZERO), ..new_job(&dataset, "m") }).await;
    assert_eq!(store.rescue(None).await.unwrap(), 1);
    let missed = json!({"status": "failed", "reason": "start_deadline", "code": "start_deadline_exceeded"});
    assert_eq!(statuses(&store, &late.id).await[1], missed);
}

pub(crate) async fn a_refused_write_of_a_lost_claim_tells_nothing_and_a_rescue_tells_once(house: House) {
    let store = house.open_without_lease().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    let id = &jobs[0].id;
    for attempt in 1..=3 {
        let zombie = claim(&store).await;
        let before = told(&store, id).await;
        assert_eq!(store.rescue(None).await.unwrap(), 1);
        assert_eq!(store.rescue(None).await.unwrap(), 0);
        let after = told(&store, id).await;
        assert_eq!(after.len(), before.len() + 1, "attempt {attempt}");
        let event = NewEvent { level: Level::Info, kind: EventKind::Log, message: "too late".into(), data: json!({}) };
        assert!(!store.add_event(&zombie, &event).await.unwrap());
        store.heartbeat(&zombie, &Progress { fraction: 0.5, ..Progress::default() }).await.unwrap();
        assert!(matches!(store.finish(&zombie, Ending::Succeeded { model: model(), points: None }).await.unwrap(), Finished::Fenced));
        assert_eq!(told(&store, id).await, after);
    }
    let statuses = statuses(&store, id).await;
    assert_eq!(statuses[2], json!({"status": "queued"}));
    assert_eq!(statuses[6], json!({"status": "failed", "reason": "attempts_exhausted", "code": "attempts_exhausted"}));
}

pub(crate) async fn the_holder_of_a_claim_may_tell_more(house: House) {
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    let claimed = claim(&store).await;
    let mut watch = store.hub().watch_job(&jobs[0].id);
    let event = NewEvent {
        level: Level::Info,
        kind: EventKind::Checkpoint,
        message: "12 λ are kept".into(),
        data: json!({"lambda_index": 12, "nonzeros": 63}),
    };
    assert!(store.add_event(&claimed, &event).await.unwrap());
    watch.changed().await;
    let last = told(&store, &jobs[0].id).await.pop().unwrap();
    assert_eq!((last.kind, last.message, last.data), (event.kind, event.message, event.data));
}

/// A clock that goes only where it is put.
struct Put(AtomicI64);

impl Clock for Put {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_fit_of_a_month_tells_some_hundred_times_and_no_clock_silences_it() {
    let house = House::sqlite();
    let clock = Arc::new(Put(AtomicI64::new(1_795_428_000_000_000)));
    let ambient = Ambient { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Ambient::system() };
    let store = Store::open(StoreConfig { lease: Duration::from_secs(1 << 30), ..house.config() }, ambient).await.unwrap();
    let (_, jobs) = with_jobs(&store, 1).await;
    let claimed = claim(&store).await;
    let beat = async |step: u64| {
        let eta_s = Some(step as f64);
        store.heartbeat(&claimed, &Progress { fraction: 0.1, eta_s, ..Progress::default() }).await.unwrap();
        told(&store, &jobs[0].id).await.len()
    };
    // three seconds of heartbeats every 100 ms tell at most four times a second
    let before = told(&store, &jobs[0].id).await.len();
    let mut count = 0;
    for step in 0..30 {
        clock.0.fetch_add(100_000, Ordering::SeqCst);
        count = beat(step).await;
    }
    assert!((8..=12).contains(&(count - before)), "{count}");
    // a month in steps of 1 %
    let mut step = 30;
    let began = jobs[0].created_at;
    while clock.now_micros() - began < 30 * 86_400 * 1_000_000 {
        clock.0.fetch_add((clock.now_micros() - began) / 100, Ordering::SeqCst);
        step += 1;
        count = beat(step).await;
    }
    assert!((300..500).contains(&count), "{count}");
    // a beat that brings nothing new tells nothing, however long ago the last was
    clock.0.fetch_add(30 * 86_400 * 1_000_000, Ordering::SeqCst);
    let told = beat(step + 1).await;
    clock.0.fetch_add(30 * 86_400 * 1_000_000, Ordering::SeqCst);
    assert_eq!(beat(step + 1).await, told);
    // and a clock put back does not silence it
    clock.0.fetch_sub(70 * 86_400 * 1_000_000, Ordering::SeqCst);
    assert_eq!(beat(step + 2).await, told + 1);
}

#[tokio::test]
async fn old_events_are_forgotten_and_their_numbers_are_not_given_again() {
    let house = House::sqlite();
    let clock = Arc::new(Put(AtomicI64::new(1_795_428_000_000_000)));
    let ambient = Ambient { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Ambient::system() };
    let store = Store::open(house.config(), ambient).await.unwrap();
    let (_, jobs) = with_jobs(&store, 2).await;
    clock.0.fetch_add(29 * 86_400 * 1_000_000, Ordering::SeqCst);
    let claimed = claim(&store).await.job.id;
    let waiting = jobs.iter().map(|job| &job.id).find(|id| **id != claimed).unwrap();
    store.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(store.events(P, &claimed, 0, &[], 10).await.unwrap().len(), 3);
    clock.0.fetch_add(2 * 86_400 * 1_000_000, Ordering::SeqCst);
    store.sweep(Duration::ZERO).await.unwrap();
    let left = store.events(P, &claimed, 0, &[], 10).await.unwrap();
    assert_eq!(left.iter().map(|event| event.seq).collect::<Vec<_>>(), [3]);
    assert!(store.events(P, waiting, 0, &[], 10).await.unwrap().is_empty());
    store.request_cancel(P, waiting).await.unwrap();
    assert_eq!(store.events(P, waiting, 0, &[], 10).await.unwrap()[0].seq, 3);
}

pub(crate) async fn events_go_with_their_job(house: House) {
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, 2).await;
    store.request_cancel(P, &jobs[0].id).await.unwrap();
    store.delete_job(P, &jobs[0].id).await.unwrap();
    assert!(store.events(P, &jobs[0].id, 0, &[], 10).await.unwrap().is_empty());
    assert!(store.pulse(P, &jobs[0].id).await.unwrap().is_none());
    assert_eq!(told(&store, &jobs[1].id).await.len(), 2);
}

pub(crate) async fn events_of_another_database_are_settled_when_the_store_is_opened(house: House) {
    let store = house.open().await;
    let (dataset, jobs) = with_jobs(&store, 1).await;
    let before = follow(&store, &[], &mut FeedPlace::default(), |seen| seen.len() == 2).await;
    store.close().await;
    // as a restore leaves them: transactions of a database that had seen more, and positions that were not counted here
    match house.url() {
        None => {
            let mut connection = crate::schema::sqlite(&house).await;
            connection.execute("UPDATE events SET epoch = 1000000000000000").await.unwrap();
            connection.close().await.unwrap();
        }
        Some(url) => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            connection.execute("UPDATE events SET epoch = 1000000000000000").await.unwrap();
            connection.execute("ALTER SEQUENCE events_position_seq RESTART WITH 1").await.unwrap();
        }
    }
    let store = house.open().await;
    enqueue(&store, new_job(&dataset, "m")).await;
    let after = follow(&store, &[], &mut FeedPlace::default(), |seen| seen.len() == 4).await;
    assert_eq!(after.iter().take(2).map(|event| &event.id).collect::<Vec<_>>(), [&before[0].id, &before[1].id]);
    assert!(after[2].job != jobs[0].id && after[3].job != jobs[0].id);
}

/// Reads the feed from `place` until `enough` says so: on PostgreSQL an event shows once older transactions are over.
async fn follow(store: &Store, kinds: &[EventKind], place: &mut FeedPlace, enough: impl Fn(&[Event]) -> bool) -> Vec<Event> {
    let mut seen = Vec::new();
    while !enough(&seen) {
        let page = store.feed(P, *place, kinds, 7).await.unwrap();
        *place = page.last().map_or(*place, |event| event.place);
        seen.extend(page);
        tokio::task::yield_now().await;
    }
    seen
}

pub(crate) async fn the_feed_of_a_project_misses_nothing_in_a_storm(house: House) {
    const JOBS: usize = 40;
    let first = house.open().await;
    let mut stores = vec![first.clone()];
    if house.url().is_some() {
        stores.extend([house.open().await, house.open().await]);
    }
    let foreign = add_dataset(&first, "other", "d", false).await;
    enqueue(&first, new_job(&foreign, "m")).await;
    let (dataset, _) = with_jobs(&first, 0).await;
    let mut tasks = JoinSet::new();
    for worker in 0..4 {
        let (store, dataset) = (stores[worker % stores.len()].clone(), dataset.clone());
        tasks.spawn(async move {
            for _ in 0..JOBS / 4 {
                let job = enqueue(&store, new_job(&dataset, "m")).await;
                store.request_cancel(P, &job.id).await.unwrap();
            }
        });
    }
    // each job tells: queued, a warning, cancelled; the reader follows while they are told
    let mut place = FeedPlace::default();
    let seen = follow(&first, &[], &mut place, |seen| seen.len() >= 3 * JOBS).await;
    tasks.join_all().await;
    let places: Vec<FeedPlace> = seen.iter().map(|event| event.place).collect();
    assert!(places.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
    assert_eq!(seen.len(), 3 * JOBS, "none missing, none of another project");
    assert_eq!(first.feed(P, FeedPlace::default(), &[], 1000).await.unwrap(), seen, "nothing came in between later");
    for job in first.jobs(P, &Default::default(), None, 1000).await.unwrap().items {
        let of_feed: Vec<Event> = seen.iter().filter(|event| event.job == job.id).cloned().collect();
        assert_eq!(of_feed, told(&first, &job.id).await);
    }
    let ends = first.feed(P, FeedPlace::default(), &[EventKind::Status], 1000).await.unwrap();
    assert_eq!(ends.len(), 2 * JOBS);
}
