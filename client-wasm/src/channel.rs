//! One channel, and its handle in JavaScript.

use crate::{
    driver::{Client, closed_error},
    errors, frames, js,
    listeners::Listeners,
    promise::Ready,
    settings,
};
use js_sys::{Function, JsString, Object, Promise, Set, WeakRef};
use std::{cell::Cell, rc::Rc};
use tidings_client_core::{ChannelState, State, reason};
use wasm_bindgen::prelude::*;

/// A channel from `channel()` to `leave()`.
pub(crate) struct Channel {
    pub(crate) name: JsString,
    pub(crate) ready: Ready,
    /// Closed when the channel is left.
    pub(crate) listeners: Listeners,
    /// The ids of its last events, where nothing else tells a repeat.
    pub(crate) ids: Set,
    /// The handle that the application has, so that it gets the same one again.
    handle: Cell<Option<WeakRef>>,
    /// Why the gateway refused it last.
    refusal: Cell<JsValue>,
}

impl Channel {
    pub(crate) fn new(name: JsString) -> Self {
        Self {
            name,
            ready: Ready::default(),
            listeners: Listeners::new(),
            ids: Set::new(&JsValue::UNDEFINED),
            handle: Cell::default(),
            refusal: Cell::default(),
        }
    }

    /// Whether an event with this id has come already, among the last ones.
    pub(crate) fn knows(&self, id: &JsValue) -> bool {
        js::repeated(&self.ids, id)
    }

    pub(crate) fn deny(&self, reason: JsString) {
        self.refusal.set(reason.into());
        self.ready.reject(|| self.denied_error());
    }

    fn denied_error(&self) -> JsValue {
        let reason = self.refusal.take();
        self.refusal.set(reason.clone());
        errors::failure(reason, "the gateway refused the channel")
    }

    /// No event reaches its listeners any more; whoever waits for it is told `code`.
    pub(crate) fn close(&self, code: &str) {
        self.listeners.close();
        self.ready.reject(|| left_error(code));
    }

    /// The handle of this channel in JavaScript: the same one while the application holds it.
    pub(crate) fn handle(self: &Rc<Self>, client: &Rc<Client>) -> JsValue {
        let known = self.handle.take();
        let (handle, weak) = match known.as_ref().and_then(WeakRef::deref) {
            Some(handle) => (handle.into(), known),
            None => {
                let handle: JsValue =
                    BroadcastChannel { client: client.clone(), channel: self.clone() }.into();
                let weak = WeakRef::new(handle.unchecked_ref::<Object>());
                (handle, Some(weak))
            }
        };
        self.handle.set(weak);
        handle
    }
}

fn left_error(code: &str) -> JsValue {
    errors::failure(code.into(), "the channel was left")
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
        let event = errors::name("event", event)?;
        let handler = errors::function("handler", handler)?;
        let listeners = &self.channel.listeners;
        let every = JsString::from("*");
        Ok(if event == every { listeners.add_to_every(&handler) } else { listeners.add(&event, &handler) })
    }

    /// Publishes an event. The promise tells what became of it and is never rejected.
    pub fn publish(&self, event: JsValue, data: JsValue) -> Result<Promise, JsValue> {
        let event = errors::name("event", event)?;
        let text = frames::publish(&self.channel.name, &event, &data)?;
        let publish = js::deferred(&text);
        let promise = publish.promise();
        self.client.act(|core, now| core.publish(now, publish));
        Ok(promise)
    }

    /// Listens to gaps: events that were missed and will not come. Returns the function that ends it.
    #[wasm_bindgen(js_name = onGap)]
    pub fn on_gap(&self, handler: JsValue) -> Result<Function, JsValue> {
        Ok(self.channel.listeners.add_to_gaps(&errors::function("handler", handler)?))
    }

    /// A promise for a page of history. It is rejected with an error whose `code` is the gateway's reason, `left`,
    /// `disconnected`, `unsupported` or `no-history`.
    pub fn history(&self, options: JsValue) -> Result<Promise, JsValue> {
        let page = settings::page(&options)?;
        let outcome = js::deferred(&JsValue::UNDEFINED);
        match self.channel_state() {
            Some(ChannelState::Denied) if page.until_attach => outcome.reject(self.channel.denied_error()),
            Some(_) => self.client.history(&self.channel, page, &outcome),
            None => outcome.reject(left_error(reason::LEFT)),
        }
        Ok(outcome.promise())
    }

    /// A promise that is resolved when the channel is live. It is rejected with an error whose `code` is the
    /// gateway's reason, `left` or `disconnected`.
    pub fn ready(&self) -> Promise {
        let ready = &self.channel.ready;
        let promise = ready.wait();
        match self.channel_state() {
            Some(ChannelState::Subscribed) => ready.resolve(),
            Some(ChannelState::Denied) => ready.reject(|| self.channel.denied_error()),
            None => ready.reject(|| left_error(reason::LEFT)),
            _ if self.client.state() == State::Closed => ready.reject(closed_error),
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
