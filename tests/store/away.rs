//! PostgreSQL that is silent, gone, or lost its answer, and several processes that talk over it.

use std::sync::Arc;
use std::time::Duration;

use sparsefit::ambient::Ambient;
use sparsefit::job::{Failure, Status};
use sparsefit::store::{Cancellation, Ending, Enqueued, Finished, JobFilter, Store, StoreConfig, StoreError};
use sparsefit::trace::Traces;
use sparsefit::worker::{Memory, Pool};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::time::timeout;

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job, with_jobs};
use crate::proxy::{Proxy, Wire};

/// Nothing of a test takes this long; what does has failed. Never part of what is asserted.
const LONGEST: Duration = Duration::from_secs(60);

async fn open(house: &House, url: &str) -> Store {
    let config = StoreConfig { database_url: Some(url.to_owned()), ..house.config() };
    Store::open(config, Ambient::system()).await.unwrap()
}

/// A house, a store that reaches its database by wire, and the wire.
async fn by_wire() -> Option<(House, Store, Proxy)> {
    let house = House::postgres().await?;
    let proxy = Proxy::before(house.url().unwrap()).await;
    let store = open(&house, &proxy.url).await;
    Some((house, store, proxy))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_submission_whose_answer_was_lost_is_found_and_not_repeated() {
    let Some((_house, store, proxy)) = by_wire().await else { return };
    let dataset = add_dataset(&store, P, "d", false).await;
    proxy.set(Wire::LosesCommit);
    let job = enqueue(&store, new_job(&dataset, "m")).await;
    assert_eq!(proxy.is(), Wire::Whole, "a commit's answer was lost");
    let found = store.jobs(P, &JobFilter::default(), None, 10).await.unwrap().items;
    assert_eq!(found, [job]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ending_whose_answer_was_lost_is_found_when_it_is_stored_again() {
    let Some((house, store, proxy)) = by_wire().await else { return };
    with_jobs(&store, 2).await;
    let error = Failure { code: "invalid_target".into(), title: "t".into(), detail: "d".into(), retryable: false };
    let failed = Ending::Failed { error, reason: None, warnings: vec![] };
    for (ending, status) in [(Ending::Succeeded { model: model(), points: None }, Status::Succeeded), (failed, Status::Failed)] {
        let claimed = claim(&store).await;
        proxy.set(Wire::LosesCommit);
        let lost = store.finish(&claimed, ending.clone()).await;
        assert!(matches!(lost, Err(StoreError::OutcomeUnknown(_))), "{lost:?}");
        let Finished::Stored(job) = store.finish(&claimed, ending).await.unwrap() else { panic!("its own ending, fenced") };
        assert_eq!((job.status, &job.id), (status, &claimed.job.id));
    }
    assert_eq!(store.model_versions(P, "m").await.unwrap(), [1]);
    let row = store.model(P, "m", None).await.unwrap().unwrap();
    store.open_model(&row).await.expect("the file that the row names is there");
    assert_eq!(house.files().len(), 2, "one data set, one model: {:?}", house.files());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_whose_answer_was_lost_is_a_cancel() {
    let Some((_house, store, proxy)) = by_wire().await else { return };
    let (_, jobs) = with_jobs(&store, 1).await;
    proxy.set(Wire::LosesCommit);
    assert!(matches!(store.request_cancel(P, &jobs[0].id).await.unwrap(), Cancellation::Cancelled(_)));
    assert_eq!(proxy.is(), Wire::Whole, "a commit's answer was lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_silent_or_gone_is_an_error_until_it_is_back() {
    let Some((_house, store, proxy)) = by_wire().await else { return };
    let dataset = add_dataset(&store, P, "d", false).await;
    let job = enqueue(&store, new_job(&dataset, "m")).await;
    for wire in [Wire::Silent, Wire::Cut] {
        proxy.set(wire);
        let all = async { tokio::join!(store.enqueue(new_job(&dataset, "m")), store.job(P, &job.id), store.ping(), store.claim("w")) };
        let (written, read, ping, claimed) = timeout(LONGEST, all).await.expect("nothing hangs");
        let errors = [written.map(drop).unwrap_err(), read.map(drop).unwrap_err(), ping.unwrap_err(), claimed.map(drop).unwrap_err()];
        assert!(errors.iter().all(|error| matches!(error, StoreError::Database(_))), "{wire:?}: {errors:?}");
        proxy.set(Wire::Whole);
        let back = async { while store.ping().await.is_err() {} };
        timeout(LONGEST, back).await.expect("it comes back without a restart");
        enqueue(&store, new_job(&dataset, "m")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_database_that_is_known_to_be_away() {
    let Some((_house, store, proxy)) = by_wire().await else { return };
    let (_, jobs) = with_jobs(&store, 1).await;
    for wire in [Wire::Silent, Wire::Cut] {
        proxy.set(wire);
        let known = async { while !store.job(P, &jobs[0].id).await.unwrap_err().to_string().contains("is away") {} };
        timeout(LONGEST, known).await.expect("the lookout notices");
        let asked = [store.claim("w").await.map(drop), store.pulse(P, &jobs[0].id).await.map(drop), store.ping().await];
        assert!(asked.iter().all(|asked| asked.as_ref().unwrap_err().to_string().contains("is away")), "{wire:?}: {asked:?}");
        proxy.set(Wire::Whole);
        let back = async { while store.ping().await.is_err() {} };
        timeout(LONGEST, back).await.expect("the lookout notices that, too");
        // connections that died at rest are told from others before they are used
        for _ in 0..12 {
            store.job(P, &jobs[0].id).await.expect("all is well");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_holds_one_statement_up_is_not_away() {
    let Some(house) = House::postgres().await else { return };
    let store = house.open().await;
    let (_, jobs) = with_jobs(&store, 1).await;
    let mut other = PgConnection::connect(house.url().unwrap()).await.unwrap();
    other.execute("BEGIN; LOCK TABLE jobs").await.unwrap();
    let refused = store.request_cancel(P, &jobs[0].id).await.unwrap_err();
    let StoreError::Database(sqlx::Error::Database(refused)) = &refused else { panic!("{refused:?}") };
    assert_eq!(refused.code().as_deref(), Some("55P03"), "PostgreSQL itself says that a lock was not to be had");
    other.execute("ROLLBACK").await.unwrap();
    assert!(matches!(store.request_cancel(P, &jobs[0].id).await.unwrap(), Cancellation::Cancelled(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_commits_another_hears() {
    let Some((house, there, proxy)) = by_wire().await else { return };
    let here = open(&house, house.url().unwrap()).await;
    let (_, jobs) = with_jobs(&here, 1).await;
    let (id, epoch) = (jobs[0].id.clone(), there.hub().models_epoch());
    let mut watch = there.hub().watch_job(&id);
    let (one, two) = (
        Pool::start(&here, "here", 0, 1, &Memory::of_machine(), Arc::default(), &Traces::default()),
        Pool::start(&there, "there", 0, 1, &Memory::of_machine(), Arc::default(), &Traces::default()),
    );
    // who begins to listen takes everything for changed
    timeout(LONGEST, watch.changed()).await.expect("the listener listens");
    assert!(there.hub().models_epoch() > epoch);

    claim(&here).await;
    timeout(LONGEST, watch.changed()).await.expect("a change of the job is heard");
    here.request_cancel(P, &id).await.unwrap();
    timeout(LONGEST, watch.cancelled()).await.expect("a cancel is heard");
    let epoch = there.hub().models_epoch();
    here.delete_model(P, "m", 1).await.unwrap();
    let heard = async {
        while there.hub().models_epoch() == epoch {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONGEST, heard).await.expect("a change of the models is heard");

    let mut again = there.hub().watch_job(&id);
    proxy.set(Wire::Cut);
    let gone = async { while there.ping().await.is_ok() {} };
    timeout(LONGEST, gone).await.expect("nobody gets through");
    proxy.set(Wire::Whole);
    timeout(LONGEST, again.changed()).await.expect("a listener whose connection was cut listens again");
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_the_database_is_as_safe_as_its_address_says() {
    let Some(house) = House::postgres().await else { return };
    let proxy = Proxy::before(house.url().unwrap()).await;
    // nobody vouches for a server at this address
    let url = proxy.url.replace("sslmode=disable", "sslmode=verify-full");
    assert!(url.contains("sslmode=verify-full"), "{url}");
    let config = StoreConfig { database_url: Some(url), ..house.config() };
    let refused = Store::open(config, Ambient::system()).await.expect_err("no TLS, or a certificate nobody signed");
    assert!(matches!(refused, StoreError::Database(_)), "{refused}");
}

pub(crate) async fn a_queue_has_no_more_than_its_bound_however_many_submit(house: House) {
    const MOST: usize = 5;
    let config = StoreConfig { queue_max: MOST as u64, ..house.config() };
    let mut stores = vec![Store::open(config.clone(), Ambient::system()).await.unwrap()];
    if house.url().is_some() {
        stores.push(Store::open(config, Ambient::system()).await.unwrap());
    }
    let dataset = add_dataset(&stores[0], P, "d", false).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 * MOST {
        let (store, job) = (stores[n % stores.len()].clone(), new_job(&dataset, "m"));
        tasks.spawn(async move { matches!(store.enqueue(job).await.unwrap(), Enqueued::Job(_)) });
    }
    let queued = tasks.join_all().await.into_iter().filter(|queued| *queued).count();
    assert_eq!((queued, stores[0].queue_counts().await.unwrap().queued), (MOST, MOST as u64));
}
