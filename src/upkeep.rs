//! The words `backup`, `restore` and `check`: they work on a store, beside a running server or without one, and print
//! what came of it. Everything they do is done in `store/upkeep/`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::ambient::Ambient;
use crate::store::upkeep::{self, Depth, Place, UpkeepError};

/// Which store.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// Directory of the store.
    #[arg(long, env = "SPARSEFIT_DATA_DIR", default_value = "./sparsefit-data")]
    data_dir: PathBuf,
    /// `postgres://…`; absent = SQLite in the data directory.
    #[arg(long, env = "SPARSEFIT_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

impl Which {
    fn place(&self) -> Place {
        Place { data_dir: self.data_dir.clone(), database_url: self.database_url.clone() }
    }
}

/// Options of `sparsefit backup`.
#[derive(Clone, Debug, Args)]
pub struct BackupOptions {
    #[command(flatten)]
    which: Which,
    /// A new or empty directory.
    #[arg(long)]
    to: PathBuf,
}

/// Options of `sparsefit restore`.
#[derive(Clone, Debug, Args)]
pub struct RestoreOptions {
    #[command(flatten)]
    which: Which,
    /// Directory of a backup.
    #[arg(long)]
    from: PathBuf,
}

/// Options of `sparsefit check`.
#[derive(Clone, Debug, Args)]
pub struct CheckOptions {
    #[command(flatten)]
    which: Which,
    /// Read every file and compare its checksum.
    #[arg(long)]
    deep: bool,
    /// Also complain of succeeded jobs without their model, and of files that a running server should have swept.
    #[arg(long)]
    strict: bool,
}

/// Copies the store.
pub async fn backup(options: &BackupOptions) -> Result<ExitCode, UpkeepError> {
    let copied = upkeep::backup(&options.which.place(), &options.to, &Ambient::system()).await?;
    say(&format!("{}: {} rows and {} files, {} bytes", options.to.display(), copied.rows, copied.files, copied.bytes));
    Ok(ExitCode::SUCCESS)
}

/// Brings a copy back.
pub async fn restore(options: &RestoreOptions) -> Result<ExitCode, UpkeepError> {
    let place = options.which.place();
    let restored = upkeep::restore(&place, &options.from, &Ambient::system()).await?;
    let queued = if restored.requeued > 0 { format!("; {} jobs that ran wait again", restored.requeued) } else { String::new() };
    say(&format!("{}: {} rows and {} files{queued}", place.data_dir.display(), restored.rows, restored.files));
    Ok(ExitCode::SUCCESS)
}

/// Looks a store over; anything wrong is a failure.
pub async fn check(options: &CheckOptions) -> Result<ExitCode, UpkeepError> {
    let depth = Depth { deep: options.deep, strict: options.strict };
    let found = upkeep::check(&options.which.place(), depth, &Ambient::system()).await?;
    found.notes.iter().for_each(|note| say(&format!("note: {note}")));
    found.wrong.iter().for_each(|wrong| say(&format!("wrong: {wrong}")));
    let rows: Vec<String> = found.rows.iter().map(|(table, rows)| format!("{table} {rows}")).collect();
    say(&format!("{}: {}", if found.wrong.is_empty() { "ok" } else { "NOT OK" }, rows.join(", ")));
    Ok(if found.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line for whoever called; a closed stdout is no reason to fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
