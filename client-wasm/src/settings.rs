//! The options of a client, checked.

use crate::{
    frames::integer,
    js::{self, Settings},
};
use tidings_client_core::{HistoryPage, NUMBERS, Options};
use tidings_protocol::DEFAULT_PATH;
use wasm_bindgen::prelude::*;

/// Reads the application's options: for the shell, and for the core.
pub(crate) fn read(options: &JsValue) -> Result<(Settings, Options), JsValue> {
    let mut core = Options::default();
    for number in &NUMBERS {
        let value = js::number(options, number.name, number.allowed)?;
        if !value.is_nan() && !number.set(&mut core, value) {
            return Err(js::invalid(number.name, number.allowed));
        }
    }
    let settings = js::settings(options, DEFAULT_PATH)?;
    core.tokens = settings.tokens();
    Ok((settings, core))
}

/// Reads which page of history is wanted.
pub(crate) fn page(options: &JsValue) -> Result<HistoryPage, JsValue> {
    let page = js::page(options)?;
    Ok(HistoryPage {
        limit: integer(page.limit()),
        before: integer(page.before()),
        until_attach: page.attach(),
    })
}
