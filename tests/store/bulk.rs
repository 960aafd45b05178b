//! Actions on all jobs of a filter, the filters themselves, and places in the queue of a whole page.

use std::collections::BTreeMap;

use serde_json::json;
use sparsefit::job::{Job, JobKind, Priority, Status};
use sparsefit::store::{Bulk, Ending, JobFilter, NewJob, Store};

use crate::house::{House, P, add_dataset, claim, enqueue, new_job, with_jobs};

async fn found(store: &Store, filter: &JobFilter) -> Vec<Job> {
    store.jobs(P, filter, None, 1000).await.unwrap().items
}

fn with_metadata(pairs: &[(&str, &str)]) -> JobFilter {
    let metadata: BTreeMap<_, _> = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    JobFilter { metadata, ..JobFilter::default() }
}

pub(crate) async fn a_filter_means_what_it_says(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let mut jobs = Vec::new();
    for metadata in [json!({}), json!({"team": "a", "it's \"odd\".$": "1"}), json!({"team": "b"}), json!({"team": "a"})] {
        jobs.push(enqueue(&store, NewJob { metadata, ..new_job(&dataset, "m") }).await);
    }
    for (pairs, expected) in [
        (&[("team", "a")][..], 2),
        (&[("team", "b")], 1),
        (&[("team", "c")], 0),
        (&[("nope", "a")], 0),
        (&[("team", "a"), ("it's \"odd\".$", "1")], 1),
        (&[("team", "b"), ("it's \"odd\".$", "1")], 0),
    ] {
        assert_eq!(found(&store, &with_metadata(pairs)).await.len(), expected, "{pairs:?}");
    }
    let (second, third) = (jobs[1].created_at, jobs[2].created_at);
    let after = JobFilter { created_after: Some(second), ..JobFilter::default() };
    let expected = jobs.iter().filter(|job| job.created_at > second).count();
    assert_eq!(found(&store, &after).await.len(), expected, "the end itself is not meant");
    let before = JobFilter { created_before: Some(third), ..JobFilter::default() };
    let expected = jobs.iter().filter(|job| job.created_at < third).count();
    assert_eq!(found(&store, &before).await.len(), expected);
    let kind = |kind| JobFilter { kind: Some(kind), ..JobFilter::default() };
    assert_eq!((found(&store, &kind(JobKind::Fit)).await.len(), found(&store, &kind(JobKind::Evaluate)).await.len()), (4, 0));
}

pub(crate) async fn all_jobs_of_a_filter_are_cancelled_and_no_other(house: House) {
    const JOBS: usize = 230;
    let store = house.open().await;
    let (dataset, _) = with_jobs(&store, JOBS).await;
    let other = add_dataset(&store, "other", "d", false).await;
    enqueue(&store, new_job(&other, "m")).await;
    let kept = enqueue(&store, new_job(&dataset, "kept")).await;
    let done = claim(&store).await;
    store.finish(&done, Ending::Cancelled).await.unwrap();
    let foreign = claim(&store).await;
    assert_eq!(foreign.job.project, "other");
    let running = claim(&store).await;
    let filter = JobFilter { model: Some("m".into()), ..JobFilter::default() };
    let bulk = store.cancel_jobs(P, &filter).await.unwrap();
    assert_eq!(bulk, Bulk { matched: JOBS as u64, affected: JOBS as u64 - 1 }, "one was cancelled before");
    let running = store.job(P, &running.job.id).await.unwrap().unwrap();
    assert!(running.status == Status::Running && running.cancel_requested);
    let count = async |status| found(&store, &JobFilter { status: Some(status), ..filter.clone() }).await.len();
    assert_eq!((count(Status::Cancelled).await, count(Status::Queued).await), (JOBS - 1, 0));
    assert_eq!(store.job(P, &kept.id).await.unwrap().unwrap().status, Status::Queued);
    assert_eq!(store.cancel_jobs(P, &filter).await.unwrap(), Bulk { matched: JOBS as u64, affected: 0 });

    assert_eq!(store.delete_jobs(P, &filter).await.unwrap(), Bulk { matched: JOBS as u64, affected: JOBS as u64 - 1 });
    assert_eq!(found(&store, &JobFilter::default()).await.len(), 2, "the running one and the one not meant");
    assert!(store.job("other", &foreign.job.id).await.unwrap().is_some());
}

pub(crate) async fn places_in_the_queue_are_known_for_a_whole_page(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let other = add_dataset(&store, "other", "d", false).await;
    for priority in [Priority::Normal, Priority::Low, Priority::High, Priority::Normal, Priority::High, Priority::Low] {
        enqueue(&store, NewJob { priority, ..new_job(&dataset, "m") }).await;
        enqueue(&store, NewJob { priority, ..new_job(&other, "m") }).await;
    }
    claim(&store).await;
    for limit in [2, 5, 100] {
        let page = store.jobs(P, &JobFilter::default(), None, limit).await.unwrap().items;
        let places = store.queue_positions(P, &page).await.unwrap();
        for job in &page {
            assert_eq!(places.get(&job.id).copied(), store.queue_position(job).await.unwrap(), "{job:?}");
        }
    }
    assert!(store.queue_positions(P, &[]).await.unwrap().is_empty());
}
