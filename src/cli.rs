//! The command line: words, flags, and how the process begins and ends. What the words do is in other rooms.

mod keys;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::ambient::Ambient;
use crate::client::Client;
use crate::config::Config;
use crate::demo::{self, DemoOptions};
use crate::serve::Server;

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
    /// Tell the main job: a server, real data, a certified sparse model, predictions.
    Demo(DemoOptions),
    /// Ask a server whether it is ready; ends with 0 if so. For containers.
    Healthcheck(HealthcheckOptions),
}

#[derive(Debug, Args)]
struct HealthcheckOptions {
    /// Address of the server; an unspecified one (0.0.0.0) is asked on loopback.
    #[arg(long, env = "SPARSEFIT_LISTEN", default_value = "127.0.0.1:7878")]
    listen: SocketAddr,
}

/// Anything that ends the program before its time.
type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Cli {
    /// Does what the command line says, to its end.
    pub fn run(self) -> ExitCode {
        let ended = match self.command {
            Command::Serve(config) => serve(&config),
            Command::Keys(options) => manage_keys(options),
            Command::Demo(options) => tell_demo(options),
            Command::Healthcheck(options) => healthcheck(options.listen),
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

fn serve(config: &Config) -> Result<ExitCode, Failure> {
    log_to_stderr(&config.log, config.log_json)?;
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(serve_until_told(config));
    // Whatever still blocks (an upload being parsed) is not waited for: nothing of it is visible yet.
    runtime.shutdown_timeout(Duration::from_millis(100));
    ended
}

async fn serve_until_told(config: &Config) -> Result<ExitCode, Failure> {
    let mut stop = Stop::new()?;
    let server = Server::start(config, config.limits(), Ambient::system()).await?;
    // The one line on stdout: whoever started us waits for it. A closed stdout is no reason to stop.
    let _ = writeln!(std::io::stdout(), "listening on http://{}", server.addr);
    stop.asked().await;
    tokio::select! {
        () = server.shutdown() => Ok(ExitCode::SUCCESS),
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

fn manage_keys(options: keys::KeysOptions) -> Result<ExitCode, Failure> {
    log_to_stderr("warn", false)?;
    Runtime::new()?.block_on(keys::run(options))
}

fn tell_demo(options: DemoOptions) -> Result<ExitCode, Failure> {
    log_to_stderr("warn", false)?;
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

fn log_to_stderr(level: &str, as_json: bool) -> Result<(), Failure> {
    let level: LevelFilter = level.parse()?;
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level);
    if as_json { log.json().try_init() } else { log.with_ansi(false).try_init() }
}
