//! The application's listeners. They live in JavaScript collections, and so do the functions that remove them:
//! what nobody holds any longer is collected like any other object.

use crate::js::{self, Callable};
use js_sys::{Array, Function, JsString, Map};
use std::cell::Cell;
use wasm_bindgen::prelude::*;

/// Listeners by event, until they are closed.
pub(crate) struct Listeners {
    /// From an event to a map whose keys and values are its listeners.
    events: Map,
    closed: Cell<bool>,
}

/// The key of the listeners to every event; an event's name is a string.
const EVERY: JsValue = JsValue::NULL;

impl Listeners {
    pub(crate) fn new() -> Self {
        Self { events: Map::new(), closed: Cell::new(false) }
    }

    /// Adds a listener and returns the function that removes it, and only it: the same function may be added twice.
    pub(crate) fn add(&self, event: &JsValue, listener: &Function) -> Function {
        let mut entries = self.events.get(event);
        if entries.is_undefined() {
            entries = Map::new().into();
            self.events.set(event, &entries);
        }
        let entry = listener.unchecked_ref::<Callable>().copy();
        entries.unchecked_ref::<Map>().set(&entry, &entry);
        js::property(&entries, "delete").unchecked_into::<Callable>().bind(&entries, &entry)
    }

    /// Adds a listener to every event.
    pub(crate) fn add_to_every(&self, listener: &Function) -> Function {
        self.add(&EVERY, listener)
    }

    /// No listener is called from here on.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.events.clear();
    }

    pub(crate) fn are_closed(&self) -> bool {
        self.closed.get()
    }

    /// Hands `data` to the listeners of `event`, and event and data to those of every event. What one of them throws
    /// goes to `report`.
    pub(crate) fn emit(&self, event: &JsString, data: &JsValue, report: &dyn Fn(&JsValue)) {
        self.run(event, data, None, report);
        self.run(&EVERY, event, Some(data), report);
    }

    /// Calls listeners in the order in which they were added. One that is removed meanwhile is not called, one that
    /// is added has to wait for the next event.
    fn run(&self, key: &JsValue, first: &JsValue, second: Option<&JsValue>, report: &dyn Fn(&JsValue)) {
        let entries = self.events.get(key);
        if entries.is_undefined() {
            return;
        }
        let entries: &Map = entries.unchecked_ref();
        for listener in Array::from(&entries.values()) {
            if self.closed.get() || !entries.has(&listener) {
                continue;
            }
            let listener: Function = listener.unchecked_into();
            let result = match second {
                None => listener.call1(&JsValue::UNDEFINED, first),
                Some(second) => listener.call2(&JsValue::UNDEFINED, first, second),
            };
            if let Err(exception) = result {
                report(&exception);
            }
        }
    }
}
