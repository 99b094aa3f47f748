//! A promise and the functions that settle it.

use crate::js;
use js_sys::{Function, Promise};
use std::cell::Cell;
use wasm_bindgen::prelude::*;

/// A promise that is settled from outside.
pub(crate) struct Deferred {
    pub(crate) promise: Promise,
    pub(crate) resolve: Function,
    reject: Function,
}

impl Deferred {
    pub(crate) fn new() -> Self {
        let made = js::deferred();
        let part = |key| js::property(&made, key);
        Self {
            promise: part("promise").unchecked_into(),
            resolve: part("resolve").unchecked_into(),
            reject: part("reject").unchecked_into(),
        }
    }
}

/// Calls a function that settles a promise; it does not throw.
pub(crate) fn settle(function: &Function, value: &JsValue) {
    let _ = function.call1(&JsValue::UNDEFINED, value);
}

/// The promise of `ready()`: one for all who wait for the same thing.
#[derive(Default)]
pub(crate) struct Ready(Cell<Option<Deferred>>);

impl Ready {
    pub(crate) fn wait(&self) -> Promise {
        let deferred = self.0.take().unwrap_or_else(Deferred::new);
        let promise = deferred.promise.clone();
        self.0.set(Some(deferred));
        promise
    }

    pub(crate) fn resolve(&self) {
        if let Some(waiting) = self.0.take() {
            settle(&waiting.resolve, &JsValue::UNDEFINED);
        }
    }

    pub(crate) fn reject(&self, error: impl FnOnce() -> JsValue) {
        if let Some(waiting) = self.0.take() {
            settle(&waiting.reject, &error());
        }
    }
}
