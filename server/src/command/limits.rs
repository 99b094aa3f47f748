//! The options about what clients may use.

use clap::{Args, value_parser};
use std::time::Duration;
use tidings_server::Config;

/// What one client, and all of them together, may use.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Limits {
    /// The largest message from a client, in bytes; above it the connection is closed with 1009.
    #[arg(long, value_name = "BYTES", default_value_t = 65_536, value_parser = value_parser!(u32).range(1..))]
    frame_bytes: u32,

    /// Channels of one connection; above it the client is told `too many channels`.
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = value_parser!(u32).range(1..))]
    channels_per_connection: u32,

    /// Commands of one connection per second: whatever a client sends but its answers to pings. A client that has its
    /// publishes acknowledged is made to wait; others are closed with 4029 above it. 0 turns the limit off.
    #[arg(long, value_name = "N", default_value_t = 100)]
    commands_per_second: u32,

    /// Commands that a connection may send at once, when it was silent before; at least --channels-per-connection and 289
    /// more.
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(1..))]
    commands_burst: u32,

    /// Publishes of one connection that wait for authorization or the backplane; above it the connection is closed with
    /// 4029.
    #[arg(long, value_name = "N", default_value_t = 4_096, value_parser = value_parser!(u32).range(1..))]
    waiting_publishes: u32,

    /// The same in bytes of data.
    #[arg(long, value_name = "BYTES", default_value_t = 2_097_152, value_parser = value_parser!(u32).range(1..))]
    waiting_bytes: u32,

    /// Bytes that wait for one slow client; above it the connection is closed with 4008.
    #[arg(long, value_name = "BYTES", default_value_t = 1_048_576, value_parser = value_parser!(u32).range(1..))]
    queue_bytes: u32,

    /// How long, in milliseconds, a slow client may take nothing of what waits for it; then the connection is closed with
    /// 4008.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=3_600_000))]
    queue_stall_ms: u64,

    /// Missed events that a client is sent when it comes back, as long as they fit in half of --queue-bytes; with more it
    /// is told that it cannot have them.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(1..))]
    resume_events: u32,

    /// How long, in milliseconds, past the ping interval a silent client is waited for; then the connection is closed with
    /// 4001.
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = value_parser!(u64).range(1..=3_600_000))]
    ping_grace_ms: u64,

    /// Clients at the same time; above it new ones get HTTP 503.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u32).range(1..))]
    connections: u32,

    /// Clients at the same time from one address, and in IPv6 from one network of 64 bits; above it new ones get HTTP 503.
    /// 0 turns the limit off. Behind a proxy set --trusted-proxy, else all clients have the proxy's address.
    #[arg(long, value_name = "N", default_value_t = 0)]
    connections_per_address: u32,

    /// A proxy whose `X-Forwarded-For` is believed: an address, or a network such as 10.0.0.0/8. May be repeated.
    #[arg(long, value_name = "ADDR[/BITS]")]
    trusted_proxy: Vec<String>,

    /// New clients per second; above it they get HTTP 503 and come back later. When the gateway stops, it sends them away
    /// no faster either.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(1..))]
    connections_per_second: u32,

    /// Only watch --commands-per-second and --connections-per-address: log and count what is above them (the metric
    /// `tidings_dry_run_excess_total`), and let it through.
    #[arg(long)]
    dry_run_limits: bool,
}

impl Limits {
    /// Writes them into the gateway's settings.
    pub(super) fn configure(&self, config: &mut Config) {
        config.ping_grace = Duration::from_millis(self.ping_grace_ms);
        config.trusted_proxies.clone_from(&self.trusted_proxy);
        let limits = &mut config.limits;
        limits.frame_bytes = self.frame_bytes as usize;
        limits.channels_per_connection = self.channels_per_connection as usize;
        limits.commands_per_second = self.commands_per_second;
        limits.commands_burst = self.commands_burst;
        limits.waiting_publishes = self.waiting_publishes as usize;
        limits.waiting_bytes = self.waiting_bytes as usize;
        limits.queue_bytes = self.queue_bytes as usize;
        limits.queue_stall = Duration::from_millis(self.queue_stall_ms);
        limits.resume_events = self.resume_events as usize;
        limits.connections = self.connections as usize;
        limits.connections_per_address = self.connections_per_address as usize;
        limits.connections_per_second = self.connections_per_second;
        limits.dry_run = self.dry_run_limits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        limits: Limits,
    }

    #[test]
    fn without_options_the_settings_stay_as_they_are() {
        let mut config = Config::default();
        Alone::parse_from(["tidings"]).limits.configure(&mut config);
        assert_eq!(config, Config::default());
    }

    #[test]
    fn each_option_is_a_setting() {
        let mut config = Config::default();
        let arguments = "tidings --frame-bytes 1 --channels-per-connection 2 --commands-per-second 3 \
            --commands-burst 4 --waiting-publishes 5 --waiting-bytes 6 --queue-bytes 7 --queue-stall-ms 8 \
            --resume-events 9 --ping-grace-ms 10 --connections 11 --connections-per-address 12 \
            --connections-per-second 13 --dry-run-limits --trusted-proxy ::1 --trusted-proxy 10.0.0.0/8";
        Alone::parse_from(arguments.split_whitespace()).limits.configure(&mut config);
        let mut expected = Config::default();
        expected.ping_grace = Duration::from_millis(10);
        expected.trusted_proxies = vec!["::1".to_owned(), "10.0.0.0/8".to_owned()];
        let limits = &mut expected.limits;
        (limits.frame_bytes, limits.channels_per_connection) = (1, 2);
        (limits.commands_per_second, limits.commands_burst) = (3, 4);
        (limits.waiting_publishes, limits.waiting_bytes) = (5, 6);
        (limits.queue_bytes, limits.queue_stall) = (7, Duration::from_millis(8));
        (limits.resume_events, limits.connections) = (9, 11);
        (limits.connections_per_address, limits.connections_per_second) = (12, 13);
        limits.dry_run = true;
        assert_eq!(config, expected);
    }
}
