//! Stores written by earlier versions, kept in `tests/fixtures`: this version opens each, finds all that was there, and
//! predicts the same bits. And an earlier version does not touch a later one's store.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::house::House;
use crate::site::{Serving, badly, utf8, well};

/// Every schema that was ever released.
fn released() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found: Vec<PathBuf> = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

pub(crate) async fn a_store_of_every_released_schema_opens_and_predicts_the_same(house: House) {
    let engine = if house.url().is_some() { "postgres" } else { "sqlite" };
    for schema in released() {
        let house = if house.url().is_some() { House::postgres().await.unwrap() } else { House::sqlite() };
        lay_out(&schema.join(engine), &house).await;
        let expected: Value = serde_json::from_slice(&fs::read(schema.join(engine).join("expected.json")).unwrap()).unwrap();

        // a backup of the store as it was then, brought back by this version
        let place = tempfile::tempdir().unwrap();
        let to = place.path().join("backup");
        well(&house, "backup", &["--to", utf8(&to)]);
        let restored = House::sqlite();
        well(&restored, "restore", &["--from", utf8(&to)]);

        for house in [&house, &restored] {
            let serving = Serving::start(house, 0);
            holds(&serving, &expected).await;
            well(house, "check", &["--deep", "--strict"]);
            serving.stop().await;
        }
    }
}

/// The store as it was, in the house.
async fn lay_out(fixture: &Path, house: &House) {
    copy(&fixture.join("data"), &house.data_dir());
    if let Some(url) = house.url() {
        let mut connection = PgConnection::connect(url).await.unwrap();
        connection.execute(AssertSqlSafe(fs::read_to_string(fixture.join("dump.sql")).unwrap())).await.unwrap();
        connection.close().await.unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &to) } else { _ = fs::copy(&path, &to).unwrap() }
    }
}

/// Every row that was there, and every prediction, letter by letter.
async fn holds(serving: &Serving, expected: &Value) {
    for kind in ["datasets", "jobs", "models"] {
        let now = serving.get(&format!("/api/v1/{kind}")).await;
        let (then, now) = (expected[kind].as_array().unwrap(), now["data"].as_array().unwrap());
        assert!(then.len() > 1 && then.len() == now.len(), "{kind}");
        then.iter().zip(now).for_each(|(then, now)| contains(now, then, kind));
    }
    for prediction in expected["predictions"].as_array().unwrap() {
        let (path, body, text) = (prediction[0].as_str().unwrap(), &prediction[1], prediction[2].as_str().unwrap());
        let answer = serving.client.post_json(path, &[], body).await.unwrap();
        assert_eq!(answer.text(), text, "{path}");
    }
}

/// Whether everything said then is said now; more may be.
fn contains(now: &Value, then: &Value, place: &str) {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            for (key, value) in then {
                contains(now.get(key).unwrap_or(&Value::Null), value, &format!("{place}.{key}"));
            }
        }
        _ => assert_eq!(now, then, "{place}"),
    }
}

pub(crate) async fn an_older_program_leaves_a_newer_store_alone(house: House) {
    house.open().await.close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, ";
    let database = house.data_dir().join("store.sqlite");
    match house.url() {
        Some(url) => {
            let mut connection = PgConnection::connect(url).await.unwrap();
            connection.execute(AssertSqlSafe(format!("{newer} '\\x00', 0)"))).await.unwrap();
        }
        None => {
            let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&database)).await.unwrap();
            connection.execute(AssertSqlSafe(format!("{newer} x'00', 0)"))).await.unwrap();
            connection.close().await.unwrap();
        }
    }
    let before = fs::read(&database).ok();
    let place = tempfile::tempdir().unwrap();
    let to = utf8(&place.path().join("backup")).to_owned();
    for (word, args) in [("serve", &["--listen", "127.0.0.1:0"][..]), ("backup", &["--to", &to]), ("check", &[])] {
        let said = badly(&house, word, args);
        assert!(said.contains("newer version of this program") && said.contains("9999"), "{word}: {said}");
        assert_eq!(fs::read(&database).ok(), before, "{word} left the file alone");
    }
    assert!(!Path::new(&to).exists());
}
