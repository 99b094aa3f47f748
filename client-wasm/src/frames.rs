//! Frames as JavaScript values: read from parsed JSON by the rules of the protocol, written by `JSON.stringify`.

use crate::{
    channel::Channel,
    errors,
    js::{self, Numbers, Properties},
};
use js_sys::{Function, JsString, Map, Object};
use std::rc::Rc;
use tidings_client_core::{Outgoing, Weight};
use tidings_protocol::{Fields, Key, MAX_INTEGER, ServerFrame, Tag};
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
}

/// A publish that is ready to be sent.
pub(crate) struct Publish {
    pub(crate) text: JsString,
    /// Resolves the promise of what became of it.
    pub(crate) resolve: Function,
}

impl Weight for Publish {
    fn bytes(&self) -> usize {
        js::bytes(&self.text) as usize
    }
}

impl Frames {
    pub(crate) fn new() -> Self {
        let tags = Map::new();
        for (number, tag) in (MSG..).map_while(|number| Some((number, handled(number)?))) {
            tags.set(&tag.as_str().into(), &number.into());
        }
        let tags = tags.unchecked_into();
        Self { keys: std::array::from_fn(|index| Key::ALL[index].as_str().into()), tags }
    }

    /// Reads what a message held; `None` when it is no frame that the protocol knows.
    pub(crate) fn read(&self, frame: &JsValue) -> Option<ServerFrame<JsString, JsValue>> {
        ServerFrame::read(&Frame::new(frame.clone(), self)?)
    }

    /// What is `undefined` is left out.
    fn write(&self, tag: Tag, fields: &[(Key, &JsValue)]) -> Result<JsString, JsValue> {
        let frame = Object::new();
        let properties: &Properties = frame.unchecked_ref();
        properties.set(&self.keys[Key::Tag as usize], &tag.as_str().into());
        for (key, value) in fields {
            properties.set(&self.keys[*key as usize], value);
        }
        js::stringify(&frame).map(JsCast::unchecked_into)
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
        self.write(Tag::Pub, &[(Key::Channel, channel), (Key::Event, event), (Key::Data, data)])
    }

    /// The text of a frame.
    pub(crate) fn text(&self, frame: &Outgoing<Rc<Channel>, Publish>) -> JsString {
        let written = match frame {
            Outgoing::Publish(publish) => return publish.text.clone(),
            Outgoing::Subscribe(channel) => self.write(Tag::Sub, &[(Key::Channel, &channel.name)]),
            Outgoing::Unsubscribe(channel) => self.write(Tag::Unsub, &[(Key::Channel, &channel.name)]),
            Outgoing::Pong => self.write(Tag::Pong, &[]),
        };
        // A name is a string, and JSON has a form for each.
        written.unwrap_or_default()
    }
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
        let number = self.frames.tags.number(&self.get(Key::Tag));
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
        let value = self.get(key).as_f64()?;
        (value >= 0.0 && value <= MAX_INTEGER as f64 && value.fract() == 0.0).then_some(value as u64)
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
