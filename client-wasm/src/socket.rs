//! One WebSocket.

use crate::{driver::Client, js};
use js_sys::JsString;
use tidings_client_core::SocketId;
use wasm_bindgen::prelude::*;
use web_sys::WebSocket;

/// A socket in use: a `WebSocket`, or what the application's factory made, which passes for one.
#[derive(Clone)]
pub(crate) struct Socket(WebSocket);

impl Socket {
    pub(crate) fn open(client: &Client, id: SocketId) -> Result<Self, JsValue> {
        js::open(&client.settings, &client.link.object, id.0, &client.names).map(Self)
    }

    /// Whether the socket took the text.
    pub(crate) fn send(&self, text: &JsString) -> bool {
        js::send(&self.0, text)
    }

    pub(crate) fn close(&self, code: u16, reason: &str) {
        js::close(&self.0, code, reason);
    }
}
