//! The gateway's settings.

use std::time::Duration;
use tidings_protocol::{DEFAULT_KEEPALIVE_MS, DEFAULT_PATH, KEEPALIVE_GRACE_MS, MAX_IN_FLIGHT, MAX_REQUESTS};

/// The gateway's settings. [`Default`] is what each field says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Where the gateway is mounted. Default `/_broadcast`.
    pub path: String,
    /// Time between two pings to a client; zero turns them off. Default 30 s.
    pub ping_interval: Duration,
    /// How long past `ping_interval` a silent client is waited for before it is closed with 4001, and never shorter behind
    /// its first ping, nor behind a time in which the gateway itself stood still. Default 10 s.
    pub ping_grace: Duration,
    /// Origins of pages that may connect, such as `https://app.example.com`, besides pages of the gateway's own
    /// host; `*` allows every one. A request without an `Origin` header comes from no page and is allowed.
    /// Default: none.
    pub allowed_origins: Vec<String>,
    /// How long a stream of server-sent events is silent before a comment is sent on it, by which proxies see that it is
    /// alive, and the gateway finds out that a client has gone. Default 15 s.
    pub sse_heartbeat: Duration,
    /// The longest time over which clients are sent away when the gateway drains. Default 30 s.
    pub drain: Duration,
    /// Proxies whose `X-Forwarded-For` is believed, as addresses or networks such as `10.0.0.0/8`. Where a connection
    /// comes from matters to [`Limits::connections_per_address`] alone. Default: none.
    pub trusted_proxies: Vec<String>,
    /// What becomes of a client whose subject has expired: see [`Subject::with_expiry`](crate::Subject::with_expiry).
    /// Default [`Expiry::Close`].
    pub expiry: Expiry,
    /// With [`Expiry::Close`], how long past its expiry a client stays what it was, so that it can send a new token. A
    /// stream of server-sent events has no way to send one, and no such time. Default 25 s.
    pub expiry_grace: Duration,
    /// What one client, and all of them together, may use.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: DEFAULT_PATH.to_owned(),
            ping_interval: Duration::from_millis(DEFAULT_KEEPALIVE_MS),
            ping_grace: Duration::from_millis(KEEPALIVE_GRACE_MS),
            allowed_origins: Vec::new(),
            sse_heartbeat: Duration::from_secs(15),
            drain: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            expiry: Expiry::default(),
            expiry_grace: Duration::from_secs(25),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// What is wrong with it, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_graphic() && !"{}?#".contains(c);
        if !self.path.starts_with('/') || !self.path.chars().all(plain) {
            return Err(format!(
                "invalid path {:?}: allowed is an absolute path such as {DEFAULT_PATH}",
                self.path
            ));
        }
        for origin in &self.allowed_origins {
            crate::origin::check(origin)?;
        }
        for proxy in &self.trusted_proxies {
            crate::peers::network(proxy)?;
        }
        if self.sse_heartbeat.is_zero() {
            return Err("invalid sse_heartbeat 0: allowed is 1 ms or more".to_owned());
        }
        let limits = &self.limits;
        for (name, value) in [
            ("frame_bytes", limits.frame_bytes),
            ("channels_per_connection", limits.channels_per_connection),
            ("waiting_publishes", limits.waiting_publishes),
            ("waiting_bytes", limits.waiting_bytes),
            ("queue_bytes", limits.queue_bytes),
            ("queue_stall", limits.queue_stall.as_millis() as usize),
            ("resume_events", limits.resume_events),
            ("connections", limits.connections),
            ("connections_per_second", limits.connections_per_second as usize),
            ("api_body_bytes", limits.api_body_bytes),
        ] {
            if value == 0 {
                return Err(format!("invalid limit {name} = 0: allowed is 1 or more"));
            }
        }
        let (least, channels) = (limits.breath(), limits.channels_per_connection);
        if limits.commands_per_second > 0 && u64::from(limits.commands_burst) < least {
            return Err(format!(
                "invalid limit commands_burst = {}: allowed is {least} or more, for a client that comes back sends so \
                 many at once: channels_per_connection = {channels}, {MAX_IN_FLIGHT} publishes, {MAX_REQUESTS} requests \
                 for history and a token",
                limits.commands_burst
            ));
        }
        Ok(())
    }
}

/// What becomes of a client whose subject has expired. A stream of server-sent events ends at the expiry in any case; an
/// `EventSource` comes back by itself, and is looked at anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// It is closed with 4005, [`Config::expiry_grace`] later. A client of ours comes back, with a new token.
    #[default]
    Close,
    /// It becomes nobody: its channels are authorized again, and those that nobody may use are left with `err`.
    Downgrade,
}

/// What one client, and all of them together, may use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest message from a client, in bytes; above it the connection is closed with 1009. Default 64 KiB.
    pub frame_bytes: usize,
    /// Channels of one connection; above it `too many channels`. Default 128.
    pub channels_per_connection: usize,
    /// Commands of one connection per second, for as long as it goes on. A command is whatever a client sends but its answers
    /// to pings. A client that has its publishes acknowledged is paced: what is near the limit is answered later, and with 256
    /// unanswered publishes it waits. Others, and all that is no publish, are closed with 4029 above it. 0 turns the limit
    /// off. Default 100.
    pub commands_per_second: u32,
    /// Commands that a connection may send at once, when it was silent before. Default 512, and at least what a client of
    /// ours sends in one breath when it comes back: `channels_per_connection`, 256 publishes, 32 `hist`, an `auth`; 417 by
    /// default. One of version 1, which may subscribe twice, sends 456.
    pub commands_burst: u32,
    /// Publishes of one connection that wait for the application or the backplane; above it the connection is
    /// closed with 4029. Default 4,096: more than a client can send before the first one is looked at.
    pub waiting_publishes: usize,
    /// The same in bytes of data. Default 2 MiB.
    pub waiting_bytes: usize,
    /// Bytes queued for one slow connection; above it the connection is closed with 4008. Default 1 MiB.
    pub queue_bytes: usize,
    /// How long a queue may stand still, while the gateway does not, before the connection is closed with 4008. Default 10 s.
    pub queue_stall: Duration,
    /// Missed events that a client is sent when it comes back, as long as they fit in half of `queue_bytes`; with more
    /// it is told that it cannot have them. Default 1,000.
    pub resume_events: usize,
    /// Connections at the same time; above it HTTP 503. Default 100,000.
    pub connections: usize,
    /// Connections at the same time from one address, and in IPv6 from one network of 64 bits; above it HTTP 503. Behind a
    /// proxy the address is the proxy's, unless it is one of [`Config::trusted_proxies`]. 0, the default, turns the limit
    /// off.
    pub connections_per_address: usize,
    /// New connections per second; above it HTTP 503. A gateway that drains sends its clients away no faster than this
    /// either. Default 1,000.
    pub connections_per_second: u32,
    /// Whether `commands_per_second` and `connections_per_address` are only watched: what is above them is counted
    /// (`tidings_dry_run_excess_total`) and logged, and let through. Default: no.
    pub dry_run: bool,
    /// Largest body of a request to the HTTP API, in bytes; above it HTTP 413. The data of one event may have no more than
    /// half of `queue_bytes` there: more could not be sent to a client that comes back. Default 1 MiB.
    pub api_body_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            channels_per_connection: 128,
            commands_per_second: 100,
            commands_burst: 512,
            waiting_publishes: 4_096,
            waiting_bytes: 2 * 1024 * 1024,
            queue_bytes: 1024 * 1024,
            queue_stall: Duration::from_secs(10),
            resume_events: 1_000,
            connections: 100_000,
            connections_per_address: 0,
            connections_per_second: 1_000,
            dry_run: false,
            api_body_bytes: 1024 * 1024,
        }
    }
}

impl Limits {
    /// The most commands that a client of ours sends in one breath.
    fn breath(&self) -> u64 {
        (self.channels_per_connection as u64).saturating_add((MAX_IN_FLIGHT + MAX_REQUESTS + 1) as u64)
    }

    /// How many commands may be in a connection's bucket before answers to its publishes are held back: a client that does
    /// nothing more than this allows never exceeds the burst, whatever it sends besides its publishes in one breath.
    pub(crate) fn paced_above(&self) -> u64 {
        u64::from(self.commands_burst).saturating_sub(self.breath())
    }

    /// The most bytes of the past that go to a client at once.
    pub(crate) fn resume_bytes(&self) -> usize {
        self.queue_bytes / 2
    }
}
