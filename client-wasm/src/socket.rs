//! One WebSocket.

use crate::{
    driver::Client,
    js::{self, WebSocket},
};
use js_sys::JsString;
use tidings_client_core::SocketId;
use wasm_bindgen::prelude::*;

/// `WebSocket.OPEN`.
const OPEN: f64 = 1.0;

/// A socket in use.
pub(crate) struct Socket(WebSocket);

impl Socket {
    pub(crate) fn open(client: &Client, id: SocketId) -> Result<Self, JsValue> {
        let url = &client.settings.url;
        let socket: WebSocket = match &client.settings.factory {
            Some(factory) => factory.call1(&JsValue::UNDEFINED, url)?.unchecked_into(),
            None => WebSocket::open(url)?,
        };
        js::listen(&socket, &client.link.object, id.0, &client.frames.tags, &client.names)?;
        Ok(Self(socket))
    }

    pub(crate) fn handle(&self) -> WebSocket {
        self.0.clone()
    }

    /// Whether the socket took the text.
    pub(crate) fn send(socket: &WebSocket, text: &JsString) -> bool {
        js::property(socket, "readyState").as_f64() == Some(OPEN) && socket.send(text).is_ok()
    }

    pub(crate) fn close(self, code: u16, reason: &str) {
        // A socket that cannot be closed is let go all the same.
        let _ = self.0.close(code, reason);
    }
}
