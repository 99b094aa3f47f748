//! The options of a client. `primitives.js` checks them.

use crate::{
    frames::integer,
    js::{self, Settings},
};
use tidings_client_core::{HistoryPage, Options};
use tidings_protocol::DEFAULT_PATH;
use wasm_bindgen::prelude::*;

/// Reads the application's options: for the shell, and for the core.
pub(crate) fn read(options: &JsValue) -> Result<(Settings, Options), JsValue> {
    let settings = js::settings(options, DEFAULT_PATH)?;
    let default = Options::default();
    let number = |place, default| js::number(&settings, place, default);
    let core = Options {
        max_reconnect_attempts: number(0, default.max_reconnect_attempts.into()) as u32,
        reconnect_initial_delay_ms: number(1, default.reconnect_initial_delay_ms as f64) as u64,
        reconnect_max_delay_ms: number(2, default.reconnect_max_delay_ms as f64) as u64,
        connect_timeout_ms: number(3, default.connect_timeout_ms as f64) as u64,
        outbox_limit: number(4, default.outbox_limit as f64) as usize,
        outbox_max_bytes: number(5, default.outbox_max_bytes as f64) as usize,
        outbox_max_age_ms: number(6, default.outbox_max_age_ms as f64) as u64,
        tokens: settings.tokens(),
    };
    Ok((settings, core))
}

/// Reads which page of history is wanted.
pub(crate) fn page(options: &JsValue) -> Result<HistoryPage, JsValue> {
    let page = js::page(options)?;
    Ok(HistoryPage {
        limit: integer(js::number(&page, 0, f64::NAN)),
        before: integer(js::number(&page, 1, f64::NAN)),
        until_attach: page.attach(),
    })
}
