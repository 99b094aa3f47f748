//! Frames as JSON text. Data stays the bytes it came in: it is neither parsed nor written anew.

use crate::{
    fields::{Fields, Key, MAX_INTEGER, Tag},
    frame::{ClientFrame, Position, Recovery, ServerFrame},
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Text of a frame: borrowed from it, unless it was written with escapes.
pub type Text<'a> = Cow<'a, str>;

/// The values of a received JSON object under the keys that the protocol knows, each as raw JSON text.
/// A key that comes twice counts as it came last.
#[derive(Debug)]
pub struct JsonFields<'a> {
    values: [Option<&'a str>; Key::ALL.len()],
}

impl<'a> JsonFields<'a> {
    /// Reads one JSON object; `None` for any other text.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut fields = Self { values: [None; Key::ALL.len()] };
        let mut json = serde_json::Deserializer::from_str(text);
        json.deserialize_map(&mut fields).and_then(|()| json.end()).ok()?;
        Some(fields)
    }

    fn get(&self, key: Key) -> Option<&'a str> {
        self.values[key as usize]
    }
}

/// Filled in place: it is large to move.
impl<'de> Visitor<'de> for &mut JsonFields<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(KnownKey(key)) = map.next_key()? {
            match key {
                Some(key) => self.values[key as usize] = Some(map.next_value::<&RawValue>()?.get()),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct KnownKey(Option<Key>);

impl<'de> Deserialize<'de> for KnownKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = KnownKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, text: &str) -> Result<KnownKey, E> {
                Ok(KnownKey(Key::parse(text)))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

fn string(raw: &str) -> Option<Text<'_>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// `5.0` and `5e3` are integers as well: JSON, like JavaScript, has one kind of number.
fn integer(raw: &str) -> Option<u64> {
    let whole = |n: f64| (n.fract() == 0.0 && n >= 0.0).then_some(n as u64);
    raw.parse().ok().or_else(|| raw.parse().ok().and_then(whole)).filter(|n| *n <= MAX_INTEGER)
}

impl<'a> Fields for JsonFields<'a> {
    type Text = Text<'a>;
    type Value = &'a str;

    fn tag(&self) -> Option<Tag> {
        Tag::parse(&string(self.get(Key::Tag)?)?)
    }

    fn text(&self, key: Key) -> Option<Text<'a>> {
        string(self.get(key)?)
    }

    fn name(&self, key: Key) -> Option<Text<'a>> {
        self.text(key).filter(|text| !text.is_empty())
    }

    fn integer(&self, key: Key) -> Option<u64> {
        integer(self.get(key)?)
    }

    fn flag(&self, key: Key) -> Option<bool> {
        self.get(key)?.parse().ok()
    }

    fn null() -> &'a str {
        "null"
    }

    fn value(&self, key: Key) -> Option<&'a str> {
        self.get(key)
    }

    fn object(&self, key: Key) -> Option<Self> {
        Self::parse(self.get(key)?)
    }
}

impl<'a> ClientFrame<Text<'a>, &'a str> {
    /// Reads a text frame. `None` means that it is dropped: see [`ClientFrame::read`].
    pub fn parse(text: &'a str) -> Option<Self> {
        Self::read(&JsonFields::parse(text)?)
    }
}

impl<'a> ServerFrame<Text<'a>, &'a str> {
    /// Reads a text frame. `None` means that it is dropped: see [`ServerFrame::read`].
    pub fn parse(text: &'a str) -> Option<Self> {
        Self::read(&JsonFields::parse(text)?)
    }
}

/// Writes one frame, key by key.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    fn new(out: &'a mut Vec<u8>, tag: Tag) -> Self {
        out.extend_from_slice(b"{\"t\":\"");
        out.extend_from_slice(tag.as_str().as_bytes());
        out.push(b'"');
        Self { out }
    }

    fn key(&mut self, key: Key) -> &mut Vec<u8> {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_str().as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    fn text(mut self, key: Key, text: &str) -> Self {
        write_string(self.key(key), text);
        self
    }

    fn maybe_text(self, key: Key, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(key, text),
            None => self,
        }
    }

    fn raw(mut self, key: Key, json: &str) -> Self {
        self.key(key).extend_from_slice(json.as_bytes());
        self
    }

    fn maybe_raw(self, key: Key, json: Option<&str>) -> Self {
        match json {
            Some(json) => self.raw(key, json),
            None => self,
        }
    }

    fn integer(mut self, key: Key, n: u64) -> Self {
        serde_json::to_writer(self.key(key), &n).expect("writing a number to memory cannot fail");
        self
    }

    fn maybe_integer(self, key: Key, n: Option<u64>) -> Self {
        match n {
            Some(n) => self.integer(key, n),
            None => self,
        }
    }

    fn position<T: AsRef<str>>(self, position: &Position<T>) -> Self {
        self.text(Key::Epoch, position.epoch.as_ref()).integer(Key::Offset, position.offset)
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    // Without an early end, so that it is a few vector instructions.
    let escaped = text.bytes().fold(false, |any, b| any | (b < 0x20) | (b == b'"') | (b == b'\\'));
    if !escaped {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
    }
}

impl<T: AsRef<str>, V: AsRef<str>> ClientFrame<T, V> {
    /// Appends the frame to `out` as JSON text. `V` is JSON text already.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sub { channel, resume } => {
                let mut writer = Writer::new(out, Tag::Sub).text(Key::Channel, channel.as_ref());
                if let Some(Position { epoch, offset }) = resume {
                    let object = writer.key(Key::Resume);
                    object.extend_from_slice(b"{\"ep\":");
                    write_string(object, epoch.as_ref());
                    object.extend_from_slice(format!(",\"o\":{offset}}}").as_bytes());
                }
                writer
            }
            Self::Unsub { channel } => Writer::new(out, Tag::Unsub).text(Key::Channel, channel.as_ref()),
            Self::Pub { channel, event, data, request, key } => Writer::new(out, Tag::Pub)
                .text(Key::Channel, channel.as_ref())
                .text(Key::Event, event.as_ref())
                .maybe_raw(Key::Data, data.as_ref().map(AsRef::as_ref))
                .maybe_integer(Key::Number, *request)
                .maybe_text(Key::IdempotencyKey, key.as_ref().map(AsRef::as_ref)),
            Self::Pong => Writer::new(out, Tag::Pong),
            Self::Presence { channel, info } => {
                Writer::new(out, Tag::Pres).text(Key::Channel, channel.as_ref()).raw(Key::Info, info.as_ref())
            }
            Self::Auth { token } => Writer::new(out, Tag::Auth).text(Key::Token, token.as_ref()),
            Self::History { channel, request, limit, before } => Writer::new(out, Tag::Hist)
                .text(Key::Channel, channel.as_ref())
                .integer(Key::Number, *request)
                .maybe_integer(Key::Limit, *limit)
                .maybe_integer(Key::Before, *before),
        }
        .end();
    }

    /// The frame as JSON text.
    pub fn to_json(&self) -> String {
        text(|out| self.encode(out))
    }
}

impl<T: AsRef<str>, V: AsRef<str>> ServerFrame<T, V> {
    /// Appends the frame to `out` as JSON text. `V` is JSON text already.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Welcome { id, version, keepalive_ms } => Writer::new(out, Tag::Welcome)
                .text(Key::ClientId, id.as_ref())
                .maybe_integer(Key::Version, *version)
                .maybe_integer(Key::Keepalive, *keepalive_ms),
            Self::Ok { channel, position, recovery } => {
                let mut writer = Writer::new(out, Tag::Ok).text(Key::Channel, channel.as_ref());
                if let Some(position) = position {
                    writer = writer.position(position);
                }
                match recovery {
                    Some(Recovery::Recovered { count }) => {
                        writer.raw(Key::Recovered, "true").integer(Key::Number, *count)
                    }
                    Some(Recovery::Lost { why }) => {
                        writer.raw(Key::Recovered, "false").text(Key::Why, why.as_ref())
                    }
                    None => writer,
                }
            }
            Self::Err { channel, reason, request } => Writer::new(out, Tag::Err)
                .text(Key::Channel, channel.as_ref())
                .text(Key::Reason, reason.as_ref())
                .maybe_integer(Key::Number, *request),
            Self::Msg { channel, event, data, id, offset, previous } => Writer::new(out, Tag::Msg)
                .text(Key::Channel, channel.as_ref())
                .text(Key::Event, event.as_ref())
                .raw(Key::Data, data.as_ref())
                .text(Key::EventId, id.as_ref())
                .maybe_integer(Key::Offset, *offset)
                .maybe_integer(Key::Previous, *previous),
            Self::Ping => Writer::new(out, Tag::Ping),
            Self::Gap { channel, position, why } => Writer::new(out, Tag::Gap)
                .text(Key::Channel, channel.as_ref())
                .position(position)
                .text(Key::Why, why.as_ref()),
            Self::Pos { channel, offset } => {
                Writer::new(out, Tag::Pos).text(Key::Channel, channel.as_ref()).integer(Key::Offset, *offset)
            }
            Self::Ack { request, id, offset } => Writer::new(out, Tag::Ack)
                .integer(Key::Number, *request)
                .text(Key::EventId, id.as_ref())
                .maybe_integer(Key::Offset, *offset),
            Self::Presence { channel, joined, left, updated } => Writer::new(out, Tag::Pres)
                .text(Key::Channel, channel.as_ref())
                .maybe_raw(Key::Joined, joined.as_ref().map(AsRef::as_ref))
                .maybe_raw(Key::Left, left.as_ref().map(AsRef::as_ref))
                .maybe_raw(Key::Updated, updated.as_ref().map(AsRef::as_ref)),
            Self::Auth { expires } => Writer::new(out, Tag::Auth).maybe_integer(Key::Expires, *expires),
            Self::Bye { code, after_ms } => {
                Writer::new(out, Tag::Bye).integer(Key::Code, *code).integer(Key::After, *after_ms)
            }
            Self::History { channel, request, position, events } => Writer::new(out, Tag::Hist)
                .text(Key::Channel, channel.as_ref())
                .integer(Key::Number, *request)
                .position(position)
                .raw(Key::Events, events.as_ref()),
        }
        .end();
    }

    /// The frame as JSON text.
    pub fn to_json(&self) -> String {
        text(|out| self.encode(out))
    }
}

fn text(encode: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    encode(&mut out);
    String::from_utf8(out).expect("a frame is made of strings")
}
