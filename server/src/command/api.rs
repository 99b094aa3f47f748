//! Who may use the HTTP API, and how much of it at once.

use super::{failure::Failure, keys::Given};
use clap::{Args, value_parser};
use std::path::PathBuf;
use tidings_server::{ApiKeys, Config};

#[derive(Args)]
#[command(next_help_heading = "HTTP API")]
pub(super) struct Api {
    /// Open the HTTP API to whoever sends this secret, from anywhere. It is sent as `Authorization: Bearer SECRET`. NAME is
    /// for the log; SECRET has 16 to 256 characters, such as those of `openssl rand -hex 32`. Without a key the API answers
    /// only to programs on this machine. May be repeated.
    // Text, so that an error does not repeat it.
    #[arg(long, value_name = "NAME=SECRET")]
    api_key: Vec<String>,

    /// A file of such keys. One NAME=SECRET a line; empty lines and those that begin with # are skipped. Other users of
    /// this machine can read what a command is started with, but not such a file.
    #[arg(long, value_name = "FILE")]
    api_keys_file: Option<PathBuf>,

    /// The largest body of a request to the HTTP API, in bytes. Above it HTTP 413.
    #[arg(
        long, value_name = "BYTES", default_value_t = 1024 * 1024,
        value_parser = value_parser!(u32).range(1_024..=64 * 1024 * 1024)
    )]
    api_body_bytes: u32,
}

impl Api {
    pub(super) fn configure(&self, config: &mut Config) {
        config.limits.api_body_bytes = self.api_body_bytes as usize;
    }

    /// The keys; `None` when the API is for this machine only.
    pub(super) fn keys(&self) -> Result<Option<ApiKeys>, Vec<Failure>> {
        let file = self.api_keys_file.as_deref();
        Given { flag: "--api-key", keys: &self.api_key, file_flag: "--api-keys-file", file }.read()
    }
}
