//! Channels and keys as one token of a NATS subject.

use crate::event::event_id;
use std::fmt::Write;

/// The subjects of one backplane.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    prefix: String,
}

impl Subjects {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What the stream of the channels with history takes, and what it sends on.
    pub(super) fn kept(&self) -> [String; 2] {
        [format!("{}.in.>", self.prefix), format!("{}.out.>", self.prefix)]
    }

    /// The same of the channels without history.
    pub(super) fn live(&self) -> [String; 2] {
        [format!("{}.live.>", self.prefix), format!("{}.out.>", self.prefix)]
    }

    /// Where events of a channel with history are published.
    pub(super) fn to_kept(&self, channel: &str) -> String {
        format!("{}.in.{}", self.prefix, token(channel))
    }

    /// Where an event of a channel without history is published: one subject for each key, so that the last event of each
    /// is kept as long as its key.
    pub(super) fn to_live(&self, channel: &str, key: Option<&str>) -> String {
        let key = key.map_or_else(|| "-".to_owned(), |key| event_id(&format!("key {key}")).to_string());
        format!("{}.live.{}.{key}", self.prefix, token(channel))
    }

    /// Where the events of a channel arrive.
    pub(super) fn out(&self, channel: &str, has_history: bool) -> String {
        let rest = if has_history { "" } else { ".*" };
        format!("{}.out.{}{rest}", self.prefix, token(channel))
    }
}

/// The id under which the server knows an event with a key: its stream keeps keys of all channels.
pub(super) fn message_id(channel: &str, key: &str) -> String {
    format!("{}.{}", token(channel), token(key))
}

/// Letters, digits, `_` and `-` as they are, each other byte as `=XX`.
fn token(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut token, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => token.push(byte.into()),
            _ => {
                let _ = write!(token, "={byte:02X}");
            }
        }
        token
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_one_token() {
        let subjects = Subjects::new("tidings");
        assert_eq!(subjects.to_kept("room:1"), "tidings.in.room=3A1");
        assert_eq!(subjects.out("a.b", true), "tidings.out.a=2Eb");
        assert_eq!(subjects.out("a*", false), "tidings.out.a=2A.*");
        assert_eq!(subjects.to_live("ä", None), "tidings.live.=C3=A4.-");
        assert_ne!(token("a=2Eb"), token("a.b"));
        assert_eq!(message_id("a.b", "k\r\n"), "a=2Eb.k=0D=0A");
    }
}
