//! Aliases: who may move one, what is kept of it and told, and that what it points at stays.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use sparsefit::hook::{Event, Hook};
use sparsefit::spec::Pick;
use sparsefit::store::{AliasChange, AliasMove, AliasRow, Deletion, Ending, Expected, Store, WebhookAdded};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::task::JoinSet;

use crate::house::{House, P, add_dataset, claim, enqueue, model, new_job};
use crate::schema::sqlite;

/// A store with so many versions of `m`.
async fn with_versions(house: &House, count: i64) -> Store {
    let store = house.open().await;
    let dataset = add_dataset(&store, P, "d", false).await;
    for _ in 0..count {
        enqueue(&store, new_job(&dataset, "m")).await;
        store.finish(&claim(&store).await, Ending::Succeeded { model: model(), points: None }).await.unwrap();
    }
    store
}

async fn put(store: &Store, alias: &str, version: i64, expected: Expected) -> AliasChange {
    store.move_alias(P, "m", alias, version, expected, Some("key_1")).await.unwrap()
}

async fn made(store: &Store, alias: &str, version: i64) -> AliasRow {
    match put(store, alias, version, Expected::Unsaid).await {
        AliasChange::Made(row) => row,
        other => panic!("{other:?}"),
    }
}

fn seen(row: &AliasRow) -> Expected {
    Expected::Tagged(vec!["another".into(), row.tag()])
}

async fn served(store: &Store, alias: &str) -> Option<i64> {
    store.picked_model(P, "m", &Pick::Alias(alias.into())).await.unwrap().map(|row| row.version)
}

/// Runs a statement behind the store's back.
async fn beside(house: &House, text: &'static str) {
    match house.url() {
        Some(url) => PgConnection::connect(url).await.unwrap().execute(text).await.map(drop),
        None => sqlite(house).await.execute(text).await.map(drop),
    }
    .unwrap();
}

pub(crate) async fn an_alias_is_made_moved_and_deleted_and_every_move_is_kept(house: House) {
    let store = with_versions(&house, 3).await;
    assert_eq!(put(&store, "a", 4, Expected::Unsaid).await, AliasChange::NoVersion);
    for wrong in [Expected::Present, Expected::Tagged(vec!["1-0".into()])] {
        assert_eq!(put(&store, "a", 1, wrong).await, AliasChange::Unexpected);
    }
    assert_eq!((store.alias(P, "m", "a").await.unwrap(), served(&store, "a").await), (None, None));

    let first = made(&store, "a", 1).await;
    assert_eq!((first.version, first.moves, first.moved_by.as_deref()), (1, 1, Some("key_1")));
    assert_eq!(store.alias(P, "m", "a").await.unwrap().as_ref(), Some(&first));
    assert_eq!(put(&store, "a", 2, Expected::Unsaid).await, AliasChange::Unsaid);
    assert_eq!(put(&store, "a", 2, Expected::Absent).await, AliasChange::Unexpected);
    let AliasChange::Moved(second) = put(&store, "a", 2, seen(&first)).await else { panic!("not moved") };
    assert_eq!((second.version, second.moves, second.created_at, served(&store, "a").await), (2, 2, first.created_at, Some(2)));
    assert_eq!(put(&store, "a", 3, seen(&first)).await, AliasChange::Unexpected, "that state is over");
    assert_eq!(put(&store, "a", 2, seen(&second)).await, AliasChange::Unmoved(second.clone()));
    let moved = store.move_alias(P, "m", "a", 3, Expected::Present, None).await.unwrap();
    assert!(matches!(moved, AliasChange::Moved(AliasRow { version: 3, moves: 3, moved_by: None, .. })), "{moved:?}");

    let delete = async |expected| store.delete_alias(P, "m", "a", expected, Some("key_2")).await.unwrap();
    assert_eq!(delete(Expected::Unsaid).await, AliasChange::Unsaid);
    assert_eq!(delete(seen(&second)).await, AliasChange::Unexpected);
    assert_eq!(delete(Expected::Present).await, AliasChange::Deleted);
    assert_eq!((delete(Expected::Present).await, served(&store, "a").await), (AliasChange::Absent, None));

    // made again, it is not taken for what it was
    let again = made(&store, "a", 1).await;
    assert_eq!(again.moves, 5);
    assert!(![first.tag(), second.tag()].contains(&again.tag()));
    assert_eq!(put(&store, "a", 2, seen(&first)).await, AliasChange::Unexpected);
    store.close().await;

    let store = house.open().await;
    let (moves, rest) = store.alias_moves(P, "m", "a", None, 10).await.unwrap();
    let told: Vec<_> = moves.iter().map(|one| (one.number, one.previous, one.version, one.by.as_deref())).collect();
    assert_eq!(
        told,
        [
            (5, None, Some(1), Some("key_1")),
            (4, Some(3), None, Some("key_2")),
            (3, Some(2), Some(3), None),
            (2, Some(1), Some(2), Some("key_1")),
            (1, None, Some(1), Some("key_1")),
        ]
    );
    assert_eq!(rest, None);
    let (page, rest) = store.alias_moves(P, "m", "a", Some(4), 2).await.unwrap();
    assert_eq!((page.as_slice(), rest), (&moves[2..4], Some(2)));

    // of very many the newest thousand are kept
    beside(&house, "UPDATE aliases SET moves = 1002").await;
    store.delete_alias(P, "m", "a", Expected::Present, None).await.unwrap();
    let (moves, _) = store.alias_moves(P, "m", "a", None, 10).await.unwrap();
    assert_eq!(moves.iter().map(|one| one.number).collect::<Vec<_>>(), [1003, 5, 4]);
}

pub(crate) async fn of_many_who_saw_the_same_state_one_moves_it(house: House) {
    const MANY: i64 = 8;
    let store = with_versions(&house, MANY + 1).await;
    for (round, expected) in [(1, Expected::Absent), (2, Expected::Unsaid)] {
        let alias = format!("a{round}");
        let storm = async |expected: &Expected| {
            let mut all = JoinSet::new();
            for version in 1..=MANY {
                let (store, alias, expected) = (store.clone(), alias.clone(), expected.clone());
                all.spawn(async move { store.move_alias(P, "m", &alias, version, expected, None).await.unwrap() });
            }
            all.join_all().await
        };
        let refused = if expected == Expected::Unsaid { AliasChange::Unsaid } else { AliasChange::Unexpected };
        let changes = storm(&expected).await;
        let makers = changes.iter().filter(|change| matches!(change, AliasChange::Made(_))).count();
        let others = changes.iter().filter(|change| **change == refused).count();
        assert_eq!((makers, others as i64), (1, MANY - 1), "{changes:?}");

        let row = store.alias(P, "m", &alias).await.unwrap().unwrap();
        let AliasChange::Moved(row) = put(&store, &alias, MANY + 1, seen(&row)).await else { panic!("not moved") };
        let changes = storm(&seen(&row)).await;
        let movers: Vec<_> =
            changes.iter().filter_map(|change| if let AliasChange::Moved(row) = change { Some(row) } else { None }).collect();
        let others = changes.iter().filter(|change| **change == AliasChange::Unexpected).count();
        assert_eq!((movers.len(), others as i64), (1, MANY - 1), "{changes:?}");
        assert_eq!(store.alias(P, "m", &alias).await.unwrap().as_ref(), movers.first().copied());
        let (moves, _) = store.alias_moves(P, "m", &alias, None, 100).await.unwrap();
        let last = AliasMove { number: 3, version: Some(movers[0].version), previous: Some(MANY + 1), at: movers[0].moved_at, by: None };
        assert_eq!((moves.len(), &moves[0]), (3, &last));

        // and of many who delete that state, one did
        let mut all = JoinSet::new();
        for _ in 0..MANY {
            let (store, alias, expected) = (store.clone(), alias.clone(), seen(movers[0]));
            all.spawn(async move { store.delete_alias(P, "m", &alias, expected, None).await.unwrap() });
        }
        let deleted = all.join_all().await.into_iter().filter(|change| *change == AliasChange::Deleted).count();
        assert_eq!(deleted, 1);
    }
}

pub(crate) async fn what_an_alias_points_at_is_not_deleted(house: House) {
    let store = with_versions(&house, 2).await;
    let row = made(&store, "a", 1).await;
    assert_eq!(store.delete_model(P, "m", 1).await.unwrap(), Deletion::InUse);
    store.sweep(Duration::ZERO).await.unwrap();
    let kept = store.picked_model(P, "m", &Pick::Alias("a".into())).await.unwrap().unwrap();
    assert_eq!(store.open_model(&kept).await.unwrap().row.version, 1);
    assert_eq!((kept.aliases, store.model(P, "m", None).await.unwrap().unwrap().aliases), (vec!["a".to_owned()], vec![]));
    assert!(matches!(put(&store, "a", 2, seen(&row)).await, AliasChange::Moved(_)));
    assert_eq!(store.delete_model(P, "m", 1).await.unwrap(), Deletion::Done);
    assert_eq!(store.delete_model(P, "m", 1).await.unwrap(), Deletion::Absent);
    assert_eq!(store.delete_model(P, "m", 2).await.unwrap(), Deletion::InUse);
    store.delete_alias(P, "m", "a", Expected::Present, None).await.unwrap();
    assert_eq!(store.delete_model(P, "m", 2).await.unwrap(), Deletion::Done);
    assert_eq!(put(&store, "a", 2, Expected::Unsaid).await, AliasChange::NoVersion);
    store.sweep(Duration::ZERO).await.unwrap();
}

pub(crate) async fn an_alias_and_a_deletion_of_the_same_moment_agree(house: House) {
    const ROUNDS: i64 = 20;
    let store = with_versions(&house, ROUNDS).await;
    for version in 1..=ROUNDS {
        let (one, two, alias) = (store.clone(), store.clone(), format!("a{version}"));
        let pointing = tokio::spawn(async move { one.move_alias(P, "m", &alias, version, Expected::Absent, None).await.unwrap() });
        let deleting = tokio::spawn(async move { two.delete_model(P, "m", version).await.unwrap() });
        let (pointed, deleted) = (pointing.await.unwrap(), deleting.await.unwrap());
        match deleted {
            Deletion::Done => assert_eq!(pointed, AliasChange::NoVersion, "{version}"),
            Deletion::InUse => assert!(matches!(pointed, AliasChange::Made(_)), "{pointed:?}"),
            Deletion::Absent => panic!("{version} was there"),
        }
        let there = store.model(P, "m", Some(version)).await.unwrap().is_some();
        assert_eq!(
            (there, served(&store, &format!("a{version}")).await.is_some()),
            (deleted == Deletion::InUse, deleted == Deletion::InUse)
        );
    }
}

pub(crate) async fn a_move_and_its_message_are_committed_together_or_not_at_all(house: House) {
    let store = with_versions(&house, 2).await;
    let endpoint = async |project: &str, events: &[Event]| {
        let hook = Hook { url: "https://hooks.example/x".into(), events: events.to_vec() };
        match store.add_webhook(project, hook, "", "whsec_first").await.unwrap() {
            WebhookAdded::Webhook(row) => row.id,
            WebhookAdded::Full(most) => panic!("{most}"),
        }
    };
    let told_of = endpoint(P, &[Event::AliasMoved]).await;
    let others = [(P, endpoint(P, &Event::OF_A_JOB).await), ("other", endpoint("other", &Event::ALL).await)];
    let epoch = store.hub().models_epoch();
    let row = made(&store, "a", 1).await;
    assert!(store.hub().models_epoch() > epoch, "whoever serves `m@a` looks again");
    let epoch = store.hub().models_epoch();
    put(&store, "a", 1, seen(&row)).await;
    put(&store, "a", 2, Expected::Absent).await;
    assert_eq!(store.hub().models_epoch(), epoch);

    beside(&house, "ALTER TABLE webhook_deliveries RENAME TO hidden").await;
    assert!(store.move_alias(P, "m", "a", 2, seen(&row), None).await.is_err());
    assert!(store.delete_alias(P, "m", "a", seen(&row), None).await.is_err());
    beside(&house, "ALTER TABLE hidden RENAME TO webhook_deliveries").await;
    assert_eq!(store.alias(P, "m", "a").await.unwrap().as_ref(), Some(&row));
    assert_eq!(store.alias_moves(P, "m", "a", None, 10).await.unwrap().0.len(), 1);

    put(&store, "a", 2, seen(&row)).await;
    store.delete_alias(P, "m", "a", Expected::Present, None).await.unwrap();
    let messages = store.deliveries(P, Some(&told_of), None, None, None, 10).await.unwrap().items;
    let bodies: Vec<Value> = messages.iter().rev().map(|message| serde_json::from_str(&message.body).unwrap()).collect();
    let href = "/api/v1/models/m/aliases/a";
    let data = |number: i64, previous: Option<i64>, version: Option<i64>, by: Option<&str>| json!({ "id": "m@a", "model": "m", "alias": "a", "version": version, "previous_version": previous, "number": number, "by": by, "href": href });
    let expected = [data(1, None, Some(1), Some("key_1")), data(2, Some(1), Some(2), Some("key_1")), data(3, Some(2), None, None)];
    assert_eq!(bodies.iter().map(|body| body["data"].clone()).collect::<Vec<_>>(), expected);
    assert!(bodies.iter().all(|body| body["type"] == "alias.moved"));
    for (project, id) in others {
        assert!(store.deliveries(project, Some(&id), None, None, None, 10).await.unwrap().items.is_empty());
    }
}

pub(crate) async fn aliases_are_listed_newest_first_and_of_one_model_and_project(house: House) {
    let store = with_versions(&house, 2).await;
    for name in ["b", "c", "a"] {
        made(&store, name, 1).await;
    }
    let row = made(&store, "d", 2).await;
    assert!(matches!(put(&store, "d", 1, seen(&row)).await, AliasChange::Moved(_)), "a move changes no place in the list");
    let (first, rest) = store.aliases(P, "m", None, 3).await.unwrap();
    let (last, end) = store.aliases(P, "m", rest.as_ref(), 3).await.unwrap();
    let names: Vec<_> = first.iter().chain(&last).map(|row| row.name.as_str()).collect();
    assert_eq!((names, end), (vec!["d", "a", "c", "b"], None));
    assert_eq!(store.model(P, "m", Some(1)).await.unwrap().unwrap().aliases, ["a", "b", "c", "d"]);

    for (project, model) in [("other", "m"), (P, "n")] {
        assert!(store.aliases(project, model, None, 10).await.unwrap().0.is_empty());
        assert!(store.alias(project, model, "a").await.unwrap().is_none());
        assert!(store.alias_moves(project, model, "a", None, 10).await.unwrap().0.is_empty());
        assert!(store.picked_model(project, model, &Pick::Alias("a".into())).await.unwrap().is_none());
        assert_eq!(store.move_alias(project, model, "a", 2, Expected::Present, None).await.unwrap(), AliasChange::NoVersion);
        assert_eq!(store.delete_alias(project, model, "a", Expected::Present, None).await.unwrap(), AliasChange::Absent);
    }

    let mut names: BTreeSet<String> = ["a", "b", "c", "d"].map(str::to_owned).into();
    let most = loop {
        let name = format!("e{}", names.len());
        match put(&store, &name, 2, Expected::Absent).await {
            AliasChange::Made(_) => names.insert(name),
            AliasChange::Full(most) => break most,
            other => panic!("{other:?}"),
        };
    };
    assert_eq!(names.len() as i64, most);
    store.delete_alias(P, "m", "a", Expected::Present, None).await.unwrap();
    assert!(matches!(put(&store, "f", 2, Expected::Absent).await, AliasChange::Made(_)), "one that is gone takes no place");
}
