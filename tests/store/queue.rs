//! The queue: order, fencing, rescue, races.

use std::collections::HashSet;

use sparsefit::job::{Failure, Priority, Progress, Reason, Status};
use sparsefit::store::{Beat, Cancellation, Ending, Finished, JobFilter, NewJob, Store};
use tokio::task::JoinSet;

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job, with_jobs};

pub(crate) async fn jobs_are_claimed_by_priority_then_age(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let mut jobs = Vec::new();
    for priority in [Priority::Normal, Priority::Low, Priority::High, Priority::Normal, Priority::High] {
        jobs.push(enqueue(&store, NewJob { priority, ..new_job(&dataset, "m") }).await);
    }
    let order = [2, 4, 0, 3, 1];
    for (position, &at) in order.iter().enumerate() {
        assert_eq!(store.queue_position(&jobs[at]).await.unwrap(), Some(position as u64));
    }
    for at in order {
        assert_eq!(claim(&store).await.job.id, jobs[at].id);
    }
    assert!(store.claim("worker-1").await.unwrap().is_none());
    let running = store.job(P, &jobs[0].id).await.unwrap().unwrap();
    assert_eq!(store.queue_position(&running).await.unwrap(), None);
}

pub(crate) async fn no_job_is_claimed_twice_in_a_storm(house: House) {
    const JOBS: usize = 60;
    // several processes on PostgreSQL; on SQLite there is only ever one
    let first = house.open().await;
    let mut stores = vec![first.clone()];
    if house.url().is_some() {
        stores.extend([house.open().await, house.open().await]);
    }
    with_jobs(&first, JOBS).await;
    let mut tasks = JoinSet::new();
    for worker in 0..8 {
        let store = stores[worker % stores.len()].clone();
        tasks.spawn(async move {
            let mut claims = Vec::new();
            while let Some(claim) = store.claim(&format!("worker-{worker}")).await.unwrap() {
                claims.push((claim.job.id, claim.number));
            }
            claims
        });
    }
    let claims = tasks.join_all().await.concat();
    let jobs: HashSet<_> = claims.iter().map(|(id, _)| id).collect();
    let numbers: HashSet<_> = claims.iter().map(|(_, number)| number).collect();
    assert_eq!((claims.len(), jobs.len(), numbers.len()), (JOBS, JOBS, JOBS));
}

pub(crate) async fn progress_never_falls_and_is_one_only_on_success(house: House) {
    let store = house.open_without_lease().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    let first = claim(&store).await;
    let mut seen = 0.0;
    for fraction in [0.2, 0.5, 0.3, f64::NAN, 7.0, -1.0, 0.9] {
        store.heartbeat(&first, &Progress { fraction, ..Progress::default() }).await.unwrap();
        let now = store.job(P, &jobs[0].id).await.unwrap().unwrap().progress.fraction;
        assert!((seen..1.0).contains(&now), "{fraction} was stored as {now} after {seen}");
        seen = now;
    }
    let before = store.job(P, &jobs[0].id).await.unwrap().unwrap();
    store.heartbeat(&first, &Progress { fraction: 0.1, ..Progress::default() }).await.unwrap();
    let after = store.job(P, &jobs[0].id).await.unwrap().unwrap();
    assert_eq!(after.revision, before.revision, "a beat that tells nothing new changes nothing a client sees");
    store.rescue(None).await.unwrap();
    let second = claim(&store).await;
    assert!(second.job.progress.fraction >= seen, "not even over attempts");
    let Finished::Stored(job) = store.finish(&second, Ending::Succeeded { model: model(), points: None }).await.unwrap() else {
        panic!("fenced")
    };
    assert_eq!(job.progress.fraction, 1.0);
}

pub(crate) async fn the_ending_of_a_lost_claim_is_refused(house: House) {
    let store = house.open_without_lease().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    let zombie = claim(&store).await;
    assert_eq!(store.rescue(None).await.unwrap(), 1);
    let queued = store.job(P, &jobs[0].id).await.unwrap().unwrap();
    assert_eq!((queued.status, queued.attempt, queued.started_at), (Status::Queued, 1, None));

    let refused = |store: Store, zombie: sparsefit::store::Claim| async move {
        let error = Failure::attempts_exhausted();
        assert_eq!(store.heartbeat(&zombie, &Progress::default()).await.unwrap(), Beat::Lost);
        for ending in [
            Ending::Succeeded { model: model(), points: None },
            Ending::Failed { error, reason: None, warnings: vec![] },
            Ending::Cancelled,
            Ending::HandedBack,
        ] {
            assert!(matches!(store.finish(&zombie, ending).await.unwrap(), Finished::Fenced));
        }
    };
    refused(store.clone(), zombie.clone()).await;
    let heir = claim(&store).await;
    assert!(heir.number > zombie.number);
    assert_eq!((&heir.job.id, heir.job.attempt), (&zombie.job.id, 2));
    refused(store.clone(), zombie.clone()).await;
    assert!(store.models(P, None, 10).await.unwrap().items.is_empty());
    let Finished::Stored(ended) = store.finish(&heir, Ending::Succeeded { model: model(), points: None }).await.unwrap() else {
        panic!("fenced")
    };
    let again = store.finish(&heir, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert!(matches!(again, Finished::Stored(job) if job == ended), "whoever lost the answer learns that it was stored");
    for another in [Ending::HandedBack, Ending::Cancelled] {
        assert!(matches!(store.finish(&heir, another).await.unwrap(), Finished::Fenced));
    }
    refused(store.clone(), zombie).await;
    assert_eq!(store.model_versions(P, "m").await.unwrap(), [1]);
    assert_eq!(store.job(P, &jobs[0].id).await.unwrap().unwrap().status, Status::Succeeded);
    assert_eq!(house.files().len(), 2, "one data set, one model: {:?}", house.files());
}

pub(crate) async fn a_job_whose_workers_die_is_tried_three_times(house: House) {
    let store = house.open_without_lease().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    for attempt in 1..=3 {
        assert_eq!(claim(&store).await.job.attempt, attempt);
        assert_eq!(store.rescue(None).await.unwrap(), 1);
    }
    assert!(store.claim("worker-1").await.unwrap().is_none());
    let job = store.job(P, &jobs[0].id).await.unwrap().unwrap();
    assert_eq!((job.status, job.reason, job.attempt), (Status::Failed, Some(Reason::AttemptsExhausted), 3));
    assert_eq!(job.error, Some(Failure::attempts_exhausted()));
    assert!(job.finished_at.is_some());
    assert_eq!(store.rescue(None).await.unwrap(), 0);
}

pub(crate) async fn only_the_jobs_of_the_dead_are_rescued(house: House) {
    let store = house.open().await;
    with_jobs(&store, 2).await;
    let (dead, alive) = (store.claim("dead").await.unwrap().unwrap(), store.claim("alive").await.unwrap().unwrap());
    assert_eq!(store.rescue(None).await.unwrap(), 0, "the leases hold");
    assert_eq!(store.rescue(Some("dead")).await.unwrap(), 1);
    assert_eq!(store.heartbeat(&dead, &Progress::default()).await.unwrap(), Beat::Lost);
    assert_eq!(store.heartbeat(&alive, &Progress::default()).await.unwrap(), Beat::Continue);
    assert_eq!(claim(&store).await.job.id, dead.job.id);
}

pub(crate) async fn a_rescued_job_whose_cancel_was_asked_is_cancelled(house: House) {
    let store = house.open_without_lease().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    claim(&store).await;
    assert!(matches!(store.request_cancel(P, &jobs[0].id).await.unwrap(), Cancellation::Asked(_)));
    assert_eq!(store.rescue(None).await.unwrap(), 1);
    let job = store.job(P, &jobs[0].id).await.unwrap().unwrap();
    assert_eq!((job.status, job.reason), (Status::Cancelled, Some(Reason::User)));
}

pub(crate) async fn a_job_handed_back_spends_no_attempt(house: House) {
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    for _ in 0..5 {
        let claimed = claim(&store).await;
        assert_eq!(claimed.job.attempt, 1);
        let Finished::Stored(job) = store.finish(&claimed, Ending::HandedBack).await.unwrap() else { panic!("fenced") };
        assert_eq!((job.status, job.attempt), (Status::Queued, 0));
    }
    let claimed = claim(&store).await;
    store.request_cancel(P, &jobs[0].id).await.unwrap();
    let ended = store.finish(&claimed, Ending::HandedBack).await.unwrap();
    assert!(matches!(ended, Finished::Stored(job) if job.status == Status::Cancelled), "a job to be cancelled does not go back");
}

pub(crate) async fn cancel_and_finish_agree_on_one_winner(house: House) {
    const ROUNDS: usize = 30;
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, ROUNDS).await;
    let mut cancelled = 0;
    for job in &jobs {
        let claimed = claim(&store).await;
        assert_eq!(claimed.job.id, job.id);
        let canceller = {
            let (store, id) = (store.clone(), job.id.clone());
            tokio::spawn(async move { store.request_cancel(P, &id).await.unwrap() })
        };
        let ended = store.finish(&claimed, Ending::Succeeded { model: model(), points: None }).await.unwrap();
        let Finished::Stored(ended) = ended else { panic!("fenced") };
        match canceller.await.unwrap() {
            Cancellation::Asked(_) => {
                assert_eq!((ended.status, &ended.result), (Status::Cancelled, &None));
                cancelled += 1;
            }
            // the cancel may also have come after the end
            Cancellation::Cancelled(_) => panic!("it was not queued"),
            Cancellation::AlreadyFinished(_) => assert_eq!(ended.status, Status::Succeeded),
            Cancellation::Absent => panic!("it is there"),
        }
        assert_eq!(store.job(P, &job.id).await.unwrap(), Some(*ended));
    }
    assert_eq!(store.model_versions(P, "m").await.unwrap().len(), ROUNDS - cancelled);
    assert_eq!(house.files().len(), 1 + ROUNDS - cancelled, "a model that lost leaves no file");
    let filter = JobFilter { status: Some(Status::Running), ..JobFilter::default() };
    assert!(store.jobs(P, &filter, None, 10).await.unwrap().items.is_empty());
}
