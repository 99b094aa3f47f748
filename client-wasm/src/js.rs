//! JavaScript that js-sys offers only with a copy, a check or a detour that is not wanted here.

use js_sys::{Function, JsString, Map, Promise, Set};
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/primitives.js")]
extern "C" {
    /// Opens a socket, with the application's factory unless that is `undefined`, and tells a link of what it hears.
    #[wasm_bindgen(catch)]
    pub(crate) fn open(
        factory: &JsValue,
        url: &JsValue,
        link: &JsValue,
        socket: u32,
        tags: &Numbers,
        channels: &Numbers,
    ) -> Result<JsValue, JsValue>;

    /// Whether a socket took a text.
    pub(crate) fn send(socket: &JsValue, text: &JsString) -> bool;

    /// Closes a socket. One that cannot be closed is let go all the same.
    pub(crate) fn close(socket: &JsValue, code: u16, reason: &str);

    /// Calls the functions in the set under `key`, with one word when the other is `undefined`. What they throw goes to
    /// the logger.
    pub(crate) fn call(sets: &Map, key: &JsValue, logger: &JsValue, word: &JsValue, another: &JsValue);

    /// Calls a method of a logger, if it has that.
    pub(crate) fn log(logger: &JsValue, level: &str, message: &JsValue, detail: &JsValue);

    /// How long the text of a publish is in UTF-8.
    pub(crate) fn bytes(publish: &Deferred) -> u32;

    /// A promise to settle; that of a publish has its text.
    pub(crate) fn deferred(text: &JsValue) -> Deferred;

    /// The text of a publish with its number, and with the idempotency key that begins with `key`.
    pub(crate) fn numbered(publish: &Deferred, number: f64, key: &JsString) -> JsString;

    /// NaN for what is no number.
    pub(crate) fn number(value: &JsValue) -> f64;

    /// Whether a set has a word; if not, it gets it, and forgets the oldest of more than `limit`.
    pub(crate) fn repeated(set: &Set, word: &JsValue, limit: u32) -> bool;

    /// An object with up to three properties; `names` has a space between two. What is `undefined` is left out.
    pub(crate) fn record(names: &str, first: JsValue, second: JsValue, third: JsValue) -> JsValue;

    /// What the objects in a list have under `keys`, under `names`; `null` where there is nothing.
    pub(crate) fn renamed(list: &JsValue, keys: &str, names: &str) -> JsValue;

    /// A mistake in the program: what it is about, and what is allowed.
    pub(crate) fn invalid(what: &str, allowed: &str) -> JsValue;

    /// Something that cannot be done, and why.
    pub(crate) fn failure(code: JsValue, message: &str) -> JsValue;

    /// The absolute address of a WebSocket, or `undefined`; `http` and `https` stand for `ws` and `wss`.
    pub(crate) fn address(url: &JsValue, base: &JsValue) -> JsValue;

    /// A word that no other client has.
    pub(crate) fn unique() -> JsString;

    /// Empties a map of sets.
    pub(crate) fn clear(sets: &Map);
}

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

    /// `undefined` for what JSON has no form for.
    #[wasm_bindgen(catch, js_namespace = JSON, js_name = stringify)]
    pub(crate) fn stringify(value: &JsValue) -> Result<JsValue, JsValue>;

    /// A map from strings to numbers above 0.
    #[derive(Clone)]
    #[wasm_bindgen(extends = Map)]
    pub(crate) type Numbers;

    /// 0 when there is none.
    #[wasm_bindgen(method, structural, js_name = get)]
    pub(crate) fn find(this: &Numbers, key: &JsValue) -> u32;

    /// A promise and the functions that settle it.
    #[derive(Clone)]
    pub(crate) type Deferred;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn text(this: &Deferred) -> JsString;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn promise(this: &Deferred) -> Promise;

    #[wasm_bindgen(method, structural)]
    pub(crate) fn resolve(this: &Deferred, value: JsValue);

    #[wasm_bindgen(method, structural)]
    pub(crate) fn reject(this: &Deferred, error: JsValue);

    /// A function.
    pub(crate) type Callable;

    /// Another function that does the same.
    #[wasm_bindgen(method, structural, js_name = bind)]
    pub(crate) fn copy(this: &Callable) -> Function;

    /// A function that needs to be told nothing more.
    #[wasm_bindgen(method, structural, js_name = bind)]
    pub(crate) fn bind(this: &Callable, context: &JsValue, argument: &JsValue) -> Function;
}

/// `object[key]`; `undefined` when there is no object.
pub(crate) fn property(object: &JsValue, key: &str) -> JsValue {
    if object.is_truthy() {
        object.unchecked_ref::<Properties>().get(&key.into())
    } else {
        JsValue::UNDEFINED
    }
}

/// Whether `object[key]` is this text.
pub(crate) fn is(object: &JsValue, key: &str, text: &str) -> bool {
    // Compared in JavaScript: no text is copied into linear memory.
    let text = JsValue::from(text);
    property(object, key) == text
}

/// A method of an object, bound to it and to its first argument.
pub(crate) fn method(object: &JsValue, name: &str, argument: &JsValue) -> Function {
    property(object, name).unchecked_into::<Callable>().bind(object, argument)
}
