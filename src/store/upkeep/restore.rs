//! A backup into an empty place, on either engine: all of it is verified before anything is written.
//!
//! Rows go into the schema they were read from, in one transaction; then the schema is brought up to date as at any start.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::super::blobs::Blobs;
use super::super::{Store, StoreConfig, StoreError, open, queries};
use super::manifest::{Manifest, blob_of, rows_of};
use super::rows::{insert, insertion};
use super::snapshot::{Line, Table, postgres, sqlite, with};
use super::{Place, UpkeepError, refused};
use crate::access::Quotas;
use crate::ambient::Ambient;
use crate::id::{Id, Kind};

/// What was brought back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Restored {
    pub rows: u64,
    pub files: u64,
    /// Jobs that were running, and wait again without having spent a start.
    pub requeued: u64,
}

/// Brings a backup into an empty directory and, on PostgreSQL, an empty database.
pub async fn restore(place: &Place, from: &Path, ambient: &Ambient) -> Result<Restored, UpkeepError> {
    let manifest = Manifest::verified(from)?;
    let newest = open::newest_schema();
    if manifest.schema > newest {
        return refused(format!(
            "the backup was made by a newer version of this program (schema {}, this one knows {newest})",
            manifest.schema
        ));
    }
    must_be_empty(place).await?;
    let blobs = Blobs::open(&place.data_dir)?;
    let lock = open::lock(&place.data_dir, place.database_url.is_none())?;
    let files = copy_files(&blobs, &manifest, from)?;
    let mut line = migrated(place, manifest.schema).await?;
    let (rows, requeued) = load(&mut line, &manifest, from).await?;
    line.close().await;
    drop(lock);
    wake(place, ambient).await?;
    Ok(Restored { rows, files, requeued })
}

async fn must_be_empty(place: &Place) -> Result<(), UpkeepError> {
    let blobs = place.data_dir.join("blobs");
    let occupied = fs::read_dir(&blobs).is_ok_and(|mut entries| entries.next().is_some());
    if occupied || place.data_dir.join("store.sqlite").exists() {
        return refused(format!("{} is not empty: a backup is restored into an empty directory", place.data_dir.display()));
    }
    if place.database_url.is_some() {
        let mut line = Line::reading(place).await?;
        let (schema, tables) = (line.schema().await?, line.tables().await?);
        line.close().await;
        if schema.is_some() || !tables.is_empty() {
            return refused("the database is not empty: a backup is restored into an empty one");
        }
    }
    Ok(())
}

/// Files first, as always: no row without its file.
fn copy_files(blobs: &Blobs, manifest: &Manifest, from: &Path) -> Result<u64, UpkeepError> {
    let mut copied = 0;
    for path in manifest.files.keys() {
        let Some(id) = path.strip_prefix("blobs/").and_then(|name| Id::parse(Kind::Blob, name)) else { continue };
        let (source, to) = (from.join(blob_of(id.as_str())), blobs.temporary(&id));
        let mut file = File::create_new(&to)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        io::copy(&mut File::open(source)?, &mut file)?;
        file.sync_all()?;
        fs::rename(&to, blobs.path(&id))?;
        copied += 1;
    }
    blobs.sync()?;
    Ok(copied)
}

/// A database with the schema of the backup and nothing in it.
async fn migrated(place: &Place, schema: i64) -> Result<Line, UpkeepError> {
    let migrated = match &place.database_url {
        Some(url) => {
            let mut line = postgres(url)?.connect().await?;
            open::POSTGRES.run_to(schema, &mut line).await.map(|()| Line::Postgres(line))
        }
        None => {
            let path = place.data_dir.join("store.sqlite");
            let file = File::create_new(&path)?;
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
            let mut line = sqlite(&path).connect().await?;
            open::SQLITE.run_to(schema, &mut line).await.map(|()| Line::Sqlite(line))
        }
    };
    Ok(migrated.map_err(StoreError::from)?)
}

async fn load(line: &mut Line, manifest: &Manifest, from: &Path) -> Result<(u64, u64), UpkeepError> {
    let tables = line.tables().await?;
    if let Some(unknown) = manifest.rows.keys().find(|name| !tables.iter().any(|table| table.name == **name)) {
        return refused(format!("the backup has rows of {unknown}, which its schema does not have"));
    }
    run(line, "BEGIN").await?;
    // what a new schema begins with is in the backup as well
    for table in tables.iter().rev() {
        run(line, &format!("DELETE FROM \"{}\"", table.name)).await?;
    }
    let mut rows = 0;
    for table in tables.iter().filter(|table| manifest.rows.contains_key(&table.name)) {
        rows += load_table(line, table, manifest.rows[&table.name], &from.join(rows_of(&table.name))).await?;
    }
    with!(&mut *line, queries::GO_ON_WITH_CLAIMS, |line, text| sqlx::query(text)
        .bind(manifest.claims + 1)
        .execute(line)
        .await
        .map(drop)?);
    number_on(line).await?;
    // who worked on a job works on it elsewhere, if at all: that start is not ours
    let given = with!(&mut *line, queries::GIVE_STARTS_BACK, |line, text| sqlx::query(text).execute(line).await?.rows_affected());
    run(line, "COMMIT").await?;
    Ok((rows, given))
}

/// Columns that number their rows themselves go on behind the numbers that were loaded.
async fn number_on(line: &mut Line) -> Result<(), UpkeepError> {
    let Line::Postgres(connection) = &mut *line else { return Ok(()) };
    let columns: Vec<(String, String)> = sqlx::query_as(queries::IDENTITIES.postgres).fetch_all(connection).await?;
    for (table, column) in columns {
        let sequence = format!("pg_get_serial_sequence('\"{table}\"', '{column}')");
        run(line, &format!("SELECT setval({sequence}, (SELECT COALESCE(MAX(\"{column}\"), 0) + 1 FROM \"{table}\"))")).await?;
    }
    Ok(())
}

async fn load_table(line: &mut Line, table: &Table, expected: u64, path: &Path) -> Result<u64, UpkeepError> {
    let (text, mut found) = (insertion(table), 0);
    for one in BufReader::new(File::open(path)?).lines() {
        let row = serde_json::from_str(&one?).or_else(|error| refused(format!("a row of {} is not understood: {error}", table.name)))?;
        insert(line, table, &text, &row).await?;
        found += 1;
    }
    if found == expected { Ok(found) } else { refused(format!("{} should have {expected} rows and has {found}", table.name)) }
}

/// Text of ours, made of nothing but names the database listed.
async fn run(line: &mut Line, text: &str) -> Result<(), UpkeepError> {
    let text = AssertSqlSafe(text.to_owned());
    match line {
        Line::Sqlite(line) => _ = line.execute(text).await?,
        Line::Postgres(line) => _ = line.execute(text).await?,
    }
    Ok(())
}

/// Starts once as a server would: the schema is brought up to date, and jobs that ran go back to the queue.
async fn wake(place: &Place, ambient: &Ambient) -> Result<(), UpkeepError> {
    let config = StoreConfig {
        data_dir: place.data_dir.clone(),
        database_url: place.database_url.clone(),
        lease: Duration::ZERO,
        queue_max: 0,
        quotas: Quotas::default(),
    };
    let store = Store::open(config, ambient.clone()).await?;
    // on SQLite opening has done it already
    store.rescue_everything().await?;
    store.close().await;
    Ok(())
}
