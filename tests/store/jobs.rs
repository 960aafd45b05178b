//! Jobs as clients see them.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;
use sparsefit::job::{Failure, Priority, Progress, Reason, Status, Step};
use sparsefit::store::{Beat, Cancellation, Deletion, Ending, Enqueued, Finished, JobFilter, NewJob, QueueCounts, StoreConfig};
use tokio::task::JoinSet;

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job, warning, with_jobs};

pub(crate) async fn a_job_lives_from_submission_to_model(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let wanted = new_job(&dataset, "m");
    let queued = enqueue(&store, wanted.clone()).await;
    assert_eq!((queued.status, queued.attempt, queued.max_attempts), (Status::Queued, 0, 3));
    assert_eq!((&queued.spec, &queued.metadata, &queued.dataset), (&wanted.spec, &wanted.metadata, &wanted.dataset));
    assert_eq!(queued.progress, Progress::default());
    assert_eq!(store.job(P, &queued.id).await.unwrap().as_ref(), Some(&queued));

    let claimed = claim(&store).await;
    assert_eq!((claimed.job.status, claimed.job.attempt, &claimed.dataset.id), (Status::Running, 1, &dataset.id));
    assert!(claimed.job.started_at >= Some(queued.created_at) && claimed.job.revision > queued.revision);
    let steps = vec![Step { name: "cv".into(), done: 1, total: 5 }];
    let progress = Progress { fraction: 0.25, eta_s: Some(3.5), steps: steps.clone(), current: None };
    assert_eq!(store.heartbeat(&claimed, &progress).await.unwrap(), Beat::Continue);
    let running = store.job(P, &queued.id).await.unwrap().unwrap();
    assert_eq!((&running.progress, running.revision > claimed.job.revision), (&progress, true));

    let epoch = store.hub().models_epoch();
    let Finished::Stored(ended) = store.finish(&claimed, Ending::Succeeded { model: model(), points: None }).await.unwrap() else {
        panic!("fenced")
    };
    assert!(store.hub().models_epoch() > epoch);
    assert_eq!((ended.status, ended.reason, ended.progress.fraction, ended.progress.eta_s), (Status::Succeeded, None, 1.0, None));
    assert_eq!(ended.progress.steps, [Step { done: 5, ..steps[0].clone() }]);
    assert!(ended.finished_at >= ended.started_at && ended.revision > running.revision);
    assert_eq!(ended.warnings, [warning("submitted"), warning("support_not_unique")]);
    let expected = json!({"model_version": "m:1", "lambda": 0.1 + 0.2, "nonzeros": 2, "converged": true, "relative_gap": 4.2e-7,
                          "href": "/api/v1/models/m/versions/1"});
    assert_eq!(ended.result.as_ref(), Some(&expected));
    assert_eq!(store.job(P, &queued.id).await.unwrap(), Some(*ended));

    let row = store.model(P, "m", Some(1)).await.unwrap().unwrap();
    assert_eq!((&row.job, &row.dataset, &*row.card), (&queued.id, &wanted.dataset, &model().card()));
    assert_eq!(row.size_bytes, model().encode().len() as u64);
    assert_eq!(store.open_model(&row).await.unwrap().model, model());
}

pub(crate) async fn a_failed_job_says_why(house: House) {
    let store = house.open().await;
    with_jobs(&store, 1).await;
    let error = Failure { code: "numerical_error".into(), title: "t".into(), detail: "d".into(), retryable: false };
    let ending = Ending::Failed { error: error.clone(), reason: Some(Reason::TimeLimit), warnings: vec![warning("late")] };
    let Finished::Stored(job) = store.finish(&claim(&store).await, ending).await.unwrap() else { panic!("fenced") };
    assert_eq!((job.status, job.reason, job.error, job.result), (Status::Failed, Some(Reason::TimeLimit), Some(error), None));
    assert_eq!(job.warnings, [warning("submitted"), warning("late")]);
    assert!(job.progress.fraction < 1.0);
    assert!(store.model(P, "m", None).await.unwrap().is_none());
}

pub(crate) async fn a_full_queue_refuses(house: House) {
    let store = sparsefit::store::Store::open(StoreConfig { queue_max: 2, ..house.config() }, sparsefit::ambient::Ambient::system());
    let store = store.await.unwrap();
    let (dataset, jobs) = with_jobs(&store, 2).await;
    assert!(matches!(store.enqueue(new_job(&dataset, "m")).await.unwrap(), Enqueued::Full));
    let other = add_dataset(&store, "other", "d", false).await;
    enqueue(&store, new_job(&other, "m")).await;
    assert_eq!(store.queue_counts().await.unwrap(), QueueCounts { queued: 3, running: 0 });
    store.request_cancel(P, &jobs[0].id).await.unwrap();
    enqueue(&store, new_job(&dataset, "m")).await;
    claim(&store).await;
    assert_eq!(store.queue_counts().await.unwrap(), QueueCounts { queued: 2, running: 1 });
}

pub(crate) async fn a_list_of_jobs_can_be_filtered_and_paged(house: House) {
    let store = house.open().await;
    let (a, b) = (add_dataset(&store, P, "a", false).await, add_dataset(&store, P, "b", false).await);
    let first = enqueue(&store, NewJob { priority: Priority::High, ..new_job(&a, "m") }).await;
    let second = enqueue(&store, NewJob { priority: Priority::High, ..new_job(&b, "m") }).await;
    let third = enqueue(&store, new_job(&a, "n")).await;
    claim(&store).await;
    claim(&store).await;
    store.request_cancel(P, &second.id).await.unwrap();

    let running = Some(Status::Running);
    let all = [
        (JobFilter::default(), vec![&third.id, &second.id, &first.id]),
        (JobFilter { status: running, ..Default::default() }, vec![&second.id, &first.id]),
        (JobFilter { status: running, cancelling: Some(false), ..Default::default() }, vec![&first.id]),
        (JobFilter { cancelling: Some(true), ..Default::default() }, vec![&second.id]),
        (JobFilter { status: Some(Status::Queued), ..Default::default() }, vec![&third.id]),
        (JobFilter { status: Some(Status::Failed), ..Default::default() }, vec![]),
        (JobFilter { dataset: Some("a".into()), ..Default::default() }, vec![&third.id, &first.id]),
        (JobFilter { model: Some("m".into()), dataset: Some("a".into()), ..Default::default() }, vec![&first.id]),
        (JobFilter { model: Some("'; --".into()), ..Default::default() }, vec![]),
    ];
    for (filter, expected) in all {
        let page = store.jobs(P, &filter, None, 10).await.unwrap();
        assert_eq!(page.items.iter().map(|job| &job.id).collect::<Vec<_>>(), expected, "{filter:?}");
        assert_eq!(page.next, None);
    }
    let page = store.jobs(P, &JobFilter::default(), None, 2).await.unwrap();
    let rest = store.jobs(P, &JobFilter::default(), page.next.as_ref(), 2).await.unwrap();
    assert_eq!((page.items.len(), rest.items.len(), &rest.items[0].id, rest.next), (2, 1, &first.id, None));
}

pub(crate) async fn only_an_ended_job_is_deleted(house: House) {
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    assert_eq!(store.delete_job(P, &jobs[0].id).await.unwrap(), Deletion::InUse);
    let claimed = claim(&store).await;
    assert_eq!(store.delete_job(P, &jobs[0].id).await.unwrap(), Deletion::InUse);
    store.finish(&claimed, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert_eq!(store.delete_job(P, &jobs[0].id).await.unwrap(), Deletion::Done);
    assert_eq!(store.delete_job(P, &jobs[0].id).await.unwrap(), Deletion::Absent);
    assert!(store.job(P, &jobs[0].id).await.unwrap().is_none());
    assert!(store.model(P, "m", None).await.unwrap().is_some(), "the model stays");
}

pub(crate) async fn cancel_has_one_answer_for_each_status(house: House) {
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, 3).await;
    let (first, second, third) = (&jobs[0].id, &jobs[1].id, &jobs[2].id);
    for _ in 0..2 {
        let Cancellation::Cancelled(job) = store.request_cancel(P, first).await.unwrap() else { panic!("not cancelled") };
        assert_eq!((job.status, job.reason, job.finished_at.is_some()), (Status::Cancelled, Some(Reason::User), true));
    }
    let claimed = claim(&store).await;
    assert_eq!(&claimed.job.id, second, "a cancelled job is not claimed");
    for _ in 0..2 {
        let Cancellation::Asked(job) = store.request_cancel(P, second).await.unwrap() else { panic!("not asked") };
        assert_eq!((job.status, job.cancel_requested), (Status::Running, true));
    }
    assert_eq!(store.heartbeat(&claimed, &Progress::default()).await.unwrap(), Beat::CancelAsked);
    let ending = store.finish(&claimed, Ending::Cancelled).await.unwrap();
    assert!(matches!(ending, Finished::Stored(job) if job.status == Status::Cancelled && job.reason == Some(Reason::User)));
    assert!(matches!(store.request_cancel(P, second).await.unwrap(), Cancellation::Cancelled(_)));

    store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert!(matches!(store.request_cancel(P, third).await.unwrap(), Cancellation::AlreadyFinished(_)));
    store.delete_job(P, third).await.unwrap();
    assert!(matches!(store.request_cancel(P, third).await.unwrap(), Cancellation::Absent));
}

pub(crate) async fn what_is_committed_is_announced(house: House) {
    let store = house.open().await;
    let forever = Duration::from_secs(3600);
    let mut work = store.hub().watch_work();
    let (_, jobs) = with_jobs(&store, 1).await;
    work.changed(forever).await;
    let mut watch = store.hub().watch_job(&jobs[0].id);
    let claimed = claim(&store).await;
    watch.changed().await;
    store.heartbeat(&claimed, &Progress { fraction: 0.5, ..Progress::default() }).await.unwrap();
    watch.changed().await;
    let mut cancel = store.hub().watch_job(&jobs[0].id);
    store.request_cancel(P, &jobs[0].id).await.unwrap();
    cancel.cancelled().await;
    watch.changed().await;
    store.finish(&claimed, Ending::Cancelled).await.unwrap();
    watch.changed().await;
}

pub(crate) async fn submissions_of_the_same_moment_are_all_there(house: House) {
    const CLIENTS: usize = 64;
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let commits = store.commits();
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let (store, job) = (store.clone(), new_job(&dataset, "m"));
        tasks.spawn(async move { enqueue(&store, job).await.id });
    }
    let acknowledged: HashSet<_> = tasks.join_all().await.into_iter().collect();
    let found = store.jobs(P, &JobFilter::default(), None, 1000).await.unwrap().items;
    assert_eq!((acknowledged.len(), found.into_iter().map(|job| job.id).collect()), (CLIENTS, acknowledged));
    if house.url().is_none() {
        let commits = store.commits() - commits;
        assert!(commits <= CLIENTS as u64 / 2, "writers who come together share commits: {commits}");
    }
}
