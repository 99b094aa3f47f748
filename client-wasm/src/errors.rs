//! What is thrown, and what a promise is rejected with: an `Error` that carries a `code`.

use crate::js;
pub(crate) use crate::js::{failure, invalid};
use js_sys::JsString;
use wasm_bindgen::prelude::*;

/// `value` when it is a string that is not empty.
pub(crate) fn name(what: &str, value: JsValue) -> Result<JsString, JsValue> {
    if value.is_string() && value.is_truthy() {
        Ok(value.unchecked_into())
    } else {
        Err(invalid(what, "a string that is not empty"))
    }
}

/// `value` when it is a function.
pub(crate) fn function(what: &str, value: JsValue) -> Result<js_sys::Function, JsValue> {
    if value.is_function() { Ok(value.unchecked_into()) } else { Err(invalid(what, "a function")) }
}

/// `object[key]` when it is a string, and otherwise an empty one.
pub(crate) fn text(object: &JsValue, key: &str) -> JsString {
    js::string(object, key).unwrap_or_default()
}
