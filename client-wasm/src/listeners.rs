//! The application's listeners. They live in JavaScript collections, and so do the functions that remove them:
//! what nobody holds any longer is collected like any other object.

use crate::js::{self, Callable};
use js_sys::{Function, Map, Set};
use std::cell::Cell;
use wasm_bindgen::prelude::*;

/// Listeners by event, until they are closed.
pub(crate) struct Listeners {
    /// From an event to the set of its listeners; those to every event are under the map itself, which names none.
    events: Map,
    /// Whether there was ever a listener to every event.
    every: Cell<bool>,
    closed: Cell<bool>,
}

/// What the listeners to gaps are under: no frame can name it as its event, for JSON has no form for it.
const GAP: f64 = f64::NAN;

impl Listeners {
    pub(crate) fn new() -> Self {
        Self { events: Map::new(), every: Cell::new(false), closed: Cell::new(false) }
    }

    /// Adds a listener and returns the function that removes it, and only it: the same function may be added twice.
    pub(crate) fn add(&self, event: &JsValue, listener: &Function) -> Function {
        let mut set = self.events.get(event);
        if set.is_undefined() {
            set = Set::new(&JsValue::UNDEFINED).into();
            self.events.set(event, &set);
        }
        let entry = listener.unchecked_ref::<Callable>().copy();
        set.unchecked_ref::<Set>().add(&entry);
        js::method(&set, "delete", &entry)
    }

    /// Adds a listener to every event.
    pub(crate) fn add_to_every(&self, listener: &Function) -> Function {
        self.every.set(true);
        self.add(&self.events, listener)
    }

    /// Adds a listener to gaps.
    pub(crate) fn add_to_gaps(&self, listener: &Function) -> Function {
        self.add(&GAP.into(), listener)
    }

    /// Tells of a gap. What a listener throws goes to the logger.
    pub(crate) fn emit_gap(&self, gap: &JsValue, logger: &JsValue) {
        js::call(&self.events, &GAP.into(), logger, gap, &JsValue::UNDEFINED);
    }

    /// No listener is called from here on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        js::clear(&self.events);
    }

    pub(crate) fn are_closed(&self) -> bool {
        self.closed.get()
    }

    /// Hands `data` to the listeners of `event`, and event and data to those of every event, when the event has a
    /// name. What they throw goes to the logger.
    pub(crate) fn emit(&self, event: &JsValue, data: &JsValue, logger: &JsValue) {
        js::call(&self.events, event, logger, data, &JsValue::UNDEFINED);
        if self.every.get() && event.is_string() && event.is_truthy() {
            js::call(&self.events, &self.events, logger, event, data);
        }
    }
}
