//! The application's listeners. They live in JavaScript collections, and so do the functions that remove them:
//! what nobody holds any longer is collected like any other object.

use crate::{
    js::{self, Settings},
    promise::Ready,
};
use js_sys::{Function, Map};
use std::cell::Cell;
use wasm_bindgen::prelude::*;

/// Listeners by event, until they are closed.
pub(crate) struct Listeners {
    /// From an event to the set of its listeners; those to every event are under the map itself, which names none. A channel's
    /// handle, who waits for it, and the ids of its last events, where nothing else tells a repeat, are kept beside them.
    pub(crate) sets: Map,
    closed: Cell<bool>,
}

/// What the listeners to gaps are under: no frame can name it as its event, for JSON has no form for it.
pub(crate) const GAP: f64 = f64::NAN;

impl Listeners {
    pub(crate) fn new() -> Self {
        Self { sets: Map::new(), closed: Cell::new(false) }
    }

    /// Adds a listener to an event, to every one by the name `*`, or to [`GAP`]; `what` names it in an error. Returns
    /// the function that removes it, and only it: the same function may be added twice.
    pub(crate) fn add(&self, event: &JsValue, what: &str, listener: &JsValue) -> Result<Function, JsValue> {
        js::listen(&self.sets, event, what, listener)
    }

    /// The promise of whoever has these listeners.
    pub(crate) fn ready(&self) -> Ready<'_> {
        Ready(&self.sets)
    }

    /// No listener is called from here on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        js::clear(&self.sets);
    }

    pub(crate) fn are_closed(&self) -> bool {
        self.closed.get()
    }

    /// Hands `data` to the listeners of `event`, and event and data to those of every event, when the event has a
    /// name. What they throw goes to the logger.
    pub(crate) fn emit(&self, event: &JsValue, data: &JsValue, settings: &Settings) {
        js::emit(&self.sets, event, data, settings);
    }
}
