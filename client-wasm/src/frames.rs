//! Frames as JavaScript values: read from parsed JSON by the rules of the protocol, written by `JSON.stringify`.

use crate::{
    channel::Channel,
    js::{self, Deferred},
};
use js_sys::JsString;
use std::{cell::Cell, rc::Rc};
use tidings_client_core::{Outgoing, Weight};
use tidings_protocol::{Fields, Key, Position, Tag};
use wasm_bindgen::prelude::*;

/// The frames that the core acts on, numbered from 1. Others are dropped before they are read, and no code for
/// reading them is compiled.
const fn handled(number: u32) -> Option<Tag> {
    Some(match number {
        1 => Tag::Msg,
        2 => Tag::Welcome,
        3 => Tag::Ok,
        4 => Tag::Err,
        5 => Tag::Ping,
        6 => Tag::Gap,
        7 => Tag::Pos,
        8 => Tag::Ack,
        9 => Tag::Bye,
        10 => Tag::Hist,
        11 => Tag::Auth,
        _ => return None,
    })
}

/// What frames are written with.
pub(crate) struct Frames {
    /// The beginning of this client's idempotency keys; the number of the request follows.
    key: JsString,
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
        Self { key: js::unique() }
    }

    /// The text of a frame.
    pub(crate) fn text(&self, frame: &Outgoing<Rc<Channel>, JsString, Publish>) -> JsString {
        let (mut second, mut third, mut fourth) = (NOTHING, NOTHING, NOTHING);
        let (sent, first): (Sent, &JsValue) = match frame {
            Outgoing::Publish { frame, request: None } => return frame.text(),
            Outgoing::Publish { frame, request: Some(request) } => {
                return js::numbered(frame, *request as f64, &self.key);
            }
            Outgoing::Subscribe { channel, resume } => {
                if let Some(Position { epoch, offset }) = resume {
                    second = js::position(epoch, *offset as f64);
                }
                (Sent::Subscribe, &channel.name)
            }
            Outgoing::Unsubscribe(channel) => (Sent::Unsubscribe, &channel.name),
            Outgoing::History { channel, request, limit, before } => {
                let number = |value: u64| JsValue::from(value as f64);
                (second, third) = (limit.map(number).into(), before.map(number).into());
                fourth = number(*request);
                (Sent::History, &channel.name)
            }
            Outgoing::Authenticate { token } => (Sent::Authenticate, token),
            Outgoing::Pong => (Sent::Pong, &NOTHING),
        };
        js::write(sent as i32, first, &second, &third, &fourth)
    }
}

/// The frames that are sent; 0 is a publish, which is written where it is checked. The numbers are known to
/// `primitives.js`.
enum Sent {
    Subscribe = 1,
    Unsubscribe = 2,
    History = 3,
    Authenticate = 4,
    Pong = 5,
}

/// A field that is left out.
const NOTHING: JsValue = JsValue::UNDEFINED;

/// An integer, unless it is NaN.
#[inline(always)]
pub(crate) fn integer(value: f64) -> Option<u64> {
    if value >= 0.0 { Some(value as u64) } else { None }
}

/// A text, unless it is `undefined`.
pub(crate) fn text(value: JsValue) -> Option<JsString> {
    if value.is_undefined() { None } else { Some(value.unchecked_into()) }
}

/// What was received, field by field: texts or `undefined`, integers or NaN. A name that is empty is none.
pub(crate) struct Frame {
    /// See [`handled`].
    pub(crate) tag: u32,
    pub(crate) channel: Cell<JsValue>,
    pub(crate) event: Cell<JsValue>,
    /// An id or a reason.
    pub(crate) word: Cell<JsValue>,
    pub(crate) epoch: Cell<JsValue>,
    pub(crate) value: Cell<JsValue>,
    pub(crate) first: f64,
    pub(crate) second: f64,
    /// That of a request, or a count.
    pub(crate) number: f64,
    /// 0 when nothing is said about it, 1 for no and 2 for yes.
    pub(crate) recovered: u32,
}

/// Each field is read once.
impl Fields for Frame {
    type Text = JsString;
    type Value = JsValue;

    #[inline(always)]
    fn tag(&self) -> Option<Tag> {
        handled(self.tag)
    }

    #[inline(always)]
    fn text(&self, key: Key) -> Option<JsString> {
        text(match key {
            Key::Channel => self.channel.take(),
            Key::Event => self.event.take(),
            Key::Epoch => self.epoch.take(),
            _ => self.word.take(),
        })
    }

    /// What has to have a name has one, or none was received.
    #[inline(always)]
    fn name(&self, key: Key) -> Option<JsString> {
        self.text(key)
    }

    #[inline(always)]
    fn integer(&self, key: Key) -> Option<u64> {
        integer(match key {
            Key::Number => self.number,
            Key::Previous | Key::Keepalive | Key::After => self.second,
            _ => self.first,
        })
    }

    #[inline(always)]
    fn flag(&self, _: Key) -> Option<bool> {
        if self.recovered == 0 { None } else { Some(self.recovered == 2) }
    }

    fn null() -> JsValue {
        JsValue::NULL
    }

    #[inline(always)]
    fn value(&self, _: Key) -> Option<JsValue> {
        let value = self.value.take();
        if value.is_undefined() { None } else { Some(value) }
    }

    fn object(&self, _: Key) -> Option<Self> {
        None
    }
}
