//! What sockets, timers and the page call.

use crate::{
    driver::{Client, Verdict, channel_id},
    frames::{Frame, integer, text},
    js::{self, Going},
    page,
};
use gloo_timers::callback::Interval;
use js_sys::JsString;
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

    /// A timer that tells the client, when somebody holds it, until it is dropped.
    /// One that fires again takes less code than one that fires once.
    pub(crate) fn timer(&self, delay_ms: u32) -> Interval {
        let held = self.held.clone();
        Interval::new(delay_ms, move || {
            if let Some(client) = client(&held) {
                client.fire();
            }
        })
    }

    /// Tells the client of changes of the page, when somebody holds it, until it is dropped.
    pub(crate) fn watch(&self) -> Going {
        Going(js::watch(&self.object))
    }
}

/// The other end, in JavaScript.
#[wasm_bindgen(skip_typescript)]
pub struct Link(Held);

impl Link {
    fn client(&self) -> Option<Rc<Client>> {
        client(&self.0)
    }
}

fn client(held: &Held) -> Option<Rc<Client>> {
    let client = held.take();
    held.set(client.clone());
    client
}

#[wasm_bindgen]
impl Link {
    /// The page has changed: see `page.rs`.
    pub fn page(&self, change: u32) {
        if let Some(change) = page::change(change)
            && let Some(client) = self.client()
        {
            client.act(|core, now| core.page(now, change));
        }
    }

    /// An event, on the channel with this number, 0 being none, with its offset and the one before it or NaN: see
    /// `Verdict`.
    pub fn message(&self, socket: u32, channel: u32, offset: f64, previous: f64) -> u32 {
        let Some(client) = self.client() else { return Verdict::Drop as u32 };
        client.message(SocketId(socket), channel_id(channel), integer(offset), integer(previous)) as u32
    }

    /// The listeners have had an event.
    pub fn proceed(&self) {
        if let Some(client) = self.client() {
            client.proceed();
        }
    }

    /// A message that is no event, or cannot be delivered at once: see `Frame`.
    #[allow(clippy::too_many_arguments)]
    pub fn frame(
        &self,
        socket: u32,
        tag: u32,
        channel: u32,
        name: JsValue,
        event: JsValue,
        word: JsValue,
        epoch: JsValue,
        value: JsValue,
        first: f64,
        second: f64,
        number: f64,
        recovered: u32,
    ) {
        if let Some(client) = self.client() {
            let frame = Frame {
                tag,
                channel: Cell::new(name),
                event: Cell::new(event),
                word: Cell::new(word),
                epoch: Cell::new(epoch),
                value: Cell::new(value),
                first,
                second,
                number,
                recovered,
            };
            client.receive(SocketId(socket), &frame, channel_id(channel));
        }
    }

    /// The application's token for a socket, or `undefined`.
    pub fn token(&self, socket: u32, token: JsValue) {
        let token = text(token);
        if let Some(client) = self.client() {
            client.act(|core, now| core.token(now, SocketId(socket), token));
        }
    }

    /// A socket was closed, or, where the code is 0, has failed, which is followed by a close. False when it is not in
    /// use.
    pub fn closed(&self, socket: u32, code: u16, reason: JsString, clean: bool) -> bool {
        self.client().is_some_and(|client| client.closed(SocketId(socket), Closed { code, reason, clean }))
    }
}
