//! The application's listeners. They live in JavaScript collections, and so do the functions that remove them:
//! what nobody holds any longer is collected like any other object.

use crate::js;
use js_sys::{Function, Map};
use std::cell::Cell;
use wasm_bindgen::prelude::*;

/// Listeners by event, until they are closed.
pub(crate) struct Listeners {
    /// From an event to the set of its listeners; those to every event are under the map itself, which names none.
    pub(crate) sets: Map,
    closed: Cell<bool>,
}

/// What the listeners to gaps are under: no frame can name it as its event, for JSON has no form for it.
const GAP: f64 = f64::NAN;

impl Listeners {
    pub(crate) fn new() -> Self {
        Self { sets: Map::new(), closed: Cell::new(false) }
    }

    /// Adds a listener and returns the function that removes it, and only it: the same function may be added twice.
    pub(crate) fn add(&self, event: &JsValue, listener: &Function) -> Function {
        js::add(&self.sets, event, listener)
    }

    /// Adds a listener to every event.
    pub(crate) fn add_to_every(&self, listener: &Function) -> Function {
        self.add(&self.sets, listener)
    }

    /// Adds a listener to gaps.
    pub(crate) fn add_to_gaps(&self, listener: &Function) -> Function {
        self.add(&GAP.into(), listener)
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
    pub(crate) fn emit(&self, event: &JsValue, data: &JsValue, logger: &JsValue) {
        js::emit(&self.sets, event, data, logger);
    }
}
