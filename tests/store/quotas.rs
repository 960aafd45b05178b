//! What one project may have: sums that are read from rows, and agree with the files.

use sparsefit::access::Quotas;
use sparsefit::ambient::Ambient;
use sparsefit::store::{DatasetRow, Ending, Store, StoreConfig, StoreError, Usage};

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job, try_add_dataset};

async fn open(house: &House, quotas: Quotas) -> Store {
    Store::open(StoreConfig { quotas, ..house.config() }, Ambient::system()).await.unwrap()
}

fn refused(outcome: Result<DatasetRow, StoreError>) -> String {
    match outcome {
        Err(StoreError::OverQuota(told)) => told,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_project_has_what_its_rows_say_and_no_more(house: House) {
    let store = open(&house, Quotas { stored_bytes: 40, datasets: 3, ..Quotas::default() }).await;
    assert_eq!(store.usage(P).await.unwrap(), Usage::default());
    add_dataset(&store, P, "a", false).await;
    add_dataset(&store, P, "a", true).await;
    assert_eq!(store.usage(P).await.unwrap(), Usage { stored_bytes: 25, datasets: 2, ..Usage::default() }, "names are counted");
    let files = house.files();
    let on_disk: u64 = files.iter().map(|file| std::fs::metadata(house.data_dir().join("blobs").join(file)).unwrap().len()).sum();
    assert_eq!(on_disk, 25);
    add_dataset(&store, P, "b", true).await;
    let (before, files) = (store.usage(P).await.unwrap(), house.files());
    assert_eq!(before.stored_bytes, 40);
    assert!(refused(try_add_dataset(&store, P, "c", false).await).contains("data set versions"));
    store.delete_dataset(P, "a", 1).await.unwrap();
    assert!(refused(try_add_dataset(&store, P, "c", true).await).contains("stored bytes"), "15 more than 30 of 40");
    assert_eq!(house.files(), files, "nothing is left of what was refused");
    add_dataset(&store, P, "c", false).await;
    assert_eq!(store.usage(P).await.unwrap(), before);
    assert_eq!(add_dataset(&store, "other", "a", true).await.version, 1, "another project has its own");
}

pub(crate) async fn uploads_of_the_same_moment_do_not_pass_the_quota_together(house: House) {
    let store = open(&house, Quotas { stored_bytes: 35, ..Quotas::default() }).await;
    let adding: Vec<_> = (0..12)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { try_add_dataset(&store, P, &format!("d{number}"), false).await })
        })
        .collect();
    let mut added = 0;
    for one in adding {
        match one.await.unwrap() {
            Ok(_) => added += 1,
            other => assert!(refused(other).contains("stored bytes")),
        }
    }
    assert_eq!((added, store.usage(P).await.unwrap().stored_bytes, house.files().len()), (3, 30, 3));
}

pub(crate) async fn a_job_whose_model_has_no_room_is_refused(house: House) {
    let store = open(&house, Quotas { models: 2, ..Quotas::default() }).await;
    let dataset = add_dataset(&store, P, "d", false).await;
    enqueue(&store, new_job(&dataset, "m")).await;
    store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    let job = enqueue(&store, new_job(&dataset, "m")).await;
    let used = store.usage(P).await.unwrap();
    assert_eq!((used.models, used.jobs, used.stored_bytes), (1, 1, 10 + model().encode().len() as u64));
    assert!(matches!(store.enqueue(new_job(&dataset, "m")).await, Err(StoreError::OverQuota(_))), "one model, one on its way");
    store.request_cancel(P, &job.id).await.unwrap();
    enqueue(&store, new_job(&dataset, "m")).await;
    store.delete_model(P, "m", 1).await.unwrap();
    enqueue(&store, new_job(&dataset, "m")).await;
}
