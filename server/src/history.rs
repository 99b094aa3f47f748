//! A channel's past: how much of it is kept, and how it is read.

use crate::{BroadcastError, Delivery, Position, control};
use std::time::Duration;
use tidings_protocol::{Pattern, Rules};

/// How much of a channel's past is kept: what is beyond any of these goes, the oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// How many events. Default 256; 0 keeps none, and the channel then has no positions and recovers nothing.
    pub events: usize,
    /// How old they may be. Default 5 minutes.
    pub age: Duration,
    /// How many bytes of names and data. Default 4 MiB.
    pub bytes: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { events: 256, age: Duration::from_secs(300), bytes: 4 * 1024 * 1024 }
    }
}

impl History {
    /// No history.
    pub const OFF: Self = Self { events: 0, age: Duration::ZERO, bytes: 0 };

    /// Whether nothing is kept.
    pub const fn is_off(&self) -> bool {
        self.events == 0 || self.bytes == 0 || self.age.is_zero()
    }
}

/// How much is kept of each channel, by pattern. Exact beats prefix and a longer prefix beats a shorter one.
///
/// Two channels have rules that nothing changes: those by which gateways tell each other whom to
/// [disconnect](crate::Gateway::disconnect) (256 events of five minutes) and whom to lock out
/// ([revoke](crate::Gateway::revoke): 1,000 events of a day). A backplane that drops the old events of all channels at the
/// same time may drop these sooner.
#[derive(Clone, Debug, Default)]
pub struct Histories {
    rules: Rules<History>,
    otherwise: History,
}

impl Histories {
    /// Keeps `history` of every channel that no pattern fits.
    pub fn new(history: History) -> Self {
        Self { rules: Rules::default(), otherwise: history }
    }

    /// Keeps nothing of any channel.
    pub fn off() -> Self {
        Self::new(History::OFF)
    }

    /// Keeps `history` of the channels of `pattern`, an exact name or a prefix with one trailing `*`.
    ///
    /// # Errors
    /// [`BroadcastError::Config`] when `pattern` is none.
    pub fn with(mut self, pattern: &str, history: History) -> Result<Self, BroadcastError> {
        let pattern: Pattern = pattern
            .parse()
            .map_err(|error: tidings_protocol::PatternError| BroadcastError::Config(error.to_string()))?;
        self.set(pattern, history);
        Ok(self)
    }

    /// The same with a pattern that was read before.
    pub fn set(&mut self, pattern: Pattern, history: History) {
        self.rules.insert(pattern, history);
    }

    /// The most that is kept of any channel, by each measure.
    #[cfg(feature = "nats")]
    pub(crate) fn largest(&self) -> History {
        self.rules.values().fold(self.otherwise, |most, history| History {
            events: most.events.max(history.events).max(control::FEWEST),
            age: most.age.max(history.age),
            bytes: most.bytes.max(history.bytes),
        })
    }

    /// How much is kept of `channel`.
    pub fn get(&self, channel: &str) -> History {
        control::kept(channel).unwrap_or_else(|| *self.rules.get(channel).unwrap_or(&self.otherwise))
    }

    /// The longest time for which anything is kept.
    #[cfg(feature = "postgres")]
    pub(crate) fn longest(&self) -> Duration {
        self.rules.values().fold(self.otherwise.age, |longest, history| longest.max(history.age))
    }
}

/// Which part of a channel's past to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// The first `limit` events above `offset`.
    After {
        /// Only events above this offset.
        offset: u64,
        /// At most this many.
        limit: usize,
    },
    /// The last `limit` events, or of those below `offset`.
    Before {
        /// Only events below this offset; `None` for all.
        offset: Option<u64>,
        /// At most this many.
        limit: usize,
    },
}

/// A part of a channel's past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the stream ended when the page was read.
    pub end: Position,
    /// Every event above this offset is still kept: what is not above it may be gone.
    pub floor: u64,
    /// The events, oldest first, each with its place. Nothing is missing between two of them.
    pub events: Vec<Delivery>,
    /// Whether the range has more events than fitted in its limit.
    pub more: bool,
}

/// What the name, the data, the id and the offset of an event of the past are called.
pub(crate) type EntryKeys = [&'static str; 4];

/// As the wire has it.
const WIRE: EntryKeys = ["e", "d", "i", "o"];

impl Page {
    /// The events as a JSON array, the last ones of them that fit in `limit` bytes, and at least one.
    pub(crate) fn to_json(&self, limit: usize) -> String {
        self.to_json_with(limit, WIRE)
    }

    /// The same with other keys.
    pub(crate) fn to_json_with(&self, limit: usize, keys: EntryKeys) -> String {
        let mut entries: Vec<String> = Vec::with_capacity(self.events.len());
        let mut bytes = 2;
        for event in self.events.iter().rev() {
            let entry = entry(event, keys);
            bytes += entry.len() + 1;
            if bytes > limit && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        entries.reverse();
        format!("[{}]", entries.join(","))
    }
}

/// An event of the past as JSON. Its data, which is JSON, is not looked at.
fn entry(event: &Delivery, [name_key, data_key, id_key, offset_key]: EntryKeys) -> String {
    let name = serde_json::to_string(event.event.name()).expect("a string is JSON");
    let data = event.event.data().as_str();
    let id = event.id;
    let offset = event.place.as_ref().map_or(0, |place| place.position.offset);
    format!(r#"{{"{name_key}":{name},"{data_key}":{data},"{id_key}":"{id}","{offset_key}":{offset}}}"#)
}
