//! What carries events between gateways, and how long they are kept.

use super::failure::Failure;
use clap::Args;
use std::{fs, path::PathBuf, time::Duration};
use tidings_server::{Backplane, Histories, History, protocol::Pattern};

#[derive(Args)]
#[command(next_help_heading = "Events")]
pub(super) struct Events {
    #[command(flatten)]
    pub(super) link: Link,

    /// How much of the channels of a pattern is kept for clients that come back. A number of events, and for how many
    /// seconds; the pattern that fits best counts. `ticker.*=0` keeps nothing. May be repeated [default: *=256,300]
    #[arg(long, value_name = "PATTERN=EVENTS[,SECONDS]", value_parser = history)]
    history: Vec<(Pattern, History)>,

    #[cfg(feature = "postgres")]
    #[command(flatten)]
    ledger: Ledger,

    /// How often, in milliseconds, to look for events that a plain SQL `INSERT` has published.
    #[cfg(feature = "postgres")]
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    postgres_poll_ms: u64,

    /// Only read the table, which is an application's own. It has the columns `id`, `channel`, `event_name`, `event_id` and
    /// `data`.
    #[cfg(feature = "postgres")]
    #[arg(long)]
    postgres_existing: bool,
}

/// Where the backplane is.
#[derive(Args)]
#[command(next_help_heading = "Events")]
pub(super) struct Link {
    /// What carries events between gateways: `memory` for one gateway alone, or an URL. It is `redis://user:password@host`,
    /// `nats://user:password@host`, or `postgres://user:password@host/database` after `tidings migrate`.
    #[arg(long, value_name = "URL", default_value = "memory")]
    backplane: String,

    /// A file with the URL of the backplane in it, in place of --backplane.
    #[arg(long, value_name = "FILE", conflicts_with = "backplane")]
    backplane_file: Option<PathBuf>,
}

impl Link {
    // Not by clap, which would repeat what it cannot read, password and all.
    pub(super) fn backplane(&self) -> Result<Backplane, Failure> {
        let Some(path) = &self.backplane_file else { return Ok(self.backplane.parse()?) };
        let text = fs::read_to_string(path).map_err(|source| Failure::File {
            flag: "--backplane-file",
            path: path.clone(),
            source,
        })?;
        Ok(text.trim().parse()?)
    }
}

/// How the ledger in PostgreSQL is used.
#[cfg(feature = "postgres")]
#[derive(Args)]
#[command(next_help_heading = "Events")]
pub(super) struct Ledger {
    /// The table of events in PostgreSQL, `name` or `schema.name`.
    #[arg(long, value_name = "NAME", default_value = "tidings_events")]
    pub(super) postgres_table: String,
}

impl Events {
    /// The backplane, as the settings beside its URL say.
    pub(super) fn backplane(&self) -> Result<Backplane, Failure> {
        match self.link.backplane()? {
            #[cfg(feature = "postgres")]
            Backplane::Postgres(config) => {
                let poll = Duration::from_millis(self.postgres_poll_ms);
                let config = config.table(&self.ledger.postgres_table)?.poll_interval(poll);
                let config = if self.postgres_existing { config.existing() } else { config };
                Ok(Backplane::Postgres(Box::new(config)))
            }
            other => Ok(other),
        }
    }

    pub(super) fn histories(&self) -> Histories {
        let mut histories = Histories::default();
        for (pattern, history) in &self.history {
            histories.set(pattern.clone(), *history);
        }
        histories
    }
}

fn history(text: &str) -> Result<(Pattern, History), String> {
    let wanted = "wanted is PATTERN=EVENTS or PATTERN=EVENTS,SECONDS, such as orders.*=1000,3600";
    let (pattern, kept) = text.rsplit_once('=').ok_or_else(|| format!("{text:?} has no =; {wanted}"))?;
    let pattern = pattern.parse::<Pattern>().map_err(|error| error.to_string())?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no whole number; {wanted}"));
    let mut history = History::default();
    match kept.split_once(',') {
        Some((events, seconds)) => {
            history.events = number(events)?;
            history.age = Duration::from_secs(number(seconds)? as u64);
        }
        None => history.events = number(kept)?,
    }
    Ok((pattern, history))
}
