//! sparsefit: a server that trains sparse models over HTTP.

use std::process::ExitCode;

use clap::Parser;
use sparsefit::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
