//! What is logged, and how.

use clap::{Args, ValueEnum};
use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// The gateway itself says when the backplane is lost, once.
const QUIET: &str = "async_nats=off,actix_server=warn";

#[derive(Args, Default)]
#[command(next_help_heading = "Logging")]
pub(super) struct Logging {
    /// How the log is written, to standard error.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    log_format: Format,

    /// What is logged: off, error, warn, info, debug or trace. Or a filter by module, such as
    /// `info,tidings_server::postgres=debug`. Without it the variable RUST_LOG counts [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    log_level: Option<String>,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl Logging {
    /// Logs from now on.
    pub(super) fn start(&self) {
        let (filter, ignored) = match &self.log_level {
            Some(level) => (filter(level), None),
            None => match EnvFilter::try_from_default_env() {
                Ok(filter) => (Some(filter), None),
                Err(error) => (None, std::env::var_os("RUST_LOG").map(|_| error)),
            },
        };
        let filter = filter.unwrap_or_else(|| EnvFilter::new(format!("info,{QUIET}")));
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
        match self.log_format {
            Format::Text => log.with_ansi(io::stderr().is_terminal()).init(),
            Format::Json => log.json().with_ansi(false).init(),
        }
        if let Some(error) = ignored {
            tracing::warn!(%error, "RUST_LOG is ignored");
        }
    }
}

/// The filter that a text means: a level alone is that of our own lines, and other libraries say no more than they do at
/// `info`, as some of them repeat requests and data.
fn filter(text: &str) -> Option<EnvFilter> {
    if text.contains(['=', ',']) {
        return EnvFilter::try_new(text).ok();
    }
    let level: LevelFilter = text.parse().ok()?;
    let others = level.min(LevelFilter::INFO);
    Some(EnvFilter::new(format!("{others},{QUIET},tidings={level},tidings_server={level}")))
}

fn level(text: &str) -> Result<String, String> {
    let wanted =
        "wanted is off, error, warn, info, debug, trace, or a filter such as info,tidings_server=debug";
    filter(text).map(|_| text.to_owned()).ok_or_else(|| wanted.to_owned())
}
