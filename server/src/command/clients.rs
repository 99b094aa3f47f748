//! What clients may do, and how they are treated.

use clap::{Args, value_parser};
use std::time::Duration;
use tidings_server::{
    Builder, Config,
    protocol::{DEFAULT_KEEPALIVE_MS, Pattern, Rules},
};

#[derive(Args)]
#[command(next_help_heading = "Clients")]
pub(super) struct Clients {
    /// Origins of pages that may connect, besides the gateway's own host. Such as `https://app.example.com`; `*` for every
    /// one. May be repeated.
    #[arg(long, value_name = "ORIGIN")]
    pub(super) allow_origin: Vec<String>,

    /// Channels that clients may publish to, if they may use them. A name, or a prefix with one trailing `*`. May be
    /// repeated; without it clients publish only where their tokens let them.
    #[arg(long, value_name = "PATTERN")]
    pub(super) allow_client_publish: Vec<Pattern>,

    /// Milliseconds between two pings to a client; 0 turns them off.
    #[arg(long, value_name = "MS", default_value_t = DEFAULT_KEEPALIVE_MS, value_parser = value_parser!(u64).range(..=86_400_000))]
    pub(super) ping_interval_ms: u64,

    /// The longest time, in milliseconds, over which clients are sent away when the gateway stops.
    #[arg(long, value_name = "MS", default_value_t = 30_000, value_parser = value_parser!(u64).range(..=3_600_000))]
    pub(super) drain_ms: u64,
}

impl Clients {
    pub(super) fn configure(&self, config: &mut Config) {
        config.allowed_origins.clone_from(&self.allow_origin);
        config.ping_interval = Duration::from_millis(self.ping_interval_ms);
        config.drain = Duration::from_millis(self.drain_ms);
    }

    pub(super) fn apply(&self, builder: Builder) -> Builder {
        let mut open = Rules::default();
        for pattern in &self.allow_client_publish {
            open.insert(pattern.clone(), ());
        }
        builder.allow_client_publish_if(move |context| open.get(&context.channel).is_some())
    }
}
