//! Why a `sub` or a `pub` failed: the exact strings of `r` in an `err` frame.

/// The authorizer said no, on `sub` or on `pub`.
pub const UNAUTHORIZED: &str = "unauthorized";
/// The authorizer itself failed.
pub const AUTHORIZATION_FAILED: &str = "authorization failed";
/// Client publishes are not allowed here, or that check failed.
pub const PUBLISH_DENIED: &str = "publish denied";
/// The backplane refused the event.
pub const PUBLISH_FAILED: &str = "publish failed";
/// The backplane refused the subscription.
pub const SUBSCRIBE_FAILED: &str = "subscribe failed";
/// Not a channel name: see [`crate::is_valid_channel`].
pub const INVALID_CHANNEL: &str = "invalid channel";
/// Not an event name: see [`crate::is_valid_event`].
pub const INVALID_EVENT: &str = "invalid event";
/// The connection holds as many channels as it may.
pub const TOO_MANY_CHANNELS: &str = "too many channels";
/// Version 2: not an idempotency key: see [`crate::is_valid_key`].
pub const INVALID_KEY: &str = "invalid key";
/// Version 2: a page of history has 1 to [`crate::MAX_PAGE`] events.
pub const INVALID_LIMIT: &str = "invalid limit";
/// Version 2: the channel has no history.
pub const NO_HISTORY: &str = "no history";
/// Version 2: the channel's history could not be read.
pub const HISTORY_FAILED: &str = "history failed";
/// Version 2: too many history requests of the connection wait already.
pub const TOO_MANY_REQUESTS: &str = "too many requests";
