//! The promise of `ready()`.

use crate::js::{self, Deferred, Resolved};
use js_sys::Promise;
use std::cell::Cell;
use wasm_bindgen::prelude::*;

const NOTHING: JsValue = JsValue::UNDEFINED;

/// One promise for all who wait for the same thing.
#[derive(Default)]
pub(crate) struct Ready(Cell<Option<Deferred>>);

impl Ready {
    pub(crate) fn wait(&self) -> Promise {
        let deferred = self.0.take().unwrap_or_else(js::deferred);
        let promise = deferred.promise();
        self.0.set(Some(deferred));
        promise
    }

    pub(crate) fn resolve(&self) {
        if let Some(waiting) = self.0.take() {
            js::resolve(&waiting, Resolved::Nothing as i32, NOTHING, NOTHING, NOTHING);
        }
    }

    pub(crate) fn reject(&self, error: impl FnOnce() -> JsValue) {
        if let Some(waiting) = self.0.take() {
            waiting.reject(error());
        }
    }
}
