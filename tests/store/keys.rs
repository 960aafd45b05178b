//! Keys: what is kept of one, who sees it, and that every process hears of a change.

use sparsefit::access::{NewKey, Presented, Scopes};
use sparsefit::ambient::Ambient;
use sparsefit::store::{Revocation, Store, StoreError};

use crate::house::{House, P};

fn new_key(project: &str, name: &str) -> NewKey {
    NewKey { project: project.into(), name: name.into(), scopes: Scopes::parse("jobs:read admin").unwrap(), expires_in_days: Some(1) }
}

async fn visitor(house: &House) -> Store {
    Store::open_beside(house.config(), Ambient::system()).await.unwrap()
}

pub(crate) async fn a_key_is_kept_as_its_checksum_and_known_to_its_project_alone(house: House) {
    let store = house.open().await;
    assert_eq!(store.keys_revision().await.unwrap(), 0);
    let (row, token) = store.add_key(new_key(P, "Anna's laptop ü")).await.unwrap();
    assert_eq!(store.keys_revision().await.unwrap(), 1);
    assert_eq!(row.expires_at, Some(row.created_at + 86_400_000_000));
    let found = store.key(P, &row.id).await.unwrap().unwrap();
    assert_eq!((&found.name, found.scopes, found.created_at), (&row.name, row.scopes, row.created_at));
    assert!(Presented::read(token.reveal()).is(Some(&found.digest)));
    assert_eq!(Presented::read(token.reveal()).id(), Some(&row.id));
    assert!(store.key("other", &row.id).await.unwrap().is_none());
    assert!(store.keys("other", None, 10).await.unwrap().items.is_empty());
    assert!(matches!(store.revoke_key(Some("other"), &row.id).await.unwrap(), Revocation::Absent));
    let (second, _) = store.add_key(new_key("other", "b")).await.unwrap();
    assert_eq!(store.living_keys().await.unwrap().len(), 2);
    let (third, _) = store.add_key(new_key(P, "c")).await.unwrap();
    let page = store.keys(P, None, 1).await.unwrap();
    let rest = store.keys(P, page.next.as_ref(), 1).await.unwrap();
    assert_eq!((&page.items[0].id, &rest.items[0].id, rest.next), (&third.id, &row.id, None));
    assert_ne!(second.id, third.id);

    let secret = &token.reveal()[30..];
    store.close().await;
    let holds = |bytes: Vec<u8>| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    for file in ["store.sqlite", "store.sqlite-wal"] {
        assert!(!std::fs::read(house.data_dir().join(file)).is_ok_and(holds), "{file} holds a key");
    }
}

pub(crate) async fn a_revoked_key_is_never_forgotten_and_its_use_is_noted(house: House) {
    let store = house.open().await;
    let (row, _) = store.add_key(new_key(P, "a")).await.unwrap();
    for at in [row.created_at + 5, row.created_at + 3] {
        store.note_key_used(&row.id, at).await.unwrap();
    }
    assert_eq!(store.key(P, &row.id).await.unwrap().unwrap().last_used_at, Some(row.created_at + 5));
    assert_eq!(store.keys_revision().await.unwrap(), 1, "its use changes nothing at the door");
    let mut times = Vec::new();
    for _ in 0..2 {
        let Revocation::Done(revoked) = store.revoke_key(None, &row.id).await.unwrap() else { panic!("absent") };
        times.push(revoked.revoked_at.unwrap());
    }
    assert_eq!(times[0], times[1]);
    assert!(store.living_keys().await.unwrap().is_empty());
    assert!(store.key(P, &row.id).await.unwrap().is_some());
    assert!(store.keys_revision().await.unwrap() > 1, "a server without living keys is not an open server");
}

pub(crate) async fn a_visitor_writes_beside_a_running_server_and_both_see_it(house: House) {
    let visitor_alone = visitor(&house).await;
    let (row, _) = visitor_alone.add_key(new_key(P, "before the first start")).await.unwrap();
    visitor_alone.close().await;
    let server = house.open().await;
    assert_eq!(server.living_keys().await.unwrap()[0].id, row.id);
    let beside = visitor(&house).await;
    assert_eq!(beside.secret().bytes(), server.secret().bytes(), "one installation, one secret");
    let before = server.keys_revision().await.unwrap();
    let (second, _) = beside.add_key(new_key(P, "beside")).await.unwrap();
    assert!(server.keys_revision().await.unwrap() > before);
    assert!(matches!(beside.revoke_key(None, &row.id).await.unwrap(), Revocation::Done(_)));
    beside.close().await;
    let living = server.living_keys().await.unwrap();
    assert_eq!(living.iter().map(|key| &key.id).collect::<Vec<_>>(), [&second.id]);
    server.ping().await.unwrap();
    if house.url().is_none() {
        let refused = house.try_open().await;
        assert!(matches!(refused, Err(StoreError::InUse(_))), "the visitor did not take the lock with it");
    }
}
