//! What is thrown, and what a promise is rejected with: an `Error` that carries a `code`.

use crate::js::Properties;
use js_sys::{Error, JsString, TypeError};
use wasm_bindgen::prelude::*;

fn with_code(error: &JsValue, code: &JsValue) -> JsValue {
    error.unchecked_ref::<Properties>().set(&"code".into(), code);
    error.clone()
}

/// A mistake in the program: what it is about, and what is allowed.
pub(crate) fn invalid(what: &str, allowed: &str) -> JsValue {
    let mut message = String::from(what);
    message.push_str(" must be ");
    message.push_str(allowed);
    with_code(&TypeError::new(&message), &"invalid-argument".into())
}

/// Something that cannot be done, and why.
pub(crate) fn failure(code: &JsValue, message: &str) -> JsValue {
    with_code(&Error::new(message), code)
}

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

/// What an exception says.
pub(crate) fn message(exception: &JsValue) -> JsString {
    text(crate::js::property(exception, "message"))
}

/// `value` when it is a string, and otherwise an empty one.
pub(crate) fn text(value: JsValue) -> JsString {
    if value.is_string() { value.unchecked_into() } else { "".into() }
}
