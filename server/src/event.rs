//! Events: what is published, and what a channel's subscribers get.

use serde::Serialize;
use serde_json::value::RawValue;
use std::{fmt, sync::Arc};
use tidings_protocol::ServerFrame;
use ulid::Ulid;

/// Valid JSON text, carried as it is: never parsed, never written anew. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct RawJson(Arc<str>);

impl RawJson {
    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `json` must be one JSON value: it comes out of a parsed frame.
    pub(crate) fn trusted(json: &str) -> Self {
        Self(json.into())
    }

    /// Serializes `value`.
    ///
    /// # Errors
    /// When `value` cannot be JSON: a map whose keys are no strings, or a `Serialize` that fails.
    pub fn serialize(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|json| Self(json.into()))
    }
}

impl AsRef<str> for RawJson {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<serde_json::Value> for RawJson {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string().into())
    }
}

impl From<Box<RawValue>> for RawJson {
    fn from(value: Box<RawValue>) -> Self {
        Self(value.get().into())
    }
}

/// A place in a channel's stream of events: an epoch, and an offset that can be compared within it.
pub type Position = tidings_protocol::Position<Arc<str>>;

/// An event to publish: its name and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub(crate) name: Arc<str>,
    pub(crate) data: RawJson,
    pub(crate) key: Option<Arc<str>>,
}

impl Event {
    /// An event named `name` (1 to 200 bytes, no control characters) that carries `data`:
    /// `Event::new("order.paid", json!({"amount": 4900}))`.
    pub fn new(name: impl Into<Arc<str>>, data: impl Into<RawJson>) -> Self {
        Self { name: name.into(), data: data.into(), key: None }
    }

    /// With an idempotency key: within five minutes, an event with the same key on the same channel is not published
    /// again but acknowledged like the first one.
    pub fn with_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The event's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The event's data.
    pub fn data(&self) -> &RawJson {
        &self.data
    }

    /// The idempotency key, when it has one.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// What a broadcaster says of an accepted event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The event's id, as its subscribers see it.
    pub id: Ulid,
    /// Where it is in the channel's stream; `None` on a channel without history.
    pub position: Option<Position>,
}

impl Published {
    /// For broadcasters: the event was accepted under this id, at this place.
    pub fn new(id: Ulid, position: Option<Position>) -> Self {
        Self { id, position }
    }
}

/// An event's place in its channel's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its own position.
    pub position: Position,
    /// The offset of the event before it, or of the stream's beginning.
    pub previous: u64,
}

/// An event on its way to subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The channel.
    pub channel: Arc<str>,
    /// The event.
    pub event: Event,
    /// Its id.
    pub id: Ulid,
    /// Its place; `None` on a channel without history.
    pub place: Option<Place>,
}

impl Delivery {
    /// The `msg` frame's payload of this event, with `encode` making of it what is sent.
    pub(crate) fn frame<R>(&self, encode: impl FnOnce(ServerFrame<&str, &str>) -> R) -> R {
        let mut text = [0; ulid::ULID_LEN];
        let place = self.place.as_ref().map(|place| (place.position.offset, place.previous));
        encode(ServerFrame::Msg {
            channel: &self.channel,
            event: self.event.name(),
            data: self.event.data().as_str(),
            id: self.id.array_to_str(&mut text),
            offset: place.map(|(offset, _)| offset),
            previous: place.and_then(|(offset, previous)| (previous + 1 != offset).then_some(previous)),
        })
    }
}

/// The id that another program has given to an event: the same one on every node.
#[cfg(any(feature = "redis", feature = "nats", feature = "postgres"))]
pub(crate) fn event_id(text: &str) -> Ulid {
    if let Ok(id) = Ulid::from_string(text) {
        return id;
    }
    let hex: String = text.chars().filter(|c| *c != '-').collect();
    if let (32, Ok(uuid)) = (hex.len(), u128::from_str_radix(&hex, 16)) {
        return uuid.into();
    }
    // FNV-1a of 128 bits: any spread will do that is the same everywhere.
    let mix = |hash: u128, byte: u8| (hash ^ u128::from(byte)).wrapping_mul((1 << 88) + 0x13b);
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, mix).into()
}

#[cfg(all(test, any(feature = "redis", feature = "nats", feature = "postgres")))]
mod tests {
    use super::*;

    #[test]
    fn ids_of_other_programs_are_the_same_everywhere() {
        let ulid = Ulid::generate();
        assert_eq!(event_id(&ulid.to_string()), ulid);
        let uuid = event_id("0190a0b1-c2d3-7e4f-8a9b-0c1d2e3f4a5b");
        assert_eq!(u128::from(uuid), 0x0190_a0b1_c2d3_7e4f_8a9b_0c1d_2e3f_4a5b);
        assert_eq!(event_id("order-1"), event_id("order-1"));
        assert_ne!(event_id("order-1"), event_id("order-2"));
    }
}
