//! What a channel is called in Redis.

/// Prefixes of the keys and of the pub/sub channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) keys: String,
    pub(super) channels: String,
}

impl Names {
    /// The hash with the channel's epoch and end.
    pub(super) fn meta(&self, channel: &str) -> String {
        format!("{}{{{channel}}}.m", self.keys)
    }

    /// The stream of the channel's events.
    pub(super) fn stream(&self, channel: &str) -> String {
        format!("{}{{{channel}}}.s", self.keys)
    }

    /// What was said of the publish with an idempotency key. Its length makes the name unambiguous, whatever characters
    /// channel and key have.
    pub(super) fn said(&self, channel: &str, key: &str) -> String {
        format!("{}{{{channel}}}.k.{key}.{}", self.keys, key.len())
    }

    /// The pub/sub channel.
    pub(super) fn subject(&self, channel: &str) -> String {
        format!("{}{channel}", self.channels)
    }

    /// The channel of a pub/sub channel; `None` when it is none of ours.
    pub(super) fn channel<'a>(&self, subject: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(subject).ok()?.strip_prefix(&*self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_fall_together() {
        let names = Names { keys: "t:".into(), channels: "c.".into() };
        let channels = ["a", "{a}", "a}.m", "a}.k.x", "a}.k.x}.m", "a}.s"];
        let mut all = Vec::new();
        for channel in channels {
            all.extend([names.meta(channel), names.stream(channel)]);
            all.extend(["x", "x}.k.y", "y", "x}.m", "}.m", ""].map(|key| names.said(channel, key)));
            assert_eq!(names.channel(names.subject(channel).as_bytes()), Some(channel));
        }
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(names.channel(b"other"), None);
    }
}
