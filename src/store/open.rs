//! Opening: directories, the lock, pools, migrations, and the settings that durability stands on, read back.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};

use super::StoreError;
use super::db::{Db, Engine, args};
use super::group::Writer;
use super::health::Health;
use super::lent::Lender;
use super::queries::{MIGRATIONS, SETTINGS};
use super::simulation::Meddling;

pub(super) static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
pub(super) static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

const BUSY: Duration = Duration::from_secs(5);
const READERS: u32 = 4;

/// The number of the schema this program writes.
pub(super) fn newest_schema() -> i64 {
    SQLITE.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// The lock of the data directory: alone on SQLite, together with others of its kind on PostgreSQL.
pub(super) fn lock(data_dir: &Path, alone: bool) -> Result<File, StoreError> {
    let path = data_dir.join("store.lock");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    match if alone { file.try_lock() } else { file.try_lock_shared() } {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// A SQLite database in the data directory, migrated. Under a meddler it is not synced: that disk forgets by design.
pub(super) async fn sqlite(data_dir: &Path, meddling: Meddling) -> Result<Db, StoreError> {
    let synced = meddling.is_none();
    let path = data_dir.join("store.sqlite");
    // SQLite gives its other files the mode of the first
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if synced { SqliteSynchronous::Full } else { SqliteSynchronous::Off })
        .foreign_keys(true)
        .busy_timeout(BUSY);
    let mut connection = options.connect().await?;
    let settings = sqlite_settings(&mut connection).await?;
    if settings != promised(synced) {
        return Err(StoreError::Schema(format!("SQLite does not keep its settings: {settings:?}")));
    }
    SQLITE.run(&mut connection).await?;
    let health = Arc::new(Health::default());
    let writer = Writer::new(connection, Arc::clone(&health), BUSY);
    let readers = sqlite_pool(READERS, options.pragma("query_only", "ON"), synced).await?;
    Ok(Db { engine: Engine::Sqlite { writer, readers }, health, meddling })
}

/// The SQLite database of a running server, for a visitor: nothing is made or migrated, and both must be of one schema.
pub(super) async fn sqlite_beside(data_dir: &Path) -> Result<Db, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(data_dir.join("store.sqlite"))
        .create_if_missing(false)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    let health = Arc::new(Health::default());
    let writer = Writer::new(options.connect().await?, Arc::clone(&health), BUSY);
    let readers = sqlite_pool(1, options.pragma("query_only", "ON"), true).await?;
    let db = Db { engine: Engine::Sqlite { writer, readers }, health, meddling: None };
    if settings(&db).await? != promised(true) {
        return Err(StoreError::Schema("SQLite does not keep its settings".into()));
    }
    let (applied,) = db.read().await?.one::<(i64,)>(&MIGRATIONS, args![]).await?;
    if usize::try_from(applied).ok() != Some(SQLITE.iter().count()) {
        return Err(StoreError::Schema("the server that uses this data directory is of another version than this program".into()));
    }
    Ok(db)
}

/// A pool each of whose connections is asked whether it keeps what is promised.
async fn sqlite_pool(connections: u32, options: SqliteConnectOptions, synced: bool) -> Result<SqlitePool, StoreError> {
    let pool = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(2 * BUSY).after_connect(move |connection, _| {
        Box::pin(async move {
            let settings = sqlite_settings(connection).await?;
            let kept = settings == promised(synced);
            kept.then_some(()).ok_or_else(|| sqlx::Error::Protocol(format!("SQLite does not keep its settings: {settings:?}")))
        })
    });
    Ok(pool.connect_with(options).await?)
}

/// Settings by name.
pub(super) type Settings = Vec<(&'static str, String)>;

fn promised(synced: bool) -> Settings {
    let synchronous = if synced { "2" } else { "0" };
    [("journal_mode", "wal"), ("synchronous", synchronous), ("foreign_keys", "1"), ("busy_timeout", "5000")]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
}

async fn sqlite_settings(connection: &mut SqliteConnection) -> Result<Settings, sqlx::Error> {
    let journal_mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    let mut settings = vec![("journal_mode", journal_mode)];
    for (name, pragma) in
        [("synchronous", "PRAGMA synchronous"), ("foreign_keys", "PRAGMA foreign_keys"), ("busy_timeout", "PRAGMA busy_timeout")]
    {
        let value: i64 = sqlx::query_scalar(pragma).fetch_one(&mut *connection).await?;
        settings.push((name, value.to_string()));
    }
    Ok(settings)
}

/// A PostgreSQL database, migrated.
pub(super) async fn postgres(url: &str) -> Result<Db, StoreError> {
    let options = PgConnectOptions::from_str(url)?.application_name("sparsefit");
    // a migration may take longer than a statement of the running server may
    let mut migrating = options.connect().await?;
    POSTGRES.run(&mut migrating).await?;
    migrating.close().await?;
    // sooner than we stop waiting: a server that is slow says so itself, and its answer leaves the connection usable
    let bounds = [("statement_timeout", "2s"), ("lock_timeout", "1500ms"), ("idle_in_transaction_session_timeout", "10s")];
    let lender = Lender::open(options.options(bounds)).await?;
    let db = Db { engine: Engine::Postgres(lender), health: Arc::default(), meddling: None };
    for (name, value) in settings(&db).await? {
        if value == "off" {
            tracing::warn!(setting = name, "PostgreSQL runs with {name} = off: a power cut can lose what was acknowledged");
        }
    }
    Ok(db)
}

/// The settings that durability stands on, as the database states them.
pub(super) async fn settings(db: &Db) -> Result<Settings, StoreError> {
    match &db.engine {
        Engine::Sqlite { writer, .. } => Ok(sqlite_settings(writer.turn().await?.connection()?).await?),
        Engine::Postgres(_) => {
            let (fsync, synchronous_commit) = db.read().await?.one::<(String, String)>(&SETTINGS, args![]).await?;
            Ok(vec![("fsync", fsync), ("synchronous_commit", synchronous_commit)])
        }
    }
}
