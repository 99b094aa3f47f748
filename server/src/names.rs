//! What channels, events and idempotency keys may be called; or what is wrong with one, and what is allowed.

use crate::{BroadcastError, Event};
use tidings_protocol::{is_valid_channel, is_valid_event, is_valid_key};

/// How many bytes of an invalid name an error repeats.
const SHOWN: usize = 80;

/// Checks what is to be published.
pub(crate) fn check(channel: &str, event: &Event) -> Result<(), BroadcastError> {
    check_channel(channel)?;
    check_event(event.name())?;
    event.key().map_or(Ok(()), check_key)
}

pub(crate) fn check_channel(channel: &str) -> Result<(), BroadcastError> {
    let allowed = "1 to 200 bytes, printable, without white space";
    if is_valid_channel(channel) { Ok(()) } else { Err(invalid("channel", channel, allowed)) }
}

pub(crate) fn check_event(name: &str) -> Result<(), BroadcastError> {
    let allowed = "1 to 200 bytes without control characters";
    if is_valid_event(name) { Ok(()) } else { Err(invalid("event", name, allowed)) }
}

pub(crate) fn check_key(key: &str) -> Result<(), BroadcastError> {
    let allowed = "1 to 64 bytes without control characters";
    if is_valid_key(key) { Ok(()) } else { Err(invalid("key", key, allowed)) }
}

/// Says what is wrong with a name, of which it repeats no more than its beginning.
fn invalid(what: &str, name: &str, allowed: &str) -> BroadcastError {
    let shown = &name[..name.floor_char_boundary(SHOWN)];
    let rest = if shown.len() < name.len() { "…" } else { "" };
    BroadcastError::Config(format!("invalid {what} {shown:?}{rest}: allowed are {allowed}"))
}
