//! Who may use the HTTP API, and how much of it at once.

use super::failure::Failure;
use clap::{Args, value_parser};
use std::{fs, path::PathBuf};
use tidings_server::{ApiKey, ApiKeys, BroadcastError, Config};

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
        let (mut keys, mut failures) = (Vec::new(), Vec::new());
        for (place, key) in self.given().map_err(|failure| vec![failure])? {
            match key.parse::<ApiKey>() {
                Ok(key) => keys.push(key),
                Err(error) => failures.push(wrong(format!("{place}: {error}"))),
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let keys = if keys.is_empty() { None } else { Some(ApiKeys::new(keys)) };
        keys.transpose().map_err(|error| vec![error.into()])
    }

    /// Each key as it was given, and where.
    fn given(&self) -> Result<Vec<(String, String)>, Failure> {
        let flag = |(number, key): (usize, &String)| (format!("--api-key number {number}"), key.clone());
        let mut given: Vec<_> = (1..).zip(&self.api_key).map(flag).collect();
        let Some(path) = &self.api_keys_file else { return Ok(given) };
        let place = format!("--api-keys-file {}", path.display());
        let text = fs::read_to_string(path).map_err(|source| Failure::File {
            flag: "--api-keys-file",
            path: path.clone(),
            source,
        })?;
        let before = given.len();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if !line.is_empty() && !line.starts_with('#') {
                given.push((format!("{place}, line {number}"), line.to_owned()));
            }
        }
        if given.len() == before {
            return Err(wrong(format!("{place} has no key: wanted is NAME=SECRET a line")));
        }
        Ok(given)
    }
}

fn wrong(detail: String) -> Failure {
    Failure::Gateway(BroadcastError::Config(detail))
}
