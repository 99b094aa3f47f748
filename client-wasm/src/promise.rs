//! The promise of `ready()`.

use crate::js::{self, Failure};
use js_sys::{Map, Promise};
use wasm_bindgen::prelude::*;

/// One promise for all who wait for the same thing. It is kept beside the listeners of whom they wait for.
pub(crate) struct Ready<'a>(pub(crate) &'a Map);

impl Ready<'_> {
    pub(crate) fn wait(&self) -> Promise {
        js::wait(self.0)
    }

    pub(crate) fn resolve(&self) {
        js::settle(self.0, &JsValue::UNDEFINED, 0);
    }

    pub(crate) fn reject(&self, code: &JsValue, failure: Failure) {
        js::settle(self.0, code, failure as i32);
    }
}
