//! What sockets, timers and the page call.

use crate::{
    driver::{Client, channel_id},
    errors,
    frames::{Event, MSG, integer},
    js,
    page::Page,
};
use gloo_timers::callback::Interval;
use std::{cell::Cell, rc::Rc};
use tidings_client_core::{Closed, SocketId};
use wasm_bindgen::prelude::*;

/// A client, for as long as it has to hear of anything: this keeps it alive.
type Held = Rc<Cell<Option<Rc<Client>>>>;

/// The client's end.
pub(crate) struct Anchor {
    held: Held,
    /// The [`Link`].
    pub(crate) object: JsValue,
}

impl Anchor {
    pub(crate) fn new() -> Self {
        let held = Held::default();
        Self { object: Link(held.clone()).into(), held }
    }

    pub(crate) fn hold(&self, client: &Rc<Client>) {
        self.held.set(Some(client.clone()));
    }

    pub(crate) fn let_go(&self) {
        self.held.take();
    }

    /// A timer that tells the client, when somebody holds it, until it is dropped. One that fires again takes less code
    /// than one that fires once.
    pub(crate) fn timer(&self, delay_ms: u32) -> Interval {
        let held = self.held.clone();
        Interval::new(delay_ms, move || {
            if let Some(client) = client(&held) {
                client.fire();
            }
        })
    }

    /// A function that calls a method of the link.
    pub(crate) fn caller(&self, method: &str) -> js_sys::Function {
        js::method(&self.object, method, &JsValue::UNDEFINED)
    }
}

/// The other end, in JavaScript.
#[wasm_bindgen(skip_typescript)]
pub struct Link(Held);

fn client(held: &Held) -> Option<Rc<Client>> {
    let client = held.take();
    held.set(client.clone());
    client
}

impl Link {
    fn client(&self) -> Option<Rc<Client>> {
        client(&self.0)
    }
}

#[wasm_bindgen]
impl Link {
    /// The page has changed.
    pub fn page(&self, _: &JsValue, event: &JsValue) {
        if let Some(change) = Page::change(event)
            && let Some(client) = self.client()
        {
            client.act(|core, now| core.page(now, change));
        }
    }

    /// A message: its JSON, which is an empty object when it has none, the numbers of its tag and of its channel, 0 being none, whether it has an id, its event, its data, and its offset and the one before it or NaN.
    #[allow(clippy::too_many_arguments)]
    pub fn frame(
        &self,
        socket: u32,
        frame: &JsValue,
        tag: u32,
        channel: u32,
        id: bool,
        name: &JsValue,
        data: &JsValue,
        offset: f64,
        previous: f64,
    ) {
        let socket = SocketId(socket);
        let Some(client) = self.client() else { return };
        let event = || {
            let [offset, previous] = [offset, previous].map(integer);
            Event { frame, channel: channel_id(channel), name, data, offset, previous }
        };
        if !(id && tag == MSG && client.deliver(socket, &event())) {
            client.receive(socket, frame);
        }
    }

    /// A socket was closed, or has failed, which is followed by a close.
    pub fn event(&self, socket: u32, closed: bool, event: &JsValue) {
        let socket = SocketId(socket);
        let Some(client) = self.client().filter(|client| client.ask(|core| core.has(socket))) else { return };
        if closed {
            let code = js::number(&js::property(event, "code"));
            let closed = Closed {
                code: if code.is_nan() { 1006 } else { code as u16 },
                reason: errors::text(js::property(event, "reason")),
                clean: js::property(event, "wasClean").is_truthy(),
            };
            client.closed(socket, closed);
        } else {
            js::log(&client.settings.logger, "warn", &"the socket failed".into(), event);
        }
    }
}
