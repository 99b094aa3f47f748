//! What can be commanded. Each command has a file, and so has each group of settings of `serve`; where settings come from
//! is in [`settings`].

mod admin;
mod announcement;
mod api;
mod caller;
mod check;
mod clients;
mod config;
mod elsewhere;
mod events;
mod failure;
mod health;
#[cfg(feature = "tokens")]
mod identity;
mod keys;
mod limits;
mod listener;
mod logging;
#[cfg(feature = "postgres")]
mod migrate;
#[cfg(feature = "tokens")]
mod mint;
mod publish;
mod serve;
mod settings;
mod signals;

use self::{check::Check, config::Config, failure::Failure, health::Health, publish::Publish, serve::Serve};
use clap::{Parser, Subcommand};
use std::{ffi::OsString, process::ExitCode};

/// Real-time channels for the web.
#[derive(Parser)]
#[command(name = "tidings", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway.
    ///
    /// Without settings it listens on 127.0.0.1:8080, keeps everything in memory, lets everybody subscribe to every
    /// channel but `private-*` and `presence-*`, and lets programs on this machine publish by `POST /api/publish`.
    #[command(after_long_help = SOURCES)]
    Serve(Box<Serve>),
    /// Say what `tidings serve` would run with, and everything that is wrong with it.
    ///
    /// It takes the same settings from the same places, listens nowhere and connects to nothing. It prints each setting
    /// with where it comes from, without secrets, and ends with 1 when something is wrong.
    #[command(after_long_help = SOURCES)]
    Check(Box<Check>),
    /// Print a file of settings to begin with.
    Config(Config),
    /// Publish an event over HTTP.
    Publish(Publish),
    /// Ask a gateway whether it is ready; ends with 0 when it is, and with 1 when not.
    Health(Health),
    /// Make the ledger in PostgreSQL that `--backplane postgres://…` needs, or change nothing where it is.
    #[cfg(feature = "postgres")]
    Migrate(migrate::Migrate),
    /// Make a token, for a test: one that `tidings serve` takes with the same secret.
    #[cfg(feature = "tokens")]
    Token(mint::Mint),
}

const SOURCES: &str = "\
Each setting may come from three places; a flag beats a variable of the environment, and that beats the file of --config:
  --ping-interval-ms 30000
  TIDINGS_PING_INTERVAL_MS=30000
  ping-interval-ms = 30000
In a variable, several values are separated by spaces. `tidings config --example` prints a file with all settings.";

/// Runs the command of these arguments; the exit code.
pub(crate) fn run(arguments: Vec<OsString>, environment: Vec<(OsString, OsString)>) -> ExitCode {
    let (cli, settings) = match settings::read(&arguments, &environment) {
        Ok(read) => read,
        Err(error) => error.exit(),
    };
    if let Command::Check(options) = &cli.command {
        return check::run(options, &settings);
    }
    let failures: Vec<Failure> = settings.mistakes.into_iter().map(Failure::Setting).collect();
    if !failures.is_empty() {
        return failed(&failures);
    }
    let ended = match cli.command {
        Command::Serve(options) => serve::run(*options),
        Command::Check(_) => unreachable!("it was run before"),
        Command::Config(options) => config::run(&options),
        Command::Publish(options) => publish::run(&options).map_err(|failure| vec![failure.into()]),
        Command::Health(options) => health::run(&options, &environment),
        #[cfg(feature = "postgres")]
        Command::Migrate(options) => migrate::run(&options).map_err(|failure| vec![failure]),
        #[cfg(feature = "tokens")]
        Command::Token(options) => mint::run(options).map_err(|error| vec![error.into()]),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failures) => failed(&failures),
    }
}

fn failed(failures: &[Failure]) -> ExitCode {
    for failure in failures {
        eprintln!("error: {failure}");
    }
    ExitCode::FAILURE
}
