//! The options of a client, checked.

use crate::{errors, js};
use std::ops::RangeInclusive;
use tidings_client_core::{HistoryPage, NUMBERS, Options};
use tidings_protocol::{DEFAULT_PATH, MAX_INTEGER};
use wasm_bindgen::prelude::*;

/// What the shell itself needs of the options.
pub(crate) struct Settings {
    pub(crate) url: JsValue,
    /// `undefined`, or a function that makes a socket.
    pub(crate) factory: JsValue,
    /// `undefined`, or a function that gives a token.
    pub(crate) get_token: JsValue,
    /// `undefined`, or an object with some of the methods of `console`.
    pub(crate) logger: JsValue,
}

/// Reads the application's options: for the shell, for the core, and whether to connect at once.
pub(crate) fn read(options: &JsValue) -> Result<(Settings, Options, bool), JsValue> {
    if !(options.is_undefined() || options.is_object()) {
        return Err(errors::invalid("options", "an object"));
    }
    let mut core = Options::default();
    for number in &NUMBERS {
        let value = js::option(options, number.name, "number", number.allowed)?;
        if !value.is_undefined() && !number.set(&mut core, js::number(options, number.name)) {
            return Err(errors::invalid(number.name, number.allowed));
        }
    }
    let connect = flag(options, "autoConnect")?.unwrap_or(true);
    let url = url(js::property(options, "url"))?;
    let get_token = js::option(options, "getToken", FUNCTION, A_FUNCTION)?;
    core.tokens = !get_token.is_undefined();
    let factory = js::option(options, "webSocketFactory", FUNCTION, A_FUNCTION)?;
    if factory.is_undefined() && !js::property(&js::global(), "WebSocket").is_function() {
        let message = "there is no WebSocket here: pass webSocketFactory";
        return Err(errors::failure("no-websocket".into(), message));
    }
    let logger = js::option(options, "logger", "object", "an object like console")?;
    Ok((Settings { url, factory, get_token, logger }, core, connect))
}

const FUNCTION: &str = "function";
const A_FUNCTION: &str = "a function";

/// The largest page of history.
const MAX_PAGE: u64 = 1_000;

/// Reads which page of history is wanted.
pub(crate) fn page(options: &JsValue) -> Result<HistoryPage, JsValue> {
    if !(options.is_undefined() || options.is_object()) {
        return Err(errors::invalid("options", "an object"));
    }
    let number = |name, allowed, range: RangeInclusive<u64>| {
        let given = js::option(options, name, "number", allowed)?;
        let value = js::number(options, name);
        let number = value as u64;
        if given.is_undefined() {
            Ok(None)
        } else if range.contains(&number) && number as f64 == value {
            Ok(Some(number))
        } else {
            Err(errors::invalid(name, allowed))
        }
    };
    Ok(HistoryPage {
        limit: number("limit", "a whole number from 1 to 1000", 1..=MAX_PAGE)?,
        before: number("before", "a whole number from 0", 0..=MAX_INTEGER)?,
        until_attach: flag(options, "untilAttach")?.unwrap_or(false),
    })
}

fn flag(options: &JsValue, name: &str) -> Result<Option<bool>, JsValue> {
    Ok(js::option(options, name, "boolean", "true or false")?.as_bool())
}

/// The address of the gateway: absolute, or relative to the page; `http` and `https` stand for `ws` and `wss`.
fn url(given: JsValue) -> Result<JsValue, JsValue> {
    let page = js::property(&js::property(&js::global(), "location"), "href");
    let given = if !given.is_undefined() {
        given
    } else if page.is_undefined() {
        return Err(errors::failure(
            "no-url".into(),
            "there is no page to take the gateway's url from: pass url",
        ));
    } else {
        DEFAULT_PATH.into()
    };
    let address = if given.is_string() { js::address(&given, &page) } else { JsValue::UNDEFINED };
    if address.is_string() {
        return Ok(address);
    }
    Err(errors::invalid("url", "the address of a WebSocket, like wss://example.com/_broadcast"))
}
