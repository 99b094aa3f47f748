//! `tidings config`.

use super::{failure::Failure, settings};
use clap::Args;
use std::io::{self, Write};

#[derive(Args)]
pub(super) struct Config {
    /// Print a file with all settings, their meaning and their defaults.
    #[arg(long, required = true)]
    example: bool,
}

pub(super) fn run(_: &Config) -> Result<(), Vec<Failure>> {
    io::stdout().write_all(settings::example().as_bytes()).map_err(|error| vec![error.into()])
}
