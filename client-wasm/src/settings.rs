//! The options of a client, checked.

use crate::{errors, js};
use js_sys::{Function, JsString};
use tidings_client_core::{NUMBERS, Options};
use tidings_protocol::DEFAULT_PATH;
use wasm_bindgen::prelude::*;
use web_sys::Url;

/// What the shell itself needs of the options.
pub(crate) struct Settings {
    pub(crate) url: JsString,
    pub(crate) factory: Option<Function>,
    /// `undefined`, or an object with some of the methods of `console`.
    pub(crate) logger: JsValue,
}

/// Reads the application's options: for the shell, for the core, and whether to connect at once.
pub(crate) fn read(options: &JsValue) -> Result<(Settings, Options, bool), JsValue> {
    if !(options.is_undefined() || options.is_null() || options.is_object()) {
        return Err(errors::invalid("options", "an object"));
    }
    let mut core = Options::default();
    for number in &NUMBERS {
        let value = js::property(options, number.name);
        if !value.is_undefined() && !value.as_f64().is_some_and(|value| number.set(&mut core, value)) {
            return Err(errors::invalid(number.name, number.allowed));
        }
    }
    let connect = match js::property(options, "autoConnect") {
        value if value.is_undefined() => true,
        value => value.as_bool().ok_or_else(|| errors::invalid("autoConnect", "true or false"))?,
    };
    let factory = match js::property(options, "webSocketFactory") {
        value if value.is_undefined() => None,
        value => Some(errors::function("webSocketFactory", value)?),
    };
    if factory.is_none() && !js::property(&js::global(), "WebSocket").is_function() {
        return Err(errors::failure(
            &"no-websocket".into(),
            "there is no WebSocket here: pass webSocketFactory, for example (url) => new WebSocket(url) with \
             the package ws",
        ));
    }
    let logger = js::property(options, "logger");
    if !(logger.is_undefined() || logger.is_object()) {
        return Err(errors::invalid("logger", "an object with some of debug, info, warn, error"));
    }
    for level in ["debug", "info", "warn", "error"] {
        let method = js::property(&logger, level);
        if !(method.is_undefined() || method.is_function()) {
            return Err(errors::invalid(&["logger.", level].concat(), "a function"));
        }
    }
    let url = url(js::property(options, "url"))?;
    Ok((Settings { url, factory, logger }, core, connect))
}

/// The address of the gateway: absolute, or relative to the page; `http` and `https` stand for `ws` and `wss`.
fn url(given: JsValue) -> Result<JsString, JsValue> {
    let page = js::property(&js::property(&js::global(), "location"), "href").as_string();
    let given = match given {
        given if given.is_undefined() => None,
        given => Some(given.as_string().ok_or_else(|| errors::invalid("url", "a string"))?),
    };
    let path = match (&given, &page) {
        (Some(given), _) => given.as_str(),
        (None, Some(_)) => DEFAULT_PATH,
        (None, None) => {
            return Err(errors::failure(
                &"no-url".into(),
                "there is no page to derive the gateway's address from: pass url",
            ));
        }
    };
    let url = match &page {
        Some(page) => Url::new_with_base(path, page).or_else(|_| Url::new(path)),
        None => Url::new(path),
    };
    if let Ok(url) = url {
        let scheme = match url.protocol().as_str() {
            "http:" | "ws:" => "ws:",
            "https:" | "wss:" => "wss:",
            _ => "",
        };
        if !scheme.is_empty() && url.hash().is_empty() {
            let href = url.href();
            let rest = href.split_once(':').map_or("", |(_, rest)| rest);
            return Ok([scheme, rest].concat().as_str().into());
        }
    }
    Err(errors::invalid("url", "the address of a WebSocket, like wss://example.com/_broadcast, without a #"))
}
