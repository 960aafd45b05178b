//! Rows of either engine ⇄ JSON. Numbers survive bit by bit; a value that no column of ours holds is an error.

use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::snapshot::{Content, Line, Row, Table};
use super::{UpkeepError, refused};

macro_rules! from_row {
    ($row:expr, $table:expr) => {{
        let mut found = Row::new();
        for (at, (name, content)) in $table.columns.iter().enumerate() {
            let value = match content {
                Content::Int => $row.try_get::<Option<i64>, _>(at)?.map(Value::from),
                Content::Real => $row.try_get::<Option<f64>, _>(at)?.map(Value::from),
                Content::Text => $row.try_get::<Option<String>, _>(at)?.map(Value::from),
            };
            found.insert(name.clone(), value.unwrap_or(Value::Null));
        }
        Ok(found)
    }};
}

pub(super) fn from_sqlite(row: &SqliteRow, table: &Table) -> Result<Row, UpkeepError> {
    from_row!(row, table)
}

pub(super) fn from_postgres(row: &PgRow, table: &Table) -> Result<Row, UpkeepError> {
    from_row!(row, table)
}

/// The text that adds a row to a table.
pub(super) fn insertion(table: &Table) -> String {
    let names: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    let places: Vec<String> = (1..=names.len()).map(|at| format!("${at}")).collect();
    format!("INSERT INTO \"{}\" (\"{}\") VALUES ({})", table.name, names.join("\", \""), places.join(", "))
}

/// Adds a row by a text of [`insertion`].
pub(super) async fn insert(line: &mut Line, table: &Table, text: &str, row: &Row) -> Result<(), UpkeepError> {
    macro_rules! run {
        ($connection:expr) => {{
            let mut query = sqlx::query(AssertSqlSafe(text.to_owned()));
            for (name, content) in &table.columns {
                let value = row.get(name).unwrap_or(&Value::Null);
                query = match content {
                    Content::Int if value.is_null() => query.bind(None::<i64>),
                    Content::Int if value.is_i64() => query.bind(value.as_i64()),
                    Content::Real if value.is_null() => query.bind(None::<f64>),
                    Content::Real if value.is_number() => query.bind(value.as_f64()),
                    Content::Text if value.is_null() => query.bind(None::<String>),
                    Content::Text if value.is_string() => query.bind(value.as_str().map(str::to_owned)),
                    _ => return refused(format!("{}.{name} cannot hold {value}", table.name)),
                };
            }
            query.execute($connection).await?
        }};
    }
    match line {
        Line::Sqlite(line) => _ = run!(line),
        Line::Postgres(line) => _ = run!(line),
    }
    Ok(())
}
