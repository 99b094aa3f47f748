//! One WebSocket and what it reports.

use crate::{driver::Client, js, js::WebSocket};
use js_sys::JsString;
use std::{cell::Cell, rc::Rc};
use tidings_client_core::{Closed, SocketId};
use wasm_bindgen::prelude::*;

/// `WebSocket.OPEN`.
const OPEN: f64 = 1.0;

/// A socket in use. When it is dropped, whatever it still reports goes nowhere.
pub(crate) struct Socket {
    socket: WebSocket,
    link: Rc<Link>,
}

/// What ties the handlers of a socket to the client: it keeps the client alive, until it is cut. The handlers
/// themselves belong to the socket and are collected with it, so that one without `removeEventListener` will do.
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
        if !socket.is_object() {
            return Err(js_sys::Error::new("webSocketFactory returned no socket").into());
        }
        let socket = Self { socket, link: Rc::new(Link(Cell::new(Some(client.clone())))) };
        socket.listen("message", move |client, event| client.receive(id, &js::property(&event, "data")))?;
        socket.listen("error", |client, event| {
            client.log("warn", "the socket failed", &event);
        })?;
        socket.listen("close", move |client, event| {
            let closed = Closed {
                code: js::property(&event, "code").as_f64().map_or(1006, |code| code as u16),
                reason: js::property(&event, "reason").dyn_into().unwrap_or_default(),
                clean: js::property(&event, "wasClean").is_truthy(),
            };
            client.closed(id, closed);
        })?;
        Ok(socket)
    }

    fn listen(&self, event: &str, handle: impl Fn(Rc<Client>, JsValue) + 'static) -> Result<(), JsValue> {
        let link = self.link.clone();
        let listener = Closure::<dyn Fn(JsValue)>::new(move |event| {
            if let Some(client) = link.client() {
                handle(client, event);
            }
        });
        self.socket.listen(event, &listener.into_js_value())
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
