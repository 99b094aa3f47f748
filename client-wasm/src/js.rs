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
        channels: &Map,
        logger: &JsValue,
    ) -> Result<JsValue, JsValue>;

    /// Enters a channel into a map of channels: its number above 0, its sets of listeners, and the ids of its events.
    pub(crate) fn enroll(channels: &Map, name: &JsString, number: i32, sets: &Map, ids: &Set);

    /// The number of a channel, or 0.
    pub(crate) fn find(channels: &Map, name: &JsValue) -> u32;

    /// Asks the application for a token, which a link is told of. `reason` is a [`TokenReason`] in their order.
    ///
    /// [`TokenReason`]: tidings_client_core::TokenReason
    pub(crate) fn token(get_token: &JsValue, reason: i32, logger: &JsValue, link: &JsValue, socket: i32);

    /// Whether a socket took a text.
    pub(crate) fn send(socket: &JsValue, text: &JsString) -> bool;

    /// Closes a socket. One that cannot be closed is let go all the same.
    pub(crate) fn close(socket: &JsValue, code: u16, reason: &str);

    /// Adds a function to the set under `key`, and returns what takes it out.
    pub(crate) fn add(sets: &Map, key: &JsValue, listener: &Function) -> Function;

    /// Calls the functions in the set under `event`, and when that is a name, those in the set under `sets`. What they
    /// throw goes to the logger.
    pub(crate) fn emit(sets: &Map, event: &JsValue, data: &JsValue, logger: &JsValue);

    /// How long the text of a publish is in UTF-8.
    pub(crate) fn bytes(publish: &Deferred) -> u32;

    /// A promise to settle; that of a publish has its text.
    pub(crate) fn deferred(text: &JsValue) -> Deferred;

    /// The text of a publish with its number, and with the idempotency key that begins with `key`.
    pub(crate) fn numbered(publish: &Deferred, number: f64, key: &JsString) -> JsString;

    /// `object[key]`; `undefined` when there is no object.
    pub(crate) fn property(object: &JsValue, key: &str) -> JsValue;

    /// `object[key]` when it is a number, otherwise NaN.
    pub(crate) fn number(object: &JsValue, key: &str) -> f64;

    /// `object[key]` when it is a string.
    pub(crate) fn string(object: &JsValue, key: &str) -> Option<JsString>;

    /// `options[name]` when it is `undefined` or of this type; otherwise it throws that it must be what is allowed.
    #[wasm_bindgen(catch)]
    pub(crate) fn option(
        options: &JsValue,
        name: &str,
        kind: &str,
        allowed: &str,
    ) -> Result<JsValue, JsValue>;

    /// The JSON of a frame with these values, by its number among those that are sent. What is `undefined` is left out.
    #[wasm_bindgen(catch)]
    pub(crate) fn write(
        frame: i32,
        first: &JsValue,
        second: &JsValue,
        third: &JsValue,
        fourth: &JsValue,
    ) -> Result<JsString, JsValue>;

    /// A position as it is sent.
    pub(crate) fn position(epoch: &JsString, offset: f64) -> JsValue;

    /// Whether a set has a word; if not, it gets it, and forgets the oldest of more than a thousand.
    pub(crate) fn repeated(set: &Set, word: &JsValue) -> bool;

    /// Resolves a promise with a [`Resolved`] that has these values; what is `undefined` is left out.
    pub(crate) fn resolve(promise: &Deferred, result: i32, first: JsValue, second: JsValue, third: JsValue);

    /// Tells the listeners of a client a [`Told`] with an object that has these values, and logs it.
    pub(crate) fn tell(
        sets: &Map,
        logger: &JsValue,
        event: i32,
        first: JsValue,
        second: JsValue,
        third: JsValue,
    );

    /// Tells the listeners to gaps of one.
    pub(crate) fn gap(sets: &Map, logger: &JsValue, channel: &JsString, why: &JsValue);

    /// The events of a page of history as the application gets them.
    pub(crate) fn events(list: &JsValue) -> JsValue;

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

/// What a promise is resolved with. The numbers are known to `primitives.js`, and so are those below.
pub(crate) enum Resolved {
    Nothing = 0,
    /// `ok`, `id`, `offset`.
    Published = 1,
    /// `ok`, `reason`.
    Unpublished = 2,
    /// `events`, `epoch`, `offset`.
    Page = 3,
}

/// An event of a client, with the names of its values.
#[derive(Clone, Copy)]
pub(crate) enum Told {
    Open = 0,
    /// `code`, `reason`, `wasClean`.
    Close = 1,
    /// `attempt`, `delayMs`.
    Reconnecting = 2,
    /// `channel`.
    Subscribed = 3,
    /// `channel`, `reason`.
    Error = 4,
    /// `from`, `to`.
    State = 5,
    /// `channel`, `why`.
    Gap = 6,
    /// `afterMs`.
    Drain = 7,
}

#[wasm_bindgen]
extern "C" {
    /// `globalThis`: it is an object, and what every object inherits as `valueOf` gives the object itself.
    #[wasm_bindgen(js_namespace = globalThis, js_name = valueOf)]
    pub(crate) fn global() -> JsValue;

    /// A promise and the functions that settle it.
    #[derive(Clone)]
    pub(crate) type Deferred;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn text(this: &Deferred) -> JsString;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn promise(this: &Deferred) -> Promise;

    #[wasm_bindgen(method, structural)]
    pub(crate) fn reject(this: &Deferred, error: JsValue);

    /// A function.
    pub(crate) type Callable;

    /// A function that needs to be told nothing more.
    #[wasm_bindgen(method, structural, js_name = bind)]
    pub(crate) fn bind(this: &Callable, context: &JsValue, argument: &JsValue) -> Function;
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
