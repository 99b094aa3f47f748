//! What a client can be told, with the defaults and the bounds of each number.

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

/// The largest `outbox_max_age_ms`.
const MAX_AGE_MS: f64 = 240_000.0;

impl Default for Options {
    fn default() -> Self {
        Self {
            max_reconnect_attempts: u32::MAX,
            reconnect_initial_delay_ms: 250,
            reconnect_max_delay_ms: 10_000,
            connect_timeout_ms: 10_000,
            outbox_limit: 200,
            outbox_max_bytes: 1 << 20,
            outbox_max_age_ms: MAX_AGE_MS as u64,
            tokens: false,
        }
    }
}

/// A number among the options, by its public name.
pub struct NumberOption {
    /// What the application calls it.
    pub name: &'static str,
    /// What it may be, in words that follow "must be".
    pub allowed: &'static str,
    min: f64,
    max: f64,
    which: Which,
}

enum Which {
    Attempts,
    InitialDelay,
    MaxDelay,
    ConnectTimeout,
    OutboxLimit,
    OutboxBytes,
    OutboxAge,
}

impl NumberOption {
    /// Takes `value` into `options`; false when it is not allowed.
    pub fn set(&self, options: &mut Options, value: f64) -> bool {
        let allowed = value >= self.min && value <= self.max && (value.is_infinite() || value.fract() == 0.0);
        if allowed {
            match self.which {
                Which::Attempts => options.max_reconnect_attempts = value as u32,
                Which::InitialDelay => options.reconnect_initial_delay_ms = value as u64,
                Which::MaxDelay => options.reconnect_max_delay_ms = value as u64,
                Which::ConnectTimeout => options.connect_timeout_ms = value as u64,
                Which::OutboxLimit => options.outbox_limit = value as usize,
                Which::OutboxBytes => options.outbox_max_bytes = value as usize,
                Which::OutboxAge => options.outbox_max_age_ms = value as u64,
            }
        }
        allowed
    }
}

const COUNT: &str = "a whole number from 0, or Infinity";
const DELAY: &str = "a whole number of milliseconds from 0 to 2147483647";
const TIMEOUT: &str = "a whole number of milliseconds from 1 to 2147483647";
/// The longest that a timer of JavaScript can wait.
const MAX_DELAY_MS: f64 = 2_147_483_647.0;

/// Every number among the options.
pub static NUMBERS: [NumberOption; 7] = [
    NumberOption {
        name: "maxReconnectAttempts",
        allowed: COUNT,
        min: 0.0,
        max: f64::INFINITY,
        which: Which::Attempts,
    },
    NumberOption {
        name: "reconnectInitialDelayMs",
        allowed: DELAY,
        min: 0.0,
        max: MAX_DELAY_MS,
        which: Which::InitialDelay,
    },
    NumberOption {
        name: "reconnectMaxDelayMs",
        allowed: DELAY,
        min: 0.0,
        max: MAX_DELAY_MS,
        which: Which::MaxDelay,
    },
    NumberOption {
        name: "connectTimeoutMs",
        allowed: TIMEOUT,
        min: 1.0,
        max: MAX_DELAY_MS,
        which: Which::ConnectTimeout,
    },
    NumberOption {
        name: "outboxLimit",
        allowed: COUNT,
        min: 0.0,
        max: f64::INFINITY,
        which: Which::OutboxLimit,
    },
    NumberOption {
        name: "outboxMaxBytes",
        allowed: COUNT,
        min: 0.0,
        max: f64::INFINITY,
        which: Which::OutboxBytes,
    },
    NumberOption {
        name: "outboxMaxAgeMs",
        allowed: "a whole number of milliseconds from 1 to 240000",
        min: 1.0,
        max: MAX_AGE_MS,
        which: Which::OutboxAge,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: f64) -> Option<Options> {
        let mut options = Options::default();
        let number = NUMBERS.iter().find(|number| number.name == name).expect("a known name");
        number.set(&mut options, value).then_some(options)
    }

    #[test]
    fn numbers_in_range_are_taken() {
        let default = Options::default;
        for (name, value, expected) in [
            ("maxReconnectAttempts", 0.0, Options { max_reconnect_attempts: 0, ..default() }),
            ("maxReconnectAttempts", 5.0, Options { max_reconnect_attempts: 5, ..default() }),
            ("maxReconnectAttempts", f64::INFINITY, default()),
            ("maxReconnectAttempts", 1e300, default()),
            ("reconnectInitialDelayMs", 0.0, Options { reconnect_initial_delay_ms: 0, ..default() }),
            ("reconnectInitialDelayMs", 100.0, Options { reconnect_initial_delay_ms: 100, ..default() }),
            (
                "reconnectMaxDelayMs",
                2_147_483_647.0,
                Options { reconnect_max_delay_ms: 2_147_483_647, ..default() },
            ),
            ("connectTimeoutMs", 1.0, Options { connect_timeout_ms: 1, ..default() }),
            ("outboxLimit", 0.0, Options { outbox_limit: 0, ..default() }),
            ("outboxLimit", f64::INFINITY, Options { outbox_limit: usize::MAX, ..default() }),
            ("outboxMaxBytes", 1024.0, Options { outbox_max_bytes: 1024, ..default() }),
            ("outboxMaxAgeMs", 1.0, Options { outbox_max_age_ms: 1, ..default() }),
            ("outboxMaxAgeMs", 240_000.0, default()),
        ] {
            assert_eq!(set(name, value), Some(expected), "{name} {value}");
        }
    }

    #[test]
    fn other_numbers_are_refused() {
        for number in &NUMBERS {
            for value in [-1.0, 0.5, f64::NAN, f64::NEG_INFINITY, -0.1] {
                assert_eq!(set(number.name, value), None, "{} {value}", number.name);
            }
        }
        for name in ["reconnectInitialDelayMs", "reconnectMaxDelayMs", "connectTimeoutMs"] {
            for value in [2_147_483_648.0, f64::INFINITY] {
                assert_eq!(set(name, value), None, "{name} {value}");
            }
        }
        assert_eq!(set("connectTimeoutMs", 0.0), None);
        for value in [0.0, 240_001.0, f64::INFINITY] {
            assert_eq!(set("outboxMaxAgeMs", value), None, "{value}");
        }
    }
}
