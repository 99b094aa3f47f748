//! The Tidings client without I/O: one connection, its channels, its outbox and its reconnects, as a state
//! machine.
//!
//! [`Core`] is told what happens (a call of the application, a frame, a closed socket, a timer that fired) and
//! at what time. It answers with [`Effect`]s, one by one from [`Core::poll`], and with the time at which it
//! wants to be woken ([`Core::deadline`]). Sockets, clocks, timers and randomness are its owner's, and so are
//! listeners: channels, text, payloads and frames to publish are opaque values that the core only passes on.

mod backoff;
mod channels;
mod clock;
mod core;
mod effect;
mod list;
mod liveness;
mod options;
mod outbox;
mod phase;
mod position;
mod requests;
mod token;

pub use crate::core::Core;
pub use backoff::Random;
pub use channels::{ChannelId, ChannelState};
pub use clock::Clock;
pub use effect::{Arrival, Closed, Effect, Outgoing, PageChange, reason};
pub use liveness::{LATE_MS, PROBE_MS};
pub use options::Options;
pub use outbox::Weight;
pub use phase::{STABLE_MS, SocketId, State};
pub use requests::HistoryPage;
pub use tidings_protocol::{MAX_IN_FLIGHT, MAX_REQUESTS};
pub use token::{MAX_REFUSALS, TokenReason};
