//! Development commands, run as `cargo xtask <command>`.
//!
//! - `pack` builds the npm package,
//! - `demo` runs the gateway with the demo page,
//! - `test` sets up what is missing and runs every test,
//! - `bench` measures the server beside its peers and writes `docs/benchmarks.md`,
//! - `soak` has many clients come and go for minutes, and checks what they get,
//! - `conformance` has Autobahn's cases judge how the gateway speaks WebSocket.

mod ascii;
mod bench;
mod conformance;
mod demo;
mod glue;
mod link;
mod names;
mod pack;
mod panics;
mod setup;
mod soak;
mod stamp;
mod step;
mod table;
mod test;
mod wasm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Development commands of Tidings")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the npm package: target/npm/tidings-VERSION.tgz and pkg-npm/dist, and the operator's page's copy of the client
    Pack,
    /// Build everything and serve the demo in the foreground
    Demo(demo::Options),
    /// Set up what is missing, then run the tests; exits non-zero when one fails
    Test(test::Options),
    /// Measure the server beside its peers; writes docs/benchmarks.md
    Bench(bench::Options),
    /// Have Autobahn's cases judge how the gateway speaks WebSocket
    Conformance,
    /// Have many clients come and go at a gateway for minutes; exits non-zero when an event is missing or repeated, or
    /// memory grows
    Soak(soak::Options),
}

fn main() -> ExitCode {
    let outcome = match link::called() {
        Some(words) => link::run(words),
        None => obey(Arguments::parse().command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("✗ {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn obey(command: Command) -> Result<()> {
    let workspace = Workspace::locate()?;
    match command {
        Command::Pack => pack::run(&workspace).and_then(|package| {
            package.print_sizes();
            pack::renew_page(&workspace)
        }),
        Command::Demo(options) => demo::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::Conformance => conformance::run(&workspace),
        Command::Soak(options) => soak::run(&workspace, &options),
    }
}
