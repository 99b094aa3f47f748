//! What JavaScript does for the client, in steps that are its own.

use js_sys::{Function, JsString, Map, Promise};
use wasm_bindgen::prelude::*;
use web_sys::WebSocket;

#[wasm_bindgen(module = "/src/primitives.js")]
extern "C" {
    /// The options that are no numbers, checked. `path` is that of a gateway that has the page's address otherwise.
    #[wasm_bindgen(catch)]
    pub(crate) fn settings(options: &JsValue, path: &str) -> Result<Settings, JsValue>;

    /// `options[name]` when it is a number, NaN when it is undefined; otherwise it throws that it must be what is
    /// allowed.
    #[wasm_bindgen(catch)]
    pub(crate) fn number(options: &JsValue, name: &str, allowed: &str) -> Result<f64, JsValue>;

    /// Which page of history is wanted, checked.
    #[wasm_bindgen(catch)]
    pub(crate) fn page(options: &JsValue) -> Result<Page, JsValue>;

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

    /// A mistake in the program: what it is about, and what is allowed.
    pub(crate) fn invalid(what: &str, allowed: &str) -> JsValue;

    /// Something that cannot be done, and why.
    pub(crate) fn failure(code: JsValue, message: &str) -> JsValue;

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
    /// A function that ends something; `undefined` when there is nothing to end.
    pub(crate) type Ending;

    /// The options of a client that are no numbers.
    pub(crate) type Settings;

    /// Whether the application gives tokens.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn tokens(this: &Settings) -> bool;

    /// Whether to connect at once.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn connect(this: &Settings) -> bool;

    /// Which page of history.
    pub(crate) type Page;

    /// At most how many events; NaN when nothing is said about it, as below.
    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn limit(this: &Page) -> f64;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn before(this: &Page) -> f64;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn attach(this: &Page) -> bool;

    /// A promise and the functions that settle it.
    #[derive(Clone)]
    pub(crate) type Deferred;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn text(this: &Deferred) -> JsString;

    #[wasm_bindgen(method, structural, getter)]
    pub(crate) fn promise(this: &Deferred) -> Promise;

    #[wasm_bindgen(method, structural)]
    pub(crate) fn reject(this: &Deferred, error: JsValue);
}

/// Goes on until it is dropped.
pub(crate) struct Going(pub(crate) Ending);

impl Drop for Going {
    fn drop(&mut self) {
        end(&self.0);
    }
}
