//! `sparsefit demo`: the main job told with a real server, real data and the public API alone.
//!
//! Starts a server on a free loopback port over a temporary directory, then is a client like any other. Must never name the
//! rooms behind the API: what it cannot learn over HTTP it does not know.

mod data;
mod draw;
mod kinds;
mod party;
mod report;
mod screen;
mod talk;
mod year;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use crate::ambient::Ambient;
use crate::client::Client;
use crate::config::{Config, Limits, QuotaOptions};
use crate::serve::Server;
use screen::Screen;
use talk::Talk;

/// Why the demo ended before its end.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Options of `sparsefit demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoOptions {
    /// Leave the server up until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
    /// Go on to every kind of model: elastic net, tree, network and its pruning, boosted trees and their student, compared.
    #[arg(long)]
    pub all: bool,
    /// Where `--all` writes the page of the comparison.
    #[arg(long, value_name = "FILE", default_value = "sparsefit-demo.html", requires = "all")]
    pub page: PathBuf,
}

/// Tells the whole story on standard output.
///
/// # Errors
/// The first step that does not succeed, in one sentence.
pub async fn run(options: DemoOptions) -> Result<(), Failure> {
    let since = Instant::now();
    let folder = tempfile::Builder::new().prefix("sparsefit-demo-").tempdir()?;
    let server = Server::start(&config(folder.path()), Limits::default(), Ambient::system()).await?;
    let mut screen = Screen::stdout();
    let told = AtomicBool::new(false);
    let story = async {
        tell(&mut screen, server.addr, &options, since).await?;
        told.store(true, Ordering::Relaxed);
        if options.keep {
            std::future::pending::<()>().await;
        }
        Ok(())
    };
    // Interrupted or not, the server is drained and the temporary directory removed.
    let ended = tokio::select! {
        ended = story => ended,
        stop = interrupted() => match stop {
            Ok(()) if told.load(Ordering::Relaxed) => Ok(()),
            Ok(()) => Err("interrupted".into()),
            Err(error) => Err(error.into()),
        },
    };
    screen.settle()?;
    server.shutdown().await;
    ended
}

/// Ends when somebody asks the process to: Ctrl-C, or SIGTERM.
async fn interrupted() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}

/// Nothing from the environment: a demo must not meet anybody's real data.
fn config(folder: &Path) -> Config {
    Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        data_dir: folder.to_owned(),
        database_url: None,
        workers: 1,
        fit_threads: 0,
        fit_memory_mb: None,
        insecure_no_auth: false,
        hosts: Vec::new(),
        requests_per_second: 0,
        quotas: QuotaOptions::default(),
        webhook_allow_net: Vec::new(),
        otlp_endpoint: None,
        log_json: false,
        log: "warn".to_owned(),
    }
}

async fn tell<W: Write>(screen: &mut Screen<W>, address: SocketAddr, options: &DemoOptions, since: Instant) -> Result<(), Failure> {
    let talk = Talk::new(Client::new(address));
    let speeches = data::speeches()?;
    let version = talk.get("/version").await?;
    screen.title(&format!("sparsefit {} · sparse models over HTTP, with a proof for each", talk::text(&version, "version")?))?;
    screen.heading("A server")?;
    screen.say(&format!("The real one, on http://{address}, over a temporary directory. All that follows is asked of it over HTTP."))?;
    year::upload(screen, &talk, speeches.train.len()).await?;
    year::fit(screen, &talk).await?;
    year::model(screen, &talk).await?;
    year::held_out(screen, &talk, &speeches).await?;
    party::act(screen, &talk, &speeches).await?;
    if options.all {
        kinds::act(screen, &talk, &speeches.held_out, &options.page).await?;
    }
    go_on(screen, address, options, since)
}

/// The end: how long it took, and what to type next.
fn go_on<W: Write>(screen: &mut Screen<W>, address: SocketAddr, options: &DemoOptions, since: Instant) -> Result<(), Failure> {
    screen.heading("Go on from here")?;
    let took = format!("All of this took {:.1} s.", since.elapsed().as_secs_f64());
    if options.keep {
        screen.say(&format!("{took} The server stays until Ctrl-C; from another shell:"))?;
        screen.verbatim(&format!("\nB=http://{address}"))?;
    } else {
        screen.say(&format!(
            "{took} With --keep the server would still be there. To go on with one of your own, in the project's directory:"
        ))?;
        screen.verbatim("\ncargo run --release -- serve &\nB=http://127.0.0.1:7878")?;
        for command in year::curls_from_nothing() {
            screen.verbatim(command)?;
        }
    }
    for command in year::curls() {
        screen.verbatim(command)?;
    }
    Ok(())
}
