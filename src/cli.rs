//! The command line: words, flags, and how the process begins and ends. What the words do is in other rooms.

mod keys;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::ambient::Ambient;
use crate::client::Client;
use crate::config::{Config, Limits, WorkerConfig};
use crate::demo::{self, DemoOptions};
use crate::log;
use crate::process;
use crate::serve::{Server, Workshop};
use crate::upkeep::{self, BackupOptions, CheckOptions, RestoreOptions};

/// Trains sparse models over HTTP.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API and work the queue.
    Serve(Box<Config>),
    /// Make, list and revoke API keys.
    Keys(keys::KeysOptions),
    /// Work the queue of servers elsewhere: the same PostgreSQL, the same data directory.
    Worker(WorkerConfig),
    /// Tell the main job: a server, real data, a certified sparse model, predictions.
    Demo(DemoOptions),
    /// Ask a server whether it is ready; ends with 0 if so. For containers.
    Healthcheck(HealthcheckOptions),
    /// Copy everything stored into a directory, beside a running server too.
    Backup(BackupOptions),
    /// Bring a backup into an empty directory (and database), on either engine.
    Restore(RestoreOptions),
    /// Say whether rows and files fit together; ends with 0 if so.
    Check(CheckOptions),
}

#[derive(Debug, Args)]
struct HealthcheckOptions {
    /// Address of the server; an unspecified one (0.0.0.0) is asked on loopback.
    #[arg(long, env = "SPARSEFIT_LISTEN", default_value = "127.0.0.1:7878")]
    listen: SocketAddr,
}

/// After the disk failed, requests in flight have this long.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Anything that ends the program before its time.
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Cli {
    /// Does what the command line says, to its end.
    pub fn run(self) -> ExitCode {
        let ended = match self.command {
            Command::Serve(config) => run(&config.log, config.log_json, serve_until_told(&config)),
            Command::Worker(config) => run(&config.log, config.log_json, work_until_told(&config)),
            Command::Keys(options) => to_its_end(keys::run(options)),
            Command::Demo(options) => tell_demo(options),
            Command::Healthcheck(options) => healthcheck(options.listen),
            Command::Backup(options) => to_its_end(upkeep::backup(&options)),
            Command::Restore(options) => to_its_end(upkeep::restore(&options)),
            Command::Check(options) => to_its_end(upkeep::check(&options)),
        };
        match ended {
            Ok(code) => code,
            Err(error) => {
                // Not through the log: its level may hide it, and a start that fails must say why.
                let _ = writeln!(std::io::stderr(), "sparsefit: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

fn run(level: &str, log_json: bool, told: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    log::start(level, log_json, Ambient::system())?;
    process::harden();
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(told);
    // Whatever still blocks (an upload being parsed) is not waited for: nothing of it is visible yet.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

async fn serve_until_told(config: &Config) -> Result<ExitCode, Failure> {
    let stop = Stop::new()?;
    let server = Server::start(config, config.limits(), Ambient::system()).await?;
    // The one line on stdout: whoever started us waits for it. A closed stdout is no reason to stop.
    let _ = writeln!(std::io::stdout(), "listening on http://{}", server.addr);
    until_told(stop, server.broken(), server.shutdown()).await
}

async fn work_until_told(config: &WorkerConfig) -> Result<ExitCode, Failure> {
    let stop = Stop::new()?;
    let workshop = Workshop::start(config, Limits::default(), Ambient::system()).await?;
    let _ = match workshop.addr {
        Some(addr) => writeln!(std::io::stdout(), "working, health on http://{addr}"),
        None => writeln!(std::io::stdout(), "working"),
    };
    until_told(stop, workshop.broken(), workshop.shutdown()).await
}

/// Ends in order when told to, at once when told twice, and with an error when the disk has failed.
async fn until_told(
    mut stop: Stop,
    mut broken: watch::Receiver<Option<String>>,
    shutdown: impl Future<Output = ()>,
) -> Result<ExitCode, Failure> {
    let failed = tokio::select! {
        () = stop.asked() => None,
        failed = broken.wait_for(Option::is_some) => failed.ok().and_then(|what| what.clone()),
    };
    if let Some(what) = failed {
        // requests in flight still hear that they failed
        let _ = tokio::time::timeout(LAST_ANSWERS, shutdown).await;
        return Err(format!("the disk failed ({what}); start again to work with what it really holds").into());
    }
    tokio::select! {
        () = shutdown => Ok(ExitCode::SUCCESS),
        () = stop.asked() => Ok(ExitCode::FAILURE),
    }
}

/// SIGTERM and SIGINT: the first asks to drain, the second to go at once.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn tell_demo(options: DemoOptions) -> Result<ExitCode, Failure> {
    log::start("warn", false, Ambient::system())?;
    let runtime = Runtime::new()?;
    let told = runtime.block_on(demo::run(options));
    runtime.shutdown_timeout(Duration::from_millis(100));
    told.map(|()| ExitCode::SUCCESS)
}

fn healthcheck(listen: SocketAddr) -> Result<ExitCode, Failure> {
    let address = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, listen.port())),
        _ => listen,
    };
    let answer = Runtime::new()?.block_on(Client::new(address).get("/readyz"))?;
    let _ = writeln!(std::io::stdout(), "{}", answer.text());
    Ok(if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn to_its_end<E: Into<Failure>>(work: impl Future<Output = Result<ExitCode, E>>) -> Result<ExitCode, Failure> {
    log::start("warn", false, Ambient::system())?;
    process::harden();
    Runtime::new()?.block_on(work).map_err(Into::into)
}
