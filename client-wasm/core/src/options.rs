//! What a client can be told, with the default of each number. Its owner sees to the bounds.

/// How the core behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many attempts to reconnect may fail in a row. Default: no limit (`u32::MAX`).
    pub max_reconnect_attempts: u32,
    /// The longest wait before the first attempt to reconnect, in milliseconds; it doubles with each. Default 250.
    pub reconnect_initial_delay_ms: u64,
    /// The longest wait before any attempt, in milliseconds. Default 10,000.
    pub reconnect_max_delay_ms: u64,
    /// How long a socket may take to open and be welcomed, in milliseconds. Default 10,000.
    pub connect_timeout_ms: u64,
    /// How many frames wait for a connection; then the oldest is dropped. Default 200.
    pub outbox_limit: usize,
    /// How many bytes wait for a connection; then the oldest is dropped. Default 1 MiB.
    pub outbox_max_bytes: usize,
    /// How long a publish may wait for a connection or its acknowledgement, in milliseconds. Default and maximum
    /// 240,000: a gateway keeps idempotency keys for 5 minutes, and a repeat has to come well before.
    pub outbox_max_age_ms: u64,
    /// Whether the application gives tokens. Default: no.
    pub tokens: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_reconnect_attempts: u32::MAX,
            reconnect_initial_delay_ms: 250,
            reconnect_max_delay_ms: 10_000,
            connect_timeout_ms: 10_000,
            outbox_limit: 200,
            outbox_max_bytes: 1 << 20,
            outbox_max_age_ms: 240_000,
            tokens: false,
        }
    }
}
