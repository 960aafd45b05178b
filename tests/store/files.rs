//! Files: what is kept, what is swept, what is noticed.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use sparsefit::ambient::Ambient;
use sparsefit::id::{Id, Kind};
use sparsefit::store::{Deletion, Ending, StoreError};

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job, upload, with_jobs};

pub(crate) async fn what_a_crash_leaves_is_swept_and_nothing_else(house: House) {
    let store = house.open().await;
    add_dataset(&store, P, "kept", true).await;
    let kept = house.files();
    assert_eq!(kept.len(), 2);
    assert_eq!(fs::read_dir(house.data_dir().join("scratch")).unwrap().count(), 0);

    // died after writing, after renaming, in the middle of sorting
    let [written, renamed] = [(); 2].map(|()| Id::new(Kind::Blob, &Ambient::system()));
    let blobs = house.data_dir().join("blobs");
    fs::write(blobs.join(format!("{written}.tmp")), b"half").unwrap();
    fs::write(blobs.join(renamed.as_str()), b"whole").unwrap();
    fs::write(blobs.join("README"), b"not ours").unwrap();
    let scratch = house.data_dir().join("scratch").join(written.as_str());
    fs::create_dir(&scratch).unwrap();
    fs::write(scratch.join("run"), b"sorted").unwrap();
    // and one that is alive
    let alive = store.incoming().unwrap();

    assert_eq!(store.sweep(Duration::from_secs(3600)).await.unwrap(), 0, "too young");
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 2);
    assert!(!scratch.exists() && alive.scratch().exists());
    let left = house.files();
    assert_eq!(left.len(), kept.len() + 3, "the row's files, the living upload's, and what is not ours: {left:?}");
    assert!(kept.iter().all(|file| left.contains(file)));
    drop(alive);
    assert_eq!(house.files().len(), kept.len() + 1, "an upload that is given up leaves nothing");
    assert_eq!(fs::read_dir(house.data_dir().join("scratch")).unwrap().count(), 0);
}

pub(crate) async fn names_stay_as_long_as_a_row_needs_them(house: House) {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", true).await;
    enqueue(&store, new_job(&dataset, "m")).await;
    store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert_eq!(house.files().len(), 3, "data, names, model");
    assert_eq!(store.delete_dataset(P, "d", 1).await.unwrap(), Deletion::Done);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 1, "the data go, the model keeps the names");
    assert_eq!(store.delete_model(P, "m", 1).await.unwrap(), Deletion::Done);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 2);
    assert!(house.files().is_empty());
}

pub(crate) async fn a_damaged_artefact_is_noticed(house: House) {
    let store = house.open().await;
    with_jobs(&store, 1).await;
    let before = house.files();
    store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    let row = store.model(P, "m", None).await.unwrap().unwrap();
    let file = house.files().into_iter().find(|file| !before.contains(file)).unwrap();
    let path = house.data_dir().join("blobs").join(file);
    let whole = fs::read(&path).unwrap();
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut broken = whole.clone();
        broken[at] ^= 1;
        fs::write(&path, &broken).unwrap();
        assert!(matches!(store.open_model(&row).await, Err(StoreError::Damaged(_))), "byte {at}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.open_model(&row).await, Err(StoreError::Damaged(_))), "gone");
    fs::write(&path, &whole).unwrap();
    assert_eq!(store.open_model(&row).await.unwrap().model, model());
}

pub(crate) async fn a_dataset_is_opened_once_and_checked(house: House) {
    let store = house.open().await;
    let row = upload(&store, "d").await;
    let open = store.open_dataset(&row).await.unwrap();
    assert_eq!((&open.y[..], open.names.as_ref().unwrap().get(1)), (&[0.5, 1.5, 2.5][..], Some("price")));
    assert!(Arc::ptr_eq(&open, &store.open_dataset(&row).await.unwrap()), "one mapping for all who use it");

    enqueue(&store, new_job(&row, "m")).await;
    store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert_eq!(store.delete_dataset(P, "d", 1).await.unwrap(), Deletion::Done);
    store.sweep(Duration::ZERO).await.unwrap();
    assert_eq!(open.x.view().nnz(), 4, "who has it open may go on");
    let opened = store.open_model(&store.model(P, "m", None).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(opened.names.unwrap().find("price"), Some(1), "a model keeps the names");
    drop(open);
    assert!(matches!(store.open_dataset(&row).await, Err(StoreError::Damaged(_))), "a row without its file");

    for file in 0..2 {
        let before = house.files();
        let row = upload(&store, "e").await;
        let path = house.data_dir().join("blobs").join(house.files().into_iter().filter(|file| !before.contains(file)).nth(file).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(store.open_dataset(&row).await, Err(StoreError::Damaged(_))), "file {file}");
    }
}

pub(crate) async fn a_refused_ending_leaves_no_file(house: House) {
    let store = house.open_without_lease().await;
    with_jobs(&store, 1).await;
    let before = house.files();
    let zombie = claim(&store).await;
    store.rescue(None).await.unwrap();
    store.finish(&zombie, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    assert_eq!(house.files(), before);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0);
}

pub(crate) async fn a_store_whose_directory_is_gone_is_not_writable(house: House) {
    let store = house.open().await;
    store.ping().await.unwrap();
    let away = house.data_dir().with_extension("away");
    fs::rename(house.data_dir(), &away).unwrap();
    assert!(store.ping().await.is_err());
    assert!(store.incoming().is_err());
    assert!(!house.data_dir().exists(), "no empty store is made in its place");
    fs::rename(&away, house.data_dir()).unwrap();
    store.ping().await.unwrap();
}
