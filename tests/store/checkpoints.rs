//! Checkpoints: who may add to them, and when they go.

use std::fs;
use std::time::Duration;

use sparsefit::job::{Failure, Status};
use sparsefit::store::{Ending, EventKind, Finished, Store, StoreError};

use crate::house::{House, P, claim, model, with_jobs};

/// Waits until no more files are there than `most`: those of an ended job go a moment after its ending.
async fn until_files(house: &House, most: usize) {
    while house.files().len() > most {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn parts_come_back_in_order_and_go_with_the_ending(house: House) {
    let store = house.open().await;
    with_jobs(&store, 3).await;
    let failure = || Ending::Failed { error: Failure::attempts_exhausted(), reason: None, warnings: vec![] };
    for ending in [Ending::Succeeded { model: model(), points: None }, failure(), Ending::Cancelled] {
        let first = claim(&store).await;
        assert!(store.checkpoints(&first).await.unwrap().is_empty());
        assert!(store.add_checkpoint(&first, 1, b"one".to_vec()).await.unwrap());
        assert!(store.add_checkpoint(&first, 2, b"two".to_vec()).await.unwrap());
        assert!(store.add_checkpoint(&first, 2, b"two again".to_vec()).await.unwrap(), "it is there already");
        store.finish(&first, Ending::HandedBack).await.unwrap();
        // parts of a later claim come after those of an earlier one
        let second = claim(&store).await;
        assert_eq!(second.job.id, first.job.id);
        assert!(store.add_checkpoint(&second, 1, b"three".to_vec()).await.unwrap());
        assert_eq!(store.checkpoints(&second).await.unwrap(), [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        let told = store.events(P, &second.job.id, 0, &[EventKind::Checkpoint], 10).await.unwrap();
        assert_eq!(told.iter().map(|event| event.data["number"].clone()).collect::<Vec<_>>(), [1, 2, 1]);
        let before = house.files().len();
        let models = usize::from(matches!(ending, Ending::Succeeded { .. }));
        assert!(matches!(store.finish(&second, ending).await.unwrap(), Finished::Stored(_)));
        assert!(store.checkpoints(&second).await.unwrap().is_empty());
        until_files(&house, before + models - 3).await;
    }
}

pub(crate) async fn only_the_holder_of_a_claim_adds_to_a_checkpoint(house: House) {
    let store = house.open_without_lease().await;
    with_jobs(&store, 1).await;
    let zombie = claim(&store).await;
    assert!(store.add_checkpoint(&zombie, 1, b"one".to_vec()).await.unwrap());
    store.rescue(None).await.unwrap();
    let files = house.files();
    let refused = |store: Store, zombie: sparsefit::store::Claim| async move {
        assert!(!store.add_checkpoint(&zombie, 2, b"late".to_vec()).await.unwrap());
        assert!(!store.drop_checkpoints(&zombie).await.unwrap());
    };
    refused(store.clone(), zombie.clone()).await;
    let heir = claim(&store).await;
    refused(store.clone(), zombie.clone()).await;
    assert_eq!(store.checkpoints(&heir).await.unwrap(), [b"one".to_vec()]);
    assert_eq!(house.files(), files, "what was refused leaves no file");
    store.finish(&heir, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    refused(store.clone(), zombie).await;
    refused(store.clone(), heir).await;
    until_files(&house, 2).await;
}

pub(crate) async fn a_damaged_part_is_noticed_and_can_be_dropped(house: House) {
    let store = house.open().await;
    with_jobs(&store, 1).await;
    let before = house.files();
    let claimed = claim(&store).await;
    assert!(store.add_checkpoint(&claimed, 1, b"a few bytes".to_vec()).await.unwrap());
    let file = house.files().into_iter().find(|file| !before.contains(file)).unwrap();
    let path = house.data_dir().join("blobs").join(file);
    for damage in [&b"a few byteS"[..], b"a few", b""] {
        fs::write(&path, damage).unwrap();
        assert!(matches!(store.checkpoints(&claimed).await, Err(StoreError::Damaged(_))));
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.checkpoints(&claimed).await, Err(StoreError::Damaged(_))), "gone");
    assert!(store.drop_checkpoints(&claimed).await.unwrap());
    assert!(store.checkpoints(&claimed).await.unwrap().is_empty());
    assert!(store.add_checkpoint(&claimed, 2, b"anew".to_vec()).await.unwrap());
    assert_eq!(store.checkpoints(&claimed).await.unwrap(), [b"anew".to_vec()]);
}

pub(crate) async fn a_checkpoint_stays_while_its_job_may_go_on_and_is_swept_after(house: House) {
    let store = house.open_without_lease().await;
    let (_, jobs) = with_jobs(&store, 2).await;
    let first = claim(&store).await;
    assert!(store.add_checkpoint(&first, 1, b"of the first".to_vec()).await.unwrap());
    let files = house.files();
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0, "running");
    store.rescue(None).await.unwrap();
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 0, "queued");
    assert_eq!(house.files(), files);
    store.request_cancel(P, &jobs[0].id).await.unwrap();
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 1, "cancelled without a worker");

    // given up after the last attempt
    for number in 1..=3 {
        let last = claim(&store).await;
        assert!(store.add_checkpoint(&last, number, b"of the second".to_vec()).await.unwrap());
        store.rescue(None).await.unwrap();
    }
    assert_eq!(store.job(P, &jobs[1].id).await.unwrap().unwrap().status, Status::Failed);
    assert_eq!(store.sweep(Duration::ZERO).await.unwrap(), 3);
    assert_eq!(house.files().len(), files.len() - 1, "the data set alone");
}
