//! Who is next: projects in turn, what fits into memory, what may start already and what is too late; and trying again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sparsefit::ambient::{Ambient, Clock, Random};
use sparsefit::job::{Failure, Job, Priority, Reason, Status};
use sparsefit::store::{Ending, Finished, NewJob, Room, Store};

use crate::house::{House, P, add_dataset, claim, enqueue, new_job, with_jobs};

pub(crate) async fn projects_take_turns_however_much_one_has_queued(house: House) {
    let store = house.open().await;
    let [a, b, c] = ["a", "b", "c"].map(|project| {
        let store = store.clone();
        async move { add_dataset(&store, project, "d", false).await }
    });
    let (a, b, c) = (a.await, b.await, c.await);
    for _ in 0..100 {
        enqueue(&store, new_job(&a, "m")).await;
    }
    assert_eq!(claim(&store).await.job.project, "a");
    let low = enqueue(&store, NewJob { priority: Priority::Low, ..new_job(&b, "m") }).await;
    let high = enqueue(&store, NewJob { priority: Priority::High, ..new_job(&b, "m") }).await;
    enqueue(&store, new_job(&c, "m")).await;
    let mut claimed: Vec<Job> = Vec::new();
    for _ in 0..6 {
        claimed.push(claim(&store).await.job);
    }
    let projects: Vec<&str> = claimed.iter().map(|job| &*job.project).collect();
    assert_eq!(projects, ["b", "c", "a", "b", "a", "a"], "who never had a turn is first, then who waited longest");
    assert_eq!((&claimed[0].id, &claimed[3].id), (&high.id, &low.id), "priorities count within a project");
    enqueue(&store, new_job(&c, "m")).await;
    assert_eq!(claim(&store).await.job.project, "c", "and again one claim later");
}

pub(crate) async fn a_job_waits_for_its_memory_and_is_not_overtaken(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let mut jobs = Vec::new();
    for memory_bytes in [60, 200, 50, 10] {
        jobs.push(enqueue(&store, NewJob { memory_bytes, ..new_job(&dataset, "m") }).await);
    }
    let take = async |total, free| store.claim_within("worker-1", Room { total, free }).await.unwrap().map(|claim| claim.job.id);
    assert_eq!(take(100, 100).await.as_ref(), Some(&jobs[0].id));
    assert_eq!(take(100, 40).await, None, "50 are waited for, though 10 would fit");
    assert_eq!(take(100, 50).await.as_ref(), Some(&jobs[2].id), "200 never fit here and hold up nobody");
    assert_eq!(take(300, 199).await, None, "where 200 fit, they are next");
    assert_eq!(take(300, 200).await.as_ref(), Some(&jobs[1].id));
    assert_eq!(take(10, 10).await.as_ref(), Some(&jobs[3].id));
}

pub(crate) async fn a_job_not_started_in_time_fails(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let late = enqueue(&store, NewJob { start_within: Some(Duration::ZERO), ..new_job(&dataset, "m") }).await;
    let early = enqueue(&store, NewJob { start_within: Some(Duration::from_secs(3600)), ..new_job(&dataset, "m") }).await;
    assert_eq!(claim(&store).await.job.id, early.id, "nobody starts what is too late");
    assert_eq!(store.rescue(None).await.unwrap(), 1);
    let failed = store.job(P, &late.id).await.unwrap().unwrap();
    assert_eq!((failed.status, failed.reason, failed.attempt), (Status::Failed, Some(Reason::StartDeadline), 0));
    assert_eq!(failed.error, Some(Failure::start_deadline()));
    assert!(failed.finished_at.is_some() && failed.started_at.is_none());
}

/// Without a pause after an attempt: the four bytes it is drawn from are zeros.
struct Restless(Arc<dyn Random>);

impl Random for Restless {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() == 4 { bytes.fill(0) } else { self.0.fill(bytes) }
    }
}

fn fault() -> Failure {
    Failure { code: "internal_error".into(), title: "t".into(), detail: "d".into(), retryable: true }
}

async fn interrupt(store: &Store) -> Job {
    let claimed = claim(store).await;
    match store.finish(&claimed, Ending::Interrupted { error: fault() }).await.unwrap() {
        Finished::Stored(job) => *job,
        Finished::Fenced => panic!("fenced"),
    }
}

pub(crate) async fn an_attempt_that_broke_off_is_tried_again_until_there_are_no_more(house: House) {
    let system = Ambient::system();
    let ambient = Ambient { random: Arc::new(Restless(system.random.clone())), ..system };
    let store = Store::open(house.config(), ambient).await.unwrap();
    with_jobs(&store, 1).await;
    for attempt in [1, 2] {
        let job = interrupt(&store).await;
        assert_eq!((job.status, job.attempt, job.started_at, job.error), (Status::Queued, attempt, None, None));
    }
    let job = interrupt(&store).await;
    assert_eq!((job.status, job.attempt, job.reason), (Status::Failed, 3, Some(Reason::AttemptsExhausted)));
    assert_eq!(job.error, Some(fault()), "it says what it died of");
    assert!(store.claim("worker-1").await.unwrap().is_none());
}

pub(crate) async fn a_new_job_remembers_which_one_it_tries_again(house: House) {
    let store = house.open().await;
    let (dataset, jobs) = with_jobs(&store, 1).await;
    assert_eq!(jobs[0].retry_of, None);
    let again = enqueue(&store, NewJob { retry_of: Some(jobs[0].id.clone()), ..new_job(&dataset, "m") }).await;
    assert_eq!(store.job(P, &again.id).await.unwrap().unwrap().retry_of, Some(jobs[0].id.clone()));
}

/// Time that the test moves, and pauses as long as they can be.
struct Slow(AtomicI64, Arc<dyn Random>);

impl Clock for Slow {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Random for Slow {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() == 4 { bytes.fill(0xFF) } else { self.1.fill(bytes) }
    }
}

async fn slow(house: &House) -> (Store, Arc<Slow>) {
    let slow = Arc::new(Slow(AtomicI64::new(1_800_000_000_000_000), Ambient::system().random));
    let store = Store::open(house.config(), Ambient { clock: slow.clone(), random: slow.clone() }).await.unwrap();
    (store, slow)
}

/// On SQLite, where time is handed in.
#[tokio::test]
async fn the_pause_after_an_attempt_doubles() {
    let house = House::sqlite();
    let (store, slow) = slow(&house).await;
    with_jobs(&store, 1).await;
    for pause in [1_000_000, 2_000_000] {
        interrupt(&store).await;
        slow.0.fetch_add(pause - 1, Ordering::Relaxed);
        assert!(store.claim("worker-1").await.unwrap().is_none(), "{pause}");
        slow.0.fetch_add(1, Ordering::Relaxed);
    }
    claim(&store).await;
}

/// On SQLite, where time is handed in.
#[tokio::test]
async fn the_deadline_of_the_start_is_over_with_the_first_start() {
    let house = House::sqlite();
    let (store, slow) = slow(&house).await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let job = enqueue(&store, NewJob { start_within: Some(Duration::from_secs(10)), ..new_job(&dataset, "m") }).await;
    slow.0.fetch_add(9_999_999, Ordering::Relaxed);
    assert_eq!(store.rescue(None).await.unwrap(), 0);
    store.finish(&claim(&store).await, Ending::HandedBack).await.unwrap();
    slow.0.fetch_add(3_600_000_000, Ordering::Relaxed);
    assert_eq!(store.rescue(None).await.unwrap(), 0, "it was started in time");
    assert_eq!(claim(&store).await.job.id, job.id);
}
