//! The options of a client, checked.

use crate::{errors, frames::integer, js};
use std::ops::RangeInclusive;
use tidings_client_core::{HistoryPage, NUMBERS, Options};
use tidings_protocol::{DEFAULT_PATH, MAX_INTEGER};
use wasm_bindgen::prelude::*;

/// What the shell itself needs of the options.
pub(crate) struct Settings {
    pub(crate) url: JsValue,
    /// `undefined`, or a function that makes a socket.
    pub(crate) factory: JsValue,
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
        let value = js::property(options, number.name);
        if !value.is_undefined() && !number.set(&mut core, js::number(&value)) {
            return Err(errors::invalid(number.name, number.allowed));
        }
    }
    let connect = flag(options, "autoConnect", true)?;
    let url = url(js::property(options, "url"))?;
    let factory = js::property(options, "webSocketFactory");
    if !factory.is_undefined() {
        errors::function("webSocketFactory", factory.clone())?;
    } else if !js::property(&js::global(), "WebSocket").is_function() {
        let message = "there is no WebSocket here: pass webSocketFactory";
        return Err(errors::failure("no-websocket".into(), message));
    }
    let logger = js::property(options, "logger");
    if !(logger.is_undefined() || logger.is_object()) {
        return Err(errors::invalid("logger", "an object like console"));
    }
    Ok((Settings { url, factory, logger }, core, connect))
}

/// The largest page of history.
const MAX_PAGE: u64 = 1_000;

/// Reads which page of history is wanted.
pub(crate) fn page(options: &JsValue) -> Result<HistoryPage, JsValue> {
    if !(options.is_undefined() || options.is_object()) {
        return Err(errors::invalid("options", "an object"));
    }
    let number = |name, allowed, range: RangeInclusive<u64>| {
        let value = js::property(options, name);
        match integer(js::number(&value)).filter(|value| range.contains(value)) {
            None if !value.is_undefined() => Err(errors::invalid(name, allowed)),
            number => Ok(number),
        }
    };
    Ok(HistoryPage {
        limit: number("limit", "a whole number from 1 to 1000", 1..=MAX_PAGE)?,
        before: number("before", "a whole number from 0", 0..=MAX_INTEGER)?,
        until_attach: flag(options, "untilAttach", false)?,
    })
}

fn flag(options: &JsValue, name: &str, default: bool) -> Result<bool, JsValue> {
    let value = js::property(options, name);
    match value.as_bool() {
        Some(value) => Ok(value),
        None if value.is_undefined() => Ok(default),
        None => Err(errors::invalid(name, "true or false")),
    }
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
