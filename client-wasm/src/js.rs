//! JavaScript that js-sys offers only with a copy, a check or a detour that is not wanted here.

use js_sys::{Function, JsString};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// `globalThis`: it is an object, and what every object inherits as `valueOf` gives the object itself.
    #[wasm_bindgen(js_namespace = globalThis, js_name = valueOf)]
    pub(crate) fn global() -> JsValue;

    /// Any value that is neither `undefined` nor `null`.
    pub(crate) type Properties;

    /// `object[key]`.
    #[wasm_bindgen(method, structural, indexing_getter)]
    pub(crate) fn get(this: &Properties, key: &JsValue) -> JsValue;

    /// `object[key] = value`.
    #[wasm_bindgen(method, structural, indexing_setter)]
    pub(crate) fn set(this: &Properties, key: &JsValue, value: &JsValue);

    /// The text stays where it is, outside of linear memory.
    #[wasm_bindgen(catch, js_namespace = JSON, js_name = parse)]
    pub(crate) fn parse(text: &JsValue) -> Result<JsValue, JsValue>;

    /// `undefined` for what JSON has no form for.
    #[wasm_bindgen(catch, js_namespace = JSON, js_name = stringify)]
    pub(crate) fn stringify(value: &JsValue) -> Result<JsValue, JsValue>;

    /// A function.
    pub(crate) type Callable;

    /// Another function that does the same.
    #[wasm_bindgen(method, structural, js_name = bind)]
    pub(crate) fn copy(this: &Callable) -> Function;

    /// A function that needs to be told nothing more.
    #[wasm_bindgen(method, structural, js_name = bind)]
    pub(crate) fn bind(this: &Callable, context: &JsValue, argument: &JsValue) -> Function;

    pub(crate) type TextEncoder;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new() -> TextEncoder;

    #[wasm_bindgen(method)]
    pub(crate) fn encode(this: &TextEncoder, text: &JsString) -> js_sys::Uint8Array;

    /// A `WebSocket`, or what the application's factory made.
    #[derive(Clone)]
    #[wasm_bindgen(js_name = WebSocket)]
    pub(crate) type WebSocket;

    #[wasm_bindgen(constructor, js_class = "WebSocket", catch)]
    pub(crate) fn open(url: &JsValue) -> Result<WebSocket, JsValue>;

    #[wasm_bindgen(method, structural, catch)]
    pub(crate) fn send(this: &WebSocket, text: &JsString) -> Result<(), JsValue>;

    #[wasm_bindgen(method, structural, catch)]
    pub(crate) fn close(this: &WebSocket, code: u16, reason: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, structural, catch, js_name = addEventListener)]
    pub(crate) fn listen(this: &WebSocket, event: &str, listener: &JsValue) -> Result<(), JsValue>;
}

/// `object[key]`; `undefined` when there is no object.
pub(crate) fn property(object: &JsValue, key: &str) -> JsValue {
    if object.is_undefined() || object.is_null() {
        return JsValue::UNDEFINED;
    }
    object.unchecked_ref::<Properties>().get(&key.into())
}

/// A new object, made property by property.
pub(crate) struct Record(JsValue);

impl Record {
    pub(crate) fn new() -> Self {
        Self(js_sys::Object::new().into())
    }

    pub(crate) fn with(self, key: &str, value: impl Into<JsValue>) -> Self {
        self.put(key, &value.into());
        self
    }

    fn put(&self, key: &str, value: &JsValue) {
        self.0.unchecked_ref::<Properties>().set(&key.into(), value);
    }
}

impl AsRef<JsValue> for Record {
    fn as_ref(&self) -> &JsValue {
        &self.0
    }
}
