//! One channel, and its handle in JavaScript.

use crate::{
    driver::Client,
    js::{self, Failure},
    listeners::{GAP, Listeners},
    settings,
};
use js_sys::{Function, JsString, Promise};
use std::{cell::Cell, rc::Rc};
use tidings_client_core::{ChannelState, State, reason};
use wasm_bindgen::prelude::*;

/// A channel from `channel()` to `leave()`.
pub(crate) struct Channel {
    pub(crate) name: JsString,
    /// Closed when the channel is left.
    pub(crate) listeners: Listeners,
    /// Why the gateway refused it last.
    refusal: Cell<JsValue>,
}

impl Channel {
    pub(crate) fn new(name: JsString) -> Self {
        Self { name, listeners: Listeners::new(), refusal: Cell::default() }
    }

    /// Whether an event with this id has come already, among the last ones.
    pub(crate) fn knows(&self, id: &JsString) -> bool {
        js::repeated(&self.listeners.sets, id)
    }

    pub(crate) fn deny(&self, reason: JsString) {
        self.listeners.ready().reject(&reason, Failure::Denied);
        self.refusal.set(reason.into());
    }

    fn refusal(&self) -> JsValue {
        let reason = self.refusal.take();
        self.refusal.set(reason.clone());
        reason
    }

    /// No event reaches its listeners any more; whoever waits for it is told `code`.
    pub(crate) fn close(&self, code: &str) {
        self.listeners.close();
        self.listeners.ready().reject(&code.into(), Failure::Left);
    }

    /// The handle of this channel in JavaScript: the same one while the application holds it.
    pub(crate) fn handle(self: &Rc<Self>, client: &Rc<Client>) -> JsValue {
        let kept = js::kept(&self.listeners.sets);
        if !kept.is_undefined() {
            return kept;
        }
        let handle = BroadcastChannel { client: client.clone(), channel: self.clone() }.into();
        js::keep(&self.listeners.sets, &handle);
        handle
    }
}

/// A channel of a client.
#[wasm_bindgen(skip_typescript)]
pub struct BroadcastChannel {
    client: Rc<Client>,
    channel: Rc<Channel>,
}

#[wasm_bindgen]
impl BroadcastChannel {
    /// The channel's name.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> JsString {
        self.channel.name.clone()
    }

    /// `subscribing`, `subscribed`, `denied` or `left`.
    #[wasm_bindgen(getter)]
    pub fn state(&self) -> JsValue {
        match self.channel_state() {
            Some(ChannelState::Subscribing) => "subscribing",
            Some(ChannelState::Subscribed) => "subscribed",
            Some(ChannelState::Denied) => "denied",
            None => "left",
        }
        .into()
    }

    /// Listens to one event, or with `*` to every one, and returns the function that ends it.
    pub fn on(&self, event: JsValue, handler: JsValue) -> Result<Function, JsValue> {
        self.channel.listeners.add(&event, "handler", &handler)
    }

    /// Publishes an event. The promise tells what became of it and is never rejected.
    pub fn publish(&self, event: JsValue, data: JsValue) -> Result<Promise, JsValue> {
        let publish = js::publish(&self.channel.name, &event, &data)?;
        let promise = publish.promise();
        self.client.act(|core, now| core.publish(now, publish));
        Ok(promise)
    }

    /// Listens to gaps: events that were missed and will not come. Returns the function that ends it.
    #[wasm_bindgen(js_name = onGap)]
    pub fn on_gap(&self, handler: JsValue) -> Result<Function, JsValue> {
        self.channel.listeners.add(&GAP.into(), "handler", &handler)
    }

    /// A promise for a page of history. It is rejected with an error whose `code` is the gateway's reason, `left`,
    /// `disconnected`, `unsupported` or `no-history`.
    pub fn history(&self, options: JsValue) -> Result<Promise, JsValue> {
        let page = settings::page(&options)?;
        let outcome = js::deferred();
        match self.channel_state() {
            Some(ChannelState::Denied) if page.until_attach => {
                js::reject(&outcome, &self.channel.refusal(), Failure::Denied as i32);
            }
            Some(_) => self.client.history(&self.channel, page, &outcome),
            None => js::reject(&outcome, &reason::LEFT.into(), Failure::Left as i32),
        }
        Ok(outcome.promise())
    }

    /// A promise that is resolved when the channel is live. It is rejected with an error whose `code` is the
    /// gateway's reason, `left` or `disconnected`.
    pub fn ready(&self) -> Promise {
        let ready = self.channel.listeners.ready();
        let promise = ready.wait();
        match self.channel_state() {
            Some(ChannelState::Subscribed) => ready.resolve(),
            Some(ChannelState::Denied) => ready.reject(&self.channel.refusal(), Failure::Denied),
            None => ready.reject(&reason::LEFT.into(), Failure::Left),
            _ if self.client.state() == State::Closed => {
                ready.reject(&reason::DISCONNECTED.into(), Failure::Closed);
            }
            _ => {}
        }
        promise
    }

    /// Leaves the channel: its listeners hear nothing from here on.
    pub fn leave(&self) {
        if !self.channel.listeners.are_closed()
            && let Some(id) = self.client.find(&self.channel.name)
        {
            self.channel.close(reason::LEFT);
            self.client.act(|core, now| core.leave(now, id));
        }
    }

    fn channel_state(&self) -> Option<ChannelState> {
        if self.channel.listeners.are_closed() { None } else { self.client.channel_state(&self.channel) }
    }
}
