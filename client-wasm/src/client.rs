//! The client's handle in JavaScript.

use crate::{
    driver::{Client, state_name},
    js::{self, Failure},
    settings,
};
use js_sys::{Function, Promise};
use std::rc::Rc;
use tidings_client_core::{State, reason};
use wasm_bindgen::prelude::*;

/// One connection to a gateway and the channels on it.
#[wasm_bindgen(skip_typescript)]
pub struct BroadcastClient {
    client: Rc<Client>,
}

#[wasm_bindgen]
impl BroadcastClient {
    /// Checks the options and, unless `autoConnect` is false, connects.
    #[wasm_bindgen(constructor)]
    pub fn new(options: JsValue) -> Result<Self, JsValue> {
        let (settings, options) = settings::read(&options)?;
        let connect = settings.connect();
        let client = Client::new(settings, options);
        if connect {
            client.connect();
        }
        Ok(Self { client })
    }

    /// The id that the gateway gave this connection; `undefined` while there is none.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> JsValue {
        self.client.ask(|core| core.id().map_or(JsValue::UNDEFINED, Into::into))
    }

    /// Whether the gateway has welcomed this client.
    #[wasm_bindgen(getter)]
    pub fn connected(&self) -> bool {
        self.client.state() == State::Open
    }

    /// `idle`, `connecting`, `open` or `closed`.
    #[wasm_bindgen(getter)]
    pub fn state(&self) -> JsValue {
        state_name(self.client.state()).into()
    }

    /// Connects, unless it is connected or trying.
    pub fn connect(&self) {
        self.client.connect();
    }

    /// The channel of this name, subscribed until it is left.
    pub fn channel(&self, name: JsValue) -> Result<JsValue, JsValue> {
        let name = js::name("channel", name)?;
        Ok(self.client.channel(&name).handle(&self.client))
    }

    /// Listens to an event of the client and returns the function that ends it.
    pub fn on(&self, event: JsValue, listener: JsValue) -> Result<Function, JsValue> {
        self.client.listeners.add(&event, "listener", &listener)
    }

    /// A promise for the next `welcome`; resolved when there is a connection. It is rejected with an error whose
    /// `code` is `disconnected` when the client is closed.
    pub fn ready(&self) -> Promise {
        let ready = self.client.listeners.ready();
        let promise = ready.wait();
        match self.client.state() {
            State::Open => ready.resolve(),
            State::Closed => ready.reject(&reason::DISCONNECTED.into(), Failure::Closed),
            _ => {}
        }
        promise
    }

    /// Closes the connection for good and leaves every channel.
    pub fn disconnect(&self) {
        self.client.disconnect();
    }
}
