//! A PostgreSQL for tests: the one named by `TEST_DATABASE_URL`, else one that runs on this machine, else a throw-away
//! one started from installed binaries. Each test gets a database of its own.
//!
//! Without any, tests that want PostgreSQL say so loudly and pass; with `CI` set they fail. `TEST_POSTGRES=own` skips
//! the servers that run already, `TEST_POSTGRES=none` pretends that there is none.

#![allow(dead_code)] // shared by several test binaries, none of which uses all of it

use std::env;
use std::fs;
use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

/// A server that tests may make databases on.
pub(crate) struct Server {
    url: String,
    /// For a person: version and where it came from.
    pub(crate) how: String,
}

/// A fresh, empty database, dropped with this value.
pub(crate) struct Database {
    /// `postgres://…` of it.
    pub(crate) url: String,
    name: String,
}

static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();

/// The server of this test binary, found once, or why there is none.
pub(crate) fn server() -> &'static Result<Server, String> {
    SERVER.get_or_init(|| apart(find()))
}

/// A fresh database; `None` (said loudly) without a server.
pub(crate) async fn fresh() -> Option<Database> {
    match tokio::task::spawn_blocking(server).await.expect("the search for a server does not panic") {
        Ok(server) => Some(Database::new(server).await),
        Err(why) => {
            assert!(env::var_os("CI").is_none(), "CI is set and there is no PostgreSQL: {why}");
            eprintln!("NOT COVERED: no PostgreSQL ({why})");
            None
        }
    }
}

impl Database {
    async fn new(server: &Server) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let nanos = std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970").subsec_nanos();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sparsefit_test_{}_{nanos}_{count}", std::process::id());
        let options = PgConnectOptions::from_str(&server.url).expect("a legal URL");
        let mut admin = options.connect().await.expect("the server found before still answers");
        admin.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("we may create databases");
        admin.close().await.expect("a clean goodbye");
        let url = PgConnectOptions::from_str(&server.url).expect("a legal URL").database(&name).to_url_lossy().to_string();
        Self { url, name }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Ok(server) = server() else { return };
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        apart(async move {
            if let Ok(mut admin) = PgConnectOptions::from_str(&server.url).expect("a legal URL").connect().await {
                let _ = admin.execute(AssertSqlSafe(drop)).await;
            }
        });
    }
}

/// Runs a future on a thread and runtime of its own, so that it can be waited for anywhere.
fn apart<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(future)
        });
        thread.join().expect("the thread does not panic")
    })
}

async fn find() -> Result<Server, String> {
    let wish = env::var("TEST_POSTGRES").unwrap_or_default();
    if wish == "none" {
        return Err("TEST_POSTGRES=none".into());
    }
    if let Ok(url) = env::var("TEST_DATABASE_URL") {
        return usable(&url).await.map(|version| Server { url, how: format!("{version}, named by TEST_DATABASE_URL") });
    }
    if wish != "own" {
        let user = env::var("USER").unwrap_or_else(|_| "root".into());
        for url in [
            "postgres://postgres@127.0.0.1:5432/postgres".to_owned(),
            "postgres://postgres@localhost/postgres?host=/var/run/postgresql".to_owned(),
            format!("postgres://{user}@localhost/postgres?host=/var/run/postgresql"),
            format!("postgres://{user}@127.0.0.1:5432/postgres"),
        ] {
            if let Ok(version) = usable(&url).await {
                return Ok(Server { how: format!("{version}, running at {url}"), url });
            }
        }
    }
    let (url, bin) = start()?;
    for _ in 0..200 {
        if let Ok(version) = usable(&url).await {
            return Ok(Server { url, how: format!("{version}, throw-away server from {}", bin.display()) });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the throw-away server does not answer".into())
}

/// The version of a server on which we may make databases.
async fn usable(url: &str) -> Result<String, String> {
    let options = PgConnectOptions::from_str(url).map_err(|error| error.to_string())?;
    let connecting = tokio::time::timeout(Duration::from_secs(3), options.connect());
    let mut connection: PgConnection = connecting.await.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
    let (version, may): (String, bool) =
        sqlx::query_as("SELECT current_setting('server_version'), rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| error.to_string())?;
    let version = version.split_whitespace().next().unwrap_or_default().to_owned();
    if may { Ok(format!("PostgreSQL {version}")) } else { Err("may not create databases".into()) }
}

/// Starts a throw-away server that ends, and is removed, with this process.
fn start() -> Result<(String, PathBuf), String> {
    let bin = binaries().ok_or("nothing listens on 127.0.0.1:5432, and no initdb is installed")?;
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?.keep();
    let user = unprivileged(&directory)?;
    let data = directory.join("data");
    let mut initdb = as_user(user, &bin.join("initdb"));
    initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]);
    let made = initdb.output().map_err(|error| error.to_string())?;
    if !made.status.success() {
        return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr).trim()));
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(|error| error.to_string())?.port();
    let server = as_user(user, &bin.join("postgres"));
    // the shell outlives us by a moment: when its input ends, so does the server
    let mut keeper = Command::new("sh");
    keeper.args([
        "-c",
        r#"directory=$1; shift; "$@" </dev/null >"$directory/log" 2>&1 & cat >/dev/null; kill -QUIT $!; wait; rm -rf "$directory""#,
        "keeper",
    ]);
    keeper.arg(&directory).arg(server.get_program()).args(server.get_args()).arg("-D").arg(&data);
    keeper.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    let child = keeper.stdin(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    std::mem::forget(child); // its input stays open as long as this process lives
    Ok((format!("postgres://postgres@127.0.0.1:{port}/postgres"), bin))
}

fn binaries() -> Option<PathBuf> {
    let mut places: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin")).collect();
    places.sort();
    places.reverse();
    places.extend(["/usr/local/pgsql/bin", "/usr/local/bin", "/opt/homebrew/bin", "/usr/bin"].map(PathBuf::from));
    places.into_iter().find(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
}

/// initdb refuses to work as root: then an ordinary user that may write to the directory.
fn unprivileged(directory: &Path) -> Result<Option<&'static str>, String> {
    let id = Command::new("id").arg("-u").output().map_err(|error| error.to_string())?;
    if String::from_utf8_lossy(&id.stdout).trim() != "0" {
        return Ok(None);
    }
    let exists = |user: &&str| Command::new("id").arg(user).output().is_ok_and(|found| found.status.success());
    let user = ["postgres", "nobody"].into_iter().find(exists).ok_or("root, and no ordinary user to run a server as")?;
    let owned = Command::new("chown").arg(user).arg(directory).status().map_err(|error| error.to_string())?;
    if owned.success() { Ok(Some(user)) } else { Err("the directory of the throw-away server cannot be given away".into()) }
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), "--clear-groups", "--"]).arg(program);
    command
}
