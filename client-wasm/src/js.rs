//! What JavaScript does for the client, in steps that are its own.

use js_sys::{Function, JsString, Map, Promise};
use wasm_bindgen::prelude::*;
use web_sys::WebSocket;

#[wasm_bindgen(module = "/src/primitives.js")]
extern "C" {
    /// The options, checked. `path` is that of a gateway that has the page's address otherwise.
    #[wasm_bindgen(catch)]
    pub(crate) fn settings(options: &JsValue, path: &str) -> Result<Settings, JsValue>;

    /// Which page of history is wanted, checked.
    #[wasm_bindgen(catch)]
    pub(crate) fn page(options: &JsValue) -> Result<Settings, JsValue>;

    /// The number in this place among settings, unless nothing is said about it.
    pub(crate) fn number(settings: &Settings, place: i32, default: f64) -> f64;

    /// Opens a socket, with the application's factory if there is one, and tells a link of what it hears.
    #[wasm_bindgen(catch)]
    pub(crate) fn open(
        settings: &Settings,
        link: &JsValue,
        socket: u32,
        channels: &Map,
    ) -> Result<WebSocket, JsValue>;

    /// Puts a value under a key.
    pub(crate) fn put(map: &Map, key: &JsValue, value: &JsValue);

    /// Takes out what is under a key.
    pub(crate) fn take(map: &Map, key: &JsValue) -> JsValue;

    /// Enters a channel into a map of channels: its number above 0, and its sets of listeners.
    pub(crate) fn enroll(channels: &Map, name: &JsString, number: i32, sets: &Map);

    /// The number of a channel, or 0.
    pub(crate) fn find(channels: &Map, name: &JsString) -> u32;

    /// The handle that was kept beside a channel's listeners, unless nobody has it any longer.
    pub(crate) fn kept(sets: &Map) -> JsValue;

    /// Keeps a handle without keeping it alive.
    pub(crate) fn keep(sets: &Map, handle: &JsValue);

    /// Asks the application for a token, which a link is told of. `reason` is a [`TokenReason`] in their order.
    ///
    /// [`TokenReason`]: tidings_client_core::TokenReason
    pub(crate) fn token(settings: &Settings, reason: i32, link: &JsValue, socket: i32);

    /// Whether a socket took a text.
    pub(crate) fn send(socket: &WebSocket, text: &JsString) -> bool;

    /// Closes a socket. One that cannot be closed is let go all the same.
    pub(crate) fn close(socket: &WebSocket, code: u16, reason: &str);

    /// Tells a link what the page hears from its browser, where there is one.
    pub(crate) fn watch(link: &JsValue) -> Ending;

    /// Whether there is a network, and whether anybody looks, as `page.rs` numbers it.
    pub(crate) fn network() -> u32;
    pub(crate) fn visibility() -> u32;

    /// Ends what has an end.
    pub(crate) fn end(ending: &Ending);

    /// `word` when it is a string that is not empty; otherwise throws that `what` must be one.
    #[wasm_bindgen(catch)]
    pub(crate) fn name(what: &str, word: JsValue) -> Result<JsString, JsValue>;

    /// Adds a function to the set under `event`, once both are checked, and returns what takes it out.
    #[wasm_bindgen(catch)]
    pub(crate) fn listen(
        sets: &Map,
        event: &JsValue,
        what: &str,
        listener: &JsValue,
    ) -> Result<Function, JsValue>;

    /// Calls the functions in the set under `event`, and when that is a name, those that hear every event. What they
    /// throw goes to the logger.
    pub(crate) fn emit(sets: &Map, event: &JsValue, data: &JsValue, settings: &Settings);

    /// A publish that is ready to be sent, once event and data are checked.
    #[wasm_bindgen(catch)]
    pub(crate) fn publish(channel: &JsString, event: &JsValue, data: &JsValue) -> Result<Deferred, JsValue>;

    /// How long the text of a publish is in UTF-8.
    pub(crate) fn bytes(publish: &Deferred) -> u32;

    /// A promise to settle.
    pub(crate) fn deferred() -> Deferred;

    /// The text of a publish with its number, and with the idempotency key that begins with `key`.
    pub(crate) fn numbered(publish: &Deferred, number: f64, key: &JsString) -> JsString;

    /// The message of what was thrown.
    pub(crate) fn message(thrown: &JsValue) -> JsString;

    /// The JSON of a frame with these values, by its number among those that are sent. What is `undefined` is left out.
    pub(crate) fn write(
        frame: i32,
        first: &JsValue,
        second: &JsValue,
        third: &JsValue,
        fourth: &JsValue,
    ) -> JsString;

    /// A position as it is sent.
    pub(crate) fn position(epoch: &JsString, offset: f64) -> JsValue;

    /// Whether a word was told of beside these listeners, among the last thousand; from here on it was.
    pub(crate) fn repeated(sets: &Map, word: &JsString) -> bool;

    /// The promise that is kept beside these listeners.
    pub(crate) fn wait(sets: &Map) -> Promise;

    /// Settles it, when somebody waits: rejects it with a [`Failure`] when there is a code.
    pub(crate) fn settle(sets: &Map, code: &JsValue, failure: i32);

    /// Rejects a promise with a [`Failure`].
    pub(crate) fn reject(promise: &Deferred, code: &JsValue, failure: i32);

    /// Resolves a promise with a [`Resolved`] that has these values; what is `undefined` is left out.
    pub(crate) fn resolve(promise: &Deferred, result: i32, first: JsValue, second: JsValue, third: JsValue);

    /// Tells the listeners of a client a [`Told`] with an object that has these values, and logs it.
    pub(crate) fn tell(
        sets: &Map,
        settings: &Settings,
        event: i32,
        first: JsValue,
        second: JsValue,
        third: JsValue,
    );

    /// Tells the listeners to gaps of one.
    pub(crate) fn gap(sets: &Map, settings: &Settings, channel: &JsString, why: &JsValue);

    /// The events of a page of history as the application gets them.
    pub(crate) fn events(list: &JsValue) -> JsValue;

    /// A word that no other client has.
    pub(crate) fn unique() -> JsString;

    /// Empties a map of sets.
    pub(crate) fn clear(sets: &Map);
}

/// What a promise is resolved with. The numbers are known to `primitives.js`, and so are those below.
pub(crate) enum Resolved {
    /// `ok`, `id`, `offset`.
    Published = 0,
    /// `ok`, `reason`.
    Unpublished = 1,
    /// `events`, `epoch`, `offset`.
    Page = 2,
}

/// What a promise is rejected for, in words; its code says more.
#[derive(Clone, Copy)]
pub(crate) enum Failure {
    Closed = 0,
    Left = 1,
    Denied = 2,
    NoPage = 3,
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
    /// A function that ends something; `undefined` when there is nothing to end.
    pub(crate) type Ending;

    /// Options that were checked: those of a client, or of a page of history.
    pub(crate) type Settings;

    /// Whether the application gives tokens.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn tokens(this: &Settings) -> bool;

    /// Whether to connect at once.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn connect(this: &Settings) -> bool;

    /// Whether only the past before live began is wanted, of a page of history.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn attach(this: &Settings) -> bool;

    /// A promise and the functions that settle it.
    #[derive(Clone)]
    pub(crate) type Deferred;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn text(this: &Deferred) -> JsString;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn promise(this: &Deferred) -> Promise;
}

/// Goes on until it is dropped.
pub(crate) struct Going(pub(crate) Ending);

impl Drop for Going {
    fn drop(&mut self) {
        end(&self.0);
    }
}
