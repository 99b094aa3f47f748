//! The wire protocol of Tidings: what gateway and client say to each other, and the rules both follow.
//!
//! One WebSocket per client carries text frames, each one JSON object with one-letter keys. This crate holds
//! the frames as types ([`ClientFrame`], [`ServerFrame`]), how they are read ([`Fields`]) and written, the
//! [`reason`]s and [close codes](CloseCode) on the wire, and the rules for channel names and [`Pattern`]s.
//! It does no I/O and knows no runtime.
//!
//! Frames are generic over their text and their payload, so that the gateway carries an event's data as the
//! bytes it came in (feature `json`) and the client carries it as a JavaScript value, by the same rules.

mod channel;
mod close;
mod fields;
mod frame;
#[cfg(feature = "json")]
mod json;
mod pattern;
pub mod reason;
mod receiver;

pub use channel::{
    MAX_CHANNEL_BYTES, MAX_EVENT_BYTES, MAX_KEY_BYTES, is_valid_channel, is_valid_event, is_valid_key,
};
pub use close::{CloseCode, Reaction};
pub use fields::{Fields, Key, MAX_INTEGER, Tag};
pub use frame::{
    ClientFrame, DEFAULT_PAGE, MAX_IN_FLIGHT, MAX_PAGE, MAX_REQUESTS, Position, Recovery, ServerFrame,
    VERSION, Why,
};
#[cfg(feature = "json")]
pub use json::{JsonFields, Text};
pub use pattern::{Pattern, PatternError, Rules, allowed_by_default};
pub use receiver::Receiver;

/// Where the gateway is mounted unless it is told otherwise.
pub const DEFAULT_PATH: &str = "/_broadcast";

/// Milliseconds between two `ping`s of the gateway, by default.
pub const DEFAULT_KEEPALIVE_MS: u64 = 30_000;

/// How long past the keepalive interval either side waits, in milliseconds, before it takes a silent peer for dead.
pub const KEEPALIVE_GRACE_MS: u64 = 10_000;
