//! One moment of a database, read on a connection of its own: tables and columns as the database lists them, rows as JSON.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use futures_util::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::super::queries;
use super::rows::{from_postgres, from_sqlite};
use super::{Place, UpkeepError, refused};

/// A row by column.
pub(super) type Row = Map<String, Value>;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Int,
    Real,
    Text,
}

/// A table, as the database lists it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// Whether its rows refer to rows of other tables, so that those must be there first.
    pub(super) refers: bool,
    pub(super) columns: Vec<(String, Content)>,
}

/// A connection to either engine.
pub(super) enum Line {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Runs `$body` with the connection of a line and the words of its engine.
macro_rules! with {
    ($line:expr, $query:expr, |$connection:ident, $text:ident| $body:expr) => {
        match $line {
            Line::Sqlite($connection) => {
                let $text = $query.sqlite;
                $body
            }
            Line::Postgres($connection) => {
                let $text = $query.postgres;
                $body
            }
        }
    };
}
pub(super) use with;

impl Line {
    /// A connection that cannot write.
    pub(super) async fn reading(place: &Place) -> Result<Self, UpkeepError> {
        match &place.database_url {
            Some(url) => Ok(Self::Postgres(postgres(url)?.options([("default_transaction_read_only", "on")]).connect().await?)),
            None => {
                let path = place.data_dir.join("store.sqlite");
                if !path.is_file() {
                    return refused(format!("there is no store in {}", place.data_dir.display()));
                }
                Ok(Self::Sqlite(sqlite(&path).pragma("query_only", "ON").connect().await?))
            }
        }
    }

    /// The number of the schema; `None` where there is none.
    pub(super) async fn schema(&mut self) -> Result<Option<i64>, UpkeepError> {
        let (there,): (i64,) = with!(self, queries::HAS_SCHEMA, |line, text| sqlx::query_as(text).fetch_one(line).await?);
        if there == 0 {
            return Ok(None);
        }
        Ok(with!(self, queries::SCHEMA, |line, text| sqlx::query_scalar(text).fetch_one(line).await?))
    }

    /// All tables but the one of migrations; those that refer to others last.
    pub(super) async fn tables(&mut self) -> Result<Vec<Table>, UpkeepError> {
        let columns: Vec<(String, String, String, i64)> =
            with!(self, queries::COLUMNS, |line, text| sqlx::query_as(text).fetch_all(line).await?);
        let mut tables: Vec<Table> = Vec::new();
        for (table, column, kind, refers) in columns {
            let content = match kind.to_ascii_lowercase().as_str() {
                "integer" | "bigint" => Content::Int,
                "real" | "double precision" => Content::Real,
                "text" => Content::Text,
                other => return refused(format!("{table}.{column} holds {other}, which cannot be copied")),
            };
            match tables.last_mut().filter(|last| last.name == table) {
                Some(last) => last.columns.push((column, content)),
                None => tables.push(Table { name: table, refers: refers != 0, columns: vec![(column, content)] }),
            }
        }
        tables.sort_by_key(|table| table.refers);
        Ok(tables)
    }

    /// The last claim number given.
    pub(super) async fn claims(&mut self) -> Result<i64, UpkeepError> {
        let found: Option<i64> = with!(self, queries::CLAIMS_GIVEN, |line, text| sqlx::query_scalar(text).fetch_optional(line).await?);
        Ok(found.unwrap_or(0))
    }

    /// Hands over every row of a table.
    pub(super) async fn each(&mut self, table: &Table, mut take: impl FnMut(Row) -> Result<(), UpkeepError>) -> Result<(), UpkeepError> {
        let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        // the names are those the database just listed
        let text = AssertSqlSafe(format!("SELECT \"{}\" FROM \"{}\"", names.join("\", \""), table.name));
        match self {
            Self::Sqlite(line) => {
                let mut rows = sqlx::query(text).fetch(line);
                while let Some(row) = rows.try_next().await? {
                    take(from_sqlite(&row, table)?)?;
                }
            }
            Self::Postgres(line) => {
                let mut rows = sqlx::query(text).fetch(line);
                while let Some(row) = rows.try_next().await? {
                    take(from_postgres(&row, table)?)?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn close(self) {
        // a connection that does not say goodbye is dropped
        let _ = match self {
            Self::Sqlite(line) => line.close().await,
            Self::Postgres(line) => line.close().await,
        };
    }
}

/// One moment of a store that this program understands.
pub(super) struct Snapshot {
    pub(super) line: Line,
    pub(super) schema: i64,
    pub(super) tables: Vec<Table>,
}

impl Snapshot {
    /// What is committed by now, and nothing later.
    pub(super) async fn take(place: &Place) -> Result<Self, UpkeepError> {
        let mut line = Line::reading(place).await?;
        with!(&mut line, queries::SNAPSHOT, |line, text| sqlx::query(text).execute(line).await.map(drop)?);
        let Some(schema) = line.schema().await? else { return refused("there is no store in this database") };
        let newest = super::super::open::newest_schema();
        if schema > newest {
            return refused(format!("the store was written by a newer version of this program (schema {schema}, this one knows {newest})"));
        }
        let tables = line.tables().await?;
        Ok(Self { line, schema, tables })
    }
}

/// SQLite as the server has it, but for who may write.
pub(super) fn sqlite(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).foreign_keys(true).busy_timeout(Duration::from_secs(5))
}

pub(super) fn postgres(url: &str) -> Result<PgConnectOptions, UpkeepError> {
    Ok(PgConnectOptions::from_str(url)?.application_name("sparsefit upkeep"))
}
