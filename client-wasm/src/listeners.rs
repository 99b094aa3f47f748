//! The application's listeners. They live in JavaScript collections, and so do the functions that remove them:
//! what nobody holds any longer is collected like any other object.

use crate::js::{self, Callable};
use js_sys::{Function, JsString, Map, Set};
use wasm_bindgen::prelude::*;

/// Listeners by event.
pub(crate) struct Listeners {
    events: Map<JsValue, Set>,
}

/// The key of the listeners to every event; an event's name is a string.
const EVERY: JsValue = JsValue::NULL;

impl Listeners {
    pub(crate) fn new() -> Self {
        Self { events: Map::new_typed() }
    }

    /// Adds a listener and returns the function that removes it, and only it: the same function may be added twice.
    pub(crate) fn add(&self, event: &JsValue, listener: &Function) -> Function {
        let set = self.of(event).unwrap_or_else(|| {
            let set = Set::new(&JsValue::UNDEFINED);
            self.events.set(event, &set);
            set
        });
        let entry = listener.unchecked_ref::<Callable>().copy();
        set.add(&entry);
        js::property(&set, "delete").unchecked_into::<Callable>().bind(&set, &entry)
    }

    /// Adds a listener to every event.
    pub(crate) fn add_to_every(&self, listener: &Function) -> Function {
        self.add(&EVERY, listener)
    }

    pub(crate) fn clear(&self) {
        self.events.clear();
    }

    fn of(&self, event: &JsValue) -> Option<Set> {
        let set: JsValue = self.events.get(event).into();
        if set.is_undefined() { None } else { Some(set.unchecked_into()) }
    }

    /// Calls the listeners of `event` in the order in which they were added, while `call` wants more. One that is
    /// removed meanwhile is not called, one that is added has to wait for the next event.
    fn each(&self, event: &JsValue, mut call: impl FnMut(&Function) -> bool) {
        let Some(set) = self.of(event) else { return };
        let entries = set.values();
        for _ in 0..set.size() {
            let Ok(next) = entries.next() else { return };
            if next.done() || !call(next.value().unchecked_ref()) {
                return;
            }
        }
    }

    /// Hands `data` to the listeners of `event`, and event and data to those of every event. An exception goes to
    /// `report`; `wanted` is asked before each call.
    pub(crate) fn emit(
        &self,
        event: &JsString,
        data: &JsValue,
        wanted: impl Fn() -> bool,
        report: impl Fn(JsValue),
    ) {
        self.each(event, |listener| {
            let wanted = wanted();
            if wanted && let Err(exception) = listener.call1(&JsValue::UNDEFINED, data) {
                report(exception);
            }
            wanted
        });
        self.each(&EVERY, |listener| {
            let wanted = wanted();
            if wanted && let Err(exception) = listener.call2(&JsValue::UNDEFINED, event, data) {
                report(exception);
            }
            wanted
        });
    }
}
