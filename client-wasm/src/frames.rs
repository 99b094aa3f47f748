//! Frames as JavaScript values: read from parsed JSON by the rules of the protocol, written by `JSON.stringify`.

use crate::{
    channel::Channel,
    errors,
    js::{self, Deferred, Numbers, Properties},
};
use js_sys::{JsString, Map, Object};
use std::rc::Rc;
use tidings_client_core::{ChannelId, Outgoing, Weight};
use tidings_protocol::{Fields, Key, MAX_INTEGER, Position, ServerFrame, Tag};
use wasm_bindgen::prelude::*;

/// The frames that the core acts on, numbered from 1. Others are dropped before they are read, and no code for
/// reading them is compiled.
const fn handled(number: u32) -> Option<Tag> {
    Some(match number {
        MSG => Tag::Msg,
        2 => Tag::Welcome,
        3 => Tag::Ok,
        4 => Tag::Err,
        5 => Tag::Ping,
        6 => Tag::Gap,
        7 => Tag::Pos,
        8 => Tag::Ack,
        9 => Tag::Bye,
        10 => Tag::Hist,
        _ => return None,
    })
}

/// The number of the tag of an event.
pub(crate) const MSG: u32 = 1;

/// Keys and tags as JavaScript strings, made once.
pub(crate) struct Frames {
    keys: [JsValue; Key::ALL.len()],
    /// From a tag's text to its number in [`handled`].
    pub(crate) tags: Numbers,
    /// The beginning of this client's idempotency keys; the number of the request follows.
    key: JsString,
}

/// An event as it was received.
pub(crate) struct Event<'a> {
    pub(crate) frame: &'a JsValue,
    pub(crate) channel: Option<ChannelId>,
    pub(crate) name: &'a JsValue,
    pub(crate) data: &'a JsValue,
    pub(crate) offset: Option<u64>,
    pub(crate) previous: Option<u64>,
}

/// A publish that is ready to be sent: its text is the frame of version 1, its promise tells what became of it.
pub(crate) type Publish = Deferred;

impl Weight for Publish {
    fn bytes(&self) -> usize {
        js::bytes(self) as usize
    }
}

impl Frames {
    pub(crate) fn new() -> Self {
        let tags = Map::new();
        for (number, tag) in (MSG..).map_while(|number| Some((number, handled(number)?))) {
            tags.set(&tag.as_str().into(), &number.into());
        }
        let tags = tags.unchecked_into();
        Self { keys: std::array::from_fn(|index| Key::ALL[index].as_str().into()), tags, key: js::unique() }
    }

    /// The id of an event.
    pub(crate) fn id(&self, frame: &JsValue) -> JsValue {
        frame.unchecked_ref::<Properties>().get(&self.keys[Key::EventId as usize])
    }

    /// Reads what a message held; `None` when it is no frame that the protocol knows.
    pub(crate) fn read(&self, frame: &JsValue) -> Option<ServerFrame<JsString, JsValue>> {
        ServerFrame::read(&Frame::new(frame.clone(), self)?)
    }

    fn object(&self, fields: &[(Key, &JsValue)]) -> Object {
        let object = Object::new();
        let properties: &Properties = object.unchecked_ref();
        for (key, value) in fields {
            properties.set(&self.keys[*key as usize], value);
        }
        object
    }

    /// What is `undefined` is left out.
    fn write(&self, fields: &[(Key, &JsValue)]) -> Result<JsString, JsValue> {
        js::stringify(&self.object(fields)).map(JsCast::unchecked_into)
    }

    /// The text of a publish. An error when the data has no form in JSON.
    pub(crate) fn publish(
        &self,
        channel: &JsString,
        event: &JsString,
        data: &JsValue,
    ) -> Result<JsString, JsValue> {
        if data.is_function() || data.is_symbol() {
            return Err(errors::invalid("data", "a value that JSON can express"));
        }
        let tag = &Tag::Pub.as_str().into();
        self.write(&[(Key::Tag, tag), (Key::Channel, channel), (Key::Event, event), (Key::Data, data)])
    }

    /// The text of a frame.
    pub(crate) fn text(&self, frame: &Outgoing<Rc<Channel>, JsString, Publish>) -> JsString {
        let about = |tag: Tag, channel: &Channel, [first, second, third]: [(Key, &JsValue); 3]| {
            let tag = &tag.as_str().into();
            self.write(&[(Key::Tag, tag), (Key::Channel, &channel.name), first, second, third])
        };
        let written = match frame {
            Outgoing::Publish { frame, request: None } => return frame.text(),
            Outgoing::Publish { frame, request: Some(request) } => {
                return js::numbered(frame, *request as f64, &self.key);
            }
            Outgoing::Subscribe { channel, resume } => {
                let resume = resume.as_ref().map(|Position { epoch, offset }| {
                    self.object(&[(Key::Epoch, epoch), (Key::Offset, &number(*offset))])
                });
                about(Tag::Sub, channel, [(Key::Resume, &resume.into()), NOTHING, NOTHING])
            }
            Outgoing::Unsubscribe(channel) => about(Tag::Unsub, channel, [NOTHING; 3]),
            Outgoing::History { channel, request, limit, before } => {
                let [limit, before] = [limit, before].map(|value| value.map(|value| value as f64).into());
                let page = [(Key::Limit, &limit), (Key::Before, &before), (Key::Number, &number(*request))];
                about(Tag::Hist, channel, page)
            }
            Outgoing::Pong => self.write(&[(Key::Tag, &Tag::Pong.as_str().into())]),
        };
        // A name is a string, and JSON has a form for each.
        written.unwrap_or_default()
    }
}

/// A field that is left out.
const NOTHING: (Key, &JsValue) = (Key::Data, &JsValue::UNDEFINED);

fn number(value: u64) -> JsValue {
    (value as f64).into()
}

/// The integer that `value` is, from 0 to [`MAX_INTEGER`].
pub(crate) fn integer(value: f64) -> Option<u64> {
    (value >= 0.0 && value <= MAX_INTEGER as f64 && value.fract() == 0.0).then_some(value as u64)
}

/// One received object.
struct Frame<'a> {
    object: Properties,
    frames: &'a Frames,
}

impl<'a> Frame<'a> {
    fn new(value: JsValue, frames: &'a Frames) -> Option<Self> {
        value.is_object().then(|| Self { object: value.unchecked_into(), frames })
    }

    fn get(&self, key: Key) -> JsValue {
        self.object.get(&self.frames.keys[key as usize])
    }
}

impl Fields for Frame<'_> {
    type Text = JsString;
    type Value = JsValue;

    fn tag(&self) -> Option<Tag> {
        let number = self.frames.tags.find(&self.get(Key::Tag));
        handled(number)
    }

    fn text(&self, key: Key) -> Option<JsString> {
        let value = self.get(key);
        value.is_string().then(|| value.unchecked_into())
    }

    fn name(&self, key: Key) -> Option<JsString> {
        self.text(key).filter(|text| text.is_truthy())
    }

    fn integer(&self, key: Key) -> Option<u64> {
        integer(js::number(&self.get(key)))
    }

    fn flag(&self, key: Key) -> Option<bool> {
        self.get(key).as_bool()
    }

    fn null() -> JsValue {
        JsValue::NULL
    }

    fn value(&self, key: Key) -> Option<JsValue> {
        let value = self.get(key);
        (!value.is_undefined()).then_some(value)
    }

    fn object(&self, key: Key) -> Option<Self> {
        Self::new(self.get(key), self.frames)
    }
}
