//! The outbox: committed with the change it tells of, sent by one at a time, settled by the present attempt alone.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::Value;
use sparsefit::hook::{Event, Hook};
use sparsefit::id::Id;
use sparsefit::job::{Failure, Progress, Status};
use sparsefit::store::{
    AtOnce, Attempt, Beat, Cancellation, DeliveryRow, DeliveryState, Ending, Finished, NewHook, NewJob, Resent, Store, WebhookAdded,
    WebhookChange, WebhookRow,
};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::task::JoinSet;

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job, with_jobs};
use crate::schema::sqlite;

const LEASE: Duration = Duration::from_secs(3600);

/// So many to one address, and as many as there are of one project.
fn at_once(to_one_address: u64) -> AtOnce {
    AtOnce { to_one_address, of_one_project: u64::MAX }
}

async fn endpoint(store: &Store, project: &str, events: &[Event]) -> WebhookRow {
    let hook = Hook { url: "https://hooks.example/x".into(), events: events.to_vec() };
    match store.add_webhook(project, hook, "told", "whsec_first").await.unwrap() {
        WebhookAdded::Webhook(row) => *row,
        WebhookAdded::Full(most) => panic!("{most}"),
    }
}

/// Messages of an endpoint or of hooks that jobs name, oldest first.
async fn messages(store: &Store, endpoint: Option<&Id>) -> Vec<DeliveryRow> {
    let mut found = store.deliveries(P, endpoint, None, None, None, 1000).await.unwrap().items;
    found.reverse();
    found
}

async fn told(store: &Store, endpoint: Option<&Id>) -> Vec<&'static str> {
    messages(store, endpoint).await.iter().map(|message| message.event.as_str()).collect()
}

fn failed() -> Ending {
    let error =
        Failure { code: "numerical_error".into(), title: "It cannot be fitted".into(), detail: "x".repeat(30_000), retryable: false };
    Ending::Failed { error, reason: None, warnings: vec![] }
}

pub(crate) async fn every_change_is_told_to_those_who_listen_in_its_project(house: House) {
    let store = house.open().await;
    let (all, ends) = (endpoint(&store, P, &Event::ALL).await, endpoint(&store, P, &Event::ENDS).await);
    let foreign = endpoint(&store, "other", &Event::ALL).await;
    let (_, jobs) = with_jobs(&store, 4).await;
    assert_eq!(told(&store, Some(&all.id)).await, ["dataset.ready"]);
    let first = claim(&store).await;
    store.finish(&first, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    let second = claim(&store).await;
    store.finish(&second, failed()).await.unwrap();
    let third = claim(&store).await;
    store.finish(&third, Ending::HandedBack).await.unwrap();
    assert!(matches!(store.request_cancel(P, &jobs[2].id).await.unwrap(), Cancellation::Cancelled(_)));
    let expected = ["job.succeeded", "job.failed", "job.cancelled"];
    assert_eq!(told(&store, Some(&ends.id)).await, expected);
    let expected = ["dataset.ready", "job.started", "job.succeeded", "job.started", "job.failed", "job.started", "job.cancelled"];
    assert_eq!(told(&store, Some(&all.id)).await, expected);
    assert!(store.deliveries("other", Some(&foreign.id), None, None, None, 10).await.unwrap().items.is_empty());
    assert!(store.deliveries(P, Some(&foreign.id), None, None, None, 10).await.unwrap().items.is_empty());

    let of_first = store.deliveries(P, Some(&all.id), Some(DeliveryState::Pending), Some(&jobs[0].id), None, 10).await.unwrap().items;
    assert_eq!(of_first.len(), 2);
    for message in messages(&store, Some(&all.id)).await {
        assert!(message.body.len() < 1000, "thin whatever the job says: {}", message.body);
        let body: Value = serde_json::from_str(&message.body).unwrap();
        assert_eq!(body["type"], message.event.as_str());
        assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
    }
    let body: Value = serde_json::from_str(&of_first[0].body).unwrap();
    assert_eq!((body["data"]["status"].as_str(), body["data"]["model_version"].as_str()), (Some("succeeded"), Some("m:1")));
    assert_eq!(body["data"]["href"].as_str().unwrap(), format!("/api/v1/jobs/{}", jobs[0].id));
}

pub(crate) async fn a_change_and_its_message_are_committed_together_or_not_at_all(house: House) {
    let store = house.open().await;
    let told_of = endpoint(&store, P, &Event::ALL).await;
    let (_, jobs) = with_jobs(&store, 2).await;
    let running = claim(&store).await;
    let before = told(&store, Some(&told_of.id)).await;
    let rename = async |from: &str, to: &str| {
        let text = sqlx::AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
        match house.url() {
            Some(url) => PgConnection::connect(url).await.unwrap().execute(text).await.map(drop),
            None => sqlite(&house).await.execute(text).await.map(drop),
        }
        .unwrap();
    };
    rename("webhook_deliveries", "hidden").await;
    assert!(store.claim("worker-1").await.is_err());
    assert!(store.finish(&running, Ending::Succeeded { model: model(), points: None }).await.is_err());
    assert!(store.request_cancel(P, &jobs[1].id).await.is_err());
    rename("hidden", "webhook_deliveries").await;
    let (first, second) = (store.job(P, &jobs[0].id).await.unwrap().unwrap(), store.job(P, &jobs[1].id).await.unwrap().unwrap());
    assert_eq!((first.status, second.status, second.attempt), (Status::Running, Status::Queued, 0));
    assert!(store.model(P, "m", None).await.unwrap().is_none());
    assert_eq!(told(&store, Some(&told_of.id)).await, before);
    store.finish(&running, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert_eq!(told(&store, Some(&told_of.id)).await.len(), before.len() + 1);
}

pub(crate) async fn a_refused_ending_tells_nothing_and_a_rescue_tells_what_it_ended(house: House) {
    let store = house.open_without_lease().await;
    let ends = endpoint(&store, P, &Event::ENDS).await;
    let (_, jobs) = with_jobs(&store, 1).await;
    let lost = claim(&store).await;
    store.rescue(None).await.unwrap();
    let second = claim(&store).await;
    assert!(matches!(store.finish(&lost, Ending::Succeeded { model: model(), points: None }).await.unwrap(), Finished::Fenced));
    assert!(matches!(store.finish(&lost, failed()).await.unwrap(), Finished::Fenced));
    assert_eq!(told(&store, Some(&ends.id)).await, [""; 0]);
    store.rescue(None).await.unwrap();
    claim(&store).await;
    store.rescue(None).await.unwrap();
    assert_eq!(store.job(P, &jobs[0].id).await.unwrap().unwrap().status, Status::Failed);
    assert_eq!(told(&store, Some(&ends.id)).await, ["job.failed"]);
    assert!(matches!(store.finish(&second, failed()).await.unwrap(), Finished::Fenced));
    assert_eq!(told(&store, Some(&ends.id)).await, ["job.failed"]);
}

pub(crate) async fn a_hook_that_a_job_names_hears_of_that_job_alone(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let hook = |secret: &str| {
        let hook = Hook { url: "https://hooks.example/mine".into(), events: vec![Event::JobSucceeded, Event::JobStarted] };
        Some(NewHook { hook, secret: secret.into() })
    };
    let mine = enqueue(&store, NewJob { webhook: hook("whsec_one"), ..new_job(&dataset, "m") }).await;
    enqueue(&store, new_job(&dataset, "m")).await;
    enqueue(&store, NewJob { webhook: hook("whsec_two"), ..new_job(&dataset, "m") }).await;
    for _ in 0..2 {
        let claim = claim(&store).await;
        store.finish(&claim, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    }
    assert_eq!(told(&store, None).await, ["job.started", "job.succeeded"]);
    assert!(messages(&store, None).await.iter().all(|message| message.job.as_ref() == Some(&mine.id)));
    // the first such hook made the project's secret
    let sent = store.claim_delivery(LEASE, at_once(9)).await.unwrap().unwrap();
    assert_eq!((sent.secrets, sent.delivery.url), (vec!["whsec_one".to_owned()], "https://hooks.example/mine".to_owned()));
    store.delete_job(P, &mine.id).await.unwrap();
    assert_eq!(messages(&store, None).await.len(), 2, "what was told stays told");
}

pub(crate) async fn no_message_is_claimed_twice_and_one_address_gets_a_few_at_once(house: House) {
    const MESSAGES: usize = 24;
    let first = house.open().await;
    let mut stores = vec![first.clone()];
    if house.url().is_some() {
        stores.extend([house.open().await, house.open().await]);
    }
    endpoint(&first, P, &[Event::DatasetReady]).await;
    for _ in 0..MESSAGES {
        add_dataset(&first, P, "d", false).await;
    }
    // bounded: two, and then none until one of them is settled
    let two =
        [first.claim_delivery(LEASE, at_once(2)).await.unwrap().unwrap(), first.claim_delivery(LEASE, at_once(2)).await.unwrap().unwrap()];
    assert!(first.claim_delivery(LEASE, at_once(2)).await.unwrap().is_none());
    assert!(first.settle_delivery(&two[0], Attempt::Delivered { status: 204 }).await.unwrap());
    let third = first.claim_delivery(LEASE, at_once(2)).await.unwrap().unwrap();
    assert!(first.claim_delivery(LEASE, at_once(2)).await.unwrap().is_none());
    let mut tasks = JoinSet::new();
    for courier in 0..6 {
        let store = stores[courier % stores.len()].clone();
        tasks.spawn(async move {
            let mut claimed = Vec::new();
            while let Some(claim) = store.claim_delivery(LEASE, at_once(1000)).await.unwrap() {
                claimed.push(claim.delivery.id);
            }
            claimed
        });
    }
    let mut claimed = tasks.join_all().await.concat();
    claimed.extend(two.into_iter().chain([third]).map(|claim| claim.delivery.id));
    assert_eq!(claimed.len(), MESSAGES);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>().len(), MESSAGES);
}

pub(crate) async fn a_project_whose_receivers_all_hang_leaves_places_to_others(house: House) {
    let store = house.open().await;
    for _ in 0..6 {
        endpoint(&store, P, &[Event::DatasetReady]).await;
    }
    add_dataset(&store, P, "d", false).await;
    endpoint(&store, "other", &[Event::DatasetReady]).await;
    add_dataset(&store, "other", "d", false).await;
    let few = AtOnce { to_one_address: u64::MAX, of_one_project: 4 };
    let mut told = Vec::new();
    while let Some(claim) = store.claim_delivery(LEASE, few).await.unwrap() {
        let theirs = store.webhook(P, claim.delivery.endpoint.as_ref().unwrap()).await.unwrap().is_some();
        told.push((theirs, claim));
    }
    assert_eq!(told.iter().map(|(theirs, _)| *theirs).collect::<Vec<_>>(), [true, true, true, true, false]);
    assert!(store.settle_delivery(&told[0].1, Attempt::Delivered { status: 204 }).await.unwrap());
    assert!(store.claim_delivery(LEASE, few).await.unwrap().is_some(), "a place that is free again");
    assert!(store.claim_delivery(LEASE, few).await.unwrap().is_none());
}

pub(crate) async fn only_the_present_attempt_settles_a_message(house: House) {
    let store = house.open().await;
    let told_of = endpoint(&store, P, &[Event::DatasetReady]).await;
    add_dataset(&store, P, "d", false).await;
    let dead = store.claim_delivery(Duration::ZERO, at_once(9)).await.unwrap().unwrap();
    let alive = store.claim_delivery(LEASE, at_once(9)).await.unwrap().expect("the first lease ran out");
    assert_eq!((dead.delivery.attempts, alive.delivery.attempts, alive.step), (1, 2, 2));
    assert!(!store.settle_delivery(&dead, Attempt::Delivered { status: 200 }).await.unwrap());
    assert_eq!(messages(&store, Some(&told_of.id)).await[0].state, DeliveryState::Pending);
    let again = Attempt::Again { after: LEASE, status: Some(500), error: "answered 500".into() };
    assert!(store.settle_delivery(&alive, again.clone()).await.unwrap());
    assert!(!store.settle_delivery(&alive, again).await.unwrap(), "once");
    assert!(store.claim_delivery(LEASE, at_once(9)).await.unwrap().is_none(), "not yet due");
    let message = messages(&store, Some(&told_of.id)).await.remove(0);
    assert_eq!(
        (message.state, message.last_status, message.last_error.as_deref()),
        (DeliveryState::Pending, Some(500), Some("answered 500"))
    );
    assert!(message.next_at > message.created_at);

    // sent again by hand: due at once, a series of its own
    assert!(matches!(store.resend_delivery(P, Some(&told_of.id), &message.id).await.unwrap(), Resent::Pending(_)));
    let third = store.claim_delivery(LEASE, at_once(9)).await.unwrap().unwrap();
    assert_eq!((third.delivery.attempts, third.step), (3, 1));
    assert!(store.settle_delivery(&third, Attempt::GivenUp { status: None, error: "no connection".into() }).await.unwrap());
    assert_eq!(messages(&store, Some(&told_of.id)).await[0].state, DeliveryState::Failed);
    assert_eq!(store.prune_deliveries(LEASE).await.unwrap(), 0);
    assert_eq!(store.prune_deliveries(Duration::ZERO).await.unwrap(), 1);
    assert!(messages(&store, Some(&told_of.id)).await.is_empty());
    assert!(matches!(store.resend_delivery(P, Some(&told_of.id), &message.id).await.unwrap(), Resent::Absent));
}

pub(crate) async fn an_endpoint_that_wants_nothing_gets_nothing(house: House) {
    let store = house.open().await;
    let told_of = endpoint(&store, P, &[Event::DatasetReady]).await;
    for _ in 0..3 {
        add_dataset(&store, P, "d", false).await;
    }
    let moved = WebhookChange { url: Some("https://elsewhere.example/".into()), ..WebhookChange::default() };
    assert_eq!(store.change_webhook(P, &told_of.id, moved).await.unwrap().unwrap().description, "told");
    let gone = store.claim_delivery(LEASE, at_once(9)).await.unwrap().unwrap();
    assert_eq!(gone.delivery.url, "https://elsewhere.example/");
    assert!(store.settle_delivery(&gone, Attempt::Gone { status: 410 }).await.unwrap());
    assert!(!store.webhook(P, &told_of.id).await.unwrap().unwrap().enabled);
    assert!(messages(&store, Some(&told_of.id)).await.iter().all(|message| message.state == DeliveryState::Failed));
    add_dataset(&store, P, "d", false).await;
    assert_eq!(messages(&store, Some(&told_of.id)).await.len(), 3);
    assert!(matches!(store.resend_delivery(P, Some(&told_of.id), &gone.delivery.id).await.unwrap(), Resent::Disabled));

    let enabled = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    assert!(store.change_webhook("other", &told_of.id, enabled.clone()).await.unwrap().is_none());
    assert!(store.change_webhook(P, &told_of.id, enabled).await.unwrap().unwrap().enabled);
    assert!(matches!(store.resend_delivery(P, Some(&told_of.id), &gone.delivery.id).await.unwrap(), Resent::Pending(_)));
    assert!(!store.delete_webhook("other", &told_of.id).await.unwrap());
    assert!(store.delete_webhook(P, &told_of.id).await.unwrap());
    assert!(!store.delete_webhook(P, &told_of.id).await.unwrap());
    assert!(store.claim_delivery(LEASE, at_once(9)).await.unwrap().is_none());
    assert!(messages(&store, Some(&told_of.id)).await.is_empty());
}

pub(crate) async fn a_rotated_secret_signs_beside_the_new_one(house: House) {
    let store = house.open().await;
    let told_of = endpoint(&store, P, &[Event::DatasetReady]).await;
    assert!(store.rotate_secret(P, Some(&told_of.id), "whsec_second").await.unwrap());
    assert!(!store.rotate_secret("other", Some(&told_of.id), "whsec_foreign").await.unwrap());
    assert!(store.rotate_secret(P, None, "whsec_jobs").await.unwrap());
    add_dataset(&store, P, "d", false).await;
    assert_eq!(store.claim_delivery(LEASE, at_once(9)).await.unwrap().unwrap().secrets, ["whsec_second", "whsec_first"]);
    let mut endpoints = 1;
    loop {
        let hook = Hook { url: "https://hooks.example/x".into(), events: vec![Event::JobFailed] };
        match store.add_webhook(P, hook, "", "whsec_x").await.unwrap() {
            WebhookAdded::Webhook(_) => endpoints += 1,
            WebhookAdded::Full(most) => break assert_eq!(most, endpoints),
        }
    }
    assert_eq!(store.webhooks(P, None, 1000).await.unwrap().items.len(), usize::try_from(endpoints).unwrap());
}

pub(crate) async fn progress_is_told_now_and_then(house: House) {
    let store = house.open().await;
    let told_of = endpoint(&store, P, &[Event::JobProgress]).await;
    with_jobs(&store, 1).await;
    let claim = claim(&store).await;
    for fraction in [0.1, 0.2, 0.3] {
        let progress = Progress { fraction, ..Progress::default() };
        assert_eq!(store.heartbeat(&claim, &progress).await.unwrap(), Beat::Continue);
    }
    assert_eq!(told(&store, Some(&told_of.id)).await, ["job.progress"], "three beats within ten seconds");
    let body: Value = serde_json::from_str(&messages(&store, Some(&told_of.id)).await[0].body).unwrap();
    assert_eq!(body["data"]["fraction"], 0.1);
}
