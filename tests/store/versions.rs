//! Data set and model versions: numbers, projects, lists, deletion.

use sparsefit::store::{Cancellation, Deletion, Ending, Enqueued, Finished};

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job};

pub(crate) async fn version_numbers_are_never_given_twice(house: House) {
    let store = house.open().await;
    assert_eq!(add_dataset(&store, P, "d", false).await.version, 1);
    let second = add_dataset(&store, P, "d", false).await;
    assert_eq!((second.version, second.meta.nnz), (2, 7));
    assert_eq!(store.delete_dataset(P, "d", 2).await.unwrap(), Deletion::Done);
    assert_eq!(store.delete_dataset(P, "d", 2).await.unwrap(), Deletion::Absent);
    assert_eq!(add_dataset(&store, P, "d", false).await.version, 3);
    assert_eq!(store.dataset_versions(P, "d").await.unwrap(), [3, 1]);
    assert_eq!(store.dataset(P, "d", None).await.unwrap().unwrap().version, 3);
    assert_eq!(store.dataset(P, "d", Some(1)).await.unwrap().unwrap().version, 1);
    assert!(store.dataset(P, "d", Some(2)).await.unwrap().is_none());

    let dataset = store.dataset(P, "d", None).await.unwrap().unwrap();
    for expected in [1, 2, 3] {
        enqueue(&store, new_job(&dataset, "m")).await;
        let ended = store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
        let Finished::Stored(job) = ended else { panic!("fenced") };
        assert_eq!(job.result.unwrap()["model_version"], format!("m:{expected}"));
        if expected == 2 {
            assert_eq!(store.delete_model(P, "m", 2).await.unwrap(), Deletion::Done);
            assert_eq!(store.delete_model(P, "m", 2).await.unwrap(), Deletion::Absent);
        }
    }
    assert_eq!(store.model_versions(P, "m").await.unwrap(), [3, 1]);
}

pub(crate) async fn a_project_sees_nothing_of_another(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    let job = enqueue(&store, new_job(&dataset, "m")).await;
    assert_eq!(add_dataset(&store, "other", "d", false).await.version, 1, "versions are counted by project");
    store.delete_dataset("other", "d", 1).await.unwrap();

    assert!(store.dataset("other", "d", None).await.unwrap().is_none());
    assert!(store.datasets("other", None, 10).await.unwrap().items.is_empty());
    assert!(store.job("other", &job.id).await.unwrap().is_none());
    assert!(matches!(store.request_cancel("other", &job.id).await.unwrap(), Cancellation::Absent));
    assert_eq!(store.delete_dataset("other", "d", 1).await.unwrap(), Deletion::Absent);
    let foreign = sparsefit::store::NewJob { project: "other".into(), ..new_job(&dataset, "m") };
    assert!(matches!(store.enqueue(foreign).await.unwrap(), Enqueued::DatasetGone));

    store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert!(store.model("other", "m", None).await.unwrap().is_none());
    assert!(store.models("other", None, 10).await.unwrap().items.is_empty());
    assert_eq!(store.delete_model("other", "m", 1).await.unwrap(), Deletion::Absent);
    assert_eq!(store.delete_job("other", &job.id).await.unwrap(), Deletion::Absent);
    assert!(store.job(P, &job.id).await.unwrap().is_some());
    assert!(store.model(P, "m", None).await.unwrap().is_some());
}

pub(crate) async fn lists_show_the_latest_of_each_name_newest_first_in_pages(house: House) {
    let store = house.open().await;
    for name in ["a", "b", "c", "a", "d", "e"] {
        let dataset = add_dataset(&store, P, name, false).await;
        enqueue(&store, new_job(&dataset, name)).await;
        store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    }
    let (mut datasets, mut models, mut after) = (Vec::new(), Vec::new(), (None, None));
    for _ in 0..3 {
        let page = store.datasets(P, after.0.as_ref(), 2).await.unwrap();
        datasets.extend(page.items.into_iter().map(|row| format!("{}:{}", row.name, row.version)));
        let models_page = store.models(P, after.1.as_ref(), 2).await.unwrap();
        models.extend(models_page.items.into_iter().map(|row| format!("{}:{}", row.name, row.version)));
        after = (page.next, models_page.next);
        if after.0.is_none() {
            break;
        }
    }
    assert_eq!(datasets, ["e:1", "d:1", "a:2", "c:1", "b:1"]);
    assert_eq!(models, datasets);
    assert_eq!(after, (None, None));
}

pub(crate) async fn a_dataset_is_kept_while_a_living_job_needs_it(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    enqueue(&store, new_job(&dataset, "m")).await;
    assert_eq!(store.delete_dataset(P, "d", 1).await.unwrap(), Deletion::InUse);
    let running = claim(&store).await;
    assert_eq!(store.delete_dataset(P, "d", 1).await.unwrap(), Deletion::InUse);
    store.finish(&running, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert_eq!(store.delete_dataset(P, "d", 1).await.unwrap(), Deletion::Done);
    assert!(matches!(store.enqueue(new_job(&dataset, "m")).await.unwrap(), Enqueued::DatasetGone));
    let row = store.model(P, "m", None).await.unwrap().unwrap();
    assert_eq!(row.dataset.name, "d", "a model remembers its data set");
}
