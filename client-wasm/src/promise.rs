//! A promise and the functions that settle it.

use js_sys::{Function, Promise};
use std::cell::RefCell;
use wasm_bindgen::prelude::*;

/// A promise that is settled from outside.
pub(crate) struct Deferred {
    pub(crate) promise: Promise,
    resolve: Function,
    reject: Function,
}

impl Deferred {
    pub(crate) fn new() -> Self {
        let mut functions = None;
        let promise = Promise::new(&mut |resolve, reject| functions = Some((resolve, reject)));
        let (resolve, reject) = functions.expect_throw("a promise calls its executor at once");
        Self { promise, resolve, reject }
    }

    pub(crate) fn resolve(&self, value: &JsValue) {
        // The functions of a promise do not throw.
        let _ = self.resolve.call1(&JsValue::UNDEFINED, value);
    }

    fn reject(&self, error: &JsValue) {
        let _ = self.reject.call1(&JsValue::UNDEFINED, error);
    }
}

/// The promise of `ready()`: one for all who wait for the same thing.
#[derive(Default)]
pub(crate) struct Ready {
    waiting: RefCell<Option<Deferred>>,
}

impl Ready {
    pub(crate) fn wait(&self) -> Promise {
        self.waiting.borrow_mut().get_or_insert_with(Deferred::new).promise.clone()
    }

    pub(crate) fn resolve(&self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.resolve(&JsValue::UNDEFINED);
        }
    }

    pub(crate) fn reject(&self, error: impl FnOnce() -> JsValue) {
        if let Some(waiting) = self.waiting.take() {
            waiting.reject(&error());
        }
    }
}
