//! The two schemas, the texts of all queries, and what opening promises.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use sparsefit::job::Status;
use sparsefit::store::StoreError;
use sparsefit::store::queries::QUERIES;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Executor, SqlSafeStr};

use crate::house::{House, P, add_dataset, claim, with_jobs};

pub(crate) async fn sqlite(house: &House) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(house.data_dir().join("store.sqlite"))).await.unwrap()
}

pub(crate) async fn every_query_is_understood(house: House) {
    let store = house.open().await;
    let mut prepared = 0;
    if let Some(url) = house.url() {
        let mut connection = PgConnection::connect(url).await.unwrap();
        for query in QUERIES.iter().filter(|query| !query.postgres.is_empty()) {
            connection.prepare(query.postgres.into_sql_str()).await.unwrap_or_else(|error| panic!("{}: {error}", query.name));
            prepared += 1;
        }
    } else {
        let mut connection = sqlite(&house).await;
        for query in QUERIES.iter().filter(|query| !query.sqlite.is_empty()) {
            connection.prepare(query.sqlite.into_sql_str()).await.unwrap_or_else(|error| panic!("{}: {error}", query.name));
            prepared += 1;
        }
        assert!(connection.prepare("SELECT nope FROM jobs".into_sql_str()).await.is_err(), "preparing looks at columns");
    }
    assert!(prepared > 30, "{prepared}");
    store.close().await;
}

pub(crate) async fn a_second_opening_finds_what_the_first_left(house: House) {
    let store = house.open().await;
    let (dataset, jobs) = with_jobs(&store, 1).await;
    claim(&store).await;
    let mode = |path: &str| fs::metadata(house.data_dir().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("blobs"), mode("scratch"), mode("store.lock")), (0o700, 0o700, 0o700, 0o600));
    assert!(house.files().iter().all(|file| mode(&format!("blobs/{file}")) == 0o600));
    let settings = store.settings().await.unwrap();
    if house.url().is_none() {
        assert_eq!((mode("store.sqlite"), mode("store.sqlite-wal")), (0o600, 0o600));
        let expected = [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("busy_timeout", "5000")];
        assert_eq!(settings, expected.map(|(name, value)| (name, value.to_owned())));
        let second = house.try_open().await.expect_err("one process at a time");
        assert!(matches!(&second, StoreError::InUse(_)) && second.to_string().contains("in use by another process"), "{second}");
    } else {
        assert_eq!(settings.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["fsync", "synchronous_commit"]);
        house.open().await.close().await;
    }
    store.close().await;

    let store = house.open().await;
    let found = store.dataset(P, "d", None).await.unwrap().unwrap();
    assert_eq!((found.id, &*found.meta), (dataset.id, &*dataset.meta));
    let job = store.job(P, &jobs[0].id).await.unwrap().unwrap();
    // alone on SQLite, the new process knows that the claim's holder is dead
    assert_eq!(job.status, if house.url().is_none() { Status::Queued } else { Status::Running });
    assert_eq!(add_dataset(&store, P, "d", false).await.version, 2);
}

pub(crate) async fn a_changed_migration_is_refused(house: House) {
    house.open().await.close().await;
    match house.url() {
        Some(url) => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            connection.execute("UPDATE _sqlx_migrations SET checksum = '\\x00'").await.unwrap();
        }
        None => {
            let mut connection = sqlite(&house).await;
            connection.execute("UPDATE _sqlx_migrations SET checksum = x'00'").await.unwrap();
            connection.close().await.unwrap();
        }
    }
    assert!(matches!(house.try_open().await, Err(StoreError::Schema(_))));
}

#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let house = House::sqlite();
    house.open().await.close().await;
    let of_sqlite: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c \
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE '\\_%' ESCAPE '\\'",
    )
    .fetch_all(&mut sqlite(&house).await)
    .await
    .unwrap();
    let of_sqlite: BTreeSet<_> = of_sqlite.into_iter().collect();
    assert!(of_sqlite.len() > 50);
    let Some(house) = House::postgres().await else { return };
    house.open().await.close().await;
    let of_postgres: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name NOT LIKE '\\_%'",
    )
    .fetch_all(&mut PgConnection::connect(house.url().unwrap()).await.unwrap())
    .await
    .unwrap();
    assert_eq!(of_sqlite, of_postgres.into_iter().collect());
}

#[test]
fn both_engines_have_the_same_migrations() {
    let names = |engine: &str| -> BTreeSet<_> {
        let directory = format!("{}/migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    assert!(!names("sqlite").is_empty());
    assert_eq!(names("sqlite"), names("postgres"));
}

#[test]
fn the_queries_draw_the_arrows_of_the_transition_table_and_no_other() {
    let word = |text: &str| Status::parse(text.split('\'').next().unwrap()).unwrap();
    let mut drawn = BTreeSet::new();
    for query in QUERIES {
        for text in [query.sqlite, query.postgres] {
            let Some((before, after)) = text.split_once("WHERE") else { continue };
            if let Some((_, to)) = before.split_once("UPDATE jobs SET").and_then(|(_, set)| set.split_once(" status = '")) {
                let (_, from) = after.split_once("status = '").unwrap_or_else(|| panic!("{} does not say from which status", query.name));
                drawn.insert((word(from).as_str(), word(to).as_str()));
            }
        }
    }
    let mut table = BTreeSet::new();
    for from in Status::ALL {
        for to in Status::ALL {
            if from.may_become(to) {
                table.insert((from.as_str(), to.as_str()));
            }
        }
    }
    assert_eq!(drawn, table);
    // and a job begins nowhere but in the queue
    let births = QUERIES.iter().filter(|query| query.sqlite.contains("INSERT INTO jobs"));
    assert!(births.clone().count() == 1 && births.clone().all(|query| query.sqlite.contains("'queued'")));
}

/// Queries that change a job's status or ask for its cancel, each told by the caller (`store/events.rs`) and seen to be
/// in `tests/store/events.rs`.
const TOLD: [&str; 13] = [
    "ENQUEUE",
    "CANCEL_QUEUED",
    "ASK_CANCEL",
    "CLAIM",
    "SUCCEED",
    "FAIL",
    "STOP",
    "HAND_BACK",
    "RESCUE_CANCELLED",
    "RESCUE_FAILED",
    "RESCUE_QUEUED",
    "RETRY",
    "MISS_START",
];

#[test]
fn every_change_of_status_is_known_to_be_told() {
    let changes = |text: &str| {
        let set = text.split("WHERE").next().unwrap_or("");
        text.contains("INSERT INTO jobs")
            || (set.contains("UPDATE jobs SET") && (set.contains(" status = '") || set.contains("cancel_requested = 1")))
    };
    let drawn: BTreeSet<&str> = QUERIES.iter().filter(|query| changes(query.sqlite)).map(|query| query.name).collect();
    assert_eq!(drawn, TOLD.into_iter().collect(), "an arrow that is new tells an event, and a test of events sees it");
}
