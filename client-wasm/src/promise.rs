//! The promise of `ready()`.

use crate::js::{self, Deferred};
use js_sys::Promise;
use std::cell::Cell;
use wasm_bindgen::prelude::*;

/// One promise for all who wait for the same thing.
#[derive(Default)]
pub(crate) struct Ready(Cell<Option<Deferred>>);

impl Ready {
    pub(crate) fn wait(&self) -> Promise {
        let deferred = self.0.take().unwrap_or_else(|| js::deferred(&JsValue::UNDEFINED));
        let promise = deferred.promise();
        self.0.set(Some(deferred));
        promise
    }

    pub(crate) fn resolve(&self) {
        if let Some(waiting) = self.0.take() {
            waiting.resolve(JsValue::UNDEFINED);
        }
    }

    pub(crate) fn reject(&self, error: impl FnOnce() -> JsValue) {
        if let Some(waiting) = self.0.take() {
            waiting.reject(error());
        }
    }
}
