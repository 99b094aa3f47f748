//! One WebSocket and what it reports.

use crate::{
    driver::Client,
    errors,
    js::{self, WebSocket},
};
use js_sys::JsString;
use std::{cell::Cell, rc::Rc};
use tidings_client_core::{Closed, SocketId};
use wasm_bindgen::prelude::*;
use web_sys::EventTarget;

/// `WebSocket.OPEN`.
const OPEN: f64 = 1.0;

/// A socket in use. When it is dropped, whatever it still reports goes nowhere.
pub(crate) struct Socket {
    socket: WebSocket,
    link: Rc<Link>,
}

/// What ties a socket to the client: it keeps the client alive, until it is cut.
struct Link(Cell<Option<Rc<Client>>>);

impl Link {
    fn client(&self) -> Option<Rc<Client>> {
        let client = self.0.take();
        self.0.set(client.clone());
        client
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.link.0.take();
    }
}

impl Socket {
    pub(crate) fn open(client: &Rc<Client>, id: SocketId) -> Result<Self, JsValue> {
        let url = &client.settings.url;
        let socket: WebSocket = match &client.settings.factory {
            Some(factory) => factory.call1(&JsValue::UNDEFINED, url)?.unchecked_into(),
            None => WebSocket::open(url)?,
        };
        let link = Rc::new(Link(Cell::new(Some(client.clone()))));
        let listener = {
            let link = link.clone();
            Closure::<dyn Fn(JsValue)>::new(move |event: JsValue| {
                if let Some(client) = link.client() {
                    report(&client, id, &event);
                }
            })
        };
        // The listener belongs to the socket and is collected with it, so that one without `removeEventListener`
        // will do.
        let listener = listener.into_js_value();
        for event in ["message", "close", "error"] {
            let target: &EventTarget = socket.unchecked_ref();
            target.add_event_listener_with_callback(event, listener.unchecked_ref())?;
        }
        Ok(Self { socket, link })
    }

    pub(crate) fn handle(&self) -> WebSocket {
        self.socket.clone()
    }

    /// Whether the socket took the text.
    pub(crate) fn send(socket: &WebSocket, text: &JsString) -> bool {
        js::property(socket, "readyState").as_f64() == Some(OPEN) && socket.send(text).is_ok()
    }

    pub(crate) fn close(self, code: u16, reason: &str) {
        // A socket that cannot be closed is let go all the same.
        let _ = self.socket.close(code, reason);
    }
}

/// Tells the client of an event: a message is what has data, and an error is followed by a close.
fn report(client: &Rc<Client>, id: SocketId, event: &JsValue) {
    let data = js::data(event);
    if !data.is_undefined() {
        return client.receive(id, &data);
    }
    match js::property(event, "type").as_string().as_deref() {
        Some("message") => client.receive(id, &data),
        Some("error") => {
            client.log("warn", "the socket failed", event);
        }
        _ => {
            let closed = Closed {
                code: js::property(event, "code").as_f64().map_or(1006, |code| code as u16),
                reason: errors::text(js::property(event, "reason")),
                clean: js::property(event, "wasClean").is_truthy(),
            };
            client.closed(id, closed);
        }
    }
}
