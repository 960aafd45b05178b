//! `sparsefit check`: silent about a whole store, and loud about each way in which one can be broken.

use std::fs;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::house::House;
use crate::site::{Serving, badly, well};

pub(crate) async fn a_whole_store_is_found_whole_running_or_not(house: House) {
    let serving = Serving::start(&house, 1);
    assert!(well(&house, "check", &["--deep", "--strict"]).contains("ok: "), "an empty one");
    serving.upload("d", 0).await;
    serving.fit("d", "m", 60).await;
    serving.fit("d", "m", 60).await;
    assert!(well(&house, "check", &["--deep", "--strict"]).contains("models 2"));
    serving.kill();
    assert!(well(&house, "check", &["--deep", "--strict"]).contains("models 2"), "after a crash");
    let serving = Serving::start(&house, 0);
    let blobs = house.data_dir().join("blobs");
    let file = blobs.join(&house.files()[0]);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[1..]).unwrap();
    assert!(badly(&house, "check", &["--deep"]).contains("wrong: "));
    fs::write(&file, &whole).unwrap();
    serving.stop().await;
    well(&house, "check", &["--deep", "--strict"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_damage_is_found() {
    let house = House::sqlite();
    let serving = Serving::start(&house, 1);
    serving.upload("d", 0).await;
    serving.fit("d", "m", 60).await;
    serving.stop().await;
    let serving = Serving::start(&house, 0);
    serving.fit("d", "later", 0).await;
    serving.stop().await;
    let broken = [
        ("UPDATE counters SET last = 0 WHERE kind = 'dataset'", "is behind version 1"),
        ("UPDATE counters SET last = 0 WHERE kind = 'model'", "is behind version 1"),
        ("UPDATE counters SET last = 0 WHERE kind = 'claim'", "is behind one that was given"),
        (
            "UPDATE jobs SET status = 'failed', error = '{}', result = NULL, fraction = 0.5 WHERE status = 'succeeded'",
            "is failed and has a model",
        ),
        ("UPDATE jobs SET status = 'queued' WHERE status = 'succeeded'", "exactly when"),
        ("UPDATE jobs SET attempt = 4 WHERE status = 'succeeded'", "no more often"),
        ("UPDATE jobs SET finished_at = NULL WHERE status = 'succeeded'", "ended exactly"),
        ("UPDATE jobs SET claim = 1", "another job has its claim number"),
        ("UPDATE jobs SET spec = '{' WHERE status = 'succeeded'", "JSON"),
        ("DELETE FROM datasets", "its data set"),
        ("UPDATE models SET size_bytes = size_bytes + 1", "bytes instead of"),
        ("UPDATE datasets SET names_blob = 'blob_01JZZZZZZZZZZZZZZZZZZZZZZZ'", "cannot be found"),
        ("DELETE FROM models", "its model is gone"),
        (
            "PRAGMA foreign_keys = OFF; INSERT INTO aliases VALUES ('default', 'm', 'a', 99, 1, 0, 0, NULL)",
            "a row of aliases refers to a row",
        ),
    ];
    let database = house.data_dir().join("store.sqlite");
    let whole = fs::read(&database).unwrap();
    for (damage, complaint) in broken {
        let mut connection = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&database)).await.unwrap();
        connection.execute(AssertSqlSafe(damage)).await.unwrap();
        connection.close().await.unwrap();
        let said = badly(&house, "check", &["--strict"]);
        assert!(said.contains(complaint), "{damage}: {said}");
        fs::write(&database, &whole).unwrap();
        well(&house, "check", &["--strict"]);
    }
    for file in house.files() {
        let path = house.data_dir().join("blobs").join(&file);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 3] ^= 4;
        fs::write(&path, &flipped).unwrap();
        well(&house, "check", &[]);
        assert!(badly(&house, "check", &["--deep"]).contains(&file), "a bit of {file}");
        fs::remove_file(&path).unwrap();
        assert!(badly(&house, "check", &[]).contains(&file), "{file} is gone");
        fs::write(&path, &whole).unwrap();
    }
    well(&house, "check", &["--deep", "--strict"]);
}
