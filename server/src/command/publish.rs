//! `tidings publish`.

use super::caller::{CallError, Caller, Trust};
use clap::{ArgGroup, Args};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{fs, io, path::PathBuf, time::Duration};
use tidings_server::ApiKey;

#[derive(Args)]
#[command(group(ArgGroup::new("auth").args(["api_key", "api_key_file"])))]
pub(super) struct Publish {
    /// The channel.
    channel: String,

    /// The name of the event.
    event: String,

    /// The event's data, as JSON; `-` reads it from standard input.
    #[arg(default_value = "null", allow_hyphen_values = true)]
    data: String,

    /// The gateway.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,

    /// An API key of the gateway: SECRET or NAME=SECRET.
    #[arg(long, value_name = "SECRET")]
    api_key: Option<String>,

    /// A file with the API key in it, as `tidings serve --api-keys-file` takes it: the first one counts. Other users of this
    /// machine see what a command is started with, but not such a file.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,

    /// An idempotency key: of several publishes with the same one, within five minutes, only the first counts.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// How long to wait for the answer, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    timeout_ms: u64,
}

#[derive(Serialize)]
struct Event<'a> {
    channel: &'a str,
    event: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

/// Publishes, and prints what the gateway answers.
pub(super) fn run(options: &Publish) -> Result<(), CallError> {
    let data = if options.data == "-" {
        let name = "standard input".to_owned();
        io::read_to_string(io::stdin()).map_err(|source| CallError::Read { name, source })?
    } else {
        options.data.clone()
    };
    let data: &RawValue = serde_json::from_str(&data).map_err(|source| CallError::Data { source })?;
    let Publish { channel, event, key, .. } = options;
    let event = Event { channel, event, data, key: key.as_deref() };
    let body = serde_json::to_string(&event).expect("a struct of texts is JSON");
    let api_key = match &options.api_key_file {
        Some(path) => {
            let name = format!("--api-key-file {}", path.display());
            let text = fs::read_to_string(path).map_err(|source| CallError::Read { name, source })?;
            Some(text)
        }
        None => options.api_key.clone(),
    };
    let api_key = api_key.as_deref().map(secret);
    let timeout = Duration::from_millis(options.timeout_ms);
    let caller = Caller::new(&options.url, timeout, Trust::Authorities)?;
    println!("{}", caller.post("/api/publish", api_key, &body)?.trim_end());
    Ok(())
}

/// The secret of the first key in a text, which may have a name or not.
fn secret(text: &str) -> &str {
    let mut lines = text.lines().map(str::trim);
    let key = lines.find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    match key.split_once('=') {
        Some((_, secret)) if key.parse::<ApiKey>().is_ok() => secret,
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_its_name_or_without() {
        for (text, expected) in [
            ("0123456789abcdef", "0123456789abcdef"),
            ("shop=0123456789abcdef", "0123456789abcdef"),
            ("# of the shop\n\n shop=0123456789abcdef \nother=aaaaaaaaaaaaaaaa\n", "0123456789abcdef"),
            ("MDEyMzQ1Njc4OWFiY2RlZg==", "MDEyMzQ1Njc4OWFiY2RlZg=="),
            ("", ""),
        ] {
            assert_eq!(secret(text), expected);
        }
    }
}
