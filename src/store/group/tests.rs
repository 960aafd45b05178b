//! Writers in line: who shares a commit, whom an error hurts, and what is left when somebody goes away.

use std::pin::pin;
use std::task::Poll;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, Row};
use tokio::task::{JoinHandle, yield_now};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

struct House {
    writer: Writer,
    health: Arc<Health>,
    options: SqliteConnectOptions,
    _directory: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(directory.path().join("db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_millis(10));
        let mut connection = options.connect().await.unwrap();
        let schema = "CREATE TABLE t (x INTEGER PRIMARY KEY, up INTEGER REFERENCES t (x) DEFERRABLE INITIALLY DEFERRED)";
        sqlx::query(schema).execute(&mut connection).await.unwrap();
        let health = Arc::new(Health::default());
        let writer = Writer::new(connection, health.clone(), PATIENCE);
        Self { writer, health, options, _directory: directory }
    }

    /// What another connection sees: what is committed.
    async fn rows(&self) -> Vec<i64> {
        let mut reader = self.options.connect().await.unwrap();
        let rows = sqlx::query("SELECT x FROM t ORDER BY x").fetch_all(&mut reader).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Writes a row in a task of its own; the task stands in line when this returns.
    async fn spawn(&self, x: i64) -> JoinHandle<Result<(), StoreError>> {
        let writer = self.writer.clone();
        let task = tokio::spawn(async move { write(&writer, x).await });
        yield_now().await;
        task
    }
}

async fn run(turn: &mut Turn, statement: &'static str) -> Result<(), StoreError> {
    turn.runs()?;
    let ran = sqlx::query(statement).execute(turn.connection()?).await;
    turn.ran(ran.map(drop))
}

async fn insert(turn: &mut Turn, x: i64) -> Result<(), StoreError> {
    turn.runs()?;
    let ran = sqlx::query("INSERT INTO t (x) VALUES ($1)").bind(x).execute(turn.connection()?).await;
    turn.ran(ran.map(drop))
}

async fn write(writer: &Writer, x: i64) -> Result<(), StoreError> {
    let mut turn = writer.turn().await?;
    insert(&mut turn, x).await?;
    turn.commit().await
}

/// Polls at most `polls` times, then drops; whether it came to its end.
async fn polled(future: impl Future, polls: usize) -> bool {
    let (mut future, mut left) = (pin!(future), polls);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| true)
    })
    .await
}

#[tokio::test]
async fn those_who_wait_in_line_share_one_commit() {
    let house = House::new().await;
    let mut first = house.writer.turn().await.unwrap();
    insert(&mut first, 0).await.unwrap();
    let mut tasks = Vec::new();
    for x in 1..=64 {
        tasks.push(house.spawn(x).await);
    }
    assert!(house.rows().await.is_empty(), "nobody sees what is not committed");
    first.commit().await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!((house.rows().await.len(), house.health.commits()), (65, 1));
}

#[tokio::test]
async fn a_group_has_a_bound() {
    let house = House::new().await;
    let first = house.writer.turn().await.unwrap();
    let mut tasks = Vec::new();
    for x in 1..=2 * MEMBERS_MAX as i64 {
        tasks.push(house.spawn(x).await);
    }
    first.commit().await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!((house.rows().await.len(), house.health.commits()), (2 * MEMBERS_MAX, 3));
}

#[tokio::test]
async fn a_failed_statement_undoes_its_own_turn_and_no_other() {
    let house = House::new().await;
    let mut bad = house.writer.turn().await.unwrap();
    let (before, after) = (house.spawn(1).await, house.spawn(2).await);
    insert(&mut bad, 3).await.unwrap();
    insert(&mut bad, 3).await.expect_err("the key is taken");
    run(&mut bad, "INSERT INTO t VALUES (4, NULL)").await.expect_err("a transaction that failed takes nothing more");
    bad.commit().await.expect_err("nor can it be committed");
    before.await.unwrap().unwrap();
    after.await.unwrap().unwrap();
    assert_eq!((house.rows().await, house.health.commits()), (vec![1, 2], 1));
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_of_a_group_undoes_nothing_of_the_others() {
    let house = House::new().await;
    let mut gone = house.writer.turn().await.unwrap();
    let before = house.spawn(1).await;
    insert(&mut gone, 2).await.unwrap();
    drop(gone);
    before.await.unwrap().unwrap();
    let mut undone = house.writer.turn().await.unwrap();
    insert(&mut undone, 3).await.unwrap();
    let after = house.spawn(4).await;
    undone.rollback().await.unwrap();
    after.await.unwrap().unwrap();
    assert_eq!(house.rows().await, [1, 4]);
}

#[tokio::test]
async fn a_writer_may_be_dropped_anywhere() {
    let house = House::new().await;
    let (mut ended, mut expected) = (0, 0);
    for polls in 0..60 {
        let x = 1000 + polls;
        let mut first = house.writer.turn().await.unwrap();
        insert(&mut first, x).await.unwrap();
        let neighbour = house.spawn(2000 + polls).await;
        let committed = tokio::spawn(first.commit());
        ended += usize::from(polled(write(&house.writer, polls), usize::try_from(polls).unwrap()).await);
        committed.await.unwrap().unwrap();
        neighbour.await.unwrap().unwrap();
        write(&house.writer, 3000 + polls).await.unwrap();
        expected += 3;
        let rows = house.rows().await;
        assert_eq!(rows.iter().filter(|x| **x >= 1000).count(), expected, "after {polls} polls");
        assert!(rows.iter().filter(|x| **x < 1000).count() >= ended, "what was acknowledged is there");
    }
    assert!(ended > 0 && ended < 60, "{ended} came to their end");
}

#[tokio::test]
async fn a_transaction_that_sqlite_gives_up_fails_for_all_of_its_group() {
    let house = House::new().await;
    let first = house.writer.turn().await.unwrap();
    let member = house.spawn(1).await;
    let writer = house.writer.clone();
    let culprit = tokio::spawn(async move {
        let mut turn = writer.turn().await?;
        // as SQLite does by itself when the disk is full
        run(&mut turn, "ROLLBACK").await?;
        turn.commit().await
    });
    yield_now().await;
    let after = house.spawn(2).await;
    assert!(first.commit().await.is_err() && member.await.unwrap().is_err() && culprit.await.unwrap().is_err());
    after.await.unwrap().expect("the next group knows nothing of it");
    assert_eq!(house.rows().await, [2]);
    house.health.check().expect("the disk is well");
}

#[tokio::test]
async fn a_refused_commit_is_told_to_all_and_the_next_may_succeed() {
    let house = House::new().await;
    let mut bad = house.writer.turn().await.unwrap();
    let member = house.spawn(1).await;
    run(&mut bad, "INSERT INTO t VALUES (2, 77)").await.expect("looked at when it is committed");
    bad.commit().await.expect_err("77 is not there");
    member.await.unwrap().expect_err("what shares a commit shares its fate");
    write(&house.writer, 3).await.unwrap();
    assert_eq!((house.rows().await, house.health.commits()), (vec![3], 1));
}

#[tokio::test]
async fn a_full_database_refuses_one_write_and_takes_the_next() {
    let house = House::new().await;
    let mut turn = house.writer.turn().await.unwrap();
    run(&mut turn, "CREATE TABLE big (x BLOB)").await.unwrap();
    turn.commit().await.unwrap();
    let mut turn = house.writer.turn().await.unwrap();
    run(&mut turn, "PRAGMA max_page_count = 10").await.unwrap();
    let full = run(&mut turn, "INSERT INTO big VALUES (zeroblob(1000000))").await;
    assert!(matches!(full, Err(StoreError::DiskFull)), "{full:?}");
    drop(turn);
    write(&house.writer, 1).await.unwrap();
    assert_eq!(house.rows().await, [1]);
}

#[tokio::test]
async fn a_broken_disk_ends_all_writing() {
    let house = House::new().await;
    let mut turn = house.writer.turn().await.unwrap();
    insert(&mut turn, 1).await.unwrap();
    let waiting = house.spawn(2).await;
    house.health.break_down("a sync failed");
    let refused = [turn.commit().await, waiting.await.unwrap(), write(&house.writer, 3).await];
    assert!(refused.iter().all(|outcome| matches!(outcome, Err(StoreError::Broken(_)))), "{refused:?}");
    assert!(house.rows().await.is_empty());
}

#[tokio::test]
async fn a_database_locked_by_another_program_refuses_and_recovers() {
    let house = House::new().await;
    let mut other = house.options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let (one, two) = (house.spawn(1).await, house.spawn(2).await);
    one.await.unwrap().expect_err("locked");
    two.await.unwrap().expect_err("those who waited meanwhile need not wait again");
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    write(&house.writer, 3).await.unwrap();
    assert_eq!(house.rows().await, [3]);
}

#[test]
fn what_is_dropped_outside_a_runtime_is_tidied_by_the_next() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let house = runtime.block_on(House::new());
    let turn = runtime.block_on(async {
        let mut turn = house.writer.turn().await.unwrap();
        insert(&mut turn, 1).await.unwrap();
        turn
    });
    drop(turn);
    let rows = runtime.block_on(async {
        write(&house.writer, 2).await.unwrap();
        house.rows().await
    });
    assert_eq!(rows, [2]);
}

#[tokio::test]
async fn a_closed_store_has_committed_and_takes_nothing_more() {
    let house = House::new().await;
    let waiting = house.spawn(1).await;
    house.writer.close().await;
    waiting.await.unwrap().unwrap();
    write(&house.writer, 2).await.expect_err("closed");
    assert_eq!(house.rows().await, [1]);
}
