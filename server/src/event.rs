//! Events: what is published, and what a channel's subscribers get.

use serde::Serialize;
use serde_json::value::RawValue;
use std::{fmt, sync::Arc};
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

/// An event to publish: its name and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub(crate) name: Arc<str>,
    pub(crate) data: RawJson,
}

impl Event {
    /// An event named `name` (1 to 200 bytes, no control characters) that carries `data`:
    /// `Event::new("order.paid", json!({"amount": 4900}))`.
    pub fn new(name: impl Into<Arc<str>>, data: impl Into<RawJson>) -> Self {
        Self { name: name.into(), data: data.into() }
    }

    /// The event's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The event's data.
    pub fn data(&self) -> &RawJson {
        &self.data
    }
}

/// What a broadcaster says of an accepted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The event's id, as its subscribers see it.
    pub id: Ulid,
}

impl Published {
    /// For broadcasters: the event was accepted under this id.
    pub fn new(id: Ulid) -> Self {
        Self { id }
    }
}

/// An event on its way to subscribers.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The channel.
    pub channel: Arc<str>,
    /// The event.
    pub event: Event,
    /// Its id.
    pub id: Ulid,
}
