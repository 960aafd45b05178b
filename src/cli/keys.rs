//! `sparsefit keys …`: make, list and revoke keys, also beside a running server, which hears of it within a second.
//!
//! Whoever can write the data directory, or knows the database, is the operator; no key is asked for here.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Failure;
use crate::access::{NewKey, Quotas, Scopes};
use crate::ambient::Ambient;
use crate::id::{Id, Kind};
use crate::spec::is_name;
use crate::store::{KeyRow, Revocation, Store, StoreConfig};

/// Nothing is claimed here.
const LEASE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct KeysOptions {
    #[command(subcommand)]
    word: Word,
    /// Directory of the server's data.
    #[arg(long, global = true, env = "SPARSEFIT_DATA_DIR", default_value = "./sparsefit-data")]
    data_dir: PathBuf,
    /// `postgres://…`, if the server uses one.
    #[arg(long, global = true, env = "SPARSEFIT_DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Word {
    /// Make a key and print it, once, to stdout. From the first key on, every request needs one.
    Create {
        /// What people call it.
        #[arg(long)]
        name: String,
        /// The project whose data it opens.
        #[arg(long, default_value = "default")]
        project: String,
        /// What it may do: datasets:read datasets:write jobs:read jobs:write models:read models:write models:predict admin.
        #[arg(long, required = true, num_args = 1.., value_delimiter = ',')]
        scopes: Vec<String>,
        /// Days until it is worth nothing.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(NewKey::DAYS_MAX)))]
        expires_in_days: Option<u32>,
    },
    /// List the keys that are not revoked, of all projects.
    List,
    /// End a key, by the id that `list` shows.
    Revoke {
        /// `key_…`
        id: String,
    },
}

/// Does what the words say.
pub(super) async fn run(options: KeysOptions) -> Result<ExitCode, Failure> {
    let KeysOptions { word, data_dir, database_url } = options;
    let checked = check(word)?;
    let config = StoreConfig { data_dir, database_url, lease: LEASE, queue_max: 0, quotas: Quotas::default() };
    let store = Store::open_beside(config, Ambient::system()).await?;
    let done = checked.carry_out(&store).await;
    store.close().await;
    done.map(|()| ExitCode::SUCCESS)
}

/// A word whose arguments make sense: nothing is opened for one that does not.
enum Checked {
    Create(NewKey),
    List,
    Revoke(Id),
}

fn check(word: Word) -> Result<Checked, Failure> {
    Ok(match word {
        Word::List => Checked::List,
        Word::Revoke { id } => Checked::Revoke(Id::parse(Kind::Key, &id).ok_or("a key's id begins with `key_`; see `keys list`")?),
        Word::Create { name, project, scopes, expires_in_days } => {
            let scopes = Scopes::parse(&scopes.join(" ")).map_err(|word| format!("there is no scope {word:?}"))?;
            if scopes.is_empty() {
                return Err("a key without scopes may do nothing".into());
            }
            if !NewKey::is_label(&name) {
                return Err("a key's name is 1 to 256 bytes without control characters".into());
            }
            if !is_name(&project) {
                return Err("a project is 1 to 63 of a-z, 0-9, `.`, `_`, `-`, and begins with a letter or digit".into());
            }
            Checked::Create(NewKey { project, name, scopes, expires_in_days })
        }
    })
}

impl Checked {
    async fn carry_out(self, store: &Store) -> Result<(), Failure> {
        match self {
            Self::Create(new) => {
                let (row, token) = store.add_key(new).await?;
                writeln!(std::io::stdout(), "{}", token.reveal())?;
                writeln!(std::io::stderr(), "{} of project {}: {}. Keep it, it is not shown again.", row.id, row.project, row.scopes)?;
            }
            Self::List => {
                for row in store.living_keys().await? {
                    writeln!(std::io::stdout(), "{}", line(&row))?;
                }
            }
            Self::Revoke(id) => match store.revoke_key(None, &id).await? {
                Revocation::Done(row) => writeln!(std::io::stdout(), "{} of project {} is revoked", row.id, row.project)?,
                Revocation::Absent => return Err(format!("there is no key {id}").into()),
            },
        }
        Ok(())
    }
}

/// Separated by tabs, the only free text last; times are seconds since 1970.
fn line(row: &KeyRow) -> String {
    let time = |micros: Option<i64>| micros.map_or_else(|| "-".to_owned(), |micros| (micros / 1_000_000).to_string());
    let times = format!("created={}\texpires={}\tused={}", time(Some(row.created_at)), time(row.expires_at), time(row.last_used_at));
    format!("{}\t{}\t{}\t{times}\t{}", row.id, row.project, row.scopes.words().join(","), row.name)
}
